"""`heatwatch rehearse`: a file, a stored span or a scenario in; what came of it out; bad input in one clear line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cli.main import main
from cli.opening import open_records
from cli.rehearsal import AS_ARRIVED, AS_MEASURED, file_material, store_material, usual_step_ms
from cli.rehearsing import REALLY, TRUTH
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS
from heatwatch.files.outcome_files import COMPARISON, read_outcome
from heatwatch.settings import Settings
from heatwatch.stores.embedded import EmbeddedReadings
from heatwatch.stores.readings import ReadingBatch

NOON = "2026-01-12T12:00:00Z"
START_MS = 1_768_176_000_000
STEP = ("--step", "5min")


def ran(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    assert ended.value.code == code, said
    return said.err if code == 2 else said.out


def readings(path: Path, hours: float = 3, **arrived: str) -> Path:
    """Write what two rooms measured, one of them cold, every 5 min."""
    time = pd.date_range("2026-01-12T00:00:00Z", periods=round(hours * 12), freq="5min")
    rooms = [pd.DataFrame({"time": time, "point_id": f"p{n}", "temperature_c": 16.5 + 4 * n}) for n in range(2)]
    frame = pd.concat(rooms).assign(**arrived)
    frame.to_csv(path, index=False, date_format="%Y-%m-%dT%H:%M:%SZ")
    return path


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    return readings(tmp_path / "readings.csv")


def points(folder: Path) -> Path:
    path = folder / "points.csv"
    path.write_text("point_id,building_id,station_id,room_class\np0,b,s,apartment\np1,b,s,apartment\n")
    return path


def test_a_file_becomes_a_folder_that_score_can_read(
    capsys: pytest.CaptureFixture[str], measured: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said = ran(capsys, "rehearse", measured, "--points", points(tmp_path), "--out", out, *STEP)
    assert "72 readings in 36 steps of 300 s up to 2026-01-12T03:00:00.000Z" in said
    assert "tickets: low temperature" in said
    (ticket,) = read_outcome(out)["tickets"]
    assert (ticket["subject_id"], ticket["opened_at"]) == ("p0", "2026-01-12T01:05:00.000Z")
    summary = json.loads((out / "summary.json").read_text())
    assert summary["as_of"] == "2026-01-12T03:00:00.000Z"
    assert summary["delivery"]["readings"]["stored"] == summary["published"]["readings"] == 72
    assert summary["tickets"] == {"low_temperature": 1}
    truth = tmp_path / "truth"
    truth.mkdir()
    (truth / "truth_cold_spells.csv").write_text("point_id,start,end\np0,2026-01-12T00:00:00Z,\n")
    scores = json.loads(ran(capsys, "score", out, truth, "--json"))
    assert scores["kinds"]["cold_spells"]["recall"] == scores["tickets"]["recall"] == 1.0
    assert scores["kinds"]["cold_spells"]["delay"]["median_h"] == pytest.approx(5 / 60)  # issued, not confirmed


def test_it_finds_what_judge_finds_but_for_when_it_was_known(
    capsys: pytest.CaptureFixture[str], measured: Path, tmp_path: Path
) -> None:
    """Also without a register, where everyone who speaks is a room of one house."""
    ran(capsys, "rehearse", measured, "--out", tmp_path / "live", *STEP)
    ran(capsys, "judge", measured, "--out", tmp_path / "judged", "--as-of", "2026-01-12T03:00:00Z")
    for name in ("cold_spells", "heat_outages", "data_outages", "sensor_faults"):
        live = pd.read_csv(tmp_path / "live" / f"{name}.csv", dtype="str").drop(columns="issued")
        pd.testing.assert_frame_equal(live, pd.read_csv(tmp_path / "judged" / f"{name}.csv", dtype="str"))


def test_late_history_comes_late_where_the_file_tells_when_it_came(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    late = readings(tmp_path / "late.csv", hours=2, arrived="2026-01-12T02:30:00Z")
    for flags, opened in (((), "2026-01-12T02:35:00.000Z"), (("--arrivals", AS_MEASURED), "2026-01-12T01:05:00.000Z")):
        ran(capsys, "rehearse", late, "--out", tmp_path / "out", *STEP, *flags)
        (ticket,) = read_outcome(tmp_path / "out")["tickets"]
        assert (ticket["cause_start"], ticket["opened_at"]) == ("2026-01-12T00:00:00.000Z", opened)


def test_what_an_installation_stored_is_run_again_and_compared_with_what_it_did(
    capsys: pytest.CaptureFixture[str], measured: Path, tmp_path: Path
) -> None:
    live, out = tmp_path / "live", tmp_path / "out"
    ran(
        capsys,
        "rehearse",
        measured,
        "--points",
        points(tmp_path),
        "--out",
        tmp_path / "first",
        *STEP,
        "--data-dir",
        live,
    )
    before = {path: path.read_bytes() for path in (live / "readings.duckdb", live / "records.sqlite")}
    span = ("--from", "2026-01-12T00:00:00Z", "--to", "2026-01-12T03:00:00Z")
    said = json.loads(ran(capsys, "rehearse", f"store:{live}", *span, "--out", out, *STEP, "--json"))
    assert said["published"]["readings"] == 72
    assert {(one["different"], one["only_first"], one["only_second"]) for one in said["compared"].values()} == {
        (0, 0, 0)
    }
    assert said["compared"]["clocks"]["equal"] > 0
    assert read_outcome(out / REALLY)["tickets"] == read_outcome(out)["tickets"]
    assert {path: path.read_bytes() for path in before} == before
    slower = ("--step", "1h", "--json")
    compared = json.loads(ran(capsys, "rehearse", f"store:{live}", *span, "--out", out, *slower))["compared"]
    assert compared["tickets"]["different"] == 1
    told = json.loads((out / COMPARISON).read_text())["tickets"]["different"]
    assert told[0]["differs"]["opened_at"] == ["2026-01-12T02:00:00.000Z", "2026-01-12T01:05:00.000Z"]


def test_compare_alone_says_what_differs_and_fails(
    capsys: pytest.CaptureFixture[str], measured: Path, tmp_path: Path
) -> None:
    for name, step in (("fast", "5min"), ("slow", "30min")):
        ran(capsys, "rehearse", measured, "--out", tmp_path / name, "--step", step)
    assert "only first" in ran(capsys, "rehearse", "--compare", tmp_path / "fast", tmp_path / "fast")
    said = ran(capsys, "rehearse", "--compare", tmp_path / "fast", tmp_path / "slow", code=1)
    assert "opened_at 2026-01-12T01:05:00.000Z / 2026-01-12T01:30:00.000Z" in said
    facts = json.loads(ran(capsys, "rehearse", "--compare", tmp_path / "fast", tmp_path / "slow", "--json", code=1))
    assert facts["cold_spells"]["equal"] == 0
    assert facts["cold_spells"]["different"][0]["differs"].keys() == {"issued"}


SCENARIO = """
title: Half a night
title_zh: 半夜
teaches: nothing
lasts: 2h
town: {rooms: 12, rooms_per_building: 12, stations: 1}
expect:
  cold_spells: {true: TRUE}
  tickets:
    low_temperature: {at_least: 0}
