"""Watching heatwatch: live, ready, and figures for Prometheus that every process tells alike."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from api import observing, problems
from api.observing import Figures, Watched
from heatwatch.records.audit import acting
from heatwatch.records.database import Records
from heatwatch.records.progress import advance
from heatwatch.records.schema import (
    Arrival,
    Base,
    FindingRow,
    JournalPosition,
    MessageCount,
    NoticeRow,
    OutboxRow,
    ReadingCount,
    TicketClock,
    TicketRow,
)
from tests.shelf import Shelf

NOW = 1_764_038_400_000
DOCUMENT = Path(__file__).parents[2] / "docs" / "observing.md"
Figure = Mapping[tuple[str, ...], float]


@pytest.fixture
def broken(tmp_path: Path) -> Records:
    """Give records that do not answer."""
    return Records(f"sqlite:///{tmp_path / 'nowhere' / 'records.sqlite'}")


def keep(records: Records, *rows: Base) -> None:
    with records.write() as session:
        acting(session, "a test", NOW)
        for row in rows:
            session.add(row)
            session.flush()


def finding(kind: str, *, is_open: bool = True, withdrawn: bool = False) -> FindingRow:
    place = {"subject_kind": "point", "subject_id": "p1", "building_id": "b1", "station_id": "s1"}
    when = {"start_ms": NOW, "issued_ms": NOW, "changed_ms": NOW, "change_seq": 1}
    return FindingRow(kind=kind, open=is_open, withdrawn=withdrawn, detail={}, **place, **when)


def ticket(number: int, kind: str, state: str) -> TicketRow:
    place = {"scope": "room", "station_id": "s1", "building_id": "b1", "rule": "R1"}
    when = {"opened_ms": NOW, "cause_start_ms": NOW}
    return TicketRow(id=number, kind=kind, state=state, emergency=False, evidence=[], **place, **when)


def clock(step: str, rule: str, due_ms: int, *, done_ms: int | None = None, off: bool = False) -> TicketClock:
    return TicketClock(ticket_id=1, step=step, rule=rule, source="", due_ms=due_ms, done_ms=done_ms, off=off)


def notice(kind: str, state: str) -> NoticeRow:
    said = {"title": "", "text": "", "building_ids": [], "station_id": "s1"}
    return NoticeRow(ticket_id=1, kind=kind, state=state, stop_start_ms=NOW, drafted_ms=NOW, **said)


def unsent(key: str, created_ms: int, sent_ms: int | None = None) -> OutboxRow:
    return OutboxRow(key=key, kind="k", recipient="company", text="", created_ms=created_ms, sent_ms=sent_ms)


def application(watched: Watched) -> FastAPI:
    app = FastAPI()
    problems.install(app)
    observing.install(app, watched)
    return app


def watching(records: Records, shelf: Shelf | None = None, **more: object) -> Watched:
    asked: dict[str, object] = {"checks": {}, "clock": lambda: NOW, **more}
    return Watched(records, shelf or Shelf(), **asked)  # type: ignore[arg-type]


def ask(app: FastAPI, path: str) -> httpx.Response:
    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(path)

    return asyncio.run(once())


def figures(watched: Watched) -> dict[str, dict[tuple[str, ...], float]]:
    """Scrape, and return each figure's values by the values of its labels."""
    told: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(ask(application(watched), "/metrics").text):
        for sample in family.samples:
            told.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return told


class TestHealth:
    """Alive is not ready."""

    def test_it_lives_while_nothing_answers(self, broken: Records) -> None:
        shelf = Shelf()
        shelf.answers = False
        answer = ask(application(watching(broken, shelf, checks={"broker": lambda: False})), "/health/live")
        assert (answer.status_code, answer.json()) == (200, {"live": True})

    def test_it_is_ready_when_every_check_holds(self, records: Records) -> None:
        answer = ask(
            application(watching(records, checks={"ingest": lambda: True, "broker": lambda: True})), "/health/ready"
        )
        names = ["records", "store", "ingest", "broker"]
        assert answer.status_code == 200
        assert answer.json() == {"ready": True, "checks": [{"name": name, "ok": True} for name in names]}

    @pytest.mark.parametrize("away", ["records", "store", "analytics", "broker"])
    def test_it_is_not_ready_when_one_does_not_and_names_it(self, records: Records, broken: Records, away: str) -> None:
        shelf = Shelf()
        shelf.answers = away != "store"
        checks = {name: lambda name=name: name != away for name in ("analytics", "broker")}
        watched = watching(broken if away == "records" else records, shelf, checks=checks)
        answer = ask(application(watched), "/health/ready")
        assert answer.status_code == 503
        assert not answer.json()["ready"]
        assert [check["name"] for check in answer.json()["checks"] if not check["ok"]] == [away]
        assert all(check.keys() == {"name", "ok"} for check in answer.json()["checks"])


