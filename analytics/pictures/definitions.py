"""The definitions of judging, each shown on readings that are judged: what a picture shows is what is found.

::

    python -m analytics.pictures.definitions docs/pictures
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analytics.judge import Findings, judge
from analytics.pictures.panel import Float64, Note, Panel, Room, picture
from heatwatch.domain.instants import HOUR_MS, to_ms
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import RoomClass
from heatwatch.drawing import Spec, write
from heatwatch.files.rules_file import default_standard, time_zone

_ZONE = time_zone("Asia/Shanghai")
_MIDNIGHT = pd.Timestamp("2026-01-12", tz=str(_ZONE))
_MIDNIGHT_MS = to_ms(_MIDNIGHT.to_pydatetime())
_STEP_MIN = 30
_DAY_H = 24


def edges() -> Spec:
    """Show that 06:00:00 belongs to the day, 21:00:00 to the night."""
    room = _room(24, lambda hour: 17.5 + 0.1 * np.cos(hour / 3))
    found = _judged([room])
    hours = found.cold_spells.iloc[0]["violation_h"]
    notes = [
        Note(0.3, 17.75, "below target (18 °C), no violation"),
        Note(6.0, 17.75, "06:00:00 is day: 18 °C asked (R1)"),
        Note(21.0, 17.3, "21:00:00 is night: 16 °C asked (R2)", "right"),
        Note(7.0, 17.2, f"{found.summary['violations']} violations, {hours:.1f} h"),
    ]
    return picture(_panel("Edges of the day", "A room at about 17.5 °C", [room], found, (0, 24), notes=notes))


def cold_spell() -> Spec:
    """Show how a spell opens, is confirmed, loses time to a gap, and ends when the room has long been warm."""
    full = _room(24, _line([(0, 19.2), (7, 19.0), (8, 17.6), (11, 16.8), (14, 17.5), (15, 18.5), (24, 18.9)]))
    room = full.where(~_between(full.hour, 11.2, 13.8))
    found = _judged([room])
    spell = found.cold_spells.iloc[0]
    start_h, sure_h, end_h = (
        float((spell[name] - _MIDNIGHT) / pd.Timedelta(hours=1)) for name in ("start", "confirmed_at", "end")
    )
    known = f"{spell['violation_h']:.1f} h of violation, {spell['unknown_h']:.1f} h unknown"
    notes = [
        Note(start_h - 0.3, 17.6, "opens at the first violating reading", "right"),
        Note(sure_h - 0.3, 17.25, "confirmed: 1 h of violation", "right"),
        Note(11.3, 17.2, "no reading for longer than hold: unknown"),
        Note(end_h, 18.3, "recovered: from here on warm for long enough"),
    ]
    said = f"{known}, lowest {spell['min_temp_c']:.2f} °C, {spell['deficit_kh']:.2f} K·h"
    return picture(_panel("A cold spell", said, [room], found, (0, 24), notes=notes))


def late_readings() -> Spec:
    """Show a spell before and after readings that arrive late: unknown is a third answer."""
    full = _room(30, _line([(0, 18.9), (5, 18.7), (7, 17.2), (16, 17.3), (18, 18.8), (30, 19.0)]))
    early = full.where(~_between(full.hour, 8.2, 20.8))
    before = "From 08:00 to 21:00 nothing has arrived: the spell ends in silence, the room is unknown"
    after = "The rest has arrived, late: the same finding under the same number goes on and ends recovered"
    return picture(
        _panel("As it was judged at first", before, [early], _judged([early]), (0, 30)),
        _panel("As it is judged then", after, [full], _judged([full]), (0, 30)),
    )


def data_outage() -> Spec:
    """Show a room that falls silent, then most of its house."""
    rooms = [_room(36, _wave(20.5 + c), f"room {k}") for k, c in enumerate((-0.9, 0.0, 0.9))]
    heard = [
        rooms[0].where(~_between(rooms[0].hour, 4.2, 26.2)),
        rooms[1].where(~_between(rooms[1].hour, 9.2, 26.2)),
        rooms[2],
    ]
    said = "Two of three rooms fall silent; while most of the house is silent, so is the house, and so is its station"
    found = _judged(heard)
    return picture(_panel("Data outages", said, heard, found, (0, 36), step_h=3, limits=False))


def heat_outage() -> Spec:
    """Show a house whose heat stops for ten hours, as six of its rooms tell it."""
    stop_h, back_h = 72.0, 82.0
    rooms = [_heated(96, [(stop_h, back_h)], k) for k in range(6)]
    found = _judged(rooms)
    row = found.heat_outages[found.heat_outages["subject_kind"] == "building"].iloc[0]
    said = f"The heat stopped at 00:00 for 10 h; found: {row['duration_h']:.1f} h, confidence {row['confidence']:.2f}"
    return picture(_panel("A heat outage, by its rooms", said, rooms, found, (66, 90)))


def setback() -> Spec:
    """Show nights on which the heat is lowered though nobody declared it, after the first and after the fourth."""
    nights = [(_DAY_H * day + 21.5, _DAY_H * day + 30.5) for day in range(3, 9)]
    rooms = [_heated(8 * _DAY_H, nights, k) for k in range(6)]
    morning_h = 4 * _DAY_H + 10
    early = [room.where(room.hour <= morning_h) for room in rooms]
    first = "On the first morning: a house that has never done this cooled all night"
    later = "It came on three of seven days, so it is the house's rhythm: withdrawn, the first night too"
    days: dict[str, Any] = {"step_h": _DAY_H, "limits": False, "dots": False}
    span_h = (2 * _DAY_H, 8 * _DAY_H)
    return picture(
        _panel("A night setback, judged on its first morning", first, early, _judged(early), span_h, **days),
        _panel("The same house, judged after its fourth night", later, rooms, _judged(rooms), span_h, **days),
    )


def sensor_faults() -> Spec:
    """Show what one thermometer can do wrong for all to see: no such reading feeds a cold spell."""
    room = _room(4 * _DAY_H, _wave(20.2))
    temp_c = np.round(room.temp_c + 0.03 * np.random.default_rng(1).standard_normal(len(room.hour)), 1)
    temp_c[20] = 12.1
    temp_c[48:100] = 17.4
    temp_c[[130, 134, 139]] = 85.0
    shown = Room("room", room.hour, temp_c)
    found = _judged([shown])
    notes = [
        Note(10.2, 12.1, "one reading, there and back: a spike"),
        Note(30.0, 16.8, "26 h at 17.4 °C to the last digit: stuck"),
        Note(
            65.0,
            20.9,
            "85.0 °C three times, the word of a sensor that was not ready: out of range (not drawn)",
            "right",
        ),
    ]
    said = f"{len(found.cold_spells)} cold spells: nothing of this says that the room is cold"
    in_range = shown.where(shown.temp_c < default_standard().judging.range_high_c)
    span_h = (0.0, 4.0 * _DAY_H)
    return picture(_panel("Sensor faults of one point", said, [in_range], found, span_h, step_h=_DAY_H, notes=notes))


def drift() -> Spec:
    """Show a thermometer that ages beside five that do not."""
    rooms = [_heated(50 * _DAY_H, [], k) for k in range(6)]
    aged_k = 0.2 * np.clip(rooms[0].hour / _DAY_H - 12, 0, None)
    rooms[0] = Room(rooms[0].point_id, rooms[0].hour, np.round(rooms[0].temp_c + aged_k, 1))
    found = _judged(rooms)
    said = "From day 13 on one says 0.2 K more each day, its neighbours do not"
    drawn = [Room(one.point_id, one.hour[::4], one.temp_c[::4]) for one in rooms]
    days: dict[str, Any] = {"step_h": 5 * _DAY_H, "limits": False, "dots": False}
    return picture(_panel("Drift, told by the neighbours", said, drawn, found, (0, 50 * _DAY_H), **days))


PICTURES: Mapping[str, Callable[[], Spec]] = {
    "judging_edges": edges,
    "judging_cold_spell": cold_spell,
    "judging_late": late_readings,
    "judging_data_outage": data_outage,
    "judging_heat_outage": heat_outage,
    "judging_setback": setback,
    "judging_sensor_faults": sensor_faults,
    "judging_drift": drift,
}
"""Every picture of `docs/judging.md` by its file's name."""


