"""`heatwatch score`: a town's findings against its truth, bad input in one clear line, a picture that can be read."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from cli.main import main
from heatwatch.domain.findings import FindingKind
from heatwatch.domain.instants import HOUR_MS
from heatwatch.domain.local_time import round_moments
from simulators.scoring.agreement import Agreement, Scoring, agreement
from simulators.scoring.timeline_plot import timeline_spec, worst_lines
from simulators.towns.settings import TownSettings
from simulators.towns.town import Town

ISO = "%Y-%m-%dT%H:%M:%SZ"
SPELLS = "point_id,start,end"
OUTAGES = "subject_kind,subject_id,start,end"


def ran(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    assert ended.value.code == code, said.err
    return said.err if code else said.out


def facts(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(ran(capsys, "score", *arguments, "--json"))
    return said


def put(folder: Path, name: str, *lines: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


class Folders(NamedTuple):
    """What was found and what is true."""

    found: Path
    truth: Path


def write_town(town: Town, end_ms: int, folder: Path) -> None:
    """Write a town's readings, points and truth as a simulation does."""
    folder.mkdir()
    sent = town.readings(town.start_ms, end_ms)
    sent = sent[~sent["unreadable"]]
    time = pd.to_datetime(sent["time_ms"], unit="ms", utc=True)
    readings = sent[["point_id", "temperature_c"]].assign(time=time)
    readings.to_parquet(folder / "readings.parquet")
    town.points_frame().to_csv(folder / "points.csv", index=False)
    truth = town.truth(end_ms)
    truth.heat_outages.to_csv(folder / "truth_heat_outages.csv.gz", index=False, date_format=ISO)
    truth.data_outages.to_parquet(folder / "truth_data_outages.parquet")
    truth.cold_rooms.assign(end="").to_csv(folder / "truth_cold_spells.csv", index=False, date_format=ISO)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Give a judged town: one outage of 11 h, one silence of 12 h, four cold rooms."""
    folder = tmp_path_factory.mktemp("town")
    made = Town(TownSettings(rooms=36, rooms_per_building=6, outage_after_h=14, outage_h=11, silent_after_h=20))
    write_town(made, made.start_ms + 40 * HOUR_MS, folder / "truth")
    points, out = folder / "truth" / "points.csv", folder / "found"
    with pytest.raises(SystemExit) as ended:
        main(["judge", str(folder / "truth" / "readings.parquet"), "--points", str(points), "--out", str(out)])
    assert ended.value.code == 0
    return Folders(out, folder / "truth")


def test_a_town_s_outages_and_cold_rooms_are_found(capsys: pytest.CaptureFixture[str], town: Folders) -> None:
    said = facts(capsys, *town)
    kinds = said["kinds"]
    assert [kinds[kind]["recall"] for kind in ("heat_outages", "data_outages", "cold_spells")] == [1, 1, 1]
    assert kinds["heat_outages"]["precision"] == 1
    assert kinds["heat_outages"]["start_error"]["median_h"] <= 3
    assert 1 <= kinds["cold_spells"]["delay"]["median_h"] < 3
    assert list(said["not_scored"]) == ["sensor_faults"]
    assert said["building_months"] == pytest.approx(6 * 40 / 720, rel=0.01)
    false = kinds["cold_spells"]["false_alarms"]
    assert kinds["cold_spells"]["false_alarms_per_building_month"] == false / said["building_months"]


def test_the_terminal_shows_the_same(capsys: pytest.CaptureFixture[str], town: Folders) -> None:
    said = ran(capsys, "score", *town)
    assert "as of 2026-01-13T15:5" in said
    assert "over 0.33 building-months" in said
    assert "heat outages     1      1       0      0     100.0%  100.0%" in said
    assert f"sensor faults: not scored, no truth_sensor_faults in {town.truth}" in said


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_picture_is_drawn_in_both_formats_and_languages(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, town: Folders, language: str
) -> None:
    for name, begins in (("p.svg", b"<svg"), ("p.png", b"\x89PNG")):
        ran(capsys, "score", *town, "--plot", tmp_path / name, "--language", language)
        assert (tmp_path / name).read_bytes().startswith(begins)
    drawn = (tmp_path / "p.svg").read_text(encoding="utf-8")
    words = {"zh": ("真实", "判定", "1月13日"), "en": ("true", "found", "13 Jan")}
    assert all(word in drawn for word in words[language])


@pytest.fixture
def small(tmp_path: Path) -> Folders:
    """Give three hours found of the four that are true, and a stop that was not found."""
    found, truth = tmp_path / "found", tmp_path / "truth"
    put(found, "cold_spells.csv", f"{SPELLS},issued", "r,2026-01-12T01:00Z,2026-01-12T04:00Z,2026-01-12T02:30Z")
    put(truth, "truth_cold_spells.csv", SPELLS, "r,2026-01-12T00:00Z,2026-01-12T04:00Z")
    put(found, "heat_outages.csv", OUTAGES)
    put(truth, "truth_heat_outages.csv", OUTAGES, "building,b,2026-01-12T00:00Z,")
    return Folders(found, truth)


def test_columns_that_truth_does_not_know_may_be_missing(capsys: pytest.CaptureFixture[str], small: Folders) -> None:
    said = facts(capsys, *small)
    assert said["as_of"] == "2026-01-12T04:00:00.000Z"
    assert said["kinds"]["cold_spells"]["delay"]["median_h"] == 2.5
    assert said["kinds"]["cold_spells"]["recall_by_time"] == 0.75
    assert said["kinds"]["heat_outages"]["recall"] == 0
    assert said["kinds"]["heat_outages"]["precision"] is None
    assert said["building_months"] is None
    assert said["kinds"]["cold_spells"]["false_alarms_per_building_month"] is None


def test_nothing_is_called_none(capsys: pytest.CaptureFixture[str], small: Folders) -> None:
    put(small.truth, "truth_heat_outages.csv", OUTAGES)
    row = next(line for line in ran(capsys, "score", *small).splitlines() if line.startswith("heat outages"))
    assert row.split() == ["heat", "outages", "none", "none", "0", "0", "none", "none", "none", "none", "unknown"]


def test_the_moment_is_as_told_else_as_judged_else_the_last_reading(
    capsys: pytest.CaptureFixture[str], small: Folders
) -> None:
    put(small.truth, "readings.csv", "time,point_id,temperature_c", "2026-01-12T00:00Z,r,1", "2026-01-12T06:00Z,r,1")
    assert facts(capsys, *small)["as_of"] == "2026-01-12T06:00:00.000Z"
    put(small.found, "summary.json", '{"as_of": "2026-01-12T07:00:00.000Z"}')
    assert facts(capsys, *small)["as_of"] == "2026-01-12T07:00:00.000Z"
    said = facts(capsys, *small, "--as-of", "2026-01-12T03:00:00Z")
    assert said["kinds"]["heat_outages"]["true"]["hours"] == 3


def test_only_what_lasts_long_enough_is_demanded(capsys: pytest.CaptureFixture[str], small: Folders) -> None:
    said = facts(capsys, *small, "--min-hours", "8")
    assert [said["kinds"][kind]["true"]["count"] for kind in ("cold_spells", "heat_outages")] == [0, 0]
    said = facts(capsys, *small, "--min-hours", "8", "--min-hours", "cold_spells=4")
    assert [said["kinds"][kind]["true"]["count"] for kind in ("cold_spells", "heat_outages")] == [1, 0]
    assert said["kinds"]["cold_spells"]["recall"] == 1
    assert said["kinds"]["cold_spells"]["precision"] is None


def test_overlaps_must_be_as_long_as_asked(capsys: pytest.CaptureFixture[str], small: Folders) -> None:
    for option, enough, more in (("--min-overlap", 3, 3.1), ("--min-share", 0.75, 0.76)):
        assert facts(capsys, *small, option, enough)["kinds"]["cold_spells"]["recall"] == 1
        assert facts(capsys, *small, option, more)["kinds"]["cold_spells"]["recall"] == 0


def test_false_alarms_are_told_per_building_month(capsys: pytest.CaptureFixture[str], small: Folders) -> None:
    put(small.truth, "truth_cold_spells.csv", SPELLS)
    said = facts(capsys, *small, "--building-months", "0.5")
    assert said["kinds"]["cold_spells"]["false_alarms_per_building_month"] == 2


def test_tickets_and_notices_are_scored_where_they_are_exported(
    capsys: pytest.CaptureFixture[str], small: Folders
) -> None:
    put(small.truth, "points.csv", "point_id,building_id,station_id,room_class", "r,b,s,apartment")
    who = "id,kind,subject_kind,subject_id,cause_start"
    put(small.found, "tickets.csv", f"{who},opened_at", "1,heat_outage,building,b,2026-01-12T00:20Z,2026-01-12T01:00Z")
    notice = "1,stop,building,b,2026-01-12T00:20Z,2026-01-12T07:45Z,2026-01-12T08:20Z"
    put(small.found, "notices.csv", f"{who},published_at,due", notice)
    said = facts(capsys, *small, "--as-of", "2026-01-12T09:00:00Z")
    assert (said["tickets"]["demanded"], said["tickets"]["answered"], said["tickets"]["delay"]["median_h"]) == (2, 2, 1)
    assert (said["tickets"]["deadlines"], said["tickets"]["on_time_rate"]) == (0, None)
    assert (said["notices"]["demanded"], said["notices"]["on_time"], said["notices"]["false"]) == (1, 1, 0)
    late = facts(capsys, *small, "--as-of", "2026-01-12T07:59:59Z")
    assert (late["notices"]["demanded"], late["notices"]["recall"]) == (0, None)
    assert "1 of 1" in ran(capsys, "score", *small, "--as-of", "2026-01-12T09:00:00Z")


def test_tickets_about_kinds_without_truth_are_left_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    truth = put(tmp_path / "truth", "truth_data_outages.csv", OUTAGES, "point,r,2026-01-12T00:00Z,")
    found = put(tmp_path / "found", "data_outages.csv", OUTAGES, "point,r,2026-01-12T00:00Z,2026-01-12T09:00Z")
    who = "id,kind,subject_kind,subject_id,cause_start,opened_at"
    put(found, "tickets.csv", who, "1,heat_outage,building,b,2026-01-12T00:20Z,2026-01-12T01:00Z")
    tickets = facts(capsys, found, truth)["tickets"]
    assert (tickets["demanded"], tickets["issued"], tickets["left_out"]) == (0, 0, 1)
    assert (tickets["recall"], tickets["precision"], tickets["delay"]) == (None, None, None)
    put(found, "tickets.csv", who)
    assert facts(capsys, found, truth)["tickets"]["left_out"] == 0


def test_findings_in_parquet_score_the_same(capsys: pytest.CaptureFixture[str], tmp_path: Path, town: Folders) -> None:
    points = town.truth / "points.csv"
    arguments = ("--points", points, "--out", tmp_path, "--format", "parquet")
    ran(capsys, "judge", town.truth / "readings.parquet", *arguments)
    assert facts(capsys, tmp_path, town.truth) == facts(capsys, *town)


def test_what_begins_after_the_moment_is_said(capsys: pytest.CaptureFixture[str], small: Folders) -> None:
    said = ran(capsys, "score", *small, "--as-of", "2026-01-12T00:30:00Z")
    assert "cold spells: 1 begin after as_of and are left out" in said


def test_two_folders_without_a_row_agree_on_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found, truth = put(tmp_path / "f", "cold_spells.csv", SPELLS), put(tmp_path / "t", "truth_cold_spells.csv", SPELLS)
    said = facts(capsys, found, truth, "--plot", tmp_path / "p.svg")
    assert said["kinds"]["cold_spells"]["precision"] is None
    assert "nothing is true and nothing was found" in (tmp_path / "p.svg").read_text(encoding="utf-8")


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run `score` on bad input and return the one line that it says."""
    line = ran(capsys, "score", *arguments, code=2).strip()
    assert line.startswith("heatwatch: ")
    assert "\n" not in line
    return line


