"""Packets are those that other programs write and read, however they are cut on their way."""

from __future__ import annotations

import struct
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from simulators.publishing import packets
from simulators.publishing.packets import Incoming, NotMqtt

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300)


class Recorder(Client):
    """A client of paho that keeps its packets instead of sending them."""

    def __init__(self, client_id: str = "") -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id)
        self.written: list[bytes] = []

    def _packet_queue(self, _command: int, packet: bytes, *_: object) -> int:  # type: ignore[override]
        self.written.append(bytes(packet))
        return 0


@given(
    st.integers(1, 65_535),
    texts.filter(len),
    st.one_of(texts, st.integers(0, 40_000).map(lambda n: "7" * n)),
    st.booleans(),
)
def test_a_message_is_what_paho_writes(number: int, topic: str, payload: str, retain: bool) -> None:  # noqa: FBT001
    client = Recorder()
    client._sock = object()  # type: ignore[assignment]
    client._send_publish(number, topic.encode(), payload.encode(), 1, retain=retain)
    client._sock = None
    assert packets.publish(number, topic, payload, retain=retain) == client.written[0]


@given(texts, st.one_of(st.just(""), texts.filter(len)), st.one_of(st.none(), texts))
def test_a_greeting_is_what_paho_writes(client_id: str, user: str, password: str | None) -> None:
    client = Recorder(client_id or "x")
    if user:
        client.username_pw_set(user, password)
    client._send_connect(30)
    assert packets.connect(client_id or "x", 30, user, password if user else None) == client.written[0]


@given(st.lists(st.integers(1, 300), max_size=12), st.lists(st.integers(1, 400), min_size=1, max_size=5))
def test_packets_come_whole_however_they_are_cut(parts: list[int], sizes: list[int]) -> None:
    """Confirmations and messages in turn, in pieces of any size."""
    bodies = [struct.pack("!H", part) if at % 2 else b"\0\1a\0\1" + b"x" * part for at, part in enumerate(parts)]
    whole = b"".join(
        packets.puback(part) if at % 2 else packets.publish(1, "a", "x" * part) for at, part in enumerate(parts)
    )
    incoming, found, at = Incoming(), [], 0
    for size in cycle(sizes):
        found += list(incoming.packets(whole[at : at + size]))
        at += size
        if at >= len(whole):
            break
    kinds = cycle([packets.PUBLISH, packets.PUBACK])
    assert found == list(zip(kinds, bodies, strict=False))


@given(texts.filter(len), st.integers(1, 65_535), texts)
def test_what_was_written_is_read(topic: str, number: int, payload: str) -> None:
    ((kind, body),) = Incoming().packets(packets.publish(number, topic, payload))
    assert (kind, packets.message(body)) == (packets.PUBLISH, (topic, number, payload.encode()))


def test_what_is_no_packet_is_refused() -> None:
    with pytest.raises(NotMqtt):
        list(Incoming().packets(b"\x30\xff\xff\xff\xff\xff"))
