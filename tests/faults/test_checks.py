"""The checks can fail: what a run without faults leaves passes them all; spoiled in one way, the right one fails."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from heatwatch.domain.findings import FindingKind
from heatwatch.settings import Settings
from heatwatch.stores.embedded import EmbeddedReadings
from tests.faults import checks
from tests.faults.driver import Harvest, Plant
from tests.faults.load import load

SEED = 3
Spoil = Callable[[Harvest], Harvest]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harvest]:
    """Give what a run without faults leaves."""
    folder = tmp_path_factory.mktemp("checks")
    with Plant(folder / "good", load(SEED)) as plant:
        yield plant.run([])


@pytest.fixture
def copied(good: Harvest, tmp_path: Path) -> Harvest:
    """Give a copy that may be spoiled."""
    shutil.copytree(good.folder, tmp_path / "copy")
    folder = tmp_path / "copy"
    return replace(good, folder=folder, settings=Settings(data_dir=folder / "data"))


def test_what_a_run_without_faults_leaves_passes(good: Harvest) -> None:
    assert checks.failures(good) == []


def in_store(statement: str) -> Spoil:
    """Do something to the reading store."""

    def spoil(harvest: Harvest) -> Harvest:
        path = harvest.settings.readings_path
        with duckdb.connect(path) as connection:
            connection.execute(statement)
        with closing(EmbeddedReadings(path)) as store:
            return replace(harvest, stored=store.read())

    return spoil


def in_records(*statements: str) -> Spoil:
    """Do something to the records behind everyone's back."""

    def spoil(harvest: Harvest) -> Harvest:
        with closing(sqlite3.connect(str(harvest.settings.records_url.database))) as connection:
            for statement in statements:
                assert connection.execute(statement).rowcount, statement
            connection.commit()
        return harvest

    return spoil


def in_told(change: Callable[[list[str]], list[str]]) -> Spoil:
    """Change the lines of the file of notifications that went out."""

    def spoil(harvest: Harvest) -> Harvest:
        path = harvest.settings.notifications_path
        path.write_text("".join(change(path.read_text().splitlines(keepends=True))))
        return harvest

    return spoil


def in_log(harvest: Harvest) -> Harvest:
    (harvest.folder / "data.log").write_text("Traceback (most recent call last):\n")
    return harvest


def with_other_findings(harvest: Harvest) -> Harvest:
    text = harvest.findings[FindingKind.COLD_SPELL]
    return replace(harvest, findings={**harvest.findings, FindingKind.COLD_SPELL: text.replace("R1", "R3", 1)})


def with_one_more_received(harvest: Harvest) -> Harvest:
    messages = harvest.delivery["messages"]
    return replace(
        harvest, delivery={**harvest.delivery, "messages": {**messages, "received": messages["received"] + 1}}
    )


SPOILED: dict[str, tuple[Spoil, checks.Check]] = {
    "a message too many": (with_one_more_received, checks.delivery_adds_up),
    "a count too small": (
        in_records("UPDATE reading_counts SET decoded = decoded - 1, stored = stored - 1 WHERE stored > 1"),
        checks.delivery_counts_what_is_there,
    ),
    "a reading lost": (in_store("DELETE FROM readings WHERE rowid = 0"), checks.every_reading_is_stored_once),
    "a reading twice": (
        in_store("INSERT INTO readings SELECT * FROM readings WHERE rowid = 0"),
        checks.every_reading_is_stored_once,
    ),
    "a value altered": (
        in_store("UPDATE readings SET temp_c = 12.0 WHERE rowid = 0"),
        checks.every_reading_is_stored_once,
    ),
    "a message cut off": (
        in_records("UPDATE quarantine SET payload = CAST('x' AS BLOB) WHERE position = -1"),
        checks.what_cannot_be_used_is_in_quarantine,
    ),
    "a reading gone from quarantine": (
        in_records("DELETE FROM quarantine WHERE position >= 0"),
        checks.what_cannot_be_used_is_in_quarantine,
    ),
    "another finding": (with_other_findings, checks.findings_are_those_of_judge),
    "a ticket twice": (
        in_records(
            "CREATE TEMP TABLE again AS SELECT * FROM tickets ORDER BY id LIMIT 1",
            "UPDATE again SET id = 999",
            "INSERT INTO tickets SELECT * FROM again",
        ),
        checks.each_cause_has_one_ticket,
    ),
    "a finding without its ticket": (
        in_records("DELETE FROM ticket_findings"),
        checks.each_cause_has_one_ticket,
    ),
    "a ticket opened twice": (
        in_records(
            "INSERT INTO ticket_events (ticket_id, at_ms, kind, who, detail) "
            "SELECT ticket_id, at_ms, kind, who, detail FROM ticket_events WHERE kind = 'opened' LIMIT 1"
        ),
        checks.each_cause_has_one_ticket,
    ),
    "a notification never sent": (in_told(lambda lines: lines[1:]), checks.every_notification_went_out),
    "a notification of nothing": (
        in_told(lambda lines: [*lines, '{"key": "event-0:dispatch"}\n']),
        checks.every_notification_went_out,
    ),
    "a notification half written": (in_told(lambda lines: [lines[0][:20], *lines]), checks.every_notification_went_out),
    "a notification that waits": (
        in_records("UPDATE outbox SET sent_ms = NULL WHERE id = 1"),
        checks.every_notification_went_out,
    ),
    "a notification too many": (
        in_records("UPDATE outbox SET recipient = 'company' WHERE id = 1"),
        checks.people_are_told_what_a_quiet_run_tells,
    ),
    "a notice too late": (
        in_records(
            "UPDATE notices SET published_ms = published_ms + 7200000 WHERE state IN ('published', 'superseded')"
        ),
        checks.long_stops_were_announced_in_time,
    ),
    "a notice never published": (
        in_records("UPDATE notices SET state = 'dropped' WHERE kind = 'stop'"),
        checks.long_stops_were_announced_in_time,
    ),
    "an entry of the trail altered": (
        in_records("UPDATE audit SET who = 'nobody' WHERE seq = 3"),
        checks.the_audit_trail_is_whole,
    ),
    "a ticket altered behind the trail": (
        in_records("UPDATE tickets SET state = 'closed' WHERE id = 1"),
        checks.the_audit_trail_is_whole,
    ),
    "a process left": (lambda harvest: replace(harvest, left=frozenset({1})), checks.nothing_is_left_behind),
    "an exit code": (lambda harvest: replace(harvest, exit_code=1), checks.nothing_is_left_behind),
    "a traceback": (in_log, checks.nothing_is_left_behind),
}


@pytest.mark.parametrize(("spoil", "check"), SPOILED.values(), ids=SPOILED)
def test_what_is_spoiled_is_found(copied: Harvest, spoil: Spoil, check: checks.Check) -> None:
    said = checks.failures(spoil(copied))
    assert [one for one in said if one.startswith(f"{check.__name__}:")], said
