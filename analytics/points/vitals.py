"""What a thermometer says besides temperature: its battery, and whether its clock is right.

One pass over a point's rows in time order, with the battery's level, the flag `low_battery` and the lag (moment of
arrival less claimed moment of measuring) of each, as far as known. The past is carried in one record and a ring of
days a point, so that judging may stop after any instant and go on later; rows of one instant must come together.

**low_battery.** A level of at most `battery_low_pct`, or the flag, on two rows in a row that say something of the
battery. Volts are no percents: how far down a cell is cannot be read off its voltage without knowing its chemistry, so
a level in volts (up to 6.5; above 1000 it is taken for millivolts) is low at `battery_low_share` of the highest day's
mean that this battery has shown, on 7 days at least. It is over when two such rows in a row are `battery_new_pct`
points (volts: `battery_new_share` of the highest) above the lowest, without the flag; where only flags are sent, when
there has been none for `battery_quiet_h`. Days left: the least-squares line through up to 28 days' means, in percent,
down to 0; not known in volts, nor with fewer than 7 days. Readings of a thermometer with a low battery are trusted.

**clock.** A clock that is off shifts every lag by the same; one that delivers late has lags that vary, down to about 0.
So a run of rows is looked for that all come later by at least `clock_behind_min` (and the point's interval, where that
is longer than an hour: who is asked once an hour may always be asked late) or earlier by at least `clock_ahead_min`,
and whose lags lie within `clock_same_min` and `clock_same_share` of the run's length of each other (a backlog's lags
spread as wide as its times; a slow clock's hardly). A run of `clock_readings` rows over `clock_least_h` is a fault from
its first row to the first row beyond it. A clock that stands shows several values at one instant: `clock_conflicts`
of these, none more than `clock_quiet_h` after the one before, are a fault from the first to the next row after the
last; off by 0 s. Times years away never get here: they are quarantined.

References
----------
.. [1] The least-squares line: N. R. Draper, H. Smith, Applied Regression Analysis, 3rd ed., Wiley 1998, chapter 1. Its
   sums are of whole numbers and exact.
.. [2] That the smallest delay tells a clock's offset from a path's queues is the idea of NTP's clock filter: D. L.
   Mills, RFC 5905 (2010), section 10.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analytics.layout.compiled import compiled
from analytics.layout.timeline import Timeline
from analytics.points.faults import CLOCK, FAULT, LOW_BATTERY
from analytics.points.machine import NEVER, Records
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS

Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

NO_LAG = np.iinfo(np.int64).min
"""The lag of a row whose arrival is not known."""
DAYS = 28
KNOWN_DAYS = 7
MOST_DAYS_LEFT = 999.0
_UNKNOWN = -1
_MOST_VOLTS = 6.5
_LEAST_MILLIVOLTS = 1000.0
_IN_A_ROW = 2

UNIT_UNKNOWN, PERCENT, VOLTS = range(3)
WELL_CLOCK, BEHIND, AHEAD = range(3)

VITALS = np.dtype(
    [
        ("row", np.int32),
        ("unit", np.int8),
        ("low", np.bool_),
        ("low_start", np.int64),
        ("low_last", np.int64),
        ("low_rows", np.int64),
        ("well_rows", np.int64),
        ("well_start", np.int64),
        ("level_milli", np.int64),
        ("lowest_milli", np.int64),
        ("top_milli", np.int64),
        ("top_days", np.int64),
        ("day", np.int64),
        ("day_sum", np.int64),
        ("day_rows", np.int64),
        ("days_left", np.float64),
        ("side", np.int8),
        ("off", np.bool_),
        ("run_start", np.int64),
        ("run_rows", np.int64),
        ("run_least", np.int64),
        ("run_most", np.int64),
        ("run_beyond", np.int64),
        ("stands", np.bool_),
        ("same_start", np.int64),
        ("same_last", np.int64),
        ("same_over", np.int64),
        ("same_rows", np.int64),
        ("last", np.int64),
        ("last_c", np.float64),
    ]
)
"""All that a point's rows mean for its battery (`low_…`: rows that say it is low; `well_…`: that a new one is in) and
its clock (`run_…`: rows of about the same lag; `same_…`: values beside others of the same instant)."""


class VitalNumbers(NamedTuple):
    """The numbers of batteries and clocks, in thousandths and milliseconds."""

    low_milli: int
    low_share: float
    new_milli: int
    new_share: float
    quiet_ms: int
    behind_ms: int
    ahead_ms: int
    same_ms: int
    same_share: float
    least_ms: int
    readings: int
    conflicts: int
    same_quiet_ms: int


class VitalTables(NamedTuple):
    """What compiled code needs of a `Timeline`."""

    seg_first: Int64
    seg_start: Int64
    seg_row: Int32
    row_point: Int32
    row_from: Int64
    row_hold: Int64


class Vitals(NamedTuple):
    """What is carried of each point: a record, and days' mean levels [1/1000], by the day's number modulo `DAYS`."""

    state: Records
    level_milli: Int32


class Signs(NamedTuple):
    """What rows say besides a temperature; shape (rows,) each, in the order of the rows.

    `level` as sent, NaN where none was; `low` whether the row bore the flag; `lag_ms` `NO_LAG` where not known.
    """

    level: Float64
    low: Bool
    lag_ms: Int64

    def where(self, chosen: NDArray[Any]) -> Signs:
        """Return those of some rows."""
        return Signs(self.level[chosen], self.low[chosen], self.lag_ms[chosen])


class VitalRows(NamedTuple):
    """Rows by point in time order: those of the k-th point asked for are `first[k]:first[k + 1]`.

    `level` as sent, NaN where none was; `low` whether the row bore the flag; `lag_ms` `NO_LAG` where not known.
    """

    first: Int64
    time_ms: Int64
    temp_c: Float64
    level: Float64
    low: Bool
    lag_ms: Int64


def vital_numbers(timeline: Timeline) -> VitalNumbers:
    """Take the numbers from the rules."""
    judging = timeline.judging
    return VitalNumbers(
        round(judging.battery_low_pct * 1000),
        judging.battery_low_share,
        round(judging.battery_new_pct * 1000),
        judging.battery_new_share,
        round(judging.battery_quiet_h * HOUR_MS),
        round(judging.clock_behind_min * MINUTE_MS),
        round(judging.clock_ahead_min * MINUTE_MS),
        round(judging.clock_same_min * MINUTE_MS),
        judging.clock_same_share,
        round(judging.clock_least_h * HOUR_MS),
        judging.clock_readings,
        judging.clock_conflicts,
        round(judging.clock_quiet_h * HOUR_MS),
    )


def vital_tables(timeline: Timeline) -> VitalTables:
    """Lay a timeline out for compiled code."""
    segments, rows = timeline.segments, timeline.rows
    return VitalTables(segments.first, segments.start, segments.row, rows.point, rows.valid_from, rows.hold_ms)


def fresh_vitals(timeline: Timeline) -> Vitals:
    """Return what is known of points that have said nothing."""
    points = len(timeline.points)
    state = np.zeros(points, dtype=VITALS)
    for field in ("day", "last", "low_start", "low_last", "well_start", "run_start", "run_beyond"):
        state[field] = NEVER
    for field in ("same_start", "same_last", "same_over"):
        state[field] = NEVER
    state["row"], state["level_milli"] = -1, _UNKNOWN
    state["days_left"] = state["last_c"] = np.nan
    return Vitals(state, np.full((points, DAYS), _UNKNOWN, dtype=np.int32))


def remembered(vitals: Vitals) -> list[NDArray[Any]]:
    """Return the arrays that change as time goes on, one row a point."""
    return list(vitals)


def vital_rows(code: Int32, time_ms: Int64, temp_c: Float64, signs: Signs, points: int) -> VitalRows:
    """Bring rows into order: by point, time and value, NaN last.

    Parameters
    ----------
    code : shape (n,)
        Point number of each row, `0 … points - 1`; rows of any other number are left out.
    time_ms, temp_c, signs : shape (n,)
        As in `VitalRows`, in any order.
    points
        How many points there are.
    """
    level, low, lag_ms = signs
    if not _in_order(code, time_ms, temp_c, points):
        order, first, astray = _by_point(code, time_ms, temp_c, points)
        if astray.any():
            chosen = np.repeat(astray, np.diff(first))
            rows = order[chosen]
            order[chosen] = rows[np.lexsort((temp_c[rows], time_ms[rows], code[rows]))]
        time_ms, temp_c = time_ms[order], temp_c[order]
        level, low, lag_ms = level[order], low[order], lag_ms[order]
    else:
        first = np.searchsorted(code, np.arange(points + 1)).astype(np.int64)
    return VitalRows(first, time_ms, temp_c, level, low, lag_ms)


@compiled
def _in_order(code: Int32, time_ms: Int64, temp_c: Float64, points: int) -> bool:
    for i in range(len(code)):
        if code[i] < 0 or code[i] >= points:
            return False
        if i > 0 and code[i] == code[i - 1]:
            if time_ms[i] < time_ms[i - 1] or (time_ms[i] == time_ms[i - 1] and not temp_c[i] >= temp_c[i - 1]):
                return False
        elif i > 0 and code[i] < code[i - 1]:
            return False
    return True


@compiled
def _by_point(code: Int32, time_ms: Int64, temp_c: Float64, points: int) -> tuple[Int64, Int64, Bool]:
    """Return the rows by point, as they came, where each point's begin, and whose are not by time and value so."""
    first = np.zeros(points + 1, dtype=np.int64)
    for i in range(len(code)):
        if 0 <= code[i] < points:
            first[code[i] + 1] += 1
    first = np.cumsum(first)
    following = first[:-1].copy()
    order = np.empty(first[-1], dtype=np.int64)
    for i in range(len(code)):
        point = code[i]
        if 0 <= point < points:
            order[following[point]] = i
            following[point] += 1
    astray = np.zeros(points, dtype=np.bool_)
    for point in range(points):
        for k in range(first[point] + 1, first[point + 1]):
            before, this = order[k - 1], order[k]
            later = time_ms[this] > time_ms[before]
            if not later and (time_ms[this] < time_ms[before] or not temp_c[this] >= temp_c[before]):
                astray[point] = True
                break
    return order, first, astray


