"""Grafana's webhook: who may tell, what is understood, and which tickets it comes to, in whatever order it is told."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from api.app import create_app
from api.grafana import ALERTS_MAX, WEBHOOK_BODY_MAX, WINDOW_MS, Webhook, webhook_of
from api.signing import Signing
from heatwatch.domain.alerts import GRAFANA
from heatwatch.domain.instants import iso
from heatwatch.domain.life import Deed
from heatwatch.domain.people import Role
from heatwatch.domain.register import PointRow
from heatwatch.domain.temperature import RoomClass
from heatwatch.errors import BadInput
from heatwatch.files.rules_file import default_standard
from heatwatch.records.audit import acting
from heatwatch.records.database import Records
from heatwatch.records.schema import AlertRow, OutboxRow, TicketEvent, TicketRow
from heatwatch.settings import Settings
from heatwatch.usecases.audit import verify
from heatwatch.usecases.people import Change, add_user, make_token
from heatwatch.usecases.register import import_register
from heatwatch.usecases.tickets import Done, act
from tests.dispatch.office import Office, at, spell, stop
from tests.dispatch.test_sensor_tickets import silence
from tests.ledger import fresh_records

TOKEN, SECRET = "of-the-webhook", "for-signatures"
WALL = at(3)
ANY_KEY = {"Authorization": f"Bearer {TOKEN}"}
PATH = "/api/v1/grafana/webhook"
STANDARD = default_standard()
NEVER = "0001-01-01T00:00:00Z"


@dataclass
class Post:
    """An office with Grafana's webhook on its records."""

    office: Office
    webhook: Webhook | None = field(default_factory=lambda: Webhook(lambda: WALL, lambda: TOKEN, lambda: SECRET))
    now_ms: int | None = at(3)

    def __post_init__(self) -> None:
        self.app = create_app(
            self.office.records,
            self.office.shelf,
            journal_sequences=dict,
            clock=lambda: self.now_ms,
            version="0.1.0",
            delivery=dict,
            findings_csv=lambda *_: b"",
            standard=STANDARD,
            signing=Signing("", 12.0, lambda: WALL),
            webhook=self.webhook,
        )
        rows = [PointRow(f"p{n}", f"b{n}", f"s{n}", RoomClass.APARTMENT) for n in (1, 2)]
        with self.office.records.write() as session:
            import_register(session, rows, "points.csv", "0" * 64, 1)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **more)

        return asyncio.run(once())

    def send(self, body: bytes | Mapping[str, Any], headers: Mapping[str, str] = ANY_KEY) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", PATH, content=content, headers={"Content-Type": "application/json", **headers})

    def tell(self, *alerts: Mapping[str, Any]) -> Any:
        """Send a group and return what became of it."""
        told = self.send(group(*alerts))
        assert told.status_code == 200, told.text
        return told.json()

    def key(self, role: Role, *stations: str) -> dict[str, str]:
        """Return the header of a new person's token."""
        name = f"{role}-{'-'.join(stations)}"
        with self.office.records.write() as session:
            add_user(session, name, Change(role=role, stations=stations), by="test", now_ms=0)
            return {
                "Authorization": f"Bearer {make_token(session, name, 't', expires_ms=None, by='test', now_ms=WALL)}"
            }

    def alerts(self, **where: Any) -> list[AlertRow]:
        with self.office.records.read() as session:
            return list(session.scalars(select(AlertRow).filter_by(**where).order_by(AlertRow.id)))

    def lines(self, ticket_id: int) -> list[str]:
        """Return what Grafana did to a ticket."""
        story = next(one for one in self.office.stories() if one.ticket.id == ticket_id)
        return [line.kind for line in story.events if line.who == GRAFANA]

    def picture(self) -> tuple[Any, ...]:
        """Return what the alerts and the tickets come to, without when and how often each was told."""
        tickets = {one.ticket.id: _said(one.ticket, OF_TICKETS) for one in self.office.stories()}
        rows = [(*_said(row, OF_ALERTS), tickets.get(row.ticket_id or 0)) for row in self.alerts()]
        return sorted(tickets.values(), key=repr), sorted(rows, key=repr)


