"""The trace of a finding: the message that led to its last change; and the figures, on each kind of records."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import select

from api.observing import Figures, Watched
from heatwatch.domain.findings import Finding, FindingKind, SubjectKind
from heatwatch.domain.instants import HOUR_MS
from heatwatch.domain.traces import CLOCK
from heatwatch.records.audit import acting
from heatwatch.records.database import Records
from heatwatch.records.schema import FindingRow, MessageCount, OutboxRow, ReadingCount, TicketClock, TicketRow
from heatwatch.usecases.findings import record_findings
from tests.shelf import Shelf

AS_OF = 100 * HOUR_MS
SUBJECT = (FindingKind.COLD_SPELL, SubjectKind.POINT, "p1")


def spell(start_h: int, end_h: int | None = None) -> Finding:
    end_ms = None if end_h is None else end_h * HOUR_MS
    return Finding(*SUBJECT, "b1", "s1", start_h * HOUR_MS, end_ms, end_ms is None, None, {"rule": "R1"})


def record(records: Records, *found: Finding, trace: str | None = None) -> list[Finding]:
    """Record what is found now, all of one trace; return of which findings it was asked."""
    asked: list[Finding] = []

    def traces(finding: Finding) -> str:
        asked.append(finding)
        return trace or ""

    with records.write() as session:
        if trace is None:
            record_findings(session, found, [SUBJECT], AS_OF)
        else:
            record_findings(session, found, [SUBJECT], AS_OF, traces=traces)
    return asked


def traces_of(records: Records) -> list[str]:
    with records.read() as session:
        return list(session.scalars(select(FindingRow.trace).order_by(FindingRow.start_ms)))


def test_what_is_made_amended_or_withdrawn_has_the_trace_of_that(records: Records) -> None:
    record(records, spell(1, 5), spell(7), trace="w/1")
    assert traces_of(records) == ["w/1", "w/1"]
    record(records, spell(1, 5), spell(7, 9), trace="w/2")
    assert traces_of(records) == ["w/1", "w/2"]
    record(records, spell(7, 9), trace="w/3")
    assert traces_of(records) == ["w/3", "w/2"]


def test_nobody_asks_for_the_trace_of_what_has_not_changed(records: Records) -> None:
    record(records, spell(1, 5), spell(7, 9), trace="w/1")
    assert record(records, spell(1, 5), spell(7, 10), spell(20), trace="w/2") == [spell(7, 10), spell(20)]
    assert record(records, spell(1, 5), spell(7, 10), spell(20), trace="w/3") == []


def test_what_no_message_led_to_leaves_the_trace_and_is_the_clocks_when_new(records: Records) -> None:
    record(records, spell(1, 3), trace="w/1")
    record(records, spell(1, 5), spell(7, 8), trace=CLOCK)
    assert traces_of(records) == ["w/1", CLOCK]
    record(records, spell(1, 5), spell(7, 9), trace="w/2")
    assert traces_of(records) == ["w/1", "w/2"]
    record(records, replace(spell(7, 9), detail={"rule": "R2"}), trace=CLOCK)
    assert traces_of(records) == ["w/1", "w/2"]


def test_without_traces_a_finding_has_none(records: Records) -> None:
    record(records, spell(1))
    assert traces_of(records) == [""]


@pytest.fixture
def busy(records: Records) -> Records:
    """Give records with something in every table that figures are read from."""
    place = {"scope": "room", "station_id": "s1", "building_id": "b1", "rule": "R1", "evidence": []}
    with records.write() as session:
        acting(session, "a test", AS_OF)
        session.add(MessageCount(worker="w1", sender="p1", decoded=5, no_reading=1, quarantined=1))
        session.add(ReadingCount(worker="w1", source="p1", decoded=5, stored=3, duplicate=2))
        when = {"opened_ms": AS_OF, "cause_start_ms": AS_OF}
        session.add(TicketRow(id=1, kind="leak", state="open", emergency=False, **place, **when))
        session.flush()
        session.add(TicketClock(ticket_id=1, step="a", rule="R16", source="", due_ms=AS_OF - 1))
        session.add(OutboxRow(key="a", kind="k", recipient="company", text="", created_ms=AS_OF - 1500))
    return records


def test_the_figures_are_the_same_on_each_kind_of_records(busy: Records) -> None:
    registry = CollectorRegistry()
    registry.register(Figures(Watched(busy, Shelf(), {}, lambda: AS_OF, lambda: {"w1": 8})))
    told = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }
    expected = {
        ("heatwatch_messages_received_total", "w1"): 8,
        ("heatwatch_messages_total", "decoded", "w1"): 5,
        ("heatwatch_readings_total", "stored", "w1"): 3,
        ("heatwatch_tickets", "leak", "open"): 1,
        ("heatwatch_ticket_clocks_running", "R16"): 1,
        ("heatwatch_ticket_clocks_overdue", "R16"): 1,
        ("heatwatch_outbox_oldest_unsent_age_seconds",): 1.5,
    }
    assert expected.items() <= told.items()
