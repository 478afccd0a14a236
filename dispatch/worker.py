"""The dispatch role: whenever findings have changed, tickets follow, in one transaction with how far it has come."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from dispatch.evidence import Violations
from dispatch.notices import Office, announce, drafts_due, inherit
from dispatch.notifying import notifications
from dispatch.ringing import ring, rings
from dispatch.standstill import Standstill
from dispatch.tickets import Dispatch, dispatch, settle
from dispatch.words import Company
from heatwatch.domain.instants import iso
from heatwatch.domain.life import Deed
from heatwatch.domain.temperature import Standard
from heatwatch.records.audit import acting, hold
from heatwatch.records.database import Records
from heatwatch.records.progress import advance, progress
from heatwatch.records.schema import Cursor, Progress, TicketEvent
from heatwatch.stores.readings import ReadingStore
from heatwatch.usecases.alerts import join_waiting
from heatwatch.usecases.findings import amendments_since, changed_since, last_change
from heatwatch.usecases.outbox import put
from heatwatch.usecases.register import RegisterInForce
from heatwatch.usecases.roles import Wake, follow
from heatwatch.usecases.tickets import HEATWATCH, events_since, feed_end

log = logging.getLogger(__name__)

FOLLOWED = "analytics"
LOOK_EVERY_MS = 5_000
"""How often deadlines are looked at while nothing else happens."""
DEEDS = "dispatch-deeds"
"""Cursor in the audit trail, which is the feed of what was done to tickets: numbered in the order of commits."""
_DEEDS = frozenset(str(deed) for deed in Deed)


class DispatchWorker:
    """Turns findings into tickets, lets clocks ring, sees to notices and says who is to be told.

    Parameters
    ----------
    records, store
        Where findings and tickets are kept, and the readings that are a ticket's evidence.
    standard
        The rules: deadlines, minimum temperatures, the size of a group.
    timezone
        The company's time zone (R1: local hours).
    company, hotline
        Who signs a public notice, and the number to call.
    wall_clock
        The clock of tickets [ms]: deadlines pass and notices go out by it also while judging stands still. None in a
        replay, whose clock is the moment that judging has reached.
    bell
        Rung by whoever changes the records; rung by this worker after each pass that did something.
    """

    name = "dispatch"

    def __init__(
        self,
        records: Records,
        store: ReadingStore,
        standard: Standard,
        bell: Wake,
        *,
        timezone: str,
        company: str = "",
        hotline: str = "",
        wall_clock: Callable[[], int] | None = None,
    ) -> None:
        self._records, self._store, self._standard, self._bell = records, store, standard, bell
        self._zone = ZoneInfo(timezone)
        self._company = Company(company, hotline, self._zone)
        self._wall_clock, self._look_at_ms = wall_clock, 0
        self._register = RegisterInForce()
        self._standstill = Standstill(standard.judging.sensor_rows)
        self._left_at: tuple[int, int] | None = None

    def run(self, stop: threading.Event) -> None:
        """Follow analytics and people until told to stop; wait longer and longer while a store does not answer."""
        follow(self.name, self.pass_once, self._bell, stop)

    def pass_once(self) -> bool:
        """Do what there is to do, all of it or nothing; return whether there was anything."""
        with self._records.read() as session:
            if not self._behind(session):
                return False
        noted: list[TicketEvent] = []
        left_at, self._left_at = self._left_at, None  # what is remembered holds only if this pass is kept
        with self._records.write() as session:
            done = self._pass(session, noted, left_at)
            came_to = self._come_to(session)
        self._left_at = came_to
        _log(noted)
        return done

    def _pass(self, session: Session, noted: list[TicketEvent], left_at: tuple[int, int] | None) -> bool:
        last = last_change(session, hold=True)
        held = hold(session)
        led = progress(session, FOLLOWED)
        if led is None or led.as_of_ms is None:
            return False
        deeds = events_since(session, self._read_up_to(session, DEEDS))
        by = self._dispatch(session, max([self._now(led.as_of_ms), *(deed.at_ms for deed in deeds)]))
        acting(session, HEATWATCH, by.at_ms)
        by_hand = [deed for deed in deeds if deed.kind in _DEEDS]
        closed = {deed.ticket_id for deed in by_hand if deed.kind == Deed.FOLLOW_UP}
        if deeds or self._come_to(session) != left_at:
            self._standstill.forget()
        read_up_to = self._read_up_to(session, self.name)
        changed, amended = changed_since(session, read_up_to), amendments_since(session, read_up_to)
        stands = dispatch(session, changed, by, closed=closed, standstill=self._standstill, amended=amended)
        join_waiting(session, {one.row.station_id for one in stands.values()}, self._standard, by.at_ms)
        for one in stands.values():
            inherit(session, one, by)
        due = ring(session, by) | drafts_due(session, self._standard, by.at_ms)
        due |= {deed.ticket_id for deed in by_hand}
        stands |= {ticket_id: settle(session, ticket_id, by) for ticket_id in sorted(due)}
        for one in stands.values():
            announce(session, one, Office(self._company, by))
        noted += self._tell(session, deeds, held)
        session.merge(Cursor(name=self.name, change_seq=last))
        advance(session, self.name, led.arrival_seq, led.as_of_ms, led.tick)
        return True

    def _tell(self, session: Session, deeds: Sequence[TicketEvent], held: int) -> Sequence[TicketEvent]:
        """Put into the outbox what people have to know of deeds, and of what this pass has noted; return all of it."""
        session.flush()
        events = [*deeds, *events_since(session, held)]
        if events:
            put(session, notifications(session, events, self._company, at_night=self._wall_clock is None))
        session.merge(Cursor(name=DEEDS, change_seq=feed_end(session)))
        return events

    def _dispatch(self, session: Session, at_ms: int) -> Dispatch:
        register = self._register(session)
        return Dispatch(at_ms, self._standard, register, Violations(self._store, self._standard, register, self._zone))

    def _behind(self, session: Session) -> bool:
        led = progress(session, FOLLOWED)
        if led is None or led.as_of_ms is None:
            return False
        if _place(led) != _place(progress(session, self.name)):
            return True
        if last_change(session) != self._read_up_to(session, self.name):
            return True
        return feed_end(session) != self._read_up_to(session, DEEDS) or self._something_is_due(session, led.as_of_ms)

    def _something_is_due(self, session: Session, as_of_ms: int) -> bool:
        """Tell, now and then, whether a deadline has passed since, or a draft has to go out, by the wall clock."""
        now_ms = self._now(as_of_ms)
        if now_ms < max(as_of_ms + 1, self._look_at_ms):
            return False
        self._look_at_ms = now_ms + LOOK_EVERY_MS
        return rings(session, now_ms) or bool(drafts_due(session, self._standard, now_ms))

    def _now(self, as_of_ms: int) -> int:
        return as_of_ms if self._wall_clock is None else max(as_of_ms, self._wall_clock())

    def _come_to(self, session: Session) -> tuple[int, int]:
        """Return how far findings and deeds were read, by whomever."""
        return self._read_up_to(session, self.name), self._read_up_to(session, DEEDS)

    def _read_up_to(self, session: Session, name: str) -> int:
        cursor = session.get(Cursor, name)
        return 0 if cursor is None else cursor.change_seq


def _log(noted: Sequence[TicketEvent]) -> None:
    """Say in one line what a pass has noted on tickets, each with the message that led to it."""
    if noted:
        lines = [_line(one) for one in noted]
        trace = next((line["trace"] for line in reversed(lines) if line["trace"]), "")
        log.info("dispatched", extra={"trace": trace, "tickets": lines})


def _line(event: TicketEvent) -> dict[str, object]:
    said = {"ticket": event.ticket_id, "noted": event.kind, "who": event.who}
    return {**said, "trace": event.detail.get("trace", ""), "at": iso(event.at_ms)}


def _place(row: Progress | None) -> tuple[object, ...] | None:
    return None if row is None else (row.arrival_seq, row.as_of_ms, row.tick)
