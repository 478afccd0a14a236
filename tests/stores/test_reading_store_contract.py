"""What every reading store must do, each told by a fixture that opens one in a folder."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heatwatch.stores.closed_days import CountsDays
from heatwatch.stores.readings import Outcome, ReadingBatch, ReadingStore
from tests.stores.shelves import Shelf

STORED, DUPLICATE, CONFLICT, REFUSED = Outcome
NAN = math.nan

Row = tuple[str, int, float, int, int]
"""Source, time [ms], value, sequence and position."""


@pytest.fixture
def store(shelf: Shelf, tmp_path: Path) -> Iterator[ReadingStore]:
    with closing(shelf(tmp_path)) as made:
        yield made


def batch(rows: Sequence[Row], worker: str = "w1") -> ReadingBatch:
    none = np.full(len(rows), NAN)
    return ReadingBatch(
        source=[row[0] for row in rows],
        time_ms=np.array([row[1] for row in rows], np.int64),
        temp_c=np.array([row[2] for row in rows], np.float64),
        humidity_pct=none,
        battery=none,
        rssi_dbm=none,
        flags=[""] * len(rows),
        arrived_ms=np.zeros(len(rows), np.int64),
        worker=worker,
        sequence=np.array([row[3] for row in rows], np.int64),
        position=np.array([row[4] for row in rows], np.int32),
    )


def write(store: ReadingStore, rows: Sequence[Row], worker: str = "w1") -> list[int]:
    return [int(outcome) for outcome in store.write(batch(rows, worker)).outcome]


def kept(
    store: ReadingStore, sources: Sequence[str] | None = None, start_ms: int | None = None, end_ms: int | None = None
) -> list[tuple[str, int, float]]:
    found = store.read(sources, start_ms, end_ms)
    names = [found.source[code] for code in found.code]
    return list(zip(names, found.time_ms.tolist(), found.temp_c.tolist(), strict=True))


class Model:
    """The same store, told plainly: a dict of what is kept under each source and time."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, int], dict[object, tuple[Outcome, object]]] = {}

    def write(self, rows: Sequence[Row], worker: str) -> list[int]:
        outcomes = dict[int, int]()
        for n in sorted(range(len(rows)), key=lambda n: rows[n][3:]):
            source, time_ms, temp_c, sequence, position = rows[n]
            values = self.values.setdefault((source, time_ms), {})
            value = "NaN" if math.isnan(temp_c) else temp_c
            birth = (worker, sequence, position)
            if value in values:
                first, born = values[value]
                outcomes[n] = first if birth == born else DUPLICATE
            else:
                outcomes[n] = CONFLICT if values else STORED
                values[value] = Outcome(outcomes[n]), birth
        return [outcomes[n] for n in range(len(rows))]

    def kept(self) -> list[tuple[str, int, str]]:
        return sorted(
            (*key, repr(value).replace("'NaN'", "nan")) for key, values in self.values.items() for value in values
        )


def test_the_protocol_is_met(store: ReadingStore) -> None:
    assert isinstance(store, ReadingStore)
    store.ping()
    assert store.count() == 0
    assert store.empty()
    assert kept(store) == []
    assert write(store, []) == []


def test_same_source_time_and_value_is_kept_once_another_value_beside_it(store: ReadingStore) -> None:
    rows: list[Row] = [("p", 1, 20.0, 1, 0), ("p", 1, 20.0, 2, 0), ("p", 1, 21.0, 3, 0), ("p", 1, 20.0, 4, 0)]
    assert write(store, rows) == [STORED, DUPLICATE, CONFLICT, DUPLICATE]
    assert write(store, [("p", 1, 21.0, 5, 0), ("p", 1, 22.0, 6, 0)]) == [DUPLICATE, CONFLICT]
    assert kept(store) == [("p", 1, 20.0), ("p", 1, 21.0), ("p", 1, 22.0)]
    assert store.count() == 3
    assert not store.empty()


def test_two_readings_without_a_value_are_the_same(store: ReadingStore) -> None:
    assert write(store, [("p", 1, NAN, 1, 0), ("p", 1, NAN, 2, 0)]) == [STORED, DUPLICATE]
    assert write(store, [("p", 1, NAN, 3, 0), ("p", 1, 20.0, 4, 0)]) == [DUPLICATE, CONFLICT]
    assert write(store, [("p", 2, math.inf, 5, 0), ("p", 2, -math.inf, 6, 0)]) == [STORED, CONFLICT]


