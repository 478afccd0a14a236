"""`heatwatch audit`: look at the audit trail (审计), and prove that it and what it speaks of are whole (R8)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from cli.opening import open_records
from heatwatch.domain.instants import iso
from heatwatch.errors import BadInput, Damaged
from heatwatch.records.audit import Action, audited
from heatwatch.settings import Settings
from heatwatch.usecases.audit import Anchor, Entry, Fault, entries, faults
from heatwatch.usecases.audit import head as head_of

SHOWN = 60
"""How much of a value is shown [characters]."""
_ANCHOR = re.compile(r"(\d{1,18})[:\s]\s*([0-9a-f]{64})")
DATA_DIR = click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the journal, store and records.")


@click.group()
def audit() -> None:
    """Look at the audit trail (R8): who changed what and when, and whether all is still as it was written."""


@audit.command()
@click.option(
    "--anchor",
    "noted",
    multiple=True,
    metavar="SEQ:SHA256|@FILE",
    help="A head noted earlier, which must still be in the trail; @FILE has one a line, as `audit head` says it.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object with all faults.")
@DATA_DIR
def verify(noted: Sequence[str], data_dir: Path | None, *, as_json: bool) -> None:
    """Say what was changed, deleted or moved behind the trail's back, and where: a line for each, exit code 1.

    Without an anchor this proves that no entry was altered, taken out or moved, and that each audited row is as its
    entries left it. It cannot see that someone wrote the whole chain anew, or cut off its end together with its head
    and its rows. An anchor shows that too, for all entries up to it: a head, as `audit head` says it, noted earlier
    and kept where those who may write to the database may not.
    """
    anchors = [anchor for text in noted for anchor in _anchors(text)]
    with open_records(Settings.read(data_dir=data_dir)) as records, records.read() as session:
        found = faults(session, anchors)
        count, told = _as_json(found) if as_json else (_say(found), "")
        if not count:
            seq, sha256 = head_of(session)
            whole = {"whole": True, "entries": seq, "sha256": sha256, "faults": []}
            told = json.dumps(whole) if as_json else f"{seq:,} entries are whole, up to {seq}:{sha256}"
    click.echo(told, nl=bool(told))
    if count:
        raise Damaged(f"{count:,} fault{'s' if count > 1 else ''} found", where="audit trail")


@audit.command()
@DATA_DIR
def head(data_dir: Path | None) -> None:
    """Say where the trail ends, to be noted elsewhere as an anchor: the number of its last entry and its digest."""
    with open_records(Settings.read(data_dir=data_dir)) as records, records.read() as session:
        seq, sha256 = head_of(session)
    click.echo(f"{seq} {sha256}")


@audit.command()
@click.option("--subject", type=click.Choice(sorted(audited())), help="Entries of one table.")
@click.option("--id", "subject_id", help="Entries of one row of it.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, values in full.")
@DATA_DIR
def show(subject: str | None, subject_id: str | None, limit: int, data_dir: Path | None, *, as_json: bool) -> None:
    """List the newest entries, in their order."""
    if subject_id is not None and subject is None:
        raise BadInput("needs --subject: a number alone names no row", where="--id")
    with open_records(Settings.read(data_dir=data_dir)) as records, records.read() as session:
        for entry in entries(session, limit, subject, subject_id):
            click.echo(json.dumps(entry, ensure_ascii=False, default=repr) if as_json else _line(entry))


def _anchors(text: str) -> Iterator[Anchor]:
    if not text.startswith("@"):
        yield _anchor(text, "--anchor")
        return
    try:
        lines = Path(text[1:]).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot be read: {error}", where=f"--anchor {text}") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _anchor(line, f"{text[1:]}, line {number}")


def _anchor(text: str, where: str) -> Anchor:
    said = _ANCHOR.fullmatch(text.strip())
    if said is None:
        raise BadInput(
            f"{text.strip()[:SHOWN]!r} is no anchor", where=where, mend="SEQ:SHA256, as `audit head` says it"
        )
    return int(said[1]), said[2]


def _say(found: Iterator[Fault]) -> int:
    count = 0
    for fault in found:
        click.echo(str(fault))
        count += 1
    return count


def _as_json(found: Iterator[Fault]) -> tuple[int, str]:
    told = [asdict(fault) for fault in found]
    return len(told), json.dumps({"whole": False, "faults": told}, ensure_ascii=False)


def _line(entry: Entry) -> str:
    content = entry["content"] if isinstance(entry["content"], dict) else {"": entry["content"]}
    changed = entry["action"] == Action.CHANGED
    said = (f"{name}: {_change(value) if changed else _value(value)}" for name, value in content.items())
    who, subject = f"{entry['who']} {entry['action']}", f"{entry['subject']} {entry['subject_id']}"
    return "  ".join([str(entry["seq"]), iso(entry["at_ms"]), who, subject, ", ".join(said)])


def _change(pair: Any) -> str:
    return " → ".join(_value(value) for value in pair) if isinstance(pair, list) else _value(pair)


def _value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
