"""Work on tickets and notices through the interface: what is legal is done and told, anything else changes nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from api.app import create_app
from api.deeds import NoticeOut, PublicNotice
from api.signing import Signing
from heatwatch.domain.instants import iso
from heatwatch.domain.life import DOERS, NEEDS, Deed
from heatwatch.domain.people import OF_STATIONS, Role
from heatwatch.domain.register import PointRow
from heatwatch.domain.temperature import RoomClass
from heatwatch.errors import Unavailable
from heatwatch.files.rules_file import default_standard
from heatwatch.records.schema import NoticeRow, TicketClock, TicketEvent, TicketRow
from heatwatch.usecases.audit import entries, head, verify
from heatwatch.usecases.people import Change, add_user, make_token
from heatwatch.usecases.register import import_register
from heatwatch.usecases.tickets import known
from tests.dispatch.office import Office, at, spell, stop
from tests.ledger import fresh_records

STANDARD = default_standard()
ALL_SAID = {"text": "阀门损坏", "person": "王师傅", "contact": "13800000000", "step": "finish"}
REPAIR = {"kind": "repair", "station_id": "s1", "building_id": "b1", "room_id": "p1", "subject": "暖气不热"}
LEAK = {**REPAIR, "kind": "leak", "subject": "立管漏水"}
WORDS = {"title": "停热公告", "text": "因阀门更换停热。"}
UP_TO: Mapping[str, tuple[Deed, ...]] = {
    "open": (),
    "taken": (Deed.TAKE,),
    "known": (Deed.TAKE, Deed.FROM_ABOVE, Deed.LEAK, Deed.ON_SITE, Deed.CAUSE),
    "finished": (Deed.TAKE, Deed.ON_SITE, Deed.CAUSE, Deed.FINISH),
    "receipted": (Deed.TAKE, Deed.ON_SITE, Deed.CAUSE, Deed.FINISH, Deed.RECEIPT),
    "closed": (Deed.TAKE, Deed.ON_SITE, Deed.CAUSE, Deed.FINISH, Deed.RECEIPT, Deed.FOLLOW_UP),
}
"""How a ticket comes to where it stands."""


@dataclass
class Desk:
    """An office with the interface on its records, and someone of every role, called by it."""

    office: Office
    now_ms: int | None = at(2)
    keys: dict[str, str] = field(default_factory=dict)

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
            signing=Signing("", 12.0, lambda: at(0)),
        )
        with self.office.records.write() as session:
            for role in Role:
                change = Change(role=role, stations=["s1"] if role in OF_STATIONS else ())
                add_user(session, str(role), change, by="test", now_ms=at(0))
                self.keys[role] = make_token(session, str(role), "test", expires_ms=None, by="test", now_ms=at(0))

    def ask(self, method: str, path: str, who: str | None = Role.DISPATCH, **more: Any) -> httpx.Response:
        """Ask as someone; None is not signed in."""
        headers = {} if who is None else {"Authorization": f"Bearer {self.keys[who]}"}

        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
                return await client.request(method, f"/api/v1{path}", **more)

        return asyncio.run(once())

    def get(self, path: str, who: str | None = Role.DISPATCH, **query: Any) -> Any:
        """Return what is told."""
        told = self.ask("GET", path, who, params=query)
        assert told.status_code == 200, told.text
        return told.json()

    def deed(self, deed: Deed, who: str = Role.DISPATCH, ticket_id: int = 1, **said: Any) -> httpx.Response:
        """Say that a deed was done, with all that has to be said, and nothing else where `said` does not."""
        needed = {name: ALL_SAID[name] for name in NEEDS.get(deed, ())}
        return self.ask("POST", f"/tickets/{ticket_id}/deeds", who, json={"deed": deed, **needed, **said})

    def do(self, deed: Deed, who: str = Role.STATION, ticket_id: int = 1, **said: Any) -> Any:
        """Do what is legal, and return the ticket."""
        told = self.deed(deed, who, ticket_id, **said)
        assert told.status_code == 200, told.text
        return told.json()

    def bring(self, *deeds: Deed, ticket_id: int = 1) -> None:
        """Do one deed after the other; for a follow-up two days pass."""
        for deed in deeds:
            if deed is Deed.FOLLOW_UP:
                self.now_ms = (self.now_ms or 0) + 48 * 3_600_000
            self.do(deed, Role.COMPANY, ticket_id)

    def seen(self, ticket_id: int = 1) -> int:
        """Return the last line of a ticket's log."""
        with self.office.records.read() as session:
            return (
                session.scalars(select(func.max(TicketEvent.id)).where(TicketEvent.ticket_id == ticket_id)).one() or 0
            )

    def kept(self) -> Any:
        """Return all that the records have of tickets and notices, and where the audit trail ends."""
        with self.office.records.read() as session:
            tables = (TicketRow, TicketClock, TicketEvent, NoticeRow)
            rows = [session.execute(table.__table__.select()).all() for table in tables]
            return rows, head(session)


