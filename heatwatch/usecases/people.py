"""People in the records: who they are, how they prove it, and the keys of machines that act for them.

A secret is shown once; only its SHA-256 is kept. Passwords are kept as argon2 hashes, and checked while no session is
open: a check takes long on purpose, and a writing session would make every other writer wait for it.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from heatwatch.domain.instants import HOUR_MS
from heatwatch.domain.people import OF_STATIONS, Person, Role, scope_of
from heatwatch.errors import BadInput, Unavailable
from heatwatch.records.audit import acting
from heatwatch.records.database import Records
from heatwatch.records.schema import ApiToken, SignedIn, UserRow

TOKEN_PREFIX = "hw_"  # noqa: S105 - it says what kind of secret follows
PASSWORD_MIN = 10
NAME_MAX = 64
RESERVED = frozenset({"heatwatch"})
"""Names under which heatwatch itself acts."""
FAILURES_MAX = 10
FAILURES_WITHIN_MS = 15 * 60 * 1000
NAMES_REMEMBERED = 10_000
_CHECKED_AT_ONCE = 4
_WAIT_AT_ONCE = 8
"""How many may wait for that: each holds a thread that others need to be answered at all."""
_CHECK_WAIT_S = 1.0
_SECRET_BYTES = 32
_HASHER = PasswordHasher()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to be otherwise about a user; None leaves it as it is."""

    role: Role | None = None
    stations: Collection[str] | None = None
    active: bool | None = None
    display_name: str | None = None
    password: str | None = None


def add_user(session: Session, name: str, change: Change, *, by: str, now_ms: int) -> Person:
    """Add a user with a role; without a password one can act as this user by token only.

    Parameters
    ----------
    session
        A writing session.
    name
        What one signs in with; it stays in the audit trail for good and cannot be changed.
    change
        The role, and whatever else is known of the user.
    by
        Who adds the user.
    now_ms
        When, by the wall clock [ms].

    Raises
    ------
    BadInput
        If the name is taken or no name, no role is given, the role needs a station, or the password is too short.
    """
    _check_name(name)
    if _row(session, name) is not None:
        raise BadInput(
            "there is a user of this name already", where=name, mend="choose another name, or change the user"
        )
    if change.role is None:
        raise BadInput("a user needs a role", where=name, mend=", ".join(Role))
    row = UserRow(name=name, display_name=name, role=str(change.role), stations=[], active=True, created_ms=now_ms)
    _apply(row, change)
    acting(session, by, now_ms)
    session.add(row)
    session.flush()
    return _person(row)


def change_user(session: Session, name: str, change: Change, *, by: str, now_ms: int) -> Person:
    """Change a user. A new password, and being deactivated, end the user's sessions.

    Raises
    ------
    BadInput
        If there is no such user, the role needs a station, or the password is too short.
    """
    row = _known(session, name)
    acting(session, by, now_ms)
    _apply(row, change)
    if change.password is not None or change.active is False:
        session.execute(delete(SignedIn).where(SignedIn.user_id == row.id))
    session.flush()
    return _person(row)


def users(session: Session) -> Sequence[UserRow]:
    """Return every user, also inactive ones, by name."""
    return session.scalars(select(UserRow).order_by(UserRow.name)).all()


def tokens_of(session: Session, user_id: int) -> Sequence[ApiToken]:
    """Return every token of a user, the oldest first, revoked and expired ones too."""
    return session.scalars(select(ApiToken).where(ApiToken.user_id == user_id).order_by(ApiToken.id)).all()


def person_named(session: Session, name: str) -> Person | None:
    """Return an active user by name, None where there is none."""
    row = _row(session, name)
    return _person(row) if row is not None and row.active else None


