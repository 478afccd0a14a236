"""InfluxDB as a store of readings, and as the place from which Grafana reads what was found."""
