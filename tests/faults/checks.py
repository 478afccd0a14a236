"""What must be true of the plant when all has settled, whatever was done to it. Each check stands for itself."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pandas as pd
from sqlalchemy import select
from sqlalchemy.orm import Session

from heatwatch.domain.findings import FindingKind
from heatwatch.domain.instants import HOUR_MS, iso
from heatwatch.domain.notices import NoticeKind, NoticeState
from heatwatch.records.database import Records
from heatwatch.records.schema import FindingRow, NoticeRow, OutboxRow, Quarantine, TicketEvent, TicketFinding, TicketRow
from heatwatch.usecases.audit import verify
from heatwatch.usecases.delivery import identities, messages_by_sender, readings_by_source
from tests.faults.driver import Harvest
from tests.faults.load import Key, describe, keys
from tests.faults.quiet import quiet, tickets_of, told_of

Check = Callable[[Harvest], None]
ANNOUNCED_FROM_MS, DUE_MS = HOUR_MS * 15 // 2, HOUR_MS * 8
PUBLISHED = (NoticeState.PUBLISHED, NoticeState.SUPERSEDED)
TRACE = re.compile(r"Traceback|heatwatch: failed|role .* failed")


@contextmanager
def records_of(harvest: Harvest) -> Iterator[Session]:
    """Give a session for looking at the records that were left."""
    records = Records(harvest.settings.records_url)
    try:
        with records.read() as session:
            yield session
    finally:
        records.close()


def stored(harvest: Harvest) -> Counter[Key]:
    """Count the readings in the store by source, time and value."""
    columns = harvest.stored
    source = pd.Series([columns.source[code] for code in columns.code.tolist()], dtype="str")
    return keys(source, pd.Series(columns.time_ms), pd.Series(columns.temp_c))


def delivery_adds_up(harvest: Harvest) -> None:
    """See that both lines of the delivery identity hold, in the API's words and in the records', and nothing waits."""
    for line, whole in (("messages", "received"), ("readings", "decoded")):
        counts = harvest.delivery[line]
        assert counts[whole] == sum(count for term, count in counts.items() if term != whole), harvest.delivery
        assert min(counts.values()) >= 0, harvest.delivery
        assert not counts["waiting"], harvest.delivery
    with records_of(harvest) as session:
        found = identities(session, {})
        assert found.holds, found
        assert found.as_dict() == harvest.delivery, (found, harvest.delivery)
        assert all(tally.holds for tally in readings_by_source(session).values())


def delivery_counts_what_is_there(harvest: Harvest) -> None:
    """See that what the identity calls stored and quarantined lies in the store and in the quarantine."""
    rows = Counter(source for source, _, _ in stored(harvest).elements())
    with records_of(harvest) as session:
        tallies = readings_by_source(session)
        kept = {source: one.stored + one.conflict for source, one in tallies.items() if one.stored + one.conflict}
        assert kept == dict(rows), {source: (kept.get(source), rows.get(source)) for source in {*kept, *rows}}
        whole = [position == -1 for position in session.scalars(select(Quarantine.position))]
        messages = sum(one.quarantined for one in messages_by_sender(session).values())
        readings = sum(one.quarantined for one in tallies.values())
    assert (messages, readings) == (whole.count(True), whole.count(False))


def every_reading_is_stored_once(harvest: Harvest) -> None:
    """See that every reading that was published is in the store exactly once, and nothing else is."""
    kept, wanted = stored(harvest), Counter(set(harvest.load.keys()))
    assert not wanted - kept, f"lost: {describe(wanted - kept)}"
    assert not kept - wanted, f"stored twice, or never published: {describe(kept - wanted)}"


def what_cannot_be_used_is_in_quarantine(harvest: Harvest) -> None:
    """See that messages that nobody can read, and readings of a senseless time, are kept whole, with a reason."""
    with records_of(harvest) as session:
        rows = list(session.scalars(select(Quarantine)))
    assert all(row.reason for row in rows)
    whole = {(row.topic, row.payload.decode()) for row in rows if row.position < 0}
    single = {(row.topic, row.payload.decode()) for row in rows if row.position >= 0}
    assert whole == harvest.load.garbage, whole ^ harvest.load.garbage
    assert single == harvest.load.senseless, single ^ harvest.load.senseless


def findings_are_those_of_judge(harvest: Harvest) -> None:
    """See that the running system's findings are, byte for byte, those of `judge` on what was published by then."""
    for kind, text in quiet(harvest.load).findings.items():
        assert harvest.findings[kind] == text, kind


