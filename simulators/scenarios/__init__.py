"""Scenarios: towns and what happens in them, as small files."""
