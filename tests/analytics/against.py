"""Puts a case of the oracle before the real judge, and the two answers side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from analytics.judge import Findings, judge
from heatwatch.domain.findings import FindingKind
from heatwatch.domain.instants import HOUR_MS, from_ms
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import ClassRules, Hours, Judging, RoomClass, Season, Standard, Version
from tests.analytics.oracle import NUMBERS, Numbers, Point, Result, Row
from tests.analytics.strategies import Case


def readings_of(rows: Sequence[Row]) -> pd.DataFrame:
    """Return rows as a readings file gives them."""
    return pd.DataFrame(
        {
            "time": pd.DatetimeIndex(np.array([row.time_ms for row in rows], "int64").view("datetime64[ms]"), tz="UTC"),
            "point_id": pd.Categorical([row.point_id for row in rows]),
            "temperature_c": np.array([np.nan if row.temp_c is None else row.temp_c for row in rows], "float64"),
        }
    )


def register_of(points: Sequence[Point]) -> Register:
    """Return the register of an oracle's points."""
    return Register.of(
        PointRow(
            point_id=point.point_id,
            building_id=point.building_id,
            station_id=point.station_id,
            room_class=RoomClass(point.room_class),
            valid_from=_moment(point.valid_from_ms),
            valid_to=_moment(point.valid_to_ms),
            contract=point.contract,
            suspended_from=_moment(point.suspended_from_ms),
            suspended_to=_moment(point.suspended_to_ms),
            interval_s=point.interval_s,
            offset_k=point.offset_k,
        )
        for point in points
    )


def standard_of(rules: Mapping[str, Any], numbers: Numbers = NUMBERS) -> Standard:
    """Return the standard of an oracle's rules and numbers."""
    judging = Judging(
        range_gap_h=numbers.range_gap_ms / HOUR_MS,
        spike_k=numbers.spike_k,
        spike_agree_k=numbers.spike_agree_k,
        spike_gap_h=numbers.spike_gap_ms / HOUR_MS,
        stuck_h=numbers.stuck_ms / HOUR_MS,
        stuck_h_per_k=numbers.stuck_ms_per_k / HOUR_MS,
        stuck_coarse_k=numbers.stuck_coarse_k,
        stuck_readings=numbers.stuck_readings,
    )
    return Standard(tuple(_version(version) for version in rules["versions"]), judging)


def answer(case: Case) -> Findings:
    """Return what the real judge finds."""
    register = None if case.points is None else register_of(case.points)
    standard = standard_of(case.rules, case.numbers)
    return judge(readings_of(case.rows), register, standard, ZoneInfo(case.timezone), case.as_of_ms)


def as_answered(findings: Findings) -> dict[str, Any]:
    """Return findings as plain values that an oracle's can be compared with."""
    return {
        "as_of_ms": findings.as_of_ms,
        "cold_spells": _plain(findings.frames[FindingKind.COLD_SPELL]),
        "data_outages": _plain(findings.frames[FindingKind.DATA_OUTAGE]),
        "sensor_faults": _plain(findings.frames[FindingKind.SENSOR_FAULT]),
        "counts": {name: count for name, count in findings.summary.items() if name != "points"},
        "point_counts": {
            point: {name: count for name, count in counts.items() if count}
            for point, counts in findings.summary["points"].items()
        },
    }


def as_expected(result: Result) -> dict[str, Any]:
    """Return an oracle's result in the same shape; its exact sums divided once, as the files have them."""
    spells = [
        (
            *(spell.point_id, spell.start_ms, spell.end_ms, spell.open, spell.confirmed_at_ms, spell.end_reason),
            *(spell.violation_ms / HOUR_MS, spell.unknown_ms / HOUR_MS, spell.min_temp_c),
            *(spell.deficit_mk_ms / (1000 * HOUR_MS), spell.rule),
        )
        for spell in result.cold_spells
    ]
    outages = [
        (o.subject_kind, o.subject_id, o.start_ms, o.end_ms, o.open, o.duration_ms / HOUR_MS, o.part_of)
        for o in result.data_outages
    ]
    return {
        "as_of_ms": result.as_of_ms,
        "cold_spells": spells,
        "data_outages": outages,
        "sensor_faults": [astuple(fault) for fault in result.sensor_faults],
        "counts": result.counts,
        "point_counts": {
            point: {name: count for name, count in counts.items() if count and name != "unlisted"}
            for point, counts in result.point_counts.items()
        },
    }


def _plain(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    columns = []
    for name in frame.columns:
        column = frame[name]
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            known = column.notna().tolist()
            instants = column.dt.tz_localize(None).to_numpy("datetime64[ms]").view("int64").tolist()
            columns.append([ms if is_known else None for ms, is_known in zip(instants, known, strict=True)])
        else:
            columns.append(column.tolist())
    return list(zip(*columns, strict=True))


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else from_ms(ms)


def _version(raw: Mapping[str, Any]) -> Version:
    return Version(
        valid_from=_moment(raw["valid_from_ms"]),
        classes={
            RoomClass(name): ClassRules(tuple(map(_hours, rules["hours"])), rules.get("target_c"))
            for name, rules in raw["classes"].items()
        },
        contracts={
            name: tuple(_hours({"rule": "R4", **hours}) for hours in contract)
            for name, contract in raw.get("contracts", {}).items()
        },
        seasons=tuple(
            Season(date.fromisoformat(season["first_day"]), date.fromisoformat(season["last_day"]))
            for season in raw.get("seasons", [])
        ),
    )


def _hours(raw: Mapping[str, Any]) -> Hours:
    weekdays = frozenset(raw.get("weekdays", range(7)))
    return Hours(
        raw["start_minute"],
        raw["end_minute"],
        raw["minimum_c"],
        raw.get("target_c"),
        raw["rule"],
        weekdays=weekdays,
    )
