"""The MQTT client of ingest: take messages, flush them to the journal, only then acknowledge them.

One thread does all of it, so that what an acknowledgement speaks of is never in doubt: a group is flushed and
acknowledged before the next message is looked at, on the connection that brought it or not at all. What the broker
delivers again after a lost connection is a duplicate, which is harmless.

A group ends when nothing more is there to be read, or when it is full. A broker delivers no more than its window of
unacknowledged messages (20 with mosquitto, 100 with the embedded one): a group that waits for more waits in vain.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from paho.mqtt.client import Client as Mqtt
from paho.mqtt.client import ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, LogLevel, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from heatwatch.broker import CLOSED_PLAIN, Access, meaning, refusal
from heatwatch.errors import BadInput, Unavailable
from heatwatch.wire import CLOCK_DONE_TOPIC, Done
from ingest.backoff import Backoff
from ingest.journal import Journal, Message

log = logging.getLogger(__name__)

TOPICS = "heat/#"
"""One filter for all that is ours: between filters a broker need not keep the order of messages (the embedded one
does not), and a tick must come after the readings before it. What no decoder takes is quarantined, not passed over."""
GROUP_MESSAGES = 1000
KEEPALIVE_S = 30
ANSWER_S = 10.0
SETTLED_S = 5.0
LOOK_S = 0.2


class Client:
    """Brings what the broker delivers into the journal.

    Parameters
    ----------
    host, port
        The broker.
    name
        Client id, the same over restarts: under it the broker keeps the session and what waits in it.
    journal
        Where messages go.
    wall_clock
        Gives the moment of arrival [ms].
    access
        How to sign in, and TLS; its files are read at each connection, so that what is mended there is enough.
    shared_group
        Workers of one group share the messages; alone where it is empty.
    """

    def __init__(
        self,
        host: str,
        port: int,
        name: str,
        journal: Journal,
        wall_clock: Callable[[], int],
        access: Access | None = None,
        shared_group: str = "",
    ) -> None:
        self._host, self._port, self._peer = host, port, f"broker {host}:{port}"
        self._topics = f"$share/{shared_group}/{TOPICS}" if shared_group else TOPICS
        self._name, self._access = name, access or Access()
        self._journal, self._wall_clock = journal, wall_clock
        self._group: list[Message] = []
        self._group_bytes = 0
        self._to_ack: list[int] = []
        self._ready, self._refusal, self._fault = False, "", ""
        self._done: Done | None = None
        self._announced: Done | None = None
        self._stopping = threading.Event()
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        self._mqtt = self._new_mqtt()

    @property
    def connected(self) -> bool:
        """Whether there is a session with the broker, and its subscription."""
        return self._ready and self._mqtt.is_connected()

    def run(self) -> None:
        """Take messages until `stop` is called; a broker that does not answer and a disk that refuses are awaited.

        Raises
        ------
        Damaged
            If the journal cannot be trusted any more.
        """
        backoff = Backoff()
        while not self._stopping.is_set():
            began_s = time.monotonic()
            try:
                self._flush()
                self._wait_for_room()
                self._connect()
                self._take()
            except Unavailable as error:
                self._leave()
                if time.monotonic() - began_s > SETTLED_S:
                    backoff.reset()
                wait_s = backoff.next_s()
                log.warning("%s; next attempt in %.1f s", error, wait_s)
                self._stopping.wait(wait_s)
        self._leave()

    def stop(self) -> None:
        """Let `run` acknowledge what is flushed, take leave of the broker and return."""
        self._stopping.set()
        self._wake()

    def announce(self, done: Done) -> None:
        """Publish how far the clock of a replay is done; now, and again on each new connection."""
        self._done = done
        self._wake()

    def close(self) -> None:
        """Release what `run` worked with, after it has returned."""
        os.close(self._woken)
        os.close(self._waker)

    def _wake(self) -> None:
        with suppress(BlockingIOError):
            os.write(self._waker, b"!")

    def _wait_for_room(self) -> None:
        """Stay away while the journal is full: the broker keeps what it cannot deliver."""
        if self._journal.full:
            log.warning("journal is full: messages wait at the broker")
        while self._journal.full and not self._stopping.is_set():
            self._stopping.wait(LOOK_S)

    def _connect(self) -> None:
        self._ready, self._refusal, self._fault = False, "", ""
        if self._stopping.is_set():
            return
        self._mqtt = self._new_mqtt()
        try:
            self._access.prepare(self._mqtt)
            self._mqtt.connect(self._host, self._port, KEEPALIVE_S)
        except BadInput as error:
            raise Unavailable(self._peer, str(error)) from error
        except (OSError, ValueError) as error:  # also a host that is no name: ValueError, UnicodeError
            raise Unavailable(self._peer, meaning(error, self._access)) from error
        self._wait_for_session()
        log.info("%s: connected", self._peer)

    def _new_mqtt(self) -> Mqtt:
        # 3.1.1, because every broker speaks it and its sessions last until they are cleaned.
        version = MQTTProtocolVersion.MQTTv311
        mqtt = Mqtt(CallbackAPIVersion.VERSION2, self._name, clean_session=False, protocol=version, manual_ack=True)
        mqtt.on_connect, mqtt.on_subscribe = self._on_connect, self._on_subscribe
        mqtt.on_socket_open, mqtt.on_message = _send_at_once, self._on_message
        mqtt.on_log = self._on_log
        return mqtt

    def _wait_for_session(self) -> None:
        deadline_s = time.monotonic() + ANSWER_S
        while not self._ready and not self._stopping.is_set():
            self._step()
            if self._refusal or self._mqtt.socket() is None:
                raise Unavailable(self._peer, self._refusal or meaning(self._fault or CLOSED_PLAIN, self._access))
            if time.monotonic() > deadline_s:
                raise Unavailable(self._peer, "no session")

    def _take(self) -> None:
        while not self._stopping.is_set():
            self._step()
            if self._mqtt.socket() is None:
                raise Unavailable(self._peer, "connection lost")
            if not self._group and self._journal.full:
                self._leave()
                return

    def _step(self) -> None:
        """Take what is there to be read into the group; flush it when there is nothing more, or it is full."""
        before = len(self._to_ack), len(self._group)
        self._exchange(LOOK_S if before == (0, 0) else 0)
        grown = (len(self._to_ack), len(self._group)) != before
        if not grown or len(self._to_ack) >= GROUP_MESSAGES or self._group_bytes >= self._journal.group_bytes // 2:
            self._flush()

    def _exchange(self, timeout_s: float) -> None:
        """Read one packet and write what waits, whichever is possible within `timeout_s` seconds."""
        self._announce()
        connection = self._mqtt.socket()
        if connection is None:
            return
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        poll.register(connection, select.POLLIN | select.POLLOUT * self._mqtt.want_write())
        if isinstance(connection, ssl.SSLSocket) and connection.pending():
            self._mqtt.loop_read()  # what is decrypted already, and no news to the system
            timeout_s = 0
        for handle, events in poll.poll(timeout_s * 1000):
            if handle == self._woken:
                os.read(self._woken, 4096)
            elif events & select.POLLOUT:
                self._mqtt.loop_write()
            else:
                self._mqtt.loop_read()
                _confirm_at_once(connection)
        self._mqtt.loop_misc()

    def _flush(self) -> None:
        """Write the group to the journal, then acknowledge it where its connection still stands."""
        if self._group:
            self._journal.append(self._group)
            self._group, self._group_bytes = [], 0
        to_ack, self._to_ack = self._to_ack, []
        if self._mqtt.is_connected():
            for number in to_ack:
                self._mqtt.ack(number, qos=1)

    def _leave(self) -> None:
        """Flush what can be flushed and end the connection in good order."""
        with suppress(Unavailable):
            self._flush()
        self._mqtt.disconnect()
        deadline_s = time.monotonic() + 1
        while self._mqtt.socket() is not None and time.monotonic() < deadline_s:
            self._mqtt.loop_write()

    def _announce(self) -> None:
        if self._done is not None and self._done is not self._announced and self._ready:
            self._announced = self._done
            self._mqtt.publish(CLOCK_DONE_TOPIC, self._done.model_dump_json(), qos=1, retain=True)

    def _on_message(self, _mqtt: Mqtt, _userdata: Any, message: MQTTMessage) -> None:
        if message.qos:
            self._to_ack.append(message.mid)
        try:
            topic = message.topic.encode()
        except UnicodeDecodeError:
            topic = message._topic  # noqa: SLF001 - the only way to the bytes of a topic that is not UTF-8
        if topic == CLOCK_DONE_TOPIC.encode():
            return
        payload = bytes(message.payload)
        self._group.append(Message(topic, payload, self._wall_clock(), message.retain, message.dup))
        self._group_bytes += len(topic) + len(payload)

    def _on_connect(
        self, mqtt: Mqtt, _userdata: Any, flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self._refusal = refusal(reason.value, self._access)
            return
        if not flags.session_present and self._journal.last_sequence:
            log.warning("%s has forgotten this client: what was sent while it was away is lost", self._peer)
        mqtt.subscribe(self._topics, qos=1)

    def _on_log(self, _mqtt: Mqtt, _userdata: Any, level: int, said: str) -> None:
        """Keep what the library says of a broken connection: it tells nobody else."""
        if level == LogLevel.MQTT_LOG_ERR:
            self._fault = said

    def _on_subscribe(
        self, _mqtt: Mqtt, _userdata: Any, _mid: int, reasons: Sequence[ReasonCode], _properties: Properties | None
    ) -> None:
        if reasons[0].is_failure:
            self._refusal = f"refuses the subscription to {self._topics}: {reasons[0]}"
        else:
            self._ready, self._announced = True, None


def _send_at_once(_mqtt: Mqtt, _userdata: Any, connection: Any) -> None:
    """Let no acknowledgement wait for company: Nagle's algorithm would hold it back for 40 ms."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _confirm_at_once(connection: Any) -> None:
    """Let the broker's next packet not wait either, where its side uses Nagle's algorithm. Linux forgets this soon."""
    if hasattr(socket, "TCP_QUICKACK"):
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
