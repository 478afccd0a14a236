"""Carrying state over readings: points and buildings, and what is over on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analytics.buildings import heat, neighbours
from analytics.layout.rows import PointRows
from analytics.layout.timeline import Timeline
from analytics.points import machine, vitals
from analytics.points.faults import FAULT, UNTRUSTED
from analytics.points.machine import Records
from heatwatch.domain.instants import MINUTE_MS
from heatwatch.domain.register import FAR_FUTURE_MS

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]


SETTLE_MS = 30 * MINUTE_MS
"""How long a building waits for readings that are on their way; live, a later one has the block judged anew."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What judging has found to be over; `Records` of `SPELL`, `SILENCE_ROW`, `faults.FAULT` and `heat.OUTAGE`."""

    spells: Records
    silences: Records
    faults: Records
    outages: Records

    @classmethod
    def nothing(cls) -> Ended:
        """Return four empty tables."""
        return cls(*(np.zeros(0, dtype) for dtype in (machine.SPELL, machine.SILENCE_ROW, FAULT, heat.OUTAGE)))

    @classmethod
    def all_of(cls, parts: Sequence[Ended]) -> Ended:
        """Return what is in any of `parts`, in their order."""
        parts = parts or [cls.nothing()]
        return cls(
            np.concatenate([part.spells for part in parts]),
            np.concatenate([part.silences for part in parts]),
            np.concatenate([part.faults for part in parts]),
            np.concatenate([part.outages for part in parts]),
        )

    def with_outages(self, outages: Records) -> Ended:
        """Return these and more heat outages."""
        return replace(self, outages=np.concatenate((self.outages, outages)))

    def with_faults(self, faults: Records) -> Ended:
        """Return these and more sensor faults."""
        return replace(self, faults=np.concatenate((self.faults, faults)))

    def and_also(self, other: Ended) -> Ended:
        """Return both, `other` after these."""
        return Ended.all_of((self, other))

    def with_spells_of(self, points: Int64, spells: Records) -> Ended:
        """Return these with other cold spells of `points`."""
        others = self.spells[~np.isin(self.spells["point"], points)]
        return replace(self, spells=np.concatenate((others, spells)))


@dataclass(frozen=True, slots=True)
class Carried:
    """What carrying points over rows gave.

    Attributes
    ----------
    judged : shape (rows,)
        Calibrated temperature [degC] where a reading is judged and nothing ill was known of it when it came, NaN
        elsewhere. It never changes afterwards.
    ended
        What ended; no outages.
    again
        Points with a spell that stands on readings now known not to be trusted: `judge_spells_again`.
    """

    judged: Float64
    ended: Ended
    again: Int64


def carry_points(
    timeline: Timeline, state: Records, counts: Int64, points: Int64, rows: PointRows, known: Records | None = None
) -> Carried:
    """Carry `points` over their rows (`rows` holds theirs only, in that order); state and counts change in place.

    Parameters
    ----------
    timeline, state, counts, points, rows
        Where points stand, and what they have said since.
    known
        Sensor faults (`faults.FAULT`) known beforehand; in those of the `UNTRUSTED` kinds no reading feeds a spell.
    """
    tables, numbers = machine.tables_of(timeline), machine.numbers_of(timeline)
    judged = np.empty(len(rows.time_ms), dtype=np.float64)
    again = np.zeros(len(points), dtype=np.bool_)
    spells, silences, faults = (np.zeros(256, dtype) for dtype in (machine.SPELL, machine.SILENCE_ROW, FAULT))
    filled, cursor = np.zeros(3, dtype=np.int64), np.zeros(2, dtype=np.int64)
    cursor[1] = rows.first[0]
    spans = _spans_of(points, known)
    while not machine.judge_points(
        points,
        rows.first,
        rows.time_ms,
        rows.temp_c,
        spans,
        tables,
        numbers,
        state,
        counts,
        judged,
        again,
        spells,
        silences,
        faults,
        filled,
        cursor,
    ):
        room = filled + machine.ROOM
        spells, silences, faults = map(_roomier, (spells, silences, faults), room.tolist())
    spells, silences, faults = (out[:used].copy() for out, used in zip((spells, silences, faults), filled, strict=True))
    return Carried(judged, Ended(spells, silences, faults, np.zeros(0, heat.OUTAGE)), points[again])