DAMAGES: Mapping[str, tuple[Callable[[Folders], object], str]] = {
    "no column": (
        lambda both: put(both.truth, "truth_cold_spells.csv", "point_id,start", "r,2026-01-12T00:00Z"),
        "truth_cold_spells.csv: column 'end' is missing",
    ),
    "no column and no row": (
        lambda both: put(both.found, "cold_spells.csv", "point_id,start"),
        "cold_spells.csv: column 'end' is missing",
    ),
    "an empty file": (
        lambda both: (both.found / "cold_spells.csv").write_bytes(b""),
        "cold_spells.csv: the file is empty",
    ),
    "an end before its start": (
        lambda both: put(both.found, "cold_spells.csv", SPELLS, "r,2026-01-12T01:00Z,2026-01-12T00:59:59Z"),
        "cold_spells.csv, row 1 (line 2): its end is before its start",
    ),
    "overlapping rows": (
        lambda both: put(both.found, "cold_spells.csv", SPELLS, "r,2026-01-12T01:00Z,", "r,2026-01-12T05:00Z,"),
        "cold_spells.csv, row 2 (line 3): point r overlaps with row 1",
    ),
    "no time": (
        lambda both: put(both.found, "cold_spells.csv", SPELLS, "r,noon,"),
        "row 1 (line 2): start holds 'noon', which is no time",
    ),
    "nobody": (lambda both: put(both.found, "cold_spells.csv", SPELLS, ",2026-01-12T01:00Z,"), "point_id is empty"),
    "a stranger": (
        lambda both: put(both.found, "heat_outages.csv", OUTAGES, "street,b,2026-01-12T01:00Z,"),
        "subject_kind is 'street' (one of point, building, station)",
    ),
    "two of one": (
        lambda both: (both.found / "cold_spells.csv.gz").write_bytes(gzip.compress(SPELLS.encode())),
        "cold_spells.csv and cold_spells.csv.gz are both there",
    ),
    "a summary without its moment": (lambda both: put(both.found, "summary.json", "{}"), "it does not say as_of"),
    "a ticket without its opening": (
        lambda both: put(both.found, "tickets.csv", "id,kind,subject_kind,subject_id,cause_start", "1,x,point,r,"),
        "tickets.csv: column 'opened_at' is missing",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_bad_files(capsys: pytest.CaptureFixture[str], small: Folders, damage: str) -> None:
    do, says = DAMAGES[damage]
    do(small)
    assert says in refused(capsys, *small)


def test_folders_that_are_swapped_empty_or_absent(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, small: Folders
) -> None:
    assert "name them the other way round" in refused(capsys, small.truth, small.found)
    (tmp_path / "empty").mkdir()
    assert "no kind is in both folders" in refused(capsys, small.found, tmp_path / "empty")
    assert "nothing: no such folder" in refused(capsys, tmp_path / "nothing", small.truth)


@pytest.mark.parametrize(
    "wrong",
    [
        ["--min-hours", "stops=8"],
        ["--min-hours", "long"],
        ["--min-hours", "-1"],
        ["--min-share", "1.1"],
        ["--min-overlap", "nan"],
        ["--building-months", "-1"],
        ["--subjects", "0"],
        ["--subjects", "201"],
        ["--plot", "p.pdf"],
        ["--timezone", "Asia/Peking"],
        ["--as-of", "noon"],
    ],
)
def test_options_that_make_no_sense(capsys: pytest.CaptureFixture[str], small: Folders, wrong: list[str]) -> None:
    assert wrong[0].removeprefix("--") in refused(capsys, *small, *wrong)


def test_a_picture_that_cannot_be_written(capsys: pytest.CaptureFixture[str], small: Folders) -> None:
    assert "--plot" in refused(capsys, *small, "--plot", small.found / "nowhere" / "p.svg")


def spells(*rows: tuple[str, int, int]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["subject_id", "start", "end"])
    moments = {name: pd.to_datetime(frame[name] * HOUR_MS, unit="ms", utc=True) for name in ("start", "end")}
    return frame.assign(subject_kind="point", kind="", **moments)


def compared(found: pd.DataFrame, truth: pd.DataFrame) -> dict[FindingKind, Agreement]:
    return {FindingKind.COLD_SPELL: agreement(FindingKind.COLD_SPELL, found, truth, Scoring(99 * HOUR_MS))}


def test_the_worst_subjects_are_drawn_first() -> None:
    both = compared(spells(("a", 0, 9), ("c", 0, 2)), spells(("a", 0, 9), ("b", 5, 9), ("c", 0, 5)))
    lines, of_all = worst_lines(both, 2)
    assert [line.name[1] for line in lines] == ["b", "c"]
    assert of_all == 3


def test_nothing_to_draw_is_drawn_too() -> None:
    spec = timeline_spec(compared(spells(), spells()), 99 * HOUR_MS, ZoneInfo("Asia/Shanghai"))
    assert spec["title"]["subtitle"] == "nothing is true and nothing was found"


def test_ticks_are_round_in_local_time_across_a_change_of_the_clocks() -> None:
    """On 2026-10-25 Berlin's clocks go back from 03:00 to 02:00: midnight to midnight is 25 hours."""
    zone = ZoneInfo("Europe/Berlin")
    start_ms = int(pd.Timestamp("2026-10-24T22:00Z").timestamp() * 1000)
    ticks = round_moments(start_ms, start_ms + 25 * HOUR_MS, zone, 5)
    assert [(tick - start_ms) // HOUR_MS for tick in ticks] == [0, 7, 13, 19, 25]
