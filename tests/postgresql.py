"""A PostgreSQL of the tests' own."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

_NUMBER = count(1)


def _program(name: str) -> str | None:
    """Return where a program of PostgreSQL is; Debian keeps them off the PATH."""
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(installed[-1]) if installed else None)


def _owner() -> dict[str, Any]:
    """Return as whom to run the server, which refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    return {"user": "postgres", "group": "postgres", "extra_groups": []}


class Postgres:
    """A running server on a socket of its own: it can be killed and started again.

    Attributes
    ----------
    address
        SQLAlchemy's, with the name of the database left open.
    """

    def __init__(self, initdb: str, pg_ctl: str) -> None:
        self._owner, self._pg_ctl = _owner(), pg_ctl
        self.home = Path(tempfile.mkdtemp(prefix="heatwatch-pg-"))
        if self._owner:
            account = pwd.getpwnam("postgres")
            os.chown(self.home, account.pw_uid, account.pw_gid)
        self._data = str(self.home / "data")
        self._run(initdb, "--pgdata", self._data, "--auth", "trust", "--no-sync", "--encoding", "UTF8")
        name = self._owner.get("user", getpass.getuser())
        self.address = f"postgresql+psycopg://{name}@/{{name}}?host={self.home}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-c listen_addresses='' -c unix_socket_directories={self.home} -c fsync=off"
        self._run(self._pg_ctl, "-D", self._data, "-w", "-l", str(self.home / "log"), "-o", options, "start")

    def kill(self) -> None:
        """End it as a power cut would: what was committed is there when it comes back."""
        self._run(self._pg_ctl, "-D", self._data, "-m", "immediate", "stop", check=False)

    def _run(self, *command: str, check: bool = True) -> None:
        subprocess.run(command, check=check, stdout=subprocess.DEVNULL, cwd=self.home, **self._owner)


@contextmanager
def running_postgresql() -> Iterator[Postgres]:
    """Give a PostgreSQL of one's own; skip the test where none is installed."""
    pytest.importorskip("psycopg", reason="the postgres extra is not installed")
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("PostgreSQL is not installed")
    server = Postgres(initdb, pg_ctl)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(server.home, ignore_errors=True)


@contextmanager
def postgresql() -> Iterator[str]:
    """Give the address of a PostgreSQL of one's own, with the name of the database left open."""
    with running_postgresql() as server:
        yield server.address


def new_database(server: str) -> str:
    """Return the address of a database with nothing in it."""
    name = f"t{next(_NUMBER)}"
    engine = create_engine(server.format(name="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.format(name=name)
