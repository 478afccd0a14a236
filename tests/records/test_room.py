"""A room's story tells what was measured, asked and found, and each who asks no more than is theirs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heatwatch.domain.findings import Finding, FindingKind, SubjectKind
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS, from_ms, to_ms
from heatwatch.domain.local_time import offsets
from heatwatch.domain.register import PointRow
from heatwatch.domain.temperature import ClassRules, Hours, Judging, Limit, RoomClass, Season, Standard, Version
from heatwatch.records.audit import acting
from heatwatch.records.database import Records
from heatwatch.records.schema import TicketFinding, TicketRow
from heatwatch.usecases.findings import record_findings
from heatwatch.usecases.register import import_register
from heatwatch.usecases.room import Counted, RoomStories, RoomStory, limit_steps
from tests.shelf import Row, Shelf

BERLIN, SHANGHAI = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Shanghai")
T0 = to_ms(datetime(2025, 11, 24, 16, tzinfo=UTC))
"""Midnight in Shanghai, before a Tuesday."""
OFFICE = (Hours(8 * 60, 18 * 60, 18.0, 20.0, "R4", weekdays=frozenset(range(5))), Hours(23 * 60, 60, 12.0, rule="R4"))
HOME = ClassRules((Hours(360, 1260, 18.0, rule="R1"), Hours(1260, 360, 16.0, rule="R2")), 18.0)
CLASSES = {RoomClass.APARTMENT: HOME, RoomClass.SINGLE_STOREY: ClassRules((Hours(0, 1440, 16.0, rule="R3"),))}
CONTRACTS = {
    "baker": (Hours(150, 600, 19.0, rule="R4"),),
    "office": OFFICE,
    "plus": (Hours(360, 1260, 19.0, 20.0, "R4"),),
}
STANDARD = Standard((Version(None, CLASSES, CONTRACTS),), Judging())
CHANGES = [datetime(2025, 3, 30, 1, tzinfo=UTC), datetime(2025, 10, 26, 1, tzinfo=UTC)]
"""When Berlin changed its clocks."""


def oracle(rows: Sequence[PointRow], standard: Standard, zone: ZoneInfo, at: datetime) -> Limit | None:
    """Return what is asked at a moment, said as the rules say it."""
    local = at.astimezone(zone)
    held = [row for row in rows if row.valid_from_ms <= to_ms(at) < row.valid_to_ms]
    version = standard.at(at)
    if not held or (version.seasons and not any(s.first_day <= local.date() <= s.last_day for s in version.seasons)):
        return None
    row = held[0]
    paused = row.suspended_from is not None or row.suspended_to is not None
    if paused and (row.suspended_from or at) <= at < (row.suspended_to or at + timedelta(1)):
        return None
    return version.asked(row.room_class, row.contract, local.weekday() * 1440 + local.hour * 60 + local.minute)


@st.composite
def registers(draw: st.DrawFn, about: datetime) -> list[PointRow]:
    """Draw some rows of one point whose edges lie about a moment, on minutes."""
    edges = sorted(draw(st.sets(st.integers(-3000, 3000), max_size=2)))
    moments: list[datetime | None] = [about + timedelta(minutes=edge) for edge in edges]
    ends = [None, *moments, None]
    rows: list[PointRow] = []
    for begin, end in pairwise(ends):
        if draw(st.booleans()) or not rows:
            room_class, contract = draw(st.sampled_from(list(RoomClass))), draw(st.sampled_from([None, *CONTRACTS]))
            pause = sorted(draw(st.tuples(st.integers(-3000, 3000), st.integers(-3000, 3000))))
            paused: list[datetime | None] = [about + timedelta(minutes=edge) for edge in pause]
            since, until = (None, None) if draw(st.booleans()) else paused
            rows.append(PointRow("p", "b", "s", room_class, begin, end, None, contract, since, until))
    return rows


@st.composite
def standards(draw: st.DrawFn, about: datetime) -> Standard:
    """Draw one or two versions, with a season or without."""
    day = date(about.year, about.month, about.day)
    seasons = draw(st.sampled_from([(), (Season(day - timedelta(1), day),)]))
    colder = {kind: ClassRules((Hours(300, 1200, 17.0, rule="R1"),), 17.5) for kind in RoomClass}
    later = about + timedelta(minutes=draw(st.integers(-3000, 3000)))
    second = [Version(later, colder, CONTRACTS)] if draw(st.booleans()) else []
    return Standard((Version(None, CLASSES, CONTRACTS, seasons), *second), Judging())


class TestSteps:
    """What is asked, by the hour."""

    @settings(deadline=None)
    @given(st.data())
    def test_are_what_the_rules_ask_at_every_minute(self, data: st.DataObject) -> None:
        """Also across changes of the clocks, rows, suspensions, versions and seasons."""
        about, zone = (
            data.draw(st.sampled_from([*CHANGES, from_ms(T0)])),
            data.draw(st.sampled_from([BERLIN, SHANGHAI])),
        )
        rows, standard = data.draw(registers(about)), data.draw(standards(about))
        start_ms = to_ms(about) + data.draw(st.integers(-2500, 0)) * MINUTE_MS
        end_ms = to_ms(about) + data.draw(st.integers(1, 2500)) * MINUTE_MS
        steps = limit_steps(rows, standard, zone, start_ms, end_ms)
        told: list[tuple[int, Limit | None]] = []
        for minute_ms in range(start_ms, end_ms, MINUTE_MS):
            limit = oracle(rows, standard, zone, from_ms(minute_ms))
            if not told or told[-1][1] != limit:
                told.append((minute_ms, limit))
        assert [(step.start_ms, step.limit) for step in steps] == told

    def test_change_exactly_at_the_edges_of_the_day(self) -> None:
        row = PointRow("p", "b", "s", RoomClass.APARTMENT)
        steps = limit_steps([row], STANDARD, SHANGHAI, T0, T0 + DAY_MS)
        asked = [(step.start_ms - T0, step.limit.rule) for step in steps if step.limit is not None]
        assert asked == [(0, "R2"), (6 * HOUR_MS, "R1"), (21 * HOUR_MS, "R2")]

    @pytest.mark.parametrize(("change", "night_h"), [(CHANGES[0], 8), (CHANGES[1], 10)])
    def test_have_a_night_an_hour_shorter_or_longer_when_the_clocks_change(
        self, change: datetime, night_h: int
    ) -> None:
        row = PointRow("p", "b", "s", RoomClass.APARTMENT)
        steps = limit_steps([row], STANDARD, BERLIN, to_ms(change) - 12 * HOUR_MS, to_ms(change) + 12 * HOUR_MS)
        night = next(number for number, step in enumerate(steps) if step.limit and step.limit.rule == "R2")
        assert steps[night + 1].start_ms - steps[night].start_ms == night_h * HOUR_MS

    def test_ask_for_nothing_where_the_contract_asks_for_nothing(self) -> None:
        """The class of offices has no hours of its own (R4)."""
        row = PointRow("p", "b", "s", RoomClass.NON_RESIDENTIAL, contract="office")
        steps = limit_steps([row], STANDARD, SHANGHAI, T0, T0 + DAY_MS)
        told = [(step.start_ms - T0, step.limit and step.limit.minimum_c) for step in steps]
        assert told == [(0, 12.0), (HOUR_MS, None), (8 * HOUR_MS, 18.0), (18 * HOUR_MS, None), (23 * HOUR_MS, 12.0)]

    def test_end_with_the_last_day_of_the_season(self) -> None:
        season = Season(date(2025, 11, 20), date(2025, 11, 25))
        standard = Standard((Version(None, CLASSES, CONTRACTS, (season,)),), Judging())
        row = PointRow("p", "b", "s", RoomClass.APARTMENT)
        steps = limit_steps([row], standard, SHANGHAI, T0 + 22 * HOUR_MS, T0 + 3 * DAY_MS)
        assert [(step.start_ms - T0, step.limit is None) for step in steps] == [(22 * HOUR_MS, False), (DAY_MS, True)]

    @pytest.mark.parametrize(("change", "at_ms"), [(CHANGES[0], 0), (CHANGES[1], -HOUR_MS // 2)])
    def test_begin_with_the_change_of_the_clocks_that_leaps_over_their_edge(self, change: datetime, at_ms: int) -> None:
        """Half past two is left out in spring, and comes twice in autumn."""
        row = PointRow("p", "b", "s", RoomClass.NON_RESIDENTIAL, contract="baker")
        steps = limit_steps([row], STANDARD, BERLIN, to_ms(change) - 2 * HOUR_MS, to_ms(change) + 2 * HOUR_MS)
        asked = [(step.start_ms - to_ms(change), step.limit is not None) for step in steps[1:]]
        again = [] if at_ms == 0 else [(0, False), (HOUR_MS // 2, True)]
        assert asked == [(at_ms, True), *again]

    def test_of_a_contract_that_the_rules_do_not_have_are_refused(self) -> None:
        row = PointRow("p", "b", "s", RoomClass.APARTMENT, contract="lost")
        with pytest.raises(KeyError, match="lost"):
            limit_steps([row], STANDARD, SHANGHAI, T0, T0 + DAY_MS)


def test_offsets_of_a_zone_are_told_to_the_millisecond() -> None:
    change_ms = to_ms(CHANGES[0])
    assert offsets(BERLIN, change_ms - 1, change_ms + 1) == [(change_ms - 1, HOUR_MS), (change_ms, 2 * HOUR_MS)]
    assert offsets(BERLIN, change_ms, change_ms + DAY_MS) == [(change_ms, 2 * HOUR_MS)]
    assert offsets(BERLIN, change_ms - DAY_MS, change_ms) == [(change_ms - DAY_MS, HOUR_MS)]
    assert offsets(SHANGHAI, T0, T0 + 92 * DAY_MS) == [(T0, 8 * HOUR_MS)]


MOVED = from_ms(T0 + 6 * HOUR_MS)
ROWS = (
    PointRow("p", "b1", "s1", RoomClass.APARTMENT, valid_to=MOVED, device_id="d1", offset_k=0.5, room_id="301"),
    PointRow("p", "b2", "s2", RoomClass.APARTMENT, valid_from=MOVED, device_id="d2", room_id="9", interval_s=7200),
)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def furnished(records: Records) -> Records:
    """Give records with a point that moved from one station to another at 06:00."""
    with records.write() as session:
        import_register(session, ROWS, "points.csv", "0" * 64, T0)
    return records


def tell(
    records: Records, shelf: Shelf, point: str = "p", hours: tuple[int, int] = (0, 12), **more: Any
) -> RoomStory | None:
    stories = RoomStories(shelf, STANDARD, SHANGHAI)
    window = T0 + hours[0] * HOUR_MS, T0 + hours[1] * HOUR_MS
    with records.read() as session:
        return stories(session, point, window, T0 + 12 * HOUR_MS, **more)


def told(records: Records, shelf: Shelf, **more: Any) -> RoomStory:
    story = tell(records, shelf, **more)
    assert story is not None
    return story


def at(source: str, hour: float, temp_c: float) -> Row:
    return source, T0 + round(hour * HOUR_MS), temp_c


class TestReadings:
    """What was measured, as it counts."""

    def test_are_compared_with_their_calibration_and_kept_as_they_were(self, furnished: Records, shelf: Shelf) -> None:
        shelf.keep(at("d1", 1, 15.4), at("d1", 2, 15.5), at("d2", 6, 17.9), at("d2", 7, 18.0))
        readings = told(furnished, shelf).readings
        assert readings.raw_c.tolist() == [15.4, 15.5, 17.9, 18.0]
        assert readings.temp_c.tolist() == [15.9, 16.0, 17.9, 18.0]
        assert readings.minimum_c.tolist() == [16.0, 16.0, 18.0, 18.0]
        assert readings.violates.tolist() == [True, False, True, False]
        assert (readings.holds_ms // HOUR_MS).tolist() == [2, 2, 4, 4]

    def test_count_as_the_definitions_say(self, furnished: Records, shelf: Shelf) -> None:
        shelf.keep(at("d1", 1, math.nan), at("d1", 2, 60.0), at("d1", 3, 9.0), at("p", 3, 9.0))
        shelf.keep(at("d1", 4, 9.0), at("p", 4, 9.5), at("d1", 5, 49.5))
        readings = told(furnished, shelf).readings
        kinds = [
            Counted.INVALID,
            Counted.OUT_OF_RANGE,
            Counted.VALID,
            Counted.CONFLICT,
            Counted.CONFLICT,
            Counted.VALID,
        ]
        assert readings.counted.tolist() == kinds
        assert readings.violates.tolist() == [kind == Counted.VALID and hour == 3 for hour, kind in enumerate(kinds, 1)]

    def test_of_a_device_are_the_points_while_it_was_there(self, furnished: Records, shelf: Shelf) -> None:
        shelf.keep(at("d1", 5, 20.0), at("d1", 6, 21.0), at("d2", 5, 22.0), at("d2", 6, 23.0), at("p", 7, 24.0))
        assert told(furnished, shelf).readings.raw_c.tolist() == [20.0, 23.0, 24.0]

    def test_are_those_of_the_window(self, furnished: Records, shelf: Shelf) -> None:
        shelf.keep(*[at("d1", hour, 20.0 + hour) for hour in range(5)])
        assert told(furnished, shelf, hours=(1, 3)).readings.raw_c.tolist() == [21.0, 22.0]


def found(kind: FindingKind, start_h: int, end_h: int | None, **more: Any) -> Finding:
    kinds = {"subject_kind": SubjectKind.POINT, "subject_id": "p", "building_id": "b1", "station_id": "s1"} | more
    end = None if end_h is None else T0 + end_h * HOUR_MS
    return Finding(
        kind=kind, start_ms=T0 + start_h * HOUR_MS, end_ms=end, open=end is None, confirmed_ms=None, detail={}, **kinds
    )


def record(records: Records, *findings: Finding) -> None:
    with records.write() as session:
        subjects = {(one.kind, one.subject_kind, one.subject_id) for one in findings}
        record_findings(session, findings, subjects, T0 + 12 * HOUR_MS)


class TestFindings:
    """What was found of the point, and of the place where it was."""

    def test_are_told_by_kind(self, furnished: Records, shelf: Shelf) -> None:
        record(
            furnished,
            found(FindingKind.COLD_SPELL, 1, 2),
            found(FindingKind.DATA_OUTAGE, 2, None),
            found(FindingKind.SENSOR_FAULT, 3, 3),
            found(FindingKind.DATA_OUTAGE, 1, 2, subject_kind=SubjectKind.BUILDING, subject_id="b1"),
            found(FindingKind.COLD_SPELL, 1, 2, subject_id="q"),
        )
        story = told(furnished, shelf)
        kinds = [[row.kind for row in rows] for rows in (story.spells, story.silences, story.faults, story.outages)]
        assert kinds == [["cold_spell"], ["data_outage"], ["sensor_fault"], []]

    @pytest.mark.parametrize(
        ("start_h", "end_h", "seen"),
        [
            (-5, -1, False),
            (-5, 0, False),
            (-5, 1, True),
            (11, None, True),
            (12, None, False),
            (-9, None, True),
            (0, 0, True),
        ],
    )
    def test_are_those_that_meet_the_window(
        self, furnished: Records, shelf: Shelf, start_h: int, end_h: int | None, *, seen: bool
    ) -> None:
        record(furnished, found(FindingKind.COLD_SPELL, start_h, end_h, building_id="b2", station_id="s2"))
        assert (len(told(furnished, shelf).spells) == 1) is seen

    def test_stops_of_heat_are_those_of_where_the_point_was(self, furnished: Records, shelf: Shelf) -> None:
        """It left the first building at 06:00: a stop there at 07:00 is none of its."""
        for building, station in (("b1", "s1"), ("b2", "s2")):
            of: dict[str, Any] = {"subject_kind": SubjectKind.BUILDING, "subject_id": building}
            stops = [(2, 3), (7, 8)]
            record(
                furnished,
                *[found(FindingKind.HEAT_OUTAGE, *s, building_id=building, station_id=station, **of) for s in stops],
            )
        assert [row.subject_id for row in told(furnished, shelf).outages] == ["b1", "b2"]
        assert [(row.start_ms - T0) // HOUR_MS for row in told(furnished, shelf).outages] == [2, 7]

    def test_withdrawn_ones_are_not_told(self, furnished: Records, shelf: Shelf) -> None:
        spell = found(FindingKind.COLD_SPELL, 1, 2)
        record(furnished, spell)
        with furnished.write() as session:
            record_findings(session, [], {(spell.kind, spell.subject_kind, spell.subject_id)}, T0 + 12 * HOUR_MS)
        assert told(furnished, shelf).spells == []


def ticket(number: int, opened_h: int, closed_h: int | None = None, **more: Any) -> TicketRow:
    about = {"building_id": "b1", "room_id": "301", "station_id": "s1"} | more
    return TicketRow(
        id=number, kind="repair", state="open", emergency=False, scope="room", point_id=None, rule="R16", evidence=[],
        opened_ms=T0 + opened_h * HOUR_MS, cause_start_ms=T0, merged_into=None, finished_ms=None, recovered_ms=None,
        closed_ms=None if closed_h is None else T0 + closed_h * HOUR_MS, **about,
    )  # fmt: skip


def test_tickets_are_those_of_its_findings_and_of_its_room(furnished: Records, shelf: Shelf) -> None:
    record(furnished, found(FindingKind.COLD_SPELL, 1, 2))
    with furnished.write() as session:
        acting(session, "test", T0)
        session.add_all([ticket(1, 1, room_id="302"), ticket(2, 2), ticket(3, -9, -1), ticket(4, 3, room_id="302")])
        session.flush()
        session.add(TicketFinding(finding_id=1, ticket_id=1, state="open"))
    story = told(furnished, shelf)
    assert [row.id for row in story.tickets] == [2, 1]
    assert story.ticket_of == {1: 1}


class TestScope:
    """Who is confined to stations is told of nothing else."""

    def test_a_point_of_another_station_is_not_there(self, furnished: Records, shelf: Shelf) -> None:
        assert tell(furnished, shelf, stations=frozenset({"s3"})) is None
        assert tell(furnished, shelf, point="q") is None

    def test_what_was_elsewhere_before_is_not_told(self, furnished: Records, shelf: Shelf) -> None:
        shelf.keep(at("d1", 5, 15.0), at("p", 5.5, 15.0), at("d2", 7, 20.0), at("p", 8, 21.0))
        record(furnished, found(FindingKind.COLD_SPELL, 1, 7), found(FindingKind.DATA_OUTAGE, 6, 8, station_id="s2"))
        with furnished.write() as session:
            acting(session, "test", T0)
            session.add_all([ticket(1, 1), ticket(2, 7, building_id="b2", room_id="9", station_id="s2")])
        story = told(furnished, shelf, stations=frozenset({"s2"}))
        assert story.readings.raw_c.tolist() == [20.0, 21.0]
        assert [row.building_id for row in story.rows] == ["b2"]
        assert story.steps[0].limit is None
        assert (story.spells, [row.kind for row in story.silences]) == ([], ["data_outage"])
        assert [row.id for row in story.tickets] == [2]

    def test_whoever_sees_all_sees_the_same_point_whole(self, furnished: Records, shelf: Shelf) -> None:
        shelf.keep(at("d1", 5, 15.0), at("d2", 7, 20.0))
        every = told(furnished, shelf).readings.raw_c.tolist()
        assert every == [15.0, 20.0] == told(furnished, shelf, stations=frozenset({"s1", "s2"})).readings.raw_c.tolist()


class TestRegister:
    """The row that leads the page."""

    @pytest.mark.parametrize(("hours", "building"), [((0, 6), "b1"), ((0, 7), "b2"), ((-9, -5), "b1"), ((7, 9), "b2")])
    def test_is_the_one_in_force_at_the_end(
        self, furnished: Records, shelf: Shelf, hours: tuple[int, int], building: str
    ) -> None:
        assert told(furnished, shelf, hours=hours).row.building_id == building

    def test_without_any_every_point_is_an_apartment(self, records: Records, shelf: Shelf) -> None:
        shelf.keep(at("x", 7, 17.0))
        story = told(records, shelf, point="x")
        assert (story.row.room_class, story.readings.violates.tolist()) == (RoomClass.APARTMENT, [True])
        assert tell(records, shelf, point="x", stations=frozenset({"s1"})) is None
