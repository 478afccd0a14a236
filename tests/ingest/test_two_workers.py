"""Two ingest workers that share a subscription, one of which dies: nothing is lost, and each reading is kept once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from heatwatch.records.database import Records
from heatwatch.settings import Settings, StoreKind
from heatwatch.stores.influx.connecting import open_readings
from heatwatch.usecases.delivery import DeliverySummary, identities
from heatwatch.usecases.workers import identities_by_worker
from heatwatch.wire import gateway_topic, reading_topic
from ingest.inspecting import inspect
from tests.e2e.processes import Serve
from tests.influxdb import Influx1
from tests.ingest.station import NOW, publisher, reading
from tests.peers import Mosquitto, wait_for
from tests.postgresql import new_database

WORKERS = ("a", "b")
POINTS, TIMES = 12, 40
PART = 400
"""How many messages go out between one deed and the next."""


def load(rng: np.random.Generator) -> list[tuple[str, Any]]:
    """Return messages of which each reading is in several, at times with another value, and some that are none."""
    told: list[tuple[str, Any]] = []
    for number in range(POINTS * TIMES):
        point, time_ms = f"p{number % POINTS}", NOW - 60_000 * (number // POINTS)
        values = [20.0, 20.0, 20.0] if number % 4 else [20.0, 21.0, 20.0, 21.0, 22.0]
        told += [(reading_topic("s1", "b1", point), reading(time_ms, value)) for value in values]
        if number % 9 == 0:
            told.append((reading_topic("s1", "b1", point), b"no JSON"))
            more = [{**reading(time_ms, value), "point": point} for value in (20.0, 23.0)]
            told.append((gateway_topic("s1", "g1"), more))
    return [told[number] for number in rng.permutation(len(told))]


def said(messages: list[tuple[str, Any]]) -> set[tuple[str, int, float]]:
    """Return each reading that was published, once."""
    found = set()
    for topic, payload in messages:
        for one in payload if isinstance(payload, list) else [payload]:
            if not isinstance(one, bytes):
                found.add((one.get("point") or topic.split("/")[3], one["ts"], one["t"]))
    return found


@contextmanager
def workers(settings: Mapping[str, Settings], environment: Mapping[str, str]) -> Iterator[dict[str, Serve]]:
    """Give two processes that take readings in, started at once."""
    serves = {
        name: Serve(
            one.data_dir, "--role", "ingest", environment={**environment, "HEATWATCH_WORKER": name}, settings=one
        )
        for name, one in settings.items()
    }
    try:
        starting = [threading.Thread(target=serve.start) for serve in serves.values()]
        for thread in starting:
            thread.start()
        for thread in starting:
            thread.join()
        yield serves
    finally:
        for serve in serves.values():
            if hasattr(serve, "process"):
                serve.kill()


def test_two_workers_of_which_one_dies_lose_nothing_and_keep_each_reading_once(
    tmp_path: Path, mosquitto: Mosquitto, influx: Influx1, postgres: str
) -> None:
    address = new_database(postgres).replace("+psycopg", "")
    environment = {
        "HEATWATCH_STORE": str(StoreKind.INFLUXDB_1),
        "HEATWATCH_INFLUX_URL": influx.url,
        "HEATWATCH_RECORDS": address,
        "HEATWATCH_BROKER": f"mqtt://127.0.0.1:{mosquitto.port}",
        "HEATWATCH_SHARED_GROUP": "g",
    }
    settings = {name: Settings(data_dir=tmp_path / name, records=address, worker=name) for name in WORKERS}
    messages = load(np.random.default_rng(1))
    parts = [messages[first : first + PART] for first in range(0, len(messages), PART)]
    with closing(Records(settings["a"].records_url)) as records, workers(settings, environment) as serves:

        def delivered() -> DeliverySummary:
            last = {name: found.last for name in WORKERS if (found := inspect(settings[name].journal_dir)) is not None}
            with records.read() as session:
                whole = identities(session, last)
                assert all(one.holds for one in identities_by_worker(session).values())
            assert whole.holds, whole
            return whole

        with publisher(mosquitto.port) as out:
            for number, part in enumerate(parts):
                if number == 1:
                    killing = threading.Timer(0.03, serves["a"].kill)
                    killing.start()
                out.send_all(part)
                delivered()
                if number == 1:
                    killing.join()
                if number == len(parts) - 2:
                    serves["a"].start()
        wait_for(lambda: (now := delivered()).messages["received"] >= len(messages) and not now.messages["waiting"], 20)
        time.sleep(0.2)
        whole = delivered()
        with records.read() as session:
            each = identities_by_worker(session)
        assert all(serve.stop() == 0 for serve in serves.values())
    assert each.keys() == {*WORKERS}
    assert all(one.readings["stored"] for one in each.values())
    assert any(one.readings["duplicate"] for one in each.values())
    with closing(open_readings(Settings(store=StoreKind.INFLUXDB_1, influx_url=influx.url))) as store:
        kept = store.read()
    rows = [
        (kept.source[code], at, value)
        for code, at, value in zip(kept.code.tolist(), kept.time_ms.tolist(), kept.temp_c.tolist(), strict=True)
    ]
    published = said(messages)
    assert len(rows) == len(set(rows))
    assert set(rows) == published
    instants = {(source, at) for source, at, _ in published}
    assert whole.readings["stored"] == len(instants)
    assert whole.readings["conflict"] == len(published) - len(instants)
