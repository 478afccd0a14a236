"""`heatwatch users`: who may sign in, and the keys of machines. It works on the records, also while `serve` runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import Any

import click
from sqlalchemy.orm import Session

from cli.opening import open_records, wall_clock
from cli.records import COMMAND_LINE, DATA_DIR
from heatwatch.domain.instants import DAY_MS, iso
from heatwatch.domain.people import Person, Role
from heatwatch.errors import BadInput
from heatwatch.records.schema import ApiToken, UserRow
from heatwatch.settings import Settings
from heatwatch.usecases.people import Change, add_user, change_user, make_token, revoke_token, tokens_of
from heatwatch.usecases.people import users as all_users

TOKEN_DAYS = 365

_PASSWORD = click.option(
    "--password-file", type=click.Path(path_type=Path), help="File with the password in its first line."
)
_ROLE = click.Choice([str(role) for role in Role])
_OPTIONS: Sequence[Callable[[Any], Any]] = (
    click.option("--station", "stations", multiple=True, help="Only this station's matters; may be given again."),
    click.option("--display", help="The name that others are shown."),
    _PASSWORD,
    DATA_DIR,
)


def _options(command: Any) -> Any:
    return reduce(lambda so_far, option: option(so_far), reversed(_OPTIONS), command)


@click.group()
def users() -> None:
    """Say who may sign in, as what, and for which stations."""


@users.command("add")
@click.argument("name")
@click.option("--role", type=_ROLE, required=True, help="What this person is here to do.")
@click.option("--no-password", is_flag=True, help="For a machine: only tokens let it in.")
@_options
def users_add(name: str, role: str, *, no_password: bool, data_dir: Path | None, **said: Any) -> None:
    """Add a user NAME. The password comes from a file or is asked for, never from the command line."""
    password = None if no_password else _password(said["password_file"]) or _asked()
    change = Change(role=Role(role), stations=said["stations"], display_name=said["display"], password=password)
    with _writing(data_dir) as session:
        person = add_user(session, name, change, by=COMMAND_LINE, now_ms=wall_clock())
    click.echo(f"added {_told(person)}")


@users.command("change")
@click.argument("name")
@click.option("--role", type=_ROLE, help="What this person is here to do from now on.")
@click.option("--all-stations", is_flag=True, help="No longer only single stations' matters.")
@click.option("--active/--inactive", default=None, help="Whether this user may come in at all.")
@click.option("--new-password", is_flag=True, help="Ask for a new password.")
@_options
def users_change(name: str, role: str | None, *, active: bool | None, data_dir: Path | None, **said: Any) -> None:
    """Change the user NAME. A new password, and --inactive, end the user's sessions."""
    if said["stations"] and said["all_stations"]:
        raise BadInput("--station and --all-stations contradict each other", where=name)
    change = Change(
        role=None if role is None else Role(role),
        stations=() if said["all_stations"] else said["stations"] or None,
        active=active,
        display_name=said["display"],
        password=_password(said["password_file"]) or (_asked() if said["new_password"] else None),
    )
    if change == Change():
        raise BadInput("nothing to change was said", where=name, mend="heatwatch users change --help")
    with _writing(data_dir) as session:
        person = change_user(session, name, change, by=COMMAND_LINE, now_ms=wall_clock())
    click.echo(f"changed {_told(person)}")


@users.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@DATA_DIR
def users_list(data_dir: Path | None, *, as_json: bool) -> None:
    """List every user with the tokens that act for them; no secret is kept that could be shown."""
    with open_records(Settings.read(data_dir=data_dir)) as records, records.read() as session:
        for row in all_users(session):
            entry = _entry(row, tokens_of(session, row.id))
            click.echo(json.dumps(entry, ensure_ascii=False) if as_json else _line(entry))


@users.command("token")
@click.argument("name")
@click.option("--label", default="token", show_default=True, help="What it is for.")
@click.option("--days", type=click.IntRange(1, 36_500), default=TOKEN_DAYS, show_default=True, help="How long.")
@DATA_DIR
def users_token(name: str, label: str, days: int, data_dir: Path | None) -> None:
    """Make a token with which a machine acts as the user NAME, and print it: it is never shown again."""
    now_ms = wall_clock()
    with _writing(data_dir) as session:
        expires_ms = now_ms + days * DAY_MS
        secret = make_token(session, name, label, expires_ms=expires_ms, by=COMMAND_LINE, now_ms=now_ms)
    click.echo(secret)


@users.command("revoke")
@click.argument("name")
@click.option("--label", default="token", show_default=True, help="Which of the user's tokens.")
@DATA_DIR
def users_revoke(name: str, label: str, data_dir: Path | None) -> None:
    """Refuse the tokens of the user NAME that have this label from now on."""
    with _writing(data_dir) as session:
        number = revoke_token(session, name, label, by=COMMAND_LINE, now_ms=wall_clock())
    click.echo(f"revoked {number} of {name}'s tokens")


@contextmanager
def _writing(data_dir: Path | None) -> Iterator[Session]:
    with open_records(Settings.read(data_dir=data_dir)) as records, records.write() as session:
        yield session


def _password(file: Path | None) -> str | None:
    """Return the password in a file, None where no file is named.

    Raises
    ------
    BadInput
        If the file cannot be read, or its first line is empty.
    """
    if file is None:
        return None
    try:
        password = file.read_text(encoding="utf-8").split("\n", 1)[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot be read: {error}", where=str(file)) from error
    if not password:
        raise BadInput("its first line is empty; the password is expected there", where=str(file))
    return password


def _asked() -> str:
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password


def _told(person: Person) -> str:
    where = "all stations" if person.stations is None else f"stations {', '.join(sorted(person.stations))}"
    return f"{person.name} ({person.role}, {where})"


def _entry(row: UserRow, tokens: Sequence[ApiToken]) -> dict[str, Any]:
    return {
        "name": row.name,
        "display_name": row.display_name,
        "role": row.role,
        "stations": row.stations,
        "active": row.active,
        "password": bool(row.password_hash),
        "tokens": [
            {
                "label": one.name,
                "created": iso(one.created_ms),
                "expires": None if one.expires_ms is None else iso(one.expires_ms),
                "revoked": None if one.revoked_ms is None else iso(one.revoked_ms),
            }
            for one in tokens
        ],
    }


def _line(entry: dict[str, Any]) -> str:
    where = ", ".join(entry["stations"]) or "all stations"
    parts = [entry["name"], entry["display_name"], entry["role"], where]
    parts += [] if entry["active"] else ["inactive"]
    valid = sum(one["revoked"] is None for one in entry["tokens"])
    return "  ".join([*parts, f"{valid} tokens"] if valid else parts)
