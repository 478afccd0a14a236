"""Publishing to real brokers: in order, step by step, and again where something was lost."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pytest
from iotcore import Broker
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from heatwatch import wire
from heatwatch.domain.instants import HOUR_MS, MINUTE_MS
from heatwatch.errors import Unavailable
from simulators.publishing import link
from simulators.publishing.publisher import Progress, SteppedPublisher
from simulators.publishing.replay import replay, simulate
from simulators.thermometers.way_faults import Duplicates, OutOfOrder, Retained, StoresAndForwards
from simulators.towns.events import Subject
from simulators.towns.settings import TownSettings
from simulators.towns.town import Town
from tests.peers import HOST, Mosquitto, free_port, mosquitto, wait_for
from tests.simulators.publishing.fake_serve import FakeServe

MINUTES = 1_768_176_000_000 + MINUTE_MS * np.arange(1_000)


class AnyBroker(Protocol):
    """A broker that can be stopped and started again on its port."""

    @property
    def port(self) -> int: ...
    def start(self) -> Any: ...
    def stop(self) -> Any: ...


@pytest.fixture(params=["mosquitto", "iotcore"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnyBroker]:
    if request.param == "mosquitto":
        with mosquitto(tmp_path) as server:
            yield server
    else:
        with Broker(port=free_port(), listen=HOST) as embedded:
            yield embedded


@pytest.fixture
def serve(broker: AnyBroker) -> Iterator[FakeServe]:
    fake = FakeServe(HOST, broker.port)
    yield fake
    fake.close()


def readings(*minutes: float) -> pd.DataFrame:
    time_ms = [int(MINUTES[0] + minute * MINUTE_MS) for minute in minutes]
    return pd.DataFrame({"time_ms": time_ms, "point_id": "p", "temperature_c": 20.0 + np.arange(len(minutes)) / 3.0})


def minutes_of(ticks: list[wire.Tick]) -> list[float]:
    return [(tick.now - int(MINUTES[0])) / MINUTE_MS for tick in ticks]


def in_background(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def steps_of(log: list[tuple[str, bytes]]) -> Iterator[tuple[int, list[int]]]:
    """Yield each tick's `now` with the times of what came since the tick before."""
    times: list[int] = []
    for topic, payload in log:
        if topic == wire.CLOCK_TOPIC:
            yield wire.Tick.model_validate_json(payload).now, times
            times = []
        else:
            one = json.loads(payload)
            times += [each["ts"] for each in (one if isinstance(one, list) else [one])]


