"""From sources to points: a raw reading is kept under its device, and the register says in whose room that was."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analytics.layout.timeline import row_at
from analytics.points.vitals import Signs
from heatwatch.domain.register import FAR_PAST_MS, Register
from heatwatch.stores.readings import ReadingColumns, ReadingStore

Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
Float64 = NDArray[np.float64]

NOBODY = -1


class SourceMap:
    """Which point a source spoke for, at each moment.

    A device speaks for the point that the register assigns it to at that time; a source that bears a point's name
    speaks for that point where it is no device assigned elsewhere.

    Parameters
    ----------
    register
        The register in force.
    points
        The points by their numbers.
    """

    def __init__(self, register: Register, points: Sequence[str]) -> None:
        number = {name: code for code, name in enumerate(points)}
        spans: dict[str, list[tuple[int, int]]] = {name: [(FAR_PAST_MS, code)] for name, code in number.items()}
        self._sources_of: defaultdict[int, set[str]] = defaultdict(set)
        for name, code in number.items():
            self._sources_of[code].add(name)
        for row in register.rows:
            if row.device_id is not None:
                own = number.get(row.device_id, NOBODY)
                assigned = spans.setdefault(row.device_id, [(FAR_PAST_MS, own)])
                assigned += [(row.valid_from_ms, number[row.point_id]), (row.valid_to_ms, own)]
                self._sources_of[number[row.point_id]].add(row.device_id)
        self._number = {source: code for code, source in enumerate(spans)}
        flat = [(code, *span) for code, source in enumerate(spans) for span in _in_order(spans[source])]
        table = np.array(flat, dtype=np.int64).reshape(-1, 3)
        self._first = np.searchsorted(table[:, 0], np.arange(len(spans) + 1)).astype(np.int64)
        self._start = table[:, 1].copy()
        self._point = table[:, 2].astype(np.int32)

    def points(self, readings: ReadingColumns) -> Int32:
        """Return the point number of each row, `NOBODY` where no point was measured."""
        numbers = np.array([self._number.get(source, NOBODY) for source in readings.source], dtype=np.int64)
        if not len(readings):
            return np.zeros(0, dtype=np.int32)
        known = numbers != NOBODY
        single, several = known.copy(), known.copy()
        single[known] = np.diff(self._first)[numbers[known]] == 1
        several &= ~single
        for_ever = np.full(len(numbers), NOBODY, dtype=np.int32)
        for_ever[single] = self._point[self._first[numbers[single]]]
        point = for_ever[readings.code]
        if several.any():
            moved = several[readings.code]
            source = numbers[readings.code[moved]]
            point[moved] = row_at(self._first, self._start, self._point, source, readings.time_ms[moved])
        return point

    def points_within(self, sources: Sequence[str], first_ms: Int64, last_ms: Int64) -> tuple[Int64, Int32]:
        """Return for whom sources spoke at any time of a span, both ends included.

        Parameters
        ----------
        sources, first_ms, last_ms : shape (n,)
            Spans of time [ms].

        Returns
        -------
        tuple
            Index of a span, and number of a point: one pair for each assignment that the span touches.
        """
        number = np.array([self._number.get(source, NOBODY) for source in sources], dtype=np.int64)
        known = np.nonzero(number != NOBODY)[0]
        place = np.arange(len(self._start), dtype=np.int32)
        low = row_at(self._first, self._start, place, number[known], first_ms[known]).astype(np.int64)
        count = row_at(self._first, self._start, place, number[known], last_ms[known]) - low + 1
        begin = np.cumsum(count) - count
        point = self._point[np.repeat(low - begin, count) + np.arange(int(count.sum()))]
        span = np.repeat(known, count)
        return span[point != NOBODY], point[point != NOBODY]

    def heard(self, last_ms: Int64) -> dict[str, int]:
        """Return up to when each source was heard [ms], given the last row of each point; never heard: left out."""
        told: dict[str, int] = {}
        for point, sources in self._sources_of.items():
            at_ms = int(last_ms[point])
            if at_ms > FAR_PAST_MS:
                told |= {source: max(at_ms, told.get(source, at_ms)) for source in sources}
        return told

    def sources(self, points: Sequence[int]) -> list[str]:
        """Return every source that ever spoke for one of `points`."""
        return sorted(set().union(*(self._sources_of[point] for point in points)))


def _in_order(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sort by beginning; of two that begin at once the later named holds (an assignment over an ending)."""
    return sorted(dict(sorted(spans, key=lambda span: (span[0], span[1] != NOBODY))).items())


class StoredHistory:
    """The history of points, read from the store.

    Parameters
    ----------
    store, register, points
        Where readings are kept, who spoke for whom, and the points by their numbers.
    late_most_ms
        Readings that arrived longer after they were measured are left out [ms]; None: none are.
    vital
        Whether batteries and clocks are looked at, too.
    """

    def __init__(
        self,
        store: ReadingStore,
        register: Register,
        points: Sequence[str],
        late_most_ms: int | None = None,
        *,
        vital: bool = False,
    ) -> None:
        self._store, self._late_most_ms, self._vital = store, late_most_ms, vital
        self._names = {name: code for code, name in enumerate(points)}
        self.sources = SourceMap(register, points)

    def rows(self, points: Sequence[str]) -> tuple[Int32, Int64, Float64]:
        """Return all rows of `points`: index into `points`, time [ms], temperature as sent [degC]."""
        index, readings = self._of(points, vital=False)
        wanted = index != NOBODY
        return index[wanted], readings.time_ms[wanted], readings.temp_c[wanted]

    def signs(self, points: Sequence[str]) -> tuple[Int32, Int64, Float64, Signs] | None:
        """Return the same rows with what they say of batteries and clocks; None where nobody looks at that."""
        if not self._vital:
            return None
        index, readings = self._of(points, vital=True)
        wanted = index != NOBODY
        told = signs_of(readings)
        if told is None:
            return None
        return index[wanted], readings.time_ms[wanted], readings.temp_c[wanted], told.where(wanted)

    def read(self, sources: Sequence[str] | None, start_ms: int | None, end_ms: int | None) -> ReadingColumns:
        """Return rows of `sources` (None: all) measured in `[start_ms, end_ms)`, as far as they are judged."""
        return self._store.read(sources, start_ms, end_ms, late_most_ms=self._late_most_ms, vitals=self._vital)

    def _of(self, points: Sequence[str], *, vital: bool) -> tuple[Int32, ReadingColumns]:
        codes = [self._names[name] for name in points]
        readings = self._store.read(self.sources.sources(codes), late_most_ms=self._late_most_ms, vitals=vital)
        index_of = np.full(len(self._names) + 1, NOBODY, dtype=np.int32)
        index_of[codes] = np.arange(len(codes), dtype=np.int32)
        return index_of[self.sources.points(readings)], readings


def signs_of(readings: ReadingColumns) -> Signs | None:
    """Return what rows say of batteries and clocks, where they were read with that."""
    if readings.vitals is None:
        return None
    lag_ms = readings.vitals.arrived_ms - readings.time_ms
    return Signs(readings.vitals.battery, readings.vitals.low_battery, lag_ms)
