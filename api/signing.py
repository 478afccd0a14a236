"""Signing in and out, by the interface and by the form of the sign-in page; and who one is."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from api.access import COOKIE, SIGN_IN, Signed, Visitor
from api.problems import answers
from heatwatch.domain.instants import HOUR_MS
from heatwatch.domain.people import Person, Role
from heatwatch.errors import BadInput
from heatwatch.records.database import Records
from heatwatch.settings import Settings
from heatwatch.usecases.people import NAME_MAX, Door, person_of_session, sign_in, sign_out

Render = Callable[..., Response]
"""Makes a page: `render(request, template, **context)`."""

PASSWORD_MAX = 1024
BODY_MAX = 16 * 1024
"""Bound of what someone may send who is not signed in [byte]."""
WRONG = "name and password do not fit, or were wrong too often: then wait for 15 minutes"


@dataclass(frozen=True)
class Signing:
    """What signing in needs."""

    auto_sign_in: str
    """As whom a browser on this machine is taken that has not signed in; empty for nobody."""
    session_hours: float
    """How long a browser stays signed in [h]."""
    wall_clock: Callable[[], int]
    """The wall clock [ms]."""
    door: Door = field(default_factory=Door)
    """Counts failures, one for each process."""


def signing_of(settings: Settings, wall_clock: Callable[[], int]) -> Signing:
    """Return what the settings say of signing in.

    Raises
    ------
    BadInput
        If everyone who reaches the API would be signed in by itself.
    """
    if settings.auto_sign_in and not _is_loopback(settings.api_host):
        raise BadInput(
            f"only where the API listens on this machine alone, not on {settings.api_host}",
            where="auto_sign_in",
            mend="leave it empty, or set api_host to 127.0.0.1",
        )
    return Signing(settings.auto_sign_in, settings.session_hours, wall_clock)


class SignInBody(BaseModel):
    """Name and password."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=NAME_MAX, description="The user's name.")
    password: str = Field(max_length=PASSWORD_MAX, description="The user's password.")


class SignInForm(SignInBody):
    """What the sign-in page sends."""

    next: str = Field(default="/", description="Where to go from there; a path of this console.")


class PersonOut(BaseModel):
    """Someone who is signed in."""

    name: str = Field(description="With what one signs in.")
    display_name: str = Field(description="As others are told.")
    role: Role = Field(description="What this person is here to do.")
    stations: list[str] | None = Field(description="Whose matters are this person's; null: all stations.")


@dataclass(frozen=True)
class Backing:
    """What these routes work on."""

    records: Records
    signing: Signing
    render: Render


def _backing(request: Request) -> Backing:
    backing: Backing = request.app.state.signing
    return backing


Backed = Annotated[Backing, Depends(_backing)]

router = APIRouter(max_body_size=BODY_MAX)


