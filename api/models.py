"""What the REST interface says and understands. Instants are ISO 8601 in UTC with milliseconds and Z."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from heatwatch.domain.amendments import Revision
from heatwatch.domain.compliance import By, Per
from heatwatch.domain.findings import FindingKind, SubjectKind
from heatwatch.domain.instants import iso, to_ms
from heatwatch.domain.temperature import RoomClass
from heatwatch.domain.tickets import Scope, TicketKind, TicketState

_AN_INSTANT = {"type": "string", "format": "date-time", "examples": ["2025-11-25T02:40:00.000Z"]}


def _iso_text(value: object) -> object:
    """Refuse what pydantic would take for a number of seconds."""
    if isinstance(value, str) and "T" not in value.upper():
        msg = "must be an ISO 8601 instant with its zone, such as 2025-11-25T02:40:00Z"
        raise ValueError(msg)
    return value


def _in_ms(value: object) -> object:
    return to_ms(value) if isinstance(value, datetime) else value


Instant = Annotated[int, BeforeValidator(_in_ms), PlainSerializer(iso, return_type=str), WithJsonSchema(_AN_INSTANT)]
"""Whole milliseconds inside, ISO 8601 outside."""
InstantQuery = Annotated[AwareDatetime, BeforeValidator(_iso_text)]

ItemT = TypeVar("ItemT")


class Page(BaseModel, Generic[ItemT]):
    """A part of a list."""

    items: list[ItemT] = Field(description="The entries from `offset` on, at most `limit`.")
    total: int = Field(description="How many entries the whole list has.")
    limit: int = Field(description="As asked.")
    offset: int = Field(description="As asked.")


class PageQuery(BaseModel):
    """Which part of a list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=100, ge=1, le=1000, description="How many entries at most.")
    offset: int = Field(default=0, ge=0, le=2**31, description="How many entries to pass over.")


class PointOut(BaseModel):
    """What holds for one test point during one validity (R6)."""

    model_config = ConfigDict(from_attributes=True)

    point_id: str = Field(description="The test point.")
    building_id: str = Field(description="The building that it is in.")
    station_id: str = Field(description="The heating station that serves the building.")
    room_class: RoomClass = Field(description="Which rules hold for the room (R1-R4).")
    room: str = Field(description="The room; the point itself where none is named.")
    valid_from: Instant | None = Field(description="From when this holds, included; null: since ever.")
    valid_to: Instant | None = Field(description="Until when this holds, excluded; null: without end.")
    device_id: str | None = Field(description="The thermometer that measures here.")
    contract: str | None = Field(description="The contract in the rules file that raises what is asked.")
    suspended_from: Instant | None = Field(description="From when the room's heating is suspended (R5), included.")
    suspended_to: Instant | None = Field(description="Until when it is suspended, excluded.")
    interval_s: int | None = Field(description="How often it was told to measure [s].")
    offset_k: float = Field(description="Calibration, added to what the device says when it is judged [K].")
    riser: str | None = Field(description="The riser that feeds the room.")
    loop: str | None = Field(description="The loop that feeds the room.")
    floor: str | None = Field(description="The floor.")
    heating_hours: list[tuple[int, int]] | None = Field(
        description="Local minutes of the day in which the room is heated by agreement; null: all."
    )


class PointQuery(PageQuery):
    """Which points."""

    building: str | None = Field(default=None, description="Only points of this building.")
    station: str | None = Field(default=None, description="Only points of this station.")


class ReadingOut(BaseModel):
    """One reading as it was kept (R8)."""

    time: Instant = Field(description="When it was measured.")
    source: str = Field(description="The device that measured, or the point where no device was named.")
    temperature_c: float | None = Field(description="As measured, without calibration [degC]; null: no number.")


