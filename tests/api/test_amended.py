"""What was taken back is seen where people look: on the ticket, beside the notice, and in the interface."""

from __future__ import annotations

from dataclasses import replace

import pytest

from heatwatch.domain.people import Role
from heatwatch.records.database import Records
from heatwatch.records.schema import TooLate
from tests.api.test_console import PAGE, STANDARD, House
from tests.dispatch.office import Office, at, spell, stop

FIGURES = {"rule": "R1", "min_temp_c": 15.0, "violation_h": 2.0}


@pytest.fixture
def office(records: Records) -> Office:
    made = Office(records, standard=STANDARD)
    made.register("p1", "p2", "p3", "p4", "p5")
    return made


@pytest.fixture
def house(records: Records) -> House:
    return House(records, now_ms=at(12))


def test_a_ticket_shows_the_old_and_the_new_in_both_languages(office: Office, house: House) -> None:
    office.judge(replace(spell("p1", 0), detail=FIGURES), at_h=2)
    office.judge(replace(spell("p1", -3), detail={**FIGURES, "min_temp_c": 14.2, "violation_h": 5.0}), at_h=2.5)
    said = house.token()
    page = house.ask("/tickets/1", headers={**said, **PAGE, "Cookie": ""}).text
    for text in (
        "测温依据更正",
        "起始：11月25日 08:00 → 11月25日 05:00",
        "最低室温：15.0 ℃ → 14.2 ℃",
        "2.0 小时 → 5.0 小时",
    ):
        assert text in page
    english = house.ask("/tickets/1", headers={**said, **PAGE, "Cookie": "lang=en"}).text
    assert "Finding amended" in english
    assert "Hours too cold: 2.0 → 5.0" in english
    (event,) = [
        one for one in house.ask("/api/v1/tickets/1", headers=said).json()["events"] if one["kind"] == "amended"
    ]
    assert (event["detail"]["before"]["start_ms"], event["detail"]["after"]["start_ms"]) == (at(0), at(-3))


def test_a_ticket_without_ground_is_offered_and_waits_for_somebody(office: Office, house: House) -> None:
    office.judge(spell("p1", 0), at_h=2)
    said = house.token()
    assert house.ask("/api/v1/tickets/1", headers=said).json()["offered_for_withdrawal"] is False
    office.judge(gone=[spell("p1", 0)], at_h=3)
    page = house.ask("/tickets/1", headers={**said, **PAGE, "Cookie": ""}).text
    assert "本工单的测温依据已全部撤销" in page
    assert 'value="withdraw"' in page
    story = house.ask("/api/v1/tickets/1", headers=said).json()
    assert (story["state"], story["offered_for_withdrawal"]) == ("open", True)
    deed = {"deed": "withdraw", "text": "补传数据核实"}
    assert house.ask("/api/v1/tickets/1/deeds", "POST", headers=said, json=deed).json()["state"] == "withdrawn"
    page = house.ask("/tickets/1", headers={**said, **PAGE, "Cookie": ""}).text
    assert "本工单的测温依据已全部撤销" not in page


def test_a_published_notice_keeps_its_words_and_says_what_became_of_it(office: Office, house: House) -> None:
    office.judge(stop(0), at_h=2).judge(stop(0), at_h=7.5)
    said = house.token()
    before = house.ask("/api/v1/notices/1", headers=said).json()
    assert (before["state"], before["events"]) == ("published", [])
    office.judge(stop(-2), at_h=9).judge(stop(-2, 10), at_h=11)
    after = house.ask("/api/v1/notices/1", headers=said).json()
    assert (after["text"], after["stop_start"]) == (before["text"], before["stop_start"])
    assert [one["kind"] for one in after["events"]] == ["amended", "superseded"]
    page = house.ask("/notices/1", headers={**said, **PAGE, "Cookie": ""}).text
    assert "所依据的停热时段有更正" in page
    assert '<a href="/notices/2">公告 2 号</a>' in page


def test_what_became_of_a_finding_is_told_to_those_who_may_see_it(office: Office, house: House) -> None:
    office.judge(spell("p1", 0), at_h=2).judge(spell("p1", -1), at_h=3)
    told = house.ask("/api/v1/findings/1/changes", headers=house.token()).json()
    (one,) = told["items"]
    assert (told["total"], one["kind"], one["amends"], one["revision"]) == (1, "extended", True, 2)
    stranger = house.token(Role.STATION, "elsewhere")
    assert house.ask("/api/v1/findings/1/changes", headers=stranger).status_code == 404


def test_what_came_too_late_is_counted_and_listed(office: Office, house: House) -> None:
    with office.records.write() as session:
        for number in (1, 2, 3):
            span = {"first_ms": at(-900), "last_ms": at(-899), "rows": 5, "arrived_ms": at(number)}
            session.add(TooLate(worker="w", sequence=number, source=f"d{number}", **span))
    told = house.ask("/api/v1/readings/too-late?limit=1&offset=1", headers=house.token()).json()
    assert (told["total"], told["readings"], [one["source"] for one in told["items"]]) == (3, 15, ["d2"])
    assert house.ask("/api/v1/readings/too-late", headers=house.token(Role.STATION, "s1")).status_code == 403
    assert house.ask("/api/v1/health", headers=house.token(Role.ENGINEER)).json()["too_late"] == 15
