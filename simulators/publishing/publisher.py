"""Publishing in time order, with a clock that moves only when `serve` has done the last step.

The order of things in one step: the readings sent in it; the broker's confirmation of them all; the tick that
says so; the report of `serve` that it has done it. A broker to which the connection broke may have restarted and
lost what it had confirmed, and the subscription of `serve` too: then, as at first, an empty step asks whether
`serve` is there, and the step is published again from its beginning. A reading that arrives twice counts once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np

from heatwatch import wire
from heatwatch.broker import Access
from heatwatch.domain.instants import HOUR_MS, MINUTE_MS
from simulators.publishing.encoding import Messages
from simulators.publishing.link import Link

Source = Callable[[int, int], Messages]
"""Returns the messages for ``start_ms`` <= time < ``end_ms``, in order of time."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far publishing has come: readings and messages published, ticks given, and the clock [ms]."""

    readings: int = 0
    messages: int = 0
    steps: int = 0
    now_ms: int = 0


class SteppedPublisher:
    """Publishes messages step by step; a context manager that holds the connection.

    Parameters
    ----------
    host, port
        The broker.
    run
        Names this run on the clock's topics; a new one each time.
    speed
        Simulated seconds a second; None for as fast as steps are done.
    step_ms
        The clock's step [ms].
    max_jump_ms
        Longest move of the clock at once [ms], where nothing is measured.
    client_id
        The broker's name for this publisher; by default made of `run`.
    clock
        False where no `serve` listens: no ticks, no waiting for them.
    timeout_s
        How long to wait without any progress [s].
    connections
        How many, as gateways or thermometers have them: messages of one topic stay in order, those of a step that
        go over different connections come in any.
    access
        How to sign in at the broker, and TLS.

    Raises
    ------
    BadInput
        If the system does not allow so many connections; on entering, if the broker refuses the sign-in, or one
        of the two a certificate.
    Unavailable
        On entering, if the broker does not come.
    """

    def __init__(  # noqa: PLR0913 - a caller's own settings, each with its flag
        self,
        host: str,
        port: int,
        *,
        run: str,
        speed: float | None = None,
        step_ms: int = MINUTE_MS,
        max_jump_ms: int = HOUR_MS,
        client_id: str | None = None,
        clock: bool = True,
        timeout_s: float = 300.0,
        connections: int = 1,
        access: Access | None = None,
    ) -> None:
        self.run, self.step_ms, self.clock = run, step_ms, clock
        self._jump_ms = max(max_jump_ms // step_ms, 1) * step_ms
        self._link = Link(
            host,
            port,
            client_id=client_id or f"heatwatch-publisher-{run}",
            timeout_s=timeout_s,
            connections=connections,
            access=access,
            listens=clock,
        )
        self._pace = _Pace(speed, self._link.stopping)
        self._step = -1
        self._met = 0

    def __enter__(self) -> Self:
        try:
            self._link.open()
        except BaseException:
            self._link.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._link.close()

    def stop(self) -> None:
        """End `play` soon, from another thread."""
        self._link.stopping.set()

    def play(
        self,
        source: Source,
        start_ms: int,
        end_ms: int,
        *,
        until_ms: int | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> Progress:
        """Publish everything measured from `start_ms` (included) to `end_ms` (excluded), step by step.

        Steps begin at whole multiples of the step since 1970. Where nothing is measured the clock moves on to
        the end of the next step in which something is, but never by more than `max_jump_ms` at once.

        Parameters
        ----------
        source
            Asked for one stretch of time after the other.
        start_ms, end_ms
            What to publish [ms].
        until_ms
            Where the clock stands at the end [ms], by default `end_ms`; not more than 1 ms before `end_ms`.
        progress
            Called after each step.

        Raises
        ------
        Unavailable
            If the broker or `serve` makes no progress within the timeout.
        ValueError
            If `until_ms` is before the last instant to publish.
        """
        until_ms = end_ms if until_ms is None else until_ms
        if until_ms < end_ms - 1:
            msg = "the clock would end before what is published"
            raise ValueError(msg)
        reached = Progress(now_ms=start_ms // self.step_ms * self.step_ms)
        self._pace.start()
        for messages, now_ms in self._steps(source, start_ms, end_ms, until_ms):
            self._pace.wait((now_ms - reached.now_ms) / 1_000.0)
            self._do(messages, reached.now_ms, now_ms)
            if self._link.stopping.is_set():
                return reached
            reached = _after(reached, messages, now_ms)
            if progress is not None:
                progress(reached)
        self._link.wait_confirmed()
        return reached

    def _steps(self, source: Source, start_ms: int, end_ms: int, until_ms: int) -> Iterator[tuple[Messages, int]]:
        """Yield the messages of each step with where the clock stands after it [ms]."""
        from_ms, to_ms = start_ms, start_ms // self.step_ms * self.step_ms
        while True:
            to_ms = min(to_ms + self._jump_ms, until_ms)
            last_ms = end_ms if to_ms == until_ms else min(to_ms, end_ms)
            messages = source(from_ms, last_ms) if from_ms < last_ms else Messages.none()
            yield from self._split(messages, to_ms)
            if to_ms == until_ms:
                return
            from_ms = to_ms

    def _split(self, messages: Messages, to_ms: int) -> Iterator[tuple[Messages, int]]:
        ends_ms = np.minimum((messages.time_ms // self.step_ms + 1) * self.step_ms, to_ms)
        first = 0
        for now_ms in np.unique(ends_ms).tolist():
            last = int(np.searchsorted(ends_ms, now_ms, side="right"))
            yield messages.part(first, last), now_ms
            first = last
        if not ends_ms.size or ends_ms[-1] < to_ms:
            yield Messages.none(), to_ms

    def _do(self, messages: Messages, before_ms: int, now_ms: int) -> None:
        """Publish one step and wait until it is done, from its beginning if the connection broke meanwhile."""
        while not self._link.stopping.is_set():
            if self.clock and self._met != self._link.connections:
                self._meet(before_ms)
            self._publish(messages)
            if not self.clock or (self._met == self._link.connections and self._tick(now_ms)):
                return

    def _publish(self, messages: Messages) -> None:
        retain = None if messages.retained is None else messages.retained.tolist()
        self._link.publish_all(messages.topics, messages.payloads, retain)
        if self.clock:
            self._link.wait_confirmed()

    def _meet(self, now_ms: int) -> None:
        """Return when `serve` is there: ask by a step in which nothing happens, until it is answered."""
        self._link.wait_listening()
        self._met = self._link.connections
        tick = self._next_tick(now_ms)
        self._say(tick)
        self._link.wait_for_serve(lambda: self._is_done(tick), tick, again=lambda: self._say(tick))

    def _tick(self, now_ms: int) -> bool:
        """Move the clock and wait for `serve`; False if the connection broke before it was seen to be done.

        What is done after a break may have been done without the readings that the broker lost. The tick is repeated,
        for `serve` reports only the last one: another publisher's may have hidden this one's.
        """
        tick = self._next_tick(now_ms)
        self._say(tick)
        self._link.wait_for_serve(
            lambda: self._is_done(tick) or self._met != self._link.connections, tick, again=lambda: self._say(tick)
        )
        return self._met == self._link.connections and self._is_done(tick)

    def _next_tick(self, now_ms: int) -> wire.Tick:
        self._step += 1
        return wire.Tick(run=self.run, step=self._step, now=now_ms, ahead_ms=self._jump_ms)

    def _say(self, tick: wire.Tick) -> None:
        self._link.publish(wire.CLOCK_TOPIC, tick.model_dump_json())

    def _is_done(self, tick: wire.Tick) -> bool:
        done = self._link.done
        return done is not None and done.run == tick.run and done.step >= tick.step


class _Pace:
    """Holds the clock back to `speed` simulated seconds a second; arrears are forgiven, not caught up."""

    def __init__(self, speed: float | None, stopping: threading.Event) -> None:
        self._speed, self._stopping = speed, stopping
        self._due_s = 0.0

    def start(self) -> None:
        self._due_s = time.monotonic()

    def wait(self, simulated_s: float) -> None:
        if self._speed is None:
            return
        now_s = time.monotonic()
        self._due_s = max(self._due_s + simulated_s / self._speed, now_s)
        self._stopping.wait(self._due_s - now_s)


def _after(reached: Progress, messages: Messages, now_ms: int) -> Progress:
    return Progress(
        readings=reached.readings + int(messages.sizes.sum()),
        messages=reached.messages + len(messages),
        steps=reached.steps + 1,
        now_ms=now_ms,
    )
