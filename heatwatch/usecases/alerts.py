"""Grafana's alerts in the records: kept one row an episode, and taken to their tickets.

Like a person's deeds, what is told is done at once and in one transaction, with the audit trail held: a delivery that
comes twice, or after a later one, changes nothing more. An alert whose ticket is not there yet waits; dispatch looks
for it in each of its passes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, TypeVar, Unpack

from sqlalchemy import ColumnElement, Row, case, func, insert, select, update
from sqlalchemy.orm import Session

from heatwatch.domain.alerts import GRAFANA, JOINS, OF_A_PLACE, Alert, Candidate, about, folded, opens, taker, takes
from heatwatch.domain.instants import iso
from heatwatch.domain.life import Mark
from heatwatch.domain.register import Register
from heatwatch.domain.temperature import Standard
from heatwatch.domain.tickets import AT_WORK, GOING_ON, TECHNICAL_RULE, Scope, TicketKind, TicketState
from heatwatch.records.audit import acting, hold
from heatwatch.records.schema import AlertRow, TicketClock, TicketFinding, TicketRow
from heatwatch.usecases.tickets import note, refresh

FIRING, RESOLVED = "firing", "resolved"
BY_TICKET, BY_FINDING, BY_PLACE, BY_MATTER = "ticket", "finding", "place", "matter"
"""How an alert came to its ticket."""
_SLICE = 5000
"""How many values one statement names: databases have a bound."""
_NAMED_MAX, _SAID_MAX = 20, 3
"""How many alerts one line of a log names, and of how many it says what they say."""
_REMEMBERED = ("id", "fingerprint", "starts_ms", "ends_ms", "status", "fired", "seen", "ticket_id", "joined")
_WORKING = [str(state) for state in AT_WORK]
ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a delivery.

    Attributes
    ----------
    told, new
        How many episodes it told of, and how many of these were not known.
    joined
        How many came to a ticket that was there.
    opened
        The technical tickets that it opened.
    waiting
        How many have no ticket.
    """

    told: int
    new: int
    joined: int
    opened: Sequence[int]
    waiting: int


@dataclass(slots=True)
class _Kept:
    """An episode as it is kept: its row's number (None: not yet), what was known before, and its ticket."""

    alert: Alert
    number: int | None = None
    was: Alert | None = None
    ticket_id: int | None = None
    joined: str = ""
    matter: str | None = None
    """Of the technical ticket that is to be opened for it."""

    @property
    def changed(self) -> bool:
        was = self.was
        return was is None or (was.fired, was.resolved, was.ends_ms) != (
            self.alert.fired,
            self.alert.resolved,
            self.alert.ends_ms,
        )


def places_of(register: Register | None) -> dict[str, frozenset[str]]:
    """Return the stations of a register, each with its buildings."""
    held: defaultdict[str, set[str]] = defaultdict(set)
    for row in register.rows if register is not None else ():
        held[row.station_id].add(row.building_id)
    return {station: frozenset(buildings) for station, buildings in held.items()}


def take(
    session: Session, told: Iterable[Alert], places: Mapping[str, frozenset[str]], standard: Standard, at_ms: int
) -> Taken:
    """Keep what a delivery tells, and take it to the tickets.

    Parameters
    ----------
    session
        A writing session.
    told
        The alerts of the delivery; an episode may be told of more than once.
    places
        The stations of the register, each with its buildings.
    standard
        The rules in force.
    at_ms
        The installation's clock [ms].
    """
    hold(session)
    acting(session, GRAFANA, at_ms)
    kept = _known(session, folded(told))
    loose = [one for one in kept if one.ticket_id is None]
    before = {id(one) for one in loose}
    _place(session, loose, places, at_ms)
    opened = _open(session, loose, at_ms)
    session.flush()
    news = [one for one in kept if one.changed or (id(one) in before and one.ticket_id is not None)]
    _keep(session, kept, news, at_ms)
    _tell(session, news, before, at_ms)
    _follow(session, {one.ticket_id for one in news if one.ticket_id is not None}, at_ms)
    for row in opened:
        refresh(session, row, standard)
    numbers = {row.id for row in opened}
    joined = sum(one.ticket_id is not None and one.ticket_id not in numbers for one in loose)
    waiting = sum(one.ticket_id is None for one in kept)
    return Taken(len(kept), sum(one.number is None for one in kept), joined, sorted(numbers), waiting)


