"""The part of the interface that changes something: tickets, and the notices that follow from them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, TypeVar

from fastapi import APIRouter, HTTPException, Path, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from sqlalchemy.orm import Session

from api.access import Signed
from api.models import DocumentEventOut, Instant, InstantQuery, Page, PageQuery, TicketStory
from api.problems import answers
from api.routes import Backed, Backend, ticket_story
from heatwatch.domain.instants import to_ms
from heatwatch.domain.life import DOERS, Deed
from heatwatch.domain.notices import NoticeKind, NoticeState
from heatwatch.domain.people import Person
from heatwatch.domain.tickets import TicketKind
from heatwatch.errors import BadInput, Unavailable
from heatwatch.records.schema import NoticeRow, TicketRow
from heatwatch.usecases import notices as board
from heatwatch.usecases.documents import NOTICE, document_log
from heatwatch.usecases.tickets import Done, Report, act, open_reported

router = APIRouter(
    prefix="/api/v1",
    responses=answers(
        HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE
    ),
)
_NO_NUL = r"^[^\x00]*$"
EARLIEST, LATEST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""Between these lies every moment that can be meant."""


def _said(value: object) -> object:
    """Refuse a number, which pydantic would take for seconds."""
    if isinstance(value, int | float):
        msg = "must be an ISO 8601 instant with its zone, such as 2025-11-25T02:40:00Z"
        raise ValueError(msg)  # noqa: TRY004 - pydantic answers with what a ValueError says
    return value


Number = Annotated[int, Path(ge=1, lt=2**63, description="Its number.")]
Words = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000, pattern=_NO_NUL)]
Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=_NO_NUL)]
Moment = Annotated[InstantQuery, BeforeValidator(_said)]
DoneT = TypeVar("DoneT")


class DeedBody(BaseModel):
    """What someone has done about a ticket."""

    model_config = ConfigDict(extra="forbid")

    deed: Deed = Field(description="What was done.")
    text: Words = Field(default="", description="What is to be said of it.")
    person: Line = Field(default="", description="Who is sent (assign).")
    contact: Line = Field(default="", description="How the user can be reached (receipt).")
    step: Line = Field(default="", description="Which deadline an explanation speaks of.")
    agreed_at: Moment | None = Field(default=None, description="The time agreed with the user (contact).")
    expected_end: Moment | None = Field(default=None, description="When the heat is expected back (opinion).")
    last_event: int | None = Field(default=None, description="The last event seen: refused if somebody acted since.")

    def done(self, who: str, at_ms: int) -> Done:
        """Return the deed as the records take it.

        Raises
        ------
        HTTPException
            Unprocessable, where a moment is so far off that it cannot be meant.
        """
        said: dict[str, object] = {name: getattr(self, name) for name in ("text", "person", "contact", "step")}
        for name, moment in (("agreed_ms", self.agreed_at), ("expected_end_ms", self.expected_end)):
            if moment is not None and not EARLIEST <= moment < LATEST:
                raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, "a moment must lie between 1990 and 2200")
            said[name] = None if moment is None else to_ms(moment)
        detail = {name: value for name, value in said.items() if value not in ("", None)}
        return Done(self.deed, who, at_ms, detail, self.last_event)


class ReportBody(BaseModel):
    """A repair or a leak that someone reports."""

    model_config = ConfigDict(extra="forbid")

    kind: TicketKind = Field(description="repair or leak.")
    station_id: Line = Field(min_length=1, description="The station.")
    building_id: Line = Field(min_length=1, description="The building.")
    room_id: Line | None = Field(default=None, description="The room; null: the building as a whole.")
    subject: Words = Field(min_length=1, description="What is reported.")
    contact: Line = Field(default="", description="How who reports it can be reached.")

    def report(self, who: str, at_ms: int) -> Report:
        """Return the report as the records take it."""
        place = (self.station_id, self.building_id)
        return Report(self.kind, *place, who, at_ms, self.subject, self.room_id or None, self.contact)


