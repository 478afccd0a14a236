"""What `docker-compose.yml` promises, as far as it can be checked without an engine."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft7Validator

from cli.main import heatwatch
from cli.secrets import secrets
from heatwatch.settings import Settings
from tests.deploy.composed import ROOT, composed, interpolated, mounts, ours, roles, secret_files, services

SERVICES = sorted(services())
SCHEMA = Path(__file__).parent / "compose-spec" / "compose-spec.json"
GATES = {"service_healthy", "service_completed_successfully"}
ONCE = {"setup", "boards", "secrets", "demo-register"}
AS_ROOT = {"secrets"}
"""It gives files to the user ids that read them, on a disk of the host, and has no network."""
PUBLISHED = {"mosquitto": "8883", "api": "8000", "grafana": "3000"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the secrets that the file's head says to make, with those of its profiles."""
    place: Path = tmp_path_factory.mktemp("place")
    done = CliRunner().invoke(secrets, ["make", "--out", str(place / "secrets"), "--demo"])
    assert done.exit_code == 0, done.output
    return place


def test_it_is_as_the_specification_has_it() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert [f"{list(error.path)}: {error.message}" for error in Draft7Validator(schema).iter_errors(composed())] == []


def test_the_schema_would_tell_of_a_key_that_is_none() -> None:
    wrong = {"services": {"one": {"image": "one:1", "depends-on": []}}}
    assert list(Draft7Validator(json.loads(SCHEMA.read_text(encoding="utf-8"))).iter_errors(wrong))


