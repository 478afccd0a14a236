"""For those who watch heatwatch itself: whether it lives, whether it is ready, and its figures for Prometheus.

The figures are read from the records at each scrape, so that every process that serves them tells the same. What only
the process with a journal can know, how many messages it has received, is told by that process and left out by others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from itertools import product
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import BaseModel, Field
from sqlalchemy import case, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from heatwatch import __version__
from heatwatch.domain.findings import FindingKind
from heatwatch.domain.notices import NoticeKind, NoticeState
from heatwatch.domain.register import FAR_PAST_MS
from heatwatch.domain.tickets import AT_WORK, TicketKind, TicketState
from heatwatch.errors import HeatwatchError
from heatwatch.records.database import Records
from heatwatch.records.progress import progress
from heatwatch.records.schema import (
    Arrival,
    AuditHead,
    FindingRow,
    JournalPosition,
    MessageCount,
    NoticeRow,
    OutboxRow,
    Progress,
    ReadingCount,
    TicketClock,
    TicketRow,
    TooLate,
)
from heatwatch.stores.readings import ReadingStore

CACHED_S = 1.0
"""How long what was read of the records serves every scrape [s]."""
JUDGING = "analytics"
MESSAGE_OUTCOMES = ("decoded", "no_reading", "quarantined")
READING_OUTCOMES = ("stored", "duplicate", "conflict", "quarantined")


def _no_journals() -> Mapping[str, int]:
    return {}


@dataclass(frozen=True, slots=True)
class Watched:
    """What is watched.

    Attributes
    ----------
    records, store
        Asked whether they answer; the figures are the records'.
    checks
        What else must hold for this process to be ready, by name: its roles, its connection to the broker.
    clock
        Gives the installation's clock [ms], None before a replay has begun.
    journals
        Gives the last sequence of each journal of this process.
    """

    records: Records
    store: ReadingStore
    checks: Mapping[str, Callable[[], bool]]
    clock: Callable[[], int | None]
    journals: Callable[[], Mapping[str, int]] = field(default=_no_journals)


class Check(BaseModel):
    """One thing that must hold."""

    name: str = Field(description="What was looked at.")
    ok: bool = Field(description="Whether it holds.")


class Readiness(BaseModel):
    """Whether this process can do its work."""

    ready: bool = Field(description="Whether every check holds.")
    checks: list[Check] = Field(description="Each check.")


router = APIRouter(include_in_schema=False)


def install(app: FastAPI, watched: Watched) -> None:
    """Let `app` tell of what is watched; its figures are registered with this application alone."""
    app.state.watched = watched
    app.state.metrics = CollectorRegistry()
    app.state.metrics.register(Figures(watched))
    app.include_router(router)


def observing_app(watched: Watched) -> FastAPI:
    """Return an application that tells of what is watched, and nothing else."""
    app = FastAPI(title="heatwatch", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    install(app, watched)
    return app


def _watched(request: Request) -> Watched:
    watched: Watched = request.app.state.watched
    return watched


@router.get("/health/live", summary="Whether the process answers")
async def get_live() -> Mapping[str, bool]:
    """Answer. Nothing is touched, and no thread of the pool is waited for."""
    return {"live": True}


@router.get("/health/ready", summary="Whether the process can do its work")
def get_ready(watched: Annotated[Watched, Depends(_watched)], response: Response) -> Readiness:
    """Tell whether records and store answer, every role of this process runs and the broker is connected."""
    asked = {"records": _answers(watched.records.ping), "store": _answers(watched.store.ping), **watched.checks}
    checks = [Check(name=name, ok=holds()) for name, holds in asked.items()]
    ready = all(check.ok for check in checks)
    if not ready:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return Readiness(ready=ready, checks=checks)


@router.get("/metrics", summary="Figures for Prometheus")
def get_metrics(request: Request) -> Response:
    """Return every figure in Prometheus' text format."""
    return Response(generate_latest(request.app.state.metrics), media_type=CONTENT_TYPE_PLAIN_0_0_4)


def _answers(ping: Callable[[], None]) -> Callable[[], bool]:
    def check() -> bool:
        try:
            ping()
        except HeatwatchError:
            return False
        return True

    return check


