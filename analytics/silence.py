"""Data outages: silences of points at `as_of`, and the buildings and stations that fall silent at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.machine import NEVER, Records
from analytics.timeline import SERVICE, Timeline
from heatwatch.domain.register import FAR_PAST_MS

Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Spans:
    """Stretches of time [ms] of numbered subjects; an open one ends, so far, at `as_of`."""

    subject: Int64
    start: Int64
    end: Int64
    open: Bool

    def __len__(self) -> int:
        return len(self.subject)

    def where(self, mask: Bool) -> Spans:
        """Return those for which `mask` is true."""
        return Spans(self.subject[mask], self.start[mask], self.end[mask], self.open[mask])

    def of(self, subject: Int64) -> Spans:
        """Return the same stretches as others' (a point's as its building's)."""
        return Spans(subject, self.start, self.end, self.open)


def point_silences(timeline: Timeline, state: Records, ended: Records, as_of: int) -> Spans:
    """Return the data outages of points: those that ended, those that go on at `as_of`, those of points never heard."""
    rows = timeline.rows
    points = np.arange(len(timeline.points))
    first_row = np.searchsorted(rows.point, points)
    last_row = np.searchsorted(rows.point, points, side="right") - 1
    never = state["heard"] == NEVER
    since = np.where(never, rows.valid_from[first_row], state["heard"])
    wait = np.where(never, rows.break_ms[first_row], state["heard_break"])
    until = np.minimum(rows.valid_to[last_row], as_of)
    known = since != FAR_PAST_MS
    silent = known & (until - np.where(known, since, until) >= wait)
    going_on = Spans(points[silent], since[silent], until[silent], rows.valid_to[last_row][silent] > as_of)
    return Spans(
        np.concatenate((ended["point"].astype(np.int64), going_on.subject)),
        np.concatenate((ended["start"], going_on.start)),
        np.concatenate((ended["end"], going_on.end)),
        np.concatenate((np.zeros(len(ended), dtype=np.bool_), going_on.open)),
    )


def service_spans(timeline: Timeline, as_of: int) -> tuple[Spans, NDArray[np.int32]]:
    """Return when each point is in service up to `as_of`, and the register row that says so."""
    segments = timeline.segments
    following = np.append(segments.start[1:], as_of)
    last = np.zeros(len(segments.start), dtype=np.bool_)
    last[segments.first[1:] - 1] = True
    end = np.minimum(np.where(last, as_of, following), as_of)
    point = np.repeat(np.arange(len(timeline.points)), np.diff(segments.first))
    served = (segments.kind == SERVICE) & (end > segments.start)
    spans = Spans(point, segments.start, end, np.zeros(len(point), dtype=np.bool_)).where(served)
    return spans, segments.row[served]


def together(silences: Spans, service: Spans, service_subject: Int64, as_of: int, *, at_least: int = 2) -> Spans:
    """Find when more than half of what is in service in a subject, and at least so many, is silent at once.

    Parameters
    ----------
    silences
        Of points.
    service, service_subject
        When each point is in service, and in which building or station it then is.
    """
    left, right = _pairs(silences, service)
    start = np.maximum(silences.start[left], service.start[right])
    end = np.minimum(np.minimum(silences.end[left], service.end[right]), as_of)
    mask = end > start
    going_on = silences.open[left] & (end == as_of)
    quiet = Spans(service_subject[right][mask], start[mask], end[mask], going_on[mask])
    counted = np.isin(service_subject, quiet.subject)
    return majority(quiet, service.of(service_subject).where(counted), as_of, at_least=at_least)


def majority(part: Spans, whole: Spans, as_of: int, *, at_least: int) -> Spans:
    """Find when more than half of the `whole` of a subject, and at least so many, are `part` at once."""
    subject = np.concatenate((part.subject, part.subject, whole.subject, whole.subject))
    at = np.concatenate((part.start, part.end, whole.start, whole.end))
    one, none = np.ones(len(part), dtype=np.int64), np.zeros(len(part), dtype=np.int64)
    one_w, none_w = np.ones(len(whole), dtype=np.int64), np.zeros(len(whole), dtype=np.int64)
    order = np.lexsort((at, subject))
    subject, at = subject[order], at[order]
    parts = np.cumsum(np.concatenate((one, -one, none_w, none_w))[order])
    wholes = np.cumsum(np.concatenate((none, none, one_w, -one_w))[order])
    settled = np.ones(len(at), dtype=np.bool_)
    settled[:-1] = (subject[1:] != subject[:-1]) | (at[1:] != at[:-1])
    subject, at, parts, wholes = subject[settled], at[settled], parts[settled], wholes[settled]
    holds = (parts >= at_least) & (2 * parts > wholes)
    before = np.concatenate((np.zeros(1, dtype=np.bool_), holds[:-1]))
    starts, ends = np.nonzero(holds & ~before)[0], np.nonzero(~holds & before)[0]
    found = Spans(subject[starts], at[starts], at[ends], np.zeros(len(starts), dtype=np.bool_))
    running = np.unique(part.subject[part.open])
    return Spans(found.subject, found.start, found.end, (found.end == as_of) & np.isin(found.subject, running))


def overlapping(spans: Spans, others: Spans) -> Bool:
    """Say for each of `spans` whether one of `others` of the same subject overlaps it."""
    left, right = _pairs(spans, others)
    hit = (spans.start[left] < others.end[right]) & (others.start[right] < spans.end[left])
    found = np.zeros(len(spans), dtype=np.bool_)
    found[left[hit]] = True
    return found


def _pairs(left: Spans, right: Spans) -> tuple[Int64, Int64]:
    """Pair every row of `left` with every row of `right` that has the same subject."""
    order = np.argsort(right.subject, kind="stable")
    subject = right.subject[order]
    low = np.searchsorted(subject, left.subject)
    count = np.searchsorted(subject, left.subject, side="right") - low
    total = np.concatenate(([0], np.cumsum(count)))
    index = np.repeat(low - total[:-1], count) + np.arange(total[-1])
    return np.repeat(np.arange(len(left)), count), order[index]
