"""What judging works on, laid out as arrays: rows, timelines, and who spoke for whom."""
