"""Scoring agrees with a brute-force matcher, with examples worked by hand, and treats both sides alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heatwatch.domain.findings import FindingKind
from heatwatch.domain.instants import HOUR_MS
from simulators.scoring.agreement import Agreement, Scoring, agreement
from simulators.scoring.matching import Least, entangled, matched, overlaps, spans_of, subject_numbers
from simulators.scoring.promptness import Promptness, answers, true_findings

Row = tuple[str, float, float | None]
"""Subject, start and end in hours; no end: it goes on."""
COLD = FindingKind.COLD_SPELL
AS_OF_H = 100


def at(hours: Sequence[float | None]) -> pd.Series[pd.Timestamp]:
    ms = [None if hour is None else round(hour * HOUR_MS) for hour in hours]
    return pd.Series(pd.to_datetime(pd.Series(ms, dtype="Int64"), unit="ms", utc=True).dt.as_unit("ms"))


def table(*rows: Row, kind: str = "", seen: Sequence[float | None] | None = None) -> pd.DataFrame:
    who = pd.Series([row[0] for row in rows], dtype="str")
    start, end = at([row[1] for row in rows]), at([row[2] for row in rows])
    frame = pd.DataFrame({"subject_kind": "point", "subject_id": who, "kind": kind, "start": start, "end": end})
    return frame if seen is None else frame.assign(seen=at(seen))


def scored(
    found: pd.DataFrame, truth: pd.DataFrame, *, least: Least | None = None, min_h: float = 0, as_of_h: float = AS_OF_H
) -> Agreement:
    numbers = Scoring(round(as_of_h * HOUR_MS), least or Least(), {COLD: min_h})
    return agreement(COLD, found, truth, numbers)


@st.composite
def disjoint(draw: st.DrawFn, most: int = 5, latest: int = 24) -> list[Row]:
    """Draw intervals of two subjects in whole hours, some without length, the last one perhaps going on."""
    rows: list[Row] = []
    for subject in ("p1", "p2"):
        edges = sorted(draw(st.lists(st.integers(0, latest), max_size=2 * most)))
        spans = list(zip(edges[::2], edges[1::2], strict=False))
        kept = [one for one, after in pairwise([*spans, (latest + 1, 0)]) if one[0] < after[0]]
        rows += [(subject, start, end) for start, end in kept]
        if len(edges) % 2 and edges[-1] > (kept[-1][0] if kept else -1):
            rows.append((subject, edges[-1], None))
    return draw(st.permutations(rows))


def common_ms(one: Row, other: Row, as_of_h: float = AS_OF_H) -> tuple[int, int]:
    """Return overlap and union of two intervals, an instant taken for a millisecond; as plain as can be."""
    if one[0] != other[0]:
        return 0, 1
    cut = [(row[1] * HOUR_MS, (as_of_h if row[2] is None else min(row[2], as_of_h)) * HOUR_MS) for row in (one, other)]
    (a, b), (c, d) = [(start, max(end, start + 1)) for start, end in cut]
    return max(0, round(min(b, d) - max(a, c))), round(max(b, d) - min(a, c))


def every_matching(found: list[Row], truth: list[Row], least: Least) -> Iterator[list[int]]:
    """Give the overlaps of every one-to-one matching."""
    if not truth:
        yield []
        return
    yield from every_matching(found, truth[1:], least)
    for place, one in enumerate(found):
        overlap, union = common_ms(one, truth[0])
        if overlap > 0 and overlap >= least.overlap_h * HOUR_MS and overlap >= least.share * union:
            for rest in every_matching(found[:place] + found[place + 1 :], truth[1:], least):
                yield [overlap, *rest]


def best_by_force(found: list[Row], truth: list[Row], least: Least) -> tuple[int, int]:
    """Return the largest sum of overlaps [ms] and, of the matchings that have it, the most pairs."""
    return max((sum(one), len(one)) for one in every_matching(found, truth, least))


CASES = settings(deadline=None)
LEASTS = st.builds(Least, st.sampled_from([0.0, 1.0, 2.5]), st.sampled_from([0.0, 0.3, 0.5, 1.0]))


@CASES
@given(disjoint(), disjoint(), LEASTS)
def test_no_matching_is_better(found: list[Row], truth: list[Row], least: Least) -> None:
    force = [
        best_by_force([row for row in found if row[0] == name], [row for row in truth if row[0] == name], least)
        for name in ("p1", "p2")
    ]
    spans = [spans_of(table(*rows), number, AS_OF_H * HOUR_MS) for rows, number in numbered(found, truth)]
    every = overlaps(spans[0], spans[1])
    pairs = matched(every.only(least.met(every)))
    assert (pairs.overlap_ms.sum(), pairs.overlap_ms.size) == tuple(np.sum(force, axis=0))
    assert len(set(pairs.true_at.tolist())) == len(set(pairs.found_at.tolist())) == pairs.true_at.size


def numbered(found: list[Row], truth: list[Row]) -> list[tuple[list[Row], np.ndarray[tuple[int], np.dtype[np.int64]]]]:
    first, second, _ = subject_numbers(table(*found), table(*truth))
    return [(found, first), (truth, second)]


@CASES
@given(disjoint(), disjoint(), LEASTS, st.sampled_from([0.0, 3.0]))
def test_exchanging_the_sides_exchanges_precision_and_recall(
    found: list[Row], truth: list[Row], least: Least, min_h: float
) -> None:
    there = scored(table(*found), table(*truth), least=least, min_h=min_h)
    back = scored(table(*truth), table(*found), least=least, min_h=min_h)
    assert (there.precision, there.recall) == (back.recall, back.precision)
    assert there.found.rate_by_time == back.truth.rate_by_time
    assert there.truth.rate_by_time == back.found.rate_by_time
    for one, other in ((there.found, back.truth), (there.truth, back.found)):
        assert set(one.spans.row[one.matched]) == set(other.spans.row[other.matched])


@CASES
@given(disjoint(), disjoint(), st.floats(0.5, 20))
def test_a_false_alarm_never_raises_precision(found: list[Row], truth: list[Row], length_h: float) -> None:
    before = scored(table(*found), table(*truth))
    after = scored(table(*found, ("elsewhere", 30, 30 + length_h)), table(*truth))
    assert after.precision is not None
    assert after.precision <= (1.0 if before.precision is None else before.precision)
    assert after.recall == before.recall
    assert after.false_alarms == before.false_alarms + 1


@CASES
@given(disjoint())
def test_what_agrees_wholly_is_right(rows: list[Row]) -> None:
    one = scored(table(*rows), table(*rows[::-1]))
    whole = None if not rows else 1.0
    assert (one.precision, one.recall, one.false_alarms) == (whole, whole, 0)
    assert one.start is None if not rows else (one.start is not None and one.start.median_h == one.start.mean_h == 0)


@CASES
@given(disjoint(), disjoint())
def test_rates_are_shares_and_rows_have_no_order(found: list[Row], truth: list[Row]) -> None:
    one, again = scored(table(*found), table(*truth)), scored(table(*found[::-1]), table(*truth[::-1]))
    assert one.told(2.0) == again.told(2.0)
    for rate in (one.precision, one.recall, one.found.rate_by_time, one.truth.rate_by_time):
        assert rate is None or 0 <= rate <= 1


@CASES
@given(disjoint(most=3), disjoint(most=3))
def test_moments_too_far_apart_for_one_number_make_no_difference(found: list[Row], truth: list[Row]) -> None:
    sides = [spans_of(table(*rows), number, AS_OF_H * HOUR_MS) for rows, number in numbered(found, truth)]
    near = overlaps(sides[0], sides[1])
    far = [type(one)(one.subject * 10**12, one.start_ms, one.end_ms, one.ended, one.row) for one in sides]
    assert near.true_at.tolist() == overlaps(far[0], far[1]).true_at.tolist()


def test_an_example_worked_by_hand() -> None:
    """Two of three true ones found, one late by 1 h and 2 h too long, one early by half an hour; one false alarm."""
    truth = table(("a", 0, 10), ("a", 20, 24), ("b", 50, 60))
    found = table(("a", 1, 12), ("b", 49.5, 60), ("c", 5, 6), seen=[3, 50.5, 5])
    one = scored(found, truth)
    assert (one.precision, one.recall) == (2 / 3, 2 / 3)
    assert (one.false_alarms, one.truth.count - one.truth.hits) == (1, 1)
    assert (one.found.hours, one.found.hours_covered) == (22.5, 19.0)
    assert (one.truth.hours, one.truth.hours_covered) == (24.0, 19.0)
    assert one.start is not None
    assert (one.start.median_h, one.start.mean_h) == (0.75, 0.25)
    assert one.start.p90_h == pytest.approx(0.95)
    assert one.end is not None
    assert (one.end.median_h, one.end.mean_h) == (1.0, 1.0)
    assert one.delay is not None
    assert (one.delay.count, one.delay.median_h, one.delay.mean_h) == (2, 1.75, 1.75)
    assert one.told(4.0)["false_alarms_per_building_month"] == 0.25


def test_one_true_one_in_pieces_is_found_once_and_all_its_hours_count() -> None:
    one = scored(table(("a", 0, 3), ("a", 4, 9)), table(("a", 0, 10)))
    assert (one.recall, one.precision) == (1.0, 0.5)
    assert one.found.matched.tolist() == [False, True]
    assert (one.truth.rate_by_time, one.found.rate_by_time) == (0.8, 1.0)


def test_a_chain_is_matched_for_the_largest_sum_not_one_by_one() -> None:
    """The longest overlap, 6 h, would leave 0; the two beside it have 4 h and 5 h together."""
    truth, found = table(("a", 0, 10), ("a", 11, 16)), table(("a", 0, 4), ("a", 5, 16))
    assert scored(found, truth).recall == 1.0
    truth, found = table(("a", 0, 10), ("a", 11, 12)), table(("a", 0, 2), ("a", 3, 12))
    one = scored(found, truth)
    assert (one.truth.matched.tolist(), one.found.matched.tolist()) == ([True, False], [False, True])


def test_the_same_sum_is_taken_with_more_pairs() -> None:
    truth, found = table(("a", 0, 4), ("a", 6, 8)), table(("a", 0, 1), ("a", 2, 7))
    assert scored(found, truth).truth.matched.tolist() == [True, True]


def test_exact_edges() -> None:
    truth = table(("a", 10, 20))
    assert scored(table(("a", 20, 21)), truth).recall == 0
    assert scored(table(("a", 9, 10)), truth).recall == 0
    assert scored(table(("a", 20 - 1 / 3_600_000, 21)), truth).recall == 1
    assert scored(table(("b", 10, 20)), truth).recall == 0


def test_what_has_no_length_stands_for_its_instant() -> None:
    truth = table(("a", 10, 20))
    assert scored(table(("a", 10, 10)), truth).precision == 1
    assert scored(table(("a", 20, 20)), truth).precision == 0
    one = scored(table(("a", 15, 15)), table(("a", 15, 15)))
    assert (one.precision, one.recall, one.found.rate_by_time) == (1, 1, None)


def test_an_overlap_must_be_long_enough() -> None:
    truth, found = table(("a", 0, 10)), table(("a", 8, 12))
    for least, enough in ((Least(2), 1), (Least(2.01), 0), (Least(0, 2 / 12), 1), (Least(0, 0.17), 0)):
        assert scored(found, truth, least=least).recall == enough


def test_what_goes_on_ends_at_as_of_and_has_no_error_of_its_end() -> None:
    one = scored(table(("a", 12, None)), table(("a", 10, None)), as_of_h=20)
    assert (one.truth.hours, one.found.hours, one.truth.hours_covered) == (10, 8, 8)
    assert one.end is None
    cut = scored(table(("a", 12, 19)), table(("a", 10, 30)), as_of_h=20)
    assert (cut.truth.hours, cut.end) == (10, None)


def test_what_begins_after_as_of_is_left_out_and_counted() -> None:
    one = scored(table(("a", 12, None)), table(("a", 10, None), ("a2", 20.5, 30)), as_of_h=20)
    assert (one.recall, one.truth.count, one.truth.later, one.found.later) == (1, 1, 1, 0)
    just = scored(table(("a", 20, None)), table(("a", 10, None)), as_of_h=20)
    assert (just.found.count, just.found.later) == (1, 0)


def test_shorter_ones_are_neither_missed_nor_false() -> None:
    truth = table(("a", 0, 8), ("b", 0, 7.99), ("c", 0, 20), ("d", 0, 5))
    found = table(("a", 2, 8), ("c", 0, 20), ("d", 0, 9), ("e", 0, 1), ("f", 0, 10))
    one = scored(found, truth, min_h=8)
    assert (one.truth.count, one.truth.hits, one.recall) == (2, 2, 1)
    assert (one.found.count, one.found.hits, one.false_alarms) == (3, 2, 1)
    assert scored(found, truth).false_alarms == 2
    assert one.start is not None
    assert (one.start.count, one.start.mean_h) == (2, 1)


def test_nothing_is_neither_all_nor_not_a_number() -> None:
    one = scored(table(), table())
    assert (one.precision, one.recall, one.start, one.end, one.delay) == (None,) * 5
    assert scored(table(), table(("a", 1, 2))).precision is None
    assert scored(table(), table(("a", 1, 2))).recall == 0
    assert scored(table(("a", 1, 2)), table()).recall is None


def test_kinds_of_fault_are_matched_apart() -> None:
    one = scored(table(("a", 0, 9), kind="stuck"), table(("a", 0, 9), kind="drift"))
    assert (one.precision, one.recall) == (0, 0)


def test_overlapping_rows_are_named() -> None:
    assert entangled(table(("a", 0, 5), ("b", 1, 2), ("a", 5, 6))) is None
    assert entangled(table(("a", 4, 6), ("b", 1, 2), ("a", 0, 5))) == (2, 0)
    assert entangled(table(("a", 0, None), ("a", 7, 8))) == (0, 1)
    assert entangled(table(("a", 1, 1), ("a", 1, 8))) == (0, 1)


def deeds(*rows: tuple[str, str, str, str, float, float | None, float | None]) -> pd.DataFrame:
    columns = ["id", "kind", "subject_kind", "subject_id", "cause_start", "done", "due"]
    cells = dict(zip(columns, zip(*rows, strict=True), strict=True))
    return pd.DataFrame({name: at(row) if name in columns[4:] else list(row) for name, row in cells.items()})


PLACES = pd.DataFrame(
    [["a", "h", "s"], ["b", "h", "s"], ["c", "k", "s"]], columns=["point_id", "building_id", "station_id"]
)


def outages(*rows: Row) -> pd.DataFrame:
    return table(*rows).assign(subject_kind="building")


def answered(
    given: pd.DataFrame, *, cold: pd.DataFrame, stops: pd.DataFrame, within_h: float | None = None
) -> Promptness:
    numbers = Scoring(AS_OF_H * HOUR_MS)
    kinds = {COLD: cold, FindingKind.HEAT_OUTAGE: stops}
    true = true_findings({kind: agreement(kind, frame, frame, numbers) for kind, frame in kinds.items()}, kinds)
    return answers(given, true, PLACES, kinds, within_h=within_h)


def test_tickets_answer_their_subject_and_what_is_inside_it() -> None:
    """A building's outage and one of its cold rooms have one ticket, another room has two; one is for nothing."""
    given = deeds(
        ("1", "heat_outage", "building", "h", 10.5, 12, 13),
        ("2", "low_temperature", "point", "c", 30, 31.5, None),
        ("3", "low_temperature", "point", "c", 32, 33, None),
        ("4", "low_temperature", "point", "b", 70, 71, None),
        ("5", "repair", "point", "b", 10, 11, None),
    )
    one = answered(given, cold=table(("a", 11, 20), ("c", 30, 40), ("c", 80, 90)), stops=outages(("h", 10, 19)))
    assert (one.demanded, one.answered, one.recall) == (4, 3, 0.75)
    assert (one.issued, one.false, one.further, one.left_out) == (4, 1, 1, 1)
    assert (one.judged, one.on_time) == (3, 2)
    assert one.delay is not None
    assert one.delay.median_h == 1.5


