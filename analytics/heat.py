"""Heat outages seen by rooms: most rooms of a building cool together, as a building without heat does.

A first honest version. It looks at a fixed grid of instants (every `outage_grid_min` minutes since 1970), so that
what it finds does not depend on how readings are cut into batches:

- A room's value at a grid instant is its latest judged reading, no older than the point's `hold`.
- A room *falls* when its value is at least `outage_fall_k` below that of `outage_window_h` earlier.
- An outage opens when more than half of the building's rooms in service, and at least `outage_min_points`, fall at
  once. It started at the (lower) median of the moments at which these rooms left their highest value.
- It ends when more than half of the rooms with a value have risen `outage_rise_k` above their lowest: at the (lower)
  median of the moments of the lowest. Or when more than half have held within `outage_steady_k` for `outage_steady_h`:
  at the beginning of that time. Or when fewer than half the rooms have spoken for 8 hours: at the last instant of
  which something was known.
- Hours in which a room is unheated by agreement (`heating_hours`) are no evidence, and what was measured under another
  row of the register (another device, calibration or building) is not compared.

What it does not do yet: recognise an undeclared night setback by its rhythm, use supply and outdoor temperatures,
and say with a calibrated confidence; `confidence` is the share of rooms that fall among those that are known.

References
----------
.. [1] A room without heat approaches the outdoor temperature as a first-order system, its time constant that of the
   building: ISO 52016-1:2017, Energy performance of buildings, hourly calculation, section 6.5 (time constant).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analytics.compiled import compiled
from analytics.machine import NEVER, Records
from analytics.timeline import SERVICE, Timeline
from heatwatch.domain.instants import HOUR_MS, MINUTE_MS

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]

OUTAGE = np.dtype(
    [
        ("building", np.int32),
        ("open", np.bool_),
        ("start", np.int64),
        ("end", np.int64),
        ("confidence", np.float64),
        ("points", np.int32),
    ]
)
"""A heat outage of a building by the evidence of its rooms; `points` is how many rooms fell at once at most."""

BUILDING_STATE = np.dtype(
    [
        ("grid", np.int64),
        ("open", np.bool_),
        ("start", np.int64),
        ("opened", np.int64),
        ("known", np.int64),
        ("over", np.int64),
        ("confidence", np.float64),
        ("points", np.int32),
    ]
)
"""`grid` is the last grid instant done, `known` the last at which enough rooms spoke, `over` the last outage's end."""


class HeatNumbers(NamedTuple):
    """The numbers of heat outages, in grid steps, milliseconds and millikelvin."""

    grid_ms: int
    window: int
    fall_mk: int
    rise_mk: int
    steady: int
    steady_mk: int
    break_ms: int
    min_points: int
    hold_most_ms: int

    @property
    def ring(self) -> int:
        """How many grid values of a room are remembered."""
        return max(self.window, self.steady) + 1


class HeatTables(NamedTuple):
    """What compiled code needs of a `Timeline`."""

    seg_first: Int64
    seg_start: Int64
    seg_kind: NDArray[np.int8]
    seg_row: NDArray[np.int32]
    row_building: NDArray[np.int32]
    row_hold: Int64
    row_from: Int64
    row_setback: NDArray[np.int32]
    heated: NDArray[np.bool_]
    epoch_start: Int64
    epoch_in_season: NDArray[np.bool_]
    zone_start: Int64
    zone_offset: Int64


class Rooms(NamedTuple):
    """What is remembered of the rooms of some buildings, one row a member.

    Members of building `b` are rows `first[b]:first[b + 1]`; a point that moved house is a member of both.
    """

    first: Int64
    point: Int64
    value_c: Float64
    value_at: Int64
    ring: Float64
    low_c: Float64
    low_at: Int64
    row: NDArray[np.int32]
    """The register row in force last: what was measured under another one is not compared."""


def heat_numbers(timeline: Timeline) -> HeatNumbers:
    """Take the numbers of heat outages from the rules."""
    judging = timeline.judging
    grid_ms = judging.outage_grid_min * MINUTE_MS
    return HeatNumbers(
        grid_ms,
        round(judging.outage_window_h * HOUR_MS / grid_ms),
        round(judging.outage_fall_k * 1000),
        round(judging.outage_rise_k * 1000),
        round(judging.outage_steady_h * HOUR_MS / grid_ms),
        round(judging.outage_steady_k * 1000),
        round(judging.break_h * HOUR_MS),
        judging.outage_min_points,
        int(timeline.rows.hold_ms.max()),
    )


