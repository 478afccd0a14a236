"""The feed role: what the records and the store hold is in InfluxDB, each thing once, whatever becomes of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import event

from analytics.rates.worker import RatesWorker
from dashboards.feed import worker as feed
from dashboards.feed.hours import ROWS_AT_ONCE
from dashboards.feed.worker import FeedWorker
from dashboards.feed.writing import Writer
from heatwatch.domain.compliance import By, Per
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS, to_ms
from heatwatch.domain.life import Deed
from heatwatch.domain.supply import SupplySource
from heatwatch.errors import Unavailable
from heatwatch.records.database import Records
from heatwatch.records.progress import advance
from heatwatch.records.schema import Arrival, FeedProgress, JournalPosition, MessageCount, TooLate
from heatwatch.stores.influx.points import line
from heatwatch.stores.influx.schema import HEATWATCH
from heatwatch.usecases.compliance import Asked, compliance
from heatwatch.usecases.findings import findings
from heatwatch.usecases.register import import_register
from heatwatch.usecases.roles import Bell
from tests.dashboards.feed.pad import Pad
from tests.dashboards.feed.town import ZONE, Town, assert_findings, lasting, register
from tests.dispatch.office import STANDARD, T0, at
from tests.ledger import fresh_records
from tests.rooms import COLD, NOW, START, furnish
from tests.rooms import STANDARD as RULES
from tests.shelf import Shelf


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path)
    yield made
    made.close()


def hours_of(pad: Pad, point: str) -> dict[int, dict[str, object]]:
    """Return a point's hours that are not void, by hours after the beginning."""
    rows = [row for row in pad.rows("room_hour") if row["point"] == point and row["readings"]]
    return {(int(row["time"]) // 1_000_000 - T0) // HOUR_MS: dict(row) for row in rows}


class TestFindings:
    """Findings, each one point in one series."""

    def test_a_later_revision_stands_in_the_place_of_the_one_before(self, town: Town) -> None:
        town.judge(0, 0.5, None)
        town.tell_all()
        town.judge(0, 0.25, 3.0)
        town.tell_all()
        (row,) = town.pad.rows("finding")
        assert row["time"] == at(0.5) * 1_000_000 + 1
        assert (row["start_ms"], row["end_ms"], row["open"], row["revision"]) == (at(0.25), at(3.25), False, 2)

    def test_the_time_is_the_start_as_first_issued_though_the_feed_came_later(self, town: Town) -> None:
        town.judge(0, 0.5, None)
        town.judge(0, 0.25, 3.0)
        town.tell_all()
        (row,) = town.pad.rows("finding")
        assert row["time"] == at(0.5) * 1_000_000 + 1

    def test_two_that_began_at_once_are_two_points(self, town: Town) -> None:
        for room in range(3):
            town.judge(room, 0.5, None)
        town.tell_all()
        assert [row["finding"] for row in town.pad.rows("finding")] == [1, 2, 3]

    def test_one_that_is_withdrawn_stays_and_says_so(self, town: Town) -> None:
        town.judge(0, 0.5, None)
        town.tell_all()
        town.withdraw(0)
        town.tell_all()
        (row,) = town.pad.rows("finding")
        assert (row["withdrawn"], row["open"], row["moved"]) == (True, False, False)

    def test_one_whose_building_is_another_by_now_is_told_there_and_as_moved_where_it_was(self, town: Town) -> None:
        town.judge(0, 0.5, None)
        town.tell_all()
        town.judge(0, 0.5, None, "b2")
        town.tell_all()
        told = {row["station"]: (row["moved"], row["withdrawn"], row["open"]) for row in town.pad.rows("finding")}
        assert told == {"s1": (True, True, False), "s2": (False, False, True)}
        town.judge(0, 0.5, 4.0)
        town.tell_all()
        told = {row["station"]: (row["moved"], row["withdrawn"], row["end_ms"]) for row in town.pad.rows("finding")}
        assert told == {"s1": (False, False, at(4.5)), "s2": (True, True, at(4.5))}

    def test_its_ticket_is_told_with_it_and_again_when_tickets_merge(self, town: Town) -> None:
        town.judge(0, 0.5, None)
        town.tell_all()
        (row,) = town.pad.rows("finding")
        assert row["ticket"] == 1
        town.fail(0.0, None)
        town.tell_all()
        town.assert_told()
        merged = {row["ticket"]: row["state"] for row in town.pad.rows("ticket")}
        assert merged == {1: "merged", 2: "open"}
        assert {row["ticket"] for row in town.pad.rows("finding")} == {2}


class TestTickets:
    """Tickets, their log and their notices."""

    def test_a_ticket_is_one_point_with_its_next_deadline_and_no_name(self, town: Town) -> None:
        town.judge(0, 0.5, None)
        town.tell_all()
        (row,) = town.pad.rows("ticket")
        assert (row["step"], row["step_rule"], row["clocks"], row["taken"]) == ("contact", "R16", 4, False)
        assert row["due_ms"] == int(row["opened_ms"]) + 30 * MINUTE_MS
        town.act(0, Deed.TAKE)
        town.act(0, Deed.CONTACT)
        town.tell_all()
        (row,) = town.pad.rows("ticket")
        assert (row["state"], row["step"], row["clocks"], row["taken"]) == ("taken", "opinion", 3, True)
        assert "张三" not in repr(town.pad.points)
        assert [one["kind"] for one in town.pad.rows("ticket_event")][-2:] == ["take", "contact"]

    def test_a_notice_is_one_point_from_draft_to_publication(self, town: Town) -> None:
        town.fail(0.0, None)
        town.tell_all()
        (row,) = town.pad.rows("notice")
        assert (row["state"], row["published"], row["due_ms"]) == ("draft", False, at(8))
        town.now_h = 8.0
        town.fail(0.0, None)
        town.tell_all()
        (row,) = town.pad.rows("notice")
        assert (row["state"], row["published"], row["buildings"]) == ("published", True, "b1")


class TestHours:
    """Hours of rooms and supply sensors."""

    def test_an_hour_is_worked_out_anew_when_a_late_reading_comes(self, town: Town) -> None:
        town.arrive([("dr1", T0 + minute * MINUTE_MS, 18.0 + minute) for minute in (0, 2)])
        town.tell_all()
        hour = hours_of(town.pad, "r1")[0]
        assert (hour["mean_c"], hour["readings"], hour["violations"], hour["minimum_c"]) == (19.0, 2, 0, 18.0)
        town.arrive([("r1", T0 + MINUTE_MS, 16.0)])
        town.tell_all()
        hour = hours_of(town.pad, "r1")[0]
        assert (hour["mean_c"], hour["min_c"], hour["readings"], hour["violations"]) == (18.0, 16.0, 3, 1)
        assert hour["last_c"] == 20.0

    def test_an_hour_whose_only_reading_is_contradicted_is_void(self, town: Town) -> None:
        town.arrive([("dr1", T0, 18.0)])
        town.tell_all()
        town.arrive([("r1", T0, 19.0)])
        town.tell_all()
        (row,) = town.pad.rows("room_hour")
        assert row["readings"] == 0

    def test_a_register_that_moves_a_room_in_the_past_makes_its_hours_there_void(self, town: Town) -> None:
        town.arrive([("dr1", T0 + hour * HOUR_MS, 20.0) for hour in range(30)])
        town.arrive([("dr2", T0 + hour * HOUR_MS, 20.0) for hour in range(30)])
        town.tell_all()
        town.put_in_force(6)
        requests = town.pad.requests
        town.tell_all()
        assert town.pad.requests > requests
        told = [(row["building"], (int(row["time"]) // 1_000_000 - T0) // HOUR_MS, row["readings"]) for row in
                town.pad.rows("room_hour") if row["point"] == "r1"]  # fmt: skip
        assert {(building, hour) for building, hour, readings in told if readings} == {
            ("b1" if hour < 6 else "b2", hour) for hour in range(30)
        }
        assert {hour for building, hour, readings in told if building == "b1" and not readings} == set(range(6, 30))
        assert len(hours_of(town.pad, "r2")) == 30

    def test_a_register_that_is_put_right_at_once_leaves_nothing_behind(self, town: Town) -> None:
        """Days that had been gone through by the wrong one, and days that had not."""
        town.arrive([("dr1", T0 + hour * HOUR_MS, 20.0) for hour in range(0, 96, 3)])
        town.tell_all()
        town.put_in_force(6)
        town.feed.pass_once()
        town.feed.pass_once()
        assert len({row["building"] for row in town.pad.rows("room_hour")}) == 2
        town.put_in_force(None)
        town.tell_all()
        assert {row["building"] for row in town.pad.rows("room_hour") if row["readings"]} == {"b1"}

    def test_the_first_register_leaves_nothing_of_what_was_told_without_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(Town, "put_in_force", lambda *_: None)
            town = Town(tmp_path)
        with closing(town):
            town.arrive([("dr1", T0, 20.0), ("r2", T0, 20.0), ("stranger", T0, 20.0)])
            town.tell_all()
            told = {(row["station"], row["point"]) for row in town.pad.rows("room_hour")}
            assert told == {("station", "dr1"), ("station", "r2"), ("station", "stranger")}
            assert not town.pad.rows("station_now")
            town.put_in_force(None)
            town.tell_all()
            told = {(row["station"], row["point"]) for row in town.pad.rows("room_hour") if row["readings"]}
            assert told == {("s1", "r1"), ("s1", "r2")}

    def test_a_name_that_becomes_anothers_device_is_no_longer_told_under_its_own(self, town: Town) -> None:
        town.arrive([("r2", T0, 20.0)])
        town.tell_all()
        rows = [replace(row, device_id="r2") if row.point_id == "r1" else row for row in register()]
        with town.records.write() as session:
            import_register(session, rows, "points.csv", "x" * 64, 2)
        town.tell_all()
        assert {row["point"] for row in town.pad.rows("room_hour") if row["readings"]} == {"r1"}

    def test_of_many_arrivals_only_as_many_are_held_as_are_told_at_once(self, town: Town) -> None:
        town.tell_all()
        with town.records.write() as session:
            touched = [["dr1", T0, T0, 2 * ROWS_AT_ONCE]]
            session.add_all(Arrival(worker="w", sequence=n, touched=touched, tick=None) for n in range(500))
        held: list[int] = []

        def loaded(arrival: Arrival, _context: object) -> None:
            held.append(arrival.seq)

        town.now_h += 1
        event.listen(Arrival, "load", loaded)
        try:
            assert town.feed.pass_once()
        finally:
            event.remove(Arrival, "load", loaded)
        assert 1 <= len(held) <= 50
        town.tell_all()
        with town.records.read() as session:
            assert session.get_one(FeedProgress, 1).arrival_seq == 500

    def test_what_keeps_hours_from_being_told_keeps_nothing_else(
        self, town: Town, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Which days a large store holds may take it longer to say than it may."""

        def days() -> None:
            raise Unavailable("store", "takes too long")

        monkeypatch.setattr(town.shelf, "days", days)
        town.judge(0, 0.5, None)
        for _ in range(10):
            town.tell()
        assert town.pad.rows("finding")
        assert town.pad.rows("ticket")
        assert town.pad.rows("station_now")

    def test_supply_sensors_are_told_by_hours(self, town: Town) -> None:
        own, house = (SupplySource("s1", building, "supply_c").name for building in ("", "b1"))
        town.arrive([(own, T0, 50.0), (own, T0 + MINUTE_MS, 60.0), (house, T0, 45.0)])
        town.tell_all()
        town.arrive([(SupplySource("s1", "", "return_c").name, T0, 40.0)])
        town.tell_all()
        told = {row["building"]: (row["supply_c"], row.get("return_c")) for row in town.pad.rows("supply_hour")}
        assert told == {"_": (55.0, 40.0), "b1": (45.0, None)}

    @pytest.mark.parametrize("values", [[1e308], [1.7e308, 1.6e308], [-1e307]])
    def test_a_supply_sensor_gone_mad_stops_nobody(self, town: Town, values: list[float]) -> None:
        """Any number may be sent; what has no mean that a number can hold is not told."""
        own, other = (SupplySource("s1", "", name).name for name in ("supply_c", "return_c"))
        town.arrive([(own, T0 + n * MINUTE_MS, value) for n, value in enumerate(values)] + [(other, T0, 40.0)])
        town.arrive([("dr1", T0 + n * MINUTE_MS, value) for n, value in enumerate(values)])
        town.tell_all()
        (row,) = town.pad.rows("supply_hour")
        assert (row["return_c"], "supply_c" in row) == (40.0, False)

    def test_the_first_start_goes_through_days_latest_first(self, town: Town) -> None:
        town.arrive([("dr1", T0 - day * DAY_MS, 20.0) for day in range(3)])
        town.feed.pass_once()
        assert not town.pad.rows("room_hour")
        town.feed.pass_once()
        assert len(town.pad.rows("room_hour")) == 1
        town.tell_all()
        assert len(town.pad.rows("room_hour")) == 3

    def test_by_the_wall_clock_a_trickle_is_told_now_and_then(self, town: Town) -> None:
        town.tell_all()
        town.arrive([("dr1", T0, 20.0)])
        assert not town.feed.pass_once()
        town.now_h += feed.LOOK_EVERY_MS / HOUR_MS
        assert town.feed.pass_once()
        assert len(town.pad.rows("room_hour")) == 1


class TestNow:
    """What is so now, once a minute."""

    def test_each_station_is_told_once_a_minute_also_one_that_never_sent_anything(self, town: Town) -> None:
        town.arrive([("dr1", at(1.9), 15.0), ("dr2", at(1.95), 20.0)])
        town.judge(0, 0.5, None)
        town.fail(0.5, None)
        town.tell_all()
        now = {row["station"]: row for row in town.pad.rows("station_now")}
        assert now.keys() == {"s1", "s9"}
        one, never = now["s1"], now["s9"]
        assert (one["rooms"], one["cold"], one["outages"], one["tickets"]) == (3, 1, 1, 1)
        assert (one["points_expected"], one["points_heard"]) == (3, 2)
        assert one["last_heard_s"] == pytest.approx((town.now_h - 1.95) * 3600)
        assert one["longest_outage_h"] == town.now_h - 0.5
        assert one["notice_due_s"] == (0.5 + 8 - town.now_h) * 3600
        assert (never["points_expected"], never["points_heard"], "last_heard_s" in never) == (1, 0, False)
        assert "notice_due_s" not in never
        town.feed.pass_once()
        assert len(town.pad.rows("station_now")) == 2
        town.now_h += 1 / 60
        town.feed.pass_once()
        assert len(town.pad.rows("station_now")) == 4

    def test_a_clock_that_was_put_back_is_followed(self, town: Town) -> None:
        town.now_h = 1000.0
        town.tell_all()
        town.now_h = 3.0
        town.feed.pass_once()
        assert at(3) * 1_000_000 in {row["time"] for row in town.pad.rows("station_now")}
        told = len(town.pad.rows("station_now"))
        town.feed.pass_once()
        assert len(town.pad.rows("station_now")) == told

    def test_readings_of_one_moment_that_cannot_be_asked_keep_nothing_else(
        self, town: Town, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def latest(*_: object) -> None:
            raise Unavailable("store", "takes too long")

        monkeypatch.setattr(town.shelf, "latest", latest)
        town.arrive([("dr1", T0, 20.0)])
        for _ in range(10):
            town.tell()
        assert town.pad.rows("room_hour")

    def test_what_was_heard_long_ago_is_known_still(self, town: Town) -> None:
        town.arrive([("dr1", at(1), 20.0)])
        town.tell_all()
        town.now_h = 100.0
        town.hire()
        town.tell_all()
        last = [row for row in town.pad.rows("station_now") if row["station"] == "s1"][-1]
        assert last["last_heard_s"] == (town.now_h - 1) * 3600

    def test_a_planned_stop_is_told_while_it_covers_now(self, town: Town) -> None:
        town.report(3)
        for hour, covered in ((2.9, 0), (3.0, 1), (11.9, 1), (12.0, 0)):
            town.now_h = hour
            town.feed.pass_once()
            last = [row for row in town.pad.rows("station_now") if row["station"] == "s1"][-1]
            assert (last["planned_buildings"], last["planned_stop"]) == (covered, False)

    def test_delivery_is_told_by_worker(self, town: Town) -> None:
        with town.records.write() as session:
            session.add(JournalPosition(worker="w2", sequence=5, received=7))
            session.add(MessageCount(worker="w2", sender="x", decoded=3, no_reading=1, quarantined=1))
            late = {"first_ms": 1, "last_ms": 2, "rows": 4, "arrived_ms": 3}
            session.add(TooLate(worker="w2", sequence=5, source="x", **late))
        town.tell_all()
        (row,) = town.pad.rows("delivery")
        assert [row[name] for name in ("received", "decoded", "no_reading", "quarantined", "waiting")] == [
            7,
            3,
            1,
            1,
            2,
        ]
        assert (row["holds"], row["too_late"]) == (True, 4)

    def test_roles_are_told_with_how_far_they_are_behind(self, town: Town) -> None:
        town.judge(0, 0.5, None)
        town.now_h += 1
        town.tell_all()
        told = {row["role"]: row for row in town.pad.rows("pipeline")}
        assert told["analytics"]["lag_s"] == (town.now_h - 2.25) * 3600
        assert told.keys() >= {"analytics", "dispatch", "ingest", "notifier", "feed"}

    def test_in_a_replay_nothing_is_told_before_its_clock_and_then_by_it(self, town: Town) -> None:
        town.feed = FeedWorker(town.records, town.shelf, town.pad, STANDARD, ZONE, Bell())
        while town.feed.pass_once():
            pass
        assert not town.pad.rows("station_now")
        town.arrive([("dr1", T0, 20.0)])
        while town.feed.pass_once():
            pass
        assert not town.pad.rows("room_hour")
        with town.records.write() as session:
            advance(session, "dispatch", 1, at(2), {"run": "r", "step": 1, "now": at(2)})
        while town.feed.pass_once():
            pass
        assert {row["time"] for row in town.pad.rows("station_now")} == {at(2) * 1_000_000}
        assert len(town.pad.rows("room_hour")) == 1


class TestInfluxDb:
    """What InfluxDB makes of it."""

    def test_what_it_never_takes_is_told_once_counted_and_passed_over(
        self, town: Town, caplog: pytest.LogCaptureFixture
    ) -> None:
        for room in range(3):
            town.judge(room, 0.5, None)
        town.pad.never = "subject=r2"
        with caplog.at_level(logging.WARNING):
            town.tell_all()
            town.judge(1, 0.5, 5.0)
            town.tell_all()
        assert [row["subject"] for row in town.pad.rows("finding")] == ["r1", "r3"]
        assert len([one for one in caplog.records if "finding: unable to parse" in one.getMessage()]) == 1
        with town.records.read() as session:
            assert session.get_one(FeedProgress, 1).refused >= 2

    def test_it_is_never_asked_for_too_much_at_once(self) -> None:
        pad = Pad()
        lines = [line(HEATWATCH, {}, {"schema": 1}, number) for number in range(12_001)]
        assert Writer(pad).write(lines) == 0
        assert (len(pad.rows("heatwatch")), pad.requests, pad.longest) == (12_001, 3, 5000)

    def test_another_schema_has_everything_written_anew(self, town: Town) -> None:
        town.judge(0, 0.5, None)
        town.tell_all()
        with town.records.write() as session:
            session.get_one(FeedProgress, 1).schema_version = 0
        before = lasting(town.pad)
        pad = Pad()
        town.hire(pad)
        town.tell_all()
        assert lasting(pad) == before


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Records, Pad]]:
    """Give a week of a building by the real roles, and what of it is in InfluxDB."""
    records, shelf, pad = fresh_records(tmp_path_factory.mktemp("week")), Shelf(), Pad()
    furnish(records, shelf)
    rates = RatesWorker(records, shelf, RULES, ZONE, Bell())
    while rates.pass_once():
        pass
    made = FeedWorker(records, shelf, pad, RULES, ZONE, Bell(), wall_clock=lambda: NOW)
    while made.pass_once():
        pass
    yield records, pad
    records.close()
    shelf.close()


class TestWeek:
    """What the real roles made of a building."""

    def test_every_finding_is_there(self, week: tuple[Records, Pad]) -> None:
        records, pad = week
        with records.read() as session:
            assert_findings(pad, sorted(findings(session, withdrawn=None), key=lambda row: row.id))

    def test_days_have_the_rates_of_every_other_face(self, week: tuple[Records, Pad]) -> None:
        records, pad = week
        with records.read() as session:
            days = compliance(session, Asked(By.DAY, Per.BUILDING), RULES)
        told = {(row["time"], row["building"]): row for row in pad.rows("compliance_day")}
        assert len(told) == len(days)
        for day in days:
            midnight = to_ms(datetime.fromisoformat(day.period).replace(tzinfo=ZONE).astimezone(UTC))
            row = told[midnight * 1_000_000, day.building_id]
            for share, name in ((day.by_readings, "readings"), (day.by_hours, "hours"), (day.by_rooms, "rooms")):
                assert row[f"{name}_pct"] == (-1.0 if share.pct is None else share.pct)
            assert (row["violating_n"], row["outage_ms"]) == (day.of("violating_n"), day.of("outage_ms"))
            assert (row["rooms"], row["rooms_compliant"]) == (day.rooms, day.rooms_compliant)

    def test_hours_hold_as_many_readings_and_violations_as_the_days_do(self, week: tuple[Records, Pad]) -> None:
        _, pad = week
        hours, days = pad.rows("room_hour"), pad.rows("compliance_day")
        valid = ("compliant_n", "violating_n", "outage_n", "sensor_fault_n", "not_asked_n", "not_in_service_n")
        assert sum(int(row["readings"]) for row in hours) == sum(int(row[name]) for row in days for name in valid)
        low = ("violating_n", "outage_violating_n", "sensor_fault_violating_n")
        assert sum(int(row["violations"]) for row in hours) == sum(int(row[name]) for row in days for name in low)
        below = ("below_target_n", "outage_below_target_n", "sensor_fault_below_target_n")
        assert sum(int(row["below_target"]) for row in hours) == sum(int(row[name]) for row in days for name in below)
        cold = [row for row in hours if row["point"] == COLD]
        assert min(int(row["time"]) for row in cold) == START * 1_000_000
        assert {row["minimum_c"] for row in cold} == {16.0, 18.0}
