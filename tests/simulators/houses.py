"""Houses to try physics on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from heatwatch.domain.register import PointRow
from simulators.arrays import Int64
from simulators.physics.building import Fabric, Place, draw_fabric, locate
from simulators.physics.model import RoomModel
from simulators.physics.weather import Outdoors
from simulators.towns.events import Event
from simulators.towns.layout import lay_out, plan
from simulators.towns.settings import PhysicsSettings, TownSettings
from simulators.towns.town import Town

START_MS = 1_768_176_000_000


@cache
def place(rooms: int = 144, per_building: int = 72) -> Place:
    """Return where the rooms of houses of six floors are."""
    where = plan(rooms, per_building, 1)
    return locate(where.building, where.unit, where.floor, where.flat)


@cache
def fabric(rooms: int = 144, per_building: int = 72, seed: int = 1) -> Fabric:
    """Return rooms of every class of insulation."""
    rng = np.random.default_rng(seed)
    classes: Int64 = np.arange(rooms, dtype=np.int64) // per_building % 3
    return draw_fabric(place(rooms, per_building), classes, rng)


def town_of(rooms: int = 144, per_building: int = 24, *, stations: int = 2, opens: float = 1.0) -> Town:
    """Return a town in which nothing goes wrong."""
    return Town(
        TownSettings(
            rooms=rooms,
            rooms_per_building=per_building,
            stations=stations,
            outage_h=0,
            silent_h=0,
            cold_rooms=0,
            physics=PhysicsSettings(opens_per_day=opens),
        )
    )


def model_of(town: Town, events: Sequence[Event] = (), weather: Outdoors | None = None) -> RoomModel:
    """Return a town's rooms under other events and another weather."""
    return RoomModel(
        town.model.physics,
        weather or town.weather,
        events,
        town.points(),
        start_ms=town.start_ms,
        interval_s=town.settings.interval_s,
        seed=1,
    )


def points(rooms: int = 144, per_building: int = 24, stations: int = 2) -> list[PointRow]:
    """Return a register."""
    return lay_out(rooms, per_building, stations, 300)
