"""Which thermometers were really heard when, and the silences that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from heatwatch.domain.instants import HOUR_MS
from heatwatch.domain.register import FAR_FUTURE_MS
from simulators.arrays import Int64
from simulators.thermometers.fleet import Fleet
from simulators.thermometers.slate import NEVER_MS, Placed, Slate
from simulators.thermometers.value_faults import BatteryDeath

_BREAK_MS = 8 * HOUR_MS
_BREAK_INTERVALS = 6
_NO_COINCIDENCE = 1e-15


@dataclass(frozen=True, slots=True)
class Gaps:
    """Silences from one heard reading to the next [ms], by room, then time; `end_ms` `FAR_FUTURE_MS`: none came yet."""

    room: Int64
    start_ms: Int64
    end_ms: Int64


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of a town's readings by some moment.

    Attributes
    ----------
    gaps
        Silences of `break` or longer.
    low_since_ms
        By fault (its place among all) and room: the first reading that says that the battery is low [ms].
    """

    gaps: Gaps
    low_since_ms: dict[tuple[int, int], int] = field(default_factory=dict)


def break_ms(interval_ms: Int64) -> Int64:
    """Return how long a silence has to last, by the interval of which the register knows [ms]."""
    result: Int64 = np.maximum(_BREAK_MS, _BREAK_INTERVALS * interval_ms)
    return result


def listen(fleet: Fleet, as_of_ms: int | None, uncertain: Int64) -> Heard:
    """Return the silences in what a correct ingest has kept before `as_of_ms`, told by the true moments of measuring.

    Parameters
    ----------
    fleet
        The thermometers.
    as_of_ms
        What arrives then or later is not heard [ms]; None for all that ever arrives.
    uncertain
        Rooms whose payloads may be unreadable without a fault.
    """
    if _surely_heard(fleet):
        uncertain = uncertain[:0]
    placed = [(number, one) for number, one in enumerate(fleet.placed) if one.fault.of_delivery]
    rooms = np.unique(np.concatenate([uncertain, *(one.rooms for _, one in placed)]).astype(np.int64))
    until_ms = _horizon_ms(fleet) if as_of_ms is None else as_of_ms
    listener = _Listener(rooms, until_ms, fleet.model.interval_ms)
    low_since_ms: dict[tuple[int, int], int] = {}
    if rooms.size and until_ms >= fleet.model.start_ms:
        for index in range(fleet.number_of(until_ms) + 1):
            slate = fleet.delivery(index, uncertain)
            listener.listen(fleet.times_ms(index)[:, rooms], slate)
            for number, one in placed if slate is not None else ():
                if isinstance(one.fault, BatteryDeath) and slate is not None:
                    _note_low(low_since_ms, number, one, slate, until_ms)
    return Heard(listener.gaps(), low_since_ms)


