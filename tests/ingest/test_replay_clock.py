"""The clock of a replay: ticks come after the readings before them, and are done when every role has done them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heatwatch.records.progress import advance, progress
from heatwatch.usecases.delivery import Delivery, clock_done, commit_delivery
from heatwatch.wire import CLOCK_DONE_TOPIC, CLOCK_TOPIC, Done, Tick, reading_topic
from ingest.broker import EmbeddedBroker
from ingest.clock import ROLES
from tests.ingest.station import NOW, TOPIC, Station, publisher, reading, station
from tests.peers import Mosquitto, wait_for

FAR = 10**9


@pytest.fixture(params=["mosquitto", "embedded"])
def broker_port(request: pytest.FixtureRequest) -> Iterator[int]:
    """Give the port of each broker that we support out of the box."""
    if request.param == "mosquitto":
        yield request.getfixturevalue("mosquitto").port
    else:
        with EmbeddedBroker() as broker:
            yield broker.port


def tick(step: int, now_ms: int, run: str = "r1") -> tuple[str, Any]:
    return CLOCK_TOPIC, Tick(run=run, step=step, now=now_ms).model_dump()


def others_reach(place: Station, arrival_seq: int) -> None:
    """Let the roles of others say that they have done every arrival up to this one."""
    with place.records.write() as session:
        for role in set(ROLES) - {"ingest"}:
            advance(session, role, arrival_seq, None, None)
    place.bell.ring()


def test_a_tick_comes_after_the_readings_that_were_published_before_it(tmp_path: Path, broker_port: int) -> None:
    """Between two topics too: it is for this that ingest subscribes once to everything."""
    steps, each = 12, 15
    messages = [
        message
        for step in range(steps)
        for message in [
            *((reading_topic("s1", f"b{n % 3}", f"p{n}"), reading(NOW + step * 1000 + n)) for n in range(each)),
            tick(step, NOW + step * 1000),
        ]
    ]
    with station(tmp_path, broker_port, "replay") as place, publisher(broker_port) as sender:
        with place.working():
            wait_for(place.ready)
        sender.send_all(messages)
        with place.working():
            found = place.settle(len(messages))
        arrivals = place.arrivals()
    assert found.messages["no_reading"] == steps
    assert [entry.tick["step"] for entry in arrivals if entry.tick] == list(range(steps))
    seen = set[int]()
    for entry in arrivals:
        if entry.tick:
            assert entry.touched == []
            assert seen == {NOW + step * 1000 + n for step in range(entry.tick["step"] + 1) for n in range(each)}
        seen |= {first for _, first, last, rows in entry.touched if first == last and rows == 1}


def test_a_tick_is_done_when_every_role_has_done_it_and_is_said_again_to_who_asks_later(
    tmp_path: Path, broker_port: int
) -> None:
    with station(tmp_path, broker_port, "replay") as place, publisher(broker_port) as sender:
        with place.working():
            wait_for(place.ready)
            sender.send_all([(TOPIC, reading(NOW)), tick(7, NOW + 60_000)])
            place.settle(2)
            with place.records.read() as session:
                own = progress(session, "ingest")
                assert own is not None
                assert (own.as_of_ms, own.tick) == (
                    NOW + 60_000,
                    {"run": "r1", "step": 7, "now": NOW + 60_000, "ahead_ms": 0},
                )
                assert clock_done(session, ROLES) is None
            others_reach(place, own.arrival_seq - 1)
            heard: list[Done] = []
            listening: dict[str, Any] = {
                "on_message": lambda _topic, payload: heard.append(Done.model_validate_json(payload)),
                "topic": CLOCK_DONE_TOPIC,
            }
            with publisher(broker_port, **listening):
                assert not heard
                others_reach(place, own.arrival_seq)
                wait_for(lambda: heard)
            assert heard[0] == Done(run="r1", step=7, now=NOW + 60_000, roles=list(ROLES))
            with publisher(broker_port, **listening):
                wait_for(lambda: len(heard) == 2)
        assert place.summary().messages["received"] == 2


def test_what_is_done_is_said_on_each_new_connection(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with station(tmp_path, mosquitto.port, "replay") as place:
        others_reach(place, FAR)
        with place.working():
            wait_for(place.ready)
            with publisher(mosquitto.port) as sender:
                sender.send_all([tick(1, NOW)])
                place.settle(1)
        heard: list[bytes] = []
        listening = {"on_message": lambda _topic, payload: heard.append(payload), "topic": CLOCK_DONE_TOPIC}
        with publisher(mosquitto.port) as sender:
            sender.send(b"", CLOCK_DONE_TOPIC, retain=True)
        with publisher(mosquitto.port, **listening), place.working():
            wait_for(lambda: heard)
    assert Done.model_validate_json(heard[0]).step == 1


def test_the_clock_never_goes_back_not_even_in_another_run(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with station(tmp_path, mosquitto.port, "replay") as place, publisher(mosquitto.port) as sender:
        for received, (step, now_ms, run) in enumerate([(1, NOW, "r1"), (2, NOW - 5, "r1"), (1, NOW - 9, "r2")], 1):
            with place.working():
                wait_for(place.ready)
                sender.send_all([tick(step, now_ms, run)])
                place.settle(received)
        ticks = [entry.tick for entry in place.arrivals()]
    assert [(entry["run"], entry["step"], entry["now"]) for entry in ticks if entry] == [
        ("r1", 1, NOW),
        ("r1", 2, NOW),
        ("r2", 1, NOW),
    ]


def test_plausible_is_what_the_last_tick_allows(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Before the first tick there is no clock to be ahead of; the wall clock is never asked."""
    with station(tmp_path, mosquitto.port, "replay") as place, publisher(mosquitto.port) as sender:
        place.wall_ms = 0
        with place.working():
            wait_for(place.ready)
            sender.send_all([(TOPIC, reading(NOW + FAR)), tick(1, NOW), (TOPIC, reading(NOW + 599_999))])
            sender.send_all([(TOPIC, reading(NOW + 600_000)), tick(2, NOW + 1), (TOPIC, reading(NOW + 600_000))])
            place.settle(6)
        with place.working():
            wait_for(place.ready)
            sender.send(reading(NOW + 600_001))
            found = place.settle(7)
        assert [row.sequence for row in place.quarantine()] == [4, 7]
    assert (found.readings["stored"], found.readings["quarantined"]) == (3, 2)


