"""What a town is like, and which of its rooms and buildings get what mishap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from heatwatch.domain.instants import SECOND_MS
from heatwatch.errors import BadInput
from simulators.arrays import Bool, Float64, Int64
from simulators.bounds import refuse_senseless
from simulators.physics.building import ENVELOPES, Fabric, draw_fabric, locate
from simulators.physics.model import Habits, Physics
from simulators.physics.plant import Stations
from simulators.physics.radiators import Curve, Radiators, Steadiness, draw_radiators, resize, settled_c
from simulators.physics.sun import Side, Site
from simulators.physics.weather import WeatherSettings
from simulators.thermometers.devices import ThermometerSettings
from simulators.thermometers.faults import Fault
from simulators.towns.events import Event
from simulators.towns.layout import Plan

_HOUR_S = 3_600.0
_EVIDENT_COOLING_H = 50.0
_COLD_C = (16.6, 16.7)
_VERY_COLD_C = 14.4
_WELL_C = 19.4
_ADJUSTMENTS = 3


@dataclass(frozen=True, slots=True)
class PhysicsSettings:
    """What a town's houses and stations are like.

    Attributes
    ----------
    envelope_shares
        Shares of houses built before 1980, until 2000, and later; they add up to 1.
    valve_share
        Share of rooms with a thermostatic valve.
    people_w_m2
        What people and appliances bring on the mean of a day [W/m2].
    opens_per_day
        How often a day a window is opened in a room when it is mild.
    supply_c, return_c
        Water to and from radiators on the coldest day for which they were laid out [degC].
    coldest_below_mean_k
        How much colder than the weather's mean that day is [K].
    capacity_margin
        Capacity of a station as a multiple of the heat on that day.
    site
        Where the sun stands.
    """

    envelope_shares: tuple[float, float, float] = (0.3, 0.4, 0.3)
    valve_share: float = 0.25
    people_w_m2: float = 4.0
    opens_per_day: float = 1.0
    supply_c: float = 65.0
    return_c: float = 45.0
    coldest_below_mean_k: float = 10.0
    capacity_margin: float = 1.2
    site: Site = field(default_factory=Site)

    def __post_init__(self) -> None:
        """Refuse what makes no house."""
        if min(self.envelope_shares) < 0 or not np.isclose(sum(self.envelope_shares), 1.0):
            raise BadInput("envelope_shares must be shares of a whole", where="town: physics")
        if not Curve().room_c < self.return_c < self.supply_c:
            mend = f"supply_c above return_c, and that above the {Curve().room_c} degC of a room"
            raise BadInput("such water heats no room", where="town: physics", mend=mend)
        refuse_senseless(self, "town: physics", not_below_0=("people_w_m2", "opens_per_day", "capacity_margin"))


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
        Time between two readings of a thermometer [s].
    cold_rooms
        Rooms whose radiator is too small by day; the first of them violates by night too.
    outage_after_h, outage_h
        When after the start one building loses its heat, and for how long [h]; 0 long for never.
    silent_after_h, silent_h, silent_share
        When after the start one building's gateway falls silent, for how long [h], 0 for never, and for which
        share of the building's points.
    weather, thermometers, physics
        Settings of these parts.
    weather_file
        Weather that was measured (``time, outdoor_c``), in place of what `weather` makes up.
    events
        What else happens, beside the outage and the silence above.
    faults
        What else thermometers, gateways and the network do.
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
    physics: PhysicsSettings = field(default_factory=PhysicsSettings)
    weather_file: Path | None = None
    events: Sequence[Event] = ()
    faults: Sequence[Fault] = ()

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
    physics
        What the rooms and stations are.
    level_c
        Temperature at which rooms settle when it is the weather's mean outdoors [degC].
    cold, unheated, silent, broken
        Too small a radiator; in the building that loses its heat; behind the silent gateway; with a thermometer
        that sends what cannot be read.
    outage_ms, silence_ms
        Beginning (included) and end (excluded).
    """

    physics: Physics
    level_c: Float64
    cold: Bool
    unheated: Bool
    silent: Bool
    broken: Bool
    outage_ms: tuple[int, int]
    silence_ms: tuple[int, int]


