"""Reading the audit trail (审计, R8), and proving that it and what it speaks of are as they were written.

What `faults` can prove from the records alone: no entry was altered, taken out, put in or moved without the chain being
made anew from there to its end; each audited row came about by the entries that speak of it, step by step, and is now
as the last of them left it; there is no row without an entry, and none is gone without one.

What it cannot: whoever may write to the database may also write the whole chain anew, or cut off its end together with
its head and the rows that it spoke of. That leaves a trail that is whole, and another one. An **anchor** shows it: a
head (`seq sha256`) noted earlier and kept where those who may write to the database may not. Its digest covers all
entries up to it, so that these can no longer be made anew unnoticed. What came after the newest anchor is only as safe
as the database; so note one often.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, String, Text, cast, exists, select
from sqlalchemy.orm import Session

from heatwatch.errors import Damaged
from heatwatch.records.audit import SLICE, START, Action, Kept, Row, audited, differs, digest, parse, sealed
from heatwatch.records.schema import AuditEntry, AuditHead

Entry = Mapping[str, Any]
Anchor = tuple[int, str]
"""A head that was noted: the number of its entry, and its digest."""
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_NO_KEY = 2**63
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it was written, and where: at which entry, in which row."""

    what: str
    seq: int | None = None
    subject: str = ""
    subject_id: str = ""

    def __str__(self) -> str:
        row = f"{self.subject} {self.subject_id}".strip()
        where = [f"entry {self.seq}"] if self.seq is not None else []
        return ", ".join([*where, *([row] if row else [])] or ["the trail"]) + f": {self.what}"


def verify(session: Session, anchors: Collection[Anchor] = ()) -> list[Fault]:
    """Return all `faults`; none where the trail is whole."""
    return list(faults(session, anchors))


def faults(session: Session, anchors: Collection[Anchor] = ()) -> Iterator[Fault]:
    """Give what is wrong with the trail, the rows it speaks of, and the heads noted earlier.

    Reads the trail twice, in order of the chain and row by row, and holds a slice of it at a time.
    """
    altered: set[int] = set()
    yield from _chain_faults(session, anchors, altered)
    yield from _row_faults(session, altered)


def head(session: Session) -> Anchor:
    """Return where the trail ends, to be noted as an anchor.

    Raises
    ------
    Damaged
        If the trail has no head.
    """
    end = _head(session)
    if end is None:
        raise Damaged("has lost its head", where="audit trail")
    return end


def entries(session: Session, limit: int, subject: str | None = None, subject_id: str | None = None) -> list[Entry]:
    """Return the newest entries, of one table or one row where it is named, in their order."""
    named = {AuditEntry.subject: subject, AuditEntry.subject_id: subject_id}
    wanted = [column == name for column, name in named.items() if name is not None]
    newest = _entries().where(*wanted).order_by(AuditEntry.seq.desc()).limit(limit)
    return list(_read(session, newest))[::-1]


def _head(session: Session) -> Anchor | None:
    row = session.execute(select(AuditHead.seq, AuditHead.sha256).where(AuditHead.id == 1)).one_or_none()
    return None if row is None else (row.seq, row.sha256)


def _entries() -> Select[Any]:
    columns = AuditEntry.__table__.columns
    return select(*(cast(one, Text).label(one.name) if one.name == "content" else one for one in columns))


def _read(session: Session, query: Select[Any]) -> Iterator[Entry]:
    """Give entries as they are kept, also where tampering has left no JSON."""
    for row in session.execute(query, execution_options={"yield_per": SLICE}).mappings():
        yield {**row, "content": parse(row["content"])}


def _chain_faults(session: Session, anchors: Collection[Anchor], altered: set[int]) -> Iterator[Fault]:
    """Follow the chain from its start to its head; note in `altered` which entries are not to be believed."""
    noted: dict[int, set[str]] = {}
    for number, sha256 in anchors:
        noted.setdefault(number, set()).add(sha256)
    end = (0, START)
    for entry in _read(session, _entries().order_by(AuditEntry.seq)):
        yield from _joint_faults(entry, end)
        end = (entry["seq"], entry["sha256"])
        if sealed(entry) != entry["sha256"]:
            altered.add(entry["seq"])
            yield _at(entry, "altered: what it says does not match its digest")
        yield from _anchor_faults(end, noted.pop(end[0], ()))
    yield from _anchor_faults((0, START), noted.pop(0, ()))
    yield from _end_faults(_head(session), end, noted)


def _joint_faults(entry: Entry, before: Anchor) -> Iterator[Fault]:
    due, number = before[0] + 1, entry["seq"]
    if number > due:
        lacks = f"entry {due} is" if number == due + 1 else f"entries {due} to {number - 1} are"
        yield _at(entry, f"{lacks} missing before it")
    elif number < due:
        yield _at(entry, "has a number that no entry can have")
    elif entry["before_sha256"] != before[1]:
        yield _at(entry, "does not follow on the entry before it: one of them was altered, moved or put in")


def _anchor_faults(end: Anchor, noted: Iterable[str]) -> Iterator[Fault]:
    if any(sha256 != end[1] for sha256 in noted):
        yield Fault("is not the one that was noted: the trail was written anew up to here or from before it", end[0])


def _end_faults(said: Anchor | None, end: Anchor, noted: Collection[int]) -> Iterator[Fault]:
    if said is None:
        yield Fault("the head is missing", end[0])
    elif said != end:
        yield Fault(f"the head says that the trail ends with entry {said[0]} {said[1]}; this is the last", end[0])
    for number in sorted(noted):
        yield Fault(f"was noted and is missing: the trail ends with entry {end[0]}", number)


