"""What another register or other rules would alter: the past judged by them, compared with what was issued.

Nothing is written. Only stations with a point of which the registers say something else are judged: what is found of
a point or a building does not depend on other stations. Other rules concern all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from analytics.evidence.supply_sources import SupplyWatch
from analytics.found import changed_subjects, findings_of
from analytics.layout.sources import StoredHistory
from analytics.live import LiveJudge
from heatwatch.domain.amendments import Cause
from heatwatch.domain.findings import Finding
from heatwatch.domain.instants import DAY_MS
from heatwatch.domain.register import Register
from heatwatch.domain.stops import Stop
from heatwatch.domain.temperature import Standard
from heatwatch.errors import BadInput, HeatwatchError
from heatwatch.files.rules_file import parse_standard
from heatwatch.records.database import Records
from heatwatch.records.progress import progress
from heatwatch.records.schema import FindingRow, NoticeRow, TicketFinding
from heatwatch.stores.readings import ReadingStore
from heatwatch.usecases.findings import as_finding, differences, findings, said_of
from heatwatch.usecases.jobs import DONE, FAILED, answer, next_job
from heatwatch.usecases.register import current_register, differing, differs_from, read_rows
from heatwatch.usecases.roles import Wake, follow
from heatwatch.usecases.rules import differ_from
from heatwatch.usecases.stops import stops_in_force

JOB = "foresee"
"""Work of this kind asks what a `register` (rows) or `rules` (a file's text) would alter."""


@dataclass(frozen=True, slots=True)
class Foresight:
    """What it takes to tell: the records, the readings, the rules in force, the zone and the horizon of late rows."""

    records: Records
    store: ReadingStore
    standard: Standard
    zone: ZoneInfo
    late_days: float | None = None

    def of_register(self, proposed: Register) -> dict[str, Any]:
        """Return what a register would alter, as JSON.

        Raises
        ------
        BadInput
            If nothing has been judged yet.
        """
        with self.records.read() as session:
            held = current_register(session)
        current = Register(()) if held is None else held[1]
        stations = _stations(current, proposed)
        part = Register(tuple(row for row in proposed.rows if row.station_id in stations))
        told = self._told(part, self.standard, stations)
        return told | {"from_ms": differs_from(current, proposed), "stations": sorted(stations)}

    def of_rules(self, proposed: Standard) -> dict[str, Any]:
        """Return what rules would alter, as JSON.

        Raises
        ------
        BadInput
            If no register has been imported, or nothing has been judged yet.
        """
        with self.records.read() as session:
            held = current_register(session)
        if held is None:
            raise BadInput("there is no register yet", where="rules", mend="import one with `heatwatch points import`")
        stations = {row.station_id for row in held[1].rows}
        told = self._told(held[1], proposed, stations)
        return told | {"from_ms": differ_from(self.standard, proposed), "stations": sorted(stations)}

    def _told(self, register: Register, standard: Standard, stations: set[str]) -> dict[str, Any]:
        with self.records.read() as session:
            judged = progress(session, "analytics")
            if judged is None or judged.as_of_ms is None:
                raise BadInput("nothing has been judged yet", where="analytics")
            issued = {row.id: row for row in findings(session, stations=stations)}
            as_of_ms, stops = judged.as_of_ms, stops_in_force(session)
        found = self._found(register, standard, as_of_ms, stops) if register.rows else []
        was = {number: as_finding(row) for number, row in issued.items()}
        new, altered = differences(found, was, as_of_ms, Cause(stale=True))
        with self.records.read() as session:
            rows = [_entry("new", one) for one in new]
            for number, (became, now) in sorted(altered.items()):
                entry = _entry(str(became), was[number], now)
                rows.append({**entry, "finding_id": number, **_resting(session, number)})
        order = sorted(rows, key=lambda row: (row["station_id"], row["building_id"], row["subject_id"], _start(row)))
        return {"as_of_ms": as_of_ms, "changes": order}

    def _found(self, register: Register, standard: Standard, as_of_ms: int, stops: Sequence[Stop]) -> list[Finding]:
        """Return what is found by all that judging looks at: batteries, clocks, supply and reported stops too."""
        names = sorted({row.point_id for row in register.rows})
        late_ms = None if self.late_days is None else round(self.late_days * DAY_MS)
        history = StoredHistory(self.store, register, names, late_ms, vital=True)
        judge = LiveJudge(register, standard, self.zone, history)
        told = history.signs(names)
        if told is None:
            judge.feed(*history.rows(names))
        else:
            judge.feed(*told[:3], signs=told[3])
        supply = SupplyWatch(judge.timeline, register, self.store, late_ms)
        supply.read_everything()
        found = judge.found(as_of_ms, supply.found(as_of_ms), stops)
        return list(findings_of(judge.timeline, found, changed_subjects(judge.timeline, None, found)))


class ForesightRole:
    """Answers those who ask what a change would alter, in a thread of its own: judging goes on meanwhile."""

    name = "foresight"

    def __init__(self, foresight: Foresight, bell: Wake) -> None:
        self._foresight, self._bell = foresight, bell

    def run(self, stop: threading.Event) -> None:
        """Answer until told to stop."""
        follow(self.name, self.pass_once, self._bell, stop)

    def pass_once(self) -> bool:
        """Answer whoever has waited longest; return whether anybody did."""
        with self._foresight.records.read() as session:
            waiting = next_job(session, JOB)
        if waiting is None:
            return False
        number, asked = waiting
        try:
            state, told = DONE, foreseen(self._foresight, asked)
        except HeatwatchError as error:
            state, told = FAILED, {"error": str(error)}
        with self._foresight.records.write() as session:
            answer(session, number, state, told)
        return True


def foreseen(foresight: Foresight, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is asked: about the rows of a `register`, or the text of `rules`."""
    if "rules" in asked:
        return foresight.of_rules(parse_standard(asked["rules"], where="rules"))
    return foresight.of_register(read_rows(asked["register"]))


def _stations(current: Register, proposed: Register) -> set[str]:
    """Return the stations of which registers say something else, with those that share a point with one of them."""
    stations = {row.station_id for row in differing(current, proposed)}
    rows = (*current.rows, *proposed.rows)
    while True:
        points = {row.point_id for row in rows if row.station_id in stations}
        more = stations | {row.station_id for row in rows if row.point_id in points}
        if more == stations:
            return stations
        stations = more


def _entry(became: str, said: Finding, now: Finding | None = None) -> dict[str, Any]:
    """Return a line: what became of a finding, what it says or said, and what it would say."""
    new = became == "new"
    return {
        "change": became,
        "kind": str(said.kind),
        "subject_kind": str(said.subject_kind),
        "subject_id": said.subject_id,
        "building_id": said.building_id,
        "station_id": said.station_id,
        "finding_id": None,
        "before": None if new else said_of(said),
        "after": said_of(said) if new else None if now is None else said_of(now),
        "tickets": [],
        "notices": [],
    }


def _start(row: Mapping[str, Any]) -> int:
    start_ms: int = (row["before"] or row["after"])["start_ms"]
    return start_ms


def _resting(session: Session, finding_id: int) -> dict[str, list[int]]:
    """Return the tickets and notices that rest on a finding."""
    tickets = session.scalars(select(TicketFinding.ticket_id).where(TicketFinding.finding_id == finding_id)).all()
    stop = session.get_one(FindingRow, finding_id).kind == "heat_outage"
    shown = select(NoticeRow.id).where(NoticeRow.ticket_id.in_(tickets), NoticeRow.state.in_(("draft", "published")))
    notices = session.scalars(shown.order_by(NoticeRow.id)).all() if stop and tickets else []
    return {"tickets": list(tickets), "notices": list(notices)}
