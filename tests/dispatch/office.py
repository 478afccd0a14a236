"""Analytics and dispatch on one set of records, for tests that say what was found and look at what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dispatch.worker import DispatchWorker
from heatwatch.domain.findings import Finding, FindingKind, SubjectKind
from heatwatch.domain.instants import HOUR_MS
from heatwatch.domain.register import PointRow
from heatwatch.domain.temperature import ClassRules, ClockRule, Hours, Judging, RoomClass, Standard, Version
from heatwatch.records.database import Records
from heatwatch.records.progress import advance
from heatwatch.usecases.findings import record_findings
from heatwatch.usecases.register import import_register
from heatwatch.usecases.roles import Bell
from heatwatch.usecases.tickets import Story, story, tickets
from tests.shelf import Shelf

T0 = 1764028800000  # 2025-11-25 00:00 UTC, 08:00 in Shanghai
CLOCKS = {
    "low_temperature": (
        ClockRule("contact", 30, "R16", "九(十)"),
        ClockRule("opinion", 60, "R15", "四(五)"),
        ClockRule("on_site", 120, "R16", "九(十)"),
        ClockRule("finish", 1440, "R18", "九(十)"),
    ),
    "heat_outage": (
        ClockRule("start", 0, "R11", "九(三)"),
        ClockRule("opinion", 60, "R15", "四(五)"),
        ClockRule("warning", 360, "R12", "九(三)", "cause"),
        ClockRule("notice", 480, "R12", "九(三)", "cause"),
        ClockRule("finish", 1440, "R18", "九(十)"),
    ),
}
HOURS = (Hours(360, 1260, 18.0, rule="R1"), Hours(1260, 360, 16.0, rule="R2"))
STANDARD = Standard((Version(None, {RoomClass.APARTMENT: ClassRules(HOURS, 18.0)}, clocks=CLOCKS),), Judging())


def spell(point: str, start_h: float, end_h: float | None = None, confirmed_h: float | None = None) -> Finding:
    """Make a cold spell, confirmed an hour after its start where nothing else is said."""
    confirmed = start_h + 1 if confirmed_h is None else confirmed_h
    return Finding(
        FindingKind.COLD_SPELL,
        SubjectKind.POINT,
        point,
        "b1",
        "s1",
        at(start_h),
        None if end_h is None else at(end_h),
        end_h is None,
        at(confirmed),
        {"rule": "R1"},
    )


def stop(start_h: float, end_h: float | None = None, *, station: bool = False) -> Finding:
    subject = (SubjectKind.STATION, "s1", "") if station else (SubjectKind.BUILDING, "b1", "b1")
    end_ms = None if end_h is None else at(end_h)
    detail = {"evidence": "rooms", "confidence": 0.9, "points": 5}
    return Finding(FindingKind.HEAT_OUTAGE, *subject, "s1", at(start_h), end_ms, end_ms is None, None, detail)


def at(hours: float) -> int:
    return T0 + round(hours * HOUR_MS)


class Office:
    """Analytics and dispatch on one set of records."""

    def __init__(self, records: Records, shelf: Shelf | None = None, standard: Standard = STANDARD) -> None:
        self.records, self.shelf, self.bell = records, shelf or Shelf(), Bell()
        self.standard = standard
        self.worker = self.hire()
        self.step = 0

    def hire(self) -> DispatchWorker:
        """Return a worker that knows nothing, as after a restart."""
        return DispatchWorker(self.records, self.shelf, self.standard, self.bell, timezone="Asia/Shanghai")

    def register(self, *rooms: str, **more: Any) -> None:
        rows = [PointRow(room, "b1", "s1", RoomClass.APARTMENT, **more) for room in rooms]
        with self.records.write() as session:
            import_register(session, rows, "points.csv", "0" * 64, 1)

    def find(self, *found: Finding, at_h: float = 2.0, gone: Sequence[Finding] = ()) -> None:
        """Let analytics judge the subjects of `found` and `gone`, as of an hour."""
        subjects = {(one.kind, one.subject_kind, one.subject_id) for one in (*found, *gone)}
        self.step += 1
        with self.records.write() as session:
            record_findings(session, found, subjects, at(at_h))
            advance(session, "analytics", self.step, at(at_h), {"run": "r", "step": self.step, "now": at(at_h)})

    def judge(self, *found: Finding, at_h: float = 2.0, gone: Sequence[Finding] = ()) -> Office:
        self.find(*found, at_h=at_h, gone=gone)
        self.worker.pass_once()
        return self

    def stories(self) -> list[Story]:
        with self.records.read() as session:
            told = [story(session, ticket.id) for ticket in tickets(session)]
        return sorted((one for one in told if one is not None), key=lambda one: one.ticket.id)

    def picture(self) -> list[tuple[str, str, str, list[int]]]:
        """Return each ticket's kind, scope, state and findings."""
        return [
            (one.ticket.kind, one.ticket.scope, one.ticket.state, [row.id for row in one.findings])
            for one in self.stories()
        ]
