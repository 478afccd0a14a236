"""What several commands take."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlsplit

from heatwatch.domain.instants import to_ms
from heatwatch.errors import BadInput
from heatwatch.files.tables import FIRST_YEAR, LAST_YEAR

MQTT_PORT = 1883


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


def broker_address(url: str, where: str) -> tuple[str, int]:
    """Read the address of a broker, ``mqtt://host:port``.

    Raises
    ------
    BadInput
        If it is no such address.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or MQTT_PORT
    except ValueError as error:
        raise BadInput(f"{url!r}: {error}", where=where) from error
    if parts.username is not None or parts.password is not None:
        raise BadInput("signing in at the broker is not possible yet", where=where, mend="name host and port only")
    if parts.scheme != "mqtt" or not parts.hostname:
        raise BadInput(f"{url!r} is no address of a broker", where=where, mend="write mqtt://127.0.0.1:1883")
    return parts.hostname, port
