"""One connection to a broker that never blocks: whoever holds it says when there is something to read or to write."""

from __future__ import annotations

import errno
import os
import random
import socket
import ssl
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Self

from heatwatch.broker import CLOSED_PLAIN, Address, lasts, meaning, refusal
from simulators.publishing import packets
from simulators.publishing.packets import Incoming

Message = tuple[str, str, bool]
"""Topic, payload, and whether the broker is to keep it for whoever subscribes later."""
KEEP_ALIVE_S = 30.0
ANSWER_S = 15.0
LONGEST_PAUSE_S = 4.0
_FIRST_PAUSE_S = 0.25
_WINDOW = 2_000
_AT_ONCE = 500
_READ_BYTES = 1 << 18
_TLS_ALERT = b"\x15\x03"
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
_IN_VAIN = (1, 2, 4, 5)
"""Answers to a greeting that stay the same until somebody does something."""


@dataclass(frozen=True, slots=True)
class Way:
    """How to get to a broker and in, as it is now: addresses of sockets with their families, certificates, password."""

    targets: tuple[tuple[int, Any], ...]
    context: ssl.SSLContext | None
    password: str | None

    @classmethod
    def to(cls, address: Address) -> Self:
        """Ask for the host's addresses and read the files of its `Access`.

        Raises
        ------
        OSError
            If the host is not known.
        BadInput
            If a file cannot be read.
        """
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        return cls(tuple((one[0], one[4]) for one in found), address.access.context(), address.access.password())


class Lost(Exception):  # noqa: N818 - what became of the connection
    """The connection is no more.

    Attributes
    ----------
    why
        In one clause.
    lasting
        Whether somebody has to do something about it.
    """

    def __init__(self, why: str, *, lasting: bool = False) -> None:
        self.why, self.lasting = why, lasting
        super().__init__(why)


class _State(Enum):
    AWAY = auto()
    CONNECTING = auto()
    SHAKING_HANDS = auto()
    GREETING = auto()
    SUBSCRIBING = auto()
    STANDING = auto()


_BEFORE_WORDS = frozenset({_State.AWAY, _State.CONNECTING, _State.SHAKING_HANDS})


