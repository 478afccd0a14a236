"""mosquitto with the very configuration that is shipped: who comes in, and what each may write and read."""

import json
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner
from paho.mqtt.enums import MQTTProtocolVersion

from cli.doctoring.mosquitto import judge, may_read_all, read_config
from cli.doctoring.said import Verdict
from cli.secrets import secrets
from heatwatch.wire import gateway_topic, reading_topic, supply_topic
from tests.deploy.brokers import ACCESS, CONFIG, REFUSED, Broker, Caller, shipped_broker
from tests.deploy.composed import mounts, services
from tests.peers import HOST, wait_for

STATIONS = ("S1", "S2", "一号站")
ALL_TOPICS = "heat/#"
GROUP = services()["ingest"]["environment"]["HEATWATCH_SHARED_GROUP"]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with shipped_broker(tmp_path_factory.mktemp("broker"), STATIONS) as server:
        yield server


def came(ingest: Caller, *wanted: tuple[str, bytes]) -> bool:
    wait_for(lambda: len(ingest.got) >= len(wanted))
    return ingest.got == [*wanted]


def test_a_station_writes_its_own_topics_and_no_others_and_ingest_reads_all(broker: Broker) -> None:
    own = [reading_topic("S1", "b 2", "p/1"), gateway_topic("S1", "g"), supply_topic("S1"), supply_topic("S1", "b")]
    others = [
        reading_topic("S2", "b", "p"),
        gateway_topic("S2", "g"),
        supply_topic("S2"),
        "heat/_clock",
        "heat/_clock/done",
    ]
    others += ["heat/ingest/x", "heat", "other/S1/x", "heat/S11/b/p/reading", "$SYS/broker/uptime"]
    with Caller(broker, "ingest") as ingest, Caller(broker, "S1") as station:
        ingest.subscribe(ALL_TOPICS)
        assert {topic: station.publish(topic, b"no") for topic in others} == dict.fromkeys(others, REFUSED)
        assert REFUSED not in {station.publish(topic, b"1") for topic in own}
        assert came(ingest, *((topic, b"1") for topic in own))


def test_a_station_of_any_name_has_an_account_and_its_topics(broker: Broker) -> None:
    topic = reading_topic("一号站", "楼", "室")
    account = topic.split("/")[1]
    with Caller(broker, "ingest") as ingest, Caller(broker, account) as station:
        ingest.subscribe(ALL_TOPICS)
        assert station.publish(reading_topic("S1", "b", "p")) == REFUSED
        station.publish(topic, b"1")
        assert came(ingest, (topic, b"1"))


def test_over_mqtt_3_what_is_forbidden_is_confirmed_and_goes_nowhere(broker: Broker) -> None:
    with Caller(broker, "ingest") as ingest, Caller(broker, "S1", version=MQTTProtocolVersion.MQTTv311) as station:
        ingest.subscribe(ALL_TOPICS)
        station.publish(reading_topic("S2", "b", "p"), b"no")
        station.publish(reading_topic("S1", "b", "p"), b"yes")
        assert came(ingest, (reading_topic("S1", "b", "p"), b"yes"))


@pytest.mark.parametrize("topic", ["heat/#", "heat/S2/#", "heat/S1/#", f"$share/{GROUP}/heat/#", "#", "$SYS/#"])
def test_a_station_reads_nothing_not_even_what_is_retained(broker: Broker, topic: str) -> None:
    with Caller(broker, "S2") as other, Caller(broker, "S1") as station, Caller(broker, "ingest") as ingest:
        other.publish("heat/S2/kept", b"old", retain=True)
        ingest.subscribe("heat/S2/#")
        station.subscribe(topic)
        other.publish("heat/S2/b/p/reading", b"new")
        station.publish("heat/S1/b/p/reading", b"own")
        wait_for(lambda: ("heat/S2/b/p/reading", b"new") in ingest.got)
        ingest.subscribe("heat/S1/#")
        station.publish("heat/S1/b/p/reading", b"last")
        wait_for(lambda: ("heat/S1/b/p/reading", b"last") in ingest.got)
        assert station.got == []
        other.publish("heat/S2/kept", b"", retain=True)


@pytest.mark.parametrize(("user", "password"), [("S1", "wrong"), ("S3", "any"), ("", None), ("ingest", "wrong")])
def test_who_is_not_known_is_not_let_in(broker: Broker, user: str, password: str | None) -> None:
    with Caller(broker, user, password) as stranger:
        assert stranger.answer.is_failure
        assert stranger.answer.value == REFUSED