def test_within_a_batch_the_birth_decides_which_is_first_not_the_row(store: ReadingStore) -> None:
    rows: list[Row] = [("p", 1, 21.0, 7, 1), ("p", 1, 20.0, 7, 0), ("p", 1, 20.0, 6, 5)]
    assert write(store, rows) == [CONFLICT, DUPLICATE, STORED]


def test_written_again_each_row_has_its_first_outcome_also_in_other_batches(store: ReadingStore) -> None:
    """A crash between store and records writes rows again; nothing is counted twice, nothing changes sides."""
    rows: list[Row] = [("p", 1, 20.0, 1, 0), ("p", 1, 21.0, 2, 0), ("p", 1, 20.0, 3, 0), ("q", 1, 20.0, 4, 0)]
    first = write(store, rows)
    assert first == [STORED, CONFLICT, DUPLICATE, STORED]
    assert write(store, rows) == first
    assert [outcome for row in rows for outcome in write(store, [row])] == first
    assert write(store, rows, worker="w2") == [DUPLICATE] * 4
    assert store.count() == 3


def test_battery_flag_and_arrival_are_read_only_when_asked_for(store: ReadingStore) -> None:
    rows: list[Row] = [("b", 2, 21.0, 1, 0), ("b", 2, 20.0, 2, 0), ("a", 3, NAN, 3, 0), ("b", 1, 19.0, 4, 0)]
    sent = replace(
        batch(rows),
        battery=np.array([87.0, NAN, 3.05, 0.0]),
        flags=["low_battery", "", "moved,low_battery", "not_low_battery"],
        arrived_ms=np.array([7, 8, 9, 10], np.int64),
    )
    store.write(sent)
    assert store.read().vitals is None
    found = store.read(vitals=True)
    assert found.time_ms.tolist() == [3, 1, 2, 2]
    assert found.vitals is not None
    assert np.array_equal(found.vitals.battery, [3.05, 0.0, NAN, 87.0], equal_nan=True)
    assert found.vitals.low_battery.tolist() == [True, False, False, True]
    assert found.vitals.arrived_ms.tolist() == [9, 10, 8, 7]
    some = store.read(["b"], 2, 3, vitals=True).vitals
    assert some is not None
    assert some.arrived_ms.tolist() == [8, 7]


def test_reads_by_source_and_half_open_time(store: ReadingStore) -> None:
    write(store, [("b", 2, 1.0, 1, 0), ("a", 3, 2.0, 2, 0), ("a", 1, 3.0, 3, 0), ("c", 1, 4.0, 4, 0)])
    assert kept(store) == [("a", 1, 3.0), ("a", 3, 2.0), ("b", 2, 1.0), ("c", 1, 4.0)]
    assert kept(store, start_ms=1, end_ms=3) == [("a", 1, 3.0), ("b", 2, 1.0), ("c", 1, 4.0)]
    assert kept(store, ["c", "a", "nobody", "a"], end_ms=3) == [("a", 1, 3.0), ("c", 1, 4.0)]
    assert kept(store, []) == []
    found = store.read(["c", "nobody"])
    assert list(found.source) == ["c"]
    assert (found.code.dtype, found.time_ms.dtype) == (np.dtype(np.int32), np.dtype(np.int64))


def latest(
    store: ReadingStore, sources: Sequence[str], start_ms: int, end_ms: int, range_c: tuple[float, float] = (-30, 50)
) -> list[tuple[str, int, float]]:
    found = store.latest(sources, start_ms, end_ms, range_c)
    names = [found.source[code] for code in found.code]
    return list(zip(names, found.time_ms.tolist(), found.temp_c.tolist(), strict=True))


def test_the_latest_row_is_the_newest_that_is_valid(store: ReadingStore) -> None:
    """What is no number, lies outside the range or is contested is passed over; the bounds of the range are in it."""
    write(store, [("a", 1, 20.0, 1, 0), ("a", 2, NAN, 2, 0), ("b", 1, -30.0, 3, 0), ("b", 2, 50.1, 4, 0)])
    write(store, [("c", 1, 19.0, 5, 0), ("c", 2, 20.0, 6, 0), ("c", 2, 21.0, 7, 0), ("d", 2, math.inf, 8, 0)])
    write(store, [("e", 1, NAN, 9, 0), ("e", 1, 20.0, 10, 0), ("f", 1, 20.0, 11, 0), ("f", 1, 90.0, 12, 0)])
    found = latest(store, ["f", "e", "d", "c", "b", "a", "nobody", "a"], 0, 10)
    assert found == [("a", 1, 20.0), ("b", 1, -30.0), ("c", 1, 19.0), ("e", 1, 20.0)]
    assert latest(store, ["a", "c"], 2, 10) == []
    assert latest(store, ["c"], 1, 2) == [("c", 1, 19.0)]
    assert latest(store, [], 0, 10) == []


