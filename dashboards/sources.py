"""The data source of the boards."""

from __future__ import annotations

from dashboards.model import DataSource, Secret
from dashboards.settings import GrafanaSettings, InfluxVersion

UID = "heatwatch-readings"
"""The uid of the data source; the same for 1.x and 2.x, so that boards outlive the move from one to the other."""
KIND = "influxdb"
TOKEN, PASSWORD = Secret("grafana_influx_token"), Secret("grafana_influx_password")


def readings_source(settings: GrafanaSettings) -> DataSource:
    """Return InfluxDB as Grafana asks it: Flux for 2.x, InfluxQL for 1.x."""
    if settings.version is InfluxVersion.ONE:
        return DataSource(
            uid=UID,
            name="heatwatch",
            kind=KIND,
            url=settings.influx_url,
            user=settings.user,
            json_data={"version": "InfluxQL", "dbName": settings.database, "httpMode": "POST"},
            secrets={"password": PASSWORD} if settings.user else {},
        )
    return DataSource(
        uid=UID,
        name="heatwatch",
        kind=KIND,
        url=settings.influx_url,
        json_data={"version": "Flux", "organization": settings.organization, "defaultBucket": settings.database},
        secrets={"token": TOKEN},
    )
