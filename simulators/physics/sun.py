"""What the sun sends upon the four sides of a house."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from heatwatch.domain.instants import DAY_MS, HOUR_MS
from simulators.arrays import Float64, Int64

_TILT_DEG = 23.45
_YEAR_DAYS = 365.25
_SPRING_DAY = 80.0
_BEYOND_AIR_W_M2 = 1_353.0
_THROUGH_AIR = 0.7
_AIR_MASS_POWER = 0.678
_LOWEST_SINE = 0.02
_SKY_SHARE = 0.12
_GROUND_REFLECTS = 0.2
_CLOUDS_TAKE = 0.75
_CLOUD_POWER = 3.4


class Side(IntEnum):
    """Where a window looks."""

    SOUTH = 0
    EAST = 1
    WEST = 2
    NORTH = 3


@dataclass(frozen=True, slots=True)
class Site:
    """Where a town lies.

    Attributes
    ----------
    latitude_deg, longitude_deg
        North and east are positive [deg]; by default a place in the north of China.
    """

    latitude_deg: float = 40.0
    longitude_deg: float = 116.0


def height_and_bearing(time_ms: Int64, site: Site) -> tuple[Float64, Float64, Float64]:
    """Return the direction to the sun as a unit vector: up, to the south, to the west.

    Parameters
    ----------
    time_ms : shape (n,)
        Instants [ms since 1970].
    site
        Where one stands.

    Returns
    -------
    Three arrays of shape (n,), each between -1 and 1; `up` is below 0 by night.

    Notes
    -----
    Declination by Cooper's formula; the equation of time (a quarter of an hour at most) is left out.

    References
    ----------
    .. [1] J. A. Duffie, W. A. Beckman, "Solar Engineering of Thermal Processes", section 1.6.

    Examples
    --------
    >>> noon_of_midsummer = np.array([1_782_015_360_000])
    >>> height_and_bearing(noon_of_midsummer, Site())[0].round(2)
    array([0.96])
    """
    day = time_ms / DAY_MS % _YEAR_DAYS
    declination = np.deg2rad(_TILT_DEG) * np.sin(2.0 * np.pi * (day - _SPRING_DAY) / _YEAR_DAYS)
    hour = np.deg2rad(15.0 * (time_ms / HOUR_MS % 24.0 - 12.0) + site.longitude_deg)
    north = np.deg2rad(site.latitude_deg)
    up = np.sin(north) * np.sin(declination) + np.cos(north) * np.cos(declination) * np.cos(hour)
    south = np.sin(north) * np.cos(declination) * np.cos(hour) - np.cos(north) * np.sin(declination)
    west = np.cos(declination) * np.sin(hour)
    return up, south, west


def on_sides_w_m2(time_ms: Int64, cloudiness: Float64, site: Site) -> Float64:
    """Return what falls upon upright surfaces.

    Parameters
    ----------
    time_ms : shape (n,)
        Instants [ms since 1970].
    cloudiness : shape (n,)
        Share of the sky that clouds cover, 0 to 1.
    site
        Where the house stands.

    Returns
    -------
    shape (n, 4)
        Irradiance on the sides in the order of `Side` [W/m2].

    Notes
    -----
    Direct light of a clear sky by Meinel, diffuse light as a fixed share of it, both halved by a free horizon for
    an upright surface; under clouds the whole falls as Kasten and Czeplak found, and no direct light passes them.

    References
    ----------
    .. [1] A. B. Meinel, M. P. Meinel, "Applied Solar Energy", 1976: ``1353 * 0.7 ** (air mass ** 0.678)``.
    .. [2] F. Kasten, G. Czeplak, "Solar and terrestrial radiation dependent on the amount and type of cloud",
       Solar Energy 24 (1980) 177-189: ``1 - 0.75 * cover ** 3.4``.
    """
    up, south, west = height_and_bearing(time_ms, site)
    above = np.maximum(up, 0.0)
    direct = np.where(
        up > 0.0, _BEYOND_AIR_W_M2 * _THROUGH_AIR ** (np.maximum(up, _LOWEST_SINE) ** -_AIR_MASS_POWER), 0.0
    )
    level = direct * above * (1.0 + _SKY_SHARE)
    left = level * (1.0 - _CLOUDS_TAKE * cloudiness**_CLOUD_POWER)
    direct = direct * (1.0 - cloudiness)
    diffuse = np.maximum(left - direct * above, 0.0) / 2.0 + _GROUND_REFLECTS * left / 2.0
    sides = np.stack([south, -west, west, -south], axis=1)
    result: Float64 = direct[:, None] * np.maximum(sides, 0.0) + diffuse[:, None]
    return result
