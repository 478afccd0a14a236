"""Who may ask for what: one table of every route, the roles that may use it, and whose matters it shows (R14, R26).

The table is enforced in one place, before a request's body is read. A route that it does not list answers nobody, and
an application with such a route does not start.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from types import MappingProxyType
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import Depends, FastAPI, Request
from fastapi.routing import iter_route_contexts
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import MEDIA_TYPE, problem
from heatwatch.domain.people import Person, Role
from heatwatch.errors import Unavailable
from heatwatch.records.database import Records
from heatwatch.usecases.people import person_named, person_of_session, person_of_token

log = logging.getLogger(__name__)

COOKIE = "heatwatch_session"
SIGN_IN = "/sign-in"
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""As a browser names this machine."""
ANY_METHOD = "*"
"""Stands for the method of what is mounted as a whole."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FOR_MACHINES = ("/api", "/health", "/metrics", "/static", "/live")
_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")


class Stations(StrEnum):
    """What a route says about stations, and so who of those confined to some may use it."""

    ALL = "all"
    """About all of them at once: only for persons who are not confined."""
    CONFINED = "stations"
    """Whose each matter is, is known: confined persons see only what is of their own stations."""
    NONE = "none"
    """Nothing."""


@dataclass(frozen=True, slots=True)
class Access:
    """Which roles may use a route, and what it says about stations."""

    roles: frozenset[Role]
    stations: Stations

    def allows(self, person: Person) -> bool:
        """Tell whether someone may use the route."""
        return person.role in self.roles and (self.stations is not Stations.ALL or person.stations is None)


class Public:
    """Marks a route for everyone, signed in or not."""


class Keyed(Public):
    """Marks a route of a machine that proves itself at the route, by a key that is no user's."""


PUBLIC: Final = Public()
KEYED: Final = Keyed()
EVERYONE = frozenset(Role)
OFFICE = frozenset({Role.COMPANY, Role.DISPATCH, Role.ENGINEER})
"""Those who see to it that what is measured arrives."""
DISPATCHERS = frozenset({Role.COMPANY, Role.DISPATCH})
"""Those who speak for the company."""
ACTORS = frozenset(Role).difference({Role.VIEWER})
"""Those who may do something about a ticket; which deed is whose stands in `heatwatch.domain.life.DOERS`."""

Key = tuple[str, str]
"""A method and the template of a path."""
Table = Mapping[Key, Access | Public]

