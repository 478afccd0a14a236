"""What has been decided is not decided again while only figures change; whatever else changes is news."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from dispatch.standstill import Standstill
from heatwatch.domain.instants import to_ms
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import RoomClass
from heatwatch.records.schema import FindingRow

NOON = datetime(2026, 1, 12, 12, tzinfo=UTC)
REGISTER = Register((PointRow("p1", "b1", "s1", RoomClass.APARTMENT),))


def spell(**changes: Any) -> FindingRow:
    told: dict[str, Any] = {
        "id": 1,
        "kind": "cold_spell",
        "subject_kind": "point",
        "subject_id": "p1",
        "building_id": "b1",
        "station_id": "s1",
        "start_ms": 0,
        "end_ms": None,
        "open": True,
        "confirmed_ms": 10,
        "withdrawn": False,
        "detail": {"end_reason": "", "violation_h": 1.0},
    }
    return FindingRow(**{**told, **changes})


def settled() -> Standstill:
    """Return one that has seen a decision about the spell change nothing."""
    made = Standstill()
    made.rooms(REGISTER, 0)
    made.decided("s1", [spell()], quiet=True)
    return made


def test_figures_are_no_news() -> None:
    assert not settled().news([spell(detail={"end_reason": "", "violation_h": 2.0, "min_temp_c": 15.0})])


@pytest.mark.parametrize(
    "changes",
    [
        {"id": 2},
        {"subject_id": "p2"},
        {"building_id": "b2"},
        {"station_id": "s2"},
        {"start_ms": 5},
        {"end_ms": 99, "open": False},
        {"confirmed_ms": None},
        {"withdrawn": True},
        {"detail": {"end_reason": "silence"}},
    ],
)
def test_all_that_tickets_rest_on_is_news(changes: dict[str, Any]) -> None:
    assert settled().news([spell(**changes)])


DRIFT = {
    "kind": "sensor_fault",
    "confirmed_ms": None,
    "detail": {"kind": "drift", "detail": "slope=+0.10K/d off=+1.0K"},
}
SPIKES = DRIFT | {"detail": {"kind": "spike", "detail": "n=4 min=1.0 max=2.0"}}


@pytest.mark.parametrize(
    ("was", "detail", "is_news"),
    [
        (DRIFT, {"kind": "drift", "detail": "slope=+0.30K/d off=+9.0K"}, False),
        (DRIFT, {"kind": "moved", "detail": "slope=+0.10K/d off=+1.0K"}, True),
        (SPIKES, {"kind": "spike", "detail": "n=5 min=1.0 max=9.0"}, False),
        (SPIKES, {"kind": "spike", "detail": "n=6 min=1.0 max=2.0"}, True),
    ],
)
def test_of_a_fault_its_kind_and_whether_it_is_enough_are_news(
    was: dict[str, Any], detail: dict[str, str], *, is_news: bool
) -> None:
    made = settled()
    made.decided("s1", [spell(**was)], quiet=True)
    assert bool(made.news([spell(**was | {"detail": detail})])) is is_news


def test_in_a_station_in_which_something_was_decided_everything_is_news() -> None:
    """Until a decision changes nothing: one may lead to the next."""
    remembered = settled()
    remembered.decided("s1", [spell(id=2)], quiet=False)
    assert remembered.news([spell()])
    remembered.decided("s1", [spell()], quiet=True)
    assert not remembered.news([spell()])
    assert remembered.news([spell(id=2)])


def test_what_is_over_is_not_remembered() -> None:
    remembered = settled()
    over = spell(end_ms=99, open=False)
    remembered.decided("s1", [over], quiet=True)
    assert remembered.news([over])
    assert remembered.news([spell()])


def test_forgotten_everything_is_news() -> None:
    remembered = settled()
    remembered.forget()
    assert remembered.news([spell()])


def test_another_register_and_other_rooms_in_service_make_everything_news() -> None:
    (row,) = REGISTER.rows
    suspended = Register((replace(row, suspended_from=NOON),))
    remembered = settled()
    assert remembered.rooms(REGISTER, to_ms(NOON)) == {"b1": 1}
    assert not remembered.news([spell()])
    assert remembered.rooms(suspended, to_ms(NOON) - 1) == {"b1": 1}
    assert remembered.news([spell()])
    remembered.decided("s1", [spell()], quiet=True)
    assert remembered.rooms(suspended, to_ms(NOON) - 1) == {"b1": 1}
    assert not remembered.news([spell()])
    assert remembered.rooms(suspended, to_ms(NOON)) == {}
    assert remembered.news([spell()])


def test_what_changed_elsewhere_and_led_to_something_is_forgotten_as_it_was_here() -> None:
    remembered = settled()
    remembered.decided("s2", [spell(station_id="s2", end_ms=99, open=False)], quiet=False)
    assert remembered.news([spell()])
