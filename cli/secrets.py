"""`heatwatch secrets`: makes every secret of an installation, and changes one of them at a time."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import click

from cli.securing import accounts, certificates, keeping
from cli.securing.keeping import Keeper, Kept, Readers
from heatwatch.errors import BadInput

FILE = click.Path(path_type=Path)
RENEW_DAYS = 30
"""So long before the broker's certificate ends, `make` says so [d]."""
CA_CERT = Kept(f"{keeping.BROKER_FOLDER}/ca.crt", keeping.MOSQUITTO, public=True)
CA_KEY = Kept(f"{keeping.AUTHORITY_FOLDER}/ca.key", keeping.ROOT)
SERVER_CERT = Kept(f"{keeping.BROKER_FOLDER}/server.crt", keeping.MOSQUITTO, public=True)
SERVER_KEY = Kept(f"{keeping.BROKER_FOLDER}/server.key", keeping.MOSQUITTO)
ROTATED = tuple(kept.path for kept in (*keeping.WORDS, keeping.INGEST, keeping.DEMO, keeping.HEALTH))
"""What `--rotate` can name."""
READ_AGAIN = "tell the broker: docker compose kill --signal HUP mosquitto, or systemctl reload mosquitto"
START_AGAIN = (
    "restart the broker, then ingest; do not have the broker read its files again, since it would drop what stations "
    "publish until ingest is back: docker compose restart mosquitto ingest, or systemctl restart mosquitto heatwatch"
)
"""mosquitto 2.0 forgets what a session may read when its password is another, or it was away since the start."""
_OUT = click.option(
    "--out", type=FILE, default=Path("secrets"), show_default=True, help="Folder of the secrets; nobody else enters it."
)
_READERS = click.option(
    "--readers",
    type=click.Choice([str(one) for one in Readers]),
    help="Who reads the files: the containers of docker-compose.yml (so it is unless said), or who makes them.",
)
_HOST = click.option(
    "--host", "hosts", multiple=True, help="Name or address by which stations reach the broker; may be given again."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Say what was done as JSON.")


@click.group()
def secrets() -> None:
    """Make the secrets of an installation: passwords, tokens, accounts at the broker, certificates."""


@secrets.command("make")
@_OUT
@_HOST
@click.option("--station", "stations", multiple=True, help="A station that gets an account; may be given again.")
@click.option("--demo", is_flag=True, help="Also an account for a simulated town, which may write as any station.")
@click.option("--rotate", multiple=True, help=f"Make this one anew: {', '.join(sorted(ROTATED))}.")
@_READERS
@_JSON
def make(
    out: Path,
    hosts: Sequence[str],
    stations: Sequence[str],
    rotate: Sequence[str],
    readers: str | None,
    *,
    demo: bool,
    as_json: bool,
) -> None:
    """Make what is missing; what is there stays, unless --rotate names it.

    A new station's password is printed, this once. Nothing else is.
    """
    unknown = sorted(set(rotate) - set(ROTATED))
    if unknown:
        mend = f"one of {', '.join(sorted(ROTATED))}; for a station, heatwatch secrets station"
        raise BadInput(f"{unknown[0]!r} cannot be made anew", where="--rotate", mend=mend)
    named = [accounts.account_of(station) for station in stations]
    before = _there(out)
    keeper = keeping.keeper_of(out, Readers(readers) if readers else None)
    for kept in keeping.WORDS:
        keeper.word(kept, rotate=kept.path in rotate)
    for worker, kept in keeping.CLIENTS.items():
        if not keeper.file(kept).exists():
            keeper.write(kept, f"{keeping.new_client(worker)}\n")
    warnings = _certified(keeper, hosts)
    passwords = _admitted(keeper, named, rotate, demo=demo)
    made = sorted(path for path, changed_ns in _there(out).items() if before.get(path) != changed_ns)
    if keeping.ACCOUNTS.path in before and keeping.ACCOUNTS.path in made:
        warnings.append(START_AGAIN if keeping.INGEST.path in rotate else READ_AGAIN)
    _tell(made, passwords, warnings, as_json=as_json)


@secrets.command("station")
@click.argument("station")
@click.option("--remove", is_flag=True, help="Let it in no more.")
@_OUT
@_JSON
def station(station: str, out: Path, *, remove: bool, as_json: bool) -> None:
    """Give STATION an account at the broker, or a new password; it is printed, this once.

    The broker takes it over when it is told to read its files again, or starts.
    """
    account, keeper = accounts.account_of(station), _made(out)
    known = _known(keeper)
    if remove and account not in known:
        raise BadInput(f"{station!r} has no account", where=str(keeper.file(keeping.ACCOUNTS)))
    word = keeping.new_word()
    known.pop(account, None)
    if not remove:
        known[account] = accounts.hashed(word)
    keeper.write(keeping.ACCOUNTS, accounts.accounts_text(known))
    _tell([keeping.ACCOUNTS.path], {} if remove else {account: word}, [READ_AGAIN], as_json=as_json)


@secrets.command("renew")
@_OUT
@_HOST
@click.option("--days", type=click.IntRange(1), default=certificates.SERVER_DAYS, show_default=True, help="How long.")
@_JSON
def renew(out: Path, hosts: Sequence[str], days: int, *, as_json: bool) -> None:
    """Renew the broker's certificate: for the same hosts, or for those of --host. The authority stays.

    Stations need nothing new. The broker takes it over when it is told to read its files again, or starts.
    """
    keeper = _made(out)
    if not hosts:
        hosts = certificates.hosts_of(_certificate(keeper, SERVER_CERT))
    _certify(keeper, hosts, days)
    _tell([SERVER_CERT.path, SERVER_KEY.path], {}, [READ_AGAIN], as_json=as_json)


def _made(folder: Path) -> Keeper:
    """Return the keeper of a folder in which secrets were made before."""
    if not (folder / keeping.ACCOUNTS.path).exists():
        raise BadInput("holds no secrets yet", where=str(folder), mend="heatwatch secrets make")
    return keeping.keeper_of(folder)


def _there(folder: Path) -> dict[str, int]:
    """Return when each file was written [ns]."""
    return {str(file.relative_to(folder)): file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


def _certified(keeper: Keeper, hosts: Sequence[str]) -> list[str]:
    """Make authority and certificate where they are missing; say what there is to say of those that are there."""
    has_cert, has_key = keeper.file(CA_CERT).exists(), keeper.file(CA_KEY).exists()
    if not has_cert:
        key = _authority_key(keeper) if has_key else certificates.new_key()
        keeper.write(CA_KEY, certificates.key_text(key))
        keeper.write(CA_CERT, certificates.cert_text(certificates.authority(key, certificates.utc_now())))
    if not (keeper.file(SERVER_CERT).exists() and keeper.file(SERVER_KEY).exists()):
        _certify(keeper, hosts, certificates.SERVER_DAYS)
        return []
    cert = _certificate(keeper, SERVER_CERT)
    if cert.public_key() != certificates.read_key(_read(keeper.file(SERVER_KEY)), SERVER_KEY.path).public_key():
        _certify(keeper, certificates.hosts_of(cert), certificates.SERVER_DAYS)
        return []
    lacking = sorted(set(hosts) - set(certificates.hosts_of(cert)))
    if lacking:
        mend = f"heatwatch secrets renew {' '.join(f'--host {host}' for host in hosts)}"
        raise BadInput(f"is not for {lacking[0]}", where=str(keeper.file(SERVER_CERT)), mend=mend)
    left_d = (cert.not_valid_after_utc - certificates.utc_now()).days
    return [f"the broker's certificate ends in {left_d} days: heatwatch secrets renew"] if left_d < RENEW_DAYS else []


def _certify(keeper: Keeper, hosts: Sequence[str], days: int) -> None:
    signer = (_certificate(keeper, CA_CERT), _authority_key(keeper))
    if signer[0].public_key() != signer[1].public_key():
        raise BadInput("does not belong to the authority's certificate", where=str(keeper.file(CA_KEY)))
    key = certificates.new_key()
    cert = certificates.server(key, certificates.all_hosts(hosts), signer, certificates.utc_now(), days)
    keeper.write(SERVER_KEY, certificates.key_text(key))
    keeper.write(SERVER_CERT, certificates.cert_text(cert))


def _certificate(keeper: Keeper, kept: Kept) -> Any:
    return certificates.read_cert(_read(keeper.file(kept)), str(keeper.file(kept)))


def _authority_key(keeper: Keeper) -> Any:
    """Return the authority's key.

    Raises
    ------
    BadInput
        If it is not there, or none: it may well be kept elsewhere.
    """
    file = keeper.file(CA_KEY)
    return certificates.read_key(_read(file, "put the authority's key back where it was"), str(file))


def _read(file: Path, mend: str = "heatwatch secrets make") -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=str(file), mend=mend) from error


def _known(keeper: Keeper) -> dict[str, str]:
    """Return what the broker knows of each account; nothing where it has none yet."""
    file = keeper.file(keeping.ACCOUNTS)
    return accounts.read_accounts(_read(file).decode(), str(file)) if file.exists() else {}


def _admitted(keeper: Keeper, stations: Sequence[str], rotate: Collection[str], *, demo: bool) -> dict[str, str]:
    """Bring the broker's accounts up to what is wanted; return the passwords of stations that are new."""
    before = _known(keeper)
    known, services = dict(before), _services(keeper, rotate, demo=demo)
    if "demo" not in services:
        known.pop("demo", None)
    for account, word in services.items():
        if not accounts.holds(word, known.get(account, "")):
            known[account] = accounts.hashed(word)
    new = {account: keeping.new_word() for account in dict.fromkeys(stations) if account not in known}
    known |= {account: accounts.hashed(word) for account, word in new.items()}
    if known != before:
        keeper.write(keeping.ACCOUNTS, accounts.accounts_text(known))
    return new


def _services(keeper: Keeper, rotate: Collection[str], *, demo: bool) -> dict[str, str]:
    """Return the password of each account that is no station's."""
    health = keeper.file(keeping.HEALTH)
    word = keeping.health_word(_read(health).decode()) if health.exists() else ""
    if not word or keeping.HEALTH.path in rotate:
        word = keeping.new_word()
        keeper.write(keeping.HEALTH, keeping.health_text(word))
    services = {"ingest": keeping.INGEST}
    if demo or keeper.file(keeping.DEMO).exists():
        services["demo"] = keeping.DEMO
    return {"health": word} | {name: keeper.word(kept, rotate=kept.path in rotate) for name, kept in services.items()}


def _tell(made: Sequence[str], passwords: dict[str, str], warnings: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"made": made, "passwords": passwords, "warnings": warnings}, ensure_ascii=False))
        return
    for path in made:
        click.echo(f"made {path}")
    if not made:
        click.echo("everything was there")
    for account, word in passwords.items():
        click.echo(f"{account}: {word}")
    for warning in warnings:
        click.echo(warning, err=True)
