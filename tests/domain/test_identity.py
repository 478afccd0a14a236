"""Which finding goes on under which number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from heatwatch.domain.findings import Finding, FindingKind, SubjectKind
from heatwatch.domain.identity import Issued, identify

AS_OF = 1000


def spell(start: int, end: int | None, confirmed: int | None = None, *, subject: str = "p1", **detail: Any) -> Finding:
    kind = FindingKind.SENSOR_FAULT if "kind" in detail else FindingKind.COLD_SPELL
    return Finding(kind, SubjectKind.POINT, subject, "b", "s", start, end, end is None, confirmed, detail)


def issued(*findings: Finding) -> list[Issued]:
    """Issue findings under the numbers 1, 2 and so on."""
    return [Issued(number, finding) for number, finding in enumerate(findings, 1)]


def found(*findings: Finding) -> list[Finding]:
    return list(findings)


@st.composite
def apart(draw: st.DrawFn) -> list[Finding]:
    """Draw findings as judging gives them: of each subject, one after the other, the last perhaps open."""
    every = []
    for subject in ("p1", "p2"):
        edges = draw(st.lists(st.integers(0, 60), unique=True, max_size=8).map(sorted))
        for start, end in zip(edges[::2], edges[1::2], strict=False):
            confirmed = draw(st.none() | st.integers(start, end))
            every.append(spell(start, end, confirmed, subject=subject))
        if len(edges) % 2:
            every.append(spell(edges[-1], None, subject=subject))
    return every


@st.composite
def anything(draw: st.DrawFn) -> list[Finding]:
    """Draw findings that overlap as they like, no two with the same extent."""
    spans = st.tuples(st.integers(0, 12), st.integers(0, 6), st.none() | st.integers(0, 18))
    every = draw(st.lists(spans, max_size=7, unique_by=lambda span: span[:2]))
    return [spell(start, start + length, confirmed) for start, length, confirmed in every]


@given(apart() | anything(), apart() | anything(), st.randoms(use_true_random=False))
def test_the_order_of_what_is_given_changes_nothing(was: list[Finding], now: list[Finding], random: Any) -> None:
    before, mixed, places = issued(*was), issued(*was), list(range(len(now)))
    random.shuffle(mixed)
    random.shuffle(places)
    again = identify([now[place] for place in places], mixed, AS_OF)
    first = identify(now, before, AS_OF)
    assert sorted((repr(now[p]), n or 0) for p, n in zip(places, again, strict=True)) == sorted(
        (repr(one), n or 0) for one, n in zip(now, first, strict=True)
    )


@given(apart() | anything(), apart() | anything())
def test_no_number_is_given_twice_or_to_another_subject(was: list[Finding], now: list[Finding]) -> None:
    numbers = identify(now, issued(*was), AS_OF)
    given_ = [number for number in numbers if number is not None]
    assert len(given_) == len(set(given_))
    assert all(was[number - 1].subject_id == one.subject_id for number, one in zip(numbers, now, strict=True) if number)


@given(apart() | anything())
def test_what_is_found_again_keeps_its_number(was: list[Finding]) -> None:
    numbers = identify(was, issued(*was), AS_OF)
    assert [was[number - 1] for number in numbers if number is not None] == was


@given(apart(), st.integers(61, 90), st.integers(0, 40))
def test_what_only_goes_on_longer_keeps_its_number(was: list[Finding], end: int, gone_on: int) -> None:
    """The last spell of each subject grows, whether it ends or stays open."""
    now = [replace(one, end_ms=end + gone_on, open=False) if one.end_ms is None else one for one in was]
    assert identify(now, issued(*was), AS_OF) == [one.id for one in issued(*was)]


@given(apart().filter(lambda was: any(one.subject_id == "p1" for one in was)))
def test_a_merge_keeps_the_earliest(was: list[Finding]) -> None:
    own = [one for one in issued(*was) if one.finding.subject_id == "p1"]
    whole = spell(min(one.finding.start_ms for one in own), None)
    earliest = min(own, key=lambda one: one.finding.start_ms)
    assert identify([whole], issued(*was), AS_OF) == [earliest.id]


@given(st.lists(st.integers(1, 99), min_size=2, max_size=6, unique=True).map(sorted), st.data())
def test_a_split_keeps_the_number_with_the_part_that_holds_its_confirmation(
    edges: list[int], data: st.DataObject
) -> None:
    """However short that part is."""
    parts = [spell(start, end) for start, end in zip([0, *edges[1::2]], edges[::2], strict=False)]
    chosen = data.draw(st.integers(0, len(parts) - 1))
    confirmed = data.draw(st.integers(parts[chosen].start_ms, parts[chosen].end_ms or 0))
    numbers = identify(parts, issued(spell(0, 100, confirmed)), AS_OF)
    assert numbers == [1 if place == chosen else None for place in range(len(parts))]


def test_a_split_without_confirmation_keeps_the_number_with_the_longest_part() -> None:
    assert identify(found(spell(0, 5), spell(6, 20), spell(30, 40)), issued(spell(0, 50)), AS_OF) == [None, 1, None]


def test_a_confirmation_that_no_part_holds_counts_for_none() -> None:
    assert identify(found(spell(0, 5), spell(10, 20)), issued(spell(0, 50, 7)), AS_OF) == [None, 1]


def test_the_part_that_goes_elsewhere_leaves_the_number_to_the_next() -> None:
    """The first is cut short, the second begins earlier, so that it touches both: each stays what it was."""
    before = issued(spell(0, 20, 5), spell(30, 60, 35))
    assert identify(found(spell(0, 15, 5), spell(18, 60, 25)), before, AS_OF) == [1, 2]


def test_an_open_one_is_the_one_that_has_ended_meanwhile() -> None:
    assert identify(found(spell(10, 500)), issued(spell(10, None)), AS_OF) == [1]


def test_an_open_one_reaches_to_as_of() -> None:
    """What begins later cannot be it."""
    assert identify(found(spell(40, 50)), issued(spell(10, None)), 39) == [None]
    assert identify(found(spell(40, 50)), issued(spell(10, None)), 45) == [1]


def test_what_follows_at_once_is_another() -> None:
    assert identify(found(spell(20, 30)), issued(spell(10, 20)), AS_OF) == [None]


def test_a_spell_of_one_reading_is_what_it_grows_into() -> None:
    single = issued(spell(20, 20))
    assert identify(found(spell(20, 90)), single, AS_OF) == [1]
    assert identify(found(spell(5, 20)), single, AS_OF) == [1]
    assert identify(found(spell(20, None)), single, AS_OF) == [1]
    assert identify(found(spell(21, 90)), single, AS_OF) == [None]


def test_what_shrinks_to_one_reading_stays_itself() -> None:
    assert identify(found(spell(20, 20)), issued(spell(20, 90, None)), AS_OF) == [1]


def test_a_fault_goes_on_only_as_the_same_kind_of_fault() -> None:
    was = issued(spell(0, 50, kind="stuck"))
    assert identify(found(spell(0, 50, kind="spike"), spell(10, 20, kind="stuck")), was, AS_OF) == [None, 1]


def test_kind_and_subject_are_part_of_what_it_is() -> None:
    outage = replace(spell(0, 50), kind=FindingKind.DATA_OUTAGE)
    building = replace(outage, subject_kind=SubjectKind.BUILDING)
    assert identify(found(outage, building, spell(0, 50, subject="p2")), issued(spell(0, 50)), AS_OF) == [None] * 3
    assert identify(found(building), issued(outage), AS_OF) == [None]
