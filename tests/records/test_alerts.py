"""Alerts in either database: kept once, taken to their tickets, ten thousand in one body."""

from __future__ import annotations

import json
import random

import pytest
from sqlalchemy import func, select

from heatwatch.domain.instants import iso
from heatwatch.records.database import Records
from heatwatch.records.schema import TicketEvent
from heatwatch.usecases.audit import verify
from tests.api.test_grafana_webhook import Post, alert, group
from tests.dispatch.office import Office, at, spell
from tests.dispatch.test_sensor_tickets import silence


@pytest.fixture
def post(records: Records) -> Post:
    return Post(Office(records))


def test_from_the_first_telling_to_the_last(post: Post) -> None:
    cold, gone = alert("cold", kind="cold_room", building="b1"), alert("gone")
    said = alert("odd", kind="kühl", ticket="2", labels="\0") | {"annotations": {"summary": "\0室温"}}
    assert post.tell(cold, gone, said) == {"told": 3, "new": 3, "joined": 0, "opened": [1], "waiting": 2}
    post.office.judge(spell("p1", 0), silence("s1", 1))
    assert post.tell(cold, said | {"status": "resolved", "endsAt": iso(at(2))})["waiting"] == 0
    post.tell(cold | {"status": "resolved", "endsAt": iso(at(2.5))}, gone)
    rows = post.alerts()
    assert [(row.fingerprint, row.status, row.joined, row.seen) for row in rows] == [
        ("cold", "resolved", "place", 3),
        ("gone", "firing", "place", 2),
        ("odd", "resolved", "ticket", 2),
    ]
    tickets = [(one.ticket.id, one.ticket.kind, one.ticket.state) for one in post.office.stories()]
    assert tickets == [(1, "technical", "merged"), (2, "low_temperature", "open"), (3, "sensor", "open")]
    assert [row.ticket_id for row in rows] == [2, 3, 2]
    with post.office.records.read() as session:
        assert not verify(session)


def test_ten_thousand_alerts_in_one_body(post: Post) -> None:
    """They come to few lines on tickets, and a repetition to none."""
    post.office.judge(spell("p1", 0))
    many = [alert(f"f{n}", kind="cold_room", building=f"b{1 + n % 2}", point="p1") for n in range(9_000)]
    many += [alert(f"g{n}", 1 + n / 1000, end_h=None if n % 2 else 2.5) for n in range(1_000)]
    random.Random(1).shuffle(many)  # noqa: S311 - a test
    body = json.dumps(group(*many)).encode()
    assert len(body) > 4_000_000
    before = 0
    for expected in ({"new": 10_000, "joined": 4_500, "waiting": 5_000}, {"new": 0, "joined": 0, "waiting": 5_000}):
        told = post.send(body)
        assert told.status_code == 200, told.text
        assert told.json() | expected == told.json()
        assert told.json()["opened"] == ([2] if expected["new"] else [])
        with post.office.records.read() as session:
            lines = session.scalar(select(func.count()).select_from(TicketEvent)) or 0
        assert before in (0, lines)
        before = lines
    assert lines < 10
