"""Findings: what judging says of a room, a building or a station, and the columns in which every tool reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class FindingKind(StrEnum):
    """The four kinds; the value is also the name of the file (plus ``s``)."""

    COLD_SPELL = "cold_spell"
    HEAT_OUTAGE = "heat_outage"
    DATA_OUTAGE = "data_outage"
    SENSOR_FAULT = "sensor_fault"

    @property
    def file_stem(self) -> str:
        """Name of this kind's file without its ending."""
        return f"{self}s"


class SubjectKind(StrEnum):
    """What a finding speaks of."""

    POINT = "point"
    BUILDING = "building"
    STATION = "station"


class EndReason(StrEnum):
    """Why a cold spell ended; only `recovered` says that the room is warm."""

    RECOVERED = "recovered"
    SILENCE = "silence"
    SUSPENDED = "suspended"
    SEASON = "season"


COLUMNS: Mapping[FindingKind, tuple[str, ...]] = {
    FindingKind.COLD_SPELL: (
        "point_id",
        "start",
        "end",
        "open",
        "confirmed_at",
        "end_reason",
        "violation_h",
        "unknown_h",
        "min_temp_c",
        "deficit_kh",
        "rule",
    ),
    FindingKind.HEAT_OUTAGE: (
        "subject_kind",
        "subject_id",
        "start",
        "end",
        "open",
        "duration_h",
        "evidence",
        "confidence",
        "points",
    ),
    FindingKind.DATA_OUTAGE: ("subject_kind", "subject_id", "start", "end", "open", "duration_h", "part_of"),
    FindingKind.SENSOR_FAULT: ("point_id", "kind", "start", "end", "open", "detail"),
}

INSTANT_COLUMNS = frozenset({"start", "end", "confirmed_at"})

DECIMALS: Mapping[str, int] = {
    "violation_h": 6,
    "unknown_h": 6,
    "min_temp_c": 4,
    "deficit_kh": 6,
    "duration_h": 6,
    "confidence": 3,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding, before it has an identity.

    Instants in milliseconds. `detail` holds the columns of `COLUMNS[kind]` that have no field here, as JSON
    values; for a sensor fault also its ``kind``, which is part of what is matched.
    """

    kind: FindingKind
    subject_kind: SubjectKind
    subject_id: str
    building_id: str
    station_id: str
    start_ms: int
    end_ms: int | None
    open: bool
    confirmed_ms: int | None
    detail: Mapping[str, Any]
