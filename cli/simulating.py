"""`heatwatch replay`: what was measured once, published again in its own clock."""

from __future__ import annotations

import json
import re
import secrets
import sys
from pathlib import Path

import click
import numpy as np

from heatwatch.broker import read_address
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, iso
from heatwatch.errors import BadInput
from heatwatch.files.points_file import read_points
from heatwatch.files.readings_file import read_readings
from simulators.publisher import Progress, SteppedPublisher
from simulators.replay import replay as publish

FILE = click.Path(path_type=Path)
STEP_MOST_MS = DAY_MS
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


def _step_ms(text: str) -> int:
    step_ms = span_ms(text, "--step")
    if step_ms > STEP_MOST_MS:
        raise BadInput(f"{text!r} is more than a day", where="--step", mend="a clock takes smaller steps")
    return step_ms


@click.command()
@click.argument("readings", type=FILE)
@click.option("--points", type=FILE, help="Points file: station and building of the topics.")
@click.option("--to", "broker", required=True, help="The broker, mqtt://[name@]host[:port], or mqtts:// with TLS.")
@click.option("--password-file", type=FILE, help="File with the password of the address's user on one line.")
@click.option("--ca-file", type=FILE, help="Authorities that sign the broker's certificate, if not the system's.")
@click.option("--cert", "cert_file", type=FILE, help="Own certificate, for a broker that asks for one.")
@click.option("--key", "key_file", type=FILE, help="Its key, where it is not in the same file.")
@click.option("--connections", default="1", show_default=True, help="How many; `each`: one for each test point.")
@click.option("--speed", default="max", show_default=True, help="Simulated seconds a second, or max.")
@click.option("--step", default="1min", show_default=True, help="How far the clock moves at once.")
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
    step_ms, pace = _step_ms(step), speed_of(speed)
    lines = connections_of(connections)
    register = read_points(points) if points else None
    frame = read_readings(readings)
    frame["time_ms"] = frame["time"].to_numpy(dtype="datetime64[ms]").view(np.int64)
    publisher = SteppedPublisher(
        address.host,
        address.port,
        run=secrets.token_hex(8),
        speed=pace,
        step_ms=step_ms,
        connections=frame["point_id"].nunique() if lines is None else lines,
        access=address.access,
    )
    with publisher, click.progressbar(length=len(frame), label="replay", file=sys.stderr) as bar:

        def show(done: Progress) -> None:
            bar.update(done.readings - bar.pos)

        done = publish(frame, register.rows if register else None, publisher, progress=show)
    if as_json:
        click.echo(json.dumps({"readings": done.readings, "messages": done.messages, "now": iso(done.now_ms)}))
    else:
        click.echo(f"{done.readings:,} readings published in {done.steps:,} steps, up to {iso(done.now_ms)}")
