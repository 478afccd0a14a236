"""What a publisher needs of `serve`: it takes readings and says when a tick is done."""

from __future__ import annotations

import socket
import threading
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from heatwatch import wire
from tests.peers import wait_for

QUICKACK = getattr(socket, "TCP_QUICKACK", None)


class FakeServe:
    """Collects what arrives, in order, and answers each tick while `answers` is set.

    `log` holds a tuple a message: topic and payload.
    """

    def __init__(self, host: str, port: int) -> None:
        self.log: list[tuple[str, bytes]] = []
        self.answers = threading.Event()
        self.answers.set()
        self._listening = threading.Event()
        self._unanswered: list[wire.Tick] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="fake-serve", clean_session=False)
        self._client.on_socket_open = _send_at_once
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._client.reconnect_delay_set(1, 1)
        self._client.connect_async(host, port)
        self._client.loop_start()
        wait_for(self._listening.is_set)

    @property
    def readings(self) -> list[tuple[str, bytes]]:
        """Messages that are no ticks."""
        return [message for message in self.log if message[0] != wire.CLOCK_TOPIC]

    @property
    def ticks(self) -> list[wire.Tick]:
        """Ticks as they came."""
        return [wire.Tick.model_validate_json(payload) for topic, payload in self.log if topic == wire.CLOCK_TOPIC]

    def answer(self) -> None:
        """Answer the latest tick that was left without an answer, and all further ones."""
        self.answers.set()
        if self._unanswered:
            self._done(self._unanswered[-1])

    def close(self) -> None:
        """Go, as a killed process does: the broker keeps the session."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe([(topic, 1) for topic in (*wire.READINGS_FILTERS, wire.SUPPLY_FILTER, wire.CLOCK_TOPIC)])

    def _on_subscribe(self, *_: Any) -> None:
        self._listening.set()

    def _on_message(self, client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        _acknowledge(client)
        self.log.append((message.topic, bytes(message.payload)))
        if message.topic == wire.CLOCK_TOPIC:
            tick = wire.Tick.model_validate_json(message.payload)
            if self.answers.is_set():
                self._done(tick)
            else:
                self._unanswered.append(tick)

    def _on_publish(self, client: mqtt.Client, *_: Any) -> None:
        _acknowledge(client)

    def _done(self, tick: wire.Tick) -> None:
        done = wire.Done(run=tick.run, step=tick.step, now=tick.now)
        self._client.publish(wire.CLOCK_DONE_TOPIC, done.model_dump_json(), 1, retain=True)


def _send_at_once(_client: mqtt.Client, _user: Any, connection: Any) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _acknowledge(client: mqtt.Client) -> None:
    connection: Any = client.socket()
    if QUICKACK is not None and connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)
