"""Many connections to one broker, worked by one thread."""

from __future__ import annotations

import os
import resource
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from heapq import heappop, heappush
from typing import Protocol

from heatwatch import wire
from heatwatch.broker import Address
from heatwatch.errors import BadInput
from simulators.publishing.line import Line, Lost, Message, Way
from simulators.publishing.packets import NotMqtt

_OPENING = 64
"""How many connect at once: what a broker has not yet accepted waits in a short queue of its system."""
_LOOK_S = 0.5
_WAY_S = 5.0
_OTHER_FILES = 100
"""Open files that a process has besides its connections."""


class Hearer(Protocol):
    """Who hears what becomes of the connections; called in their thread."""

    def met(self) -> None:
        """Hear that a connection stands."""

    def lost(self, lost: Lost, *, stood: bool) -> None:
        """Hear that a connection is no more, or did not come to be."""

    def heard(self, payload: bytes) -> None:
        """Hear what came on the topic."""

    def moved(self) -> None:
        """Hear that something has changed."""


class Lines:
    """Connections to a broker, and the thread that works them.

    Parameters
    ----------
    address
        The broker.
    client_id
        The broker's name for the first connection; the others have a number behind it.
    size
        How many connections.
    topic
        What the first one listens to; None for nothing.
    hearer
        Who hears of it all.

    Attributes
    ----------
    standing, confirmed
        How many connections stand; how many messages the broker has confirmed.
    patient
        Whether what somebody has to mend is waited for; otherwise it is a failure.
    failure
        What ended the thread.

    Raises
    ------
    BadInput
        If the system does not allow so many connections.
    """

    def __init__(self, address: Address, client_id: str, size: int, topic: str | None, hearer: Hearer) -> None:
        allow_files(size)
        self.size, self.standing, self.confirmed = size, 0, 0
        self.patient = False
        self.failure: BaseException | None = None
        self._address, self._hearer = address, hearer
        self._lines = [Line(client_id, address, topic)]
        self._lines += [Line(f"{client_id}-{number}", address) for number in range(1, size)]
        self._line_of = {wire.CLOCK_TOPIC: self._lines[0]}
        self._given: deque[Sequence[Message]] = deque()
        self._away = [(0.0, number) for number in range(size)]
        self._opening: set[Line] = set()
        self._watched: dict[Line, tuple[int, int]] = {}
        self._number = {line: number for number, line in enumerate(self._lines)}
        self._looked_s = self._way_s = 0.0
        self._way: Way | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)

    @property
    def stands(self) -> bool:
        """Whether every connection stands."""
        return self.standing == self.size

    def start(self) -> None:
        """Begin to connect."""
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread.start()

    def give(self, messages: Sequence[Message]) -> None:
        """Hand over messages, from any thread."""
        self._given.append(messages)
        self._wake()

    def close(self) -> None:
        """Leave, and end the thread."""
        if self._thread.ident is None:
            return
        self._ended = True
        self._wake()
        self._thread.join()
        self._selector.close()
        os.close(self._woken)
        os.close(self._waker)

    def _wake(self) -> None:
        with suppress(BlockingIOError):
            os.write(self._waker, b"!")

    def _run(self) -> None:
        try:
            while not self._ended:
                self._work()
        except BaseException as error:  # noqa: BLE001 - told to who waits
            self.failure = error
        for line in self._lines:
            line.leave()
        self._hearer.moved()

    def _work(self) -> None:
        before = self.confirmed, self.standing
        now_s = time.monotonic()
        self._open_some(now_s)
        pause_s = max(min(_LOOK_S, self._away[0][0] - now_s), 0.0) if self._may_open() else _LOOK_S
        ready = self._selector.select(pause_s)
        now_s = time.monotonic()
        heard = False
        for key, _ in ready:
            if key.data is None:
                self._deal_out(now_s)
            elif key.data in self._watched:  # not lost since
                heard |= self._work_on(key.data, now_s)
        self._look(now_s)
        if heard or before != (self.confirmed, self.standing):
            self._hearer.moved()

    def _deal_out(self, now_s: float) -> None:
        """Give what was handed over to the connections of its topics, and let these write."""
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)
        touched: set[Line] = set()
        while self._given:
            for message in self._given.popleft():
                line = self._line_of.get(message[0]) or self._line_for(message[0])
                line.give((message,))
                touched.add(line)
        for line in touched:
            self._tried(line, Line.write, now_s)

    def _line_for(self, topic: str) -> Line:
        line = self._line_of[topic] = self._lines[(len(self._line_of) - 1) % self.size]
        return line

    def _work_on(self, line: Line, now_s: float) -> bool:
        """Read and write on one connection; return whether something was heard."""
        self._tried(line, Line.work, now_s)
        for payload in line.heard:
            self._hearer.heard(payload)
        heard = bool(line.heard)
        line.heard.clear()
        return heard

    def _tried(self, line: Line, action: Callable[[Line, float], None], now_s: float) -> None:
        """Let a connection do something, and see what became of it."""
        stood, confirmed = line.stands, line.confirmed
        try:
            action(line, now_s)
        except (Lost, OSError, NotMqtt) as error:
            self._lose(line, error, now_s, stood=stood)
        self.confirmed += line.confirmed - confirmed
        if line.stands and not stood:
            self._opening.discard(line)
            self._hearer.met()
            self.standing += 1
        if not line.away:
            self._watch(line)

    def _lose(self, line: Line, error: Exception, now_s: float, *, stood: bool) -> None:
        watched = self._watched.pop(line, None)
        if watched is not None:
            self._selector.unregister(watched[0])
        self.standing -= stood
        self._opening.discard(line)
        lost = line.lose(error, now_s)
        heappush(self._away, (line.retry_s, self._number[line]))
        self._tell(lost, stood=stood)

    def _tell(self, lost: Lost, *, stood: bool) -> None:
        if lost.lasting and not self.patient:
            raise BadInput(lost.why, where=f"broker {self._address.host}:{self._address.port}")
        self._hearer.lost(lost, stood=stood)
        self._hearer.moved()

    def _watch(self, line: Line) -> None:
        """Let the selector look at what the connection waits for."""
        assert line.socket is not None  # noqa: S101 - for the type checker
        wanted = (line.socket.fileno(), selectors.EVENT_READ | selectors.EVENT_WRITE * line.to_write)
        watched = self._watched.get(line)
        if watched == wanted:
            return
        if watched is None:
            self._selector.register(*wanted, line)
        else:
            self._selector.modify(*wanted, line)
        self._watched[line] = wanted

    def _may_open(self) -> bool:
        return bool(self._away) and len(self._opening) < _OPENING

    def _open_some(self, now_s: float) -> None:
        while self._may_open() and self._away[0][0] <= now_s:
            way = self._way_in(now_s)
            if way is None:
                return
            line = self._lines[heappop(self._away)[1]]
            self._opening.add(line)
            self._tried(line, partial(Line.open, way=way), now_s)

    def _way_in(self, now_s: float) -> Way | None:
        """Return how to get in, looked up anew every few seconds; None where that fails."""
        if self._way is None or now_s > self._way_s + _WAY_S:
            try:
                self._way, self._way_s = Way.to(self._address), now_s
            except (OSError, BadInput) as error:
                self._way = None
                self._tell(Lost(str(error)), stood=False)
                self._away = [(max(retry_s, now_s + _LOOK_S), number) for retry_s, number in self._away]
        return self._way

    def _look(self, now_s: float) -> None:
        """Keep the connections alive, at times."""
        if now_s < self._looked_s + _LOOK_S:
            return
        self._looked_s = now_s
        for line in list(self._watched):
            self._tried(line, Line.look, now_s)


def allow_files(connections: int) -> None:
    """Let this process open a file for each of so many connections, as far as the system goes.

    Raises
    ------
    BadInput
        If it does not go so far.
    """
    wanted = connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft not in {resource.RLIM_INFINITY, hard} and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = max(soft - _OTHER_FILES, 1)
        mend = f"at most {most} here; a higher hard limit (ulimit -Hn) allows more"
        raise BadInput(f"{connections} connections are more than a process may open", where="--connections", mend=mend)
