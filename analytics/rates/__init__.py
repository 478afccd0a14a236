"""Compliance rates (室温合格率): the time of every point, parted by days."""
