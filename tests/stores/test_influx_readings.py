"""What is particular to a store on InfluxDB: rows that it will never take, answers that are lost, several who write."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from heatwatch.errors import Unavailable
from heatwatch.stores.influx.asking import Asked, Points
from heatwatch.stores.influx.connecting import server_of
from heatwatch.stores.influx.readings import InfluxReadings, Turn
from heatwatch.stores.influx.schema import CONFLICT as CONFLICTS
from heatwatch.stores.readings import Outcome, ReadingStore
from tests.influxdb import Influx1, Influx2
from tests.proxy import CALM, Mood, Proxy
from tests.stores.shelves import Shelf, access
from tests.stores.test_reading_store_contract import Row, batch, kept, write

STORED, DUPLICATE, CONFLICT, REFUSED = Outcome
HOUR_MS = 3_600_000
TOO_LARGE = 413


class Asker:
    """An InfluxDB that notes what is asked of it."""

    def __init__(self, store: ReadingStore) -> None:
        assert isinstance(store, InfluxReadings)
        self.asked: list[str] = []
        influx = store._influx
        points, newest, send = influx.points, influx.newest, influx.write

        def note_points(asked: Asked) -> Points:
            self.asked.append("points")
            return points(asked)

        def note_newest(asked: Asked, between: tuple[float, float] | None = None) -> Points:
            self.asked.append("newest")
            return newest(asked, between)

        def note_write(lines: bytes, *, precision: str = "ms") -> None:
            self.asked.append(f"write {lines.count(10)}")
            send(lines, precision=precision)

        influx.points, influx.newest, influx.write = note_points, note_newest, note_write  # type: ignore[method-assign]


@pytest.fixture
def server(influx_shelf: Shelf) -> Influx1 | Influx2:
    assert influx_shelf.server is not None
    return influx_shelf.server


@pytest.fixture
def bucket(server: Influx1 | Influx2, tmp_path: Path) -> Iterator[str]:
    """Give an empty bucket or database."""
    name = f"own {tmp_path.name}"
    server.create(name)
    yield name
    server.drop(name)


@pytest.fixture
def store(server: Influx1 | Influx2, bucket: str, tmp_path: Path) -> Iterator[InfluxReadings]:
    with closing(InfluxReadings(server_of(access(server, tmp_path, bucket)), chunk_rows=7)) as made:
        yield made


@contextmanager
def behind(proxy: Proxy, server: Influx1 | Influx2, bucket: str, folder: Path) -> Iterator[InfluxReadings]:
    """Give a store that is reached through a proxy."""
    way = replace(access(server, folder, bucket), url=proxy.url)
    with closing(InfluxReadings(server_of(way), chunk_rows=7)) as made:
        yield made


def rows_of(count: int, time_ms: int = 1, sequence: int = 1) -> list[Row]:
    return [(f"p{n}", time_ms, 20.0 + n, sequence, n) for n in range(count)]


def test_rows_past_all_that_is_known_are_written_without_a_look(store: InfluxReadings) -> None:
    asker = Asker(store)
    assert write(store, rows_of(10, 1)) == [STORED] * 10
    assert asker.asked == ["newest", "write 7", "write 3"]
    assert write(store, rows_of(10, 2, 2)) == [STORED] * 10
    assert asker.asked[3:] == ["write 7", "write 3"]
    assert write(store, rows_of(10, 2, 2)) == [STORED] * 10
    assert asker.asked[5:] == ["points", "points"]


def test_what_influxdb_cannot_hold_is_refused_row_by_row_and_the_rest_is_kept(store: InfluxReadings) -> None:
    rows: list[Row] = [("p", 1, 20.0, 1, 0), ("", 1, 20.0, 1, 1), ("p", 2**60, 20.0, 1, 2), ("q", 1, 21.0, 1, 3)]
    sent = replace(batch([*rows, ("r", 1, 5.0, 1, 4)]), humidity_pct=np.array([40.0, 1.0, 1.0, 1.0, np.inf]))
    written = store.write(sent)
    assert written.outcome.tolist() == [STORED, REFUSED, REFUSED, STORED, REFUSED]
    assert [written.refused[n] for n in (1, 2, 4)] == [
        "a reading without a source",
        "InfluxDB has no such time",
        "humidity_pct is infinite, which InfluxDB cannot hold",
    ]
    assert kept(store) == [("p", 1, 20.0), ("q", 1, 21.0)]


def test_rows_outside_the_retention_are_refused_with_the_servers_reason(
    server: Influx1 | Influx2, bucket: str, store: InfluxReadings
) -> None:
    keep_for_hours(server, bucket, 2)
    now_ms = time.time_ns() // 1_000_000
    rows = rows_of(20, now_ms)
    for n in (3, 5, 15):
        rows[n] = (f"p{n}", now_ms - 500 * HOUR_MS, 20.0, 1, n)
    written = store.write(batch(rows))
    assert np.nonzero(written.outcome == REFUSED)[0].tolist() == sorted(written.refused) == [3, 5, 15]
    assert {"etention" in why for why in written.refused.values()} == {True}
    assert store.count() == 17
    again = store.write(batch(rows))
    assert (again.outcome.tolist(), again.refused.keys()) == (written.outcome.tolist(), written.refused.keys())


def test_rows_whose_fields_have_another_type_there_are_refused_and_only_they(
    server: Influx1 | Influx2, bucket: str, store: InfluxReadings
) -> None:
    """Somebody else has written a text where a number belongs; rows that do not have the field are kept."""
    write_raw(server, bucket, 'reading,source=x battery="full" 1')
    battery = np.array([3.0 if n % 4 == 1 else np.nan for n in range(20)])
    written = store.write(replace(batch(rows_of(20)), battery=battery))
    assert sorted(written.refused) == [1, 5, 9, 13, 17]
    assert {"field type conflict" in why for why in written.refused.values()} == {True}
    assert (written.outcome == STORED).sum() == store.count() == 15


def test_a_line_that_the_server_cannot_read_is_found_among_many(
    store: InfluxReadings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2.x keeps nothing of such a request and 1.x the rest of it; both come to the same."""
    send = store._influx.write

    def spoilt(lines: bytes, *, precision: str = "ms") -> None:
        send(lines.replace(b"temperature_c=23", b"temperature_c=2x3"), precision=precision)

    monkeypatch.setattr(store._influx, "write", spoilt)
    written = store.write(batch(rows_of(7)))
    assert list(written.refused) == [3]
    assert "invalid number" in written.refused[3]
    assert store.count() == 6


