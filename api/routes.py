"""The routes of the REST interface. They look and tell; each reads within one short session."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from math import isfinite
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.access import Signed
from api.models import (
    ChangeOut,
    ClockOut,
    ComplianceOut,
    CompliancePage,
    ComplianceQuery,
    EventOut,
    EvidenceOut,
    FindingOut,
    FindingQuery,
    Health,
    ItemT,
    JournalOut,
    Page,
    PageQuery,
    PeerOut,
    PointOut,
    PointQuery,
    ProgressOut,
    QuarantineOut,
    ReadingOut,
    ReadingQuery,
    TicketOut,
    TicketQuery,
    TicketStory,
    TooLateOut,
    TooLatePage,
)
from api.problems import answers
from heatwatch.domain.amendments import ORDINARY, Revision
from heatwatch.domain.compliance import columns_of
from heatwatch.domain.findings import FindingKind, SubjectKind
from heatwatch.domain.instants import to_ms
from heatwatch.domain.life import DOERS, Deed
from heatwatch.domain.people import Person
from heatwatch.domain.register import Register
from heatwatch.domain.temperature import Standard
from heatwatch.domain.tickets import LABELS, TicketKind
from heatwatch.domain.traces import trace_of
from heatwatch.errors import Unavailable
from heatwatch.records.database import Records
from heatwatch.records.progress import progress
from heatwatch.records.schema import (
    Arrival,
    FindingChange,
    FindingRow,
    JournalPosition,
    Progress,
    Quarantine,
    TicketClock,
    TicketEvent,
    TicketRow,
    TooLate,
)
from heatwatch.stores.readings import ReadingColumns, ReadingStore
from heatwatch.usecases.compliance import Asked, compliance, days_due, tallied_up_to
from heatwatch.usecases.delivery import count_too_late, too_late
from heatwatch.usecases.findings import count_findings, findings, revisions, shown_detail
from heatwatch.usecases.register import RegisterInForce, rows_of
from heatwatch.usecases.room import places_of, sources_seen
from heatwatch.usecases.tickets import Story, count_tickets, held, offered_for_withdrawal, story, tickets


@dataclass(frozen=True)
class Backend:
    """What the routes tell about."""

    records: Records
    store: ReadingStore
    journal_sequences: Callable[[], Mapping[str, int]]
    clock: Callable[[], int | None]
    version: str
    delivery: Callable[[], Mapping[str, Any]]
    findings_csv: Callable[[FindingKind, Collection[str] | None], bytes]
    standard: Standard
    register: RegisterInForce = field(default_factory=RegisterInForce)

    def register_in_force(self) -> Register | None:
        """Return the register in force, None before the first import."""
        with self.records.read() as session:
            return self.register(session)


def _backend(request: Request) -> Backend:
    backend: Backend = request.app.state.backend
    return backend


Backed = Annotated[Backend, Depends(_backend)]
Number = Annotated[int, Path(ge=1, lt=2**63, description="Its number.")]

router = APIRouter(prefix="/api/v1", responses=answers(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))


@router.get("/points", tags=["register"], summary="The register of test points in force")
def list_points(backend: Backed, person: Signed, query: Annotated[PointQuery, Query()]) -> Page[PointOut]:
    """Return every row of the register that was imported last (R6), ordered by point and start of validity."""
    register = backend.register_in_force()
    rows = [
        row
        for row in (register.rows if register is not None else ())
        if query.building in (None, row.building_id)
        and query.station in (None, row.station_id)
        and person.may_see(row.station_id)
    ]
    shown = rows[query.offset : query.offset + query.limit]
    return _page([PointOut.model_validate(row) for row in shown], len(rows), query)


@router.get(
    "/readings",
    tags=["readings"],
    summary="The readings of a test point",
    responses=answers(HTTPStatus.NOT_FOUND),
)
def list_readings(backend: Backed, person: Signed, query: Annotated[ReadingQuery, Query()]) -> Page[ReadingOut]:
    """Return readings as they were kept, whatever device measured them, the earliest first.

    Who is confined to stations gets those of the time for which the register lists the point there.
    """
    register = backend.register_in_force()
    listed = register is None or any(rows_of(register, query.point_id))
    sources = sources_seen(register, query.point_id, person.stations) if listed else []
    if not sources:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"the register lists no point {query.point_id}")
    rows = backend.store.read(sorted({source for source, _, _ in sources}), _ms(query.start), _ms(query.end))
    places = places_of(rows, sources)
    shown = places[query.offset : query.offset + query.limit].tolist()
    return _page([_reading(rows, place) for place in shown], len(places), query)


@router.get("/findings", tags=["findings"], summary="Findings")
def list_findings(backend: Backed, person: Signed, query: Annotated[FindingQuery, Query()]) -> Page[FindingOut]:
    """Return cold spells, heat outages, data outages and sensor faults; the latest start first."""
    which = query.model_dump(exclude={"limit", "offset"}) | {"stations": person.stations}
    with backend.records.read() as session:
        rows, as_of_ms = findings(session, limit=query.limit, offset=query.offset, **which), _as_of(session)
        return _page([_finding(row, as_of_ms) for row in rows], count_findings(session, **which), query)


@router.get(
    "/findings/{kind}.csv",
    tags=["findings"],
    summary="All findings of a kind as a file",
    response_class=Response,
    responses={200: {"description": "The file", "content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def get_findings_file(
    backend: Backed, person: Signed, kind: Annotated[FindingKind, Path(description="Which kind.")]
) -> Response:
    """Return the file that `heatwatch judge` writes: the same columns, decimals and order."""
    disposition = f'attachment; filename="{kind.file_stem}.csv"'
    headers = {"Content-Disposition": disposition}
    return Response(backend.findings_csv(kind, person.stations), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/findings/{finding_id}", tags=["findings"], summary="One finding", responses=answers(HTTPStatus.NOT_FOUND))
def get_finding(backend: Backed, person: Signed, finding_id: Number) -> FindingOut:
    """Return a finding by its number; a withdrawn one too."""
    with backend.records.read() as session:
        row = session.get(FindingRow, finding_id)
        if row is None or not person.may_see(row.station_id):
            raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no finding {finding_id}")
        return _finding(row, _as_of(session))


@router.get(
    "/findings/{finding_id}/changes",
    tags=["findings"],
    summary="What became of a finding",
    responses=answers(HTTPStatus.NOT_FOUND),
)
def list_changes(
    backend: Backed, person: Signed, finding_id: Number, query: Annotated[PageQuery, Query()]
) -> Page[ChangeOut]:
    """Return what a finding said before and after each revision, when and by what (R8); the earliest first."""
    with backend.records.read() as session:
        row = session.get(FindingRow, finding_id)
        if row is None or not person.may_see(row.station_id):
            raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no finding {finding_id}")
        rows = revisions(session, finding_id)
        shown = rows[query.offset : query.offset + query.limit]
        return _page([_change(one) for one in shown], len(rows), query)


@router.get("/readings/too-late", tags=["readings"], summary="Readings that arrived too late to be judged")
def list_too_late(backend: Backed, query: Annotated[PageQuery, Query()]) -> TooLatePage:
    """Return what was stored and not judged, since it arrived too long after it was measured; the latest first."""
    with backend.records.read() as session:
        rows = too_late(session, limit=query.limit, offset=query.offset)
        entries, readings = count_too_late(session)
        page = _page([_too_late(row) for row in rows], entries, query)
        return TooLatePage(**dict(page), readings=readings)


@router.get("/compliance", tags=["compliance"], summary="Compliance rates (室温合格率)")
def list_compliance(backend: Backed, person: Signed, query: Annotated[ComplianceQuery, Query()]) -> CompliancePage:
    """Return what share of readings, of time and of rooms meets the rules, the latest period first.

    What is unknown, excluded or within a known fault of the heating stands beside the rates and is in none.
    """
    asked = Asked(query.by, query.per, query.first_day, query.last_day, query.building, query.station, person.stations)
    with backend.records.read() as session:
        found = compliance(session, asked, backend.standard)
        as_of_ms, due = tallied_up_to(session), days_due(session)
    found.sort(key=lambda one: one.period, reverse=True)
    shown = found[query.offset : query.offset + query.limit]
    items = [ComplianceOut.model_validate(columns_of(one, query.per)) for one in shown]
    return CompliancePage(
        items=items, total=len(found), limit=query.limit, offset=query.offset, as_of=as_of_ms, due=due
    )


@router.get("/tickets", tags=["tickets"], summary="Tickets")
def list_tickets(backend: Backed, person: Signed, query: Annotated[TicketQuery, Query()]) -> Page[TicketOut]:
    """Return tickets, the latest opened first."""
    whose = query.model_dump(exclude={"limit", "offset"}) | {"stations": person.stations}
    with backend.records.read() as session:
        rows = tickets(session, limit=query.limit, offset=query.offset, **whose)
        return _page([TicketOut(**_ticket(row)) for row in rows], count_tickets(session, **whose), query)


@router.get("/tickets/{ticket_id}", tags=["tickets"], summary="One ticket", responses=answers(HTTPStatus.NOT_FOUND))
def get_ticket(backend: Backed, person: Signed, ticket_id: Number) -> TicketStory:
    """Return a ticket with its deadlines, events, findings and evidence."""
    with backend.records.read() as session:
        return ticket_story(session, ticket_id, person)


@router.get("/quarantine", tags=["delivery"], summary="What could not be used")
def list_quarantine(backend: Backed, query: Annotated[PageQuery, Query()]) -> Page[QuarantineOut]:
    """Return messages and readings that were set aside, whole, with the reason; the latest first."""
    with backend.records.read() as session:
        newest = select(Quarantine).order_by(Quarantine.id.desc()).limit(query.limit).offset(query.offset)
        total = session.scalar(select(func.count()).select_from(Quarantine)) or 0
        return _page([_quarantined(row) for row in session.scalars(newest)], total, query)


@router.get(
    "/health",
    tags=["health"],
    summary="Whether it works",
    responses={503: {"model": Health, "description": "Records or store do not answer"}},
)
def get_health(backend: Backed, person: Signed, response: Response) -> Health:
    """Tell whether records and store answer and how far each role has come; who sees all stations, what arrived."""
    records, store = _peer(backend.records.ping), _peer(backend.store.ping)
    healthy = records.answers and store.answers
    if not healthy:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    shown = healthy and person.stations is None
    return Health(
        status="ok" if healthy else "failing",
        version=backend.version,
        clock=backend.clock(),
        records=records,
        store=store,
        journals=_journals(backend) if records.answers else [],
        progress=_progress(backend) if records.answers else [],
        too_late=_readings_too_late(backend) if shown else None,
        delivery=dict(backend.delivery()) if shown else None,
    )


def _readings_too_late(backend: Backend) -> int:
    with backend.records.read() as session:
        return count_too_late(session)[1]


def _page(items: list[ItemT], total: int, query: PageQuery) -> Page[ItemT]:
    return Page(items=items, total=total, limit=query.limit, offset=query.offset)


def _ms(instant: datetime | None) -> int | None:
    return None if instant is None else to_ms(instant)


def _as_of(session: Session) -> int | None:
    """Return the moment for which the findings hold [ms]."""
    judged = progress(session, "analytics")
    return None if judged is None else judged.as_of_ms


def _reading(rows: ReadingColumns, place: int) -> ReadingOut:
    temp_c = float(rows.temp_c[place])
    source = rows.source[rows.code[place]]
    return ReadingOut(time=int(rows.time_ms[place]), source=source, temperature_c=temp_c if isfinite(temp_c) else None)


def _finding(row: FindingRow, as_of_ms: int | None) -> FindingOut:
    return FindingOut(
        id=row.id,
        kind=FindingKind(row.kind),
        subject_kind=SubjectKind(row.subject_kind),
        subject_id=row.subject_id,
        building_id=row.building_id,
        station_id=row.station_id,
        start=row.start_ms,
        end=row.end_ms,
        open=row.open,
        confirmed_at=row.confirmed_ms,
        withdrawn=row.withdrawn,
        revision=row.revision,
        issued_at=row.issued_ms,
        changed_at=row.changed_ms,
        detail=shown_detail(row, as_of_ms),
    )


def _change(row: FindingChange) -> ChangeOut:
    kind = Revision(row.kind)
    return ChangeOut(
        id=row.id,
        at=row.at_ms,
        revision=row.revision,
        kind=kind,
        amends=kind not in ORDINARY,
        before=row.before,
        after=row.after,
        cause=row.cause,
        trace=row.trace,
    )


def _too_late(row: TooLate) -> TooLateOut:
    return TooLateOut(
        id=row.id,
        source=row.source,
        first=row.first_ms,
        last=row.last_ms,
        rows=row.rows,
        arrived_at=row.arrived_ms,
        trace=trace_of(row.worker, row.sequence),
    )


def ticket_story(session: Session, ticket_id: int, person: Person) -> TicketStory:
    """Return a ticket with all that belongs to it, as far as a person may see it.

    Raises
    ------
    HTTPException
        Not found, where there is none.
    """
    told = story(session, ticket_id)
    if told is None or not person.may_see(told.ticket.station_id):
        raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no ticket {ticket_id}")
    return _story(told, person, _as_of(session))


def _ticket(row: TicketRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "label": LABELS[TicketKind(row.kind)],
        "state": row.state,
        "emergency": row.emergency,
        "scope": row.scope,
        "station_id": row.station_id,
        "building_id": row.building_id or None,
        "room_id": row.room_id,
        "point_id": row.point_id,
        "rule": row.rule,
        "opened_at": row.opened_ms,
        "cause_start": row.cause_start_ms,
        "merged_into": row.merged_into,
        "responsible": row.responsible,
        "sent": row.sent,
        "subject": row.subject,
        "finished_at": row.finished_ms,
        "recovered_at": row.recovered_ms,
        "closed_at": row.closed_ms,
    }


def _story(told: Story, person: Person, as_of_ms: int | None) -> TicketStory:
    evidence = [
        EvidenceOut(point_id=point, time=time_ms, temperature_c=temp_c)
        for point, time_ms, temp_c in told.ticket.evidence
    ]
    return TicketStory(
        **_ticket(told.ticket),
        contact=told.ticket.contact if _may_call(person) else "",
        clocks=[_clock(one) for one in told.clocks],
        events=[_event(one, person) for one in told.events],
        findings=[_finding(row, as_of_ms) for row in told.findings if person.may_see(row.station_id)],
        offered_for_withdrawal=offered_for_withdrawal(
            told.ticket, groundless=held(told.ticket, told.findings).groundless
        ),
        evidence=evidence,
    )


def _event(row: TicketEvent, person: Person) -> EventOut:
    detail = row.detail if _may_call(person) else {name: said for name, said in row.detail.items() if name != "contact"}
    return EventOut(id=row.id, at=row.at_ms, kind=row.kind, who=row.who, detail=detail)


def _may_call(person: Person) -> bool:
    """Tell whether someone is to know how a user can be reached: whoever may have to call (R16)."""
    return person.role in DOERS[Deed.CONTACT]


def _clock(row: TicketClock) -> ClockOut:
    return ClockOut(
        step=row.step,
        rule=row.rule,
        source=row.source,
        due=row.due_ms,
        not_before=row.not_before_ms,
        done=row.done_ms,
        off=row.off,
    )


def _quarantined(row: Quarantine) -> QuarantineOut:
    return QuarantineOut(
        id=row.id,
        worker=row.worker,
        sequence=row.sequence,
        position=row.position,
        topic=row.topic,
        payload_base64=base64.b64encode(row.payload).decode("ascii"),
        payload_text=_text(row.payload),
        reason=row.reason,
        arrived_at=row.arrived_ms,
    )


def _text(payload: bytes) -> str | None:
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _peer(ping: Callable[[], None]) -> PeerOut:
    try:
        ping()
    except Unavailable as error:
        return PeerOut(answers=False, detail=str(error))
    return PeerOut(answers=True, detail="")


def _journals(backend: Backend) -> list[JournalOut]:
    received = backend.journal_sequences()
    with backend.records.read() as session:
        stored = {row.worker: row.sequence for row in session.scalars(select(JournalPosition))}
    return [
        JournalOut(worker=worker, received=last, stored=done, waiting=max(0, last - done))
        for worker in sorted({*received, *stored})
        for done in [stored.get(worker, 0)]
        for last in [received.get(worker, done)]
    ]


def _progress(backend: Backend) -> list[ProgressOut]:
    with backend.records.read() as session:
        last = session.scalar(select(func.max(Arrival.seq))) or 0
        rows = session.scalars(select(Progress).order_by(Progress.role)).all()
    return [
        ProgressOut(
            role=row.role,
            arrival_seq=row.arrival_seq,
            behind=max(0, last - row.arrival_seq),
            as_of=row.as_of_ms,
            tick=row.tick,
        )
        for row in rows
    ]
