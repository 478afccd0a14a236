"""The readings file: `time, point_id, temperature_c`, rows in any order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from heatwatch.errors import BadInput
from heatwatch.files.tables import instants, read_table, where_row

_MORE = ("arrived", "humidity_pct", "battery_pct", "battery_v", "flags")


def read_readings(path: Path, *, whole: bool = False) -> pd.DataFrame:
    """Read a readings file.

    Parameters
    ----------
    whole
        Whether to read, where they are there, `arrived` (UTC; NaT where empty), `humidity_pct` [%], `battery_pct`
        [%], `battery_v` [V] and `flags` (text) besides.

    Returns
    -------
    pandas.DataFrame
        `time` (UTC timestamps of milliseconds), `point_id` (categories), `temperature_c` (float64, as sent [degC];
        NaN where there is no value); rows as they stand in the file.

    Raises
    ------
    BadInput
        If it cannot be read; the message names file, column and row.
    """
    numbers = ("temperature_c", "humidity_pct", "battery_pct", "battery_v")
    frame = read_table(path, ("time", "point_id", "temperature_c"), _MORE if whole else (), numbers)
    frame["time"] = instants(frame["time"], path)
    names = frame["point_id"].astype("str").str.strip()
    nameless = frame["point_id"].isna() | (names == "")
    if nameless.any():
        raise BadInput("point_id is empty", where=where_row(path, int(np.argmax(nameless))))
    frame["point_id"] = names.astype("category")
    if "arrived" in frame:
        frame["arrived"] = instants(frame["arrived"], path, optional=True)
    if "flags" in frame:
        frame["flags"] = frame["flags"].astype("str").where(frame["flags"].notna(), "")
    return frame[["time", "point_id", "temperature_c", *(name for name in _MORE if name in frame)]]
