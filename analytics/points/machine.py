"""The state machine of one thermometer: rows in time order become counts, cold spells, silences and its own faults.

The definitions are the design's; where it leaves a choice, `docs/decisions/0007-…` and `0015-…` make it. A point's
whole past is carried in one `STATE` record, so that judging may stop after any instant and go on later, elsewhere, and
find the same.

Most readings are ordinary: newer than the last one, warm enough, no jump, nothing pending. These are taken by a short
loop (`_take_ordinary`) that keeps what changes in registers; all else goes row by row.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analytics.layout.compiled import compiled
from analytics.layout.timeline import OUT, SERVICE, Timeline
from analytics.points.faults import FAULT, OUT_OF_RANGE, SPIKE, STUCK
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
ROOM = 3
"""No row ends more spells, silences or faults than this."""

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

RUN = np.dtype(
    [
        ("count", np.int64),
        ("first", np.int64),
        ("last", np.int64),
        ("after", np.int64),
        ("low_c", np.float64),
        ("high_c", np.float64),
    ]
)
"""Bad readings that are one finding: how many (0: there is no such finding), the first and the last [ms], the first
valid reading after the last (`NEVER`: none yet), and the extremes [degC]."""

STATE = np.dtype(
    [
        ("heard", np.int64),
        ("heard_break", np.int64),
        ("valid", np.int64),
        ("valid_row", np.int32),
        ("raw_c", np.float64),
        ("bad", RUN, (2,)),
        ("step_k", np.float64),
        ("stuck_after", np.int64),
        ("same_since", np.int64),
        ("same_rows", np.int64),
        ("stuck", np.bool_),
        ("pending", np.bool_),
        ("before_raw_c", np.float64),
        ("pending_c", np.float64),
        ("pending_fed", np.bool_),
        ("pending_minimum_c", np.float64),
        ("pending_target_c", np.float64),
        ("pending_rule", np.int8),
        ("pending_hold", np.int64),
        ("pending_break", np.int64),
        ("pending_service_end", np.int64),
        ("pending_season_end", np.int64),
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
    ]
)
"""All that one point's past means for its future.

`valid` is the last valid reading, `raw_c` what it said, `valid_row` the register row in force. `bad` are the runs of
out-of-range readings and of spikes. The last `same_rows` valid readings, from `same_since` on, said the same; the
smallest step seen is `step_k`, and from `stuck_after` ms on that is too long. A reading that jumped (the one at
`valid`) is `pending` until the next one tells: `before_raw_c` is what the one before it said, `pending_fed` whether it
may feed a spell if it was no spike.

