"""`heatwatch dashboards push`: shows first, changes when told to, and says what it did."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli import dashboards as command
from cli.main import BAD_INPUT, FAILURE, main
from dashboards.model import GrafanaSet
from dashboards.settings import GrafanaSettings
from tests.dashboards.push.examples import SECRETS, full
from tests.dashboards.push.fake import TOKEN, FakeGrafana

Run = Callable[..., Result]


@pytest.fixture
def arguments(fake: FakeGrafana, token_file: Path, secrets_dir: Path) -> list[str]:
    """Give what every run needs."""
    return ["push", "--url", fake.url, "--token-file", str(token_file), "--secrets-dir", str(secrets_dir)]


@pytest.fixture
def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Give the command, with an example of everything as what is to be pushed."""

    def example(_: GrafanaSettings) -> GrafanaSet:
        return full()

    monkeypatch.setattr(command, "contents", example)
    return lambda *more: CliRunner().invoke(command.dashboards, [*arguments, *more])


def test_without_yes_it_shows_what_it_would_do(fake: FakeGrafana, run: Run) -> None:
    for more in ([], ["--dry-run"]):
        ran = run(*more)
        assert ran.exit_code == 0
        assert "create     board          heatwatch-readings\n" in ran.output
        assert ran.output.endswith("8 to change; nothing was changed (--yes does it)\n")
    assert not fake.writes


def test_with_yes_it_does_it_once(fake: FakeGrafana, run: Run) -> None:
    assert run("--yes").output.endswith("8 changed\n")
    fake.forget()
    ran = run("--yes")
    assert ran.output.endswith("nothing to change\n")
    assert ran.output.count("unchanged") == 8
    assert not fake.writes
    assert run("--yes", "--secrets").output.endswith("2 changed\n")


def test_a_run_that_broke_off_says_what_was_done_and_what_was_not(
    fake: FakeGrafana, arguments: list[str], run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run()
    reads = len(fake.calls)
    fake.forget()
    fake.fails[reads + 3] = 500
    with pytest.raises(SystemExit) as left:
        main(["dashboards", *arguments, "--yes"])
    said = capsys.readouterr()
    assert left.value.code == FAILURE
    assert "\n2 changed\nnot done: board heatwatch-readings, " in said.out
    assert "500 out of order" in said.err
    fake.forget()
    assert run("--yes").exit_code == 0


def test_json_has_every_difference_and_no_secret(fake: FakeGrafana, run: Run) -> None:
    said = json.loads(run("--json").output)
    assert (said["applied"], said["complete"], said["error"]) == (False, True, None)
    assert {each["action"] for each in said["changes"]} == {"create"}
    done = json.loads(run("--json", "--yes").output)
    assert all(each["done"] for each in done["changes"])
    fake.boards["heatwatch-readings"]["dashboard"]["title"] = "x"
    ran = run("--json", "--secrets")
    (board,) = [each for each in json.loads(ran.output)["changes"] if each["kind"] == "board"]
    assert board["differences"] == [{"path": "title", "was": "x", "becomes": "室温读数"}]
    assert not any(word in ran.output for word in (TOKEN, *SECRETS.values()))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--token-file", "none"], "the token cannot be read"),
        (["--user", "admin"], "one way to get in"),
        (["--url", "grafana"], "is none over http"),
        (["--secrets-dir", "none", "--yes"], "the secret cannot be read"),
        (["--ca", "none"], "is no file"),
    ],
)
def test_what_is_amiss_is_said_in_one_line(
    fake: FakeGrafana, arguments: list[str], capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["dashboards", *arguments, *more])
    assert left.value.code == BAD_INPUT
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not fake.writes


def test_yes_is_in_the_help() -> None:
    assert "--yes" in CliRunner().invoke(command.dashboards, ["push", "--help"]).output
