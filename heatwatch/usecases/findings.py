"""Findings in the records: each under its number, amended when judging says something else, never deleted.

What a finding says of the moment itself, the length so far of one that is open, is not kept: it is worked out when
it is shown.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypedDict, Unpack

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from heatwatch.domain.amendments import ORDINARY, Cause, Now, Revision, revision, said_until
from heatwatch.domain.findings import Finding, FindingKind, SubjectKind
from heatwatch.domain.identity import Issued, Subject, canonical, identify, subject_of
from heatwatch.domain.instants import HOUR_MS
from heatwatch.domain.traces import Traced, kept_on
from heatwatch.records.schema import Cursor, FindingChange, FindingRow
from heatwatch.records.upsert import insert_into

FEED = "findings"
LASTING = frozenset({FindingKind.HEAT_OUTAGE, FindingKind.DATA_OUTAGE})
"""Kinds with a `duration_h`."""
_CHUNK = 500
_CONTENT = ("building_id", "station_id", "start_ms", "end_ms", "open", "confirmed_ms", "detail")


Caused = Callable[[Finding], Cause]
"""Gives what made a finding be judged otherwise."""


def _untraced(_: Finding) -> str:
    return ""


def _unexplained(_: Finding) -> Cause:
    return Cause()


def record_findings(
    session: Session,
    found: Sequence[Finding],
    subjects: Collection[Subject],
    as_of_ms: int,
    *,
    traces: Traced = _untraced,
    causes: Caused = _unexplained,
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
    causes
        Gives what made a finding that was issued be judged otherwise: asked of what was said of it before.

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
    was = {number: (as_finding(row), row.changed_ms) for number, row in rows.items()}
    numbers = identify(found, [Issued(number, said) for number, (said, _) in was.items()], as_of_ms)
    judged = _Judged(found, numbers, {number: said for number, (said, _) in was.items()}, as_of_ms)
    changed = _amended(rows, judged.numbered)
    changed += _withdrawn(rows, judged.numbered)
    made = [_made(one, as_of_ms) for one in sorted(judged.fresh, key=canonical)]
    for row in (*changed, *made):
        row.trace = kept_on(row.trace, traces(as_finding(row)))
    _number(session, [*changed, *made], as_of_ms)
    session.add_all(made)
    session.flush()
    session.add_all(_revisions(changed, made, was, judged, causes))
    session.flush()
    return [row.id for row in (*changed, *made)]


class _Judged:
    """What judging says now, under which numbers, and what that leaves of what was issued."""

    def __init__(
        self, found: Sequence[Finding], numbers: Sequence[int | None], issued: Mapping[int, Finding], as_of_ms: int
    ) -> None:
        self.as_of_ms = as_of_ms
        self.numbered: dict[int, Finding] = {}
        self.fresh: list[Finding] = []
        self._kept, self._fresh, self._gone = (defaultdict[Subject, list[Any]](list) for _ in range(3))
        for number, one in zip(numbers, found, strict=True):
            if number is None:
                self.fresh.append(one)
                self._fresh[subject_of(one)].append(one)
            else:
                self.numbered[number] = one
                self._kept[subject_of(one)].append((number, one))
        for number, one in issued.items():
            if number not in self.numbered:
                self._gone[subject_of(one)].append((number, one))

    def now(self, number: int, before: Finding, heard_ms: int) -> Now:
        """Return what is found in the place of an issued finding."""
        finding, subject = self.numbered.get(number), subject_of(before)
        if finding is None:
            over = [n for n, one in self._kept[subject] if _common(before, one, heard_ms)]
            return Now(None, into=min(over, default=None))
        took = [n for n, one in self._gone[subject] if _common(one, finding, heard_ms)]
        parts = [one for one in self._fresh[subject] if _common(before, one, heard_ms)]
        return Now(finding, took=sorted(took), parts=parts)


def differences(
    found: Sequence[Finding], issued: Mapping[int, Finding], as_of_ms: int, cause: Cause
) -> tuple[list[Finding], dict[int, tuple[Revision, Finding | None]]]:
    """Return what is found of which nothing was issued, and what becomes of what was issued, by its number.

    Nothing is written. All was judged for the moment `as_of_ms`, so that nothing has grown meanwhile.
    """
    numbers = identify(found, [Issued(number, said) for number, said in issued.items()], as_of_ms)
    judged = _Judged(found, numbers, issued, as_of_ms)
    altered = {}
    for number, said in issued.items():
        now = judged.now(number, said, as_of_ms)
        became = revision(said, now, as_of_ms, cause)
        if became is not None:
            altered[number] = (became, now.finding)
    return judged.fresh, altered


def _revisions(
    changed: Sequence[FindingRow],
    made: Sequence[FindingRow],
    was: Mapping[int, tuple[Finding, int]],
    judged: _Judged,
    causes: Caused,
) -> Iterator[FindingChange]:
    """Give what became of each issued finding that has done more than grow."""
    fresh = {canonical(as_finding(row)): row.id for row in made}
    for row in changed:
        before, changed_ms = was[row.id]
        cause = causes(before)
        heard_ms = changed_ms if cause.heard_ms is None else cause.heard_ms
        now = judged.now(row.id, before, heard_ms)
        became = revision(before, now, heard_ms, cause)
        if became is None:
            continue
        ties: dict[str, Any] = {"into": now.into} if now.into is not None else {}
        ties |= {"took": list(now.took)} if now.took else {}
        parts = [fresh[key] for one in now.parts if (key := canonical(_as_kept(one))) in fresh]
        ties |= {"parts": parts} if parts else {}
        yield FindingChange(
            finding_id=row.id,
            change_seq=row.change_seq,
            at_ms=judged.as_of_ms,
            revision=row.revision,
            kind=str(became),
            before=said_of(before),
            after=None if now.finding is None else said_of(as_finding(row)),
            cause={} if became in ORDINARY else dict(cause.said) | ties,
            trace=row.trace,
        )


def _common(before: Finding, now: Finding, heard_ms: int) -> bool:
    """Tell whether something found now speaks of a time of which an issued finding had spoken; not of mere instants."""
    if before.detail.get("kind") != now.detail.get("kind"):
        return False
    end_ms = max(now.start_ms, heard_ms) if now.end_ms is None else now.end_ms
    return min(end_ms, said_until(before, heard_ms)) > max(before.start_ms, now.start_ms)


def said_of(finding: Finding) -> dict[str, Any]:
    """Return what a finding says, as its revisions keep it."""
    said = {"start_ms": finding.start_ms, "end_ms": finding.end_ms, "open": finding.open}
    return said | {"confirmed_ms": finding.confirmed_ms, "detail": dict(finding.detail)}


def _as_kept(finding: Finding) -> Finding:
    """Return a finding as it reads when it has been kept."""
    return as_finding(_made(finding, finding.start_ms))


def revisions(session: Session, finding_id: int) -> Sequence[FindingChange]:
    """Return what became of a finding since it was issued, in order."""
    mine = select(FindingChange).where(FindingChange.finding_id == finding_id)
    return session.scalars(mine.order_by(FindingChange.id)).all()


def amendments_since(session: Session, change_seq: int) -> dict[int, list[FindingChange]]:
    """Return what was taken back after the change `change_seq`, in order, by the finding's number."""
    later = select(FindingChange).where(FindingChange.change_seq > change_seq)
    taken_back = later.where(FindingChange.kind.not_in(sorted(ORDINARY))).order_by(FindingChange.id)
    by_finding: defaultdict[int, list[FindingChange]] = defaultdict(list)
    for change in session.scalars(taken_back):
        by_finding[change.finding_id].append(change)
    return dict(by_finding)


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


def _amended(rows: Mapping[int, FindingRow], numbered: Mapping[int, Finding]) -> list[FindingRow]:
    """Write into rows what is found to be otherwise; return those rows."""
    changed = []
    for number, finding in numbered.items():
        row, content = rows[number], _content(finding)
        if any(getattr(row, name) != content[name] for name in _CONTENT):
            for name in _CONTENT:
                setattr(row, name, content[name])
            row.revision += 1
            changed.append(row)
    return sorted(changed, key=lambda row: row.id)


def _withdrawn(rows: Mapping[int, FindingRow], numbers: Collection[int]) -> list[FindingRow]:
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
