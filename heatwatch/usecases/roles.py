"""A role of `serve` (ingest, analytics, dispatch, api), and how roles of one process wake each other."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from heatwatch.errors import Unavailable

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 0.2
RETRY_MAX_S = 30.0


class Wake(Protocol):
    """What a role waits at and rings: a `Bell` for all, or its own `Line`."""

    def ring(self) -> None:
        """Say that the records have changed."""
        ...

    def heard(self) -> int:
        """Return how often it has rung: take it before looking, hand it to `wait` after."""
        ...

    def wait(self, heard: int, timeout_s: float) -> None:
        """Return when it has rung since `heard`, or after `timeout_s` seconds."""
        ...


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


class Line:
    """A role's own bell: it waits for the one before it, and rings for the one after it.

    With one bell for all, every commit would wake every role, to look and find nothing.
    """

    def __init__(self, *, hears: Bell, rings: Bell) -> None:
        self._hears, self._rings = hears, rings

    def ring(self) -> None:
        """Say to the role after this one that the records have changed."""
        self._rings.ring()

    def heard(self) -> int:
        """Return how often the role before this one has rung."""
        return self._hears.heard()

    def wait(self, heard: int, timeout_s: float) -> None:
        """Return when the role before this one has rung since `heard`, or after `timeout_s` seconds."""
        self._hears.wait(heard, timeout_s)


class Role(Protocol):
    """Work that goes on until it is told to stop."""

    name: str

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then return with everything committed. An exception ends the process."""
        ...


def follow(name: str, pass_once: Callable[[], bool], bell: Wake, stop: threading.Event) -> None:
    """Do pass after pass until `stop` is set; wait longer and longer while a store does not answer.

    Parameters
    ----------
    name
        The role, for the log.
    pass_once
        Does what there is to do and says whether there was anything; `Unavailable` has it called again later.
    bell
        Rung after each pass that did something; waited at after one that did not.
    """
    wait_s = LOOK_AGAIN_S
    while not stop.is_set():
        heard = bell.heard()
        try:
            done = pass_once()
            wait_s = LOOK_AGAIN_S
        except Unavailable as error:
            wait_s = min(2 * wait_s, RETRY_MAX_S)
            log.warning("%s waits %.1f s: %s", name, wait_s, error, extra={"role": name, "wait_s": wait_s})
            stop.wait(wait_s)
            continue
        if done:
            bell.ring()
        else:
            bell.wait(heard, wait_s)