def join_waiting(session: Session, stations: Collection[str], standard: Standard, at_ms: int) -> None:
    """Let alerts that fire join the tickets that have appeared since in stations.

    A technical ticket that an alert opened, of what the pipeline now has a ticket for, merges into that one.

    Parameters
    ----------
    session
        A writing session that holds the audit trail and says who acts.
    stations
        Where tickets have changed.
    standard
        The rules in force.
    at_ms
        The installation's clock [ms].
    """
    if not stations:
        return
    late = AlertRow.ticket_id.is_(None) | ((AlertRow.joined == BY_MATTER) & AlertRow.kind.in_(sorted(OF_A_PLACE)))
    asked = select(AlertRow).where(AlertRow.status == FIRING, late, AlertRow.kind.in_(sorted(JOINS)))
    rows: list[AlertRow] = []
    for some in _sliced(stations):
        rows += session.scalars(asked.where(AlertRow.station_id.in_(some)).order_by(AlertRow.id))
    kept = [_Kept(_alert(row), row.id) for row in rows]
    _by_place(session, kept, at_ms)
    news: list[_Kept] = []
    gone: dict[int, int] = {}
    for row, one in zip(rows, kept, strict=True):
        if one.ticket_id is None:
            continue
        if row.ticket_id is not None:
            gone[row.ticket_id] = one.ticket_id
        row.ticket_id, row.joined = one.ticket_id, one.joined
        news.append(one)
    session.flush()
    _tell(session, news, {id(one) for one in news}, at_ms)
    for ticket_id, into in sorted(gone.items()):
        _merge(session, ticket_id, into, standard, at_ms)


def _merge(session: Session, ticket_id: int, into: int, standard: Standard, at_ms: int) -> None:
    row = session.get_one(TicketRow, ticket_id)
    moved = update(AlertRow).where(AlertRow.ticket_id == ticket_id).values(ticket_id=into, joined=BY_PLACE)
    session.execute(moved, execution_options={"synchronize_session": "fetch"})
    if row.state not in GOING_ON:
        return
    row.merged_into = into
    note(session, ticket_id, at_ms, Mark.MERGED, {"into": into})
    note(session, into, at_ms, Mark.TOOK_OVER, {"ticket_id": ticket_id})
    refresh(session, row, standard)


def _alert(row: AlertRow) -> Alert:
    said = (row.labels, row.summary, row.rule_uid, row.seen)
    return Alert(row.fingerprint, row.starts_ms, row.ends_ms, row.fired, row.status == RESOLVED, *said)


def _known(session: Session, told: Mapping[tuple[str, int], Alert]) -> list[_Kept]:
    """Return each episode as it is after what was told of it."""
    columns = [getattr(AlertRow, name) for name in _REMEMBERED]
    kept = {key: _Kept(alert) for key, alert in told.items()}
    for some in _sliced(told):
        starts = [starts_ms for _, starts_ms in some]
        asked = select(*columns).where(AlertRow.fingerprint.in_({name for name, _ in some}))
        for row in session.execute(asked.where(AlertRow.starts_ms.between(min(starts), max(starts)))):
            one = kept.get((row.fingerprint, row.starts_ms))
            if one is not None:
                _remember(one, row)
    return list(kept.values())


def _remember(one: _Kept, row: Row[Any]) -> None:
    resolved = row.status == RESOLVED
    was = Alert(row.fingerprint, row.starts_ms, row.ends_ms, row.fired, resolved, seen=row.seen)
    one.number, one.was, one.ticket_id, one.joined = row.id, was, row.ticket_id, row.joined
    one.alert = was.told_again(one.alert)


def _place(session: Session, loose: Sequence[_Kept], places: Mapping[str, frozenset[str]], at_ms: int) -> None:
    """Find the tickets of alerts that have none: named, by place, or by matter; else say what is to be opened."""
    _by_name(session, loose)
    _by_place(session, [one for one in loose if one.ticket_id is None], at_ms)
    able = [one for one in loose if one.ticket_id is None and opens(one.alert, places)]
    technical = _technical(session, {one.alert.matter for one in able})
    for one in able:
        mine = [number for number, finished_ms in technical.get(one.alert.matter, ()) if takes(finished_ms, one.alert)]
        one.joined, one.matter = BY_MATTER, one.alert.matter
        if mine:
            one.ticket_id = max(mine)


