"""InfluxDB as the reading store: writing beside the server's own rate, reading beside its client's data frames."""

from __future__ import annotations

import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from influxdb_client import InfluxDBClient
from influxdb_client.client.warnings import MissingPivotFunction

from benchmarks.judging import SCALE, day_of, names_of
from benchmarks.measuring import Figure
from heatwatch.domain.instants import DAY_MS
from heatwatch.settings import Settings, StoreKind
from heatwatch.stores.influx.connecting import connect, open_readings
from heatwatch.stores.influx.lines import Lines
from heatwatch.stores.influx.readings import CHUNK_ROWS
from heatwatch.stores.influx.schema import READING
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
    """Read one day of all points out of what was written."""
    with closing(open_readings(settings_of(server, "ours"))) as store:
        day_ms = int(store.days()[0][1])
        took_s = []
        for _ in range(3):
            began_s = time.perf_counter()
            rows = len(store.read(None, day_ms, day_ms + DAY_MS))
            took_s.append(time.perf_counter() - began_s)
    ours = rows / statistics.median(took_s)
    what = f"InfluxDB {server.version}.x: a day of {POINTS:,} points, {rows:,} readings, read into columns"
    if server.version != "2":
        yield Figure(what, "readings/s", ours, 300_000, "what InfluxDB 1.6 gave back in the founding design's trial")
        return
    script = (
        f'from(bucket: "ours") |> range(start: {day_ms // 1000}, stop: {(day_ms + DAY_MS) // 1000}) '
        f'|> filter(fn: (r) => r._measurement == "{READING.name}" and r._field == "temperature_c")'
    )
    with InfluxDBClient(server.url, TOKEN, org=ORGANIZATION, timeout=600_000) as client:
        warnings.simplefilter("ignore", MissingPivotFunction)
        began_s = time.perf_counter()
        frames = client.query_api().query_data_frame(script)
        peer = len(frames) / (time.perf_counter() - began_s)
    yield Figure(what, "readings/s", ours, peer, "influxdb-client's `query_data_frame` of the same rows")
