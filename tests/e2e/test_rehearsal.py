"""Replaying is repeatable: however fast, on however busy a machine, through whichever broker, the outcome is the same.

``pytest tests/e2e/test_rehearsal.py --replay-speeds 50,1000`` replays the half day at these speeds, the last of them on
a loaded machine; by default it is as fast as it goes, and 1000 on a loaded machine.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from heatwatch.domain.instants import HOUR_MS
from simulators.towns.settings import TownSettings
from simulators.towns.town import Town
from tests.e2e.processes import HEATWATCH, run
from tests.peers import Mosquitto

FILES = ("tickets", "clocks", "notices", "events", "cold_spells", "heat_outages", "data_outages", "sensor_faults")
BURN = "while True: sum(range(100_000))"
HOURS = 12
"""A stop of 10 h, the notice before its eighth hour, and what follows when the heat is back."""


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Write half a day of a town in which a house has no heat, rooms are cold, and a gateway falls silent."""
    folder = tmp_path_factory.mktemp("town")
    settings = TownSettings(
        seed=3, rooms=24, cold_rooms=3, outage_after_h=0.5, outage_h=10, silent_after_h=3, silent_h=9
    )
    made = Town(settings)
    sent = made.readings(made.start_ms, made.start_ms + HOURS * HOUR_MS)
    sent = sent[~sent["unreadable"]]
    time = pd.to_datetime(sent["time_ms"], unit="ms", utc=True)
    columns = ["point_id", "temperature_c", "humidity_pct", "battery_pct"]
    sent[columns].assign(time=time).to_parquet(folder / "readings.parquet", index=False)
    made.points_frame().to_csv(folder / "points.csv", index=False)
    return folder / "readings.parquet", folder / "points.csv"


@contextmanager
def burners() -> Iterator[None]:
    """Keep every processor busy, and one more."""
    count = (os.cpu_count() or 1) + 1
    made = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(count)]
    try:
        yield
    finally:
        for one in made:
            one.kill()
            one.wait()


def started(town: tuple[Path, Path], out: Path, *flags: object) -> subprocess.Popen[str]:
    readings, points = town
    command = [*HEATWATCH, "rehearse", readings, "--points", points, "--out", out, "--step", "2min", *flags]
    return subprocess.Popen([str(one) for one in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> None:
    said = process.communicate()
    assert process.returncode == 0, said


def files(out: Path) -> Mapping[str, str]:
    """Return what came of it, to the byte."""
    return {name: (out / f"{name}.csv").read_text(encoding="utf-8") for name in FILES}


def rows(text: str) -> Sequence[Mapping[str, str]]:
    return list(csv.DictReader(text.splitlines(keepends=True)))


def assert_something_of_everything_happened(told: Mapping[str, str]) -> None:
    """Else two empty outcomes would be the same."""
    tickets, clocks, notices = (rows(told[name]) for name in ("tickets", "clocks", "notices"))
    assert {row["kind"] for row in tickets} == {"low_temperature", "heat_outage", "sensor"}
    assert {row["kind"] for row in notices if row["published_at"]} == {"stop", "restoration"}
    assert any(row["drafted_at"] < row["published_at"] for row in notices)
    assert any(row["overdue"] for row in clocks)
    assert any(row["done"] for row in clocks)
    assert {row["kind"] for row in rows(told["events"])} >= {"opened", "warning", "notice", "overdue", "finding_ended"}
    assert all(len(rows(told[name])) for name in ("cold_spells", "heat_outages", "data_outages"))


@pytest.fixture
def speeds(request: pytest.FixtureRequest) -> list[str]:
    asked: str = request.config.getoption("--replay-speeds") or "max,1000"
    return asked.split(",")


@pytest.mark.timeout(0)
def test_at_any_speed_on_a_loaded_machine_tickets_clocks_and_notices_are_the_same_instant_by_instant(
    town: tuple[Path, Path], speeds: list[str], tmp_path: Path
) -> None:
    *calm, loaded = speeds
    runs = [(speed, started(town, tmp_path / speed, "--speed", speed)) for speed in calm]
    with burners():
        ended(started(town, tmp_path / "loaded", "--speed", loaded))
    for _, process in runs:
        ended(process)
    told = files(tmp_path / "loaded")
    assert_something_of_everything_happened(told)
    for speed in calm:
        assert files(tmp_path / speed) == told
        compared = run("rehearse", "--compare", tmp_path / speed, tmp_path / "loaded")
        assert compared.returncode == 0, compared.stdout


def test_through_mosquitto_it_is_the_same_as_through_the_embedded_broker(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Rows that come late come late in both; a cold room, and a conflict."""
    path, points = tmp_path / "readings.csv", tmp_path / "points.csv"
    minutes = pd.RangeIndex(0, 240, 5)
    time = pd.Timestamp("2026-01-12T00:00:00Z") + pd.to_timedelta(minutes, unit="min")
    frames = [
        pd.DataFrame({"time": time, "point_id": f"p{n}", "temperature_c": 21.0 - 2.5 * (n % 3)}) for n in range(6)
    ]
    frame = pd.concat([*frames, frames[0].iloc[10:12].assign(temperature_c=15.0)])
    frame["arrived"] = frame["time"] + pd.to_timedelta(3, unit="s")
    late = (frame["point_id"] == "p2") & (frame["time"] < "2026-01-12T02:00:00Z")
    frame.loc[late, "arrived"] = pd.Timestamp("2026-01-12T02:30:00Z")
    frame.to_csv(path, index=False, date_format="%Y-%m-%dT%H:%M:%SZ")
    lines = [f"p{n},b{n // 3},s,apartment,300" for n in range(6)]
    points.write_text("\n".join(["point_id,building_id,station_id,room_class,interval_s", *lines]) + "\n")
    broker = f"mqtt://{mosquitto.host}:{mosquitto.port}"
    both = [
        started((path, points), tmp_path / "mosquitto", "--step", "1min", "--broker", broker),
        started((path, points), tmp_path / "embedded", "--step", "1min"),
    ]
    for process in both:
        ended(process)
    assert files(tmp_path / "mosquitto") == files(tmp_path / "embedded")
    opened = {row["subject_id"]: row["opened_at"] for row in rows(files(tmp_path / "embedded")["tickets"])}
    assert opened["p2"] == "2026-01-12T02:31:00.000Z"
    assert opened["p5"] < opened["p2"]