"""


@pytest.mark.parametrize(("true", "code"), [("0", 0), ("99", 1)])
def test_a_scenario_is_scored_and_its_expectations_decide(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, true: str, code: int
) -> None:
    path, out = tmp_path / "half.yaml", tmp_path / "out"
    path.write_text(SCENARIO.replace("TRUE", true), encoding="utf-8")
    said = json.loads(ran(capsys, "rehearse", path, "--out", out, "--step", "10min", "--json", code=code))
    assert bool(said["unmet"]) == bool(code)
    assert said["scores"]["kinds"]["cold_spells"]["recall"] is None  # there is none
    assert (out / TRUTH / "truth_cold_spells.csv").is_file()
    again = ran(capsys, "score", out, out / TRUTH, "--expect", path, code=code)
    assert ("not as expected" in again) == bool(code)


def test_the_clock_takes_larger_steps_where_much_time_passes(tmp_path: Path) -> None:
    steps = []
    for days in (6, 8, 90):
        path = tmp_path / "few.csv"
        time = pd.to_datetime([0, days * DAY_MS], unit="ms", utc=True) + pd.Timedelta(days=20_000)
        pd.DataFrame({"time": time, "point_id": "p", "temperature_c": 20.0}).to_csv(path, index=False)
        steps.append(usual_step_ms(file_material(path, None, None)))
    assert steps == [MINUTE_MS, 15 * MINUTE_MS, HOUR_MS]


BAD: Sequence[tuple[Sequence[str], str]] = [
    ((), "needs a SOURCE and --out DIR"),
    (("readings.csv",), "needs a SOURCE and --out DIR"),
    (("nowhere.csv", "--out", "out"), "nowhere.csv: no such file"),
    (("readings.csv", "--out", "readings.csv"), "is a file, not a folder"),
    (("readings.csv", "--out", "out", "--seed", "3"), "--seed: says nothing of a readings file"),
    (("readings.csv", "--out", "out", "--from", NOON), "--from: says nothing of a readings file"),
    (("readings.csv", "--out", "out", "--arrivals", "as-arrived"), "does not tell when rows arrived"),
    (("readings.csv", "--out", "out", "--step", "2h30"), "is no span of time"),
    (("readings.csv", "--out", "out", "--step", "25h"), "more than a day"),
    (("readings.csv", "--out", "out", "--speed", "fast"), "is no speed"),
    (("readings.csv", "--out", "out", "--timezone", "Moon/Far"), "Moon/Far"),
    (("readings.csv", "--out", "out", "--rules", "none.yaml"), "none.yaml"),
    (("readings.csv", "--out", "out", "--data-dir", "taken"), "holds an installation already"),
    (("store:empty", "--out", "out"), "which span?"),
    (("store:empty", "--out", "out", "--from", NOON, "--to", NOON), "is no data folder"),
    (("store:empty", "--out", "out", "--points", "points.csv"), "--points: says nothing of store:"),
    (("--compare", "empty", "nowhere"), "no such file"),
    (("old.csv", "--out", "out"), "1999-01-12T00:00:00.000Z is before 2000"),
    (("a_scenario_that_nobody_wrote", "--out", "out"), "a_scenario_that_nobody_wrote"),
]


@pytest.mark.parametrize(("arguments", "says"), BAD)
def test_bad_input_is_refused_in_one_line_before_anything_is_run(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    measured: Path,
    arguments: Sequence[str],
    says: str,
) -> None:
    folder = measured.parent
    monkeypatch.chdir(folder)
    (folder / "old.csv").write_text(measured.read_text().replace("2026-", "1999-"))
    (folder / "empty").mkdir()
    (folder / "taken").mkdir()
    (folder / "taken" / "records.sqlite").touch()
    said = ran(capsys, "rehearse", *arguments, code=2)
    assert says in said
    assert said.count("\n") == 1
    assert not (folder / "out").exists()


HOLD = """
import sys
from pathlib import Path
from heatwatch.stores.embedded import EmbeddedReadings
store = EmbeddedReadings(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_the_store_of_a_running_serve_is_refused_with_what_to_do(
    capsys: pytest.CaptureFixture[str], measured: Path, tmp_path: Path
) -> None:
    live = tmp_path / "live"
    ran(capsys, "rehearse", measured, "--out", tmp_path / "first", "--step", "1h", "--data-dir", live)
    asked = ("rehearse", f"store:{live}", "--out", tmp_path / "out")
    command = [sys.executable, "-c", HOLD, str(live / "readings.duckdb")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        said = ran(capsys, *asked, "--from", "2026-01-12T00:00:00Z", "--to", NOON, code=2)
        holder.communicate("")
    assert "a running heatwatch holds it (stop it, or copy the folder" in said
    said = ran(capsys, *asked, "--from", "2027-01-12T00:00:00Z", "--to", "2027-01-12T03:00:00Z", code=2)
    assert "holds no reading of that span" in said


def installation(folder: Path, delays_ms: Sequence[int]) -> Path:
    """Make a data folder with a reading an hour, each stored so long after it was measured."""
    settings = Settings(data_dir=folder)
    number = len(delays_ms)
    time_ms = START_MS + np.arange(number, dtype=np.int64) * HOUR_MS
    nothing = np.full(number, np.nan)
    with open_records(settings), closing(EmbeddedReadings(settings.readings_path)) as store:
        store.write(
            ReadingBatch(
                source=["p"] * number,
                time_ms=time_ms,
                temp_c=np.full(number, 20.0),
                humidity_pct=nothing,
                battery=nothing,
                rssi_dbm=nothing,
                flags=[""] * number,
                arrived_ms=time_ms + np.array(delays_ms),
                worker="w",
                sequence=np.arange(1, number + 1),
                position=np.zeros(number, np.int32),
            )
        )
    return folder


@pytest.mark.parametrize(
    ("delays_ms", "asked", "as_arrived"),
    [
        ([3_000, 3_000, 5 * DAY_MS], None, True),
        ([3_000, 3_000, 5 * DAY_MS], AS_MEASURED, False),
        ([9 * DAY_MS] * 3, None, False),
        ([-9 * DAY_MS] * 3, None, False),
        ([9 * DAY_MS] * 3, AS_ARRIVED, True),
    ],
)
def test_arrivals_count_where_they_lie_in_the_time_of_the_measurements(
    tmp_path: Path, delays_ms: Sequence[int], asked: str | None, *, as_arrived: bool
) -> None:
    """In a store that a replay has filled, everything arrived months after it was measured, or before."""
    with store_material(
        installation(tmp_path / "data", delays_ms), START_MS, START_MS + 3 * HOUR_MS, asked
    ) as material:
        assert material.as_arrived is as_arrived


def test_of_a_live_store_what_came_after_the_span_does_not_come(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = installation(tmp_path / "data", [3_000, 2 * HOUR_MS, 5 * DAY_MS])
    span = ("--from", "2026-01-12T00:00:00Z", "--to", "2026-01-12T03:00:00Z", "--out", tmp_path / "out", "--json")
    for flags, count in (((), 1), (("--arrivals", AS_MEASURED), 3)):
        said = json.loads(ran(capsys, "rehearse", f"store:{folder}", *span, *flags))
        assert said["published"]["readings"] == count


def test_what_an_earlier_rehearsal_left_goes_and_what_is_not_its_own_stays(
    capsys: pytest.CaptureFixture[str], measured: Path, tmp_path: Path
) -> None:
    """The truth of another scenario beside a file's tables would be scored as theirs."""
    out = tmp_path / "out"
    for folder in (TRUTH, REALLY):
        (out / folder).mkdir(parents=True)
        (out / folder / "cold_spells.csv").write_text("mine")
    ran(capsys, "rehearse", measured, "--out", out, *STEP)
    assert (out / TRUTH / "cold_spells.csv").read_text() == "mine"
    ran(capsys, "rehearse", measured, "--out", out, *STEP)
    assert not (out / TRUTH).exists()
    assert not (out / REALLY).exists()
    assert read_outcome(out)["tickets"]
