"""The audit trail (审计, R8): every change of an audited row is entered in its own transaction, chained by digests.

An entry says when, who, what was done and to which row, with the whole row when it came or went and what changed
otherwise. Its digest covers all that and the digest of the entry before it, so that nothing in the middle can be
altered, taken out or moved without breaking the chain behind it.

A session that writes looks at the audited rows before it flushes and again after it; what differs is entered. What is
compared and digested is therefore what the database holds, never what a program believes to have written, and a row
that was changed behind the trail's back betrays itself at its next change at the latest.

Only a session sees what it flushes: statements that change audited tables past it are refused where they can be seen,
and found by `heatwatch.usecases.audit` where they cannot.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    event,
    extract,
    func,
    inspect,
    select,
)
from sqlalchemy import insert as insert_into
from sqlalchemy import update as update_of
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction, UOWTransaction, sessionmaker
from sqlalchemy.sql.dml import UpdateBase

from heatwatch.domain.instants import SECOND_MS
from heatwatch.errors import Damaged
from heatwatch.records.schema import Audited, AuditEntry, AuditHead, Base

HEATWATCH = "heatwatch"
"""Who did what nobody did by hand."""
START = "0" * 64
"""What the first entry follows on."""
SLICE = 500
_DESK = "audit"
_TRAIL = frozenset({AuditEntry.__tablename__, AuditHead.__tablename__})
_ENTRIES, _HEAD = Base.metadata.tables[AuditEntry.__tablename__], Base.metadata.tables[AuditHead.__tablename__]

Row = dict[str, Any]
"""A row as the trail writes it: columns too large or too secret for it stand as `{"sha256": …}`."""


class Action(StrEnum):
    """What an entry says was done to its row."""

    ADOPTED = "adopted"
    """It was there before the trail, or before its table got the columns that it has now."""
    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one row. `content` is the row that came or went, or `{column: [before, after]}`."""

    action: Action
    subject: str
    subject_id: str
    content: Row
    row_sha256: str


@dataclass(frozen=True, eq=False)
class Kept:
    """An audited table, and how the trail writes its rows."""

    table: Table
    veiled: frozenset[str]

    @property
    def key(self) -> Column[Any]:
        """The column that names a row."""
        (key,) = self.table.primary_key
        return key

    def rows(self, connection: Connection, keys: Collection[Any]) -> dict[Any, Row]:
        """Return those of the rows `keys` that are there."""
        asked = list(keys)
        found: dict[Any, Row] = {}
        for first in range(0, len(asked), SLICE):
            found |= dict(self._read(connection, _by_key(self), {"keys": asked[first : first + SLICE]}))
        return found

    def all_rows(self, connection: Connection) -> Iterator[dict[Any, Row]]:
        """Give every row, in slices."""
        some = dict(self._read(connection, self.query().order_by(self.key).limit(SLICE), {}))
        while some:
            yield some
            later = self.query().where(self.key > max(some)).order_by(self.key).limit(SLICE)
            some = dict(self._read(connection, later, {}))

    def query(self) -> Select[Any]:
        """Return the question for rows, JSON as the text that is kept, which nobody's tampering makes unreadable."""
        columns = self.table.columns
        return select(*(cast(one, Text).label(one.name) if _is_json(one) else one for one in columns))

    def _read(self, connection: Connection, query: Select[Any], values: Mapping[str, Any]) -> Iterator[tuple[Any, Row]]:
        parsed = [one.name for one in self.table.columns if _is_json(one)]
        for row in connection.execute(query, values).mappings():
            told = dict(row)
            told |= {name: parse(told[name]) for name in parsed}
            yield row[self.key.name], told | {name: {"sha256": digest(told[name])} for name in self.veiled}


@cache
def audited() -> Mapping[str, Kept]:
    """Return the audited tables by name, those that others refer to first."""
    classes = {mapper.class_.__tablename__: mapper.class_ for mapper in Base.registry.mappers}
    found = {table: classes[table.name] for table in Base.metadata.sorted_tables}
    return {table.name: Kept(table, one.bulky | one.secret) for table, one in found.items() if issubclass(one, Audited)}


@cache
def _by_key(kept: Kept) -> Select[Any]:
    return kept.query().where(kept.key.in_(bindparam("keys", expanding=True)))


def _is_json(column: Column[Any]) -> bool:
    return isinstance(column.type, JSON)