class TestFigures:
    """What Prometheus is told."""

    def test_both_lines_of_the_delivery_identity_term_by_term(self, records: Records) -> None:
        keep(
            records,
            JournalPosition(worker="w1", sequence=10),
            MessageCount(worker="w1", sender="p1", decoded=5, no_reading=1, quarantined=1),
            MessageCount(worker="w1", sender="p2", decoded=3, no_reading=0, quarantined=0),
            ReadingCount(worker="w1", source="p1", decoded=9, stored=4, duplicate=3, conflict=1, quarantined=1),
        )
        told = figures(watching(records, journals=lambda: {"w1": 12}))
        assert told["heatwatch_messages_received_total"] == {("w1",): 12}
        assert told["heatwatch_messages_total"] == {
            ("decoded", "w1"): 8,
            ("no_reading", "w1"): 1,
            ("quarantined", "w1"): 1,
        }
        assert told["heatwatch_messages_waiting"] == {("w1",): 2}
        assert told["heatwatch_readings_decoded_total"] == {("w1",): 9}
        assert sum(told["heatwatch_readings_total"].values()) == 9
        assert told["heatwatch_readings_total"]["duplicate", "w1"] == 3
        assert told["heatwatch_readings_waiting"] == {("w1",): 0}

    def test_two_processes_tell_the_same_but_for_the_journal_that_one_has(self, records: Records) -> None:
        keep(records, JournalPosition(worker="w1", sequence=10), ticket(1, "leak", "open"), finding("cold_spell"))
        with_journal = figures(watching(records, journals=lambda: {"w1": 12}))
        without = figures(watching(records))
        own = {"heatwatch_messages_received_total", "heatwatch_messages_waiting"}
        assert with_journal.keys() - without.keys() == own
        assert {name: told for name, told in with_journal.items() if name not in own} == without

    def test_what_was_stored_meanwhile_counts_as_received(self, records: Records) -> None:
        keep(records, JournalPosition(worker="w1", sequence=10))
        told = figures(watching(records, journals=lambda: {"w1": 7}))
        assert told["heatwatch_messages_received_total"] == {("w1",): 10}
        assert told["heatwatch_messages_waiting"] == {("w1",): 0}

    def test_how_far_each_role_is_behind(self, records: Records) -> None:
        keep(records, *(Arrival(worker="w1", sequence=n, touched=[], tick=None) for n in (1, 2, 3)))
        with records.write() as session:
            advance(session, "analytics", 1, NOW - 1500, None)
            advance(session, "dispatch", 1, NOW - 3000, None)
        told = figures(watching(records))
        assert told["heatwatch_role_lag_seconds"] == {("analytics",): 1.5, ("dispatch",): 3.0}
        assert told["heatwatch_arrivals_unjudged"] == {(): 2}

    def test_findings_tickets_and_notices_by_kind_none_as_none(self, records: Records) -> None:
        keep(records, finding("cold_spell"), finding("cold_spell", is_open=False))
        keep(records, finding("heat_outage", withdrawn=True))
        keep(records, ticket(1, "leak", "open"), ticket(2, "leak", "open"), ticket(3, "heat_outage", "closed"))
        keep(records, notice("stop", "draft"))
        told = figures(watching(records))
        kinds = {("cold_spell",): 1, ("heat_outage",): 0, ("data_outage",): 0, ("sensor_fault",): 0}
        assert told["heatwatch_findings_open"] == kinds
        assert _some(told["heatwatch_tickets"]) == {("leak", "open"): 2, ("heat_outage", "closed"): 1}
        assert told["heatwatch_tickets"]["repair", "taken"] == 0
        assert _some(told["heatwatch_notices"]) == {("stop", "draft"): 1}
        assert told["heatwatch_notices"]["restoration", "published"] == 0

    def test_deadlines_that_run_and_those_that_have_passed(self, records: Records) -> None:
        keep(records, ticket(1, "leak", "open"))
        keep(records, clock("a", "R16", NOW - 1), clock("b", "R16", NOW), clock("c", "R18", NOW + 1))
        keep(records, clock("d", "R18", NOW - 1, done_ms=NOW), clock("e", "R12", NOW - 1, off=True))
        told = figures(watching(records))
        assert told["heatwatch_ticket_clocks_running"] == {("R12",): 0, ("R16",): 2, ("R18",): 1}
        assert told["heatwatch_ticket_clocks_overdue"] == {("R12",): 0, ("R16",): 1, ("R18",): 0}

    def test_what_nobody_has_been_told_yet(self, records: Records) -> None:
        keep(records, unsent("a", NOW - 9000, sent_ms=NOW), unsent("b", NOW - 5000), unsent("c", NOW - 1))
        told = figures(watching(records))
        assert told["heatwatch_outbox_unsent"] == {(): 2}
        assert told["heatwatch_outbox_oldest_unsent_age_seconds"] == {(): 5.0}

    def test_before_a_replay_has_begun_there_is_no_clock_to_be_behind(self, records: Records) -> None:
        keep(records, ticket(1, "leak", "open"), clock("a", "R16", NOW))
        with records.write() as session:
            advance(session, "analytics", 1, NOW, None)
        told = figures(watching(records, clock=lambda: None))
        assert "heatwatch_role_lag_seconds" not in told
        assert told["heatwatch_ticket_clocks_overdue"] == {("R16",): 0}

    def test_how_long_the_audit_trail_is(self, records: Records) -> None:
        before = figures(watching(records))["heatwatch_audit_entries_total"][()]
        keep(records, ticket(1, "leak", "open"), ticket(2, "leak", "open"))
        assert figures(watching(records))["heatwatch_audit_entries_total"] == {(): before + 2}

    def test_one_reading_of_the_records_serves_a_second(self, records: Records) -> None:
        now_s = [100.0]
        told = Figures(watching(records), timer=lambda: now_s[0])

        def waiting() -> float:
            (value,) = (one.samples[0].value for one in told.collect() if one.name == "heatwatch_outbox_unsent")
            return value

        assert waiting() == 0
        keep(records, unsent("a", NOW))
        now_s[0] += 0.9
        assert waiting() == 0
        now_s[0] += 0.1
        assert waiting() == 1

    def test_they_are_unavailable_while_the_records_are(self, broken: Records) -> None:
        assert ask(application(watching(broken)), "/metrics").status_code == 503

    def test_each_application_has_figures_of_its_own(self, records: Records) -> None:
        """The library's registry for everything in a process has none of them."""
        figures(watching(records))
        figures(watching(records))
        assert not [family for family in REGISTRY.collect() if family.name.startswith("heatwatch")]


