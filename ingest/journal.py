"""The journal: every message as it was received, on disk before it is acknowledged.

A folder of segment files, each named after the first sequence in it. Records are only ever appended; a segment is
deleted when all of it has been stored. Sequences count the messages received since ever, from 1.

::

    segment = header, record, record …
    header  = "HWJ1", salt (u32), first sequence (u64), crc32 of these (u32)
    record  = f5 "HWR", crc32 of what follows (u32), length of fields, topic and payload (u32),
              flags (u8), sequence (u64), arrived_ms (i64), length of the topic (u16), topic, payload

A record's checksum starts from the salt of its segment, so that no payload can hold a record of its own making.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Self

from heatwatch.errors import BadInput, Damaged, Unavailable

log = logging.getLogger(__name__)

HEADER = struct.Struct("<4sIQ")
CHECKSUM = struct.Struct("<I")
LENGTH = struct.Struct("<I")
FIELDS = struct.Struct("<BQqH")
HEADER_MARK, RECORD_MARK = b"HWJ1", b"\xf5HWR"
HEADER_BYTES = HEADER.size + CHECKSUM.size
FRAME_BYTES = len(RECORD_MARK) + CHECKSUM.size + LENGTH.size
RETAINED, REPEATED, STARTS_GROUP = 1, 2, 4

SEGMENT_BYTES = 16 << 20
GROUP_BYTES = 1 << 20
WARN_AT = 0.9


@dataclass(frozen=True, slots=True)
class Message:
    """A message as the broker delivered it at `arrived_ms`."""

    topic: bytes
    payload: bytes
    arrived_ms: int
    retained: bool = False
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A message and its place among all that were ever received."""

    sequence: int
    message: Message


