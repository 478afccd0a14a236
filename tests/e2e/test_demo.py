"""`heatwatch demo`: everything embedded, ends by itself or at Ctrl-C, and goes on where it was."""

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from heatwatch.domain.findings import FindingKind
from heatwatch.records.database import Records
from heatwatch.settings import Settings
from heatwatch.usecases.findings import count_findings
from heatwatch.usecases.tickets import story, tickets
from tests.e2e.processes import HEATWATCH, descendants, gone, run

SHAPE = {
    "messages": {"received", "decoded", "no_reading", "quarantined", "waiting"},
    "readings": {"decoded", "stored", "duplicate", "conflict", "quarantined", "waiting"},
}


def demo(data_dir: Path, *arguments: str) -> dict[str, Any]:
    """Run a demo to its end and return its summary."""
    done = run("demo", "--data-dir", data_dir, "--port", 0, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def assert_identities(summary: dict[str, Any]) -> None:
    """Both lines of the delivery identity hold, over the very fields that the design names."""
    assert summary.keys() == {*SHAPE, "tickets", "notices"}
    for line, whole in (("messages", "received"), ("readings", "decoded")):
        counts = summary[line]
        assert counts.keys() == SHAPE[line]
        assert counts[whole] == sum(count for name, count in counts.items() if name != whole)
        assert counts["waiting"] == 0
    assert summary["messages"]["received"] > 0


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Run a demo twice in one folder: two hours of the town, then as everyone runs it, for a minute."""
    data_dir = tmp_path_factory.mktemp("demo") / "town"
    first = demo(data_dir, "--for", "6s", "--speed", "1200")
    return data_dir, [first, demo(data_dir, "--for", "60s")]


def test_both_identities_hold_after_each_run(town: tuple[Path, list[dict[str, Any]]]) -> None:
    for summary in town[1]:
        assert_identities(summary)


def test_within_a_minute_there_are_a_ticket_and_a_published_notice(town: tuple[Path, list[dict[str, Any]]]) -> None:
    """R11, R12."""
    assert town[1][1]["tickets"] >= 1
    assert town[1][1]["notices"] >= 1


def test_started_again_it_goes_on_without_doubling_a_ticket(town: tuple[Path, list[dict[str, Any]]]) -> None:
    data_dir, (first, second) = town
    assert second["messages"]["received"] > first["messages"]["received"]
    records = Records(Settings.read(data_dir=data_dir).records_url)
    with records.read() as session:
        stories = [story(session, ticket.id) for ticket in tickets(session)]
        confirmed = count_findings(session, confirmed=True) + count_findings(session, kind=FindingKind.HEAT_OUTAGE)
    records.close()
    assert second["tickets"] == len(stories) > 0
    belongs = [finding for told in stories if told is not None for finding in told.findings if not finding.withdrawn]
    assert len({finding.id for finding in belongs}) == len(belongs)
    assert sum(finding.kind in {FindingKind.COLD_SPELL, FindingKind.HEAT_OUTAGE} for finding in belongs) == confirmed


def test_a_cold_room_gets_a_ticket_and_the_heat_outage_an_emergency(
    town: tuple[Path, list[dict[str, Any]]],
) -> None:
    records = Records(Settings.read(data_dir=town[0]).records_url)
    with records.read() as session:
        opened = {(ticket.kind, ticket.emergency) for ticket in tickets(session)}
        told = [story(session, ticket.id) for ticket in tickets(session)]
    records.close()
    assert opened == {("low_temperature", False), ("heat_outage", True), ("sensor", False)}
    for one in told:
        assert one is not None
        assert one.clocks
        assert all(clock.rule.startswith("R") for clock in one.clocks)
        assert one.ticket.evidence or one.ticket.kind != "low_temperature"


def test_ctrl_c_leaves_no_process_behind(tmp_path: Path) -> None:
    command = [*HEATWATCH, "demo", "--data-dir", str(tmp_path / "town"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        assert "A simulated town" in process.stdout.readline()
        time.sleep(2)
        children = descendants(process.pid)
        assert children
        for pid in {process.pid, *children}:
            subprocess.run(["kill", f"-{int(signal.SIGINT)}", str(pid)], check=False)
        said = process.stdout.read()
        assert process.wait(30) == 0, said
    assert "ended: " in said
    assert gone(children)