OF_TICKETS = ("kind", "scope", "state", "station_id", "building_id", "subject", "cause_start_ms", "recovered_ms")
OF_ALERTS = ("fingerprint", "starts_ms", "ends_ms", "status", "fired", "joined", "labels")


def _said(row: object, names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in names)


@pytest.fixture
def post(records: Records) -> Post:
    return Post(Office(records))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Post]:
    """Give an office in SQLite whose only ticket, number 1, is that of a cold room."""
    post = Post(Office(fresh_records(tmp_path_factory.mktemp("shared"))))
    post.office.judge(spell("p1", 0))
    yield post
    post.office.records.close()


@pytest.fixture
def desk(shared: Post) -> Iterator[Post]:
    """Give that office for one test, which is to change nothing else than what Grafana may."""
    webhook, now_ms = shared.webhook, shared.now_ms
    yield shared
    shared.app.state.webhook, shared.now_ms = webhook, now_ms
    _undo(shared)


def _undo(post: Post) -> None:
    """Undo what deliveries did."""
    with post.office.records.write() as session:
        acting(session, "test", 0)
        session.execute(delete(AlertRow))
        for row in session.scalars(select(TicketEvent).where(TicketEvent.who == GRAFANA)):
            session.delete(row)
        session.flush()
        for ticket in session.scalars(select(TicketRow).where(TicketRow.kind == "technical")):
            session.delete(ticket)


def alert(name: str = "f1", start_h: float = 1.0, *, end_h: float | None = None, **labels: str) -> dict[str, Any]:
    """Make an alert as Grafana 13 sends it; its kind is that of a stopped delivery where nothing else is said."""
    said = {"alertname": "rule", "grafana_folder": "heatwatch", "kind": "delivery_stopped", "station": "s1", **labels}
    return {
        "status": "firing" if end_h is None else "resolved",
        "labels": said,
        "annotations": {"summary": f"{said['kind']} {said['station']}"},
        "startsAt": iso(at(start_h)),
        "endsAt": NEVER if end_h is None else iso(at(end_h)),
        "generatorURL": "http://grafana:3000/alerting/grafana/r/view",
        "fingerprint": name,
        "silenceURL": "http://grafana:3000/alerting/silence/new",
        "dashboardURL": "",
        "panelURL": "",
        "ruleUID": "delivery-stopped",
        "values": {"B": 8.4, "C": 1},
        "valueString": "[ var='B' labels={} value=8.4 ]",
        "orgId": 1,
    }


