"""What happens to tickets as time passes and people work: clocks ring, notices go out, people are told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from dispatch.channels import LogChannel
from dispatch.notifier import Notifier
from dispatch.worker import DispatchWorker
from heatwatch.domain.findings import Finding
from heatwatch.domain.life import NEEDS, Deed
from heatwatch.domain.notices import NoticeState
from heatwatch.errors import BadInput, Unavailable
from heatwatch.files.rules_file import default_standard
from heatwatch.records.database import Records
from heatwatch.records.schema import NoticeRow, OutboxRow
from heatwatch.usecases.audit import verify
from heatwatch.usecases.notices import edit, notices, public_notices, publish_by_hand
from heatwatch.usecases.roles import Bell
from heatwatch.usecases.tickets import Done, Known, Story, act
from tests.dispatch.office import Office, at, spell, stop

STANDARD = default_standard()


@pytest.fixture
def office(records: Records) -> Office:
    made = Office(records, standard=STANDARD)
    made.register("p1", "p2", "p3", "p4", "p5")
    return made


def do(office: Office, ticket_id: int, deed: Deed, at_h: float, **detail: Any) -> Known:
    """Do something about a ticket, with all that has to be said, and let dispatch see it."""
    detail = dict.fromkeys(NEEDS.get(deed, ()), "x") | detail
    with office.records.write() as session:
        known = act(session, ticket_id, Done(deed, "s1", at(at_h), detail), STANDARD)
    assert known is not None
    office.worker.pass_once()
    return known


def live(office: Office, ticket_id: int, from_h: float) -> None:
    """Work on a ticket from taking it to its receipt, within the hour."""
    for number, deed in enumerate((Deed.TAKE, Deed.ON_SITE, Deed.CAUSE, Deed.FINISH, Deed.RECEIPT)):
        do(office, ticket_id, deed, from_h + number / 10)


def told(office: Office, kind: str) -> list[tuple[str, float]]:
    """Return to whom a kind of notification was put out, and at what hour."""
    with office.records.read() as session:
        rows = session.scalars(select(OutboxRow).where(OutboxRow.kind == kind).order_by(OutboxRow.id)).all()
    return [(row.recipient, (row.created_ms - at(0)) / 3_600_000) for row in rows]


def shown(office: Office) -> list[tuple[str, str, float | None]]:
    """Return each notice's kind, state and hour of publication, the oldest first."""
    with office.records.read() as session:
        rows = list(reversed(notices(session)))
    return [(row.kind, row.state, hour(row.published_ms)) for row in rows]


def hour(ms: int | None) -> float | None:
    return None if ms is None else (ms - at(0)) / 3_600_000


def events(story: Story, *kinds: str) -> list[str]:
    return [one.kind for one in story.events if one.kind in kinds]


def watch(office: Office, hours: Sequence[float], *found: Finding) -> None:
    """Let time pass with the same findings."""
    for hour in hours:
        office.judge(*found, at_h=hour)


def test_a_stop_is_warned_of_at_6_hours_and_announced_before_8(office: Office) -> None:
    """R12. It is drafted when it is found, and nobody has to do anything."""
    watch(office, [2, 5.9], stop(0))
    assert shown(office) == [("stop", "draft", None)]
    assert told(office, "warning") == []
    watch(office, [6, 7.4], stop(0))
    assert told(office, "warning") == [("dispatch", 6), ("station:s1", 6)]
    watch(office, [7.5, 7.6, 9], stop(0))
    assert shown(office) == [("stop", "published", 7.5)]
    assert told(office, "notice") == [("dispatch", 7.5), ("station:s1", 7.5)]
    (story,) = office.stories()
    assert {one.step: one.done_ms for one in story.clocks}["notice"] == at(7.5)


def test_the_notice_is_as_an_office_would_write_it(office: Office) -> None:
    watch(office, [2, 7.5], stop(0))
    with office.records.read() as session:
        (row,) = public_notices(session, limit=9)
    assert row.title == "s1供热站停热公告"
    assert "因供热系统发生故障，s1供热站所辖b1自11月25日8时00分起停止供热。" in row.text
    assert row.text.endswith("2025年11月25日")
    assert row.building_ids == ["b1"]


def test_a_short_stop_is_neither_warned_of_nor_announced(office: Office) -> None:
    watch(office, [2], stop(0))
    watch(office, [6, 9, 12], stop(0, 5))
    assert shown(office) == [("stop", "dropped", None)]
    assert told(office, "warning") == told(office, "notice") == []
    assert [one.step for one in office.stories()[0].clocks if one.off] == ["warning", "notice"]