class Door:
    """What signing in remembers in one process: failures of each name, and how many passwords are being checked.

    A name with `FAILURES_MAX` failures within `FAILURES_WITHIN_MS` is refused, whatever the password, until the oldest
    of them is older than that. What is refused so does not count as another failure.
    """

    def __init__(self) -> None:
        self._failures: dict[str, deque[int]] = {}
        self._lock = threading.Lock()
        self._checking = threading.BoundedSemaphore(_CHECKED_AT_ONCE)
        self._inside = threading.BoundedSemaphore(_CHECKED_AT_ONCE + _WAIT_AT_ONCE)

    def refuses(self, name: str, now_ms: int) -> bool:
        """Tell whether a name has failed too often."""
        with self._lock:
            failed = self._failures.get(name, ())
            return sum(now_ms - at_ms < FAILURES_WITHIN_MS for at_ms in failed) >= FAILURES_MAX

    def failed(self, name: str, now_ms: int) -> None:
        """Count a failure; of very many names, the one that failed longest ago is forgotten."""
        with self._lock:
            failed = self._failures.pop(name, None) or deque(maxlen=FAILURES_MAX)
            failed.append(now_ms)
            self._failures[name] = failed
            if len(self._failures) > NAMES_REMEMBERED:
                del self._failures[next(iter(self._failures))]

    def entered(self, name: str) -> None:
        """Forget the failures of a name."""
        with self._lock:
            self._failures.pop(name, None)

    @contextmanager
    def checking(self) -> Iterator[None]:
        """Let only some passwords be checked at once, and only some wait for it: each takes much memory on purpose.

        Raises
        ------
        Unavailable
            If too many are being checked.
        """
        with _held(self._inside, 0), _held(self._checking, _CHECK_WAIT_S):
            yield


@contextmanager
def _held(places: threading.BoundedSemaphore, wait_s: float) -> Iterator[None]:
    if not places.acquire(timeout=wait_s):
        raise Unavailable("sign-in", "too many sign in at once")
    try:
        yield
    finally:
        places.release()


def sign_in(records: Records, door: Door, name: str, password: str, *, now_ms: int, hours: float) -> str | None:
    """Begin a session and return its secret; None where name and password do not fit or failed too often before.

    It takes as long for a name that nobody has as for one that somebody has.

    Parameters
    ----------
    records
        Where users and sessions are kept; looked at and written in two short sessions.
    door
        Counts failures, one for each process.
    name, password
        As typed.
    now_ms
        The wall clock [ms].
    hours
        How long the session lasts [h].
    """
    if door.refuses(name, now_ms):
        return None
    with records.read() as session:
        row = _row(session, name)
        kept = row.password_hash if row is not None and row.active else ""
    with door.checking():
        right = _verify(kept, password)
        renewed = _HASHER.hash(password) if right and _HASHER.check_needs_rehash(kept) else None
    secret = _begin(records, name, kept, renewed, now_ms, hours) if right else None
    if secret is None:
        door.failed(name, now_ms)
    else:
        door.entered(name)
    return secret


def sign_out(session: Session, secret: str) -> None:
    """End a session; nothing happens where there is none."""
    session.execute(delete(SignedIn).where(SignedIn.sha256 == _digest(secret)))


def person_of_session(session: Session, secret: str, now_ms: int) -> Person | None:
    """Return whose session this is; None where it has ended, expired, or its user is inactive."""
    held = select(UserRow).join(SignedIn, SignedIn.user_id == UserRow.id)
    lasts = (SignedIn.sha256 == _digest(secret), SignedIn.expires_ms > now_ms, UserRow.active.is_(True))
    row = session.scalar(held.where(*lasts))
    return None if row is None else _person(row)


def make_token(session: Session, name: str, label: str, *, expires_ms: int | None, by: str, now_ms: int) -> str:
    """Make a key for a machine that acts as a user, and return it: it can never be shown again.

    Parameters
    ----------
    session
        A writing session.
    name
        As whom the machine acts.
    label
        What the key is for.
    expires_ms
        From when on it is refused [ms]; None for never.
    by, now_ms
        Who makes it, and when by the wall clock [ms].

    Raises
    ------
    BadInput
        If there is no such user, or the user is inactive.
    """
    row = _known(session, name)
    if not row.active:
        raise BadInput("this user is not active", where=name)
    secret = TOKEN_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    acting(session, by, now_ms)
    made = ApiToken(user_id=row.id, name=label, sha256=_digest(secret), created_ms=now_ms, expires_ms=expires_ms)
    session.add(made)
    session.flush()
    return secret


