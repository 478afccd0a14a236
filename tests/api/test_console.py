"""The console: pages in both languages, files that stay, numbers for the map, a stream that ends when it must."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI

from api.access import COOKIE, PAGES, Access, Stations
from api.app import create_app
from api.console import live
from api.console.assets import FOLDER, assets
from api.console.backing import Console
from api.console.live import Kept, Pulse, stream, version_of
from api.server import ApiRole
from api.signing import Signing
from dispatch.tickets import Dispatch, dispatch
from heatwatch.domain.findings import Finding, FindingKind, SubjectKind
from heatwatch.domain.identity import subject_of
from heatwatch.domain.instants import HOUR_MS, MINUTE_MS
from heatwatch.domain.people import Role
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import RoomClass
from heatwatch.errors import Unavailable
from heatwatch.files.rules_file import default_standard
from heatwatch.records.database import Records
from heatwatch.records.progress import advance
from heatwatch.usecases import people
from heatwatch.usecases.findings import changed_since, record_findings
from heatwatch.usecases.people import Change, add_user, change_user, make_token
from heatwatch.usecases.register import import_register
from tests.shelf import Shelf

T0 = 1764028800000
PAGE = {"Accept": "text/html"}
STANDARD = default_standard()
PASSWORD = "correct horse battery"  # noqa: S105 - of nobody
ROWS = [
    PointRow(f"p-{station}-{number}", f"b-{station}", f"s-{station}", RoomClass.APARTMENT, room_id=f"{number}01")
    for station in ("one", "two")
    for number in range(3)
]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let argon2 take less time than it should."""
    monkeypatch.setattr(people, "_HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))


@dataclass
class House:
    """An application with a console, as browsers meet it."""

    records: Records
    auto_sign_in: str = ""
    replayed: bool = False
    now_ms: int | None = T0 + 2 * HOUR_MS
    shelf: Shelf = field(default_factory=Shelf)

    def __post_init__(self) -> None:
        zone = ZoneInfo("Asia/Shanghai")
        self.console = Console(
            self.records, self.shelf, STANDARD, zone, self.clock, "某某供热公司 <&>", self.replayed, self.auto_sign_in
        )
        self.app = create_app(
            self.records,
            self.shelf,
            journal_sequences=dict,
            clock=self.clock,
            version="0.1.0",
            delivery=dict,
            findings_csv=lambda _kind, _stations: b"",
            standard=STANDARD,
            signing=Signing(self.auto_sign_in, 12.0, lambda: T0),
            console=self.console,
        )

    def clock(self) -> int | None:
        return self.now_ms

    def ask(self, path: str, method: str = "GET", **more: Any) -> httpx.Response:
        """Ask as a browser would; redirections are not followed."""

        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            base = "http://127.0.0.1" if self.auto_sign_in else "http://test"
            async with httpx.AsyncClient(transport=transport, base_url=base) as client:
                return await client.request(method, path, **more)

        return asyncio.run(once())

    def token(self, role: Role = Role.COMPANY, station: str | None = None) -> Mapping[str, str]:
        """Add someone and return what a request of theirs says."""
        name = f"{role}-{station}"
        with self.records.write() as session:
            add_user(session, name, Change(role=role, stations=[station] if station else ()), by="test", now_ms=T0)
            secret = make_token(session, name, "test", expires_ms=None, by="test", now_ms=T0)
        return {"Authorization": f"Bearer {secret}"}


@pytest.fixture
def house(records: Records) -> House:
    """Give a house in whose first station the heat is off and a room is cold."""
    spell = Finding(
        FindingKind.COLD_SPELL,
        SubjectKind.POINT,
        "p-one-1",
        "b-one",
        "s-one",
        T0 - HOUR_MS,
        None,
        open=True,
        confirmed_ms=T0,
        detail={"min_temp_c": 15.5, "rule": "R1"},
    )
    stop = Finding(
        FindingKind.HEAT_OUTAGE,
        SubjectKind.BUILDING,
        "b-one",
        "b-one",
        "s-one",
        T0,
        None,
        open=True,
        confirmed_ms=None,
        detail={"evidence": "rooms"},
    )
    with records.write() as session:
        import_register(session, ROWS, "points.csv", "", T0)
        record_findings(session, [spell, stop], [subject_of(spell), subject_of(stop)], T0)
        dispatch(session, changed_since(session, 0), Dispatch(T0, STANDARD, Register.of(ROWS), lambda *_: []))
    made = House(records)
    made.shelf.keep(*((row.point_id, T0 + 2 * HOUR_MS - MINUTE_MS, 20.04) for row in ROWS[:-1]))
    return made


class TestPages:
    """What everyone sees of the frame."""

    def test_the_page_of_now_tells_in_chinese_and_in_english(self, house: House) -> None:
        who = house.token()
        chinese, english = (house.ask("/", headers={**who, "Cookie": f"lang={lang}"}).text for lang in ("", "en"))
        assert '<html lang="zh-CN">' in chinese
        assert '<html lang="en">' in english
        assert "须于 11月25日 16:00 前公告" in chinese
        assert "Notice due by 25 Nov 16:00" in english
        assert f'<time data-due="{T0 + 8 * HOUR_MS}"' in chinese
        assert "某某供热公司 &lt;&amp;&gt;" in chinese

    def test_nothing_needs_what_the_policy_of_content_forbids(self, house: House) -> None:
        for path in ("/", "/sign-in", "/nowhere"):
            text = house.ask(path, headers={**house.token(Role.VIEWER, None), **PAGE} if path == "/" else PAGE).text
            assert not re.search(r"""\s(style|on\w+)\s*=|<style|javascript:|https?://""", text), path
            assert all("src=" in tag or "json" in tag for tag in re.findall(r"<script[^>]*>", text)), path

    def test_the_language_is_remembered_and_leads_back_to_where_one_was(self, house: House) -> None:
        told = house.ask("/language/en?next=/tickets%3Fstate%3Dopen")
        assert (told.status_code, told.headers["location"]) == (303, "/tickets?state=open")
        assert told.headers["set-cookie"].startswith("lang=en;")
        assert house.ask("/language/en?next=//elsewhere.example").headers["location"] == "/"
        assert house.ask("/language/fr").status_code == 422

    def test_the_sign_in_page_says_that_it_failed_and_lets_in(self, house: House) -> None:
        with house.records.write() as session:
            add_user(session, "someone", Change(role=Role.VIEWER, password=PASSWORD), by="test", now_ms=T0)
        form = {"name": 'so"me<one', "password": "no", "next": "/notices"}
        origin = {"Origin": "http://test", **PAGE}
        failed = house.ask("/sign-in", "POST", data=form, headers=origin)
        assert failed.status_code == 401
        assert "用户名或密码不正确" in failed.text
        assert 'value="so&#34;me&lt;one"' in failed.text
        entered = house.ask("/sign-in", "POST", data={**form, "name": "someone", "password": PASSWORD}, headers=origin)
        assert (entered.status_code, entered.headers["location"]) == (303, "/notices")

    def test_errors_are_pages_for_people_and_problems_for_machines(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        who = house.token()
        for path, status, words in [("/nowhere", 404, "页面不存在"), ("/?station=s-nine", 200, "供热现况")]:
            told = house.ask(path, headers={**who, **PAGE})
            assert (told.status_code, words in told.text) == (status, True)
        assert house.ask("/nowhere", headers=who).headers["content-type"] == "application/problem+json"
        confined = house.token(Role.STATION, "s-one")
        assert house.ask("/?station=s-two", headers={**confined, **PAGE}).status_code == 404

        def away(*_: object, **__: object) -> Any:
            raise Unavailable("store", "away")

        monkeypatch.setattr(house.shelf, "latest", away)
        told = house.ask("/", headers={**who, **PAGE})
        assert (told.status_code, "暂时无法显示" in told.text) == (503, True)
        assert house.ask("/live/now", headers=who).json()["status"] == 503

    def test_who_may_not_is_told_so_in_a_page(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        (control,) = house.app.user_middleware
        office = Access(frozenset({Role.COMPANY}), Stations.NONE)
        monkeypatch.setitem(control.kwargs, "table", {**PAGES, ("GET", "/"): office})
        told = house.ask("/", headers={**house.token(Role.VIEWER), **PAGE})
        assert (told.status_code, "无权查看" in told.text) == (403, True)

    def test_a_demo_says_that_it_is_one(self, records: Records) -> None:
        with records.write() as session:
            add_user(session, "demo", Change(role=Role.DISPATCH), by="test", now_ms=T0)
        made = House(records, auto_sign_in="demo", replayed=True)
        shown = made.ask("/", headers=PAGE).text
        assert "演示环境" in shown
        assert "回放" in shown
        assert "演示环境" not in made.ask("/sign-in", headers={**PAGE, "X-Forwarded-For": "x"}).text

    def test_before_a_replay_has_begun_it_waits(self, house: House) -> None:
        house.now_ms = None
        who = house.token()
        assert "尚未收到任何读数" in house.ask("/", headers=who).text
        assert house.ask("/live/now", headers=who).json()["now"] is None


class TestOddRequests:
    """What makes no sense is refused, and no fault of ours."""

    @pytest.mark.parametrize(
        "path", ["/?station=a%00", "/tickets?station=%00b", "/rooms/%00", "/api/v1/findings?subject=%00"]
    )
    def test_names_that_no_database_can_look_for(self, house: House, path: str) -> None:
        assert house.ask(path, headers=house.token()).status_code == 400
        assert house.ask(path, headers=PAGE).status_code == 400

    @pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
    def test_bodies_of_which_nobody_can_mean_the_length(self, house: House, kind: str) -> None:
        told = house.ask("/tickets/1", "POST", content=b"x" * 200_000, headers={**house.token(), "Content-Type": kind})
        assert told.status_code == 413
        said = {"deed": "comment", "text": "暖" * 2000, "person": "王" * 200, "contact": "王" * 200}
        assert house.ask("/tickets/1", "POST", data=said, headers=house.token(Role.DISPATCH)).status_code == 303

    @pytest.mark.parametrize("number", ["0", "-1", str(2**63), "9" * 40, "nan"])
    def test_numbers_that_nothing_can_have(self, house: House, number: str) -> None:
        who = house.token()
        for path in ("/tickets", "/live/tickets", "/notices", "/live/notices"):
            assert house.ask(f"{path}/{number}", headers=who).status_code == 422, path
        for path in (f"/tickets/{number}", f"/notices/{number}", f"/notices/{number}/publish"):
            said = {"deed": "comment", "text": "x"} if "tickets" in path else {"title": "x", "text": "x"}
            assert house.ask(path, "POST", data=said, headers=who).status_code == 422, path

    @pytest.mark.parametrize(
        ("said", "status"),
        [
            ({"text": "a\0b"}, 422),
            ({"text": "x", "person": "a\0b"}, 422),
            ({"text": "x", "agreed_at": "0025-11-25T10:00"}, 409),
            ({"text": "x", "agreed_at": "9999-12-31T23:59"}, 409),
            ({"text": "x", "agreed_at": "2025-11-25T02:40:00Z"}, 409),
            ({"text": "x", "agreed_at": "soon"}, 409),
            ({"text": "x", "agreed_at": "2025-11-25T10:40"}, 303),
        ],
    )
    def test_forms_of_deeds(self, house: House, said: Mapping[str, str], status: int) -> None:
        told = house.ask("/tickets/1", "POST", data={"deed": "comment", **said}, headers=house.token())
        assert told.status_code == status


class TestContacts:
    """How a user can be reached stands where the work is done (R16), and not on a screen for all to see."""

    def test_are_for_those_who_may_call(self, house: House) -> None:
        who, viewer = house.token(Role.DISPATCH), house.token(Role.VIEWER)
        said = {"kind": "repair", "station_id": "s-one", "building_id": "b-one", "subject": "x", "contact": "<138>"}
        made = house.ask("/tickets/new", "POST", data=said, headers=who).headers["location"]
        for path in (made, f"/live{made}"):
            assert "&lt;138&gt;" in house.ask(path, headers=who).text
            assert "138" not in house.ask(path, headers=viewer).text


class TestDone:
    """What is done presses nobody any more."""

    def test_a_closed_ticket_has_missed_a_deadline_and_is_not_late(self, house: House) -> None:
        """Nobody has said what is intended (R15), and nobody can any more."""
        who = house.token()
        said = {"kind": "repair", "station_id": "s-one", "building_id": "b-one", "subject": "x"}
        made = house.ask("/tickets/new", "POST", data=said, headers=who).headers["location"]
        assert "<summary>受理" in house.ask(made, headers=who).text.partition("<h3>")[0]
        for deed in ("take", "on_site", "cause", "finish", "receipt", "follow_up"):
            if deed == "follow_up":
                assert house.now_ms is not None
                house.now_ms += 49 * HOUR_MS
            done = house.ask(made, "POST", data={"deed": deed, "text": "x", "contact": "x"}, headers=who)
            assert done.status_code == 303, deed
            if deed == "take":
                assert "<summary>受理" not in house.ask(made, headers=who).text.partition("<h3>")[0]
        page = house.ask(made, headers=who).text
        assert "未完成" in page
        assert "data-due" not in page
        assert "data-due" not in house.ask("/tickets?show=done", headers=who).text
        assert 'overdue{rule="R16"} 0.0' in house.ask("/metrics", headers=who).text


class TestRefusedDeeds:
    """What was typed is there again."""

    def test_keep_what_was_typed(self, house: House) -> None:
        who = house.token(Role.DISPATCH)
        said = {"deed": "comment", "text": "</textarea>阀门已关", "last_event": "0"}
        assert house.ask("/tickets/1", "POST", data={"deed": "take"}, headers=who).status_code == 303
        told = house.ask("/tickets/1", "POST", data=said, headers=who)
        assert told.status_code == 409
        assert ">&lt;/textarea&gt;阀门已关</textarea>" in told.text
        assert told.text.count("阀门已关") == 1
        ((opened, _),) = re.findall(r'<details name="step" open>\s*<summary>([^<]*)</summary>(.)', told.text, re.DOTALL)
        assert opened == "备注"


class TestOddNames:
    """A point may be called anything: a topic's level is percent-encoded, a points file is free."""

    @pytest.mark.parametrize(
        "name",
        [
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "a%b",
            "a%2Fb",
            "a\\b",
            "三栋&501",
            "</script>",
            '"><b>',
            "{{ 1 }}",
            "😀",
            "9" * 5000,
        ],
    )
    def test_has_a_page_wherever_it_is_named(self, records: Records, name: str) -> None:
        row = PointRow(name, "b", "s", RoomClass.APARTMENT, room_id="101")
        detail: dict[str, Any] = {"min_temp_c": 15.5, "rule": "R1", "end_reason": None, "deficit_kh": 1.0}
        detail |= {"violation_h": 2.0, "unknown_h": 0.0}
        spell = Finding(
            FindingKind.COLD_SPELL,
            SubjectKind.POINT,
            name,
            "b",
            "s",
            T0,
            None,
            open=True,
            confirmed_ms=T0,
            detail=detail,
        )
        with records.write() as session:
            import_register(session, [row], "points.csv", "", T0)
            record_findings(session, [spell], [subject_of(spell)], T0)
            dispatch(session, changed_since(session, 0), Dispatch(T0, STANDARD, Register.of([row]), lambda *_: []))
        house = House(records)
        who = {**house.token(), **PAGE}
        for page in ("/", "/tickets/1"):
            (link,) = set(re.findall(r'href="(/rooms/[^"]*)"', house.ask(page, headers=who).text))
        room = house.ask(link, headers=who)
        assert (room.status_code, "<b>101" in room.text, "{{" in room.text and "{{" not in name) == (200, False, False)
        for asked in re.findall(r'(?:data-chart|data-live)="([^"]*)"', room.text):
            assert house.ask(asked, headers=who).status_code == 200, asked
        (language,) = re.findall(r'href="(/language/[^"]*)"', room.text)
        assert house.ask(language).headers["location"] == link
        assert house.ask(house.ask(link, headers=PAGE).headers["location"], headers=who).headers["location"] == link


class TestScope:
    """A person of a station sees that station and nothing else."""

    @pytest.mark.parametrize("path", ["/", "/live/now", "/live/now.html", "/live/rooms"])
    def test_tells_nothing_of_another_station(self, house: House, path: str) -> None:
        confined, free = house.token(Role.STATION, "s-two"), house.token()
        assert "-one" not in house.ask(path, headers=confined).text
        whole, part = house.ask(path, headers=free), house.ask(path, headers=confined)
        assert house.ask(f"{path}?station=s-two", headers=free).status_code == 200
        assert whole.text != part.text

    def test_shows_no_choice_where_there_is_none(self, house: House) -> None:
        assert "<select" in house.ask("/", headers=house.token()).text
        assert "<select" not in house.ask("/", headers=house.token(Role.STATION, "s-one")).text


class TestNumbers:
    """What the map is drawn from."""

    def test_are_in_the_order_of_the_plan(self, house: House) -> None:
        who = house.token()
        plan, now = house.ask("/live/rooms", headers=who).json(), house.ask("/live/now", headers=who).json()
        assert plan["layout"] == now["layout"]
        assert plan["points"] == [row.point_id for row in ROWS]
        assert plan["buildings"] == [["b-one", "s-one", 0, 3], ["b-two", "s-two", 3, 3]]
        assert now["states"] == "121110"
        assert now["temps"] == [200] * 5 + [None]
        assert now["ages"] == [1] * 5 + [None]
        assert (now["limits"], now["stops"], now["since"]) == ([180], [0], {"1": (T0 - HOUR_MS) // 1000})

    def test_are_not_sent_again_to_who_has_them(self, house: House) -> None:
        who = house.token()
        for path in ("/live/now", "/live/now.html", "/live/rooms"):
            first = house.ask(path, headers=who)
            again = house.ask(path, headers={**who, "If-None-Match": first.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
            assert first.headers["cache-control"] == "no-store"

    def test_are_made_once_for_all_who_see_the_same(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []
        latest = house.shelf.latest

        def noted(*what: Any) -> Any:
            asked.append("latest")
            return latest(*what)

        monkeypatch.setattr(house.shelf, "latest", noted)
        who, other = house.token(), house.token(Role.VIEWER)
        version = house.ask("/live/now", headers=who).json()["version"]
        times = len(asked)
        for one in (who, other):
            house.ask("/live/now", headers=one, params={"version": version})
            house.ask("/live/now.html", headers=one, params={"version": version})
            house.ask("/live/now.html", headers={**one, "Cookie": "lang=en"})
        assert len(asked) == times
        with house.records.write() as session:
            advance(session, "analytics", 9, T0, None)
        house.ask("/live/now", headers=who)
        assert len(asked) > times

    def test_the_version_differs_when_anything_does(self, house: House) -> None:
        versions: list[str] = []

        def look() -> None:
            with house.records.read() as session:
                versions.append(version_of(session, house.now_ms))

        look()
        with house.records.write() as session:
            advance(session, "dispatch", 1, T0, None)
        look()
        with house.records.write() as session:
            advance(session, "dispatch", 1, T0 + 1, None)
        look()
        with house.records.write() as session:
            import_register(session, ROWS[:1], "other.csv", "", T0)
        look()
        house.now_ms = T0 + 3 * HOUR_MS
        look()
        assert len(set(versions)) == 5


class TestFiles:
    """What pages load."""

    def test_each_stays_under_its_address_for_a_year_and_can_be_packed(self, house: House) -> None:
        for name in assets().files:
            told = house.ask(assets().address(name))
            assert "immutable" in told.headers["cache-control"], name
            assert house.ask(f"/static/{name}").headers["cache-control"] == "no-cache"
            packed = house.ask(assets().address(name), headers={"Accept-Encoding": "gzip"})
            assert packed.headers["content-encoding"] == "gzip"
            assert packed.content == told.content

    def test_modules_import_each_other_under_the_same_version(self) -> None:
        for name, file in assets().files.items():
            for other in re.findall(r'from "\./([^"]+)"', file.content.decode()):
                assert other.partition("?v=")[2] == assets().version, name
                assert other.partition("?")[0] in assets().files, name
            assert gzip.decompress(file.packed) == file.content

    @pytest.mark.parametrize(
        "path", ["../texts.yaml", "%2e%2e/texts.yaml", "..%2ftexts.yaml", "", "nothing.css", "/etc/passwd"]
    )
    def test_nothing_else_is_to_be_had(self, house: House, path: str) -> None:
        assert house.ask(f"/static/{path}").status_code == 404

    def test_every_file_of_the_folder_is_one_that_is_sent(self) -> None:
        assert {path.name for path in FOLDER.iterdir()} == set(assets().files)


def run(coroutine: Any) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 20))


async def yes() -> bool:
    return True


async def first(events: AsyncIterator[str], number: int) -> list[str]:
    return [await anext(events) for _ in range(number)]


class TestStream:
    """Says that something has changed, and ends when it must."""

    def test_tells_at_once_and_then_when_something_has_changed(self, house: House) -> None:
        async def watch() -> list[str]:
            pulse = Pulse(house.console, 0.05)
            events = stream(pulse, yes, lambda: False)
            begun = await first(events, 2)
            with house.records.write() as session:
                advance(session, "analytics", 7, T0, None)
            told = [*begun, *await first(events, 1)]
            await events.aclose()  # type: ignore[attr-defined]
            return told

        _, one, two = run(watch())
        told = [json.loads(text.partition("data: ")[2]) for text in (one, two)]
        assert one.startswith("event: now\n")
        assert [event["now"] for event in told] == [house.now_ms] * 2
        assert told[0]["version"] != told[1]["version"]

    def test_keeps_quiet_connections_alive(self, house: House) -> None:
        async def watch() -> str:
            events = stream(Pulse(house.console, 0.05), yes, lambda: False, keep_alive_s=0.1)
            said = await first(events, 3)
            await events.aclose()  # type: ignore[attr-defined]
            return said[-1]

        assert run(watch()).startswith(":")

    def test_ends_with_the_session(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(live, "ASK_AGAIN_S", 0.1)

        async def no() -> bool:
            return False

        async def watch() -> list[str]:
            return [text async for text in stream(Pulse(house.console, 0.05), no, lambda: False)]

        assert len(run(watch())) == 2

    def test_one_look_serves_all_who_watch_and_nobody_looks_when_nobody_does(self, house: House) -> None:
        looks: list[int] = []

        def clock() -> int:
            looks.append(T0)
            return T0

        console = replace(house.console, clock=clock)

        async def watch() -> None:
            pulse = Pulse(console, 0.1)
            streams = [stream(pulse, yes, lambda: False, keep_alive_s=0.15) for _ in range(20)]
            await asyncio.gather(*(first(one, 3) for one in streams))
            during = len(looks)
            for one in streams:
                await one.aclose()  # type: ignore[attr-defined]
            assert during <= 10
            after = len(looks)
            await asyncio.sleep(0.3)
            assert len(looks) <= after + 1
            assert [task.get_name() for task in asyncio.all_tasks() if "pulse" in task.get_name()] == []

        run(watch())

    def test_goes_on_while_the_records_are_away(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        async def watch() -> list[str]:
            events = stream(Pulse(house.console, 0.05), yes, lambda: False, keep_alive_s=0.2)
            begun = await first(events, 2)
            with monkeypatch.context() as patch:
                patch.setattr(house.records, "read", _away)
                kept = await first(events, 1)
            with house.records.write() as session:
                advance(session, "analytics", 8, T0, None)
            told = [*begun, *kept, *await first(events, 1)]
            await events.aclose()  # type: ignore[attr-defined]
            return told

        *_, kept, last = run(watch())
        assert kept.startswith(":")
        assert last.startswith("event: now")

    def test_does_not_hold_up_a_server_that_stops(self, house: House) -> None:
        role, stop, heard = ApiRole(house.app, "127.0.0.1", 0), threading.Event(), threading.Event()
        port, who = role.bind(), house.token()
        ended: list[bool] = []

        def listen() -> None:
            with httpx.stream("GET", f"http://127.0.0.1:{port}/live", headers=who, timeout=20) as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                for line in answer.iter_lines():
                    if line.startswith("event: now"):
                        heard.set()
            ended.append(True)

        serving = threading.Thread(target=role.run, args=(stop,))
        listening = threading.Thread(target=listen)
        serving.start()
        assert role.wait_started(10)
        listening.start()
        assert heard.wait(10)
        began = time.monotonic()
        stop.set()
        serving.join()
        listening.join()
        assert time.monotonic() - began < 4
        assert ended == [True]

    def test_is_closed_to_who_is_not_signed_in(self, house: House) -> None:
        for path in ("/live", "/live/now", "/live/now.html", "/live/rooms"):
            assert house.ask(path, headers={"Accept": "*/*"}).status_code == 401
        assert house.ask("/", headers=PAGE).headers["location"] == "/sign-in?next=/"

    def test_so_is_every_page_that_is_not_public(self, house: House) -> None:
        for (method, template), entry in PAGES.items():
            if isinstance(entry, Access):
                status = house.ask(re.sub(r"\{\w+\}", "1", template), method, headers=PAGE).status_code
                assert status in {303, 401}, template

    def test_a_deactivated_user_is_noticed(self, house: House) -> None:
        who = house.token(Role.VIEWER)
        assert house.ask("/live/now", headers=who).status_code == 200
        with house.records.write() as session:
            change_user(session, "viewer-None", Change(active=False), by="test", now_ms=T0)
        assert house.ask("/live/now", headers=who).status_code == 401


def _away() -> Any:
    raise Unavailable("records", "away")


def test_what_is_kept_is_made_once_and_the_oldest_goes_first() -> None:
    made: list[int] = []
    kept: Kept[int] = Kept(2)

    def make(number: int) -> int:
        time.sleep(0.01)
        made.append(number)
        return number

    threads = [threading.Thread(target=lambda: kept("a", lambda: make(1))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]
    kept("b", lambda: make(2))
    kept("c", lambda: make(3))
    assert (kept.held("a"), kept.held("b"), kept.held("c")) == (None, 2, 3)


def test_an_application_without_a_console_has_no_pages(records: Records) -> None:
    shelf = Shelf()
    app: FastAPI = create_app(
        records,
        shelf,
        journal_sequences=dict,
        clock=lambda: T0,
        version="0.1.0",
        delivery=dict,
        findings_csv=lambda _kind, _stations: b"",
        standard=STANDARD,
        signing=Signing("", 12.0, lambda: T0),
    )

    async def once() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.get("/", headers={"Cookie": f"{COOKIE}=x"})

    assert asyncio.run(once()).status_code == 404


class TestTwoProcesses:
    """Two applications on one set of records: any request may reach either."""

    @pytest.fixture
    def other(self, house: House) -> House:
        return House(house.records, shelf=house.shelf)

    def test_what_is_done_through_one_is_told_by_the_other(self, house: House, other: House) -> None:
        """Versions are the same in both, and what is made under one version is."""
        headers = house.token()
        both = [one.ask("/live/now", headers=headers).json() for one in (house, other)]
        assert both[0] == both[1]
        number = house.ask("/api/v1/tickets", headers=headers).json()["items"][0]["id"]
        deed = {"deed": "take", "last_event": None}
        assert house.ask(f"/api/v1/tickets/{number}/deeds", "POST", json=deed, headers=headers).status_code == 200
        told = other.ask("/live/now", headers=headers).json()
        assert told["version"] != both[1]["version"]
        assert told == house.ask("/live/now", headers=headers).json()
        assert "company-None" in other.ask(f"/live/tickets/{number}", headers=headers).text
        assert "company-None" in other.ask("/live/now.html", headers=headers).text

    def test_who_signs_in_at_one_is_known_to_the_other(self, house: House, other: House) -> None:
        with house.records.write() as session:
            change = Change(role=Role.VIEWER, password=PASSWORD)
            add_user(session, "viewer", change, by="test", now_ms=T0)
        said = {"name": "viewer", "password": PASSWORD}
        cookie = house.ask("/api/v1/sign-in", "POST", json=said).cookies[COOKIE]
        known = {"Cookie": f"{COOKIE}={cookie}"}
        assert other.ask("/api/v1/me", headers=known).status_code == 200
        out = {**known, "Sec-Fetch-Site": "same-origin"}
        assert other.ask("/api/v1/sign-out", "POST", headers=out).status_code < 300
        assert house.ask("/api/v1/me", headers=known).status_code == 401
