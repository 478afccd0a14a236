"""The state machine of one thermometer: rows in time order become counts, cold spells, silences and range faults.

The definitions are the design's; where it leaves a choice, `docs/decisions/0007-…` makes it. A point's whole past
is carried in one `STATE` record, so that judging may stop after any instant and go on later, elsewhere, and find
the same.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analytics.compiled import compiled
from analytics.timeline import OUT, SERVICE, Timeline
from heatwatch.domain.instants import HOUR_MS, MINUTE_MS
from heatwatch.domain.register import FAR_PAST_MS
from heatwatch.domain.temperature import MINUTES_PER_WEEK

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
Records = NDArray[np.void]

NEVER = FAR_PAST_MS

_MONDAY = 3 * 24 * 60
"""1970-01-01 was a Thursday: minutes from the Monday before it."""
_SMALL_GROUP = 8

COUNTS = (
    "readings",
    "duplicates",
    "conflicts",
    "invalid",
    "out_of_range",
    "valid",
    "violations",
    "below_target",
    "not_in_service",
)
(
    _READINGS,
    _DUPLICATES,
    _CONFLICTS,
    _INVALID,
    _OUT_OF_RANGE,
    _VALID,
    _VIOLATIONS,
    _BELOW_TARGET,
    _NOT_IN_SERVICE,
) = range(len(COUNTS))

RECOVERED, SILENCE, SUSPENDED, SEASON, RUNNING = range(5)
"""Codes of why a spell ended; `RUNNING` has not."""

SPELL = np.dtype(
    [
        ("point", np.int32),
        ("end_reason", np.int8),
        ("start", np.int64),
        ("end", np.int64),
        ("confirmed_at", np.int64),
        ("violation_ms", np.int64),
        ("unknown_ms", np.int64),
        ("deficit_mk_ms", np.int64),
        ("min_temp_c", np.float64),
        ("rules", np.int64),
    ]
)
"""A cold spell: instants and spans in ms, deficit in mK·ms, rules as a bit mask; `confirmed_at` may be `NEVER`."""

SILENCE_ROW = np.dtype([("point", np.int32), ("start", np.int64), ("end", np.int64)])
"""A data outage of a point that is over [ms]."""

FAULT = np.dtype(
    [
        ("point", np.int32),
        ("open", np.bool_),
        ("start", np.int64),
        ("end", np.int64),
        ("rows", np.int64),
        ("low_c", np.float64),
        ("high_c", np.float64),
    ]
)
"""A run of out-of-range rows."""

STATE = np.dtype(
    [
        ("heard", np.int64),
        ("heard_break", np.int64),
        ("judged", np.int64),
        ("judged_violates", np.bool_),
        ("judged_short_mk", np.int64),
        ("judged_hold", np.int64),
        ("judged_break", np.int64),
        ("judged_service_end", np.int64),
        ("judged_season_end", np.int64),
        ("cold", np.bool_),
        ("start", np.int64),
        ("violating", np.int64),
        ("violation_ms", np.int64),
        ("unknown_ms", np.int64),
        ("deficit_mk_ms", np.int64),
        ("min_temp_c", np.float64),
        ("confirmed_at", np.int64),
        ("rules", np.int64),
        ("warm", np.int64),
        ("warmer", np.int64),
        ("min_before_warm_c", np.float64),
        ("min_before_warmer_c", np.float64),
        ("fault", np.bool_),
        ("fault_start", np.int64),
        ("fault_rows", np.int64),
        ("fault_low_c", np.float64),
        ("fault_high_c", np.float64),
    ]
)
"""All that one point's past means for its future. `warm` and `warmer` are the first readings of the two runs that
may end a spell (at least the target; at least the target and a margin), `NEVER` where there is no such run;
`min_before_…_c` is the spell's lowest reading before that run began: at an hour for which less is asked, a reading
may be warm enough and yet lower than every cold one."""


class Numbers(NamedTuple):
    """The numbers of judging that the machine needs, in its units."""

    range_low_c: float
    range_high_c: float
    confirm_ms: int
    confirm_readings: int
    warm_margin_k: float
    warmer_ms: int
    warm_ms: int


class Tables(NamedTuple):
    """A `Timeline` as the plain tuple of arrays that compiled code takes."""

    seg_first: Int64
    seg_start: Int64
    seg_kind: NDArray[np.int8]
    seg_service_end: Int64
    seg_row: NDArray[np.int32]
    row_schedule: NDArray[np.int32]
    row_offset_k: Float64
    row_hold: Int64
    row_break: Int64
    epoch_start: Int64
    epoch_version: NDArray[np.int32]
    epoch_in_season: NDArray[np.bool_]
    epoch_season_end: Int64
    minimum_c: Float64
    target_c: Float64
    rule: NDArray[np.int8]
    zone_start: Int64
    zone_offset: Int64


def numbers_of(timeline: Timeline) -> Numbers:
    """Take the machine's numbers from the rules."""
    judging = timeline.judging
    return Numbers(
        judging.range_low_c,
        judging.range_high_c,
        round(judging.confirm_h * HOUR_MS),
        judging.confirm_readings,
        judging.warm_margin_k,
        judging.warm_margin_min * MINUTE_MS,
        round(judging.warm_h * HOUR_MS),
    )


