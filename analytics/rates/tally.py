"""Compliance tallies: the time and the readings of each test point on each local day, parted without rest.

One pass over a point's rows in time order. At every instant the calendar comes first (register, season, what is asked
at that hour), then a known fault of the heating, then a fault of the thermometer; what is left is known where two
trusted readings lie at most `hold` apart, with the verdict of the earlier one, and unknown elsewhere. Definitions:
`docs/decisions/0020-compliance-rates.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics.layout.compiled import compiled
from analytics.layout.rows import PointRows, by_point
from analytics.layout.timeline import SERVICE, SUSPENDED, Timeline, lay_out
from analytics.points import machine
from analytics.points.faults import KINDS, LOW_BATTERY, UNTRUSTED
from analytics.points.machine import Tables
from heatwatch.domain.compliance import FIELDS, By, RoomSum, period_names
from heatwatch.domain.findings import FindingKind
from heatwatch.domain.instants import DAY_MS, MINUTE_MS, from_ms, to_ms
from heatwatch.domain.register import FAR_FUTURE_MS, Register
from heatwatch.domain.temperature import MINUTES_PER_WEEK, Season, Standard

Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
Bool = NDArray[np.bool_]

_MONDAY = 3 * 24 * 60
_KEYS = 3
_AT_ONCE = 200_000
"""Rows of the result that are made room for in one go."""
_EPOCH = date(1970, 1, 1)

(
    _COMPLIANT,
    _VIOLATING,
    _UNKNOWN,
    _SENSOR_FAULT,
    _OUTAGE,
    _NOT_ASKED,
    _SUSPENDED,
    _OFF_SEASON,
    _UNLISTED,
    _BELOW,
    _OUTAGE_COMPLIANT,
    _OUTAGE_VIOLATING,
    _N_COMPLIANT,
    _N_VIOLATING,
    _N_BELOW,
    _N_OUTAGE,
    _N_OUTAGE_VIOLATING,
    _N_OUTAGE_BELOW,
    _N_FAULT,
    _N_FAULT_VIOLATING,
    _N_FAULT_BELOW,
    _N_NOT_ASKED,
    _N_NOT_IN_SERVICE,
) = range(_KEYS, _KEYS + len(FIELDS))
_RATED = -1
"""What an instant is where it is none of the parts that the calendar or a fault decide."""
_NO_DOUBT, _DOUBTFUL, _UNTRUSTED = range(3)
"""Of an instant: a thermometer that said nonsense around it is no silent one; one that is faulty says nothing."""
_NO_VERDICT, _FINE, _LOW, _COLD = range(4)
"""Of a reading: nothing is asked or nothing is known, complies, complies below the target, violates."""
_WIDTH = _KEYS + len(FIELDS)


class Spans(NamedTuple):
    """Spans of time that do not overlap, by subject and beginning: those of `s` are `first[s]:first[s + 1]`."""

    first: Int64
    start: Int64
    end: Int64


class _Calendar(NamedTuple):
    """What the kernel needs besides a timeline's tables."""

    place_of_row: Int64
    home_of_row: Int64
    changes_in: Int64
    """Minutes until the hours for which something is asked begin or end, shape of `Week`; huge where they never do."""
    outages: Spans
    untrusted: Spans
    doubtful: Spans


@dataclass(frozen=True, slots=True)
class Place:
    """Where a test point measures: what its rates are added up by."""

    station_id: str
    building_id: str
    room: str
    room_class: str


@dataclass(frozen=True, slots=True)
class Faults:
    """When readings are no room temperature, and when a known fault kept the heat away; any order, may overlap.

    Attributes
    ----------
    points : shape (n, 3)
        Point number, start and end [ms] of sensor faults that make every reading in them untrustworthy.
    odd_points : shape (m, 3)
        The same of faults that lie in single readings (out of range, spikes): good readings between them are
        trusted, and only time of which nothing else is known is the fault's.
    buildings, stations : shape (k, 3)
        Number, start and end [ms] of heat outages.
    """

    points: Int64
    odd_points: Int64
    buildings: Int64
    stations: Int64

    @classmethod
    def none(cls) -> Faults:
        """Return no fault at all."""
        return cls(*(np.zeros((0, 3), dtype=np.int64) for _ in range(4)))