def test_a_request_that_is_too_large_is_sent_in_parts(server: Influx1 | Influx2, bucket: str, tmp_path: Path) -> None:
    with Proxy(server.url) as proxy, behind(proxy, server, bucket, tmp_path) as store:
        proxy.mood = Mood(TOO_LARGE, forward=False, only=write_path(server), over_bytes=250)
        sent = batch([*rows_of(6), ("long" * 80, 1, 20.0, 1, 6)])
        written = store.write(sent)
        assert list(written.refused) == [6]
        assert written.outcome.tolist() == [STORED] * 6 + [REFUSED]
        assert proxy.refused > 2
        assert store.count() == 6


@pytest.mark.parametrize("mood", [Mood(503), Mood(cut=True), Mood(500, forward=False)])
def test_rows_whose_answer_was_lost_are_known_by_their_birth(
    server: Influx1 | Influx2, bucket: str, tmp_path: Path, mood: Mood
) -> None:
    """Written again, each has the outcome that it would have had; nothing is there twice."""
    rows: list[Row] = [*rows_of(20), ("p1", 1, 99.0, 2, 0), ("p1", 1, 21.0, 2, 1), ("p2", 1, 98.0, 2, 2)]
    expected = [STORED] * 20 + [CONFLICT, DUPLICATE, CONFLICT]
    with Proxy(server.url) as proxy, behind(proxy, server, bucket, tmp_path) as store:
        proxy.mood = replace(mood, only=write_path(server))
        for _ in range(2):
            with pytest.raises(Unavailable):
                store.write(batch(rows))
        proxy.mood = CALM
        assert write(store, rows) == expected
        assert write(store, rows) == expected
        proxy.mood = replace(mood, only=write_path(server))
        with pytest.raises(Unavailable):
            store.write(batch([("p3", 1, 97.0, 3, 0)]))
        proxy.mood = CALM
        assert write(store, [("p3", 1, 97.0, 3, 0), ("p3", 1, 97.0, 4, 0)]) == [CONFLICT, DUPLICATE]
        assert store.count() == 23