@router.post(
    "/api/v1/sign-in",
    tags=["people"],
    summary="Sign in",
    responses=answers(HTTPStatus.UNAUTHORIZED, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
)
def sign_in_by_interface(request: Request, response: Response, backed: Backed, body: SignInBody) -> PersonOut:
    """Begin a session: the answer sets a cookie. Ten failures of a name within 15 minutes close it for a while."""
    entered = _enter(backed, body)
    if entered is None:
        raise HTTPException(HTTPStatus.UNAUTHORIZED, WRONG, {"WWW-Authenticate": "Bearer"})
    _set_cookie(request, response, backed, entered.secret)
    return _told(entered.person)


@router.post("/api/v1/sign-out", tags=["people"], summary="Sign out", responses=answers(HTTPStatus.SERVICE_UNAVAILABLE))
def sign_out_by_interface(request: Request, response: Response, backed: Backed, person: Signed) -> PersonOut:
    """End the session of the cookie, and say whose it was. A token stays valid until it is revoked."""
    _leave(request, response, backed)
    return _told(person)


@router.get("/api/v1/me", tags=["people"], summary="Who one is", responses=answers(HTTPStatus.SERVICE_UNAVAILABLE))
def get_me(person: Signed) -> PersonOut:
    """Return as whom a request is taken."""
    return _told(person)


@router.get(SIGN_IN, include_in_schema=False)
def sign_in_page(
    request: Request, backed: Backed, person: Visitor, following: Annotated[str, Query(alias="next")] = "/"
) -> Response:
    """Show the sign-in page; lead on who is signed in already."""
    if person is not None:
        return RedirectResponse(local_path(following), HTTPStatus.SEE_OTHER)
    return backed.render(request, "sign_in.html", next=local_path(following), name="", failed=False)


@router.post(SIGN_IN, include_in_schema=False)
def sign_in_by_page(request: Request, backed: Backed, form: Annotated[SignInForm, Form()]) -> Response:
    """Begin a session and lead on; show the page again where name and password do not fit."""
    following, entered = local_path(form.next), _enter(backed, form)
    if entered is None:
        again = backed.render(request, "sign_in.html", next=following, name=form.name, failed=True)
        again.status_code = HTTPStatus.UNAUTHORIZED
        again.headers["WWW-Authenticate"] = "Bearer"
        return again
    onwards = RedirectResponse(following, HTTPStatus.SEE_OTHER)
    _set_cookie(request, onwards, backed, entered.secret)
    return onwards


@router.post("/sign-out", include_in_schema=False)
def sign_out_by_page(request: Request, backed: Backed) -> Response:
    """End the session and lead to the sign-in page."""
    onwards = RedirectResponse(SIGN_IN, HTTPStatus.SEE_OTHER)
    _leave(request, onwards, backed)
    return onwards


def local_path(path: str) -> str:
    r"""Return a path of ours as it is, and ``/`` for whatever a browser might take for another place.

    Examples
    --------
    >>> local_path("/tickets?state=open"), local_path("//elsewhere.example/"), local_path("/\\elsewhere.example")
    ('/tickets?state=open', '/', '/')
    """
    ours = path.startswith("/") and not path.startswith("//") and "\\" not in path
    return path if ours and path.isprintable() and " " not in path else "/"


def plain_page(_request: Request, _template: str, **context: object) -> Response:
    """Show the sign-in page without any looks."""
    said = {name: escape(str(value)) for name, value in context.items()}
    wrong = f"<p role=alert>{WRONG}</p>" if context.get("failed") else ""
    return HTMLResponse(_PAGE.format(wrong=wrong, sign_in=SIGN_IN, **said))


_PAGE = """<!doctype html><html lang="en"><title>heatwatch</title><main><h1>heatwatch</h1>{wrong}
<form method="post" action="{sign_in}"><input type="hidden" name="next" value="{next}">
<label>Name <input name="name" value="{name}" autocomplete="username" required></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<button>Sign in</button></form></main></html>
"""


@dataclass(frozen=True, slots=True)
class _Entered:
    secret: str
    person: Person


def _enter(backed: Backing, body: SignInBody) -> _Entered | None:
    signing, now_ms = backed.signing, backed.signing.wall_clock()
    hours = signing.session_hours
    secret = sign_in(backed.records, signing.door, body.name, body.password, now_ms=now_ms, hours=hours)
    if secret is None:
        return None
    with backed.records.read() as session:
        person = person_of_session(session, secret, now_ms)
    return None if person is None else _Entered(secret, person)


def _leave(request: Request, response: Response, backed: Backing) -> None:
    secret = request.cookies.get(COOKIE)
    if secret:
        with backed.records.write() as session:
            sign_out(session, secret)
    response.delete_cookie(COOKIE, path="/", secure=_is_secure(request), httponly=True, samesite="strict")


def _set_cookie(request: Request, response: Response, backed: Backing, secret: str) -> None:
    lasts_s = round(backed.signing.session_hours * HOUR_MS / 1000)
    secure = _is_secure(request)
    response.set_cookie(COOKIE, secret, lasts_s, path="/", secure=secure, httponly=True, samesite="strict")


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https"


def _told(person: Person) -> PersonOut:
    stations = None if person.stations is None else sorted(person.stations)
    return PersonOut(name=person.name, display_name=person.display_name, role=person.role, stations=stations)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
