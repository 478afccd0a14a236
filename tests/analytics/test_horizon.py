"""Late rows: what they alter is said with the rows; what comes too late is kept and judged by nobody, ever."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from analytics.roles.foresight import JOB, Foresight, ForesightRole
from analytics.roles.worker import AnalyticsWorker
from dispatch.worker import DispatchWorker
from heatwatch.domain.findings import FindingKind
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS, from_ms
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.stops import Stop
from heatwatch.domain.supply import SupplySource
from heatwatch.domain.temperature import RoomClass
from heatwatch.records.schema import Arrival, AuditEntry, FindingChange, ReadingCount, RegisterImport
from heatwatch.usecases.findings import amendments_since, findings
from heatwatch.usecases.jobs import answered, ask
from heatwatch.usecases.register import written_rows
from heatwatch.usecases.roles import Bell
from heatwatch.usecases.stops import report_stop
from heatwatch.usecases.tickets import story
from tests.analytics.test_worker import STANDARD, START, ZONE, Bench, Reading, assert_as_offline, rooms
from tests.shelf import batch_of

LATE_DAYS = 2.0
EVERY = 30 * MINUTE_MS
REGISTER = Register.of([*rooms("p1", "p2"), *rooms("q1", building="c")])


class Later(Bench):
    """A bench whose rows arrive at a moment that is said, and that judges none which come too late."""

    def __init__(self, folder: Path) -> None:
        self._sent = count(1000)
        super().__init__(folder)

    def restart(self) -> None:
        self.worker = AnalyticsWorker(self.records, self.store, STANDARD, ZONE, Bell(), late_days=LATE_DAYS)

    def arrive_at(self, rows: Sequence[Reading], arrived_ms: int) -> None:
        sequence = next(self._sent)
        made = batch_of(rows, sequence)
        self.store.write(replace(made, arrived_ms=np.full(len(rows), arrived_ms, np.int64)))
        names = sorted({name for name, _, _ in rows})
        times = {name: [at_ms for one, at_ms, _ in rows if one == name] for name in names}
        with self.records.write() as session:
            for name in names:
                session.merge(ReadingCount(worker="w", source=name, decoded=1, stored=1))
            touched = [[name, min(times[name]), max(times[name]), len(times[name])] for name in names]
            session.add(Arrival(worker="w", sequence=sequence, touched=touched, tick=None))

    def live(self, rows: Sequence[Reading], step_ms: int = EVERY) -> None:
        """Let rows arrive as they are measured, and be judged as time passes."""
        for at_ms in range(min(row[1] for row in rows), max(row[1] for row in rows) + 1, step_ms):
            now = [row for row in rows if at_ms <= row[1] < at_ms + step_ms]
            if now:
                self.arrive_at(now, at_ms + step_ms)
            self.tick(at_ms + step_ms)

    def revisions(self) -> list[FindingChange]:
        with self.records.read() as session:
            return [one for of_one in amendments_since(session, 0).values() for one in of_one]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Later]:
    bench = Later(tmp_path)
    bench.put_in_force(REGISTER)
    yield bench
    bench.store.close()
    bench.records.close()


def stretch(name: str, first: int, last: int, temp_c: float) -> list[Reading]:
    """Return half-hourly readings, from one half hour to another."""
    return [(name, START + k * EVERY, temp_c) for k in range(first, last)]


def test_days_of_ordinary_life_amend_nothing(made: Later) -> None:
    """Cold, colder, warm, silent, cold again: all of it is found as it comes."""
    p1 = [*stretch("p1", 0, 10, 20.0), *stretch("p1", 10, 20, 17.0), *stretch("p1", 20, 30, 15.5)]
    p1 += [*stretch("p1", 30, 44, 21.0), *stretch("p1", 44, 50, 15.0), *stretch("p1", 80, 90, 15.0)]
    made.live([*p1, *stretch("q1", 0, 90, 20.0)])
    made.tick(START + 120 * EVERY)
    assert made.revisions() == []
    assert len(made.found(FindingKind.COLD_SPELL)) == 3


def test_batches_of_a_device_that_sends_every_three_hours_amend_nothing(made: Later) -> None:
    """Each of its rows is older than the clock; none is older than what it said before."""
    rows = [*stretch("p1", 0, 12, 20.0), *stretch("p1", 12, 27, 16.0), *stretch("p1", 27, 48, 21.0)]
    rows += [*stretch("p1", 48, 60, 15.0), *stretch("q1", 0, 60, 20.0)]
    made.live(rows, step_ms=6 * EVERY)
    assert made.revisions() == []


def test_late_rows_are_named_where_they_take_something_back(made: Later) -> None:
    """A warm stretch that comes a day late splits a spell."""
    made.live([*stretch("p1", 0, 10, 16.0), *stretch("p1", 16, 40, 16.0), *stretch("q1", 0, 40, 20.0)])
    late = stretch("p1", 10, 16, 21.0)
    made.arrive_at(late, START + 41 * EVERY)
    made.tick(START + 41 * EVERY)
    (one,) = made.revisions()
    assert one.kind == "split"
    assert one.cause["readings"] == [["p1", late[0][1], late[-1][1], 6]]
    assert one.trace.startswith("w/")
    with made.records.read() as session:
        (part,) = [row.id for row in findings(session, kind=FindingKind.COLD_SPELL) if row.id != one.finding_id]
    assert one.cause["parts"] == [part]


def test_what_comes_too_late_is_not_judged_live_nor_after_a_restart_nor_anew(made: Later) -> None:
    """To the millisecond: a row as late as may be alters the past, one later by a millisecond does not."""
    warm = [*stretch("p1", 0, 150, 20.0), *stretch("q1", 0, 150, 20.0)]
    made.live(warm, step_ms=12 * EVERY)
    now = made.as_of_ms() or 0
    horizon = round(LATE_DAYS * DAY_MS)
    in_time: list[Reading] = [("p2", now - horizon, 15.0), ("p2", now - horizon + HOUR_MS, 15.0)]
    too_late: list[Reading] = [
        ("p2", now - horizon - 1, 14.0),
        ("q1", START + 1, 14.0),
        ("q1", START + HOUR_MS + 1, 14.0),
    ]
    made.arrive_at([*in_time, *too_late], now)
    made.tick(now)
    assert made.store.count() == len(warm) + len(in_time) + len(too_late)
    judged = [*warm, *in_time]
    assert_as_offline(made, judged, REGISTER, now)
    made.restart()
    made.tick(now + HOUR_MS)
    assert_as_offline(made, judged, REGISTER, now + HOUR_MS)
    other = Register.of([*REGISTER.rows, *rooms("z1", building="z")])
    made.put_in_force(other)
    made.tick(now + 2 * HOUR_MS)
    assert_as_offline(made, judged, other, now + 2 * HOUR_MS)


def test_another_horizon_judges_all_anew(made: Later) -> None:
    made.live(stretch("p1", 0, 8, 20.0))
    made.arrive_at(stretch("q1", 0, 8, 15.0), START + 100 * DAY_MS)
    made.tick(START + 100 * DAY_MS)
    assert len(made.found(FindingKind.COLD_SPELL)) == 0
    made.worker = AnalyticsWorker(made.records, made.store, STANDARD, ZONE, Bell(), late_days=200)
    made.tick(START + 100 * DAY_MS + 1)
    assert made.found(FindingKind.COLD_SPELL)["point_id"].tolist() == ["q1"]


# --- changes of the register for a past date


def moved(register: Register, point: str, room_class: RoomClass, from_step: int) -> Register:
    """Return a register in which a room is of another class from a past moment on."""
    since = from_ms(START + from_step * EVERY)
    (old,) = [row for row in register.rows if row.point_id == point]
    others = [row for row in register.rows if row.point_id != point]
    new = replace(old, room_class=room_class, valid_from=since)
    return Register.of([*others, replace(old, valid_to=since), new])


def test_the_list_of_what_would_change_is_what_then_changes(made: Later) -> None:
    """Listing alters nothing; the import alters exactly that, and says by which version and since when."""
    made.live([*stretch("p1", 0, 40, 17.0), *stretch("p2", 0, 40, 20.0), *stretch("q1", 0, 40, 17.0)])
    proposed = moved(REGISTER, "p1", RoomClass.SINGLE_STOREY, 20)
    foresight = Foresight(made.records, made.store, STANDARD, ZONE, LATE_DAYS)
    before = _rows(made)
    told = foresight.of_register(proposed)
    assert _rows(made) == before
    (change,) = told["changes"]
    assert (change["change"], change["subject_id"], told["from_ms"]) == ("shortened", "p1", START + 20 * EVERY)
    made.put_in_force(proposed)
    made.tick(START + 40 * EVERY + 1)
    (one,) = made.revisions()
    assert (one.finding_id, one.kind, one.cause) == (change["finding_id"], "shortened", {"register": 2})
    assert (one.before["start_ms"], one.before["end_ms"]) == (change["before"]["start_ms"], None)
    assert (one.after or {})["end_ms"] == change["after"]["end_ms"]
    with made.records.read() as session:
        assert session.get_one(RegisterImport, 2).from_ms == START + 20 * EVERY
        entry = session.get_one(AuditEntry, 2)
        assert entry.content["from_ms"] == START + 20 * EVERY


def test_a_register_that_says_the_same_of_the_past_alters_nothing(made: Later) -> None:
    made.live(stretch("p1", 0, 20, 17.0))
    future = moved(REGISTER, "p1", RoomClass.SINGLE_STOREY, 4000)
    assert Foresight(made.records, made.store, STANDARD, ZONE).of_register(future)["changes"] == []


def test_only_stations_of_which_something_else_is_said_are_judged(made: Later) -> None:
    far = [PointRow("far", "f", "elsewhere", RoomClass.APARTMENT, interval_s=1800)]
    register = Register.of([*REGISTER.rows, *far])
    made.put_in_force(register)
    made.live([*stretch("p1", 0, 10, 17.0), *stretch("far", 0, 10, 17.0)])
    told = Foresight(made.records, made.store, STANDARD, ZONE).of_register(
        moved(register, "far", RoomClass.SINGLE_STOREY, 0)
    )
    assert told["stations"] == ["elsewhere"]
    assert [(one["change"], one["subject_id"]) for one in told["changes"]] == [("withdrawn", "far")]


def test_other_rules_are_told_and_then_named(made: Later) -> None:
    made.live([*stretch("p1", 0, 20, 17.0), *stretch("q1", 0, 20, 18.5)])
    judging = replace(STANDARD.judging, confirm_h=3.0)
    told = Foresight(made.records, made.store, STANDARD, ZONE).of_rules(replace(STANDARD, judging=judging))
    assert [(one["change"], one["subject_id"]) for one in told["changes"]] == [("corrected", "p1")]
    assert told["from_ms"] is None


def test_who_has_the_store_answers_who_asks(made: Later) -> None:
    made.live(stretch("p1", 0, 10, 17.0))
    role = ForesightRole(Foresight(made.records, made.store, STANDARD, ZONE), Bell())
    assert not role.pass_once()
    proposed = moved(REGISTER, "p1", RoomClass.SINGLE_STOREY, 0)
    with made.records.write() as session:
        right = ask(session, JOB, {"register": written_rows(proposed)}, 1)
        wrong = ask(session, JOB, {"rules": "no: rules"}, 2)
    assert role.pass_once()
    assert role.pass_once()
    assert not role.pass_once()
    with made.records.read() as session:
        state, told = answered(session, right) or ("", {})
        failed, why = answered(session, wrong) or ("", {})
    assert (state, [one["change"] for one in told["changes"]]) == ("done", ["withdrawn"])
    assert (failed, "rules" in why["error"]) == ("failed", True)


def _rows(made: Later) -> list[tuple[object, ...]]:
    with made.records.read() as session:
        rows = [(row.id, row.revision, row.change_seq, row.end_ms, row.withdrawn) for row in findings(session)]
        imports = session.query(RegisterImport).count()
    return [*rows, (imports,)]


def test_a_changed_register_is_named_on_the_ticket_of_what_it_takes_back(made: Later) -> None:
    """From the import to the office: the spell was none by the class that the room had."""
    made.live([*stretch("p1", 0, 40, 17.0), *stretch("p2", 0, 40, 20.0)])
    dispatch = DispatchWorker(made.records, made.store, STANDARD, Bell(), timezone="Asia/Shanghai")
    dispatch.pass_once()
    proposed = moved(REGISTER, "p1", RoomClass.SINGLE_STOREY, 0)
    (change,) = Foresight(made.records, made.store, STANDARD, ZONE).of_register(proposed)["changes"]
    assert (change["change"], change["tickets"]) == ("withdrawn", [1])
    made.put_in_force(proposed)
    made.tick(START + 41 * EVERY)
    dispatch.pass_once()
    with made.records.read() as session:
        told = story(session, 1)
    assert told is not None
    lines = {one.kind: one.detail for one in told.events}
    assert (lines["finding_withdrawn"]["amendment"], lines["finding_withdrawn"]["cause"]) == (
        "withdrawn",
        {"register": 2},
    )
    assert "groundless" in lines
    assert told.ticket.state == "open"


def test_what_batteries_sensors_of_the_supply_and_people_say_is_foreseen_too(made: Later) -> None:
    """Nothing is altered, and nothing of this is told as withdrawn."""
    made.live([*stretch("p1", 0, 60, 20.0), *stretch("q1", 0, 60, 20.0)])
    flagged = batch_of(stretch("p2", 0, 60, 20.0), 1)
    made.store.write(replace(flagged, flags=["low_battery"] * 60))
    made.arrive_at([*stretch("p2", 0, 1, 20.0), *stretch("p2", 60, 61, 20.0)], START + 61 * EVERY)
    supply = SupplySource("s", "b", "supply_c").name
    made.arrive_at([*stretch(supply, 0, 50, 55.0), *stretch(supply, 50, 61, 24.0)], START + 61 * EVERY)
    with made.records.write() as session:
        report_stop(session, Stop("building", "c", START + 10 * EVERY), REGISTER, who="ann", now_ms=START)
    made.tick(START + 61 * EVERY)
    assert made.found(FindingKind.SENSOR_FAULT)["kind"].tolist().count("low_battery") == 1
    assert set(made.found(FindingKind.HEAT_OUTAGE)["evidence"]) == {"reported", "supply"}
    future = moved(REGISTER, "p1", RoomClass.SINGLE_STOREY, 4000)
    told = Foresight(made.records, made.store, STANDARD, ZONE, LATE_DAYS).of_register(future)
    assert (told["stations"], told["changes"]) == (["s"], [])
