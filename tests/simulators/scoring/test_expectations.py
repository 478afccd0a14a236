"""What a scenario expects is compared with what `score` tells, in plain sentences; in company only what stays true."""

from __future__ import annotations

from typing import Any

import pytest

from heatwatch.domain.findings import FindingKind
from simulators.scoring.expectations import Count, Expectations, KindExpected, in_company

HEAT, COLD, DATA = FindingKind.HEAT_OUTAGE, FindingKind.COLD_SPELL, FindingKind.DATA_OUTAGE


def told(**measures: Any) -> dict[str, Any]:
    return {"kinds": {"heat_outages": measures}}


def spread(p90_h: float) -> dict[str, float]:
    return {"count": 3, "median_h": 0.0, "p90_h": p90_h, "mean_h": 0.0}


CASES: dict[str, tuple[KindExpected, dict[str, Any], list[str]]] = {
    "as many as expected": (KindExpected(true=3), told(true={"count": 3}), []),
    "too few": (KindExpected(true=3), told(true={"count": 2}), ["heat outages: true ones 2, expected at least 3"]),
    "found": (KindExpected(recall=1.0), told(recall=1.0), []),
    "missed": (KindExpected(recall=1.0), told(recall=2 / 3), ["heat outages: recall 0.6667, expected at least 1"]),
    "nothing true": (
        KindExpected(recall=1.0),
        told(recall=None),
        ["heat outages: there is no recall, 1 was expected"],
    ),
    "nothing found is nothing false": (KindExpected(precision=1.0), told(precision=None), []),
    "a share that is rounded": (KindExpected(precision=0.3), told(precision=0.1 + 0.2 - 1e-12), []),
    "late": (
        KindExpected(delay_h=3),
        told(delay=spread(3.5)),
        ["heat outages: delay in hours 3.5, expected at most 3"],
    ),
    "in time": (KindExpected(delay_h=3), told(delay=spread(3.0)), []),
    "no delay is none too long": (KindExpected(delay_h=3), told(delay=None), []),
    "false": (
        KindExpected(false_alarms=0),
        told(false_alarms=1),
        ["heat outages: false alarms 1, expected at most 0"],
    ),
    "hours say how long, not how good": (KindExpected(min_hours=4), told(), []),
}


@pytest.mark.parametrize("case", CASES)
def test_each_measure(case: str) -> None:
    expected, scores, says = CASES[case]
    assert Expectations({HEAT: expected}).check(scores) == says


def test_a_kind_that_was_not_scored_is_told() -> None:
    assert Expectations({COLD: KindExpected(recall=1.0)}).check(told()) == ["cold spells: not scored"]


def test_tickets_and_notices_are_counted_where_there_was_a_live_run() -> None:
    expected = Expectations(tickets={"heat_outage": Count(1, 1)}, notices={"stop": Count(1), "correction": Count(0, 0)})
    assert expected.check({"kinds": {}}) == []
    assert expected.check({"kinds": {}}, {"heat_outage": 1}, {"stop": 4}) == []
    assert expected.check({"kinds": {}}, {"heat_outage": 2}, {"correction": 1}) == [
        "tickets of the kind heat_outage: 2, expected exactly 1",
        "notices of the kind stop: 0, expected at least 1",
        "notices of the kind correction: 1, expected exactly 0",
    ]


def test_hours_that_are_demanded_are_told_by_kind() -> None:
    assert Expectations({HEAT: KindExpected(min_hours=8), COLD: KindExpected(recall=1)}).min_hours == {HEAT: 8}


def test_one_alone_keeps_all_that_it_expects() -> None:
    alone = Expectations({HEAT: KindExpected(false_alarms=0)}, {"leak": Count(0, 0)})
    assert in_company([alone]) is alone


def test_in_company_the_weakest_promise_holds() -> None:
    one = Expectations({HEAT: KindExpected(true=3, recall=1.0, precision=1.0, start_error_h=1, min_hours=2)})
    other = Expectations({HEAT: KindExpected(true=2, recall=0.9, false_alarms=0, start_error_h=3)})
    assert in_company([one, other]).findings == {
        HEAT: KindExpected(true=3, recall=0.9, precision=1.0, start_error_h=3, min_hours=2, false_alarms=0),
    }


def test_in_company_a_part_that_says_nothing_of_a_kind_promises_nothing() -> None:
    one = Expectations({HEAT: KindExpected(true=3, recall=1.0, precision=1.0)})
    other = Expectations({DATA: KindExpected(recall=0.9)})
    assert in_company([one, other]).findings == {HEAT: KindExpected(true=3), DATA: KindExpected()}


def test_in_company_precision_is_kept_where_all_promise_it() -> None:
    one = Expectations({HEAT: KindExpected(recall=1.0, precision=1.0)})
    other = Expectations({HEAT: KindExpected(recall=1.0)})
    assert in_company([one, other]).findings == {HEAT: KindExpected(recall=1.0)}


def test_in_company_the_most_add_up_where_all_name_one() -> None:
    one = Expectations(tickets={"heat_outage": Count(1, 1), "leak": Count(0, 0)}, notices={"stop": Count(0, 0)})
    other = Expectations(tickets={"heat_outage": Count(2, 3)}, notices={"stop": Count(1)})
    joined = in_company([one, other])
    assert (joined.tickets, joined.notices) == ({"heat_outage": Count(2, 4)}, {"stop": Count(1)})


def test_the_order_of_company_does_not_matter() -> None:
    parts = [
        Expectations({HEAT: KindExpected(true=n, recall=r)}, {"leak": Count(n)})
        for n, r in ((1, 1.0), (3, 0.9), (2, 1.0))
    ]
    assert in_company(parts) == in_company(parts[::-1])
