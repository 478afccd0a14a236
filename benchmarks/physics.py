"""A day of a large town's rooms, radiators and stations."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measuring import Figure, rates
from simulators.towns.settings import TownSettings
from simulators.towns.town import Town

ROOMS = 100_000
_BLOCKS_PER_DAY = 6
_PEER_S = 20.0


def figures() -> Iterator[Figure]:
    """Measure."""
    steps = ROOMS * _BLOCKS_PER_DAY * 48
    found = rates({"town": _day})
    name = f"steps of {ROOMS:,} rooms through a day of 5 minutes each, drawing the town included"
    yield Figure(name, "steps/s", found["town"], steps / _PEER_S, f"the same day in {_PEER_S:g} s")


def _day() -> int:
    town = Town(TownSettings(rooms=ROOMS, rooms_per_building=72, stations=40))
    steps = 0
    for index in range(_BLOCKS_PER_DAY):
        steps += town.model.block(index).air_c.size
    return steps
