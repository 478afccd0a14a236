"""How far InfluxDB has been told what Grafana reads, in the records; and how to tell it everything anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from heatwatch.domain.life import Mark
from heatwatch.domain.tickets import AT_WORK
from heatwatch.records.schema import (
    AuditEntry,
    ComplianceDay,
    FeedDay,
    FeedFinding,
    FeedProgress,
    FindingChange,
    FindingRow,
    TicketClock,
    TicketFinding,
    TicketRow,
)
from heatwatch.stores.influx.schema import SCHEMA_VERSION

FEED = "feed"
ONLY = 1
"""Number of the one row of `FeedProgress`."""
_SLICE = 500


class Entry(NamedTuple):
    """An entry of the audit trail, as far as it says of which row it speaks."""

    seq: int
    subject: str
    subject_id: str


_ANEW: dict[str, Any] = {
    "change_seq": 0,
    "audit_seq": 0,
    "days_seq": 0,
    "arrival_seq": 0,
    "snapshot_ms": None,
    "hours_key": "",
    "register_version": 0,
    "walk": None,
}


def feed_progress(session: Session) -> FeedProgress | None:
    """Return how far InfluxDB has been told; None before the first, and where it was told by another schema."""
    row = session.get(FeedProgress, ONLY)
    return None if row is None or row.schema_version != SCHEMA_VERSION else row


def begin(session: Session) -> None:
    """Make the row of progress; where it was made by another schema, have everything written anew."""
    row = session.get(FeedProgress, ONLY)
    if row is None:
        session.add(FeedProgress(id=ONLY, generation=0, schema_version=SCHEMA_VERSION, refused=0, heard={}, **_ANEW))
    elif row.schema_version != SCHEMA_VERSION:
        forget(session)


def forget(session: Session) -> None:
    """Have everything written anew. Where findings stand in InfluxDB stays known: they get no other place there."""
    row = session.get(FeedProgress, ONLY, with_for_update=True)
    if row is None:
        return
    for name, value in _ANEW.items():
        setattr(row, name, value)
    row.generation, row.schema_version = row.generation + 1, SCHEMA_VERSION


def move_on(session: Session, generation: int, refused: int = 0, **to: Any) -> None:
    """Say that InfluxDB was told so far; nothing where everything is to be written anew since.

    Parameters
    ----------
    session
        A writing session.
    generation
        Of the progress from which this was read.
    refused
        How many lines InfluxDB did not take.
    to
        Columns of `FeedProgress`.
    """
    row = session.get(FeedProgress, ONLY, with_for_update=True)
    if row is None or row.generation != generation:
        return
    for name, value in to.items():
        setattr(row, name, value)
    row.refused += refused


def changed_findings(session: Session, change_seq: int, most: int) -> Sequence[FindingRow]:
    """Return the next findings that changed after the change `change_seq`, in the order of the changes."""
    later = select(FindingRow).where(FindingRow.change_seq > change_seq)
    return session.scalars(later.order_by(FindingRow.change_seq).limit(most)).all()


def findings_numbered(session: Session, numbers: Sequence[int]) -> list[FindingRow]:
    """Return findings by their numbers, in their order."""
    found: list[FindingRow] = []
    for some in _slices(sorted(set(numbers))):
        found += session.scalars(select(FindingRow).where(FindingRow.id.in_(some)).order_by(FindingRow.id))
    return found


def deeds_after(session: Session, audit_seq: int, most: int) -> list[Entry]:
    """Return of which rows the next entries of the audit trail speak."""
    columns = (AuditEntry.seq, AuditEntry.subject, AuditEntry.subject_id)
    later = select(*columns).where(AuditEntry.seq > audit_seq).order_by(AuditEntry.seq)
    return [Entry(*row) for row in session.execute(later.limit(most))]


def places(session: Session, rows: Sequence[FindingRow]) -> dict[int, FeedFinding]:
    """Return where findings stand in InfluxDB as far as that is known, by number."""
    found: dict[int, FeedFinding] = {}
    for some in _slices([row.id for row in rows]):
        kept = session.scalars(select(FeedFinding).where(FeedFinding.finding_id.in_(some)))
        found |= {row.finding_id: row for row in kept}
    return found


def is_placed(row: FindingRow, place: FeedFinding | None) -> bool:
    """Tell whether it is known where a finding stands in InfluxDB."""
    return place is not None and place.places[-1] == [row.station_id, row.building_id]


def put_places(session: Session, rows: Sequence[FindingRow]) -> dict[int, FeedFinding]:
    """Write down where findings are to stand in InfluxDB, before they are written there; return it by number."""
    known = places(session, rows)
    first = _first_starts(session, [row.id for row in rows if row.id not in known])
    for row in rows:
        place, here = known.get(row.id), [row.station_id, row.building_id]
        if place is None:
            place = FeedFinding(finding_id=row.id, start_ms=first.get(row.id, row.start_ms), places=[here])
            session.add(place)
            known[row.id] = place
        elif place.places[-1] != here:
            place.places = [*(one for one in place.places if one != here), here]
    session.flush()
    return known


def tickets_of(session: Session, finding_ids: Sequence[int]) -> dict[int, int]:
    """Return the ticket of each finding that has one."""
    found: dict[int, int] = {}
    for some in _slices(finding_ids):
        held = select(TicketFinding.finding_id, TicketFinding.ticket_id).where(TicketFinding.finding_id.in_(some))
        found |= {row.finding_id: row.ticket_id for row in session.execute(held)}
    return found


def next_due_by_station(session: Session) -> dict[str, int]:
    """Return the next deadline [ms] of each station that has tickets with one."""
    query = select(TicketRow.station_id, func.min(TicketClock.due_ms)).join(TicketRow)
    query = query.where(TicketRow.state.in_([str(state) for state in AT_WORK]), TicketClock.done_ms.is_(None))
    query = query.where(~TicketClock.off, TicketClock.step != str(Mark.WARNING)).group_by(TicketRow.station_id)
    return dict(session.execute(query).all())


def tallies_of(session: Session, days: Sequence[tuple[str, str]]) -> Sequence[ComplianceDay]:
    """Return the tallies of some days of buildings, given as `(day, building_id)`."""
    by_day: dict[str, list[str]] = {}
    for day, building in days:
        by_day.setdefault(day, []).append(building)
    found: list[ComplianceDay] = []
    for day, buildings in by_day.items():
        for some in _slices(buildings):
            mine = select(ComplianceDay).where(ComplianceDay.day == day, ComplianceDay.building_id.in_(some))
            found += session.scalars(mine)
    return found


def series_of(session: Session, days: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Return in which series some days of buildings were told before, each as `(station_id, room_class)`."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for some in _slices(sorted({day for day, _ in days})):
        for row in session.scalars(select(FeedDay).where(FeedDay.day.in_(some))):
            found[row.day, row.building_id] = [(station, room_class) for station, room_class in row.series]
    return {key: found.get(key, []) for key in days}


def put_series(session: Session, series: dict[tuple[str, str], list[tuple[str, str]]]) -> None:
    """Write down in which series some days of buildings are told, before they are."""
    for (day, building), one in series.items():
        session.merge(FeedDay(day=day, building_id=building, series=[list(pair) for pair in one]))


def _first_starts(session: Session, finding_ids: Sequence[int]) -> dict[int, int]:
    """Return the start that each finding was first issued with, where it has one that changed since."""
    found: dict[int, int] = {}
    for some in _slices(finding_ids):
        changes = select(FindingChange.finding_id, FindingChange.before).where(FindingChange.finding_id.in_(some))
        for row in session.execute(changes.order_by(FindingChange.id)):
            found.setdefault(row.finding_id, int(row.before["start_ms"]))
    return found


def _slices(names: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (names[first : first + _SLICE] for first in range(0, len(names), _SLICE))
