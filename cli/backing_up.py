"""`heatwatch backup` and `heatwatch restore`: all that an installation keeps, as files, and back."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from cli.opening import open_records, open_store, wall_clock
from heatwatch.errors import BadInput, Damaged, HeatwatchError, Unavailable
from heatwatch.files.rules_file import rules_text
from heatwatch.records.database import Records
from heatwatch.settings import EMBEDDED, Settings
from heatwatch.stores.readings import ReadingStore
from heatwatch.usecases.backup.restoring import Place, restored_paper, rules_differ, shown
from heatwatch.usecases.backup.restoring import restore as restore_backup
from heatwatch.usecases.backup.role import JOB
from heatwatch.usecases.backup.taking import Installation, papers_of, summary, take
from heatwatch.usecases.jobs import FAILED, answered, ask, drop
from ingest.journal import Journal

LOOK_EVERY_S = 0.1
NO_ANSWER_S = 6 * 3600.0
"""How long a running `serve` is waited for: it reads everything."""
READ_MESSAGES = 5000
UNBOUNDED_BYTES = 1 << 62
SETTINGS_FILE = Path("heatwatch.toml")
DATA_DIR = click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the journal, store and records.")


def check_journal(folder: Path, stored: int) -> int:
    """Read the messages of a journal that are not stored, and return the number of the last one.

    Raises
    ------
    Damaged
        If one is missing, or does not read as it was written.
    """
    if not any(folder.glob("*.journal")):
        raise Damaged("has no segment", where=str(folder))
    with Journal(folder, limit_bytes=UNBOUNDED_BYTES) as journal:
        read = stored
        while read < journal.last_sequence:
            read += len(journal.read_from(read + 1, READ_MESSAGES))
        return journal.last_sequence


def installation_of(settings: Settings, records: Records, store: ReadingStore) -> Installation:
    """Return what a backup is taken of."""
    _, rules = rules_text(settings.rules)
    papers = papers_of(SETTINGS_FILE, settings.model_dump(mode="json"), rules)
    return Installation(records, store, settings.journal_dir.parent, papers, check_journal, wall_clock)


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new folder, or a new file *.tar.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@DATA_DIR
def backup(out: Path, data_dir: Path | None, *, as_json: bool) -> None:
    """Back up records, readings, journals, settings and rules, of one moment; a running `serve` goes on meanwhile.

    Files with passwords, tokens or keys are not in it. The records are: with digests of passwords, and how users can
    be reached. So keep a backup where only those can read it who may.
    """
    settings = Settings.read(data_dir=data_dir)
    if settings.records == EMBEDDED and not (settings.data_dir / "records.sqlite").is_file():
        raise BadInput("is no data folder of heatwatch", where=str(settings.data_dir), mend="name it with --data-dir")
    out = out.absolute()
    with open_records(settings) as records, ExitStack() as stack:
        try:
            looking = not settings.one_process or settings.readings_path.exists()
            store = stack.enter_context(open_store(settings, records, read_only=looking))
        except Unavailable:
            if not settings.one_process:
                raise
            click.echo("another process holds the readings: asking the running serve", err=True)
            told = _asked_of_serve(records, out)
        else:
            told = summary(take(installation_of(settings, records, store), out, _progress(as_json=as_json)))
    for remark in told["remarks"]:
        click.echo(f"heatwatch: {remark}", err=True)
    click.echo(json.dumps({"out": str(out), **told}, ensure_ascii=False) if as_json else f"{out}: {shown(told)}")


@click.command()
@click.argument("source", metavar="FROM", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@DATA_DIR
def restore(source: Path, data_dir: Path | None, *, as_json: bool) -> None:
    """Put a backup FROM a folder or a *.tar in an empty place: all of it or nothing, and proven to be what was there.

    The place is that of the settings in force here: the data folder, and the records and the store that they name.
    Settings and rules of the backup are laid beside, in `from-backup`.
    """
    settings = Settings.read(data_dir=data_dir)
    _, rules = rules_text(settings.rules)
    told = restore_backup(source, Place(settings, open_store, check_journal), _progress(as_json=as_json))
    remarks = list(told["remarks"])
    kept = restored_paper(settings, "rules.yaml")
    if rules_differ(kept, rules):
        remarks.append(f"the rules in force here are not those of the backup: compare them with {kept} before a start")
    for remark in remarks:
        click.echo(f"heatwatch: {remark}", err=True)
    if as_json:
        click.echo(json.dumps({**told, "remarks": remarks, "verified": True}, ensure_ascii=False))
    else:
        click.echo(f"restored and verified: {shown(told)}")


def _progress(*, as_json: bool) -> Any:
    quiet = as_json or not sys.stderr.isatty()
    return (lambda _: None) if quiet else lambda line: click.echo(line, err=True)


def _asked_of_serve(records: Records, out: Path) -> Mapping[str, Any]:
    with records.write() as session:
        number = ask(session, JOB, {"out": str(out)}, wall_clock())
    until_s = time.monotonic() + NO_ANSWER_S
    try:
        while time.monotonic() < until_s:
            with records.read() as session:
                told = answered(session, number)
            if told is not None:
                state, result = told
                if state == FAILED:
                    raise HeatwatchError(str(result.get("error")))
                return result
            time.sleep(LOOK_EVERY_S)
    finally:
        with records.write() as session:
            drop(session, number)
    raise Unavailable("serve", "it does not say what came of the backup")
