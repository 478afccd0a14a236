"""Data outages: silences of points at `as_of`, and the buildings and stations that fall silent at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.layout.timeline import SERVICE, Timeline
from analytics.points.machine import NEVER, Records
from heatwatch.domain.register import FAR_FUTURE_MS, FAR_PAST_MS

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


def point_silences(
    timeline: Timeline, heard: Int64, heard_break: Int64, points: Int64, ended: Records, as_of: int
) -> Spans:
    """Return the data outages of points: those that ended, those that go on at `as_of`, those of points never heard.

    Parameters
    ----------
    heard, heard_break : shape (n,)
        Last row heard of each of `points`, `NEVER` where there is none, and the `break` that held then [ms].
    points
        Whose silence may go on; that of others does not.
    """
    rows = timeline.rows
    first_row = np.searchsorted(rows.point, points)
    last_row = np.searchsorted(rows.point, points, side="right") - 1
    never = heard == NEVER
    since = np.where(never, rows.valid_from[first_row], heard)
    wait = np.where(never, rows.break_ms[first_row], heard_break)
    leaves = rows.valid_to[last_row] > as_of
    until = np.minimum(rows.valid_to[last_row], as_of)
    known = since != FAR_PAST_MS
    silent = known & (until - np.where(known, since, until) >= wait)
    going_on = Spans(points[silent], since[silent], until[silent], leaves[silent])
    return Spans(
        np.concatenate((ended["point"].astype(np.int64), going_on.subject)),
        np.concatenate((ended["start"], going_on.start)),
        np.concatenate((ended["end"], going_on.end)),
        np.concatenate((np.zeros(len(ended), dtype=np.bool_), going_on.open)),
    )


@dataclass(frozen=True, slots=True)
class Steps:
    """How many points of each subject are in service: `change[k]` more from `at[k]` [ms] on; by subject, then time."""

    subject: Int64
    at: Int64
    change: Int64

    @classmethod
    def of(cls, subject: Int64, start: Int64, end: Int64) -> Steps:
        """Return the steps of stretches of service."""
        one = np.ones(len(subject), dtype=np.int64)
        return cls(
            np.concatenate((subject, subject)), np.concatenate((start, end)), np.concatenate((one, -one))
        ).together()

    def together(self) -> Steps:
        """Return them with all that happens to a subject at one moment as one step."""
        order = np.lexsort((self.at, self.subject))
        subject, at, change = self.subject[order], self.at[order], self.change[order]
        if not len(subject):
            return Steps(subject, at, change)
        begins = np.nonzero(np.append(True, (subject[1:] != subject[:-1]) | (at[1:] != at[:-1])))[0]
        total = np.add.reduceat(change, begins)
        kept = begins[total != 0]
        return Steps(subject[kept], at[kept], total[total != 0])

    def among(self, subjects: Int64) -> Steps:
        """Return the steps of some subjects."""
        low = np.searchsorted(self.subject, subjects)
        count = np.searchsorted(self.subject, subjects, side="right") - low
        first = np.cumsum(count) - count
        index = np.repeat(low - first, count) + np.arange(int(count.sum()))
        return Steps(self.subject[index], self.at[index], self.change[index])


@dataclass(frozen=True, slots=True)
class Service:
    """Who is in service when; it depends on the register alone.

    Attributes
    ----------
    spans
        Stretches of service of points, by point.
    building, station
        In which each of them was.
    by_building, by_station
        How many points are in service in each.
    """

    spans: Spans
    building: Int64
    station: Int64
    by_building: Steps
    by_station: Steps

    @classmethod
    def of(cls, timeline: Timeline) -> Service:
        """Lay out a timeline's stretches of service."""
        segments = timeline.segments
        last = np.zeros(len(segments.start), dtype=np.bool_)
        last[segments.first[1:] - 1] = True
        end = np.where(last, FAR_FUTURE_MS, np.append(segments.start[1:], FAR_FUTURE_MS))
        point = np.repeat(np.arange(len(timeline.points)), np.diff(segments.first))
        served = (segments.kind == SERVICE) & (end > segments.start)
        spans = Spans(point, segments.start, end, np.zeros(len(point), dtype=np.bool_)).where(served)
        row = segments.row[served]
        building = timeline.rows.building[row].astype(np.int64)
        station = timeline.rows.station[row].astype(np.int64)
        return cls(
            spans,
            building,
            station,
            Steps.of(building, spans.start, spans.end),
            Steps.of(station, spans.start, spans.end),
        )


def together(silences: Spans, service: Service, of: Int64, served: Steps, as_of: int) -> Spans:
    """Find when more than half of what is in service in a subject, and at least two, is silent at once.

    Parameters
    ----------
    silences
        Of points.
    of, served
        The building, or the station, of each stretch of service; how many points are in service in it.
    """
    left, right = _pairs(silences, service.spans)
    start = np.maximum(silences.start[left], service.spans.start[right])
    end = np.minimum(np.minimum(silences.end[left], service.spans.end[right]), as_of)
    mask = end > start
    going_on = silences.open[left] & (end == as_of)
    quiet = Spans(of[right][mask], start[mask], end[mask], going_on[mask])
    return majority(quiet, served, as_of, at_least=2)


def majority(part: Spans, whole: Steps, as_of: int, *, at_least: int) -> Spans:
    """Find when more than half of the `whole` of a subject, and at least so many, are `part` at once."""
    subjects, count = np.unique(part.subject, return_counts=True)
    subjects = subjects[count >= at_least]
    part = part.where(np.isin(part.subject, subjects))
    steps = whole.among(subjects)
    subject = np.concatenate((part.subject, part.subject, steps.subject))
    at = np.concatenate((part.start, part.end, steps.at))
    one, none = np.ones(len(part), dtype=np.int64), np.zeros(len(part), dtype=np.int64)
    order = np.lexsort((at, subject))
    subject, at = subject[order], at[order]
    parts = np.cumsum(np.concatenate((one, -one, np.zeros(len(steps.at), dtype=np.int64)))[order])
    wholes = np.cumsum(np.concatenate((none, none, steps.change))[order])
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
    return pairs(left.subject, right.subject)


def pairs(left: Int64, right: Int64) -> tuple[Int64, Int64]:
    """Return the places of every pair of equal numbers, the first from `left` and in its order."""
    order = np.argsort(right, kind="stable")
    subject = right[order]
    low = np.searchsorted(subject, left)
    count = np.searchsorted(subject, left, side="right") - low
    total = np.concatenate(([0], np.cumsum(count)))
    index = np.repeat(low - total[:-1], count) + np.arange(total[-1])
    return np.repeat(np.arange(len(left)), count), order[index]
