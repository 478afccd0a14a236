"""The log: lines for people or machines, quiet by default, with one id from a message to what became of it."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from analytics.roles.worker import AnalyticsWorker
from dispatch.worker import DispatchWorker
from heatwatch import logs
from heatwatch.domain.findings import FindingKind
from heatwatch.domain.instants import MINUTE_MS
from heatwatch.domain.register import PointRow
from heatwatch.domain.temperature import RoomClass
from heatwatch.files.rules_file import default_standard
from heatwatch.records.database import Records
from heatwatch.records.schema import FindingRow, TicketEvent
from heatwatch.settings import LogFormat
from heatwatch.usecases.register import import_register
from heatwatch.usecases.roles import Bell
from heatwatch.wire import reading_topic
from ingest.journal import Journal, Message
from ingest.sorting import Clock
from ingest.storing import Storing
from tests.shelf import Shelf

NOW = 1_768_176_000_000
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    """Leave logging as it was found."""
    loggers = [logging.getLogger(), *map(logging.getLogger, logs.OURS)]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def lines(stream: io.StringIO) -> Lines:
    """Give what was logged as JSON, line by line."""
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


class TestForms:
    """`text` for a terminal, `json` for a machine."""

    def test_json_is_one_object_a_line_with_its_head_in_front(self, stream: io.StringIO, lines: Lines) -> None:
        logs.configure(LogFormat.JSON, stream=stream)
        logging.getLogger("ingest.storing").info("stored\n%d", 3, extra={"trace": "w/3", "f": {"a": 1}})
        (line,) = lines()
        assert list(line) == ["time", "level", "logger", "event", "trace", "f"]
        assert line["time"].endswith("Z")
        assert (len(line["time"]), line["time"][10], line["time"][19]) == (24, "T", ".")
        told = (line["level"], line["logger"], line["event"], line["trace"], line["f"])
        assert told == ("info", "ingest.storing", "stored\n3", "w/3", {"a": 1})

    def test_no_fact_takes_the_place_of_the_head(self, stream: io.StringIO, lines: Lines) -> None:
        logs.configure(LogFormat.JSON, stream=stream)
        logging.getLogger("dispatch").info("ticket %d", 3, extra={"event": "opened", "time": "noon"})
        (line,) = lines()
        assert (line["event"], line["event_"], line["time_"]) == ("ticket 3", "opened", "noon")
        assert line["time"].endswith("Z")

    def test_an_exception_stays_on_its_line(self, stream: io.StringIO, lines: Lines) -> None:
        logs.configure(LogFormat.JSON, stream=stream)
        logging.getLogger("cli.wiring").error("role %s failed", "api", exc_info=RuntimeError("why\nso"))
        (line,) = lines()
        assert line["event"] == "role api failed"
        assert line["exception"] == "RuntimeError: why\nso"

    def test_text_is_readable_and_shows_no_bytes_of_a_stranger(self, stream: io.StringIO) -> None:
        logs.configure(LogFormat.TEXT, stream=stream)
        logging.getLogger("heatwatch.x").warning("no answer", extra={"trace": "w/3", "topic": "heat/\x1b[31m供热"})
        (line,) = stream.getvalue().splitlines()
        assert "warning" in line
        assert "no answer [heatwatch.x] trace='w/3' topic='heat/\\x1b[31m供热'" in line

    def test_text_tells_what_is_amiss_and_what_heatwatch_itself_says(self, stream: io.StringIO) -> None:
        logs.configure(LogFormat.TEXT, stream=stream)
        for name in (*logs.OURS, "a.library"):
            logging.getLogger(f"{name}.part").info("told by %s", name)
            logging.getLogger(f"{name}.part").warning("amiss")
        said = stream.getvalue()
        assert said.count("amiss") == len(logs.OURS) + 1
        assert said.count("told by") == said.count("told by heatwatch") == 1

    def test_json_tells_all_of_ours_and_of_libraries_what_is_amiss(self, stream: io.StringIO, lines: Lines) -> None:
        logs.configure(LogFormat.JSON, stream=stream)
        for name in (*logs.OURS, "a.library"):
            logging.getLogger(name).debug("detail")
            logging.getLogger(name).info("told")
            logging.getLogger(name).warning("amiss")
        told = [(line["logger"], line["level"]) for line in lines()]
        ours = [(name, level) for name in logs.OURS for level in ("info", "warning")]
        assert told == [*ours, ("a.library", "warning")]

    def test_configured_again_each_line_is_written_once(self, stream: io.StringIO, lines: Lines) -> None:
        logs.configure(LogFormat.TEXT, stream=stream)
        logs.configure(LogFormat.JSON, stream=stream)
        logging.getLogger("heatwatch").info("told")
        assert [line["event"] for line in lines()] == ["told"]

    def test_nothing_is_done_at_import(self) -> None:
        look = "import logging; import heatwatch.logs; print(logging.root.handlers, logging.root.level)"
        done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["[]", "30"]


class Way:
    """Journal, store, records, and every role but the broker's side of ingest."""

    def __init__(self, folder: Path) -> None:
        self.records = Records(f"sqlite:///{folder / 'records.sqlite'}")
        self.records.migrate()
        self.store, self.journal = Shelf(), Journal(folder / "journal", limit_bytes=10_000_000)
        self.now_ms, self._folder = NOW, folder
        clock = lambda: self.now_ms  # noqa: E731
        zone = ZoneInfo("Asia/Shanghai")
        self.analytics = AnalyticsWorker(
            self.records, self.store, default_standard(), zone, Bell(), wall_clock=clock, judge_every_s=1
        )
        self.dispatch = DispatchWorker(self.records, self.store, default_standard(), Bell(), timezone=zone.key)
        rows = [PointRow(name, "b1", "s1", RoomClass.APARTMENT, interval_s=1800) for name in ("p1", "p2")]
        with self.records.write() as session:
            import_register(session, rows, "test", "", NOW)

    def receive(self, *rows: tuple[str, float]) -> None:
        """Let half an hour pass, and what points measured then arrive and take their way."""
        self.now_ms += 30 * MINUTE_MS
        self.journal.append(
            [
                Message(
                    reading_topic("s1", "b1", name).encode(),
                    b'{"ts": %d, "t": %f}' % (self.now_ms, temp_c),
                    self.now_ms,
                )
                for name, temp_c in rows
            ]
        )
        clock = Clock(replayed=False, now_ms=None, ahead_limit_ms=600_000)
        storing = Storing("ingest-1", self.journal, self.store, self.records, Bell(), clock)
        storing.stop()
        storing.run()
        self.analytics.pass_once()
        self.dispatch.pass_once()

    def close(self) -> None:
        self.journal.close()
        self.store.close()
        self.records.close()


