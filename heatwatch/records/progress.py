"""How far each role has come; written in the transaction of the work itself, so that the two never differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from heatwatch.records.schema import Progress


def progress(session: Session, role: str) -> Progress | None:
    """Return how far a role has come, None before its first step."""
    return session.get(Progress, role)


def advance(
    session: Session, role: str, arrival_seq: int, as_of_ms: int | None, tick: Mapping[str, Any] | None
) -> None:
    """Say that a role has done every arrival up to `arrival_seq`, for the moment `as_of_ms` [ms]."""
    row = Progress(role=role, arrival_seq=arrival_seq, as_of_ms=as_of_ms, tick=None if tick is None else dict(tick))
    session.merge(row)
