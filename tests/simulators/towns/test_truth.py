"""The truth about silence is what a plain look at everything that was kept says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heatwatch.domain.instants import HOUR_MS, MINUTE_MS
from heatwatch.domain.register import FAR_FUTURE_MS, Register
from simulators.thermometers.faults import Fault
from simulators.thermometers.value_faults import BatteryDeath, Interval, Jitter, Replaced
from simulators.thermometers.way_faults import (
    GatewayOutage,
    LocalClock,
    ManyWithoutTimes,
    NetworkOutage,
    OutOfOrder,
    Sleeps,
    StoresAndForwards,
    Unreadable,
    UnsetClock,
)
from simulators.towns.events import BUILDING, ROOM, STATION, TOWN, DisconnectedHome, Event, Subject
from simulators.towns.settings import TownSettings
from simulators.towns.town import Town

START_MS = TownSettings().start_ms
END_MS = START_MS + 60 * HOUR_MS
INTERVAL_S = 1_800
HOUSES = tuple(Subject(BUILDING, name) for name in ("S1-B01", "S1-B02", "S2-B03", "S2-B04"))
FLATS = tuple(Subject(ROOM, f"{house.name}-{unit}-101") for house in HOUSES for unit in (1, 2))

Row = tuple[str, str, int, int, bool, str]
"""Kind and name of the subject, from when to when [ms], whether it goes on, and of what it is a part."""


def town_with(faults: Sequence[Fault], events: Sequence[Event] = (), *, unreadable: float = 0.0) -> Town:
    """Return a town of four houses of three rooms in which nothing goes wrong but these."""
    quiet = TownSettings(rooms=12, rooms_per_building=3, interval_s=INTERVAL_S, outage_h=0, silent_h=0, cold_rooms=0)
    thermometers = replace(quiet.thermometers, unreadable_share=unreadable)
    return Town(replace(quiet, thermometers=thermometers, faults=tuple(faults), events=tuple(events)))


def ms(instants: pd.Series[pd.Timestamp]) -> list[int]:
    since = instants.dt.tz_localize(None).astype("datetime64[ms]").fillna(pd.Timestamp(0))
    found: list[int] = since.astype("int64").tolist()
    return found


def rows(found: pd.DataFrame, as_of_ms: int) -> set[Row]:
    """Return the rows of a frame; what goes on lasts until now."""
    ends = [as_of_ms if is_open else end for end, is_open in zip(ms(found["end"]), found["open"], strict=True)]
    columns = (found["subject_kind"], found["subject_id"], ms(found["start"]), ends, found["open"], found["part_of"])
    hours = [(end - start) / HOUR_MS for start, end in zip(ms(found["start"]), ends, strict=True)]
    np.testing.assert_allclose(found["duration_h"].to_numpy(np.float64), hours)
    return set(zip(*columns, strict=True))


def oracle(town: Town, as_of_ms: int) -> set[Row]:
    """Look at every reading that was kept, point by point, then at every moment at which anything changes."""
    truth = town.truth_readings(town.start_ms, as_of_ms)
    kept = truth[truth["kept"] & (truth["arrived"] < pd.Timestamp(as_of_ms, unit="ms", tz="UTC"))]
    heard: defaultdict[str, list[int]] = defaultdict(list)
    for point, time_ms in zip(kept["point_id"], ms(kept["time"]), strict=True):
        heard[point].append(time_ms)
    register = Register.of(town.points())
    silent: dict[str, list[tuple[int, int, bool]]] = defaultdict(list)
    for point, times in heard.items():
        for before, after in zip(times, [*times[1:], None], strict=True):
            row = register.at(point, before)
            wait_ms = max(8 * HOUR_MS, 6 * 1_000 * (row.interval_s or 0)) if row else 0
            until = as_of_ms if after is None else after
            if until - before >= wait_ms:
                silent[point].append((before, until, after is None))
    places = {row.point_id: (row.building_id, row.station_id) for row in town.points()}
    found = {("station", one) for _, one in places.values()} | {("building", one) for one, _ in places.values()}
    groups = {who: _group(who, places, silent, town.settings.events, as_of_ms) for who in found}
    told_rows: set[Row] = set()
    for (kind, name), spans in groups.items():
        station = next(s for b, s in places.values() if name in {b, s})
        for a, b, going_on in spans:
            inside = kind == "building" and any(c < b and a < d for c, d, _ in groups["station", station])
            told_rows.add((kind, name, a, b, going_on, f"station:{station}" if inside else ""))
    for point, gaps in silent.items():
        building, station = places[point]
        for a, b, going_on in gaps:
            parts = [("building", building), ("station", station)]
            over = [f"{k}:{n}" for k, n in parts if any(c < b and a < d for c, d, _ in groups[k, n])]
            told_rows.add(("point", point, a, b, going_on, over[0] if over else ""))
    return told_rows


def _group(
    who: tuple[str, str],
    places: dict[str, tuple[str, str]],
    silent: dict[str, list[tuple[int, int, bool]]],
    events: Sequence[Event],
    as_of_ms: int,
) -> list[tuple[int, int, bool]]:
    """Return when more than half of a building or station that is in service, and two at least, are silent."""
    members = [point for point, place in places.items() if who[1] in place]
    out = {point: [(e.start_ms, e.end_ms) for e in events if e.subject.name == point] for point in members}
    edges = {edge for point in members for gap in silent.get(point, []) for edge in gap[:2]}
    edges |= {edge for spans in out.values() for span in spans for edge in span}
    spans: list[tuple[int, int, bool]] = []
    times = sorted(edge for edge in edges if edge <= as_of_ms)
    for first, last in pairwise(times):
        served = [p for p in members if not any(a <= first < b for a, b in out[p])]
        quiet = [p for p in served if any(a <= first < b for a, b, _ in silent.get(p, []))]
        if len(quiet) >= 2 and 2 * len(quiet) > len(served):
            joins = bool(spans) and spans[-1][1] == first
            spans = [*spans[:-1], (spans[-1][0], last, False)] if joins else [*spans, (first, last, False)]
    going_on = any(
        is_open and not any(a < as_of_ms <= b for a, b in out[point])
        for point in members
        for _, _, is_open in silent.get(point, [])
    )
    return [(a, b, b == as_of_ms and going_on) for a, b, _ in spans]


HOURS = st.integers(-3 * 4, 60 * 4).map(lambda quarter: START_MS + quarter * 15 * MINUTE_MS)
SUBJECTS = st.sampled_from([*HOUSES, *FLATS, Subject(TOWN), Subject(STATION, "S1"), Subject(STATION, "S2")])


@st.composite
def silencing(draw: st.DrawFn) -> Fault:
    """Draw a fault that may make something silent."""
    start_ms = draw(HOURS)
    end_ms = draw(st.one_of(st.just(FAR_FUTURE_MS), st.integers(0, 40).map(lambda hours: start_ms + hours * HOUR_MS)))
    kind = draw(
        st.sampled_from(
            [
                BatteryDeath,
                GatewayOutage,
                Interval,
                Jitter,
                LocalClock,
                ManyWithoutTimes,
                NetworkOutage,
                OutOfOrder,
                Replaced,
                Sleeps,
                StoresAndForwards,
                Unreadable,
                UnsetClock,
            ]
        )
    )
    more: dict[str, object] = {}
    if kind in {GatewayOutage, NetworkOutage}:
        more["keeps"] = draw(st.booleans())
    if kind is Unreadable:
        more["readings_share"] = draw(st.sampled_from([0.5, 1.0]))
    if kind is StoresAndForwards:
        more["every_h"] = draw(st.sampled_from([2.0, 9.0, 20.0]))
    if kind is Sleeps:
        more |= {"change_k": 20.0, "longest_h": 40.0}
    if kind is OutOfOrder:
        more["by_s"] = 40_000.0
    if kind is Interval:
        more |= {"interval_s": draw(st.sampled_from([3_600, 7_200, 36_000])), "registered": draw(st.booleans())}
    if kind in {BatteryDeath, Replaced} or (kind in {GatewayOutage, NetworkOutage} and more["keeps"]):
        end_ms = min(end_ms, start_ms + 40 * HOUR_MS)
    return cast("Fault", kind(draw(SUBJECTS), start_ms, end_ms, draw(st.sampled_from([0.4, 1.0])), **more))


@settings(max_examples=60, deadline=None)
@given(
    faults=st.lists(silencing(), max_size=4),
    away=st.lists(
        st.tuples(st.sampled_from(FLATS), HOURS, st.integers(1, 40)), max_size=3, unique_by=lambda one: one[0].name
    ),
    hours=st.integers(0, 60),
    share=st.sampled_from([0.0, 0.6]),
)
def test_silences_are_those_that_a_plain_look_at_what_was_kept_finds(
    faults: list[Fault], away: list[tuple[Subject, int, int]], hours: int, share: float
) -> None:
    events = [DisconnectedHome(flat, start_ms, start_ms + length * HOUR_MS) for flat, start_ms, length in away]
    town, as_of_ms = town_with(faults, events, unreadable=share), START_MS + hours * HOUR_MS
    assert rows(town.truth(as_of_ms).data_outages, as_of_ms) == oracle(town, as_of_ms)


@cache
def dead() -> Town:
    """Return a town in which a battery dies, a gateway loses and another keeps what it hears."""
    span = (START_MS + 10 * HOUR_MS, START_MS + 22 * HOUR_MS)
    faults = [
        BatteryDeath(FLATS[0], START_MS, span[0]),
        GatewayOutage(HOUSES[1], *span),
        GatewayOutage(HOUSES[2], *span, keeps=True),
    ]
    return town_with(faults)


def test_what_a_dead_battery_and_a_gateway_swallow_is_silence() -> None:
    found = dead().truth(END_MS).data_outages
    assert found["subject_id"].tolist()[:3] == ["S1", "S1-B02", FLATS[0].name]
    assert found["open"].tolist() == [False, False, True, False, False, False]
    truth = dead().truth_readings(START_MS, END_MS)
    for point, start, end in zip(found["subject_id"][2:], found["start"][2:], found["end"][2:], strict=True):
        kept = truth.loc[(truth["point_id"] == point) & truth["kept"], "time"]
        assert start in kept.to_list()
        assert end in kept.to_list() or pd.isna(end)
        assert not kept.between(start, end if pd.notna(end) else truth["time"].max(), inclusive="neither").any()


def test_what_a_gateway_keeps_is_a_silence_until_it_is_delivered() -> None:
    """What a window holds ends before its end, and so does what is true of it."""
    over_ms = START_MS + 22 * HOUR_MS
    during = dead().truth(over_ms).data_outages
    assert {"S1-B02", "S2-B03"} <= set(during["subject_id"])
    assert dead().stored(START_MS, over_ms)["arrived"].max() < pd.Timestamp(over_ms, unit="ms", tz="UTC")
    after = dead().truth(over_ms + 1).data_outages
    assert "S2-B03" not in set(after["subject_id"])


def test_without_a_moment_all_that_will_ever_be_is_told() -> None:
    found = dead().truth().data_outages
    assert found["open"].tolist() == [False, False, True, False, False, False]
    assert found["duration_h"].isna().tolist() == found["open"].tolist()
    late = dead().truth(END_MS).data_outages
    assert found["start"].tolist() == late["start"].tolist()


def test_a_town_without_faults_is_never_silent() -> None:
    calm = town_with([])
    assert calm.truth(END_MS).data_outages.empty
    assert calm.truth().data_outages.empty
    assert calm.truth().sensor_faults.empty


@pytest.mark.parametrize("hours", [0, 7, 8, 40])
def test_the_demo_s_silence_is_such_a_silence(hours: int) -> None:
    """The building that falls silent in every town is behind a gateway that is out of order."""
    town = Town(TownSettings(rooms=36))
    as_of_ms = town.start_ms + (3 + hours) * HOUR_MS
    assert rows(town.truth(as_of_ms).data_outages, as_of_ms) == oracle(town, as_of_ms)
