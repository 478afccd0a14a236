"""A town's thermometers at work: what they measure block by block, and what of it is sent when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from simulators.arrays import Bool, Float64, Int64
from simulators.physics.model import INTERVALS_PER_BLOCK, RoomModel
from simulators.physics.sun import on_sides_w_m2
from simulators.thermometers import faults
from simulators.thermometers.devices import Measured, Thermometers
from simulators.thermometers.faults import UNREADABLE_BIT
from simulators.thermometers.rows import Rows, joined, merged, where
from simulators.thermometers.slate import NEVER_MS, Around, Placed, Slate

_SAID = ("temp_c", "humidity_pct", "battery_pct", "seq", "unreadable")


@dataclass(slots=True)
class MeasuredBlock:
    """What is measured in a block: arrays of shape (intervals, rooms), and the rooms that faults act on."""

    index: int
    true_c: Float64
    time_ms: Int64
    said: Measured
    slate: Slate | None
    regular: Rows | None = field(default=None)


class Fleet:
    """All thermometers of a town, and what is wrong with them.

    Parameters
    ----------
    model
        The rooms.
    thermometers
        One a room.
    placed
        What is wrong, in the order in which it acts.
    """

    def __init__(self, model: RoomModel, thermometers: Thermometers, placed: Sequence[Placed]) -> None:
        self.model, self.thermometers, self.placed = model, thermometers, placed
        self.rooms: int = thermometers.offset_ms.size
        self._order = np.argsort(thermometers.offset_ms, kind="stable").astype(np.int64)
        self._latest: MeasuredBlock | None = None
        self._remembered: set[tuple[int, int]] = set()
        self._pending: list[Rows] = []
        self._reached_ms, self._next = NEVER_MS, 0

    def number_of(self, time_ms: int) -> int:
        """Return the number of the block in which a moment lies [ms]; 0 for what was before the start."""
        return max(time_ms - self.model.start_ms, 0) // self.model.block_ms

    def sent(self, start_ms: int, end_ms: int) -> Rows:
        """Return what is sent from `start_ms` (included) to `end_ms` (excluded) [ms], by time, then room.

        What is still on its way at the end is kept for the next call, which mostly goes on from there.
        """
        if start_ms != self._reached_ms:
            self._pending, self._next = [], self.number_of(self._earliest_ms(start_ms))
        regular = []
        blocks = self._blocks(start_ms, end_ms)
        for index in range(min(self._next, blocks.start), blocks.stop):
            block = self.block(index)
            if index in blocks:
                rows = self.regular(block)
                first, last = np.searchsorted(rows["sent_ms"], [start_ms, end_ms])
                regular.append(where(rows, slice(first, last)))
            if index >= self._next and block.slate is not None:
                self._pending.append(_sendings(block.slate))
        self._next = max(self._next, blocks.stop)
        self._reached_ms = end_ms
        return self._with_pending(joined(regular), start_ms, end_ms)

    def measured(self, start_ms: int, end_ms: int) -> Rows:
        """Return all that is measured in a time [ms], whatever becomes of it, by true time, then room."""
        found = []
        for index in self._blocks(start_ms, end_ms):
            block = self.block(index)
            first, second = self._undisturbed(block), _measurings(block.slate)
            keys = first["time_ms"] * self.rooms + first["room"], second["time_ms"] * self.rooms + second["room"]
            order = np.argsort(keys[1], kind="stable")
            rows = merged(first, where(second, order), (keys[0], keys[1][order]))
            cut = np.searchsorted(rows["time_ms"], [start_ms, end_ms])
            found.append(where(rows, slice(*cut)))
        return joined(found)

    def true(self, start_ms: int, end_ms: int) -> Rows:
        """Return the rooms' temperatures at all regular moments of a time [ms]: ``time_ms, room, true_c``."""
        found = []
        for index in self._blocks(start_ms, end_ms):
            true_c = self.model.sampled(index, self.thermometers.offset_ms)
            time_ms = self.times_ms(index)
            columns = {"time_ms": time_ms, "room": self._all_rooms(), "true_c": true_c}
            rows = {name: values[:, self._order].ravel() for name, values in columns.items()}
            cut = np.searchsorted(rows["time_ms"], [start_ms, end_ms])
            found.append(where(rows, slice(*cut)))
        return joined(found)

    def block(self, index: int) -> MeasuredBlock:
        """Return a block; the last one asked for is kept."""
        if self._latest is None or self._latest.index != index:
            self._remember(index)
            true_c = self.model.sampled(index, self.thermometers.offset_ms)
            said = self.thermometers.measure(true_c, index)
            block = MeasuredBlock(index, true_c, self.times_ms(index), said, None)
            block.slate = self._slate(block, self._disturbed(index))
            self._latest = block
        return self._latest

    def delivery(self, index: int, besides: Int64) -> Slate | None:
        """Return what becomes of a block's readings where that is not regular, without what is measured.

        Parameters
        ----------
        index
            Number of the block.
        besides
            Rooms whose readings may not be readable.
        """
        active = [one for one in self._active(index) if one.fault.of_delivery]
        if besides.size or any(one.fault.needs_values for one in active):
            rooms = np.union1d(self._rooms_of(active), besides)
            block = self.block(index)
            return self._slate(block, rooms)
        rooms = self._rooms_of(active)
        if not rooms.size:
            return None
        slate = self._blank(index, rooms)
        faults.act([one for one in self._acting(index) if one.fault.of_delivery], slate, index)
        return slate

    def regular(self, block: MeasuredBlock) -> Rows:
        """Return what is sent by those that no fault acts on, by time, then room."""
        if block.regular is None:
            order = self._order_of_others(block)
            sendings = 1 + block.said.twice[:, order].ravel()
            sent = np.repeat(np.arange(sendings.size), sendings)
            columns = {name: getattr(block.said, name) for name in _SAID}
            columns |= {"sent_ms": block.time_ms, "room": self._all_rooms()}
            rows = {name: values[:, order].ravel()[sent] for name, values in columns.items()}
            none, zero = np.zeros(sent.size, dtype=np.bool_), np.zeros(sent.size, dtype=np.int64)
            rows |= {"time_ms": rows["sent_ms"], "claimed_ms": rows["sent_ms"], "group": zero - 1, "device": zero}
            block.regular = rows | {
                "low": none,
                "timeless": none,
                "retain": none,
                "copy": np.diff(sent, prepend=-1) == 0,
            }
        return block.regular

    def _blocks(self, start_ms: int, end_ms: int) -> range:
        """Return the blocks that a time touches; an empty time touches one."""
        return range(self.number_of(start_ms), self.number_of(max(end_ms - 1, start_ms)) + 1)

    def _with_pending(self, regular: Rows, start_ms: int, end_ms: int) -> Rows:
        if not self._pending:
            return regular
        pending = joined(self._pending)
        due = pending["sent_ms"] < end_ms
        self._pending = [where(pending, ~due)]
        rows = where(pending, due & (pending["sent_ms"] >= start_ms))
        rows = where(rows, np.lexsort((rows["copy"], rows["time_ms"], rows["room"], rows["sent_ms"])))
        keys = [one["sent_ms"] * self.rooms + one["room"] for one in (regular, rows)]
        return merged(regular, rows, (keys[0], keys[1]))

    def _earliest_ms(self, sent_ms: int) -> int:
        """Return before which moment nothing is measured that is sent at `sent_ms` or later [ms]."""
        from_ms = np.full(self.rooms, sent_ms, dtype=np.int64)
        for one in reversed(self.placed):
            delay_ms = one.fault.delay_ms(self.model.interval_ms)
            since_ms = from_ms[one.rooms]
            concerned = (one.fault.start_ms < since_ms) & (one.until_ms > since_ms - delay_ms) & (delay_ms > 0)
            earlier_ms = np.maximum(since_ms - delay_ms, one.fault.start_ms)
            from_ms[one.rooms] = np.where(concerned, earlier_ms, since_ms)
        return int(from_ms.min())

    def _remember(self, index: int) -> None:
        """Let faults that hold a value know what was said when they began, where that was in an earlier block."""
        for one in self.placed:
            if one.fault.holds and one.active(*self._span_ms(index)):
                for before in range(self.number_of(one.fault.start_ms), index):
                    if not np.isnan(one.held_c).any():
                        break
                    if (id(one), before) not in self._remembered:
                        self.block(before)

    def _span_ms(self, index: int) -> tuple[int, int]:
        first_ms = self.model.start_ms + index * self.model.block_ms
        return first_ms, first_ms + self.model.block_ms

    def _active(self, index: int) -> list[Placed]:
        span_ms = self._span_ms(index)
        return [one for one in self.placed if one.active(*span_ms)]

    def _acting(self, index: int) -> list[Placed]:
        """Return what may act on what is measured in a block: also outages that begin before it is sent."""
        first_ms, end_ms = self._span_ms(index)
        late_ms = sum(one.fault.delay_ms(self.model.interval_ms) for one in self._active(index))
        return [one for one in self.placed if one.active(first_ms, end_ms + late_ms)]

    def _disturbed(self, index: int) -> Int64:
        return self._rooms_of(self._active(index))

    @staticmethod
    def _rooms_of(placed: Sequence[Placed]) -> Int64:
        found = [one.rooms for one in placed]
        return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)

    def _slate(self, block: MeasuredBlock, rooms: Int64) -> Slate | None:
        if not rooms.size:
            return None
        slate, said = self._blank(block.index, rooms), block.said
        slate.around = Around(
            rooms_c=lambda time_ms: self._rooms_c(block.index, rooms, time_ms),
            window=lambda time_ms: self._window(rooms, time_ms),
        )
        slate.true_c, slate.raw_c = block.true_c[:, rooms], said.felt_c[:, rooms]
        slate.humidity_pct, slate.seq = said.humidity_pct[:, rooms], said.seq[:, rooms]
        slate.unreadable = said.unreadable[:, rooms]
        slate.mark[slate.unreadable] |= UNREADABLE_BIT
        slate.again_ms[said.twice[:, rooms]] = slate.time_ms[said.twice[:, rooms]]
        acting = self._acting(block.index)
        faults.act(acting, slate, block.index)
        self._remembered |= {(id(one), block.index) for one in acting if one.fault.holds}
        return slate

    def _blank(self, index: int, rooms: Int64) -> Slate:
        """Return a slate that knows moments and batteries only."""
        number = index * INTERVALS_PER_BLOCK + np.arange(INTERVALS_PER_BLOCK, dtype=np.int64)[:, None]
        begin_ms = self.model.start_ms + number * self.model.interval_ms
        regular_ms = begin_ms + self.thermometers.offset_ms[rooms]
        shape = regular_ms.shape
        steps = np.broadcast_to(self.thermometers.steps_per_k[rooms], shape).copy()

        def none() -> Bool:
            return np.zeros(shape, dtype=np.bool_)

        def zero() -> Int64:
            return np.zeros(shape, dtype=np.int64)

        return Slate(
            rooms=rooms,
            number=number,
            begin_ms=begin_ms,
            interval_ms=self.model.interval_ms,
            around=None,
            true_c=np.zeros(shape),
            raw_c=np.zeros(shape),
            temp_c=np.zeros(shape),
            humidity_pct=np.zeros(shape),
            battery_pct=self.thermometers.battery_pct(number)[:, rooms],
            seq=zero(),
            steps_per_k=steps,
            regular_ms=regular_ms,
            time_ms=regular_ms.copy(),
            claimed_ms=regular_ms.copy(),
            sent_ms=regular_ms.copy(),
            again_ms=zero() + NEVER_MS,
            told_ms=zero() + self.model.interval_ms,
            unreadable=none(),
            due=~none(),
            low=none(),
            timeless=none(),
            retain=none(),
            device=zero(),
            group=zero() - 1,
            mark=zero(),
        )

    def _rooms_c(self, index: int, rooms: Int64, time_ms: Int64) -> Float64:
        number = index * INTERVALS_PER_BLOCK + np.arange(INTERVALS_PER_BLOCK, dtype=np.int64)[:, None]
        offset_ms = np.broadcast_to(self.thermometers.offset_ms, (INTERVALS_PER_BLOCK, self.rooms)).copy()
        offset_ms[:, rooms] = time_ms - self.model.start_ms - number * self.model.interval_ms
        return self.model.sampled(index, offset_ms)[:, rooms]

    def _window(self, rooms: Int64, time_ms: Int64) -> tuple[Float64, Float64]:
        weather, physics = self.model.weather, self.model.physics
        known_ms = np.minimum(time_ms, weather.until_ms).ravel()
        sun_w_m2 = on_sides_w_m2(time_ms.ravel(), weather.cloudiness(known_ms), physics.site)
        side = np.broadcast_to(physics.fabric.side[rooms], time_ms.shape).ravel()
        outdoor_c = weather.outdoor_c(known_ms).reshape(time_ms.shape)
        return outdoor_c, sun_w_m2[np.arange(side.size), side].reshape(time_ms.shape)

    def times_ms(self, index: int) -> Int64:
        """Return the regular moments of a block [ms], shape (intervals, rooms)."""
        interval = index * INTERVALS_PER_BLOCK + np.arange(INTERVALS_PER_BLOCK, dtype=np.int64)
        return self.model.start_ms + interval[:, None] * self.model.interval_ms + self.thermometers.offset_ms

    def _all_rooms(self) -> Int64:
        return np.broadcast_to(np.arange(self.rooms, dtype=np.int64), (INTERVALS_PER_BLOCK, self.rooms))

    def _order_of_others(self, block: MeasuredBlock) -> Int64:
        """Return the rooms that no fault acts on, by the moment at which they measure."""
        if block.slate is None:
            return self._order
        return self._order[~np.isin(self._order, block.slate.rooms)]

    def _undisturbed(self, block: MeasuredBlock) -> Rows:
        order, said = self._order_of_others(block), block.said
        columns = {"time_ms": block.time_ms, "room": self._all_rooms(), "true_c": block.true_c, "temp_c": said.temp_c}
        rows = {name: values[:, order].ravel() for name, values in columns.items()}
        unreadable = said.unreadable[:, order].ravel()
        arrived_ms, mark = rows["time_ms"], np.where(unreadable, UNREADABLE_BIT, 0)
        return rows | {"claimed_ms": arrived_ms, "arrived_ms": arrived_ms, "mark": mark, "kept": ~unreadable}


