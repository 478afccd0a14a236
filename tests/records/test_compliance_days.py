"""Tallies of compliance in the records: put again they are the same, and they add up by day, month and season."""

from __future__ import annotations

from typing import Any

import pytest

from heatwatch.domain.compliance import FIELDS, By, Per
from heatwatch.domain.instants import HOUR_MS
from heatwatch.files.rules_file import default_standard
from heatwatch.records.database import Records
from heatwatch.usecases.compliance import Asked, compliance, days_due, next_due, put_days, set_due

STANDARD = default_standard()


def tally(day: str, point: str, **sums: int) -> dict[str, Any]:
    place = {"station_id": "s1", "building_id": "b1", "room": point, "room_class": "apartment"}
    return {"day": day, "point_id": point, **place, **dict.fromkeys(FIELDS, 0), **sums}


@pytest.fixture
def tallied(records: Records) -> Records:
    """Return records with two days of a house, put twice over."""
    with records.write() as session:
        for _ in range(2):
            for day, violating_h in (("2026-01-31", 6), ("2026-02-01", 0)):
                set_due(session, [(day, "b1"), (day, "b1")])
                sums = {"compliant_ms": (24 - violating_h) * HOUR_MS, "violating_ms": violating_h * HOUR_MS}
                put_days(session, day, ["b1"], [tally(day, "p1", **sums), tally(day, "p2", unknown_ms=24 * HOUR_MS)])
    return records


@pytest.mark.parametrize(
    ("by", "periods"),
    [(By.DAY, ["2026-01-31", "2026-02-01"]), (By.MONTH, ["2026-01", "2026-02"]), (By.SEASON, ["2025-26"])],
)
@pytest.mark.parametrize("per", [Per.COMPANY, Per.STATION, Per.BUILDING])
def test_days_add_up_to_periods(tallied: Records, by: By, periods: list[str], per: Per) -> None:
    with tallied.read() as session:
        found = compliance(session, Asked(by=by, per=per), STANDARD)
    assert sorted(one.period for one in found) == periods
    assert sum(one.of("compliant_ms") for one in found) == 42 * HOUR_MS
    assert sum(one.of("violating_ms") for one in found) == 6 * HOUR_MS


def test_what_was_put_is_no_longer_due_and_the_latest_day_comes_first(tallied: Records) -> None:
    with tallied.write() as session:
        assert days_due(session) == 0
        set_due(session, [("2026-01-31", "b2"), ("2026-02-01", "b1"), ("2026-02-01", "b2"), ("2026-02-01", "b2")])
        assert days_due(session) == 3
        assert next_due(session, 1) == ("2026-02-01", ["b1"])
        put_days(session, "2026-02-01", ["b1", "b2"], [])
        assert next_due(session, 5) == ("2026-01-31", ["b2"])
