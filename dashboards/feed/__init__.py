"""What was found, done and counted, written into InfluxDB, so that Grafana needs no other source."""
