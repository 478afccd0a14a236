"""Prepares an InfluxDB: organization, bucket, retention, and an account for each part with no more than it needs.

What is there already stays; asked again, nothing changes. Secrets go to files, and nowhere else.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from influxdb_client import (
    Authorization,
    Bucket,
    BucketRetentionRules,
    InfluxDBClient,
    OnboardingRequest,
    Organization,
    Permission,
    PermissionResource,
    SetupService,
)
from influxdb_client.rest import ApiException
from urllib3 import PoolManager, Retry, Timeout
from urllib3.exceptions import HTTPError
from urllib3.util import make_headers

from heatwatch.domain.instants import DAY_MS
from heatwatch.errors import BadInput, Unavailable
from heatwatch.secret import one_line, put

DAY_S = DAY_MS // 1000
NOT_FOUND, UNAUTHORIZED, FORBIDDEN = 404, 401, 403
TIMEOUT_S = 30
_ALL_PRIVILEGES = "ALL PRIVILEGES"


@dataclass(frozen=True, slots=True)
class Account:
    """A part that comes to InfluxDB: what it may do with the bucket, and whether others may read its secret's file."""

    name: str
    reads: bool
    writes: bool
    shared: bool = False


ACCOUNTS = (
    Account("ingest", reads=True, writes=True),
    Account("analytics", reads=True, writes=False),
    Account("dispatch", reads=True, writes=False),
    Account("api", reads=True, writes=False),
    Account("feed", reads=True, writes=True),
    Account("grafana", reads=True, writes=False, shared=True),
)
"""Grafana runs as another user, and reads its own file only."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be there.

    Attributes
    ----------
    url
        Address of the server.
    org, bucket
        Organization (2.x) and bucket, or database (1.x).
    retention_days
        How long readings are kept [d]; 0: for ever.
    folder
        Where the secrets of accounts go, one file each.
    rotate
        Whether every account gets a new secret.
    """

    url: str
    org: str
    bucket: str
    folder: Path
    retention_days: int = 0
    rotate: bool = False

    def file(self, account: Account, kind: str) -> Path:
        """Return where an account's secret stands."""
        return self.folder / f"{account.name}_influx_{kind}"


def prepare_2(wanted: Wanted, token_file: Path, user: str = "", password_file: Path | None = None) -> Iterator[str]:
    """Prepare an InfluxDB 2.x; give what was done, a line each.

    Parameters
    ----------
    wanted
        What is to be there.
    token_file
        File with a token that may do everything; given to a server that has none yet.
    user, password_file
        Whom a server that was never set up gets as its first user.

    Raises
    ------
    Unavailable
        If the server does not answer, or refuses the token.
    BadInput
        If a file cannot be read, or a new server is to have no user.
    """
    token = one_line(token_file, "token")
    with _named(wanted.url), InfluxDBClient(wanted.url, token, timeout=TIMEOUT_S * 1000, org=wanted.org) as client:
        if SetupService(client.api_client).get_setup().allowed:
            yield from _onboard(client, wanted, token, user, password_file)
        owner = _organization(client, wanted.org)
        if owner is None:
            owner = client.organizations_api().create_organization(wanted.org)
            yield f"organization {wanted.org}: made"
        bucket, line = _bucket(client, wanted, owner)
        yield line
        known = {one.description: one for one in client.authorizations_api().find_authorizations(org_id=owner.id)}
        for account in ACCOUNTS:
            yield _token(client, wanted, owner, bucket, known.get(_described(account)), account)


def _onboard(
    client: InfluxDBClient, wanted: Wanted, token: str, user: str, password_file: Path | None
) -> Iterator[str]:
    if not user or password_file is None:
        mend = "name one: --admin-user and --admin-password-file"
        raise BadInput("was never set up, and is to have no user", where=wanted.url, mend=mend)
    asked = OnboardingRequest(
        username=user,
        password=one_line(password_file, "password"),
        org=wanted.org,
        bucket=wanted.bucket,
        retention_period_seconds=wanted.retention_days * DAY_S,
        token=token,
    )
    SetupService(client.api_client).post_setup(asked)
    yield f"{wanted.url}: set up, with {user} as its first user"


def _organization(client: InfluxDBClient, name: str) -> Organization | None:
    try:
        found = client.organizations_api().find_organizations(org=name)
    except ApiException as error:
        if error.status == NOT_FOUND:
            return None
        raise
    return next((one for one in found if one.name == name), None)


def _bucket(client: InfluxDBClient, wanted: Wanted, owner: Organization) -> tuple[Bucket, str]:
    """Make the bucket, or bring its retention to what is wanted."""
    api, seconds = client.buckets_api(), wanted.retention_days * DAY_S
    kept = f"kept {wanted.retention_days} days" if seconds else "kept for ever"
    rules = BucketRetentionRules(type="expire", every_seconds=seconds)
    found = api.find_buckets(name=wanted.bucket, org_id=owner.id).buckets or []
    if not found:
        made = api.create_bucket(bucket_name=wanted.bucket, org_id=owner.id, retention_rules=rules)
        return made, f"bucket {wanted.bucket}: made, {kept}"
    bucket = found[0]
    if sum(rule.every_seconds for rule in bucket.retention_rules or []) == seconds:
        return bucket, f"bucket {wanted.bucket}: there, {kept}"
    bucket.retention_rules = [rules]
    return api.update_bucket(bucket), f"bucket {wanted.bucket}: now {kept}"


