"""Thermometers that have left their room's temperature, told by the other rooms of the building: drift, and moved.

A thermometer that is wrong steadily looks well by itself. What tells it is its difference from the middle (the lower
median) of the *other* rooms of its building at the same instant: weather, a setback or an outage come and go in it,
ageing does not. Everything happens on fixed instants, every hour and every UTC day since 1970, so that what is found
does not depend on how readings are cut into batches. At least `drift_neighbours` others must be known; a lone
thermometer is compared with nothing.

An untrue fault hides a cold room, a missed one sends somebody to look at a thermometer. So the second error is
preferred, and a fall is believed far less than a rise:

- **drift**: over 14, 28 or 42 days the day's difference follows a straight line, rising by `drift_rise_k` with a
  scatter about the line of at most `drift_rise_rough` of the rise; falling by `drift_fall_k` with at most
  `drift_fall_rough`, and half of it over 14 days. Rooms that really get colder slowly (a radiator that silts up, a home
  cut off as winter comes) do so straight too, but not smoothly: the less a room is heated, the more of the weather it
  shows.
  It began where the days leave the line that is followed back; it is over when for two days the difference has been
  within `drift_back_share` of the furthest that it was off, or on the other side.
- **moved**, to somewhere colder: within two hours it fell by `moved_leap_k` against the others, and on 3 of 7 days it
  was both `moved_below_k` lower and `moved_above_k` higher than its days usually get, as on a sunny sill. A closed
  valve and an open window make a room colder and never warmer.
- **moved**, to somewhere warmer: it leapt up as fast, and for 3 days was never less than `moved_warm_k` above both what
  it had been and the other rooms. A radiator cannot warm a room like that; lying on one can.
  Either is over when for two days it is within `moved_back_k` of where it was, or as near as a drift that is over, and
  swings by less than `moved_below_k` in a day.

What is in force anew (another device, calibration, building: a new row of the register) is not compared with what was
before, and ends what goes on. One of the two kinds is open at a time.

Not found: a move into another heated room, onto a sill without sun, or outdoors; a drift that a person who has lost
heat would see as well (all but smooth falls); anything in buildings with too few thermometers.

References
----------
.. [1] P. J. Huber, E. M. Ronchetti, Robust Statistics, 2nd ed., Wiley 2009, chapter 3: the median as location
   estimate, and trimmed means, here that of the middle half of a day's hours.
.. [2] Least squares of a line: any text, e.g. N. R. Draper, H. Smith, Applied Regression Analysis, 3rd ed., Wiley
   1998, chapter 1. The sums are of whole numbers and exact.
.. [3] That a room's steady difference from outdoors, and so its answer to weather, goes with its heat balance:
   ISO 52016-1:2017, section 6.5. The limits on scatter are measured: `docs/decisions/0016-…`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analytics.layout.compiled import compiled
from analytics.layout.timeline import SERVICE, Timeline
from analytics.points.faults import DRIFT, FAULT, MOVED
from analytics.points.machine import NEVER, Records
from heatwatch.domain.instants import DAY_MS, HOUR_MS
from heatwatch.domain.register import FAR_FUTURE_MS

Int64 = NDArray[np.int64]
Int16 = NDArray[np.int16]
Float64 = NDArray[np.float64]

HOURS = 24
LINE_DAYS = 64
"""How many days' differences of a member are remembered."""
EXTREME_DAYS = 32
"""How many days' extremes."""
UNKNOWN = -32_768
"""A difference that is not known; others are cut to +-32.767 K."""

WINDOWS = (14, 28, 42)
LONG_ENOUGH = 28
MOVED_DAYS = 7
MOVED_HITS = 3
BEFORE_DAYS = 20
BEFORE_KNOWN = 7
BACK_DAYS = 2
"""What is not a number of the rules: windows of a drift's line, within how many days and on how many of them a sunny
sill shows, with which days before these it is compared, and for how many days a thermometer is back."""
_OFF_LINE_MK = 300
_OFF_LINE_SCATTERS = 3
_OFF_LINE_SHARE = 0.05
_KNOWN_OF = (4, 5)
"""Share of a window's days that must be known."""

NOTHING = -1

