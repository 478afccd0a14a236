"""What goes on now: each room, station, stop and deadline, as a plain reading of the records has it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from dispatch.tickets import Dispatch, dispatch
from heatwatch.domain.findings import Finding, FindingKind, SubjectKind
from heatwatch.domain.identity import subject_of
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS, from_ms
from heatwatch.domain.life import Deed
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import ClassRules, Hours, Judging, RoomClass, Season, Standard, Version
from heatwatch.files.rules_file import default_standard
from heatwatch.records.database import Records
from heatwatch.records.schema import NoticeRow, TicketRow
from heatwatch.usecases.findings import changed_since, record_findings
from heatwatch.usecases.notices import publish
from heatwatch.usecases.overview import (
    LOOK_BACK_MS,
    NEVER_MS,
    Counts,
    Overview,
    Overviews,
    RoomState,
    lay_out,
    natural,
)
from heatwatch.usecases.register import import_register
from heatwatch.usecases.tickets import Done, act
from tests.ledger import fresh_records
from tests.shelf import Shelf

T0 = 1764028800000
ZONE = ZoneInfo("Asia/Shanghai")
STANDARD = default_standard()
Reading = tuple[str, int, float]


class Undone(Exception):  # noqa: N818 - nothing went wrong
    """Ends a writing block that is to leave nothing."""


@pytest.fixture(scope="module")
def records() -> Iterator[Records]:
    with TemporaryDirectory() as folder:
        made = fresh_records(Path(folder))
        yield made
        made.close()


@contextmanager
def draft(records: Records) -> Iterator[Session]:
    """Give a session of which nothing stays."""
    try:
        with records.write() as session:
            yield session
            raise Undone  # noqa: TRY301 - that is how it is told
    except Undone:
        pass


def room(point: str, **more: object) -> PointRow:
    said = {"building_id": "b1", "station_id": "s1", "room_class": RoomClass.APARTMENT, "interval_s": 300, **more}
    return PointRow(point, **said)  # type: ignore[arg-type]


def finding(kind: FindingKind, subject: str, start_ms: int, subject_kind: SubjectKind = SubjectKind.POINT) -> Finding:
    cold = kind is FindingKind.COLD_SPELL
    detail = {"min_temp_c": 15.5, "rule": "R1"} if cold else {"evidence": "rooms", "part_of": None}
    building = subject if subject_kind is SubjectKind.BUILDING else "b1"
    confirmed_ms = start_ms + HOUR_MS if cold else None
    return Finding(
        kind, subject_kind, subject, building, "s1", start_ms, None, open=True, confirmed_ms=confirmed_ms, detail=detail
    )


def put(session: Session, rows: Sequence[PointRow], found: Sequence[Finding] = ()) -> None:
    import_register(session, rows, "points.csv", "", T0)
    record_findings(session, found, [subject_of(one) for one in found], T0)


def look(session: Session, shelf: Shelf, as_of_ms: int = T0, stations: frozenset[str] | None = None) -> Overview:
    return Overviews(shelf, STANDARD, ZONE)(session, as_of_ms, stations)


class TestRooms:
    """One state a room, by what was measured and what was found."""

    def test_have_the_state_that_says_most(self, records: Records) -> None:
        """Suspended before silent before cold before below; a reading holds for two hours."""
        names = ["warm", "below", "cold", "silent", "suspended", "old", "never", "broken"]
        rows = [room(name, **({"suspended_from": from_ms(T0)} if name == "suspended" else {})) for name in names]
        shelf = Shelf(*((name, T0 - MINUTE_MS, 17.9) for name in names[1:5]))
        shelf.keep(("warm", T0, 18.0), ("old", T0 - 2 * HOUR_MS - 1, 21.0), ("broken", T0, 99.0), ("warm", T0 + 1, 5.0))
        cold = [finding(FindingKind.COLD_SPELL, name, T0 - 3 * HOUR_MS) for name in ("cold", "suspended")]
        silent = [finding(FindingKind.DATA_OUTAGE, name, T0 - 9 * HOUR_MS) for name in ("silent", "suspended")]
        with draft(records) as session:
            put(session, rows, [*cold, *silent])
            seen = look(session, shelf)
        states = dict(zip([row.point_id for row in seen.layout.rows], seen.rooms.state.tolist(), strict=True))
        unknown = dict.fromkeys(["old", "never", "broken"], RoomState.UNKNOWN)
        assert states == {name: RoomState[name.upper()] for name in names[:5]} | unknown
        assert seen.total == Counts(rooms=7, cold=1, below=1, silent=1, unknown=3)
        assert [(one.point_id, one.start_ms, one.temp_c) for one in seen.cold] == [("cold", T0 - 3 * HOUR_MS, 17.9)]

    def test_are_asked_by_the_hour_and_not_out_of_season(self, records: Records) -> None:
        """05:59 local asks for 16 degrees, 06:00 for 18; before the season nothing is asked."""
        six = 1764021600000
        season = (Season(date(2025, 11, 25), date(2026, 4, 15)),)
        apartments = {RoomClass.APARTMENT: ClassRules((Hours(0, 1440, 18.0),))}
        seasonal = Standard((Version(None, apartments, seasons=season),), Judging())
        with draft(records) as session:
            put(session, [room("p", offset_k=-1.0), room("q", contract="gone")])
            shelf = Shelf(("p", six - 2, 18.5), ("q", six - 2, 10.0))
            night, day = look(session, shelf, six - 1), look(session, shelf, six)
            before = Overviews(shelf, seasonal, ZONE)(session, six - 7 * HOUR_MS)
        assert night.rooms.state.tolist() == [RoomState.WARM, RoomState.WARM]
        assert day.rooms.state.tolist() == [RoomState.BELOW, RoomState.WARM]
        assert day.rooms.temp_c.tolist() == [17.5, 10.0]
        assert before.rooms.limits == (None, None)

    def test_stand_in_the_order_in_which_people_count(self) -> None:
        rows = [
            room(name, station_id=station, building_id=building, floor=floor)
            for name, station, building, floor in [
                ("e", "s10", "b1", "1"),
                ("d", "s2", "b10", "1"),
                ("c", "s2", "b9", "10"),
                ("b", "s2", "b9", "2"),
                ("a", "s2", "b9", None),
            ]
        ]
        layout = lay_out(rows, STANDARD, T0, "1")
        assert [row.point_id for row in layout.rows] == ["a", "b", "c", "d", "e"]
        assert [(one.building_id, one.first, one.rooms) for one in layout.buildings] == [
            ("b9", 0, 3),
            ("b10", 3, 1),
            ("b1", 4, 1),
        ]
        assert natural("B-007") < natural("B-12") < natural("C")

    def test_are_laid_out_anew_when_the_register_says_so(self, records: Records) -> None:
        """When another register is imported, and when a row of it begins or ends."""
        with draft(records) as session:
            made = Overviews(Shelf(), STANDARD, ZONE)
            put(session, [room("p", valid_to=from_ms(T0)), room("q", valid_from=from_ms(T0))])
            first, second = made.layout(session, T0 - 1), made.layout(session, T0)
            assert ([row.point_id for row in first.rows], [row.point_id for row in second.rows]) == (["p"], ["q"])
            assert made.layout(session, T0 + DAY_MS) is second
            assert first.version != second.version
            put(session, [room("r")])
            third = made.layout(session, T0)
            assert [row.point_id for row in third.rows] == ["r"]
            assert third.version != second.version


class TestWork:
    """Stops, tickets and deadlines."""

    @pytest.fixture
    def stopped(self, records: Records) -> Iterator[Session]:
        """Give records with a stop in building b1 since 13:00, a cold room in b2, and their tickets."""
        rows = [room(f"p{number}") for number in range(3)]
        rows += [room("q", building_id="b2"), room("r", station_id="s2", building_id="b3")]
        stop = finding(FindingKind.HEAT_OUTAGE, "b1", T0, SubjectKind.BUILDING)
        spell = finding(FindingKind.COLD_SPELL, "q", T0)
        apart = replace(spell, building_id="b2")
        with draft(records) as session:
            put(session, rows, [stop, apart])
            by = Dispatch(T0 + HOUR_MS, STANDARD, Register.of(rows), lambda *_: [])
            dispatch(session, changed_since(session, 0), by)
            yield session

    def test_a_stop_is_told_with_its_deadline_and_then_with_its_notice(self, stopped: Session) -> None:
        (stop,) = look(stopped, Shelf(), T0 + 2 * HOUR_MS).outages
        assert (stop.subject_id, stop.start_ms, stop.rooms) == ("b1", T0, 3)
        assert (stop.notice_due_ms, stop.published_ms) == (T0 + 8 * HOUR_MS, None)
        assert stop.ticket_id is not None
        notice = NoticeRow(
            ticket_id=stop.ticket_id,
            kind="stop",
            state="draft",
            station_id="s1",
            building_ids=["b1"],
            stop_start_ms=T0,
            title="",
            text="",
            drafted_ms=T0,
        )
        stopped.add(notice)
        stopped.flush()
        publish(stopped, notice, "someone", T0 + 3 * HOUR_MS)
        (stop,) = look(stopped, Shelf(), T0 + 4 * HOUR_MS).outages
        assert (stop.notice_id, stop.published_ms) == (notice.id, T0 + 3 * HOUR_MS)

    def test_each_ticket_is_told_with_its_next_deadline_the_earliest_first(self, stopped: Session) -> None:
        opened = T0 + HOUR_MS
        seen = look(stopped, Shelf(), opened + 40 * MINUTE_MS)
        told = [(one.kind, one.step, one.due_ms - opened, one.late) for one in seen.due]
        assert told == [("heat_outage", "start", 0, True), ("low_temperature", "contact", 30 * MINUTE_MS, True)]
        assert seen.stations["s1"].tickets == {"heat_outage": 1, "low_temperature": 1}
        assert (seen.stations["s1"].outages, seen.stations["s1"].overdue) == (1, 2)
        first = seen.due[0].ticket_id
        act(stopped, first, Done(Deed.TAKE, "someone", opened + 41 * MINUTE_MS), STANDARD)
        again = look(stopped, Shelf(), opened + 42 * MINUTE_MS)
        assert [(one.step, one.responsible) for one in again.due] == [("contact", ""), ("opinion", "someone")]
        assert again.total.overdue == 1
        assert again.total.running == seen.total.running - 1

    def test_a_ticket_that_is_closed_is_not_told(self, stopped: Session) -> None:
        for row in stopped.scalars(select(TicketRow)):
            row.state = "closed"
        stopped.flush()
        seen = look(stopped, Shelf(), T0 + 2 * HOUR_MS)
        assert (seen.due, seen.due_tickets, seen.total.tickets, seen.total.running) == ([], 0, {}, 0)

    def test_of_another_station_nothing_is_told(self, stopped: Session) -> None:
        other = look(stopped, Shelf(), T0 + 2 * HOUR_MS, frozenset({"s2"}))
        assert [row.point_id for row in other.layout.rows] == ["r"]
        assert (other.outages, other.cold, other.due, list(other.stations)) == ([], [], [], ["s2"])
        nobody = look(stopped, Shelf(), T0 + 2 * HOUR_MS, frozenset())
        assert (len(nobody.layout), nobody.stations, nobody.total) == (0, {}, Counts())

    def test_before_the_first_register_there_is_nothing(self, records: Records) -> None:
        with draft(records) as session:
            assert look(session, Shelf()).total == Counts()


HOURS = st.integers(-30, 2)
TEMPS = st.sampled_from([15.0, 17.99, 18.0, 20.0, math.nan, 80.0])
POINTS = ("p0", "p1", "p2")
SOURCES = (*POINTS, "d0", "d1")


@dataclass(frozen=True)
class Town:
    """Something at random."""

    rows: tuple[PointRow, ...]
    readings: tuple[Reading, ...]
    cold: frozenset[str]
    silent: frozenset[str]
    as_of_ms: int


@st.composite
def towns(draw: st.DrawFn) -> Town:
    devices = draw(st.permutations(["d0", "d1", "p1", None, None]))
    rows = []
    for point, device in zip(POINTS, devices, strict=False):
        since = draw(st.none() | HOURS)
        ends = draw(st.none() | st.integers(1, 30))
        rows.append(
            room(
                point,
                device_id=device,
                building_id=draw(st.sampled_from(["b1", "b2"])),
                station_id=draw(st.sampled_from(["s1", "s2"])),
                valid_from=None if since is None else from_ms(T0 + since * HOUR_MS),
                valid_to=None if ends is None else from_ms(T0 + ((since or 0) + ends) * HOUR_MS),
                suspended_from=draw(st.none() | st.just(from_ms(T0 - HOUR_MS))),
                interval_s=draw(st.sampled_from([None, 300, 7200])),
                offset_k=draw(st.sampled_from([0.0, -0.5, 2.0])),
                room_class=draw(st.sampled_from(list(RoomClass))),
            )
        )
    readings = draw(st.lists(st.tuples(st.sampled_from(SOURCES), HOURS.map(lambda h: T0 + h * HOUR_MS), TEMPS)))
    some = st.frozensets(st.sampled_from(POINTS))
    return Town(tuple(rows), tuple(readings), draw(some), draw(some), T0 + draw(st.integers(-2, 2)) * HOUR_MS)


def last_of(town: Town, row: PointRow, in_force: Sequence[PointRow]) -> tuple[int, float] | None:
    """Return time and temperature of a room's last valid reading, plainly."""
    taken = {one.device_id for one in in_force}
    names = [name for name in (row.device_id, None if row.point_id in taken else row.point_id) if name is not None]
    if row.device_id == row.point_id:
        names = [row.point_id]
    best: tuple[int, float] | None = None
    for name in names:
        at: dict[int, set[float]] = {}
        for source, time_ms, temp_c in town.readings:
            if source == name and math.isfinite(temp_c):
                at.setdefault(time_ms, set()).add(temp_c)
        for time_ms, temps in at.items():
            valid = len(temps) == 1 and -30 <= max(temps) <= 50
            within = max(row.valid_from_ms, town.as_of_ms - LOOK_BACK_MS) <= time_ms <= town.as_of_ms
            if valid and within and (best is None or time_ms > best[0]):
                best = time_ms, max(temps) + row.offset_k
    return best