def _by_name(session: Session, loose: Iterable[_Kept]) -> None:
    """Take alerts to the tickets that their labels name, not to another station's."""
    by_ticket = {id(one): (one, number) for one in loose if (number := one.alert.number("ticket")) is not None}
    by_finding = {id(one): (one, number) for one in loose if (number := one.alert.number("finding")) is not None}
    of_finding: dict[int, int] = {}
    for some in _sliced({number for _, number in by_finding.values()}):
        held = select(TicketFinding.finding_id, TicketFinding.ticket_id).where(TicketFinding.finding_id.in_(some))
        of_finding |= {row.finding_id: row.ticket_id for row in session.execute(held)}
    named = _tickets(session, {number for _, number in by_ticket.values()} | set(of_finding.values()))
    for how, wanted in ((BY_TICKET, by_ticket), (BY_FINDING, by_finding)):
        for one, number in wanted.values():
            found = named.get(number if how == BY_TICKET else of_finding.get(number, 0))
            if one.ticket_id is None and found is not None and one.alert.station in ("", found[1]):
                one.ticket_id, one.joined = found[0], how


def _tickets(session: Session, numbers: Collection[int]) -> dict[int, tuple[int, str]]:
    """Return of each number the ticket that it stands for, merges followed, with its station."""
    rows: dict[int, tuple[int | None, str]] = {}
    wanted = set(numbers)
    while wanted:
        found: dict[int, tuple[int | None, str]] = {}
        for some in _sliced(wanted):
            asked = select(TicketRow.id, TicketRow.merged_into, TicketRow.station_id).where(TicketRow.id.in_(some))
            found |= {number: (into, station) for number, into, station in session.execute(asked)}
        rows |= found
        wanted = {into for into, _ in found.values() if into is not None} - rows.keys()
    return {number: _last(rows, number) for number in numbers if number in rows}


def _last(rows: Mapping[int, tuple[int | None, str]], number: int) -> tuple[int, str]:
    into, station = rows[number]
    return (number, station) if into is None else _last(rows, into)


def _by_place(session: Session, loose: Sequence[_Kept], at_ms: int) -> None:
    able = [one for one in loose if one.alert.kind in JOINS and one.alert.station]
    tickets = _candidates(session, {one.alert.station for one in able}, at_ms)
    for one in able:
        station, building = one.alert.station, one.alert.building
        here = [*tickets.get((station, ""), ()), *(tickets.get((station, building), ()) if building else ())]
        found = taker(one.alert, here)
        if found is not None:
            one.ticket_id, one.joined = found.id, BY_PLACE


def _candidates(session: Session, stations: Collection[str], at_ms: int) -> dict[tuple[str, str], list[Candidate]]:
    """Return the pipeline's and people's tickets at work in stations, by station and building."""
    wanted = (TicketRow.state.in_(_WORKING), TicketRow.kind != TicketKind.TECHNICAL)
    found: defaultdict[tuple[str, str], list[Candidate]] = defaultdict(list)
    for some in _sliced(stations):
        here = (*wanted, TicketRow.station_id.in_(some))
        breached: defaultdict[int, dict[str, int]] = defaultdict(dict)
        late = select(TicketClock.ticket_id, TicketClock.rule, func.min(TicketClock.due_ms))
        late = late.join(TicketRow, TicketRow.id == TicketClock.ticket_id).where(*here, TicketClock.due_ms < at_ms)
        late = late.where(TicketClock.done_ms.is_(None), TicketClock.off.is_(False))
        for ticket_id, rule, due_ms in session.execute(late.group_by(TicketClock.ticket_id, TicketClock.rule)):
            breached[ticket_id][rule] = due_ms
        for row in session.scalars(select(TicketRow).where(*here)):
            place = (row.station_id, "" if row.scope == Scope.STATION else row.building_id)
            found[place].append(_candidate(row, breached.get(row.id, {})))
    return found


def _candidate(row: TicketRow, breached: Mapping[str, int]) -> Candidate:
    place = (row.station_id, row.building_id, row.room_id, row.point_id)
    return Candidate(
        row.id, TicketKind(row.kind), Scope(row.scope), *place, row.cause_start_ms, row.finished_ms, breached
    )


