"""What happens to plant and rooms, how it acts, and what is true while it does.

An event is plain data: what happens to whom from when to when. It gives each step of the model the shares by which it
changes flow, capacity and supply temperature, and says which findings are true because of it: a heat outage, a
reported stop, a leak, or none at all, since many things that make rooms cold are no outage.

::

    BoilerTrip, PumpFailure     heat outage of a station and its houses
    BurstMain                   heat outage, a report of the leak, and the stop that follows it
    PlannedStop                 heat outage; a reported stop where notice was given
    ClosedValve, AirInRiser, NightSetback, SeasonStart, WeakStation, DisconnectedHome       no outage
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from heatwatch.domain.findings import SubjectKind
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS
from heatwatch.domain.register import FAR_FUTURE_MS, PointRow
from heatwatch.errors import BadInput
from simulators.arrays import Bool, Float64, Int64
from simulators.bounds import refuse_senseless

TOWN, STATION, BUILDING, RISER, ROOM = "town", "station", "building", "riser", "room"
_KEYS = {STATION: "station_id", BUILDING: "building_id", RISER: "riser", ROOM: "point_id"}


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom something happens to: a ``station``, a ``building``, a ``riser`` or a ``room`` of the register.

    A room is named by its point; the whole ``town`` has no name.
    """

    kind: str
    name: str = ""

    def __post_init__(self) -> None:
        """Refuse a kind that nobody knows, and a town with a name."""
        kinds = (TOWN, *_KEYS)
        if self.kind not in kinds:
            raise BadInput(f"{self.kind!r} is no kind of subject", where="subject", mend=f"one of {', '.join(kinds)}")
        if self.kind == TOWN and self.name:
            raise BadInput(f"a town has no name, but {self.name!r} is given", where="subject", mend="leave it out")

    @property
    def said(self) -> str:
        """Return it as one says it."""
        return f"{self.kind} {self.name}".strip()

    def among(self, points: Sequence[PointRow]) -> Bool:
        """Mark the rooms that belong to it: shape (rooms,).

        Raises
        ------
        BadInput
            If there are none.
        """
        if self.kind == TOWN:
            return np.ones(len(points), dtype=np.bool_)
        rooms = np.array([getattr(row, _KEYS[self.kind]) == self.name for row in points], dtype=np.bool_)
        if not rooms.any():
            raise BadInput(f"the town has no {self.kind} {self.name}", where="town")
        return rooms


@dataclass(frozen=True, slots=True)
class Action:
    """What an event does in each of some steps; arrays of shape (steps,), 1 and 0 where it does nothing.

    Attributes
    ----------
    flow
        Share of the water that flows through the subject's rooms.
    capacity
        Share of its capacity that the subject's station has.
    supply
        Share of the way from a cold loop to the curve that the station's supply may go.
    lowered_k
        By how much the station's curve is lowered [K].
    """

    flow: Float64
    capacity: Float64
    supply: Float64
    lowered_k: Float64

    @classmethod
    def none(cls, steps: int) -> Action:
        """Return one that does nothing."""
        return cls(np.ones(steps), np.ones(steps), np.ones(steps), np.zeros(steps))

    @property
    def idle(self) -> bool:
        """Whether it does nothing in any step."""
        full = [self.flow, self.capacity, self.supply]
        return all((share == 1.0).all() for share in full) and not self.lowered_k.any()


@dataclass(frozen=True, slots=True)
class Stop:
    """A reported stop, as a row of a file of stops; instants [ms]."""

    subject: Subject
    start_ms: int
    end_ms: int
    planned: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Leak:
    """A report of a leak: where, and when it was known [ms]."""

    subject: Subject
    reported_ms: int


