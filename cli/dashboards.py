"""`heatwatch dashboards`: Grafana as code."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from cli.annotating import told_annotations
from cli.opening import open_records, wall_clock
from cli.records import DATA_DIR
from cli.telling_truth import truth
from dashboards.alerts.muting import Muted, muted, with_mute_times
from dashboards.contents import contents
from dashboards.push.annotations import known_annotations, push_annotations
from dashboards.push.applying import Applied, apply, check, told
from dashboards.push.change import Action, Change, Site
from dashboards.push.client import TIMEOUT_S, Access, Grafana, read_address
from dashboards.push.plan import plan
from dashboards.render import render
from dashboards.settings import GrafanaSettings, InfluxVersion, Language, Limits, WebhookKey
from heatwatch.domain.instants import DAY_MS
from heatwatch.files.rules_file import default_standard, read_standard
from heatwatch.secret import one_line
from heatwatch.settings import Settings
from heatwatch.usecases.feeding import forget
from heatwatch.usecases.stops import stops_in_force

FILE = click.Path(path_type=Path)
VERSIONS = click.Choice([version.value for version in InfluxVersion])
WEBHOOK_KEYS = click.Choice([key.value for key in WebhookKey])
LANGUAGES = click.Choice([language.value for language in Language])
DEFAULTS = GrafanaSettings(limits=Limits(0.0, 0.0))
CONTENTS = (
    click.option(
        "--influx-url", default=DEFAULTS.influx_url, show_default=True, help="InfluxDB as Grafana reaches it."
    ),
    click.option("--influx-version", type=VERSIONS, default=DEFAULTS.version.value, show_default=True),
    click.option("--influx-database", default=DEFAULTS.database, show_default=True, help="Database (1) or bucket (2)."),
    click.option("--influx-organization", default=DEFAULTS.organization, show_default=True, help="InfluxDB 2 only."),
    click.option("--influx-user", default=DEFAULTS.user, help="InfluxDB 1 only, where it asks for a user."),
    click.option(
        "--rules", type=FILE, help="Rules file with the limits; without one the rules that come with heatwatch."
    ),
    click.option("--language", type=LANGUAGES, default=DEFAULTS.language.value, show_default=True),
    click.option("--timezone", default=DEFAULTS.timezone, show_default=True, help="The company's: boards tell it."),
    click.option("--console-url", default=DEFAULTS.console_url, help="The console as a reader's browser reaches it."),
    click.option(
        "--webhook-url",
        default=DEFAULTS.webhook_url,
        show_default=True,
        help="heatwatch's API as Grafana reaches it, to be told of alerts; empty where it is not to be.",
    ),
    click.option(
        "--webhook-key",
        type=WEBHOOK_KEYS,
        default=DEFAULTS.webhook_key.value,
        show_default=True,
        help="What Grafana shows there: grafana_webhook_token, signs with grafana_webhook_secret, or both.",
    ),
)


def _contents_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say what boards and data sources are like."""
    for option in reversed(CONTENTS):
        command = option(command)
    return command


CONNECTION = (
    click.option("--url", required=True, help="Grafana as we reach it, as in https://grafana.example:3000."),
    click.option("--token-file", type=FILE, help="File with the token of a service account."),
    click.option("--user", default="", help="Instead of a token: a user, with --password-file."),
    click.option("--password-file", type=FILE),
    click.option("--ca", type=FILE, help="Certificates of the authority that signed Grafana's, in PEM."),
    click.option(
        "--timeout", "timeout_s", type=click.FloatRange(0, min_open=True), default=TIMEOUT_S, show_default=True
    ),
)


def _connection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which Grafana it is, and as whom we come."""
    for option in reversed(CONNECTION):
        command = option(command)
    return command


def _grafana(
    *,
    url: str,
    token_file: Path | None,
    user: str,
    password_file: Path | None,
    ca: Path | None,
    timeout_s: float,
    **_others: Any,
) -> Grafana:
    access = Access(token_file=token_file, user=user, password_file=password_file, ca_file=ca)
    return Grafana(read_address(url), access, timeout_s=timeout_s)


@click.group()
def dashboards() -> None:
    """Make Grafana's data source, boards and alerts: as files, or in a Grafana that exists."""


dashboards.add_command(truth)


@dashboards.command("render")
@click.option("--out", type=FILE, required=True, help="Folder for provisioning/ and dashboards/.")
@_contents_options
def render_files(out: Path, **options: Any) -> None:
    """Write Grafana's provisioning files and boards; secrets stay in files that Grafana reads itself."""
    for file in render(_settings(**options), out):
        click.echo(file)