class TestClock:
    """Which ticks are given; one broker is enough."""

    @pytest.fixture
    def broker(self) -> Iterator[AnyBroker]:
        with Broker(port=free_port(), listen=HOST) as embedded:
            yield embedded

    @pytest.mark.parametrize(
        ("measured", "until", "expected"),
        [
            ([0, 0.5, 1], None, [0, 1, 2]),
            ([0.5, 7.5], None, [0, 1, 8]),
            ([0.5, 150.5], None, [0, 1, 60, 120, 151]),
            ([0.5, 7.0], 7.0, [0, 1, 7]),
            ([0.5, 7.0, 9.0], 7.5, [0, 1, 7.5]),
            ([0.5], 90.0, [0, 1, 60, 90]),
            ([0.0], 0.0, [0, 0]),
        ],
    )
    def test_it_passes_over_silence_and_ends_where_it_is_told(
        self, serve: FakeServe, broker: AnyBroker, measured: list[float], until: float | None, expected: list[float]
    ) -> None:
        until_ms = None if until is None else int(MINUTES[0] + until * MINUTE_MS)
        with SteppedPublisher(HOST, broker.port, run="r") as publisher:
            reached = replay(readings(*measured), None, publisher, until_ms=until_ms)
        assert minutes_of(serve.ticks) == expected
        assert [tick.step for tick in serve.ticks] == list(range(len(expected)))
        assert reached.now_ms == serve.ticks[-1].now
        assert len(serve.readings) == reached.readings

    @pytest.mark.usefixtures("serve")
    def test_it_goes_at_the_speed_it_is_told(self, broker: AnyBroker) -> None:
        with SteppedPublisher(HOST, broker.port, run="r", speed=600.0) as publisher:
            begun_s = time.monotonic()
            replay(readings(*range(5)), None, publisher)
        assert 0.45 < time.monotonic() - begun_s < 2.0

    @pytest.mark.usefixtures("serve")
    def test_it_ends_soon_when_stopped(self, broker: AnyBroker) -> None:
        reached: list[Progress] = []
        with SteppedPublisher(HOST, broker.port, run="r", speed=1.0) as publisher:
            playing = in_background(lambda: reached.append(replay(readings(0, 1, 2), None, publisher)))
            publisher.stop()
            playing.join(2)
        assert [progress.readings for progress in reached] == [0]

    @pytest.mark.usefixtures("serve")
    def test_it_tells_its_progress(self, broker: AnyBroker) -> None:
        seen: list[Progress] = []
        with SteppedPublisher(HOST, broker.port, run="r") as publisher:
            replay(readings(0, 0.1, 1), None, publisher, progress=seen.append)
        assert [(progress.readings, progress.steps) for progress in seen] == [(2, 1), (3, 2)]

    def test_the_clock_cannot_end_before_the_readings(self, broker: AnyBroker) -> None:
        publisher = SteppedPublisher(HOST, broker.port, run="r")
        with pytest.raises(ValueError, match="the clock would end"):
            publisher.play(lambda _start, _end: None, 0, 1_000, until_ms=500)  # type: ignore[arg-type,return-value]

    def test_a_broker_that_is_not_there_is_named(self) -> None:
        port = free_port()
        publisher = SteppedPublisher(HOST, port, run="r", timeout_s=0.6)
        with pytest.raises(Unavailable, match=rf"broker 127.0.0.1:{port} .*to accept a connection"), publisher:
            pass

    def test_a_serve_that_does_not_answer_is_named(
        self, serve: FakeServe, broker: AnyBroker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(link, "_FIRST_WARNING_S", 0.1)
        serve.answers.clear()
        with (
            caplog.at_level(logging.WARNING),
            SteppedPublisher(HOST, broker.port, run="r7", timeout_s=1.2) as publisher,
            pytest.raises(Unavailable, match=r"heatwatch serve does not answer: .* step 0 of run r7 to be done"),
        ):
            replay(readings(0), None, publisher)
        assert "waiting for heatwatch serve" in caplog.text
        assert serve.readings == []


def test_a_towns_readings_come_in_order_each_before_the_tick_of_its_step(serve: FakeServe, broker: AnyBroker) -> None:
    town = Town(TownSettings(rooms=60))
    with SteppedPublisher(HOST, broker.port, run="r") as publisher:
        reached = simulate(town, publisher, town.start_ms, town.start_ms + 2 * HOUR_MS)
    sent = town.readings(town.start_ms, town.start_ms + 2 * HOUR_MS)
    sent_ms = sent.loc[~sent["unreadable"], "time_ms"].tolist()
    readable = [message for message in serve.log if message[1].endswith(b"}")]
    arrived = list(steps_of(readable))
    assert [ts for _, times in arrived for ts in times] == sent_ms
    for (before_ms, _), (now_ms, times) in pairwise(arrived):
        assert all(before_ms <= ts < now_ms for ts in times)
    assert reached == Progress(len(sent), len(sent), 120, town.start_ms + 2 * HOUR_MS)


def test_stations_tell_their_supply_every_five_minutes_in_the_step_of_its_time(
    serve: FakeServe, broker: AnyBroker
) -> None:
    town = Town(TownSettings(rooms=24, stations=2))
    end_ms = town.start_ms + HOUR_MS
    with SteppedPublisher(HOST, broker.port, run="r", step_ms=7 * MINUTE_MS) as publisher:
        reached = simulate(town, publisher, town.start_ms, end_ms, supply=True)
    told = [(topic.split("/")[1], json.loads(said)) for topic, said in serve.readings if topic.endswith("/_/supply")]
    expected = town.supply_frame(town.start_ms, end_ms)
    ms = expected["time"].to_numpy("datetime64[ms]").astype("int64")
    names = ["supply_c", "return_c", "flow_m3_h"]
    assert [(station, *one.values()) for station, one in told] == list(
        zip(expected["subject_id"], ms.tolist(), *(expected[name].tolist() for name in names), strict=True)
    )
    assert all(list(one) == ["ts", *names] for _, one in told)
    assert len(told) == 2 * 12
    rooms = len(town.sent(town.start_ms, end_ms))
    assert (reached.messages, reached.readings) == (rooms + len(told), rooms + 3 * len(told))


def test_gateways_publish_batches_of_the_same_readings(serve: FakeServe, broker: AnyBroker) -> None:
    town = Town(TownSettings(rooms=60))
    with SteppedPublisher(HOST, broker.port, run="r", step_ms=5 * MINUTE_MS) as publisher:
        reached = simulate(town, publisher, town.start_ms, town.start_ms + HOUR_MS, batch=True)
    sizes = [len(json.loads(payload)) for topic, payload in serve.readings if topic.endswith("/readings")]
    singles = sum(topic.endswith("/reading") for topic, _ in serve.readings)
    assert sum(sizes) + singles == reached.readings == len(town.readings(town.start_ms, town.start_ms + HOUR_MS))
    assert len(sizes) == 5 * 12


def test_what_comes_late_is_published_when_it_is_sent(serve: FakeServe, broker: AnyBroker) -> None:
    """History in bursts, out of order, and twice: in the step of its sending, whatever its time."""
    quiet = TownSettings(rooms=24, rooms_per_building=12, silent_h=0)
    houses = [Subject("building", "S1-B01"), Subject("building", "S2-B02")]
    end_ms = quiet.start_ms + 3 * HOUR_MS
    span = (quiet.start_ms, end_ms + HOUR_MS)
    faults = (
        StoresAndForwards(houses[0], *span, every_h=1.0),
        OutOfOrder(houses[1], *span),
        Duplicates(houses[1], *span),
    )
    town = Town(replace(quiet, faults=faults))
    with SteppedPublisher(HOST, broker.port, run="r") as publisher:
        reached = simulate(town, publisher, town.start_ms, end_ms)
    sent = town.sent(town.start_ms, end_ms)
    assert reached.readings == len(sent)
    readable = sent[~sent["unreadable"]]
    log = [message for message in serve.log if message[1].endswith((b"}", b"]"))]
    before_ms, published = town.start_ms, 0
    for now_ms, times in steps_of(log):
        here = readable["sent_ms"].between(before_ms, now_ms - 1)
        assert sorted(times) == sorted(readable.loc[here, "time_ms"])
        before_ms, published = now_ms, published + len(times)
    assert published == len(readable)


def test_a_broker_keeps_what_is_retained_for_who_comes_later(serve: FakeServe, broker: AnyBroker) -> None:
    quiet = TownSettings(rooms=12, rooms_per_building=12, silent_h=0)
    flat = Subject("room", "S1-B01-1-101")
    town = Town(replace(quiet, faults=(Retained(flat, quiet.start_ms, quiet.start_ms + HOUR_MS),)))
    with SteppedPublisher(HOST, broker.port, run="r") as publisher:
        simulate(town, publisher, town.start_ms, town.start_ms + 20 * MINUTE_MS)
    assert len(serve.readings) == len(town.sent(town.start_ms, town.start_ms + 20 * MINUTE_MS))
    late: list[tuple[str, bytes]] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _user, message: late.append((message.topic, bytes(message.payload)))
    client.on_connect = lambda client, *_: client.subscribe("heat/+/+/+/reading", 1)
    client.connect(HOST, broker.port)
    client.loop_start()
    wait_for(lambda: bool(late))
    client.disconnect()
    client.loop_stop()
    own = [message for message in serve.readings if message[0].endswith(f"{flat.name}/reading")]
    assert late == own[-1:]


def test_a_replay_publishes_every_row_once_with_its_exact_value(serve: FakeServe, broker: AnyBroker) -> None:
    rng = np.random.default_rng(7)
    count = 3_000
    rows = pd.DataFrame(
        {
            "time_ms": rng.choice(MINUTES[:200], count),
            "point_id": rng.choice(["a", "b/1", "c+"], count),
            "temperature_c": np.where(rng.random(count) < 0.01, np.nan, rng.normal(20.0, 2.0, count)),
        }
    )
    rows = pd.concat([rows, rows[:50]], ignore_index=True)
    with SteppedPublisher(HOST, broker.port, run="r") as publisher:
        assert replay(rows, None, publisher).readings == len(rows)
    arrived = [(wire.split_topic(topic), json.loads(payload)) for topic, payload in serve.readings]
    assert {topic[1:3] for topic, _ in arrived} == {(wire.NOWHERE, wire.NOWHERE)}
    ordered = rows.sort_values("time_ms", kind="stable")
    assert [body["ts"] for _, body in arrived] == ordered["time_ms"].tolist()
    assert [topic[3] for topic, _ in arrived] == ordered["point_id"].tolist()
    values = np.array([body["t"] for _, body in arrived], dtype=np.float64)
    np.testing.assert_array_equal(values, ordered["temperature_c"].to_numpy())


def test_the_next_step_waits_until_the_last_one_is_done(serve: FakeServe, broker: AnyBroker) -> None:
    with SteppedPublisher(HOST, broker.port, run="r", timeout_s=20) as publisher:
        playing = in_background(lambda: replay(readings(*range(50)), None, publisher))
        wait_for(lambda: len(serve.ticks) > 5)
        serve.answers.clear()
        time.sleep(0.3)
        stood = len(serve.log)
        time.sleep(0.5)
        assert len(serve.log) == stood
        assert serve.log[-1][0] == wire.CLOCK_TOPIC
        serve.answer()
        playing.join(10)
    assert [json.loads(payload)["ts"] for _, payload in serve.readings] == MINUTES[:50].tolist()


def test_a_report_that_another_publisher_s_has_hidden_is_asked_for_again(serve: FakeServe, broker: AnyBroker) -> None:
    with SteppedPublisher(HOST, broker.port, run="r", timeout_s=10) as publisher:
        playing = in_background(lambda: replay(readings(*range(50)), None, publisher))
        wait_for(lambda: len(serve.ticks) > 5)
        serve.answers.clear()
        time.sleep(0.3)
        serve.answers.set()
        playing.join(10)
    assert [json.loads(payload)["ts"] for _, payload in serve.readings] == MINUTES[:50].tolist()


def test_a_serve_that_was_killed_finds_the_step_waiting(serve: FakeServe, broker: AnyBroker) -> None:
    with SteppedPublisher(HOST, broker.port, run="r", timeout_s=20) as publisher:
        playing = in_background(lambda: replay(readings(*range(300)), None, publisher))
        wait_for(lambda: len(serve.ticks) > 5)
        serve.close()
        time.sleep(0.5)
        successor = FakeServe(HOST, broker.port)
        playing.join(10)
        successor.close()
    arrived = [json.loads(payload)["ts"] for _, payload in serve.readings + successor.readings]
    assert sorted(set(arrived)) == MINUTES[:300].tolist()
    assert successor.ticks[-1].now == int(MINUTES[300])


def test_a_replay_may_begin_before_serve_does(broker: AnyBroker) -> None:
    with SteppedPublisher(HOST, broker.port, run="r", timeout_s=20) as publisher:
        playing = in_background(lambda: replay(readings(*range(20)), None, publisher))
        time.sleep(0.3)
        late = FakeServe(HOST, broker.port)
        playing.join(10)
        late.close()
    assert [json.loads(payload)["ts"] for _, payload in late.readings] == MINUTES[:20].tolist()


def test_what_the_broker_lost_is_sent_again_before_the_clock_moves_on(serve: FakeServe, broker: AnyBroker) -> None:
    with SteppedPublisher(HOST, broker.port, run="r", timeout_s=20) as publisher:
        playing = in_background(lambda: replay(readings(*np.arange(2_000) / 4.0), None, publisher))
        wait_for(lambda: len(serve.ticks) > 20)
        broker.kill() if isinstance(broker, Mosquitto) else broker.stop()
        time.sleep(0.2)
        broker.start()
        playing.join(20)
    expected = readings(*np.arange(2_000) / 4.0)["time_ms"].tolist()
    arrived = [json.loads(payload)["ts"] for _, payload in serve.readings]
    assert sorted(set(arrived)) == expected
    assert len(arrived) <= len(expected) + 3 * 4
    assert serve.ticks[-1].now == int(MINUTES[500])


def test_what_the_broker_lost_is_sent_again_on_every_connection(serve: FakeServe, broker: AnyBroker) -> None:
    sent = readings(*np.arange(4_000) / 20.0)
    sent["point_id"] = [f"p{number % 40:02}" for number in range(len(sent))]
    with SteppedPublisher(HOST, broker.port, run="r", timeout_s=20, connections=30) as publisher:
        playing = in_background(lambda: replay(sent, None, publisher))
        for ticks in (20, 60, 100):
            wait_for(lambda least=ticks: len(serve.ticks) > least)  # type: ignore[misc]
            broker.kill() if isinstance(broker, Mosquitto) else broker.stop()
            time.sleep(0.2)
            broker.start()
        playing.join(30)
    arrived = [(wire.split_topic(topic)[3], json.loads(payload)["ts"]) for topic, payload in serve.readings]
    firsts = list(dict.fromkeys(arrived))
    expected = list(zip(sent["point_id"], sent["time_ms"], strict=True))
    assert sorted(firsts) == sorted(expected)
    assert serve.ticks[-1].now == int(MINUTES[200])


def test_without_a_clock_there_are_readings_only(serve: FakeServe, broker: AnyBroker) -> None:
    with SteppedPublisher(HOST, broker.port, run="r", clock=False) as publisher:
        replay(readings(*np.arange(5_000) / 10.0), None, publisher)
    wait_for(lambda: len(serve.log) == 5_000)
    assert serve.ticks == []
