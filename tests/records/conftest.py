"""Records to test on: SQLite always, PostgreSQL where its programs are installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from heatwatch.records.database import Records
from tests.postgresql import new_database


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the address of a database with nothing in it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'records 100%.sqlite'}"
    return new_database(request.getfixturevalue("postgres"))


@pytest.fixture
def records(url: str) -> Iterator[Records]:
    """Give migrated records."""
    made = Records(url)
    made.migrate()
    yield made
    made.close()
