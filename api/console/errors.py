"""Errors as pages, for people; machines get the problem details of `api.problems`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.console.backing import console_of
from api.console.render import page, words_of
from heatwatch.errors import Unavailable

_TOLD = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.INTERNAL_SERVER_ERROR})
_TOLD_TOO = _TOLD | {HTTPStatus.SERVICE_UNAVAILABLE}
_FOR_MACHINES = ("/api/", "/health", "/metrics", "/static/", "/live")

Handler = Callable[[Any, Any], Any]


def install(app: FastAPI) -> None:
    """Let errors be answered as pages where a person looks, once `problems.install` has been called."""
    for kind in (HTTPException, RequestValidationError, Unavailable, Exception):
        app.add_exception_handler(kind, _for_people(app.exception_handlers[kind]))
    app.state.error_page = error_page


def error_page(request: Request, status: int, detail: str = "") -> Response:
    """Answer with a page that says what is wrong and what to do."""
    words = words_of(request, console_of(request))
    name = str(int(status)) if status in _TOLD_TOO else "other"
    title, advice = words.t_of("error.title", name), words.t_of("error.advice", name)
    shown = "" if status in _TOLD else detail
    return page(request, "error.html", status=status, title=title, advice=advice, detail=shown)


def wants_page(request: Request) -> bool:
    """Tell whether a person looks at the answer."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(_FOR_MACHINES)


def _for_people(handler: Handler) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Return a handler that answers as another one does: where a person looks, with a page."""

    async def answer(request: Request, error: Exception) -> Response:
        said: Response = await handler(request, error)
        if not wants_page(request):
            return said
        detail = json.loads(bytes(said.body))["detail"]
        shown = await run_in_threadpool(error_page, request, said.status_code, detail)
        shown.headers.update({name: value for name, value in said.headers.items() if not name.startswith("content-")})
        return shown

    return answer
