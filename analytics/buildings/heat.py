"""What may be a heat outage of a house, seen by its rooms: most of them cool together, as a house without heat does.

It looks at a fixed grid of instants (every `outage_grid_min` minutes since 1970), so that what it finds does not depend
on how readings are cut into batches; all that is remembered of a room or a house is of fixed size.

- A room's value at a grid instant is its latest judged reading, no older than the point's `hold`. Hours in which it is
  unheated by agreement (`heating_hours`) have none, and what was measured under another row of the register (another
  device, calibration or building) is not compared.
- What *the house* does is the mean of the middle half of what its rooms do: a thermometer that is stuck, drifts or
  spikes, an open window, a closed valve do not move it.
- It opens when for `outage_lasting_h` the house is at each grid instant at least `outage_fall_k` colder than
  `outage_window_h` earlier (and by more than thermometers of coarse steps show by chance), with more than half of the
  rooms falling, half of those in service being known. An opened window is over by then.
- It began at the bend: over `outage_reach_h` the house's curve is taken for two lines that meet where they fit best. A
  grid step is taken off, for a room answers late.
- It ends when more than half of the rooms have risen from their lowest, by `outage_rise_k` and by `outage_rise_share`
  of the strongest fall: at the (lower) median of the moments of the lowest. Or when the house has held within
  `outage_steady_k` for `outage_steady_h`: at the beginning of that time. Or when fewer than half the rooms have spoken
  for `break`: at the last instant of which something was known.

A house's own past goes with it: how it fell at each full hour of the last days, and how cold it got on each. What is
found is therefore told with how far it departs from that: harder than usual at this hour (`beyond_k`), harder than at
any hour of most days (`often_k`), colder than on most days (`below_k`). `analytics.buildings.confidence` makes a
probability of it, `analytics.buildings.rhythm` takes back what comes again and again; both are functions of this list.

References
----------
.. [1] ISO 13790:2008, 12.2.1.3 and ISO 52016-1:2017: a building without heat approaches the outdoor temperature as a
   first-order system, its time constant that of the building.
.. [2] P. Bacher, H. Madsen, "Identifying suitable models for the heat dynamics of buildings", Energy and Buildings 43
   (2011) 1511-1522: two nodes, the air's being much the quicker. Hence the bend when the heat stops.
.. [3] E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954) 100-115: to look for a lasting change, not
   for an extreme value.
.. [4] D. V. Hinkley, "Inference about the intersection in two-phase regression", Biometrika 56 (1969) 495-504.
.. [5] P. J. Huber, "Robust Statistics", Wiley 1981, 3.3: trimmed means.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analytics.layout.compiled import compiled
from analytics.layout.timeline import SERVICE, Timeline
from analytics.points.machine import NEVER, Records
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS
from heatwatch.domain.temperature import MINUTES_PER_DAY

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]

PROFILE_DAYS, PROFILE_HOURS = 8, 24
FEW = 32
"""So many rooms are sorted fastest by insertion."""
_EXACT_K = 1e-4
"""Far less than any thermometer tells apart, far more than what arithmetic rounds [K]."""

OUTAGE = np.dtype(
    [
        ("building", np.int32),
        ("open", np.bool_),
        ("start", np.int64),
        ("opened", np.int64),
        ("end", np.int64),
        ("fall_k", np.float64),
        ("beyond_k", np.float64),
        ("quick_k", np.float64),
        ("below_k", np.float64),
        ("often_k", np.float64),
        ("high_c", np.float64),
        ("low_c", np.float64),
        ("days", np.int32),
        ("share", np.float64),
        ("grain_k", np.float64),
        ("rooms", np.int32),
        ("points", np.int32),
    ]
)
"""What may be a heat outage of a building, by the evidence of its rooms.

