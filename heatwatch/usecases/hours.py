"""Hours of test points and of supply sensors: what was measured in each, as it is judged.

It judges nothing anew: what counts as valid, which calibration and which limit hold, is worked out from the same dated
register and rules as findings are. All of a stretch of time is worked out at once, with one pass over its rows.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from heatwatch.domain.instants import HOUR_MS, to_ms
from heatwatch.domain.register import FAR_FUTURE_MS, FAR_PAST_MS, PointRow, Register
from heatwatch.domain.supply import MEASURES, SupplySource
from heatwatch.domain.temperature import RoomClass, Standard
from heatwatch.stores.readings import ReadingColumns
from heatwatch.usecases.room import limit_steps

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

NOBODY = -1
_DECIMALS = 4
Schedule = tuple[RoomClass, str | None]


class Place(NamedTuple):
    """Where a test point hung: what its hours are told by."""

    station_id: str
    building_id: str
    point_id: str
    room: str
    room_class: str
    loop: str


@dataclass(frozen=True, slots=True)
class Hours:
    """Hours of places, as columns of one length.

    Attributes
    ----------
    place
        Index into the places of whoever worked it out.
    hour_ms
        Its beginning [ms].
    heard_ms
        When its last row was measured, valid or not [ms].
    readings, violations, below_target
        Valid readings, and how many of them violate or are below the target.
    mean_c, min_c, max_c, last_c
        Of the valid readings, calibrated [degC]; NaN where there is none.
    minimum_c, target_c
        What was asked at the beginning of the hour [degC]; NaN where nothing was.
    """

    place: Int64
    hour_ms: Int64
    heard_ms: Int64
    readings: Int64
    violations: Int64
    below_target: Int64
    mean_c: Float64
    min_c: Float64
    max_c: Float64
    last_c: Float64
    minimum_c: Float64
    target_c: Float64

    def __len__(self) -> int:
        return len(self.place)


class RoomHours:
    """Works hours out by one register; laid out once and used until another is in force.

    Parameters
    ----------
    register
        The register.
    standard, zone
        What is asked of the rooms, and the company's time zone.
    """

    def __init__(self, register: Register, standard: Standard, zone: ZoneInfo) -> None:
        self._standard, self._zone = standard, zone
        rows = sorted(register.rows, key=lambda row: (row.point_id, row.valid_from_ms))
        self.points = sorted({row.point_id for row in rows})
        self._number = {name: code for code, name in enumerate(self.points)}
        self._rows = _Rows(rows, self._number)
        self.places = self._rows.places
        self._sources = _Sources(rows, self._number)
        self._steps: dict[tuple[int, int], list[tuple[Int64, Float64, Float64]]] = {}

    def points_of(self, sources: Iterable[str]) -> set[str]:
        """Return for which points sources may have spoken at any time."""
        numbers = set[int]().union(*(self._sources.points_of.get(source, ()) for source in sources))
        return {self.points[number] for number in numbers}

    def sources_of(self, points: Iterable[str]) -> set[str]:
        """Return which sources may have spoken at any time for those of these points that there are."""
        known = (self._number[name] for name in points if name in self._number)
        return set[str]().union(*(self._sources.of_point[number] for number in known))

    def hours(self, readings: ReadingColumns, start_ms: int, end_ms: int) -> Hours:
        """Return the hours of a stretch of time, by place and beginning.

        Parameters
        ----------
        readings
            Every row of every source of the points in question, measured in the stretch.
        start_ms, end_ms
            The stretch [ms]: whole hours.
        """
        point = self._sources.points(readings, start_ms, end_ms)
        row = self._rows.at(point, readings.time_ms, start_ms, end_ms)
        listed = row != NOBODY
        row, time_ms, raw_c = row[listed], readings.time_ms[listed], readings.temp_c[listed]
        raw_c = np.where(np.isfinite(raw_c), raw_c, np.nan)
        place, hour_ms = self._rows.place[row], time_ms // HOUR_MS * HOUR_MS
        order = np.lexsort((raw_c, time_ms, place))
        row, time_ms, raw_c = row[order], time_ms[order], raw_c[order]
        place, hour_ms = place[order], hour_ms[order]
        once = _told_once(place, time_ms, raw_c)
        row, time_ms, raw_c, place, hour_ms = row[once], time_ms[once], raw_c[once], place[once], hour_ms[once]
        temp_c = raw_c + self._rows.offset_k[row]
        judging = self._standard.judging
        valid = np.isfinite(temp_c) & ~_contradicted(place, time_ms, temp_c)
        valid &= (temp_c >= judging.range_low_c) & (temp_c <= judging.range_high_c)
        minimum_c, target_c = self._asked(row, time_ms, start_ms, end_ms)
        violates = valid & (temp_c < minimum_c)
        below = valid & (temp_c >= minimum_c) & (temp_c < target_c)
        first = np.flatnonzero(_changes(place) | _changes(hour_ms))
        mean_c, min_c, max_c, last_c = _figures(first, temp_c, valid)
        lowest_c, wanted_c = self._asked(row[first], hour_ms[first], start_ms, end_ms)
        return Hours(
            place=place[first],
            hour_ms=hour_ms[first],
            heard_ms=time_ms[np.append(first[1:], len(time_ms)) - 1] if len(first) else time_ms,
            readings=_sums(first, valid),
            violations=_sums(first, violates),
            below_target=_sums(first, below),
            mean_c=mean_c,
            min_c=min_c,
            max_c=max_c,
            last_c=last_c,
            minimum_c=lowest_c,
            target_c=wanted_c,
        )

    def _asked(self, row: Int64, time_ms: Int64, start_ms: int, end_ms: int) -> tuple[Float64, Float64]:
        """Return minimum and target that were asked at moments of a stretch [degC], NaN where nothing was."""
        minimum_c, target_c = np.full(len(row), np.nan), np.full(len(row), np.nan)
        schedule, asked = self._rows.schedule[row], self._rows.in_service(row, time_ms)
        steps = self._limits(start_ms, end_ms)
        for code in np.unique(schedule).tolist():
            mine = np.flatnonzero(asked & (schedule == code))
            starts, lowest, wanted = steps[code]
            step = np.maximum(np.searchsorted(starts, time_ms[mine], side="right") - 1, 0)
            minimum_c[mine], target_c[mine] = lowest[step], wanted[step]
        return minimum_c, target_c

    def _limits(self, start_ms: int, end_ms: int) -> list[tuple[Int64, Float64, Float64]]:
        """Return the steps of each schedule in a stretch: from when on [ms], minimum and target [degC]."""
        if (start_ms, end_ms) not in self._steps:
            self._steps.clear()
            made = [self._limits_of(schedule, start_ms, end_ms) for schedule in self._rows.schedules]
            self._steps[start_ms, end_ms] = made
        return self._steps[start_ms, end_ms]

    def _limits_of(self, schedule: Schedule, start_ms: int, end_ms: int) -> tuple[Int64, Float64, Float64]:
        anyone = PointRow("", "", "", schedule[0], contract=schedule[1])
        nothing = np.array([np.nan])
        try:
            steps = limit_steps([anyone], self._standard, self._zone, start_ms, end_ms)
        except KeyError:  # a contract that the rules do not have (any more) asks nothing
            return np.array([start_ms], np.int64), nothing, nothing
        pairs = [(np.nan, np.nan) if one.limit is None else (one.limit.minimum_c, one.limit.target_c) for one in steps]
        told = np.array(pairs, np.float64)
        return np.array([step.start_ms for step in steps], np.int64), told[:, 0], told[:, 1]


class _Rows:
    """The rows of a register as columns, by point and beginning."""

    def __init__(self, rows: Sequence[PointRow], number: Mapping[str, int]) -> None:
        named: dict[Place, int] = {}
        schedules: dict[Schedule, int] = {}
        where = [named.setdefault(_place(row), len(named)) for row in rows]
        when = [schedules.setdefault((row.room_class, row.contract), len(schedules)) for row in rows]
        self.places, self.schedules = list(named), list(schedules)
        self.place, self.schedule = np.array(where, np.int64), np.array(when, np.int64)
        self._point = np.array([number[row.point_id] for row in rows], np.int64)
        self.offset_k = np.array([row.offset_k for row in rows], np.float64)
        self._from_ms = np.array([row.valid_from_ms for row in rows], np.int64)
        self._to_ms = np.array([row.valid_to_ms for row in rows], np.int64)
        never = [row.suspended_from is None and row.suspended_to is None for row in rows]
        begun = [FAR_PAST_MS if row.suspended_from is None else to_ms(row.suspended_from) for row in rows]
        over = [FAR_FUTURE_MS if row.suspended_to is None else to_ms(row.suspended_to) for row in rows]
        self._off_from_ms = np.where(never, FAR_FUTURE_MS, np.array(begun, np.int64))
        self._off_to_ms = np.array(over, np.int64)

    def at(self, point: Int64, time_ms: Int64, start_ms: int, end_ms: int) -> Int64:
        """Return the row in force for points at moments of a stretch; `NOBODY` where none is."""
        found = _last_before(self._point, self._from_ms, point, time_ms, start_ms, end_ms)
        held = found >= 0
        row = found[held]
        held[held] = (self._point[row] == point[held]) & (self._from_ms[row] <= time_ms[held])
        row = found[held]
        held[held] = time_ms[held] < self._to_ms[row]
        return np.where(held, found, NOBODY)

    def in_service(self, row: Int64, time_ms: Int64) -> Bools:
        """Tell of rows that are in force whether their rooms' heating is not suspended at moments (R5)."""
        return (time_ms < self._off_from_ms[row]) | (time_ms >= self._off_to_ms[row])


