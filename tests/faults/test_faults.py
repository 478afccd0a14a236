"""Whatever is done to the plant: nothing is lost, nothing is said twice, all is found as if it had been quiet.

``pytest tests/faults --fault-seed 17`` runs one seed again, ``--fault-runs 200`` many.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.conftest import Seeds
from tests.faults.driver import Plant
from tests.faults.faults import faults
from tests.faults.runs import Trial, try_all

RUNS = 20


@pytest.mark.timeout(0)
def test_whatever_is_done_all_is_as_in_a_quiet_run(seeds: Seeds, tmp_path: Path, reckoning: None) -> None:
    try_all(seeds(RUNS), tmp_path, Trial(Plant, faults))


def test_the_same_seed_plans_the_same_and_can_be_read() -> None:
    assert faults(17) == faults(17) != faults(18)
    assert all(str(timed).startswith("at ") and type(timed.deed).__name__ in str(timed) for timed in faults(17))


@pytest.mark.parametrize("whom", ["Serve", "Broker"])
def test_every_plan_does_what_can_be_done_and_ends_with_all_at_work(whom: str) -> None:
    """What ends was running, what is started had ended, what goes on was paused: for each seed."""
    leads = {"Kill": ("runs paused", "away"), "Stop": ("runs", "away"), "Crash": ("away", "away")}
    leads |= {"Start": ("away", "runs"), "Pause": ("runs", "paused"), "Resume": ("paused", "runs")}
    for seed in range(300):
        state = "runs"
        for timed in faults(seed):
            what = type(timed.deed).__name__
            if what.endswith(whom):
                before, after = leads[what.removesuffix(whom)]
                assert state in before.split(), (seed, timed)
                state = after
        assert state == "runs", seed
