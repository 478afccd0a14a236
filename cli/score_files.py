"""The files that `heatwatch score` reads: what was found, what is true, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from heatwatch.domain.findings import FindingKind, SubjectKind
from heatwatch.domain.instants import HOUR_MS, to_ms
from heatwatch.errors import BadInput
from heatwatch.files.points_file import read_points
from heatwatch.files.tables import instants, read_table, where_row
from simulators.scoring.agreement import MONTH_H
from simulators.scoring.matching import SUBJECT, entangled

ENDINGS = (".csv", ".csv.gz", ".parquet")
TRUTH = "truth_"
_SEEN = ("issued", "confirmed_at")
_COLUMN = {"point_id": "subject_id"}
_PLACES = ("point_id", "building_id", "station_id")


@dataclass(frozen=True, slots=True)
class Scored:
    """What is compared, and what else the folders tell.

    Attributes
    ----------
    found, truth
        A table for each kind that both sides have.
    missing
        For each other kind, which file is not there.
    places
        ``point_id, building_id, station_id`` of the points file; empty without one.
    months
        What the readings span, in months of 30 days; None without readings.
    as_of_ms
        The moment that the folders hold for [ms].
    """

    found: Mapping[FindingKind, pd.DataFrame]
    truth: Mapping[FindingKind, pd.DataFrame]
    missing: Mapping[FindingKind, str]
    places: pd.DataFrame
    months: float | None
    as_of_ms: int


def read_scored(found_dir: Path, truth_dir: Path, as_of_ms: int | None = None) -> Scored:
    """Read both folders, as of a given moment or of the one that they hold for.

    Raises
    ------
    BadInput
        If one is no folder, they have no kind in common, or a file in them cannot be used.
    """
    pairs = {kind: _pair(kind, found_dir, truth_dir) for kind in FindingKind}
    missing = {kind: both for kind, both in pairs.items() if isinstance(both, str)}
    files = {kind: both for kind, both in pairs.items() if not isinstance(both, str)}
    if not files:
        raise _nothing_common(found_dir, truth_dir)
    found = {kind: read_intervals(kind, both[0]) for kind, both in files.items()}
    truth = {kind: read_intervals(kind, both[1]) for kind, both in files.items()}
    times = readings_span(truth_dir)
    if as_of_ms is None:
        as_of_ms = _stated(found_dir)
    if as_of_ms is None:
        as_of_ms = times[1] if times else _latest([*found.values(), *truth.values()])
    months = (times[1] - times[0]) / HOUR_MS / MONTH_H if times else None
    return Scored(found, truth, missing, _places(truth_dir), months, as_of_ms)


def read_intervals(kind: FindingKind, path: Path) -> pd.DataFrame:
    """Read findings, or what is true, of one kind.

    Returns
    -------
    pandas.DataFrame
        ``subject_kind, subject_id, kind`` (text), ``start, end`` and, where the file tells it, ``seen``: when it was
        issued, else when it was confirmed (UTC instants; NaT where empty).

    Raises
    ------
    BadInput
        Naming file and row, if a column is missing, a cell cannot be read, an end is before its start, or two rows of
        one subject overlap.
    """
    who = _subject_columns(kind)
    frame = _table(path, (*who, "start", "end"), _SEEN)
    columns = {_COLUMN.get(name, name): _text(frame[name], path) for name in who}
    start, end = instants(frame["start"], path), instants(frame["end"], path, optional=True)
    alike = {"subject_kind": str(SubjectKind.POINT), "kind": ""}
    read = pd.DataFrame({**alike, **columns, "start": start, "end": end})
    seen = next((name for name in _SEEN if name in frame.columns), None)
    if seen:
        read["seen"] = instants(frame[seen], path, optional=True)
    _refuse_strangers(read, path)
    _refuse_backwards(read, path)
    _refuse_overlaps(read, path)
    return read


def read_deeds(folder: Path, stem: str, done: str) -> pd.DataFrame | None:
    """Read an export of tickets or of notices; None where there is none.

    Parameters
    ----------
    folder, stem
        Where it is: ``tickets`` or ``notices``.
    done
        Its column that says when it was done; empty cells: it was not.

    Returns
    -------
    pandas.DataFrame
        ``id, kind, subject_kind, subject_id, cause_start, done, due`` and, where the file has it, ``closed``.
    """
    path = table_in(folder, stem)
    if path is None:
        return None
    names = ("id", *SUBJECT)
    frame = _table(path, (*names, "cause_start", done), ("due", "closed_at"))
    columns = {name: _text(frame[name], path) for name in names}
    due = frame["due"] if "due" in frame.columns else pd.Series("", index=frame.index, name="due", dtype="str")
    moments = {"cause_start": instants(frame["cause_start"], path), "done": instants(frame[done], path, optional=True)}
    read = pd.DataFrame({**columns, **moments, "due": instants(due, path, optional=True)})
    if "closed_at" in frame.columns:
        read["closed"] = instants(frame["closed_at"], path, optional=True)
    _refuse_strangers(read, path)
    return read


def table_in(folder: Path, stem: str) -> Path | None:
    """Return the table of that name in a folder; None where there is none.

    Raises
    ------
    BadInput
        If there are several: which one is meant, nobody knows.
    """
    there = [path for ending in ENDINGS if (path := folder / f"{stem}{ending}").is_file()]
    if len(there) > 1:
        names = " and ".join(path.name for path in there)
        raise BadInput(f"{names} are both there", where=str(folder), mend="leave one of them")
    return there[0] if there else None


def _pair(kind: FindingKind, found_dir: Path, truth_dir: Path) -> tuple[Path, Path] | str:
    """Return the two files of a kind, or say which is missing."""
    stem = kind.file_stem
    found, truth = table_in(_folder(found_dir), stem), table_in(_folder(truth_dir), f"{TRUTH}{stem}")
    if found and truth:
        return found, truth
    absent = [f"{stem} in {found_dir}"] * (found is None) + [f"{TRUTH}{stem} in {truth_dir}"] * (truth is None)
    return f"no {' and no '.join(absent)}"


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise BadInput("no such folder", where=str(path))
    return path


def _nothing_common(found_dir: Path, truth_dir: Path) -> BadInput:
    stems = [kind.file_stem for kind in FindingKind]
    turned = any(table_in(truth_dir, stem) and table_in(found_dir, f"{TRUTH}{stem}") for stem in stems)
    if turned:
        return BadInput(
            "what is true is in the first folder, what was found in the second",
            where=f"{found_dir} {truth_dir}",
            mend="name them the other way round",
        )
    return BadInput(
        "no kind is in both folders",
        where=f"{found_dir} {truth_dir}",
        mend="the first needs cold_spells.csv or another that `judge` writes, the second truth_cold_spells.csv",
    )


def _subject_columns(kind: FindingKind) -> tuple[str, ...]:
    if kind is FindingKind.SENSOR_FAULT:
        return ("point_id", "kind")
    return ("point_id",) if kind is FindingKind.COLD_SPELL else ("subject_kind", "subject_id")


def _table(path: Path, required: Sequence[str], optional: Sequence[str]) -> pd.DataFrame:
    """Read a table that may have no row: nothing was found, or nothing is true."""
    return read_table(path, required, optional, (), may_be_empty=True)


def _text(column: pd.Series[Any], path: Path) -> pd.Series[Any]:
    text = column.astype("str").str.strip()
    empty = (column.isna() | (text == "")).to_numpy()
    if empty.any():
        raise BadInput(f"{column.name} is empty", where=where_row(path, int(empty.argmax())))
    return text


def _refuse_strangers(frame: pd.DataFrame, path: Path) -> None:
    kinds = [kind.value for kind in SubjectKind]
    wrong = ~frame["subject_kind"].isin(kinds).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        said = f"subject_kind is {frame['subject_kind'].iloc[row]!r}"
        raise BadInput(said, where=where_row(path, row), mend=f"one of {', '.join(kinds)}")


def _refuse_backwards(frame: pd.DataFrame, path: Path) -> None:
    wrong = (frame["end"] < frame["start"]).to_numpy()
    if wrong.any():
        raise BadInput("its end is before its start", where=where_row(path, int(wrong.argmax())))


def _refuse_overlaps(frame: pd.DataFrame, path: Path) -> None:
    rows = entangled(frame)
    if rows:
        earlier, later = rows
        name = " ".join(str(frame[column].iloc[later]) for column in SUBJECT).strip()
        raise BadInput(f"{name} overlaps with row {earlier + 1}", where=where_row(path, later))


def _stated(folder: Path) -> int | None:
    """Return the moment for which `judge` says the findings hold [ms]; None where it does not say."""
    path = folder / "summary.json"
    if not path.is_file():
        return None
    try:
        said = json.loads(path.read_text(encoding="utf-8"))["as_of"]
        return to_ms(pd.Timestamp(said).to_pydatetime())
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput("it does not say as_of", where=str(path), mend="give --as-of and remove it") from error


def readings_span(folder: Path) -> tuple[int, int] | None:
    """Return the moments of the first and the last reading in a folder [ms]; None where there is none."""
    path = table_in(folder, "readings")
    if path is None:
        return None
    time = instants(read_table(path, ("time",), (), ())["time"], path)
    return to_ms(time.min().to_pydatetime()), to_ms(time.max().to_pydatetime())


def _latest(frames: Sequence[pd.DataFrame]) -> int:
    """Return the latest moment in any of the tables [ms]; 1970 where they are empty."""
    moments = pd.concat([frame[name] for frame in frames for name in ("start", "end")]).dropna()
    return to_ms(moments.max().to_pydatetime()) if len(moments) else 0


def _places(folder: Path) -> pd.DataFrame:
    path = table_in(folder, "points")
    rows = read_points(path).rows if path else ()
    return pd.DataFrame([[getattr(row, name) for name in _PLACES] for row in rows], columns=_PLACES, dtype="str")
