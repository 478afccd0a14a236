"""Settings to render with."""

from __future__ import annotations

import pytest

from dashboards.settings import GrafanaSettings, InfluxVersion, Language, Limits
from heatwatch.files.rules_file import default_standard


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
