"""Long work that somebody asks for: a row in the records, which the role that can do it takes and answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from heatwatch.records.schema import Job

WAITING, DONE, FAILED = "waiting", "done", "failed"


def ask(session: Session, kind: str, request: Mapping[str, Any], now_ms: int) -> int:
    """Ask for work of a kind; return its number."""
    row = Job(kind=kind, asked_ms=now_ms, state=WAITING, request=dict(request), result=None)
    session.add(row)
    session.flush()
    return row.id


def next_job(session: Session, kind: str) -> tuple[int, Mapping[str, Any]] | None:
    """Return the oldest work of a kind that waits, with what is asked; None where none does."""
    waiting = select(Job).where(Job.state == WAITING, Job.kind == kind).order_by(Job.id).limit(1)
    row = session.scalar(waiting)
    return None if row is None else (row.id, row.request)


def answer(session: Session, job_id: int, state: str, result: Mapping[str, Any]) -> None:
    """Say what came of work, unless nobody waits for it any more."""
    row = session.get(Job, job_id)
    if row is not None:
        row.state, row.result = state, dict(result)


def answered(session: Session, job_id: int) -> tuple[str, Mapping[str, Any]] | None:
    """Return what came of work, None while it waits."""
    row = session.get(Job, job_id, populate_existing=True)
    return None if row is None or row.state == WAITING else (row.state, row.result or {})


def drop(session: Session, job_id: int) -> None:
    """Take work off the table, done or not."""
    row = session.get(Job, job_id)
    if row is not None:
        session.delete(row)
