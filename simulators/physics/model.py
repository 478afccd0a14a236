"""A town's rooms, radiators and stations moved on together: what is true at any moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from heatwatch.domain.instants import DAY_MS, HOUR_MS, SECOND_MS
from heatwatch.domain.register import PointRow
from simulators.arrays import Bool, Float64, Int64
from simulators.physics.building import Fabric, Network, Pair, Response
from simulators.physics.plant import Demand, Stations, StationState
from simulators.physics.radiators import AIR_SHARE, PEOPLE_AIR_SHARE, SUN_AIR_SHARE, Radiators, Steadiness, settled_c
from simulators.physics.sun import Site, on_sides_w_m2
from simulators.physics.weather import Outdoors
from simulators.towns.events import Action, Event

INTERVALS_PER_BLOCK = 48
LONGEST_STEP_S = 900.0
_BLOCKS_PER_CHECKPOINT = 32
_STREAM_WINDOWS = 7
_VALVE_S = 1_200.0
_RADIATOR_S = 1_800.0
_OPEN_S = (8.0 * 60.0, 25.0 * 60.0)
_PEOPLE_PCT = "80 70 70 70 70 80 100 110 90 80 90 110 110 90 80 80 90 110 140 150 150 140 120 100"
_PEOPLE_BY_HOUR = np.array(_PEOPLE_PCT.split(), dtype=np.float64)
_AWAKE_H = (6.5, 22.0)
_WARM_ENOUGH_C = 12.0
_TOO_COLD_C = -15.0


@dataclass(frozen=True, slots=True)
class Habits:
    """What people do in their rooms.

    Attributes
    ----------
    people_w : shape (rooms,)
        What people and appliances bring on the mean of a day [W].
    opens_per_day : shape (rooms,)
        How often a day a window is opened when it is mild outdoors; in frost a tenth of it.
    utc_offset_h
        Local time less UTC [h].
    """

    people_w: Float64
    opens_per_day: Float64
    utc_offset_h: float = 8.0

    def presence(self, time_ms: Int64) -> Float64:
        """Return what people bring as a multiple of the day's mean, shape (n,), at instants [ms], shape (n,)."""
        hour = self._hour(time_ms)
        result: Float64 = np.interp(hour, np.arange(24), _PEOPLE_BY_HOUR / _PEOPLE_BY_HOUR.mean(), period=24)
        return result

    def eagerness(self, time_ms: Int64, outdoor_c: Float64) -> Float64:
        """Return how readily windows are opened, as a share of `opens_per_day`: none by night, few in frost."""
        hour = self._hour(time_ms)
        mild = np.clip((outdoor_c - _TOO_COLD_C) / (_WARM_ENOUGH_C - _TOO_COLD_C), 0.1, 1.0)
        awake = (hour >= _AWAKE_H[0]) & (hour < _AWAKE_H[1])
        result: Float64 = np.where(awake, mild * 24.0 / (_AWAKE_H[1] - _AWAKE_H[0]), 0.0)
        return result

    def _hour(self, time_ms: Int64) -> Float64:
        result: Float64 = (time_ms / HOUR_MS + self.utc_offset_h) % 24.0
        return result


@dataclass(frozen=True, slots=True)
class Physics:
    """All that a town's temperatures depend on but weather and events."""

    fabric: Fabric
    radiators: Radiators
    stations: Stations
    habits: Habits
    site: Site