TABLE: Table = MappingProxyType(
    {
        ("GET", "/api/v1/openapi.json"): Access(EVERYONE, Stations.NONE),
        ("GET", "/api/v1/points"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/api/v1/readings"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/api/v1/readings/too-late"): Access(OFFICE, Stations.ALL),
        ("GET", "/api/v1/findings"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/api/v1/findings/{kind}.csv"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/api/v1/findings/{finding_id}"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/api/v1/findings/{finding_id}/changes"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/api/v1/compliance"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/api/v1/tickets"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/api/v1/tickets/{ticket_id}"): Access(EVERYONE, Stations.CONFINED),
        ("POST", "/api/v1/tickets"): Access(DISPATCHERS | {Role.STATION}, Stations.CONFINED),
        ("POST", "/api/v1/tickets/{ticket_id}/deeds"): Access(ACTORS, Stations.CONFINED),
        ("GET", "/api/v1/stops"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/api/v1/stops/{stop_id}"): Access(EVERYONE, Stations.CONFINED),
        ("POST", "/api/v1/stops"): Access(DISPATCHERS | {Role.STATION}, Stations.CONFINED),
        ("PATCH", "/api/v1/stops/{stop_id}"): Access(DISPATCHERS | {Role.STATION}, Stations.CONFINED),
        ("GET", "/api/v1/notices"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/api/v1/notices/{notice_id}"): Access(EVERYONE, Stations.CONFINED),
        ("PATCH", "/api/v1/notices/{notice_id}"): Access(DISPATCHERS, Stations.CONFINED),
        ("POST", "/api/v1/notices/{notice_id}/publication"): Access(DISPATCHERS, Stations.CONFINED),
        ("GET", "/api/v1/public/notices"): PUBLIC,
        ("GET", "/api/v1/alerts"): Access(EVERYONE, Stations.CONFINED),
        ("POST", "/api/v1/grafana/webhook"): KEYED,
        ("GET", "/api/v1/quarantine"): Access(OFFICE, Stations.ALL),
        ("GET", "/api/v1/health"): Access(EVERYONE, Stations.CONFINED),
        ("POST", "/api/v1/sign-in"): PUBLIC,
        ("POST", "/api/v1/sign-out"): Access(EVERYONE, Stations.NONE),
        ("GET", "/api/v1/me"): Access(EVERYONE, Stations.NONE),
        ("GET", SIGN_IN): PUBLIC,
        ("POST", SIGN_IN): PUBLIC,
        ("POST", "/sign-out"): Access(EVERYONE, Stations.NONE),
        ("GET", "/health/live"): PUBLIC,
        ("GET", "/health/ready"): PUBLIC,
        ("GET", "/metrics"): Access(OFFICE, Stations.ALL),
    }
)
"""Every route of the interface, in the order in which people look for them."""

PAGES: Table = MappingProxyType(
    {
        ("GET", "/"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/live"): Access(EVERYONE, Stations.NONE),
        ("GET", "/live/now"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/live/now.html"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/live/rooms"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/rooms/{point_id}"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/rooms/{point_id}/parts.html"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/rooms/{point_id}/chart.json"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/rooms/{point_id}/chart.svg"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/compliance"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/tickets"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/live/tickets.html"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/tickets/new"): Access(DISPATCHERS | {Role.STATION}, Stations.CONFINED),
        ("POST", "/tickets/new"): Access(DISPATCHERS | {Role.STATION}, Stations.CONFINED),
        ("GET", "/tickets/{ticket_id}"): Access(EVERYONE, Stations.CONFINED),
        ("POST", "/tickets/{ticket_id}"): Access(ACTORS, Stations.CONFINED),
        ("GET", "/live/tickets/{ticket_id}"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/notices"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/live/notices.html"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/notices/{notice_id}"): Access(EVERYONE, Stations.CONFINED),
        ("GET", "/live/notices/{notice_id}"): Access(EVERYONE, Stations.CONFINED),
        ("POST", "/notices/{notice_id}"): Access(DISPATCHERS, Stations.CONFINED),
        ("POST", "/notices/{notice_id}/publish"): Access(DISPATCHERS, Stations.CONFINED),
        ("GET", "/public/notices"): PUBLIC,
        ("GET", "/language/{language}"): PUBLIC,
        ("GET", "/static/vega-{digest}.js"): PUBLIC,
        ("GET", "/static/{path}"): PUBLIC,
    }
)
"""Every route of the console besides: an application that has none does not have these."""


def routes_of(routes: Collection[BaseRoute]) -> Iterator[tuple[Key, Any]]:
    """Give every route that an application answers under, each method by itself, in the order in which it looks.

    Raises
    ------
    ValueError
        If there is one of which nobody can say under which path it answers.
    """
    for route in iter_route_contexts(tuple(routes)):
        template = route.path_format
        if template is None:
            msg = f"a route without a path: {route.original_route!r}"
            raise ValueError(msg)
        for method in _methods(route.methods):
            yield (method, template), route


def check(app: FastAPI, table: Table) -> None:
    """Refuse an application whose routes are not those that the table lists.

    Raises
    ------
    ValueError
        Naming the routes without an entry, and the entries without a route.
    """
    there = {key for key, _ in routes_of(app.routes)}
    wrong = [f"{method} {path} has no entry in the table of access" for method, path in sorted(there - table.keys())]
    wrong += [f"the table of access lists {method} {path}, which is no route" for method, path in table.keys() - there]
    if wrong:
        raise ValueError("; ".join(sorted(wrong)))


class AccessControl:
    """Lets a request pass to the route that it asks for, or answers it here.

    Parameters
    ----------
    app
        What comes after it.
    table
        Who may use which route.
    identify
        Says who asks.
    """

    def __init__(self, app: ASGIApp, table: Table, identify: Identify) -> None:
        self._app, self._table, self._identify = app, table, identify

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        answer = await self._refusal(Request(scope)) if scope["type"] == "http" else None
        await (answer or self._app)(scope, receive, send)

    async def _refusal(self, request: Request) -> Response | None:
        request.state.person = None
        if "\0" in request.scope["path"] or b"%00" in request.scope["query_string"]:  # PostgreSQL can't look for it
            return _refuse(request, HTTPStatus.BAD_REQUEST, "no name has a NUL in it")
        found = _route(request)
        if found is None:
            return None
        key, request.state.endpoint = found
        access = self._table.get(key)
        if access is None:
            log.error("%s %s has no entry in the table of access", *key)
            return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "nobody has said who may ask for this")
        try:
            who = await self._identify(request)
        except Unavailable as error:
            if access is not PUBLIC:
                return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
            who = NOBODY
        request.state.person = who.person
        return _refused(request, access, who)


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks, and whether a browser says so by itself, also when another site makes it ask."""

    person: Person | None
    by_browser: bool


NOBODY = Who(None, by_browser=False)


class Identify:
    """Finds out who asks: by the token, by the cookie, or on this machine as the user that the settings name.

    Parameters
    ----------
    records
        Where users, sessions and tokens are.
    wall_clock
        The wall clock [ms].
    auto_sign_in
        As whom a browser on this machine is taken that has not signed in; empty for nobody.
    """

    def __init__(self, records: Records, wall_clock: Callable[[], int], auto_sign_in: str) -> None:
        self._records, self._wall_clock, self._auto = records, wall_clock, auto_sign_in

    async def __call__(self, request: Request) -> Who:
        """Return who asks; looks into the records only where something is to be looked up.

        Raises
        ------
        Unavailable
            If the records do not answer.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        cookie = request.cookies.get(COOKIE, "")
        auto = self._auto if _on_this_machine(request) else ""
        if scheme.lower() == "bearer":
            return await run_in_threadpool(self._machine, token.strip())
        if cookie or auto:
            return await run_in_threadpool(self._browser, cookie, auto)
        return NOBODY

    def _machine(self, token: str) -> Who:
        with self._records.read() as session:
            return Who(person_of_token(session, token, self._wall_clock()), by_browser=False)

    def _browser(self, cookie: str, auto: str) -> Who:
        with self._records.read() as session:
            person = person_of_session(session, cookie, self._wall_clock()) if cookie else None
            if person is None and auto:
                person = person_named(session, auto)
            return Who(person, by_browser=True)


def asked_for(request: Request) -> str:
    """Return path and query as they were asked for: a name may have a slash in it, or a question mark."""
    raw = request.scope.get("raw_path") or quote(request.scope["path"]).encode()
    path = quote(raw, safe="/%!$&'()*+,;=:@")
    return f"{path}?{request.url.query}" if request.url.query else path


def own_origin(request: Request) -> bool:
    """Tell whether a browser says that a page of ours asks."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    _, there, origin = request.headers.get("origin", "").partition("://")
    return bool(there and origin) and origin.lower() == request.headers.get("host", "").lower()


def describe(schema: dict[str, Any], table: Table) -> dict[str, Any]:
    """Say in an OpenAPI description how one proves who one is, and where that is asked for."""
    schemes = {
        "token": {"type": "http", "scheme": "bearer", "description": "A token that `heatwatch users token` made."},
        "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "What sign-in answers with."},
    }
    schema.setdefault("components", {})["securitySchemes"] = schemes
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            if not isinstance(table.get((method.upper(), path)), Public):
                operation["security"] = [{"token": []}, {"session": []}]
                operation["responses"] |= {str(int(status)): _answer(status) for status in _REFUSALS}
    return schema


def granted(request: Request) -> None:
    """Make sure, at the route itself, that it is the one for which access was given.

    Raises
    ------
    RuntimeError
        If it is another one, or none was.
    """
    if request.scope.get("endpoint") is not getattr(request.state, "endpoint", None):
        msg = f"{request.method} {request.url.path} was reached without access"
        raise RuntimeError(msg)


def _visitor(request: Request) -> Person | None:
    person: Person | None = getattr(request.state, "person", None)
    return person


def _signed_in(request: Request) -> Person:
    person = _visitor(request)
    if person is None:
        msg = f"{request.method} {request.url.path} asks for a person, and the table of access calls it public"
        raise RuntimeError(msg)
    return person


Visitor = Annotated[Person | None, Depends(_visitor)]
"""Who asks; None where nobody is signed in, which only a public route meets."""
Signed = Annotated[Person, Depends(_signed_in)]
"""Who asks."""

_REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def _answer(status: HTTPStatus) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": status.phrase, "content": content}


def _methods(methods: Collection[str] | None) -> list[str]:
    """Return the methods of a route; HEAD is GET without the body."""
    if methods is None:
        return [ANY_METHOD]
    return sorted(set(methods) - ({"HEAD"} if "GET" in methods else set()))


def _route(request: Request) -> tuple[Key, Any] | None:
    """Return the route that the application will take, with what answers there; None where it will take none."""
    method = "GET" if request.method == "HEAD" else request.method
    for (asked, template), route in routes_of(request.scope["app"].routes):
        if asked in (method, ANY_METHOD) and route.path_regex.match(request.scope["path"]):
            return (asked, template), route.endpoint if asked != ANY_METHOD else None
    return None


def _refused(request: Request, access: Access | Public, who: Who) -> Response | None:
    """Return why someone may not ask for this; None where nothing is in the way."""
    if request.method not in _SAFE and _forged(request, who):
        return _refuse(request, HTTPStatus.FORBIDDEN, "asked for from another site")
    if isinstance(access, Public):
        return None
    if who.person is None:
        return _unknown(request)
    if not access.allows(who.person):
        return _refuse(request, HTTPStatus.FORBIDDEN, "this is not for your role, or not for single stations")
    return None


def _forged(request: Request, who: Who) -> bool:
    """Tell whether another site may have made a browser ask. What says neither who nor whence is no browser's."""
    named = "origin" in request.headers or "sec-fetch-site" in request.headers
    if who.person is None:
        return named and not own_origin(request)
    return who.by_browser and not own_origin(request)


def _unknown(request: Request) -> Response:
    if _is_page(request):
        following = asked_for(request) if request.method in _SAFE else "/"
        return RedirectResponse(f"{SIGN_IN}?next={quote(following, safe='/')}", HTTPStatus.SEE_OTHER)
    answer = problem(HTTPStatus.UNAUTHORIZED, "sign in, or send a token that is valid")
    answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _refuse(request: Request, status: HTTPStatus, why: str) -> Response:
    if not _is_page(request):
        return problem(status, why)
    shown: Callable[[Request, int, str], Response] | None = getattr(request.scope["app"].state, "error_page", None)
    if shown is not None:
        return shown(request, status, why)
    text = f"<!doctype html><html lang=en><title>{status.phrase}</title><h1>{status.phrase}</h1><p>{why}</p></html>"
    return HTMLResponse(text, status)


def _is_page(request: Request) -> bool:
    """Tell whether a person looks at the answer."""
    path = request.url.path
    if any(path == one or path.startswith(f"{one}/") for one in _FOR_MACHINES):
        return False
    accepts = request.headers.get("accept", "*/*")
    return "text/html" in accepts or "*/*" in accepts


def _on_this_machine(request: Request) -> bool:
    """Tell whether a browser was told to ask this machine by its own name, and nothing stands in between.

    A page of another site whose name has been made to lead here says that name (DNS rebinding).
    """
    host = re.sub(r":\d*$", "", request.headers.get("host", "")).lower()
    return host in LOOPBACK_HOSTS and not any(name in request.headers for name in _FORWARDED)
