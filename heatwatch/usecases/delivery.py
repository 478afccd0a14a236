"""Delivery: what came of every message that was received and of every reading in it, and the identity that proves it.

::

    messages received = decoded + no reading in it + quarantined + waiting
    readings decoded  = stored + duplicate + conflict + quarantined + waiting

Received is counted by the journal, waiting by how far the journal has been stored, the others by what became of each
message and each reading: three counts that know nothing of each other. A commit settles whole messages, so between
commits messages wait, never readings.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Select, func, null, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import KeyedColumnElement

from heatwatch.errors import Damaged
from heatwatch.records.progress import advance, progress
from heatwatch.records.schema import (
    Arrival,
    Base,
    JournalPosition,
    MessageCount,
    Progress,
    Quarantine,
    ReadingCount,
    TooLate,
)
from heatwatch.records.turns import Turn, take
from heatwatch.records.upsert import insert_into
from heatwatch.wire import Done, Tick

INGEST = "ingest"


@dataclass(slots=True)
class MessageTally:
    """What became of messages."""

    decoded: int = 0
    no_reading: int = 0
    quarantined: int = 0


@dataclass(slots=True)
class ReadingTally:
    """What became of readings."""

    decoded: int = 0
    stored: int = 0
    duplicate: int = 0
    conflict: int = 0
    quarantined: int = 0

    @property
    def holds(self) -> bool:
        """Whether every reading is accounted for."""
        return self.decoded == self.stored + self.duplicate + self.conflict + self.quarantined


@dataclass(frozen=True, slots=True)
class Unusable:
    """A message (`position` -1) or one reading in it that goes to quarantine, with its own bytes."""

    sequence: int
    position: int
    topic: str
    payload: bytes
    reason: str
    arrived_ms: int


@dataclass(slots=True)
class Delivery:
    """What came of the messages `first` to `last` of a worker's journal.

    Attributes
    ----------
    messages, readings
        Tallies by sender and by source.
    touched
        First and last time [ms] and number of rows kept, by source.
    too_late
        The same of those kept that arrived too late to be judged, and when the last of them arrived [ms].
    tick
        The tick with which these messages end, if they end with one.
    """

    worker: str
    first: int
    last: int
    messages: dict[str, MessageTally] = field(default_factory=dict)
    readings: dict[str, ReadingTally] = field(default_factory=dict)
    unusable: list[Unusable] = field(default_factory=list)
    touched: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    too_late: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)
    tick: Tick | None = None


@dataclass(frozen=True, slots=True)
class DeliverySummary:
    """The delivery identity, in all: each line by its terms."""

    messages: Mapping[str, int]
    readings: Mapping[str, int]

    @property
    def holds(self) -> bool:
        """Whether nothing is missing and nothing is counted twice."""
        return _balances(self.messages, "received") and _balances(self.readings, "decoded")

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Return both lines for a machine."""
        return {"messages": dict(self.messages), "readings": dict(self.readings)}


def commit_delivery(session: Session, delivery: Delivery) -> int | None:
    """Record a delivery whose readings are in the store, all in the session's transaction.

    Returns
    -------
    int or None
        The `seq` of the tick's arrival, where the delivery ends with a tick.

    Raises
    ------
    Damaged
        If the delivery does not follow the last one of its worker: two workers share a name, or a journal was lost.
    """
    _move(session, delivery)
    _add(session, MessageCount, delivery.worker, "sender", delivery.messages)
    _add(session, ReadingCount, delivery.worker, "source", delivery.readings)
    session.add_all(Quarantine(worker=delivery.worker, **asdict(one)) for one in delivery.unusable)
    origin = {"worker": delivery.worker, "sequence": delivery.last}
    for source, (first_ms, last_ms, rows, arrived_ms) in sorted(delivery.too_late.items()):
        span = {"first_ms": first_ms, "last_ms": last_ms, "rows": rows, "arrived_ms": arrived_ms}
        session.add(TooLate(**origin, source=source, **span))
    return _announce(session, delivery)


def tell_received(session: Session, worker: str, last: int) -> None:
    """Tell other processes that a worker has received the messages up to `last`."""
    row = _position(session, worker)
    row.received = max(row.received, last)


def stored_up_to(session: Session, worker: str) -> int:
    """Return the last message of a worker's journal that has been stored, 0 before the first."""
    row = session.get(JournalPosition, worker)
    return 0 if row is None else row.sequence


def replay_clock(session: Session) -> Tick | None:
    """Return the last tick of a replay that ingest has recorded, None before the first."""
    row = progress(session, INGEST)
    return None if row is None or row.tick is None else Tick(**row.tick)


def clock_done(session: Session, roles: Collection[str]) -> Done | None:
    """Return the last tick that each of `roles` has done, None before the first."""
    reached = session.scalars(select(Progress.arrival_seq).where(Progress.role.in_(roles))).all()
    if len(reached) < len(roles):
        return None
    ticks = select(Arrival.tick).where(Arrival.seq <= min(reached), Arrival.tick.is_not(null()))
    tick = session.scalar(ticks.order_by(Arrival.seq.desc()).limit(1))
    return None if tick is None else Done(**tick, roles=tuple(roles))


