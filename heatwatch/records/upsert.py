"""Inserting rows that may be there already, in either database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session


def insert_into(session: Session, table: type[Any] | Table) -> sqlite.Insert | postgresql.Insert:
    """Return an insert that can be told what to do about rows that are there: ``on_conflict_…`` of the database."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    return insert(table)
