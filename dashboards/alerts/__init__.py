"""Grafana's alert rules, who is told of them, and when nobody is: decided once, for files and for calls."""