# --- battery


@compiled
def _forget_battery(s: Any, ring: Int32) -> None:
    ring[:] = _UNKNOWN
    s.unit = UNIT_UNKNOWN
    s.low = False
    s.low_rows = 0
    s.well_rows = 0
    s.level_milli = _UNKNOWN
    s.top_milli = 0
    s.top_days = 0
    s.day = NEVER
    s.day_rows = 0
    s.day_sum = 0
    s.days_left = np.nan


@compiled
def _days_left(s: Any, ring: Int32, day: int) -> float:
    """Return how long after `day` a line through the days' means reaches 0 [days], NaN where that is not known."""
    if s.unit != PERCENT:
        return np.nan
    n = sx = sxx = sy = sxy = oldest = 0
    for back in range(DAYS):
        y = int(ring[(day - back) % DAYS])
        if y != _UNKNOWN:
            n += 1
            sx -= back
            sxx += back * back
            sy += y
            sxy -= back * y
            oldest = back
    if n < KNOWN_DAYS or oldest < KNOWN_DAYS - 1:
        return np.nan
    falling = sx * sy - n * sxy
    if falling <= 0:
        return np.nan
    spread = n * sxx - sx * sx
    slope = falling / spread
    return float(min(max(np.rint((sy + slope * sx) / n / slope), 0.0), MOST_DAYS_LEFT))