@dashboards.command("push")
@_connection_options
@click.option("--secrets-dir", type=FILE, default=DEFAULTS.secrets_dir, show_default=True, help="Secrets, a file each.")
@click.option(
    "--secrets", "anew", is_flag=True, help="Send secrets again that Grafana has already: it never shows them."
)
@click.option("--yes/--dry-run", default=False, help="Change Grafana. Without it nothing but reading is done.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with every difference.")
@click.option("--mute-planned", is_flag=True, help="Mute times for the planned stops in the records, too.")
@DATA_DIR
@_contents_options
def push(
    secrets_dir: Path,
    data_dir: Path | None,
    *,
    mute_planned: bool,
    anew: bool,
    yes: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Say what bringing our folder, data source, boards and alerts into a Grafana would change; with --yes, do it.

    What is not ours is left as it is: ours are uids and names that begin with heatwatch-, and the folder heatwatch.
    Where something else has such a name, nothing is done. A run that breaks off says what was done; the next one does
    the rest.
    """
    settings = _settings(**options)
    whole = contents(settings)
    if mute_planned:
        whole = with_mute_times(whole, _muted(data_dir, settings.timezone))
    with closing(_grafana(**options)) as grafana:
        check(grafana)
        site = Site(grafana, lambda secret: one_line(secrets_dir / secret.file, "secret"), anew)
        changes = plan(site, whole)
        applied = apply(site, changes) if yes else Applied((), (), None)
    _say(changes, applied, yes=yes, as_json=as_json)
    if applied.error is not None:
        raise applied.error


@dashboards.command("annotate")
@_connection_options
@click.option("--days", type=click.FloatRange(0, min_open=True), default=400, show_default=True, help="How far back.")
@click.option("--language", type=LANGUAGES, default=DEFAULTS.language.value, show_default=True)
@DATA_DIR
def annotate(days: float, language: str, data_dir: Path | None, **options: Any) -> None:
    """Hang stops of heat, found and reported, and the notices of them into Grafana's curves; what was withdrawn goes.

    Asked again, it brings what has changed. The boards that come with heatwatch show the same by themselves, out of
    InfluxDB: this is for boards of other makers.
    """
    since_ms = wall_clock() - round(days * DAY_MS)
    with open_records(Settings.read(data_dir=data_dir)) as records, records.read() as session:
        items = list(told_annotations(session, since_ms, Language(language)))
    with closing(_grafana(**options)) as grafana:
        check(grafana)
        now = push_annotations(grafana, items, known_annotations(grafana))
    click.echo(f"{len(items)} looked at, {len(now)} of ours there")


@dashboards.command("feed")
@click.option("--again", is_flag=True, required=True, help="Have everything written anew.")
@DATA_DIR
def feed(data_dir: Path | None, *, again: bool) -> None:
    """Have the role feed write everything into InfluxDB anew; it does so while it runs, the latest days first."""
    if again:
        with open_records(Settings.read(data_dir=data_dir)) as records, records.write() as session:
            forget(session)
    click.echo("the role feed writes everything anew")


def _muted(data_dir: Path | None, timezone: str) -> Muted:
    with open_records(Settings.read(data_dir=data_dir)) as records, records.read() as session:
        return muted(stops_in_force(session), ZoneInfo(timezone), wall_clock())


def _settings(**options: Any) -> GrafanaSettings:
    rules = options["rules"]
    return GrafanaSettings(
        limits=Limits.of(read_standard(rules) if rules else default_standard()),
        influx_url=options["influx_url"],
        version=InfluxVersion(options["influx_version"]),
        database=options["influx_database"],
        organization=options["influx_organization"],
        user=options["influx_user"],
        language=Language(options["language"]),
        timezone=options["timezone"],
        console_url=options["console_url"],
        webhook_url=options["webhook_url"],
        webhook_key=WebhookKey(options["webhook_key"]),
    )


def _say(changes: Sequence[Change], applied: Applied, *, yes: bool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_as_json(changes, applied, yes=yes), ensure_ascii=False))
        return
    for line in told(changes):
        click.echo(line)
    count = sum(change.action is not Action.UNCHANGED for change in changes)
    if not yes:
        click.echo(f"{count} to change; nothing was changed (--yes does it)" if count else "nothing to change")
        return
    click.echo(f"{len(applied.done)} changed" if count else "nothing to change")
    if applied.left:
        click.echo("not done: " + ", ".join(f"{change.kind} {change.name}" for change in applied.left))


def _as_json(changes: Sequence[Change], applied: Applied, *, yes: bool) -> dict[str, Any]:
    return {
        "applied": yes,
        "complete": applied.error is None,
        "error": None if applied.error is None else str(applied.error),
        "changes": [
            {
                "kind": change.kind.value,
                "name": change.name,
                "action": change.action.value,
                "done": any(change is done for done in applied.done),
                "differences": [
                    {"path": each.path, "was": each.was, "becomes": each.becomes} for each in change.differences
                ],
            }
            for change in changes
        ],
    }
