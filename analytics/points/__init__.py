"""What a point's own rows show: counts, cold spells, silences, faults of its sensor, battery and clock."""
