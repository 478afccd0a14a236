"""The records: one contract, whatever database keeps them."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from heatwatch.errors import BadInput, Damaged, Unavailable
from heatwatch.records import database
from heatwatch.records.database import Records
from heatwatch.records.progress import advance, progress
from heatwatch.records.schema import Base, JournalPosition
from heatwatch.settings import Settings


def _in_threads(number: int, work: Callable[[], None]) -> list[BaseException]:
    """Run `work` in several threads at once; return what went wrong."""
    wrong: list[BaseException] = []

    def watched() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            wrong.append(error)

    threads = [threading.Thread(target=watched) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def _differences(records: Records) -> list[object]:
    with records.engine.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), Base.metadata))


def _count_up(records: Records) -> None:
    """Add one, by looking first and writing later."""
    with records.write() as session:
        row = session.get(JournalPosition, "w", with_for_update=True)
        if row is not None:
            row.sequence += 1


def _sequence(records: Records) -> int:
    with records.read() as session:
        return session.get_one(JournalPosition, "w").sequence


def _start_count(records: Records) -> None:
    with records.write() as session:
        session.add(JournalPosition(worker="w", sequence=0))


class TestMigrate:
    """`migrate` leads any database to this version's tables."""

    def test_leads_to_the_tables_of_this_version(self, records: Records) -> None:
        assert _differences(records) == []

    def test_again_changes_nothing(self, records: Records) -> None:
        _start_count(records)
        records.migrate()
        assert _sequence(records) == 0

    def test_by_several_at_once_happens_once(self, url: str) -> None:
        def work() -> None:
            own = Records(url)
            own.migrate()
            own.close()

        assert _in_threads(4, work) == []
        records = Records(url)
        assert _differences(records) == []
        records.close()

    def test_refuses_records_of_a_newer_version(self, records: Records) -> None:
        with records.write() as session:
            session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(BadInput, match="9999"):
            records.migrate()

    def test_that_fails_leaves_nothing(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A step that breaks half way leaves the tables as they were."""
        records = Records(url)
        upgrade = command.upgrade

        def interrupted(config: Config, revision: str) -> None:
            upgrade(config, revision)
            raise RuntimeError

        monkeypatch.setattr(command, "upgrade", interrupted)
        with pytest.raises(RuntimeError):
            records.migrate()
        assert inspect(records.engine).get_table_names() == []
        records.close()


class TestWrite:
    """A write is all or nothing, and waits its turn."""

    def test_keeps_nothing_of_a_block_that_fails(self, records: Records) -> None:
        _start_count(records)

        def fail() -> None:
            with records.write() as session:
                session.get_one(JournalPosition, "w").sequence = 5
                session.flush()
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail()
        assert _sequence(records) == 0

    def test_by_four_threads_loses_nothing_and_locks_nobody_out(self, records: Records) -> None:
        _start_count(records)
        rounds = 40

        def work() -> None:
            for _ in range(rounds):
                _count_up(records)

        assert _in_threads(4, work) == []
        assert _sequence(records) == 4 * rounds

    def test_by_other_processes_too(self, records: Records, url: str) -> None:
        _start_count(records)
        program = (
            "import sys\n"
            "from heatwatch.records.database import Records\n"
            "from heatwatch.records.schema import JournalPosition\n"
            "records = Records(sys.argv[1])\n"
            "for _ in range(25):\n"
            "    with records.write() as session:\n"
            "        session.get(JournalPosition, 'w', with_for_update=True).sequence += 1\n"
            "records.close()\n"
        )
        others = [subprocess.Popen([sys.executable, "-c", program, url]) for _ in range(2)]
        for _ in range(25):
            _count_up(records)
        assert [other.wait() for other in others] == [0, 0]
        assert _sequence(records) == 75

    def test_is_not_seen_by_who_looks_before_it_ends(self, records: Records) -> None:
        """What a look sees is of one moment, though someone writes meanwhile; neither waits for the other."""
        _start_count(records)
        with records.read() as looking:
            before = looking.scalar(select(JournalPosition.sequence))
            _count_up(records)
            assert looking.scalar(select(JournalPosition.sequence)) == before == 0
        assert _sequence(records) == 1


class TestAnswers:
    """What does not answer is told from what was asked wrongly."""

    def test_ping_is_quiet_while_the_database_answers(self, records: Records) -> None:
        records.ping()

    @pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all.sqlite"], indirect=False)
    def test_ping_says_that_it_does_not_answer(self, url: str) -> None:
        records = Records(url)
        with pytest.raises(Unavailable, match="records"):
            records.ping()
        records.close()

    def test_a_mistake_in_a_question_is_no_silence(self, records: Records) -> None:
        with pytest.raises((OperationalError, ProgrammingError)), records.read() as session:
            session.execute(text("SELECT * FROM no_such_table"))


class TestProgress:
    """How far a role has come."""

    def test_is_none_before_the_first_step(self, records: Records) -> None:
        with records.read() as session:
            assert progress(session, "analytics") is None

    def test_tells_the_last_step_of_its_role(self, records: Records) -> None:
        tick = {"run": "r", "step": 3, "now": 1764038400000}
        with records.write() as session:
            advance(session, "analytics", 1, None, None)
            advance(session, "dispatch", 9, 4, None)
        with records.write() as session:
            advance(session, "analytics", 7, 1764038400000, tick)
        with records.read() as session:
            row = progress(session, "analytics")
            assert row is not None
            assert (row.arrival_seq, row.as_of_ms, row.tick) == (7, 1764038400000, tick)


class TestSqlite:
    """What holds for the embedded database only."""

    def test_survives_a_power_cut_and_lets_readers_look(self, tmp_path: Path) -> None:
        """The journal is a write-ahead log and each commit is on the disk."""
        records = Records(f"sqlite:///{tmp_path / 'r.sqlite'}")
        with records.read() as session:
            told = [session.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")]
        records.close()
        assert told == ["wal", 2, 1]

    def test_a_file_that_is_no_database_is_damaged(self, tmp_path: Path) -> None:
        (tmp_path / "r.sqlite").write_bytes(b"no database at all" * 500)
        records = Records(f"sqlite:///{tmp_path / 'r.sqlite'}")
        with pytest.raises(Damaged, match="not a database"):
            records.ping()
        records.close()

    def test_readers_that_hold_every_connection_too_long_are_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        records = Records(f"sqlite:///{tmp_path / 'r.sqlite'}")
        monkeypatch.setattr(records.engine.pool, "_timeout", 0.05)
        with ExitStack() as held:
            for _ in range(15):
                held.enter_context(records.read()).connection()
            with pytest.raises(Unavailable, match="QueuePool limit"):
                records.ping()
        records.close()

    @pytest.mark.parametrize("name", ["a?b=c", "a#b", "a%20b", "a b@c:d"])
    def test_its_folder_may_have_any_name(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).mkdir()
        records = Records(Settings(data_dir=tmp_path / name).records_url)
        records.migrate()
        records.close()
        assert (tmp_path / name / "records.sqlite").is_file()

    def test_a_writer_inside_a_writer_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """One thread that would wait for itself is told so."""
        monkeypatch.setattr(database, "WAIT_S", 0.1)
        records = Records(f"sqlite:///{tmp_path / 'r.sqlite'}")
        with records.write(), pytest.raises(Unavailable, match="another"), records.write():
            pass
        records.close()
