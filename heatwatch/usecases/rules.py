"""The rules in force in the records: which rules file held from when (R8)."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from heatwatch.domain.instants import to_ms
from heatwatch.domain.temperature import Standard, Version
from heatwatch.errors import BadInput
from heatwatch.files.rules_file import parse_standard
from heatwatch.records.audit import HEATWATCH, acting
from heatwatch.records.schema import RulesInForce
from heatwatch.records.turns import Turn, take


def record_rules(session: Session, source: str, text: str, now_ms: int) -> int:
    """Put a rules file in force and return its version; the ones before it stay.

    The text that is in force already keeps its version, whatever its file is called now.
    """
    take(session, Turn.RULES)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    newest = session.scalar(select(RulesInForce).order_by(RulesInForce.version.desc()).limit(1))
    if newest is not None and newest.sha256 == sha256:
        return newest.version
    from_ms = None
    if newest is not None:
        from_ms = _texts_differ_from(newest.text, text)
    acting(session, HEATWATCH, now_ms)
    made = RulesInForce(since_ms=now_ms, source=source, sha256=sha256, from_ms=from_ms, text=text)
    session.add(made)
    session.flush()
    return made.version


def _texts_differ_from(old: str, new: str) -> int | None:
    """Return from when on two texts say something else [ms]; None also where one was written for another version."""
    try:
        return differ_from(parse_standard(old, where="before"), parse_standard(new, where="now"))
    except BadInput:
        return None


def differ_from(old: Standard, new: Standard) -> int | None:
    """Return from when on two sets of rules say something else [ms]; None: of all time, or not at all."""
    if old.judging != new.judging:
        return None
    edges = sorted({version.valid_from for version in (*old.versions, *new.versions) if version.valid_from is not None})
    before = edges[0] - timedelta(milliseconds=1) if edges else None
    if before is None or _holding(old, before) != _holding(new, before):
        return None
    first = next((edge for edge in edges if _holding(old, edge) != _holding(new, edge)), None)
    return None if first is None else to_ms(first)


def _holding(standard: Standard, instant: datetime) -> Version:
    """Return what holds at an instant, without since when."""
    return replace(standard.at(instant), valid_from=None)


def rules_version(session: Session) -> int | None:
    """Return the version in force, None before the first; cheap."""
    return session.scalar(select(func.max(RulesInForce.version)))
