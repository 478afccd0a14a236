"""What holds when: register, standard and time zone laid out as arrays that a compiled loop walks along.

A reading is judged by what was in force for its point at its own time. That is three independent timelines: the
point's (validity, suspension, calibration, interval), the company's (rule versions and seasons) and the zone's
(offset from UTC). Each is a sorted array of beginnings, so that a loop over readings in time order only ever steps
forward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from analytics.layout.compiled import compiled
from heatwatch.domain.instants import DAY_MS, HOUR_MS, to_ms
from heatwatch.domain.local_time import offsets
from heatwatch.domain.register import FAR_FUTURE_MS, FAR_PAST_MS, PointRow, Register
from heatwatch.domain.temperature import MINUTES_PER_DAY, MINUTES_PER_WEEK, Judging, Limit, RoomClass, Standard, Version
from heatwatch.errors import BadInput

Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
Int8 = NDArray[np.int8]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

RULES_MOST = 62
"""As many as a mask of 64 bits holds."""
OUT, SERVICE, SUSPENDED = 0, 1, 2
"""Kinds of a segment: not in the register, in service, suspended."""


@dataclass(frozen=True, slots=True)
class Segments:
    """The timelines of all points; those of point `p` are `first[p]:first[p + 1]`, by beginning.

    Attributes
    ----------
    first : shape (points + 1,)
    start : shape (segments,)
        Beginning [ms]; a segment lasts to the next one's, the last one for ever.
    kind : shape (segments,)
        `OUT`, `SERVICE` or `SUSPENDED`.
    service_end : shape (segments,)
        When a service that holds in this segment ends, be it some segments later [ms].
    row : shape (segments,)
        The register row that gives class, calibration and interval; for `OUT` the one before, else the first.
    """

    first: Int64
    start: Int64
    kind: Int8
    service_end: Int64
    row: Int32


@dataclass(frozen=True, slots=True)
class RowTable:
    """What the register's rows say, as columns of shape (rows,)."""

    point: Int32
    building: Int32
    station: Int32
    schedule: Int32
    offset_k: Float64
    hold_ms: Int64
    break_ms: Int64
    valid_from: Int64
    valid_to: Int64
    setback: Int32
    """Index into `Timeline.heated`."""


@dataclass(frozen=True, slots=True)
class Epochs:
    """The company's timeline: from `start[k]` on rule version `version[k]` holds, in or out of season."""

    start: Int64
    version: Int32
    in_season: Bool
    season_end: Int64
    """When a season that holds in epoch `k` ends [ms]."""


@dataclass(frozen=True, slots=True)
class Week:
    """What is asked at each minute of the local week, shape (versions, schedules, 10080); NaN where nothing is."""

    minimum_c: Float64
    target_c: Float64
    rule: Int8
    rules: tuple[str, ...]
    """Name of each rule number, sorted."""
    stretch: Int32
    """For how many minutes what is asked holds, this one among them; at most to the end of the week."""


@dataclass(frozen=True, slots=True)
class Zone:
    """Offset of local time from UTC: `offset[k]` [ms] from `start[k]` [ms] on."""

    start: Int64
    offset: Int64


@dataclass(frozen=True, slots=True)
class Timeline:
    """Everything that a verdict depends on besides the readings."""

    points: tuple[str, ...]
    buildings: tuple[str, ...]
    stations: tuple[str, ...]
    implied: bool
    segments: Segments
    rows: RowTable
    epochs: Epochs
    week: Week
    zone: Zone
    station_of_building: Int64
    """By the last row of the register that names the building, shape (buildings,)."""
    heated: Bool
    """Whether heat is on by agreement, shape (patterns, 1440 minutes of the local day)."""
    judging: Judging


def lay_out(register: Register, standard: Standard, zone: ZoneInfo, span: tuple[int, int]) -> Timeline:
    """Lay out all that judging needs as arrays.

    Parameters
    ----------
    register, standard, zone
        Who is measured, what is asked of them, and where.
    span
        First and last moment that will be judged [ms]; local time is exact within.

    Raises
    ------
    BadInput
        If a point names a contract that a version of the rules does not have.
    """
    rows = register.rows
    points, point = _codes([row.point_id for row in rows])
    buildings, building = _codes([row.building_id for row in rows])
    stations, station = _codes([row.station_id for row in rows])
    schedules, schedule = _schedules(rows)
    patterns, setback = _patterns(rows)
    judging = standard.judging
    interval_s = np.array([row.interval_s or judging.interval_default_s for row in rows], dtype=np.int64)
    table = RowTable(
        point=point,
        building=building,
        station=station,
        schedule=schedule,
        offset_k=np.array([row.offset_k for row in rows], dtype=np.float64),
        hold_ms=np.maximum(int(judging.hold_h * HOUR_MS), judging.hold_intervals * interval_s * 1000),
        break_ms=np.maximum(int(judging.break_h * HOUR_MS), judging.break_intervals * interval_s * 1000),
        valid_from=np.array([row.valid_from_ms for row in rows], dtype=np.int64),
        valid_to=np.array([row.valid_to_ms for row in rows], dtype=np.int64),
        setback=setback,
    )
    station_of_building = np.zeros(len(buildings), dtype=np.int64)
    station_of_building[building] = station
    return Timeline(
        points=points,
        buildings=buildings,
        stations=stations,
        implied=register.implied,
        segments=_segments(rows, table, len(points)),
        rows=table,
        epochs=_epochs(standard.versions, zone),
        week=_week(standard.versions, schedules),
        zone=zone_offsets(zone, *span),
        station_of_building=station_of_building,
        heated=patterns,
        judging=judging,
    )


