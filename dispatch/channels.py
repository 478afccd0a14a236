"""Where notifications go. A channel returns when it has them for good, and raises `Unavailable` when it cannot."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from heatwatch.domain.instants import iso
from heatwatch.errors import Unavailable
from heatwatch.records.schema import OutboxRow

log = logging.getLogger(__name__)


class Channel(Protocol):
    """Something that brings notifications to people. The same one may come twice: its `key` says so."""

    name: str

    def send(self, notifications: Sequence[OutboxRow]) -> None:
        """Take all of these, or raise `Unavailable`."""
        ...


class LogChannel:
    """Writes each notification as one line of JSON to a file, flushed to disk, and to the log."""

    name = "log"

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, notifications: Sequence[OutboxRow]) -> None:
        """Append to the file.

        Raises
        ------
        Unavailable
            If the file cannot be written.
        """
        text = "".join(json.dumps(_said(one), ensure_ascii=False) + "\n" for one in notifications)
        try:
            with self._path.open("a+b") as file:
                file.write(_after_a_cut(file) + text.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise Unavailable(str(self._path), error.strerror or str(error)) from error
        for one in notifications:
            log.info("to %s: %s", one.recipient, one.text, extra={"trace": one.trace, "ticket": one.ticket_id})


def _after_a_cut(file: IO[bytes]) -> bytes:
    """Return what ends a line that a power cut has left unfinished, so that the next one can be read."""
    if not file.seek(0, os.SEEK_END):
        return b""
    file.seek(-1, os.SEEK_END)
    return b"" if file.read(1) == b"\n" else b"\n"


def _said(one: OutboxRow) -> dict[str, Any]:
    return {
        "key": one.key,
        "at": iso(one.created_ms),
        "kind": one.kind,
        "recipient": one.recipient,
        "ticket_id": one.ticket_id,
        "notice_id": one.notice_id,
        "trace": one.trace,
        "text": one.text,
    }
