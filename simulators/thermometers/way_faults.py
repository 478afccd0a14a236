"""Faults of clocks, and of the way from a thermometer to the broker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heatwatch.domain.instants import HOUR_MS, MINUTE_MS, SECOND_MS
from simulators.arrays import Bool, Int64
from simulators.thermometers.slate import NEVER_MS, Fault, Part, Slate

_ROUND_OFF_K = 1e-9
_NUMBERS = 1 << 24


@dataclass(frozen=True, slots=True)
class _OfClock(Fault):
    @property
    def kind(self) -> str:
        """Its times are wrong."""
        return "clock"

    @property
    def of_delivery(self) -> bool:
        """Times that cannot be right are not kept."""
        return True


@dataclass(frozen=True, slots=True)
class UnsetClock(_OfClock):
    """Was started anew when this began and knows no time: it counts from 1970."""

    def act(self, slate: Slate, here: Bool, part: Part) -> Bool:  # noqa: ARG002 - as every fault
        """Count since the beginning."""
        np.copyto(slate.claimed_ms, slate.time_ms - self.start_ms, where=here)
        return here


@dataclass(frozen=True, slots=True)
class OffsetClock(_OfClock):
    """Has a clock that is wrong by a fixed time.

    Attributes
    ----------
    by_s
        By how much it is ahead [s]; below 0 it is behind.
    """

    by_s: float = -3_600.0

    def act(self, slate: Slate, here: Bool, part: Part) -> Bool:  # noqa: ARG002 - as every fault
        """Put times off."""
        np.add(slate.claimed_ms, round(self.by_s * SECOND_MS), out=slate.claimed_ms, where=here)
        return here


@dataclass(frozen=True, slots=True)
class LocalClock(_OfClock):
    """Writes local time as if it were UTC.

    Attributes
    ----------
    utc_offset_h
        Local time less UTC [h].
    """

    utc_offset_h: float = 8.0

    def act(self, slate: Slate, here: Bool, part: Part) -> Bool:  # noqa: ARG002 - as every fault
        """Put times off by the zone."""
        np.add(slate.claimed_ms, round(self.utc_offset_h * HOUR_MS), out=slate.claimed_ms, where=here)
        return here


@dataclass(frozen=True, slots=True)
class _OfDelivery(Fault):
    @property
    def of_delivery(self) -> bool:
        """Changes what arrives, or when."""
        return True


@dataclass(frozen=True, slots=True)
class Unreadable(_OfDelivery):
    """Now and then sends a payload that cannot be read.

    Attributes
    ----------
    readings_share
        Share of payloads.
    """

    readings_share: float = 0.05

    def act(self, slate: Slate, here: Bool, part: Part) -> Bool:
        """Break some."""
        hit = here & (part.uniform() < self.readings_share)
        slate.unreadable |= hit
        return hit


@dataclass(frozen=True, slots=True)
class Sleeps(_OfDelivery):
    """Sends only what has changed since it last sent something, or when that is long ago.

    In every block of 48 of the town's intervals it sends once at least.

    Attributes
    ----------
    change_k
        Change that is worth sending [K].
    longest_h
        After which time it sends all the same [h].
    """

    change_k: float = 0.5
    longest_h: float = 2.0

    @property
    def needs_values(self) -> bool:
        """It looks at temperatures."""
        return True

    def act(self, slate: Slate, here: Bool, part: Part) -> Bool:  # noqa: ARG002 - as every fault
        """Keep to itself what has not changed."""
        sent = slate.sendable()
        last_c, last_ms = np.full(slate.rooms.size, np.nan), np.zeros(slate.rooms.size, dtype=np.int64)
        for row in range(len(here)):
            changed = ~(np.abs(slate.temp_c[row] - last_c) < self.change_k - _ROUND_OFF_K)
            sent[row] &= ~here[row] | changed | (slate.time_ms[row] - last_ms >= self.longest_h * HOUR_MS)
            np.copyto(last_c, slate.temp_c[row], where=sent[row])
            np.copyto(last_ms, slate.time_ms[row], where=sent[row])
        slate.swallow(here & ~sent)
        return here


@dataclass(frozen=True, slots=True)
class StoresAndForwards(_OfDelivery):
    """Keeps its readings and sends them together, each with its own time.

    Attributes
    ----------
    every_h
        How often it sends, counted from the beginning; at the end it sends the rest [h].
    """

    every_h: float = 6.0

    @property
    def positive(self) -> tuple[str, ...]:
        """A time."""
        return ("every_h",)

    def delay_ms(self, interval_ms: int) -> int:  # noqa: ARG002 - as every fault
        """Return that time, and up to a minute, for not all send at once."""
        return round(self.every_h * HOUR_MS) + MINUTE_MS

    def act(self, slate: Slate, here: Bool, part: Part) -> Bool:
        """Send with the next of those times."""
        every_ms = max(round(self.every_h * HOUR_MS), 1)
        upload = (slate.time_ms - self.start_ms) // every_ms
        whole_ms = np.minimum(self.start_ms + (upload + 1) * every_ms, part.until_ms)
        slate.send_at(whole_ms + (slate.regular_ms - slate.begin_ms) % MINUTE_MS, here)
        np.copyto(slate.group, slate.rooms * _NUMBERS + upload % _NUMBERS, where=here & slate.sendable())
        return here


@dataclass(frozen=True, slots=True)
class ManyWithoutTimes(_OfDelivery):
    """Sends several readings in one message of which only the newest has its time.

    Attributes
    ----------
    count
        How many; fewer where a block of 48 of the town's intervals ends.
    """

    count: int = 4

    @property
    def positive(self) -> tuple[str, ...]:
        """A number."""
        return ("count",)

    def delay_ms(self, interval_ms: int) -> int:
        """Return how long the oldest one waits."""
        return self.count * interval_ms

    def act(self, slate: Slate, here: Bool, part: Part) -> Bool:  # noqa: ARG002 - as every fault
        """Bind some together."""
        here = here & slate.sendable()
        for first in range(0, len(here), self.count):
            rows = slice(first, first + self.count)
            some, sent_ms = here[rows], slate.sent_ms[rows]
            newest_ms = np.where(some, slate.time_ms[rows], NEVER_MS).max(axis=0)
            slate.timeless[rows] |= some & (slate.time_ms[rows] < newest_ms)
            sent_ms = np.broadcast_to(np.where(some, sent_ms, NEVER_MS).max(axis=0), some.shape)
            whole = np.zeros_like(here)
            whole[rows] = some
            all_ms = slate.sent_ms.copy()
            all_ms[rows] = sent_ms
            slate.send_at(all_ms, whole)
        number = slate.number // self.count % _NUMBERS
        np.copyto(slate.group, slate.rooms * _NUMBERS + number, where=here)
        return here


@dataclass(frozen=True, slots=True)
class OutOfOrder(_OfDelivery):
    """Some of its messages are overtaken by later ones.

    Attributes
    ----------
    readings_share
        Share of readings that come late.
    by_s
        By how much at most [s].
    """

    readings_share: float = 0.2
    by_s: float = 900.0

    def delay_ms(self, interval_ms: int) -> int:  # noqa: ARG002 - as every fault
        """Return the most."""
        return round(self.by_s * SECOND_MS)

    def act(self, slate: Slate, here: Bool, part: Part) -> Bool:
        """Delay some that travel alone."""
        hit = here & (part.uniform() < self.readings_share) & (slate.group < 0) & slate.sendable()
        late_ms = (part.uniform() * self.by_s * SECOND_MS).astype(np.int64)
        slate.send_at(slate.sent_ms + late_ms, hit)
        return hit


@dataclass(frozen=True, slots=True)
class Duplicates(_OfDelivery):
    """Sends some readings twice.

    Attributes
    ----------
    readings_share
        Share of readings.
    within_s
        How much later the second time is at most [s].
    """

    readings_share: float = 0.1
    within_s: float = 600.0

    def delay_ms(self, interval_ms: int) -> int:  # noqa: ARG002 - as every fault
        """Return the most."""
        return round(self.within_s * SECOND_MS)

    def act(self, slate: Slate, here: Bool, part: Part) -> Bool:
        """Send some again."""
        hit = here & (part.uniform() < self.readings_share) & slate.sendable()
        later_ms = (part.uniform() * self.within_s * SECOND_MS).astype(np.int64)
        np.copyto(slate.again_ms, slate.sent_ms + later_ms, where=hit)
        return hit


@dataclass(frozen=True, slots=True)
class Retained(_OfDelivery):
    """Its messages carry MQTT's retain flag: the broker repeats the last one to whoever subscribes."""

    def act(self, slate: Slate, here: Bool, part: Part) -> Bool:  # noqa: ARG002 - as every fault
        """Set the flag."""
        slate.retain |= here
        return here


