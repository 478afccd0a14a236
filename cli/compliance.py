"""`heatwatch compliance`: a readings file in, compliance rates (室温合格率) out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pandas as pd

from analytics.judge import judge
from analytics.rates.tally import room_sums, tally_readings
from cli.judging import FILE, evidence_options, other_evidence
from cli.options import instant
from heatwatch.domain.compliance import SUBJECT_COLUMNS, By, Per, Rates, columns_of, rates
from heatwatch.domain.instants import iso
from heatwatch.domain.register import Register
from heatwatch.errors import BadInput
from heatwatch.files.appearing import files_in
from heatwatch.files.points_file import read_points
from heatwatch.files.readings_file import read_readings
from heatwatch.files.rules_file import default_standard, read_standard, time_zone
from heatwatch.usecases.compliance import demands_of, seasons_of

BYS, PERS = (click.Choice([str(one) for one in kind]) for kind in (By, Per))
SHOWN_MOST = 60
"""Lines of the table on the terminal; the file has all."""
_SHOWN = (
    ("readings", "readings_pct"),
    ("hours", "hours_pct"),
    ("rooms", "rooms_pct"),
    ("of rooms", "rooms_rated"),
    ("below target h", "below_target_h"),
    ("unknown h", "unknown_h"),
    ("faulty h", "sensor_fault_h"),
    ("no heat h", "outage_h"),
)


@click.command()
@click.argument("readings", type=FILE)
@click.option("--points", type=FILE, help="Points file; without one every point is an apartment of one building.")
@click.option("--rules", type=FILE, help="Rules file; without one the rules that come with heatwatch.")
@evidence_options
@click.option("--timezone", default="Asia/Shanghai", show_default=True, help="Zone of the local days and hours.")
@click.option("--as-of", help="Leave out what was measured later.")
@click.option("--by", type=BYS, default="month", show_default=True, help="Over what time.")
@click.option("--per", type=PERS, default="station", show_default=True, help="Of what.")
@click.option("--out", type=FILE, required=True, help="File for the rates, .csv or .parquet.")
@click.option("--json", "as_json", is_flag=True, help="Print the rates as JSON.")
def compliance(readings: Path, timezone: str, by: str, per: str, out: Path, *, as_json: bool, **options: Any) -> None:
    """Say what share of READINGS, of time and of rooms meets the rules; beside it what is in no rate."""
    if out.suffix not in {".csv", ".parquet"}:
        raise BadInput("is neither .csv nor .parquet", where=f"--out {out}")
    zone = time_zone(timezone)
    standard = read_standard(options["rules"]) if options["rules"] else default_standard()
    as_of_ms = instant(options["as_of"], "--as-of") if options["as_of"] is not None else None
    register = read_points(options["points"]) if options["points"] else None
    other = other_evidence(options, register)
    frame = read_readings(readings, whole=True)
    findings = judge(frame, register, standard, zone, as_of_ms, other)
    register = register or Register.implied_by(map(str, frame["point_id"].unique()))
    tallies, timeline, places = tally_readings(frame, register, standard, zone, findings.frames, findings.as_of_ms)
    sums = room_sums(tallies, timeline.points, places, By(by), seasons_of(standard))
    found = rates(sums, Per(per), demands_of(standard))
    lines = [columns_of(one, Per(per)) for one in found]
    write_rates(out, lines, Per(per))
    if as_json:
        said = {"as_of": iso(findings.as_of_ms), "timezone": timezone, "by": by, "per": per, "rates": lines}
        click.echo(json.dumps(said, ensure_ascii=False))
    else:
        click.echo(_told(found, lines, Per(per)))
        click.echo(f"as of {iso(findings.as_of_ms)}; written to {out}")


def write_rates(out: Path, lines: Sequence[dict[str, Any]], per: Per) -> None:
    """Write the lines of a table of rates; the same rates are the same bytes."""
    names = list(columns_of(Rates("", "", "", ""), per))
    frame = pd.DataFrame(list(lines), columns=names)
    for name in names:
        if name.endswith(("_pct", "_h")):
            frame[name] = frame[name].astype("float64")
    with files_in(out.parent, [out.name]) as scratch:
        if out.suffix == ".parquet":
            frame.to_parquet(scratch / out.name, index=False)
            return
        for name in names:
            if name.endswith(("_pct", "_h")):
                frame[name] = [_number(value, 2 if name.endswith("_pct") else 6) for value in frame[name].tolist()]
        text = frame.to_csv(index=False, lineterminator="\n")
        (scratch / out.name).write_text(text, encoding="utf-8")


def _number(value: float, decimals: int) -> str:
    return "" if value != value else f"{value:.{decimals}f}"  # noqa: PLR0124 - only NaN differs from itself


def _told(found: Sequence[Rates], lines: Sequence[dict[str, Any]], per: Per) -> str:
    """Return the table for a terminal; of a long one the end."""
    names = ["period", *SUBJECT_COLUMNS[per]]
    table = [[*names, *(title for title, _ in _SHOWN)]]
    table += [
        [*(str(line[name]) for name in names), *(_cell(line[name], name) for _, name in _SHOWN)] for line in lines
    ]
    left_out = max(0, len(found) - SHOWN_MOST)
    table = [table[0], *table[1 + left_out :]]
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    texts = [
        "  ".join(
            cell.ljust(width) if place < len(names) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
    return "\n".join([*texts[:1], *([f"… {left_out} lines before these"] if left_out else []), *texts[1:]])


def _cell(value: Any, name: str) -> str:
    if value is None:
        return "unknown"
    if name.endswith("_pct"):
        return f"{value:.2f}%"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
