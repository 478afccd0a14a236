"""Who is where in a town, and what is at the same place of a town of another size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from simulators.towns.events import BUILDING, RISER, ROOM, STATION
from simulators.towns.layout import lay_out

Size = tuple[int, int, int]
"""Rooms, rooms in a building, stations."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Who is where in a town: the building of each subject by its name, and the buildings of each station in order."""

    building_of: Mapping[str, Mapping[str, str]]
    buildings: Mapping[str, tuple[str, ...]]

    def same_place(self, kind: str, name: str, other: Addresses) -> str | None:
        """Return what is at the place of a subject in another town; None where there is nothing."""
        building = self.building_of[kind][name]
        station = building.partition("-")[0]
        at = self.buildings[station].index(building)
        there = other.buildings.get(station, ())[at : at + 1]
        if not there:
            return None
        if kind == RISER:
            return f"{_number(there[0])}-{name.partition('-')[2]}"
        return there[0] + name.removeprefix(building)


def _number(building: str) -> int:
    return int(building.rpartition("-B")[2])


@lru_cache(maxsize=8)
def addresses(size: Size) -> Addresses:
    """Return the addresses of a town of that size."""
    rooms, rooms_per_building, stations = size
    rows = lay_out(rooms, rooms_per_building, stations, 300)
    buildings: dict[str, list[str]] = {}
    for name, station in dict.fromkeys((row.building_id, row.station_id) for row in rows):
        buildings.setdefault(station, []).append(name)
    building_of = {
        STATION: {row.station_id: row.building_id for row in rows},
        BUILDING: {row.building_id: row.building_id for row in rows},
        RISER: {str(row.riser): row.building_id for row in rows},
        ROOM: {row.point_id: row.building_id for row in rows},
    }
    return Addresses(building_of, {station: tuple(names) for station, names in buildings.items()})
