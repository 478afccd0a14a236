"""Files with secrets: who reads each of them, and how they come to be: whole or not at all, never over what is there.

Compose mounts a secret as the file that it is, with the user id and the mode that it has on the host. So each file
belongs to the user id of the one container that serves with it; where a role of heatwatch reads it too, its group may.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from heatwatch.errors import BadInput
from heatwatch.secret import one_line, put

MOSQUITTO, GRAFANA, POSTGRES, HEATWATCH = 1883, 472, 999, 10001
"""User ids in the containers; heatwatch's is its group's id, too."""
ROOT = 0
WORD_BYTES = 32
CLIENT_BYTES = 12


class Readers(StrEnum):
    """Who reads the files."""

    CONTAINERS = "containers"
    """The containers of `docker-compose.yml`, each as a user of its own."""
    OWNER = "owner"
    """Whoever makes them: systemd reads them as root and hands them on."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that holds a secret.

    Attributes
    ----------
    path
        Where it is, in the folder of secrets.
    owner
        User id in the container that serves with it.
    shared
        Whether roles of heatwatch read it too.
    public
        Whether it is none, and anybody may read it: a certificate.
    """

    path: str
    owner: int
    shared: bool = False
    public: bool = False


BROKER_FOLDER = "mosquitto"
AUTHORITY_FOLDER = "authority"
ACCOUNTS = Kept(f"{BROKER_FOLDER}/passwd", MOSQUITTO)
HEALTH = Kept(f"{BROKER_FOLDER}/mosquitto_sub", MOSQUITTO)
"""Options of `mosquitto_sub`, which tells whether the broker is well: so no password is in a process list."""
INGEST, DEMO = Kept("mqtt_ingest", HEATWATCH), Kept("mqtt_demo", HEATWATCH)
CLIENTS = {worker: Kept(f"mqtt_client_{worker.rpartition('-')[2]}", HEATWATCH) for worker in ("ingest-1", "ingest-2")}
"""By worker: what it calls itself at the broker. Who comes under that name takes its session, and what waits in it."""
WORDS = (
    Kept("influx_admin_password", HEATWATCH),
    Kept("influx_admin_token", HEATWATCH),
    Kept("postgres_admin_password", POSTGRES),
    Kept("postgres_password", POSTGRES, shared=True),
    Kept("grafana_admin_password", GRAFANA),
)
"""Passwords and tokens of servers, apart from the broker's."""


_READERS = Kept("readers", ROOT)
"""Holds who reads the others, so that it need be said once only."""


def keeper_of(folder: Path, readers: Readers | None = None) -> Keeper:
    """Return the keeper of a folder, which only its owner may enter; it is made where there is none.

    Parameters
    ----------
    folder
        The folder of secrets.
    readers
        Who reads them; None: as it was said before, or the containers.

    Raises
    ------
    BadInput
        If it cannot be made, or is not ours to close, or its secrets have other readers.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise BadInput(f"cannot be the folder of secrets: {error.strerror}", where=str(folder)) from error
    file = folder / _READERS.path
    known = Readers(one_line(file, "word")) if file.exists() else None
    if None not in (known, readers) and known is not readers:
        raise BadInput(f"is for {known}", where=str(folder), mend="name another folder")
    keeper = Keeper(folder, known or readers or Readers.CONTAINERS)
    if known is None:
        keeper.write(_READERS, f"{keeper.readers}\n")
    return keeper


class Keeper:
    """Keeps the files of a folder of secrets.

    Parameters
    ----------
    folder
        Where they are.
    readers
        Who reads them. For containers, root gives each file to its reader, with mode 0600, or 0640 where heatwatch's
        group reads it too. Nobody else can give files away: then they have mode 0644 in a folder that only its owner
        may enter; containers see them through their mounts.
    """

    def __init__(self, folder: Path, readers: Readers) -> None:
        self.folder, self.readers = folder, readers

    def file(self, kept: Kept) -> Path:
        """Return where a file is."""
        return self.folder / kept.path

    def word(self, kept: Kept, *, rotate: bool = False) -> str:
        """Return the word that a file holds; a new, random one where there is none, or it is to be another."""
        if self.file(kept).exists() and not rotate:
            return one_line(self.file(kept), "secret")
        word = new_word()
        self.write(kept, f"{word}\n")
        return word

    def write(self, kept: Kept, text: str | bytes) -> None:
        """Put a file in place, whole or not at all, where only its readers may read it.

        Raises
        ------
        BadInput
            If it cannot be written.
        """
        file = self.file(kept)
        try:
            self._make_folder(file.parent, kept)
            owner = (kept.owner, HEATWATCH if kept.shared else ROOT) if self._gives_away else None
            put(file, text.encode() if isinstance(text, str) else text, mode=self._mode(kept), owner=owner)
        except OSError as error:
            raise BadInput(f"cannot be written: {error.strerror}", where=str(file)) from error

    def _make_folder(self, folder: Path, kept: Kept) -> None:
        """Make a folder in the folder: a whole one is mounted, and its container has to enter it."""
        if folder == self.folder or folder.is_dir():
            return
        folder.mkdir(mode=0o700)
        if self._gives_away:
            os.chown(folder, kept.owner, ROOT)
        elif self.readers is Readers.CONTAINERS:
            folder.chmod(0o755)

    @property
    def _gives_away(self) -> bool:
        return self.readers is Readers.CONTAINERS and os.geteuid() == ROOT

    def _mode(self, kept: Kept) -> int:
        if kept.public or (self.readers is Readers.CONTAINERS and os.geteuid() != ROOT):
            return 0o644
        return 0o640 if kept.shared and self._gives_away else 0o600


def new_word() -> str:
    """Return a random word of 43 letters, digits, `-` and `_`."""
    return secrets.token_urlsafe(WORD_BYTES)


def health_text(word: str) -> str:
    """Return the options of `mosquitto_sub`, one a line, with the password of the account `health`."""
    return f"-h 127.0.0.1\n-p 1883\n-u health\n-P {word}\n"


def health_word(text: str) -> str:
    """Return the password in these options; empty where there is none.

    >>> health_word(health_text("word"))
    'word'
    """
    return next((line.removeprefix("-P ") for line in text.splitlines() if line.startswith("-P ")), "")


def new_client(worker: str) -> str:
    """Return a name for a worker at the broker that nobody can guess."""
    return f"{worker}-{secrets.token_hex(CLIENT_BYTES)}"
