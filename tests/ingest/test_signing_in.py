"""Ingest at brokers that ask who comes, and over TLS: with real mosquittos, passwords and certificates."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from heatwatch.broker import Access, Address, read_address
from heatwatch.errors import BadInput
from heatwatch.wire import reading_topic
from simulators.publishing.link import Link
from tests.authority import TROUBLES, Authority, password_settings, set_passwords, tls_settings, trouble
from tests.ingest.station import NOW, station
from tests.peers import HOST, mosquitto, wait_for

ACL = """
user ingest
topic readwrite heat/#
user gateway
topic write heat/s1/#
"""


def password_file(folder: Path, word: str) -> Path:
    file = folder / f"{word}.password"
    file.write_text(f"{word}\n")
    return file


def send(address: Address, temperatures: list[float]) -> None:
    """Publish readings as a gateway does that may write, and read nothing."""
    link = Link(address.host, address.port, client_id="g", timeout_s=10, access=address.access, listens=False)
    link.open()
    topics = [reading_topic("s1", "b1", "p1")] * len(temperatures)
    link.publish_all(topics, [f'{{"ts":{NOW - 1000 * at},"t":{temp_c}}}' for at, temp_c in enumerate(temperatures)])
    link.wait_confirmed()
    link.close()


def test_readings_come_through_tls_certificates_passwords_and_access_lists(tmp_path: Path) -> None:
    ours, acl = Authority(tmp_path / "ca"), tmp_path / "acl"
    acl.write_text(ACL)
    settings = [
        tls_settings(ours, *ours.sign("broker")),
        "require_certificate true",
        password_settings(tmp_path, ingest="open-sesame", gateway="knock-knock"),
        f"acl_file {acl}",
    ]
    cert, key = ours.sign("us")
    access = Access(
        tls=True,
        user="ingest",
        password_file=password_file(tmp_path, "open-sesame"),
        ca_file=ours.cert,
        cert_file=cert,
        key_file=key,
    )
    gateway = replace(access, user="gateway", password_file=password_file(tmp_path, "knock-knock"))
    with (
        mosquitto(tmp_path, "\n".join(settings)) as broker,
        station(tmp_path, broker.port, access=access) as place,
        place.working(),
    ):
        wait_for(place.ready)
        send(Address(HOST, broker.port, gateway), [20.0 + at / 64 for at in range(2_000)])
        assert place.settle(2_000).readings["stored"] == 2_000
        broker.restart()
        wait_for(lambda: not place.ready())
        wait_for(place.ready, 20)
        send(Address(HOST, broker.port, gateway), [21.0])
        place.settle(2_001)


@pytest.mark.parametrize("kind", TROUBLES)
def test_what_is_wrong_is_said_in_one_line_without_the_password(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    what = trouble(kind, tmp_path)
    with mosquitto(tmp_path, what.settings) as broker, station(tmp_path, broker.port, access=what.access) as place:
        caplog.set_level(logging.DEBUG)
        with place.working():
            wait_for(lambda: any(what.said in record.getMessage() for record in caplog.records))
            assert not place.ready()
    said = [record.getMessage() for record in caplog.records if record.name == "ingest.client"]
    assert all(line.startswith(f"broker {HOST}:{broker.port} does not answer: ") for line in said)
    assert all("next attempt in" in line and "\n" not in line for line in said)
    assert "sesame" not in caplog.text


def test_a_password_that_is_mended_at_either_end_needs_no_restart(tmp_path: Path) -> None:
    file = password_file(tmp_path, "open-sesame")
    access = Access(user="ingest", password_file=file)
    settings = password_settings(tmp_path, ingest="open-sesame")
    with (
        mosquitto(tmp_path, settings) as broker,
        station(tmp_path, broker.port, access=access) as place,
        place.working(),
    ):
        wait_for(place.ready)
        set_passwords(tmp_path / "users", ingest="new-word")
        broker.restart()
        wait_for(lambda: not place.ready())
        file.unlink()
        file.write_text("new-word")
        wait_for(place.ready, 20)


def test_a_certificate_that_is_renewed_needs_no_restart(tmp_path: Path) -> None:
    ours = Authority(tmp_path / "ca")
    cert, key = ours.sign("broker", days=-1)
    access = Access(tls=True, ca_file=ours.cert)
    settings = tls_settings(ours, cert, key)
    with (
        mosquitto(tmp_path, settings) as broker,
        station(tmp_path, broker.port, access=access) as place,
        place.working(),
    ):
        assert ours.sign("broker") == (cert, key)
        broker.restart()
        wait_for(place.ready, 20)


class TestAddresses:
    """What is an address, and what is said of one that is none."""

    @pytest.mark.parametrize(
        "text",
        [
            "mqtt://ingest:sesame@host",
            "mqtts://:sesame@host",
            "mqtt://a:ses/ame@host",
            "mqtt//a:sesame@h",
            "a:sesame@h",
            "mqtt://a:sesame@host:port",
            "mqtt://a:sesame@[host",
            "mqtt://a:b@sesame@host",
            "tcp://a:sesame@host:1",
        ],
    )
    def test_a_password_in_it_is_refused_and_not_repeated(self, text: str) -> None:
        with pytest.raises(BadInput) as caught:
            read_address(text, "--to")
        assert "ame" not in str(caught.value).replace("name", "")
        assert caught.value.__cause__ is None

    def test_what_to_do_instead_is_said(self) -> None:
        with pytest.raises(BadInput, match=r"no password in it \(.* file: broker_password_file, or --password-file\)"):
            read_address("mqtt://ingest:sesame@host", "broker")

    @pytest.mark.parametrize(
        "text", ["", "host", "http://host", "mqtt://", "mqtt://h:0x1", "mqtt://h:70000", "mqtt://h/t"]
    )
    def test_what_is_none_is_shown(self, text: str) -> None:
        with pytest.raises(BadInput, match="mqtts://host:8883"):
            read_address(text, "--to")

    @pytest.mark.parametrize(
        ("text", "host", "port", "tls", "user"),
        [
            ("mqtt://127.0.0.1", "127.0.0.1", 1883, False, ""),
            ("mqtts://b.example/", "b.example", 8883, True, ""),
            ("mqtts://meter%201@[::1]:99", "::1", 99, True, "meter 1"),
        ],
    )
    def test_parts(self, text: str, host: str, port: int, tls: bool, user: str) -> None:  # noqa: FBT001
        assert read_address(text, "--to") == Address(host, port, Access(tls=tls, user=user))

    def test_the_url_names_no_user(self) -> None:
        assert read_address("mqtts://meter@[::1]", "--to").url == "mqtts://[::1]:8883"

    def test_files_that_cannot_be_meant_are_refused(self, tmp_path: Path) -> None:
        word = password_file(tmp_path, "open-sesame")
        with pytest.raises(BadInput, match="without a user name"):
            read_address("mqtt://host", "--to", password_file=word)
        with pytest.raises(BadInput, match=r"TLS only \(write mqtts"):
            read_address("mqtt://host", "--to", ca_file=word)
        with pytest.raises(BadInput, match="names user 'a', the settings 'b'"):
            read_address("mqtt://a@host", "broker", "b")
        with pytest.raises(BadInput, match="without its certificate"):
            read_address("mqtts://host", "--to", key_file=word)

    def test_a_file_that_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        gone = tmp_path / "gone"
        with pytest.raises(BadInput, match=f"{gone}: the password cannot be read: No such file"):
            read_address("mqtt://a@host", "--to", password_file=gone)
        with pytest.raises(BadInput, match=f"{gone}: no certificates of authorities: No such file"):
            read_address("mqtts://host", "--to", ca_file=gone)
        with pytest.raises(BadInput, match=f"{gone}: no certificate with its key"):
            read_address("mqtts://host", "--to", cert_file=gone)

    @pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"\xff\xfe"])
    def test_a_password_is_one_line(self, content: bytes, tmp_path: Path) -> None:
        file = tmp_path / "word"
        file.write_bytes(content)
        with pytest.raises(BadInput, match=str(file)):
            read_address("mqtt://a@host", "--to", password_file=file)