@compiled
def _close_day(s: Any, ring: Int32, day: int) -> None:
    """Put the day's mean into the ring, and forget the days between it and `day`."""
    if s.day == NEVER or s.day_rows == 0:
        return
    mean = s.day_sum // s.day_rows
    ring[s.day % DAYS] = mean
    for later in range(s.day + 1, min(day, s.day + DAYS)):
        ring[later % DAYS] = _UNKNOWN
    s.top_milli = max(s.top_milli, mean)
    s.top_days += 1
    s.days_left = _days_left(s, ring, s.day)


@compiled
def _milli_level(s: Any, level: float) -> int:
    """Return a level in thousandths of a percent or of a volt, and see which of these it is."""
    if s.unit == UNIT_UNKNOWN:
        s.unit = PERCENT if _MOST_VOLTS < level < _LEAST_MILLIVOLTS else VOLTS
    elif s.unit == VOLTS and _MOST_VOLTS < level < _LEAST_MILLIVOLTS:
        s.unit = PERCENT  # what was lower until now was no volts either
        s.top_milli = 0
        s.top_days = 0
    return int(np.rint(level if level >= _LEAST_MILLIVOLTS else level * 1000.0))


@compiled
def _emit(fault: Any, point: int, kind: int, start: int, end: int, count: int, a: float, b: float) -> None:
    fault.point = point
    fault.kind = kind
    fault.open = end == NEVER
    fault.start = start
    fault.end = end
    fault.count = count
    fault.a = a
    fault.b = b


