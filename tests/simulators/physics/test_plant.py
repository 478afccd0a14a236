"""Stations and radiators: what is supplied, what is taken, what comes back."""

from __future__ import annotations

import numpy as np
import pytest

from heatwatch.domain.instants import DAY_MS, HOUR_MS
from simulators.physics.plant import WATER_W_H_M3K, Demand, Stations, StationState
from simulators.physics.radiators import Curve, Radiators
from simulators.physics.weather import ColdSnap, Weather, WeatherSettings
from simulators.towns.events import STATION, BoilerTrip, PumpFailure, Subject, WeakStation
from tests.simulators.houses import START_MS, model_of, town_of

STILL = WeatherSettings(daily_k=0.0, slow_k=0.0, cloud_share=1.0)
ONE = np.ones(1)


def station(capacity_w: float = 1e9) -> Stations:
    return Stations(("S1",), np.zeros(4, dtype=np.int64), 5_000.0 * ONE, capacity_w * ONE, Curve())


def settle(plant: Stations, demand: Demand, outdoor_c: float, hours: float = 48.0) -> StationState:
    state = plant.start(outdoor_c)
    for _ in range(round(hours * 12)):
        state = plant.step(state, demand, outdoor_c, 300.0)
    return state


def taking(heat_w: float, flow_w_k: float = 5_000.0, capacity: float = 1.0, supply: float = 1.0) -> Demand:
    return Demand(heat_w * ONE, flow_w_k * ONE, capacity * ONE, supply * ONE, 0.0 * ONE)


class TestRadiators:
    """What a radiator gives."""

    @staticmethod
    def four() -> Radiators:
        no = np.zeros(4, dtype=np.bool_)
        return Radiators(np.full(4, 12.0), np.array([200.0, 50.0, 10.0, 50.0]), np.zeros(4, np.int64), no, np.ones(4))

    def test_water_comes_back_between_supply_and_room(self) -> None:
        radiators, everything = self.four(), np.array([1.0, 1.0, 1.0, 0.0])
        heat_w = radiators.heat_w(np.full(4, 60.0), np.full(4, 20.0), everything)
        return_c = 60.0 - heat_w[:3] / radiators.flow_w_k[:3]
        assert (np.diff(return_c) < 0.0).all()
        assert ((return_c > 20.0) & (return_c < 60.0)).all()
        assert (np.diff(heat_w[:3]) < 0.0).all()
        assert heat_w[3] == 0.0

    def test_heat_goes_with_the_exponent_of_the_excess(self) -> None:
        """With plenty of water the mean of it is near the supply: twice the excess gives 2^1.3 the heat."""
        radiators = Radiators(np.ones(1), np.full(1, 1e6), np.zeros(1, np.int64), np.zeros(1, np.bool_), np.ones(1))
        once, twice = (radiators.heat_w(np.full(1, 20.0 + k), np.full(1, 20.0), ONE)[0] for k in (20.0, 40.0))
        assert twice / once == pytest.approx(2.0**1.3, rel=1e-4)

    def test_cold_water_takes_nothing_from_a_room(self) -> None:
        assert (self.four().heat_w(np.full(4, 15.0), np.full(4, 20.0), np.ones(4)) == 0.0).all()

    def test_valves_shut_over_their_band(self) -> None:
        valve = np.array([True, True, True, True, False])
        radiators = Radiators(np.ones(5), np.ones(5), np.zeros(5, np.int64), valve, np.full(5, 21.0))
        np.testing.assert_allclose(
            radiators.opening(np.array([19.0, 20.5, 21.0, 23.0, 30.0])), [1.0, 0.75, 0.5, 0.0, 1.0]
        )

    def test_rooms_with_valves_are_no_warmer_than_they_let_them_be(self) -> None:
        town = town_of(240, 24, opens=0.0)
        radiators = town.model.physics.radiators
        night_ms = town.start_ms + 5 * DAY_MS + np.arange(11, 20, dtype=np.int64) * HOUR_MS
        warmth = town.temperatures_c(night_ms)
        assert (warmth - radiators.valve_c)[:, radiators.valve].max() < 2.0
        assert (warmth[:, radiators.valve]).mean() < warmth[:, ~radiators.valve].mean()


