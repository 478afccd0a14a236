"""A backup is of one moment, whatever goes on meanwhile; restored, everything is as it was and nothing is lost."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sqlalchemy import select, text

from analytics.judge import judge
from analytics.roles.worker import AnalyticsWorker
from cli.backing_up import check_journal, installation_of
from cli.main import heatwatch
from cli.opening import open_records, open_store
from dispatch.worker import DispatchWorker
from heatwatch.domain.instants import MINUTE_MS
from heatwatch.domain.people import Role
from heatwatch.domain.register import Register
from heatwatch.errors import BadInput, Damaged, HeatwatchError
from heatwatch.records.audit import digest
from heatwatch.records.database import Records
from heatwatch.records.schema import Base, Job, OutboxRow, TicketRow
from heatwatch.settings import Settings
from heatwatch.stores.readings import Int64, ReadingBatch, ReadingStore, Written
from heatwatch.usecases.audit import faults
from heatwatch.usecases.backup.restoring import FROM_BACKUP, Place, restore
from heatwatch.usecases.backup.role import JOB, BackupRole
from heatwatch.usecases.backup.tables import LEFT_OUT, revision_of
from heatwatch.usecases.backup.taking import Installation, take
from heatwatch.usecases.delivery import DeliverySummary, identities
from heatwatch.usecases.jobs import answered, ask
from heatwatch.usecases.people import Change, add_user
from heatwatch.usecases.register import import_register
from heatwatch.usecases.roles import Bell
from heatwatch.wire import reading_topic
from ingest.journal import Journal, Message
from ingest.sorting import Clock
from ingest.storing import Storing
from tests.analytics.test_worker import STANDARD, START, ZONE, rooms
from tests.influxdb import DATABASE, Influx1
from tests.postgresql import new_database

REGISTER = Register.of([*rooms("p1", "p2"), *rooms("q1", building="c")])
EVERY = 30 * MINUTE_MS
SMALL = 4000
"""Size of a segment, so that there are many [bytes]."""
Row = tuple[str, int, str]
"""Source, time [ms], and temperature as it is written."""


def message(point: str, time_ms: int, temp_c: float | None, arrived_ms: int | None = None, **more: Any) -> Message:
    payload = json.dumps({"ts": time_ms, "t": temp_c, **more}).encode()
    return Message(
        reading_topic("s", "b", point).encode(), payload, time_ms + 1000 if arrived_ms is None else arrived_ms
    )


def winter(halves: int = 60) -> list[Message]:
    """Return what a small town sends: cold in one room, and everything that can be odd about a reading."""
    sent = list[Message]()
    for k in range(halves):
        at_ms = START + k * EVERY
        sent += [message("p1", at_ms, 16.5, bat=87), message("q1", at_ms, 20.0 + k % 3 / 10, rh=41.0, rssi=-97)]
        if k % 7 == 0:
            sent.append(message("p2", at_ms, None, flags=["low_battery"]))
        if k % 9 == 0:
            sent += [message("q1", at_ms, 25.0), message("q1", at_ms, 20.0 + k % 3 / 10)]
        if k % 11 == 0:
            sent.append(Message(b"heat/s/b/p2/reading", b"\xff no reading", at_ms))
    return sent


class House:
    """An installation in a folder: journals, store, records, and the roles' work done when it is asked for."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        settings.data_dir.mkdir(exist_ok=True)
        self.records = Records(settings.records_url)
        self.records.migrate()
        self._opened = ExitStack()
        self.store: ReadingStore = self._opened.enter_context(open_store(settings, self.records))
        self.journals = dict[str, Journal]()

    def journal(self, worker: str = "w1") -> Journal:
        folder = self.settings.journal_dir.parent / worker
        if worker not in self.journals:
            self.journals[worker] = Journal(folder, limit_bytes=1 << 30, segment_bytes=SMALL)
        return self.journals[worker]

    def drain(self, worker: str = "w1") -> None:
        """Store what waits."""
        clock = Clock(replayed=False, now_ms=None, ahead_limit_ms=600_000)
        storing = Storing(worker, self.journal(worker), self.store, self.records, Bell(), clock)
        storing.stop()
        storing.run()

    def receive(self, messages: Sequence[Message], worker: str = "w1", group: int = 5) -> None:
        """Receive and store messages, a few at a time."""
        for first in range(0, len(messages), group):
            self.journal(worker).append(messages[first : first + group])
            self.drain(worker)

    def work(self, now_ms: int) -> None:
        """Judge, and let tickets follow."""

        def clock() -> int:
            return now_ms

        analytics = AnalyticsWorker(self.records, self.store, STANDARD, ZONE, Bell(), wall_clock=clock)
        dispatch = DispatchWorker(self.records, self.store, STANDARD, Bell(), timezone=str(ZONE), wall_clock=clock)
        for pass_once in (analytics.pass_once, dispatch.pass_once):
            while pass_once():
                pass

    def identity(self) -> DeliverySummary:
        with self.records.read() as session:
            return identities(session, {worker: one.last_sequence for worker, one in self.journals.items()})

    def readings(self) -> list[tuple[Any, ...]]:
        """Return every reading with all that is known of it, in order."""
        found = self.store.whole(0, START * 2)
        names = [found.source[code] for code in found.code]
        values = (found.temp_c, found.humidity_pct, found.battery, found.rssi_dbm)
        texts = zip(*([str(value) for value in column.tolist()] for column in values), strict=True)
        births = zip(found.worker, found.sequence.tolist(), found.position.tolist(), strict=True)
        rest = zip(found.flags, found.arrived_ms.tolist(), found.conflict.tolist(), strict=True)
        return sorted(zip(names, found.time_ms.tolist(), texts, births, rest, strict=True))

    def values(self) -> set[Row]:
        return {(name, at_ms, texts[0]) for name, at_ms, texts, *_ in self.readings()}

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return every row of every table, but of those that are no part of a backup."""
        with self.records.read() as session:
            return {
                name: sorted((tuple(row) for row in session.execute(select(table))), key=repr)
                for name, table in Base.metadata.tables.items()
                if name not in LEFT_OUT
            }

    def installation(self) -> Installation:
        return installation_of(self.settings, self.records, self.store)

    def close(self) -> None:
        for journal in self.journals.values():
            journal.close()
        self._opened.close()
        self.records.close()


@contextmanager
def house(folder: Path, **settings: Any) -> Iterator[House]:
    with closing(House(Settings(data_dir=folder, worker="w1", **settings))) as made:
        yield made


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of an installation with findings, tickets, conflicts, quarantine, a user and waiting messages."""
    folder = tmp_path_factory.mktemp("lived") / "old"
    with house(folder) as made:
        with made.records.write() as session:
            import_register(session, REGISTER.rows, "points.csv", "0" * 64, START)
            add_user(session, "dispatcher", Change(role=Role.DISPATCH), by="test", now_ms=START)
        made.receive(winter())
        made.work(START + 60 * EVERY)
        made.journal().append([message("q1", START + 61 * EVERY, 19.0), message("p2", START + 61 * EVERY, None)])
    return folder


