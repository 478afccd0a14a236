"""Publishing what was measured, or what a town measures, to a broker."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from heatwatch.domain.instants import MINUTE_MS, SECOND_MS
from heatwatch.domain.register import PointRow
from simulators.publishing.encoding import Encoder, Messages, supply_messages
from simulators.publishing.publisher import Progress, SteppedPublisher
from simulators.towns.town import Town

SUPPLY_EVERY_MS = 5 * MINUTE_MS
"""Between two samples of what flows to a station; each at a multiple of it since 1970."""


def replay(
    readings: pd.DataFrame,
    rows: Sequence[PointRow] | None,
    publisher: SteppedPublisher,
    *,
    until_ms: int | None = None,
    batch: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Progress:
    """Publish every row once, in order of time; rows of one instant in the order of the frame.

    Parameters
    ----------
    readings
        ``time_ms, point_id, temperature_c`` [degC; NaN is sent as null] and what `Encoder.encode` knows besides,
        rows in any order. Duplicates and conflicts are published as they stand.
    rows
        The register, None for none.
    publisher
        Where to, and how fast.
    until_ms
        Where the clock ends [ms]; later rows are left out. By default the end of the step of the last row.
    batch
        True for one message of each building's gateway a step.
    progress
        Called after each step.
    """
    if until_ms is not None:
        readings = readings[readings["time_ms"] <= until_ms]
    if readings.empty:
        return Progress()
    ordered = readings.sort_values("time_ms", kind="stable", ignore_index=True)
    ordered["point_id"] = ordered["point_id"].astype("category")
    time_ms = ordered["time_ms"].to_numpy(np.int64)
    encoder = Encoder(rows, batch_ms=publisher.step_ms if batch else None)

    def source(start_ms: int, end_ms: int) -> Messages:
        first, last = np.searchsorted(time_ms, [start_ms, end_ms])
        return encoder.encode(ordered.iloc[first:last])

    last_ms = int(time_ms[-1])
    end_of_step_ms = (last_ms // publisher.step_ms + 1) * publisher.step_ms
    stop_ms = end_of_step_ms if until_ms is None else until_ms
    return publisher.play(source, int(time_ms[0]), last_ms + 1, until_ms=stop_ms, progress=progress)


def simulate(
    town: Town,
    publisher: SteppedPublisher,
    start_ms: int,
    end_ms: int,
    *,
    batch: bool = False,
    supply: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Progress:
    """Publish what a town sends from `start_ms` (included) to `end_ms` (excluded), when it sends it.

    `batch` and `progress` are those of `replay`; with `supply` its stations tell every 5 min what flows to their
    houses and comes back. Nothing is computed further ahead than the publisher's longest move of the clock.
    """
    encoder = Encoder(town.points(), batch_ms=publisher.step_ms if batch else None)

    def source(first_ms: int, last_ms: int) -> Messages:
        readings = encoder.encode(town.sent(first_ms, last_ms))
        return readings.merged(_supply(town, first_ms, last_ms)) if supply else readings

    return publisher.play(source, start_ms, end_ms, progress=progress)


def _supply(town: Town, first_ms: int, last_ms: int) -> Messages:
    first_ms = -(-max(first_ms, town.start_ms) // SUPPLY_EVERY_MS) * SUPPLY_EVERY_MS
    return supply_messages(town.supply_frame(first_ms, last_ms, SUPPLY_EVERY_MS // SECOND_MS))
