"""Fixtures for every test."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from heatwatch.records.database import Records
from tests.influxdb import Influx1, influxdb1
from tests.ledger import fresh_records
from tests.peers import Mosquitto
from tests.peers import mosquitto as running_mosquitto
from tests.postgresql import postgresql


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """Give a mosquitto of one's own; skip the test where none is installed."""
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    with running_mosquitto(folder) as server:
        yield server


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    """Give migrated records of one's own."""
    made = fresh_records(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Give a PostgreSQL's address, with the name of the database left open; skip the test where none is installed."""
    with postgresql() as server:
        yield server


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of a run that decides, where a test that skips has not been run, and those of single tests."""
    parser.addoption("--no-skips", action="store_true", help="a skipped test fails")
    parser.addoption("--fault-seed", type=int, help="run this seed of tests/faults; with --fault-runs the first one")
    parser.addoption("--fault-runs", type=int, help="how many seeds of tests/faults are run (20)")
    parser.addoption("--whole-city", action="store_true", help="tests/e2e/test_scenarios.py plays 100,000 rooms")
    parser.addoption("--replay-speeds", help="at which speeds tests/e2e/test_rehearsal.py replays (max,1000)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Report a skip as a failure where none is allowed."""
    report = yield
    if report.skipped and item.config.getoption("--no-skips"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which this run does not allow: {report.longrepr}"
    return report


@pytest.fixture
def influx(tmp_path: Path) -> Iterator[Influx1]:
    """Give an InfluxDB 1.x of one's own; skip the test where none is installed."""
    folder = tmp_path / "influxdb"
    folder.mkdir()
    with influxdb1(folder) as server:
        yield server
