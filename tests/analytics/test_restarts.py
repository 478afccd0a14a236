"""A restart after any pass changes nothing: the same findings under the same numbers, whatever had been saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import analytics.roles.worker
from analytics.layout.sources import NOBODY, SourceMap
from analytics.roles.worker import AnalyticsWorker
from heatwatch.domain.instants import HOUR_MS, MINUTE_MS, from_ms
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import RoomClass
from heatwatch.records.schema import Arrival, ReadingCount
from heatwatch.stores.readings import ReadingColumns
from heatwatch.usecases.findings import findings
from heatwatch.usecases.register import import_register
from heatwatch.usecases.roles import Bell
from tests.analytics.test_worker import STANDARD, START, ZONE, Bench, Reading, rooms
from tests.shelf import batch_of

EVERY = 30 * MINUTE_MS
LATE_DAYS = 1.0
HOUSES = [Register.of([*rooms(f"{house}1", f"{house}2", building=house)]).rows for house in "bcdefg"]
REGISTER = Register.of([row for house in HOUSES for row in house])
OTHER = Register.of(
    [replace(row, valid_to=from_ms(START + 20 * HOUR_MS)) if row.point_id == "b1" else row for row in REGISTER.rows]
    + [replace(REGISTER.rows[0], building_id="c", valid_from=from_ms(START + 20 * HOUR_MS))]
)
NAMES = sorted({row.point_id for row in REGISTER.rows})


class Office(Bench):
    """A bench whose rows arrive when the clock says, some with a low battery, and whose blocks are saved one a pass."""

    def restart(self) -> None:
        self.worker = AnalyticsWorker(self.records, self.store, STANDARD, ZONE, Bell(), late_days=LATE_DAYS)

    def arrive_at(self, rows: Sequence[Reading], arrived_ms: int) -> None:
        sequence = next(self._sequence)
        batch = batch_of(rows, sequence)
        flags = ["low_battery" if name == "d1" else "" for name, _, _ in rows]
        self.store.write(replace(batch, arrived_ms=np.full(len(rows), arrived_ms, np.int64), flags=flags))
        times = {name: [at_ms for one, at_ms, _ in rows if one == name] for name in sorted({row[0] for row in rows})}
        with self.records.write() as session:
            for name in times:
                session.merge(ReadingCount(worker="w", source=name, decoded=1, stored=1))
            touched = [[name, min(own), max(own), len(own)] for name, own in times.items()]
            session.add(Arrival(worker="w", sequence=sequence, touched=touched, tick=None))

    def put_in_force(self, register: Register) -> None:
        with self.records.write() as session:
            import_register(session, register.rows, "test", "", START)

    def told(self) -> list[tuple[object, ...]]:
        """Return what the records say of every finding that was ever issued, by its number."""
        with self.records.read() as session:
            rows = [(row, gone) for gone in (False, True) for row in findings(session, withdrawn=gone)]
            said = [(row.id, row.kind, row.subject_id, row.start_ms, row.end_ms, row.confirmed_ms) for row, _ in rows]
            more = [(row.open, gone, repr(sorted(row.detail.items()))) for row, gone in rows]
        return sorted((*one, *other) for one, other in zip(said, more, strict=True))


@pytest.fixture(autouse=True)
def few_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one block be saved in a pass."""
    monkeypatch.setattr(analytics.roles.worker, "SAVED_AT_LEAST", 1)
    monkeypatch.setattr(analytics.roles.worker, "SAVED_WITHIN_MS", 10**12)


@st.composite
def lives(draw: st.DrawFn) -> list[Reading]:
    """Draw a day and a half of twelve rooms: cold, stuck, silent, and at odds."""
    rows = list[Reading]()
    for name in NAMES:
        step = 0
        for length, temp_c in draw(
            st.lists(st.tuples(st.integers(2, 45), st.sampled_from([17.0, 19.0, 18.1, -1.0, 85.0])), max_size=4)
        ):
            wobble = draw(st.sampled_from([0.0, 0.1]))
            if temp_c >= 0:
                times = [START + (step + k) * EVERY for k in range(length)]
                rows += [(name, at_ms, temp_c + wobble * (k % 2)) for k, at_ms in enumerate(times)]
            step += length
    return rows


def new_folder(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), rows=lives())
def test_a_restart_after_any_pass_leaves_the_same_findings_under_the_same_numbers(
    data: st.DataObject, rows: list[Reading], tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99), "seed"))
    late_h = np.where(rng.random(len(rows)) < 0.05, rng.integers(0, 30, len(rows)), 0)
    due = [row[1] + int(late) * HOUR_MS for row, late in zip(rows, late_h, strict=True)]
    passes = data.draw(st.integers(2, 9), "passes")
    span_ms = max([EVERY, *(at - START + 1 for at in due)])
    change = data.draw(st.integers(0, 2 * passes), "register changes")
    restarts = data.draw(st.sets(st.integers(0, passes)), "restarts")
    folder = tmp_path_factory.mktemp("offices")
    benches = [Office(new_folder(folder, name)) for name in ("one", "other")]
    try:
        for number, made in enumerate(benches):
            made.put_in_force(REGISTER)
            for k in range(passes + 1):
                low, now_ms = START + span_ms * (k - 1) // passes, START + span_ms * k // passes
                come = [
                    row for row, at in zip(rows, due, strict=True) if low < at <= now_ms or (k == 0 and at == START)
                ]
                if k == change:
                    made.put_in_force(OTHER)
                if come:
                    made.arrive_at(come, now_ms)
                made.tick(now_ms)
                if number == 1 and k in restarts:
                    made.restart()
            made.tick(START + span_ms + 9 * HOUR_MS)
        assert benches[0].told() == benches[1].told()
    finally:
        for made in benches:
            made.store.close()
            made.records.close()


