"""A process for each role, on PostgreSQL and InfluxDB: whichever ends, all is as in one quiet process."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.wiring import ROLES
from tests.faults.apart import ApartPlant, KillRole, apart_faults
from tests.faults.conftest import Seeds
from tests.faults.runs import Trial, try_all
from tests.influxdb import has_influxdb

RUNS = 1


@pytest.mark.timeout(0)
def test_whichever_process_ends_all_is_as_in_one_quiet_process(seeds: Seeds, tmp_path: Path, reckoning: None) -> None:
    if not has_influxdb("1"):
        pytest.skip("InfluxDB 1.x is not installed")
    try_all(seeds(RUNS), tmp_path, Trial(ApartPlant, apart_faults))


def test_each_role_ends_in_every_run() -> None:
    assert {timed.deed.role for timed in apart_faults(3) if isinstance(timed.deed, KillRole)} == {*ROLES}
