"""The pages of tickets: the list of what is to be done, one ticket with its clocks and next steps, a new report."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from sqlalchemy.orm import Session

from api.access import Signed
from api.console.backing import Backed, Console
from api.console.render import page
from api.deeds import EARLIEST, LATEST, DeedBody, Line, Number, ReportBody, Words, acted, reported
from api.routes import Backed as Interface
from heatwatch.domain.findings import SubjectKind
from heatwatch.domain.life import DOERS, NEEDS, Deed
from heatwatch.domain.people import Person
from heatwatch.domain.tickets import REPORTED, TicketKind
from heatwatch.records.schema import FindingRow, NoticeRow, TicketClock, TicketEvent, TicketRow
from heatwatch.usecases.notices import notices
from heatwatch.usecases.register import current_register
from heatwatch.usecases.tickets import count_tickets, known, offered_for_withdrawal, story, worklist

SHOWN = 100
EVIDENCE_SHOWN = 24
_LATER = frozenset({Deed.COMMENT, Deed.EXPLAIN, Deed.FROM_ABOVE, Deed.LEAK, Deed.WITHDRAW, Deed.REOPEN})
"""Deeds that are possible at many times and are no next step; nor is what has been done once."""
_BESIDES: Mapping[Deed, tuple[str, ...]] = {
    Deed.TAKE: (),
    Deed.CONTACT: ("text", "agreed_at"),
    Deed.OPINION: ("text", "expected_end"),
    Deed.ON_SITE: ("text",),
    Deed.FROM_ABOVE: ("text",),
    Deed.LEAK: ("text",),
}
"""What a form asks for with a deed that needs less."""

router = APIRouter(include_in_schema=False)


def _nothing(value: object) -> object:
    """Take an empty field of a form for none."""
    return None if value == "" else value


class ListQuery(BaseModel):
    """Which tickets."""

    model_config = ConfigDict(extra="ignore")

    station: str = ""
    kind: Annotated[TicketKind | None, BeforeValidator(_nothing)] = None
    show: str = Field(default="at_work", pattern="^(at_work|done|all)$")
    start: int = Field(default=0, ge=0, le=2**31)

    def address(self, start: int) -> str:
        """Return where another part of the list is."""
        asked = {"station": self.station, "kind": self.kind or "", "show": self.show, "start": start or ""}
        return f"/tickets?{urlencode({name: value for name, value in asked.items() if value})}"


class DeedForm(BaseModel):
    """A deed as a form sends it; its moments are local."""

    model_config = ConfigDict(extra="forbid")

    deed: Deed
    text: Words = ""
    person: Line = ""
    contact: Line = ""
    step: Line = ""
    agreed_at: str = Field(default="", max_length=40)
    expected_end: str = Field(default="", max_length=40)
    last_event: int | None = None

    def body(self, console: Console) -> DeedBody:
        """Return the deed as the interface takes it.

        Raises
        ------
        HTTPException
            A conflict, where a moment is none, or so far off that it cannot be meant.
        """
        said = self.model_dump(exclude={"agreed_at", "expected_end"})
        moments = {name: _moment(getattr(self, name), console) for name in ("agreed_at", "expected_end")}
        return DeedBody(**said, **moments)


def _moment(text: str, console: Console) -> str | None:
    if not text:
        return None
    try:
        local = datetime.fromisoformat(text)
    except ValueError as error:
        raise HTTPException(HTTPStatus.CONFLICT, f"{text!r} is no moment") from error
    if local.tzinfo is not None or not EARLIEST.year <= local.year < LATEST.year:
        raise HTTPException(HTTPStatus.CONFLICT, f"{text!r} is no local time between 1990 and 2200")
    return local.replace(tzinfo=console.zone).astimezone(UTC).isoformat()


@dataclass(frozen=True, slots=True)
class Step:
    """A deed as the page offers it: which fields its form has, and which of them must be filled."""

    deed: Deed
    fields: tuple[str, ...]
    needed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """One ticket as its page shows it."""

    ticket: TicketRow
    clocks: Sequence[TicketClock]
    events: Sequence[TicketEvent]
    findings: Sequence[FindingRow]
    notices: Sequence[NoticeRow]
    steps: Sequence[Step]
    more: Sequence[Step]
    now_ms: int
    rooms: Mapping[str, str]
    may_call: bool
    groundless: bool
    """Whether nothing that it rests on still holds, and it is offered for withdrawal."""

    @property
    def last_event(self) -> int:
        """The last line of the log that is shown."""
        return self.events[-1].id if self.events else 0


@router.get("/tickets")
def tickets_page(request: Request, console: Backed, person: Signed, query: Annotated[ListQuery, Query()]) -> Response:
    """Show the list."""
    return page(request, "tickets.html", **_list(console, person, query))


@router.get("/live/tickets.html")
def tickets_part(request: Request, console: Backed, person: Signed, query: Annotated[ListQuery, Query()]) -> Response:
    """Return the part of the list that follows the records."""
    return page(request, "tickets_part.html", **_list(console, person, query))


@router.get("/tickets/new")
def new_ticket_page(request: Request, console: Backed, person: Signed) -> Response:
    """Show the form of a report."""
    return page(request, "ticket_new.html", **_places(console, person), wrong="", given={})


@router.post("/tickets/new")
def report(
    request: Request, console: Backed, backend: Interface, person: Signed, form: Annotated[ReportBody, Form()]
) -> Response:
    """Open a ticket for what someone reports, and lead to it."""
    try:
        number = reported(backend, person, form)
    except HTTPException as error:
        if error.status_code != HTTPStatus.CONFLICT:
            raise
        places = _places(console, person)
        return page(request, "ticket_new.html", status=error.status_code, **places, wrong=error.detail, given=form)
    return RedirectResponse(f"/tickets/{number}", HTTPStatus.SEE_OTHER)


@router.get("/tickets/{ticket_id}")
def ticket_page(request: Request, console: Backed, person: Signed, ticket_id: Number) -> Response:
    """Show a ticket."""
    return page(request, "ticket.html", sheet=_sheet(console, person, ticket_id), wrong="", given=None)


@router.get("/live/tickets/{ticket_id}")
def ticket_part(request: Request, console: Backed, person: Signed, ticket_id: Number) -> Response:
    """Return the part of a ticket's page that follows the records."""
    return page(request, "ticket_part.html", sheet=_sheet(console, person, ticket_id))


