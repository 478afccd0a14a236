"""A season from the embedded store: ten thousand points, 180 days at ten minutes, judged slice by slice.

`python -m benchmarks.seasons STORE` judges a store that was made, and prints time, CPU time and memory: a process of
its own, so that its memory is known.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from analytics.season import judge_season
from benchmarks.judging import SCALE, ZONE, day_of, names_of, register_of
from benchmarks.measuring import Figure
from heatwatch.domain.instants import DAY_MS, MINUTE_MS
from heatwatch.files.rules_file import default_standard
from heatwatch.stores.embedded import EmbeddedReadings
from heatwatch.stores.readings import ReadingBatch

POINTS = 10_000
DAYS = max(int(180 * SCALE), 2)
STEP_MS = 10 * MINUTE_MS
AT_ONCE = 250_000
BOUND_S, BOUND_MB = 30.0, 1024.0


def figures() -> Iterator[Figure]:
    """Measure."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "readings.duckdb"
        rows = fill(path)
        took = json.loads(
            subprocess.run(  # noqa: S603 - this very module
                [sys.executable, "-m", "benchmarks.seasons", str(path)], check=True, capture_output=True, text=True
            ).stdout
        )
    what = f"a season of {rows / 1e6:.0f} million readings from the embedded store, {POINTS:,} points, {DAYS} days"
    bound_s = BOUND_S * rows / 259_200_000
    yield Figure(
        f"{what}, judged for everything: time",
        "s",
        took["wall_s"],
        bound_s,
        f"the bound; {took['cpu_s'] / took['wall_s']:.2f} cores busy",
        less_is_better=True,
    )
    yield Figure(
        f"{what}: the process at its largest", "MB", took["rss_mb"], BOUND_MB, "the bound", less_is_better=True
    )


def fill(path: Path) -> int:
    """Make a store of the season, written in order of arrival as ingest does; return how many rows it holds."""
    day = day_of(POINTS, step_ms=STEP_MS).as_they_arrive()
    names = np.array(names_of(POINTS), dtype=object)
    store, sequence = EmbeddedReadings(path), 0
    for number in range(DAYS):
        for begin in range(0, len(day.point), AT_ONCE):
            part = slice(begin, begin + AT_ONCE)
            time_ms = day.time_ms[part] + number * DAY_MS
            some = len(time_ms)
            # A smooth slow swing, so that no day is the copy of another.
            temp_c = np.round(day.temp_c[part] + 0.3 * np.sin(number), 2)
            store.write(
                ReadingBatch(
                    names[day.point[part]].tolist(),
                    time_ms,
                    temp_c,
                    np.full(some, 40.0),
                    np.full(some, 90.0),
                    np.full(some, -95.0),
                    [""] * some,
                    time_ms + 800,
                    "bench",
                    np.full(some, sequence),
                    np.arange(some, dtype=np.int32),
                )
            )
            sequence += 1
    rows = store.count()
    store.close()
    return rows


def main(path: Path) -> None:
    """Judge a store; print what that took."""
    store = EmbeddedReadings(path, read_only=True)
    register = register_of(POINTS, STEP_MS)
    began_s, used_s = time.perf_counter(), time.process_time()
    judge_season(store, register, default_standard(), ZONE)
    took = {
        "wall_s": time.perf_counter() - began_s,
        "cpu_s": time.process_time() - used_s,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(took))  # noqa: T201 - what the other process reads


if __name__ == "__main__":
    main(Path(sys.argv[1]))
