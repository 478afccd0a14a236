"""The register of test points in the records (R6): imported whole, kept whole, read back exactly."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from heatwatch.domain.instants import to_ms
from heatwatch.domain.register import FAR_FUTURE_MS, FAR_PAST_MS, PointRow, Register
from heatwatch.domain.temperature import RoomClass
from heatwatch.records.audit import HEATWATCH, acting
from heatwatch.records.schema import RegisterImport

_INSTANTS = ("valid_from", "valid_to", "suspended_from", "suspended_to")


def import_register(
    session: Session, rows: Sequence[PointRow], source: str, sha256: str, now_ms: int, *, who: str = HEATWATCH
) -> int:
    """Put a register in force and return its version; the ones before it stay.

    The register that is in force already, imported again, keeps its version.

    Raises
    ------
    BadInput
        If two rows of one point, or of one device, are valid at once.
    """
    kept = [_row_json(row) for row in Register.of(rows, where=source).rows]
    newest = session.scalar(select(RegisterImport).order_by(RegisterImport.version.desc()).limit(1))
    from_ms = None
    if newest is not None:
        if (newest.sha256, newest.rows) == (sha256, kept):
            return newest.version
        from_ms = differs_from(Register(tuple(_row_of(row) for row in newest.rows)), Register.of(rows))
    acting(session, who, now_ms)
    made = RegisterImport(imported_ms=now_ms, source=source, sha256=sha256, from_ms=from_ms, rows=kept)
    session.add(made)
    session.flush()
    return made.version


def read_rows(said: Sequence[Mapping[str, Any]]) -> Register:
    """Read a register that was written by `written_rows`."""
    return Register.of(_row_of(row) for row in said)


def written_rows(register: Register) -> list[dict[str, Any]]:
    """Write a register as JSON."""
    return [_row_json(row) for row in register.rows]


def differing(old: Register, new: Register) -> set[PointRow]:
    """Return the rows that stand in one of two registers only."""
    return set(old.rows) ^ set(new.rows)


def differs_from(old: Register, new: Register) -> int | None:
    """Return from when on two registers say something else of some point [ms]; None: of all time, or not at all."""
    points = {row.point_id for row in differing(old, new)}
    moments = [_point_differs_from([*rows_of(old, name)], [*rows_of(new, name)]) for name in points]
    first_ms = min(moments, default=FAR_PAST_MS)
    return first_ms if FAR_PAST_MS < first_ms < FAR_FUTURE_MS else None


def _point_differs_from(old: Sequence[PointRow], new: Sequence[PointRow]) -> int:
    edges = {FAR_PAST_MS}
    for row in (*old, *new):
        edges |= {row.valid_from_ms, row.valid_to_ms, _ms(row.suspended_from, FAR_PAST_MS)}
        edges.add(_ms(row.suspended_to, FAR_FUTURE_MS))
    differ = (edge for edge in sorted(edges) if _holds(old, edge) != _holds(new, edge))
    return next(differ, FAR_FUTURE_MS)


def _holds(rows: Sequence[PointRow], instant_ms: int) -> tuple[PointRow, bool] | None:
    """Return what holds for a point at an instant, without until when, and whether it is in service."""
    held = next((row for row in rows if row.valid_from_ms <= instant_ms < row.valid_to_ms), None)
    if held is None:
        return None
    always = replace(held, valid_from=None, valid_to=None, suspended_from=None, suspended_to=None)
    return always, in_service(held, instant_ms)


def register_version(session: Session) -> int | None:
    """Return the version in force, None before the first import; cheap."""
    return session.scalar(select(func.max(RegisterImport.version)))


def current_register(session: Session) -> tuple[int, Register] | None:
    """Return the register in force with its version, None before the first import."""
    newest = session.scalar(select(RegisterImport).order_by(RegisterImport.version.desc()).limit(1))
    if newest is None:
        return None
    return newest.version, Register(tuple(_row_of(row) for row in newest.rows))


class RegisterInForce:
    """Reads the register again only when another version is in force; one for each user of one database."""

    def __init__(self) -> None:
        self._held: tuple[int, Register] | None = None

    def __call__(self, session: Session) -> Register | None:
        """Return the register in force, None before the first import."""
        if self._held is None or self._held[0] != register_version(session):
            self._held = current_register(session)
        return None if self._held is None else self._held[1]


def rows_of(register: Register, point_id: str) -> Iterator[PointRow]:
    """Give the rows of one point, oldest first."""
    first = bisect_left(register.rows, point_id, key=lambda row: row.point_id)
    return takewhile(lambda row: row.point_id == point_id, register.rows[first:])


def row_at(register: Register, point_id: str, instant_ms: int) -> PointRow | None:
    """Return the row in force for a point at `instant_ms`, None where there is none."""
    held = (row for row in rows_of(register, point_id) if row.valid_from_ms <= instant_ms < row.valid_to_ms)
    return next(held, None)


def sources_of(register: Register | None, point_id: str) -> list[tuple[str, int, int]]:
    """Return under which sources a point's readings are kept, each from an instant [ms] to another, excluded.

    Its devices while they were its own; and its own name always, for readings that named no device.
    """
    rows = () if register is None else rows_of(register, point_id)
    devices = [(row.device_id, row.valid_from_ms, row.valid_to_ms) for row in rows if row.device_id is not None]
    named = [device for device in devices if device[0] != point_id]
    return [*named, (point_id, FAR_PAST_MS, FAR_FUTURE_MS)]


def in_service(row: PointRow, instant_ms: int) -> bool:
    """Tell whether a row is valid and its room's heating not suspended at `instant_ms` (R5)."""
    if not row.valid_from_ms <= instant_ms < row.valid_to_ms:
        return False
    if row.suspended_from is None and row.suspended_to is None:
        return True
    return not _ms(row.suspended_from, FAR_PAST_MS) <= instant_ms < _ms(row.suspended_to, FAR_FUTURE_MS)


def rooms_in_service(register: Register | None, instant_ms: int) -> dict[str, int]:
    """Count the rooms in service of each building at `instant_ms`."""
    rows = () if register is None else register.rows
    rooms = {(row.building_id, row.room) for row in rows if in_service(row, instant_ms)}
    counted: dict[str, int] = {}
    for building, _ in rooms:
        counted[building] = counted.get(building, 0) + 1
    return counted


def _ms(instant: datetime | None, unbounded_ms: int) -> int:
    return unbounded_ms if instant is None else to_ms(instant)


def _row_json(row: PointRow) -> dict[str, Any]:
    """Write a row as JSON; what is at its default is left out."""
    said = {f.name: getattr(row, f.name) for f in fields(row) if getattr(row, f.name) != f.default}
    for name in _INSTANTS:
        if name in said:
            said[name] = said[name].astimezone(UTC).isoformat()
    if row.heating_hours is not None:
        said["heating_hours"] = [list(hours) for hours in row.heating_hours]
    return said | {"room_class": str(row.room_class)}


def _row_of(said: Mapping[str, Any]) -> PointRow:
    values = dict(said, room_class=RoomClass(said["room_class"]))
    for name in _INSTANTS:
        if name in values:
            values[name] = datetime.fromisoformat(values[name])
    if "heating_hours" in values:
        values["heating_hours"] = tuple((start, end) for start, end in values["heating_hours"])
    return PointRow(**values)