@compiled
def _emit_low(fault: Any, point: int, s: Any, end: int) -> None:
    level = np.nan if s.level_milli == _UNKNOWN else s.level_milli / 1000.0
    _emit(fault, point, LOW_BATTERY, s.low_start, end, s.low_rows, level, s.days_left)


@compiled
def _battery(
    point: int,
    s: Any,
    ring: Int32,
    at: int,
    level: float,
    flag: bool,
    numbers: VitalNumbers,
    faults: Records,
    filled: Int64,
) -> None:
    known = level >= 0.0  # false for NaN
    milli = _UNKNOWN
    if known:
        milli = _milli_level(s, level)
        day = at // DAY_MS
        if day != s.day:
            _close_day(s, ring, day)
            s.day = day
            s.day_sum = 0
            s.day_rows = 0
        s.day_sum += milli
        s.day_rows += 1
    elif not flag and s.unit != UNIT_UNKNOWN:
        return  # this row says nothing of the battery
    limit = numbers.low_milli
    step = numbers.new_milli
    if s.unit == VOLTS:
        limit = int(s.top_milli * numbers.low_share) if s.top_days >= KNOWN_DAYS else -1
        step = int(s.top_milli * numbers.new_share)
    if flag or (known and milli <= limit):
        if s.low_rows == 0:
            s.low_start = at
            s.lowest_milli = milli
        s.low_rows += 1
        s.low_last = at
        s.well_rows = 0
        s.low = s.low or s.low_rows >= _IN_A_ROW
        if known:
            s.level_milli = milli
            s.lowest_milli = milli if s.lowest_milli == _UNKNOWN else min(s.lowest_milli, milli)
        return
    if not s.low:
        s.low_rows = 0
        return
    if known and s.lowest_milli != _UNKNOWN and milli < s.lowest_milli + step:
        s.level_milli = milli
        s.well_rows = 0
        return
    if s.well_rows == 0:
        s.well_start = at
    s.well_rows += 1
    if (known and s.well_rows >= _IN_A_ROW) or (not known and at - s.low_last >= numbers.quiet_ms):
        _emit_low(faults[filled[0]], point, s, s.well_start)
        filled[0] += 1
        _forget_battery(s, ring)


# --- clock


@compiled
def _emit_off(fault: Any, point: int, s: Any, end: int) -> None:
    """Write down by how much a clock is off: the smallest delay tells it of one behind, the largest of one ahead."""
    off_ms = -s.run_least if s.side == BEHIND else -s.run_most
    _emit(fault, point, CLOCK, s.run_start, end, s.run_rows, np.rint(off_ms / 1000.0), np.nan)


