"""Sends lines in pieces; what InfluxDB will never take is told once, counted and passed over."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from heatwatch.stores.influx.points import PRECISION
from heatwatch.stores.influx.server import Influx, Refused, TooLarge

log = logging.getLogger(__name__)

AT_ONCE = 5000
"""Lines in one request."""
_REASONS = 100
"""So many reasons are remembered; then the first is told again."""


class Writer:
    """Writes to one InfluxDB.

    Parameters
    ----------
    influx
        Where to.
    """

    def __init__(self, influx: Influx) -> None:
        self._influx = influx
        self._told: set[str] = set()

    def write(self, lines: Sequence[str]) -> int:
        """Write lines, and return how many of them InfluxDB will never take.

        Raises
        ------
        Unavailable
            If it does not answer; all of it may be written again.
        """
        return sum(self._send(lines[first : first + AT_ONCE]) for first in range(0, len(lines), AT_ONCE))

    def _send(self, lines: Sequence[str]) -> int:
        try:
            self._influx.write(("\n".join(lines) + "\n").encode(), precision=PRECISION)
        except TooLarge as refused:
            return self._halves(lines, refused)
        except Refused as refused:
            if refused.dropped is None and len(lines) > 1:
                return self._halves(lines, refused)
            self._tell(lines[0], refused)
            return min(len(lines), refused.dropped or 1)
        return 0

    def _halves(self, lines: Sequence[str], refused: Refused) -> int:
        if len(lines) == 1:
            self._tell(lines[0], refused)
            return 1
        middle = len(lines) // 2
        return self._send(lines[:middle]) + self._send(lines[middle:])

    def _tell(self, line: str, refused: Refused) -> None:
        measurement = line.partition(",")[0].partition(" ")[0]
        reason = f"{measurement}: {refused.why}"
        level = logging.DEBUG if reason in self._told else logging.WARNING
        if len(self._told) >= _REASONS:
            self._told.clear()
        self._told.add(reason)
        log.log(level, "InfluxDB will not take what Grafana is to read, and it is passed over: %s", reason)
