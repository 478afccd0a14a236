"""Every table of the records as a Parquet file, and back: from any database to any other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    cast,
    column,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy import table as bare_table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine, UserDefinedType

from heatwatch.errors import BadInput, Damaged
from heatwatch.records import audit
from heatwatch.records.database import MIGRATIONS
from heatwatch.records.schema import AuditHead, Base, FeedDay, FeedFinding, FeedProgress, Job
from heatwatch.usecases.backup.archive import Archive, Writer

LEFT_OUT = frozenset(one.__tablename__ for one in (Job, FeedProgress, FeedFinding, FeedDay))
"""Work that somebody waits for: after a restore nobody does. And what an InfluxDB was told: an empty one, nothing."""
VERSION = "alembic_version"
SLICE = 2000
_HEAD = AuditHead.__tablename__


class _Verbatim(UserDefinedType[str]):
    """JSON as the text that is kept: what the audit trail has sealed is not written anew."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "JSON"


def revision_of(connection: Connection) -> str:
    """Return the revision of the tables."""
    found: str = connection.execute(text(f"SELECT version_num FROM {VERSION}")).scalar_one()  # noqa: S608 - our own
    return found


def save_tables(connection: Connection, writer: Writer) -> dict[str, int]:
    """Write every table; return how many rows each has."""
    tables = [one for one in Base.metadata.sorted_tables if one.name not in LEFT_OUT]
    return {one.name: _save(connection, one, writer) for one in tables}


def clear_place(connection: Connection, where: str) -> None:
    """Take away tables of ours that hold nothing.

    Raises
    ------
    BadInput
        If one of them holds something.
    """
    there = [name for name in (*Base.metadata.tables, VERSION) if inspect(connection).has_table(name)]
    found = MetaData()
    found.reflect(connection, only=there)
    for name in there:
        table = found.tables[name]
        if name == _HEAD:
            full = connection.execute(select(table).where(table.c.seq > 0).limit(1)).first()
        else:
            full = None if name == VERSION else connection.execute(select(table).limit(1)).first()
        if full is not None:
            raise BadInput(
                f"table {name} is not empty: a backup is restored onto an empty place only",
                where=where,
                mend="name another database",
            )
    found.drop_all(connection)


def load_tables(connection: Connection, archive: Archive) -> None:
    """Make the tables as they were, fill them, and bring them up to this version.

    Raises
    ------
    BadInput
        If a newer heatwatch has written them.
    Damaged
        If a row does not fit.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    revision = archive.manifest["revision"]
    try:
        ScriptDirectory.from_config(config).get_revision(revision)
    except CommandError as error:
        raise BadInput(
            f"its records are of revision {revision}, which this heatwatch does not know",
            where=str(archive.where),
            mend="use the version that wrote it, or newer",
        ) from error
    command.upgrade(config, revision)
    made = MetaData()
    made.reflect(connection, only=lambda name, _: name != VERSION)
    for table in made.sorted_tables:
        if table.name not in LEFT_OUT:
            _load(connection, table, archive)
    was = audit.shape(connection)
    command.upgrade(config, "head")
    audit.adopt(connection, was)


def count_tables(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """Return how many rows tables have."""
    tables = Base.metadata.tables
    return {
        name: connection.execute(select(func.count()).select_from(tables[name])).scalar_one()
        for name in names
        if name in tables
    }


def _save(connection: Connection, table: Table, writer: Writer) -> int:
    schema = pa.schema([(one.name, _kind(one)) for one in table.columns])
    wanted = select(*(cast(one, Text).label(one.name) if _is_json(one) else one for one in table.columns))
    rows = connection.execution_options(yield_per=SLICE).execute(wanted.order_by(*table.primary_key)).mappings()
    count = 0
    with (
        writer.file(f"records/{table.name}.parquet") as path,
        pq.ParquetWriter(path, schema, compression="zstd") as file,
    ):
        while some := [dict(row) for row in islice(rows, 10 * SLICE)]:
            file.write_table(pa.Table.from_pylist(some, schema))
            count += len(some)
    return count


def _load(connection: Connection, table: Table, archive: Archive) -> None:
    """Fill a table. References within it are put in when all of its rows are there."""
    name = f"records/{table.name}.parquet"
    own = [key.parent.name for key in table.foreign_keys if key.column.table is table]
    connection.execute(table.delete())
    try:
        with archive.open(name) as opened:
            file = pq.ParquetFile(opened)
            columns = [column(one, _bound(table.columns[one])) for one in file.schema_arrow.names]
            filled = insert(bare_table(table.name, *columns))
            for rows in _rows(file):
                connection.execute(filled, [row | dict.fromkeys(own) for row in rows] if own else rows)
            for reference in own:
                _refer(connection, table, reference, _rows(file))
        _go_on_numbering(connection, table)
    except (DBAPIError, pa.ArrowException, KeyError) as error:
        why = error.orig if isinstance(error, DBAPIError) else error
        raise Damaged(f"cannot be put into the records: {why}", where=archive.where_is(name)) from error


def _rows(file: pq.ParquetFile) -> Iterator[list[dict[str, Any]]]:
    for some in file.iter_batches(SLICE):
        yield some.to_pylist()


def _refer(connection: Connection, table: Table, name: str, slices: Iterator[Sequence[Mapping[str, Any]]]) -> None:
    (key,) = table.primary_key
    pointed = update(table).where(key == bindparam("of_row")).values({name: bindparam("to_row")})
    for rows in slices:
        told = [{"of_row": row[key.name], "to_row": row[name]} for row in rows if row[name] is not None]
        if told:
            connection.execute(pointed, told)


def _go_on_numbering(connection: Connection, table: Table) -> None:
    """Let PostgreSQL number new rows after those that came with their numbers; SQLite does by itself."""
    if connection.dialect.name != "postgresql":
        return
    for key in table.primary_key:
        asked = select(func.pg_get_serial_sequence(table.name, key.name))
        sequence = connection.execute(asked).scalar_one() if isinstance(key.type, BigInteger) else None
        last = connection.execute(select(func.max(key))).scalar_one() if sequence else None
        if last is not None:
            connection.execute(select(func.setval(sequence, last)))


def _bound(one: Column[Any]) -> Any:
    return _Verbatim() if _is_json(one) else one.type


def _is_json(one: Column[Any]) -> bool:
    return isinstance(one.type, JSON)


def _kind(one: Column[Any]) -> pa.DataType:
    kinds: dict[type[TypeEngine[Any]], pa.DataType] = {
        Boolean: pa.bool_(),
        Integer: pa.int64(),
        Float: pa.float64(),
        LargeBinary: pa.binary(),
    }
    return next((kind for of, kind in kinds.items() if isinstance(one.type, of)), pa.string())