@router.post("/tickets/{ticket_id}")
def do(
    request: Request,
    console: Backed,
    backend: Interface,
    person: Signed,
    ticket_id: Number,
    form: Annotated[DeedForm, Form()],
) -> Response:
    """Do something about a ticket, and show it again."""
    try:
        acted(backend, person, ticket_id, form.body(console))
    except HTTPException as error:
        if error.status_code != HTTPStatus.CONFLICT:
            raise
        sheet = _sheet(console, person, ticket_id)
        return page(request, "ticket.html", status=error.status_code, sheet=sheet, wrong=error.detail, given=form)
    return RedirectResponse(f"/tickets/{ticket_id}", HTTPStatus.SEE_OTHER)


def _list(console: Console, person: Person, query: ListQuery) -> dict[str, Any]:
    at_work = {"at_work": True, "done": False, "all": None}[query.show]
    with console.records.read() as session:
        mine = _stations(session, person)
        whose: dict[str, Any] = {"stations": person.stations, "at_work": at_work, "kind": query.kind}
        whose["station"] = query.station or None
        rows = worklist(session, limit=SHOWN, offset=query.start, **whose)
        total = count_tickets(session, **whose)
    return {
        "rows": rows,
        "total": total,
        "query": query,
        "shown": SHOWN,
        "choice": mine,
        "kinds": list(TicketKind),
        "may_report": _may_report(person),
        "moment": console.clock() or 0,
    }


def _sheet(console: Console, person: Person, ticket_id: int) -> Sheet:
    now_ms = console.clock() or 0
    with console.records.read() as session:
        told = story(session, ticket_id)
        if told is None or not person.may_see(told.ticket.station_id):
            raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no ticket {ticket_id}")
        stands = known(session, told.ticket, console.standard)
        steps = [_step(deed) for deed in stands.deeds(now_ms) if person.role in DOERS[deed]]
        findings = [row for row in told.findings if person.may_see(row.station_id)]
        rows = notices(session, ticket_id=ticket_id)
        rooms = _rooms_of(session, findings)
    besides = _LATER.union(stands.now.done, {Deed.TAKE} if told.ticket.responsible else ())
    later = [step for step in steps if step.deed in besides]
    nearer = [step for step in steps if step.deed not in besides]
    may_call = person.role in DOERS[Deed.CONTACT]
    offered = offered_for_withdrawal(told.ticket, groundless=stands.facts.groundless)
    return Sheet(told.ticket, told.clocks, told.events, findings, rows, nearer, later, now_ms, rooms, may_call, offered)


def _step(deed: Deed) -> Step:
    needed = NEEDS.get(deed, ())
    fields = (*needed, *(name for name in _BESIDES.get(deed, ()) if name not in needed))
    return Step(deed, fields, needed)


def _rooms_of(session: Session, findings: Collection[FindingRow]) -> dict[str, str]:
    """Return the room of each point that a ticket's findings speak of."""
    points = {row.subject_id for row in findings if row.subject_kind == SubjectKind.POINT}
    register = current_register(session) if points else None
    rows = () if register is None else register[1].rows
    return {row.point_id: row.room for row in rows if row.point_id in points}


def _stations(session: Session, person: Person) -> list[str]:
    register = current_register(session)
    named = {row.station_id for row in register[1].rows} if register is not None else set()
    return sorted(station for station in named if person.may_see(station))


def _places(console: Console, person: Person) -> dict[str, Any]:
    with console.records.read() as session:
        register = current_register(session)
    rows = () if register is None else register[1].rows
    buildings = sorted({(row.station_id, row.building_id) for row in rows if person.may_see(row.station_id)})
    if not _may_report(person):
        raise HTTPException(HTTPStatus.FORBIDDEN, "reports are taken by the dispatch office and the stations")
    return {"buildings": buildings, "kinds": sorted(REPORTED)}


def _may_report(person: Person) -> bool:
    return person.role in DOERS[Deed.TAKE]
