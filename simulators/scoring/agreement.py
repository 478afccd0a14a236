"""How well what was found agrees with what is true: precision, recall, errors, delay, false alarms.

Found and true intervals of one kind are matched one to one within each subject (`simulators.scoring.matching`). Both
sides are looked at in the same way: precision is the found side's rate, recall the true side's, so that exchanging the
sides exchanges the two. Where a side has nothing, its rate is None: neither 100 % nor not-a-number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from heatwatch.domain.findings import FindingKind
from heatwatch.domain.instants import HOUR_MS
from simulators.arrays import Bool, Int64
from simulators.scoring.matching import (
    Least,
    Overlaps,
    Spans,
    matched,
    milliseconds,
    overlaps,
    spans_of,
    subject_numbers,
)

MONTH_H = 720.0
"""A month of the rate of false alarms: 30 days [h]."""
_NINE_TENTHS = 90.0


@dataclass(frozen=True, slots=True)
class Scoring:
    """The numbers of scoring.

    Attributes
    ----------
    as_of_ms
        Up to where what is open goes on; what begins later is left out and counted [ms].
    least
        The overlap that makes two intervals the same.
    demanded_h
        How long an interval must last to be demanded, per kind; 0 where nothing is said [h]. A shorter one counts
        neither as missed nor as false, but a longer one of the other side may be matched with it.
    """

    as_of_ms: int
    least: Least = field(default_factory=Least)
    demanded_h: Mapping[FindingKind, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Spread:
    """How values are spread [h].

    Attributes
    ----------
    count
        Of how many.
    median_h, p90_h
        Of the errors without their sign, or of the delays: the middle one and the one that 90 % do not exceed, both
        interpolated linearly between neighbours.
    mean_h
        With their sign: above 0 is too late.
    """

    count: int
    median_h: float
    p90_h: float
    mean_h: float

    @classmethod
    def of(cls, value_ms: Int64, *, signed: bool) -> Spread | None:
        """Return the spread of values [ms]; None of nothing. `signed`: median and p90 keep the sign too.

        >>> Spread.of(np.array([-7_200_000, 3_600_000]), signed=False)
        Spread(count=2, median_h=1.5, p90_h=1.9, mean_h=-0.5)
        """
        if not value_ms.size:
            return None
        value_h = value_ms / HOUR_MS
        median_h, p90_h = np.percentile(value_h if signed else np.abs(value_h), [50.0, _NINE_TENTHS])
        return cls(int(value_ms.size), float(median_h), float(p90_h), float(value_h.mean()))

    def told(self) -> dict[str, float]:
        """Return it for JSON."""
        return {"count": self.count, "median_h": self.median_h, "p90_h": self.p90_h, "mean_h": self.mean_h}


@dataclass(frozen=True, slots=True)
class Side:
    """What was found, or what is true, and which of it the other side has too.

    Attributes
    ----------
    spans
        The intervals.
    matched
        Which of them are matched.
    demanded
        Which of them count: those that last long enough.
    covered_ms
        How much of each overlaps any interval of the other side, whether matched with it or not [ms].
    later
        How many begin after as_of and are left out.
    """

    spans: Spans
    matched: Bool
    demanded: Bool
    covered_ms: Int64
    later: int

    @property
    def count(self) -> int:
        """Return how many count."""
        return int(self.demanded.sum())

    @property
    def hits(self) -> int:
        """Return how many of those are matched."""
        return int((self.demanded & self.matched).sum())

    @property
    def rate(self) -> float | None:
        """Return the share of those that are matched; None where there are none."""
        return self.hits / self.count if self.count else None

    @property
    def hours(self) -> float:
        """Return how long those last that count [h]."""
        return float(self.spans.length_ms[self.demanded].sum() / HOUR_MS)

    @property
    def hours_covered(self) -> float:
        """Return how much of that the other side has too [h]."""
        return float(self.covered_ms[self.demanded].sum() / HOUR_MS)

    @property
    def rate_by_time(self) -> float | None:
        """Return the share of the hours that the other side has too; None where there are none."""
        return self.hours_covered / self.hours if self.hours else None

    def told(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "count": self.count,
            "matched": self.hits,
            "hours": self.hours,
            "hours_covered": self.hours_covered,
            "too_short": len(self.spans) - self.count,
            "after_as_of": self.later,
        }


@dataclass(frozen=True, slots=True)
class Agreement:
    """How found and true intervals of one kind agree.

    Attributes
    ----------
    found, truth
        The two sides.
    subjects
        ``subject_kind, subject_id, kind`` of each subject number.
    start, end
        Errors of the start and the end of matched true intervals that count (found minus true); of the ends, where
        both have ended by as_of. None where there are none.
    delay
        From the true start to when it was found, of those of them of which that is told.
    """

    found: Side
    truth: Side
    subjects: pd.DataFrame
    start: Spread | None
    end: Spread | None
    delay: Spread | None

    @property
    def precision(self) -> float | None:
        """Return the share of what was found that is true; None where nothing was found."""
        return self.found.rate

    @property
    def recall(self) -> float | None:
        """Return the share of what is true that was found; None where nothing is true."""
        return self.truth.rate

    @property
    def false_alarms(self) -> int:
        """Return how many were found that are not true."""
        return self.found.count - self.found.hits

    def told(self, building_months: float | None) -> dict[str, Any]:
        """Return it for JSON; what there is none of is null."""
        per_month = self.false_alarms / building_months if building_months else None
        spreads = {"start_error": self.start, "end_error": self.end, "delay": self.delay}
        return {
            "precision": self.precision,
            "recall": self.recall,
            "precision_by_time": self.found.rate_by_time,
            "recall_by_time": self.truth.rate_by_time,
            "missed": self.truth.count - self.truth.hits,
            "false_alarms": self.false_alarms,
            "false_alarms_per_building_month": per_month,
            "found": self.found.told(),
            "true": self.truth.told(),
            **{name: spread.told() if spread else None for name, spread in spreads.items()},
        }


def agreement(kind: FindingKind, found: pd.DataFrame, truth: pd.DataFrame, scoring: Scoring) -> Agreement:
    """Compare what was found with what is true, of one kind.

    Parameters
    ----------
    kind
        Which kind: it says how long an interval must last to be demanded.
    found, truth
        ``subject_kind, subject_id, kind`` (text), ``start, end`` (UTC instants; an end that has not come NaT), rows
        in any order; those of one subject disjoint. `found` may have ``seen``: when it was found, NaT where unknown.
    scoring
        The numbers.

    Notes
    -----
    A million intervals on either side take seconds: O(n log n), without a loop over subjects.

    Examples
    --------
    >>> def row(start, end):
    ...     at = pd.to_datetime([start, end], utc=True)
    ...     who = {"subject_kind": "point", "subject_id": "r1", "kind": ""}
    ...     return pd.DataFrame({**who, "start": at[:1], "end": at[1:]})
    >>> true, found = row("2026-01-12T06:00Z", "2026-01-12T10:00Z"), row("2026-01-12T07:00Z", "2026-01-12T12:00Z")
    >>> one = agreement(FindingKind.COLD_SPELL, found, true, Scoring(as_of_ms=1_768_262_400_000))
    >>> one.precision, one.recall, one.found.rate_by_time, one.truth.rate_by_time, one.start.mean_h, one.end.mean_h
    (1.0, 1.0, 0.6, 0.75, 1.0, 2.0)
    """
    found_subject, true_subject, subjects = subject_numbers(found, truth)
    found_spans = spans_of(found, found_subject, scoring.as_of_ms)
    true_spans = spans_of(truth, true_subject, scoring.as_of_ms)
    every = overlaps(found_spans, true_spans)
    pairs = matched(every.only(scoring.least.met(every)))
    common_ms = _common_ms(every, found_spans, true_spans)
    least_ms = scoring.demanded_h.get(kind, 0.0) * HOUR_MS
    found_side = _side(found_spans, least_ms, pairs.found_at, (every.found_at, common_ms), len(found))
    true_side = _side(true_spans, least_ms, pairs.true_at, (every.true_at, common_ms), len(truth))
    counted = pairs.only(true_side.demanded[pairs.true_at])
    start, end = _errors(counted, found_spans, true_spans)
    return Agreement(
        found=found_side,
        truth=true_side,
        subjects=subjects,
        start=start,
        end=end,
        delay=_delay(counted, found, found_spans, true_spans),
    )


def _common_ms(every: Overlaps, found: Spans, truth: Spans) -> Int64:
    """Return how long both intervals of each pair last, an instant taken for nothing [ms]."""
    end_ms = np.minimum(found.end_ms[every.found_at], truth.end_ms[every.true_at])
    start_ms = np.maximum(found.start_ms[every.found_at], truth.start_ms[every.true_at])
    common: Int64 = np.maximum(end_ms - start_ms, 0)
    return common


def _side(spans: Spans, least_ms: float, paired: Int64, common: tuple[Int64, Int64], rows: int) -> Side:
    """Return a side; `paired` are the places that are matched, `common` places with the time in common there."""
    has = np.zeros(len(spans), dtype=np.bool_)
    has[paired] = True
    at, common_ms = common
    covered_ms = np.bincount(at, weights=common_ms, minlength=len(spans)).astype(np.int64)
    return Side(spans, has, spans.length_ms >= least_ms, covered_ms, rows - len(spans))


def _errors(pairs: Overlaps, found: Spans, truth: Spans) -> tuple[Spread | None, Spread | None]:
    start_ms = found.start_ms[pairs.found_at] - truth.start_ms[pairs.true_at]
    end_ms = found.end_ms[pairs.found_at] - truth.end_ms[pairs.true_at]
    both = found.ended[pairs.found_at] & truth.ended[pairs.true_at]
    return Spread.of(start_ms, signed=False), Spread.of(end_ms[both], signed=False)


def _delay(pairs: Overlaps, frame: pd.DataFrame, found: Spans, truth: Spans) -> Spread | None:
    if "seen" not in frame.columns:
        return None
    seen = frame["seen"].iloc[found.row[pairs.found_at]]
    told = seen.notna().to_numpy()
    return Spread.of(milliseconds(seen)[told] - truth.start_ms[pairs.true_at][told], signed=True)
