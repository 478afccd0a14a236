"""The rhythm of a house: what it does on many days is no outage.

A night setback, and the heating of a hall that is used by the hour, look like outages to anyone who sees one night
alone. What tells them is that they come again. So each of what may be an outage (`heat.OUTAGE`) is looked at among all
others of its house, earlier and later ones: a pure function of that list, so that the first nights of a rhythm are
taken back as soon as a later one shows it. One is *usual*

- when on at least `outage_rhythm_days` of 7 days in a row, itself among them, the house was unheated at the same local
  hours, or on as many of 4 same days of the week in a row; unless it went on beyond these hours for longer than they
  last themselves, or the house fell much harder, or harder and got colder, than on any of the other days;
- when such a rhythm is about, and it is no longer and not much harder than that and the house got no colder;
- when on at least `outage_restless_days` of 7 days in a row the house was unheated at whatever hours, and it is no
  longer than the longest and not much harder than the hardest of the others, and no colder than the second coldest.
- when it is over, was weak or brief, and left the house no colder than it got on `outage_usual_days` of the seven days
  before.

"The same hours": of the shorter one at least half lies within the other, one of them moved by whole days.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analytics.layout.compiled import compiled
from analytics.layout.timeline import Timeline
from analytics.points.machine import Records
from heatwatch.domain.instants import DAY_MS, HOUR_MS

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

_WEEK, _WEEKS = 7, 4
_SLACK_MS = 2 * HOUR_MS
"""So much earlier or later than on other days is the same hours [ms]."""
_MUCH_HARDER, _HARDER, _COLDER_K = 2.0, 1.6, 0.5
"""A fall that is much harder than on any other day is no rhythm; nor is a harder one, to a level so much colder [K]."""

_HARDLY_K = 0.2
"""No colder, but for what thermometers round [K]."""


class _Spans(NamedTuple):
    """By building, then start: local times [ms], the strongest fall [K] and the coldest level [degC]."""

    building: Int64
    start: Int64
    end: Int64
    fall_k: Float64
    low_c: Float64


def usual(timeline: Timeline, outages: Records, as_of_ms: int) -> Bool:
    """Say which of what may be an outage, ended or open, is no more than the house's rhythm at `as_of_ms`."""
    judging = timeline.judging
    until = np.where(outages["open"], as_of_ms, outages["end"])
    zone = timeline.zone
    shift = zone.offset[np.searchsorted(zone.start, outages["start"], side="right") - 1]
    order = np.lexsort((outages["start"], outages["building"]))
    spans = _Spans(
        outages["building"][order].astype(np.int64),
        (outages["start"] + shift)[order],
        (np.maximum(until, outages["start"] + 1) + shift)[order],
        outages["fall_k"][order].copy(),
        outages["low_c"][order].copy(),
    )
    found = np.zeros(len(outages), dtype=np.bool_)
    found[order] = _usual(spans, judging.outage_rhythm_days, judging.outage_restless_days)
    known = outages["days"] >= judging.outage_usual_days
    no_colder = ~outages["open"] & known & (outages["below_k"] <= _HARDLY_K)
    weak = outages["fall_k"] < _MUCH_HARDER * judging.outage_fall_k
    brief = until - outages["start"] < judging.outage_window_h * HOUR_MS
    return np.asarray(found | (no_colder & (weak | brief)), dtype=np.bool_)


@compiled
def _most_in_a_row(marks: Bool, length: int) -> int:
    """Return the most marks in any `length` places in a row that hold the middle one."""
    middle = len(marks) // 2
    most = 0
    for first in range(max(0, middle - length + 1), middle + 1):
        count = 0
        for k in range(first, min(first + length, len(marks))):
            count += int(marks[k])
        most = max(most, count)
    return most


