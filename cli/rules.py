"""Commands on the rules."""

from __future__ import annotations

from pathlib import Path

import click

from cli.foreseeing import foresee, tell
from cli.records import DATA_DIR
from heatwatch.files.rules_file import parse_standard, rules_text, time_zone
from heatwatch.settings import Settings


@click.group()
def rules() -> None:
    """Look at what other rules would alter; those in force are the file that the settings name when `serve` starts."""


@rules.command("diff")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@DATA_DIR
def rules_diff(file: Path, data_dir: Path | None, *, as_json: bool) -> None:
    """List which findings the rules in FILE would bring, alter or withdraw, and the tickets and notices on them.

    Nothing is changed. To put the file in force, name it as `rules` in the settings and start `serve` again: all is
    judged anew by it, and what that alters is noted on the tickets.
    """
    settings = Settings.read(data_dir=data_dir)
    name, text = rules_text(file)
    parse_standard(text, where=name)
    tell(foresee(settings, {"rules": text}), time_zone(settings.timezone), as_json=as_json)
