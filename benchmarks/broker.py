"""A mosquitto of one's own, for as long as a measurement takes."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heatwatch.errors import Unavailable

HOST = "127.0.0.1"
_PLACES = "/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin:/usr/bin:/usr/local/bin"
_PATIENCE_S = 10.0


def mosquitto_program() -> str | None:
    """Return where mosquitto is; None where it is not installed."""
    return shutil.which("mosquitto", path=_PLACES)


@contextmanager
def running_mosquitto() -> Iterator[int]:
    """Give the port of a mosquitto that keeps nothing on disk.

    Raises
    ------
    Unavailable
        If it does not come up.
    """
    with tempfile.TemporaryDirectory() as folder, socket.socket() as taken:
        taken.bind((HOST, 0))
        port: int = taken.getsockname()[1]
        taken.close()
        config = Path(folder) / "mosquitto.conf"
        lines = [f"listener {port} {HOST}", "allow_anonymous true", "set_tcp_nodelay true", "log_type none"]
        config.write_text("\n".join(lines) + "\n")
        process = subprocess.Popen([mosquitto_program() or "mosquitto", "-c", config], stderr=subprocess.DEVNULL)  # noqa: S603 - a program found on the system's own path
        try:
            _await(port)
            yield port
        finally:
            process.terminate()
            process.wait(_PATIENCE_S)


def _await(port: int) -> None:
    until_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until_s:
        with socket.socket() as trial:
            if trial.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.02)
    raise Unavailable("mosquitto", "it did not come up")
