"""Hours of rooms: what a plain count of the readings, one by one, comes to."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboards.feed.hours import stretches
from heatwatch.domain.instants import HOUR_MS, MINUTE_MS, from_ms
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import (
    ClassRules,
    Hours,
    Judging,
    Limit,
    RoomClass,
    Season,
    Standard,
    Version,
)
from heatwatch.errors import BadInput
from heatwatch.stores.influx.asking import MOST_NAMED
from heatwatch.stores.readings import ReadingColumns
from heatwatch.usecases.hours import Place, RoomHours
from tests.shelf import Row

T0 = 1764028800000  # 2025-11-25 08:00 in Shanghai
SPAN_H = 24
ZONE = ZoneInfo("Asia/Shanghai")
DAY, NIGHT = Hours(360, 1260, 18.0, rule="R1"), Hours(1260, 360, 16.0, rule="R2")
SCHOOL = Hours(450, 1035, 20.0, target_c=21.0, rule="R4")
SEASON = Season(from_ms(T0).date() - timedelta(days=9), from_ms(T0).date())
RULES = Version(
    None, {RoomClass.APARTMENT: ClassRules((DAY, NIGHT), 18.0)}, contracts={"school": (SCHOOL,)}, seasons=(SEASON,)
)
STANDARD = Standard((RULES,), Judging())
NAMES = ("d1", "d2", "p1", "p2")
MOMENTS = st.none() | st.integers(0, SPAN_H * 4).map(lambda quarter: T0 + quarter * 15 * MINUTE_MS)
ROWS = st.builds(
    lambda point, begin, end, off, back, device, room_class, offset, building: PointRow(
        point,
        building,
        f"s-{building}",
        room_class,
        valid_from=None if begin is None else from_ms(begin),
        valid_to=None if end is None else from_ms(end),
        suspended_from=None if off is None else from_ms(off),
        suspended_to=None if back is None else from_ms(back),
        device_id=device,
        contract="school" if room_class is RoomClass.NON_RESIDENTIAL else None,
        offset_k=offset,
    ),
    st.sampled_from(["p1", "p2", "p3"]),
    MOMENTS,
    MOMENTS,
    MOMENTS,
    MOMENTS,
    st.sampled_from([None, "d1", "d2", "p2"]),
    st.sampled_from([RoomClass.APARTMENT, RoomClass.NON_RESIDENTIAL]),
    st.sampled_from([0.0, 0.25]),
    st.sampled_from(["b1", "b2"]),
)
READINGS = st.tuples(
    st.sampled_from(NAMES),
    st.integers(0, SPAN_H * 12 - 1).map(lambda at: T0 + at * 5 * MINUTE_MS),
    st.sampled_from([15.75, 16.0, 17.75, 18.0, 20.0, 20.75, 49.9, 51.0, -31.0, math.nan, math.inf]),
)
Told = tuple[int, int, int, float | None, float | None, float | None, float | None]


def speaks_for(register: Register, source: str, at_ms: int) -> str | None:
    """Return the point that a source spoke for: a device's, else the one whose name it bears."""
    for row in register.rows:
        if row.device_id == source and row.valid_from_ms <= at_ms < row.valid_to_ms:
            return row.point_id
    return source if any(row.point_id == source for row in register.rows) else None


def asked(row: PointRow, at_ms: int) -> Limit | None:
    local = from_ms(at_ms).astimezone(ZONE)
    if not SEASON.first_day <= local.date() <= SEASON.last_day or suspended(row, at_ms):
        return None
    return RULES.asked(row.room_class, row.contract, local.weekday() * 1440 + local.hour * 60 + local.minute)


def suspended(row: PointRow, at_ms: int) -> bool:
    if row.suspended_from is None and row.suspended_to is None:
        return False
    begun = row.suspended_from is None or row.suspended_from <= from_ms(at_ms)
    return begun and (row.suspended_to is None or from_ms(at_ms) < row.suspended_to)


