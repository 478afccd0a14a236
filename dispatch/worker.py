"""The dispatch role: whenever findings have changed, tickets follow, in one transaction with how far it has come."""

from __future__ import annotations

import logging
import threading
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from dispatch.evidence import Violations
from heatwatch.domain.temperature import Standard
from heatwatch.records.database import Records
from heatwatch.records.progress import advance, progress
from heatwatch.records.schema import Cursor, Progress
from heatwatch.stores.readings import ReadingStore
from heatwatch.usecases.findings import changed_since, last_change
from heatwatch.usecases.register import RegisterInForce
from heatwatch.usecases.roles import Wake, follow
from heatwatch.usecases.tickets import Dispatch, dispatch

log = logging.getLogger(__name__)

FOLLOWED = "analytics"


class DispatchWorker:
    """Turns findings into tickets.

    Parameters
    ----------
    records, store
        Where findings and tickets are kept, and the readings that are a ticket's evidence.
    standard
        The rules: deadlines, minimum temperatures, the size of a group.
    timezone
        The company's time zone (R1: local hours).
    bell
        Rung by whoever changes the records; rung by this worker after each pass that did something.
    """

    name = "dispatch"

    def __init__(self, records: Records, store: ReadingStore, standard: Standard, bell: Wake, *, timezone: str) -> None:
        self._records, self._store, self._standard, self._bell = records, store, standard, bell
        self._zone = ZoneInfo(timezone)
        self._register = RegisterInForce()

    def run(self, stop: threading.Event) -> None:
        """Follow analytics until told to stop; wait longer and longer while a store does not answer."""
        follow(self.name, self.pass_once, self._bell, stop)

    def pass_once(self) -> bool:
        """Do what there is to do, all of it or nothing; return whether there was anything."""
        with self._records.read() as session:
            if not self._behind(session):
                return False
        with self._records.write() as session:
            return self._pass(session)

    def _pass(self, session: Session) -> bool:
        last = last_change(session, hold=True)
        led = progress(session, FOLLOWED)
        if led is None or led.as_of_ms is None:
            return False
        changed = changed_since(session, self._read_up_to(session))
        if changed:
            dispatch(session, changed, self._dispatch(session, led.as_of_ms))
        session.merge(Cursor(name=self.name, change_seq=last))
        advance(session, self.name, led.arrival_seq, led.as_of_ms, led.tick)
        return True

    def _dispatch(self, session: Session, at_ms: int) -> Dispatch:
        register = self._register(session)
        return Dispatch(at_ms, self._standard, register, Violations(self._store, self._standard, register, self._zone))

    def _behind(self, session: Session) -> bool:
        led = progress(session, FOLLOWED)
        if led is None or led.as_of_ms is None:
            return False
        return _place(led) != _place(progress(session, self.name)) or last_change(session) != self._read_up_to(session)

    def _read_up_to(self, session: Session) -> int:
        cursor = session.get(Cursor, self.name)
        return 0 if cursor is None else cursor.change_seq


def _place(row: Progress | None) -> tuple[object, ...] | None:
    return None if row is None else (row.arrival_seq, row.as_of_ms, row.tick)
