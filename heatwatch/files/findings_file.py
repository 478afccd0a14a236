"""The findings' files: fixed columns, decimals and order, so that the same findings are the same bytes."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from heatwatch.domain.findings import COLUMNS, DECIMALS, INSTANT_COLUMNS, FindingKind
from heatwatch.errors import BadInput


def csv_text(kind: FindingKind, frame: pd.DataFrame) -> str:
    """Return findings of one kind as the text of their CSV file.

    Parameters
    ----------
    frame
        The columns of `COLUMNS[kind]`: instants as UTC timestamps, numbers as numbers, `open` as booleans.
    """
    columns = {name: _cells(name, frame[name]) for name in COLUMNS[kind]}
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
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", where=str(out)) from error
    try:
        for kind, frame in frames.items():
            if parquet:
                frame.to_parquet(scratch / f"{kind.file_stem}.parquet", index=False)
            else:
                (scratch / f"{kind.file_stem}.csv").write_text(csv_text(kind, frame), encoding="utf-8")
        text = json.dumps(summary, ensure_ascii=False, indent=1) + "\n"
        (scratch / "summary.json").write_text(text, encoding="utf-8")
        scratch.chmod(0o755)
        _move_in(scratch, out)
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", where=str(out)) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _move_in(scratch: Path, out: Path) -> None:
    if out.exists():
        for file in sorted(scratch.iterdir()):
            file.replace(out / file.name)
    else:
        os.rename(scratch, out)  # noqa: PTH104 - Path.rename would do the same; the folder moves whole


def _cells(name: str, column: pd.Series[Any]) -> pd.Series[Any]:
    if name in INSTANT_COLUMNS:
        text: pd.Series[Any] = column.dt.strftime("%Y-%m-%dT%H:%M:%S.%f").str.slice(0, 23).add("Z").fillna("")
        return text
    if name in DECIMALS:
        return pd.Series([f"{value:.{DECIMALS[name]}f}" for value in column.tolist()], dtype="str")
    if name == "open":
        return column.map({True: "true", False: "false"})
    return column.fillna("") if column.dtype != "int64" else column
