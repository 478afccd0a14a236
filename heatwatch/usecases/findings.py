"""Findings in the records: each under its number, amended when judging says something else, never deleted.

What a finding says of the moment itself, the length so far of one that is open, is not kept: it is worked out when
it is shown.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypedDict, Unpack

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from heatwatch.domain.findings import Finding, FindingKind, SubjectKind
from heatwatch.domain.identity import Issued, Subject, canonical, identify, subject_of
from heatwatch.domain.instants import HOUR_MS
from heatwatch.domain.traces import Traced, kept_on
from heatwatch.records.schema import Cursor, FindingRow
from heatwatch.records.upsert import insert_into

FEED = "findings"
LASTING = frozenset({FindingKind.HEAT_OUTAGE, FindingKind.DATA_OUTAGE})
"""Kinds with a `duration_h`."""
_CHUNK = 500
_CONTENT = ("building_id", "station_id", "start_ms", "end_ms", "open", "confirmed_ms", "detail")


def _untraced(_: Finding) -> str:
    return ""


def record_findings(
    session: Session,
    found: Sequence[Finding],
    subjects: Collection[Subject],
    as_of_ms: int,
    *,
    traces: Traced = _untraced,
) -> list[int]:
    """Bring the records to what judging says now of `subjects`, and return the numbers that changed.

    Parameters
    ----------
    session
        A writing session; everything is kept with its commit.
    found
        Every finding of these subjects, over all time.
    subjects
        What was judged: of each, what is issued and no longer found is withdrawn.
    as_of_ms
        The moment for which `found` holds [ms].
    traces
        Gives the trace of each finding that is made, amended or withdrawn: asked for nothing else.

    Raises
    ------
    ValueError
        If a finding speaks of something that is not among `subjects`.
    """
    asked = frozenset(subjects)
    strangers = [subject_of(one) for one in found if subject_of(one) not in asked]
    if strangers:
        msg = f"a finding of {strangers[0]}, which was not said to be judged"
        raise ValueError(msg)
    rows = {row.id: row for row in _issued(session, asked)}
    numbers = identify(found, [Issued(row.id, as_finding(row)) for row in rows.values()], as_of_ms)
    changed = _amended(rows, zip(numbers, found, strict=True))
    changed += _withdrawn(rows, frozenset(numbers))
    new = [one for number, one in zip(numbers, found, strict=True) if number is None]
    made = [_made(one, as_of_ms) for one in sorted(new, key=canonical)]
    for row in (*changed, *made):
        row.trace = kept_on(row.trace, traces(as_finding(row)))
    _number(session, [*changed, *made], as_of_ms)
    session.add_all(made)
    session.flush()
    return [row.id for row in (*changed, *made)]


class Which(TypedDict, total=False):
    """Which findings are asked for; what is left out or None asks for all, withdrawn ones only where asked for."""

    kind: FindingKind | None
    open: bool | None
    confirmed: bool | None
    building: str | None
    station: str | None
    subject: str | None
    withdrawn: bool | None
    stations: Collection[str] | None
    """Only those of these stations, whatever else is asked for: the scope of who asks."""


def findings(
    session: Session, *, limit: int | None = None, offset: int = 0, **which: Unpack[Which]
) -> Sequence[FindingRow]:
    """Return findings, the latest start first."""
    query = select(FindingRow).where(*_wanted(which)).order_by(FindingRow.start_ms.desc(), FindingRow.id.desc())
    return session.scalars(query.limit(limit).offset(offset)).all()


def count_findings(session: Session, **which: Unpack[Which]) -> int:
    """Return how many findings there are of these."""
    return session.scalar(select(func.count()).select_from(FindingRow).where(*_wanted(which))) or 0


def changed_since(session: Session, change_seq: int) -> Sequence[FindingRow]:
    """Return what changed after the change `change_seq`, withdrawn ones too, in the order of the changes."""
    query = select(FindingRow).where(FindingRow.change_seq > change_seq).order_by(FindingRow.change_seq)
    return session.scalars(query).all()


def last_change(session: Session, *, hold: bool = False) -> int:
    """Return the number of the last change, 0 before the first; with `hold`, none comes before this commit."""
    row = session.get(Cursor, FEED, with_for_update=hold, populate_existing=hold)
    return 0 if row is None else row.change_seq


def as_finding(row: FindingRow) -> Finding:
    """Return what a row says, without its number."""
    return Finding(
        FindingKind(row.kind),
        SubjectKind(row.subject_kind),
        row.subject_id,
        row.building_id,
        row.station_id,
        row.start_ms,
        row.end_ms,
        row.open,
        row.confirmed_ms,
        row.detail,
    )


def shown_detail(row: FindingRow, as_of_ms: int | None) -> dict[str, Any]:
    """Return a row's detail as it is at `as_of_ms`: with the length so far [h] of an outage that is open."""
    if row.kind not in LASTING or not row.open:
        return dict(row.detail)
    until = row.start_ms if as_of_ms is None else max(as_of_ms, row.start_ms)
    return {**row.detail, "duration_h": (until - row.start_ms) / HOUR_MS}


