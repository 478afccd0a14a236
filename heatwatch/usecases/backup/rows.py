"""Every reading of a store as a Parquet file a day, and back: from any store to any other, outcomes and all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from heatwatch.domain.instants import DAY_MS
from heatwatch.errors import Damaged
from heatwatch.stores.readings import Outcome, ReadingStore, WholeRows
from heatwatch.usecases.backup.archive import Archive, Writer

SLICE_ROWS = 200_000
"""About so many rows are held in memory at once."""
MOST_ROWS = 1 << 20
"""As many rows fit into one part of a Parquet file, and no row may be in another part than one that it contests."""
_TEXT = pa.dictionary(pa.int32(), pa.string())
_SCHEMA = pa.schema(
    [
        ("source", _TEXT),
        ("time_ms", pa.int64()),
        ("arrived_ms", pa.int64()),
        ("temp_c", pa.float64()),
        ("humidity_pct", pa.float64()),
        ("battery", pa.float64()),
        ("rssi_dbm", pa.float64()),
        ("flags", _TEXT),
        ("worker", _TEXT),
        ("sequence", pa.int64()),
        ("position", pa.int32()),
        ("conflict", pa.bool_()),
    ]
)
_NUMBERS = tuple(field.name for field in _SCHEMA if field.type != _TEXT)


def day_name(day_ms: int) -> str:
    """Return a day as its file is named.

    >>> day_name(1764028800000)
    '2025-11-25'
    """
    return str(np.datetime64(day_ms, "ms").astype("datetime64[D]"))


def save_readings(
    store: ReadingStore, ends: Mapping[str, int], writer: Writer, tell: Callable[[str], None]
) -> tuple[dict[str, int], int]:
    """Write every reading but those that came later.

    Parameters
    ----------
    ends
        The last message of each worker's journal that the backup has; a worker that is not named has no end.
    tell
        Called with a line for each day that is written.

    Returns
    -------
    tuple
        How many rows of each day were written, and how many came later and were left out.
    """
    kept, later = dict[str, int](), 0
    for day_ms, held in zip(*(column.tolist() for column in store.days()), strict=True):
        day, count = day_name(day_ms), 0
        with (
            writer.file(f"readings/{day}.parquet") as path,
            pq.ParquetWriter(path, _SCHEMA, compression="zstd") as file,
        ):
            for rows in _slices(store, day_ms, day_ms + DAY_MS, held):
                known = _known(rows, ends)
                later += len(rows) - int(known.sum())
                part = _table(rows).filter(pa.array(known))
                if len(part):
                    file.write_table(part, row_group_size=len(part))
                    count += len(part)
        kept[day] = count
        tell(f"readings of {day}: {count:,}")
    return {day: count for day, count in kept.items() if count}, later


def load_readings(store: ReadingStore, archive: Archive, tell: Callable[[str], None]) -> None:
    """Write every reading of a backup to an empty store.

    Raises
    ------
    Damaged
        If the store does not take each of them as it was, or holds others.
    Unavailable
        If the store does not answer.
    """
    for name in archive.names("readings"):
        with archive.open(name) as opened:
            file = pq.ParquetFile(opened)
            for part in range(file.num_row_groups):
                _write(store, _whole(file.read_row_group(part)), archive.where_is(name))
        tell(f"{name}: {file.metadata.num_rows:,}")
    days, held = (column.tolist() for column in store.days())
    found = {day_name(day): rows for day, rows in zip(days, held, strict=True)}
    if found != archive.manifest["readings"]:
        told = archive.manifest["readings"]
        day = min(day for day in found.keys() | told.keys() if found.get(day) != told.get(day))
        raise Damaged(
            f"{found.get(day, 0)} readings of {day} are there, not {told.get(day, 0)}", where="restored store"
        )


def _slices(store: ReadingStore, start_ms: int, end_ms: int, held: int) -> Iterator[WholeRows]:
    """Give the rows of a span, some at a time."""
    count = max(1, -(-held // SLICE_ROWS))
    bounds = [start_ms + (end_ms - start_ms) * n // count for n in range(count + 1)]
    for first_ms, next_ms in pairwise(bounds):
        rows = store.whole(first_ms, next_ms)
        if len(rows) > MOST_ROWS and next_ms - first_ms > 1:
            yield from _slices(store, first_ms, next_ms, 2 * max(SLICE_ROWS, len(rows) // 2))
        else:
            yield rows


def _known(rows: WholeRows, ends: Mapping[str, int]) -> NDArray[np.bool_]:
    """Mark the rows whose message the backup has, as counted or in a journal."""
    far = np.iinfo(np.int64).max
    last = {worker: ends.get(worker, far) for worker in set(rows.worker)}
    known: NDArray[np.bool_] = rows.sequence <= np.fromiter((last[one] for one in rows.worker), np.int64, len(rows))
    return known


def _table(rows: WholeRows) -> pa.Table:
    columns: dict[str, Any] = {name: pa.array(getattr(rows, name)) for name in _NUMBERS}
    code: Any = pa.array(rows.code)
    columns["source"] = pa.DictionaryArray.from_arrays(code, pa.array(rows.source, pa.string()))
    for name in ("flags", "worker"):
        columns[name] = pa.array(getattr(rows, name), pa.string()).dictionary_encode()
    return pa.table([columns[name] for name in _SCHEMA.names], schema=_SCHEMA)


def _whole(part: pa.Table) -> WholeRows:
    columns: dict[str, Any] = {name: _one_piece(part.column(name)) for name in part.column_names}
    names, code = _coded(columns["source"])
    texts: dict[str, Any] = {name: _texts(*_coded(columns[name])) for name in ("flags", "worker")}
    numbers: dict[str, Any] = {name: columns[name].to_numpy(zero_copy_only=False) for name in _NUMBERS}
    return WholeRows(source=names, code=code, **texts, **numbers)


def _one_piece(column: Any) -> Any:
    joined = column.combine_chunks()
    return joined.unify_dictionaries().chunk(0) if isinstance(joined, pa.ChunkedArray) else joined


def _coded(column: Any) -> tuple[list[str], NDArray[np.int32]]:
    return column.dictionary.to_pylist(), column.indices.to_numpy(zero_copy_only=False).astype(np.int32)


def _texts(names: list[str], code: NDArray[np.int32]) -> list[str]:
    found: list[str] = np.asarray(names, dtype=object)[code].tolist()
    return found


def _write(store: ReadingStore, rows: WholeRows, where: str) -> None:
    for batch in rows.batches():
        written = store.write(batch)
        if written.refused:
            row, why = min(written.refused.items())
            raise Damaged(f"the store refuses the reading of {batch.source[row]} in it: {why}", where=where)
        if (written.outcome == Outcome.DUPLICATE).any():
            raise Damaged("has a reading twice", where=where)
