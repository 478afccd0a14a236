"""What a simulated town knows of itself, in the columns of the findings where they make sense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from heatwatch.domain.findings import COLUMNS, FindingKind, SubjectKind
from heatwatch.domain.instants import HOUR_MS
from heatwatch.domain.register import PointRow
from simulators.arrays import Int64
from simulators.events import Event, Outage, outages

OUTAGE_COLUMNS = list(COLUMNS[FindingKind.DATA_OUTAGE])


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true of a town; instants are UTC, an `end` that has not come yet is NaT.

    Attributes
    ----------
    cold_rooms
        ``point_id, building_id, station_id, start, steady_c, rule``: rooms whose radiator is too small, the
        temperature at which they settle when it is the weather's mean outdoors [degC], and the rules that they
        violate then.
    heat_outages
        ``subject_kind, subject_id, start, end, open, duration_h, points``; a station's beside its houses'.
    data_outages
        The columns of the findings; from the last reading before the silence to the first one after it.
    broken_thermometers
        ``point_id, start, kind``: which ones send payloads that cannot be read.
    leaks
        ``time, subject_kind, subject_id``: reports of leaks.
    """

    cold_rooms: pd.DataFrame
    heat_outages: pd.DataFrame
    data_outages: pd.DataFrame
    broken_thermometers: pd.DataFrame
    leaks: pd.DataFrame


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


def heat_outages(events: Sequence[Event], points: Sequence[PointRow], as_of_ms: int | None) -> pd.DataFrame:
    """Return the heat outages that events make, but for those that have not begun by `as_of_ms` [ms].

    What overlaps or follows at once in one house is one outage of it.
    """
    made = _merged([outage for event in events for outage in outages(event, points)])
    begun = [outage for outage in made if as_of_ms is None or as_of_ms > outage.start_ms]
    start_ms = np.array([outage.start_ms for outage in begun], dtype=np.int64)
    end_ms = np.array([outage.end_ms for outage in begun], dtype=np.int64)
    subjects = [(str(outage.kind), outage.name) for outage in begun]
    points_of = np.array([outage.points for outage in begun], dtype=np.int64)
    return _spans(subjects, start_ms, end_ms, as_of_ms).assign(points=points_of)


def _merged(made: Sequence[Outage]) -> list[Outage]:
    """Return outages with those of one subject that touch each other joined, subjects in their order."""
    of_subject: dict[tuple[str, str], list[Outage]] = {}
    for outage in sorted(made, key=lambda one: one.start_ms):
        known = of_subject.setdefault((str(outage.kind), outage.name), [])
        if known and outage.start_ms <= known[-1].end_ms:
            known[-1] = replace(known[-1], end_ms=max(known[-1].end_ms, outage.end_ms))
        else:
            known.append(outage)
    order = dict.fromkeys((str(outage.kind), outage.name) for outage in made)
    return [outage for subject in order for outage in of_subject[subject]]


def stops(events: Sequence[Event]) -> pd.DataFrame:
    """Return the reported stops: ``subject_kind, subject_id, start, end, planned, reason``."""
    rows = [stop for event in events for stop in event.stops()]
    return pd.DataFrame(
        {
            "subject_kind": [row.subject.kind for row in rows],
            "subject_id": [row.subject.name for row in rows],
            "start": instants(np.array([row.start_ms for row in rows], dtype=np.int64)),
            "end": instants(np.array([row.end_ms for row in rows], dtype=np.int64)),
            "planned": np.array([row.planned for row in rows], dtype=np.bool_),
            "reason": [row.reason for row in rows],
        }
    )


def leaks(events: Sequence[Event], as_of_ms: int | None) -> pd.DataFrame:
    """Return the reports of leaks up to `as_of_ms` [ms]: ``time, subject_kind, subject_id``."""
    rows = [leak for event in events for leak in event.leaks() if as_of_ms is None or leak.reported_ms <= as_of_ms]
    return pd.DataFrame(
        {
            "time": instants(np.array([row.reported_ms for row in rows], dtype=np.int64)),
            "subject_kind": [row.subject.kind for row in rows],
            "subject_id": [row.subject.name for row in rows],
        }
    )


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
