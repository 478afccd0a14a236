"""What the boards ask of InfluxDB, said once (`asking`), in InfluxQL for 1.x and in Flux for 2.x."""