def group(*alerts: Mapping[str, Any]) -> dict[str, Any]:
    fires = any(one["status"] == "firing" for one in alerts)
    return {
        "receiver": "tickets",
        "status": "firing" if fires else "resolved",
        "alerts": list(alerts),
        "groupLabels": {"station": "s1"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://grafana:3000/",
        "appVersion": "13.0.1",
        "version": "1",
        "groupKey": "{}/{}:{station='s1'}",
        "truncatedAlerts": 0,
        "orgId": 1,
        "title": "[FIRING:1] s1",
        "state": "alerting" if fires else "ok",
        "message": "",
    }


def of_version(major: int) -> dict[str, Any]:
    """Return a delivery in the words of a version of Grafana."""
    first, second = alert("fire"), alert("over", 0.5, end_h=2, building="b1")
    second["values"] = None
    told = group(first, second)
    if major == 13:
        first |= {"startsAt": "2025-11-25T01:00:00.123456789Z", "imageURL": "http://grafana/x.png"}
        first |= {"enrichments": [{"type": "explain", "content": {"deep": [1, None]}}]}
    else:
        first["startsAt"] = "2025-11-25T09:00:00.123+08:00"
        del told["appVersion"]
    if major == 11:
        for one in (first, second):
            del one["orgId"], one["ruleUID"]
        second["values"] = {"B": None}
    return told


def signed(body: bytes, *, at_ms: int | None = WALL, secret: str = SECRET, over: bytes | None = None) -> dict[str, str]:
    """Return the headers of a signature; `at_ms` None signs the body alone."""
    stamp = b"" if at_ms is None else f"{at_ms // 1000}:".encode()
    digest = hmac.new(secret.encode(), stamp + (body if over is None else over), sha256).hexdigest()
    headers = {"X-Grafana-Alerting-Signature": digest}
    return headers if at_ms is None else {**headers, "X-Grafana-Alerting-Timestamp": str(at_ms // 1000)}


BODY = json.dumps(group(alert())).encode()


class TestKeys:
    """Who may tell."""

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            (ANY_KEY, 200),
            ({"Authorization": f"bearer  {TOKEN}"}, 200),
            ({}, 401),
            ({"Authorization": "Bearer"}, 401),
            ({"Authorization": "Bearer wrong"}, 401),
            ({"Authorization": f"Bearer {TOKEN}é".encode("latin-1")}, 401),
            ({"Authorization": f"Basic {TOKEN}"}, 401),
            (signed(BODY), 200),
            (signed(BODY, at_ms=None), 200),
            (signed(BODY, at_ms=WALL - WINDOW_MS), 200),
            (signed(BODY, at_ms=WALL + WINDOW_MS), 200),
            (signed(BODY, at_ms=WALL - WINDOW_MS - 1000), 401),
            (signed(BODY, at_ms=WALL + WINDOW_MS + 1000), 401),
            (signed(BODY, secret="another"), 401),  # noqa: S106 - of nobody
            (signed(BODY, over=BODY + b" "), 401),
            (signed(BODY, at_ms=None) | {"X-Grafana-Alerting-Timestamp": str(WALL // 1000)}, 401),
            (signed(BODY) | {"X-Grafana-Alerting-Timestamp": "soon"}, 401),
            (signed(BODY) | {"X-Grafana-Alerting-Timestamp": "9" * 400}, 401),
            (signed(BODY) | {"X-Grafana-Alerting-Signature": "0" * 63}, 401),
            (signed(BODY, secret="another") | ANY_KEY, 401),  # noqa: S106
            (signed(BODY) | {"Authorization": "Bearer wrong"}, 401),
        ],
    )
    def test_only_who_shows_a_key(self, desk: Post, headers: Mapping[str, str], status: int) -> None:
        told = desk.send(BODY, headers)
        assert told.status_code == status, told.text
        assert (status == 200) == bool(desk.alerts())
        if status == 401:
            assert told.headers["www-authenticate"] == "Bearer"
            assert told.headers["content-type"] == "application/problem+json"

    def test_a_persons_token_or_cookie_is_no_key(self, desk: Post) -> None:
        person = desk.key(Role.COMPANY)
        assert desk.send(BODY, person).status_code == 401
        assert desk.send(BODY, {"Cookie": "heatwatch_session=x"}).status_code == 401

    def test_one_key_does_not_do_for_the_other(self, desk: Post) -> None:
        for webhook, headers in (
            (Webhook(lambda: WALL, token=lambda: TOKEN), signed(BODY)),
            (Webhook(lambda: WALL, secret=lambda: SECRET), ANY_KEY),
        ):
            desk.app.state.webhook = webhook
            assert desk.send(BODY, headers).status_code == 401

    @pytest.mark.parametrize("webhook", [None, Webhook(lambda: WALL)])
    def test_without_a_key_there_is_no_webhook(self, desk: Post, webhook: Webhook | None) -> None:
        desk.app.state.webhook = webhook
        told = desk.send(BODY)
        assert told.status_code == 404
        assert "no key of Grafana's webhook is set" in told.json()["detail"]

    def test_keys_come_from_files_and_may_be_changed(self, desk: Post, tmp_path: Path) -> None:
        token = tmp_path / "token"
        token.write_text(f"{TOKEN}\n")
        desk.app.state.webhook = webhook_of(Settings(grafana_webhook_token_file=token), lambda: WALL)
        assert desk.send(BODY).status_code == 200
        token.write_text("another\n")
        assert desk.send(BODY).status_code == 401
        token.unlink()
        assert desk.send(BODY).status_code == 503
        with pytest.raises(BadInput, match="token of Grafana's webhook"):
            webhook_of(Settings(grafana_webhook_token_file=token), lambda: WALL)


class TestReading:
    """What is understood, and what is not."""

    @pytest.mark.parametrize("major", [11, 12, 13])
    def test_every_version_of_grafana(self, post: Post, major: int) -> None:
        told = post.send(of_version(major))
        assert told.status_code == 200, told.text
        assert told.json() == {"told": 2, "new": 2, "joined": 0, "opened": [1], "waiting": 1}
        (fires,), (over,) = post.alerts(fingerprint="fire"), post.alerts(fingerprint="over")
        assert (fires.status, fires.starts_ms, fires.ends_ms) == ("firing", at(1) + 123, None)
        assert (over.status, over.starts_ms, over.ends_ms) == ("resolved", at(0.5), at(2))
        assert fires.summary == "delivery_stopped s1"

    @pytest.mark.parametrize(
        "other",
        [
            {"values": {"B": "NaN", "C": None}},
            {"values": "NaN"},
            {"labels": {"station": None, "n": 1, "deep": {"a": [1]}}},
            {"labels": None, "annotations": None},
            {"annotations": {"summary": "\0" * 3000}},
            {"endsAt": None},
            {"endsAt": "soon"},
            {"endsAt": 12},
            {"ruleUID": 7},
            {"fingerprint": "x" * 128},
        ],
    )
    def test_is_lenient_where_it_does_not_matter(self, desk: Post, other: dict[str, Any]) -> None:
        assert desk.tell(alert() | other)["told"] == 1

    def test_bare_nan_is_read(self, desk: Post) -> None:
        assert desk.send(BODY.replace(b"8.4", b"NaN")).status_code == 200

    @pytest.mark.parametrize(
        "other",
        [
            {"status": "pending"},
            {"status": None},
            {"fingerprint": ""},
            {"fingerprint": "a\0b"},
            {"fingerprint": "x" * 129},
            {"fingerprint": 7},
            {"startsAt": NEVER},
            {"startsAt": "2500-01-01T00:00:00Z"},
            {"startsAt": "2025-11-25T00:00:00"},
            {"startsAt": 1764028800},
            {"startsAt": None},
            {"labels": [1]},
        ],
    )
    def test_is_strict_where_it_matters_and_keeps_nothing_half(self, desk: Post, other: dict[str, Any]) -> None:
        told = desk.send(group(alert("good"), alert("bad") | other))
        assert told.status_code == 422
        assert told.json()["title"] == "Unprocessable Entity"
        assert not desk.alerts()
        assert len(desk.office.stories()) == 1

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b"null", b"{}", b'{"alerts":{}}', b"\xff\xfe", b"[" * 100_000, b'{"alerts":[1]}']
    )
    def test_garbage_is_one_problem(self, desk: Post, body: bytes) -> None:
        told = desk.send(body)
        assert told.status_code == 422
        assert told.headers["content-type"] == "application/problem+json"

    def test_mistakes_are_named_up_to_a_bound(self, desk: Post) -> None:
        told = desk.send({"alerts": [{}] * 1000})
        assert told.status_code == 422
        assert len(told.json()["errors"]) == 20
        assert told.json()["detail"].endswith("3000 in all")

    def test_is_bounded(self, desk: Post) -> None:
        assert desk.send(b" " * (WEBHOOK_BODY_MAX + 1)).status_code == 413
        assert desk.send({"alerts": [{}] * (ALERTS_MAX + 1)}).status_code == 422

    def test_a_body_is_not_read_before_a_key_is_shown(self, desk: Post) -> None:
        read = []

        async def body() -> AsyncIterator[bytes]:
            read.append(1)
            yield BODY

        assert desk.ask("POST", PATH, content=body()).status_code == 401
        assert not read
        assert desk.ask("POST", PATH, content=body(), headers=ANY_KEY).status_code == 200

    def test_before_a_replay_begins_there_is_no_moment(self, desk: Post) -> None:
        desk.now_ms = None
        assert desk.send(BODY).status_code == 503

    def test_a_test_of_the_contact_point_is_taken(self, desk: Post) -> None:
        test = alert("57c6d9296de2ad39") | {"labels": {"alertname": "TestAlert", "instance": "Grafana"}}
        assert desk.tell(test) == {"told": 1, "new": 1, "joined": 0, "opened": [], "waiting": 1}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KINDS = st.sampled_from(["cold_room", "outage", "delivery_stopped", "pipeline_silent", "clock_breached", "", "kühl"])
LABELS = st.fixed_dictionaries(
    {},
    optional={
        "kind": KINDS,
        "station": st.sampled_from(["s1", "s2", "s9", ""]),
        "building": st.sampled_from(["b1", "b2", ""]),
        "ticket": st.sampled_from(["1", "9", "-1", "²", "9" * 30, ""]),
        "finding": st.text(max_size=3),
        "alertname": st.sampled_from(["DatasourceError", "x"]),
        "rulename": st.text(max_size=3),
    },
)
ODD = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["firing", "resolved"]) | JSON,
        "fingerprint": st.text(min_size=1, max_size=3) | JSON,
        "startsAt": st.sampled_from([iso(at(1)), NEVER, "9999-12-31T23:59:59.999999+00:01"]) | JSON,
    },
    optional={
        "endsAt": st.sampled_from([NEVER, iso(at(2)), "9999-12-31T23:59:59-12:00"]) | JSON,
        "labels": LABELS | JSON,
        "annotations": JSON,
        "values": JSON,
        "ruleUID": JSON,
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries({"alerts": st.lists(ODD, max_size=3) | JSON}, optional={"version": JSON}) | JSON)
def test_whatever_comes_is_taken_or_refused(desk: Post, body: Any) -> None:
    told = desk.send(json.dumps(body).encode())
    assert told.status_code in (200, 422), (body, told.text)
    if told.status_code == 422:
        assert told.headers["content-type"] == "application/problem+json"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.dictionaries(st.sampled_from(sorted({*signed(b""), "Authorization"})), st.text()))
