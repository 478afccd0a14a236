"""What was said and is said otherwise now: which change of a finding amends it, and which is its ordinary course.

A finding says something of the past, up to where its subject had been heard. What comes after that makes it grow: an
open one lasts longer, becomes deeper, is confirmed, ends. That is no amendment. Amended it is where something that had
been said of the past is taken back:

- its start, its confirmation, or an end that had been said, is another one now;
- it was said to go on and has ended: more than `SLACK_MS` before that, which no ordinary end takes to be known, or by
  readings none of which is newer than what had been heard;
- another finding takes a part of what it said (a split), or its place (a merge);
- its figures differ though it was over, or, while it goes on, though nothing newer has come; a lowest temperature
  that has risen, or a length that has shrunk, differs whatever came;
- it is no longer found at all.

By another register or other rules nothing is measured: what differs then is judged like late readings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from heatwatch.domain.findings import EndReason, Finding
from heatwatch.domain.instants import HOUR_MS

SLACK_MS = 8 * HOUR_MS
"""How far back an ordinary end of what goes on lies at most when it becomes known [ms]: a silence takes longest."""
_GROWS = ("violation_h", "unknown_h", "deficit_kh")
_SAID = ("min_temp_c", *_GROWS, "rule", "end_reason", "duration_h", "kind")
"""What a finding says besides its span. How sure it is, and what it is part of, may become known later."""


class Revision(StrEnum):
    """What became of a finding that was issued."""

    CONFIRMED = "confirmed"
    """Its ordinary course: it has become ticket-worthy."""
    ENDED = "ended"
    """Its ordinary course: it is over."""
    EXTENDED = "extended"
    SHORTENED = "shortened"
    MOVED = "moved"
    """As long as before, at another time."""
    CORRECTED = "corrected"
    """Its span stands, and its figures do not."""
    MERGED = "merged"
    """Two are one: the one that goes on, and the one that does not."""
    SPLIT = "split"
    WITHDRAWN = "withdrawn"


ORDINARY = frozenset({Revision.CONFIRMED, Revision.ENDED})
"""Revisions that take nothing back."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What made a finding be judged otherwise.

    Attributes
    ----------
    heard_ms
        Up to when its subject had been heard before [ms]; None where that is not known.
    stale
        Whether nothing newer than that has come: older readings only, or another register or other rules.
    said
        The same for people and machines: `register` and `rules` by their versions, `readings` as
        `[source, first_ms, last_ms, rows]`.
    """

    heard_ms: int | None = None
    stale: bool = False
    said: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Now:
    """What is found in the place of an issued finding.

    Attributes
    ----------
    finding
        What goes on under its number; None where nothing does.
    into
        The number of the finding that it went into; None where it went into none.
    took
        The numbers of those that went into it.
    parts
        Findings without a number that say a part of what it had said.
    """

    finding: Finding | None
    into: int | None = None
    took: Sequence[int] = ()
    parts: Sequence[Finding] = ()


def said_until(before: Finding, heard_ms: int) -> int:
    """Return up to when a finding had said something [ms]."""
    return max(before.start_ms, heard_ms if before.end_ms is None else before.end_ms)


def revision(before: Finding, now: Now, heard_ms: int, cause: Cause) -> Revision | None:
    """Return what became of an issued finding; None where it only grew, or has not changed.

    Parameters
    ----------
    before
        What was issued.
    now
        What is found in its place.
    heard_ms
        Up to when its subject had been heard when that was issued [ms].
    cause
        What made it be judged otherwise.
    """
    if now.finding is None:
        return Revision.WITHDRAWN if now.into is None else Revision.MERGED
    if now.took:
        return Revision.MERGED
    if now.parts:
        return Revision.SPLIT
    return _span(before, now.finding, heard_ms, cause) or _figures(before, now.finding, cause) or _course(before, now)


def _span(before: Finding, after: Finding, heard_ms: int, cause: Cause) -> Revision | None:
    ended = after.end_ms is not None if before.open else after.end_ms != before.end_ms
    if before.open and ended:
        ended = _taken_back(before, after, heard_ms, cause)
    if before.start_ms == after.start_ms and not ended:
        return None
    was_ms = said_until(before, heard_ms) - before.start_ms
    is_ms = said_until(after, max(heard_ms, before.end_ms or heard_ms)) - after.start_ms
    if not ended:
        was_ms, is_ms = after.start_ms, before.start_ms
    if was_ms == is_ms:
        return Revision.EXTENDED if after.open and not before.open else Revision.MOVED
    return Revision.EXTENDED if is_ms > was_ms else Revision.SHORTENED


def _taken_back(before: Finding, after: Finding, heard_ms: int, cause: Cause) -> bool:
    """Tell whether the end of what was open takes back that it went on."""
    if after.end_ms is None:
        return False
    by_itself = after.detail.get("end_reason") == EndReason.SILENCE  # time alone has passed
    return (cause.stale and not by_itself) or after.end_ms < said_until(before, heard_ms) - SLACK_MS


def _figures(before: Finding, after: Finding, cause: Cause) -> Revision | None:
    if before.confirmed_ms is not None and after.confirmed_ms != before.confirmed_ms:
        return Revision.CORRECTED
    was, now = before.detail, after.detail
    if not before.open or (after.open and cause.stale):
        differs = any(was.get(name) != now.get(name) for name in _SAID)
    else:
        differs = _shrunk(was, now)
    return Revision.CORRECTED if differs else None


def _shrunk(was: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Tell whether figures that only grow have shrunk, or the lowest temperature has risen."""
    if any(name in was and name in now and now[name] < was[name] for name in _GROWS):
        return True
    return "min_temp_c" in was and "min_temp_c" in now and bool(now["min_temp_c"] > was["min_temp_c"])


def _course(before: Finding, now: Now) -> Revision | None:
    after = now.finding
    if after is None:
        return None
    if before.open and not after.open:
        return Revision.ENDED
    return Revision.CONFIRMED if before.confirmed_ms is None and after.confirmed_ms is not None else None
