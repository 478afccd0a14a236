"""Which found interval is which true one: one to one within a subject, by the largest overlap in time.

The intervals of one subject are disjoint on either side. In order of time, therefore, no two overlaps cross: the pairs
that overlap are links of chains, in which a link shares an interval with those just before it, on one side only.
The best choice of links is that of weighted intervals that must not touch, which one pass over them finds exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from heatwatch.domain.instants import HOUR_MS
from simulators.arrays import Bool, Int64

SUBJECT = ("subject_kind", "subject_id", "kind")
"""Who an interval speaks of; for sensor faults also the kind of fault."""
NEVER_MS = int(np.iinfo(np.int64).max)
"""The moment of what has not come [ms]."""


@dataclass(frozen=True, slots=True)
class Spans:
    """Intervals [`start_ms`, `end_ms`) by subject and start; those of one subject are disjoint.

    Attributes
    ----------
    subject
        Number of the subject.
    start_ms, end_ms
        What is open ends at as_of, and so does what ends later [ms].
    ended
        Whether it has ended by as_of.
    row
        Where each stood in the table it came from.
    """

    subject: Int64
    start_ms: Int64
    end_ms: Int64
    ended: Bool
    row: Int64

    def __len__(self) -> int:
        """Return how many there are."""
        return self.subject.size

    @property
    def length_ms(self) -> Int64:
        """Return how long each lasts [ms]."""
        return self.end_ms - self.start_ms

    @property
    def reach_ms(self) -> Int64:
        """Return where each ends, at least 1 ms after its start: what has no length stands for its instant."""
        return np.maximum(self.end_ms, self.start_ms + 1)


@dataclass(frozen=True, slots=True)
class Overlaps:
    """Every true and found interval of one subject that have time in common, in order of time.

    Attributes
    ----------
    true_at, found_at
        Places in the two `Spans`.
    overlap_ms, union_ms
        What both and what either of them lasts, an instant taken for 1 ms [ms].
    """

    true_at: Int64
    found_at: Int64
    overlap_ms: Int64
    union_ms: Int64

    def only(self, chosen: Bool) -> Overlaps:
        """Return some of them."""
        columns = (self.true_at, self.found_at, self.overlap_ms, self.union_ms)
        return Overlaps(*(column[chosen] for column in columns))


@dataclass(frozen=True, slots=True)
class Least:
    """The overlap that two intervals must reach to be the same; by default any.

    Attributes
    ----------
    overlap_h
        Length of what both last [h].
    share
        That length, divided by the length of what either of them lasts; from 0 to 1. The same seen from both sides.
    """

    overlap_h: float = 0.0
    share: float = 0.0

    def met(self, overlaps: Overlaps) -> Bool:
        """Tell which overlaps are enough."""
        long = overlaps.overlap_ms >= self.overlap_h * HOUR_MS
        return long & (overlaps.overlap_ms >= self.share * overlaps.union_ms)


def subject_numbers(found: pd.DataFrame, truth: pd.DataFrame) -> tuple[Int64, Int64, pd.DataFrame]:
    """Give the subjects of two tables numbers that are common to both.

    Returns
    -------
    found, truth : Int64
        The number of each row's subject.
    subjects : pandas.DataFrame
        The columns of `SUBJECT` of number 0, 1 and so on.
    """
    both = pd.concat([found[list(SUBJECT)], truth[list(SUBJECT)]], ignore_index=True).astype("str")
    number = both.groupby(list(SUBJECT), sort=False).ngroup().to_numpy().astype(np.int64)
    _, first = np.unique(number, return_index=True)
    return number[: len(found)], number[len(found) :], both.iloc[first].reset_index(drop=True)


def spans_of(frame: pd.DataFrame, subject: Int64, as_of_ms: int) -> Spans:
    """Return the intervals that have begun by `as_of_ms`, cut there.

    Parameters
    ----------
    frame
        ``start, end`` as UTC instants, an end that has not come NaT.
    subject
        The number of each row's subject.
    as_of_ms
        Up to where what is open goes on [ms].
    """
    start_ms, end_ms = milliseconds(frame["start"]), milliseconds(frame["end"])
    order = np.lexsort((start_ms, subject))
    row = order[start_ms[order] <= as_of_ms]
    cut_ms = np.minimum(end_ms, as_of_ms)
    return Spans(subject[row], start_ms[row], cut_ms[row], end_ms[row] <= as_of_ms, row)


def entangled(frame: pd.DataFrame) -> tuple[int, int] | None:
    """Return two rows of one subject that are not disjoint, the earlier one first; None where all are."""
    subject, _, _ = subject_numbers(frame, frame[:0])
    spans = spans_of(frame, subject, NEVER_MS - 1)
    same = spans.subject[1:] == spans.subject[:-1]
    wrong = np.flatnonzero(same & (spans.start_ms[1:] < spans.reach_ms[:-1]))
    return (int(spans.row[wrong[0]]), int(spans.row[wrong[0] + 1])) if wrong.size else None


def overlaps(found: Spans, truth: Spans) -> Overlaps:
    """Return what overlaps what: O((n + m) log (n + m) + overlaps)."""
    begins, ends, start, end = _keys(found, truth)
    first, last = np.searchsorted(ends, start, side="right"), np.searchsorted(begins, end, side="left")
    count = last - first
    true_at = np.repeat(np.arange(len(truth), dtype=np.int64), count)
    found_at = np.arange(count.sum(), dtype=np.int64) + np.repeat(first - (np.cumsum(count) - count), count)
    return _measured(found, truth, true_at, found_at)


def matched(candidates: Overlaps) -> Overlaps:
    """Return the overlaps of the best one-to-one matching.

    Of all matchings it has the largest sum of overlaps [ms]; of those, the most pairs; of those, one that depends on
    the intervals alone and is the same with the sides exchanged. Cost: O(overlaps).

    Parameters
    ----------
    candidates
        Overlaps in their order; those that are not enough may be left out.
    """
    place = np.arange(candidates.true_at.size, dtype=np.int64)
    rival = np.minimum(_run_start(candidates.true_at), _run_start(candidates.found_at))
    alone = (rival == place) & (np.append(rival[1:], place.size) > place)
    linked = np.flatnonzero(~alone)
    chosen = alone.copy()
    first_rival = np.searchsorted(linked, rival[linked]).tolist()
    chosen[linked[list(_best(first_rival, candidates.overlap_ms[linked].tolist()))]] = True
    return candidates.only(chosen)


def _best(first_rival: Sequence[int], overlap_ms: Sequence[int]) -> Iterator[int]:
    """Give the links to take, the last one first; each excludes those from its first rival up to itself."""
    best = [0]
    for rival, overlap in zip(first_rival, overlap_ms, strict=True):
        gain = overlap * (len(overlap_ms) + 1) + 1
        best.append(max(best[-1], best[rival] + gain))
    at = len(overlap_ms)
    while at:
        taken = best[at] > best[at - 1]
        at = at - 1
        if taken:
            yield at
            at = first_rival[at]


def _keys(found: Spans, truth: Spans) -> list[Int64]:
    """Return starts and ends, found and then true ones, as numbers in the order of (subject, moment)."""
    moment = np.concatenate([found.start_ms, found.reach_ms, truth.start_ms, truth.reach_ms])
    owner = np.concatenate([found.subject, found.subject, truth.subject, truth.subject])
    if not moment.size:
        return [moment] * 4
    since = moment - moment.min()
    if (int(owner.max()) + 1) * (int(since.max()) + 1) > NEVER_MS:
        since = np.unique(moment, return_inverse=True)[1].astype(np.int64)
    key = owner * (since.max() + 1) + since
    return np.split(key, np.cumsum([len(found), len(found), len(truth)]))


def _measured(found: Spans, truth: Spans, true_at: Int64, found_at: Int64) -> Overlaps:
    starts = truth.start_ms[true_at], found.start_ms[found_at]
    ends = truth.reach_ms[true_at], found.reach_ms[found_at]
    overlap_ms = np.minimum(*ends) - np.maximum(*starts)
    return Overlaps(true_at, found_at, overlap_ms, np.maximum(*ends) - np.minimum(*starts))


def _run_start(values: Int64) -> Int64:
    """Return for each place where the run of equal values that it belongs to begins."""
    new = np.diff(values, prepend=-1) != 0
    begun: Int64 = np.maximum.accumulate(np.where(new, np.arange(values.size), 0))
    return begun


def milliseconds(column: pd.Series[pd.Timestamp]) -> Int64:
    """Return UTC instants as milliseconds; one that has not come (NaT) as `NEVER_MS`."""
    ms = column.dt.as_unit("ms").dt.tz_localize(None).to_numpy(dtype="datetime64[ms]").view(np.int64)
    return np.where(column.isna().to_numpy(), NEVER_MS, ms)
