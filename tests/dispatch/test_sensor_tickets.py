"""A point that measures wrongly or not at all has a ticket of its own, and opens none of heat (R7)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from analytics.roles.worker import AnalyticsWorker
from dispatch.faults import ripened
from dispatch.worker import DispatchWorker
from heatwatch.domain.findings import Finding, FindingKind, SubjectKind
from heatwatch.domain.instants import HOUR_MS, MINUTE_MS, from_ms, to_ms
from heatwatch.domain.life import Deed
from heatwatch.domain.register import PointRow
from heatwatch.domain.temperature import RoomClass
from heatwatch.errors import BadInput
from heatwatch.records.database import Records
from heatwatch.records.schema import Arrival, OutboxRow, ReadingCount
from heatwatch.usecases.findings import findings
from heatwatch.usecases.register import import_register
from heatwatch.usecases.roles import Bell
from heatwatch.usecases.tickets import offered_for_withdrawal
from tests.dispatch.office import Office, at, spell, stop
from tests.dispatch.test_living import STANDARD, do, told
from tests.shelf import Shelf

ZONE = ZoneInfo("Asia/Shanghai")


def fault(point: str, kind: str, start_h: float, end_h: float | None = None, rows: int = 1) -> Finding:
    detail = {"kind": kind, "detail": f"n={rows} min=-127.0 max=85.0"}
    return replace(spell(point, start_h, end_h), kind=FindingKind.SENSOR_FAULT, confirmed_ms=None, detail=detail)


def silence(what: str, start_h: float, end_h: float | None = None, *, station: str = "s1") -> Finding:
    """Make a silence of a point, or of the building b1 or the station s1 by their names."""
    kinds = {"b": SubjectKind.BUILDING, "s": SubjectKind.STATION, "p": SubjectKind.POINT}
    kind = kinds[what[0]]
    building = {SubjectKind.STATION: "", SubjectKind.BUILDING: what, SubjectKind.POINT: "b1"}[kind]
    end_ms = None if end_h is None else at(end_h)
    subject = (kind, what, building, station)
    return Finding(FindingKind.DATA_OUTAGE, *subject, at(start_h), end_ms, end_ms is None, None, {"part_of": ""})


@pytest.fixture
def office(records: Records) -> Office:
    made = Office(records, standard=STANDARD)
    made.register("p1", "p2", "p3", "p4", "p5")
    return made


def lines(office: Office, ticket_id: int) -> list[str]:
    return [one.kind for one in office.stories()[ticket_id - 1].events]


# --- what opens one


def test_a_fault_that_is_sure_opens_one_at_once(office: Office) -> None:
    kinds = ("stuck", "drift", "moved", "clock", "low_battery")
    office.judge(*(fault(f"p{number}", kind, 0) for number, kind in enumerate(kinds, 1)), at_h=2)
    assert len(office.stories()) == len(kinds)
    row = office.stories()[0].ticket
    assert (row.kind, row.scope, row.room_id, row.point_id, row.building_id) == ("sensor", "room", "p1", "p1", "b1")
    assert (row.rule, row.emergency, row.cause_start_ms, row.opened_ms) == ("R7", False, at(0), at(2))


def test_rows_that_cannot_be_open_one_when_they_go_on(office: Office) -> None:
    few = [fault("p1", "spike", 0, rows=5), fault("p2", "out_of_range", 0, rows=5)]
    office.judge(*few, at_h=2).judge(*few, at_h=2.5)
    assert office.picture() == []
    many = [fault("p1", "spike", 0, rows=6), fault("p2", "out_of_range", 0, rows=6)]
    office.judge(few[0], many[1], at_h=3)
    assert [one.ticket.point_id for one in office.stories()] == ["p2"]
    office.judge(*many, at_h=4)
    assert [one.ticket.point_id for one in office.stories()] == ["p2", "p1"]


def test_what_is_over_opens_none(office: Office) -> None:
    gone = [fault("p1", "stuck", 0, 1), fault("p2", "spike", 0, 1, rows=60), silence("p3", -60, 1), silence("b1", 0, 1)]
    assert office.judge(*gone).picture() == []


def test_a_silence_of_a_point_opens_one_when_it_has_lasted_a_day(office: Office) -> None:
    """By the moment alone: nothing that is found changes meanwhile."""
    office.judge(silence("p1", 0), at_h=9)
    office.judge(at_h=24 - 1 / 60)
    assert office.picture() == []
    office.judge(at_h=24)
    assert office.picture() == [("sensor", "room", "open", [1])]
    with office.records.read() as session:
        assert ripened(session, at(99), STANDARD.judging) == set()


def test_a_silent_building_is_one_ticket(office: Office) -> None:
    """One cause, one ticket; its points have theirs when they are silent a day longer than it."""
    points = [silence(f"p{number}", -20 - number / 9) for number in range(1, 6)]
    office.judge(*points, silence("b1", -20), at_h=0)
    office.judge(at_h=48)
    assert [(scope, state, len(ids)) for _, scope, state, ids in office.picture()] == [("building", "open", 1)]
    back = [replace(one, end_ms=at(50), open=False) for one in points[1:]]
    office.judge(*back, silence("b1", -20, 50), points[0], at_h=50)
    office.judge(at_h=74 - 1 / 60)
    assert [one.ticket.recovered_ms for one in office.stories()] == [at(50)]
    office.judge(at_h=74)
    assert [(one.ticket.scope, one.ticket.point_id) for one in office.stories()[1:]] == [("room", "p1")]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_silent_station_is_one_ticket(office: Office, *, at_once: bool) -> None:
    first, second = silence("b1", 0), replace(silence("b2", 0.1), building_id="b2")
    whole = silence("s1", 0.2)
    if at_once:
        office.judge(first, second, whole, at_h=9)
    else:
        office.judge(first, at_h=8).judge(first, second, at_h=8.1).judge(first, second, whole, at_h=8.2)
    assert [scope for _, scope, state, _ in office.picture() if state == "open"] == ["station"]


def test_a_building_that_was_silent_before_its_station_and_came_back_in_between_has_its_own(office: Office) -> None:
    office.judge(silence("b1", 0), at_h=9).judge(silence("b1", 0, 10), at_h=10)
    office.judge(silence("b1", 0, 10), silence("s1", 20), at_h=29)
    assert [scope for _, scope, state, _ in office.picture() if state == "open"] == ["building", "station"]


def test_what_else_is_found_of_a_point_joins_its_ticket(office: Office) -> None:
    office.judge(fault("p1", "low_battery", 0), fault("p2", "stuck", 0), at_h=2)
    office.judge(fault("p1", "low_battery", 0), fault("p1", "stuck", 3), fault("p1", "spike", 4), at_h=5)
    office.judge(silence("p1", 6), at_h=14)
    assert office.picture() == [("sensor", "room", "open", [1, 3, 4, 5]), ("sensor", "room", "open", [2])]


@pytest.mark.parametrize("first", [0, 1])
def test_what_is_no_reason_by_itself_shares_the_ticket_of_what_is_whichever_came_first(
    office: Office, first: int
) -> None:
    both = [fault("p1", "spike", 0), fault("p1", "stuck", 1)]
    office.judge(both[first], at_h=2).judge(*both, at_h=3)
    assert [len(one.findings) for one in office.stories()] == [2]


def test_what_was_over_before_is_not_of_it(office: Office) -> None:
    office.judge(fault("p1", "spike", -9, -8), at_h=0)
    office.judge(fault("p1", "spike", -9, -8), fault("p1", "stuck", 1), at_h=2)
    assert [len(one.findings) for one in office.stories()] == [1]


def test_a_fault_after_the_repair_has_another(office: Office) -> None:
    office.judge(fault("p1", "stuck", 0), at_h=2)
    work(office, 3)
    office.judge(fault("p1", "stuck", 0, 4), fault("p1", "drift", 5), at_h=6)
    assert [(state, ids) for _, _, state, ids in office.picture()] == [("finished", [1]), ("open", [2])]


def test_cold_rooms_and_stops_have_tickets_as_before(office: Office) -> None:
    office.judge(fault("p1", "stuck", 0), spell("p2", 0), at_h=2)
    office.judge(fault("p1", "stuck", 0), spell("p2", 0), stop(0), at_h=3)
    assert [(kind, state) for kind, _, state, _ in office.picture()] == [
        ("low_temperature", "merged"),
        ("sensor", "open"),
        ("heat_outage", "open"),
    ]


# --- its life


def work(office: Office, from_h: float) -> None:
    for number, deed in enumerate((Deed.TAKE, Deed.CAUSE, Deed.FINISH)):
        do(office, 1, deed, from_h + number / 10)


def due(office: Office) -> dict[str, tuple[float, str]]:
    clocks = office.stories()[0].clocks
    return {one.step: ((one.due_ms - at(0)) / HOUR_MS, one.rule) for one in clocks if not one.off}


def test_it_has_days_not_hours(office: Office) -> None:
    office.judge(fault("p1", "stuck", 0), at_h=2)
    assert due(office) == {"take": (26, "R14"), "on_site": (74, "R7"), "finish": (170, "R7")}
    assert {one.source for one in office.stories()[0].clocks} == {"ours"}


def test_a_low_battery_has_a_month_until_the_point_is_at_fault(office: Office) -> None:
    office.judge(fault("p1", "low_battery", 0), at_h=2)
    assert due(office) == {"take": (26, "R14"), "finish": (722, "R7")}
    office.judge(fault("p1", "low_battery", 0), fault("p1", "stuck", 300), at_h=318)
    assert due(office) == {"take": (26, "R14"), "on_site": (318 + 72, "R7"), "finish": (318 + 168, "R7")}


def test_what_nobody_takes_goes_to_the_company(office: Office) -> None:
    """R14."""
    office.judge(fault("p1", "stuck", 0), at_h=2)
    office.judge(at_h=26)
    assert told(office, "overdue") == []
    office.judge(at_h=26.1)
    assert [recipient for recipient, _ in told(office, "overdue")] == ["dispatch", "station:s1", "company"]


def test_it_wakes_nobody(records: Records) -> None:
    """By the wall clock: what is found at night is told when the day begins, and what is found by day at once."""
    office = Office(records, standard=STANDARD)
    office.register("p1", "p2", "p3")
    office.worker = DispatchWorker(
        records, office.shelf, STANDARD, office.bell, timezone="Asia/Shanghai", wall_clock=lambda: at(0)
    )
    for hour, point in ((12.99, "p1"), (13, "p2"), (22.99, "p3"), (23, "p4")):  # 20:59, 21:00, 06:59, 07:00
        office.judge(fault(point, "stuck", -20), spell(point, hour - 2), at_h=hour)
    with records.read() as session:
        rows = session.scalars(select(OutboxRow).where(OutboxRow.kind == "opened").order_by(OutboxRow.id)).all()
        sensors = [row for row in rows if "测点故障" in row.text and row.recipient == "dispatch"]
        assert [row.next_try_ms for row in sensors] == [at(12.99), at(23), at(23), at(23)]
        assert {row.next_try_ms for row in rows if "测点故障" not in row.text} == {0}


def test_it_is_closed_without_a_visit_and_without_a_users_receipt(office: Office) -> None:
    office.judge(silence("b1", 0), at_h=9)
    do(office, 1, Deed.TAKE, 9.1)
    with pytest.raises(BadInput, match="before cause"):
        do(office, 1, Deed.FINISH, 9.2)
    work(office, 10)
    office.judge(silence("b1", 0, 11), at_h=12)
    assert "on_site" not in due(office)
    do(office, 1, Deed.FOLLOW_UP, 13)
    assert [state for *_, state, _ in office.picture()] == ["closed"]


def test_what_goes_on_when_it_is_closed_has_another(office: Office) -> None:
    office.judge(fault("p1", "stuck", 0), at_h=2)
    work(office, 3)
    do(office, 1, Deed.FOLLOW_UP, 4)
    office.judge(fault("p1", "stuck", 0), at_h=5)
    assert [(state, ids) for *_, state, ids in office.picture()] == [("closed", []), ("open", [1])]


def test_it_says_when_its_faults_are_over_and_when_one_comes_again(office: Office) -> None:
    office.judge(fault("p1", "stuck", 0), fault("p1", "clock", 0), at_h=2)
    office.judge(fault("p1", "stuck", 0, 5), fault("p1", "clock", 0), at_h=6)
    assert "recovered" not in lines(office, 1)
    office.judge(fault("p1", "stuck", 0, 5), fault("p1", "clock", 0, 7), at_h=8)
    assert office.stories()[0].ticket.recovered_ms == at(7)
    with office.records.read() as session:
        (text,) = session.scalars(select(OutboxRow.text).where(OutboxRow.kind == "recovered"))
    assert text == "【工单1号】测点故障，s1供热站 b1 p1：测点已恢复正常，请核实后办结。"
    office.judge(fault("p1", "stuck", 0, 5), fault("p1", "clock", 0, 7), silence("p1", 9), at_h=18)
    assert lines(office, 1)[-2:] == ["finding_added", "relapsed"]


def test_a_withdrawn_fault_offers_it_for_withdrawal(office: Office) -> None:
    office.judge(fault("p1", "drift", 0), at_h=2)
    office.judge(gone=[fault("p1", "drift", 0)], at_h=3)
    (story,) = office.stories()
    assert lines(office, 1)[-1] == "groundless"
    assert offered_for_withdrawal(story.ticket, groundless=True)
    do(office, 1, Deed.WITHDRAW, 4)
    assert office.picture() == [("sensor", "room", "withdrawn", [1])]


def test_it_is_no_leak(office: Office) -> None:
    office.judge(fault("p1", "stuck", 0), at_h=2)
    with pytest.raises(BadInput, match="no pipe"):
        do(office, 1, Deed.LEAK, 3)


def test_a_cold_room_whose_point_proves_faulty_and_the_points_ticket_name_each_other(office: Office) -> None:
    office.judge(spell("p1", 0), spell("p2", 0), at_h=2)
    office.judge(spell("p2", 0), fault("p1", "stuck", -10), gone=[spell("p1", 0)], at_h=9)
    low, other, point = office.stories()
    assert (low.ticket.kind, low.ticket.room_id, point.ticket.kind) == ("low_temperature", "p1", "sensor")
    (doubted,) = [one.detail["ticket_id"] for one in low.events if one.kind == "doubted"]
    (concerns,) = [one.detail["ticket_id"] for one in point.events if one.kind == "concerns"]
    assert (doubted, concerns) == (point.ticket.id, low.ticket.id)
    assert {"finding_withdrawn", "groundless"} <= set(lines(office, 1))
    assert "doubted" not in [one.kind for one in other.events]
    office.judge(spell("p2", 0), fault("p1", "stuck", -10), fault("p1", "clock", -1), at_h=10)
    assert [lines(office, 1).count("doubted"), lines(office, 3).count("concerns")] == [1, 1]


@pytest.mark.parametrize("told_of", [fault("p1", "low_battery", -10), fault("p1", "stuck", -30, -1)])
def test_faults_that_say_nothing_of_its_readings_leave_a_cold_room_alone(office: Office, told_of: Finding) -> None:
    office.judge(spell("p1", 0), fault("p1", "low_battery", -50), told_of, at_h=2)
    assert not {"doubted", "concerns"} & {line for number in (1, 2) for line in lines(office, number)}


# --- from readings, through the judge


START = to_ms(datetime(2025, 11, 24, 16, tzinfo=UTC))
EVERY_MS = 10 * MINUTE_MS
NAMES = [f"d{number}" for number in range(6)]


class Town:
    """A building whose readings are judged and dispatched by the real roles, every hour."""

    def __init__(self, records: Records, temp_c: Callable[[str, float], float | None]) -> None:
        self.office, self._temp_c, self._step, self._until = Office(records, Shelf(), STANDARD), temp_c, 0, 0
        self._rows = {name: [PointRow(name, "b1", "s1", RoomClass.APARTMENT, interval_s=600)] for name in NAMES}
        self._import()
        with records.write() as session:
            for name in (*NAMES, "new"):
                session.merge(ReadingCount(worker="w", source=name, decoded=1, stored=1))
        self._judge = AnalyticsWorker(records, self.office.shelf, STANDARD, ZONE, Bell())

    def replace_device(self, name: str) -> None:
        """Have another device measure a point from now on, by a row of the register."""
        (row,) = self._rows[name]
        now = from_ms(START + self._until)
        self._rows[name] = [replace(row, valid_to=now), replace(row, valid_from=now, device_id="new")]
        self._import()

    def _import(self) -> None:
        with self.office.records.write() as session:
            rows = [row for rows in self._rows.values() for row in rows]
            import_register(session, rows, "points.csv", f"{self._until:064}", START + self._until)

    def pass_until(self, hours: float) -> None:
        while self._until < round(hours * HOUR_MS):
            moments = range(self._until, self._until + HOUR_MS, EVERY_MS)
            told = [(name, ms, self._temp_c(name, ms / HOUR_MS)) for ms in moments for name in NAMES]
            source = {name: rows[-1].device_id or name for name, rows in self._rows.items()}
            rows = [(source[name], START + ms, round(temp_c, 1)) for name, ms, temp_c in told if temp_c is not None]
            self._until += HOUR_MS
            self._tick(rows)

    def _tick(self, rows: Sequence[tuple[str, int, float]]) -> None:
        self.office.shelf.keep(*rows)
        touched = [[name, rows[0][1], rows[-1][1], 1] for name in {row[0] for row in rows}]
        now = {"run": "r", "step": self._step, "now": START + self._until}
        with self.office.records.write() as session:
            session.add(Arrival(worker="w", sequence=2 * self._step + 1, touched=touched, tick=None))
            session.add(Arrival(worker="w", sequence=2 * self._step + 2, touched=[], tick=now))
        self._step += 1
        while self._judge.pass_once() or self.office.worker.pass_once():
            pass

    def kinds(self) -> list[tuple[str, str | None]]:
        return [(one.ticket.kind, one.ticket.point_id) for one in self.office.stories()]


def _well(name: str, hours: float) -> float:
    phase = NAMES.index(name)
    return 20.2 + 0.3 * math.sin(hours / 3.3 + phase) + 0.15 * math.sin(hours * 7.1 + 2 * phase)


def test_a_sensor_stuck_below_the_minimum_opens_a_ticket_of_the_point_and_withdraws_that_of_the_room(
    records: Records,
) -> None:
    """It lies at 17.0 from noon on. Nobody can know at once; when it is known, the cold spell was none.

    Another device ends the fault, and its ticket says so.
    """
    town = Town(records, lambda name, hours: 17.0 if name == "d0" and 36 <= hours < 58 else _well(name, hours))
    town.pass_until(40)
    assert town.kinds() == [("low_temperature", "d0")]
    town.pass_until(58)
    assert town.kinds() == [("low_temperature", "d0"), ("sensor", "d0")]
    low, point = town.office.stories()
    said = [one.kind for one in low.events]
    assert said[-3:] == ["finding_withdrawn", "doubted", "groundless"]
    assert offered_for_withdrawal(low.ticket, groundless=True)
    assert low.ticket.state == "open"
    assert [one.detail["ticket_id"] for one in point.events if one.kind == "concerns"] == [low.ticket.id]
    town.replace_device("d0")
    town.pass_until(60)
    point = town.office.stories()[1]
    assert (point.ticket.state, point.ticket.recovered_ms) == ("open", START + 58 * HOUR_MS)
    assert [row.kind for row in point.findings] == ["sensor_fault"]
    assert point.ticket.opened_ms == START + 55 * HOUR_MS  # 18 h after the first equal value, as of the hour's end


def test_what_a_faulty_sensor_says_opens_no_ticket_of_heat(records: Records) -> None:
    """It is stuck while it is warm, out of range, and silent; the other rooms are well."""

    def temp_c(name: str, hours: float) -> float | None:
        match name:
            case "d0" if hours >= 40:
                return 21.0
            case "d1" if hours >= 40:
                return -127.0
            case "d2" if hours >= 40:
                return None
        return _well(name, hours)

    town = Town(records, temp_c)
    town.pass_until(66)
    assert sorted(town.kinds()) == [("sensor", "d0"), ("sensor", "d1"), ("sensor", "d2")]
    with records.read() as session:
        assert findings(session, kind=FindingKind.COLD_SPELL) == []
