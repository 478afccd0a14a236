"""From findings to tickets in the records: how things stand is read, `decide` decides, and what it says is written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from heatwatch.domain.findings import FindingKind, SubjectKind
from heatwatch.domain.instants import from_ms, iso
from heatwatch.domain.register import Register
from heatwatch.domain.temperature import Standard
from heatwatch.domain.tickets import (
    EMERGENCIES,
    OUTAGE_RULE,
    Action,
    Clock,
    Join,
    Merge,
    Open,
    Outage,
    Scope,
    Situation,
    Spell,
    Ticket,
    TicketKind,
    TicketState,
    clocks_due,
    decide,
)
from heatwatch.records.schema import FindingRow, TicketClock, TicketEvent, TicketFinding, TicketRow
from heatwatch.usecases.register import rooms_in_service, row_at

HEATWATCH = "heatwatch"
"""Who did what nobody did by hand."""
EVIDENCE_MAX = 24
TICKET_WORTHY = frozenset({FindingKind.COLD_SPELL, FindingKind.HEAT_OUTAGE})

Evidence = Callable[[Collection[str], int, int], Sequence[tuple[str, int, float]]]
"""Gives the violating readings (point, time [ms], temperature [degC]) of points in [start, end), in time order."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What turning findings into tickets needs: the moment [ms], the rules, the register and the readings."""

    at_ms: int
    standard: Standard
    register: Register | None
    evidence: Evidence


def dispatch(session: Session, changed: Sequence[FindingRow], by: Dispatch) -> None:
    """Bring the tickets to what findings say, in the stations of those that changed.

    What changed only says where to look: a finding without its ticket is found there whenever it was issued.
    """
    worthy = [row for row in changed if row.kind in TICKET_WORTHY]
    rooms = rooms_in_service(by.register, by.at_ms) if worthy else {}
    _follow(session, worthy, by)
    for station in sorted({row.station_id for row in worthy}):
        _Writer(session, by).apply(decide(_situation(session, station, by, rooms)))
        _bring_forward(session, station, by)


def finding_state(row: FindingRow) -> str:
    """Return whether what a finding says is open, ended or withdrawn."""
    if row.withdrawn:
        return "withdrawn"
    return "open" if row.open else "ended"


def _follow(session: Session, changed: Sequence[FindingRow], by: Dispatch) -> None:
    """Note on the tickets which of their findings have ended, gone on again or been withdrawn."""
    for row in changed:
        held = session.get(TicketFinding, row.id)
        if held is not None and held.state != finding_state(row):
            held.state = finding_state(row)
            _note_state(session, held, row, by)


def _note_state(session: Session, held: TicketFinding, row: FindingRow, by: Dispatch) -> None:
    detail = {"finding_id": row.id, "end": None if row.end_ms is None else iso(row.end_ms)}
    _note(session, held.ticket_id, by, f"finding_{held.state}", detail)


def _note(session: Session, ticket_id: int, by: Dispatch, kind: str, detail: Mapping[str, Any]) -> None:
    session.add(TicketEvent(ticket_id=ticket_id, at_ms=by.at_ms, kind=kind, who=HEATWATCH, detail=dict(detail)))


def _situation(session: Session, station: str, by: Dispatch, rooms: Mapping[str, int]) -> Situation:
    loose = session.scalars(
        select(FindingRow)
        .outerjoin(TicketFinding, TicketFinding.finding_id == FindingRow.id)
        .where(FindingRow.station_id == station, FindingRow.kind.in_(sorted(TICKET_WORTHY)))
        .where(TicketFinding.finding_id.is_(None), FindingRow.withdrawn.is_(False))
        .order_by(FindingRow.id)
    ).all()
    spells, outages = _sorted_out(loose, by.register)
    return Situation(
        _open_tickets(session, station, by),
        spells,
        outages,
        rooms,
        by.standard.judging.group_min,
    )


def _sorted_out(rows: Iterable[FindingRow], register: Register | None) -> tuple[list[Spell], list[Outage]]:
    """Return the confirmed cold spells and the heat outages among rows that are not withdrawn."""
    spells, outages = [], []
    for row in rows:
        if row.kind == FindingKind.HEAT_OUTAGE:
            outages.append(_outage(row))
        elif row.confirmed_ms is not None:
            spells.append(_spell(row, register))
    return spells, outages


def _spell(row: FindingRow, register: Register | None) -> Spell:
    point = row_at(register, row.subject_id, row.start_ms) if register is not None else None
    room = row.subject_id if point is None else point.room
    return Spell(row.id, row.subject_id, room, row.building_id, row.station_id, row.start_ms, row.end_ms)


