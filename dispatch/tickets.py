"""From findings to tickets: how things stand is read, `decide` decides, and what it says is written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from dispatch.faults import CONFIRMED, MEASURING, Silences, looked_for, ripened
from dispatch.standstill import Standstill
from heatwatch.domain.findings import FindingKind, SubjectKind
from heatwatch.domain.grouping import Action, Fault, Join, Merge, Open, Outage, Situation, Spell, Ticket, decide
from heatwatch.domain.instants import from_ms, iso
from heatwatch.domain.life import Mark
from heatwatch.domain.notices import NoticeState
from heatwatch.domain.register import Register
from heatwatch.domain.temperature import Standard
from heatwatch.domain.tickets import (
    AT_WORK,
    EMERGENCIES,
    OUTAGE_RULE,
    SENSOR_RULE,
    UNMEASURED,
    Scope,
    TicketKind,
    TicketState,
)
from heatwatch.records.audit import acting
from heatwatch.records.schema import FindingChange, FindingRow, NoticeRow, TicketEvent, TicketFinding, TicketRow
from heatwatch.usecases.documents import NOTICE, note_document
from heatwatch.usecases.register import row_at
from heatwatch.usecases.tickets import HEATWATCH, Known, note, refresh

EVIDENCE_MAX = 24
HEATING = frozenset({FindingKind.COLD_SPELL, FindingKind.HEAT_OUTAGE})
TICKET_WORTHY = HEATING | MEASURING

Evidence = Callable[[Collection[str], int, int], Sequence[tuple[str, int, float]]]
"""Gives the violating readings (point, time [ms], temperature [degC]) of points in [start, end), in time order."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What turning findings into tickets needs: the moment [ms], the rules, the register and the readings."""

    at_ms: int
    standard: Standard
    register: Register | None
    evidence: Evidence


def dispatch(
    session: Session,
    changed: Sequence[FindingRow],
    by: Dispatch,
    *,
    closed: Collection[int] = (),
    standstill: Standstill | None = None,
    amended: Mapping[int, Sequence[FindingChange]] = MappingProxyType({}),
) -> dict[int, Known]:
    """Bring the tickets to what findings say, in the stations of those that changed; return how those now stand.

    What changed only says where to look: a finding without its ticket is found there whenever it was issued. A spell
    whose point has moved may turn out to have begun elsewhere: its ticket's station is looked at, too.
    `closed` are tickets that were closed since: what still goes on of them gets a ticket of its own, and so does what
    goes on again of any that was closed before. `standstill` remembers what was decided last. `amended` is what has
    been taken back of findings since, by their numbers: it is noted on their tickets and notices. A silence becomes
    reason enough for a ticket as time passes: where one has, is looked at, too.
    """
    acting(session, HEATWATCH, by.at_ms)
    remembered = standstill or Standstill(by.standard.judging.sensor_rows)
    rooms = remembered.rooms(by.register, by.at_ms)
    worthy = remembered.news(row for row in changed if row.kind in TICKET_WORTHY)
    touched = _follow(session, worthy, by, amended)
    left = _release(session, [*_going_on(session, closed), *worthy], by)
    ripe = ripened(session, by.at_ms, by.standard.judging)
    looked_at = sorted({row.station_id for row in (*worthy, *left)} | _stations(session, touched) | ripe)
    for station in looked_at:
        writer, actions = _Writer(session, by), decide(_situation(session, station, by, rooms))
        writer.apply(actions)
        brought = _bring_forward(session, station, by)
        touched |= writer.touched | brought
        news = [row for row in worthy if row.station_id == station]
        remembered.decided(station, news, quiet=not (actions or brought))
    for row, was in left.items():
        _follow_stop(session, row, was)
        touched.add(was)
    return {ticket_id: settle(session, ticket_id, by) for ticket_id in sorted(touched)}


def _stations(session: Session, tickets: Collection[int]) -> set[str]:
    return {session.get_one(TicketRow, ticket_id).station_id for ticket_id in tickets}


def settle(session: Session, ticket_id: int, by: Dispatch) -> Known:
    """Let a ticket's state and clocks follow, and note when nothing of it goes on any more, or it does again."""
    row = session.get_one(TicketRow, ticket_id)
    stands = refresh(session, row, by.standard)
    if row.state in AT_WORK:
        was, row.recovered_ms = row.recovered_ms, stands.over_ms
        if (was is None) != (stands.over_ms is None):
            _note_recovery(session, ticket_id, stands.over_ms, by)
        if stands.facts.groundless and row.kind not in UNMEASURED and not _known_groundless(session, ticket_id):
            note(session, ticket_id, by.at_ms, Mark.GROUNDLESS)
    return stands