_SHARES = frozenset({"circulates", "leaves", "passes", "has"})


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens to a subject from `start_ms` (included) to `end_ms` (excluded) [ms].

    What acts does so in whole steps of the model: from the step's edge that is nearest to the beginning to the one
    that is nearest to the end.
    """

    subject: Subject
    start_ms: int
    end_ms: int

    needs_station: ClassVar[bool] = False
    """Whether it acts on a station as a whole."""
    stops_heat: ClassVar[bool] = False
    """Whether its subject has no heat."""

    def __post_init__(self) -> None:
        """Refuse an event that ends before it begins."""
        if self.end_ms < self.start_ms:
            raise BadInput(f"{type(self).__name__} of {self.subject.said} ends before it begins", where="event")
        if self.stops_heat and self.subject.kind == TOWN:
            mend = "name its stations one by one"
            raise BadInput(f"{type(self).__name__} does not happen to a whole town", where="event", mend=mend)
        if self.needs_station and self.subject.kind not in {STATION, TOWN}:
            raise BadInput(f"{type(self).__name__} happens to a station, not to a {self.subject.kind}", where="event")
        refuse_senseless(self, "event", shares=_SHARES)

    def during(self, middle_ms: Int64) -> Bool:
        """Mark the steps in which it acts by their middles [ms]; both of shape (steps,)."""
        return (middle_ms >= self.start_ms) & (middle_ms < self.end_ms)

    def act(self, middle_ms: Int64) -> Action:
        """Return what it does in steps with these middles [ms], shape (steps,)."""
        return Action.none(middle_ms.size)

    def stops(self) -> list[Stop]:
        """Return the stops that are reported because of it."""
        return []

    def leaks(self) -> list[Leak]:
        """Return the leaks that are reported because of it."""
        return []

    def _shares(self, middle_ms: Int64, name: str, value: float | Float64) -> Action:
        action = Action.none(middle_ms.size)
        here = self.during(middle_ms)
        values = {one: getattr(action, one) for one in Action.__slots__}
        values[name] = np.where(here, value, values[name])
        return Action(**values)


class _OfStation(Event):
    __slots__ = ()

    needs_station: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class BoilerTrip(_OfStation):
    """The source gives no heat; the pump goes on, and the loop cools down through the radiators."""

    stops_heat: ClassVar[bool] = True

    def act(self, middle_ms: Int64) -> Action:
        """No capacity."""
        return self._shares(middle_ms, "capacity", 0.0)


@dataclass(frozen=True, slots=True)
class PumpFailure(_OfStation):
    """The loop stands, but for what circulates by itself.

    Attributes
    ----------
    circulates
        Share of the flow that warm water drives by itself.
    """

    circulates: float = 0.03

    stops_heat: ClassVar[bool] = True

    def act(self, middle_ms: Int64) -> Action:
        """Next to no flow."""
        return self._shares(middle_ms, "flow", self.circulates)


@dataclass(frozen=True, slots=True)
class BurstMain(Event):
    """A main bursts and is shut off until it is mended.

    Attributes
    ----------
    reported_after_ms
        When after the burst somebody reports the leak [ms].
    """

    reported_after_ms: int = 20 * MINUTE_MS

    stops_heat: ClassVar[bool] = True

    def act(self, middle_ms: Int64) -> Action:
        """No flow."""
        return self._shares(middle_ms, "flow", 0.0)

    def stops(self) -> list[Stop]:
        """Return the stop as the company reports it."""
        return [Stop(self.subject, self.start_ms, self.end_ms, planned=False, reason="burst main")]

    def leaks(self) -> list[Leak]:
        """Return the report of the leak."""
        return [Leak(self.subject, self.start_ms + self.reported_after_ms)]


@dataclass(frozen=True, slots=True)
class PlannedStop(Event):
    """The company shuts heat off for work.

    Attributes
    ----------
    notice
        Whether it said so beforehand.
    reason
        What for.
    """

    notice: bool = True
    reason: str = "works on the network"

    stops_heat: ClassVar[bool] = True

    def act(self, middle_ms: Int64) -> Action:
        """No flow."""
        return self._shares(middle_ms, "flow", 0.0)

    def stops(self) -> list[Stop]:
        """Return the stop, where notice was given."""
        if not self.notice:
            return []
        return [Stop(self.subject, self.start_ms, self.end_ms, planned=True, reason=self.reason)]


@dataclass(frozen=True, slots=True)
class ClosedValve(Event):
    """A valve of a room or a riser is frozen or closed: cold rooms, but no outage.

    Attributes
    ----------
    leaves
        Share of the flow that still passes.
    """

    leaves: float = 0.0

    def act(self, middle_ms: Int64) -> Action:
        """Less flow, or none."""
        return self._shares(middle_ms, "flow", self.leaves)


@dataclass(frozen=True, slots=True)
class AirInRiser(Event):
    """Air has gathered in a riser, and little water passes until it is let out.

    Attributes
    ----------
    passes
        Share of the flow that passes.
    """

    passes: float = 0.12

    def act(self, middle_ms: Int64) -> Action:
        """Less flow."""
        return self._shares(middle_ms, "flow", self.passes)


@dataclass(frozen=True, slots=True)
class NightSetback(_OfStation):
    """A station lowers its supply every night.

    Attributes
    ----------
    from_h, to_h
        Local hours between which it does so; the night may contain midnight [h].
    by_k
        By how much the supply temperature is lower [K].
    utc_offset_h
        Local time less UTC [h].
    declared
        Whether it is agreed: the register then says which hours are heated.
    """

    from_h: float = 22.0
    to_h: float = 5.0
    by_k: float = 12.0
    utc_offset_h: float = 8.0
    declared: bool = False

    def act(self, middle_ms: Int64) -> Action:
        """Lower the curve by night."""
        hour = (middle_ms / HOUR_MS + self.utc_offset_h) % 24.0
        since, lasts = (hour - self.from_h) % 24.0, (self.to_h - self.from_h) % 24.0
        return self._shares(middle_ms, "lowered_k", np.where(since < lasts, self.by_k, 0.0))


@dataclass(frozen=True, slots=True)
class SeasonStart(_OfStation):
    """A season begins: loops are filled and warmed day by day, from cold to the curve, until it ends.

    Attributes
    ----------
    cold_ms
        How long it stays cold while the loops are filled [ms].
    """

    cold_ms: int = DAY_MS

    def act(self, middle_ms: Int64) -> Action:
        """Let the supply rise to the curve."""
        warming_ms = max(self.end_ms - self.start_ms - self.cold_ms, 1)
        return self._shares(
            middle_ms, "supply", np.clip((middle_ms - self.start_ms - self.cold_ms) / warming_ms, 0.0, 1.0)
        )


@dataclass(frozen=True, slots=True)
class WeakStation(_OfStation):
    """A station has less capacity than it was laid out for, which shows in a cold snap.

    Attributes
    ----------
    has
        Share of its capacity that it has.
    """

    has: float = 0.6

    def act(self, middle_ms: Int64) -> Action:
        """Less capacity."""
        return self._shares(middle_ms, "capacity", self.has)


@dataclass(frozen=True, slots=True)
class DisconnectedHome(Event):
    """A home is cut off the loop, its contract suspended; only its neighbours warm it."""

    end_ms: int = FAR_FUTURE_MS

    def act(self, middle_ms: Int64) -> Action:
        """No flow."""
        return self._shares(middle_ms, "flow", 0.0)


EVENTS: Mapping[str, type[Event]] = {
    "boiler_trip": BoilerTrip,
    "pump_failure": PumpFailure,
    "burst_main": BurstMain,
    "planned_stop": PlannedStop,
    "closed_valve": ClosedValve,
    "air_in_riser": AirInRiser,
    "night_setback": NightSetback,
    "season_start": SeasonStart,
    "weak_station": WeakStation,
    "disconnected_home": DisconnectedHome,
}
"""Every event by the name that files give it."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A heat outage that an event makes, from `start_ms` (included) to `end_ms` (excluded) [ms]."""

    kind: SubjectKind
    name: str
    start_ms: int
    end_ms: int
    points: int


def outages(event: Event, points: Sequence[PointRow]) -> list[Outage]:
    """Return the heat outages that are true because of an event: of a station, and of each house without heat.

    Nothing is true of what has no span. A stop of a riser or a room is an outage of nobody's house, and a station of
    one house has none of its own.
    """
    if not event.stops_heat or event.end_ms <= event.start_ms or event.subject.kind not in {STATION, BUILDING}:
        return []
    rooms = [row for row, here in zip(points, event.subject.among(points).tolist(), strict=True) if here]
    buildings = [(SubjectKind.BUILDING, name) for name in dict.fromkeys(row.building_id for row in rooms)]
    whole = event.subject.kind == STATION and len(buildings) > 1
    stations = [(SubjectKind.STATION, event.subject.name)] if whole else []
    size = {name: sum(row.building_id == name for row in rooms) for _, name in buildings}
    return [
        Outage(kind, name, event.start_ms, event.end_ms, size.get(name, len(rooms)))
        for kind, name in (*stations, *buildings)
    ]
