"""Rows in any order become rows by point and time, without a Python loop and without copying what is in order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.compiled import compiled

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
