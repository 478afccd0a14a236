"""Outdoor temperature as a function of absolute time: a daily swing upon a slow one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heatwatch.domain.instants import DAY_MS, HOUR_MS
from simulators.arrays import Float64, Int64

_STREAM = 1
_SLOW_WAVES = 3
_SLOW_PERIOD_DAYS = (2.5, 9.0)


@dataclass(frozen=True, slots=True)
class WeatherSettings:
    """Attributes of a stretch of winter.

    Attributes
    ----------
    mean_c
        Mean outdoor temperature [degC].
    daily_k
        Half the difference between the day's warmest and coldest moment [K].
    slow_k
        Largest deviation from the mean that passing weather makes [K].
    warmest_utc_h
        Hour of the day at which it is warmest [h, UTC]; 6.5 is half past two in China.
    """

    mean_c: float = -8.0
    daily_k: float = 3.5
    slow_k: float = 3.0
    warmest_utc_h: float = 6.5


class Weather:
    """Seeded outdoor temperature: the same seed gives the same weather in whatever window it is asked for.

    Parameters
    ----------
    seed
        Chooses periods and phases of the slow waves.
    settings
        Mean and swings.
    """

    def __init__(self, seed: int, settings: WeatherSettings | None = None) -> None:
        self.settings = settings or WeatherSettings()
        rng = np.random.default_rng([seed, _STREAM])
        shortest, longest = np.log(_SLOW_PERIOD_DAYS)
        self._periods_ms = np.exp(rng.uniform(shortest, longest, _SLOW_WAVES)) * DAY_MS
        self._phases = rng.uniform(0.0, 2.0 * np.pi, _SLOW_WAVES)

    def outdoor_c(self, time_ms: Int64) -> Float64:
        """Return the outdoor temperature.

        Parameters
        ----------
        time_ms : shape (n,)
            Instants [ms since 1970].

        Returns
        -------
        shape (n,)
            Outdoor temperature [degC].
        """
        s = self.settings
        of_day = (time_ms - s.warmest_utc_h * HOUR_MS) / DAY_MS
        waves = np.cos(2.0 * np.pi * time_ms[:, None] / self._periods_ms + self._phases)
        slow_k: Float64 = waves.sum(axis=1) * (s.slow_k / _SLOW_WAVES)
        daily_k: Float64 = s.daily_k * np.cos(2.0 * np.pi * of_day)
        return s.mean_c + daily_k + slow_k
