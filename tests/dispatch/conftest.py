"""An office to work in."""

from __future__ import annotations

import pytest

from heatwatch.records.database import Records
from tests.dispatch.office import Office


@pytest.fixture
def office(records: Records) -> Office:
    return Office(records)
