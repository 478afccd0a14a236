"""The real `serve`, a simulated town, and people in a real browser: from a cold room to its follow-up."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page

from heatwatch.domain.instants import HOUR_MS, MINUTE_MS
from heatwatch.domain.people import Role
from heatwatch.records.database import Records
from heatwatch.settings import Settings
from heatwatch.usecases.people import Change, add_user
from heatwatch.usecases.register import import_register
from simulators.publishing.publisher import SteppedPublisher
from simulators.publishing.replay import simulate
from simulators.towns.settings import TownSettings
from simulators.towns.town import Town
from tests.browser.visits import DESK, PHONE, Visit, Visitor, barriers
from tests.e2e.processes import Serve

PASSWORD = "korrekt-horse-18"  # noqa: S105 - of people who exist in this test only
TOWN = TownSettings(seed=1, rooms=24, rooms_per_building=6, outage_after_h=0.5, outage_h=10, silent_h=0)
WITHIN_S = 20.0


@dataclass
class Plant:
    """A company with two stations whose clock is ours to move."""

    serve: Serve
    town: Town
    at_ms: int
    runs: int = 0

    def live(self, hours: float) -> None:
        """Let the town measure for some hours; every role has done them when this returns."""
        host, port = self.serve.where["broker"].removeprefix("mqtt://").split(":")
        self.runs += 1
        run, until_ms = f"day-{self.runs}", self.at_ms + round(hours * HOUR_MS)
        with SteppedPublisher(host, int(port), run=run, step_ms=30 * MINUTE_MS) as publisher:
            simulate(self.town, publisher, self.at_ms, until_ms, batch=True)
        self.at_ms = until_ms

    def live_until(self, hour: float) -> None:
        """Let the town live on until an hour after its beginning, where it has not come so far."""
        left = hour - (self.at_ms - TOWN.start_ms) / HOUR_MS
        if left > 0:
            self.live(left)

    @property
    def base(self) -> str:
        return self.serve.where["api"]


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    folder, town = tmp_path_factory.mktemp("plant") / "data", Town(TOWN)
    serve = Serve(folder, "--clock", "replay", "--broker-port", "0")
    _people(folder, town)
    with serve:
        made = Plant(serve, town, TOWN.start_ms)
        made.live(1.5)
        yield made


def _people(folder: Path, town: Town) -> None:
    records = Records(Settings(data_dir=folder).records_url)
    with records.write() as session:
        import_register(session, town.points(), "points.csv", "", 1)
        for name, role, stations in (("desk", Role.DISPATCH, ()), ("two", Role.STATION, ("S2",))):
            change = Change(role=role, stations=stations, password=PASSWORD, display_name=name)
            add_user(session, name, change, by="test", now_ms=1)
    records.close()


@pytest.fixture
def come(visit: Visitor, plant: Plant) -> Callable[..., Visit]:
    """Give a function that signs someone in, by the form, and returns what they look at."""

    def sign_in(name: str, language: str = "zh") -> Visit:
        seen = visit(plant.base, language, DESK)
        page = seen.go("/tickets")
        assert page.url.endswith("/sign-in?next=/tickets")
        page.fill("[name=name]", name)
        page.fill("[name=password]", PASSWORD)
        page.click("main button")
        assert page.url.endswith("/tickets")
        return seen

    return sign_in


def eventually(page: Page, text: str) -> None:
    """Return when a text (a pattern) can be read on the page, without anybody loading it again."""
    until = time.monotonic() + WITHIN_S
    while not re.search(text, page.inner_text("body")):
        assert time.monotonic() < until, f"{text!r} is not in {page.inner_text('body')!r}"
        page.wait_for_timeout(100)


def do(page: Page, deed: str, **fields: str) -> None:
    """Fill in the form of a deed and send it."""
    form = page.locator(f"form:has(input[name=deed][value={deed}])")
    if not form.is_visible():
        page.locator("details", has=form).locator("summary").click()
    for name, value in fields.items():
        form.locator(f"[name={name}]").fill(value)
    with page.expect_navigation():
        form.locator("button").click()
    assert page.locator(".wrong").count() == 0


def ticket_of(plant: Plant, kind: str) -> dict[str, object]:
    found = plant.serve.get(f"tickets?kind={kind}&limit=1000")["items"]
    assert found, plant.serve.get("findings?limit=50")
    one: dict[str, object] = found[-1]
    return one


def test_a_ticket_from_its_opening_to_its_follow_up(plant: Plant, come: Callable[..., Visit]) -> None:
    """R15-R19: nobody loads the page again to see the clock move; the follow-up is offered when its time has come."""
    seen = come("desk")
    page, ticket = seen.page, ticket_of(plant, "low_temperature")
    page.click(f"a[href='/tickets/{ticket['id']}']")
    eventually(page, r"联系用户\s+R16 九\(十\)\s+1月12日 10:00\s+剩 30")
    do(page, "take")
    assert "处理中" in page.inner_text("#ticket-head")
    assert "desk" in page.inner_text("#ticket-head")
    do(page, "contact", text="约定下午上门")
    do(page, "opinion", text="检查入户阀门")
    do(page, "on_site")
    do(page, "cause", text="阀门未全开")
    do(page, "finish", text="已调节")
    do(page, "receipt", text="用户在场", contact="见用户档案")
    assert page.locator("input[name=deed][value=follow_up]").count() == 0, "R19: not before 48 h"
    assert "待回访" in page.inner_text("#ticket-head")
    before = page.inner_text("#clock")
    plant.live(49)
    until = time.monotonic() + WITHIN_S
    while page.inner_text("#clock") == before:
        assert time.monotonic() < until
        page.wait_for_timeout(100)
    page.reload()
    do(page, "follow_up", text="用户满意")
    assert "已办结" in page.inner_text("#ticket-head")
    log = page.inner_text("#ticket-log")
    assert all(word in log for word in ("受理", "联系用户", "处理意见", "到达现场", "查明原因", "回执单", "回访，办结"))
    assert seen.wrong == []
    assert seen.strangers == []


def test_a_stop_is_announced_to_everyone(plant: Plant, visit: Visitor) -> None:
    """R12, R13: the notice and the end of the stop can be read by who is not signed in."""
    plant.live_until(16)
    seen = visit(plant.base, "zh", DESK)
    page = seen.go("/public/notices")
    assert page.locator("article").count() >= 2, "the stop and its end"
    text = page.inner_text("main")
    assert "停热公告" in text
    assert "恢复供热公告" in text
    assert "尊敬的热用户：" in text
    assert seen.wrong == []
    for path in ("/", "/tickets", "/notices", "/rooms/x"):
        assert "/sign-in?next=" in seen.go(path).url


def test_a_station_sees_nothing_of_another(plant: Plant, come: Callable[..., Visit]) -> None:
    """By no URL and no call of the interface."""
    plant.live_until(16)
    seen = come("two")
    page = seen.page
    everything = {
        "tickets": plant.serve.get("tickets?limit=1000")["items"],
        "findings": plant.serve.get("findings?limit=1000")["items"],
        "notices": plant.serve.get("notices?limit=1000")["items"],
    }
    for path in ("/", "/tickets?show=all", "/notices", "/tickets/new"):
        text = seen.go(path).content()
        assert "S1" not in text, path
    theirs = [(kind, one["id"]) for kind, rows in everything.items() for one in rows if one["station_id"] == "S1"]
    assert {kind for kind, _ in theirs} == set(everything)
    for kind, number in theirs:
        for path in (f"/api/v1/{kind}/{number}", *([f"/{kind}/{number}"] if kind != "findings" else [])):
            answer = page.request.get(plant.base + path)
            assert answer.status == 404, path
            assert "S1" not in answer.text()
    rooms = [row.point_id for row in plant.town.points() if row.station_id == "S1"]
    assert page.request.get(f"{plant.base}/rooms/{rooms[0]}").status == 404
    assert page.request.get(f"{plant.base}/api/v1/readings?point_id={rooms[0]}").status == 404
    for path in ("points", "tickets", "findings", "notices", "findings/cold_spell.csv", "health"):
        assert "S1" not in page.request.get(f"{plant.base}/api/v1/{path}").text(), path
    number = next(number for kind, number in theirs if kind == "tickets")
    said = json.dumps({"deed": "comment", "text": "x"})
    headers = {"Origin": plant.base, "Content-Type": "application/json"}
    answer = page.request.post(f"{plant.base}/api/v1/tickets/{number}/deeds", data=said, headers=headers)
    assert answer.status == 404


def test_both_languages(plant: Plant, come: Callable[..., Visit]) -> None:
    """By the switch on the page; the choice stays. What is published stays in Chinese."""
    seen = come("desk")
    page = seen.page
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    page.click("text=English")
    assert page.locator("html").get_attribute("lang") == "en"
    for path in ("/", "/tickets?show=all", "/notices", "/tickets/new"):
        ours = re.sub(r"供热公司|中文|S\d供热站.*公告", "", seen.go(path).inner_text("body"))
        chinese = re.findall(r"[\u4e00-\u9fff]+", ours)
        assert chinese == [], path
    page.click("text=中文")
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    assert seen.wrong == []


def test_everyone_can_use_the_pages_of_tickets_notices_and_rates(plant: Plant, come: Callable[..., Visit]) -> None:
    """axe-core finds nothing, in both languages, and nothing has to be moved sideways on a telephone."""
    plant.live_until(16)
    notice = plant.serve.get("notices")["items"][0]["id"]
    stop = ticket_of(plant, "heat_outage")["id"]
    pages = ("/tickets?show=all", f"/tickets/{stop}", "/tickets/new", "/notices", f"/notices/{notice}", "/compliance")
    for language in ("zh", "en"):
        seen = come("desk", language)
        for path in pages:
            assert barriers(seen.go(path)) == "", (language, path)
        assert barriers(seen.go("/public/notices")) == ""
        assert seen.wrong == []
    seen.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    for path in pages:
        assert seen.go(path).evaluate("document.documentElement.scrollWidth") <= PHONE[0], path
