"""What only one transaction may do at a time, whichever process it is in."""

from __future__ import annotations

from enum import IntEnum

from sqlalchemy import text
from sqlalchemy.orm import Session


class Turn(IntEnum):
    """The keys of PostgreSQL's advisory locks; each stands for one thing that transactions do one after the other."""

    FEED = 7_201_842_510
    """Numbering arrivals: in the order of their commits, or a reader would pass over the one that came late."""
    RULES = 7_201_842_511
    """Putting rules in force: of several processes that start with the same file, one does."""
    READINGS = 7_201_842_512
    """Writing readings to a store that replaces what is there: who writes has to have looked first."""


def take(session: Session, turn: Turn) -> None:
    """Wait until no other transaction has this turn, and hold it to the end of this one.

    SQLite has one writer at a time anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": int(turn)})