def test_whatever_is_shown_nothing_breaks(desk: Post, body: bytes, shown: dict[str, str]) -> None:
    headers = {name: "".join(sign for sign in text if " " <= sign <= "~") for name, text in shown.items()}
    assert desk.send(body, headers).status_code in (401, 422)
    assert desk.send(BODY[: len(body)] + body).status_code in (200, 422)


class TestJoining:
    """An alert of what the pipeline has a ticket for joins that one."""

    def test_a_cold_room_joins_and_is_resolved_and_the_ticket_goes_on(self, post: Post) -> None:
        post.office.judge(spell("p1", 0))
        cold = alert(kind="cold_room", building="b1")
        assert post.tell(cold) == {"told": 1, "new": 1, "joined": 1, "opened": [], "waiting": 0}
        assert post.tell(cold)["joined"] == 0
        post.tell(cold | {"status": "resolved", "endsAt": iso(at(2.5))})
        (row,) = post.alerts()
        assert (row.ticket_id, row.joined, row.status, row.ends_ms, row.seen) == (1, "place", "resolved", at(2.5), 3)
        assert post.lines(1) == ["alerted", "alert_resolved"]
        (one,) = post.office.stories()
        assert (one.ticket.state, one.ticket.recovered_ms) == ("open", None)
        said = [line.detail for line in one.events if line.who == GRAFANA]
        assert said[0] == {
            "text": "cold_room s1",
            "alerts": [{"fingerprint": "f1", "starts": iso(at(1))}],
            "count": 1,
        }

    @pytest.mark.parametrize(
        ("labels", "joined"),
        [
            ({"kind": "cold_room", "building": "b1"}, "place"),
            ({"kind": "cold_room", "building": "b1", "point": "p1"}, "place"),
            ({"kind": "cold_room", "building": "b1", "point": "p7"}, ""),
            ({"kind": "cold_room", "building": "b2"}, ""),
            ({"kind": "cold_room", "station": "s2", "building": "b1"}, ""),
            ({"kind": "cold_room"}, ""),
            ({"kind": "outage", "building": "b1"}, ""),
            ({"kind": "new one", "building": "b1"}, ""),
            ({"kind": "new one", "ticket": "1"}, "ticket"),
            ({"kind": "new one", "ticket": "1", "station": ""}, "ticket"),
            ({"kind": "new one", "ticket": "1", "station": "s2"}, ""),
            ({"kind": "new one", "ticket": "7"}, ""),
            ({"kind": "outage", "finding": "1"}, "finding"),
            ({"kind": "outage", "finding": "1", "station": "s2"}, ""),
            ({"kind": "clock_breached", "building": "b1", "rule": "R16"}, "place"),
            ({"kind": "clock_breached", "building": "b1", "rule": "R19"}, ""),
        ],
    )
    def test_by_what_it_names_else_by_its_place(self, desk: Post, labels: dict[str, Any], joined: str) -> None:
        desk.tell(alert(**labels))
        (row,) = desk.alerts()
        assert (row.joined, row.ticket_id) == (joined, 1 if joined else None)
        assert len(desk.office.stories()) == 1

    def test_rooms_of_an_outage_join_its_ticket_and_merged_ones_are_followed(self, post: Post) -> None:
        post.office.judge(spell("p1", 0.5)).judge(stop(0), at_h=2.5)
        assert [one.ticket.state for one in post.office.stories()] == ["merged", "open"]
        kinds = ("cold_room", "outage", "notice_due")
        post.tell(*(alert(kind, kind=kind, building="b1") for kind in kinds), alert("merged", kind="", ticket="1"))
        assert {row.ticket_id for row in post.alerts()} == {2}

    def test_what_is_told_before_the_ticket_waits_for_it(self, post: Post) -> None:
        told = post.tell(alert(kind="cold_room", building="b1"), alert("o", kind="outage", station="s2"))
        assert (told["waiting"], told["opened"]) == (2, [])
        post.office.judge(spell("p1", 0))
        assert [(row.ticket_id, row.joined) for row in post.alerts()] == [(1, "place"), (None, "")]
        assert post.lines(1) == ["alerted"]
        assert not post.office.worker.pass_once()

    def test_what_is_over_waits_for_nothing(self, post: Post) -> None:
        post.tell(alert(kind="cold_room", building="b1", end_h=1.5))
        post.office.judge(spell("p1", 0))
        assert post.alerts()[0].ticket_id is None

    def test_what_began_after_the_repair_is_not_of_it(self, post: Post) -> None:
        post.office.judge(spell("p1", 0))
        with post.office.records.write() as session:
            for deed in (Deed.TAKE, Deed.ON_SITE, Deed.CAUSE, Deed.FINISH):
                act(session, 1, Done(deed, "x", at(2), {"text": "x"}), STANDARD)
        post.tell(alert("before", 1, kind="cold_room", building="b1"), alert("after", 2.5, kind="cold_room"))
        assert [row.ticket_id for row in post.alerts()] == [1, None]


