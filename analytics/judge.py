"""Judging: findings = f(readings, dated rules, dated register, as_of), offline, behind a pandas face."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
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
    to_judge_again,
)
from analytics.evidence.supply_sources import OtherEvidence
from analytics.found import Besides, found_at, frames_of
from analytics.layout.rows import PointRows, Unordered, by_point
from analytics.layout.timeline import Timeline, lay_out
from analytics.points import machine, vitals
from analytics.points.faults import OTHERS
from analytics.points.machine import Records
from analytics.points.silence import Service
from analytics.points.vitals import NO_LAG, Signs
from heatwatch.domain.findings import FindingKind
from heatwatch.domain.register import FAR_PAST_MS, Register
from heatwatch.domain.temperature import Standard
from heatwatch.errors import BadInput

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything found at one moment.

    Attributes
    ----------
    as_of_ms
        The moment [ms].
    frames
        Per kind the columns of the design's file of that name: instants as UTC timestamps (NaT: none),
        text empty where there is none; rows in the fixed order of the files.
    summary
        The counts of `summary.json`.
    """

    as_of_ms: int
    frames: Mapping[FindingKind, pd.DataFrame]
    summary: Mapping[str, Any]

    @property
    def cold_spells(self) -> pd.DataFrame:
        """Unbroken times in which a room violates R1-R4."""
        return self.frames[FindingKind.COLD_SPELL]

    @property
    def heat_outages(self) -> pd.DataFrame:
        """Times in which a building or station gets no heat."""
        return self.frames[FindingKind.HEAT_OUTAGE]

    @property
    def data_outages(self) -> pd.DataFrame:
        """Times in which a point, building or station sends nothing."""
        return self.frames[FindingKind.DATA_OUTAGE]

    @property
    def sensor_faults(self) -> pd.DataFrame:
        """Times in which a thermometer does not say the room's temperature."""
        return self.frames[FindingKind.SENSOR_FAULT]


def judge(
    readings: pd.DataFrame,
    register: Register | None,
    standard: Standard,
    zone: ZoneInfo,
    as_of_ms: int | None = None,
    other: OtherEvidence | None = None,
) -> Findings:
    """Judge readings, offline and at once.

    Parameters
    ----------
    readings : pandas.DataFrame
        `time` (UTC timestamps), `point_id`, `temperature_c` [degC]; rows in any order, as a readings file has them.
        Batteries and clocks are looked at where `battery_pct` [%], `battery_v` [V], `flags` or `arrived` are there.
    register
        Who is measured; None: every point an apartment, in one building.
    standard, zone
        The dated rules, and the zone whose local hours they speak of.
    as_of_ms
        The moment for which findings are asked [ms]; later rows are left out. None: nothing is left
        out, and the moment is that of the latest valid reading.

    Raises
    ------
    BadInput
        If there are no readings, or a point names a contract that the rules do not have.

    References
    ----------
    .. [1] The design's definitions of judging; `docs/decisions/0007-judging-where-the-design-is-silent.md`.
    """
    time_ms = readings["time"].to_numpy(dtype="datetime64[ms]").view(np.int64)
    column = readings["point_id"]
    point = column.array if isinstance(column.dtype, pd.CategoricalDtype) else pd.Categorical(column)
    temp_c = readings["temperature_c"].to_numpy(dtype=np.float64)
    names = [str(name) for name in point.categories]
    code: NDArray[Any] = np.asarray(point.codes)
    last_ms = int(time_ms.max()) if len(time_ms) else 0
    if as_of_ms is not None and last_ms > as_of_ms:
        heard = time_ms <= as_of_ms
        code = np.where(heard, code, np.int32(_LATER))
        last_ms = int(time_ms.max(where=heard, initial=FAR_PAST_MS))
    if not len(time_ms) or last_ms == FAR_PAST_MS:
        raise BadInput("there is no reading to judge", where="readings")
    register = register or Register.implied_by([names[number] for number in np.unique(code).tolist() if number >= 0])
    timeline = lay_out(register, standard, zone, (int(time_ms.min()), max(last_ms, as_of_ms or last_ms)))
    code, unlisted = _codes_in(timeline.points, names, code)
    rows = Unordered.of(code, time_ms, temp_c, len(timeline.points))
    signs = signs_in(readings)
    return _judge_rows(timeline, rows, signs, unlisted, last_ms, as_of_ms, other or OtherEvidence())