class Journal:
    """The messages of one worker, in the order in which they were received.

    One thread may append while another reads and forgets.

    Parameters
    ----------
    folder
        Where the segments are; made where there is none.
    limit_bytes
        Bound of all segments together [bytes]; see `full`.
    segment_bytes
        A segment that has grown to this size is followed by a new one [bytes]; at most a quarter of the bound.

    Raises
    ------
    BadInput
        If the folder's path is that of a file.
    Unavailable
        If another process has the journal open, or the disk refuses.
    Damaged
        If what was flushed to disk does not read as it was written.
    """

    def __init__(self, folder: Path, *, limit_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder, self._limit_bytes = folder, limit_bytes
        self._segment_bytes = min(segment_bytes, limit_bytes // 4)
        self.group_bytes = min(GROUP_BYTES, limit_bytes // 8)
        self._warned = False
        self._changed = threading.Condition()
        with ExitStack() as opened, _refusals(folder):
            self._lock = opened.enter_context(_lock(folder))
            self._sizes = {_first(path): path.stat().st_size for path in folder.glob("*.journal")}
            self._segment = _Segment.open(folder, max(self._sizes)) if self._sizes else _Segment.create(folder, 1)
            opened.callback(self._segment.close)
            self.last_sequence = self._segment.recover()
            opened.pop_all()
        self._sizes[self._segment.first] = self._segment.size
        self._next = (0, 0, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def size_bytes(self) -> int:
        """Size of all segments."""
        with self._changed:
            return sum(self._sizes.values())

    @property
    def full(self) -> bool:
        """Whether one more group of `group_bytes` might pass the bound: take no message, acknowledge none."""
        return self.size_bytes + self.group_bytes > self._limit_bytes

    def append(self, messages: Sequence[Message]) -> int:
        """Flush a group of messages to disk and return the last sequence.

        Raises
        ------
        Unavailable
            If the disk refuses; the journal is as it was before.
        """
        if self._segment.size >= self._segment_bytes:
            following = _Segment.create(self._folder, self.last_sequence + 1)
            self._segment.close()
            self._segment = following
        self._segment.append(self.last_sequence + 1, messages)
        with self._changed:
            self._sizes[self._segment.first] = self._segment.size
            self.last_sequence += len(messages)
            self._changed.notify_all()
        self._warn()
        return self.last_sequence

    def wait(self, sequence: int, timeout_s: float) -> None:
        """Return when there is something after `sequence`, or after `timeout_s` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self.last_sequence > sequence, timeout_s)

    def read_from(self, sequence: int, limit: int, until: Callable[[Message], bool] = lambda _: False) -> list[Entry]:
        """Return flushed messages from number `sequence` on: at least one where there is one, at most `limit`.

        The first for which `until` holds is the last returned.

        Raises
        ------
        Unavailable
            If the disk refuses.
        Damaged
            If message `sequence` is missing, or does not read as it was written.
        """
        last = min(self.last_sequence, sequence + limit - 1)
        if sequence > last:
            return []
        first, expected, offset = self._place(sequence)
        path, entries = _path(self._folder, first), list[Entry]()
        with _refusals(path), path.open("rb") as file:
            for record in _records(file, _salt(file, path), offset):
                if record.entry.sequence != expected:
                    break
                offset, expected = record.end, expected + 1
                if expected <= sequence:
                    continue
                entries.append(record.entry)
                if expected > last or until(record.entry.message):
                    break
        if not entries:
            raise Damaged(f"message {expected} does not read as it was written", where=f"{path}, byte {offset}")
        self._next = (first, expected, offset)
        return entries

    def forget(self, sequence: int) -> None:
        """Delete the segments that hold nothing after `sequence`; never the newest one.

        Raises
        ------
        Unavailable
            If the disk refuses; the same call may succeed later.
        """
        with self._changed:
            past = [first for first, following in pairwise(sorted(self._sizes)) if following - 1 <= sequence]
        for first in past:
            path = _path(self._folder, first)
            with _refusals(path):
                path.unlink(missing_ok=True)
                _flush_folder(self._folder)
            with self._changed:
                del self._sizes[first]

    def close(self) -> None:
        """Release the files."""
        self._segment.close()
        self._lock.close()

    def _place(self, sequence: int) -> tuple[int, int, int]:
        """Return the segment of a message, and the message and byte to read from: where reading stopped, if it fits."""
        with self._changed:
            first = max((first for first in self._sizes if first <= sequence), default=None)
        if first is None:
            raise Damaged(f"message {sequence} is not there", where=str(self._folder))
        return self._next if self._next[:2] == (first, sequence) else (first, first, HEADER_BYTES)

    def _warn(self) -> None:
        size = self.size_bytes
        nearly_full = self.full or size > WARN_AT * self._limit_bytes
        if nearly_full and not self._warned:
            log.warning("journal %s: %d of %d bytes used; its messages wait", self._folder, size, self._limit_bytes)
        self._warned = nearly_full


@dataclass(frozen=True, slots=True)
class _Record:
    entry: Entry
    starts_group: bool
    end: int


class _Segment:
    """The newest segment, open for appending."""

    def __init__(self, path: Path, file: BinaryIO, salt: int) -> None:
        self._path, self._file, self._salt = path, file, salt
        self.first = _first(path)
        self.size = os.fstat(file.fileno()).st_size

    @classmethod
    def create(cls, folder: Path, first: int) -> _Segment:
        """Make a segment; it appears under its name with its header whole."""
        path = _path(folder, first)
        draft = path.with_suffix(".new")
        header = HEADER.pack(HEADER_MARK, secrets.randbits(32), first)
        try:
            with draft.open("wb") as file:
                file.write(header + CHECKSUM.pack(zlib.crc32(header)))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            _flush_folder(folder)
        except OSError as error:
            raise Unavailable(str(path), str(error)) from error
        return cls.open(folder, first)

    @classmethod
    def open(cls, folder: Path, first: int) -> _Segment:
        path = _path(folder, first)
        with _refusals(path), ExitStack() as opened:
            file = opened.enter_context(path.open("r+b", buffering=0))
            segment = cls(path, file, _salt(file, path))
            opened.pop_all()
            return segment

    def recover(self) -> int:
        """Cut off what a crash left half written, and return the last sequence.

        Only the last group can be half written, for each is flushed before the next begins. So what does not read
        well is damage where a group follows it.
        """
        last, whole = self.first - 1, HEADER_BYTES
        with _refusals(self._path), self._path.open("rb") as file:
            for record in _records(file, self._salt, HEADER_BYTES):
                if record.entry.sequence != last + 1:
                    break
                last, whole = record.entry.sequence, record.end
            if self._group_follows(file, whole):
                raise Damaged("a message does not read as it was written", where=f"{self._path}, byte {whole}")
        if whole < self.size:
            log.warning("%s: cut off %d bytes after message %d, half written", self._path, self.size - whole, last)
            self._cut(whole)
        return last

    def append(self, sequence: int, messages: Sequence[Message]) -> None:
        group = b"".join(
            _encode(self._salt, Entry(sequence + n, message), starts_group=n == 0) for n, message in enumerate(messages)
        )
        try:
            self._file.seek(self.size)
            written = 0
            while written < len(group):
                written += self._file.write(group[written:]) or 0
            os.fsync(self._file.fileno())
        except OSError as error:
            self._cut(self.size)
            raise Unavailable(str(self._path), str(error)) from error
        self.size += len(group)

    def close(self) -> None:
        self._file.close()

    def _cut(self, size: int) -> None:
        try:
            self._file.truncate(size)
            os.fsync(self._file.fileno())
        except OSError as error:
            raise Damaged(f"cannot be cut back to {size} bytes: {error}", where=str(self._path)) from error
        self.size = size

    def _group_follows(self, file: BinaryIO, whole: int) -> bool:
        file.seek(whole)
        rest = file.read()
        at = rest.find(RECORD_MARK, 1)
        while at >= 0:
            record = next(_records(file, self._salt, whole + at), None)
            if record and record.starts_group:
                return True
            at = rest.find(RECORD_MARK, at + 1)
        return False


def _encode(salt: int, entry: Entry, *, starts_group: bool) -> bytes:
    message = entry.message
    flags = RETAINED * message.retained | REPEATED * message.repeated | STARTS_GROUP * starts_group
    fields = FIELDS.pack(flags, entry.sequence, message.arrived_ms, len(message.topic))
    body = fields + message.topic + message.payload
    body = LENGTH.pack(len(body)) + body
    return RECORD_MARK + CHECKSUM.pack(zlib.crc32(body, salt)) + body


def _records(file: BinaryIO, salt: int, offset: int) -> Iterator[_Record]:
    """Read records up to the first that is not whole."""
    size = os.fstat(file.fileno()).st_size
    file.seek(offset)
    while len(frame := file.read(FRAME_BYTES)) == FRAME_BYTES and frame.startswith(RECORD_MARK):
        (checksum,) = CHECKSUM.unpack_from(frame, len(RECORD_MARK))
        (length,) = LENGTH.unpack_from(frame, len(RECORD_MARK) + CHECKSUM.size)
        body = file.read(min(length, size))
        if len(body) < length or zlib.crc32(body, zlib.crc32(LENGTH.pack(length), salt)) != checksum:
            return
        offset += FRAME_BYTES + length
        yield _decode(body, offset)


def _decode(body: bytes, end: int) -> _Record:
    flags, sequence, arrived_ms, topic_bytes = FIELDS.unpack_from(body)
    payload = FIELDS.size + topic_bytes
    message = Message(
        topic=body[FIELDS.size : payload],
        payload=body[payload:],
        arrived_ms=arrived_ms,
        retained=bool(flags & RETAINED),
        repeated=bool(flags & REPEATED),
    )
    return _Record(Entry(sequence, message), bool(flags & STARTS_GROUP), end)


def _salt(file: BinaryIO, path: Path) -> int:
    """Return the salt of a segment, its header checked."""
    file.seek(0)
    header = file.read(HEADER_BYTES)
    if len(header) == HEADER_BYTES:
        mark, salt, first = HEADER.unpack_from(header)
        intact = CHECKSUM.unpack_from(header, HEADER.size) == (zlib.crc32(header[: HEADER.size]),)
        if intact and mark == HEADER_MARK and first == _first(path):
            return int(salt)
    raise Damaged("no segment of a journal", where=f"{path}, byte 0")


def _path(folder: Path, first: int) -> Path:
    return folder / f"{first:020d}.journal"


def _first(path: Path) -> int:
    try:
        return int(path.stem)
    except ValueError as error:
        raise Damaged("not named as a segment of a journal is", where=str(path)) from error


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Say what it means to the caller that the system refuses a segment or the folder."""
    try:
        yield
    except FileNotFoundError as error:
        raise Damaged("is missing", where=str(path)) from error
    except OSError as error:
        raise Unavailable(str(path), str(error)) from error


def _lock(folder: Path) -> BinaryIO:
    """Hold the folder for this process, as long as the file returned is open."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise BadInput("a file is where the journal's folder should be", where=str(folder)) from error
    with ExitStack() as opened:
        file = opened.enter_context((folder / "lock").open("wb"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Unavailable(str(folder), "another process has this journal open; stop it first") from error
        opened.pop_all()
    return file
