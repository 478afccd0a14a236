"""The half of MQTT 3.1.1 that a publisher needs, as bytes.

A client library spends some 35 µs on each message it publishes at QoS 1: an object, a condition and several locks,
a call of the system for each packet, three for each confirmation. Here a message is one concatenation, and a hundred
of them one call.

References
----------
.. [1] MQTT Version 3.1.1, OASIS Standard, 2014, sections 2.2 and 3.
"""

from __future__ import annotations

from collections.abc import Iterator

PINGREQ, DISCONNECT = b"\xc0\x00", b"\xe0\x00"
CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP = 2, 3, 4, 9, 13
MOST_NUMBERS = 65_535
_LONGEST_BODY = 268_435_455
_ONE_BYTE, _TWO_BYTES = 1 << 7, 1 << 14
_PUBLISH_1, _PUBLISH_1_RETAINED = b"\x32", b"\x33"
_CLEAN, _USER, _PASSWORD = 0x02, 0x80, 0x40
_PUBACK_2 = b"\x40\x02"


class NotMqtt(Exception):  # noqa: N818 - what it is
    """What came is no packet of MQTT."""


def connect(client_id: str, keep_alive_s: int, user: str = "", password: str | None = None) -> bytes:
    """Return the packet that begins a session which the broker forgets with the connection."""
    flags = _CLEAN | _USER * bool(user) | _PASSWORD * (password is not None)
    body = _text("MQTT") + bytes([4, flags]) + keep_alive_s.to_bytes(2) + _text(client_id)
    body += (_text(user) if user else b"") + (_text(password) if password is not None else b"")
    return b"\x10" + _length(len(body)) + body


def subscribe(number: int, topic: str) -> bytes:
    """Return the packet that asks for a topic at QoS 1."""
    body = number.to_bytes(2) + _text(topic) + b"\x01"
    return b"\x82" + _length(len(body)) + body


def publish(number: int, topic: str, payload: str, *, retain: bool = False) -> bytes:
    r"""Return a message at QoS 1; with `retain` the broker keeps it for whoever subscribes later.

    >>> publish(258, "a", "b")
    b'2\x06\x00\x01a\x01\x02b'
    """
    name, body = topic.encode(), payload.encode()
    length = 4 + len(name) + len(body)
    head = _PUBLISH_1_RETAINED if retain else _PUBLISH_1
    return b"".join((head, _length(length), len(name).to_bytes(2), name, number.to_bytes(2), body))


def puback(number: int) -> bytes:
    """Return the confirmation of a message."""
    return _PUBACK_2 + number.to_bytes(2)


def message(body: bytes) -> tuple[str, int, bytes]:
    """Return topic, number and payload of a message at QoS 1, from the body of its packet."""
    end = 2 + int.from_bytes(body[:2])
    return body[2:end].decode(errors="replace"), int.from_bytes(body[end : end + 2]), body[end + 2 :]


class Incoming:
    """Cuts what arrives into packets."""

    def __init__(self) -> None:
        self._rest = b""

    def packets(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the kind and the body of each packet that is whole by now.

        Raises
        ------
        NotMqtt
            If it is none.
        """
        data, at = self._rest + data, 0
        self._rest = b""
        while at < len(data):
            if data[at : at + 2] == _PUBACK_2 and at + 4 <= len(data):
                yield PUBACK, data[at + 2 : at + 4]
                at += 4
                continue
            start, end = _body(data, at)
            if end > len(data):
                break
            yield data[at] >> 4, data[start:end]
            at = end
        self._rest = data[at:]


def _body(data: bytes, at: int) -> tuple[int, int]:
    """Return where the body of a packet begins and ends; past all ends where that is not known yet."""
    length = 0
    for number, byte in enumerate(data[at + 1 : at + 5]):
        length |= (byte & 0x7F) << 7 * number
        if byte < _ONE_BYTE:
            return at + 2 + number, at + 2 + number + length
    if len(data) - at > 4:  # noqa: PLR2004 - the head and a length of four bytes that does not end
        raise NotMqtt
    return len(data), _LONGEST_BODY + len(data)


def _length(length: int) -> bytes:
    if length < _ONE_BYTE:
        return length.to_bytes(1)
    if length < _TWO_BYTES:
        return ((length & 0x7F | 0x80) << 8 | length >> 7).to_bytes(2)
    if length > _LONGEST_BODY:
        msg = f"a packet of {length} bytes"
        raise ValueError(msg)
    return bytes([length & 0x7F | 0x80]) + _length(length >> 7)


def _text(text: str) -> bytes:
    body = text.encode()
    return len(body).to_bytes(2) + body
