"""What led to a finding: the message, the last one of a pass that brought something of its subject; the readings."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics.found import SUBJECTS
from analytics.layout.sources import NOBODY, SourceMap
from analytics.layout.timeline import Timeline
from heatwatch.domain.amendments import Cause
from heatwatch.domain.findings import Finding, SubjectKind
from heatwatch.domain.traces import CLOCK, trace_of
from heatwatch.records.schema import Arrival

Int64 = NDArray[np.int64]
NAMED = 20
"""Of so many spans of readings a cause speaks at most."""


class Traces:
    """Gives the trace of a finding of one pass; `CLOCK` where nothing of its subject has arrived.

    Of a point it is the last arrival that touched a source while that spoke for the point; of a building or a
    station, the last that touched any of its points.

    Parameters
    ----------
    arrivals
        Those of the pass, in order.
    timeline, sources
        The points, and who spoke for them.
    heard
        Up to when each source had been heard before the pass [ms]; left out where that is not known.
    law
        The versions of register and rules, where all is judged anew by others than before.
    """

    def __init__(
        self,
        arrivals: Sequence[Arrival],
        timeline: Timeline,
        sources: SourceMap,
        heard: Mapping[str, int] | None = None,
        law: Mapping[str, Any] | None = None,
    ) -> None:
        self._arrivals, self._timeline, self._sources = arrivals, timeline, sources
        self._heard, self._law = heard or {}, law

    def __call__(self, finding: Finding) -> str:
        """Return the trace of what a finding says now."""
        names, last = self._last[finding.subject_kind]
        number = bisect_left(names, finding.subject_id)
        known = number < len(names) and names[number] == finding.subject_id
        place = int(last[number]) if known else NOBODY
        return CLOCK if place == NOBODY else arrival_trace(self._arrivals[place])

    def cause(self, finding: Finding) -> Cause:
        """Return what made an issued finding be judged otherwise."""
        points = self._points_of(finding)
        known = [self._heard[one] for one in self._sources.sources(points) if one in self._heard]
        spans = sorted({span for point in points for span in self._touched.get(point, ())}, key=lambda span: span[1:])
        late = [span for span in spans if span[1] <= self._heard.get(span[0], span[1] - 1)]
        newer = [span for span in spans if span[2] > self._heard.get(span[0], span[1] - 1)]
        said: dict[str, Any] = dict(self._law or {})
        if spans:
            named = late or spans
            said["readings"] = [list(span) for span in named[:NAMED]]
            said |= {"more": len(named) - NAMED} if len(named) > NAMED else {}
        return Cause(max(known, default=None), not newer and (bool(late) or self._law is not None), said)

    def _points_of(self, finding: Finding) -> list[int]:
        timeline, rows = self._timeline, self._timeline.rows
        if finding.subject_kind is SubjectKind.POINT:
            return [self._numbers[finding.subject_id]] if finding.subject_id in self._numbers else []
        building = finding.subject_kind is SubjectKind.BUILDING
        names, number = (timeline.buildings, rows.building) if building else (timeline.stations, rows.station)
        if finding.subject_id not in names:
            return []
        points: list[int] = np.unique(rows.point[number == names.index(finding.subject_id)]).tolist()
        return points

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: code for code, name in enumerate(self._timeline.points)}

    @cached_property
    def _touched(self) -> dict[int, list[tuple[str, int, int, int]]]:
        """The spans that arrived of each point: source, first and last time [ms], rows."""
        spans = [tuple(span) for arrival in self._arrivals for span in arrival.touched]
        found: defaultdict[int, list[tuple[str, int, int, int]]] = defaultdict(list)
        bounds = _bounds([span[1:3] for span in spans])
        of, point = self._sources.points_within([span[0] for span in spans], *bounds)
        for place, number in zip(of.tolist(), point.tolist(), strict=True):
            found[number].append(spans[place])
        return found

    @cached_property
    def _last(self) -> dict[SubjectKind, tuple[Sequence[str], Int64]]:
        """The names of subjects, in order, and of each the place among the arrivals of the last that touched it."""
        timeline, rows = self._timeline, self._timeline.rows
        names = timeline.points, timeline.buildings, timeline.stations
        points = self._of_points()
        lasts = points, *(_latest(number, points[rows.point]) for number in (rows.building, rows.station))
        return {kind: (of_kind, last) for kind, of_kind, last in zip(SUBJECTS, names, lasts, strict=True)}

    def _of_points(self) -> Int64:
        touched = [
            (source, span, place)
            for place, arrival in enumerate(self._arrivals)
            for source, *span, _ in arrival.touched
        ]
        bounds = _bounds([span for _, span, _ in touched])
        of, point = self._sources.points_within([source for source, _, _ in touched], *bounds)
        place = np.array([place for _, _, place in touched], dtype=np.int64)
        last = np.full(len(self._timeline.points), NOBODY, dtype=np.int64)
        np.maximum.at(last, point, place[of])
        return last


def arrival_trace(arrival: Arrival) -> str:
    """Return the id of the last message of the commit that an arrival tells of."""
    return trace_of(arrival.worker, arrival.sequence)


def _bounds(spans: Sequence[Sequence[int]]) -> tuple[Int64, Int64]:
    """Return the first and the last moments of spans [ms]."""
    table = np.array(spans, dtype=np.int64).reshape(-1, 2)
    return table[:, 0].copy(), table[:, 1].copy()


def _latest(number: NDArray[np.int32], place: Int64) -> Int64:
    """Return the largest `place` of each number."""
    last = np.full(int(number.max(initial=NOBODY)) + 1, NOBODY, dtype=np.int64)
    np.maximum.at(last, number, place)
    return last
