"""`python -m benchmarks`: a table of ratios, or the same as JSON."""

from __future__ import annotations

import json
import sys

import click

from benchmarks import clusters, influx, judging, living, outages, physics, publishing, seasons, simulating
from benchmarks.measuring import table

PARTS = {
    "publish": publishing.figures,
    "simulate": simulating.figures,
    "physics": physics.figures,
    "judge": judging.figures,
    "outages": outages.figures,
    "season": seasons.figures,
    "influx": influx.figures,
    "live": living.figures,
    "cluster": clusters.figures,
}


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice([*PARTS]))
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def main(parts: tuple[str, ...], *, as_json: bool) -> None:
    """Measure PARTS, all of them where none is named; nothing is judged as fast enough or too slow."""
    figures = []
    for part in parts or tuple(PARTS):
        click.echo(f"measuring: {part}", err=True)
        found = list(PARTS[part]())
        if not found:
            click.echo(f"{part}: left out, mosquitto is not installed", err=True)
        figures += found
    click.echo(json.dumps([one.as_dict() for one in figures], indent=2) if as_json else table(figures))


if __name__ == "__main__":
    sys.exit(main())
