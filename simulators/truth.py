"""What a simulated town knows of itself, in the columns of the findings where they make sense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from heatwatch.domain.findings import COLUMNS, FindingKind, SubjectKind
from heatwatch.domain.instants import HOUR_MS
from simulators.arrays import Int64

OUTAGE_COLUMNS = list(COLUMNS[FindingKind.DATA_OUTAGE])


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true of a town; instants are UTC, an `end` that has not come yet is NaT.

    Attributes
    ----------
    cold_rooms
        ``point_id, building_id, station_id, start, steady_c, rule``: rooms whose heating is too weak, the
        temperature at which they settle [degC] and the rules that they violate.
    heat_outages
        ``subject_kind, subject_id, start, end, open, duration_h, points``.
    data_outages
        The columns of the findings; from the last reading before the silence to the first one after it.
    broken_thermometers
        ``point_id, start, kind``: which ones send payloads that cannot be read.
    """

    cold_rooms: pd.DataFrame
    heat_outages: pd.DataFrame
    data_outages: pd.DataFrame
    broken_thermometers: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Silence:
    """The points of one building that fall silent, and between which readings [ms].

    `members` counts all points of the building, silent or not.
    """

    building_id: str
    members: int
    point_ids: tuple[str, ...]
    last_ms: Int64
    first_ms: Int64

    def seen_at(self, as_of_ms: int | None, break_ms: int) -> Silence:
        """Leave out the points that at `as_of_ms` have not yet been silent for `break_ms`."""
        until_ms = self.first_ms if as_of_ms is None else np.minimum(self.first_ms, as_of_ms)
        kept = until_ms - self.last_ms >= break_ms
        points = tuple(point for point, keep in zip(self.point_ids, kept, strict=True) if keep)
        return replace(self, point_ids=points, last_ms=self.last_ms[kept], first_ms=self.first_ms[kept])


def instants(time_ms: Int64) -> pd.Series[pd.Timestamp]:
    """Return milliseconds as UTC instants."""
    return pd.Series(pd.DatetimeIndex(time_ms.astype("datetime64[ms]")).tz_localize("UTC"))


def heat_outages(of_points: Sequence[str], start_ms: int, end_ms: int, as_of_ms: int | None) -> pd.DataFrame:
    """Return the heat outage of the building that each of its points names, none where it has not begun by then."""
    happens = len(of_points) > 0 and (as_of_ms is None or as_of_ms > start_ms)
    span = np.array([[start_ms, end_ms]], dtype=np.int64)[: int(happens)]
    subjects = [(str(SubjectKind.BUILDING), of_points[0])] * len(span) if happens else []
    return _spans(subjects, span[:, 0], span[:, 1], as_of_ms).assign(points=len(of_points))


def data_outages(silence: Silence | None, as_of_ms: int | None, break_ms: int) -> pd.DataFrame:
    """Return the outages of silent points, and of their building while more than half of it is silent."""
    if silence is None:
        return _spans([], np.empty(0, np.int64), np.empty(0, np.int64), None).assign(part_of="")[OUTAGE_COLUMNS]
    seen = silence.seen_at(as_of_ms, break_ms)
    points = [(str(SubjectKind.POINT), point) for point in seen.point_ids]
    span = _building_span(seen, as_of_ms)
    buildings = [(str(SubjectKind.BUILDING), silence.building_id)] * len(span)
    of_points = _spans(points, seen.last_ms, seen.first_ms, as_of_ms)
    of_buildings = _spans(buildings, span[:, 0], span[:, 1], as_of_ms)
    of_points = of_points.assign(part_of=f"building:{silence.building_id}" if len(span) else "")
    frames = [frame for frame in (of_buildings.assign(part_of=""), of_points) if len(frame)] or [of_points]
    return pd.concat(frames, ignore_index=True)[OUTAGE_COLUMNS]


def _building_span(silence: Silence, as_of_ms: int | None) -> Int64:
    """Return when more than half of the building's points, at least two, are silent at once: (0 or 1, 2)."""
    silent, needed = len(silence.point_ids), max(silence.members // 2 + 1, 2)
    if silent < needed:
        return np.empty((0, 2), dtype=np.int64)
    start_ms = np.sort(silence.last_ms)[needed - 1]
    end_ms = np.sort(silence.first_ms)[silent - needed]
    too_early = as_of_ms is not None and start_ms >= as_of_ms
    return np.array([[start_ms, end_ms]], dtype=np.int64)[int(too_early) :]


def _spans(subjects: list[tuple[str, str]], start_ms: Int64, end_ms: Int64, as_of_ms: int | None) -> pd.DataFrame:
    is_open = np.zeros(end_ms.size, dtype=np.bool_) if as_of_ms is None else end_ms > as_of_ms
    until_ms = end_ms if as_of_ms is None else np.minimum(end_ms, as_of_ms)
    return pd.DataFrame(
        {
            "subject_kind": [kind for kind, _ in subjects],
            "subject_id": [subject for _, subject in subjects],
            "start": instants(start_ms),
            "end": instants(end_ms).mask(pd.Series(is_open)),
            "open": is_open,
            "duration_h": (until_ms - start_ms) / HOUR_MS,
        }
    )