@dataclass(frozen=True, slots=True)
class State:
    """What a step begins with.

    Attributes
    ----------
    air_c, mass_c : shape (rooms,)
        Temperatures [degC].
    opening : shape (rooms,)
        How far thermostatic valves are open, 0 to 1; they follow the air within 20 min.
    warm_w : shape (rooms,)
        What the radiators give to the rooms [W]: what they take from the water, half an hour later, since water and
        iron hold heat.
    open_s : shape (rooms,)
        How much longer a window stays open [s].
    stations
        Supply, return and flow.
    """

    air_c: Float64
    mass_c: Float64
    opening: Float64
    warm_w: Float64
    open_s: Float64
    stations: StationState


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive steps; arrays of shape (steps, rooms) or, the last three, (steps, stations).

    Attributes
    ----------
    air_c, mass_c
        Temperatures at the beginning of each step [degC].
    air_goal_c, mass_goal_c
        What they move towards during it [degC].
    airy
        Whether a window is open during it.
    heat_w
        What the radiators give [W].
    supply_c, return_c, flow_m3_h
        Water at the stations at its beginning [degC], and the flow that led to it [m3/h].
    after
        The state at the end of the last step.
    """

    air_c: Float64
    mass_c: Float64
    air_goal_c: Float64
    mass_goal_c: Float64
    airy: Bool
    heat_w: Float64
    supply_c: Float64
    return_c: Float64
    flow_m3_h: Float64
    after: State

    @classmethod
    def empty(cls, steps: int, rooms: int, stations: int, after: State) -> Block:
        """Return one to be filled."""
        air_c, mass_c, air_goal_c, mass_goal_c, heat_w = np.empty((5, steps, rooms))
        supply_c, return_c, flow_m3_h = np.empty((3, steps, stations))
        airy = np.zeros((steps, rooms), dtype=np.bool_)
        return cls(air_c, mass_c, air_goal_c, mass_goal_c, airy, heat_w, supply_c, return_c, flow_m3_h, after)


@dataclass(frozen=True, slots=True)
class _Concerned:
    """An event, and whom it concerns."""

    event: Event
    rooms: Int64
    stations: Bool


@dataclass(frozen=True, slots=True)
class _Forcing:
    """What is imposed on the steps of a block: arrays of shape (steps,), (steps, 4) and (steps, rooms)."""

    outdoor_c: Float64
    presence: Float64
    sun_w_m2: Float64
    opens: Float64
    actions: Sequence[tuple[_Concerned, Action]]


class RoomModel:
    """Temperatures of all rooms at any moment from `start_ms` on.

    Parameters
    ----------
    physics, weather
        The town, and what is outdoors.
    events
        What happens to it.
    points
        The register: one row a room, by which events find whom they concern.
    start_ms
        Origin [ms]: the rooms start as they are when nothing has changed for long.
    interval_s
        Time between two readings [s].
    seed
        Of what people do when.

    Notes
    -----
    A step is the interval, or an equal part of it of at most 15 min. What is outdoors, what radiators and neighbours
    give, and whether windows are open is constant during a step. States are computed in blocks of 48 intervals from
    the origin on, so that the same moment has the same bits in whatever order moments are asked for; every 32nd block
    is remembered. Steps of the last block that lie where the weather has ended are of no use, and nobody is told them.
    """

    def __init__(
        self,
        physics: Physics,
        weather: Outdoors,
        events: Sequence[Event],
        points: Sequence[PointRow],
        *,
        start_ms: int,
        interval_s: int,
        seed: int,
    ) -> None:
        self.physics, self.weather, self.start_ms, self._seed = physics, weather, start_ms, seed
        self.interval_ms = interval_s * SECOND_MS
        self.block_ms = self.interval_ms * INTERVALS_PER_BLOCK
        self.parts = -int(-interval_s // LONGEST_STEP_S)
        self.step_s = interval_s / self.parts
        self._network = Network(physics.fabric, self.step_s)
        self._concerned = tuple(_concerned(event, points, physics.stations) for event in events)
        self._starts: dict[int, State] = {0: self._origin()}
        self._latest: tuple[int, Block] | None = None

    def block(self, index: int) -> Block:
        """Return the `index`-th block of 48 intervals after the origin."""
        if self._latest is not None and self._latest[0] == index:
            return self._latest[1]
        at, state = self._nearest_start(index)
        while True:
            block = self._advance(at, state)
            at, state = at + 1, block.after
            if at % _BLOCKS_PER_CHECKPOINT == 0:
                self._starts[at] = state
            if at > index:
                self._latest = (index, block)
                return block

    def at(self, time_ms: Int64) -> Float64:
        """Return the true room temperatures.

        Parameters
        ----------
        time_ms : shape (n,)
            Instants [ms], none before the origin, in any order.

        Returns
        -------
        shape (n, rooms)
            Temperatures of the air [degC].

        Raises
        ------
        ValueError
            If an instant lies before the origin.
        BadInput
            If one lies where the weather says nothing.
        """
        result = np.empty((time_ms.size, self.physics.fabric.rooms))
        for here, block, step, rest_s in self._located(time_ms):
            result[here] = self._within(block, step[:, None], np.arange(result.shape[1]), rest_s[:, None])
        return result

    def sampled(self, index: int, offset_ms: Int64) -> Float64:
        """Return the temperature of each room at its own moment of each interval of a block.

        Parameters
        ----------
        index
            Number of the block.
        offset_ms : shape (rooms,) or (48, rooms)
            How long after the beginning of an interval each room is asked [ms], less than an interval.

        Returns
        -------
        shape (48, rooms)
            Temperatures of the air [degC].
        """
        part, rest_s = np.divmod(offset_ms / SECOND_MS, self.step_s)
        step = np.arange(INTERVALS_PER_BLOCK)[:, None] * self.parts + part.astype(np.int64)
        return self._within(self.block(index), step, np.arange(offset_ms.shape[-1]), rest_s)

    def supply(self, time_ms: Int64) -> tuple[Float64, Float64, Float64]:
        """Return supply and return [degC] and flow [m3/h] of the stations at instants [ms]: each (n, stations).

        What the step in which an instant lies began with is told.
        """
        supply_c, return_c, flow_m3_h = (np.empty((time_ms.size, len(self.physics.stations.names))) for _ in range(3))
        for here, block, step, _ in self._located(time_ms):
            supply_c[here], return_c[here] = block.supply_c[step], block.return_c[step]
            flow_m3_h[here] = block.flow_m3_h[step]
        return supply_c, return_c, flow_m3_h

    def _located(self, time_ms: Int64) -> list[tuple[Bool, Block, Int64, Float64]]:
        """Return, block by block, which instants lie in it, and in which step, how far after its beginning [s]."""
        since_ms = time_ms - self.start_ms
        if since_ms.size and int(since_ms.min()) < 0:
            msg = "the rooms have no temperature before the town's start"
            raise ValueError(msg)
        self.weather.outdoor_c(time_ms)
        indices = since_ms // self.block_ms
        found = []
        for index in np.unique(indices).tolist():
            here = indices == index
            step, rest_s = np.divmod((since_ms[here] - index * self.block_ms) / SECOND_MS, self.step_s)
            found.append((here, self.block(index), step.astype(np.int64), rest_s))
        return found

    def _within(self, block: Block, step: Int64, room: Int64, rest_s: Float64) -> Float64:
        goal_c = block.air_goal_c[step, room]
        before = (block.air_c[step, room] - goal_c, block.mass_c[step, room] - block.mass_goal_c[step, room])
        shut = Response.of(self.physics.fabric, rest_s).keep
        result: Float64 = goal_c + shut[0] * before[0] + shut[1] * before[1]
        airy = block.airy[step, room]
        if airy.any():
            wide = Response.of(self.physics.fabric, rest_s, open_windows=True).keep
            result = np.where(airy, goal_c + wide[0] * before[0] + wide[1] * before[1], result)
        return result

    def _nearest_start(self, index: int) -> tuple[int, State]:
        if self._latest is not None and self._latest[0] < index:
            return self._latest[0] + 1, self._latest[1].after
        at = max(start for start in self._starts if start <= index)
        return at, self._starts[at]

    def _origin(self) -> State:
        """Return the state at the start: steady, as events make it that had begun before."""
        p = self.physics
        outdoor_c = float(self.weather.outdoor_c(np.array([self.start_ms], dtype=np.int64))[0])
        flow: Float64 = np.ones(p.fabric.rooms)
        for concerned in self._concerned:
            if concerned.event.start_ms < self.start_ms:
                flow[concerned.rooms] *= concerned.event.act(np.array([self.start_ms], dtype=np.int64)).flow[0]
        stations = p.stations.start(outdoor_c)
        steadiness = Steadiness(outdoor_c, float(stations.supply_c[0]), p.habits.people_w)
        radiators = replace(p.radiators, flow_w_k=p.radiators.flow_w_k * flow)
        air_c, mass_c = settled_c(radiators, p.fabric, steadiness)
        opening = p.radiators.opening(air_c)
        heat_w = p.radiators.heat_w(stations.supply_c[p.stations.of_room], air_c, flow * opening)
        flow_w_k = p.stations.totals(p.radiators.flow_w_k * flow * opening)
        return_c = stations.supply_c - p.stations.totals(heat_w) / np.maximum(flow_w_k, 1.0)
        stations = replace(stations, return_c=return_c, flow_w_k=flow_w_k)
        return State(air_c, mass_c, opening, heat_w, np.zeros(p.fabric.rooms), stations)

    def _advance(self, index: int, state: State) -> Block:
        forcing = self._forcing(index)
        steps = forcing.outdoor_c.size
        block = Block.empty(steps, self.physics.fabric.rooms, len(self.physics.stations.names), state)
        for step in range(steps):
            state = self._step(state, forcing, step, block)
        return replace(block, after=state)

    def _forcing(self, index: int) -> _Forcing:
        steps, step_ms = INTERVALS_PER_BLOCK * self.parts, self.step_s * SECOND_MS
        first_ms = self.start_ms + index * self.block_ms
        middle_ms = first_ms + ((np.arange(steps) + 0.5) * step_ms).astype(np.int64)
        known_ms = np.minimum(middle_ms, self.weather.until_ms)
        habits, outdoor_c = self.physics.habits, self.weather.outdoor_c(known_ms)
        rng = np.random.default_rng([self._seed, _STREAM_WINDOWS, index])
        eager = habits.eagerness(middle_ms, outdoor_c) * step_ms / DAY_MS
        acting = [(concerned, concerned.event.act(middle_ms)) for concerned in self._concerned]
        return _Forcing(
            outdoor_c=outdoor_c,
            presence=habits.presence(middle_ms),
            sun_w_m2=on_sides_w_m2(middle_ms, self.weather.cloudiness(known_ms), self.physics.site),
            opens=_lengths(rng.random((steps, self.physics.fabric.rooms)), eager[:, None] * habits.opens_per_day),
            actions=[(concerned, action) for concerned, action in acting if not action.idle],
        )

    def _step(self, state: State, forcing: _Forcing, step: int, block: Block) -> State:
        p, outdoor_c = self.physics, float(forcing.outdoor_c[step])
        flow, demand = self._acted_upon(state, forcing, step)
        taken_w = p.radiators.heat_w(state.stations.supply_c[p.stations.of_room], state.air_c, flow)
        demand = replace(demand, heat_w=p.stations.totals(taken_w))
        heat_w, warm_w = _given(state.warm_w, taken_w, self.step_s)
        open_s = np.maximum(state.open_s, forcing.opens[step])
        airy = open_s > 0.0
        gains = self.gains_w(state.air_c, heat_w, forcing.presence[step], forcing.sun_w_m2[step])
        (air_c, mass_c), goal_c = self._network.step((state.air_c, state.mass_c), outdoor_c, gains, airy)
        block.air_c[step], block.mass_c[step] = state.air_c, state.mass_c
        block.air_goal_c[step], block.mass_goal_c[step] = goal_c
        block.airy[step], block.heat_w[step] = airy, heat_w
        block.supply_c[step], block.return_c[step] = state.stations.supply_c, state.stations.return_c
        block.flow_m3_h[step] = state.stations.flow_m3_h
        return State(
            air_c=air_c,
            mass_c=mass_c,
            opening=self._opened(state),
            warm_w=warm_w,
            open_s=np.maximum(open_s - self.step_s, 0.0),
            stations=p.stations.step(state.stations, demand, outdoor_c, self.step_s),
        )

    def gains_w(self, air_c: Float64, heat_w: Float64, presence: float, sun_w_m2: Float64) -> Pair:
        """Return what air and mass get but from outdoors [W], each of shape (rooms,).

        Parameters
        ----------
        air_c, heat_w : shape (rooms,)
            Air [degC], and what radiators give [W].
        presence
            What people bring as a multiple of the day's mean.
        sun_w_m2 : shape (4,)
            Irradiance on the sides of a house [W/m2].
        """
        p = self.physics
        people_w = p.habits.people_w * presence
        sun_w = p.fabric.sun_m2 * sun_w_m2[p.fabric.side]
        air_w = AIR_SHARE * heat_w + PEOPLE_AIR_SHARE * people_w + SUN_AIR_SHARE * sun_w
        return air_w + p.fabric.exchange_w(air_c), heat_w + people_w + sun_w - air_w

    def _acted_upon(self, state: State, forcing: _Forcing, step: int) -> tuple[Float64, Demand]:
        """Return each room's share of its flow, and what stations are asked, but for the heat."""
        stations = self.physics.stations
        flow, count = state.opening.copy(), len(stations.names)
        capacity, supply, lowered_k = np.ones(count), np.ones(count), np.zeros(count)
        for concerned, action in forcing.actions:
            flow[concerned.rooms] *= action.flow[step]
            capacity[concerned.stations] *= action.capacity[step]
            supply[concerned.stations] *= action.supply[step]
            lowered_k[concerned.stations] += action.lowered_k[step]
        flow_w_k = stations.totals(self.physics.radiators.flow_w_k * flow)
        return flow, Demand(np.zeros(count), flow_w_k, capacity, supply, lowered_k)

    def _opened(self, state: State) -> Float64:
        goal = self.physics.radiators.opening(state.air_c)
        result: Float64 = goal + (state.opening - goal) * float(np.exp(-self.step_s / _VALVE_S))
        return result


