"""What flows: messages from journal to store, readings to findings, notifications out; and where it stands still."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cli.doctoring.keeping import in_force
from cli.doctoring.machine import MB
from cli.doctoring.patient import Patient, UnseenError
from cli.doctoring.said import Said, Verdict, bad, ok, skip, warn
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, iso
from heatwatch.domain.tickets import AT_WORK
from heatwatch.records.schema import (
    Arrival,
    ComplianceProgress,
    JournalPosition,
    OutboxRow,
    Progress,
    Quarantine,
    TicketClock,
    TicketRow,
)
from heatwatch.settings import EMBEDDED
from heatwatch.usecases.delivery import identities, stored_up_to
from heatwatch.usecases.register import RegisterInForce, register_version
from ingest.inspecting import arrived_ms, inspect, is_held

FULL_WARN, FULL_BAD = 0.5, 0.9
WAITS_WARN_MS, WAITS_BAD_MS = 2 * MINUTE_MS, 15 * MINUTE_MS
LAG_WARN_MS, LAG_BAD_MS = 5 * MINUTE_MS, 30 * MINUTE_MS
UNSENT_WARN_MS, UNSENT_BAD_MS = 15 * MINUTE_MS, 2 * HOUR_MS
SILENT_WARN_MS, SILENT_BAD_MS = 2 * HOUR_MS, 8 * HOUR_MS
"""A station of which no reading has come for so long; most thermometers send every hour at least."""
QUARANTINE_DAYS = 7
QUARANTINE_LEAST = 100
"""Fewer in a day are not worth a warning."""
GROWN = 2.0
REASONS_SHOWN = 3
NAMED = 5
ARRIVALS_LOOKED = 5_000
"""In how many commits of ingest, from the newest on, a station is looked for."""
_RESTORE = "stop `serve`, keep a copy of the folder, and restore the journal with everything else from the backup"


def journal(patient: Patient) -> Iterator[Said]:
    """Tell whether this worker's journal is there, is whole, and has room."""
    patient.sure_of("data_dir", "worker")
    folder, seen = patient.settings.journal_dir, patient.journal()
    if seen is None:
        yield _no_journal(patient, folder)
        return
    if seen.damage:
        yield bad(f"damaged: {seen.damage}", _RESTORE)
        return
    limit = patient.settings.journal_limit_mb * MB
    share = seen.size_bytes / limit
    told = f"message {seen.last:,} is the last, {seen.size_bytes // MB:,} of {limit // MB:,} MB used"
    do = "see waiting, store and records: what is stored is deleted from it"
    if share >= FULL_BAD:
        yield bad(f"{told}: at the end of it nothing is taken any more", do)
    elif share >= FULL_WARN:
        yield warn(told, do)
    else:
        yield ok(told)
    if seen.torn_bytes and not patient.at_work():
        yield ok(f"{seen.torn_bytes} bytes are half written since a crash: the next start cuts them off, none is lost")


def _no_journal(patient: Patient, folder: Path) -> Said:
    with patient.reading() as session:
        stored = stored_up_to(session, patient.settings.worker)
    if stored and patient.settings.records == EMBEDDED:
        what = f"{folder}: is gone, though {stored:,} messages of it were stored: `serve` will not start"
        return bad(what, "put the folder back, or give the worker a new name")
    return skip(f"{folder}: none here", "look on the machine where ingest runs")


def other_journals(patient: Patient) -> Iterator[Said]:
    """Name journals of other workers whose messages nobody stores."""
    folder = patient.settings.journal_dir
    others = sorted({path.parent for path in folder.parent.glob("*/*.journal")} - {folder})
    for other in others:
        seen = inspect(other)
        if seen is None or is_held(other):
            continue
        if seen.damage:
            yield bad(f"{other}: damaged: {seen.damage}", _RESTORE)
            continue
        with patient.reading() as session:
            waits = seen.last - stored_up_to(session, other.name)
        if waits > 0:
            do = f"start a `serve` with worker = {other.name!r} once: it stores them"
            yield bad(f"{other}: {waits:,} messages wait, and no worker of that name runs", do)
    if not others:
        yield ok("there is none")


def waiting(patient: Patient) -> Iterator[Said]:
    """Tell how many messages wait to be stored, and for how long."""
    seen = patient.journal()
    if seen is not None and seen.damage:
        raise UnseenError("the journal is damaged: see journal")
    with patient.reading() as session:
        rows = {row.worker: (row.sequence, row.received) for row in session.scalars(select(JournalPosition))}
    mine = patient.settings.worker
    stored, received = rows.pop(mine, (0, 0))
    if seen is not None:
        since_ms = arrived_ms(patient.settings.journal_dir, stored + 1)
        yield judge_waiting(mine, max(seen.last - stored, 0), since_ms, patient.now_ms)
    elif received or not rows:
        yield judge_waiting(mine, max(received - stored, 0), None, patient.now_ms)
    for worker, (done, last) in sorted(rows.items()):
        yield judge_waiting(worker, max(last - done, 0), None, patient.now_ms)