def canonical(value: Any) -> bytes:
    """Return JSON as it is digested: keys sorted, no spaces, UTF-8.

    >>> canonical({"b": [1, None], "a": "审计"}).decode()
    '{"a":"审计","b":[1,null]}'
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=repr)
    return text.encode("utf-8", "surrogatepass")


def digest(value: Any) -> str:
    """Return the SHA-256 of canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()


def parse(text: str | None) -> Any:
    """Return what JSON says; what is no JSON stands as `{"unreadable": …}`."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return {"unreadable": text}


def sealed(entry: Mapping[str, Any]) -> str:
    """Return the digest that belongs to an entry: over all that it says but the digest itself."""
    return digest({name: said for name, said in entry.items() if name != "sha256"})


def acting(session: Session, who: str, at_ms: int) -> None:
    """Say who changes audited rows from here to the end of the transaction, at which moment [ms].

    What another one did in the same transaction before is entered under that one's name.
    """
    desk = _desk(session)
    actor = _Actor(str(who), int(at_ms))
    if desk.actor not in (None, actor):
        session.flush()
    desk.actor = actor


def hold(session: Session) -> int:
    """Hold the end of the trail until the transaction ends, and return its number: nobody else adds to it meanwhile.

    Whoever decides on what audited rows say holds it before reading them, and before locking any: else a decision
    could rest on what was changed in between, and two could wait for each other.
    """
    desk = _desk(session)
    desk.chain = desk.chain or _Chain(session.connection())
    return desk.chain.seq


def install(writing: sessionmaker[Session]) -> None:
    """Let every session of `writing` keep the trail."""
    event.listen(writing, "before_flush", _before_flush)
    event.listen(writing, "after_flush", _after_flush)
    event.listen(writing, "do_orm_execute", _refuse_past_the_trail)
    event.listen(writing, "after_transaction_end", _forget)


def shape(connection: Connection) -> dict[str, frozenset[str]]:
    """Return the columns of the audited tables as they are; nothing where there is no trail yet."""
    names = [_HEAD.name, *audited()]
    found = inspect(connection).get_multi_columns(filter_names=names)
    columns = {name: frozenset(one["name"] for one in told) for (_, name), told in found.items()}
    return {name: columns[name] for name in audited() if name in columns} if _HEAD.name in columns else {}


def adopt(connection: Connection, was: Mapping[str, frozenset[str]]) -> None:
    """Begin the trail where there was none, and enter the rows of tables that were not as they are now.

    `was` is the `shape` before the tables were brought up to this version. A trail that has lost its head is not begun
    anew: that would hide the loss.
    """
    if not was:
        connection.execute(insert_into(_HEAD).values(id=1, seq=0, sha256=START))
    is_now = shape(connection)
    actor = _Actor(HEATWATCH, _now_ms(connection))
    for kept in (kept for name, kept in audited().items() if was.get(name) != is_now[name]):
        for rows in kept.all_rows(connection):
            _Chain(connection).extend(actor, [_came(Action.ADOPTED, kept, key, row) for key, row in rows.items()])


def _now_ms(connection: Connection) -> int:
    """Return the time by the clock of the database [ms], to the second."""
    return SECOND_MS * int(connection.execute(select(extract("epoch", func.current_timestamp()))).scalar_one())


@dataclass(frozen=True, slots=True)
class _Actor:
    who: str
    at_ms: int


class _Chain:
    """The end of the trail, held until the transaction ends: nobody else adds to it meanwhile."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        query = select(_HEAD.c.seq, _HEAD.c.sha256).where(_HEAD.c.id == 1).with_for_update()
        head = connection.execute(query).one_or_none()
        if head is None:
            raise Damaged("has lost its head, nothing can be added", where="audit trail")
        self._seq: int = head.seq
        self._sha256: str = head.sha256

    @property
    def seq(self) -> int:
        return self._seq

    def extend(self, actor: _Actor, changes: Iterable[Change]) -> None:
        entries = [self._entry(actor, change) for change in changes]
        if entries:
            self._connection.execute(insert_into(_ENTRIES), entries)
            end = update_of(_HEAD).where(_HEAD.c.id == 1).values(seq=self._seq, sha256=self._sha256)
            self._connection.execute(end)

    def _entry(self, actor: _Actor, change: Change) -> dict[str, Any]:
        self._seq += 1
        entry = {
            "seq": self._seq,
            "at_ms": actor.at_ms,
            "who": actor.who,
            "action": str(change.action),
            "subject": change.subject,
            "subject_id": change.subject_id,
            "content": change.content,
            "row_sha256": change.row_sha256,
            "before_sha256": self._sha256,
        }
        self._sha256 = sealed(entry)
        return {**entry, "sha256": self._sha256}


