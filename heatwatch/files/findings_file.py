"""The findings' files: fixed columns, decimals and order, so that the same findings are the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from heatwatch.domain.findings import COLUMNS, DECIMALS, INSTANT_COLUMNS, FindingKind
from heatwatch.files.appearing import files_in

SUMMARY = "summary.json"
ISSUED = "issued"
"""Column of an instant that live findings have besides: when each was first issued."""


def csv_text(kind: FindingKind, frame: pd.DataFrame) -> str:
    """Return findings of one kind as the text of their CSV file.

    Parameters
    ----------
    frame
        The columns of `COLUMNS[kind]`: instants as UTC timestamps, numbers as numbers, `open` as booleans; and
        `issued` where it is known when each was first issued.
    """
    names = [*COLUMNS[kind], *(name for name in (ISSUED,) if name in frame)]
    columns = {name: _cells(name, frame[name]) for name in names}
    return pd.DataFrame(columns).to_csv(index=False, lineterminator="\n")


def write_findings(
    out: Path, frames: Mapping[FindingKind, pd.DataFrame], summary: Mapping[str, Any], *, parquet: bool = False
) -> None:
    """Write a folder of findings: a file per kind and `summary.json`. All of it appears, or nothing.

    Files of other names that are in the folder already stay.

    Raises
    ------
    BadInput
        If the folder cannot be written.
    HeatwatchError
        If the disk is full.
    """
    names = [f"{kind.file_stem}.{'parquet' if parquet else 'csv'}" for kind in frames]
    with files_in(out, [*names, SUMMARY]) as scratch:
        for name, (kind, frame) in zip(names, frames.items(), strict=True):
            if parquet:
                frame.to_parquet(scratch / name, index=False)
            else:
                (scratch / name).write_text(csv_text(kind, frame), encoding="utf-8")
        text = json.dumps(summary, ensure_ascii=False, indent=1) + "\n"
        (scratch / SUMMARY).write_text(text, encoding="utf-8")


def _cells(name: str, column: pd.Series[Any]) -> pd.Series[Any]:
    if name in INSTANT_COLUMNS or name == ISSUED:
        text: pd.Series[Any] = column.dt.strftime("%Y-%m-%dT%H:%M:%S.%f").str.slice(0, 23).add("Z").fillna("")
        return text
    if name in DECIMALS:
        return pd.Series([f"{value:.{DECIMALS[name]}f}" for value in column.tolist()], dtype="str")
    if name == "open":
        return column.map({True: "true", False: "false"})
    return column.fillna("") if column.dtype != "int64" else column
