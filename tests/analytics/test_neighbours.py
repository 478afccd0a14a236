"""Drift and moved thermometers, told by the other rooms: found where they are, and not where a room is really cold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from analytics.buildings import neighbours
from analytics.buildings.neighbours import Members
from analytics.layout.rows import PointRows, by_point
from analytics.layout.timeline import Timeline, lay_out
from analytics.points.faults import DRIFT, FAULT, MOVED
from analytics.points.machine import NEVER, Records
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import RoomClass
from heatwatch.files.rules_file import default_standard

Float64 = NDArray[np.float64]

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
START = datetime(2026, 1, 5, tzinfo=UTC)
START_MS = int(START.timestamp()) * 1000
ROOMS = 6
FIRST, ONSET = 0, 20
"""Number of the room with which something is wrong, and from which day on."""


def hours(days: int) -> Float64:
    """Return the days since the start at which rooms are measured, once an hour: shape (hours,)."""
    return np.asarray((np.arange(days * 24) + 0.4) / 24.0, np.float64)


def calm(days: int, rooms: int = ROOMS, seed: int = 1) -> Float64:
    """Return rooms in which nothing is wrong: shape (hours, rooms) [degC], to a tenth as thermometers say it."""
    rng = np.random.default_rng(seed)
    level_c = 20.0 + rng.uniform(-1.5, 1.5, rooms)
    swing_k = rng.uniform(0.1, 0.6, rooms)
    wave = np.sin(2 * np.pi * hours(days))[:, None]
    weather_k = np.cumsum(rng.normal(0.0, 0.1, days * 24))[:, None] * 0.3
    return level_c + swing_k * wave + weather_k + rng.normal(0.0, 0.08, (days * 24, rooms))


def register_of(rooms: int, *, second_row: int | None = None, buildings: int = 1) -> Register:
    """Return rooms in buildings; the first gets a new row of the register on the day `second_row`."""
    rows = []
    for room in range(rooms):
        home = f"b{room * buildings // rooms}"
        changed = START + timedelta(days=second_row) if second_row is not None and room == FIRST else None
        rows.append(PointRow(f"p{room}", home, "s", RoomClass.APARTMENT, None, changed))
        if changed is not None:
            rows.append(PointRow(f"p{room}", home, "s", RoomClass.APARTMENT, changed, None, offset_k=0.5))
    return Register.of(rows)


def timeline_of(register: Register, days: int) -> Timeline:
    return lay_out(register, default_standard(), ZoneInfo("Asia/Shanghai"), (START_MS, START_MS + days * DAY_MS))


def rows_of(temp_c: Float64) -> PointRows:
    """Return rooms' temperatures, NaN where nothing is judged, as rows by point."""
    count, rooms = temp_c.shape
    time_ms = START_MS + np.rint(hours(count // 24) * DAY_MS).astype(np.int64)
    code = np.repeat(np.arange(rooms, dtype=np.int32), count)
    return by_point(code, np.tile(time_ms, rooms), np.round(temp_c, 1).T.ravel(), rooms)


def watch(
    timeline: Timeline, members: Members, state: Records, rows: PointRows, until_ms: int, room: int = 64
) -> Records:
    """Carry all buildings on and return what ended."""
    faults, filled, ended = np.zeros(room, FAULT), np.zeros(1, np.int64), [np.zeros(0, FAULT)]
    every = np.arange(len(state))
    tables, numbers = neighbours.neighbour_tables(timeline), neighbours.neighbour_numbers(timeline)
    while not neighbours.watch(
        every, members, state, rows.first, rows.time_ms, rows.temp_c, until_ms, tables, numbers, faults, filled
    ):
        ended.append(faults[: filled[0]].copy())
        filled[0] = 0
    return np.concatenate([*ended, faults[: filled[0]]])


def found(temp_c: Float64, register: Register | None = None, until_day: float | None = None) -> Records:
    """Return what is found at the end, or at a day: what ended, then what goes on."""
    count, rooms = temp_c.shape
    timeline = timeline_of(register or register_of(rooms), count // 24)
    until_ms = START_MS + round((count / 24 if until_day is None else until_day) * DAY_MS)
    members, state = neighbours.fresh_members(timeline)
    ended = watch(timeline, members, state, rows_of(temp_c), until_ms)
    return np.concatenate((ended, neighbours.still_open(members)))


def day_of(ms: int) -> float:
    return float((ms - START_MS) / DAY_MS)


def with_first(temp_c: Float64, change_k: Float64) -> Float64:
    changed = temp_c.copy()
    changed[:, FIRST] += change_k
    return changed


def drifted(days: int, k_per_day: float, ends: float | None = None, **how: int) -> Float64:
    since = np.clip(hours(days) - ONSET, 0.0, None)
    if ends is not None:
        since[hours(days) >= ends] = 0.0
    return with_first(calm(days, **how), since * k_per_day)


def sill_k(days: int, ends: float | None = None) -> Float64:
    """Return what a sunny sill does: cold by night, and warm for some hours around noon."""
    at = hours(days)
    noon = np.clip(np.cos(2 * np.pi * (at - 0.5)), 0.0, None) ** 2
    change = -6.0 + 9.5 * noon
    return np.where((at >= ONSET + 0.5) & (at < (days if ends is None else ends)), change, 0.0)


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert len(found(calm(120))) == 0


@pytest.mark.parametrize("k_per_day", [0.15, 0.3, 0.5, -0.5, -0.3])
def test_a_steady_drift_is_found_with_its_beginning_its_slope_and_how_far_it_is_off(k_per_day: float) -> None:
    (fault,) = found(drifted(75, k_per_day))
    assert (fault["point"], fault["kind"], fault["open"], fault["end"]) == (FIRST, DRIFT, True, NEVER)
    assert abs(day_of(fault["start"]) - ONSET) <= 4
    assert fault["a"] == pytest.approx(k_per_day, rel=0.15)
    assert fault["b"] == pytest.approx(55 * k_per_day, rel=0.1, abs=0.6)


def test_a_drift_is_over_where_the_thermometer_is_back() -> None:
    (fault,) = found(drifted(75, 0.3, ends=60.5))
    assert not fault["open"]
    assert day_of(fault["end"]) == pytest.approx(60.5, abs=0.1)
    assert fault["b"] == pytest.approx(40 * 0.3, abs=0.7)


def test_a_new_row_of_the_register_ends_a_fault_and_nothing_is_compared_across_it() -> None:
    (fault,) = found(drifted(75, 0.3), register_of(ROOMS, second_row=50), until_day=58)
    assert not fault["open"]
    assert day_of(fault["end"]) == 50.0
    _, anew = found(drifted(75, 0.3), register_of(ROOMS, second_row=50))
    assert anew["open"]
    assert day_of(anew["start"]) == pytest.approx(50, abs=1)
    assert anew["b"] == pytest.approx(25 * 0.3, abs=0.7)


def test_a_building_that_changes_as_a_whole_has_no_drifting_thermometer() -> None:
    together = calm(90) + (0.2 * np.clip(hours(90) - ONSET, 0.0, None))[:, None]
    assert len(found(together)) == 0


@pytest.mark.parametrize(("rooms", "known"), [(1, 0), (4, 0), (5, 1)])
def test_fewer_than_four_others_are_compared_with_nothing(rooms: int, known: int) -> None:
    assert len(found(drifted(75, 0.3, rooms=rooms))) == known


def test_rooms_of_other_buildings_are_no_neighbours() -> None:
    assert len(found(drifted(75, 0.3, rooms=8), register_of(8, buildings=2))) == 0
    assert len(found(drifted(75, 0.3, rooms=10), register_of(10, buildings=2))) == 1


def test_silent_rooms_are_no_neighbours() -> None:
    silent = drifted(75, 0.3)
    silent[:, 3:] = np.nan
    assert len(found(silent)) == 0


def stepped(days: int, by_k: float, settles_days: float) -> Float64:
    """Return a change that a room really undergoes: at once for the air, then slowly with its walls."""
    since = hours(days) - ONSET - 0.3
    return np.where(since > 0, by_k * (1.0 - 0.7 * np.exp(-np.clip(since, 0.0, None) / settles_days)), 0.0)


@pytest.mark.parametrize("by_k", [-8.0, -5.0, -2.0, 2.0, 5.0])
@pytest.mark.parametrize("settles_days", [0.5, 2.0, 4.0])
def test_a_room_that_loses_or_regains_its_heat_is_a_room_and_no_faulty_thermometer(
    by_k: float, settles_days: float
) -> None:
    closed = stepped(90, by_k, settles_days)
    assert len(found(with_first(calm(90), closed))) == 0
    closed[hours(90) > 60.0] = 0.0
    assert len(found(with_first(calm(90), closed))) == 0


@pytest.mark.parametrize("seed", range(6))
def test_a_radiator_that_silts_up_makes_a_cold_room_and_no_drift(seed: int) -> None:
    """The less it gives, the more of the weather the room shows: 15 % of swings of some 3 K that last for days."""
    days, rng = 90, np.random.default_rng(seed)
    outdoor_k = np.convolve(rng.normal(0.0, 1.0, days + 20), np.ones(4), "valid")[:days].repeat(24) * 1.5
    lost = np.clip((hours(days) - ONSET) / 40.0, 0.0, 1.0)
    colder = lost * (-8.0 + 0.15 * outdoor_k)
    assert len(found(with_first(calm(days, seed=seed), colder))) == 0


@pytest.mark.parametrize("share", [0.1, 0.25, 0.35, 0.5, 0.7])
@pytest.mark.parametrize("ends", [30.0, 90.0])
def test_a_window_open_every_night_is_no_moved_thermometer(share: float, ends: float) -> None:
    at = hours(90)
    airy = (at > ONSET) & (at < ends) & (at % 1.0 < share)
    assert len(found(with_first(calm(90), np.where(airy, -7.0, 0.0)))) == 0


def test_a_window_open_for_days_is_no_moved_thermometer() -> None:
    at = hours(90)
    open_k = np.where((at > ONSET) & (at < ONSET + 9), -9.0 + 3.0 * np.sin(2 * np.pi * at), 0.0)
    assert len(found(with_first(calm(90), open_k))) == 0


def test_a_thermometer_on_a_sunny_sill_has_moved_from_the_hour_on_until_it_is_back() -> None:
    (fault,) = found(with_first(calm(60), sill_k(60)), until_day=40)
    assert (fault["point"], fault["kind"], fault["open"]) == (FIRST, MOVED, True)
    assert day_of(fault["start"]) == pytest.approx(ONSET + 0.5, abs=0.6)
    assert fault["a"] < -4.0
    (fault,) = found(with_first(calm(60), sill_k(60, ends=45.1)))
    assert not fault["open"]
    assert day_of(fault["end"]) == pytest.approx(45.1, abs=1.0)


def test_a_thermometer_on_a_radiator_has_moved() -> None:
    hot = np.where((hours(60) > ONSET + 0.25) & (hours(60) < 50.0), 9.0, 0.0)
    (fault,) = found(with_first(calm(60), hot))
    assert (fault["kind"], fault["open"]) == (MOVED, False)
    assert day_of(fault["start"]) == pytest.approx(ONSET + 0.25, abs=0.1)
    assert day_of(fault["end"]) == pytest.approx(50.0, abs=0.1)
    assert fault["a"] == pytest.approx(9.0, abs=0.3)


def test_a_cold_room_that_is_mended_has_not_moved() -> None:
    """It leaps up as far as one on a radiator, but only to where the others are."""
    cold = np.where(hours(60) < ONSET + 0.25, -6.0, 0.0)
    assert len(found(with_first(calm(60), cold))) == 0


WORLD = with_first(calm(75), sill_k(75, ends=40.3) + 0.25 * np.clip(hours(75) - 45.0, 0.0, None))
"""Moved, back, and then drifting, until a new row of the register comes."""
WORLD_ROWS, WORLD_LINE = rows_of(WORLD), timeline_of(register_of(ROOMS, second_row=72), 75)
AT_ONCE = found(WORLD, register_of(ROOMS, second_row=72))


def test_the_world_of_the_cuts_has_faults_of_both_kinds() -> None:
    assert AT_ONCE["kind"].tolist() == [MOVED, DRIFT]
    assert not AT_ONCE["open"].any()


def between(rows: PointRows, after_ms: int, until_ms: int) -> PointRows:
    kept = (rows.time_ms > after_ms) & (rows.time_ms <= until_ms)
    code = np.repeat(np.arange(len(rows.first) - 1, dtype=np.int32), np.diff(rows.first))
    return by_point(code[kept], rows.time_ms[kept], rows.temp_c[kept], len(rows.first) - 1)


@settings(max_examples=25, deadline=None)
@given(cuts=st.sets(st.integers(START_MS - DAY_MS, START_MS + 75 * DAY_MS), max_size=12), room=st.integers(12, 14))
def test_cut_anywhere_and_carried_on_the_same_is_found(cuts: set[int], room: int) -> None:
    """Each part gets its own rows only, and what is remembered is all that goes from one to the next."""
    members, state = neighbours.fresh_members(WORLD_LINE)
    ended: list[Records] = []
    edges = [START_MS - 2 * DAY_MS, *sorted(cuts), START_MS + 75 * DAY_MS]
    for after_ms, until_ms in pairwise(edges):
        members = neighbours.copy_of(members)
        part = between(WORLD_ROWS, after_ms, until_ms)
        ended.append(watch(WORLD_LINE, members, state, part, until_ms, room))
    assert np.concatenate([*ended, neighbours.still_open(members)]).tobytes() == AT_ONCE.tobytes()


def test_looking_ahead_changes_nothing() -> None:
    members, state = neighbours.fresh_members(WORLD_LINE)
    watch(WORLD_LINE, members, state, WORLD_ROWS, START_MS + 30 * DAY_MS)
    kept = [column.copy() for column in neighbours.remembered(members)]
    watch(WORLD_LINE, neighbours.copy_of(members), state.copy(), WORLD_ROWS, START_MS + 75 * DAY_MS)
    assert all(
        now.tobytes() == before.tobytes() for now, before in zip(neighbours.remembered(members), kept, strict=True)
    )


@pytest.mark.parametrize("silent_days", [3, 100, 4_000])
def test_years_of_silence_cost_nothing_and_end_nothing(silent_days: int) -> None:
    first = rows_of(drifted(60, 0.3))
    later_ms = START_MS + (60 + silent_days) * DAY_MS
    again = rows_of(calm(3))
    parts: Sequence[tuple[PointRows, int]] = ((first, 0), (again, later_ms - START_MS))
    code = np.concatenate([np.repeat(np.arange(ROOMS, dtype=np.int32), np.diff(rows.first)) for rows, _ in parts])
    time_ms = np.concatenate([rows.time_ms + shift for rows, shift in parts])
    temp_c = np.concatenate([rows.temp_c for rows, _ in parts])
    timeline = timeline_of(register_of(ROOMS), 60 + silent_days + 3)
    members, state = neighbours.fresh_members(timeline)
    rows = by_point(code, time_ms, temp_c, ROOMS)
    ended = watch(timeline, members, state, rows, later_ms - HOUR_MS)
    assert (len(ended), len(neighbours.still_open(members))) == (0, 1)
    (fault,) = watch(timeline, members, state, rows, later_ms + 3 * DAY_MS)
    assert fault["kind"] == DRIFT
    assert fault["end"] == later_ms