@pytest.fixture
def way(tmp_path: Path) -> Iterator[Way]:
    with closing(Way(tmp_path)) as made:
        yield made


def find(lines: list[dict[str, Any]], word: str) -> list[dict[str, Any]]:
    """Return the lines in which a word stands, as `grep -w` does."""
    return [line for line in lines if f'"{word}"' in json.dumps(line)]


def test_a_cold_readings_id_leads_to_the_finding(way: Way, stream: io.StringIO, lines: Lines) -> None:
    logs.configure(LogFormat.JSON, level=logging.DEBUG, stream=stream)
    way.receive(("p1", 20.0), ("p2", 20.0))
    way.receive(("p2", 20.0), ("p1", 15.0), ("p2", 20.1))
    way.receive(("p2", 20.0))
    (message,) = [line for line in lines() if line["event"] == "message" and line["id"] == "ingest-1/4"]
    assert message["topic"] == reading_topic("s1", "b1", "p1")
    told = find(lines(), message["trace"])
    assert [line["event"] for line in told] == ["message", "message", "message", "stored", "judged"]
    stored, judged = told[-2:]
    assert (stored["first"], stored["last"], stored["level"]) == (3, 5, "info")
    assert (stored["stored"], stored["conflict"], stored["duplicate"], stored["quarantined"]) == (2, 1, 0, 0)
    (number,) = judged["findings"]["ingest-1/5"]
    assert (judged["level"], judged["trace"], judged["arrivals"]) == ("info", "ingest-1/5", [2, 2])
    with way.records.read() as session:
        row = session.get_one(FindingRow, number)
    assert (row.kind, row.subject_id, row.trace) == (FindingKind.COLD_SPELL, "p1", "ingest-1/5")


def test_the_id_of_the_reading_that_confirms_a_spell_leads_to_its_ticket(
    way: Way, stream: io.StringIO, lines: Lines
) -> None:
    logs.configure(LogFormat.JSON, stream=stream)
    for _ in range(3):
        way.receive(("p1", 15.0))
    told = find(lines(), "ingest-1/3")
    assert [line["logger"].split(".")[0] for line in told][:3] == ["ingest", "analytics", "dispatch"]
    with way.records.read() as session:
        events = {event.kind: event.detail for event in session.scalars(select(TicketEvent))}
    assert events["opened"]["trace"] == events["finding_added"]["trace"] == "ingest-1/3"
    assert [events["finding_added"]["finding_id"]] == told[1]["findings"]["ingest-1/3"]


def test_one_line_a_commit_and_none_where_no_finding_has_changed(way: Way, stream: io.StringIO, lines: Lines) -> None:
    logs.configure(LogFormat.JSON, stream=stream)
    for temp_c in (20.0, 20.0, 15.0):
        way.receive(("p1", temp_c), ("p2", 20.0))
    told = [line["event"] for line in lines() if line["event"] in {"message", "stored", "judged"}]
    assert told == ["stored", "stored", "stored", "judged"]


def test_on_a_terminal_nothing_of_it_is_seen(way: Way, stream: io.StringIO) -> None:
    logs.configure(LogFormat.TEXT, stream=stream)
    for temp_c in (20.0, 15.0, 15.0):
        way.receive(("p1", temp_c), ("p2", 20.0))
    assert stream.getvalue() == ""


def test_when_only_the_clock_moves_a_trace_stays(way: Way) -> None:
    way.receive(("p1", 15.0), ("p2", 20.0))
    way.now_ms += 12 * 60 * MINUTE_MS
    way.analytics.pass_once()
    with way.records.read() as session:
        found = {(row.kind, row.subject_id): row for row in session.scalars(select(FindingRow))}
    spell = found[FindingKind.COLD_SPELL, "p1"]
    assert (spell.detail["end_reason"], spell.revision, spell.trace) == ("silence", 2, "ingest-1/2")
    assert found[FindingKind.DATA_OUTAGE, "p1"].trace == "clock"
