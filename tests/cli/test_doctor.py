"""`heatwatch doctor`: each check is seen well, and ill, on real servers; it changes nothing, and none stops another."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import numpy as np
import pytest
from sqlalchemy import make_url, text

from cli.doctoring import broker, checks, flowing, keeping, machine, readings
from cli.doctoring.checks import CHECKS, Check, examine
from cli.doctoring.patient import Patient, UnseenError
from cli.doctoring.said import Said, Verdict, ok
from cli.doctoring.settings import look
from cli.main import main
from cli.opening import wall_clock
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS
from heatwatch.domain.people import Role
from heatwatch.domain.register import PointRow
from heatwatch.domain.temperature import RoomClass
from heatwatch.errors import BadInput, Damaged, Unavailable
from heatwatch.files.rules_file import rules_text
from heatwatch.records.database import Records
from heatwatch.records.progress import advance
from heatwatch.records.schema import OutboxRow, Quarantine
from heatwatch.settings import StoreKind
from heatwatch.stores.embedded import EmbeddedReadings
from heatwatch.stores.influx.schema import READING
from heatwatch.stores.readings import ReadingBatch
from heatwatch.usecases.delivery import Delivery, MessageTally, ReadingTally, commit_delivery, tell_received
from heatwatch.usecases.people import Change, add_user
from heatwatch.usecases.register import import_register
from heatwatch.usecases.rules import record_rules
from ingest.inspecting import inspect
from ingest.journal import Journal, Message
from tests.authority import Authority, password_settings, tls_settings
from tests.influxdb import DATABASE, ORGANIZATION, TOKEN, Influx1, Influx2, has_influxdb, influxdb1, influxdb2
from tests.ledger import fresh_records
from tests.peers import HOST, free_port, wait_for
from tests.peers import mosquitto as running_mosquitto
from tests.postgresql import new_database

NOW_MS = wall_clock()
OPENED = "open-sesame"
_NUMBER = itertools.count(1)
Look = Callable[[Patient], Any]
Make = Callable[..., Patient]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def patient(data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Make]:
    """Give a patient with these settings, in a folder without others."""
    monkeypatch.chdir(tmp_path)
    made: list[Patient] = []

    def make(*, now_ms: int | None = None, deep: bool = False, conf: Path | None = None, **settings: Any) -> Patient:
        environ = {f"HEATWATCH_{name.upper()}": str(value) for name, value in ({"data_dir": data} | settings).items()}
        made.append(Patient(look(None, environ), wall_clock if now_ms is None else lambda: now_ms, deep, conf))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def empty_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the file of migrated records: copying it takes no time."""
    folder = tmp_path_factory.mktemp("records")
    fresh_records(folder).close()
    return folder / "records.sqlite"


@pytest.fixture
def ledger(data: Path, empty_records: Path) -> Iterator[Records]:
    records = Records(f"sqlite:///{shutil.copy(empty_records, data)}")
    yield records
    records.close()


def seen(check: Look, patient: Patient) -> list[Said]:
    """Look as the doctor does: what is raised becomes a line."""
    ((_, said),) = examine(patient, [Check("check", check)])
    assert said
    return said


def only(check: Look, patient: Patient) -> Said:
    (said,) = seen(check, patient)
    return said


def worst(said: list[Said]) -> Verdict:
    order = [Verdict.BAD, Verdict.WARN, Verdict.OK, Verdict.SKIP]
    return min((one.verdict for one in said), key=order.index)


def secret(folder: Path, word: str = OPENED, mode: int = 0o600) -> Path:
    file = folder / f"secret-{next(_NUMBER)}"
    file.write_text(f"{word}\n")
    file.chmod(mode)
    return file


