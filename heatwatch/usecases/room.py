"""A room's story: what its point measured in a window of time, what was asked of it, what was found, which tickets.

It judges nothing anew: findings are those in the records. What is shown beside them, each reading's limit and whether
it is kept, is worked out from the same register, rules and definitions, so that a verdict can be checked by eye.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import IntEnum
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from heatwatch.domain.findings import FindingKind, SubjectKind
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, from_ms, to_ms
from heatwatch.domain.local_time import offsets
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import MINUTES_PER_DAY, MINUTES_PER_WEEK, Judging, Limit, Standard, Version
from heatwatch.records.schema import FindingRow, TicketFinding, TicketRow
from heatwatch.stores.readings import Float64, Int64, ReadingColumns, ReadingStore
from heatwatch.usecases.register import RegisterInForce, in_service, rows_of, sources_of

Int8 = NDArray[np.int8]
Bool = NDArray[np.bool_]
Bounds = tuple[int, int]
"""From an instant [ms] to another, excluded."""

_WEEK_MS = MINUTES_PER_WEEK * MINUTE_MS
_THURSDAY_MS = 3 * DAY_MS
"""How far 1970 began into a week."""


class Counted(IntEnum):
    """As what a reading counts; only valid ones are judged."""

    VALID = 0
    INVALID = 1
    """No finite number."""
    CONFLICT = 2
    """Another value of the same instant contradicts it."""
    OUT_OF_RANGE = 3


@dataclass(frozen=True, slots=True)
class Step:
    """What is asked from `start_ms` on, until the next step; None where nothing is."""

    start_ms: int
    limit: Limit | None


@dataclass(frozen=True, slots=True)
class Readings:
    """Rows of a point in time order, each told once; columns of one length.

    Attributes
    ----------
    time_ms
        When measured [ms].
    raw_c, temp_c
        As kept, and with the calibration in force then [degC]; NaN for no number.
    counted
        A `Counted` each.
    minimum_c, target_c
        What was asked then [degC], NaN where nothing was.
    violates
        Whether it is valid and strictly below the minimum.
    holds_ms
        For how long it says something [ms].
    """

    time_ms: Int64
    raw_c: Float64
    temp_c: Float64
    counted: Int8
    minimum_c: Float64
    target_c: Float64
    violates: Bool
    holds_ms: Int64

    def __len__(self) -> int:
        return len(self.time_ms)


@dataclass(frozen=True, slots=True)
class RoomStory:
    """What there is to tell of a point between `start_ms` and `end_ms`, excluded.

    Attributes
    ----------
    as_of_ms
        Until when the story goes [ms]: the installation's clock.
    row
        The register's row in force at the end, else the last one before; the one after where none was.
    rows
        The rows in force in the window, the oldest first.
    steps
        What was asked, the first from `start_ms` on.
    spells, silences, faults
        Cold spells, data outages and sensor faults of the point, the earliest first.
    outages
        Heat outages of its building or station while it was there, the earliest first.
    tickets
        Tickets that rest on any of these, or are about its room, the latest first.
    ticket_of
        The ticket of each finding that has one.
    """

    point_id: str
    start_ms: int
    end_ms: int
    as_of_ms: int
    row: PointRow
    rows: Sequence[PointRow]
    readings: Readings
    steps: Sequence[Step]
    spells: Sequence[FindingRow]
    silences: Sequence[FindingRow]
    faults: Sequence[FindingRow]
    outages: Sequence[FindingRow]
    tickets: Sequence[TicketRow]
    ticket_of: dict[int, int]

    def step_at(self, instant_ms: int) -> Limit | None:
        """Return what was asked at a moment of the window."""
        starts = [step.start_ms for step in self.steps]
        return self.steps[max(0, int(np.searchsorted(starts, instant_ms, side="right")) - 1)].limit


class RoomStories:
    """Tells stories of rooms; one for each user of one database.

    Parameters
    ----------
    store
        The readings.
    standard, zone
        What is asked of the rooms, and the company's time zone.
    """

    def __init__(self, store: ReadingStore, standard: Standard, zone: ZoneInfo) -> None:
        self._store, self._standard, self._zone = store, standard, zone
        self._register = RegisterInForce()

    def __call__(
        self, session: Session, point_id: str, window: Bounds, as_of_ms: int, stations: Collection[str] | None = None
    ) -> RoomStory | None:
        """Return a point's story; None where there is no such point among these stations.

        Parameters
        ----------
        session
            A session for looking.
        point_id
            The point.
        window
            From when to when, excluded [ms].
        as_of_ms
            The installation's clock [ms].
        stations
            Who asks sees what the register lists in these only; None for all.

        Raises
        ------
        KeyError
            If the register names a contract that the rules do not have.
        Unavailable
            If the records or the store do not answer.
        """
        register = self._register(session) or Register.implied_by([point_id])
        rows = [row for row in rows_of(register, point_id) if stations is None or row.station_id in stations]
        if not rows:
            return None
        held = [row for row in rows if row.valid_from_ms < window[1] and row.valid_to_ms > window[0]]
        steps = limit_steps(rows, self._standard, self._zone, *window)
        found = _findings(session, point_id, held, window, stations)
        ticket_of = _ticket_of(session, found)
        return RoomStory(
            point_id=point_id,
            start_ms=window[0],
            end_ms=window[1],
            as_of_ms=as_of_ms,
            row=_leading(rows, window[1]),
            rows=held,
            readings=self._readings(sources_seen(register, point_id, stations), rows, steps, window),
            steps=steps,
            spells=[one for one in found if one.kind == FindingKind.COLD_SPELL],
            silences=[one for one in found if one.kind == FindingKind.DATA_OUTAGE],
            faults=[one for one in found if one.kind == FindingKind.SENSOR_FAULT],
            outages=[one for one in found if one.kind == FindingKind.HEAT_OUTAGE],
            tickets=_tickets(session, held, ticket_of.values(), window, stations),
            ticket_of=ticket_of,
        )

    def _readings(
        self, sources: Sequence[tuple[str, int, int]], rows: Sequence[PointRow], steps: Sequence[Step], window: Bounds
    ) -> Readings:
        kept = self._store.read(sorted({source for source, _, _ in sources}), *window)
        places = places_of(kept, sources)
        return _told(kept.time_ms[places], kept.temp_c[places], rows, steps, self._standard.judging)


def sources_seen(
    register: Register | None, point_id: str, stations: Collection[str] | None
) -> list[tuple[str, int, int]]:
    """Return under which sources a point's readings are kept that someone may see, each within bounds [ms].

    Who is confined to stations sees those of the time for which the register lists the point there.
    """
    sources = sources_of(register, point_id)
    if stations is None:
        return sources
    rows = () if register is None else rows_of(register, point_id)
    mine = [(row.valid_from_ms, row.valid_to_ms) for row in rows if row.station_id in stations]
    return [
        (source, max(since_ms, begin_ms), min(until_ms, end_ms))
        for source, since_ms, until_ms in sources
        for begin_ms, end_ms in mine
    ]


def places_of(rows: ReadingColumns, sources: Sequence[tuple[str, int, int]]) -> Int64:
    """Return which rows belong to a point, each source within its own bounds, in time order."""
    mine = np.zeros(len(rows), dtype=np.bool_)
    code_of = {source: code for code, source in enumerate(rows.source)}
    for source, since_ms, until_ms in sources:
        if source in code_of:
            mine |= (rows.code == code_of[source]) & (rows.time_ms >= since_ms) & (rows.time_ms < until_ms)
    place = np.flatnonzero(mine)
    return place[np.argsort(rows.time_ms[place], kind="stable")]


def limit_steps(rows: Sequence[PointRow], standard: Standard, zone: ZoneInfo, start_ms: int, end_ms: int) -> list[Step]:
    """Return what is asked of a room in `[start_ms, end_ms)` as steps, each with another limit than the one before.

    Parameters
    ----------
    rows
        The point's rows in the register; where none is in force nothing is asked.
    standard, zone
        The dated rules, and the zone in whose local time they hold.
    start_ms, end_ms
        The window [ms]; the first step begins with it.

    Raises
    ------
    KeyError
        If a row names a contract that the rules do not have.

    Notes
    -----
    Every moment at which anything may change is collected first: edges of rows, suspensions, versions and seasons,
    changes of the clocks, and, for every stretch without such a change, all edges of the local week at once. Then the
    rules are asked at each of them.
    """
    shifts = offsets(zone, start_ms, end_ms)
    edges = [np.array([start_ms, *_dated_edges(rows, standard, zone), *(at for at, _ in shifts)], dtype=np.int64)]
    minutes = _week_edges(rows, _versions(standard, start_ms, end_ms))
    ends = [at for at, _ in shifts[1:]] + [end_ms]
    edges += [_weekly(minutes, max(at, start_ms), end, shift) for (at, shift), end in zip(shifts, ends, strict=True)]
    every = np.unique(np.concatenate(edges))
    every = every[(every >= start_ms) & (every < end_ms)]
    asked = [Step(at, _asked_at(rows, standard, zone, at)) for at in every.tolist()]
    return [step for number, step in enumerate(asked) if number == 0 or step.limit != asked[number - 1].limit]


def hold_ms(row: PointRow, judging: Judging) -> int:
    """Return for how long a reading of a point says something [ms]."""
    interval_ms = (row.interval_s or judging.interval_default_s) * SECOND_MS
    return max(int(judging.hold_h * HOUR_MS), judging.hold_intervals * interval_ms)


def _versions(standard: Standard, start_ms: int, end_ms: int) -> list[Version]:
    """Return the versions of the rules that are in force at some time of a window."""
    begun = [one for one in standard.versions if one.valid_from is None or to_ms(one.valid_from) < end_ms]
    first = standard.at(from_ms(start_ms))
    return [one for one in begun if one is first or (one.valid_from and to_ms(one.valid_from) > start_ms)] or [first]


def _dated_edges(rows: Sequence[PointRow], standard: Standard, zone: ZoneInfo) -> Iterator[int]:
    """Give the moments at which rows, suspensions, versions and seasons begin or end [ms]."""
    for row in rows:
        for instant in (row.valid_from, row.valid_to, row.suspended_from, row.suspended_to):
            if instant is not None:
                yield to_ms(instant)
    for version in standard.versions:
        if version.valid_from is not None:
            yield to_ms(version.valid_from)
        for season in version.seasons:
            yield _midnight_ms(season.first_day, zone)
            yield _midnight_ms(season.last_day + timedelta(days=1), zone)


def _midnight_ms(day: date, zone: ZoneInfo) -> int:
    return to_ms(datetime.combine(day, time(), zone))


def _week_edges(rows: Sequence[PointRow], versions: Sequence[Version]) -> Int64:
    """Return at which moments of the local week what is asked of any of the rows may change [ms]."""
    schedules = {(row.room_class, row.contract) for row in rows}
    weeks = [version.week(*schedule) for version in versions for schedule in schedules]
    return np.array(sorted({minute * MINUTE_MS for week in weeks for minute, _ in week}), dtype=np.int64)


def _weekly(edges_ms: Int64, start_ms: int, end_ms: int, offset_ms: int) -> Int64:
    """Return where edges of the local week fall in `[start_ms, end_ms)`, in which local time is `offset_ms` ahead."""
    first, last = start_ms + offset_ms + _THURSDAY_MS, end_ms + offset_ms + _THURSDAY_MS
    mondays = np.arange(first // _WEEK_MS, last // _WEEK_MS + 1, dtype=np.int64) * _WEEK_MS
    found = (mondays[:, None] + edges_ms).ravel() - _THURSDAY_MS - offset_ms
    return found[(found >= start_ms) & (found < end_ms)]


def _asked_at(rows: Sequence[PointRow], standard: Standard, zone: ZoneInfo, at_ms: int) -> Limit | None:
    """Return what is asked at a moment: nothing outside service and season (R5)."""
    row = next((row for row in rows if in_service(row, at_ms)), None)
    local = from_ms(at_ms).astimezone(zone)
    version = standard.at(local)
    season = not version.seasons or any(one.first_day <= local.date() <= one.last_day for one in version.seasons)
    if row is None or not season:
        return None
    minute = local.weekday() * MINUTES_PER_DAY + (local.hour * HOUR_MS + local.minute * MINUTE_MS) // MINUTE_MS
    return version.asked(row.room_class, row.contract, minute)


def _told(
    time_ms: Int64, raw_c: Float64, rows: Sequence[PointRow], steps: Sequence[Step], judging: Judging
) -> Readings:
    """Tell each row once, with its calibration, as what it counts, and what was asked then."""
    number_c = np.where(np.isfinite(raw_c), raw_c, np.nan)
    order = np.lexsort((number_c, time_ms))
    time_ms, number_c = time_ms[order], number_c[order]
    once = _first_of_each(time_ms, number_c)
    time_ms, number_c = time_ms[once], number_c[once]
    offset_k, holds_ms = _by_row(time_ms, rows, judging)
    temp_c = number_c + offset_k
    counted = _counted(time_ms, temp_c, judging)
    minimum_c, target_c = _asked_of(time_ms, steps)
    violates = (counted == Counted.VALID) & (temp_c < minimum_c)
    return Readings(time_ms, number_c, temp_c, counted, minimum_c, target_c, violates, holds_ms)


def _first_of_each(time_ms: Int64, number_c: Float64) -> Bool:
    """Say of rows ordered by time and value which are no repetition of the one before."""
    first = np.ones(len(time_ms), dtype=np.bool_)
    none = np.isnan(number_c)
    first[1:] = (time_ms[1:] != time_ms[:-1]) | ((number_c[1:] != number_c[:-1]) & ~(none[1:] & none[:-1]))
    return first


def _by_row(time_ms: Int64, rows: Sequence[PointRow], judging: Judging) -> tuple[Float64, Int64]:
    """Return calibration [K] and hold [ms] of each reading, by the row in force at its time."""
    offset_k = np.zeros(len(time_ms))
    holds_ms = np.full(len(time_ms), int(judging.hold_h * HOUR_MS), dtype=np.int64)
    for row in rows:
        mine = (time_ms >= row.valid_from_ms) & (time_ms < row.valid_to_ms)
        offset_k[mine], holds_ms[mine] = row.offset_k, hold_ms(row, judging)
    return offset_k, holds_ms


def _counted(time_ms: Int64, temp_c: Float64, judging: Judging) -> Int8:
    finite = np.isfinite(temp_c)
    _, instant = np.unique(time_ms, return_inverse=True)
    values = np.bincount(instant[finite], minlength=len(time_ms))[instant] if len(time_ms) else instant
    outside = (temp_c < judging.range_low_c) | (temp_c > judging.range_high_c)
    cases = [~finite, values > 1, outside]
    told = [Counted.INVALID, Counted.CONFLICT, Counted.OUT_OF_RANGE]
    return np.select(cases, [int(one) for one in told], int(Counted.VALID)).astype(np.int8)


def _asked_of(time_ms: Int64, steps: Sequence[Step]) -> tuple[Float64, Float64]:
    """Return minimum and target that were asked at each of these moments [degC]."""
    starts = np.array([step.start_ms for step in steps], dtype=np.int64)
    pairs = [(np.nan, np.nan) if one.limit is None else (one.limit.minimum_c, one.limit.target_c) for one in steps]
    asked = np.array(pairs, dtype=np.float64)[np.searchsorted(starts, time_ms, side="right") - 1]
    return asked[:, 0], asked[:, 1]


def _leading(rows: Sequence[PointRow], end_ms: int) -> PointRow:
    begun = [row for row in rows if row.valid_from_ms < end_ms]
    return begun[-1] if begun else rows[0]


def _findings(
    session: Session, point_id: str, rows: Sequence[PointRow], window: Bounds, stations: Collection[str] | None
) -> list[FindingRow]:
    """Return what was found of a point, and of its buildings and stations while it was there, the earliest first."""
    subjects = {(SubjectKind.POINT, point_id, bounds) for bounds in _bounds(rows, window)}
    for row, bounds in zip(rows, _bounds(rows, window), strict=True):
        subjects |= {(SubjectKind.BUILDING, row.building_id, bounds), (SubjectKind.STATION, row.station_id, bounds)}
    mine = [
        and_(FindingRow.subject_kind == kind, FindingRow.subject_id == name, *_meets(bounds))
        for kind, name, bounds in sorted(subjects)
    ]
    if not mine:
        return []
    point = FindingRow.subject_kind == SubjectKind.POINT
    told = [FindingRow.withdrawn.is_(False), or_(point, FindingRow.kind == FindingKind.HEAT_OUTAGE), or_(*mine)]
    if stations is not None:
        told.append(FindingRow.station_id.in_(sorted(stations)))
    return list(session.scalars(select(FindingRow).where(*told).order_by(FindingRow.start_ms, FindingRow.id)))


def _bounds(rows: Sequence[PointRow], window: Bounds) -> list[Bounds]:
    """Return the part of a window in which each row is in force."""
    return [(max(row.valid_from_ms, window[0]), min(row.valid_to_ms, window[1])) for row in rows]


def _meets(bounds: Bounds) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions under which a finding has a moment in common with `bounds`."""
    start_ms, end_ms = bounds
    lasts = or_(FindingRow.end_ms.is_(None), FindingRow.end_ms > start_ms, FindingRow.start_ms >= start_ms)
    return (FindingRow.start_ms < end_ms, lasts)


def _ticket_of(session: Session, found: Sequence[FindingRow]) -> dict[int, int]:
    held = select(TicketFinding.finding_id, TicketFinding.ticket_id)
    mine = held.where(TicketFinding.finding_id.in_([row.id for row in found]))
    return dict(session.execute(mine).all())


def _tickets(
    session: Session,
    rows: Sequence[PointRow],
    numbers: Collection[int],
    window: Bounds,
    stations: Collection[str] | None,
) -> list[TicketRow]:
    """Return tickets by their numbers, and those about the rooms of rows that were open in a window."""
    rooms = [and_(TicketRow.building_id == row.building_id, TicketRow.room_id == row.room) for row in rows]
    during = and_(TicketRow.opened_ms < window[1], or_(TicketRow.closed_ms.is_(None), TicketRow.closed_ms >= window[0]))
    told = [or_(TicketRow.id.in_(sorted(set(numbers))), *(and_(room, during) for room in rooms))]
    if stations is not None:
        told.append(TicketRow.station_id.in_(sorted(stations)))
    latest = select(TicketRow).where(*told).order_by(TicketRow.opened_ms.desc(), TicketRow.id.desc())
    return list(session.scalars(latest))
