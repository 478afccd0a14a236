"""The real servers that tests talk to, started by themselves on free ports of 127.0.0.1."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

HOST = "127.0.0.1"


class Mosquitto:
    """A mosquitto of one's own, with persistence: it can be stopped, killed and started again on its port."""

    host = HOST

    def __init__(self, folder: Path, program: str, settings: str) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._config = folder / "mosquitto.conf"
        self._log = folder / "mosquitto.log"
        self._saved = folder / "mosquitto.db"
        self._command = [program, "-c", str(self._config)]
        lines = [
            f"listener {self.port} {HOST}",
            "allow_anonymous true",
            "set_tcp_nodelay true",
            "user root",
            "persistence true",
            f"persistence_location {folder}/",
            "max_queued_messages 1000000",
            settings,
        ]
        self._config.write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        """Start it and wait until it listens."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_for(lambda: listens(self.host, self.port) or self._process.poll() is not None)  # type: ignore[union-attr]
        assert self._process.poll() is None, self._log.read_text()

    def stop(self) -> None:
        """Let it save its state and end."""
        self._end(kill=False)

    def kill(self) -> None:
        """End it as a power cut would (kill -9)."""
        self._end(kill=True)

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start()

    def forget(self) -> None:
        """Throw its saved state away; it must be stopped."""
        self._saved.unlink()

    def _end(self, *, kill: bool) -> None:
        if self._process is not None:
            self._process.kill() if kill else self._process.terminate()
            self._process.wait(10)
            self._process = None


@contextmanager
def mosquitto(folder: Path, settings: str = "") -> Iterator[Mosquitto]:
    """Give a running mosquitto whose files are in `folder`; skip the test where none is installed."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("mosquitto is not installed")
    server = Mosquitto(folder, program, settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        port: int = taken.getsockname()[1]
    return port


def listens(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=0.2):
            return True
    except OSError:
        return False


def wait_for(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Return when a condition holds; fail the test when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.005)
