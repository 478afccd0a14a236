"""The same judge, live: readings in any batches, with what the past means carried over.

Rows that are newer than what their point has said go straight into the carried state. A row that is older, or that
stands at the very instant of the last one, changes history: its block is judged anew from the store. Either way the
findings at a moment are those of one offline run over everything stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from analytics import heat, machine
from analytics.carry import Ended, carry_buildings, carry_points
from analytics.found import Found, found_at
from analytics.machine import NEVER, Records
from analytics.rows import PointRows, by_point
from analytics.timeline import lay_out
from heatwatch import __version__
from heatwatch.domain.instants import DAY_MS, MINUTE_MS
from heatwatch.domain.register import Register
from heatwatch.domain.temperature import Standard

Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

SETTLE_MS = 30 * MINUTE_MS
"""How long a building's grid waits for readings that are on their way; a later one has the block judged anew."""
SPAN = (0, 200 * 365 * DAY_MS)
"""Readings before 1970 or after 2169 are no thermometer's."""


class History(Protocol):
    """Everything that is stored."""

    def rows(self, points: Sequence[str]) -> tuple[Int32, Int64, Float64]:
        """Return all rows of `points`: index into `points`, time [ms], temperature as sent [degC]."""
        ...


class LiveJudge:
    """Judges what arrives.

    Points and buildings are numbered as in `timeline`. A *block* is a set of buildings that share points (one
    building, unless a thermometer has moved house): the unit that is judged anew, and saved, as a whole.

    Parameters
    ----------
    register, standard, zone
        Who is measured, what is asked of them, and where; for others, make another judge.
    history
        Where the past of a block is read when a late row changes it; must hold every row that was fed.
    """

    def __init__(self, register: Register, standard: Standard, zone: ZoneInfo, history: History) -> None:
        self.timeline = lay_out(register, standard, zone, SPAN)
        self._history = history
        self._heat = heat.heat_numbers(self.timeline)
        self._state = machine.fresh_state(self.timeline)
        self._counts = machine.fresh_counts(self.timeline)
        self._ended = Ended.nothing()
        self._rooms, self._buildings = heat.fresh_rooms(self.timeline, self._heat)
        self._home = np.repeat(np.arange(len(self._buildings)), np.diff(self._rooms.first))
        self._block_of_building, self._block_of_point = _blocks(self._home, self._rooms.point, len(self._state))
        self._tail = _no_rows()
        layout = (_PACKING, *((rows.dtype.descr, rows.shape[1:]) for rows, _ in self._carried()))
        self.key = hashlib.sha256(repr((__version__, layout, register, standard, zone.key)).encode()).hexdigest()
        self._settled = NEVER
        self._touched: set[int] = set()

    # --- feeding

    def feed(self, code: Int32, time_ms: Int64, temp_c: Float64) -> None:
        """Judge rows that have been stored.

        Parameters
        ----------
        code : shape (n,)
            Point number of each row.
        time_ms, temp_c : shape (n,)
            Measured [ms], and temperature as sent [degC]. Any order; what was fed before may come again.
        """
        if not len(code):
            return
        rows = by_point(code, time_ms, temp_c, len(self._state))
        points = np.nonzero(np.diff(rows.first))[0]
        late = self._is_late(points, rows.time_ms[rows.first[points]])
        anew = set(self._block_of_point[points[late]].tolist())
        straight = points[~np.isin(self._block_of_point[points], list(anew))]
        self._touched.update(self._block_of_point[points].tolist())
        self._carry(straight, rows.of(straight))
        for block in sorted(anew):
            self._judge_anew(block)

    def _is_late(self, points: Int64, first_ms: Int64) -> Bool:
        grid = np.full(len(self._state), NEVER, dtype=np.int64)
        np.maximum.at(grid, self._rooms.point, self._buildings["grid"][self._home])
        return (first_ms <= self._state["heard"][points]) | (first_ms <= grid[points])

    def _carry(self, points: Int64, rows: PointRows) -> None:
        judged, ended = carry_points(self.timeline, self._state, self._counts, points, rows)
        self._ended = self._ended.and_also(ended)
        code = np.repeat(points, np.diff(rows.first)).astype(np.int32)
        known = ~np.isnan(judged)
        self._tail = _join(self._tail, (code[known], rows.time_ms[known], judged[known]))

    def _judge_anew(self, block: int) -> None:
        points = np.nonzero(self._block_of_point == block)[0]
        buildings = np.nonzero(self._block_of_building == block)[0]
        self._forget(block, points, buildings)
        names = [self.timeline.points[point] for point in points]
        index, time_ms, temp_c = self._history.rows(names)
        self._carry(points, by_point(index, time_ms, temp_c, len(points)))
        self._watch(buildings, self._settled)
        self._prune()

    def _forget(self, block: int, points: Int64, buildings: Int64) -> None:
        fresh_rooms, fresh_buildings = heat.fresh_rooms(self.timeline, self._heat)
        members = np.isin(self._home, buildings)
        for old, new in zip(heat.remembered(self._rooms), heat.remembered(fresh_rooms), strict=True):
            old[members] = new[members]
        self._buildings[buildings] = fresh_buildings[buildings]
        self._state[points] = machine.fresh_state(self.timeline)[points]
        self._counts[points] = 0
        self._ended = self._of_blocks(self._ended, {block}, inside=False)
        kept = self._block_of_point[self._tail[0]] != block
        self._tail = (self._tail[0][kept], self._tail[1][kept], self._tail[2][kept])

    def _of_blocks(self, ended: Ended, blocks: Collection[int], *, inside: bool) -> Ended:
        wanted = list(blocks)

        def chosen(table: Records, block_of: Int64, field: str) -> Records:
            kept: Records = table[np.isin(block_of[table[field]], wanted) == inside]
            return kept

        return Ended(
            chosen(ended.spells, self._block_of_point, "point"),
            chosen(ended.silences, self._block_of_point, "point"),
            chosen(ended.faults, self._block_of_point, "point"),
            chosen(ended.outages, self._block_of_building, "building"),
        )

    # --- asking

    def found(self, as_of_ms: int) -> Found:
        """Return everything found at `as_of_ms`, which must not be before a moment asked for earlier by much.

        Raises
        ------
        ValueError
            If `as_of_ms` lies before what has been settled.
        """
        self._settle(as_of_ms - SETTLE_MS)
        if as_of_ms < self._settled:
            msg = f"findings are settled up to {self._settled} ms, {as_of_ms} ms lies before"
            raise ValueError(msg)
        rooms = heat.copy_of(self._rooms)
        buildings = self._buildings.copy()
        every = np.arange(len(buildings))
        rows = by_point(*self._tail, len(self._state))
        outages = carry_buildings(
            self.timeline, rooms, buildings, every, rows.first, rows.time_ms, rows.temp_c, as_of_ms
        )
        return found_at(self.timeline, self._state, self._ended.with_outages(outages), buildings, as_of_ms)

    @property
    def counts(self) -> Mapping[str, int]:
        """The counts of `summary.json` over all points."""
        return dict(zip(machine.COUNTS, self._counts.sum(axis=0).tolist(), strict=True))

    def _settle(self, until_ms: int) -> None:
        until_ms = until_ms // self._heat.grid_ms * self._heat.grid_ms
        if until_ms > self._settled:
            self._settled = until_ms
            self._watch(np.arange(len(self._buildings)), until_ms)
            self._prune()

    def _watch(self, buildings: Int64, until_ms: int) -> None:
        rows = by_point(*self._tail, len(self._state))
        outages = carry_buildings(
            self.timeline, self._rooms, self._buildings, buildings, rows.first, rows.time_ms, rows.temp_c, until_ms
        )
        self._ended = self._ended.with_outages(outages)

    def _prune(self) -> None:
        kept = self._tail[1] > self._settled
        self._tail = (self._tail[0][kept], self._tail[1][kept], self._tail[2][kept])

    # --- saving

    def save(self) -> dict[str, bytes]:
        """Return the state of the blocks touched since the last saving, by the name of each one's first building."""
        blocks = np.array(sorted(self._touched), dtype=np.int64)
        self._touched.clear()
        parts = [_split(rows, block, blocks) for rows, block in self._carried()] if len(blocks) else []
        return {
            self._block_name(block): _packed(self._settled, pieces)
            for block, *pieces in zip(blocks.tolist(), *parts, strict=True)
        }

    def load(self, saved: Mapping[str, bytes]) -> None:
        """Take up what `save` returned, of a judge with the same `key`; to be called before anything is fed."""
        names = {self._block_name(block): block for block in np.unique(self._block_of_building).tolist()}
        for name, dump in saved.items():
            self._take_up(names[name], dump)
        self._watch(np.arange(len(self._buildings)), self._settled)  # blocks are saved at different moments
        self._prune()

    def _block_name(self, block: int) -> str:
        """Return the name of a block's first building, whose number is the block's."""
        return self.timeline.buildings[block]

    def _carried(self) -> list[tuple[NDArray[Any], Int64]]:
        """Return all that is carried over, each array with the block of each of its rows."""
        of_point, of_building, ended = self._block_of_point, self._block_of_building, self._ended
        of_member, of_tail = of_building[self._home], of_point[self._tail[0]]
        return [
            (self._state, of_point),
            (self._counts, of_point),
            (self._buildings, of_building),
            *((column, of_member) for column in heat.remembered(self._rooms)),
            *((table, of_point[table["point"]]) for table in (ended.spells, ended.silences, ended.faults)),
            (ended.outages, of_building[ended.outages["building"]]),
            *((column, of_tail) for column in self._tail),
        ]

    def _take_up(self, block: int, dump: bytes) -> None:
        carried = self._carried()
        settled, arrays = _unpacked(dump, [rows for rows, _ in carried])
        self._settled = max(self._settled, settled)
        here = 3 + len(heat.remembered(self._rooms))
        for (rows, of_row), saved in zip(carried[:here], arrays[:here], strict=True):
            rows[of_row == block] = saved
        self._ended = self._ended.and_also(Ended(*arrays[here : here + 4]))
        code, time_ms, judged = arrays[here + 4 :]
        self._tail = _join(self._tail, (code, time_ms, judged))


