"""Whatever comes, cut into whatever batches, with whatever crashes between: the identity holds and says the same."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heatwatch.usecases.delivery import commit_delivery, readings_by_source
from heatwatch.wire import CLOCK_TOPIC, Tick, gateway_topic
from ingest.decoders import Decoders
from ingest.journal import Entry, Message
from ingest.sorting import Clock, sort
from tests.ingest.station import NOW, Station, station

WALL = Clock(replayed=False, now_ms=None, ahead_limit_ms=600_000)
DECODERS = Decoders()

OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "ts": st.sampled_from([NOW, NOW - 1, NOW - 2, 0, NOW + 600_000, "now"]),
        "t": st.sampled_from([20.0, 21, None, "20", True]),
        "device": st.sampled_from(["d1", "d2", "", "a\x00", 5]),
        "bat": st.sampled_from([80, "full"]),
        "co2": st.just(700),
    },
)
PAYLOADS = (OBJECTS | st.lists(OBJECTS, max_size=4)).map(lambda one: json.dumps(one).encode()) | st.sampled_from(
    [b"", b"\xff", b"7", b"[7]", b"[]"]
)
TOPICS = st.sampled_from([b"heat/s/b/POINT/reading", gateway_topic("s", "g").encode(), b"heat/s/\xff"])
MESSAGES = st.lists(st.builds(Message, TOPICS, PAYLOADS, st.just(NOW), st.booleans()), min_size=1, max_size=12)
NUMBER = count()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    with station(tmp_path_factory.mktemp("sorting"), 1) as made:
        yield made


def deliver(place: Station, worker: str, entries: list[Entry], *, crash: bool = False) -> None:
    found = sort(entries, worker, DECODERS, WALL)
    delivery = found.settle(place.store.write(found.batch()))
    if not crash:
        with place.records.write() as session:
            commit_delivery(session, delivery)


def totals(place: Station) -> Counter[str]:
    """Return both lines of the identity in all, and what each source adds up to."""
    found = place.summary().as_dict()
    flat = Counter({f"{line}.{term}": number for line, terms in found.items() for term, number in terms.items()})
    with place.records.read() as session:
        sources = readings_by_source(session).values()
    assert all(tally.holds for tally in sources)
    assert sum(tally.decoded for tally in sources) == flat["readings.decoded"]
    return flat


@settings(max_examples=40, deadline=None)
@given(MESSAGES, st.data())
def test_batches_and_crashes_change_nothing(place: Station, messages: list[Message], data: st.DataObject) -> None:
    before = totals(place)
    once = totals_of(place, messages, data, crashes=False)
    again = totals_of(place, messages, data, crashes=True)
    assert again - once == once - before
    assert (once - before)["messages.received"] == len(messages)


def totals_of(place: Station, messages: list[Message], data: st.DataObject, *, crashes: bool) -> Counter[str]:
    """Deliver messages as a worker of its own, on devices of its own."""
    worker = f"w{next(NUMBER)}"
    entries = [
        Entry(
            n,
            Message(
                one.topic.replace(b"POINT", worker.encode()), _owned(one.payload, worker), one.arrived_ms, one.retained
            ),
        )
        for n, one in enumerate(messages, start=1)
    ]
    start = 0
    while start < len(entries):
        end = data.draw(st.integers(start + 1, len(entries))) if crashes else len(entries)
        if crashes and data.draw(st.booleans()):
            deliver(place, worker, entries[start:end], crash=True)
        else:
            deliver(place, worker, entries[start:end])
            start = end
    return totals(place)


def _owned(payload: bytes, worker: str) -> bytes:
    return payload.replace(b'"d1"', f'"{worker}-1"'.encode()).replace(b'"d2"', f'"{worker}-2"'.encode())


@pytest.mark.parametrize(
    "wrong",
    [{"now": 10**30}, {"now": 10**17}, {"now": -(10**17)}, {"now": 0}, {"ahead_ms": -1}, {"ahead_ms": 10**17}],
)
def test_a_tick_that_cannot_be_right_is_quarantined_and_moves_no_clock(wrong: dict[str, int]) -> None:
    clock = Clock(replayed=True, now_ms=NOW, ahead_limit_ms=600_000)
    payload = json.dumps({"run": "r", "step": 1, "now": NOW, **wrong}).encode()
    delivery = sort([Entry(1, Message(CLOCK_TOPIC.encode(), payload, NOW))], "w", DECODERS, clock).delivery
    assert delivery.tick is None
    assert [(one.payload, "tick" in one.reason) for one in delivery.unusable] == [(payload, True)]


def test_in_a_replay_a_reading_may_be_ahead_by_the_clock_s_next_move_and_the_limit_and_no_more() -> None:
    told = Message(b"heat/s/b/p/reading", b"", NOW)
    tick = Tick(run="r", step=1, now=NOW, ahead_ms=3_600_000)
    clock = Clock(replayed=True, now_ms=None, ahead_limit_ms=600_000).after(tick)
    assert clock.at(told) == NOW + 3_600_000
    assert clock.after(None) == clock
    assert clock.after(tick.model_copy(update={"now": NOW + 1, "ahead_ms": 0})).at(told) == NOW + 1
