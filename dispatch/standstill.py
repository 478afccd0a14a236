"""What decisions rested on, remembered: where only figures have changed since, there is nothing to decide anew.

A cold spell that goes on changes with every reading: how long, how cold. Whose ticket it belongs to hangs on none of
that; nor does a point's ticket on how far its thermometer has drifted. What is remembered only saves work: forgotten,
everything is looked at again, and the same is decided.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dispatch.faults import enough
from heatwatch.domain.instants import to_ms
from heatwatch.domain.register import FAR_FUTURE_MS, FAR_PAST_MS, Register
from heatwatch.domain.temperature import Judging
from heatwatch.records.schema import FindingRow
from heatwatch.usecases.register import rooms_in_service

Basis = tuple[Any, ...]


class Standstill:
    """Remembers the findings of stations in which the last decision changed nothing.

    A finding is news unless all that decisions rest on is as it was then, and nothing was decided in its station since.
    Whoever has changed tickets otherwise, or gives a transaction up, calls `forget`.
    """

    def __init__(self, sensor_rows: int = Judging().sensor_rows) -> None:
        self._sensor_rows = sensor_rows
        self._known: dict[int, Basis] = {}
        self._quiet: set[str] = set()
        self._register: Register | None = None
        self._edges: list[int] = []
        self._at = -1
        self._rooms: Mapping[str, int] = {}

    def forget(self) -> None:
        """Take everything for news."""
        self._known.clear()
        self._quiet.clear()

    def rooms(self, register: Register | None, at_ms: int) -> Mapping[str, int]:
        """Return the rooms in service of each building; where they are others than before, everything is news."""
        if register is not self._register:
            self._register, self._edges, self._at = register, _edges(register), -1
        at = bisect_right(self._edges, at_ms)
        if at != self._at:
            self._at, self._rooms = at, rooms_in_service(register, at_ms)
            self.forget()
        return self._rooms

    def news(self, rows: Iterable[FindingRow]) -> list[FindingRow]:
        """Return those about which something may have to be decided."""
        return [row for row in rows if row.station_id not in self._quiet or self._known.get(row.id) != self._basis(row)]

    def decided(self, station: str, rows: Sequence[FindingRow], *, quiet: bool) -> None:
        """Note that everything in a station was decided, and whether that changed nothing; `rows` were news."""
        if quiet:
            self._quiet.add(station)
        else:
            self._quiet.discard(station)
        for row in rows:
            if quiet and row.open:
                self._known[row.id] = self._basis(row)
            else:
                self._known.pop(row.id, None)  # what is over hardly changes again

    def _basis(self, row: FindingRow) -> Basis:
        """Return all of a finding that tickets and notices rest on."""
        place = (row.kind, row.subject_kind, row.subject_id, row.building_id, row.station_id)
        span = (row.start_ms, row.end_ms, row.open, row.confirmed_ms, row.withdrawn)
        return (*place, *span, row.detail.get("end_reason"), row.detail.get("kind"), enough(row, self._sensor_rows))


def _edges(register: Register | None) -> list[int]:
    """Return when a room may come into service or leave it [ms]."""
    rows = () if register is None else register.rows
    spans = {edge for row in rows for edge in (row.valid_from_ms, row.valid_to_ms)}
    suspended = {one for row in rows for one in (row.suspended_from, row.suspended_to) if one is not None}
    return sorted((spans | {to_ms(one) for one in suspended}) - {FAR_PAST_MS, FAR_FUTURE_MS})
