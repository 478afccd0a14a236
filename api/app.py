"""The REST interface as an application. It describes itself at `/api/v1/openapi.json`; nothing comes from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import problems
from api.routes import Backend, router
from heatwatch.domain.findings import FindingKind
from heatwatch.records.database import Records
from heatwatch.stores.readings import ReadingStore

TITLE = "heatwatch"
DESCRIPTION = """Room temperatures of district heating: what was measured, what judging found, which tickets it became.

Instants are ISO 8601 in UTC with milliseconds and `Z`. Names carry units: `_c` degC, `_k` K, `_h` hours, `_kh` kelvin
hours, `_s` seconds. Lists come in parts (`limit`, `offset`). Errors are problem details (RFC 9457)."""
TAGS = [
    {"name": "register", "description": "The test points: where, which class, which device since when (R6)."},
    {"name": "readings", "description": "What was measured, as it was kept (R8)."},
    {"name": "findings", "description": "What judging found: cold spells, outages, sensor faults (R1-R5, R7, R11)."},
    {"name": "tickets", "description": "Pieces of work with their deadlines (R11-R18)."},
    {"name": "delivery", "description": "What became of every message."},
    {"name": "health", "description": "Whether it works."},
]


def create_app(
    records: Records,
    store: ReadingStore,
    journal_sequences: Callable[[], Mapping[str, int]],
    clock: Callable[[], int | None],
    version: str,
    *,
    delivery: Callable[[], Mapping[str, Any]],
    findings_csv: Callable[[FindingKind], bytes],
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
        Gives the file of all findings of a kind.
    """
    app = FastAPI(
        title=TITLE,
        description=DESCRIPTION,
        version=version,
        openapi_tags=TAGS,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.backend = Backend(records, store, journal_sequences, clock, version, delivery, findings_csv)
    app.include_router(router)
    problems.install(app)
    _describe(app)
    return app


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
            app.openapi_schema = problems.restate(said)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
