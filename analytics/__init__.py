"""Readings become findings: vectorised judging, offline and live."""