def _row_faults(session: Session, altered: Collection[int]) -> Iterator[Fault]:
    """Follow each row through its entries, and see whether it is as they left it."""
    in_order = _entries().order_by(AuditEntry.subject, AuditEntry.subject_id, AuditEntry.seq)
    for subject, told in groupby(_read(session, in_order), key=lambda entry: entry["subject"]):
        kept = audited().get(subject)
        if kept is None:
            continue
        by_row = groupby(told, key=lambda entry: entry["subject_id"])
        for some in _sliced(_Life(kept, subject_id).follow(one, altered) for subject_id, one in by_row):
            yield from (fault for life in some for fault in life.faults)
            yield from _compare(session, kept, some)
    for kept in audited().values():
        yield from _without_entry(session, kept)


def _sliced(items: Iterator[_T]) -> Iterator[list[_T]]:
    while some := list(islice(items, SLICE)):
        yield some


@dataclass
class _Life:
    """One row as its entries tell it, from one to the next."""

    kept: Kept
    subject_id: str
    row: Row | None = None
    """As the last entry left it; None where it is not there."""
    row_sha256: str = ""
    seq: int | None = None
    sure: bool = True
    """Whether `row` is known; an entry that is damaged or missing leaves only the digest."""
    faults: list[Fault] = field(default_factory=list)

    def follow(self, told: Iterable[Entry], altered: Collection[int]) -> _Life:
        for entry in told:
            if entry["seq"] in altered or not _readable(entry):
                self.sure = False
            else:
                self._step(entry)
            self.seq, self.row_sha256 = entry["seq"], entry["row_sha256"]
        return self

    def _step(self, entry: Entry) -> None:
        wrong = self._misfit(entry) if self.sure else ""
        self.row = self._after(entry)
        whole = entry["action"] != Action.CHANGED
        self.sure = whole or (self.sure and not wrong)
        if not wrong and self.sure and entry["row_sha256"] != ("" if self.row is None else digest(self.row)):
            wrong, self.sure = "columns that it does not name were changed behind the trail's back before it", False
        if wrong:
            self.faults.append(_at(entry, wrong))

    def _misfit(self, entry: Entry) -> str:
        """Say how an entry does not go with those before it; nothing where it does."""
        if entry["action"] == Action.CREATED:
            return "says that a row was created which was there" if self.row is not None else ""
        if self.row is None:
            adopted = entry["action"] == Action.ADOPTED
            return "" if adopted else "speaks of a row of which no entry before says that it was there"
        changed = entry["action"] == Action.CHANGED
        before = {name: pair[0] for name, pair in entry["content"].items()} if changed else entry["content"]
        return _changed(self.row, before, before.keys() & self.row.keys(), "before it")

    def _after(self, entry: Entry) -> Row | None:
        if entry["action"] == Action.DELETED:
            return None
        if entry["action"] == Action.CHANGED:
            return {**(self.row or {}), **{name: pair[1] for name, pair in entry["content"].items()}}
        return dict(entry["content"])

    def misfit(self, row: Row | None) -> str:
        """Say how the row that is there is not the one that the trail tells of; nothing where it is."""
        if not self.row_sha256 or row is None:
            told, there = bool(self.row_sha256), row is not None
            if told == there:
                return ""
            return "is missing, and no entry says that it was deleted" if told else "is there, though deleted"
        if self.sure and self.row is not None:
            return _changed(self.row, row, self.row.keys() | row.keys(), "since")
        return "" if digest(row) == self.row_sha256 else "was changed behind the trail's back since"


def _readable(entry: Entry) -> bool:
    content = entry["content"]
    if entry["action"] not in list(Action) or not isinstance(content, dict):
        return False
    pairs = content.values() if entry["action"] == Action.CHANGED else ()
    return all(isinstance(pair, list) and len(pair) == len(("before", "after")) for pair in pairs)


def _changed(told: Row, found: Row, names: Iterable[str], when: str) -> str:
    other = sorted(name for name in names if differs(told.get(name), found.get(name)))
    return f"{', '.join(other)} changed behind the trail's back {when}" if other else ""


def _compare(session: Session, kept: Kept, lives: Sequence[_Life]) -> Iterator[Fault]:
    keys = {life.subject_id: _key(kept, life.subject_id) for life in lives}
    there = kept.rows(session.connection(), [key for key in keys.values() if key is not None])
    for life in lives:
        wrong = life.misfit(there.get(keys[life.subject_id]))
        if wrong:
            yield Fault(wrong, life.seq, kept.table.name, life.subject_id)


def _key(kept: Kept, subject_id: str) -> Any:
    """Return the key of a row; None where no row can have it."""
    if kept.key.type.python_type is not int:
        return subject_id
    number = int(subject_id) if _NUMBER.fullmatch(str(subject_id)) else _NO_KEY
    return number if abs(number) < _NO_KEY else None


def _without_entry(session: Session, kept: Kept) -> Iterator[Fault]:
    of_row: tuple[ColumnElement[bool], ...] = (
        AuditEntry.subject == kept.table.name,
        AuditEntry.subject_id == cast(kept.key, String),
    )
    strangers = select(kept.key).where(~exists().where(*of_row)).order_by(kept.key)
    for key in session.scalars(strangers, execution_options={"yield_per": SLICE}):
        yield Fault("has no entry: put in behind the trail's back", None, kept.table.name, str(key))


def _at(entry: Entry, what: str) -> Fault:
    return Fault(what, entry["seq"], str(entry["subject"]), str(entry["subject_id"]))
