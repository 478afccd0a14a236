"""The pages of notices: what is drafted and published, one notice, and what everyone may read (R12, R13)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from api.access import DISPATCHERS, Signed
from api.console.backing import Backed, Console
from api.console.render import page
from api.deeds import Number, WordsBody, notice_of, published, worded
from api.routes import Backed as Interface
from heatwatch.domain.people import Person
from heatwatch.usecases import notices as board
from heatwatch.usecases.documents import NOTICE, document_log

SHOWN = 200
PUBLIC_SHOWN = 50

router = APIRouter(include_in_schema=False)


@router.get("/notices")
def notices_page(request: Request, console: Backed, person: Signed) -> Response:
    """Show the notices."""
    return page(request, "notices.html", **_list(console, person))


@router.get("/live/notices.html")
def notices_part(request: Request, console: Backed, person: Signed) -> Response:
    """Return the part of the list that follows the records."""
    return page(request, "notices_part.html", **_list(console, person))


@router.get("/notices/{notice_id}")
def notice_page(request: Request, console: Backed, person: Signed, notice_id: Number) -> Response:
    """Show a notice."""
    return page(request, "notice.html", **_one(console, person, notice_id))


@router.get("/live/notices/{notice_id}")
def notice_part(request: Request, console: Backed, person: Signed, notice_id: Number) -> Response:
    """Return a notice's page, of which the part that follows the records is taken."""
    return page(request, "notice.html", **_one(console, person, notice_id))


@router.post("/notices/{notice_id}")
def word(
    request: Request,
    console: Backed,
    backend: Interface,
    person: Signed,
    notice_id: Number,
    form: Annotated[WordsBody, Form()],
) -> Response:
    """Word a draft otherwise."""
    try:
        worded(backend, person, notice_id, form.model_copy(update={"text": _lines(form.text)}))
    except HTTPException as error:
        return _refused(request, console, person, notice_id, error)
    return RedirectResponse(f"/notices/{notice_id}", HTTPStatus.SEE_OTHER)


@router.post("/notices/{notice_id}/publish")
def publish(request: Request, console: Backed, backend: Interface, person: Signed, notice_id: Number) -> Response:
    """Publish a draft."""
    try:
        published(backend, person, notice_id)
    except HTTPException as error:
        return _refused(request, console, person, notice_id, error)
    return RedirectResponse(f"/notices/{notice_id}", HTTPStatus.SEE_OTHER)


@router.get("/public/notices")
def public_page(request: Request, console: Backed) -> Response:
    """Show what was published, to everyone."""
    with console.records.read() as session:
        rows = board.public_notices(session, limit=PUBLIC_SHOWN)
    return page(request, "public_notices.html", rows=rows)


def _refused(request: Request, console: Console, person: Person, notice_id: int, error: HTTPException) -> Response:
    if error.status_code != HTTPStatus.CONFLICT:
        raise error
    known = _one(console, person, notice_id) | {"wrong": error.detail}
    return page(request, "notice.html", status=error.status_code, **known)


def _list(console: Console, person: Person) -> dict[str, Any]:
    with console.records.read() as session:
        rows = board.notices(session, stations=person.stations, limit=SHOWN)
    return {"rows": rows, "moment": console.clock() or 0}


def _one(console: Console, person: Person, notice_id: int) -> dict[str, Any]:
    with console.records.read() as session:
        row = notice_of(session, person, notice_id)
        log = document_log(session, NOTICE, notice_id)
    return {"notice": row, "log": log, "may_publish": person.role in DISPATCHERS, "wrong": ""}


def _lines(text: str) -> str:
    """Return a text of a form with the ends of lines that we write."""
    return text.replace("\r\n", "\n")
