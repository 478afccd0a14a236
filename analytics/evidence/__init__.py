"""What else tells of the heat: reports, supply, weather; and one row for each outage of it all."""
