"""Reporting a stop of heat over the interface: kept under the person's name, and what makes no sense is refused."""

from typing import Any

import pytest

from heatwatch.domain.people import Role
from heatwatch.domain.register import PointRow
from heatwatch.domain.temperature import RoomClass
from heatwatch.records.database import Records
from heatwatch.usecases.register import import_register
from tests.api.test_access import House

STOP = {"subject_kind": "building", "subject_id": "A", "start": "2025-11-25T08:00:00+08:00", "planned": True}


@pytest.fixture
def house(records: Records) -> House:
    with records.write() as session:
        import_register(session, [PointRow("A1", "A", "S", RoomClass.APARTMENT)], "points.csv", "", 1)
    return House(records)


@pytest.fixture
def headers(house: House) -> dict[str, str]:
    return house.token(house.person(Role.DISPATCH, confined=False))


def post(house: House, headers: dict[str, str], **other: Any) -> tuple[int, Any]:
    told = house.ask("POST", "/api/v1/stops", json=STOP | other, headers=headers)
    return told.status_code, told.json()


def test_a_stop_is_reported_ended_and_withdrawn(house: House, headers: dict[str, str]) -> None:
    status, made = post(house, headers, reason="works")
    assert status == 201
    assert {name: made[name] for name in ("station_id", "start", "end", "reported_by", "withdrawn")} == {
        "station_id": "S",
        "start": "2025-11-25T00:00:00.000Z",
        "end": None,
        "reported_by": "dispatch-free",
        "withdrawn": False,
    }
    path = f"/api/v1/stops/{made['id']}"
    for change in ({"end": "2025-11-25T12:00:00Z"}, {"withdrawn": True}):
        assert house.ask("PATCH", path, json=change, headers=headers).status_code == 200
    now = house.ask("GET", path, headers=headers).json()
    assert now == made | {"end": "2025-11-25T12:00:00.000Z", "withdrawn": True}
    assert house.ask("GET", "/api/v1/stops", headers=headers).json()["items"] == [now]


@pytest.mark.parametrize(
    ("other", "status"),
    [
        ({"subject_id": "Q"}, 404),
        ({"subject_kind": "town"}, 422),
        ({"start": 1764028800}, 422),
        ({"start": "1889-01-01T00:00:00Z"}, 422),
        ({"end": "2025-11-25T00:00:00Z"}, 422),
        ({"end": "2025-11-25T00:00:01Z"}, 201),
        ({"sure": True}, 422),
    ],
)
def test_what_makes_no_sense_is_refused(house: House, headers: dict[str, str], other: Any, status: int) -> None:
    assert post(house, headers, **other)[0] == status


def test_an_end_before_the_start_is_refused(house: House, headers: dict[str, str]) -> None:
    _, made = post(house, headers)
    told = house.ask("PATCH", f"/api/v1/stops/{made['id']}", json={"end": STOP["start"]}, headers=headers)
    assert told.status_code == 422
    assert "its end is not after its start" in told.text
