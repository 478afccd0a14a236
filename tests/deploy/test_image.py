"""The image and the units: what goes in, as whom it runs, and that every word in them means something."""

import configparser
import importlib.metadata
import re
import subprocess
import tomllib
from pathlib import Path

import click
import pytest
from packaging.requirements import Requirement

from cli.main import heatwatch
from heatwatch.settings import Settings, StoreKind
from tests.deploy.composed import ROOT, services, unit

DOCKERFILE = ROOT / "Dockerfile"
LOCKS = {name: ROOT / "deploy" / f"{name}.lock" for name in ("requirements", "build")}
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
PACKAGES = ("heatwatch", "ingest", "analytics", "dispatch", "api", "dashboards", "simulators", "cli")


def instructions() -> list[tuple[str, str]]:
    """Return what the Dockerfile says, line by line, continued ones joined."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    found = [line.partition(" ") for line in lines if line.strip()]
    return [(word, rest.strip()) for word, _, rest in found]


def stages() -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage."""
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


def locked(lock: Path) -> dict[str, set[str]]:
    """Return the hashes of each pinned version."""
    found: dict[str, set[str]] = {}
    pinned = ""
    for line in lock.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            found[pinned].add(line.strip(" \\"))
        else:
            pinned = line.split(" ")[0]
            found[pinned] = set()
    return found


def test_the_image_is_built_apart_and_nothing_of_that_is_in_it() -> None:
    build, last = stages()
    assert [rest for word, rest in build if word == "FROM"] == ["python:3.11.15-slim-bookworm AS build"]
    assert [rest for word, rest in last if word == "FROM"] == ["python:3.11.15-slim-bookworm"]
    assert [rest for word, rest in last if word == "COPY"] == ["--from=build /opt/heatwatch /opt/heatwatch"]
    assert "apt-get" not in DOCKERFILE.read_text(encoding="utf-8")
    assert any("uninstall --yes --quiet pip" in rest for word, rest in last if word == "RUN")


def test_it_runs_as_the_user_that_compose_names() -> None:
    last = stages()[-1]
    (user,) = [rest for word, rest in last if word == "USER"]
    assert user == "10001:10001" == services()["ingest"]["user"]
    order = [word for word, _ in last]
    assert order.index("USER") < order.index("ENTRYPOINT")
    assert not any(word in {"RUN", "COPY", "ADD"} for word in order[order.index("USER") :])
    assert [rest for word, rest in last if word == "ENTRYPOINT"] == ['["heatwatch"]']
    assert [rest for word, rest in last if word == "STOPSIGNAL"] == ["SIGTERM"]
    assert [word for word in order if word == "HEALTHCHECK"]


def test_everything_is_installed_by_its_hash_or_is_our_own() -> None:
    installs = [rest for word, rest in instructions() if word == "RUN" and "pip install" in rest]
    commands = [one for rest in installs for one in re.findall(r"pip install [^&]*", rest)]
    assert commands
    for one in commands:
        assert "--require-hashes" in one or ("--no-index --no-deps" in one and one.strip().endswith("/dist/*.whl"))


def test_the_sources_that_go_in_are_the_packages_of_the_wheel() -> None:
    copied = {rest.split()[0] for word, rest in stages()[0] if word == "COPY" and rest.split()[0] in PACKAGES}
    assert copied == set(PACKAGES)
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in allowed
    assert {f"!{name}/" for name in PACKAGES} <= set(allowed)
    assert not any(line.startswith("!secrets") for line in allowed)


@pytest.mark.parametrize("name", sorted(LOCKS))
def test_its_versions_are_those_that_the_tests_ran_with(name: str) -> None:
    everything, here = locked(ROOT / "requirements.lock"), locked(LOCKS[name])
    assert here
    assert {pinned for pinned, hashes in here.items() if everything.get(pinned) != hashes} == set()
    assert "://" not in LOCKS[name].read_text(encoding="utf-8")


def test_it_has_every_dependency_and_what_those_need() -> None:
    """With PostgreSQL's driver and Dask, without what only tests need."""
    known = {re.sub(r"[-_.]+", "-", pinned.split("==")[0]).lower() for pinned in locked(LOCKS["requirements"])}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    queue = [Requirement(one) for one in (*project["dependencies"], *extras["dask"], *extras["postgres"])]
    seen: set[tuple[str, str]] = set()
    while queue:
        one = queue.pop()
        name = re.sub(r"[-_.]+", "-", one.name).lower()
        assert name in known, name
        for extra in {"", *one.extras}:
            if (name, extra) not in seen:
                seen.add((name, extra))
                needs = map(Requirement, importlib.metadata.requires(name) or [])
                queue += [need for need in needs if _applies(need, extra)]
    assert not known & {"pytest", "mypy", "ruff", "playwright", "polars"}