class TestStation:
    """Supply, return and flow."""

    @pytest.mark.parametrize("outdoor_c", [-18.0, -8.0, 0.0, 10.0])
    def test_supply_settles_on_the_curve_and_return_balances(self, outdoor_c: float) -> None:
        plant = station()
        state = settle(plant, taking(60_000.0), outdoor_c)
        assert state.supply_c[0] == pytest.approx(Curve().aim_c(np.array([outdoor_c]))[0])
        assert (state.supply_c - state.return_c)[0] == pytest.approx(12.0)
        assert state.flow_m3_h[0] == pytest.approx(5_000.0 / WATER_W_H_M3K)

    def test_the_curve_falls_with_warmth_between_its_limits(self) -> None:
        aim_c = Curve().aim_c(np.linspace(-40.0, 30.0, 71))
        assert (np.diff(aim_c) <= 0.0).all()
        assert (aim_c[0], aim_c[-1]) == (72.0, 28.0)
        assert Curve().aim_c(np.array([-18.0]))[0] == 65.0

    def test_it_follows_the_weather_late(self) -> None:
        plant = station()
        state, aim_c = plant.start(0.0), Curve().aim_c(np.array([-10.0]))[0]
        first_c, done = state.supply_c[0], []
        for _ in range(12 * 8):
            state = plant.step(state, taking(0.0), -10.0, 300.0)
            done.append((state.supply_c[0] - first_c) / (aim_c - first_c))
        assert 0.15 < done[11] < 0.45
        assert done[-1] > 0.95
        assert (np.diff(done) > 0.0).all()

    def test_at_its_limit_it_adds_what_it_has(self) -> None:
        state = settle(station(30_000.0), taking(30_000.0), -18.0)
        assert state.supply_c[0] <= 65.0
        weak = settle(station(30_000.0), taking(29_000.0), -18.0, hours=2.0)
        assert weak.supply_c[0] - weak.return_c[0] == pytest.approx(5.8, abs=0.01)
        lower = settle(station(30_000.0), taking(40_000.0), -18.0, hours=2.0)
        assert lower.supply_c[0] < 60.0

    def test_water_that_stands_cools(self) -> None:
        state = settle(station(), taking(0.0, flow_w_k=100.0), -8.0, hours=6.0)
        started_c = Curve().aim_c(np.array([-8.0]))[0]
        assert state.supply_c[0] == pytest.approx(20.0 + (started_c - 20.0) * np.exp(-1.0), rel=1e-9)

    def test_a_cold_loop_is_warmed_as_far_as_it_may(self) -> None:
        state = settle(station(), taking(0.0, supply=0.5), -18.0)
        assert state.supply_c[0] == pytest.approx(20.0 + 0.5 * 45.0)


class TestTown:
    """Stations with their rooms."""

    def test_what_rooms_take_is_what_the_water_loses(self) -> None:
        """Over some steady days the heat of the rooms is flow times the difference, since radiators keep nothing."""
        town = town_of(opens=0.0)
        blocks = [model_of(town, weather=Weather(1, STILL)).block(index) for index in range(24, 30)]
        water_w = sum((b.flow_m3_h * WATER_W_H_M3K * (b.supply_c - b.return_c)).sum() for b in blocks)
        rooms_w = sum(b.heat_w.sum() for b in blocks)
        assert water_w == pytest.approx(rooms_w, rel=0.01)

    def test_a_tripped_boiler_s_loop_cools_to_the_rooms_and_comes_back(self) -> None:
        town = town_of(opens=0.0)
        trip = BoilerTrip(Subject(STATION, "S1"), START_MS + 6 * HOUR_MS, START_MS + 14 * HOUR_MS)
        model = model_of(town, [trip])
        hours = START_MS + np.arange(0, 24, dtype=np.int64) * HOUR_MS
        supply_c, return_c, flow_m3_h = model.supply(hours)
        assert supply_c[6, 0] > 50.0
        assert supply_c[8, 0] < 35.0
        assert 15.0 < supply_c[13, 0] < 25.0
        assert supply_c[16, 0] > 45.0
        assert (flow_m3_h[6:14, 0] > 0.7 * flow_m3_h[0, 0]).all()
        assert supply_c[5:23, 1].min() > 48.0
        assert (supply_c - return_c).min() > -0.5

    def test_a_pump_that_fails_leaves_no_flow(self) -> None:
        failure = PumpFailure(Subject(STATION, "S2"), START_MS + HOUR_MS, START_MS + 9 * HOUR_MS)
        flow_m3_h = model_of(town_of(), [failure]).supply(START_MS + np.arange(12, dtype=np.int64) * HOUR_MS)[2]
        assert flow_m3_h[3:9, 1].max() < 0.05 * flow_m3_h[0, 1]
        assert flow_m3_h[3:9, 0].min() > 0.7 * flow_m3_h[0, 0]

    def test_a_weak_station_fails_in_a_cold_snap_only(self) -> None:
        town = town_of(opens=0.0)
        snap = ColdSnap(START_MS + 2 * DAY_MS, START_MS + 6 * DAY_MS, 9.0)
        weather = Weather(1, WeatherSettings(daily_k=0.0, slow_k=0.0, snaps=(snap,), cloud_share=1.0))
        weak = WeakStation(Subject(STATION, "S1"), START_MS, START_MS + 10 * DAY_MS, has=0.72)
        strong_c, weak_c = (
            model_of(town, events, weather).at(START_MS + np.array([36, 130], dtype=np.int64) * HOUR_MS)
            for events in ([], [weak])
        )
        first = town.model.physics.stations.of_room == 0
        np.testing.assert_array_equal(weak_c[:, ~first], strong_c[:, ~first])
        assert np.abs(strong_c - weak_c)[0, first].max() < 0.3
        assert (strong_c - weak_c)[1, first].mean() > 1.0
