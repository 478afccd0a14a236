"""The delivery identity of each ingest worker, and what each role has still to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from heatwatch.records.progress import progress
from heatwatch.records.schema import (
    Arrival,
    ComplianceProgress,
    Cursor,
    JournalPosition,
    MessageCount,
    OutboxRow,
    ReadingCount,
    TooLate,
)
from heatwatch.usecases.compliance import ONLY, days_due
from heatwatch.usecases.delivery import DeliverySummary
from heatwatch.usecases.findings import last_change

_MESSAGES = ("decoded", "no_reading", "quarantined")
_READINGS = ("decoded", "stored", "duplicate", "conflict", "quarantined")


@dataclass(frozen=True, slots=True)
class Come:
    """How far a role has come: the moment for which its work holds [ms], None where it has none, and what waits."""

    as_of_ms: int | None
    waiting: int


def identities_by_worker(session: Session) -> dict[str, DeliverySummary]:
    """Return the delivery identity of each worker, as far as the records have been told of its journal."""
    rows = {row.worker: row for row in session.scalars(select(JournalPosition))}
    stored = {worker: row.sequence for worker, row in rows.items()}
    messages = _sums(session, MessageCount, _MESSAGES)
    readings = _sums(session, ReadingCount, _READINGS)
    found = {}
    for worker in sorted({*rows, *messages, *readings}):
        received = max(stored.get(worker, 0), rows[worker].received if worker in rows else 0)
        settled = messages.get(worker, dict.fromkeys(_MESSAGES, 0))
        kept = readings.get(worker, dict.fromkeys(_READINGS, 0))
        waiting = received - stored.get(worker, 0)
        line = {"received": received, **settled, "waiting": waiting}
        found[worker] = DeliverySummary(messages=line, readings={**kept, "waiting": 0})
    return found


def too_late_by_worker(session: Session) -> dict[str, int]:
    """Return how many readings of each worker arrived too late to be judged."""
    query = select(TooLate.worker, func.sum(TooLate.rows)).group_by(TooLate.worker)
    return {worker: int(rows) for worker, rows in session.execute(query)}


def roles_come(session: Session) -> dict[str, Come]:
    """Return how far each role that works on the records has come; one that has not begun is left out."""
    arrived = session.scalar(select(func.max(Arrival.seq))) or 0
    judged, dispatched = progress(session, "analytics"), progress(session, "dispatch")
    tallied = session.get(ComplianceProgress, ONLY)
    found: dict[str, Come] = {}
    if judged is not None:
        found["analytics"] = Come(judged.as_of_ms, arrived - judged.arrival_seq)
    if tallied is not None:
        found["rates"] = Come(tallied.as_of_ms, days_due(session))
    if dispatched is not None:
        read = session.get(Cursor, "dispatch")
        found["dispatch"] = Come(dispatched.as_of_ms, last_change(session) - (0 if read is None else read.change_seq))
    unsent = session.scalar(select(func.count()).select_from(OutboxRow).where(OutboxRow.sent_ms.is_(None))) or 0
    found["notifier"] = Come(None, unsent)
    return found


def _sums(session: Session, model: type[Any], terms: tuple[str, ...]) -> dict[str, dict[str, int]]:
    sums = [func.sum(getattr(model, term)) for term in terms]
    rows = session.execute(select(model.worker, *sums).group_by(model.worker))
    return {worker: dict(zip(terms, map(int, counts), strict=True)) for worker, *counts in rows}
