"""A whole ingest on real files, a publisher to feed it, and the questions that tests ask of both."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client as Mqtt
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import select

from heatwatch.broker import Access
from heatwatch.records.database import Records
from heatwatch.records.schema import Arrival, Quarantine
from heatwatch.settings import Settings
from heatwatch.stores.embedded import EmbeddedReadings
from heatwatch.stores.readings import ReadingStore
from heatwatch.usecases.delivery import DeliverySummary, identities, quarantined
from heatwatch.usecases.roles import Bell
from heatwatch.wire import reading_topic
from ingest.worker import IngestWorker
from tests.peers import HOST, wait_for

NOW = 1_764_038_400_000
TOPIC = reading_topic("s1", "b1", "p1")


class Station:
    """One data folder with its records and its store, and at times a worker at work in it."""

    def __init__(self, folder: Path, port: int, clock: str, access: Access | None = None, **settings: Any) -> None:
        self.settings = Settings(data_dir=folder, clock=clock, **settings)
        self.port, self.access = port, access
        folder.mkdir(parents=True, exist_ok=True)
        self.records = Records(self.settings.records_url)
        self.records.migrate()
        self.readings = EmbeddedReadings(self.settings.readings_path)
        self.store: ReadingStore = self.readings
        self.bell = Bell()
        self.wall_ms = NOW
        self.failure: BaseException | None = None
        self.worker = self._worker()

    @contextmanager
    def working(self) -> Iterator[IngestWorker]:
        """Let a worker work during the block, and stop it in good order."""
        self.worker, stop = self._worker(), threading.Event()
        thread = threading.Thread(target=self._run, args=(stop,))
        thread.start()
        try:
            yield self.worker
        finally:
            stop.set()
            thread.join()

    def ready(self) -> bool:
        """Whether the worker has its session with the broker."""
        assert self.failure is None, self.failure
        return self.worker.connected

    def summary(self) -> DeliverySummary:
        """Return the identity as it is now; it must hold at every moment."""
        received = self.worker.journal_last_sequences
        with self.records.read() as session:
            found = identities(session, received)
        assert found.holds, found
        return found

    def settle(self, received: int) -> DeliverySummary:
        """Return the identity once that many messages were received and none waits."""
        wait_for(lambda: self._has_settled(received), 20)
        return self.summary()

    def quarantine(self) -> list[Quarantine]:
        """Return what is in quarantine, in order."""
        with self.records.read() as session:
            return sorted(quarantined(session, 100_000), key=lambda row: (row.sequence, row.position))

    def arrivals(self) -> list[Arrival]:
        """Return the feed."""
        with self.records.read() as session:
            return list(session.scalars(select(Arrival).order_by(Arrival.seq)))

    def temperatures(self) -> dict[tuple[str, int], list[float]]:
        """Return what is kept, by source and time [ms]."""
        found = self.readings.read()
        kept: dict[tuple[str, int], list[float]] = {}
        for code, time_ms, temp_c in zip(found.code, found.time_ms, found.temp_c, strict=True):
            kept.setdefault((found.source[code], int(time_ms)), []).append(float(temp_c))
        return kept

    def close(self) -> None:
        self.readings.close()
        self.records.close()

    def _worker(self) -> IngestWorker:
        store, port = self.store if hasattr(self, "store") else self.readings, self.port
        return IngestWorker(
            self.settings, self.records, store, self.bell, HOST, port, lambda: self.wall_ms, self.access
        )

    def _run(self, stop: threading.Event) -> None:
        try:
            self.worker.run(stop)
        except BaseException as error:  # noqa: BLE001 - tests look at it
            self.failure = error

    def _has_settled(self, received: int) -> bool:
        assert self.failure is None, self.failure
        line = self.summary().messages
        return line["received"] >= received and line["waiting"] == 0


@contextmanager
def station(folder: Path, port: int, clock: str = "wall", **settings: Any) -> Iterator[Station]:
    """Give a station at a broker; its worker does not work yet."""
    with closing(Station(folder / "data", port, clock, **settings)) as made:
        yield made


class Publisher:
    """Publishes in order, and knows when the broker has confirmed."""

    def __init__(self, port: int, *, on_message: Callable[[str, bytes], None] | None = None, topic: str = "") -> None:
        self._mqtt = Mqtt(CallbackAPIVersion.VERSION2)
        self._mqtt.on_socket_open = _send_at_once
        ready = threading.Event()
        self._mqtt.on_subscribe = lambda *_: ready.set()
        if on_message is not None:
            self._mqtt.on_message = lambda _mqtt, _data, message: on_message(message.topic, bytes(message.payload))
        self._mqtt.connect(HOST, port)
        self._mqtt.loop_start()
        wait_for(self._mqtt.is_connected)
        self._mqtt.subscribe(topic or "nothing", 1)
        assert ready.wait(10)

    def send(self, payload: Any, topic: str = TOPIC, *, qos: int = 1, retain: bool = False) -> None:
        """Publish one message, JSON unless it is bytes."""
        self.send_all([(topic, payload)], qos=qos, retain=retain)

    def send_all(self, messages: Iterable[tuple[str, Any]], *, qos: int = 1, retain: bool = False) -> None:
        """Publish messages in order and wait until the broker has confirmed them."""
        sent = [
            self._mqtt.publish(topic, payload if isinstance(payload, bytes) else json.dumps(payload), qos, retain)
            for topic, payload in messages
        ]
        for one in sent:
            one.wait_for_publish(20)
            assert one.is_published()

    def close(self) -> None:
        self._mqtt.disconnect()
        self._mqtt.loop_stop()


def _send_at_once(_mqtt: Mqtt, _userdata: Any, connection: Any) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@contextmanager
def publisher(port: int, **listening: Any) -> Iterator[Publisher]:
    """Give a publisher that is connected."""
    with closing(Publisher(port, **listening)) as made:
        yield made


def reading(time_ms: int = NOW, temp_c: float | None = 20.0, **more: Any) -> Mapping[str, Any]:
    """Return the payload of one reading."""
    return {"ts": time_ms, "t": temp_c, **more}


def many(count: int, points: int = 7) -> list[tuple[str, Any]]:
    """Return messages with one new reading each, of several points in turn."""
    return [(reading_topic("s1", "b1", f"p{n % points}"), reading(NOW - n, 20.0)) for n in range(count)]
