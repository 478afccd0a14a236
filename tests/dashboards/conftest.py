"""An InfluxDB 1.x of one's own, and settings to render with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboards.settings import GrafanaSettings, InfluxVersion, Language, Limits
from heatwatch.files.rules_file import default_standard
from tests.influxdb import Influx1, influxdb1


@pytest.fixture
def influx(tmp_path: Path) -> Iterator[Influx1]:
    """Give an InfluxDB 1.x of one's own; skip the test where none is installed."""
    folder = tmp_path / "influxdb"
    folder.mkdir()
    with influxdb1(folder) as server:
        yield server


@pytest.fixture(params=list(InfluxVersion), ids="influxdb-{}".format)
def version(request: pytest.FixtureRequest) -> InfluxVersion:
    """Give each version of InfluxDB."""
    chosen: InfluxVersion = request.param
    return chosen


@pytest.fixture(params=list(Language))
def settings(request: pytest.FixtureRequest, version: InfluxVersion) -> GrafanaSettings:
    """Give settings for each version of InfluxDB and each language."""
    limits = Limits.of(default_standard())
    return GrafanaSettings(limits=limits, version=version, user="grafana", language=request.param)
