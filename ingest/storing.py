"""From the journal to the reading store and the records, in the order in which messages were received."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from heatwatch.domain.traces import trace_of
from heatwatch.errors import Damaged, Unavailable
from heatwatch.records.database import Records
from heatwatch.stores.readings import ReadingStore
from heatwatch.usecases.delivery import Delivery, commit_delivery, replay_clock, stored_up_to
from heatwatch.usecases.roles import Wake
from ingest.backoff import Backoff
from ingest.decoders import Decoders, topic_text
from ingest.journal import Entry, Journal
from ingest.sorting import Clock, is_tick, sort

log = logging.getLogger(__name__)

BATCH_MESSAGES = 5000
GATHER_S = 0.05
LOOK_S = 0.2
DRAIN_S = 10.0
SETTLED = ("stored", "duplicate", "conflict", "quarantined")
"""What may come of a reading."""


class Storing:
    """Stores what the journal holds. What a store refuses for now waits in the journal.

    A crash between the store and the records leaves readings stored and not yet counted: they are written again, and
    the store knows them by their birth certificates.

    Parameters
    ----------
    worker
        Whose journal it is.
    clock
        By which clock readings may be too far ahead; where a replay's stands is taken from the records.
    """

    def __init__(
        self, worker: str, journal: Journal, store: ReadingStore, records: Records, bell: Wake, clock: Clock
    ) -> None:
        self._worker, self._journal, self._readings, self._records = worker, journal, store, records
        self._bell, self._clock = bell, clock
        self._decoders = Decoders()
        self._backoff = Backoff()
        self._position = 0
        self._stopping = threading.Event()
        self._deadline_s = float("inf")

    def run(self) -> None:
        """Store messages until `stop` is called.

        Raises
        ------
        Damaged
            If journal and records do not belong together, or the journal cannot be read.
        """
        while True:
            try:
                self._resume()
                self._store()
            except Unavailable as error:
                if self._stopping.is_set():
                    return
                waiting, wait_s = self._journal.last_sequence - self._position, self._backoff.next_s()
                log.warning("%s; %d messages wait, next attempt in %.1f s", error, waiting, wait_s)
                self._stopping.wait(wait_s)
            else:
                return

    def stop(self) -> None:
        """Let `run` store what is in the journal, for so long as a stop may take, and return."""
        self._deadline_s = time.monotonic() + DRAIN_S
        self._stopping.set()

    def _resume(self) -> None:
        """Begin where the records are, whatever was attempted before."""
        with self._records.read() as session:
            self._position = stored_up_to(session, self._worker)
            self._clock = self._clock.after(replay_clock(session) if self._clock.replayed else None)
        received = self._journal.last_sequence
        if self._position > received:
            raise Damaged(
                f"{self._position} messages are recorded as stored, the journal ends at {received}: "
                "put the journal back, or give the worker a new name",
                where=f"worker {self._worker}",
            )

    def _store(self) -> None:
        while time.monotonic() < self._deadline_s:
            if self._journal.last_sequence > self._position:
                self._deliver(self._gather())
                self._backoff.reset()
            elif self._stopping.is_set():
                return
            else:
                self._journal.wait(self._position, LOOK_S)

    def _gather(self) -> list[Entry]:
        """Take what waits, up to the first tick; without one let it grow for a moment, for a batch costs as one row."""
        entries, until_s = list[Entry](), time.monotonic() + GATHER_S
        while True:
            after = self._position + len(entries)
            entries += self._journal.read_from(after + 1, BATCH_MESSAGES - len(entries), is_tick)
            left_s = until_s - time.monotonic()
            full = len(entries) >= BATCH_MESSAGES or is_tick(entries[-1].message)
            if full or left_s <= 0 or self._stopping.is_set():
                return entries
            self._journal.wait(self._position + len(entries), left_s)

    def _deliver(self, entries: Sequence[Entry]) -> None:
        found = sort(entries, self._worker, self._decoders, self._clock)
        delivery = found.settle(self._readings.write(found.batch()))
        with self._records.write() as session:
            commit_delivery(session, delivery)
        self._bell.ring()
        _tell(entries, delivery)
        self._position = delivery.last
        self._clock = self._clock.after(delivery.tick)
        self._journal.forget(self._position)


def _tell(entries: Sequence[Entry], delivery: Delivery) -> None:
    """Log what was committed: its trace, what came of its readings and, for those who look closely, each message."""
    if not log.isEnabledFor(logging.INFO):
        return
    trace = trace_of(delivery.worker, delivery.last)
    if log.isEnabledFor(logging.DEBUG):
        for entry in entries:
            own = {"id": trace_of(delivery.worker, entry.sequence), "topic": topic_text(entry.message.topic)}
            log.debug("message", extra={"trace": trace, **own})
    tallies = delivery.readings.values()
    readings = {term: sum(getattr(tally, term) for tally in tallies) for term in SETTLED}
    log.info("stored", extra={"trace": trace, "first": delivery.first, "last": delivery.last, **readings})
