"""Readings become messages without losing a bit, a row or their place."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heatwatch.domain.instants import HOUR_MS, MINUTE_MS
from heatwatch.domain.register import PointRow
from heatwatch.domain.temperature import RoomClass
from simulators.publishing.encoding import MAX_BATCH, Encoder
from simulators.thermometers.devices import ThermometerSettings
from simulators.towns.settings import TownSettings
from simulators.towns.town import Town


def frame(temperatures: list[float], points: list[str] | None = None) -> pd.DataFrame:
    points = points or ["p"] * len(temperatures)
    return pd.DataFrame({"time_ms": range(len(points)), "point_id": points, "temperature_c": temperatures})


def row(point: str, building: str, *, since: int | None = None, until: int | None = None) -> PointRow:
    instants = [None if ms is None else datetime.fromtimestamp(ms / 1000, UTC) for ms in (since, until)]
    return PointRow(point, building, "s", RoomClass.APARTMENT, valid_from=instants[0], valid_to=instants[1])


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_a_temperature_keeps_its_64_bits(temperatures: list[float]) -> None:
    payloads = Encoder().encode(frame(temperatures)).payloads
    sent = [struct.pack("d", json.loads(payload, parse_int=float)["t"]) for payload in payloads]
    assert sent == [struct.pack("d", value) for value in temperatures]


@pytest.mark.parametrize("nothing", [np.nan, np.inf, -np.inf])
def test_no_finite_number_is_sent_as_null(nothing: float) -> None:
    (payload,) = Encoder().encode(frame([nothing])).payloads
    assert json.loads(payload) == {"ts": 0, "t": None}


def test_what_is_missing_is_left_out() -> None:
    readings = frame([19.4, 19.5]).assign(humidity_pct=[41.0, np.nan], battery_pct=[87, 86], seq=[812, 813])
    payloads = [json.loads(payload) for payload in Encoder().encode(readings).payloads]
    assert payloads == [
        {"ts": 0, "t": 19.4, "rh": 41.0, "bat": 87, "seq": 812},
        {"ts": 1, "t": 19.5, "bat": 86, "seq": 813},
    ]


def test_each_point_publishes_at_its_place_and_strangers_nowhere() -> None:
    readings = frame([20.0] * 3, ["a/1", "b", "a/1"])
    topics = Encoder([row("a/1", "b1")]).encode(readings).topics
    assert topics == ["heat/s/b1/a%2F1/reading", "heat/_/_/b/reading", "heat/s/b1/a%2F1/reading"]


def test_a_point_that_moves_publishes_where_it_is() -> None:
    readings = frame([20.0] * 4, ["a"] * 4).assign(time_ms=[500, 1000, 2500, 3000])
    rows = [row("a", "second", since=3000), row("a", "first", since=1000, until=2000)]
    buildings = [topic.split("/")[2] for topic in Encoder(rows).encode(readings).topics]
    assert buildings == ["first", "first", "first", "second"]


def test_no_readings_are_no_messages() -> None:
    assert len(Encoder().encode(frame([]))) == 0
    assert len(Encoder(batch_ms=MINUTE_MS).encode(frame([]))) == 0


def test_an_unreadable_payload_is_no_json() -> None:
    (payload,) = Encoder().encode(frame([20.0]).assign(unreadable=True)).payloads
    with pytest.raises(json.JSONDecodeError):
        json.loads(payload)


def test_batches_hold_every_reading_once_within_its_minute_and_building() -> None:
    town = Town(TownSettings(rooms=750, rooms_per_building=250, thermometers=ThermometerSettings(unreadable_share=0.5)))
    readings = town.readings(town.start_ms, town.start_ms + HOUR_MS)
    messages = Encoder(town.points(), batch_ms=MINUTE_MS).encode(readings)
    assert (np.diff(messages.time_ms) >= 0).all()
    assert messages.sizes.sum() == len(readings)
    sent = []
    for at, (topic, payload) in enumerate(zip(messages.topics, messages.payloads, strict=True)):
        if topic.endswith("/readings"):
            batch = json.loads(payload)
            assert len(batch) == messages.sizes[at] <= MAX_BATCH
            assert len({one["ts"] // MINUTE_MS for one in batch}) == 1
            assert batch[-1]["ts"] == messages.time_ms[at]
            assert {"-".join(one["point"].split("-")[:2]) for one in batch} == {topic.split("/")[3]}
            sent += [(one["ts"], one["point"], one["t"]) for one in batch]
    readable = readings[~readings["unreadable"]]
    rows = zip(readable["time_ms"], readable["point_id"], readable["temperature_c"], strict=True)
    assert sorted(sent) == sorted(rows)
    assert len(messages) < len(readings) / 20
    assert sum(not topic.endswith("/readings") for topic in messages.topics) == readings["unreadable"].sum() > 0


def test_flags_and_devices_are_told_where_there_are_any() -> None:
    readings = frame([20.0] * 3).assign(
        flags=["low_battery", "", "a,b"], device_id=pd.Series(["", "d", None], dtype="str")
    )
    payloads = [json.loads(payload) for payload in Encoder().encode(readings).payloads]
    assert payloads == [
        {"ts": 0, "t": 20.0, "flags": ["low_battery"]},
        {"ts": 1, "t": 20.0, "device": "d"},
        {"ts": 2, "t": 20.0, "flags": ["a", "b"]},
    ]
    (batch,) = Encoder(batch_ms=MINUTE_MS).encode(readings).payloads
    assert [one.get("point") for one in json.loads(batch)] == ["p", None, "p"]


def test_readings_of_a_group_go_in_one_message_when_they_are_sent() -> None:
    readings = frame([1.0, 2.0, 3.0, 4.0, 5.0], ["a", "a", "b", "a", "a"]).assign(
        sent_ms=[7, 7, 7, 7, 9], group=[3, 3, 3, -1, 3], timeless=[True, False, False, False, False]
    )
    messages = Encoder().encode(readings)
    assert messages.time_ms.tolist() == [7, 7, 7, 9]
    assert messages.sizes.tolist() == [2, 1, 1, 1]
    first, *others = [json.loads(payload) for payload in messages.payloads]
    assert first == [{"t": 1.0}, {"ts": 1, "t": 2.0}]
    assert [one["t"] for one in others] == [3.0, 4.0, 5.0]
    assert messages.part(1, 3).sizes.tolist() == [1, 1]


def test_what_is_to_be_retained_says_so_in_any_cut() -> None:
    readings = frame([1.0, 2.0, 3.0]).assign(retain=[False, True, False])
    messages = Encoder().encode(readings)
    assert messages.retain().tolist() == [False, True, False]
    assert messages.part(1, 2).retain().tolist() == [True]
    assert messages.merged(Encoder().encode(frame([4.0]))).retain().tolist() == [False, False, True, False]
    batches = Encoder(batch_ms=MINUTE_MS).encode(readings)
    assert sorted(zip(batches.sizes.tolist(), batches.retain().tolist(), strict=True)) == [(1, True), (2, False)]
    assert Encoder().encode(frame([1.0])).retained is None
