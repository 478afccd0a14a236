"""What the register says of a town: whose device when, which interval, who is out of service, when heat is lowered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise

import numpy as np

from heatwatch.domain.instants import from_ms
from heatwatch.domain.register import FAR_FUTURE_MS, FAR_PAST_MS, PointRow
from simulators.thermometers.slate import Placed
from simulators.thermometers.value_faults import Interval, Replaced
from simulators.towns.events import DisconnectedHome, Event, NightSetback

_MINUTES = 60


@dataclass(slots=True)
class _Entries:
    """What is said of one point besides its row: devices from when, and spans with what holds in them [ms]."""

    renewed_ms: list[int] = field(default_factory=list)
    intervals: list[tuple[int, int, int]] = field(default_factory=list)
    hours: list[tuple[int, int, tuple[tuple[int, int], ...]]] = field(default_factory=list)
    suspended: list[tuple[int, int]] = field(default_factory=list)

    def edges_ms(self) -> list[int]:
        """Return where one row ends and the next begins."""
        spans = [*(one[:2] for one in self.intervals), *(one[:2] for one in self.hours)]
        again = [start_ms for start_ms, _ in self.pauses()[1:]]
        return sorted({*self.renewed_ms, *again, *(edge for span in spans for edge in span if edge < FAR_FUTURE_MS)})

    def pauses(self) -> list[tuple[int, int]]:
        """Return when the point is out of service, in order; what overlaps or touches as one."""
        found: list[tuple[int, int]] = []
        for start_ms, end_ms in sorted(self.suspended):
            if found and start_ms <= found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], end_ms))
            else:
                found.append((start_ms, end_ms))
        return found


def registered(
    points: Sequence[PointRow], events: Iterable[Event], placed: Iterable[Placed], start_ms: int
) -> list[PointRow]:
    """Return the register: the rows of each point in order.

    A replaced device is the point's until the new one is there. What held before the town's start has always held.

    Parameters
    ----------
    points
        One row a room.
    events, placed
        What happens.
    start_ms
        The town's start [ms].
    """
    entries: dict[int, _Entries] = {}
    for event in events:
        if isinstance(event, DisconnectedHome | NightSetback):
            for room in np.flatnonzero(event.subject.among(points)).tolist():
                _note_event(entries.setdefault(room, _Entries()), event)
    for one in placed:
        if isinstance(one.fault, Replaced | Interval):
            for room in one.rooms.tolist():
                _note_fault(entries.setdefault(room, _Entries()), one.fault)
    rows = [_rows(row, entries[room], start_ms) if room in entries else [row] for room, row in enumerate(points)]
    return [row for of_room in rows for row in of_room]


def device_ids(point_id: str, renewals: int) -> list[str]:
    """Return the names of a point's devices in their order.

    >>> device_ids("S1-B01-1-101", 1)
    ['S1-B01-1-101:T1', 'S1-B01-1-101:T2']
    """
    return [f"{point_id}:T{number + 1}" for number in range(renewals + 1)]


def _note_event(entries: _Entries, event: DisconnectedHome | NightSetback) -> None:
    if isinstance(event, DisconnectedHome):
        entries.suspended.append((event.start_ms, event.end_ms))
    elif event.declared:
        hours = ((round(event.to_h * _MINUTES), round(event.from_h * _MINUTES)),)
        entries.hours.append((event.start_ms, event.end_ms, hours))


def _note_fault(entries: _Entries, fault: Replaced | Interval) -> None:
    if isinstance(fault, Replaced):
        entries.renewed_ms.append(fault.end_ms)
    elif fault.registered:
        entries.intervals.append((fault.start_ms, fault.end_ms, fault.interval_s))


def _rows(row: PointRow, entries: _Entries, start_ms: int) -> list[PointRow]:
    edges_ms = [FAR_PAST_MS, *(edge for edge in entries.edges_ms() if edge > start_ms), FAR_FUTURE_MS]
    renewed_ms = sorted(entries.renewed_ms)
    devices: list[str | None] = [*device_ids(row.point_id, len(renewed_ms))] if renewed_ms else [None]
    found = []
    for first_ms, end_ms in pairwise(edges_ms):
        at_ms = max(first_ms, start_ms)
        suspended = next(((a, b) for a, b in entries.pauses() if a < end_ms and b > at_ms), (None, None))
        found.append(
            replace(
                row,
                valid_from=_instant(first_ms),
                valid_to=_instant(end_ms),
                device_id=devices[sum(renewed <= at_ms for renewed in renewed_ms)],
                interval_s=next((s for a, b, s in reversed(entries.intervals) if a <= at_ms < b), row.interval_s),
                heating_hours=next((hours for a, b, hours in entries.hours if a <= at_ms < b), row.heating_hours),
                suspended_from=_instant(suspended[0]),
                suspended_to=_instant(suspended[1]),
            )
        )
    return found


def _instant(ms: int | None) -> datetime | None:
    return None if ms is None or ms in {FAR_PAST_MS, FAR_FUTURE_MS} else from_ms(ms)
