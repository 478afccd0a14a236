"""Batches of readings to write, and Grafana's part in a query."""

from __future__ import annotations

import math
import re
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


def as_grafana_asks(query: str, first_ms: int, last_ms: int, chosen: Sequence[str]) -> str:
    """Fill in what Grafana does before it sends InfluxQL: the time range, and the chosen values as a regex."""
    escaped = [re.sub(r"[\\^$*+?.()|\[\]{}/]", r"\\\g<0>", value) for value in chosen]
    regex = escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"
    filled = query.replace("$timeFilter", f"time >= {first_ms}ms and time <= {last_ms}ms")
    return filled.replace("${source:regex}", regex)
