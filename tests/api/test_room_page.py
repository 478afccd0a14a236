"""The page of a room: of one's own stations, in one's language, over the window that one asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest
from fastapi import FastAPI

from api.charts import room_data, room_spec, tick_label
from api.console.room import sums_of
from api.console.words import Words
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS, iso
from heatwatch.domain.local_time import round_moments
from heatwatch.domain.people import Role
from heatwatch.domain.register import PointRow
from heatwatch.domain.temperature import RoomClass
from heatwatch.usecases.people import Change, add_user, make_token
from heatwatch.usecases.register import import_register
from heatwatch.usecases.room import RoomStories, RoomStory
from tests.ledger import fresh_records
from tests.rooms import BUILDING, COLD, NOW, SILENT, STANDARD, START, STATION, ZONE, application, furnish
from tests.shelf import Shelf

PATHS = ("", "/parts.html", "/chart.json", "/chart.svg")
WEEK = {"from": iso(START), "to": iso(START + 7 * DAY_MS)}


class Site:
    """The application, and someone of each kind who asks it."""

    def __init__(self, folder: Path) -> None:
        self.records, self.shelf = fresh_records(folder), Shelf()
        furnish(self.records, self.shelf)
        self.app = application(self.records, self.shelf)
        stations = {"all": (), "here": (STATION,), "elsewhere": ("s9",)}
        with self.records.write() as session:
            for name, own in stations.items():
                add_user(session, name, Change(role=Role.ENGINEER, stations=own), by="test", now_ms=NOW)
            self._tokens = {
                name: make_token(session, name, "test", expires_ms=None, by="test", now_ms=NOW) for name in stations
            }

    def get(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        who: str = "all",
        language: str = "zh",
        app: FastAPI | None = None,
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._tokens[who]}", "Cookie": f"lang={language}"}
        return _get(app or self.app, path, headers, query or {})

    def story(self, point: str) -> RoomStory:
        with self.records.read() as session:
            told = RoomStories(self.shelf, STANDARD, ZONE)(session, point, (START, START + 7 * DAY_MS), NOW)
        assert told is not None
        return told


def _get(app: FastAPI, path: str, headers: Mapping[str, str], query: Mapping[str, str]) -> httpx.Response:
    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            return await client.get(path, params=dict(query))

    return asyncio.run(once())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"))
    yield made
    made.records.close()
    made.shelf.close()


class TestPage:
    """What the page says."""

    def test_names_the_room_and_what_was_found_in_it(self, site: Site) -> None:
        told = site.get(f"/rooms/{COLD}").text
        assert f"{BUILDING} · 2单元301" in told
        assert "11月26日 20:30" in told
        assert 'href="/tickets/' in told
        assert "多户室温同降" in told

    def test_is_told_in_both_languages(self, site: Site) -> None:
        for word, language in (("低温时段", "zh"), ("Cold spells", "en")):
            assert word in site.get(f"/rooms/{COLD}", language=language).text
        assert "26 Nov 20:30" in site.get(f"/rooms/{COLD}", language="en").text

    def test_counts_the_readings(self, site: Site) -> None:
        sums = sums_of(site.story(SILENT))
        assert (sums.out_of_range, sums.conflicts, sums.invalid) == (7, 0, 0)
        assert sums.lowest is not None
        assert sums.lowest.temp_c == min(one.temp_c for one in sums.evidence)

    def test_shows_the_first_readings_that_violate_and_says_how_many_there_are(self, site: Site) -> None:
        sums = sums_of(site.story(COLD))
        assert (len(sums.evidence), sums.violations > 24) == (24, True)
        assert all(one.limit is not None and 0 < one.missing_k < 3 for one in sums.evidence)
        assert [one.time_ms for one in sums.evidence] == sorted(one.time_ms for one in sums.evidence)

    def test_says_so_where_nothing_was_measured(self, site: Site) -> None:
        told = site.get(f"/rooms/{COLD}", {"from": iso(START - DAY_MS), "to": iso(START)})
        assert (told.status_code, "本时段无有效读数" in told.text) == (200, True)

    def test_parts_are_not_sent_again_to_whoever_has_them(self, site: Site) -> None:
        tag = site.get(f"/rooms/{COLD}/parts.html").headers["etag"]
        assert tag.strip('"') in site.get(f"/rooms/{COLD}").text


class TestScope:
    """Who may see a room."""

    @pytest.mark.parametrize("path", PATHS)
    def test_people_of_its_station_do(self, site: Site, path: str) -> None:
        assert site.get(f"/rooms/{COLD}{path}", who="here").status_code == 200

    @pytest.mark.parametrize("path", PATHS)
    def test_for_people_of_other_stations_there_is_none(self, site: Site, path: str) -> None:
        assert site.get(f"/rooms/{COLD}{path}", who="elsewhere").status_code == 404
        assert site.get(f"/rooms/other{path}", who="elsewhere").status_code == 200

    @pytest.mark.parametrize("path", PATHS)
    def test_an_unknown_one_is_not_found(self, site: Site, path: str) -> None:
        assert site.get(f"/rooms/nothing{path}").status_code == 404

    @pytest.mark.parametrize("path", PATHS)
    def test_strangers_do_not(self, site: Site, path: str) -> None:
        assert _get(site.app, f"/rooms/{COLD}{path}", {"Accept": "application/json"}, {}).status_code == 401


class TestWindow:
    """Which time is shown."""

    def test_is_the_week_up_to_now(self, site: Site) -> None:
        signals = signals_of(site.get(f"/rooms/{COLD}/chart.json").json()["spec"])
        assert (signals["from"], signals["to"]) == (NOW + MINUTE_MS - 7 * DAY_MS, NOW + MINUTE_MS)

    def test_is_the_one_asked_for(self, site: Site) -> None:
        signals = signals_of(site.get(f"/rooms/{COLD}/chart.json", WEEK).json()["spec"])
        assert (signals["from"], signals["to"]) == (START, START + 7 * DAY_MS)
        signals = signals_of(site.get(f"/rooms/{COLD}/chart.json", {"days": "1"}).json()["spec"])
        assert signals["to"] - signals["from"] == DAY_MS

    @pytest.mark.parametrize(
        ("query", "why"),
        [
            ({"from": iso(START), "to": iso(START)}, "'to' must be after 'from'"),
            ({"from": iso(NOW + DAY_MS)}, "'to' must be after 'from'"),
            ({"from": iso(START - 92 * DAY_MS)}, "at most 92 days"),
            ({"from": iso(START - 92 * DAY_MS), "to": iso(START + 1)}, "at most 92 days"),
            ({"from": "0001-01-01T00:00:00Z", "to": iso(START)}, "between 1990 and 2200"),
            ({"from": "9999-12-31T23:59:59Z"}, "between 1990 and 2200"),
            ({"from": "2025-11-25"}, "ISO 8601"),
            ({"from": "2025-11-25T00:00:00"}, "timezone"),
            ({"days": "0"}, "greater than or equal to 1"),
            ({"days": "93"}, "less than or equal to 92"),
            ({"weeks": "1"}, "Extra inputs"),
        ],
    )
    @pytest.mark.parametrize("path", PATHS)
    def test_that_makes_no_sense_is_refused(self, site: Site, path: str, query: dict[str, str], why: str) -> None:
        answer = site.get(f"/rooms/{COLD}{path}", query)
        assert (answer.status_code, why in answer.json()["detail"]) == (422, True)

    def test_before_a_replay_begins_has_to_be_said(self, site: Site) -> None:
        app = application(site.records, site.shelf, clock=lambda: None)
        assert site.get(f"/rooms/{COLD}", app=app).status_code == 409
        assert site.get(f"/rooms/{COLD}", WEEK, app=app).status_code == 200


def signals_of(spec: Mapping[str, list[dict[str, int]]]) -> dict[str, int]:
    return {str(one["name"]): one["value"] for one in spec["params"]}


class TestChart:
    """What is drawn."""

    def test_breaks_the_line_where_no_reading_speaks_for_the_time(self, site: Site) -> None:
        rows = room_data(site.story(SILENT))["readings"]
        gaps = [b["t"] - a["t"] for a, b in pairwise(rows) if a["s"] != b["s"]]
        assert len(gaps) == 2
        assert all(gap > 2 * HOUR_MS for gap in gaps)
        assert max(b["t"] - a["t"] for a, b in pairwise(rows) if a["s"] == b["s"]) <= 2 * HOUR_MS

    def test_marks_what_violates_and_nothing_else(self, site: Site) -> None:
        story = site.story(COLD)
        marked = [row["t"] for row in room_data(story)["readings"] if row.get("v")]
        assert marked == story.readings.time_ms[story.readings.violates].tolist()

    def test_leaves_out_what_is_not_judged(self, site: Site) -> None:
        assert max(row["c"] for row in room_data(site.story(SILENT))["readings"]) < 30

    def test_draws_the_limit_to_the_end_of_the_window(self, site: Site) -> None:
        limits = room_data(site.story(COLD))["limits"]
        assert (limits[0]["t"], limits[-1]["t"]) == (START, START + 7 * DAY_MS)
        assert [row["m"] for row in limits[:4]] == [16.0, 16.0, 18.0, 18.0]

    def test_has_a_band_for_each_finding(self, site: Site) -> None:
        bands = [one["k"] for one in room_data(site.story(COLD))["bands"]]
        assert bands == ["outage", "spell", "unsure", "spell", "spell"]
        assert [one["k"] for one in room_data(site.story(SILENT))["bands"]] == ["outage", "spell", "silence", "fault"]
        assert max(one["b"] for one in room_data(site.story(COLD))["bands"]) == NOW

    def test_of_many_readings_keeps_the_extremes_and_stays_small(self, tmp_path: Path) -> None:
        records, shelf = fresh_records(tmp_path), Shelf()
        with records.write() as session:
            import_register(session, [PointRow("p", "b", "s", RoomClass.APARTMENT)], "points.csv", "0" * 64, START)
        rows = [("p", START + number * MINUTE_MS, 20 + number % 7 / 10) for number in range(30 * 1440)]
        shelf.keep(*rows, ("p", START + 500, 11.5), ("p", START + 9 * DAY_MS + 500, 29.5))
        with records.read() as session:
            story = RoomStories(shelf, STANDARD, ZONE)(session, "p", (START, START + 30 * DAY_MS), START + 30 * DAY_MS)
        assert story is not None
        drawn = room_data(story)["readings"]
        assert {11.5, 29.5} <= {row["c"] for row in drawn}
        assert 1000 < len(drawn) < 6000
        records.close()
        shelf.close()

    def test_is_drawn_on_the_server_with_its_legend(self, site: Site) -> None:
        answer = site.get(f"/rooms/{COLD}/chart.svg", WEEK)
        assert answer.headers["content-type"] == "image/svg+xml"
        for word in ("2单元301", "最低限值", "低温时段", "11月27日", "停热"):
            assert word in answer.text
        assert "style=" not in answer.text, "the policy of content forbids it"

    def test_has_everything_drawn_on_the_server_too_where_there_is_nothing(self, site: Site) -> None:
        answer = site.get(f"/rooms/{COLD}/chart.svg", {"from": iso(START - DAY_MS), "to": iso(START)})
        assert (answer.status_code, "最低限值" in answer.text) == (200, True)

    def test_is_drawn_by_a_library_that_is_kept_for_good(self, site: Site) -> None:
        address = site.get(f"/rooms/{COLD}/chart.json").json()["library"]
        answer = _get(site.app, address, {"Accept-Encoding": "gzip"}, {})
        assert answer.headers["content-type"].startswith("text/javascript")
        assert answer.headers["content-encoding"] == "gzip"
        assert "immutable" in answer.headers["cache-control"]
        assert int(answer.headers["content-length"]) < 400_000
        assert _get(site.app, "/static/vega-0123.js", {}, {}).status_code == 404


class TestTicks:
    """What stands at the axis of time."""

    def test_are_round_in_the_companys_zone(self, site: Site) -> None:
        spec = room_spec(site.story(COLD), Words("zh", ZONE), 960)
        assert [one["value"] for one in spec["params"] if one["name"] == "ticks"] == [
            round_moments(START, START + 7 * DAY_MS, ZONE, 15)
        ]
        assert round_moments(START, START + DAY_MS, ZONE, 4) == [START + hour * HOUR_MS for hour in (0, 6, 12, 18, 24)]

    def test_stay_round_when_the_clocks_change(self) -> None:
        berlin = ZoneInfo("Europe/Berlin")
        midnight_ms = 1_761_429_600_000  # 26 October 2025 in Berlin, a day of 25 hours
        ticks = round_moments(midnight_ms, midnight_ms + 25 * HOUR_MS, berlin, 11)
        words = Words("en", berlin)
        assert [tick_label(tick, words)[0] for tick in ticks] == [f"{hour % 24:02}:00" for hour in range(0, 25, 3)]
        assert ticks[1] - ticks[0] == 4 * HOUR_MS
