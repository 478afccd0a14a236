"""A building in a week of winter, measured, judged and dispatched by the real roles: what pages of rooms show.

Room 301 is cold for a night and a day, once more for minutes, and again at the end; 302 is silent for sixteen hours and
measures nonsense for a while; 401 and 402 are well. All of them cool while the building has no heat in the fifth night.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from fastapi import FastAPI

from analytics.roles.worker import AnalyticsWorker
from api.app import create_app
from api.console.backing import Console
from api.signing import Signing
from dispatch.evidence import Violations
from dispatch.tickets import Dispatch, dispatch
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS, to_ms
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import RoomClass
from heatwatch.files.rules_file import default_standard
from heatwatch.records.database import Records
from heatwatch.records.schema import Arrival, ReadingCount
from heatwatch.usecases.findings import changed_since
from heatwatch.usecases.register import import_register
from heatwatch.usecases.roles import Bell
from tests.shelf import Row, Shelf

ZONE = ZoneInfo("Asia/Shanghai")
STANDARD = default_standard()
START = to_ms(datetime(2025, 11, 24, 16, tzinfo=UTC))
"""Midnight of a Tuesday in Shanghai."""
NOW = START + 7 * DAY_MS - 90 * MINUTE_MS
EVERY_MS = 10 * MINUTE_MS
BUILDING, STATION = "锦绣苑6号楼", "城东"
COLD, SILENT, WELL = "jx6-301", "jx6-302", "jx6-401"
POINTS = tuple(
    PointRow(
        f"jx6-{room}",
        BUILDING,
        STATION,
        RoomClass.APARTMENT,
        device_id=f"a84041{room}",
        room_id=f"2单元{room}",
        floor=room[0],
        riser="2-东",
        interval_s=600,
        offset_k=0.2 if room == "301" else 0.0,
    )
    for room in ("301", "302", "401", "402")
)
_ELSEWHERE = PointRow("other", "b9", "s9", RoomClass.APARTMENT)
_STOP = (4 * DAY_MS + 22 * HOUR_MS, 5 * DAY_MS + 8 * HOUR_MS)


def furnish(records: Records, shelf: Shelf) -> None:
    """Fill records and store with the week, as the roles do."""
    with records.write() as session:
        version = import_register(session, [*POINTS, _ELSEWHERE], "points.csv", "0" * 64, START)
    assert version == 1
    rows = sorted((row for point in POINTS for row in _week(point)), key=lambda row: row[1])
    shelf.keep(*rows)
    _announce(records, rows)
    worker = AnalyticsWorker(records, shelf, STANDARD, ZONE, Bell())
    while worker.pass_once():
        pass
    register = Register.of([*POINTS, _ELSEWHERE])
    with records.write() as session:
        by = Dispatch(NOW, STANDARD, register, Violations(shelf, STANDARD, register, ZONE))
        dispatch(session, changed_since(session, 0), by)


def _announce(records: Records, rows: list[Row]) -> None:
    """Put the rows on the feed, as ingest does, and move the clock to the end."""
    touched = [[row.device_id, rows[0][1], rows[-1][1], 1] for row in POINTS]
    with records.write() as session:
        for name, *_ in touched:
            session.merge(ReadingCount(worker="w", source=name, decoded=1, stored=1))
        session.add(Arrival(worker="w", sequence=1, touched=touched, tick=None))
        session.add(Arrival(worker="w", sequence=2, touched=[], tick={"run": "r", "step": 1, "now": NOW}))


def _week(point: PointRow) -> Iterator[Row]:
    name = point.point_id
    for at in range(0, NOW - START, EVERY_MS):
        if name == SILENT and (_within(at, 3.4, 4.07) or _within(at, 1.5, 1.65)):
            continue
        warm = 20.1 + 0.15 * math.sin(2 * math.pi * (at / DAY_MS - 0.35)) + _noise(at, name) - _stopped(at)
        temp_c = 85.0 if name == SILENT and _within(at, 2.2, 2.25) else warm - (_cold(at) if name == COLD else 0.0)
        yield point.device_id or name, START + at, round(temp_c - point.offset_k, 2)


def _within(at: int, first_d: float, last_d: float) -> bool:
    return first_d * DAY_MS <= at < last_d * DAY_MS


def _noise(at: int, name: str) -> float:
    return 0.12 * math.sin(at / 3.1e6 + len(name) + hash_of(name)) + 0.07 * math.sin(at / 7.7e5 + hash_of(name))


def hash_of(name: str) -> float:
    """Return a number that is another one for each name, and the same in every run."""
    return float(sum(ord(sign) for sign in name) % 7)


def _stopped(at: int) -> float:
    """Return how much colder a room is because its building had no heat [K]."""
    begin, end = _STOP
    if at < begin:
        return 0.0
    return 0.32 * min(at - begin, end - begin) / HOUR_MS * math.exp(-max(0, at - end) / (5 * HOUR_MS))


def _cold(at: int) -> float:
    """Return how much colder the cold room is [K]."""
    dips = ((1.75, 2.6, 4.4, 4.0), (3.4, 3.43, 2.8, 0.1), (6.2, 9.0, 3.6, 5.0))
    return sum(_dip(at - a * DAY_MS, (b - a) * DAY_MS, deep, h * HOUR_MS) for a, b, deep, h in dips if at >= a * DAY_MS)


def _dip(since: float, lasts: float, deep_k: float, pace: float) -> float:
    """Return how far a room is down some time after it began to cool, and to warm up again [K]."""
    down = deep_k * (1 - math.exp(-min(since, lasts) / pace))
    return down * math.exp(-max(0.0, since - lasts) / (HOUR_MS if pace > HOUR_MS else 0.1 * HOUR_MS))


def application(
    records: Records, shelf: Shelf, *, auto: str = "", clock: Callable[[], int | None] = lambda: NOW
) -> FastAPI:
    """Make the application with its console, as of the end of the week; `auto` is signed in by itself."""
    return create_app(
        records,
        shelf,
        journal_sequences=dict,
        clock=clock,
        version="0.1.0",
        delivery=dict,
        findings_csv=lambda _kind, _stations: b"",
        standard=STANDARD,
        signing=Signing(auto, 12.0, lambda: NOW),
        console=Console(records, shelf, STANDARD, ZONE, clock, "供热公司", auto_sign_in=auto),
    )