def _going_on(session: Session, tickets: Collection[int]) -> Sequence[FindingRow]:
    """Return what still goes on of tickets."""
    held = select(FindingRow).join(TicketFinding, TicketFinding.finding_id == FindingRow.id)
    here = held.where(TicketFinding.ticket_id.in_(sorted(tickets)), FindingRow.kind.in_(sorted(TICKET_WORTHY)))
    return session.scalars(here.where(FindingRow.open).order_by(FindingRow.id)).all() if tickets else ()


def _release(session: Session, findings: Sequence[FindingRow], by: Dispatch) -> dict[FindingRow, int]:
    """Let those that go on leave tickets that were closed; return them, each with the ticket that it was taken from."""
    left = {}
    for row in findings:
        held = session.get(TicketFinding, row.id) if row.open and not row.withdrawn else None
        if held is not None and session.get_one(TicketRow, held.ticket_id).state == TicketState.CLOSED:
            session.delete(held)
            session.flush()
            note(session, held.ticket_id, by.at_ms, Mark.FINDING_RELEASED, {"finding_id": row.id})
            left[row] = held.ticket_id
    return left


def _follow_stop(session: Session, row: FindingRow, was: int) -> None:
    """Let what the public was told of a stop be seen to by the ticket that has it now."""
    held = session.get(TicketFinding, row.id)
    if row.kind == FindingKind.HEAT_OUTAGE and held is not None:
        _hand_over_notices(session, was, held.ticket_id)


def _note_recovery(session: Session, ticket_id: int, over_ms: int | None, by: Dispatch) -> None:
    if over_ms is None:
        note(session, ticket_id, by.at_ms, Mark.RELAPSED)
    else:
        note(session, ticket_id, by.at_ms, Mark.RECOVERED, {"since": iso(over_ms)})


def _known_groundless(session: Session, ticket_id: int) -> bool:
    """Tell whether the log says so already, and nothing was found again since."""
    kinds = (Mark.GROUNDLESS, Mark.FINDING_ADDED, Mark.TOOK_OVER, "finding_open", "finding_ended")
    said = select(TicketEvent.kind).where(TicketEvent.ticket_id == ticket_id, TicketEvent.kind.in_(map(str, kinds)))
    return session.scalar(said.order_by(TicketEvent.id.desc()).limit(1)) == Mark.GROUNDLESS


def finding_state(row: FindingRow) -> str:
    """Return whether what a finding says is open, ended or withdrawn."""
    if row.withdrawn:
        return "withdrawn"
    return "open" if row.open else "ended"


def _follow(
    session: Session, changed: Sequence[FindingRow], by: Dispatch, amended: Mapping[int, Sequence[FindingChange]]
) -> set[int]:
    """Note on the tickets what became of their findings: ended, going on again, amended; return those tickets."""
    touched = set()
    for row in changed:
        held = session.get(TicketFinding, row.id)
        if held is None:
            continue
        touched.add(held.ticket_id)
        taken_back = [_amendment(change) for change in amended.get(row.id, ())]
        for said in taken_back:
            _note_on_notices(session, held.ticket_id, row, said, by)
        last: dict[str, Any] = {}
        if held.state != finding_state(row):
            held.state = finding_state(row)
            last = taken_back.pop() if taken_back else {}
            _note_state(session, held, row, by, last)
        for said in taken_back:
            note(session, held.ticket_id, by.at_ms, Mark.AMENDED, _told(row) | said)
    return touched


def _amendment(change: FindingChange) -> dict[str, Any]:
    """Return what a line says of an amendment: what was said, what is said now, and what led to it."""
    return {
        "amendment": change.kind,
        "change_id": change.id,
        "before": change.before,
        "after": change.after,
        "cause": change.cause,
        "trace": change.trace,
    }


def _note_on_notices(session: Session, ticket_id: int, row: FindingRow, said: Mapping[str, Any], by: Dispatch) -> None:
    """Note on what was drafted or published of a stop that it is said otherwise now; its words stay as they are."""
    if row.kind != FindingKind.HEAT_OUTAGE:
        return
    standing = NoticeRow.state.in_([str(NoticeState.DRAFT), str(NoticeState.PUBLISHED)])
    for notice_id in session.scalars(select(NoticeRow.id).where(NoticeRow.ticket_id == ticket_id, standing)).all():
        note_document(session, NOTICE, notice_id, by.at_ms, "amended", {**said, "finding_id": row.id})


def _note_state(
    session: Session, held: TicketFinding, row: FindingRow, by: Dispatch, said: Mapping[str, Any] = MappingProxyType({})
) -> None:
    end = None if row.end_ms is None else iso(row.end_ms)
    note(session, held.ticket_id, by.at_ms, f"finding_{held.state}", {**_told(row), **said, "end": end})


def _told(row: FindingRow) -> dict[str, Any]:
    return {"finding_id": row.id, "trace": row.trace}


