"""Dispatch and people at the same tickets at the same time, each in a process of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

import dispatch.worker
from heatwatch.domain.life import NEEDS, Deed
from heatwatch.errors import Unavailable
from heatwatch.files.rules_file import default_standard
from heatwatch.records.database import Records
from heatwatch.records.schema import NoticeRow, TicketEvent
from heatwatch.usecases.audit import verify
from heatwatch.usecases.notices import edit
from heatwatch.usecases.tickets import Done, act
from tests.dispatch.office import Office, at, spell, stop

STANDARD = default_standard()
WAIT_S = 1


@pytest.fixture
def office(records: Records) -> Office:
    made = Office(records, standard=STANDARD)
    made.register("p1", "p2", "p3", "p4", "p5")
    return made


def do(records: Records, ticket_id: int, deed: Deed, at_h: float, **detail: Any) -> None:
    detail = dict.fromkeys(NEEDS.get(deed, ()), "x") | detail
    with records.write() as session:
        act(session, ticket_id, Done(deed, "s1", at(at_h), detail), STANDARD)


def meanwhile(monkeypatch: pytest.MonkeyPatch, office: Office, name: str, deed: Callable[[], None]) -> None:
    """Let a pass reach `name` and somebody act just then; return when both are done."""
    asks, acting = getattr(dispatch.worker, name), threading.Thread(target=deed)

    def reached(*given: Any, **more: Any) -> Any:
        if not acting.ident:
            acting.start()
            acting.join(WAIT_S)
        return asks(*given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(dispatch.worker, name, reached)
        office.worker.pass_once()
    acting.join(10)
    assert not acting.is_alive()


def test_what_is_done_while_dispatch_passes_is_heeded(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """R12: a known fault is announced at once, whenever it became known."""
    office.judge(stop(0), at_h=2)
    do(office.records, 1, Deed.TAKE, 2.1)
    do(office.records, 1, Deed.ON_SITE, 2.2)
    office.worker.pass_once()
    office.find(stop(0), at_h=2.3)
    meanwhile(monkeypatch, office, "changed_since", lambda: do(office.records, 1, Deed.CAUSE, 2.3))
    office.worker.pass_once()
    with office.records.read() as session:
        assert [row.state for row in session.scalars(select(NoticeRow))] == ["published"]


def test_words_of_a_person_outlive_a_pass_at_the_same_time(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.judge(stop(0), at_h=2)
    office.find(stop(-1), at_h=2.3)

    def word() -> None:
        with office.records.write() as session:
            edit(session, 1, "t", "x", "d1", at(2.3))

    meanwhile(monkeypatch, office, "ring", word)
    office.worker.pass_once()
    with office.records.read() as session:
        assert [row.text for row in session.scalars(select(NoticeRow))] == ["x"]


def _comment(office: Office, number: int, failed: list[str]) -> None:
    """Comment on two tickets by turns, on a connection of one's own."""
    records = Records(office.records.url)
    for turn in range(20):
        try:
            do(records, 1 + turn % 2, Deed.COMMENT, 2.1 + turn / 1000, text=f"{number}-{turn}")
        except Unavailable as error:
            failed.append(f"person: {error}")
    records.close()


def _pass_on(office: Office, over: threading.Event, failed: list[str]) -> None:
    """Do pass after pass until it is over."""
    worker = office.hire()
    while not over.is_set():
        try:
            worker.pass_once()
        except Unavailable as error:
            failed.append(f"dispatch: {error}")


def test_people_and_two_dispatchers_never_stand_in_each_others_way(office: Office) -> None:
    rooms = [f"p{n}" for n in range(1, 6)]
    cold = [spell(room, 0) for room in rooms[:2]]
    office.judge(*cold, at_h=2)
    failed: list[str] = []
    over = threading.Event()

    crowd = [threading.Thread(target=_comment, args=(office, n, failed)) for n in range(3)]
    offices = [threading.Thread(target=_pass_on, args=(office, over, failed)) for _ in range(2)]
    for one in (*crowd, *offices):
        one.start()
    turn = 0
    while any(one.is_alive() for one in crowd):
        turn += 1
        back = None if turn % 2 else 30
        found = [spell(room, 0, back) for room in rooms[: 2 + turn % 4]]
        try:
            office.find(*found, stop(1.5, 1.9 if turn % 2 else None), at_h=2.1 + turn / 100)
        except Unavailable as error:
            failed.append(f"analytics: {error}")
        for one in crowd:
            one.join(0.02)
    over.set()
    for one in offices:
        one.join(20)
    assert failed == []
    with office.records.read() as session:
        said = [row.detail["text"] for row in session.scalars(select(TicketEvent).where(TicketEvent.kind == "comment"))]
        assert len(said) == len(set(said)) == 60
        assert list(verify(session)) == []
