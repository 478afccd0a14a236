"""The live judge at a million points: how soon after a commit it has judged, and how much of a core that takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from analytics.found import changed_subjects, findings_of
from analytics.live import LiveJudge
from benchmarks.judging import SCALE, START_MS, ZONE, register_of
from benchmarks.measuring import Figure
from heatwatch.files.rules_file import default_standard

POINTS = max(int(1_000_000 * SCALE), 1_000)
INTERVAL_S = 300
WARM_UP = 29
BEFORE_S, SECONDS = 15, 30
"""The window begins so long before half past an hour, when all buildings are carried on and all rooms compared."""
SAVED = 80
"""How many blocks are saved after each commit."""
STEP_S = 900
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
    phase_s = np.arange(POINTS) % INTERVAL_S
    every = np.arange(POINTS, dtype=np.int32)

    def feed(who: NDArray[np.int32], time_ms: NDArray[np.int64], second: int = 0) -> None:
        live.feed(who, time_ms, np.round(room_c[who] + rng.normal(0, 0.05, len(who)), 2), second)

    for number in range(WARM_UP):
        at_ms = START_MS + number * INTERVAL_S * 1000
        feed(every, at_ms + phase_s * 1000)
        live.found(at_ms)
    last_ms = START_MS + WARM_UP * INTERVAL_S * 1000
    heard = every[phase_s < INTERVAL_S - BEFORE_S]
    feed(heard, last_ms + phase_s[heard] * 1000)
    live.save()
    began_ms = last_ms + (INTERVAL_S - BEFORE_S) * 1000
    before = live.found(began_ms)
    waits_s, used_s = list[float](), list[float]()
    for second in range(SECONDS):
        now_ms = began_ms + second * 1000
        who = every[(INTERVAL_S - BEFORE_S + second) % INTERVAL_S :: INTERVAL_S]
        began, cpu = time.perf_counter(), time.process_time()
        feed(who, np.full(len(who), now_ms), second)
        found = live.found(now_ms + 1000)
        list(findings_of(live.timeline, found, changed_subjects(live.timeline, before, found)))
        live.save(second, SAVED)
        waits_s.append(time.perf_counter() - began)
        used_s.append(time.process_time() - cpu)
        before = found
    name = f"live, {POINTS:,} points at 5 minutes, judged and some of it saved once a second"
    yield Figure(f"{name}: the longest wait", "s", max(waits_s), BOUND_S, "the bound", less_is_better=True)
    # A step of the buildings comes once in 15 minutes, not once in half a minute.
    usual_s, step_s = statistics.median(used_s), max(used_s)
    share = usual_s + (step_s - usual_s) / STEP_S
    note = f"{usual_s:.3g} s of CPU in a usual second, {step_s:.3g} s when all buildings are carried on"
    yield Figure(
        f"{name}: share of a core", "of a core", share, BOUND_SHARE, "the bound", less_is_better=True, note=note
    )