class ReadingQuery(PageQuery):
    """Which readings."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    point_id: str = Field(min_length=1, description="The test point.")
    start: InstantQuery | None = Field(default=None, alias="from", description="From when, included.")
    end: InstantQuery | None = Field(default=None, alias="to", description="Until when, excluded.")
    limit: int = Field(default=1000, ge=1, le=100_000, description="How many readings at most.")

    @model_validator(mode="after")
    def _in_order(self) -> ReadingQuery:
        if self.start is not None and self.end is not None and self.end <= self.start:
            msg = "'to' must be after 'from'"
            raise ValueError(msg)
        return self


class FindingOut(BaseModel):
    """What judging found, under its number."""

    id: int = Field(description="Its number, which it keeps while it is amended.")
    kind: FindingKind = Field(description="Cold spell, heat outage, data outage or sensor fault.")
    subject_kind: SubjectKind = Field(description="What it speaks of.")
    subject_id: str = Field(description="Which point, building or station it speaks of.")
    building_id: str = Field(description="The building; empty where it speaks of a station.")
    station_id: str = Field(description="The station.")
    start: Instant = Field(description="When it began.")
    end: Instant | None = Field(description="When it ended; null while it is open.")
    open: bool = Field(description="Whether it goes on.")
    confirmed_at: Instant | None = Field(description="When a cold spell had become ticket-worthy.")
    withdrawn: bool = Field(description="Whether later readings or evidence have shown that it was none.")
    revision: int = Field(description="1 as issued; grows with each amendment.")
    issued_at: Instant = Field(description="The moment as of which it was first found.")
    changed_at: Instant = Field(description="The moment as of which it was last amended.")
    detail: dict[str, Any] = Field(
        description="The other columns of its kind's file: durations in hours (`_h`), temperatures in degC (`_c`), "
        "deficits in kelvin hours (`_kh`)."
    )


class ChangeOut(BaseModel):
    """What became of a finding that was issued; that it has merely grown by another reading is not told."""

    id: int = Field(description="Its number.")
    at: Instant = Field(description="The moment for which judging held.")
    revision: int = Field(description="The finding's revision after it.")
    kind: Revision = Field(description="confirmed and ended are its ordinary course; all else takes something back.")
    amends: bool = Field(description="Whether something that had been said is said otherwise now.")
    before: dict[str, Any] = Field(description="What it said: `start_ms`, `end_ms`, `open`, `confirmed_ms`, `detail`.")
    after: dict[str, Any] | None = Field(description="What it says; null where nothing goes on under its number.")
    cause: dict[str, Any] = Field(
        description="`readings` as [source, first, last, rows] with times in ms, `register` and `rules` by version; "
        "`into`, `took` and `parts` name other findings."
    )
    trace: str = Field(description="The message whose storing led to it.")


class TooLateOut(BaseModel):
    """Readings of a source that arrived in one commit, too late to be judged."""

    id: int = Field(description="Its number.")
    source: str = Field(description="The device, or the point where no device is named.")
    first: Instant = Field(description="When the first of them was measured.")
    last: Instant = Field(description="When the last of them was measured.")
    rows: int = Field(description="How many.")
    arrived_at: Instant = Field(description="When the last of them arrived.")
    trace: str = Field(description="The message with which they were stored.")


class TooLatePage(Page[TooLateOut]):
    """What arrived too late, and how much that is in all."""

    readings: int = Field(description="How many readings there are in all.")


class DocumentEventOut(BaseModel):
    """What happened to a document after it was issued."""

    at: Instant = Field(description="When.")
    kind: str = Field(description="amended: what it rests on is said otherwise now; superseded: `by` replaces it.")
    detail: dict[str, Any] = Field(description="What belongs to it: `by`, or the amendment of a finding.")


class FindingQuery(PageQuery):
    """Which findings."""

    kind: FindingKind | None = Field(default=None, description="Only this kind.")
    open: bool | None = Field(default=None, description="Only those that go on, or only those that have ended.")
    confirmed: bool | None = Field(default=None, description="Only confirmed ones, or only others.")
    building: str | None = Field(default=None, description="Only those of this building.")
    station: str | None = Field(default=None, description="Only those of this station.")
    subject: str | None = Field(default=None, description="Only those of this point, building or station.")
    withdrawn: bool = Field(default=False, description="The withdrawn ones instead of those that stand.")


class ComplianceOut(BaseModel):
    """The compliance rates (室温合格率) of a room, building, station or of all, over a day, month or season.

    Rates are shares [%], cut off after two decimals; null where nothing is known. Only `readings_rated` and
    `compliant_h` + `violating_h` are rated; what else there is stands beside them.
    """

    period: str = Field(description="The local day, the month, or the season by the years of its winter: 2025-26.")
    station_id: str | None = Field(default=None, description="The station; null for all that one may see.")
    building_id: str | None = Field(default=None, description="The building; null for a whole station or all.")
    room: str | None = Field(default=None, description="The room, where rates are asked of rooms.")
    readings_pct: float | None = Field(description="Readings that violate nothing, of `readings_rated`.")
    readings_compliant: int = Field(description="Readings that violate nothing; those below the target are among them.")
    readings_rated: int = Field(
        description="Valid readings in service, in season, trusted, of which something is asked."
    )
    hours_pct: float | None = Field(description="`compliant_h` of `compliant_h` + `violating_h`.")
    compliant_h: float = Field(description="Time over which a reading holds that violates nothing [h].")
    violating_h: float = Field(description="Time over which a violating reading holds (R1-R4) [h].")
    rooms_pct: float | None = Field(description="`rooms_compliant` of `rooms_rated`.")
    rooms_compliant: int = Field(description="Rooms of whose known time enough complies.")
    rooms_rated: int = Field(description="Rooms of which enough is known.")
    rooms: int = Field(description="Rooms with any time to be rated.")
    readings_below_target: int = Field(description="Compliant readings between minimum and target (R2).")
    below_target_h: float = Field(description="The time of these, part of `compliant_h` [h].")
    unknown_h: float = Field(description="Time of which nothing is known: silence, gaps [h].")
    sensor_fault_h: float = Field(description="Time in which a faulty thermometer says nothing of the room [h].")
    readings_sensor_fault: int = Field(description="Readings of faulty thermometers.")
    outage_h: float = Field(description="Time within a heat outage of the building or station (R1) [h].")
    outage_violating_h: float = Field(description="Of that, the time of violating readings [h].")
    readings_outage: int = Field(description="Readings within a heat outage.")
    readings_outage_violating: int = Field(description="Of these, the violating ones.")
    not_asked_h: float = Field(description="Time for which nothing is asked of the room (R4) [h].")
    not_in_service_h: float = Field(description="Time in which the room is suspended, or in no register (R5) [h].")
    off_season_h: float = Field(description="Time out of the heating season (R5) [h].")


class CompliancePage(Page[ComplianceOut]):
    """Rates, and up to when they hold."""

    as_of: Instant | None = Field(description="The moment up to which time is rated; null: not yet.")
    due: int = Field(description="Days of buildings that have still to be brought up to that.")


class ComplianceQuery(PageQuery):
    """Of what, over what time."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    by: By = Field(default=By.DAY, description="Over what time.")
    per: Per = Field(default=Per.COMPANY, description="Of what; company: of all stations that one may see.")
    first_day: date | None = Field(default=None, alias="from", description="The first local day.")
    last_day: date | None = Field(default=None, alias="to", description="The last local day.")
    building: str | None = Field(default=None, description="Only this building.")
    station: str | None = Field(default=None, description="Only this station.")

    @model_validator(mode="after")
    def _in_order(self) -> ComplianceQuery:
        if self.first_day is not None and self.last_day is not None and self.last_day < self.first_day:
            msg = "'to' must not be before 'from'"
            raise ValueError(msg)
        return self


