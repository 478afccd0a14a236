"""What is amended late: closed tickets, published notices and clocks that were met or missed before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from heatwatch.domain.findings import Finding
from heatwatch.domain.life import Deed
from heatwatch.domain.register import PointRow
from heatwatch.domain.temperature import RoomClass
from heatwatch.records.database import Records
from heatwatch.usecases.notices import public_notices
from heatwatch.usecases.register import import_register
from tests.dispatch.office import Office, at, spell, stop
from tests.dispatch.test_living import STANDARD, do, live, shown, watch

WARM = {"rule": "R1", "end_reason": "recovered"}


def of(building: str, start_h: float, end_h: float | None = None) -> Finding:
    return replace(stop(start_h, end_h), subject_id=building, building_id=building)


@pytest.fixture
def office(records: Records) -> Office:
    made = Office(records, standard=STANDARD)
    made.register("p1", "p2", "p3", "p4", "p5")
    return made


@pytest.fixture
def town(records: Records) -> Office:
    made = Office(records, standard=STANDARD)
    rows = [PointRow(f"{b}-{n}", b, "s1", RoomClass.APARTMENT) for b in ("b1", "b2") for n in range(5)]
    with made.records.write() as session:
        import_register(session, rows, "points.csv", "0" * 64, 1)
    return made


def test_a_room_cold_again_after_its_ticket_was_closed_has_a_ticket(office: Office) -> None:
    office.judge(spell("p1", 0), at_h=2)
    live(office, 1, 2.1)
    office.judge(replace(spell("p1", 0, 5), detail=WARM), at_h=6)
    do(office, 1, Deed.FOLLOW_UP, 52)
    office.judge(spell("p1", 0), at_h=53)
    assert [one.ticket.state for one in office.stories()] == ["closed", "open"]


def test_a_stop_that_goes_on_when_its_ticket_is_closed_has_a_ticket(office: Office) -> None:
    watch(office, [2], stop(0))
    live(office, 1, 2.1)
    do(office, 1, Deed.FOLLOW_UP, 52)
    watch(office, [53], stop(0))
    assert [one.ticket.state for one in office.stories()] == ["closed", "open"]


def test_a_stop_that_goes_on_again_after_its_ticket_was_closed_has_a_ticket(office: Office) -> None:
    watch(office, [2], stop(0))
    live(office, 1, 2.1)
    watch(office, [6], stop(0, 5))
    do(office, 1, Deed.FOLLOW_UP, 52)
    watch(office, [53], stop(0))
    assert [one.ticket.state for one in office.stories()] == ["closed", "open"]


def test_two_published_notices_taken_over(town: Office) -> None:
    watch(town, [2, 7.5], of("b1", 0), of("b2", 0))
    watch(town, [9], of("b1", 0), of("b2", 0), stop(1, station=True))
    watch(town, [14], of("b1", 0, 13), of("b2", 0, 13), stop(1, 13, station=True))
    assert [kind for kind, state, _ in shown(town) if state == "published"] == ["restoration"], shown(town)


def test_a_stop_notice_behind_a_restoration(town: Office) -> None:
    watch(town, [2, 7.5], of("b1", 0), of("b2", 0))
    watch(town, [10], of("b1", 0), of("b2", 0, 9))
    watch(town, [12], of("b1", 0), of("b2", 0, 9), stop(8.9, station=True))
    watch(town, [14], of("b1", 0, 13), of("b2", 0, 9), stop(8.9, 13, station=True))
    assert "stop" not in [kind for kind, state, _ in shown(town) if state == "published"], shown(town)


def test_fewer_buildings_are_told_with_the_end(town: Office) -> None:
    watch(town, [2, 7.5], of("b1", 0), stop(0, station=True))
    watch(town, [8], of("b1", 0))
    town.judge(of("b1", 0), gone=[stop(0, station=True)], at_h=8.5)
    watch(town, [11], of("b1", 0, 10))
    with town.records.read() as session:
        newest = public_notices(session, limit=1)[0]
    assert (newest.kind, newest.building_ids) == ("restoration", ["b1", "b2"])


def test_restored_and_then_withdrawn(office: Office) -> None:
    watch(office, [2, 7.5], stop(0))
    watch(office, [11], stop(0, 10))
    office.judge(gone=[stop(0)], at_h=12)
    assert shown(office)[-1][0] == "correction"


def test_restored_with_another_end(office: Office) -> None:
    watch(office, [2, 7.5], stop(0))
    watch(office, [11], stop(0, 10))
    watch(office, [13], stop(0, 12))
    with office.records.read() as session:
        assert "20时00分恢复供热" in public_notices(session, limit=1)[0].text


def test_no_false_miss_after_taking_over_a_notice(office: Office) -> None:
    watch(office, [2, 7.5], stop(0))
    watch(office, [7.8], stop(0), stop(1, station=True))
    watch(office, [8.5, 9.5], stop(0), stop(1, station=True))
    (station,) = (one for one in office.stories() if one.ticket.scope == "station")
    missed = [one.detail["step"] for one in station.events if one.kind == "overdue"]
    assert "notice" not in missed


def test_a_notice_taken_over_late_was_in_time(office: Office) -> None:
    """The ticket changes after the deadline; what the public was told before it does not."""
    watch(office, [2, 7.5], stop(0))
    watch(office, [9, 10], stop(0), stop(1, station=True))
    (station,) = (one for one in office.stories() if one.ticket.scope == "station")
    assert {one.step: one.done_ms for one in station.clocks}["notice"] == at(7.5)
    assert "notice" not in [one.detail.get("step") for one in station.events if one.kind == "overdue"]


def test_a_notice_of_one_building_is_none_for_the_other(town: Office) -> None:
    watch(town, [2, 7.5], of("b1", 0))
    watch(town, [9], of("b1", 0), stop(1, station=True))
    (station,) = (one for one in town.stories() if one.ticket.scope == "station")
    assert {one.step: one.done_ms for one in station.clocks}["notice"] == at(9)
    assert "notice" in [one.detail.get("step") for one in station.events if one.kind == "overdue"]


def test_leak_known_after_on_site_was_missed(office: Office) -> None:
    office.judge(spell("p1", 0), at_h=2)
    do(office, 1, Deed.TAKE, 2.1)
    watch(office, [4.5], spell("p1", 0))
    do(office, 1, Deed.LEAK, 5)
    watch(office, [6], spell("p1", 0))
    (story,) = office.stories()
    missed = [(one.detail["step"], one.detail["rule"]) for one in story.events if one.kind == "overdue"]
    assert {("on_site", "R16"), ("on_site", "R17")} <= set(missed)


def test_groundless_is_said_again_after_others_were_taken_over(office: Office) -> None:
    cold = [spell(f"p{number}", 1) for number in (1, 2, 3)]
    office.judge(*cold, at_h=3)
    office.judge(gone=cold, at_h=4)
    office.judge(spell("p4", 0, 0.9, 0.5), at_h=5)
    office.judge(spell("p4", 0, None, 0.5), at_h=5.5)
    office.judge(gone=[spell("p4", 0)], at_h=6)
    assert [row.ticket.state for row in office.stories()] == ["open", "merged"]
    assert [one.kind for one in office.stories()[0].events].count("groundless") == 2


def test_a_room_that_the_register_now_puts_into_another_house_makes_no_group_in_the_old_one(office: Office) -> None:
    """Its ticket stays where it was opened. The other rooms are counted without it, and dispatch comes to an end."""
    one, two, three = spell("p1", 0), spell("p2", 1), spell("p3", 2)
    office.judge(one, two, at_h=3)
    office.judge(replace(one, building_id="b9"), two, three, at_h=4)
    assert [scope for _, scope, *_ in office.picture()] == ["room"] * 3
    office.judge(spell("p4", 4), at_h=6)
    assert [scope for _, scope, state, _ in office.picture() if state == "open"] == ["building"]
