"""The points file: the register of test points (R6), one dated row a line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import MINUTES_PER_DAY, RoomClass
from heatwatch.errors import BadInput
from heatwatch.files.tables import instants, read_table, where_row

REQUIRED = ("point_id", "building_id", "station_id", "room_class")
TEXTS = ("device_id", "contract", "room_id", "riser", "loop", "floor", "heating_hours")
INSTANTS = ("valid_from", "valid_to", "suspended_from", "suspended_to")
NUMBERS = ("interval_s", "offset_k")
INTERVAL_MOST_S = 366 * 86_400
OFFSET_MOST_K = 50.0


def read_points(path: Path) -> Register:
    """Read a points file.

    Raises
    ------
    BadInput
        If it cannot be read, a value in it makes no sense, or two rows of a point are valid at once; the message
        names file, row and field.
    """
    frame = read_table(path, REQUIRED, (*TEXTS, *INSTANTS, *NUMBERS), NUMBERS)
    for name in INSTANTS:
        if name in frame.columns:
            frame[name] = instants(frame[name], path, optional=True)
    fields = {name: _cells(frame[name]) for name in frame.columns}
    rows = [
        _row({name: cells[index] for name, cells in fields.items()}, where_row(path, index))
        for index in range(len(frame))
    ]
    return Register.of(rows, where=str(path))


def points_frame(rows: Iterable[PointRow]) -> pd.DataFrame:
    """Return a register's rows, in their order, in the columns of a points file."""
    return pd.DataFrame(
        [
            {
                "point_id": row.point_id,
                "building_id": row.building_id,
                "station_id": row.station_id,
                "room_class": str(row.room_class),
                **{name: getattr(row, name) for name in (*INSTANTS, "device_id", "contract", "room_id")},
                **{name: getattr(row, name) for name in ("riser", "loop", "floor", *NUMBERS)},
                "heating_hours": write_hours(row.heating_hours),
            }
            for row in rows
        ]
    )


def read_hours(text: str) -> tuple[tuple[int, int], ...]:
    """Read local hours of the day as minutes: ``05:00-09:00;16:00-23:30``.

    >>> read_hours("05:00-09:00;22:00-01:00")
    ((300, 540), (1320, 60))

    Raises
    ------
    ValueError
        If a part is no span of hours.
    """
    spans = []
    for part in text.split(";"):
        start, dash, end = part.strip().partition("-")
        if not dash:
            msg = f"{part!r} is no span of hours"
            raise ValueError(msg)
        spans.append((_minute(start), _minute(end)))
    return tuple(spans)


def write_hours(hours: tuple[tuple[int, int], ...] | None) -> str | None:
    """Write local hours as `read_hours` reads them."""
    if hours is None:
        return None
    return ";".join(f"{a // 60:02d}:{a % 60:02d}-{b // 60:02d}:{b % 60:02d}" for a, b in hours)


def _minute(text: str) -> int:
    hour, _, minute = text.strip().partition(":")
    total = int(hour) * 60 + int(minute)
    if not (0 <= total <= MINUTES_PER_DAY and 0 <= int(minute) < 60):  # noqa: PLR2004 - minutes of an hour
        msg = f"{text!r} is no time of day"
        raise ValueError(msg)
    return total


def _cells(column: pd.Series[Any]) -> list[Any]:
    """Return a column as Python values, None where a cell is empty."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return [None if pd.isna(cell) else cell.to_pydatetime() for cell in column]
    if column.dtype == np.float64:
        return [None if np.isnan(cell) else cell for cell in column.tolist()]
    return [str(cell).strip() or None for cell in column.astype(object).where(column.notna(), "")]


def _row(cells: Mapping[str, Any], where: str) -> PointRow:
    for name in REQUIRED:
        if cells[name] is None:
            raise BadInput(f"{name} is empty", where=where)
    classes = [str(name) for name in RoomClass]
    if cells["room_class"] not in classes:
        raise BadInput(f"room_class is {cells['room_class']!r}", where=where, mend=f"one of {', '.join(classes)}")
    given = {name: cells[name] for name in (*REQUIRED, *TEXTS, *INSTANTS) if cells.get(name) is not None}
    given["room_class"] = RoomClass(given["room_class"])
    if (interval_s := cells.get("interval_s")) is not None:
        if not 0 < interval_s <= INTERVAL_MOST_S or interval_s != int(interval_s):
            raise BadInput(f"interval_s is {interval_s:g}, not a whole number of seconds up to a year", where=where)
        given["interval_s"] = int(interval_s)
    if (offset_k := cells.get("offset_k")) is not None:
        if not abs(offset_k) <= OFFSET_MOST_K:
            raise BadInput(f"offset_k is {offset_k:g}, not a number of kelvin up to {OFFSET_MOST_K:g}", where=where)
        given["offset_k"] = float(offset_k)
    if "heating_hours" in given:
        try:
            given["heating_hours"] = read_hours(given["heating_hours"])
        except ValueError as error:
            raise BadInput(f"heating_hours: {error}", where=where, mend="write 05:00-22:00") from error
    return PointRow(**given)
