"""What becomes of each message: its readings, its place in the counts, or quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from operator import attrgetter

import numpy as np
from pydantic import ValidationError

from heatwatch.domain.instants import DAY_MS
from heatwatch.stores.readings import Outcome, ReadingBatch, Written
from heatwatch.usecases.delivery import Delivery, MessageTally, ReadingTally, Unusable
from heatwatch.wire import CLOCK_TOPIC, Tick
from ingest.decoders import (
    FIRST_MS,
    LAST_MS,
    Decoded,
    Decoders,
    NoReading,
    Reading,
    Refused,
    Undecodable,
    countable,
    fault,
    sender,
    topic_text,
)
from ingest.journal import Entry, Message

TICKS = CLOCK_TOPIC.encode()
WHOLE_MESSAGE = -1
FURTHEST_MOVE_MS = 31 * DAY_MS
"""No clock of a replay moves further than this at once [ms]."""


@dataclass(frozen=True, slots=True)
class Clock:
    """By which clock a reading's time is too far ahead.

    Attributes
    ----------
    replayed
        Whether the clock is that of a replay; otherwise it is the moment of arrival.
    now_ms
        Where the clock of a replay stands [ms], None before its first tick.
    move_ms
        How far the clock of a replay may move at its next tick [ms]: what comes before that tick is no further ahead.
    ahead_limit_ms
        A reading this far ahead of the clock, or more, cannot be right [ms].
    late_most_ms
        A reading that arrives later than this after it was measured is stored and not judged [ms]; None: all are.
    """

    replayed: bool
    now_ms: int | None
    ahead_limit_ms: int
    move_ms: int = 0
    late_most_ms: int | None = None

    def at(self, message: Message) -> int | None:
        """Return the moment by which a message's readings are judged [ms]."""
        if not self.replayed:
            return message.arrived_ms
        return None if self.now_ms is None else self.now_ms + self.move_ms

    def arrived(self, message: Message, reading: Reading) -> int:
        """Return when a reading arrived by this clock [ms].

        In a replay that is not before its last tick, nor before the reading was measured; more is not known, and later
        it would make every clock a slow one by the length of a step.
        """
        if not self.replayed:
            return message.arrived_ms
        return reading.time_ms if self.now_ms is None else max(self.now_ms, reading.time_ms)

    def after(self, tick: Tick | None) -> Clock:
        """Return the clock as it stands after a tick."""
        return self if tick is None else replace(self, now_ms=tick.now, move_ms=tick.ahead_ms)


@dataclass(slots=True)
class Sorted:
    """Messages sorted, their readings yet to be stored."""

    delivery: Delivery
    clock: Clock
    rows: list[tuple[Entry, Decoded, Reading]] = field(default_factory=list)

    def batch(self) -> ReadingBatch:
        """Return the readings to be stored."""
        readings = [reading for _, _, reading in self.rows]
        return ReadingBatch(
            source=[reading.source for reading in readings],
            time_ms=np.array([reading.time_ms for reading in readings], np.int64),
            temp_c=np.array([reading.temp_c for reading in readings], np.float64),
            humidity_pct=np.array([reading.humidity_pct for reading in readings], np.float64),
            battery=np.array([reading.battery for reading in readings], np.float64),
            rssi_dbm=np.array([reading.rssi_dbm for reading in readings], np.float64),
            flags=[reading.flags for reading in readings],
            arrived_ms=np.array([self.clock.arrived(entry.message, one) for entry, _, one in self.rows], np.int64),
            worker=self.delivery.worker,
            sequence=np.array([entry.sequence for entry, _, _ in self.rows], np.int64),
            position=np.array([reading.position for reading in readings], np.int32),
        )

    def settle(self, written: Written) -> Delivery:
        """Count what the store said of each reading, and note what it kept; return the whole delivery.

        What it refuses goes to quarantine.
        """
        for row, (outcome, origin) in enumerate(zip(written.outcome.tolist(), self.rows, strict=True)):
            entry, decoded, reading = origin
            tally = self.delivery.readings[reading.source]
            if outcome == Outcome.DUPLICATE:
                tally.duplicate += 1
                continue
            if outcome == Outcome.REFUSED:
                tally.quarantined += 1
                reason = f"the store refuses it: {written.refused.get(row, 'it does not say why')}"
                payload = _piece(entry, decoded, reading.position)
                self.delivery.unusable.append(_unusable(entry, reading.position, payload, reason))
                continue
            if outcome == Outcome.CONFLICT:
                tally.conflict += 1
            else:
                tally.stored += 1
            first, last, rows = self.delivery.touched.get(reading.source, (reading.time_ms, reading.time_ms, 0))
            span = min(first, reading.time_ms), max(last, reading.time_ms), rows + 1
            self.delivery.touched[reading.source] = span
            self._note_too_late(reading, self.clock.arrived(entry.message, reading))
        return self.delivery

    def _note_too_late(self, reading: Reading, arrived_ms: int) -> None:
        most_ms = self.clock.late_most_ms
        if most_ms is not None and arrived_ms - reading.time_ms > most_ms:
            never = (reading.time_ms, reading.time_ms, 0, arrived_ms)
            first, last, rows, latest_ms = self.delivery.too_late.get(reading.source, never)
            span = min(first, reading.time_ms), max(last, reading.time_ms), rows + 1, max(latest_ms, arrived_ms)
            self.delivery.too_late[reading.source] = span


