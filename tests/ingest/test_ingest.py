"""From a publish to store, quarantine and feed, with real brokers: nothing lost, nothing counted twice."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from heatwatch.errors import Damaged, Unavailable
from heatwatch.records.progress import progress
from heatwatch.stores.embedded import EmbeddedReadings
from heatwatch.stores.readings import ReadingBatch, Written
from heatwatch.usecases import delivery
from heatwatch.usecases.delivery import messages_by_sender, readings_by_source
from heatwatch.wire import CLOCK_TOPIC, gateway_topic
from ingest import storing
from ingest.broker import EmbeddedBroker
from ingest.client import Client
from ingest.journal import Journal
from tests.ingest.station import NOW, TOPIC, Station, many, publisher, reading, station
from tests.peers import HOST, Mosquitto, wait_for
from tests.peers import mosquitto as running_mosquitto

EACH_SAVED = "autosave_on_changes true\nautosave_interval 1"
WORK = """
import sys
import threading
from pathlib import Path
from tests.ingest.station import station
from tests.peers import wait_for

with station(Path(sys.argv[1]), int(sys.argv[2])) as place, place.working():
    wait_for(place.ready)
    print("working", flush=True)
    threading.Event().wait(60)
"""


@pytest.fixture(params=["mosquitto", "embedded"])
def broker_port(request: pytest.FixtureRequest) -> Iterator[int]:
    """Give the port of each broker that we support out of the box."""
    if request.param == "mosquitto":
        yield request.getfixturevalue("mosquitto").port
    else:
        with EmbeddedBroker() as broker:
            yield broker.port


class Sulking(EmbeddedReadings):
    """A store that does not answer for a while; where `after`, it has kept the batch all the same."""

    def __init__(self, path: Path, times: int, *, after: bool = False) -> None:
        super().__init__(path)
        self.times, self.after = times, after

    def write(self, batch: ReadingBatch) -> Written:
        self.times -= 1
        if self.times >= 0 and not self.after:
            raise Unavailable("store", "sulking")
        outcome = super().write(batch)
        if self.times >= 0:
            raise Unavailable("store", "answer lost")
        return outcome


def sulk(place: Station, times: int, *, after: bool = False) -> Sulking:
    """Put a sulking store into a station."""
    place.readings.close()
    place.store = place.readings = store = Sulking(place.settings.readings_path, times, after=after)
    return store


def test_each_message_and_each_reading_has_one_fate(tmp_path: Path, broker_port: int) -> None:
    with station(tmp_path, broker_port) as place, publisher(broker_port) as sender, place.working():
        wait_for(place.ready)
        sender.send_all([(TOPIC, reading()), (TOPIC, reading()), (TOPIC, reading(temp_c=21.0)), (TOPIC, reading())])
        sender.send_all([(TOPIC, {"ts": NOW, "bat": 70}), (TOPIC, []), (TOPIC, b"\xff\x00"), ("heat/s1/b1/power", {})])
        batch = [reading(point="p2"), reading(point="p3", device="d3"), reading(), reading(NOW + 10**9, point="p2"), 7]
        sender.send(batch, gateway_topic("s1", "g1"))
        sender.send_all([(TOPIC, reading(NOW - 1, None)), (TOPIC, reading(0)), (TOPIC, {"t": 1.0})])
        found = place.settle(12)
        with place.records.read() as session:
            senders, sources = messages_by_sender(session), readings_by_source(session)
    assert found.messages == {
        "received": 12,
        "decoded": 8,
        "no_reading": 2,
        "quarantined": 2,
        "waiting": 0,
    }
    assert found.readings == {
        "decoded": 12,
        "stored": 4,
        "duplicate": 2,
        "conflict": 1,
        "quarantined": 5,
        "waiting": 0,
    }
    assert senders["g1"].decoded == 1
    assert senders["heat/s1/b1/power"].quarantined == 1
    assert all(tally.holds for tally in sources.values())
    assert (sources["p1"].stored, sources["p1"].conflict, sources["p2"].quarantined) == (2, 1, 1)
    assert (sources["d3"].stored, sources[""].quarantined) == (1, 2)


def test_quarantine_keeps_topic_bytes_reason_and_time(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with station(tmp_path, mosquitto.port) as place, publisher(mosquitto.port) as sender:
        _subscribe(place)
        sender.send(b"\xff19.3")
        sender.send(b'[{"ts":1764038400000,"t":20} , {"t" : 19.50}]')
        sender.send({"ts": NOW // 1000, "t": 20.0})
        sender.send({"ts": NOW}, "heat/s1/b1/p9/temperature")
        place.wall_ms = NOW + 5
        with place.working():
            place.settle(4)
        rows = place.quarantine()
    assert [(row.position, row.topic, row.payload, row.reason) for row in rows] == [
        (-1, TOPIC, b"\xff19.3", "payload is not UTF-8 at byte 0"),
        (1, TOPIC, b'{"t" : 19.50}', "no time"),
        (0, TOPIC, b'{"ts": 1764038400, "t": 20.0}', "time cannot be right (clock unset, or not in ms): 1764038400"),
        (-1, "heat/s1/b1/p9/temperature", b'{"ts": 1764038400000}', "no decoder takes this topic"),
    ]
    assert {row.arrived_ms for row in rows} == {NOW + 5}


def _subscribe(place: Station) -> None:
    """Let the broker know the worker, so that it keeps what comes from now on."""
    with place.working():
        wait_for(place.ready)


def test_what_came_while_ingest_was_away_is_delivered_when_it_is_back(tmp_path: Path, broker_port: int) -> None:
    """A persistent session, by the same client id; the order of each publisher is kept."""
    with station(tmp_path, broker_port) as place, publisher(broker_port) as sender:
        _subscribe(place)
        sender.send_all(many(300))
        with place.working():
            found = place.settle(300)
        assert found.readings["stored"] == 300
        assert [entry.sequence for entry in place.arrivals()][-1] == 300
        times = [int(time_ms) for _, time_ms in place.temperatures()]
        assert sorted(times) == sorted(NOW - n for n in range(300))


def test_the_window_of_the_broker_does_not_set_the_pace(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """20 unacknowledged messages at a time: 2,000 of them would take 5 s if each group waited 50 ms for its end."""
    with station(tmp_path, mosquitto.port) as place, publisher(mosquitto.port) as sender:
        _subscribe(place)
        sender.send_all(many(2000))
        with place.working() as worker:
            wait_for(lambda: worker.journal_last_sequences)
            began = time.monotonic()
            wait_for(lambda: worker.journal_last_sequences["ingest-1"] == 2000, 20)
            assert time.monotonic() - began < 4


def test_messages_of_qos_0_are_kept_too(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with station(tmp_path, mosquitto.port) as place, publisher(mosquitto.port) as sender, place.working():
        wait_for(place.ready)
        sender.send_all(many(50), qos=0)
        assert place.settle(50).readings["stored"] == 50


def test_a_retained_message_is_no_new_reading(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """It comes again at every connection (telegraf PR 7177); published while ingest listens it is new, once."""
    with station(tmp_path, mosquitto.port) as place, publisher(mosquitto.port) as sender:
        sender.send(reading(), retain=True)
        with place.working():
            place.settle(1)
        with place.working():
            place.settle(2)
            sender.send(reading(NOW + 1), retain=True)
            found = place.settle(3)
    assert (found.messages["no_reading"], found.messages["decoded"]) == (2, 1)
    assert found.readings["stored"] == 1


def test_acknowledged_too_late_it_is_delivered_again_and_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker dies (kill -9) after the journal's flush and before the acknowledgement."""
    append, died = Journal.append, threading.Event()
    with running_mosquitto(tmp_path, EACH_SAVED) as broker, station(tmp_path, broker.port) as place:
        _subscribe(place)
        with publisher(broker.port) as sender:
            sender.send_all(many(30))

        def append_and_die(journal: Journal, messages: Any) -> int:
            last = append(journal, messages)
            if not died.is_set():
                broker.kill()
                died.set()
            return last

        monkeypatch.setattr(Journal, "append", append_and_die)
        with place.working():
            assert died.wait(10)
            broker.start()
            found = place.settle(31)
            wait_for(lambda: place.summary().readings["stored"] == 30)
            found = place.settle(31)
    assert found.readings["stored"] == 30
    assert found.readings["duplicate"] == found.messages["received"] - 30 > 0


