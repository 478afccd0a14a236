"""The analytics role: judges what arrives, and commits its cursor, its state and its findings together."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from analytics.evidence.supply_sources import SupplyWatch
from analytics.found import Found, Subject, changed_subjects, findings_of
from analytics.layout.sources import NOBODY, StoredHistory, signs_of
from analytics.live import LiveJudge
from analytics.points.machine import NEVER
from analytics.roles.traces import Traces, arrival_trace
from analytics.season import MOST_ROWS, catch_up, planned
from heatwatch import __version__
from heatwatch.domain.findings import FindingKind, SubjectKind
from heatwatch.domain.instants import DAY_MS, MINUTE_MS, iso
from heatwatch.domain.register import Register
from heatwatch.domain.stops import Stop
from heatwatch.domain.supply import rooms_only
from heatwatch.domain.temperature import Standard
from heatwatch.domain.traces import CLOCK
from heatwatch.errors import Unavailable
from heatwatch.records.database import Records
from heatwatch.records.progress import advance, progress
from heatwatch.records.schema import Arrival, Base, Cursor, FindingRow, JudgeState, ReadingCount
from heatwatch.records.upsert import insert_into
from heatwatch.stores.readings import ReadingStore
from heatwatch.usecases.findings import record_findings
from heatwatch.usecases.register import current_register, register_version
from heatwatch.usecases.roles import Wake, follow
from heatwatch.usecases.rules import rules_version
from heatwatch.usecases.stops import stops_in_force, stops_version

log = logging.getLogger(__name__)

ROLE = "analytics"
AT_ONCE = 1000
"""Arrivals read at once."""
SAVED_WITHIN_MS = 5 * MINUTE_MS
"""How old the saved state of a block that has changed may be: after a restart, what arrived since is fed again."""
SAVED_AT_LEAST = 20
_ALL = ""
"""Stands for all blocks: up to which arrival every one of them has been saved."""
LAWS = ("register", "rules")
"""By which versions of these all was judged last: kept as cursors of these names, after the role's."""