class Line:
    """Publishes at QoS 1, in order; what the broker has not confirmed is sent again, in order, after a break.

    Each small packet is sent, and acknowledged, at once. Otherwise Nagle's algorithm holds it back until the one
    before it is acknowledged, and the other end holds that back for 40 ms in the hope of something to send with it: a
    step of a replay is a chain of small packets and took a tenth of a second. Not every broker can be told
    (mosquitto: ``set_tcp_nodelay true``), so acknowledgements go out at once too, where the system can (Linux).

    Parameters
    ----------
    client_id
        The broker's name for it.
    address
        The broker.
    topic
        What to listen to; None for nothing.

    Attributes
    ----------
    confirmed
        How many messages the broker has confirmed.
    heard
        Payloads that came on the topic; whoever reads them takes them out.
    retry_s
        When to try again, where the connection is away [s, monotonic].

    References
    ----------
    .. [1] RFC 896; RFC 1122, 4.2.3.2; tcp(7), TCP_NODELAY and TCP_QUICKACK.
    """

    def __init__(self, client_id: str, address: Address, topic: str | None = None) -> None:
        self.confirmed = 0
        self.heard: list[bytes] = []
        self.retry_s = 0.0
        self._client_id, self._address, self._topic = client_id, address, topic
        self._state = _State.AWAY
        self._socket: socket.socket | None = None
        self._waiting: deque[Message] = deque()
        self._flying: dict[int, Message] = {}
        self._number = 0
        self._attempts = self._failures = 0
        self._last_try = True
        self._way = Way((), None, None)
        self._out = b""
        self._incoming = Incoming()
        self._began_s = self._heard_s = self._said_s = self._asked_s = 0.0
        self._to_write = False

    @property
    def stands(self) -> bool:
        """Whether the broker has let us in."""
        return self._state is _State.STANDING

    @property
    def away(self) -> bool:
        """Whether there is no connection, and none on its way."""
        return self._state is _State.AWAY

    @property
    def socket(self) -> socket.socket | None:
        """What to look at for something to read, or to write where `to_write`."""
        return self._socket

    @property
    def to_write(self) -> bool:
        """Whether it waits to be able to write."""
        return self._to_write

    def give(self, messages: Iterable[Message]) -> None:
        """Take messages to be published."""
        self._waiting.extend(messages)

    def open(self, now_s: float, way: Way) -> None:
        """Begin to connect, to one address of the broker after the other.

        Raises
        ------
        OSError
            If that fails at once.
        """
        family, address = way.targets[self._attempts % len(way.targets)]
        self._attempts += 1
        self._out, self._incoming = b"", Incoming()
        self._way, self._last_try = way, self._attempts % len(way.targets) == 0
        self._began_s = self._heard_s = self._said_s = self._asked_s = now_s
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.settimeout(0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._state, self._to_write = _State.CONNECTING, True
        code = self._socket.connect_ex(address)
        if code not in {0, errno.EINPROGRESS}:
            raise OSError(code, os.strerror(code))

    def work(self, now_s: float) -> None:
        """Read and write what can be.

        Raises
        ------
        Lost, OSError, NotMqtt
            If the connection is no more; `lose` has to be called.
        """
        if self._state is _State.CONNECTING:
            self._connected()
        if self._state is _State.SHAKING_HANDS:
            self._shake_hands()
        if self._state not in _BEFORE_WORDS:
            self._read(now_s)
            self.write(now_s)

    def write(self, now_s: float) -> None:
        """Write what waits, as far as it goes; nothing before there is a connection."""
        if self._state in _BEFORE_WORDS:
            return
        self._to_write = False
        while self._socket is not None and (self._out or self._filled()):
            try:
                sent = self._socket.send(self._out)
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._to_write = True
                return
            except ssl.SSLWantReadError:
                return
            self._out = self._out[sent:]
            self._said_s = now_s

    def look(self, now_s: float) -> None:
        """Keep the connection alive.

        Raises
        ------
        Lost
            If the broker does not answer.
        """
        if not self.stands and now_s - self._began_s > ANSWER_S:
            raise Lost("no answer")
        if self.stands and now_s - self._heard_s > 1.5 * KEEP_ALIVE_S:
            raise Lost("nothing heard any more")
        if self.stands and now_s - max(min(self._said_s, self._heard_s), self._asked_s) > KEEP_ALIVE_S / 2:
            self._asked_s = now_s
            self._out += packets.PINGREQ
            self.write(now_s)

    def lose(self, error: Exception, now_s: float) -> Lost:
        """Give the connection up, keep what is unconfirmed for the next one; return what to say of it."""
        lost = self._explained(error)
        self._close()
        self._waiting.extendleft(reversed(self._flying.values()))
        self._flying.clear()
        pause_s = min(LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(self._failures, 10))
        self._failures += self._last_try
        self.retry_s = now_s + (pause_s * random.uniform(0.5, 1.0) if self._last_try else 0.0)  # noqa: S311 - no secret
        return lost

    def leave(self) -> None:
        """End the connection in good order, as far as that goes without waiting."""
        if self._socket is not None and self.stands:
            with suppress(OSError):
                self._socket.send(self._out + packets.DISCONNECT)
        self._close()

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._state, self._to_write = None, _State.AWAY, False

    def _connected(self) -> None:
        assert self._socket is not None  # noqa: S101 - for the type checker
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        if self._way.context is not None:
            self._socket = self._way.context.wrap_socket(
                self._socket, server_hostname=self._address.host, do_handshake_on_connect=False
            )
            self._state = _State.SHAKING_HANDS
        else:
            self._greet()

    def _shake_hands(self) -> None:
        assert isinstance(self._socket, ssl.SSLSocket)  # noqa: S101 - for the type checker
        self._to_write = False
        try:
            self._socket.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLWantWriteError:
            self._to_write = True
            return
        self._greet()

    def _greet(self) -> None:
        self._state = _State.GREETING
        self._out = packets.connect(self._client_id, int(KEEP_ALIVE_S), self._address.access.user, self._way.password)

    def _read(self, now_s: float) -> None:
        assert self._socket is not None  # noqa: S101 - for the type checker
        more = True
        while more:
            try:
                data = self._socket.recv(_READ_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            self._acknowledge_at_once()
            if not data:
                raise Lost("it closed the connection" if self.stands else CLOSED_PLAIN)
            if self._state is _State.GREETING and data.startswith(_TLS_ALERT):
                raise Lost("it speaks TLS on this port (write mqtts://)", lasting=True)
            self._heard_s = now_s
            for kind, body in self._incoming.packets(data):
                self._take(kind, body)
            more = isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0

    def _acknowledge_at_once(self) -> None:
        if _QUICKACK is not None and self._socket is not None:
            with suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def _take(self, kind: int, body: bytes) -> None:
        if kind == packets.PUBACK:
            self.confirmed += self._flying.pop(int.from_bytes(body), None) is not None
        elif kind == packets.PUBLISH:
            _, number, payload = packets.message(body)
            self.heard.append(payload)
            self._out += packets.puback(number)
        elif kind == packets.CONNACK:
            self._admitted(body[1])
        elif kind == packets.SUBACK:
            if body[2] != 1:
                raise Lost(f"it refuses the subscription to {self._topic}", lasting=True)
            self._stand()

    def _admitted(self, code: int) -> None:
        if code:
            raise Lost(refusal(code, self._address.access), lasting=code in _IN_VAIN)
        if self._topic is None:
            self._stand()
        else:
            self._state = _State.SUBSCRIBING
            self._out += packets.subscribe(1, self._topic)

    def _stand(self) -> None:
        self._state, self._failures = _State.STANDING, 0

    def _filled(self) -> bool:
        """Take what waits into the window of unconfirmed messages; return whether there was something."""
        if not self.stands:
            return False
        count = min(len(self._waiting), _WINDOW - len(self._flying), _AT_ONCE)
        self._out = b"".join([self._next_packet() for _ in range(count)])
        return count > 0

    def _next_packet(self) -> bytes:
        self._number = self._number % packets.MOST_NUMBERS + 1
        while self._number in self._flying:
            self._number = self._number % packets.MOST_NUMBERS + 1
        topic, payload, retain = self._flying[self._number] = self._waiting.popleft()
        return packets.publish(self._number, topic, payload, retain=retain)

    def _explained(self, error: Exception) -> Lost:
        if isinstance(error, Lost):
            return error
        if isinstance(error, packets.NotMqtt):
            return Lost("what it says is no MQTT", lasting=not self.stands)
        if self.stands:
            return Lost(getattr(error, "strerror", None) or str(error))
        return Lost(meaning(error, self._address.access), lasting=lasts(error))
