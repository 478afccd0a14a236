"""Notifications on their way: put in with what they tell of, in one transaction; handed to channels at least once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from heatwatch.domain.instants import MINUTE_MS
from heatwatch.records.schema import OutboxRow
from heatwatch.records.upsert import insert_into

RETRY_FIRST_MS = MINUTE_MS // 12
RETRY_MAX_MS = 10 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Notification:
    """What is told to whom. `key` is the same for the same thing, told to the same recipient.

    `next_try_ms` is before when it is not sent [ms].
    """

    key: str
    kind: str
    recipient: str
    text: str
    created_ms: int
    ticket_id: int | None = None
    notice_id: int | None = None
    trace: str = ""
    next_try_ms: int = 0


def put(session: Session, notifications: Iterable[Notification]) -> None:
    """Put notifications in; one whose key was put in before is passed over."""
    rows = [asdict(one) for one in notifications]
    if rows:
        session.execute(insert_into(session, OutboxRow).on_conflict_do_nothing(index_elements=["key"]), rows)


def unsent(session: Session, now_ms: int, limit: int = 100) -> Sequence[OutboxRow]:
    """Return what is to be sent at `now_ms` by the wall clock, the oldest first."""
    waiting = select(OutboxRow).where(OutboxRow.sent_ms.is_(None), OutboxRow.next_try_ms <= now_ms)
    return session.scalars(waiting.order_by(OutboxRow.id).limit(limit)).all()


def record_sent(session: Session, ids: Iterable[int], now_ms: int) -> None:
    """Say that a channel has them."""
    for number in ids:
        row = session.get_one(OutboxRow, number)
        row.sent_ms, row.attempts, row.error = now_ms, row.attempts + 1, ""


def record_failed(session: Session, number: int, why: str, now_ms: int) -> None:
    """Say that a channel could not take one; it is tried again, later each time."""
    row = session.get_one(OutboxRow, number)
    row.attempts, row.error = row.attempts + 1, why
    row.next_try_ms = now_ms + min(RETRY_FIRST_MS * 2 ** (row.attempts - 1), RETRY_MAX_MS)
