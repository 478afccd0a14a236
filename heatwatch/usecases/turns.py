"""Turns at writing readings, where several processes of an installation share a store that cannot tell them apart."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from uuid import uuid4

from sqlalchemy import make_url, text

from heatwatch.errors import Unavailable
from heatwatch.records.database import Records
from heatwatch.records.schema import TurnRow
from heatwatch.records.turns import Turn, take

WAIT_S = 60.0
READINGS = "readings"
_PAUSE_S = 0.01


def turns(records: Records, who: str) -> Callable[[], AbstractContextManager[bool]]:
    """Return what gives a turn at writing readings.

    Parameters
    ----------
    records
        Of the installation, by which its processes know one another: an advisory lock of PostgreSQL, and beside a file
        of SQLite a lock file, which holds for the processes of one machine.
    who
        A name for this process, for people to read.

    Returns
    -------
    turn
        `with turn() as others:` waits until nobody else has the turn, threads of this process included, and tells
        whether another process had it since this one last did; so it is at the first time. It raises `Unavailable` if
        the turn does not come within a minute, and if it was lost before the block ended.
    """
    me = f"{who}/{uuid4().hex}"
    queue = threading.Lock()
    folder = _folder(records)

    @contextmanager
    def turn() -> Iterator[bool]:
        if not queue.acquire(timeout=WAIT_S):
            raise _unavailable("another thread")
        try:
            with _in_records(records, me) if folder is None else _in_file(folder / "readings.turn", me) as others:
                yield others
        finally:
            queue.release()

    return turn


@contextmanager
def _in_records(records: Records, me: str) -> Iterator[bool]:
    """Hold the lock in a transaction that does nothing else. The name is committed before anything is written.

    Who dies in the middle has left its name, and may have written.
    """
    with records.read() as holding:
        holding.execute(text(f"SET LOCAL lock_timeout = '{WAIT_S:.0f}s'"))
        take(holding, Turn.READINGS)
        with records.write() as session:
            last = session.get(TurnRow, READINGS)
            others = last is None or last.holder != me
            if others:
                session.merge(TurnRow(name=READINGS, holder=me))
        yield others
        holding.execute(text("SELECT 1"))  # raises where the connection broke, and the lock with it


@contextmanager
def _in_file(path: Path, me: str) -> Iterator[bool]:
    with path.open("a+", encoding="utf-8") as file:
        _lock(file.fileno())
        file.seek(0)
        others = file.read() != me
        if others:
            file.truncate(0)
            file.write(me)
            file.flush()
            os.fsync(file.fileno())
        yield others


def _lock(number: int) -> None:
    """Wait for a file; closing it lets it go, and so does the end of the process."""
    until = time.monotonic() + WAIT_S
    while True:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise _unavailable("another process") from None
            time.sleep(_PAUSE_S)
        else:
            return


def _folder(records: Records) -> Path | None:
    """Return the folder of the records' file; None where a server keeps them."""
    url = make_url(records.url)
    return Path(url.database).parent if url.get_backend_name() == "sqlite" and url.database else None


def _unavailable(who: str) -> Unavailable:
    return Unavailable("the turn at writing readings", f"{who} has had it for {WAIT_S:.0f} s")