def _some(told: Figure) -> Figure:
    return {labels: value for labels, value in told.items() if value}


class TestConventions:
    """What `promtool check metrics` asks for, and the document."""

    @pytest.fixture
    def families(self, records: Records) -> list[Metric]:
        answer = ask(application(watching(records, journals=lambda: {"w1": 0})), "/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        return list(text_string_to_metric_families(answer.text))

    def test_names_types_and_units_follow_the_conventions(self, families: list[Metric]) -> None:
        counters = {family.name for family in families if family.type == "counter"}
        others = {family.name for family in families if family.type == "gauge"}
        assert counters | others == {family.name for family in families}
        for name in counters | others:
            assert re.fullmatch(r"heatwatch(_[a-z]+)+", name)
            assert not re.search(r"_(ms|milliseconds|minutes|hours|days|percent|counter|gauge)(_|$)", name)
        assert not [name for name in others if re.search(r"_(total|count|sum|bucket)$", name)]
        assert all(family.documentation.endswith(".") for family in families)

    def test_the_document_lists_each_with_its_type_labels_and_meaning(
        self, records: Records, families: list[Metric]
    ) -> None:
        labels = _labels(watching(records, journals=lambda: {"w1": 0}))
        told = [
            (f"{family.name}{'_total' * (family.type == 'counter')}", family.type, family.documentation)
            for family in families
        ]
        rows = re.findall(
            r"^\| `(heatwatch_\w+)` \| (\w+) \| (.*) \| (.*) \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE
        )
        assert [(name, kind, meaning) for name, kind, _, meaning in rows] == told
        assert {name: tuple(re.findall(r"`(\w+)`", said)) for name, _, said, _ in rows} == labels


def _labels(watched: Watched) -> dict[str, tuple[str, ...]]:
    """Return the labels that each figure declares."""
    return {
        family.name + {"counter": "_total", "info": "_info"}.get(family.type, ""): ("version",)
        if family.type == "info"
        else tuple(getattr(family, "_labelnames", ()))
        for family in Figures(watched).collect()
    }