def clocks(story: Mapping[str, Any]) -> dict[str, tuple[str, str, str | None]]:
    """Return rule, deadline and when it was done of each clock that still counts."""
    return {one["step"]: (one["rule"], one["due"], one["done"]) for one in story["clocks"] if not one["off"]}


def refused(told: httpx.Response, status: int = 409) -> str:
    """Return why something was refused."""
    assert told.status_code == status, told.text
    assert told.headers["content-type"] == "application/problem+json"
    assert told.json()["status"] == status
    return str(told.json()["detail"])


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Give a desk; whatever was done at it, the audit trail is whole."""
    records = fresh_records(tmp_path)
    rows = [PointRow(f"p{n}", "b1", "s1", RoomClass.APARTMENT) for n in (1, 2)]
    rows.append(PointRow("q1", "b2", "s2", RoomClass.APARTMENT))
    with records.write() as session:
        import_register(session, rows, "points.csv", "0" * 64, 1)
    yield Desk(Office(records, standard=STANDARD))
    with records.read() as session:
        assert verify(session) == []
    records.close()


@pytest.fixture
def cold(desk: Desk) -> Desk:
    """Give a desk with ticket 1 about a cold room, opened at hour 2."""
    desk.office.judge(spell("p1", 0), at_h=2)
    return desk


@pytest.fixture
def stopped(desk: Desk) -> Desk:
    """Give a desk with ticket 1 about a stop since hour 0, and its notice 1 drafted at hour 2."""
    desk.office.judge(stop(0), at_h=2)
    return desk


class TestLife:
    """A ticket, from its opening to its follow-up."""

    def test_is_led_from_deed_to_deed(self, cold: Desk) -> None:
        told = cold.do(Deed.TAKE)
        assert (told["state"], told["responsible"]) == ("taken", "station")
        assert cold.do(Deed.ASSIGN, person="王师傅")["sent"] == "王师傅"
        cold.now_ms = at(2.4)
        cold.do(Deed.CONTACT, Role.REPAIRER, agreed_at="2025-11-25T19:00:00+08:00")
        cold.do(Deed.OPINION, text="更换阀门")
        cold.do(Deed.ON_SITE, Role.REPAIRER)
        cold.do(Deed.CAUSE, Role.REPAIRER, text="阀门损坏")
        told = cold.do(Deed.FINISH, Role.REPAIRER, text="已更换")
        assert (told["state"], told["finished_at"]) == ("finished", iso(at(2.4)))
        assert {step: done for step, (_, _, done) in clocks(told).items() if done} == dict.fromkeys(
            ("contact", "opinion", "on_site", "finish"), iso(at(2.4))
        )
        cold.do(Deed.RECEIPT, Role.REPAIRER, text="用户已签字", contact="13800000000")
        cold.now_ms = at(2.4 + 48)
        told = cold.do(Deed.FOLLOW_UP, text="用户满意")
        assert (told["state"], told["closed_at"]) == ("closed", iso(at(50.4)))

    def test_is_told_in_order_with_who_did_what(self, cold: Desk) -> None:
        cold.do(Deed.TAKE)
        cold.do(Deed.CONTACT, Role.REPAIRER, agreed_at="2025-11-25T19:00:00+08:00", text="在家")
        assert [(one["kind"], one["who"], one["at"]) for one in cold.get("/tickets/1")["events"][-2:]] == [
            ("take", "station", iso(at(2))),
            ("contact", "repairer", iso(at(2))),
        ]
        assert cold.get("/tickets/1")["events"][-1]["detail"] == {"text": "在家", "agreed_ms": at(11)}

    def test_goes_on_when_the_fault_was_not_gone(self, cold: Desk) -> None:
        cold.bring(*UP_TO["receipted"])
        told = cold.do(Deed.REOPEN)
        assert (told["state"], told["finished_at"]) == ("taken", None)
        assert clocks(told)["finish"][2] is None
        assert "before cause" in refused(cold.deed(Deed.FINISH))

    def test_is_not_followed_up_before_two_days_have_passed(self, cold: Desk) -> None:
        """R19."""
        cold.bring(*UP_TO["receipted"])
        cold.now_ms = at(50) - 1
        assert f"not possible before {iso(at(50))} (R19)" in refused(cold.deed(Deed.FOLLOW_UP))
        cold.now_ms = at(50)
        assert cold.do(Deed.FOLLOW_UP)["state"] == "closed"

    def test_an_explanation_stops_no_clock(self, cold: Desk) -> None:
        """R21."""
        cold.do(Deed.TAKE)
        before = cold.get("/tickets/1")["clocks"]
        assert cold.do(Deed.EXPLAIN, step="finish", text="等待配件")["clocks"] == before

    def test_a_report_is_withdrawn_by_the_office(self, desk: Desk) -> None:
        desk.ask("POST", "/tickets", json=REPAIR)
        told = desk.do(Deed.WITHDRAW, Role.DISPATCH, text="重复报修")
        assert (told["state"], clocks(told)) == ("withdrawn", {})


class TestIllegal:
    """What is not legal now is answered with what has to come before it, and changes nothing."""

    @pytest.mark.parametrize("where", UP_TO)
    def test_every_deed_that_is_not_possible_is_refused(self, cold: Desk, where: str) -> None:
        cold.bring(*UP_TO[where])
        with cold.office.records.read() as session:
            possible = known(session, session.get_one(TicketRow, 1), STANDARD).deeds(cold.now_ms or 0)
        before = cold.kept()
        for deed in set(Deed).difference(possible):
            assert refused(cold.deed(deed)).startswith(f"{deed}: "), deed
        assert cold.kept() == before
        assert set(possible) != set(Deed)

    @pytest.mark.parametrize(
        ("where", "deed", "missing"),
        [
            ("open", Deed.ON_SITE, "not possible while the ticket is open"),
            ("taken", Deed.CAUSE, "not possible before on_site"),
            ("taken", Deed.FINISH, "not possible before cause"),
            ("taken", Deed.RESULT, "not possible before from_above"),
            ("taken", Deed.WITHDRAW, "what the ticket rests on still holds"),
            ("known", Deed.LEAK, "has been done already"),
            ("known", Deed.FROM_ABOVE, "has been done already"),
            ("finished", Deed.FOLLOW_UP, "not possible before receipt"),
            ("closed", Deed.REOPEN, "not possible while the ticket is closed"),
        ],
    )
    def test_the_answer_says_what_is_missing(self, cold: Desk, where: str, deed: Deed, missing: str) -> None:
        cold.bring(*UP_TO[where])
        assert missing in refused(cold.deed(deed))

    @pytest.mark.parametrize("deed", NEEDS)
    def test_what_has_to_be_said_must_be_said(self, cold: Desk, deed: Deed) -> None:
        before = cold.kept()
        for name in NEEDS[deed]:
            for said in ("", " \n\t"):
                detail: dict[str, Any] = {name: said}
                assert f"{deed} needs {name}" in refused(cold.deed(deed, **detail))
        nothing = cold.ask("POST", "/tickets/1/deeds", json={"deed": deed})
        assert f"{deed} needs {' and '.join(NEEDS[deed])}" in refused(nothing)
        assert cold.kept() == before

    @pytest.mark.parametrize("step", ["tea", "notice", "follow_up"])
    def test_only_a_deadline_of_the_ticket_can_be_explained(self, cold: Desk, step: str) -> None:
        before = cold.kept()
        assert f"no deadline '{step}'" in refused(cold.deed(Deed.EXPLAIN, step=step))
        assert cold.kept() == before

    def test_no_deed_speaks_of_a_deadline_that_is_not_the_tickets(self, cold: Desk) -> None:
        """What the log names, the ticket's page must be able to say."""
        why = refused(cold.deed(Deed.COMMENT, Role.STATION, text="x", step="lunch"))
        assert why == "explain: the ticket has no deadline 'lunch'"
        assert cold.deed(Deed.COMMENT, Role.STATION, text="x", step="finish").status_code == 200

    def test_what_somebody_else_has_done_meanwhile_must_have_been_seen(self, cold: Desk) -> None:
        seen = cold.seen()
        cold.do(Deed.TAKE, last_event=seen)
        before = cold.kept()
        assert "somebody else" in refused(cold.deed(Deed.TAKE, Role.COMPANY, last_event=seen))
        assert cold.kept() == before
        assert cold.do(Deed.TAKE, Role.COMPANY, last_event=cold.seen())["responsible"] == "company"

    def test_what_heatwatch_notes_by_itself_is_in_nobodys_way(self, cold: Desk) -> None:
        seen = cold.seen()
        cold.office.judge(spell("p1", 0), at_h=2.6)
        assert cold.seen() > seen
        cold.do(Deed.TAKE, last_event=seen)

    def test_a_ticket_that_is_not_there_is_not_found(self, cold: Desk) -> None:
        assert refused(cold.deed(Deed.TAKE, ticket_id=9), 404) == "there is no ticket 9"