def signs_in(readings: pd.DataFrame) -> Signs | None:
    """Return what rows of a readings file say of batteries and clocks; None where it has no column for that."""
    if not {"battery_pct", "battery_v", "flags", "arrived"} & set(readings.columns):
        return None
    level = np.full(len(readings), np.nan)
    for name in ("battery_v", "battery_pct"):
        if name in readings:
            sent = readings[name].to_numpy(dtype=np.float64)
            level = np.where(np.isnan(sent), level, sent)
    low, lag_ms = np.zeros(len(readings), dtype=np.bool_), np.full(len(readings), NO_LAG)
    if "flags" in readings:
        flags, texts = pd.factorize(readings["flags"])
        low = np.array(["low_battery" in str(text).split(",") for text in texts], dtype=np.bool_)[flags]
    if "arrived" in readings:
        arrived_ms = readings["arrived"].to_numpy(dtype="datetime64[ms]")
        time_ms = readings["time"].to_numpy(dtype="datetime64[ms]").view(np.int64)
        lag_ms = np.where(np.isnat(arrived_ms), NO_LAG, arrived_ms.view(np.int64) - time_ms)
    return Signs(level, low, lag_ms)


_LATER = -2
"""Number of a row that is later than the moment asked for."""
_SLICE_ROWS = 2_000_000
_SLICES_MOST = 14


def _codes_in(points: Sequence[str], names: Sequence[str], code: NDArray[Any]) -> tuple[NDArray[np.int32], int]:
    """Return the point number of each row, negative where it is not to be judged, and how many rows are unlisted."""
    if tuple(names) == tuple(points):
        return code.astype(np.int32, copy=False), int(np.count_nonzero(code == -1))
    number = {name: place for place, name in enumerate(points)}
    listed = np.array([*(number.get(name, -1) for name in names), _LATER, -1], dtype=np.int32)
    code = listed[code]  # a number below 0 counts from the end: -1 is unlisted, -2 is later
    return code, int(np.count_nonzero(code == -1))


def _judge_rows(
    timeline: Timeline,
    rows: Unordered,
    signs: Signs | None,
    unlisted: int,
    last_ms: int,
    as_of_ms: int | None,
    other: OtherEvidence,
) -> Findings:
    state = machine.fresh_state(timeline)
    counts = machine.fresh_counts(timeline)
    houses = _Houses.fresh(timeline)
    of_points: vitals.Vitals | None = None
    parts, again = list[Ended](), list[Int64]()
    if signs is not None:
        of_points = vitals.fresh_vitals(timeline)
        told = vitals.vital_rows(rows.code, rows.time_ms, rows.temp_c, signs, len(timeline.points))
        every = np.arange(len(timeline.points))
        parts.append(Ended.nothing().with_faults(carry_vitals(timeline, of_points, every, told)))
        del told
    for begin, end in _slices(timeline, rows):
        own = rows.part(begin, end)
        carried = carry_points(timeline, state, counts, np.arange(begin, end), own)
        parts.append(carried.ended)
        again.append(carried.again)
        until_ms = as_of_ms if as_of_ms is not None else int(state["valid"][begin:end].max(initial=machine.NEVER))
        first = np.full(len(state) + 1, own.first[-1])
        first[:begin], first[begin : end + 1] = 0, own.first
        table = timeline.rows
        homes = np.unique(table.building[(table.point >= begin) & (table.point < end)]).astype(np.int64)
        parts.append(houses.carry(homes, PointRows(first, own.time_ms, carried.judged), until_ms))
        del own, carried  # so that the next slice takes their place in memory
    if as_of_ms is None:
        latest = int(state["valid"].max(initial=machine.NEVER))
        as_of_ms = last_ms if latest == machine.NEVER else latest
    ended = Ended.all_of([*parts, houses.finish(as_of_ms)])
    strange = neighbours.still_open(houses.members)
    others, doubts = strange, strange[:0]
    if of_points is not None:
        others = np.concatenate((strange, vitals.standing(of_points, timeline, as_of_ms)))
        doubts = vitals.standing(of_points, timeline, machine.NEVER)  # a clock is trusted again when a row tells so
    known = np.concatenate((ended.faults, strange, doubts, machine.stuck_now(state)))
    doubted = to_judge_again(state, known[np.isin(known["kind"], OTHERS)])
    points = np.unique(np.concatenate([*again, doubted]))
    if len(points):
        ended = ended.with_spells_of(points, judge_spells_again(timeline, state, points, rows.only(points), known))
    found = found_at(
        timeline,
        Service.of(timeline),
        state,
        ended,
        houses.state,
        as_of_ms,
        Besides(others, other.supply_found(timeline, as_of_ms), other.stops),
    )
    return Findings(as_of_ms, frames_of(timeline, found), summary_of(timeline, state, counts, unlisted))


