"""Hours of rooms and supply sensors as points: those that arrivals touch, and days that are gone through anew.

What arrives has its hours worked out anew from the store, whole hours at a time, so that it does not matter in which
pieces it came. At the first start, and where the register or the rules are others, days are gone through instead, the
latest first.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from heatwatch.domain.instants import DAY_MS, HOUR_MS
from heatwatch.domain.register import FAR_PAST_MS, Register
from heatwatch.domain.supply import PREFIX, rooms_only
from heatwatch.domain.temperature import Standard
from heatwatch.records.schema import Arrival, FeedProgress, ReadingCount, RegisterImport
from heatwatch.stores.influx.asking import MOST_NAMED
from heatwatch.stores.influx.points import NS_PER_MS, line, series
from heatwatch.stores.influx.schema import ROOM_HOUR, SUPPLY_HOUR, WHOLE_STATION
from heatwatch.stores.readings import ReadingStore
from heatwatch.usecases.hours import Hours, Place, RoomHours, supply_hours
from heatwatch.usecases.register import current_register, differing, read_rows, register_version

ARRIVALS_AT_ONCE = 1000
ARRIVALS_HELD = 20
"""So many are read at a time: one may name thousands of sources."""
ROWS_AT_ONCE = 50_000
POINTS_AT_ONCE = 2000
"""The rows of a day of so many points are held at once; in less time those of more."""
POINTS_NAMED = MOST_NAMED * 2 // 5
"""A point may have been heard under two names, and now and then under a third."""
_NAMING_COSTS = 4
"""How many times as long a row takes when its source was named; measured at an InfluxDB 1.6."""
LINES_AT_ONCE = 20_000
BACK_DAYS = 400
"""Days further back are not told, be there readings or not: a clock gone wrong would ask for thousands of them."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Whole hours of some points and supply sensors: their rows are read at once."""

    start_ms: int
    end_ms: int
    points: tuple[str, ...] = ()
    supply: tuple[str, ...] = ()


@dataclass(slots=True)
class Plan:
    """What is to be told, and how far that brings the feed."""

    generation: int
    to: dict[str, Any]
    stretches: deque[Stretch] = field(default_factory=deque)
    before: Sequence[RoomHours] = ()
    """By which registers these stretches may have been told: what they had and the present one has not is void."""
    heard: dict[str, int] = field(default_factory=dict)
    refused: int = 0


