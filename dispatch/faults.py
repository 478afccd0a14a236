"""What is wrong with points, and when it is reason for a ticket (R7): a fault that is sure, or a silence that lasts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, Select, and_, or_, select
from sqlalchemy.orm import Session

from heatwatch.domain.findings import FindingKind, SubjectKind
from heatwatch.domain.instants import HOUR_MS
from heatwatch.domain.temperature import Judging
from heatwatch.records.schema import FindingRow, TicketFinding

MEASURING = frozenset({FindingKind.SENSOR_FAULT, FindingKind.DATA_OUTAGE})
"""Kinds of findings that speak of points, not of heat."""
CONFIRMED = frozenset({"stuck", "drift", "moved", "clock"})
"""Kinds of faults that leave no reading to be trusted."""
COUNTED = frozenset({"out_of_range", "spike"})
"""Kinds of which a single row is no reason for a visit."""
_ROWS = re.compile(r"n=(\d+)")
_SLICE = 900
"""How many places one statement names: databases have a bound."""


def enough(row: FindingRow, rows: int) -> bool:
    """Tell whether a fault is reason for a ticket as far as its figures go; true of all that is not counted.

    Rows out of range, and spikes, are one finding while they come a day (three days) apart: so many of them in one
    finding means that they go on or come again.
    """
    if row.detail.get("kind") not in COUNTED:
        return True
    told = _ROWS.match(str(row.detail.get("detail", "")))
    return told is not None and int(told[1]) >= rows


def looked_for(session: Session, station: str, since: Mapping[str, int]) -> Sequence[FindingRow]:
    """Return what has no ticket in a station and goes on, or is of a place with a ticket and ended after its cause.

    `since` says of each point, building or station that has a ticket at work when the cause of that began [ms].
    """
    here = _loose().where(FindingRow.station_id == station)
    rows = list(session.scalars(here.where(FindingRow.open)))
    ended = here.where(FindingRow.open.is_(False))
    places = sorted(since)
    for first in range(0, len(places), _SLICE):
        some = FindingRow.subject_id.in_(places[first : first + _SLICE])
        rows += [row for row in session.scalars(ended.where(some)) if (row.end_ms or 0) >= since[row.subject_id]]
    return sorted(rows, key=lambda row: row.id)


def ripened(session: Session, at_ms: int, judging: Judging) -> set[str]:
    """Return the stations in which a silence without a ticket has become reason for one at `at_ms`."""
    before = FindingRow.start_ms <= at_ms - round(judging.sensor_silent_h * HOUR_MS)
    of_points = and_(FindingRow.subject_kind == SubjectKind.POINT, before)
    wider = select(FindingRow.subject_kind, FindingRow.subject_id).where(_larger(), FindingRow.open)
    silent: defaultdict[str, list[str]] = defaultdict(list)
    for subject_kind, subject in session.execute(wider):
        silent[subject_kind].append(subject)
    standing = _loose().where(FindingRow.kind == FindingKind.DATA_OUTAGE, FindingRow.open)
    standing = standing.where(FindingRow.station_id.not_in(silent[SubjectKind.STATION]))
    standing = standing.where(
        or_(and_(of_points, FindingRow.building_id.not_in(silent[SubjectKind.BUILDING])), _whole())
    )
    by_station: defaultdict[str, list[FindingRow]] = defaultdict(list)
    for row in session.scalars(standing):
        by_station[row.station_id].append(row)
    return {
        station
        for station, rows in by_station.items()
        if any(silences.opens(row, at_ms) for silences in [Silences(session, station, rows, judging)] for row in rows)
    }


class Silences:
    """The silences of whole buildings, and of a station, during which its points were silent, too.

    Parameters
    ----------
    session
        A reading session.
    station
        Which station.
    rows
        What is asked about.
    judging
        How long a point is silent before it has a ticket, and how many rows out of range or spikes do.
    """

    def __init__(self, session: Session, station: str, rows: Collection[FindingRow], judging: Judging) -> None:
        self._judging = judging
        self._of: defaultdict[str, list[tuple[int, int | None]]] = defaultdict(list)
        silent = [row.start_ms for row in rows if row.kind == FindingKind.DATA_OUTAGE]
        if not silent:
            return
        wide = select(FindingRow).where(FindingRow.station_id == station, _larger())
        for row in session.scalars(wide.where(or_(FindingRow.open, FindingRow.end_ms >= min(silent)))):
            place = "" if row.subject_kind == SubjectKind.STATION else row.building_id
            self._of[place].append((row.start_ms, row.end_ms))

    def larger(self, row: FindingRow) -> bool:
        """Tell whether a silence is part of a larger one that goes on: that has the ticket."""
        return any(end_ms is None for end_ms in self._with(row))

    def opens(self, row: FindingRow, at_ms: int) -> bool:
        """Tell whether a finding without a ticket is reason for one at `at_ms`.

        What is over opens none, since there is nothing left to do. A silence of a point does when it has lasted, and
        when it has outlasted a larger one for as long; that of a building or a station does at once.
        """
        if not row.open:
            return False
        if row.kind == FindingKind.SENSOR_FAULT:
            return enough(row, self._judging.sensor_rows)
        ends = self._with(row)
        if None in ends:
            return False
        known = [end_ms for end_ms in ends if end_ms is not None]
        if row.subject_kind == SubjectKind.POINT:
            known.append(row.start_ms)
        return not known or max(known) + round(self._judging.sensor_silent_h * HOUR_MS) <= at_ms

    def _with(self, row: FindingRow) -> list[int | None]:
        """Return the ends of the larger silences at the same time; None for one that goes on."""
        if row.kind != FindingKind.DATA_OUTAGE or row.subject_kind == SubjectKind.STATION:
            return []
        places = ("", row.building_id) if row.subject_kind == SubjectKind.POINT else ("",)
        larger = [span for place in places for span in self._of[place]]
        return [
            end_ms
            for start_ms, end_ms in larger
            if (end_ms is None or end_ms >= row.start_ms) and (row.end_ms is None or start_ms <= row.end_ms)
        ]


def _loose() -> Select[FindingRow]:
    """Ask for what speaks of points and has no ticket."""
    held = select(FindingRow).outerjoin(TicketFinding, TicketFinding.finding_id == FindingRow.id)
    found = held.where(FindingRow.kind.in_(sorted(MEASURING)), FindingRow.withdrawn.is_(False))
    return found.where(TicketFinding.finding_id.is_(None)).order_by(FindingRow.id)


def _larger() -> ColumnElement[bool]:
    return and_(FindingRow.kind == FindingKind.DATA_OUTAGE, FindingRow.withdrawn.is_(False), _whole())


def _whole() -> ColumnElement[bool]:
    return FindingRow.subject_kind != SubjectKind.POINT
