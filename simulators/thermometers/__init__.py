"""Thermometers as they are sold: what they do between the temperature of a room and a message."""
