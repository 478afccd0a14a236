"""What some thermometers measure in one block, open to the faults that act on it, and what a fault is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from zlib import crc32

import numpy as np

from heatwatch.domain.instants import MINUTE_MS
from heatwatch.domain.register import PointRow
from heatwatch.errors import BadInput
from simulators.arrays import Bool, Float64, Int64
from simulators.towns.events import Subject

NEVER_MS = -1
"""In place of a moment: not at all."""
AHEAD_MS = 10 * MINUTE_MS
"""What claims to be this much later than it is sent, or more, cannot be right [ms]."""
FIRST_MS = 946_684_800_000
"""2000-01-01: no clock that was set is before it."""
_STREAM_SHARE, _STREAM_DEEDS = 11, 12


@dataclass(frozen=True, slots=True)
class Around:
    """What is around thermometers at other moments than the regular ones.

    Attributes
    ----------
    rooms_c
        Returns the rooms' temperatures [degC] at moments [ms]; both of shape (intervals, rooms).
    window
        Returns what is outdoors [degC] and the sun upon the rooms' windows [W/m2] at such moments.
    """

    rooms_c: Callable[[Int64], Float64]
    window: Callable[[Int64], tuple[Float64, Float64]]


@dataclass(slots=True)
class Slate:
    """What `rooms` measure in one block, and how it is sent: arrays of shape (intervals, rooms) that faults change.

    Attributes
    ----------
    rooms : shape (rooms,)
        Numbers of the rooms, increasing.
    number, begin_ms : shape (intervals, 1)
        Numbers of the intervals since the town's start, and their beginnings [ms].
    interval_ms
        The town's interval [ms].
    around
        What is around; None where only delivery is asked for, and no temperature here has a meaning.
    true_c, raw_c, temp_c
        The room, what the sensor feels, and what is said [degC].
    steps_per_k
        Resolution.
    regular_ms, time_ms, claimed_ms
        When it should be measured, when it is, and what the thermometer takes that for [ms].
    sent_ms, again_ms
        When it is put on the wire, and when once more [ms]; `NEVER_MS` for not at all.
    told_ms
        The interval of which the register knows [ms].
    due
        Whether anything is measured at all.
    low
        Whether the flag of a low battery is set.
    device
        Which of the point's devices measures, from 0.
    group
        Readings that go in one message share a number; -1 alone.
    mark
        Which faults act, as bits.
    """

    rooms: Int64
    number: Int64
    begin_ms: Int64
    interval_ms: int
    around: Around | None
    true_c: Float64
    raw_c: Float64
    temp_c: Float64
    humidity_pct: Float64
    battery_pct: Int64
    seq: Int64
    steps_per_k: Float64
    regular_ms: Int64
    time_ms: Int64
    claimed_ms: Int64
    sent_ms: Int64
    again_ms: Int64
    told_ms: Int64
    unreadable: Bool
    due: Bool
    low: Bool
    timeless: Bool
    retain: Bool
    device: Int64
    group: Int64
    mark: Int64

    def say(self) -> None:
        """Round what the sensors feel to what they say."""
        self.temp_c = np.rint(self.raw_c * self.steps_per_k) / self.steps_per_k

    def measure_at(self, time_ms: Int64) -> None:
        """Let everything be measured, and so sent, at other moments [ms]."""
        if self.around is not None:
            true_c = self.around.rooms_c(time_ms)
            self.raw_c += true_c - self.true_c
            self.true_c = true_c
        self.claimed_ms, self.time_ms = time_ms.copy(), time_ms
        self.send_at(time_ms, np.ones_like(self.due))

    def send_at(self, sent_ms: Int64, where: Bool) -> None:
        """Let readings be sent at other moments, and their copies as much later than before [ms]."""
        later_ms = sent_ms - self.sent_ms
        where = where & (self.sent_ms != NEVER_MS)
        np.add(self.again_ms, later_ms, out=self.again_ms, where=where & (self.again_ms != NEVER_MS))
        np.copyto(self.sent_ms, sent_ms, where=where)

    def swallow(self, where: Bool) -> None:
        """Let readings not be sent."""
        self.sent_ms[where] = NEVER_MS
        self.again_ms[where] = NEVER_MS

    def sendable(self) -> Bool:
        """Mark what is measured and sent."""
        result: Bool = self.due & (self.sent_ms != NEVER_MS)
        return result

    def kept(self, sent_ms: Int64) -> Bool:
        """Mark what a correct ingest keeps of what is sent at these moments [ms]."""
        possible = (self.claimed_ms >= FIRST_MS) & (self.claimed_ms - sent_ms < AHEAD_MS)
        result: Bool = self.due & (sent_ms != NEVER_MS) & possible & ~self.unreadable & ~self.timeless
        return result

    def kept_ms(self) -> Int64:
        """Return when what is kept of each reading first arrives [ms]; `NEVER_MS` where nothing is."""
        first = np.where(self.kept(self.sent_ms), self.sent_ms, NEVER_MS)
        again = np.where(self.kept(self.again_ms), self.again_ms, NEVER_MS)
        result: Int64 = np.where((again != NEVER_MS) & ((first == NEVER_MS) | (again < first)), again, first)
        return result


class Part:
    """The part of a slate that a fault is of, and what chance has for it: the same whatever else happens.

    Attributes
    ----------
    own, until_ms : shape (rooms,)
        Which of the slate's rooms have the fault, and until when it makes a difference to each [ms].
    """

    def __init__(self, placed: Placed, slate: Slate, block: int) -> None:
        at = np.minimum(np.searchsorted(placed.rooms, slate.rooms), placed.rooms.size - 1)
        self.own: Bool = placed.rooms[at] == slate.rooms
        self.until_ms: Int64 = np.where(self.own, placed.until_ms[at], placed.fault.start_ms)
        self._at, self._placed = at[self.own], placed
        self._shape = slate.due.shape
        self._rng = np.random.default_rng([placed.seed, _STREAM_DEEDS, placed.number, block])

    def uniform(self) -> Float64:
        """Return numbers between 0 and 1, shape (intervals, rooms); 1 for rooms that do not have the fault."""
        return self._spread(self._rng.random((self._shape[0], self._placed.rooms.size)), 1.0)

    def normal(self) -> Float64:
        """Return numbers of the standard normal distribution, as `uniform`; 0 for other rooms."""
        return self._spread(self._rng.standard_normal((self._shape[0], self._placed.rooms.size)), 0.0)

    def hold(self, temp_c: Float64, known: Bool) -> Float64:
        """Return for each room the first temperature that was `known` and handed to this [degC]: shape (rooms,)."""
        held_c = self._placed.held_c
        new = np.isnan(held_c[self._at]) & known[self.own]
        held_c[self._at[new]] = temp_c[self.own][new]
        result = np.full(self.own.size, np.nan)
        result[self.own] = held_c[self._at]
        return result

    def _spread(self, drawn: Float64, otherwise: float) -> Float64:
        result = np.full(self._shape, otherwise)
        result[:, self.own] = drawn[:, self._at]
        return result


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that thermometers do besides measuring well, from `start_ms` (included) to `end_ms` (excluded) [ms].

    In the truth a reading names the faults that act on it: all readings of its time, or, where a fault hits only a
    share of them, those that it hits.

    Attributes
    ----------
    subject
        Whose thermometers.
    share
        Share of them, drawn from the town's seed; at least one where it is above 0.
    """

    subject: Subject
    start_ms: int
    end_ms: int
    share: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        name = type(self).__name__
        if self.end_ms < self.start_ms:
            raise BadInput(f"{name} of {self.subject.said} ends before it begins", where="fault")
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name.endswith("share") and not 0.0 <= value <= 1.0:
                raise BadInput(f"{one.name} of {name} is {value}, not between 0 and 1", where="fault")
            if one.name in self.positive and not value > 0:
                raise BadInput(f"{one.name} of {name} is {value}, not above 0", where="fault")

    @property
    def positive(self) -> tuple[str, ...]:
        """Names of the fields that must be above 0."""
        return ()

    @property
    def until_ms(self) -> int:
        """When it no longer makes a difference [ms]."""
        return self.end_ms

    @property
    def of_delivery(self) -> bool:
        """Whether it changes when something is measured, or what of it is kept, and when."""
        return False

    @property
    def needs_values(self) -> bool:
        """Whether a fault of delivery depends on what is measured."""
        return False

    @property
    def holds(self) -> bool:
        """Whether it remembers what was measured when it began."""
        return False

    @property
    def kind(self) -> str:
        """The kind of sensor fault that is true while it acts; nothing where none is."""
        return ""

    def check(self, interval_ms: int) -> None:
        """Refuse what makes no sense with a town's interval [ms]."""

    def delay_ms(self, interval_ms: int) -> int:  # noqa: ARG002 - of those that know better
        """Return by how much it makes a reading late at most, in a town of this interval [ms]."""
        return 0

    def moments(self, slate: Slate) -> Int64:
        """Return the moments [ms] that must be in its time where it acts: those of measuring."""
        return slate.time_ms

    def act(self, slate: Slate, here: Bool, part: Part) -> Bool:
        """Change what is measured `here`; return on which readings it acted."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A fault and the thermometers that have it.

    Attributes
    ----------
    fault
        What happens.
    rooms : shape (n,)
        Numbers of the rooms, increasing; at least one.
    until_ms : shape (n,)
        When it no longer makes a difference to each [ms].
    bit
        Its mark on a slate.
    seed
        The town's.
    held_c : shape (n,)
        What each thermometer said when it began, as far as that is known [degC].
    """

    fault: Fault
    rooms: Int64
    until_ms: Int64
    bit: int
    seed: int
    held_c: Float64

    @property
    def number(self) -> int:
        """A number that the same fault has in every town."""
        return crc32(repr(self.fault).encode())

    @property
    def last_ms(self) -> int:
        """When it no longer makes a difference to any [ms]."""
        return int(self.until_ms.max())

    def active(self, start_ms: int, end_ms: int) -> bool:
        """Whether it acts on what is measured in a time [ms]."""
        return self.fault.start_ms < end_ms and self.last_ms > start_ms

    def act(self, slate: Slate, block: int) -> None:
        """Let it act on a block."""
        part = Part(self, slate, block)
        if not part.own.any():
            return
        moment_ms = self.fault.moments(slate)
        here = part.own & (moment_ms >= self.fault.start_ms) & (moment_ms < part.until_ms)
        slate.mark[self.fault.act(slate, here, part)] |= self.bit


def chosen(fault: Fault, points: Sequence[PointRow], seed: int) -> Int64:
    """Return the numbers of the rooms whose thermometers have a fault, increasing."""
    rooms = np.flatnonzero(fault.subject.among(points)).astype(np.int64)
    count = max(round(fault.share * rooms.size), 1) if fault.share > 0.0 else 0
    if count == rooms.size:
        return rooms
    rng = np.random.default_rng([seed, _STREAM_SHARE, crc32(repr(fault).encode())])
    return np.sort(rng.permutation(rooms)[:count])
