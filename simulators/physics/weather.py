"""Weather as a function of absolute time: seasons, passing weather, days and cold snaps, or what a file tells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from heatwatch.domain.instants import DAY_MS, HOUR_MS, iso
from heatwatch.domain.register import FAR_FUTURE_MS
from heatwatch.errors import BadInput
from heatwatch.files.tables import instants, read_table
from simulators.arrays import Float64, Int64
from simulators.bounds import refuse_senseless

_STREAM, _STREAM_CLOUDS, _STREAM_SNAPS = 1, 5, 6
_SLOW_WAVES = 3
_SLOW_PERIOD_DAYS = (2.5, 9.0)
_CLOUD_PERIOD_DAYS = (0.6, 5.0)
_CLOUD_SWING = 1.2
_YEAR_DAYS = 365.25
_SNAP_EVERY_DAYS = 16
_SNAP_RAMP_MS = 12 * HOUR_MS


@dataclass(frozen=True, slots=True)
class ColdSnap:
    """A stretch of days colder than they would have been.

    Attributes
    ----------
    start_ms, end_ms
        Beginning of the fall and end of the rise [ms]; each takes 12 h, or half of the time where that is less.
    depth_k
        How much colder it is between them [K], > 0.
    """

    start_ms: int
    end_ms: int
    depth_k: float

    def __post_init__(self) -> None:
        """Refuse what is no stretch of time."""
        if self.end_ms <= self.start_ms:
            raise BadInput("a cold snap must end after it begins", where="weather: snaps")

    def fall_k(self, time_ms: Int64) -> Float64:
        """Return by how much it is colder [K], shape (n,) as `time_ms` [ms]; 0 outside."""
        ramp_ms = min(_SNAP_RAMP_MS, (self.end_ms - self.start_ms) // 2)
        inside_ms = np.minimum(time_ms - self.start_ms, self.end_ms - time_ms)
        share = np.clip(inside_ms / ramp_ms, 0.0, 1.0)
        result: Float64 = self.depth_k * (0.5 - 0.5 * np.cos(np.pi * share))
        return result


@dataclass(frozen=True, slots=True)
class WeatherSettings:
    """Attributes of a winter.

    Attributes
    ----------
    mean_c
        Mean outdoor temperature [degC] about the coldest day of the year.
    daily_k
        Half the difference between the day's warmest and coldest moment [K].
    slow_k
        Largest deviation from the mean that passing weather makes [K].
    warmest_utc_h
        Hour of the day at which it is warmest [h, UTC]; 6.5 is half past two in China.
    season_k
        Half the difference between the mean of summer and that of winter [K]; 0 for a winter without an end.
    coldest_day
        Day of the year about which it is coldest.
    snaps
        Cold snaps at given times.
    snap_k, snap_share
        Depth of cold snaps at times that the seed chooses [K], and the share of fortnights that have one.
    cloud_share
        Mean share of the sky that is covered, 0 to 1.
    """

    mean_c: float = -8.0
    daily_k: float = 3.5
    slow_k: float = 3.0
    warmest_utc_h: float = 6.5
    season_k: float = 0.0
    coldest_day: float = 15.0
    snaps: tuple[ColdSnap, ...] = ()
    snap_k: float = 8.0
    snap_share: float = 0.0
    cloud_share: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what is no weather."""
        refuse_senseless(self, "weather", not_below_0=("slow_k", "snap_k"))


class Outdoors(Protocol):
    """What a town asks of its weather."""

    @property
    def mean_c(self) -> float:
        """Outdoor temperature for which a town's rooms are adjusted [degC]."""

    @property
    def until_ms(self) -> int:
        """Last instant of which anything is known [ms]."""

    def outdoor_c(self, time_ms: Int64) -> Float64:
        """Return the outdoor temperature [degC], shape (n,), at instants [ms]."""

    def cloudiness(self, time_ms: Int64) -> Float64:
        """Return the share of the sky that is covered, 0 to 1, shape (n,), at instants [ms]."""


