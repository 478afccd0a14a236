"""The tables. Instants are whole milliseconds UTC (`…_ms`); Alembic's revisions lead here step by step."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, LargeBinary, MetaData, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Json = JSON(none_as_null=True)
BigId = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """Declarative base; constraint names are fixed so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {int: BigInteger, dict[str, Any]: Json, list[Any]: Json}  # noqa: RUF012 - SQLAlchemy's own


class RegisterImport(Base):
    """One import of a points file; the newest is the register in force, the older ones stay (R6, R8)."""

    __tablename__ = "register_imports"

    version: Mapped[int] = mapped_column(BigId, primary_key=True)
    imported_ms: Mapped[int]
    source: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64))
    rows: Mapped[list[Any]]


class JournalPosition(Base):
    """How far a worker's journal has been stored: every message up to `sequence`."""

    __tablename__ = "journal_positions"

    worker: Mapped[str] = mapped_column(primary_key=True)
    sequence: Mapped[int]


class MessageCount(Base):
    """First line of the delivery identity, per sender (a point or a gateway)."""

    __tablename__ = "message_counts"

    worker: Mapped[str] = mapped_column(primary_key=True)
    sender: Mapped[str] = mapped_column(primary_key=True)
    decoded: Mapped[int] = mapped_column(default=0)
    no_reading: Mapped[int] = mapped_column(default=0)
    quarantined: Mapped[int] = mapped_column(default=0)


class ReadingCount(Base):
    """Second line of the delivery identity, per source (a device or a point)."""

    __tablename__ = "reading_counts"

    worker: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    decoded: Mapped[int] = mapped_column(default=0)
    stored: Mapped[int] = mapped_column(default=0)
    duplicate: Mapped[int] = mapped_column(default=0)
    conflict: Mapped[int] = mapped_column(default=0)
    quarantined: Mapped[int] = mapped_column(default=0)


class Quarantine(Base):
    """What could not be used, whole, with the reason: a message (`position` -1) or one reading in it."""

    __tablename__ = "quarantine"
    __table_args__ = (UniqueConstraint("worker", "sequence", "position"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    worker: Mapped[str]
    sequence: Mapped[int]
    position: Mapped[int]
    topic: Mapped[str]
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    reason: Mapped[str]
    arrived_ms: Mapped[int]


class Arrival(Base):
    """The feed from ingest to analytics: what one commit stored, or one tick of a replay's clock."""

    __tablename__ = "arrivals"

    seq: Mapped[int] = mapped_column(BigId, primary_key=True)
    worker: Mapped[str]
    sequence: Mapped[int]
    touched: Mapped[list[Any]]
    """`[source, first_ms, last_ms, rows]` for each source of which rows were kept."""
    tick: Mapped[dict[str, Any] | None]
    """`{run, step, now}` where this entry is a tick."""


class Progress(Base):
    """How far a role has come: the arrival it has done and the moment for which its work holds."""

    __tablename__ = "progress"

    role: Mapped[str] = mapped_column(primary_key=True)
    arrival_seq: Mapped[int]
    as_of_ms: Mapped[int | None]
    tick: Mapped[dict[str, Any] | None]


class JudgeState(Base):
    """What judging carries over for one building; a cache of the readings, discarded when its key differs."""

    __tablename__ = "judge_states"

    building_id: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(64))
    state: Mapped[bytes] = mapped_column(LargeBinary)


class FindingRow(Base):
    """A finding under its own identity. A withdrawn one stays."""

    __tablename__ = "findings"
    __table_args__ = (Index(None, "kind", "subject_id"), Index(None, "station_id", "kind"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    kind: Mapped[str]
    """cold_spell, heat_outage, data_outage or sensor_fault."""
    subject_kind: Mapped[str]
    """point, building or station."""
    subject_id: Mapped[str]
    building_id: Mapped[str]
    station_id: Mapped[str]
    start_ms: Mapped[int]
    end_ms: Mapped[int | None]
    open: Mapped[bool]
    confirmed_ms: Mapped[int | None]
    withdrawn: Mapped[bool] = mapped_column(default=False)
    revision: Mapped[int] = mapped_column(default=1)
    issued_ms: Mapped[int]
    changed_ms: Mapped[int]
    change_seq: Mapped[int] = mapped_column(index=True)
    """Grows with every change of any finding: the feed that dispatch reads."""
    detail: Mapped[dict[str, Any]]
    """The other columns of the design's file of this kind."""


class Cursor(Base):
    """A place in the feed of changed findings: `findings` is the last number given, a role's how far it has read."""

    __tablename__ = "cursors"

    name: Mapped[str] = mapped_column(primary_key=True)
    change_seq: Mapped[int]


class TicketRow(Base):
    """One piece of work. `merged_into` names the ticket that took it over."""

    __tablename__ = "tickets"
    __table_args__ = (Index(None, "station_id", "state"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    kind: Mapped[str]
    state: Mapped[str]
    emergency: Mapped[bool]
    scope: Mapped[str]
    """room, building or station: how much one piece of work is about."""
    station_id: Mapped[str]
    building_id: Mapped[str]
    """Empty on a station's ticket."""
    room_id: Mapped[str | None]
    point_id: Mapped[str | None]
    """The point that its first finding speaks of; with `room_id`, on a room's ticket only."""
    rule: Mapped[str]
    opened_ms: Mapped[int]
    cause_start_ms: Mapped[int]
    merged_into: Mapped[int | None] = mapped_column(ForeignKey("tickets.id"))
    evidence: Mapped[list[Any]]
    """The readings that it rests on: `[point_id, time_ms, temp_c]`."""


class TicketFinding(Base):
    """Which ticket a finding belongs to; the key makes a second ticket for the same cause impossible."""

    __tablename__ = "ticket_findings"

    finding_id: Mapped[int] = mapped_column(ForeignKey("findings.id"), primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"), index=True)
    state: Mapped[str]
    """open, ended or withdrawn, as the ticket's last event said."""


class TicketClock(Base):
    """A deadline on a ticket, with the rule that sets it."""

    __tablename__ = "ticket_clocks"

    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"), primary_key=True)
    step: Mapped[str] = mapped_column(primary_key=True)
    rule: Mapped[str]
    source: Mapped[str]
    due_ms: Mapped[int]


class TicketEvent(Base):
    """What happened to a ticket, in order; never changed, never deleted."""

    __tablename__ = "ticket_events"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"), index=True)
    at_ms: Mapped[int]
    kind: Mapped[str]
    who: Mapped[str]
    detail: Mapped[dict[str, Any]]
