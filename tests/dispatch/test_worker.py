"""The dispatch role: tickets follow findings, in one transaction with how far it has come."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select

from heatwatch.domain.findings import Finding
from heatwatch.domain.instants import HOUR_MS, MINUTE_MS, iso
from heatwatch.errors import Unavailable
from heatwatch.records.database import Records
from heatwatch.records.progress import advance, progress
from heatwatch.records.schema import (
    AuditEntry,
    NoticeRow,
    OutboxRow,
    TicketClock,
    TicketEvent,
    TicketFinding,
    TicketRow,
)
from heatwatch.usecases.tickets import Story, count_tickets
from tests.dispatch.office import T0, Office, at, spell, stop
from tests.ledger import fresh_records
from tests.shelf import Shelf


def _events(told: Story) -> list[str]:
    """Return what the log says of findings; what clocks and notices say stands in tests of their own."""
    ours = ("opened", "merged", "took_over", "cause_earlier")
    return [one.kind for one in told.events if one.kind in ours or one.kind.startswith("finding")]


def test_a_confirmed_spell_opens_a_ticket_with_its_clocks(office: Office) -> None:
    """They run from when the company could know, not from when the room began to cool."""
    office.judge(spell("p1", 0), at_h=2)
    (told,) = office.stories()
    ticket = told.ticket
    assert (ticket.kind, ticket.state, ticket.emergency, ticket.rule) == ("low_temperature", "open", False, "R1")
    assert (ticket.scope, ticket.room_id, ticket.point_id) == ("room", "p1", "p1")
    assert (ticket.opened_ms, ticket.cause_start_ms) == (at(2), at(0))
    assert [(one.step, one.rule, one.due_ms - at(2)) for one in told.clocks] == [
        ("contact", "R16", 30 * MINUTE_MS),
        ("opinion", "R15", 60 * MINUTE_MS),
        ("on_site", "R16", 120 * MINUTE_MS),
        ("finish", "R18", 1440 * MINUTE_MS),
    ]
    assert [(one.kind, one.who, one.at_ms) for one in told.events] == [
        ("opened", "heatwatch", at(2)),
        ("finding_added", "heatwatch", at(2)),
    ]


def test_an_unconfirmed_spell_opens_none_until_it_is_confirmed(office: Office) -> None:
    unsure = replace(spell("p1", 0), confirmed_ms=None)
    assert office.judge(unsure, at_h=0.5).picture() == []
    assert len(office.judge(spell("p1", 0), at_h=1).picture()) == 1


def test_a_spell_that_is_over_when_it_is_seen_opens_one_and_says_so(office: Office) -> None:
    office.judge(spell("p1", 0, 3), at_h=9)
    (told,) = office.stories()
    assert _events(told) == ["opened", "finding_added", "finding_ended"]
    assert told.events[-1].detail == {
        "finding_id": told.findings[0].id,
        "end": iso(at(3)),
        "trace": "",
    }


def test_rooms_are_the_registers(office: Office) -> None:
    """Two points of one room are one ticket."""
    office.register("p1", "p2", room_id="301")
    office.judge(spell("p1", 0)).judge(spell("p2", 1), at_h=3)
    assert office.picture() == [("low_temperature", "room", "open", [1, 2])]
    assert office.stories()[0].ticket.room_id == "301"


def test_most_rooms_of_a_building_are_one_ticket(office: Office) -> None:
    office.register("p1", "p2", "p3", "p4", "p5")
    office.judge(spell("p1", 0), spell("p2", 0)).judge(spell("p3", 1), at_h=3).judge(spell("p4", 2), at_h=4)
    assert office.picture() == [
        ("low_temperature", "room", "merged", []),
        ("low_temperature", "room", "merged", []),
        ("low_temperature", "building", "open", [1, 2, 3, 4]),
    ]
    told = office.stories()
    assert [one.ticket.merged_into for one in told] == [3, 3, None]
    assert [_events(one)[-1] for one in told[:2]] == ["merged", "merged"]
    assert _events(told[2]) == ["opened", "finding_added", "took_over", "took_over", "finding_added"]


def test_a_heat_outage_is_an_emergency_at_once(office: Office) -> None:
    """What is due of R12 counts from the stop itself."""
    office.judge(stop(0), at_h=3)
    (told,) = office.stories()
    ticket = told.ticket
    assert (ticket.kind, ticket.emergency, ticket.rule, ticket.scope) == ("heat_outage", True, "R11", "building")
    due = {one.step: one.due_ms for one in told.clocks}
    assert due == {
        "start": at(3),
        "opinion": at(4),
        "warning": at(6),
        "notice": at(8),
        "finish": at(27),
    }


def test_no_stop_reaches_its_notice_unannounced_because_it_joined_another(office: Office) -> None:
    """A station's outage that takes in an older one of a building is due when that one was."""
    office.judge(stop(0), at_h=1).judge(stop(4, station=True), at_h=5)
    assert office.picture() == [("heat_outage", "building", "merged", []), ("heat_outage", "station", "open", [1, 2])]
    told = office.stories()[1]
    assert told.ticket.cause_start_ms == at(0)
    assert {one.step: one.due_ms for one in told.clocks if one.rule == "R12"} == {"warning": at(6), "notice": at(8)}
    assert told.events[-1].kind == "cause_earlier"
    assert told.events[-1].detail == {"cause_start": iso(at(0)), "steps": ["warning", "notice"]}


