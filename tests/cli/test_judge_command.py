"""`heatwatch judge`: the design's files, the same bytes for the same findings, and real measurements."""

import json
from pathlib import Path

import pandas as pd
import pytest

from cli.main import main
from heatwatch.domain.findings import COLUMNS, FindingKind

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
REAL = {
    "uci_appliances_belgium": ("Europe/Brussels", 157_880, 10_388, 0),
    "heathack_extra_venue11": ("Europe/London", 88_708, 41_718, 0),
    "nab_ambient": ("Asia/Shanghai", 7_267, 337, 8),
}
"""Zone, valid readings, violations and gaps of 8 h and more, as a plain count in the data's own README gives them."""
PARTS = ("unlisted", "duplicates", "conflicts", "invalid", "out_of_range", "valid")


def judge(*arguments: object) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["judge", *map(str, arguments)])
    assert ended.value.code == 0


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real measurements are not beside the project")
@pytest.mark.parametrize("name", REAL)
def test_real_measurements_give_the_counts_of_a_plain_count(tmp_path: Path, name: str) -> None:
    zone, valid, violations, gaps = REAL[name]
    points = SHARED / f"{name}.points.csv"
    judge(SHARED / f"{name}.csv.gz", "--points", points, "--timezone", zone, "--out", tmp_path / "out")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["valid"], summary["violations"], summary["out_of_range"]) == (valid, violations, 0)
    outages = pd.read_csv(tmp_path / "out" / "data_outages.csv")
    assert len(outages[outages["subject_kind"] == "point"]) == gaps
    assert summary["readings"] == sum(summary[part] for part in PARTS)
    for counts in summary["points"].values():
        assert counts["readings"] == sum(counts.get(part, 0) for part in PARTS)


def messy(path: Path, *, reverse: bool = False) -> Path:
    """Write readings with everything in them: two rooms, a duplicate, a conflict, a gap, no value, a sentinel."""
    rows = [(hour, "a", 17.0 if 8 <= hour < 14 else 19.0) for hour in range(24)]
    rows += [(hour, "b", 20.0) for hour in (0, 1, 2, 12, 13)]
    rows += [(3, "a", 19.0), (5, "b", 15.0), (5, "b", 16.0), (6, "b", float("nan")), (7, "b", 85.0)]
    frame = pd.DataFrame(rows[::-1] if reverse else rows, columns=["hour", "point_id", "temperature_c"])
    time = pd.to_datetime("2026-01-12T00:00:00Z") + pd.to_timedelta(frame.pop("hour"), unit="h")
    if path.suffix == ".parquet":
        frame.assign(time=time).to_parquet(path)
    else:
        frame.assign(time=time.dt.strftime("%Y-%m-%dT%H:%M:%SZ"), note="x").to_csv(path, index=False)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_the_same_findings_are_the_same_bytes_in_any_order_and_format(tmp_path: Path) -> None:
    files = [tmp_path / "r.csv", tmp_path / "r.csv.gz", tmp_path / "r.parquet"]
    for number, file in enumerate(files):
        judge(messy(file, reverse=number == 1), "--out", tmp_path / str(number))
    first = contents(tmp_path / "0")
    assert sorted(first) == [
        "cold_spells.csv",
        "data_outages.csv",
        "heat_outages.csv",
        "sensor_faults.csv",
        "summary.json",
    ]
    assert first == contents(tmp_path / "1") == contents(tmp_path / "2")


def test_every_file_has_the_design_s_columns_in_csv_and_parquet(tmp_path: Path) -> None:
    file = messy(tmp_path / "r.csv")
    judge(file, "--out", tmp_path / "csv")
    judge(file, "--out", tmp_path / "parquet", "--format", "parquet")
    for kind, columns in COLUMNS.items():
        text = pd.read_csv(tmp_path / "csv" / f"{kind.file_stem}.csv")
        binary = pd.read_parquet(tmp_path / "parquet" / f"{kind.file_stem}.parquet")
        assert tuple(text.columns) == tuple(binary.columns) == columns
        assert len(text) == len(binary)
    assert len(pd.read_csv(tmp_path / "csv" / f"{FindingKind.COLD_SPELL.file_stem}.csv")) == 1


def test_a_moment_leaves_out_what_was_measured_later(tmp_path: Path) -> None:
    file = messy(tmp_path / "r.csv")
    judge(file, "--out", tmp_path / "out", "--as-of", "2026-01-12T10:00:00Z")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    whole = pd.read_csv(file)
    assert summary["as_of"] == "2026-01-12T10:00:00.000Z"
    assert summary["readings"] == int((whole["time"] <= "2026-01-12T10:00:00Z").sum())
    spells = pd.read_csv(tmp_path / "out" / "cold_spells.csv")
    assert spells["open"].tolist() == [True]
    assert spells["end"].isna().all()


def test_findings_are_replaced_and_other_files_stay(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    (out / "cold_spells.csv").write_text("old")
    judge(messy(tmp_path / "r.csv"), "--out", out)
    assert (out / "notes.txt").read_text() == "mine"
    assert (out / "cold_spells.csv").read_text().startswith("point_id,start,end,open")
    assert not list(tmp_path.glob(".out-*"))
