"""Each fault acts where it is said to, shows in the truth exactly there, and what ingest keeps is what is said."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from heatwatch.domain.instants import HOUR_MS, MINUTE_MS
from heatwatch.domain.register import FAR_FUTURE_MS
from heatwatch.errors import BadInput
from ingest.decoders import NoReading, Undecodable, decode_own
from ingest.decoders import fault as refusal
from simulators.publishing.encoding import Encoder
from simulators.thermometers.faults import FAULTS, Fault
from simulators.thermometers.value_faults import (
    Replaced,
)
from simulators.thermometers.way_faults import (
    GatewayOutage,
    NetworkOutage,
    OffsetClock,
    Unreadable,
)
from simulators.towns.events import BUILDING, STATION, TOWN, Subject
from simulators.towns.settings import TownSettings
from simulators.towns.town import Town
from tests.simulators.faulty import END_MS, HOUSE, SPAN, START_MS, calm, inside, ms, town_with, whole


def everything() -> list[Fault]:
    """Return every fault, several of most rooms at once."""
    houses = [Subject(BUILDING, name) for name in ("S1-B01", "S1-B02", "S2-B03", "S2-B04")]
    half = (START_MS + 4 * HOUR_MS, START_MS + 20 * HOUR_MS)
    more: list[Fault] = [
        GatewayOutage(houses[0], START_MS + 9 * HOUR_MS, START_MS + 12 * HOUR_MS, keeps=True),
        NetworkOutage(Subject(STATION, "S2"), START_MS + 11 * HOUR_MS, START_MS + 15 * HOUR_MS, keeps=True),
        OffsetClock(houses[3], *half, share=0.4, by_s=700.0),
        Unreadable(Subject(TOWN), START_MS, FAR_FUTURE_MS, readings_share=0.02),
    ]
    rest = [name for name in FAULTS if name not in {"replaced", "gateway_outage", "network_outage"}]
    more += [Replaced(houses[2], half[0], half[0] + 2 * HOUR_MS, share=0.5)]
    more += [kind(houses[3], half[0], half[0] + 3 * HOUR_MS, share=0.5) for kind in (GatewayOutage, NetworkOutage)]
    return more + [FAULTS[name](houses[at % 4], *half, share=0.3 + at % 3 * 0.2) for at, name in enumerate(rest)]


@cache
def troubled() -> Town:
    return town_with(*everything())


@cache
def all_sent() -> pd.DataFrame:
    return Town(troubled().settings).sent(START_MS, END_MS)


@pytest.mark.parametrize("name", FAULTS)
class TestEvery:
    """What is true of every fault."""

    @pytest.fixture
    def fault(self, name: str) -> Fault:
        return whole(FAULTS[name](HOUSE, *SPAN))

    def test_the_truth_names_it_exactly_where_it_acts(self, name: str, fault: Fault) -> None:
        truth = town_with(fault).truth_readings(START_MS, END_MS)
        marked = (truth["fault"] != "").to_numpy()
        np.testing.assert_array_equal(marked, inside(truth, HOUSE))
        assert set(truth.loc[marked, "fault"]) <= {name}
        assert marked.any() == (name != "replaced")

    def test_elsewhere_every_bit_is_as_without_it(self, name: str, fault: Fault) -> None:
        truth = town_with(fault).truth_readings(START_MS, END_MS)
        until_ms = FAR_FUTURE_MS if name in {"replaced", "battery_death"} else SPAN[1]
        outside = [frame[~inside(frame, HOUSE, (SPAN[0], until_ms))] for frame in (truth, calm())]
        assert_frame_equal(outside[0].reset_index(drop=True), outside[1].reset_index(drop=True))

    def test_it_changes_something_in_its_time(self, name: str, fault: Fault) -> None:
        calm_sent, sent = (town.sent(START_MS, END_MS) for town in (town_with(), town_with(fault)))
        assert not sent.equals(calm_sent)
        before = [frame[frame["sent_ms"] < SPAN[0]] for frame in (calm_sent, sent)]
        left_out = ["device_id"] if name == "replaced" else []
        first, second = (frame.drop(columns=left_out) for frame in before)
        assert_frame_equal(first, second, check_categorical=False)

    def test_a_share_of_thermometers_has_it(self, name: str) -> None:
        fault = whole(FAULTS[name](Subject(TOWN), SPAN[0], FAR_FUTURE_MS, 0.25))
        (placed,) = town_with(fault)._fleet.placed
        assert placed.rooms.size == 12
        assert not np.array_equal(placed.rooms, town_with(fault, seed=2)._fleet.placed[0].rooms)
        np.testing.assert_array_equal(placed.rooms, town_with(fault)._fleet.placed[0].rooms)
        assert town_with(replace(fault, share=1e-6))._fleet.placed[0].rooms.size == 1
        assert town_with(replace(fault, share=0.0))._fleet.placed == []

    def test_one_that_ends_before_it_begins_is_refused(self, name: str) -> None:
        with pytest.raises(BadInput, match="ends before it begins"):
            FAULTS[name](HOUSE, 1, 0)

    def test_a_share_beyond_the_whole_is_refused(self, name: str) -> None:
        with pytest.raises(BadInput, match="not between 0 and 1"):
            FAULTS[name](HOUSE, 0, 1, 1.1)

    def test_one_of_nobody_is_refused(self, name: str) -> None:
        with pytest.raises(BadInput, match="no building B9"):
            town_with(FAULTS[name](Subject(BUILDING, "B9"), *SPAN))


def test_every_fault_has_its_name() -> None:
    assert ["".join(part.title() for part in one.split("_")) for one in FAULTS] == [
        kind.__name__ for kind in FAULTS.values()
    ]


class TestAll:
    """What is true of a town in which everything is wrong."""

    def test_the_same_seed_gives_the_same_to_the_bit(self) -> None:
        assert_frame_equal(town_with(*everything()).sent(START_MS, END_MS), all_sent())

    def test_the_order_in_which_faults_are_given_does_not_matter(self) -> None:
        assert_frame_equal(town_with(*everything()[::-1]).sent(START_MS, END_MS), all_sent())

    @settings(max_examples=15, deadline=None)
    @given(
        cuts=st.lists(st.integers(0, END_MS - START_MS).map(lambda ms: START_MS + ms), max_size=6),
        backwards=st.booleans(),
    )
    def test_windows_are_cuts_of_the_whole(self, cuts: list[int], *, backwards: bool) -> None:
        town = Town(troubled().settings)
        spans = list(pairwise([START_MS, *sorted(cuts), END_MS]))
        frames = {span: town.sent(*span) for span in spans[:: -1 if backwards else 1]}
        assert_frame_equal(pd.concat([frames[span] for span in spans], ignore_index=True), all_sent())

    @pytest.mark.parametrize("at_ms", [0, 4 * HOUR_MS, 4 * HOUR_MS + 1, 9 * HOUR_MS])
    def test_nothing_happens_in_no_time(self, at_ms: int) -> None:
        town, at_ms = Town(troubled().settings), START_MS + at_ms
        for told in (town.sent, town.stored, town.readings, town.truth_readings, town.true_readings):
            assert told(at_ms, at_ms).empty
            assert told(at_ms, at_ms - HOUR_MS).empty
            assert list(told(at_ms, at_ms)) == list(told(at_ms, at_ms + HOUR_MS))

    @pytest.mark.parametrize("first_h", [0, 7, 13, 29])
    def test_a_late_window_needs_nothing_before_it(self, first_h: int) -> None:
        first_ms = START_MS + first_h * HOUR_MS
        alone = Town(troubled().settings).sent(first_ms, END_MS)
        assert_frame_equal(alone, all_sent()[all_sent()["sent_ms"] >= first_ms].reset_index(drop=True))

    def test_nothing_has_the_columns_of_something(self) -> None:
        town = town_with(Replaced(Subject(TOWN), START_MS, START_MS + 2 * HOUR_MS))
        for told in (town.sent, town.stored, town.truth_readings, town.true_readings):
            nothing, something = told(START_MS, START_MS + HOUR_MS), told(START_MS, START_MS + 3 * HOUR_MS)
            assert nothing.empty == (told != town.true_readings)
            assert nothing.dtypes.to_dict() == something.dtypes.to_dict()

    def test_truth_and_true_readings_are_cut_alike(self) -> None:
        town, middle_ms = troubled(), START_MS + 11 * HOUR_MS + 3
        for told in (town.truth_readings, town.true_readings):
            parts = [told(middle_ms, END_MS), told(START_MS, middle_ms)]
            assert_frame_equal(pd.concat(parts[::-1], ignore_index=True), told(START_MS, END_MS))

    def test_everything_that_arrives_was_measured(self) -> None:
        truth = troubled().truth_readings(START_MS, END_MS)
        arrived = truth[truth["arrived"].notna() & (ms(truth["arrived"].fillna(truth["time"])) < END_MS)]
        first = all_sent()[~all_sent()["copy"]]
        assert len(first) <= len(arrived) <= len(all_sent())
        readable = all_sent()[~(all_sent()["unreadable"] | all_sent()["timeless"])]
        possible = readable["time_ms"].between(946_684_800_000, readable["sent_ms"] + 599_999)
        assert len(troubled().stored(START_MS, END_MS)) == possible.sum()
        assert arrived["kept"].sum() == len(readable[possible].drop_duplicates(["time_ms", "point_id", "seq"]))

    @pytest.mark.parametrize("batch_ms", [None, MINUTE_MS])
    def test_what_is_stored_is_what_ingest_keeps(self, batch_ms: int | None) -> None:
        town = troubled()
        messages = Encoder(town.points(), batch_ms=batch_ms).encode(all_sent())
        assert messages.sizes.sum() == len(all_sent())
        points = {row.device_id: row.point_id for row in town.points() if row.device_id is not None}
        kept, refused = [], set()
        for sent_ms, topic, payload in zip(messages.time_ms.tolist(), messages.topics, messages.payloads, strict=True):
            try:
                decoded = decode_own(topic.split("/"), payload.encode(), sent_ms)
            except Undecodable:
                refused.add("payload")
                continue
            assert not isinstance(decoded, NoReading)
            refused |= {one.reason for one in decoded.refused}
            for one in decoded.readings:
                if why := refusal(one, sent_ms, 10 * MINUTE_MS):
                    refused.add(why.split()[0])
                    continue
                point = points.get(one.source, one.source)
                kept.append((one.time_ms, point, one.temp_c, one.humidity_pct, one.battery, one.flags))
        stored = town.stored(START_MS, END_MS)
        columns = ["point_id", "temperature_c", "humidity_pct", "battery_pct", "flags"]
        told = zip(ms(stored["time"]).tolist(), *(stored[name].tolist() for name in columns), strict=True)
        assert sorted(kept) == sorted(told)
        assert refused == {"payload", "no time", "time"}

    def test_seeds_differ(self) -> None:
        assert not town_with(*everything(), seed=2).sent(START_MS, END_MS).equals(all_sent())


def test_the_demo_s_mishaps_are_named_too() -> None:
    town = Town(TownSettings())
    truth = town.truth_readings(START_MS, START_MS + 18 * HOUR_MS)
    silent = truth[truth["fault"] == "gateway_outage"]
    assert silent["point_id"].nunique() == 12
    assert silent["arrived"].isna().all()
    (broken,) = town.truth().broken_thermometers["point_id"]
    unreadable = truth[truth["fault"] == "unreadable"]
    assert set(unreadable["point_id"]) == {broken}
    assert unreadable["arrived"].notna().all()
    assert not unreadable["kept"].any()


def test_perfect_thermometers_say_what_is_true() -> None:
    town = troubled()
    said = town.true_readings(START_MS, START_MS + 3 * HOUR_MS)
    regular = town_with().truth_readings(START_MS, START_MS + 3 * HOUR_MS)
    np.testing.assert_array_equal(said["temperature_c"], regular["true_c"])
    assert_frame_equal(said[["time", "point_id"]], regular[["time", "point_id"]])
