"""Whatever an InfluxDB does: nothing is lost, nothing is kept twice, all is found as if it had been quiet.

``pytest tests/faults/test_influx_faults.py --fault-seed 17`` runs one seed again, ``--fault-runs 200`` many.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.conftest import Seeds
from tests.faults.influx import MOODS, Feel, InfluxPlant, influx_faults
from tests.faults.runs import Trial, try_all
from tests.influxdb import has_influxdb

RUNS = 2


@pytest.mark.timeout(0)
def test_whatever_influxdb_does_nothing_is_lost_and_nothing_kept_twice(
    seeds: Seeds, tmp_path: Path, reckoning: None
) -> None:
    """It is killed, stopped, stands still, is slow, cut off, and answers 400 to 503; what was asked is done or not."""
    if not has_influxdb("1"):
        pytest.skip("InfluxDB 1.x is not installed")
    try_all(seeds(RUNS), tmp_path, Trial(InfluxPlant, influx_faults))


def test_each_run_has_every_mood() -> None:
    assert influx_faults(17) == influx_faults(17) != influx_faults(18)
    felt = {timed.deed.mood for timed in influx_faults(17) if isinstance(timed.deed, Feel)}
    assert felt >= {*MOODS}
    assert {mood.status for mood in MOODS} >= {400, 401, 403, 404, 413, 422, 429, 500, 503}
