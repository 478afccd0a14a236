"""`docs/operations.md`: its commands are commands, and what it has mosquitto read on Debian is fit for heatwatch."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest

from cli.doctoring.mosquitto import judge, read_config
from cli.doctoring.said import Verdict
from cli.main import heatwatch
from cli.secrets import ROTATED, secrets
from tests.deploy.composed import FILE, ROOT, composed, services
from tests.influxdb import has_influxdb

GUIDE = ROOT / "docs" / "operations.md"
TEXT = GUIDE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\w*\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
LINES = [line.split(" #")[0].strip() for block in BLOCKS for line in block.splitlines()]
HEADS = ("Install with compose", "Install on Debian", "Secure", "Rotate secrets", "Install without internet", "Upgrade")
COMPOSE_VERBS = {"build", "run", "up", "exec", "ps", "logs", "restart", "kill", "pull"}
"""Not `cp`: the engine copies nothing into a container whose root is read-only, a tmpfs in it included."""


def said(pattern: str) -> list[str]:
    """Return what the guide says to type, in blocks and in the text."""
    typed = [*LINES, *re.findall(r"`([^`\n]+)`", TEXT)]
    return [one for line in typed for one in re.split(r" && |; ", line) if re.match(pattern, one)]


def test_it_has_a_chapter_for_each_need() -> None:
    chapters = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    assert set(HEADS) <= set(chapters)
    linked = re.findall(r"\]\(#([\w-]+)\)", TEXT)
    assert {name.lower().replace(" ", "-") for name in HEADS} <= set(linked)


@pytest.mark.parametrize("line", sorted(set(said("docker compose "))))
def test_what_compose_is_asked_for_is_there(line: str) -> None:
    words = shlex.split(line.split(" <", maxsplit=1)[0])[2:]
    while words[0] == "--profile":
        assert any(words[1] in service.get("profiles", []) for service in services().values())
        words = words[2:]
    verb, *rest = words
    if verb == "down":
        return
    assert verb in COMPOSE_VERBS
    named = [word for word in rest if not word.startswith("-") and word not in {"HUP", "1h"}]
    if verb in {"run", "exec"}:
        assert named[0] in services(), line
        words = rest[rest.index(named[0]) + 1 :]
        if verb == "run" or words[0] == "heatwatch":
            _check_heatwatch(services()[named[0]], words)
    elif verb in {"restart", "kill", "up", "logs"}:
        assert set(named) <= set(services()), line


def _check_heatwatch(service: dict[str, Any], words: list[str]) -> None:
    if words[:1] == ["heatwatch"]:
        _check(heatwatch, words[1:])
    elif service.get("entrypoint") == ["heatwatch", "secrets"]:
        _check(secrets, words)
    elif service["image"].startswith("heatwatch:"):
        _check(heatwatch, words)


def _check(group: click.Group, words: list[str]) -> None:
    """Find each option among those of the command, down to where it ends."""
    command: click.Command = group
    context = click.Context(group)
    while isinstance(command, click.Group) and words and not words[0].startswith(("-", "…")):
        found = command.get_command(context, words[0])
        assert found is not None, words
        command, words = found, words[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word.split("=")[0] for word in words if word.startswith("--")} <= known, words


@pytest.mark.parametrize("line", sorted({*said("heatwatch "), *said("/opt/heatwatch/bin/heatwatch ")}))
def test_what_heatwatch_is_asked_for_it_can_do(line: str) -> None:
    _check(heatwatch, [word for word in shlex.split(line)[1:] if word != "…"])


@pytest.mark.parametrize("line", sorted(said("secrets ")))
def test_what_is_rotated_can_be(line: str) -> None:
    words = [word for word in line.split()[1:] if word != "…"]
    _check(secrets, words)
    if "--rotate" in words:
        assert words[words.index("--rotate") + 1] in ROTATED


def test_everything_that_can_be_rotated_is_told_of() -> None:
    assert [name for name in ROTATED if name not in TEXT and name not in {"mqtt_demo", "influx_admin_password"}] == []


def test_the_images_that_are_carried_are_those_that_are_used() -> None:
    (line,) = [line for line in LINES if line.startswith("docker save")]
    carried = set(line.split()[4:])
    base = set(re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE))
    used = {service["image"] for service in services().values() if not service["image"].startswith("heatwatch:")}
    assert carried == used | base


def test_variables_of_the_guide_are_those_of_the_file() -> None:
    asked = set(re.findall(r"\$\{(\w+):-", FILE.read_text(encoding="utf-8")))
    table = TEXT[TEXT.index("| variable |") : TEXT.index("What it does, by day")]
    assert set(re.findall(r"`([A-Z_]+)`", table)) == asked
    assert composed()["name"] == "heatwatch"


def test_the_configuration_that_it_makes_for_debian_is_fit_and_whole(tmp_path: Path) -> None:
    (line,) = [line for line in LINES if line.startswith("sed ")]
    command, target = line.split(" >")
    assert target == "/etc/mosquitto/mosquitto.conf"
    made = subprocess.run(shlex.split(command), cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (tmp_path / "mosquitto.conf").write_text(made)
    config = read_config(tmp_path / "mosquitto.conf")
    assert [one.what for one in judge(config) if one.verdict is not Verdict.OK] == []
    paths = [word for line in made.splitlines() if not line.startswith("#") for word in line.split() if word[0] == "/"]
    assert {path.rpartition("/")[0] for path in paths} == {"/etc/mosquitto/heatwatch", "/var/lib/mosquitto"}
    assert "stdout" not in made


def test_files_that_it_installs_are_there() -> None:
    named = {word for line in LINES for word in line.split() if word.startswith(("deploy/", "<deploy/"))}
    assert named
    for word in named:
        assert list(ROOT.glob(word.removeprefix("<"))), word


def test_debian_s_influxdb_reads_the_configuration_that_is_shipped() -> None:
    if not has_influxdb("1"):
        pytest.skip("InfluxDB 1.x is not installed")
    asked = ["influxd", "config", "-config", str(ROOT / "deploy/debian/influxdb.conf")]
    read = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30).stdout
    for line in (
        "auth-enabled = true",
        'index-version = "tsi1"',
        'bind-address = "127.0.0.1:8086"',
        "max-body-size = 0",
    ):
        assert re.search(rf"(?m)^\s*{re.escape(line)}$", read), line
