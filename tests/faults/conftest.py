"""Which runs are asked for, and what they took."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator

import pytest

Seeds = Callable[[int], range]
"""Gives the seeds that were asked for; so many where nothing was said."""


@pytest.fixture
def seeds(request: pytest.FixtureRequest) -> Seeds:
    """Return the seeds that were asked for."""

    def asked(usual: int) -> range:
        first, count = request.config.getoption("--fault-seed"), request.config.getoption("--fault-runs")
        if count is None:
            count = usual if first is None else 1
        return range(first or 0, (first or 0) + count)

    return asked


@pytest.fixture
def reckoning() -> Iterator[None]:
    """Say how long it took, and how much computing."""
    began_s, began_cpu_s = time.monotonic(), _cpu_s()
    yield
    print(f"\n{time.monotonic() - began_s:.0f} s, {_cpu_s() - began_cpu_s:.0f} s of computing")  # noqa: T201 - with -s


def _cpu_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