def judge_waiting(worker: str, count: int, since_ms: int | None, now_ms: int) -> Said:
    """Judge how many messages wait, and since when."""
    if not count:
        return ok(f"{worker}: no message waits")
    if since_ms is None:
        return ok(f"{worker}: {count:,} messages wait")
    told = f"{worker}: {count:,} messages wait, the first for {_span(now_ms - since_ms)}"
    do = (
        "see serve, store and records; where those are well, its log says who refuses it: it may have a secret that "
        "was changed since it started, so restart it. Messages are safe in the journal, and judged when they are stored"
    )
    if now_ms - since_ms >= WAITS_BAD_MS:
        return bad(told, do)
    return warn(told, do) if now_ms - since_ms >= WAITS_WARN_MS else ok(told)


def roles(patient: Patient) -> Iterator[Said]:
    """Compare how far each role has come with the clock."""
    if patient.replayed:
        raise UnseenError("a replay has a clock of its own")
    with patient.reading() as session:
        reached = {row.role: row.as_of_ms for row in session.scalars(select(Progress)) if row.as_of_ms is not None}
        rates_ms = session.scalar(select(ComplianceProgress.as_of_ms))
        done = session.scalar(select(Progress.arrival_seq).where(Progress.role == "analytics")) or 0
        unjudged = session.scalar(select(func.count()).select_from(Arrival).where(Arrival.seq > done)) or 0
    reached.pop("ingest", None)
    every_ms = int(patient.settings.judge_every_s * SECOND_MS)
    for role, as_of_ms in sorted(reached.items()):
        yield judge_lag(role, patient.now_ms - as_of_ms, every_ms)
    if rates_ms is not None:
        yield judge_lag("rates", patient.now_ms - rates_ms, int(patient.settings.rates_every_min * MINUTE_MS))
    if not reached:
        yield warn("no role has done anything yet", "start `serve`")
    elif unjudged:
        yield ok(f"{unjudged:,} commits of ingest are not judged yet")


def judge_lag(role: str, lag_ms: int, every_ms: int) -> Said:
    """Judge how far a role is behind the clock, that works every `every_ms` milliseconds at least."""
    told = f"{role} is {_span(lag_ms)} behind the clock"
    do = "see serve and its log; start the role again where it does not run"
    if lag_ms >= LAG_BAD_MS + 2 * every_ms:
        return bad(told, do)
    return warn(told, do) if lag_ms >= LAG_WARN_MS + 2 * every_ms else ok(told)


def quarantine(patient: Patient) -> Iterator[Said]:
    """Compare what went to quarantine within a day with the days before, and name the reasons."""
    with patient.reading() as session:
        now_ms = patient.clock_ms(session) or patient.now_ms
        day_ms, week_ms = now_ms - DAY_MS, now_ms - (QUARANTINE_DAYS + 1) * DAY_MS
        in_day = Quarantine.arrived_ms > day_ms
        last = session.scalar(select(func.count()).select_from(Quarantine).where(in_day)) or 0
        earlier = (Quarantine.arrived_ms > week_ms) & (Quarantine.arrived_ms <= day_ms)
        before = session.scalar(select(func.count()).select_from(Quarantine).where(earlier)) or 0
        by_reason = select(Quarantine.reason, func.count()).where(in_day).group_by(Quarantine.reason)
        top = session.execute(by_reason.order_by(func.count().desc()).limit(REASONS_SHOWN)).all()
    yield judge_quarantine(last, before / QUARANTINE_DAYS, [(reason, count) for reason, count in top])


def judge_quarantine(last: int, daily: float, reasons: Iterable[tuple[str, int]]) -> Said:
    """Judge how much went to quarantine within a day, by how much did on a day before."""
    if not last:
        return ok(f"nothing within a day; {daily:,.0f} a day before")
    named = "; ".join(f"{count:,} {reason}" for reason, count in reasons)
    told = f"{last:,} within a day, {daily:,.0f} a day before: {named}"
    if last >= QUARANTINE_LEAST and last > GROWN * daily:
        return warn(told, "`heatwatch quarantine list` shows them whole; mend the devices, or the decoder")
    return ok(told)


def delivery(patient: Patient) -> Iterator[Said]:
    """Prove that no message and no reading is missing or counted twice."""
    seen = patient.journal()
    last = {} if seen is None or seen.damage else {patient.settings.worker: seen.last}
    with patient.reading() as session:
        told = identities(session, last)
    if told.holds:
        received, stored = told.messages["received"], told.readings["stored"]
        yield ok(f"both identities hold: {received:,} messages received, {stored:,} readings stored")
    else:
        lines = f"messages {_terms(told.messages)}; readings {_terms(told.readings)}"
        do = "keep a copy of data folder and database, and tell the developers: this must never be"
        yield bad(f"an identity does not hold: {lines}", do)


