"""Runs of a plant to which something is done: drawn, done, looked at; several side by side."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.faults.checks import failures
from tests.faults.driver import Harvest, Plant, Timed
from tests.faults.load import load

log = logging.getLogger(__name__)

SAME_LOAD = 4
"""So many seeds in a row disturb one load, each in its own way: what it comes to is worked out once."""
AT_ONCE = 3
"""How many runs side by side on two cores: each waits half of the time."""


class FailedError(AssertionError):
    """A run failed: which, how, what was done to it, and where everything is kept."""

    def __init__(self, seed: int, plan: list[Timed], done: list[str], said: list[str], folder: Path) -> None:
        self.seed = seed
        lines = [f"seed {seed} failed (again: pytest tests/faults --fault-seed {seed})", *said]
        lines += [f"kept: {folder} (data, data.log, broker)", "planned:", *map(str, plan), "done, with times:", *done]
        super().__init__("\n  ".join(lines))


@dataclass(frozen=True)
class Trial:
    """A kind of plant, and what is done to it."""

    plant: type[Plant]
    faults: Callable[[int], list[Timed]]


def run(seed: int, folder: Path, trial: Trial) -> Harvest:
    """Run a seed: draw load and deeds, do them all, look whether everything is as it must be.

    Raises
    ------
    FailedError
        If it is not.
    """
    plant, plan = trial.plant(folder, load(seed // SAME_LOAD)), trial.faults(seed)
    try:
        with plant:
            harvest = plant.run(plan)
            said = failures(harvest)
    except Exception as error:
        raise FailedError(seed, plan, plant.done, [f"{type(error).__name__}: {error}"], folder) from error
    if said:
        raise FailedError(seed, plan, plant.done, said, folder)
    return harvest


def tried(seed: int, folder: Path, trial: Trial) -> str:
    """Run a seed and return what went wrong; a run that passed leaves no files."""
    began_s = time.monotonic()
    try:
        run(seed, folder, trial)
    except FailedError as failed:
        log.warning("seed %d failed", seed)
        return str(failed)
    log.info("seed %d passed in %.1f s", seed, time.monotonic() - began_s)
    shutil.rmtree(folder)
    return ""


def try_all(seeds: Iterable[int], folder: Path, trial: Trial) -> None:
    """Run seeds, some at a time.

    Raises
    ------
    AssertionError
        If a run failed: it says which, and how.
    """
    asked = list(seeds)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        said = list(pool.map(lambda seed: tried(seed, folder / f"seed-{seed}", trial), asked))
    failed = [one for one in said if one]
    assert not failed, f"{len(failed)} of {len(asked)} runs failed\n" + "\n\n".join(failed)
