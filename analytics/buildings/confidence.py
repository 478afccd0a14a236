"""How sure it is that what rooms did was an outage: a probability that means what it says.

Of all that is found with a confidence of about p, a share of about p is true, on towns like those it was fitted to. It
is a logistic function of how far the house departs from what it does on other days, how deep and how quickly it fell,
in how many rooms, of what resolution, and of how long ago it began.

References
----------
.. [1] D. R. Cox, "The regression analysis of binary sequences", J. R. Statist. Soc. B 20 (1958) 215-242.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analytics.buildings import rhythm
from analytics.layout.timeline import Timeline
from analytics.points.machine import Records
from heatwatch.domain.instants import HOUR_MS

Float64 = NDArray[np.float64]

CANDIDATE = np.dtype(
    [
        ("building", np.int32),
        ("open", np.bool_),
        ("start", np.int64),
        ("end", np.int64),
        ("usual", np.bool_),
        ("confidence", np.float64),
        ("points", np.int32),
    ]
)
"""What may be a heat outage of a building: whether it is the house's rhythm, and how sure it is else; `points` is how
many rooms fell at once at most."""

FEATURES = (
    "one", "beyond", "fall", "more", "depth", "depth_late", "quick", "quick_square", "colder", "warmer", "warmer_late",
    "days", "share", "grain", "grain_fall", "rooms", "hours",
)  # fmt: skip
COEFFICIENTS: tuple[float, ...] = (
    -4.230, 2.210, 0.816, 3.004, -0.138, 0.875, -0.438, -2.104, -0.075, 1.262, 0.050, 0.636, 0.576, 1.466, 0.471,
    1.854, -0.885,
)  # fmt: skip
"""Of each of `FEATURES`, by `python -m benchmarks.outages fit`: a logistic regression on 750 candidates of 39 simulated
towns, with outages and without, cold and mild, with fine and coarse thermometers, two rooms a house and nine."""


def features(outages: Records, as_of_ms: int) -> Float64:
    """Return what the confidence is made of, shape (n, len(`FEATURES`))."""
    until = np.where(outages["open"], as_of_ms, outages["end"])
    days = np.minimum(outages["days"], 3) / 3
    fall = np.log(np.maximum(outages["fall_k"], 0.1))
    below = days * np.clip(np.nan_to_num(outages["below_k"]), -1.5, 1.5)
    hours = np.clip((until - outages["start"]) / HOUR_MS, 0.0, 12.0)
    late = np.minimum(hours / 8, 1.0)
    depth_k = np.nan_to_num(outages["high_c"] - outages["low_c"])
    depth = np.log(np.maximum(depth_k, 0.1))
    quick = np.clip(outages["quick_k"] / np.maximum(outages["fall_k"], 0.1), 0.0, 1.5)
    grain = np.clip(outages["grain_k"], 0.1, 1.0)
    columns = (
        np.ones(len(outages)),
        np.log(np.maximum(outages["beyond_k"], 0.1)),
        fall,
        days * np.clip(fall - np.log(np.maximum(np.nan_to_num(outages["often_k"], nan=0.4), 0.2)), -0.5, 1.5),
        depth,
        depth * late,
        quick,
        quick * quick,
        np.maximum(below, 0.0),
        np.minimum(below, 0.0),
        np.minimum(below, 0.0) * late,
        days,
        -np.log(1.1 - outages["share"]),
        grain,
        grain * fall,
        np.log(np.clip(outages["rooms"], 1, 12)),
        np.log1p(hours),
    )
    return np.stack(columns, axis=1).astype(np.float64)


def confidence(outages: Records, as_of_ms: int) -> Float64:
    """Return the probability that each of what may be an outage is one, 0 to 1.

    It is added up column by column, so that a row's last digit does not depend on which others are asked for with it,
    as that of a product of matrices does.
    """
    made_of = features(outages, as_of_ms)
    evidence = np.zeros(len(outages))
    for column, coefficient in enumerate(COEFFICIENTS):
        evidence += made_of[:, column] * coefficient
    return np.asarray(1.0 / (1.0 + np.exp(-evidence)), dtype=np.float64)


def candidates(timeline: Timeline, outages: Records, as_of_ms: int) -> Records:
    """Judge what may be an outage, ended or open, at `as_of_ms`."""
    found = np.zeros(len(outages), CANDIDATE)
    for field in ("building", "open", "start", "end", "points"):
        found[field] = outages[field]
    found["usual"] = rhythm.usual(timeline, outages, as_of_ms)
    found["confidence"] = confidence(outages, as_of_ms)
    return found