class HoursFeed:
    """Plans what hours are to be told, and tells them.

    Parameters
    ----------
    store
        The readings.
    standard, zone
        What is asked of the rooms, and the company's time zone.
    late_most_ms
        Readings that arrived longer after they were measured are not judged [ms]; None: all are.
    """

    def __init__(self, store: ReadingStore, standard: Standard, zone: ZoneInfo, late_most_ms: int | None) -> None:
        self._store, self._standard, self._zone, self._late_most_ms = store, standard, zone, late_most_ms
        self._key = hashlib.sha256(repr((standard, zone.key, late_most_ms)).encode()).hexdigest()
        self._bench: tuple[int, Register, RoomHours] | None = None

    def plan(self, session: Session, done: FeedProgress, now_ms: int | None, upto: int) -> Plan | None:
        """Return what is to be told next; None where there is nothing.

        Parameters
        ----------
        session
            A session for looking.
        done
            How far has been told.
        now_ms
            The installation's clock [ms]; None before a replay has begun.
        upto
            The last arrival to be told. Where very many wait, they are told whatever it says.
        """
        version = register_version(session) or 0
        if (done.hours_key, done.register_version) != (self._key, version):
            return self._walk_anew(session, done, version, now_ms)
        arrived = self._arrivals(session, done, version, now_ms, upto)
        return arrived or self._walk(session, done, version)

    def told(self, plan: Plan) -> list[str]:
        """Return the lines of some of a plan's stretches, and take these from it."""
        lines: list[str] = []
        while plan.stretches and len(lines) < LINES_AT_ONCE:
            stretch = plan.stretches.popleft()
            lines += self._rooms(stretch, plan)
            lines += self._supply(stretch)
        return lines

    # --- planning

    def _walk_anew(self, session: Session, done: FeedProgress, version: int, now_ms: int | None) -> Plan:
        """Have days gone through: all of them, or those that another register may say something else of."""
        to: dict[str, Any] = {"hours_key": self._key, "register_version": version}
        if not done.hours_key:
            to["arrival_seq"] = session.scalar(select(func.max(Arrival.seq))) or 0
        days, _ = self._store.days()  # after that, or what arrived in between would be in neither
        if not len(days):
            return Plan(done.generation, to | {"walk": None})
        walk: dict[str, Any] = {"day": int(days[-1]), "first": int(days[0]), "points": None, "before": []}
        if done.hours_key and done.register_version != version:
            walk["before"] = [done.register_version]
        if done.hours_key == self._key and done.register_version and version:
            walk |= _difference(session, done.register_version, version)
        if done.walk is not None:
            walk = _both(walk, done.walk)
        earliest = (int(days[-1]) if now_ms is None else now_ms) - BACK_DAYS * DAY_MS
        walk["first"] = max(walk["first"], int(days[0]), earliest // DAY_MS * DAY_MS)
        return Plan(done.generation, to | {"walk": walk if walk["first"] <= walk["day"] else None})

    def _walk(self, session: Session, done: FeedProgress, version: int) -> Plan | None:
        """Go through one day more."""
        walk = done.walk
        if walk is None:
            return None
        day, bench = walk["day"], self._laid_out(session, version)
        later = {**walk, "day": day - DAY_MS}
        plan = Plan(done.generation, {"walk": later if later["day"] >= later["first"] else None})
        plan.before = [
            RoomHours(_register_of(session, one), self._standard, self._zone) for one in sorted(set(walk["before"]))
        ]
        names = walk["points"]
        if names is None:
            names = sorted({*bench.points, *chain.from_iterable(one.points for one in plan.before)})
            plan.stretches.extend(stretches(day, day + DAY_MS, (), _supply_sources(session), 0))
        plan.stretches.extend(stretches(day, day + DAY_MS, names, (), len(bench.points)))
        return plan

    def _arrivals(
        self, session: Session, done: FeedProgress, version: int, now_ms: int | None, upto: int
    ) -> Plan | None:
        last = session.scalar(select(func.max(Arrival.seq))) or 0
        many = last - done.arrival_seq >= ARRIVALS_AT_ONCE
        until = last if many else min(upto, last)
        if until <= done.arrival_seq:
            return None
        later = select(Arrival).where(Arrival.seq > done.arrival_seq, Arrival.seq <= until).order_by(Arrival.seq)
        arrivals = session.scalars(later.limit(ARRIVALS_AT_ONCE).execution_options(yield_per=ARRIVALS_HELD))
        spans: dict[str, list[tuple[int, int]]] = {}
        rows, told = 0, until
        for arrival in arrivals:
            if rows > ROWS_AT_ONCE:
                break
            for source, first_ms, last_ms, number in arrival.touched:
                spans.setdefault(source, []).append((first_ms, last_ms))
                rows += number
            told = arrival.seq
        arrivals.close()
        plan = Plan(done.generation, {"arrival_seq": told})
        bench = self._laid_out(session, version, spans)
        earliest_ms = (0 if now_ms is None else now_ms - BACK_DAYS * DAY_MS) // DAY_MS * DAY_MS
        hours = _hours_of(spans, earliest_ms)
        for (start_ms, end_ms), sources in sorted(hours.items()):
            supply = [source for source in sources if source.startswith(PREFIX)]
            points = bench.points_of(source for source in sources if not source.startswith(PREFIX))
            plan.stretches.extend(stretches(start_ms, end_ms, sorted(points), sorted(supply), len(bench.points)))
        return plan

    def _laid_out(self, session: Session, version: int, sources: Collection[str] = ()) -> RoomHours:
        """Return the register in force laid out; before the first import one of all who have spoken."""
        held = self._bench
        if held is not None and held[0] == version and (version or set(rooms_only(sources)) <= set(held[2].points)):
            return held[2]
        current = current_register(session)
        register = _implied(session, sources) if current is None else current[1]
        bench = RoomHours(register, self._standard, self._zone)
        self._bench = (version, register, bench)
        return bench

    # --- telling

    def _rooms(self, stretch: Stretch, plan: Plan) -> Iterator[str]:
        if not stretch.points or self._bench is None:
            return
        bench, before = self._bench[2], plan.before
        sources = bench.sources_of(stretch.points).union(*(one.sources_of(stretch.points) for one in before))
        start_ms, end_ms, wanted = stretch.start_ms, stretch.end_ms, frozenset(stretch.points)
        readings = self._store.read(sorted(sources), start_ms, end_ms, late_most_ms=self._late_most_ms)
        hours = _of_points(bench.hours(readings, start_ms, end_ms), bench.places, wanted)
        _hear(plan.heard, hours, bench.places)
        yield from room_lines(hours, bench.places)
        told = set(_keys(hours, bench.places)) if before else set()
        for one in before:
            was = _of_points(one.hours(readings, start_ms, end_ms), one.places, wanted)
            gone = (key for key in _keys(was, one.places) if key not in told)
            yield from (line(ROOM_HOUR, _tags(place), _VOID, hour_ms * NS_PER_MS) for place, hour_ms in gone)

    def _supply(self, stretch: Stretch) -> Iterator[str]:
        if not stretch.supply:
            return
        readings = self._store.read(
            list(stretch.supply), stretch.start_ms, stretch.end_ms, late_most_ms=self._late_most_ms
        )
        for (station, building, hour_ms), means in sorted(supply_hours(readings).items()):
            tags = {"station": station, "building": building or WHOLE_STATION}
            yield line(SUPPLY_HOUR, tags, means, hour_ms * NS_PER_MS)


_VOID = {"readings": 0, "violations": 0, "below_target": 0, "asked": False}


def room_lines(hours: Hours, places: Sequence[Place]) -> Iterator[str]:
    """Give hours as lines; one without a valid reading is void."""
    begin = {number: series(ROOM_HOUR, _tags(places[number])) for number in np.unique(hours.place).tolist()}
    columns = (getattr(hours, name).tolist() for name in _COLUMNS)
    for place, hour_ms, readings, violations, below, mean, low, high, last, minimum, target in zip(
        *columns, strict=True
    ):
        counts = f"readings={readings}i,violations={violations}i,below_target={below}i"
        temps = f",mean_c={mean!r},min_c={low!r},max_c={high!r},last_c={last!r}" if readings else ""
        asked = ",asked=false" if math.isnan(minimum) else f",asked=true,minimum_c={minimum!r},target_c={target!r}"
        yield f"{begin[place]} {counts}{temps}{asked} {hour_ms * NS_PER_MS}"


_COLUMNS = (
    "place",
    "hour_ms",
    "readings",
    "violations",
    "below_target",
    "mean_c",
    "min_c",
    "max_c",
    "last_c",
    "minimum_c",
    "target_c",
)


def _tags(place: Place) -> dict[str, str]:
    return {
        "station": place.station_id,
        "building": place.building_id,
        "point": place.point_id,
        "room": place.room,
        "room_class": place.room_class,
        "place": place.loop,
    }


def _of_points(hours: Hours, places: Sequence[Place], points: Collection[str]) -> Hours:
    """Leave out the hours of other points: of these not every source was read."""
    mine = np.array([place.point_id in points for place in places], np.bool_)
    kept = mine[hours.place] if len(hours) else np.zeros(0, np.bool_)
    return Hours(*(getattr(hours, name)[kept] for name in Hours.__slots__))


def _keys(hours: Hours, places: Sequence[Place]) -> Iterator[tuple[Place, int]]:
    return ((places[number], at) for number, at in zip(hours.place.tolist(), hours.hour_ms.tolist(), strict=True))


def _hear(heard: dict[str, int], hours: Hours, places: Sequence[Place]) -> None:
    """Write down when the newest row of each station was measured [ms]."""
    stations = sorted({place.station_id for place in places})
    code_of = {name: code for code, name in enumerate(stations)}
    station = np.array([code_of[place.station_id] for place in places], np.int64)[hours.place]
    newest = np.full(len(stations), FAR_PAST_MS, np.int64)
    np.maximum.at(newest, station, hours.heard_ms)
    for name, at_ms in zip(stations, newest.tolist(), strict=True):
        if at_ms > FAR_PAST_MS:
            heard[name] = max(at_ms, heard.get(name, at_ms))


def stretches(
    start_ms: int, end_ms: int, points: Sequence[str], supply: Sequence[str], points_in_all: int
) -> Iterator[Stretch]:
    """Cut a span of whole hours, of a day at most, into stretches whose rows can be held at once.

    A store that is asked for more sources than it names reads the rows of all there are. So few points are asked for
    by name, a span at once; many of them some hours at once, together; those in between by name, in several pieces.
    """
    if len(points) <= POINTS_NAMED or len(points) * _NAMING_COSTS < points_in_all:
        for some in _cut(points, POINTS_NAMED):
            yield Stretch(start_ms, end_ms, points=some)
    else:
        step_ms = max(1, POINTS_AT_ONCE * 24 // max(points_in_all, len(points))) * HOUR_MS
        for first_ms in range(start_ms, end_ms, step_ms):
            yield Stretch(first_ms, min(first_ms + step_ms, end_ms), points=tuple(points))
    for some in _cut(supply, MOST_NAMED):
        yield Stretch(start_ms, end_ms, supply=some)


def _cut(names: Sequence[str], most: int) -> Iterator[tuple[str, ...]]:
    return (tuple(names[first : first + most]) for first in range(0, len(names), most))


def _hours_of(spans: Mapping[str, Sequence[tuple[int, int]]], earliest_ms: int) -> dict[tuple[int, int], set[str]]:
    """Return which sources touch which stretches of whole hours [ms], none longer than a day."""
    found: dict[tuple[int, int], set[str]] = {}
    for source, several in spans.items():
        for first_ms, last_ms in several:
            start_ms, end_ms = max(first_ms, earliest_ms) // HOUR_MS * HOUR_MS, (last_ms // HOUR_MS + 1) * HOUR_MS
            for day in range(start_ms // DAY_MS * DAY_MS, end_ms, DAY_MS):
                found.setdefault((max(start_ms, day), min(end_ms, day + DAY_MS)), set()).add(source)
    return found


def _supply_sources(session: Session) -> list[str]:
    said = select(ReadingCount.source).where(ReadingCount.source.startswith(PREFIX, autoescape=True)).distinct()
    return sorted(session.scalars(said))


def _register_of(session: Session, version: int) -> Register:
    """Return a register by its version; 0 is the one before the first import."""
    row = session.get(RegisterImport, version)
    return _implied(session) if row is None else read_rows(row.rows)


def _implied(session: Session, sources: Collection[str] = ()) -> Register:
    kept = select(ReadingCount.source).where(ReadingCount.stored + ReadingCount.conflict > 0)
    return Register.implied_by({*rooms_only(session.scalars(kept.distinct())), *rooms_only(sources)})


def _difference(session: Session, old: int, new: int) -> dict[str, Any]:
    """Return of which points, and from which day on, a register says something else than an earlier one."""
    between = select(RegisterImport.from_ms).where(RegisterImport.version > old, RegisterImport.version <= new)
    since = list(session.scalars(between))
    rows = differing(_register_of(session, old), _register_of(session, new))
    points = {row.point_id for row in rows}
    points |= {row.device_id for row in rows if row.device_id is not None}  # which may be the name of another point
    told = [at for at in since if at is not None]
    first = min(told) // DAY_MS * DAY_MS if told and len(told) == len(since) else FAR_PAST_MS
    return {"points": sorted(points), "first": first}


def _both(walk: Mapping[str, Any], left: Mapping[str, Any]) -> dict[str, Any]:
    """Return what there is to go through where another walk was not done yet."""
    several = walk["points"] is None or left["points"] is None
    return {
        "day": max(walk["day"], left["day"]),
        "first": min(walk["first"], left["first"]),
        "points": None if several else sorted({*walk["points"], *left["points"]}),
        "before": sorted({*walk["before"], *left["before"]}),
    }