def test_a_notice_is_due_from_the_true_start() -> None:
    """The stop was seen 1 h late; the notice is within its own deadline, and half an hour past the true one."""
    long, brief = ("h", 10, 20), ("k", 10, 17)
    given = deeds(("1", "stop", "building", "h", 11, 18.5, 19), ("2", "restoration", "building", "h", 11, 21, None))
    one = answered(given, cold=table(), stops=outages(long, brief), within_h=8)
    assert (one.demanded, one.answered, one.judged, one.on_time) == (1, 1, 1, 0)
    early = answered(given.assign(done=at([18, 21])), cold=table(), stops=outages(long, brief), within_h=8)
    assert (early.on_time, early.on_time_rate, early.left_out) == (1, 1.0, 1)


def test_a_notice_that_was_not_published_is_late() -> None:
    given = deeds(("1", "stop", "building", "h", 10, None, 18))
    one = answered(given, cold=table(), stops=outages(("h", 10, 20)), within_h=8)
    assert (one.demanded, one.answered, one.judged, one.on_time, one.issued) == (1, 0, 1, 0, 0)
    assert (one.recall, one.precision, one.delay) == (0, None, None)


def test_a_station_asks_for_no_notice_beside_its_houses() -> None:
    stops = pd.concat([outages(("h", 10, 20), ("k", 10, 20)), table(("s", 10, 20)).assign(subject_kind="station")])
    given = deeds(("1", "stop", "building", "h", 10, 17.5, 18), ("1", "stop", "building", "k", 10, 17.5, 18))
    one = answered(given, cold=table(), stops=stops, within_h=8)
    assert (one.demanded, one.answered, one.on_time, one.false) == (2, 2, 2, 0)
    whole = answered(deeds(("1", "stop", "station", "s", 10, 17.5, 18)), cold=table(), stops=stops, within_h=8)
    assert (whole.demanded, whole.answered, whole.on_time, whole.false) == (2, 2, 2, 0)


