"""Carrying state over readings: points and buildings, and what is over on the way."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analytics import heat, machine
from analytics.machine import Records
from analytics.rows import PointRows
from analytics.timeline import Timeline

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ended:
    """What judging has found to be over; `Records` of `SPELL`, `SILENCE_ROW`, `FAULT` and `heat.OUTAGE`."""

    spells: Records
    silences: Records
    faults: Records
    outages: Records

    @classmethod
    def nothing(cls) -> Ended:
        """Return four empty tables."""
        return cls(*(np.zeros(0, dtype) for dtype in (machine.SPELL, machine.SILENCE_ROW, machine.FAULT, heat.OUTAGE)))

    def with_outages(self, outages: Records) -> Ended:
        """Return these and more heat outages."""
        return replace(self, outages=np.concatenate((self.outages, outages)))

    def and_also(self, other: Ended) -> Ended:
        """Return both, `other` after these."""
        return Ended(
            np.concatenate((self.spells, other.spells)),
            np.concatenate((self.silences, other.silences)),
            np.concatenate((self.faults, other.faults)),
            np.concatenate((self.outages, other.outages)),
        )


def carry_points(
    timeline: Timeline, state: Records, counts: Int64, points: Int64, rows: PointRows
) -> tuple[Float64, Ended]:
    """Carry `points` over their rows (`rows` holds theirs only, in that order); state and counts change in place.

    Returns
    -------
    judged : shape (rows,)
        Calibrated temperature [degC] where a reading is judged, NaN elsewhere.
    Ended
        What ended; no outages.
    """
    tables, numbers = machine.tables_of(timeline), machine.numbers_of(timeline)
    judged = np.empty(len(rows.time_ms), dtype=np.float64)
    spells, silences, faults = (np.zeros(256, dtype) for dtype in (machine.SPELL, machine.SILENCE_ROW, machine.FAULT))
    filled, cursor = np.zeros(3, dtype=np.int64), np.zeros(2, dtype=np.int64)
    cursor[1] = rows.first[0]
    while not machine.judge_points(
        points,
        rows.first,
        rows.time_ms,
        rows.temp_c,
        tables,
        numbers,
        state,
        counts,
        judged,
        spells,
        silences,
        faults,
        filled,
        cursor,
    ):
        spells, silences, faults = map(_roomier, (spells, silences, faults), filled.tolist())
    spells, silences, faults = (out[:used].copy() for out, used in zip((spells, silences, faults), filled, strict=True))
    return judged, Ended(spells, silences, faults, np.zeros(0, heat.OUTAGE))


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
        outages = _roomier(outages, int(filled[0]))
    return outages[: filled[0]].copy()


def _roomier(table: Records, used: int) -> Records:
    if used < len(table):
        return table
    larger = np.zeros(4 * len(table), table.dtype)
    larger[:used] = table
    return larger