def is_tick(message: Message) -> bool:
    """Whether a message may be a tick: what comes after it is another step's."""
    return message.topic == TICKS and not message.retained


def sort(entries: Sequence[Entry], worker: str, decoders: Decoders, clock: Clock) -> Sorted:
    """Sort messages, none of them lost: each is decoded, rightly without a reading, or in quarantine."""
    done = Sorted(Delivery(worker, entries[0].sequence, entries[-1].sequence), clock)
    for entry in entries:
        tally = done.delivery.messages.setdefault(sender(entry.message.topic), MessageTally())
        try:
            decoded = _decode(done.delivery, entry.message, decoders, clock)
        except Undecodable as error:
            tally.quarantined += 1
            done.delivery.unusable.append(_unusable(entry, WHOLE_MESSAGE, entry.message.payload, error.reason))
        else:
            if isinstance(decoded, NoReading):
                tally.no_reading += 1
            else:
                tally.decoded += 1
                _take(done, entry, decoded, clock)
    return done


def _decode(delivery: Delivery, message: Message, decoders: Decoders, clock: Clock) -> Decoded | NoReading:
    """Return what is in a message. A retained one was sent before and is no new reading."""
    if message.retained:
        return NoReading()
    if is_tick(message):
        delivery.tick = _tick(message.payload, clock) if clock.replayed else None
        return NoReading()
    return decoders.decode(message.topic, message.payload, message.arrived_ms)


def _tick(payload: bytes, clock: Clock) -> Tick:
    """Return a tick. The clock never goes back, and no further than to a time that a reading may have."""
    try:
        tick = Tick.model_validate_json(payload)
    except ValidationError as error:
        raise Undecodable(f"no tick of a clock: {error.errors()[0]['msg']}") from error
    if not FIRST_MS <= tick.now <= LAST_MS or not 0 <= tick.ahead_ms <= FURTHEST_MOVE_MS:
        raise Undecodable("no tick of a clock: now or ahead_ms cannot be right")
    return tick if clock.now_ms is None else tick.model_copy(update={"now": max(tick.now, clock.now_ms)})


def _take(done: Sorted, entry: Entry, decoded: Decoded, clock: Clock) -> None:
    refused = list(decoded.refused)
    now_ms = clock.at(entry.message)
    for reading in decoded.readings:
        if reason := fault(reading, now_ms, clock.ahead_limit_ms):
            refused.append(Refused(reading.position, reading.source, reason))
        else:
            done.rows.append((entry, decoded, reading))
            done.delivery.readings.setdefault(reading.source, ReadingTally()).decoded += 1
    for one in sorted(refused, key=attrgetter("position")):
        tally = done.delivery.readings.setdefault(countable(one.source), ReadingTally())
        tally.decoded += 1
        tally.quarantined += 1
        done.delivery.unusable.append(_unusable(entry, one.position, _piece(entry, decoded, one.position), one.reason))


def _piece(entry: Entry, decoded: Decoded, position: int) -> bytes:
    """Return the bytes of one reading; the message's, where its decoder cannot cut them out."""
    if decoded.piece is not None:
        with suppress(Exception):
            return decoded.piece(position)
    return entry.message.payload


def _unusable(entry: Entry, position: int, payload: bytes, reason: str) -> Unusable:
    topic, arrived_ms = topic_text(entry.message.topic), entry.message.arrived_ms
    return Unusable(entry.sequence, position, topic, payload, reason, arrived_ms)
