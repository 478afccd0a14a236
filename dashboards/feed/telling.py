"""Findings, tickets, notices and stops as points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from heatwatch.domain.findings import FindingKind
from heatwatch.domain.instants import HOUR_MS
from heatwatch.domain.life import Mark
from heatwatch.domain.tickets import AT_WORK
from heatwatch.records.schema import (
    FeedFinding,
    FindingRow,
    NoticeRow,
    ReportedStop,
    TicketClock,
    TicketEvent,
    TicketFinding,
    TicketRow,
)
from heatwatch.stores.influx.points import Value, line, time_of
from heatwatch.stores.influx.schema import FINDING, NOTICE, STOP, TICKET, TICKET_EVENT, WHOLE_STATION
from heatwatch.usecases.feeding import Entry, tickets_of

_SLICE = 500
_DETAIL: Mapping[FindingKind, Mapping[str, tuple[str, type]]] = {
    FindingKind.COLD_SPELL: {
        "rule": ("rule", str),
        "end_reason": ("end_reason", str),
        "violation_h": ("violation_h", float),
        "unknown_h": ("unknown_h", float),
        "min_temp_c": ("min_temp_c", float),
        "deficit_kh": ("deficit_kh", float),
    },
    FindingKind.HEAT_OUTAGE: {
        "evidence": ("evidence", str),
        "confidence": ("confidence", float),
        "points": ("points", int),
    },
    FindingKind.DATA_OUTAGE: {"part_of": ("part_of", str)},
    FindingKind.SENSOR_FAULT: {"fault": ("kind", str), "detail": ("detail", str)},
}
"""Field, and which of a finding's columns it is."""
_ROOM_STOPS = frozenset({"riser", "room"})
"""Whose stops may name a person as their reason."""


def told_findings(session: Session, rows: Sequence[FindingRow], places: Mapping[int, FeedFinding]) -> list[str]:
    """Return findings as lines, each in the series in which it stands, and as moved in those where it stood before."""
    tickets = tickets_of(session, [row.id for row in rows])
    return list(chain.from_iterable(_finding(row, places[row.id], tickets.get(row.id, 0)) for row in rows))


def _finding(row: FindingRow, place: FeedFinding, ticket: int) -> Iterator[str]:
    time_ns = time_of(place.start_ms, row.id)
    fields = _said(row) | {"ticket": ticket}
    *before, here = place.places
    for one in before:
        yield line(FINDING, _tags(row, one), fields | {"open": False, "withdrawn": True, "moved": True}, time_ns)
    yield line(FINDING, _tags(row, here), fields | {"moved": False}, time_ns)


def _tags(row: FindingRow, place: Sequence[str]) -> dict[str, str]:
    station, building = place
    subject = {"kind": row.kind, "subject_kind": row.subject_kind, "subject": row.subject_id}
    return subject | {"station": station, "building": building or WHOLE_STATION}


def _said(row: FindingRow) -> dict[str, Value | None]:
    kind = FindingKind(row.kind)
    detail = {name: _as(row.detail.get(key), type_) for name, (key, type_) in _DETAIL[kind].items()}
    return {
        "finding": row.id,
        "start_ms": row.start_ms,
        "end_ms": row.end_ms or 0,
        "open": row.open and not row.withdrawn,
        "withdrawn": row.withdrawn,
        "confirmed": kind is not FindingKind.COLD_SPELL or row.confirmed_ms is not None,
        "confirmed_ms": row.confirmed_ms or 0,
        "revision": row.revision,
        "issued_ms": row.issued_ms,
        "changed_ms": row.changed_ms,
        "duration_h": 0.0 if row.end_ms is None else (row.end_ms - row.start_ms) / HOUR_MS,
        **detail,
    }


def _as(value: Any, type_: type) -> Value | None:
    """Return a column of a finding as its field has it: no text is an empty one, since InfluxDB takes no field away."""
    if value is None:
        return "" if type_ is str else None
    made: Value = type_(value)
    return made


def told_deeds(session: Session, entries: Sequence[Entry]) -> tuple[list[str], list[int]]:
    """Return what entries of the audit trail speak of as lines, and which findings belong to another ticket by now."""
    touched = _Touched(entries)
    events = _rows(session, TicketEvent, touched.events)
    tickets = _rows(session, TicketRow, touched.tickets | {event.ticket_id for event in events.values()})
    lines = [*_tickets(session, tickets), *(_event(event, tickets[event.ticket_id]) for event in events.values())]
    lines += [_notice(row) for row in _rows(session, NoticeRow, touched.notices).values()]
    lines += [_stop(row) for row in _rows(session, ReportedStop, touched.stops).values()]
    return lines, _regrouped(session, events.values())


