"""Radiators on a station's secondary loop: how large they are, what flows through them, what they give.

References
----------
.. [1] EN 442-2: the heat of a radiator goes with the 1.3th power of how much warmer it is than the room.
.. [2] 贺平, 孙刚, 供热工程 (Heating Engineering): supply temperature by load at constant flow.
.. [3] EN 215: thermostatic valves open over a band of 2 K.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from simulators.arrays import Bool, Float64, Int64
from simulators.physics.building import Fabric, Pair, Response

EXPONENT = 1.3
AIR_SHARE = 0.4
PEOPLE_AIR_SHARE = 0.5
SUN_AIR_SHARE = 0.2
_MEAN_SHARE = 0.8
_BAND_K = 2.0
_FLOW_BY_DISTANCE = (1.2, 1.0, 0.75)
_EXPOSED_ALLOWED = 0.85
_SIZE_SPREAD = 0.04
_VALVE_C = (20.0, 22.5)
_ROUNDS = 60


@dataclass(frozen=True, slots=True)
class Curve:
    """The supply temperature that a station aims at, and what its radiators were laid out for.

    Attributes
    ----------
    supply_c, return_c
        Water to and from the radiators when it is as cold as `outdoor_c` [degC].
    outdoor_c
        Outdoor temperature for which all was laid out [degC].
    room_c
        Room temperature that was asked for [degC].
    lowest_c, highest_c
        Limits of the supply temperature [degC].
    """

    supply_c: float = 65.0
    return_c: float = 45.0
    outdoor_c: float = -18.0
    room_c: float = 20.6
    lowest_c: float = 28.0
    highest_c: float = 72.0

    def aim_c(self, outdoor_c: Float64) -> Float64:
        """Return the supply temperature [degC] at these outdoor temperatures [degC], of the same shape.

        The textbook's ``room + (mean water - room) load^(1/n) + (supply - return)/2 load``, the load being the share
        of the largest difference between in and out.

        >>> Curve().aim_c(np.array([-18.0, -3.0, 15.0])).round(1)
        array([65. , 50.3, 29.8])
        """
        load = np.maximum((self.room_c - outdoor_c) / (self.room_c - self.outdoor_c), 0.0)
        water_k = 0.5 * (self.supply_c + self.return_c) - self.room_c
        aim_c = self.room_c + water_k * load ** (1.0 / EXPONENT) + 0.5 * (self.supply_c - self.return_c) * load
        result: Float64 = np.clip(aim_c, self.lowest_c, self.highest_c)
        return result


@dataclass(frozen=True, slots=True)
class Radiators:
    """One radiator a room; arrays of shape (rooms,).

    Attributes
    ----------
    size_w_kn
        Heat at 1 K between the mean of its water and the room [W/K^1.3].
    flow_w_k
        Heat capacity of the water that flows through with all valves open [W/K].
    distance
        Hydraulic distance from the station: 0 near, 1 in the middle, 2 far.
    valve
        Where a thermostatic valve throttles.
    valve_c
        Temperature at which it is half open [degC].
    """

    size_w_kn: Float64
    flow_w_k: Float64
    distance: Int64
    valve: Bool
    valve_c: Float64

    def heat_w(self, supply_c: Float64, air_c: Float64, flow: Float64) -> Float64:
        """Return what the radiators give [W], >= 0.

        Parameters
        ----------
        supply_c, air_c : shape (rooms,)
            Water that comes, and air [degC].
        flow : shape (rooms,)
            Share of `flow_w_k` that flows, >= 0.

        Notes
        -----
        Water cools along the radiator as in a heat exchanger: ``Q = w dT (1 - exp(-K / w))``; the conductance K goes
        with the 0.3th power of four fifths of dT, which stand for the mean of the water. The return never is
        colder than the room.
        """
        excess_k = np.maximum(supply_c - air_c, 0.0)
        water_w_k = self.flow_w_k * flow
        units = self.size_w_kn * (_MEAN_SHARE * excess_k) ** (EXPONENT - 1.0) / np.maximum(water_w_k, 1e-9)
        result: Float64 = water_w_k * excess_k * -np.expm1(-units)
        return result

    def opening(self, air_c: Float64) -> Float64:
        """Return how far open the valves come to stand in air of this temperature [degC], 0 to 1, shape (rooms,)."""
        opening = np.clip((self.valve_c - air_c) / _BAND_K + 0.5, 0.0, 1.0)
        result: Float64 = np.where(self.valve, opening, 1.0)
        return result


@dataclass(frozen=True, slots=True)
class Steadiness:
    """What a town is like while nothing changes: outdoors and supply [degC], what people and sun bring [W]."""

    outdoor_c: float
    supply_c: float
    gains_w: Float64


def draw_radiators(
    fabric: Fabric, distance: Int64, curve: Curve, valve_share: float, rng: np.random.Generator
) -> Radiators:
    """Draw radiators as they were laid out.

    Parameters
    ----------
    fabric, distance
        The rooms, and where on the loop they are: 0 near, 1 in the middle, 2 far; shape (rooms,).
    curve
        What they were laid out for.
    valve_share
        Share of rooms with a thermostatic valve.
    rng
        Where all draws come from.

    Notes
    -----
    Sized for what a room loses at the lowest outdoor temperature, but for less than all of what gables, roofs and
    ground lose; flows are meant to cool by the same difference everywhere, but the near rooms get more and the far
    ones less: corner, top, ground-floor and far rooms are the cold ones of a house.
    """
    lost_w_k = _lost_w_k(fabric) - (1.0 - _EXPOSED_ALLOWED) * fabric.exposed_w_k
    spread = np.exp(rng.normal(0.0, _SIZE_SPREAD, fabric.rooms))
    load_w = lost_w_k * (curve.room_c - curve.outdoor_c) * spread
    flow_w_k = load_w / (curve.supply_c - curve.return_c)
    excess_k = curve.supply_c - curve.room_c
    size_w_kn = _size_for(load_w, flow_w_k, excess_k)
    return Radiators(
        size_w_kn=size_w_kn,
        flow_w_k=flow_w_k * np.array(_FLOW_BY_DISTANCE)[distance],
        distance=distance,
        valve=rng.random(fabric.rooms) < valve_share,
        valve_c=rng.uniform(*_VALVE_C, fabric.rooms),
    )


def resize(
    radiators: Radiators, fabric: Fabric, steadiness: Steadiness, wanted_c: Float64, which: Bool, around_c: Float64
) -> Radiators:
    """Give some rooms the radiator that keeps them at a wanted temperature.

    Parameters
    ----------
    radiators, fabric, steadiness
        What there is, and when the temperature is wanted.
    wanted_c, which, around_c : shape (rooms,)
        The temperature [degC], in which rooms, and how warm all rooms are by then.

    Notes
    -----
    The flow goes with the size; where even that is not enough, more flows than was laid out.
    """
    air_k = wanted_c - steadiness.outdoor_c
    others_w = fabric.exchange_w(np.where(which, wanted_c, around_c))
    per_air_w, per_mass_w = Response.of(fabric, 0.0).lift[:2]
    known_k = per_air_w * (others_w + PEOPLE_AIR_SHARE * steadiness.gains_w)
    known_k += per_mass_w * (1.0 - PEOPLE_AIR_SHARE) * steadiness.gains_w
    heat_w = np.maximum((air_k - known_k) / (AIR_SHARE * per_air_w + (1.0 - AIR_SHARE) * per_mass_w), 1.0)
    excess_k = steadiness.supply_c - wanted_c
    flow_w_k = np.maximum(radiators.flow_w_k, heat_w / (_MEAN_SHARE * excess_k))
    size = np.where(which, _size_for(heat_w, flow_w_k, excess_k), radiators.size_w_kn)
    return replace(
        radiators,
        size_w_kn=size,
        flow_w_k=np.where(which, flow_w_k, radiators.flow_w_k),
        valve=radiators.valve & ~which,
    )


def settled_c(radiators: Radiators, fabric: Fabric, steadiness: Steadiness) -> Pair:
    """Return air and mass [degC] when nothing has changed for long; each of shape (rooms,).

    Newton's method room by room: what a room's radiator, valve and neighbours do to its own air is part of the slope.
    """
    response, gains_w = Response.of(fabric, 0.0), steadiness.gains_w
    of_air, between, _ = response.lift
    party_w_k, per_w = fabric.party_w_k.sum(axis=0), AIR_SHARE * of_air + (1.0 - AIR_SHARE) * between
    supply_c: Float64 = np.full(fabric.rooms, steadiness.supply_c)
    air_c: Float64 = np.full(fabric.rooms, 20.0)
    for _ in range(_ROUNDS):
        heat_w = radiators.heat_w(supply_c, air_c, radiators.opening(air_c))
        full_w = radiators.heat_w(supply_c, air_c, np.ones(fabric.rooms))
        air_w = AIR_SHARE * heat_w + PEOPLE_AIR_SHARE * gains_w + fabric.exchange_w(air_c)
        mass_w = (1.0 - AIR_SHARE) * heat_w + (1.0 - PEOPLE_AIR_SHARE) * gains_w
        air_k, mass_k = response.steady(air_w, mass_w)
        slope = EXPONENT * heat_w / np.maximum(supply_c - air_c, 1.0) + np.where(radiators.valve, full_w / _BAND_K, 0.0)
        air_c = air_c + (air_k + steadiness.outdoor_c - air_c) / (1.0 + of_air * party_w_k + per_w * slope)
    return air_c, mass_k + steadiness.outdoor_c


def _lost_w_k(fabric: Fabric) -> Float64:
    """Return what a room loses to outdoors for each kelvin of its air [W/K], as a heating engineer reckons."""
    walls = fabric.air_mass_w_k * fabric.mass_out_w_k / (fabric.air_mass_w_k + fabric.mass_out_w_k)
    result: Float64 = fabric.air_out_w_k + walls
    return result


def _size_for(heat_w: Float64, flow_w_k: Float64, excess_k: Float64 | float) -> Float64:
    """Invert `Radiators.heat_w`."""
    cooled = np.minimum(heat_w / (flow_w_k * excess_k), 0.95)
    result: Float64 = -np.log1p(-cooled) * flow_w_k / (_MEAN_SHARE * excess_k) ** (EXPONENT - 1.0)
    return result
