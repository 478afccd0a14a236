"""InfluxDB as the reading store: writing beside the server's own rate, reading beside its client's data frames."""

from __future__ import annotations

import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from influxdb_client import InfluxDBClient
from influxdb_client.client.warnings import MissingPivotFunction

from benchmarks.judging import SCALE, day_of, names_of
from benchmarks.measuring import Figure
from heatwatch.domain.instants import DAY_MS
from heatwatch.settings import Settings, StoreKind
from heatwatch.stores.closed_days import ClosedDays
from heatwatch.stores.influx.connecting import connect, open_readings
from heatwatch.stores.influx.lines import Lines
from heatwatch.stores.influx.readings import CHUNK_ROWS
from heatwatch.stores.influx.schema import READING, SOURCE
from heatwatch.stores.readings import ReadingBatch
from tests.influxdb import ORGANIZATION, TOKEN, Influx1, Influx2, has_influxdb, influxdb1, influxdb2

ROWS = 10_000_000
POINTS, STEP_MS = 10_000, 900_000
PART_ROWS = 100_000
KINDS = {"1": StoreKind.INFLUXDB_1, "2": StoreKind.INFLUXDB_2}


def figures() -> Iterator[Figure]:
    """Measure each version of InfluxDB that is installed."""
    for version, opened in (("1", influxdb1), ("2", influxdb2)):
        if not has_influxdb(version):
            continue
        with tempfile.TemporaryDirectory(prefix="heatwatch-bench-") as folder, opened(Path(folder)) as server:
            yield from _writing(server)
            yield from _reading(server)


def settings_of(server: Influx1 | Influx2, bucket: str) -> Settings:
    """Return settings that name a bucket of a server."""
    token = server.folder / "token"
    token.write_text(f"{TOKEN}\n")
    here = Settings(
        store=KINDS[server.version],
        influx_url=server.url,
        influx_bucket=bucket,
        influx_org=ORGANIZATION,
        influx_timeout_s=300,
    )
    return here.model_copy(update={"influx_token_file": token}) if server.version == "2" else here


def parts_of(rows: int) -> Iterator[ReadingBatch]:
    """Give that many readings of a town as they arrive, in batches."""
    day = day_of(POINTS, step_ms=STEP_MS).as_they_arrive()
    names = np.array(names_of(POINTS), dtype=object)
    for number in range(-(-rows // len(day.point))):
        for begin in range(0, min(len(day.point), rows - number * len(day.point)), PART_ROWS):
            part = slice(begin, begin + PART_ROWS)
            time_ms = day.time_ms[part] + number * DAY_MS
            some = len(time_ms)
            yield ReadingBatch(
                names[day.point[part]].tolist(),
                time_ms,
                np.round(day.temp_c[part] + 0.3 * np.sin(number), 2),
                np.full(some, np.nan),
                np.full(some, np.nan),
                np.full(some, np.nan),
                [""] * some,
                time_ms + 800,
                "bench",
                np.arange(some) + number * len(day.point) + begin,
                np.zeros(some, np.int32),
            )


def _writing(server: Influx1 | Influx2) -> Iterator[Figure]:
    """Write the same rows into two buckets, in turn: through the store, and as text that was made before."""
    rows = int(ROWS * SCALE)
    server.create("ours")
    server.create("raw")
    ours_s, raw_s, written = 0.0, 0.0, 0
    with (
        closing(open_readings(settings_of(server, "ours"))) as store,
        closing(connect(settings_of(server, "raw"))) as raw,
    ):
        for batch in parts_of(rows):
            made, row = Lines(batch), np.arange(len(batch))
            texts = [made.of(row[at : at + CHUNK_ROWS]) for at in range(0, len(row), CHUNK_ROWS)]
            began_s = time.perf_counter()
            for text in texts:
                raw.write(text)
            between_s = time.perf_counter()
            store.write(batch)
            ours_s += time.perf_counter() - between_s
            raw_s += between_s - began_s
            written += len(batch)
        if store.count() != written:
            msg = f"{store.count():,} rows are kept of {written:,}"
            raise RuntimeError(msg)
    server.drop("raw")
    yield Figure(
        f"InfluxDB {server.version}.x: {written / 1e6:.0f} million readings written, each known to be new",
        "readings/s",
        written / ours_s,
        written / raw_s,
        f"the same lines, made before, {CHUNK_ROWS:,} at once",
    )


def _reading(server: Influx1 | Influx2) -> Iterator[Figure]:
    """Read one day of all points out of what was written: from the server, and from the copy of a closed day."""
    with (
        closing(open_readings(settings_of(server, "ours"))) as store,
        tempfile.TemporaryDirectory(prefix="heatwatch-bench-") as folder,
    ):
        day_ms = int(store.days()[0][1])
        rows, ours_s = _timed(lambda: len(store.read(None, day_ms, day_ms + DAY_MS)))
        ClosedDays(store, Path(folder)).read(None, day_ms, day_ms + DAY_MS)
        copy_s = _timed(lambda: len(ClosedDays(store, Path(folder)).read(None, day_ms, day_ms + DAY_MS)))[1]
        peer_s, peer = ours_s, "from the server"
        if isinstance(server, Influx2):
            peer_s, peer = _frames(server, day_ms, rows), "influxdb-client's `query_data_frame` of the same rows"
    what = f"InfluxDB {server.version}.x: a day of {POINTS:,} points, {rows:,} readings, read into columns"
    if isinstance(server, Influx2):
        yield Figure(what, "readings/s", rows / ours_s, rows / peer_s, peer)
    yield Figure(
        f"{what}, from the copy, rows counted by the server first", "readings/s", rows / copy_s, rows / peer_s, peer
    )


def _timed(work: Callable[[], int]) -> tuple[int, float]:
    """Return what some work comes to, and the median of three times [s]."""
    took_s = []
    for _ in range(3):
        began_s = time.perf_counter()
        found = work()
        took_s.append(time.perf_counter() - began_s)
    return found, statistics.median(took_s)


def _frames(server: Influx2, day_ms: int, rows: int) -> float:
    """Return how long the client's data frames take for a day, the faster of two ways to ask [s]."""
    script = (
        f'from(bucket: "ours") |> range(start: {day_ms // 1000}, stop: {(day_ms + DAY_MS) // 1000}) '
        f'|> filter(fn: (r) => r._measurement == "{READING.name}" and r._field == "temperature_c")'
    )
    one_table = f'{script} |> keep(columns: ["_time", "_value", "{SOURCE.name}"]) |> group()'
    took_s = []
    with InfluxDBClient(server.url, TOKEN, org=ORGANIZATION, timeout=600_000) as client:
        warnings.simplefilter("ignore", MissingPivotFunction)
        for text in (script, one_table):
            began_s = time.perf_counter()
            found = len(client.query_api().query_data_frame(text))
            took_s.append(time.perf_counter() - began_s)
            if found != rows:
                msg = f"{found:,} rows were given back of {rows:,}"
                raise RuntimeError(msg)
    return min(took_s)
