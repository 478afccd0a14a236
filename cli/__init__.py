"""The `heatwatch` command: the one place that wires settings to implementations."""
