"""Findings in the records: amended, withdrawn, never deleted; what has not changed is not touched."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from heatwatch.domain.findings import Finding, FindingKind, SubjectKind
from heatwatch.domain.instants import HOUR_MS
from heatwatch.records.database import Records
from heatwatch.records.schema import FindingChange, FindingRow
from heatwatch.usecases.findings import (
    amendments_since,
    as_finding,
    changed_since,
    count_findings,
    findings,
    last_change,
    record_findings,
    revisions,
    shown_detail,
)

AS_OF = 100 * HOUR_MS
SPELLS_P1 = (FindingKind.COLD_SPELL, SubjectKind.POINT, "p1")
STOPS_B1 = (FindingKind.HEAT_OUTAGE, SubjectKind.BUILDING, "b1")


def spell(start_h: int, end_h: int | None = None, confirmed_h: int | None = None, **detail: Any) -> Finding:
    end_ms = None if end_h is None else end_h * HOUR_MS
    confirmed_ms = None if confirmed_h is None else confirmed_h * HOUR_MS
    said = {"rule": "R1", "violation_h": 1.5, **detail}
    return Finding(*SPELLS_P1, "b1", "s1", start_h * HOUR_MS, end_ms, end_ms is None, confirmed_ms, said)


def stop(start_h: int, end_h: int | None, duration_h: float) -> Finding:
    end_ms = None if end_h is None else end_h * HOUR_MS
    said = {"duration_h": duration_h, "evidence": "rooms", "confidence": 0.9, "points": 4}
    return Finding(*STOPS_B1, "b1", "s1", start_h * HOUR_MS, end_ms, end_ms is None, None, said)


def record(records: Records, *found: Finding, subjects: Any = (SPELLS_P1,), as_of_ms: int = AS_OF) -> list[int]:
    with records.write() as session:
        return record_findings(session, found, subjects, as_of_ms)


def rows(records: Records) -> list[FindingRow]:
    with records.read() as session:
        return list(session.scalars(select(FindingRow).order_by(FindingRow.id)))


def test_a_new_finding_is_issued_as_it_was_found(records: Records) -> None:
    (number,) = record(records, spell(1, 5, 2))
    (row,) = rows(records)
    assert as_finding(row) == spell(1, 5, 2)
    assert (row.id, row.revision, row.withdrawn, row.issued_ms, row.changed_ms) == (number, 1, False, AS_OF, AS_OF)


def test_what_is_found_again_is_not_touched(records: Records) -> None:
    record(records, spell(1, 5), spell(7))
    before = [(row.id, row.revision, row.change_seq, row.changed_ms) for row in rows(records)]
    assert record(records, spell(7), spell(1, 5), as_of_ms=AS_OF + 1) == []
    assert [(row.id, row.revision, row.change_seq, row.changed_ms) for row in rows(records)] == before


def test_what_is_found_otherwise_is_amended_under_its_number(records: Records) -> None:
    (number,) = record(records, spell(1))
    assert record(records, spell(1, 6, 2), as_of_ms=AS_OF + 1) == [number]
    (row,) = rows(records)
    assert as_finding(row) == spell(1, 6, 2)
    assert (row.revision, row.issued_ms, row.changed_ms) == (2, AS_OF, AS_OF + 1)


def test_what_is_no_longer_found_is_withdrawn_and_stays(records: Records) -> None:
    (number,) = record(records, spell(1, 5))
    assert record(records) == [number]
    (row,) = rows(records)
    assert (row.withdrawn, row.revision) == (True, 2)
    assert record(records) == []


def test_a_withdrawn_one_does_not_come_back(records: Records) -> None:
    """It is found anew: people have been told that the old one was none."""
    (number,) = record(records, spell(1, 5))
    record(records)
    (again,) = record(records, spell(1, 5))
    assert again != number


def test_a_subject_that_was_not_judged_keeps_its_findings(records: Records) -> None:
    record(records, spell(1, 5))
    assert record(records, subjects=[STOPS_B1]) == []
    assert not rows(records)[0].withdrawn


def test_a_finding_of_a_subject_that_was_not_judged_is_refused(records: Records) -> None:
    with pytest.raises(ValueError, match="p1"):
        record(records, spell(1, 5), subjects=[STOPS_B1])


def test_how_long_an_open_outage_lasts_so_far_is_no_change(records: Records) -> None:
    """It is not kept, but told as of when it is shown."""
    record(records, stop(90, None, 10.0), subjects=[STOPS_B1])
    assert record(records, stop(90, None, 11.0), subjects=[STOPS_B1]) == []
    (row,) = rows(records)
    assert "duration_h" not in row.detail
    assert shown_detail(row, 92 * HOUR_MS)["duration_h"] == 2.0
    record(records, stop(90, 93, 3.0), subjects=[STOPS_B1])
    (row,) = rows(records)
    assert shown_detail(row, AS_OF)["duration_h"] == row.detail["duration_h"] == 3.0


def test_changes_are_numbered_in_the_order_of_their_commits(records: Records) -> None:
    record(records, spell(1, 5), spell(7, 9))
    with records.read() as session:
        seen = last_change(session)
    changed = record(records, spell(1, 6), spell(20))
    with records.read() as session:
        feed = changed_since(session, seen)
        assert sorted(row.id for row in feed) == sorted(changed)
        numbers = [row.change_seq for row in feed]
        assert numbers == sorted(set(numbers))
        assert seen < numbers[0] <= numbers[-1] == last_change(session)
        assert changed_since(session, last_change(session)) == []


def test_a_commit_that_fails_leaves_no_number_behind(records: Records) -> None:
    def fail() -> None:
        with records.write() as session:
            record_findings(session, [spell(1)], [SPELLS_P1], AS_OF)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with records.read() as session:
        assert last_change(session) == 0
    assert rows(records) == []


def test_numbers_do_not_depend_on_the_order_found(records: Records) -> None:
    record(records, spell(7), spell(1, 5))
    assert [row.start_ms for row in rows(records)] == [HOUR_MS, 7 * HOUR_MS]


def test_lists_are_filtered_and_come_in_parts(records: Records) -> None:
    other = replace(spell(3, 4), subject_id="p2", building_id="b2", station_id="s2")
    subject = (FindingKind.COLD_SPELL, SubjectKind.POINT, "p2")
    found = [spell(1, 2, 2), spell(8), other, stop(5, 6, 1.0)]
    record(records, *found, subjects=[SPELLS_P1, STOPS_B1, subject])
    with records.read() as session:

        def starts(**which: Any) -> list[int]:
            told = [row.start_ms // HOUR_MS for row in findings(session, **which)]
            which.pop("limit", None), which.pop("offset", None)
            assert count_findings(session, **which) >= len(told)
            return told

        assert starts() == [8, 5, 3, 1]
        assert starts(kind=FindingKind.COLD_SPELL) == [8, 3, 1]
        assert starts(open=True) == [8]
        assert starts(open=False, building="b1") == [5, 1]
        assert starts(station="s2") == starts(subject="p2") == [3]
        assert starts(confirmed=True) == [1]
        assert starts(confirmed=False, kind=FindingKind.COLD_SPELL) == [8, 3]
        assert starts(withdrawn=True) == []
        assert starts(limit=2, offset=1) == [5, 3]


def test_very_many_subjects_are_read(records: Records) -> None:
    subjects = [(FindingKind.COLD_SPELL, SubjectKind.POINT, f"q{number}") for number in range(1200)]
    found = [replace(spell(1, 2), subject_id=subject) for _, _, subject in subjects]
    assert len(record(records, *found, subjects=subjects)) == 1200
    assert record(records, *found, subjects=subjects) == []


def changes(records: Records, number: int) -> list[FindingChange]:
    with records.read() as session:
        return list(revisions(session, number))


def test_what_became_of_a_finding_is_kept_with_what_it_said_before(records: Records) -> None:
    (number,) = record(records, spell(90))
    record(records, spell(90, None, 91), as_of_ms=AS_OF + 1)
    record(records, spell(90, None, 91, violation_h=9.0), as_of_ms=AS_OF + 2)
    record(records, spell(90, 99, 91, violation_h=9.0), as_of_ms=AS_OF + 3)
    record(records, spell(88, 99, 91, violation_h=11.0), as_of_ms=AS_OF + 4)
    record(records, as_of_ms=AS_OF + 5)
    told = changes(records, number)
    kinds = [(one.kind, one.at_ms - AS_OF) for one in told]
    assert kinds == [("confirmed", 1), ("ended", 3), ("extended", 4), ("withdrawn", 5)]
    assert (told[2].before["start_ms"], (told[2].after or {})["start_ms"]) == (90 * HOUR_MS, 88 * HOUR_MS)
    assert told[2].before["detail"]["violation_h"] == 9.0
    assert told[3].after is None


def test_a_split_names_its_parts_and_a_merge_where_it_went(records: Records) -> None:
    (number,) = record(records, spell(10, 30, 11))
    _, part = sorted(record(records, spell(10, 18, 11), spell(22, 30, 23)))
    (split,) = changes(records, number)
    assert (split.kind, split.cause["parts"]) == ("split", [part])
    record(records, spell(10, 30, 11))
    assert [(one.kind, one.cause.get("took")) for one in changes(records, number)][1:] == [("merged", [part])]
    assert [(one.kind, one.cause.get("into")) for one in changes(records, part)] == [("merged", number)]


def test_findings_that_follow_on_one_another_are_no_parts(records: Records) -> None:
    (number,) = record(records, spell(10), as_of_ms=20 * HOUR_MS)
    record(records, spell(10, 18), spell(20), as_of_ms=21 * HOUR_MS)
    assert [one.kind for one in changes(records, number)] == ["ended"]


def test_only_what_was_taken_back_is_told_to_dispatch(records: Records) -> None:
    (number,) = record(records, spell(90), as_of_ms=AS_OF)
    record(records, spell(90, 99), as_of_ms=AS_OF + 1)
    with records.read() as session:
        assert amendments_since(session, 0) == {}
        seen = last_change(session)
    record(records, spell(90, 98), as_of_ms=AS_OF + 2)
    with records.read() as session:
        told = amendments_since(session, seen)
    assert [one.kind for one in told[number]] == ["shortened"]
