"""Judged rows that are not settled yet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analytics.layout.rows import PointRows, by_point

Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

_TOGETHER = 64
"""So many additions are kept each by itself."""

Rows = tuple[Int32, Int64, Float64]
"""Point, time [ms] and judged temperature [degC] of each row."""


class Tail:
    """Rows of all points: by point as far as somebody has asked for all of them, and what has come since as it came."""

    def __init__(self, points: int) -> None:
        self._points = points
        self._ordered = by_point(*_joined([]), points)
        self._recent: list[Rows] = []

    def add(self, code: Int32, time_ms: Int64, judged_c: Float64) -> None:
        """Add rows, in any order."""
        if len(code):
            self._recent.append((code, time_ms, judged_c))
        if len(self._recent) > _TOGETHER:
            self._recent = [_joined(self._recent)]

    def add_by_point(self, points: Int64, rows: PointRows) -> None:
        """Add rows of some points that have a value, at once in their places."""
        self._ordered = self.by_point().and_with_a_value(points, rows)

    def rows(self, points: Int64 | None = None) -> Rows:
        """Return all rows, or those of some points (increasing)."""
        if points is None:
            return _joined([_flat(self._ordered, np.arange(self._points)), *self._recent])
        wanted = np.zeros(self._points, dtype=np.bool_)
        wanted[points] = True
        recent = [_where(rows, wanted[rows[0]]) for rows in self._recent]
        return _joined([_flat(self._ordered.of(points), points), *recent])

    def by_point(self) -> PointRows:
        """Return all rows by point and time."""
        if self._recent:
            self._ordered, self._recent = self._ordered.and_also(*_joined(self._recent)), []
        return self._ordered

    def of(self, points: Int64) -> PointRows:
        """Return the rows of some points (increasing) by point and time; the others have none."""
        return by_point(*self.rows(points), self._points)

    def forget(self, points: Int64) -> None:
        """Drop the rows of some points."""
        kept = np.ones(self._points, dtype=np.bool_)
        kept[points] = False
        code, time_ms, judged_c = self.rows()
        self._ordered, self._recent = by_point(*_where((code, time_ms, judged_c), kept[code]), self._points), []

    def prune(self, settled_ms: int) -> None:
        """Drop what was measured up to then."""
        self._ordered = self.by_point().after(settled_ms)


def _flat(rows: PointRows, points: Int64) -> Rows:
    code = np.repeat(points, np.diff(rows.first)).astype(np.int32)
    return code, rows.time_ms, rows.temp_c


def _where(rows: Rows, kept: Bool) -> Rows:
    return rows[0][kept], rows[1][kept], rows[2][kept]


def _joined(parts: list[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]
    nothing: Rows = np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.float64)
    code, time_ms, judged_c = (np.concatenate(columns) for columns in zip(nothing, *parts, strict=True))
    return code, time_ms, judged_c