def state_of(town: Town, row: PointRow, last: tuple[int, float] | None) -> RoomState:
    """Return a room's state, plainly."""
    if row.suspended_from is not None and town.as_of_ms >= T0 - HOUR_MS:
        return RoomState.SUSPENDED
    if row.point_id in town.silent:
        return RoomState.SILENT
    if row.point_id in town.cold:
        return RoomState.COLD
    hold_ms = max(2 * HOUR_MS, 2000 * (row.interval_s or 3600))
    if last is None or last[0] < town.as_of_ms - hold_ms:
        return RoomState.UNKNOWN
    local = from_ms(town.as_of_ms).astimezone(ZONE)
    minute = local.weekday() * 1440 + local.hour * 60 + local.minute
    limit = STANDARD.at(local).asked(row.room_class, row.contract, minute)
    return RoomState.BELOW if limit is not None and last[1] < limit.minimum_c else RoomState.WARM


@settings(max_examples=150, deadline=None)
@given(towns())
def test_any_town_is_seen_as_a_plain_reading_sees_it(records: Records, town: Town) -> None:
    in_force = [row for row in town.rows if row.valid_from_ms <= town.as_of_ms < row.valid_to_ms]
    found = [finding(FindingKind.COLD_SPELL, name, T0 - 3 * HOUR_MS) for name in sorted(town.cold)]
    found += [finding(FindingKind.DATA_OUTAGE, name, T0 - 9 * HOUR_MS) for name in sorted(town.silent)]
    with draft(records) as session:
        put(session, town.rows, found)
        seen = look(session, Shelf(*town.readings), town.as_of_ms)
    told = {}
    for number, row in enumerate(seen.layout.rows):
        time_ms = int(seen.rooms.time_ms[number])
        last = None if time_ms == NEVER_MS else (time_ms, float(seen.rooms.temp_c[number]))
        told[row.point_id] = last, RoomState(seen.rooms.state[number])
    plain = {row.point_id: last_of(town, row, in_force) for row in in_force}
    assert told == {row.point_id: (plain[row.point_id], state_of(town, row, plain[row.point_id])) for row in in_force}
    states = Counter(state for _, state in told.values())
    assert seen.total.rooms == len(in_force) - states[RoomState.SUSPENDED]
    assert (seen.total.cold, seen.total.silent) == (states[RoomState.COLD], states[RoomState.SILENT])
    assert sum(counts.rooms for counts in seen.stations.values()) == seen.total.rooms


def test_names_that_differ_by_noughts_are_two() -> None:
    names = ("1", "01")
    rows = [
        PointRow(f"p{station}/{building}/{floor}", f"b{building}", f"s{station}", RoomClass.APARTMENT, floor=floor)
        for station in names
        for building in names
        for floor in ("1", "2")
    ]
    layout = lay_out(rows, default_standard(), 0, "")
    assert [(one.station_id, one.building_id, one.rooms) for one in layout.buildings] == [
        (f"s{station}", f"b{building}", 2) for station in ("01", "1") for building in ("01", "1")
    ]