def heat_tables(timeline: Timeline) -> HeatTables:
    """Lay a timeline out for compiled code."""
    segments, rows, epochs, zone = timeline.segments, timeline.rows, timeline.epochs, timeline.zone
    return HeatTables(
        segments.first,
        segments.start,
        segments.kind,
        segments.row,
        rows.building,
        rows.hold_ms,
        rows.valid_from,
        rows.setback,
        timeline.heated,
        epochs.start,
        epochs.in_season,
        zone.start,
        zone.offset,
    )


def fresh_rooms(timeline: Timeline, numbers: HeatNumbers) -> tuple[Rooms, Records]:
    """Return rooms of which nothing is known, and the state of their buildings."""
    pairs = np.unique(np.stack((timeline.rows.building, timeline.rows.point), axis=1).astype(np.int64), axis=0)
    members, buildings = len(pairs), len(timeline.buildings)
    rooms = Rooms(
        np.searchsorted(pairs[:, 0], np.arange(buildings + 1)).astype(np.int64),
        pairs[:, 1].copy(),
        np.full(members, np.nan),
        np.full(members, NEVER, dtype=np.int64),
        np.full((members, numbers.ring), np.nan),
        np.full(members, np.nan),
        np.full(members, NEVER, dtype=np.int64),
        np.full(members, -1, dtype=np.int32),
    )
    state = np.zeros(buildings, dtype=BUILDING_STATE)
    for field in ("grid", "known", "over"):
        state[field] = NEVER
    return rooms, state


def remembered(rooms: Rooms) -> list[NDArray[Any]]:
    """Return the columns that change as time goes on."""
    return [rooms.value_c, rooms.value_at, rooms.ring, rooms.low_c, rooms.low_at, rooms.row]


def copy_of(rooms: Rooms) -> Rooms:
    """Return rooms that may be carried on without changing these."""
    return rooms._replace(
        value_c=rooms.value_c.copy(),
        value_at=rooms.value_at.copy(),
        ring=rooms.ring.copy(),
        low_c=rooms.low_c.copy(),
        low_at=rooms.low_at.copy(),
        row=rooms.row.copy(),
    )