def tree(folder: Path) -> dict[str, str]:
    """Digest every file but SQLite's notes of who looks: its index in memory, and a log with nothing in it."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.endswith("-shm")]
    held = {str(path): path.read_bytes() for path in files}
    return {name: hashlib.sha256(data).hexdigest() for name, data in held.items() if data or "-wal" not in name}


# The machine


def test_the_data_folder_is_there_and_can_be_written(patient: Make, data: Path, tmp_path: Path) -> None:
    assert only(machine.data_folder, patient()).verdict is Verdict.OK
    assert only(machine.data_folder, patient(data_dir=tmp_path / "none")).verdict is Verdict.WARN
    file = secret(tmp_path)
    assert only(machine.data_folder, patient(data_dir=file)).verdict is Verdict.BAD
    if os.geteuid() == 0:
        os.chown(secret(data), 12345, -1)
        assert "belong to somebody else" in only(machine.data_folder, patient()).what


def test_the_disk_has_room_for_the_journal(patient: Make, monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    for free_mb, limit_mb, verdict in ((9000, 4096, "ok"), (4000, 4096, "warn"), (4000, 2000, "ok"), (500, 100, "bad")):
        usage = dataclasses.make_dataclass("Usage", ["total", "used", "free"])(10**12, 0, free_mb * machine.MB)
        monkeypatch.setattr(shutil, "disk_usage", lambda _, usage=usage: usage)
        assert only(machine.disk, patient(journal_limit_mb=limit_mb)).verdict == verdict
    assert only(machine.disk, patient(store="influxdb1")).verdict is Verdict.OK  # no ingest


def test_the_clock_was_set_and_is_not_behind_what_was_written(patient: Make, data: Path) -> None:
    (data / "records.sqlite").write_text("")
    assert only(machine.clock, patient()).verdict is not Verdict.BAD
    assert "the clock shows 1970" in only(machine.clock, patient(now_ms=5)).what
    assert "behind files" in only(machine.clock, patient(now_ms=NOW_MS - HOUR_MS)).what
    for apart_ms, verdict in ((9_000, "ok"), (-11_000, "warn"), (121_000, "bad")):
        assert machine.skew("InfluxDB", NOW_MS + apart_ms, NOW_MS).verdict == verdict


def test_secrets_are_for_our_eyes_only(patient: Make, tmp_path: Path) -> None:
    good, shared = secret(tmp_path), secret(tmp_path, mode=0o644)
    assert only(machine.secrets, patient()).verdict is Verdict.OK
    assert only(machine.secrets, patient(influx_token_file=good)).verdict is Verdict.OK
    told = only(machine.secrets, patient(influx_token_file=shared))
    assert (told.verdict, told.do) == (Verdict.WARN, f"chmod o= {shared}")


def test_certificates_in_files_are_told_by_the_days_they_still_hold(patient: Make, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    for days, verdict in ((40, "ok"), (20, "warn"), (3, "bad"), (-1, "bad")):
        cert, key = authority.sign(f"us{days}", days=days)
        said = seen(machine.certificates, patient(broker="mqtts://h", broker_cert=cert, broker_key=key))
        assert said[0].verdict == verdict, said
    bad_file = secret(tmp_path)
    said = seen(machine.certificates, patient(broker="mqtts://h", broker_ca=bad_file))
    assert "no certificate can be read" in said[0].what


def test_rules_can_be_used_and_are_those_in_force(patient: Make, ledger: Records, tmp_path: Path) -> None:
    assert "comes into force" in only(machine.rules, patient()).what
    with ledger.write() as session:
        record_rules(session, *rules_text(None), NOW_MS)
    assert "in force" in only(machine.rules, patient()).what
    own = tmp_path / "rules.yaml"
    own.write_text(rules_text(None)[1] + "# mine\n")
    assert only(machine.rules, patient(rules=own)).verdict is Verdict.WARN
    own.write_text("versions: []\n")
    assert only(machine.rules, patient(rules=own)).verdict is Verdict.BAD


class _Health:
    """A page such as `/health/ready` of a `serve`."""

    def __init__(self, body: bytes, status: int) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer((HOST, 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.port = self._server.server_port

    def __enter__(self) -> int:
        self._thread.start()
        return self.port

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def test_serve_is_asked_whether_it_can_do_its_work(patient: Make, data: Path) -> None:
    nowhere = free_port()
    assert only(machine.serve, patient(api_port=nowhere)).verdict is Verdict.WARN
    with _Health(b"something else", 200) as port:
        assert only(machine.serve, patient(api_port=port)).verdict is Verdict.WARN
    with Journal(data / "journal" / "ingest-1", limit_bytes=1 << 24):
        told = only(machine.serve, patient(api_port=nowhere))
        assert (told.verdict, told.what.partition(",")[0]) == (Verdict.WARN, "ingest is at work")
    assert "messages wait at the broker" in only(machine.serve, patient(api_port=nowhere)).what
    good = b'{"ready": true, "checks": [{"name": "records", "ok": true}]}'
    ill = b'{"ready": false, "checks": [{"name": "store", "ok": false}, {"name": "api", "ok": true}]}'
    with _Health(good, 200) as port:
        assert only(machine.serve, patient(api_port=port)).verdict is Verdict.OK
    with _Health(ill, 503) as port:
        told = only(machine.serve, patient(api_port=nowhere, health_port=port))
        assert told.verdict is Verdict.BAD
        assert told.what.endswith("do not work: store")


# The records


def test_records_are_there_and_of_this_version(patient: Make, ledger: Records, data: Path) -> None:
    assert only(keeping.records, patient()).verdict is Verdict.OK
    assert only(keeping.integrity, patient()).verdict is Verdict.OK
    for revision, verdict in (("0001", "warn"), ("9999", "bad")):
        with ledger.engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": revision})
        assert only(keeping.records, patient()).verdict == verdict


def test_tables_of_an_earlier_version_are_no_matter_of_the_other_checks(
    patient: Make, ledger: Records, data: Path
) -> None:
    """Before an upgrade, and before the first setup of a server: one line says so, and none fails."""
    with ledger.engine.begin() as connection:
        connection.execute(text("ALTER TABLE journal_positions DROP COLUMN received"))
    assert "the check itself failed" in only(flowing.waiting, patient()).what
    with ledger.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0005'"))
    assert only(keeping.records, patient()).verdict is Verdict.WARN
    assert only(flowing.waiting, patient()).what.endswith("see records")
    ledger.close()
    (data / "records.sqlite").unlink()
    with closing(sqlite3.connect(data / "records.sqlite")) as empty:
        empty.execute("CREATE TABLE something (else_ TEXT)")
    for check in (flowing.waiting, flowing.delivery, flowing.outbox, keeping.register):
        assert only(check, patient()).verdict is Verdict.SKIP


def test_records_that_are_lost_or_broken_are_bad_and_none_yet_is_not(patient: Make, data: Path) -> None:
    assert only(keeping.records, patient()).verdict is Verdict.SKIP
    (data / "readings.duckdb").write_text("")
    assert "is missing, though readings" in only(keeping.records, patient()).what
    assert only(flowing.outbox, patient()).verdict is Verdict.SKIP
    (data / "records.sqlite").write_bytes(b"no database" * 1000)
    assert only(keeping.records, patient()).verdict is Verdict.BAD
    assert not (data / "records.sqlite-wal").exists()


def test_a_page_that_was_overwritten_is_found(patient: Make, data: Path) -> None:
    records = fresh_records(data)
    with records.write() as session:
        session.add_all(_unusable(n, "no JSON", NOW_MS) for n in range(1, 400))
    records.close()
    file = data / "records.sqlite"
    raw = bytearray(file.read_bytes())
    page = raw.index(b"no JSON") // 4096 * 4096
    raw[page : page + 64] = b"\xff" * 64
    file.write_bytes(raw)
    told = only(keeping.integrity, patient())
    assert told.verdict is Verdict.BAD
    assert "restore" in told.do


def test_the_end_of_the_audit_trail_verifies_and_an_alteration_is_found(patient: Make, ledger: Records) -> None:
    with ledger.write() as session:
        for n in range(5):
            change = Change(role=Role.VIEWER, stations=(), display_name=None, password=None)
            add_user(session, f"u{n}", change, by="test", now_ms=NOW_MS)
    assert only(keeping.audit, patient()).verdict is Verdict.OK
    assert only(keeping.audit, patient(deep=True)).verdict is Verdict.OK
    with ledger.engine.begin() as connection:
        connection.execute(text("UPDATE audit SET who = 'nobody' WHERE seq = 3"))
    for deep in (False, True):
        told = only(keeping.audit, patient(deep=deep))
        assert told.verdict is Verdict.BAD
        assert "entry 3" in told.what
    with ledger.engine.begin() as connection:
        connection.execute(text("DELETE FROM audit WHERE seq > 3"))
    assert only(keeping.audit, patient()).verdict is Verdict.BAD


def _points(**more: Any) -> list[PointRow]:
    return [
        PointRow(f"s{station}-{room}", f"s{station}-b", f"s{station}", RoomClass.APARTMENT, **more)
        for station in (1, 2)
        for room in (1, 2)
    ]


def test_there_is_a_register_in_force_and_somebody_can_sign_in(patient: Make, ledger: Records) -> None:
    assert only(keeping.register, patient()).verdict is Verdict.WARN
    assert only(keeping.users, patient()).verdict is Verdict.WARN
    with ledger.write() as session:
        import_register(session, _points(), "points.csv", "0" * 64, NOW_MS)
        change = Change(role=Role.VIEWER, stations=(), display_name=None, password="correct horse battery")  # noqa: S106
        add_user(session, "a", change, by="test", now_ms=NOW_MS)
    assert only(keeping.register, patient()).what == "4 points of 2 stations are in force"
    assert only(keeping.users, patient()).verdict is Verdict.OK


FACTS = {
    "server_version": "16.1",
    "server_version_num": "160001",
    "max_connections": "100",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "in_use": "10",
    "role_limit": "-1",
    "now_ms": str(NOW_MS),
}


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        ({}, "ok"),
        ({"server_version_num": "120001"}, "warn"),
        ({"fsync": "off"}, "bad"),
        ({"synchronous_commit": "off"}, "bad"),
        ({"in_use": "85"}, "warn"),
        ({"in_use": "96"}, "bad"),
        ({"role_limit": "5"}, "warn"),
    ],
)
def test_postgresql_is_judged_by_what_it_says_of_itself(facts: dict[str, str], verdict: str) -> None:
    assert worst(list(keeping.judge_postgresql(FACTS | facts))) == verdict


def test_postgresql_is_looked_at_and_its_absence_is_told(patient: Make, postgres: str) -> None:
    home = postgres.partition("host=")[2]
    owner = postgres.partition("//")[2].partition("@")[0]
    address = new_database(postgres)
    name = make_url(address).database
    records = Records(address)
    records.migrate()
    records.close()
    well = patient(records=f"postgresql://{owner}@/{name}?host={home}", store="influxdb1")
    assert [one.verdict for one in seen(keeping.records, well)] == [Verdict.OK]
    assert only(keeping.integrity, well).verdict is Verdict.SKIP
    said = seen(keeping.postgresql, well)
    assert [one.verdict for one in said] == [Verdict.BAD, Verdict.OK, Verdict.OK]
    assert said[0].what.startswith("fsync is off")  # as the tests' own server is set up, for speed
    for check in (flowing.quarantine, flowing.delivery, flowing.outbox, flowing.clocks, keeping.audit, keeping.users):
        assert only(check, well).verdict in {Verdict.OK, Verdict.WARN}
    ill = patient(records=f"postgresql://{owner}@/none?host={home}")
    assert only(keeping.records, ill).verdict is Verdict.BAD
    assert "postgresql" not in only(keeping.postgresql, ill).what
    gone = patient(records=f"postgresql://h@127.0.0.1:{free_port()}/h")
    assert only(keeping.records, gone).verdict is Verdict.BAD


# The store of readings


def _batch(count: int = 3) -> ReadingBatch:
    nan = np.full(count, np.nan)
    return ReadingBatch(
        source=["a"] * count,
        time_ms=NOW_MS - np.arange(count, dtype=np.int64),
        temp_c=np.full(count, 20.0),
        humidity_pct=nan,
        battery=nan,
        rssi_dbm=nan,
        flags=[""] * count,
        arrived_ms=np.full(count, NOW_MS),
        worker="ingest-1",
        sequence=np.arange(1, count + 1, dtype=np.int64),
        position=np.zeros(count, np.int32),
    )


def _delivered(records: Records, count: int = 3, *, last: int = 3, worker: str = "ingest-1") -> None:
    """Record that messages were stored, as ingest does."""
    done = Delivery(worker, 1, last)
    done.messages["s1-1"] = MessageTally(decoded=last)
    done.readings["s1-1"] = ReadingTally(decoded=last, stored=last)
    done.touched["s1-1"] = (NOW_MS - count, NOW_MS, count)
    with records.write() as session:
        commit_delivery(session, done)


def test_the_embedded_store_is_opened_only_while_nobody_holds_it(patient: Make, ledger: Records, data: Path) -> None:
    assert only(readings.store, patient()).verdict is Verdict.OK
    assert only(readings.emptiness, patient()).what == "nothing was stored yet"
    _delivered(ledger)
    assert only(readings.emptiness, patient()).verdict is Verdict.BAD
    store = EmbeddedReadings(data / "readings.duckdb")
    store.write(_batch())
    store.close()
    assert only(readings.emptiness, patient()).verdict is Verdict.OK
    assert "can be opened" in only(readings.store, patient()).what
    with Journal(data / "journal" / "ingest-1", limit_bytes=1 << 24):
        assert "`serve` holds it" in only(readings.store, patient()).what
        assert only(readings.emptiness, patient()).verdict is Verdict.SKIP
    assert only(readings.rights, patient()).verdict is Verdict.SKIP
    (data / "readings.duckdb").write_bytes(b"nonsense" * 4096)
    assert only(readings.store, patient()).verdict is Verdict.BAD


@pytest.fixture(scope="module")
def influx1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx1]:
    """Give an InfluxDB 1.x that asks who comes: `both` may do everything, `reader` may read."""
    with influxdb1(tmp_path_factory.mktemp("influx1"), auth=True) as server:
        ask = {"u": "root", "p": OPENED}
        for statement in (
            f"CREATE USER root WITH PASSWORD '{OPENED}' WITH ALL PRIVILEGES",
            f'CREATE DATABASE "{DATABASE}"',
            'CREATE DATABASE "short" WITH DURATION 240h NAME "ten_days"',
            f"CREATE USER both WITH PASSWORD '{OPENED}'",
            f'GRANT ALL ON "{DATABASE}" TO both',
            'GRANT ALL ON "short" TO both',
            f"CREATE USER reader WITH PASSWORD '{OPENED}'",
            f'GRANT READ ON "{DATABASE}" TO reader',
        ):
            answer = httpx.post(f"{server.url}/query", params={**ask, "q": statement}).raise_for_status().json()
            assert "error" not in answer["results"][0], answer
        yield server


@pytest.fixture(scope="module")
def influx2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx2]:
    with influxdb2(tmp_path_factory.mktemp("influx2")) as server:
        yield server


INFLUX = [readings.store, readings.rights, readings.retention]


def _look_at_influxdb_1(patient: Make, influx1: Influx1, tmp_path: Path) -> None:
    known = {"store": "influxdb1", "influx_url": influx1.url, "influx_password_file": secret(tmp_path)}
    well = patient(**known, influx_user="both")
    assert [worst(seen(check, well)) for check in INFLUX] == [Verdict.OK] * 3
    reader = patient(**known, influx_user="reader", broker=f"mqtt://{HOST}")
    told = only(readings.rights, reader)
    assert told.verdict is Verdict.BAD
    assert "may not write" in told.what
    assert "need not write" in only(readings.rights, patient(**known, influx_user="reader")).what
    stranger = patient(**known, influx_user="stranger")
    assert "does not know us" in seen(readings.rights, stranger)[0].what
    assert only(readings.retention, stranger).verdict is Verdict.SKIP
    elsewhere = patient(**known, influx_user="both", influx_bucket="elsewhere")
    assert "elsewhere" in seen(readings.rights, elsewhere)[0].what
    assert worst(seen(readings.rights, elsewhere)) is Verdict.BAD
    short = patient(**known, influx_user="both", influx_bucket="short")
    assert only(readings.retention, short).verdict is Verdict.BAD
    assert (
        only(readings.retention, patient(**known, influx_user="both", influx_bucket="short", late_days=1)).verdict
        == "warn"
    )
    other = patient(store="influxdb2", influx_url=influx1.url, influx_token_file=secret(tmp_path))
    assert "influxdb1" in seen(readings.store, other)[0].do


def test_influxdb_that_has_lost_the_readings_or_does_not_run_is_bad(
    patient: Make, influx1: Influx1, ledger: Records, tmp_path: Path
) -> None:
    known = {"store": "influxdb1", "influx_user": "both", "influx_password_file": secret(tmp_path)}
    well = patient(**known, influx_url=influx1.url)
    _delivered(ledger)
    assert only(readings.emptiness, well).verdict is Verdict.BAD
    line = f"{READING.name},source=a temperature_c=20 1"
    asked = {"db": DATABASE, "u": "both", "p": OPENED}
    assert httpx.post(f"{influx1.url}/write", params=asked, content=line).status_code == 204
    assert only(readings.emptiness, well).verdict is Verdict.OK
    gone = patient(**known, influx_url=f"http://{HOST}:{free_port()}")
    told = only(readings.store, gone)
    assert told.verdict is Verdict.BAD
    assert "nothing listens there" in told.what
    for check in (readings.rights, readings.retention, readings.emptiness):
        assert only(check, gone).verdict is Verdict.SKIP


def _look_at_influxdb_2(patient: Make, influx2: Influx2, ledger: Records, tmp_path: Path) -> None:
    known = {"store": "influxdb2", "influx_url": influx2.url}
    well = patient(**known, influx_token_file=secret(tmp_path, TOKEN))
    assert [worst(seen(check, well)) for check in INFLUX] == [Verdict.OK] * 3
    _delivered(ledger)
    assert only(readings.emptiness, well).verdict is Verdict.BAD
    influx2.write([f"{READING.name},source=a temperature_c=20 1"])
    assert only(readings.emptiness, well).verdict is Verdict.OK
    owner = influx2.call("GET", "orgs", params={"org": ORGANIZATION}).json()["orgs"][0]["id"]
    bucket = influx2.call("GET", "buckets", params={"name": DATABASE}).json()["buckets"][0]["id"]
    resource = {"type": "buckets", "orgID": owner, "id": bucket}
    known["broker"] = f"mqtt://{HOST}"
    for actions, verdict in ((["read"], Verdict.BAD), (["read", "write"], Verdict.OK)):
        allowed = [{"action": action, "resource": resource} for action in actions]
        made = influx2.call("POST", "authorizations", json={"orgID": owner, "permissions": allowed}).json()
        told = seen(readings.rights, patient(**known, influx_token_file=secret(tmp_path, made["token"])))
        assert worst(told) is verdict, told
        no_ingest = {**known, "broker": "embedded", "influx_token_file": secret(tmp_path, made["token"])}
        assert only(readings.rights, patient(**no_ingest)).verdict is Verdict.OK
        assert (
            only(readings.retention, patient(**known, influx_token_file=secret(tmp_path, made["token"]))).verdict
            == "ok"
        )
    stranger = patient(**known, influx_token_file=secret(tmp_path, "no-token"))
    assert worst(seen(readings.rights, stranger)) is Verdict.BAD
    short = {"retentionRules": [{"type": "expire", "everySeconds": 864_000}]}
    influx2.call("POST", "buckets", json={"orgID": owner, "name": "short", **short})
    ten_days = patient(**known, influx_token_file=secret(tmp_path, TOKEN), influx_bucket="short")
    assert only(readings.retention, ten_days).verdict is Verdict.BAD


@pytest.mark.parametrize("version", ["1", "2"] if has_influxdb("2") else ["1"])
def test_influxdb_is_looked_at_with_the_rights_that_we_have(
    version: str, patient: Make, ledger: Records, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if version == "1":
        _look_at_influxdb_1(patient, request.getfixturevalue("influx1"), tmp_path)
    else:
        _look_at_influxdb_2(patient, request.getfixturevalue("influx2"), ledger, tmp_path)


# The broker

BROKER = [broker.broker, broker.session, broker.subscription]


def test_a_broker_that_lets_us_in_keeps_sessions_and_grants_our_topics(
    patient: Make, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("broker")
    authority = Authority(folder / "ca")
    lines = [tls_settings(authority, *authority.sign("broker", days=20)), password_settings(folder, ingest=OPENED)]
    acl = folder / "acl"
    acl.write_text("user ingest\ntopic read heat/#\n")
    lines += [f"acl_file {acl}", "persistent_client_expiration 14d"]
    with running_mosquitto(folder, "\n".join(lines)) as server:
        known = {"broker": f"mqtts://ingest@{HOST}:{server.port}", "broker_ca": authority.cert}
        conf = folder / "mosquitto.conf"
        well = patient(**known, broker_password_file=secret(folder), conf=conf)
        for check in BROKER:
            told = only(check, well)
            assert told.verdict is Verdict.OK, told
        shared = patient(**known, broker_password_file=secret(folder), shared_group="g")
        assert "$share/g-doctor/" in only(broker.subscription, shared).what
        by_name = [(one.verdict, one.what) for one in seen(machine.certificates, well)]
        assert [verdict for verdict, what in by_name if "the certificate of the broker" in what] == [Verdict.WARN]
        wrong = patient(**known, broker_password_file=secret(folder, "close-sesame"))
        told = only(broker.broker, wrong)
        assert told.verdict is Verdict.BAD
        assert "wrong password" in told.what
        assert [only(check, wrong).verdict for check in BROKER[1:]] == [Verdict.SKIP] * 2
        acl.write_text("user ingest\ntopic read heat/one/#\n")
        assert "holds its messages back" in only(broker.subscription, well).what
        strange = Authority(folder / "strange")
        untrusted = patient(**known | {"broker_ca": strange.cert}, broker_password_file=secret(folder))
        assert "no authority that is known here" in only(broker.broker, untrusted).what
        log = (folder / "mosquitto.log").read_text()
        assert " as ingest-1 " not in log
        assert "ingest-1-doctor" in log
    assert only(broker.broker, well).verdict is Verdict.BAD
    embedded = patient()
    assert [only(check, embedded).verdict for check in BROKER] == [Verdict.SKIP] * 3


GOOD = """
persistence true
persistence_location /var/lib/mosquitto/
autosave_on_changes true
autosave_interval 1000
max_queued_messages 1000000
max_inflight_messages 1000
queue_qos0_messages true
max_packet_size 1048576
set_tcp_nodelay true
allow_anonymous false
password_file /etc/mosquitto/passwd
acl_file /etc/mosquitto/acl
listener 1883 127.0.0.1
listener 8883
cafile /etc/mosquitto/ca.crt
certfile /etc/mosquitto/server.crt
keyfile /etc/mosquitto/server.key
tls_version tlsv1.2
"""


@pytest.mark.parametrize(
    ("was", "now", "verdict", "says"),
    [
        ("", "", "ok", "as they should be"),
        ("persistence true\n", "", "bad", "gone after a restart"),
        ("autosave_interval 1000", "autosave_interval 1800", "bad", "autosave_interval is 1800"),
        ("autosave_on_changes true", "", "bad", "(not set)"),
        ("persistence_location /var/lib/mosquitto/", "", "warn", "persistence_location"),
        ("1000000", "1000", "bad", "line 6: max_queued_messages is 1000: "),
        ("max_queued_messages 1000000", "max_queued_messages 0", "bad", "some versions drop everything"),
        ("max_inflight_messages 1000", "max_inflight_messages 20", "warn", "small groups"),
        ("max_inflight_messages 1000", "max_inflight_messages 0", "ok", ""),
        ("queue_qos0_messages true", "queue_qos0_messages false", "warn", "QoS 0"),
        ("max_packet_size 1048576", "max_packet_size 1000", "warn", "batch"),
        ("max_packet_size 1048576", "", "warn", "fill the memory"),
        ("set_tcp_nodelay true", "", "warn", "40 ms"),
        ("allow_anonymous false", "allow_anonymous true", "bad", "anybody may come in on listener 1883, 8883"),
        ("password_file /etc/mosquitto/passwd", "", "warn", "nobody is asked for a password"),
        ("acl_file /etc/mosquitto/acl", "", "warn", "topics of all"),
        ("acl_file /etc/mosquitto/acl", "plugin /usr/lib/a.so", "ok", ""),
        ("cafile /etc/mosquitto/ca.crt\ncertfile /etc/mosquitto/server.crt\n", "", "warn", "without TLS"),
        ("tls_version tlsv1.2", "tls_version tlsv1.1", "bad", "tlsv1.1 is broken"),
        ("set_tcp_nodelay true", "set_tcp_nodelay true\npersistent_client_expiration 2d", "bad", "forgotten"),
        ("set_tcp_nodelay true", "set_tcp_nodelay true\npersistent_client_expiration 2m", "ok", ""),
        ("set_tcp_nodelay true", "set_tcp_nodelay true\nmax_queued_bytes 1000000", "bad", "so many bytes"),
        ("set_tcp_nodelay true", "set_tcp_nodelay true\nmemory_limit 1000000", "warn", "memory_limit"),
        ("set_tcp_nodelay true", "set_tcp_nodelay true\npersistence", "warn", "no option with a value"),
        ("tls_version tlsv1.2", "use_username_as_clientid true", "bad", "one user, one session"),
    ],
)
def test_mosquittos_configuration_is_judged_line_by_line(
    patient: Make, tmp_path: Path, was: str, now: str, verdict: str, says: str
) -> None:
    conf = tmp_path / "mosquitto.conf"
    assert was in GOOD
    conf.write_text(GOOD.replace(was, now) if was else GOOD)
    said = seen(broker.configuration, patient(conf=conf))
    assert worst(said) == verdict, said
    assert says in said[0].what
    assert len(said) == 1, said


def test_a_configuration_is_read_with_what_it_includes_and_by_listener(patient: Make, tmp_path: Path) -> None:
    parts = tmp_path / "conf.d"
    parts.mkdir()
    (parts / "b.conf").write_text("listener 1884 127.0.0.1\nallow_anonymous true\n")
    (parts / "a.conf").write_text(f"per_listener_settings true\n{GOOD}")
    (parts / "c.txt").write_text("allow_anonymous true\n")
    conf = tmp_path / "mosquitto.conf"
    conf.write_text(f"# ours\ninclude_dir {parts}\n")
    said = seen(broker.configuration, patient(conf=conf))
    assert [one.verdict for one in said if "anybody may come in" in one.what] == [Verdict.WARN]
    assert only(broker.configuration, patient(conf=tmp_path / "none")).verdict is Verdict.BAD
    conf.write_text(f"include_dir {tmp_path}\n")
    assert "includes itself" in only(broker.configuration, patient(conf=conf)).what
    conf.write_text(f"{GOOD}use_username_as_clientid true\n")
    assert only(broker.broker, patient(conf=conf, broker=f"mqtt://{HOST}")).verdict is Verdict.SKIP
    conf.write_text(GOOD.partition("listener")[0])
    assert "only this machine reaches it" in only(broker.configuration, patient(conf=conf)).what
    assert only(broker.configuration, patient()).verdict is Verdict.SKIP


# What flows


def _messages(count: int, arrived_ms: int = NOW_MS) -> list[Message]:
    return [Message(b"heat/s1/b/p/reading", b'{"t": 20}' * 50, arrived_ms) for _ in range(count)]


def _journal(folder: Path, count: int = 5, *, arrived_ms: int = NOW_MS, segment_bytes: int = 1 << 20) -> None:
    with Journal(folder, limit_bytes=1 << 30, segment_bytes=segment_bytes) as journal:
        messages = _messages(count, arrived_ms)
        for first in range(0, count, 10):
            journal.append(messages[first : first + 10])


def test_a_journal_is_looked_at_without_being_held(patient: Make, ledger: Records, data: Path) -> None:
    folder = data / "journal" / "ingest-1"
    assert only(flowing.journal, patient()).verdict is Verdict.SKIP
    with Journal(folder, limit_bytes=1 << 30) as journal:
        journal.append(_messages(5))
        assert only(flowing.journal, patient()).what.startswith("message 5 is the last")
        journal.append(_messages(1))
    _delivered(ledger)
    assert only(flowing.delivery, patient()).verdict is Verdict.OK
    before = tree(folder)
    with (next(folder.glob("*.journal"))).open("ab") as file:
        file.write(b"\xf5HWR half")
    told = seen(flowing.journal, patient())
    assert [one.verdict for one in told] == [Verdict.OK] * 2
    assert "half written" in told[1].what
    assert tree(folder).keys() == before.keys()
    for more, verdict in ((1200, Verdict.WARN), (900, Verdict.BAD)):
        _journal(folder, more)
        assert seen(flowing.journal, patient(journal_limit_mb=1))[0].verdict is verdict


def test_a_damaged_journal_is_found_in_its_newest_segment_and_deep_in_every_one(
    patient: Make, ledger: Records, data: Path
) -> None:
    folder = data / "journal" / "ingest-1"
    _journal(folder, 90, segment_bytes=12_000)
    first, *_, newest = sorted(folder.glob("*.journal"))
    _spoil(first)
    assert only(flowing.journal, patient()).verdict is Verdict.OK
    told = only(flowing.journal, patient(deep=True))
    assert told.verdict is Verdict.BAD
    assert first.name in told.what
    _spoil(newest)
    assert newest.name in only(flowing.journal, patient()).what
    newest.write_bytes(b"no journal")
    assert only(flowing.journal, patient()).verdict is Verdict.BAD


def test_a_journal_at_work_is_never_taken_for_a_damaged_one(data: Path) -> None:
    folder, done = data / "journal" / "w", threading.Event()

    def work() -> None:
        with Journal(folder, limit_bytes=1 << 30, segment_bytes=20_000) as journal:
            while not done.is_set():
                journal.forget(journal.append(_messages(20)) - 100)

    at_work = Thread(target=work)
    at_work.start()
    try:
        wait_for(lambda: inspect(folder) is not None)
        before = 0
        for whole in [True, False] * 40:
            now = inspect(folder, whole=whole)
            assert now is not None
            assert not now.damage
            assert now.last >= before
            before = now.last
    finally:
        done.set()
        at_work.join()
    assert before > 0


def _spoil(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[60] ^= 0xFF
    path.write_bytes(raw)


def test_a_segment_that_is_missing_is_found_deep(patient: Make, ledger: Records, data: Path) -> None:
    folder = data / "journal" / "ingest-1"
    _journal(folder, 90, segment_bytes=12_000)
    sorted(folder.glob("*.journal"))[1].unlink()
    assert only(flowing.journal, patient(deep=True)).verdict is Verdict.BAD


def test_a_journal_that_is_lost_is_bad_where_the_records_know_of_it(patient: Make, ledger: Records) -> None:
    _delivered(ledger)
    assert "is gone, though 3 messages" in only(flowing.journal, patient()).what


def test_messages_that_wait_are_told_with_how_long_they_do(patient: Make, ledger: Records, data: Path) -> None:
    folder = data / "journal" / "ingest-1"
    _journal(folder, 3)
    _journal(folder, 4, arrived_ms=NOW_MS - 20 * MINUTE_MS)
    _delivered(ledger)
    with ledger.write() as session:
        tell_received(session, "ingest-2", 7)
    mine, other = seen(flowing.waiting, patient(now_ms=NOW_MS))
    assert (mine.verdict, mine.what) == (Verdict.BAD, "ingest-1: 4 messages wait, the first for 20 min")
    assert other.what == "ingest-2: 7 messages wait"
    for minutes, verdict in ((0, "ok"), (3, "warn"), (15, "bad")):
        assert flowing.judge_waiting("w", 1, NOW_MS - minutes * MINUTE_MS, NOW_MS).verdict == verdict
    assert flowing.judge_waiting("w", 0, None, NOW_MS).verdict is Verdict.OK


def test_journals_that_nobody_stores_are_named(patient: Make, ledger: Records, data: Path) -> None:
    assert only(flowing.other_journals, patient()).verdict is Verdict.OK
    _journal(data / "journal" / "old", 2)
    told = only(flowing.other_journals, patient())
    assert told.verdict is Verdict.BAD
    assert "2 messages wait" in told.what
    assert "worker = 'old'" in told.do


def test_roles_are_compared_with_the_clock(patient: Make, ledger: Records) -> None:
    assert only(flowing.roles, patient()).verdict is Verdict.WARN
    with ledger.write() as session:
        advance(session, "analytics", 0, NOW_MS - MINUTE_MS, None)
        advance(session, "dispatch", 0, NOW_MS - HOUR_MS, None)
    said = {one.what.partition(" ")[0]: one.verdict for one in seen(flowing.roles, patient())}
    assert said == {"analytics": Verdict.OK, "dispatch": Verdict.BAD}
    assert flowing.judge_lag("feed", 8 * MINUTE_MS, MINUTE_MS).verdict is Verdict.WARN
    assert flowing.judge_lag("rates", 2 * HOUR_MS, HOUR_MS).verdict is Verdict.OK
    assert only(flowing.roles, patient(clock="replay")).verdict is Verdict.SKIP


def _unusable(sequence: int, reason: str, arrived_ms: int) -> Quarantine:
    of = {"worker": "w", "sequence": sequence, "position": -1, "topic": "heat/x", "payload": b"?"}
    return Quarantine(**of, reason=reason, arrived_ms=arrived_ms)


def test_a_quarantine_that_grows_is_told_with_its_reasons(patient: Make, ledger: Records) -> None:
    assert only(flowing.quarantine, patient()).verdict is Verdict.OK
    with ledger.write() as session:
        session.add_all(_unusable(n, "no JSON", NOW_MS - DAY_MS * 3) for n in range(1, 71))
        session.add_all(_unusable(n, "no JSON", NOW_MS - HOUR_MS) for n in range(101, 106))
    assert only(flowing.quarantine, patient()).what == "5 within a day, 10 a day before: 5 no JSON"
    with ledger.write() as session:
        session.add_all(_unusable(n, "no time", NOW_MS - HOUR_MS) for n in range(201, 401))
    told = only(flowing.quarantine, patient())
    assert told.verdict is Verdict.WARN
    assert told.what.endswith("200 no time; 5 no JSON")


def test_an_identity_that_does_not_hold_is_bad(patient: Make, ledger: Records) -> None:
    _delivered(ledger)
    assert only(flowing.delivery, patient()).verdict is Verdict.OK
    with ledger.engine.begin() as connection:
        connection.execute(text("UPDATE reading_counts SET stored = stored - 1"))
    told = only(flowing.delivery, patient())
    assert told.verdict is Verdict.BAD
    assert "readings decoded 3, stored 2" in told.what


def test_notifications_that_nobody_takes_are_told_with_their_age_and_why(patient: Make, ledger: Records) -> None:
    assert only(flowing.outbox, patient()).verdict is Verdict.OK
    for age_ms, verdict in ((MINUTE_MS, "ok"), (HOUR_MS, "warn"), (3 * HOUR_MS, "bad")):
        with ledger.write() as session:
            of = {"key": str(age_ms), "kind": "ticket", "recipient": "dispatch", "text": "…", "error": "no route"}
            session.add(OutboxRow(**of, created_ms=NOW_MS - age_ms))
        told = only(flowing.outbox, patient())
        assert told.verdict == verdict
        assert told.what.endswith("no route")


def test_deadlines_that_have_passed_are_counted_by_rule(patient: Make, ledger: Records) -> None:
    assert only(flowing.clocks, patient()).verdict is Verdict.OK
    with ledger.engine.begin() as connection:
        ticket = {"kind": "heat", "state": "open", "emergency": False, "scope": "building", "station_id": "s1"}
        ticket |= {"building_id": "b", "rule": "R11", "opened_ms": 1, "cause_start_ms": 1, "evidence": "[]"}
        ticket |= {"responsible": "", "sent": "", "subject": "", "contact": ""}
        columns = ", ".join(ticket)
        values = ", ".join(f":{name}" for name in ticket)
        connection.execute(text(f"INSERT INTO tickets (id, {columns}) VALUES (1, {values})"), ticket)  # noqa: S608
        clock = "INSERT INTO ticket_clocks (ticket_id, step, rule, source, due_ms, told, off) VALUES "
        connection.execute(text(f"{clock} (1, 'contact', 'R16', '', {NOW_MS - 1}, 0, 0)"))
        connection.execute(text(f"{clock} (1, 'finish', 'R18', '', {NOW_MS + HOUR_MS}, 0, 0)"))
    assert only(flowing.clocks, patient()).what == "deadlines passed: 1 of R16"


def test_stations_that_are_silent_are_named(patient: Make, ledger: Records) -> None:
    assert only(flowing.stations, patient()).verdict is Verdict.SKIP
    with ledger.write() as session:
        import_register(session, _points(), "points.csv", "0" * 64, NOW_MS)
    _delivered(ledger)
    never, heard = seen(flowing.stations, patient())
    assert (never.verdict, never.what) == (Verdict.WARN, "1 not heard lately or ever: s2")
    assert heard.what.startswith("1 of 2 are heard")
    hours = {"s1": NOW_MS, "s2": NOW_MS - 3 * HOUR_MS, "s3": NOW_MS - 9 * HOUR_MS}
    for named, verdict in ((["s1"], "ok"), (["s1", "s2"], "warn"), (["s1", "s2", "s3"], "bad")):
        assert worst(list(flowing.judge_stations({name: hours[name] for name in named}, named, NOW_MS))) == verdict


# All of it


def test_one_check_that_fails_or_never_ends_stops_no_other(patient: Make) -> None:
    def hangs(_: Patient) -> list[Said]:
        time.sleep(5)
        return [ok("too late")]

    def raises(error: Exception) -> Look:
        def fail(_: Patient) -> list[Said]:
            raise error

        return fail

    errors = (BadInput("x", where="y"), Unavailable("p", "w"), Damaged("x", where="y"), ZeroDivisionError("a\nb"))
    wanted = [Check("hangs", hangs, timeout_s=0.05), *(Check(str(n), raises(one)) for n, one in enumerate(errors))]
    wanted += [Check("unseen", raises(UnseenError("w"))), Check("last", lambda _: [ok("fine")])]
    told = [(check.name, [one.verdict for one in said]) for check, said in examine(patient(), wanted)]
    assert [verdicts for _, verdicts in told] == [["bad"]] * 5 + [["skip"], ["ok"]]
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert checks.CHECKS[0].name == "settings"


def _lines_of(out: str, check: str) -> Iterator[str]:
    return (line for line in out.splitlines() if line[6:].startswith(f"{check}: "))


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", *map(str, arguments)])
    said = capsys.readouterr()
    assert not said.err
    return int(str(ended.value.code)), said.out


def test_the_command_says_all_in_order_changes_nothing_and_ends_with_1_where_one_is_bad(
    capsys: pytest.CaptureFixture[str], ledger: Records, data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEATWATCH_API_PORT", str(free_port()))
    _journal(data / "journal" / "ingest-1", 3, arrived_ms=wall_clock())
    _delivered(ledger)
    with closing(EmbeddedReadings(data / "readings.duckdb")) as store:
        store.write(_batch())
    ledger.close()
    before = tree(tmp_path)
    code, out = run(capsys, "--data-dir", data)
    assert code == 1
    assert [line for line in out.splitlines() if line.startswith("BAD")] == [next(_lines_of(out, "serve"))]
    assert [line[6:].partition(":")[0] for line in out.splitlines()][:-1] == [check.name for check in CHECKS]
    assert tree(tmp_path) == before
    with Journal(data / "journal" / "ingest-1", limit_bytes=1 << 24):
        code, out = run(capsys, "--data-dir", data, "--json", "--deep")
    told = json.loads(out)
    assert (code, told["ok"]) == (0, True)
    assert {one["check"] for one in told["checks"]} == {check.name for check in CHECKS}
    Path("heatwatch.toml").write_text("api_port = -1\n")
    code, out = run(capsys, "--data-dir", data, "--only", "settings", "--only", "disk")
    assert code == 1
    assert out.splitlines()[0].startswith("BAD   settings: heatwatch.toml, line 1: api_port: ")
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--only", "nothing"])
    assert ended.value.code == 2
    assert "'nothing' is no check" in capsys.readouterr().err


def test_the_settings_that_are_wrong_keep_only_their_own_checks_from_looking(patient: Make) -> None:
    ill = patient(store="influxdb9", journal_limit_mb="much")
    assert worst(seen(machine.settings, ill)) is Verdict.BAD
    assert only(machine.disk, ill).verdict is Verdict.SKIP
    assert only(machine.data_folder, ill).verdict is Verdict.OK
    assert ill.settings.store is StoreKind.EMBEDDED
