"""An InfluxDB 1.x of one's own, and settings to render with."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from dashboards.settings import GrafanaSettings, InfluxVersion, Language, Limits
from heatwatch.files.rules_file import default_standard
from heatwatch.stores.influx_schema import PRECISION
from tests.peers import HOST, free_port, wait_for

DATABASE = "heatwatch"
NO_CONTENT = 204
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
[monitor]
  store-enabled = false
"""


class Influx1:
    """An InfluxDB 1.x with an empty database, on 127.0.0.1."""

    def __init__(self, port: int) -> None:
        self.url = f"http://{HOST}:{port}"

    def is_up(self) -> bool:
        """Whether it answers."""
        try:
            return httpx.get(f"{self.url}/ping", timeout=1).status_code == NO_CONTENT
        except httpx.TransportError:
            return False

    def write(self, lines: Iterable[str]) -> None:
        """Write line protocol; every line must be taken."""
        body = "\n".join(lines).encode()
        answer = httpx.post(f"{self.url}/write", params={"db": DATABASE, "precision": PRECISION}, content=body)
        assert answer.status_code == NO_CONTENT, answer.text

    def query(self, text: str) -> list[dict[str, Any]]:
        """Return the series that a statement of InfluxQL answers with; times in ms."""
        form = {"db": DATABASE, "q": text, "epoch": PRECISION}
        answer = httpx.post(f"{self.url}/query", data=form).raise_for_status().json()
        (result,) = answer["results"]
        assert "error" not in result, f"{text}: {result['error']}"
        series: list[dict[str, Any]] = result.get("series", [])
        return series


@contextmanager
def influxdb1(folder: Path) -> Iterator[Influx1]:
    """Give a running InfluxDB 1.x whose files are in `folder`; skip the test where none is installed."""
    program = _program()
    port, log = free_port(), folder / "influxd.log"
    config = folder / "influxdb.conf"
    config.write_text(SETTINGS.format(host=HOST, port=port, rpc_port=free_port(), folder=folder))
    with log.open("wb") as output:
        process = subprocess.Popen([program, "run", "-config", str(config)], stdout=output, stderr=output)
    try:
        server = Influx1(port)
        wait_for(lambda: server.is_up() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        server.query(f'CREATE DATABASE "{DATABASE}"')
        yield server
    finally:
        process.terminate()
        process.wait(10)


def _program() -> str:
    """Return the `influxd` of version 1; that of version 2 has the same name and is another program."""
    program = shutil.which("influxd")
    if program is None:
        pytest.skip("InfluxDB 1.x is not installed")
    told = subprocess.run([program, "version"], capture_output=True, text=True, check=False, timeout=10).stdout
    if not re.match(r"InfluxDB v?1\.", told):
        pytest.skip(f"InfluxDB 1.x is not installed: {program} is {told.strip()!r}")
    return program


@pytest.fixture
def influx(tmp_path: Path) -> Iterator[Influx1]:
    """Give an InfluxDB 1.x of one's own; skip the test where none is installed."""
    folder = tmp_path / "influxdb"
    folder.mkdir()
    with influxdb1(folder) as server:
        yield server


@pytest.fixture(params=list(InfluxVersion), ids="influxdb-{}".format)
def version(request: pytest.FixtureRequest) -> InfluxVersion:
    """Give each version of InfluxDB."""
    chosen: InfluxVersion = request.param
    return chosen


@pytest.fixture(params=list(Language))
def settings(request: pytest.FixtureRequest, version: InfluxVersion) -> GrafanaSettings:
    """Give settings for each version of InfluxDB and each language."""
    limits = Limits.of(default_standard())
    return GrafanaSettings(limits=limits, version=version, user="grafana", language=request.param)