class TicketOut(BaseModel):
    """One piece of work."""

    id: int = Field(description="Its number.")
    kind: TicketKind = Field(description="What it is about.")
    label: str = Field(description="The same in Chinese.")
    state: TicketState = Field(description="Where it stands; a merged one is done within `merged_into`.")
    emergency: bool = Field(description="Whether work starts at once (R11).")
    scope: Scope = Field(description="Whether it is about a room, a building or a station.")
    station_id: str = Field(description="The station.")
    building_id: str | None = Field(description="The building; null on a station's ticket.")
    room_id: str | None = Field(description="The room, on a room's or a point's ticket.")
    point_id: str | None = Field(description="The test point, on a room's or a point's ticket.")
    rule: str = Field(description="The rules that are violated, joined by +.")
    opened_at: Instant = Field(description="When the company could know: its clocks start here.")
    cause_start: Instant = Field(description="When the cause began.")
    merged_into: int | None = Field(description="The ticket that took it over.")
    responsible: str = Field(description="Who has taken it (R14); empty while nobody has.")
    sent: str = Field(description="Who was sent (R35); empty while nobody was.")
    subject: str = Field(description="What was reported, on a ticket that a person opened.")
    finished_at: Instant | None = Field(description="When its repair was finished (R18).")
    recovered_at: Instant | None = Field(description="Since when nothing that it rests on goes on any more.")
    closed_at: Instant | None = Field(description="When it was followed up, and so closed (R19).")


class TicketQuery(PageQuery):
    """Which tickets."""

    kind: TicketKind | None = Field(default=None, description="Only this kind.")
    state: TicketState | None = Field(default=None, description="Only those in this state.")
    at_work: bool | None = Field(default=None, description="Only those with something still to be done, or others.")
    emergency: bool | None = Field(default=None, description="Only emergencies, or only others.")
    building: str | None = Field(default=None, description="Only those of this building.")
    station: str | None = Field(default=None, description="Only those of this station.")


