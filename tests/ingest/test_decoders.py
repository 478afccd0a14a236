"""What is read from a message, and what is refused with which reason."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heatwatch.domain.supply import SupplySource, rooms_only
from heatwatch.errors import BadInput
from heatwatch.wire import gateway_topic, reading_topic, supply_topic
from ingest import decoders
from ingest.decoders import Decoded, Decoders, NoReading, Reading, Undecodable, fault, sender

NOW = 1_764_038_400_000
POINT = reading_topic("s1", "b1", "p1").encode()
GATEWAY = gateway_topic("s1", "g1").encode()
OWN = Decoders()


def decode(payload: bytes | str | Any, topic: bytes = POINT) -> Decoded | NoReading:
    if not isinstance(payload, bytes):
        payload = (payload if isinstance(payload, str) else json.dumps(payload)).encode()
    return OWN.decode(topic, payload, NOW)


def readings(payload: bytes | str | Any, topic: bytes = POINT) -> Sequence[Reading]:
    found = decode(payload, topic)
    assert isinstance(found, Decoded)
    assert not found.refused
    return found.readings


def refusal(item: Any, topic: bytes = POINT) -> str:
    """Return why the only reading of a message was refused."""
    found = decode(item, topic)
    assert isinstance(found, Decoded)
    assert not found.readings
    return found.refused[0].reason


def test_the_example_of_the_convention() -> None:
    sent = '{"ts": 1764038400000, "t": 19.37, "rh": 41.0, "bat": 87, "rssi": -97, "seq": 812, "flags": ["low_battery"]}'
    assert readings(sent) == [Reading(0, "p1", NOW, 19.37, 41.0, 87.0, -97.0, "low_battery")]


def test_names_with_any_character_come_back_from_the_topic() -> None:
    name = "一单元/101 +#%"
    (one,) = readings({"ts": NOW, "t": 20}, reading_topic("s", "b", name).encode())
    assert one.source == name


def test_the_source_is_the_device_or_else_the_point() -> None:
    assert [one.source for one in readings({"ts": NOW, "t": 20, "device": "d7"})] == ["d7"]
    assert [one.source for one in readings({"ts": NOW, "t": 20, "point": "p1"})] == ["p1"]
    batch = [{"ts": NOW, "t": 20, "point": "p1"}, {"ts": NOW, "t": 20, "point": "p2", "device": "d2"}]
    assert [one.source for one in readings(batch, GATEWAY)] == ["p1", "d2"]
    assert refusal({"ts": NOW, "t": 20}, GATEWAY) == "names neither device nor point"
    assert refusal({"ts": NOW, "t": 20, "point": "p2"}) == "names another point than its topic: 'p2'"
    assert refusal({"ts": NOW, "t": 20, "device": 7}) == "name is no text: 7"


def test_a_batch_keeps_its_order_and_loses_only_what_is_wrong_in_it() -> None:
    found = decode(
        '[{"ts": 2000000000000, "t": 20.50}, 7 , {"ts": 1.5, "t": 1},{"bat": 3}, {"ts": 2000000000001, "t": 21}]'
    )
    assert isinstance(found, Decoded)
    assert [(one.position, one.temp_c) for one in found.readings] == [(0, 20.5), (4, 21.0)]
    assert [(one.position, one.reason) for one in found.refused] == [
        (1, "no object: 7"),
        (2, "ts is no whole number of ms: 1.5"),
    ]
    assert found.piece is not None
    assert [found.piece(n) for n in (0, 1, 2)] == [b'{"ts": 2000000000000, "t": 20.50}', b"7", b'{"ts": 1.5, "t": 1}']


def test_a_reading_without_a_value_is_heard() -> None:
    assert math.isnan(readings('{"ts": 1764038400000, "t": null}')[0].temp_c)
    assert math.isnan(readings('{"ts": 1764038400000, "t": NaN}')[0].temp_c)
    assert readings('{"ts": 1764038400000, "t": -Infinity}')[0].temp_c == -math.inf
    assert readings('{"ts": 1764038400000, "t": 1e999}')[0].temp_c == math.inf


@pytest.mark.parametrize("sentinel", [120.0, 150.0, 2147483647, -127, 85.0, 0])
def test_a_sentinel_is_kept_as_measured(sentinel: float) -> None:
    assert readings({"ts": NOW, "t": sentinel})[0].temp_c == sentinel


@pytest.mark.parametrize("value", ["NaN", "19.3", True, [19.3], {"c": 19.3}, 10**400])
def test_what_is_no_number_is_refused(value: Any) -> None:
    assert refusal({"ts": NOW, "t": value}).startswith("t is no number")
    assert refusal({"ts": NOW, "t": 20, "rh": value}).startswith("rh is no number")


@pytest.mark.parametrize("ts", ["1764038400000", True, 1764038400000.5, [], math.nan, math.inf])
def test_what_is_no_time_is_refused(ts: Any) -> None:
    assert refusal({"ts": ts, "t": 20}).startswith("ts is no whole number of ms")


def test_a_time_may_be_written_as_a_float_but_not_be_left_out() -> None:
    assert readings('{"ts": 1.7640384e12, "t": 20}')[0].time_ms == NOW
    assert refusal({"t": 20}) == "no time"
    assert refusal({"ts": None, "t": 20}) == "no time"


def test_a_message_about_other_things_holds_no_reading_but_a_misspelt_one_is_not_passed_over() -> None:
    assert isinstance(decode({"ts": NOW, "bat": 80, "rssi": -90}), NoReading)
    assert isinstance(decode([]), NoReading)
    assert refusal({"ts": NOW, "temp": 20}) == "no t, but unknown fields: ['temp']"
    assert [one.temp_c for one in readings({"ts": NOW, "t": 20, "co2": 700})] == [20]


@pytest.mark.parametrize("flags", ["low", [1], ["a,b"], {"a": 1}])
def test_flags_are_a_list_of_words(flags: Any) -> None:
    assert refusal({"ts": NOW, "t": 20, "flags": flags}).startswith("flags are no list of words")
    assert readings({"ts": NOW, "t": 20, "flags": ["a", "b"]})[0].flags == "a,b"
    assert readings({"ts": NOW, "t": 20, "flags": None})[0].flags == ""


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "payload is no JSON"),
        (b"19.3 C", "payload is no JSON"),
        (b'{"ts": 1, "t": 2', "payload is no JSON"),
        (b"[" * 100_000, "payload is no JSON"),
        (b"1" * 10_000, "payload is no JSON"),
        (b'"text"', "payload is no object and no array"),
        (b"19.3", "payload is no object and no array"),
        (b'{"t": "\xff"}', "payload is not UTF-8 at byte 7"),
        ('{"ts": 1, "t": 2}'.encode("utf-16"), "payload is not UTF-8 at byte 0"),
    ],
)
def test_a_message_that_cannot_be_read_says_why(payload: bytes, reason: str) -> None:
    with pytest.raises(Undecodable) as caught:
        decode(payload)
    assert caught.value.reason.startswith(reason)
    assert caught.value.reason.isascii() or "…" in caught.value.reason
    assert len(caught.value.reason) < 150


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        (b"heat/s1/supply", "no decoder takes this topic"),
        (b"heat/s1/b1/p1/readings", "no decoder takes this topic"),
        (b"heat/s1/b1/\xff/reading", "topic is not UTF-8"),
        (b"heat/s1/b1/%FF/reading", "a level of the topic is not UTF-8"),
    ],
)
def test_a_topic_that_is_not_ours_says_why(topic: bytes, reason: str) -> None:
    with pytest.raises(Undecodable) as caught:
        decode({"ts": NOW, "t": 20}, topic)
    assert caught.value.reason == reason


def reading(source: str = "p", time_ms: int = NOW, flags: str = "") -> Reading:
    return Reading(0, source, time_ms, 20.0, flags=flags)


@pytest.mark.parametrize("time_ms", [0, -1, NOW // 1000, 946_684_799_999, 4_102_444_800_000, 10**30])
def test_a_clock_that_was_never_set_or_counts_seconds_is_a_fault_whatever_the_time(time_ms: int) -> None:
    assert fault(reading(time_ms=time_ms), None, 0).startswith("time cannot be right")
    assert fault(reading(time_ms=946_684_800_000), None, 0) == ""


def test_a_time_ahead_of_the_clock_is_a_fault_from_the_limit_on() -> None:
    assert fault(reading(time_ms=NOW + 599_999), NOW, 600_000) == ""
    ahead = "time 2025-11-25T02:50:00.000Z is ahead of the clock, 2025-11-25T02:40:00.000Z"
    assert fault(reading(time_ms=NOW + 600_000), NOW, 600_000) == ahead
    assert fault(reading(time_ms=NOW + 600_000), None, 600_000) == ""
    jumped = reading(time_ms=NOW + 2**22 * 1000)
    assert fault(jumped, NOW, 600_000).startswith("time 2026-01-12")


@pytest.mark.parametrize("name", ["", "a\x00b", "\ud800", "a\nb", "x" * 256])
def test_a_name_that_a_database_would_refuse_is_a_fault(name: str) -> None:
    assert fault(reading(source=name), NOW, 0).startswith("source is no name")
    assert decoders.countable(name) == ""


def test_flags_that_a_database_would_refuse_are_a_fault() -> None:
    assert fault(reading(flags="a\x00"), NOW - 1, 10).startswith("flags cannot be kept")


def test_the_sender_is_the_point_or_the_gateway_and_otherwise_the_topic() -> None:
    assert sender(reading_topic("s", "b", "p/1").encode()) == "p/1"
    assert sender(GATEWAY) == "g1"
    assert sender(b"heat/s1/_/supply") == "heat/s1/_/supply"
    assert sender(b"heat/\xff\x00" + b"x" * 999).startswith("heat/\\xff\\x00xxx")
    assert len(sender(b"heat/" + b"x" * 999)) == 255


FIELD = st.sampled_from(["ts", "t", "rh", "bat", "rssi", "seq", "flags", "point", "device"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELD | st.text(max_size=3), inner, max_size=5),
    max_leaves=12,
)


@given(JSON.map(lambda document: json.dumps(document).encode()) | st.binary(max_size=40), st.booleans())
def test_whatever_is_sent_is_a_reading_or_refused_or_undecodable(payload: bytes, gateway: bool) -> None:  # noqa: FBT001
    """Nothing that a device sends raises anything else; each object of a batch has one fate."""
    try:
        found = OWN.decode(GATEWAY if gateway else POINT, payload, NOW)
    except Undecodable:
        return
    if isinstance(found, Decoded):
        document = json.loads(payload)
        items = document if isinstance(document, list) else [document]
        fates = [one.position for one in found.readings] + [one.position for one in found.refused]
        silent = [n for n, item in enumerate(items) if isinstance(item, dict) and "t" not in item]
        assert sorted({*fates, *silent}) == list(range(len(items)))
        assert len(set(fates)) == len(fates)
        if found.piece is not None:
            assert repr([json.loads(found.piece(n)) for n in fates]) == repr([items[n] for n in fates])


def _of_mine(levels: Sequence[str], payload: bytes, arrived_ms: int) -> Decoded:
    if payload == b"fail":
        raise ZeroDivisionError
    value: Any = json.loads(payload)
    return Decoded([Reading(0, levels[1], arrived_ms, value)] * (2 if value == 2.0 else 1))


def test_a_decoder_of_others_is_chosen_by_topic_and_its_failures_harm_one_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = EntryPoint("mine", f"{__name__}:_of_mine", decoders.GROUP)
    monkeypatch.setattr(decoders, "entry_points", lambda **_: [mine])
    monkeypatch.setattr(EntryPoint, "load", lambda _: _of_mine)
    chosen = Decoders({"tele/+/SENSOR": "mine", "#": "heatwatch"})
    found = chosen.decode(b"tele/t1/SENSOR", b"1.5", NOW)
    assert isinstance(found, Decoded)
    assert [(one.source, one.temp_c) for one in found.readings] == [("t1", 1.5)]
    for payload, reason in (
        (b"fail", "ZeroDivisionError"),
        (b"1", "values are float"),
        (b"2.0", r"positions \[0, 0\]"),
    ):
        with pytest.raises(Undecodable, match=f"decoder mine failed: .*{reason}"):
            chosen.decode(b"tele/t1/SENSOR", payload, NOW)


def test_a_decoder_that_is_not_installed_is_named() -> None:
    with pytest.raises(BadInput, match=r"no decoder 'milesight' \(installed: heatwatch"):
        Decoders({"#": "milesight"})


class TestSupply:
    """What flows to a station or building: each quantity is a reading of a source of its own."""

    STATION = supply_topic("s1").encode()
    BUILDING = supply_topic("s1", "b/1").encode()

    def test_each_quantity_of_a_message_is_a_reading(self) -> None:
        found = readings({"ts": NOW, "supply_c": 61.5, "return_c": None, "flow_m3_h": 12, "seq": 3}, self.BUILDING)
        assert [(one.position, one.source, one.time_ms) for one in found] == [
            (0, "supply:s1/b%2F1:supply_c", NOW),
            (1, "supply:s1/b%2F1:return_c", NOW),
            (2, "supply:s1/b%2F1:flow_m3_h", NOW),
        ]
        assert [found[0].temp_c, found[2].temp_c] == [61.5, 12.0]
        assert math.isnan(found[1].temp_c)

    def test_what_is_not_sent_is_no_reading_and_the_station_s_own_has_no_building(self) -> None:
        (one,) = readings({"ts": NOW, "return_c": 40.5}, self.STATION)
        assert (one.position, one.source, one.temp_c) == (1, "supply:s1/_:return_c", 40.5)

    def test_in_a_batch_each_reading_has_a_position_of_its_own_and_its_bytes(self) -> None:
        found = decode(
            b'[{"ts": 1764038400000, "supply_c": 1.50}, 7, {"ts": 1764038400001, "flow_m3_h": 2}]', self.STATION
        )
        assert isinstance(found, Decoded)
        assert [one.position for one in found.readings] == [0, 8]
        assert [(one.position, one.source, one.reason) for one in found.refused] == [
            (3, "supply:s1/_:supply_c", "no object: 7")
        ]
        assert found.piece is not None
        assert [found.piece(position) for position in (0, 3, 8)] == [
            b'{"ts": 1764038400000, "supply_c": 1.50}',
            b"7",
            b'{"ts": 1764038400001, "flow_m3_h": 2}',
        ]

    @pytest.mark.parametrize(
        ("item", "reason"),
        [
            ({"supply_c": 60}, "no time"),
            ({"ts": NOW, "supply_c": "60"}, "supply_c is no number: '60'"),
            ({"ts": NOW, "supply_c": 60, "return_c": True}, "return_c is no number: True"),
            ({"ts": NOW, "t": 60}, "no supply_c, return_c or flow_m3_h, but unknown fields: ['t']"),
        ],
    )
    def test_an_object_that_cannot_be_used_is_refused_whole(self, item: Any, reason: str) -> None:
        assert refusal(item, self.STATION) == reason

    def test_a_message_without_a_quantity_rightly_holds_none(self) -> None:
        assert isinstance(decode({"ts": NOW, "bat": 80}, self.STATION), NoReading)
        assert isinstance(decode("[]", self.STATION), NoReading)

    def test_no_thermometer_may_go_by_the_name_of_a_supply_sensor(self) -> None:
        item = {"ts": NOW, "t": 20, "device": "supply:s1/_:supply_c"}
        assert refusal(item) == "name is a supply sensor's: 'supply:s1/_:supply_c'"

    @given(st.text(min_size=1), st.text(), st.sampled_from(["supply_c", "return_c", "flow_m3_h"]))
    def test_a_source_says_whose_it_is(self, station: str, building: str, measure: str) -> None:
        made = SupplySource(station, building, measure)
        if building != "_" and made.name.isprintable():
            assert SupplySource.parse(made.name) == made
        assert rooms_only([made.name, station]) == [station]

    @pytest.mark.parametrize("source", ["p1", "supply:", "supply:s1:supply_c", "supply:s1/_:rh", "s1/_:supply_c"])
    def test_another_source_is_no_supply_sensor_s(self, source: str) -> None:
        assert SupplySource.parse(source) is None
