"""Who may ask for what: what the table says is what happens, and nothing of another station is ever told."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.responses import Response, StreamingResponse
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from api import access, charts
from api.access import COOKIE, PAGES, PUBLIC, TABLE, Access, Key, Keyed, Public, Stations, Table
from api.app import create_app
from api.console.backing import Console
from api.headers import ALWAYS
from api.signing import PASSWORD_MAX, Signing, local_path, signing_of
from cli.wiring import Service
from dispatch.tickets import Dispatch, dispatch
from heatwatch.domain.findings import Finding, FindingKind, SubjectKind
from heatwatch.domain.instants import DAY_MS, HOUR_MS, from_ms
from heatwatch.domain.people import OF_STATIONS, Role
from heatwatch.domain.register import PointRow
from heatwatch.domain.temperature import ClockRule, Judging, RoomClass, Standard, Version
from heatwatch.errors import BadInput, Unavailable
from heatwatch.files.rules_file import default_standard
from heatwatch.records.audit import acting
from heatwatch.records.database import Records
from heatwatch.records.progress import advance
from heatwatch.records.schema import FindingRow, NoticeRow, Quarantine, ReportedStop, TicketEvent, TicketRow
from heatwatch.settings import Settings
from heatwatch.usecases import people
from heatwatch.usecases.findings import changed_since, record_findings
from heatwatch.usecases.people import FAILURES_MAX, Change, Door, add_user, change_user, make_token, revoke_token
from heatwatch.usecases.register import import_register
from tests.shelf import Shelf

T0 = 1764028800000
NOW = T0 + 2 * HOUR_MS
STANDARD = default_standard()
ZONE = ZoneInfo("Asia/Shanghai")
OWN, OTHER = "one", "two"
PASSWORD = "correct horse battery"  # noqa: S105 - of nobody
HERE = "http://127.0.0.1"
FORM = {"Accept": "text/html"}
WHOM = [(role, confined) for role in Role for confined in (False, True) if confined or role not in OF_STATIONS]
FOR_MACHINES = ("/api/", "/metrics", "/live")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let argon2 take less time than it should."""
    monkeypatch.setattr(people, "_HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))


@dataclass
class House:
    """An application, as people meet it."""

    records: Records
    shelf: Shelf = field(default_factory=Shelf)
    auto_sign_in: str = ""
    now_ms: int = T0
    door: Door = field(default_factory=Door)
    pages: bool = False

    def __post_init__(self) -> None:
        service = cast("Service", SimpleNamespace(records=self.records))
        console = Console(self.records, self.shelf, STANDARD, ZONE, lambda: NOW, "供热公司")
        self.app = create_app(
            self.records,
            self.shelf,
            journal_sequences=dict,
            clock=lambda: NOW,
            version="0.1.0",
            delivery=lambda: {"senders": [f"p-{OWN}", f"p-{OTHER}"]},
            findings_csv=lambda kind, stations: Service.findings_csv(service, kind, stations),
            standard=STANDARD,
            signing=Signing(self.auto_sign_in, 12.0, lambda: self.now_ms, self.door),
            console=console if self.pages else None,
        )
        self.app.state.stopping = threading.Event()
        self.app.state.stopping.set()

    def ask(
        self, method: str, path: str, *, base: str = "http://test", cookies: Any = None, **more: Any
    ) -> httpx.Response:
        """Ask as someone outside would; redirections are not followed."""

        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=base, cookies=cookies) as client:
                return await client.request(method, path, **more)

        return asyncio.run(once())

    def person(self, role: Role, *, confined: bool, password: str | None = None) -> str:
        """Add someone, at station one where confined, and return the name."""
        name = f"{role}-{'confined' if confined else 'free'}"
        change = Change(role=role, stations=[f"s-{OWN}"] if confined else (), password=password)
        with self.records.write() as session:
            add_user(session, name, change, by="test", now_ms=self.now_ms)
        return name

    def token(self, name: str, expires_ms: int | None = None) -> dict[str, str]:
        """Return the header of a new token."""
        with self.records.write() as session:
            secret = make_token(session, name, "test", expires_ms=expires_ms, by="test", now_ms=self.now_ms)
        return {"Authorization": f"Bearer {secret}"}

    def sign_in(self, name: str, password: str = PASSWORD) -> dict[str, str]:
        """Return the cookies of a new session."""
        told = self.ask("POST", "/api/v1/sign-in", json={"name": name, "password": password})
        assert told.status_code == 200, told.text
        return dict(told.cookies)

    def status(self, **more: Any) -> int:
        """Return how `me` is answered."""
        return self.ask("GET", "/api/v1/me", **more).status_code


@pytest.fixture
def house(records: Records) -> House:
    return House(records)


def _spell(which: str) -> Finding:
    detail = {
        "end_reason": None,
        "violation_h": 2.0,
        "unknown_h": 0.0,
        "min_temp_c": 16.5,
        "deficit_kh": 1.0,
        "rule": "R1",
    }
    return Finding(
        FindingKind.COLD_SPELL,
        SubjectKind.POINT,
        f"p-{which}",
        f"b-{which}",
        f"s-{which}",
        T0,
        None,
        open=True,
        confirmed_ms=T0 + HOUR_MS,
        detail=detail,
    )


def _draft(ticket_id: int, which: str) -> NoticeRow:
    said = {"title": f"s-{which}", "text": f"b-{which}", "building_ids": [f"b-{which}"], "station_id": f"s-{which}"}
    when = {"stop_start_ms": T0, "drafted_ms": NOW, "due_ms": T0 + 8 * HOUR_MS}
    return NoticeRow(ticket_id=ticket_id, kind="stop", state="draft", **said, **when)