`judged` is the last reading that fed a spell, `judged_…` what holds from it on. `warm` and `warmer` are the first
readings of the two runs that may end a spell (at least the target; at least the target and a margin), `NEVER` where
there is no such run; `min_before_…_c` is the spell's lowest reading before that run began: at an hour for which less is
asked, a reading may be warm enough and yet lower than every cold one."""


class Numbers(NamedTuple):
    """The numbers of judging that the machine needs, in its units."""

    range_low_c: float
    range_high_c: float
    confirm_ms: int
    confirm_readings: int
    warm_margin_k: float
    warmer_ms: int
    warm_ms: int
    range_gap_ms: int
    spike_gap_ms: int
    spike_k: float
    spike_agree_k: float
    stuck_ms: int
    stuck_ms_per_k: float
    stuck_coarse_k: float
    stuck_readings: int


class Spans(NamedTuple):
    """Times in which points are not to be trusted: those of the k-th point are `first[k]:first[k + 1]`."""

    first: Int64
    start: Int64
    end: Int64
    """Excluded [ms]."""


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
    stretch: NDArray[np.int32]
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
        round(judging.range_gap_h * HOUR_MS),
        round(judging.spike_gap_h * HOUR_MS),
        judging.spike_k,
        judging.spike_agree_k,
        round(judging.stuck_h * HOUR_MS),
        judging.stuck_h_per_k * HOUR_MS,
        judging.stuck_coarse_k,
        judging.stuck_readings,
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
        week.stretch,
        zone.start,
        zone.offset,
    )


def fresh_state(timeline: Timeline, points: int | None = None) -> Records:
    """Return the state of points that have not been heard, shape (points,); all of the timeline's where not said."""
    state = np.zeros(len(timeline.points) if points is None else points, dtype=STATE)
    for field in ("heard", "valid", "judged", "confirmed_at", "warm", "warmer"):
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
def _put_fault(
    faults: Records, at: int, point: int, kind: int, start: int, end: int, count: int, a: float, b: float
) -> None:
    fault = faults[at]
    fault.point = point
    fault.kind = kind
    fault.open = end == NEVER
    fault.start = start
    fault.end = end
    fault.count = count
    fault.a = a
    fault.b = b


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
def _feed_bad(
    run: Any, at: int, temp_c: float, gap_ms: int, faults: Records, filled: Int64, point: int, kind: int
) -> None:
    """Add a bad reading to its run; end the run first if it is over."""
    if run.count > 0 and run.after != NEVER and at - run.last >= gap_ms:
        _put_fault(faults, filled[2], point, kind, run.first, run.after, run.count, run.low_c, run.high_c)
        filled[2] += 1
        run.count = 0
    if run.count == 0:
        run.first = at
        run.low_c = temp_c
        run.high_c = temp_c
    run.count += 1
    run.last = at
    run.after = NEVER
    run.low_c = min(run.low_c, temp_c)
    run.high_c = max(run.high_c, temp_c)


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
def _feed(
    state: Any,
    at: int,
    temp_c: float,
    minimum_c: float,
    target_c: float,
    rule: int,
    hold: int,
    silent_after: int,
    service_end: int,
    season_end: int,
    numbers: Numbers,
    spells: Records,
    filled: Int64,
    point: int,
) -> None:
    """Feed one judged and trusted reading; at most one spell ends by it."""
    asked = not np.isnan(minimum_c)
    violates = asked and temp_c < minimum_c
    if state.cold:
        reason = end_of_spell(state, at)
        if reason != RUNNING:
            _put_spell(spells, filled[0], point, state, reason, state.judged)
            filled[0] += 1
            state.cold = False
        elif at - state.judged > state.judged_hold:
            state.unknown_ms += at - state.judged
        elif state.judged_violates:
            state.violation_ms += at - state.judged
            state.deficit_mk_ms += state.judged_short_mk * (at - state.judged)
    if not state.cold:
        if not violates:
            return
        _open_spell(state, at, temp_c)
    ended = _feed_spell(state, at, temp_c, asked, target_c, violates, rule, numbers)
    if ended != NEVER:
        _put_spell(spells, filled[0], point, state, RECOVERED, ended)
        filled[0] += 1
        state.cold = False
    state.judged = at
    state.judged_violates = violates
    state.judged_short_mk = np.int64(np.rint((minimum_c - temp_c) * 1000)) if violates else 0
    state.judged_hold = hold
    state.judged_break = silent_after
    state.judged_service_end = service_end
    state.judged_season_end = season_end


@compiled
def _feed_pending(state: Any, numbers: Numbers, spells: Records, filled: Int64, point: int) -> None:
    """Take the reading that jumped as an ordinary one."""
    state.pending = False
    if state.pending_fed:
        _feed(
            state,
            state.valid,
            state.pending_c,
            state.pending_minimum_c,
            state.pending_target_c,
            state.pending_rule,
            state.pending_hold,
            state.pending_break,
            state.pending_service_end,
            state.pending_season_end,
            numbers,
            spells,
            filled,
            point,
        )


@compiled
def _settle_pending(
    state: Any,
    at: int,
    raw_c: float,
    near: bool,
    numbers: Numbers,
    spells: Records,
    faults: Records,
    filled: Int64,
    point: int,
) -> bool:
    """Say, now that the next valid reading has come, whether the reading that jumped was a spike."""
    if near and abs(raw_c - state.before_raw_c) <= numbers.spike_agree_k:
        run = state.bad[SPIKE]
        _feed_bad(run, state.valid, state.pending_c, numbers.spike_gap_ms, faults, filled, point, SPIKE)
        run.after = at
        state.pending = False
        return True
    _feed_pending(state, numbers, spells, filled, point)
    return False


