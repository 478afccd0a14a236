"""Faults of thermometers themselves: when they measure, what they feel and say, their batteries."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from heatwatch.domain.instants import DAY_MS, SECOND_MS
from heatwatch.domain.register import FAR_FUTURE_MS
from heatwatch.errors import BadInput
from simulators.arrays import Bool
from simulators.thermometers.devices import COUNTER_SIZE, DAYS_PER_PERCENT
from simulators.thermometers.slate import Fault, Part, Slate

LOW_BATTERY_PCT = 15
_POSSIBLE_C = (-30.0, 50.0)
_FULL_SUN_W_M2 = 500.0


@dataclass(frozen=True, slots=True)
class Interval(Fault):
    """Measures at another interval; its counter goes on with the town's.

    Attributes
    ----------
    interval_s
        A whole multiple of the town's interval [s].
    registered
        Whether the register says so for that time.
    """

    interval_s: int = 1_800
    registered: bool = True

    @property
    def of_delivery(self) -> bool:
        """Changes when something is measured."""
        return True

    def check(self, interval_ms: int) -> None:
        """Refuse what is no multiple of the town's interval."""
        if self.interval_s <= 0 or self.interval_s * SECOND_MS % interval_ms:
            mend = f"a whole multiple of the town's, {interval_ms // SECOND_MS} s"
            raise BadInput(f"interval_s of Interval is {self.interval_s}", where="fault", mend=mend)

    def act(self, slate: Slate, here: Bool, part: Part) -> Bool:  # noqa: ARG002 - as every fault
        """Leave out all but one of some intervals."""
        slate.due &= ~here | (slate.number % (self.interval_s * SECOND_MS // slate.interval_ms) == 0)
        if self.registered:
            slate.told_ms[here] = self.interval_s * SECOND_MS
        return here


@dataclass(frozen=True, slots=True)
class Jitter(Fault):
    """Measures somewhat earlier or later than due, always within its interval.

    Attributes
    ----------
    by_s
        How far apart the earliest and the latest moment are [s].
    """

    by_s: float = 30.0

    @property
    def of_delivery(self) -> bool:
        """Changes when something is measured."""
        return True

    def act(self, slate: Slate, here: Bool, part: Part) -> Bool:
        """Move the moments, never beyond the fault's time."""
        shift_ms = ((part.uniform() - 0.5) * self.by_s * SECOND_MS).astype(np.int64)
        earliest_ms = np.maximum(slate.begin_ms, self.start_ms)
        latest_ms = np.minimum(slate.begin_ms + slate.interval_ms, part.until_ms) - 1
        moved_ms = np.clip(slate.time_ms + shift_ms, earliest_ms, np.maximum(latest_ms, earliest_ms))
        slate.measure_at(np.where(here, moved_ms, slate.time_ms))
        return here


@dataclass(frozen=True, slots=True)
class Replaced(Fault):
    """Is unscrewed when it begins; when it ends another one is there, with a full battery, counting from 0.

    The register says which device the point has when, and payloads name the device.

    Attributes
    ----------
    offset_k, noise_k, resolution_k
        By how much the new one is wrong, the standard deviation of its readings, and its resolution [K].
    """

    offset_k: float = 0.2
    noise_k: float = 0.05
    resolution_k: float = 0.1

    @property
    def positive(self) -> tuple[str, ...]:
        """A resolution."""
        return ("resolution_k",)

    @property
    def until_ms(self) -> int:
        """The new one stays."""
        return FAR_FUTURE_MS

    @property
    def of_delivery(self) -> bool:
        """There is nothing while there is none."""
        return True

    def act(self, slate: Slate, here: Bool, part: Part) -> Bool:
        """Take the old one away, and let the new one measure."""
        new = here & (slate.time_ms >= self.end_ms)
        slate.due &= ~here | new
        slate.device += new
        felt_c = slate.true_c + self.offset_k + part.normal() * self.noise_k
        np.copyto(slate.raw_c, felt_c, where=new)
        slate.steps_per_k[new] = 1.0 / self.resolution_k
        count = np.maximum((slate.regular_ms - self.end_ms) // slate.interval_ms, 0)
        np.copyto(slate.seq, count % COUNTER_SIZE, where=new)
        left_pct = 100.0 - (slate.time_ms - self.end_ms) / DAY_MS / DAYS_PER_PERCENT
        np.copyto(slate.battery_pct, np.maximum(left_pct, 1.0).astype(np.int64), where=new)
        return here & ~new


@dataclass(frozen=True, slots=True)
class Moved(Fault):
    """Lies on a window sill: feels what is outdoors, and the sun.

    Attributes
    ----------
    outdoor_share
        How far what it feels is on the way from the room to outdoors.
    sun_k
        By how much a sun of 500 W/m2 upon the window warms it [K].
    """

    outdoor_share: float = 0.3
    sun_k: float = 8.0

    @property
    def kind(self) -> str:
        """Not where it should be."""
        return "moved"

    def act(self, slate: Slate, here: Bool, part: Part) -> Bool:  # noqa: ARG002 - as every fault
        """Mix in what is at the window."""
        if slate.around is not None and here.any():
            outdoor_c, sun_w_m2 = slate.around.window(slate.time_ms)
            more_k = self.outdoor_share * (outdoor_c - slate.true_c) + self.sun_k * sun_w_m2 / _FULL_SUN_W_M2
            np.add(slate.raw_c, more_k, out=slate.raw_c, where=here)
        return here


@dataclass(frozen=True, slots=True)
class Drift(Fault):
    """Is ever more wrong.

    Attributes
    ----------
    k_per_day
        By how much more every day [K].
    """

    k_per_day: float = 0.5

    @property
    def kind(self) -> str:
        """Drift."""
        return "drift"

    def act(self, slate: Slate, here: Bool, part: Part) -> Bool:  # noqa: ARG002 - as every fault
        """Add what has come together."""
        wrong_k = (slate.time_ms - self.start_ms) / DAY_MS * self.k_per_day
        np.add(slate.raw_c, wrong_k, out=slate.raw_c, where=here)
        return here


@dataclass(frozen=True, slots=True)
class Offset(Fault):
    """Is wrong by a fixed amount.

    Attributes
    ----------
    by_k
        By how much [K].
    """

    by_k: float = 1.0

    def act(self, slate: Slate, here: Bool, part: Part) -> Bool:  # noqa: ARG002 - as every fault
        """Add it."""
        np.add(slate.raw_c, self.by_k, out=slate.raw_c, where=here)
        return here


@dataclass(frozen=True, slots=True)
class Noise(Fault):
    """Is noisier than others.

    Attributes
    ----------
    by_k
        Standard deviation of what is added to each reading [K].
    """

    by_k: float = 0.3

    def act(self, slate: Slate, here: Bool, part: Part) -> Bool:
        """Add noise."""
        np.add(slate.raw_c, part.normal() * self.by_k, out=slate.raw_c, where=here)
        return here


@dataclass(frozen=True, slots=True)
class Resolution(Fault):
    """Has another resolution.

    Attributes
    ----------
    step_k
        What its readings are whole multiples of [K].
    """

    step_k: float = 1.0

    @property
    def positive(self) -> tuple[str, ...]:
        """A step."""
        return ("step_k",)

    def act(self, slate: Slate, here: Bool, part: Part) -> Bool:  # noqa: ARG002 - as every fault
        """Change it."""
        slate.steps_per_k[here] = 1.0 / self.step_k
        return here


@dataclass(frozen=True, slots=True)
class Stuck(Fault):
    """Says the same all the time.

    Attributes
    ----------
    at_c
        What it says [degC]; not-a-number for its first reading of that time.
    """

    at_c: float = math.nan

    @property
    def kind(self) -> str:
        """Stuck."""
        return "stuck"

    @property
    def holds(self) -> bool:
        """Its first reading, where nothing else is said."""
        return math.isnan(self.at_c)

    def act(self, slate: Slate, here: Bool, part: Part) -> Bool:
        """Repeat it."""
        if self.holds:
            made = here & slate.due
            first_c = slate.temp_c[made.argmax(axis=0), np.arange(slate.rooms.size)]
            said_c = np.broadcast_to(part.hold(first_c, np.any(made, axis=0)), here.shape)
            np.copyto(slate.temp_c, said_c, where=here)
        else:
            slate.temp_c[here] = self.at_c
        return here


@dataclass(frozen=True, slots=True)
class Spikes(Fault):
    """Now and then jumps up or down for one reading.

    Attributes
    ----------
    readings_share
        Share of readings that do.
    by_k
        How far [K].
    """

    readings_share: float = 0.01
    by_k: float = 8.0

    @property
    def kind(self) -> str:
        """Spikes."""
        return "spike"

    def act(self, slate: Slate, here: Bool, part: Part) -> Bool:
        """Let some jump."""
        hit = here & (part.uniform() < self.readings_share)
        jump_k = np.where(part.uniform() < 0.5, -self.by_k, self.by_k)  # noqa: PLR2004 - as often up as down
        np.add(slate.temp_c, jump_k, out=slate.temp_c, where=hit)
        return hit


@dataclass(frozen=True, slots=True)
class Sentinel(Fault):
    """Says a number that stands for an error in place of a temperature: 85.0, -127, 327.67, 999.9.

    Attributes
    ----------
    value_c
        That number [degC].
    readings_share
        Share of readings in whose place it stands.
    """

    value_c: float = 85.0
    readings_share: float = 0.1

    @property
    def kind(self) -> str:
        """Out of range, where it is."""
        return "" if _POSSIBLE_C[0] <= self.value_c <= _POSSIBLE_C[1] else "out_of_range"

    def act(self, slate: Slate, here: Bool, part: Part) -> Bool:
        """Put it in place of some."""
        hit = here & (part.uniform() < self.readings_share)
        slate.temp_c[hit] = self.value_c
        return hit


@dataclass(frozen=True, slots=True)
class BatteryDeath(Fault):
    """The battery runs down to nothing; below 15 % readings carry the flag ``low_battery``, then there are none.

    A new device (`Replaced`) that comes after its beginning ends it.
    """

    @property
    def kind(self) -> str:
        """The flag."""
        return "low_battery"

    @property
    def until_ms(self) -> int:
        """It stays dead."""
        return FAR_FUTURE_MS

    @property
    def of_delivery(self) -> bool:
        """It is silent in the end."""
        return True

    def act(self, slate: Slate, here: Bool, part: Part) -> Bool:  # noqa: ARG002 - as every fault
        """Let the battery fall."""
        left = (self.end_ms - slate.time_ms) / max(self.end_ms - self.start_ms, 1)
        alive = here & (left > 0.0)
        np.copyto(slate.battery_pct, (slate.battery_pct * left).astype(np.int64), where=alive)
        slate.low |= alive & (slate.battery_pct < LOW_BATTERY_PCT)
        slate.due &= ~here | alive
        return alive