def _technical(session: Session, matters: Collection[str]) -> dict[str, list[tuple[int, int | None]]]:
    """Return the technical tickets at work of matters, each with when its repair was finished [ms]."""
    found: defaultdict[str, list[tuple[int, int | None]]] = defaultdict(list)
    for some in _sliced(matters):
        asked = select(AlertRow.matter, TicketRow.id, TicketRow.finished_ms).distinct()
        asked = asked.join(TicketRow, TicketRow.id == AlertRow.ticket_id)
        asked = asked.where(TicketRow.kind == TicketKind.TECHNICAL, TicketRow.state.in_(_WORKING))
        for matter, number, finished_ms in session.execute(
            asked.where(AlertRow.joined == BY_MATTER, AlertRow.matter.in_(some))
        ):
            found[matter].append((number, finished_ms))
    return found


def _open(session: Session, loose: Iterable[_Kept], at_ms: int) -> list[TicketRow]:
    """Open a technical ticket for each matter that has none."""
    wanted: defaultdict[str, list[_Kept]] = defaultdict(list)
    for one in loose:
        if one.matter is not None and one.ticket_id is None:
            wanted[one.matter].append(one)
    made = {matter: _ticket([one.alert for one in held], at_ms) for matter, held in sorted(wanted.items())}
    session.add_all(made.values())
    session.flush()
    for matter, row in made.items():
        note(session, row.id, at_ms, Mark.OPENED, {"cause_start": iso(row.cause_start_ms)}, GRAFANA)
        for one in wanted[matter]:
            one.ticket_id = row.id
    return [*made.values()]


def _ticket(alerts: Sequence[Alert], at_ms: int) -> TicketRow:
    first = min(alerts, key=lambda one: one.starts_ms)
    station, building = first.place
    return TicketRow(
        kind=str(TicketKind.TECHNICAL),
        state=str(TicketState.OPEN),
        emergency=False,
        scope=str(Scope.BUILDING if building else Scope.STATION),
        station_id=station,
        building_id=building,
        rule=TECHNICAL_RULE,
        opened_ms=at_ms,
        cause_start_ms=first.starts_ms,
        evidence=[],
        subject=about(first),
    )


def _keep(session: Session, kept: Iterable[_Kept], news: Sequence[_Kept], at_ms: int) -> None:
    """Write the episodes: new ones whole, others as far as something has changed."""
    new = [_row(one, at_ms) for one in news if one.number is None]
    if new:
        session.execute(insert(AlertRow), new, execution_options={"render_nulls": True})  # else one statement each
    changed = [_change(one) for one in news if one.number is not None]
    if changed:
        session.execute(update(AlertRow), changed)
    again: defaultdict[int, list[int]] = defaultdict(list)
    for one in kept:
        if one.number is not None and one.was is not None:
            again[one.alert.seen - one.was.seen].append(one.number)
    for times, numbers in again.items():
        for some in _sliced(numbers):
            told = update(AlertRow).where(AlertRow.id.in_(some)).values(seen=AlertRow.seen + times, last_ms=at_ms)
            session.execute(told, execution_options={"synchronize_session": False})


def _change(one: _Kept) -> dict[str, Any]:
    alert = one.alert
    return {
        "id": one.number,
        "ends_ms": alert.ends_ms,
        "status": RESOLVED if alert.resolved else FIRING,
        "fired": alert.fired,
        "summary": alert.summary,
        "ticket_id": one.ticket_id,
        "joined": one.joined if one.ticket_id is not None else "",
    }


def _row(one: _Kept, at_ms: int) -> dict[str, Any]:
    alert = one.alert
    said = {name: value for name, value in _change(one).items() if name != "id"}
    return said | {
        "fingerprint": alert.fingerprint,
        "starts_ms": alert.starts_ms,
        "rule_uid": alert.rule_uid,
        "name": alert.name,
        "kind": alert.kind,
        "station_id": alert.station,
        "building_id": alert.building,
        "matter": alert.matter,
        "labels": dict(alert.labels),
        "first_ms": at_ms,
        "last_ms": at_ms,
        "seen": alert.seen,
    }