def places_of(register: Register) -> tuple[list[Place], Int64]:
    """Return the places of a register in order, and the number of the one that each of its rows names."""
    named = [Place(row.station_id, row.building_id, row.room, str(row.room_class)) for row in register.rows]
    order = sorted(set(named), key=lambda place: (place.station_id, place.building_id, place.room, place.room_class))
    number = {place: code for code, place in enumerate(order)}
    return order, np.array([number[place] for place in named], dtype=np.int64)


def faults_in(timeline: Timeline, frames: Mapping[FindingKind, pd.DataFrame]) -> Faults:
    """Return the faults among the frames of judging's findings; what is open lasts."""
    sensor, heat = frames[FindingKind.SENSOR_FAULT], frames[FindingKind.HEAT_OUTAGE]
    hard = sensor["kind"].isin([KINDS[kind] for kind in UNTRUSTED])
    soft = ~hard & (sensor["kind"] != KINDS[LOW_BATTERY])
    kind = heat["subject_kind"]
    return Faults(
        _spans_in(sensor[hard], "point_id", timeline.points),
        _spans_in(sensor[soft], "point_id", timeline.points),
        _spans_in(heat[kind == "building"], "subject_id", timeline.buildings),
        _spans_in(heat[kind == "station"], "subject_id", timeline.stations),
    )


def _spans_in(frame: pd.DataFrame, subject: str, names: Sequence[str]) -> Int64:
    number = {name: code for code, name in enumerate(names)}
    code = np.array([number[name] for name in frame[subject].tolist()], dtype=np.int64)
    start, end = (
        frame[name].dt.tz_localize(None).to_numpy("datetime64[ms]").view(np.int64) for name in ("start", "end")
    )
    open_end = frame["end"].isna().to_numpy(dtype=np.bool_)
    return np.column_stack((code, start, np.where(open_end, FAR_FUTURE_MS, end)))


def tally(
    timeline: Timeline,
    place_of_row: Int64,
    points: Int64,
    rows: PointRows,
    faults: Faults,
    window: tuple[int, int],
    *,
    to_the_last: bool = False,
) -> Int64:
    """Part the time of `points` in a window, and the readings in it.

    Parameters
    ----------
    timeline
        What holds when.
    place_of_row : shape (register rows,)
        From `places_of`.
    points : shape (n,)
        Point numbers; `rows` holds their rows in this order.
    rows
        With those that lie up to a day and the longest `hold` before the window and twice that `hold` after it: they
        say what its edges were like.
        None may be later than the moment for which the tally is asked.
    faults
        Sensor faults and heat outages.
    window
        From when (included) to when (excluded) [ms].
    to_the_last
        Whether a reading at the very end of the window is counted: where that is the moment for which all is asked.

    Returns
    -------
    shape (days, 3 + len(FIELDS))
        Point number, local day (days since 1970-01-01), place; then `FIELDS`. Sorted by the first three, which are
        unique. Days on which the register does not list the point at all are left out. The `PARTS` of all rows of a
        point and day add up to the time of that day that lies in the window, exactly.
    """
    tables, numbers = machine.tables_of(timeline), machine.numbers_of(timeline)
    calendar = _calendar(timeline, place_of_row, faults)
    start_ms, until_ms = window
    days = max(until_ms - start_ms, 0) // DAY_MS + 4
    most = 2 * (days + np.diff(timeline.segments.first)[points] + len(timeline.zone.start))
    judging = timeline.judging
    range_c, spike_k = (numbers.range_low_c, numbers.range_high_c), (judging.spike_k, judging.spike_agree_k)
    spikes = _spikes(points, rows.first, rows.time_ms, rows.temp_c, tables, range_c, spike_k)
    found = list[Int64]()
    for low, high in _slices(most):
        out = np.zeros((int(most[low:high].sum()), _WIDTH), dtype=np.int64)
        used = _part(
            points[low:high],
            rows.first[low : high + 1],
            rows.time_ms,
            rows.temp_c,
            spikes,
            tables,
            range_c,
            calendar,
            start_ms,
            until_ms,
            until_ms + to_the_last,
            out,
        )
        found.append(_added_up(out[:used]))
    return _added_up(np.concatenate(found)) if found else np.zeros((0, _WIDTH), dtype=np.int64)