class _Sources:
    """Which point a source spoke for at each moment: a device for the one that the register assigns it to.

    A source that bears a point's name speaks for that point where it is no device assigned elsewhere.
    """

    def __init__(self, rows: Sequence[PointRow], number: Mapping[str, int]) -> None:
        spans: dict[str, list[tuple[int, int]]] = {name: [(FAR_PAST_MS, code)] for name, code in number.items()}
        for row in rows:
            if row.device_id is not None:
                own = number.get(row.device_id, NOBODY)
                assigned = spans.setdefault(row.device_id, [(FAR_PAST_MS, own)])
                assigned += [(row.valid_from_ms, number[row.point_id]), (row.valid_to_ms, own)]
        self._number = {source: code for code, source in enumerate(spans)}
        flat = [(code, *span) for code, several in enumerate(spans.values()) for span in _in_order(several)]
        table = np.array(flat, np.int64).reshape(-1, 3)
        self._source, self._from_ms, self._point = table[:, 0].copy(), table[:, 1].copy(), table[:, 2].copy()
        self.points_of = {name: {code for _, code in several if code != NOBODY} for name, several in spans.items()}
        self.of_point: dict[int, set[str]] = {code: {name} for name, code in number.items()}
        for name, points in self.points_of.items():
            for point in points:
                self.of_point[point].add(name)

    def points(self, readings: ReadingColumns, start_ms: int, end_ms: int) -> Int64:
        """Return the point of each row, `NOBODY` where no point was measured."""
        known = np.array([self._number.get(source, NOBODY) for source in readings.source], np.int64)
        source = known[readings.code] if len(known) else np.zeros(0, np.int64)
        found = _last_before(self._source, self._from_ms, source, readings.time_ms, start_ms, end_ms)
        mine = (source != NOBODY) & (found >= 0)
        mine[mine] = self._source[found[mine]] == source[mine]
        return np.where(mine, self._point[np.where(mine, found, 0)] if len(self._point) else NOBODY, NOBODY)