@pytest.fixture
def lived(template: Path, tmp_path: Path) -> Iterator[House]:
    shutil.copytree(template, tmp_path / "old")
    with house(tmp_path / "old") as made:
        yield made


def place(folder: Path, **settings: Any) -> Place:
    return Place(Settings(data_dir=folder, worker="w1", **settings), open_store, check_journal)


def frames(made: House) -> dict[Any, pd.DataFrame]:
    found = made.store.read()
    names = np.asarray(found.source, dtype=object)[found.code]
    time = pd.to_datetime(found.time_ms, unit="ms", utc=True)
    rows = pd.DataFrame({"point_id": names, "time": time, "temperature_c": found.temp_c})
    return dict(judge(rows, REGISTER, STANDARD, ZONE, START + 60 * EVERY).frames)


def assert_same(old: House, new: House) -> None:
    """Everything that was kept is there, and what waited is stored when the journal is worked through."""
    assert new.tables() == old.tables()
    assert new.readings() == old.readings()
    assert old.identity() == new.identity()
    with new.records.read() as session:
        assert list(faults(session)) == []
    for made in (old, new):
        made.journal()
        assert made.identity().messages["waiting"] == 2
        made.drain()
        assert made.identity().messages["waiting"] == 0
        assert made.identity().holds
    assert new.readings() == old.readings()
    assert new.identity() == old.identity()


