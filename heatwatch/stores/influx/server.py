"""An InfluxDB as those who write see it: one call, and three things that can become of it.

It took everything; or it may take the same later (`heatwatch.errors.Unavailable`); or there is something in it that it
will never take (`Refused`). A server that refuses some points keeps the good ones of the same request.
"""

from __future__ import annotations

import re
from typing import Protocol

from heatwatch.errors import BadInput, Unavailable

_DROPPED = re.compile(r"dropped=(\d+)")
_MOST_SHOWN = 300
_BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_LARGE, _UNPROCESSABLE = 400, 401, 403, 404, 413, 422
_SLOW, _BUSY, _OVERLOADED = 408, 429, 503
_NO_MORE = 500


class Influx(Protocol):
    """A bucket of InfluxDB 2.x, or a database of 1.x or 3.x. Safe to use from several threads."""

    def write(self, lines: bytes, *, precision: str = "ms") -> None:
        r"""Write line protocol, lines ended by ``\n``; it is durable when this returns.

        Parameters
        ----------
        lines
            UTF-8.
        precision
            Unit of the times: `ns`, `ms` or `s`.

        Raises
        ------
        Unavailable
            If it does not answer in time, does not let us in, has no such bucket, or cannot take anything for now. What
            became of the lines is unknown; each may be written again.
        Refused
            If it does not take some of the lines, or none. The others it may have kept.
        """
        ...

    def ping(self) -> None:
        """Raise `Unavailable` if it does not answer."""
        ...

    def close(self) -> None:
        """Release the connections."""
        ...


class Refused(BadInput):
    """InfluxDB will not take some of the lines, however often they are sent.

    Parameters
    ----------
    why
        Its own words.
    dropped
        How many lines it says it dropped; None where it does not say.
    """

    def __init__(self, why: str, dropped: int | None = None) -> None:
        self.why, self.dropped = why, dropped
        super().__init__(why, where="InfluxDB")


class TooLarge(Refused):
    """The request has more bytes than the server takes at once."""


def refusal(
    peer: str, status: int, said: str, *, retry_after: str | None, bucket: str, signed_in: str
) -> Unavailable | Refused:
    """Return what an answer other than success means.

    Parameters
    ----------
    peer
        Address of the server.
    status
        Of HTTP.
    said
        The server's own words.
    retry_after
        When it wants to be asked again, as its header says.
    bucket
        What is written to, in words: bucket or database, with its name.
    signed_in
        As whom we came, in words.
    """
    said = " ".join(said.split())[:_MOST_SHOWN]
    if status == _TOO_LARGE:
        return TooLarge(said or "more bytes than it takes at once")
    if status in {_BAD_REQUEST, _UNPROCESSABLE}:
        found = _DROPPED.search(said)
        return Refused(said or f"HTTP {status}", int(found[1]) if found else None)
    meant = {
        _UNAUTHORIZED: f"it does not know us ({signed_in})",
        _FORBIDDEN: f"{signed_in} may not do this with {bucket}",
        _NOT_FOUND: f"it has no {bucket} for {signed_in}: make it, or mend the setting",
        _SLOW: "it took too long",
        _BUSY: "it is asked too often",
        _OVERLOADED: "it can take nothing for now",
    }.get(status, "it failed" if status >= _NO_MORE else "it answered what we do not know")
    wait = f"; it asks to wait {retry_after} s" if retry_after else ""
    return Unavailable(peer, f"{meant}{wait}: HTTP {status} {said}".rstrip())
