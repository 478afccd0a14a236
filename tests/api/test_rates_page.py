"""The page of compliance rates: who sees what, what is unknown, what stands beside; and what a fault is, in words."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import pytest

from api.console.room import fault_told
from api.console.texts import LANGUAGES
from api.console.words import Words
from heatwatch.domain.compliance import FIELDS
from heatwatch.domain.instants import DAY_MS, HOUR_MS
from heatwatch.domain.people import Role
from heatwatch.records.database import Records
from heatwatch.records.schema import ComplianceDay, ComplianceDue, ComplianceProgress
from tests.api.test_console import House

ZONE = ZoneInfo("Asia/Shanghai")
AS_OF_MS = 1769918400000
"""2026-02-01 12:00 in Shanghai."""


class Table(HTMLParser):
    """The rows of a page's table, as texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._in = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - of HTMLParser
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"}:
            self.rows[-1].append("")
            self._in = True

    def handle_endtag(self, tag: str) -> None:
        self._in = self._in and tag not in {"td", "th"}

    def handle_data(self, data: str) -> None:
        if self._in:
            self.rows[-1][-1] = " ".join(f"{self.rows[-1][-1]} {data}".split())


def day(day: str, station: str, point: str, **hours: float) -> ComplianceDay:
    told = dict.fromkeys(FIELDS, 0) | {f"{name}_ms": round(of * HOUR_MS) for name, of in hours.items()}
    place = {"station_id": station, "building_id": f"b-{station}", "room": point, "room_class": "apartment"}
    return ComplianceDay(day=day, point_id=point, **place, **told)


@pytest.fixture
def house(records: Records) -> House:
    """Give two stations, one of which is unknown on one day and has no heat on the other."""
    with records.write() as session:
        session.add_all(
            [
                day("2026-01-31", "one", "p1", compliant=18, violating=6),
                day("2026-01-31", "two", "p2", unknown=24),
                day("2026-02-01", "one", "p1", compliant=12),
                day("2026-02-01", "two", "p2", outage=10, sensor_fault=1.5, compliant=0.5),
                day("2025-12-25", "two", "p2", compliant=24),
                ComplianceDue(day="2026-02-01", building_id="b-one"),
                ComplianceProgress(
                    id=1, key="", arrival_seq=0, change_seq=0, as_of_ms=AS_OF_MS, first_day="2025-12-25"
                ),
            ]
        )
    return House(records)


def rows(house: House, path: str, headers: dict[str, str]) -> list[list[str]]:
    answer = house.ask(path, headers=headers)
    assert answer.status_code == 200
    return Table(answer.text).rows[2:]


def test_the_latest_day_comes_first_with_what_is_in_no_rate_beside_it(house: House) -> None:
    found = rows(house, "/compliance", dict(house.token()))
    assert found == [
        ["2026-02-01", "合计", "100.00 % 1 / 1", "100.00 %", "未知", "—", "—", "—", "1.5", "10.0", "1"],
        ["one 供热站", "100.00 % 1 / 1", "100.00 %", "未知", "—", "—", "—", "—", "—", "—"],
        ["two 供热站", "未知 0 / 0", "100.00 %", "未知", "—", "—", "—", "1.5", "10.0", "1"],
        ["2026-01-31", "合计", "0.00 % 0 / 1", "75.00 %", "未知", "6.0", "—", "24.0", "—", "—", "1"],
        ["one 供热站", "0.00 % 0 / 1", "75.00 %", "未知", "6.0", "—", "—", "—", "—", "—"],
        ["two 供热站", "未知 0 / 0", "未知", "未知", "—", "—", "24.0", "—", "—", "1"],
    ]


def test_months_seasons_and_the_buildings_of_a_station(house: House) -> None:
    everyone = dict(house.token())
    assert [row[0] for row in rows(house, "/compliance?by=month", everyone)[::3]] == ["2026-02", "2026-01", "2025-12"]
    assert [row[0] for row in rows(house, "/compliance?by=season", everyone)[::3]] == ["2025-26"]
    found = rows(house, "/compliance?station=two", everyone)
    assert [row[:2] for row in found] == [
        ["2026-02-01", "two 供热站"],
        ["b-two", "未知 0 / 0"],
        ["2026-01-31", "two 供热站"],
        ["b-two", "未知 0 / 0"],
    ]


def test_who_is_of_a_station_sees_its_rates_only(house: House) -> None:
    own = dict(house.token(Role.STATION, "one"))
    page = house.ask("/compliance", headers=own).text
    assert "two" not in re.sub(r"<(style|script).*?</\1>", "", page, flags=re.DOTALL)
    assert [row[:3] for row in Table(page).rows[2:4]] == [
        ["2026-02-01", "合计", "100.00 % 1 / 1"],
        ["one 供热站", "100.00 % 1 / 1", "100.00 %"],
    ]
    assert house.ask("/compliance?station=two", headers=own).status_code == 404
    assert house.ask("/compliance?by=week", headers=own).status_code == 422


def test_what_is_not_tallied_yet_is_said(house: House, records: Records) -> None:
    everyone = dict(house.token())
    assert "另有 1 楼日待重新统计" in house.ask("/compliance", headers=everyone).text
    with records.write() as session:
        session.query(ComplianceProgress).update({"as_of_ms": None})
    assert "尚无统计结果" in house.ask("/compliance", headers=everyone).text
    with records.write() as session:
        session.query(ComplianceProgress).update({"as_of_ms": AS_OF_MS + 40 * DAY_MS})
    assert "尚无统计结果" in house.ask("/compliance", headers=everyone).text, "no day of the last fourteen"


@pytest.mark.parametrize(
    ("kind", "detail", "said"),
    [
        ("out_of_range", "n=3 min=-127.0 max=85.0", "3 次，-127.0 至 85.0 ℃"),
        ("spike", "n=8 min=13.4 max=30.1", "8 次，13.4 至 30.1 ℃"),
        ("stuck", "value=20.90", "一直为 20.90 ℃"),
        ("drift", "slope=-0.30K/d off=-4.1K", "每天 -0.30 K，偏差 -4.1 K"),
        ("moved", "step=+6.0K", "相差 +6.0 K，疑似被移动"),
        ("low_battery", "level=12.0", "电量 12.0"),
        ("low_battery", "level=12.0 days_left=9", "电量 12.0，约可用 9 天"),
        ("clock", "n=560 off=-7200s", "慢 2 小时 0 分，共 560 条"),
        ("clock", "n=9 off=+600s", "快 10 分钟，共 9 条"),
        ("clock", "n=9 off=+0s", "停走，同一时刻 9 条"),
        ("stuck", "what a later version says", "what a later version says"),
    ],
)
def test_a_sensor_fault_is_told_in_words(kind: str, detail: str, said: str) -> None:
    told = {language: fault_told(Words(language, ZONE), {"kind": kind, "detail": detail}) for language in LANGUAGES}
    assert told["zh"] == said
    assert "=" not in told["en"]
