"""The page of compliance rates (室温合格率) by day, month or season: of all stations, or of one with its buildings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from http import HTTPStatus
from itertools import groupby
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session

from api.access import Signed
from api.console.backing import Backed
from api.console.render import page
from heatwatch.domain.compliance import By, Per, Rates
from heatwatch.domain.instants import from_ms
from heatwatch.domain.temperature import Standard
from heatwatch.usecases.compliance import Asked, compliance, days_due, demands_of, tallied_up_to

DAYS_SHOWN, MONTHS_SHOWN = 14, 12
_MONTH_DAYS = 31

router = APIRouter(include_in_schema=False)


class RatesQuery(BaseModel):
    """Over what time, and of which station the buildings."""

    model_config = ConfigDict(extra="forbid")

    by: By = By.DAY
    station: str = ""


@dataclass(frozen=True, slots=True)
class Period:
    """The rates of one period: of all that one looks at, and one by one."""

    name: str
    whole: Rates
    parts: Sequence[Rates]


@router.get("/compliance")
def rates_page(request: Request, console: Backed, person: Signed, query: Annotated[RatesQuery, Query()]) -> Response:
    """Show what share of rooms, of time and of readings meets the rules, and what is in no rate."""
    if query.station and not person.may_see(query.station):
        raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such station")
    with console.records.read() as session:
        as_of_ms, due = tallied_up_to(session), days_due(session)
        today = None if as_of_ms is None else from_ms(as_of_ms).astimezone(console.zone).date()
        asked = Asked(by=query.by, first_day=_first_day(query.by, today), stations=person.stations)
        found = [] if today is None else _periods(session, asked, query.station, console.standard)
        every = replace(asked, per=Per.STATION, by=By.SEASON)
        stations = sorted({one.station_id for one in compliance(session, every, console.standard)})
    return page(
        request,
        "compliance.html",
        query=query,
        periods=found,
        as_of_ms=as_of_ms,
        due=due,
        stations=stations if len(stations) > 1 else [],
        demands=demands_of(console.standard),
        bys=[str(by) for by in By],
    )


def _periods(session: Session, asked: Asked, station: str, standard: Standard) -> list[Period]:
    """Return the latest period first."""
    whole = replace(asked, per=Per.STATION if station else Per.COMPANY, station=station or None)
    parts = replace(whole, per=Per.BUILDING if station else Per.STATION)
    of = {one.period: one for one in compliance(session, whole, standard)}
    listed = groupby(compliance(session, parts, standard), key=lambda one: one.period)
    named = {period: list(rows) for period, rows in listed}
    return [Period(name, of[name], named[name]) for name in sorted(of, reverse=True)]


def _first_day(by: By, today: date | None) -> date | None:
    """Return the first day that is shown; None for all."""
    if today is None or by is By.SEASON:
        return None
    if by is By.DAY:
        return today - timedelta(days=DAYS_SHOWN - 1)
    return (today.replace(day=1) - timedelta(days=(MONTHS_SHOWN - 2) * _MONTH_DAYS)).replace(day=1)
