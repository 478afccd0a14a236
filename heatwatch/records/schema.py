"""The tables. Instants are whole milliseconds UTC (`…_ms`); Alembic's revisions lead here step by step."""

from __future__ import annotations

from typing import Any, ClassVar

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


class Audited:
    """Mixin: every change of such a row is followed by an entry in the audit trail, in the same transaction (R8)."""

    bulky: ClassVar[frozenset[str]] = frozenset()
    """Columns of which the trail keeps a digest only: they are kept whole here, and too large to be kept twice."""
    secret: ClassVar[frozenset[str]] = frozenset()
    """Columns of which the trail keeps a digest only, since nobody is to read them there."""


class RegisterImport(Audited, Base):
    """One import of a points file; the newest is the register in force, the older ones stay (R6, R8)."""

    __tablename__ = "register_imports"
    bulky = frozenset({"rows"})

    version: Mapped[int] = mapped_column(BigId, primary_key=True)
    imported_ms: Mapped[int]
    source: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64))
    from_ms: Mapped[int | None]
    """From when on it says something else than the one before; None: of all time."""
    rows: Mapped[list[Any]]


class JournalPosition(Base):
    """How far a worker's journal has been stored: every message up to `sequence`."""

    __tablename__ = "journal_positions"

    worker: Mapped[str] = mapped_column(primary_key=True)
    sequence: Mapped[int]
    received: Mapped[int] = mapped_column(default=0, server_default="0")
    """The last message that the worker has said it received: what other processes know of its journal."""


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


