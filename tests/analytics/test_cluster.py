"""What a cluster finds is what one process finds, byte by byte."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from distributed import Client, LocalCluster

from analytics.cluster import judge_on_dask
from analytics.judge import judge
from heatwatch.domain.findings import FindingKind
from heatwatch.errors import BadInput, Unavailable
from heatwatch.files.rules_file import default_standard
from tests.analytics.winters import START_MS, files_of, town, winter

ZONE = ZoneInfo("Asia/Shanghai")
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    options = {"threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with LocalCluster(n_workers=2, **options) as cluster:
        with Client(cluster) as client:
            pids = client.run(os.getpid)
            assert len(set(pids.values()) | {os.getpid()}) == 3, "two workers that are processes of their own"
        yield cluster.scheduler_address


@pytest.mark.parametrize("as_of_ms", [None, START_MS + 4 * DAY_MS + 12_345])
def test_workers_find_the_same_bytes(scheduler: str, tmp_path: Path, as_of_ms: int | None) -> None:
    readings = winter(7)
    here = judge(readings, town(), default_standard(), ZONE, as_of_ms)
    there = judge_on_dask(readings, town(), default_standard(), ZONE, as_of_ms, scheduler=scheduler)
    assert there.as_of_ms == here.as_of_ms
    assert files_of(there, tmp_path / "there") == files_of(here, tmp_path / "here")
    assert all(len(here.frames[kind]) for kind in FindingKind), "something of every kind is compared"


def test_workers_find_the_same_bytes_without_a_register(scheduler: str, tmp_path: Path) -> None:
    readings = winter(8)
    here = judge(readings, None, default_standard(), ZONE)
    there = judge_on_dask(readings, None, default_standard(), ZONE, scheduler=scheduler)
    assert files_of(there, tmp_path / "there") == files_of(here, tmp_path / "here")


def test_no_readings_is_bad_input(scheduler: str) -> None:
    with pytest.raises(BadInput, match="no reading"):
        judge_on_dask(winter(7), town(), default_standard(), ZONE, START_MS - DAY_MS, scheduler=scheduler)


def test_an_engine_that_is_not_asked_for_is_not_imported() -> None:
    code = "import sys, analytics.cluster; sys.exit('distributed' in sys.modules or 'dask' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_dask_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(Unavailable, match=r"pip install 'heatwatch\[dask\]'"):
        judge_on_dask(winter(7), town(), default_standard(), ZONE, scheduler="tcp://127.0.0.1:1")