class Weather:
    """Seeded weather: the same seed gives the same weather in whatever window it is asked for.

    Parameters
    ----------
    seed
        Chooses periods and phases of the slow waves, clouds, and the times of cold snaps.
    settings
        Means and swings.
    """

    def __init__(self, seed: int, settings: WeatherSettings | None = None) -> None:
        self.settings = settings or WeatherSettings()
        self._seed = seed
        self._slow = _Waves.drawn(np.random.default_rng([seed, _STREAM]), _SLOW_PERIOD_DAYS)
        self._clouds = _Waves.drawn(np.random.default_rng([seed, _STREAM_CLOUDS]), _CLOUD_PERIOD_DAYS)

    @property
    def mean_c(self) -> float:
        """Mean outdoor temperature about the coldest day [degC]."""
        return self.settings.mean_c

    @property
    def until_ms(self) -> int:
        """It never ends [ms]."""
        return FAR_FUTURE_MS

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
        of_year = (time_ms / DAY_MS - s.coldest_day) / _YEAR_DAYS
        slow_k: Float64 = self._slow.at(time_ms) * s.slow_k
        daily_k: Float64 = s.daily_k * np.cos(2.0 * np.pi * of_day)
        season_k = s.season_k * (1.0 - np.cos(2.0 * np.pi * of_year))
        result: Float64 = s.mean_c + daily_k + slow_k + season_k - self._snaps_k(time_ms)
        return result

    def cloudiness(self, time_ms: Int64) -> Float64:
        """Return the share of the sky that is covered, 0 to 1: shape (n,) at instants [ms], shape (n,)."""
        result: Float64 = np.clip(self.settings.cloud_share + _CLOUD_SWING * self._clouds.at(time_ms), 0.0, 1.0)
        return result

    def _snaps_k(self, time_ms: Int64) -> Float64:
        fall_k: Float64 = np.zeros(time_ms.shape)
        for snap in (*self.settings.snaps, *self._seeded_snaps(time_ms)):
            fall_k = np.maximum(fall_k, snap.fall_k(time_ms))
        return fall_k

    def _seeded_snaps(self, time_ms: Int64) -> Iterable[ColdSnap]:
        """Return the snaps that the seed puts into the stretches of 16 days asked for; each lies within its own."""
        if self.settings.snap_share <= 0.0:
            return
        for stretch in np.unique(time_ms // (_SNAP_EVERY_DAYS * DAY_MS)).tolist():
            rng = np.random.default_rng([self._seed, _STREAM_SNAPS, abs(stretch), int(stretch < 0)])
            happens, start_days, lasts_days, depth = rng.random(4)
            if happens < self.settings.snap_share:
                start_ms = round((stretch * _SNAP_EVERY_DAYS + start_days * 10.0) * DAY_MS)
                lasts_ms = round((2.0 + 3.0 * lasts_days) * DAY_MS)
                yield ColdSnap(start_ms, start_ms + lasts_ms, self.settings.snap_k * (0.6 + 0.4 * depth))


class MeasuredWeather:
    """Weather that was measured: between two rows it is interpolated, and there is none before and after.

    Parameters
    ----------
    time_ms : shape (n,)
        Instants [ms], in any order, each once.
    outdoor_c : shape (n,)
        Outdoor temperature [degC], finite.
    where
        What an error names, for example the file.
    cloud_share
        Share of the sky that is covered, at all times.
    """

    def __init__(self, time_ms: Int64, outdoor_c: Float64, *, where: str = "weather", cloud_share: float = 0.5) -> None:
        order = np.argsort(time_ms, kind="stable")
        self._time_ms, self._outdoor_c = time_ms[order], outdoor_c[order]
        self._where, self._cloud_share = where, cloud_share
        if self._time_ms.size == 0:
            raise BadInput("no row tells the weather", where=where)
        if not np.isfinite(self._outdoor_c).all():
            raise BadInput("an outdoor temperature is missing", where=where)
        again = np.flatnonzero(np.diff(self._time_ms) == 0)
        if again.size:
            raise BadInput(f"{iso(int(self._time_ms[again[0]]))} stands there twice", where=where)

    @classmethod
    def read(cls, path: Path, *, cloud_share: float = 0.5) -> MeasuredWeather:
        """Read a weather file: ``time, outdoor_c``.

        Raises
        ------
        BadInput
            If it cannot be read, has no rows, or tells one moment twice.
        """
        frame = read_table(path, ("time", "outdoor_c"), (), ("outdoor_c",))
        time = instants(frame["time"], path).dt.tz_localize(None).to_numpy("datetime64[ms]").astype(np.int64)
        return cls(time, frame["outdoor_c"].to_numpy(np.float64), where=str(path), cloud_share=cloud_share)

    @property
    def mean_c(self) -> float:
        """Mean of all rows [degC]."""
        return float(self._outdoor_c.mean())

    @property
    def until_ms(self) -> int:
        """Instant of the last row [ms]."""
        return int(self._time_ms[-1])

    def outdoor_c(self, time_ms: Int64) -> Float64:
        """Return the outdoor temperature [degC], shape (n,), at instants [ms], shape (n,).

        Raises
        ------
        BadInput
            If an instant lies before the first row or after the last; the message names both.
        """
        first_ms, last_ms = int(self._time_ms[0]), int(self._time_ms[-1])
        outside = time_ms[(time_ms < first_ms) | (time_ms > last_ms)]
        if outside.size:
            what = f"it runs from {iso(first_ms)} to {iso(last_ms)} and says nothing of {iso(int(outside[0]))}"
            raise BadInput(what, where=self._where, mend="give a longer one, or simulate a shorter time")
        result: Float64 = np.interp(time_ms, self._time_ms, self._outdoor_c)
        return result

    def cloudiness(self, time_ms: Int64) -> Float64:
        """Return the share of the sky that is covered: the same at all times, shape (n,)."""
        return np.full(time_ms.shape, self._cloud_share)


@dataclass(frozen=True, slots=True)
class _Waves:
    """The mean of some waves of fixed periods [ms] and phases: between -1 and 1, the same for ever."""

    periods_ms: Float64
    phases: Float64

    @classmethod
    def drawn(cls, rng: np.random.Generator, period_days: tuple[float, float]) -> _Waves:
        shortest, longest = np.log(period_days)
        periods_ms = np.exp(rng.uniform(shortest, longest, _SLOW_WAVES)) * DAY_MS
        return cls(periods_ms, rng.uniform(0.0, 2.0 * np.pi, _SLOW_WAVES))

    def at(self, time_ms: Int64) -> Float64:
        waves = np.cos(2.0 * np.pi * time_ms[:, None] / self.periods_ms + self.phases)
        result: Float64 = waves.sum(axis=1) / _SLOW_WAVES
        return result
