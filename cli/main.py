"""The `heatwatch` command."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module

import click

from heatwatch import __version__
from heatwatch.errors import BadInput, HeatwatchError

BAD_INPUT, FAILURE = 2, 1
COMMANDS = {
    "audit": ("cli.audit", "Look at the audit trail (R8): who changed what and when, and whether it is whole."),
    "backup": ("cli.backing_up", "Back up records, readings, journals and settings, also while `serve` runs."),
    "compliance": ("cli.compliance", "Say what share of readings, hours and rooms meets the rules (室温合格率)."),
    "dashboards": ("cli.dashboards", "Make Grafana's data source, boards and alerts, and bring them in."),
    "demo": ("cli.running", "Run a simulated town with everything embedded."),
    "doctor": ("cli.doctor", "Look at everything that can go wrong, and say what to do about it."),
    "health": ("cli.health", "Ask the `serve` of these settings whether it can do its work."),
    "judge": ("cli.judging", "Judge a file of readings: findings and a summary."),
    "points": ("cli.records", "Keep the register of test points (R6)."),
    "quarantine": ("cli.records", "Look at what could not be used: it is kept whole, with the reason."),
    "readings": ("cli.records", "Look at what was stored and not judged, since it came too late."),
    "rehearse": ("cli.rehearsing", "Run a file, a scenario or a span of the store through the whole live pipeline."),
    "replay": ("cli.simulating", "Publish readings in time order, moving the clock of a `serve --clock replay`."),
    "restore": ("cli.backing_up", "Put a backup in an empty place, and prove that it is what was there."),
    "rules": ("cli.rules", "Look at what other rules would alter."),
    "score": ("cli.scoring", "Compare findings with the truth of a simulated town: precision, recall, errors, delay."),
    "secrets": ("cli.secrets", "Make the secrets of an installation: passwords, tokens, accounts, certificates."),
    "serve": ("cli.running", "Run ingest, analytics, dispatch and the API: in one process, or a role each."),
    "setup": ("cli.setting_up", "Prepare records and InfluxDB: bucket, retention, an account for each part."),
    "settings": ("cli.settings_check", "Name every mistake in the settings at once, and where each was set."),
    "simulate": ("cli.simulating", "Make a town with known truth: files, or readings on a broker."),
    "stops": ("cli.stops", "Keep the stops of heat that were reported (R11, R12, R32)."),
    "users": ("cli.users", "Say who may sign in, as what, and for which stations."),
}
"""Each command's module, in which it has its own name, and what it does."""


class Commands(click.Group):
    """Loads a command when it is asked for: what they all need takes two seconds, which help need not wait for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the framework's signature
        """Return the names of the commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Load a command; None where there is no such one."""
        if cmd_name not in COMMANDS:
            return None
        with _uncollected():
            command: click.Command = getattr(import_module(COMMANDS[cmd_name][0]), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each command does, without loading it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


@contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no garbage while modules load: what they make stays, and the looking costs a fifth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="heatwatch")
def heatwatch() -> None:
    """Room temperatures of district heating: from a thermometer on MQTT to a verdict, a ticket and a notice."""


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
