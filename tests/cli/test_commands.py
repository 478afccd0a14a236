"""The commands: each is loaded when it is asked for, and help knows them all without loading any."""

import gc
import subprocess
import sys
from collections.abc import Sequence

import click
import pytest

from cli.main import COMMANDS, heatwatch


def heavy_modules_after(arguments: Sequence[str]) -> str:
    """Say which of the heavy libraries a run of the command has loaded."""
    code = (
        "import sys; from cli.main import heatwatch; "
        f"heatwatch.main({list(arguments)!r}, prog_name='heatwatch', standalone_mode=False); "
        "print('|', *sorted({'pandas', 'sqlalchemy', 'numba', 'fastapi'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.rpartition("|")[2].strip()


def test_help_names_every_command_and_loads_none() -> None:
    assert heavy_modules_after(["--help"]) == ""
    said = heatwatch.get_help(click.Context(heatwatch, info_name="heatwatch", terminal_width=200))
    assert all(f"  {name} " in said and text in said for name, (_, text) in COMMANDS.items())


def test_health_loads_little_since_every_container_asks_it_each_half_minute() -> None:
    code = (
        f"import sys, {COMMANDS['health'][0]}; "
        "print(*sorted({'pandas', 'numpy', 'alembic', 'influxdb_client', 'psycopg', 'paho'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_there_under_its_name(name: str) -> None:
    command = heatwatch.get_command(click.Context(heatwatch), name)
    assert command is not None
    assert (command.name, bool(command.help)) == (name, True)
    assert gc.isenabled()


def test_what_is_no_command_is_none() -> None:
    assert heatwatch.get_command(click.Context(heatwatch), "nosuch") is None