@compiled
def _emit_stands(fault: Any, point: int, s: Any, end: int) -> None:
    _emit(fault, point, CLOCK, s.same_start, end, s.same_rows, 0.0, np.nan)


@compiled
def _lag(
    point: int, s: Any, at: int, lag: int, behind_ms: int, numbers: VitalNumbers, faults: Records, filled: Int64
) -> None:
    side = BEHIND if lag >= behind_ms else (AHEAD if lag <= -numbers.ahead_ms else WELL_CLOCK)
    least, most = min(s.run_least, lag), max(s.run_most, lag)
    if s.side != WELL_CLOCK:
        allowed = numbers.same_ms + int((at - s.run_start) * numbers.same_share)
        if side == s.side and most - least <= allowed:
            s.run_least = least
            s.run_most = most
            s.run_rows += 1
            s.run_beyond = NEVER
            s.off = s.off or (s.run_rows >= numbers.readings and at - s.run_start >= numbers.least_ms)
            return
        if s.run_beyond == NEVER:
            s.run_beyond = at  # one row alone may have waited somewhere
            return
        if s.off:
            _emit_off(faults[filled[0]], point, s, s.run_beyond)
            filled[0] += 1
    s.side = side
    s.off = False
    s.run_start = at
    s.run_rows = 1
    s.run_least = lag
    s.run_most = lag
    s.run_beyond = NEVER


@compiled
def _same(point: int, s: Any, at: int, temp_c: float, numbers: VitalNumbers, faults: Records, filled: Int64) -> None:
    if not np.isfinite(temp_c):
        return
    if at != s.last:
        if s.same_rows > 0:
            if s.same_over == NEVER:
                s.same_over = at
            if at - s.same_last > numbers.same_quiet_ms:
                if s.stands:
                    _emit_stands(faults[filled[0]], point, s, s.same_over)
                    filled[0] += 1
                s.stands = False
                s.same_rows = 0
        s.last = at
        s.last_c = temp_c
    elif temp_c != s.last_c:
        if s.same_rows == 0:
            s.same_start = at
        s.same_rows += 1
        s.same_last = at
        s.same_over = NEVER
        s.last_c = temp_c
        s.stands = s.stands or s.same_rows >= numbers.conflicts


# --- both


@compiled
def _new_row(point: int, s: Any, ring: Int32, end: int, faults: Records, filled: Int64) -> None:
    """End what goes on when another row of the register, which may be another device, takes over."""
    if s.low:
        _emit_low(faults[filled[0]], point, s, end)
        filled[0] += 1
    if s.off:
        _emit_off(faults[filled[0]], point, s, end if s.run_beyond == NEVER else s.run_beyond)
        filled[0] += 1
    if s.stands:
        _emit_stands(faults[filled[0]], point, s, end if s.same_over == NEVER else s.same_over)
        filled[0] += 1
    _forget_battery(s, ring)
    s.side = WELL_CLOCK
    s.off = False
    s.stands = False
    s.same_rows = 0


AT_ONCE = 6


