"""The page of now in a real browser: ten thousand rooms, nothing forbidden, nothing that someone cannot read."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, expect

from api.app import create_app
from api.console.backing import Console
from api.signing import Signing
from dispatch.tickets import Dispatch, dispatch
from heatwatch.domain.findings import Finding, FindingKind, SubjectKind
from heatwatch.domain.identity import subject_of
from heatwatch.domain.instants import HOUR_MS, MINUTE_MS
from heatwatch.domain.people import Role
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import RoomClass
from heatwatch.files.rules_file import default_standard
from heatwatch.records.database import Records
from heatwatch.stores.readings import ReadingBatch
from heatwatch.usecases.findings import changed_since, record_findings
from heatwatch.usecases.people import Change, add_user
from heatwatch.usecases.register import import_register
from tests.browser.visits import DESK, PHONE, WALL, Visitor, barriers, serving
from tests.ledger import fresh_records
from tests.shelf import Shelf

NOW = 1764028800000
ROOMS, PER_BUILDING = 10_000, 50
STANDARD = default_standard()
DRAWN_MS = 15_000


def point(number: int) -> PointRow:
    building = number // PER_BUILDING
    station = f"S{building // 50 + 1}"
    names = f"P{number}", f"{station}-B{building + 1}", station
    return PointRow(*names, RoomClass.APARTMENT, interval_s=300, room_id=f"{number % PER_BUILDING + 101}")


def spell(row: PointRow, hours: int = 3) -> Finding:
    start_ms, detail = NOW - hours * HOUR_MS, {"min_temp_c": 15.2, "rule": "R1"}
    where = (FindingKind.COLD_SPELL, SubjectKind.POINT, row.point_id, row.building_id, row.station_id)
    return Finding(*where, start_ms, None, open=True, confirmed_ms=start_ms + HOUR_MS, detail=detail)


def stop(building: str) -> Finding:
    where = (FindingKind.HEAT_OUTAGE, SubjectKind.BUILDING, building, building, building.partition("-")[0])
    return Finding(*where, NOW - HOUR_MS, None, open=True, confirmed_ms=None, detail={"evidence": "rooms"})


class Town:
    """Ten thousand rooms in four stations; one building is without heat, every hundredth room is cold."""

    def __init__(self, records: Records) -> None:
        self.records, self.shelf = records, Shelf()
        self.rows = [point(number) for number in range(ROOMS)]
        with records.write() as session:
            import_register(session, self.rows, "points.csv", "", NOW)
            add_user(session, "demo", Change(role=Role.DISPATCH, display_name="演示"), by="test", now_ms=NOW)
        self.measure(np.where(np.arange(ROOMS) % 100 == 7, 16.4, 20.5))
        self.find(*(spell(row, 3 + number % 5) for number, row in enumerate(self.rows) if number % 100 == 7))
        self.find(stop("S1-B3"))

    def measure(self, temp_c: NDArray[np.float64]) -> None:
        nothing = np.full(ROOMS, np.nan)
        times = np.full(ROOMS, NOW - 5 * MINUTE_MS)
        names = [row.point_id for row in self.rows]
        rows = (names, times, temp_c, nothing, nothing, nothing, [""] * ROOMS, times, "w")
        self.shelf.write(ReadingBatch(*rows, np.full(ROOMS, 1), np.arange(ROOMS, dtype=np.int32)))

    def find(self, *found: Finding) -> None:
        """Let judging find something, and dispatch see to it."""
        with self.records.write() as session:
            record_findings(session, found, [subject_of(one) for one in found], NOW)
            by = Dispatch(NOW, STANDARD, Register(tuple(self.rows)), lambda *_: [])
            dispatch(session, changed_since(session, 0), by)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    made = fresh_records(tmp_path_factory.mktemp("town"))
    yield Town(made)
    made.close()


@pytest.fixture(scope="module")
def base(town: Town) -> Iterator[str]:
    began = time.monotonic()

    def clock() -> int:
        return NOW + round((time.monotonic() - began) * 1000)

    zone = ZoneInfo("Asia/Shanghai")
    app = create_app(
        town.records,
        town.shelf,
        journal_sequences=dict,
        clock=clock,
        version="0.1.0",
        delivery=dict,
        findings_csv=lambda _kind, _stations: b"",
        standard=STANDARD,
        signing=Signing("demo", 12.0, clock),
        console=Console(town.records, town.shelf, STANDARD, zone, clock, "某某供热公司", auto_sign_in="demo"),
    )
    with serving(app) as address:
        yield address


def drawn(page: Page) -> None:
    page.wait_for_selector("canvas[data-drawn]", timeout=DRAWN_MS)


def middle_of(page: Page, room: int) -> tuple[float, float]:
    """Return where on the screen a room is, by walking there with the keys."""
    page.focus("#rooms")
    page.keyboard.press("Home")
    for _ in range(room):
        page.keyboard.press("ArrowRight")
    place = page.locator("#cursor").bounding_box()
    assert place is not None
    return place["x"] + place["width"] / 2, place["y"] + place["height"] / 2


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("size", [WALL, DESK, PHONE], ids=["wall", "desk", "phone"])
def test_draws_ten_thousand_rooms_and_everyone_can_use_it(
    visit: Visitor, base: str, language: str, size: tuple[int, int]
) -> None:
    """No error, nothing that the policy of content forbids, no other host, no fault that axe-core knows of."""
    seen = visit(base, language, size)
    page = seen.go("/")
    drawn(page)
    assert page.get_attribute("html", "lang") == ("zh-CN" if language == "zh" else "en")
    assert barriers(page) == ""
    assert seen.wrong == []
    assert seen.strangers == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("#rooms").count() == 1
    assert page.evaluate("document.querySelectorAll('*').length") < 4000


def test_the_canvas_shows_each_state_in_its_colour(visit: Visitor, base: str) -> None:
    page = visit(base).go("/")
    drawn(page)
    colours = page.evaluate(
        """() => {
            const canvas = document.getElementById("rooms");
            const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            const counted = {};
            for (let at = 0; at < data.length; at += 4) {
                const key = [data[at], data[at + 1], data[at + 2]].join();
                counted[key] = (counted[key] ?? 0) + (data[at + 3] === 255 ? 1 : 0);
            }
            return counted;
        }"""
    )
    warm, cold, stopped = (colours.get(key, 0) for key in ("207,216,210", "59,42,152", "194,58,10"))
    assert warm > 30 * cold > 0
    assert stopped > 50


def test_pointing_tells_the_room_and_a_click_opens_it(visit: Visitor, base: str) -> None:
    page = visit(base, "en").go("/")
    drawn(page)
    across, down = middle_of(page, 107)
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()
    page.mouse.move(across, down)
    told = page.locator("#tip").inner_text()
    assert "S1-B3 · 108" in told
    assert "16.4 °C" in told
    assert "limit 18.0 °C" in told
    assert re.search(r"Cold · since 25 Nov.* for \d h", told) or re.search(r"Cold · since Nov 25.* for \d h", told)
    assert "The building has no heat" in told
    page.mouse.click(across, down)
    page.wait_for_url("**/rooms/P107")


def test_a_tap_tells_the_room_and_a_second_one_opens_it(browser: Browser, base: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 780}, has_touch=True)
    page = context.new_page()
    page.goto(base)
    drawn(page)
    page.locator("#rooms").scroll_into_view_if_needed()
    page.tap("#rooms", position={"x": 6, "y": 48})
    assert "S1-B1 ·" in page.locator("#tip").inner_text()
    page.tap("#rooms", position={"x": 6, "y": 48})
    page.wait_for_url("**/rooms/P*")
    context.close()


def test_the_keys_lead_to_every_room(visit: Visitor, base: str) -> None:
    page = visit(base).go("/")
    drawn(page)
    page.focus("#rooms")
    page.keyboard.press("End")
    assert "S4-B200 · 150" in page.locator("#tip").inner_text()
    page.keyboard.press("ArrowRight")
    assert "S4-B200 · 150" in page.locator("#tip").inner_text()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/rooms/P{ROOMS - 1}")


def test_a_change_shows_within_three_seconds_and_leaves_the_focus_where_it_is(
    visit: Visitor, base: str, town: Town
) -> None:
    page = visit(base).go("/")
    drawn(page)
    cold = page.locator(".tile.cold b")
    before = int(cold.inner_text())
    link = page.locator("#due a.number").first
    link.focus()
    ticket = link.get_attribute("href")
    began = time.monotonic()
    town.find(spell(town.rows[20]))
    expect(cold).to_have_text(str(before + 1), timeout=3000)
    assert time.monotonic() - began < 3
    assert page.evaluate("document.activeElement.getAttribute('href')") == ticket
    across, down = middle_of(page, 20)
    page.mouse.move(across, down)
    assert "低温" in page.locator("#tip").inner_text()


def test_clocks_run_by_the_clock_that_the_server_tells(visit: Visitor, base: str) -> None:
    """The browser's own date is far from it; the page does not ask for it."""
    page = visit(base).go("/")
    drawn(page)
    first = page.locator("#clock").inner_text()
    assert first.startswith("2025-11-25 08:0")
    expect(page.locator("#clock")).not_to_have_text(first, timeout=3000)
    due = page.locator("#outages .deadline time")
    assert re.fullmatch(r"剩 6 小时 5\d 分", due.inner_text())


