"""`heatwatch judge`: a readings file in, findings out."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pandas as pd

from analytics.judge import Findings
from analytics.judge import judge as judge_readings
from cli.options import instant
from heatwatch.domain.findings import FindingKind
from heatwatch.domain.instants import iso
from heatwatch.errors import BadInput
from heatwatch.files.findings_file import write_findings
from heatwatch.files.points_file import read_points
from heatwatch.files.readings_file import read_readings
from heatwatch.files.rules_file import default_standard, read_standard, time_zone

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("readings", type=FILE)
@click.option("--points", type=FILE, help="Points file; without one every point is an apartment of one building.")
@click.option("--rules", type=FILE, help="Rules file; without one the rules that come with heatwatch.")
@click.option("--timezone", default="Asia/Shanghai", show_default=True, help="Zone of the local hours that rules name.")
@click.option("--as-of", help="Leave out what was measured later, and find what stands at this moment.")
@click.option("--out", type=FILE, required=True, help="Folder for the findings and summary.json.")
@click.option("--format", "kind", type=click.Choice(["csv", "parquet"]), default="csv", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def judge(
    readings: Path,
    points: Path | None,
    rules: Path | None,
    timezone: str,
    as_of: str | None,
    out: Path,
    kind: str,
    *,
    as_json: bool,
) -> None:
    """Judge READINGS, a CSV (also .gz) or Parquet file with time, point_id and temperature_c."""
    if out.is_file():
        raise BadInput("is a file, not a folder", where=f"--out {out}")
    zone = time_zone(timezone)
    standard = read_standard(rules) if rules else default_standard()
    as_of_ms = instant(as_of, "--as-of") if as_of is not None else None
    register = read_points(points) if points else None
    frame = read_readings(readings)
    findings = judge_readings(frame, register, standard, zone, as_of_ms)
    summary = {"as_of": iso(findings.as_of_ms), "timezone": timezone, **findings.summary}
    write_findings(out, findings.frames, summary, parquet=kind == "parquet")
    if as_json:
        click.echo(json.dumps({name: value for name, value in summary.items() if name != "points"}))
    else:
        click.echo(_told(findings, out))


def _told(findings: Findings, out: Path) -> str:
    counted = findings.summary
    rest = ("violations", "below_target", "duplicates", "conflicts", "invalid", "out_of_range", "unlisted")
    others = ", ".join(f"{counted[name]:,} {name.replace('_', ' ')}" for name in rest)
    confirmed = int(findings.cold_spells["confirmed_at"].notna().sum())
    kinds = "\n".join(f"{kind.file_stem.replace('_', ' ')}: {_open(findings.frames[kind])}" for kind in FindingKind)
    return (
        f"{counted['readings']:,} readings as of {iso(findings.as_of_ms)}: {counted['valid']:,} valid; {others}\n"
        f"{kinds}\n{confirmed:,} cold spells confirmed; written to {out}"
    )


def _open(frame: pd.DataFrame) -> str:
    return f"{len(frame):,}, {int(frame['open'].sum()):,} open"
