"""What came of readings, as files: findings, tickets, clocks, notices and events, in a folder that `score` reads.

The same outcome is the same bytes: rows have a fixed order, and nothing in them tells of the machine, of how messages
were cut into groups, or of how long it took.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from heatwatch.domain.comparing import TABLES, Tables
from heatwatch.domain.findings import FindingKind
from heatwatch.errors import BadInput
from heatwatch.files.appearing import files_in
from heatwatch.files.findings_file import SUMMARY, csv_text

COMPARISON = "comparison.json"
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "tickets": (
        "id",
        "kind",
        "subject_kind",
        "subject_id",
        "cause_start",
        "opened_at",
        "due",
        "state",
        "emergency",
        "scope",
        "station_id",
        "building_id",
        "room_id",
        "rule",
        "merged_into",
        "responsible",
        "recovered_at",
        "finished_at",
        "closed_at",
    ),
    "clocks": ("ticket", "step", "rule", "source", "due", "not_before", "done", "overdue", "off"),
    "notices": (
        "id",
        "kind",
        "subject_kind",
        "subject_id",
        "cause_start",
        "published_at",
        "due",
        "state",
        "ticket",
        "station_id",
        "stop_end",
        "drafted_at",
        "published_by",
        "replaces",
        "title",
        "text",
    ),
    "events": ("ticket", "at", "kind", "who", "detail"),
}
"""Columns of the files of what dispatch made of the findings; instants in ISO 8601, empty where there is none."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of readings up to a moment.

    Attributes
    ----------
    as_of_ms
        The moment [ms].
    findings
        A frame of each kind, with `issued`.
    tables
        Rows of `COLUMNS` under the names there, as texts.
    """

    as_of_ms: int
    findings: Mapping[FindingKind, pd.DataFrame]
    tables: Tables


def write_outcome(out: Path, outcome: Outcome, summary: Mapping[str, Any]) -> None:
    """Write a folder: a file of each kind of finding, of each of `COLUMNS`, and `summary.json`; all of it or nothing.

    Raises
    ------
    BadInput
        If the folder cannot be written.
    HeatwatchError
        If the disk is full.
    """
    found = {f"{kind.file_stem}.csv": csv_text(kind, frame) for kind, frame in outcome.findings.items()}
    with files_in(out, [*found, *(f"{name}.csv" for name in COLUMNS), SUMMARY]) as scratch:
        for name, text in found.items():
            (scratch / name).write_text(text, encoding="utf-8")
        for name, columns in COLUMNS.items():
            _write_table(scratch / f"{name}.csv", columns, outcome.tables[name])
        told = json.dumps(summary, ensure_ascii=False, indent=1) + "\n"
        (scratch / SUMMARY).write_text(told, encoding="utf-8")


def write_comparison(out: Path, told: Mapping[str, Any]) -> None:
    """Write what two outcomes differ in as `comparison.json`.

    Raises
    ------
    BadInput
        If the folder cannot be written.
    """
    with files_in(out, [COMPARISON]) as scratch:
        (scratch / COMPARISON).write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def read_outcome(folder: Path) -> Tables:
    """Read a folder that `write_outcome` wrote, every cell as text.

    Raises
    ------
    BadInput
        If a file is not there or cannot be read.
    """
    if not folder.is_dir():
        raise BadInput("no such folder", where=str(folder))
    return {name: _read_table(folder / f"{name}.csv") for name in TABLES}


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _read_table(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, strict=True))
    except FileNotFoundError as error:
        raise BadInput("no such file", where=str(path), mend="name a folder that `heatwatch rehearse` wrote") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"cannot be read: {error}", where=str(path)) from error
