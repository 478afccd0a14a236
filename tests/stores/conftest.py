"""Stores of every kind; the InfluxDB servers run as long as the tests of a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.influxdb import Influx1, Influx2, has_influxdb, influxdb1, influxdb2
from tests.stores.shelves import Shelf

Servers = Callable[[str], Influx1 | Influx2]
KINDS = ["embedded", "influxdb1"] + (["influxdb2"] if has_influxdb("2") else [])


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Give an InfluxDB by its major version, started when it is first asked for."""
    running: dict[str, Influx1 | Influx2] = {}
    with ExitStack() as stack:

        def server(version: str) -> Influx1 | Influx2:
            if version not in running:
                folder = tmp_path_factory.mktemp(f"influxdb{version}")
                if version == "1":
                    running[version] = stack.enter_context(influxdb1(folder))
                else:
                    running[version] = stack.enter_context(influxdb2(folder))
            return running[version]

        yield server


@pytest.fixture(scope="module", params=KINDS)
def shelf(request: pytest.FixtureRequest, servers: Servers) -> Shelf:
    """Give a way to open stores of each kind."""
    kind: str = request.param
    if kind == "embedded":
        return Shelf(kind, 60)
    return Shelf(kind, 12 if kind == "influxdb1" else 6, servers(kind[-1]))


@pytest.fixture(scope="module", params=KINDS[1:])
def influx_shelf(request: pytest.FixtureRequest, servers: Servers) -> Shelf:
    """Give a way to open stores on each InfluxDB."""
    kind: str = request.param
    return Shelf(kind, 8, servers(kind[-1]))