def _slices(most: Int64) -> Iterable[tuple[int, int]]:
    """Cut points into runs that need room for about `_AT_ONCE` rows."""
    ends = np.cumsum(most)
    low = 0
    while low < len(most):
        before = int(ends[low - 1]) if low else 0
        high = max(low + 1, int(np.searchsorted(ends, before + _AT_ONCE, side="right")))
        yield low, high
        low = high


def _added_up(rows: Int64) -> Int64:
    """Add up rows of the same point, day and place; leave out days on which the point is nowhere listed."""
    if not len(rows):
        return rows
    rows = rows[np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0]))]
    new = np.ones(len(rows), dtype=np.bool_)
    new[1:] = (rows[1:, :_KEYS] != rows[:-1, :_KEYS]).any(axis=1)
    begin = np.nonzero(new)[0]
    merged = np.empty((len(begin), rows.shape[1]), dtype=np.int64)
    merged[:, :_KEYS] = rows[begin, :_KEYS]
    merged[:, _KEYS:] = np.add.reduceat(rows[:, _KEYS:], begin, axis=0)
    day = np.ones(len(merged), dtype=np.bool_)
    day[1:] = (merged[1:, :2] != merged[:-1, :2]).any(axis=1)
    begin = np.nonzero(day)[0]
    listed = merged[:, _KEYS:].sum(axis=1) - merged[:, _UNLISTED] - merged[:, _N_NOT_IN_SERVICE]
    seen = np.add.reduceat(listed, begin) > 0
    return merged[np.repeat(seen, np.diff(np.append(begin, len(merged))))]


def _calendar(timeline: Timeline, place_of_row: Int64, faults: Faults) -> _Calendar:
    pairs = np.column_stack((timeline.rows.building, timeline.rows.station)).astype(np.int64)
    homes, home_of_row = np.unique(pairs, axis=0, return_inverse=True)
    of_home = [
        np.concatenate((faults.buildings[faults.buildings[:, 0] == b], faults.stations[faults.stations[:, 0] == s]))
        for b, s in homes.tolist()
    ]
    outages = [np.column_stack((np.full(len(own), code), own[:, 1:])) for code, own in enumerate(of_home)]
    return _Calendar(
        place_of_row,
        home_of_row.reshape(-1).astype(np.int64),
        _changes_in(timeline.week.minimum_c),
        apart(np.concatenate(outages), len(homes)),
        apart(faults.points, len(timeline.points)),
        apart(faults.odd_points, len(timeline.points)),
    )


def apart(spans: Int64, subjects: int) -> Spans:
    """Join spans of one subject that overlap or touch; empty ones are left out.

    Parameters
    ----------
    spans : shape (n, 3)
        Subject, start and end [ms], in any order.
    subjects
        How many subjects there are.
    """
    spans = spans[spans[:, 2] > spans[:, 1]]
    spans = spans[np.lexsort((spans[:, 1], spans[:, 0]))]
    kept = list[list[int]]()
    for subject, start, end in spans.tolist():
        if kept and kept[-1][0] == subject and start <= kept[-1][2]:
            kept[-1][2] = max(kept[-1][2], end)
        else:
            kept.append([subject, start, end])
    table = np.array(kept, dtype=np.int64).reshape(-1, 3)
    first = np.searchsorted(table[:, 0], np.arange(subjects + 1)).astype(np.int64)
    return Spans(first, table[:, 1].copy(), table[:, 2].copy())