def outbox(patient: Patient) -> Iterator[Said]:
    """Tell how many notifications no channel has taken, since when and why."""
    with patient.reading() as session:
        now_ms = patient.clock_ms(session) or patient.now_ms
        waits = OutboxRow.sent_ms.is_(None)
        unsent = session.scalar(select(func.count()).select_from(OutboxRow).where(waits)) or 0
        oldest = session.scalars(select(OutboxRow).where(waits).order_by(OutboxRow.created_ms).limit(1)).first()
    if oldest is None:
        yield ok("every notification was sent")
    else:
        yield judge_outbox(unsent, now_ms - oldest.created_ms, oldest.error)


def judge_outbox(unsent: int, age_ms: int, error: str) -> Said:
    """Judge how many notifications wait, and for how long the oldest does."""
    told = f"{unsent:,} notifications are not sent, the oldest for {_span(age_ms)}{f': {error}' if error else ''}"
    do = "see whether dispatch runs, and its log; tell the people yourself until then"
    if age_ms >= UNSENT_BAD_MS:
        return bad(told, do)
    return warn(told, do) if age_ms >= UNSENT_WARN_MS else ok(told)


def clocks(patient: Patient) -> Iterator[Said]:
    """Count the deadlines of tickets that have passed, by rule."""
    with patient.reading() as session:
        now_ms = patient.clock_ms(session)
        late = (
            TicketClock.done_ms.is_(None)
            & TicketClock.off.is_(False)
            & TicketRow.state.in_([str(state) for state in AT_WORK])
            & (TicketClock.due_ms < (patient.now_ms if now_ms is None else now_ms))
        )
        query = select(TicketClock.rule, func.count()).join(TicketRow, TicketRow.id == TicketClock.ticket_id)
        found = session.execute(query.where(late).group_by(TicketClock.rule).order_by(TicketClock.rule)).all()
    total = sum(count for _, count in found)
    if total:
        named = ", ".join(f"{count} of {rule}" for rule, count in found)
        yield warn(f"deadlines passed: {named}", "nothing of the machine's: tell the dispatch office")
    else:
        yield ok("no deadline of a ticket has passed")


def stations(patient: Patient) -> Iterator[Said]:
    """Tell when each station was heard last."""
    with patient.reading() as session:
        if register_version(session) is None:
            raise UnseenError("there is no register: see register")
        now_ms = patient.clock_ms(session) or patient.now_ms
        held = RegisterInForce()(session)
        rows = [] if held is None else in_force(held, now_ms)
        of = {row.point_id: row.station_id for row in rows}
        of |= {row.device_id: row.station_id for row in rows if row.device_id}
        heard = last_heard(session, of, set(of.values()))
    yield from judge_stations(heard, sorted(set(of.values())), now_ms)


def last_heard(session: Session, of: Mapping[str, str], wanted: Collection[str]) -> dict[str, int]:
    """Return the time of the newest reading of each station [ms], looking back from the newest commit."""
    heard: dict[str, int] = {}
    newest = select(Arrival.touched).order_by(Arrival.seq.desc()).limit(ARRIVALS_LOOKED)
    for touched in session.scalars(newest, execution_options={"yield_per": 100}):
        for source, _, last_ms, _ in touched:
            station = of.get(source)
            if station is not None:
                heard[station] = max(heard.get(station, last_ms), last_ms)
        if len(heard) == len(wanted):
            break
    return heard


def judge_stations(heard: Mapping[str, int], named: Collection[str], now_ms: int) -> Iterator[Said]:
    """Judge when each station was heard last; one line for the silent ones, one for the others."""
    ages = {name: now_ms - heard[name] for name in named if name in heard}
    silent = {name: age for name, age in ages.items() if age >= SILENT_WARN_MS}
    never = [name for name in named if name not in heard]
    do = "look at the station's gateway, its network, and its account at the broker"
    if silent:
        order = sorted(silent, key=lambda name: -silent[name])
        told = ", ".join(f"{name} since {iso(heard[name])}" for name in islice(order, NAMED))
        all_bad = max(silent.values()) >= SILENT_BAD_MS
        yield Said(Verdict.BAD if all_bad else Verdict.WARN, f"{len(silent)} silent: {told}{_more(order)}", do)
    if never:
        yield warn(f"{len(never)} not heard lately or ever: {', '.join(never[:NAMED])}{_more(never)}", do)
    if len(ages) > len(silent):
        newest = max(heard.values())
        yield ok(f"{len(ages) - len(silent)} of {len(named)} are heard, the newest reading is of {iso(newest)}")


def _more(names: Collection[str]) -> str:
    return f" and {len(names) - NAMED} more" if len(names) > NAMED else ""


def _terms(line: Mapping[str, int]) -> str:
    return ", ".join(f"{term} {count:,}" for term, count in line.items())


def _span(span_ms: int) -> str:
    """Write how long something has lasted.

    >>> _span(90_000), _span(7_200_000), _span(345_600_000)
    ('90 s', '120 min', '96 h')
    """
    if span_ms < 2 * MINUTE_MS:
        return f"{max(span_ms, 0) // SECOND_MS} s"
    return f"{span_ms // MINUTE_MS} min" if span_ms <= 2 * HOUR_MS else f"{span_ms // HOUR_MS:,} h"