@lru_cache(maxsize=16)
def zone_offsets(zone: ZoneInfo, start_ms: int, end_ms: int) -> Zone:
    """Return the zone's offsets from `start_ms` to `end_ms`, a day's margin on either side."""
    (_, first_ms), *changes = offsets(zone, start_ms - DAY_MS, end_ms + DAY_MS)
    held = np.array([(FAR_PAST_MS, first_ms), *changes], dtype=np.int64)
    return Zone(held[:, 0].copy(), held[:, 1].copy())


def _codes(names: Sequence[str]) -> tuple[tuple[str, ...], Int32]:
    unique = sorted(set(names))
    number = {name: code for code, name in enumerate(unique)}
    return tuple(unique), np.array([number[name] for name in names], dtype=np.int32)


Schedule = tuple[RoomClass, str | None]


def _schedules(rows: Sequence[PointRow]) -> tuple[list[Schedule], Int32]:
    keys = [(row.room_class, row.contract) for row in rows]
    unique = sorted(set(keys), key=lambda key: (key[0], key[1] or ""))
    number = {key: code for code, key in enumerate(unique)}
    return unique, np.array([number[key] for key in keys], dtype=np.int32)


def _patterns(rows: Sequence[PointRow]) -> tuple[Bool, Int32]:
    unique = sorted({row.heating_hours for row in rows}, key=lambda hours: hours or ())
    number = {hours: code for code, hours in enumerate(unique)}
    heated = np.zeros((max(len(unique), 1), MINUTES_PER_DAY), dtype=np.bool_)
    for hours, code in number.items():
        for start, end in hours if hours is not None else ((0, MINUTES_PER_DAY),):
            minutes = np.arange(start, end if end > start else end + MINUTES_PER_DAY) % MINUTES_PER_DAY
            heated[code, minutes] = True
    return heated, np.array([number[row.heating_hours] for row in rows], dtype=np.int32)


def _segments(rows: Sequence[PointRow], table: RowTable, points: int) -> Segments:
    """Cut each register row at its suspension, and close the gaps between rows with `OUT`."""
    count = len(rows)
    index = np.arange(count, dtype=np.int32)
    begin, end = table.valid_from, table.valid_to
    suspended = np.array(
        [row.suspended_from is not None or row.suspended_to is not None for row in rows], dtype=np.bool_
    )
    pause = np.array(
        [FAR_PAST_MS if r.suspended_from is None else to_ms(r.suspended_from) for r in rows], dtype=np.int64
    )
    resume = np.array(
        [FAR_FUTURE_MS if r.suspended_to is None else to_ms(r.suspended_to) for r in rows], dtype=np.int64
    )
    pause, resume = np.clip(pause, begin, end), np.clip(resume, begin, end)
    paused = suspended & (pause < resume)
    first_of_point = np.ones(count, dtype=np.bool_)
    first_of_point[1:] = table.point[1:] != table.point[:-1]
    follows_on = np.zeros(count, dtype=np.bool_)
    follows_on[:-1] = ~first_of_point[1:] & (begin[1:] == end[:-1])
    ends = ~follows_on & (end < FAR_FUTURE_MS)
    late = first_of_point & (begin > FAR_PAST_MS)
    served = ~(paused & (pause == begin))
    resumed = paused & (resume < end)
    parts = [
        (index[late], np.full(late.sum(), FAR_PAST_MS, dtype=np.int64), OUT),
        (index[served], begin[served], SERVICE),
        (index[paused], pause[paused], SUSPENDED),
        (index[resumed], resume[resumed], SERVICE),
        (index[ends], end[ends], OUT),
    ]
    row = np.concatenate([part[0] for part in parts])
    start = np.concatenate([part[1] for part in parts])
    kind = np.concatenate([np.full(len(part[0]), part[2], dtype=np.int8) for part in parts])
    order = np.lexsort((start, table.point[row]))
    row, start, kind = row[order], start[order], kind[order]
    first = np.searchsorted(table.point[row], np.arange(points + 1)).astype(np.int64)
    return Segments(first, start, kind, _next_end(table.point[row], start, kind == SERVICE), row)


