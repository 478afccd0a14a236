"""`heatwatch dashboards truth`: what is true of a simulated town, beside the findings of a running installation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
from sqlalchemy.orm import Session

from cli.opening import open_records
from cli.records import DATA_DIR
from cli.score_files import TRUTH as PREFIX
from cli.score_files import read_intervals, readings_span, table_in
from dashboards.feed.writing import Writer
from heatwatch.domain.findings import COLUMNS, FindingKind, SubjectKind
from heatwatch.domain.instants import HOUR_MS, iso, to_ms
from heatwatch.domain.register import PointRow
from heatwatch.errors import BadInput
from heatwatch.files.points_file import read_points
from heatwatch.files.tables import instants, read_table, where_row
from heatwatch.settings import Settings, StoreKind
from heatwatch.stores.influx.connecting import connect
from heatwatch.stores.influx.points import Value, line, time_of
from heatwatch.stores.influx.schema import TRUTH, WHOLE_STATION, FieldType
from heatwatch.usecases.findings import findings
from heatwatch.usecases.outcome import as_of
from simulators.arrays import Int64
from simulators.scoring.matching import (
    NEVER_MS,
    SUBJECT,
    Least,
    matched,
    milliseconds,
    overlaps,
    spans_of,
    subject_numbers,
)

_ORDER = ("start", *SUBJECT)
_OF_A_FAULT = {"kind": "fault"}
_TYPES = {field.name: field.type for field in TRUTH.fields}
_NUMBERS = frozenset({FieldType.FLOAT, FieldType.INTEGER})
_RECKONED = frozenset({"open", "duration_h"})


@dataclass(frozen=True, slots=True)
class Told:
    """What was told of one kind: how many are true, how many of them were found, and how many begin later."""

    true: int
    found: int
    later: int


@click.command()
@click.argument("truth_dir", type=click.Path(path_type=Path))
@DATA_DIR
def truth(truth_dir: Path, data_dir: Path | None) -> None:
    """Write what is true of a simulated town into InfluxDB, for the engineer's board.

    TRUTH_DIR is what `heatwatch simulate --out` wrote. Each row names the finding of this installation that tells of
    it, by the matching of `heatwatch score`. Written again, the same points stand for what was found since.
    """
    as_of_ms, told = tell_truth(Settings.read(data_dir=data_dir), truth_dir)
    click.echo(f"as of {iso(as_of_ms)}")
    for kind, one in told.items():
        later = f"; {one.later} that begin later are left out" if one.later else ""
        click.echo(f"{kind.file_stem.replace('_', ' ')}: {one.true} true, {one.found} of them found{later}")


def tell_truth(settings: Settings, folder: Path) -> tuple[int, Mapping[FindingKind, Told]]:
    """Write the truth in a folder into the InfluxDB of an installation, with the findings of its records.

    Returns
    -------
    as_of_ms : int
        Up to where truth and findings were compared: what has been judged, and at most the truth's last reading [ms].
    told : Mapping of FindingKind to Told
        For each kind of which the folder holds the truth.

    Raises
    ------
    BadInput
        If the store is no InfluxDB, the folder holds no truth, or a file in it cannot be used.
    Unavailable
        If InfluxDB or the records do not answer; all of it may be written again.
    """
    if settings.store is StoreKind.EMBEDDED:
        raise BadInput(
            "is embedded: truth is written into InfluxDB, where Grafana reads it",
            where="store",
            mend="set `store` to an InfluxDB",
        )
    files = _truth_in(folder)
    places = _Places(folder)
    tables = {kind: _numbered(read_intervals(kind, path).join(_more(kind, path))) for kind, path in files.items()}
    with open_records(settings) as records, records.read() as session:
        as_of_ms = _as_of(session, folder, tables)
        numbers = {kind: _found(session, kind, table, as_of_ms) for kind, table in tables.items()}
    told, lines = {}, []
    for kind, table in tables.items():
        has_begun = milliseconds(table["start"]) <= as_of_ms
        begun = table[has_begun].assign(found=numbers[kind][has_begun])
        lines += list(_lines(kind, begun, places, files[kind]))
        told[kind] = Told(len(begun), int((begun["found"] > 0).sum()), len(table) - len(begun))
    with closing(connect(settings)) as influx:
        refused = Writer(influx).write(lines)
    if refused:
        raise BadInput(f"InfluxDB does not take {refused} of {len(lines)} points", where=settings.influx_url)
    return as_of_ms, told


def _truth_in(folder: Path) -> dict[FindingKind, Path]:
    if not folder.is_dir():
        raise BadInput("no such folder", where=str(folder))
    files = {kind: path for kind in FindingKind if (path := table_in(folder, f"{PREFIX}{kind.file_stem}"))}
    if not files:
        raise BadInput(
            "there is no truth in it",
            where=str(folder),
            mend=f"it needs {PREFIX}{FindingKind.COLD_SPELL.file_stem}.csv or another that `simulate --out` writes",
        )
    return files


class _Places:
    """In which station and building a subject is, by the points file beside the truth."""

    def __init__(self, folder: Path) -> None:
        path = table_in(folder, "points")
        if path is None:
            raise BadInput("there is no points file", where=str(folder), mend="put points.csv beside the truth")
        self._path = path
        self._points: dict[str, list[PointRow]] = {}
        self._buildings: dict[str, str] = {}
        self._stations: set[str] = set()
        for row in read_points(path).rows:
            self._points.setdefault(row.point_id, []).append(row)
            self._buildings.setdefault(row.building_id, row.station_id)
            self._stations.add(row.station_id)

    def tags(self, kind: str, name: str, at_ms: int, where: str) -> dict[str, str]:
        """Return the tags of a subject.

        Raises
        ------
        BadInput
            If the points file does not know it; `where` names the row of the truth.
        """
        of_point = self._points.get(name, []) if kind == SubjectKind.POINT else []
        if of_point:
            row = next((row for row in of_point if at_ms < row.valid_to_ms), of_point[-1])
            station, building = row.station_id, row.building_id
        elif kind == SubjectKind.BUILDING and name in self._buildings:
            station, building = self._buildings[name], name
        elif kind == SubjectKind.STATION and name in self._stations:
            station, building = name, WHOLE_STATION
        else:
            raise BadInput(f"{kind} {name} is not in {self._path.name}", where=where)
        return {"subject_kind": kind, "subject": name, "station": station, "building": building}


def _more(kind: FindingKind, path: Path) -> pd.DataFrame:
    """Read what a file tells besides who and when, under the names of the fields; what it does not tell is missing."""
    fields = {_OF_A_FAULT.get(name, name): name for name in COLUMNS[kind]}
    fields = {field: name for field, name in fields.items() if field in _TYPES and field not in _RECKONED}
    numbers = [name for field, name in fields.items() if _TYPES[field] in _NUMBERS]
    frame = read_table(path, ("start",), ("confirmed_at", *fields.values()), numbers, may_be_empty=True)
    told: dict[str, Any] = {field: frame[name] for field, name in fields.items() if name in frame.columns}
    if "confirmed_at" in frame.columns:
        told["confirmed_ms"] = milliseconds(instants(frame["confirmed_at"], path, optional=True))
    return pd.DataFrame(told, index=frame.index)


def _numbered(table: pd.DataFrame) -> pd.DataFrame:
    """Give rows numbers from 1 on in an order that is theirs, the earliest first: what a longer run adds comes last."""
    ordered = table.assign(row=np.arange(len(table))).sort_values(list(_ORDER), kind="stable", ignore_index=True)
    return ordered.assign(number=np.arange(1, len(table) + 1))


def _as_of(session: Session, folder: Path, tables: Mapping[FindingKind, pd.DataFrame]) -> int:
    """Return up to where both sides are known [ms]: of what came after its last reading the truth says nothing."""
    judged_ms, span = as_of(session), readings_span(folder)
    if span is None:
        starts = pd.concat([table["start"] for table in tables.values()])
        latest_ms = to_ms(starts.max().to_pydatetime()) if len(starts) else 0
        return latest_ms if judged_ms is None else judged_ms
    return span[1] if judged_ms is None else min(judged_ms, span[1])


def _found(session: Session, kind: FindingKind, table: pd.DataFrame, as_of_ms: int) -> Int64:
    """Return for each row the number of the finding that tells of it, 0 where none does, as `heatwatch score` does."""
    rows = findings(session, kind=kind)
    found = pd.DataFrame(
        {
            "subject_kind": pd.Series([row.subject_kind for row in rows], dtype="str"),
            "subject_id": pd.Series([row.subject_id for row in rows], dtype="str"),
            "kind": pd.Series([str(row.detail.get("kind", "")) for row in rows], dtype="str"),
            "start": _moments([row.start_ms for row in rows]),
            "end": _moments([row.end_ms for row in rows]),
        }
    )
    found_subject, true_subject, _ = subject_numbers(found, table)
    ours, true = spans_of(found, found_subject, as_of_ms), spans_of(table, true_subject, as_of_ms)
    every = overlaps(ours, true)
    pairs = matched(every.only(Least().met(every)))
    numbers = np.zeros(len(table), dtype=np.int64)
    ids = np.array([row.id for row in rows], dtype=np.int64)
    numbers[true.row[pairs.true_at]] = ids[ours.row[pairs.found_at]]
    return numbers


def _moments(ms: Sequence[int | None]) -> pd.Series[pd.Timestamp]:
    return pd.to_datetime(pd.Series(pd.array(ms, dtype="Int64")), unit="ms", utc=True)


def _lines(kind: FindingKind, table: pd.DataFrame, places: _Places, path: Path) -> Iterator[str]:
    starts_ms, ends_ms = milliseconds(table["start"]), milliseconds(table["end"])
    fields = [name for name in table.columns if name in _TYPES and name not in {"found", "confirmed_ms"}]
    for row, start_ms, end_ms in zip(table.to_dict("records"), starts_ms.tolist(), ends_ms.tolist(), strict=True):
        where = where_row(path, int(row["row"]))
        tags = places.tags(row["subject_kind"], row["subject_id"], start_ms, where)
        is_confirmed = row.get("confirmed_ms", 0) < NEVER_MS
        ended, found = end_ms < NEVER_MS, int(row["found"])
        told: dict[str, Value | None] = {
            "finding": int(row["number"]),
            "start_ms": start_ms,
            "end_ms": end_ms if ended else 0,
            "open": not ended,
            "withdrawn": False,
            "moved": False,
            "confirmed": is_confirmed,
            "confirmed_ms": int(row.get("confirmed_ms", 0)) if is_confirmed else 0,
            "revision": 1,
            "issued_ms": 0,
            "changed_ms": 0,
            "ticket": 0,
            "duration_h": (end_ms - start_ms) / HOUR_MS if ended else 0.0,
            **{name: _as(row[name], _TYPES[name]) for name in fields},
            "matched": int(found > 0),
            "found": found,
        }
        yield line(TRUTH, {"kind": str(kind), **tags}, told, time_of(start_ms, int(row["number"])))


def _as(cell: Any, type_: FieldType) -> Value | None:
    """Return a cell as its field has it: no text is an empty one, no number none at all."""
    if type_ is FieldType.STRING:
        return "" if pd.isna(cell) else str(cell)
    if not np.isfinite(cell):
        return None
    return int(cell) if type_ is FieldType.INTEGER else float(cell)
