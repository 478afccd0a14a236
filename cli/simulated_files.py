"""What `heatwatch simulate` writes: a town's readings and all that is true of it, in the columns of the other files.

Written slice by slice of time, so that a season or a city needs no more memory than a day of a few streets. All of it
appears at once, or nothing does; the same scenario and seed are the same bytes.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analytics.judge import judge
from heatwatch.domain.findings import COLUMNS, DECIMALS, FindingKind
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import Standard
from heatwatch.errors import BadInput
from heatwatch.files.appearing import folder_at, sync
from heatwatch.files.findings_file import csv_text
from simulators.physics.model import INTERVALS_PER_BLOCK
from simulators.towns.town import Town

SCENARIO = "scenario.yaml"
GIVEN_WEATHER = "weather_given.csv"
_TRUTH = [f"truth_{kind.file_stem}.csv" for kind in FindingKind]
FILES = frozenset(
    [f"{stem}.{ending}" for stem in ("readings", "truth_readings") for ending in ("parquet", "csv")]
    + ["points.csv", "supply.csv", "weather.csv", "stops.csv", "truth_leaks.csv", *_TRUTH, SCENARIO, GIVEN_WEATHER]
)
"""Every name that such a folder may hold."""
_ROWS_PER_SLICE = 500_000
_ROWS_PER_JUDGING = 4_000_000
_SPOOL = "spool"

Show = Callable[[int], None]
"""Called with how far everything is written [ms]."""


@dataclass(frozen=True, slots=True)
class Span:
    """What part of a town's time is written, and by which rules it is judged.

    Attributes
    ----------
    start_ms, end_ms
        Beginning (included) and end (excluded) [ms].
    standard, zone
        The rules and the time zone by which cold spells are true.
    """

    start_ms: int
    end_ms: int
    standard: Standard
    zone: ZoneInfo


def write_town(
    town: Town, span: Span, out: Path, scenario: str, *, csv: bool = False, show: Show | None = None
) -> dict[str, int]:
    """Write a folder: readings, register, supply, weather, reported stops, and the truth.

    Parameters
    ----------
    town, span
        Whose, and from when to when.
    out
        The folder; one that an earlier call wrote is replaced.
    scenario
        Text of the file that makes this town again.
    csv
        Readings as CSV in place of Parquet.
    show
        Called after each slice.

    Returns
    -------
    dict
        Rows by name of the file without its ending.

    Raises
    ------
    BadInput
        If the folder holds anything else, or cannot be written.
    HeatwatchError
        If the disk is full.
    """
    refuse_taken(out)
    with folder_at(out, f"--out {out}") as folder:
        counts = _write_over_time(town, span, folder, csv=csv, show=show)
        cold_spells = _true_cold_spells(town, span, folder / _SPOOL)
        truth = town.truth(span.end_ms)
        frames = {
            FindingKind.COLD_SPELL: cold_spells,
            FindingKind.HEAT_OUTAGE: truth.heat_outages,
            FindingKind.DATA_OUTAGE: truth.data_outages,
            FindingKind.SENSOR_FAULT: truth.sensor_faults,
        }
        for kind, frame in frames.items():
            _put(folder / f"truth_{kind.file_stem}.csv", csv_text(kind, _with_every_column(kind, frame)))
            counts[f"truth_{kind.file_stem}"] = len(frame)
        for name, frame in {
            "points": town.points_frame(),
            "weather": town.weather_frame(span.start_ms, span.end_ms),
            "stops": town.stops_frame(),
            "truth_leaks": truth.leaks,
        }.items():
            _put(folder / f"{name}.csv", _csv(frame))
            counts[name] = len(frame)
        if town.settings.weather_file is not None:
            shutil.copyfile(town.settings.weather_file, folder / GIVEN_WEATHER)
        _put(folder / SCENARIO, scenario)
    return counts


def refuse_taken(out: Path) -> None:
    """Refuse a folder that holds anything but a simulation.

    Raises
    ------
    BadInput
        If it does, or is a file.
    """
    where = f"--out {out}"
    try:
        if not out.exists():
            return
        if not out.is_dir():
            raise BadInput("is a file, not a folder", where=where)
        there = {path.name for path in out.iterdir()}
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror or error}", where=where) from error
    others = sorted(there - FILES)
    if others or (there and SCENARIO not in there):
        name = others[0] if others else min(there)
        raise BadInput(f"holds {name}, which no simulation wrote", where=where, mend="name a new folder")


def _write_over_time(town: Town, span: Span, folder: Path, *, csv: bool, show: Show | None) -> dict[str, int]:
    ending = "csv" if csv else "parquet"
    with ExitStack() as stack:
        tables = {
            name: stack.enter_context(_Table(folder / f"{name}.{kind}"))
            for name, kind in (("readings", ending), ("truth_readings", ending), ("supply", "csv"))
        }
        spool = stack.enter_context(_Spool(town, span, folder / _SPOOL))
        for start_ms, end_ms in _slices(town, span):
            tables["readings"].add(town.stored(start_ms, end_ms))
            tables["truth_readings"].add(town.truth_readings(start_ms, end_ms))
            tables["supply"].add(town.supply_frame(start_ms, end_ms))
            spool.add(town.true_readings(start_ms, end_ms))
            if show is not None:
                show(end_ms)
    return {name: table.rows for name, table in tables.items()}


def _slices(town: Town, span: Span) -> Iterator[tuple[int, int]]:
    """Yield stretches of time: whole blocks of the town's model, or parts of one where there are many rooms."""
    interval_ms = town.settings.interval_s * 1_000
    intervals = max(_ROWS_PER_SLICE // town.settings.rooms, 1)
    if intervals >= INTERVALS_PER_BLOCK:
        intervals -= intervals % INTERVALS_PER_BLOCK
    for start_ms in range(span.start_ms, span.end_ms, intervals * interval_ms):
        yield start_ms, min(start_ms + intervals * interval_ms, span.end_ms)


class _Table:
    """A file that grows slice by slice, CSV or Parquet by its ending; on disk when it is closed."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, 0
        self._parquet: pq.ParquetWriter | None = None
        self._schema: pa.Schema | None = None
        self._csv = path.open("w", encoding="utf-8", newline="") if path.suffix == ".csv" else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writer in (self._parquet, self._csv):
            if writer is not None:
                writer.close()
        if kind is None and self.path.exists():
            sync(self.path)

    def add(self, frame: pd.DataFrame) -> None:
        """Write rows below those that are there."""
        if self._csv is not None:
            self._csv.write(_csv(frame, header=not self._csv.tell()))
        else:
            table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
            if self._parquet is None or self._schema is None:
                self._schema = table.schema
                self._parquet = pq.ParquetWriter(self.path, self._schema, compression="zstd")
            self._parquet.write_table(table.cast(self._schema))
        self.rows += len(frame)


@dataclass(slots=True)
class _Spool:
    """What perfect thermometers would have said, on disk, in parts of some houses that can be judged one by one."""

    town: Town
    span: Span
    folder: Path
    _part: dict[str, int] = field(default_factory=dict)
    _tables: dict[int, _Table] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.folder.mkdir()
        self._part = _parts(self.town, self.span)
        self._tables = {part: _Table(self.folder / f"{part}.parquet") for part in set(self._part.values())}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for table in self._tables.values():
            table.__exit__(kind, error, trace)

    def add(self, frame: pd.DataFrame) -> None:
        """Put rows where their house is."""
        point = frame["point_id"].astype("category")
        frame = frame.assign(point_id=point)
        part = np.array([self._part[name] for name in point.cat.categories], dtype=np.int64)[point.cat.codes]
        for number, table in self._tables.items():
            here = frame if len(self._tables) == 1 else frame[part == number]
            table.add(here.assign(point_id=here["point_id"].astype("str")))


def _parts(town: Town, span: Span) -> dict[str, int]:
    """Return for each point in which part of the houses it is."""
    rows = town.points()
    building = pd.factorize(np.array([row.building_id for row in rows], dtype=object))[0]
    intervals = max((span.end_ms - span.start_ms) // (town.settings.interval_s * 1_000), 1)
    count = max(-(-town.settings.rooms * intervals // _ROWS_PER_JUDGING), 1)
    part = building * count // (int(building.max()) + 1)
    return dict(zip((row.point_id for row in rows), part.tolist(), strict=True))


def _true_cold_spells(town: Town, span: Span, folder: Path) -> pd.DataFrame:
    """Judge what perfect thermometers would have said, some houses at a time; then remove it."""
    rows = _true_rows(town)
    found = []
    for path in sorted(folder.iterdir(), key=lambda path: int(path.stem)):
        readings = pd.read_parquet(path)
        readings["point_id"] = readings["point_id"].astype("category")
        here = [row for name in readings["point_id"].cat.categories for row in rows[name]]
        if len(readings):
            found.append(judge(readings, Register.of(here), span.standard, span.zone, span.end_ms).cold_spells)
    shutil.rmtree(folder)
    if not found:
        raise BadInput("nothing is measured in so short a time", where="simulate", mend="give a longer one")
    return pd.concat(found, ignore_index=True).sort_values(["point_id", "start"], kind="stable", ignore_index=True)


def _true_rows(town: Town) -> Mapping[str, list[PointRow]]:
    """Return the rows of each room, whose times of R4 and R5 hold whatever becomes of its thermometer."""
    rows: dict[str, list[PointRow]] = defaultdict(list)
    for row in town.points():
        rows[row.point_id].append(replace(row, device_id=None, offset_k=0.0, interval_s=town.settings.interval_s))
    return rows


def _with_every_column(kind: FindingKind, frame: pd.DataFrame) -> pd.DataFrame:
    """Add the columns of the findings that truth does not have: no evidence, and no doubt."""
    missing = {name: 1.0 if name in DECIMALS else "" for name in COLUMNS[kind] if name not in frame.columns}
    return frame.assign(**missing)


def _csv(frame: pd.DataFrame, *, header: bool = True) -> str:
    cells = frame.assign(**{name: _text(frame[name]) for name in frame.columns})
    return cells.to_csv(index=False, header=header, lineterminator="\n")


def _text(column: pd.Series[Any]) -> Any:
    """Write instants as every file of heatwatch does, truth as the findings do; leave all else."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        time = column.dt.tz_localize(None).to_numpy(dtype="datetime64[ms]")
        text = np.char.add(np.datetime_as_string(time, unit="ms"), "Z")
        return pd.Series(np.where(np.isnat(time), "", text), index=column.index, dtype="str")
    return column.map({True: "true", False: "false"}) if column.dtype == np.bool_ else column


def _put(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    sync(path)