@dataclass(slots=True)
class _Bench:
    """A judge for one version of the register, and what it found last.

    `heard` is up to when each source was heard [ms], as far as this judge has been told; `law` what is new about the
    register or the rules, until it has been recorded what they change; `read_up_to` the last arrival that was stored
    before all that is stored was read.
    """

    judge: LiveJudge
    history: StoredHistory
    version: object
    key: str
    before: Found | None = None
    heard: dict[str, int] = field(default_factory=dict)
    law: Mapping[str, object] | None = None
    supply: SupplyWatch | None = None
    stops: Sequence[Stop] = ()
    stops_version: int = -1
    read_up_to: int = -1
    saved_ms: int = NEVER


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
    late_days
        Readings that arrived more than so many days after they were measured are not judged; None: all are.
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
        late_days: float | None = None,
    ) -> None:
        self._records, self._store, self._standard, self._zone = records, store, standard, zone
        self._bell, self._wall_clock, self._judge_every_ms = bell, wall_clock, int(judge_every_s * 1000)
        self._late_most_ms = None if late_days is None else round(late_days * DAY_MS)
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
            other_stops = self._bench is not None and stops_version(session) != self._bench.stops_version
        due_ms = self._due(arrivals, as_of_ms)
        if due_ms is None and (register is not None or other_stops) and self._wall_clock is not None:
            due_ms = as_of_ms
        if due_ms is None:
            return False
        if register is None or not self._set_up(version, register, cursor, due_ms):
            self._feed(arrivals)
        if self._wall_clock is not None and len(arrivals) == AT_ONCE:
            arrivals = self._with_all_that_waits(arrivals)
            due_ms = max(due_ms, self._wall_clock())
        self._commit(arrivals, cursor, due_ms)
        return True

    def _with_all_that_waits(self, arrivals: list[Arrival]) -> list[Arrival]:
        """Feed the rest of a backlog: judged in the midst of it, whoever has spoken since would look silent."""
        every, more = list(arrivals), arrivals
        while len(more) == AT_ONCE:
            with self._records.read() as session:
                more = self._arrivals_after(session, every[-1].seq)
            self._feed(more)
            every += more
        return every

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
            version = frozenset(rooms_only(session.scalars(kept.distinct())))
        if not version or (self._bench is not None and self._bench.version == version):
            return version, None
        if isinstance(version, frozenset):
            return version, Register.implied_by(version)
        found = current_register(session)
        return version, found[1] if found is not None else None

    def _set_up(self, version: object, register: Register, cursor: int, as_of_ms: int) -> bool:
        """Make the judge for a register, from saved state where that is of the same; say whether it judged all anew.

        In a replay nothing past the tick is judged, be it stored already.
        """
        names = sorted({row.point_id for row in register.rows})
        history = StoredHistory(self._store, register, names, self._late_most_ms, vital=True)
        judge = LiveJudge(register, self._standard, self._zone, history)
        key = hashlib.sha256(f"{judge.key} {self._late_most_ms}".encode()).hexdigest()
        bench = self._bench = _Bench(judge, history, version, key)
        with self._records.read() as session:
            saved = session.execute(select(JudgeState.building_id, JudgeState.state).where(JudgeState.key == key))
            states = {row.building_id: row.state for row in saved}
            law = _new_law(session, version)
            last_seq = session.scalar(select(func.max(Arrival.seq)))
        bench.supply = SupplyWatch(judge.timeline, register, self._store, self._late_most_ms)
        bench.supply.read_everything()
        saved_up_to = int.from_bytes(states.pop(_ALL, b"\xff"), "big", signed=True)
        if saved_up_to >= 0:
            judge.load(states)
            self._feed_again(bench, saved_up_to, cursor)
            bench.heard = history.sources.heard(judge.state["heard"])
            return False
        bench.law = law
        if self._wall_clock is not None and last_seq is not None:
            bench.read_up_to = last_seq
        log.info("judging everything anew", extra={"points": len(names)})
        end_ms = None if self._wall_clock is not None else as_of_ms + 1
        catch_up(judge, history, planned(*self._store.days(), MOST_ROWS, end_ms), as_of_ms)
        return True

    def _feed_again(self, bench: _Bench, after: int, cursor: int) -> None:
        """Feed what arrived after `after`, up to the cursor, to those blocks whose state was saved before it came."""
        while True:
            with self._records.read() as session:
                query = select(Arrival).where(Arrival.seq > after, Arrival.seq <= cursor).order_by(Arrival.seq)
                arrivals = list(session.scalars(query.limit(AT_ONCE)))
            if not arrivals:
                return
            after = arrivals[-1].seq
            touched = [(source, span, arrival.seq) for arrival in arrivals for source, *span, _ in arrival.touched]
            span_ms = np.array([span for _, span, _ in touched], dtype=np.int64).reshape(-1, 2)
            of, point = bench.history.sources.points_within([one[0] for one in touched], span_ms[:, 0], span_ms[:, 1])
            seq = np.array([one[2] for one in touched], dtype=np.int64)
            unsaved = np.zeros(len(touched), dtype=np.bool_)
            unsaved[of[bench.judge.unsaved(point.astype(np.int64), seq[of])]] = True
            kept = [(source, *span) for (source, span, _), new in zip(touched, unsaved.tolist(), strict=True) if new]
            self._feed_spans(bench, _widest(kept), arrivals[0].seq)

    def _feed(self, arrivals: Sequence[Arrival]) -> None:
        if self._bench is not None:
            arrivals = [arrival for arrival in arrivals if arrival.seq > self._bench.read_up_to]
        touched = _spans(arrivals)
        if not touched or self._bench is None:
            return
        if self._bench.supply is not None:
            self._bench.supply.feed(touched)
        self._feed_spans(self._bench, touched, arrivals[0].seq)

    def _feed_spans(self, bench: _Bench, touched: Mapping[str, tuple[int, int]], seq: int) -> None:
        """Feed what is stored of sources, each from one moment to another [ms]; `seq` is the first arrival of it."""
        if not touched:
            return
        spans = np.array(list(touched.values()), dtype=np.int64)
        until_ms = int(spans[:, 1].max()) + 1
        readings = bench.history.read(sorted(touched), int(spans[:, 0].min()), until_ms)
        span = np.array([touched[source] for source in readings.source], dtype=np.int64).reshape(-1, 2)[readings.code]
        point = bench.history.sources.points(readings)
        new = (readings.time_ms >= span[:, 0]) & (readings.time_ms <= span[:, 1]) & (point != NOBODY)
        signs = signs_of(readings)
        signs = None if signs is None else signs.where(new)
        bench.judge.feed(point[new], readings.time_ms[new], readings.temp_c[new], seq, signs)

    def _commit(self, arrivals: Sequence[Arrival], cursor: int, as_of_ms: int) -> None:
        tick = arrivals[-1].tick if arrivals else None
        seq = arrivals[-1].seq if arrivals else cursor
        with self._records.write() as session:
            changed = self._judge(session, arrivals, seq, as_of_ms)
            last = progress(session, ROLE)
            advance(session, ROLE, seq, as_of_ms, tick or (last.tick if last is not None else None))
        if self._bench is not None:
            self._bench.law = None
            for source, (_, last_ms) in _spans(arrivals).items():
                self._bench.heard[source] = max(last_ms, self._bench.heard.get(source, last_ms))
        _tell(arrivals, as_of_ms, changed)

    def _judge(self, session: Session, arrivals: Sequence[Arrival], seq: int, as_of_ms: int) -> dict[str, list[int]]:
        """Record what is found now; return the numbers of the findings that changed, by their traces."""
        bench = self._bench
        if bench is None:
            return {}
        if (version := stops_version(session)) != bench.stops_version:
            bench.stops, bench.stops_version = stops_in_force(session), version
        supply = None if bench.supply is None else bench.supply.found(as_of_ms)
        found = bench.judge.found(as_of_ms, supply, bench.stops)
        subjects = changed_subjects(bench.judge.timeline, bench.before, found)
        if bench.before is None:
            subjects |= _issued_subjects(session)
        traces = Traces(arrivals, bench.judge.timeline, bench.history.sources, bench.heard, bench.law)
        changed = self._record(session, bench, found, subjects, traces)
        _save(session, bench, seq, as_of_ms)
        bench.before = found
        return changed

    @staticmethod
    def _record(
        session: Session, bench: _Bench, found: Found, subjects: set[Subject], traces: Traces
    ) -> dict[str, list[int]]:
        changed = defaultdict[str, list[int]](list)
        if subjects:
            findings = list(findings_of(bench.judge.timeline, found, subjects))
            numbers = record_findings(session, findings, subjects, found.as_of_ms, traces=traces, causes=traces.cause)
            for number in numbers:
                changed[session.get_one(FindingRow, number).trace].append(number)
        if bench.before is None:
            session.execute(delete(JudgeState).where(JudgeState.key != bench.key))
            for name, version in zip(LAWS, _law(session, bench.version), strict=True):
                session.merge(Cursor(name=f"{ROLE}-{name}", change_seq=version))
        return dict(changed)


