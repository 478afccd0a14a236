"""Findings become tickets with their clocks."""
