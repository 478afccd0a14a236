"""`heatwatch setup`: what has to be there before roles can start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from secrets import token_urlsafe

import click

from cli.opening import open_records
from heatwatch.errors import BadInput
from heatwatch.settings import Settings, StoreKind
from heatwatch.stores.influx.preparing import Wanted, prepare_1, prepare_2, write_secret

FILE = click.Path(path_type=Path)
WEBHOOK = "grafana_webhook_token"
"""File of what Grafana shows the API when it tells of alerts; both read it."""


@click.command()
@click.option("--tokens", type=FILE, help="Folder for the secrets of InfluxDB's accounts, a file each.")
@click.option("--admin-token-file", type=FILE, help="File with a token that may do everything (InfluxDB 2).")
@click.option("--admin-user", default="", help="Who may do everything: the first user of a new server.")
@click.option("--admin-password-file", type=FILE, help="File with that user's password.")
@click.option("--retention-days", type=click.IntRange(0), default=0, show_default=True, help="0: kept for ever (R8).")
@click.option("--rotate", is_flag=True, help="Give every account of InfluxDB a new secret.")
@click.option("--data-dir", type=FILE, help="Folder of the journal, store and records.")
def setup(
    tokens: Path | None,
    admin_token_file: Path | None,
    admin_user: str,
    admin_password_file: Path | None,
    retention_days: int,
    data_dir: Path | None,
    *,
    rotate: bool,
) -> None:
    """Bring the records up to date, and prepare InfluxDB: bucket, retention, an account for each part; Grafana's key.

    Asked again, it changes nothing. With an embedded store there is nothing but the records to prepare.
    """
    settings = Settings.read(data_dir=data_dir)
    with open_records(settings):
        click.echo("records: up to date")
    if settings.store is StoreKind.EMBEDDED:
        return
    if tokens is None:
        raise BadInput("is missing", where="--tokens", mend="name the folder for the secrets of InfluxDB's accounts")
    wanted = Wanted(
        settings.influx_url, settings.influx_org, settings.influx_bucket, tokens, retention_days, rotate=rotate
    )
    for line in _prepared(settings.store, wanted, admin_token_file, admin_user, admin_password_file):
        click.echo(line)
    webhook = tokens / WEBHOOK
    if rotate or not webhook.exists():
        write_secret(webhook, token_urlsafe(32), shared=True)
        click.echo(f"grafana may tell the API of alerts: {webhook} written")


def _prepared(
    store: StoreKind, wanted: Wanted, token_file: Path | None, user: str, password_file: Path | None
) -> Iterator[str]:
    if store is StoreKind.INFLUXDB_1:
        return prepare_1(wanted, user, password_file)
    if store is StoreKind.INFLUXDB_3:
        raise BadInput("InfluxDB 3 makes its databases and tokens itself", where="store", mend="influxdb3 create token")
    if token_file is None:
        raise BadInput("is missing", where="--admin-token-file", mend="InfluxDB 2 lets nobody in without a token")
    return prepare_2(wanted, token_file, user, password_file)
