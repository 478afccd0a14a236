"""What the console works on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Depends, HTTPException, Request

from heatwatch.domain.temperature import Standard
from heatwatch.records.database import Records
from heatwatch.stores.readings import ReadingStore


@dataclass(frozen=True)
class Console:
    """What the pages are made from.

    Attributes
    ----------
    records, store
        What they tell about; neither is closed here.
    standard, zone
        What is asked of the rooms, and the company's time zone.
    clock
        Gives the installation's clock [ms], None before a replay has begun.
    company_name
        What stands on every page.
    replayed
        Whether the clock is a replay's, and moves by steps.
    auto_sign_in
        As whom a browser on this machine is signed in by itself; empty for nobody.
    """

    records: Records
    store: ReadingStore
    standard: Standard
    zone: ZoneInfo
    clock: Callable[[], int | None]
    company_name: str
    replayed: bool = False
    auto_sign_in: str = ""


def console_of(request: Request) -> Console:
    """Return the console of an application.

    Raises
    ------
    HTTPException
        Not found, where the application has none.
    """
    console: Console | None = getattr(request.app.state, "console", None)
    if console is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "there is no console here")
    return console


Backed = Annotated[Console, Depends(console_of)]