class Figures(Collector):
    """Reads the figures from the records, in one session at most once every `CACHED_S` seconds.

    Parameters
    ----------
    timer
        Gives seconds by which the age of what was read is known.
    """

    def __init__(self, watched: Watched, timer: Callable[[], float] = time.monotonic) -> None:
        self._watched, self._timer = watched, timer
        self._reading = threading.Lock()
        self._read: tuple[float, Sequence[Metric]] | None = None

    def collect(self) -> Iterable[Metric]:
        """Return the figures.

        Raises
        ------
        Unavailable
            If the records do not answer.
        """
        with self._reading:
            if self._read is None or self._timer() - self._read[0] >= CACHED_S:
                self._read = self._timer(), self._figures()
            return self._read[1]

    def _figures(self) -> Sequence[Metric]:
        """Read everything; the journals first, since what is stored in between then counts as received at least."""
        journals, now_ms = self._watched.journals(), self._watched.clock()
        with self._watched.records.read() as session:
            return [
                InfoMetricFamily("heatwatch_build", "The version that runs.", {"version": __version__}),
                *_messages(session, journals),
                *_readings(session),
                *_progress(session, now_ms),
                *_work(session),
                *_clocks(session, now_ms),
                *_outbox(session, now_ms),
                _audit(session),
            ]


def _messages(session: Session, journals: Mapping[str, int]) -> Iterator[Metric]:
    """Give the first line of the delivery identity: received = the outcomes and what waits."""
    received = CounterMetricFamily(
        "heatwatch_messages_received", "Messages in a worker's journal since ever.", labels=["worker"]
    )
    waiting = GaugeMetricFamily(
        "heatwatch_messages_waiting", "Messages in the journal that are not stored yet.", labels=["worker"]
    )
    stored = {row.worker: row.sequence for row in session.scalars(select(JournalPosition))}
    for worker, last in sorted(journals.items()):
        done = stored.get(worker, 0)
        received.add_metric([worker], max(last, done))
        waiting.add_metric([worker], max(last - done, 0))
    outcomes = CounterMetricFamily("heatwatch_messages", "Messages by what came of them.", labels=["worker", "outcome"])
    for worker, sums in _sums(session, MessageCount, MESSAGE_OUTCOMES):
        for outcome, count in sums.items():
            outcomes.add_metric([worker, outcome], count)
    yield from (received, outcomes, waiting)


def _readings(session: Session) -> Iterator[Metric]:
    """Give the second line: decoded = the outcomes and what waits, which between commits is nothing."""
    decoded = CounterMetricFamily("heatwatch_readings_decoded", "Readings found in messages.", labels=["worker"])
    outcomes = CounterMetricFamily("heatwatch_readings", "Readings by what came of them.", labels=["worker", "outcome"])
    waiting = GaugeMetricFamily(
        "heatwatch_readings_waiting", "Readings decoded of which nothing has become yet.", labels=["worker"]
    )
    late = CounterMetricFamily(
        "heatwatch_readings_too_late", "Readings stored that arrived too late to be judged.", labels=["worker"]
    )
    for worker, rows in session.execute(select(TooLate.worker, func.sum(TooLate.rows)).group_by(TooLate.worker)):
        late.add_metric([worker], int(rows))
    for worker, sums in _sums(session, ReadingCount, ("decoded", *READING_OUTCOMES)):
        decoded.add_metric([worker], sums["decoded"])
        waiting.add_metric([worker], sums["decoded"] - sum(sums[outcome] for outcome in READING_OUTCOMES))
        for outcome in READING_OUTCOMES:
            outcomes.add_metric([worker, outcome], sums[outcome])
    yield from (decoded, outcomes, waiting)
    yield late


def _progress(session: Session, now_ms: int | None) -> Iterator[Metric]:
    lag = GaugeMetricFamily(
        "heatwatch_role_lag_seconds", "From the moment for which a role's work holds to the clock.", labels=["role"]
    )
    for row in session.scalars(select(Progress).order_by(Progress.role)):
        if now_ms is not None and row.as_of_ms is not None:
            lag.add_metric([row.role], (now_ms - row.as_of_ms) / 1000)
    judged = progress(session, JUDGING)
    after = Arrival.seq > (0 if judged is None else judged.arrival_seq)
    unjudged = session.scalar(select(func.count()).select_from(Arrival).where(after)) or 0
    yield lag
    yield GaugeMetricFamily("heatwatch_arrivals_unjudged", "Commits of ingest that are not judged yet.", unjudged)


