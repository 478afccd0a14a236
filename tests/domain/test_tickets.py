"""Which findings become which tickets, and by when what is due."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from heatwatch.domain.grouping import Fault, Join, Merge, Open, Outage, Situation, Spell, Ticket, decide
from heatwatch.domain.instants import MINUTE_MS
from heatwatch.domain.life import Facts, Standing, clocks
from heatwatch.domain.temperature import ClockRule, Version
from heatwatch.domain.tickets import LABELS, Clock, Scope, TicketKind

LOW, STOP = TicketKind.LOW_TEMPERATURE, TicketKind.HEAT_OUTAGE


@dataclass
class Desk:
    """A dispatch office in memory: shown findings, it keeps the tickets that `decide` asks for."""

    rooms: dict[str, int] = field(default_factory=lambda: {"b1": 10, "b2": 10})
    tickets: dict[int, Ticket] = field(default_factory=dict)
    merged: dict[int, int] = field(default_factory=dict)
    findings: dict[int, Spell | Outage | Fault] = field(default_factory=dict)
    home: dict[int, int] = field(default_factory=dict)
    withdrawn: set[int] = field(default_factory=set)

    def show(self, *findings: Spell | Outage | Fault, withdraw: Iterable[int] = ()) -> Desk:
        """Show new or amended findings and do what `decide` says."""
        self.findings |= {one.finding_id: one for one in findings}
        self.withdrawn.update(withdraw)
        numbers: dict[int, int] = {}
        for action in decide(self.situation()):
            if isinstance(action, Open):
                numbers[action.ticket.id] = len(self.tickets) + 1
                self.tickets[len(self.tickets) + 1] = replace(action.ticket, id=len(self.tickets) + 1)
            elif isinstance(action, Join):
                assert action.finding_id not in self.home, "one cause, one ticket"
                self.home[action.finding_id] = numbers.get(action.ticket_id, action.ticket_id)
            else:
                self.merge(numbers.get(action.ticket_id, action.ticket_id), numbers.get(action.into, action.into))
        return self

    def merge(self, gone: int, into: int) -> None:
        assert gone not in self.merged
        assert into not in self.merged
        self.merged[gone] = into
        self.home |= {finding: into for finding, ticket in self.home.items() if ticket == gone}

    def situation(self) -> Situation:
        standing = {key: one for key, one in self.findings.items() if key not in self.withdrawn}
        loose = [one for key, one in standing.items() if key not in self.home]
        return Situation(
            [self.filled(key, standing) for key in self.tickets if key not in self.merged],
            [one for one in loose if isinstance(one, Spell)],
            [one for one in loose if isinstance(one, Outage)],
            self.rooms,
            faults=[one for one in loose if isinstance(one, Fault)],
        )

    def filled(self, key: int, standing: dict[int, Spell | Outage | Fault]) -> Ticket:
        held = [one for number, one in standing.items() if self.home.get(number) == key]
        spells = tuple(one for one in held if isinstance(one, Spell))
        outages = tuple(one for one in held if isinstance(one, Outage))
        faults = tuple(one for one in held if isinstance(one, Fault))
        return replace(self.tickets[key], spells=spells, outages=outages, faults=faults)

    def picture(self) -> list[tuple[TicketKind, Scope, str, list[int]]]:
        """Return the open tickets with the numbers of their findings."""
        standing = [one for key, one in self.tickets.items() if key not in self.merged]
        return [(one.kind, one.scope, one.building_id, self.of(one.id)) for one in standing]

    def of(self, ticket: int) -> list[int]:
        return sorted(finding for finding, home in self.home.items() if home == ticket)


def spell(number: int, start: int, end: int | None = None, *, room: str = "", building: str = "b1") -> Spell:
    return Spell(number, f"p{number}", room or f"r{number}", building, "s", start, end)


def spells(numbers: Iterable[int], start: int = 0, end: int | None = None) -> list[Spell]:
    return [spell(number, start, end) for number in numbers]


def stop(number: int, start: int, end: int | None = None, *, building: str = "b1") -> Outage:
    return Outage(number, building, "s", start, end)


class TestRooms:
    """A room that is cold by itself."""

    def test_has_a_ticket_of_its_own(self) -> None:
        desk = Desk().show(spell(1, 0), spell(2, 0))
        assert desk.picture() == [(LOW, Scope.ROOM, "b1", [1]), (LOW, Scope.ROOM, "b1", [2])]

    def test_has_one_even_if_it_is_warm_again_when_it_is_seen(self) -> None:
        assert Desk().show(spell(1, 0, 5)).picture() == [(LOW, Scope.ROOM, "b1", [1])]

    def test_has_one_for_all_its_spells_and_points(self) -> None:
        desk = Desk().show(spell(1, 0, 5, room="r"), spell(2, 1, room="r")).show(spell(3, 9, room="r"))
        assert desk.picture() == [(LOW, Scope.ROOM, "b1", [1, 2, 3])]

    def test_is_another_room_in_another_building(self) -> None:
        desk = Desk().show(spell(1, 0, room="301"), spell(2, 0, room="301", building="b2"))
        assert len(desk.picture()) == 2


class TestGroups:
    """Most rooms: more than half, and at least three."""

    def test_more_than_half_have_one_ticket(self) -> None:
        assert Desk().show(*spells(range(6))).picture() == [(LOW, Scope.BUILDING, "b1", list(range(6)))]

    def test_half_is_not_most(self) -> None:
        assert len(Desk().show(*spells(range(5))).picture()) == 5

    def test_two_are_not_most_even_of_two(self) -> None:
        assert len(Desk(rooms={"b1": 2}).show(*spells(range(2))).picture()) == 2
        assert len(Desk(rooms={"b1": 3}).show(*spells(range(3))).picture()) == 1

    def test_rooms_are_counted_not_points(self) -> None:
        one_room = [spell(number, 0, room="r") for number in range(9)]
        assert Desk().show(*one_room).picture() == [(LOW, Scope.ROOM, "b1", list(range(9)))]

    def test_those_cold_one_after_the_other_are_no_group(self) -> None:
        desk = Desk().show(*(spell(number, number, number + 1) for number in range(6)))
        assert {scope for _, scope, _, _ in desk.picture()} == {Scope.ROOM}

    def test_those_cold_at_once_in_the_past_are_one(self) -> None:
        """A gateway that delivers late makes one ticket, not one a room."""
        assert Desk().show(*spells(range(6), 0, 9)).picture() == [(LOW, Scope.BUILDING, "b1", list(range(6)))]

    def test_a_building_whose_rooms_nobody_knows_is_never_grouped(self) -> None:
        assert len(Desk(rooms={}).show(*spells(range(6))).picture()) == 6

    def test_tickets_opened_earlier_merge_into_the_groups(self) -> None:
        desk = Desk().show(*spells(range(5))).show(spell(5, 3))
        assert desk.picture() == [(LOW, Scope.BUILDING, "b1", list(range(6)))]
        assert set(desk.merged.values()) == {6}

    def test_a_room_that_was_warm_again_before_keeps_its_own(self) -> None:
        desk = Desk().show(spell(9, 0, 2)).show(*spells(range(6), 5))
        assert desk.picture() == [(LOW, Scope.ROOM, "b1", [9]), (LOW, Scope.BUILDING, "b1", list(range(6)))]

    def test_rooms_that_turn_cold_later_join(self) -> None:
        desk = Desk().show(*spells(range(6))).show(spell(6, 50)).show(spell(7, 60, 70))
        assert desk.picture() == [(LOW, Scope.BUILDING, "b1", list(range(8)))]

    def test_a_room_with_an_old_ticket_brings_it_along(self) -> None:
        desk = Desk().show(spell(9, 0, 2, room="r")).show(*spells(range(6), 5)).show(spell(10, 7, room="r"))
        assert desk.picture() == [(LOW, Scope.BUILDING, "b1", [*range(6), 9, 10])]

    def test_buildings_are_apart(self) -> None:
        desk = Desk().show(*spells(range(6)), spell(6, 0, building="b2"))
        assert desk.picture() == [(LOW, Scope.BUILDING, "b1", list(range(6))), (LOW, Scope.ROOM, "b2", [6])]


class TestOutages:
    """A heat outage is an emergency."""

    def test_opens_at_once_whatever_its_length(self) -> None:
        assert Desk().show(stop(1, 0, 1)).picture() == [(STOP, Scope.BUILDING, "b1", [1])]

    def test_takes_the_cold_rooms_of_its_building(self) -> None:
        desk = Desk().show(stop(1, 0), spell(2, 5)).show(spell(3, 9), spell(4, 9, building="b2"))
        assert desk.picture() == [(STOP, Scope.BUILDING, "b1", [1, 2, 3]), (LOW, Scope.ROOM, "b2", [4])]

    def test_takes_no_room_that_was_warm_again_before(self) -> None:
        desk = Desk().show(stop(1, 10), spell(2, 0, 5))
        assert desk.picture() == [(STOP, Scope.BUILDING, "b1", [1]), (LOW, Scope.ROOM, "b1", [2])]

    def test_takes_over_tickets_whose_cold_began_with_it(self) -> None:
        desk = Desk().show(spell(2, 10), spell(3, 11)).show(stop(1, 10))
        assert desk.picture() == [(STOP, Scope.BUILDING, "b1", [1, 2, 3])]

    def test_leaves_tickets_whose_cold_began_before(self) -> None:
        desk = Desk().show(spell(2, 9)).show(stop(1, 10))
        assert desk.picture() == [(LOW, Scope.ROOM, "b1", [2]), (STOP, Scope.BUILDING, "b1", [1])]

    def test_takes_over_a_group_too(self) -> None:
        desk = Desk().show(*spells(range(6), 10)).show(stop(7, 10))
        assert desk.picture() == [(STOP, Scope.BUILDING, "b1", [*range(6), 7])]

    def test_most_rooms_cold_make_no_group_beside_it(self) -> None:
        desk = Desk().show(stop(10, 0), *spells(range(9), 2))
        assert desk.picture() == [(STOP, Scope.BUILDING, "b1", [*range(9), 10])]

    def test_another_one_later_has_a_ticket_of_its_own(self) -> None:
        """Its notice is due anew (R12)."""
        desk = Desk().show(stop(1, 0, 5)).show(stop(2, 20)).show(spell(3, 22), spell(4, 6))
        assert desk.picture() == [(STOP, Scope.BUILDING, "b1", [1, 4]), (STOP, Scope.BUILDING, "b1", [2, 3])]

    def test_that_was_none_takes_nobody(self) -> None:
        desk = Desk().show(stop(1, 0)).show(spell(2, 5), withdraw=[1])
        assert desk.picture() == [(STOP, Scope.BUILDING, "b1", [1]), (LOW, Scope.ROOM, "b1", [2])]

    def test_withdrawn_and_found_again_is_the_same_emergency(self) -> None:
        desk = Desk().show(stop(1, 5)).show(withdraw=[1]).show(stop(2, 4)).show(stop(3, 5), withdraw=[2])
        assert desk.picture() == [(STOP, Scope.BUILDING, "b1", [1, 2, 3])]

    def test_withdrawn_leaves_no_place_for_one_at_another_time_or_elsewhere(self) -> None:
        desk = Desk().show(stop(1, 5)).show(withdraw=[1]).show(stop(2, 1, 4), stop(3, 6), stop(4, 5, building="b2"))
        assert [found for _, _, _, found in desk.picture()] == [[1], [2], [4], [3]]


class TestStations:
    """An outage of a station is one emergency, whatever its buildings say."""

    def test_takes_in_what_its_buildings_have_at_the_same_time(self) -> None:
        desk = Desk().show(stop(1, 0), stop(2, 1, building="b2"), stop(3, 1, building=""))
        assert desk.picture() == [(STOP, Scope.STATION, "", [1, 2, 3])]

    def test_takes_over_the_tickets_of_its_buildings(self) -> None:
        desk = Desk().show(stop(1, 0), spell(4, 1)).show(stop(3, 1, building=""))
        assert desk.picture() == [(STOP, Scope.STATION, "", [1, 3, 4])]
        assert desk.merged == {1: 2}

    def test_leaves_what_a_building_had_before(self) -> None:
        desk = Desk().show(stop(1, 0, 5)).show(stop(3, 9, building=""))
        assert [found for _, _, _, found in desk.picture()] == [[1], [3]]

    def test_takes_cold_rooms_of_every_building(self) -> None:
        desk = Desk().show(stop(1, 0, building="")).show(spell(2, 3), spell(3, 3, building="b2"))
        assert desk.picture() == [(STOP, Scope.STATION, "", [1, 2, 3])]

    def test_withdrawn_and_found_again_is_the_same_emergency(self) -> None:
        """Also where an outage of one of its buildings is left on the ticket."""
        desk = Desk().show(stop(1, 0), stop(3, 1, building="")).show(withdraw=[3]).show(stop(4, 1, building=""))
        assert desk.picture() == [(STOP, Scope.STATION, "", [1, 3, 4])]

    def test_began_for_a_building_when_the_buildings_own_did(self) -> None:
        """A room that turned cold with its building's outage, before the station's, belongs to it."""
        desk = Desk().show(spell(2, 5)).show(stop(1, 4), stop(3, 8, building=""))
        assert desk.picture() == [(STOP, Scope.STATION, "", [1, 2, 3])]


@st.composite
def stories(draw: st.DrawFn) -> list[list[Spell | Outage]]:
    """Draw findings of one station in any order, in any number of passes."""
    spans = st.tuples(st.integers(0, 30), st.none() | st.integers(1, 15))
    places = st.sampled_from(["b1", "b1", "b2", "b2", ""])
    every: list[Spell | Outage] = []
    for number, (place, room, (start, length)) in enumerate(
        draw(st.lists(st.tuples(places, st.integers(0, 5), spans), max_size=14))
    ):
        end = None if length is None else start + length
        is_stop = place == "" or (room == 0 and draw(st.booleans()))
        kept = stop(number, start, end, building=place) if is_stop else None
        every.append(kept or spell(number, start, end, room=f"r{room}", building=place))
    cuts = sorted(draw(st.lists(st.integers(0, len(every)), max_size=4)))
    return [every[first:last] for first, last in zip([0, *cuts], [*cuts, len(every)], strict=True)]


SMALL = {"b1": 5, "b2": 4}


@settings(max_examples=300)
@given(stories())
def test_every_finding_has_one_open_ticket_in_the_end(story: list[list[Spell | Outage]]) -> None:
    desk = Desk(rooms=SMALL)
    for shown in story:
        desk.show(*shown)
    assert sorted(desk.home) == sorted(desk.findings)
    assert not set(desk.home.values()).intersection(desk.merged)


@settings(max_examples=300)
@given(stories())
def test_looking_again_changes_nothing(story: list[list[Spell | Outage]]) -> None:
    """So a restart between any two passes, which can only look again, changes nothing."""
    desk = Desk(rooms=SMALL)
    for shown in story:
        desk.show(*shown)
        assert decide(desk.situation()) == []


@settings(max_examples=200)
@given(stories(), st.randoms(use_true_random=False))
def test_the_order_within_a_pass_changes_nothing(story: list[list[Spell | Outage]], random: Random) -> None:
    desk, other = Desk(rooms=SMALL), Desk(rooms=SMALL)
    for shown in story:
        mixed = list(shown)
        random.shuffle(mixed)
        assert desk.show(*shown).picture() == other.show(*mixed).picture()


def fault(number: int, start: int, end: int | None = None, *, place: str = "p1", opens: bool = True) -> Fault:
    """Make a fault of a point; of the building `b1` or the station `s` by their names."""
    point, building = (place if place[0] == "p" else ""), ("" if place == "s" else "b1" if place[0] == "p" else place)
    return Fault(number, point, point or None, building, "s", start, end, opens)


@st.composite
def faulty_stories(draw: st.DrawFn) -> list[list[Fault]]:
    """Draw what is wrong with points, buildings and their station, in any order, in any number of passes."""
    spans = st.tuples(st.integers(0, 30), st.none() | st.integers(1, 15), st.booleans())
    places = st.sampled_from(["p1", "p1", "p2", "b1", "b2", "s"])
    drawn = draw(st.lists(st.tuples(places, spans), max_size=12))
    every = [
        fault(100 + number, start, None if length is None else start + length, place=place, opens=opens)
        for number, (place, (start, length, opens)) in enumerate(drawn)
    ]
    cuts = sorted(draw(st.lists(st.integers(0, len(every)), max_size=4)))
    return [every[first:last] for first, last in zip([0, *cuts], [*cuts, len(every)], strict=True)]


@settings(max_examples=300)
@given(faulty_stories(), st.randoms(use_true_random=False))
def test_a_fault_has_one_ticket_and_a_place_one_at_a_time(story: list[list[Fault]], random: Random) -> None:
    desk, other = Desk(), Desk()
    for shown in story:
        mixed = list(shown)
        random.shuffle(mixed)
        assert desk.show(*shown).picture() == other.show(*mixed).picture()
        assert decide(desk.situation()) == []
        assert {one.finding_id for one in shown if one.opens} <= desk.home.keys()
        for number, one in desk.findings.items():
            home = desk.home.get(number)
            if isinstance(one, Fault) and home is not None and one.scope is Scope.ROOM:
                assert (desk.tickets[home].kind, desk.tickets[home].point_id) == (TicketKind.SENSOR, one.point_id)
                at_once = [two for key, two in desk.findings.items() if desk.home.get(key, home) != home]
                assert not any(
                    two.point_id == one.point_id and one.end_ms is two.end_ms is None
                    for two in at_once
                    if isinstance(two, Fault)
                )


@settings(max_examples=200)
@given(stories(), faulty_stories())
def test_faults_leave_what_is_done_about_heat_as_it_is(
    story: list[list[Spell | Outage]], faults: list[list[Fault]]
) -> None:
    plain, besides = Desk(rooms=SMALL), Desk(rooms=SMALL)
    shown_at_once = [*faults, *([[]] * len(story))]
    for shown, wrong in zip(story, shown_at_once, strict=False):
        plain.show(*shown)
        besides.show(*wrong, *shown)
        heat = [one for one in besides.picture() if one[0] is not TicketKind.SENSOR]
        assert heat == plain.picture()


class TestPoints:
    """R7. One ticket a point, one for a silence of many."""

    def test_buildings_that_are_silent_with_their_station_are_of_its_ticket(self) -> None:
        desk = Desk().show(fault(1, 0, place="b1"), fault(2, 1, place="b2"), fault(3, 1)).show(fault(4, 2, place="s"))
        assert [(scope, of) for _, scope, _, of in desk.picture()] == [(Scope.ROOM, [3]), (Scope.STATION, [1, 2, 4])]

    def test_one_that_was_silent_before_is_not(self) -> None:
        desk = Desk().show(fault(1, 0, 5, place="b1")).show(fault(2, 6, place="s"))
        assert [(scope, of) for _, scope, _, of in desk.picture()] == [(Scope.BUILDING, [1]), (Scope.STATION, [2])]

    def test_what_is_no_reason_opens_none_and_joins(self) -> None:
        desk = Desk().show(fault(1, 0, opens=False))
        assert desk.picture() == []
        assert [of for *_, of in desk.show(fault(2, 3)).picture()] == [[1, 2]]

    def test_what_had_ended_before_is_not_of_it(self) -> None:
        desk = Desk().show(fault(1, 0, 2, opens=False), fault(2, 3))
        assert [of for *_, of in desk.picture()] == [[2]]

    def test_what_begins_after_the_repair_has_its_own(self) -> None:
        desk = Desk().show(fault(1, 0))
        desk.tickets[1] = replace(desk.tickets[1], finished_ms=10)
        assert [of for *_, of in desk.show(fault(2, 10), fault(3, 11)).picture()] == [[1, 2], [3]]


@given(st.integers(0, 8), st.integers(1, 8))
def test_most_is_more_than_half_and_at_least_three(cold: int, rooms: int) -> None:
    picture = Desk(rooms={"b1": rooms}).show(*spells(range(min(cold, rooms)))).picture()
    cold = min(cold, rooms)
    grouped = any(scope is Scope.BUILDING for _, scope, _, _ in picture)
    assert grouped == (cold >= 3 and cold > rooms / 2)
    assert len(picture) == (1 if grouped else cold)


@settings(max_examples=200)
@given(st.permutations(range(7)), st.integers(1, 7))
def test_a_group_is_the_same_whoever_was_seen_first(order: Sequence[int], at_once: int) -> None:
    desk = Desk()
    for first in range(0, 7, at_once):
        desk.show(*spells(order[first : first + at_once]))
    assert desk.picture() == [(LOW, Scope.BUILDING, "b1", list(range(7)))]


def test_clocks_count_from_where_their_rule_says() -> None:
    rules = (ClockRule("start", 0, "R11", "九(三)"), ClockRule("notice", 480, "R12", "九(三)", "cause"))
    version = Version(None, {}, clocks={"heat_outage": rules})
    assert clocks(version, Facts(STOP, 100 * MINUTE_MS, 40 * MINUTE_MS), Standing()) == [
        Clock("start", "R11", "九(三)", 100 * MINUTE_MS),
        Clock("notice", "R12", "九(三)", 520 * MINUTE_MS),
    ]
    assert clocks(version, Facts(LOW, 0, 0), Standing()) == []


def test_every_kind_has_a_chinese_name() -> None:
    assert set(LABELS) == set(TicketKind)
    assert LABELS[LOW] == "室温低于18℃"


def test_a_merge_names_an_open_ticket() -> None:
    situation = Desk().show(spell(1, 0)).situation()
    stopped = replace(situation, outages=[stop(2, 0)])
    assert decide(stopped)[-1] == Merge(1, -1)
