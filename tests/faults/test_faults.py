"""Whatever is done to the plant: nothing is lost, nothing is said twice, all is found as if it had been quiet.

``pytest tests/faults --fault-seed 17`` runs one seed again, ``--fault-runs 200`` many.
"""

from __future__ import annotations

import logging
import resource
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.checks import failures
from tests.faults.driver import Harvest, Plant, Timed
from tests.faults.faults import faults
from tests.faults.load import load

log = logging.getLogger(__name__)

SAME_LOAD = 4
"""So many seeds in a row disturb one load, each in its own way: what it comes to is worked out once."""
RUNS, AT_ONCE = 20, 3
"""How many runs where nothing is said, and how many side by side on two cores: each waits half of the time."""


class FailedError(AssertionError):
    """A run failed: which, how, what was done to it, and where everything is kept."""

    def __init__(self, seed: int, plan: list[Timed], done: list[str], said: list[str], folder: Path) -> None:
        self.seed = seed
        lines = [f"seed {seed} failed (again: pytest tests/faults --fault-seed {seed})", *said]
        lines += [f"kept: {folder} (data, data.log, broker)", "planned:", *map(str, plan), "done, with times:", *done]
        super().__init__("\n  ".join(lines))


def run(seed: int, folder: Path) -> Harvest:
    """Run a seed: draw load and deeds, do them all, look whether everything is as it must be.

    Raises
    ------
    FailedError
        If it is not.
    """
    plant, plan = Plant(folder, load(seed // SAME_LOAD)), faults(seed)
    try:
        with plant:
            harvest = plant.run(plan)
    except Exception as error:
        raise FailedError(seed, plan, plant.done, [f"{type(error).__name__}: {error}"], folder) from error
    if said := failures(harvest):
        raise FailedError(seed, plan, plant.done, said, folder)
    return harvest


def tried(seed: int, folder: Path) -> str:
    """Run a seed and return what went wrong; a run that passed leaves no files."""
    began_s = time.monotonic()
    try:
        run(seed, folder)
    except FailedError as failed:
        log.warning("seed %d failed", seed)
        return str(failed)
    log.info("seed %d passed in %.1f s", seed, time.monotonic() - began_s)
    shutil.rmtree(folder)
    return ""


@pytest.fixture
def seeds(request: pytest.FixtureRequest) -> range:
    """Return the seeds that were asked for."""
    first, count = request.config.getoption("--fault-seed"), request.config.getoption("--fault-runs")
    if count is None:
        count = RUNS if first is None else 1
    return range(first or 0, (first or 0) + count)


@pytest.fixture
def reckoning() -> Iterator[None]:
    """Say how long it took, and how much computing."""
    began_s, began_cpu_s = time.monotonic(), _cpu_s()
    yield
    print(f"\n{time.monotonic() - began_s:.0f} s, {_cpu_s() - began_cpu_s:.0f} s of computing")  # noqa: T201 - with -s


def _cpu_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@pytest.mark.timeout(0)
def test_whatever_is_done_all_is_as_in_a_quiet_run(seeds: range, tmp_path: Path, reckoning: None) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        said = list(pool.map(lambda seed: tried(seed, tmp_path / f"seed-{seed}"), seeds))
    failed = [one for one in said if one]
    assert not failed, f"{len(failed)} of {len(seeds)} runs failed\n" + "\n\n".join(failed)


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
