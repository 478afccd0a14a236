"""Follows what judging has done and keeps the tallies of compliance rates up to it, by days and buildings.

First it looks which days have to be tallied anew: those that new readings or changed findings touch, those since it
looked last, and all of them where the register, the rules or the zone are others. Then it tallies them from the store,
the latest first, one day at a time. A tally depends on what is stored and found only, so that doing it again changes
nothing; what was begun when it is killed is done again.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from analytics.layout.rows import by_point
from analytics.layout.sources import NOBODY, SourceMap
from analytics.layout.timeline import Timeline, lay_out
from analytics.live import SPAN
from analytics.points.faults import KINDS, LOW_BATTERY, UNTRUSTED
from analytics.rates.tally import Faults, Place, day_begins, places_of, tally
from heatwatch import __version__
from heatwatch.domain.compliance import FIELDS
from heatwatch.domain.findings import FindingKind, SubjectKind
from heatwatch.domain.instants import DAY_MS, MINUTE_MS, from_ms
from heatwatch.domain.register import FAR_FUTURE_MS, Register
from heatwatch.domain.supply import rooms_only
from heatwatch.domain.temperature import Standard
from heatwatch.records.database import Records
from heatwatch.records.progress import progress
from heatwatch.records.schema import (
    Arrival,
    ComplianceDay,
    ComplianceFault,
    ComplianceProgress,
    FindingRow,
    ReadingCount,
)
from heatwatch.stores.readings import ReadingStore
from heatwatch.usecases.compliance import ONLY, next_due, put_days, set_due
from heatwatch.usecases.findings import changed_since, last_change
from heatwatch.usecases.register import current_register
from heatwatch.usecases.roles import Wake, follow

log = logging.getLogger(__name__)

Int64 = NDArray[np.int64]

ROLE = "rates"
FOLLOWS = "analytics"
AT_ONCE = 1000
"""Arrivals looked at in one pass."""
BUILDINGS_AT_ONCE = 500
"""Buildings of one day tallied in one pass."""
BACK_DAYS = 400
"""Days further back are not tallied, be there readings or not: a clock gone wrong would ask for thousands of them."""
_KINDS = (FindingKind.SENSOR_FAULT, FindingKind.HEAT_OUTAGE)
_HARD = frozenset(KINDS[kind] for kind in UNTRUSTED)


@dataclass(frozen=True, slots=True)
class _Bench:
    """A register laid out."""

    key: str
    timeline: Timeline
    sources: SourceMap
    places: Sequence[Place]
    place_of_row: Int64
    buildings_of: dict[str, frozenset[str]]
    """Of a point, or of a source."""
    buildings_at: dict[str, frozenset[str]]
    """Of a station."""
    hold_ms: int


class RatesWorker:
    """Keeps the tallies of compliance rates.

    Parameters
    ----------
    records, store
        Where arrivals and findings are read and tallies are kept; where readings are.
    standard, zone
        The dated rules, and the zone whose local days are tallied.
    bell
        Rung when something was committed.
    every_min
        How often it looks what has changed [min], by the moment for which findings hold; and at local midnight.
    late_days
        Readings that arrived more than so many days after they were measured are not judged; None: all are.
    """

    name = ROLE

    def __init__(
        self,
        records: Records,
        store: ReadingStore,
        standard: Standard,
        zone: ZoneInfo,
        bell: Wake,
        *,
        every_min: float = 60.0,
        late_days: float | None = None,
    ) -> None:
        self._records, self._store, self._standard, self._zone, self._bell = records, store, standard, zone, bell
        self._every_ms = int(every_min * MINUTE_MS)
        self._late_most_ms = None if late_days is None else round(late_days * DAY_MS)
        self._bench: _Bench | None = None

    def run(self, stop: threading.Event) -> None:
        """Tally until told to stop; wait longer and longer while a store does not answer."""
        follow(ROLE, self.pass_once, self._bell, stop)

    def pass_once(self) -> bool:
        """Look what has to be tallied anew, or tally a day; say whether there was anything to do."""
        return self._look() or self._tally()

    # --- what is due

    def _look(self) -> bool:
        with self._records.read() as session:
            judged, done = progress(session, FOLLOWS), session.get(ComplianceProgress, ONLY)
            as_of_ms = None if judged is None else judged.as_of_ms
            if as_of_ms is None or (done is not None and not self._is_time(done.as_of_ms, as_of_ms)):
                return False
            bench = self._set_up(session)
        if bench is None:
            return False
        with self._records.write() as session:
            self._look_on(session, bench)
        return True

    def _is_time(self, done_ms: int | None, as_of_ms: int) -> bool:
        if done_ms is None or as_of_ms - done_ms >= self._every_ms:
            return True
        return as_of_ms > done_ms and self._day(as_of_ms) > self._day(done_ms)

    def _look_on(self, session: Session, bench: _Bench) -> None:
        judged = progress(session, FOLLOWS)
        if judged is None or judged.as_of_ms is None:
            return
        done = session.get(ComplianceProgress, ONLY)
        if done is None:
            done = ComplianceProgress(id=ONLY, key="", arrival_seq=0, change_seq=0, as_of_ms=None, first_day=None)
            session.add(done)
        today = self._day(judged.as_of_ms)
        if done.key != bench.key:
            log.info("tallying every day anew", extra={"points": len(bench.timeline.points)})
            self._all_due(session, bench, done, today)
        upto = select(Arrival).where(Arrival.seq > done.arrival_seq, Arrival.seq <= judged.arrival_seq)
        arrivals = session.scalars(upto.order_by(Arrival.seq).limit(AT_ONCE)).all()
        self._arrived(session, bench, arrivals, done, judged.as_of_ms)
        if len(arrivals) == AT_ONCE:
            done.arrival_seq, done.as_of_ms = arrivals[-1].seq, None
            return
        self._changed(session, bench, done, judged.as_of_ms)
        since = today if done.as_of_ms is None else self._day(done.as_of_ms)
        set_due(session, _all_of(_days(since, today), self._buildings(bench)))
        done.arrival_seq, done.as_of_ms = judged.arrival_seq, judged.as_of_ms

    def _all_due(self, session: Session, bench: _Bench, done: ComplianceProgress, today: date) -> None:
        """Have every day tallied anew, of buildings that are no longer in the register too."""
        there = select(ComplianceDay.day, ComplianceDay.building_id).distinct()
        set_due(session, ((row.day, row.building_id) for row in session.execute(there)))
        if done.first_day is not None:
            set_due(session, _all_of(_days(date.fromisoformat(done.first_day), today), self._buildings(bench)))
        done.key, done.arrival_seq, done.as_of_ms = bench.key, 0, None

    def _arrived(
        self, session: Session, bench: _Bench, arrivals: Sequence[Arrival], done: ComplianceProgress, as_of_ms: int
    ) -> None:
        """Have the days tallied anew that readings touch, as far as they hold or are held over."""
        due = set[tuple[str, str]]()
        today = self._day(as_of_ms)
        first = today + timedelta(days=1) if done.first_day is None else date.fromisoformat(done.first_day)
        before = first
        for arrival in arrivals:
            for source, first_ms, last_ms, _ in arrival.touched:
                if source in bench.buildings_of and first_ms <= as_of_ms:
                    days = self._within(first_ms - 2 * bench.hold_ms, last_ms + 2 * bench.hold_ms, as_of_ms)
                    due |= set(_all_of(days, bench.buildings_of[source]))
                    first = min([first, *self._within(first_ms, last_ms, as_of_ms)[:1]])
        due |= set(_all_of(_days(first, min(before - timedelta(days=1), today)), self._buildings(bench)))
        set_due(session, (one for one in due if one[0] >= first.isoformat()))
        done.first_day = None if first > today else first.isoformat()

    def _changed(self, session: Session, bench: _Bench, done: ComplianceProgress, as_of_ms: int) -> None:
        """Have the days tallied anew on which a finding says something else than when it was looked at last."""
        due = set[tuple[str, str]]()
        for row in changed_since(session, done.change_seq):
            if row.kind not in _KINDS:
                continue
            was = session.get(ComplianceFault, row.id)
            old = None if was is None else (was.start_ms, was.end_ms)
            now = None if row.withdrawn else (row.start_ms, row.end_ms)
            for start_ms, end_ms in _differing(old, now):
                days = self._within(start_ms, min(end_ms, as_of_ms), as_of_ms)
                due |= set(_all_of(days, self._concerned(bench, row)))
            if now is not None:
                session.merge(ComplianceFault(finding_id=row.id, start_ms=now[0], end_ms=now[1]))
            elif was is not None:
                session.delete(was)
        earliest = done.first_day or ""
        set_due(session, (one for one in due if one[0] >= earliest))
        done.change_seq = last_change(session)

    @staticmethod
    def _concerned(bench: _Bench, row: FindingRow) -> Collection[str]:
        if row.subject_kind == SubjectKind.BUILDING:
            return (row.subject_id,)
        if row.subject_kind == SubjectKind.STATION:
            return bench.buildings_at.get(row.subject_id, frozenset())
        return bench.buildings_of.get(row.subject_id, frozenset())

    def _within(self, first_ms: int, last_ms: int, as_of_ms: int) -> list[date]:
        earliest = self._day(as_of_ms) - timedelta(days=BACK_DAYS)
        return _days(max(self._day(max(first_ms, 0)), earliest), self._day(max(min(last_ms, as_of_ms), 0)))

    def _day(self, ms: int) -> date:
        return from_ms(ms).astimezone(self._zone).date()

    @staticmethod
    def _buildings(bench: _Bench) -> Collection[str]:
        return bench.timeline.buildings

    def _set_up(self, session: Session) -> _Bench | None:
        """Lay out the register in force; before the first import one of all who have spoken."""
        held = current_register(session)
        if held is not None:
            register = held[1]
        else:
            kept = select(ReadingCount.source).where(ReadingCount.stored + ReadingCount.conflict > 0)
            register = Register.implied_by(rooms_only(session.scalars(kept.distinct())))
        if not register.rows:
            return None
        said = repr((__version__, FIELDS, register, self._standard, self._zone.key, self._late_most_ms))
        key = hashlib.sha256(said.encode()).hexdigest()
        if self._bench is None or self._bench.key != key:
            self._bench = _laid_out(key, register, self._standard, self._zone)
        return self._bench

    # --- tallying

    def _tally(self) -> bool:
        with self._records.read() as session:
            due, done = next_due(session, BUILDINGS_AT_ONCE), session.get(ComplianceProgress, ONLY)
            if due is None or done is None or done.as_of_ms is None:
                return False
            bench = self._set_up(session)
            if bench is None or bench.key != done.key:
                return False
            day, buildings = due
            start_ms = day_begins(date.fromisoformat(day), self._zone)
            ends_ms = day_begins(date.fromisoformat(day) + timedelta(days=1), self._zone)
            window = (start_ms, max(start_ms, min(ends_ms, done.as_of_ms)))
            faults = _faults(session, bench.timeline, window)
        made = list(
            self._tallies(bench, buildings, faults, window, last=window[1] == done.as_of_ms, as_of=done.as_of_ms)
        )
        with self._records.write() as session:
            put_days(session, day, buildings, made)
        log.debug("tallied", extra={"day": day, "buildings": len(buildings), "points": len(made)})
        return True

    def _tallies(
        self,
        bench: _Bench,
        buildings: Collection[str],
        faults: Faults,
        window: tuple[int, int],
        *,
        last: bool,
        as_of: int,
    ) -> Iterator[dict[str, Any]]:
        """Give the rows of one day of some buildings."""
        timeline, wanted = bench.timeline, frozenset(buildings)
        theirs = np.array([name in wanted for name in timeline.buildings], dtype=np.bool_)
        points = np.unique(timeline.rows.point[theirs[timeline.rows.building]]).astype(np.int64)
        if not len(points):
            return
        readings = self._store.read(
            bench.sources.sources(points.tolist()),
            window[0] - bench.hold_ms - DAY_MS,
            min(window[1] + 2 * bench.hold_ms, as_of) + 1,
            late_most_ms=self._late_most_ms,
        )
        index_of = np.full(len(timeline.points) + 1, NOBODY, dtype=np.int32)
        index_of[points] = np.arange(len(points), dtype=np.int32)
        index = index_of[bench.sources.points(readings)]
        own = index != NOBODY
        rows = by_point(index[own], readings.time_ms[own], readings.temp_c[own], len(points))
        made = tally(timeline, bench.place_of_row, points, rows, faults, window, to_the_last=last)
        for point, number, place, *sums in made.tolist():
            home = bench.places[place]
            if home.building_id in wanted:
                yield {
                    "day": (date(1970, 1, 1) + timedelta(days=number)).isoformat(),
                    "building_id": home.building_id,
                    "point_id": timeline.points[point],
                    "station_id": home.station_id,
                    "room": home.room,
                    "room_class": home.room_class,
                    **dict(zip(FIELDS, sums, strict=True)),
                }


def _laid_out(key: str, register: Register, standard: Standard, zone: ZoneInfo) -> _Bench:
    timeline = lay_out(register, standard, zone, SPAN)
    places, place_of_row = places_of(register)
    of_point, of_source, at_station = (defaultdict[str, set[str]](set) for _ in range(3))
    for row in register.rows:
        of_point[row.point_id].add(row.building_id)
        at_station[row.station_id].add(row.building_id)
    for row in register.rows:
        for source in {row.point_id, row.device_id or row.point_id}:
            of_source[source] |= of_point[row.point_id]
    return _Bench(
        key,
        timeline,
        SourceMap(register, timeline.points),
        places,
        place_of_row,
        {name: frozenset(buildings) for name, buildings in of_source.items()},
        {name: frozenset(buildings) for name, buildings in at_station.items()},
        int(timeline.rows.hold_ms.max()),
    )


def _faults(session: Session, timeline: Timeline, window: tuple[int, int]) -> Faults:
    """Return the findings that keep time of a window out of the rates."""
    lasting = (FindingRow.start_ms <= window[1], or_(FindingRow.end_ms.is_(None), FindingRow.end_ms > window[0]))
    kinds = [str(kind) for kind in _KINDS]
    query = select(FindingRow).where(FindingRow.kind.in_(kinds), FindingRow.withdrawn.is_(False), *lasting)
    points, odd, buildings, stations = (list[tuple[int, int, int]]() for _ in range(4))
    names = {
        SubjectKind.POINT: {name: code for code, name in enumerate(timeline.points)},
        SubjectKind.BUILDING: {name: code for code, name in enumerate(timeline.buildings)},
        SubjectKind.STATION: {name: code for code, name in enumerate(timeline.stations)},
    }
    for row in session.scalars(query):
        subject = SubjectKind(row.subject_kind)
        number = names[subject].get(row.subject_id)
        if number is None:
            continue
        span = (number, row.start_ms, FAR_FUTURE_MS if row.end_ms is None else row.end_ms)
        if subject is SubjectKind.BUILDING:
            buildings.append(span)
        elif subject is SubjectKind.STATION:
            stations.append(span)
        elif row.detail["kind"] in _HARD:
            points.append(span)
        elif row.detail["kind"] != KINDS[LOW_BATTERY]:
            odd.append(span)
    return Faults(*(np.array(spans, dtype=np.int64).reshape(-1, 3) for spans in (points, odd, buildings, stations)))


Span = tuple[int, int | None]


def _differing(old: Span | None, now: Span | None) -> Iterator[tuple[int, int]]:
    """Give the spans that lie in one of two, not in both."""
    spans = [span for span in (old, now) if span is not None]
    ends = [FAR_FUTURE_MS if end is None else end for _, end in spans]
    starts = [start for start, _ in spans]
    if len(spans) == 1:
        yield starts[0], ends[0]
        return
    if starts and starts[0] != starts[1]:
        yield min(starts), max(starts)
    if ends and ends[0] != ends[1]:
        yield min(ends), max(ends)


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _all_of(days: Collection[date], buildings: Collection[str]) -> Iterator[tuple[str, str]]:
    return ((day.isoformat(), building) for day in days for building in buildings)