MEMBER = np.dtype(
    [
        ("value_c", np.float64),
        ("value_at", np.int64),
        ("row", np.int32),
        ("leap_mk", np.int16),
        ("leap_hour", np.int8),
        ("kind", np.int8),
        ("start", np.int64),
        ("days", np.int64),
        ("base_mk", np.int64),
        ("off_mk", np.int64),
        ("most_mk", np.int64),
        ("slope_mk", np.float64),
        ("back", np.int64),
        ("back_at", np.int64),
    ]
)
"""What a member says now (`row`: the register row in force last; `leap_…`: the day's largest change within two hours),
and its open fault, of `kind` `NOTHING` where there is none: since when, on how many days seen, difference before [mK],
how far off it is now and was at most [mK], slope [mK/day], for how many days it has been back and from when."""

BUILDING_STATE = np.dtype([("grid", np.int64), ("taken", np.int64)])
"""`grid` is the last grid instant done; rows up to `taken` have been taken in."""


IN_FORCE = np.dtype(
    [("segment", np.int64), ("until", np.int64), ("since", np.int64), ("hold", np.int64), ("about", np.int64)]
)
"""What is in force for a member while a building is carried on: its segment, up to when (excluded), from when on values
count, how long they hold [ms]; and how many rows it had within the last hour."""


class NeighbourNumbers(NamedTuple):
    """The numbers of drift and moved, in millikelvin."""

    neighbours: int
    day_hours: int
    rise_mk: int
    fall_mk: int
    rise_rough: float
    fall_rough: float
    back_share: float
    below_mk: int
    above_mk: int
    warm_mk: int
    leap_mk: int
    moved_back_mk: int
    hold_most_ms: int


class NeighbourTables(NamedTuple):
    """What compiled code needs of a `Timeline`."""

    seg_first: Int64
    seg_start: Int64
    seg_kind: NDArray[np.int8]
    seg_row: NDArray[np.int32]
    row_building: NDArray[np.int32]
    row_hold: Int64
    row_from: Int64


class Members(NamedTuple):
    """What is remembered of the rooms of some buildings, one row a member; `first` and `point` as in `heat.Rooms`.

    All differences in mK: `hour_mk` of the last 24 hours, and of days by their number modulo the ring's length.
    """

    first: Int64
    point: Int64
    now: Records
    hour_mk: Int16
    line_mk: Int16
    low_mk: Int16
    high_mk: Int16
    leap_mk: Int16
    leap_hour: NDArray[np.int8]


def neighbour_numbers(timeline: Timeline) -> NeighbourNumbers:
    """Take the numbers from the rules."""
    judging = timeline.judging
    return NeighbourNumbers(
        judging.drift_neighbours,
        judging.drift_day_hours,
        round(judging.drift_rise_k * 1000),
        round(judging.drift_fall_k * 1000),
        judging.drift_rise_rough,
        judging.drift_fall_rough,
        judging.drift_back_share,
        round(judging.moved_below_k * 1000),
        round(judging.moved_above_k * 1000),
        round(judging.moved_warm_k * 1000),
        round(judging.moved_leap_k * 1000),
        round(judging.moved_back_k * 1000),
        int(timeline.rows.hold_ms.max()),
    )


def neighbour_tables(timeline: Timeline) -> NeighbourTables:
    """Lay a timeline out for compiled code."""
    segments, rows = timeline.segments, timeline.rows
    return NeighbourTables(
        segments.first, segments.start, segments.kind, segments.row, rows.building, rows.hold_ms, rows.valid_from
    )


def fresh_members(timeline: Timeline) -> tuple[Members, Records]:
    """Return members of which nothing is known, and the state of their buildings."""
    pairs = np.unique(np.stack((timeline.rows.building, timeline.rows.point), axis=1).astype(np.int64), axis=0)
    count, buildings = len(pairs), len(timeline.buildings)
    now = np.zeros(count, dtype=MEMBER)
    now["value_c"], now["value_at"], now["row"], now["kind"] = np.nan, NEVER, -1, NOTHING

    def ring(length: int) -> Int16:
        return np.full((count, length), UNKNOWN, dtype=np.int16)

    members = Members(
        np.searchsorted(pairs[:, 0], np.arange(buildings + 1)).astype(np.int64),
        pairs[:, 1].copy(),
        now,
        ring(HOURS),
        ring(LINE_DAYS),
        ring(EXTREME_DAYS),
        ring(EXTREME_DAYS),
        ring(EXTREME_DAYS),
        np.zeros((count, EXTREME_DAYS), dtype=np.int8),
    )
    state = np.zeros(buildings, dtype=BUILDING_STATE)
    state["grid"] = state["taken"] = NEVER
    return members, state


