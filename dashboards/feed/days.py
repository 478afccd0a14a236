"""Days of compliance rates as points: the sums of the tallies, and the rates that they make."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from heatwatch.domain.compliance import FIELDS, Demands, Per, Rates, RoomSum, Share, rates
from heatwatch.domain.instants import to_ms
from heatwatch.records.schema import ComplianceDay
from heatwatch.stores.influx.points import NS_PER_MS, Value, line
from heatwatch.stores.influx.schema import COMPLIANCE_DAY

Day = tuple[str, str]
"""A local day, as in 2026-01-31, and a building."""
Series = tuple[str, str]
"""A station and a class of rooms."""
UNKNOWN_PCT = -1.0


def series_in(tallies: Sequence[ComplianceDay]) -> dict[Day, list[Series]]:
    """Return in which series each day of a building is told."""
    found: dict[Day, set[Series]] = {}
    for row in tallies:
        found.setdefault((row.day, row.building_id), set()).add((row.station_id, row.room_class))
    return {day: sorted(series) for day, series in found.items()}


def told_days(
    series: Mapping[Day, Collection[Series]], tallies: Sequence[ComplianceDay], demands: Demands, zone: ZoneInfo
) -> list[str]:
    """Return days of buildings as lines.

    Parameters
    ----------
    series
        In which series each day is told; where there are no tallies of it any more, all is 0 and the rates are unknown.
    tallies
        Every tally of these days.
    demands, zone
        What the rules ask of a room that is to comply, and the zone of local days.
    """
    sums: dict[tuple[Day, Series], list[RoomSum]] = {
        (day, one): [] for day, several in series.items() for one in several
    }
    for row in tallies:
        values = [getattr(row, name) for name in FIELDS]
        told = RoomSum(row.station_id, row.building_id, row.room, row.point_id, row.day, values)
        sums[(row.day, row.building_id), (row.station_id, row.room_class)].append(told)
    return [_line(day, one, rooms, demands, zone) for (day, one), rooms in sums.items()]


def _line(day: Day, series: Series, rooms: Sequence[RoomSum], demands: Demands, zone: ZoneInfo) -> str:
    name, building = day
    station, room_class = series
    found = rates(rooms, Per.BUILDING, demands)
    one = found[0] if found else Rates(name, station, building, "")
    fields: dict[str, Value | None] = {
        "readings_pct": _pct(one.by_readings),
        "hours_pct": _pct(one.by_hours),
        "rooms_pct": _pct(one.by_rooms),
        "readings_rated": one.by_readings.whole,
        "rated_ms": one.by_hours.whole,
        "rooms": one.rooms,
        "rooms_rated": one.rooms_known,
        "rooms_compliant": one.rooms_compliant,
        **dict(zip(FIELDS, one.sums, strict=True)),
    }
    tags = {"station": station, "building": building, "room_class": room_class}
    midnight_ms = to_ms(datetime.combine(date.fromisoformat(name), time(), zone))
    return line(COMPLIANCE_DAY, tags, fields, midnight_ms * NS_PER_MS)


def _pct(share: Share) -> float:
    return UNKNOWN_PCT if share.pct is None else share.pct
