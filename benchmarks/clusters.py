"""From what size a cluster pays: one process against Dask's workers on this machine, and what follows for others."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial

from distributed import Client, LocalCluster

from analytics.cluster import judge_on_dask
from analytics.judge import judge
from benchmarks.judging import SCALE, ZONE, day_of, names_of, register_of
from benchmarks.measuring import Figure
from heatwatch.files.rules_file import default_standard

SIZES = tuple(max(int(points * SCALE), 200) for points in (3_500, 14_000, 56_000))
"""Points of a day at 5 minutes: some 1, 4 and 16 million readings."""


def figures() -> Iterator[Figure]:
    """Measure; starting the workers is in the note, for a cluster that stands has them."""
    began_s = time.perf_counter()
    workers = os.cpu_count() or 1
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        started_s = time.perf_counter() - began_s
        for points in SIZES:
            asked = (day_of(points).readings(names_of(points)), register_of(points), default_standard(), ZONE)
            here_s = _best(partial(judge, *asked))
            there_s = _best(partial(judge_on_dask, *asked, scheduler=cluster.scheduler_address))
            name = f"{len(asked[0]) / 1e6:.2g} million readings judged on {workers} workers of Dask on this machine"
            note = f"one process; the workers took {started_s:.1f} s to start"
            yield Figure(name, "s", there_s, here_s, note, less_is_better=True)


def _best(work: Callable[[], object]) -> float:
    """Return the seconds of the better of two runs: the first also compiles."""
    took = list[float]()
    for _ in range(2):
        began_s = time.perf_counter()
        work()
        took.append(time.perf_counter() - began_s)
    return min(took)
