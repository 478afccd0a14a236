"""The analytics role: judges what arrives, and commits its cursor, its state and its findings together."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from analytics.found import Found, Subject, changed_subjects, findings_of
from analytics.live import LiveJudge
from analytics.sources import NOBODY, StoredHistory
from analytics.traces import Traces, arrival_trace
from heatwatch.domain.findings import FindingKind, SubjectKind
from heatwatch.domain.instants import iso
from heatwatch.domain.register import Register
from heatwatch.domain.temperature import Standard
from heatwatch.domain.traces import CLOCK
from heatwatch.errors import Unavailable
from heatwatch.records.database import Records
from heatwatch.records.progress import advance, progress
from heatwatch.records.schema import Arrival, Base, FindingRow, JudgeState, ReadingCount
from heatwatch.records.upsert import insert_into
from heatwatch.stores.readings import ReadingStore
from heatwatch.usecases.findings import record_findings
from heatwatch.usecases.register import current_register, register_version
from heatwatch.usecases.roles import Wake, follow

log = logging.getLogger(__name__)

ROLE = "analytics"
AT_ONCE = 1000
"""Arrivals taken in one pass."""


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
        bell: Wake,
        *,
        wall_clock: Callable[[], int] | None = None,
        judge_every_s: float = 60.0,
    ) -> None:
        self._records, self._store, self._standard, self._zone = records, store, standard, zone
        self._bell, self._wall_clock, self._judge_every_ms = bell, wall_clock, int(judge_every_s * 1000)
        self._bench: _Bench | None = None

    def run(self, stop: threading.Event) -> None:
        """Judge until told to stop; wait longer and longer while a store does not answer."""
        follow(ROLE, self._pass_or_forget, self._bell, stop)

    def _pass_or_forget(self) -> bool:
        """Do one pass; where it breaks off, forget a judge that may be ahead of what was committed."""
        try:
            return self.pass_once()
        except Unavailable:
            self._bench = None
            raise

    def pass_once(self) -> bool:
        """Take in what has arrived, up to the first tick, and commit what is found then; say whether it did so."""
        with self._records.read() as session:
            done = progress(session, ROLE)
            cursor, as_of_ms = (done.arrival_seq, done.as_of_ms) if done is not None else (0, None)
            arrivals = self._arrivals_after(session, cursor)
            version, register = self._other_register(session)
        due_ms = self._due(arrivals, as_of_ms)
        if due_ms is None and register is not None and self._wall_clock is not None:
            due_ms = as_of_ms
        if due_ms is None:
            return False
        if register is None or not self._set_up(version, register):
            self._feed(arrivals)
        self._commit(arrivals, cursor, due_ms)
        return True

    def _arrivals_after(self, session: Session, seq: int) -> list[Arrival]:
        """Return what arrived after `seq`, in order; in a replay up to the first tick, nothing before there is one.

        What a replay publishes before a tick lies after the moment of the last one: judged too early, a ticket would
        open before the readings that it rests on.
        """
        query = select(Arrival).where(Arrival.seq > seq).order_by(Arrival.seq)
        if self._wall_clock is not None:
            return list(session.scalars(query.limit(AT_ONCE)))
        tick = session.scalar(select(func.min(Arrival.seq)).where(Arrival.seq > seq, Arrival.tick.is_not(None)))
        return [] if tick is None else list(session.scalars(query.where(Arrival.seq <= tick)))

    def _due(self, arrivals: Sequence[Arrival], as_of_ms: int | None) -> int | None:
        """Return the moment for which this pass judges, None where there is nothing to do."""
        if self._wall_clock is None:
            tick = arrivals[-1].tick if arrivals else None
            return None if tick is None else max(tick["now"], as_of_ms or 0)
        now_ms = max(self._wall_clock(), as_of_ms or 0)
        return now_ms if arrivals or now_ms - (as_of_ms or 0) >= self._judge_every_ms else None

    def _other_register(self, session: Session) -> tuple[object, Register | None]:
        """Return the register in force if another than so far; before the first import one of all who have spoken."""
        version: object = register_version(session)
        if version is None:
            kept = select(ReadingCount.source).where(ReadingCount.stored + ReadingCount.conflict > 0)
            version = frozenset(session.scalars(kept.distinct()))
        if not version or (self._bench is not None and self._bench.version == version):
            return version, None
        if isinstance(version, frozenset):
            return version, Register.implied_by(version)
        found = current_register(session)
        return version, found[1] if found is not None else None

    def _set_up(self, version: object, register: Register) -> bool:
        """Make the judge for a register, from saved state where that is of the same; say whether it judged all anew."""
        names = sorted({row.point_id for row in register.rows})
        history = StoredHistory(self._store, register, names)
        judge = LiveJudge(register, self._standard, self._zone, history)
        self._bench = _Bench(judge, history, version)
        with self._records.read() as session:
            saved = session.execute(select(JudgeState.building_id, JudgeState.state).where(JudgeState.key == judge.key))
            states = {row.building_id: row.state for row in saved}
        if states:
            judge.load(states)
            return False
        log.info("judging everything anew", extra={"points": len(names)})
        judge.feed(*history.rows(names))
        return True

    def _feed(self, arrivals: Sequence[Arrival]) -> None:
        touched: dict[str, tuple[int, int]] = {}
        for arrival in arrivals:
            for source, first_ms, last_ms, _ in arrival.touched:
                low, high = touched.get(source, (first_ms, last_ms))
                touched[source] = (min(low, first_ms), max(high, last_ms))
        if not touched or self._bench is None:
            return
        spans = np.array(list(touched.values()), dtype=np.int64)
        readings = self._store.read(sorted(touched), int(spans[:, 0].min()), int(spans[:, 1].max()) + 1)
        span = np.array([touched[source] for source in readings.source], dtype=np.int64).reshape(-1, 2)[readings.code]
        point = self._bench.history.sources.points(readings)
        new = (readings.time_ms >= span[:, 0]) & (readings.time_ms <= span[:, 1]) & (point != NOBODY)
        self._bench.judge.feed(point[new], readings.time_ms[new], readings.temp_c[new])

    def _commit(self, arrivals: Sequence[Arrival], cursor: int, as_of_ms: int) -> None:
        tick = arrivals[-1].tick if arrivals else None
        seq = arrivals[-1].seq if arrivals else cursor
        with self._records.write() as session:
            changed = self._judge(session, arrivals, as_of_ms)
            last = progress(session, ROLE)
            advance(session, ROLE, seq, as_of_ms, tick or (last.tick if last is not None else None))
        _tell(arrivals, as_of_ms, changed)

    def _judge(self, session: Session, arrivals: Sequence[Arrival], as_of_ms: int) -> dict[str, list[int]]:
        """Record what is found now; return the numbers of the findings that changed, by their traces."""
        bench = self._bench
        if bench is None:
            return {}
        found = bench.judge.found(as_of_ms)
        subjects = changed_subjects(bench.judge.timeline, bench.before, found)
        if bench.before is None:
            subjects |= _issued_subjects(session)
        traces = Traces(arrivals, bench.judge.timeline, bench.history.sources)
        changed = self._record(session, bench, found, subjects, traces)
        bench.before = found
        return changed

    @staticmethod
    def _record(
        session: Session, bench: _Bench, found: Found, subjects: set[Subject], traces: Traces
    ) -> dict[str, list[int]]:
        changed = defaultdict[str, list[int]](list)
        if subjects:
            findings = list(findings_of(bench.judge.timeline, found, subjects))
            for number in record_findings(session, findings, subjects, found.as_of_ms, traces=traces):
                changed[session.get_one(FindingRow, number).trace].append(number)
        states = bench.judge.save()
        if states or bench.before is None:
            session.execute(delete(JudgeState).where(JudgeState.key != bench.judge.key))
        _keep(session, bench.judge.key, states)
        return dict(changed)


def _keep(session: Session, key: str, states: Mapping[str, bytes]) -> None:
    """Write states over those of the same buildings, in one statement: at each step there is one for each building."""
    if not states:
        return
    table = Base.metadata.tables[JudgeState.__tablename__]
    made = insert_into(session, table)
    over = {name: made.excluded[name] for name in ("key", "state")}
    rows = [{"building_id": building, "key": key, "state": state} for building, state in states.items()]
    session.execute(made.on_conflict_do_update(index_elements=[table.c.building_id], set_=over), rows)


def _tell(arrivals: Sequence[Arrival], as_of_ms: int, changed: Mapping[str, Sequence[int]]) -> None:
    """Log what was committed; where no finding has changed, for those who look closely."""
    level = logging.INFO if changed else logging.DEBUG
    if log.isEnabledFor(level):
        fields = {
            "trace": arrival_trace(arrivals[-1]) if arrivals else CLOCK,
            "arrivals": [arrivals[0].seq, arrivals[-1].seq] if arrivals else [],
            "as_of": iso(as_of_ms),
            "findings": dict(changed),
        }
        log.log(level, "judged", extra=fields)


def _issued_subjects(session: Session) -> set[Subject]:
    rows = session.execute(
        select(FindingRow.kind, FindingRow.subject_kind, FindingRow.subject_id)
        .where(FindingRow.withdrawn.is_(False))
        .distinct()
    )
    return {(FindingKind(row.kind), SubjectKind(row.subject_kind), row.subject_id) for row in rows}
