"""Boards as pictures: their own queries, asked of an InfluxDB, drawn without Grafana."""
