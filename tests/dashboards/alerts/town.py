"""A company in which something is amiss at each station, named after it; each stands at the edge of a rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from heatwatch.stores.influx import points, schema
from heatwatch.stores.influx.schema import WHOLE_STATION, Measurement
from tests.dashboards.alerts.grafana import Labels, labels

SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1000, 60_000, 3_600_000, 86_400_000
NOW_MS = 1_768_284_000_000
"""2026-01-13 14:00 in Shanghai: the newest minute that was told."""
MINUTES = 75
Value = float | int | str | bool

STATIONS: Mapping[str, Mapping[str, Value]] = {
    "calm": {},
    "冷": {"cold": 3},
    "planned": {"cold": 5, "outages": 1, "planned_buildings": 2, "planned_stop": True},
    "partly planned": {"cold": 1, "planned_buildings": 1},
    "out": {"outages": 2},
    "C'out": {"outages": 1},
    "no houses": {"outages": 1, "buildings": 0},
    "ended": {},
    "soon": {"notices_due": 1, "notice_due_s": 7200.0},
    "early": {"notices_due": 1, "notice_due_s": 7201.0},
    "at once": {"notices_due": 1, "notice_due_s": 0.0},
    "overdue": {"notices_due": 2, "notice_due_s": -1.0},
    "published": {},
    "breached": {},
    "in time": {},
    "stopped": {"points_heard": 0, "last_heard_s": 5401.0},
    "nearly stopped": {"last_heard_s": 5400.0},
    "closed": {"points_expected": 0, "points_heard": 0, "last_heard_s": 9e6},
    "never heard": {"points_heard": 0},
    "a tenth missing": {"points_expected": 100, "points_heard": 90},
    "more missing": {"points_expected": 100, "points_heard": 89},
    "lone": {"points_expected": 1, "points_heard": 0, "last_heard_s": 60.0},
}
"""What differs from a station where all is well."""

WORKERS: Mapping[str, tuple[int, int, int, int]] = {
    "w1": (0, 0, 0, 0),
    "w2": (21, 0, 0, 0),
    "w3": (20, 0, 0, 0),
    "w4": (10, 11, 0, 0),
    "w5": (-50, 0, 0, 0),
    "w6": (0, 0, 1, 0),
    "w7": (0, 0, -1, 1),
}
"""Growth of messages and of readings in quarantine; by how much messages and readings do not add up."""

EXPECTED: Mapping[str, set[Labels]] = {
    "heatwatch-cold-rooms": {labels(station="冷"), labels(station="partly planned")},
    "heatwatch-outage": {
        labels(station="out", building="1号楼"),
        labels(station="out", building=WHOLE_STATION),
        labels(station="C'out", building='B "2"'),
        labels(station="no houses", building=WHOLE_STATION),
    },
    "heatwatch-notice-soon": {labels(station="soon"), labels(station="at once")},
    "heatwatch-notice-overdue": {labels(station="overdue")},
    "heatwatch-clock-breached": {labels(station="breached", building="b1")},
    "heatwatch-delivery-stopped": {labels(station="stopped")},
    "heatwatch-thermometers-missing": {
        labels(station=name) for name in ("stopped", "never heard", "more missing", "lone")
    },
    "heatwatch-quarantine-growing": {labels(worker="w2"), labels(worker="w4")},
    "heatwatch-identity-broken": {labels(worker="w6"), labels(worker="w7")},
    "heatwatch-feed-refused": {labels()},
    "heatwatch-pipeline-behind": {labels(role="dispatch")},
    "heatwatch-pipeline-silent": set(),
}
"""What each rule finds at `NOW_MS`, before it has waited."""


def lines(until_ms: int = NOW_MS) -> list[str]:
    """Return all of it as line protocol, in nanoseconds, without what was told after a moment."""
    return [text for at_ms, text in _all() if at_ms <= until_ms]


def _all() -> Iterator[tuple[int, str]]:
    for minute in range(MINUTES, -1, -1):
        at_ms = NOW_MS - minute * MINUTE_MS
        for text in _minute(at_ms, minute):
            yield at_ms, text
    for text in (*_findings(), *_tickets()):
        yield 0, text


def station(name: str, at_ms: int, **fields: Value) -> str:
    """Return a station's minute: all is well but what is said."""
    counts: dict[str, Value] = {one.name: 0 for one in schema.STATION_NOW.fields if one.type == "integer"}
    told = counts | {"rooms": 4, "buildings": 2, "points_expected": 4, "points_heard": 4, "planned_stop": False}
    told |= {"longest_outage_h": 0.0}
    if name != "never heard":
        told |= {"last_heard_s": 61.0}
    return _line(schema.STATION_NOW, {"station": name}, told | fields, at_ms)