def _two_stations(house: House) -> dict[str, dict[str, int]]:
    """Keep two stations' worth of everything; return the numbers of what each has."""
    found = [_spell(OWN), _spell(OTHER)]
    clocks = {"low_temperature": (ClockRule("contact", 30, "R16", "九(十)"),)}
    standard = Standard((Version(None, {}, clocks=clocks),), Judging())
    by = Dispatch(NOW, standard, None, lambda points, start, _: [(point, start, 17.5) for point in points])
    rows = [PointRow(f"p-{w}", f"b-{w}", f"s-{w}", RoomClass.APARTMENT, device_id=f"d-{w}") for w in (OWN, OTHER)]
    with house.records.write() as session:
        acting(session, "test", T0)
        import_register(session, rows, "points.csv", "0" * 64, T0)
        record_findings(session, found, {(one.kind, one.subject_kind, one.subject_id) for one in found}, by.at_ms)
        dispatch(session, changed_since(session, 0), by)
        advance(session, "analytics", 1, by.at_ms, None)
        for number, which in enumerate((OWN, OTHER), 1):
            quarantined = {"payload": b"?", "reason": "no JSON", "arrived_ms": T0}
            topic = f"heat/s-{which}/b-{which}/p-{which}/reading"
            session.add(Quarantine(worker="w", sequence=number, position=-1, topic=topic, **quarantined))
            session.add(_draft(session.query(TicketRow.id).filter_by(station_id=f"s-{which}").scalar(), which))
            told = {"station_id": f"s-{which}", "planned": False, "reported_by": "test", "reported_ms": T0}
            session.add(ReportedStop(subject_kind="building", subject_id=f"b-{which}", start_ms=T0, **told))
    house.shelf.keep(*[(f"d-{which}", T0, 17.5) for which in (OWN, OTHER)])
    with house.records.read() as session:
        return {
            which: {
                "finding_id": session.query(FindingRow.id).filter_by(station_id=f"s-{which}").scalar(),
                "ticket_id": session.query(TicketRow.id).filter_by(station_id=f"s-{which}").scalar(),
                "notice_id": session.query(NoticeRow.id).filter_by(station_id=f"s-{which}").scalar(),
                "stop_id": session.query(ReportedStop.id).filter_by(station_id=f"s-{which}").scalar(),
            }
            for which in (OWN, OTHER)
        }


def _parameters(template: str) -> list[str]:
    return re.findall(r"{(\w+)", template)


def _asked(key: Key, which: str, numbers: Mapping[str, Mapping[str, int]]) -> tuple[str, dict[str, str]]:
    """Return the path and query with which a route is asked for something of one station."""
    values: dict[str, Any] = {"kind": FindingKind.COLD_SPELL, "point_id": f"p-{which}", **numbers[which]}
    values |= {"language": "zh", "path": "console.css"}
    if "digest" in _parameters(key[1]):
        values["digest"] = charts.bundle().digest
    return re.sub(r"{(\w+)(:path)?}", lambda found: str(values[found[1]]), key[1]), (
        {"point_id": f"p-{which}"} if key[1].endswith("/readings") else {}
    )


def _body(key: Key, which: str) -> dict[str, str] | None:
    """Return a body that is legal, for something of one station; None where a route wants none."""
    place = {"station_id": f"s-{which}", "building_id": f"b-{which}"}
    return {
        ("POST", "/api/v1/tickets"): {"kind": "repair", "subject": "x", **place},
        ("POST", "/api/v1/tickets/{ticket_id}/deeds"): {"deed": "comment", "text": "x"},
        ("PATCH", "/api/v1/notices/{notice_id}"): {"title": "x", "text": "x"},
        ("POST", "/api/v1/stops"): {
            "subject_kind": "building",
            "subject_id": f"b-{which}",
            "start": "2025-11-25T00:00:00Z",
        },
        ("PATCH", "/api/v1/stops/{stop_id}"): {"reason": "x"},
    }.get(key)


def _form(key: Key, which: str) -> dict[str, str] | None:
    """Return what a page's form sends that is legal; None where there is no field."""
    said_by = {
        ("POST", "/tickets/new"): ("POST", "/api/v1/tickets"),
        ("POST", "/tickets/{ticket_id}"): ("POST", "/api/v1/tickets/{ticket_id}/deeds"),
        ("POST", "/notices/{notice_id}"): ("PATCH", "/api/v1/notices/{notice_id}"),
    }
    return _body(said_by[key], which) if key in said_by else None


_NAMING = {("POST", "/api/v1/tickets"), ("POST", "/tickets/new"), ("POST", "/api/v1/stops")}


def _names_something(key: Key) -> bool:
    """Tell whether a route is about one thing, which belongs to a station."""
    named = any(name.endswith("_id") for name in _parameters(key[1]))
    return named or key[1].endswith("/readings") or key in _NAMING


def _rows(table: Table = TABLE) -> list[tuple[Key, Access]]:
    return [(key, entry) for key, entry in table.items() if isinstance(entry, Access)]


def _refused(entry: Access, role: Role, *, confined: bool) -> bool:
    return role not in entry.roles or (confined and entry.stations is Stations.ALL)