def _situation(session: Session, station: str, by: Dispatch, rooms: Mapping[str, int]) -> Situation:
    loose = session.scalars(
        select(FindingRow)
        .outerjoin(TicketFinding, TicketFinding.finding_id == FindingRow.id)
        .where(FindingRow.station_id == station, FindingRow.kind.in_(sorted(HEATING)))
        .where(TicketFinding.finding_id.is_(None), FindingRow.withdrawn.is_(False))
        .where(or_(FindingRow.kind == FindingKind.HEAT_OUTAGE, FindingRow.confirmed_ms.is_not(None)))
        .order_by(FindingRow.id)
    ).all()
    spells, outages = _sorted_out(loose, by.register)
    judging = by.standard.judging
    at_work = _at_work(session, station, by)
    faults = _faults(session, station, at_work, by)
    return Situation(at_work, spells, outages, rooms, judging.group_min, judging.group_after_h, faults)


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


def _faults(session: Session, station: str, at_work: Iterable[Ticket], by: Dispatch) -> list[Fault]:
    """Return what is wrong with points and has no ticket: what opens one now, and what one that is at work takes."""
    since: dict[str, int] = {}
    for ticket in at_work:
        if ticket.kind is TicketKind.SENSOR:
            place = ticket.point_id or ticket.building_id or ticket.station_id
            since[place] = min(ticket.cause_start_ms, since.get(place, ticket.cause_start_ms))
    rows = looked_for(session, station, since)
    silences = Silences(session, station, rows, by.standard.judging)
    return [_fault(row, by.register, opens=silences.opens(row, by.at_ms)) for row in rows if not silences.larger(row)]


def _fault(row: FindingRow, register: Register | None, *, opens: bool = True) -> Fault:
    if row.subject_kind != SubjectKind.POINT:
        building = row.building_id if row.subject_kind == SubjectKind.BUILDING else ""
        return Fault(row.id, "", None, building, row.station_id, row.start_ms, row.end_ms, opens)
    point = row_at(register, row.subject_id, row.start_ms) if register is not None else None
    room = row.subject_id if point is None else point.room
    place = (row.building_id, row.station_id)
    return Fault(row.id, row.subject_id, room, *place, row.start_ms, row.end_ms, opens)


def _outage(row: FindingRow) -> Outage:
    building = row.building_id if row.subject_kind == SubjectKind.BUILDING else ""
    return Outage(row.id, building, row.station_id, row.start_ms, row.end_ms)


def _at_work(session: Session, station: str, by: Dispatch) -> list[Ticket]:
    found = TicketRow.kind.not_in([str(kind) for kind in UNMEASURED])
    is_open = (TicketRow.station_id == station, TicketRow.state.in_([str(state) for state in AT_WORK]), found)
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


def _ticket(row: TicketRow, rests_on: Collection[FindingRow], register: Register | None) -> Ticket:
    spells, outages = _sorted_out((one for one in rests_on if one.kind in HEATING), register)
    faults = [_fault(one, register) for one in rests_on if one.kind in MEASURING]
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
        row.finished_ms,
        row.point_id,
        tuple(faults),
    )


class _Writer:
    """Writes what was decided, and at the end fills in what the opened tickets rest on."""

    def __init__(self, session: Session, by: Dispatch) -> None:
        self._session, self._by = session, by
        self._opened: dict[int, TicketRow] = {}
        self._first: dict[int, int] = {}
        self.touched: set[int] = set()

    def apply(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, Join):
                self._first.setdefault(action.ticket_id, action.finding_id)
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
            point_id=ticket.point_id,
            rule="",
            opened_ms=self._by.at_ms,
            cause_start_ms=ticket.cause_start_ms,
            evidence=[],
        )
        self._session.add(row)
        self._session.flush()
        self._opened[ticket.id] = row
        self.touched.add(row.id)
        first = self._first.get(ticket.id)
        trace = "" if first is None else self._session.get_one(FindingRow, first).trace
        detail = {"cause_start": iso(ticket.cause_start_ms), "trace": trace}
        note(self._session, row.id, self._by.at_ms, Mark.OPENED, detail)

    def _join(self, ticket_id: int, finding_id: int) -> None:
        row = self._session.get_one(FindingRow, finding_id)
        held = TicketFinding(finding_id=finding_id, ticket_id=ticket_id, state=finding_state(row))
        self._session.add(held)
        self.touched.add(ticket_id)
        note(self._session, ticket_id, self._by.at_ms, Mark.FINDING_ADDED, _told(row))
        if held.state != "open":
            _note_state(self._session, held, row, self._by)
        if row.kind == FindingKind.SENSOR_FAULT:
            self.touched |= _doubt(self._session, ticket_id, row, self._by)

    def _merge(self, ticket_id: int, into: int) -> None:
        session, at_ms = self._session, self._by.at_ms
        session.get_one(TicketRow, ticket_id).merged_into = into
        session.flush()
        moved = update(TicketFinding).where(TicketFinding.ticket_id == ticket_id).values(ticket_id=into)
        session.execute(moved, execution_options={"synchronize_session": "fetch"})
        _hand_over_notices(session, ticket_id, into)
        note(session, ticket_id, at_ms, Mark.MERGED, {"into": into})
        note(session, into, at_ms, Mark.TOOK_OVER, {"ticket_id": ticket_id})
        self.touched |= {ticket_id, into}

    def _rest(self, row: TicketRow) -> None:
        """Write the rule, the point and the evidence of an opened ticket."""
        if row.kind == TicketKind.SENSOR:
            row.rule = SENSOR_RULE
            return
        spells = _cold(self._session, row.id)
        rules = {rule for spell in spells for rule in str(spell.detail.get("rule", "")).split("+")}
        row.rule = OUTAGE_RULE if row.kind == TicketKind.HEAT_OUTAGE else "+".join(sorted(rules))
        if spells:
            row.point_id = spells[0].subject_id if row.scope == Scope.ROOM else None
            row.evidence = _evidence(spells, self._by)