def _minute(at_ms: int, minute: int) -> Iterator[str]:
    for name, fields in STATIONS.items():
        more: dict[str, Value] = dict(fields)
        if name == "published" and minute > 3:
            more |= {"notices_due": 1, "notice_due_s": 600.0}
        yield station(name, at_ms, **more)
    yield _line(schema.HEATWATCH, {}, {"schema": 1, "version": "0.1.0", "timezone": "Asia/Shanghai"}, at_ms)
    for role, lag_s in (("feed", 0.0), ("analytics", 1800.0), ("dispatch", 1800.5), ("notifier", None)):
        told: dict[str, Value] = {"as_of_ms": at_ms if role == "feed" else 0, "waiting": 0}
        told |= {"refused": 7 if role == "feed" and minute < 30 else 5}
        yield _line(schema.PIPELINE, {"role": role}, told | ({} if lag_s is None else {"lag_s": lag_s}), at_ms)
    for name, (messages, readings, message_gap, reading_gap) in WORKERS.items():
        done, late = (MINUTES - minute) * 10, minute < 30
        bad, odd = 100 + messages * late, 100 + readings * late
        counts: dict[str, Value] = {
            "received": done + bad + 2 + message_gap,
            "decoded": done,
            "no_reading": 1,
            "quarantined": bad,
            "waiting": 1,
            "readings_decoded": done + odd + reading_gap,
            "readings_stored": done - 3,
            "readings_duplicate": 2,
            "readings_conflict": 1,
            "readings_quarantined": odd,
            "readings_waiting": 0,
            "holds": not (message_gap or reading_gap),
            "too_late": 0,
        }
        yield _line(schema.DELIVERY, {"worker": name}, counts, at_ms)


def _findings() -> Iterator[str]:
    told: list[tuple[str, str, str, float, dict[str, Value]]] = [
        ("heat_outage", "out", "1号楼", 3.0, {}),
        ("heat_outage", "out", "1号楼", 2.0, {}),  # the earlier one counts
        ("heat_outage", "out", WHOLE_STATION, 1 / 60, {}),  # has just begun
        ("heat_outage", "C'out", 'B "2"', 24 * 200.0, {}),  # all winter
        ("heat_outage", "planned", "b1", 1.0, {}),
        ("heat_outage", "no houses", WHOLE_STATION, 1.0, {}),
        ("heat_outage", "ended", "b1", 9.0, {"open": False, "end_ms": NOW_MS - HOUR_MS}),
        ("heat_outage", "ended", "b2", 9.0, {"withdrawn": True}),
        ("heat_outage", "ended", "b3", 9.0, {"withdrawn": True, "moved": True, "open": False}),
        ("cold_spell", "冷", "b1", 9.0, {}),
        ("data_outage", "stopped", "b1", 3.0, {}),
    ]
    for number, (kind, station_, building, hours, more) in enumerate(told, 1):
        start_ms = NOW_MS - round(hours * HOUR_MS)
        whole = building == WHOLE_STATION
        tags = {"kind": kind, "subject_kind": "station" if whole else "building", "subject": building}
        fields: dict[str, Value] = {"finding": number, "start_ms": start_ms, "end_ms": 0, "open": True}
        fields |= {"withdrawn": False, "moved": False, "confirmed": True, **more}
        yield _line(schema.FINDING, {**tags, "station": station_, "building": building}, fields, start_ms, number)


def _tickets() -> Iterator[str]:
    told: list[tuple[str, str, int]] = [
        ("breached", "b1", NOW_MS - SECOND_MS),
        ("breached", "b1", NOW_MS + HOUR_MS),
        ("breached", "b2", NOW_MS + SECOND_MS),
        ("in time", "b1", NOW_MS),  # due at this very moment
        ("in time", "b2", 0),  # nothing runs
    ]
    for number, (station_, building, due_ms) in enumerate(told, 1):
        opened_ms = NOW_MS - number * DAY_MS
        tags = {"kind": "repair", "station": station_, "building": building, "scope": "building"}
        fields: dict[str, Value] = {"ticket": number, "state": "taken", "open": due_ms > 0, "due_ms": due_ms}
        yield _line(schema.TICKET, tags, fields, opened_ms, number)


def _line(of: Measurement, tags: Mapping[str, str], fields: Mapping[str, Value], at_ms: int, number: int = 0) -> str:
    return points.line(of, tags, fields, points.time_of(at_ms, number))
