"""Whatever comes, cut into whatever batches, with whatever crashes between: the identity holds and says the same."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heatwatch.domain.instants import DAY_MS
from heatwatch.stores.readings import Outcome, Written
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
        "supply_c": st.sampled_from([60.0, None, "60"]),
        "flow_m3_h": st.sampled_from([12, True]),
        "co2": st.just(700),
    },
)
PAYLOADS = (OBJECTS | st.lists(OBJECTS, max_size=4)).map(lambda one: json.dumps(one).encode()) | st.sampled_from(
    [b"", b"\xff", b"7", b"[7]", b"[]"]
)
TOPICS = st.sampled_from(
    [b"heat/s/b/POINT/reading", gateway_topic("s", "g").encode(), b"heat/s/POINT/supply", b"heat/s/\xff"]
)
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


def _reading(time_ms: int) -> Message:
    return Message(b"heat/s/b/p/reading", json.dumps({"ts": time_ms, "t": 20.0}).encode(), NOW)


def test_what_arrives_too_late_is_kept_counted_and_listed() -> None:
    """To the millisecond; a row that is not kept again is not counted again."""
    clock = replace(WALL, late_most_ms=DAY_MS)
    times = [NOW - DAY_MS, NOW - DAY_MS - 1, NOW - 3 * DAY_MS, NOW - 5 * DAY_MS]
    found = sort([Entry(n, _reading(at)) for n, at in enumerate(times, 1)], "w", DECODERS, clock)
    assert found.batch().arrived_ms.tolist() == [NOW] * 4
    stored, duplicate, conflict, _ = Outcome
    delivery = found.settle(Written(np.array([stored, stored, conflict, duplicate], np.int8)))
    assert delivery.too_late == {"p": (NOW - 3 * DAY_MS, NOW - DAY_MS - 1, 2, NOW)}
    unbounded = sort([Entry(1, _reading(NOW - 9 * DAY_MS))], "w", DECODERS, WALL)
    assert unbounded.settle(Written(np.zeros(1, np.int8))).too_late == {}


def test_in_a_replay_a_reading_arrives_by_the_clock_of_the_replay() -> None:
    """What was measured years ago is not late because it is replayed today."""
    long_ago = NOW - 900 * DAY_MS
    clock = Clock(replayed=True, now_ms=None, ahead_limit_ms=600_000, late_most_ms=DAY_MS)
    first = sort([Entry(1, _reading(long_ago))], "w", DECODERS, clock)
    assert first.batch().arrived_ms.tolist() == [long_ago]
    ticked = clock.after(Tick(run="r", step=1, now=long_ago, ahead_ms=60_000))
    entries = [Entry(n, _reading(at)) for n, at in enumerate((long_ago, long_ago + 1, long_ago - 2 * DAY_MS), 1)]
    later = sort(entries, "w", DECODERS, ticked)
    assert later.batch().arrived_ms.tolist() == [long_ago, long_ago + 1, long_ago], "who is in time is not late at all"
    assert later.settle(Written(np.zeros(3, np.int8))).too_late == {
        "p": (long_ago - 2 * DAY_MS, long_ago - 2 * DAY_MS, 1, long_ago)
    }
