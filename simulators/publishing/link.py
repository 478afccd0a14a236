"""The connections of a publisher: what the broker has not confirmed is kept, and what `serve` has done is heard."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from itertools import islice

from pydantic import ValidationError

from heatwatch import wire
from heatwatch.broker import Access, Address
from heatwatch.errors import Unavailable
from simulators.publishing.line import Lost
from simulators.publishing.lines import Lines

log = logging.getLogger(__name__)

_UNCONFIRMED = 8_000
_AT_A_TIME = 1_000
_CONNECT_S = 15.0
_FIRST_WARNING_S = 5.0
_SELDOM_S = 10.0
_LOOK_S = 0.5


class Link:
    """Connections to a broker at QoS 1, worked by one thread.

    What was handed to `publish` is kept here until the broker confirms it and is sent again, in order, after a
    break; the broker keeps no session of it. A topic keeps to one connection, and so its order.

    Parameters
    ----------
    host, port
        The broker.
    client_id
        The broker's name for it, followed by a number for all but the first connection; two links of one name at
        once disturb each other.
    timeout_s
        How long to wait without any progress before giving up [s].
    connections
        How many; topics are dealt out to them in turn.
    access
        How to sign in, and TLS.
    listens
        False where no `serve` is to be heard.

    Attributes
    ----------
    done
        The last tick that `serve` reported as done.
    connections
        How often the broker was met. After a break it may have lost what it had confirmed and not delivered.
    stopping
        Set it to end every wait.

    Raises
    ------
    BadInput
        If the system does not allow so many connections.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        client_id: str,
        timeout_s: float,
        connections: int = 1,
        access: Access | None = None,
        listens: bool = True,
    ) -> None:
        self.done: wire.Done | None = None
        self.connections = 0
        self.stopping = threading.Event()
        self._timeout_s = timeout_s
        self._broker = f"broker {host}:{port}"
        self._why_not = "no connection"
        self._changed = threading.Condition()
        self._sent = 0
        topic = wire.CLOCK_DONE_TOPIC if listens else None
        self._lines = Lines(Address(host, port, access or Access()), client_id, connections, topic, self)

    def open(self) -> None:
        """Connect; where the broker is away, try again for 15 s or the timeout, whichever is shorter.

        Raises
        ------
        BadInput
            If it answers, and what it says will not change: a refused sign-in, a wrong certificate.
        Unavailable
            If the broker does not come.
        """
        self._lines.start()
        self._wait_listening(min(_CONNECT_S, self._timeout_s))
        self._lines.patient = True

    def close(self) -> None:
        """Leave; what is unconfirmed by then may not arrive."""
        self.stopping.set()
        self._lines.close()

    def publish(self, topic: str, payload: str) -> None:
        """Hand over one message; waits while a connection is broken, and where 8000 are unconfirmed.

        Raises
        ------
        Unavailable
            If the broker does not come back, or confirms nothing, within the timeout.
        """
        self.publish_all([topic], [payload])

    def publish_all(self, topics: Sequence[str], payloads: Sequence[str], retain: Sequence[bool] | None = None) -> None:
        """Hand over messages in order; waits as `publish` does.

        Parameters
        ----------
        topics, payloads
            Of each message.
        retain
            Which the broker is to keep for whoever subscribes later; None for none.

        Raises
        ------
        Unavailable
            As `publish`.
        """
        retain = [False] * len(topics) if retain is None else retain
        messages = zip(topics, payloads, retain, strict=True)
        while some := list(islice(messages, _AT_A_TIME)):
            self.wait_listening()
            if self._sent - self._lines.confirmed >= _UNCONFIRMED:
                self._wait_confirmed(_UNCONFIRMED // 2)
            self._sent += len(some)
            self._lines.give(some)

    def wait_listening(self) -> None:
        """Return when every connection stands, or when stopping.

        Raises
        ------
        Unavailable
            If the broker does not come back within the timeout.
        """
        if not self._lines.stands:
            self._wait_listening(self._timeout_s)

    def wait_confirmed(self) -> None:
        """Return when the broker has confirmed everything, or when stopping.

        Raises
        ------
        Unavailable
            If it confirms nothing within the timeout.
        """
        self._wait_confirmed(0)

    def wait_for_serve(
        self, ready: Callable[[], bool], tick: wire.Tick, again: Callable[[], None] | None = None, again_s: float = 2.0
    ) -> None:
        """Return when `ready`, or when stopping.

        Parameters
        ----------
        ready
            Looked at whenever something was heard.
        tick
            The tick that `serve` is to report as done.
        again, again_s
            What to do about it after `again_s` seconds, then ever more seldom, at least every 10 s.

        Raises
        ------
        Unavailable
            If `serve` reports nothing within the timeout.
        """
        awaited = f"step {tick.step} of run {tick.run} to be done"
        self._wait(ready, lambda: self.done, "heatwatch serve", awaited, self._timeout_s, again, again_s)

    def met(self) -> None:
        """Hear that a connection stands."""
        self.connections += 1

    def lost(self, lost: Lost, *, stood: bool) -> None:
        """Hear that a connection is no more, or did not come to be; say so of the first of many."""
        first = stood and self._lines.standing == self._lines.size - 1
        if first and not self.stopping.is_set():
            log.warning("%s: connection lost (%s), trying again", self._broker, lost.why)
        elif not stood and lost.why != self._why_not:
            log.warning("%s: %s", self._broker, lost.why)
        self._why_not = lost.why

    def heard(self, payload: bytes) -> None:
        """Hear what `serve` has done."""
        try:
            self.done = wire.Done.model_validate_json(payload)
        except ValidationError as error:
            log.warning("%s: no report of a step: %s", wire.CLOCK_DONE_TOPIC, error)

    def moved(self) -> None:
        """Hear that something has changed; let those who wait look."""
        with self._changed:
            self._changed.notify_all()

    def _wait_listening(self, timeout_s: float) -> None:
        lines = self._lines
        awaited = "to accept a connection" if lines.size == 1 else f"to accept {lines.size} connections"
        self._wait(lambda: lines.stands, lambda: lines.standing, self._broker, awaited, timeout_s)

    def _wait_confirmed(self, but: int) -> None:
        def ready() -> bool:
            return self._sent - self._lines.confirmed <= but

        self._wait(ready, lambda: self._lines.confirmed, self._broker, "to confirm messages", self._timeout_s)

    def _wait(
        self,
        ready: Callable[[], bool],
        progress: Callable[[], object],
        peer: str,
        awaited: str,
        timeout_s: float,
        again: Callable[[], None] | None = None,
        again_s: float = 2.0,
    ) -> None:
        begun_s = moved_s = time.monotonic()
        last, warn_s = progress(), _FIRST_WARNING_S
        while not self._looked(ready):
            waited_s = time.monotonic() - begun_s
            if progress() != last:
                last, moved_s = progress(), time.monotonic()
            if time.monotonic() - moved_s >= timeout_s:
                subject = "it " if peer == self._broker else ""
                raise self._unavailable(peer, f"waited {waited_s:.0f} s for {subject}{awaited}")
            if waited_s >= warn_s:
                log.warning("waiting for %s %s, %.0f s so far", peer, awaited, waited_s)
                warn_s *= 2
            if again is not None and waited_s >= again_s:
                again()
                again_s = waited_s + min(again_s, _SELDOM_S)

    def _looked(self, ready: Callable[[], bool]) -> bool:
        def over() -> bool:
            return self.stopping.is_set() or self._lines.failure is not None or ready()

        with self._changed:
            looked = self._changed.wait_for(over, _LOOK_S)
        if self._lines.failure is not None:
            raise self._lines.failure
        return looked

    def _unavailable(self, peer: str, why: str) -> Unavailable:
        stands = self._lines.stands
        if stands or peer == self._broker:
            return Unavailable(peer, why if stands else f"{why} ({self._why_not})")
        return Unavailable(self._broker, f"{self._why_not}; {why}")
