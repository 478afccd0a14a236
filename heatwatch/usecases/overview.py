"""What goes on now: every room, station, stop of heat and next deadline, for one moment and some stations.

Worked out from the records and the last reading of each source. What depends on the register alone is laid out once
and holds until the register changes, or a row of it begins or ends.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import groupby
from operator import attrgetter
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from heatwatch.domain.findings import FindingKind, SubjectKind
from heatwatch.domain.instants import DAY_MS, HOUR_MS, SECOND_MS, from_ms, to_ms
from heatwatch.domain.life import Mark
from heatwatch.domain.notices import NoticeKind
from heatwatch.domain.register import FAR_FUTURE_MS, FAR_PAST_MS, PointRow, Register
from heatwatch.domain.temperature import MINUTES_PER_DAY, Limit, RoomClass, Standard
from heatwatch.domain.tickets import AT_WORK
from heatwatch.records.schema import FindingRow, NoticeRow, TicketClock, TicketFinding, TicketRow
from heatwatch.stores.readings import ReadingStore
from heatwatch.usecases.notices import PUBLIC
from heatwatch.usecases.register import RegisterInForce, in_service, register_version

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
Int8 = NDArray[np.int8]
Bool = NDArray[np.bool_]

NEVER_MS = FAR_PAST_MS
"""Stands for the time of a reading where there is none."""
LOOK_BACK_MS = DAY_MS
"""How far back a room's last reading is looked for; an older one says nothing of now."""
DUE_SHOWN = 20
Schedule = tuple[RoomClass, str | None]


class RoomState(IntEnum):
    """What is known of a room now. Of several the first of these holds: suspended, silent, cold, below."""

    UNKNOWN = 0
    """Nothing was measured lately."""
    WARM = 1
    """Measured, and as warm as is asked; or nothing is asked."""
    COLD = 2
    """In a cold spell that is confirmed."""
    BELOW = 3
    """Measured below what is asked now."""
    SILENT = 4
    """Its thermometer sends nothing: a data outage goes on."""
    SUSPENDED = 5
    """Not heated by agreement (R5)."""