Rows = tuple[Int32, Int64, Float64]

_PACKING = "settled and the rows of each array, then the arrays"


def _no_rows() -> Rows:
    return np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.float64)


def _join(rows: Rows, more: Rows) -> Rows:
    return (
        np.concatenate((rows[0], more[0])),
        np.concatenate((rows[1], more[1])),
        np.concatenate((rows[2], more[2])),
    )


def _split(rows: NDArray[Any], block: Int64, blocks: Int64) -> list[NDArray[Any]]:
    """Return the rows of each of `blocks` (increasing), in their order; `block` is that of each row."""
    order = np.argsort(block, kind="stable")
    ordered, own = rows[order], block[order]
    first, last = np.searchsorted(own, blocks, side="left"), np.searchsorted(own, blocks, side="right")
    return [ordered[low:high] for low, high in zip(first.tolist(), last.tolist(), strict=True)]


def _packed(settled: int, arrays: Sequence[NDArray[Any]]) -> bytes:
    head = np.array([settled, *map(len, arrays)], dtype=np.int64)
    return b"".join((head.tobytes(), *(rows.tobytes() for rows in arrays)))


def _unpacked(dump: bytes, like: Sequence[NDArray[Any]]) -> tuple[int, list[NDArray[Any]]]:
    """Return what was packed: arrays of as many as `like`, each of the same kind but for its length."""
    settled, *lengths = np.frombuffer(dump, np.int64, 1 + len(like)).tolist()
    at, arrays = 8 * (1 + len(like)), list[NDArray[Any]]()
    for length, one in zip(lengths, like, strict=True):
        shape = (length, *one.shape[1:])
        size = int(np.prod(shape))
        arrays.append(np.frombuffer(dump, one.dtype, size, at).reshape(shape))
        at += size * one.dtype.itemsize
    return settled, arrays


def _blocks(home: Int64, point: Int64, points: int) -> tuple[Int64, Int64]:
    """Give buildings that share a point, directly or through others, the same number: that of their block."""
    of_building = np.arange(int(home.max()) + 1)
    while True:
        of_point = np.full(points, len(of_building))
        np.minimum.at(of_point, point, of_building[home])
        merged = of_building.copy()
        np.minimum.at(merged, home, of_point[point])
        if (merged == of_building).all():
            return of_building, of_point
        of_building = merged