def tables_of(timeline: Timeline) -> Tables:
    """Lay a timeline out for compiled code."""
    segments, rows, epochs, week, zone = timeline.segments, timeline.rows, timeline.epochs, timeline.week, timeline.zone
    return Tables(
        segments.first,
        segments.start,
        segments.kind,
        segments.service_end,
        segments.row,
        rows.schedule,
        rows.offset_k,
        rows.hold_ms,
        rows.break_ms,
        epochs.start,
        epochs.version,
        epochs.in_season,
        epochs.season_end,
        week.minimum_c,
        week.target_c,
        week.rule,
        zone.start,
        zone.offset,
    )


def fresh_state(timeline: Timeline) -> Records:
    """Return the state of points that have not been heard, shape (points,)."""
    state = np.zeros(len(timeline.points), dtype=STATE)
    for field in ("heard", "judged", "confirmed_at", "warm", "warmer"):
        state[field] = NEVER
    return state


def fresh_counts(timeline: Timeline) -> Int64:
    """Return counts of nothing, shape (points, counts)."""
    return np.zeros((len(timeline.points), len(COUNTS)), dtype=np.int64)


@compiled
def end_of_spell(state: Any, until: int) -> int:
    """Why a spell that stands at its last judged reading is over by `until` [ms]; `RUNNING` if it is not."""
    reason, when = RUNNING, until
    silent_from = state.judged + state.judged_break
    if silent_from <= when:
        reason, when = SILENCE, silent_from
    if state.judged_service_end <= when:
        reason, when = SUSPENDED, state.judged_service_end
    if state.judged_season_end <= when:
        reason = SEASON
    return reason


@compiled
def _distinct(value: Float64, start: int, end: int) -> tuple[int, int, float]:
    """Count the distinct finite and the distinct other values (NaN, either infinity) of rows `[start, end)`.

    The third of the three is one of the finite values. Two rows without a value have the same value: none.
    """
    group = value[start:end]
    if end - start > _SMALL_GROUP:
        group = np.sort(group)
    finite, others, one = 0, 0, np.nan
    for i in range(len(group)):
        new = True
        for j in range(i - 1 if i > 0 and end - start > _SMALL_GROUP else 0, i):
            if group[j] == group[i] or (np.isnan(group[j]) and np.isnan(group[i])):
                new = False
        if not new:
            continue
        if np.isfinite(group[i]):
            finite += 1
            one = group[i]
        else:
            others += 1
    return finite, others, one


@compiled
def _put_spell(spells: Records, at: int, point: int, state: Any, reason: int, end: int) -> None:
    spell = spells[at]
    spell.point = point
    spell.end_reason = reason
    spell.start = state.start
    spell.end = end
    spell.confirmed_at = state.confirmed_at
    spell.violation_ms = state.violation_ms
    spell.unknown_ms = state.unknown_ms
    spell.deficit_mk_ms = state.deficit_mk_ms
    spell.min_temp_c = state.min_temp_c
    spell.rules = state.rules


@compiled
def _put_fault(faults: Records, at: int, point: int, state: Any, end: int, running: bool) -> None:
    fault = faults[at]
    fault.point = point
    fault.open = running
    fault.start = state.fault_start
    fault.end = end
    fault.rows = state.fault_rows
    fault.low_c = state.fault_low_c
    fault.high_c = state.fault_high_c


@compiled
def _open_spell(state: Any, at: int, temp_c: float) -> None:
    state.cold = True
    state.start = at
    state.violating = 0
    state.violation_ms = 0
    state.unknown_ms = 0
    state.deficit_mk_ms = 0
    state.min_temp_c = temp_c
    state.confirmed_at = NEVER
    state.rules = 0
    state.warm = NEVER
    state.warmer = NEVER


