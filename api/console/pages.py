"""The routes of the console: the page of what goes on now, the language, the files that pages load."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, cast

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool

from api.access import Identify, Signed
from api.console.assets import assets
from api.console.backing import Backed
from api.console.live import Pulse, stream
from api.console.now import Now, Scene
from api.console.render import LANGUAGE_COOKIE, page, words_of
from api.console.texts import Language
from api.signing import local_path
from heatwatch.domain.people import Person
from heatwatch.errors import Unavailable

_YEAR_S = 365 * 24 * 3600

router = APIRouter(include_in_schema=False)


def _now(request: Request, console: Backed) -> Now:
    """Return what makes the scenes of this process."""
    state = request.app.state
    if not hasattr(state, "console_now"):
        state.console_now = Now(console)
    return cast("Now", state.console_now)


def _pulse(request: Request, console: Backed) -> Pulse:
    """Return the pulse of this process."""
    state = request.app.state
    if not hasattr(state, "console_pulse"):
        state.console_pulse = Pulse(console)
    return cast("Pulse", state.console_pulse)


def _looked_at(person: Signed, station: str = "") -> frozenset[str] | None:
    """Return which stations someone looks at: the one asked for, or all that are theirs (None: all there are).

    Raises
    ------
    HTTPException
        Not found, where it is not theirs.
    """
    if not station:
        return person.stations
    if not person.may_see(station):
        raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such station")
    return frozenset({station})


Scenes = Annotated[Now, Depends(_now)]
Beat = Annotated[Pulse, Depends(_pulse)]
LookedAt = Annotated["frozenset[str] | None", Depends(_looked_at)]


@router.get("/")
def now_page(
    request: Request, console: Backed, scenes: Scenes, person: Signed, looked_at: LookedAt, station: str = ""
) -> Response:
    """Show what goes on now."""
    scene = scenes.scene(looked_at, words_of(request, console))
    parts = Markup(scene.parts.content.decode())  # noqa: S704 - our own template made it, everything escaped
    choice = _choice(scenes, person)
    return page(request, "now.html", parts=parts, tag=scene.parts.tag, stations=choice, station=station)


@router.get("/live")
async def watch(request: Request, pulse: Beat, person: Signed) -> StreamingResponse:
    """Tell when something has changed, as server-sent events."""
    identify: Identify = request.app.state.identify

    async def allowed() -> bool:
        try:
            return (await identify(request)).person == person
        except Unavailable:
            return True

    def stopping() -> bool:
        stop = getattr(request.app.state, "stopping", None)
        return stop is not None and bool(stop.is_set())

    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(stream(pulse, allowed, stopping), media_type="text/event-stream", headers=headers)


@router.get("/live/now")
async def now_numbers(
    request: Request, console: Backed, scenes: Scenes, looked_at: LookedAt, version: str = ""
) -> Response:
    """Return how the rooms are, in the order of `/live/rooms`."""
    return (await _scene(request, console, scenes, looked_at, version)).rooms.send(request, {})


@router.get("/live/now.html")
async def now_parts(
    request: Request, console: Backed, scenes: Scenes, looked_at: LookedAt, version: str = ""
) -> Response:
    """Return the parts of the page that follow the records."""
    return (await _scene(request, console, scenes, looked_at, version)).parts.send(request, {})


@router.get("/live/rooms")
def now_plan(request: Request, scenes: Scenes, looked_at: LookedAt) -> Response:
    """Return the order of the rooms."""
    return scenes.plan(looked_at).send(request, {})


@router.get("/language/{language}")
def choose_language(language: Language, following: Annotated[str, Query(alias="next")] = "/") -> Response:
    """Remember in which language someone reads, and lead back."""
    onwards = RedirectResponse(local_path(following), HTTPStatus.SEE_OTHER)
    onwards.set_cookie(LANGUAGE_COOKIE, language, _YEAR_S, path="/", httponly=True, samesite="lax")
    return onwards


@router.get("/static/{path:path}")
def get_file(request: Request, path: str, v: str = "") -> Response:
    """Return a file that pages load. Under the address of its version it never changes."""
    files = assets()
    asset = files.files.get(path)
    if asset is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such file")
    kept = "public, max-age=31536000, immutable" if v == files.version else "no-cache"
    return asset.send(request, {"Cache-Control": kept, "Vary": "Accept-Encoding"})


async def _scene(
    request: Request, console: Backed, scenes: Now, looked_at: frozenset[str] | None, version: str
) -> Scene:
    """Return the scene of a version where it is at hand, and else the newest."""
    words = words_of(request, console)
    held = scenes.held(version, looked_at, words)
    return held if held is not None else await run_in_threadpool(scenes.scene, looked_at, words)


def _choice(scenes: Now, person: Person) -> list[str]:
    """Return the stations among which someone may choose; none where there is no choice."""
    mine = [station for station in scenes.stations() if person.may_see(station)]
    return mine if len(mine) > 1 else []