def test_says_when_the_server_is_away_and_goes_on_when_it_is_back(visit: Visitor, base: str) -> None:
    seen = visit(base)
    page = seen.go("/")
    drawn(page)
    assert page.locator("#link.on").inner_text() == "实时"
    page.route("**/live", lambda route: route.abort())
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.context.set_offline(offline=True)
    page.evaluate("dispatchEvent(new Event('pagehide')); document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_selector("#link.off", timeout=8000)
    page.context.set_offline(offline=False)
    page.unroute("**/live")
    page.wait_for_selector("#link.on", timeout=20_000)


def test_a_station_can_be_looked_at_alone(visit: Visitor, base: str) -> None:
    page = visit(base, "en", DESK).go("/")
    drawn(page)
    page.select_option("#station", "S2")
    page.wait_for_url("**/?station=S2")
    drawn(page)
    assert page.locator(".tile:last-child b").inner_text() == "2,500"
    assert page.locator("#stations h3").all_inner_texts() == ["Station S2"]


@pytest.mark.parametrize("path", ["/sign-in", "/nowhere"])
def test_the_other_pages_of_the_frame_are_as_good(visit: Visitor, base: str, path: str) -> None:
    for language in ("zh", "en"):
        seen = visit(base, language, PHONE)
        seen.page.set_extra_http_headers({"X-Forwarded-For": "192.0.2.1"})
        page = seen.go(path)
        assert barriers(page) == ""
        assert [text for text in seen.wrong if "404" not in text] == []
