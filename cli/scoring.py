"""`heatwatch score`: how well what was found agrees with what is true of a simulated town."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import click
import pandas as pd

from cli.options import instant
from cli.score_files import Scored, read_deeds, read_scored
from heatwatch.domain.findings import FindingKind
from heatwatch.domain.instants import HOUR_MS, MINUTE_MS, iso
from heatwatch.domain.tickets import TicketKind
from heatwatch.drawing import write
from heatwatch.errors import BadInput
from heatwatch.files.rules_file import default_standard, time_zone
from simulators.scenarios.files import load_scenario
from simulators.scoring.agreement import Agreement, Scoring, Spread, agreement
from simulators.scoring.expectations import Expectations
from simulators.scoring.matching import Least
from simulators.scoring.promptness import Promptness, answers, true_findings
from simulators.scoring.timeline_plot import Language, timeline_spec

FILE = click.Path(path_type=Path)
NONE = "none"
_STEMS = {kind.file_stem: kind for kind in FindingKind}
_MOST_SUBJECTS = 200
_MINUTES_PER_HOUR = HOUR_MS // MINUTE_MS


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that is told: the agreement of each kind, what came of it, and over how much it was counted.

    `counts` are how many tickets were opened, or notices published, by kind, where the folder tells.
    """

    scored: Scored
    agreements: Mapping[FindingKind, Agreement]
    answered: Mapping[str, Promptness]
    counts: Mapping[str, Mapping[str, int]]
    building_months: float | None

    def told(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "as_of": iso(self.scored.as_of_ms),
            "building_months": self.building_months,
            "kinds": {kind.file_stem: one.told(self.building_months) for kind, one in self.agreements.items()},
            "not_scored": {kind.file_stem: why for kind, why in self.scored.missing.items()},
            **{name: one.told() for name, one in self.answered.items()},
        }


@click.command()
@click.argument("found_dir", type=FILE)
@click.argument("truth_dir", type=FILE)
@click.option("--min-hours", multiple=True, help="Demand only what lasts so long: 8, or for one kind heat_outages=8.")
@click.option("--min-overlap", type=float, default=0.0, show_default=True, help="The same must overlap so long [h].")
@click.option("--min-share", type=float, default=0.0, show_default=True, help="... and be this share of both together.")
@click.option("--as-of", help="Where open findings end; by default what summary.json says, else the last reading.")
@click.option("--building-months", type=float, help="Over how much was counted; by default points times readings.")
@click.option("--notice-hours", type=float, help="A stop so long asks for a notice; by default as in the rules (R12).")
@click.option("--plot", type=FILE, help="Draw truth above findings: a file that ends in .svg or .png.")
@click.option("--subjects", type=int, default=20, show_default=True, help="How many subjects are drawn, the worst.")
@click.option("--timezone", default="Asia/Shanghai", show_default=True, help="Zone of the plot's axis.")
@click.option("--language", type=click.Choice(get_args(Language)), default="en", show_default=True, help="Of the plot.")
@click.option("--expect", metavar="SCENARIO", help="Check what a scenario expects; exit code 1 where it does not hold.")
@click.option("--json", "as_json", is_flag=True, help="Print the scores as JSON.")
def score(
    found_dir: Path, truth_dir: Path, plot: Path | None, *, expect: str | None, as_json: bool, **options: Any
) -> int:
    """Compare FOUND_DIR, which `judge` wrote, with TRUTH_DIR, which has truth_cold_spells.csv and so on."""
    zone = time_zone(options["timezone"])
    _refuse_numbers(plot, options)
    expects = None if expect is None else load_scenario(expect).expects
    demanded_h = {**(expects.min_hours if expects else {}), **demanded_hours(options["min_hours"])}
    as_of_ms = instant(options["as_of"], "--as-of") if options["as_of"] is not None else None
    scored = read_scored(found_dir, truth_dir, as_of_ms)
    least = Least(options["min_overlap"], options["min_share"])
    outcome = _outcome(scored, Scoring(scored.as_of_ms, least, demanded_h), found_dir, options)
    if plot:
        spec = timeline_spec(
            outcome.agreements, scored.as_of_ms, zone, language=options["language"], most=options["subjects"]
        )
        _write(spec, plot)
    failed = [] if expects is None else unmet(expects, outcome)
    if as_json:
        checked = {} if expects is None else {"unmet": failed}
        click.echo(json.dumps({**outcome.told(), **checked}, ensure_ascii=False))
    else:
        click.echo("\n".join([told(outcome), *(told_unmet(failed) if expects else ())]))
    return 1 if failed else 0