def test_the_broker_shows_a_certificate_that_its_authority_signed(broker: Broker) -> None:
    context = ssl.create_default_context(cafile=str(broker.ca))
    for name in ("mqtt.example.org", "mosquitto", "localhost", HOST):
        with _connection(broker) as plain, context.wrap_socket(plain, server_hostname=name) as shown:
            assert shown.version() in {"TLSv1.2", "TLSv1.3"}
    with pytest.raises(ssl.SSLCertVerificationError, match="ostname"), _connection(broker) as plain:
        context.wrap_socket(plain, server_hostname="other.example.org")
    with pytest.raises(ssl.SSLCertVerificationError), _connection(broker) as plain:
        ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")


def _connection(broker: Broker) -> socket.socket:
    return socket.create_connection((HOST, broker.tls_port), timeout=5)


def test_a_shared_subscription_is_allowed_to_ingest(broker: Broker) -> None:
    with Caller(broker, "ingest") as one, Caller(broker, "ingest") as two, Caller(broker, "S1") as station:
        one.subscribe(f"$share/{GROUP}/heat/#")
        two.subscribe(f"$share/{GROUP}/heat/#")
        for number in range(20):
            station.publish(reading_topic("S1", "b", "p"), b"%d" % number)
        wait_for(lambda: len(one.got) + len(two.got) >= 20)
        assert sorted(int(payload) for _, payload in one.got + two.got) == [*range(20)]
        assert min(len(one.got), len(two.got)) > 0


def test_the_share_of_a_worker_that_is_away_waits_for_it(broker: Broker) -> None:
    old, topics = MQTTProtocolVersion.MQTTv311, f"$share/{GROUP}/{ALL_TOPICS}"
    with Caller(broker, "ingest", name="away", clean=False, version=old) as away:
        away.subscribe(topics)
    with Caller(broker, "ingest") as here, Caller(broker, "S1") as station:
        here.subscribe(topics)
        for number in range(20):
            station.publish(reading_topic("S1", "b", "p"), b"%d" % number)
        with Caller(broker, "ingest", name="away", clean=False, version=old) as back:
            wait_for(lambda: len(here.got) + len(back.got) >= 20)
            assert sorted(int(payload) for _, payload in here.got + back.got) == [*range(20)]
            assert back.got
    with Caller(broker, "ingest", name="away", version=old):
        pass


def test_the_health_check_of_the_container_says_that_the_broker_is_well(broker: Broker) -> None:
    """Its words are those of `docker-compose.yml`; name and password are in no process list."""
    sub = shutil.which("mosquitto_sub")
    check = services()["mosquitto"]["healthcheck"]["test"]
    assert check[:2] == ["CMD", "mosquitto_sub"]
    (folder,) = {where for where in mounts(services()["mosquitto"]) if where == "/mosquitto/secrets"}
    assert services()["mosquitto"]["environment"]["XDG_CONFIG_HOME"] == folder
    with Caller(broker, "health") as health:
        health.subscribe("$SYS/#")
        wait_for(lambda: health.got)
        assert {topic for topic, _ in health.got} == {"$SYS/broker/uptime"}
        assert health.publish(reading_topic("S1", "b", "p")) == REFUSED
    if sub is not None:
        told = {**os.environ, "XDG_CONFIG_HOME": str(broker.folder / "secrets" / "mosquitto")}
        inner = [*check[1:], "-p", str(broker.inner_port)]
        done = subprocess.run(inner, env=told, capture_output=True, text=True, timeout=10, check=False)
        assert done.returncode == 0, done.stderr
        assert "second" in done.stdout


def test_the_simulated_town_writes_as_any_station_but_moves_no_clock(broker: Broker) -> None:
    with Caller(broker, "demo") as town:
        assert town.publish(reading_topic("S9", "b", "p")) != REFUSED
        assert town.publish("heat/_clock") == REFUSED


def test_a_new_password_and_a_new_certificate_are_taken_over_without_a_restart(broker: Broker) -> None:
    out = ["--out", str(broker.folder / "secrets"), "--json"]
    serial = _serial(broker)
    assert CliRunner().invoke(secrets, ["station", "S3", *out]).exit_code == 0
    assert CliRunner().invoke(secrets, ["renew", *out]).exit_code == 0
    word = json.loads(CliRunner().invoke(secrets, ["station", "S4", *out]).output)["passwords"]["S4"]
    with Caller(broker, "S4", word) as early:
        assert early.answer.is_failure
    broker.reload()
    wait_for(lambda: _serial(broker) != serial)
    with Caller(broker, "S4", word) as station:
        assert station.publish(reading_topic("S4", "b", "p")) != REFUSED


