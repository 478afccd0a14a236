"""What a load comes to when nothing happens.

Its findings are those of `heatwatch judge`; its tickets, and what people are told, those of the same steps through the
same roles, one after the other in this process. Computed once for each load, whichever run asks first.
"""

from __future__ import annotations

import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from analytics.roles.worker import AnalyticsWorker
from cli.judging import judge
from dispatch.worker import DispatchWorker
from heatwatch.domain.findings import FindingKind
from heatwatch.domain.instants import HOUR_MS, iso
from heatwatch.files.rules_file import default_standard
from heatwatch.records.database import Records
from heatwatch.records.schema import FindingRow, OutboxRow, TicketFinding, TicketRow
from heatwatch.stores.embedded import EmbeddedReadings
from heatwatch.usecases.delivery import commit_delivery
from heatwatch.usecases.register import import_register
from heatwatch.usecases.roles import Bell
from heatwatch.wire import CLOCK_TOPIC, Tick
from ingest.decoders import Decoders
from ingest.journal import Entry, Message
from ingest.sorting import Clock, sort
from simulators.publishing.encoding import Messages
from tests.faults.driver import ONE_AT_A_TIME
from tests.faults.load import Load

ZONE = "Asia/Shanghai"
AHEAD_MS = 600_000


@dataclass(frozen=True)
class Quiet:
    """What a load comes to when nothing happens.

    Attributes
    ----------
    findings
        The files of `heatwatch judge`, as of the end.
    tickets, told
        As `tickets_of` and `told_of` count them.
    """

    findings: dict[FindingKind, str]
    tickets: Counter[Any]
    told: Counter[Any]


_KEPT: dict[int, Quiet] = {}
_TURNS: dict[int, threading.Lock] = defaultdict(threading.Lock)


def quiet(load: Load) -> Quiet:
    """Return what a load comes to when nothing happens."""
    with _TURNS[load.seed]:
        if load.seed not in _KEPT:
            with tempfile.TemporaryDirectory() as folder:
                _KEPT[load.seed] = Quiet(judged(load, Path(folder)), *_undisturbed(load, Path(folder)))
    return _KEPT[load.seed]


def judged(load: Load, folder: Path) -> dict[FindingKind, str]:
    """Return the files that `heatwatch judge` makes of what is published, as of the end."""
    readings, points = load.write(folder)
    asked = [readings, "--points", points, "--as-of", iso(load.end_ms), "--out", folder / "judged"]
    judge.main([*map(str, asked), "--json"], standalone_mode=False)
    return {kind: (folder / "judged" / f"{kind.file_stem}.csv").read_text(encoding="utf-8") for kind in FindingKind}


def tickets_of(session: Session) -> Counter[Any]:
    """Count tickets by kind, scope, place, state and what they rest on."""
    held = select(TicketFinding.ticket_id, FindingRow).join(FindingRow, FindingRow.id == TicketFinding.finding_id)
    rests_on = defaultdict[int, list[tuple[Any, ...]]](list)
    for ticket_id, row in session.execute(held.where(FindingRow.withdrawn.is_(False)).order_by(FindingRow.start_ms)):
        rests_on[ticket_id].append((row.kind, row.subject_id, row.start_ms, row.end_ms))
    return Counter(
        (
            row.kind,
            row.scope,
            row.station_id,
            row.building_id,
            row.room_id,
            row.state,
            *sorted(rests_on[row.id], key=str),
        )
        for row in session.scalars(select(TicketRow))
    )


def told_of(session: Session) -> Counter[Any]:
    """Count notifications by kind, recipient, moment and the place of their ticket."""
    rows = session.execute(select(OutboxRow, TicketRow).join(TicketRow, TicketRow.id == OutboxRow.ticket_id))
    return Counter(
        (row.kind, row.recipient, iso(row.created_ms), ticket.building_id, ticket.room_id) for row, ticket in rows
    )


def _undisturbed(load: Load, folder: Path) -> tuple[Counter[Any], Counter[Any]]:
    """Do every step of a load as `serve` does it."""
    with closing(Records(f"sqlite:///{folder / 'records.sqlite'}")) as records:
        with ONE_AT_A_TIME:
            records.migrate()
        with records.write() as session:
            import_register(session, load.rows, "town", "", load.start_ms)
        with closing(EmbeddedReadings(folder / "readings.duckdb")) as store:
            works = _Works(records, store, load.step_ms)
            works.step(Messages.none(), load.start_ms // load.step_ms * load.step_ms)
            for messages, now_ms in load.steps():
                works.step(messages, now_ms)
        with records.read() as session:
            return tickets_of(session), told_of(session)


class _Works:
    """Ingest, analytics and dispatch without broker, journal and threads."""

    def __init__(self, records: Records, store: EmbeddedReadings, step_ms: int) -> None:
        self._records, self._store = records, store
        self._ahead_ms = HOUR_MS // step_ms * step_ms
        self._decoders, self._numbers, self._steps = Decoders(), count(1), count()
        self._clock = Clock(replayed=True, now_ms=None, ahead_limit_ms=AHEAD_MS)
        standard = default_standard()
        self._roles = (
            AnalyticsWorker(records, store, standard, ZoneInfo(ZONE), Bell()),
            DispatchWorker(records, store, standard, Bell(), timezone=ZONE, company="供热公司"),
        )

    def step(self, messages: Messages, now_ms: int) -> None:
        """Take in the messages of a step and its tick, and let every role do what follows."""
        tick = Tick(run="none", step=next(self._steps), now=now_ms, ahead_ms=self._ahead_ms)
        sent = [*zip(messages.topics, messages.payloads, strict=True), (CLOCK_TOPIC, tick.model_dump_json())]
        said = [Message(topic.encode(), payload.encode(), now_ms) for topic, payload in sent]
        self._deliver([Entry(next(self._numbers), message) for message in said])
        for role in self._roles:
            while role.pass_once():
                pass

    def _deliver(self, entries: Sequence[Entry]) -> None:
        found = sort(entries, "w", self._decoders, self._clock)
        delivery = found.settle(self._store.write(found.batch()))
        with self._records.write() as session:
            commit_delivery(session, delivery)
        self._clock = self._clock.after(delivery.tick)