def _place(row: PointRow) -> Place:
    return Place(row.station_id, row.building_id, row.point_id, row.room, str(row.room_class), row.loop or "")


def _in_order(spans: Collection[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sort by beginning; of two that begin at once an assignment holds over an ending."""
    return sorted(dict(sorted(spans, key=lambda span: (span[0], span[1] != NOBODY))).items())


def _last_before(key: Int64, from_ms: Int64, wanted: Int64, time_ms: Int64, start_ms: int, end_ms: int) -> Int64:
    """Return the last entry that is of a key and has begun, or of a smaller key; -1 where there is none.

    Entries are ordered by key and beginning. Both are put into one number, which a stretch of time bounds.
    """
    wide = end_ms - start_ms + 1
    began = key * wide + np.clip(from_ms, start_ms, end_ms) - start_ms
    asked = wanted * wide + np.clip(time_ms, start_ms, end_ms - 1) - start_ms
    return np.searchsorted(began, asked, side="right").astype(np.int64) - 1


def _changes(values: Int64) -> Bools:
    """Say which entries differ from the one before."""
    first = np.ones(len(values), np.bool_)
    first[1:] = values[1:] != values[:-1]
    return first


def _told_once(place: Int64, time_ms: Int64, raw_c: Float64) -> Bools:
    """Say of rows ordered by place, time and value which are no repetition of the one before."""
    first = _changes(place) | _changes(time_ms)
    none = np.isnan(raw_c)
    first[1:] |= (raw_c[1:] != raw_c[:-1]) & ~(none[1:] & none[:-1])
    return first


def _contradicted(place: Int64, time_ms: Int64, temp_c: Float64) -> Bools:
    """Say which rows are of an instant that has several values."""
    instant = np.cumsum(_changes(place) | _changes(time_ms)) - 1
    if not len(instant):
        return np.zeros(0, np.bool_)
    return np.asarray(np.bincount(instant, weights=np.isfinite(temp_c))[instant] > 1)


def _sums(first: Int64, told: Bools) -> Int64:
    if not len(first):
        return np.zeros(0, np.int64)
    return np.add.reduceat(told.astype(np.int64), first)


def _figures(first: Int64, temp_c: Float64, valid: Bools) -> tuple[Float64, Float64, Float64, Float64]:
    """Return mean, lowest, highest and last valid value of each stretch of rows [degC]; NaN where there is none."""
    if not len(first):
        nothing = np.zeros(0)
        return nothing, nothing, nothing, nothing
    number = np.add.reduceat(valid.astype(np.int64), first)
    some = number > 0
    with np.errstate(over="ignore"):
        total = np.add.reduceat(np.where(valid, temp_c, 0.0), first)
    lowest = np.minimum.reduceat(np.where(valid, temp_c, np.inf), first)
    highest = np.maximum.reduceat(np.where(valid, temp_c, -np.inf), first)
    last = np.maximum.reduceat(np.where(valid, np.arange(len(temp_c)), 0), first)
    told = (total / np.maximum(number, 1), lowest, highest, temp_c[last])
    with np.errstate(over="ignore", invalid="ignore"):  # any number may have been sent
        mean_c, min_c, max_c, last_c = (np.where(some, np.round(one, _DECIMALS), np.nan) for one in told)
    return mean_c, min_c, max_c, last_c


def supply_hours(readings: ReadingColumns) -> dict[tuple[str, str, int], dict[str, float]]:
    """Return the means of supply sensors' hours, by station, building (empty for the station's own) and hour [ms].

    A value counts once; instants with several values, and what is no number, count not at all; nor do hours whose mean
    is none, since values were sent of which no sum can be made.
    """
    finite = np.isfinite(readings.temp_c)
    code, time_ms, value = readings.code[finite].astype(np.int64), readings.time_ms[finite], readings.temp_c[finite]
    order = np.lexsort((value, time_ms, code))
    code, time_ms, value = code[order], time_ms[order], value[order]
    once = _told_once(code, time_ms, value)
    code, time_ms, value = code[once], time_ms[once], value[once]
    alone = ~_contradicted(code, time_ms, value)
    code, hour_ms, value = code[alone], time_ms[alone] // HOUR_MS * HOUR_MS, value[alone]
    first = np.flatnonzero(_changes(code) | _changes(hour_ms))
    mean = _figures(first, value, np.ones(len(value), np.bool_))[0]
    sensors = [SupplySource.parse(source) for source in readings.source]
    found: dict[tuple[str, str, int], dict[str, float]] = {}
    for number, at_ms, one in zip(code[first].tolist(), hour_ms[first].tolist(), mean.tolist(), strict=True):
        sensor = sensors[number]
        if sensor is not None and sensor.measure in MEASURES and math.isfinite(one):
            found.setdefault((sensor.station_id, sensor.building_id, at_ms), {})[sensor.measure] = one
    return found