def _doubt(session: Session, ticket_id: int, fault: FindingRow, by: Dispatch) -> set[int]:
    """Note on the tickets of cold rooms that rested on a point's readings that they may be wrong, and on the point's.

    Of the kinds that leave no reading to be trusted; what was withdrawn for it stays on its ticket. Once a pair.
    """
    if fault.detail.get("kind") not in CONFIRMED:
        return set()
    meets = (FindingRow.end_ms.is_(None)) | (FindingRow.end_ms >= fault.start_ms)
    if fault.end_ms is not None:
        meets &= FindingRow.start_ms <= fault.end_ms
    cold = (
        select(TicketFinding.ticket_id)
        .join(FindingRow, FindingRow.id == TicketFinding.finding_id)
        .join(TicketRow, TicketRow.id == TicketFinding.ticket_id)
        .where(FindingRow.kind == FindingKind.COLD_SPELL, FindingRow.subject_id == fault.subject_id, meets)
        .where(TicketRow.state.in_([str(state) for state in AT_WORK]))
        .order_by(TicketFinding.ticket_id)
        .distinct()
    )
    said = select(TicketEvent.detail).where(TicketEvent.ticket_id == ticket_id, TicketEvent.kind == Mark.CONCERNS)
    named = {detail["ticket_id"] for detail in session.scalars(said)}
    doubted = set(session.scalars(cold)) - named
    for number in sorted(doubted):
        about = {"finding_id": fault.id, "trace": fault.trace}
        note(session, number, by.at_ms, Mark.DOUBTED, {"ticket_id": ticket_id, **about})
        note(session, ticket_id, by.at_ms, Mark.CONCERNS, {"ticket_id": number, **about})
    return doubted


def _hand_over_notices(session: Session, ticket_id: int, into: int) -> None:
    """Drop what was drafted for a ticket that merges, and let what was published be seen to by the other one."""
    for notice in session.scalars(select(NoticeRow).where(NoticeRow.ticket_id == ticket_id)):
        if notice.state == NoticeState.DRAFT:
            notice.state = str(NoticeState.DROPPED)
        elif notice.state == NoticeState.PUBLISHED:
            notice.ticket_id = into


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


def _bring_forward(session: Session, station: str, by: Dispatch) -> set[int]:
    """Where a stop turns out to have begun earlier, let what counts from it be due earlier (R12); never later."""
    stops = (
        select(TicketRow, func.min(FindingRow.start_ms))
        .join(TicketFinding, TicketFinding.ticket_id == TicketRow.id)
        .join(FindingRow, FindingRow.id == TicketFinding.finding_id)
        .where(TicketRow.station_id == station, TicketRow.state.in_([str(state) for state in AT_WORK]))
        .where(FindingRow.kind == FindingKind.HEAT_OUTAGE, FindingRow.withdrawn.is_(False))
        .group_by(TicketRow.id)
        .having(func.min(FindingRow.start_ms) < TicketRow.cause_start_ms)
        .order_by(TicketRow.id)
    )
    touched = set()
    for row, began_ms in session.execute(stops).all():
        row.cause_start_ms = began_ms
        rules = by.standard.at(from_ms(row.opened_ms)).clocks.get(row.kind, ())
        steps = [rule.step for rule in rules if rule.counted_from == "cause"]
        note(session, row.id, by.at_ms, Mark.CAUSE_EARLIER, {"cause_start": iso(began_ms), "steps": steps})
        touched.add(row.id)
    return touched
