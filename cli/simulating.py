"""`heatwatch replay` publishes what was measured once; `heatwatch simulate` makes a town that measures."""

from __future__ import annotations

import json
import re
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np

from cli.options import instant
from heatwatch.broker import Address, read_address
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, iso
from heatwatch.errors import BadInput
from heatwatch.files.points_file import read_points
from heatwatch.files.readings_file import read_readings
from heatwatch.files.rules_file import default_standard, read_standard, time_zone
from simulators.publishing.publisher import Progress, SteppedPublisher
from simulators.publishing.replay import replay as publish
from simulators.publishing.replay import simulate as publish_town
from simulators.scenarios.files import Scenario, library, load_scenario
from simulators.scenarios.models import span_of

FILE = click.Path(path_type=Path)
STEP_MOST_MS = DAY_MS
DAYS_MOST = 3_660
_LONGEST_TEXT = 12
_UNITS = {"s": SECOND_MS, "min": MINUTE_MS, "h": HOUR_MS, "": SECOND_MS}


def span_ms(text: str, where: str) -> int:
    """Read a span of time such as ``90s``, ``1min`` or ``2h`` as milliseconds.

    Raises
    ------
    BadInput
        If it is none, or not above 0.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h|)", text.strip())
    length_ms = round(float(found[1]) * _UNITS[found[2]]) if found and len(text) <= _LONGEST_TEXT else 0
    if length_ms <= 0:
        raise BadInput(f"{text!r} is no span of time", where=where, mend="write 90s, 1min or 2h")
    return length_ms


def speed_of(text: str) -> float | None:
    """Read a speed: simulated seconds a second, None for `max`.

    Raises
    ------
    BadInput
        If it is none.
    """
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not speed > 0:
        raise BadInput(f"{text!r} is no speed", where="--speed", mend="write a number above 0, or max")
    return speed


def connections_of(text: str) -> int | None:
    """Read a number of connections: None for one each.

    Raises
    ------
    BadInput
        If it is none.
    """
    if text == "each":
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < _LONGEST_TEXT and int(text)):
        raise BadInput(
            f"{text!r} is no number of connections", where="--connections", mend="write a number above 0, or each"
        )
    return int(text)


def step_of(text: str) -> int:
    """Read a step of the clock [ms].

    Raises
    ------
    BadInput
        If it is none, or more than a day.
    """
    step_ms = span_ms(text, "--step")
    if step_ms > STEP_MOST_MS:
        raise BadInput(f"{text!r} is more than a day", where="--step", mend="a clock takes smaller steps")
    return step_ms


def _broker_options(required: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # noqa: FBT001 - read once
    """Return what adds the options of a broker to publish to."""
    options = (
        click.option("--to", "broker", required=required, help="The broker, mqtt://[name@]host[:port], or mqtts://."),
        click.option("--password-file", type=FILE, help="File with the password of the address's user on one line."),
        click.option(
            "--ca-file", type=FILE, help="Authorities that sign the broker's certificate, if not the system's."
        ),
        click.option("--cert", "cert_file", type=FILE, help="Own certificate, for a broker that asks for one."),
        click.option("--key", "key_file", type=FILE, help="Its key, where it is not in the same file."),
        click.option("--connections", default="1", show_default=True, help="How many; `each`: one a test point."),
        click.option("--step", default="1min", show_default=True, help="How far the clock moves at once."),
    )

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def _publisher(
    address: Address, *, connections: int, pace: float | None, step_ms: int, clock: bool = True
) -> SteppedPublisher:
    return SteppedPublisher(
        address.host,
        address.port,
        run=secrets.token_hex(8),
        speed=pace,
        step_ms=step_ms,
        clock=clock,
        connections=connections,
        access=address.access,
    )


@click.command()
@click.argument("readings", type=FILE)
@click.option("--points", type=FILE, help="Points file: station and building of the topics.")
@_broker_options(required=True)
@click.option("--speed", default="max", show_default=True, help="Simulated seconds a second, or max.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def replay(
    readings: Path,
    points: Path | None,
    broker: str,
    connections: str,
    speed: str,
    step: str,
    *,
    as_json: bool,
    **files: Path | None,
) -> None:
    """Publish READINGS in time order, moving the clock of a `serve --clock replay` step by step."""
    address = read_address(broker, "--to", "", **files)
    step_ms, pace = step_of(step), speed_of(speed)
    lines = connections_of(connections)
    register = read_points(points) if points else None
    frame = read_readings(readings)
    frame["time_ms"] = frame["time"].to_numpy(dtype="datetime64[ms]").view(np.int64)
    count = frame["point_id"].nunique() if lines is None else lines
    publisher = _publisher(address, connections=count, pace=pace, step_ms=step_ms)
    with publisher, _bar("replay", len(frame)) as show:
        done = publish(
            frame, register.rows if register else None, publisher, progress=lambda reached: show(reached.readings)
        )
    _tell(done, as_json=as_json)


@click.command()
@click.argument("scenario", required=False)
@click.option("--list", "listed", is_flag=True, help="List the scenarios that come with heatwatch.")
@click.option("--out", type=FILE, help="Folder for readings, points and all that is true.")
@_broker_options(required=False)
@click.option("--speed", help="Simulated seconds a second, or max; by default max, and 1 with --no-clock.")
@click.option("--clock/--no-clock", default=True, show_default=True, help="Move the clock of a `serve --clock replay`.")
@click.option("--supply/--no-supply", default=True, show_default=True, help="Publish what flows to stations, too.")
@click.option("--seed", type=int, help="Another town of the same kind.")
@click.option("--rooms", type=int, help="Another size.")
@click.option("--start", help="Another beginning: a moment, or `now`.")
@click.option("--days", type=float, help="Another length, in days.")
@click.option("--lasts", help="Another length, for example 90min or 2d 06:00.")
@click.option("--rules", type=FILE, help="Rules by which cold spells are true; by default those of heatwatch.")
@click.option("--timezone", default="Asia/Shanghai", show_default=True, help="Zone of the hours that rules name.")
@click.option("--format", "kind", type=click.Choice(["parquet", "csv"]), default="parquet", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def simulate(
    scenario: str | None, out: Path | None, broker: str | None, *, listed: bool, as_json: bool, **options: Any
) -> None:
    """Make the town of SCENARIO: a name of --list, a file, or several joined by +.

    With --out it writes files: what thermometers delivered, and what is true. With --to it publishes to a broker what
    thermometers send, never to that of a running installation.
    """
    if listed or scenario is None:
        _list(as_json=as_json)
        return
    if (out is None) == (broker is None):
        raise BadInput("say where to: --out DIR or --to mqtt://…, one of them", where="simulate")
    made = _asked_for(load_scenario(scenario), options)
    if out is not None:
        _write(made, out, options, as_json=as_json)
    else:
        _publish(made, str(broker), options, as_json=as_json)


def _list(*, as_json: bool) -> None:
    every = [load_scenario(name) for name in library()]
    if as_json:
        told = [{name: getattr(one, name) for name in ("name", "title", "title_zh", "teaches")} for one in every]
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    width = max(len(one.name) for one in every)
    click.echo("\n".join(f"{one.name.ljust(width)}  {one.title} ({one.title_zh})" for one in every))


def _asked_for(scenario: Scenario, options: Mapping[str, Any]) -> Scenario:
    """Return the scenario with what the options change."""
    start = options["start"]
    if start == "now":
        interval_ms = scenario.size.interval
        start_ms: int | None = time.time_ns() // 1_000_000 // interval_ms * interval_ms
    else:
        start_ms = None if start is None else instant(start, "--start")
    return scenario.changed(
        seed=options["seed"], rooms=options["rooms"], start_ms=start_ms, length_ms=_length_ms(options)
    )


def _length_ms(options: Mapping[str, Any]) -> int | None:
    days: float | None = options["days"]
    lasts: str | None = options["lasts"]
    if days is not None and lasts is not None:
        raise BadInput("--days and --lasts say the same", where="simulate", mend="leave one of them")
    if days is None:
        return None if lasts is None else _lasts_ms(lasts)
    if not 0 < days <= DAYS_MOST or round(days * DAY_MS) < 1:
        raise BadInput(f"{days:g} is no length", where="--days", mend=f"above 0, up to {DAYS_MOST:,}")
    return round(days * DAY_MS)


def _lasts_ms(text: str) -> int:
    """Read a length as a scenario file does."""
    try:
        length_ms = span_of(text)
    except ValueError as error:
        what, _, mend = str(error).partition("; ")
        raise BadInput(what, where="--lasts", mend=mend) from error
    if length_ms <= 0:
        raise BadInput(f"{text!r} is no time at all", where="--lasts")
    return length_ms


def _write(scenario: Scenario, out: Path, options: Mapping[str, Any], *, as_json: bool) -> None:
    """Write files; a speed, a clock and connections mean nothing for them."""
    from cli.simulated_files import (  # noqa: PLC0415 - judges, which takes a second to load: only where it is asked for
        GIVEN_WEATHER,
        Span,
        refuse_taken,
        write_town,
    )

    refuse_taken(out)
    standard = read_standard(options["rules"]) if options["rules"] else default_standard()
    zone = time_zone(options["timezone"])
    town = scenario.town()
    span = Span(scenario.start_ms, scenario.end_ms, standard, zone)
    text = scenario.text(GIVEN_WEATHER if scenario.weather_file is not None else None)
    with _ended_by_sigterm(), _bar("simulate", scenario.length_ms) as show:
        counts = write_town(
            town, span, out, text, csv=options["kind"] == "csv", show=lambda now_ms: show(now_ms - scenario.start_ms)
        )
    if as_json:
        seed = scenario.size.seed
        told = {"scenario": scenario.name, "seed": seed, "start": iso(span.start_ms), "end": iso(span.end_ms)}
        click.echo(json.dumps({**told, "out": str(out), "rows": counts}, ensure_ascii=False))
    else:
        true = ", ".join(
            f"{count:,} {name.removeprefix('truth_').replace('_', ' ')}"
            for name, count in counts.items()
            if name.startswith("truth_") and name != "truth_readings"
        )
        click.echo(f"{scenario.title}: {counts['readings']:,} readings of {town.settings.rooms:,} rooms; true: {true}")
        click.echo(f"written to {out}")


def _publish(scenario: Scenario, broker: str, options: Mapping[str, Any], *, as_json: bool) -> None:
    names = ("password_file", "ca_file", "cert_file", "key_file")
    address = read_address(broker, "--to", "", **{name: options[name] for name in names})
    clock, lines = options["clock"], connections_of(options["connections"])
    pace = speed_of(options["speed"] or ("max" if clock else "1"))
    step_ms = step_of(options["step"])
    town = scenario.town()
    count = town.settings.rooms if lines is None else lines
    publisher = _publisher(address, connections=count, pace=pace, step_ms=step_ms, clock=clock)
    with publisher, _bar("simulate", scenario.length_ms) as show:
        done = publish_town(
            town,
            publisher,
            scenario.start_ms,
            scenario.end_ms,
            supply=options["supply"],
            progress=lambda reached: show(reached.now_ms - scenario.start_ms),
        )
    _tell(done, as_json=as_json)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """End at SIGTERM as at Ctrl-C, in good order: nothing half-written stays."""

    def end(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _bar(label: str, length: int) -> Iterator[Callable[[int], None]]:
    """Show how far something is; give what is called with how far."""
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield lambda reached: bar.update(min(reached, length) - bar.pos)


def _tell(done: Progress, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"readings": done.readings, "messages": done.messages, "now": iso(done.now_ms)}))
    else:
        click.echo(f"{done.readings:,} readings published in {done.steps:,} steps, up to {iso(done.now_ms)}")