@dataclass(frozen=True, slots=True)
class Building:
    """A building and its rooms: those numbered from `first` on, `rooms` of them."""

    building_id: str
    station_id: str
    first: int
    rooms: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The rooms in their order, by station, building, floor, riser and name; a room is its test point.

    Attributes
    ----------
    version
        Differs whenever anything here does; the same in every process.
    rows
        The register's row of each room.
    buildings
        Each with its stretch of rooms.
    schedules
        The classes and contracts of rooms.
    schedule : shape (rooms,)
        Index into `schedules`.
    offset_k : shape (rooms,)
        Calibration [K].
    hold_ms : shape (rooms,)
        For how long a reading says something [ms].
    suspended : shape (rooms,)
        Whether the room's heating is suspended.
    sources
        Under which names readings may be kept.
    source_room, source_from_ms : shape (sources,)
        Whose they are, and from when on [ms].
    """

    version: str
    rows: tuple[PointRow, ...]
    buildings: tuple[Building, ...]
    schedules: tuple[Schedule, ...]
    schedule: Int32
    offset_k: Float64
    hold_ms: Int64
    suspended: Bool
    sources: tuple[str, ...]
    source_room: Int32
    source_from_ms: Int64
    room_of: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Rooms:
    """The rooms of a layout now, as columns.

    Attributes
    ----------
    state
        A `RoomState` each.
    temp_c, time_ms
        Last valid temperature [degC], NaN where there is none, and when it was measured [ms].
    since_ms
        Since when the room is cold or silent [ms]; `NEVER_MS` where it is neither.
    limits
        What is asked now, one for each of the layout's schedules.
    """

    state: Int8
    temp_c: Float64
    time_ms: Int64
    since_ms: Int64
    limits: tuple[Limit | None, ...]


@dataclass(frozen=True, slots=True)
class ColdRoom:
    """A room in a confirmed cold spell."""

    finding_id: int
    point_id: str
    room: str
    building_id: str
    station_id: str
    start_ms: int
    temp_c: float | None
    time_ms: int | None
    minimum_c: float | None
    min_temp_c: float | None
    ticket_id: int | None


@dataclass(frozen=True, slots=True)
class Outage:
    """A stop of heat that goes on, and where its announcement stands (R12); every `…_ms` in milliseconds.

    Attributes
    ----------
    notice_due_ms
        By when it has to be announced; None where no ticket says so.
    published_ms
        When it was; None while it was not.
    """

    finding_id: int
    subject_kind: SubjectKind
    subject_id: str
    building_id: str
    station_id: str
    start_ms: int
    evidence: str
    rooms: int
    ticket_id: int | None
    notice_due_ms: int | None
    notice_id: int | None
    published_ms: int | None


@dataclass(frozen=True, slots=True)
class Due:
    """The next deadline of a ticket."""

    ticket_id: int
    kind: str
    emergency: bool
    station_id: str
    building_id: str
    room_id: str | None
    responsible: str
    step: str
    rule: str
    due_ms: int
    late: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """What a station, or all that is looked at, comes to.

    Attributes
    ----------
    rooms
        Rooms in service.
    cold, below, silent, unknown
        Of these: in a confirmed cold spell; below the limit and not (yet) in such a spell; silent; not known.
    outages
        Stops of heat that go on.
    tickets
        Tickets on which something is still to be done, by kind.
    running, overdue
        Their deadlines that are not met yet, and how many of these have passed.
    """

    rooms: int = 0
    cold: int = 0
    below: int = 0
    silent: int = 0
    unknown: int = 0
    outages: int = 0
    tickets: Mapping[str, int] = field(default_factory=dict)
    running: int = 0
    overdue: int = 0


@dataclass(frozen=True, slots=True)
class Overview:
    """What goes on at `as_of_ms`.

    Attributes
    ----------
    total
        What all that is looked at comes to.
    stations
        Counts of each station looked at, in order.
    outages
        The earliest first.
    cold
        The earliest first.
    due
        The next deadlines, one a ticket, the earliest first, at most `DUE_SHOWN`.
    due_tickets
        How many tickets have one.
    """

    as_of_ms: int
    layout: Layout
    rooms: Rooms
    total: Counts
    stations: Mapping[str, Counts]
    outages: Sequence[Outage]
    cold: Sequence[ColdRoom]
    due: Sequence[Due]
    due_tickets: int


class Overviews:
    """Works overviews out; one for each user of one database.

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
        self._held: dict[frozenset[str] | None, _Held] = {}

    def __call__(self, session: Session, as_of_ms: int, stations: frozenset[str] | None = None) -> Overview:
        """Return what goes on at a moment.

        Parameters
        ----------
        session
            A session for looking.
        as_of_ms
            The moment [ms].
        stations
            Which stations are looked at; None for all.

        Raises
        ------
        Unavailable
            If the records or the store do not answer.
        """
        layout = self.layout(session, as_of_ms, stations)
        found, tickets = _findings(session, stations), _tickets(session, stations)
        clocks = [row for row in _clocks(session, stations) if row.ticket_id in tickets]
        rooms = self._rooms(layout, found, as_of_ms)
        outages = _outages(session, layout, found)
        stations_now = _by_station(layout, rooms, outages, tickets, clocks, as_of_ms)
        due = _due(tickets, clocks, as_of_ms)
        return Overview(
            as_of_ms=as_of_ms,
            layout=layout,
            rooms=rooms,
            total=_sum(stations_now.values()),
            stations=stations_now,
            outages=outages,
            cold=_cold(layout, rooms, found),
            due=due[:DUE_SHOWN],
            due_tickets=len(due),
        )

    def layout(self, session: Session, as_of_ms: int, stations: frozenset[str] | None = None) -> Layout:
        """Return the rooms of some stations in their order, at a moment."""
        version = register_version(session)
        held = self._held.get(stations)
        if held is None or held.register != version or not held.from_ms <= as_of_ms < held.until_ms:
            if len(self._held) >= _SCOPES_HELD:
                self._held.clear()
            held = self._held[stations] = self._laid_out(session, version, as_of_ms, stations)
        return held.layout

    def _laid_out(self, session: Session, version: int | None, as_of_ms: int, stations: frozenset[str] | None) -> _Held:
        register = self._register(session) or Register(())
        edges = sorted({edge for row in register.rows for edge in _edges(row)})
        from_ms_ = max((edge for edge in edges if edge <= as_of_ms), default=FAR_PAST_MS)
        until_ms = min((edge for edge in edges if edge > as_of_ms), default=FAR_FUTURE_MS)
        rows = [row for row in register.rows if row.valid_from_ms <= as_of_ms < row.valid_to_ms]
        mine = [row for row in rows if stations is None or row.station_id in stations]
        name = f"{version or 0}.{from_ms_}"
        return _Held(version, from_ms_, until_ms, lay_out(mine, self._standard, as_of_ms, name))

    def _rooms(self, layout: Layout, found: Sequence[_Found], as_of_ms: int) -> Rooms:
        temp_c, time_ms = self._last(layout, as_of_ms)
        limits = self._limits(layout, as_of_ms)
        minimum_c = np.array([np.nan if limit is None else limit.minimum_c for limit in limits])
        since_ms = np.full(len(layout), NEVER_MS, np.int64)
        cold, silent = (_of_points(layout, found, kind, since_ms) for kind in _OF_ROOMS)
        fresh = time_ms >= as_of_ms - layout.hold_ms
        below = fresh & (temp_c < minimum_c[layout.schedule])
        told = [layout.suspended, silent, cold, below, fresh]
        states = [RoomState.SUSPENDED, RoomState.SILENT, RoomState.COLD, RoomState.BELOW, RoomState.WARM]
        state = np.select(told, [int(one) for one in states], int(RoomState.UNKNOWN)).astype(np.int8)
        return Rooms(state, temp_c, time_ms, since_ms, limits)

    def _last(self, layout: Layout, as_of_ms: int) -> tuple[Float64, Int64]:
        """Return each room's last valid temperature [degC] and its time [ms].

        The last hours are asked of all, what lies before only of those that have sent nothing since.
        """
        judging = self._standard.judging
        temp_c, time_ms = np.full(len(layout), np.nan), np.full(len(layout), NEVER_MS, np.int64)
        asked = np.arange(len(layout.sources))
        end_ms, recent_ms = as_of_ms + 1, as_of_ms - int(judging.hold_h * HOUR_MS)
        for start_ms, until_ms in ((recent_ms, end_ms), (as_of_ms - LOOK_BACK_MS, recent_ms)):
            names = [layout.sources[number] for number in asked]
            range_c = (judging.range_low_c, judging.range_high_c)
            last = self._store.latest(names, start_ms, until_ms, range_c)
            number_of = {layout.sources[number]: number for number in asked}
            number = np.array([number_of[name] for name in last.source], np.int64)[last.code]
            mine = last.time_ms >= layout.source_from_ms[number]
            _newest(layout, number[mine], last.time_ms[mine], last.temp_c[mine], (temp_c, time_ms))
            asked = asked[time_ms[layout.source_room[asked]] == NEVER_MS]
            if not asked.size:
                break
        return temp_c + layout.offset_k, time_ms

    def _limits(self, layout: Layout, as_of_ms: int) -> tuple[Limit | None, ...]:
        """Return what is asked of each schedule at a moment: nothing outside the season (R5)."""
        local = from_ms(as_of_ms).astimezone(self._zone)
        version = self._standard.at(from_ms(as_of_ms))
        seasons = version.seasons
        if seasons and not any(one.first_day <= local.date() <= one.last_day for one in seasons):
            return (None,) * len(layout.schedules)
        minute = local.weekday() * MINUTES_PER_DAY + local.hour * 60 + local.minute
        known = version.contracts.keys()
        return tuple(
            None if contract is not None and contract not in known else version.asked(room_class, contract, minute)
            for room_class, contract in layout.schedules
        )


