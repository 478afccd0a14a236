"""The table of sensor faults: one dtype for every kind, and what each says in words."""

from __future__ import annotations

import numpy as np

KINDS = ("out_of_range", "spike", "stuck", "drift", "moved", "low_battery", "clock")
"""`kind` of the table is an index into this."""
OUT_OF_RANGE, SPIKE, STUCK, DRIFT, MOVED, LOW_BATTERY, CLOCK = range(len(KINDS))

OTHERS = (DRIFT, MOVED, CLOCK)
"""Kinds that a point's own temperatures do not show: its neighbours do, and its battery and clock."""
UNTRUSTED = (STUCK, *OTHERS)
"""While one of these lasts, no reading of the point feeds a cold spell. Out-of-range rows and spikes feed none either;
readings between them do."""

FAULT = np.dtype(
    [
        ("point", np.int32),
        ("kind", np.int8),
        ("open", np.bool_),
        ("start", np.int64),
        ("end", np.int64),
        ("count", np.int64),
        ("a", np.float64),
        ("b", np.float64),
    ]
)
"""A sensor fault; instants in ms, `end` `NEVER` while it is open, `count` rows.

`a` and `b`: lowest and highest [degC] of `out_of_range` and `spike`; value [degC] as sent of `stuck`; slope [K/day] and
deviation by now [K] of `drift`; step [K] of `moved`; level and days left (NaN: unknown) of `low_battery`; seconds by
which a `clock` is off."""


def detail_of(kind: int, count: int, a: float, b: float) -> str:
    """Say what a fault is, as its file has it.

    >>> detail_of(OUT_OF_RANGE, 3, -127.0, 85.0)
    'n=3 min=-127.0 max=85.0'
    >>> detail_of(LOW_BATTERY, 40, 12.0, float("nan"))
    'level=12.0'
    """
    if kind in (OUT_OF_RANGE, SPIKE):
        return f"n={count} min={a:.1f} max={b:.1f}"
    if kind == STUCK:
        return f"value={a:.2f}"
    if kind == DRIFT:
        return f"slope={a:+.2f}K/d off={b:+.1f}K"
    if kind == MOVED:
        return f"step={a:+.1f}K"
    if kind == LOW_BATTERY:
        return f"level={a:.1f}" + ("" if np.isnan(b) else f" days_left={b:.0f}")
    return f"n={count} off={a:+.0f}s"
