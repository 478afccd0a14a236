"""`heatwatch dashboards annotate`: what the records tell of stops and notices hangs in Grafana's curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.dashboards import dashboards
from cli.opening import open_records, wall_clock
from heatwatch.domain.instants import DAY_MS, HOUR_MS
from heatwatch.records.audit import acting
from heatwatch.records.schema import FindingRow, NoticeRow, ReportedStop, TicketRow
from heatwatch.settings import Settings
from tests.dashboards.push.fake import FakeGrafana

NOW_MS = wall_clock()


def outage(number: int, start_ms: int, end_ms: int | None, *, withdrawn: bool = False) -> FindingRow:
    return FindingRow(
        id=number,
        kind="heat_outage",
        subject_kind="building",
        subject_id=f"B{number}",
        building_id=f"B{number}",
        station_id="S1",
        start_ms=start_ms,
        end_ms=end_ms,
        open=end_ms is None,
        withdrawn=withdrawn,
        issued_ms=start_ms,
        changed_ms=start_ms,
        change_seq=number,
        detail={},
    )


def stop(number: int, subject_kind: str) -> ReportedStop:
    told: dict[str, Any] = {"planned": True, "reason": "检修", "reported_by": "desk", "reported_ms": NOW_MS}
    told |= {"start_ms": NOW_MS, "end_ms": NOW_MS + HOUR_MS, "station_id": "S1"}
    return ReportedStop(id=number, subject_kind=subject_kind, subject_id=f"X{number}", **told)


def notice(number: int, state: str, published_ms: int | None) -> NoticeRow:
    told: dict[str, Any] = {
        "kind": "stop",
        "station_id": "S1",
        "building_ids": ["B1"],
        "title": "停热通知",
        "text": "…",
    }
    return NoticeRow(
        id=number,
        ticket_id=1,
        state=state,
        stop_start_ms=NOW_MS - HOUR_MS,
        drafted_ms=NOW_MS,
        published_ms=published_ms,
        **told,
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Give records with something of each, some of which is nobody's business or too long ago."""
    with open_records(Settings(data_dir=tmp_path / "data")) as records, records.write() as session:
        acting(session, "test", NOW_MS)
        ticket = {"kind": "heat_outage", "state": "open", "emergency": True, "scope": "building", "rule": "R11"}
        place = {"station_id": "S1", "building_id": "B1", "opened_ms": NOW_MS, "cause_start_ms": NOW_MS, "evidence": []}
        session.add(TicketRow(id=1, **ticket, **place))
        session.flush()
        session.add_all(
            [
                outage(1, NOW_MS - HOUR_MS, None),
                outage(2, NOW_MS - 3 * HOUR_MS, NOW_MS - HOUR_MS),
                outage(3, NOW_MS - HOUR_MS, None, withdrawn=True),
                outage(4, NOW_MS - 900 * DAY_MS, NOW_MS - 899 * DAY_MS),
                stop(1, "station"),
                stop(2, "room"),
                notice(1, "published", NOW_MS),
                notice(2, "draft", None),
            ]
        )
    return tmp_path / "data"


def test_stops_and_notices_are_brought_once_and_what_was_withdrawn_is_taken_off(
    fake: FakeGrafana, token_file: Path, data: Path
) -> None:
    arguments = ["annotate", "--url", fake.url, "--token-file", str(token_file), "--data-dir", str(data)]
    foreign = dict(fake.annotations)
    first = CliRunner().invoke(dashboards, arguments, catch_exceptions=False)
    ours = {
        next(tag for tag in one["tags"] if tag.startswith("heatwatch:")): one
        for number, one in fake.annotations.items()
        if number not in foreign
    }
    assert first.output == "5 looked at, 4 of ours there\n"
    assert {tag: one["text"] for tag, one in ours.items()} == {
        "heatwatch:finding:1": "停热：B1",
        "heatwatch:finding:2": "停热：B2",
        "heatwatch:stop:1": "计划停热：X1 检修",
        "heatwatch:notice:1": "停热公告：停热通知",
    }
    span = ours["heatwatch:finding:2"]
    assert (span["time"], span["timeEnd"]) == (NOW_MS - 3 * HOUR_MS, NOW_MS - HOUR_MS)
    assert "station:S1" in span["tags"]
    fake.forget()
    CliRunner().invoke(dashboards, arguments, catch_exceptions=False)
    assert not fake.writes
    with open_records(Settings(data_dir=data)) as records, records.write() as session:
        row = session.get(FindingRow, 1)
        assert row is not None
        row.withdrawn = True
    CliRunner().invoke(dashboards, arguments, catch_exceptions=False)
    assert "heatwatch:finding:1" not in {tag for one in fake.annotations.values() for tag in one["tags"]}
    assert {number: fake.annotations[number] for number in foreign} == foreign