def test_a_stop_found_too_late_is_announced_at_once_and_its_clock_was_missed(office: Office) -> None:
    watch(office, [10], stop(0))
    assert shown(office) == [("stop", "published", 10)]
    (story,) = office.stories()
    (clock,) = (one for one in story.clocks if one.step == "notice")
    assert (clock.due_ms, clock.done_ms) == (at(8), at(10))


def test_restoration_is_announced(office: Office) -> None:
    """R13."""
    watch(office, [2, 7.5], stop(0))
    watch(office, [11], stop(0, 10))
    assert shown(office) == [("stop", "superseded", 7.5), ("restoration", "published", 11)]
    assert told(office, "restoration_announced") == [("dispatch", 11), ("station:s1", 11)]
    with office.records.read() as session:
        newest = public_notices(session, limit=1)[0]
    assert "已于11月25日18时00分恢复供热" in newest.text


def test_a_stop_that_was_none_is_corrected(office: Office) -> None:
    watch(office, [2, 7.5], stop(0))
    office.judge(gone=[stop(0)], at_h=9)
    assert shown(office)[-1] == ("correction", "published", 9)
    assert told(office, "groundless") == [("dispatch", 9)]
    do(office, 1, Deed.WITHDRAW, 9.5, text="夜间间歇供暖")
    assert office.stories()[0].ticket.state == "withdrawn"


def test_a_known_fault_is_announced_at_once(office: Office) -> None:
    watch(office, [2], stop(0))
    do(office, 1, Deed.TAKE, 2.1)
    do(office, 1, Deed.ON_SITE, 2.2)
    do(office, 1, Deed.CAUSE, 2.5, text="供热管道爆裂")
    assert [state for _, state, _ in shown(office)] == ["published"]
    with office.records.read() as session:
        (row,) = public_notices(session, limit=9)
    assert "供热管道爆裂" not in row.text, "the draft was written before the cause was known"


def test_a_stop_expected_to_last_is_announced_when_that_is_known(office: Office) -> None:
    watch(office, [2], stop(0))
    do(office, 1, Deed.TAKE, 2.1)
    do(office, 1, Deed.OPINION, 2.2, text="抢修", expected_end_ms=at(7))
    assert shown(office) == [("stop", "draft", None)]
    do(office, 1, Deed.OPINION, 2.3, text="需更换管段", expected_end_ms=at(9))
    assert [state for _, state, _ in shown(office)] == ["published"]


def test_a_person_may_word_and_publish_it_earlier(office: Office) -> None:
    watch(office, [2], stop(0))
    with office.records.write() as session:
        edit(session, 1, "关于b1停热的公告", "因阀门更换停热。", "d1", at(3))
    watch(office, [3.5], stop(-1))
    with office.records.write() as session:
        publish_by_hand(session, 1, "d1", at(4), STANDARD)
    watch(office, [5, 8], stop(-1))
    with office.records.read() as session:
        (row,) = public_notices(session, limit=9)
    assert (row.text, row.published_by, row.published_ms) == ("因阀门更换停热。", "d1", at(4))
    assert row.stop_start_ms == at(-1)
    assert told(office, "notice")[0][1] == 4
    with pytest.raises(BadInput, match="published, no draft"), office.records.write() as session:
        publish_by_hand(session, 1, "d1", at(9), STANDARD)


def test_a_station_says_what_its_buildings_said(office: Office) -> None:
    """What was published for a building is brought up to date when the stop turns out to be the station's."""
    watch(office, [2, 7.5], stop(0))
    watch(office, [9], stop(0), stop(1, station=True))
    building, station = office.stories()
    assert (building.ticket.state, station.ticket.state) == ("merged", "open")
    assert shown(office) == [("stop", "published", 7.5)], "the same buildings: nothing new to say"
    watch(office, [14], stop(0, 13), stop(1, 13, station=True))
    assert shown(office) == [("stop", "superseded", 7.5), ("restoration", "published", 14)]


def test_a_deadline_that_passes_undone_is_said_once(office: Office) -> None:
    """R14: to the company too while nobody has taken the ticket."""
    office.judge(spell("p1", 0), at_h=2)
    office.judge(at_h=2.5)
    assert told(office, "overdue") == [], "at its very moment it can still be met"
    watch(office, [2.6, 2.7], spell("p1", 0))
    assert told(office, "overdue") == [("dispatch", 2.6), ("station:s1", 2.6), ("company", 2.6)]
    do(office, 1, Deed.TAKE, 2.8)
    watch(office, [3.1], spell("p1", 0))
    assert told(office, "overdue")[3:] == [("dispatch", 3.1), ("station:s1", 3.1)]


