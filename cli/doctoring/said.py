"""What a check says: how it stands, what was seen, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How one matter stands."""

    OK = "ok"
    WARN = "warn"
    """It works, and will not for ever: see to it by day."""
    BAD = "bad"
    """Something is lost, stands still or soon will: see to it now."""
    SKIP = "skip"
    """Not looked at, for the reason that is said."""


@dataclass(frozen=True, slots=True)
class Said:
    """One line of the doctor's.

    Attributes
    ----------
    verdict
        How it stands.
    what
        What was seen, in one clause.
    do
        What to do about it; empty where there is nothing to do.
    """

    verdict: Verdict
    what: str
    do: str = ""


def ok(what: str) -> Said:
    """Say that something is as it should be."""
    return Said(Verdict.OK, what)


def warn(what: str, do: str) -> Said:
    """Say what should be seen to by day."""
    return Said(Verdict.WARN, what, do)


def bad(what: str, do: str) -> Said:
    """Say what has to be seen to now."""
    return Said(Verdict.BAD, what, do)


def skip(why: str, do: str = "") -> Said:
    """Say that something was not looked at, and why."""
    return Said(Verdict.SKIP, why, do)
