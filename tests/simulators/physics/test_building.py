"""Rooms of two heat stores: exact, balanced, and cold where an engineer expects it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS
from simulators.arrays import Float64
from simulators.physics.building import COOLING_H, Network, Response, locate
from simulators.physics.radiators import Steadiness, settled_c
from simulators.towns.day_plot import building_day
from simulators.towns.events import STATION, BoilerTrip, Subject
from simulators.towns.layout import plan
from tests.simulators.houses import fabric, model_of, place, town_of

DAY_STEPS = 288
STEP_S = 300.0
NOWHERE_OPEN = np.zeros(144, dtype=np.bool_)


def start(seed: int = 3) -> tuple[Float64, Float64]:
    rng = np.random.default_rng(seed)
    return rng.uniform(10.0, 25.0, 144), rng.uniform(10.0, 25.0, 144)


class TestNetwork:
    """Air and mass of all rooms in exact steps."""

    def test_a_day_s_heat_is_stored_or_lost(self) -> None:
        """Radiators, people, sun and neighbours come in, windows open and shut: nothing is lost but to outdoors."""
        rooms, rng = fabric(), np.random.default_rng(5)
        network, first = Network(rooms, STEP_S), start()
        state, came_j, lost_j = first, np.zeros(144), np.zeros(144)
        for _ in range(DAY_STEPS):
            outdoor_c, airy = float(rng.uniform(-20.0, 5.0)), rng.random(144) < 0.05
            heat_w = (rng.uniform(0.0, 900.0, 144) + rooms.exchange_w(state[0]), rng.uniform(0.0, 900.0, 144))
            lost_j += network.lost_j(state, outdoor_c, heat_w, airy)
            came_j += (heat_w[0] + heat_w[1]) * STEP_S
            state, _ = network.step(state, outdoor_c, heat_w, airy)
        stored_j = rooms.air_j_k * (state[0] - first[0]) + rooms.mass_j_k * (state[1] - first[1])
        assert np.abs((came_j - lost_j - stored_j) / came_j).max() < 1e-9

    def test_a_room_without_heat_cools_as_the_sum_of_its_two_exponentials(self) -> None:
        rooms, outdoor_c = fabric(), -8.0
        network, (air_c, mass_c) = Network(rooms, STEP_S), start()
        state = (air_c, mass_c)
        for _ in range(DAY_STEPS):
            state, _ = network.step(state, outdoor_c, (np.zeros(144), np.zeros(144)), NOWHERE_OPEN)
        for at in range(0, 144, 13):
            between = rooms.air_mass_w_k[at]
            matrix = np.array(
                [
                    [-(rooms.air_out_w_k[at] + between) / rooms.air_j_k[at], between / rooms.air_j_k[at]],
                    [between / rooms.mass_j_k[at], -(rooms.mass_out_w_k[at] + between) / rooms.mass_j_k[at]],
                ]
            )
            rates, modes = np.linalg.eig(matrix)
            slow, fast = rooms.rates_per_s()
            np.testing.assert_allclose(np.sort(-rates), [slow[at], fast[at]], rtol=1e-9)
            parts = np.linalg.solve(modes, np.array([air_c[at], mass_c[at]]) - outdoor_c)
            expected = outdoor_c + modes @ (parts * np.exp(rates * DAY_STEPS * STEP_S))
            np.testing.assert_allclose([state[0][at], state[1][at]], expected, rtol=1e-10)

    def test_after_some_hours_the_slow_time_constant_is_left(self) -> None:
        rooms = fabric()
        first = Response.of(rooms, 12 * 3600.0).after((np.full(144, 20.0),) * 2, (np.zeros(144),) * 2)
        later = Response.of(rooms, 22 * 3600.0).after((np.full(144, 20.0),) * 2, (np.zeros(144),) * 2)
        np.testing.assert_allclose(10.0 / np.log(first[0] / later[0]), rooms.cooling_h(), rtol=1e-6)
        assert rooms.cooling_h().min() >= COOLING_H[0] * (1 - 1e-9)
        assert rooms.cooling_h().max() <= COOLING_H[1] * (1 + 1e-9)

    @pytest.mark.parametrize("minutes", [1, 15, 240, 10_000_000])
    def test_the_length_of_a_step_changes_nothing(self, minutes: int) -> None:
        """With constant outdoors and heat, one long step is many short ones."""
        rooms, heat_w = fabric(), (np.full(144, 300.0), np.full(144, 250.0))
        long = Network(rooms, minutes * 60.0).step(start(), -5.0, heat_w, NOWHERE_OPEN)[0]
        short, state = Network(rooms, minutes * 6.0), start()
        for _ in range(10):
            state, _ = short.step(state, -5.0, heat_w, NOWHERE_OPEN)
        np.testing.assert_allclose(long, state, rtol=1e-10)

    def test_an_open_window_cools_its_room_and_no_other(self) -> None:
        rooms, airy = fabric(), np.arange(144) == 7
        heat_w = (np.full(144, 300.0), np.full(144, 250.0))
        (shut, _), (wide, _) = (Network(rooms, STEP_S).step(start(), -5.0, heat_w, w)[0] for w in (NOWHERE_OPEN, airy))
        assert wide[7] < shut[7] - 0.1
        np.testing.assert_array_equal(np.delete(wide, 7), np.delete(shut, 7))

    def test_long_after_a_change_it_is_what_a_linear_solve_gives(self) -> None:
        rooms, rng = fabric(), np.random.default_rng(8)
        air_w, mass_w, outdoor_c = rng.uniform(0, 700, 144), rng.uniform(0, 700, 144), -12.0
        network, state = Network(rooms, 900.0), start()
        for _ in range(60 * 96):
            state, _ = network.step(state, outdoor_c, (air_w + rooms.exchange_w(state[0]), mass_w), NOWHERE_OPEN)
        matrix = np.zeros((288, 288))
        own = np.arange(144)
        matrix[own, own] = rooms.air_out_w_k + rooms.air_mass_w_k + rooms.party_w_k.sum(axis=0)
        matrix[own + 144, own + 144] = rooms.mass_out_w_k + rooms.air_mass_w_k
        matrix[own, own + 144] = matrix[own + 144, own] = -rooms.air_mass_w_k
        for neighbour, party_w_k in zip(rooms.neighbours, rooms.party_w_k, strict=True):
            np.add.at(matrix, (own, neighbour), -party_w_k)
        out_w = np.concatenate([rooms.air_out_w_k, rooms.mass_out_w_k]) * outdoor_c
        expected = np.linalg.solve(matrix, out_w + np.concatenate([air_w, mass_w]))
        np.testing.assert_allclose(np.concatenate(state), expected, rtol=1e-9, atol=1e-8)

    def test_what_a_neighbour_gives_the_other_gets_to_the_bit(self) -> None:
        rooms, air_c = fabric(), start()[0]
        flows: dict[tuple[int, int], float] = {}
        for neighbour, party_w_k in zip(rooms.neighbours, rooms.party_w_k, strict=True):
            heat_w = party_w_k * (air_c[neighbour] - air_c)
            flows |= {(at, int(other)): heat_w[at] for at, other in enumerate(neighbour) if other != at}
        assert len(flows) == 2 * 2 * (5 * 12 + 6 * 11)
        assert all(flows[b, a] == -heat_w for (a, b), heat_w in flows.items())
        assert abs(rooms.exchange_w(air_c).sum()) < 1e-9 * np.abs(rooms.exchange_w(air_c)).sum()


class TestPlace:
    """Which rooms are exposed."""

    def test_each_room_of_a_house_of_six_floors(self) -> None:
        here = place()
        assert int(here.corner.sum()) == 2 * 2 * 6
        assert int(here.top.sum()) == int(here.ground.sum()) == 2 * 12
        assert (here.building[here.neighbours] == here.building).all()

    def test_a_row_of_two_is_the_end_of_a_longer_house(self) -> None:
        where = plan(12, 12, 1)
        here = locate(where.building, where.unit, where.floor, where.flat)
        np.testing.assert_array_equal(here.corner, where.unit == 0)

    def test_exposed_and_far_rooms_are_the_cold_ones(self) -> None:
        town = town_of(720, 72, stations=1, opens=0.0)
        where, physics = plan(720, 72, 1), town.model.physics
        here = locate(where.building, where.unit, where.floor, where.flat)
        day_ms = town.start_ms + np.arange(DAY_MS, 3 * DAY_MS, HOUR_MS, dtype=np.int64)
        warmth = town.temperatures_c(day_ms).mean(axis=0)
        inner = ~(here.corner | here.top | here.ground)
        for exposed in (here.corner, here.top, here.ground):
            assert warmth[exposed].mean() < warmth[inner].mean() - 0.2
        near, middle, far = (warmth[inner & (where.distance == at)].mean() for at in range(3))
        assert near > middle > far + 0.3
        flow = physics.radiators.flow_w_k / physics.fabric.area_m2
        old = np.argsort(physics.fabric.air_out_w_k / physics.fabric.area_m2)
        assert flow[old[-100:]].mean() > flow[old[:100]].mean()


class TestModel:
    """Rooms, radiators and stations moved on together."""

    def test_a_day_s_heat_balances_in_the_town_too(self) -> None:
        """What radiators, people and sun bring in a day is what rooms store and lose: with all that feeds back."""
        town = town_of(opens=3.0)
        model, rooms = town.model, town.model.physics.fabric
        network, came_j, lost_j = Network(rooms, STEP_S), np.zeros(144), np.zeros(144)
        blocks = [model.block(index) for index in range(6)]
        for index, block in enumerate(blocks):
            forcing = model._forcing(index)
            for step in range(48):
                air_c, heat_w = block.air_c[step], block.heat_w[step]
                gains = model.gains_w(air_c, heat_w, float(forcing.presence[step]), forcing.sun_w_m2[step])
                state, outdoor_c = (air_c, block.mass_c[step]), float(forcing.outdoor_c[step])
                lost_j += network.lost_j(state, outdoor_c, gains, block.airy[step])
                sun_w = rooms.sun_m2 * forcing.sun_w_m2[step][rooms.side]
                people_w = model.physics.habits.people_w * forcing.presence[step]
                came_j += (heat_w + people_w + sun_w + rooms.exchange_w(air_c)) * STEP_S
        after = blocks[-1].after
        stored_j = rooms.air_j_k * (after.air_c - blocks[0].air_c[0])
        stored_j += rooms.mass_j_k * (after.mass_c - blocks[0].mass_c[0])
        assert any(block.airy.any() for block in blocks)
        assert np.abs((came_j - lost_j - stored_j) / came_j).max() < 1e-9
        assert abs((came_j - lost_j - stored_j).sum() / came_j.sum()) < 1e-9

    def test_within_a_step_the_way_is_exact_too(self) -> None:
        model = town_of().model
        edges_ms = model.start_ms + np.arange(1, 40, dtype=np.int64) * 5 * MINUTE_MS
        np.testing.assert_allclose(model.at(edges_ms - 1), model.at(edges_ms), atol=1e-4)
        offset_ms = np.arange(144, dtype=np.int64) * 2_000
        own = model.sampled(0, offset_ms)
        for room in (0, 50, 143):
            at_ms = model.start_ms + np.arange(48, dtype=np.int64) * 5 * MINUTE_MS + offset_ms[room]
            np.testing.assert_array_equal(own[:, room], model.at(at_ms)[:, room])

    def test_a_moment_has_the_same_bits_in_whatever_order_it_is_asked_for(self) -> None:
        hours = np.array([3, 70, 40, 300, 1], dtype=np.int64)
        time_ms = town_of().start_ms + hours * HOUR_MS + 77_777
        together, one_by_one = town_of().model.at(time_ms), town_of().model
        for at in (3, 1, 0, 4, 2):
            np.testing.assert_array_equal(one_by_one.at(time_ms[at : at + 1])[0], together[at])

    def test_there_is_no_temperature_before_the_origin(self) -> None:
        model = town_of().model
        with pytest.raises(ValueError, match="before the town's start"):
            model.at(np.array([model.start_ms - 1], dtype=np.int64))

    def test_it_begins_steady(self) -> None:
        """The state at the start is one that its own heat keeps."""
        physics = town_of().model.physics
        radiators = replace(physics.radiators, valve=np.zeros(144, dtype=np.bool_))
        steadiness = Steadiness(-8.0, 54.0, physics.habits.people_w)
        air_c, mass_c = settled_c(radiators, physics.fabric, steadiness)
        heat_w = radiators.heat_w(np.full(144, 54.0), air_c, np.ones(144))
        rooms = physics.fabric
        lost_w = rooms.air_out_w_k * (air_c + 8.0) + rooms.mass_out_w_k * (mass_c + 8.0)
        came_w = heat_w + physics.habits.people_w + rooms.exchange_w(air_c)
        np.testing.assert_allclose(lost_w, came_w, rtol=1e-6)

    def test_the_sun_warms_the_south_and_windows_are_opened_by_day(self) -> None:
        town = town_of(opens=4.0)
        side, model = town.model.physics.fabric.side, model_of(town)
        noon_ms = town.start_ms + 4 * HOUR_MS + np.arange(6, dtype=np.int64) * DAY_MS
        gain_k = model.at(noon_ms + 2 * HOUR_MS) - model.at(noon_ms - 3 * HOUR_MS)
        assert np.median(gain_k[:, side == 0]) > np.median(gain_k[:, side == 3]) + 0.15
        airy = np.concatenate([model.block(index).airy for index in range(12)]).mean(axis=1)
        hour = (np.arange(576) * 5 / 60 + 8.0) % 24.0
        assert airy[(hour > 23) | (hour < 6)].max() == 0.0
        assert 0.002 < airy[(hour > 8) & (hour < 21)].mean() < 0.1


def test_the_picture_of_a_day_shows_every_room_and_the_station() -> None:
    town = town_of(48, 24)
    trip = BoilerTrip(Subject(STATION, "S1"), town.start_ms + 2 * HOUR_MS, town.start_ms + 8 * HOUR_MS)
    rooms, water = building_day(town, "S1-B01", town.start_ms, trip)["vconcat"]
    lines = rooms["layer"][1]["data"]["values"]
    assert len(lines) == 24 * 289
    assert {line["distance"] for line in lines} == {"near", "middle", "far"}
    assert {line["exposed"] for line in lines} == {"inner", "exposed"}
    assert {one["what"] for one in water["layer"][1]["data"]["values"]} == {"supply", "return", "outdoors"}
    assert rooms["layer"][0]["data"]["values"] == [{"from": 2.0, "to": 8.0}]
