"""`heatwatch rehearse`: what live heatwatch would have found, opened and published, and when."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pandas as pd

from cli.options import instant
from cli.rehearsal import (
    AS_ARRIVED,
    AS_MEASURED,
    Material,
    Rehearsed,
    Run,
    StoreMaterial,
    TownMaterial,
    file_material,
    private_settings,
    refuse_times,
    run_through,
    store_material,
    usual_step_ms,
)
from cli.running import stopping_on_signals
from cli.scoring import Outcome as Scores
from cli.scoring import score_folders, table, told_unmet, unmet
from cli.scoring import told as told_scores
from cli.simulated_files import GIVEN_WEATHER, Span, write_town
from cli.simulating import span_ms, speed_of
from heatwatch.domain.comparing import Compared, compare, same
from heatwatch.domain.instants import DAY_MS, MINUTE_MS, SECOND_MS, iso
from heatwatch.errors import BadInput
from heatwatch.files.findings_file import SUMMARY
from heatwatch.files.outcome_files import COMPARISON, Outcome, read_outcome, write_comparison, write_outcome
from heatwatch.files.rules_file import default_standard, read_standard, time_zone
from simulators.publishing.publisher import Progress
from simulators.scenarios.files import Scenario, load_scenario

FILE = click.Path(path_type=Path)
STORE = "store:"
READINGS = (".csv", ".csv.gz", ".parquet")
REALLY, TRUTH = "really", "truth"
TIMEZONE = "Asia/Shanghai"
STEP_MOST_MS = DAY_MS
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class _Play:
    """What is rehearsed, with what belongs to it: the scenario that it was made of, or the rules that held."""

    material: Material
    scenario: Scenario | None = None
    rules: tuple[str, str] | None = None


@click.command()
@click.argument("source", required=False)
@click.option("--out", type=FILE, help="Folder for what comes of it.")
@click.option("--points", type=FILE, help="Points file of a readings file.")
@click.option("--from", "start", help="store: the beginning of the span.")
@click.option("--to", "end", help="store: its end.")
@click.option("--seed", type=int, help="scenario: another seed than its own.")
@click.option("--rooms", type=click.IntRange(1), help="scenario: another size than its own.")
@click.option("--arrivals", type=click.Choice([AS_ARRIVED, AS_MEASURED]), help="When rows come (docs/rehearsing.md).")
@click.option("--speed", default="max", show_default=True, help="Simulated seconds a second, or max.")
@click.option("--step", help="How far the clock moves at once; by default 1min, more for what lasts over a week.")
@click.option("--broker", help="mqtt://host:port of a broker that nobody else uses; by default an embedded one.")
@click.option("--rules", type=FILE, help="Rules file; by default those of the store, or of heatwatch.")
@click.option("--timezone", help="Zone of the local hours that rules name.")
@click.option("--data-dir", type=FILE, help="Keep the records and readings of the rehearsal in this empty folder.")
@click.option("--compare", "folders", type=FILE, nargs=2, metavar="A B", help="Only compare what two folders hold.")
@click.option("--json", "as_json", is_flag=True, help="Print what came of it as JSON.")
def rehearse(
    source: str | None, out: Path | None, folders: tuple[Path, Path] | None, *, as_json: bool, **options: Any
) -> int:
    """Run SOURCE through the whole live pipeline, and write what it finds, opens and publishes.

    SOURCE is a readings file, a scenario, or store:DIR for what an installation stored.
    """
    if folders:
        return _compare(folders, out, as_json=as_json)
    if source is None or out is None:
        raise BadInput("needs a SOURCE and --out DIR, or --compare A B", where="rehearse")
    if out.is_file():
        raise BadInput("is a file, not a folder", where=f"--out {out}")
    if options["rules"] is not None:
        read_standard(options["rules"])
    time_zone(options["timezone"] or TIMEZONE)
    with _opened(source, options) as play:
        refuse_times(play.material)
        run_ms = _step_ms(options["step"], play.material)
        began_s = time.monotonic()
        rehearsed = _rehearsed(play, run_ms, options)
        summary = _summary(play.material.name, rehearsed, run_ms, options)
        _forget_earlier(out)
        write_outcome(out, rehearsed.outcome, summary)
        facts, lines = {**summary, "seconds": round(time.monotonic() - began_s, 1)}, _table(rehearsed.outcome)
        failed: list[str] = []
        if play.scenario is not None:
            scores, failed = _scored(play.scenario, out, options)
            facts |= {"scores": scores.told(), "unmet": failed}
            lines += ["", told_scores(scores), *told_unmet(failed)]
        if isinstance(play.material, StoreMaterial):
            compared = _beside_what_was(play.material, out, options)
            facts |= {"compared": _counts(compared)}
            lines += ["", "rehearsed (first), and what there was (second):", *_differences(compared)]
    click.echo(json.dumps(facts, ensure_ascii=False) if as_json else "\n".join([_head(facts, rehearsed), *lines]))
    return 1 if failed else 0


def _forget_earlier(out: Path) -> None:
    """Remove what an earlier rehearsal wrote beside its tables: it is not true of this one."""
    try:
        earlier = json.loads((out / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if not (isinstance(earlier, dict) and {"source", "delivery"} <= earlier.keys()):
        return
    for name in (TRUTH, REALLY):
        shutil.rmtree(out / name, ignore_errors=True)
    (out / COMPARISON).unlink(missing_ok=True)


# --- what is rehearsed


@contextmanager
def _opened(source: str, options: Mapping[str, Any]) -> Iterator[_Play]:
    if source.startswith(STORE):
        _refuse(options, STORE, "points", "seed", "rooms")
        with store_material(Path(source.removeprefix(STORE)), *_span(options), options["arrivals"]) as material:
            yield _Play(material, rules=material.rules)
    elif source.lower().endswith(READINGS):
        _refuse(options, "a readings file", "start", "end", "seed", "rooms")
        yield _Play(file_material(Path(source), options["points"], options["arrivals"]))
    else:
        _refuse(options, "a scenario", "start", "end", "points", "arrivals")
        yield _scenario(source, options)


def _refuse(options: Mapping[str, Any], what: str, *names: str) -> None:
    flags = {"start": "from", "end": "to"}
    for name in names:
        if options[name] is not None:
            raise BadInput(f"says nothing of {what}", where=f"--{flags.get(name, name)}", mend="leave it out")


def _span(options: Mapping[str, Any]) -> tuple[int, int]:
    if options["start"] is None or options["end"] is None:
        raise BadInput("which span?", where=STORE, mend="give --from and --to")
    return instant(options["start"], "--from"), instant(options["end"], "--to")


def _scenario(source: str, options: Mapping[str, Any]) -> _Play:
    scenario = load_scenario(source).changed(seed=options["seed"], rooms=options["rooms"])
    return _Play(TownMaterial(scenario.name, scenario.town(), (scenario.start_ms, scenario.end_ms)), scenario)


def _step_ms(text: str | None, material: Material) -> int:
    if text is not None:
        step_ms = span_ms(text, "--step")
        if step_ms > STEP_MOST_MS:
            raise BadInput(f"{text!r} is more than a day", where="--step", mend="a clock takes smaller steps")
        return step_ms
    step_ms = usual_step_ms(material)
    if step_ms != MINUTE_MS:
        click.echo(f"it lasts long: the clock moves by {step_ms // MINUTE_MS} min at once (--step)", err=True)
    return step_ms


# --- running it


def _rehearsed(play: _Play, step_ms: int, options: Mapping[str, Any]) -> Rehearsed:
    stop, speed = threading.Event(), speed_of(options["speed"])
    with ExitStack() as stack:
        flags = {"rules": options["rules"], "timezone": options["timezone"]}
        settings = stack.enter_context(
            private_settings(options["data_dir"], options["broker"], rules_text=play.rules, **flags)
        )
        stack.enter_context(stopping_on_signals(stop))
        return run_through(play.material, Run(step_ms, speed, settings), stop, stack.enter_context(_bar(play.material)))


@contextmanager
def _bar(material: Material) -> Iterator[Callable[[Progress], None]]:
    """Show how far the clock has come, in minutes."""
    first_ms, last_ms = material.span_ms
    with click.progressbar(length=max((last_ms - first_ms) // MINUTE_MS, 1), label="rehearse", file=sys.stderr) as bar:
        yield lambda done: bar.update((done.now_ms - first_ms) // MINUTE_MS - bar.pos)


def _summary(name: str, rehearsed: Rehearsed, step_ms: int, options: Mapping[str, Any]) -> dict[str, Any]:
    outcome = rehearsed.outcome
    return {
        "as_of": iso(outcome.as_of_ms),
        "source": name,
        "step_s": step_ms / SECOND_MS,
        "timezone": options["timezone"] or TIMEZONE,
        "published": {"readings": rehearsed.done.readings, "steps": rehearsed.done.steps},
        "delivery": rehearsed.delivery,
        "findings": {kind.file_stem: len(frame) for kind, frame in outcome.findings.items()},
        "tickets": {kind: len(rows) for kind, rows in _by_kind(outcome, "tickets", "opened_at").items()},
        "notices": {kind: len(rows) for kind, rows in _by_kind(outcome, "notices", "published_at").items()},
    }


def _by_kind(outcome: Outcome, table: str, done: str) -> dict[str, list[Mapping[str, str]]]:
    """Return what was done of a table by its kind, one row of each."""
    rows = {row["id"]: row for row in outcome.tables[table] if row[done]}
    kinds = sorted({row["kind"] for row in rows.values()})
    return {kind: [row for row in rows.values() if row["kind"] == kind] for kind in kinds}


def _scored(scenario: Scenario, out: Path, options: Mapping[str, Any]) -> tuple[Scores, list[str]]:
    """Write the truth of a town beside what came of it, and score one against the other."""
    standard = read_standard(options["rules"]) if options["rules"] else default_standard()
    span = Span(scenario.start_ms, scenario.end_ms, standard, time_zone(options["timezone"] or TIMEZONE))
    text = scenario.text(GIVEN_WEATHER if scenario.weather_file is not None else None)
    write_town(scenario.town(), span, out / TRUTH, text)
    scores = score_folders(out, out / TRUTH, scenario.expects.min_hours)
    return scores, unmet(scenario.expects, scores)


def _beside_what_was(material: StoreMaterial, out: Path, options: Mapping[str, Any]) -> dict[str, Compared]:
    """Write what an installation did at the time beside what came of the rehearsal, and compare the two."""
    was = material.really()
    timezone = options["timezone"] or TIMEZONE
    write_outcome(out / REALLY, was, {"as_of": iso(was.as_of_ms), "source": material.name, "timezone": timezone})
    compared = compare(read_outcome(out), read_outcome(out / REALLY))
    write_comparison(out, {name: one.told() for name, one in compared.items()})
    return compared


# --- telling it


def _head(facts: Mapping[str, Any], rehearsed: Rehearsed) -> str:
    done = rehearsed.done
    return (
        f"{facts['source']}: {done.readings:,} readings in {done.steps:,} steps of {facts['step_s']:g} s "
        f"up to {facts['as_of']}, in {facts['seconds']:g} s"
    )


def _table(outcome: Outcome) -> list[str]:
    """Return what came of it: how many of each kind, and when the first."""
    rows: list[tuple[str, ...]] = []
    for kind, frame in outcome.findings.items():
        first = (_first(frame["start"]), _first(frame["issued"]))
        rows.append((kind.file_stem.replace("_", " "), f"{len(frame):,}", f"{int(frame['open'].sum()):,}", *first))
    for name, done in (("tickets", "opened_at"), ("notices", "published_at")):
        for what, some in _by_kind(outcome, name, done).items():
            began, known = (min(row[column] for row in some) for column in ("cause_start", done))
            rows.append((f"{name}: {what.replace('_', ' ')}", f"{len(some):,}", "", began, known))
    overdue = [row["overdue"] for row in outcome.tables["clocks"] if row["overdue"]]
    rows.append(("clocks overdue", f"{len(overdue):,}", "", "", min(overdue, default="")))
    return [table(("", "count", "open", "first began", "first known"), rows)]


def _first(column: pd.Series[Any]) -> str:
    return "" if column.dropna().empty else iso(round(column.min().timestamp() * SECOND_MS))


# --- comparing


def _compare(folders: tuple[Path, Path], out: Path | None, *, as_json: bool) -> int:
    first, second = folders
    compared = compare(read_outcome(first), read_outcome(second))
    facts = {name: one.told() for name, one in compared.items()}
    if out is not None:
        write_comparison(out, facts)
    lines = [f"{first} (first), {second} (second):", *_differences(compared)]
    click.echo(json.dumps(facts, ensure_ascii=False) if as_json else "\n".join(lines))
    return 0 if same(compared) else 1


def _counts(compared: Mapping[str, Compared]) -> dict[str, dict[str, int]]:
    return {
        name: {
            "equal": one.equal,
            "different": len(one.different),
            "only_first": len(one.only_first),
            "only_second": len(one.only_second),
        }
        for name, one in compared.items()
    }


def _differences(compared: Mapping[str, Compared]) -> list[str]:
    head = ("", "equal", "different", "only first", "only second")
    rows = [(name.replace("_", " "), *map(str, said.values())) for name, said in _counts(compared).items()]
    said = [line for name, one in compared.items() for line in _said(name, one)]
    more = [f"... and {len(said) - _SHOWN:,} more"] if len(said) > _SHOWN else []
    return [table(head, rows), *said[:_SHOWN], *more]


def _said(name: str, one: Compared) -> Sequence[str]:
    different = [
        f"{name} {' '.join(each.key)}: {column} {first or 'none'} / {second or 'none'}"
        for each in one.different
        for column, (first, second) in each.columns.items()
    ]
    first = [f"{name} {' '.join(key)}: only first" for key in one.only_first]
    return [*different, *first, *(f"{name} {' '.join(key)}: only second" for key in one.only_second)]
