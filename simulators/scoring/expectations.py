"""What should be found in a scenario, and whether it was.

What is expected of findings is written in the names of `heatwatch score --json`, and compared with what that tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from heatwatch.domain.findings import FindingKind

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class KindExpected:
    """What is expected of the findings of one kind; None where nothing is.

    Attributes
    ----------
    true
        How many are true, at least: a scenario without them would teach nothing.
    recall, precision
        Share of what is true that is found, and of what was found that is true, at least.
    recall_by_time, precision_by_time
        The same of hours.
    delay_h
        From the true start until it is found, for 9 of 10, at most [h].
    start_error_h, end_error_h
        Error of the start and of the end, for 9 of 10, at most [h].
    false_alarms
        How many are found that are not true, at most.
    min_hours
        Only what lasts so long is demanded: for `--min-hours` of `heatwatch score` [h].
    """

    true: int | None = None
    recall: float | None = None
    precision: float | None = None
    recall_by_time: float | None = None
    precision_by_time: float | None = None
    delay_h: float | None = None
    start_error_h: float | None = None
    end_error_h: float | None = None
    false_alarms: int | None = None
    min_hours: float | None = None

    def unmet(self, kind: FindingKind, told: Mapping[str, Any]) -> list[str]:
        """Return what does not hold of what `heatwatch score` tells of this kind."""
        said = []
        for one in _MEASURES:
            bound = getattr(self, one.name)
            if bound is None:
                continue
            value = one.value(told)
            if value is None and one.needed:
                said.append(f"{_words(kind)}: there is no {one.words}, {_number(bound)} was expected")
            elif value is not None and not one.holds(value, bound):
                what = "at least" if one.at_least else "at most"
                said.append(f"{_words(kind)}: {one.words} {_number(value)}, expected {what} {_number(bound)}")
        return said


@dataclass(frozen=True, slots=True)
class Count:
    """How many there should be; None for no limit."""

    at_least: int = 0
    at_most: int | None = None

    def unmet(self, what: str, count: int) -> list[str]:
        """Return what does not hold of `count` of them."""
        if self.at_least <= count and (self.at_most is None or count <= self.at_most):
            return []
        limits = [f"at least {self.at_least}"] if self.at_least or self.at_most is None else []
        limits += [f"at most {self.at_most}"] if self.at_most is not None else []
        exactly = self.at_least == self.at_most
        return [f"{what}: {count}, expected {f'exactly {self.at_least}' if exactly else ' and '.join(limits)}"]


@dataclass(frozen=True, slots=True)
class Expectations:
    """What is expected of findings, tickets and notices, by kind.

    Attributes
    ----------
    findings
        Of findings, where anything is.
    tickets, notices
        How many are opened, or published, of a kind, where the scenario is run live.
    """

    findings: Mapping[FindingKind, KindExpected] = field(default_factory=dict)
    tickets: Mapping[str, Count] = field(default_factory=dict)
    notices: Mapping[str, Count] = field(default_factory=dict)

    @property
    def min_hours(self) -> dict[FindingKind, float]:
        """How long findings must last to be demanded, where that is told [h]."""
        return {kind: one.min_hours for kind, one in self.findings.items() if one.min_hours is not None}

    def check(
        self,
        told: Mapping[str, Any],
        tickets: Mapping[str, int] | None = None,
        notices: Mapping[str, int] | None = None,
    ) -> list[str]:
        """Return what does not hold, one plain sentence each; nothing where all is as expected.

        Parameters
        ----------
        told
            What `heatwatch score --json` tells, run with `min_hours`.
        tickets, notices
            How many were opened, or published, of each kind in a live run; None where there was none.

        Examples
        --------
        >>> expected = Expectations({FindingKind.HEAT_OUTAGE: KindExpected(recall=1.0)})
        >>> expected.check({"kinds": {"heat_outages": {"recall": 0.5}}})
        ['heat outages: recall 0.5, expected at least 1']
        """
        said: list[str] = []
        for kind, one in self.findings.items():
            scores = told["kinds"].get(kind.file_stem)
            said += [f"{_words(kind)}: not scored"] if scores is None else one.unmet(kind, scores)
        for what, counts, expected in (("tickets", tickets, self.tickets), ("notices", notices, self.notices)):
            if counts is not None:
                for name, count in expected.items():
                    said += count.unmet(f"{what} of the kind {name}", counts.get(name, 0))
        return said


def in_company(parts: Iterable[Expectations]) -> Expectations:
    """Return what can be expected when scenarios happen at once: what every one of them promises, at its weakest.

    - Of findings of a kind of which one part says nothing, only how many are true stays: the largest number.
    - Otherwise shares that are found are the smallest, errors and delays the largest of those named; demanded is what
      lasts longest.
    - Precision stays where every part promises one, or that there is no false alarm; numbers of false alarms add up.
    - Of tickets and notices the largest least number stays; the most add up where every part names one.
    """
    every = list(parts)
    if len(every) == 1:
        return every[0]
    kinds = dict.fromkeys(kind for part in every for kind in part.findings)
    return Expectations(
        {kind: _of_all([part.findings.get(kind) for part in every]) for kind in kinds},
        _counts_of_all([part.tickets for part in every]),
        _counts_of_all([part.notices for part in every]),
    )


def _of_all(every: list[KindExpected | None]) -> KindExpected:
    spoken = [one for one in every if one is not None]
    true = max((one.true for one in spoken if one.true is not None), default=None)
    if len(spoken) < len(every):
        return KindExpected(true=true)
    bounds = {
        name: weakest(values)
        for name, weakest in _WEAKEST.items()
        if (values := [value for one in spoken if (value := getattr(one, name)) is not None])
    }
    promised = {
        "precision": [1.0 if one.precision is None and one.false_alarms == 0 else one.precision for one in spoken],
        "precision_by_time": [one.precision_by_time for one in spoken],
    }
    kept = {name: min(known) for name, values in promised.items() if len(known := _known(values)) == len(values)}
    alarms = [0 if one.precision == 1.0 else one.false_alarms for one in spoken]
    return KindExpected(true=true, **bounds, **kept, false_alarms=_sum(alarms))


_WEAKEST: Mapping[str, Callable[[Iterable[Any]], Any]] = {
    "recall": min,
    "recall_by_time": min,
    "delay_h": max,
    "start_error_h": max,
    "end_error_h": max,
    "min_hours": max,
}


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _counts_of_all(every: Sequence[Mapping[str, Count]]) -> dict[str, Count]:
    counts = {}
    for name in dict.fromkeys(name for part in every for name in part):
        named = [part.get(name, Count()) for part in every]
        counts[name] = Count(max(one.at_least for one in named), _sum([one.at_most for one in named]))
    return {name: one for name, one in counts.items() if one != Count()}


@dataclass(frozen=True, slots=True)
class _Measure:
    """One measure: its field, its words, where `score` tells it, whether more of it is better, and whether it must be.

    Where nothing is true there is no recall, and the scenario does not show what it should; where nothing was found
    there is no precision, and nothing is wrong with that.
    """

    name: str
    words: str
    value: Callable[[Mapping[str, Any]], float | None]
    at_least: bool = False
    needed: bool = False

    def holds(self, value: float, bound: float) -> bool:
        return value >= bound - _ROUNDING if self.at_least else value <= bound + _ROUNDING


def _told(name: str) -> Callable[[Mapping[str, Any]], float | None]:
    def value(told: Mapping[str, Any]) -> float | None:
        said: float | None = told.get(name)
        return said

    return value


def _p90(name: str) -> Callable[[Mapping[str, Any]], float | None]:
    def value(told: Mapping[str, Any]) -> float | None:
        spread = told.get(name)
        return None if spread is None else float(spread["p90_h"])

    return value


def _true_count(told: Mapping[str, Any]) -> float | None:
    side = told.get("true")
    return None if side is None else float(side["count"])


_MEASURES = (
    _Measure("true", "true ones", _true_count, at_least=True, needed=True),
    _Measure("recall", "recall", _told("recall"), at_least=True, needed=True),
    _Measure("precision", "precision", _told("precision"), at_least=True),
    _Measure("recall_by_time", "recall of hours", _told("recall_by_time"), at_least=True, needed=True),
    _Measure("precision_by_time", "precision of hours", _told("precision_by_time"), at_least=True),
    _Measure("delay_h", "delay in hours", _p90("delay")),
    _Measure("start_error_h", "error of the start in hours", _p90("start_error")),
    _Measure("end_error_h", "error of the end in hours", _p90("end_error")),
    _Measure("false_alarms", "false alarms", _told("false_alarms")),
)


def _words(kind: FindingKind) -> str:
    return kind.file_stem.replace("_", " ")


def _number(value: float) -> str:
    return f"{value:.4g}"
