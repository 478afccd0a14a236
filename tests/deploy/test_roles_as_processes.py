"""Each role of `docker-compose.yml` as a plain process, with its command and environment, beside real servers."""

import base64
import hashlib
import hmac
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, make_url, text

from heatwatch.wire import reading_topic
from tests.deploy.brokers import Broker, Caller, shipped_broker
from tests.deploy.composed import ROOT, roles, secret_files, services, unit
from tests.influxdb import Influx, fresh_influxdb2, has_influxdb, influxdb1
from tests.peers import HOST, free_port, wait_for

HEATWATCH = [sys.executable, "-c", "from cli.main import main; main()"]
START_S = 90.0
"""How long a start, and an end, may take where judging is still to be compiled [s]."""
SCRIPT = ROOT / "deploy" / "postgres" / "10-heatwatch.sh"
VERSIONS = ["1", "2"] if has_influxdb("2") else ["1"]


@contextmanager
def fresh_influxdb(version: str, folder: Path) -> Iterator[Influx]:
    """Give an InfluxDB that asks who comes, and that nobody has set up yet."""
    with influxdb1(folder, auth=True) if version == "1" else fresh_influxdb2(folder) as server:
        yield server


def make_database(server: str, password_file: Path) -> str:
    """Run the script that PostgreSQL's container runs; return the address of what it made, for the settings."""
    if shutil.which("psql") is None:
        pytest.skip("psql is not installed")
    url = make_url(server.format(name="postgres"))
    host = str(url.query["host"])
    told = {**os.environ, "PGHOST": host, "POSTGRES_USER": str(url.username)}
    told["HEATWATCH_PASSWORD_FILE"] = str(password_file)
    for _ in range(2):
        done = subprocess.run(["sh", str(SCRIPT)], env=told, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert password_file.read_text().strip() not in done.stdout
    return f"postgresql://heatwatch@/heatwatch?host={host}"


class Place:
    """A machine with mosquitto, PostgreSQL and InfluxDB on ports of its own, in place of the containers."""

    def __init__(self, folder: Path, broker: Broker, influx: Influx, records: str) -> None:
        self.folder, self.broker, self.influx, self.records = folder, broker, influx, records
        self.tokens = folder / "tokens"
        self.ports = {role: free_port() for role in roles()}

    def moved(self, service: Mapping[str, Any], value: str) -> str:
        """Return a value of a container as it is here: hosts, ports and mounted files."""
        files = {target: str(self.folder / file) for target, file in secret_files(dict(service)).items()}
        here = {
            "mosquitto:8883": f"localhost:{self.broker.tls_port}",
            "http://influxdb:8086": self.influx.url,
            "postgresql://heatwatch@postgres:5432/heatwatch": self.records,
            "/var/lib/heatwatch-tokens": str(self.tokens),
            services()["api"]["environment"]["HEATWATCH_API_HOST"]: HOST,
            **dict(sorted(files.items(), reverse=True)),
        }
        for there, where in here.items():
            value = value.replace(there, where)
        return value

    def environment(self, role: str, service: Mapping[str, Any]) -> dict[str, str]:
        """Return what a container's process sees, with the paths and ports of this machine."""
        told = {name: self.moved(service, str(value)) for name, value in service["environment"].items()}
        told["HEATWATCH_DATA_DIR"] = str(self.folder / role)
        if role in self.ports:
            told["HEATWATCH_API_PORT" if role == "api" else "HEATWATCH_HEALTH_PORT"] = str(self.ports[role])
        if self.influx.version == "1":
            told["HEATWATCH_STORE"] = "influxdb1"
            told.pop("HEATWATCH_INFLUX_TOKEN_FILE", None)
            told["HEATWATCH_INFLUX_USER"] = f"heatwatch_{role}"
            told["HEATWATCH_INFLUX_PASSWORD_FILE"] = str(self.tokens / f"{role}_influx_password")
            if role == "setup":
                del told["HEATWATCH_INFLUX_USER"], told["HEATWATCH_INFLUX_PASSWORD_FILE"]
        return {**os.environ, **told}

    def run(self, name: str, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in the environment of a service, to its end."""
        service = services()[name]
        asked = [self.moved(service, word) for word in words or service["command"]]
        told = self.environment(name, service)
        return subprocess.run(
            [*HEATWATCH, *asked], env=told, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )

    @contextmanager
    def running(self, role: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a role until the end of the block."""
        service = roles()[role]
        with (self.folder / f"{role}.log").open("wb") as log:
            process = subprocess.Popen(
                [*HEATWATCH, *service["command"]],
                env=self.environment(role, service),
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(20)

    def readiness(self, role: str) -> dict[str, Any]:
        """Return what a role says of itself; nothing while nobody answers."""
        try:
            told: dict[str, Any] = httpx.get(f"http://{HOST}:{self.ports[role]}/health/ready", timeout=10).json()
        except httpx.TransportError:
            return {}
        return told

    def log(self, role: str) -> str:
        """Return what a role has said, its last lines."""
        return (self.folder / f"{role}.log").read_text()[-3000:]


@pytest.fixture(scope="module", params=VERSIONS)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Iterator[Place]:
    folder: Path = tmp_path_factory.mktemp("place")
    (folder / "influxdb").mkdir()
    with ExitStack() as stack:
        broker = stack.enter_context(shipped_broker(folder, ["S1"]))
        influx = stack.enter_context(fresh_influxdb(request.param, folder / "influxdb"))
        records = make_database(postgres, folder / "secrets" / "postgres_password")
        made = Place(folder, broker, influx, records)
        done = made.run("setup")
        assert done.returncode == 0, done.stderr
        _no_secret_in(made, done.stdout + done.stderr)
        yield made
        engine = create_engine(postgres.format(name="postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("DROP DATABASE heatwatch WITH (FORCE)"))
        engine.dispose()


def test_what_compose_starts_comes_up_healthy_takes_a_reading_in_and_ends_well(place: Place) -> None:
    """As one walk through: each role's start costs seconds."""
    with ExitStack() as stack:
        processes = {role: stack.enter_context(place.running(role)) for role in roles()}
        until = time.monotonic() + START_S
        for role, process in processes.items():
            wait_for(
                lambda role=role, process=process: process.poll() is not None or place.readiness(role).get("ready"),  # type: ignore[misc]
                max(1.0, until - time.monotonic()),
            )
            assert process.poll() is None, place.log(role)
            assert place.readiness(role)["ready"], place.readiness(role)
        health = place.run("ingest", "health")
        assert (health.returncode, health.stdout) == (0, "ready\n"), health.stderr
        with Caller(place.broker, "S1", name="ingest-1"):
            pass
        with Caller(place.broker, "S1") as station:
            for number in range(5):
                reading = {"ts": time.time_ns() // 1_000_000 - number * 60_000, "t": 20.5}
                station.publish(reading_topic("S1", "b", "p"), json.dumps(reading).encode())
        wait_for(lambda: _stored(place) == 5, 30)
        for role, process in processes.items():
            process.terminate()
            assert process.wait(START_S) == 0, place.log(role)
    _had_one_session(place)
    for role in roles():
        _no_secret_in(place, (place.folder / f"{role}.log").read_text())


def _had_one_session(place: Place) -> None:
    """Who calls himself like the worker takes no session from it: its name at the broker is another, and a secret."""
    assert (place.folder / "ingest.log").read_text().count(": connected") == 1, place.log("ingest")


def test_heatwatch_s_user_of_postgresql_has_its_password_and_may_do_nothing_else(place: Place, postgres: str) -> None:
    engine = create_engine(postgres.format(name="postgres"))
    with engine.connect() as connection:
        asked = (
            "SELECT rolsuper OR rolcreatedb OR rolcreaterole, rolpassword FROM pg_authid WHERE rolname = 'heatwatch'"
        )
        may_more, kept = connection.execute(text(asked)).one()
    engine.dispose()
    assert not may_more
    _, rounds, salt, stored, _ = re.split(r"[$:]", kept)
    word = (place.folder / "secrets" / "postgres_password").read_bytes().strip()
    salted = hashlib.pbkdf2_hmac("sha256", word, base64.b64decode(salt), int(rounds))
    client = hmac.digest(salted, b"Client Key", "sha256")
    assert hashlib.sha256(client).digest() == base64.b64decode(stored)


@pytest.mark.parametrize("place", ["1"], indirect=True)
def test_what_systemd_starts_on_debian_comes_up_healthy_and_ends_well(place: Place) -> None:
    """With the unit's environment and the settings that are shipped: every role in one process."""
    options = unit(ROOT / "deploy/systemd/heatwatch.service")["Service"]
    handed = dict(value.split(":", 1) for name, value in options if name == "LoadCredential")
    variables = dict(value.split("=", 1) for name, value in options if name == "Environment")
    here = {f"%d/{name}": file for name, file in handed.items()} | {
        "/etc/heatwatch/secrets": str(place.folder / "secrets"),
        "/var/lib/heatwatch/tokens": str(place.tokens),
        "%S/heatwatch": str(place.folder / "debian"),
    }
    del variables["NUMBA_CACHE_DIR"]
    for there, where in here.items():
        variables = {name: value.replace(there, where) for name, value in variables.items()}
    etc, port = place.folder / "etc", free_port()
    etc.mkdir()
    text = (ROOT / "deploy/debian/heatwatch.toml").read_text(encoding="utf-8")
    moved = {
        "localhost:8883": f"localhost:{place.broker.tls_port}",
        "postgresql://heatwatch@127.0.0.1:5432/heatwatch": place.records,
        "http://127.0.0.1:8086": place.influx.url,
        "api_port = 8000": f"api_port = {port}",
    }
    for there, where in moved.items():
        assert there in text
        text = text.replace(there, where)
    (etc / "heatwatch.toml").write_text(text, encoding="utf-8")
    told = {**os.environ, **variables, "HEATWATCH_WORKER": "debian"}
    (words,) = [value.split()[1:] for name, value in options if name == "ExecStart"]
    with (place.folder / "debian.log").open("wb") as log:
        process = subprocess.Popen([*HEATWATCH, *words], env=told, cwd=etc, stdout=log, stderr=log)
    place.ports["debian"] = port
    try:
        wait_for(lambda: process.poll() is not None or place.readiness("debian").get("ready"), START_S)
        assert process.poll() is None, place.log("debian")
        assert place.readiness("debian")["ready"], place.readiness("debian")
        process.terminate()
        assert process.wait(START_S) == 0, place.log("debian")
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(20)
    _no_secret_in(place, place.log("debian"))


def _stored(place: Place) -> float:
    """Return how many readings are stored, as another process than ingest's tells it."""
    told = httpx.get(f"http://{HOST}:{place.ports['dispatch']}/metrics", timeout=10).text
    lines = [line for line in told.splitlines() if line.startswith("heatwatch_readings_total") and '"stored"' in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def _no_secret_in(place: Place, said: str) -> None:
    files = [file for folder in (place.folder / "secrets", place.tokens) for file in folder.glob("*") if file.is_file()]
    for file in files:
        if file.name != "readers":
            assert file.read_text().strip() not in said, file.name
