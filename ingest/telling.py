"""Tells other processes how much a worker has received: the journal is this process's alone."""

from __future__ import annotations

import logging
import threading

from heatwatch.errors import Unavailable
from heatwatch.records.database import Records
from heatwatch.usecases.delivery import tell_received
from ingest.journal import Journal

log = logging.getLogger(__name__)

EVERY_S = 5.0
"""What is stored within this time needs no telling: its commit says that it was received."""


class Telling:
    """Writes down the last message of a journal, while messages wait in it."""

    def __init__(self, worker: str, journal: Journal, records: Records) -> None:
        self._worker, self._journal, self._records = worker, journal, records
        self._told = 0
        self._stopping = threading.Event()

    def run(self) -> None:
        """Tell until `stop` is called; records that do not answer are told later."""
        while not self._stopping.wait(EVERY_S):
            last = self._journal.last_sequence
            if last <= self._told:
                continue
            try:
                with self._records.write() as session:
                    tell_received(session, self._worker, last)
            except Unavailable as error:
                log.debug("%s; what was received is told later", error)
            else:
                self._told = last

    def stop(self) -> None:
        """Let `run` return."""
        self._stopping.set()
