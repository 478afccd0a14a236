"""An office to work in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from heatwatch.records.database import Records
from tests.dispatch.office import Office, fresh_records


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    made = fresh_records(tmp_path)
    yield made
    made.close()


@pytest.fixture
def office(records: Records) -> Office:
    return Office(records)
