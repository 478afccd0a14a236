"""`heatwatch doctor`: look at everything that can go wrong, and say what to do about it. It changes nothing."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import click

from cli.doctoring.checks import CHECKS, Check, examine
from cli.doctoring.patient import Patient
from cli.doctoring.said import Said, Verdict
from cli.doctoring.settings import look
from cli.opening import wall_clock
from heatwatch.errors import BadInput

FAILURE = 1
FILE = click.Path(path_type=Path)
_COLOURS = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.BAD: "red", Verdict.SKIP: "bright_black"}


@click.command()
@click.option("--mosquitto-conf", type=FILE, help="Also judge this configuration of mosquitto.")
@click.option("--deep", is_flag=True, help="Also read the whole journal, audit trail and SQLite file: takes long.")
@click.option("--only", multiple=True, help="Only this check; may be given again.")
@click.option("--file", type=FILE, help="The file of settings, in place of heatwatch.toml.")
@click.option("--data-dir", type=FILE, help="Folder of the journal, store and records.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def doctor(
    context: click.Context,
    mosquitto_conf: Path | None,
    only: tuple[str, ...],
    file: Path | None,
    data_dir: Path | None,
    *,
    deep: bool,
    as_json: bool,
) -> None:
    """Say of everything in one line: ok, warn or bad, what was seen, and what to do; exit code 1 where one is bad.

    Nothing is changed. It works while `serve` runs and while it does not; best on the machine and as the user of
    `serve`.
    """
    checks = [check for check in CHECKS if not only or check.name in only]
    unknown = sorted(set(only) - {check.name for check in checks})
    if unknown:
        raise BadInput(f"{unknown[0]!r} is no check", where="--only", mend=", ".join(check.name for check in CHECKS))
    patient = Patient(look(file, os.environ, data_dir=data_dir), wall_clock, deep, mosquitto_conf)
    told: list[tuple[Check, Said]] = []
    try:
        for check, said in examine(patient, checks):
            told += [(check, one) for one in said]
            if not as_json:
                for one in said:
                    click.echo(_line(check, one))
    finally:
        patient.close()
    counts = Counter(one.verdict for _, one in told)
    click.echo(_as_json(told) if as_json else ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict))
    if counts[Verdict.BAD]:
        context.exit(FAILURE)


def _line(check: Check, said: Said) -> str:
    verdict = click.style(
        f"{said.verdict.upper() if said.verdict is Verdict.BAD else said.verdict:<4}", _COLOURS[said.verdict]
    )
    return f"{verdict}  {check.name}: {said.what}{f' → {said.do}' if said.do else ''}"


def _as_json(told: list[tuple[Check, Said]]) -> str:
    checks = [{"check": check.name, **asdict(said)} for check, said in told]
    return json.dumps(
        {"ok": all(said.verdict is not Verdict.BAD for _, said in told), "checks": checks}, ensure_ascii=False
    )