def _outage(row: FindingRow) -> Outage:
    building = row.building_id if row.subject_kind == SubjectKind.BUILDING else ""
    return Outage(row.id, building, row.station_id, row.start_ms, row.end_ms)


def _open_tickets(session: Session, station: str, by: Dispatch) -> list[Ticket]:
    is_open = (TicketRow.station_id == station, TicketRow.state == TicketState.OPEN)
    held: dict[int, list[FindingRow]] = {}
    rests_on = (
        select(TicketFinding.ticket_id, FindingRow)
        .join(FindingRow, FindingRow.id == TicketFinding.finding_id)
        .join(TicketRow, TicketRow.id == TicketFinding.ticket_id)
        .where(*is_open, FindingRow.withdrawn.is_(False))
        .order_by(FindingRow.id)
    )
    for ticket_id, row in session.execute(rests_on):
        held.setdefault(ticket_id, []).append(row)
    rows = session.scalars(select(TicketRow).where(*is_open).order_by(TicketRow.id))
    return [_ticket(row, held.get(row.id, ()), by.register) for row in rows]


def _ticket(row: TicketRow, rests_on: Iterable[FindingRow], register: Register | None) -> Ticket:
    spells, outages = _sorted_out(rests_on, register)
    return Ticket(
        row.id,
        TicketKind(row.kind),
        Scope(row.scope),
        row.station_id,
        row.building_id,
        row.cause_start_ms,
        row.room_id,
        tuple(spells),
        tuple(outages),
    )


