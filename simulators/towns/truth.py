"""What a simulated town knows of itself, in the columns of the findings where they make sense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from heatwatch.domain.findings import COLUMNS, FindingKind
from heatwatch.domain.instants import HOUR_MS
from heatwatch.domain.register import FAR_FUTURE_MS, PointRow
from simulators.arrays import Bool, Int64
from simulators.thermometers.faults import NAMES
from simulators.thermometers.slate import Placed
from simulators.thermometers.value_faults import BatteryDeath
from simulators.towns.events import Event, Outage, outages


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
        The columns of the findings; from the last reading that was kept to the next one that was, told by the true
        moments of measuring. What goes on for ever has no duration where no moment is asked for.
    sensor_faults
        The columns of the findings.
    broken_thermometers
        ``point_id, start, kind``: which ones send payloads that cannot be read.
    leaks
        ``time, subject_kind, subject_id``: reports of leaks.
    """

    cold_rooms: pd.DataFrame
    heat_outages: pd.DataFrame
    data_outages: pd.DataFrame
    sensor_faults: pd.DataFrame
    broken_thermometers: pd.DataFrame
    leaks: pd.DataFrame


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
    is_open = np.zeros(end_ms.size, dtype=np.bool_) if as_of_ms is None else end_ms > as_of_ms
    return spans_frame(subjects, start_ms, end_ms, is_open, as_of_ms).assign(points=points_of)


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


def sensor_faults(
    placed: Sequence[Placed],
    points: Sequence[PointRow],
    low_since_ms: Mapping[tuple[int, int], int],
    span_ms: tuple[int, int | None],
) -> pd.DataFrame:
    """Return when readings were not the room's temperature, or their times not true, in the columns of the findings.

    What is said of one kind about one point at once, or without a pause, is one fault.

    Parameters
    ----------
    placed
        What is wrong with whom.
    points
        One row a room.
    low_since_ms
        By fault (its place in `placed`) and room: when the battery was first said to be low [ms].
    span_ms
        The town's start, and now; None for all times [ms].
    """
    first_ms, as_of_ms = span_ms
    rows: list[tuple[str, str, int, int, str]] = []
    for number, one in enumerate(placed):
        name = NAMES[type(one.fault)]
        for room, until_ms in zip(one.rooms.tolist(), one.until_ms.tolist(), strict=True) if one.fault.kind else ():
            start_ms = max(one.fault.start_ms, first_ms)
            if isinstance(one.fault, BatteryDeath):
                start_ms = low_since_ms.get((number, room), FAR_FUTURE_MS)
            end_ms = min(until_ms, one.fault.end_ms)
            if start_ms < end_ms and (as_of_ms is None or start_ms <= as_of_ms):
                rows.append((points[room].point_id, one.fault.kind, start_ms, end_ms, name))
    whole = _runs(rows)
    start_ms_of, end_ms_of = (np.array([row[at] for row in whole], dtype=np.int64) for at in (2, 3))
    is_open = end_ms_of > (FAR_FUTURE_MS - 1 if as_of_ms is None else as_of_ms)
    frame = spans_frame([row[:2] for row in whole], start_ms_of, end_ms_of, is_open, as_of_ms)
    frame = frame.rename(columns={"subject_kind": "point_id", "subject_id": "kind"})
    return frame.assign(detail=[row[4] for row in whole])[list(COLUMNS[FindingKind.SENSOR_FAULT])]


def _runs(rows: Sequence[tuple[str, str, int, int, str]]) -> list[tuple[str, str, int, int, str]]:
    """Return spans, by name and kind, with those that touch joined; their details joined by ``+``."""
    found: list[tuple[str, str, int, int, str]] = []
    for row in sorted(rows):
        if found and found[-1][:2] == row[:2] and row[2] <= found[-1][3]:
            point, kind, start_ms, end_ms, detail = found[-1]
            names = dict.fromkeys([*detail.split("+"), row[4]])
            found[-1] = (point, kind, start_ms, max(end_ms, row[3]), "+".join(names))
        else:
            found.append(row)
    return found


def spans_frame(
    subjects: Sequence[tuple[str, str]], start_ms: Int64, end_ms: Int64, is_open: Bool, as_of_ms: int | None
) -> pd.DataFrame:
    """Return ``subject_kind, subject_id, start, end, open, duration_h``; what goes on lasts until `as_of_ms`."""
    until_ms = end_ms if as_of_ms is None else np.minimum(end_ms, as_of_ms)
    endless = is_open & (as_of_ms is None)
    return pd.DataFrame(
        {
            "subject_kind": [kind for kind, _ in subjects],
            "subject_id": [subject for _, subject in subjects],
            "start": instants(start_ms),
            "end": instants(np.where(is_open, start_ms, end_ms)).mask(pd.Series(is_open)),
            "open": is_open,
            "duration_h": np.where(endless, np.nan, (until_ms - start_ms) / HOUR_MS),
        }
    )
