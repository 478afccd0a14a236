"""Stations, buildings and rooms of a simulated town, as rows of the register (R6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heatwatch.domain.register import PointRow
from heatwatch.domain.temperature import RoomClass
from simulators.arrays import Int64

_UNITS = 2
_FLOORS = 6


@dataclass(frozen=True, slots=True)
class Plan:
    """Where each room of a town is: arrays of shape (rooms,).

    Attributes
    ----------
    building, station
        Numbers from 0.
    unit, floor, flat
        Stairwell from 0, floor from 1, flat of that stairwell and floor from 0.
    distance
        How far the room is from its station along the pipes: 0 near, 1 in the middle, 2 far.
    """

    building: Int64
    station: Int64
    unit: Int64
    floor: Int64
    flat: Int64
    distance: Int64


def plan(rooms: int, rooms_per_building: int, stations: int) -> Plan:
    """Return where rooms are: building by building, units side by side, floor by floor, then the next flat of each.

    Every station gets about as many buildings. Its loop passes them in the order of their numbers, and in each of
    them the risers in a row; both count as much for how far a room is.
    """
    building, within = np.divmod(np.arange(rooms, dtype=np.int64), rooms_per_building)
    buildings = int(building[-1]) + 1
    stations = min(stations, buildings)
    station = building * stations // buildings
    first = -(-station * buildings // stations)
    last = -(-(station + 1) * buildings // stations)
    above = within // _UNITS
    flat, flats = above // _FLOORS, int(above.max()) // _FLOORS + 1
    along = (building - first + 0.5) / (last - first)
    inside = (within % _UNITS * flats + flat + 0.5) / (_UNITS * flats)
    return Plan(
        building=building,
        station=station,
        unit=within % _UNITS,
        floor=above % _FLOORS + 1,
        flat=flat,
        distance=((along + inside) * 1.5).astype(np.int64),
    )


def lay_out(rooms: int, rooms_per_building: int, stations: int, interval_s: int) -> list[PointRow]:
    """Return one point a room, building by building; every station gets about as many buildings.

    Rooms are named as in Chinese addresses, building-unit-room: ``1-2-301`` is on the third floor.

    >>> [row.point_id for row in lay_out(3, 2, 2, 300)]
    ['S1-B01-1-101', 'S1-B01-2-101', 'S2-B02-1-101']
    """
    where = plan(rooms, rooms_per_building, stations)
    digits = max(2, len(str(int(where.building[-1]) + 1)))
    columns = (where.station, where.building, where.unit, where.floor, where.flat)
    return [
        _point(
            f"S{station + 1}",
            f"S{station + 1}-B{building + 1:0{digits}d}",
            building + 1,
            (unit, floor, flat),
            interval_s,
        )
        for station, building, unit, floor, flat in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _point(station_id: str, building_id: str, building_no: int, at: tuple[int, int, int], interval_s: int) -> PointRow:
    unit, floor, flat = at
    door = f"{unit + 1}-{floor}{flat + 1:02d}"
    return PointRow(
        point_id=f"{building_id}-{door}",
        building_id=building_id,
        station_id=station_id,
        room_class=RoomClass.APARTMENT,
        interval_s=interval_s,
        room_id=f"{building_no}-{door}",
        riser=f"{building_no}-{unit + 1}-{flat + 1:02d}",
        floor=str(floor),
    )
