"""What supply sensors say of heat: stops of it, and when it surely came.

A stop opens where a supply that was warm is no longer so, for `supply_confirm_min`:

- little flows: at most `supply_flow_share` of what is usual; or
- it is hardly above a room: at most `supply_share` of what is usual (in proportion to the difference to outdoors, where
  that is known, so that a mild day, on which the heating curve lowers the supply, is none); or
- as much comes back: supply less return is at most `supply_gap_share` of what is usual, and the supply has fallen too.

What is usual is the upper quartile of the last `supply_usual_h`, stops left out, looked at anew each hour and held
while a stop lasts. A stop began at the knee before it and ends at the knee before the supply is back. What was measured
in hours that are unheated by agreement, out of season, or while it is `supply_mild_c` outdoors, decides nothing;
neither does a sensor that is silent. Stops at the same time of several nights are a night setback, and none.

References
----------
.. [1] Zack, Rogers and Latt, Automatic measurement of sister chromatid exchange frequency, J. Histochem. Cytochem. 25
   (1977) 741-753: the knee of a curve is where it is farthest from its chord.
.. [2] `docs/decisions/0018-evidence-of-heat-outages.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analytics.evidence.weather import Weather
from analytics.layout.compiled import compiled
from analytics.layout.timeline import Timeline
from analytics.points.machine import NEVER, Records
from analytics.points.silence import Spans
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS

Int64 = NDArray[np.int64]
Int8 = NDArray[np.int8]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

EVIDENCE = ("reported", "supply", "rooms")
"""`evidence` of a heat outage is an index into this, the best first."""
REPORTED, SUPPLY, ROOMS = range(3)
BUILDING, STATION = 1, 2
"""`subject_kind`, as in `analytics.found.SUBJECTS`."""

CANDIDATE = np.dtype(
    [
        ("subject_kind", np.int8),
        ("subject", np.int32),
        ("evidence", np.int8),
        ("open", np.bool_),
        ("lost", np.bool_),
        ("start", np.int64),
        ("end", np.int64),
        ("confidence", np.float64),
        ("points", np.int64),
    ]
)
"""What one evidence says of one subject [ms]; `end` is `NEVER` where it is open.

Where it is `lost` nobody has seen the end: `end` is the last moment of which something is known."""

UNKNOWN, WARM, BETWEEN, COLD = range(4)
"""What a sample of the supply says."""
_SKIP, _MILD, _ASK, _CLOSE = range(4)
"""Whether a sample is asked: not in unheated hours; while it is mild only for where a stop began or ended; yes; no."""
_FEWEST = 6
_LEAST_LOAD_K = 1.0


@dataclass(frozen=True, slots=True)
class SupplySeries:
    """What one sensor measured, in order of time, no moment twice: shape (samples,)."""

    time_ms: Int64
    supply_c: Float64
    return_c: Float64
    flow_m3_h: Float64

    @classmethod
    def of(cls, time_ms: Int64, supply_c: Float64, return_c: Float64, flow_m3_h: Float64) -> SupplySeries:
        """Order samples. Of two values for one moment nobody knows which is right: neither is used.

        A value that is missing in one row and there in another of the same moment is there.
        """
        moments, which = np.unique(time_ms, return_inverse=True)
        columns = [_one_a_moment(len(moments), which, values) for values in (supply_c, return_c, flow_m3_h)]
        known = np.isfinite(columns[0])
        return cls(moments[known], *(values[known] for values in columns))

    def where(self, mask: Bool) -> SupplySeries:
        """Return the samples for which `mask` is true."""
        return SupplySeries(self.time_ms[mask], self.supply_c[mask], self.return_c[mask], self.flow_m3_h[mask])

    def with_more(self, other: SupplySeries) -> SupplySeries:
        """Return the samples of both."""
        return SupplySeries.of(
            np.concatenate((self.time_ms, other.time_ms)),
            np.concatenate((self.supply_c, other.supply_c)),
            np.concatenate((self.return_c, other.return_c)),
            np.concatenate((self.flow_m3_h, other.flow_m3_h)),
        )


def _one_a_moment(count: int, which: Int64, values: Float64) -> Float64:
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    known = np.isfinite(values)
    np.minimum.at(low, which[known], values[known])
    np.maximum.at(high, which[known], values[known])
    return np.where(low == high, low, np.nan)


class SupplyNumbers(NamedTuple):
    """The numbers of judging that the supply is read by [ms, degC, K]; shares are of what is usual."""

    room_c: float
    share: float
    flow_share: float
    gap_share: float
    gap_below: float
    back: float
    usual_ms: int
    least_k: float
    below_return_k: float
    confirm_ms: int
    hold_ms: int
    break_ms: int
    knee_ms: int
    flow_kept: float


def supply_numbers(timeline: Timeline) -> SupplyNumbers:
    """Take the numbers of the supply from the rules."""
    judging = timeline.judging
    return SupplyNumbers(
        judging.supply_room_c,
        judging.supply_share,
        judging.supply_flow_share,
        judging.supply_gap_share,
        judging.supply_gap_below,
        judging.supply_back,
        round(judging.supply_usual_h * HOUR_MS),
        judging.supply_least_k,
        judging.supply_below_return_k,
        round(judging.supply_confirm_min * MINUTE_MS),
        round(judging.supply_hold_h * HOUR_MS),
        round(judging.break_h * HOUR_MS),
        round(judging.supply_knee_h * HOUR_MS),
        judging.supply_flow_kept,
    )


class _Samples(NamedTuple):
    """One sensor's samples as compiled code walks along them, shape (samples,)."""

    time: Int64
    excess: Float64
    """Supply above a room [K]."""
    gap: Float64
    """Supply above return [K], NaN where unknown."""
    flow: Float64
    by_load: Float64
    """Excess by what a room is above outdoors; NaN where that is unknown."""
    asked: Int8