class _Listener:
    """Goes over the readings of `rooms` block by block."""

    def __init__(self, rooms: Int64, until_ms: int, interval_ms: int) -> None:
        self._rooms, self._until_ms, self._interval_ms = rooms, until_ms, interval_ms
        self._last_ms = np.full(rooms.size, NEVER_MS, dtype=np.int64)
        self._wait_ms = np.zeros(rooms.size, dtype=np.int64)
        self._found: list[tuple[Int64, Int64, Int64]] = []

    def listen(self, time_ms: Int64, slate: Slate | None) -> None:
        """Hear a block: regular moments of shape (intervals, rooms), and what is different from them."""
        if slate is None and int(time_ms[-1].max()) < self._until_ms:
            self._listen_to_edges(time_ms)
            return
        arrived_ms, told_ms = time_ms.copy(), np.full(time_ms.shape, self._interval_ms, dtype=np.int64)
        if slate is not None:
            at = np.searchsorted(self._rooms, slate.rooms)
            time_ms = time_ms.copy()
            time_ms[:, at], arrived_ms[:, at], told_ms[:, at] = slate.time_ms, slate.kept_ms(), slate.told_ms
        self._hear(time_ms, arrived_ms, break_ms(told_ms))

    def _listen_to_edges(self, time_ms: Int64) -> None:
        """Hear a block in which all is regular: within it there is no silence."""
        waits_ms = np.full((1, self._rooms.size), self._interval_ms, dtype=np.int64)
        self._hear(time_ms[:1], time_ms[:1], break_ms(waits_ms))
        self._last_ms = time_ms[-1].copy()

    def _hear(self, time_ms: Int64, arrived_ms: Int64, wait_ms: Int64) -> None:
        heard = (arrived_ms != NEVER_MS) & (arrived_ms < self._until_ms)
        all_ms, all_waits = np.vstack([self._last_ms, time_ms]), np.vstack([self._wait_ms, wait_ms])
        rows = np.arange(len(time_ms) + 1)[:, None]
        latest = np.maximum.accumulate(np.where(np.vstack([np.ones_like(heard[:1]), heard]), rows, 0), axis=0)
        before_ms = np.take_along_axis(all_ms, latest[:-1], axis=0)
        waited_ms = np.take_along_axis(all_waits, latest[:-1], axis=0)
        row, column = np.nonzero(heard & (before_ms != NEVER_MS) & (time_ms - before_ms >= waited_ms))
        self._found.append((self._rooms[column], before_ms[row, column], time_ms[row, column]))
        self._last_ms = np.take_along_axis(all_ms, latest[-1:], axis=0)[0]
        self._wait_ms = np.take_along_axis(all_waits, latest[-1:], axis=0)[0]

    def gaps(self) -> Gaps:
        """Return the silences, those too that go on."""
        going_on = (self._last_ms != NEVER_MS) & (self._until_ms - self._last_ms >= self._wait_ms)
        last = self._rooms[going_on], self._last_ms[going_on], np.full(int(going_on.sum()), FAR_FUTURE_MS)
        room, start_ms, end_ms = (np.concatenate(column) for column in zip(*self._found, last, strict=True))
        order = np.lexsort((start_ms, room))
        return Gaps(room[order], start_ms[order], end_ms[order])


def _note_low(
    low_since_ms: dict[tuple[int, int], int], number: int, placed: Placed, slate: Slate, until_ms: int
) -> None:
    """Note the first reading of each room that says that the battery is low."""
    own = np.isin(slate.rooms, placed.rooms)
    spans = (slate.time_ms >= placed.fault.start_ms) & (slate.time_ms < placed.fault.end_ms)
    low = own & slate.due & slate.low & spans & (slate.time_ms < until_ms)
    for column in np.flatnonzero(low.any(axis=0)).tolist():
        since_ms = int(slate.time_ms[low[:, column].argmax(), column])
        low_since_ms.setdefault((number, int(slate.rooms[column])), since_ms)


def _surely_heard(fleet: Fleet) -> bool:
    """Whether payloads that cannot be read will never be as many in a row as make a silence."""
    share, interval_ms = fleet.thermometers.settings.unreadable_share, fleet.model.interval_ms
    return bool(share ** int(break_ms(np.array(interval_ms)) // interval_ms - 1) < _NO_COINCIDENCE)


def _horizon_ms(fleet: Fleet) -> int:
    """Return a moment after which nothing changes any more [ms]: faults without end have lasted for long by then."""
    edges = [fleet.model.start_ms]
    waits_ms = [fleet.model.interval_ms]
    for one in fleet.placed:
        edges += [at_ms for at_ms in (one.fault.start_ms, one.fault.end_ms) if at_ms < FAR_FUTURE_MS // 2]
        waits_ms += [one.fault.delay_ms(fleet.model.interval_ms), getattr(one.fault, "interval_s", 0) * 1_000]
    longest_ms = int(break_ms(np.array(max(waits_ms))))
    return max(edges) + sum(waits_ms) + 2 * longest_ms + 2 * fleet.model.block_ms