@compiled
def _reach(spans: _Spans, i: int, days: int) -> tuple[int, int]:
    """Return the first and the last (excluded) of the spans of a house that began within some days of another."""
    first = i
    while first > 0 and spans.building[first - 1] == spans.building[i]:
        if spans.start[i] - spans.start[first - 1] > days * DAY_MS:
            break
        first -= 1
    last = i + 1
    while last < len(spans.start) and spans.building[last] == spans.building[i]:
        if spans.start[last] - spans.start[i] > days * DAY_MS:
            break
        last += 1
    return first, last


@compiled
def _comes_again(spans: _Spans, i: int, stride: int, length: int, least: int) -> bool:
    """Say whether a span is one of a rhythm of every `stride` days, seen at least so often in `length` such days."""
    side = length - 1
    first, last = _reach(spans, i, stride * side + 1)
    marks = np.zeros(2 * side + 1, dtype=np.bool_)
    marks[side] = True
    early, late, long = np.empty(last - first), np.empty(last - first), np.empty(last - first)
    count = 0
    hardest, coldest = -np.inf, np.inf
    mine = spans.end[i] - spans.start[i]
    for j in range(first, last):
        turns = int(np.rint((spans.start[j] - spans.start[i]) / (stride * DAY_MS)))
        if j == i or turns == 0 or abs(turns) > side:
            continue
        start, end = spans.start[j] - turns * stride * DAY_MS, spans.end[j] - turns * stride * DAY_MS
        shared = min(spans.end[i], end) - max(spans.start[i], start)
        if shared <= 0 or 2 * shared < min(mine, end - start):
            continue
        marks[side + turns] = True
        early[count], late[count], long[count] = start - spans.start[i], spans.end[i] - end, end - start
        hardest, coldest = max(hardest, spans.fall_k[j]), min(coldest, spans.low_c[j])
        count += 1
    if _most_in_a_row(marks, length) < least:
        return False
    beyond = max(np.median(early[:count]), np.median(late[:count]))
    if spans.fall_k[i] > _MUCH_HARDER * hardest:
        return False
    if spans.fall_k[i] > _HARDER * hardest and spans.low_c[i] < coldest - _COLDER_K:
        return False
    return bool(beyond <= max(_SLACK_MS, np.median(long[:count])))


@compiled
def _within(spans: _Spans, i: int, among: Bool, least: int, rank: int) -> bool:
    """Say whether a span is no longer and no colder than others, of at least so many days in a week about it.

    `among` are the others; it must not be colder than the `rank` coldest of them.
    """
    side = _WEEK - 1
    first, last = _reach(spans, i, _WEEK)
    marks = np.zeros(2 * side + 1, dtype=np.bool_)
    levels = np.empty(last - first)
    longest = count = 0
    hardest = 0.0
    today = spans.start[i] // DAY_MS
    for j in range(first, last):
        days = spans.start[j] // DAY_MS - today
        if not among[j] or abs(days) > side:
            continue
        marks[side + days] = True
        if j != i:
            levels[count] = spans.low_c[j]
            longest = max(longest, spans.end[j] - spans.start[j])
            hardest = max(hardest, spans.fall_k[j])
            count += 1
    if count < rank or _most_in_a_row(marks, _WEEK) < least or spans.fall_k[i] > _MUCH_HARDER * hardest:
        return False
    no_colder = spans.low_c[i] >= np.sort(levels[:count])[rank - 1] - _COLDER_K
    return bool(no_colder and spans.end[i] - spans.start[i] <= longest)


@compiled
def _usual(spans: _Spans, rhythm_days: int, restless_days: int) -> Bool:
    count = len(spans.start)
    rhythm = np.zeros(count, dtype=np.bool_)
    for i in range(count):
        rhythm[i] = _comes_again(spans, i, 1, _WEEK, rhythm_days) or _comes_again(spans, i, _WEEK, _WEEKS, rhythm_days)
    every = np.ones(count, dtype=np.bool_)
    found = rhythm.copy()
    for i in range(count):
        if not found[i]:
            found[i] = _within(spans, i, rhythm, rhythm_days, 1) or _within(spans, i, every, restless_days, 2)
    return found
