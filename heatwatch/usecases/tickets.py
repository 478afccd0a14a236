"""Tickets in the records: their log, what people do about them, and what the log comes to.

Whoever changes a ticket notes it in its log and then lets `refresh` work out state and clocks anew, both in one
transaction. Everything that follows from a deed (notices, notifications, rooms that get a ticket of their own) is
done by the dispatch role, which reads the audit trail as its feed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, Unpack

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session, aliased

from heatwatch.domain.findings import EndReason, FindingKind
from heatwatch.domain.instants import from_ms, iso
from heatwatch.domain.life import NEEDS, Deed, Event, Facts, Mark, Standing, check, clocks, possible, standing
from heatwatch.domain.register import Register
from heatwatch.domain.temperature import Standard
from heatwatch.domain.tickets import (
    AT_WORK,
    EMERGENCIES,
    REPORTED,
    REPORTED_RULES,
    UNMEASURED,
    Clock,
    Scope,
    TicketKind,
    TicketState,
)
from heatwatch.errors import BadInput
from heatwatch.records.audit import acting, hold
from heatwatch.records.schema import (
    AuditEntry,
    AuditHead,
    FindingRow,
    TicketClock,
    TicketEvent,
    TicketFinding,
    TicketRow,
)
from heatwatch.usecases.register import in_service

HEATWATCH = "heatwatch"
"""Who did what nobody did by hand."""
_SLICE = 5000
"""How many rows one statement names: databases have a bound."""
_PRESSING = (TicketClock.due_ms, TicketClock.step)


def note(
    session: Session,
    ticket_id: int,
    at_ms: int,
    kind: str,
    detail: Mapping[str, Any] | None = None,
    who: str = HEATWATCH,
) -> None:
    """Add a line to a ticket's log."""
    session.add(TicketEvent(ticket_id=ticket_id, at_ms=at_ms, kind=str(kind), who=who, detail=dict(detail or {})))


def log_of(session: Session, ticket_id: int) -> list[Event]:
    """Return a ticket's log, in order."""
    lines = select(TicketEvent).where(TicketEvent.ticket_id == ticket_id).order_by(TicketEvent.id)
    return [Event(row.kind, row.at_ms, row.who, row.detail) for row in session.scalars(lines)]


def events_since(session: Session, audit_seq: int) -> Sequence[TicketEvent]:
    """Return the lines added to any ticket's log after an entry of the audit trail, in the order of their commits."""
    new = select(AuditEntry.subject, AuditEntry.action, AuditEntry.subject_id).where(AuditEntry.seq > audit_seq)
    added = (TicketEvent.__tablename__, "created")  # asked for in SQL, SQLite would go through all that ever were
    numbers = [int(key) for subject, action, key in session.execute(new) if (subject, action) == added]
    lines: list[TicketEvent] = []
    for first in range(0, len(numbers), _SLICE):
        some = TicketEvent.id.in_(numbers[first : first + _SLICE])
        lines += session.scalars(select(TicketEvent).where(some))
    return sorted(lines, key=lambda line: line.id)


def feed_end(session: Session) -> int:
    """Return the number of the last entry of the audit trail, 0 before the first."""
    return session.scalar(select(AuditHead.seq)) or 0


def rests_on(session: Session, ticket_id: int) -> Sequence[FindingRow]:
    """Return the findings of a ticket, withdrawn ones too, the earliest first."""
    held = select(FindingRow).join(TicketFinding, TicketFinding.finding_id == FindingRow.id)
    mine = held.where(TicketFinding.ticket_id == ticket_id).order_by(FindingRow.start_ms, FindingRow.id)
    return session.scalars(mine).all()


@dataclass(frozen=True, slots=True)
class Held:
    """What a ticket's findings come to.

    Attributes
    ----------
    stop_end_ms
        When the heat was back [ms]; None while a stop goes on, or where there is none.
    over_ms
        Since when nothing of it goes on and every room is known to be warm [ms]; None where that is not so.
    groundless
        Whether everything that it rested on was withdrawn.
    faulty_ms
        Of a point's ticket: when a fault or a silence of it was first issued [ms]; None while only its battery is low.
    """

    stop_end_ms: int | None = None
    over_ms: int | None = None
    groundless: bool = False
    faulty_ms: int | None = None


def held(ticket: TicketRow, findings: Sequence[FindingRow]) -> Held:
    """Return what the findings of a ticket come to."""
    if ticket.kind in UNMEASURED:
        return Held(over_ms=ticket.recovered_ms, groundless=True)
    true = [row for row in findings if not row.withdrawn]
    stops = [row for row in true if row.kind == FindingKind.HEAT_OUTAGE]
    return Held(_stop_end(ticket, stops), _over(true), not true, _faulty_since(ticket, true or findings))


def _faulty_since(ticket: TicketRow, findings: Sequence[FindingRow]) -> int | None:
    """Return since when it was known that a point measures wrongly or not at all; never before its ticket."""
    faults = [row.issued_ms for row in findings if row.detail.get("kind") != "low_battery"]
    return max(ticket.opened_ms, min(faults)) if faults and ticket.kind == TicketKind.SENSOR else None


