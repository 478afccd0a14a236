"""What the rooms of a building show together: heat outages, and thermometers that are not like the others."""
