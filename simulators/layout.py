"""Stations, buildings and rooms of a simulated town, as rows of the register (R6)."""

from __future__ import annotations

from heatwatch.domain.register import PointRow
from heatwatch.domain.temperature import RoomClass

_UNITS = 2
_FLOORS = 6


def lay_out(rooms: int, rooms_per_building: int, stations: int, interval_s: int) -> list[PointRow]:
    """Return one point a room, building by building; every station gets about as many buildings.

    Rooms are named as in Chinese addresses, building-unit-room: ``1-2-301`` is on the third floor.

    >>> [row.point_id for row in lay_out(3, 2, 2, 300)]
    ['S1-B01-1-101', 'S1-B01-2-101', 'S2-B02-1-101']
    """
    buildings = -(-rooms // rooms_per_building)
    stations = min(stations, buildings)
    digits = max(2, len(str(buildings)))
    rows = []
    for room in range(rooms):
        building, within = divmod(room, rooms_per_building)
        station_id = f"S{building * stations // buildings + 1}"
        building_id = f"{station_id}-B{building + 1:0{digits}d}"
        rows.append(_point(station_id, building_id, building + 1, within, interval_s))
    return rows


def _point(station_id: str, building_id: str, building_no: int, within: int, interval_s: int) -> PointRow:
    """Return the `within`-th room of a building: units side by side, floor by floor, then the next flat of each."""
    unit, above = within % _UNITS + 1, within // _UNITS
    floor, flat = above % _FLOORS + 1, above // _FLOORS + 1
    door = f"{unit}-{floor}{flat:02d}"
    return PointRow(
        point_id=f"{building_id}-{door}",
        building_id=building_id,
        station_id=station_id,
        room_class=RoomClass.APARTMENT,
        interval_s=interval_s,
        room_id=f"{building_no}-{door}",
        riser=f"{building_no}-{unit}-{flat:02d}",
        floor=str(floor),
    )
