"""A town of four stations on two winter days, large enough that its boards look as a company's would.

Nothing of it was judged: every measurement is made up to fit the others, for `docs/pictures/grafana`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from heatwatch.stores.influx import points, schema
from heatwatch.stores.influx.schema import Measurement
from tests.dashboards.scenario import DAY_MS, HOUR_MS, MIDNIGHT_MS, MINUTE_MS

TO_MS = MIDNIGHT_MS + 14 * HOUR_MS + 30 * MINUTE_MS
HOURS_BACK, DAY_MIN = 7 * 24, 24 * 60
STATIONS = {"东城站": 14, "西苑站": 12, "北湖站": 9, "南园站": 11}
STOPPED = ("西苑站", "7号楼")
"""Without heat since 08:10."""
STOP_MS = MIDNIGHT_MS + 8 * HOUR_MS + 10 * MINUTE_MS
COLD = {("西苑站", "7号楼"): 6, ("西苑站", "3号楼"): 1, ("东城站", "12号楼"): 2, ("北湖站", "4号楼"): 1}
PLACES = ("near", "middle", "far")
FIELDS = {
    "东城站": {"cold": 2, "below": 3, "silent": 4, "unknown": 1, "tickets": 4, "tickets_low_temperature": 2,
              "tickets_repair": 1, "tickets_sensor": 1, "clocks_running": 11, "clocks_overdue": 0},
    "西苑站": {"cold": 7, "below": 2, "silent": 1, "unknown": 0, "outages": 1, "notices_due": 1, "tickets": 5,
              "tickets_low_temperature": 2, "tickets_heat_outage": 1, "tickets_leak": 1, "tickets_sensor": 1,
              "clocks_running": 14, "clocks_overdue": 1},
    "北湖站": {"cold": 1, "below": 0, "silent": 9, "unknown": 6, "tickets": 3, "tickets_low_temperature": 1,
              "tickets_sensor": 2, "clocks_running": 6, "clocks_overdue": 0},
    "南园站": {"cold": 0, "below": 1, "silent": 2, "unknown": 0, "tickets": 1, "tickets_repair": 1, "clocks_running": 3,
              "clocks_overdue": 0},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Room:
    """A room with a test point."""

    station: str
    building: str
    room: str
    place: str
    usual_c: float

    @property
    def point(self) -> str:
        """Its test point."""
        return f"{self.station[:2]}{self.building}-{self.room}"

    def at(self, hour: float) -> float:
        """Return its temperature at an hour of the picture's last day [degC]."""
        temp_c = (
            self.usual_c
            + 0.35 * math.sin((hour - 9) / 24 * 2 * math.pi)
            + 0.12 * math.sin(hour * 2.1 + len(self.point))
        )
        since_h = hour - (STOP_MS - MIDNIGHT_MS) / HOUR_MS
        if (self.station, self.building) == STOPPED and since_h > 0:
            temp_c -= (self.usual_c + 9) * (1 - math.exp(-since_h / 52))
        return round(temp_c, 2)


