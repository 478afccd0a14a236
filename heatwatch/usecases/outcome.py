"""What came of readings, from the records: the tables that `heatwatch.files.outcome_files` writes.

What was published and done is told as the records hold it. Left out is what tells of the way rather than of the
outcome: the trace of a finding names a message, and which messages were stored together is chance.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from sqlalchemy import select
from sqlalchemy.orm import Session

from heatwatch.domain.findings import COLUMNS, DECIMALS, INSTANT_COLUMNS, FindingKind, SubjectKind
from heatwatch.domain.instants import HOUR_MS, iso
from heatwatch.domain.life import Mark
from heatwatch.domain.tickets import Scope
from heatwatch.files.findings_file import ISSUED
from heatwatch.files.outcome_files import Outcome
from heatwatch.records.progress import progress
from heatwatch.records.schema import FindingRow, NoticeRow, TicketClock, TicketEvent, TicketFinding, TicketRow
from heatwatch.usecases.findings import LASTING, findings, shown_detail

JUDGED_BY = "analytics"
_ORDER = {str(kind): number for number, kind in enumerate(SubjectKind)}
_TRACE = "trace"


@dataclass(frozen=True, slots=True)
class Within:
    """A span of time [ms], its end included, to which an outcome is cut: what was opened, drafted or issued in it."""

    start_ms: int
    end_ms: int

    def holds(self, at_ms: int) -> bool:
        """Tell whether something fell into it."""
        return self.start_ms <= at_ms <= self.end_ms

    def known(self, at_ms: int | None) -> int | None:
        """Return a moment that had come by the end, None for one that had not."""
        return None if at_ms is None or at_ms > self.end_ms else at_ms


_ALL = Within(-(2**62), 2**62)


def outcome_of(session: Session, within: Within | None = None) -> Outcome:
    """Return what came of everything judged so far, or in a span of time.

    Of a span it tells what was opened, drafted or issued in it, as it stood at its end as far as the records tell: what
    was done, ended or confirmed later had not come yet. What a finding was thought to be at the time and was amended
    since is told as it is now.
    """
    cut = within or _ALL
    as_of_ms = as_of(session) or 0
    if within is not None:
        as_of_ms = min(as_of_ms, within.end_ms)
    found = {kind: _found(session, kind, cut, as_of_ms) for kind in FindingKind}
    opened = select(TicketRow).where(TicketRow.opened_ms.between(cut.start_ms, cut.end_ms)).order_by(TicketRow.id)
    tickets = session.scalars(opened).all()
    log = _log(session, {row.id for row in tickets}, cut)
    tables = {
        "tickets": _tickets(session, tickets, cut),
        "clocks": _clocks(session, {row.id for row in tickets}, log, cut),
        "notices": _notices(session, {row.id for row in tickets}, cut),
        "events": [_event(row) for row in log],
    }
    return Outcome(as_of_ms, found, tables)


def as_of(session: Session) -> int | None:
    """Return the moment for which the findings hold [ms]; None before the first judging."""
    done = progress(session, JUDGED_BY)
    return None if done is None else done.as_of_ms


def findings_frame(
    kind: FindingKind, rows: Iterable[FindingRow], as_of_ms: int | None, *, issued: bool = False
) -> pd.DataFrame:
    """Return findings of a kind as `judge` has them, in the order of its files; with `issued` when each was first said.

    Parameters
    ----------
    as_of_ms
        Up to when an open outage has lasted [ms].
    """
    return _frame(kind, [_columns(row, as_of_ms) for row in rows], (ISSUED,) if issued else ())


def _columns(row: FindingRow, as_of_ms: int | None) -> dict[str, Any]:
    own = {
        "order": _ORDER[row.subject_kind],
        "point_id": row.subject_id,
        "subject_kind": row.subject_kind,
        "subject_id": row.subject_id,
        "start": row.start_ms,
        "end": row.end_ms,
        "confirmed_at": row.confirmed_ms,
        "open": row.open,
        ISSUED: row.issued_ms,
    }
    return {**own, **shown_detail(row, as_of_ms)}


def _frame(kind: FindingKind, rows: list[dict[str, Any]], more: Sequence[str]) -> pd.DataFrame:
    names = (*COLUMNS[kind], *more)
    rows.sort(key=lambda row: (row["order"], row["subject_id"], row["start"]))
    frame = pd.DataFrame({name: [row[name] for row in rows] for name in names})
    for name in (INSTANT_COLUMNS | {ISSUED}) & set(names):
        frame[name] = pd.to_datetime(frame[name].astype("Int64"), unit="ms", utc=True)
    for name in DECIMALS.keys() & set(names):
        frame[name] = frame[name].astype("float64")
    return frame


def _found(session: Session, kind: FindingKind, cut: Within, as_of_ms: int) -> pd.DataFrame:
    rows = [row for row in findings(session, kind=kind) if cut.holds(row.issued_ms)]
    told = [_as_known(_columns(row, as_of_ms), row, cut) for row in rows]
    return _frame(kind, told, (ISSUED,))


def _as_known(told: dict[str, Any], row: FindingRow, cut: Within) -> dict[str, Any]:
    """Take back what had not come yet at the end of a span."""
    told["confirmed_at"] = cut.known(row.confirmed_ms)
    if row.end_ms is not None and cut.known(row.end_ms) is None:
        told |= {"end": None, "open": True}
        told |= {"end_reason": ""} if "end_reason" in told else {}
        told |= {"duration_h": (cut.end_ms - row.start_ms) / HOUR_MS} if row.kind in LASTING else {}
    return told


def _tickets(session: Session, rows: Sequence[TicketRow], cut: Within) -> list[dict[str, str]]:
    points = _points(session)
    return [
        _texts(
            id=row.id,
            kind=row.kind,
            subject_kind=kind,
            subject_id=name,
            cause_start=_at(row.cause_start_ms),
            opened_at=_at(row.opened_ms),
            due="",
            state=row.state,
            emergency=row.emergency,
            scope=row.scope,
            station_id=row.station_id,
            building_id=row.building_id,
            room_id=row.room_id,
            rule=row.rule,
            merged_into=row.merged_into,
            responsible=row.responsible,
            recovered_at=_at(cut.known(row.recovered_ms)),
            finished_at=_at(cut.known(row.finished_ms)),
            closed_at=_at(cut.known(row.closed_ms)),
        )
        for row in rows
        for kind, name in _subjects(row, points.get(row.id, ()))
    ]


def _points(session: Session) -> Mapping[int, Sequence[str]]:
    """Return the points that the findings of each ticket speak of, in order."""
    asked = select(TicketFinding.ticket_id, FindingRow.subject_id).join(
        FindingRow, FindingRow.id == TicketFinding.finding_id
    )
    held: defaultdict[int, set[str]] = defaultdict(set)
    for ticket_id, point_id in session.execute(asked.where(FindingRow.subject_kind == SubjectKind.POINT)):
        held[ticket_id].add(point_id)
    return {ticket_id: sorted(names) for ticket_id, names in held.items()}


def _subjects(row: TicketRow, points: Sequence[str]) -> Sequence[tuple[SubjectKind, str]]:
    """Return what a ticket is about: the points of its room, else its building, else its station."""
    if row.scope == Scope.STATION:
        return [(SubjectKind.STATION, row.station_id)]
    if row.scope == Scope.ROOM and (points or row.point_id):
        return [(SubjectKind.POINT, name) for name in points or [str(row.point_id)]]
    return [(SubjectKind.BUILDING, row.building_id)]


def _log(session: Session, tickets: Collection[int], cut: Within) -> list[TicketEvent]:
    lines = session.scalars(select(TicketEvent).order_by(TicketEvent.ticket_id, TicketEvent.id))
    return [line for line in lines if line.ticket_id in tickets and line.at_ms <= cut.end_ms]


def _event(row: TicketEvent) -> dict[str, str]:
    detail = {name: said for name, said in row.detail.items() if name != _TRACE}
    return _texts(
        ticket=row.ticket_id,
        at=_at(row.at_ms),
        kind=row.kind,
        who=row.who,
        detail=json.dumps(detail, ensure_ascii=False, sort_keys=True),
    )


def _clocks(
    session: Session, tickets: Collection[int], log: Iterable[TicketEvent], cut: Within
) -> list[dict[str, str]]:
    overdue = {
        (line.ticket_id, str(line.detail.get("step")), line.detail.get("due")): line.at_ms
        for line in log
        if line.kind == Mark.OVERDUE
    }
    rows = session.scalars(select(TicketClock).order_by(TicketClock.ticket_id, TicketClock.due_ms, TicketClock.step))
    return [
        _texts(
            ticket=row.ticket_id,
            step=row.step,
            rule=row.rule,
            source=row.source,
            due=_at(row.due_ms),
            not_before=_at(row.not_before_ms),
            done=_at(cut.known(row.done_ms)),
            overdue=_at(overdue.get((row.ticket_id, row.step, iso(row.due_ms)))),
            off=row.off,
        )
        for row in rows
        if row.ticket_id in tickets
    ]


def _notices(session: Session, tickets: Collection[int], cut: Within) -> list[dict[str, str]]:
    rows = session.scalars(select(NoticeRow).order_by(NoticeRow.id))
    return [
        _texts(
            id=row.id,
            kind=row.kind,
            subject_kind=SubjectKind.BUILDING,
            subject_id=building,
            cause_start=_at(row.stop_start_ms),
            published_at=_at(cut.known(row.published_ms)),
            due=_at(row.due_ms),
            state=row.state,
            ticket=row.ticket_id,
            station_id=row.station_id,
            stop_end=_at(cut.known(row.stop_end_ms)),
            drafted_at=_at(row.drafted_ms),
            published_by=row.published_by,
            replaces=row.replaces,
            title=row.title,
            text=row.text,
        )
        for row in rows
        if row.ticket_id in tickets and cut.holds(row.drafted_ms)
        for building in row.building_ids
    ]


def _at(ms: int | None) -> str:
    return "" if ms is None else iso(ms)


def _texts(**cells: Any) -> dict[str, str]:
    return {name: _text(value) for name, value in cells.items()}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