@compiled
def _feed_fault(state: Any, at: int, temp_c: float) -> None:
    if not state.fault:
        state.fault = True
        state.fault_start = at
        state.fault_rows = 0
        state.fault_low_c = temp_c
        state.fault_high_c = temp_c
    state.fault_rows += 1
    state.fault_low_c = min(state.fault_low_c, temp_c)
    state.fault_high_c = max(state.fault_high_c, temp_c)


@compiled
def _run_start(run: int, at: int, warm_enough: bool, broken: bool) -> int:
    if not warm_enough:
        return NEVER
    return at if run == NEVER or broken else run


@compiled
def _feed_spell(
    state: Any, at: int, temp_c: float, asked: bool, target_c: float, violates: bool, rule: int, numbers: Numbers
) -> int:
    """Feed one judged reading to a running spell; return its end if the reading shows that it has one, or `NEVER`."""
    if violates:
        state.violating += 1
        state.rules |= 1 << rule
    broken = at - state.judged > state.judged_hold
    state.warm = _run_start(state.warm, at, asked and temp_c >= target_c, broken)
    if state.warm == at:
        state.min_before_warm_c = state.min_temp_c
    state.warmer = _run_start(state.warmer, at, asked and temp_c >= target_c + numbers.warm_margin_k, broken)
    if state.warmer == at:
        state.min_before_warmer_c = state.min_temp_c
    state.min_temp_c = min(state.min_temp_c, temp_c)
    confirmed = state.violation_ms >= numbers.confirm_ms and state.violating >= numbers.confirm_readings
    if confirmed and state.confirmed_at == NEVER:
        state.confirmed_at = at
    if state.warm != NEVER and at - state.warm >= numbers.warm_ms:
        state.min_temp_c = state.min_before_warm_c
        return int(state.warm)
    if state.warmer != NEVER and at - state.warmer >= numbers.warmer_ms:
        state.min_temp_c = state.min_before_warmer_c
        return int(state.warmer)
    return NEVER