def revoke_token(session: Session, name: str, label: str, *, by: str, now_ms: int) -> int:
    """Refuse a user's keys of this label from now on; return how many there were.

    Raises
    ------
    BadInput
        If there is no such user, or no key of this label that is not revoked.
    """
    row = _known(session, name)
    held = [one for one in tokens_of(session, row.id) if one.name == label and one.revoked_ms is None]
    if not held:
        raise BadInput(f"no token {label!r} that is not revoked", where=name)
    acting(session, by, now_ms)
    for one in held:
        one.revoked_ms = now_ms
    session.flush()
    return len(held)


def person_of_token(session: Session, secret: str, now_ms: int) -> Person | None:
    """Return as whom a key acts; None where it is revoked or has expired, or its user is inactive."""
    if not secret.startswith(TOKEN_PREFIX):
        return None
    held = select(UserRow).join(ApiToken, ApiToken.user_id == UserRow.id)
    lasts = (
        ApiToken.sha256 == _digest(secret),
        ApiToken.revoked_ms.is_(None),
        or_(ApiToken.expires_ms.is_(None), ApiToken.expires_ms > now_ms),
        UserRow.active.is_(True),
    )
    row = session.scalar(held.where(*lasts))
    return None if row is None else _person(row)


def _begin(records: Records, name: str, kept: str, renewed: str | None, now_ms: int, hours: float) -> str | None:
    """Write the session, if the user is still as when the password was checked; drop those that have expired."""
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    with records.write() as session:
        row = _row(session, name)
        if row is None or not row.active or row.password_hash != kept:
            return None
        if renewed is not None:
            acting(session, name, now_ms)
            row.password_hash = renewed
        session.execute(delete(SignedIn).where(SignedIn.expires_ms <= now_ms))
        until_ms = now_ms + round(hours * HOUR_MS)
        session.add(SignedIn(sha256=_digest(secret), user_id=row.id, created_ms=now_ms, expires_ms=until_ms))
    return secret


def _verify(kept: str, password: str) -> bool:
    """Check a password; where there is none to compare with, take as long and say no."""
    nobody = _nobody()
    try:
        _HASHER.verify(kept or nobody, password)
    except (VerificationError, InvalidHashError):
        return False
    return bool(kept)


@cache
def _nobody() -> str:
    """Return the hash of a password that nobody knows."""
    return _HASHER.hash(secrets.token_urlsafe(_SECRET_BYTES))


def _digest(secret: str) -> str:
    return sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _row(session: Session, name: str) -> UserRow | None:
    return session.scalar(select(UserRow).where(UserRow.name == name)) if name.isprintable() else None


def _known(session: Session, name: str) -> UserRow:
    row = _row(session, name)
    if row is None:
        raise BadInput("there is no such user", where=name)
    return row


def _person(row: UserRow) -> Person:
    role = Role(row.role)
    confined = bool(row.stations) or role in OF_STATIONS
    return Person(row.name, row.display_name, role, frozenset(row.stations) if confined else None)


def _apply(row: UserRow, change: Change) -> None:
    role = Role(row.role) if change.role is None else change.role
    stations = row.stations if change.stations is None else sorted(set(change.stations))
    try:
        scope_of(role, stations)
    except ValueError as error:
        raise BadInput(str(error), where=row.name) from error
    row.role, row.stations = str(role), list(stations)
    if change.display_name is not None:
        row.display_name = change.display_name
    if change.active is not None:
        row.active = change.active
    if change.password is not None:
        row.password_hash = _hashed(row.name, change.password)


def _hashed(name: str, password: str) -> str:
    if len(password) < PASSWORD_MIN:
        raise BadInput(f"a password has at least {PASSWORD_MIN} characters", where=name)
    return _HASHER.hash(password)


def _check_name(name: str) -> None:
    if not 0 < len(name) <= NAME_MAX or not name.isprintable() or name != name.strip():
        raise BadInput(f"a name has 1 to {NAME_MAX} characters and none of them is hidden", where=repr(name))
    if name.casefold() in RESERVED:
        raise BadInput("this name is heatwatch's own", where=name, mend="choose another name")
