"""`heatwatch settings`: what is set, where it was set, and every mistake in it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from cli.doctoring.settings import Looked, Mistake, look
from heatwatch.errors import BadInput

BAD_INPUT = 2


@click.group()
def settings() -> None:
    """Look at the settings: heatwatch.toml, HEATWATCH_… variables, and what they come to."""


@settings.command("check")
@click.option("--file", type=click.Path(path_type=Path), help="The file of settings, in place of heatwatch.toml.")
@click.option("--role", help="Also whether a process may have these roles alone, as in `serve --role`.")
@click.option("--show", is_flag=True, help="Also list every setting and where it comes from; no secret is shown.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def settings_check(context: click.Context, file: Path | None, role: str | None, *, show: bool, as_json: bool) -> None:
    """Name every mistake at once, each with its line or its variable; exit code 2 where there is one."""
    looked = look(file, os.environ)
    if role is not None:
        looked.mistakes += _of_roles(looked, role)
    click.echo(_as_json(looked, show=show) if as_json else _as_text(looked, show=show))
    if looked.mistakes:
        context.exit(BAD_INPUT)


def _of_roles(looked: Looked, asked: str) -> list[Mistake]:
    from cli.wiring import roles_of  # noqa: PLC0415 - it loads everything that a role needs

    try:
        roles_of(looked.settings, [name.strip() for name in asked.split(",") if name.strip()])
    except BadInput as error:
        return [Mistake(looked.where("store") if error.where == "--role" else error.where, error.what, error.mend)]
    return []


def _as_json(looked: Looked, *, show: bool) -> str:
    told: dict[str, Any] = {"ok": not looked.mistakes, "mistakes": [asdict(one) for one in looked.mistakes]}
    if show:
        told["settings"] = {name: {"value": value, "from": where} for name, (value, where) in looked.shown().items()}
    return json.dumps(told, ensure_ascii=False)


def _as_text(looked: Looked, *, show: bool) -> str:
    lines = [f"{name} = {value}  [{where}]" for name, (value, where) in looked.shown().items()] if show else []
    lines += [str(one) for one in looked.mistakes]
    count = len(looked.mistakes)
    return "\n".join([*lines, f"{count} mistake{'s' if count > 1 else ''}" if count else "no mistake in the settings"])
