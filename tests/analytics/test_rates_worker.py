"""Tallies kept live: whatever arrives and is found, in whatever order, they are what one offline run comes to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from analytics.rates import worker as rates_worker
from analytics.rates.tally import tally_readings
from analytics.rates.worker import BACK_DAYS, RatesWorker
from heatwatch.domain.compliance import FIELDS, By, Per, Rates
from heatwatch.domain.findings import Finding, FindingKind, SubjectKind
from heatwatch.domain.identity import subject_of
from heatwatch.domain.instants import DAY_MS, HOUR_MS, to_ms
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import RoomClass
from heatwatch.errors import Unavailable
from heatwatch.files.rules_file import default_standard
from heatwatch.records.database import Records
from heatwatch.records.progress import advance, progress
from heatwatch.records.schema import Arrival, ComplianceDay, ComplianceDue, FindingRow
from heatwatch.usecases.compliance import Asked, compliance, days_due, tallied_up_to
from heatwatch.usecases.findings import as_finding, record_findings
from heatwatch.usecases.register import import_register
from heatwatch.usecases.roles import Bell
from tests.shelf import Row, Shelf, batch_of

ZONE = ZoneInfo("Asia/Shanghai")
STANDARD = default_standard()
START = to_ms(datetime(2025, 11, 24, 16, tzinfo=UTC))
"""Midnight in Shanghai."""
DAYS = 4
REGISTER = Register.of(
    PointRow(f"{building}-{n}", building, "s1" if building == "b1" else "s2", RoomClass.APARTMENT, device_id=device)
    for building, n, device in (("b1", 1, "d1"), ("b1", 2, None), ("b2", 1, None))
)
MOVED = Register.of(
    [*REGISTER.rows[:1], replace(REGISTER.rows[1], building_id="b3", offset_k=-3.0), *REGISTER.rows[2:]]
)
SOURCES = ("d1", "b1-2", "b2-1")


class Desk:
    """A store, records that a judge seems to keep, and a worker that can be replaced as after a crash."""

    def __init__(self, folder: Path) -> None:
        self.shelf = Shelf()
        self.records = Records(f"sqlite:///{folder / 'records.sqlite'}")
        self.records.migrate()
        self.rows: list[Row] = []
        self.register = REGISTER
        self._sequence = count(1)
        self.restart()
        self.put_in_force(REGISTER)

    def restart(self) -> None:
        self.worker = RatesWorker(self.records, self.shelf, STANDARD, ZONE, Bell())

    def put_in_force(self, register: Register) -> None:
        self.register = register
        with self.records.write() as session:
            import_register(session, register.rows, "test", "", START)

    def arrive(self, rows: Sequence[Row]) -> None:
        """Store rows and put them on the feed, as ingest does."""
        if not rows:
            return
        sequence = next(self._sequence)
        self.shelf.write(batch_of(rows, sequence))
        self.rows += rows
        touched = [
            [name, min(t for s, t, _ in rows if s == name), max(t for s, t, _ in rows if s == name), 1]
            for name in sorted({s for s, _, _ in rows})
        ]
        with self.records.write() as session:
            session.add(Arrival(worker="w", sequence=sequence, touched=touched, tick=None))

    def judged(self, as_of_ms: int, found: Sequence[Finding] | None = None) -> None:
        """Say that all that arrived was judged for a moment, and this was found; None: the same as before."""
        with self.records.write() as session:
            if found is not None:
                issued = [as_finding(row) for row in session.scalars(select(FindingRow))]
                record_findings(session, found, {subject_of(one) for one in (*found, *issued)}, as_of_ms)
            last = session.scalars(select(Arrival.seq).order_by(Arrival.seq.desc()).limit(1)).first() or 0
            advance(session, "analytics", last, as_of_ms, None)

    def work(self) -> int:
        """Let the worker do what there is; return how many passes that took."""
        return next(n for n in count() if not self.worker.pass_once())

    def as_of_ms(self) -> int:
        with self.records.read() as session:
            done = progress(session, "analytics")
            assert done is not None
            assert done.as_of_ms is not None
            return done.as_of_ms

    def kept(self) -> dict[tuple[str, ...], list[int]]:
        """Return the tallies in the records."""
        with self.records.read() as session:
            assert days_due(session) == 0
            return {
                (row.point_id, row.day, row.station_id, row.building_id, row.room): [getattr(row, n) for n in FIELDS]
                for row in session.scalars(select(ComplianceDay))
            }

    def offline(self) -> dict[tuple[str, ...], list[int]]:
        """Return what all that is stored and found comes to at once."""
        with self.records.read() as session:
            query = select(FindingRow).where(FindingRow.withdrawn.is_(False))
            found = [as_finding(row) for row in session.scalars(query)]
        point_of = {"d1": "b1-1"}
        readings = pd.DataFrame(
            {
                "time": pd.to_datetime([at for _, at, _ in self.rows], unit="ms", utc=True),
                "point_id": [point_of.get(source, source) for source, _, _ in self.rows],
                "temperature_c": [temp_c for _, _, temp_c in self.rows],
            }
        )
        tallies, timeline, places = tally_readings(
            readings, self.register, STANDARD, ZONE, frames_of(found), self.as_of_ms()
        )
        answer: dict[tuple[str, ...], list[int]] = {}
        for point, day, place, *sums in tallies.tolist():
            home, local = places[place], date(1970, 1, 1) + timedelta(days=day)
            answer[timeline.points[point], local.isoformat(), home.station_id, home.building_id, home.room] = sums
        return answer


def frames_of(found: Sequence[Finding]) -> Mapping[FindingKind, pd.DataFrame]:
    """Return findings as judging gives them."""
    frames = {}
    for kind in (FindingKind.SENSOR_FAULT, FindingKind.HEAT_OUTAGE):
        own = [one for one in found if one.kind is kind]
        frames[kind] = pd.DataFrame(
            {
                "point_id": [one.subject_id for one in own],
                "subject_kind": [str(one.subject_kind) for one in own],
                "subject_id": [one.subject_id for one in own],
                "kind": [one.detail.get("kind", "") for one in own],
                "start": pd.to_datetime([one.start_ms for one in own], unit="ms", utc=True),
                "end": pd.to_datetime(pd.array([one.end_ms for one in own], dtype="Int64"), unit="ms", utc=True),
            }
        )
    return frames


@contextmanager
def desk(folder: Path) -> Iterator[Desk]:
    made = Desk(folder)
    try:
        yield made
    finally:
        made.shelf.close()
        made.records.close()


def stuck(start_h: int, end_h: int | None, point: str = "b1-1", kind: str = "stuck") -> Finding:
    end_ms = None if end_h is None else START + end_h * HOUR_MS
    detail = {"kind": kind, "detail": ""}
    start_ms = START + start_h * HOUR_MS
    return Finding(
        FindingKind.SENSOR_FAULT, SubjectKind.POINT, point, "b1", "s1", start_ms, end_ms, end_ms is None, None, detail
    )


def stop(start_h: int, end_h: int | None, subject: SubjectKind = SubjectKind.BUILDING) -> Finding:
    end_ms = None if end_h is None else START + end_h * HOUR_MS
    name = "b1" if subject is SubjectKind.BUILDING else "s1"
    detail = {"evidence": "rooms", "confidence": 0.9, "points": 2}
    start_ms = START + start_h * HOUR_MS
    return Finding(FindingKind.HEAT_OUTAGE, subject, name, "b1", "s1", start_ms, end_ms, end_ms is None, None, detail)


def hours(source: str, first: int, last: int, temp_c: float = 20.0) -> list[Row]:
    return [(source, START + n * HOUR_MS, temp_c) for n in range(first, last)]


@st.composite
def found_at(draw: st.DrawFn, now_h: int) -> list[Finding]:
    """Draw what judging finds at some hour."""
    made = []
    for what in draw(st.lists(st.sampled_from(["stuck", "odd", "stop", "station"]), unique=True)):
        start = draw(st.integers(0, max(now_h - 1, 0)))
        end = draw(st.sampled_from([None, *range(start + 1, now_h + 1)]))
        if what in {"stop", "station"}:
            made.append(stop(start, end, SubjectKind.BUILDING if what == "stop" else SubjectKind.STATION))
        else:
            point, kind = ("b1-1", "drift") if what == "stuck" else ("b2-1", "out_of_range")
            made.append(stuck(start, end, point, kind))
    return made


@given(data=st.data())
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_kept_is_what_all_of_it_comes_to_at_once(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with desk(tmp_path_factory.mktemp("desk")) as made:
        now_h = 0
        every = [(source, START + n * HOUR_MS // 2) for source in SOURCES for n in range(DAYS * 48)]
        for _ in range(data.draw(st.integers(2, 5))):
            now_h = data.draw(st.integers(now_h, DAYS * 24))
            sent = {(source, at) for source, at, _ in made.rows}
            open_ = [one for one in every if one not in sent and one[1] <= START + now_h * HOUR_MS]
            some = sorted(data.draw(st.sets(st.sampled_from(open_), max_size=40))) if open_ else []
            made.arrive([(source, at, data.draw(st.sampled_from([15.0, 17.0, 20.0]))) for source, at in some])
            made.judged(START + now_h * HOUR_MS, data.draw(st.one_of(st.none(), found_at(now_h))))
            if data.draw(st.integers(0, 4)) == 0:
                made.put_in_force(MOVED)
            for _ in range(data.draw(st.integers(0, 6))):
                made.worker.pass_once()
            if data.draw(st.booleans()):
                made.restart()
        made.arrive(hours("b2-1", 0, 2))
        made.judged(START + DAYS * DAY_MS + HOUR_MS)
        made.work()
        assert made.kept() == made.offline()
        assert made.work() == 0


class TestLooking:
    """What is tallied anew, and what is left alone."""

    def test_nothing_is_tallied_before_anything_was_judged(self, tmp_path: Path) -> None:
        with desk(tmp_path) as made:
            made.arrive(hours("d1", 0, 10))
            assert made.work() == 0
            with made.records.read() as session:
                assert tallied_up_to(session) is None

    def test_it_looks_again_after_an_hour_and_at_midnight_only(self, tmp_path: Path) -> None:
        with desk(tmp_path) as made:
            made.arrive(hours("d1", 0, 10))
            made.judged(START + 22 * HOUR_MS + HOUR_MS // 2)
            assert made.work() > 0
            made.judged(START + 23 * HOUR_MS)
            assert made.work() == 0
            made.judged(START + 23 * HOUR_MS + HOUR_MS // 2 - 1)
            assert made.work() == 0
            made.judged(START + DAY_MS - 60_000)
            made.work()
            made.judged(START + DAY_MS)
            assert made.work() > 0
            assert {key[1] for key in made.kept()} == {"2025-11-25"}

    def test_a_late_reading_has_its_day_tallied_anew_and_no_other_old_one(self, tmp_path: Path) -> None:
        with desk(tmp_path) as made:
            made.arrive([row for source in SOURCES for row in hours(source, 0, 72)])
            made.judged(START + 3 * DAY_MS)
            made.work()
            made.arrive([("b2-1", START + 12 * HOUR_MS + 1, 15.0)])
            made.judged(START + 3 * DAY_MS + HOUR_MS)
            made.worker.pass_once()
            with made.records.read() as session:
                due = {(row.day, row.building_id) for row in session.scalars(select(ComplianceDue))}
            assert due == {("2025-11-25", "b2"), ("2025-11-28", "b1"), ("2025-11-28", "b2")}
            made.work()
            assert made.kept() == made.offline()

    def test_what_came_too_late_to_be_judged_is_in_no_rate(self, tmp_path: Path) -> None:
        with desk(tmp_path) as made:
            made.worker = RatesWorker(made.records, made.shelf, STANDARD, ZONE, Bell(), late_days=1.0)
            made.arrive(hours("d1", 0, 72))
            in_time, too_late = (batch_of([("b2-1", START + n * HOUR_MS, 15.0)], 90 + n) for n in (1, 2))
            made.shelf.write(replace(in_time, arrived_ms=in_time.time_ms + DAY_MS))
            made.shelf.write(replace(too_late, arrived_ms=too_late.time_ms + DAY_MS + 1))
            made.judged(START + 3 * DAY_MS)
            made.work()
            violating = sum(sums[FIELDS.index("violating_n")] for key, sums in made.kept().items() if key[0] == "b2-1")
            assert violating == 1

    def test_a_withdrawn_fault_gives_its_time_back(self, tmp_path: Path) -> None:
        with desk(tmp_path) as made:
            made.arrive(hours("d1", 0, 60, 15.0))
            made.judged(START + 2 * DAY_MS + 12 * HOUR_MS, [stuck(0, 24)])
            made.work()
            assert (
                made.kept()["b1-1", "2025-11-25", "s1", "b1", "b1-1"]
                == made.offline()["b1-1", "2025-11-25", "s1", "b1", "b1-1"]
            )
            made.judged(START + 2 * DAY_MS + 13 * HOUR_MS, [])
            made.work()
            day = dict(zip(FIELDS, made.kept()["b1-1", "2025-11-25", "s1", "b1", "b1-1"], strict=True))
            assert (day["sensor_fault_ms"], day["violating_ms"]) == (0, DAY_MS)

    def test_a_building_that_left_the_register_leaves_the_rates(self, tmp_path: Path) -> None:
        with desk(tmp_path) as made:
            made.arrive(hours("b2-1", 0, 20))
            made.judged(START + DAY_MS)
            made.work()
            made.put_in_force(Register.of(REGISTER.rows[:2]))
            made.judged(START + DAY_MS + HOUR_MS)
            made.work()
            assert {key[3] for key in made.kept()} == {"b1"}

    def test_many_arrivals_are_looked_at_piece_by_piece(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rates_worker, "AT_ONCE", 3)
        monkeypatch.setattr(rates_worker, "BUILDINGS_AT_ONCE", 1)
        with desk(tmp_path) as made:
            for n in range(10):
                made.arrive(hours("d1", n * 3, n * 3 + 3))
            made.judged(START + 2 * DAY_MS)
            made.work()
            assert made.kept() == made.offline()

    def test_a_clock_gone_wrong_asks_for_no_thousands_of_days(self, tmp_path: Path) -> None:
        with desk(tmp_path) as made:
            made.arrive([("d1", 1_000_000, 20.0), *hours("d1", 0, 3)])
            made.judged(START + DAY_MS)
            made.worker.pass_once()
            with made.records.read() as session:
                assert len(session.scalars(select(ComplianceDue.day).distinct()).all()) <= BACK_DAYS + 1

    def test_a_store_that_does_not_answer_is_asked_again(self, tmp_path: Path) -> None:
        with desk(tmp_path) as made:
            made.arrive(hours("d1", 0, 30))
            made.judged(START + 2 * DAY_MS)
            made.worker.pass_once()
            made.shelf.answers = False
            with pytest.raises(Unavailable):
                made.work()
            made.shelf.answers = True
            made.work()
            assert made.kept() == made.offline()


def test_rates_over_months_and_seasons_are_those_of_their_days(tmp_path: Path) -> None:
    with desk(tmp_path) as made:
        made.arrive([*hours("d1", 0, 24 * 8, 15.0), *hours("b1-2", 0, 24 * 8), *hours("b2-1", 0, 24 * 8)])
        made.judged(START + 8 * DAY_MS)
        made.work()
        with made.records.read() as session:
            days, months, seasons = (compliance(session, Asked(by, Per.STATION), STANDARD) for by in By)
            s1 = compliance(session, Asked(By.SEASON, stations={"s1"}), STANDARD)
            late = compliance(session, Asked(By.DAY, first_day=date(2025, 12, 1), building="b2"), STANDARD)
        assert [one.period for one in months] == ["2025-11", "2025-11", "2025-12", "2025-12"]
        assert [(one.period, one.station_id) for one in seasons] == [("2025-26", "s1"), ("2025-26", "s2")]
        for found in (months, seasons):
            for station in ("s1", "s2"):
                assert added(found, station) == added(days, station)
        assert [(one.by_hours.part, one.by_rooms.pct) for one in s1] == [(seasons[0].by_hours.part, 50.0)]
        assert {one.period for one in late} == {"2025-12-01", "2025-12-02"}


def added(found: Sequence[Rates], station: str) -> list[int]:
    """Return the sums of a station over all periods."""
    return [sum(column) for column in zip(*(one.sums for one in found if one.station_id == station), strict=True)]