def _sendings(slate: Slate) -> Rows:
    """Return what is sent of a slate, in no order."""
    names = [*_SAID, "time_ms", "claimed_ms", "group", "device", "low", "timeless", "retain"]
    rooms = np.broadcast_to(slate.rooms, slate.due.shape)
    found: list[Rows] = []
    for sent_ms, copy in ((slate.sent_ms, False), (slate.again_ms, True)):
        here = slate.due & (sent_ms != NEVER_MS)
        rows = {name: getattr(slate, name)[here] for name in names}
        rows |= {"sent_ms": sent_ms[here], "room": rooms[here], "copy": np.full(int(here.sum()), copy)}
        found.append(rows | ({"group": np.full_like(rows["group"], -1)} if copy else {}))
    return joined(found)


def _measurings(slate: Slate | None) -> Rows:
    """Return what is measured on a slate, in no order; nothing without one."""
    if slate is None:
        empty = np.empty(0, np.int64)
        names = ("time_ms", "room", "claimed_ms", "arrived_ms", "mark")
        numbers = {name: np.empty(0) for name in ("true_c", "temp_c")}
        return dict.fromkeys(names, empty) | numbers | {"kept": np.empty(0, np.bool_)}
    here = slate.due
    sent = np.where(slate.sent_ms == NEVER_MS, slate.again_ms, slate.sent_ms)
    both = (slate.sent_ms != NEVER_MS) & (slate.again_ms != NEVER_MS)
    columns = {
        "time_ms": slate.time_ms,
        "room": np.broadcast_to(slate.rooms, here.shape),
        "true_c": slate.true_c,
        "temp_c": slate.temp_c,
        "claimed_ms": np.where(slate.timeless, NEVER_MS, slate.claimed_ms),
        "arrived_ms": np.where(both, np.minimum(slate.sent_ms, slate.again_ms), sent),
        "mark": slate.mark,
        "kept": slate.kept_ms() != NEVER_MS,
    }
    return {name: values[here] for name, values in columns.items()}
