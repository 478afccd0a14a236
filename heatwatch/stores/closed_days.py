"""Days of another store as files, from which long readings are many times as fast.

A file is a copy, and rebuildable: a day is read from the store once, whole, and kept in order of source and time. Rows
are only ever added, so a copy is right exactly while the store holds as many rows of that day as the copy. That is
asked anew for each reading, so that nothing has to be closed: a row that comes years late makes its day's copy anew.
"""

from __future__ import annotations

import fcntl
import io
import json
import logging
import os
import tempfile
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from heatwatch.domain.instants import DAY_MS, HOUR_MS
from heatwatch.stores.ordering import in_order
from heatwatch.stores.readings import (
    Bools,
    Float64,
    Int32,
    Int64,
    ReadingBatch,
    ReadingColumns,
    ReadingStore,
    VitalColumns,
    WholeRows,
    Written,
)

log = logging.getLogger(__name__)

LONG_MS = HOUR_MS
"""What is asked for a shorter time is asked of the store."""
MANY = 500
"""What is asked of fewer sources, by name, is asked of the store, which finds them without reading the others."""
MOST_DAYS = 400
MOST_IN_MEMORY = 2_000_000
"""A day of at most so many rows stays in memory until another day is read: slices of a day come one after the other."""
_DELTA = {"time_ms": "DELTA_BINARY_PACKED", "lag_ms": "DELTA_BINARY_PACKED"}
_REPEATING = ["code", "temp_c", "battery"]
_NAMES = b"heatwatch.sources"


@runtime_checkable
class CountsDays(Protocol):
    """A store that tells of some days without looking at all of them."""

    def days_within(self, start_ms: int | None, end_ms: int | None) -> tuple[Int64, Int64]:
        """Return what `ReadingStore.days` does, of days that touch `[start_ms, end_ms)` (None: unbounded)."""
        ...


@dataclass(frozen=True, slots=True)
class _Day:
    """A day's rows, by source, time and value; `source[code[i]]` measured `temp_c[i]`."""

    source: list[str]
    code: Int32
    time_ms: Int64
    temp_c: Float64
    battery: Float64
    low_battery: Bools
    arrived_ms: Int64

    def __len__(self) -> int:
        return len(self.code)


