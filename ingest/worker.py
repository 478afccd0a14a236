"""The role that brings readings in: threads with one thing to do each, and a journal between the first two."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from heatwatch.broker import Access
from heatwatch.domain.instants import DAY_MS
from heatwatch.records.database import Records
from heatwatch.secret import one_line
from heatwatch.settings import ClockKind, Settings
from heatwatch.stores.readings import ReadingStore
from heatwatch.usecases.roles import Wake
from ingest.client import Client
from ingest.clock import ReplayClock
from ingest.journal import Journal
from ingest.sorting import Clock
from ingest.storing import Storing
from ingest.telling import Telling

log = logging.getLogger(__name__)

LOOK_S = 0.1
MB = 1_000_000


class IngestWorker:
    """Takes readings from a broker until it is told to stop.

    Parameters
    ----------
    settings
        Name of the worker, journal, clock and limits.
    records, store
        Where readings and what became of them are kept.
    bell
        Rung when the records have changed.
    broker_host, broker_port
        The broker.
    wall_clock
        Gives the moment of arrival [ms].
    access
        How to sign in at the broker, and TLS.
    """

    name = "ingest"

    def __init__(
        self,
        settings: Settings,
        records: Records,
        store: ReadingStore,
        bell: Wake,
        broker_host: str,
        broker_port: int,
        wall_clock: Callable[[], int],
        access: Access | None = None,
    ) -> None:
        self._settings, self._records, self._store, self._bell = settings, records, store, bell
        self._broker, self._wall_clock, self._access = (broker_host, broker_port), wall_clock, access
        self._journal: Journal | None = None
        self._client: Client | None = None

    @property
    def connected(self) -> bool:
        """Whether the broker delivers to this worker."""
        client = self._client
        return client is not None and client.connected

    @property
    def journal_last_sequences(self) -> Mapping[str, int]:
        """How many messages were ever received, by worker; nothing while it does not run."""
        journal = self._journal
        return {} if journal is None else {self._settings.worker: journal.last_sequence}

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; then acknowledge and store what has come in, and return.

        Raises
        ------
        Unavailable
            If another process has the journal open.
        Damaged
            If the journal cannot be trusted; whatever else ends one of the threads is raised too.
        """
        limit_bytes = self._settings.journal_limit_mb * MB
        with Journal(self._settings.journal_dir, limit_bytes=limit_bytes) as journal:
            file, group = self._settings.broker_client_file, self._settings.shared_group
            name = self._settings.worker if file is None else one_line(file, "client id")
            client = Client(*self._broker, name, journal, self._wall_clock, self._access, group)
            self._journal, self._client = journal, client
            try:
                _work(self._crew(journal, client), stop)
            finally:
                self._journal = self._client = None
                client.close()

    def _crew(self, journal: Journal, client: Client) -> list[_Hand]:
        settings = self._settings
        replayed = settings.clock is ClockKind.REPLAY
        ahead_ms, late_most_ms = settings.ahead_limit_s * 1000, round(settings.late_days * DAY_MS)
        clock = Clock(replayed=replayed, now_ms=None, ahead_limit_ms=ahead_ms, late_most_ms=late_most_ms)
        storing = Storing(settings.worker, journal, self._store, self._records, self._bell, clock)
        crew = [_Hand("ingest-mqtt", client), _Hand("ingest-store", storing)]
        crew.append(_Hand("ingest-tell", Telling(settings.worker, journal, self._records)))
        if replayed:
            crew.append(_Hand("ingest-clock", ReplayClock(self._records, self._bell, client.announce)))
        return crew


class _Task(Protocol):
    def run(self) -> None: ...

    def stop(self) -> None: ...


class _Hand:
    """A task in a thread of its own, and the exception that ended it."""

    def __init__(self, name: str, task: _Task) -> None:
        self._task = task
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        self._task.stop()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._task.run()
        except BaseException as error:
            log.exception("%s ends", self._thread.name)
            self.failure = error


def _work(crew: list[_Hand], stop: threading.Event) -> None:
    """Run tasks until `stop` or the first failure, then end them one after the other, in their order."""
    for hand in crew:
        hand.start()
    while not stop.wait(LOOK_S) and not any(hand.failure for hand in crew):
        pass
    for hand in crew:
        hand.finish()
    for hand in crew:
        if hand.failure:
            raise hand.failure