@pytest.mark.parametrize("name", ["backup", "backup.tar"])
def test_everything_is_there_again(lived: House, tmp_path: Path, name: str) -> None:
    told = take(lived.installation(), tmp_path / name)
    assert told["remarks"] == []
    assert told["journals"]["w1"]["received"] - told["journals"]["w1"]["stored"] == 2
    said = restore(tmp_path / name, place(tmp_path / "new"))
    assert said["readings"] == lived.store.count()
    lived.journal()
    with house(tmp_path / "new") as new:
        new.journal()
        with new.records.read() as session:
            assert session.scalars(select(TicketRow)).all()
            assert session.scalars(select(OutboxRow)).all()
        before, after = frames(lived), frames(new)
        assert any(len(frame) for frame in before.values())
        for kind, frame in before.items():
            pd.testing.assert_frame_equal(after[kind], frame, check_exact=True)
        assert_same(lived, new)
        new.work(START + 62 * EVERY)
        lived.work(START + 62 * EVERY)
        assert new.tables()["findings"] == lived.tables()["findings"]
        assert new.tables()["tickets"] == lived.tables()["tickets"]


def test_from_one_database_to_another_and_back(lived: House, tmp_path: Path, postgres: str) -> None:
    """New rows get numbers after those that came."""
    take(lived.installation(), tmp_path / "first.tar")
    there = {"records": new_database(postgres)}
    restore(tmp_path / "first.tar", place(tmp_path / "other", **there))
    with house(tmp_path / "other", **there) as other:
        assert other.tables() == lived.tables()
        take(other.installation(), tmp_path / "second")
        with pytest.raises(BadInput, match="is not empty"):
            restore(tmp_path / "second", place(tmp_path / "third", **there))
        other.receive([Message(b"heat/s/b/p2/reading", b"nonsense", START)])
        other.work(START + 64 * EVERY)
    assert not (tmp_path / "third").exists()
    restore(tmp_path / "second", place(tmp_path / "back"))
    lived.journal()
    with house(tmp_path / "back") as back:
        back.journal()
        assert_same(lived, back)


def test_from_one_store_to_another_and_back(lived: House, tmp_path: Path, influx: Influx1) -> None:
    there = {"store": "influxdb1", "influx_url": influx.url, "influx_bucket": DATABASE}
    take(lived.installation(), tmp_path / "first")
    assert restore(tmp_path / "first", place(tmp_path / "other", **there))["readings"] == lived.store.count()
    with pytest.raises(BadInput, match="holds readings already"):
        restore(tmp_path / "first", place(tmp_path / "third", **there))
    with house(tmp_path / "other", **there) as other:
        assert other.readings() == lived.readings()
        take(other.installation(), tmp_path / "second.tar")
    restore(tmp_path / "second.tar", place(tmp_path / "back"))
    with house(tmp_path / "back") as back:
        assert_same(lived, back)


