"""Opening the records: one engine, short transactions, migrations up to this version's tables.

SQLite has one writer at a time. A transaction that looks first and writes later would fail where another one wrote in
between, so every writing transaction here takes the write lock at its beginning (``BEGIN IMMEDIATE``): the threads
of one process queue for it, other processes wait for it.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event, func, select, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from heatwatch.errors import BadInput, Damaged, HeatwatchError, Unavailable
from heatwatch.records import audit

MIGRATIONS = Path(__file__).parent / "migrations"
LOOKING = "heatwatch_looking"
WAIT_S = 30
_MIGRATION_LOCK = 7_201_842_509


class Records:
    """The records of one company. `write()` and `read()` give a session that ends with its block.

    Safe to use from several threads. A `write()` block is short and never holds another one.
    """

    def __init__(self, url: str | URL) -> None:
        self.url = url
        self.engine = _engine(url)
        self._turn = threading.Lock() if self.engine.dialect.name == "sqlite" else None
        self._writing = sessionmaker(self.engine, expire_on_commit=False)
        audit.install(self._writing)
        self._reading = sessionmaker(_looking(self.engine), expire_on_commit=False)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Give a session that commits when the block ends well and keeps nothing otherwise.

        Raises
        ------
        Unavailable
            If the database does not answer, or another writer holds it too long; nothing was kept.
        Damaged
            If the file is no database, or a broken one.
        """
        with self._my_turn(), _named_errors(), self._writing.begin() as session:
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Give a session for looking: all that it sees is of one moment. It waits for no writer.

        Raises
        ------
        Unavailable
            If the database does not answer.
        """
        with _named_errors(), self._reading() as session:
            yield session

    def migrate(self) -> None:
        """Bring the tables up to this version, step by step and all or nothing; several processes may call it at once.

        Raises
        ------
        BadInput
            If a newer heatwatch has written these records.
        Unavailable
            If the database does not answer.
        """
        with self._my_turn(), _named_errors(), self.engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            was = audit.shape(connection)
            try:
                command.upgrade(_alembic(connection), "head")
            except CommandError as error:
                raise BadInput(str(error), where="records", mend="use the version that wrote them, or newer") from error
            audit.adopt(connection, was)

    def ping(self) -> None:
        """Raise `Unavailable` if the database does not answer."""
        with self.read() as session:
            session.execute(text("SELECT 1"))

    def close(self) -> None:
        """Release the connections."""
        self.engine.dispose()

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        if self._turn is None:
            yield
            return
        if not self._turn.acquire(timeout=WAIT_S):
            raise Unavailable("records", f"another thread has been writing for {WAIT_S} s")
        try:
            yield
        finally:
            self._turn.release()


def _alembic(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        named = _named(error)
        if named is None:
            raise
        raise named from error
    except PoolTimeoutError as error:
        raise Unavailable("records", str(error)) from error


def _named(error: DBAPIError) -> HeatwatchError | None:
    """Return what an error means to the caller; None where it is a mistake of ours (SQLite calls both operational)."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return Damaged(str(error.orig), where="records")
    no_answer = isinstance(error, OperationalError | InterfaceError) and code != sqlite3.SQLITE_ERROR
    return Unavailable("records", str(error.orig)) if no_answer else None


def _engine(url: str | URL) -> Engine:
    # A server that was restarted leaves dead connections behind: each is tried before it is used. A file has none.
    engine = create_engine(url, pool_pre_ping=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _looking(engine: Engine) -> Engine:
    """Return the same engine for transactions that only look, each on one snapshot."""
    if engine.dialect.name == "postgresql":
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return engine.execution_options(**{LOOKING: True})


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # we begin, not the driver
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={WAIT_S * 1000}")
    _use_wal(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _use_wal(connection: DBAPIConnection) -> None:
    """Switch a new file to WAL. SQLite does not wait when two do so at once: the later one looks again."""
    cursor = connection.cursor()
    until = time.monotonic() + WAIT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            break
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    looking = connection.get_execution_options().get(LOOKING, False)
    connection.exec_driver_sql("BEGIN" if looking else "BEGIN IMMEDIATE")
