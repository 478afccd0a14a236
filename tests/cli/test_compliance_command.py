"""`heatwatch compliance`: the same rates are the same bytes, and what is not known is said to be so."""

import json
from pathlib import Path

import pandas as pd
import pytest

from cli.main import main


def run(*arguments: object, code: int = 0) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["compliance", *map(str, arguments)])
    assert ended.value.code == code


def readings(path: Path, *, reverse: bool = False) -> Path:
    """Write two days in Shanghai of two rooms: one cold for six hours of a morning, one silent after an hour."""
    rows = [(hour, "a", 17.0 if 8 <= hour < 14 else 19.0) for hour in range(48)]
    rows += [(hour, "b", 20.0) for hour in (0, 1)]
    frame = pd.DataFrame(rows[::-1] if reverse else rows, columns=["hour", "point_id", "temperature_c"])
    frame["time"] = pd.to_datetime("2026-01-11T16:00:00Z") + pd.to_timedelta(frame.pop("hour"), unit="h")
    frame["time"] = frame["time"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    frame.to_csv(path, index=False)
    return path


def test_the_same_rates_are_the_same_bytes_in_whatever_order_rows_come(tmp_path: Path) -> None:
    texts = []
    for reverse in (False, True):
        out = tmp_path / f"{reverse}.csv"
        run(readings(tmp_path / "readings.csv", reverse=reverse), "--by", "day", "--per", "room", "--out", out)
        texts.append(out.read_bytes())
    assert texts[0] == texts[1]


def test_a_day_of_a_room_is_told_with_what_it_rests_on(tmp_path: Path) -> None:
    out = tmp_path / "rates.csv"
    run(readings(tmp_path / "readings.csv"), "--by", "day", "--per", "room", "--out", out)
    told = pd.read_csv(out, dtype=str, keep_default_na=False)
    told.index = pd.Index(told["period"] + " " + told["room"])
    a, b = told.loc["2026-01-12 a"], told.loc["2026-01-12 b"]
    assert (a["readings_pct"], a["readings_compliant"], a["readings_rated"]) == ("75.00", "18", "24")
    assert (a["hours_pct"], a["compliant_h"], a["violating_h"]) == ("75.00", "18.000000", "6.000000")
    assert (a["rooms_pct"], a["rooms_rated"]) == ("0.00", "1")
    assert (b["hours_pct"], b["compliant_h"], b["unknown_h"]) == ("100.00", "1.000000", "23.000000")
    assert (b["rooms_pct"], b["rooms_rated"]) == ("", "0")
    assert told.loc["2026-01-13 b"]["hours_pct"] == ""


def test_parquet_and_json_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = readings(tmp_path / "readings.csv"), tmp_path / "rates.parquet"
    run(file, "--per", "building", "--by", "season", "--out", out, "--json")
    said = json.loads(capsys.readouterr().out)
    (line,) = said["rates"]
    assert (line["period"], said["by"], said["per"]) == ("2025-26", "season", "building")
    assert pd.read_parquet(out).iloc[0].to_dict() == line


def test_the_table_says_unknown_where_nothing_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(readings(tmp_path / "readings.csv"), "--by", "day", "--per", "room", "--out", tmp_path / "rates.csv")
    lines = capsys.readouterr().out.splitlines()
    (silent,) = [line for line in lines if line.startswith("2026-01-13") and "  b  " in line]
    assert silent.count("unknown") == 3
    assert "%" not in silent


def test_a_file_of_another_kind_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    run(tmp_path / "nowhere.csv", "--out", tmp_path / "rates.txt", code=2)


def test_what_else_tells_of_the_heat_is_judged_by_too(tmp_path: Path) -> None:
    """The boiler of S1 stands for 12 h, and each of its houses has 12 rooms; nobody but the station tells when."""
    town, out = tmp_path / "town", tmp_path / "rates.csv"
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "boiler_trip", "--out", str(town)])
    assert ended.value.code == 0
    points = ("--points", town / "points.csv", "--by", "season", "--per", "building", "--out", out)
    told = [part for one in ("supply", "weather", "stops") for part in (f"--{one}", town / f"{one}.csv")]
    run(town / "readings.parquet", *points, *told)
    without_heat = pd.read_csv(out).set_index("building_id")["outage_h"]
    assert without_heat.to_dict() == {
        "S1-B01": pytest.approx(144, abs=4),
        "S1-B02": pytest.approx(144, abs=4),
        "S2-B03": 0,
        "S2-B04": 0,
    }
    reported = town / "reported.csv"
    reported.write_text(
        "subject_kind,subject_id,start,end\nbuilding,S2-B03,2026-01-12T12:00:00Z,2026-01-12T14:00:00Z\n"
    )
    run(town / "readings.parquet", *points, "--stops", reported)
    assert pd.read_csv(out).set_index("building_id")["outage_h"]["S2-B03"] == 24