def _stop_end(ticket: TicketRow, stops: Sequence[FindingRow]) -> int | None:
    if ticket.kind != TicketKind.HEAT_OUTAGE:
        return None
    if not stops:
        return ticket.cause_start_ms
    return _latest_end(stops)


def _over(true: Sequence[FindingRow]) -> int | None:
    last = {row.subject_id: row for row in true if row.kind == FindingKind.COLD_SPELL}
    if not true or any(row.detail.get("end_reason") != EndReason.RECOVERED for row in last.values()):
        return None
    return _latest_end(true)


def _latest_end(rows: Sequence[FindingRow]) -> int | None:
    ends = [row.end_ms for row in rows]
    return None if any(row.open for row in rows) else max((end for end in ends if end is not None), default=None)


@dataclass(frozen=True, slots=True)
class Known:
    """A ticket as it stands: its row, what is known of it, what its log comes to, and its clocks."""

    row: TicketRow
    facts: Facts
    now: Standing
    clocks: Sequence[Clock]
    over_ms: int | None = None

    def deeds(self, at_ms: int) -> list[Deed]:
        """Return what may be done about it at `at_ms`."""
        return possible(self.facts, self.now, self.clocks, at_ms)


def known(session: Session, row: TicketRow, standard: Standard) -> Known:
    """Work out how a ticket stands, from its log and its findings."""
    holds, now = held(row, rests_on(session, row.id)), standing(log_of(session, row.id))
    kind = TicketKind(row.kind)
    facts = Facts(kind, row.opened_ms, row.cause_start_ms, holds.stop_end_ms, holds.groundless, holds.faulty_ms)
    due = clocks(standard.at(from_ms(row.opened_ms)), facts, now)
    return Known(row, facts, now, due, holds.over_ms)


def offered_for_withdrawal(ticket: TicketRow, *, groundless: bool) -> bool:
    """Tell whether a ticket that findings opened has lost all its ground: somebody has to say what becomes of it."""
    return groundless and ticket.kind not in UNMEASURED and ticket.state in AT_WORK


def refresh(session: Session, row: TicketRow, standard: Standard) -> Known:
    """Write what a ticket's log and findings come to: its state, who answers for it, its clocks."""
    session.flush()
    stands = known(session, row, standard)
    now = stands.now
    row.state, row.responsible, row.sent = str(now.state), now.responsible, now.sent
    row.finished_ms, row.closed_ms = now.done.get(Deed.FINISH), now.done.get(Deed.FOLLOW_UP)
    _keep_clocks(session, row.id, stands.clocks)
    session.flush()
    return stands


def _keep_clocks(session: Session, ticket_id: int, due: Sequence[Clock]) -> None:
    kept = {row.step: row for row in session.scalars(select(TicketClock).where(TicketClock.ticket_id == ticket_id))}
    for clock in due:
        row = kept.pop(clock.step, None)
        another = row is not None and row.due_ms < clock.due_ms  # a leak's, or after a reopening
        if row is None:
            row = TicketClock(ticket_id=ticket_id, step=clock.step, told=False)
            session.add(row)
        over, was_over = clock.off or clock.done_ms is not None, row.off or row.done_ms is not None
        row.told = over or (bool(row.told) and not was_over and not another)
        row.rule, row.source, row.due_ms = clock.rule, clock.source, clock.due_ms
        row.not_before_ms, row.done_ms, row.off = clock.not_before_ms, clock.done_ms, clock.off
    for row in kept.values():
        row.off = row.told = True


@dataclass(frozen=True, slots=True)
class Done:
    """A deed as a person reports it.

    Attributes
    ----------
    deed, who
        What, and who says so.
    at_ms
        When [ms].
    detail
        What goes with it: `text`, `person`, `agreed_ms`, `expected_end_ms`, `step`, `contact`.
    last_event
        The last line of the log that the person has seen; None where that was not looked at.
    """

    deed: Deed
    who: str
    at_ms: int
    detail: Mapping[str, Any] = field(default_factory=dict)
    last_event: int | None = None


def act(session: Session, ticket_id: int, done: Done, standard: Standard) -> Known | None:
    """Do what a person reports about a ticket; None where there is no such ticket.

    Raises
    ------
    BadInput
        If it is not legal now, or somebody else has done something in between; nothing is written then.
    """
    hold(session)
    row = session.get(TicketRow, ticket_id, with_for_update=True, populate_existing=True)
    if row is None:
        return None
    acting(session, done.who, done.at_ms)
    _refuse_unsaid(done)
    _refuse_unseen(session, row.id, done.last_event)
    stands = known(session, row, standard)
    check(done.deed, stands.facts, stands.now, stands.clocks, done.at_ms, step=str(done.detail.get("step", "")))
    note(session, row.id, done.at_ms, done.deed, done.detail, done.who)
    return refresh(session, row, standard)


def _refuse_unsaid(done: Done) -> None:
    unsaid = [name for name in NEEDS.get(done.deed, ()) if not done.detail.get(name)]
    if unsaid:
        raise BadInput(f"{done.deed} needs {' and '.join(unsaid)}", where=done.deed)


