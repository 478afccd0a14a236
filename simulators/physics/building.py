r"""Rooms of two heat stores each, air and mass, stepped exactly.

A room's air (with the furniture) and its mass (walls, floors) hold heat and pass it on::

    C_air  dT_air /dt = H_ve (T_out - T_air)  + H_am (T_mass - T_air) + W_air
    C_mass dT_mass/dt = H_tr (T_out - T_mass) + H_am (T_air - T_mass) + W_mass

H_ve: windows and ventilation, which have no store; H_tr: walls, roof and ground; H_am: between air and mass; W: what
radiators, people, sun and neighbours bring. While outdoors and W are constant the solution is a sum of two
exponentials, whose matrix is worked out once for each length of a step and each state of the windows. A step is then
two affine updates over all rooms: no small differences, no loop over rooms, stable for a step of any length. What
neighbours exchange is constant during a step and follows from the air at its beginning, so that the one gets to the
last bit what the other gives.

References
----------
.. [1] P. Bacher, H. Madsen, "Identifying suitable models for the heat dynamics of buildings", Energy and Buildings
   43 (2011) 1511-1522: networks of few nodes; one of the interior and one of the envelope suffice for most houses.
.. [2] EN ISO 13790:2008, 7.2.2 (air to surfaces 3.45 W/m2K over 4.5 m2 a floor m2; surfaces to mass 9.1 W/m2K over
   2.5 to 3 m2 a floor m2) and 12.3.1 (capacities of medium 165, heavy 260 and very heavy 370 kJ/m2K buildings).
.. [3] EN ISO 52016-1:2017: air and furniture hold 10 kJ/m2K.
.. [4] JGJ 26, design standard for energy efficiency of residential buildings in severe cold and cold zones (1986,
   1995, 2010, 2018): the classes by year, each asking for less heat than the one before.
.. [5] T. Loga, B. Stein, N. Diefenbach, "TABULA building typologies in 20 European countries", Energy and Buildings
   132 (2016) 4-12: walls of old flats lose 1 to 1.7, insulated ones 0.2 to 0.6 W/m2K.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulators.arrays import Bool, Float64, Int64

HOUR_S = 3_600.0
AIR_MASS_W_M2K = 1.0 / (1.0 / (3.45 * 4.5) + 1.0 / (9.1 * 2.75))
AIR_J_M2K = 10_000.0 + 15_000.0
MASS_J_M2K = (165_000.0, 370_000.0)
COOLING_H = (25.0, 120.0)
_STOREY_M = 2.7
_AIR_J_M3K = 1_200.0
_AREA_M2 = (16.0, 28.0)
_FACADE_PER_FLOOR = 0.55
_GABLE_PER_FLOOR = 0.55
_GLASS_SHARE = 0.3
_GROUND_SHARE = 0.5
_SUN_THROUGH_GLASS = 0.2
_OPEN_CHANGES_PER_H = 3.0
_PARTY_SLAB_W_M2K = 0.8
_PARTY_WALL_W_M2K = 0.5
_PARTY_AREA_M2 = 20.0
_SMALLEST_HOUSE = 3
_SIDE_SHARES = (0.42, 0.1, 0.1, 0.38)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A class of insulation.

    Attributes
    ----------
    name
        When houses were built so.
    wall_w_m2k, window_w_m2k, roof_w_m2k, ground_w_m2k
        Thermal transmittances [W/m2K].
    changes_per_h
        How often an hour the air of a room is exchanged with windows shut [1/h].
    """

    name: str
    wall_w_m2k: float
    window_w_m2k: float
    roof_w_m2k: float
    ground_w_m2k: float
    changes_per_h: float


