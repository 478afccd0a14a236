"""`heatwatch stops`: the stops of heat that were reported."""

from __future__ import annotations

from pathlib import Path

import click

from cli.opening import open_records, wall_clock
from cli.records import COMMAND_LINE, DATA_DIR
from heatwatch.files.evidence_files import read_stops
from heatwatch.settings import Settings
from heatwatch.usecases.register import current_register
from heatwatch.usecases.stops import import_stops


@click.group()
def stops() -> None:
    """Keep the stops of heat that were reported, planned or not (R11, R12, R32)."""


@stops.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@DATA_DIR
def stops_import(file: Path, data_dir: Path | None) -> None:
    """Take in the stops in FILE; of one that is known already, its end, reason and whether it is planned."""
    told = read_stops(file)
    with open_records(Settings.read(data_dir=data_dir)) as records, records.write() as session:
        found = current_register(session)
        register = None if found is None else found[1]
        new, changed = import_stops(session, told, register, who=COMMAND_LINE, now_ms=wall_clock())
    click.echo(f"{len(told):,} stops read: {new:,} new, {changed:,} changed")
