"""What else is known of heat: the supply, weather and stops files, rows in any order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from heatwatch.domain.instants import to_ms
from heatwatch.domain.stops import STOP_SUBJECTS, Stop
from heatwatch.errors import BadInput
from heatwatch.files.tables import instants, read_table, where_row

_YES, _NO = frozenset({"true", "yes", "1", "1.0"}), frozenset({"false", "no", "0", "0.0", ""})


def read_supply(path: Path) -> pd.DataFrame:
    """Read a supply file: what flows to stations and buildings, and comes back.

    Returns
    -------
    pandas.DataFrame
        `time` (UTC timestamps of milliseconds), `subject_id` (categories), `supply_c`, `return_c` [degC] and
        `flow_m3_h` [m3/h] (float64, NaN where there is no value); rows as they stand in the file.

    Raises
    ------
    BadInput
        If it cannot be read; the message names file, column and row.
    """
    numbers = ("supply_c", "return_c", "flow_m3_h")
    frame = read_table(path, ("time", "subject_id", "supply_c"), numbers[1:], numbers, may_be_empty=True)
    frame["time"] = instants(frame["time"], path)
    frame["subject_id"] = _names(frame["subject_id"], path).astype("category")
    for name in numbers:
        if name not in frame:
            frame[name] = np.nan
    return frame[["time", "subject_id", *numbers]]


def read_weather(path: Path) -> pd.DataFrame:
    """Read a weather file.

    Returns
    -------
    pandas.DataFrame
        `time` (UTC timestamps of milliseconds) and `outdoor_c` [degC] (float64, NaN where there is no value).

    Raises
    ------
    BadInput
        If it cannot be read; the message names file, column and row.
    """
    frame = read_table(path, ("time", "outdoor_c"), (), ("outdoor_c",), may_be_empty=True)
    frame["time"] = instants(frame["time"], path)
    return frame[["time", "outdoor_c"]]


def read_stops(path: Path) -> list[Stop]:
    """Read a stops file: the stops of heat that were reported, planned or not. One without a row says: none.

    Raises
    ------
    BadInput
        If it cannot be read or a value in it makes no sense; the message names file, row and field.
    """
    columns = ("subject_kind", "subject_id", "start")
    frame = read_table(path, columns, ("end", "planned", "reason"), (), may_be_empty=True)
    if frame.empty:
        return []
    frame["start"] = instants(frame["start"], path)
    if "end" in frame:
        frame["end"] = instants(frame["end"], path, optional=True)
    return [_stop(row, where_row(path, index)) for index, row in enumerate(frame.to_dict("records"))]


def _stop(row: dict[Any, Any], where: str) -> Stop:
    kind, subject = _text(row["subject_kind"]), _text(row["subject_id"])
    if kind not in STOP_SUBJECTS:
        raise BadInput(f"subject_kind is {kind!r}", where=where, mend=f"one of {', '.join(STOP_SUBJECTS)}")
    if not subject:
        raise BadInput("subject_id is empty", where=where)
    start_ms = to_ms(row["start"].to_pydatetime())
    end = row.get("end")
    end_ms = None if end is None or pd.isna(end) else to_ms(end.to_pydatetime())
    if end_ms is not None and end_ms <= start_ms:
        raise BadInput("end is not after start", where=where)
    said = _text(row.get("planned")).lower()
    if said not in _YES | _NO:
        raise BadInput(f"planned is {said!r}", where=where, mend="true or false")
    return Stop(kind, subject, start_ms, end_ms, said in _YES, _text(row.get("reason")))


def _names(column: pd.Series[Any], path: Path) -> pd.Series[Any]:
    names = column.astype("str").str.strip()
    nameless = column.isna() | (names == "")
    if nameless.any():
        raise BadInput(f"{column.name} is empty", where=where_row(path, int(np.argmax(nameless))))
    return names


def _text(cell: object) -> str:
    return "" if cell is None or (isinstance(cell, float) and np.isnan(cell)) else str(cell).strip()
