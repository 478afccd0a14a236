"""`heatwatch dashboards`: Grafana as code."""

from __future__ import annotations

from pathlib import Path

import click

from dashboards.render import render
from dashboards.settings import GrafanaSettings, InfluxVersion, Language, Limits
from heatwatch.files.rules_file import default_standard, read_standard

FILE = click.Path(path_type=Path)
VERSIONS = click.Choice([version.value for version in InfluxVersion])
LANGUAGES = click.Choice([language.value for language in Language])
DEFAULTS = GrafanaSettings(limits=Limits(0.0, 0.0))


@click.group()
def dashboards() -> None:
    """Make Grafana's data source and boards."""


@dashboards.command("render")
@click.option("--out", type=FILE, required=True, help="Folder for provisioning/ and dashboards/.")
@click.option("--influx-url", default=DEFAULTS.influx_url, show_default=True, help="InfluxDB as Grafana reaches it.")
@click.option("--influx-version", type=VERSIONS, default=DEFAULTS.version.value, show_default=True)
@click.option("--influx-database", default=DEFAULTS.database, show_default=True, help="Database (1) or bucket (2).")
@click.option("--influx-organization", default=DEFAULTS.organization, show_default=True, help="InfluxDB 2 only.")
@click.option("--influx-user", default=DEFAULTS.user, help="InfluxDB 1 only, where it asks for a user.")
@click.option("--rules", type=FILE, help="Rules file with the limits; without one the rules that come with heatwatch.")
@click.option("--language", type=LANGUAGES, default=DEFAULTS.language.value, show_default=True)
def render_files(
    out: Path,
    influx_url: str,
    influx_version: str,
    influx_database: str,
    influx_organization: str,
    influx_user: str,
    rules: Path | None,
    language: str,
) -> None:
    """Write Grafana's provisioning files and boards; secrets stay in files that Grafana reads itself."""
    settings = GrafanaSettings(
        limits=Limits.of(read_standard(rules) if rules else default_standard()),
        influx_url=influx_url,
        version=InfluxVersion(influx_version),
        database=influx_database,
        organization=influx_organization,
        user=influx_user,
        language=Language(language),
    )
    for file in render(settings, out):
        click.echo(file)