def _refuse_unseen(session: Session, ticket_id: int, last_event: int | None) -> None:
    by_hand = TicketEvent.ticket_id == ticket_id, TicketEvent.kind.in_([str(deed) for deed in Deed])
    last = session.scalar(select(func.max(TicketEvent.id)).where(*by_hand)) or 0
    if last_event is not None and last > last_event:
        raise BadInput(
            "somebody else has done something about it meanwhile", where=f"ticket {ticket_id}", mend="look again"
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What a person reports that no finding told: a repair (R16) or a leak (R17)."""

    kind: TicketKind
    station_id: str
    building_id: str
    who: str
    at_ms: int
    subject: str
    room_id: str | None = None
    contact: str = ""


def open_reported(session: Session, report: Report, register: Register | None, standard: Standard) -> Known:
    """Open a ticket for what a person reports.

    Raises
    ------
    BadInput
        If its kind is opened by findings only, or the register has no such building in that station.
    """
    if report.kind not in REPORTED:
        raise BadInput(f"a ticket of kind {report.kind} is opened by what is measured", where="kind")
    _find_place(register, report)
    acting(session, report.who, report.at_ms)
    row = TicketRow(
        kind=str(report.kind),
        state=str(TicketState.OPEN),
        emergency=report.kind in EMERGENCIES,
        scope=str(Scope.ROOM if report.room_id else Scope.BUILDING),
        station_id=report.station_id,
        building_id=report.building_id,
        room_id=report.room_id,
        rule=REPORTED_RULES[report.kind],
        opened_ms=report.at_ms,
        cause_start_ms=report.at_ms,
        evidence=[],
        subject=report.subject,
        contact=report.contact,
    )
    session.add(row)
    session.flush()
    note(session, row.id, report.at_ms, Mark.OPENED, {"cause_start": iso(report.at_ms)}, report.who)
    return refresh(session, row, standard)


def _find_place(register: Register | None, report: Report) -> None:
    rows = [] if register is None else [row for row in register.rows if row.station_id == report.station_id]
    here = [row for row in rows if row.building_id == report.building_id and in_service(row, report.at_ms)]
    if not here:
        raise BadInput(f"station {report.station_id} has no building {report.building_id}", where="building_id")
    if report.room_id and report.room_id not in {row.room for row in here}:
        raise BadInput(f"building {report.building_id} has no room {report.room_id}", where="room_id")


class Whose(TypedDict, total=False):
    """Which tickets are asked for; what is left out or None asks for all."""

    kind: TicketKind | None
    state: TicketState | None
    emergency: bool | None
    building: str | None
    station: str | None
    room: str | None
    at_work: bool | None
    stations: Collection[str] | None


def tickets(
    session: Session, *, limit: int | None = None, offset: int = 0, **whose: Unpack[Whose]
) -> Sequence[TicketRow]:
    """Return tickets, the latest opened first."""
    query = select(TicketRow).where(*_wanted(whose)).order_by(TicketRow.opened_ms.desc(), TicketRow.id.desc())
    return session.scalars(query.limit(limit).offset(offset)).all()


def worklist(
    session: Session, *, limit: int | None = None, offset: int = 0, **whose: Unpack[Whose]
) -> Sequence[tuple[TicketRow, TicketClock | None]]:
    """Return tickets, each with the deadline that falls due next: the most pressing first, then the latest opened.

    What a ticket that is done has missed presses nobody any more.
    """
    running = select(
        TicketClock, func.row_number().over(partition_by=TicketClock.ticket_id, order_by=_PRESSING).label("n")
    )
    undone = running.where(TicketClock.done_ms.is_(None), TicketClock.off.is_(False)).subquery()
    first = aliased(TicketClock, undone)
    query = (
        select(TicketRow, first)
        .outerjoin(first, and_(first.ticket_id == TicketRow.id, undone.c.n == 1, _at_work()))
        .where(*_wanted(whose))
        .order_by(first.due_ms.is_(None), first.due_ms, TicketRow.opened_ms.desc(), TicketRow.id.desc())
    )
    return [(ticket, clock) for ticket, clock in session.execute(query.limit(limit).offset(offset))]


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
    return Story(
        ticket,
        session.scalars(clocks.order_by(TicketClock.due_ms, TicketClock.step)).all(),
        session.scalars(events).all(),
        rests_on(session, ticket_id),
    )


def _wanted(whose: Whose) -> list[ColumnElement[bool]]:
    columns: dict[str, Any] = {"kind": TicketRow.kind, "state": TicketRow.state, "emergency": TicketRow.emergency}
    columns |= {"building": TicketRow.building_id, "station": TicketRow.station_id, "room": TicketRow.room_id}
    wanted = [column == whose.get(name) for name, column in columns.items() if whose.get(name) is not None]
    at_work, stations = whose.get("at_work"), whose.get("stations")
    if at_work is not None:
        wanted.append(_at_work() if at_work else ~_at_work())
    if stations is not None:
        wanted.append(TicketRow.station_id.in_(sorted(stations)))
    return wanted


def _at_work() -> ColumnElement[bool]:
    return TicketRow.state.in_([str(state) for state in AT_WORK])
