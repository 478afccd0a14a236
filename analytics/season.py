"""Judging what lies in a store, however long: slice by slice in order of time, in bounded memory.

The carried state of the live judge makes the cuts harmless: what is found is, byte by byte, what one run over
everything would find. While one slice is judged, a thread reads the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from analytics.found import frames_of
from analytics.judge import Findings, summary_of
from analytics.layout.sources import NOBODY, StoredHistory, signs_of
from analytics.live import LiveJudge
from analytics.points.machine import NEVER
from heatwatch.domain.instants import DAY_MS, MINUTE_MS
from heatwatch.domain.register import Register
from heatwatch.domain.temperature import Standard
from heatwatch.errors import BadInput
from heatwatch.stores.readings import ReadingColumns, ReadingStore

Int64 = NDArray[np.int64]

MOST_ROWS = 750_000
"""How many rows a slice should have at most; two slices are in memory at once."""
SHORTEST_MS = 10 * MINUTE_MS
"""No slice is cut shorter, whatever stands in it."""


class Told(NamedTuple):
    """What a run over a store's slices has seen besides what the judge keeps."""

    unlisted: int
    latest_valid_ms: int | None
    last_ms: int | None


def judge_season(
    store: ReadingStore,
    register: Register | None,
    standard: Standard,
    zone: ZoneInfo,
    as_of_ms: int | None = None,
    *,
    most_rows: int = MOST_ROWS,
) -> Findings:
    """Judge everything in a store.

    Parameters
    ----------
    store
        What was measured, under its sources.
    register
        Who is measured, by which device when; None: every source an apartment, in one building.
    standard, zone
        The dated rules, and the zone whose local hours they speak of.
    as_of_ms
        The moment for which findings are asked [ms]; later rows are left out. None: nothing is left
        out, and the moment is that of the latest valid reading.
    most_rows
        How many rows are judged at once.

    Raises
    ------
    BadInput
        If there are no readings, or a point names a contract that the rules do not have.

    Notes
    -----
    O(rows) time. Memory: the carried state, what is over, and two slices.
    """
    slices = planned(*store.days(), most_rows, None if as_of_ms is None else as_of_ms + 1)
    if not slices:
        raise BadInput("there is no reading to judge", where="readings")
    register = register or _implied(store, slices)
    names = sorted({row.point_id for row in register.rows})
    history = StoredHistory(store, register, names)
    judge = LiveJudge(register, standard, zone, history)
    told = catch_up(judge, history, slices)
    if told.last_ms is None:
        raise BadInput("there is no reading to judge", where="readings")
    if as_of_ms is None:
        as_of_ms = told.last_ms if told.latest_valid_ms is None else told.latest_valid_ms
    found = judge.found(as_of_ms)
    summary = summary_of(judge.timeline, judge.state, judge.point_counts, told.unlisted)
    return Findings(as_of_ms, frames_of(judge.timeline, found), summary)


def catch_up(
    judge: LiveJudge, history: StoredHistory, slices: Sequence[tuple[int, int]], as_of_ms: int | None = None
) -> Told:
    """Feed a judge that has been fed nothing with what lies in `slices` (each `[start, end)` [ms], in order of time).

    The judge is settled on the way for findings at the latest valid reading, or at `as_of_ms` where that is earlier (a
    device may be ahead of the clock): these, and later ones, may be asked for.
    """
    unlisted, valid_ms, last_ms = 0, NEVER, NEVER
    for readings in _read_ahead(history.read, slices):
        if not len(readings):
            continue
        point = history.sources.points(readings)
        time_ms, temp_c, signs = readings.time_ms, readings.temp_c, signs_of(readings)
        last_ms = max(last_ms, int(time_ms.max()))
        listed = point != NOBODY
        if not listed.all():
            unlisted += int(len(listed) - np.count_nonzero(listed))
            point, time_ms, temp_c = point[listed], time_ms[listed], temp_c[listed]
            signs = None if signs is None else signs.where(listed)
        judge.feed(point, time_ms, temp_c, signs=signs)
        valid_ms = settle(judge, as_of_ms)
    return Told(unlisted, None if valid_ms == NEVER else valid_ms, None if last_ms == NEVER else last_ms)


def settle(judge: LiveJudge, as_of_ms: int | None = None) -> int:
    """Settle a judge for findings at the latest valid reading that it was fed; return that moment [ms], or `NEVER`.

    Where `as_of_ms` is given, it is settled for no later moment.
    """
    valid_ms = int(judge.state["valid"].max(initial=NEVER))
    if valid_ms != NEVER:
        judge.settle(valid_ms if as_of_ms is None else min(valid_ms, as_of_ms))
    return valid_ms


def planned(day_ms: Int64, rows: Int64, most_rows: int, end_ms: int | None = None) -> list[tuple[int, int]]:
    """Cut time into slices `[start, end)` [ms] of at most `most_rows` rows, as far as days are filled evenly.

    Days of few rows are taken together, days of many are cut; days without rows are passed over.

    >>> DAY = 86_400_000
    >>> planned(np.array([0, DAY, 9 * DAY]), np.array([10, 10, 40]), 20) == [
    ...     (0, 2 * DAY), (9 * DAY, 9 * DAY + DAY // 2), (9 * DAY + DAY // 2, 10 * DAY)]
    True
    """
    slices, held = list[tuple[int, int]](), 0
    for start, count in zip(day_ms.tolist(), rows.tolist(), strict=True):
        if slices and slices[-1][1] == start and held + count <= most_rows:
            slices[-1], held = (slices[-1][0], start + DAY_MS), held + count
            continue
        pieces = min(-(-count // most_rows), DAY_MS // SHORTEST_MS)
        edges = [start + DAY_MS * k // pieces for k in range(pieces + 1)]
        slices += pairwise(edges)
        held = count if pieces == 1 else most_rows
    if end_ms is None:
        return slices
    return [(start, min(end, end_ms)) for start, end in slices if start < end_ms]


def _implied(store: ReadingStore, slices: Sequence[tuple[int, int]]) -> Register:
    return Register.implied_by(
        sorted({source for readings in _read_ahead(store.read, slices) for source in readings.source})
    )


def _read_ahead(
    read: Callable[[None, int, int], ReadingColumns], slices: Sequence[tuple[int, int]]
) -> Iterator[ReadingColumns]:
    """Read slice after slice, the next one while the last is at work."""
    with ThreadPoolExecutor(1, "reading-ahead") as thread:
        coming = None
        for start, end in slices:
            done, coming = coming, thread.submit(read, None, start, end)
            if done is not None:
                yield done.result()
        if coming is not None:
            yield coming.result()
