"""Bad input gets one clear line that says what and where, exit code 2, and leaves nothing half-written."""

import gzip
from pathlib import Path

import pytest

from cli.main import main

GOOD = ["time,point_id,temperature_c", *(f"2026-01-12T{hour:02d}:00:00Z,room,17.5" for hour in range(10))]
POINT = "point_id,building_id,station_id,room_class,valid_from,valid_to"


def table(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def readings(tmp_path: Path) -> Path:
    return table(tmp_path / "readings.csv", GOOD)


def refused(capsys: pytest.CaptureFixture[str], out: Path, *arguments: object) -> str:
    """Run `judge` on bad input and return the one line that it says."""
    before = sorted(out.parent.iterdir())
    with pytest.raises(SystemExit) as ended:
        main(["judge", *map(str, arguments), "--out", str(out)])
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert sorted(out.parent.iterdir()) == before
    assert not said.out
    line = said.err.strip()
    assert line.startswith("heatwatch: ")
    assert "\n" not in line
    return line


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = refused(capsys, tmp_path / "out", tmp_path / "nothing.csv")
    assert "nothing.csv: no such file" in said


def test_a_missing_column(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = table(tmp_path / "r.csv", ["time,point_id,temp", "2026-01-12T00:00:00Z,room,17"])
    assert "column 'temperature_c' is missing" in refused(capsys, tmp_path / "out", file)


def test_an_unknown_time_zone(capsys: pytest.CaptureFixture[str], tmp_path: Path, readings: Path) -> None:
    for zone in ("Asia/Peking", "", "../etc/passwd", "Asia"):
        assert repr(zone) in refused(capsys, tmp_path / "out", readings, "--timezone", zone)


@pytest.mark.parametrize("content", ["", "time,point_id,temperature_c\n"])
def test_an_empty_file(capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str) -> None:
    file = tmp_path / "r.csv"
    file.write_text(content)
    assert "r.csv" in refused(capsys, tmp_path / "out", file)


def test_overlapping_rows_of_one_point(capsys: pytest.CaptureFixture[str], tmp_path: Path, readings: Path) -> None:
    points = table(
        tmp_path / "points.csv",
        [
            POINT,
            "room,b,s,apartment,2026-01-01T00:00:00Z,2026-02-01T00:00:00Z",
            "room,b,s,apartment,2026-01-31T00:00:00Z,",
        ],
    )
    said = refused(capsys, tmp_path / "out", readings, "--points", points)
    assert "point room: two rows are valid at once from 2026-01-31T00:00:00.000Z" in said


@pytest.mark.parametrize(
    ("rules", "names"),
    [
        ("versions: [", "line 1"),
        ("versions: []\n", "versions"),
        ("versions:\n  - classes: {apartment: {hours: [{from: 6, to: '21:00', minimum_c: 18}]}}\n", "HH:MM"),
        ("versions:\n  - classes: {apartment: {hours: [{from: '06:00', to: '21:00'}]}}\n", "minimum_c"),
        ("versions:\n  - classes: {flat: {hours: []}}\n", "flat"),
        ("versions:\n  - {classes: {}, valid_from: 2026-01-01}\n", "time zone"),
        ("versions:\n  - {classes: {}}\njudging: {hold: 3}\n", "hold"),
        ("just text\n", "the file"),
    ],
)
def test_a_broken_rules_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, readings: Path, rules: str, names: str
) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(rules)
    said = refused(capsys, tmp_path / "out", readings, "--rules", file)
    assert "rules.yaml" in said
    assert names in said


@pytest.mark.parametrize(
    ("cell", "says"), [("noon", "'noon'"), ("", "nothing"), ("2026-01-12T06:00:00", "no time zone")]
)
def test_an_unreadable_time_in_row_7(capsys: pytest.CaptureFixture[str], tmp_path: Path, cell: str, says: str) -> None:
    lines = [*GOOD[:7], f"{cell},room,17.5", *GOOD[8:]]
    said = refused(capsys, tmp_path / "out", table(tmp_path / "r.csv", lines))
    assert "row 7 (line 8)" in said
    assert says in said


def test_a_temperature_that_is_no_number(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = [*GOOD[:3], "2026-01-12T02:30:00Z,room,warm", *GOOD[3:]]
    said = refused(capsys, tmp_path / "out", table(tmp_path / "r.csv", lines))
    assert "row 3 (line 4)" in said
    assert "'warm'" in said


def test_a_cut_off_gzip_and_a_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    whole = gzip.compress("\n".join(GOOD * 50).encode())
    file = tmp_path / "r.csv.gz"
    file.write_bytes(whole[: len(whole) // 2])
    assert "r.csv.gz: cannot be read" in refused(capsys, tmp_path / "out", file)
    assert "no such file" in refused(capsys, tmp_path / "out", tmp_path)


def test_a_class_and_a_contract_that_do_not_exist(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, readings: Path
) -> None:
    points = table(tmp_path / "points.csv", [POINT, "room,b,s,castle,,"])
    said = refused(capsys, tmp_path / "out", readings, "--points", points)
    assert "row 1 (line 2)" in said
    assert "'castle'" in said
    points = table(tmp_path / "points.csv", [POINT + ",contract", "room,b,s,apartment,,,gold"])
    assert "'gold'" in refused(capsys, tmp_path / "out", readings, "--points", points)


def test_a_moment_without_zone(capsys: pytest.CaptureFixture[str], tmp_path: Path, readings: Path) -> None:
    said = refused(capsys, tmp_path / "out", readings, "--as-of", "2026-01-12T06:00:00")
    assert "--as-of" in said


def test_an_out_folder_that_is_a_file_stays_as_it_was(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, readings: Path
) -> None:
    out = tmp_path / "out"
    out.write_text("mine")
    assert "is a file" in refused(capsys, out, readings)
    assert out.read_text() == "mine"


@pytest.mark.parametrize(
    "lines",
    [
        [*GOOD[:4], "2026-01-12T04:00:00Z,room,17,5", *GOOD[4:]],
        ["point_id,time,temperature_c", "Z,room,2026-01-12T04:00:00Z,17"],
        [GOOD[0], *(f"{line}," for line in GOOD[1:])],
        ["time,point_id,temperature_c,time", "2026-01-12T04:00:00Z,room,17,2026-01-12T04:00:00Z"],
    ],
)
def test_cells_that_have_no_column_or_two(capsys: pytest.CaptureFixture[str], tmp_path: Path, lines: list[str]) -> None:
    assert "r.csv: " in refused(capsys, tmp_path / "out", table(tmp_path / "r.csv", lines))


@pytest.mark.parametrize(
    "rules",
    [
        "versions:\n  - {classes: {}, valid_from: 2026-13-45}\n",
        "versions:\n  - {classes: {}, seasons: [{first_day: 2026-10-15, last_day: 9999-12-31}]}\n",
        "versions:\n  - {classes: {}}\njudging: {outage_grid_min: 0}\n",
        "versions:\n  - {classes: {}}\njudging: {hold_h: 1.0e+15}\n",
        "[" * 5000,
    ],
)
def test_numbers_and_dates_that_make_no_sense(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, readings: Path, rules: str
) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(rules)
    assert "rules.yaml" in refused(capsys, tmp_path / "out", readings, "--rules", file)


def test_instants_out_of_all_time(capsys: pytest.CaptureFixture[str], tmp_path: Path, readings: Path) -> None:
    file = table(tmp_path / "r.csv", [*GOOD, "0001-01-01T00:00:00Z,room,17"])
    assert "row 11 (line 12)" in refused(capsys, tmp_path / "out", file)
    assert "--as-of" in refused(capsys, tmp_path / "out", readings, "--as-of", "9999-12-31T23:59:59Z")
    assert "--as-of" in refused(capsys, tmp_path / "out", readings, "--as-of", "")


def test_a_target_that_is_a_folder_leaves_the_others_as_they_were(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, readings: Path
) -> None:
    out = tmp_path / "out"
    (out / "summary.json").mkdir(parents=True)
    (out / "cold_spells.csv").write_text("mine")
    refused(capsys, out, readings)
    assert (out / "cold_spells.csv").read_text() == "mine"


def test_whatever_nobody_thought_of_is_one_line_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, readings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("cli.judging.judge_readings", fail)
    with pytest.raises(SystemExit) as ended:
        main(["judge", str(readings), "--out", str(tmp_path / "out")])
    assert ended.value.code == 1
    assert capsys.readouterr().err.count("\n") == 1