def test_whoever_a_device_spoke_for_in_the_midst_of_what_arrived_is_fed_again(tmp_path: Path) -> None:
    """One arrival of a device that was in no room, then in one for a day, then in none."""
    day = timedelta(days=1)
    start = from_ms(START)
    mine = PointRow("p1", "b", "s", RoomClass.APARTMENT, start + day, start + 2 * day, device_id="d1", interval_s=3600)
    register = Register.of([mine, *rooms("q1", "q2", building="c")])
    sources = SourceMap(register, ["p1", "q1", "q2"])
    span = np.array([START]), np.array([START + 72 * HOUR_MS])
    assert [found.tolist() for found in sources.points_within(["d1"], *span)] == [[0], [0]]
    ends = ReadingColumns(["d1", "d1"], np.arange(2, dtype=np.int32), np.concatenate(span), np.zeros(2))
    assert sources.points(ends).tolist() == [NOBODY, NOBODY]
    told = []
    for again in (False, True):
        made = Office(new_folder(tmp_path, str(again)))
        made.put_in_force(register)
        quiet: list[Reading] = [("q1", START + k * HOUR_MS, 20.0 + k % 2) for k in range(72)]
        made.arrive_at(quiet, START + 72 * HOUR_MS)
        made.tick(START + 72 * HOUR_MS)
        made.tick(START + 73 * HOUR_MS)
        cold: list[Reading] = [("d1", START + (60 + k) * HOUR_MS // 2, 15.0 + k % 2) for k in range(80)]
        made.arrive_at([("q2", START + 72 * HOUR_MS, 20.0)], START + 73 * HOUR_MS)
        made.arrive_at(cold, START + 73 * HOUR_MS)
        made.tick(START + 74 * HOUR_MS)
        if again:
            made.restart()
        made.tick(START + 75 * HOUR_MS)
        told.append(made.told())
        made.store.close()
        made.records.close()
    assert told[0] == told[1]
    assert "p1" in {row[2] for row in told[0]}


def test_nobody_speaks_for_whom_the_register_does_not_name() -> None:
    nothing = np.zeros(2, np.int64)
    of, point = SourceMap(REGISTER, NAMES).points_within(["stranger", "b1"], nothing, nothing)
    assert (of.tolist(), point.tolist()) == ([1], [0])


def test_a_backlog_is_taken_in_whole_before_anybody_is_called_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Analytics was away for two days; all was stored meanwhile, in more arrivals than are read at once."""
    monkeypatch.setattr(analytics.roles.worker, "AT_ONCE", 3)
    now = [START]
    made = Office(tmp_path)
    made.put_in_force(REGISTER)

    def begin() -> AnalyticsWorker:
        return AnalyticsWorker(made.records, made.store, STANDARD, ZONE, Bell(), wall_clock=lambda: now[0])

    def spoken(first_h: int, last_h: int) -> None:
        for hour in range(first_h, last_h):
            made.arrive([(name, START + hour * HOUR_MS, 20.0 + hour % 2) for name in NAMES])

    worker = begin()
    spoken(0, 1)
    assert worker.pass_once()
    for away in (worker, begin()):
        spoken(first := int(now[0] - START) // HOUR_MS + 1, first + 48)
        now[0] += 48 * HOUR_MS
        assert away.pass_once()
        assert not away.pass_once()
        assert not made.told()
    made.store.close()
    made.records.close()


def test_what_was_read_with_all_that_is_stored_is_not_fed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would have its whole block judged anew."""
    monkeypatch.setattr(analytics.roles.worker, "AT_ONCE", 3)
    made = Office(tmp_path)
    made.put_in_force(REGISTER)
    for hour in range(10):
        made.arrive([(name, START + hour * HOUR_MS, 15.0 + hour % 2) for name in NAMES])
    anew = list[int]()
    monkeypatch.setattr("analytics.live.LiveJudge._judge_anew", lambda _, block: anew.append(block))
    now_ms = START + 10 * HOUR_MS
    worker = AnalyticsWorker(made.records, made.store, STANDARD, ZONE, Bell(), wall_clock=lambda: now_ms)
    assert worker.pass_once()
    assert not worker.pass_once()
    assert (anew, len(made.told())) == ([], len(NAMES))
    made.store.close()
    made.records.close()


def test_up_to_when_a_source_had_been_heard_is_known_after_a_restart(tmp_path: Path) -> None:
    made = Office(tmp_path)
    try:
        made.put_in_force(REGISTER)
        for k in range(1, 5):
            at_ms = START + k * EVERY
            made.arrive_at([(name, at_ms - EVERY * (number % 2), 19.0) for number, name in enumerate(NAMES[k:])], at_ms)
            made.tick(at_ms)
        before = dict(made.worker._bench.heard)  # type: ignore[union-attr]
        made.restart()
        made.tick(START + 5 * EVERY)
        after = made.worker._bench.heard  # type: ignore[union-attr]
        assert before
        assert after == before
    finally:
        made.store.close()
        made.records.close()
