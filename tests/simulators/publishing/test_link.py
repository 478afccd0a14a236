"""Connections to real mosquittos, one and many: let in or told why not, and nothing unconfirmed after a crash."""

from __future__ import annotations

import logging
import re
import resource
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from heatwatch.broker import Access
from heatwatch.errors import BadInput, HeatwatchError, Unavailable
from simulators.publishing.lines import allow_files
from simulators.publishing.link import Link
from tests.authority import TROUBLES, Authority, password_settings, tls_settings, trouble
from tests.peers import HOST, Mosquitto, free_port, mosquitto, wait_for

FORGETFUL = "persistence false"
LASTING = "autosave_on_changes true\nautosave_interval 1"
TOLD = "log_type all"


@contextmanager
def link(port: int, connections: int = 1, access: Access | None = None, timeout_s: float = 20) -> Iterator[Link]:
    made = Link(
        HOST, port, client_id="l", timeout_s=timeout_s, connections=connections, access=access, listens=access is None
    )
    try:
        made.open()
        yield made
    finally:
        made.close()


def messages(thermometers: int, each: int) -> tuple[list[str], list[str]]:
    """Return topics and payloads of thermometers in turn; a payload is as long as its number of order."""
    topics = [f"heat/s/b/p{number}/reading" for _ in range(each) for number in range(thermometers)]
    return topics, ["x" * (at + 1) for at in range(each) for _ in range(thermometers)]


def received(log: str) -> dict[str, list[int]]:
    """Return from mosquitto's log the numbers that came for each thermometer, in order."""
    found: dict[str, list[int]] = defaultdict(list)
    for thermometer, size in re.findall(
        r"Received PUBLISH from l\S* \(.*heat/s/b/(p\d+)/reading', \.\.\. \((\d+) b", log
    ):
        found[thermometer].append(int(size))
    return found


def confirmed(log: str) -> int:
    return len(re.findall(r"Sending PUBACK to l", log))


def _await(here: Link, count: int) -> None:
    wait_for(lambda: here._lines.confirmed >= count, 60)


@pytest.mark.parametrize("settings", [FORGETFUL, LASTING], ids=["forgetful", "lasting"])
@pytest.mark.parametrize("connections", [1, 7, 300])
def test_after_a_crash_everything_is_confirmed_and_in_order(connections: int, settings: str, tmp_path: Path) -> None:
    """Each thermometer's messages come at least once, each for the first time after the one before it."""
    each = 60_000 // 300
    topics, payloads = messages(300, each)
    with mosquitto(tmp_path, f"{settings}\n{TOLD}") as broker, link(broker.port, connections) as here:
        sending = threading.Thread(target=here.publish_all, args=(topics, payloads))
        sending.start()
        for crash in range(1, 4):
            _await(here, crash * len(topics) // 5)
            broker.kill()
            time.sleep(0.1)
            broker.start()
        sending.join(120)
        here.wait_confirmed()
        assert here._lines.confirmed == here._sent == len(topics)
        assert here.connections >= connections + 3
        log = broker._log.read_text()
    for numbers in received(log).values():
        firsts = list(dict.fromkeys(numbers))
        assert firsts == list(range(1, each + 1))
    assert len(received(log)) == 300
    assert confirmed(log) >= len(topics)


def test_a_thermometer_each_has_a_connection_each(mosquitto: Mosquitto) -> None:
    topics, payloads = messages(2_000, 3)
    with link(mosquitto.port, 2_000) as here:
        here.publish_all(topics, payloads)
        here.wait_confirmed()
        served = defaultdict(set)
        for topic, line in here._lines._line_of.items():
            served[line].add(topic)
        assert here.connections == 2_000
        assert {len(each) for each in served.values()} <= {1, 2}


def test_connections_that_are_cut_one_by_one_come_back(mosquitto: Mosquitto) -> None:
    topics, payloads = messages(20, 50)
    with link(mosquitto.port, 20) as here:
        for line in here._lines._lines:
            here.publish_all(topics, payloads)
            line.socket.shutdown(2)  # type: ignore[union-attr]
        here.wait_confirmed()
        wait_for(lambda: here._lines.stands)
        assert here._lines.confirmed == 20 * len(topics)
        assert here.connections == 40


def test_what_is_handed_over_while_a_connection_is_on_its_way_waits_for_it(mosquitto: Mosquitto) -> None:
    topics, payloads = messages(20, 1)
    with link(mosquitto.port, 20) as here:
        for _ in range(20):
            mosquitto.restart()
            for topic, payload in zip(topics, payloads, strict=True):
                here._sent += 1
                here._lines.give([(topic, payload, False)])
        began_s = time.monotonic()
        here.wait_confirmed()
        assert time.monotonic() - began_s < 10


def test_more_connections_than_the_system_allows_is_one_clear_line() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with pytest.raises(BadInput, match=rf"--connections: {hard} connections are more .* \(at most \d+ here; .*ulimit"):
        Link(HOST, 1, client_id="l", timeout_s=1, connections=hard)


def test_the_soft_limit_of_open_files_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(256, 5_000)]
    monkeypatch.setattr(resource, "getrlimit", lambda _which: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _which, pair: limits.append(pair))
    allow_files(100)
    allow_files(4_900)
    with pytest.raises(BadInput, match="at most 4900 here"):
        allow_files(4_901)
    assert limits == [(256, 5_000), (5_000, 5_000)]


