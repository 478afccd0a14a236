"""What a change would alter is told before it is made: by the command, or by the `serve` that holds the readings."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from analytics.roles.foresight import Foresight, ForesightRole
from cli.main import heatwatch
from heatwatch.domain.instants import DAY_MS
from heatwatch.domain.temperature import RoomClass
from heatwatch.files.points_file import points_frame
from heatwatch.records.schema import Job, RegisterImport, TooLate
from heatwatch.usecases.roles import Bell
from tests.analytics.test_horizon import EVERY, REGISTER, Later, moved, stretch
from tests.analytics.test_worker import STANDARD, START, ZONE


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Later]:
    """Give a data folder with two days of a cold room, closed."""
    bench = Later(tmp_path)
    bench.put_in_force(REGISTER)
    bench.live([*stretch("p1", 0, 40, 17.0), *stretch("q1", 0, 40, 20.0)])
    yield bench
    bench.store.close()
    bench.records.close()


@pytest.fixture
def proposed(tmp_path: Path) -> Path:
    """Give a points file in which the cold room was no apartment from a past moment on."""
    register = moved(REGISTER, "p1", RoomClass.SINGLE_STOREY, 20)
    file = tmp_path / "points.csv"
    points_frame(register.rows).to_csv(file, index=False)
    return file


def _asked(*arguments: str | Path) -> str:
    done = CliRunner().invoke(heatwatch, [str(one) for one in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_register_is_compared_and_not_put_in_force(made: Later, proposed: Path, tmp_path: Path) -> None:
    made.store.close()
    told = json.loads(_asked("points", "import", proposed, "--diff", "--json", "--data-dir", tmp_path))
    (change,) = told["changes"]
    assert (change["change"], change["subject_id"]) == ("shortened", "p1")
    table = _asked("points", "import", proposed, "--diff", "--data-dir", tmp_path).splitlines()
    assert table[0].split() == ["change", "finding", "of", "before", "after", "rests", "on", "it"]
    assert table[1].startswith("shortened  cold_spell 1  p1")
    assert "1 shortened; 0 tickets and 0 notices rest on it. Nothing was changed." in table[-1]
    with made.records.read() as session:
        assert session.query(RegisterImport).count() == 1


def test_rules_are_compared(made: Later, tmp_path: Path) -> None:
    made.store.close()
    text = (Path("heatwatch") / "rules" / "default.yaml").read_text("utf-8")
    file = tmp_path / "rules.yaml"
    file.write_text(text, "utf-8")
    told = json.loads(_asked("rules", "diff", file, "--json", "--data-dir", tmp_path))
    assert told["changes"] == []


def test_a_running_serve_is_asked(made: Later, proposed: Path, tmp_path: Path) -> None:
    """It alone may open the readings."""
    role = ForesightRole(Foresight(made.records, made.store, STANDARD, ZONE), Bell())
    stop = threading.Event()
    thread = threading.Thread(target=role.run, args=(stop,))
    thread.start()
    try:
        code = "from cli.main import main; main()"
        asked = ["points", "import", str(proposed), "--diff", "--json", "--data-dir", str(tmp_path)]
        done = subprocess.run(
            [sys.executable, "-c", code, *asked], capture_output=True, text=True, check=False, timeout=60
        )
    finally:
        stop.set()
        thread.join()
    assert done.returncode == 0, done.stderr
    assert [one["change"] for one in json.loads(done.stdout)["changes"]] == ["shortened"]
    with made.records.read() as session:
        assert session.query(Job).count() == 0


def test_what_came_too_late_is_listed(made: Later, tmp_path: Path) -> None:
    with made.records.write() as session:
        for number in (1, 2, 3):
            span = {"first_ms": START, "last_ms": START + EVERY, "rows": 2, "arrived_ms": START + 40 * DAY_MS}
            session.add(TooLate(worker="w", sequence=number, source=f"d{number}", **span))
    lines = _asked("readings", "late", "--limit", "2", "--offset", "1", "--json", "--data-dir", tmp_path).splitlines()
    assert [json.loads(line)["source"] for line in lines] == ["d2", "d1"]
    assert "6 readings in 3 entries" in _asked("readings", "late", "--data-dir", tmp_path)