def test_an_open_ticket_takes_in_what_begins_later() -> None:
    """Rooms turn cold 5 h after their house's ticket was opened; after it is closed they need one of their own."""
    ticket = deeds(("1", "heat_outage", "building", "h", 10, 11, None))
    cold, stops = table(("a", 16, 20), ("b", 30, 40)), outages(("h", 10, 19))
    never, still, closed = (
        answered(given, cold=cold, stops=stops)
        for given in (ticket, ticket.assign(closed=at([None])), ticket.assign(closed=at([25])))
    )
    assert (never.answered, still.answered, closed.answered) == (1, 3, 2)
    assert still.delay is not None
    assert (still.delay.median_h, still.delay.p90_h) == (0, 0.8)


def test_a_cold_spell_that_was_never_confirmed_asks_for_no_ticket() -> None:
    cold = table(("a", 0, 0.5), ("b", 0, 4)).assign(seen=at([None, 1]))
    given = deeds(("1", "low_temperature", "point", "b", 0, 1, None))
    one = answered(given, cold=cold, stops=outages())
    assert (one.demanded, one.answered) == (1, 1)
    assert answered(given, cold=cold.drop(columns="seen"), stops=outages()).demanded == 2


def test_a_stop_that_never_was_has_a_false_ticket_unless_rooms_were_cold() -> None:
    given = deeds(("1", "heat_outage", "building", "h", 0, 1, None))
    idle = answered(given, cold=table(), stops=outages())
    assert (idle.issued, idle.false, idle.left_out) == (1, 1, 0)
    needed = answered(given, cold=table(("a", 0, 4)), stops=outages())
    assert (needed.answered, needed.false) == (1, 0)
