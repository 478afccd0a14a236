"""Stations: what supply temperature they aim at, what they reach, and what comes back.

A station's secondary loop holds water; its pump drives the same flow at all times, its control valve follows a
heating curve over an outdoor temperature that is smoothed, since houses are heavy. Where the heat that the loop would
need is more than the station has, the supply temperature is what its capacity makes of the return.

References
----------
.. [1] 贺平, 孙刚, 供热工程 (Heating Engineering): central adjustment of the supply temperature at constant flow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulators.arrays import Float64, Int64
from simulators.physics.radiators import Curve

WATER_W_H_M3K = 1_163.0
_CIRCULATES = 0.1
_BOILER_ROOM_C = 20.0


@dataclass(frozen=True, slots=True)
class Stations:
    """The stations of a town; arrays of shape (stations,).

    Attributes
    ----------
    names
        As in the register.
    of_room : shape (rooms,)
        Number of each room's station.
    flow_w_k
        Heat capacity of the flow with all valves open [W/K].
    capacity_w
        The most heat that the station can give [W].
    curve
        What supply temperature is aimed at.
    loop_s
        Time in which the loop's water goes round [s].
    cools_s
        Time constant with which water that stands cools down [s].
    smoothing_s
        Time constant of the outdoor temperature that the control follows [s].
    """

    names: tuple[str, ...]
    of_room: Int64
    flow_w_k: Float64
    capacity_w: Float64
    curve: Curve
    loop_s: float = 1_200.0
    cools_s: float = 6.0 * 3_600.0
    smoothing_s: float = 2.0 * 3_600.0

    @classmethod
    def of(cls, names: tuple[str, ...], of_room: Int64, flow_w_k: Float64, curve: Curve, margin: float) -> Stations:
        """Make stations that are large enough for their rooms.

        Parameters
        ----------
        names
            As in the register.
        of_room, flow_w_k : shape (rooms,)
            Each room's station, and the heat capacity of its flow [W/K].
        curve
            What supply temperature is aimed at.
        margin
            Capacity as a multiple of what was laid out.
        """
        total_w_k: Float64 = np.bincount(of_room, flow_w_k, len(names)).astype(np.float64)
        capacity_w: Float64 = total_w_k * (margin * (curve.supply_c - curve.return_c))
        return cls(names, of_room, total_w_k, capacity_w, curve)

    def start(self, outdoor_c: float) -> StationState:
        """Return the state that belongs to an outdoor temperature [degC] that has lasted."""
        supply_c = self.curve.aim_c(np.full(len(self.names), outdoor_c))
        return StationState(supply_c, supply_c, np.zeros(len(self.names)), outdoor_c)

    def smoothed_c(self, smooth_c: float, outdoor_c: float, step_s: float) -> float:
        """Return the outdoor temperature that the control knows after a step [degC]."""
        return outdoor_c + (smooth_c - outdoor_c) * float(np.exp(-step_s / self.smoothing_s))

    def totals(self, of_rooms: Float64) -> Float64:
        """Return the sum over each station's rooms: shape (stations,)."""
        result: Float64 = np.bincount(self.of_room, of_rooms, len(self.names)).astype(np.float64)
        return result

    def step(self, state: StationState, demand: Demand, outdoor_c: float, step_s: float) -> StationState:
        """Return the state after a step.

        Parameters
        ----------
        state
            The state at its beginning.
        demand
            What the loops do during the step.
        outdoor_c
            Outdoor temperature [degC].
        step_s
            Length of the step [s].

        Notes
        -----
        The loop is a vessel that the flow goes through: supply approaches its goal as an exponential, in the time of
        a full flow even where some valves are shut, so that a valve in one house does nothing to another. A pump that
        drives less than a tenth of its flow shuts the control valve, and the water cools where it stands.
        """
        moving = demand.flow_w_k > _CIRCULATES * self.flow_w_k
        through_w_k = np.maximum(demand.flow_w_k, _CIRCULATES * self.flow_w_k)
        back_c = np.where(moving, state.supply_c - demand.heat_w / through_w_k, state.return_c)
        aim_c = self.curve.aim_c(np.full(back_c.shape, state.smooth_c)) - demand.lowered_k
        aim_c = _BOILER_ROOM_C + demand.supply_share * (aim_c - _BOILER_ROOM_C)
        goal_c = np.minimum(aim_c, back_c + demand.capacity_share * self.capacity_w / through_w_k)
        keep = np.exp(-step_s / self.loop_s)
        driven_c = goal_c + (state.supply_c - goal_c) * keep
        stands = np.exp(-step_s / self.cools_s)
        standing_c = _BOILER_ROOM_C + (np.stack([state.supply_c, back_c]) - _BOILER_ROOM_C) * stands
        return StationState(
            supply_c=np.where(moving, driven_c, standing_c[0]),
            return_c=np.where(moving, back_c, standing_c[1]),
            flow_w_k=demand.flow_w_k,
            smooth_c=self.smoothed_c(state.smooth_c, outdoor_c, step_s),
        )


@dataclass(frozen=True, slots=True)
class StationState:
    """Supply and return [degC] and flow [W/K] of each station; what the control takes for outdoors [degC]."""

    supply_c: Float64
    return_c: Float64
    flow_w_k: Float64
    smooth_c: float

    @property
    def flow_m3_h(self) -> Float64:
        """Flow [m3/h]."""
        return self.flow_w_k / WATER_W_H_M3K


@dataclass(frozen=True, slots=True)
class Demand:
    """What a station's loop does during a step; arrays of shape (stations,).

    Attributes
    ----------
    heat_w, flow_w_k
        What its rooms take [W], and the heat capacity of the flow [W/K].
    capacity_share
        Share of its capacity that it has.
    supply_share
        Share of the way from a cold loop to the curve that the supply temperature may go.
    lowered_k
        By how much the curve is lowered [K].
    """

    heat_w: Float64
    flow_w_k: Float64
    capacity_share: Float64
    supply_share: Float64
    lowered_k: Float64