def _work(session: Session) -> Iterator[Metric]:
    found = GaugeMetricFamily("heatwatch_findings_open", "Findings that go on, by kind.", labels=["kind"])
    going_on = (FindingRow.open.is_(True), FindingRow.withdrawn.is_(False))
    counted = session.execute(select(FindingRow.kind, func.count()).where(*going_on).group_by(FindingRow.kind))
    counts = {kind: number for kind, number in counted}  # noqa: C416 - mypy takes dict() of a result for one of rows
    for kind in FindingKind:
        found.add_metric([kind], counts.get(kind, 0))
    yield found
    tickets = GaugeMetricFamily("heatwatch_tickets", "Tickets by kind and state.", labels=["kind", "state"])
    yield _table(session, tickets, (TicketRow.kind, TicketRow.state), (TicketKind, TicketState))
    notices = GaugeMetricFamily("heatwatch_notices", "Public notices by kind and state.", labels=["kind", "state"])
    yield _table(session, notices, (NoticeRow.kind, NoticeRow.state), (NoticeKind, NoticeState))


def _clocks(session: Session, now_ms: int | None) -> Iterator[Metric]:
    running = GaugeMetricFamily(
        "heatwatch_ticket_clocks_running", "Deadlines of tickets that are still to be met, by rule.", labels=["rule"]
    )
    overdue = GaugeMetricFamily(
        "heatwatch_ticket_clocks_overdue", "Those of them that have passed, by rule.", labels=["rule"]
    )
    at_work = TicketRow.state.in_([str(state) for state in AT_WORK])
    runs = TicketClock.done_ms.is_(None) & TicketClock.off.is_(False) & at_work
    late = runs & (TicketClock.due_ms < (FAR_PAST_MS if now_ms is None else now_ms))
    query = select(TicketClock.rule, *(func.sum(case((which, 1), else_=0)) for which in (runs, late)))
    query = query.join(TicketRow, TicketRow.id == TicketClock.ticket_id)
    for rule, still, past in session.execute(query.group_by(TicketClock.rule).order_by(TicketClock.rule)):
        running.add_metric([rule], still)
        overdue.add_metric([rule], past)
    yield from (running, overdue)


def _outbox(session: Session, now_ms: int | None) -> Iterator[Metric]:
    waits = OutboxRow.sent_ms.is_(None)
    unsent = session.scalar(select(func.count()).select_from(OutboxRow).where(waits)) or 0
    oldest_ms = session.scalar(select(func.min(OutboxRow.created_ms)).where(waits))
    age_s = 0.0 if oldest_ms is None or now_ms is None else max(now_ms - oldest_ms, 0) / 1000
    yield GaugeMetricFamily("heatwatch_outbox_unsent", "Notifications that no channel has taken yet.", unsent)
    yield GaugeMetricFamily(
        "heatwatch_outbox_oldest_unsent_age_seconds", "Age of the oldest of them, 0 where there is none.", age_s
    )


def _audit(session: Session) -> Metric:
    entries = session.scalar(select(func.max(AuditHead.seq))) or 0
    return CounterMetricFamily("heatwatch_audit_entries", "Entries of the audit trail.", entries)


def _sums(
    session: Session, model: type[MessageCount | ReadingCount], terms: Sequence[str]
) -> Iterator[tuple[str, dict[str, int]]]:
    columns = [func.sum(getattr(model, term)).label(term) for term in terms]
    for row in session.execute(select(model.worker, *columns).group_by(model.worker).order_by(model.worker)):
        yield row.worker, {term: int(getattr(row, term)) for term in terms}


def _table(
    session: Session,
    family: GaugeMetricFamily,
    columns: tuple[InstrumentedAttribute[str], InstrumentedAttribute[str]],
    kinds: tuple[type[StrEnum], type[StrEnum]],
) -> Metric:
    """Count rows by two columns; what there is none of is told as none."""
    counted = session.execute(select(*columns, func.count()).group_by(*columns))
    counts = {(one, other): count for one, other, count in counted}
    for one, other in product(*kinds):
        family.add_metric([one, other], counts.get((one, other), 0))
    return family