@compiled
def _feed_same(
    state: Any,
    at: int,
    raw_c: float,
    row: int,
    silent_after: int,
    numbers: Numbers,
    faults: Records,
    filled: Int64,
    point: int,
) -> bool:
    """Feed one valid reading to what is known of a stuck thermometer; say whether it has just become known to be."""
    known = state.valid != NEVER and state.valid_row == row
    if known and raw_c == state.raw_c and at - state.valid < silent_after:
        state.same_rows += 1
        if not state.stuck and state.same_rows >= numbers.stuck_readings and at - state.same_since >= state.stuck_after:
            state.stuck = True
            return True
        return False
    if state.stuck:
        _put_fault(faults, filled[2], point, STUCK, state.same_since, at, state.same_rows, state.raw_c, np.nan)
        filled[2] += 1
        state.stuck = False
    if not known:
        state.step_k = numbers.stuck_coarse_k
    elif raw_c != state.raw_c:
        state.step_k = min(state.step_k, abs(raw_c - state.raw_c))
    state.stuck_after = _stuck_after(state.step_k, numbers)
    state.same_since = at
    state.same_rows = 1
    return False


@compiled
def _stuck_after(step_k: float, numbers: Numbers) -> int:
    return max(numbers.stuck_ms, int(np.rint(step_k * numbers.stuck_ms_per_k)))


@compiled
def _trusted(known: Spans, k: int, at: int) -> bool:
    trusted = True
    for span in range(known.first[k], known.first[k + 1]):
        if known.start[span] <= at < known.end[span]:
            trusted = False
    return trusted


@compiled
def _take_ordinary(
    i: int,
    end: int,
    time: Int64,
    value: Float64,
    state: Any,
    until: int,
    silent_after: int,
    offset_k: float,
    floor_c: float,
    target_c: float,
    counted: bool,
    numbers: Numbers,
    judged: Float64,
) -> tuple[int, int]:
    """Take rows from `i` on while they are ordinary; return the first that is not, and how many are below target.

    Ordinary is a reading before `until`, alone at its instant and not after a silence, of at least `floor_c` [degC] and
    in range, that did not jump, and is not the same for too long. There must be no spell, nothing pending, nor a stuck
    thermometer; the last row must have been valid.
    """
    heard, raw_c, since, same = state.valid, state.raw_c, state.same_since, state.same_rows
    step_k, stuck_after = state.step_k, state.stuck_after
    below = 0
    while i < end:
        at, v = time[i], value[i]
        temp_c = v + offset_k
        jump_k = abs(v - raw_c)
        if at >= until or at - heard >= silent_after or (i + 1 < end and time[i + 1] == at):
            break
        if not (temp_c >= floor_c and temp_c <= numbers.range_high_c and jump_k < numbers.spike_k):
            break
        since = since if jump_k == 0 else at
        if at - since >= stuck_after:
            break
        same = same + 1 if jump_k == 0 else 1
        if 0 < jump_k < step_k:
            step_k = jump_k
            stuck_after = _stuck_after(step_k, numbers)
        judged[i] = temp_c if counted else np.nan
        below += int(temp_c < target_c)
        heard, raw_c = at, v
        i += 1
    state.heard = heard
    state.valid = heard
    state.raw_c = raw_c
    state.same_since = since
    state.same_rows = same
    state.step_k = step_k
    state.stuck_after = stuck_after
    return i, below


