"""Reported stops of heat: what the company says is off, planned or not (R11, R12, R32)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api.access import Signed
from api.deeds import EARLIEST, LATEST, Line, Moment, Number, Words, now_ms
from api.models import Instant, Page, PageQuery
from api.problems import answers
from api.routes import Backed
from heatwatch.domain.instants import to_ms
from heatwatch.domain.people import Person
from heatwatch.domain.stops import Stop
from heatwatch.errors import BadInput
from heatwatch.records.schema import ReportedStop
from heatwatch.usecases.stops import (
    StopChange,
    change_stop,
    count_stops,
    report_stop,
    reported_stops,
    station_of,
)

router = APIRouter(
    prefix="/api/v1",
    tags=["stops"],
    responses=answers(
        HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE
    ),
)
Subject = Literal["station", "building", "riser", "room"]


class StopBody(BaseModel):
    """A stop of heat that someone reports."""

    model_config = ConfigDict(extra="forbid")

    subject_kind: Subject = Field(description="Whose heat is off. Only a station's or a building's is an outage.")
    subject_id: Line = Field(min_length=1, description="Its name in the register.")
    start: Moment = Field(description="Since when, or from when on.")
    end: Moment | None = Field(default=None, description="Until when, excluded; null: not known yet.")
    planned: bool = Field(default=False, description="Whether the company means it.")
    reason: Words = Field(default="", description="Why.")


class StopChangeBody(BaseModel):
    """What is to be said otherwise of a stop; what is not named stays."""

    model_config = ConfigDict(extra="forbid")

    end: Moment | None = Field(default=None, description="Until when, excluded.")
    planned: bool | None = Field(default=None, description="Whether the company means it.")
    reason: Words | None = Field(default=None, description="Why.")
    withdrawn: bool | None = Field(default=None, description="Whether it was reported in error.")


class StopOut(BaseModel):
    """A stop of heat as it was reported."""

    id: int = Field(description="Its number.")
    subject_kind: Subject = Field(description="Whose heat is off.")
    subject_id: str = Field(description="Its name in the register.")
    station_id: str = Field(description="The station.")
    start: Instant = Field(description="Since when, or from when on.")
    end: Instant | None = Field(description="Until when, excluded; null: not known yet.")
    planned: bool = Field(description="Whether the company means it.")
    reason: str = Field(description="Why.")
    withdrawn: bool = Field(description="Whether it was reported in error.")
    reported_by: str = Field(description="Who reported it.")
    reported_at: Instant = Field(description="When.")


@router.get("/stops", summary="Reported stops")
def list_stops(backend: Backed, person: Signed, query: Annotated[PageQuery, Query()]) -> Page[StopOut]:
    """Return reported stops, the latest start first."""
    with backend.records.read() as session:
        rows = reported_stops(session, stations=person.stations, limit=query.limit, offset=query.offset)
        total = count_stops(session, stations=person.stations)
        return Page(items=[_told(row) for row in rows], total=total, limit=query.limit, offset=query.offset)


@router.get("/stops/{stop_id}", summary="One reported stop")
def get_stop(backend: Backed, person: Signed, stop_id: Number) -> StopOut:
    """Return a reported stop by its number."""
    with backend.records.read() as session:
        return _told(_stop(session, person, stop_id))


@router.post("/stops", status_code=HTTPStatus.CREATED, summary="Report a stop")
def post_stop(backend: Backed, person: Signed, body: StopBody) -> StopOut:
    """Report that heat is off, or is going to be: an outage by itself once it has begun."""
    start_ms, end_ms = _ms(body.start), None if body.end is None else _ms(body.end)
    stop = Stop(body.subject_kind, body.subject_id, start_ms, end_ms, body.planned, body.reason)
    at_ms = now_ms(backend)
    with backend.records.write() as session:
        register = backend.register(session)
        station = station_of(register, stop.subject_kind, stop.subject_id)
        if station is None or not person.may_see(station):
            raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no {stop.subject_kind} {stop.subject_id}")
        try:
            return _told(report_stop(session, stop, register, who=person.name, now_ms=at_ms))
        except BadInput as error:
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, error.what) from error


@router.patch("/stops/{stop_id}", summary="Say something else of a stop")
def patch_stop(backend: Backed, person: Signed, stop_id: Number, body: StopChangeBody) -> StopOut:
    """Say when it ended, or that it was reported in error; what was said before stays on the audit trail."""
    end_ms = None if body.end is None else _ms(body.end)
    change = StopChange(end_ms=end_ms, planned=body.planned, reason=body.reason, withdrawn=body.withdrawn)
    at_ms = now_ms(backend)
    with backend.records.write() as session:
        row = _stop(session, person, stop_id)
        try:
            change_stop(session, row, change, who=person.name, now_ms=at_ms)
        except BadInput as error:
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, error.what) from error
        return _told(row)


def _ms(moment: Moment) -> int:
    if not EARLIEST <= moment < LATEST:
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, "a moment must lie between 1990 and 2200")
    return to_ms(moment)


def _stop(session: Session, person: Person, stop_id: int) -> ReportedStop:
    row = session.get(ReportedStop, stop_id)
    if row is None or not person.may_see(row.station_id):
        raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no stop {stop_id}")
    return row


def _told(row: ReportedStop) -> StopOut:
    return StopOut(
        id=row.id,
        subject_kind=row.subject_kind,
        subject_id=row.subject_id,
        station_id=row.station_id,
        start=row.start_ms,
        end=row.end_ms,
        planned=row.planned,
        reason=row.reason,
        withdrawn=row.withdrawn,
        reported_by=row.reported_by,
        reported_at=row.reported_ms,
    )
