"""The REST interface: it shows what is there, refuses what it does not understand, and describes itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from api.app import create_app
from api.models import Page, ReadingOut
from api.server import ApiRole
from api.signing import Signing
from dispatch.tickets import Dispatch, dispatch
from heatwatch.domain.findings import Finding, FindingKind, SubjectKind
from heatwatch.domain.instants import HOUR_MS, iso
from heatwatch.domain.people import Role
from heatwatch.domain.register import PointRow
from heatwatch.domain.temperature import ClockRule, Judging, RoomClass, Standard, Version
from heatwatch.errors import BadInput
from heatwatch.files.rules_file import default_standard
from heatwatch.records.database import Records
from heatwatch.records.progress import advance
from heatwatch.records.schema import Arrival, JournalPosition, Quarantine
from heatwatch.usecases.findings import changed_since, record_findings
from heatwatch.usecases.people import Change, add_user, make_token
from heatwatch.usecases.register import import_register
from tests.shelf import Shelf

T0 = 1764028800000
DAY = datetime(2025, 11, 25, tzinfo=UTC)
Get = Callable[..., httpx.Response]


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def app(records: Records, shelf: Shelf) -> FastAPI:
    def delivery() -> Mapping[str, Any]:
        return {"messages": {"received": 9, "decoded": 9}}

    return create_app(
        records,
        shelf,
        journal_sequences=lambda: {"ingest-1": 12},
        clock=lambda: T0,
        version="0.1.0",
        delivery=delivery,
        findings_csv=lambda kind, _stations: f"{kind}\n".encode(),
        standard=default_standard(),
        signing=Signing("", 12.0, lambda: T0),
    )


@pytest.fixture
def token(records: Records) -> str:
    """Make a key with which one sees everything."""
    with records.write() as session:
        add_user(session, "watcher", Change(role=Role.COMPANY), by="test", now_ms=T0)
        return make_token(session, "watcher", "test", expires_ms=None, by="test", now_ms=T0)


@pytest.fixture
def get(app: FastAPI, token: str) -> Get:
    """Ask the application."""

    def ask(path: str, method: str = "GET", **query: Any) -> httpx.Response:
        return _ask(app, token, path, method, query)

    return ask


def _ask(app: FastAPI, token: str, path: str, method: str, query: Mapping[str, Any]) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}

    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            return await client.request(method, f"/api/v1{path}", params=dict(query))

    return asyncio.run(once())


def spell(point: str, start_h: int, end_h: int | None = None, *, confirmed: bool = True) -> Finding:
    start, end = T0 + start_h * HOUR_MS, None if end_h is None else T0 + end_h * HOUR_MS
    kind, confirmed_ms = FindingKind.COLD_SPELL, start + HOUR_MS if confirmed else None
    detail = {"rule": "R1", "violation_h": 1.25, "min_temp_c": 16.5}
    return Finding(kind, SubjectKind.POINT, point, "b1", "s1", start, end, end is None, confirmed_ms, detail)


def stop(start_h: int) -> Finding:
    start = T0 + start_h * HOUR_MS
    detail = {"evidence": "supply", "confidence": 0.9, "points": 3}
    return Finding(
        FindingKind.HEAT_OUTAGE,
        SubjectKind.BUILDING,
        "b2",
        "b2",
        "s1",
        start,
        None,
        open=True,
        confirmed_ms=None,
        detail=detail,
    )


def _judge(records: Records, *found: Finding, at_h: int = 10) -> None:
    """Let analytics and dispatch have done their work as of an hour."""
    clocks = {
        "low_temperature": (ClockRule("contact", 30, "R16", "九(十)"), ClockRule("finish", 1440, "R18", "九(十)")),
        "heat_outage": (ClockRule("start", 0, "R11", "九(三)"),),
    }
    standard = Standard((Version(None, {}, clocks=clocks),), Judging())
    at_ms = T0 + at_h * HOUR_MS
    with records.write() as session:
        subjects = {(one.kind, one.subject_kind, one.subject_id) for one in found}
        record_findings(session, found, subjects, at_ms)
        by = Dispatch(at_ms, standard, None, lambda points, start, _end: [(point, start, 17.5) for point in points])
        dispatch(session, changed_since(session, 0), by)
        advance(session, "analytics", 4, at_ms, None)


def _register(records: Records, *rows: PointRow) -> None:
    with records.write() as session:
        import_register(session, rows, "points.csv", "0" * 64, 1)


def _point(point: str, **more: Any) -> PointRow:
    return PointRow(point, "b1", "s1", RoomClass.APARTMENT, **more)


class TestPoints:
    """The register in force."""

    def test_is_empty_before_the_first_import(self, get: Get) -> None:
        assert get("/points").json() == {"items": [], "total": 0, "limit": 100, "offset": 0}

    def test_is_shown_row_by_row(self, get: Get, records: Records) -> None:
        hours = ((360, 1260),)
        _register(records, _point("p1", valid_from=DAY, device_id="d1", heating_hours=hours, room_id="301"))
        (row,) = get("/points").json()["items"]
        assert (row["point_id"], row["room"], row["device_id"], row["room_class"]) == ("p1", "301", "d1", "apartment")
        assert (row["valid_from"], row["valid_to"]) == ("2025-11-25T00:00:00.000Z", None)
        assert row["heating_hours"] == [[360, 1260]]

    def test_is_filtered_and_comes_in_parts(self, get: Get, records: Records) -> None:
        _register(records, _point("p1"), _point("p2"), PointRow("p3", "b2", "s2", RoomClass.SINGLE_STOREY))
        assert [row["point_id"] for row in get("/points", building="b1", offset=1).json()["items"]] == ["p2"]
        assert get("/points", station="s2").json()["total"] == 1


class TestReadings:
    """What was measured, as it was kept."""

    def test_are_of_the_points_own_devices(self, get: Get, records: Records, shelf: Shelf) -> None:
        """A device that has moved measures elsewhere."""
        _register(records, _point("p1", device_id="d1", valid_to=DAY), _point("p2", device_id="d1", valid_from=DAY))
        shelf.keep(*[("d1", T0 - 1, 19.0), ("d1", T0, 20.0), ("p1", T0 + 5, 21.0)])
        assert get("/readings", point_id="p1").json()["items"] == [
            {"time": iso(T0 - 1), "source": "d1", "temperature_c": 19.0},
            {"time": iso(T0 + 5), "source": "p1", "temperature_c": 21.0},
        ]
        assert [row["temperature_c"] for row in get("/readings", point_id="p2").json()["items"]] == [20.0]

    def test_are_bounded_by_instants(self, get: Get, shelf: Shelf) -> None:
        shelf.keep(*[("p1", T0 + number * HOUR_MS, float(number)) for number in range(5)])
        told = get("/readings", **{"point_id": "p1", "from": iso(T0 + HOUR_MS), "to": "2025-11-25T11:00:00+08:00"})
        assert [row["temperature_c"] for row in told.json()["items"]] == [1.0, 2.0]

    def test_come_in_parts(self, get: Get, shelf: Shelf) -> None:
        shelf.keep(*[("p1", T0 + number, float(number)) for number in range(5)])
        told = get("/readings", point_id="p1", limit=2, offset=3).json()
        assert [row["temperature_c"] for row in told["items"]] == [3.0, 4.0]
        assert told["total"] == 5

    def test_without_a_number_are_shown_without_one(self, get: Get, shelf: Shelf) -> None:
        shelf.keep(*[("p1", T0, float("nan"))])
        assert get("/readings", point_id="p1").json()["items"][0]["temperature_c"] is None

    def test_of_an_unknown_point_are_not_found(self, get: Get, records: Records) -> None:
        _register(records, _point("p1"))
        told = get("/readings", point_id="p9")
        assert told.status_code == 404
        assert told.headers["content-type"] == "application/problem+json"
        assert told.json() == {
            "type": "about:blank",
            "title": "Not Found",
            "status": 404,
            "detail": "the register lists no point p9",
        }

    @pytest.mark.parametrize(
        ("query", "named"),
        [
            ({}, "query.point_id"),
            ({"point_id": "p1", "from": "yesterday"}, "query.from"),
            ({"point_id": "p1", "from": "1764028800"}, "query.from"),
            ({"point_id": "p1", "from": "2025-11-25T00:00:00"}, "query.from"),
            ({"point_id": "p1", "limit": 0}, "query.limit"),
            ({"point_id": "p1", "limit": 100_001}, "query.limit"),
            ({"point_id": "p1", "offset": -1}, "query.offset"),
            ({"point_id": "p1", "form": iso(T0)}, "query.form"),
            ({"point_id": "p1", "from": iso(T0), "to": iso(T0)}, "after"),
        ],
    )
    def test_are_refused_to_a_question_that_makes_no_sense(self, get: Get, query: dict[str, Any], named: str) -> None:
        """The answer names what is wrong."""
        told = get("/readings", **query)
        assert told.status_code == 422
        assert told.json()["title"] in {"Unprocessable Content", "Unprocessable Entity"}
        assert named in told.json()["detail"]
        assert told.json()["errors"]


class TestFindings:
    """What judging found."""

    def test_are_shown_under_their_numbers(self, get: Get, records: Records) -> None:
        _judge(records, spell("p1", 1, 5))
        (row,) = get("/findings").json()["items"]
        assert row == get(f"/findings/{row['id']}").json()
        assert (row["kind"], row["subject_id"], row["open"], row["withdrawn"]) == ("cold_spell", "p1", False, False)
        assert (row["start"], row["end"], row["confirmed_at"]) == tuple(iso(T0 + h * HOUR_MS) for h in (1, 5, 2))
        assert row["detail"] == {"rule": "R1", "violation_h": 1.25, "min_temp_c": 16.5}

    def test_tell_how_long_an_open_outage_has_lasted(self, get: Get, records: Records) -> None:
        _judge(records, stop(4), at_h=10)
        (row,) = get("/findings", kind="heat_outage").json()["items"]
        assert row["end"] is None
        assert row["detail"]["duration_h"] == 6.0

    def test_are_filtered(self, get: Get, records: Records) -> None:
        _judge(records, spell("p1", 1, 5), spell("p2", 6, confirmed=False), stop(4))

        def subjects(**query: Any) -> list[str]:
            told = get("/findings", **query).json()
            assert told["total"] == len(told["items"])
            return [row["subject_id"] for row in told["items"]]

        assert subjects() == ["p2", "b2", "p1"]
        assert subjects(open="true") == ["p2", "b2"]
        assert subjects(kind="cold_spell", confirmed="false") == ["p2"]
        assert subjects(building="b2") == ["b2"]
        assert subjects(station="s9") == []
        assert subjects(subject="p1") == ["p1"]
        assert subjects(withdrawn="true") == []

    def test_come_as_the_file_that_every_tool_reads(self, get: Get) -> None:
        told = get("/findings/cold_spell.csv")
        assert told.text == "cold_spell\n"
        assert told.headers["content-type"] == "text/csv; charset=utf-8"
        assert "cold_spells.csv" in told.headers["content-disposition"]

    @pytest.mark.parametrize(
        ("path", "status"),
        [("/findings/7", 404), ("/findings/0", 422), ("/findings/x", 422), ("/findings/warm.csv", 422)],
    )
    def test_that_do_not_exist_are_a_problem(self, get: Get, path: str, status: int) -> None:
        told = get(path)
        assert (told.status_code, told.json()["status"]) == (status, status)


class TestTickets:
    """Pieces of work."""

    def test_are_listed_and_told_with_all_that_belongs_to_them(self, get: Get, records: Records) -> None:
        _judge(records, spell("p1", 1), at_h=3)
        (listed,) = get("/tickets").json()["items"]
        told = get(f"/tickets/{listed['id']}").json()
        assert {name: told[name] for name in listed} == listed
        assert (listed["label"], listed["state"], listed["room_id"]) == ("室温低于18℃", "open", "p1")
        assert (listed["opened_at"], listed["cause_start"]) == (iso(T0 + 3 * HOUR_MS), iso(T0 + HOUR_MS))
        assert [(one["step"], one["rule"], one["due"]) for one in told["clocks"]] == [
            ("contact", "R16", "2025-11-25T03:30:00.000Z"),
            ("finish", "R18", "2025-11-26T03:00:00.000Z"),
        ]
        assert [one["kind"] for one in told["events"]] == ["opened", "finding_added"]
        assert [one["subject_id"] for one in told["findings"]] == ["p1"]
        assert told["evidence"] == [{"point_id": "p1", "time": iso(T0 + HOUR_MS), "temperature_c": 17.5}]

    def test_are_filtered(self, get: Get, records: Records) -> None:
        _judge(records, spell("p1", 1), stop(4))
        assert get("/tickets", emergency="true").json()["items"][0]["kind"] == "heat_outage"
        assert get("/tickets", kind="low_temperature", building="b1", station="s1").json()["total"] == 1
        assert get("/tickets", state="merged").json()["total"] == 0

    def test_that_do_not_exist_are_not_found(self, get: Get) -> None:
        assert get("/tickets/1").status_code == 404
        assert get(f"/tickets/{2**63}").status_code == 422
        assert get("/tickets", state="lost").status_code == 422


def test_quarantine_is_shown_whole(get: Get, records: Records) -> None:
    with records.write() as session:
        for sequence, payload in enumerate((b'{"t": ', b"\xff\x00"), 1):
            session.add(
                Quarantine(
                    worker="ingest-1",
                    sequence=sequence,
                    position=-1,
                    topic="heat/s/b/p/reading",
                    payload=payload,
                    reason="no JSON",
                    arrived_ms=T0,
                )
            )
    latest, first = get("/quarantine").json()["items"]
    assert (latest["payload_base64"], latest["payload_text"]) == ("/wA=", None)
    assert (first["payload_base64"], first["payload_text"], first["reason"]) == ("eyJ0Ijog", '{"t": ', "no JSON")
    assert first["arrived_at"] == iso(T0)


class TestHealth:
    """Whether it works."""

    def test_tells_how_far_each_part_has_come(self, get: Get, records: Records) -> None:
        with records.write() as session:
            advance(session, "analytics", 1, T0, None)
            session.add(JournalPosition(worker="ingest-1", sequence=10))
            session.add_all(Arrival(worker="ingest-1", sequence=n, touched=[], tick=None) for n in (1, 2, 3))
        told = get("/health")
        assert told.status_code == 200
        said = told.json()
        assert (said["status"], said["version"], said["clock"]) == ("ok", "0.1.0", iso(T0))
        assert said["journals"] == [{"worker": "ingest-1", "received": 12, "stored": 10, "waiting": 2}]
        assert [(one["role"], one["behind"], one["as_of"]) for one in said["progress"]] == [("analytics", 2, iso(T0))]
        assert said["delivery"] == {"messages": {"received": 9, "decoded": 9}}

    def test_fails_when_the_store_does_not_answer(self, get: Get, shelf: Shelf) -> None:
        shelf.answers = False
        told = get("/health")
        assert told.status_code == 503
        assert told.json()["status"] == "failing"
        assert told.json()["store"] == {"answers": False, "detail": "store does not answer: away"}
        assert told.json()["records"]["answers"]


def test_a_peer_that_does_not_answer_is_said_so(get: Get, shelf: Shelf) -> None:
    shelf.answers = False
    told = get("/readings", point_id="p1")
    assert (told.status_code, told.json()["title"]) == (503, "Service Unavailable")


def test_a_fault_of_ours_tells_no_secrets(get: Get, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(shelf, "read", broken)
    told = get("/readings", point_id="p1")
    assert told.status_code == 500
    assert told.headers["content-type"] == "application/problem+json"
    assert "hunter2" not in told.text


@pytest.mark.parametrize(("path", "method", "status"), [("/nothing", "GET", 404), ("/points", "POST", 405)])
def test_what_is_not_there_is_a_problem_too(get: Get, path: str, method: str, status: int) -> None:
    told = get(path, method)
    assert (told.status_code, told.json()["status"]) == (status, status)
    assert told.headers["content-type"] == "application/problem+json"


class TestDescription:
    """The interface describes itself."""

    def test_names_every_route_with_its_answer(self, get: Get) -> None:
        said = get("/openapi.json").json()
        told = {(method, path) for path, operations in said["paths"].items() for method in operations}
        paths = ["points", "readings", "findings", "findings/{kind}.csv", "findings/{finding_id}", "tickets"]
        paths += [
            "findings/{finding_id}/changes",
            "readings/too-late",
            "tickets/{ticket_id}",
            "notices",
            "notices/{notice_id}",
            "public/notices",
            "quarantine",
            "health",
            "me",
            "compliance",
            "stops",
            "stops/{stop_id}",
            "alerts",
        ]
        posts = [
            "grafana/webhook",
            "stops",
            "sign-in",
            "sign-out",
            "tickets",
            "tickets/{ticket_id}/deeds",
            "notices/{notice_id}/publication",
        ]
        asked = {"get": paths, "post": posts, "patch": ["notices/{notice_id}", "stops/{stop_id}"]}
        assert told == {(method, f"/api/v1/{path}") for method, all_of in asked.items() for path in all_of}
        tags = {tag["name"] for tag in said["tags"]}
        for operations in said["paths"].values():
            for operation in operations.values():
                (good,) = {"200", "201"} & operation["responses"].keys()
                (content,) = operation["responses"][good]["content"].values()
                assert "$ref" in content["schema"] or content["schema"] == {"type": "string"}
                assert operation["summary"]
                assert operation["description"]
                assert set(operation["tags"]) <= tags

    def test_describes_every_field_and_parameter(self, get: Get) -> None:
        said = get("/openapi.json").json()
        fields = [
            (name, field, about)
            for name, schema in said["components"]["schemas"].items()
            for field, about in schema.get("properties", {}).items()
        ]
        assert [(name, field) for name, field, about in fields if not about.get("description")] == []
        operations = [operation for path in said["paths"].values() for operation in path.values()]
        parameters = [one for operation in operations for one in operation.get("parameters", [])]
        assert [one["name"] for one in parameters if not one.get("description")] == []

    def test_gives_problems_their_own_media_type(self, get: Get) -> None:
        responses = get("/openapi.json").json()["paths"]["/api/v1/readings"]["get"]["responses"]
        assert {status: list(answer["content"]) for status, answer in responses.items()} == {
            "200": ["application/json"],
            **{status: ["application/problem+json"] for status in ("401", "403", "404", "422", "503")},
        }

    def test_needs_nothing_from_elsewhere(self, app: FastAPI, get: Get) -> None:
        """There is no page that would fetch its scripts from another host."""
        assert app.docs_url is app.redoc_url is None
        assert get("/../../docs").status_code == 404


@given(st.integers(-(10**12), 10**13), st.none() | st.floats(-50, 60))
def test_instants_are_written_as_files_write_them(time_ms: int, temp_c: float | None) -> None:
    page = Page[ReadingOut](
        items=[ReadingOut(time=time_ms, source="d", temperature_c=temp_c)], total=1, limit=1, offset=0
    )
    (said,) = page.model_dump(mode="json")["items"]
    assert said == {"time": iso(time_ms), "source": "d", "temperature_c": temp_c}


class TestServer:
    """The application behind a real server."""

    def test_answers_until_it_is_told_to_stop(self, app: FastAPI, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        role, done = ApiRole(app, "127.0.0.1", 0), threading.Event()
        thread = threading.Thread(target=role.run, args=[done])
        thread.start()
        try:
            assert role.wait_started(10)
            told = httpx.get(f"http://127.0.0.1:{role.bound_port}/api/v1/health", headers=headers)
            assert told.json()["status"] == "ok"
        finally:
            done.set()
            thread.join(10)
        assert not thread.is_alive()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{role.bound_port}/api/v1/health")

    def test_says_that_its_port_is_taken(self, app: FastAPI) -> None:
        first = ApiRole(app, "127.0.0.1", 0)
        port = first.bind()
        assert port == first.bound_port != 0
        with pytest.raises(BadInput, match=f"127.0.0.1:{port}"):
            ApiRole(app, "127.0.0.1", port).bind()
        first.close()