def score_folders(found_dir: Path, truth_dir: Path, demanded_h: Mapping[FindingKind, float]) -> Outcome:
    """Score a folder of findings against one of truth, with what `heatwatch score` takes by default.

    Raises
    ------
    BadInput
        If a file cannot be used.
    """
    scored = read_scored(found_dir, truth_dir)
    options = {"building_months": None, "notice_hours": None}
    return _outcome(scored, Scoring(scored.as_of_ms, Least(0.0, 0.0), demanded_h), found_dir, options)


def unmet(expects: Expectations, outcome: Outcome) -> list[str]:
    """Return what does not hold of what a scenario expects, in plain sentences."""
    return expects.check(outcome.told(), outcome.counts.get("tickets"), outcome.counts.get("notices"))


def told_unmet(failed: Sequence[str]) -> list[str]:
    """Return lines that say whether all is as expected."""
    return ["", "not as expected:", *(f"  {one}" for one in failed)] if failed else ["", "all as expected"]


def _counts(deeds: pd.DataFrame) -> dict[str, int]:
    """Return how many tickets were opened, or notices published, by kind."""
    counted = deeds[deeds["done"].notna()].drop_duplicates("id")["kind"].value_counts()
    return {str(kind): int(count) for kind, count in counted.items()}


def demanded_hours(texts: Sequence[str]) -> dict[FindingKind, float]:
    """Read how long findings must last to be demanded [h]: ``8`` for every kind, ``heat_outages=8`` for one.

    Raises
    ------
    BadInput
        If a number or a kind cannot be read.
    """
    hours: dict[FindingKind, float] = {}
    for text in sorted(texts, key=lambda one: "=" in one):
        stem, _, number = text.rpartition("=")
        if stem and stem not in _STEMS:
            raise BadInput(f"{stem!r} is no kind", where="--min-hours", mend=f"one of {', '.join(_STEMS)}")
        try:
            least_h = float(number)
        except ValueError:
            least_h = -1.0
        if not 0 <= least_h < float("inf"):
            raise BadInput(f"{number!r} is no number of hours", where="--min-hours", mend="write 8 or heat_outages=8")
        hours |= dict.fromkeys([_STEMS[stem]] if stem else FindingKind, least_h)
    return hours


def _refuse_numbers(plot: Path | None, options: Mapping[str, Any]) -> None:
    """Refuse options that make no sense, before anything is read."""
    if plot and plot.suffix.lower() not in (".svg", ".png"):
        raise BadInput(f"{plot.name} is neither .svg nor .png", where="--plot")
    if not 1 <= options["subjects"] <= _MOST_SUBJECTS:
        raise BadInput("cannot be drawn", where=f"--subjects {options['subjects']}", mend=f"from 1 to {_MOST_SUBJECTS}")
    if not 0 <= options["min_share"] <= 1:
        raise BadInput("is no share", where=f"--min-share {options['min_share']:g}", mend="from 0 to 1")
    for name in ("min_overlap", "building_months", "notice_hours"):
        if options[name] is not None and not 0 <= options[name] < float("inf"):
            raise BadInput("is no amount", where=f"--{name.replace('_', '-')} {options[name]:g}", mend="0 or more")


def _outcome(scored: Scored, scoring: Scoring, folder: Path, options: Mapping[str, Any]) -> Outcome:
    agreements = {kind: agreement(kind, scored.found[kind], scored.truth[kind], scoring) for kind in scored.found}
    answered, counts = {}, {}
    true = true_findings(agreements, scored.truth)
    for name, done in (("tickets", "opened_at"), ("notices", "published_at")):
        deeds = read_deeds(folder, name, done)
        if deeds is not None:
            counts[name] = _counts(deeds)
            within_h = _notice_hours(options) if name == "notices" else None
            answered[name] = answers(deeds, true, scored.places, scored.truth.keys(), within_h=within_h)
    months = options["building_months"]
    if months is None and scored.months and len(scored.places):
        months = scored.months * scored.places["building_id"].nunique()
    return Outcome(scored, agreements, answered, counts, months)