_SCOPES_HELD = 64
_OF_ROOMS = (FindingKind.COLD_SPELL, FindingKind.DATA_OUTAGE)
_FOUND = (
    FindingRow.id,
    FindingRow.kind,
    FindingRow.subject_kind,
    FindingRow.subject_id,
    FindingRow.building_id,
    FindingRow.station_id,
    FindingRow.start_ms,
    FindingRow.detail,
    TicketFinding.ticket_id,
)
_Found = Row[Any]
_Ticket = Row[Any]
_ClockRow = Row[Any]


@dataclass(frozen=True, slots=True)
class _Held:
    """A layout, of which register it is, and from when to when it holds [ms]."""

    register: int | None
    from_ms: int
    until_ms: int
    layout: Layout


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts names as people do: numbers in them by their size.

    >>> sorted(["b10", "b9", "a"], key=natural)
    ['a', 'b9', 'b10']
    """
    return [_piece(piece) for piece in re.split(r"(\d+)", name) if piece]


def _piece(text: str) -> tuple[int, int, str]:
    """Return a key for digits, which may be more than Python makes a number of, or for what is between them."""
    digits = text.lstrip("0")
    return (0, len(digits), digits) if text.isdecimal() else (1, 0, text)


def lay_out(rows: Collection[PointRow], standard: Standard, as_of_ms: int, version: str) -> Layout:
    """Lay out rooms in their order.

    Parameters
    ----------
    rows
        The rows in force at a moment, one of each point.
    standard
        Says for how long a reading holds.
    as_of_ms
        The moment [ms].
    version
        What to call the layout.
    """
    ordered = sorted(rows, key=_order)
    schedules = sorted({_schedule(row) for row in ordered}, key=lambda one: (one[0], one[1] or ""))
    number = {schedule: code for code, schedule in enumerate(schedules)}
    sources = list(_sources(ordered))
    judging = standard.judging
    interval_s = np.array([row.interval_s or judging.interval_default_s for row in ordered], np.int64)
    return Layout(
        version=version,
        rows=tuple(ordered),
        buildings=tuple(_buildings(ordered)),
        schedules=tuple(schedules),
        schedule=np.array([number[_schedule(row)] for row in ordered], np.int32),
        offset_k=np.array([row.offset_k for row in ordered], np.float64),
        hold_ms=np.maximum(int(judging.hold_h * HOUR_MS), judging.hold_intervals * interval_s * SECOND_MS),
        suspended=np.array([not in_service(row, as_of_ms) for row in ordered], np.bool_),
        sources=tuple(name for name, _, _ in sources),
        source_room=np.array([room for _, room, _ in sources], np.int32),
        source_from_ms=np.array([since_ms for _, _, since_ms in sources], np.int64),
        room_of={row.point_id: room for room, row in enumerate(ordered)},
    )


def _order(row: PointRow) -> tuple[Any, ...]:
    names = (row.station_id, row.building_id, row.floor or "", row.riser or "", row.room, row.point_id)
    return tuple((natural(name), name) for name in names)  # "b1" and "b01" are two, and each has its own stretch


def _schedule(row: PointRow) -> Schedule:
    return row.room_class, row.contract


def _buildings(ordered: Sequence[PointRow]) -> Iterator[Building]:
    first = 0
    for (station_id, building_id), rows in groupby(ordered, key=attrgetter("station_id", "building_id")):
        number = len(list(rows))
        yield Building(building_id, station_id, first, number)
        first += number


def _sources(ordered: Sequence[PointRow]) -> Iterator[tuple[str, int, int]]:
    """Give under which name, of which room and from when on [ms] readings are kept: device before point."""
    devices = {row.device_id for row in ordered}
    for room, row in enumerate(ordered):
        if row.device_id is not None:
            yield row.device_id, room, row.valid_from_ms
        if row.point_id not in devices:
            yield row.point_id, room, row.valid_from_ms


def _edges(row: PointRow) -> Iterator[int]:
    """Give the moments at which something about a row begins or ends [ms]."""
    for moment in (row.valid_from, row.valid_to, row.suspended_from, row.suspended_to):
        if moment is not None:
            yield to_ms(moment)


def _newest(layout: Layout, number: Int64, time_ms: Int64, temp_c: Float64, into: tuple[Float64, Int64]) -> None:
    """Keep the newest reading of each room; of two at once the one whose source comes first."""
    order = np.lexsort((-number, time_ms))
    room = layout.source_room[number[order]]
    kept_c, kept_ms = into
    kept_c[room], kept_ms[room] = temp_c[order], time_ms[order]


def _of_points(layout: Layout, found: Sequence[_Found], kind: FindingKind, since_ms: Int64) -> Bool:
    """Mark the rooms of which a finding of a kind is open, and write down since when."""
    marked = np.zeros(len(layout), np.bool_)
    for row in found:
        room = layout.room_of.get(row.subject_id)
        if room is not None and row.kind == kind and row.subject_kind == SubjectKind.POINT:
            marked[room], since_ms[room] = True, row.start_ms
    return marked


def _findings(session: Session, stations: frozenset[str] | None) -> Sequence[_Found]:
    """Return what is open and true: confirmed cold spells, stops of heat, silences; the earliest first."""
    kinds = (FindingKind.COLD_SPELL, FindingKind.DATA_OUTAGE, FindingKind.HEAT_OUTAGE)
    query = select(*_FOUND).outerjoin(TicketFinding, TicketFinding.finding_id == FindingRow.id)
    query = query.where(FindingRow.open, ~FindingRow.withdrawn, FindingRow.kind.in_([str(kind) for kind in kinds]))
    query = query.where((FindingRow.kind != FindingKind.COLD_SPELL) | FindingRow.confirmed_ms.is_not(None))
    if stations is not None:
        query = query.where(FindingRow.station_id.in_(sorted(stations)))
    return session.execute(query.order_by(FindingRow.start_ms, FindingRow.id)).all()


def _tickets(session: Session, stations: frozenset[str] | None) -> Mapping[int, _Ticket]:
    columns: list[Any] = [TicketRow.id, TicketRow.kind, TicketRow.emergency, TicketRow.responsible]
    columns += [TicketRow.station_id, TicketRow.building_id, TicketRow.room_id]
    query = select(*columns).where(*_at_work(stations))
    return {row.id: row for row in session.execute(query)}


def _clocks(session: Session, stations: frozenset[str] | None) -> Sequence[_ClockRow]:
    """Return the deadlines that someone has to meet and has not met, the earliest first."""
    columns: list[Any] = [TicketClock.ticket_id, TicketClock.step, TicketClock.rule, TicketClock.due_ms]
    query = select(*columns).join(TicketRow, TicketRow.id == TicketClock.ticket_id).where(*_at_work(stations))
    query = query.where(TicketClock.done_ms.is_(None), ~TicketClock.off, TicketClock.step != str(Mark.WARNING))
    return session.execute(query.order_by(TicketClock.due_ms, TicketClock.ticket_id, TicketClock.step)).all()


def _at_work(stations: frozenset[str] | None) -> list[Any]:
    wanted: list[Any] = [TicketRow.state.in_([str(state) for state in AT_WORK])]
    return wanted if stations is None else [*wanted, TicketRow.station_id.in_(sorted(stations))]


def _due(tickets: Mapping[int, _Ticket], clocks: Sequence[_ClockRow], as_of_ms: int) -> list[Due]:
    """Return the first deadline of each ticket."""
    first: dict[int, _ClockRow] = {}
    for clock in clocks:
        first.setdefault(clock.ticket_id, clock)
    return [_next_step(tickets[number], clock, as_of_ms) for number, clock in first.items()]


def _next_step(ticket: _Ticket, clock: _ClockRow, as_of_ms: int) -> Due:
    return Due(
        ticket_id=ticket.id,
        kind=ticket.kind,
        emergency=ticket.emergency,
        station_id=ticket.station_id,
        building_id=ticket.building_id,
        room_id=ticket.room_id,
        responsible=ticket.responsible,
        step=clock.step,
        rule=clock.rule,
        due_ms=clock.due_ms,
        late=clock.due_ms < as_of_ms,
    )


def _outages(session: Session, layout: Layout, found: Sequence[_Found]) -> list[Outage]:
    stops = [row for row in found if row.kind == FindingKind.HEAT_OUTAGE]
    numbers = sorted({row.ticket_id for row in stops if row.ticket_id is not None})
    published = {row.ticket_id: row for row in session.execute(_published(numbers))} if numbers else {}
    due = {row.ticket_id: row.due_ms for row in session.execute(_announce_by(numbers))} if numbers else {}
    return [_outage(layout, row, due.get(row.ticket_id), published.get(row.ticket_id)) for row in stops]


def _published(numbers: Sequence[int]) -> Any:
    """Ask for the first publication of each ticket's stop; where there are several, the earliest is read last."""
    columns = (NoticeRow.ticket_id, NoticeRow.id, NoticeRow.published_ms)
    mine = NoticeRow.ticket_id.in_(numbers), NoticeRow.kind == str(NoticeKind.STOP), NoticeRow.state.in_(PUBLIC)
    return select(*columns).where(*mine).order_by(NoticeRow.published_ms.desc(), NoticeRow.id.desc())


