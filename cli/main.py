"""The `heatwatch` command."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from cli.audit import audit
from cli.dashboards import dashboards
from cli.judging import judge
from cli.records import points, quarantine
from cli.running import demo, serve
from cli.simulating import replay
from cli.users import users
from heatwatch import __version__
from heatwatch.errors import BadInput, HeatwatchError

BAD_INPUT, FAILURE = 2, 1


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="heatwatch")
def heatwatch() -> None:
    """Room temperatures of district heating: from a thermometer on MQTT to a verdict, a ticket and a notice."""


for command in (demo, serve, judge, replay, points, quarantine, dashboards, audit, users):
    heatwatch.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; one clear line for what went wrong: exit code 2 for bad input, 1 for a failure."""
    try:
        code = heatwatch.main(arguments, prog_name="heatwatch", standalone_mode=False)
    except click.exceptions.Abort:
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except HeatwatchError as error:
        click.echo(f"heatwatch: {error}", err=True)
        code = BAD_INPUT if isinstance(error, BadInput) else FAILURE
    except Exception as error:
        if os.environ.get("HEATWATCH_DEBUG"):
            raise
        click.echo(f"heatwatch: failed: {error!r} (HEATWATCH_DEBUG=1 shows where)", err=True)
        code = FAILURE
    sys.exit(code if isinstance(code, int) else 0)
