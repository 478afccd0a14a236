"""The rules in force in the records: which rules file held from when (R8)."""

from __future__ import annotations

import hashlib

from sqlalchemy import select
from sqlalchemy.orm import Session

from heatwatch.records.audit import HEATWATCH, acting
from heatwatch.records.schema import RulesInForce


def record_rules(session: Session, source: str, text: str, now_ms: int) -> int:
    """Put a rules file in force and return its version; the ones before it stay.

    The text that is in force already keeps its version, whatever its file is called now.
    """
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    newest = session.scalar(select(RulesInForce).order_by(RulesInForce.version.desc()).limit(1))
    if newest is not None and newest.sha256 == sha256:
        return newest.version
    acting(session, HEATWATCH, now_ms)
    made = RulesInForce(since_ms=now_ms, source=source, sha256=sha256, text=text)
    session.add(made)
    session.flush()
    return made.version
