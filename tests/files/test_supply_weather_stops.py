"""The supply, weather and stops files: read as they are written down in the design; one clear error where not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from heatwatch.domain.stops import Stop
from heatwatch.errors import BadInput
from heatwatch.files.evidence_files import read_stops, read_supply, read_weather
from simulators.scenarios.files import load_scenario

SUPPLY = "time,subject_id,supply_c,return_c,flow_m3_h"
STOPS = "subject_kind,subject_id,start,end,planned,reason"


def written(folder: Path, *lines: str) -> Path:
    file = folder / "file.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_a_supply_file_is_read_whatever_it_lacks_is_no_number(tmp_path: Path) -> None:
    whole = read_supply(written(tmp_path, SUPPLY, "2026-01-12T06:00:00+08:00, S1 ,61.5,,nan"))
    assert whole["time"].dt.tz_localize(None).to_numpy("datetime64[ms]").view("i8").tolist() == [1_768_168_800_000]
    assert whole["subject_id"].tolist() == ["S1"]
    assert whole["supply_c"].tolist() == [61.5]
    assert np.isnan(whole[["return_c", "flow_m3_h"]].to_numpy()).all()
    bare = read_supply(written(tmp_path, "supply_c,time,other,subject_id", "61.5,2026-01-12T06:00:00Z,x,S1"))
    assert bare.columns.tolist() == ["time", "subject_id", "supply_c", "return_c", "flow_m3_h"]


def test_a_weather_file_is_read(tmp_path: Path) -> None:
    frame = read_weather(written(tmp_path, "time,outdoor_c", "2026-01-12T06:00:00Z,-7.5", "2026-01-12T07:00:00Z,"))
    np.testing.assert_array_equal(frame["outdoor_c"], [-7.5, np.nan])


def test_a_stops_file_is_read_with_and_without_an_end(tmp_path: Path) -> None:
    rows = [
        "building,S1-B01,2026-01-12T08:00:00+08:00,2026-01-12T12:00:00Z,true,works",
        "station,S1,2026-01-12T00:00:00Z,,no,",
        "room,S1-B01-1-101,2026-01-12T00:00:00Z,,,frozen valve",
    ]
    midnight = 1_768_176_000_000
    assert read_stops(written(tmp_path, STOPS, *rows)) == [
        Stop("building", "S1-B01", midnight, midnight + 12 * 3_600_000, planned=True, reason="works"),
        Stop("station", "S1", midnight),
        Stop("room", "S1-B01-1-101", midnight, reason="frozen valve"),
    ]


def test_a_stops_file_may_say_that_there_was_none(tmp_path: Path) -> None:
    assert read_stops(written(tmp_path, STOPS)) == []


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_what_the_simulator_writes_is_read_back(tmp_path: Path, ending: str) -> None:
    scenario = load_scenario("burst_main")
    town = scenario.town()
    frames = {
        "supply": town.supply_frame(scenario.start_ms, scenario.start_ms + 3_600_000),
        "weather": town.weather_frame(scenario.start_ms, scenario.start_ms + 7_200_000),
        "stops": town.stops_frame(),
    }
    files = {name: tmp_path / f"{name}.{ending}" for name in frames}
    for name, frame in frames.items():
        if ending == "csv":
            frame.to_csv(files[name], index=False, date_format="%Y-%m-%dT%H:%M:%S.%fZ")
        else:
            frame.to_parquet(files[name])
    for name, read in (("supply", read_supply), ("weather", read_weather)):
        found = read(files[name])
        for column in frames[name].columns[1:]:
            assert found[column].tolist() == frames[name][column].tolist()
        assert (found["time"].dt.as_unit("ms") == frames[name]["time"].dt.as_unit("ms")).all()
    (stop,) = read_stops(files["stops"])
    assert (stop.subject_kind, stop.subject_id, stop.planned, stop.reason) == (
        "building",
        "S2-B03",
        False,
        "burst main",
    )
    assert (stop.end_ms or 0) - stop.start_ms == 12 * 3_600_000


@pytest.mark.parametrize(
    ("read", "header", "row", "error"),
    [
        (read_supply, SUPPLY, "2026-01-12T06:00:00,S1,1,1,1", r"row 1 \(line 2\).*no time zone"),
        (read_supply, SUPPLY, "2026-01-12T06:00:00Z,,1,1,1", r"row 1 \(line 2\): subject_id is empty"),
        (read_supply, SUPPLY, "2026-01-12T06:00:00Z,S1,warm,1,1", "supply_c holds 'warm', which is no number"),
        (read_supply, "time,subject_id", "2026-01-12T06:00:00Z,S1", "column 'supply_c' is missing"),
        (read_weather, "time,outdoor_c", "soon,1", "time holds 'soon', which is no time"),
        (read_weather, "time", "2026-01-12T06:00:00Z", "column 'outdoor_c' is missing"),
        (read_stops, STOPS, "town,T,2026-01-12T06:00:00Z,,,", r"row 1 \(line 2\): subject_kind is 'town'"),
        (read_stops, STOPS, "building, ,2026-01-12T06:00:00Z,,,", "subject_id is empty"),
        (read_stops, STOPS, "building,A,,,,", "start holds nothing"),
        (read_stops, STOPS, "building,A,2026-01-12T06:00:00Z,2026-01-12T06:00:00Z,,", "end is not after start"),
        (read_stops, STOPS, "building,A,2026-01-12T06:00:00Z,,perhaps,", "planned is 'perhaps'"),
    ],
)
def test_one_clear_error_says_what_is_wrong_and_where(
    tmp_path: Path, read: Callable[[Path], Any], header: str, row: str, error: str
) -> None:
    with pytest.raises(BadInput, match=error) as caught:
        read(written(tmp_path, header, row))
    assert "file.csv" in str(caught.value)


def test_stops_of_a_parquet_file_keep_their_truth_values(tmp_path: Path) -> None:
    time = pd.DatetimeIndex(["2026-01-12T06:00:00Z"] * 2)
    frame = pd.DataFrame(
        {"subject_kind": "building", "subject_id": list("AB"), "start": time, "planned": [True, False]}
    )
    frame.to_parquet(tmp_path / "stops.parquet")
    assert [stop.planned for stop in read_stops(tmp_path / "stops.parquet")] == [True, False]
