"""The analytics role: whatever arrives, in whatever pieces, the records hold what one offline run finds."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.judge import judge
from analytics.layout.sources import NOBODY, SourceMap, StoredHistory
from analytics.roles.worker import AnalyticsWorker
from heatwatch.domain.findings import COLUMNS, FindingKind
from heatwatch.domain.instants import HOUR_MS, MINUTE_MS, from_ms
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import RoomClass
from heatwatch.errors import Unavailable
from heatwatch.files.rules_file import default_standard
from heatwatch.records.database import Records
from heatwatch.records.progress import progress
from heatwatch.records.schema import Arrival, FindingRow, ReadingCount
from heatwatch.stores.embedded import EmbeddedReadings
from heatwatch.stores.readings import ReadingColumns
from heatwatch.usecases.findings import findings, shown_detail
from heatwatch.usecases.register import import_register
from heatwatch.usecases.roles import Bell
from tests.peers import wait_for
from tests.shelf import batch_of

START = 1_768_176_000_000
ZONE = ZoneInfo("Asia/Shanghai")
STANDARD = default_standard()
Reading = tuple[str, int, float]
"""Source, time [ms], temperature [degC]."""


class Bench:
    """A store, records, and a worker that can be replaced as after a crash."""

    def __init__(self, folder: Path) -> None:
        self.store = EmbeddedReadings(folder / "readings.duckdb")
        self.records = Records(f"sqlite:///{folder / 'records.sqlite'}")
        self.records.migrate()
        self._sequence = count(1)
        self.restart()

    def restart(self) -> None:
        """Put another worker in the place of this one; nothing that it had in memory is left."""
        self.worker = AnalyticsWorker(self.records, self.store, STANDARD, ZONE, Bell())

    def put_in_force(self, register: Register) -> None:
        with self.records.write() as session:
            import_register(session, register.rows, "test", "", START)

    def arrive(self, rows: Sequence[Reading]) -> None:
        """Store rows and put them on the feed, as ingest does."""
        if not rows:
            return
        sequence = next(self._sequence)
        batch = batch_of(rows, sequence)
        kept = [
            row for row, outcome in zip(rows, self.store.write(batch).outcome.tolist(), strict=True) if outcome != 1
        ]
        touched = [
            [name, min(t for s, t, _ in kept if s == name), max(t for s, t, _ in kept if s == name), 1]
            for name in sorted({s for s, _, _ in kept})
        ]
        with self.records.write() as session:
            for name in {s for s, _, _ in rows}:
                session.merge(ReadingCount(worker="w", source=name, decoded=1, stored=1))
            session.add(Arrival(worker="w", sequence=sequence, touched=touched, tick=None))

    def tick(self, now_ms: int) -> None:
        """Move the clock and let the worker do what there is."""
        sequence = next(self._sequence)
        tick = {"run": "r", "step": sequence, "now": now_ms}
        with self.records.write() as session:
            session.add(Arrival(worker="w", sequence=sequence, touched=[], tick=tick))
        while self.worker.pass_once():
            pass

    def as_of_ms(self) -> int | None:
        """Return the moment for which the findings hold."""
        with self.records.read() as session:
            done = progress(session, "analytics")
            return None if done is None else done.as_of_ms

    def found(self, kind: FindingKind) -> pd.DataFrame:
        """Return the findings in the records, as a file of this kind has them."""
        as_of_ms = self.as_of_ms()
        assert as_of_ms is not None
        with self.records.read() as session:
            rows = [as_columns(row, as_of_ms) for row in findings(session, kind=kind)]
        frame = pd.DataFrame(rows, columns=list(COLUMNS[kind]))
        subjects = [name for name in ("subject_kind", "subject_id", "point_id") if name in frame]
        return frame.sort_values([*subjects, "start"], ignore_index=True)


def as_columns(row: FindingRow, as_of_ms: int | None) -> dict[str, object]:
    own = {"point_id": row.subject_id, "subject_kind": row.subject_kind, "subject_id": row.subject_id, "open": row.open}
    instants = {"start": row.start_ms, "end": row.end_ms, "confirmed_at": row.confirmed_ms}
    return {**own, **instants, **shown_detail(row, as_of_ms)}


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    made = Bench(folder)
    try:
        yield made
    finally:
        made.store.close()
        made.records.close()


def offline(rows: Sequence[Reading], register: Register, as_of_ms: int) -> dict[FindingKind, pd.DataFrame]:
    """Return what `judge` finds, instants as milliseconds."""
    frame = pd.DataFrame(rows, columns=["point_id", "time", "temperature_c"]).drop_duplicates()
    frame["time"] = pd.to_datetime(frame["time"], unit="ms", utc=True)
    found = dict(judge(frame, register, STANDARD, ZONE, as_of_ms).frames)
    for table in found.values():
        for name in {"start", "end", "confirmed_at"} & set(table.columns):
            known = table[name].notna()
            ms = table[name].dt.tz_localize(None).to_numpy("datetime64[ms]").view("int64")
            table[name] = pd.Series(ms, dtype=object).where(known, None)
    return found


def assert_as_offline(made: Bench, rows: Sequence[Reading], register: Register, as_of_ms: int) -> None:
    for kind, expected in offline(rows, register, as_of_ms).items():
        subjects = [name for name in ("subject_kind", "subject_id", "point_id") if name in expected]
        ordered = expected.sort_values([*subjects, "start"], ignore_index=True)
        got = made.found(kind).astype(object).where(lambda cell: cell.notna(), None)
        assert got.to_dict("records") == ordered.astype(object).where(ordered.notna(), None).to_dict("records")


def rooms(*names: str, building: str = "b") -> list[PointRow]:
    return [PointRow(name, building, "s", RoomClass.APARTMENT, interval_s=1800) for name in names]


REGISTER = Register.of([*rooms("p1", "p2", "p3"), *rooms("q1", "q2", building="c")])
NAMES = sorted({row.point_id for row in REGISTER.rows})


@st.composite
def lives(draw: st.DrawFn) -> list[Reading]:
    """Draw two days of five rooms, half-hourly, with cold, silent and senseless stretches."""
    rows = list[Reading]()
    for name in NAMES:
        stretches = draw(
            st.lists(st.tuples(st.integers(1, 30), st.sampled_from([17.0, 19.0, 18.1, -1.0, 85.0])), max_size=6)
        )
        step = 0
        for length, temp_c in stretches:
            if temp_c >= 0:
                rows += [(name, START + (step + k) * 30 * MINUTE_MS, temp_c) for k in range(length)]
            step += length
    return rows


@settings(max_examples=25, deadline=None, suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large))
@given(data=st.data(), rows=lives())
def test_any_pieces_late_rows_and_restarts_leave_the_findings_of_one_offline_run(
    data: st.DataObject, rows: list[Reading], tmp_path_factory: pytest.TempPathFactory
) -> None:
    late = set(data.draw(st.lists(st.integers(0, max(len(rows) - 1, 0)), max_size=5), "late"))
    ordered = sorted((row for k, row in enumerate(rows) if k not in late), key=lambda row: row[1])
    ordered += [row for k, row in enumerate(rows) if k in late]
    now_ms = START
    with bench(tmp_path_factory.mktemp("bench")) as made:
        made.put_in_force(REGISTER)
        for piece in np.array_split(np.arange(len(ordered)), data.draw(st.integers(1, 6), "pieces")):
            chosen = [ordered[k] for k in piece]
            made.arrive(chosen)
            now_ms = max([now_ms, *(time_ms for _, time_ms, _ in chosen)])
            made.tick(now_ms)
            if data.draw(st.booleans(), "restart"):
                made.restart()
        end_ms = now_ms + data.draw(st.sampled_from([0, 9 * HOUR_MS]), "after")
        made.tick(end_ms)
        if rows:
            assert_as_offline(made, rows, REGISTER, end_ms)


def test_another_register_in_force_judges_the_past_by_it(tmp_path: Path) -> None:
    rows = [(name, START + k * 30 * MINUTE_MS, 17.0) for name in NAMES for k in range(6)]
    end_ms = START + 6 * HOUR_MS
    with bench(tmp_path) as made:
        made.put_in_force(REGISTER)
        made.arrive(rows)
        made.tick(end_ms)
        assert len(made.found(FindingKind.COLD_SPELL)) == len(NAMES)
        fewer = Register.of(rooms("p1", "p2"))
        made.put_in_force(fewer)
        made.tick(end_ms + HOUR_MS)
        assert_as_offline(made, rows, fewer, end_ms + HOUR_MS)
        with made.records.read() as session:
            withdrawn = findings(session, kind=FindingKind.COLD_SPELL, withdrawn=True)
            assert {row.subject_id for row in withdrawn} == {"p3", "q1", "q2"}


def test_before_a_register_is_imported_whoever_speaks_is_an_apartment(tmp_path: Path) -> None:
    rows = [(name, START + k * 30 * MINUTE_MS, 17.0) for name in ("x", "y") for k in range(6)]
    with bench(tmp_path) as made:
        made.arrive([row for row in rows if row[0] == "x"])
        made.tick(START + 3 * HOUR_MS)
        made.arrive([row for row in rows if row[0] == "y"])
        made.tick(START + 4 * HOUR_MS)
        assert_as_offline(made, rows, Register.implied_by(["x", "y"]), START + 4 * HOUR_MS)


def test_nothing_is_judged_before_the_tick_that_follows_it(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        made.put_in_force(REGISTER)
        made.arrive([("p1", START + k * 30 * MINUTE_MS, 17.0) for k in range(6)])
        assert not made.worker.pass_once()
        made.tick(START + 3 * HOUR_MS)
        assert len(made.found(FindingKind.COLD_SPELL)) == 1


def test_by_the_wall_clock_findings_are_brought_up_to_date_when_nothing_arrives(tmp_path: Path) -> None:
    now = [START + 3 * HOUR_MS]
    with bench(tmp_path) as made:
        made.put_in_force(REGISTER)
        made.worker = AnalyticsWorker(
            made.records, made.store, STANDARD, ZONE, Bell(), wall_clock=lambda: now[0], judge_every_s=60
        )
        made.arrive([("p1", START + k * 30 * MINUTE_MS, 17.0) for k in range(6)])
        assert made.worker.pass_once()
        assert not made.worker.pass_once()
        now[0] += 12 * HOUR_MS
        assert made.worker.pass_once()
        assert made.found(FindingKind.COLD_SPELL)["end_reason"].tolist() == ["silence"]
        assert made.found(FindingKind.DATA_OUTAGE)["open"].tolist() == [True]


def test_a_device_speaks_for_the_room_in_which_the_register_says_it_was(tmp_path: Path) -> None:
    day = timedelta(days=1)
    start = from_ms(START)
    moved = Register.of(
        [
            PointRow("p1", "b", "s", RoomClass.APARTMENT, valid_to=start + day, device_id="d1"),
            PointRow("p1", "b", "s", RoomClass.APARTMENT, valid_from=start + day, device_id="d2"),
            PointRow("p2", "b", "s", RoomClass.APARTMENT, valid_from=start + 2 * day, device_id="d1"),
        ]
    )
    points = ["p1", "p2"]
    seen = ReadingColumns(
        ["d1", "d2", "p2", "stranger"],
        np.array([0, 0, 0, 1, 1, 2, 3], np.int32),
        np.array([START + hours * HOUR_MS for hours in (1, 25, 49, 1, 25, 1, 1)], np.int64),
        np.zeros(7),
    )
    assert SourceMap(moved, points).points(seen).tolist() == [0, NOBODY, 1, NOBODY, 0, 1, NOBODY]
    with bench(tmp_path) as made:
        made.arrive([("d1", START + HOUR_MS, 20.0), ("d1", START + 49 * HOUR_MS, 21.0), ("p2", START, 22.0)])
        index, _, temp_c = StoredHistory(made.store, moved, points).rows(["p2"])
        assert (index.tolist(), sorted(temp_c.tolist())) == ([0, 0], [21.0, 22.0])


def test_a_store_that_does_not_answer_for_a_while_delays_judging_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [("p1", START + k * 30 * MINUTE_MS, 17.0) for k in range(6)]
    with bench(tmp_path) as made:
        made.put_in_force(REGISTER)
        made.arrive(rows[:3])
        made.tick(START + HOUR_MS)
        made.arrive(rows[3:])
        read, refusals = made.store.read, [1, 2]

        def refuse_twice(*asked: Any, **how: Any) -> ReadingColumns:
            if refusals:
                refusals.pop()
                raise Unavailable("store", "busy")
            return read(*asked, **how)

        monkeypatch.setattr(made.store, "read", refuse_twice)
        monkeypatch.setattr("heatwatch.usecases.roles.LOOK_AGAIN_S", 0.01)
        with made.records.write() as session:
            session.add(
                Arrival(worker="w", sequence=99, touched=[], tick={"run": "r", "step": 9, "now": START + 3 * HOUR_MS})
            )
        stop = threading.Event()
        role = threading.Thread(target=made.worker.run, args=(stop,))
        role.start()
        try:
            wait_for(lambda: made.as_of_ms() == START + 3 * HOUR_MS)
        finally:
            stop.set()
            role.join()
        assert not refusals
        assert_as_offline(made, rows, REGISTER, START + 3 * HOUR_MS)


def test_a_wrong_register_put_right_again_leaves_no_gap_in_what_is_judged(tmp_path: Path) -> None:
    rows = [(name, START + k * 30 * MINUTE_MS, 17.0 if k > 20 else 19.0) for name in NAMES for k in range(60)]
    foreign = Register.of(rooms("nobody"))
    with bench(tmp_path) as made:
        for hour in range(30):
            made.put_in_force(foreign if 10 <= hour < 20 else REGISTER)
            made.arrive([row for row in rows if START + hour * HOUR_MS <= row[1] < START + (hour + 1) * HOUR_MS])
            made.tick(START + (hour + 1) * HOUR_MS)
        assert_as_offline(made, rows, REGISTER, START + 30 * HOUR_MS)


def test_a_register_imported_between_ticks_judges_nothing_before_the_next(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        made.put_in_force(REGISTER)
        made.tick(START)
        made.arrive([("p1", START + k * 30 * MINUTE_MS, 17.0) for k in range(6)])
        made.put_in_force(Register.of(rooms("p1", "p2")))
        assert not made.worker.pass_once()
        made.tick(START + 3 * HOUR_MS)
        assert made.found(FindingKind.COLD_SPELL)["point_id"].tolist() == ["p1"]


def test_whoever_was_only_ever_quarantined_is_no_room(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        with made.records.write() as session:
            session.add(ReadingCount(worker="w", source="junk", decoded=3, quarantined=3))
        made.arrive([("x", START + k * 30 * MINUTE_MS, 17.0) for k in range(6)])
        made.tick(START + 13 * HOUR_MS)
        assert made.found(FindingKind.DATA_OUTAGE)["subject_id"].tolist() == ["x"]
