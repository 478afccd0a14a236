"""Copies of closed days: what they give is what the store gives, byte for byte, whatever becomes of them."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import fields, replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heatwatch.domain.instants import DAY_MS, HOUR_MS
from heatwatch.stores import closed_days
from heatwatch.stores.closed_days import ClosedDays
from heatwatch.stores.embedded import EmbeddedReadings
from heatwatch.stores.readings import Int64, ReadingBatch, ReadingColumns, ReadingStore
from tests.shelf import Row, batch_of

DAY = 20_000 * DAY_MS


class Watched(EmbeddedReadings):
    """The embedded store, and what it was asked to read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked = list[tuple[int | None, int | None]]()

    def read(
        self,
        sources: Sequence[str] | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        *,
        late_most_ms: int | None = None,
        vitals: bool = False,
    ) -> ReadingColumns:
        self.asked.append((start_ms, end_ms))
        return super().read(sources, start_ms, end_ms, late_most_ms=late_most_ms, vitals=vitals)


_SEQUENCE = count(1)


def put(store: ReadingStore, *rows: Row, late_ms: int = 1000) -> None:
    """Store rows with all that is received of them."""
    made = batch_of(rows, next(_SEQUENCE))
    battery = np.where(made.time_ms % 3 == 0, np.nan, made.time_ms % 100.0)
    flags = ["low_battery" if ms % 5 == 0 else "" for ms in made.time_ms.tolist()]
    store.write(replace(made, battery=battery, flags=flags, arrived_ms=made.time_ms + late_ms))


def bytes_of(found: ReadingColumns) -> list[object]:
    columns: list[Any] = [found.code, found.time_ms, found.temp_c]
    if found.vitals is not None:
        columns += [getattr(found.vitals, field.name) for field in fields(found.vitals)]
    return [list(found.source), *((column.dtype, column.tobytes()) for column in columns)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Watched]:
    with closing(Watched(tmp_path / "readings.duckdb")) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "days"


def full(store: ReadingStore, days: int = 3) -> None:
    put(store, *((f"p{k % 4}", DAY + k * HOUR_MS, 20.0 + k % 5) for k in range(24 * days)))


TEMPERATURES = st.sampled_from([20.0, 20.5, -0.0, 0.0, math.nan, math.inf, -math.inf, 1e-310])
TIMES = st.integers(-3, 3 * 24).map(lambda k: DAY + k * HOUR_MS) | st.sampled_from([DAY - 1, DAY, DAY + DAY_MS - 1, -1])
ROWS = st.lists(st.tuples(st.sampled_from(["a", "b", "c", "é"]), TIMES, TEMPERATURES), min_size=1, max_size=12)
BOUNDS = st.none() | TIMES | TIMES.map(lambda ms: ms + 1)


@st.composite
def questions(draw: st.DrawFn) -> dict[str, object]:
    return {
        "sources": draw(st.none() | st.lists(st.sampled_from(["a", "b", "c", "nobody"]), max_size=3)),
        "start_ms": draw(BOUNDS),
        "end_ms": draw(BOUNDS),
        "late_most_ms": draw(st.sampled_from([None, 0, 1000, 5000])),
        "vitals": draw(st.booleans()),
    }


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(st.tuples(ROWS, st.sampled_from([0, 1000, 6000]), questions()), min_size=1, max_size=3))
def test_each_reading_is_the_stores_own_byte_for_byte(
    steps: list[tuple[list[Row], int, dict[str, object]]],
) -> None:
    """Also when rows come between readings, to any day, and however few copies may be kept."""
    with pytest.MonkeyPatch.context() as patched, TemporaryDirectory() as folder:
        patched.setattr(closed_days, "MANY", 2)
        patched.setattr(closed_days, "MOST_IN_MEMORY", 3)
        with closing(EmbeddedReadings(Path(":memory:"))) as store:
            copies = ClosedDays(store, Path(folder), most_days=2)
            for rows, late_ms, asked in steps:
                put(store, *rows, late_ms=late_ms)
                for _ in range(2):
                    assert bytes_of(copies.read(**asked)) == bytes_of(store.read(**asked))  # type: ignore[arg-type]
            assert bytes_of(copies.read(vitals=True)) == bytes_of(store.read(vitals=True))
            assert len(list(Path(folder).iterdir())) <= 2


def test_a_day_is_read_from_the_store_once_while_it_does_not_change(store: Watched, folder: Path) -> None:
    full(store)
    first = ClosedDays(store, folder).read()
    assert store.asked == [(DAY + n * DAY_MS, DAY + (n + 1) * DAY_MS) for n in range(3)]
    store.asked.clear()
    again = ClosedDays(store, folder)
    assert bytes_of(again.read()) == bytes_of(first)
    assert bytes_of(again.read(None, DAY + HOUR_MS, DAY + 5 * HOUR_MS))
    assert store.asked == []
    put(store, ("late", DAY + DAY_MS, 5.0))
    assert "late" in again.read().source
    assert store.asked == [(DAY + DAY_MS, DAY + 2 * DAY_MS)]
    assert len(list(folder.glob("*.parquet"))) == 3


