"""Commands on the records: the register of points, and the quarantine."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import click

from cli.wiring import open_records, wall_clock
from heatwatch.domain.instants import iso
from heatwatch.files.points_file import read_points
from heatwatch.settings import Settings
from heatwatch.usecases.delivery import quarantined
from heatwatch.usecases.register import import_register

DATA_DIR = click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the journal, store and records.")


@click.group()
def points() -> None:
    """Keep the register of test points (R6)."""


@points.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@DATA_DIR
def points_import(file: Path, data_dir: Path | None) -> None:
    """Put the register in FILE in force; a running `serve` takes it up at once, the one before it stays on record."""
    register = read_points(file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    with open_records(Settings.read(data_dir=data_dir)) as records, records.write() as session:
        version = import_register(session, register.rows, file.name, digest, wall_clock())
    rooms = len({row.point_id for row in register.rows})
    click.echo(f"{rooms:,} points in {len(register.rows):,} rows are in force as version {version}")


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
