"""A role of `serve` (ingest, analytics, dispatch, api), and how roles of one process wake each other."""

from __future__ import annotations

import threading
from typing import Protocol


class Bell:
    """Wakes whoever waits; roles in other processes find out by looking, at the latest after their timeout."""

    def __init__(self) -> None:
        self._rung = threading.Condition()
        self._count = 0

    def ring(self) -> None:
        """Say that the records have changed."""
        with self._rung:
            self._count += 1
            self._rung.notify_all()

    def heard(self) -> int:
        """Return how often it has rung: take it before looking, hand it to `wait` after."""
        with self._rung:
            return self._count

    def wait(self, heard: int, timeout_s: float) -> None:
        """Return when it has rung since `heard`, or after `timeout_s` seconds."""
        with self._rung:
            self._rung.wait_for(lambda: self._count != heard, timeout_s)


class Role(Protocol):
    """Work that goes on until it is told to stop."""

    name: str

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then return with everything committed. An exception ends the process."""
        ...
