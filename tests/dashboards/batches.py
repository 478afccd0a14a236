"""Batches of readings to write."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from heatwatch.stores.readings import ReadingBatch

Row = tuple[str, int, float]
ABSENT = math.nan


def batch(rows: Sequence[Row], humidity_pct: float = ABSENT, battery: float = ABSENT) -> ReadingBatch:
    """Return rows of source, time [ms] and temperature [degC] as a batch."""
    count = len(rows)
    return ReadingBatch(
        source=[source for source, _, _ in rows],
        time_ms=np.array([time_ms for _, time_ms, _ in rows], np.int64),
        temp_c=np.array([temp_c for _, _, temp_c in rows], np.float64),
        humidity_pct=np.full(count, humidity_pct),
        battery=np.full(count, battery),
        rssi_dbm=np.full(count, ABSENT),
        flags=[""] * count,
        arrived_ms=np.zeros(count, np.int64),
        worker="w1",
        sequence=np.arange(count, dtype=np.int64),
        position=np.zeros(count, np.int32),
    )
