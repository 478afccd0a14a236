"""Records to test on: SQLite always, PostgreSQL where its programs are installed."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from heatwatch.records.database import Records

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


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Start a PostgreSQL on a socket of its own; its address, with the name of the database left open."""
    pytest.importorskip("psycopg", reason="the postgres extra is not installed")
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("PostgreSQL is not installed")
    owner = _owner()
    home = Path(tempfile.mkdtemp(prefix="heatwatch-pg-"))
    if owner:
        account = pwd.getpwnam("postgres")
        os.chown(home, account.pw_uid, account.pw_gid)
    data = str(home / "data")
    options = f"-c listen_addresses='' -c unix_socket_directories={home} -c fsync=off"
    quiet = {"stdout": subprocess.DEVNULL, "cwd": home, **owner}
    create = [initdb, "--pgdata", data, "--auth", "trust", "--no-sync", "--encoding", "UTF8"]
    subprocess.run(create, check=True, **quiet)
    try:
        subprocess.run([pg_ctl, "-D", data, "-w", "-l", str(home / "log"), "-o", options, "start"], check=True, **quiet)
        yield f"postgresql+psycopg://{owner.get('user', getpass.getuser())}@/{{name}}?host={home}"
    finally:
        subprocess.run([pg_ctl, "-D", data, "-m", "immediate", "stop"], check=False, **quiet)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the address of a database with nothing in it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'records 100%.sqlite'}"
    server: str = request.getfixturevalue("postgres")
    name = f"t{next(_NUMBER)}"
    engine = create_engine(server.format(name="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.format(name=name)


@pytest.fixture
def records(url: str) -> Iterator[Records]:
    """Give migrated records."""
    made = Records(url)
    made.migrate()
    yield made
    made.close()
