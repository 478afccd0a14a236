# ruff: noqa: S608 - statements are put together to tamper with the database of the test
"""The audit trail: it follows every change of an audited row, and whatever was done behind its back is found."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from alembic import command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, insert, select, text, update
from sqlalchemy.orm import Session

from heatwatch.errors import Damaged
from heatwatch.records import audit, database
from heatwatch.records.audit import START, acting, canonical, sealed
from heatwatch.records.database import Records
from heatwatch.records.schema import (
    ApiToken,
    AuditEntry,
    AuditHead,
    DocumentEvent,
    FindingRow,
    JournalPosition,
    NoticeRow,
    RegisterImport,
    ReportedStop,
    RulesInForce,
    TicketEvent,
    TicketFinding,
    TicketRow,
    UserRow,
)
from heatwatch.usecases.audit import Fault, entries, head, verify
from heatwatch.usecases.register import import_register
from heatwatch.usecases.rules import record_rules

NOW = 1_764_038_400_000
HASH = "$argon2$x"
COLUMNS = [column.name for column in AuditEntry.__table__.columns]


def ticket(**more: Any) -> TicketRow:
    said = {"kind": "repair", "state": "open", "emergency": False, "scope": "room", "station_id": "s1"}
    said |= {"building_id": "b1", "rule": "R16", "opened_ms": NOW, "cause_start_ms": NOW, "evidence": []}
    return TicketRow(**said | more)


def user(name: str) -> UserRow:
    return UserRow(name=name, display_name="王芳", role="dispatch", stations=[], password_hash=HASH, created_ms=NOW)


def write(records: Records, change: Callable[[Session], object], who: str = "wang") -> None:
    with records.write() as session:
        acting(session, who, NOW)
        change(session)


def tamper(records: Records, *statements: str, **values: Any) -> None:
    """Do something behind the trail's back."""
    with records.engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement), values)


def found(records: Records, *anchors: tuple[int, str]) -> list[Fault]:
    with records.read() as session:
        return verify(session, anchors)


def said(records: Records) -> list[dict[str, Any]]:
    with records.read() as session:
        return [dict(entry) for entry in entries(session, 1000)]


def places(faults: Sequence[Fault]) -> set[tuple[int | None, str, str]]:
    return {(fault.seq, fault.subject, fault.subject_id) for fault in faults}


def rechain(connection: Connection, first: int = 1) -> None:
    """Write the chain anew, as someone would who knows how."""
    rows = [dict(row) for row in connection.execute(select(AuditEntry.__table__).order_by(AuditEntry.seq)).mappings()]
    before = START
    for number, row in enumerate(rows, start=1):
        old = row["seq"]
        if number >= first:
            row |= {"seq": number, "before_sha256": before}
            row["sha256"] = sealed(row)
            table = AuditEntry.__table__
            connection.execute(update(AuditEntry.__table__).where(table.c.seq == old).values(**row))  # type: ignore[arg-type]
        before = row["sha256"]
    connection.execute(update(AuditHead.__table__).values(seq=len(rows), sha256=before))  # type: ignore[arg-type]


@pytest.fixture
def trail(records: Records) -> Records:
    """Give records with eight entries: tickets 1 and 2, a user, two events, two changes, a deletion."""
    write(records, lambda session: session.add_all([ticket(), ticket(contact="138"), user("wang")]), "heatwatch")
    event = {"at_ms": NOW, "who": "wang", "detail": {"n": 1}}
    write(records, lambda session: session.add(TicketEvent(ticket_id=1, kind="taken", **event)))
    write(records, lambda session: setattr(session.get_one(TicketRow, 1), "responsible", "wang"))
    write(records, lambda session: session.add(TicketEvent(ticket_id=2, kind="sent", **event)))
    write(records, lambda session: session.delete(session.get_one(TicketEvent, 1)))
    write(records, lambda session: setattr(session.get_one(TicketRow, 1), "state", "closed"))
    assert found(records) == []
    return records


