"""The publisher against a plain loop of paho, mosquitto's own program, and its own many connections."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.broker import HOST, mosquitto_program, running_mosquitto
from benchmarks.measuring import Figure, core_share, rates
from simulators.publishing.encoding import Encoder, Messages
from simulators.publishing.link import Link
from simulators.publishing.publisher import SteppedPublisher
from simulators.publishing.replay import replay

MESSAGES = 50_000
THERMOMETERS = 1_000
IN_FLIGHT = 100
PER_S = 100_000 / 300
"""What 100,000 thermometers send, one reading every 5 minutes each."""
REAL_TIME_S = 10
_START_MS = 1_768_176_000_000
_UNIT = "messages/s"


def figures() -> Iterator[Figure]:
    """Measure; nothing where mosquitto is not installed."""
    if mosquitto_program() is None:
        return
    messages = Encoder().encode(readings(MESSAGES))
    with running_mosquitto() as port:
        yield from _highest(port, messages)
        yield from _many(port, messages)
        yield _real_time(port)


def readings(count: int, per_s: float = PER_S) -> pd.DataFrame:
    """Return readings of some thermometers in turn, `per_s` a second."""
    number = np.arange(count)
    return pd.DataFrame(
        {
            "time_ms": _START_MS + (number * 1000 / per_s).astype(np.int64),
            "point_id": np.array([f"p{at:05}" for at in range(THERMOMETERS)], dtype=object)[number % THERMOMETERS],
            "temperature_c": 20.0 + np.round(np.sin(number), 2),
            "humidity_pct": 41.0,
            "battery_pct": 87,
            "seq": number // THERMOMETERS,
        }
    )


def _highest(port: int, messages: Messages) -> Iterator[Figure]:
    ways: dict[str, Callable[[], int]] = {
        "ours": lambda: _ours(port, messages),
        "paho": lambda: _paho(port, messages),
    }
    program = shutil.which("mosquitto_pub")
    if program is not None:
        ways["mosquitto_pub"] = lambda: _mosquitto_pub(program, port, messages)
    found = rates(ways)
    name = "messages published at QoS 1 on one connection, until the last is confirmed"
    yield Figure(name, _UNIT, found["ours"], found["paho"], f"paho, a loop of `publish`, window {IN_FLIGHT}")
    if program is not None:
        note = "it sends all on one topic"
        yield Figure(name, _UNIT, found["ours"], found["mosquitto_pub"], "`mosquitto_pub -q 1 -l`", note=note)


def _many(port: int, messages: Messages) -> Iterator[Figure]:
    found = rates({str(count): lambda count=count: _ours(port, messages, count) for count in (1, THERMOMETERS)})  # type: ignore[misc]
    name = f"the same on {THERMOMETERS:,} connections, one for each thermometer"
    peer, note = "ours on one connection", "connecting included on both sides"
    yield Figure(name, _UNIT, found[str(THERMOMETERS)], found["1"], peer, note=note)


def _real_time(port: int) -> Figure:
    frame = readings(int(PER_S * REAL_TIME_S))
    messages = Encoder().encode(frame)
    ours = core_share(lambda: _ours_in_real_time(port, frame))
    paho = core_share(lambda: _paho(port, messages, PER_S))
    name = "100,000 thermometers in real time, 333 messages/s, encoding included: this process's share of a core"
    peer = "paho, a loop of `publish` that sleeps, messages encoded before"
    return Figure(name, "of a core", ours, paho, peer, less_is_better=True)


def _ours(port: int, messages: Messages, connections: int = 1) -> int:
    link = Link(HOST, port, client_id="bench", timeout_s=60.0, connections=connections, listens=False)
    try:
        link.open()
        link.publish_all(messages.topics, messages.payloads)
        link.wait_confirmed()
    finally:
        link.close()
    return len(messages)


def _ours_in_real_time(port: int, frame: pd.DataFrame) -> None:
    publisher = SteppedPublisher(HOST, port, run="bench", speed=1.0, step_ms=1_000, max_jump_ms=5_000, clock=False)
    with publisher:
        replay(frame, None, publisher)


def _paho(port: int, messages: Messages, per_s: float | None = None) -> int:
    client = Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(IN_FLIGHT)
    client.max_queued_messages_set(0)
    confirmed, done = iter(range(1, len(messages) + 1)), threading.Event()
    client.on_publish = lambda *_: done.set() if next(confirmed) == len(messages) else None
    client.connect(HOST, port)
    client.loop_start()
    began_s = time.monotonic()
    for number, (topic, payload) in enumerate(zip(messages.topics, messages.payloads, strict=True)):
        if per_s is not None:
            time.sleep(max(began_s + number / per_s - time.monotonic(), 0.0))
        client.publish(topic, payload, 1)
    done.wait(60)
    client.disconnect()
    client.loop_stop()
    return len(messages)


def _mosquitto_pub(program: str, port: int, messages: Messages) -> int:
    command = [program, "-h", HOST, "-p", str(port), "-q", "1", "-l", "-t", messages.topics[0]]
    lines = "\n".join(messages.payloads) + "\n"
    subprocess.run(command, input=lines, text=True, check=True, timeout=120)  # noqa: S603 - a program found on the path
    return len(messages)