class TestTechnical:
    """What no finding says opens a technical ticket; people finish it."""

    @pytest.mark.parametrize(
        ("labels", "place", "subject"),
        [
            ({}, ("station", "s1", ""), "测温数据中断"),
            ({"building": "b1"}, ("building", "s1", "b1"), "测温数据中断"),
            ({"kind": "thermometers_missing"}, ("station", "s1", ""), "测点缺数"),
            ({"kind": "quarantine_growing", "station": ""}, ("station", "", ""), "异常报文增多"),
            ({"kind": "pipeline_silent", "station": ""}, ("station", "", ""), "监测系统停止运行"),
            (
                {"alertname": "DatasourceNoData", "rulename": "cold rooms", "kind": "cold_room"},
                ("station", "", ""),
                "告警规则取数异常（cold rooms）",
            ),
        ],
    )
    def test_opens_one(self, desk: Post, labels: dict[str, Any], place: tuple[str, ...], subject: str) -> None:
        assert desk.tell(alert(**labels))["opened"] == [2]
        _, one = desk.office.stories()
        ticket = one.ticket
        assert (ticket.kind, ticket.state, ticket.emergency, ticket.rule) == ("technical", "open", False, "R7")
        assert ((ticket.scope, ticket.station_id, ticket.building_id), ticket.subject) == (place, subject)
        assert (ticket.opened_ms, ticket.cause_start_ms, one.clocks) == (at(3), at(1), [])
        assert desk.lines(2) == ["opened", "alerted"]

    @pytest.mark.parametrize(
        "labels",
        [
            {"station": "s9"},
            {"building": "b2"},
            {"station": "", "building": "b1"},
            {"station": ""},
            {"kind": "cold_room"},
            {"kind": "outage"},
            {"kind": "notice_due"},
            {"kind": "clock_breached"},
            {"kind": "new one"},
            {"kind": ""},
            {"kind": "quarantine_growing", "station": "s9"},
        ],
    )
    def test_opens_none(self, desk: Post, labels: dict[str, Any]) -> None:
        assert desk.tell(alert(**labels)) == {"told": 1, "new": 1, "joined": 0, "opened": [], "waiting": 1}

    def test_one_matter_has_one_ticket_until_its_repair(self, post: Post) -> None:
        assert post.tell(alert("a", 2), alert("b", 1), alert("other", 1, building="b1"))["opened"] == [1, 2]
        assert post.tell(alert("c", 0.5))["joined"] == 1
        assert post.office.stories()[0].ticket.cause_start_ms == at(0.5)
        self.repair(post, 1)
        assert post.tell(alert("d", 2.2))["joined"] == 1
        assert post.tell(alert("e", 2.8))["opened"] == [3]

    def test_is_over_when_nothing_fires_and_is_closed_by_nobody_but_people(self, post: Post) -> None:
        post.office.find(at_h=2)
        post.tell(alert("a"), alert("b"))
        post.tell(alert("a", end_h=2), alert("b"))
        assert self.ticket(post).recovered_ms is None
        post.tell(alert("a", end_h=2), alert("b", end_h=2.5))
        assert (self.ticket(post).recovered_ms, self.ticket(post).state) == (at(2.5), "open")
        post.tell(alert("c", 2.8))
        assert self.ticket(post).recovered_ms is None
        post.tell(alert("c", 2.8, end_h=2.9))
        heard = ["opened", "alerted", "alert_resolved", "alert_resolved", "recovered", "alerted", "relapsed"]
        assert post.lines(1) == [*heard, "alert_resolved", "recovered"]
        post.office.worker.pass_once()
        self.repair(post, 1)
        post.office.worker.pass_once()
        assert (self.ticket(post).recovered_ms, self.ticket(post).state) == (at(2.9), "finished")
        kinds = [one.kind for one in post.office.stories()[0].events]
        assert "groundless" not in kinds
        with post.office.records.read() as session:
            told = session.execute(select(OutboxRow.kind, OutboxRow.recipient, OutboxRow.text)).all()
        assert {(kind, to) for kind, to, _ in told} >= {("opened", "dispatch"), ("opened", "station:s1")}
        assert any("系统故障（测温数据中断）：s1供热站" in text for _, _, text in told)
        assert any("告警已解除，请核实后办结。" in text for _, _, text in told)

    def test_what_belongs_to_no_station_is_told_to_none(self, post: Post) -> None:
        post.office.find(at_h=2)
        post.tell(alert(kind="pipeline_silent", station=""))
        post.office.worker.pass_once()
        with post.office.records.read() as session:
            (told,) = session.scalars(select(OutboxRow))
        assert (told.recipient, "监测系统" in told.text) == ("dispatch", True)

    def test_joins_what_the_pipeline_found_and_merges_when_it_finds_it_later(self, post: Post) -> None:
        post.tell(alert())
        post.office.judge(silence("s1", 1))
        assert [(one.ticket.kind, one.ticket.state) for one in post.office.stories()] == [
            ("technical", "merged"),
            ("sensor", "open"),
        ]
        assert self.ticket(post).merged_into == 2
        post.tell(alert("late", 1.5), alert(end_h=2.5))
        assert {row.ticket_id for row in post.alerts()} == {2}
        assert post.lines(2) == ["alerted", "alerted", "alert_resolved"]
        assert post.office.stories()[1].ticket.recovered_ms is None

    def test_one_that_was_never_told_as_firing_opens_none(self, post: Post) -> None:
        assert post.tell(alert(end_h=2))["waiting"] == 1
        assert post.tell(alert())["opened"] == [1]
        assert (self.ticket(post).recovered_ms, post.alerts()[0].status) == (at(2), "resolved")

    def test_a_closed_ticket_is_not_opened_by_repeats(self, post: Post) -> None:
        post.tell(alert())
        with post.office.records.write() as session:
            act(session, 1, Done(Deed.WITHDRAW, "x", at(3), {"text": "x"}), STANDARD)
        post.tell(alert())
        assert [one.ticket.state for one in post.office.stories()] == ["withdrawn"]

    @staticmethod
    def ticket(post: Post) -> TicketRow:
        return post.office.stories()[0].ticket

    @staticmethod
    def repair(post: Post, ticket_id: int) -> None:
        with post.office.records.write() as session:
            for deed in (Deed.TAKE, Deed.CAUSE, Deed.FINISH):
                act(session, ticket_id, Done(deed, "x", at(2.5), {"text": "x"}), STANDARD)


