"""Errors as problem details (RFC 9457): what went wrong, said the same way everywhere."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from heatwatch.errors import Unavailable

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class Wrong(BaseModel):
    """One thing that is wrong with a request."""

    where: str = Field(description="The parameter, or the path to it.")
    what: str = Field(description="What is wrong with it.")


class Problem(BaseModel):
    """Why a request was not fulfilled (RFC 9457)."""

    type: str = Field(default="about:blank", description="Always about:blank: the status says the kind.")
    title: str = Field(description="The kind of problem, the same for every problem of its status.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong with this request, for people.")
    errors: list[Wrong] = Field(default=[], description="Each thing that is wrong, where there are several.")


def answers(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Return what a route declares of the problems that it may answer with."""
    return {int(status): {"model": Problem, "description": status.phrase} for status in statuses}


def install(app: FastAPI) -> None:
    """Let every error of `app` be answered as a problem."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Unavailable, _unavailable)
    app.add_exception_handler(Exception, _broken)


def restate(schema: dict[str, Any]) -> dict[str, Any]:
    """Name the media type of problems in an OpenAPI description, which takes every model for plain JSON."""
    operations = (operation for path in schema["paths"].values() for operation in path.values())
    for operation in operations:
        for status, answer in operation["responses"].items():
            content = answer.get("content", {})
            if content.get("application/json", {}).get("schema", {}).get("$ref", "").endswith("/Problem"):
                operation["responses"][status]["content"] = {MEDIA_TYPE: content["application/json"]}
    return schema


def problem(status: int, detail: str, errors: Iterable[Wrong] = ()) -> JSONResponse:
    """Return an answer that says why a request was not fulfilled."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, errors=list(errors))
    said = body.model_dump(exclude=None if body.errors else {"errors"})
    return JSONResponse(said, status, media_type=MEDIA_TYPE)


async def _http(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    answer = problem(error.status_code, error.detail)
    answer.headers.update(error.headers or {})
    return answer


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    errors = [Wrong(where=".".join(map(str, one["loc"])), what=one["msg"]) for one in error.errors()]
    detail = "; ".join(f"{one.where}: {one.what}" for one in errors)
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors)


async def _unavailable(_request: Request, error: Exception) -> JSONResponse:
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error))


async def _broken(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "heatwatch has a fault here; its log says more")
