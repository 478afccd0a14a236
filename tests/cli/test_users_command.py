"""`heatwatch users`: people and keys are kept from the command line, and no password is ever on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main
from cli.opening import open_records, wall_clock
from cli.users import users
from heatwatch.domain.people import Person, Role
from heatwatch.settings import Settings
from heatwatch.usecases.people import Door, person_of_token, sign_in

PASSWORD = "correct horse battery"  # noqa: S105 - of nobody
Heatwatch = Callable[..., tuple[int, str, str]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\nsomething else\n")
    return file


@pytest.fixture
def heatwatch(capsys: pytest.CaptureFixture[str], data: Path) -> Heatwatch:
    """Run `heatwatch users …`; its exit code and what it said."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["users", *map(str, arguments), "--data-dir", str(data)])
        said = capsys.readouterr()
        return int(str(ended.value.code)), said.out.strip(), said.err.strip()

    return run


def enters(data: Path, name: str, password: str = PASSWORD) -> bool:
    with open_records(Settings(data_dir=data)) as records:
        return sign_in(records, Door(), name, password, now_ms=wall_clock(), hours=1) is not None


def whose(data: Path, token: str) -> Person | None:
    with open_records(Settings(data_dir=data)) as records, records.read() as session:
        return person_of_token(session, token, wall_clock())


def listed(heatwatch: Heatwatch) -> list[dict[str, Any]]:
    return [json.loads(line) for line in heatwatch("list", "--json")[1].splitlines()]


def test_a_user_is_added_with_the_password_in_a_file(heatwatch: Heatwatch, data: Path, password_file: Path) -> None:
    said = heatwatch(
        *("add", "王", "--role", "station", "--station", "s1", "--station", "s2", "--display", "王师傅"),
        *("--password-file", password_file),
    )
    assert said == (0, "added 王 (station, stations s1, s2)", "")
    assert enters(data, "王")
    (entry,) = listed(heatwatch)
    assert entry == {
        "name": "王",
        "display_name": "王师傅",
        "role": "station",
        "stations": ["s1", "s2"],
        "active": True,
        "password": True,
        "tokens": [],
    }
    assert heatwatch("list")[1] == "王  王师傅  station  s1, s2"


def test_a_password_is_asked_for_twice_and_not_shown(data: Path) -> None:
    arguments = ["add", "wang", "--role", "dispatch", "--data-dir", str(data)]
    told = CliRunner().invoke(users, arguments, input=f"{PASSWORD}\n{PASSWORD}\n")
    assert told.exit_code == 0
    assert PASSWORD not in told.output
    assert enters(data, "wang")


def test_no_password_can_be_given_on_the_command_line() -> None:
    """Other users of the machine see it there."""
    for command in users.commands.values():
        assert not [option for one in command.params for option in one.opts if option == "--password"]


def test_a_user_is_changed(heatwatch: Heatwatch, data: Path, password_file: Path) -> None:
    heatwatch("add", "wang", "--role", "station", "--station", "s1", "--no-password")
    assert not enters(data, "wang")
    assert heatwatch("change", "wang", "--password-file", password_file)[0] == 0
    assert enters(data, "wang")
    said = heatwatch("change", "wang", "--role", "engineer", "--all-stations")
    assert said == (0, "changed wang (engineer, all stations)", "")
    assert heatwatch("change", "wang", "--inactive")[0] == 0
    assert not enters(data, "wang")
    assert heatwatch("list")[1].endswith("inactive")
    assert heatwatch("change", "wang", "--active", "--station", "s2")[1] == "changed wang (engineer, stations s2)"


def test_a_token_is_printed_once_and_revoked(heatwatch: Heatwatch, data: Path) -> None:
    heatwatch("add", "grafana", "--role", "viewer", "--no-password")
    code, token, _ = heatwatch("token", "grafana", "--label", "panels", "--days", 30)
    assert code == 0
    assert whose(data, token) == Person("grafana", "grafana", Role.VIEWER, None)
    (entry,) = listed(heatwatch)
    (kept,) = entry["tokens"]
    assert (kept["label"], kept["revoked"]) == ("panels", None)
    assert token not in json.dumps(entry)
    assert heatwatch("list")[1].endswith("1 tokens")
    assert heatwatch("revoke", "grafana", "--label", "panels")[0] == 0
    assert whose(data, token) is None
    assert listed(heatwatch)[0]["tokens"][0]["revoked"] is not None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("add", "x", "--role", "station", "--no-password"),
            "heatwatch: x: the role station needs at least one station",
        ),
        (("add", "heatwatch", "--role", "viewer", "--no-password"), "heatwatch's own"),
        (("add", "x", "--role", "viewer", "--password-file", "/nonexistent"), "/nonexistent: cannot be read"),
        (("change", "nobody", "--inactive"), "nobody: there is no such user"),
        (("change", "nobody"), "nothing to change"),
        (("change", "x", "--station", "s", "--all-stations"), "contradict"),
        (("token", "nobody"), "nobody: there is no such user"),
        (("revoke", "nobody"), "nobody: there is no such user"),
    ],
)
def test_bad_input_is_one_line(heatwatch: Heatwatch, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = heatwatch(*arguments)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert said in err


def test_a_file_with_a_short_or_no_password_is_refused(heatwatch: Heatwatch, tmp_path: Path) -> None:
    for number, (text, said) in enumerate([("short\n", "at least 10"), ("\nlonger than ten\n", "first line is empty")]):
        file = tmp_path / f"p{number}"
        file.write_text(text)
        code, _, err = heatwatch("add", "x", "--role", "viewer", "--password-file", file)
        assert code == 2
        assert said in err
    assert listed(heatwatch) == []
