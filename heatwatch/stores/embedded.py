"""The reading store of a single process: one DuckDB file, appended in transactions that survive a power cut."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from heatwatch.errors import Damaged, Unavailable
from heatwatch.stores.ordering import in_order
from heatwatch.stores.readings import Bools, Float64, Int64, Outcome, ReadingBatch, ReadingColumns, WholeRows, Written
from heatwatch.stores.settling import settle

TABLE = """
CREATE TABLE IF NOT EXISTS readings (
    source VARCHAR NOT NULL, time_ms BIGINT NOT NULL,
    temp_c DOUBLE NOT NULL, humidity_pct DOUBLE NOT NULL, battery DOUBLE NOT NULL, rssi_dbm DOUBLE NOT NULL,
    flags VARCHAR NOT NULL, arrived_ms BIGINT NOT NULL,
    worker VARCHAR NOT NULL, sequence BIGINT NOT NULL, position INTEGER NOT NULL, conflict BOOLEAN NOT NULL
)"""

# The bounds on time let DuckDB skip every block that was written at another time.
KNOWN = """
SELECT i.row, r.temp_c, r.conflict, r.worker = i.worker AND r.sequence = i.sequence AND r.position = i.position AS born
FROM readings r JOIN incoming i USING (source, time_ms)
WHERE r.time_ms BETWEEN $first_ms AND $last_ms"""

NAMES = "SELECT DISTINCT source FROM readings WHERE time_ms >= $start_ms AND time_ms < $end_ms"

CODED = """
SELECT c.code, r.time_ms, r.temp_c{more} FROM readings r JOIN coded c USING (source)
WHERE r.time_ms >= $start_ms AND r.time_ms < $end_ms"""

VITALS = ", r.battery, contains(',' || r.flags || ',', ',low_battery,') AS low_battery, r.arrived_ms"

IN_TIME = " AND r.arrived_ms - r.time_ms <= $late_most_ms"

DAYS = """
SELECT day * 86400000 AS day_ms, count(*) AS held
FROM (SELECT time_ms // 86400000 - CASE WHEN time_ms % 86400000 < 0 THEN 1 ELSE 0 END AS day FROM readings)
GROUP BY day ORDER BY day"""

# Two numbers of one source and time contest each other; only rows that are marked as conflicts are looked at again.
LATEST = """
WITH contested AS (
    SELECT source, time_ms FROM readings SEMI JOIN (
        SELECT source, time_ms FROM readings WHERE conflict AND time_ms >= $start_ms AND time_ms < $end_ms
    ) USING (source, time_ms)
    WHERE time_ms >= $start_ms AND time_ms < $end_ms AND isfinite(temp_c)
    GROUP BY source, time_ms HAVING count(*) > 1)
SELECT c.code, max(r.time_ms) AS time_ms, arg_max(r.temp_c, r.time_ms) AS temp_c
FROM readings r JOIN coded c USING (source) ANTI JOIN contested x ON r.source = x.source AND r.time_ms = x.time_ms
WHERE r.time_ms >= $start_ms AND r.time_ms < $end_ms AND r.temp_c BETWEEN $low_c AND $high_c
GROUP BY c.code"""

WHOLE = """
SELECT source, time_ms, arrived_ms, temp_c, humidity_pct, battery, rssi_dbm, flags, worker, sequence, position, conflict
FROM readings
WHERE {moment} >= $start_ms AND {moment} < $end_ms ORDER BY {moment}, worker, sequence, position"""

FAR_MS = np.iinfo(np.int64)
MEMORY = "384MB"
"""What DuckDB keeps of the file in memory; its own measure, most of the machine's, would hold a whole season."""


class EmbeddedReadings:
    """Readings in one DuckDB file, which one process holds open at a time.

    Parameters
    ----------
    path
        The file; made, with its folder, where there is none.
    read_only
        Whether the file, which must be there, is only read.

    Raises
    ------
    Unavailable
        If another process holds the file, or the disk refuses it.
    Damaged
        If the file is no database of ours.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._path, self._read_only = path, read_only
        self._writing, self._reopening = threading.Lock(), threading.Lock()
        self._connection, self._closed = _open(path, read_only=read_only), False

    def write(self, batch: ReadingBatch) -> Written:
        """Keep a batch durably and return an `Outcome` a row; all of it is kept or none, and none is refused.

        Whether a row is known is asked of its time's blocks only, so that the cost does not grow with the store.
        """
        if not len(batch):
            return Written(np.empty(0, np.int8))
        with self._writing, self._transaction() as cursor:
            incoming = _table(batch)
            cursor.register("incoming", incoming)
            span = {"first_ms": int(batch.time_ms.min()), "last_ms": int(batch.time_ms.max())}
            outcome, born = settle(batch, cursor.execute(KNOWN, span).fetchnumpy())
            new = (outcome != Outcome.DUPLICATE) & ~born
            if new.any():
                _insert(cursor, incoming, new, outcome == Outcome.CONFLICT)
        return Written(outcome)

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

        Rows that arrived more than `late_most_ms` after they were measured (None: none) are left out. Rows of one
        source and time, which are conflicts, come in the order of their values, NaN last. With `vitals` the rows bear
        battery, flag and arrival as well.
        """
        span = {
            "start_ms": int(FAR_MS.min) if start_ms is None else start_ms,
            "end_ms": int(FAR_MS.max) if end_ms is None else end_ms,
        }
        with self._transaction() as cursor:
            names = cursor.execute(NAMES, span).fetchall() if sources is None else [(name,) for name in sources]
            source = sorted({name for (name,) in names})
            cursor.register(
                "coded", pa.table({"source": _texts(source), "code": pa.array(np.arange(len(source), dtype=np.int32))})
            )
            coded = CODED.format(more=VITALS if vitals else "")
            if late_most_ms is None:
                return in_order(source, cursor.execute(coded, span).fetchnumpy())
            bound = {**span, "late_most_ms": late_most_ms}
            return in_order(source, cursor.execute(coded + IN_TIME, bound).fetchnumpy())

    def latest(
        self, sources: Sequence[str], start_ms: int, end_ms: int, range_c: tuple[float, float]
    ) -> ReadingColumns:
        """Return the newest valid row of each of `sources` measured in `[start_ms, end_ms)`, where there is one.

        Valid is a number within `range_c` [degC], both ends included, that is the only number of its source and time.
        """
        low_c, high_c = range_c
        asked = {"start_ms": start_ms, "end_ms": end_ms, "low_c": low_c, "high_c": high_c}
        source = sorted(set(sources))
        with self._transaction() as cursor:
            cursor.register(
                "coded", pa.table({"source": _texts(source), "code": pa.array(np.arange(len(source), dtype=np.int32))})
            )
            return in_order(source, cursor.execute(LATEST, asked).fetchnumpy())

    def whole(self, start_ms: int, end_ms: int, *, by_arrival: bool = False) -> WholeRows:
        """Return the rows measured in `[start_ms, end_ms)` with all that was received, in order of time.

        Rows of one time come in the order in which they were received. With `by_arrival` it is the moments of arrival
        that lie in the span, and rows come in the order of these.
        """
        query = WHOLE.format(moment="arrived_ms" if by_arrival else "time_ms")
        with self._transaction() as cursor:
            found: dict[str, Any] = cursor.execute(query, {"start_ms": start_ms, "end_ms": end_ms}).fetchnumpy()
        code, names = pd.factorize(np.asarray(found.pop("source"), dtype=object), sort=True)
        texts = {name: np.asarray(found.pop(name), dtype=object).tolist() for name in ("flags", "worker")}
        return WholeRows(source=names.tolist(), code=code.astype(np.int32), **texts, **found)

    def days(self) -> tuple[Int64, Int64]:
        """Return the days that hold rows, by their beginning in UTC [ms], and how many rows each holds; in order."""
        with self._transaction() as cursor:
            found: dict[str, Any] = cursor.execute(DAYS).fetchnumpy()
        return found["day_ms"], found["held"]

    def count(self) -> int:
        """Return how many rows are kept."""
        with self._transaction() as cursor:
            ((rows,),) = cursor.execute("SELECT count(*) FROM readings").fetchall()
        return int(rows)

    def empty(self) -> bool:
        """Whether no row is kept."""
        with self._transaction() as cursor:
            return not cursor.execute("SELECT 1 FROM readings LIMIT 1").fetchall()

    def ping(self) -> None:
        """Raise `Unavailable` if the store does not answer."""
        with self._transaction() as cursor:
            cursor.execute("SELECT 1")

    def close(self) -> None:
        """Release the file; what was written stays."""
        with self._reopening:
            self._closed = True
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give this thread a cursor in one transaction: all of it is kept, or none."""
        connection = self._connection
        try:
            with connection.cursor() as cursor:
                cursor.begin()
                yield cursor
                cursor.commit()
        except duckdb.Error as error:
            if isinstance(error, duckdb.FatalException | duckdb.ConnectionException):
                self._reopen(connection)
            raise Unavailable(str(self._path), str(error)) from error

    def _reopen(self, broken: duckdb.DuckDBPyConnection) -> None:
        """Open the file again: after a fatal error, as from a full disk, DuckDB refuses everything until then.

        Where that is refused too, the next transaction finds the connection closed and tries again.
        """
        with self._reopening:
            if self._connection is not broken or self._closed:
                return
            broken.close()
            try:
                self._connection = _open(self._path, read_only=self._read_only)
            except (Damaged, OSError) as error:
                raise Unavailable(str(self._path), f"cannot be opened again: {error}") from error


def _open(path: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    if not read_only:
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection = duckdb.connect(path, read_only=read_only, config={"memory_limit": MEMORY})
        if not read_only:
            connection.execute(TABLE)
    except duckdb.IOException as error:
        raise _refusal(path, str(error)) from error
    except duckdb.Error as error:
        raise Damaged(str(error), where=str(path)) from error
    return connection


def _refusal(path: Path, why: str) -> Unavailable | Damaged:
    if "lock" in why:
        return Unavailable(str(path), "another process holds it; ask the running server through its API, or stop it")
    if "not a valid DuckDB database" in why:
        return Damaged("no database of readings", where=str(path))
    return Unavailable(str(path), why)


def _table(batch: ReadingBatch) -> pa.Table:
    """Return the batch as a table with a row number. Here every measured value becomes a 64-bit float."""
    return pa.table(
        {
            "row": pa.array(np.arange(len(batch))),
            "source": _texts(batch.source),
            "time_ms": pa.array(np.asarray(batch.time_ms, np.int64)),
            "temp_c": _floats(batch.temp_c),
            "humidity_pct": _floats(batch.humidity_pct),
            "battery": _floats(batch.battery),
            "rssi_dbm": _floats(batch.rssi_dbm),
            "flags": _texts(batch.flags),
            "arrived_ms": pa.array(np.asarray(batch.arrived_ms, np.int64)),
            "worker": pa.repeat(batch.worker, len(batch)),
            "sequence": pa.array(np.asarray(batch.sequence, np.int64)),
            "position": pa.array(np.asarray(batch.position, np.int32)),
        }
    )


def _floats(values: Float64) -> pa.Array[Any]:
    return pa.array(np.asarray(values, np.float64))


def _texts(values: Sequence[str]) -> pa.Array[Any]:
    return pa.array(values, pa.string())


def _insert(cursor: duckdb.DuckDBPyConnection, incoming: pa.Table, new: Bools, conflict: Bools) -> None:
    rows = incoming.append_column("conflict", pa.array(conflict)).drop_columns(["row"]).filter(pa.array(new))
    cursor.register("fresh", rows)
    cursor.execute("INSERT INTO readings BY NAME SELECT * FROM fresh")