def received(name: str, time_ms: int, arrived_ms: int, sequence: int, **values: float | str) -> ReadingBatch:
    """One reading with all that can be received of it."""
    one = batch([(name, time_ms, 20.0, sequence, 0)])
    told = {column: getattr(one, column) for column in one.__slots__}
    told |= {"arrived_ms": np.array([arrived_ms]), "flags": [str(values.pop("flags", ""))]}
    return ReadingBatch(**{**told, **{column: np.array([value]) for column, value in values.items()}})


def test_rows_come_back_whole_by_the_time_of_measuring_or_of_arrival(store: ReadingStore) -> None:
    store.write(received("b", 10, 500, 1, humidity_pct=40.0, battery=3.1, rssi_dbm=-70.0, flags="low,late"))
    store.write(received("a", 20, 300, 2))
    store.write(received("a", 10, 300, 3, temp_c=NAN))
    measured, arrived = store.whole(10, 20), store.whole(300, 500, by_arrival=True)
    assert [measured.source[code] for code in measured.code] == ["b", "a"]
    assert (measured.time_ms.tolist(), measured.arrived_ms.tolist()) == ([10, 10], [500, 300])
    whole = [measured.humidity_pct[0], measured.battery[0], measured.rssi_dbm[0], measured.flags[0]]
    assert whole == [40.0, 3.1, -70.0, "low,late"]
    assert np.isnan([measured.humidity_pct[1], measured.battery[1], measured.rssi_dbm[1], measured.temp_c[1]]).all()
    assert [arrived.source[code] for code in arrived.code] == ["a", "a"]
    assert arrived.time_ms.tolist() == [20, 10]  # in the order in which they were received
    assert len(store.whole(0, 10)) == len(store.whole(501, 900, by_arrival=True)) == 0


def test_slices_of_any_size_give_every_row_once(shelf: Shelf) -> None:
    """By either moment: what a replay of the store reads slice by slice is all that there is, in order."""

    @settings(max_examples=shelf.examples, deadline=None)
    @given(
        st.lists(st.tuples(st.sampled_from(["p", "q"]), st.integers(0, 9), st.integers(0, 9)), max_size=20), st.data()
    )
    def check(some: list[tuple[str, int, int]], data: st.DataObject) -> None:
        by_arrival = data.draw(st.booleans())
        edges = [0, *sorted(data.draw(st.lists(st.integers(0, 10), max_size=4))), 10]
        with shelf.fresh() as store:
            for number, (name, time_ms, arrived_ms) in enumerate(some):
                store.write(received(name, time_ms, arrived_ms, number + 1))
            slices = [store.whole(low, high, by_arrival=by_arrival) for low, high in pairwise(edges)]
            told = [
                (part.source[code], time_ms, arrived_ms)
                for part in slices
                for code, time_ms, arrived_ms in zip(
                    part.code, part.time_ms.tolist(), part.arrived_ms.tolist(), strict=True
                )
            ]
            first = {(name, time_ms): arrived_ms for name, time_ms, arrived_ms in reversed(some)}
            kept_rows = [
                (name, time_ms, first[name, time_ms]) for name, time_ms in dict.fromkeys(row[:2] for row in some)
            ]
            moment = 2 if by_arrival else 1
            assert told == sorted(kept_rows, key=lambda row: row[moment])

    check()


def test_whole_numbers_are_kept_as_floats(store: ReadingStore) -> None:
    """The first whole number must not decide the type of the column (telegraf#12349)."""
    whole = batch([("p", 1, 20, 1, 0)])
    store.write(ReadingBatch(**{**{n: getattr(whole, n) for n in whole.__slots__}, "temp_c": np.array([20])}))
    write(store, [("p", 2, 20.5, 2, 0)])
    assert kept(store) == [("p", 1, 20.0), ("p", 2, 20.5)]


def test_what_was_written_is_there_after_reopening(shelf: Shelf, tmp_path: Path) -> None:
    with closing(shelf(tmp_path)) as store:
        write(store, [("p", 1, 20.0, 1, 0), ("p", 1, 21.0, 2, 0)])
    with closing(shelf(tmp_path)) as store:
        assert kept(store) == [("p", 1, 20.0), ("p", 1, 21.0)]
        assert write(store, [("p", 1, 21.0, 2, 0), ("p", 1, 21.0, 3, 0)]) == [CONFLICT, DUPLICATE]


