"""`heatwatch audit` says whether the trail is whole, where it ends and what stands in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from cli.main import main
from heatwatch.records.audit import acting
from heatwatch.records.database import Records
from heatwatch.records.schema import UserRow
from heatwatch.settings import Settings

NOW = 1_764_038_400_000
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `heatwatch audit …` on records with a user who came and changed; the exit code and what it said."""
    records = Records(Settings(data_dir=tmp_path).records_url)
    records.migrate()
    for name in ("王芳", "王方"):
        with records.write() as session:
            acting(session, "root", NOW)
            row = session.get(UserRow, 1) or UserRow(name="wang", role="viewer", stations=[], created_ms=NOW)
            row.display_name = name
            session.add(row)
    records.close()

    def ran(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["audit", *arguments, "--data-dir", str(tmp_path)])
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.out, said.err

    return ran


def tamper(folder: Path, statement: str) -> None:
    records = Records(Settings(data_dir=folder).records_url)
    with records.engine.begin() as connection:
        connection.execute(text(statement))
    records.close()


def test_a_whole_trail_is_said_to_be(run: Run) -> None:
    code, out, err = run("verify")
    assert (code, err) == (0, "")
    assert out.startswith("2 entries are whole, up to 2:")
    code, out, _ = run("verify", "--json")
    assert (code, json.loads(out)["whole"], json.loads(out)["entries"]) == (0, True, 2)


def test_a_damaged_one_is_a_line_for_each_fault(run: Run, tmp_path: Path) -> None:
    tamper(tmp_path, "UPDATE users SET role = 'company'")
    code, out, err = run("verify")
    assert code == 1
    assert out == "entry 2, users 1: role changed behind the trail's back since\n"
    assert err == "heatwatch: audit trail: 1 fault found\n"
    code, out, _ = run("verify", "--json")
    fault = {"what": "role changed behind the trail's back since", "seq": 2, "subject": "users", "subject_id": "1"}
    assert (code, json.loads(out)) == (1, {"whole": False, "faults": [fault]})


def test_its_head_is_an_anchor_as_it_is_said(run: Run, tmp_path: Path) -> None:
    head = run("head")[1]
    notes = tmp_path / "notes.txt"
    notes.write_text(f"{head}\n{head}")
    assert run("verify", "--anchor", f"@{notes}", "--anchor", head.strip().replace(" ", ":"))[0] == 0
    code, out, _ = run("verify", "--anchor", f"2:{'0' * 64}", "--anchor", f"9:{'0' * 64}")
    assert code == 1
    assert "entry 2: is not the one that was noted" in out
    assert "entry 9: was noted and is missing" in out


@pytest.mark.parametrize("anchor", ["2", "2:abc", "@nowhere.txt", "-1:" + "0" * 64])
def test_what_is_no_anchor_is_bad_input(run: Run, anchor: str) -> None:
    code, _, err = run("verify", f"--anchor={anchor}")
    assert code == 2
    assert err.count("\n") == 1
    assert "--anchor" in err


def test_entries_are_shown_in_order(run: Run) -> None:
    created, changed = run("show")[1].splitlines()
    assert created.startswith("1  2025-11-25T02:40:00.000Z  root created  users 1  id: 1, name: ")
    assert changed.endswith('root changed  users 1  display_name: "王芳" → "王方"')
    assert run("show", "--subject", "users", "--id", "1", "--limit", "1")[1].splitlines() == [changed]
    assert run("show", "--subject", "tickets")[1] == ""
    assert [json.loads(line)["seq"] for line in run("show", "--json")[1].splitlines()] == [1, 2]
    assert run("show", "--id", "1")[0] == 2
