"""Reported stops of heat: what the company or a user has said of when heat is off, planned or not (R11, R12, R32)."""

from __future__ import annotations

from dataclasses import dataclass

STOP_SUBJECTS = ("station", "building", "riser", "room")
"""Whose heat may be reported as off; a riser's or a room's is nobody's heat outage."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Heat is off for a subject from `start_ms` (included) to `end_ms` (excluded; None: not known yet) [ms]."""

    subject_kind: str
    subject_id: str
    start_ms: int
    end_ms: int | None = None
    planned: bool = False
    reason: str = ""