class TestEntries:
    """What is entered."""

    def test_a_row_is_entered_when_it_comes_changes_and_goes(self, records: Records) -> None:
        def live(session: Session) -> None:
            row = user("li")
            session.add(row)
            session.flush()
            row.stations, row.active = ["s1"], False
            session.flush()
            session.delete(row)

        write(records, live, "root")
        came, changed, went = said(records)
        assert [(one["seq"], one["action"]) for one in (came, changed, went)] == [
            (1, "created"),
            (2, "changed"),
            (3, "deleted"),
        ]
        assert {(one["who"], one["at_ms"], one["subject"], one["subject_id"]) for one in (came, changed, went)} == {
            ("root", NOW, "users", "1")
        }
        assert changed["content"] == {"stations": [[], ["s1"]], "active": [True, False]}
        assert came["content"] == {**went["content"], "stations": [], "active": True}
        assert came["row_sha256"] == audit.digest(came["content"])
        assert went["row_sha256"] == ""
        assert (came["before_sha256"], changed["before_sha256"]) == (START, came["sha256"])
        assert found(records) == []

    def test_every_kind_of_audited_row_is_followed(self, records: Records) -> None:
        def all_kinds(session: Session) -> None:
            session.add_all([ticket(), user("li")])
            session.flush()
            notice = {"kind": "stop", "state": "draft", "station_id": "s1", "building_ids": ["b1"], "title": "停暖"}
            stop = {"subject_kind": "building", "subject_id": "b1"}
            session.add_all(
                [
                    TicketEvent(ticket_id=1, at_ms=NOW, kind="opened", who="heatwatch", detail={}),
                    NoticeRow(ticket_id=1, stop_start_ms=NOW, text="…", drafted_ms=NOW, **notice),
                    RegisterImport(imported_ms=NOW, source="p.csv", sha256="", rows=[{"point_id": "p1"}]),
                    RulesInForce(since_ms=NOW, source="r.yaml", sha256="", text="versions: []"),
                    ApiToken(user_id=1, name="n", sha256="5" * 64, created_ms=NOW),
                    DocumentEvent(document="notice", document_id=1, at_ms=NOW, kind="amended", detail={}),
                    ReportedStop(
                        station_id="s1", start_ms=NOW, planned=False, reported_by="li", reported_ms=NOW, **stop
                    ),
                ]
            )

        write(records, all_kinds)
        assert {entry["subject"] for entry in said(records)} == set(audit.audited())
        assert found(records) == []

    def test_what_is_bulky_or_secret_stands_as_a_digest(self, records: Records) -> None:
        write(records, lambda session: session.add(user("li")))
        write(records, lambda session: setattr(session.get_one(UserRow, 1), "password_hash", "$argon2$y"))
        with records.write() as session:
            import_register(session, [], "p.csv", "0" * 64, NOW, who="li")
        created, changed, imported = said(records)
        assert created["content"]["password_hash"] == {"sha256": audit.digest("$argon2$x")}
        assert changed["content"]["password_hash"][1] == {"sha256": audit.digest("$argon2$y")}
        assert (imported["who"], imported["content"]["rows"]) == ("li", {"sha256": audit.digest([])})
        assert "argon2" not in json.dumps(said(records))
        for table, column, value in (("users", "password_hash", "$argon2$x"), ("register_imports", "rows", "[1]")):
            tamper(records, f"UPDATE {table} SET {column} = :value", value=value)
        assert places(found(records)) == {(2, "users", "1"), (3, "register_imports", "1")}

    def test_nothing_is_entered_where_nothing_changed(self, trail: Records) -> None:
        write(trail, lambda session: setattr(session.get_one(TicketRow, 1), "state", "closed"))
        write(trail, lambda session: session.add(JournalPosition(worker="w", sequence=1)))
        assert len(said(trail)) == 8

    def test_what_a_database_makes_of_a_value_is_what_counts(self, records: Records) -> None:
        """Keys that are numbers, tuples, numbers that stand for truth: read back they are something else."""

        def odd(session: Session) -> None:
            session.add(ticket(emergency=0, evidence=[("p", 1, 2.0)]))
            session.flush()
            session.add(TicketEvent(ticket_id=1, at_ms=NOW, kind="k", who="w", detail={10: None, 9: {"审": "\ud800"}}))
            session.get_one(TicketRow, 1).opened_ms = TicketRow.opened_ms + 1

        write(records, odd)
        assert found(records) == []
        assert said(records)[-1]["content"] == {"opened_ms": [NOW, NOW + 1]}

    def test_a_change_with_nobody_behind_it_is_refused(self, trail: Records) -> None:
        with pytest.raises(RuntimeError, match="say who"), trail.write() as session:
            session.add(ticket())
        assert len(said(trail)) == 8

    def test_an_actor_does_not_outlive_the_transaction(self, records: Records) -> None:
        with records._writing() as session:
            for end in (session.commit, session.rollback):
                acting(session, "wang", NOW)
                session.add(ticket())
                session.flush()
                end()
                session.add(ticket())
                with pytest.raises(RuntimeError, match="say who"):
                    session.flush()
                session.rollback()

    def test_what_is_written_at_once_is_entered_by_table_and_number(self, records: Records) -> None:
        """The same deeds give the same trail, whatever the order in which a session keeps them."""

        def touch(session: Session) -> None:
            rows = session.scalars(select(TicketRow).order_by(TicketRow.id.desc())).all()
            session.add(TicketEvent(ticket_id=1, at_ms=NOW, kind="k", who="w", detail={}))
            for row in rows:
                row.sent = "li"

        write(records, lambda session: session.add_all([ticket() for _ in range(30)]))
        write(records, touch)
        told = [(entry["subject"], entry["subject_id"]) for entry in said(records)[30:]]
        assert told == [*(("tickets", str(number)) for number in range(1, 31)), ("ticket_events", "1")]

    def test_two_actors_in_one_transaction_answer_for_their_own(self, records: Records) -> None:
        with records.write() as session:
            acting(session, "wang", NOW)
            session.add(user("a"))
            acting(session, "li", NOW + 1)
            session.add(user("b"))
        assert [(entry["who"], entry["content"]["name"]) for entry in said(records)] == [("wang", "a"), ("li", "b")]

    @pytest.mark.parametrize(
        "past",
        [
            update(TicketRow).values(state="x"),
            delete(TicketRow),
            insert(TicketRow).values(state="x"),
            update(UserRow.__table__).values(active=False),  # type: ignore[arg-type]
            delete(AuditEntry),
            update(AuditHead).values(seq=0),
        ],
    )
    def test_statements_past_the_trail_are_refused(self, trail: Records, past: Any) -> None:
        with pytest.raises(RuntimeError, match="audited"):
            write(trail, lambda session: session.execute(past))
        assert found(trail) == []

    def test_statements_on_other_tables_are_not(self, trail: Records) -> None:
        write(trail, lambda session: session.execute(update(TicketFinding).values(ticket_id=2)))
        write(trail, lambda session: session.execute(delete(FindingRow)))

    def test_the_trail_itself_takes_no_rows(self, trail: Records) -> None:
        with pytest.raises(TypeError, match="keeps itself"):
            write(trail, lambda session: session.delete(session.get_one(AuditEntry, 8)))
        assert found(trail) == []

    def test_what_is_rolled_back_leaves_nothing(self, trail: Records) -> None:
        def fail(session: Session) -> None:
            session.add(ticket())
            session.flush()
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            write(trail, fail)
        assert len(said(trail)) == 8
        assert found(trail) == []

    def test_what_a_savepoint_takes_back_leaves_nothing(self, trail: Records) -> None:
        def partly(session: Session) -> None:
            session.add(ticket(subject="before"))
            session.flush()
            inner = session.begin_nested()
            session.add(ticket(subject="taken back"))
            session.flush()
            inner.rollback()
            session.add(ticket(subject="after"))

        write(trail, partly)
        assert [entry["content"]["subject"] for entry in said(trail)[8:]] == ["before", "after"]
        assert found(trail) == []

    def test_the_rules_get_a_version_when_their_text_changes(self, records: Records) -> None:
        versions = []
        for source, rules in (("a", "x"), ("b", "x"), ("b", "温"), ("b", "x")):
            with records.write() as session:
                versions.append(record_rules(session, source, rules, NOW))
        assert versions == [1, 1, 2, 3]
        assert [(entry["who"], entry["subject_id"]) for entry in said(records)] == [
            ("heatwatch", str(version)) for version in (1, 2, 3)
        ]