def _announce_by(numbers: Sequence[int]) -> Any:
    mine = TicketClock.ticket_id.in_(numbers), TicketClock.step == str(Mark.NOTICE)
    return select(TicketClock.ticket_id, TicketClock.due_ms).where(*mine)


def _outage(layout: Layout, row: _Found, due_ms: int | None, published: Row[Any] | None) -> Outage:
    of_station = row.subject_kind == SubjectKind.STATION
    rooms = [
        one.rooms
        for one in layout.buildings
        if (one.station_id == row.station_id if of_station else one.building_id == row.building_id)
    ]
    return Outage(
        finding_id=row.id,
        subject_kind=SubjectKind(row.subject_kind),
        subject_id=row.subject_id,
        building_id=row.building_id,
        station_id=row.station_id,
        start_ms=row.start_ms,
        evidence=str(row.detail.get("evidence", "")),
        rooms=sum(rooms),
        ticket_id=row.ticket_id,
        notice_due_ms=due_ms,
        notice_id=None if published is None else published.id,
        published_ms=None if published is None else published.published_ms,
    )


def _cold(layout: Layout, rooms: Rooms, found: Sequence[_Found]) -> list[ColdRoom]:
    """Return the rooms that show as cold, with what is known of each."""
    spells = [row for row in found if row.kind == FindingKind.COLD_SPELL and row.subject_id in layout.room_of]
    shown = [row for row in spells if rooms.state[layout.room_of[row.subject_id]] == RoomState.COLD]
    return [_cold_room(layout, rooms, row) for row in shown]