class TestTable:
    """The table is about all that there is, and about nothing else."""

    def test_lists_every_route_and_nothing_else(self, house: House) -> None:
        there = [key for key, _ in access.routes_of(house.app.routes)]
        assert sorted(there) == sorted(TABLE)

    def test_lists_every_page_besides(self, records: Records) -> None:
        there = [key for key, _ in access.routes_of(House(records, pages=True).app.routes)]
        assert sorted(there) == sorted({**TABLE, **PAGES})
        assert not TABLE.keys() & PAGES.keys()

    def test_a_route_that_it_does_not_list_answers_nobody(self, house: House) -> None:
        boss = house.token(house.person(Role.COMPANY, confined=False))

        @house.app.get("/api/v1/forgotten")
        def forgotten() -> str:
            return "secret"

        house.app.add_route("/forgotten", lambda _: Response("secret"))
        for path in ("/api/v1/forgotten", "/forgotten"):
            told = house.ask("GET", path, headers=boss)
            assert told.status_code == 500
            assert "secret" not in told.text

    @pytest.mark.parametrize("kind", ["missing", "mistaken", "mounted"])
    def test_an_application_that_differs_from_it_does_not_start(
        self, records: Records, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
    ) -> None:
        def app() -> FastAPI:
            return House(records).app

        if kind == "mounted":
            made = app()
            made.router.routes.append(Mount("/static", StaticFiles(directory=tmp_path)))
            with pytest.raises(ValueError, match=r"\* /static/{path} has no entry"):
                access.check(made, TABLE)
            return
        table = {**TABLE, ("GET", "/api/v1/nowhere"): PUBLIC} if kind == "mistaken" else dict(list(TABLE.items())[1:])
        monkeypatch.setattr(access, "TABLE", table)
        said = "lists GET /api/v1/nowhere, which is no route" if kind == "mistaken" else "has no entry in the table"
        with pytest.raises(ValueError, match=said):
            app()

    def test_a_route_reached_past_the_control_refuses_itself(self, house: House) -> None:
        """Even where nobody stands at the entrance."""
        house.app.user_middleware.clear()
        assert house.ask("GET", "/api/v1/points").status_code == 500


class TestEveryRoute:
    """Every route, every role, one's own station and another: as the table says."""

    @pytest.mark.parametrize(("role", "confined"), WHOM)
    def test_answers_as_the_table_says(self, house: House, role: Role, confined: bool) -> None:  # noqa: FBT001
        numbers = _two_stations(house)
        headers = house.token(house.person(role, confined=confined))
        for key, entry in _rows():
            for which in (OWN, OTHER):
                path, query = _asked(key, which, numbers)
                status = house.ask(key[0], path, params=query, json=_body(key, which), headers=headers).status_code
                hidden = confined and which == OTHER and entry.stations is Stations.CONFINED and _names_something(key)
                if _refused(entry, role, confined=confined):
                    assert status == 403, (key, which)
                else:
                    assert status in ({404} if hidden else {200, 201, 303}), (key, which)

    def test_is_really_tried_where_it_wants_a_body(self, house: House) -> None:
        """No route is refused for its body alone, and so passed over."""
        paths = house.app.openapi()["paths"]
        wanting = {
            (method.upper(), path) for path in paths for method in paths[path] if "requestBody" in paths[path][method]
        }
        public = {key for key, entry in TABLE.items() if isinstance(entry, Public)}
        assert {key for key in TABLE if _body(key, OWN)} == wanting - public

    @pytest.mark.parametrize("role", [Role.STATION, Role.DISPATCH])
    def test_changes_nothing_of_another_station(self, house: House, role: Role) -> None:
        numbers = _two_stations(house)
        headers = house.token(house.person(role, confined=True))
        before = _kept(house, OTHER)
        for key, _ in _rows():
            path, query = _asked(key, OTHER, numbers)
            house.ask(key[0], path, params=query, json=_body(key, OTHER), headers=headers)
        assert _kept(house, OTHER) == before

    def test_is_closed_to_who_is_not_signed_in_unless_it_is_public(self, house: House) -> None:
        numbers = _two_stations(house)
        for key, entry in TABLE.items():
            path, query = _asked(key, OWN, numbers)
            told = house.ask(key[0], path, params=query, json=_body(key, OWN), headers=FORM)
            if isinstance(entry, Keyed):
                assert told.status_code == 404, key
                continue
            if isinstance(entry, Public):
                assert told.status_code not in {303, 401, 403, 404, 405, 500}
                continue
            page = not path.startswith(FOR_MACHINES)
            assert told.status_code == (303 if page else 401), key
            if page:
                assert told.headers["location"].startswith("/sign-in?next=/")
            else:
                assert told.headers["www-authenticate"] == "Bearer"
                assert told.headers["content-type"] == "application/problem+json"

    @pytest.mark.parametrize("role", list(Role))
    def test_tells_a_station_nothing_of_another(self, house: House, role: Role) -> None:
        """Whatever is asked for, no name of the other station is in the answer."""
        numbers = _two_stations(house)
        headers = house.token(house.person(role, confined=True))
        told_of_own = set()
        filters = [{}, {"station": f"s-{OTHER}"}, {"building": f"b-{OTHER}"}, {"subject": f"p-{OTHER}"}]
        for key, _ in _rows():
            for query in filters if key[0] == "GET" else [{}]:
                path, needed = _asked(key, OWN, numbers)
                told = house.ask(key[0], path, params={**needed, **query}, json=_body(key, OWN), headers=headers)
                assert f"-{OTHER}" not in told.text, (key, query)
                if f"-{OWN}" in told.text and told.status_code == 200:
                    told_of_own.add(key[1].removeprefix("/api/v1/"))
                if query and told.status_code == 200 and told.text.startswith('{"items":'):
                    assert told.json()["total"] == 0, (key, query)
        assert {"points", "readings", "findings", "findings/{kind}.csv", "findings/{finding_id}"} <= told_of_own
        assert {"tickets", "tickets/{ticket_id}", "notices", "notices/{notice_id}"} <= told_of_own

    def test_what_is_another_stations_is_as_if_it_were_not(self, house: House) -> None:
        numbers = _two_stations(house)
        headers = house.token(house.person(Role.STATION, confined=True))
        for name, number in numbers[OTHER].items():
            path = f"/api/v1/{name.removesuffix('_id')}s/"
            theirs, nobodys = (house.ask("GET", f"{path}{one}", headers=headers) for one in (number, 10**9))
            assert theirs.status_code == nobodys.status_code == 404
            assert theirs.text.replace(str(number), "N") == nobodys.text.replace(str(10**9), "N")

    def test_what_is_another_stations_cannot_be_changed_as_if_it_were_not(self, house: House) -> None:
        numbers = _two_stations(house)
        nobodys = {OTHER: dict.fromkeys(numbers[OTHER], 10**9)}
        headers = house.token(house.person(Role.DISPATCH, confined=True))
        for key, _ in _rows():
            if key[0] != "GET" and any(name.endswith("_id") for name in _parameters(key[1])):
                paths = [_asked(key, OTHER, whose)[0] for whose in (numbers, nobodys)]
                told = [house.ask(key[0], path, json=_body(key, OTHER), headers=headers) for path in paths]
                assert [one.status_code for one in told] == [404, 404], key
                assert re.sub(r"\d+", "N", told[0].text) == re.sub(r"\d+", "N", told[1].text)

    @pytest.mark.parametrize("role", [Role.STATION, Role.DISPATCH])
    def test_a_station_reports_only_what_is_in_its_own(self, house: House, role: Role) -> None:
        _two_stations(house)
        headers = house.token(house.person(role, confined=True))
        said = {which: _body(("POST", "/api/v1/tickets"), which) or {} for which in (OWN, OTHER)}
        mixed = said[OWN] | {"building_id": f"b-{OTHER}"}
        bodies = [said[OWN], said[OTHER], mixed, {**mixed, "building_id": "b-nobody"}]
        before = _kept(house, OTHER)
        told = [house.ask("POST", "/api/v1/tickets", json=body, headers=headers) for body in bodies]
        assert _kept(house, OTHER) == before
        assert [one.status_code for one in told] == [201, 404, 409, 409]
        assert told[2].text.replace(OTHER, "nobody") == told[3].text, "nobody learns that it is another's"

    def test_the_delivery_identity_is_for_those_who_see_all_stations(self, house: House) -> None:
        for confined in (False, True):
            headers = house.token(house.person(Role.DISPATCH, confined=confined))
            delivery = house.ask("GET", "/api/v1/health", headers=headers).json()["delivery"]
            assert (delivery is None) == confined


