"""One connection of a publisher: keeps what the broker has not confirmed, and hears what `serve` has done."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from pydantic import ValidationError

from heatwatch import wire
from heatwatch.errors import Unavailable

log = logging.getLogger(__name__)

_AT_LEAST_ONCE = 1
_IN_FLIGHT = 100
_UNCONFIRMED = 2_000
_KEEP_ALIVE_S = 30
_LONGEST_PAUSE_S = 4
_CONNECT_S = 15.0
_FIRST_WARNING_S = 5.0
_SELDOM_S = 10.0
_LOOK_S = 0.5


class Link:
    """A connection to the broker at QoS 1.

    What was handed to `publish` is kept here until the broker confirms it and is sent again, in order, after a
    break; the broker keeps no session of it.

    Parameters
    ----------
    host, port
        The broker.
    client_id
        The broker's name for it; two links of one name at once disturb each other.
    timeout_s
        How long to wait without any progress before giving up [s].

    Attributes
    ----------
    done
        The last tick that `serve` reported as done.
    connections
        How often the broker was met. After a break it may have lost what it had confirmed and not delivered.
    stopping
        Set it to end every wait.
    """

    def __init__(self, host: str, port: int, *, client_id: str, timeout_s: float) -> None:
        self.done: wire.Done | None = None
        self.connections = 0
        self.stopping = threading.Event()
        self._host, self._port, self._timeout_s = host, port, timeout_s
        self._broker = f"broker {host}:{port}"
        self._why_not = "no connection"
        self._changed = threading.Condition()
        self._sent = self._confirmed = 0
        self._listening = False
        self._prompt = _Promptness()
        self._client = self._make_client(client_id)

    def open(self) -> None:
        """Connect; where the broker is away, try again for 15 s or the timeout, whichever is shorter.

        Raises
        ------
        Unavailable
            If the broker does not come.
        """
        self._client.connect_async(self._host, self._port, _KEEP_ALIVE_S)
        self._client.loop_start()
        self._wait_listening(min(_CONNECT_S, self._timeout_s))

    def close(self) -> None:
        """Leave; what is unconfirmed by then may not arrive."""
        self.stopping.set()
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: str) -> None:
        """Hand over one message; waits while the connection is broken, and where 2000 are unconfirmed.

        Raises
        ------
        Unavailable
            If the broker does not come back, or confirms nothing, within the timeout.
        """
        if not self._listening:
            self._wait_listening(self._timeout_s)
        if self._sent - self._confirmed >= _UNCONFIRMED:
            self._wait_confirmed(_UNCONFIRMED // 2)
        self._sent += 1
        self._client.publish(topic, payload, _AT_LEAST_ONCE)

    def wait_confirmed(self) -> None:
        """Return when the broker has confirmed everything, or when stopping.

        Raises
        ------
        Unavailable
            If it confirms nothing within the timeout.
        """
        self._wait_confirmed(0)

    def wait_for_serve(
        self, ready: Callable[[], bool], tick: wire.Tick, again: Callable[[], None] | None = None, again_s: float = 2.0
    ) -> None:
        """Return when `ready`, or when stopping.

        Parameters
        ----------
        ready
            Looked at whenever something was heard.
        tick
            The tick that `serve` is to report as done.
        again, again_s
            What to do about it after `again_s` seconds, then ever more seldom, at least every 10 s.

        Raises
        ------
        Unavailable
            If `serve` reports nothing within the timeout.
        """
        awaited = f"step {tick.step} of run {tick.run} to be done"
        self._wait(ready, lambda: self.done, "heatwatch serve", awaited, self._timeout_s, again, again_s)

    def _wait_listening(self, timeout_s: float) -> None:
        self._wait(lambda: self._listening, lambda: None, self._broker, "to accept a connection", timeout_s)

    def _wait_confirmed(self, but: int) -> None:
        def ready() -> bool:
            return self._sent - self._confirmed <= but

        self._wait(ready, lambda: self._confirmed, self._broker, "to confirm messages", self._timeout_s)

    def _wait(
        self,
        ready: Callable[[], bool],
        progress: Callable[[], object],
        peer: str,
        awaited: str,
        timeout_s: float,
        again: Callable[[], None] | None = None,
        again_s: float = 2.0,
    ) -> None:
        begun_s = moved_s = time.monotonic()
        last, warn_s = progress(), _FIRST_WARNING_S
        while not self._looked(ready):
            waited_s = time.monotonic() - begun_s
            if progress() != last:
                last, moved_s = progress(), time.monotonic()
            if time.monotonic() - moved_s >= timeout_s:
                raise self._unavailable(peer, f"waited {waited_s:.0f} s for {awaited}")
            if waited_s >= warn_s:
                log.warning("waiting for %s %s, %.0f s so far", peer, awaited, waited_s)
                warn_s *= 2
            if again is not None and waited_s >= again_s:
                again()
                again_s = waited_s + min(again_s, _SELDOM_S)

    def _looked(self, ready: Callable[[], bool]) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.stopping.is_set() or ready(), _LOOK_S)

    def _unavailable(self, peer: str, why: str) -> Unavailable:
        if self._listening or peer == self._broker:
            return Unavailable(peer, why if self._listening else f"{why} ({self._why_not})")
        return Unavailable(self._broker, f"{self._why_not}; {why}")

    def _make_client(self, client_id: str) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=True)
        client.max_inflight_messages_set(_IN_FLIGHT)
        client.max_queued_messages_set(0)
        client.reconnect_delay_set(1, _LONGEST_PAUSE_S)
        client.on_socket_open = self._prompt.opened
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def _on_connect(self, client: mqtt.Client, _user: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._why_not = f"refused: {reason}"
            log.warning("%s refuses: %s", self._broker, reason)
            return
        self.connections += 1
        client.subscribe(wire.CLOCK_DONE_TOPIC, _AT_LEAST_ONCE)

    def _on_subscribe(self, *_: Any) -> None:
        self._listening = True
        self._tell()

    def _on_disconnect(self, _client: mqtt.Client, _user: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        was_listening, self._listening = self._listening, False
        if was_listening and not self.stopping.is_set():
            self._why_not = f"connection lost: {reason}"
            log.warning("%s: connection lost (%s), trying again", self._broker, reason)
        self._tell()

    def _on_publish(self, *_: Any) -> None:
        self._prompt.acknowledge()
        self._confirmed += 1
        self._tell()

    def _on_message(self, _client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        self._prompt.acknowledge()
        try:
            self.done = wire.Done.model_validate_json(message.payload)
        except ValidationError as error:
            log.warning("%s: no report of a step: %s", message.topic, error)
        self._tell()

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()


class _Promptness:
    """Keeps two brokers' and clients' kernels from waiting for each other.

    Nagle's algorithm holds a small packet back until the one before it is acknowledged, and the other end holds
    that back for 40 ms in the hope of something to send with it. A step is a chain of small packets: without
    this it takes a tenth of a second, with it less than a millisecond. Not every broker can be told
    (mosquitto: ``set_tcp_nodelay true``), so acknowledgements go out at once, where the system can (Linux); that
    setting lasts until the next packet only.

    References
    ----------
    .. [1] RFC 896; RFC 1122, 4.2.3.2; tcp(7), TCP_NODELAY and TCP_QUICKACK.
    """

    def __init__(self) -> None:
        self._connection: socket.socket | None = None
        self._option: int | None = getattr(socket, "TCP_QUICKACK", None)

    def opened(self, _client: mqtt.Client, _user: Any, connection: Any) -> None:
        """Send small packets at once."""
        self._connection = connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def acknowledge(self) -> None:
        """Acknowledge at once what was received."""
        if self._connection is not None and self._option is not None:
            with suppress(OSError):
                self._connection.setsockopt(socket.IPPROTO_TCP, self._option, 1)