def test_nothing_is_acknowledged_before_it_is_in_the_journal(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ingest dies between taking messages and flushing them: the broker has them still."""
    with station(tmp_path, mosquitto.port) as place, publisher(mosquitto.port) as sender:
        _subscribe(place)
        sender.send_all(many(100))
        with monkeypatch.context() as broken:
            broken.setattr(Journal, "append", _crash)
            with place.working():
                wait_for(lambda: isinstance(place.failure, ZeroDivisionError))
        place.failure = None
        with place.working():
            assert place.settle(100).readings["stored"] == 100


def test_the_broker_goes_and_comes_and_ingest_takes_up_again(
    tmp_path: Path, mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    with station(tmp_path, mosquitto.port) as place, place.working():
        for turn in range(3):
            wait_for(place.ready)
            with publisher(mosquitto.port) as sender:
                sender.send_all((topic, {**payload, "ts": payload["ts"] - 1000 * turn}) for topic, payload in many(40))
                place.settle(40 * (turn + 1))
            mosquitto.kill() if turn == 1 else mosquitto.stop()
            wait_for(lambda: not place.ready())
            mosquitto.start()
        assert place.summary().readings["stored"] == 120
    assert "connection lost; next attempt in 0." in caplog.text


@pytest.mark.parametrize("host", [f"{'long' * 20}.example", ""])
def test_a_host_that_is_no_name_is_awaited_like_a_broker_that_is_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, host: str
) -> None:
    with Journal(tmp_path, limit_bytes=1 << 20) as journal:
        client = Client(host, 1883, "w", journal, lambda: 0)
        taking = threading.Thread(target=client.run)
        taking.start()
        wait_for(lambda: "next attempt in" in caplog.text or not taking.is_alive())
        assert taking.is_alive()
        client.stop()
        taking.join(5)
        client.close()


def test_a_broker_that_forgot_the_session_is_not_passed_over_in_silence(
    tmp_path: Path, mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    with station(tmp_path, mosquitto.port) as place, place.working(), publisher(mosquitto.port) as sender:
        wait_for(place.ready)
        sender.send(reading())
        place.settle(1)
        assert "forgotten" not in caplog.text
        mosquitto.stop()
        mosquitto.forget()
        mosquitto.start()
        wait_for(lambda: "has forgotten this client: what was sent while it was away is lost" in caplog.text)


def test_killed_in_the_middle_a_worker_of_the_same_name_loses_nothing(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Kill -9 at three moments while messages keep coming; whatever the publishers had confirmed is stored once."""
    with publisher(mosquitto.port) as sender:
        sent = 0
        for wait_s in (0.0, 0.05, 0.2):
            command = [sys.executable, "-c", WORK, str(tmp_path), str(mosquitto.port)]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
                assert child.stdout is not None
                assert child.stdout.readline() == b"working\n"
                sender.send_all(many(sent + 600)[sent:])
                sent += 600
                time.sleep(wait_s)
                child.kill()
        with station(tmp_path, mosquitto.port) as place, place.working():
            wait_for(lambda: place.summary().readings["stored"] >= sent, 20)
            found = place.settle(sent)
            assert found.readings["stored"] == sent
            assert found.readings["duplicate"] == found.messages["received"] - sent
            assert len(place.temperatures()) == sent


@pytest.mark.parametrize("after", [False, True])
def test_a_store_that_does_not_answer_is_awaited_and_nothing_is_counted_twice(
    tmp_path: Path,
    mosquitto: Mosquitto,
    caplog: pytest.LogCaptureFixture,
    after: bool,  # noqa: FBT001
) -> None:
    with station(tmp_path, mosquitto.port) as place:
        sulk(place, 3, after=after)
        with place.working(), publisher(mosquitto.port) as sender:
            wait_for(place.ready)
            sender.send_all([*many(100), *many(10), (TOPIC, reading(temp_c=21.0)), (TOPIC, reading(temp_c=21.0))])
            wait_for(lambda: place.summary().messages["waiting"] > 0)
            found = place.settle(112)
        assert found.readings["stored"] + found.readings["conflict"] == place.readings.count() == 101
        assert found.readings["duplicate"] == 11
        assert sum(rows for entry in place.arrivals() for *_, rows in entry.touched) == place.readings.count()
    assert "messages wait, next attempt in" in caplog.text


def test_a_crash_between_store_and_records_is_made_good(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The readings are in the store, the counts are not: written again, they have the outcomes of the first time."""
    with station(tmp_path, mosquitto.port) as place, publisher(mosquitto.port) as sender:
        _subscribe(place)
        sender.send_all([(TOPIC, reading()), (TOPIC, reading(temp_c=21.0)), (TOPIC, reading()), (TOPIC, b"?")])
        with monkeypatch.context() as broken:
            broken.setattr(storing, "commit_delivery", _crash)
            with place.working():
                wait_for(lambda: isinstance(place.failure, ZeroDivisionError))
        place.failure = None
        assert place.readings.count() == 2
        assert place.summary().messages["decoded"] == 0
        with place.working():
            found = place.settle(4)
    assert found.readings == {
        "decoded": 3,
        "stored": 1,
        "duplicate": 1,
        "conflict": 1,
        "quarantined": 0,
        "waiting": 0,
    }
    assert found.messages["quarantined"] == 1


def _crash(*_: object) -> None:
    raise ZeroDivisionError


def test_a_commit_whose_answer_was_lost_is_not_made_twice(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    with station(tmp_path, mosquitto.port) as place, publisher(mosquitto.port) as sender:
        write, losses = place.records.write, iter(range(2))

        @contextmanager
        def write_and_lose() -> Iterator[Session]:
            with write() as session:
                yield session
            if next(losses, None) is not None:
                raise Unavailable("records", "connection lost while committing")

        monkeypatch.setattr(place.records, "write", write_and_lose)
        with place.working():
            wait_for(place.ready)
            for sent in (30, 60, 90):
                sender.send_all(many(sent)[sent - 30 :])
                found = place.settle(sent)
    assert next(losses, None) is None
    assert (found.readings["stored"], found.readings["duplicate"]) == (90, 0)


def test_the_feed_names_what_was_kept_and_when(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Late readings are named as surely as new ones; a batch of duplicates is no arrival."""
    with station(tmp_path, mosquitto.port) as place, publisher(mosquitto.port) as sender:
        _subscribe(place)
        sender.send([reading(), reading(NOW - 10**9), reading(NOW - 10**9, 1.0)])
        sender.send(reading(device="d7"))
        with place.working():
            place.settle(2)
            sender.send(reading())
            place.settle(3)
        (entry,) = place.arrivals()
    assert (entry.worker, entry.sequence, entry.tick) == ("ingest-1", 2, None)
    assert entry.touched == [["d7", NOW, NOW, 1], ["p1", NOW - 10**9, NOW, 3]]


def test_a_full_journal_leaves_messages_at_the_broker(
    tmp_path: Path, mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    with station(tmp_path, mosquitto.port, journal_limit_mb=1) as place, publisher(mosquitto.port) as sender:
        store = sulk(place, 1_000_000)
        with place.working() as worker:
            wait_for(place.ready)
            sender.send_all((topic, {**payload, "flags": ["x" * 5000]}) for topic, payload in many(400))
            wait_for(lambda: "journal is full: messages wait at the broker" in caplog.text)
            received = worker.journal_last_sequences["ingest-1"]
            assert 100 < received < 200
            time.sleep(0.5)
            assert worker.journal_last_sequences["ingest-1"] == received
            assert sum(path.stat().st_size for path in place.settings.journal_dir.iterdir()) <= 1_000_000
            store.times = 0
            assert place.settle(400).readings["stored"] == 400
    assert "of 1000000 bytes used" in caplog.text


def test_a_disk_that_refuses_the_journal_leaves_messages_at_the_broker(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    append, refusals = Journal.append, iter(range(3))

    def refuse(journal: Journal, messages: Any) -> int:
        if next(refusals, None) is not None:
            raise Unavailable("journal", "no space left on device")
        return append(journal, messages)

    with station(tmp_path, mosquitto.port) as place, publisher(mosquitto.port) as sender, place.working():
        wait_for(place.ready)
        monkeypatch.setattr(Journal, "append", refuse)
        sender.send_all(many(100))
        wait_for(lambda: place.summary().readings["stored"] == 100, 20)
        found = place.settle(100)
    assert found.readings["duplicate"] == found.messages["received"] - 100
    assert "no space left on device; next attempt in" in caplog.text


def test_a_journal_that_lost_messages_is_not_taken_for_a_new_one(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with station(tmp_path, mosquitto.port) as place, publisher(mosquitto.port) as sender:
        with place.working():
            wait_for(place.ready)
            sender.send_all(many(5))
            place.settle(5)
        for path in place.settings.journal_dir.iterdir():
            path.unlink()
        with place.working():
            wait_for(lambda: place.failure)
        assert isinstance(place.failure, Damaged)
        assert "5 messages are recorded as stored, the journal ends at 0" in str(place.failure)


def test_two_workers_of_one_name_are_not_let_in(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with station(tmp_path, mosquitto.port) as place, place.working() as first:
        wait_for(place.ready)
        other = type(first)(place.settings, place.records, place.store, place.bell, HOST, place.port, lambda: NOW)
        with pytest.raises(Unavailable, match="another process has this journal open"):
            other.run(threading.Event())


def test_deliveries_follow_each_other_without_a_gap(tmp_path: Path) -> None:
    with station(tmp_path, 1) as place:
        with place.records.write() as session:
            delivery.commit_delivery(session, delivery.Delivery("w", 1, 3))
        for first in (1, 3, 5):
            with pytest.raises(Damaged, match="does not follow 3"), place.records.write() as session:
                delivery.commit_delivery(session, delivery.Delivery("w", first, 9))


def test_what_ends_one_thread_ends_the_role(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, "_take", _crash)
    with station(tmp_path, mosquitto.port) as place, place.working():
        wait_for(lambda: isinstance(place.failure, ZeroDivisionError))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ingest")]


def test_stopped_in_good_order_nothing_waits_and_the_broker_has_nothing_to_send_again(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    with station(tmp_path, mosquitto.port) as place, publisher(mosquitto.port) as sender:
        with place.working() as worker:
            wait_for(place.ready)
            sender.send_all(many(200))
            wait_for(lambda: worker.journal_last_sequences["ingest-1"] == 200)
        with place.records.read() as session:
            assert delivery.stored_up_to(session, "ingest-1") == 200
        with place.working():
            wait_for(place.ready)
            time.sleep(0.2)
            assert place.summary().messages["received"] == 200


def test_by_the_wall_clock_a_tick_is_a_message_and_nothing_more(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Also an old session's subscription may bring one (telegraf#9703)."""
    with station(tmp_path, mosquitto.port) as place, publisher(mosquitto.port) as sender, place.working():
        wait_for(place.ready)
        sender.send({"run": "r", "step": 1, "now": NOW}, CLOCK_TOPIC)
        found = place.settle(1)
        with place.records.read() as session:
            assert progress(session, "ingest") is None
        assert place.arrivals() == []
    assert found.messages["no_reading"] == 1
