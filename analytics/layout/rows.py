"""Rows in any order become rows by point and time, without a Python loop and without copying what is in order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.layout.compiled import compiled

Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PointRows:
    """Rows by point, those of one point in time order: `first[p]:first[p + 1]` are the rows of point `p`."""

    first: Int64
    time_ms: Int64
    temp_c: Float64

    def of(self, points: Int64) -> PointRows:
        """Return the rows of some points only, in the order of `points`."""
        lengths = self.first[points + 1] - self.first[points]
        first = np.concatenate(([0], np.cumsum(lengths)))
        index = np.repeat(self.first[points] - first[:-1], lengths) + np.arange(first[-1])
        return PointRows(first, self.time_ms[index], self.temp_c[index])

    def and_also(self, code: Int32, time_ms: Int64, temp_c: Float64) -> PointRows:
        """Return these and more rows, as `by_point` takes them, of the same points."""
        if not len(code):
            return self
        first, times, temps = _merged(self.first, self.time_ms, self.temp_c, code, time_ms, temp_c)
        if not _in_time_order(first, times):
            _sort_within(first, times, temps)
        return PointRows(first, times, temps)

    def and_with_a_value(self, points: Int64, rows: PointRows) -> PointRows:
        """Return these and rows of some of the points (in the order of `rows.first`), those that have a value."""
        first, times, temps = _merged_rows(
            self.first, self.time_ms, self.temp_c, points, rows.first, rows.time_ms, rows.temp_c
        )
        if not _in_time_order(first, times):
            _sort_within(first, times, temps)
        return PointRows(first, times, temps)

    def after(self, since_ms: int) -> PointRows:
        """Return the rows measured later than that."""
        return PointRows(*_after(self.first, self.time_ms, self.temp_c, since_ms))


def by_point(code: Int32, time_ms: Int64, temp_c: Float64, points: int) -> PointRows:
    """Bring rows into order.

    Parameters
    ----------
    code : shape (rows,)
        Point number of each row, `0 … points - 1`; rows of any other number are left out.
    time_ms, temp_c : shape (rows,)
    points
        How many points there are.

    Notes
    -----
    A counting sort by point, O(rows), keeps the order of arrival within a point, which nearly always is that of
    time; only points where it is not are sorted.
    """
    return Unordered.of(code, time_ms, temp_c, points).part(0, points)


@dataclass(frozen=True, slots=True)
class Unordered:
    """Rows in any order, of which those of some points at a time can be had in order."""

    code: Int32
    time_ms: Int64
    temp_c: Float64
    first: Int64
    grouped: bool

    @classmethod
    def of(cls, code: Int32, time_ms: Int64, temp_c: Float64, points: int) -> Unordered:
        """Take rows as `by_point` does."""
        first, grouped = _count(code, points)
        return cls(code, time_ms, temp_c, first, grouped)

    def part(self, begin: int, end: int) -> PointRows:
        """Return the rows of points `begin … end - 1`, the first of which is point 0 of the result."""
        first = self.first[begin : end + 1] - self.first[begin]
        if self.grouped:
            here = slice(int(self.first[begin]), int(self.first[end]))
            time_ms, temp_c = self.time_ms[here], self.temp_c[here]
        else:
            time_ms, temp_c = _spread(self.code, self.time_ms, self.temp_c, first, begin)
        if not _in_time_order(first, time_ms):
            if self.grouped:
                time_ms, temp_c = time_ms.copy(), temp_c.copy()
            _sort_within(first, time_ms, temp_c)
        return PointRows(first, time_ms, temp_c)

    def only(self, points: Int64) -> PointRows:
        """Return the rows of some points, in the order of `points`."""
        place = np.full(len(self.first), -1, dtype=np.int32)
        place[points] = np.arange(len(points), dtype=np.int32)
        chosen = (self.code >= 0) & (place[np.maximum(self.code, 0)] >= 0)
        return by_point(place[self.code[chosen]], self.time_ms[chosen], self.temp_c[chosen], len(points))


@compiled
def _count(code: Int32, points: int) -> tuple[Int64, bool]:
    first = np.zeros(points + 1, dtype=np.int64)
    grouped = True
    before = 0
    for i in range(len(code)):
        if code[i] < before or code[i] >= points:
            grouped = False
        before = code[i]
        if 0 <= before < points:
            first[before + 1] += 1
    return np.cumsum(first), grouped


@compiled
def _spread(code: Int32, time_ms: Int64, temp_c: Float64, first: Int64, begin: int) -> tuple[Int64, Float64]:
    following = first[:-1].copy()
    count = len(following)
    time_out, temp_out = np.empty(first[-1], dtype=np.int64), np.empty(first[-1], dtype=np.float64)
    for i in range(len(code)):
        k = code[i] - begin
        if 0 <= k < count:
            at = following[k]
            time_out[at] = time_ms[i]
            temp_out[at] = temp_c[i]
            following[k] += 1
    return time_out, temp_out


@compiled
def _merged(
    first: Int64, time_ms: Int64, temp_c: Float64, code: Int32, time_more: Int64, temp_more: Float64
) -> tuple[Int64, Int64, Float64]:
    points = len(first) - 1
    total = np.zeros(points + 1, dtype=np.int64)
    for i in range(len(code)):
        total[code[i] + 1] += 1
    for point in range(points):
        total[point + 1] += total[point] + first[point + 1] - first[point]
    time_out, temp_out = np.empty(total[points], dtype=np.int64), np.empty(total[points], dtype=np.float64)
    following = np.empty(points, dtype=np.int64)
    for point in range(points):
        at = total[point]
        for i in range(first[point], first[point + 1]):
            time_out[at] = time_ms[i]
            temp_out[at] = temp_c[i]
            at += 1
        following[point] = at
    for i in range(len(code)):
        at = following[code[i]]
        time_out[at] = time_more[i]
        temp_out[at] = temp_more[i]
        following[code[i]] = at + 1
    return total, time_out, temp_out


@compiled
def _merged_rows(
    first: Int64,
    time_ms: Int64,
    temp_c: Float64,
    points: Int64,
    rows_first: Int64,
    time_more: Int64,
    temp_more: Float64,
) -> tuple[Int64, Int64, Float64]:
    total = np.zeros(len(first), dtype=np.int64)
    which = np.full(len(first) - 1, -1, dtype=np.int64)
    for k in range(len(points)):
        which[points[k]] = k
    most = first[-1] + rows_first[-1] - rows_first[0]
    time_out, temp_out = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.float64)
    at = 0
    for point in range(len(first) - 1):
        for i in range(first[point], first[point + 1]):
            time_out[at] = time_ms[i]
            temp_out[at] = temp_c[i]
            at += 1
        k = which[point]
        if k >= 0:
            for i in range(rows_first[k], rows_first[k + 1]):
                time_out[at] = time_more[i]
                temp_out[at] = temp_more[i]
                at += int(not np.isnan(temp_more[i]))
        total[point + 1] = at
    return total, time_out[:at], temp_out[:at]


@compiled
def _after(first: Int64, time_ms: Int64, temp_c: Float64, since_ms: int) -> tuple[Int64, Int64, Float64]:
    kept = np.zeros(len(first), dtype=np.int64)
    for point in range(len(first) - 1):
        low = first[point + 1]
        while low > first[point] and time_ms[low - 1] > since_ms:
            low -= 1
        kept[point + 1] = kept[point] + first[point + 1] - low
    time_out, temp_out = np.empty(kept[-1], dtype=np.int64), np.empty(kept[-1], dtype=np.float64)
    for point in range(len(first) - 1):
        shift = first[point + 1] - kept[point + 1]
        for at in range(kept[point], kept[point + 1]):
            time_out[at] = time_ms[at + shift]
            temp_out[at] = temp_c[at + shift]
    return kept, time_out, temp_out


@compiled
def with_a_value(points: Int64, rows_first: Int64, time_ms: Int64, temp_c: Float64) -> tuple[Int32, Int64, Float64]:
    """Return the rows of some points (in the order of `rows_first`) that have a value: point, time and value."""
    count = rows_first[-1] - rows_first[0]
    code = np.empty(count, dtype=np.int32)
    time_out, temp_out = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.float64)
    at = 0
    for k in range(len(points)):
        for i in range(rows_first[k], rows_first[k + 1]):
            if not np.isnan(temp_c[i]):
                code[at] = points[k]
                time_out[at] = time_ms[i]
                temp_out[at] = temp_c[i]
                at += 1
    return code[:at], time_out[:at], temp_out[:at]


@compiled
def among(code: Int32, points: int) -> tuple[Int64, Int32]:
    """Return the point numbers that occur (each `0 … points - 1`), increasing, and where among them each row's is."""
    place = np.zeros(points, dtype=np.int32)
    for i in range(len(code)):
        place[code[i]] = 1
    found = np.empty(points, dtype=np.int64)
    count = 0
    for point in range(points):
        if place[point]:
            found[count] = point
            place[point] = count
            count += 1
    own = np.empty(len(code), dtype=np.int32)
    for i in range(len(code)):
        own[i] = place[code[i]]
    return found[:count].copy(), own


@compiled
def _in_time_order(first: Int64, time_ms: Int64) -> bool:
    for point in range(len(first) - 1):
        for i in range(first[point] + 1, first[point + 1]):
            if time_ms[i] < time_ms[i - 1]:
                return False
    return True


@compiled
def _sort_within(first: Int64, time_ms: Int64, temp_c: Float64) -> None:
    for point in range(len(first) - 1):
        start, end = first[point], first[point + 1]
        for i in range(start + 1, end):
            if time_ms[i] < time_ms[i - 1]:
                order = np.argsort(time_ms[start:end], kind="mergesort")
                time_ms[start:end] = time_ms[start:end][order]
                temp_c[start:end] = temp_c[start:end][order]
                break