class ClosedDays:
    """A reading store that gives long readings from copies of the days of another one.

    Long is what is asked of all sources, or of many, for an hour or more. Several processes may share the folder.

    Parameters
    ----------
    store
        Keeps the readings; everything else is passed on to it.
    folder
        Where the copies are; made where there is none. It may be deleted at any time.
    most_days
        So many copies are kept, of the newest days.
    """

    def __init__(self, store: ReadingStore, folder: Path, *, most_days: int = MOST_DAYS) -> None:
        self._store, self._folder, self._most_days = store, folder, most_days
        self._turn = threading.Lock()
        self._last: tuple[int, _Day] | None = None
        _sweep(folder)

    def write(self, batch: ReadingBatch) -> Written:
        """Keep a batch durably and return what became of each row."""
        return self._store.write(batch)

    def read(
        self,
        sources: Sequence[str] | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        *,
        late_most_ms: int | None = None,
        vitals: bool = False,
    ) -> ReadingColumns:
        """Return the rows of `sources` (None: all) measured in `[start_ms, end_ms)` (None: unbounded).

        The same as the store itself gives. Where rows are added meanwhile, each day is of some moment between call and
        return.

        Raises
        ------
        Unavailable
            If the store does not answer.
        """
        if not _is_long(sources, start_ms, end_ms):
            return self._store.read(sources, start_ms, end_ms, late_most_ms=late_most_ms, vitals=vitals)
        wanted = None if sources is None else set(sources)
        days, held = self._held(start_ms, end_ms)
        parts = [
            _part(self._day(day_ms, rows), wanted, start_ms, end_ms, late_most_ms)
            for day_ms, rows in zip(days, held, strict=True)
        ]
        return _together([part for part in parts if len(part)], vitals=vitals)

    def latest(
        self, sources: Sequence[str], start_ms: int, end_ms: int, range_c: tuple[float, float]
    ) -> ReadingColumns:
        """Return the newest valid row of each of `sources` measured in `[start_ms, end_ms)`, where there is one."""
        return self._store.latest(sources, start_ms, end_ms, range_c)

    def whole(self, start_ms: int, end_ms: int, *, by_arrival: bool = False) -> WholeRows:
        """Return the rows measured in `[start_ms, end_ms)` with all that was received, in order of time."""
        return self._store.whole(start_ms, end_ms, by_arrival=by_arrival)

    def days(self) -> tuple[Int64, Int64]:
        """Return the days that hold rows, by their beginning in UTC [ms], and how many rows each holds; in order."""
        return self._store.days()

    def count(self) -> int:
        """Return how many rows are kept; this may look at every row."""
        return self._store.count()

    def empty(self) -> bool:
        """Whether no row is kept."""
        return self._store.empty()

    def ping(self) -> None:
        """Raise `Unavailable` if the store does not answer."""
        self._store.ping()

    def close(self) -> None:
        """Close the store; copies stay."""
        self._last = None
        self._store.close()

    def _held(self, start_ms: int | None, end_ms: int | None) -> tuple[list[int], list[int]]:
        """Return the days that touch a span and hold rows, and how many."""
        narrow = isinstance(self._store, CountsDays)
        day_ms, held = self._store.days_within(start_ms, end_ms) if narrow else self._store.days()  # type: ignore[attr-defined]
        touched = np.ones(len(day_ms), bool)
        if start_ms is not None:
            touched &= day_ms + DAY_MS > start_ms
        if end_ms is not None:
            touched &= day_ms < end_ms
        return day_ms[touched].tolist(), held[touched].tolist()

    def _day(self, day_ms: int, rows: int) -> _Day:
        """Return a day that holds so many rows: from memory, from its copy, or from the store, and then copied."""
        last = self._last
        if last is not None and last[0] == day_ms and len(last[1]) == rows:
            return last[1]
        with self._turn:
            day = self._copied(day_ms, rows)
            if day is None:
                day = _of(self._store.read(None, day_ms, day_ms + DAY_MS, vitals=True))
                self._copy(day_ms, day)
        self._last = (day_ms, day) if rows <= MOST_IN_MEMORY else None
        return day

    def _copied(self, day_ms: int, rows: int) -> _Day | None:
        """Return a day's copy, None where there is none of so many rows, or a damaged one, which is then gone."""
        for path in self._folder.glob(f"{_name(day_ms)}.{rows}.*.parquet"):
            with suppress(OSError):
                day = _read(path)
                if day is not None and len(day) == rows:
                    return day
                log.warning("%s is damaged and is made anew", path)
                path.unlink(missing_ok=True)
        return None

    def _copy(self, day_ms: int, day: _Day) -> None:
        """Keep a day, in the place of an earlier copy of it, and no more days than there may be.

        A copy that cannot be written is none: the next reading asks the store again.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            kept = sorted({of for of, _ in self._copies()} - {day_ms})
            over = max(0, len(kept) + 1 - self._most_days)
            if over and (over > len(kept) or day_ms < kept[over - 1]):
                return
            content = _written(day)
            path = self._folder / f"{_name(day_ms)}.{len(day)}.{zlib.crc32(content):08x}.parquet"
            with _draft(self._folder) as (draft, file):
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                draft.replace(path)
            gone = {day_ms, *kept[:over]}
            for of, other in self._copies():
                if other != path and of in gone:
                    other.unlink(missing_ok=True)
        except OSError as error:
            log.warning("no copy of %s in %s: %s", _name(day_ms), self._folder, error)

    def _copies(self) -> list[tuple[int, Path]]:
        told = [(_day_of(path), path) for path in self._folder.glob("*.parquet")]
        return [(day_ms, path) for day_ms, path in told if day_ms is not None]


def _is_long(sources: Sequence[str] | None, start_ms: int | None, end_ms: int | None) -> bool:
    if sources is not None and len(sources) < MANY:
        return False
    return start_ms is None or end_ms is None or end_ms - start_ms >= LONG_MS


def _part(
    day: _Day, sources: set[str] | None, start_ms: int | None, end_ms: int | None, late_most_ms: int | None
) -> _Day:
    """Return the rows of a day that are asked for."""
    chosen = np.ones(len(day), bool)
    if start_ms is not None:
        chosen &= day.time_ms >= start_ms
    if end_ms is not None:
        chosen &= day.time_ms < end_ms
    if late_most_ms is not None:
        chosen &= day.arrived_ms - day.time_ms <= late_most_ms
    if sources is not None:
        chosen &= np.fromiter((name in sources for name in day.source), bool, len(day.source))[day.code]
    if chosen.all():
        return day
    return _Day(
        day.source,
        day.code[chosen],
        day.time_ms[chosen],
        day.temp_c[chosen],
        day.battery[chosen],
        day.low_battery[chosen],
        day.arrived_ms[chosen],
    )


def _together(parts: Sequence[_Day], *, vitals: bool) -> ReadingColumns:
    """Put days together, in the order in which every store gives rows. What is given is the caller's own."""
    if len(parts) == 1:
        return _alone(parts[0], vitals=vitals)
    source = sorted(set[str]().union(*(part.source for part in parts)))
    place = {name: code for code, name in enumerate(source)}
    codes = [np.array([place[name] for name in part.source], np.int32)[part.code] for part in parts]
    columns: dict[str, Any] = {"code": np.concatenate([np.empty(0, np.int32), *codes])}
    kinds: dict[str, Any] = {"time_ms": np.int64, "temp_c": np.float64}
    if vitals:
        kinds |= {"battery": np.float64, "low_battery": np.bool_, "arrived_ms": np.int64}
    for name, kind in kinds.items():
        columns[name] = np.concatenate([np.empty(0, kind), *(getattr(part, name) for part in parts)])
    return in_order(source, columns)