class NoticeOut(BaseModel):
    """A public notice (R12, R13)."""

    id: int = Field(description="Its number.")
    kind: NoticeKind = Field(description="That the heat is off, that it is back, or that it was never off.")
    state: NoticeState = Field(description="Drafted, published, brought up to date by a later one, or dropped.")
    ticket_id: int = Field(description="The ticket of the stop.")
    station_id: str = Field(description="The station.")
    building_ids: list[str] = Field(description="The buildings concerned.")
    stop_start: Instant = Field(description="Since when the heat was off.")
    stop_end: Instant | None = Field(description="When it was back; null where it was not yet.")
    title: str = Field(description="Its title.")
    text: str = Field(description="Its text.")
    drafted_at: Instant = Field(description="When it was drafted.")
    due: Instant | None = Field(description="By when it has to be published (R12).")
    published_at: Instant | None = Field(description="When it was published.")
    published_by: str = Field(description="Who published it; `heatwatch` where nobody did by hand.")
    replaces: int | None = Field(description="The notice that it brings up to date.")
    events: list[DocumentEventOut] = Field(
        default=[], description="What became of it since: amended, superseded. Told of one notice, not in lists."
    )


class PublicNotice(BaseModel):
    """A notice as everyone may read it."""

    kind: NoticeKind = Field(description="That the heat is off, that it is back, or that it was never off.")
    station_id: str = Field(description="The station.")
    building_ids: list[str] = Field(description="The buildings concerned.")
    title: str = Field(description="Its title.")
    text: str = Field(description="Its text.")
    published_at: Instant = Field(description="When it was published.")
    superseded: bool = Field(description="Whether a later one has brought it up to date.")


class NoticeQuery(PageQuery):
    """Which notices."""

    state: NoticeState | None = Field(default=None, description="Only those that stand so.")


class WordsBody(BaseModel):
    """Other words for a draft."""

    model_config = ConfigDict(extra="forbid")

    title: Line = Field(min_length=1, description="Its title.")
    text: Words = Field(min_length=1, description="Its text.")


@router.post("/tickets", tags=["tickets"], status_code=HTTPStatus.CREATED, summary="Report a repair or a leak")
def report_ticket(backend: Backed, person: Signed, body: ReportBody) -> TicketStory:
    """Open a ticket for what someone reports (R16, R17); its clocks run from now."""
    number = reported(backend, person, body)
    with backend.records.read() as session:
        return ticket_story(session, number, person)


@router.post("/tickets/{ticket_id}/deeds", tags=["tickets"], summary="Say what was done about a ticket")
def do_deed(backend: Backed, person: Signed, ticket_id: Number, body: DeedBody) -> TicketStory:
    """Do what is legal now (R15-R19, R21); anything else is refused with what has to come before it."""
    acted(backend, person, ticket_id, body)
    with backend.records.read() as session:
        return ticket_story(session, ticket_id, person)


@router.get("/notices", tags=["notices"], summary="Notices")
def list_notices(backend: Backed, person: Signed, query: Annotated[NoticeQuery, Query()]) -> Page[NoticeOut]:
    """Return notices, the latest drafted first."""
    stations, state = person.stations, query.state
    with backend.records.read() as session:
        rows = board.notices(session, stations=stations, state=state, limit=query.limit, offset=query.offset)
        total = board.count_notices(session, stations=stations, state=state)
        return Page(items=[notice_out(row) for row in rows], total=total, limit=query.limit, offset=query.offset)


@router.get("/notices/{notice_id}", tags=["notices"], summary="One notice")
def get_notice(backend: Backed, person: Signed, notice_id: Number) -> NoticeOut:
    """Return a notice by its number."""
    with backend.records.read() as session:
        told = notice_out(notice_of(session, person, notice_id))
        log = document_log(session, NOTICE, notice_id)
        events = [DocumentEventOut(at=one.at_ms, kind=one.kind, detail=one.detail) for one in log]
        return told.model_copy(update={"events": events})


@router.patch("/notices/{notice_id}", tags=["notices"], summary="Word a draft otherwise")
def word_notice(backend: Backed, person: Signed, notice_id: Number, body: WordsBody) -> NoticeOut:
    """Change title and text of a draft; heatwatch no longer changes them then."""
    return worded(backend, person, notice_id, body)


@router.post("/notices/{notice_id}/publication", tags=["notices"], summary="Publish a draft")
def publish_notice(backend: Backed, person: Signed, notice_id: Number) -> NoticeOut:
    """Publish a draft now (R12)."""
    return published(backend, person, notice_id)


@router.get("/public/notices", tags=["notices"], summary="What was published")
def list_public_notices(backend: Backed, query: Annotated[PageQuery, Query()]) -> Page[PublicNotice]:
    """Return what was published, the latest first, for everyone to read (R12, R30)."""
    with backend.records.read() as session:
        rows = board.public_notices(session, limit=query.limit, offset=query.offset)
        items = [public_notice(row) for row in rows]
        return Page(items=items, total=board.count_public(session), limit=query.limit, offset=query.offset)