def remembered(members: Members) -> list[NDArray[Any]]:
    """Return the columns that change as time goes on."""
    return list(members[2:])


def copy_of(members: Members) -> Members:
    """Return members that may be carried on without changing these."""
    return Members(members.first, members.point, *(column.copy() for column in remembered(members)))


@compiled
def _forget(members: Members, member: int) -> None:
    members.hour_mk[member] = UNKNOWN
    members.line_mk[member] = UNKNOWN
    members.low_mk[member] = UNKNOWN
    members.high_mk[member] = UNKNOWN
    members.leap_mk[member] = 0
    members.now[member].leap_mk = 0
    members.now[member].kind = NOTHING
    members.now[member].back = 0


@compiled
def _fill(fault: Any, point: int, now: Any, end: int) -> None:
    """Write down the fault of a member, open where `end` is `NEVER`."""
    fault.point = point
    fault.kind = now.kind
    fault.open = end == NEVER
    fault.start = now.start
    fault.end = end
    fault.count = now.days
    if now.kind == DRIFT:
        fault.a = np.rint(now.slope_mk / 10.0) / 100.0
        fault.b = np.rint((now.off_mk if fault.open else now.most_mk) / 100.0) / 10.0
    else:
        fault.a = np.rint(now.most_mk / 100.0) / 10.0
        fault.b = np.nan


@compiled
def _finish(members: Members, member: int, end: int, faults: Records, filled: Int64) -> None:
    now = members.now[member]
    if now.kind != NOTHING:
        _fill(faults[filled[0]], members.point[member], now, max(end, now.start))
        filled[0] += 1
    _forget(members, member)


@compiled
def _put_in_force(
    members: Members,
    member: int,
    at: int,
    building: int,
    tables: NeighbourTables,
    force: Any,
    faults: Records,
    filled: Int64,
) -> None:
    """See which register row is in force at a grid instant; what was before a new one is forgotten."""
    point = members.point[member]
    last = tables.seg_first[point + 1] - 1
    seg = force.segment
    while seg < last and tables.seg_start[seg + 1] <= at:
        seg += 1
    row = tables.seg_row[seg]
    now = members.now[member]
    if row != now.row:
        if now.row >= 0:
            _finish(members, member, tables.row_from[now.row + 1], faults, filled)  # rows of a point follow each other
        now.row = row
    force.segment = seg
    force.until = tables.seg_start[seg + 1] if seg < last else FAR_FUTURE_MS
    force.hold = tables.row_hold[row]
    serves = tables.seg_kind[seg] == SERVICE and tables.row_building[row] == building
    force.since = tables.row_from[row] if serves else FAR_FUTURE_MS


@compiled
def _middle_two(values: Float64, count: int, k: int) -> tuple[float, float]:
    """Return the `k`-th smallest of some values and the next one, `k` from 0; the values change places [1]_.

    References
    ----------
    .. [1] C. A. R. Hoare, Algorithm 65: Find, Communications of the ACM 4 (1961) 321.
    """
    low, high = 0, count - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    following = values[k + 1]
    for i in range(k + 2, count):
        following = min(following, values[i])
    return values[k], following


