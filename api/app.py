"""The REST interface as an application. It describes itself at `/api/v1/openapi.json`; nothing comes from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.types import ASGIApp

from api import access, deeds, grafana, observing, problems, stops
from api import signing as signing_routes
from api.console import errors as error_pages
from api.console import notices as console_notices
from api.console import pages, rates, room
from api.console import tickets as console_tickets
from api.console.backing import Console
from api.console.render import page
from api.grafana import Webhook
from api.headers import SecurityHeaders
from api.observing import Watched
from api.routes import Backend, router
from api.signing import Backing, Signing, plain_page
from heatwatch.domain.findings import FindingKind
from heatwatch.domain.temperature import Standard
from heatwatch.records.database import Records
from heatwatch.stores.readings import ReadingStore

TITLE = "heatwatch"
DESCRIPTION = """Room temperatures of district heating: what was measured, what judging found, which tickets it became.

Instants are ISO 8601 in UTC with milliseconds and `Z`. Names carry units: `_c` degC, `_k` K, `_h` hours, `_kh` kelvin
hours, `_s` seconds. Lists come in parts (`limit`, `offset`). Errors are problem details (RFC 9457).

One proves who one is with a token (`Authorization: Bearer`), or signs in. Who is confined to stations is told of no
other: what belongs to another station is not there."""
BODY_MAX = 128 * 1024
"""Bound of what someone may send who is signed in [byte]: the longest texts of a form, and room to spare."""
TAGS = [
    {"name": "register", "description": "The test points: where, which class, which device since when (R6)."},
    {"name": "readings", "description": "What was measured, as it was kept (R8)."},
    {"name": "compliance", "description": "Compliance rates (室温合格率), and what is in none (R1-R5, R30)."},
    {"name": "findings", "description": "What judging found: cold spells, outages, sensor faults (R1-R5, R7, R11)."},
    {"name": "tickets", "description": "Pieces of work with their deadlines (R11-R18)."},
    {"name": "stops", "description": "Reported stops of heat, planned or not (R11, R12, R32)."},
    {"name": "notices", "description": "Public notices of stops and of their end (R12, R13)."},
    {"name": "alerts", "description": "What Grafana's alerts told, and their tickets."},
    {"name": "delivery", "description": "What became of every message."},
    {"name": "people", "description": "Who one is, and signing in and out."},
    {"name": "health", "description": "Whether it works."},
]


def create_app(  # noqa: PLR0913 - everything that the application tells of is passed in
    records: Records,
    store: ReadingStore,
    journal_sequences: Callable[[], Mapping[str, int]],
    clock: Callable[[], int | None],
    version: str,
    *,
    delivery: Callable[[], Mapping[str, Any]],
    findings_csv: Callable[[FindingKind, Collection[str] | None], bytes],
    standard: Standard,
    signing: Signing,
    checks: Mapping[str, Callable[[], bool]] = MappingProxyType({}),
    console: Console | None = None,
    webhook: Webhook | None = None,
) -> FastAPI:
    """Make the application.

    Parameters
    ----------
    records, store
        What it reads; neither is closed by it.
    journal_sequences
        Gives the last sequence of each ingest worker's journal.
    clock
        Gives the installation's clock [ms], None before a replay has begun.
    version
        heatwatch's version.
    delivery
        Gives the two lines of the delivery identity.
    findings_csv
        Gives the file of all findings of a kind: of some stations, or of all (None).
    standard
        The rules in force.
    signing
        What signing in needs.
    checks
        Tells of each part of this process whether it works, by name.
    console
        What the pages are made from; without one there are none.
    webhook
        How Grafana proves itself; without it nothing of Grafana is taken.

    Raises
    ------
    ValueError
        If a route is not in the table of access, or the table names one that is not there.
    """
    app = _App(
        title=TITLE,
        description=DESCRIPTION,
        version=version,
        openapi_tags=TAGS,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        max_body_size=BODY_MAX,
        dependencies=[Depends(access.granted)],
    )
    app.state.backend = Backend(records, store, journal_sequences, clock, version, delivery, findings_csv, standard)
    app.state.signing = Backing(records, signing, plain_page if console is None else page)
    app.state.console = console
    app.state.webhook = webhook
    app.include_router(router)
    app.include_router(deeds.router)
    app.include_router(stops.router)
    app.include_router(grafana.router)
    app.include_router(signing_routes.router)
    observing.install(app, Watched(records, store, checks, clock, journal_sequences))
    problems.install(app)
    if console is not None:
        app.include_router(room.router)
        for console_router in (pages.router, console_tickets.router, console_notices.router, rates.router):
            app.include_router(console_router)
        error_pages.install(app)
    identify = app.state.identify = access.Identify(records, signing.wall_clock, signing.auto_sign_in)
    table = access.TABLE if console is None else {**access.TABLE, **access.PAGES}
    app.add_middleware(access.AccessControl, table=table, identify=identify)
    access.check(app, table)
    _describe(app)
    return app


class _App(FastAPI):
    """An application whose every answer has our headers, also where it has failed."""

    def build_middleware_stack(self) -> ASGIApp:
        """Put the headers around everything else, also around the answer to a fault of ours."""
        return SecurityHeaders(super().build_middleware_stack())


def _describe(app: FastAPI) -> None:
    """Let the application describe itself once, problems with their own media type."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            said = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            app.openapi_schema = access.describe(problems.restate(said), access.TABLE)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