@dataclass(slots=True)
class _Desk:
    """What a session knows for the trail until its transaction ends."""

    actor: _Actor | None = None
    chain: _Chain | None = None
    touched: list[Any] = field(default_factory=list)
    before: dict[str, dict[Any, Row]] = field(default_factory=dict)
    """The rows, as they were before the flush under way, that it changes or deletes."""


def _desk(session: Session) -> _Desk:
    desk: _Desk = session.info.setdefault(_DESK, _Desk())
    return desk


def _forget(session: Session, transaction: SessionTransaction) -> None:
    """Let nothing of a transaction reach the next; after a savepoint the trail may end earlier."""
    if transaction.parent is None:
        session.info.pop(_DESK, None)
    elif transaction.nested:
        _desk(session).chain = None


def _refuse_past_the_trail(state: ORMExecuteState) -> None:
    if not isinstance(state.statement, UpdateBase):
        return
    name = getattr(state.statement.table, "name", "")
    if name in _TRAIL or name in audited():
        msg = f"{name} is audited: change its rows one by one, through the session"
        raise RuntimeError(msg)


def _before_flush(session: Session, _context: UOWTransaction, _instances: object) -> None:
    """Look at the rows that are about to change, the end of the trail held first: so all writers queue in one order."""
    known = [one for one in session.dirty if _is_kept(one) and session.is_modified(one)]
    known += [one for one in session.deleted if _is_kept(one)]
    touched = [*known, *(one for one in session.new if _is_kept(one))]
    if not touched:
        if _DESK in session.info:
            _desk(session).touched = []
        return
    desk, connection = _desk(session), session.connection()
    if desk.actor is None:
        msg = f"{type(touched[0]).__name__} is audited: say who changes it, with `acting`"
        raise RuntimeError(msg)
    desk.chain = desk.chain or _Chain(connection)
    desk.touched = touched
    desk.before = _look(connection, ((one, inspect(one).identity) for one in known))


def _after_flush(session: Session, _context: UOWTransaction) -> None:
    """Enter what has become of the rows."""
    desk: _Desk | None = session.info.get(_DESK)
    if desk is None or not desk.touched or desk.actor is None or desk.chain is None:
        return
    are = [(one, inspect(one).mapper.primary_key_from_instance(one)) for one in desk.touched]
    were = [(one, inspect(one).identity) for one in desk.touched]
    after = _look(session.connection(), [*were, *are])
    desk.chain.extend(desk.actor, _changes(desk.before, after))
    desk.touched = []


def _is_kept(instance: object) -> bool:
    if isinstance(instance, AuditEntry | AuditHead):
        msg = "the audit trail is not for writing: it keeps itself"
        raise TypeError(msg)
    return isinstance(instance, Audited)


def _look(connection: Connection, named: Iterable[tuple[Any, Any]]) -> dict[str, dict[Any, Row]]:
    """Return the rows of instances by table and key."""
    keys: dict[str, set[Any]] = {}
    for one, identity in named:
        if identity is not None:
            keys.setdefault(one.__tablename__, set()).add(identity[0])
    return {name: audited()[name].rows(connection, wanted) for name, wanted in keys.items()}


def _changes(before: Mapping[str, Mapping[Any, Row]], after: Mapping[str, Mapping[Any, Row]]) -> Iterator[Change]:
    """Give what changed by table and key: the session knows no order among what it changes, and a trail needs one."""
    for name, kept in audited().items():
        were, are = before.get(name, {}), after.get(name, {})
        for key in sorted({*were, *are}):
            change = _change(kept, key, were.get(key), are.get(key))
            if change is not None:
                yield change


def _change(kept: Kept, key: Any, before: Row | None, after: Row | None) -> Change | None:
    if before is None or after is None:
        came, went = after is not None, before is not None
        if came:
            return _came(Action.CREATED, kept, key, after or {})
        return Change(Action.DELETED, kept.table.name, str(key), before or {}, "") if went else None
    content = {name: [before.get(name), said] for name, said in after.items() if differs(before.get(name), said)}
    return Change(Action.CHANGED, kept.table.name, str(key), content, digest(after)) if content else None


def _came(action: Action, kept: Kept, key: Any, row: Row) -> Change:
    return Change(action, kept.table.name, str(key), row, digest(row))


def differs(one: Any, other: Any) -> bool:
    """Tell whether two values are not the same as JSON; to Python 1, 1.0 and True would be one."""
    return one is not other and canonical(one) != canonical(other)
