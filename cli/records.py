"""Commands on the records: the register of points, and the quarantine."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import click

from cli.foreseeing import foresee, tell
from cli.opening import open_records, wall_clock
from heatwatch.domain.instants import iso
from heatwatch.errors import BadInput
from heatwatch.files.points_file import read_points
from heatwatch.files.rules_file import time_zone
from heatwatch.settings import Settings
from heatwatch.usecases.delivery import count_too_late, quarantined, too_late
from heatwatch.usecases.register import import_register, written_rows

COMMAND_LINE = "command line"
"""Who the audit trail says it was: who can write the records needs no name in them."""
DATA_DIR = click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the journal, store and records.")


@click.group()
def points() -> None:
    """Keep the register of test points (R6)."""


@points.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--diff", is_flag=True, help="Only list which findings it would alter, and the tickets on them.")
@click.option("--json", "as_json", is_flag=True, help="With --diff: one JSON object.")
@DATA_DIR
def points_import(file: Path, data_dir: Path | None, *, diff: bool, as_json: bool) -> None:
    """Put the register in FILE in force; a running `serve` takes it up at once, the one before it stays on record."""
    if as_json and not diff:
        raise BadInput("only says how a list is written", where="--json", mend="add --diff")
    settings = Settings.read(data_dir=data_dir)
    register = read_points(file)
    if diff:
        told = foresee(settings, {"register": written_rows(register)})
        tell(told, time_zone(settings.timezone), as_json=as_json)
        return
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    with open_records(settings) as records, records.write() as session:
        version = import_register(session, register.rows, file.name, digest, wall_clock(), who=COMMAND_LINE)
    rooms = len({row.point_id for row in register.rows})
    click.echo(f"{rooms:,} points in {len(register.rows):,} rows are in force as version {version}")


@click.group()
def readings() -> None:
    """Look at what was stored and not judged."""


@readings.command("late")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@click.option("--offset", type=click.IntRange(0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@DATA_DIR
def readings_late(limit: int, offset: int, data_dir: Path | None, *, as_json: bool) -> None:
    """List readings that arrived too late to be judged (`late_days`): source, span, how many, arrival; newest first."""
    with open_records(Settings.read(data_dir=data_dir)) as records, records.read() as session:
        for row in too_late(session, limit=limit, offset=offset):
            entry = {"arrived": iso(row.arrived_ms), "source": row.source, "first": iso(row.first_ms)}
            entry |= {"last": iso(row.last_ms), "rows": str(row.rows)}
            click.echo(json.dumps(entry, ensure_ascii=False) if as_json else "  ".join(entry.values()))
        entries, rows = count_too_late(session)
    if not as_json:
        click.echo(f"{rows:,} readings in {entries:,} entries arrived too late to be judged")


@click.group()
def quarantine() -> None:
    """Look at what could not be used: it is kept whole, with the reason."""


@quarantine.command("list")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@DATA_DIR
def quarantine_list(limit: int, data_dir: Path | None, *, as_json: bool) -> None:
    """List the newest entries of the quarantine."""
    with open_records(Settings.read(data_dir=data_dir)) as records, records.read() as session:
        for row in quarantined(session, limit):
            text = row.payload.decode("utf-8", "backslashreplace")
            entry = {"arrived": iso(row.arrived_ms), "topic": row.topic, "reason": row.reason, "payload": text}
            click.echo(json.dumps(entry, ensure_ascii=False) if as_json else "  ".join(entry.values()))