@compiled
def judge_points(
    points: Int64,
    first: Int64,
    time: Int64,
    value: Float64,
    known: Spans,
    tables: Tables,
    numbers: Numbers,
    state: Records,
    counts: NDArray[np.int64],
    judged: Float64,
    again: NDArray[np.bool_],
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
    known
        Times in which `points[k]` is known not to be trusted: no reading in them feeds a spell.
    state, counts
        `STATE` and `COUNTS` of every point; changed in place.
    judged : shape (rows,)
        Out: calibrated temperature [degC] of the judged readings of which nothing ill was known when they came, NaN
        elsewhere.
    again : shape (n,)
        Out: set where a spell stands on readings that are now known not to be trusted, and has to be judged again.
    spells, silences, faults
        Out: what ended, appended from `filled[0]`, `filled[1]`, `filled[2]` on.
    cursor : shape (2,)
        Which of `points` and which row come next.

    Returns
    -------
    bool
        Whether all rows are done; else one of the outputs is full: make room for `ROOM` more and call again.

    Notes
    -----
    One pass, O(rows); the timelines are walked beside the rows and never searched.
    """
    while cursor[0] < len(points):
        k = cursor[0]
        point = points[k]
        end = first[k + 1]
        i = cursor[1]
        s = state[point]
        seg_end = tables.seg_first[point + 1]
        seg = tables.seg_first[point]
        epoch = 0
        zone = 0
        if i < end:
            seg += np.searchsorted(tables.seg_start[seg:seg_end], time[i], side="right") - 1
        while i < end:
            if filled[0] + ROOM > len(spells) or filled[1] + ROOM > len(silences) or filled[2] + ROOM > len(faults):
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

            distinct, invalid, raw_c = 1, 0, value[i]
            if following > i + 1:
                distinct, invalid, raw_c = _distinct(value, i, following)
            elif not np.isfinite(raw_c):
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

            offset_k = tables.row_offset_k[row] if tables.seg_kind[seg] != OUT else 0.0
            temp_c = raw_c + offset_k
            if temp_c < numbers.range_low_c or temp_c > numbers.range_high_c:
                counts[point, _OUT_OF_RANGE] += 1
                _feed_bad(s.bad[OUT_OF_RANGE], at, temp_c, numbers.range_gap_ms, faults, filled, point, OUT_OF_RANGE)
                continue
            counts[point, _VALID] += 1
            ill = s.bad[OUT_OF_RANGE]
            if ill.count > 0 and ill.after == NEVER:
                ill.after = at

            hold, silent_after = tables.row_hold[row], tables.row_break[row]
            near = s.valid != NEVER and s.valid_row == row and at - s.valid <= hold
            jumped = near and abs(raw_c - s.raw_c) >= numbers.spike_k
            if s.pending and _settle_pending(s, at, raw_c, near, numbers, spells, faults, filled, point):
                jumped = False
            if _feed_same(s, at, raw_c, row, silent_after, numbers, faults, filled, point) and s.judged >= s.same_since:
                again[k] = True
            before_raw_c = s.raw_c
            s.valid = at
            s.valid_row = row
            s.raw_c = raw_c

            while epoch + 1 < len(tables.epoch_start) and tables.epoch_start[epoch + 1] <= at:
                epoch += 1
            while zone + 1 < len(tables.zone_start) and tables.zone_start[zone + 1] <= at:
                zone += 1
            counted = tables.seg_kind[seg] == SERVICE and tables.epoch_in_season[epoch]
            local = at + tables.zone_offset[zone]
            minute = (local // MINUTE_MS + _MONDAY) % MINUTES_PER_WEEK
            version, schedule = tables.epoch_version[epoch], tables.row_schedule[row]
            minimum_c = tables.minimum_c[version, schedule, minute]
            target_c = tables.target_c[version, schedule, minute]
            rule = tables.rule[version, schedule, minute]
            asked = counted and not np.isnan(minimum_c)
            if asked and temp_c < minimum_c:
                counts[point, _VIOLATIONS] += 1
            elif asked and temp_c < target_c:
                counts[point, _BELOW_TARGET] += 1
            if not counted:
                counts[point, _NOT_IN_SERVICE] += 1
            elif not s.stuck and not jumped:
                judged[here] = temp_c
            service_end, season_end = tables.seg_service_end[seg], tables.epoch_season_end[epoch]
            trusted = counted and not s.stuck and _trusted(known, k, at)
            if jumped:
                s.pending = True
                s.before_raw_c = before_raw_c
                s.pending_c = temp_c
                s.pending_fed = trusted
                s.pending_minimum_c = minimum_c
                s.pending_target_c = target_c
                s.pending_rule = rule
                s.pending_hold = hold
                s.pending_break = silent_after
                s.pending_service_end = service_end
                s.pending_season_end = season_end
                continue
            if trusted and (s.cold or (asked and temp_c < minimum_c)):
                _feed(
                    s,
                    at,
                    temp_c,
                    minimum_c,
                    target_c,
                    rule,
                    hold,
                    silent_after,
                    service_end,
                    season_end,
                    numbers,
                    spells,
                    filled,
                    point,
                )
            if s.cold or s.stuck:
                continue

            until = at - local % MINUTE_MS + tables.stretch[version, schedule, minute] * MINUTE_MS
            if seg + 1 < seg_end:
                until = min(until, tables.seg_start[seg + 1])
            if epoch + 1 < len(tables.epoch_start):
                until = min(until, tables.epoch_start[epoch + 1])
            if zone + 1 < len(tables.zone_start):
                until = min(until, tables.zone_start[zone + 1])
            following, below = _take_ordinary(
                i,
                end,
                time,
                value,
                s,
                until,
                silent_after,
                offset_k,
                max(numbers.range_low_c, minimum_c) if asked else numbers.range_low_c,
                target_c if asked else -np.inf,
                counted,
                numbers,
                judged,
            )
            counts[point, _READINGS] += following - i
            counts[point, _VALID] += following - i
            counts[point, _BELOW_TARGET] += below
            if not counted:
                counts[point, _NOT_IN_SERVICE] += following - i
            i = following
        cursor[0] += 1
        if cursor[0] < len(points):
            cursor[1] = first[cursor[0]]
    return True


@compiled
def unfinished(state: Records, as_of: int, numbers: Numbers, spells: Records, faults: Records) -> tuple[int, int]:
    """List what stands or has just ended at `as_of` [ms]; return how many spells and faults. Changes no state.

    A reading that jumped, and is the last one, is taken as an ordinary one. There must be room for two spells and three
    faults of every point.
    """
    filled = np.zeros(3, dtype=np.int64)
    for point in range(len(state)):
        s = state[point]
        if s.pending:
            s = state[point : point + 1].copy()[0]
            _feed_pending(s, numbers, spells, filled, point)
        if s.cold:
            reason = end_of_spell(s, as_of)
            _put_spell(spells, filled[0], point, s, reason, NEVER if reason == RUNNING else s.judged)
            filled[0] += 1
        for kind in (OUT_OF_RANGE, SPIKE):
            run = s.bad[kind]
            if run.count > 0:
                gap_ms = numbers.range_gap_ms if kind == OUT_OF_RANGE else numbers.spike_gap_ms
                end = NEVER if run.after == NEVER or as_of - run.last < gap_ms else run.after
                _put_fault(faults, filled[2], point, kind, run.first, end, run.count, run.low_c, run.high_c)
                filled[2] += 1
        if s.stuck:
            _put_fault(faults, filled[2], point, STUCK, s.same_since, NEVER, s.same_rows, s.raw_c, np.nan)
            filled[2] += 1
    return filled[0], filled[2]


def stuck_now(state: Records) -> Records:
    """Return the stuck thermometers that stand, shape (n,), dtype `faults.FAULT`."""
    points = np.nonzero(state["stuck"])[0]
    faults = np.zeros(len(points), FAULT)
    faults["point"], faults["kind"], faults["open"], faults["end"] = points, STUCK, True, NEVER
    faults["start"], faults["count"] = state["same_since"][points], state["same_rows"][points]
    faults["a"], faults["b"] = state["raw_c"][points], np.nan
    return faults