def test_a_stop_that_turns_out_to_have_begun_earlier_is_due_earlier_never_later(office: Office) -> None:
    office.judge(stop(2), at_h=3).judge(stop(1), at_h=4).judge(stop(2), at_h=5)
    (told,) = office.stories()
    assert {one.step: one.due_ms for one in told.clocks if one.rule == "R12"} == {"warning": at(7), "notice": at(9)}


def test_a_ticket_follows_its_findings_to_their_end(office: Office) -> None:
    office.judge(spell("p1", 0)).judge(spell("p1", 0, 5), at_h=6).judge(spell("p1", 0), at_h=7)
    office.judge(gone=[spell("p1", 0)], at_h=8)
    (told,) = office.stories()
    assert _events(told)[2:] == ["finding_ended", "finding_open", "finding_withdrawn"]
    assert told.ticket.state == "open"


def test_amendments_that_say_nothing_new_of_the_end_are_no_events(office: Office) -> None:
    office.judge(spell("p1", 0)).judge(replace(spell("p1", 0), detail={"rule": "R1", "violation_h": 2.0}), at_h=3)
    assert len(_events(office.stories()[0])) == 2


def test_evidence_is_what_violated_up_to_the_confirmation(records: Records) -> None:
    """Of the point's own device, as measured, below what its hour asks: 18 by day, 16 by night; at most 24."""
    night = (22 - 8) * HOUR_MS
    cold = [("d1", T0 + minute * MINUTE_MS, 17.0) for minute in range(0, 60, 2)]
    shelf = Shelf(*cold, ("p1", T0 + MINUTE_MS, 17.9), ("d2", T0, 5.0), ("d1", T0 + MINUTE_MS, 18.0))
    shelf.keep(*[("d1", T0 - HOUR_MS, 10.0), ("d1", T0 + 2 * HOUR_MS, 10.0), ("d1", T0 + night, 17.0)])
    office = Office(records, shelf)
    office.register("p1", device_id="d1", offset_k=0.5)
    office.judge(spell("p1", 0))
    (told,) = office.stories()
    # 17.9 is 18.4 with the calibration, warm enough; what was 17.0 is 17.5.
    assert told.ticket.evidence == [["p1", T0 + minute * MINUTE_MS, 17.0] for minute in range(0, 48, 2)]


