"""What a worker tells others of its journal, beside its own storing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from heatwatch.records.database import Records
from heatwatch.records.schema import JournalPosition
from heatwatch.usecases.delivery import Delivery, MessageTally, commit_delivery
from ingest import telling
from ingest.journal import Journal, Message
from ingest.telling import Telling
from tests.peers import wait_for
from tests.postgresql import new_database

MEANWHILE_S = 0.3


@pytest.fixture
def records(postgres: str) -> Iterator[Records]:
    """Give records on PostgreSQL, where two write at once."""
    with closing(Records(new_database(postgres))) as made:
        made.migrate()
        yield made


@contextmanager
def journal_of(folder: Path, messages: int) -> Iterator[Journal]:
    with Journal(folder, limit_bytes=1 << 20) as journal:
        journal.append([Message(b"t", b"", 0)] * messages)
        yield journal


def stored(last: int) -> Delivery:
    return Delivery("w", 1, last, messages={"t": MessageTally(decoded=last)})


def position(records: Records) -> tuple[int, int] | None:
    with records.read() as session:
        row = session.get(JournalPosition, "w")
        return None if row is None else (row.sequence, row.received)


@pytest.mark.parametrize("looked", [1, 2])
def test_the_first_that_is_told_never_collides_with_the_first_that_is_stored(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looked: int
) -> None:
    """Both make the worker's row where they see none: neither may fail, which would end the role, or undo the other.

    What stores looks twice before it makes the row.
    """
    monkeypatch.setattr(telling, "EVERY_S", 0.01)
    merge = Session.merge
    failed: list[BaseException] = []
    with journal_of(tmp_path, 7) as journal:
        teller = Telling("w", journal, records)

        def run() -> None:
            try:
                teller.run()
            except BaseException as error:  # noqa: BLE001 - looked at below
                failed.append(error)

        thread = threading.Thread(target=run)

        def tell() -> None:
            if not thread.ident:
                thread.start()
                thread.join(MEANWHILE_S)

        def meanwhile(session: Session, instance: Any, **more: Any) -> Any:
            if looked == 1:
                tell()
            merged = merge(session, instance, **more)
            tell()
            return merged

        monkeypatch.setattr(Session, "merge", meanwhile)
        with records.write() as session:
            commit_delivery(session, stored(5))
        wait_for(lambda: failed or position(records) == (5, 7), 3)
        teller.stop()
        thread.join()
    assert not failed
    assert position(records) == (5, 7)


def test_what_waits_is_told_also_before_anything_was_stored(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "EVERY_S", 0.01)
    with journal_of(tmp_path, 3) as journal:
        teller = Telling("w", journal, records)
        thread = threading.Thread(target=teller.run)
        thread.start()
        wait_for(lambda: position(records) == (0, 3))
        journal.append([Message(b"t", b"", 0)])
        wait_for(lambda: position(records) == (0, 4))
        teller.stop()
        thread.join()
        with records.write() as session:
            commit_delivery(session, stored(2))
    assert position(records) == (2, 4)
