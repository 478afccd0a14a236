"""What a town is like, and which of its rooms and buildings get what mishap."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from heatwatch.domain.instants import SECOND_MS
from heatwatch.errors import BadInput
from simulators.arrays import Bool, Float64, Int64
from simulators.thermal import Rooms
from simulators.thermometers import ThermometerSettings
from simulators.weather import WeatherSettings

_HOUR_S = 3_600.0
_COOLING_H = (25.0, 120.0)
_EVIDENT_COOLING_H = 50.0
_ROOM_SPREAD = 0.1
_HEATED_CONDUCTANCE = 2.1
_WARM_C = (19.4, 22.8)
_COLD_C = (16.6, 17.2)
_VERY_COLD_C = 15.3
_GAINS_K = (2.0, 4.0)
_DROOP = 0.02


@dataclass(frozen=True, slots=True)
class TownSettings:
    """What a town is like and what goes wrong in it.

    Attributes
    ----------
    seed
        The same seed gives the same town and the same readings.
    rooms, rooms_per_building, stations
        Size; the last building holds what is left over.
    start_ms
        Origin [ms]; the rooms begin in their steady state.
    interval_s
        Time between two readings of a thermometer, and length of a step of the model [s].
    cold_rooms
        Rooms whose heating is too weak by day; the first of them violates by night too.
    outage_after_h, outage_h
        When after the start one building loses its heat, and for how long [h]; 0 long for never.
    silent_after_h, silent_h, silent_share
        When after the start one building's gateway falls silent, for how long [h], 0 for never, and for which
        share of the building's points.
    weather, thermometers
        Settings of these parts.
    """

    seed: int = 1
    rooms: int = 120
    rooms_per_building: int = 12
    stations: int = 2
    start_ms: int = 1_768_176_000_000
    interval_s: int = 300
    cold_rooms: int = 4
    outage_after_h: float = 2.0
    outage_h: float = 10.0
    silent_after_h: float = 3.0
    silent_h: float = 12.0
    silent_share: float = 1.0
    weather: WeatherSettings = field(default_factory=WeatherSettings)
    thermometers: ThermometerSettings = field(default_factory=ThermometerSettings)

    def __post_init__(self) -> None:
        """Refuse what makes no town."""
        for name in ("rooms", "rooms_per_building", "stations", "interval_s"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be at least 1", where="town")
        if self.silent_h > 0 and self.silent_after_h * _HOUR_S < self.interval_s:
            raise BadInput("a gateway must have spoken before it falls silent", where="town: silent_after_h")

    def window_ms(self, after_h: float, length_h: float) -> tuple[int, int]:
        """Return a time after the start, both ends moved to the nearest edge of a step [ms]."""
        return self._edge_ms(after_h), self._edge_ms(after_h + length_h)

    def _edge_ms(self, after_h: float) -> int:
        steps = round(after_h * _HOUR_S / self.interval_s)
        return self.start_ms + steps * self.interval_s * SECOND_MS


@dataclass(frozen=True, slots=True)
class Cast:
    """Which rooms play which part, one value a room, and when [ms].

    Attributes
    ----------
    rooms
        Thermal properties.
    cold, unheated, silent, broken
        Too weak a heating; in the building that loses its heat; behind the silent gateway; with a thermometer
        that sends what cannot be read.
    outage_ms, silence_ms
        Beginning (included) and end (excluded).
    """

    rooms: Rooms
    cold: Bool
    unheated: Bool
    silent: Bool
    broken: Bool
    outage_ms: tuple[int, int]
    silence_ms: tuple[int, int]


def cast(settings: TownSettings, building: Int64, rng: np.random.Generator) -> Cast:
    """Draw the rooms and hand out the parts.

    Parameters
    ----------
    settings
        Size, and how many of what.
    building : shape (rooms,)
        Number of each room's building.
    rng
        Where all draws come from.
    """
    outage_ms = settings.window_ms(settings.outage_after_h, settings.outage_h)
    silence_ms = settings.window_ms(settings.silent_after_h, settings.silent_h)
    cooling_h = _draw_cooling_h(building, rng)
    lost_building = _evident_building(cooling_h, building)
    unheated = (building == lost_building) & (outage_ms[1] > outage_ms[0])
    silent = _draw_silent(settings, building, lost_building, rng) & (silence_ms[1] > silence_ms[0])
    cold_rooms = _draw_some(_first_with_any(~unheated & ~silent, ~unheated), settings.cold_rooms, rng)
    cold = np.isin(np.arange(building.size), cold_rooms)
    broken_room = _draw_some(~(unheated | silent | cold), 1, rng)
    rooms = _draw_rooms(settings, cooling_h, cold_rooms, rng)
    return Cast(rooms, cold, unheated, silent, np.isin(np.arange(building.size), broken_room), outage_ms, silence_ms)


def _draw_cooling_h(building: Int64, rng: np.random.Generator) -> Float64:
    lightest, heaviest = np.log(_COOLING_H)
    of_building = np.exp(rng.uniform(lightest, heaviest, int(building.max()) + 1))
    of_room = of_building[building] * np.exp(rng.normal(0.0, _ROOM_SPREAD, building.size))
    clipped: Float64 = np.clip(of_room, *_COOLING_H)
    return clipped


def _evident_building(cooling_h: Float64, building: Int64) -> int:
    """Return the building whose fall without heat is neither abrupt nor hard to see."""
    means_h = np.bincount(building, weights=cooling_h) / np.bincount(building)
    return int(np.argmin(np.abs(means_h - _EVIDENT_COOLING_H)))


def _draw_silent(settings: TownSettings, building: Int64, lost_building: int, rng: np.random.Generator) -> Bool:
    others = np.setdiff1d(building, lost_building)
    if not others.size:
        return np.zeros(building.size, dtype=np.bool_)
    members = np.flatnonzero(building == rng.choice(others))
    share = members[: round(settings.silent_share * members.size)]
    return np.isin(np.arange(building.size), share)


def _draw_some(among: Bool, count: int, rng: np.random.Generator) -> Int64:
    candidates = np.flatnonzero(among)
    return rng.permutation(candidates)[:count]


def _first_with_any(preferred: Bool, otherwise: Bool) -> Bool:
    return preferred if preferred.any() else otherwise


def _draw_rooms(settings: TownSettings, cooling_h: Float64, cold_rooms: Int64, rng: np.random.Generator) -> Rooms:
    count = cooling_h.size
    level_c = rng.uniform(*_WARM_C, count)
    level_c[cold_rooms] = rng.uniform(*_COLD_C, cold_rooms.size)
    level_c[cold_rooms[:1]] = _VERY_COLD_C
    return Rooms(
        cooling_s=cooling_h * _HOUR_S,
        heating_s=cooling_h * _HOUR_S / _HEATED_CONDUCTANCE,
        level_c=level_c,
        gains_k=rng.uniform(*_GAINS_K, count),
        droop=_DROOP,
        design_c=settings.weather.mean_c,
    )
