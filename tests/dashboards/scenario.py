"""A company of two stations on one winter day, as points of every measurement: small enough to be reckoned by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from heatwatch.stores.influx import points, schema
from heatwatch.stores.influx.schema import Measurement

HOUR_MS, MINUTE_MS, DAY_MS = 3_600_000, 60_000, 86_400_000
MIDNIGHT_MS = 1_768_147_200_000
"""2026-01-12 00:00 in Shanghai."""
TO_MS = MIDNIGHT_MS + 14 * HOUR_MS
"""14:00: the end of what is looked at."""
S1, S2 = "一号站", "S-2"
B1, B2, B3 = "1号楼", "2号楼 东", "C'3"
COMPANY = {(S1, B1): ("101", "201", "301"), (S1, B2): ("102",), (S2, B3): ("501/客厅",)}
PLACES = {"101": "near", "201": "middle", "301": "far"}
Value = float | int | str | bool


@dataclass(frozen=True, slots=True)
class Point:
    """A point as it is written."""

    of: Measurement
    tags: Mapping[str, str]
    fields: Mapping[str, Value]
    time_ns: int

    @property
    def time_ms(self) -> int:
        """Its time [ms]."""
        return self.time_ns // 1_000_000


def point_of(building: str, room: str) -> str:
    """Return the test point of a room."""
    return f"{building}-{room}"


def all_points() -> list[Point]:
    """Return every point."""
    return [
        *_hours(),
        *_supply(),
        *_now(),
        *_findings(schema.FINDING),
        *_findings(schema.TRUTH),
        *_tickets(),
        *_events(),
        *_notices(),
        *_days(),
        *_delivery(),
        *_readings(),
    ]


def lines() -> list[str]:
    """Return them as line protocol, in nanoseconds."""
    return [points.line(one.of, one.tags, one.fields, one.time_ns) for one in all_points()]


def _at(ms: int, number: int = 0) -> int:
    return points.time_of(ms, number)


def _hours() -> Iterator[Point]:
    for number, ((station, building), rooms) in enumerate(COMPANY.items()):
        for floor, room in enumerate(rooms):
            for hour in range(-40, 14):
                mean_c = 19.0 - number + 0.5 * floor - 0.05 * max(hour, 0)
                by_day = 6 <= hour % 24 < 21
                void = (room, hour) == ("201", 13)
                tags = {"station": station, "building": building, "point": point_of(building, room), "room": room}
                tags |= {"room_class": "apartment"} | ({"place": PLACES[room]} if room in PLACES else {})
                fields: dict[str, Value] = {
                    "mean_c": mean_c,
                    "min_c": mean_c - 0.25,
                    "max_c": mean_c + 0.25,
                    "last_c": mean_c - 0.125,
                    "readings": 0 if void else 4,
                    "violations": 0 if void else (4 if mean_c < (18.0 if by_day else 16.0) else 0),
                    "below_target": 0,
                    "asked": True,
                    "minimum_c": 18.0 if by_day else 16.0,
                    "target_c": 18.0,
                }
                yield Point(schema.ROOM_HOUR, tags, fields, _at(MIDNIGHT_MS + hour * HOUR_MS))


def _supply() -> Iterator[Point]:
    for hour in range(14):
        for building in (schema.WHOLE_STATION, B1):
            fields = {"supply_c": 50.0 + hour, "return_c": 40.0 - hour, "flow_m3_h": 120.0}
            yield Point(
                schema.SUPPLY_HOUR, {"station": S1, "building": building}, fields, _at(MIDNIGHT_MS + hour * HOUR_MS)
            )


def _now() -> Iterator[Point]:
    for minute in range(240, 0, -1):
        for number, station in enumerate((S1, S2)):
            fields: dict[str, Value] = {field.name: 0 for field in schema.STATION_NOW.fields if field.type == "integer"}
            fields |= {
                "rooms": 4 - 3 * number,
                "cold": 1 + number,
                "below": number,
                "silent": 1,
                "outages": 1 - number,
                "longest_outage_h": 5.0 - minute / 60 if not number else 0.0,
                "notices_due": 1 - number,
                "tickets": 3 - number,
                "tickets_low_temperature": 1,
                "tickets_heat_outage": 1 - number,
                "tickets_technical": number,
                "clocks_running": 4,
                "clocks_overdue": number,
                "points_expected": 4 - 3 * number,
                "points_heard": 3 if not number else 1,
                "last_heard_s": 61.0,
                "planned_stop": False,
                "buildings": 2 - number,
            }
            if not number:
                fields["notice_due_s"] = 60.0 * minute + 10_800.0
            elif minute > 5:  # since then there is none
                fields["next_due_s"] = 60.0 * minute
            yield Point(schema.STATION_NOW, {"station": station}, fields, _at(TO_MS - minute * MINUTE_MS))


def _finding(
    number: int, kind: str, subject: tuple[str, str], place: tuple[str, str], start_h: float, **more: Value
) -> Point:
    start_ms = MIDNIGHT_MS + round(start_h * HOUR_MS)
    tags = {"kind": kind, "subject_kind": subject[0], "subject": subject[1], "station": place[0], "building": place[1]}
    fields: dict[str, Value] = {
        "finding": number,
        "start_ms": start_ms,
        "end_ms": 0,
        "open": True,
        "withdrawn": False,
        "confirmed": True,
        "ticket": 0,
        "duration_h": 0.0,
        **more,
    }
    if fields["end_ms"]:
        fields |= {"open": False}
    return Point(schema.FINDING, tags, fields, _at(start_ms, number))


def _findings(of: Measurement) -> Iterator[Point]:
    cold: dict[str, Value] = {
        "violation_h": 2.5,
        "unknown_h": 0.25,
        "min_temp_c": 16.5,
        "deficit_kh": 1.75,
        "rule": "R1",
        "end_reason": "",
    }
    ended: dict[str, Value] = {
        **cold,
        "end_ms": MIDNIGHT_MS + 12 * HOUR_MS,
        "end_reason": "recovered",
        "duration_h": 5.0,
    }
    long_ago: dict[str, Value] = {**ended, "end_ms": MIDNIGHT_MS - 20 * DAY_MS}
    p101, p301 = point_of(B1, "101"), point_of(B1, "301")
    told = [
        _finding(1, "cold_spell", ("point", p101), (S1, B1), 7.0, **cold, ticket=7),
        _finding(2, "cold_spell", ("point", p101), (S1, B1), 7.0, **ended),
        _finding(3, "cold_spell", ("point", p301), (S1, B1), 8.0, **cold, confirmed=False),
        _finding(4, "cold_spell", ("point", p101), (S1, B1), 9.0, **cold, withdrawn=True),
        _finding(5, "cold_spell", ("point", p101), (S1, B1), -720.0, **long_ago),
        _finding(6, "heat_outage", ("building", B1), (S1, B1), 9.0, evidence="rooms", confidence=0.9, points=3,
                 ticket=8),
        _finding(7, "heat_outage", ("station", S1), (S1, schema.WHOLE_STATION), -50.0, evidence="reported",
                 confidence=1.0, points=0, end_ms=MIDNIGHT_MS - 10 * HOUR_MS, duration_h=40.0),
        _finding(8, "data_outage", ("point", p101), (S1, B1), 4.0, part_of="", end_ms=MIDNIGHT_MS + 5 * HOUR_MS,
                 duration_h=1.0),
        _finding(9, "data_outage", ("point", point_of(B2, "102")), (S1, B2), 2.0, part_of=B2),
        _finding(10, "sensor_fault", ("point", p101), (S1, B1), 1.0, fault="stuck", detail="value=18.2", ticket=9),
    ]  # fmt: skip
    for one in told:
        matched = one.fields["finding"] != 3
        more = (
            {"matched": int(matched), "found": int(one.fields["finding"]) if matched else 0}
            if of is schema.TRUTH
            else {}
        )
        yield Point(of, one.tags, {**one.fields, **more}, one.time_ns)


def _tickets() -> Iterator[Point]:
    for number, kind, place, state, due_h, missed in (
        (7, "low_temperature", (S1, B1, "room"), "taken", 16.0, 0),
        (8, "heat_outage", (S1, B1, "building"), "open", 13.5, 2),
        (9, "sensor", (S1, B1, "room"), "finished", 70.0, 1),
        (10, "leak", (S2, B3, "room"), "closed", 0.0, 0),
    ):
        station, building, scope = place
        opened_ms = MIDNIGHT_MS + number * HOUR_MS
        fields: dict[str, Value] = {
            "ticket": number,
            "state": state,
            "open": state != "closed",
            "emergency": kind == "heat_outage",
            "taken": state != "open",
            "room": "101" if scope == "room" else "",
            "point": point_of(B1, "101") if kind in {"low_temperature", "sensor"} else "",
            "rule": "R1",
            "opened_ms": opened_ms,
            "step": "on_site" if due_h else "",
            "step_rule": "R16" if due_h else "",
            "due_ms": MIDNIGHT_MS + round(due_h * HOUR_MS) if due_h else 0,
            "clocks": 2 if due_h else 0,
            "missed": missed,
        }
        tags = {"kind": kind, "station": station, "building": building, "scope": scope}
        yield Point(schema.TICKET, tags, fields, _at(opened_ms, number))


def _events() -> Iterator[Point]:
    for number, kind in enumerate(("take", "overdue", "overdue")):
        at_ms = MIDNIGHT_MS + (10 + number) * HOUR_MS
        fields: dict[str, Value] = {
            "event": number,
            "ticket": 8,
            "ticket_kind": "heat_outage",
            "emergency": True,
            "step": "opinion" if kind == "overdue" else "",
            "rule": "R15" if kind == "overdue" else "",
            "at_ms": at_ms,
        }
        yield Point(schema.TICKET_EVENT, {"kind": kind, "station": S1, "building": B1}, fields, _at(at_ms, number))


def _notices() -> Iterator[Point]:
    for number, state in enumerate(("draft", "published")):
        drafted_ms = MIDNIGHT_MS + (11 + number) * HOUR_MS
        fields: dict[str, Value] = {
            "notice": number,
            "ticket": 8,
            "state": state,
            "published": state == "published",
            "title": "一号站停热公告",
            "building_count": 1,
            "due_ms": MIDNIGHT_MS + 17 * HOUR_MS,
            "published_ms": 0,
        }
        yield Point(schema.NOTICE, {"kind": "stop", "station": S1}, fields, _at(drafted_ms, number))


def _days() -> Iterator[Point]:
    for day in range(-9, 1):
        for number, (station, building) in enumerate(COMPANY):
            violating_ms = number * HOUR_MS + (day % 2) * MINUTE_MS
            fields: dict[str, Value] = {
                "compliant_ms": 20 * HOUR_MS,
                "violating_ms": violating_ms,
                "rated_ms": 20 * HOUR_MS + violating_ms,
            }
            tags = {"station": station, "building": building, "room_class": "apartment"}
            yield Point(schema.COMPLIANCE_DAY, tags, fields, _at(MIDNIGHT_MS + day * DAY_MS))


def _delivery() -> Iterator[Point]:
    for minute in range(180, 0, -1):
        at = _at(TO_MS - minute * MINUTE_MS)
        for number, worker in enumerate(("w1", "w2")):
            done = 10 * (200 - minute) * (1 + number)
            fields: dict[str, Value] = {
                "received": done + 9,
                "decoded": done,
                "no_reading": 2,
                "quarantined": 3,
                "waiting": 4,
                "readings_decoded": done * 2,
                "readings_stored": done * 2 - 6,
                "readings_duplicate": 3,
                "readings_conflict": 2,
                "readings_quarantined": 1,
                "readings_waiting": 0,
                "holds": True,
                "too_late": number,
            }
            yield Point(schema.DELIVERY, {"worker": worker}, fields, at)
        for role, lag_s in (("analytics", 30.0), ("feed", 90.0), ("notifier", None)):
            told: dict[str, Value] = {"as_of_ms": 0, "waiting": minute, "refused": 0}
            yield Point(schema.PIPELINE, {"role": role}, told | ({} if lag_s is None else {"lag_s": lag_s}), at)
        yield Point(schema.HEATWATCH, {}, {"schema": 1, "version": "0.1.0", "timezone": "Asia/Shanghai"}, at)


def _readings() -> Iterator[Point]:
    for source in (point_of(B1, "101"), "dev-1"):
        for minute in range(0, 600, 15):
            fields = {"temperature_c": 19.0 - minute / 600, "battery": 90.0, "rssi_dbm": -70.0, "humidity_pct": 31.0}
            yield Point(
                schema.READING, {"source": source}, {**fields, "arrived_ms": 0}, _at(TO_MS - (minute + 1) * MINUTE_MS)
            )