def test_what_is_no_tick_is_quarantined_and_a_retained_one_is_old(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with station(tmp_path, mosquitto.port, "replay") as place, publisher(mosquitto.port) as sender:
        sender.send_all([tick(9, NOW)], retain=True)
        with place.working():
            place.settle(1)
            sender.send_all([(CLOCK_TOPIC, b"12:00"), (CLOCK_TOPIC, {"step": 1}), tick(1, NOW)])
            found = place.settle(4)
        reasons = [row.reason for row in place.quarantine()]
        assert [entry.tick["step"] for entry in place.arrivals() if entry.tick] == [1]
    assert (found.messages["quarantined"], found.messages["no_reading"]) == (2, 2)
    assert all(reason.startswith("no tick of a clock: ") for reason in reasons)


def test_step_after_step_waits_only_for_the_roles(tmp_path: Path, broker_port: int) -> None:
    """A hundred steps in lockstep, each sent when the one before is done."""
    heard: list[int] = []
    listening: dict[str, Any] = {
        "on_message": lambda _topic, payload: heard.append(Done.model_validate_json(payload).step),
        "topic": CLOCK_DONE_TOPIC,
    }
    with station(tmp_path, broker_port, "replay") as place, publisher(broker_port) as sender, place.working():
        wait_for(place.ready)
        others_reach(place, FAR)
        with publisher(broker_port, **listening):
            for step in range(100):
                sender.send_all([(TOPIC, reading(NOW + step)), tick(step, NOW + step)])
                wait_for(lambda: heard and heard[-1] == step)  # noqa: B023 - called before the next step
    assert heard == list(range(100))


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_done_is_the_last_tick_that_the_slowest_role_has_passed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    with station(tmp_path_factory.mktemp("replay"), 1, "replay") as place:
        ticks = dict[int, int]()
        for step in range(data.draw(st.integers(0, 5))):
            delivery = Delivery("w", step + 1, step + 1, tick=Tick(run="r", step=step, now=NOW + step))
            if data.draw(st.booleans()):
                delivery.touched["p1"] = (NOW, NOW, 1)
            with place.records.write() as session:
                arrival_seq = commit_delivery(session, delivery)
                assert arrival_seq is not None
                ticks[step] = arrival_seq
        reached = {role: data.draw(st.integers(0, 11)) for role in ROLES}
        with place.records.write() as session:
            for role, arrival_seq in reached.items():
                advance(session, role, arrival_seq, None, None)
        with place.records.read() as session:
            done = clock_done(session, ROLES)
        passed = [step for step, arrival_seq in ticks.items() if arrival_seq <= min(reached.values())]
        assert (None if done is None else done.step) == (max(passed) if passed else None)
