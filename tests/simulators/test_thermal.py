"""Rooms warm and cool by the closed form, whenever they are asked."""

from __future__ import annotations

import numpy as np
import pytest

from heatwatch.domain.instants import DAY_MS, HOUR_MS
from simulators.thermal import NoHeat, RoomModel, Rooms
from simulators.weather import Weather, WeatherSettings

STEADY_WEATHER = WeatherSettings(mean_c=-8.0, daily_k=0.0, slow_k=0.0)
START_MS = 1_768_176_000_000
HOURS = np.array([25.0, 60.0, 120.0])
LEVELS = np.array([21.0, 20.0, 22.5])
GAINS = np.array([3.0, 2.0, 4.0])


def model(stops: list[NoHeat], weather: WeatherSettings = STEADY_WEATHER, step_s: int = 300) -> RoomModel:
    rooms = Rooms(HOURS * 3600.0, HOURS * 1800.0, LEVELS, GAINS, droop=0.02, design_c=-8.0)
    return RoomModel(rooms, Weather(1, weather), stops, start_ms=START_MS, step_s=step_s)


def without_heat(from_h: float, to_h: float) -> NoHeat:
    return NoHeat(np.ones(3, dtype=np.bool_), START_MS + round(from_h * HOUR_MS), START_MS + round(to_h * HOUR_MS))


def test_a_room_without_heat_cools_with_its_own_time_constant() -> None:
    time_ms = START_MS + np.array([2 * HOUR_MS, 5 * HOUR_MS + 1_234, 11 * HOUR_MS + 777_777], dtype=np.int64)
    elapsed_h = ((time_ms - START_MS) / HOUR_MS - 2.0)[:, None]
    floor_c = -8.0 + GAINS
    expected = floor_c + (LEVELS - floor_c) * np.exp(-elapsed_h / HOURS)
    np.testing.assert_allclose(model([without_heat(2, 12)]).at(time_ms), expected, rtol=1e-12)


def test_with_heat_again_it_returns_to_its_level_faster_than_it_fell() -> None:
    time_ms = START_MS + np.array([12, 22, 24 * 60], dtype=np.int64) * HOUR_MS
    coldest, later, at_last = model([without_heat(2, 12)]).at(time_ms)
    np.testing.assert_allclose(LEVELS - later, (LEVELS - coldest) * np.exp(-10.0 / (HOURS / 2.0)), rtol=1e-9)
    np.testing.assert_allclose(at_last, LEVELS, atol=1e-4)


def test_the_length_of_the_step_does_not_matter_while_the_forcing_is_constant() -> None:
    time_ms = START_MS + np.arange(0, 20 * HOUR_MS, 700_001, dtype=np.int64)
    stops = [without_heat(2, 12)]
    np.testing.assert_allclose(model(stops, step_s=60).at(time_ms), model(stops, step_s=1800).at(time_ms), rtol=1e-11)


def test_a_moment_has_the_same_bits_in_whatever_order_it_is_asked_for() -> None:
    time_ms = START_MS + np.array([3 * HOUR_MS, 70 * HOUR_MS, 40 * HOUR_MS, 300 * HOUR_MS, HOUR_MS], dtype=np.int64)
    asked_once = model([without_heat(2, 12)], WeatherSettings())
    together = asked_once.at(time_ms)
    one_by_one = [asked_once.at(time_ms[i : i + 1])[0] for i in (3, 1, 0, 4, 2)]
    np.testing.assert_array_equal(together[[3, 1, 0, 4, 2]], one_by_one)


def test_there_is_no_temperature_before_the_origin() -> None:
    with pytest.raises(ValueError, match="before the town's start"):
        model([]).at(np.array([START_MS - 1], dtype=np.int64))


def test_weather_is_a_function_of_time_and_seed() -> None:
    time_ms = START_MS + np.arange(0, 30 * DAY_MS, HOUR_MS, dtype=np.int64)
    outdoor_c = Weather(1).outdoor_c(time_ms)
    np.testing.assert_array_equal(Weather(1).outdoor_c(time_ms[17:101]), outdoor_c[17:101])
    assert not np.array_equal(Weather(2).outdoor_c(time_ms), outdoor_c)
    assert -8.0 - 6.5 <= outdoor_c.min() < -11.0
    assert -5.0 < outdoor_c.max() <= -8.0 + 6.5
