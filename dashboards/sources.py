"""The data source of the boards, as Grafana's provisioning file says it."""

from __future__ import annotations

from typing import Any

from dashboards.settings import GrafanaSettings, InfluxVersion

UID = "heatwatch-readings"
"""The uid of the data source; the same for 1.x and 2.x, so that boards outlive the move from one to the other."""
KIND = "influxdb"


def datasources_file(settings: GrafanaSettings) -> dict[str, Any]:
    """Return ``provisioning/datasources/heatwatch.yaml``. Secrets stand in it by the name of their file only."""
    source = _with_influxql(settings) if settings.version is InfluxVersion.ONE else _with_flux(settings)
    common = {"name": "heatwatch", "uid": UID, "type": KIND, "access": "proxy", "url": literal(settings.influx_url)}
    return {"apiVersion": 1, "prune": True, "datasources": [{**common, "editable": False, **source}]}


def literal(text: str) -> str:
    """Return text that Grafana is to take as it is: in provisioning files it replaces ``$name``.

    >>> literal("a$b")
    'a$$b'
    """
    return text.replace("$", "$$")


def _with_flux(settings: GrafanaSettings) -> dict[str, Any]:
    names = {"organization": literal(settings.organization), "defaultBucket": literal(settings.database)}
    token = {"token": _secret(settings, "grafana_influx_token")}
    return {"jsonData": {"version": "Flux", **names}, "secureJsonData": token}


def _with_influxql(settings: GrafanaSettings) -> dict[str, Any]:
    source = {"jsonData": {"version": "InfluxQL", "dbName": literal(settings.database), "httpMode": "POST"}}
    if not settings.user:
        return source
    password = {"password": _secret(settings, "grafana_influx_password")}
    return {**source, "user": literal(settings.user), "secureJsonData": password}


def _secret(settings: GrafanaSettings, name: str) -> str:
    return f"$__file{{{settings.secrets_dir}/{name}}}"