def _kept(house: House, which: str) -> list[tuple[Any, ...]]:
    """Return what the records have of a station's tickets and notices."""
    with house.records.read() as session:
        tickets = session.query(TicketRow).filter_by(station_id=f"s-{which}").order_by(TicketRow.id).all()
        events = session.query(TicketEvent).filter(TicketEvent.ticket_id.in_([row.id for row in tickets])).all()
        notices = session.query(NoticeRow).filter_by(station_id=f"s-{which}").all()
        return [
            *((row.id, row.state, row.responsible) for row in tickets),
            *((row.id, row.kind) for row in events),
            *((row.id, row.state, row.title, row.text) for row in notices),
        ]


class TestEveryPage:
    """Every page and every part of one, every role, one's own station and another: as the table says."""

    @pytest.fixture
    def house(self, records: Records) -> House:
        return House(records, pages=True)

    @pytest.mark.parametrize(("role", "confined"), WHOM)
    def test_answers_as_the_table_says(self, house: House, role: Role, confined: bool) -> None:  # noqa: FBT001
        numbers = _two_stations(house)
        headers = house.token(house.person(role, confined=confined)) | FORM
        for key, entry in _rows(PAGES):
            for which in (OWN, OTHER):
                path, _ = _asked(key, which, numbers)
                told = house.ask(key[0], path, data=_form(key, which), headers=headers)
                hidden = confined and which == OTHER and entry.stations is Stations.CONFINED and _names_something(key)
                if _refused(entry, role, confined=confined):
                    assert told.status_code == 403, (key, which)
                else:
                    good = {200} if key[0] == "GET" else {303}
                    assert told.status_code in ({404} if hidden else good), (key, which)
                    assert "/sign-in" not in told.headers.get("location", "")

    @pytest.mark.parametrize("path", ["/", "/live/now", "/live/now.html", "/live/rooms"])
    def test_another_station_cannot_be_looked_at(self, house: House, path: str) -> None:
        _two_stations(house)
        headers = house.token(house.person(Role.STATION, confined=True))
        told = {
            which: house.ask("GET", path, params={"station": f"s-{which}"}, headers=headers) for which in (OWN, OTHER)
        }
        assert {which: one.status_code for which, one in told.items()} == {OWN: 200, OTHER: 404}

    @pytest.mark.parametrize("role", [Role.STATION, Role.DISPATCH])
    def test_changes_nothing_of_another_station(self, house: House, role: Role) -> None:
        numbers = _two_stations(house)
        headers = house.token(house.person(role, confined=True))
        before = _kept(house, OTHER)
        for key, _ in _rows(PAGES):
            house.ask(key[0], _asked(key, OTHER, numbers)[0], data=_form(key, OTHER), headers=headers)
        assert _kept(house, OTHER) == before

    def test_is_closed_to_who_is_not_signed_in_unless_it_is_public(self, house: House) -> None:
        numbers = _two_stations(house)
        for key, entry in PAGES.items():
            path, query = _asked(key, OWN, numbers)
            told = house.ask(key[0], path, params=query, headers=FORM)
            if isinstance(entry, Public):
                assert told.status_code in {200, 303}, key
                assert "/sign-in" not in told.headers.get("location", ""), key
                assert not re.search(rf"[psb]-({OWN}|{OTHER})", told.text), key
            elif path.startswith(FOR_MACHINES):
                assert (told.status_code, told.headers["www-authenticate"]) == (401, "Bearer"), key
            else:
                assert told.status_code == 303, key
                assert told.headers["location"].startswith("/sign-in?next=/"), key

    @pytest.mark.parametrize("role", list(Role))
    def test_tells_a_station_nothing_of_another(self, house: House, role: Role) -> None:
        """No page, no part of one and no number, whatever is asked for, has a name of the other station in it."""
        numbers = _two_stations(house)
        headers = house.token(house.person(role, confined=True)) | FORM
        told_of_own = set()
        for key, _ in _rows(PAGES):
            filters: list[dict[str, str]] = [{}, {"station": f"s-{OTHER}"}, {"building": f"b-{OTHER}"}, {"show": "all"}]
            for query in filters if key[0] == "GET" else [{}]:
                path, _ = _asked(key, OWN, numbers)
                told = house.ask(key[0], path, params=query, data=_form(key, OWN), headers=headers)
                text = re.sub(rf"(station|building)(=|%3D)[sb]-{OTHER}", "", told.text)
                assert f"-{OTHER}" not in text, (key, query)
                if f"-{OWN}" in text and told.status_code == 200:
                    told_of_own.add(key[1])
        assert {
            "/",
            "/live/now.html",
            "/live/rooms",
            "/rooms/{point_id}",
            "/rooms/{point_id}/chart.json",
        } <= told_of_own
        assert {"/tickets", "/tickets/{ticket_id}", "/notices", "/notices/{notice_id}"} <= told_of_own

    def test_whoever_sees_all_stations_is_told_of_both(self, house: House) -> None:
        """So that what a station is not told is not merely missing."""
        numbers = _two_stations(house)
        headers = house.token(house.person(Role.DISPATCH, confined=False)) | FORM
        for path in ("/", "/live/now.html", "/live/rooms", "/tickets", "/notices"):
            assert {f"-{OWN}", f"-{OTHER}"} <= set(
                re.findall("-(?:one|two)", house.ask("GET", path, headers=headers).text)
            )
        for key, _ in _rows(PAGES):
            if key[0] == "GET" and _names_something(key):
                path, _ = _asked(key, OTHER, numbers)
                assert house.ask("GET", path, headers=headers).status_code == 200, key

    @pytest.mark.parametrize("role", [Role.STATION, Role.DISPATCH, Role.VIEWER])
    def test_what_is_another_stations_is_as_if_it_were_not(self, house: House, role: Role) -> None:
        """Down to the last sign of the answer."""
        numbers = _two_stations(house)
        nowhere = {"nobody": dict.fromkeys(numbers[OTHER], 10**9)}
        headers = house.token(house.person(role, confined=True)) | FORM
        named = re.compile(rf"\b({OTHER}|nobody|{'|'.join(map(str, numbers[OTHER].values()))}|1000000000)\b")
        for key, entry in _rows(PAGES):
            if any(name.endswith("_id") for name in _parameters(key[1])):
                paths = [_asked(key, OTHER, numbers)[0], _asked(key, "nobody", nowhere)[0]]
                theirs, nobodys = (house.ask(key[0], one, data=_form(key, OTHER), headers=headers) for one in paths)
                wanted = 403 if _refused(entry, role, confined=True) else 404
                assert theirs.status_code == nobodys.status_code == wanted, key
                assert named.sub("N", theirs.text) == named.sub("N", nobodys.text), key