@pytest.mark.parametrize("kind", TROUBLES)
def test_what_is_wrong_is_said_in_one_line_at_once(kind: str, tmp_path: Path) -> None:
    what = trouble(kind, tmp_path)
    with mosquitto(tmp_path, what.settings) as broker:
        began_s = time.monotonic()
        with (
            pytest.raises(HeatwatchError, match=re.escape(what.said)) as caught,
            link(broker.port, 3, what.access, 1.0),
        ):
            pass
    assert time.monotonic() - began_s < 5
    assert re.match(rf"broker {HOST}:{broker.port}(:| does not answer:) ", str(caught.value))
    assert "sesame" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_it_signs_in_with_password_and_certificate_over_tls_on_many_connections(tmp_path: Path) -> None:
    ours = Authority(tmp_path / "ca")
    word = tmp_path / "word"
    word.write_text("open-sesame\n")
    settings = [
        tls_settings(ours, *ours.sign("broker")),
        "require_certificate true",
        password_settings(tmp_path, gateway="open-sesame"),
        FORGETFUL,
        TOLD,
    ]
    cert, key = ours.sign("us")
    access = Access(tls=True, user="gateway", password_file=word, ca_file=ours.cert, cert_file=cert, key_file=key)
    topics, payloads = messages(100, 100)
    with mosquitto(tmp_path, "\n".join(settings)) as broker, link(broker.port, 40, access) as here:
        here.publish_all(topics[:6_000], payloads[:6_000])
        wait_for(lambda: here._lines.confirmed > 1_000, 30)
        broker.kill()
        broker.start()
        here.publish_all(topics[6_000:], payloads[6_000:])
        here.wait_confirmed()
        log = broker._log.read_text()
    assert all(list(dict.fromkeys(numbers)) == list(range(1, 101)) for numbers in received(log).values())
    assert "sesame" not in log


def test_a_sign_in_that_is_refused_later_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After a break the broker may be set up anew: the publisher goes on trying until its time is over."""
    word = tmp_path / "word"
    word.write_text("open-sesame")
    settings = password_settings(tmp_path, gateway="open-sesame")
    users = (tmp_path / "users").read_text()
    access = Access(user="gateway", password_file=word)
    with mosquitto(tmp_path, settings) as broker, link(broker.port, 2, access) as here:
        (tmp_path / "users").write_text("")
        broker.restart()
        wait_for(lambda: "refuses the sign-in of 'gateway'" in caplog.text)
        (tmp_path / "users").write_text(users)
        broker.restart()
        here.publish("heat/s/b/p/reading", "{}")
        here.wait_confirmed()
    assert "sesame" not in caplog.text


def test_a_host_that_is_none_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    made = Link("no-such-host.invalid", free_port(), client_id="l", timeout_s=1.2)
    with pytest.raises(Unavailable, match=r"broker no-such-host.invalid:\d+ .* to accept a connection \("):
        made.open()
    made.close()


def test_a_password_that_is_gone_is_said(tmp_path: Path) -> None:
    word = tmp_path / "word"
    access = Access(user="gateway", password_file=word)
    said = pytest.raises(HeatwatchError, match=f"{word}: the password cannot be read")
    with mosquitto(tmp_path) as broker, said, link(broker.port, access=access, timeout_s=1):
        pass
