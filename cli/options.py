"""What several commands take."""

from __future__ import annotations

from datetime import datetime

from heatwatch.broker import Address, read_address
from heatwatch.domain.instants import to_ms
from heatwatch.errors import BadInput
from heatwatch.files.tables import FIRST_YEAR, LAST_YEAR
from heatwatch.settings import Settings


def instant(text: str, where: str) -> int:
    """Read a moment given on the command line, as milliseconds.

    Raises
    ------
    BadInput
        If it is no time with a zone.
    """
    try:
        moment = datetime.fromisoformat(text)
        if FIRST_YEAR <= moment.year <= LAST_YEAR:
            return to_ms(moment)
    except ValueError as error:
        raise BadInput(f"{text!r} is no moment", where=where, mend="write 2026-01-31T06:00:00Z") from error
    raise BadInput(f"{text!r} is out of all time", where=where)


def broker_of(settings: Settings) -> Address:
    """Return the broker that the settings name, and how to get in.

    Raises
    ------
    BadInput
        If the address is none, or a file of its sign-in or certificates is amiss.
    """
    return read_address(
        settings.broker,
        "broker",
        settings.broker_user,
        password_file=settings.broker_password_file,
        ca_file=settings.broker_ca,
        cert_file=settings.broker_cert,
        key_file=settings.broker_key,
    )
