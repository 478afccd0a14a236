"""The same judge, live: readings in any batches, with what the past means carried over.

Rows that are newer than what their point has said go straight into the carried state. A row that is older, or that
stands at the very instant of the last one, changes history: its block is judged anew from the store. Either way the
findings at a moment are those of one offline run over everything stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from itertools import islice
from operator import attrgetter
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from analytics.buildings import heat, neighbours
from analytics.carry import (
    Ended,
    carry_buildings,
    carry_neighbours,
    carry_points,
    carry_vitals,
    judge_spells_again,
    neighbours_until,
)
from analytics.evidence.supply import SupplyFound
from analytics.found import Besides, Found, found_at
from analytics.layout.compiled import compiled
from analytics.layout.rows import PointRows, among, by_point, with_a_value
from analytics.layout.tail import Tail
from analytics.layout.timeline import lay_out
from analytics.points import machine, vitals
from analytics.points.faults import OTHERS
from analytics.points.machine import NEVER, Records
from analytics.points.silence import Service
from analytics.points.vitals import Signs
from heatwatch import __version__
from heatwatch.domain.instants import DAY_MS
from heatwatch.domain.register import FAR_FUTURE_MS, FAR_PAST_MS, PointRow, Register
from heatwatch.domain.stops import Stop
from heatwatch.domain.temperature import Standard

Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

SPAN = (0, 200 * 365 * DAY_MS)
"""Readings before 1970 or after 2169 are no thermometer's."""


