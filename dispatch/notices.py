"""Notices of a stop: drafted, kept up to date, published before the deadline, and followed by the end (R12, R13)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dispatch import words
from dispatch.tickets import Dispatch
from dispatch.words import Company, Told
from heatwatch.domain.findings import FindingKind, SubjectKind
from heatwatch.domain.instants import MINUTE_MS, from_ms
from heatwatch.domain.life import Deed, Mark
from heatwatch.domain.notices import (
    Draft,
    Drop,
    Notice,
    NoticeKind,
    NoticeState,
    Publish,
    Redraft,
    Stop,
    announced,
    steps,
)
from heatwatch.domain.register import Register
from heatwatch.domain.temperature import Standard
from heatwatch.domain.tickets import AT_WORK, Clock, TicketKind, TicketState
from heatwatch.records.schema import FindingRow, NoticeRow, TicketEvent
from heatwatch.usecases.notices import publish
from heatwatch.usecases.register import in_service
from heatwatch.usecases.tickets import HEATWATCH, Known, note, refresh, rests_on


@dataclass(frozen=True, slots=True)
class Office:
    """Who writes notices, by which rules, as of when."""

    company: Company
    by: Dispatch


def drafts_due(session: Session, standard: Standard, at_ms: int) -> set[int]:
    """Return the tickets of drafts that have to be published about now."""
    lead_ms = _longest_lead(standard) * MINUTE_MS
    due = select(NoticeRow.ticket_id).where(NoticeRow.state == NoticeState.DRAFT, NoticeRow.due_ms <= at_ms + lead_ms)
    return set(session.scalars(due))


def announce(session: Session, stands: Known, office: Office) -> None:
    """Do what there is to do about the notices of an emergency ticket."""
    if stands.row.kind != TicketKind.HEAT_OUTAGE or stands.now.state is TicketState.MERGED:
        return
    clock = next((one for one in stands.clocks if one.step == Mark.NOTICE), None)
    if clock is None:
        return
    rows = _notices(session, stands.row.id)
    said = [_said(row) for row in rows]
    desk = _Desk(session, stands, office, clock)
    for step in steps(desk.stop, said, office.by.at_ms):
        match step:
            case Draft():
                desk.draft(step)
            case Redraft():
                desk.redraft(step.notice_id)
            case Publish():
                publish(session, session.get_one(NoticeRow, step.notice_id), HEATWATCH, office.by.at_ms)
            case Drop():
                session.get_one(NoticeRow, step.notice_id).state = str(NoticeState.DROPPED)
    if session.new or session.dirty:
        refresh(session, stands.row, office.by.standard)


def inherit(session: Session, stands: Known, by: Dispatch) -> None:
    """Let what was published of a stop before its ticket took it over count for this one, if it tells of all of it."""
    if stands.row.kind != TicketKind.HEAT_OUTAGE or stands.row.state not in AT_WORK or Mark.NOTICE in stands.now.done:
        return
    rows = [row for row in _notices(session, stands.row.id) if row.state == NoticeState.PUBLISHED]
    stops = [row for row in rows if row.kind == NoticeKind.STOP]
    found = [row for row in rests_on(session, stands.row.id) if row.kind == FindingKind.HEAT_OUTAGE]
    concerned = _buildings([row for row in found if not row.withdrawn], by.register, by.at_ms)
    if stops and set(concerned) <= announced([_said(row) for row in stops]):
        told_ms = max(row.published_ms or by.at_ms for row in stops)
        note(session, stands.row.id, told_ms, Mark.ANNOUNCED, {"notice_ids": [row.id for row in stops]})
        refresh(session, stands.row, by.standard)


class _Desk:
    """Writes the notices of one ticket."""

    def __init__(self, session: Session, stands: Known, office: Office, clock: Clock) -> None:
        self._session, self._stands, self._office, self._clock = session, stands, office, clock
        self._log = _deeds(session, stands.row.id)
        self._expected_ms = _latest(self._log, Deed.OPINION, "expected_end_ms")
        self.stop = self._stop()

    def draft(self, step: Draft) -> None:
        at_ms, stop = self._office.by.at_ms, self.stop
        title, text = self._words(step.kind, step.buildings)
        row = NoticeRow(
            ticket_id=self._stands.row.id,
            kind=str(step.kind),
            state=str(NoticeState.DRAFT),
            station_id=self._stands.row.station_id,
            building_ids=list(step.buildings),
            stop_start_ms=stop.start_ms,
            stop_end_ms=stop.end_ms,
            title=title,
            text=text,
            drafted_ms=at_ms,
            due_ms=self._clock.due_ms if step.kind is NoticeKind.STOP else None,
            replaces=step.replaces,
        )
        self._session.add(row)
        self._session.flush()
        if step.publish:
            publish(self._session, row, HEATWATCH, at_ms)

    def redraft(self, notice_id: int) -> None:
        """Bring a draft up to date; the words of a person stay."""
        row = self._session.get_one(NoticeRow, notice_id)
        row.building_ids, row.stop_start_ms, row.due_ms = (
            list(self.stop.buildings),
            self.stop.start_ms,
            self._clock.due_ms,
        )
        if not row.edited_by:
            row.title, row.text = self._words(NoticeKind(row.kind), self.stop.buildings)

    def _words(self, kind: NoticeKind, buildings: Sequence[str]) -> tuple[str, str]:
        stop, row = self.stop, self._stands.row
        cause = str(_latest(self._log, Deed.CAUSE, "text") or "")
        told = Told(kind, row.station_id, buildings, stop.start_ms, stop.end_ms, cause, self._expected_ms)
        return words.notice(self._office.company, told, self._office.by.at_ms)

    def _stop(self) -> Stop:
        stands, by = self._stands, self._office.by
        stops = [row for row in rests_on(self._session, stands.row.id) if row.kind == FindingKind.HEAT_OUTAGE]
        true = [row for row in stops if not row.withdrawn]
        start_ms = min((row.start_ms for row in true), default=stands.facts.cause_start_ms)
        lead_ms = _lead_min(by.standard, stands) * MINUTE_MS
        return Stop(
            start_ms,
            stands.facts.stop_end_ms if true else None,
            _buildings(true or stops, by.register, by.at_ms),
            self._clock.due_ms - lead_ms,
            known=self._known(),
            withdrawn=not true,
        )

    def _known(self) -> bool:
        """Tell whether the fault is known, or the stop expected to last until the notice is due."""
        done = self._stands.now.done
        lasting = self._expected_ms is not None and self._expected_ms >= self._clock.due_ms
        return Deed.CAUSE in done or Deed.LEAK in done or lasting


def _said(row: NoticeRow) -> Notice:
    kind, state = NoticeKind(row.kind), NoticeState(row.state)
    return Notice(row.id, kind, state, row.stop_start_ms, tuple(row.building_ids), row.stop_end_ms)


def _notices(session: Session, ticket_id: int) -> Sequence[NoticeRow]:
    return session.scalars(select(NoticeRow).where(NoticeRow.ticket_id == ticket_id).order_by(NoticeRow.id)).all()


def _deeds(session: Session, ticket_id: int) -> Sequence[TicketEvent]:
    kinds = TicketEvent.kind.in_([Deed.OPINION, Deed.CAUSE])
    return session.scalars(
        select(TicketEvent).where(TicketEvent.ticket_id == ticket_id, kinds).order_by(TicketEvent.id)
    ).all()


def _latest(log: Sequence[TicketEvent], deed: Deed, what: str) -> Any:
    """Return what was said last with a deed, None where nothing was."""
    said = [event.detail[what] for event in log if event.kind == deed and event.detail.get(what)]
    return said[-1] if said else None


def _buildings(stops: Sequence[FindingRow], register: Register | None, at_ms: int) -> tuple[str, ...]:
    """Return the buildings of stops; those of a whole station by the register."""
    named = {row.building_id for row in stops if row.building_id}
    whole = {row.station_id for row in stops if row.subject_kind == SubjectKind.STATION}
    rows = () if register is None else register.rows
    named |= {row.building_id for row in rows if row.station_id in whole and in_service(row, at_ms)}
    return tuple(sorted(named))


def _lead_min(standard: Standard, stands: Known) -> int:
    rules = standard.at(from_ms(stands.row.opened_ms)).clocks.get(stands.row.kind, ())
    return next((rule.lead_min or 0 for rule in rules if rule.step == Mark.NOTICE), 0)


def _longest_lead(standard: Standard) -> int:
    rules = [rule for version in standard.versions for kind in version.clocks.values() for rule in kind]
    return max((rule.lead_min or 0 for rule in rules if rule.step == Mark.NOTICE), default=0)