def _alone(part: _Day, *, vitals: bool) -> ReadingColumns:
    """Return a day's rows, which are in order; names that have none are left out."""
    used = np.bincount(part.code, minlength=len(part.source)) > 0
    code = part.code.copy() if used.all() else (np.cumsum(used, dtype=np.int32) - 1)[part.code]
    source = [name for name, has_rows in zip(part.source, used.tolist(), strict=True) if has_rows]
    told = VitalColumns(part.battery.copy(), part.low_battery.copy(), part.arrived_ms.copy()) if vitals else None
    return ReadingColumns(source, code, part.time_ms.copy(), part.temp_c.copy(), told)


def _of(rows: ReadingColumns) -> _Day:
    told = rows.vitals
    if told is None:
        msg = "a day is read with its vitals"
        raise TypeError(msg)
    vitals = (told.battery, told.low_battery, told.arrived_ms)
    return _Day(list(rows.source), rows.code, rows.time_ms, rows.temp_c, *vitals)


def _written(day: _Day) -> bytes:
    """Return a day as the content of a Parquet file."""
    columns: dict[str, Any] = {
        "code": day.code,
        "time_ms": day.time_ms,
        "temp_c": day.temp_c,
        "battery": day.battery,
        "low_battery": day.low_battery,
        "lag_ms": day.arrived_ms - day.time_ms,
    }
    table = pa.table({name: pa.array(column) for name, column in columns.items()})
    table = table.replace_schema_metadata({_NAMES: json.dumps(day.source).encode()})
    made = io.BytesIO()
    encoding: dict[str, Any] = {"use_dictionary": _REPEATING, "column_encoding": _DELTA}
    pq.write_table(table, made, compression="lz4", **encoding)
    return made.getvalue()


def _read(path: Path) -> _Day | None:
    """Read a copy; None where it is not as it was written."""
    content = path.read_bytes()
    if f"{zlib.crc32(content):08x}" != path.name.split(".")[-2]:
        return None
    try:
        table = pq.read_table(pa.BufferReader(content), use_threads=False)
        source = json.loads((table.schema.metadata or {})[_NAMES])
        columns: dict[str, Any] = {name: table.column(name).to_numpy() for name in table.column_names}
        lag_ms = columns.pop("lag_ms")
        return _Day(source=source, arrived_ms=columns["time_ms"] + lag_ms, **columns)
    except (pa.ArrowException, KeyError, TypeError, ValueError):
        return None


def _name(day_ms: int) -> str:
    return str(np.datetime64(day_ms, "ms").astype("datetime64[D]"))


def _day_of(path: Path) -> int | None:
    try:
        return int(np.datetime64(path.name.split(".")[0], "D").astype("datetime64[ms]").astype(np.int64))
    except ValueError:
        return None


@contextmanager
def _draft(folder: Path) -> Iterator[tuple[Path, io.BufferedWriter]]:
    """Give a file that is held while it is written, by which others know that somebody is at it."""
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=".draft", dir=folder)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield draft, file
    finally:
        draft.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove what was half written by processes that are gone."""
    for draft in folder.glob(".*.draft"):
        with suppress(OSError), draft.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.unlink(missing_ok=True)
