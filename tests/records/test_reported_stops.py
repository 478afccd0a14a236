"""Reported stops in the records: kept, ended, withdrawn; never deleted, and what was said before stays on the trail."""

import json
from pathlib import Path

import pytest
from sqlalchemy import select

from cli.main import main
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.stops import Stop
from heatwatch.domain.temperature import RoomClass
from heatwatch.errors import BadInput
from heatwatch.records.database import Records
from heatwatch.records.schema import AuditEntry
from heatwatch.usecases.register import import_register
from heatwatch.usecases.stops import (
    StopChange,
    change_stop,
    count_stops,
    import_stops,
    report_stop,
    reported_stops,
    station_of,
    stops_in_force,
    stops_version,
)

HOUR_MS = 3_600_000
ROWS = [
    PointRow("A1", "A", "S", RoomClass.APARTMENT, room_id="A-101", riser="A-r1"),
    PointRow("B1", "B", "T", RoomClass.APARTMENT),
]
REGISTER = Register.of(ROWS)


def test_a_stop_belongs_to_the_station_that_the_register_names(records: Records) -> None:
    for kind, name in (("station", "S"), ("building", "A"), ("riser", "A-r1"), ("room", "A-101")):
        assert station_of(REGISTER, kind, name) == "S"
    with records.write() as session:
        report_stop(session, Stop("building", "A", 0), REGISTER, who="x", now_ms=5)
        report_stop(session, Stop("building", "B", 1), REGISTER, who="x", now_ms=5)
    with records.read() as session:
        assert [row.subject_id for row in reported_stops(session)] == ["B", "A"]
        assert [row.subject_id for row in reported_stops(session, stations=["S"])] == ["A"]
        assert (count_stops(session), count_stops(session, stations=["T"]), count_stops(session, stations=[])) == (
            2,
            1,
            0,
        )


@pytest.mark.parametrize(
    "stop",
    [Stop("building", "Q", 0), Stop("room", "A", 0), Stop("town", "S", 0), Stop("building", "A", 5, 5)],
)
def test_what_the_register_does_not_have_or_ends_before_it_begins_is_refused(records: Records, stop: Stop) -> None:
    with pytest.raises(BadInput), records.write() as session:
        report_stop(session, stop, REGISTER, who="x", now_ms=5)
    with records.read() as session:
        assert stops_in_force(session) == []


def test_every_change_is_seen_by_the_version_and_stands_on_the_trail(records: Records) -> None:
    versions = list[int]()
    with records.write() as session:
        versions.append(stops_version(session))
        row = report_stop(session, Stop("building", "A", 0), REGISTER, who="ann", now_ms=5)
        versions.append(stops_version(session))
        assert change_stop(session, row, StopChange(end_ms=HOUR_MS), who="bob", now_ms=6)
        versions.append(stops_version(session))
        assert not change_stop(session, row, StopChange(end_ms=HOUR_MS), who="bob", now_ms=7), "that was known"
        assert stops_version(session) == versions[-1]
        assert stops_in_force(session) == [Stop("building", "A", 0, HOUR_MS)]
        with pytest.raises(BadInput):
            change_stop(session, row, StopChange(end_ms=0), who="bob", now_ms=7)
        assert change_stop(session, row, StopChange(withdrawn=True), who="bob", now_ms=8)
        versions.append(stops_version(session))
    assert versions == sorted(set(versions))
    with records.read() as session:
        assert stops_in_force(session) == []
        assert count_stops(session) == 1, "a withdrawn one is kept"
        trail = session.scalars(
            select(AuditEntry).where(AuditEntry.subject == "reported_stops").order_by(AuditEntry.seq)
        )
        assert [(one.who, one.action) for one in trail] == [("ann", "created"), ("bob", "changed"), ("bob", "changed")]


def test_the_same_file_again_says_nothing_new(records: Records) -> None:
    file = [Stop("building", "A", 0), Stop("station", "T", 0, HOUR_MS, planned=True, reason="works")]
    later = [Stop("building", "A", 0, 2 * HOUR_MS), file[1]]
    with records.write() as session:
        assert import_stops(session, file, REGISTER, who="x", now_ms=5) == (2, 0)
        assert import_stops(session, file, REGISTER, who="x", now_ms=6) == (0, 0)
        assert import_stops(session, later, REGISTER, who="x", now_ms=7) == (0, 1)
        assert stops_in_force(session) == later


def test_a_file_is_imported_whole_or_not_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, file = tmp_path / "data", tmp_path / "stops.csv"
    made = Records(f"sqlite:///{tmp_path / 'data' / 'records.sqlite'}")
    data.mkdir()
    made.migrate()
    with made.write() as session:
        import_register(session, ROWS, "points.csv", "", 1)
    header = "subject_kind,subject_id,start,end,planned,reason\n"
    row = "building,A,2026-01-12T00:00:00Z,,true,works\n"
    for lines, code, kept in ((header + row + "building,Q,2026-01-12T00:00:00Z,,,\n", 2, 0), (header + row, 0, 1)):
        file.write_text(lines, encoding="utf-8")
        with pytest.raises(SystemExit) as ended:
            main(["stops", "import", str(file), "--data-dir", str(data)])
        assert ended.value.code == code
        with made.read() as session:
            assert len(stops_in_force(session)) == kept
    said = capsys.readouterr()
    assert "1 stops read: 1 new, 0 changed" in said.out
    assert "the register has no building Q" in json.dumps(said.err)