def _token(
    client: InfluxDBClient,
    wanted: Wanted,
    owner: Organization,
    bucket: Bucket,
    known: Authorization | None,
    account: Account,
) -> str:
    """Give an account its token, unless it has one that works."""
    file = wanted.file(account, "token")
    may = [name for name, allowed in (("read", account.reads), ("write", account.writes)) if allowed]
    told = f"{account.name} may {' and '.join(may)}: "
    if known is not None and not wanted.rotate and file.exists() and _works(wanted, file, bucket):
        return f"{told}{file} there"
    resource = PermissionResource(type="buckets", id=bucket.id, org_id=owner.id)
    permissions = [Permission(action=action, resource=resource) for action in may]
    asked = Authorization(org_id=owner.id, permissions=permissions, description=_described(account))
    made = client.authorizations_api().create_authorization(authorization=asked)
    write_secret(file, str(made.token), shared=account.shared)
    if known is not None:
        client.authorizations_api().delete_authorization(known)
    return f"{told}{file} written"


def _works(wanted: Wanted, file: Path, bucket: Bucket) -> bool:
    """Whether the token in a file is one that sees the bucket."""
    with InfluxDBClient(wanted.url, one_line(file, "token"), timeout=TIMEOUT_S * 1000, org=wanted.org) as client:
        try:
            return client.buckets_api().find_bucket_by_id(bucket.id) is not None
        except ApiException as error:
            if error.status in (UNAUTHORIZED, FORBIDDEN, NOT_FOUND):
                return False
            raise


def _described(account: Account) -> str:
    return f"heatwatch {account.name}"


def prepare_1(wanted: Wanted, user: str = "", password_file: Path | None = None) -> Iterator[str]:
    """Prepare an InfluxDB 1.x; give what was done, a line each.

    Without `user` the server is one that asks nobody who he is: then there are no accounts either.

    Raises
    ------
    Unavailable
        If the server does not answer, or refuses the user.
    BadInput
        If a file cannot be read.
    """
    password = one_line(password_file, "password") if password_file else ""
    ask = _Asking(wanted.url, user, password)
    if user:
        yield from _first_user(ask, user, password)
    if wanted.bucket not in ask.column("SHOW DATABASES"):
        ask(f"CREATE DATABASE {_name(wanted.bucket)}")
        yield f"database {wanted.bucket}: made"
    duration = f"{wanted.retention_days}d" if wanted.retention_days else "INF"
    ask(f"ALTER RETENTION POLICY autogen ON {_name(wanted.bucket)} DURATION {duration} DEFAULT")
    kept = f"kept {wanted.retention_days} days" if wanted.retention_days else "kept for ever"
    yield f"database {wanted.bucket}: {kept}"
    if not user:
        yield "no accounts: the server asks nobody who he is (auth-enabled in its configuration)"
        return
    known = set(ask.column("SHOW USERS"))
    for account in ACCOUNTS:
        yield _user(ask, wanted, account, known)


def _first_user(ask: _Asking, user: str, password: str) -> Iterator[str]:
    """Make the first user of a server that has none: the only thing that it lets a stranger do."""
    try:
        ask("SHOW DATABASES")
    except Unavailable as error:
        if "create admin user" not in str(error):
            raise
        ask(f"CREATE USER {_name(user)} WITH PASSWORD {_text(password)} WITH {_ALL_PRIVILEGES}")
        yield f"{user}: made, may do everything"


def _user(ask: _Asking, wanted: Wanted, account: Account, known: set[str]) -> str:
    file, name = wanted.file(account, "password"), f"heatwatch_{account.name}"
    may = "ALL" if account.reads and account.writes else "READ" if account.reads else "WRITE"
    told = f"{name} may {may.lower().replace('all', 'read and write')}: "
    there = name in known and file.exists() and not wanted.rotate
    if not there:
        word = secrets.token_urlsafe(32)
        verb = f"SET PASSWORD FOR {_name(name)} =" if name in known else f"CREATE USER {_name(name)} WITH PASSWORD"
        ask(f"{verb} {_text(word)}")
        write_secret(file, word, shared=account.shared)
    ask(f"GRANT {may} ON {_name(wanted.bucket)} TO {_name(name)}")
    return f"{told}{file} {'there' if there else 'written'}"


class _Asking:
    """Asks a 1.x, by POST, so that no password stands in an address."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = url
        self._pool = PoolManager(retries=Retry(0), timeout=Timeout(TIMEOUT_S))
        self._headers = make_headers(basic_auth=f"{user}:{password}") if user else {}

    def __call__(self, statement: str) -> list[Any]:
        fields: Mapping[str, Any] = {"q": statement}
        try:
            answer = self._pool.request(
                "POST", f"{self._url}/query", fields=fields, headers=self._headers, encode_multipart=False
            )
            told = answer.json()
        except (HTTPError, ValueError) as error:
            raise Unavailable(f"InfluxDB at {self._url}", str(error)) from error
        failure = told.get("error") or next((one["error"] for one in told.get("results", []) if "error" in one), None)
        if failure:
            raise Unavailable(f"InfluxDB at {self._url}", str(failure))
        return [series for result in told["results"] for series in result.get("series", [])]

    def column(self, statement: str) -> list[str]:
        """Return the first column of what a statement answers with."""
        return [str(row[0]) for series in self(statement) for row in series.get("values", [])]


def write_secret(file: Path, word: str, *, shared: bool = False) -> None:
    """Put a secret into a file of its own, whole or not at all; others may read it only where it is `shared`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    put(file, f"{word}\n".encode(), mode=0o644 if shared else 0o600)


def _name(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


@contextmanager
def _named(url: str) -> Iterator[None]:
    peer = f"InfluxDB at {url}"
    try:
        yield
    except ApiException as error:
        why = "it refuses the token" if error.status in (UNAUTHORIZED, FORBIDDEN) else f"{error.status} {error.reason}"
        raise Unavailable(peer, why) from error
    except HTTPError as error:
        raise Unavailable(peer, str(error)) from error
