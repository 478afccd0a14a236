"""What each scenario expects comes true end to end: mosquitto, ingest, store, judging, dispatch, the score of it all.

A city of 100,000 rooms takes minutes: it is played whole on request, ``pytest tests/e2e/test_scenarios.py
--whole-city``, and otherwise with 2,000 rooms.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from simulators.scenarios.files import library, load_scenario
from tests.peers import Mosquitto

CITY, SEASON, ZOO = "city", "season", "sensor_zoo"
CITY_ROOMS = 2_000
TOGETHER = "boiler_trip+gateway_outage"
STEP, SEASON_STEP, ZOO_STEP = "30min", "6h", "5min"
"""Tickets and notices come at the step's end; findings do not depend on it, but for slow clocks, which are told by when
a reading comes: that is known to a step."""
LONG_S = 1_800
"""A season is 180 days long."""


def played(source: str, broker: Mosquitto, out: Path, capsys: pytest.CaptureFixture[str], *flags: object) -> Any:
    """Rehearse a scenario as fast as it goes, and return what is told of it."""
    where = ["--out", out, "--broker", f"mqtt://{broker.host}:{broker.port}", "--json"]
    with pytest.raises(SystemExit) as ended:
        main([str(one) for one in ("rehearse", source, *where, "--step", STEP, *flags)])
    said = capsys.readouterr()
    assert ended.value.code == 0, (said.out, said.err)
    return json.loads(said.out)


def is_as_expected(source: str, facts: Any) -> None:
    """Check that all was delivered, and that what the scenario expects was looked at and holds."""
    expects = load_scenario(source).expects
    assert facts["unmet"] == []
    assert {kind.file_stem for kind in expects.findings} <= set(facts["scores"]["kinds"])
    assert facts["delivery"]["readings"]["waiting"] == facts["delivery"]["messages"]["waiting"] == 0


@pytest.mark.parametrize("name", sorted({*library(), TOGETHER} - {CITY, SEASON}))
def test_what_a_scenario_expects_comes_true(
    name: str, mosquitto: Mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--step", ZOO_STEP] if name == ZOO else []
    is_as_expected(name, played(name, mosquitto, tmp_path / "out", capsys, *flags))


@pytest.mark.timeout(LONG_S)
def test_what_a_season_expects_comes_true(
    mosquitto: Mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    is_as_expected(SEASON, played(SEASON, mosquitto, tmp_path / "out", capsys, "--step", SEASON_STEP))


@pytest.mark.timeout(LONG_S)
def test_what_a_city_expects_comes_true(
    mosquitto: Mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    rooms = [] if request.config.getoption("--whole-city") else ["--rooms", CITY_ROOMS]
    is_as_expected(CITY, played(CITY, mosquitto, tmp_path / "out", capsys, *rooms))
