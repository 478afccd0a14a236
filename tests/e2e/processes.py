"""The real `heatwatch`, in processes of its own."""

import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from heatwatch.domain.people import Role
from heatwatch.records.database import Records
from heatwatch.settings import Settings
from heatwatch.usecases.people import Change, add_user, make_token, person_named

HEATWATCH = [sys.executable, "-c", "from cli.main import main; main()"]
START_S = 60.0
WATCHER = "watcher"


def token(settings: Settings) -> str:
    """Make a key with which one sees everything in an installation."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    now_ms = time.time_ns() // 1_000_000
    records = Records(settings.records_url)
    try:
        records.migrate()
        with records.write() as session:
            if person_named(session, WATCHER) is None:
                add_user(session, WATCHER, Change(role=Role.COMPANY), by="test", now_ms=now_ms)
            return make_token(session, WATCHER, "test", expires_ms=None, by="test", now_ms=now_ms)
    finally:
        records.close()


def run(*arguments: object, timeout_s: float = 120.0) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    command = [*HEATWATCH, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


class Serve:
    """A running `heatwatch serve`; a context manager that leaves no process behind."""

    def __init__(
        self,
        data_dir: Path,
        *arguments: object,
        environment: Mapping[str, str] | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.environment = {**os.environ, **(environment or {})}
        self._command = [*HEATWATCH, "serve", "--data-dir", str(data_dir), "--api-port", "0", "--json"]
        self._command += map(str, arguments)
        self._log = data_dir.parent / f"{data_dir.name}.log"
        self._token = token(settings or Settings(data_dir=data_dir))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it and wait until it says where it listens."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=log, text=True, env=self.environment
            )
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], START_S)
        line = self.process.stdout.readline() if ready else ""
        assert line, f"serve did not start: {self._log.read_text()}"
        self.where: dict[str, str] = json.loads(line)

    def kill(self) -> None:
        """End it as a power cut would (kill -9)."""
        self.process.kill()
        self._ended(10)

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self._ended(60)

    def _ended(self, timeout_s: float) -> int:
        code = self.process.wait(timeout_s)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def get(self, path: str) -> Any:
        """Return what the API says."""
        return json.loads(self.raw(path))

    def raw(self, path: str) -> str:
        """Return what the API says, as text."""
        headers = {"Authorization": f"Bearer {self._token}"}
        asked = urllib.request.Request(f"{self.where['api']}/api/v1/{path}", headers=headers)  # noqa: S310 - our own
        with urllib.request.urlopen(asked, timeout=20) as answer:  # noqa: S310 - our own
            text: str = answer.read().decode()
        return text


def descendants(pid: int) -> set[int]:
    """Return the processes that a process has started, directly or not."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    found, before = {pid}, set[int]()
    while found != before:
        before = found
        found = found | {child for child, parent in parents.items() if parent in found}
    return found - {pid}


def gone(pids: set[int], within_s: float = 10.0) -> bool:
    """Say whether all of these processes have ended."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if not any(_lives(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
