"""The truth about silence: of points, and of buildings and stations that fall silent at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heatwatch.domain.findings import COLUMNS, FindingKind, SubjectKind
from heatwatch.domain.register import FAR_FUTURE_MS, PointRow
from simulators.arrays import Bool, Int64
from simulators.towns.events import DisconnectedHome, Event
from simulators.towns.hearing import Gaps
from simulators.towns.truth import spans_frame

_AT_LEAST = 2
Names = NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class _Spans:
    """Stretches of time [ms] of numbered subjects; an open one has not ended."""

    subject: Int64
    start_ms: Int64
    end_ms: Int64
    open: Bool

    def of(self, subject_of: Int64) -> _Spans:
        """Return them as those of the subjects to which theirs belong."""
        return _Spans(subject_of[self.subject], self.start_ms, self.end_ms, self.open)


def data_outages(gaps: Gaps, points: Sequence[PointRow], events: Sequence[Event], as_of_ms: int | None) -> pd.DataFrame:
    """Return the outages of points, and of their building and station while more than half of it is silent at once.

    Parameters
    ----------
    gaps
        Silences of points, as they were known at `as_of_ms`.
    points
        One row a room.
    events
        A disconnected home is not in service: its silence is no part of its building's.
    as_of_ms
        Now [ms]; None for all times.

    Returns
    -------
    pandas.DataFrame
        The columns of the findings: stations, then buildings, then points, each by number, then start.
    """
    until_ms = FAR_FUTURE_MS if as_of_ms is None else as_of_ms
    silent = _Spans(gaps.room, gaps.start_ms, np.minimum(gaps.end_ms, until_ms), gaps.end_ms == FAR_FUTURE_MS)
    suspended = _suspended(points, events)
    quiet = _without(silent, suspended)
    building_of, buildings = _numbered([row.building_id for row in points])
    station_of, stations = _numbered([row.station_id for row in points])
    station_of_building = np.zeros(len(buildings), dtype=np.int64)
    station_of_building[building_of] = station_of
    of_buildings = _together(quiet, suspended, building_of, until_ms)
    of_stations = _together(quiet, suspended, station_of, until_ms)
    ids = np.array([row.point_id for row in points], dtype=object)
    homes = of_buildings.of(station_of_building)
    in_building = _parts(silent.of(building_of), of_buildings, SubjectKind.BUILDING, buildings)
    in_station = _parts(silent.of(station_of), of_stations, SubjectKind.STATION, stations)
    frames = [
        _frame(SubjectKind.STATION, stations, of_stations, as_of_ms).assign(part_of=""),
        _frame(SubjectKind.BUILDING, buildings, of_buildings, as_of_ms).assign(
            part_of=_parts(homes, of_stations, SubjectKind.STATION, stations)
        ),
        _frame(SubjectKind.POINT, ids, silent, as_of_ms).assign(
            part_of=np.where(in_building != "", in_building, in_station)
        ),
    ]
    columns = list(COLUMNS[FindingKind.DATA_OUTAGE])
    found = pd.concat([one for one in frames if len(one)] or frames[-1:], ignore_index=True)[columns]
    return found.astype({"subject_kind": "str", "subject_id": "str", "part_of": "str"})


def _numbered(names: Sequence[str]) -> tuple[Int64, Names]:
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], dtype=np.int64), np.array(list(numbers), dtype=object)


def _suspended(points: Sequence[PointRow], events: Sequence[Event]) -> _Spans:
    """Return when rooms are out of service; what overlaps in one room as one stretch."""
    found: list[tuple[int, int, int]] = []
    for event in sorted(events, key=lambda one: one.start_ms):
        if isinstance(event, DisconnectedHome):
            found += [
                (room, event.start_ms, event.end_ms) for room in np.flatnonzero(event.subject.among(points)).tolist()
            ]
    whole: list[tuple[int, int, int]] = []
    for room, start_ms, end_ms in sorted(found):
        if whole and whole[-1][0] == room and start_ms <= whole[-1][2]:
            whole[-1] = (room, whole[-1][1], max(whole[-1][2], end_ms))
        else:
            whole.append((room, start_ms, end_ms))
    return _spans([(*one, False) for one in whole])


def _without(silent: _Spans, suspended: _Spans) -> _Spans:
    """Return what of silences lies in service."""
    concerned = np.isin(silent.subject, suspended.subject)
    pieces: list[tuple[int, int, int, bool]] = []
    for at in np.flatnonzero(concerned).tolist():
        from_ms, end_ms = int(silent.start_ms[at]), int(silent.end_ms[at])
        for number in np.flatnonzero(suspended.subject == silent.subject[at]).tolist():
            stop_ms = min(int(suspended.start_ms[number]), end_ms)
            if from_ms < stop_ms:
                pieces.append((int(silent.subject[at]), from_ms, stop_ms, False))
            from_ms = max(from_ms, int(suspended.end_ms[number]))
        if from_ms < end_ms:
            pieces.append((int(silent.subject[at]), from_ms, end_ms, bool(silent.open[at])))
    rest, cut = ~concerned, _spans(pieces)
    return _Spans(
        np.concatenate([silent.subject[rest], cut.subject]),
        np.concatenate([silent.start_ms[rest], cut.start_ms]),
        np.concatenate([silent.end_ms[rest], cut.end_ms]),
        np.concatenate([silent.open[rest], cut.open]),
    )


def _spans(rows: Sequence[tuple[int, int, int, bool]]) -> _Spans:
    subject, start_ms, end_ms = np.array([row[:3] for row in rows], dtype=np.int64).reshape(-1, 3).T
    return _Spans(subject, start_ms, end_ms, np.array([row[3] for row in rows], dtype=np.bool_))


def _together(quiet: _Spans, suspended: _Spans, subject_of: Int64, until_ms: int) -> _Spans:
    """Return when more than half of what is in service in a subject, and at least two, are silent at once."""
    size = np.bincount(subject_of)
    quiet_in, out_in = subject_of[quiet.subject], subject_of[suspended.subject]
    subject = np.concatenate([quiet_in, quiet_in, out_in, out_in])
    at_ms = np.concatenate([quiet.start_ms, quiet.end_ms, suspended.start_ms, suspended.end_ms])
    silent = np.repeat([1, -1, 0, 0], [len(quiet_in), len(quiet_in), len(out_in), len(out_in)])
    served = np.repeat([0, 0, -1, 1], [len(quiet_in), len(quiet_in), len(out_in), len(out_in)])
    order = np.lexsort((at_ms, subject))
    subject, at_ms = subject[order], at_ms[order]
    silent, served = np.cumsum(silent[order]), np.cumsum(served[order]) + size[subject]
    last = np.ones(subject.size, dtype=np.bool_)
    last[:-1] = (subject[1:] != subject[:-1]) | (at_ms[1:] != at_ms[:-1])
    subject, at_ms, silent, served = subject[last], at_ms[last], silent[last], served[last]
    holds = (silent >= _AT_LEAST) & (2 * silent > served)
    before = np.append(False, holds[:-1])
    starts, ends = np.flatnonzero(holds & ~before), np.flatnonzero(~holds & before)
    going_on = (at_ms[ends] == until_ms) & np.isin(subject[starts], quiet_in[quiet.open])
    return _Spans(subject[starts], at_ms[starts], at_ms[ends], going_on)


def _parts(spans: _Spans, wholes: _Spans, kind: SubjectKind, names: Names) -> Names:
    """Return of what each span is a part: of its subject, where that has one that overlaps it; else nothing."""
    found = np.full(spans.subject.size, "", dtype=object)
    for subject, start_ms, end_ms in zip(wholes.subject, wholes.start_ms, wholes.end_ms, strict=True):
        hit = (spans.subject == subject) & (spans.start_ms < end_ms) & (start_ms < spans.end_ms)
        found[hit] = f"{kind}:{names[subject]}"
    return found


def _frame(kind: SubjectKind, names: Names, spans: _Spans, as_of_ms: int | None) -> pd.DataFrame:
    order = np.lexsort((spans.start_ms, spans.subject))
    subjects = [(str(kind), name) for name in names[spans.subject[order]]]
    return spans_frame(subjects, spans.start_ms[order], spans.end_ms[order], spans.open[order], as_of_ms)
