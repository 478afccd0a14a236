"""Cold spells: the compiled pass against pandas, which answers a smaller question."""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from analytics import machine
from analytics.carry import carry_points
from analytics.rows import by_point
from analytics.timeline import lay_out
from benchmarks.measuring import Figure, rates
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS
from heatwatch.domain.register import Register
from heatwatch.files.rules_file import parse_standard, rules_text, time_zone

POINTS = 100_000
STEP_MS = 15 * MINUTE_MS
SAMPLE = 100
_START_MS = 1_768_176_000_000
_MINIMUM_C, _TARGET_C = 16.0, 18.0
_HOLD_MS = 2 * HOUR_MS


def figures() -> Iterator[Figure]:
    """Measure."""
    zone = time_zone("Asia/Shanghai")
    code, time_ms, temp_c = _day(POINTS)
    work = _Kernel(code, time_ms, temp_c, zone)
    work.run()
    sample = len(time_ms) // SAMPLE
    frame = pd.DataFrame({"point": code[:sample], "time_ms": time_ms[:sample], "temp_c": temp_c[:sample]})
    found = rates({"ours": work.run, "pandas": lambda: _by_groups(frame)})
    note = f"on {POINTS // SAMPLE:,} points, assumed to grow with the rows; runs of cold readings only"
    name = f"readings judged for cold spells, {POINTS:,} points, a day at 15 minutes, sorted"
    yield Figure(name, "readings/s", found["ours"], found["pandas"], f"pandas, `groupby` over whole columns {note}")


class _Kernel:
    """The pass over all points, with everything around it made beforehand."""

    def __init__(self, code: np.ndarray, time_ms: np.ndarray, temp_c: np.ndarray, zone: ZoneInfo) -> None:
        rules, text = rules_text(None)
        points = [f"p{number:06}" for number in range(int(code[-1]) + 1)]
        span = (int(time_ms.min()), int(time_ms.max()))
        self._timeline = lay_out(Register.implied_by(points), parse_standard(text, where=rules), zone, span)
        self._rows = by_point(code.astype(np.int32), time_ms, temp_c, len(points))
        self._points = np.arange(len(points))

    def run(self) -> int:
        """Judge everything once; return how many readings that were."""
        state, counts = machine.fresh_state(self._timeline), machine.fresh_counts(self._timeline)
        carry_points(self._timeline, state, counts, self._points, self._rows)
        return len(self._rows.time_ms)


def _day(points: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return codes, times and temperatures of a day, by point and time; one room in fifty turns cold."""
    each = DAY_MS // STEP_MS
    code = np.repeat(np.arange(points), each)
    time_ms = np.tile(_START_MS + STEP_MS * np.arange(each), points)
    rng = np.random.default_rng(1)
    room_c = rng.normal(20.5, 0.8, points) - np.where(rng.random(points) < 1 / 50, 5.0, 0.0)
    swing_c = 0.8 * np.sin(2 * np.pi * np.arange(each) / each)
    return code, time_ms, np.round((room_c[:, None] + swing_c[None, :]).ravel(), 2)


def _by_groups(frame: pd.DataFrame) -> int:
    """Find start, end, hours and lowest temperature of each run of cold readings that lasts an hour, by columns."""
    local_h = (frame["time_ms"] + 8 * HOUR_MS) // HOUR_MS % 24
    minimum_c = np.where((local_h >= 6) & (local_h < 21), _TARGET_C, _MINIMUM_C)  # noqa: PLR2004 - R1's hours
    cold = frame["temp_c"] < minimum_c
    held_ms = frame.groupby("point")["time_ms"].shift(-1) - frame["time_ms"]
    begins = cold & ~cold.groupby(frame["point"]).shift(1, fill_value=False)
    rows = frame.assign(run=begins.cumsum(), held_ms=held_ms.where(held_ms <= _HOLD_MS, 0.0))[cold]
    runs = rows.groupby(["point", "run"]).agg(
        start=("time_ms", "first"), end=("time_ms", "last"), held_ms=("held_ms", "sum"), low_c=("temp_c", "min")
    )
    assert (runs["held_ms"] >= HOUR_MS).any()  # noqa: S101 - that it does what it is measured for
    return len(frame)
