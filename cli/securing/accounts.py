"""mosquitto's file of accounts, in its own format: PBKDF2 with SHA-512, as `mosquitto_passwd` of 2.x writes it."""

from __future__ import annotations

import hmac
import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import pbkdf2_hmac

from heatwatch.errors import BadInput
from heatwatch.wire import reading_topic

ITERATIONS = 101
"""As mosquitto itself: it checks passwords in its one thread, and against 256 random bits more would win nothing."""
SALT_BYTES, KEY_BYTES = 12, 64
SERVICES = ("ingest", "demo", "health")
"""Names in `deploy/mosquitto/acl` that are no stations."""
_PARTS = 5


def account_of(station_id: str) -> str:
    """Return the name of a station's account: the level of its topics, since the access list says ``heat/%u/#``.

    Raises
    ------
    BadInput
        If the account would be that of a part of heatwatch, or could move the clock of a replay.

    Examples
    --------
    >>> account_of("S1"), account_of("north/2")
    ('S1', 'north%2F2')
    """
    try:
        account = reading_topic(station_id, "b", "p").split("/")[1]
    except UnicodeEncodeError:
        account = ""
    if not account or ":" in account or account.startswith("_") or account in SERVICES:
        mend = f"a station's name has no colon, begins with no underscore, and is none of {', '.join(SERVICES)}"
        raise BadInput(f"{station_id!r} cannot have an account at the broker", where="--station", mend=mend)
    return account


def hashed(word: str) -> str:
    """Return what mosquitto keeps of a password.

    >>> holds("secret", hashed("secret")), holds("guess", hashed("secret"))
    (True, False)
    """
    salt = os.urandom(SALT_BYTES)
    return f"$7${ITERATIONS}${b64encode(salt).decode()}${b64encode(_key(word, salt, ITERATIONS)).decode()}"


def holds(word: str, kept: str) -> bool:
    """Tell whether a password is the one of which this is kept; False too for a format that is not ours."""
    parts = kept.split("$")
    if len(parts) != _PARTS or parts[1] != "7" or not parts[2].isdecimal():
        return False
    salt, key = b64decode(parts[3]), b64decode(parts[4])
    return hmac.compare_digest(_key(word, salt, int(parts[2])), key)


def read_accounts(text: str, where: str) -> dict[str, str]:
    """Read what is kept of each password, by account.

    Raises
    ------
    BadInput
        If a line is none of mosquitto's.
    """
    accounts: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, colon, kept = line.partition(":")
        if not colon or not name or not kept:
            mend = "restore it, or delete it: then every station needs a new password"
            raise BadInput("is no account", where=f"{where}, line {number}", mend=mend)
        accounts[name] = kept
    return accounts


def accounts_text(accounts: Mapping[str, str]) -> str:
    """Return mosquitto's file, sorted by account."""
    return "".join(f"{name}:{accounts[name]}\n" for name in sorted(accounts))


def _key(word: str, salt: bytes, iterations: int) -> bytes:
    return pbkdf2_hmac("sha512", word.encode(), salt, iterations, KEY_BYTES)
