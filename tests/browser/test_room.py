"""The page of a room in a real browser: drawn under the policy, read off, moved and zoomed, alive, and for everyone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from heatwatch.domain.instants import MINUTE_MS
from heatwatch.domain.people import Role
from heatwatch.records.database import Records
from heatwatch.records.progress import advance
from heatwatch.usecases.people import Change, add_user
from tests.browser.visits import DESK, PHONE, Visit, Visitor, serving
from tests.ledger import fresh_records
from tests.rooms import COLD, NOW, SILENT, WELL, application, furnish
from tests.shelf import Shelf

AXE = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}
DRAWN_MS = 30_000
DEVICE = f"a84041{COLD[-3:]}"


class Home:
    """The week of the building, and a way to let it go on."""

    def __init__(self, records: Records) -> None:
        self.records, self.shelf = records, Shelf()
        furnish(records, self.shelf)
        with records.write() as session:
            add_user(session, "demo", Change(role=Role.DISPATCH, display_name="演示"), by="test", now_ms=NOW)

    def measure(self, at_ms: int, temp_c: float, arrival: int) -> None:
        self.shelf.keep((DEVICE, at_ms, temp_c))
        with self.records.write() as session:
            advance(session, "analytics", arrival, NOW, None)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    made = fresh_records(tmp_path_factory.mktemp("home"))
    yield Home(made)
    made.close()


@pytest.fixture(scope="module")
def base(home: Home) -> Iterator[str]:
    with serving(application(home.records, home.shelf, auto="demo")) as address:
        yield address


def drawn(page: Page, times: int = 1) -> None:
    """Wait until the chart was drawn so often."""
    page.wait_for_selector("#plot[data-drawn]", timeout=DRAWN_MS)
    until = time.monotonic() + DRAWN_MS / 1000
    while int(page.locator("#plot").get_attribute("data-drawn") or 0) < times:
        assert time.monotonic() < until, f"drawn less than {times} times"
        page.wait_for_timeout(50)


def point_at(page: Page, part: float) -> list[str]:
    """Point at a place of the plot, from 0 on its left to 1 on its right; what is said there."""
    box = page.locator("#chart canvas").bounding_box()
    assert box is not None
    left = 60.0 + (box["width"] - 75.0) * part
    page.mouse.move(box["x"] + left, box["y"] + 200)
    page.wait_for_timeout(50)
    return said(page)


def said(page: Page) -> list[str]:
    return page.locator("#hover p").all_inner_texts() if page.locator("#hover").is_visible() else []


def open_room(visit: Visitor, base: str, point: str, query: str = "", **how: Any) -> tuple[Visit, Page]:
    looked = visit(base, **{"language": "zh", "size": DESK, **how})
    page = looked.go(f"/rooms/{point}{query}")
    drawn(page)
    return looked, page


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("point", [COLD, SILENT, WELL])
def test_is_drawn_for_everyone_under_the_policy(
    visit: Visitor, base: str, point: str, size: tuple[int, int], language: str
) -> None:
    """Nothing is refused, nothing comes from elsewhere, nothing runs off the page, and axe finds nothing."""
    looked, page = open_room(visit, base, point, size=size, language=language)
    colours = page.evaluate("""() => {
        const canvas = document.querySelector('#chart canvas');
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return new Set(new Uint32Array(data.buffer)).size;
    }""")
    assert colours > 20
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = Axe().run(page, options=AXE).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
    assert (looked.wrong, looked.strangers) == ([], [])


def test_says_what_was_measured_and_asked_under_the_pointer(visit: Visitor, base: str) -> None:
    looked, page = open_room(
        visit, base, COLD, language="en", query="?from=2025-11-26T22:00:00Z&to=2025-11-27T00:00:00Z"
    )
    told = point_at(page, 0.25)
    assert told[0].startswith("27 Nov 06:")
    assert told[1].startswith("15.")
    assert told[1].endswith(" °C")
    assert told[2] == "minimum 18.0 °C (R1)"
    assert told[3].endswith("K below")
    assert told[4].startswith("as measured 15.")
    page.mouse.move(5, 5)
    assert said(page) == []
    assert looked.wrong == []


def test_is_read_off_with_the_keys(visit: Visitor, base: str) -> None:
    _, page = open_room(visit, base, COLD)
    page.focus("#chart")
    page.keyboard.press("End")
    assert said(page)[0] == "12月1日 22:20"
    page.keyboard.press("ArrowLeft")
    assert said(page)[0] == "12月1日 22:10"
    page.keyboard.press("Escape")
    assert said(page) == []


def test_shows_the_companys_time_wherever_the_browser_is(browser: Browser, base: str) -> None:
    told = []
    for zone in ("America/New_York", "Pacific/Auckland"):
        context = browser.new_context(timezone_id=zone, locale="en-US")
        page = context.new_page()
        page.goto(f"{base}/rooms/{COLD}")
        drawn(page)
        page.focus("#chart")
        page.keyboard.press("Home")
        told.append(said(page))
        context.close()
    assert told[0] == told[1]
    assert told[0][0] == "11月25日 00:00"


def test_is_zoomed_and_moved(visit: Visitor, base: str) -> None:
    _, page = open_room(visit, base, COLD)
    page.locator("[data-zoom=in]").click()
    page.locator("[data-zoom=in]").click()
    quarter = [point_at(page, part)[0] for part in (0.02, 0.98)]
    assert quarter[0].startswith("11月2")
    assert quarter[0] > "11月27日 1"
    box = page.locator("#chart canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 700, box["y"] + 200, steps=4)
    page.mouse.up()
    assert point_at(page, 0.02)[0] < quarter[0]
    page.mouse.wheel(0, 120)
    page.wait_for_timeout(50)
    assert page.evaluate("scrollY") > 0, "the wheel alone scrolls the page"
    page.evaluate("scrollTo(0, 0)")
    page.locator("[data-zoom=all]").click()
    assert point_at(page, 0.03)[0].startswith("11月25日 0")


def test_follows_what_arrives_and_keeps_what_is_looked_at(visit: Visitor, base: str, home: Home) -> None:
    looked, page = open_room(visit, base, COLD, "?days=1")
    for _ in range(4):
        page.locator("[data-zoom=in]").click()
    page.locator("[data-zoom=right]").click(click_count=8)
    before = point_at(page, 0.1)
    times = int(page.locator("#plot").get_attribute("data-drawn") or 0)
    home.measure(NOW - 5 * MINUTE_MS, 3.21, 100)
    drawn(page, times + 1)
    assert point_at(page, 0.1) == before
    page.focus("#chart")
    page.keyboard.press("End")
    assert said(page)[1] == "3.41 ℃", "with its calibration"
    page.get_by_text("3.4 ℃").first.wait_for()
    assert looked.wrong == []


def test_says_so_where_it_cannot_be_drawn(visit: Visitor, base: str) -> None:
    looked = visit(base, size=DESK)
    looked.page.route("**/chart.json*", lambda route: route.abort())
    page = looked.go(f"/rooms/{COLD}")
    page.locator("#chart-fails").wait_for()
    looked.page.unroute("**/chart.json*")
    drawn(page)
    assert page.locator("#chart-fails").is_hidden()


def test_window_of_the_page_is_chosen_by_links(visit: Visitor, base: str) -> None:
    _, page = open_room(visit, base, COLD)
    page.get_by_role("link", name="24小时").click()
    drawn(page)
    assert page.get_by_role("link", name="24小时").get_attribute("aria-current") == "true"
    page.focus("#chart")
    page.keyboard.press("Home")
    assert said(page)[0] >= "11月30日 22:30"


def test_makes_a_picture_for_print(visit: Visitor, base: str) -> None:
    looked, page = open_room(visit, base, COLD)
    page.get_by_role("link", name="打印用图").click()
    page.wait_for_url("**/chart.svg*")
    assert page.evaluate("document.documentElement.tagName") == "svg"
    assert page.evaluate("document.querySelectorAll('path').length") > 50
    assert [one for one in looked.wrong if "Security" in one] == []