def test_a_room_that_changed_its_station_shows_each_its_own_time(house: House) -> None:
    moved = T0 + HOUR_MS
    rows = [
        PointRow("p", f"b-{OWN}", f"s-{OWN}", RoomClass.APARTMENT, valid_to=from_ms(moved)),
        PointRow("p", f"b-{OTHER}", f"s-{OTHER}", RoomClass.APARTMENT, valid_from=from_ms(moved)),
    ]
    with house.records.write() as session:
        acting(session, "test", T0)
        import_register(session, rows, "points.csv", "0" * 64, T0)
    house.shelf.keep(("p", moved - 1, 18.0), ("p", moved, 19.0))
    for confined, temps in ((True, [18.0]), (False, [18.0, 19.0])):
        headers = house.token(house.person(Role.DISPATCH, confined=confined))
        told = house.ask("GET", "/api/v1/readings", params={"point_id": "p"}, headers=headers).json()
        assert [row["temperature_c"] for row in told["items"]] == temps


def test_before_a_register_says_where_rooms_are_a_station_sees_none(house: House) -> None:
    house.shelf.keep(("p", T0, 18.0))
    headers = house.token(house.person(Role.STATION, confined=True))
    assert house.ask("GET", "/api/v1/readings", params={"point_id": "p"}, headers=headers).status_code == 404