def _next_end(group: Int32, start: Int64, holds: Bool) -> Int64:
    """For each entry the beginning of the next one of its group for which `holds` is false; far off where none is."""
    count = len(start)
    nearest = np.where(holds, count, np.arange(count))
    nearest = np.minimum.accumulate(nearest[::-1])[::-1]
    known = nearest < count
    same = known.copy()
    same[known] = group[nearest[known]] == group[known]
    end = np.full(count, FAR_FUTURE_MS, dtype=np.int64)
    end[same] = start[nearest[same]]
    return end


def _epochs(versions: Sequence[Version], zone: ZoneInfo) -> Epochs:
    cuts = {FAR_PAST_MS}
    seasons = [[_season_ms(season.first_day, season.last_day, zone) for season in v.seasons] for v in versions]
    for version, spans in zip(versions, seasons, strict=True):
        if version is not versions[0] and version.valid_from is not None:
            cuts.add(to_ms(version.valid_from))
        cuts.update(edge for span in spans for edge in span)
    start = np.array(sorted(cuts), dtype=np.int64)
    held = [_version_at(versions, int(cut)) for cut in start]
    on = [not seasons[k] or any(a <= cut < b for a, b in seasons[k]) for cut, k in zip(start, held, strict=True)]
    in_season = np.array(on, dtype=np.bool_)
    return Epochs(
        start, np.array(held, dtype=np.int32), in_season, _next_end(np.zeros(len(start), np.int32), start, in_season)
    )


def _version_at(versions: Sequence[Version], ms: int) -> int:
    held = [k for k, v in enumerate(versions) if v.valid_from is None or to_ms(v.valid_from) <= ms]
    return held[-1] if held else 0


def _season_ms(first_day: date, last_day: date, zone: ZoneInfo) -> tuple[int, int]:
    first = datetime.combine(first_day, time(), zone)
    after = datetime.combine(last_day + timedelta(days=1), time(), zone)
    return to_ms(first.astimezone(UTC)), to_ms(after.astimezone(UTC))


def _week(versions: Sequence[Version], schedules: Sequence[Schedule]) -> Week:
    shape = (len(versions), max(len(schedules), 1), MINUTES_PER_WEEK)
    minimum, target, rule = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, dtype=np.int8)
    weeks = [(v, s, _asked(versions[v], *schedules[s])) for v, s in np.ndindex(len(versions), len(schedules))]
    rules = tuple(sorted({limit.rule for _, _, week in weeks for _, limit in week if limit is not None}))
    if len(rules) > RULES_MOST:
        raise BadInput(f"the rules have {len(rules)} names for what they ask", mend=f"{RULES_MOST} at most")
    for v, s, week in weeks:
        for minute, limit in week:
            asked = (np.nan, np.nan, 0)
            if limit is not None:
                asked = (limit.minimum_c, limit.target_c, rules.index(limit.rule))
            minimum[v, s, minute:], target[v, s, minute:], rule[v, s, minute:] = asked
    stretch = np.zeros(shape, dtype=np.int32)
    stretch[:] = np.arange(MINUTES_PER_WEEK, 0, -1)
    for v, s, week in weeks:
        starts = [minute for minute, _ in week]
        for start, after in zip(starts, [*starts[1:], MINUTES_PER_WEEK], strict=True):
            stretch[v, s, start:after] = np.arange(after - start, 0, -1)
    return Week(minimum, target, rule, rules, stretch)


def _asked(version: Version, room_class: RoomClass, contract: str | None) -> list[tuple[int, Limit | None]]:
    try:
        return version.week(room_class, contract)
    except KeyError as error:
        since = f" of {version.valid_from.isoformat()}" if version.valid_from else ""
        raise BadInput(f"the register names contract {contract!r}, which the rules{since} do not have") from error


@compiled
def row_at(first: Int64, start: Int64, row: NDArray[np.int32], points: Int64, at: Int64) -> NDArray[np.int32]:
    """Return what holds at each of `at` [ms] for each of `points`, of timelines laid out as `Segments` are."""
    found = np.empty(len(points), dtype=np.int32)
    for k in range(len(points)):
        low, high = first[points[k]], first[points[k] + 1]
        found[k] = row[low + np.searchsorted(start[low:high], at[k], side="right") - 1]
    return found
