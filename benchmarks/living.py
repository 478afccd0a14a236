"""The live judge at a million points: how soon after a commit it has judged, and how much of a core that takes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from analytics.found import changed_subjects, findings_of
from analytics.live import LiveJudge
from benchmarks.judging import SCALE, START_MS, ZONE, register_of
from benchmarks.measuring import Figure
from heatwatch.domain.instants import MINUTE_MS
from heatwatch.files.rules_file import default_standard

POINTS = max(int(1_000_000 * SCALE), 1_000)
INTERVAL_S = 300
WARM_UP = 24
SECONDS = 30
BOUND_S, BOUND_SHARE = 1.0, 0.25


class _Nothing:
    """The history of a judge to which nothing comes late."""

    def rows(self, points: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]:
        raise AssertionError(points)

    def signs(self, points: Sequence[str]) -> None:
        """Nothing is said of batteries and clocks."""


def figures() -> Iterator[Figure]:
    """Measure."""
    rng = np.random.default_rng(1)
    live = LiveJudge(register_of(POINTS), default_standard(), ZONE, _Nothing())
    room_c = rng.normal(20.5, 1.0, POINTS) - np.where(rng.random(POINTS) < 0.02, 5.0, 0.0)  # noqa: PLR2004
    phase_ms = np.arange(POINTS) % INTERVAL_S * 1000
    every = np.arange(POINTS, dtype=np.int32)
    for number in range(WARM_UP):
        at = START_MS + number * 5 * MINUTE_MS
        live.feed(every, at + phase_ms, np.round(room_c + rng.normal(0, 0.05, POINTS), 2))
        live.found(at + 5 * MINUTE_MS)
    live.save()
    began_ms = START_MS + WARM_UP * 5 * MINUTE_MS
    before = live.found(began_ms)
    waits_s, used_s = list[float](), 0.0
    for second in range(SECONDS):
        who = every[second % INTERVAL_S :: INTERVAL_S]
        now_ms = began_ms + second * 1000
        values = np.round(room_c[who] + rng.normal(0, 0.05, len(who)), 2)
        began, cpu = time.perf_counter(), time.process_time()
        live.feed(who, np.full(len(who), now_ms), values)
        found = live.found(now_ms + 1000)
        list(findings_of(live.timeline, found, changed_subjects(live.timeline, before, found)))
        waits_s.append(time.perf_counter() - began)
        used_s += time.process_time() - cpu
        before = found
    name = f"live, {POINTS:,} points at 5 minutes, judged once a second"
    yield Figure(f"{name}: the longest wait", "s", max(waits_s), BOUND_S, "the bound", less_is_better=True)
    yield Figure(
        f"{name}: share of a core", "of a core", used_s / SECONDS, BOUND_SHARE, "the bound", less_is_better=True
    )