class ClockOut(BaseModel):
    """A deadline."""

    step: str = Field(description="What must have been done.")
    rule: str = Field(description="The rule that sets it.")
    source: str = Field(description="The section of the company's rules that it comes from.")
    due: Instant = Field(description="By when.")
    not_before: Instant | None = Field(description="Before this moment it cannot be done (R19).")
    done: Instant | None = Field(description="When it was done; null while it is not.")
    off: bool = Field(description="No longer asked for.")


class EventOut(BaseModel):
    """Something that happened to a ticket."""

    id: int = Field(description="Its number: what a deed names as `last_event`.")
    at: Instant = Field(description="When.")
    kind: str = Field(description="What.")
    who: str = Field(description="Who did it; heatwatch itself where nobody did by hand.")
    detail: dict[str, Any] = Field(description="What belongs to it.")


class EvidenceOut(BaseModel):
    """A reading that a ticket rests on."""

    point_id: str = Field(description="The test point.")
    time: Instant = Field(description="When it was measured.")
    temperature_c: float = Field(description="As measured, without calibration [degC].")


class TicketStory(TicketOut):
    """A ticket with all that belongs to it."""

    contact: str = Field(description="How the user can be reached.")
    clocks: list[ClockOut] = Field(description="Its deadlines, the next first.")
    events: list[EventOut] = Field(description="What happened to it, in order.")
    findings: list[FindingOut] = Field(description="The findings that it rests on, withdrawn ones too.")
    offered_for_withdrawal: bool = Field(
        description="Whether nothing that it rests on still holds: somebody has to withdraw it or go on with it."
    )
    evidence: list[EvidenceOut] = Field(description="The first violating readings up to its confirmation.")


class QuarantineOut(BaseModel):
    """A message, or a reading in it, that could not be used; kept whole."""

    id: int = Field(description="Its number.")
    worker: str = Field(description="The ingest worker that received it.")
    sequence: int = Field(description="The message's place in that worker's journal.")
    position: int = Field(description="The reading's place in the message; -1: the whole message.")
    topic: str = Field(description="The MQTT topic.")
    payload_base64: str = Field(description="The payload, every byte, as base64.")
    payload_text: str | None = Field(description="The payload as text, where it is UTF-8.")
    reason: str = Field(description="Why it could not be used.")
    arrived_at: Instant = Field(description="When it was received.")


class PeerOut(BaseModel):
    """Something that heatwatch depends on."""

    answers: bool = Field(description="Whether it answers.")
    detail: str = Field(description="What it said otherwise; empty where it answers.")


class JournalOut(BaseModel):
    """How far a worker's messages have come from its journal to the store."""

    worker: str = Field(description="The ingest worker.")
    received: int = Field(description="The last message in its journal.")
    stored: int = Field(description="The last message that has been dealt with.")
    waiting: int = Field(description="Messages in between.")


class ProgressOut(BaseModel):
    """How far a role has come."""

    role: str = Field(description="analytics, dispatch …")
    arrival_seq: int = Field(description="The last entry of the feed of arrivals that it has done.")
    behind: int = Field(description="How many entries of the feed it has still to do.")
    as_of: Instant | None = Field(description="The moment for which its work holds.")
    tick: dict[str, Any] | None = Field(description="The last tick of a replay's clock that it has done.")


class Health(BaseModel):
    """Whether this heatwatch works, and how far each part has come."""

    status: Literal["ok", "failing"] = Field(description="ok where records and store answer.")
    version: str = Field(description="heatwatch's version.")
    clock: Instant | None = Field(description="This installation's clock; null before a replay has begun.")
    records: PeerOut = Field(description="The records: register, findings, tickets.")
    store: PeerOut = Field(description="The reading store.")
    journals: list[JournalOut] = Field(description="What was received and is not yet stored, per ingest worker.")
    progress: list[ProgressOut] = Field(description="How far each role has come.")
    too_late: int | None = Field(
        description="Readings that arrived too long after they were measured: stored and listed, not judged. "
        "null where `delivery` is."
    )
    delivery: dict[str, Any] | None = Field(
        description="The delivery identity: messages received = decoded + no reading in it + quarantined + waiting; "
        "readings decoded = stored + duplicate + conflict + quarantined + waiting. "
        "null to who is confined to stations, and while something does not answer."
    )