def test_every_image_is_pinned_and_ours_is_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    images = {service["image"] for service in services().values()}
    assert {image for image in images if not re.fullmatch(r"[a-z/-]+:\d+\.\d+(\.\d+)?(-[a-z]+)?", image)} == set()
    assert {service["image"] for service in ours().values()} == {f"heatwatch:{version}"}
    assert f'org.opencontainers.image.version="{version}"' in (ROOT / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_can_do_no_more_than_it_must(name: str) -> None:
    service = services()[name]
    user = str(service["user"]).split(":")[0]
    assert user.isdecimal()
    assert (user == "0") is (name in AS_ROOT)
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service or name in AS_ROOT
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["read_only"] is True
    assert not service.get("privileged")
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory", "pids"}
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_comes_back_unless_it_has_done_its_work(name: str) -> None:
    assert services()[name]["restart"] == ("no" if name in ONCE else "unless-stopped")


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_waited_for_says_when_it_is_there(name: str) -> None:
    waited = services()[name].get("depends_on", {})
    assert {gate["condition"] for gate in waited.values()} <= GATES
    for other, gate in waited.items():
        told = services()[other]
        if gate["condition"] == "service_healthy":
            assert told["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
        else:
            assert other in ONCE
        assert "profiles" not in told or told["profiles"] == services()[name].get("profiles")


def test_every_service_that_stays_tells_of_its_health() -> None:
    silent = {name for name in SERVICES if "test" not in services()[name].get("healthcheck", {})}
    assert silent == ONCE | {"demo"}


def test_roles_start_after_what_they_need() -> None:
    assert set(roles()) == {"ingest", "analytics", "dispatch", "feed", "api"}
    for role, service in roles().items():
        assert "setup" in service["depends_on"], role
    assert "mosquitto" in roles()["ingest"]["depends_on"]
    assert set(services()["setup"]["depends_on"]) == {"influxdb", "postgres"}


def settings_of(service: dict[str, Any]) -> dict[str, str]:
    """Return the HEATWATCH_ variables that a container sees."""
    return {key: value for key, value in service.get("environment", {}).items() if key.startswith("HEATWATCH_")}


@pytest.mark.parametrize("name", sorted(ours()))
def test_each_variable_of_ours_exists_and_reads_well(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    service = ours()[name]
    variables = settings_of(service)
    assert {key for key in variables if key.removeprefix("HEATWATCH_").lower() not in Settings.model_fields} == set()
    for key, value in variables.items():
        monkeypatch.setenv(key, str(value))
    read = Settings.read()
    seen = {**mounts(service), **secret_files(service)}
    for field, value in read:
        if isinstance(value, Path) and field != "data_dir":
            assert str(value) in seen or str(value.parent) in seen, f"{field}: nothing is mounted at {value}"


def test_the_image_sets_no_variable_that_is_none() -> None:
    named = set(re.findall(r"HEATWATCH_\w+", (ROOT / "Dockerfile").read_text(encoding="utf-8")))
    assert {name for name in named if name.removeprefix("HEATWATCH_").lower() not in Settings.model_fields} == set()


@pytest.mark.parametrize("name", sorted(ours()))
def test_each_command_of_ours_is_one(name: str) -> None:
    service = ours()[name]
    entry = service.get("entrypoint", ["heatwatch"])
    words = [*entry[1:], *service.get("command", [])] if entry[0] == "heatwatch" and name != "secrets" else []
    if entry[0] == "sh":
        lines = service["command"][0].split("&&")
        assert all(line.split()[0] == "heatwatch" for line in lines)
        for line in lines:
            _check_words(line.split()[1:])
    elif words:
        _check_words(words)
    else:
        assert entry in (["dask", "scheduler"], ["dask", "worker"], ["heatwatch", "secrets"])


def _check_words(words: list[str]) -> None:
    """Find each option among those that the command's help names."""
    context = [word for word in words if not word.startswith("-")][:2]
    options = {word.split("=")[0] for word in words if word.startswith("--")}
    command: Any = heatwatch
    parent: Any = None
    for word in context:
        if not hasattr(command, "get_command"):
            break
        parent, command = command, command.get_command(parent, word)
        assert command is not None, word
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert options - known == set()


@pytest.mark.parametrize("name", SERVICES)
def test_each_mounted_file_is_there_or_is_made(name: str, made: Path) -> None:
    for target, (source, read_only) in mounts(services()[name]).items():
        if source.startswith("./secrets"):
            assert (made / source).exists(), source
            assert read_only or name == "secrets"
        elif source.startswith("."):
            assert (ROOT / source).is_file(), source
            assert read_only, target
        else:
            assert source in composed()["volumes"], source
    for file in secret_files(services()[name]).values():
        assert (made / file).is_file(), file


def test_every_volume_and_secret_is_used() -> None:
    used = {source for service in services().values() for source, _ in mounts(service).values()}
    assert set(composed()["volumes"]) - used == set()
    asked = {file for service in services().values() for file in secret_files(service).values()}
    assert {one["file"] for one in composed()["secrets"].values()} == asked


def test_every_secret_is_a_file_that_its_reader_may_read(made: Path) -> None:
    """As root made it: mode and owner go into the container as they are."""
    for name, service in services().items():
        user, _, group = str(service["user"]).partition(":")
        groups = {int(group), *map(int, service.get("group_add", []))}
        folders = {target: source for target, (source, _) in mounts(service).items() if source.startswith("./secrets/")}
        files = [made / file for file in secret_files(service).values()]
        files += [file for source in folders.values() for file in (made / source).iterdir()]
        for file in files:
            status = file.stat()
            own, shared = status.st_uid == int(user), status.st_gid in groups and status.st_mode & 0o040
            assert own or shared or status.st_mode & 0o004, f"{name} cannot read {file.name}"
        for source in folders.values():
            assert (made / source).stat().st_uid == int(user)


def test_no_secret_stands_in_the_file_itself() -> None:
    for name, service in services().items():
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|TOKEN|SECRET", key):
                assert str(value).startswith(("/run/", "/var/lib/heatwatch-tokens/")), f"{name}: {key}"
        assert not re.search(r"(?i)--[\w-]*(password|token)[= ]", " ".join(map(str, service.get("command", [])))), name


def test_only_what_has_to_be_reached_is_published_and_only_the_broker_beyond_this_machine() -> None:
    published = {name: service["ports"] for name, service in services().items() if "ports" in service}
    assert set(published) == set(PUBLISHED)
    for name, (port,) in published.items():
        assert port.rsplit(":", 1)[1] == PUBLISHED[name]
        assert port.startswith("127.0.0.1:") or name == "mosquitto"
        assert "front" in services()[name]["networks"]
    inside = {name for name, network in composed()["networks"].items() if network and network.get("internal")}
    for name in set(SERVICES) - set(PUBLISHED):
        assert set(services()[name].get("networks", [])) <= inside, name
        assert services()[name].get("networks") or services()[name]["network_mode"] == "none"


def test_two_workers_differ_in_name_journal_and_session_and_share_what_comes() -> None:
    one, two = services()["ingest"], services()["ingest-2"]
    assert one["environment"]["HEATWATCH_WORKER"] != two["environment"]["HEATWATCH_WORKER"]
    assert one["environment"]["HEATWATCH_SHARED_GROUP"] == two["environment"]["HEATWATCH_SHARED_GROUP"] != ""
    assert mounts(one)["/var/lib/heatwatch"] != mounts(two)["/var/lib/heatwatch"]
    assert secret_files(one)["/run/secrets/mqtt_client"] != secret_files(two)["/run/secrets/mqtt_client"]


def test_each_role_comes_to_influxdb_as_itself() -> None:
    for role, service in roles().items():
        assert service["environment"]["HEATWATCH_INFLUX_TOKEN_FILE"].endswith(f"/{role}_influx_token")
        assert mounts(service)["/var/lib/heatwatch-tokens"] == ("tokens", True)
    assert mounts(services()["setup"])["/var/lib/heatwatch-tokens"] == ("tokens", False)


def test_what_has_a_profile_is_not_started_by_default() -> None:
    profiles = {name: service["profiles"] for name, service in services().items() if "profiles" in service}
    assert profiles == {
        "secrets": ["tools"],
        "demo": ["demo"],
        "demo-register": ["demo"],
        "ingest-2": ["scale"],
        "dask-scheduler": ["scale"],
        "dask-worker": ["scale"],
    }
    assert services()["dask-worker"]["deploy"]["replicas"] == 2


def test_a_variable_without_a_default_would_be_seen() -> None:
    assert interpolated("a ${X:-b} $$c") == "a b $c"
    with pytest.raises(AssertionError, match="no default"):
        interpolated("${X}")
