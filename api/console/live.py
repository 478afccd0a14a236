"""What makes pages live: one look a second at what has changed, told to everyone who watches.

A stream tells only that something is different; what is different a page then asks for, and gets what is made once
for all who see the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from api.console.backing import Console
from heatwatch.domain.instants import MINUTE_MS
from heatwatch.errors import HeatwatchError
from heatwatch.records.schema import AuditHead, Cursor, Progress, RegisterImport
from heatwatch.usecases.findings import FEED

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
KEEP_ALIVE_S = 15.0
ASK_AGAIN_S = 60.0
"""How often a stream makes sure that who watches may still do so."""
_KEPT_MOST = 64

MadeT = TypeVar("MadeT")


def version_of(session: Session, now_ms: int | None) -> str:
    """Return a word that differs whenever anything that a page shows may: with the records, and each minute; cheap."""
    counters = [
        session.scalar(select(Cursor.change_seq).where(Cursor.name == FEED)),
        session.scalar(select(AuditHead.seq)),
        session.scalar(select(RegisterImport.version).order_by(RegisterImport.version.desc()).limit(1)),
    ]
    roles = select(Progress.arrival_seq, Progress.as_of_ms).order_by(Progress.role)
    minute = (now_ms or 0) // MINUTE_MS
    numbers = [*counters, *(number for role in session.execute(roles) for number in role), minute]
    return ".".join(str(number or 0) for number in numbers)


class Pulse:
    """Looks once a second whether something has changed, while someone watches; one for each process.

    Parameters
    ----------
    console
        Whose records are looked at.
    every_s
        How often [s].
    """

    def __init__(self, console: Console, every_s: float = LOOK_EVERY_S) -> None:
        self._console, self._every_s = console, every_s
        self._watching = 0
        self._looking: asyncio.Task[None] | None = None
        self._looked = asyncio.Event()
        self._told: tuple[str, int | None] = ("", None)

    @property
    def told(self) -> tuple[str, int | None]:
        """The version, and the clock [ms] when it was seen first; an empty version before the first look."""
        return self._told

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Look for as long as this lasts."""
        self._watching += 1
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="console pulse")
        try:
            yield
        finally:
            self._watching -= 1
            if not self._watching:
                self._looking.cancel()
                self._looking, self._told = None, ("", None)

    async def looked(self) -> None:
        """Wait until the next look is done, at most for the time of two."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._looked.wait(), 2 * self._every_s)

    async def _look(self) -> None:
        while True:
            try:
                version, now_ms = await run_in_threadpool(self._seen)
                if version != self._told[0]:
                    self._told = version, now_ms
            except HeatwatchError as error:
                log.warning("the console cannot see what has changed: %s", error)
            except Exception:
                log.exception("the console failed to see what has changed; it goes on looking")
            self._looked.set()
            self._looked = asyncio.Event()
            await asyncio.sleep(self._every_s)

    def _seen(self) -> tuple[str, int | None]:
        now_ms = self._console.clock()
        with self._console.records.read() as session:
            return version_of(session, now_ms), now_ms


async def stream(
    pulse: Pulse,
    allowed: Callable[[], Awaitable[bool]],
    stopping: Callable[[], bool],
    keep_alive_s: float = KEEP_ALIVE_S,
) -> AsyncIterator[str]:
    """Give the events of one who watches: `now` when something has changed, at once the first time.

    Parameters
    ----------
    pulse
        Says what has changed.
    allowed
        Says whether who watches may still do so; asked each minute.
    stopping
        Says whether the server ends: then the stream does, within one look.
    keep_alive_s
        After how long a silence a comment is sent [s].
    """
    seen, sent_s, asked_s = "", time.monotonic(), time.monotonic()
    yield "retry: 2000\n\n"
    async with pulse.watched():
        while not stopping():
            version, now_ms = pulse.told
            now_s = time.monotonic()
            if now_s - asked_s >= ASK_AGAIN_S:
                asked_s = now_s
                if not await allowed():
                    return
            if version != seen:
                seen, sent_s = version, now_s
                yield f"event: now\ndata: {json.dumps({'now': now_ms, 'version': version})}\n\n"
            elif now_s - sent_s >= keep_alive_s:
                sent_s = now_s
                yield ": still here\n\n"
            await pulse.looked()


class Kept(Generic[MadeT]):
    """Keeps what was made last under each key, and makes it once when several ask at the same time."""

    def __init__(self, most: int = _KEPT_MOST) -> None:
        self._made: OrderedDict[Hashable, MadeT] = OrderedDict()
        self._lock, self._most = threading.Lock(), most

    def held(self, key: Hashable) -> MadeT | None:
        """Return what is kept under a key, without making it."""
        return self._made.get(key)

    def __call__(self, key: Hashable, make: Callable[[], MadeT]) -> MadeT:
        """Return what is kept under a key; make it where nothing is."""
        found = self._made.get(key)
        if found is not None:
            return found
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
                while len(self._made) > self._most:
                    self._made.popitem(last=False)
            return self._made[key]