class TestTampering:
    """Whatever is done by SQL is found, and located."""

    @pytest.mark.parametrize(
        "change",
        [
            "who = 'li'",
            "at_ms = at_ms + 1",
            "action = 'created'",
            "subject_id = '2'",
            "subject = 'users'",
            """content = '{"responsible": ["", "li"]}'""",
            "row_sha256 = ''",
            "content = '[]'",
        ],
    )
    def test_an_entry_that_says_something_else(self, trail: Records, change: str) -> None:
        tamper(trail, f"UPDATE audit SET {change} WHERE seq = 5")
        assert 5 in {fault.seq for fault in found(trail) if "altered" in fault.what}

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_any_single_change_of_any_column(self, trail: Records, data: st.DataObject) -> None:
        entry = dict(data.draw(st.sampled_from(said(trail)), label="entry"))
        column = data.draw(st.sampled_from(COLUMNS), label="column")
        words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=64)
        json_values = st.dictionaries(words, st.none() | st.booleans() | st.integers() | words | st.lists(words))
        values: dict[str, st.SearchStrategy[Any]] = {"seq": st.integers(-9, 99), "at_ms": st.integers(-(2**62), 2**62)}
        new = data.draw(values.get(column, json_values if column == "content" else words), label="value")
        if canonical(new) == canonical(entry[column]) or (column == "seq" and 0 < new < 9):
            return
        with trail.engine.connect() as connection, Session(connection) as session:
            table = AuditEntry.__table__
            connection.execute(update(table).where(table.c.seq == entry["seq"]).values({column: new}))  # type: ignore[arg-type]
            seen = {fault.seq for fault in verify(session)}
            connection.rollback()
        assert seen & {entry["seq"], entry["seq"] + 1, entry["seq"] - 1, new if column == "seq" else None}

    @pytest.mark.parametrize("seq", [1, 4, 8])
    @pytest.mark.parametrize("mended", [False, True])
    def test_an_entry_that_is_gone(self, trail: Records, seq: int, *, mended: bool) -> None:
        tamper(trail, f"DELETE FROM audit WHERE seq = {seq}")
        if mended:
            last = said(trail)[-1]
            tamper(trail, "UPDATE audit_head SET seq = :seq, sha256 = :end", seq=last["seq"], end=last["sha256"])
        after = found(trail)
        if seq < 8:
            assert f"entry {seq + 1}" in str(after[0])
            assert f"entry {seq} is missing before it" in after[0].what
        elif mended:
            assert list(map(str, after)) == ["entry 5, tickets 1: state changed behind the trail's back since"]
        else:
            assert after[0].seq == 7
            assert "the head says that the trail ends with entry 8" in after[0].what

    def test_a_gap_of_several_and_the_whole_trail(self, trail: Records) -> None:
        tamper(trail, "DELETE FROM audit WHERE seq IN (3, 4, 5)")
        assert "entries 3 to 5 are missing" in str(found(trail)[0])
        tamper(trail, "DELETE FROM audit")
        after = found(trail)
        assert after[0].seq == 0
        assert places(after[1:]) == {
            (None, "tickets", "1"),
            (None, "tickets", "2"),
            (None, "users", "1"),
            (None, "ticket_events", "2"),
        }

    def test_two_entries_in_each_others_place(self, trail: Records) -> None:
        moves = ("-1 WHERE seq = 4", "4 WHERE seq = 5", "5 WHERE seq = -1")
        tamper(trail, *(f"UPDATE audit SET seq = {move}" for move in moves))
        assert {4, 5} <= {fault.seq for fault in found(trail) if "altered" in fault.what}

    def test_an_entry_put_in(self, trail: Records) -> None:
        fields = ", ".join(COLUMNS[1:])
        tamper(trail, f"INSERT INTO audit (seq, {fields}) SELECT 0, {fields} FROM audit WHERE seq = 3")
        assert (0, "users", "1") in places(found(trail))
        tamper(trail, f"INSERT INTO audit (seq, {fields}) SELECT 9, {fields} FROM audit WHERE seq = 3")
        assert {0, 9} <= {fault.seq for fault in found(trail)}

    def test_a_head_that_is_altered_or_gone(self, trail: Records) -> None:
        tamper(trail, "UPDATE audit_head SET seq = 7")
        assert places(found(trail)) == {(8, "", "")}
        tamper(trail, "DELETE FROM audit_head")
        assert places(found(trail)) == {(8, "", "")}
        with trail.read() as session, pytest.raises(Damaged, match="audit trail"):
            head(session)
        with pytest.raises(Damaged, match="audit trail"):
            write(trail, lambda session: session.add(ticket()))

    def test_a_lost_trail_is_not_begun_anew_at_the_next_start(self, trail: Records) -> None:
        tamper(trail, "DELETE FROM audit", "DELETE FROM audit_head")
        trail.migrate()
        assert "the head is missing" in str(found(trail)[0])

    @pytest.mark.parametrize(
        ("statement", "place", "what"),
        [
            ("UPDATE tickets SET state = 'open' WHERE id = 1", (8, "tickets", "1"), "state changed"),
            (
                "UPDATE tickets SET contact = '139', sent = 'li' WHERE id = 2",
                (2, "tickets", "2"),
                "contact, sent changed",
            ),
            ("DELETE FROM ticket_events WHERE id = 2", (6, "ticket_events", "2"), "missing"),
            ("UPDATE ticket_events SET detail = 'null'", (6, "ticket_events", "2"), "detail changed"),
            ("UPDATE users SET id = 7", (3, "users", "1"), "missing"),
            ("UPDATE users SET id = 7", (None, "users", "7"), "no entry"),
        ],
    )
    def test_a_row_changed_behind_the_trails_back(
        self, trail: Records, statement: str, place: tuple[int | None, str, str], what: str
    ) -> None:
        tamper(trail, statement)
        (fault,) = [one for one in found(trail) if (one.seq, one.subject, one.subject_id) == place]
        assert what in fault.what

    def test_a_row_put_in_behind_the_trails_back(self, trail: Records) -> None:
        """Also under the number of one that was deleted."""
        insertion = (
            "INSERT INTO ticket_events (id, ticket_id, at_ms, kind, who, detail) VALUES ({}, 1, 1, 'k', 'w', '{{}}')"
        )
        tamper(trail, insertion.format(1), insertion.format(77))
        assert places(found(trail)) == {(7, "ticket_events", "1"), (None, "ticket_events", "77")}

    @pytest.mark.parametrize(("column", "how"), [("state", "state changed"), ("contact", "does not name")])
    def test_a_row_changed_behind_the_trails_back_and_then_by_heatwatch(
        self, trail: Records, column: str, how: str
    ) -> None:
        """The next change of the row does not cover it up."""
        tamper(trail, f"UPDATE tickets SET {column} = 'x' WHERE id = 2")
        write(trail, lambda session: setattr(session.get_one(TicketRow, 2), "state", "closed"))
        (fault,) = found(trail)
        assert (fault.seq, fault.subject, fault.subject_id) == (9, "tickets", "2")
        assert how in fault.what
        assert "before it" in fault.what

    def test_what_is_no_json_is_located_too(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        """Only SQLite lets it in."""
        records = Records(f"sqlite:///{tmp_path_factory.mktemp('a') / 'r.sqlite'}")
        records.migrate()
        write(records, lambda session: session.add_all([ticket(), ticket()]))
        tamper(
            records, "UPDATE audit SET content = '{' WHERE seq = 1", "UPDATE tickets SET evidence = '{' WHERE id = 2"
        )
        assert places(found(records)) == {(1, "tickets", "1"), (2, "tickets", "2")}
        tamper(records, "UPDATE audit SET who = x'ff00' WHERE seq = 2")
        assert (2, "tickets", "2") in places(found(records))
        records.close()


class TestAnchor:
    """A head that was noted elsewhere shows what a trail alone cannot."""

    @pytest.fixture
    def noted(self, trail: Records) -> tuple[int, str]:
        with trail.read() as session:
            return head(session)

    def test_stays_in_a_trail_that_grows(self, trail: Records, noted: tuple[int, str]) -> None:
        write(trail, lambda session: session.add(user("li")))
        assert found(trail, noted, (0, START)) == []

    def test_a_chain_written_anew_is_whole_and_another_one(self, trail: Records, noted: tuple[int, str]) -> None:
        """Who did it, and the row, both changed; the chain mended to its end."""
        write(trail, lambda session: session.add(user("li")))
        tamper(trail, "UPDATE audit SET who = 'li' WHERE seq = 4")
        with trail.engine.begin() as connection:
            rechain(connection)
        assert found(trail) == []
        assert [fault.seq for fault in found(trail, noted)] == [8]

    def test_an_end_cut_off_with_its_head_and_row(self, trail: Records, noted: tuple[int, str]) -> None:
        tamper(trail, "DELETE FROM audit WHERE seq = 8", "UPDATE tickets SET state = 'open' WHERE id = 1")
        with trail.engine.begin() as connection:
            rechain(connection, first=9)
        assert found(trail) == []
        assert [str(fault) for fault in found(trail, noted)] == [
            "entry 8: was noted and is missing: the trail ends with entry 7"
        ]

    def test_a_trail_of_another_database_is_another_one(self, trail: Records) -> None:
        assert [fault.seq for fault in found(trail, (3, "0" * 64), (3, "1" * 64), (0, "1" * 64))] == [3, 0]

    def test_an_entry_taken_out_and_the_chain_mended(self, trail: Records) -> None:
        """The rows give it away even without an anchor."""
        tamper(trail, "DELETE FROM audit WHERE seq = 5")
        with trail.engine.begin() as connection:
            rechain(connection)
        assert places(found(trail)) == {(7, "tickets", "1")}


class TestAtOnce:
    """Several writers give one chain."""

    def test_four_threads_and_two_processes(self, records: Records, url: str) -> None:
        write(records, lambda session: session.add_all([ticket() for _ in range(3)]))
        program = (
            "import sys\n"
            "from heatwatch.records.audit import acting\n"
            "from heatwatch.records.database import Records\n"
            "from heatwatch.records.schema import TicketRow\n"
            "records = Records(sys.argv[1])\n"
            "for number in range(15):\n"
            "    with records.write() as session:\n"
            "        acting(session, 'process', number)\n"
            "        row = session.get_one(TicketRow, 1 + number % 3)\n"
            "        row.subject = f'{sys.argv[2]} {number}'\n"
            "records.close()\n"
        )
        others = [subprocess.Popen([sys.executable, "-c", program, url, name]) for name in "ab"]

        def work(name: str) -> None:
            for number in range(15):
                with records.write() as session:
                    acting(session, name, number)
                    session.add(ticket(subject=f"{name} {number}"))
                with records.write() as session:
                    acting(session, name, number)
                    session.get_one(TicketRow, 1 + number % 3).sent = f"{name} {number}"

        threads = [threading.Thread(target=work, args=(name,)) for name in "cdef"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [other.wait() for other in others] == [0, 0]
        assert found(records) == []
        assert [entry["seq"] for entry in said(records)] == list(range(1, 3 + 2 * 15 + 4 * 30 + 1))


class TestAdoption:
    """Rows that were there before the trail, or before their table got its columns."""

    @pytest.fixture
    def old(self, url: str) -> Iterator[Records]:
        """Give records of the first version with a ticket, 1,200 events and a register."""
        records = Records(url)
        with records.engine.begin() as connection:
            command.upgrade(database._alembic(connection), "0001")
            connection.execute(
                text(
                    "INSERT INTO tickets (id, kind, state, emergency, scope, station_id, building_id, rule, opened_ms,"
                    " cause_start_ms, evidence)"
                    " VALUES (7, 'k', 'open', :no, 'room', 's', 'b', 'R1', 1, 1, '[[1, 2.50]]')"
                ),
                {"no": False},
            )
            event = (
                "INSERT INTO ticket_events (id, ticket_id, at_ms, kind, who, detail) VALUES (:id, 7, 1, 'k', 'w', '{}')"
            )
            connection.execute(text(event), [{"id": number} for number in range(1, 1201)])
            connection.execute(text("INSERT INTO register_imports VALUES (1, 5, 'p.csv', '', '[]')"))
        yield records
        records.close()

    def test_they_are_entered_once(self, old: Records) -> None:
        old.migrate()
        old.migrate()
        assert found(old) == []
        with old.read() as session:
            assert head(session)[0] == 1202
            (entry,) = entries(session, 5, "tickets", "7")
        assert (entry["action"], entry["who"]) == ("adopted", "heatwatch")
        assert entry["at_ms"] > 1_700_000_000_000
        tamper(old, "UPDATE tickets SET state = 'x'", "DELETE FROM ticket_events WHERE id = 1200")
        assert {(fault.subject, fault.subject_id) for fault in found(old)} == {
            ("tickets", "7"),
            ("ticket_events", "1200"),
        }

    def test_a_table_that_was_not_as_it_is_now_is_entered_anew(self, trail: Records) -> None:
        """A later version may widen it; what was changed behind the trail's back before stays found."""
        with trail.engine.begin() as connection:
            was = audit.shape(connection)
            assert set(was) == set(audit.audited())
            audit.adopt(connection, was)
        assert len(said(trail)) == 8
        tamper(trail, "UPDATE tickets SET contact = '139' WHERE id = 2")
        with trail.engine.begin() as connection:
            audit.adopt(connection, {**was, "tickets": was["tickets"] - {"closed_ms"}})
        assert [(entry["action"], entry["subject_id"]) for entry in said(trail)[8:]] == [
            ("adopted", "1"),
            ("adopted", "2"),
        ]
        assert [str(fault) for fault in found(trail)] == [
            "entry 10, tickets 2: contact changed behind the trail's back before it"
        ]
