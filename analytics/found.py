"""What is found at one moment, as tables of numbers, and the two faces of these: frames, and findings one by one."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics.buildings import heat
from analytics.buildings.confidence import candidates
from analytics.carry import Ended
from analytics.evidence.merging import merge, reported
from analytics.evidence.supply import EVIDENCE, SupplyFound
from analytics.layout.timeline import Timeline, row_at
from analytics.points import machine, silence
from analytics.points.faults import FAULT, KINDS, detail_of
from analytics.points.machine import NEVER, Records
from analytics.points.silence import Service, Spans
from heatwatch.domain.findings import COLUMNS, EndReason, Finding, FindingKind, SubjectKind
from heatwatch.domain.instants import HOUR_MS
from heatwatch.domain.stops import Stop

Int64 = NDArray[np.int64]

SUBJECTS = (SubjectKind.POINT, SubjectKind.BUILDING, SubjectKind.STATION)
"""`subject_kind` of the tables is an index into this."""
_POINT, _BUILDING, _STATION = range(3)
_NOTHING = -1

SILENT = np.dtype(
    [
        ("subject_kind", np.int8),
        ("subject", np.int32),
        ("open", np.bool_),
        ("start", np.int64),
        ("end", np.int64),
        ("part_kind", np.int8),
        ("part", np.int32),
    ]
)
"""A data outage; `end` `NEVER` while it is open; `part_kind` -1 where it is part of nothing."""

_REASONS = (EndReason.RECOVERED, EndReason.SILENCE, EndReason.SUSPENDED, EndReason.SEASON, "")
_MK_MS_PER_K_H = 1000 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Found:
    """Everything found at `as_of_ms`: tables of `SPELL`, `HEATLESS`, `SILENT` and `FAULT`, in no fixed order."""

    as_of_ms: int
    spells: Records
    unheated: Records
    silent: Records
    faults: Records


@dataclass(frozen=True, slots=True)
class Besides:
    """What is known at a moment besides what the rooms' own temperatures say.

    Attributes
    ----------
    faults
        Sensor faults that stand and that others show: neighbours, batteries, clocks.
    supply, stops
        What supply sensors and people say of heat.
    """

    faults: Records
    supply: SupplyFound
    stops: Sequence[Stop] = ()


def found_at(
    timeline: Timeline,
    service: Service,
    state: Records,
    ended: Ended,
    buildings: Records,
    as_of_ms: int,
    besides: Besides,
    points: Int64 | None = None,
) -> Found:
    """Put together what is over and what stands at `as_of_ms`.

    Parameters
    ----------
    besides
        What else is known then.
    points
        The only ones of which a spell, a fault or a silence can stand then; None: all.
    """
    points = np.arange(len(timeline.points)) if points is None else points
    state = state[points]
    standing, faulty = np.zeros(2 * len(points), machine.SPELL), np.zeros(3 * len(points), FAULT)
    cold, faults = machine.unfinished(state, as_of_ms, machine.numbers_of(timeline), standing, faulty)
    standing, faulty = standing[:cold], faulty[:faults]
    standing["point"], faulty["point"] = points[standing["point"]], points[faulty["point"]]
    silences = silence.point_silences(timeline, state["heard"], state["heard_break"], points, ended.silences, as_of_ms)
    return Found(
        as_of_ms,
        np.concatenate((ended.spells, standing)),
        _unheated(
            timeline,
            np.concatenate((ended.outages, heat.still_open(buildings))),
            as_of_ms,
            besides,
        ),
        _silent(timeline, service, silences, as_of_ms),
        np.concatenate((ended.faults, faulty, besides.faults)),
    )


def _silent(timeline: Timeline, service: Service, points: Spans, as_of_ms: int) -> Records:
    segments, rows = timeline.segments, timeline.rows
    own = row_at(segments.first, segments.start, segments.row, points.subject, points.start)
    by_building = points.of(rows.building[own].astype(np.int64))
    by_station = points.of(rows.station[own].astype(np.int64))
    buildings = stations = points.where(np.zeros(len(points), dtype=np.bool_))
    if len(points) > 1:
        buildings = silence.together(points, service, service.building, service.by_building, as_of_ms)
        stations = silence.together(points, service, service.station, service.by_station, as_of_ms)
    home = buildings.of(timeline.station_of_building[buildings.subject])
    in_building = np.where(silence.overlapping(by_building, buildings), by_building.subject, _NOTHING)
    in_station = np.where(silence.overlapping(by_station, stations), by_station.subject, _NOTHING)
    home_in_station = np.where(silence.overlapping(home, stations), home.subject, _NOTHING)
    return np.concatenate(
        (
            _silent_rows(_POINT, points, in_building, in_station),
            _silent_rows(_BUILDING, buildings, np.full(len(buildings), _NOTHING), home_in_station),
            _silent_rows(_STATION, stations, np.full(len(stations), _NOTHING), np.full(len(stations), _NOTHING)),
        )
    )


def _silent_rows(kind: int, spans: Spans, in_building: Int64, in_station: Int64) -> Records:
    table = np.zeros(len(spans), SILENT)
    _put_spans(table, kind, spans)
    station_or_none = np.where(in_station == _NOTHING, _NOTHING, _STATION)
    table["part_kind"] = np.where(in_building == _NOTHING, station_or_none, _BUILDING)
    table["part"] = np.where(in_building == _NOTHING, in_station, in_building)
    return table


def _put_spans(table: Records, kind: int, spans: Spans) -> None:
    table["subject_kind"], table["subject"] = kind, spans.subject
    table["start"], table["open"] = spans.start, spans.open
    table["end"] = np.where(spans.open, NEVER, spans.end)


def _unheated(timeline: Timeline, outages: Records, as_of_ms: int, besides: Besides) -> Records:
    outages = candidates(timeline, outages, as_of_ms)
    outages = outages[~outages["usual"] & (outages["confidence"] >= timeline.judging.outage_least)]
    return merge(timeline, outages, besides.supply, reported(timeline, besides.stops, as_of_ms), as_of_ms)


# --- the first face: frames, for files and notebooks


def frames_of(timeline: Timeline, found: Found) -> dict[FindingKind, pd.DataFrame]:
    """Return the columns of the design's files: instants as UTC timestamps (NaT: none), rows in the files' order."""
    return {
        FindingKind.COLD_SPELL: _spell_frame(timeline, found.spells),
        FindingKind.HEAT_OUTAGE: _heat_frame(timeline, found),
        FindingKind.DATA_OUTAGE: _silence_frame(timeline, found),
        FindingKind.SENSOR_FAULT: _fault_frame(timeline, found.faults),
    }


def _instants(ms: Int64) -> pd.DatetimeIndex:
    stamps = np.where(ms == NEVER, np.datetime64("NaT", "ms").view(np.int64), ms).view("datetime64[ms]")
    return pd.DatetimeIndex(stamps, tz="UTC")


def _text(words: Sequence[str], code: NDArray[Any]) -> pd.Series[Any]:
    return pd.Series(np.array([*words, ""], dtype=object)[code], dtype="str")


def _frame(kind: FindingKind, columns: Mapping[str, Any], by: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(columns).sort_values(list(by), kind="stable", ignore_index=True)[list(COLUMNS[kind])]


def _rule_names(timeline: Timeline, masks: Sequence[int]) -> list[str]:
    return ["+".join(name for k, name in enumerate(timeline.week.rules) if mask >> k & 1) for mask in masks]


def _spell_frame(timeline: Timeline, spells: Records) -> pd.DataFrame:
    masks, which = np.unique(spells["rules"], return_inverse=True)
    columns = {
        "point_id": _text(timeline.points, spells["point"]),
        "start": _instants(spells["start"]),
        "end": _instants(spells["end"]),
        "open": spells["end_reason"] == machine.RUNNING,
        "confirmed_at": _instants(spells["confirmed_at"]),
        "end_reason": _text(_REASONS, spells["end_reason"]),
        "violation_h": spells["violation_ms"] / HOUR_MS,
        "unknown_h": spells["unknown_ms"] / HOUR_MS,
        "min_temp_c": spells["min_temp_c"],
        "deficit_kh": spells["deficit_mk_ms"] / _MK_MS_PER_K_H,
        "rule": _text(_rule_names(timeline, masks.tolist()), which),
    }
    return _frame(FindingKind.COLD_SPELL, columns, ("point_id", "start"))


def _fault_frame(timeline: Timeline, faults: Records) -> pd.DataFrame:
    columns = {
        "point_id": _text(timeline.points, faults["point"]),
        "kind": _text(KINDS, faults["kind"]),
        "start": _instants(faults["start"]),
        "end": _instants(faults["end"]),
        "open": faults["open"],
        "detail": pd.Series([_fault_detail(fault) for fault in faults], dtype="str"),
    }
    return _frame(FindingKind.SENSOR_FAULT, columns, ("point_id", "start", "kind"))


def _fault_detail(fault: Any) -> str:
    return detail_of(int(fault["kind"]), int(fault["count"]), float(fault["a"]), float(fault["b"]))


def _subjects(timeline: Timeline) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
    return timeline.points, timeline.buildings, timeline.stations


def _subject_columns(timeline: Timeline, table: Records, as_of_ms: int) -> dict[str, Any]:
    subject = pd.Series([""] * len(table), dtype=object)
    for kind, names in enumerate(_subjects(timeline)):
        chosen = table["subject_kind"] == kind
        subject[chosen] = _text(names, table["subject"][chosen]).to_numpy()
    return {
        "order": table["subject_kind"],
        "subject_kind": _text(SUBJECTS, table["subject_kind"]),
        "subject_id": subject.astype("str"),
        "start": _instants(table["start"]),
        "end": _instants(table["end"]),
        "open": table["open"],
        "duration_h": (np.where(table["open"], as_of_ms, table["end"]) - table["start"]) / HOUR_MS,
    }


def _silence_frame(timeline: Timeline, found: Found) -> pd.DataFrame:
    part = [
        _part(timeline, int(kind), int(code))
        for kind, code in zip(found.silent["part_kind"], found.silent["part"], strict=True)
    ]
    columns = {
        **_subject_columns(timeline, found.silent, found.as_of_ms),
        "part_of": pd.Series(part, dtype="str"),
    }
    return _frame(FindingKind.DATA_OUTAGE, columns, ("order", "subject_id", "start"))


def _part(timeline: Timeline, kind: int, code: int) -> str:
    return "" if kind == _NOTHING else f"{SUBJECTS[kind]}:{_subjects(timeline)[kind][code]}"


def _heat_frame(timeline: Timeline, found: Found) -> pd.DataFrame:
    columns = {
        **_subject_columns(timeline, found.unheated, found.as_of_ms),
        "evidence": _text(EVIDENCE, found.unheated["evidence"]),
        "confidence": found.unheated["confidence"],
        "points": found.unheated["points"],
    }
    return _frame(FindingKind.HEAT_OUTAGE, columns, ("order", "subject_id", "start"))


# --- the second face: findings one by one, for the records

Subject = tuple[FindingKind, SubjectKind, str]
"""Whom findings of one kind speak of."""


def changed_subjects(timeline: Timeline, before: Found | None, now: Found) -> set[Subject]:
    """Say of whom something else is found now than before."""
    found: set[Subject] = set()
    names = _subjects(timeline)
    for kind, table, field in (
        (FindingKind.COLD_SPELL, "spells", "point"),
        (FindingKind.SENSOR_FAULT, "faults", "point"),
        (FindingKind.HEAT_OUTAGE, "unheated", "subject"),
        (FindingKind.DATA_OUTAGE, "silent", "subject"),
    ):
        new = getattr(now, table)
        old = getattr(before, table) if before is not None else new[:0]
        for rows in (_missing_in(new, old), _missing_in(old, new)):
            kinds = rows["subject_kind"] if field == "subject" else np.full(len(rows), _POINT)
            found.update(
                (kind, SUBJECTS[k], names[k][code])
                for k, code in zip(kinds.tolist(), rows[field].tolist(), strict=True)
            )
    return found


def _missing_in(rows: Records, others: Records) -> Records:
    """Return the rows that are not among `others`; most stand at the same place in both, and are not looked up."""
    raw = np.dtype((np.void, rows.dtype.itemsize))
    mine, theirs = np.ascontiguousarray(rows).view(raw), np.ascontiguousarray(others).view(raw)
    common = min(len(mine), len(theirs))
    moved = np.ones(len(mine), dtype=np.bool_)
    moved[:common] = mine[:common] != theirs[:common]
    if not moved.any():
        return rows[moved]
    places = np.nonzero(moved)[0]
    return rows[places[~np.isin(_digests(rows[places]), _digests(others))]]


def _digests(rows: Records) -> NDArray[np.uint64]:
    """Return a number for each row: the same for the same bytes, and hardly ever for others."""
    width = -(-rows.dtype.itemsize // 8) * 8
    padded = np.zeros((len(rows), width), dtype=np.uint8)
    padded[:, : rows.dtype.itemsize] = np.frombuffer(rows.tobytes(), np.uint8).reshape(-1, rows.dtype.itemsize)
    words = padded.view(np.uint64)
    mixed = np.zeros(len(rows), dtype=np.uint64)
    for k in range(words.shape[1]):
        mixed = (mixed ^ words[:, k]) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return mixed


def findings_of(timeline: Timeline, found: Found, subjects: set[Subject]) -> Iterator[Finding]:
    """Return the findings that speak of `subjects`, one by one."""
    for kind, table in ((FindingKind.COLD_SPELL, found.spells), (FindingKind.SENSOR_FAULT, found.faults)):
        for row in table[np.isin(table["point"], _numbers(timeline, subjects, kind, _POINT))]:
            yield _spell(timeline, row) if kind is FindingKind.COLD_SPELL else _fault(timeline, row)
    for kind, table in ((FindingKind.HEAT_OUTAGE, found.unheated), (FindingKind.DATA_OUTAGE, found.silent)):
        for level in range(len(SUBJECTS)):
            of_level = table[table["subject_kind"] == level]
            for row in of_level[np.isin(of_level["subject"], _numbers(timeline, subjects, kind, level))]:
                yield _outage(timeline, kind, row)


def _numbers(timeline: Timeline, subjects: set[Subject], kind: FindingKind, level: int) -> Int64:
    """Return the numbers of those of `subjects` that are of a kind and a level, and known; names are in order."""
    names = _subjects(timeline)[level]
    asked = [name for k, subject_kind, name in subjects if k == kind and subject_kind == SUBJECTS[level]]
    places = [(bisect_left(names, name), name) for name in asked]
    known = [place for place, name in places if place < len(names) and names[place] == name]
    return np.array(known, dtype=np.int64)


def _instant(ms: Any) -> int | None:
    return None if ms == NEVER else int(ms)


def _home(timeline: Timeline, point: int, at_ms: int) -> tuple[str, str]:
    segments, rows = timeline.segments, timeline.rows
    row = row_at(
        segments.first,
        segments.start,
        segments.row,
        np.array([point], dtype=np.int64),
        np.array([at_ms], dtype=np.int64),
    )[0]
    return timeline.buildings[rows.building[row]], timeline.stations[rows.station[row]]


def _point_finding(
    timeline: Timeline, kind: FindingKind, row: Any, *, confirmed_ms: int | None, running: bool, detail: dict[str, Any]
) -> Finding:
    building, station = _home(timeline, int(row["point"]), int(row["start"]))
    return Finding(
        kind,
        SubjectKind.POINT,
        timeline.points[row["point"]],
        building,
        station,
        int(row["start"]),
        _instant(row["end"]),
        running,
        confirmed_ms,
        detail,
    )


def _spell(timeline: Timeline, row: Any) -> Finding:
    detail = {
        "end_reason": str(_REASONS[row["end_reason"]]),
        "violation_h": float(row["violation_ms"] / HOUR_MS),
        "unknown_h": float(row["unknown_ms"] / HOUR_MS),
        "min_temp_c": float(row["min_temp_c"]),
        "deficit_kh": float(row["deficit_mk_ms"] / _MK_MS_PER_K_H),
        "rule": _rule_names(timeline, [int(row["rules"])])[0],
    }
    running = bool(row["end_reason"] == machine.RUNNING)
    confirmed_ms = _instant(row["confirmed_at"])
    return _point_finding(
        timeline, FindingKind.COLD_SPELL, row, confirmed_ms=confirmed_ms, running=running, detail=detail
    )


def _fault(timeline: Timeline, row: Any) -> Finding:
    detail = {"kind": KINDS[row["kind"]], "detail": _fault_detail(row)}
    running = bool(row["open"])
    return _point_finding(timeline, FindingKind.SENSOR_FAULT, row, confirmed_ms=None, running=running, detail=detail)


def _outage(timeline: Timeline, kind: FindingKind, row: Any) -> Finding:
    code, subject = int(row["subject"]), SUBJECTS[row["subject_kind"]]
    if subject is SubjectKind.POINT:
        building, station = _home(timeline, code, int(row["start"]))
    elif subject is SubjectKind.BUILDING:
        building, station = timeline.buildings[code], timeline.stations[timeline.station_of_building[code]]
    else:
        building, station = "", timeline.stations[code]
    detail: dict[str, Any]
    if kind is FindingKind.HEAT_OUTAGE:
        detail = {
            "evidence": EVIDENCE[row["evidence"]],
            "confidence": float(row["confidence"]),
            "points": int(row["points"]),
        }
    else:
        detail = {"part_of": _part(timeline, int(row["part_kind"]), int(row["part"]))}
    if not row["open"]:
        detail["duration_h"] = float((row["end"] - row["start"]) / HOUR_MS)
    return Finding(
        kind,
        subject,
        _subjects(timeline)[row["subject_kind"]][code],
        building,
        station,
        int(row["start"]),
        _instant(row["end"]),
        bool(row["open"]),
        None,
        detail,
    )
