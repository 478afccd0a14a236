"""InfluxDB of a test's own, started by itself on free ports of 127.0.0.1: 1.x, and 2.x where there is one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.peers import HOST, free_port, wait_for

DATABASE = "heatwatch"
ORGANIZATION = "heatwatch"
TOKEN = "token-of-a-test"  # noqa: S105 - of a server that lives as long as a test
NO_CONTENT = 204
START_S = 30.0
SETTINGS = """
reporting-disabled = true
bind-address = "{host}:{rpc_port}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  query-log-enabled = false
[http]
  bind-address = "{host}:{port}"
  log-enabled = false
  auth-enabled = {auth}
[monitor]
  store-enabled = false
[continuous_queries]
  log-enabled = false
"""


class Influx:
    """A server of either version: it can be stopped, killed and started again on its port."""

    version: str

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://{HOST}:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / "influxd.log"

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(self._command(), stdout=output, stderr=output, env=self._environment())
        process = self._process
        wait_for(lambda: self.is_up() or process.poll() is not None, START_S)
        assert process.poll() is None, self._log.read_text()

    def stop(self) -> None:
        """Ask it to end."""
        self._end(kill=False)

    def kill(self) -> None:
        """End it as a power cut would (kill -9)."""
        self._end(kill=True)

    def is_up(self) -> bool:
        """Whether it answers."""
        try:
            return httpx.get(f"{self.url}/ping", timeout=1).status_code == NO_CONTENT
        except httpx.TransportError:
            return False

    def send_signal(self, number: int) -> None:
        """Send a signal to the server, where it runs."""
        if self._process is not None:
            self._process.send_signal(number)

    @property
    def running(self) -> bool:
        """Whether it was started and not ended."""
        return self._process is not None

    def _end(self, *, kill: bool) -> None:
        if self._process is not None:
            self._process.kill() if kill else self._process.terminate()
            self._process.wait(20)
            self._process = None

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _environment(self) -> dict[str, str]:
        return dict(os.environ)


class Influx1(Influx):
    """An InfluxDB 1.x with an empty database."""

    version = "1"

    def __init__(self, folder: Path, program: str, *, auth: bool = False) -> None:
        super().__init__(folder)
        self._program, self._config = program, folder / "influxdb.conf"
        ports = {"port": self.port, "rpc_port": free_port()}
        self._config.write_text(SETTINGS.format(host=HOST, folder=folder, auth=str(auth).lower(), **ports))

    def _command(self) -> list[str]:
        return [self._program, "run", "-config", str(self._config)]

    def write(self, lines: Iterable[str], precision: str = "ms") -> None:
        """Write line protocol; every line must be taken."""
        body = "\n".join(lines).encode()
        answer = httpx.post(f"{self.url}/write", params={"db": DATABASE, "precision": precision}, content=body)
        assert answer.status_code == NO_CONTENT, answer.text

    def query(self, text: str, database: str = DATABASE) -> list[dict[str, Any]]:
        """Return the series that a statement of InfluxQL answers with; times in ms."""
        form = {"db": database, "q": text, "epoch": "ms"}
        answer = httpx.post(f"{self.url}/query", data=form, timeout=60).raise_for_status().json()
        (result,) = answer["results"]
        assert "error" not in result, f"{text}: {result['error']}"
        series: list[dict[str, Any]] = result.get("series", [])
        return series

    def create(self, database: str) -> None:
        """Make a database."""
        self.query(f'CREATE DATABASE "{database}"')

    def drop(self, database: str) -> None:
        """Throw a database away."""
        self.query(f'DROP DATABASE "{database}"')


class Influx2(Influx):
    """An InfluxDB 2.x with an organization, a bucket without an end, and a token that may do everything."""

    version = "2"

    def __init__(self, folder: Path, program: str) -> None:
        super().__init__(folder)
        self._program = program

    def _command(self) -> list[str]:
        files = ["--bolt-path", str(self.folder / "influxd.bolt"), "--sqlite-path", str(self.folder / "influxd.sqlite")]
        files += ["--engine-path", str(self.folder / "engine"), "--http-bind-address", f"{HOST}:{self.port}"]
        return [self._program, *files, "--reporting-disabled", "--log-level", "warn"]

    def set_up(self) -> None:
        """Make organization, bucket, user and token."""
        asked: dict[str, str | int] = {"username": "admin", "password": "password-of-a-test", "token": TOKEN}
        asked |= {"org": ORGANIZATION, "bucket": DATABASE, "retentionPeriodSeconds": 0}
        httpx.post(f"{self.url}/api/v2/setup", json=asked, timeout=30).raise_for_status()

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask its interface, as whoever may do everything."""
        headers = {"Authorization": f"Token {TOKEN}"}
        return httpx.request(
            method, f"{self.url}/api/v2/{path}", headers=headers, timeout=60, **more
        ).raise_for_status()

    def write(self, lines: Iterable[str], precision: str = "ms") -> None:
        """Write line protocol; every line must be taken."""
        asked = {"org": ORGANIZATION, "bucket": DATABASE, "precision": precision}
        self.call("POST", "write", params=asked, content="\n".join(lines).encode())

    def flux(self, text: str) -> str:
        """Return what a script of Flux answers with: annotated CSV."""
        dialect = {"header": True, "annotations": ["datatype", "group", "default"]}
        asked = {"query": text, "type": "flux", "dialect": dialect}
        return self.call("POST", "query", params={"org": ORGANIZATION}, json=asked).text

    def create(self, bucket: str) -> None:
        """Make a bucket."""
        owner = self.call("GET", "orgs", params={"org": ORGANIZATION}).json()["orgs"][0]["id"]
        self.call("POST", "buckets", json={"orgID": owner, "name": bucket, "retentionRules": []})

    def drop(self, bucket: str) -> None:
        """Throw a bucket away."""
        found = self.call("GET", "buckets", params={"org": ORGANIZATION, "name": bucket}).json()["buckets"]
        self.call("DELETE", f"buckets/{found[0]['id']}")


@contextmanager
def influxdb1(folder: Path, *, auth: bool = False) -> Iterator[Influx1]:
    """Give a running InfluxDB 1.x whose files are in `folder`; skip the test where none is installed."""
    server = Influx1(folder, _program("1"), auth=auth)
    server.start()
    try:
        if not auth:
            server.create(DATABASE)
        yield server
    finally:
        server.stop()


@contextmanager
def fresh_influxdb2(folder: Path) -> Iterator[Influx2]:
    """Give a running InfluxDB 2.x that nobody has set up yet; skip the test where none is on the PATH."""
    server = Influx2(folder, _program("2"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def influxdb2(folder: Path) -> Iterator[Influx2]:
    """Give a running InfluxDB 2.x, set up, whose files are in `folder`; skip the test where none is on the PATH."""
    with fresh_influxdb2(folder) as server:
        server.set_up()
        yield server


def has_influxdb(version: str) -> bool:
    """Whether an `influxd` of this major version is on the PATH."""
    return version in _programs()


def _program(version: str) -> str:
    """Return the `influxd` of a version: both have the same name and are different programs."""
    program = _programs().get(version)
    if program is None:
        pytest.skip(f"InfluxDB {version}.x is not installed")
    return program


@cache
def _programs() -> dict[str, str]:
    found: dict[str, str] = {}
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        program = shutil.which("influxd", path=folder)
        if program is None:
            continue
        told = subprocess.run([program, "version"], capture_output=True, text=True, check=False, timeout=10).stdout
        version = re.match(r"InfluxDB v?(\d+)\.", told)
        if version is not None:
            found.setdefault(version[1], program)
    return found