def plainly(register: Register, readings: Sequence[Row]) -> dict[tuple[Place, int], Told]:
    """Count one reading after the other."""
    values: defaultdict[tuple[str, int], set[float]] = defaultdict(set)
    for source, at_ms, value in readings:
        point = speaks_for(register, source, at_ms)
        if point is not None:
            values[point, at_ms].add(value if math.isfinite(value) else math.nan)
    hours: defaultdict[tuple[Place, int], list[tuple[float, Limit | None]]] = defaultdict(list)
    for (point, at_ms), several in sorted(values.items(), key=lambda one: one[0]):
        row = register.at(point, at_ms)
        if row is None:
            continue
        place = Place(row.station_id, row.building_id, row.point_id, row.room, str(row.room_class), row.loop or "")
        into = hours[place, at_ms // HOUR_MS * HOUR_MS]
        numbers = [value + row.offset_k for value in several if math.isfinite(value)]
        into += [(one, asked(row, at_ms)) for one in numbers if len(numbers) == 1 and -30 <= one <= 50]
    return {key: _told(several) for key, several in hours.items()}


def _told(several: Sequence[tuple[float, Limit | None]]) -> Told:
    temps = [value for value, _ in several]
    low = sum(limit is not None and value < limit.minimum_c for value, limit in several)
    below = sum(limit is not None and limit.minimum_c <= value < limit.target_c for value, limit in several)
    if not temps:
        return 0, low, below, None, None, None, None
    mean = round(sum(temps) / len(temps), 4)
    return len(temps), low, below, mean, min(temps), max(temps), temps[-1]


def as_kept(readings: Sequence[Row]) -> ReadingColumns:
    """Return rows as a store gives them."""
    ordered = sorted(readings, key=lambda row: row[:2])
    code = np.array([NAMES.index(source) for source, _, _ in ordered], np.int32)
    times, values = (np.array([row[part] for row in ordered]) for part in (1, 2))
    return ReadingColumns(NAMES, code, times.astype(np.int64), values.astype(np.float64))


@given(st.lists(ROWS, max_size=5), st.lists(READINGS, max_size=40))
@settings(max_examples=80, deadline=None)
def test_hours_are_what_a_plain_count_comes_to(rows: list[PointRow], readings: list[Row]) -> None:
    try:
        register = Register.of(rows)
    except BadInput:
        return
    bench = RoomHours(register, STANDARD, ZONE)
    hours = bench.hours(as_kept(readings), T0, T0 + SPAN_H * HOUR_MS)
    columns = (hours.readings, hours.violations, hours.below_target, hours.mean_c, hours.min_c, hours.max_c)
    figures = zip(*(column.tolist() for column in (*columns, hours.last_c)), strict=True)
    keys = [(bench.places[place], at) for place, at in zip(hours.place.tolist(), hours.hour_ms.tolist(), strict=True)]
    found = {
        key: tuple(None if isinstance(one, float) and math.isnan(one) else one for one in told)
        for key, told in zip(keys, figures, strict=True)
    }
    assert len(found) == len(keys)
    assert found == plainly(register, readings)
    for (place, at_ms), minimum, target in zip(keys, hours.minimum_c.tolist(), hours.target_c.tolist(), strict=True):
        row = register.at(place.point_id, at_ms)
        if (
            row is not None
            and row == register.at(place.point_id, at_ms + HOUR_MS - 1)
            and row.building_id == place.building_id
        ):
            limit = asked(row, at_ms)
            told = None if math.isnan(minimum) else (minimum, target)
            assert told == (None if limit is None else (limit.minimum_c, limit.target_c))


@given(st.integers(0, 23), st.integers(1, 24), st.integers(0, 5000), st.integers(0, 3000), st.integers(0, 150_000))
@settings(deadline=None, max_examples=60)
def test_every_hour_is_in_one_stretch_whose_rows_can_be_held(
    first: int, lasts: int, points: int, supply: int, others: int
) -> None:
    """With a reading in 5 minutes, 100,000 rooms included."""
    start_ms, end_ms = first * HOUR_MS, min(first + lasts, 24) * HOUR_MS
    names, sensors = [f"p{n}" for n in range(points)], [f"s{n}" for n in range(supply)]
    found = [*stretches(start_ms, end_ms, names, sensors, points + others)]
    told = sum(len(one.points) * (one.end_ms - one.start_ms) for one in found)
    assert told == points * (end_ms - start_ms)
    for name in {*names[:1], *names[-1:]}:
        mine = sorted((one.start_ms, one.end_ms) for one in found if name in one.points)
        assert (mine[0][0], mine[-1][1]) == (start_ms, end_ms)
        assert all(one[1] == after[0] for one, after in pairwise(mine))
    assert [name for one in found for name in one.supply] == sensors
    for one in found:
        assert one.start_ms % HOUR_MS == one.end_ms % HOUR_MS == 0
        assert len(one.supply) <= MOST_NAMED
        named = 2 * len(one.points) <= MOST_NAMED
        hours = (one.end_ms - one.start_ms) // HOUR_MS
        assert hours == 1 or (len(one.points) if named else points + others) * hours <= 48_000