class _Touched:
    """Which rows entries of the audit trail speak of."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        names = (TicketRow, TicketEvent, NoticeRow, ReportedStop)
        of: dict[str, set[int]] = {one.__tablename__: set() for one in names}
        for entry in entries:
            if entry.subject in of:
                of[entry.subject].add(int(entry.subject_id))
        self.tickets, self.events, self.notices, self.stops = (of[one.__tablename__] for one in names)


def _rows(session: Session, table: Any, numbers: Collection[int]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    ordered = sorted(numbers)
    for first in range(0, len(ordered), _SLICE):
        some = select(table).where(table.id.in_(ordered[first : first + _SLICE]))
        found |= {row.id: row for row in session.scalars(some)}
    return dict(sorted(found.items()))


def _regrouped(session: Session, events: Collection[TicketEvent]) -> list[int]:
    """Return the findings that have come to a ticket or left it."""
    named = {int(event.detail["finding_id"]) for event in events if "finding_id" in event.detail}
    into = sorted({int(event.detail["into"]) for event in events if event.kind == Mark.MERGED})
    for first in range(0, len(into), _SLICE):
        held = select(TicketFinding.finding_id).where(TicketFinding.ticket_id.in_(into[first : first + _SLICE]))
        named |= set(session.scalars(held))
    return sorted(named)


def _tickets(session: Session, rows: Mapping[int, TicketRow]) -> Iterator[str]:
    findings, missed = Counter[int](), Counter[int]()
    clocks: dict[int, list[TicketClock]] = {}
    numbers = list(rows)
    for first in range(0, len(numbers), _SLICE):
        some = numbers[first : first + _SLICE]
        held = select(TicketFinding.ticket_id, func.count()).where(TicketFinding.ticket_id.in_(some))
        findings.update(dict(session.execute(held.group_by(TicketFinding.ticket_id)).all()))
        late = select(TicketEvent.ticket_id, func.count()).where(TicketEvent.ticket_id.in_(some))
        late = late.where(TicketEvent.kind == Mark.OVERDUE).group_by(TicketEvent.ticket_id)
        missed.update(dict(session.execute(late).all()))
        running = select(TicketClock).where(TicketClock.ticket_id.in_(some), TicketClock.done_ms.is_(None))
        running = running.where(~TicketClock.off, TicketClock.step != str(Mark.WARNING))
        for clock in session.scalars(running.order_by(TicketClock.due_ms, TicketClock.step)):
            clocks.setdefault(clock.ticket_id, []).append(clock)
    for row in rows.values():
        at_work = row.state in AT_WORK
        yield _ticket(row, clocks.get(row.id, []) if at_work else [], findings[row.id], missed[row.id])


def _ticket(row: TicketRow, clocks: Sequence[TicketClock], findings: int, missed: int) -> str:
    following = clocks[0] if clocks else None
    fields: dict[str, Value | None] = {
        "ticket": row.id,
        "state": row.state,
        "open": row.state in AT_WORK,
        "emergency": row.emergency,
        "taken": bool(row.responsible),
        "room": row.room_id or "",
        "point": row.point_id or "",
        "rule": row.rule,
        "opened_ms": row.opened_ms,
        "cause_start_ms": row.cause_start_ms,
        "finished_ms": row.finished_ms or 0,
        "closed_ms": row.closed_ms or 0,
        "recovered_ms": row.recovered_ms or 0,
        "merged_into": row.merged_into or 0,
        "findings": findings,
        "step": "" if following is None else following.step,
        "step_rule": "" if following is None else following.rule,
        "due_ms": 0 if following is None else following.due_ms,
        "clocks": len(clocks),
        "missed": missed,
    }
    tags = {"kind": row.kind, **_home(row), "scope": row.scope}
    return line(TICKET, tags, fields, time_of(row.opened_ms, row.id))


def _home(row: TicketRow) -> dict[str, str]:
    return {"station": row.station_id, "building": row.building_id or WHOLE_STATION}


def _event(row: TicketEvent, ticket: TicketRow) -> str:
    fields: dict[str, Value | None] = {
        "event": row.id,
        "ticket": row.ticket_id,
        "ticket_kind": ticket.kind,
        "emergency": ticket.emergency,
        "step": str(row.detail.get("step", "")),
        "rule": str(row.detail.get("rule", "")) if row.kind == Mark.OVERDUE else "",
        "at_ms": row.at_ms,
    }
    return line(TICKET_EVENT, {"kind": row.kind, **_home(ticket)}, fields, time_of(row.at_ms, row.id))


def _notice(row: NoticeRow) -> str:
    fields: dict[str, Value | None] = {
        "notice": row.id,
        "ticket": row.ticket_id,
        "state": row.state,
        "published": row.published_ms is not None,
        "title": row.title,
        "buildings": ",".join(row.building_ids),
        "building_count": len(row.building_ids),
        "stop_start_ms": row.stop_start_ms,
        "stop_end_ms": row.stop_end_ms or 0,
        "drafted_ms": row.drafted_ms,
        "published_ms": row.published_ms or 0,
        "due_ms": row.due_ms or 0,
        "replaces": row.replaces or 0,
    }
    return line(NOTICE, {"kind": row.kind, "station": row.station_id}, fields, time_of(row.drafted_ms, row.id))


def _stop(row: ReportedStop) -> str:
    fields: dict[str, Value | None] = {
        "stop": row.id,
        "start_ms": row.start_ms,
        "end_ms": row.end_ms or 0,
        "planned": row.planned,
        "withdrawn": row.withdrawn,
        "reason": "" if row.subject_kind in _ROOM_STOPS else row.reason,
        "revision": row.revision,
        "reported_ms": row.reported_ms,
    }
    tags = {"subject_kind": row.subject_kind, "subject": row.subject_id, "station": row.station_id}
    return line(STOP, tags, fields, time_of(row.start_ms, row.id))
