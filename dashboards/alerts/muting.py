"""Mute times for planned stops of heat.

A mute time is a window of the calendar: it knows no station. So each planned stop has one, and a policy that it mutes,
which takes the alerts of its station or building and no others. A stop whose end nobody knows has no window, and a
riser or room is nobody's heat outage: these have none. A whole station needs none: the rules themselves leave it out
by what the pipeline wrote. This is for single buildings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from dashboards.alerts.alarms import COLD, OUTAGE
from dashboards.model import OWN, GrafanaSet, Json, MuteTime, Route
from heatwatch.domain.instants import from_ms
from heatwatch.domain.stops import Stop

KINDS = f"{COLD.kind}|{OUTAGE.kind}"
"""What a planned stop explains. That its notice is due it does not."""
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Muted:
    """Mute times, and the policies that they mute."""

    mute_times: tuple[MuteTime, ...]
    routes: tuple[Route, ...]


def muted(stops: Iterable[Stop], zone: ZoneInfo, now_ms: int) -> Muted:
    """Return what planned stops mute, those that go on or are to come at `now_ms` [ms].

    Parameters
    ----------
    stops
        Reported stops that were not withdrawn.
    zone
        The company's time zone: windows are told in it.
    """
    windows: dict[tuple[str, str], list[Json]] = {}
    for stop in stops:
        if stop.planned and stop.subject_kind in {"station", "building"} and stop.end_ms and now_ms < stop.end_ms:
            windows.setdefault((stop.subject_kind, stop.subject_id), []).extend(_windows(stop, zone))
    names = {subject: f"{OWN}-stop-{'-'.join(subject)}" for subject in sorted(windows)}
    return Muted(
        tuple(MuteTime(name, tuple(windows[subject])) for subject, name in names.items()),
        tuple(_route(subject, name) for subject, name in names.items()),
    )


def with_mute_times(whole: GrafanaSet, made: Muted) -> GrafanaSet:
    """Return a set with mute times and their policies, which come before the others; one that tells nobody as it is."""
    if whole.route is None:
        return whole
    route = replace(whole.route, routes=(*made.routes, *whole.route.routes))
    return replace(whole, mute_times=(*whole.mute_times, *made.mute_times), route=route)


def _route(subject: tuple[str, str], name: str) -> Route:
    label, value = subject
    return Route(receiver=OWN, matchers=((label, "=", value), ("kind", "=~", KINDS)), mute_times=(name,))


def _windows(stop: Stop, zone: ZoneInfo) -> Iterator[Json]:
    """Give a window for each local day, in whole minutes: one that has begun is muted from its beginning."""
    if stop.end_ms is None:
        return
    first, last = from_ms(stop.start_ms).astimezone(zone), from_ms(stop.end_ms).astimezone(zone)
    if last.second or last.microsecond:
        last += MINUTE
    day = first.date()
    while day <= last.date():
        begins = f"{first:%H:%M}" if day == first.date() else "00:00"
        ends = f"{last:%H:%M}" if day == last.date() else "24:00"
        if begins < ends:
            yield _window(day, begins, ends, zone)
        day += timedelta(days=1)


def _window(day: date, begins: str, ends: str, zone: ZoneInfo) -> Json:
    return {
        "times": [{"start_time": begins, "end_time": ends}],
        "days_of_month": [str(day.day)],
        "months": [str(day.month)],
        "years": [str(day.year)],
        "location": zone.key,
    }
