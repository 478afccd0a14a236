"""The people of a simulated town: a dispatch office and stations that work on tickets, mostly in time.

They use the same use case as the console, so that whatever they do is legal, logged and audited. Who does what when
depends on the seed and the ticket's number alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from sqlalchemy.orm import Session

from heatwatch.domain.instants import HOUR_MS, MINUTE_MS
from heatwatch.domain.life import Deed
from heatwatch.domain.temperature import Standard
from heatwatch.domain.tickets import TicketKind, TicketState
from heatwatch.errors import BadInput
from heatwatch.records.database import Records
from heatwatch.records.schema import TicketRow
from heatwatch.usecases.tickets import Done, act, known, tickets

_LOW: Sequence[tuple[Deed, float, Mapping[str, str]]] = (
    (Deed.TAKE, 6, {}),
    (Deed.CONTACT, 14, {"text": "已与用户约定上门时间"}),
    (Deed.OPINION, 20, {"text": "上门测温并检查入户阀门、散热器"}),
    (Deed.ASSIGN, 25, {"person": "维修班"}),
    (Deed.ON_SITE, 70, {"text": "已到用户家中"}),
    (Deed.CAUSE, 100, {"text": "入户支管阀门开度不足，散热器有气"}),
    (Deed.FINISH, 130, {"text": "已调节阀门并排气"}),
    (Deed.RECEIPT, 150, {"text": "用户在场确认", "contact": "见用户档案"}),
)
_STOP: Sequence[tuple[Deed, float, Mapping[str, str]]] = (
    (Deed.TAKE, 2, {}),
    (Deed.ASSIGN, 8, {"person": "抢修队"}),
    (Deed.ON_SITE, 25, {"text": "抢修队已到换热站"}),
    (Deed.OPINION, 40, {"text": "逐段排查一次网和循环泵"}),
)
_AFTER_STOP: Sequence[tuple[Deed, float, Mapping[str, str]]] = (
    (Deed.CAUSE, 15, {"text": "循环泵电机故障，已更换备用泵"}),
    (Deed.FINISH, 30, {"text": "已恢复供热，压力、温度正常"}),
    (Deed.RECEIPT, 60, {"text": "已逐户告知", "contact": "见用户档案"}),
)
_POINT: Sequence[tuple[Deed, float, Mapping[str, str]]] = (
    (Deed.TAKE, 45, {}),
    (Deed.ASSIGN, 90, {"person": "仪表班"}),
    (Deed.ON_SITE, 1500, {"text": "已到测点检查"}),
    (Deed.CAUSE, 1515, {"text": "测温终端故障"}),
    (Deed.FINISH, 1530, {"text": "已更换测温终端，核对读数正常"}),
)
_FOLLOW_UP_MS = 50 * HOUR_MS
Planned = tuple[Deed, int, Mapping[str, str]]
"""A deed, from when on [ms], and what is said with it."""
_LATE_SHARE = 0.25
"""Share of tickets on which work begins late."""


@dataclass(frozen=True, slots=True)
class Crew:
    """Works on the tickets of one installation.

    Parameters
    ----------
    records, standard
        Where tickets are, and the rules of their clocks.
    seed
        Of what they do when.
    """

    records: Records
    standard: Standard
    seed: int

    def work(self, now_ms: int) -> int:
        """Do what is planned up to `now_ms`, at most one deed a ticket; return how many deeds."""
        with self.records.read() as session:
            planned = [(row.id, self._next(session, row, now_ms)) for row in tickets(session, at_work=True)]
        todo = [(number, done) for number, done in planned if done is not None]
        return sum(self._do(number, done) for number, done in todo)

    def _do(self, ticket_id: int, done: Done) -> bool:
        try:
            with self.records.write() as session:
                return act(session, ticket_id, done, self.standard) is not None
        except BadInput:
            return False  # somebody else was quicker

    def _next(self, session: Session, row: TicketRow, now_ms: int) -> Done | None:
        stands = known(session, row, self.standard)
        legal = stands.deeds(now_ms)
        for deed, at_ms, detail in self._plan(row, stands.facts.stop_end_ms, groundless=stands.facts.groundless):
            if deed in legal and deed not in stands.now.done and at_ms <= now_ms and not _taken_already(deed, row):
                return Done(deed, f"{row.station_id}值班员", now_ms, detail)
        return None

    def _plan(self, row: TicketRow, stop_end_ms: int | None, *, groundless: bool) -> list[Planned]:
        chance = Random(f"{self.seed}-{row.id}")  # noqa: S311 - a simulation
        late_ms = round(chance.uniform(20, 90)) * MINUTE_MS if chance.random() < _LATE_SHARE else 0
        pace = chance.uniform(0.6, 1.3)
        stop = row.kind == TicketKind.HEAT_OUTAGE
        usual = _POINT if row.kind == TicketKind.SENSOR else _LOW
        plan = _timed(_STOP if stop else usual, row.opened_ms + (0 if stop else late_ms), pace)
        if stop and stop_end_ms is not None:
            plan += _timed(_AFTER_STOP, max(stop_end_ms, row.opened_ms), pace)
        return [*plan, *_ending(row, groundless=groundless)]


def _timed(plan: Sequence[tuple[Deed, float, Mapping[str, str]]], from_ms: int, pace: float) -> list[Planned]:
    return [(deed, from_ms + round(pace * after_min * MINUTE_MS), detail) for deed, after_min, detail in plan]


def _ending(row: TicketRow, *, groundless: bool) -> list[Planned]:
    """Return the follow-up; where the room is still cold by then, the repair goes on (R18)."""
    if row.finished_ms is None:
        return []
    at_ms = row.finished_ms + _FOLLOW_UP_MS
    point = row.kind == TicketKind.SENSOR
    if row.recovered_ms is None and not groundless:
        return [(Deed.REOPEN, at_ms, {"text": f"回访时{'测点数据仍不正常' if point else '室温仍不达标'}，继续处理"})]
    return [(Deed.FOLLOW_UP, at_ms, {"text": "测点数据已核实正常" if point else "用户反映室温正常，满意"})]


def _taken_already(deed: Deed, row: TicketRow) -> bool:
    return deed is Deed.TAKE and row.state != TicketState.OPEN