class TestTokens:
    """Keys of machines."""

    def test_let_in_until_they_expire(self, house: House) -> None:
        name = house.person(Role.VIEWER, confined=False)
        headers = house.token(name, expires_ms=T0 + DAY_MS)
        assert house.ask("GET", "/api/v1/me", headers=headers).json() == {
            "name": name,
            "display_name": name,
            "role": "viewer",
            "stations": None,
        }
        house.now_ms = T0 + DAY_MS - 1
        assert house.status(headers=headers) == 200
        house.now_ms = T0 + DAY_MS
        assert house.status(headers=headers) == 401

    def test_that_are_revoked_let_nobody_in(self, house: House) -> None:
        name = house.person(Role.VIEWER, confined=False)
        headers = house.token(name)
        with house.records.write() as session:
            revoke_token(session, name, "test", by="test", now_ms=T0)
        assert house.status(headers=headers) == 401

    def test_of_someone_inactive_let_nobody_in(self, house: House) -> None:
        name = house.person(Role.VIEWER, confined=False)
        headers = house.token(name)
        with house.records.write() as session:
            change_user(session, name, Change(active=False), by="test", now_ms=T0)
        assert house.status(headers=headers) == 401

    @pytest.mark.parametrize("said", ["Bearer", "Bearer hw_", "Bearer hw_nothing", "Basic aHdfOg==", "hw_", "Bearer ü"])
    def test_that_are_none_let_nobody_in(self, house: House, said: str) -> None:
        assert house.status(headers={"Authorization": said.encode("latin-1")}) == 401

    def test_that_are_wrong_are_not_made_good_by_a_cookie(self, house: House) -> None:
        cookies = house.sign_in(house.person(Role.VIEWER, confined=False, password=PASSWORD))
        assert house.status(cookies=cookies) == 200
        assert house.status(cookies=cookies, headers={"Authorization": "Bearer hw_no"}) == 401


class TestSessions:
    """Browsers that are signed in."""

    def test_begin_with_the_password_and_end_with_their_time(self, house: House) -> None:
        cookies = house.sign_in(house.person(Role.DISPATCH, confined=False, password=PASSWORD))
        house.now_ms = T0 + 12 * HOUR_MS - 1
        assert house.status(cookies=cookies) == 200
        house.now_ms = T0 + 12 * HOUR_MS
        assert house.status(cookies=cookies) == 401

    def test_end_when_one_signs_out(self, house: House) -> None:
        cookies = house.sign_in(house.person(Role.DISPATCH, confined=False, password=PASSWORD))
        told = house.ask("POST", "/api/v1/sign-out", cookies=cookies, headers={"Origin": "http://test"})
        assert told.status_code == 200
        assert 'heatwatch_session=""' in told.headers["set-cookie"]
        assert house.status(cookies=cookies) == 401

    @pytest.mark.parametrize("change", [Change(password=PASSWORD[::-1]), Change(active=False)])
    def test_end_with_a_new_password_and_when_someone_leaves(self, house: House, change: Change) -> None:
        name = house.person(Role.DISPATCH, confined=False, password=PASSWORD)
        cookies = house.sign_in(name)
        with house.records.write() as session:
            change_user(session, name, change, by="test", now_ms=T0)
        assert house.status(cookies=cookies) == 401

    def test_follow_the_role_at_once(self, house: House) -> None:
        name = house.person(Role.DISPATCH, confined=False, password=PASSWORD)
        cookies = house.sign_in(name)
        with house.records.write() as session:
            change_user(session, name, Change(role=Role.STATION, stations=["s-one"]), by="test", now_ms=T0)
        assert house.ask("GET", "/api/v1/me", cookies=cookies).json()["stations"] == ["s-one"]

    @pytest.mark.parametrize(("base", "secure"), [("http://test", False), ("https://test", True)])
    def test_are_in_a_cookie_that_no_script_and_no_other_site_can_use(
        self,
        house: House,
        base: str,
        secure: bool,  # noqa: FBT001
    ) -> None:
        body = {"name": house.person(Role.DISPATCH, confined=False, password=PASSWORD), "password": PASSWORD}
        told = house.ask("POST", "/api/v1/sign-in", base=base, json=body)
        marks = {mark.strip().lower() for mark in told.headers["set-cookie"].split(";")[1:]}
        assert {"httponly", "samesite=strict", "path=/", "max-age=43200"} <= marks
        assert ("secure" in marks) == secure
        assert told.cookies[COOKIE] not in (house.records.engine.url.database or "")

    def test_do_not_begin_without_the_right_name_and_password(self, house: House) -> None:
        name = house.person(Role.DISPATCH, confined=False, password=PASSWORD)
        machine = house.person(Role.VIEWER, confined=False)
        for body in ((name, "wrong"), ("nobody", PASSWORD), (machine, ""), (name.upper(), PASSWORD), ("\0", "x")):
            told = house.ask("POST", "/api/v1/sign-in", json=dict(zip(("name", "password"), body, strict=True)))
            assert (told.status_code, told.headers["www-authenticate"]) == (401, "Bearer")
            assert "set-cookie" not in told.headers

    def test_are_closed_for_a_while_after_many_failures(self, house: House) -> None:
        name = house.person(Role.DISPATCH, confined=False, password=PASSWORD)
        for _ in range(FAILURES_MAX):
            house.door.failed(name, T0)
        body = {"name": name, "password": PASSWORD}
        assert house.ask("POST", "/api/v1/sign-in", json=body).status_code == 401
        house.now_ms = T0 + 15 * 60 * 1000
        assert house.ask("POST", "/api/v1/sign-in", json=body).status_code == 200

    def test_are_not_begun_by_what_is_too_large(self, house: House) -> None:
        for length, status in ((PASSWORD_MAX + 1, 422), (10**6, 413)):
            body = {"name": "x", "password": "x" * length}
            assert house.ask("POST", "/api/v1/sign-in", json=body).status_code == status


