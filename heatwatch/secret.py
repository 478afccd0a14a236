"""Secrets are read from files, and stand nowhere else: an address or a flag is seen in process lists and logs."""

from __future__ import annotations

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
