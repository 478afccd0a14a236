"""Tickets in the records: what `decide` says is written, whatever database keeps it."""

from __future__ import annotations

from collections.abc import Sequence

from dispatch.tickets import Dispatch, dispatch
from heatwatch.domain.findings import Finding, FindingKind, SubjectKind
from heatwatch.domain.instants import HOUR_MS, MINUTE_MS
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import ClockRule, Judging, RoomClass, Standard, Version
from heatwatch.domain.tickets import TicketKind, TicketState
from heatwatch.records.database import Records
from heatwatch.usecases.findings import changed_since, last_change, record_findings
from heatwatch.usecases.tickets import Story, count_tickets, story, tickets

CLOCKS = {
    "low_temperature": (ClockRule("contact", 30, "R16"),),
    "heat_outage": (ClockRule("start", 0, "R11"), ClockRule("notice", 480, "R12", "", "cause")),
}
STANDARD = Standard((Version(None, {}, clocks=CLOCKS),), Judging())
REGISTER = Register.of(PointRow(f"p{number}", "b1", "s1", RoomClass.APARTMENT) for number in range(1, 6))


def spell(point: str, start_h: int) -> Finding:
    start = start_h * HOUR_MS
    subject = (FindingKind.COLD_SPELL, SubjectKind.POINT, point)
    return Finding(*subject, "b1", "s1", start, None, open=True, confirmed_ms=start + 1, detail={"rule": "R1"})


def stop(start_h: int, *, station: bool = False) -> Finding:
    subject = (SubjectKind.STATION, "s1", "") if station else (SubjectKind.BUILDING, "b1", "b1")
    start = start_h * HOUR_MS
    return Finding(
        FindingKind.HEAT_OUTAGE, *subject, "s1", start, None, open=True, confirmed_ms=None, detail={"points": 5}
    )


def judge(records: Records, *found: Finding, at_h: int) -> None:
    """Record what was found and let tickets follow, as of an hour."""
    subjects = {(one.kind, one.subject_kind, one.subject_id) for one in found}
    by = Dispatch(at_h * HOUR_MS, STANDARD, REGISTER, lambda points, start, _: [(p, start, 17.0) for p in points])
    with records.write() as session:
        seen = last_change(session, hold=True)
        record_findings(session, found, subjects, by.at_ms)
        dispatch(session, changed_since(session, seen), by)


def stories(records: Records) -> Sequence[Story]:
    with records.read() as session:
        told = [story(session, ticket.id) for ticket in tickets(session)]
    return sorted((one for one in told if one is not None), key=lambda one: one.ticket.id)


def test_a_group_takes_over_the_tickets_of_its_rooms(records: Records) -> None:
    judge(records, spell("p1", 0), spell("p2", 0), at_h=1)
    judge(records, spell("p3", 2), at_h=3)
    first, second, group = stories(records)
    assert [one.ticket.state for one in (first, second, group)] == ["merged", "merged", "open"]
    assert first.ticket.merged_into == second.ticket.merged_into == group.ticket.id
    assert [row.subject_id for row in group.findings] == ["p1", "p2", "p3"]
    assert [point for point, _, _ in group.ticket.evidence] == ["p1", "p2", "p3"]
    assert first.findings == second.findings == []


def test_a_station_takes_over_its_buildings_with_the_earlier_notice(records: Records) -> None:
    judge(records, stop(0), at_h=1)
    judge(records, spell("p1", 1), at_h=2)
    judge(records, stop(3, station=True), at_h=4)
    building, station = stories(records)
    assert (building.ticket.state, building.ticket.merged_into) == ("merged", station.ticket.id)
    assert [row.subject_kind for row in station.findings] == ["building", "point", "station"]
    assert {one.step: one.due_ms for one in station.clocks} == {"start": 4 * HOUR_MS, "notice": 480 * MINUTE_MS}


def test_lists_are_filtered_and_come_in_parts(records: Records) -> None:
    judge(records, spell("p1", 0), at_h=1)
    judge(records, stop(5), at_h=6)
    with records.read() as session:
        assert [row.kind for row in tickets(session)] == ["heat_outage", "low_temperature"]
        assert [row.kind for row in tickets(session, limit=1, offset=1)] == ["low_temperature"]
        assert [row.id for row in tickets(session, emergency=True)] == [2]
        assert [row.id for row in tickets(session, kind=TicketKind.LOW_TEMPERATURE, building="b1", station="s1")] == [1]
        assert count_tickets(session, state=TicketState.OPEN) == 2
        assert count_tickets(session, state=TicketState.MERGED) == 0
        assert story(session, 99) is None