@compiled
def _value_at(rooms: Rooms, member: int, at: int, building: int, tables: HeatTables) -> tuple[bool, float]:
    """Say whether a member is in service in this building, and give its value [degC], NaN where unknown."""
    point = rooms.point[member]
    low, high = tables.seg_first[point], tables.seg_first[point + 1]
    seg = low + np.searchsorted(tables.seg_start[low:high], at, side="right") - 1
    row = tables.seg_row[seg]
    if row != rooms.row[member]:
        rooms.row[member] = row
        rooms.ring[member] = np.nan
        rooms.low_c[member] = np.nan
    epoch = np.searchsorted(tables.epoch_start, at, side="right") - 1
    if tables.seg_kind[seg] != SERVICE or tables.row_building[row] != building or not tables.epoch_in_season[epoch]:
        return False, np.nan
    zone = np.searchsorted(tables.zone_start, at, side="right") - 1
    minute = ((at + tables.zone_offset[zone]) // MINUTE_MS) % (24 * 60)
    since = rooms.value_at[member]
    known = since != NEVER and since >= tables.row_from[row] and at - since <= tables.row_hold[row]
    if not known or not tables.heated[tables.row_setback[row], minute]:
        return True, np.nan
    return True, rooms.value_c[member]


@compiled
def _lower_median(values: Int64, count: int) -> int:
    return int(np.sort(values[:count])[(count - 1) // 2])


@compiled
def _milli(kelvin: float) -> int:
    return int(np.rint(kelvin * 1000))


@compiled
def _left_highest(ring: Float64, slot: int, window: int, at: int, grid_ms: int) -> int:
    """Return the last grid instant of the window at which the room was within 0.1 K of its highest value."""
    size = len(ring)
    highest = np.nan
    for back in range(window + 1):
        value = ring[(slot - back) % size]
        if not np.isnan(value) and not value <= highest:
            highest = value
    for back in range(window + 1):
        value = ring[(slot - back) % size]
        if not np.isnan(value) and _milli(highest - value) <= 100:  # noqa: PLR2004 - fine thermometers' last digit
            return at - back * grid_ms
    return at


@compiled
def _look_for_fall(
    rooms: Rooms, first: int, last: int, served: int, slot: int, state: Any, numbers: HeatNumbers
) -> None:
    """Open an outage if enough rooms fall, else leave the state as it is."""
    at = state.grid
    onsets = np.empty(last - first, dtype=np.int64)
    falling = known = 0
    for member in range(first, last):
        ring = rooms.ring[member]
        change = ring[slot] - ring[(slot - numbers.window) % len(ring)]
        if np.isnan(change):
            continue
        known += 1
        if _milli(change) <= -numbers.fall_mk:
            onsets[falling] = _left_highest(ring, slot, numbers.window, at, numbers.grid_ms)
            falling += 1
    if state.open:
        state.points = max(state.points, falling)
    elif falling >= numbers.min_points and 2 * falling > served:
        state.open = True
        state.start = max(_lower_median(onsets, falling), state.over)
        state.opened = at
        state.confidence = falling / known
        state.points = falling
        for member in range(first, last):
            rooms.low_c[member] = rooms.ring[member, slot]
            rooms.low_at[member] = at


@compiled
def _look_for_end(rooms: Rooms, first: int, last: int, served: int, slot: int, state: Any, numbers: HeatNumbers) -> int:
    """Return when the open outage of a building ended, `NEVER` while it goes on."""
    at = state.grid
    lows = np.empty(last - first, dtype=np.int64)
    speaking = rising = steady = compared = 0
    for member in range(first, last):
        ring = rooms.ring[member]
        value = ring[slot]
        if np.isnan(value):
            continue
        speaking += 1
        if np.isnan(rooms.low_c[member]) or value <= rooms.low_c[member]:
            rooms.low_c[member] = value
            rooms.low_at[member] = at
        if _milli(value - rooms.low_c[member]) >= numbers.rise_mk:
            lows[rising] = rooms.low_at[member]
            rising += 1
        change = value - ring[(slot - numbers.steady) % len(ring)]
        if not np.isnan(change):
            compared += 1
            steady += int(_milli(change) >= -numbers.steady_mk)
    if 2 * speaking >= served and speaking > 0:
        state.known = at
    if 2 * rising > speaking:
        return int(max(_lower_median(lows, rising), state.start))
    if 2 * steady > compared and at - state.opened >= numbers.steady * numbers.grid_ms:
        return int(max(at - numbers.steady * numbers.grid_ms, state.start))
    if served == 0 or at - state.known >= numbers.break_ms:
        return int(max(state.known, state.start))
    return NEVER


@compiled
def _step(rooms: Rooms, building: int, state: Any, tables: HeatTables, numbers: HeatNumbers) -> int:
    """Do the grid instant `state.grid`; return when an outage ended, `NEVER` if none did."""
    first, last = rooms.first[building], rooms.first[building + 1]
    at = state.grid
    slot = (at // numbers.grid_ms) % rooms.ring.shape[1]
    served = 0
    for member in range(first, last):
        serves, value = _value_at(rooms, member, at, building, tables)
        served += int(serves)
        rooms.ring[member, slot] = value
    if state.open:
        ended = _look_for_end(rooms, first, last, served, slot, state, numbers)
        if ended != NEVER:
            state.open = False
            state.over = ended
            rooms.ring[first:last] = np.nan  # a fall before the end is no evidence of a new outage
            return ended
    _look_for_fall(rooms, first, last, served, slot, state, numbers)
    if state.open and state.opened == at:
        state.known = at
    return NEVER


@compiled
def _begin(rooms: Rooms, building: int, rows: Int64, time: Int64, judged: Float64, grid_ms: int) -> int:
    """Return the grid instant before the first judged reading of a building, `NEVER` where there is none."""
    earliest = NEVER
    for member in range(rooms.first[building], rooms.first[building + 1]):
        point = rooms.point[member]
        for i in range(rows[point], rows[point + 1]):
            if not np.isnan(judged[i]):
                if earliest == NEVER or time[i] < earliest:
                    earliest = time[i]
                break
    return earliest if earliest == NEVER else (earliest - 1) // grid_ms * grid_ms


@compiled
def _asleep(rooms: Rooms, first: int, last: int, at: int, numbers: HeatNumbers) -> bool:
    """Say whether nothing remembered of these rooms can matter any more: grid instants may be passed over."""
    forgotten = at - numbers.hold_most_ms - rooms.ring.shape[1] * numbers.grid_ms
    newest = NEVER
    for member in range(first, last):
        newest = max(newest, rooms.value_at[member])
    return bool(newest < forgotten)


@compiled
def _before_next(
    rooms: Rooms,
    first: int,
    last: int,
    following: Int64,
    rows: Int64,
    time: Int64,
    judged: Float64,
    until: int,
    numbers: HeatNumbers,
) -> int:
    """Return the last grid instant before any of these rooms is judged again, at most `until`."""
    at = until + 1
    for member in range(first, last):
        i, end = following[member], rows[rooms.point[member] + 1]
        while i < end and time[i] < at:
            if not np.isnan(judged[i]):
                at = time[i]
                break
            i += 1
    return (at - 1) // numbers.grid_ms * numbers.grid_ms


@compiled
def watch(
    buildings: Int64,
    rooms: Rooms,
    state: Records,
    rows: Int64,
    time: Int64,
    judged: Float64,
    until: int,
    tables: HeatTables,
    numbers: HeatNumbers,
    outages: Records,
    filled: Int64,
) -> bool:
    """Carry buildings on, from grid instant to grid instant, up to `until` [ms].

    Parameters
    ----------
    buildings
        Which to carry on.
    rows, time, judged
        Rows by point, `rows[p]:rows[p + 1]` those of point `p`: measured [ms], and calibrated temperature [degC]
        where judged, NaN elsewhere. Those at or before a building's `grid` have been taken in and are skipped.
    outages, filled
        Out: outages that ended, appended from `filled[0]` on.

    Returns
    -------
    bool
        Whether all is done; else `outages` is full: make room and call again.
    """
    following = np.empty(len(rooms.point), dtype=np.int64)
    for k in range(len(buildings)):
        building = buildings[k]
        s = state[building]
        if s.grid == NEVER:
            begin = _begin(rooms, building, rows, time, judged, numbers.grid_ms)
            if begin == NEVER or begin + numbers.grid_ms > until:
                continue
            s.grid = begin
        first, last = rooms.first[building], rooms.first[building + 1]
        for member in range(first, last):
            point = rooms.point[member]
            low, high = rows[point], rows[point + 1]
            following[member] = low + np.searchsorted(time[low:high], s.grid, side="right")
        while s.grid + numbers.grid_ms <= until:
            if filled[0] == len(outages):
                return False
            if not s.open and _asleep(rooms, first, last, s.grid, numbers):
                s.grid = max(s.grid, _before_next(rooms, first, last, following, rows, time, judged, until, numbers))
                if s.grid + numbers.grid_ms > until:
                    break
            s.grid += numbers.grid_ms
            for member in range(first, last):
                end = rows[rooms.point[member] + 1]
                while following[member] < end and time[following[member]] <= s.grid:
                    if not np.isnan(judged[following[member]]):
                        rooms.value_c[member] = judged[following[member]]
                        rooms.value_at[member] = time[following[member]]
                    following[member] += 1
            ended = _step(rooms, building, s, tables, numbers)
            if ended != NEVER:
                outage = outages[filled[0]]
                outage.building = building
                outage.open = False
                outage.start = s.start
                outage.end = ended
                outage.confidence = s.confidence
                outage.points = s.points
                filled[0] += 1
    return True


def still_open(state: Records) -> Records:
    """Return the outages that go on, shape (n,), dtype `OUTAGE`."""
    buildings = np.nonzero(state["open"])[0]
    outages = np.zeros(len(buildings), dtype=OUTAGE)
    outages["building"], outages["open"], outages["end"] = buildings, True, NEVER
    for field in ("start", "confidence", "points"):
        outages[field] = state[field][buildings]
    return outages