@dataclass(slots=True)
class _Houses:
    """What is carried of buildings, and the last rows of each, which come too late for comparing rooms so far."""

    timeline: Timeline
    rooms: heat.Rooms
    state: Records
    members: neighbours.Members
    compared: Records
    later: list[tuple[NDArray[np.int32], Int64, Float64]]

    @classmethod
    def fresh(cls, timeline: Timeline) -> _Houses:
        rooms, state = heat.fresh_rooms(timeline, heat.heat_numbers(timeline))
        members, compared = neighbours.fresh_members(timeline)
        return cls(timeline, rooms, state, members, compared, [])

    def carry(self, buildings: Int64, rows: PointRows, until_ms: int) -> Ended:
        """Carry buildings over their rows (with a place for every point), none of which is later than `until_ms`."""
        outages = carry_buildings(
            self.timeline, self.rooms, self.state, buildings, rows.first, rows.time_ms, rows.temp_c, until_ms
        )
        compared_ms = neighbours_until(self.timeline, until_ms)
        faults = carry_neighbours(self.timeline, self.members, self.compared, buildings, rows, compared_ms)
        later = np.nonzero((rows.time_ms > compared_ms) & ~np.isnan(rows.temp_c))[0]
        code = (np.searchsorted(rows.first, later, side="right") - 1).astype(np.int32)
        self.later.append((code, rows.time_ms[later], rows.temp_c[later]))
        return Ended.nothing().with_outages(outages).with_faults(faults)

    def finish(self, as_of_ms: int) -> Ended:
        """Carry all buildings on to the moment asked for."""
        code, time_ms, judged = (np.concatenate(column) for column in zip(_NO_ROWS, *self.later, strict=True))
        rows = by_point(code, time_ms, judged, len(self.timeline.points))
        every = np.arange(len(self.state))
        until_ms = neighbours_until(self.timeline, as_of_ms)
        faults = carry_neighbours(self.timeline, self.members, self.compared, every, rows, until_ms)
        nothing = by_point(*_NO_ROWS, len(self.timeline.points))
        outages = carry_buildings(
            self.timeline, self.rooms, self.state, every, nothing.first, nothing.time_ms, nothing.temp_c, as_of_ms
        )
        return Ended.nothing().with_outages(outages).with_faults(faults)


def _slices(timeline: Timeline, rows: Unordered) -> Iterator[tuple[int, int]]:
    """Cut the points so that no building is cut, and little more than a slice of the rows is in memory twice."""
    points = len(timeline.points)
    across = np.zeros(points + 1, dtype=np.int64)
    lowest = np.full(len(timeline.buildings), points)
    highest = np.zeros(len(timeline.buildings), dtype=np.int64)
    np.minimum.at(lowest, timeline.rows.building, timeline.rows.point)
    np.maximum.at(highest, timeline.rows.building, timeline.rows.point)
    np.add.at(across, lowest + 1, 1)
    np.add.at(across, highest + 1, -1)
    cuts = np.nonzero(np.cumsum(across) == 0)[0]
    each = max(_SLICE_ROWS, -(-int(rows.first[-1]) // _SLICES_MOST))
    begin = 0
    for cut in cuts.tolist():
        if rows.first[cut] - rows.first[begin] >= each or (cut == points and cut > begin):
            yield begin, cut
            begin = cut


_NO_ROWS = np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.float64)


def summary_of(timeline: Timeline, state: Records, counts: Int64, unlisted: int) -> dict[str, Any]:
    """Count as `summary.json` does: readings = unlisted + duplicates + conflicts + invalid + out_of_range + valid."""
    never = (state["heard"] == machine.NEVER).astype(np.int64)
    total = dict(zip(machine.COUNTS, counts.sum(axis=0).tolist(), strict=True))
    summary: dict[str, Any] = {"readings": total.pop("readings") + unlisted, "unlisted": unlisted, **total}
    summary["never_heard"] = int(never.sum())
    fields = (*machine.COUNTS, "never_heard")
    values = np.column_stack((counts, never)).tolist()
    summary["points"] = {
        point: dict(zip(fields, row, strict=True)) for point, row in zip(timeline.points, values, strict=True)
    }
    return summary