def test_two_processes_that_take_turns_see_what_the_other_wrote(
    server: Influx1 | Influx2, bucket: str, tmp_path: Path
) -> None:
    """Whoever is first stores; what the other brings of the same source and time is a duplicate or a conflict."""
    lock, last = threading.Lock(), [""]

    def turn_of(name: str) -> Turn:
        @contextmanager
        def turn() -> Iterator[bool]:
            with lock:
                others, last[0] = last[0] != name, name
                yield others

        return turn

    way = access(server, tmp_path, bucket)
    stores = [InfluxReadings(server_of(way), turn=turn_of(name)) for name in ("one", "other")]
    outcomes: list[Sequence[int]] = []

    def work(number: int) -> None:
        for moment in range(6):
            rows = [(f"p{n}", moment, 20.0 + (number if n % 3 == 0 else 0), moment + 1, n) for n in range(12)]
            outcomes.append(write(stores[number], rows, f"w{number}"))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    flat = [outcome for some in outcomes for outcome in some]
    assert [flat.count(outcome) for outcome in (STORED, DUPLICATE, CONFLICT)] == [72, 48, 24]
    assert [store.count() for store in stores] == [96, 96]
    for store in stores:
        store.close()


def test_conflicts_are_numbered_on_from_those_that_are_there(store: InfluxReadings) -> None:
    for sequence, values in enumerate([(1.0, 2.0), (3.0, 2.0, 4.0), (5.0,)], 1):
        write(store, [("p", 7, value, sequence, n) for n, value in enumerate(values)])
    found = store._influx.points(Asked(CONFLICTS, ("born", "temperature_c")))
    assert sorted(zip(found.nth.tolist(), found.fields["temperature_c"].tolist(), strict=True)) == [
        (2, 2.0),
        (3, 3.0),
        (4, 4.0),
        (5, 5.0),
    ]


def test_a_bucket_that_is_not_there_is_told(server: Influx1 | Influx2, tmp_path: Path) -> None:
    with closing(InfluxReadings(server_of(access(server, tmp_path, "nowhere")))) as store:
        if isinstance(
            server, Influx2
        ):  # 1.x says nothing of a database that it is asked to show, only of one it is to use
            with pytest.raises(Unavailable, match="nowhere"):
                store.ping()
        with pytest.raises(Unavailable, match="nowhere"):
            store.write(batch(rows_of(1)))
        with pytest.raises(Unavailable, match="nowhere"):
            store.read()


def keep_for_hours(server: Influx1 | Influx2, bucket: str, hours: int) -> None:
    if isinstance(server, Influx1):
        server.query(f'ALTER RETENTION POLICY "autogen" ON "{bucket}" DURATION {hours}h SHARD DURATION 1h')
        return
    (found,) = server.call("GET", "buckets", params={"name": bucket}).json()["buckets"]
    rules = [{"type": "expire", "everySeconds": hours * 3600, "shardGroupDurationSeconds": 3600}]
    server.call("PATCH", f"buckets/{found['id']}", json={"retentionRules": rules})


def write_raw(server: Influx1 | Influx2, bucket: str, line: str) -> None:
    with closing(server_of(access(server, server.folder, bucket))) as influx:
        influx.write(f"{line}\n".encode())


def write_path(server: Influx1 | Influx2) -> str:
    return "/write" if isinstance(server, Influx1) else "/api/v2/write"