def test_what_is_done_in_time_never_rings(office: Office) -> None:
    office.judge(spell("p1", 0), at_h=2)
    do(office, 1, Deed.TAKE, 2.1)
    do(office, 1, Deed.CONTACT, 2.2)
    do(office, 1, Deed.OPINION, 2.3)
    do(office, 1, Deed.ON_SITE, 3.9)
    watch(office, [4, 20], spell("p1", 0))
    assert told(office, "overdue") == []


def test_a_room_that_is_warm_again_is_noted_and_the_ticket_stays(office: Office) -> None:
    office.judge(spell("p1", 0), at_h=2)
    warm = replace(spell("p1", 0, 5), detail={"rule": "R1", "end_reason": "recovered"})
    office.judge(warm, at_h=6)
    (story,) = office.stories()
    assert (story.ticket.state, story.ticket.recovered_ms) == ("open", at(5))
    office.judge(spell("p1", 0), at_h=7)
    (story,) = office.stories()
    assert events(story, "recovered", "relapsed") == ["recovered", "relapsed"]
    assert story.ticket.recovered_ms is None


def test_a_room_that_fell_silent_and_is_warm_again_has_recovered(office: Office) -> None:
    """The last spell of each room decides."""
    silent = replace(spell("p1", 0, 2), detail={"rule": "R1", "end_reason": "silence"})
    warm = replace(spell("p1", 12, 15), detail={"rule": "R1", "end_reason": "recovered"})
    office.judge(silent, at_h=11).judge(silent, warm, at_h=16)
    assert office.stories()[0].ticket.recovered_ms == at(15)


def test_clocks_ring_and_notices_go_out_while_judging_stands_still(records: Records) -> None:
    """R12, R14: by the wall clock, which stands for the whole installation."""
    now_ms = [at(2)]
    office = Office(records, standard=STANDARD)
    office.register("p1")
    worker = DispatchWorker(
        records, office.shelf, STANDARD, office.bell, timezone="Asia/Shanghai", wall_clock=lambda: now_ms[0]
    )
    office.find(stop(0), at_h=2)
    assert worker.pass_once()
    for hour, told_by_then in ((5.9, []), (6.01, ["warning"]), (7.51, ["warning", "notice"])):
        now_ms[0] = at(hour)
        worker.pass_once()
        assert [kind for kind in ("warning", "notice") if told(office, kind)] == told_by_then
    now_ms[0] = at(7.6)
    assert not worker.pass_once(), "with nothing due there is nothing to do"


def test_an_opinion_that_is_late_can_still_be_given(office: Office) -> None:
    office.judge(spell("p1", 0), at_h=2)
    live(office, 1, 2.1)
    do(office, 1, Deed.OPINION, 9)
    clock = next(one for one in office.stories()[0].clocks if one.step == "opinion")
    assert clock.done_ms == at(9)


def test_silence_is_no_recovery(office: Office) -> None:
    office.judge(spell("p1", 0), at_h=2)
    office.judge(replace(spell("p1", 0, 5), detail={"rule": "R1", "end_reason": "silence"}), at_h=14)
    assert office.stories()[0].ticket.recovered_ms is None


def test_a_room_that_stays_cold_after_the_stop_was_closed_gets_its_own(office: Office) -> None:
    watch(office, [2], stop(0), spell("p1", 1), spell("p2", 1))
    live(office, 1, 2.1)
    warm = replace(spell("p2", 1, 9), detail={"rule": "R1", "end_reason": "recovered"})
    watch(office, [50], stop(0, 3), spell("p1", 1), warm)
    assert len(office.stories()) == 1
    do(office, 1, Deed.FOLLOW_UP, 51)
    watch(office, [51.1], stop(0, 3), spell("p1", 1), warm)
    main, own = office.stories()
    assert main.ticket.state == "closed"
    assert [row.subject_id for row in main.findings] == ["b1", "p2"]
    assert (own.ticket.state, own.ticket.room_id, own.ticket.opened_ms) == ("open", "p1", at(51))


