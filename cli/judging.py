"""`heatwatch judge`: a readings file in, findings out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
import pandas as pd

from analytics.cluster import judge_on_dask
from analytics.evidence.supply_sources import OtherEvidence
from analytics.judge import Findings
from analytics.judge import judge as judge_readings
from cli.options import instant
from heatwatch.domain.findings import FindingKind
from heatwatch.domain.instants import iso
from heatwatch.domain.register import Register
from heatwatch.errors import BadInput
from heatwatch.files.evidence_files import read_stops, read_supply, read_weather
from heatwatch.files.findings_file import write_findings
from heatwatch.files.points_file import read_points
from heatwatch.files.readings_file import read_readings
from heatwatch.files.rules_file import default_standard, read_standard, time_zone

FILE = click.Path(path_type=Path)
LOCAL, DASK = "local", "dask"
Options = Callable[[Callable[..., Any]], Callable[..., Any]]


def evidence_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `other_evidence` reads."""
    supply: Options = click.option(
        "--supply", type=FILE, help="Supply file: what flows to stations and buildings, and comes back."
    )
    weather: Options = click.option(
        "--weather", type=FILE, help="Weather file: outdoor temperatures; they tell a mild day from a stop."
    )
    stops: Options = click.option("--stops", type=FILE, help="Stops file: stops of heat that were reported.")
    return supply(weather(stops(command)))


@click.command()
@click.argument("readings", type=FILE)
@click.option("--points", type=FILE, help="Points file; without one every point is an apartment of one building.")
@click.option("--rules", type=FILE, help="Rules file; without one the rules that come with heatwatch.")
@evidence_options
@click.option("--timezone", default="Asia/Shanghai", show_default=True, help="Zone of the local hours that rules name.")
@click.option("--as-of", help="Leave out what was measured later, and find what stands at this moment.")
@click.option("--out", type=FILE, required=True, help="Folder for the findings and summary.json.")
@click.option("--format", "kind", type=click.Choice(["csv", "parquet"]), default="csv", show_default=True)
@click.option("--engine", type=click.Choice([LOCAL, DASK]), default=LOCAL, show_default=True, help="Who judges.")
@click.option(
    "--scheduler", help="dask: a running scheduler, as tcp://host:8786; without one workers are started here."
)
@click.option("--workers", type=click.IntRange(1), help="dask: how many are started here; by default one a core.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def judge(readings: Path, out: Path, kind: str, *, as_json: bool, **options: Any) -> None:
    """Judge READINGS, a CSV (also .gz) or Parquet file with time, point_id and temperature_c."""
    if out.is_file():
        raise BadInput("is a file, not a folder", where=f"--out {out}")
    timezone, as_of = options["timezone"], options["as_of"]
    judged_by = _engine(options)
    zone = time_zone(timezone)
    standard = read_standard(options["rules"]) if options["rules"] else default_standard()
    as_of_ms = instant(as_of, "--as-of") if as_of is not None else None
    register = read_points(options["points"]) if options["points"] else None
    other = other_evidence(options, register)
    findings = judged_by(read_readings(readings, whole=True), register, standard, zone, as_of_ms, other)
    summary = {"as_of": iso(findings.as_of_ms), "timezone": timezone, **findings.summary}
    write_findings(out, findings.frames, summary, parquet=kind == "parquet")
    if as_json:
        click.echo(json.dumps({name: value for name, value in summary.items() if name != "points"}))
    else:
        click.echo(_told(findings, out))


def _engine(options: Mapping[str, Any]) -> Callable[..., Findings]:
    """Return who judges; Dask is looked for only where it is asked for."""
    scheduler, workers = options["scheduler"], options["workers"]
    if options["engine"] == DASK:
        if scheduler is not None and workers is not None:
            raise BadInput("a running scheduler has its own workers", where="--workers", mend="leave it out")
        return partial(judge_on_dask, scheduler=scheduler, workers=workers)
    for name in ("scheduler", "workers"):
        if options[name] is not None:
            raise BadInput("says nothing without --engine dask", where=f"--{name}", mend="leave it out")
    return judge_readings


def other_evidence(options: Mapping[str, Any], register: Register | None) -> OtherEvidence:
    """Read what else tells of the heat, as `evidence_options` name it.

    Subjects that the register does not have are named: nothing is judged by what is said of them.
    """
    supply, weather, stops = (options[name] for name in ("supply", "weather", "stops"))
    other = OtherEvidence(
        read_supply(supply) if supply else None,
        read_weather(weather) if weather else None,
        read_stops(stops) if stops else (),
    )
    _tell_unlisted(other, register or Register.implied_by(["any"]))
    return other


def _tell_unlisted(other: OtherEvidence, register: Register) -> None:
    known = {row.station_id for row in register.rows} | {row.building_id for row in register.rows}
    named = set() if other.supply is None else set(other.supply["subject_id"].cat.categories)
    named |= {stop.subject_id for stop in other.stops if stop.subject_kind in {"building", "station"}}
    if unlisted := sorted(named - known):
        click.echo(f"not in the register, and left out: {', '.join(unlisted)}", err=True)


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
