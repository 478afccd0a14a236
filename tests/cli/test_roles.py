"""Which roles a process may have, where its records are, and what it tells of itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import cli.wiring
from cli.main import heatwatch
from cli.opening import open_records
from cli.wiring import ROLES, Service, _warn_of_other_journals, roles_of
from heatwatch.errors import BadInput, Unavailable
from heatwatch.records.database import Records
from heatwatch.records.schema import JournalPosition
from heatwatch.settings import ClockKind, Settings, StoreKind
from ingest.journal import Journal, Message
from tests.peers import free_port

ALL = {"ingest", "analytics", "dispatch", "api"}
WITH_INFLUX = Settings(store=StoreKind.INFLUXDB_1, broker="mqtt://127.0.0.1:1883")


def test_embedded_everything_is_one_process_without_a_feed() -> None:
    assert roles_of(Settings()) == roles_of(Settings(), ["api", "ingest", "dispatch", "analytics"]) == ALL
    for asked in (["ingest"], ["api", "analytics"], [*ALL, "feed"]):
        with pytest.raises(BadInput, match=r"one process .*set `store` to an InfluxDB"):
            roles_of(Settings(), asked)


def test_with_influxdb_each_role_may_be_a_process() -> None:
    assert roles_of(WITH_INFLUX) == {*ROLES}
    for role in ROLES:
        assert roles_of(WITH_INFLUX, [role]) == {role}


@pytest.mark.parametrize("asked", [[], ["cook"], ["ingest", ""]])
def test_what_is_no_role_is_refused(asked: list[str]) -> None:
    with pytest.raises(BadInput, match=r"no role .*ingest"):
        roles_of(WITH_INFLUX, asked)


def test_the_embedded_broker_is_for_one_process() -> None:
    here = WITH_INFLUX.model_copy(update={"broker": "embedded"})
    assert roles_of(here) == {*ROLES}
    assert roles_of(here, ["dispatch"]) == {"dispatch"}
    with pytest.raises(BadInput, match="embedded broker"):
        roles_of(here, ["ingest"])


def test_the_ticks_of_a_replay_cannot_be_shared() -> None:
    shared = WITH_INFLUX.model_copy(update={"shared_group": "g", "clock": ClockKind.REPLAY})
    with pytest.raises(BadInput, match="cannot be shared"):
        roles_of(shared, ["ingest"])
    assert roles_of(shared, ["api"]) == {"api"}


def test_records_of_postgresql_have_their_password_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("p@ss:w/rd\n")
    named = Settings(records="postgresql://heat@db.example:6543/heat", records_password_file=tmp_path / "word")
    url = named.records_url
    assert (url.drivername, url.password, url.port) == ("postgresql+psycopg", "p@ss:w/rd", 6543)
    assert Settings(data_dir=tmp_path).records_url.database == str(tmp_path / "records.sqlite")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("postgresql://heat:secret@db/heat", "no password in it"),
        ("mysql://heat@db/heat", "no PostgreSQL"),
        ("postgresql://db", "no PostgreSQL"),
        ("records.sqlite", "no address"),
        ("postgresql://heat:secret@db:x/heat", "no address"),
    ],
)
def test_what_is_no_address_of_records_is_refused_without_a_word_of_a_password(text: str, why: str) -> None:
    with pytest.raises(BadInput, match=why) as refused:
        _ = Settings(records=text).records_url
    assert "secret" not in str(refused.value)


class Away:
    """Records on a server that refuses so many times; then they are those of a folder."""

    def __init__(self, times: int) -> None:
        self.times = times

    @contextmanager
    def open(self, settings: Settings) -> Iterator[Records]:
        self.times -= 1
        if self.times >= 0:
            raise Unavailable("records", "connection refused")
        with open_records(settings.model_copy(update={"records": "embedded"})) as records:
            yield records


def on_servers(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path / "data",
        store=StoreKind.INFLUXDB_1,
        influx_url=f"http://127.0.0.1:{free_port()}",
        records="postgresql://h@127.0.0.1/h",
        health_port=free_port(),
    )


def test_a_role_waits_at_its_start_for_records_on_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = Away(3)
    monkeypatch.setattr(cli.wiring, "open_records", away.open)
    with Service(on_servers(tmp_path), roles=frozenset({"dispatch"})) as service:
        assert service.listener is not None
        assert service.listener.wait_started(10)
        checks = {one["name"]: one["ok"] for one in httpx.get(f"{service.api_url}/health/ready").json()["checks"]}
        assert checks == {"records": True, "store": False, "dispatch": True, "notifier": True}
    assert away.times == -1
    assert service.failure is None


@pytest.mark.parametrize("stopped", [False, True])
def test_it_does_not_wait_for_ever_nor_when_it_is_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, stopped: bool
) -> None:
    """Whoever started it is to see that it cannot; a wrong password looks as a server that is away does."""
    monkeypatch.setattr(cli.wiring, "open_records", Away(1000).open)
    stop = threading.Event()
    if stopped:
        stop.set()
    else:
        monkeypatch.setattr(cli.wiring, "RECORDS_S", 0.3)
    with pytest.raises(Unavailable, match="refused"), Service(on_servers(tmp_path), stop, roles=frozenset({"api"})):
        pass


def test_looking_after_the_journals_of_other_workers_stands_in_nobodys_way(tmp_path: Path) -> None:
    """Two workers that start at once in one folder both get their journals."""
    settings = Settings(data_dir=tmp_path, worker="one")
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            _warn_of_other_journals(settings, records)

    with open_records(settings) as records:
        with Journal(tmp_path / "journal" / "other", limit_bytes=1 << 20) as journal:
            journal.append([Message(b"t", b"", 0)] * 1000)
        with records.write() as session:
            session.add(JournalPosition(worker="other", sequence=1000))
        thread = threading.Thread(target=look)
        thread.start()
        try:
            for _ in range(200):
                Journal(tmp_path / "journal" / "other", limit_bytes=1 << 20).close()
        finally:
            over.set()
            thread.join()


def test_health_is_asked_of_the_running_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    monkeypatch.setenv("HEATWATCH_API_PORT", str(port))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match=f"nothing answers at http://127.0.0.1:{port}"):
        heatwatch.main(["health"], standalone_mode=False)
    stop = threading.Event()
    with Service(Settings.read(data_dir=tmp_path / "data", broker_port=0), stop) as service:
        assert service.listener is not None
        assert service.listener.wait_started(10)
        heatwatch.main(["health"], standalone_mode=False)
        assert capsys.readouterr().out == "ready\n"
        names = {one["name"] for one in httpx.get(f"{service.api_url}/health/ready").json()["checks"]}
        assert names >= {"records", "store", "broker", "ingest", "analytics", "rates", "dispatch", "notifier", "api"}
