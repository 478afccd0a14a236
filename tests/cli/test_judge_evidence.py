"""`judge` with supply, weather and stops: what they say beside the rooms is in the findings."""

import json
from pathlib import Path

import pandas as pd
import pytest

from cli.main import main


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(one) for one in arguments])
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("boiler_trip", {"S1": "supply", "S1-B01": "supply", "S1-B02": "supply"}),
        ("burst_main", {"S2-B03": "reported"}),
        ("planned_stop", {"S1-B01": "reported", "S2-B03": "rooms"}),
        ("night_setback", {}),
        ("cold_snap", {}),
    ],
)
def test_what_a_town_tells_of_its_heat_is_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scenario: str, expected: dict[str, str]
) -> None:
    town, out = tmp_path / "town", tmp_path / "out"
    assert run("simulate", scenario, "--out", town) == 0
    told = [part for one in ("points", "supply", "weather", "stops") for part in (f"--{one}", town / f"{one}.csv")]
    assert run("judge", town / "readings.parquet", *told, "--out", out, "--json") == 0
    found = pd.read_csv(out / "heat_outages.csv", parse_dates=["start", "end"])
    true = pd.read_csv(town / "truth_heat_outages.csv", parse_dates=["start", "end"])
    assert dict(zip(found["subject_id"], found["evidence"], strict=True)) == expected
    both = found.merge(true, on="subject_id", suffixes=("", "_true"))
    sure = both[both["evidence"] != "rooms"]
    assert ((sure["start"] - sure["start_true"]).abs() <= pd.Timedelta("10min")).all()
    assert ((sure["end"] - sure["end_true"]).abs() <= pd.Timedelta("10min")).all()
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["as_of"]
