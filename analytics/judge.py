"""Judging: findings = f(readings, dated rules, dated register, as_of), offline, behind a pandas face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics import heat, machine
from analytics.carry import carry_buildings, carry_points
from analytics.found import found_at, frames_of
from analytics.machine import Records
from analytics.rows import PointRows, by_point
from analytics.timeline import Timeline, lay_out
from heatwatch.domain.findings import FindingKind
from heatwatch.domain.register import Register
from heatwatch.domain.temperature import Standard
from heatwatch.errors import BadInput

Int64 = NDArray[np.int64]


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
) -> Findings:
    """Judge readings, offline and at once.

    Parameters
    ----------
    readings : pandas.DataFrame
        `time` (UTC timestamps), `point_id`, `temperature_c` [degC]; rows in any order, as a readings file has them.
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
    point = pd.Categorical(readings["point_id"])
    temp_c = readings["temperature_c"].to_numpy(dtype=np.float64)
    if as_of_ms is not None:
        heard = time_ms <= as_of_ms
        time_ms, point, temp_c = time_ms[heard], point[heard], temp_c[heard]
    if not len(time_ms):
        raise BadInput("there is no reading to judge", where="readings")
    names = [str(name) for name in point.categories]
    register = register or Register.implied_by(np.array(names)[np.unique(point.codes)].tolist())
    last_ms = int(time_ms.max())
    timeline = lay_out(register, standard, zone, (int(time_ms.min()), max(last_ms, as_of_ms or last_ms)))
    code = _codes_in(names, timeline.points)[point.codes]
    listed = code >= 0
    unlisted = int(len(code) - np.count_nonzero(listed))
    if unlisted:
        code, time_ms, temp_c = code[listed], time_ms[listed], temp_c[listed]
    rows = by_point(code, time_ms, temp_c, len(timeline.points))
    return _judge_rows(timeline, rows, unlisted, last_ms, as_of_ms)


def _codes_in(names: Sequence[str], points: Sequence[str]) -> NDArray[np.int32]:
    number = {name: code for code, name in enumerate(points)}
    return np.array([number.get(name, -1) for name in names], dtype=np.int32)


def _judge_rows(timeline: Timeline, rows: PointRows, unlisted: int, last_ms: int, as_of_ms: int | None) -> Findings:
    state = machine.fresh_state(timeline)
    counts = machine.fresh_counts(timeline)
    judged, ended = carry_points(timeline, state, counts, np.arange(len(timeline.points)), rows)
    if as_of_ms is None:
        as_of_ms = _latest_valid(timeline, rows, last_ms)
    rooms, buildings = heat.fresh_rooms(timeline, heat.heat_numbers(timeline))
    every = np.arange(len(buildings))
    outages = carry_buildings(timeline, rooms, buildings, every, rows.first, rows.time_ms, judged, as_of_ms)
    found = found_at(timeline, state, ended.with_outages(outages), buildings, as_of_ms)
    return Findings(as_of_ms, frames_of(timeline, found), summary_of(timeline, state, counts, unlisted))


def _latest_valid(timeline: Timeline, rows: PointRows, last_ms: int) -> int:
    latest = machine.latest_valid(
        rows.first, rows.time_ms, rows.temp_c, machine.tables_of(timeline), machine.numbers_of(timeline)
    )
    return last_ms if latest == machine.NEVER else int(latest)


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
