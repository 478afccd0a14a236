"""`heatwatch simulate`: every scenario of the library keeps its promise, its files agree, nothing is half-written."""

from __future__ import annotations

import json
import os
import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import cli.simulated_files as files
from cli.main import main
from cli.simulated_files import FILES, Span, write_town
from heatwatch.domain.instants import DAY_MS, HOUR_MS
from heatwatch.errors import BadInput
from heatwatch.files.points_file import read_points
from heatwatch.files.readings_file import read_readings
from heatwatch.files.rules_file import default_standard, time_zone
from simulators.scenarios.files import library, load_scenario
from simulators.towns.settings import TownSettings
from simulators.towns.town import Town
from tests.house.test_house import ROOT, commands_of

TOLD = ("points", "supply", "weather", "stops")
QUICK = [name for name in library() if name not in {"city", "season"}]


def ran(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    assert ended.value.code == code, said.err
    return said.err if code else said.out


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def small(folder: Path, text: str = "") -> Path:
    path = folder / "own.yaml"
    path.write_text(f"title: Own\nlasts: 6h\ntown: {{rooms: 12, interval: 10min}}\n{text}", encoding="utf-8")
    return path


def expected_of(capsys: pytest.CaptureFixture[str], name: str, folder: Path, *options: str) -> list[str]:
    """Simulate, judge by all that is told, and score; return what does not hold of what the scenario expects."""
    made, found = folder / "made", folder / "found"
    ran(capsys, "simulate", name, "--out", made, *options)
    told_of = [part for one in TOLD for part in (f"--{one}", made / f"{one}.csv")]
    ran(capsys, "judge", made / "readings.parquet", *told_of, "--out", found)
    expects = load_scenario(name).expects
    demanded = [f"--min-hours={kind.file_stem}={hours}" for kind, hours in expects.min_hours.items()]
    told: dict[str, Any] = json.loads(ran(capsys, "score", found, made, "--json", *demanded))
    return expects.check(told)


@pytest.mark.parametrize("name", QUICK)
def test_each_scenario_keeps_its_promise(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str) -> None:
    assert expected_of(capsys, name, tmp_path) == []


@pytest.mark.parametrize("name", ["boiler_trip+gateway_outage", "burst_main+sensor_zoo"])
def test_in_company_too(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str) -> None:
    assert expected_of(capsys, name, tmp_path) == []


def test_a_month_of_the_season(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    made = tmp_path / "made"
    ran(capsys, "simulate", "season", "--days", "45", "--out", made)
    outages = pd.read_csv(made / "truth_heat_outages.csv")
    assert list(outages["subject_id"]) == ["S1-B01"]
    assert pd.read_parquet(made / "readings.parquet")["point_id"].nunique() == 24


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the files of a day with a bit of everything."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "sensor_zoo+burst_main", "--days", "1.5", "--out", str(folder / "out")])
    assert ended.value.code == 0
    return folder / "out"


class TestFiles:
    """What is written agrees with what the town says of itself."""

    def test_all_of_them_and_no_other(self, made: Path) -> None:
        names = {path.name for path in made.iterdir()}
        assert names <= FILES
        assert FILES - names == {"readings.csv", "truth_readings.csv", files.GIVEN_WEATHER}
        assert [path for path in made.parent.iterdir() if path != made] == []

    def test_they_are_read_by_those_who_read_such_files(self, made: Path) -> None:
        readings = read_readings(made / "readings.parquet")
        register = read_points(made / "points.csv")
        assert set(readings["point_id"].cat.categories) <= {row.point_id for row in register.rows}
        assert {row.device_id is None for row in register.rows} == {True, False}

    def test_slices_lose_and_double_nothing(self, made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        town = load_scenario("sensor_zoo+burst_main").changed(length_ms=36 * HOUR_MS).town()
        end_ms = town.start_ms + 36 * HOUR_MS
        whole = town.stored(town.start_ms, end_ms)
        read = pd.read_parquet(made / "readings.parquet")
        assert len(read) == len(whole)
        np.testing.assert_array_equal(read["temperature_c"], whole["temperature_c"])
        assert list(read["point_id"]) == list(whole["point_id"].astype("str"))
        monkeypatch.setattr(files, "_ROWS_PER_SLICE", 48 * 7)
        monkeypatch.setattr(files, "_ROWS_PER_JUDGING", 48 * 100)
        span = Span(town.start_ms, end_ms, default_standard(), time_zone("Asia/Shanghai"))
        write_town(town, span, tmp_path / "sliced", "")
        sliced = bytes_of(tmp_path / "sliced")
        for name, data in bytes_of(made).items():
            if name.endswith(".csv"):
                assert sliced[name] == data, name
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "sliced" / "readings.parquet"), read)

    def test_every_reading_kept_is_true_of_something_measured(self, made: Path) -> None:
        truth = pd.read_parquet(made / "truth_readings.parquet")
        kept = truth[truth["kept"]]
        read = pd.read_parquet(made / "readings.parquet").drop_duplicates(["point_id", "time", "temperature_c"])
        both = read.merge(kept, left_on=["point_id", "time"], right_on=["point_id", "claimed"], how="left")
        assert both["claimed"].notna().all()
        assert (truth.loc[truth["temperature_c"].notna(), "true_c"] > 0).all()

    def test_cold_spells_are_those_of_the_true_temperatures(self, made: Path) -> None:
        """No thermometer's fault shows in them: the room of the one that says 85 °C is as cold as it is."""
        spells = pd.read_csv(made / "truth_cold_spells.csv")
        assert {"confirmed_at", "rule", "min_temp_c"} <= set(spells.columns)
        assert spells["min_temp_c"].between(5, 18).all()
        assert spells["point_id"].is_monotonic_increasing

    def test_cold_spells_are_those_of_rooms_in_service(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        """A room that is cold and suspended twice, with another thermometer before, is judged by each of its rows."""
        cut = "room: S1-B01-1-101"
        happens = (
            f"weather: {{mean_c: -15}}\nevents:\n  - closed_valve: {{{cut}, at: -5d}}\n"
            f"  - disconnected_home: {{{cut}, at: 2h, lasts: 1h}}\n  - disconnected_home: {{{cut}, at: 4h}}\n"
            f"faults:\n  - replaced: {{{cut}, at: 1h, lasts: 0.5h}}\n"
        )
        ran(capsys, "simulate", small(tmp_path, happens), "--out", tmp_path / "out")
        spells = pd.read_csv(tmp_path / "out" / "truth_cold_spells.csv").query("point_id == 'S1-B01-1-101'")
        assert list(spells["end_reason"]) == ["suspended", "suspended"]
        assert spells["violation_h"].max() < 2

    def test_leaks_and_stops_are_told(self, made: Path) -> None:
        assert list(pd.read_csv(made / "truth_leaks.csv")["subject_id"]) == ["S2-B03"]
        assert list(pd.read_csv(made / "stops.csv")["planned"].astype(str)) == ["False"]


class TestAgain:
    """The same seed is the same bytes, and a folder says how it was made."""

    def test_the_same_bytes(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        own = small(tmp_path, "faults: [stuck: {town: true, share: 0.2}]\n")
        for name in ("one", "two"):
            ran(capsys, "simulate", own, "--seed", 3, "--out", tmp_path / name)
        assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")
        ran(capsys, "simulate", own, "--seed", 4, "--out", tmp_path / "three")
        assert bytes_of(tmp_path / "three")["readings.parquet"] != bytes_of(tmp_path / "one")["readings.parquet"]

    def test_the_scenario_written_makes_the_same_again(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        weather = pd.DataFrame({"time": ["2026-01-01T00:00Z", "2026-02-01T00:00Z"], "outdoor_c": [-20.0, 5.0]})
        weather.to_csv(tmp_path / "w.csv", index=False)
        text = "title: Own\ntown: {rooms: 36}\ninclude: [gateway_outage]\nweather: {file: w.csv}\n"
        own = tmp_path / "own.yaml"
        own.write_text(text, encoding="utf-8")
        options = ("--seed", 5, "--rooms", 60, "--lasts", "10h", "--start", "2026-01-20T00:00:00Z")
        ran(capsys, "simulate", own, *options, "--out", tmp_path / "one")
        (tmp_path / "w.csv").unlink()
        ran(capsys, "simulate", tmp_path / "one" / "scenario.yaml", "--out", tmp_path / "two")
        one, two = bytes_of(tmp_path / "one"), bytes_of(tmp_path / "two")
        assert one == two
        assert files.GIVEN_WEATHER in one

    def test_an_earlier_simulation_is_replaced_whole(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        own, out = small(tmp_path), tmp_path / "out"
        ran(capsys, "simulate", own, "--format", "csv", "--out", out)
        assert len(read_readings(out / "readings.csv")) >= 12 * 36
        ran(capsys, "simulate", own, "--out", out)
        assert not (out / "readings.csv").exists()
        assert {path.name for path in tmp_path.iterdir()} == {"own.yaml", "out"}

    def test_csv_says_what_parquet_says(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        own = small(tmp_path)
        for kind in ("csv", "parquet"):
            ran(capsys, "simulate", own, "--format", kind, "--out", tmp_path / kind)
        one, two = (read_readings(tmp_path / kind / f"readings.{kind}") for kind in ("csv", "parquet"))
        pd.testing.assert_frame_equal(one, two, check_categorical=False)


class TestRefusals:
    """What is there stays, and nothing is half-written."""

    def test_a_folder_with_something_else(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        out = tmp_path / "out"
        out.mkdir()
        (out / "thesis.txt").write_text("mine", encoding="utf-8")
        said = ran(capsys, "simulate", small(tmp_path), "--out", out, code=2)
        assert "holds thesis.txt, which no simulation wrote" in said
        assert (out / "thesis.txt").read_text(encoding="utf-8") == "mine"
        (out / "thesis.txt").rename(out / "points.csv")
        assert "holds points.csv" in ran(capsys, "simulate", small(tmp_path), "--out", out, code=2)

    def test_an_empty_folder_is_filled_and_a_file_refused(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        (tmp_path / "out").mkdir()
        ran(capsys, "simulate", small(tmp_path), "--out", tmp_path / "out")
        said = ran(capsys, "simulate", small(tmp_path), "--out", tmp_path / "own.yaml", code=2)
        assert "is a file, not a folder" in said

    @pytest.mark.parametrize("again", [False, True])
    def test_a_failure_leaves_what_was_there(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, again: bool
    ) -> None:
        town, out = Town(TownSettings(rooms=12)), tmp_path / "deep" / "out"
        span = Span(town.start_ms, town.start_ms + HOUR_MS, default_standard(), time_zone("Asia/Shanghai"))
        if again:
            write_town(town, span, out, "first")
        before = bytes_of(out) if again else {}

        def fail(*_: object) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(Town, "stops_frame", fail)
        with pytest.raises(BadInput, match="cannot be written: Input/output error"):
            write_town(town, span, out, "second")
        assert (bytes_of(out) if again else {}) == before
        assert [path.name for path in (tmp_path / "deep").iterdir()] == (["out"] if again else [])

    def test_an_interruption_leaves_nothing(self, tmp_path: Path) -> None:
        town = Town(TownSettings(rooms=12))
        span = Span(town.start_ms, town.start_ms + DAY_MS, default_standard(), time_zone("Asia/Shanghai"))

        def stop(_: int) -> None:
            raise KeyboardInterrupt

        with suppress(KeyboardInterrupt):
            write_town(town, span, tmp_path / "out", "", show=stop)
        assert list(tmp_path.iterdir()) == []

    def test_an_interruption_while_folders_change_places_leaves_the_old_one(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        town, out = Town(TownSettings(rooms=12)), tmp_path / "out"
        span = Span(town.start_ms, town.start_ms + HOUR_MS, default_standard(), time_zone("Asia/Shanghai"))
        write_town(town, span, out, "first")
        rename = Path.rename

        def stop(path: Path, target: Path) -> Path:
            if path.name == "new":
                raise KeyboardInterrupt
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", stop)
        with suppress(KeyboardInterrupt):
            write_town(town, span, out, "second")
        assert (out / files.SCENARIO).read_text(encoding="utf-8") == "first"
        assert list(tmp_path.iterdir()) == [out]

    def test_sigterm_leaves_nothing(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        own, before = small(tmp_path), signal.getsignal(signal.SIGTERM)

        def asked(*_: object) -> None:
            assert len(list(tmp_path.iterdir())) == 2
            os.kill(os.getpid(), signal.SIGTERM)

        monkeypatch.setattr(Town, "stops_frame", asked)
        ran(capsys, "simulate", own, "--out", tmp_path / "out", code=128 + signal.SIGTERM)
        assert list(tmp_path.iterdir()) == [own]
        assert signal.getsignal(signal.SIGTERM) == before

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["boiler_trip"], "say where to"),
            (["boiler_trip", "--out", "x", "--to", "mqtt://127.0.0.1"], "say where to"),
            (["nosuch", "--out", "x"], "there is no scenario 'nosuch'"),
            (["boiler_trip", "--out", "x", "--days", "0"], "--days: 0 is no length"),
            (["boiler_trip", "--out", "x", "--days", "nan"], "--days: nan is no length"),
            (["boiler_trip", "--out", "x", "--days", "1", "--lasts", "1h"], "--days and --lasts say the same"),
            (["boiler_trip", "--out", "x", "--lasts", "soon"], "--lasts: 'soon' is no span of time"),
            (["boiler_trip", "--out", "x", "--lasts=-1h"], "--lasts: '-1h' is no time at all"),
            (["boiler_trip", "--out", "x", "--start", "soon"], "--start: 'soon' is no moment"),
            (["boiler_trip", "--out", "x", "--rooms", "0"], "--rooms: 0 rooms make no town"),
            (["boiler_trip", "--out", "x", "--seed", "-1"], "--seed: -1 is no seed"),
            (["boiler_trip", "--out", "x", "--timezone", "Nowhere"], "no time zone is called 'Nowhere'"),
            (["boiler_trip", "--to", "mqtt://127.0.0.1", "--speed", "fast"], "--speed: 'fast' is no speed"),
            (["boiler_trip", "--to", "mqtt://127.0.0.1", "--connections", "0"], "--connections"),
            (["boiler_trip", "--to", "mqtt://127.0.0.1", "--step", "2d"], "--step"),
            (["boiler_trip", "--to", "http://127.0.0.1"], "--to"),
        ],
    )
    def test_what_makes_no_sense(self, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
        assert says in ran(capsys, "simulate", *arguments, code=2)


def test_the_library_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, "simulate") == ran(capsys, "simulate", "--list")
    told = json.loads(ran(capsys, "simulate", "--list", "--json"))
    assert [one["name"] for one in told] == library()
    listed = ran(capsys, "simulate", "--list").splitlines()
    assert all(one["title"] in line and one["title_zh"] in line for one, line in zip(told, listed, strict=True))


def test_what_was_done_is_told_as_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    told = json.loads(ran(capsys, "simulate", small(tmp_path), "--out", tmp_path / "out", "--json"))
    assert told["start"] == "2026-01-11T16:00:00.000Z"
    assert told["rows"]["readings"] == len(pd.read_parquet(tmp_path / "out" / "readings.parquet"))
    assert told["rows"]["points"] == 12


def test_now_begins_on_an_interval(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    told = json.loads(ran(capsys, "simulate", small(tmp_path), "--start", "now", "--out", tmp_path / "out", "--json"))
    assert int(pd.Timestamp(told["start"]).timestamp()) % 600 == 0


def test_the_readme_s_commands_run_as_they_stand(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = [line for line in commands_of(ROOT / "README.md") if re.match(r"heatwatch simulate .*--out", line)]
    assert len(commands) == 1
    first = commands_of(ROOT / "README.md").index(commands[0])
    for line in commands_of(ROOT / "README.md")[first : first + 3]:
        said = ran(capsys, *line.split()[1:])
    assert re.search(r"heat outages +3 +3 +0 +0", said)


class TestDocument:
    """docs/simulating.md says what is there."""

    text = (ROOT / "docs" / "simulating.md").read_text(encoding="utf-8")

    def test_it_names_every_scenario_and_every_file(self) -> None:
        assert [name for name in library() if f"`{name}`" not in self.text] == []
        stems = {name.partition(".")[0] for name in FILES}
        assert [stem for stem in stems if stem not in self.text] == []

    def test_its_example_keeps_its_promise(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        (example,) = re.findall(r"^```yaml\n(.*?)^```", self.text, re.MULTILINE | re.DOTALL)
        (tmp_path / "example.yaml").write_text(example, encoding="utf-8")
        assert expected_of(capsys, str(tmp_path / "example.yaml"), tmp_path) == []

    def test_its_example_of_an_error_is_told_so(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        (example,) = re.findall(r"^```yaml\n(.*?)^```", self.text, re.MULTILINE | re.DOTALL)
        (error,) = re.findall(r"^own\.yaml, line .*", self.text, re.MULTILINE)
        wrong = example.replace("{station: S1, at: 12h, lasts", "{station: S1, at: 12h, lests")
        (tmp_path / "own.yaml").write_text(wrong, encoding="utf-8")
        assert error in ran(capsys, "simulate", tmp_path / "own.yaml", "--out", tmp_path / "out", code=2)


def test_it_publishes_to_a_broker(capsys: pytest.CaptureFixture[str], tmp_path: Path, mosquitto: Any) -> None:
    """Without a clock nobody needs to listen; as many readings are published as are sent.

    The supply of the one station is three readings every 5 min, for six hours.
    """
    own = small(tmp_path)
    scenario = load_scenario(str(own))
    sent = scenario.town().sent(scenario.start_ms, scenario.end_ms)
    broker = f"mqtt://127.0.0.1:{mosquitto.port}"
    for flags, more in ((("--no-supply",), 0), ((), 6 * 12 * 3)):
        asked = ("--to", broker, "--no-clock", "--speed", "max", *flags, "--json")
        told = json.loads(ran(capsys, "simulate", own, *asked))
        assert told["readings"] == len(sent) + more
