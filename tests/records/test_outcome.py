"""Exports: what the records hold comes out in the columns that `score` reads, whole or cut to a span."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from cli.score_files import read_deeds, read_intervals
from heatwatch.domain.findings import Finding, FindingKind, SubjectKind
from heatwatch.domain.instants import HOUR_MS, iso
from heatwatch.files.outcome_files import COLUMNS, read_outcome, write_outcome
from heatwatch.files.rules_file import default_standard
from heatwatch.records.audit import acting
from heatwatch.records.database import Records
from heatwatch.records.progress import advance
from heatwatch.records.schema import NoticeRow, TicketFinding, TicketRow
from heatwatch.usecases.findings import record_findings
from heatwatch.usecases.outcome import JUDGED_BY, Within, outcome_of
from heatwatch.usecases.tickets import note, refresh

T0 = 1_768_176_000_000
SPELL = {"end_reason": "", "violation_h": 1.0, "unknown_h": 0.0, "min_temp_c": 16.5, "deficit_kh": 1.5, "rule": "R1"}
OUTAGE = {"evidence": "rooms", "confidence": 0.9, "points": 4}


def at(hour: float) -> int:
    return T0 + round(hour * HOUR_MS)


def finding(kind: FindingKind, subject: SubjectKind, name: str, start_h: float, end_h: float | None = None) -> Finding:
    detail = dict(SPELL if kind is FindingKind.COLD_SPELL else OUTAGE)
    confirmed = at(start_h + 1) if kind is FindingKind.COLD_SPELL else None
    if end_h is not None:
        detail |= {"end_reason": "recovered"} if kind is FindingKind.COLD_SPELL else {"duration_h": end_h - start_h}
    end_ms = None if end_h is None else at(end_h)
    return Finding(kind, subject, name, "b1", "s1", at(start_h), end_ms, end_h is None, confirmed, detail)


def ticket(session: Session, kind: str, scope: str, start_h: float, opened_h: float) -> TicketRow:
    acting(session, "heatwatch", at(opened_h))
    row = TicketRow(
        kind=kind,
        state="open",
        emergency=kind == "heat_outage",
        scope=scope,
        station_id="s1",
        building_id="b1",
        room_id="1" if scope == "room" else None,
        rule="R1",
        opened_ms=at(opened_h),
        cause_start_ms=at(start_h),
        evidence=[],
    )
    session.add(row)
    session.flush()
    note(session, row.id, at(opened_h), "opened", {"trace": "w/7", "cause_start": iso(at(start_h))})
    return row


@pytest.fixture
def lived(records: Records) -> Records:
    """Give records of a cold room and of a stop of which the public was told."""
    room = finding(FindingKind.COLD_SPELL, SubjectKind.POINT, "p1", 0, 5)
    stop = finding(FindingKind.HEAT_OUTAGE, SubjectKind.BUILDING, "b1", 2)
    asked = {(one.kind, one.subject_kind, one.subject_id) for one in (room, stop)}
    with records.write() as session:
        cold_id, _ = record_findings(session, [room, stop], asked, at(3))
        cold = ticket(session, "low_temperature", "room", 0, 1)
        session.add(TicketFinding(finding_id=cold_id, ticket_id=cold.id, state="ended"))
        note(session, cold.id, at(2), "take", who="li")
        emergency = ticket(session, "heat_outage", "building", 2, 3)
        for row in (cold, emergency):
            refresh(session, row, default_standard())
        note(session, emergency.id, at(3.6), "overdue", {"step": "start", "rule": "R11", "due": "never"})
        session.add(
            NoticeRow(
                ticket_id=emergency.id,
                kind="stop",
                state="published",
                station_id="s1",
                building_ids=["b1", "b2"],
                stop_start_ms=at(2),
                title="停热公告",
                text="一号楼\n二号楼",
                drafted_ms=at(3),
                published_ms=at(9),
                published_by="heatwatch",
                due_ms=at(10),
            )
        )
        advance(session, JUDGED_BY, 1, at(12), None)
    return records


def test_what_is_written_is_what_score_reads(lived: Records, tmp_path: Path) -> None:
    with lived.read() as session:
        write_outcome(tmp_path, outcome_of(session), {"as_of": iso(at(12))})
    tickets, notices = read_deeds(tmp_path, "tickets", "opened_at"), read_deeds(tmp_path, "notices", "published_at")
    assert tickets is not None
    assert notices is not None
    assert tickets[["kind", "subject_kind", "subject_id"]].to_numpy().tolist() == [
        ["low_temperature", "point", "p1"],
        ["heat_outage", "building", "b1"],
    ]
    assert [iso(round(one.timestamp() * 1000)) for one in tickets["done"]] == [iso(at(1)), iso(at(3))]
    assert tickets["due"].isna().all()
    assert notices[["id", "subject_id"]].to_numpy().tolist() == [["1", "b1"], ["1", "b2"]]
    assert (notices["due"].iloc[0] - notices["cause_start"].iloc[0]).total_seconds() == 8 * 3600
    spells = read_intervals(FindingKind.COLD_SPELL, tmp_path / "cold_spells.csv")
    assert [iso(round(one.timestamp() * 1000)) for one in spells["seen"]] == [iso(at(3))]  # issued, not confirmed


def test_every_cell_comes_back_and_the_same_records_are_the_same_bytes(lived: Records, tmp_path: Path) -> None:
    for name in ("one", "two"):
        with lived.read() as session:
            write_outcome(tmp_path / name, outcome_of(session), {})
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert [(tmp_path / "one" / name).read_bytes() for name in files] == [
        (tmp_path / "two" / name).read_bytes() for name in files
    ]
    told = read_outcome(tmp_path / "one")
    assert told["notices"][0]["text"] == "一号楼\n二号楼"
    assert [tuple(told[name][0]) for name in COLUMNS] == list(COLUMNS.values())


def test_the_log_names_no_message_and_clocks_tell_their_deeds(lived: Records) -> None:
    """Which messages were stored together is chance: two runs may differ in it."""
    with lived.read() as session:
        tables = outcome_of(session).tables
    assert tables["events"][0]["detail"] == f'{{"cause_start": "{iso(at(0))}"}}'
    starts = {row["ticket"]: row["done"] for row in tables["clocks"] if row["step"] == "start"}
    assert starts["1" if "1" in starts else "2"] in (iso(at(2)), "")
    assert all(row["off"] in ("true", "false") for row in tables["clocks"])


def test_cut_to_a_span_it_tells_what_was_known_at_its_end(lived: Records) -> None:
    with lived.read() as session:
        early = outcome_of(session, Within(at(0), at(4)))
        late = outcome_of(session, Within(at(2), at(4)))
        none = outcome_of(session, Within(at(5), at(6)))
    (spell,) = early.findings[FindingKind.COLD_SPELL].to_dict("records")
    assert spell["open"]
    assert spell["end_reason"] == ""
    assert early.as_of_ms == at(4)
    (outage,) = early.findings[FindingKind.HEAT_OUTAGE].to_dict("records")
    assert outage["duration_h"] == 2.0
    assert {row["published_at"] for row in early.tables["notices"]} == {""}
    assert [row["kind"] for row in early.tables["tickets"]] == ["low_temperature", "heat_outage"]
    assert [row["kind"] for row in late.tables["tickets"]] == ["heat_outage"]
    assert {row["ticket"] for row in late.tables["clocks"]} == {"2"}
    assert not any(none.tables.values())
    assert not any(len(frame) for frame in none.findings.values())