class TestForms:
    """Signing in and out by a page."""

    def test_lead_on_to_the_page_that_was_asked_for(self, house: House) -> None:
        name = house.person(Role.DISPATCH, confined=False, password=PASSWORD)
        page = house.ask("GET", "/sign-in?next=/tickets%3Fstate%3Dopen", headers=FORM)
        assert (page.status_code, 'value="/tickets?state=open"' in page.text) == (200, True)
        form = {"name": name, "password": PASSWORD, "next": "/tickets?state=open"}
        told = house.ask("POST", "/sign-in", data=form, headers={**FORM, "Origin": "http://test"})
        assert (told.status_code, told.headers["location"]) == (303, "/tickets?state=open")
        cookies = dict(told.cookies)
        again = house.ask("GET", "/sign-in?next=/points", cookies=cookies)
        assert (again.status_code, again.headers["location"]) == (303, "/points")
        out = house.ask("POST", "/sign-out", cookies=cookies, headers={"Sec-Fetch-Site": "same-origin"})
        assert (out.status_code, out.headers["location"]) == (303, "/sign-in")
        assert house.status(cookies=cookies) == 401

    def test_show_themselves_again_after_a_mistake_without_the_password(self, house: House) -> None:
        form = {"name": '"><script>', "password": "a wrong password", "next": "//elsewhere.example"}
        told = house.ask("POST", "/sign-in", data=form, headers=FORM)
        assert told.status_code == 401
        assert told.headers["content-type"].startswith("text/html")
        assert not {"<script>", "a wrong password", "elsewhere"} & {
            word for word in ("<script>", "a wrong password", "elsewhere") if word in told.text
        }

    @pytest.mark.parametrize(
        "path",
        [
            "",
            "tickets",
            "//x.example",
            "/\\x.example",
            "/\t/x.example",
            "https://x.example",
            "javascript:alert(1)",
            "/ü x",
        ],
    )
    def test_lead_nowhere_else(self, house: House, path: str) -> None:
        name = house.person(Role.DISPATCH, confined=False, password=PASSWORD)
        form = {"name": name, "password": PASSWORD, "next": path}
        assert house.ask("POST", "/sign-in", data=form).headers["location"] == "/"


@given(st.text())
def test_a_path_that_is_kept_stays_with_us(path: str) -> None:
    kept = local_path(path)
    assert httpx.URL("http://test").join(kept).host == "test"
    assert kept.startswith("/")


class TestOtherSites:
    """A page of another site can make a browser ask, and nothing comes of it."""

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({}, 403),
            ({"Origin": "http://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Origin": "http://test.evil.example"}, 403),
            ({"Origin": "http://test", "Sec-Fetch-Site": "cross-site"}, 403),
            ({"Sec-Fetch-Site": "same-site"}, 403),
            ({"Sec-Fetch-Site": "none"}, 403),
            ({"Origin": "http://test"}, 200),
            ({"Origin": "https://test"}, 200),
            ({"Sec-Fetch-Site": "same-origin"}, 200),
        ],
    )
    def test_deeds_by_cookie_come_from_a_page_of_ours(self, house: House, headers: dict[str, str], status: int) -> None:
        cookies = house.sign_in(house.person(Role.DISPATCH, confined=False, password=PASSWORD))
        told = house.ask("POST", "/api/v1/sign-out", cookies=cookies, headers=headers)
        assert told.status_code == status
        assert house.status(cookies=cookies) == (401 if status == 200 else 200)

    def test_deeds_by_token_need_no_page(self, house: House) -> None:
        headers = house.token(house.person(Role.DISPATCH, confined=False))
        assert house.ask("POST", "/api/v1/sign-out", headers=headers).status_code == 200

    def test_nobody_is_signed_in_as_someone_else_from_there(self, house: House) -> None:
        body = {"name": house.person(Role.DISPATCH, confined=False, password=PASSWORD), "password": PASSWORD}
        told = house.ask("POST", "/api/v1/sign-in", json=body, headers={"Origin": "http://evil.example"})
        assert told.status_code == 403