def identities(session: Session, journal_last_sequences: Mapping[str, int]) -> DeliverySummary:
    """Return the delivery identity.

    Parameters
    ----------
    session
        A session for looking.
    journal_last_sequences
        The last sequence of each worker's journal, read at any moment: what the records know already counts as
        received.
    """
    rows = session.scalars(select(JournalPosition)).all()
    stored = {row.worker: row.sequence for row in rows}
    told = {row.worker: max(row.sequence, row.received) for row in rows}
    last = {
        worker: max(journal_last_sequences.get(worker, 0), told.get(worker, 0))
        for worker in {*journal_last_sequences, *told}
    }
    waiting = sum(sequence - stored.get(worker, 0) for worker, sequence in last.items())
    return DeliverySummary(
        messages={"received": sum(last.values()), **_sums(session, MessageCount), "waiting": waiting},
        readings={**_sums(session, ReadingCount), "waiting": 0},
    )


def messages_by_sender(session: Session) -> dict[str, MessageTally]:
    """Return what became of the messages of each sender: a point, a gateway, or a topic that is not ours."""
    rows = session.execute(_grouped(MessageCount, "sender"))
    return {sender: MessageTally(*map(int, counts)) for sender, *counts in rows}


def readings_by_source(session: Session) -> dict[str, ReadingTally]:
    """Return the second line of the identity for each device or point."""
    rows = session.execute(_grouped(ReadingCount, "source"))
    return {source: ReadingTally(*map(int, counts)) for source, *counts in rows}


def quarantined(session: Session, limit: int) -> Sequence[Quarantine]:
    """Return what is in quarantine, the newest first."""
    return session.scalars(select(Quarantine).order_by(Quarantine.id.desc()).limit(limit)).all()


def too_late(
    session: Session, *, limit: int | None = None, offset: int = 0, source: str | None = None
) -> Sequence[TooLate]:
    """Return what arrived too late to be judged, the latest arrival first."""
    query = select(TooLate).order_by(TooLate.id.desc()).limit(limit).offset(offset)
    return session.scalars(query if source is None else query.where(TooLate.source == source)).all()


def count_too_late(session: Session, *, source: str | None = None) -> tuple[int, int]:
    """Return how many entries there are of what arrived too late, and how many readings."""
    query = select(func.count(), func.coalesce(func.sum(TooLate.rows), 0))
    entries, rows = session.execute(query if source is None else query.where(TooLate.source == source)).one()
    return int(entries), int(rows)


def _balances(line: Mapping[str, int], whole: str) -> bool:
    return line[whole] == sum(count for term, count in line.items() if term != whole) and min(line.values()) >= 0


def _move(session: Session, delivery: Delivery) -> None:
    row = _position(session, delivery.worker)
    if row.sequence != delivery.first - 1:
        raise Damaged(
            f"message {delivery.first} does not follow {row.sequence}, the last one stored: "
            "do two workers have this name?",
            where=f"worker {delivery.worker}",
        )
    received = max(delivery.last, row.received)
    session.merge(JournalPosition(worker=delivery.worker, sequence=delivery.last, received=received))


def _position(session: Session, worker: str) -> JournalPosition:
    """Return a worker's position, held to the end of the transaction.

    Where there is none it is made, so that there is something to hold: what stores and what tells may both be first.
    """
    row = session.get(JournalPosition, worker, with_for_update=True)
    if row is not None:
        return row
    first = insert_into(session, JournalPosition).values(worker=worker, sequence=0, received=0)
    session.execute(first.on_conflict_do_nothing())
    return session.get_one(JournalPosition, worker, with_for_update=True)


def _announce(session: Session, delivery: Delivery) -> int | None:
    """Put readings, then the tick after them, on the feed of arrivals."""
    take(session, Turn.FEED)
    origin = {"worker": delivery.worker, "sequence": delivery.last}
    if delivery.touched:
        session.add(Arrival(**origin, touched=[[source, *span] for source, span in sorted(delivery.touched.items())]))
        session.flush()
    if delivery.tick is None:
        return None
    arrival = Arrival(**origin, touched=[], tick=delivery.tick.model_dump())
    session.add(arrival)
    session.flush()
    advance(session, INGEST, arrival.seq, delivery.tick.now, arrival.tick)
    return arrival.seq


def _add(
    session: Session,
    model: type[MessageCount | ReadingCount],
    worker: str,
    name: str,
    tallies: Mapping[str, MessageTally | ReadingTally],
) -> None:
    """Add tallies to the counts of a worker, one row for each `name`."""
    if not tallies:
        return
    statement = insert_into(session, Base.metadata.tables[model.__tablename__])
    terms = _terms(model)
    sums = {term.key: term + statement.excluded[term.key] for term in terms}
    rows = [
        {"worker": worker, name: key, **{term.key: getattr(tally, term.key) for term in terms}}
        for key, tally in sorted(tallies.items())
    ]
    session.execute(statement.on_conflict_do_update(index_elements=["worker", name], set_=sums), rows)


def _terms(model: type[MessageCount | ReadingCount]) -> list[KeyedColumnElement[Any]]:
    return [column for column in model.__table__.columns if not column.primary_key]


def _sums(session: Session, model: type[MessageCount | ReadingCount]) -> dict[str, int]:
    row = session.execute(select(*(func.coalesce(func.sum(term), 0).label(term.key) for term in _terms(model))))
    return {term: int(count) for term, count in row.mappings().one().items()}


def _grouped(model: type[MessageCount | ReadingCount], name: str) -> Select[Any]:
    key = model.__table__.columns[name]
    return select(key, *(func.sum(term) for term in _terms(model))).group_by(key).order_by(key)