def test_evidence_is_no_reading_that_is_not_valid(records: Records) -> None:
    """No number, out of range once calibrated, or contradicted by another value at its time."""
    cold = [("p1", T0 + minute * MINUTE_MS, temp_c) for minute, temp_c in enumerate([17.0, -31.0, -40.0, -np.inf])]
    shelf = Shelf(*cold, ("p1", T0 + 5 * MINUTE_MS, 15.0), ("d1", T0 + 5 * MINUTE_MS, 14.0))
    shelf.keep(*[("p1", T0 + 6 * MINUTE_MS, 15.0), ("d1", T0 + 6 * MINUTE_MS, 15.0)])
    shelf.keep(*[("p1", T0 + 7 * MINUTE_MS, 15.0), ("p1", T0 + 7 * MINUTE_MS, np.nan)])
    office = Office(records, shelf)
    office.register("p1", device_id="d1", offset_k=2.0)
    office.judge(spell("p1", 0))
    told = [((time_ms - T0) // MINUTE_MS, temp_c) for _, time_ms, temp_c in office.stories()[0].ticket.evidence]
    assert told == [(1, -31.0), (6, 15.0), (7, 15.0)]


def test_a_stop_withdrawn_and_found_again_is_the_same_emergency(office: Office) -> None:
    office.judge(stop(2), at_h=3).judge(gone=[stop(2)], at_h=4).judge(stop(1), at_h=5)
    (told,) = office.stories()
    assert {row.id for row in told.findings} == {1, 2}
    assert told.ticket.cause_start_ms == at(1)


def test_evidence_of_a_group_is_of_all_its_rooms(records: Records) -> None:
    rows = [(f"p{number}", T0 + number, 15.0 + number / 10) for number in range(1, 5)]
    office = Office(records, Shelf(*rows))
    office.register("p1", "p2", "p3", "p4")
    office.judge(*(spell(f"p{number}", 0) for number in range(1, 5)))
    assert [reading[0] for reading in office.stories()[0].ticket.evidence] == ["p1", "p2", "p3", "p4"]


def test_it_is_done_with_the_tick_that_analytics_has_done(office: Office) -> None:
    office.judge(spell("p1", 0), at_h=2).judge(at_h=3)
    with office.records.read() as session:
        led, followed = progress(session, "analytics"), progress(session, "dispatch")
        assert led is not None
        assert followed is not None
        assert (followed.arrival_seq, followed.as_of_ms, followed.tick) == (led.arrival_seq, led.as_of_ms, led.tick)


def test_it_does_nothing_before_analytics_has_a_moment(office: Office) -> None:
    assert not office.worker.pass_once()
    with office.records.write() as session:
        advance(session, "analytics", 1, None, None)
    assert not office.worker.pass_once()


def test_looking_in_vain_writes_nothing(office: Office) -> None:
    office.judge(spell("p1", 0))
    written: list[str] = []
    event.listen(office.records.engine, "commit", lambda _: written.append("commit"))
    assert not office.worker.pass_once()
    assert not office.hire().pass_once()
    assert written == []


def test_a_pass_that_fails_leaves_nothing_and_is_made_up_for(office: Office) -> None:
    """The store is away while a ticket needs its evidence."""
    office.shelf.answers = False
    with pytest.raises(Unavailable):
        office.judge(spell("p1", 0))
    assert office.picture() == []
    office.shelf.answers = True
    assert office.worker.pass_once()
    assert len(office.picture()) == 1


def test_the_role_works_until_it_is_told_to_stop(office: Office) -> None:
    """It outlives a store that is away, and rings when it has done something."""
    office.shelf.answers = False
    stop_, rung = threading.Event(), office.bell.heard()
    role = threading.Thread(target=office.worker.run, args=[stop_])
    role.start()
    office.find(spell("p1", 0))
    office.bell.ring()
    stop_.wait(0.2)
    office.shelf.answers = True
    with office.records.read() as session:
        for _ in range(100):
            if count_tickets(session):
                break
            session.rollback()
            stop_.wait(0.05)
    stop_.set()
    role.join(5)
    assert not role.is_alive()
    assert len(office.picture()) == 1
    assert office.bell.heard() >= rung + 2


hours = st.tuples(st.integers(0, 20), st.none() | st.integers(1, 6))
judged = st.dictionaries(st.sampled_from(["p1", "p2", "p3", "p4", "b1", "s1"]), hours, max_size=6)


def _found(judgement: dict[str, tuple[int, int | None]]) -> list[Finding]:
    found = []
    for subject, (start, length) in judgement.items():
        end = None if length is None else start + length
        found.append(spell(subject, start, end) if subject[0] == "p" else stop(start, end, station=subject == "s1"))
    return found


def _everything(records: Records) -> list[list[tuple[Any, ...]]]:
    with records.read() as session:
        kept = (TicketRow, TicketFinding, TicketEvent, TicketClock, NoticeRow, OutboxRow, AuditEntry)
        tables = [table.__table__ for table in kept]
        return [[tuple(row) for row in session.execute(select(table))] for table in tables]


SUBJECTS = [spell(f"p{number}", 0) for number in range(1, 5)] + [stop(0), stop(0, station=True)]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(judgements=st.lists(judged, min_size=1, max_size=5), restarts=st.data())
def test_a_restart_between_any_two_passes_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, judgements: list[dict[str, Any]], restarts: st.DataObject
) -> None:
    """Whatever is judged and judged otherwise; and no finding that stands has two tickets or none."""
    steady, restarted = (Office(fresh_records(tmp_path_factory.mktemp(name))) for name in ("steady", "restarted"))
    for one in (steady, restarted):
        one.register("p1", "p2", "p3", "p4")
    for at_h, judgement in enumerate(judgements, 30):
        steady.judge(*_found(judgement), at_h=at_h, gone=SUBJECTS)
        if restarts.draw(st.booleans()):
            restarted.worker = restarted.hire()
        restarted.judge(*_found(judgement), at_h=at_h, gone=SUBJECTS)
    assert _everything(steady.records) == _everything(restarted.records)
    homes = {row.id: one.ticket for one in steady.stories() for row in one.findings if not row.withdrawn}
    assert len(homes) == len(judgements[-1])
    assert {ticket.state for ticket in homes.values()} <= {"open"}
    for one in (steady, restarted):
        one.records.close()