def test_onto_a_postgresql_and_an_influxdb_that_were_set_up_and_back(
    lived: House, tmp_path: Path, influx: Influx1, postgres: str
) -> None:
    """As on Debian and with compose, where processes take turns at writing by a table of the records."""
    there = {
        "store": "influxdb1",
        "influx_url": influx.url,
        "influx_bucket": DATABASE,
        "records": new_database(postgres),
    }
    take(lived.installation(), tmp_path / "first.tar")
    other = place(tmp_path / "a" / "other", **there)
    with open_records(other.settings.model_copy(update={"data_dir": tmp_path / "elsewhere"})):
        pass  # as `heatwatch setup` makes them
    restore(tmp_path / "first.tar", other)
    made = tmp_path / "a" / "other"
    assert made.stat().st_mode & 0o007 == 0
    assert {path.name for path in made.iterdir()} == {"journal", FROM_BACKUP}
    with house(made, **there) as house_there:
        assert house_there.tables() == lived.tables()
        assert house_there.readings() == lived.readings()
        take(house_there.installation(), tmp_path / "second.tar")
    restore(tmp_path / "second.tar", place(tmp_path / "back"))
    with house(tmp_path / "back") as back:
        assert_same(lived, back)


def test_what_a_store_that_takes_nothing_back_may_hold_is_said(
    lived: House, tmp_path: Path, influx: Influx1, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(lived.installation(), tmp_path / "b")

    def fail(*_: Any) -> None:
        raise Damaged("no more", where="disk")

    monkeypatch.setattr("heatwatch.usecases.backup.restoring.load_tables", fail)
    there = {"store": "influxdb1", "influx_url": influx.url, "influx_bucket": DATABASE}
    with pytest.raises(HeatwatchError, match=rf"no more\. bucket {DATABASE} .*may hold a part of the readings"):
        restore(tmp_path / "b", place(tmp_path / "new", **there))
    assert not (tmp_path / "new").exists()


class Cuts:
    """A store, and a journal, that let something be done at each step of storing, once."""

    def __init__(self, made: House, at: int, deed: Callable[[], object]) -> None:
        self._step, self._at, self._deed = 0, at, deed
        self._inner, journal = made.store, made.journal()
        self._forget = journal.forget
        made.store = self
        journal.forget = self.forget  # type: ignore[method-assign]

    def write(self, batch: ReadingBatch) -> Written:
        self._pass()
        written = self._inner.write(batch)
        self._pass()
        return written

    def forget(self, sequence: int) -> None:
        self._pass()
        self._forget(sequence)
        self._pass()

    def _pass(self) -> None:
        if self._step == self._at:
            self._deed()
        self._step += 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def temperatures(messages: Sequence[Message]) -> set[Row]:
    """Return the readings that are in messages."""
    told = [json.loads(one.payload) for one in messages]
    points = [one.topic.decode().split("/")[3] for one in messages]
    values = (str(math.nan if one["t"] is None else float(one["t"])) for one in told)
    return {(point, one["ts"], value) for point, one, value in zip(points, told, values, strict=True)}


STEPS = ("before the store", "stored, not committed", "committed, not forgotten", "forgotten")


@pytest.mark.parametrize("cut", range(8, 8 + len(STEPS)), ids=STEPS)
def test_at_whichever_step_of_storing_it_is_taken_nothing_is_lost_or_counted_twice(tmp_path: Path, cut: int) -> None:
    sent = [message(f"p{k % 3}", START + k // 4 * MINUTE_MS, 20.0 + k % 2) for k in range(60)]
    with house(tmp_path / "old") as old:
        Cuts(old, cut, lambda: take(old.installation(), tmp_path / "backup"))
        for k in range(0, 60, 15):
            old.journal().append(sent[k : k + 15])
            old.drain()
    restore(tmp_path / "backup", place(tmp_path / "new"))
    with house(tmp_path / "new") as new, house(tmp_path / "plain") as plain:
        assert new.journal().last_sequence == 45
        plain.journal().append(sent[:45])
        for made in (new, plain):
            made.drain()
            assert made.identity().holds
            assert made.identity().messages["waiting"] == 0
            assert made.values() == temperatures(sent[:45])
        assert new.identity() == plain.identity()
        assert [row[:3] for row in new.readings()] == [row[:3] for row in plain.readings()]


class Late:
    """A store that takes more while a backup waits for its readings."""

    def __init__(self, inner: ReadingStore, deed: Callable[[], None]) -> None:
        self._inner, self._deed = inner, deed

    def days(self) -> tuple[Int64, Int64]:
        self._deed()
        return self._inner.days()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_readings_that_came_after_the_moment_are_left_out(tmp_path: Path) -> None:
    """Their numbers are given anew by the restored journal: kept, they would be counted by nobody."""
    sent = [message(f"p{k % 3}", START + k * MINUTE_MS, 20.0) for k in range(30)]
    with house(tmp_path / "old") as old:
        old.receive(sent[:10])
        old.journal().append(sent[10:15])
        late: Any = Late(old.store, lambda: old.receive(sent[15:]))
        told = take(replace(old.installation(), store=late), tmp_path / "backup")
        assert old.store.count() == 30
    assert (told["came_later"], sum(told["readings"].values())) == (15, 15)
    restore(tmp_path / "backup", place(tmp_path / "new"))
    with house(tmp_path / "new") as new:
        assert new.identity().messages == {"received": 10, **_of_messages(10), "waiting": 0}
        new.receive(sent[20:])
        assert new.identity().readings["stored"] == new.store.count() == 25
        assert new.values() == temperatures([*sent[:15], *sent[20:]])


def _of_messages(decoded: int) -> dict[str, int]:
    return {"decoded": decoded, "no_reading": 0, "quarantined": 0}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_while_two_workers_receive_and_store_it_is_of_one_moment(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    where = {} if kind == "sqlite" else {"records": new_database(request.getfixturevalue("postgres"))}
    sent = {
        worker: [message(f"p{k % 5}", START + k // 3 * MINUTE_MS, 20.0 + (k + shift) % 3 / 10) for k in range(150)]
        for shift, worker in enumerate(("w1", "w2"))
    }
    with house(tmp_path / "old", **where) as old:

        def receive(worker: str) -> None:
            for first in range(0, 150, 6):
                old.journal(worker).append(sent[worker][first : first + 6])
                old.drain(worker)

        threads = [threading.Thread(target=receive, args=(worker,)) for worker in sent]
        for thread in threads:
            thread.start()
        taken = [take(old.installation(), tmp_path / f"b{n}.tar") for n in range(2)]
        for thread in threads:
            thread.join()
    for number, told in enumerate(taken):
        folder = tmp_path / f"new{number}"
        restore(tmp_path / f"b{number}.tar", place(folder))
        with house(folder) as new:
            held = {worker: one["received"] for worker, one in told["journals"].items()}
            for worker, received in held.items():
                assert new.journal(worker).last_sequence == received
                new.drain(worker)
            assert new.identity().holds
            assert new.identity().messages["received"] == sum(held.values())
            expected = set[Row]().union(*(temperatures(sent[worker][:last]) for worker, last in held.items()))
            assert new.values() == expected
            assert new.identity().readings["stored"] + new.identity().readings["conflict"] == len(expected)


def test_what_was_changed_in_a_backup_is_named_and_nothing_is_restored(lived: House, tmp_path: Path) -> None:
    take(lived.installation(), tmp_path / "whole")
    files = sorted(path for path in (tmp_path / "whole").rglob("*") if path.is_file())
    assert {path.relative_to(tmp_path / "whole").parts[0] for path in files} >= {"records", "readings", "journal"}
    for number, path in enumerate(path for path in files if path.stat().st_size):
        copy = tmp_path / f"copy{number}"
        shutil.copytree(tmp_path / "whole", copy)
        hurt = copy / path.relative_to(tmp_path / "whole")
        content = bytearray(hurt.read_bytes())
        content[len(content) // 2] ^= 1
        hurt.write_bytes(content)
        with pytest.raises(Damaged, match=hurt.name):
            restore(copy, place(tmp_path / "new"))
        hurt.unlink()
        with pytest.raises(Damaged, match=hurt.name):
            restore(copy, place(tmp_path / "new"))
        assert not (tmp_path / "new").exists()
    (tmp_path / "whole" / "records" / "more.parquet").write_bytes(b"")
    with pytest.raises(Damaged, match=r"more\.parquet.*manifest does not know it"):
        restore(tmp_path / "whole", place(tmp_path / "new"))


def test_a_backup_that_was_cut_off_is_refused_by_name(lived: House, tmp_path: Path) -> None:
    take(lived.installation(), tmp_path / "whole.tar")
    content = (tmp_path / "whole.tar").read_bytes()
    for part in (0.0, 0.001, 0.3, 0.7):
        cut = tmp_path / "cut.tar"
        cut.write_bytes(content[: int(len(content) * part)])
        with pytest.raises(Damaged, match=r"cut\.tar"):
            restore(cut, place(tmp_path / "new"))
    with pytest.raises(BadInput, match="nosuch"):
        restore(tmp_path / "nosuch", place(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_only_an_empty_place_is_restored_to_and_no_backup_replaced(lived: House, tmp_path: Path) -> None:
    out = tmp_path / "b.tar"
    take(lived.installation(), out)
    with pytest.raises(BadInput, match="is there already"):
        take(lived.installation(), out)
    before = lived.tables()
    with pytest.raises(BadInput, match="old/journal: is there already"):
        restore(out, place(lived.settings.data_dir))
    assert lived.tables() == before
    new = tmp_path / "new"
    (new / ".restore-old").mkdir(parents=True)
    with pytest.raises(BadInput, match=r"\.restore-old: is left of an attempt"):
        restore(out, place(new))
    (new / ".restore-old").rmdir()
    (new / "journal").mkdir()
    restore(out, place(new))
    assert sorted(path.name for path in new.iterdir()) == [
        "from-backup",
        "journal",
        "readings.duckdb",
        "records.sqlite",
    ]


def test_a_restore_that_fails_leaves_nothing(lived: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take(lived.installation(), tmp_path / "b")
    new = tmp_path / "new"
    new.mkdir()
    for step in ("load_readings", "load_tables", "_prove"):
        with monkeypatch.context() as patched:

            def fail(*_: Any) -> None:
                raise Damaged("no more", where="disk")

            patched.setattr(f"heatwatch.usecases.backup.restoring.{step}", fail)
            with pytest.raises(Damaged, match="no more"):
                restore(tmp_path / "b", place(new))
        assert list(new.iterdir()) == []
    restore(tmp_path / "b", place(new))


def test_a_trail_that_was_broken_is_told_of_at_both_ends(lived: House, tmp_path: Path) -> None:
    """Of a tampered installation there is a backup too; it says so, and hides nothing."""
    with lived.records.engine.begin() as connection:
        connection.execute(text("UPDATE users SET display_name = 'someone else'"))
    told = take(lived.installation(), tmp_path / "b")
    assert "audit trail is not whole" in told["remarks"][0]
    assert restore(tmp_path / "b", place(tmp_path / "new"))["remarks"] == told["remarks"]


def test_a_journal_elsewhere_is_told_of_and_a_damaged_one_refused(lived: House, tmp_path: Path) -> None:
    folder = lived.settings.journal_dir
    (newest,) = sorted(folder.glob("*.journal"))[-1:]
    content = bytearray(newest.read_bytes())
    content[-20] ^= 1
    whole, _ = newest.read_bytes(), newest.write_bytes(content)
    told = take(lived.installation(), tmp_path / "torn")
    assert told["journals"]["w1"]["received"] - told["journals"]["w1"]["stored"] < 2
    newest.write_bytes(whole[:20])
    with pytest.raises(Damaged, match=r"old/journal/w1"):
        take(lived.installation(), tmp_path / "hurt")
    assert not (tmp_path / "hurt").exists()
    shutil.rmtree(folder)
    told = take(lived.installation(), tmp_path / "elsewhere")
    assert "the journal of worker w1 is not in" in told["remarks"][0]
    restore(tmp_path / "elsewhere", place(tmp_path / "new"))


def _run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(heatwatch, [str(one) for one in arguments], catch_exceptions=False)


def test_the_commands(lived: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = lived.store.count()
    lived.close()
    (tmp_path / "secret").write_text("swordfish")
    (tmp_path / "heatwatch.toml").write_text(f'broker_password_file = "{tmp_path}/secret"\nbroker_user = "x"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cli.backing_up.SETTINGS_FILE", tmp_path / "heatwatch.toml")
    done = _run("backup", "--out", "b.tar", "--data-dir", tmp_path / "old", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["out"], told["readings"], told["waiting"]) == (str(tmp_path / "b.tar"), rows, 2)
    assert b"swordfish" not in (tmp_path / "b.tar").read_bytes()
    assert (tmp_path / "b.tar").stat().st_mode & 0o77 == 0
    with tarfile.open(tmp_path / "b.tar") as tar:
        names = tar.getnames()
    assert names[-1] == "manifest.json"
    assert {"settings/heatwatch.toml", "settings/in_force.json", "settings/rules.yaml"} < set(names)
    done = _run("restore", "b.tar", "--data-dir", tmp_path / "new")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("restored and verified: ")
    assert f"{rows:,} readings" in done.stdout
    assert done.stderr == ""
    assert (tmp_path / "new" / "from-backup" / "heatwatch.toml").read_text().startswith("broker_password_file")
    assert _run("audit", "verify", "--data-dir", tmp_path / "new").exit_code == 0


def test_where_no_installation_is_none_is_made_nor_backed_up(tmp_path: Path) -> None:
    done = CliRunner().invoke(heatwatch, ["backup", "--out", str(tmp_path / "b"), "--data-dir", str(tmp_path / "typo")])
    assert isinstance(done.exception, BadInput)
    assert list(tmp_path.iterdir()) == []


def test_a_running_serve_is_asked(lived: House, tmp_path: Path) -> None:
    """It alone may open the readings; nobody asks it again after a restore."""
    role, stop, out = BackupRole(lived.installation(), Bell()), threading.Event(), tmp_path / "b.tar"
    thread = threading.Thread(target=role.run, args=(stop,))
    thread.start()
    try:
        code = "from cli.main import main; main()"
        arguments = ["backup", "--out", str(out), "--data-dir", str(tmp_path / "old")]
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, timeout=60
        )
    finally:
        stop.set()
        thread.join()
    assert done.returncode == 0, done.stderr
    assert "asking the running serve" in done.stderr
    with lived.records.write() as session:
        number = ask(session, JOB, {"out": str(out)}, START)
    assert role.pass_once()
    assert not role.pass_once()
    with lived.records.read() as session:
        state, told = answered(session, number) or ("", {})
    assert (state, "is there already" in told["error"]) == ("failed", True)
    restore(out, place(tmp_path / "new"))
    with house(tmp_path / "new") as new, new.records.read() as session:
        assert session.scalars(select(Job)).all() == []


def test_a_newer_backup_is_refused_with_what_to_do(
    lived: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heatwatch.usecases.backup.taking.revision_of", lambda _: "9999")
    take(lived.installation(), tmp_path / "b")
    with pytest.raises(BadInput, match=r"revision 9999.*use the version that wrote it"):
        restore(tmp_path / "b", place(tmp_path / "new"))


def test_a_backup_of_an_earlier_version_is_brought_up_to_this_one(lived: House, tmp_path: Path) -> None:
    """It had fewer tables; what the trail says of those it had still holds."""
    take(lived.installation(), tmp_path / "b")
    (tmp_path / "b" / "records" / "compliance_changes.parquet").unlink()
    path = tmp_path / "b" / "manifest.json"
    told = json.loads(path.read_text())
    del told["sha256"], told["records"]["compliance_changes"], told["files"]["records/compliance_changes.parquet"]
    told["revision"] = "0006"
    path.write_text(json.dumps(told | {"sha256": digest(told)}))
    restore(tmp_path / "b", place(tmp_path / "new"))
    with house(tmp_path / "new") as new:
        assert new.tables() == lived.tables()
        with new.records.read() as session:
            assert list(faults(session)) == []
            assert revision_of(session.connection()) > "0006"