class _Writer:
    """Writes what was decided, and at the end fills in what the opened tickets rest on."""

    def __init__(self, session: Session, by: Dispatch) -> None:
        self._session, self._by = session, by
        self._opened: dict[int, TicketRow] = {}

    def apply(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Open():
                    self._open(action.ticket)
                case Join():
                    self._join(self._id(action.ticket_id), action.finding_id)
                case Merge():
                    self._merge(self._id(action.ticket_id), self._id(action.into))
        self._session.flush()
        for row in self._opened.values():
            self._rest(row)

    def _id(self, ticket_id: int) -> int:
        return self._opened[ticket_id].id if ticket_id < 0 else ticket_id

    def _open(self, ticket: Ticket) -> None:
        row = TicketRow(
            kind=str(ticket.kind),
            state=str(TicketState.OPEN),
            emergency=ticket.kind in EMERGENCIES,
            scope=str(ticket.scope),
            station_id=ticket.station_id,
            building_id=ticket.building_id,
            room_id=ticket.room,
            rule="",
            opened_ms=self._by.at_ms,
            cause_start_ms=ticket.cause_start_ms,
            evidence=[],
        )
        self._session.add(row)
        self._session.flush()
        self._opened[ticket.id] = row
        _note(self._session, row.id, self._by, "opened", {"cause_start": iso(ticket.cause_start_ms)})
        self._session.add_all(
            TicketClock(ticket_id=row.id, step=due.step, rule=due.rule, source=due.source, due_ms=due.due_ms)
            for due in _due(row, self._by)
        )

    def _join(self, ticket_id: int, finding_id: int) -> None:
        row = self._session.get_one(FindingRow, finding_id)
        held = TicketFinding(finding_id=finding_id, ticket_id=ticket_id, state=finding_state(row))
        self._session.add(held)
        _note(self._session, ticket_id, self._by, "finding_added", {"finding_id": finding_id})
        if held.state != "open":
            _note_state(self._session, held, row, self._by)

    def _merge(self, ticket_id: int, into: int) -> None:
        row = self._session.get_one(TicketRow, ticket_id)
        row.state, row.merged_into = str(TicketState.MERGED), into
        self._session.flush()
        moved = update(TicketFinding).where(TicketFinding.ticket_id == ticket_id).values(ticket_id=into)
        self._session.execute(moved, execution_options={"synchronize_session": "fetch"})
        _note(self._session, ticket_id, self._by, "merged", {"into": into})
        _note(self._session, into, self._by, "took_over", {"ticket_id": ticket_id})

    def _rest(self, row: TicketRow) -> None:
        """Write the rule, the point and the evidence of an opened ticket."""
        spells = _cold(self._session, row.id)
        rules = {rule for spell in spells for rule in str(spell.detail.get("rule", "")).split("+")}
        row.rule = OUTAGE_RULE if row.kind == TicketKind.HEAT_OUTAGE else "+".join(sorted(rules))
        if spells:
            row.point_id = spells[0].subject_id if row.scope == Scope.ROOM else None
            row.evidence = _evidence(spells, self._by)


def _cold(session: Session, ticket_id: int) -> Sequence[FindingRow]:
    """Return the cold spells of a ticket, the earliest first."""
    of_ticket = select(FindingRow).join(TicketFinding, TicketFinding.finding_id == FindingRow.id)
    cold = of_ticket.where(TicketFinding.ticket_id == ticket_id, FindingRow.kind == FindingKind.COLD_SPELL)
    return session.scalars(cold.order_by(FindingRow.start_ms, FindingRow.id)).all()


def _evidence(spells: Sequence[FindingRow], by: Dispatch) -> list[list[Any]]:
    """Return the first readings that a ticket rests on, up to the last confirmation among its spells."""
    points = sorted({spell.subject_id for spell in spells})
    until = max(spell.start_ms if spell.confirmed_ms is None else spell.confirmed_ms for spell in spells)
    readings = by.evidence(points, spells[0].start_ms, until + 1)
    return [list(reading) for reading in readings[:EVIDENCE_MAX]]


def _due(row: TicketRow, by: Dispatch) -> list[Clock]:
    version = by.standard.at(from_ms(row.opened_ms))
    return clocks_due(version, TicketKind(row.kind), row.opened_ms, row.cause_start_ms)


def _bring_forward(session: Session, station: str, by: Dispatch) -> None:
    """Where a stop turns out to have begun earlier, let what counts from it be due earlier (R12); never later."""
    stops = (
        select(TicketRow, func.min(FindingRow.start_ms))
        .join(TicketFinding, TicketFinding.ticket_id == TicketRow.id)
        .join(FindingRow, FindingRow.id == TicketFinding.finding_id)
        .where(TicketRow.station_id == station, TicketRow.state == TicketState.OPEN)
        .where(FindingRow.kind == FindingKind.HEAT_OUTAGE, FindingRow.withdrawn.is_(False))
        .group_by(TicketRow.id)
        .having(func.min(FindingRow.start_ms) < TicketRow.cause_start_ms)
        .order_by(TicketRow.id)
    )
    for row, began_ms in session.execute(stops).all():
        row.cause_start_ms = began_ms
        steps = [due.step for due in _due(row, by) if _earlier(session, row.id, due.step, due.due_ms)]
        _note(session, row.id, by, "cause_earlier", {"cause_start": iso(began_ms), "steps": steps})


def _earlier(session: Session, ticket_id: int, step: str, due_ms: int) -> bool:
    clock = session.get(TicketClock, (ticket_id, step))
    if clock is None or clock.due_ms <= due_ms:
        return False
    clock.due_ms = due_ms
    return True


class Whose(TypedDict, total=False):
    """Which tickets are asked for; what is left out or None asks for all."""

    kind: TicketKind | None
    state: TicketState | None
    emergency: bool | None
    building: str | None
    station: str | None


def tickets(
    session: Session, *, limit: int | None = None, offset: int = 0, **whose: Unpack[Whose]
) -> Sequence[TicketRow]:
    """Return tickets, the latest opened first."""
    query = select(TicketRow).where(*_wanted(whose)).order_by(TicketRow.opened_ms.desc(), TicketRow.id.desc())
    return session.scalars(query.limit(limit).offset(offset)).all()


def count_tickets(session: Session, **whose: Unpack[Whose]) -> int:
    """Return how many tickets there are of these."""
    return session.scalar(select(func.count()).select_from(TicketRow).where(*_wanted(whose))) or 0


@dataclass(frozen=True, slots=True)
class Story:
    """A ticket with all that belongs to it: deadlines by due time, events in order, findings by start."""

    ticket: TicketRow
    clocks: Sequence[TicketClock]
    events: Sequence[TicketEvent]
    findings: Sequence[FindingRow]


def story(session: Session, ticket_id: int) -> Story | None:
    """Return one ticket's story, None where there is no such ticket."""
    ticket = session.get(TicketRow, ticket_id)
    if ticket is None:
        return None
    clocks = select(TicketClock).where(TicketClock.ticket_id == ticket_id)
    events = select(TicketEvent).where(TicketEvent.ticket_id == ticket_id).order_by(TicketEvent.id)
    rests_on = select(FindingRow).join(TicketFinding, TicketFinding.finding_id == FindingRow.id)
    mine = rests_on.where(TicketFinding.ticket_id == ticket_id).order_by(FindingRow.start_ms, FindingRow.id)
    return Story(
        ticket,
        session.scalars(clocks.order_by(TicketClock.due_ms, TicketClock.step)).all(),
        session.scalars(events).all(),
        session.scalars(mine).all(),
    )


def _wanted(whose: Whose) -> list[ColumnElement[bool]]:
    columns: dict[str, Any] = {"kind": TicketRow.kind, "state": TicketRow.state, "emergency": TicketRow.emergency}
    columns |= {"building": TicketRow.building_id, "station": TicketRow.station_id}
    return [column == whose.get(name) for name, column in columns.items() if whose.get(name) is not None]