@compiled
def _hour(
    members: Members,
    first: int,
    last: int,
    at: int,
    values_mk: Float64,
    sorting: Float64,
    numbers: NeighbourNumbers,
) -> None:
    """Put down each member's difference from the lower median of the others, and its change within two hours."""
    slot = (at // HOUR_MS) % HOURS
    known = 0
    for k in range(last - first):
        if not np.isnan(values_mk[k]):
            sorting[known] = values_mk[k]
            known += 1
    if known - 1 < max(numbers.neighbours, 1):
        for member in range(first, last):
            members.hour_mk[member, slot] = UNKNOWN
        return
    middle, following = _middle_two(sorting, known, (known - 2) // 2)
    one, two = (slot - 1) % HOURS, (slot - 2) % HOURS
    for member in range(first, last):
        value = values_mk[member - first]
        if np.isnan(value):
            members.hour_mk[member, slot] = UNKNOWN
            continue
        # without the member itself, those above it stay the lower half's
        other = following if value <= middle else middle
        difference = max(-32_767, min(32_767, int(value - other)))
        members.hour_mk[member, slot] = difference
        now = members.now[member]
        for back in (one, two):
            before = members.hour_mk[member, back]
            if before != UNKNOWN and abs(difference - before) > abs(now.leap_mk):
                now.leap_mk = max(-32_767, min(32_767, difference - before))
                now.leap_hour = slot


@compiled
def _close_day(members: Members, member: int, day: int, numbers: NeighbourNumbers, known: Int64) -> None:
    """Make a day of 24 hours: the mean of their middle half, the extremes, the largest change; `known` is room."""
    now = members.now[member]
    count = 0
    for hour in range(HOURS):
        difference = int(members.hour_mk[member, hour])
        if difference != UNKNOWN:
            at = count
            while at > 0 and known[at - 1] > difference:
                known[at] = known[at - 1]
                at -= 1
            known[at] = difference
            count += 1
    line, extreme = day % LINE_DAYS, day % EXTREME_DAYS
    members.leap_mk[member, extreme] = now.leap_mk
    members.leap_hour[member, extreme] = now.leap_hour
    now.leap_mk = 0
    if count < numbers.day_hours:
        members.line_mk[member, line] = UNKNOWN
        members.low_mk[member, extreme] = UNKNOWN
        members.high_mk[member, extreme] = UNKNOWN
    else:
        cut = count // 4
        inner = known[cut : count - cut]
        members.line_mk[member, line] = int(np.rint(inner.sum() / len(inner)))
        members.low_mk[member, extreme] = known[0]
        members.high_mk[member, extreme] = known[count - 1]


@compiled
def _add_days(sums: Int64, ring_mk: Int16, day: int, begin: int, end: int) -> None:
    """Add the known days from `begin` to `end` (excluded) days before `day` to the sums of a line."""
    n, st, stt, sy, sty, syy, newest, oldest = sums
    for back in range(begin, end):
        y = int(ring_mk[(day - back) % LINE_DAYS])
        if y != UNKNOWN:
            if n == 0:
                newest = back
            n += 1
            st -= back
            stt += back * back
            sy += y
            sty -= back * y
            syy += y * y
            oldest = back
    sums[0], sums[1], sums[2], sums[3] = n, st, stt, sy
    sums[4], sums[5], sums[6], sums[7] = sty, syy, newest, oldest


@compiled
def _line(sums: Int64, window: int) -> tuple[bool, float, float, float]:
    """Fit a line to the known days of a window: whether enough are known, slope [mK/day], value at `day`, scatter [mK].

    The sums are exact; days count back from `day`.
    """
    n, st, stt, sy, sty, syy, newest, oldest = sums
    if n * _KNOWN_OF[1] < window * _KNOWN_OF[0] or newest > 1 or oldest < window - 3:
        return False, 0.0, 0.0, 0.0
    tt, ty, yy = n * stt - st * st, n * sty - st * sy, n * syy - sy * sy
    slope = ty / tt
    square = max(yy - slope * ty, 0.0) / (n * n)
    return True, slope, (sy - slope * st) / n, np.sqrt(square)


@compiled
def _look_for_drift(members: Members, member: int, day: int, numbers: NeighbourNumbers, sums: Int64) -> None:
    now, ring = members.now[member], members.line_mk[member]
    added = 0
    sums[:] = 0
    for window in WINDOWS:
        _add_days(sums, ring, day, added, window)
        added = window
        known, slope, level, scatter = _line(sums, window)
        if not known:
            return  # nor is a longer one
        rise = slope * window
        rising = rise >= numbers.rise_mk and scatter <= numbers.rise_rough * rise
        fall_rough = numbers.fall_rough * min(1.0, window / LONG_ENOUGH)
        falling = -rise >= numbers.fall_mk and scatter <= fall_rough * -rise
        if not rising and not falling:
            continue
        half = np.zeros_like(sums)
        _add_days(half, ring, day, 0, window // 2)
        known, slope, level, scatter = _line(half, window // 2)  # surely after it began
        if not known:
            continue
        allowed = max(float(_OFF_LINE_MK), _OFF_LINE_SCATTERS * scatter)
        onset, off = 0, 0
        for back in range(LINE_DAYS):
            y = int(ring[(day - back) % LINE_DAYS])
            if y == UNKNOWN:
                continue
            if abs(y - (level - slope * back)) <= allowed + _OFF_LINE_SHARE * abs(slope) * back:
                onset, off = back, 0
            else:
                off += 1
                if off == 2:  # noqa: PLR2004 - one day alone may be an open window
                    break
        now.kind = DRIFT
        now.start = (day - onset) * DAY_MS
        now.days = onset + 1
        now.slope_mk = slope
        now.base_mk = int(np.rint(level - slope * onset))
        now.back = 0
        return


@compiled
def _before_mk(ring_mk: Int16, day: int) -> int:
    """Return the lower median of the days before the last `MOVED_DAYS`, `UNKNOWN` where too few are known."""
    values = np.empty(BEFORE_DAYS, dtype=np.int64)
    count = 0
    for back in range(MOVED_DAYS, MOVED_DAYS + BEFORE_DAYS):
        y = int(ring_mk[(day - back) % len(ring_mk)])
        if y != UNKNOWN:
            values[count] = y
            count += 1
    if count < BEFORE_KNOWN:
        return UNKNOWN
    return int(np.sort(values[:count])[(count - 1) // 2])


@compiled
def _leapt(members: Members, member: int, day: int, base: int, sign: int, numbers: NeighbourNumbers) -> int:
    """Return when the difference leapt away for good, up (`sign` 1) or down (-1); `NEVER` where it did not.

    That is on the first of the days that lie on that side, without a pause, or the day before.
    """
    away = -1
    for back in range(MOVED_DAYS + BEFORE_DAYS):
        slot = (day - back) % EXTREME_DAYS
        if members.low_mk[member, slot] == UNKNOWN:
            break
        if sign > 0 and 2 * (int(members.high_mk[member, slot]) - base) < numbers.warm_mk:
            break
        if sign < 0 and 2 * (base - int(members.low_mk[member, slot])) < numbers.below_mk:
            break
        away = back
    for back in (away, away + 1):
        slot = (day - back) % EXTREME_DAYS
        if away >= 0 and sign * members.leap_mk[member, slot] >= numbers.leap_mk:
            begun = (day - back) * DAY_MS
            hour = int(members.leap_hour[member, slot])
            return begun + (hour if hour > 0 else HOURS) * HOUR_MS
    return NEVER


@compiled
def _look_for_move(members: Members, member: int, day: int, numbers: NeighbourNumbers) -> None:
    now = members.now[member]
    newest = day % EXTREME_DAYS
    newest_low, newest_high = int(members.low_mk[member, newest]), int(members.high_mk[member, newest])
    may_be_sunny = newest_high - newest_low >= numbers.below_mk + numbers.above_mk
    if not may_be_sunny and newest_low < numbers.warm_mk:
        return  # whatever was before
    base = _before_mk(members.line_mk[member], day)
    base_low, base_high = _before_mk(members.low_mk[member], day), _before_mk(members.high_mk[member], day)
    if base == UNKNOWN:
        return
    sunny = warm = 0
    shows = False
    for back in range(MOVED_DAYS):
        slot = (day - back) % EXTREME_DAYS
        low, high = int(members.low_mk[member, slot]), int(members.high_mk[member, slot])
        if low == UNKNOWN:
            continue
        both = base_low - low >= numbers.below_mk and high - base_high >= numbers.above_mk
        sunny += int(both)
        shows = shows or (both and back == 0)
        if back < MOVED_HITS:
            warm += int(low - max(base, 0) >= numbers.warm_mk)
    sign = 1 if warm == MOVED_HITS else -1
    if warm < MOVED_HITS and (sunny < MOVED_HITS or not shows):
        return
    start = _leapt(members, member, day, base if sign > 0 else base_low, sign, numbers)
    if start != NEVER:
        now.kind = MOVED
        now.start = start
        now.days = day - (start - 1) // DAY_MS + 1
        now.slope_mk = 0.0
        now.base_mk = base
        now.back = 0


@compiled
def _set_off(now: Any, off_mk: int) -> None:
    now.off_mk = off_mk
    if abs(off_mk) > abs(now.most_mk):
        now.most_mk = off_mk


@compiled
def _look_for_end(members: Members, member: int, day: int, numbers: NeighbourNumbers) -> int:
    """Count the days on which a member with a fault is back; return when it was over, `NEVER` while it goes on."""
    now = members.now[member]
    extreme = day % EXTREME_DAYS
    y = int(members.line_mk[member, day % LINE_DAYS])
    if y == UNKNOWN:
        return NEVER
    now.days += 1
    off = y - int(now.base_mk)
    back = abs(off) <= numbers.back_share * abs(now.most_mk) or off * int(now.most_mk) < 0
    if now.kind == MOVED:
        swing = int(members.high_mk[member, extreme]) - int(members.low_mk[member, extreme])
        back = (back or abs(off) <= numbers.moved_back_mk) and swing < numbers.below_mk
    if not back:
        now.back = 0
        _set_off(now, off)
        return NEVER
    if now.back == 0:
        now.back_at = day * DAY_MS
        for before in (1, 0):
            slot = (day - before) % EXTREME_DAYS
            leap = int(members.leap_mk[member, slot])
            if leap * int(now.most_mk) < 0 and 3 * abs(leap) >= abs(int(now.most_mk)):
                hour = int(members.leap_hour[member, slot])
                now.back_at = (day - before) * DAY_MS + (hour if hour > 0 else HOURS) * HOUR_MS
                break
    now.back += 1
    return int(now.back_at) if now.back >= BACK_DAYS else NEVER


@compiled
def _day(
    members: Members, first: int, last: int, day: int, numbers: NeighbourNumbers, faults: Records, filled: Int64
) -> None:
    """Close a day, and look what begins and what is over."""
    room, sums = np.empty(HOURS, dtype=np.int64), np.empty(8, dtype=np.int64)
    for member in range(first, last):
        _close_day(members, member, day, numbers, room)
        now = members.now[member]
        if now.kind != NOTHING:
            over = _look_for_end(members, member, day, numbers)
            if over != NEVER:
                _finish(members, member, over, faults, filled)
        elif members.line_mk[member, day % LINE_DAYS] != UNKNOWN:
            _look_for_drift(members, member, day, numbers, sums)
            if now.kind == NOTHING:
                _look_for_move(members, member, day, numbers)
            if now.kind != NOTHING:
                now.most_mk = 0
                _set_off(now, int(members.line_mk[member, day % LINE_DAYS]) - int(now.base_mk))


@compiled
def _begin(members: Members, building: int, rows: Int64, time: Int64, judged: Float64) -> int:
    """Return the grid instant before the first judged reading of a building, `NEVER` where there is none."""
    earliest = NEVER
    for member in range(members.first[building], members.first[building + 1]):
        point = members.point[member]
        for i in range(rows[point], rows[point + 1]):
            if not np.isnan(judged[i]):
                if earliest == NEVER or time[i] < earliest:
                    earliest = time[i]
                break
    return earliest if earliest == NEVER else (earliest - 1) // HOUR_MS * HOUR_MS


@compiled
def _take_in(following: int, end: int, ready: int, about: int, time: Int64) -> int:
    """Return the first row after `ready`, to be looked for about so many rows on."""
    at = min(following + about, end)
    while at > following and time[at - 1] > ready:
        at -= 1
    while at < end and time[at] <= ready:
        at += 1
    return at


@compiled
def _day_before_next(
    members: Members,
    first: int,
    last: int,
    following: Int64,
    rows: Int64,
    time: Int64,
    judged: Float64,
    until: int,
) -> int:
    """Return the last end of a day before any of these rooms is judged again, at most `until`."""
    at = until + 1
    for member in range(first, last):
        i, end = following[member], rows[members.point[member] + 1]
        while i < end and time[i] < at:
            if not np.isnan(judged[i]):
                at = time[i]
                break
            i += 1
    return (at - 1) // DAY_MS * DAY_MS


@compiled
def watch(
    buildings: Int64,
    members: Members,
    state: Records,
    rows: Int64,
    time: Int64,
    judged: Float64,
    until: int,
    tables: NeighbourTables,
    numbers: NeighbourNumbers,
    faults: Records,
    filled: Int64,
) -> bool:
    """Carry buildings on, from hour to hour, up to `until` [ms].

    Parameters
    ----------
    buildings
        Which to carry on.
    rows, time, judged
        Rows by point, `rows[p]:rows[p + 1]` those of point `p`: measured [ms], and calibrated temperature [degC]
        where judged, NaN elsewhere. Those up to `until` are taken in and need not be given again: what comes later
        must be later than `until`, and is skipped if it is not.
    faults, filled
        Out, of dtype `FAULT`: faults that ended, appended from `filled[0]` on.

    Returns
    -------
    bool
        Whether all is done; else `faults` is full: make room and call again.
    """
    following = np.empty(len(members.point), dtype=np.int64)
    most = 0
    for k in range(len(buildings)):
        most = max(most, members.first[buildings[k] + 1] - members.first[buildings[k]])
    values_mk, sorting, force = np.empty(most), np.empty(most), np.empty(most, dtype=IN_FORCE)
    forgotten_ms = numbers.hold_most_ms + (LINE_DAYS + 1) * DAY_MS
    for k in range(len(buildings)):
        building = buildings[k]
        first, last = members.first[building], members.first[building + 1]
        if last - first - 1 < numbers.neighbours:
            continue  # never enough others
        s = state[building]
        if s.grid == NEVER:
            begin = _begin(members, building, rows, time, judged)
            if begin == NEVER or begin >= until:
                continue
            s.grid = begin
            s.taken = begin
        newest = NEVER
        for member in range(first, last):
            point = members.point[member]
            low, high = rows[point], rows[point + 1]
            following[member] = low + (np.searchsorted(time[low:high], s.taken, side="right") if high > low else 0)
            newest = max(newest, members.now[member].value_at)
            one = force[member - first]
            one.segment = tables.seg_first[point]
            one.until = NEVER
            one.about = 0
        while True:
            if newest < s.grid - forgotten_ms:  # all that is remembered is unknown: days may be passed over
                at = _day_before_next(members, first, last, following, rows, time, judged, until)
                if at > s.grid:
                    if len(faults) - filled[0] < 2 * (last - first):
                        return False
                    s.grid = at
                    for member in range(first, last):  # the register goes on meanwhile
                        _put_in_force(members, member, at, building, tables, force[member - first], faults, filled)
            ready = min(s.grid + HOUR_MS, until)
            for member in range(first, last):
                begin, one = following[member], force[member - first]
                end = _take_in(begin, rows[members.point[member] + 1], ready, one.about, time)
                one.about = end - begin
                following[member] = end
                while end > begin and np.isnan(judged[end - 1]):
                    end -= 1
                if end > begin:
                    now = members.now[member]
                    now.value_c = judged[end - 1]
                    now.value_at = time[end - 1]
                    newest = max(newest, time[end - 1])
            s.taken = max(s.taken, ready)
            if s.grid + HOUR_MS > until:
                break
            if len(faults) - filled[0] < 2 * (last - first):  # a new row and a day's end may fall together
                return False
            s.grid += HOUR_MS
            for member in range(first, last):
                now, one = members.now[member], force[member - first]
                if s.grid >= one.until:
                    _put_in_force(members, member, s.grid, building, tables, one, faults, filled)
                fresh = now.value_at != NEVER and now.value_at >= one.since and s.grid - now.value_at <= one.hold
                values_mk[member - first] = np.rint(now.value_c * 1000.0) if fresh else np.nan
            _hour(members, first, last, s.grid, values_mk[: last - first], sorting, numbers)
            if s.grid % DAY_MS == 0:
                _day(members, first, last, s.grid // DAY_MS - 1, numbers, faults, filled)
    return True


def still_open(members: Members) -> Records:
    """Return the faults that go on, shape (n,), dtype `FAULT`."""
    chosen = np.nonzero(members.now["kind"] != NOTHING)[0]
    faults = np.zeros(len(chosen), dtype=FAULT)
    _fill_open(chosen, members, faults)
    return faults


@compiled
def _fill_open(chosen: Int64, members: Members, faults: Records) -> None:
    for k in range(len(chosen)):
        _fill(faults[k], members.point[chosen[k]], members.now[chosen[k]], NEVER)