def test_threads_may_write_and_read_at_once(store: ReadingStore) -> None:
    """Whoever is first stores, the others are duplicates: of each key exactly one row is stored."""
    outcomes: list[list[int]] = []

    def work(worker: str) -> None:
        for n in range(15):
            outcomes.append(write(store, [(f"p{m}", n, 20.0, n + 1, m) for m in range(20)], worker))
            seen = kept(store, end_ms=n + 1)
            assert len(seen) >= 20 * (n + 1)
            assert all(left < right for left, right in pairwise(seen))

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    flat = [outcome for batch_outcomes in outcomes for outcome in batch_outcomes]
    assert (flat.count(STORED), flat.count(DUPLICATE)) == (300, 900)
    assert store.count() == 300


SOME_ROWS = st.lists(
    st.tuples(
        st.sampled_from(["p", "q", "室温 1"]),
        st.integers(0, 2),
        st.sampled_from([20.0, 21.5, 0.0, -0.0, NAN, math.inf]),
    ),
    max_size=25,
)


def test_any_rows_in_any_batches_replayed_any_time_agree_with_the_model(shelf: Shelf) -> None:
    """Rows are cut into batches, and after a crash cut again elsewhere and replayed from an earlier one."""

    @settings(max_examples=shelf.examples, deadline=None)
    @given(SOME_ROWS, st.data())
    def check(some: list[tuple[str, int, float]], data: st.DataObject) -> None:
        rows: list[Row] = [(source, time, value, n // 3 + 1, n % 3) for n, (source, time, value) in enumerate(some)]
        workers = {sequence: f"w{sequence % 2}" for sequence in range(len(rows) + 2)}
        model = Model()
        with shelf.fresh() as store:
            start = 0
            while start < len(rows):
                replay_from = data.draw(st.integers(0, start), label="replay from")
                end = data.draw(st.integers(start + 1, len(rows)), label="end")
                for worker, part in groupby(rows[replay_from:end], key=lambda row: workers[row[3]]):
                    piece = data.draw(st.permutations(list(part)), label="piece")
                    assert write(store, piece, worker) == model.write(piece, worker)
                start = end
            assert sorted((source, time, repr(value)) for source, time, value in kept(store)) == model.kept()
            assert store.count() == sum(map(len, model.values.values()))

    check()


def test_the_latest_of_any_rows_is_found_as_a_plain_search_finds_it(shelf: Shelf) -> None:

    @settings(max_examples=shelf.examples, deadline=None)
    @given(SOME_ROWS, st.integers(0, 2), st.integers(0, 3), st.sampled_from([(0.0, 21.0), (-30.0, 50.0)]))
    def check(some: list[tuple[str, int, float]], start_ms: int, end_ms: int, range_c: tuple[float, float]) -> None:
        model: dict[str, tuple[int, float]] = {}
        numbers = {(source, time_ms, value) for source, time_ms, value in some if math.isfinite(value)}
        for source, time_ms, value in sorted(numbers):
            alone = sum(other[:2] == (source, time_ms) for other in numbers) == 1
            if alone and start_ms <= time_ms < end_ms and range_c[0] <= value <= range_c[1]:
                model[source] = time_ms, value
        with shelf.fresh() as store:
            write(store, [(*row, n + 1, 0) for n, row in enumerate(some)])
            asked = ["p", "q", "室温 1"]
            assert latest(store, asked, start_ms, end_ms, range_c) == [(name, *model[name]) for name in sorted(model)]

    check()


def test_rows_that_arrived_too_late_are_left_out_where_that_is_asked(store: ReadingStore) -> None:
    """To the millisecond, whatever else is asked; all the others are as they are without a bound."""
    rows: list[Row] = [("p", 1_000, 20.0, 1, 0), ("p", 2_000, 21.0, 1, 1), ("q", 1_000, 22.0, 1, 2)]
    store.write(replace(batch(rows), arrived_ms=np.array([1_500, 2_501, 9_000], np.int64)))
    read = [(found.source, found.time_ms.tolist()) for found in (store.read(late_most_ms=most) for most in (499, 500))]
    assert read == [([], []), (["p"], [1_000])]
    both = store.read(["p", "q"], 1_000, 2_001, late_most_ms=501)
    assert (both.source, both.time_ms.tolist(), both.temp_c.tolist()) == (["p"], [1_000, 2_000], [20.0, 21.0])
    assert len(store.read(late_most_ms=None)) == len(store.read(late_most_ms=8_000)) == 3


def test_the_bound_is_a_function_of_the_row(shelf: Shelf) -> None:

    @settings(max_examples=shelf.examples, deadline=None)
    @given(
        times=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=12, unique_by=lambda pair: pair[0]),
        most=st.integers(-5, 45),
    )
    def check(times: list[tuple[int, int]], most: int) -> None:
        with shelf.fresh() as store:
            if times:
                made = batch([("p", time_ms, 20.0, 1, place) for place, (time_ms, _) in enumerate(times)])
                store.write(replace(made, arrived_ms=np.array([time_ms + late for time_ms, late in times], np.int64)))
            expected = sorted(time_ms for time_ms, late in times if late <= most)
            assert store.read(late_most_ms=most).time_ms.tolist() == expected

    check()


def test_times_before_1970_and_far_lags_are_held(store: ReadingStore) -> None:
    """A row that arrived days before or after it was measured is found by its arrival, and once."""
    day_ms = 86_400_000
    rows: list[Row] = [("p", -5, 1.0, 1, 0), ("p", 40 * day_ms, 2.0, 2, 0), ("q", 0, 3.0, 3, 0), ("q", 0, 4.0, 4, 0)]
    arrived_ms = np.array([day_ms, day_ms + 1, day_ms + 2, 40 * day_ms], np.int64)
    store.write(replace(batch(rows), arrived_ms=arrived_ms))
    assert kept(store, end_ms=0) == [("p", -5, 1.0)]
    assert [some.tolist() for some in store.days()] == [[-day_ms, 0, 40 * day_ms], [1, 2, 1]]
    if isinstance(store, CountsDays):
        spans = {(None, 0): [-day_ms], (-1, 1): [-day_ms, 0], (1, 2): [0], (day_ms, None): [40 * day_ms]}
        assert {span: store.days_within(*span)[0].tolist() for span in spans} == spans
    found = store.whole(day_ms, day_ms + 3, by_arrival=True)
    assert found.temp_c.tolist() == [1.0, 2.0, 3.0]
    late = store.whole(39 * day_ms, 41 * day_ms, by_arrival=True)
    assert (late.temp_c.tolist(), late.conflict.tolist()) == ([4.0], [True])
    in_time = store.read(late_most_ms=day_ms + 2)
    assert in_time.temp_c.tolist() == [2.0, 3.0]
    assert store.read(late_most_ms=day_ms + 5).temp_c.tolist() == [1.0, 2.0, 3.0]


def test_whole_rows_written_to_an_empty_store_have_the_outcomes_that_they_had(shelf: Shelf, tmp_path: Path) -> None:
    rows: list[Row] = [("p", 1, 20.0, 1, 0), ("p", 1, -0.0, 2, 0), ("p", 1, NAN, 3, 0), ("室温 1", 2, math.inf, 4, 0)]
    flags = ["low_battery", 'said "a\\b", 5%', "", "two\nlines,late"]
    humidity_pct, rssi_dbm = np.array([41.5, NAN, 0.0, 1e-7]), np.array([NAN, -70.0, NAN, NAN])
    places = (tmp_path / "one", tmp_path / "two")
    for place in places:
        place.mkdir()
    with closing(shelf(places[0])) as store, closing(shelf(places[1])) as copy:
        store.write(replace(batch(rows), flags=flags, humidity_pct=humidity_pct, rssi_dbm=rssi_dbm))
        whole = store.whole(-10, 10)
        outcomes = [int(outcome) for part in whole.batches() for outcome in copy.write(part).outcome]
        assert outcomes == [STORED, STORED, CONFLICT, CONFLICT]
        again = copy.whole(-10, 10)
        for name in whole.__slots__:
            one, two = (np.asarray(getattr(each, name), object).astype(str) for each in (whole, again))
            assert one.tolist() == two.tolist(), name
        assert again.flags == flags
        assert math.copysign(1, again.temp_c[1]) == -1


def test_many_sources_are_read_and_looked_up_like_few(store: ReadingStore) -> None:
    """More than are named in one question."""
    rows: list[Row] = [(f"p{n:04}", 1, float(n), 1, n) for n in range(700)]
    assert write(store, rows) == [STORED] * 700
    asked = [f"p{n:04}" for n in range(0, 700, 2)]
    for some in (asked, [*asked, *(f"p{n:04}" for n in range(1, 401, 2))]):
        assert kept(store, some) == [(name, 1, float(name[1:])) for name in sorted(some)]
        assert latest(store, some, 0, 2, (0, 1e9)) == kept(store, some)
    assert write(store, [*rows, ("p0001", 1, 7.5, 2, 0)]) == [STORED] * 700 + [CONFLICT]
    assert write(store, rows, worker="w2") == [DUPLICATE] * 700
