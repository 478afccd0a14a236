"""The files that every tool reads and writes: readings, points, stops, rules, findings."""
