"""What a change of register or rules would alter, told before it is made."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any
from zoneinfo import ZoneInfo

import click

from analytics.roles.foresight import JOB, Foresight, foreseen
from cli.opening import open_records, open_store, wall_clock
from heatwatch.domain.instants import from_ms
from heatwatch.errors import BadInput, HeatwatchError, Unavailable
from heatwatch.files.rules_file import parse_standard, rules_text, time_zone
from heatwatch.records.database import Records
from heatwatch.settings import Settings
from heatwatch.usecases.jobs import FAILED, answered, ask, drop

LOOK_EVERY_S = 0.1
NO_ANSWER_S = 3600.0
"""How long a running `serve` is waited for: it judges as much of the past as the change concerns."""


def foresee(settings: Settings, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `asked` (a `register` or `rules`) would alter.

    Where `serve` runs, which alone may open the readings, it is asked; else the readings are opened here.

    Raises
    ------
    HeatwatchError
        What is wrong with the change, or what cannot be opened.
    """
    with open_records(settings) as records:
        if settings.one_process and not settings.readings_path.exists():
            raise BadInput("holds no readings yet", where=str(settings.data_dir))
        with ExitStack() as stack:
            try:
                store = stack.enter_context(open_store(settings, records, read_only=True))
            except Unavailable:
                if not settings.one_process:
                    raise
                click.echo("another process holds the readings: asking the running serve", err=True)
                return _asked_of_serve(records, asked)
            name, text = rules_text(settings.rules)
            standard = parse_standard(text, where=name)
            zone = time_zone(settings.timezone)
            return foreseen(Foresight(records, store, standard, zone, settings.late_days), asked)


def _asked_of_serve(records: Records, asked: Mapping[str, Any]) -> dict[str, Any]:
    with records.write() as session:
        number = ask(session, JOB, asked, wall_clock())
    until_s = time.monotonic() + NO_ANSWER_S
    try:
        while time.monotonic() < until_s:
            with records.read() as session:
                told = answered(session, number)
            if told is not None:
                state, result = told
                if state == FAILED:
                    raise HeatwatchError(str(result.get("error")))
                return dict(result)
            time.sleep(LOOK_EVERY_S)
    finally:
        with records.write() as session:
            drop(session, number)
    raise Unavailable("serve", "it does not tell what would be altered")


def tell(told: Mapping[str, Any], zone: ZoneInfo, *, as_json: bool) -> None:
    """Write what would be altered: a table for people, or one JSON object."""
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    since = "of all time" if told["from_ms"] is None else f"from {_moment(told['from_ms'], zone)} on"
    changes = told["changes"]
    counts = sorted(Counter(row["change"] for row in changes).items())
    summed = ", ".join(f"{count} {name}" for name, count in counts) or "nothing"
    for line in _table([_cells(row, zone) for row in changes]) if changes else ():
        click.echo(line)
    tickets = {number for row in changes for number in row["tickets"]}
    notices = {number for row in changes for number in row["notices"]}
    click.echo(
        f"{since}, judged as of {_moment(told['as_of_ms'], zone)}: {summed}; "
        f"{len(tickets)} tickets and {len(notices)} notices rest on it. Nothing was changed."
    )


_HEAD = ("change", "finding", "of", "before", "after", "rests on it")


def _cells(row: Mapping[str, Any], zone: ZoneInfo) -> tuple[str, ...]:
    number = "" if row["finding_id"] is None else f" {row['finding_id']}"
    resting = [f"ticket {number}" for number in row["tickets"]] + [f"notice {number}" for number in row["notices"]]
    spans = (_span(row[side], zone) for side in ("before", "after"))
    return (row["change"], row["kind"] + number, row["subject_id"], *spans, ", ".join(resting) or "-")


def _span(said: Mapping[str, Any] | None, zone: ZoneInfo) -> str:
    if said is None:
        return "-"
    end = "now" if said["end_ms"] is None else _moment(said["end_ms"], zone)
    lowest, hours = said["detail"].get("min_temp_c"), said["detail"].get("violation_h")
    figures = [f"{lowest:.1f} C"] if lowest is not None else []
    figures += [f"{hours:.1f} h"] if hours is not None else []
    return " ".join([f"{_moment(said['start_ms'], zone)} .. {end}", *figures])


def _moment(ms: int, zone: ZoneInfo) -> str:
    return f"{from_ms(ms).astimezone(zone):%Y-%m-%d %H:%M}"


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(_HEAD, *rows, strict=True)]
    for row in (_HEAD, *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