def judge_spells_again(timeline: Timeline, state: Records, points: Int64, rows: PointRows, known: Records) -> Records:
    """Judge the spells of `points` from all they have said, without what is now known not to be trusted.

    All else of their state comes out as it was. `state` changes in place; the cold spells that ended are returned.

    Parameters
    ----------
    timeline, state, points
        As in `carry_points`.
    rows
        All rows of `points`, none later than what each has heard.
    known
        All sensor faults found in these rows, ended or open; only those of the `UNTRUSTED` kinds matter.
    """
    state[points] = machine.fresh_state(timeline, len(points))
    counts = machine.fresh_counts(timeline)
    return carry_points(timeline, state, counts, points, rows, known).ended.spells


def to_judge_again(state: Records, faults: Records) -> Int64:
    """Return the points that have a spell on readings inside `faults` (of the `UNTRUSTED` kinds) found only now."""
    faults = faults[np.isin(faults["kind"], UNTRUSTED)]
    fed = np.where(state["pending"], np.maximum(state["judged"], state["valid"]), state["judged"])
    return np.unique(faults["point"][fed[faults["point"]] >= faults["start"]]).astype(np.int64)


def _spans_of(points: Int64, known: Records | None) -> machine.Spans:
    first = np.zeros(len(points) + 1, dtype=np.int64)
    if known is None or not len(known):
        return machine.Spans(first, np.zeros(0, np.int64), np.zeros(0, np.int64))
    known = known[np.isin(known["kind"], UNTRUSTED) & np.isin(known["point"], points)]
    place = np.argsort(points, kind="stable")
    owner = place[np.searchsorted(points[place], known["point"])]
    order = np.argsort(owner, kind="stable")
    np.add.at(first, owner + 1, 1)
    end = np.where(known["open"], FAR_FUTURE_MS, known["end"])
    return machine.Spans(np.cumsum(first), known["start"][order].copy(), end[order].copy())


def carry_buildings(
    timeline: Timeline,
    rooms: heat.Rooms,
    state: Records,
    buildings: Int64,
    first: Int64,
    time_ms: Int64,
    judged: Float64,
    until_ms: int,
) -> Records:
    """Carry buildings on to `until_ms`; rooms and state change in place. Return the heat outages that ended."""
    tables, numbers = heat.heat_tables(timeline), heat.heat_numbers(timeline)
    outages, filled = np.zeros(64, heat.OUTAGE), np.zeros(1, dtype=np.int64)
    while not heat.watch(buildings, rooms, state, first, time_ms, judged, until_ms, tables, numbers, outages, filled):
        outages = _roomier(outages, int(filled[0]) + 1)
    return outages[: filled[0]].copy()


def carry_neighbours(
    timeline: Timeline,
    members: neighbours.Members,
    state: Records,
    buildings: Int64,
    rows: PointRows,
    until_ms: int,
) -> Records:
    """Carry what rooms say of each other on to `until_ms`; members and state change in place. Return faults that ended.

    `rows` are judged ones, with a place for every point.
    """
    tables, numbers = neighbours.neighbour_tables(timeline), neighbours.neighbour_numbers(timeline)
    largest = int(np.diff(members.first).max(initial=0))
    faults, filled = np.zeros(max(64, 2 * largest), FAULT), np.zeros(1, dtype=np.int64)
    while not neighbours.watch(
        buildings, members, state, rows.first, rows.time_ms, rows.temp_c, until_ms, tables, numbers, faults, filled
    ):
        faults = _roomier(faults, int(filled[0]) + 2 * largest)
    return faults[: filled[0]].copy()


def carry_vitals(timeline: Timeline, state: vitals.Vitals, points: Int64, rows: vitals.VitalRows) -> Records:
    """Carry the batteries and clocks of `points` over their rows; state changes in place. Return faults that ended."""
    tables, numbers = vitals.vital_tables(timeline), vitals.vital_numbers(timeline)
    faults, filled = np.zeros(64, FAULT), np.zeros(1, dtype=np.int64)
    cursor = np.array([0, rows.first[0]], dtype=np.int64)
    while not vitals.look(points, rows, state, tables, numbers, faults, filled, cursor):
        faults = _roomier(faults, int(filled[0]) + vitals.AT_ONCE)
    return faults[: filled[0]].copy()


def neighbours_until(timeline: Timeline, as_of_ms: int) -> int:
    """Return up to when rooms are compared with each other for findings at `as_of_ms` [ms].

    It is half an hour before, at a whole step of the buildings' grid: readings that are on their way change nothing.
    """
    grid_ms = timeline.judging.outage_grid_min * MINUTE_MS
    return (as_of_ms - SETTLE_MS) // grid_ms * grid_ms


def _roomier(table: Records, needed: int) -> Records:
    if needed <= len(table):
        return table
    larger = np.zeros(max(needed, 4 * len(table)), table.dtype)
    larger[: len(table)] = table
    return larger
