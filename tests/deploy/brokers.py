"""mosquitto with the shipped configuration, and who comes to it."""

import os
import shutil
import signal
import ssl
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from click.testing import CliRunner
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from cli.secrets import secrets
from cli.securing.keeping import health_word
from tests.deploy.composed import ROOT
from tests.peers import HOST, free_port, listens, wait_for

CONFIG, ACCESS = ROOT / "deploy" / "mosquitto" / "mosquitto.conf", ROOT / "deploy" / "mosquitto" / "acl"
REFUSED = 135
"""Reason code of MQTT 5: not authorized."""


@dataclass
class Broker:
    """A mosquitto of the shipped configuration, its paths in a folder, its ports free ones of this machine."""

    folder: Path
    program: str
    passwords: Mapping[str, str] = field(default_factory=dict)
    tls_port: int = field(default_factory=free_port)
    inner_port: int = field(default_factory=free_port)

    def start(self) -> None:
        """Start it and wait until it listens."""
        text = CONFIG.read_text(encoding="utf-8")
        moved = {
            "/mosquitto/secrets": str(self.folder / "secrets" / "mosquitto"),
            "/mosquitto/config/acl": str(ACCESS),
            "/mosquitto/data/": f"{self.folder}/",
            "listener 1883 127.0.0.1": f"listener {self.inner_port} {HOST}",
            "listener 8883\n": f"listener {self.tls_port} {HOST}\n",
        }
        for shipped, here in moved.items():
            assert shipped in text
            text = text.replace(shipped, here)
        if os.geteuid() == 0:
            text += "user root\n"
        config, self.log = self.folder / "mosquitto.conf", self.folder / "log"
        config.write_text(text, encoding="utf-8")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([self.program, "-c", str(config)], stdout=log, stderr=log)
        wait_for(lambda: listens(HOST, self.tls_port) or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()

    def stop(self) -> None:
        """Let it save its state and end."""
        self.process.terminate()
        self.process.wait(10)

    def reload(self) -> None:
        """Tell it to read its files again."""
        self.process.send_signal(signal.SIGHUP)

    @property
    def ca(self) -> Path:
        """Return the authority's certificate."""
        return self.folder / "secrets" / "mosquitto" / "ca.crt"


@contextmanager
def shipped_broker(folder: Path, stations: Sequence[str]) -> Iterator[Broker]:
    """Give a running broker with accounts for stations; skip the test where mosquitto is not installed."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("mosquitto is not installed")
    asked = ["make", "--out", str(folder / "secrets"), "--host", "mqtt.example.org", "--demo", "--readers", "owner"]
    done = CliRunner().invoke(secrets, [*asked, *(word for one in stations for word in ("--station", one))])
    assert done.exit_code == 0, done.output
    told = dict(line.split(": ") for line in done.output.splitlines() if ": " in line)
    for name in ("ingest", "demo"):
        told[name] = (folder / "secrets" / f"mqtt_{name}").read_text().strip()
    told["health"] = health_word((folder / "secrets" / "mosquitto" / "mosquitto_sub").read_text())
    server = Broker(folder, program, told)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@dataclass
class Caller:
    """Somebody at the broker, over TLS and MQTT 5, which says what is refused; a context manager."""

    broker: Broker
    user: str
    password: str | None = None
    name: str = ""
    clean: bool = True
    version: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5

    def __enter__(self) -> Self:
        clean = None if self.version is MQTTProtocolVersion.MQTTv5 else self.clean
        self.client = Client(CallbackAPIVersion.VERSION2, self.name, clean, protocol=self.version)
        self.client.tls_set_context(ssl.create_default_context(cafile=str(self.broker.ca)))
        if self.user:
            self.client.username_pw_set(self.user, self.password or self.broker.passwords[self.user])
        self.client.max_inflight_messages = 1_000
        self.answer: Any = None
        self.got: list[tuple[str, bytes]] = []
        self.reasons: dict[int, int] = {}
        self.client.on_connect = self._on_connect
        self.client.on_message = self._on_message
        self.client.on_publish = self._on_publish
        self.client.connect(HOST, self.broker.tls_port)
        self.client.loop_start()
        wait_for(lambda: self.answer is not None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.answer = reason

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self.got.append((message.topic, bytes(message.payload)))

    def _on_publish(self, _client: Client, _data: Any, number: int, reason: Any, _properties: Any) -> None:
        self.reasons[number] = reason.value

    def publish(self, topic: str, payload: bytes = b"{}", *, retain: bool = False) -> int:
        """Publish at QoS 1; return the reason code of the broker's answer."""
        number = self.client.publish(topic, payload, qos=1, retain=retain).mid
        wait_for(lambda: number in self.reasons)
        return self.reasons[number]

    def subscribe(self, topic: str) -> None:
        """Subscribe and wait for the broker's answer; mosquitto grants any, and delivers what may be read."""
        granted: list[int] = []
        self.client.on_subscribe = lambda *told: granted.append(told[2])
        _, number = self.client.subscribe(topic, qos=1)
        wait_for(lambda: number in granted)