@compiled
def look(
    points: Int64,
    rows: VitalRows,
    vitals: Vitals,
    tables: VitalTables,
    numbers: VitalNumbers,
    faults: Records,
    filled: Int64,
    cursor: Int64,
) -> bool:
    """Carry points over their rows.

    Parameters
    ----------
    points
        Which, in the order of `rows.first`.
    faults, filled
        Out, of dtype `FAULT`: faults that ended, appended from `filled[0]` on.
    cursor : shape (2,)
        Index into `points` and row where to go on; (0, `rows.first[0]`) at first.

    Returns
    -------
    bool
        Whether all is done; else `faults` is full: make room and call again.
    """
    while cursor[0] < len(points):
        k = cursor[0]
        point = points[k]
        s, ring = vitals.state[point], vitals.level_milli[point]
        first, last = tables.seg_first[point], tables.seg_first[point + 1]
        at = rows.time_ms[cursor[1]] if cursor[1] < rows.first[k + 1] else 0
        seg = first + np.searchsorted(tables.seg_start[first:last], at, side="right") - 1
        for i in range(cursor[1], rows.first[k + 1]):
            if len(faults) - filled[0] < AT_ONCE:
                cursor[1] = i
                return False
            at = rows.time_ms[i]
            while seg + 1 < last and tables.seg_start[seg + 1] <= at:
                seg += 1
            row = tables.seg_row[seg]
            if row != s.row:
                if s.row >= 0:
                    _new_row(point, s, ring, tables.row_from[s.row + 1], faults, filled)
                s.row = row
            # Most rows say nothing new. What they change is written down here, all else is left to functions.
            level, lag, temp_c = rows.level[i], rows.lag_ms[i], rows.temp_c[i]
            ordinary = False
            if not rows.low[i] and not s.low:
                if not level >= 0.0:
                    ordinary = True
                    if s.unit == UNIT_UNKNOWN:
                        s.low_rows = 0
                elif s.unit == PERCENT and s.day * DAY_MS <= at < (s.day + 1) * DAY_MS:
                    milli = int(np.rint(level if level >= _LEAST_MILLIVOLTS else level * 1000.0))
                    if milli > numbers.low_milli:
                        ordinary = True
                        s.day_sum += milli
                        s.day_rows += 1
                        s.low_rows = 0
            if not ordinary:
                _battery(point, s, ring, at, level, rows.low[i], numbers, faults, filled)
            if lag != NO_LAG:
                behind_ms = max(numbers.behind_ms, tables.row_hold[row] // 2)  # of a long interval, twice that is held
                if s.side == WELL_CLOCK and -numbers.ahead_ms < lag < behind_ms:
                    s.off = False
                    s.run_start = at
                    s.run_rows = 1
                    s.run_least = lag
                    s.run_most = lag
                    s.run_beyond = NEVER
                else:
                    _lag(point, s, at, lag, behind_ms, numbers, faults, filled)
            if at != s.last and s.same_rows == 0 and np.isfinite(temp_c):
                s.last = at
                s.last_c = temp_c
            else:
                _same(point, s, at, temp_c, numbers, faults, filled)
        cursor[0] = k + 1
        cursor[1] = rows.first[k + 1]
    return True


@compiled
def _standing(
    chosen: Int64, as_of: int, vitals: Vitals, tables: VitalTables, numbers: VitalNumbers, faults: Records
) -> int:
    filled = 0
    for k in range(len(chosen)):
        point = chosen[k]
        s = vitals.state[k]
        end = NEVER
        following = s.row + 1
        if s.row >= 0 and following < len(tables.row_from) and tables.row_point[following] == point:
            end = tables.row_from[following] if tables.row_from[following] <= as_of else NEVER
        if s.low:
            _emit_low(faults[filled], point, s, end)
            filled += 1
        if s.off:
            _emit_off(faults[filled], point, s, end)
            filled += 1
        if s.stands:
            over = as_of - s.same_last > numbers.same_quiet_ms and s.same_over != NEVER
            _emit_stands(faults[filled], point, s, s.same_over if over else end)
            filled += 1
    return filled


def standing(vitals: Vitals, timeline: Timeline, as_of_ms: int, points: Int64 | None = None) -> Records:
    """Return the faults that go on, or ended without a row that says so, at `as_of_ms`: shape (n,), dtype `FAULT`.

    `points` are those that `vitals` is of; None: all, in their order.
    """
    state = vitals.state
    chosen = np.nonzero(state["low"] | state["off"] | state["stands"])[0]
    numbers = chosen if points is None else points[chosen]
    few = Vitals(vitals.state[chosen], vitals.level_milli[chosen])
    faults = np.zeros(3 * len(chosen), dtype=FAULT)
    tables, limits = vital_tables(timeline), vital_numbers(timeline)
    return faults[: _standing(numbers, as_of_ms, few, tables, limits, faults)]