def main(folder: str) -> None:
    """Draw all of them as PNG into a folder."""
    for name, made in PICTURES.items():
        write(made(), Path(folder) / f"{name}.png", scale=1.2)


def _room(until_h: float, of: Callable[[Float64], Float64], name: str = "room") -> Room:
    hour = np.arange(0, until_h + 1e-9, _STEP_MIN / 60)
    return Room(name, hour, np.round(of(hour), 2))


def _heated(until_h: float, stops_h: Sequence[tuple[float, float]], number: int) -> Room:
    """Return a room of a house with a time constant of 60 h, at -4 degC outdoors, whose heat stops at times."""
    hour = np.arange(0, until_h + 1e-9, _STEP_MIN / 60)
    off = np.zeros(len(hour), dtype=np.bool_)
    for start_h, end_h in stops_h:
        off |= (hour >= start_h) & (hour < end_h)
    rng = np.random.default_rng(number)
    usual_c, lost_k = 20.0 + 0.5 * number + 0.25 * np.sin((hour - 9) / 24 * 2 * np.pi), np.zeros(len(hour))
    step_h = _STEP_MIN / 60
    for k in range(1, len(hour)):
        fall_k = (usual_c[k] + 4.0 - lost_k[k - 1]) / 60.0 if off[k] else -lost_k[k - 1] / 4.0
        lost_k[k] = lost_k[k - 1] + fall_k * step_h
    noise_k = 0.04 * rng.standard_normal(len(hour))
    return Room(f"room {number}", hour, np.round(usual_c - lost_k + noise_k, 1))