EPISODES = [
    alert("cold", 1, kind="cold_room", building="b1"),
    alert("cold", 2, kind="cold_room", building="b1"),
    alert("gone", 1),
    alert("gone", 2),
    alert("twin", 1.5),
    alert("quiet", 1, kind="pipeline_silent", station=""),
    alert("data", 1, alertname="DatasourceError", rulename="r"),
    alert("lost", 1, kind="outage"),
]
TELLINGS = [
    one if end_h is None else one | {"status": "resolved", "endsAt": iso(at(end_h))}
    for one in EPISODES
    for end_h in (None, 2.5)
]


def _come_to(post: Post, deliveries: list[list[int]]) -> tuple[Any, ...]:
    """Return what deliveries come to, and undo it."""
    for delivery in deliveries:
        post.tell(*(TELLINGS[number] for number in delivery))
    picture = post.picture()
    _undo(post)
    return picture


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_order_and_repetition_come_to_the_same(shared: Post, data: st.DataObject) -> None:
    some = data.draw(st.lists(st.sampled_from(range(len(TELLINGS))), min_size=1, max_size=8))
    again = data.draw(st.permutations([*some, *data.draw(st.lists(st.sampled_from(some), max_size=4))]))
    cuts = sorted({0, *data.draw(st.lists(st.integers(0, len(again)), max_size=3)), len(again)})
    parts = [again[first:last] for first, last in pairwise(cuts)]
    assert _come_to(shared, [some]) == _come_to(shared, parts)


