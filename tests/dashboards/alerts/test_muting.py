"""A planned stop mutes what it explains, in its own building, while it lasts, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from cli.dashboards import dashboards
from cli.opening import open_records, wall_clock
from dashboards.alerts.muting import muted, with_mute_times
from dashboards.alerts.telling import contact_points, route
from dashboards.model import Folder, GrafanaSet
from dashboards.settings import GrafanaSettings, Limits
from heatwatch.domain.instants import from_ms
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.stops import Stop
from heatwatch.domain.temperature import RoomClass
from heatwatch.settings import Settings
from heatwatch.usecases.stops import report_stop
from tests.dashboards.push.fake import TOKEN, FakeGrafana, serving

ZONE = ZoneInfo("Asia/Shanghai")
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
MIDNIGHT_MS = 1_768_147_200_000
"""2026-01-12 00:00 in Shanghai."""


HOUSE = ("building", "1号楼")


def stop(begins_h: float, ends_h: float | None, subject: tuple[str, str] = HOUSE, *, planned: bool = True) -> Stop:
    end_ms = None if ends_h is None else MIDNIGHT_MS + round(ends_h * HOUR_MS)
    return Stop(*subject, MIDNIGHT_MS + round(begins_h * HOUR_MS), end_ms, planned)


def covers(window: Mapping[str, Any], at_ms: int) -> bool:
    """Return whether Grafana takes a moment for one of a window."""
    at = from_ms(at_ms).astimezone(ZoneInfo(window["location"]))
    day = [window[name] for name in ("days_of_month", "months", "years")]
    return day == [[str(at.day)], [str(at.month)], [str(at.year)]] and any(
        one["start_time"] <= f"{at:%H:%M}" < one["end_time"] for one in window["times"]
    )


def test_a_night_over_midnight_has_two_windows() -> None:
    made = muted([stop(22.5, 30)], ZONE, MIDNIGHT_MS)
    (mute,), (policy,) = made.mute_times, made.routes
    assert mute.name == "heatwatch-stop-building-1号楼"
    place = {"months": ["1"], "years": ["2026"], "location": "Asia/Shanghai"}
    assert mute.intervals == (
        {"times": [{"start_time": "22:30", "end_time": "24:00"}], "days_of_month": ["12"], **place},
        {"times": [{"start_time": "00:00", "end_time": "06:00"}], "days_of_month": ["13"], **place},
    )
    assert policy.matchers == (("building", "=", "1号楼"), ("kind", "=~", "cold_room|outage"))
    assert policy.mute_times == (mute.name,)


@pytest.mark.parametrize(
    "other",
    [
        stop(8, 9, planned=False),
        stop(8, None),
        stop(8, 9, ("riser", "r1")),
        stop(8, 9, ("room", "101")),
        stop(-9, 0),  # ends at this very moment
    ],
)
def test_what_has_no_window_mutes_nothing(other: Stop) -> None:
    made = muted([other], ZONE, MIDNIGHT_MS)
    assert not made.mute_times
    assert not made.routes


def test_stops_of_one_subject_share_a_mute_time() -> None:
    made = muted([stop(8, 9), stop(10, 11), stop(8, 9, ("station", "1号楼"))], ZONE, MIDNIGHT_MS)
    assert [len(mute.intervals) for mute in made.mute_times] == [2, 1]


@given(st.integers(0, 5000), st.integers(1, 5000), st.integers(-60, 10_100))
def test_every_minute_of_it_is_muted_and_no_other(begins_min: int, lasts_min: int, at_min: int) -> None:
    one = stop(begins_min / 60, (begins_min + lasts_min) / 60)
    made = muted([one], ZONE, MIDNIGHT_MS)
    at_ms = MIDNIGHT_MS + at_min * MINUTE_MS
    inside = begins_min <= at_min < begins_min + lasts_min
    assert any(covers(window, at_ms) for mute in made.mute_times for window in mute.intervals) == inside


def test_a_minute_that_has_begun_is_muted_whole() -> None:
    (mute,) = muted([stop(8 + 30 / 3600, 9 + 30 / 3600)], ZONE, MIDNIGHT_MS).mute_times
    assert mute.intervals[0]["times"] == [{"start_time": "08:00", "end_time": "09:01"}]


def test_a_set_takes_them_before_its_other_policies() -> None:
    settings = GrafanaSettings(Limits(16.0, 18.0))
    points, first = contact_points(settings), route(settings)
    whole = GrafanaSet(folder=Folder("heatwatch", "a"), contact_points=points, route=first)
    made = muted([stop(8, 9)], ZONE, MIDNIGHT_MS)
    told = with_mute_times(whole, made)
    assert told.mute_times == made.mute_times
    assert told.route is not None
    assert first is not None
    assert told.route.routes == (*made.routes, *first.routes)
    quiet = replace(whole, route=None)
    assert with_mute_times(quiet, made) == quiet


def test_the_command_asks_the_records(tmp_path: Path) -> None:
    """A planned stop of a building that goes on is in what `push` would do; without the flag it is not."""
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    now_ms, data_dir = wall_clock(), tmp_path / "data"
    with open_records(Settings.read(data_dir=data_dir)) as records, records.write() as session:
        going_on = Stop("building", "1号楼", now_ms - HOUR_MS, now_ms + HOUR_MS, planned=True, reason="检修")
        register = Register.of([PointRow("p1", "1号楼", "S1", RoomClass.APARTMENT)])
        report_stop(session, going_on, register, who="test", now_ms=now_ms)
    with serving(FakeGrafana()) as fake:
        arguments = ["push", "--url", fake.url, "--token-file", str(tmp_path / "token"), "--data-dir", str(data_dir)]
        told = CliRunner().invoke(dashboards, [*arguments, "--mute-planned"], catch_exceptions=False)
        without = CliRunner().invoke(dashboards, arguments, catch_exceptions=False)
    assert "heatwatch-stop-building-1号楼" in told.output
    assert "heatwatch-stop-building-1号楼" not in without.output