class History(Protocol):
    """Everything that is stored."""

    def rows(self, points: Sequence[str]) -> tuple[Int32, Int64, Float64]:
        """Return all rows of `points`: index into `points`, time [ms], temperature as sent [degC]."""
        ...

    def signs(self, points: Sequence[str]) -> tuple[Int32, Int64, Float64, Signs] | None:
        """Return the same rows with what they say of batteries and clocks; None where that is not kept."""
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
        self.state = machine.fresh_state(self.timeline)
        self._every = np.arange(len(self.state))
        self.point_counts = machine.fresh_counts(self.timeline)
        self._ended = Ended.nothing()
        self._rooms, self._buildings = heat.fresh_rooms(self.timeline, self._heat)
        self._home = np.repeat(np.arange(len(self._buildings)), np.diff(self._rooms.first))
        self._block_of_building, self.block_of_point = _blocks(self._home, self._rooms.point, len(self.state))
        self._neighbours, self._compared = neighbours.fresh_members(self.timeline)
        self._vitals = vitals.fresh_vitals(self.timeline)
        self._ailing = np.zeros(len(self.state), dtype=np.bool_)
        self._distrusted = self._others_untrusted()
        self._members = _Places.by(self._rooms.point, len(self.state))
        of_building, of_point = self._block_of_building, self.block_of_point
        owners = (of_point, of_building, of_building[self._home])
        self._places = [_Places.by(owner, len(self._buildings)) for owner in owners]
        self._fresh = [rows[:1].copy() for rows, _ in self._carried_of()]
        self._seq = np.full(len(self._buildings), -1, dtype=np.int64)
        self.blocks = len(np.unique(self._block_of_building))
        self._tail = Tail(len(self.state))
        self._service = Service.of(self.timeline)
        self._first_row = np.searchsorted(self.timeline.rows.point, np.arange(len(self.state) + 1)).astype(np.int64)
        self._due = np.zeros(len(self.state), dtype=np.int64)
        self._standing = np.zeros(len(self.state), dtype=np.bool_)
        self._noted(self._every)
        self._ahead: _Ahead | None = None
        layout = (_PACKING, *((rows.dtype.descr, rows.shape[1:]) for rows, _ in (*self._fixed(), *self._growing())))
        self.key = _key_of(repr((__version__, layout, standard, zone.key)), register)
        self._settled = NEVER
        self._touched: dict[int, int] = {}

    # --- feeding

    def feed(self, code: Int32, time_ms: Int64, temp_c: Float64, seq: int = 0, signs: Signs | None = None) -> None:
        """Judge rows that have been stored.

        Parameters
        ----------
        code : shape (n,)
            Point number of each row.
        time_ms, temp_c : shape (n,)
            Measured [ms], and temperature as sent [degC]. Any order; what was fed before may come again.
        seq
            The first arrival that brought any of it.
        signs
            What the rows say of batteries and clocks.
        """
        if not len(code):
            return
        points, own = self._points_of(code)
        rows = by_point(own, time_ms, temp_c, len(points))
        first_ms = rows.time_ms[rows.first[:-1]]
        late = self._is_late(points, first_ms)
        anew = np.unique(self.block_of_point[points[late]])
        straight = ~np.isin(self.block_of_point[points], anew)
        for block in np.unique(self.block_of_point[points]).tolist():
            self._touched.setdefault(block, seq)
        if signs is not None:
            chosen = straight[own]
            self._look_at_signs(code[chosen], time_ms[chosen], temp_c[chosen], signs.where(chosen))
        if straight.all():
            self._carry(points, rows)
        else:
            self._carry(points[straight], rows.of(np.nonzero(straight)[0]))
        self._take_in_early(points[straight], first_ms[straight])
        if len(anew):
            self._tail.forget(np.nonzero(np.isin(self.block_of_point, anew))[0])
            for block in anew.tolist():
                self._judge_anew(block)
            self._tail.prune(self._settled)

    def _points_of(self, code: Int32) -> tuple[Int64, Int32]:
        """Return the points that rows are of, and where among them each row's is."""
        if len(code) * _MANY > len(self.state):
            return among(code, len(self.state))
        points, own = np.unique(code.astype(np.int64), return_inverse=True)
        return points, own.astype(np.int32)

    def _is_late(self, points: Int64, first_ms: Int64) -> Bool:
        members, own = self._members.among(points)
        homes = self._home[members]
        done = np.full(len(points), NEVER, dtype=np.int64)
        np.maximum.at(done, own, np.maximum(self._buildings["grid"], self._compared["taken"])[homes])
        return (first_ms <= self.state["heard"][points]) | (first_ms <= done)

    def _take_in_early(self, points: Int64, first_ms: Int64) -> None:
        """Carry on houses whose first rows are older than what is settled, before the tail forgets them."""
        early = points[first_ms <= self._settled]
        if len(early):
            self._watch(np.array(self._homes(early.astype(np.int32)), dtype=np.int64), self._settled)
            self._trust_others()

    def _carry(self, points: Int64, rows: PointRows) -> None:
        carried = carry_points(self.timeline, self.state, self.point_counts, points, rows, self._known())
        self._ended = self._ended.and_also(carried.ended)
        if self._ahead is None and len(points) * _MANY > len(self.state):
            self._tail.add_by_point(points, PointRows(rows.first, rows.time_ms, carried.judged))
        else:
            code, time_ms, judged_c = with_a_value(points, rows.first, rows.time_ms, carried.judged)
            self._tail.add(code, time_ms, judged_c)
        if self._ahead is not None:
            self._ahead.dirty.update(self._homes(code[time_ms <= self._ahead.until_ms]))
        if len(carried.again):
            self._judge_spells_again(carried.again)
        self._noted(points)

    def _judge_spells_again(self, points: Int64) -> None:
        """Judge the spells of `points` from the store, now that more is known of whom to trust."""
        index, time_ms, temp_c = self._history.rows([self.timeline.points[point] for point in points])
        heard = time_ms <= self.state["heard"][points[index]]
        rows = by_point(index[heard], time_ms[heard], temp_c[heard], len(points))
        known = np.concatenate((self._known(), machine.stuck_now(self.state)))
        spells = judge_spells_again(self.timeline, self.state, points, rows, known)
        self._ended = self._ended.with_spells_of(points, spells)
        self._noted(points)

    def _known(self) -> Records:
        """Return the sensor faults that are over, and those that others show and that stand."""
        return np.concatenate((self._ended.faults, self._distrusted[self._distrusted["open"]]))

    def _others_untrusted(self) -> Records:
        """Return the faults that others show and that take trust away, in an order of their own."""
        standing = np.concatenate((neighbours.still_open(self._neighbours), self._ailments(NEVER)))
        faults = np.concatenate((self._ended.faults, standing))
        faults = faults[np.isin(faults["kind"], OTHERS)]
        return faults[np.lexsort((faults["start"], faults["kind"], faults["point"]))]

    def _ailments(self, as_of_ms: int) -> Records:
        """Return what is wrong with batteries and clocks, and stands at `as_of_ms`."""
        chosen = np.nonzero(self._ailing)[0]
        few = vitals.Vitals(self._vitals.state[chosen], self._vitals.level_milli[chosen])
        return vitals.standing(few, self.timeline, as_of_ms, chosen)

    def _look_at_signs(self, code: Int32, time_ms: Int64, temp_c: Float64, signs: Signs) -> None:
        points, own = self._points_of(code)
        rows = vitals.vital_rows(own, time_ms, temp_c, signs, len(points))
        faults = carry_vitals(self.timeline, self._vitals, points, rows)
        self._ended = self._ended.with_faults(faults)
        before = self._ailing[points]
        state = self._vitals.state[points]
        self._ailing[points] = state["low"] | state["off"] | state["stands"]
        if len(faults) or (before | self._ailing[points]).any():
            self._trust_others()

    def _trust_others(self) -> None:
        """Judge the spells again of points of which others now say something else."""
        before, now = self._distrusted, self._others_untrusted()
        self._distrusted = now
        points = np.unique(np.concatenate((_changed(before, now), _changed(now, before))))
        if len(points):
            self._judge_spells_again(points)

    def _noted(self, points: Int64) -> None:
        """Keep beside the state of points what is looked at of all of them at every moment."""
        rows = self.timeline.rows
        _note(
            points,
            self.state,
            self._first_row,
            rows.valid_from,
            rows.valid_to,
            rows.break_ms,
            self._due,
            self._standing,
        )

    def _homes(self, code: Int32) -> list[int]:
        """Return the buildings of some rows' points."""
        members, _ = self._members.among(np.unique(code).astype(np.int64))
        homes: list[int] = np.unique(self._home[members]).tolist()
        return homes

    def _judge_anew(self, block: int) -> None:
        points, buildings, members = (places.of(block) for places in self._places)
        self._forget(block, points, buildings, members)
        names = [self.timeline.points[point] for point in points]
        told = self._history.signs(names)
        index, time_ms, temp_c = self._history.rows(names) if told is None else told[:3]
        if told is not None:
            self._look_at_signs(points[index].astype(np.int32), time_ms, temp_c, told[3])
        self._carry(points, by_point(index, time_ms, temp_c, len(points)))
        self._watch(buildings, self._settled)
        self._trust_others()
        if self._ahead is not None:
            self._ahead.dirty.update(buildings.tolist())

    def _forget(self, block: int, points: Int64, buildings: Int64, members: Int64) -> None:
        whose = {_POINT: points, _BUILDING: buildings, _MEMBER: members}
        for (rows, kind), fresh in zip(self._carried_of(), self._fresh, strict=True):
            rows[whose[kind]] = fresh
        self._ailing[points] = False
        self._distrusted = self._distrusted[~np.isin(self._distrusted["point"], points)]
        self._noted(points)
        self._ended = self._of_blocks(self._ended, {block}, inside=False)

    def _of_blocks(self, ended: Ended, blocks: Collection[int], *, inside: bool) -> Ended:
        wanted = list(blocks)

        def chosen(table: Records, block_of: Int64, field: str) -> Records:
            kept: Records = table[np.isin(block_of[table[field]], wanted) == inside]
            return kept

        return Ended(
            chosen(ended.spells, self.block_of_point, "point"),
            chosen(ended.silences, self.block_of_point, "point"),
            chosen(ended.faults, self.block_of_point, "point"),
            chosen(ended.outages, self._block_of_building, "building"),
        )

    # --- asking

    def found(self, as_of_ms: int, supply: SupplyFound | None = None, stops: Sequence[Stop] = ()) -> Found:
        """Return everything found at `as_of_ms`, which must not be before a moment asked for earlier by much.

        Raises
        ------
        ValueError
            If `as_of_ms` lies before what has been settled.
        """
        self.settle(as_of_ms)
        if as_of_ms < self._settled:
            msg = f"findings are settled up to {self._settled} ms, {as_of_ms} ms lies before"
            raise ValueError(msg)
        ahead = self._look_ahead(as_of_ms // self._heat.grid_ms * self._heat.grid_ms)
        ended = self._ended.with_outages(ahead.outages)
        points = np.nonzero(self._standing | (self._due <= as_of_ms))[0]
        others = np.concatenate((neighbours.still_open(self._neighbours), self._ailments(as_of_ms)))
        besides = Besides(others, supply or SupplyFound.none(), stops)
        return found_at(self.timeline, self._service, self.state, ended, ahead.buildings, as_of_ms, besides, points)

    def _look_ahead(self, until_ms: int) -> _Ahead:
        """Carry copies of the buildings on to `until_ms`, those only of which that is not known already."""
        ahead = self._ahead
        if ahead is None or ahead.until_ms != until_ms:
            everyone = np.arange(len(self._buildings))
            ahead = _Ahead(until_ms, heat.copy_of(self._rooms), self._buildings.copy())
            rows = self._tail.by_point()
        elif not ahead.dirty:
            return ahead
        else:
            everyone = np.array(sorted(ahead.dirty), dtype=np.int64)
            members = np.nonzero(np.isin(self._home, everyone))[0]
            for copied, settled in zip(heat.remembered(ahead.rooms), heat.remembered(self._rooms), strict=True):
                copied[members] = settled[members]
            ahead.buildings[everyone] = self._buildings[everyone]
            ahead.outages = ahead.outages[~np.isin(ahead.outages["building"], everyone)]
            rows = self._tail.of(np.unique(self._rooms.point[members]))
        outages = self._watched(ahead.rooms, ahead.buildings, everyone, rows, until_ms)
        ahead.outages = np.concatenate((ahead.outages, outages))
        ahead.dirty.clear()
        self._ahead = ahead
        return ahead

    @property
    def counts(self) -> Mapping[str, int]:
        """The counts of `summary.json` over all points."""
        return dict(zip(machine.COUNTS, self.point_counts.sum(axis=0).tolist(), strict=True))

    def settle(self, as_of_ms: int) -> None:
        """Forget what findings at `as_of_ms`, or later, no longer need."""
        until_ms = neighbours_until(self.timeline, as_of_ms)
        if until_ms > self._settled:
            self._settled = until_ms
            self._watch(np.arange(len(self._buildings)), until_ms)
            self._trust_others()
            self._tail.prune(until_ms)
            self._ahead = None

    def _watch(self, buildings: Int64, until_ms: int) -> None:
        if len(buildings) == len(self._buildings):
            rows = self._tail.by_point()
        else:
            rows = self._tail.of(np.unique(self._rooms.point[np.isin(self._home, buildings)]))
        if len(buildings) < _MANY:
            outages = self._watched(self._rooms, self._buildings, buildings, rows, until_ms)
            faults = self._compare(buildings, rows, until_ms)
        else:  # none of these has anything to do with another, and the compiled loops let other threads go on
            with ThreadPoolExecutor(1, "comparing-rooms") as thread:
                comparing = thread.submit(self._compare, buildings, rows, until_ms)
                outages = self._watched(self._rooms, self._buildings, buildings, rows, until_ms)
                faults = comparing.result()
        self._ended = self._ended.with_outages(outages).with_faults(faults)

    def _compare(self, buildings: Int64, rows: PointRows, until_ms: int) -> Records:
        return carry_neighbours(self.timeline, self._neighbours, self._compared, buildings, rows, until_ms)

    def _watched(self, rooms: heat.Rooms, state: Records, buildings: Int64, rows: PointRows, until_ms: int) -> Records:
        def watched(some: Int64) -> Records:
            return carry_buildings(self.timeline, rooms, state, some, rows.first, rows.time_ms, rows.temp_c, until_ms)

        half = len(buildings) // 2
        if half < _MANY:
            return watched(buildings)
        with ThreadPoolExecutor(1, "watching-buildings") as thread:
            others = thread.submit(watched, buildings[half:])
            return np.concatenate((watched(buildings[:half]), others.result()))

    # --- saving

    def save(self, seq: int = 0, most: int | None = None) -> dict[str, bytes]:
        """Return the state of blocks touched since they were last saved, by the name of each one's first building.

        Parameters
        ----------
        seq
            The last arrival that has been fed.
        most
            So many at most, those that were touched longest ago; None: all.
        """
        blocks = list(islice(self._touched, most))
        for block in blocks:
            del self._touched[block]
        saved = dict[str, bytes]()
        if not blocks:
            return saved
        points = np.sort(np.concatenate([self._places[_POINT].of(block) for block in blocks]))
        lasting = [_split(rows, block, blocks) for rows, block in self._growing(points)]
        for k, block in enumerate(blocks):
            fixed = [rows[places.of(block)] for rows, places in self._fixed()]
            head = (seq, self._settled)
            saved[self._block_name(block)] = _packed(head, [*fixed, *(parts[k] for parts in lasting)])
        return saved

    def saved_up_to(self, seq: int) -> int:
        """Return the arrival up to which everything has been saved, given that `seq` was fed last."""
        return min(self._touched.values(), default=seq + 1) - 1

    def load(self, saved: Mapping[str, bytes]) -> None:
        """Take up what `save` returned, of a judge with the same `key`; to be called before anything is fed.

        What has arrived since each block was saved has to be fed again: `unsaved` says which.
        """
        names = {self._block_name(block): block for block in np.unique(self._block_of_building).tolist()}
        fixed = self._fixed()
        kinds = [rows for rows, _ in (*fixed, *self._growing())]
        growing: list[list[NDArray[Any]]] = [[rows] for rows, _ in self._growing()]
        for name, dump in saved.items():
            block = names[name]
            (seq, settled), arrays = _unpacked(dump, kinds)
            self._settled = max(self._settled, settled)
            self._seq[block] = seq
            for (rows, places), values in zip(fixed, arrays, strict=False):
                rows[places.of(block)] = values
            for parts, values in zip(growing, arrays[len(fixed) :], strict=True):
                parts.append(values)
        whole = [np.concatenate(parts) for parts in growing]
        self._ended = Ended(*whole[:4])
        self._tail = Tail(len(self.state))
        self._tail.add(*whole[4:])
        self._noted(self._every)
        state = self._vitals.state
        self._ailing = state["low"] | state["off"] | state["stands"]
        self._distrusted = self._others_untrusted()
        self._watch(np.arange(len(self._buildings)), self._settled)  # blocks are saved at different moments
        self._trust_others()
        self._tail.prune(self._settled)

    def unsaved(self, points: Int64, seq: Int64) -> Bool:
        """Say of arrivals (`seq`) that touched `points` whether they came after what was loaded of them; shape (n,)."""
        return seq > self._seq[self.block_of_point[points]]

    def _block_name(self, block: int) -> str:
        """Return the name of a block's first building, whose number is the block's."""
        return self.timeline.buildings[block]

    def _fixed(self) -> list[tuple[NDArray[Any], _Places]]:
        """Return what is carried over of each point, building and member, and where each block's rows are."""
        return [(rows, self._places[kind]) for rows, kind in self._carried_of()]

    def _carried_of(self) -> list[tuple[NDArray[Any], int]]:
        """Return what is carried over, and whether its rows are of points, buildings or members."""
        return [
            (self.state, _POINT),
            (self.point_counts, _POINT),
            (self._buildings, _BUILDING),
            *((column, _MEMBER) for column in heat.remembered(self._rooms)),
            (self._compared, _BUILDING),
            *((column, _MEMBER) for column in neighbours.remembered(self._neighbours)),
            *((column, _POINT) for column in vitals.remembered(self._vitals)),
        ]

    def _growing(self, points: Int64 | None = None) -> list[tuple[NDArray[Any], Int64]]:
        """Return what is over and (of some points: None, all) what is not settled; each with its rows' blocks."""
        of_point, of_building, ended = self.block_of_point, self._block_of_building, self._ended
        tail = self._tail.rows(points)
        of_tail = of_point[tail[0]]
        return [
            *((table, of_point[table["point"]]) for table in (ended.spells, ended.silences, ended.faults)),
            (ended.outages, of_building[ended.outages["building"]]),
            *((column, of_tail) for column in tail),
        ]


@dataclass(slots=True)
class _Ahead:
    """Copies of the buildings, carried on past what is settled, and the outages that ended on the way.

    `dirty` are those that have since been told something of the time up to `until_ms`.
    """

    until_ms: int
    rooms: heat.Rooms
    buildings: Records
    outages: Records = field(default_factory=lambda: np.zeros(0, heat.OUTAGE))
    dirty: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the rows of each of some owners are: those of owner `k` are `place[first[k]:first[k + 1]]`."""

    first: Int64
    place: Int64

    @classmethod
    def by(cls, owner: Int64, owners: int) -> _Places:
        """Return the places of rows, given the owner of each."""
        order = np.argsort(owner, kind="stable")
        return cls(np.searchsorted(owner[order], np.arange(owners + 1)).astype(np.int64), order)

    def of(self, owner: int) -> Int64:
        """Return the rows of one owner."""
        return self.place[self.first[owner] : self.first[owner + 1]]

    def among(self, owners: Int64) -> tuple[Int64, Int64]:
        """Return the rows of some owners, and whose each is: an index into `owners`."""
        low, count = self.first[owners], self.first[owners + 1] - self.first[owners]
        start = np.cumsum(count) - count
        own = np.repeat(np.arange(len(owners)), count)
        return self.place[np.repeat(low - start, count) + np.arange(len(own))], own


_MANY = 16
"""So many buildings are worth a thread; and of a share of the points, one in so many, it is quicker to go over all of
them than to sort."""
_AT_ONCE = 10_000
_ROW_SAYS = attrgetter(*("room_class.value" if one.name == "room_class" else one.name for one in fields(PointRow)))
_POINT, _BUILDING, _MEMBER = range(3)
_PACKING = "last arrival, settled and the rows of each array, then the arrays"


@compiled
def _note(
    points: Int64,
    state: Records,
    first_row: Int64,
    valid_from: Int64,
    valid_to: Int64,
    break_ms: Int64,
    due: Int64,
    standing: Bool,
) -> None:
    """Put down from when on points are silent if nothing more comes [ms], and whether `machine.unfinished` has any.

    For `silence.point_silences`: before that moment it finds nothing that goes on.
    """
    for k in range(len(points)):
        point = points[k]
        s = state[point]
        since, wait = s.heard, s.heard_break
        if since == NEVER:
            since, wait = valid_from[first_row[point]], break_ms[first_row[point]]
        known = since != FAR_PAST_MS and since + wait <= valid_to[first_row[point + 1] - 1]
        due[point] = since + wait if known else FAR_FUTURE_MS
        standing[point] = s.cold or s.stuck or s.pending or s.bad[0].count > 0 or s.bad[1].count > 0


def _key_of(said: str, register: Register) -> str:
    """Return a digest of what is said and of a register, which may be of a million rows."""
    digest = hashlib.sha256(said.encode() + repr(register.implied).encode())
    for begin in range(0, len(register.rows), _AT_ONCE):
        digest.update(repr([*map(_ROW_SAYS, register.rows[begin : begin + _AT_ONCE])]).encode())
    return digest.hexdigest()


def _changed(faults: Records, others: Records) -> Int64:
    """Return the points of the faults that are not among `others`, whatever they say besides from when to when."""

    def said(table: Records) -> set[tuple[int, ...]]:
        return set(zip(*(table[name].tolist() for name in ("point", "kind", "open", "start", "end")), strict=True))

    return np.array([row[0] for row in said(faults) - said(others)], dtype=np.int64)


def _split(rows: NDArray[Any], block: Int64, blocks: Sequence[int]) -> list[NDArray[Any]]:
    """Return the rows of each of `blocks`, in their order; `block` is that of each row."""
    chosen = np.nonzero(np.isin(block, blocks))[0]
    order = chosen[np.argsort(block[chosen], kind="stable")]
    own = block[order]
    first, last = np.searchsorted(own, blocks, side="left"), np.searchsorted(own, blocks, side="right")
    return [rows[order[low:high]] for low, high in zip(first.tolist(), last.tolist(), strict=True)]


def _packed(head: tuple[int, int], arrays: Sequence[NDArray[Any]]) -> bytes:
    first = np.array([*head, *map(len, arrays)], dtype=np.int64)
    return b"".join((first.tobytes(), *(rows.tobytes() for rows in arrays)))


def _unpacked(dump: bytes, like: Sequence[NDArray[Any]]) -> tuple[tuple[int, int], list[NDArray[Any]]]:
    """Return what was packed: arrays of as many as `like`, each of the same kind but for its length."""
    seq, settled, *lengths = np.frombuffer(dump, np.int64, 2 + len(like)).tolist()
    at, arrays = 8 * (2 + len(like)), list[NDArray[Any]]()
    for length, one in zip(lengths, like, strict=True):
        shape = (length, *one.shape[1:])
        size = int(np.prod(shape))
        arrays.append(np.frombuffer(dump, one.dtype, size, at).reshape(shape))
        at += size * one.dtype.itemsize
    return (seq, settled), arrays


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