class TooLate(Base):
    """Readings that arrived too long after they were measured: stored, counted and listed here, and not judged."""

    __tablename__ = "too_late"
    __table_args__ = (Index(None, "source", "last_ms"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    worker: Mapped[str]
    sequence: Mapped[int]
    """With the worker, the last message of the commit that brought them."""
    source: Mapped[str]
    first_ms: Mapped[int]
    last_ms: Mapped[int]
    rows: Mapped[int]
    arrived_ms: Mapped[int]
    """When the last of them arrived, by the clock of the installation."""


class Job(Base):
    """Long work that somebody asks for: a row that the role which can do it takes (what a change would alter)."""

    __tablename__ = "jobs"
    __table_args__ = (Index(None, "state", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    kind: Mapped[str]
    asked_ms: Mapped[int]
    """By the wall clock."""
    state: Mapped[str]
    """waiting, done or failed."""
    request: Mapped[dict[str, Any]]
    result: Mapped[dict[str, Any] | None]


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
    __table_args__ = (Index(None, "kind", "subject_id"), Index(None, "station_id", "kind"), Index(None, "open", "kind"))

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
    trace: Mapped[str] = mapped_column(default="")
    """The message (`worker/sequence`) whose storing led to the last change."""
    detail: Mapped[dict[str, Any]]
    """The other columns of the design's file of this kind."""


class FindingChange(Base):
    """What became of a finding that was issued (R8): what it said before and after, when and by what.

    That one which goes on has grown by another reading is not kept; that it was confirmed, has ended or was amended is.
    """

    __tablename__ = "finding_changes"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    finding_id: Mapped[int] = mapped_column(ForeignKey("findings.id"), index=True)
    change_seq: Mapped[int] = mapped_column(index=True)
    """Its number in the feed of changed findings."""
    at_ms: Mapped[int]
    """The moment for which judging held."""
    revision: Mapped[int]
    """The finding's, after it."""
    kind: Mapped[str]
    """confirmed, ended; or amended: extended, shortened, moved, corrected, merged, split, withdrawn."""
    before: Mapped[dict[str, Any]]
    after: Mapped[dict[str, Any] | None]
    """None where nothing goes on under its number."""
    cause: Mapped[dict[str, Any]]
    """`readings` as `[source, first_ms, last_ms, rows]`, `register` and `rules` by version, `into`, `took`, `parts`."""
    trace: Mapped[str] = mapped_column(default="")


class Cursor(Base):
    """A place in the feed of changed findings: `findings` is the last number given, a role's how far it has read."""

    __tablename__ = "cursors"

    name: Mapped[str] = mapped_column(primary_key=True)
    change_seq: Mapped[int]


class ComplianceDay(Base):
    """What a test point's local day comes to: its time and its valid readings, parted.

    `heatwatch.domain.compliance` says what each means. A cache of readings, register, rules and findings.
    """

    __tablename__ = "compliance_days"
    __table_args__ = (Index(None, "station_id", "day"),)

    day: Mapped[str] = mapped_column(primary_key=True)
    """Local, as in 2026-01-31."""
    building_id: Mapped[str] = mapped_column(primary_key=True)
    point_id: Mapped[str] = mapped_column(primary_key=True)
    station_id: Mapped[str] = mapped_column(primary_key=True)
    room: Mapped[str] = mapped_column(primary_key=True)
    room_class: Mapped[str] = mapped_column(primary_key=True)
    compliant_ms: Mapped[int]
    violating_ms: Mapped[int]
    unknown_ms: Mapped[int]
    sensor_fault_ms: Mapped[int]
    outage_ms: Mapped[int]
    not_asked_ms: Mapped[int]
    suspended_ms: Mapped[int]
    off_season_ms: Mapped[int]
    unlisted_ms: Mapped[int]
    below_target_ms: Mapped[int]
    outage_compliant_ms: Mapped[int]
    outage_violating_ms: Mapped[int]
    compliant_n: Mapped[int]
    violating_n: Mapped[int]
    below_target_n: Mapped[int]
    outage_n: Mapped[int]
    outage_violating_n: Mapped[int]
    outage_below_target_n: Mapped[int]
    sensor_fault_n: Mapped[int]
    sensor_fault_violating_n: Mapped[int]
    sensor_fault_below_target_n: Mapped[int]
    not_asked_n: Mapped[int]
    not_in_service_n: Mapped[int]


class ComplianceDue(Base):
    """A building's local day that has to be tallied anew."""

    __tablename__ = "compliance_due"

    day: Mapped[str] = mapped_column(primary_key=True)
    building_id: Mapped[str] = mapped_column(primary_key=True)


class ComplianceFault(Base):
    """From when to when a finding that keeps time out of the rates lasted when it was last looked at."""

    __tablename__ = "compliance_faults"

    finding_id: Mapped[int] = mapped_column(BigId, ForeignKey("findings.id"), primary_key=True)
    start_ms: Mapped[int]
    end_ms: Mapped[int | None]


class ComplianceProgress(Base):
    """How far it has been looked what has to be tallied anew."""

    __tablename__ = "compliance_progress"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    key: Mapped[str] = mapped_column(String(64))
    """Digest of register, rules and zone by which days were tallied."""
    arrival_seq: Mapped[int]
    change_seq: Mapped[int]
    as_of_ms: Mapped[int | None]
    """The moment for which the tallies hold; None until all that has arrived was looked at once."""
    first_day: Mapped[str | None]
    """The earliest day that is tallied."""


class ComplianceChange(Base):
    """When a building's local day was tallied last, by its number in the feed of tallies."""

    __tablename__ = "compliance_changes"

    day: Mapped[str] = mapped_column(primary_key=True)
    building_id: Mapped[str] = mapped_column(primary_key=True)
    change_seq: Mapped[int] = mapped_column(index=True)


class FeedProgress(Base):
    """How far has been written into InfluxDB what Grafana reads; moved on after InfluxDB took it."""

    __tablename__ = "feed_progress"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    generation: Mapped[int] = mapped_column(default=0)
    """Grows when everything is to be written anew: what was read before then moves nothing on."""
    schema_version: Mapped[int]
    """Of the points that were written."""
    change_seq: Mapped[int] = mapped_column(default=0)
    """In the feed of changed findings."""
    audit_seq: Mapped[int] = mapped_column(default=0)
    """In the audit trail, which tells of tickets, notices and reported stops."""
    days_seq: Mapped[int] = mapped_column(default=0)
    """In the feed of tallies."""
    arrival_seq: Mapped[int] = mapped_column(default=0)
    """In the feed of arrivals."""
    snapshot_ms: Mapped[int | None]
    """The minute of the last snapshot."""
    refused: Mapped[int] = mapped_column(default=0)
    """Lines that InfluxDB would not take."""
    hours_key: Mapped[str] = mapped_column(String(64), default="")
    """Digest of the rules and the zone by which hours were written; empty before the first."""
    register_version: Mapped[int] = mapped_column(default=0)
    """The register by which they were; 0 for none."""
    walk: Mapped[dict[str, Any] | None]
    """Days that are gone through once, the latest first: `day`, `first`, `points` (None: all), `before` (register)."""
    heard: Mapped[dict[str, Any]]
    """When each station's newest reading was measured [ms]."""


class FeedFinding(Base):
    """Where a finding stands in InfluxDB: a point's time and series cannot be changed."""

    __tablename__ = "feed_findings"

    finding_id: Mapped[int] = mapped_column(BigId, ForeignKey("findings.id"), primary_key=True)
    start_ms: Mapped[int]
    """Its start as first issued."""
    places: Mapped[list[Any]]
    """`[station_id, building_id]` of each series that it was told in, the present one last."""


class FeedDay(Base):
    """Which series a building's local day was told in: one that is empty by now has to be told so."""

    __tablename__ = "feed_days"

    day: Mapped[str] = mapped_column(primary_key=True)
    building_id: Mapped[str] = mapped_column(primary_key=True)
    series: Mapped[list[Any]]
    """`[station_id, room_class]` each."""


class TicketRow(Audited, Base):
    """One piece of work. `merged_into` names the ticket that took it over."""

    __tablename__ = "tickets"
    __table_args__ = (Index(None, "station_id", "state"),)
    bulky = frozenset({"evidence"})
    secret = frozenset({"contact"})

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    kind: Mapped[str]
    state: Mapped[str]
    """What the log of its events comes to: see `heatwatch.domain.life`."""
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
    responsible: Mapped[str] = mapped_column(default="")
    """Who has taken it (R14); empty while nobody has."""
    sent: Mapped[str] = mapped_column(default="")
    """Who was sent (R35); empty while nobody was."""
    subject: Mapped[str] = mapped_column(default="")
    """What was reported, in words, on a ticket that a person opened."""
    contact: Mapped[str] = mapped_column(default="")
    """How the user can be reached, on a ticket that a person opened."""
    finished_ms: Mapped[int | None]
    recovered_ms: Mapped[int | None]
    """Since when nothing that it rests on goes on any more; None while something does."""
    closed_ms: Mapped[int | None]


class TicketFinding(Base):
    """Which ticket a finding belongs to; the key makes a second ticket for the same cause impossible."""

    __tablename__ = "ticket_findings"

    finding_id: Mapped[int] = mapped_column(ForeignKey("findings.id"), primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"), index=True)
    state: Mapped[str]
    """open, ended or withdrawn, as the ticket's last event said."""


class TicketClock(Base):
    """A deadline on a ticket, with the rule that sets it: worked out from the ticket's log, kept to be looked up."""

    __tablename__ = "ticket_clocks"
    __table_args__ = (Index(None, "told", "due_ms"),)

    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"), primary_key=True)
    step: Mapped[str] = mapped_column(primary_key=True)
    rule: Mapped[str]
    source: Mapped[str]
    due_ms: Mapped[int]
    not_before_ms: Mapped[int | None]
    """Before this moment it cannot be done (R19)."""
    done_ms: Mapped[int | None]
    told: Mapped[bool] = mapped_column(default=False)
    """Nothing more is to be said of it: it was done, is off, or its passing undone has been said."""
    off: Mapped[bool] = mapped_column(default=False)
    """No longer asked for: the ticket has merged, was withdrawn, or another rule holds (R17)."""


class TicketEvent(Audited, Base):
    """What happened to a ticket, in order; never changed, never deleted."""

    __tablename__ = "ticket_events"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"), index=True)
    at_ms: Mapped[int]
    kind: Mapped[str]
    who: Mapped[str]
    detail: Mapped[dict[str, Any]]


class AlertRow(Base):
    """One episode of an alert that Grafana told of: what was told of it together, in whatever order it came."""

    __tablename__ = "alerts"
    __table_args__ = (
        UniqueConstraint("fingerprint", "starts_ms"),
        Index(None, "station_id", "starts_ms"),
        Index(None, "status", "ticket_id"),
        Index(None, "ticket_id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    fingerprint: Mapped[str]
    """Grafana's digest of its labels."""
    starts_ms: Mapped[int]
    ends_ms: Mapped[int | None]
    status: Mapped[str]
    """firing or resolved; once resolved it stays so."""
    fired: Mapped[bool]
    """Whether it was ever told as firing."""
    rule_uid: Mapped[str]
    name: Mapped[str]
    """Its label `alertname`."""
    kind: Mapped[str]
    """What it speaks of: see `heatwatch.domain.alerts`."""
    station_id: Mapped[str]
    """Empty where it is about none."""
    building_id: Mapped[str]
    matter: Mapped[str]
    """Alerts of the same matter have one technical ticket."""
    labels: Mapped[dict[str, Any]]
    summary: Mapped[str]
    first_ms: Mapped[int]
    """When it was first told, by the clock of the installation; the next one: when last."""
    last_ms: Mapped[int]
    seen: Mapped[int]
    """How often."""
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("tickets.id"))
    joined: Mapped[str]
    """How it came to its ticket: `ticket` or `finding` that its labels name, `place`, or `matter`; empty: none yet."""


class NoticeRow(Audited, Base):
    """A public notice (R12, R13): drafted, then published or dropped; what is published stays readable."""

    __tablename__ = "notices"
    __table_args__ = (Index(None, "state", "published_ms"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id"), index=True)
    kind: Mapped[str]
    """stop, restoration or correction."""
    state: Mapped[str]
    """draft, published, superseded or dropped."""
    station_id: Mapped[str]
    building_ids: Mapped[list[Any]]
    """The buildings concerned, in order."""
    stop_start_ms: Mapped[int]
    stop_end_ms: Mapped[int | None]
    title: Mapped[str]
    text: Mapped[str]
    drafted_ms: Mapped[int]
    published_ms: Mapped[int | None]
    published_by: Mapped[str] = mapped_column(default="")
    edited_by: Mapped[str] = mapped_column(default="")
    """Who has changed its words; they are a person's from then on, and no longer kept up to date by heatwatch."""
    due_ms: Mapped[int | None]
    """By when it has to be published; None where no rule says so."""
    replaces: Mapped[int | None] = mapped_column(ForeignKey("notices.id"))
    """The published notice that this one brings up to date."""


class DocumentEvent(Audited, Base):
    """What happened to something that was issued, after it was: the document itself is never altered (R8).

    So far the documents are notices; a published report is to be one more.
    """

    __tablename__ = "document_events"
    __table_args__ = (Index(None, "document", "document_id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    document: Mapped[str]
    """notice."""
    document_id: Mapped[int]
    at_ms: Mapped[int]
    kind: Mapped[str]
    """amended: what it rests on is said otherwise now; superseded: a later one stands in its place."""
    detail: Mapped[dict[str, Any]]


class ReportedStop(Audited, Base):
    """A stop of heat as reported (R11, R12, R32): evidence of an outage. Never deleted; one in error is withdrawn."""

    __tablename__ = "reported_stops"
    __table_args__ = (Index(None, "station_id", "start_ms"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    subject_kind: Mapped[str]
    """station, building, riser or room."""
    subject_id: Mapped[str]
    station_id: Mapped[str]
    """By the register in force when it was reported."""
    start_ms: Mapped[int]
    end_ms: Mapped[int | None]
    """None: not known yet."""
    planned: Mapped[bool]
    reason: Mapped[str] = mapped_column(default="")
    withdrawn: Mapped[bool] = mapped_column(default=False)
    reported_by: Mapped[str]
    reported_ms: Mapped[int]
    """By the clock of the installation."""
    revision: Mapped[int] = mapped_column(default=1)
    """Grows with every change of it."""


class OutboxRow(Base):
    """A notification on its way: put in with what it tells of, taken out when a channel has it (at least once)."""

    __tablename__ = "outbox"
    __table_args__ = (Index(None, "sent_ms", "next_try_ms"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    """What it tells and whom; the same is never put in twice."""
    kind: Mapped[str]
    recipient: Mapped[str]
    """`dispatch`, `company` or `station:{station_id}`."""
    text: Mapped[str]
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("tickets.id"))
    notice_id: Mapped[int | None] = mapped_column(ForeignKey("notices.id"))
    created_ms: Mapped[int]
    """By the clock of the installation."""
    trace: Mapped[str] = mapped_column(default="")
    sent_ms: Mapped[int | None]
    """By the wall clock, as are the next two."""
    next_try_ms: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[str] = mapped_column(default="")


class RulesInForce(Audited, Base):
    """A rules file as it was when heatwatch started with it; the newest is in force (R8)."""

    __tablename__ = "rules_in_force"
    bulky = frozenset({"text"})

    version: Mapped[int] = mapped_column(BigId, primary_key=True)
    since_ms: Mapped[int]
    """By the wall clock."""
    source: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64))
    from_ms: Mapped[int | None]
    """From when on they say something else than those before; None: of all time."""
    text: Mapped[str]


class UserRow(Audited, Base):
    """Someone who may sign in. Never deleted: what was done stays with a name."""

    __tablename__ = "users"
    secret = frozenset({"password_hash"})

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    display_name: Mapped[str]
    role: Mapped[str]
    stations: Mapped[list[Any]]
    """The stations whose matters are this user's; empty for all, where the role allows it."""
    password_hash: Mapped[str] = mapped_column(default="")
    """argon2; empty where one cannot sign in by password."""
    active: Mapped[bool] = mapped_column(default=True)
    created_ms: Mapped[int]


class ApiToken(Audited, Base):
    """A key for a machine that acts as a user."""

    __tablename__ = "api_tokens"
    secret = frozenset({"sha256"})

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    created_ms: Mapped[int]
    expires_ms: Mapped[int | None]
    revoked_ms: Mapped[int | None]


class SignedIn(Base):
    """A browser's session."""

    __tablename__ = "sessions"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Digest of the secret in the cookie."""
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    created_ms: Mapped[int]
    expires_ms: Mapped[int] = mapped_column(index=True)


class AuditEntry(Base):
    """One change, chained to the one before it (R8). Only ever added to."""

    __tablename__ = "audit"
    __table_args__ = (Index(None, "subject", "subject_id"),)

    seq: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    """1, 2, 3 … without a gap."""
    at_ms: Mapped[int]
    who: Mapped[str]
    action: Mapped[str]
    """created, changed or deleted."""
    subject: Mapped[str]
    """The table."""
    subject_id: Mapped[str]
    content: Mapped[dict[str, Any]]
    """The whole row when created, what changed when changed."""
    row_sha256: Mapped[str] = mapped_column(String(64))
    """Digest of the whole row after the change; empty when deleted."""
    before_sha256: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(String(64))
    """Digest of this entry and, through `before_sha256`, of all before it."""


class AuditHead(Base):
    """Where the audit trail ends."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    seq: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))


class TurnRow(Base):
    """Who last had a turn that is longer than a transaction: whoever finds another name knows that much may be new."""

    __tablename__ = "turns"

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
