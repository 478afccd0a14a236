"""The identity of findings: which of the newly found ones is one that was issued before.

Judging says what it finds, afresh each time; people hold on to what was issued. One pure function joins the two.
Among findings of the same kind and subject (of the same kind of fault, for sensor faults) that overlap in time:

- an issued finding wants to go on as the found one with its own extent, else as the part that holds its
  `confirmed_at` (a split), else as the one that it overlaps longest;
- a found one wants the number of the issued one with its own extent, else of the earliest (a merge);
- the numbers are given so that no two who are not together both want each other more (a stable matching, of which
  the one that the issued findings like best is taken). It depends on the findings alone, never on their order.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from heatwatch.domain.findings import Finding, FindingKind, SubjectKind

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
Subject = tuple[FindingKind, SubjectKind, str]


@dataclass(frozen=True, slots=True)
class Issued:
    """A finding that was issued under the number `id`."""

    id: int
    finding: Finding


def identify(found: Sequence[Finding], issued: Sequence[Issued], as_of_ms: int) -> list[int | None]:
    """Return the number of each found finding, None where it is a new one.

    Parameters
    ----------
    found
        What judging says now, in any order.
    issued
        What was issued and not withdrawn, in any order, each `id` once.
    as_of_ms
        Up to where what is open goes on [ms].

    Returns
    -------
    list of int or None
        As long as `found`; no number twice. An issued finding whose number is not in it has vanished.
    """
    numbers: list[int | None] = [None] * len(found)
    was = _grouped((_family(one.finding), one) for one in issued)
    for family, places in _grouped((_family(one), place) for place, one in enumerate(found)).items():
        places.sort(key=lambda place: canonical(found[place]))
        now = [_Part.of(found[place], as_of_ms) for place in places]
        for part, number in _pair(now, _before(was.get(family, ()), as_of_ms)):
            numbers[places[part]] = number
    return numbers


def subject_of(finding: Finding) -> Subject:
    """Return what a finding speaks of, and as which kind."""
    return finding.kind, finding.subject_kind, finding.subject_id


def canonical(finding: Finding) -> tuple[Any, ...]:
    """Return a sorting key that is the same for equal findings only."""
    detail = json.dumps(dict(finding.detail), sort_keys=True, default=str)
    end = (finding.end_ms is None, finding.end_ms or 0)
    return (*subject_of(finding), finding.start_ms, *end, finding.open, str(finding.confirmed_ms), detail)


@dataclass(frozen=True, slots=True)
class _Part:
    """A finding's extent [ms], an open end cut at as_of, and when it was confirmed."""

    start: int
    end: int
    confirmed: int | None

    @classmethod
    def of(cls, finding: Finding, as_of_ms: int) -> _Part:
        end = as_of_ms if finding.end_ms is None else finding.end_ms
        return cls(finding.start_ms, max(finding.start_ms, end), finding.confirmed_ms)

    @property
    def extent(self) -> tuple[int, int]:
        return self.start, self.end

    def overlap(self, other: _Part) -> int | None:
        """Return how long both last [ms]; None where they have nothing in common.

        Two that follow on one another have nothing in common. One without length has, with what it touches.
        """
        common = min(self.end, other.end) - max(self.start, other.start)
        brief = self.start == self.end or other.start == other.end
        return common if common > 0 or (common == 0 and brief) else None

    def holds(self, instant: int | None) -> bool:
        return instant is not None and self.start <= instant <= self.end


def _family(finding: Finding) -> tuple[str, ...]:
    fault = str(finding.detail.get("kind", "")) if finding.kind is FindingKind.SENSOR_FAULT else ""
    return (*subject_of(finding), fault)


def _grouped(pairs: Iterable[tuple[_Key, _Value]]) -> dict[_Key, list[_Value]]:
    groups: defaultdict[_Key, list[_Value]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups


def _before(issued: Iterable[Issued], as_of_ms: int) -> list[tuple[int, _Part]]:
    """Return issued numbers with their extents, the earliest first."""
    parts = [(one.id, _Part.of(one.finding, as_of_ms)) for one in issued]
    return sorted(parts, key=lambda pair: (pair[1].start, pair[0]))


def _pair(now: Sequence[_Part], before: Sequence[tuple[int, _Part]]) -> Iterator[tuple[int, int]]:
    """Give (place in `now`, number): first those whose extent is unchanged, which want each other most."""
    same: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for place in reversed(range(len(now))):
        same[now[place].extent].append(place)
    moved = []
    taken = set()
    for number, part in before:
        if same[part.extent]:
            place = same[part.extent].pop()
            taken.add(place)
            yield place, number
        else:
            moved.append((number, part))
    yield from _settle(now, [place for place in range(len(now)) if place not in taken], moved)


def _settle(
    now: Sequence[_Part], free: Sequence[int], before: Sequence[tuple[int, _Part]]
) -> Iterator[tuple[int, int]]:
    """Match by proposal: each issued one asks down its list; a found one keeps the earliest that has asked."""
    lists = [_wishes(part, now, free) for _, part in before]
    holder: dict[int, int] = {}
    asking = list(range(len(before)))
    while asking:
        rank = asking.pop()
        place = next(lists[rank], None)
        if place is None:
            continue
        rival = holder.get(place)
        if rival is not None:
            asking.append(max(rank, rival))
        holder[place] = rank if rival is None else min(rank, rival)
    return ((place, before[rank][0]) for place, rank in holder.items())


def _wishes(part: _Part, now: Sequence[_Part], free: Sequence[int]) -> Iterator[int]:
    """Give the places that an issued finding could go on in, the one that it wants most first."""
    common = {place: part.overlap(now[place]) for place in free}
    open_to = [place for place in free if common[place] is not None]
    return iter(sorted(open_to, key=lambda p: (not now[p].holds(part.confirmed), -(common[p] or 0), p)))