@compiled
def _upper_quartile(values: Float64, first: int, last: int, usable: Bool) -> float:
    kept = np.empty(last - first)
    count = 0
    for i in range(first, last):
        if usable[i] and not np.isnan(values[i]):
            kept[count] = values[i]
            count += 1
    if count < _FEWEST:
        return np.nan
    return float(np.sort(kept[:count])[3 * (count - 1) // 4])


@compiled
def _strength(samples: _Samples, i: int, usual: Float64, numbers: SupplyNumbers) -> float:
    """Say how much of the usual heat comes: at most 1 where it is none; NaN where nothing can be said."""
    if np.isnan(usual[0]):
        return np.nan
    share = samples.excess[i] / usual[0]
    if not np.isnan(usual[3]) and not np.isnan(samples.by_load[i]):
        share = samples.by_load[i] / usual[3]
    found = share / numbers.share
    if not np.isnan(usual[1]) and not np.isnan(samples.gap[i]) and usual[1] > 0:
        lost = samples.gap[i] / usual[1] / numbers.gap_share
        found = min(found, max(lost, share / numbers.gap_below))
    return float(min(found, _flowing(samples, i, usual, numbers)))


@compiled
def _flowing(samples: _Samples, i: int, usual: Float64, numbers: SupplyNumbers) -> float:
    if np.isnan(usual[2]) or np.isnan(samples.flow[i]) or usual[2] <= 0:
        return np.inf
    return float(samples.flow[i] / usual[2] / numbers.flow_share)


@compiled
def _all_flows(samples: _Samples, i: int, usual: Float64, numbers: SupplyNumbers) -> bool:
    """Say whether as much flows as ever, and leaves as much of its heat behind: nobody is cut off."""
    if np.isnan(usual[2]) or np.isnan(samples.flow[i]) or samples.flow[i] < numbers.flow_kept * usual[2]:
        return False
    if np.isnan(usual[1]) or np.isnan(samples.gap[i]):
        return True
    return bool(samples.gap[i] * usual[0] >= numbers.flow_kept * usual[1] * samples.excess[i])


@compiled
def _plain(samples: _Samples, i: int, usual: Float64, numbers: SupplyNumbers) -> float:
    """Return what knees are looked for in, as a share of what is usual: no weather in it, for that moves too."""
    return float(min(samples.excess[i] / usual[0], _flowing(samples, i, usual, numbers) * numbers.flow_share))


@compiled
def _knee(samples: _Samples, first: int, last: int, usual: Float64, numbers: SupplyNumbers, side: float) -> int:
    """Return the moment at which the curve is farthest above (`side` 1) or below (-1) its chord; of equals the last."""
    span = samples.time[last] - samples.time[first]
    if span == 0:
        return int(samples.time[last])
    low, high = _plain(samples, first, usual, numbers), _plain(samples, last, usual, numbers)
    at, most = samples.time[last], 0.0
    for i in range(first, last + 1):
        chord = low + (high - low) * ((samples.time[i] - samples.time[first]) / span)
        off = side * (_plain(samples, i, usual, numbers) - chord)
        if off >= most:
            at, most = samples.time[i], off
    return int(at)


@compiled
def _since(time: Int64, last: int, begin: int) -> int:
    """Return the first sample at or after `begin` [ms], which is at most `last`."""
    return int(np.searchsorted(time[: last + 1], begin))


@compiled
def _watch_usual(samples: _Samples, i: int, usable: Bool, usual: Float64, numbers: SupplyNumbers) -> None:
    first = _since(samples.time, i, samples.time[i] - numbers.usual_ms)
    excess = _upper_quartile(samples.excess, first, i, usable)
    if np.isnan(excess) or excess < numbers.least_k:
        return
    usual[0] = excess
    usual[1] = _upper_quartile(samples.gap, first, i, usable)
    usual[2] = _upper_quartile(samples.flow, first, i, usable)
    usual[3] = _upper_quartile(samples.by_load, first, i, usable)


_STATE = np.dtype(
    [
        ("done", np.int64),
        ("usual", np.float64, 4),
        ("hour", np.int64),
        ("stop_at", np.int64),
        ("cold_at", np.int64),
        ("warm_at", np.int64),
        ("unbroken", np.int64),
        ("stops", np.int64),
        ("over", np.int64),
        ("heard", np.int64),
    ]
)
"""How far a sensor's samples are read, and what is carried on: numbers of samples, -1 for none, and moments [ms].

`usual` is that of the excess, of the gap, of the flow, and of the excess by load."""


def _fresh_state() -> Records:
    state = np.zeros(1, _STATE)
    state["usual"] = np.nan
    for name in ("stop_at", "cold_at", "warm_at"):
        state[name] = -1
    for name in ("hour", "over", "heard"):
        state[name] = NEVER
    return state


class _Read(NamedTuple):
    """What is said of each sample, shape (samples,)."""

    status: Int8
    kept: Bool
    """Whether the supply is warm and nobody is cut off."""
    usable: Bool
    """Whether it belongs to what is usual."""


@compiled
def _sweep(  # noqa: C901, PLR0912, PLR0915 - one pass over the samples, as the definition is said
    samples: _Samples, numbers: SupplyNumbers, state: Records, read: _Read, stops: Records
) -> None:
    """Walk along one sensor's samples from where `state` stands to the end; fill `read` and `stops`."""
    s = state[0]
    time = samples.time
    usual = s.usual.copy()
    for i in range(s.done, len(time)):
        closed = samples.asked[i] == _CLOSE
        silent = s.heard != NEVER and time[i] - s.heard > numbers.hold_ms
        if silent:
            s.unbroken, s.cold_at, s.warm_at = i, -1, -1
        if s.stop_at >= 0 and (closed or (silent and time[i] - s.heard >= numbers.break_ms)):
            stop = stops[s.stops - 1]
            stop.end, stop.open, stop.lost = max(s.heard, stop.start), False, not closed
            s.over, s.stop_at = stop.end, -1
        if closed:
            s.cold_at, s.warm_at, s.unbroken, s.heard = -1, -1, i + 1, NEVER
            continue
        s.heard = time[i]
        if samples.asked[i] == _SKIP:
            s.cold_at, s.warm_at, s.unbroken = -1, -1, i + 1
        if samples.asked[i] != _ASK:
            continue
        if s.stop_at < 0 and time[i] // HOUR_MS != s.hour:
            s.hour = time[i] // HOUR_MS
            _watch_usual(samples, i, read.usable, usual, numbers)
        strength = _strength(samples, i, usual, numbers)
        if np.isnan(strength):
            read.usable[i] = samples.excess[i] >= numbers.least_k
            continue
        status = COLD if strength <= 1 else (WARM if strength >= numbers.back else BETWEEN)
        read.status[i] = status
        read.kept[i] = status == WARM and _all_flows(samples, i, usual, numbers)
        read.usable[i] = s.stop_at < 0 and status != COLD
        if status != COLD:
            s.cold_at = -1
        elif s.cold_at < 0:
            s.cold_at = i
        if status != WARM:
            s.warm_at = -1
        elif s.warm_at < 0:
            s.warm_at = i
        if s.stop_at < 0 and s.cold_at >= 0 and i > s.cold_at and time[i] - time[s.cold_at] >= numbers.confirm_ms:
            begin = max(time[s.cold_at] - numbers.knee_ms, s.over)
            first = max(s.unbroken, _since(time, s.cold_at, begin))
            stop = stops[s.stops]
            stop.start = max(_knee(samples, first, s.cold_at, usual, numbers, 1.0), s.over)
            stop.end, stop.open, stop.lost = NEVER, True, False
            s.stop_at = s.cold_at
            s.stops += 1
        elif s.stop_at >= 0 and s.warm_at >= 0 and i > s.warm_at and time[i] - time[s.warm_at] >= numbers.confirm_ms:
            begin = max(time[s.warm_at] - numbers.knee_ms, time[s.stop_at])
            first = max(s.unbroken, _since(time, s.warm_at, begin))
            stop = stops[s.stops - 1]
            stop.end = max(_knee(samples, first, s.warm_at, usual, numbers, -1.0), stop.start)
            stop.open = False
            s.over, s.stop_at, s.hour = stop.end, -1, NEVER
    s.done = len(time)
    s.usual[:] = usual


@dataclass(frozen=True, slots=True)
class SupplyFound:
    """What supply sensors say.

    Attributes
    ----------
    stops
        dtype `CANDIDATE`; night setbacks are left out.
    warm
        When the supply is known to be warm, by number of the subject: buildings first, then stations.
    kept
        When besides as much flows as ever, and leaves as much of its heat behind.
    """

    stops: Records
    warm: Spans
    kept: Spans

    @classmethod
    def none(cls) -> SupplyFound:
        """Return what is said where there is no sensor."""
        return cls(np.zeros(0, CANDIDATE), _no_spans(), _no_spans())

    @classmethod
    def together(cls, parts: Iterable[SupplyFound]) -> SupplyFound:
        """Put together what several sensors say."""
        every = [cls.none(), *parts]
        return cls(
            np.concatenate([part.stops for part in every]),
            _all_spans([part.warm for part in every]),
            _all_spans([part.kept for part in every]),
        )


def supply_found(
    timeline: Timeline, series: Mapping[tuple[int, int], SupplySeries], weather: Weather, as_of_ms: int
) -> SupplyFound:
    """Read every sensor.

    Parameters
    ----------
    series
        By kind (`BUILDING`, `STATION`) and number of its subject.
    as_of_ms
        What was measured later is left out.
    """
    return SupplyFound.together(
        sensor_found(timeline, subject, samples, weather, as_of_ms) for subject, samples in series.items()
    )


def sensor_found(
    timeline: Timeline, subject: tuple[int, int], series: SupplySeries, weather: Weather, as_of_ms: int
) -> SupplyFound:
    """Read the sensor of one subject."""
    sensor = Sensor(timeline, subject, weather)
    sensor.feed(series)
    return sensor.found(as_of_ms)


class Sensor:
    """Reads the sensor of one subject as it speaks: what is new is read from where it stood.

    What it finds is what one reading of everything finds. Where something comes late, make another one.

    Parameters
    ----------
    subject
        Kind (`BUILDING`, `STATION`) and number.
    """

    def __init__(self, timeline: Timeline, subject: tuple[int, int], weather: Weather) -> None:
        self._timeline, self._subject, self._weather = timeline, subject, weather
        self._numbers = supply_numbers(timeline)
        none = np.zeros(0)
        self._series = SupplySeries(np.zeros(0, dtype=np.int64), none, none, none)
        self._samples = self._samples_of(self._series)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._state = _fresh_state()
        self._read = _Read(np.zeros(0, np.int8), np.zeros(0, np.bool_), np.zeros(0, np.bool_))
        self._stops = np.zeros(0, CANDIDATE)

    def feed(self, series: SupplySeries) -> bool:
        """Take in samples that are newer than all so far; say whether they are, else nothing is taken."""
        held = self._series
        if len(held.time_ms) and len(series.time_ms) and series.time_ms[0] <= held.time_ms[-1]:
            return False
        self._series = held.with_more(series)
        self._samples = self._samples_of(self._series)
        return True

    def found(self, as_of_ms: int) -> SupplyFound:
        """Say what there is at a moment."""
        count = int(np.searchsorted(self._samples.time, as_of_ms, side="right"))
        if count < self._state["done"][0]:
            self._begin_anew()
        samples = _up_to(self._samples, count)
        self._read = _Read(*(_grown(column, count) for column in self._read))
        room = int(self._state["stops"][0]) + (count - int(self._state["done"][0])) // 2 + 1
        self._stops = _grown(self._stops, room)
        _sweep(samples, self._numbers, self._state, self._read, self._stops)
        return self._told(samples, self._stops[: self._state["stops"][0]].copy(), as_of_ms)

    def _told(self, samples: _Samples, stops: Records, as_of_ms: int) -> SupplyFound:
        timeline = self._timeline
        heard_ms = int(self._state["heard"][0])
        if len(stops) and stops["open"][-1] and as_of_ms - heard_ms >= self._numbers.break_ms:
            stops["open"][-1], stops["lost"][-1], stops["end"][-1] = False, True, max(heard_ms, stops["start"][-1])
        stops["subject_kind"], stops["subject"], stops["evidence"] = *self._subject, SUPPLY
        stops["confidence"] = timeline.judging.supply_confidence
        until = np.minimum(np.append(samples.time[1:], as_of_ms), samples.time + self._numbers.hold_ms)[
            : len(samples.time)
        ]
        number = _number(timeline, *self._subject)
        return SupplyFound(
            stops[~nightly(timeline, stops, as_of_ms)],
            _spans_where(self._read.status == WARM, number, samples.time, until),
            _spans_where(self._read.kept, number, samples.time, until),
        )

    def _samples_of(self, series: SupplySeries) -> _Samples:
        """Lay samples out; one that is colder than what comes back is no supply, and left out."""
        room_c = self._numbers.room_c
        series = series.where(~(series.supply_c < series.return_c - self._numbers.below_return_k))
        outdoor_c = self._weather.outdoor_at(series.time_ms)
        return _Samples(
            series.time_ms,
            series.supply_c - room_c,
            series.supply_c - series.return_c,
            series.flow_m3_h,
            (series.supply_c - room_c) / np.maximum(room_c - outdoor_c, _LEAST_LOAD_K),
            _asked(self._timeline, self._subject, series.time_ms, outdoor_c),
        )


def _up_to(samples: _Samples, count: int) -> _Samples:
    return _Samples(
        samples.time[:count],
        samples.excess[:count],
        samples.gap[:count],
        samples.flow[:count],
        samples.by_load[:count],
        samples.asked[:count],
    )


def _grown(column: NDArray[Any], count: int) -> NDArray[Any]:
    made = np.zeros(count, column.dtype)
    made[: len(column)] = column[:count]
    return made


def _asked(timeline: Timeline, subject: tuple[int, int], time_ms: Int64, outdoor_c: Float64) -> Int8:
    """Say of which moments the supply is asked: in season, not mild, heat not off by agreement."""
    epochs = timeline.epochs
    in_season = epochs.in_season[np.searchsorted(epochs.start, time_ms, side="right") - 1]
    asked = np.where(outdoor_c >= timeline.judging.supply_mild_c, _MILD, _ASK)
    asked[_unheated_by_agreement(timeline, subject, time_ms)] = _SKIP
    return np.where(in_season, asked, _CLOSE).astype(np.int8)


def _unheated_by_agreement(timeline: Timeline, subject: tuple[int, int], time_ms: Int64) -> Bool:
    """Say when more than half of the rooms that the register has there are unheated by agreement."""
    rows = timeline.rows
    here = (rows.building if subject[0] == BUILDING else rows.station) == subject[1]
    if timeline.heated[rows.setback[here]].all():
        return np.zeros(len(time_ms), dtype=np.bool_)
    kinds, count = np.unique(
        np.stack((rows.setback[here].astype(np.int64), rows.valid_from[here], rows.valid_to[here])),
        axis=1,
        return_counts=True,
    )
    local = time_ms + timeline.zone.offset[np.searchsorted(timeline.zone.start, time_ms, side="right") - 1]
    minute = (local // MINUTE_MS) % (DAY_MS // MINUTE_MS)
    off, total = np.zeros(len(time_ms), dtype=np.int64), np.zeros(len(time_ms), dtype=np.int64)
    for (setback, begin, end), rooms in zip(kinds.T, count, strict=True):
        there = (time_ms >= begin) & (time_ms < end)
        total += rooms * there
        off += rooms * (there & ~timeline.heated[setback, minute])
    return 2 * off > total


def nightly(timeline: Timeline, stops: Records, as_of_ms: int) -> Bool:
    """Say which stops of one subject are a night setback: at the same time of at least 3 of 7 nights.

    Two nights are alike where they begin, and end, at the same local time, `supply_rhythm_h` more or less. The night
    that goes on is alike where it begins so and is not over its time.
    """
    found = np.zeros(len(stops), dtype=np.bool_)
    if not len(stops):
        return found
    judging = timeline.judging
    near_ms = round(judging.supply_rhythm_h * HOUR_MS)
    end = np.where(stops["open"], as_of_ms, stops["end"])
    local = [
        at + timeline.zone.offset[np.searchsorted(timeline.zone.start, at, side="right") - 1]
        for at in (stops["start"], end)
    ]
    night = (local[0] + DAY_MS // 2) // DAY_MS  # from noon to noon
    by_night = ((local[0] % DAY_MS) >= 18 * HOUR_MS) | ((local[0] % DAY_MS) < 6 * HOUR_MS)
    short = (end - stops["start"] <= DAY_MS // 2) & ~stops["lost"] & by_night
    for k in np.flatnonzero(short):
        same = short & (_apart(local[0], local[0][k]) <= near_ms)
        if stops["open"][k]:
            since, lasted = stops["start"], end[k] - stops["start"][k]
            same &= ~stops["open"] & (lasted <= end - since + near_ms)
        else:
            same &= ~stops["open"] & (_apart(local[1], local[1][k]) <= near_ms)
        same[k] = True
        nights = np.unique(night[same])
        first = nights[(nights > night[k] - judging.supply_rhythm_of) & (nights <= night[k])]
        found[k] = any(
            np.count_nonzero((nights >= one) & (nights < one + judging.supply_rhythm_of))
            >= judging.supply_rhythm_nights
            for one in first
        )
    return found


def _apart(one: Int64, other: int) -> Int64:
    """Return how far two local times are apart on the clock [ms]."""
    off = (one - other) % DAY_MS
    return np.minimum(off, DAY_MS - off)


def _number(timeline: Timeline, kind: int, subject: int) -> int:
    return subject if kind == BUILDING else len(timeline.buildings) + subject


def _no_spans() -> Spans:
    none = np.zeros(0, dtype=np.int64)
    return Spans(none, none, none, np.zeros(0, dtype=np.bool_))


def _all_spans(parts: Sequence[Spans]) -> Spans:
    return Spans(
        np.concatenate([part.subject for part in parts]),
        np.concatenate([part.start for part in parts]),
        np.concatenate([part.end for part in parts]),
        np.concatenate([part.open for part in parts]),
    )


def _spans_where(mask: Bool, number: int, start: Int64, end: Int64) -> Spans:
    """Return the stretches in which a mask holds, neighbours that touch as one."""
    start, end = start[mask], end[mask]
    first = np.ones(len(start), dtype=np.bool_)
    first[1:] = start[1:] != end[:-1]
    last = np.append(first[1:], np.ones(1, dtype=np.bool_))[: len(start)]
    begin = start[first]
    return Spans(np.full(len(begin), number, dtype=np.int64), begin, end[last], np.zeros(len(begin), dtype=np.bool_))