def rooms() -> list[Room]:
    """Return all rooms."""
    rng = np.random.default_rng(7)
    told = []
    for station, buildings in STATIONS.items():
        for number in range(1, buildings + 1):
            building = f"{number}号楼"
            base_c = 20.4 + rng.normal(0, 0.7)
            cold = COLD.get((station, building), 0) if (station, building) != STOPPED else 0
            for place, name in enumerate(("101", "302", "501", "202", "402", "602")):
                usual_c = base_c + 0.5 - 0.45 * (place // 2) + rng.normal(0, 0.25)
                usual_c = 16.9 + 0.08 * place if place >= 6 - cold else max(usual_c, 18.9)
                told.append(Room(station, building, name, PLACES[place // 2], float(usual_c)))
    return told


def lines() -> list[str]:
    """Return everything as line protocol, in nanoseconds."""
    return [
        *_hours(),
        *_supply(),
        *_now(),
        *_findings(),
        *_tickets(),
        *_days(),
        *_delivery(),
        *_readings(),
    ]


def _line(
    of: Measurement, tags: dict[str, str], fields: dict[str, points.Value | None], at_ms: int, number: int = 0
) -> str:
    return points.line(of, tags, fields, points.time_of(at_ms, number))


def _hours() -> Iterator[str]:
    for room in rooms():
        tags = {"station": room.station, "building": room.building, "point": room.point, "room": room.room}
        tags |= {"room_class": "apartment", "place": room.place}
        for hour in range(14 - HOURS_BACK, 15):
            mean_c, by_day = room.at(hour + 0.5), 6 <= hour % 24 < 21
            minimum_c = 18.0 if by_day else 16.0
            fields: dict[str, points.Value | None] = {
                "mean_c": mean_c,
                "min_c": round(mean_c - 0.15, 2),
                "max_c": round(mean_c + 0.18, 2),
                "last_c": room.at(hour + 0.9),
                "readings": 4,
                "violations": 4 if mean_c < minimum_c else 0,
                "below_target": 4 if minimum_c <= mean_c < 18 else 0,
                "asked": True,
                "minimum_c": minimum_c,
                "target_c": 18.0,
            }
            if not (room.station == "北湖站" and room.building == "6号楼" and 3 <= hour < 9):
                yield _line(schema.ROOM_HOUR, tags, fields, MIDNIGHT_MS + hour * HOUR_MS)


def _supply() -> Iterator[str]:
    for station in STATIONS:
        for hour in range(14 - HOURS_BACK, 15):
            wave = math.sin((hour - 3) / 24 * 2 * math.pi)
            fields: dict[str, points.Value | None] = {
                "supply_c": 49.0 + 3 * wave,
                "return_c": 39.5 + 1.6 * wave,
                "flow_m3_h": 210.0,
            }
            yield _line(schema.SUPPLY_HOUR, {"station": station, "building": "_"}, fields, MIDNIGHT_MS + hour * HOUR_MS)


def _now() -> Iterator[str]:
    for station, buildings in STATIONS.items():
        told = FIELDS[station]
        expected = buildings * 6
        for back in (*range(0, DAY_MIN, 5), *range(DAY_MIN, 7 * DAY_MIN, 60)):
            at_ms = TO_MS - (back + 1) * MINUTE_MS
            off_h = max(0.0, (at_ms - STOP_MS) / HOUR_MS)
            is_off = bool(told.get("outages")) and off_h > 0
            fields: dict[str, points.Value | None] = {
                each.name: 0 for each in schema.STATION_NOW.fields if each.type == "integer"
            }
            fields |= told
            fields["cold"] = max(0, told["cold"] - (round(off_h < 2.5) * 6 if station == STOPPED[0] else back // 500))
            fields |= {"outages": int(is_off), "notices_due": int(is_off), "longest_outage_h": off_h if is_off else 0.0}
            fields |= {"rooms": expected, "points_expected": expected, "buildings": buildings}
            silent = told["silent"] + (5 if station == "北湖站" and 330 < back < 690 else 0)
            fields |= {"points_heard": expected - silent, "silent": silent, "last_heard_s": 70.0, "planned_stop": False}
            fields |= {"notice_due_s": (8 - off_h) * 3600} if is_off else {}
            fields |= {"next_due_s": -1320.0 if told["clocks_overdue"] else 5400.0 + 60 * back}
            yield _line(schema.STATION_NOW, {"station": station}, fields, at_ms)


def _finding(
    of: Measurement, number: int, tags: tuple[str, str, str, str, str], start_ms: int, **more: points.Value
) -> str:
    kind, subject_kind, subject, building, station = tags
    told = {"kind": kind, "subject_kind": subject_kind, "subject": subject, "building": building, "station": station}
    fields: dict[str, points.Value | None] = {
        "finding": number,
        "start_ms": start_ms,
        "end_ms": 0,
        "open": not more.get("end_ms"),
        "withdrawn": False,
        "confirmed": True,
        "ticket": 0,
        "duration_h": 0.0,
    }
    return _line(of, told, {**fields, **more}, start_ms, number)


def _findings() -> Iterator[str]:
    station, building = STOPPED
    heat = ("heat_outage", "building", building, building, station)
    yield _finding(schema.FINDING, 41, heat, STOP_MS, evidence="rooms", confidence=0.93, points=6, ticket=118)
    yield _finding(schema.TRUTH, 1, heat, STOP_MS - 4 * MINUTE_MS, matched=1, found=41)
    number = 50
    for room in rooms():
        if not _is_cold(room):
            continue
        number += 1
        off = (room.station, room.building) == STOPPED
        start_ms = STOP_MS + 3 * HOUR_MS if off else MIDNIGHT_MS - 2 * DAY_MS + 6 * HOUR_MS + number * 7 * MINUTE_MS
        spell = ("cold_spell", "point", room.point, room.building, room.station)
        lasts_h = (TO_MS - start_ms) / HOUR_MS
        more: dict[str, points.Value] = {"violation_h": lasts_h * 0.62, "min_temp_c": room.at(14.3), "rule": "R1"}
        more |= {"unknown_h": 0.0, "deficit_kh": lasts_h * 0.8, "end_reason": "", "ticket": 118 if off else 90 + number}
        yield _finding(schema.FINDING, number, spell, start_ms, **more)
        yield _finding(
            schema.TRUTH, number, spell, start_ms - 12 * MINUTE_MS, matched=int(number % 7 > 0), found=number
        )
    for count, room in enumerate(each for each in rooms() if each.room == "402"):
        if count % 3:
            continue
        number += 1
        silent = ("data_outage", "point", room.point, room.building, room.station)
        start_ms = MIDNIGHT_MS - count * 5 * HOUR_MS
        end = {"end_ms": start_ms + 11 * HOUR_MS, "duration_h": 11.0} if count % 2 else {}
        yield _finding(schema.FINDING, number, silent, start_ms, part_of="", **end)
    point = next(room for room in rooms() if _is_cold(room) and room.station == "东城站")
    fault = ("sensor_fault", "point", point.point, point.building, point.station)
    fault_ms = MIDNIGHT_MS - 5 * DAY_MS
    more = {"end_ms": fault_ms + 26 * HOUR_MS, "fault": "stuck", "detail": "value=17.4", "ticket": 71}
    yield _finding(schema.FINDING, 12, fault, fault_ms, **more)
    early = ("cold_spell", "point", point.point, point.building, point.station)
    told: dict[str, points.Value] = {"violation_h": 4.5, "unknown_h": 0.5, "min_temp_c": 16.8, "deficit_kh": 3.2}
    told |= {"rule": "R1", "end_reason": "recovered", "ticket": 70, "end_ms": MIDNIGHT_MS - 3 * DAY_MS + 13 * HOUR_MS}
    yield _finding(schema.FINDING, 11, early, MIDNIGHT_MS - 3 * DAY_MS + 6 * HOUR_MS, **told)


def _is_cold(room: Room) -> bool:
    return room.at(14.3) < 18.0


def _tickets() -> Iterator[str]:
    west, cold = STOPPED[0], [room for room in rooms() if _is_cold(room) and (room.station, room.building) != STOPPED]
    told = [
        (118, "heat_outage", west, "7号楼", "building", "taken", "notice", "R12", 8.0 - (TO_MS - STOP_MS) / HOUR_MS, 0),
        (119, "leak", west, "2号楼", "room", "open", "on_site", "R17", -0.37, 1),
        (121, "repair", "南园站", "5号楼", "room", "open", "contact", "R16", 0.3, 0),
        (116, "repair", "东城站", "9号楼", "room", "taken", "on_site", "R16", 1.5, 0),
        (102, "sensor", "北湖站", "6号楼", "room", "taken", "on_site", "R7", 21.0, 0),
        (104, "sensor", "北湖站", "2号楼", "room", "taken", "finish", "R7", 96.0, 0),
        (99, "sensor", "东城站", "1号楼", "room", "finished", "follow_up", "R7", 40.0, 0),
        (97, "sensor", west, "9号楼", "room", "taken", "finish", "R7", 64.0, 0),
        *((105 + nth, "low_temperature", room.station, room.building, "room", "taken", "finish", "R18", 5.5 + 3 * nth,
           nth % 2) for nth, room in enumerate(cold)),
    ]  # fmt: skip
    for number, kind, station, building, scope, state, step, rule, left_h, missed in told:
        opened_ms = MIDNIGHT_MS - (121 - number) * 2 * HOUR_MS + 13 * HOUR_MS
        room = next((each for each in cold if (each.station, each.building) == (station, building)), None)
        fields: dict[str, points.Value | None] = {
            "ticket": number,
            "state": state,
            "open": True,
            "room": room.room if room and kind == "low_temperature" else ("302" if scope == "room" else ""),
            "point": room.point if room and kind == "low_temperature" else "",
            "rule": "R1" if kind == "low_temperature" else "",
            "opened_ms": opened_ms,
            "step": step,
            "step_rule": rule,
            "due_ms": TO_MS + round(left_h * HOUR_MS),
            "clocks": 3,
            "missed": missed,
        }
        tags = {"kind": kind, "station": station, "building": building, "scope": scope}
        yield _line(schema.TICKET, tags, fields, opened_ms, number)
    for day in range(1, 30):
        for count, kind in enumerate(("low_temperature", "sensor", "repair", "leak")):
            for nth in range((day * (3 + count) + count) % (4 - count // 2)):
                number = day * 40 + count * 10 + nth
                at_ms = MIDNIGHT_MS - day * DAY_MS + (9 + nth) * HOUR_MS
                tags = {
                    "kind": kind,
                    "station": list(STATIONS)[(day + count) % 4],
                    "building": "1号楼",
                    "scope": "room",
                }
                yield _line(schema.TICKET, tags, {"ticket": number, "state": "closed", "open": False}, at_ms, number)
        for nth in range((day * 7) % 3):
            at_ms = MIDNIGHT_MS - day * DAY_MS + (11 + nth) * HOUR_MS
            told_: dict[str, points.Value | None] = {
                "event": day * 3 + nth,
                "ticket": day * 40,
                "ticket_kind": "repair",
            }
            told_ |= {"step": "contact" if nth else "on_site", "rule": "R16", "emergency": False, "at_ms": at_ms}
            tags = {"kind": "overdue", "station": list(STATIONS)[(day + nth) % 4], "building": f"{1 + day % 9}号楼"}
            yield _line(schema.TICKET_EVENT, tags, told_, at_ms, day * 3 + nth)
    drafted: dict[str, points.Value | None] = {
        "notice": 17,
        "ticket": 118,
        "state": "draft",
        "title": "西苑站供热站停热公告",
        "building_count": 1,
        "due_ms": STOP_MS + 8 * HOUR_MS,
        "published_ms": 0,
    }
    yield _line(schema.NOTICE, {"kind": "stop", "station": west}, drafted, STOP_MS + 2 * HOUR_MS, 17)


def _days() -> Iterator[str]:
    rng = np.random.default_rng(3)
    for back in range(31):
        for number, (station, buildings) in enumerate(STATIONS.items()):
            for building in range(1, buildings + 1):
                rated = 6 * (24 if back else 14) * HOUR_MS
                violating = int(rated * abs(rng.normal(0.006 + 0.004 * (number == 1) + 0.0006 * (back % 9), 0.004)))
                fields: dict[str, points.Value | None] = {
                    "compliant_ms": rated - violating,
                    "violating_ms": violating,
                    "rated_ms": rated,
                }
                tags = {"station": station, "building": f"{building}号楼", "room_class": "apartment"}
                yield _line(schema.COMPLIANCE_DAY, tags, fields, MIDNIGHT_MS - back * DAY_MS)


def _delivery() -> Iterator[str]:
    for step in range(288):
        at_ms = TO_MS - (288 - step) * 5 * MINUTE_MS + 4 * MINUTE_MS
        done = 2_400_000 + step * 340 + round(40 * math.sin(step / 9)) * 3
        waiting = 3 + (step * 7) % 5 + (40 if 100 < step < 106 else 0)
        held = 14 + (step > 150) * 3 + (step > 220) * 2
        fields: dict[str, points.Value | None] = {
            "received": done + waiting + held + 120,
            "decoded": done,
            "no_reading": 120,
            "quarantined": held,
            "waiting": waiting,
            "readings_decoded": done,
            "readings_stored": done - 431 - 6 - 9,
            "readings_duplicate": 431,
            "readings_conflict": 6,
            "readings_quarantined": 9,
            "readings_waiting": 0,
            "holds": True,
            "too_late": 2,
        }
        yield _line(schema.DELIVERY, {"worker": "w1"}, fields, at_ms)
        for place, role in enumerate(("ingest", "analytics", "rates", "dispatch", "notifier", "feed")):
            lag_s = (
                8.0
                + 30 * place
                + 25 * math.sin(step / (3 + place))
                + (420.0 if role == "analytics" and 100 < step < 112 else 0)
            )
            told: dict[str, points.Value | None] = {
                "as_of_ms": at_ms,
                "waiting": int(2 + 2 * math.sin(step / (5 + place)) + (30 if place == 1 and 100 < step < 112 else 0)),
                "refused": 0,
            }
            told |= {} if role == "notifier" else {"lag_s": max(2.0, lag_s)}
            yield _line(schema.PIPELINE, {"role": role}, told, at_ms)
        yield _line(
            schema.HEATWATCH,
            {},
            {"schema": schema.SCHEMA_VERSION, "version": "0.1.0", "timezone": "Asia/Shanghai"},
            at_ms,
        )


def _readings() -> Iterator[str]:
    for room in rooms():
        cold = _is_cold(room) and room.station == "东城站"
        if not cold and (room.station, room.building) != STOPPED:
            continue
        for step in range(7 * 96):
            at_ms = TO_MS - (7 * 96 - step) * 15 * MINUTE_MS
            hour = (at_ms - MIDNIGHT_MS) / HOUR_MS
            fields: dict[str, points.Value | None] = {
                "temperature_c": round(room.at(hour) + 0.05 * math.sin(step), 2),
                "battery": 91.0 - step / 300,
                "rssi_dbm": -71.0 + round(3 * math.sin(step / 11)),
                "humidity_pct": 30.0,
                "arrived_ms": at_ms,
            }
            yield _line(schema.READING, {"source": room.point}, fields, at_ms)