def _cold_room(layout: Layout, rooms: Rooms, spell: _Found) -> ColdRoom:
    room = layout.room_of[spell.subject_id]
    row, measured = layout.rows[room], rooms.time_ms[room] != NEVER_MS
    limit = rooms.limits[layout.schedule[room]]
    return ColdRoom(
        finding_id=spell.id,
        point_id=row.point_id,
        room=row.room,
        building_id=row.building_id,
        station_id=row.station_id,
        start_ms=spell.start_ms,
        temp_c=float(rooms.temp_c[room]) if measured else None,
        time_ms=int(rooms.time_ms[room]) if measured else None,
        minimum_c=None if limit is None else limit.minimum_c,
        min_temp_c=spell.detail.get("min_temp_c"),
        ticket_id=spell.ticket_id,
    )


def _by_station(
    layout: Layout,
    rooms: Rooms,
    outages: Sequence[Outage],
    tickets: Mapping[int, _Ticket],
    clocks: Sequence[_ClockRow],
    as_of_ms: int,
) -> dict[str, Counts]:
    """Count for each station that has rooms, tickets or a stop."""
    kinds: dict[str, Counter[str]] = {}
    for row in tickets.values():
        kinds.setdefault(row.station_id, Counter())[row.kind] += 1
    running = Counter(tickets[clock.ticket_id].station_id for clock in clocks)
    overdue = Counter(tickets[clock.ticket_id].station_id for clock in clocks if clock.due_ms < as_of_ms)
    stops = Counter(outage.station_id for outage in outages)
    states = _states_by_station(layout, rooms)
    return {
        name: Counts(
            **states.get(name, {}),
            outages=stops[name],
            tickets=dict(sorted(kinds.get(name, {}).items())),
            running=running[name],
            overdue=overdue[name],
        )
        for name in sorted(states.keys() | kinds.keys() | stops.keys(), key=natural)
    }


def _states_by_station(layout: Layout, rooms: Rooms) -> dict[str, dict[str, int]]:
    """Count the rooms of each station by state."""
    counted: dict[str, dict[str, int]] = {}
    for station_id, held in groupby(layout.buildings, key=attrgetter("station_id")):
        buildings = list(held)
        first, end = buildings[0].first, buildings[-1].first + buildings[-1].rooms
        by_state = np.bincount(rooms.state[first:end], minlength=len(RoomState)).tolist()
        named = {name: by_state[RoomState[name.upper()]] for name in ("cold", "below", "silent", "unknown")}
        counted[station_id] = {"rooms": end - first - by_state[RoomState.SUSPENDED], **named}
    return counted


def _sum(counts: Collection[Counts]) -> Counts:
    tickets: Counter[str] = Counter()
    for one in counts:
        tickets.update(one.tickets)
    names = ("rooms", "cold", "below", "silent", "unknown", "outages", "running", "overdue")
    return Counts(**{name: sum(getattr(one, name) for one in counts) for name in names}, tickets=dict(tickets))
