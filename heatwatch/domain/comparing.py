"""Comparing two outcomes of the same readings: what is equal, what differs and in what, what only one of them has.

Numbers that are given in the order of things (of tickets, notices and findings) are not compared, but what they name:
a ticket is the one of its kind, subject and beginning of the cause.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from heatwatch.domain.findings import FindingKind

Row = Mapping[str, str]
Tables = Mapping[str, Sequence[Row]]
"""Rows of texts by the name of their table."""
Key = tuple[str, ...]

DISPATCHED = ("tickets", "clocks", "notices", "events")
TABLES = (*DISPATCHED, *(kind.file_stem for kind in FindingKind))
"""What an outcome consists of."""
_NAMES = frozenset({"id", "ticket", "merged_into", "replaces"})
_NUMBERS = frozenset({"finding_id", "notice_id", "notice_ids", "ticket_id", "into"})
_NOBODY = ("",)


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that both have, and in what it differs: the two texts of each column."""

    key: Key
    columns: Mapping[str, tuple[str, str]]

    def told(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"what": list(self.key), "differs": {name: list(both) for name, both in self.columns.items()}}


@dataclass(frozen=True, slots=True)
class Compared:
    """How two tables compare."""

    equal: int
    different: Sequence[Difference] = ()
    only_first: Sequence[Key] = ()
    only_second: Sequence[Key] = ()

    @property
    def same(self) -> bool:
        """Whether there is no difference at all."""
        return not (self.different or self.only_first or self.only_second)

    def told(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "equal": self.equal,
            "different": [one.told() for one in self.different],
            "only_first": [list(key) for key in self.only_first],
            "only_second": [list(key) for key in self.only_second],
        }


def compare(first: Tables, second: Tables) -> dict[str, Compared]:
    """Compare two outcomes, table by table."""
    one, other = _keyed(first), _keyed(second)
    return {name: _compared(one[name], other[name]) for name in TABLES}


def same(compared: Mapping[str, Compared]) -> bool:
    """Tell whether nothing differs."""
    return all(one.same for one in compared.values())


def _compared(first: Mapping[Key, Row], second: Mapping[Key, Row]) -> Compared:
    both = [key for key in first if key in second]
    differences = [_difference(key, first[key], second[key]) for key in both]
    different = [one for one in differences if one.columns]
    only = [key for key in first if key not in second], [key for key in second if key not in first]
    return Compared(len(both) - len(different), different, *only)


def _difference(key: Key, first: Row, second: Row) -> Difference:
    names = dict.fromkeys([*first, *second])
    both = {name: (first.get(name, ""), second.get(name, "")) for name in names}
    return Difference(key, {name: pair for name, pair in both.items() if pair[0] != pair[1]})


@dataclass(slots=True)
class _Numbered:
    """Gives things of one name a number, the first none."""

    seen: Counter[Key] = field(default_factory=Counter)

    def __call__(self, key: Key) -> Key:
        self.seen[key] += 1
        return key if self.seen[key] == 1 else (*key, f"#{self.seen[key]}")


def _keyed(tables: Tables) -> Mapping[str, Mapping[Key, Row]]:
    tickets = _whole(tables["tickets"])
    names = _named(tickets, lambda row: (row["kind"], row["subjects"], row["cause_start"]))
    whose = {"": _NOBODY, **names}
    notices = _whole(tables["notices"])
    published = _named(notices, lambda row: (*whose[row["ticket"]], row["kind"]))
    merged = {names[row["id"]]: _plain(row, merged_into=whose.get(row["merged_into"], _NOBODY)) for row in tickets}
    told = {published[row["id"]]: _plain(row, replaces=published.get(row["replaces"], _NOBODY)) for row in notices}
    clocks = {(*whose[row["ticket"]], row["step"]): _plain(row) for row in tables["clocks"]}
    lines = _Numbered()
    events = {lines((*whose[row["ticket"]], "event")): _event(row) for row in tables["events"]}
    found = {kind.file_stem: _findings(kind, tables[kind.file_stem]) for kind in FindingKind}
    return {"tickets": merged, "clocks": clocks, "notices": told, "events": events, **found}


def _whole(rows: Iterable[Row]) -> list[dict[str, str]]:
    """Return one row of each ticket or notice, with all its subjects."""
    whole: dict[str, dict[str, str]] = {}
    for row in rows:
        subject = f"{row['subject_kind']} {row['subject_id']}"
        known = whole.setdefault(row["id"], {**row, "subjects": ""})
        known["subjects"] = f"{known['subjects']}, {subject}" if known["subjects"] else subject
    for row in whole.values():
        del row["subject_kind"], row["subject_id"]
    return list(whole.values())


def _named(rows: Iterable[Row], name: Any) -> dict[str, Key]:
    """Return the name of each number."""
    numbered = _Numbered()
    return {row["id"]: numbered(name(row)) for row in rows}


def _plain(row: Row, **named: Key) -> dict[str, str]:
    """Return a row without its numbers, and the names of those that it refers to."""
    kept = {column: text for column, text in row.items() if column not in _NAMES}
    return kept | {column: " ".join(name) for column, name in named.items()}


def _event(row: Row) -> dict[str, str]:
    detail = {name: said for name, said in json.loads(row["detail"] or "{}").items() if name not in _NUMBERS}
    return _plain(row) | {"detail": json.dumps(detail, ensure_ascii=False, sort_keys=True)}


def _findings(kind: FindingKind, rows: Iterable[Row]) -> dict[Key, Row]:
    columns = ("point_id",) if kind is FindingKind.COLD_SPELL else ("subject_kind", "subject_id")
    columns = ("point_id", "kind") if kind is FindingKind.SENSOR_FAULT else columns
    numbered = _Numbered()
    return {numbered((str(kind), *(row[name] for name in columns), row["start"])): dict(row) for row in rows}
