"""A Grafana to push to: one in memory, and a mock server made from Grafana's own description."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from dashboards.push.change import Site
from dashboards.push.client import Access, Grafana, read_address
from heatwatch.secret import one_line
from tests.dashboards.push.examples import strangers, write_secrets
from tests.dashboards.push.fake import API, TOKEN, FakeGrafana, serving
from tests.peers import HOST, free_port, listens, wait_for


@pytest.fixture(scope="module")
def server() -> Iterator[FakeGrafana]:
    """Give a Grafana that all tests of a module share."""
    with serving(FakeGrafana()) as running:
        yield running


@pytest.fixture
def fake(server: FakeGrafana) -> FakeGrafana:
    """Give it with what others keep in it."""
    return reset(server)


@pytest.fixture
def secrets_dir(tmp_path: Path) -> Path:
    """Give a folder with the secrets."""
    return write_secrets(tmp_path / "secrets")


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """Give the file with the token."""
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    return file


@pytest.fixture
def pauses() -> list[float]:
    """Give the list in which waits are noted instead of waited for."""
    return []


@pytest.fixture
def grafana(server: FakeGrafana, token_file: Path, pauses: list[float]) -> Iterator[Grafana]:
    """Give a client of the server."""
    made = Grafana(read_address(server.url), Access(token_file), pause=pauses.append)
    yield made
    made.close()


@pytest.fixture
def site(grafana: Grafana, secrets_dir: Path) -> Site:
    """Give what a plan needs."""
    return Site(grafana, lambda secret: one_line(secrets_dir / secret.file, "secret"))


@pytest.fixture(scope="session")
def prism(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Give a client of prism: it takes what Grafana's description takes, refuses the rest, and keeps nothing."""
    program = os.environ.get("HEATWATCH_PRISM") or shutil.which("prism")
    if program is None:
        pytest.skip("prism (npm: @stoplight/prism-cli) is not installed")
    if not API.is_file():
        pytest.skip(f"Grafana's description is not in {API.parent}")
    port, log = free_port(), tmp_path_factory.mktemp("prism") / "log"
    command = [program, "mock", "--errors", "--host", HOST, "--port", str(port), str(API)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_for(lambda: listens(HOST, port) or process.poll() is not None, 30)
        assert process.poll() is None, log.read_text()
        with httpx.Client(base_url=f"http://{HOST}:{port}") as client:
            yield client
    finally:
        process.terminate()
        process.wait(10)


def reset(server: FakeGrafana, state: FakeGrafana | None = None) -> FakeGrafana:
    """Put the state of another one, by default that with strangers, into a running one."""
    for name, things in (state or strangers()).kept().items():
        setattr(server, name, things)
    server.forget()
    server.headers.clear()
    server.upstream, server.failure = None, FakeGrafana().failure
    return server