@compiled
def judge_points(
    points: Int64,
    first: Int64,
    time: Int64,
    value: Float64,
    tables: Tables,
    numbers: Numbers,
    state: Records,
    counts: NDArray[np.int64],
    judged: Float64,
    spells: Records,
    silences: Records,
    faults: Records,
    filled: Int64,
    cursor: Int64,
) -> bool:
    """Carry points from their state over new rows, all later than what they have heard.

    Parameters
    ----------
    points : shape (n,)
        Point numbers; the rows of `points[k]` are `first[k]:first[k + 1]`, in time order.
    time, value : shape (rows,)
        Measured [ms] and as sent [degC]; not finite where there is no value.
    state, counts
        `STATE` and `COUNTS` of every point; changed in place.
    judged : shape (rows,)
        Out: calibrated temperature [degC] of the judged readings, NaN elsewhere.
    spells, silences, faults
        Out: what ended, appended from `filled[0]`, `filled[1]`, `filled[2]` on.
    cursor : shape (2,)
        Which of `points` and which row come next.

    Returns
    -------
    bool
        Whether all rows are done; else one of the outputs is full: make room and call again.

    Notes
    -----
    One pass, O(rows); the timelines are walked beside the rows and never searched.
    """
    while cursor[0] < len(points):
        point = points[cursor[0]]
        end = first[cursor[0] + 1]
        i = cursor[1]
        s = state[point]
        seg_end = tables.seg_first[point + 1]
        seg = tables.seg_first[point]
        epoch = 0
        zone = 0
        if i < end:
            seg += np.searchsorted(tables.seg_start[seg:seg_end], time[i], side="right") - 1
        while i < end:
            if filled[0] == len(spells) or filled[1] == len(silences) or filled[2] == len(faults):
                cursor[1] = i
                return False
            at = time[i]
            following = i + 1
            while following < end and time[following] == at:
                following += 1
            while seg + 1 < seg_end and tables.seg_start[seg + 1] <= at:
                seg += 1
            row = tables.seg_row[seg]

            if s.heard != NEVER and at - s.heard >= s.heard_break:
                silence = silences[filled[1]]
                silence.point = point
                silence.start = s.heard
                silence.end = at
                filled[1] += 1
            s.heard = at
            s.heard_break = tables.row_break[row]

            distinct, invalid, temp_c = 1, 0, value[i]
            if following > i + 1:
                distinct, invalid, temp_c = _distinct(value, i, following)
            elif not np.isfinite(temp_c):
                distinct, invalid = 0, 1
            counts[point, _READINGS] += following - i
            counts[point, _DUPLICATES] += following - i - distinct - invalid
            counts[point, _INVALID] += invalid
            here = i
            i = following
            judged[here:following] = np.nan
            if distinct != 1:
                counts[point, _CONFLICTS] += distinct
                continue

            if tables.seg_kind[seg] != OUT:
                temp_c += tables.row_offset_k[row]
            if temp_c < numbers.range_low_c or temp_c > numbers.range_high_c:
                counts[point, _OUT_OF_RANGE] += 1
                _feed_fault(s, at, temp_c)
                continue
            counts[point, _VALID] += 1
            if s.fault:
                _put_fault(faults, filled[2], point, s, at, False)
                filled[2] += 1
                s.fault = False

            while epoch + 1 < len(tables.epoch_start) and tables.epoch_start[epoch + 1] <= at:
                epoch += 1
            if tables.seg_kind[seg] != SERVICE or not tables.epoch_in_season[epoch]:
                counts[point, _NOT_IN_SERVICE] += 1
                continue
            judged[here] = temp_c
            while zone + 1 < len(tables.zone_start) and tables.zone_start[zone + 1] <= at:
                zone += 1
            minute = ((at + tables.zone_offset[zone]) // MINUTE_MS + _MONDAY) % MINUTES_PER_WEEK
            version, schedule = tables.epoch_version[epoch], tables.row_schedule[row]
            minimum_c = tables.minimum_c[version, schedule, minute]
            target_c = tables.target_c[version, schedule, minute]
            asked = not np.isnan(minimum_c)
            violates = asked and temp_c < minimum_c
            if violates:
                counts[point, _VIOLATIONS] += 1
            elif asked and temp_c < target_c:
                counts[point, _BELOW_TARGET] += 1

            if s.cold:
                reason = end_of_spell(s, at)
                if reason != RUNNING:
                    _put_spell(spells, filled[0], point, s, reason, s.judged)
                    filled[0] += 1
                    s.cold = False
                elif at - s.judged > s.judged_hold:
                    s.unknown_ms += at - s.judged
                elif s.judged_violates:
                    s.violation_ms += at - s.judged
                    s.deficit_mk_ms += s.judged_short_mk * (at - s.judged)
            if violates and not s.cold:
                _open_spell(s, at, temp_c)
            if s.cold:
                rule = tables.rule[version, schedule, minute]
                ended = _feed_spell(s, at, temp_c, asked, target_c, violates, rule, numbers)
                if ended != NEVER:
                    _put_spell(spells, filled[0], point, s, RECOVERED, ended)
                    filled[0] += 1
                    s.cold = False
            s.judged = at
            s.judged_violates = violates
            s.judged_short_mk = np.int64(np.rint((minimum_c - temp_c) * 1000)) if violates else 0
            s.judged_hold = tables.row_hold[row]
            s.judged_break = tables.row_break[row]
            s.judged_service_end = tables.seg_service_end[seg]
            s.judged_season_end = tables.epoch_season_end[epoch]
        cursor[0] += 1
        if cursor[0] < len(points):
            cursor[1] = first[cursor[0]]
    return True


@compiled
def unfinished(state: Records, as_of: int, spells: Records, faults: Records) -> tuple[int, int]:
    """List the spells and range faults that stand at `as_of` [ms]; return how many of each. Changes no state."""
    cold = faulty = 0
    for point in range(len(state)):
        s = state[point]
        if s.cold:
            reason = end_of_spell(s, as_of)
            _put_spell(spells, cold, point, s, reason, NEVER if reason == RUNNING else s.judged)
            cold += 1
        if s.fault:
            _put_fault(faults, faulty, point, s, NEVER, True)
            faulty += 1
    return cold, faulty


@compiled
def latest_valid(first: Int64, time: Int64, value: Float64, tables: Tables, numbers: Numbers) -> int:
    """Return when the latest valid reading was measured [ms], `NEVER` where there is none. Looks from the end."""
    latest = NEVER
    for point in range(len(first) - 1):
        i = first[point + 1]
        while i > first[point] and time[i - 1] > latest:
            start = i - 1
            while start > first[point] and time[start - 1] == time[i - 1]:
                start -= 1
            distinct, _, temp_c = _distinct(value, start, i)
            low, high = tables.seg_first[point], tables.seg_first[point + 1]
            seg = low + np.searchsorted(tables.seg_start[low:high], time[i - 1], side="right") - 1
            if tables.seg_kind[seg] != OUT:
                temp_c += tables.row_offset_k[tables.seg_row[seg]]
            if distinct == 1 and numbers.range_low_c <= temp_c <= numbers.range_high_c:
                latest = time[i - 1]
                break
            i = start
    return latest
