"""Rooms that warm and cool: one resistance, one capacitance, stepped exactly.

A room of heat capacity C that loses heat to outdoors over a conductance U, and takes heat from its radiator over
a conductance K, obeys ``C dT/dt = U (T_out - T) + K (T_water - T) + Q``. While the forcing is constant the
solution is an exponential towards a steady temperature: ``C/U`` is the time constant of the room without heat,
``C/(U + K)`` the shorter one with heat. Nothing is approximated by small differences, so that the size of a
step changes only how finely outdoor temperature and heat are followed.

References
----------
.. [1] P. Bacher, H. Madsen, "Identifying suitable models for the heat dynamics of buildings", Energy and
   Buildings 43 (2011) 1511-1522, model "Ti".
.. [2] EN ISO 13790:2008, 12.2.1.3: time constant of a building zone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from heatwatch.domain.instants import SECOND_MS
from simulators.arrays import Bool, Float64, Int64
from simulators.weather import Weather

STEPS_PER_BLOCK = 48
_BLOCKS_PER_CHECKPOINT = 32


def relaxed(temp_c: Float64, steady_c: Float64, elapsed_s: Float64 | float, time_constant_s: Float64) -> Float64:
    """Return the temperature after `elapsed_s` of constant forcing.

    Parameters
    ----------
    temp_c, steady_c
        Temperature at the beginning, and the one that is approached [degC].
    elapsed_s, time_constant_s
        Time passed, and the time after which a difference has fallen to 1/e [s].

    Returns
    -------
    The closed form ``steady + (temp - steady) exp(-elapsed / time constant)`` [degC].

    Examples
    --------
    >>> relaxed(np.array([21.0]), np.array([-5.0]), 36_000.0, np.array([180_000.0])).round(3)
    array([16.287])
    """
    result: Float64 = steady_c + (temp_c - steady_c) * np.exp(-elapsed_s / time_constant_s)
    return result


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the rooms are made of; every array has one value a room.

    Attributes
    ----------
    cooling_s
        Time constant without heat [s].
    heating_s
        Time constant with heat [s], shorter.
    level_c
        Temperature at which the heat keeps the room when it is `design_c` outdoors [degC].
    gains_k
        How much warmer than outdoors people and appliances keep the room without heat [K].
    droop
        How much of a change outdoors the room follows although heated [K/K].
    design_c
        Outdoor temperature to which `level_c` belongs [degC].
    """

    cooling_s: Float64
    heating_s: Float64
    level_c: Float64
    gains_k: Float64
    droop: float
    design_c: float


@dataclass(frozen=True, slots=True)
class NoHeat:
    """Rooms without heat from `start_ms` to `end_ms`, both on the edge of a step."""

    rooms: Bool
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Block:
    """The state at the start of consecutive steps, and what it moves towards; arrays of shape (steps, rooms).

    `temp_c` and `steady_c` in [degC], `heated` says which time constant holds.
    """

    temp_c: Float64
    steady_c: Float64
    heated: Bool
    after_c: Float64


class RoomModel:
    """Temperatures of all rooms at any moment from `start_ms` on.

    Parameters
    ----------
    rooms, weather
        What cools, and where to.
    stops
        When which rooms have no heat.
    start_ms
        Origin [ms]: the rooms start in their steady state.
    step_s
        Length of a step [s], in which outdoor temperature and heat are constant.

    Notes
    -----
    States are computed in blocks of fixed size from the origin on, so that the same moment has the same bits in
    whatever order moments are asked for; every 32nd block is remembered.
    """

    def __init__(self, rooms: Rooms, weather: Weather, stops: Sequence[NoHeat], *, start_ms: int, step_s: int) -> None:
        self.rooms, self.weather, self.stops = rooms, weather, tuple(stops)
        self.start_ms, self.step_ms = start_ms, step_s * SECOND_MS
        self.block_ms = self.step_ms * STEPS_PER_BLOCK
        self._keep_cooling = np.exp(-step_s / rooms.cooling_s)
        self._keep_heating = np.exp(-step_s / rooms.heating_s)
        first_outdoor_c = weather.outdoor_c(np.array([start_ms], dtype=np.int64))
        origin_c = self._heated_steady(first_outdoor_c)[0]
        self._starts: dict[int, Float64] = {0: origin_c}
        self._latest: tuple[int, Block] | None = None

    def block(self, index: int) -> Block:
        """Return the `index`-th block of 48 steps after the origin."""
        if self._latest is not None and self._latest[0] == index:
            return self._latest[1]
        at, temp_c = self._nearest_start(index)
        while True:
            block = self._advance(at, temp_c)
            at, temp_c = at + 1, block.after_c
            if at % _BLOCKS_PER_CHECKPOINT == 0:
                self._starts[at] = temp_c
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
            Room temperatures [degC].

        Raises
        ------
        ValueError
            If an instant lies before the origin.
        """
        since_ms = time_ms - self.start_ms
        if since_ms.size and int(since_ms.min()) < 0:
            msg = "the rooms have no temperature before the town's start"
            raise ValueError(msg)
        indices = since_ms // self.block_ms
        result = np.empty((time_ms.size, self.rooms.level_c.size))
        for index in np.unique(indices):
            here = indices == index
            result[here] = self._within(self.block(int(index)), since_ms[here] - index * self.block_ms)
        return result

    def _within(self, block: Block, since_ms: Int64) -> Float64:
        step, rest_ms = np.divmod(since_ms, self.step_ms)
        time_constant_s = np.where(block.heated[step], self.rooms.heating_s, self.rooms.cooling_s)
        return relaxed(block.temp_c[step], block.steady_c[step], rest_ms[:, None] / SECOND_MS, time_constant_s)

    def _nearest_start(self, index: int) -> tuple[int, Float64]:
        if self._latest is not None and self._latest[0] < index:
            return self._latest[0] + 1, self._latest[1].after_c
        at = max(start for start in self._starts if start <= index)
        return at, self._starts[at]

    def _advance(self, index: int, temp_c: Float64) -> Block:
        start_ms = self.start_ms + index * self.block_ms
        step_ms = start_ms + self.step_ms * np.arange(STEPS_PER_BLOCK, dtype=np.int64)
        outdoor_c = self.weather.outdoor_c(step_ms + self.step_ms // 2)
        heated = self._heated(step_ms)
        steady_c = np.where(heated, self._heated_steady(outdoor_c), outdoor_c[:, None] + self.rooms.gains_k)
        keep = np.where(heated, self._keep_heating, self._keep_cooling)
        states = np.empty_like(steady_c)
        for step in range(STEPS_PER_BLOCK):
            states[step] = temp_c
            temp_c = steady_c[step] + (temp_c - steady_c[step]) * keep[step]
        return Block(states, steady_c, heated, temp_c)

    def _heated(self, step_ms: Int64) -> Bool:
        heated = np.ones((step_ms.size, self.rooms.level_c.size), dtype=np.bool_)
        for stop in self.stops:
            during = (step_ms >= stop.start_ms) & (step_ms < stop.end_ms)
            heated &= ~(during[:, None] & stop.rooms)
        return heated

    def _heated_steady(self, outdoor_c: Float64) -> Float64:
        result: Float64 = self.rooms.level_c + self.rooms.droop * (outdoor_c[:, None] - self.rooms.design_c)
        return result