def test_few_sources_and_short_spans_are_asked_of_the_store(store: Watched, folder: Path) -> None:
    full(store)
    copies = ClosedDays(store, folder)
    copies.read(["p1"])
    copies.read(None, DAY, DAY + HOUR_MS - 1)
    assert store.asked == [(None, None), (DAY, DAY + HOUR_MS - 1)]
    assert not folder.exists()


def test_a_damaged_copy_is_never_given(store: Watched, folder: Path) -> None:
    full(store, days=1)
    copies = ClosedDays(store, folder)
    right = bytes_of(copies.read(vitals=True))
    (path,) = folder.iterdir()
    content = path.read_bytes()
    for at in range(0, len(content), 61):
        hurt = bytearray(content)
        hurt[at] ^= 1
        for wrong in (hurt, content[:at]):
            path.write_bytes(wrong)
            assert bytes_of(ClosedDays(store, folder).read(vitals=True)) == right
            assert path.read_bytes() == content
    other = folder / path.name.replace(".24.", ".23.")
    path.rename(other)
    put(store, ("more", DAY, 1.0))
    assert "more" in ClosedDays(store, folder).read().source
    assert len(list(folder.iterdir())) == 1


def test_the_newest_days_are_kept(store: Watched, folder: Path) -> None:
    full(store, days=5)
    copies = ClosedDays(store, folder, most_days=2)
    copies.read()
    assert sorted(path.name.split(".")[0] for path in folder.iterdir()) == ["2024-10-07", "2024-10-08"]
    store.asked.clear()
    copies.read(None, DAY)
    assert len(store.asked) == 3
    ClosedDays(store, folder.with_name("none"), most_days=0).read()
    assert list(folder.with_name("none").iterdir()) == []


def test_where_nothing_can_be_written_the_store_is_read(store: Watched, folder: Path) -> None:
    full(store)
    folder.write_text("a file")
    assert bytes_of(ClosedDays(store, folder).read()) == bytes_of(store.read())


def test_what_a_killed_process_left_is_swept_and_what_is_written_is_not(store: Watched, folder: Path) -> None:
    folder.mkdir()
    left, held = folder / ".a.draft", folder / ".b.draft"
    left.write_bytes(b"half")
    code = "import fcntl, sys; f = open(sys.argv[1], 'wb'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    arguments = [sys.executable, "-c", code, str(held)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        ClosedDays(store, folder)
        assert [path.name for path in folder.iterdir()] == [held.name]
        process.communicate(b"\n")


def test_many_readers_with_one_folder(store: Watched, folder: Path) -> None:
    """While rows come, each day that is given was the store's at some moment: all rows of one write, or none."""
    full(store)
    wrong = list[object]()
    stop = threading.Event()

    def look() -> None:
        copies = ClosedDays(store, folder, most_days=2)
        while not stop.is_set():
            found = copies.read()
            pairs = json.loads(json.dumps([found.source[code] for code in found.code.tolist()]))
            if pairs.count("x") != pairs.count("y") or len(found) < 72:
                wrong.append(found)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for k in range(30):
        put(store, ("x", DAY + k, 1.0), ("y", DAY + k, 1.0))
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    copies = ClosedDays(store, folder)
    assert bytes_of(copies.read()) == bytes_of(store.read())


class Narrow(Watched):
    """A store that tells of some days only."""

    def days(self) -> tuple[Int64, Int64]:
        raise AssertionError

    def days_within(self, start_ms: int | None, end_ms: int | None) -> tuple[Int64, Int64]:
        day_ms, held = super().days()
        last = day_ms.max() + DAY_MS if end_ms is None else end_ms
        mine = (day_ms + DAY_MS > (0 if start_ms is None else start_ms)) & (day_ms < last)
        return day_ms[mine], held[mine]


def test_a_store_that_can_is_asked_of_the_days_in_question_only(tmp_path: Path, folder: Path) -> None:
    with closing(Narrow(tmp_path / "narrow.duckdb")) as store:
        full(store)
        copies = ClosedDays(store, folder)
        for span in ((DAY + DAY_MS, DAY + 2 * DAY_MS), (None, None)):
            assert bytes_of(copies.read(None, *span)) == bytes_of(store.read(None, *span))


def test_everything_else_is_the_stores(store: Watched, folder: Path) -> None:
    copies = ClosedDays(store, folder)
    assert isinstance(copies, ReadingStore)
    assert copies.empty()
    batch: ReadingBatch = batch_of([("a", DAY, 20.0), ("a", DAY, 21.0)], next(_SEQUENCE))
    assert copies.write(batch).outcome.tolist() == [0, 2]
    assert (copies.count(), copies.empty()) == (2, False)
    assert [one.tolist() for one in copies.days()] == [[DAY], [2]]
    assert copies.whole(DAY, DAY + 1).conflict.tolist() == [False, True]
    assert len(copies.latest(["a"], DAY, DAY + 1, (-30, 50))) == 0
    copies.ping()