def _changes_in(minimum_c: NDArray[np.float64]) -> Int64:
    """Return for each minute of the week how many minutes on something begins or ceases to be asked."""
    asked = ~np.isnan(minimum_c)
    twice = np.concatenate((asked, asked), axis=2)
    changed = np.zeros(twice.shape, dtype=np.bool_)
    changed[:, :, 1:] = twice[:, :, 1:] != twice[:, :, :-1]
    place = np.arange(twice.shape[2])
    at = np.where(changed, place, FAR_FUTURE_MS // MINUTE_MS // 4)
    later = np.minimum.accumulate(at[:, :, ::-1], axis=2)[:, :, ::-1]
    following: Int64 = later[:, :, 1 : MINUTES_PER_WEEK + 1] - place[:MINUTES_PER_WEEK]
    return np.ascontiguousarray(following)


@compiled
def _held(spans: Spans, subject: int, at: int) -> tuple[bool, int]:
    """Say whether `at` lies in a span of a subject, and when that changes [ms]."""
    low, high = spans.first[subject], spans.first[subject + 1]
    if low == high:
        return False, FAR_FUTURE_MS
    k = low + np.searchsorted(spans.start[low:high], at, side="right") - 1
    if k >= low and spans.end[k] > at:
        return True, spans.end[k]
    return False, spans.start[k + 1] if k + 1 < high else FAR_FUTURE_MS


@compiled
def _around(
    point: int, at: int, tables: Tables, calendar: _Calendar
) -> tuple[int, int, int, int, int, int, int, int, int]:
    """Say what an instant is, whatever is measured.

    Returns
    -------
    part, doubt, day, row, version, offset [ms], end of its service [ms], of its season [ms], and until when
    the first six hold [ms].
    """
    low, high = tables.seg_first[point], tables.seg_first[point + 1]
    seg = low + np.searchsorted(tables.seg_start[low:high], at, side="right") - 1
    epoch = np.searchsorted(tables.epoch_start, at, side="right") - 1
    zone = int(np.searchsorted(tables.zone_start[1:], at, side="right"))
    row, version, offset = tables.seg_row[seg], tables.epoch_version[epoch], tables.zone_offset[zone]
    local = at + offset
    day = local // DAY_MS
    until = (day + 1) * DAY_MS - offset
    if seg + 1 < high:
        until = min(until, tables.seg_start[seg + 1])
    if epoch + 1 < len(tables.epoch_start):
        until = min(until, tables.epoch_start[epoch + 1])
    if zone + 1 < len(tables.zone_start):
        until = min(until, tables.zone_start[zone + 1])
    schedule, minute = tables.row_schedule[row], local // MINUTE_MS
    of_week = (minute + _MONDAY) % MINUTES_PER_WEEK
    until = min(until, (minute + calendar.changes_in[version, schedule, of_week]) * MINUTE_MS - offset)
    unheated, outage_until = _held(calendar.outages, calendar.home_of_row[row], at)
    untrusted, fault_until = _held(calendar.untrusted, point, at)
    doubtful, doubt_until = _held(calendar.doubtful, point, at)
    until = min(until, outage_until, fault_until, doubt_until)
    doubt = _NO_DOUBT
    if untrusted:
        doubt = _UNTRUSTED
    elif doubtful:
        doubt = _DOUBTFUL
    part = _RATED
    if tables.seg_kind[seg] == SUSPENDED:
        part = _SUSPENDED
    elif tables.seg_kind[seg] != SERVICE:
        part = _UNLISTED
    elif not tables.epoch_in_season[epoch]:
        part = _OFF_SEASON
    elif np.isnan(tables.minimum_c[version, schedule, of_week]):
        part = _NOT_ASKED
    elif unheated:
        part = _OUTAGE
    elif untrusted:
        part = _SENSOR_FAULT
    return (
        part, doubt, day, row, version, offset,
        tables.seg_service_end[seg], tables.epoch_season_end[epoch], until,
    )  # fmt: skip


@compiled
def _instant(times: Int64, value: NDArray[np.float64], i: int, end: int) -> tuple[int, float]:
    """Return the first row after an instant, and what is said at it [degC]: NaN for no value, or for two at odds."""
    at, said_c, one = times[i], np.nan, True
    while i < end and times[i] == at:
        if np.isfinite(value[i]):
            one = one and (np.isnan(said_c) or value[i] == said_c)
            said_c = value[i]
        i += 1
    return i, said_c if one else np.nan


@compiled
def _spikes(
    points: Int64,
    first: Int64,
    times: Int64,
    value: NDArray[np.float64],
    tables: Tables,
    range_c: tuple[float, float],
    spike_k: tuple[float, float],
) -> Bool:
    """Mark the first row of each instant whose reading is a spike; as `docs/decisions/0015-…` says.

    A valid reading is one that lies `spike_k[0]` [K] or more from the one before, which is no spike itself, while the
    next one lies within `spike_k[1]` of that; all under one register row, none more than `hold` after the other.
    """
    found = np.zeros(len(times), dtype=np.bool_)
    for k in range(len(points)):
        low, high = tables.seg_first[points[k]], tables.seg_first[points[k] + 1]
        seg = low
        i, end = first[k], first[k + 1]
        last, last_c, last_row = machine.NEVER, np.nan, -1
        jumped_at, before_c = -1, np.nan
        while i < end:
            here, at = i, times[i]
            i, temp_c = _instant(times, value, i, end)
            if np.isnan(temp_c):
                continue
            while seg + 1 < high and tables.seg_start[seg + 1] <= at:
                seg += 1
            row = tables.seg_row[seg]
            listed = tables.seg_kind[seg] in (SERVICE, SUSPENDED)
            offset_k = tables.row_offset_k[row] if listed else 0.0
            if temp_c + offset_k < range_c[0] or temp_c + offset_k > range_c[1]:
                continue
            near = last_row == row and at - last <= tables.row_hold[row]
            jumped = near and abs(temp_c - last_c) >= spike_k[0]
            if jumped_at >= 0 and near and abs(temp_c - before_c) <= spike_k[1]:
                found[jumped_at] = True
                jumped = False
            jumped_at = -1
            if jumped:
                jumped_at, before_c = here, last_c
            last, last_c, last_row = at, temp_c, row
    return found


@compiled
def _part(
    points: Int64,
    first: Int64,
    times: Int64,
    value: NDArray[np.float64],
    spikes: Bool,
    tables: Tables,
    range_c: tuple[float, float],
    calendar: _Calendar,
    start: int,
    until: int,
    counted_until: int,
    out: Int64,
) -> int:
    """Fill `out` from its beginning, and return how many of its rows were used. One pass, O(rows + days)."""
    used = 0
    for k in range(len(points)):
        point = points[k]
        i, end = first[k], first[k + 1]
        counts = np.zeros(out.shape[1], dtype=np.int64)
        c_day, c_place, counted = 0, 0, False
        spent = np.zeros(out.shape[1], dtype=np.int64)
        s_day, s_place, passed = 0, 0, False
        pos, pos_end = start, start
        part, doubt, day, row = 0, 0, 0, 0
        here_end = machine.NEVER
        h_part, h_doubt, h_day, h_row, version, offset, service_end, season_end = 0, 0, 0, 0, 0, 0, 0, 0
        known = False
        a, a_verdict, a_row, a_service_end, a_season_end = 0, _NO_VERDICT, 0, 0, 0
        while True:
            # the next reading that is judged and trusted, others counted on the way; none: the window's end
            verdict, reached, b = _NO_VERDICT, False, until
            while i < end:
                here, at = i, times[i]
                i, temp_c = _instant(times, value, i, end)
                if np.isnan(temp_c):
                    continue
                if at >= here_end:
                    h_part, h_doubt, h_day, h_row, version, offset, service_end, season_end, here_end = _around(
                        point, at, tables, calendar
                    )
                if h_part != _UNLISTED:
                    temp_c += tables.row_offset_k[h_row]
                if temp_c < range_c[0] or temp_c > range_c[1]:
                    continue
                out_of_use = h_part in (_UNLISTED, _SUSPENDED, _OFF_SEASON)
                trusted = not (out_of_use or h_doubt == _UNTRUSTED or spikes[here])
                if not out_of_use and h_part != _NOT_ASKED:
                    minute = ((at + offset) // MINUTE_MS + _MONDAY) % MINUTES_PER_WEEK
                    schedule = tables.row_schedule[h_row]
                    verdict = _FINE
                    if temp_c < tables.minimum_c[version, schedule, minute]:
                        verdict = _COLD
                    elif temp_c < tables.target_c[version, schedule, minute]:
                        verdict = _LOW
                else:
                    verdict = _NO_VERDICT
                if start <= at < counted_until:
                    place = calendar.place_of_row[h_row]
                    if counted and (c_day != h_day or c_place != place):
                        out[used] = counts
                        out[used, 0], out[used, 1], out[used, 2] = point, c_day, c_place
                        used += 1
                        counts[:] = 0
                    counted, c_day, c_place = True, h_day, place
                    if out_of_use:
                        counts[_N_NOT_IN_SERVICE] += 1
                    elif h_part == _NOT_ASKED:
                        counts[_N_NOT_ASKED] += 1
                    elif h_part == _OUTAGE:
                        counts[_N_OUTAGE] += 1
                        counts[_N_OUTAGE_VIOLATING] += verdict == _COLD
                        counts[_N_OUTAGE_BELOW] += verdict == _LOW
                    elif not trusted:
                        counts[_N_FAULT] += 1
                        counts[_N_FAULT_VIOLATING] += verdict == _COLD
                        counts[_N_FAULT_BELOW] += verdict == _LOW
                    else:
                        counts[_N_COMPLIANT] += verdict != _COLD
                        counts[_N_VIOLATING] += verdict == _COLD
                        counts[_N_BELOW] += verdict == _LOW
                if trusted:
                    reached, b = True, at
                    break
            # the time up to it
            held = _NO_VERDICT
            if known and reached and a_verdict != _NO_VERDICT:
                gap = b - a
                near = gap <= tables.row_hold[a_row] and gap < tables.row_break[a_row]
                if near and a_service_end > b and a_season_end > b:
                    held = a_verdict
            to = min(b, until)
            while pos < to:
                if pos >= pos_end:
                    part, doubt, day, row, _, _, _, _, pos_end = _around(point, pos, tables, calendar)
                    place = calendar.place_of_row[row]
                    if passed and (s_day != day or s_place != place):
                        out[used] = spent
                        out[used, 0], out[used, 1], out[used, 2] = point, s_day, s_place
                        used += 1
                        spent[:] = 0
                    passed, s_day, s_place = True, day, place
                stop = min(to, pos_end)
                length = stop - pos
                pos = stop
                verdict_here = held
                if held != _NO_VERDICT and calendar.place_of_row[row] != calendar.place_of_row[a_row]:
                    verdict_here = _NO_VERDICT
                if part == _OUTAGE:
                    spent[_OUTAGE] += length
                    if verdict_here == _COLD:
                        spent[_OUTAGE_VIOLATING] += length
                    elif verdict_here != _NO_VERDICT:
                        spent[_OUTAGE_COMPLIANT] += length
                elif part != _RATED:
                    spent[part] += length
                elif verdict_here == _COLD:
                    spent[_VIOLATING] += length
                elif verdict_here != _NO_VERDICT:
                    spent[_COMPLIANT] += length
                    if verdict_here == _LOW:
                        spent[_BELOW] += length
                elif doubt != _NO_DOUBT:
                    spent[_SENSOR_FAULT] += length
                else:
                    spent[_UNKNOWN] += length
            if not reached or b >= until:
                break
            known, a, a_verdict, a_row = True, b, verdict, h_row
            a_service_end, a_season_end = service_end, season_end
        if counted:
            out[used] = counts
            out[used, 0], out[used, 1], out[used, 2] = point, c_day, c_place
            used += 1
        if passed:
            out[used] = spent
            out[used, 0], out[used, 1], out[used, 2] = point, s_day, s_place
            used += 1
    return used


def tally_readings(
    readings: pd.DataFrame,
    register: Register,
    standard: Standard,
    zone: ZoneInfo,
    faults: Mapping[FindingKind, pd.DataFrame],
    as_of_ms: int,
) -> tuple[Int64, Timeline, list[Place]]:
    """Tally a readings file, offline: every local day from that of the first reading up to `as_of_ms`.

    Parameters
    ----------
    readings : pandas.DataFrame
        `time` (UTC timestamps), `point_id`, `temperature_c` [degC]; rows in any order.
    register, standard, zone
        As they are judged by.
    faults
        What judging found for `as_of_ms`: the frames of its sensor faults and heat outages.
    as_of_ms
        The moment [ms]; later rows are left out.

    Returns
    -------
    What `tally` returns, the timeline that numbers its points, and the places that it numbers.
    """
    time_ms = readings["time"].to_numpy(dtype="datetime64[ms]").view(np.int64)
    point = pd.Categorical(readings["point_id"])
    temp_c = readings["temperature_c"].to_numpy(dtype=np.float64)
    listed = {row.point_id for row in register.rows}
    known = np.array([str(name) in listed for name in point.categories], dtype=np.bool_)
    wanted = (time_ms <= as_of_ms) & known[point.codes]
    first_ms = int(time_ms[wanted].min()) if wanted.any() else as_of_ms
    timeline = lay_out(register, standard, zone, (first_ms, as_of_ms))
    number = {name: code for code, name in enumerate(timeline.points)}
    code_of = np.array([number.get(str(name), -1) for name in point.categories], dtype=np.int32)
    rows = by_point(code_of[point.codes[wanted]], time_ms[wanted], temp_c[wanted], len(timeline.points))
    places, place_of_row = places_of(register)
    window = (day_begins(from_ms(first_ms).astimezone(zone).date(), zone), as_of_ms)
    every = np.arange(len(timeline.points))
    made = tally(timeline, place_of_row, every, rows, faults_in(timeline, faults), window, to_the_last=True)
    return made, timeline, places


def day_begins(day: date, zone: ZoneInfo) -> int:
    """Return when a local day begins [ms]."""
    return to_ms(datetime.combine(day, time(), zone).astimezone(UTC))


def room_sums(
    tallies: Int64, points: Sequence[str], places: Sequence[Place], by: By, seasons: Sequence[Season] = ()
) -> list[RoomSum]:
    """Add tallies of days up to periods, for each test point and room; in their order."""
    if not len(tallies):
        return []
    earliest, latest = int(tallies[:, 1].min()), int(tallies[:, 1].max())
    days = period_names(_EPOCH + timedelta(days=earliest), _EPOCH + timedelta(days=latest), by, seasons)
    names, period_of_day = np.unique(np.array(list(days.values()), dtype=object), return_inverse=True)
    homes = sorted({(place.station_id, place.building_id, place.room) for place in places})
    number = {home: code for code, home in enumerate(homes)}
    of_place = np.array([number[place.station_id, place.building_id, place.room] for place in places], dtype=np.int64)
    keys = np.column_stack((tallies[:, 0], of_place[tallies[:, 2]], period_of_day[tallies[:, 1] - earliest]))
    order = np.lexsort(keys.T[::-1])
    keys = keys[order]
    new = np.ones(len(keys), dtype=np.bool_)
    new[1:] = (keys[1:] != keys[:-1]).any(axis=1)
    begin = np.nonzero(new)[0]
    sums = np.add.reduceat(tallies[order, _KEYS:], begin, axis=0)
    return [
        RoomSum(homes[home][0], homes[home][1], homes[home][2], points[point], names[code], own)
        for (point, home, code), own in zip(keys[begin].tolist(), sums.tolist(), strict=True)
    ]
