"""Which message led to a finding: the last one of the commits of a pass that brought something of its subject."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from analytics.found import SUBJECTS
from analytics.sources import NOBODY, SourceMap
from analytics.timeline import Timeline
from heatwatch.domain.findings import Finding, SubjectKind
from heatwatch.domain.traces import CLOCK, trace_of
from heatwatch.records.schema import Arrival
from heatwatch.stores.readings import ReadingColumns

Int64 = NDArray[np.int64]


class Traces:
    """Gives the trace of a finding of one pass; `CLOCK` where nothing of its subject has arrived.

    Of a point it is the last arrival that touched a source while that spoke for the point; of a building or a
    station, the last that touched any of its points.

    Parameters
    ----------
    arrivals
        Those of the pass, in order.
    """

    def __init__(self, arrivals: Sequence[Arrival], timeline: Timeline, sources: SourceMap) -> None:
        self._arrivals, self._timeline, self._sources = arrivals, timeline, sources

    def __call__(self, finding: Finding) -> str:
        """Return the trace of what a finding says now."""
        place = self._last.get((finding.subject_kind, finding.subject_id), NOBODY)
        return CLOCK if place == NOBODY else arrival_trace(self._arrivals[place])

    @cached_property
    def _last(self) -> dict[tuple[SubjectKind, str], int]:
        """The place among the arrivals of the last one that touched each subject."""
        timeline, rows = self._timeline, self._timeline.rows
        names = timeline.points, timeline.buildings, timeline.stations
        points = self._of_points()
        lasts = points, *(_latest(number, points[rows.point]) for number in (rows.building, rows.station))
        return {
            (kind, name): place
            for kind, subjects, last in zip(SUBJECTS, names, lasts, strict=True)
            for name, place in zip(subjects, last.tolist(), strict=True)
        }

    def _of_points(self) -> Int64:
        touched = [
            (source, at_ms, place)
            for place, arrival in enumerate(self._arrivals)
            for source, *span, _ in arrival.touched
            for at_ms in span
        ]
        code = np.arange(len(touched), dtype=np.int32)
        at_ms = np.array([at_ms for _, at_ms, _ in touched], dtype=np.int64)
        seen = ReadingColumns([source for source, _, _ in touched], code, at_ms, np.zeros(len(touched)))
        place = np.array([place for _, _, place in touched], dtype=np.int64)
        point = self._sources.points(seen)
        last = np.full(len(self._timeline.points), NOBODY, dtype=np.int64)
        np.maximum.at(last, point[point != NOBODY], place[point != NOBODY])
        return last


def arrival_trace(arrival: Arrival) -> str:
    """Return the id of the last message of the commit that an arrival tells of."""
    return trace_of(arrival.worker, arrival.sequence)


def _latest(number: NDArray[np.int32], place: Int64) -> Int64:
    """Return the largest `place` of each number."""
    last = np.full(int(number.max(initial=NOBODY)) + 1, NOBODY, dtype=np.int64)
    np.maximum.at(last, number, place)
    return last