class TestAutoSignIn:
    """A browser on this machine is taken as the user that the settings name."""

    @pytest.fixture
    def demo(self, records: Records) -> House:
        return House(records, auto_sign_in="company-free")

    def test_is_for_this_machines_own_names(self, demo: House) -> None:
        demo.person(Role.COMPANY, confined=False)
        for host in ("127.0.0.1", "127.0.0.1:8000", "localhost:8000", "LOCALHOST", "[::1]", "[::1]:8000"):
            assert demo.status(headers={"Host": host}) == 200, host

    @pytest.mark.parametrize(
        "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000", "", "[::1", "10.0.0.1", "::1"]
    )
    def test_is_not_for_a_name_that_leads_here(self, demo: House, host: str) -> None:
        """Another site's name may be made to lead to this machine (DNS rebinding)."""
        demo.person(Role.COMPANY, confined=False)
        assert demo.status(headers={"Host": host}) == 401

    def test_is_not_for_what_a_proxy_passes_on(self, demo: House) -> None:
        demo.person(Role.COMPANY, confined=False)
        assert demo.status(base=HERE, headers={"X-Forwarded-For": "10.0.0.7"}) == 401

    def test_is_nobody_where_there_is_no_such_user(self, demo: House) -> None:
        assert demo.status(base=HERE) == 401

    def test_gives_way_to_who_has_signed_in_and_to_a_token(self, demo: House) -> None:
        demo.person(Role.COMPANY, confined=False)
        cookies = demo.sign_in(demo.person(Role.VIEWER, confined=False, password=PASSWORD))
        assert demo.ask("GET", "/api/v1/me", base=HERE, cookies=cookies).json()["role"] == "viewer"
        assert demo.status(base=HERE, headers={"Authorization": "Bearer hw_no"}) == 401

    def test_lets_no_other_site_do_anything(self, demo: House) -> None:
        demo.person(Role.COMPANY, confined=False)
        for headers, status in (({}, 403), ({"Origin": "http://evil.example"}, 403), ({"Origin": HERE}, 200)):
            assert demo.ask("POST", "/api/v1/sign-out", base=HERE, headers=headers).status_code == status

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "heat.example"])  # noqa: S104 - what must be refused
    def test_is_refused_where_others_can_reach_it(self, host: str) -> None:
        with pytest.raises(BadInput, match=f"auto_sign_in: .*{host}"):
            signing_of(Settings(auto_sign_in="boss", api_host=host), lambda: T0)
        assert signing_of(Settings(api_host=host), lambda: T0).auto_sign_in == ""

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
    def test_is_for_where_nobody_else_can(self, host: str) -> None:
        assert signing_of(Settings(auto_sign_in="boss", api_host=host), lambda: T0).auto_sign_in == "boss"


class TestAnswers:
    """What every answer carries."""

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/api/v1/me", 200),
            ("GET", "/api/v1/openapi.json", 200),
            ("GET", "/sign-in", 303),
            ("GET", "/nowhere", 404),
            ("GET", "/api/v1/points/", 404),
            ("DELETE", "/api/v1/me", 405),
            ("GET", "/api/v1/findings/0", 422),
            ("GET", "/api/v1/broken", 500),
        ],
    )
    def test_has_the_headers_also_when_something_is_wrong(
        self, house: House, monkeypatch: pytest.MonkeyPatch, method: str, path: str, status: int
    ) -> None:
        def broken() -> None:
            raise RuntimeError("password=hunter2")

        house.app.get("/api/v1/broken")(broken)
        table = {**TABLE, ("GET", "/api/v1/broken"): Access(frozenset(Role), Stations.NONE)}
        (control,) = house.app.user_middleware
        monkeypatch.setitem(control.kwargs, "table", table)
        headers = house.token(house.person(Role.COMPANY, confined=False))
        told = house.ask(method, path, headers=headers)
        assert told.status_code == status
        assert {name: told.headers[name] for name in ALWAYS} == ALWAYS
        assert told.headers["cache-control"] == "no-store"
        assert "hunter2" not in told.text

    def test_lets_files_be_kept_and_streams_pass(
        self, house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "x.css").write_text("")
        house.app.mount("/static", StaticFiles(directory=tmp_path))
        began = asyncio.Event()

        async def lines() -> Any:
            yield b"first\n"
            await asyncio.wait_for(began.wait(), 5)
            yield b"second\n"

        house.app.get("/stream")(lambda: StreamingResponse(lines(), headers={"Cache-Control": "public"}))
        table: dict[Key, Access | Public] = {**TABLE, ("*", "/static/{path}"): PUBLIC, ("GET", "/stream"): PUBLIC}
        (control,) = house.app.user_middleware
        monkeypatch.setitem(control.kwargs, "table", table)
        file = house.ask("GET", "/static/x.css")
        assert (file.status_code, "cache-control" in file.headers) == (200, False)
        assert file.headers["x-content-type-options"] == "nosniff"
        assert asyncio.run(_first_body(house.app, "/stream", began)) == [b"first\n", b"second\n"]

    def test_a_person_who_may_not_is_told_so_in_a_page(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        house.app.get("/office")(lambda: "x")
        (control,) = house.app.user_middleware
        office = Access(frozenset({Role.COMPANY}), Stations.NONE)
        monkeypatch.setitem(control.kwargs, "table", {**TABLE, ("GET", "/office"): office})
        headers = house.token(house.person(Role.VIEWER, confined=False))
        told = house.ask("GET", "/office", headers={**headers, **FORM})
        assert (told.status_code, told.headers["content-type"]) == (403, "text/html; charset=utf-8")
        events = house.ask("GET", "/office", headers={"Accept": "text/event-stream"})
        assert events.status_code == 401

    def test_says_that_the_records_do_not_answer(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        headers = house.token(house.person(Role.VIEWER, confined=False))
        monkeypatch.setattr(house.records, "read", _away)
        assert house.status(headers=headers) == 503
        assert house.ask("GET", "/sign-in", headers=headers).status_code == 200


def _away() -> Any:
    raise Unavailable("records", "away")


async def _first_body(app: FastAPI, path: str, began: asyncio.Event) -> list[bytes]:
    """Ask as a server would; the second line is only sent when the first has arrived."""
    bodies: list[bytes] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body" and message.get("body"):
            bodies.append(message["body"])
            began.set()

    async def receive() -> Any:
        await asyncio.Event().wait()

    scope = {"type": "http", "asgi": {"version": "3.0"}, "method": "GET", "path": path, "raw_path": path.encode()}
    scope |= {"query_string": b"", "headers": [(b"host", b"test")], "scheme": "http", "server": ("test", 80)}
    await app(scope, receive, send)
    return bodies
