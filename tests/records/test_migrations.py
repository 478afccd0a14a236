"""From every earlier revision the tables come to this version's, and what was in them stays."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, Table, select

from heatwatch.records import audit, database
from heatwatch.records.database import Records

SCRIPTS = ScriptDirectory(str(database.MIGRATIONS))
CHAIN = [script.revision for script in reversed(list(SCRIPTS.walk_revisions()))]
TRAIL = "audit"
"""The trail's own tables: what stands in them must fit together; it is begun as every version begins it."""


def value(column: sa.Column[Any], table: Table, number: int) -> Any:
    """Return something that a column can hold; of a key, what makes rows differ and what is referred to exists."""
    kind = column.type
    if isinstance(kind, sa.Boolean):
        return False
    if isinstance(kind, sa.Integer):
        return number if column.primary_key or column.foreign_keys else 1_700_000_000_000 + number
    if isinstance(kind, sa.LargeBinary):
        return bytes([0, 255, number])
    if isinstance(kind, sa.JSON):
        return {"室温": [number, None, 0.5]}
    if isinstance(kind, sa.Float | sa.Numeric):
        return number + 0.25
    assert isinstance(kind, sa.String), (table.name, column.name, kind)
    return f"{column.name[:20]} 室{number}"[: kind.length or 40]


def fill(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """Put rows into every table there is; return them by table."""
    metadata = MetaData()
    metadata.reflect(connection)
    put = {}
    for table in metadata.sorted_tables:
        if table.name.startswith((TRAIL, "alembic")):
            continue
        rows = [{column.name: value(column, table, number) for column in table.columns} for number in (1, 2)]
        connection.execute(table.insert(), rows)
        put[table.name] = rows
    if "audit_head" in metadata.tables:
        head = {"id": 1, "seq": 0, "sha256": audit.START}
        connection.execute(metadata.tables["audit_head"].insert().values(head))
    return put


def held(connection: Connection, put: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Return what the tables hold now, of the columns that were filled."""
    metadata = MetaData()
    metadata.reflect(connection)
    found = {}
    for name, rows in put.items():
        columns = [metadata.tables[name].columns[column] for column in rows[0]]
        answer = connection.execute(select(*columns).order_by(*metadata.tables[name].primary_key.columns))
        found[name] = [dict(row) for row in answer.mappings()]
    return found


def test_the_revisions_are_one_chain() -> None:
    assert SCRIPTS.get_heads() == [CHAIN[-1]]
    assert [script.down_revision for script in SCRIPTS.walk_revisions()] == [*reversed(CHAIN[:-1]), None]
    assert [f"{number:04d}" for number in range(1, len(CHAIN) + 1)] == CHAIN


@pytest.mark.parametrize("revision", CHAIN)
def test_what_was_in_the_tables_of_any_revision_is_there_after_all_that_follow(url: str, revision: str) -> None:
    records = Records(url)
    try:
        with records.engine.begin() as connection:
            command.upgrade(database._alembic(connection), revision)
        with records.engine.begin() as connection:
            put = fill(connection)
        records.migrate()
        records.migrate()
        with records.engine.connect() as connection:
            found = held(connection, put)
            assert {name: [row for row in rows if row in found[name]] for name, rows in put.items()} == put
            (version,) = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars()
        assert version == CHAIN[-1]
        assert len(put) >= 10
    finally:
        records.close()