def _wanted(which: Which) -> list[ColumnElement[bool]]:
    asked = {"withdrawn": False, **which}
    columns = {"kind": FindingRow.kind, "open": FindingRow.open, "withdrawn": FindingRow.withdrawn}
    columns |= {"building": FindingRow.building_id, "station": FindingRow.station_id, "subject": FindingRow.subject_id}
    wanted = [column == asked[name] for name, column in columns.items() if asked.get(name) is not None]
    if which.get("confirmed") is not None:
        wanted.append(FindingRow.confirmed_ms.is_not(None) == which["confirmed"])
    stations = which.get("stations")
    return wanted if stations is None else [*wanted, FindingRow.station_id.in_(sorted(stations))]


def _issued(session: Session, subjects: Collection[Subject]) -> Iterator[FindingRow]:
    """Give the rows of these subjects that are not withdrawn."""
    by_kind: defaultdict[tuple[FindingKind, SubjectKind], list[str]] = defaultdict(list)
    for kind, subject_kind, subject_id in sorted(subjects):
        by_kind[kind, subject_kind].append(subject_id)
    for (kind, subject_kind), names in by_kind.items():
        of_kind = select(FindingRow).where(FindingRow.kind == kind, FindingRow.subject_kind == subject_kind)
        for first in range(0, len(names), _CHUNK):
            chunk = FindingRow.subject_id.in_(names[first : first + _CHUNK])
            yield from session.scalars(of_kind.where(chunk, FindingRow.withdrawn.is_(False)))


def _amended(rows: Mapping[int, FindingRow], numbered: Iterable[tuple[int | None, Finding]]) -> list[FindingRow]:
    """Write into rows what is found to be otherwise; return those rows."""
    changed = []
    for number, finding in numbered:
        if number is None:
            continue
        row, content = rows[number], _content(finding)
        if any(getattr(row, name) != content[name] for name in _CONTENT):
            for name in _CONTENT:
                setattr(row, name, content[name])
            row.revision += 1
            changed.append(row)
    return sorted(changed, key=lambda row: row.id)


def _withdrawn(rows: Mapping[int, FindingRow], numbers: Collection[int | None]) -> list[FindingRow]:
    gone = [row for number, row in sorted(rows.items()) if number not in numbers]
    for row in gone:
        row.withdrawn = True
        row.revision += 1
    return gone


def _made(finding: Finding, as_of_ms: int) -> FindingRow:
    kind, subject_kind, subject_id = subject_of(finding)
    return FindingRow(
        kind=str(kind),
        subject_kind=str(subject_kind),
        subject_id=subject_id,
        withdrawn=False,
        revision=1,
        issued_ms=as_of_ms,
        trace="",
        **_content(finding),
    )


def _content(finding: Finding) -> dict[str, Any]:
    """Return the columns that judging may change. NaN is no JSON value and is refused."""
    detail = dict(finding.detail)
    if finding.open:
        detail.pop("duration_h", None)
    content = {name: getattr(finding, name) for name in _CONTENT}
    return content | {"detail": json.loads(json.dumps(detail, allow_nan=False))}


def _number(session: Session, rows: Sequence[FindingRow], as_of_ms: int) -> None:
    """Give each changed row its number in the feed. Held to the commit, so that numbers become visible in order."""
    if not rows:
        return
    taken = insert_into(session, Cursor).values(name=FEED, change_seq=len(rows))
    more = taken.on_conflict_do_update(index_elements=["name"], set_={"change_seq": Cursor.change_seq + len(rows)})
    last = session.scalars(more.returning(Cursor.change_seq)).one()
    for change_seq, row in enumerate(rows, last - len(rows) + 1):
        row.change_seq, row.changed_ms = change_seq, as_of_ms