@pytest.mark.parametrize("role", list(Role))
def test_each_role_may_do_what_is_its_own(cold: Desk, role: Role) -> None:
    """Refused by role exactly where the law says so, and then nothing is changed."""
    for deed in Deed:
        before = cold.kept()
        told = cold.deed(deed, role)
        assert (told.status_code == 403) == (role not in DOERS[deed]), deed
        assert told.status_code in {200, 403, 409}, deed
        if told.status_code == 403:
            refused(told, 403)
            assert cold.kept() == before


def test_two_who_take_the_same_ticket_at_once_do_not_both_get_it(cold: Desk) -> None:
    seen, ready, told = cold.seen(), threading.Barrier(2), {}

    def take(who: str) -> None:
        ready.wait(10)
        told[who] = cold.deed(Deed.TAKE, who, last_event=seen)

    threads = [threading.Thread(target=take, args=[who]) for who in (Role.STATION, Role.DISPATCH)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(one.status_code for one in told.values()) == [200, 409]
    (winner,) = (who for who, one in told.items() if one.status_code == 200)
    story = cold.get("/tickets/1")
    assert story["responsible"] == winner
    assert [one["who"] for one in story["events"] if one["kind"] == "take"] == [winner]


class TestReports:
    """Repairs and leaks that people report."""

    def test_of_a_repair_has_the_clocks_of_repairs(self, desk: Desk) -> None:
        """R16, R18."""
        told = desk.ask("POST", "/tickets", Role.STATION, json={**REPAIR, "contact": "13800000000"})
        assert told.status_code == 201
        said = told.json()
        assert said == desk.get(f"/tickets/{said['id']}")
        assert (said["kind"], said["label"], said["rule"], said["emergency"]) == ("repair", "用户报修", "R16", False)
        assert (said["scope"], said["room_id"], said["subject"], said["contact"]) == (
            "room",
            "p1",
            "暖气不热",
            "13800000000",
        )
        assert clocks(said) == {
            "contact": ("R16", iso(at(2.5)), None),
            "opinion": ("R15", iso(at(3)), None),
            "on_site": ("R16", iso(at(4)), None),
            "finish": ("R18", iso(at(26)), None),
        }
        assert [(one["kind"], one["who"]) for one in said["events"]] == [("opened", "station")]

    def test_of_a_leak_has_the_clocks_of_leaks(self, desk: Desk) -> None:
        """R17."""
        said = desk.ask("POST", "/tickets", json={**LEAK, "room_id": None}).json()
        assert (said["kind"], said["rule"], said["emergency"], said["scope"]) == ("leak", "R17", True, "building")
        assert clocks(said)["on_site"] == ("R17", iso(at(2.5)), None)
        assert "contact" not in clocks(said)
        desk.do(Deed.TAKE)
        desk.now_ms = at(2.5)
        assert clocks(desk.do(Deed.ON_SITE))["on_site"][2] == iso(at(2.5))

    def test_that_turn_out_to_be_a_leak_get_its_clock_from_then_on(self, desk: Desk) -> None:
        desk.ask("POST", "/tickets", json=REPAIR)
        desk.now_ms = at(2.25)
        told = clocks(desk.do(Deed.LEAK, Role.REPAIRER))
        assert told["on_site"] == ("R17", iso(at(2.75)), None)
        assert "contact" not in told

    @pytest.mark.parametrize(
        ("other", "why"),
        [
            ({"kind": "low_temperature"}, "opened by what is measured"),
            ({"kind": "heat_outage"}, "opened by what is measured"),
            ({"building_id": "b9"}, "station s1 has no building b9"),
            ({"building_id": "b2", "room_id": None}, "station s1 has no building b2"),
            ({"room_id": "p9"}, "building b1 has no room p9"),
        ],
    )
    def test_of_what_is_not_there_open_nothing(self, desk: Desk, other: dict[str, Any], why: str) -> None:
        before = desk.kept()
        assert why in refused(desk.ask("POST", "/tickets", json={**REPAIR, **other}))
        assert desk.kept() == before

    def test_before_the_first_register_open_nothing(self, tmp_path: Path) -> None:
        desk = Desk(Office(fresh_records(tmp_path), standard=STANDARD))
        assert "station s1 has no building b1" in refused(desk.ask("POST", "/tickets", json=REPAIR))
        desk.office.records.close()


class TestNotices:
    """Notices of a stop."""

    def test_are_worded_and_published_by_hand(self, stopped: Desk) -> None:
        """R12: with the publication the ticket's deadline is met."""
        (draft,) = stopped.get("/notices", state="draft")["items"]
        assert draft == stopped.get("/notices/1")
        assert (draft["ticket_id"], draft["building_ids"], draft["due"]) == (1, ["b1"], iso(at(8)))
        assert clocks(stopped.get("/tickets/1"))["notice"] == ("R12", iso(at(8)), None)
        worded = stopped.ask("PATCH", "/notices/1", json=WORDS).json()
        assert worded == {**draft, **WORDS}
        stopped.now_ms = at(3)
        shown = stopped.ask("POST", "/notices/1/publication", Role.COMPANY).json()
        said = {"state": "published", "published_at": iso(at(3)), "published_by": "company"}
        assert shown == {**worded, **said} == stopped.get("/notices/1")
        assert clocks(stopped.get("/tickets/1"))["notice"][2] == iso(at(3))

    def test_the_audit_trail_says_who_did_it(self, stopped: Desk) -> None:
        stopped.ask("PATCH", "/notices/1", json=WORDS)
        stopped.now_ms = at(3)
        stopped.ask("POST", "/notices/1/publication", Role.COMPANY)
        with stopped.office.records.read() as session:
            said = [(one["who"], one["at_ms"], one["action"]) for one in entries(session, 9, subject="notices")]
        assert said[-2:] == [("dispatch", at(2), "changed"), ("company", at(3), "changed")]

    def test_are_published_once(self, stopped: Desk) -> None:
        assert stopped.ask("POST", "/notices/1/publication").status_code == 200
        before = stopped.kept()
        assert "published, no draft" in refused(stopped.ask("POST", "/notices/1/publication", Role.COMPANY))
        assert "published, no draft" in refused(stopped.ask("PATCH", "/notices/1", json=WORDS))
        assert stopped.kept() == before

    def test_keep_a_persons_words_while_the_stop_becomes_clearer(self, stopped: Desk) -> None:
        stopped.ask("PATCH", "/notices/1", json=WORDS)
        stopped.office.judge(stop(-1), at_h=3)
        told = stopped.get("/notices/1")
        assert (told["title"], told["text"], told["stop_start"]) == (*WORDS.values(), iso(at(-1)))

    def test_that_are_drafts_or_dropped_are_never_public(self, stopped: Desk) -> None:
        assert stopped.get("/public/notices", None)["total"] == 0
        stopped.office.judge(stop(0, 5), at_h=6)
        assert stopped.get("/notices")["items"][0]["state"] == "dropped"
        assert stopped.get("/public/notices", None) == {"items": [], "total": 0, "limit": 100, "offset": 0}
        assert "dropped, no draft" in refused(stopped.ask("POST", "/notices/1/publication"))

    def test_that_were_brought_up_to_date_stay_readable_and_say_so(self, stopped: Desk) -> None:
        """R13."""
        stopped.ask("POST", "/notices/1/publication")
        stopped.office.judge(stop(0, 10), at_h=11)
        newest, first = stopped.get("/public/notices", None)["items"]
        assert (newest["kind"], newest["superseded"]) == ("restoration", False)
        assert (first["kind"], first["superseded"]) == ("stop", True)
        assert stopped.get("/notices/2")["replaces"] == 1

    def test_are_for_everyone_and_say_nothing_else(self, stopped: Desk) -> None:
        stopped.ask("PATCH", "/notices/1", json=WORDS)
        stopped.ask("POST", "/notices/1/publication", Role.COMPANY)
        (shown,) = stopped.get("/public/notices", None)["items"]
        assert shown == {
            "kind": "stop",
            "station_id": "s1",
            "building_ids": ["b1"],
            **WORDS,
            "published_at": iso(at(2)),
            "superseded": False,
        }
        assert shown.keys() == PublicNotice.model_fields.keys()
        assert not {"id", "ticket_id", "published_by"} & shown.keys()

    def test_come_in_parts(self, stopped: Desk) -> None:
        stopped.ask("POST", "/notices/1/publication")
        stopped.office.judge(stop(0, 10), at_h=11)
        told = stopped.get("/public/notices", None, limit=1, offset=1)
        assert ([one["kind"] for one in told["items"]], told["total"]) == (["stop"], 2)
        told = stopped.get("/notices", limit=1)
        assert ([one["id"] for one in told["items"]], told["total"]) == ([2], 2)
        assert [one["id"] for one in stopped.get("/notices", state="superseded")["items"]] == [1]
        assert told["items"][0].keys() == NoticeOut.model_fields.keys()

    @pytest.mark.parametrize("role", sorted(set(Role) - {Role.COMPANY, Role.DISPATCH}))
    def test_are_published_by_who_speaks_for_the_company(self, stopped: Desk, role: Role) -> None:
        before = stopped.kept()
        for told in (
            stopped.ask("POST", "/notices/1/publication", role),
            stopped.ask("PATCH", "/notices/1", role, json=WORDS),
        ):
            refused(told, 403)
        assert stopped.kept() == before

    def test_that_are_not_there_are_not_found(self, stopped: Desk) -> None:
        for told in (
            stopped.ask("GET", "/notices/9"),
            stopped.ask("POST", "/notices/9/publication"),
            stopped.ask("PATCH", "/notices/9", json=WORDS),
        ):
            assert refused(told, 404) == "there is no notice 9"


OPINION = {"deed": "opinion", "text": "x"}


@pytest.mark.parametrize(
    ("method", "path", "body", "named"),
    [
        ("POST", "/tickets/1/deeds", {}, "body.deed"),
        ("POST", "/tickets/1/deeds", {"deed": "dance"}, "body.deed"),
        ("POST", "/tickets/1/deeds", {"deed": "opened"}, "body.deed"),
        ("POST", "/tickets/1/deeds", {"deed": "take", "who": "company"}, "body.who"),
        ("POST", "/tickets/1/deeds", {"deed": "take", "at": iso(at(1))}, "body.at"),
        ("POST", "/tickets/1/deeds", {"deed": "comment", "text": "x" * 2001}, "body.text"),
        ("POST", "/tickets/1/deeds", {"deed": "comment", "text": "a\0b"}, "body.text"),
        ("POST", "/tickets/1/deeds", {"deed": "assign", "person": "x" * 201}, "body.person"),
        ("POST", "/tickets/1/deeds", {"deed": "take", "last_event": "no"}, "body.last_event"),
        ("POST", "/tickets/1/deeds", {**OPINION, "expected_end": "tomorrow"}, "body.expected_end"),
        ("POST", "/tickets/1/deeds", {**OPINION, "expected_end": "2025-11-25T10:00:00"}, "body.expected_end"),
        ("POST", "/tickets/1/deeds", {**OPINION, "expected_end": 1764028800}, "body.expected_end"),
        ("POST", "/tickets/1/deeds", {**OPINION, "expected_end": "9999-12-31T23:59:59-14:00"}, "1990 and 2200"),
        ("POST", "/tickets/1/deeds", {"deed": "contact", "agreed_at": "0025-11-25T10:00:00Z"}, "1990 and 2200"),
        ("POST", "/tickets/1/deeds", [], "body"),
        ("POST", "/tickets/0/deeds", {"deed": "take"}, "path.ticket_id"),
        ("POST", f"/tickets/{2**63}/deeds", {"deed": "take"}, "path.ticket_id"),
        ("POST", "/tickets", {**REPAIR, "kind": "tea"}, "body.kind"),
        ("POST", "/tickets", {**REPAIR, "subject": " "}, "body.subject"),
        ("POST", "/tickets", {**REPAIR, "subject": "x" * 2001}, "body.subject"),
        ("POST", "/tickets", {**REPAIR, "contact": "x" * 201}, "body.contact"),
        ("POST", "/tickets", {**REPAIR, "opened_at": iso(at(1))}, "body.opened_at"),
        ("PATCH", "/notices/1", {"title": "x"}, "body.text"),
        ("PATCH", "/notices/1", {**WORDS, "title": "x" * 201}, "body.title"),
        ("PATCH", "/notices/1", {**WORDS, "text": "x" * 2001}, "body.text"),
        ("PATCH", "/notices/1", {**WORDS, "text": "\n"}, "body.text"),
        ("PATCH", "/notices/1", {**WORDS, "state": "published"}, "body.state"),
        ("PATCH", f"/notices/{2**63}", WORDS, "path.notice_id"),
    ],
)
def test_what_makes_no_sense_is_named_and_changes_nothing(
    stopped: Desk, method: str, path: str, body: Any, named: str
) -> None:
    stopped.do(Deed.TAKE)
    before = stopped.kept()
    assert named in refused(stopped.ask(method, path, json=body), 422)
    assert stopped.kept() == before


def _changing(desk: Desk) -> list[httpx.Response]:
    """Try everything that changes a ticket."""
    asked = [desk.deed(Deed.TAKE), desk.ask("POST", "/tickets", json=REPAIR)]
    return [*asked, desk.ask("POST", "/notices/1/publication")]


def _wording(desk: Desk) -> httpx.Response:
    return desk.ask("PATCH", "/notices/1", json=WORDS)


class TestUnavailable:
    """What cannot be done now is said so, and is not half done."""

    def test_nothing_is_done_before_a_replay_has_begun(self, stopped: Desk) -> None:
        stopped.now_ms = None
        before = stopped.kept()
        for told in (*_changing(stopped), _wording(stopped)):
            assert "the replay has not begun" in refused(told, 503)
        assert stopped.kept() == before
        assert stopped.get("/public/notices", None)["total"] == 0

    @pytest.mark.parametrize("which", ["read", "write"])
    def test_nothing_is_done_while_the_records_do_not_answer(
        self, stopped: Desk, monkeypatch: pytest.MonkeyPatch, which: str
    ) -> None:
        before = stopped.kept()
        with monkeypatch.context() as patched:
            patched.setattr(stopped.office.records, which, _away)
            for told in (*_changing(stopped), _wording(stopped)):
                assert refused(told, 503) == "records does not answer: away"
        assert stopped.kept() == before

    def test_what_is_public_is_not_there_without_the_records(
        self, stopped: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(stopped.office.records, "read", _away)
            refused(stopped.ask("GET", "/public/notices", None), 503)

    def test_a_fault_in_the_middle_leaves_nothing(self, stopped: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        """The event, the state and the clocks are written together, or none of them is."""
        before = stopped.kept()
        with monkeypatch.context() as patched:
            patched.setattr("heatwatch.usecases.tickets._keep_clocks", _broken)
            assert [told.status_code for told in _changing(stopped)] == [500, 500, 500]
        assert stopped.kept() == before


def _away() -> Any:
    raise Unavailable("records", "away")


def _broken(*_: object) -> Any:
    raise RuntimeError("broken")