def each_cause_has_one_ticket(harvest: Harvest) -> None:
    """See that every finding worth a ticket is in one, that none was opened twice, that all are as in a quiet run."""
    with records_of(harvest) as session:
        found = tickets_of(session)
        worthy, belongs = _worthy(session), set(session.scalars(select(TicketFinding.finding_id)))
        opened = Counter(session.scalars(select(TicketEvent.ticket_id).where(TicketEvent.kind == "opened")))
    assert worthy <= belongs, f"findings without a ticket: {worthy - belongs}"
    assert set(opened.values()) == {1}, f"opened twice: {opened}"
    wanted = quiet(harvest.load).tickets
    assert found == wanted, f"only here: {found - wanted}; only in a quiet run: {wanted - found}"


def _worthy(session: Session) -> set[int]:
    true = select(FindingRow.id).where(FindingRow.withdrawn.is_(False))
    cold = true.where(FindingRow.kind == FindingKind.COLD_SPELL, FindingRow.confirmed_ms.is_not(None))
    return {*session.scalars(cold), *session.scalars(true.where(FindingRow.kind == FindingKind.HEAT_OUTAGE))}


def every_notification_went_out(harvest: Harvest) -> None:
    """See that each notification in the outbox went out at least once, and none that the outbox does not know."""
    with records_of(harvest) as session:
        rows = {row.key: row.sent_ms for row in session.scalars(select(OutboxRow))}
    sent = _keys(harvest.settings.notifications_path.read_text(encoding="utf-8"))
    assert rows, "the load leads to no notification"
    assert not {key for key, sent_ms in rows.items() if sent_ms is None}
    assert sent == rows.keys(), f"never sent: {rows.keys() - sent}; not in the outbox: {sent - rows.keys()}"


def _keys(text: str) -> set[str]:
    """Return the keys of the notifications that can be read: a power cut may leave half a line, which tells nobody."""
    said = set()
    for line in text.splitlines():
        with suppress(json.JSONDecodeError):
            said.add(json.loads(line)["key"])
    return said


def people_are_told_what_a_quiet_run_tells(harvest: Harvest) -> None:
    """See that people are told the same, at the same moments, as in a quiet run, each thing once."""
    with records_of(harvest) as session:
        told = told_of(session)
    wanted = quiet(harvest.load).told
    assert told == wanted, f"only here: {told - wanted}; only in a quiet run: {wanted - told}"


def long_stops_were_announced_in_time(harvest: Harvest) -> None:
    """See that each stop of 7.5 h and more was announced no later than due, by the installation's clock (R12)."""
    with records_of(harvest) as session:
        stops = session.execute(
            select(FindingRow, TicketFinding.ticket_id)
            .join(TicketFinding, TicketFinding.finding_id == FindingRow.id)
            .where(FindingRow.kind == FindingKind.HEAT_OUTAGE, FindingRow.withdrawn.is_(False))
        ).all()
        notices = list(session.scalars(select(NoticeRow).where(NoticeRow.kind == NoticeKind.STOP)))
        opened = {row.id: row.opened_ms for row in session.scalars(select(TicketRow))}
    assert stops, "the load has no stop of heat"
    for stop, ticket_id in stops:
        if (stop.end_ms or harvest.load.end_ms) - stop.start_ms < ANNOUNCED_FROM_MS:
            continue
        mine = [one.published_ms for one in notices if one.ticket_id == ticket_id and one.state in PUBLISHED]
        said = min((at_ms for at_ms in mine if at_ms is not None), default=None)
        assert said is not None, f"not announced: {stop.subject_id} since {iso(stop.start_ms)}"
        due_ms = max(stop.start_ms + DUE_MS, opened[ticket_id])
        assert said <= due_ms, f"{stop.subject_id}: announced {iso(said)}, due {iso(due_ms)}"


def the_audit_trail_is_whole(harvest: Harvest) -> None:
    """See that `heatwatch audit verify` finds nothing."""
    with records_of(harvest) as session:
        faults = verify(session)
    assert not faults, "; ".join(map(str, faults[:5]))


def nothing_is_left_behind(harvest: Harvest) -> None:
    """See that the last `serve` ended well, that no process is left, and that no log holds a traceback."""
    assert harvest.exit_code == 0
    assert not harvest.left, harvest.left
    found = TRACE.search(harvest.log)
    assert found is None, harvest.log[max(found.start() - 200, 0) :][:3000]


CHECKS: tuple[Check, ...] = (
    delivery_adds_up,
    delivery_counts_what_is_there,
    every_reading_is_stored_once,
    what_cannot_be_used_is_in_quarantine,
    findings_are_those_of_judge,
    each_cause_has_one_ticket,
    every_notification_went_out,
    people_are_told_what_a_quiet_run_tells,
    long_stops_were_announced_in_time,
    the_audit_trail_is_whole,
    nothing_is_left_behind,
)


def failures(harvest: Harvest) -> list[str]:
    """Return what each check that fails says."""
    said = []
    for check in CHECKS:
        try:
            check(harvest)
        except Exception as error:  # noqa: BLE001 - whatever is wrong, the other checks are asked too
            said.append(f"{check.__name__}: {error if isinstance(error, AssertionError) else repr(error)}")
    return said
