"""Instants are UTC; arrays carry them as whole milliseconds since 1970 (`…_ms`)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def to_ms(instant: datetime) -> int:
    """Return whole milliseconds since 1970, finer digits cut off towards the past.

    Raises
    ------
    ValueError
        If `instant` has no time zone.
    """
    if instant.tzinfo is None:
        msg = f"{instant.isoformat()} has no time zone"
        raise ValueError(msg)
    return (instant - EPOCH) // MS


def from_ms(ms: int) -> datetime:
    """Return the UTC instant of `ms` milliseconds since 1970."""
    return EPOCH + ms * MS


def iso(ms: int) -> str:
    """Write an instant as every file and interface of heatwatch does.

    >>> iso(1764038400000)
    '2025-11-25T02:40:00.000Z'
    """
    return from_ms(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")
