"""`judge --engine dask`: the files are the same bytes, and what cannot be is said in one line."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from cli.main import main
from tests.e2e.processes import run


def ended(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(one) for one in arguments])
    return int(end.value.code or 0)


def contents(folder: Path) -> Mapping[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a town in which a boiler trips, with stations that measure their supply."""
    folder = tmp_path_factory.mktemp("engines") / "town"
    assert ended("simulate", "boiler_trip+sensor_zoo", "--out", folder) == 0
    return folder


def test_workers_write_the_same_bytes(town: Path, tmp_path: Path) -> None:
    told = [part for one in ("points", "supply", "weather", "stops") for part in (f"--{one}", town / f"{one}.csv")]
    judged = ["judge", town / "readings.parquet", *told]
    assert ended(*judged, "--out", tmp_path / "local") == 0
    done = run(*judged, "--out", tmp_path / "dask", "--engine", "dask", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "dask") == contents(tmp_path / "local")
    rows = {name: text.count(b"\n") - 1 for name, text in contents(tmp_path / "local").items() if name.endswith("csv")}
    assert all(rows.values()), rows


def test_without_dask_one_line_says_what_to_install(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert ended("judge", town / "readings.parquet", "--out", tmp_path / "out", "--engine", "dask") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'heatwatch[dask]'" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options",
    [
        ["--scheduler", "tcp://127.0.0.1:1"],
        ["--workers", "2"],
        ["--engine", "dask", "--scheduler", "tcp://127.0.0.1:1", "--workers", "2"],
    ],
)
def test_options_that_say_nothing_are_refused(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended("judge", tmp_path / "nowhere.csv", "--out", tmp_path / "out", *options) == 2
    assert "leave it out" in capsys.readouterr().err


def test_a_scheduler_that_does_not_answer_is_named(
    town: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--engine", "dask", "--scheduler", "tcp://127.0.0.1:1"]
    assert ended("judge", town / "readings.parquet", "--out", tmp_path / "out", *asked) == 1
    assert "tcp://127.0.0.1:1" in capsys.readouterr().err


def test_dask_is_imported_only_where_it_is_asked_for() -> None:
    code = "import sys, cli.judging; sys.exit(any(name in sys.modules for name in ('dask', 'distributed')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
