"""Reported stops of heat in the records (R11, R12, R32): who said so, what became of it, and what judging goes by."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.stops import STOP_SUBJECTS, Stop
from heatwatch.errors import BadInput
from heatwatch.records.audit import acting
from heatwatch.records.schema import ReportedStop


@dataclass(frozen=True, slots=True, kw_only=True)
class StopChange:
    """What is to be otherwise about a reported stop; None leaves it as it is."""

    end_ms: int | None = None
    planned: bool | None = None
    reason: str | None = None
    withdrawn: bool | None = None


def station_of(register: Register | None, subject_kind: str, subject_id: str) -> str | None:
    """Return the station that a subject belongs to by the last row that names it, None where the register has none."""
    named = [row for row in (register.rows if register is not None else ()) if _names(row, subject_kind) == subject_id]
    return max(named, key=lambda row: row.valid_from_ms).station_id if named else None


def _names(row: PointRow, subject_kind: str) -> str | None:
    return {"station": row.station_id, "building": row.building_id, "riser": row.riser, "room": row.room}[subject_kind]


def report_stop(session: Session, stop: Stop, register: Register | None, *, who: str, now_ms: int) -> ReportedStop:
    """Keep a stop that someone reports.

    Raises
    ------
    BadInput
        If the register does not have its subject, or it ends before it begins.
    """
    station = station_of(register, stop.subject_kind, stop.subject_id) if stop.subject_kind in STOP_SUBJECTS else None
    if station is None:
        raise BadInput(f"the register has no {stop.subject_kind} {stop.subject_id}", where="stops")
    _refuse_backwards(stop.start_ms, stop.end_ms)
    acting(session, who, now_ms)
    row = ReportedStop(
        subject_kind=stop.subject_kind,
        subject_id=stop.subject_id,
        station_id=station,
        start_ms=stop.start_ms,
        end_ms=stop.end_ms,
        planned=stop.planned,
        reason=stop.reason,
        reported_by=who,
        reported_ms=now_ms,
    )
    session.add(row)
    session.flush()
    return row


def change_stop(session: Session, row: ReportedStop, change: StopChange, *, who: str, now_ms: int) -> bool:
    """Say something else of a stop, and return whether that is anything new; what was said before is on the trail.

    Raises
    ------
    BadInput
        If it would end before it begins.
    """
    _refuse_backwards(row.start_ms, change.end_ms)
    names = ("end_ms", "planned", "reason", "withdrawn")
    said = {name: getattr(change, name) for name in names if getattr(change, name) not in (None, getattr(row, name))}
    if said:
        acting(session, who, now_ms)
        for name, value in said.items():
            setattr(row, name, value)
        row.revision += 1
        session.flush()
    return bool(said)


def import_stops(
    session: Session, stops: Iterable[Stop], register: Register | None, *, who: str, now_ms: int
) -> tuple[int, int]:
    """Keep the stops of a file; return how many are new, and of how many something else is said than before.

    The same subject and start are the same stop.

    Raises
    ------
    BadInput
        As `report_stop`.
    """
    new = changed = 0
    for stop in stops:
        same = select(ReportedStop).where(
            ReportedStop.subject_kind == stop.subject_kind,
            ReportedStop.subject_id == stop.subject_id,
            ReportedStop.start_ms == stop.start_ms,
            ReportedStop.withdrawn.is_(False),
        )
        held = session.scalars(same.order_by(ReportedStop.id)).first()
        if held is None:
            report_stop(session, stop, register, who=who, now_ms=now_ms)
            new += 1
        else:
            said = StopChange(end_ms=stop.end_ms, planned=stop.planned, reason=stop.reason)
            changed += change_stop(session, held, said, who=who, now_ms=now_ms)
    return new, changed


def stops_in_force(session: Session) -> list[Stop]:
    """Return every reported stop that was not withdrawn, planned ones of the future among them; by start."""
    query = select(ReportedStop).where(ReportedStop.withdrawn.is_(False))
    return [stop_of(row) for row in session.scalars(query.order_by(ReportedStop.start_ms, ReportedStop.id))]


def stops_version(session: Session) -> int:
    """Return a number that grows with every stop and every change of one; cheap."""
    return int(session.scalar(select(func.coalesce(func.sum(ReportedStop.revision), 0))) or 0)


def reported_stops(
    session: Session, *, stations: Collection[str] | None = None, limit: int = 100, offset: int = 0
) -> Sequence[ReportedStop]:
    """Return what was reported of some stations (None: all), the latest start first."""
    query = _of(select(ReportedStop), stations).order_by(ReportedStop.start_ms.desc(), ReportedStop.id.desc())
    return session.scalars(query.limit(limit).offset(offset)).all()


def count_stops(session: Session, *, stations: Collection[str] | None = None) -> int:
    """Return how many that are in all."""
    return session.scalar(_of(select(func.count()).select_from(ReportedStop), stations)) or 0


def stop_of(row: ReportedStop) -> Stop:
    """Return a stop as judging takes it."""
    return Stop(row.subject_kind, row.subject_id, row.start_ms, row.end_ms, row.planned, row.reason)


def _of(query: Select[Any], stations: Collection[str] | None) -> Select[Any]:
    return query if stations is None else query.where(ReportedStop.station_id.in_(stations))


def _refuse_backwards(start_ms: int, end_ms: int | None) -> None:
    if end_ms is not None and end_ms <= start_ms:
        raise BadInput("its end is not after its start", where="stops")