def reported(backend: Backend, person: Person, body: ReportBody) -> int:
    """Open a ticket in the name of a person and return its number.

    Raises
    ------
    HTTPException
        Not found where the station is not the person's, a conflict where the register does not have the place.
    """
    if not person.may_see(body.station_id):
        raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no station {body.station_id}")
    report = body.report(person.name, now_ms(backend))
    with backend.records.write() as session:
        return _legal(lambda: open_reported(session, report, backend.register(session), backend.standard)).row.id


def acted(backend: Backend, person: Person, ticket_id: int, body: DeedBody) -> None:
    """Do something about a ticket in the name of a person.

    Raises
    ------
    HTTPException
        Not found where the ticket is not the person's, forbidden where the deed is not, a conflict where it is not
        legal now.
    """
    if person.role not in DOERS[body.deed]:
        raise HTTPException(HTTPStatus.FORBIDDEN, f"{body.deed} is not for the role {person.role}")
    done = body.done(person.name, now_ms(backend))
    with backend.records.write() as session:
        row = session.get(TicketRow, ticket_id)
        if row is None or not person.may_see(row.station_id):
            raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no ticket {ticket_id}")
        _legal(lambda: act(session, ticket_id, done, backend.standard))


def worded(backend: Backend, person: Person, notice_id: int, body: WordsBody) -> NoticeOut:
    """Word a draft otherwise in the name of a person, and return it; raises what `_changed` does."""

    def edit(session: Session, at_ms: int) -> NoticeRow | None:
        return board.edit(session, notice_id, body.title, body.text, person.name, at_ms)

    return _changed(backend, person, notice_id, edit)


def published(backend: Backend, person: Person, notice_id: int) -> NoticeOut:
    """Publish a draft in the name of a person, and return it; raises what `_changed` does."""

    def publish(session: Session, at_ms: int) -> NoticeRow | None:
        return board.publish_by_hand(session, notice_id, person.name, at_ms, backend.standard)

    return _changed(backend, person, notice_id, publish)


def _changed(
    backend: Backend, person: Person, notice_id: int, change: Callable[[Session, int], NoticeRow | None]
) -> NoticeOut:
    """Change a notice in the name of a person and return it.

    Raises
    ------
    HTTPException
        Not found where it is not the person's, a conflict where it is no draft any more.
    """
    at_ms = now_ms(backend)
    with backend.records.write() as session:
        row = notice_of(session, person, notice_id)
        _legal(lambda: change(session, at_ms))
        return notice_out(row)


def notice_of(session: Session, person: Person, notice_id: int) -> NoticeRow:
    """Return a notice that a person may see.

    Raises
    ------
    HTTPException
        Not found, where there is none.
    """
    row = session.get(NoticeRow, notice_id)
    if row is None or not person.may_see(row.station_id):
        raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no notice {notice_id}")
    return row


def now_ms(backend: Backend) -> int:
    """Return the installation's clock [ms].

    Raises
    ------
    Unavailable
        If a replay has not begun.
    """
    now = backend.clock()
    if now is None:
        raise Unavailable("clock", "the replay has not begun")
    return now


def notice_out(row: NoticeRow) -> NoticeOut:
    """Return a notice as it is told."""
    return NoticeOut(
        id=row.id,
        kind=NoticeKind(row.kind),
        state=NoticeState(row.state),
        ticket_id=row.ticket_id,
        station_id=row.station_id,
        building_ids=row.building_ids,
        stop_start=row.stop_start_ms,
        stop_end=row.stop_end_ms,
        title=row.title,
        text=row.text,
        drafted_at=row.drafted_ms,
        due=row.due_ms,
        published_at=row.published_ms,
        published_by=row.published_by,
        replaces=row.replaces,
    )


def public_notice(row: NoticeRow) -> PublicNotice:
    """Return a notice as everyone may read it."""
    return PublicNotice(
        kind=NoticeKind(row.kind),
        station_id=row.station_id,
        building_ids=row.building_ids,
        title=row.title,
        text=row.text,
        published_at=row.published_ms or 0,
        superseded=row.state == NoticeState.SUPERSEDED,
    )


def _legal(do: Callable[[], DoneT]) -> DoneT:
    try:
        return do()
    except BadInput as error:
        raise HTTPException(HTTPStatus.CONFLICT, str(error)) from error