def _concerned(event: Event, points: Sequence[PointRow], stations: Stations) -> _Concerned:
    rooms = np.flatnonzero(event.subject.among(points))
    here = np.zeros(len(stations.names), dtype=np.bool_)
    if event.needs_station:
        here[stations.of_room[rooms]] = True
    return _Concerned(event, rooms, here)


def _given(warm_w: Float64, taken_w: Float64, step_s: float) -> Pair:
    """Return what radiators give on the mean of a step and at its end [W], taking `taken_w`; the rest they keep.

    A radiator that holds `_RADIATOR_S` times what it gives, and gives what it holds as an exponential.
    """
    keep = float(np.exp(-step_s / _RADIATOR_S))
    mean_keep = (1.0 - keep) * _RADIATOR_S / step_s
    return taken_w + (warm_w - taken_w) * mean_keep, taken_w + (warm_w - taken_w) * keep


def _lengths(chance: Float64, share: Float64) -> Float64:
    """Return for how long windows are opened [s], 0 where they are not; `chance` is between 0 and 1."""
    shortest, longest = _OPEN_S
    opened = chance < share
    lasts_s = shortest + (longest - shortest) * chance / np.where(opened, share, 1.0)
    result: Float64 = np.where(opened, lasts_s, 0.0)
    return result
