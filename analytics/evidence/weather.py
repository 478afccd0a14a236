"""The outdoor temperature at any moment, by what was measured until then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heatwatch.domain.instants import HOUR_MS
from heatwatch.domain.temperature import Judging

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Weather:
    """The outdoor temperature: `outdoor_c` [degC] from `time_ms` on, for `hold_ms` at most.

    It is held and not interpolated, so that nothing said of a moment changes with what comes after it.
    """

    time_ms: Int64
    outdoor_c: Float64
    hold_ms: int

    @classmethod
    def of(cls, time_ms: Int64, outdoor_c: Float64, hold_ms: int) -> Weather:
        """Order what was measured; of several at one moment the lower median counts, what is no number does not."""
        known = np.isfinite(outdoor_c)
        order = np.lexsort((outdoor_c[known], time_ms[known]))
        time, value = time_ms[known][order], outdoor_c[known][order]
        first = np.flatnonzero(np.diff(time, prepend=time[:1] - 1)) if len(time) else np.zeros(0, dtype=np.int64)
        last = np.append(first[1:], len(time)) - 1 if len(time) else first
        return cls(time[first], value[(first + last) // 2], hold_ms)

    @classmethod
    def of_frame(cls, frame: pd.DataFrame | None, judging: Judging) -> Weather:
        """Take the rows of a weather file; None: nothing is known."""
        if frame is None:
            return cls.unknown()
        time_ms = frame["time"].to_numpy(dtype="datetime64[ms]").view(np.int64)
        outdoor_c = frame["outdoor_c"].to_numpy(dtype=np.float64)
        return cls.of(time_ms, outdoor_c, round(judging.supply_weather_h * HOUR_MS))

    @classmethod
    def unknown(cls) -> Weather:
        """Return the weather of which nothing is known."""
        return cls(np.zeros(0, dtype=np.int64), np.zeros(0), 0)

    def outdoor_at(self, times_ms: Int64) -> Float64:
        """Return the outdoor temperature [degC] at each moment, NaN where nothing (recent) is known."""
        found = np.full(len(times_ms), np.nan)
        at = np.searchsorted(self.time_ms, times_ms, side="right") - 1
        known = at >= 0
        known[known] = times_ms[known] - self.time_ms[at[known]] <= self.hold_ms
        found[known] = self.outdoor_c[at[known]]
        return found