def _notice_hours(options: Mapping[str, Any]) -> float:
    """Return how long a stop must last to ask for a notice: as told, else as the newest rules say (R12) [h]."""
    if options["notice_hours"] is not None:
        return float(options["notice_hours"])
    clocks = default_standard().versions[-1].clocks[TicketKind.HEAT_OUTAGE]
    return next(clock.within_min for clock in clocks if clock.step == "notice") / _MINUTES_PER_HOUR


def _write(spec: dict[str, Any], plot: Path) -> None:
    try:
        write(spec, plot)
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror or error}", where=f"--plot {plot}") from error


def told(outcome: Outcome) -> str:
    """Return the scores as tables for a terminal."""
    rates = [_rates(kind, one, outcome.building_months) for kind, one in outcome.agreements.items()]
    errors = [_errors(kind, one) for kind, one in outcome.agreements.items()]
    parts = [_counted_over(outcome), table(_RATES, rates), table(_ERRORS, errors)]
    if outcome.answered:
        parts.append(table(_ANSWERS, [_answers(name, one) for name, one in outcome.answered.items()]))
    parts += [f"{_name(kind)}: not scored, {why}" for kind, why in outcome.scored.missing.items()]
    left = {kind: one.found.later + one.truth.later for kind, one in outcome.agreements.items()}
    parts += [f"{_name(kind)}: {count:,} begin after as_of and are left out" for kind, count in left.items() if count]
    return "\n".join(parts)


_RATES = (
    "",
    "true",
    "found",
    "missed",
    "false",
    "precision",
    "recall",
    "precision, h",
    "recall, h",
    "false/building-month",
)
_ERRORS = ("hours: median / 90 % / mean", "start error", "end error", "delay until found")
_ANSWERS = ("", "asked for", "answered", "in time", "issued", "false", "further", "delay, hours")


def _counted_over(outcome: Outcome) -> str:
    months = outcome.building_months
    over = f"over {months:,.2f} building-months" if months else "building-months unknown (needs points and readings)"
    return f"as of {iso(outcome.scored.as_of_ms)}, {over}"


def _rates(kind: FindingKind, one: Agreement, months: float | None) -> list[str]:
    missed, false = one.truth.count - one.truth.hits, one.false_alarms
    rates = (one.precision, one.recall, one.found.rate_by_time, one.truth.rate_by_time)
    counts = [f"{count:,}" if count else NONE for count in (one.truth.count, one.found.count)]
    per_month = f"{false / months:.3f}" if months else "unknown"
    return [_name(kind), *counts, f"{missed:,}", f"{false:,}", *map(_share, rates), per_month]


def _errors(kind: FindingKind, one: Agreement) -> list[str]:
    return [_name(kind), *map(_spread, (one.start, one.end, one.delay))]


def _answers(name: str, one: Promptness) -> list[str]:
    in_time = f"{one.on_time:,} of {one.judged:,}" if one.judged else NONE
    counts = [f"{count:,}" for count in (one.issued, one.false, one.further)]
    return [
        name,
        f"{one.demanded:,}" if one.demanded else NONE,
        f"{one.answered:,}",
        in_time,
        *counts,
        _spread(one.delay),
    ]


def _share(rate: float | None) -> str:
    return NONE if rate is None else f"{rate:.1%}"


def _spread(spread: Spread | None) -> str:
    return f"{spread.median_h:.2f} / {spread.p90_h:.2f} / {spread.mean_h:+.2f}" if spread else NONE


def _name(kind: FindingKind) -> str:
    return kind.file_stem.replace("_", " ")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with its columns below one another: names to the left, the rest to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = []
    for row in (head, *rows):
        first, *rest = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join([first.strip().ljust(widths[0]), *rest]))
    return "\n" + "\n".join(lines)