ENVELOPES = (
    Envelope("before 1980", 1.4, 4.7, 1.1, 0.8, 0.7),
    Envelope("1980 to 2000", 0.9, 3.5, 0.7, 0.6, 0.6),
    Envelope("after 2000", 0.5, 2.4, 0.4, 0.4, 0.5),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where rooms lie in their houses; arrays of shape (rooms,) but for the last.

    Attributes
    ----------
    building
        Number of the house.
    corner, top, ground
        At the end of a row of flats, under the roof, on the lowest floor.
    neighbours : shape (4, rooms)
        The rooms above, below, before and behind in the row; a room's own number where there is none.
    """

    building: Int64
    corner: Bool
    top: Bool
    ground: Bool
    neighbours: Int64


@dataclass(frozen=True, slots=True)
class Fabric:
    """What rooms are made of; arrays of shape (rooms,) where nothing else is said.

    Attributes
    ----------
    area_m2
        Floor [m2].
    air_j_k, mass_j_k
        Heat capacity of air with furniture, and of walls and floors [J/K].
    air_out_w_k, mass_out_w_k, air_mass_w_k
        Conductances: air to outdoors through windows and gaps, mass to outdoors, air to mass [W/K].
    exposed_w_k
        What a room loses more than one in the middle of the house: part of `mass_out_w_k` [W/K].
    open_w_k
        How much more is lost to outdoors while a window is open [W/K].
    sun_m2
        Glass, counted as if all light fell in [m2].
    side
        Where it looks: `Side`.
    party_w_k : shape (4, rooms)
        Conductances to `Place.neighbours` [W/K], equal from both sides; 0 where there is none.
    neighbours : shape (4, rooms)
        Those of `Place`.
    """

    area_m2: Float64
    air_j_k: Float64
    mass_j_k: Float64
    air_out_w_k: Float64
    mass_out_w_k: Float64
    air_mass_w_k: Float64
    exposed_w_k: Float64
    open_w_k: Float64
    sun_m2: Float64
    side: Int64
    party_w_k: Float64
    neighbours: Int64

    @property
    def rooms(self) -> int:
        """How many rooms."""
        return self.area_m2.size

    def rates_per_s(self) -> tuple[Float64, Float64]:
        """Return what the slow and the fast exponential of each room fall by [1/s], windows shut; both > 0."""
        return _rates(self, self.air_out_w_k)

    def cooling_h(self) -> Float64:
        """Return the time constants with which rooms without heat cool after the first hours [h]."""
        result: Float64 = 1.0 / (self.rates_per_s()[0] * HOUR_S)
        return result

    def exchange_w(self, air_c: Float64) -> Float64:
        """Return what each room gets from its neighbours [W], shape (rooms,); over all rooms it comes to nothing.

        Parameters
        ----------
        air_c : shape (rooms,)
            Temperature of the air [degC].
        """
        heat_w: Float64 = np.zeros(self.rooms)
        for neighbour, party_w_k in zip(self.neighbours, self.party_w_k, strict=True):
            heat_w += party_w_k * (air_c[neighbour] - air_c)
        return heat_w


def locate(building: Int64, unit: Int64, floor: Int64, flat: Int64) -> Place:
    """Work out neighbours and exposed rooms from unit, floor and flat.

    Parameters
    ----------
    building, unit, floor, flat : shape (rooms,)
        Number of the house, of the stairwell in it, of the floor from 1, and of the flat of that stairwell and floor.

    Notes
    -----
    The flats of a floor stand in a row, stairwell by stairwell. Where there are fewer than three, the house goes on
    beyond the last of them with flats that nobody measures, as warm as their neighbours. Where fewer than three
    floors are measured, the highest of them is taken to be under other flats.
    """
    flats = int(flat.max()) + 1
    row = unit * flats + flat
    rows, floors = int(row.max()) + 2, int(floor.max()) + 2
    number = np.full((int(building.max()) + 1, floors + 1, rows + 1), -1, dtype=np.int64)
    number[building, floor, row] = np.arange(building.size)
    around = [(floor + 1, row), (floor - 1, row), (floor, row - 1), (floor, row + 1)]
    near = np.stack([number[building, at_floor, at_row] for at_floor, at_row in around])
    wide = (number >= 0).sum(axis=2)[building, floor]
    before, behind = near[2] < 0, near[3] < 0
    return Place(
        building=building,
        corner=(before | behind) & ((wide >= _SMALLEST_HOUSE) | before),
        top=(near[0] < 0) & (_widest(building, floor) >= _SMALLEST_HOUSE),
        ground=floor == 1,
        neighbours=np.where(near < 0, np.arange(building.size), near),
    )


def draw_fabric(place: Place, envelope: Int64, rng: np.random.Generator) -> Fabric:
    """Draw what rooms are made of.

    Parameters
    ----------
    place
        Where they lie.
    envelope : shape (rooms,)
        Number of each room's class in `ENVELOPES`.
    rng
        Where all draws come from.

    Notes
    -----
    A house is as heavy as its builders made it (`MASS_J_M2K`), its rooms differ by a few percent. Capacities are
    then set so that no room without heat cools faster or more slowly than `COOLING_H` allows.
    """
    count = envelope.size
    of_class = {name: _of_class(name, envelope) for name in Envelope.__dataclass_fields__ if name != "name"}
    area = rng.uniform(*_AREA_M2, count)
    facade = _FACADE_PER_FLOOR * area * rng.uniform(0.9, 1.1, count)
    glass = _GLASS_SHARE * facade
    exposed = of_class["wall_w_m2k"] * _GABLE_PER_FLOOR * area * place.corner
    exposed += of_class["roof_w_m2k"] * area * place.top
    exposed += _GROUND_SHARE * of_class["ground_w_m2k"] * area * place.ground
    air_changed_w_k = _AIR_J_M3K * _STOREY_M * area / HOUR_S
    heavy = rng.uniform(*MASS_J_M2K, int(place.building.max()) + 1)[place.building] * rng.uniform(0.93, 1.07, count)
    fabric = Fabric(
        area_m2=area,
        air_j_k=AIR_J_M2K * area,
        mass_j_k=heavy * area,
        air_out_w_k=of_class["window_w_m2k"] * glass + of_class["changes_per_h"] * air_changed_w_k,
        mass_out_w_k=of_class["wall_w_m2k"] * (facade - glass) + exposed,
        air_mass_w_k=AIR_MASS_W_M2K * area,
        exposed_w_k=exposed,
        open_w_k=_OPEN_CHANGES_PER_H * air_changed_w_k,
        sun_m2=_SUN_THROUGH_GLASS * glass,
        side=rng.choice(len(_SIDE_SHARES), count, p=_SIDE_SHARES).astype(np.int64),
        party_w_k=_party_w_k(place.neighbours),
        neighbours=place.neighbours,
    )
    return within_cooling(fabric)


def within_cooling(fabric: Fabric) -> Fabric:
    """Make rooms heavier or lighter where they would cool faster or more slowly than `COOLING_H` [h] allows."""
    cooling_h = fabric.cooling_h()
    factor = np.clip(cooling_h, *COOLING_H) / cooling_h
    values = {name: getattr(fabric, name) for name in Fabric.__dataclass_fields__}
    return Fabric(**{**values, "air_j_k": fabric.air_j_k * factor, "mass_j_k": fabric.mass_j_k * factor})


@dataclass(frozen=True, slots=True)
class Response:
    """How rooms answer within a given time to where they are and to what they get.

    Temperatures are taken from the outdoor temperature. ``after = steady + keep (before - steady)``; the mean over
    the time is ``steady + mean (before - steady)``; ``steady = lift W``. Each is a matrix [[aa, am], [ma, mm]] for
    air and mass; `lift` [K/W] is symmetric.
    """

    lift: tuple[Float64, Float64, Float64]
    keep: tuple[Float64, Float64, Float64, Float64]
    mean: tuple[Float64, Float64, Float64, Float64]

    @classmethod
    def of(cls, fabric: Fabric, elapsed_s: Float64 | float, *, open_windows: bool = False) -> Response:
        """Work out the matrices.

        Parameters
        ----------
        fabric
            The rooms.
        elapsed_s : shape (), (rooms,) or (n, rooms)
            The time [s], >= 0.
        open_windows
            Whether all windows are open.

        Notes
        -----
        For a 2x2 matrix A of the distinct rates -p and -q, ``exp(At) = (e_p (A + q) - e_q (A + p)) / (q - p)``; that
        these are real and distinct follows from both nodes being coupled. Integrals of it have the same form.
        """
        out = fabric.air_out_w_k + (fabric.open_w_k if open_windows else 0.0)
        slow, fast = _rates(fabric, out)
        keep_slow, keep_fast = np.exp(-slow * elapsed_s), np.exp(-fast * elapsed_s)
        mean_slow, mean_fast = _mean_of_exponential(slow * elapsed_s), _mean_of_exponential(fast * elapsed_s)
        matrix = _matrix(fabric, out)
        keep = _spectral(matrix, (slow, fast), (keep_slow, keep_fast))
        mean = _spectral(matrix, (slow, fast), (mean_slow, mean_fast))
        return cls(_lift(fabric, out), keep, mean)

    def some(self, rooms: Int64) -> Response:
        """Return the response of some of the rooms."""
        lift, keep, mean = (tuple(part[..., rooms] for part in parts) for parts in (self.lift, self.keep, self.mean))
        return Response(lift, keep, mean)  # type: ignore[arg-type]

    def steady(self, air_w: Float64, mass_w: Float64) -> tuple[Float64, Float64]:
        """Return how far above outdoors air and mass end [K] if `air_w` and `mass_w` [W] go on for ever."""
        aa, am, mm = self.lift
        return aa * air_w + am * mass_w, am * air_w + mm * mass_w

    def after(self, before: Pair, steady: Pair) -> Pair:
        """Return air and mass at the end [K above outdoors]; `before` and `steady` are air and mass as well."""
        return _towards(self.keep, before, steady)

    def meanwhile(self, before: Pair, steady: Pair) -> Pair:
        """Return the means of air and mass over the time [K above outdoors]."""
        return _towards(self.mean, before, steady)


Pair = tuple[Float64, Float64]
"""Air and mass."""


class Network:
    """All rooms, in steps of one length.

    Parameters
    ----------
    fabric
        The rooms.
    step_s
        Length of a step [s].
    """

    def __init__(self, fabric: Fabric, step_s: float) -> None:
        self.fabric, self.step_s = fabric, step_s
        self.shut = Response.of(fabric, step_s)
        self.open = Response.of(fabric, step_s, open_windows=True)

    def step(self, state_c: Pair, outdoor_c: float, heat_w: Pair, open_windows: Bool) -> tuple[Pair, Pair]:
        """Return the state after a step, and the state that it moved towards.

        Parameters
        ----------
        state_c
            Air and mass at the beginning [degC], each of shape (rooms,).
        outdoor_c
            Outdoor temperature [degC].
        heat_w
            What air and mass get [W] from anything but outdoors, each of shape (rooms,); neighbours included.
        open_windows : shape (rooms,)
            Where a window is open.
        """
        before = (state_c[0] - outdoor_c, state_c[1] - outdoor_c)
        steady = self.shut.steady(*heat_w)
        after = self.shut.after(before, steady)
        rooms = np.flatnonzero(open_windows)
        if rooms.size:
            airy = self.open.some(rooms)
            steady_airy = airy.steady(heat_w[0][rooms], heat_w[1][rooms])
            after_airy = airy.after((before[0][rooms], before[1][rooms]), steady_airy)
            for whole, part in zip((*steady, *after), (*steady_airy, *after_airy), strict=True):
                whole[rooms] = part
        return (after[0] + outdoor_c, after[1] + outdoor_c), (steady[0] + outdoor_c, steady[1] + outdoor_c)

    def lost_j(self, state_c: Pair, outdoor_c: float, heat_w: Pair, open_windows: Bool) -> Float64:
        """Return what a step of the same arguments as `step` loses to outdoors [J], shape (rooms,)."""
        fabric, before = self.fabric, (state_c[0] - outdoor_c, state_c[1] - outdoor_c)
        shut = self.shut.meanwhile(before, self.shut.steady(*heat_w))
        airy = self.open.meanwhile(before, self.open.steady(*heat_w))
        air_k = np.where(open_windows, airy[0], shut[0])
        mass_k = np.where(open_windows, airy[1], shut[1])
        out_w_k = fabric.air_out_w_k + np.where(open_windows, fabric.open_w_k, 0.0)
        lost_j: Float64 = (out_w_k * air_k + fabric.mass_out_w_k * mass_k) * self.step_s
        return lost_j


def _matrix(fabric: Fabric, air_out_w_k: Float64) -> tuple[Float64, Float64, Float64, Float64]:
    """Return the rates at which air and mass approach what is about them [1/s]: d/dt (air, mass) = -matrix."""
    between = fabric.air_mass_w_k
    return (
        (air_out_w_k + between) / fabric.air_j_k,
        -between / fabric.air_j_k,
        -between / fabric.mass_j_k,
        (fabric.mass_out_w_k + between) / fabric.mass_j_k,
    )


def _rates(fabric: Fabric, air_out_w_k: Float64) -> tuple[Float64, Float64]:
    """Return the eigenvalues, the small one from their product, which keeps its digits."""
    aa, am, ma, mm = _matrix(fabric, air_out_w_k)
    fast = 0.5 * (aa + mm + np.sqrt((aa - mm) ** 2 + 4.0 * am * ma))
    product = (air_out_w_k * fabric.mass_out_w_k + fabric.air_mass_w_k * (air_out_w_k + fabric.mass_out_w_k)) / (
        fabric.air_j_k * fabric.mass_j_k
    )
    return product / fast, fast


def _lift(fabric: Fabric, air_out_w_k: Float64) -> tuple[Float64, Float64, Float64]:
    between, mass_out_w_k = fabric.air_mass_w_k, fabric.mass_out_w_k
    determinant = air_out_w_k * mass_out_w_k + between * (air_out_w_k + mass_out_w_k)
    return (mass_out_w_k + between) / determinant, between / determinant, (air_out_w_k + between) / determinant


def _mean_of_exponential(exponent: Float64) -> Float64:
    """Return the mean of ``exp(-x)`` between 0 and `exponent`; 1 at 0."""
    result: Float64 = np.where(exponent > 0.0, -np.expm1(-exponent) / np.where(exponent > 0.0, exponent, 1.0), 1.0)
    return result


def _spectral(
    matrix: tuple[Float64, Float64, Float64, Float64], rates: Pair, values: Pair
) -> tuple[Float64, Float64, Float64, Float64]:
    """Return the function of the matrix that has these values at its rates."""
    slow, fast = rates
    aa, am, ma, mm = matrix
    of_slow, of_fast = values[0] / (fast - slow), values[1] / (fast - slow)
    slope = of_fast - of_slow
    return (
        of_slow * (fast - aa) + of_fast * (aa - slow),
        am * slope,
        ma * slope,
        of_slow * (fast - mm) + of_fast * (mm - slow),
    )


def _towards(matrix: tuple[Float64, Float64, Float64, Float64], before: Pair, steady: Pair) -> Pair:
    aa, am, ma, mm = matrix
    air, mass = before[0] - steady[0], before[1] - steady[1]
    return steady[0] + aa * air + am * mass, steady[1] + ma * air + mm * mass


def _of_class(name: str, envelope: Int64) -> Float64:
    result: Float64 = np.array([getattr(one, name) for one in ENVELOPES])[envelope]
    return result


def _party_w_k(neighbours: Int64) -> Float64:
    own = np.arange(neighbours.shape[1])
    slab, wall = _PARTY_SLAB_W_M2K * _PARTY_AREA_M2, _PARTY_WALL_W_M2K * _PARTY_AREA_M2
    conductance = np.array([slab, slab, wall, wall])[:, None]
    result: Float64 = np.where(neighbours == own, 0.0, conductance)
    return result


def _widest(building: Int64, value: Int64) -> Int64:
    """Return for each room the largest value in its house."""
    most = np.zeros(int(building.max()) + 1, dtype=np.int64)
    np.maximum.at(most, building, value)
    return most[building]
