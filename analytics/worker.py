"""The analytics role: judges what arrives, and commits its cursor, its state and its findings together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from analytics.found import Found, Subject, changed_subjects, findings_of
from analytics.live import LiveJudge
from analytics.sources import NOBODY, StoredHistory
from heatwatch.domain.findings import FindingKind, SubjectKind
from heatwatch.domain.register import Register
from heatwatch.domain.temperature import Standard
from heatwatch.records.database import Records
from heatwatch.records.progress import advance, progress
from heatwatch.records.schema import Arrival, FindingRow, JudgeState, ReadingCount
from heatwatch.stores.readings import ReadingStore
from heatwatch.usecases.findings import record_findings
from heatwatch.usecases.register import current_register, register_version
from heatwatch.usecases.roles import Bell

log = logging.getLogger(__name__)

ROLE = "analytics"
AT_ONCE = 1000
"""Arrivals taken in one pass."""
LOOK_AGAIN_S = 0.2


@dataclass(slots=True)
class _Bench:
    """A judge for one version of the register, and what it found last."""

    judge: LiveJudge
    history: StoredHistory
    version: object
    before: Found | None = None


class AnalyticsWorker:
    """Follows the arrivals and keeps the findings up to them.

    Parameters
    ----------
    records, store
        Where arrivals are read and findings written; where readings are kept.
    standard, zone
        The dated rules, and the zone whose local hours they speak of.
    bell
        Rung when something was committed.
    wall_clock
        Gives the moment [ms] for which findings hold; None: the ticks of a replay give it.
    judge_every_s
        How often findings are brought up to the wall clock when nothing arrives [s].
    """

    name = ROLE

    def __init__(
        self,
        records: Records,
        store: ReadingStore,
        standard: Standard,
        zone: ZoneInfo,
        bell: Bell,
        *,
        wall_clock: Callable[[], int] | None = None,
        judge_every_s: float = 60.0,
    ) -> None:
        self._records, self._store, self._standard, self._zone = records, store, standard, zone
        self._bell, self._wall_clock, self._judge_every_ms = bell, wall_clock, int(judge_every_s * 1000)
        self._bench: _Bench | None = None

    def run(self, stop: threading.Event) -> None:
        """Judge until told to stop."""
        while not stop.is_set():
            heard = self._bell.heard()
            if self.pass_once():
                self._bell.ring()
            else:
                self._bell.wait(heard, LOOK_AGAIN_S)

    def pass_once(self) -> bool:
        """Take in what has arrived, up to the first tick, and commit what is found then; say whether it did anything."""
        with self._records.read() as session:
            done = progress(session, ROLE)
            cursor, as_of_ms = (done.arrival_seq, done.as_of_ms) if done is not None else (0, None)
            arrivals = self._arrivals_after(session, cursor)
            version, register = self._other_register(session)
        due_ms = self._due(arrivals, as_of_ms) if register is None else self._due(arrivals, as_of_ms) or as_of_ms
        if due_ms is None:
            return False
        if register is None or not self._set_up(version, register):
            self._feed(arrivals)
        self._commit(arrivals, cursor, due_ms)
        return True

    def _issued_subjects(session: Session) -> set[Subject]:
    rows = session.execute(
        select(FindingRow.kind, FindingRow.subject_kind, FindingRow.subject_id)
        .where(FindingRow.withdrawn.is_(False))
        .distinct()
    ).tuples()
    return {(FindingKind(kind), SubjectKind(subject_kind), subject_id) for kind, subject_kind, subject_id in rows}
