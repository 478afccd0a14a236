"""Compliance rates (室温合格率): the parts of a room's time, and what share of them meets R1-R4.

The time and the readings of a test point on a local day are parted without rest. Only two parts are rated: what
complies and what violates. What is unknown, what lies in a known fault of the heating (R1), what a faulty thermometer
says and what nothing is asked of (R5) stand beside, never inside. Definitions: `docs/decisions/0020-…`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from operator import add

from heatwatch.domain.instants import HOUR_MS
from heatwatch.domain.temperature import Season

PARTS = (
    "compliant_ms",
    "violating_ms",
    "unknown_ms",
    "sensor_fault_ms",
    "outage_ms",
    "not_asked_ms",
    "suspended_ms",
    "off_season_ms",
    "unlisted_ms",
)
"""What the time of a test point is parted into [ms]: together they are the whole of it."""
WITHIN = ("below_target_ms", "outage_compliant_ms", "outage_violating_ms")
"""Time inside a part that is told beside it: `below_target_ms` in `compliant_ms`, the others in `outage_ms`."""
COUNTS = (
    "compliant_n",
    "violating_n",
    "below_target_n",
    "outage_n",
    "outage_violating_n",
    "outage_below_target_n",
    "sensor_fault_n",
    "sensor_fault_violating_n",
    "sensor_fault_below_target_n",
    "not_asked_n",
    "not_in_service_n",
)
"""Valid readings. `compliant_n`, `violating_n`, `outage_n`, `sensor_fault_n`, `not_asked_n` and `not_in_service_n` are
all of them; the others lie inside those of their name, `below_target_n` inside `compliant_n`."""
ALL_VALID = ("compliant_n", "violating_n", "outage_n", "sensor_fault_n", "not_asked_n", "not_in_service_n")
FIELDS = (*PARTS, *WITHIN, *COUNTS)
"""Everything that is added up, in this order."""

_AT = {name: place for place, name in enumerate(FIELDS)}
_YEAR_BEGINS = (7, 1)
"""A heating year runs from the first of July, so that no winter is cut in two."""
HUNDRED = 100


class Per(StrEnum):
    """Of what a rate is."""

    COMPANY = "company"
    STATION = "station"
    BUILDING = "building"
    ROOM = "room"


class By(StrEnum):
    """Over what time a rate is."""

    DAY = "day"
    MONTH = "month"
    SEASON = "season"


@dataclass(frozen=True, slots=True)
class Demands:
    """What it takes for a room to comply over a period (合格户), both in percent.

    Attributes
    ----------
    room_pct
        Share of its rated time that has to comply.
    known_pct
        Share of its time to be rated that has to be known; else the room is in no rate.
    """

    room_pct: int
    known_pct: int


@dataclass(frozen=True, slots=True)
class RoomSum:
    """What was added up of one test point, in one room, over one period."""

    station_id: str
    building_id: str
    room: str
    point_id: str
    period: str
    sums: Sequence[int]
    """In the order of `FIELDS`."""


@dataclass(frozen=True, slots=True)
class Share:
    """A rate with what it rests on; without anything known it is unknown, neither 0 nor 100 %."""

    part: int
    whole: int

    @property
    def pct(self) -> float | None:
        """The rate [%], cut off after two decimals so that 100 means all; None where nothing is known.

        >>> Share(9999, 10000).pct, Share(199_999, 200_000).pct, Share(0, 0).pct
        (99.99, 99.99, None)
        """
        return None if not self.whole else self.part * HUNDRED * HUNDRED // self.whole / HUNDRED


@dataclass(slots=True)
class Rates:
    """The rates of one subject over one period."""

    period: str
    station_id: str
    building_id: str
    room: str
    sums: list[int] = field(default_factory=lambda: [0] * len(FIELDS))
    rooms: int = 0
    """Rooms with any time to be rated."""
    rooms_known: int = 0
    rooms_compliant: int = 0

    def of(self, name: str) -> int:
        """Return one of `FIELDS`."""
        return self.sums[_AT[name]]

    @property
    def by_readings(self) -> Share:
        """Readings that violate nothing, of the rated ones."""
        return Share(self.of("compliant_n"), self.of("compliant_n") + self.of("violating_n"))

    @property
    def by_hours(self) -> Share:
        """Time that complies, of the rated time [ms]."""
        return Share(self.of("compliant_ms"), self.of("compliant_ms") + self.of("violating_ms"))

    @property
    def by_rooms(self) -> Share:
        """Rooms that comply, of those of which enough is known (合格户数 of 检测户数)."""
        return Share(self.rooms_compliant, self.rooms_known)

    def hours(self, name: str) -> float:
        """Return one of the times [h]."""
        return self.of(name) / HOUR_MS


def complies(sums: Sequence[int], demands: Demands) -> bool | None:
    """Tell whether a test point complies over a period; None where too little is known of it."""
    compliant, violating = sums[_AT["compliant_ms"]], sums[_AT["violating_ms"]]
    known = compliant + violating
    wanted = known + sums[_AT["unknown_ms"]] + sums[_AT["sensor_fault_ms"]]
    if not known or known * HUNDRED < wanted * demands.known_pct:
        return None
    return compliant * HUNDRED >= known * demands.room_pct


def rates(rooms: Iterable[RoomSum], per: Per, demands: Demands) -> list[Rates]:
    """Add rooms up to what rates are asked of, by period and subject in their order.

    A room with several test points complies where each of them does of which enough is known: it is as warm as its
    coldest corner.
    """
    found: dict[tuple[str, str, str, str], Rates] = {}
    verdicts: dict[tuple[str, str, str, str], dict[tuple[str, ...], list[bool | None]]] = {}
    for one in rooms:
        key = (one.period, *_subject(one, per))
        into = found.get(key)
        if into is None:
            into = found[key] = Rates(*key)
            verdicts[key] = {}
        into.sums = list(map(add, into.sums, one.sums))
        if _to_be_rated(one.sums):
            home = (one.station_id, one.building_id, one.room)
            verdicts[key].setdefault(home, []).append(complies(one.sums, demands))
    for key, homes in verdicts.items():
        one_by_one = [[verdict for verdict in points if verdict is not None] for points in homes.values()]
        rated = [all(known) for known in one_by_one if known]
        found[key].rooms, found[key].rooms_known, found[key].rooms_compliant = len(homes), len(rated), sum(rated)
    return [found[key] for key in sorted(found)]


def _subject(one: RoomSum, per: Per) -> tuple[str, str, str]:
    if per is Per.COMPANY:
        return "", "", ""
    if per is Per.STATION:
        return one.station_id, "", ""
    return one.station_id, one.building_id, one.room if per is Per.ROOM else ""


def _to_be_rated(sums: Sequence[int]) -> bool:
    return any(sums[_AT[name]] for name in ("compliant_ms", "violating_ms", "unknown_ms", "sensor_fault_ms"))


def period_of(day: date, by: By, seasons: Sequence[Season] = ()) -> str:
    """Return the name of the period that a local day lies in.

    A season is called by the years of its winter. A day in none of the rules' seasons belongs to its heating year,
    1 July to 30 June: so does every day where the rules set no season.

    >>> period_of(date(2026, 1, 31), By.MONTH), period_of(date(2026, 1, 31), By.SEASON)
    ('2026-01', '2025-26')
    """
    if by is By.DAY:
        return day.isoformat()
    if by is By.MONTH:
        return day.isoformat()[:7]
    within = next((season.first_day for season in seasons if season.first_day <= day <= season.last_day), day)
    year = within.year if (within.month, within.day) >= _YEAR_BEGINS else within.year - 1
    return f"{year:04d}-{(year + 1) % 100:02d}"


def period_names(first_day: date, last_day: date, by: By, seasons: Sequence[Season] = ()) -> Mapping[date, str]:
    """Return the period of each day from `first_day` to `last_day`, both included."""
    days = (first_day + timedelta(days=n) for n in range((last_day - first_day).days + 1))
    return {day: period_of(day, by, seasons) for day in days}


SUBJECT_COLUMNS: Mapping[Per, tuple[str, ...]] = {
    Per.COMPANY: (),
    Per.STATION: ("station_id",),
    Per.BUILDING: ("station_id", "building_id"),
    Per.ROOM: ("station_id", "building_id", "room"),
}


def columns_of(one: Rates, per: Per) -> dict[str, str | int | float | None]:
    """Return a line of the table that every face shows: rates, what they rest on, and what stands beside."""
    subject: dict[str, str | int | float | None] = {name: getattr(one, name) for name in SUBJECT_COLUMNS[per]}
    readings, rooms = one.by_readings, one.by_rooms
    return {
        "period": one.period,
        **subject,
        "readings_pct": readings.pct,
        "readings_compliant": readings.part,
        "readings_rated": readings.whole,
        "hours_pct": one.by_hours.pct,
        "compliant_h": one.hours("compliant_ms"),
        "violating_h": one.hours("violating_ms"),
        "rooms_pct": rooms.pct,
        "rooms_compliant": rooms.part,
        "rooms_rated": rooms.whole,
        "rooms": one.rooms,
        "readings_below_target": one.of("below_target_n"),
        "below_target_h": one.hours("below_target_ms"),
        "unknown_h": one.hours("unknown_ms"),
        "sensor_fault_h": one.hours("sensor_fault_ms"),
        "readings_sensor_fault": one.of("sensor_fault_n"),
        "outage_h": one.hours("outage_ms"),
        "outage_violating_h": one.hours("outage_violating_ms"),
        "readings_outage": one.of("outage_n"),
        "readings_outage_violating": one.of("outage_violating_n"),
        "not_asked_h": one.hours("not_asked_ms"),
        "not_in_service_h": (one.of("suspended_ms") + one.of("unlisted_ms")) / HOUR_MS,
        "off_season_h": one.hours("off_season_ms"),
    }
