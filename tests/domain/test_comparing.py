"""Comparing outcomes: by what tickets are about, not by their numbers; every difference is told once, in its place."""

from __future__ import annotations

import json

from heatwatch.domain.comparing import TABLES, compare, same

Rows = list[dict[str, str]]
COLD = "low_temperature"


def ticket(number: int, subject: str, start: str = "t0", **more: str) -> dict[str, str]:
    told = {"id": str(number), "kind": COLD, "subject_kind": "point", "subject_id": subject, "cause_start": start}
    return {**told, "opened_at": "t1", "merged_into": "", **more}


def clock(number: int, step: str, **more: str) -> dict[str, str]:
    return {"ticket": str(number), "step": step, "due": "t2", "done": "", **more}


def event(number: int, at: str, **detail: object) -> dict[str, str]:
    return {"ticket": str(number), "at": at, "kind": "noted", "detail": json.dumps(detail)}


def notice(number: int, whose: int, *buildings: str, **more: str) -> Rows:
    told = {"id": str(number), "kind": "stop", "ticket": str(whose), "published_at": "t3", "replaces": "", **more}
    return [{**told, "subject_kind": "building", "subject_id": building} for building in buildings]


def outcome(**tables: Rows) -> dict[str, Rows]:
    return {name: tables.get(name, []) for name in TABLES}


def test_numbers_do_not_count_but_what_they_name() -> None:
    """The same in another order of opening, as in an installation that has seen more."""
    first = outcome(
        tickets=[ticket(1, "p1"), ticket(2, "p2", merged_into="1")],
        clocks=[clock(1, "take"), clock(2, "take")],
        events=[event(1, "t1", finding_id=4, cause="x"), event(2, "t1", into=1)],
        notices=[*notice(1, 1, "b1", "b2"), *notice(2, 1, "b1", replaces="1")],
    )
    second = outcome(
        tickets=[ticket(8, "p2", merged_into="9"), ticket(9, "p1")],
        clocks=[clock(8, "take"), clock(9, "take")],
        events=[event(8, "t1", into=9), event(9, "t1", finding_id=77, cause="x")],
        notices=[*notice(5, 9, "b1", "b2"), *notice(6, 9, "b1", replaces="5")],
    )
    compared = compare(first, second)
    assert same(compared)
    assert {name: one.equal for name, one in compared.items() if one.equal} == {
        "tickets": 2,
        "clocks": 2,
        "events": 2,
        "notices": 2,
    }


def test_an_instant_that_differs_is_named_in_its_column() -> None:
    first = outcome(tickets=[ticket(1, "p1")], clocks=[clock(1, "take", done="t5")])
    second = outcome(tickets=[ticket(1, "p1", opened_at="t2")], clocks=[clock(1, "take", done="t6")])
    compared = compare(first, second)
    assert [dict(one.columns) for one in compared["tickets"].different] == [{"opened_at": ("t1", "t2")}]
    (late,) = compared["clocks"].told()["different"]
    assert late == {"what": [COLD, "point p1", "t0", "take"], "differs": {"done": ["t5", "t6"]}}
    assert not same(compared)


def test_what_only_one_has_is_told_on_its_side() -> None:
    first = outcome(tickets=[ticket(1, "p1"), ticket(2, "p1", "t7")])
    second = outcome(tickets=[ticket(1, "p1"), ticket(2, "p9")])
    one = compare(first, second)["tickets"]
    assert (one.equal, one.only_first, one.only_second) == (1, [(COLD, "point p1", "t7")], [(COLD, "point p9", "t0")])


def test_a_merged_ticket_is_another_one_when_another_has_taken_it_over() -> None:
    two = [ticket(1, "p1"), ticket(2, "p2")]
    first, second = (outcome(tickets=[*two, ticket(3, "p3", merged_into=into)]) for into in "12")
    (one,) = compare(first, second)["tickets"].different
    assert one.columns == {"merged_into": (f"{COLD} point p1 t0", f"{COLD} point p2 t0")}


def test_several_of_one_name_are_told_apart_by_their_order() -> None:
    first = outcome(tickets=[ticket(1, "p1"), ticket(2, "p1", opened_at="t9")])
    one = compare(first, outcome(tickets=[ticket(1, "p1")]))["tickets"]
    assert (one.equal, one.only_first) == (1, [(COLD, "point p1", "t0", "#2")])


def test_findings_are_the_same_by_kind_subject_and_start() -> None:
    columns = {"subject_kind": "building", "subject_id": "b1", "start": "t0"}
    faults: Rows = [{"point_id": "p1", "kind": kind, "start": "t0", "end": ""} for kind in ("stuck", "drift")]
    first = outcome(heat_outages=[{**columns, "end": "t4"}], sensor_faults=faults)
    second = outcome(heat_outages=[{**columns, "end": ""}], sensor_faults=faults[:1])
    compared = compare(first, second)
    assert compared["heat_outages"].different[0].columns == {"end": ("t4", "")}
    assert compared["sensor_faults"].only_first == [("sensor_fault", "p1", "drift", "t0")]