def cast(settings: TownSettings, plan: Plan, names: Sequence[str], mean_c: float, rng: np.random.Generator) -> Cast:
    """Draw the rooms and hand out the parts.

    Parameters
    ----------
    settings
        Size, and how many of what.
    plan
        Where each room is.
    names
        Names of the stations.
    mean_c
        Outdoor temperature at which cold rooms are as cold, and all others as warm, as they are meant to be [degC].
    rng
        Where all draws come from.
    """
    building = plan.building
    outage_ms = settings.window_ms(settings.outage_after_h, settings.outage_h)
    silence_ms = settings.window_ms(settings.silent_after_h, settings.silent_h)
    fabric = _draw_fabric(settings.physics, plan, rng)
    lost_building = _evident_building(fabric.cooling_h(), building)
    unheated = (building == lost_building) & (outage_ms[1] > outage_ms[0])
    silent = _draw_silent(settings, building, lost_building, rng) & (silence_ms[1] > silence_ms[0])
    cold_rooms = _draw_some(_first_with_any(~unheated & ~silent, ~unheated), settings.cold_rooms, rng)
    cold = np.isin(np.arange(building.size), cold_rooms)
    broken_room = _draw_some(~(unheated | silent | cold), 1, rng)
    fabric = replace(fabric, side=np.where(cold, int(Side.NORTH), fabric.side))
    wanted_c = np.where(cold, rng.uniform(*_COLD_C, building.size), _WELL_C)
    wanted_c[cold_rooms[:1]] = _VERY_COLD_C
    physics, level_c = _draw_physics(settings.physics, plan, names, fabric, _Wanted(mean_c, wanted_c, cold), rng)
    broken = np.isin(np.arange(building.size), broken_room)
    return Cast(physics, level_c, cold, unheated, silent, broken, outage_ms, silence_ms)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """How warm rooms are to be [degC] when it is `mean_c` outdoors: `cold` ones just so, others at least."""

    mean_c: float
    room_c: Float64
    cold: Bool


def _draw_fabric(settings: PhysicsSettings, plan: Plan, rng: np.random.Generator) -> Fabric:
    shares = np.array(settings.envelope_shares)
    classes = rng.choice(len(ENVELOPES), int(plan.building[-1]) + 1, p=shares / shares.sum()).astype(np.int64)
    return draw_fabric(locate(plan.building, plan.unit, plan.floor, plan.flat), classes[plan.building], rng)


def _draw_physics(
    settings: PhysicsSettings,
    plan: Plan,
    names: Sequence[str],
    fabric: Fabric,
    wanted: _Wanted,
    rng: np.random.Generator,
) -> tuple[Physics, Float64]:
    """Return the physics, and the temperatures at which rooms settle."""
    curve = Curve(settings.supply_c, settings.return_c, wanted.mean_c - settings.coldest_below_mean_k)
    people_w = settings.people_w_m2 * fabric.area_m2 * np.where(wanted.cold, 0.6, rng.uniform(0.6, 1.4, fabric.rooms))
    habits = Habits(people_w, np.where(wanted.cold, 0.0, settings.opens_per_day))
    radiators = draw_radiators(fabric, plan.distance, curve, settings.valve_share, rng)
    supply_c = float(curve.aim_c(np.array([wanted.mean_c]))[0])
    steadiness = Steadiness(wanted.mean_c, supply_c, people_w)
    radiators, level_c = _adjusted(radiators, fabric, steadiness, wanted)
    stations = Stations.of(tuple(names), plan.station, radiators.flow_w_k, curve, settings.capacity_margin)
    return Physics(fabric, radiators, stations, habits, settings.site), level_c


def _adjusted(
    radiators: Radiators, fabric: Fabric, steadiness: Steadiness, wanted: _Wanted
) -> tuple[Radiators, Float64]:
    """Give cold rooms too small a radiator, and a larger one to those that were not meant to be cold.

    Since each room warms its neighbours, this is done some times over.
    """
    level_c = settled_c(radiators, fabric, steadiness)[0]
    changed = wanted.cold
    for _ in range(_ADJUSTMENTS):
        changed = changed | (level_c < wanted.room_c)
        radiators = resize(radiators, fabric, steadiness, wanted.room_c, changed, level_c)
        level_c = settled_c(radiators, fabric, steadiness)[0]
    return radiators, level_c


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