def _applies(one: Requirement, extra: str) -> bool:
    return one.marker is None or one.marker.evaluate({"extra": extra})


def test_there_are_units() -> None:
    assert {path.stem for path in UNITS} == {"heatwatch", "heatwatch-setup"}


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_can_do_no_more_than_it_must_and_comes_back(path: Path) -> None:
    service = dict(unit(path)["Service"])
    assert service["User"] == "heatwatch"
    for name in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices"):
        assert service[name] == "yes", name
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    assert service["Restart"] == "on-failure"
    assert service["StateDirectory"] == "heatwatch"
    assert "MemoryDenyWriteExecute" not in service


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_what_a_unit_starts_is_a_command_and_its_options_exist(path: Path) -> None:
    (line,) = [value for name, value in unit(path)["Service"] if name == "ExecStart"]
    program, name, *words = line.split()
    assert program == "/opt/heatwatch/bin/heatwatch"
    command = heatwatch.get_command(click.Context(heatwatch), name)
    assert command is not None
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_each_variable_of_a_unit_exists_and_each_secret_is_handed_over(path: Path) -> None:
    options = unit(path)["Service"]
    handed = {value.split(":")[0]: value.split(":")[1] for name, value in options if name == "LoadCredential"}
    variables = dict(value.split("=", 1) for name, value in options if name == "Environment")
    ours = {name for name in variables if name.startswith("HEATWATCH_")}
    assert {name for name in ours if name.removeprefix("HEATWATCH_").lower() not in Settings.model_fields} == set()
    (started,) = [value for name, value in options if name == "ExecStart"]
    named = set(re.findall(r"%d/(\w+)", " ".join([*variables.values(), started])))
    assert named == set(handed)
    assert not any(re.search(r"(?i)password|token", name) and not name.endswith("_FILE") for name in variables)


def test_debian_s_settings_read_well_and_hold_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "deploy/debian/heatwatch.toml").read_text(encoding="utf-8")
    (tmp_path / "heatwatch.toml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    settings = Settings.read()
    assert settings.store is StoreKind.INFLUXDB_1
    assert settings.records.startswith("postgresql://")
    assert not re.search(r"(?m)^\s*\w*(password|token)", text)


def test_what_fails_at_its_first_attempt_takes_nothing_else_with_it() -> None:
    """A unit that `Requires=` another is given up with its first failure, and its restart does not bring it back."""
    for path in UNITS:
        sections = unit(path)
        assert {name for name, _ in sections["Unit"]} & {"Requires", "Requisite", "BindsTo"} == set(), path
        assert ("Restart", "on-failure") in sections["Service"], path


def test_systemd_itself_finds_nothing_amiss(tmp_path: Path) -> None:
    """Where it is installed; a program that is not there is no matter of the unit's."""
    try:
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", *map(str, UNITS)], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return
    amiss = [line for line in done.stderr.splitlines() if "heatwatch" in line and "is not executable" not in line]
    assert [line for line in amiss if "not found" not in line and "Failed to" not in line] == []


def test_the_configuration_of_debian_s_influxdb_is_for_this_machine_with_a_sign_in() -> None:
    text = (ROOT / "deploy/debian/influxdb.conf").read_text(encoding="utf-8")
    parser = configparser.ConfigParser()
    parser.read_string(f"[top]\n{text}")
    assert parser["http"]["auth-enabled"] == "true"
    assert parser["http"]["bind-address"] == '"127.0.0.1:8086"'
    assert parser["top"]["reporting-disabled"] == "true"


def test_the_command_for_root_has_the_settings_of_the_unit() -> None:
    text = (ROOT / "deploy/debian/heatwatch").read_text(encoding="utf-8")
    here = dict(re.findall(r"^export (HEATWATCH_\w+)=(.+)$", text, re.MULTILINE))
    options = unit(ROOT / "deploy/systemd/heatwatch.service")["Service"]
    handed = dict(value.split(":", 1) for name, value in options if name == "LoadCredential")
    there = dict(value.split("=", 1) for name, value in options if name == "Environment")
    there = {name: handed.get(value.removeprefix("%d/"), value) for name, value in there.items()}
    assert here == {
        name: value.replace("%S", "/var/lib")
        for name, value in there.items()
        if name.startswith("HEATWATCH_") and name != "HEATWATCH_LOG_FORMAT"
    }