def test_what_turns_cold_long_after_the_stop_has_a_cause_of_its_own(office: Office) -> None:
    watch(office, [2], stop(0))
    watch(office, [30], stop(0, 3), spell("p1", 8.9), spell("p2", 9.1))
    assert [[row.subject_id for row in one.findings] for one in office.stories()] == [["b1", "p1"], ["p2"]]


def test_what_turns_cold_after_the_repair_is_a_new_ticket(office: Office) -> None:
    office.judge(spell("p1", 0), at_h=2)
    live(office, 1, 2.1)
    warm = replace(spell("p1", 0, 5), detail={"rule": "R1", "end_reason": "recovered"})
    office.judge(warm, spell("p1", 20), at_h=22)
    assert [one.ticket.state for one in office.stories()] == ["finished", "open"]


def test_two_people_do_not_overwrite_each_other(office: Office) -> None:
    office.judge(spell("p1", 0), at_h=2)
    seen = office.stories()[0].events[-1].id
    with office.records.write() as session:
        act(session, 1, Done(Deed.TAKE, "s1", at(2.1), last_event=seen), STANDARD)
    with pytest.raises(BadInput, match="somebody else"), office.records.write() as session:
        act(session, 1, Done(Deed.TAKE, "s2", at(2.2), last_event=seen), STANDARD)
    assert office.stories()[0].ticket.responsible == "s1"


def test_an_illegal_deed_leaves_nothing(office: Office) -> None:
    office.judge(spell("p1", 0), at_h=2)
    with pytest.raises(BadInput, match="not possible"), office.records.write() as session:
        act(session, 1, Done(Deed.FINISH, "s1", at(2.1), {"text": "x"}), STANDARD)
    with pytest.raises(BadInput, match="comment needs text"), office.records.write() as session:
        act(session, 1, Done(Deed.COMMENT, "s1", at(2.1)), STANDARD)
    assert len(office.stories()[0].events) == 2
    with office.records.read() as session:
        assert list(verify(session)) == []


def test_every_notification_goes_out_and_again_when_the_answer_was_lost(office: Office, tmp_path: Path) -> None:
    office.judge(spell("p1", 0), at_h=2)
    path, now = tmp_path / "out.jsonl", [1_000]
    notifier = Notifier(office.records, LogChannel(path), Bell(), lambda: now[0])
    path.mkdir()
    assert not notifier.pass_once(), "the channel cannot take them"
    path.rmdir()
    assert not notifier.pass_once(), "they wait before they are tried again"
    now[0] += 60_000
    assert notifier.pass_once()
    assert not notifier.pass_once()
    said = [json.loads(line) for line in path.read_text().splitlines()]
    assert [one["recipient"] for one in said] == ["dispatch", "station:s1"]
    assert said[0]["text"].startswith("【新工单】1号 室温低于18℃：s1供热站 b1 p1，自11月25日8时00分起（R1）。请于")


def test_a_channel_that_took_them_before_the_power_cut_gets_them_again(office: Office, tmp_path: Path) -> None:
    office.judge(spell("p1", 0), at_h=2)
    path = tmp_path / "out.jsonl"

    class Cut(LogChannel):
        def send(self, notifications: Sequence[OutboxRow]) -> None:
            super().send(notifications)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Notifier(office.records, Cut(path), Bell(), lambda: 1).pass_once()
    assert Notifier(office.records, LogChannel(path), Bell(), lambda: 1).pass_once()
    keys = [json.loads(line)["key"] for line in path.read_text().splitlines()]
    assert keys == keys[:2] * 2


def test_a_line_that_a_power_cut_left_unfinished_spoils_no_other(office: Office, tmp_path: Path) -> None:
    office.judge(spell("p1", 0), at_h=2)
    path = tmp_path / "out.jsonl"
    path.write_text('{"key": "event-1:dis')
    assert Notifier(office.records, LogChannel(path), Bell(), lambda: 1).pass_once()
    cut, *whole = path.read_text().splitlines()
    assert cut == '{"key": "event-1:dis'
    assert [json.loads(line)["recipient"] for line in whole] == ["dispatch", "station:s1"]


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        LogChannel(tmp_path / "no" / "folder").send([])


def test_nothing_of_it_slips_past_the_audit_trail(office: Office) -> None:
    watch(office, [2, 7.5], stop(0), spell("p1", 1))
    live(office, 1, 7.6)
    with office.records.write() as session:
        notice = session.get_one(NoticeRow, 1)
        assert notice.state == NoticeState.PUBLISHED
    with office.records.read() as session:
        assert list(verify(session)) == []
