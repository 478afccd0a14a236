"""Secrets are read from files, and stand nowhere else: an address or a flag is seen in process lists and logs."""

from __future__ import annotations

import os
from pathlib import Path

from heatwatch.errors import BadInput

MOST_BYTES = 65_535
"""No secret is longer: MQTT gives a password two bytes for its length."""


def one_line(file: Path, what: str) -> str:
    """Read a secret: the one line of a file.

    Parameters
    ----------
    file
        Read at each call, so that a new secret needs no restart.
    what
        Names it, as in ``password``.

    Raises
    ------
    BadInput
        If the file cannot be read, or does not hold one line. No word of it is in the error.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror or str(error)) if isinstance(error, OSError) else "no UTF-8"
        raise BadInput(f"the {what} cannot be read: {why}", where=str(file)) from None
    word = text.removesuffix("\n").removesuffix("\r")
    if not word or "\n" in word or len(word.encode()) > MOST_BYTES:
        raise BadInput(f"a {what} is one line of text", where=str(file))
    return word


def put(file: Path, content: bytes, *, mode: int = 0o600, owner: tuple[int, int] | None = None) -> None:
    """Put a secret into a file of its own, whole or not at all; until it is whole nobody else may read it.

    Parameters
    ----------
    file
        In a folder that is there; what stood in it is replaced.
    mode, owner
        Who may read it, and whose it is (user and group); ours where None.

    Raises
    ------
    OSError
        If it cannot be written; then what stood there still does.
    """
    scratch = file.with_name(f".{file.name}.new")
    scratch.unlink(missing_ok=True)
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(content)
        if owner is not None:
            os.fchown(handle, *owner)
        os.fchmod(handle, mode)
        out.flush()
        os.fsync(handle)
    scratch.replace(file)
