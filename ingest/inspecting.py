"""Looking at a journal that may belong to somebody else: nothing is held, repaired or changed."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from heatwatch.errors import Damaged, Unavailable
from ingest.journal import HEADER_BYTES, RECORD_MARK, _first, _Record, _records, _salt

AGAIN_S = 0.2
"""After how long what looks damaged is looked at again [s]: a group may be half written at this very moment."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a journal's folder holds.

    Attributes
    ----------
    size_bytes
        Size of all segments.
    last
        Number of the last message that reads as it was written.
    torn_bytes
        What a crash has left half written after it; the next start cuts it off. Of a journal at work: what is being
        written.
    damage
        What does not read as it was written, and where; empty where all does.
    """

    size_bytes: int
    last: int
    torn_bytes: int = 0
    damage: str = ""


def inspect(folder: Path, *, whole: bool = False) -> Inspection | None:
    """Look at the newest segment of a journal, or at all of them; None where there is none.

    Raises
    ------
    Unavailable
        If the folder cannot be read.
    """
    found = _inspect(folder, whole=whole)
    if found is not None and found.damage:
        time.sleep(AGAIN_S)
        again = _inspect(folder, whole=whole)
        return again if again is None or again.damage != found.damage else found
    return found


def arrived_ms(folder: Path, sequence: int) -> int | None:
    """Return when a message arrived [ms]; None where it is not there."""
    holding = [path for path in _segments(folder) if _first(path) <= sequence]
    with suppress(OSError, Damaged):
        for record in _read(holding[-1]) if holding else ():
            if record.entry.sequence == sequence:
                return record.entry.message.arrived_ms
    return None


def is_held(folder: Path) -> bool:
    """Tell whether a process has the journal open."""
    with suppress(OSError), (folder / "lock").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _segments(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob("*.journal"))
    except OSError as error:
        raise Unavailable(str(folder), str(error)) from error


def _inspect(folder: Path, *, whole: bool) -> Inspection | None:
    try:
        paths = _segments(folder)
        if not paths:
            return None
        size_bytes = sum(path.stat().st_size for path in paths)
        last = _first(paths[0]) - 1
        for path in paths if whole else paths[-1:]:
            if whole and _first(path) != last + 1:
                return Inspection(size_bytes, last, damage=f"{folder}: message {last + 1} is missing")
            last, torn_bytes, damage = _look(path, newest=path == paths[-1])
            if damage:
                return Inspection(size_bytes, last, damage=damage)
    except FileNotFoundError:  # its messages are stored by now, and it was deleted
        return _inspect(folder, whole=whole)
    except Damaged as error:
        return Inspection(0, 0, damage=str(error))
    except OSError as error:
        raise Unavailable(str(folder), str(error)) from error
    return Inspection(size_bytes, last, torn_bytes)


def _look(path: Path, *, newest: bool) -> tuple[int, int, str]:
    """Return the last message of a segment, how many bytes follow it, and what is damaged."""
    last, end = _first(path) - 1, HEADER_BYTES
    for record in _read(path):
        if record.entry.sequence != last + 1:
            break
        last, end = record.entry.sequence, record.end
    with path.open("rb") as file:
        torn_bytes = max(path.stat().st_size - end, 0)
        damaged = torn_bytes and (not newest or _group_follows(file, _salt(file, path), end))
    return last, torn_bytes, f"{path}, byte {end}: a message does not read as it was written" if damaged else ""


def _group_follows(file: BinaryIO, salt: int, end: int) -> bool:
    """Tell whether a whole group stands after `end`: each is flushed before the next, so what is between is damaged."""
    file.seek(end)
    rest = file.read()
    at = rest.find(RECORD_MARK, 1)
    while at >= 0:
        record = next(_records(file, salt, end + at), None)
        if record is not None and record.starts_group:
            return True
        at = rest.find(RECORD_MARK, at + 1)
    return False


def _read(path: Path) -> Iterator[_Record]:
    with path.open("rb") as file:
        yield from _records(file, _salt(file, path), HEADER_BYTES)
