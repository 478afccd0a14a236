"""What `serve` makes of the data folder that it finds."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from cli.opening import open_records
from cli.running import stopping_on_signals
from cli.wiring import Service
from heatwatch.errors import BadInput, Damaged
from heatwatch.records.schema import JournalPosition, ReadingCount
from heatwatch.settings import Settings
from ingest.journal import Journal, Message
from tests.e2e.processes import run


def settings(folder: Path) -> Settings:
    return Settings(data_dir=folder, broker_port=0, api_port=0)


def test_a_store_that_lost_its_readings_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    with open_records(settings(tmp_path)) as records, records.write() as session:
        session.add_all(ReadingCount(worker="w", source=source, stored=5) for source in ("p1", "p2"))
    lost = r"readings\.duckdb: holds no reading, though 10 were stored: restore it from the backup"
    with pytest.raises(Damaged, match=lost), Service(settings(tmp_path)):
        pass


@pytest.mark.parametrize("below", [".", "below"])
def test_a_data_folder_that_is_a_file_is_bad_input_in_one_line(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be the data folder"), open_records(settings(tmp_path / "file" / below)):
        pass
    ended = run("serve", "--data-dir", tmp_path / "file" / below, "--broker-port", 0, "--api-port", 0)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)


def test_messages_that_wait_in_another_worker_s_journal_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for worker in ("done", "left", "mine"):
        with Journal(tmp_path / "journal" / worker, limit_bytes=1 << 20) as journal:
            journal.append([Message(b"t", b"", 0)] * 3)
    with open_records(settings(tmp_path)) as records, records.write() as session:
        session.add_all([JournalPosition(worker="done", sequence=3), JournalPosition(worker="left", sequence=1)])
    with Service(settings(tmp_path).model_copy(update={"worker": "mine"})):
        pass
    told = [record.getMessage() for record in caplog.records if "wait for a worker" in record.getMessage()]
    assert told == [f"journal {tmp_path / 'journal' / 'left'}: 2 messages wait for a worker of the name left"]


def test_being_asked_to_end_while_it_waits_at_its_own_lock_ends_it() -> None:
    """The handler interrupts the thread that holds the event's lock: it must not wait for that lock itself."""
    stop, timer = threading.Event(), threading.Timer(10, os._exit, [1])
    timer.daemon = True
    timer.start()
    with stopping_on_signals(stop):
        with stop._cond:  # type: ignore[attr-defined]
            signal.raise_signal(signal.SIGTERM)
        assert stop.wait(10)
    timer.cancel()
