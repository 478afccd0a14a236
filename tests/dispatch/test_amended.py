"""What is amended late: closed tickets, published notices and clocks that were met or missed before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from dispatch.words import Company, amended
from heatwatch.domain.findings import Finding
from heatwatch.domain.life import Deed
from heatwatch.domain.register import PointRow
from heatwatch.domain.temperature import RoomClass
from heatwatch.records.database import Records
from heatwatch.records.schema import OutboxRow
from heatwatch.usecases.documents import NOTICE, document_log
from heatwatch.usecases.notices import public_notices
from heatwatch.usecases.register import import_register
from heatwatch.usecases.tickets import offered_for_withdrawal
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


# --- what is taken back is noted on the ticket and on what was published


def lines(office: Office, *kinds: str) -> list[dict[str, Any]]:
    return [one.detail for story in office.stories() for one in story.events if one.kind in kinds]


def test_growth_and_an_ordinary_end_amend_nothing(office: Office) -> None:
    cold = spell("p1", 0)
    for hour in (2, 3, 4, 5):
        office.judge(replace(cold, detail={"rule": "R1", "min_temp_c": 18.0 - hour, "violation_h": hour}), at_h=hour)
    office.judge(replace(spell("p1", 0, 5), detail=WARM | {"min_temp_c": 13.0, "violation_h": 5.0}), at_h=6)
    assert lines(office, "amended") == []
    assert all("amendment" not in one for one in lines(office, "finding_ended"))


def test_a_start_that_moved_is_said_with_the_old_and_the_new(office: Office) -> None:
    office.judge(spell("p1", 0), at_h=2)
    office.judge(spell("p1", -3, confirmed_h=1), at_h=2.5)
    (line,) = lines(office, "amended")
    assert (line["amendment"], line["before"]["start_ms"], line["after"]["start_ms"]) == ("extended", at(0), at(-3))
    (text,) = [text for kind, text in _put_out(office) if kind == "amended"]
    assert text == (
        "【工单1号】室温低于18℃，s1供热站 b1 p1：经重新判定，测温依据时段延长："
        "起始由11月25日8时00分改为11月25日5时00分。请核对。"
    )


def test_an_end_that_is_taken_back_is_one_line(office: Office) -> None:
    office.judge(spell("p1", 0), at_h=2)
    office.judge(replace(spell("p1", 0, 5), detail=WARM), at_h=6)
    office.judge(spell("p1", 0), at_h=7)
    (line,) = lines(office, "finding_open")
    assert (line["amendment"], line["before"]["end_ms"], line["after"]["end_ms"]) == ("extended", at(5), None)
    assert lines(office, "amended") == []


def test_a_withdrawn_finding_offers_the_ticket_and_closes_nothing(office: Office) -> None:
    office.judge(spell("p1", 0), at_h=2)
    office.judge(gone=[spell("p1", 0)], at_h=9)
    (line,) = lines(office, "finding_withdrawn")
    assert (line["amendment"], line["after"]) == ("withdrawn", None)
    office.judge(at_h=200)
    (story,) = office.stories()
    assert (story.ticket.state, [one.kind for one in story.events].count("groundless")) == ("open", 1)
    assert offered_for_withdrawal(story.ticket, groundless=True)
    do(office, 1, Deed.WITHDRAW, 201, text="测温数据补传后核实无低温")
    assert not offered_for_withdrawal(office.stories()[0].ticket, groundless=True)


def test_a_published_notice_says_what_became_of_it_and_is_not_altered(office: Office) -> None:
    watch(office, [2, 7.5], stop(0))
    with office.records.read() as session:
        (before,) = public_notices(session, limit=9)
    watch(office, [9], stop(-2))
    with office.records.read() as session:
        (after,) = public_notices(session, limit=9)
        (line,) = document_log(session, NOTICE, after.id)
    assert (after.text, after.stop_start_ms, after.state) == (before.text, at(0), "published")
    assert (line.kind, line.at_ms, line.detail["before"]["start_ms"], line.detail["after"]["start_ms"]) == (
        "amended",
        at(9),
        at(0),
        at(-2),
    )


def test_a_superseded_notice_says_by_which(office: Office) -> None:
    watch(office, [2, 7.5], stop(0))
    watch(office, [11], stop(0, 10))
    with office.records.read() as session:
        restored, told = public_notices(session, limit=9)
        assert [(one.kind, one.detail) for one in document_log(session, NOTICE, told.id)] == [
            ("superseded", {"by": restored.id})
        ]


def test_why_is_said_as_an_office_would(office: Office) -> None:
    company = Company("", "", ZoneInfo("Asia/Shanghai"))
    was = {"start_ms": at(0), "end_ms": None, "detail": {"min_temp_c": 15.04, "violation_h": 5.0}}
    now = {"start_ms": at(0), "end_ms": at(3), "detail": {"min_temp_c": 16.5, "violation_h": 3.0}}
    said = {"amendment": "shortened", "before": was, "after": now}
    late = {"readings": [["d1", at(1), at(3), 12]]}
    assert amended(company, said | {"cause": late}) == (
        "据后到的11月25日9时00分至11月25日11时00分测温数据（12条），测温依据时段缩短：结束由仍在持续改为11月25日11时00分；"
        "最低室温由15.0℃改为16.5℃；不达标时长由5.0小时改为3.0小时。请核对。"
    )
    assert amended(company, said | {"cause": {"register": 3}, "after": None}) == (
        "因测点台账更新（第3版），测温依据时段缩短。请核对。"
    )


def _put_out(office: Office) -> list[tuple[str, str]]:
    with office.records.read() as session:
        return [(row.kind, row.text) for row in session.scalars(select(OutboxRow).order_by(OutboxRow.id))]