`opened` is the grid instant at which it showed. `fall_k` is the strongest fall of the house within `outage_window_h`,
`beyond_k` by how much a fall was stronger than usual at its local hour, `quick_k` the strongest within
`outage_quick_h`, `often_k` how hard the house fell on `outage_usual_days` of the seven days before [K]; `high_c` and
`low_c` its temperature at the start and at its coldest [degC], `below_k` how much colder that is than it got on
`outage_usual_days` of the days before [K], `days` how many of these are known (where less than that, the extreme one
counts; NaN where none). `share` is the largest share of known rooms that fell; `grain_k` the mean resolution of their
thermometers as it had shown by then [K]; `rooms` how many were known; `points` how many fell at most.
"""

_CARRIED = tuple(name for name in OUTAGE.names or () if name not in {"building", "open", "end"})

BUILDING_STATE = np.dtype(
    [
        ("grid", np.int64),
        ("open", np.bool_),
        ("start", np.int64),
        ("opened", np.int64),
        ("known", np.int64),
        ("over", np.int64),
        ("fall_k", np.float64),
        ("beyond_k", np.float64),
        ("quick_k", np.float64),
        ("below_k", np.float64),
        ("often_k", np.float64),
        ("high_c", np.float64),
        ("low_c", np.float64),
        ("days", np.int32),
        ("share", np.float64),
        ("grain_k", np.float64),
        ("rooms", np.int32),
        ("points", np.int32),
        ("falling", np.int32),
        ("usual_c", np.float64),
        ("day", np.int64),
        ("lows", np.float32, (PROFILE_DAYS,)),
        ("usual", np.float32, (PROFILE_DAYS, PROFILE_HOURS)),
    ]
)
"""`grid` is the last grid instant done, `known` the last at which enough rooms spoke, `over` the last outage's end,
`falling` at how many instants in a row the house fell; `usual` how it fell at the full hours of the last local days
[K], `lows` how cold it got on them [degC] (day `d` is in row `d % PROFILE_DAYS`), `day` the last of them; `usual_c` the
level from which `below_k` is counted. The other fields are those of `OUTAGE`."""


class HeatNumbers(NamedTuple):
    """The numbers of heat outages, in grid steps, milliseconds and kelvin."""

    grid_ms: int
    window: int
    reach: int
    quick: int
    fall_k: float
    fall_steps: float
    lasting: int
    rise_k: float
    rise_share: float
    steady: int
    steady_k: float
    break_ms: int
    min_points: int
    usual_days: int
    hold_most_ms: int

    @property
    def ring(self) -> int:
        """How many grid values of a room are remembered."""
        return max(self.window, self.quick, self.reach, self.steady) + 1


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
    grain_k: Float64
    """Smallest difference between two readings in succession: what the thermometer can tell apart."""
    ring: Float32
    low_c: Float64
    low_at: Int64
    row: NDArray[np.int32]
    """The register row in force last: what was measured under another one is not compared."""


def heat_numbers(timeline: Timeline) -> HeatNumbers:
    """Take the numbers of heat outages from the rules."""
    judging = timeline.judging
    grid_ms = judging.outage_grid_min * MINUTE_MS

    def steps(hours: float) -> int:
        return max(1, round(hours * HOUR_MS / grid_ms))

    return HeatNumbers(
        grid_ms,
        steps(judging.outage_window_h),
        steps(judging.outage_reach_h),
        steps(judging.outage_quick_h),
        judging.outage_fall_k,
        judging.outage_fall_steps,
        steps(judging.outage_lasting_h),
        judging.outage_rise_k,
        judging.outage_rise_share,
        steps(judging.outage_steady_h),
        judging.outage_steady_k,
        round(judging.break_h * HOUR_MS),
        judging.outage_min_points,
        judging.outage_usual_days,
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
        np.full(members, np.nan),
        np.full((members, numbers.ring), np.nan, dtype=np.float32),
        np.full(members, np.nan),
        np.full(members, NEVER, dtype=np.int64),
        np.full(members, -1, dtype=np.int32),
    )
    state = np.zeros(buildings, dtype=BUILDING_STATE)
    for field in ("grid", "known", "over", "day"):
        state[field] = NEVER
    state["usual"] = state["lows"] = np.nan
    return rooms, state


def remembered(rooms: Rooms) -> list[NDArray[Any]]:
    """Return the columns that change as time goes on."""
    return [rooms.value_c, rooms.value_at, rooms.grain_k, rooms.ring, rooms.low_c, rooms.low_at, rooms.row]


def copy_of(rooms: Rooms) -> Rooms:
    """Return rooms that may be carried on without changing these."""
    return rooms._replace(
        value_c=rooms.value_c.copy(),
        value_at=rooms.value_at.copy(),
        grain_k=rooms.grain_k.copy(),
        ring=rooms.ring.copy(),
        low_c=rooms.low_c.copy(),
        low_at=rooms.low_at.copy(),
        row=rooms.row.copy(),
    )


@compiled
def _lower_median(values: Int64, count: int) -> int:
    return int(np.sort(values[:count])[(count - 1) // 2])


@compiled
def _of_the_house(changes: Float64, count: int) -> float:
    """Return the mean of the middle half of some changes: what the house does, whatever a few rooms do; sorts them."""
    if count == 0:
        return np.nan
    if count > FEW:
        changes[:count].sort()
    else:
        for i in range(1, count):
            value = changes[i]
            j = i - 1
            while j >= 0 and changes[j] > value:
                changes[j + 1] = changes[j]
                j -= 1
            changes[j + 1] = value
    cut = (count + 2) // 4 if count > 2 else 0  # noqa: PLR2004 - of two rooms neither is the middle
    total = 0.0
    for i in range(cut, count - cut):
        total += changes[i]
    return total / (count - 2 * cut)


@compiled
def _change(ring: Float32, slot: int, back: int) -> float:
    size = len(ring)
    before = slot - back
    return float(ring[slot]) - float(ring[before if before >= 0 else before + size])


@compiled
def _fall_of_house(rooms: Rooms, first: int, last: int, slot: int, back: int, room: Float64) -> float:
    """Return the change of a house over `back` grid steps [K], NaN where less than two rooms are known."""
    known = 0
    for member in range(first, last):
        change = _change(rooms.ring[member], slot, back)
        if not np.isnan(change):
            room[known] = change
            known += 1
    return _of_the_house(room, known)


@compiled
def _bend(rooms: Rooms, first: int, last: int, slot: int, reach: int) -> int:
    """Return how many grid steps ago a house began to fall, 0 where that does not show.

    Its curve over the last `reach` steps is taken for a line that bends down once: the bend is where two lines that
    meet there fit best, by least squares.
    """
    curve, weight = np.zeros(reach + 1), np.zeros(reach + 1)
    room = np.empty(last - first)
    for back in range(reach + 1):
        known = 0
        for member in range(first, last):
            change = _change(rooms.ring[member], slot, back)
            if not np.isnan(change):
                room[known] = -change
                known += 1
        if known:
            curve[back] = _of_the_house(room, known)
            weight[back] = 1.0
    best, found = np.inf, 0
    for bend in range(1, reach):
        # normal equations of 1, x and max(x, 0), x = steps after the bend
        n = sx = sxx = sh = shh = sy = sxy = shy = syy = 0.0
        for back in range(reach + 1):
            w, y, x = weight[back], curve[back], float(bend - back)
            h = max(x, 0.0)
            n += w
            sx += w * x
            sxx += w * x * x
            sh += w * h
            shh += w * h * h
            sy += w * y
            sxy += w * x * y
            shy += w * h * y
            syy += w * y * y
        if n < 4:  # noqa: PLR2004 - more than the two lines have numbers
            return 0
        # centred; of x h the sum is that of h h
        cxx, chh, cxh = sxx - sx * sx / n, shh - sh * sh / n, shh - sx * sh / n
        cxy, chy, cyy = sxy - sx * sy / n, shy - sh * sy / n, syy - sy * sy / n
        det = cxx * chh - cxh * cxh
        if det <= 1e-9 * cxx * chh:
            continue
        slope, more = (cxy * chh - chy * cxh) / det, (chy * cxx - cxy * cxh) / det
        left = cyy - slope * cxy - more * chy
        if more < 0.0 and left < best:
            best, found = left, bend
    return found


@compiled
def _usual(state: Any, day: int, hour: int, least_days: int) -> float:
    """Return how a house usually falls about a local hour [K]: 0 or less, 0 where too few days are known."""
    found = np.empty(PROFILE_DAYS)
    known = 0
    for k in range(1, PROFILE_DAYS):
        strongest = np.nan
        for h in range(hour - 1, hour + 2):
            then = day - k + (h // PROFILE_HOURS)
            if then <= day and then > day - PROFILE_DAYS:
                value = state.usual[then % PROFILE_DAYS, h % PROFILE_HOURS]
                if not np.isnan(value) and not value >= strongest:
                    strongest = value
        if not np.isnan(strongest):
            found[known] = strongest
            known += 1
    if known < least_days:
        return 0.0
    return min(0.0, float(np.median(found[:known])))


@compiled
def _remember_day(state: Any, day: int) -> None:
    """Make room for a new local day."""
    if day > state.day:
        for k in range(max(state.day + 1, day - PROFILE_DAYS + 1), day + 1):
            state.usual[k % PROFILE_DAYS, :] = np.nan
            state.lows[k % PROFILE_DAYS] = np.nan
        state.day = day


@compiled
def _level(rooms: Rooms, first: int, last: int, slot: int, room: Float64) -> float:
    """Return the temperature of a house [degC]."""
    known = 0
    for member in range(first, last):
        value = rooms.ring[member, slot]
        if not np.isnan(value):
            room[known] = value
            known += 1
    return _of_the_house(room, known)


@compiled
def _note_level(state: Any, level_c: float) -> None:
    """Note how cold a house gets in an outage; by `below_k` it is colder than on usual days."""
    if level_c < state.low_c:
        state.low_c = level_c
        if not np.isnan(state.usual_c):
            state.below_k = state.usual_c - level_c


@compiled
def _usual_low(state: Any, day: int, least_days: int) -> tuple[float, int]:
    """Return how cold a house got on `least_days` of the days before a local day [degC], and of how many it is known.

    Where it is known of less, as cold as on the coldest of them; NaN where of none.
    """
    found = np.empty(PROFILE_DAYS)
    known = 0
    for k in range(1, PROFILE_DAYS):
        if day - k > state.day - PROFILE_DAYS:
            value = state.lows[(day - k) % PROFILE_DAYS]
            if not np.isnan(value):
                found[known] = value
                known += 1
    if known == 0:
        return np.nan, 0
    return float(np.sort(found[:known])[least_days - 1 if known >= least_days else 0]), known


@compiled
def _often(state: Any, day: int, least_days: int) -> float:
    """Return how hard a house fell, at whatever hour, on `least_days` of the days before a local day [K], else NaN.

    Where less days are known, as hard as on the hardest of them.
    """
    found = np.empty(PROFILE_DAYS)
    known = 0
    for k in range(1, PROFILE_DAYS):
        if day - k > state.day - PROFILE_DAYS:
            hardest = np.nan
            for hour in range(PROFILE_HOURS):
                value = state.usual[(day - k) % PROFILE_DAYS, hour]
                if not np.isnan(value) and not value >= hardest:
                    hardest = value
            if not np.isnan(hardest):
                found[known] = hardest
                known += 1
    if known == 0:
        return np.nan
    return -float(np.sort(found[:known])[least_days - 1 if known >= least_days else 0])


@compiled
def _open(rooms: Rooms, first: int, last: int, slot: int, local: int, state: Any, numbers: HeatNumbers) -> None:
    """Open what may be an outage: where it began, and what was usual before."""
    at = state.grid
    state.open = True
    state.opened = at
    state.known = at
    state.fall_k = state.beyond_k = state.quick_k = state.share = state.grain_k = 0.0
    state.below_k = np.nan
    state.low_c = np.inf
    state.points = state.rooms = 0
    for member in range(first, last):
        rooms.low_c[member] = rooms.ring[member, slot]
        rooms.low_at[member] = at
    back = _bend(rooms, first, last, slot, numbers.reach)
    state.start = max(at - (back + 1 if back > 0 else numbers.window) * numbers.grid_ms, state.over)
    day = (state.start + local - at) // DAY_MS
    state.often_k = _often(state, day, numbers.usual_days)
    state.usual_c, state.days = _usual_low(state, day, numbers.usual_days)
    then = (state.start // numbers.grid_ms) % rooms.ring.shape[1]
    state.high_c = _level(rooms, first, last, then, np.empty(last - first))


@compiled
def _look_for_fall(
    rooms: Rooms, first: int, last: int, served: int, slot: int, local: int, state: Any, numbers: HeatNumbers
) -> None:
    """Open an outage if the house has fallen for long enough; note how strong an open one is."""
    hours = local // HOUR_MS
    day, hour = hours // PROFILE_HOURS, hours % PROFILE_HOURS
    _remember_day(state, day)
    room = np.empty(last - first)
    grain = 0.0
    falling = known = 0
    for member in range(first, last):
        change = _change(rooms.ring[member], slot, numbers.window)
        if np.isnan(change):
            continue
        room[known] = change
        known += 1
        falling += int(change <= -numbers.fall_k / 2 + _EXACT_K)
        if not np.isnan(rooms.grain_k[member]):
            grain += min(rooms.grain_k[member], 1.0)
    on_the_hour = local % HOUR_MS < numbers.grid_ms
    enough = falling >= numbers.min_points and 2 * falling > known and 2 * known >= served
    if not enough and not on_the_hour and not state.open:
        state.falling = 0
        return
    fall_k = -_of_the_house(room, known)
    if on_the_hour and known >= numbers.min_points:
        state.usual[day % PROFILE_DAYS, hour] = -fall_k
        level_c = _level(rooms, first, last, slot, room)
        if not level_c >= state.lows[day % PROFILE_DAYS]:
            state.lows[day % PROFILE_DAYS] = level_c
    if state.open:
        _note_level(state, _level(rooms, first, last, slot, room))
    # among coarse thermometers a fall of one step is the rule
    if not enough or fall_k < max(numbers.fall_k, numbers.fall_steps * grain / known) - _EXACT_K:
        state.falling = 0
        return
    state.falling += 1
    if not state.open and state.falling < numbers.lasting:
        return
    if not state.open:
        _open(rooms, first, last, slot, local, state, numbers)
        _note_level(state, _level(rooms, first, last, slot, room))
    state.points = max(state.points, falling)
    state.share = max(state.share, falling / known)
    beyond_k = fall_k + _usual(state, day, hour, numbers.usual_days)
    state.fall_k = max(state.fall_k, fall_k)
    if beyond_k > state.beyond_k:
        state.beyond_k = beyond_k
        state.rooms = known
        state.grain_k = grain / known
    quick_k = -_fall_of_house(rooms, first, last, slot, numbers.quick, room)
    state.quick_k = max(state.quick_k, quick_k)


@compiled
def _look_for_end(rooms: Rooms, first: int, last: int, served: int, slot: int, state: Any, numbers: HeatNumbers) -> int:
    """Return when the open outage of a building ended, `NEVER` while it goes on."""
    at = state.grid
    rise_k = max(numbers.rise_k, numbers.rise_share * state.fall_k)
    lows = np.empty(last - first, dtype=np.int64)
    changes = np.empty(last - first)
    speaking = rising = compared = 0
    for member in range(first, last):
        ring = rooms.ring[member]
        value = ring[slot]
        if np.isnan(value):
            continue
        speaking += 1
        if np.isnan(rooms.low_c[member]) or value <= rooms.low_c[member]:
            rooms.low_c[member] = value
            rooms.low_at[member] = at
        if value - rooms.low_c[member] >= rise_k - _EXACT_K:
            lows[rising] = rooms.low_at[member]
            rising += 1
        change = _change(ring, slot, numbers.steady)
        if not np.isnan(change):
            changes[compared] = change
            compared += 1
    if 2 * speaking >= served and speaking > 0:
        state.known = at
    if 2 * rising > speaking:
        return int(max(_lower_median(lows, rising), state.start))
    old = at - state.opened >= numbers.steady * numbers.grid_ms
    if old and 2 * compared > speaking and _of_the_house(changes, compared) >= -numbers.steady_k - _EXACT_K:
        return int(max(at - numbers.steady * numbers.grid_ms, state.start))
    if served == 0 or at - state.known >= numbers.break_ms:
        return int(max(state.known, state.start))
    return NEVER


@compiled
def _step(rooms: Rooms, first: int, last: int, served: int, local: int, state: Any, numbers: HeatNumbers) -> int:
    """Do the grid instant `state.grid`, `local` ms in local time; return when an outage ended, `NEVER` if none did."""
    slot = (state.grid // numbers.grid_ms) % rooms.ring.shape[1]
    if state.open:
        ended = _look_for_end(rooms, first, last, served, slot, state, numbers)
        if ended != NEVER:
            state.open = False
            state.falling = 0
            state.over = ended
            rooms.ring[first:last] = np.nan  # a fall before the end is no evidence of a new outage
            return ended
    _look_for_fall(rooms, first, last, served, slot, local, state, numbers)
    return NEVER


@compiled
def _take_in(rooms: Rooms, member: int, following: int, end: int, at: int, time: Int64, judged: Float64) -> int:
    """Take in a room's rows up to a grid instant; return the first one after it."""
    while following < end and time[following] <= at:
        value = judged[following]
        if not np.isnan(value):
            step = abs(value - rooms.value_c[member])
            if step > _EXACT_K and not step >= rooms.grain_k[member]:
                rooms.grain_k[member] = step
            rooms.value_c[member] = value
            rooms.value_at[member] = time[following]
        following += 1
    return following


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
    segment = np.empty(len(rooms.point), dtype=np.int64)
    for k in range(len(buildings)):
        building = buildings[k]
        s = state[building]
        if s.grid == NEVER:
            begin = _begin(rooms, building, rows, time, judged, numbers.grid_ms)
            if begin == NEVER or begin + numbers.grid_ms > until:
                continue
            s.grid = begin
        if s.grid + numbers.grid_ms > until:
            continue
        first, last = rooms.first[building], rooms.first[building + 1]
        for member in range(first, last):
            point = rooms.point[member]
            low, high = rows[point], rows[point + 1]
            following[member] = low + np.searchsorted(time[low:high], s.grid, side="right")
            low, high = tables.seg_first[point], tables.seg_first[point + 1]
            segment[member] = low + np.searchsorted(tables.seg_start[low:high], s.grid, side="right") - 1
        epoch = np.searchsorted(tables.epoch_start, s.grid, side="right") - 1
        zone = np.searchsorted(tables.zone_start, s.grid, side="right") - 1
        while s.grid + numbers.grid_ms <= until:
            if filled[0] == len(outages):
                return False
            if not s.open and _asleep(rooms, first, last, s.grid, numbers):
                s.grid = max(s.grid, _before_next(rooms, first, last, following, rows, time, judged, until, numbers))
                if s.grid + numbers.grid_ms > until:
                    break
            s.grid += numbers.grid_ms
            at = s.grid
            while epoch + 1 < len(tables.epoch_start) and tables.epoch_start[epoch + 1] <= at:
                epoch += 1
            while zone + 1 < len(tables.zone_start) and tables.zone_start[zone + 1] <= at:
                zone += 1
            local = at + tables.zone_offset[zone]
            minute = (local // MINUTE_MS) % MINUTES_PER_DAY
            slot = (at // numbers.grid_ms) % rooms.ring.shape[1]
            served = 0
            for member in range(first, last):
                point = rooms.point[member]
                following[member] = _take_in(rooms, member, following[member], rows[point + 1], at, time, judged)
                seg, seg_end = segment[member], tables.seg_first[point + 1]
                while seg + 1 < seg_end and tables.seg_start[seg + 1] <= at:
                    seg += 1
                segment[member] = seg
                row = tables.seg_row[seg]
                if row != rooms.row[member]:
                    rooms.row[member] = row
                    rooms.ring[member] = np.nan
                    rooms.low_c[member] = np.nan
                    rooms.grain_k[member] = np.nan
                value = np.nan
                if (
                    tables.seg_kind[seg] == SERVICE
                    and tables.row_building[row] == building
                    and tables.epoch_in_season[epoch]
                ):
                    served += 1
                    since = rooms.value_at[member]
                    fresh = since != NEVER and since >= tables.row_from[row] and at - since <= tables.row_hold[row]
                    if fresh and tables.heated[tables.row_setback[row], minute]:
                        value = rooms.value_c[member]
                rooms.ring[member, slot] = value
            ended = _step(rooms, first, last, served, local, s, numbers)
            if ended != NEVER:
                outage = outages[filled[0]]
                outage.building = building
                outage.open = False
                outage.start = s.start
                outage.opened = s.opened
                outage.end = ended
                outage.fall_k = s.fall_k
                outage.beyond_k = s.beyond_k
                outage.quick_k = s.quick_k
                outage.below_k = s.below_k
                outage.often_k = s.often_k
                outage.high_c = s.high_c
                outage.low_c = s.low_c
                outage.days = s.days
                outage.share = s.share
                outage.grain_k = s.grain_k
                outage.rooms = s.rooms
                outage.points = s.points
                filled[0] += 1
    return True


def still_open(state: Records) -> Records:
    """Return the outages that go on, shape (n,), dtype `OUTAGE`."""
    buildings = np.nonzero(state["open"])[0]
    outages = np.zeros(len(buildings), dtype=OUTAGE)
    outages["building"], outages["open"], outages["end"] = buildings, True, NEVER
    for field in _CARRIED:
        outages[field] = state[field][buildings]
    return outages
