"""Compliance rates over the REST interface: what is asked for, whose, and what is unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.signing import Signing
from heatwatch.domain.compliance import FIELDS
from heatwatch.domain.instants import HOUR_MS
from heatwatch.domain.people import Role
from heatwatch.files.rules_file import default_standard
from heatwatch.records.database import Records
from heatwatch.records.schema import ComplianceDay, ComplianceDue, ComplianceProgress
from heatwatch.usecases.people import Change, add_user, make_token
from tests.shelf import Shelf

T0 = 1764028800000
Get = Callable[..., httpx.Response]


def day(day: str, station: str, building: str, point: str, **sums: int) -> ComplianceDay:
    told = dict.fromkeys(FIELDS, 0) | sums
    place = {"station_id": station, "building_id": building, "room": point, "room_class": "apartment"}
    return ComplianceDay(day=day, point_id=point, **place, **told)


@pytest.fixture
def get(records: Records) -> Get:
    """Ask as someone who sees everything, or as someone of a station."""
    with records.write() as session:
        add_user(session, "watcher", Change(role=Role.COMPANY), by="test", now_ms=T0)
        add_user(session, "east", Change(role=Role.STATION, stations=("s2",)), by="test", now_ms=T0)
        keys = [
            make_token(session, name, "test", expires_ms=None, by="test", now_ms=T0) for name in ("watcher", "east")
        ]
        tokens = dict(zip(("watcher", "east"), keys, strict=True))
        full = {"compliant_ms": 24 * HOUR_MS, "compliant_n": 24}
        session.add_all(
            [
                day("2026-01-30", "s1", "b1", "p1", compliant_ms=18 * HOUR_MS, violating_ms=6 * HOUR_MS),
                day("2026-01-31", "s1", "b1", "p1", **full),
                day("2026-01-31", "s2", "b2", "p2", unknown_ms=24 * HOUR_MS),
                day("2026-02-01", "s2", "b2", "p2", **full),
                ComplianceDue(day="2026-02-01", building_id="b1"),
                ComplianceProgress(id=1, key="", arrival_seq=0, change_seq=0, as_of_ms=T0, first_day="2026-01-30"),
            ]
        )
    app = create_app(
        records,
        Shelf(),
        journal_sequences=dict,
        clock=lambda: T0,
        version="0.1.0",
        delivery=dict,
        findings_csv=lambda _kind, _stations: b"",
        standard=default_standard(),
        signing=Signing("", 12.0, lambda: T0),
    )

    def ask(who: str = "watcher", **query: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            headers = {"Authorization": f"Bearer {tokens[who]}"}
            async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
                return await client.get("/api/v1/compliance", params=query)

        return asyncio.run(once())

    return ask


def test_the_latest_day_comes_first_and_nothing_known_is_null(get: Get) -> None:
    said = get(per="building").json()
    assert [(one["period"], one["building_id"], one["hours_pct"]) for one in said["items"]] == [
        ("2026-02-01", "b2", 100.0),
        ("2026-01-31", "b1", 100.0),
        ("2026-01-31", "b2", None),
        ("2026-01-30", "b1", 75.0),
    ]
    assert (said["total"], said["due"], said["as_of"]) == (4, 1, "2025-11-25T00:00:00.000Z")


def test_months_and_seasons_add_days_up(get: Get) -> None:
    months = get(by="month").json()["items"]
    assert [(one["period"], one["hours_pct"], one["unknown_h"], one["rooms"]) for one in months] == [
        ("2026-02", 100.0, 0.0, 1),
        ("2026-01", 87.5, 24.0, 2),
    ]
    (season,) = get(by="season").json()["items"]
    assert (season["period"], season["rooms_rated"]) == ("2025-26", 2)
    assert (season["compliant_h"], season["violating_h"]) == (66, 6)


def test_who_is_of_a_station_gets_its_rates_only_whatever_is_asked_for(get: Get) -> None:
    for query in ({}, {"per": "building"}, {"station": "s1"}, {"building": "b1"}, {"by": "season", "per": "room"}):
        items = get("east", **query).json()["items"]
        assert all(one["compliant_h"] in {0.0, 24.0} and one["violating_h"] == 0 for one in items)
        assert {one["station_id"] for one in items} <= {None, "s2"}
    assert get("east", station="s1").json()["items"] == []
    assert [one["period"] for one in get("east").json()["items"]] == ["2026-02-01", "2026-01-31"]


def test_a_span_of_days_has_both_ends_in_it(get: Get) -> None:
    span = {"from": "2026-01-31", "to": "2026-01-31"}
    assert [one["period"] for one in get(**span, per="room").json()["items"]] == ["2026-01-31", "2026-01-31"]
    assert get(**{"from": "2026-02-01", "to": "2026-01-31"}).status_code == 422
    assert get(by="week").status_code == 422


def test_pages_are_parts_of_the_whole(get: Get) -> None:
    whole = get(per="room").json()["items"]
    parts = [get(per="room", limit=1, offset=n).json()["items"] for n in range(4)]
    assert [one for part in parts for one in part] == whole