def _tell(session: Session, news: Iterable[_Kept], came: Collection[int], at_ms: int) -> None:
    """Note on each ticket, in one line a delivery, which alerts of it fire, and which do no more."""
    lines: defaultdict[tuple[int, Mark], list[Alert]] = defaultdict(list)
    for one in news:
        if one.ticket_id is None:
            continue
        if id(one) in came and (one.alert.fired or not one.alert.resolved):
            lines[one.ticket_id, Mark.ALERTED].append(one.alert)
        if one.alert.resolved and (id(one) in came or one.was is None or not one.was.resolved):
            lines[one.ticket_id, Mark.ALERT_RESOLVED].append(one.alert)
    for (ticket_id, mark), alerts in sorted(lines.items(), key=lambda one: (one[0][0], one[0][1] != Mark.ALERTED)):
        note(session, ticket_id, at_ms, mark, _said(alerts), GRAFANA)


def _said(alerts: Sequence[Alert]) -> dict[str, Any]:
    ordered = sorted(alerts, key=lambda one: one.key)
    texts = list(dict.fromkeys(one.summary or one.name for one in ordered))
    text = "；".join(text for text in texts[:_SAID_MAX] if text)
    if len(ordered) > _SAID_MAX:
        text += f"……（{len(ordered)}）"
    named = [{"fingerprint": one.fingerprint, "starts": iso(one.starts_ms)} for one in ordered[:_NAMED_MAX]]
    return {"text": text, "alerts": named, "count": len(ordered)}


def _follow(session: Session, tickets: Collection[int], at_ms: int) -> None:
    """Note on technical tickets when none of their alerts fires any more, or one does again; never closes one."""
    for some in _sliced(tickets):
        firing = func.sum(case((AlertRow.status == FIRING, 1), else_=0))
        over = func.max(func.coalesce(AlertRow.ends_ms, AlertRow.starts_ms))
        asked = select(TicketRow, firing, over, func.min(AlertRow.starts_ms))
        asked = asked.join(AlertRow, AlertRow.ticket_id == TicketRow.id).where(TicketRow.id.in_(some))
        asked = asked.where(TicketRow.kind == TicketKind.TECHNICAL, TicketRow.state.in_(_WORKING))
        for row, going_on, over_ms, began_ms in session.execute(
            asked.group_by(TicketRow.id).order_by(TicketRow.id)
        ).all():
            row.cause_start_ms = min(row.cause_start_ms, began_ms)
            was, row.recovered_ms = row.recovered_ms, None if going_on else over_ms
            if was is None and row.recovered_ms is not None:
                note(session, row.id, at_ms, Mark.RECOVERED, {"since": iso(row.recovered_ms)}, GRAFANA)
            elif was is not None and row.recovered_ms is None:
                note(session, row.id, at_ms, Mark.RELAPSED, {}, GRAFANA)


class Which(TypedDict, total=False):
    """Which alerts are asked for; what is left out or None asks for all."""

    status: str | None
    kind: str | None
    station: str | None
    ticket: int | None
    waiting: bool | None
    stations: Collection[str] | None


def alerts(
    session: Session, *, limit: int | None = None, offset: int = 0, **which: Unpack[Which]
) -> Sequence[AlertRow]:
    """Return alerts, the latest start first."""
    query = select(AlertRow).where(*_wanted(which)).order_by(AlertRow.starts_ms.desc(), AlertRow.id.desc())
    return session.scalars(query.limit(limit).offset(offset)).all()


def count_alerts(session: Session, **which: Unpack[Which]) -> int:
    """Return how many alerts there are of these."""
    return session.scalar(select(func.count()).select_from(AlertRow).where(*_wanted(which))) or 0


def _wanted(which: Which) -> list[ColumnElement[bool]]:
    columns: dict[str, Any] = {"status": AlertRow.status, "kind": AlertRow.kind, "station": AlertRow.station_id}
    columns["ticket"] = AlertRow.ticket_id
    wanted = [column == which.get(name) for name, column in columns.items() if which.get(name) is not None]
    waiting, stations = which.get("waiting"), which.get("stations")
    if waiting is not None:
        wanted.append(AlertRow.ticket_id.is_(None) if waiting else AlertRow.ticket_id.is_not(None))
    if stations is not None:
        wanted.append(AlertRow.station_id.in_(sorted(stations)))
    return wanted


def _sliced(values: Iterable[ValueT]) -> Iterator[list[ValueT]]:
    held = list(values)
    for first in range(0, len(held), _SLICE):
        yield held[first : first + _SLICE]
