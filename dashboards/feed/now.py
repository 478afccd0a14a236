"""What is so at a moment, as points: stations, delivery, and how far each role has come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from heatwatch import __version__
from heatwatch.domain.instants import HOUR_MS, SECOND_MS
from heatwatch.domain.stops import Stop
from heatwatch.domain.tickets import TicketKind
from heatwatch.stores.influx.points import NS_PER_MS, Value, line
from heatwatch.stores.influx.schema import DELIVERY, HEATWATCH, PIPELINE, SCHEMA_VERSION, STATION_NOW
from heatwatch.usecases.delivery import DeliverySummary
from heatwatch.usecases.overview import Building, Counts, Outage, Overview, RoomState
from heatwatch.usecases.workers import Come


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is so at `now_ms`, told at the minute `minute_ms`.

    Attributes
    ----------
    heard
        When each station's newest reading was measured [ms].
    stops
        Reported stops in force.
    next_due_ms
        Each station's next deadline [ms], where it has one.
    """

    now_ms: int
    minute_ms: int
    overview: Overview
    heard: Mapping[str, int]
    stops: Sequence[Stop]
    next_due_ms: Mapping[str, int]
    identities: Mapping[str, DeliverySummary]
    too_late: Mapping[str, int]
    roles: Mapping[str, Come]
    refused: int
    timezone: str

    def lines(self) -> list[str]:
        """Return it as lines."""
        told: dict[str, Value | None] = {"schema": SCHEMA_VERSION, "version": __version__, "timezone": self.timezone}
        return [
            *self._stations(),
            *(self._worker(name, one) for name, one in self.identities.items()),
            *(self._role(name, come) for name, come in self.roles.items()),
            line(HEATWATCH, {}, told, self._time_ns),
        ]

    @property
    def _time_ns(self) -> int:
        return self.minute_ms * NS_PER_MS

    def _stations(self) -> Iterator[str]:
        of: dict[str, list[Building]] = {}
        for building in self.overview.layout.buildings:
            of.setdefault(building.station_id, []).append(building)
        heard, planned = self._points_heard(of), _planned(self.stops, self.now_ms)
        for station in sorted({*of, *self.overview.stations} - {""}):
            buildings = of.get(station, [])
            counts = self.overview.stations.get(station, Counts())
            fields = self._counted(station, counts) | self._announcements(station)
            whole = ("station", station) in planned
            yield line(
                STATION_NOW,
                {"station": station},
                fields
                | {
                    "points_expected": counts.rooms,
                    "points_heard": heard.get(station, 0),
                    "last_heard_s": self._since(self.heard.get(station)),
                    "planned_stop": whole,
                    "buildings": len(buildings),
                    "planned_buildings": sum(whole or ("building", one.building_id) in planned for one in buildings),
                },
                self._time_ns,
            )

    def _points_heard(self, buildings_of: Mapping[str, Sequence[Building]]) -> dict[str, int]:
        layout, rooms = self.overview.layout, self.overview.rooms
        fresh = (rooms.time_ms >= self.now_ms - layout.hold_ms) & (rooms.state != RoomState.SUSPENDED)
        before = np.concatenate([[0], np.cumsum(fresh)])
        return {
            station: sum(int(before[one.first + one.rooms] - before[one.first]) for one in buildings)
            for station, buildings in buildings_of.items()
        }

    def _counted(self, station: str, counts: Counts) -> dict[str, Value | None]:
        due_ms = self.next_due_ms.get(station)
        kinds: dict[str, Value | None] = {f"tickets_{kind}": counts.tickets.get(kind, 0) for kind in TicketKind}
        return {
            **{name: getattr(counts, name) for name in ("rooms", "cold", "below", "silent", "unknown", "outages")},
            "tickets": sum(counts.tickets.values()),
            **kinds,
            "clocks_running": counts.running,
            "clocks_overdue": counts.overdue,
            "next_due_s": None if due_ms is None else (due_ms - self.now_ms) / SECOND_MS,
        }

    def _announcements(self, station: str) -> dict[str, Value | None]:
        outages: Iterable[Outage] = [one for one in self.overview.outages if one.station_id == station]
        lasted = [(self.now_ms - one.start_ms) / HOUR_MS for one in outages]
        due = [one.notice_due_ms for one in outages if one.notice_due_ms is not None and one.published_ms is None]
        return {
            "longest_outage_h": max(lasted, default=0.0),
            "notices_due": len(due),
            "notice_due_s": (min(due) - self.now_ms) / SECOND_MS if due else None,
        }

    def _since(self, at_ms: int | None) -> float | None:
        return None if at_ms is None else max(0, self.now_ms - at_ms) / SECOND_MS

    def _worker(self, name: str, one: DeliverySummary) -> str:
        readings = {f"readings_{term}": count for term, count in one.readings.items()}
        fields = {**one.messages, **readings, "holds": one.holds, "too_late": self.too_late.get(name, 0)}
        return line(DELIVERY, {"worker": name}, fields, self._time_ns)

    def _role(self, name: str, come: Come) -> str:
        fields: dict[str, Value | None] = {
            "as_of_ms": come.as_of_ms or 0,
            "lag_s": self._since(come.as_of_ms),
            "waiting": come.waiting,
            "refused": self.refused if name == "feed" else 0,
        }
        return line(PIPELINE, {"role": name}, fields, self._time_ns)


def _planned(stops: Sequence[Stop], now_ms: int) -> set[tuple[str, str]]:
    """Return whose heat is off as planned, by subject."""
    now = (one for one in stops if one.planned and one.start_ms <= now_ms)
    return {(one.subject_kind, one.subject_id) for one in now if one.end_ms is None or now_ms < one.end_ms}