@dataclass(frozen=True, slots=True)
class _Outage(Fault):
    """Nothing gets through.

    Attributes
    ----------
    keeps
        Whether what should have been sent is sent when it is over; otherwise it is lost.
    """

    keeps: bool = False

    @property
    def of_delivery(self) -> bool:
        """Nothing arrives."""
        return True

    def delay_ms(self, interval_ms: int) -> int:  # noqa: ARG002 - as every fault
        """Return its length, where anything is kept."""
        return self.end_ms - self.start_ms if self.keeps else 0

    def moments(self, slate: Slate) -> Int64:
        """Return when things are sent."""
        return slate.sent_ms

    def act(self, slate: Slate, here: Bool, part: Part) -> Bool:
        """Hold back, or lose, what is sent; copies too."""
        again = part.own & (slate.again_ms >= self.start_ms) & (slate.again_ms < part.until_ms)
        slate.sent_ms[here] = self.end_ms if self.keeps else NEVER_MS
        slate.again_ms[again] = self.end_ms if self.keeps else NEVER_MS
        return here


@dataclass(frozen=True, slots=True)
class GatewayOutage(_Outage):
    """A gateway, as a rule a building's, is out of order.

    Attributes
    ----------
    keeps
        Whether it delivers what it heard meanwhile when it works again; otherwise that is lost.
    """


@dataclass(frozen=True, slots=True)
class NetworkOutage(_Outage):
    """The network of a subject, as a rule a station's, is interrupted.

    Attributes
    ----------
    keeps
        Whether what was measured meanwhile is delivered when it works again; otherwise it is lost.
    """
