"""Batteries and clocks: what is low is found before it is empty, and late delivery is no wrong clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.layout.timeline import Timeline, lay_out
from analytics.points import vitals
from analytics.points.faults import CLOCK, FAULT, LOW_BATTERY
from analytics.points.machine import NEVER, Records
from analytics.points.vitals import NO_LAG, Vitals
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import RoomClass
from heatwatch.files.rules_file import default_standard

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
START = datetime(2026, 1, 5, tzinfo=UTC)
START_MS = int(START.timestamp()) * 1000
NAN = math.nan

Row = tuple[int, float, float, bool, int]
"""Time [ms], temperature [degC], battery, flag, lag [ms]."""


def row(hour: float, *, temp_c: float = 20.0, level: float = NAN, low: bool = False, lag_s: float | None = None) -> Row:
    lag_ms = NO_LAG if lag_s is None else round(lag_s * 1000)
    return START_MS + round(hour * HOUR_MS), temp_c, level, low, lag_ms


def timeline_of(*, second_row: float | None = None, interval_s: int | None = None) -> Timeline:
    changed = None if second_row is None else START + timedelta(hours=second_row)
    rows = [PointRow("p", "b", "s", RoomClass.APARTMENT, None, changed, interval_s=interval_s)]
    if changed is not None:
        rows.append(PointRow("p", "b", "s", RoomClass.APARTMENT, changed, interval_s=interval_s))
    rows.append(PointRow("q", "b", "s", RoomClass.APARTMENT))
    span = (START_MS - DAY_MS, START_MS + 400 * DAY_MS)
    return lay_out(Register.of(rows), default_standard(), ZoneInfo("Asia/Shanghai"), span)


def carry(timeline: Timeline, state: Vitals, rows: Sequence[Row], room: int = 64) -> Records:
    """Carry both points over the same rows and return what ended."""
    twice = [*rows, *rows]
    time_ms, lag_ms = (np.array([one[place] for one in twice], np.int64) for place in (0, 4))
    temp_c, level = (np.array([one[place] for one in twice], np.float64) for place in (1, 2))
    low = np.array([one[3] for one in twice], np.bool_)
    code = np.repeat(np.arange(2, dtype=np.int32), len(rows))
    ordered = vitals.vital_rows(code, time_ms, temp_c, vitals.Signs(level, low, lag_ms), 2)
    faults, filled, cursor = np.zeros(room, FAULT), np.zeros(1, np.int64), np.zeros(2, np.int64)
    ended = [np.zeros(0, FAULT)]
    tables, numbers = vitals.vital_tables(timeline), vitals.vital_numbers(timeline)
    while not vitals.look(np.arange(2), ordered, state, tables, numbers, faults, filled, cursor):
        ended.append(faults[: filled[0]].copy())
        filled[0] = 0
    return np.concatenate([*ended, faults[: filled[0]]])


def found(rows: Sequence[Row], timeline: Timeline | None = None, as_of_hour: float = 24 * 300) -> list[Any]:
    """Return the faults of the point `p`."""
    timeline = timeline or timeline_of()
    state = vitals.fresh_vitals(timeline)
    ended = carry(timeline, state, rows)
    standing = vitals.standing(state, timeline, START_MS + round(as_of_hour * HOUR_MS))
    every = np.concatenate((ended, standing))
    return list(every[every["point"] == 0])


def hour_of(ms: int) -> float:
    return float((ms - START_MS) / HOUR_MS)


# --- battery


def test_a_battery_is_low_from_the_first_of_two_rows_at_the_limit() -> None:
    levels = [21.0, 20.0, 21.0, 20.0, NAN, 19.0, 18.0]
    (fault,) = found([row(n, level=level) for n, level in enumerate(levels)])
    assert (fault["kind"], fault["open"], fault["end"], fault["count"]) == (LOW_BATTERY, True, NEVER, 3)
    assert hour_of(fault["start"]) == 3.0
    assert fault["a"] == 18.0
    assert math.isnan(fault["b"])


def test_one_glitch_is_no_low_battery() -> None:
    assert found([row(n, level=0.0 if n % 7 == 3 else 90.0) for n in range(50)]) == []


def test_the_flag_counts_with_and_without_a_level() -> None:
    (fault,) = found([row(n, level=60.0, low=n in {5, 6}) for n in range(8)])
    assert hour_of(fault["start"]) == 5.0
    (fault,) = found([row(n, low=n in {5, 6}) for n in range(8)])
    assert hour_of(fault["start"]) == 5.0
    assert math.isnan(fault["a"])


def test_a_new_battery_ends_it_and_a_warm_day_does_not() -> None:
    levels = [19.0, 18.0, 24.0, 26.0, 37.0, 18.0, 95.0, 18.0, 100.0, 99.0, 98.0]
    (fault,) = found([row(n, level=level) for n, level in enumerate(levels)])
    assert not fault["open"]
    assert hour_of(fault["end"]) == 8.0


def test_without_levels_it_is_over_when_the_flag_has_not_come_for_three_days() -> None:
    quiet = [row(n, low=n < 5) for n in range(5 + 71)]
    assert found(quiet)[0]["open"]
    (fault,) = found([*quiet, row(76.0)])
    assert not fault["open"]
    assert hour_of(fault["end"]) == 5.0


@pytest.mark.parametrize("per_day", [0.5, 1.0, 2.0])
def test_the_days_left_are_those_of_the_line(per_day: float) -> None:
    days = int((100 - 12) / per_day)
    rows = [row(h, level=float(math.floor(100 - per_day * h / 24))) for h in range(0, days * 24, 6)]
    (fault,) = found(rows)
    assert fault["b"] == pytest.approx(12 / per_day, abs=2)


def test_days_left_are_not_told_of_a_level_that_does_not_fall_or_of_few_days() -> None:
    (fault,) = found([row(h, level=15.0) for h in range(0, 600, 6)])
    assert math.isnan(fault["b"])
    (fault,) = found([row(h, level=20.0 - h / 24) for h in range(0, 6 * 24, 6)])
    assert math.isnan(fault["b"])


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_volts_are_low_against_what_this_battery_has_shown(scale: float) -> None:
    rows = [row(h, level=3.0 * scale) for h in range(0, 240, 6)]
    assert found([*rows, *(row(240 + h, level=2.5 * scale) for h in range(9))]) == []
    (fault,) = found([*rows, *(row(240 + h, level=2.4 * scale) for h in range(9))])
    assert hour_of(fault["start"]) == 240.0
    assert fault["a"] == pytest.approx(2.4)
    assert math.isnan(fault["b"])
    new = [row(250 + h, level=3.1 * scale) for h in range(3)]
    (fault,) = found([*rows, *(row(240 + h, level=2.4 * scale) for h in range(9)), *new])
    assert hour_of(fault["end"]) == 250.0


def test_volts_of_a_few_days_say_nothing() -> None:
    assert found([row(h, level=3.0 if h < 100 else 2.0) for h in range(0, 140, 6)]) == []


# --- clock


@pytest.mark.parametrize("off_s", [-3_600, -5 * 3_600, 300])
def test_a_clock_that_is_off_by_the_same_all_the_time_is_found(off_s: int) -> None:
    """Of a clock that is ahead at most ten minutes are let in; one behind by any time is."""
    rng = np.random.default_rng(1)
    late = rng.uniform(0.0, 20.0, 300) if off_s < 0 else -rng.uniform(0.0, 20.0, 300)
    rows = [row(n / 12, lag_s=late[n] - off_s * (100 <= n < 200)) for n in range(300)]
    (fault,) = found(rows)
    assert (fault["kind"], fault["open"], fault["count"]) == (CLOCK, False, 100)
    assert hour_of(fault["start"]) == pytest.approx(100 / 12, abs=0.01)
    assert hour_of(fault["end"]) == pytest.approx(200 / 12, abs=0.01)
    assert fault["a"] == pytest.approx(off_s, abs=2)
    assert found(rows[:150])[0]["open"]


@pytest.mark.parametrize("every_h", [1, 4, 6, 12, 24, 72])
@pytest.mark.parametrize("interval_min", [5, 30, 60])
def test_stored_and_forwarded_is_no_wrong_clock(every_h: int, interval_min: int) -> None:
    """Also where nothing ever comes at once: the newest of each delivery is most of an interval old."""
    due = [n * interval_min + 1 for n in range(20 * 24 * 60 // interval_min)]
    assert found([row(at / 60, lag_s=(-at % (every_h * 60)) * 60) for at in due]) == []


def test_a_backlog_of_days_is_no_wrong_clock() -> None:
    assert found([row(n / 12, lag_s=7 * DAY_MS / 1000 - n * 300 if n < 2016 else 0) for n in range(2100)]) == []


def test_a_few_late_rows_neither_make_nor_end_a_wrong_clock() -> None:
    assert found([row(n / 12, lag_s=7_200 if n % 40 < 3 else 5) for n in range(600)]) == []
    (fault,) = found([row(n / 12, lag_s=40_000 if n % 10 == 3 else 7_200) for n in range(600)])
    assert fault["open"]
    assert fault["a"] == -7_200


def test_who_is_asked_every_six_hours_may_be_asked_six_hours_late() -> None:
    rows = [row(n * 6, lag_s=5 * 3_600) for n in range(40)]
    assert found(rows, timeline_of(interval_s=6 * 3_600)) == []
    assert len(found(rows, timeline_of())) == 1


def test_a_slowly_creeping_clock_stays_one_fault() -> None:
    (fault,) = found([row(n, lag_s=7_200 + n * 2) for n in range(24 * 30)])
    assert fault["open"]
    assert fault["count"] == 24 * 30


def test_a_clock_that_stands_says_several_things_of_one_moment() -> None:
    stands = [row(5.0, temp_c=20.0 + n / 10) for n in range(7)]
    after = [row(5.5 + n) for n in range(40)]
    (fault,) = found([row(1), *stands, *after])
    assert (fault["kind"], fault["open"], fault["count"], fault["a"]) == (CLOCK, False, 6, 0.0)
    assert (hour_of(fault["start"]), hour_of(fault["end"])) == (5.0, 5.5)
    assert found([row(1), *stands[:6], *after]) == []
    assert found([row(1), *stands])[0]["open"]


def test_values_that_come_twice_are_no_standing_clock() -> None:
    assert found([row(n // 3, temp_c=20.0) for n in range(300)]) == []


# --- both


def test_a_new_row_of_the_register_ends_what_goes_on() -> None:
    rows = [row(n, level=8.0, lag_s=9_000) for n in range(20)]
    timeline = timeline_of(second_row=30.0)
    assert [fault["open"] for fault in found(rows, timeline, as_of_hour=29.0)] == [True, True]
    assert [hour_of(fault["end"]) for fault in found(rows, timeline, as_of_hour=30.0)] == [30.0, 30.0]
    later = [*rows, *(row(40 + n, lag_s=0) for n in range(3))]
    assert [hour_of(fault["end"]) for fault in found(later, timeline)] == [30.0, 30.0]


def test_rows_of_which_nothing_is_known_say_nothing() -> None:
    assert found([row(n / 12) for n in range(5_000)]) == []


LEVELS = st.sampled_from([NAN, NAN, 90.0, 20.0, 19.0, 5.0, 3.0, 2.0, 0.0])
LAGS = st.sampled_from([None, 0.0, 10.0, 3_600.0, 3_700.0, 9_000.0, -300.0, -400.0])


@st.composite
def stories(draw: st.DrawFn) -> list[list[Row]]:
    """Draw instants, each with its rows; stretches in which the same is said, so that faults begin and end."""
    at, instants = 0.0, list[list[Row]]()
    for _ in range(draw(st.integers(1, 12))):
        level, lag, low = draw(LEVELS), draw(LAGS), draw(st.booleans())
        values = draw(st.sampled_from([(20.0,), (20.0,), (19.0, 20.0, 21.0, 22.0, 23.0, 24.0, 25.0, NAN)]))
        step = draw(st.sampled_from([0.25, 1.0, 6.0, 30.0, 80.0]))
        for _ in range(draw(st.integers(1, 14))):
            at += step
            instants.append([row(at, temp_c=value, level=level, low=low, lag_s=lag) for value in values])
    return instants


@settings(max_examples=80, deadline=None)
@given(story=stories(), data=st.data())
def test_cut_between_any_two_instants_the_same_is_found(story: list[list[Row]], data: st.DataObject) -> None:
    timeline = timeline_of(second_row=100.0)
    whole = vitals.fresh_vitals(timeline)
    at_once = carry(timeline, whole, [one for instant in story for one in instant])
    cuts = data.draw(st.sets(st.integers(0, len(story)), max_size=6))
    parts = vitals.fresh_vitals(timeline)
    ended = [np.zeros(0, FAULT)]
    for first, last in pairwise(sorted(cuts | {0, len(story)})):
        rows = [one for instant in story[first:last] for one in instant]
        ended.append(carry(timeline, parts, rows, room=data.draw(st.integers(6, 8))))
    in_parts = np.concatenate(ended)
    in_parts, at_once = (table[np.argsort(table["point"], kind="stable")] for table in (in_parts, at_once))
    assert in_parts.tobytes() == at_once.tobytes()
    for one, other in zip(vitals.remembered(parts), vitals.remembered(whole), strict=True):
        assert one.tobytes() == other.tobytes()


@settings(max_examples=25, deadline=None)
@given(story=stories(), seed=st.integers(0, 99))
def test_the_order_in_which_rows_came_does_not_matter(story: list[list[Row]], seed: int) -> None:
    rows = [one for instant in story for one in instant]
    shuffled = [rows[n] for n in np.random.default_rng(seed).permutation(len(rows))]
    assert [fault.tobytes() for fault in found(rows)] == [fault.tobytes() for fault in found(shuffled)]


def test_rows_of_points_that_nobody_asked_for_are_left_out() -> None:
    code = np.array([1, -1, 0, 2], np.int32)
    column = np.arange(4.0)
    rows = vitals.vital_rows(code, np.arange(4), column, vitals.Signs(column, column > 0, np.arange(4)), 2)
    assert rows.first.tolist() == [0, 1, 2]
    assert rows.temp_c.tolist() == [2.0, 0.0]