class TestLooking:
    """The list, and the trail."""

    def test_shows_each_station_its_own(self, post: Post) -> None:
        post.tell(alert("a"), alert("b", station="s2"), alert("c", kind="pipeline_silent", station=""))
        free, confined = post.key(Role.ENGINEER), post.key(Role.STATION, "s1")
        told = post.ask("GET", "/api/v1/alerts", headers=free).json()
        assert (told["total"], [one["fingerprint"] for one in told["items"]]) == (3, ["c", "b", "a"])
        assert told["items"][2] == {
            "id": 1,
            "fingerprint": "a",
            "status": "firing",
            "name": "rule",
            "rule_uid": "delivery-stopped",
            "kind": "delivery_stopped",
            "station_id": "s1",
            "building_id": "",
            "labels": alert()["labels"],
            "summary": "delivery_stopped s1",
            "start": iso(at(1)),
            "end": None,
            "first_told_at": iso(at(3)),
            "last_told_at": iso(at(3)),
            "told": 1,
            "ticket_id": told["items"][2]["ticket_id"],
            "joined": "matter",
        }
        mine = post.ask("GET", "/api/v1/alerts", headers=confined).json()
        assert (mine["total"], [one["fingerprint"] for one in mine["items"]]) == (1, ["a"])
        assert post.ask("GET", "/api/v1/alerts?station=s2", headers=confined).json()["items"] == []
        assert post.ask("GET", "/api/v1/alerts").status_code == 401
        for query, names in (("kind=pipeline_silent", "c"), ("waiting=true", ""), ("status=firing&limit=1", "c")):
            told = post.ask("GET", f"/api/v1/alerts?{query}", headers=free).json()
            assert "".join(one["fingerprint"] for one in told["items"]) == names

    def test_what_it_did_is_on_the_trail_under_its_name(self, post: Post) -> None:
        post.tell(alert())
        post.tell(alert(end_h=2))
        with post.office.records.read() as session:
            assert not verify(session)
            lines = session.scalars(select(TicketEvent.who)).all()
        assert set(lines) == {GRAFANA}