def _line(corners: Sequence[tuple[float, float]]) -> Callable[[Float64], Float64]:
    """Return temperatures on straight lines between corners (hour, degC)."""
    at, temp_c = zip(*corners, strict=True)

    def along(hour: Float64) -> Float64:
        return np.asarray(np.interp(hour, at, temp_c), dtype=np.float64)

    return along


def _wave(mean_c: float) -> Callable[[Float64], Float64]:
    def along(hour: Float64) -> Float64:
        return np.asarray(mean_c + 0.3 * np.sin(hour / 4), dtype=np.float64)

    return along


def _between(hour: Float64, start_h: float, end_h: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.asarray((hour > start_h) & (hour < end_h))


def _judged(rooms: Sequence[Room], as_of_h: float | None = None) -> Findings:
    frame = pd.concat(
        pd.DataFrame(
            {
                "time": pd.to_datetime(_MIDNIGHT_MS + np.rint(room.hour * HOUR_MS), unit="ms", utc=True),
                "point_id": room.point_id,
                "temperature_c": room.temp_c,
            }
        )
        for room in rooms
    )
    rows = [PointRow(one.point_id, "house", "station", RoomClass.APARTMENT, interval_s=60 * _STEP_MIN) for one in rooms]
    as_of_ms = None if as_of_h is None else _MIDNIGHT_MS + round(as_of_h * HOUR_MS)
    return judge(frame, Register.of(rows), default_standard(), _ZONE, as_of_ms)


def _panel(
    title: str, said: str, rooms: Sequence[Room], found: Findings, span_h: tuple[float, float], **more: Any
) -> Panel:
    return Panel(title, said, rooms, found, _MIDNIGHT, span_h, **more)


if __name__ == "__main__":
    main(*sys.argv[1:])
