"""Thermometers: noise, resolution, battery and counter between a room's temperature and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heatwatch.domain.instants import DAY_MS, SECOND_MS
from simulators.arrays import Bool, Float64, Int64
from simulators.bounds import refuse_senseless

_STREAM_DEVICES = 3
_STREAM_NOISE = 4
COUNTER_SIZE = 65_536
DAYS_PER_PERCENT = 9.0
_HUMIDITY_AT_20_C = 36.0
_HUMIDITY_PER_K = -1.5


@dataclass(frozen=True, slots=True)
class ThermometerSettings:
    """What thermometers do to a temperature.

    Attributes
    ----------
    noise_k
        Standard deviation of a single reading [K].
    coarse_share
        Share of thermometers with a resolution of 0.5 K; the others have 0.1 K.
    duplicate_share
        Share of readings that are sent twice.
    unreadable_share
        Share of the broken thermometer's payloads that cannot be read.
    """

    noise_k: float = 0.05
    coarse_share: float = 0.1
    duplicate_share: float = 0.002
    unreadable_share: float = 0.05

    def __post_init__(self) -> None:
        """Refuse what no thermometer does."""
        refuse_senseless(self, "town: thermometers", not_below_0=("noise_k",))


@dataclass(frozen=True, slots=True)
class Measured:
    """What thermometers said at consecutive moments; arrays of shape (moments, thermometers).

    Temperature as felt and as said [degC], relative humidity [%], battery [%], the counter of readings; whether the
    payload could not be read, and whether the reading was sent twice.
    """

    felt_c: Float64
    temp_c: Float64
    humidity_pct: Float64
    battery_pct: Int64
    seq: Int64
    unreadable: Bool
    twice: Bool


class Thermometers:
    """One thermometer a room, each measuring at its own moment within the interval.

    Parameters
    ----------
    seed, count
        The same seed gives the same devices and the same noise.
    interval_s
        Time between two readings [s].
    broken : shape (count,)
        Which ones now and then send what cannot be read.
    settings
        Noise, resolution and shares.
    """

    def __init__(self, seed: int, count: int, interval_s: int, broken: Bool, settings: ThermometerSettings) -> None:
        self.settings, self.broken = settings, broken
        self._seed, self._interval_ms = seed, interval_s * SECOND_MS
        rng = np.random.default_rng([seed, _STREAM_DEVICES])
        self.offset_ms: Int64 = rng.integers(0, interval_s, count) * SECOND_MS
        self.steps_per_k = np.where(rng.random(count) < settings.coarse_share, 2.0, 10.0)
        self._battery_pct = rng.uniform(60.0, 100.0, count)
        self._dryness_pct = rng.normal(0.0, 3.0, count)

    def measure(self, true_c: Float64, block: int) -> Measured:
        """Return what is said of the temperatures of one block of intervals.

        Parameters
        ----------
        true_c : shape (moments, count)
            Room temperature at the moment of each reading [degC].
        block
            Number of this block of `moments` intervals since the origin.
        """
        s, shape = self.settings, true_c.shape
        rng = np.random.default_rng([self._seed, _STREAM_NOISE, block])
        felt_c = true_c + rng.standard_normal(shape) * s.noise_k
        humidity = _HUMIDITY_AT_20_C + _HUMIDITY_PER_K * (true_c - 20.0) + self._dryness_pct
        humidity += rng.standard_normal(shape) * 0.5
        unreadable = (rng.random(shape) < s.unreadable_share) & self.broken
        twice = (rng.random(shape) < s.duplicate_share) & ~unreadable
        interval = block * shape[0] + np.arange(shape[0], dtype=np.int64)[:, None]
        return Measured(
            felt_c=felt_c,
            temp_c=np.rint(felt_c * self.steps_per_k) / self.steps_per_k,
            humidity_pct=np.clip(np.rint(humidity * 2.0) / 2.0, 5.0, 95.0),
            battery_pct=self.battery_pct(interval),
            seq=np.broadcast_to(interval % COUNTER_SIZE, shape),
            unreadable=unreadable,
            twice=twice,
        )

    def battery_pct(self, interval: Int64) -> Int64:
        """Return the batteries [%], shape (n, count), in intervals by their numbers, shape (n, 1)."""
        days = interval * self._interval_ms / DAY_MS
        left: Int64 = np.maximum(self._battery_pct - days / DAYS_PER_PERCENT, 1.0).astype(np.int64)
        return left