def _spans(arrivals: Sequence[Arrival]) -> dict[str, tuple[int, int]]:
    """Return from when to when each source was touched [ms]."""
    return _widest([(source, *span) for arrival in arrivals for source, *span, _ in arrival.touched])


def _widest(spans: Sequence[tuple[str, int, int]]) -> dict[str, tuple[int, int]]:
    touched: dict[str, tuple[int, int]] = {}
    for source, first_ms, last_ms in spans:
        low, high = touched.get(source, (first_ms, last_ms))
        touched[source] = (min(low, first_ms), max(high, last_ms))
    return touched


def _save(session: Session, bench: _Bench, seq: int, as_of_ms: int) -> None:
    """Save some of the blocks that have changed: each within `SAVED_WITHIN_MS`, or as soon as there are few."""
    passed_ms = SAVED_WITHIN_MS if bench.saved_ms == NEVER else as_of_ms - bench.saved_ms
    bench.saved_ms = as_of_ms
    most = max(SAVED_AT_LEAST, -(-bench.judge.blocks * passed_ms // SAVED_WITHIN_MS))
    states = bench.judge.save(seq, most)
    done = bench.judge.saved_up_to(seq)
    _keep(session, bench.key, {**states, _ALL: done.to_bytes(8, "big", signed=True)})


def _law(session: Session, version: object) -> tuple[int, int]:
    """Return the versions of register and rules, 0 where there is none yet."""
    return version if isinstance(version, int) else 0, rules_version(session) or 0


def _new_law(session: Session, version: object) -> Mapping[str, object] | None:
    """Return what is new about register and rules since all was judged last; None where that never happened.

    Before a register is imported each new source makes another one, and none of them alters what was found of the rest.
    """
    cursors = [session.get(Cursor, f"{ROLE}-{name}") for name in LAWS]
    if None in cursors or version is None or isinstance(version, frozenset):
        return None
    now = zip(LAWS, cursors, _law(session, version), strict=True)
    new = {name: held for name, cursor, held in now if cursor is not None and cursor.change_seq != held}
    return new or {"heatwatch": __version__}


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