def test_while_ingest_gets_a_new_password_nothing_is_lost_if_the_broker_is_restarted(broker: Broker) -> None:
    """Were it told to read its files again, mosquitto 2.0 would drop what comes until ingest is back."""
    old, topic = MQTTProtocolVersion.MQTTv311, reading_topic("S1", "b", "p")
    with Caller(broker, "ingest", name="rotated", clean=False, version=old) as ingest:
        ingest.subscribe("heat/#")
    asked = ["make", "--rotate", "mqtt_ingest", "--out", str(broker.folder / "secrets")]
    done = CliRunner().invoke(secrets, asked)
    assert "restart the broker" in done.output
    assert "HUP" not in done.output
    broker.stop()
    broker.start()
    with Caller(broker, "S1") as station:
        station.publish(topic, b"meanwhile")
    word = (broker.folder / "secrets" / "mqtt_ingest").read_text().strip()
    with Caller(broker, "ingest", word, name="rotated", clean=False, version=old) as ingest:
        wait_for(lambda: (topic, b"meanwhile") in ingest.got)
    with Caller(broker, "ingest", word, name="rotated", version=old):
        pass
    broker.passwords = {**broker.passwords, "ingest": word}


def _serial(broker: Broker) -> str:
    context = ssl.create_default_context(cafile=str(broker.ca))
    with _connection(broker) as plain, context.wrap_socket(plain, server_hostname="localhost") as shown:
        return str((shown.getpeercert() or {})["serialNumber"])


@pytest.mark.parametrize("topics", [f"$share/{GROUP}/{ALL_TOPICS}", ALL_TOPICS])
def test_what_waits_for_ingest_survives_a_restart_and_is_more_than_the_default(broker: Broker, topics: str) -> None:
    """The containers' ingest shares its subscription, also when it is alone."""
    old = MQTTProtocolVersion.MQTTv311
    with Caller(broker, "ingest", name="waiting", clean=False, version=old) as ingest:
        ingest.subscribe(topics)
    with Caller(broker, "S1") as station:
        last = [station.client.publish(reading_topic("S1", "b", "p"), b"%d" % n, qos=1) for n in range(3_000)][-1]
        last.wait_for_publish(20)
    broker.stop()
    broker.start()
    with Caller(broker, "ingest", name="waiting", clean=False, version=old) as ingest:
        wait_for(lambda: len(ingest.got) >= 3_000, 20)
        assert [int(payload) for _, payload in ingest.got] == [*range(3_000)]
    with Caller(broker, "ingest", name="waiting", version=old):
        pass


def test_the_configuration_is_as_the_doctor_asks_for() -> None:
    config = read_config(CONFIG)
    assert [said.what for said in judge(config) if said.verdict is not Verdict.OK] == []
    assert may_read_all(ACCESS.read_text(encoding="utf-8"), "ingest")
    assert not may_read_all(ACCESS.read_text(encoding="utf-8"), "S1")


@pytest.mark.parametrize(
    ("option", "holds"),
    [
        ("persistence", lambda value: value == "true"),
        ("persistence_location", lambda value: value in {f"{where}/" for where in mounts(services()["mosquitto"])}),
        ("autosave_on_changes", lambda value: value == "true"),
        ("autosave_interval", lambda value: 0 < int(value) <= 1_000),
        ("max_queued_messages", lambda value: int(value) >= 1_000_000),
        ("max_inflight_messages", lambda value: int(value) > 20),
        ("set_tcp_nodelay", lambda value: value == "true"),
        ("allow_anonymous", lambda value: value == "false"),
        ("per_listener_settings", lambda value: value == "false"),
    ],
)
def test_queue_window_and_persistence_are_what_the_readme_asks_for(option: str, holds: Callable[[str], bool]) -> None:
    lines = [line.split(maxsplit=1) for line in CONFIG.read_text(encoding="utf-8").splitlines() if line.strip()]
    (value,) = [line[1] for line in lines if line[0] == option]
    assert holds(value)


def test_what_may_wait_fits_into_the_memory_of_the_container() -> None:
    lines = dict(line.split(" ", 1) for line in CONFIG.read_text(encoding="utf-8").splitlines() if " " in line)
    memory = services()["mosquitto"]["deploy"]["resources"]["limits"]["memory"]
    assert memory.endswith("g")
    assert int(lines["max_queued_bytes"]) * 2 <= int(memory[:-1]) << 30


def test_every_path_of_the_configuration_is_mounted() -> None:
    inside = set(mounts(services()["mosquitto"]))
    named = [
        word
        for line in CONFIG.read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
        for word in line.split()
    ]
    paths = [word for word in named if word.startswith("/")]
    assert paths
    assert [path for path in paths if not any(path.rstrip("/").startswith(where) for where in inside)] == []
