"""Compliance rates in the records: the tallies of days, what of them is due, and the sums that rates are made of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from heatwatch.domain.compliance import FIELDS, By, Demands, Per, Rates, RoomSum, period_of, rates
from heatwatch.domain.temperature import Season, Standard
from heatwatch.records.schema import Base, ComplianceChange, ComplianceDay, ComplianceDue, ComplianceProgress, Cursor
from heatwatch.records.upsert import insert_into

ONLY = 1
"""Number of the one row of `ComplianceProgress`."""
FEED = "compliance_days"
"""Name of the feed of tallies among the cursors."""
_CHUNK = 500
_PLACE = (
    ComplianceDay.station_id,
    ComplianceDay.building_id,
    ComplianceDay.room,
    ComplianceDay.point_id,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """Of which days and places rates are asked; None asks for all."""

    by: By = By.DAY
    per: Per = Per.COMPANY
    first_day: date | None = None
    last_day: date | None = None
    building: str | None = None
    station: str | None = None
    stations: Collection[str] | None = None
    """Only these, whatever else is asked for: the scope of who asks."""


def demands_of(standard: Standard) -> Demands:
    """Return what the rules ask of a room that is to count as one that complies."""
    return Demands(standard.judging.rates_room_pct, standard.judging.rates_known_pct)


def seasons_of(standard: Standard) -> list[Season]:
    """Return every season that a version of the rules sets, the newest version's first."""
    return [season for version in reversed(standard.versions) for season in version.seasons]


def compliance(session: Session, asked: Asked, standard: Standard) -> list[Rates]:
    """Return rates by period and subject, in their order."""
    return rates(_sums(session, asked, seasons_of(standard)), asked.per, demands_of(standard))


def tallied_up_to(session: Session) -> int | None:
    """Return the moment for which the tallies hold [ms], None before the first."""
    done = session.get(ComplianceProgress, ONLY)
    return None if done is None else done.as_of_ms


def days_due(session: Session) -> int:
    """Return how many days of buildings have still to be tallied anew."""
    return session.scalar(select(func.count()).select_from(ComplianceDue)) or 0


def put_days(session: Session, day: str, buildings: Collection[str], tallies: Sequence[Mapping[str, Any]]) -> None:
    """Put a day's tallies of some buildings in the place of what is there, and say that they are no longer due."""
    for names in _chunks(sorted(buildings)):
        for table in (ComplianceDay, ComplianceDue):
            session.execute(delete(table).where(table.day == day, table.building_id.in_(names)))
    if tallies:
        session.execute(Base.metadata.tables[ComplianceDay.__tablename__].insert(), list(tallies))
    _number(session, day, sorted(buildings))


def days_changed(session: Session, change_seq: int, most: int) -> Sequence[ComplianceChange]:
    """Return which days of buildings were tallied after the change `change_seq`, in the order of the changes."""
    later = select(ComplianceChange).where(ComplianceChange.change_seq > change_seq)
    return session.scalars(later.order_by(ComplianceChange.change_seq).limit(most)).all()


def last_day_change(session: Session) -> int:
    """Return the number of the last tally, 0 before the first."""
    row = session.get(Cursor, FEED)
    return 0 if row is None else row.change_seq


def _number(session: Session, day: str, buildings: Sequence[str]) -> None:
    """Give each tallied day its number in the feed. Held to the commit, so that numbers become visible in order."""
    if not buildings:
        return
    taken = insert_into(session, Cursor).values(name=FEED, change_seq=len(buildings))
    more = taken.on_conflict_do_update(index_elements=["name"], set_={"change_seq": Cursor.change_seq + len(buildings)})
    last = session.scalars(more.returning(Cursor.change_seq)).one()
    numbered = enumerate(buildings, last - len(buildings) + 1)
    rows = [{"day": day, "building_id": name, "change_seq": number} for number, name in numbered]
    put = insert_into(session, Base.metadata.tables[ComplianceChange.__tablename__])
    said = {"change_seq": put.excluded.change_seq}
    session.execute(put.on_conflict_do_update(index_elements=["day", "building_id"], set_=said), rows)


def set_due(session: Session, days: Iterable[tuple[str, str]]) -> None:
    """Say which days of which buildings, as `(day, building_id)`, have to be tallied anew."""
    rows = [{"day": day, "building_id": building} for day, building in sorted(set(days))]
    if rows:
        table = Base.metadata.tables[ComplianceDue.__tablename__]
        session.execute(insert_into(session, table).on_conflict_do_nothing(), rows)


def next_due(session: Session, most: int) -> tuple[str, list[str]] | None:
    """Return the latest day that is due with its buildings, at most so many; None where nothing is."""
    day = session.scalar(select(func.max(ComplianceDue.day)))
    if day is None:
        return None
    due = select(ComplianceDue.building_id).where(ComplianceDue.day == day).order_by(ComplianceDue.building_id)
    return day, list(session.scalars(due.limit(most)))


def _sums(session: Session, asked: Asked, seasons: Sequence[Season]) -> list[RoomSum]:
    wanted = _wanted(asked)
    if asked.by is not By.SEASON:
        day: InstrumentedAttribute[str] = ComplianceDay.day
        return _added(session, day if asked.by is By.DAY else func.substr(day, 1, 7), wanted)
    named: dict[str, list[str]] = {}
    for day_text in session.scalars(select(ComplianceDay.day).where(*wanted).distinct().order_by(ComplianceDay.day)):
        named.setdefault(period_of(date.fromisoformat(day_text), By.SEASON, seasons), []).append(day_text)
    found: list[RoomSum] = []
    for name, days in sorted(named.items()):
        within = or_(*(ComplianceDay.day.in_(chunk) for chunk in _chunks(days)))
        sums = _added(session, None, [*wanted, within])
        found += [RoomSum(one.station_id, one.building_id, one.room, one.point_id, name, one.sums) for one in sums]
    return found


def _added(session: Session, period: Any, wanted: Sequence[ColumnElement[bool]]) -> list[RoomSum]:
    """Add days up by test point and place; and by period, where one is given."""
    by = [*_PLACE] if period is None else [*_PLACE, period]
    sums = [func.sum(getattr(ComplianceDay, name)) for name in FIELDS]
    found = []
    for row in session.execute(select(*by, *sums).where(*wanted).group_by(*by)):
        station, building, room, point, *rest = row
        name = "" if period is None else rest.pop(0)
        found.append(RoomSum(station, building, room, point, name, [int(value) for value in rest]))
    return found


def _wanted(asked: Asked) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if asked.first_day is not None:
        wanted.append(ComplianceDay.day >= asked.first_day.isoformat())
    if asked.last_day is not None:
        wanted.append(ComplianceDay.day <= asked.last_day.isoformat())
    if asked.building is not None:
        wanted.append(ComplianceDay.building_id == asked.building)
    if asked.station is not None:
        wanted.append(ComplianceDay.station_id == asked.station)
    if asked.stations is not None:
        wanted.append(ComplianceDay.station_id.in_(sorted(asked.stations)))
    return wanted


def _chunks(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[low : low + _CHUNK] for low in range(0, len(names), _CHUNK))
