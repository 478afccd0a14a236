"""Tables on disk: CSV, gzipped or not, and Parquet, by the file's ending; one clear error where they cannot be read."""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from heatwatch.errors import BadInput

NO_VALUE = ["", "NaN", "nan", "NA", "null", "NULL", "None"]
ZONED = r"(?:[Zz]|:\d{2}(?:\.\d+)?[+-]\d{2}(?::?\d{2})?)$"
FIRST_YEAR, LAST_YEAR = 1900, 2200
"""Instants outside are no thermometer's, and no one's register."""


def read_table(
    path: Path, required: Sequence[str], optional: Sequence[str], numbers: Sequence[str], *, may_be_empty: bool = False
) -> pd.DataFrame:
    """Read the columns that we know of a table; others are ignored.

    Parameters
    ----------
    required, optional
        Columns to read; an absent optional one is absent from the result.
    numbers
        Those of them that hold 64-bit floats; the others stay text (CSV) or as stored (Parquet).
    may_be_empty
        Whether a table without a row says something, too.

    Raises
    ------
    BadInput
        If the file is not there, is no such table, lacks a column or has no row, or a number in it cannot be read.
    """
    if not path.is_file():
        raise BadInput("no such file", where=str(path))
    known = [*required, *optional]
    try:
        frame = _read_parquet(path, known) if path.suffix.lower() == ".parquet" else _read_csv(path, known)
    except (pa.ArrowException, gzip.BadGzipFile, zlib.error, EOFError, OSError) as error:
        raise BadInput(f"cannot be read: {error}", where=str(path)) from error
    missing = [name for name in required if name not in frame.columns]
    if missing:
        raise BadInput(f"column {missing[0]!r} is missing", where=str(path), mend=f"it needs {', '.join(required)}")
    if frame.empty and not may_be_empty:
        raise BadInput("there is no row in it", where=str(path))
    for name in numbers:
        if name in frame.columns:
            frame[name] = _floats(frame[name], name, path)
    return frame


def where_row(path: Path, index: int) -> str:
    """Name a row as a person finds it: the first row of data is row 1; in a CSV file it stands on line 2."""
    line = "" if path.suffix.lower() == ".parquet" else f" (line {index + 2})"
    return f"{path}, row {index + 1}{line}"


def instants(column: pd.Series[Any], path: Path, *, optional: bool = False) -> pd.Series[Any]:
    """Read a column of instants: ISO 8601 with ``Z`` or an offset, or a Parquet timestamp. Finer than ms is cut off.

    Raises
    ------
    BadInput
        Naming the first row that holds no time, or one without a zone.
    """
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        stamps = column
    elif pd.api.types.is_datetime64_any_dtype(column.dtype):
        raise BadInput(f"column {column.name!r} has no time zone", where=str(path), mend="store it as UTC")
    else:
        stamps = _parse_instants(column, path, optional=optional)
    if not optional and stamps.isna().any():
        raise BadInput(f"{column.name} is empty", where=where_row(path, int(np.argmax(stamps.isna()))))
    strange = stamps.notna() & ~stamps.dt.year.between(FIRST_YEAR, LAST_YEAR)
    if strange.any():
        row = int(np.argmax(strange))
        raise BadInput(f"{column.name} is in the year {stamps.iloc[row].year}", where=where_row(path, row))
    cut: pd.Series[Any] = stamps.dt.tz_convert("UTC").dt.floor("ms").dt.as_unit("ms")
    return cut


def _parse_instants(column: pd.Series[Any], path: Path, *, optional: bool) -> pd.Series[Any]:
    text = column.astype("str").str.strip()
    empty = column.isna() | (text == "")
    stamps = pd.to_datetime(text.where(~empty, None), format="ISO8601", utc=True, errors="coerce")
    bad = (stamps.isna() & ~empty) if optional else stamps.isna()
    if bad.any():
        row = int(np.argmax(bad))
        found = repr(str(text.iloc[row])) if not empty.iloc[row] else "nothing"
        raise BadInput(
            f"{column.name} holds {found}, which is no time",
            where=where_row(path, row),
            mend="write 2026-01-31T06:00:00Z",
        )
    zoneless = ~empty & ~text.str.contains(ZONED)
    if zoneless.any():
        row = int(np.argmax(zoneless))
        raise BadInput(
            f"{column.name} {text.iloc[row]!r} has no time zone",
            where=where_row(path, row),
            mend="end it with Z for UTC",
        )
    return stamps


def _read_parquet(path: Path, known: Sequence[str]) -> pd.DataFrame:
    file = pq.ParquetFile(path)
    names = file.schema_arrow.names
    _refuse_twins(names, known, path)
    return file.read(columns=[name for name in known if name in names]).to_pandas(ignore_metadata=True)


def _read_csv(path: Path, known: Sequence[str]) -> pd.DataFrame:
    """Read a CSV file as text. A row with more cells than the header is refused: which cell is which, nobody knows."""
    compression: Literal["gzip"] | None = "gzip" if path.suffix.lower() == ".gz" else None
    try:
        header = pd.read_csv(path, header=None, nrows=1, dtype="str", encoding="utf-8-sig", compression=compression)
        _refuse_twins([str(name) for name in header.iloc[0]], known, path)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                path,
                dtype="str",
                index_col=False,
                keep_default_na=False,
                encoding="utf-8-sig",
                compression=compression,
            )
    except pd.errors.EmptyDataError as error:
        raise BadInput("the file is empty", where=str(path)) from error
    except pd.errors.ParserWarning as error:
        raise BadInput("its rows have more cells than its header", where=str(path)) from error
    except pd.errors.ParserError as error:
        raise BadInput(f"not a CSV table: {' '.join(str(error).split())}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise BadInput(f"byte {error.start} is not UTF-8", where=str(path)) from error
    return frame[[name for name in known if name in frame.columns]]


def _refuse_twins(names: Sequence[str], known: Sequence[str], path: Path) -> None:
    twins = [name for name in known if names.count(name) > 1]
    if twins:
        raise BadInput(f"column {twins[0]!r} is there twice", where=str(path))


def _floats(column: pd.Series[Any], name: str, path: Path) -> pd.Series[Any]:
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.astype(np.float64)
    text = column.astype("str").str.strip()
    empty = column.isna() | text.isin(NO_VALUE)
    try:
        return text.where(~empty, "nan").astype(np.float64)
    except ValueError as error:
        readable = pd.to_numeric(text, errors="coerce").notna() | empty
        row = int(np.argmax(~readable))
        raise BadInput(f"{name} holds {text.iloc[row]!r}, which is no number", where=where_row(path, row)) from error
