"""What takes something back, and what is a finding's ordinary course: the edges of both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heatwatch.domain.amendments import ORDINARY, SLACK_MS, Cause, Now, Revision, revision
from heatwatch.domain.findings import Finding, FindingKind, SubjectKind
from heatwatch.domain.instants import HOUR_MS

HEARD = 100 * HOUR_MS
BROUGHT_NEW, BROUGHT_NOTHING_NEW = Cause(), Cause(stale=True)


def spell(start_h: float, end_h: float | None = None, confirmed_h: float | None = None, **said: Any) -> Finding:
    start, end = round(start_h * HOUR_MS), None if end_h is None else round(end_h * HOUR_MS)
    confirmed = None if confirmed_h is None else round(confirmed_h * HOUR_MS)
    detail = {"min_temp_c": 16.0, "violation_h": 5.0, "rule": "R1", "end_reason": "" if end is None else "recovered"}
    place = (SubjectKind.POINT, "p1", "b1", "s1")
    return Finding(FindingKind.COLD_SPELL, *place, start, end, end is None, confirmed, detail | said)


def became(before: Finding, after: Finding | None, cause: Cause = BROUGHT_NEW, **more: Any) -> Revision | None:
    return revision(before, Now(after, **more), HEARD, cause)


@given(
    start_h=st.integers(0, 90),
    hours=st.floats(0, 200),
    colder=st.floats(0, 20),
    confirmed_h=st.none() | st.integers(91, 95),
    back_ms=st.none() | st.integers(0, SLACK_MS),
)
def test_growth_takes_nothing_back(
    start_h: int, hours: float, colder: float, confirmed_h: int | None, back_ms: int | None
) -> None:
    """Longer, colder, confirmed, over as an ordinary end is known: whatever new readings do to an open spell."""
    figures = {"violation_h": 5.0 + hours, "min_temp_c": 16.0 - colder}
    after = spell(start_h, None, confirmed_h, **figures)
    if back_ms is not None:
        after = replace(after, end_ms=max(after.start_ms, HEARD - back_ms), open=False)
    what = became(spell(start_h), after)
    assert what is None or what in ORDINARY


def test_what_has_not_changed_is_no_revision() -> None:
    for one in (spell(1), spell(1, 5), spell(1, 5, 2)):
        assert became(one, one) is None
        assert became(one, one, BROUGHT_NOTHING_NEW) is None


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (spell(50), spell(48), Revision.EXTENDED),
        (spell(50), spell(51), Revision.SHORTENED),
        (spell(50, 60), spell(50, 61), Revision.EXTENDED),
        (spell(50, 60), spell(50, 59), Revision.SHORTENED),
        (spell(50, 60), spell(50), Revision.EXTENDED),
        (spell(50, 60), spell(51, 61), Revision.MOVED),
        (spell(50, 60), spell(49, 60), Revision.EXTENDED),
        (spell(50), None, Revision.WITHDRAWN),
        (spell(50, 60), spell(50, 60, min_temp_c=15.9), Revision.CORRECTED),
        (spell(50, 60), spell(50, 60, violation_h=6.0), Revision.CORRECTED),
        (spell(50, 60), spell(50, 60, end_reason="silence"), Revision.CORRECTED),
        (spell(50), spell(50, min_temp_c=16.1), Revision.CORRECTED),
        (spell(50), spell(50, min_temp_c=15.9), None),
        (spell(50), spell(50, violation_h=4.9), Revision.CORRECTED),
        (spell(50, None, 51), spell(50, None, 52), Revision.CORRECTED),
        (spell(50, None, 51), spell(50), Revision.CORRECTED),
        (spell(50), spell(50, None, 51), Revision.CONFIRMED),
        (spell(50), spell(50, 99), Revision.ENDED),
    ],
)
def test_what_is_said_otherwise_has_a_name(before: Finding, after: Finding | None, expected: Revision | None) -> None:
    assert became(before, after) == expected


def test_an_end_further_back_than_any_takes_to_be_known_takes_back_that_it_went_on() -> None:
    edge_h = (HEARD - SLACK_MS) / HOUR_MS
    edge = spell(50, edge_h)
    assert became(spell(50), edge) == Revision.ENDED
    assert became(spell(50), replace(edge, end_ms=HEARD - SLACK_MS - 1)) == Revision.SHORTENED


def test_an_end_that_older_readings_alone_tell_takes_back_that_it_went_on() -> None:
    assert became(spell(50), spell(50, 99), BROUGHT_NOTHING_NEW) == Revision.SHORTENED
    assert became(spell(50), spell(50, 99, end_reason="silence"), BROUGHT_NOTHING_NEW) == Revision.ENDED


def test_a_colder_reading_that_is_late_corrects_and_a_new_one_does_not() -> None:
    assert became(spell(50), spell(50, min_temp_c=15.0), BROUGHT_NOTHING_NEW) == Revision.CORRECTED
    assert became(spell(50), spell(50, min_temp_c=15.0)) is None


def test_parts_and_merges_come_before_the_span() -> None:
    assert became(spell(50, 60), spell(50, 55), parts=[spell(57, 60)]) == Revision.SPLIT
    assert became(spell(50, 60), spell(50, 70), took=[7]) == Revision.MERGED
    assert became(spell(50, 60), None, into=3) == Revision.MERGED
