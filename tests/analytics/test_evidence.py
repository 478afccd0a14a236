"""Reports, supply and rooms: one row for each outage, whatever tells of it and in whatever order it came."""

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.evidence.merging import HEATLESS, merge, reported
from analytics.evidence.supply import (
    BUILDING,
    CANDIDATE,
    EVIDENCE,
    STATION,
    SUPPLY,
    Sensor,
    SupplyFound,
    SupplySeries,
    nightly,
    sensor_found,
    supply_found,
)
from analytics.evidence.supply_sources import SupplyWatch, series_of
from analytics.evidence.weather import Weather
from analytics.layout.timeline import Timeline, lay_out
from analytics.points.machine import NEVER, Records
from analytics.points.silence import Spans
from analytics.roles.worker import AnalyticsWorker
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.stops import Stop
from heatwatch.domain.supply import MEASURES, SupplySource
from heatwatch.domain.temperature import RoomClass, Season, Standard, Version
from heatwatch.files.rules_file import default_standard
from heatwatch.records import database
from heatwatch.records.schema import Arrival, ReadingCount
from heatwatch.stores.embedded import EmbeddedReadings
from heatwatch.usecases.roles import Bell
from simulators.scenarios.files import load_scenario
from tests.shelf import batch_of

ZONE = ZoneInfo("Asia/Shanghai")
STANDARD = default_standard()
MIDNIGHT = 1_768_147_200_000  # 2026-01-12T00:00 in Shanghai
STEP = 5 * MINUTE_MS
ROOMS = np.dtype(
    [("building", "i4"), ("open", "?"), ("start", "i8"), ("end", "i8"), ("confidence", "f8"), ("points", "i8")]
)
NOTHING = np.zeros(0, CANDIDATE)
QUIET = np.zeros(0, ROOMS)
NONE_WARM = SupplyFound.none()


def town(standard: Standard = STANDARD, **heating: Any) -> Timeline:
    """Lay out station S with buildings A, B and C of two rooms, and station T with building Z."""
    rows = [
        PointRow(f"{building}{room}", building, station, RoomClass.APARTMENT, **heating)
        for station, buildings in (("S", "ABC"), ("T", "Z"))
        for building in buildings
        for room in range(2)
    ]
    return lay_out(Register.of(rows), standard, ZONE, (MIDNIGHT - 30 * DAY_MS, MIDNIGHT + 30 * DAY_MS))


TOWN = town()


def rooms(*rows: tuple[str, int, int | None]) -> Records:
    """Make candidates of the rooms: building, start, end (None: open), in hours after midnight."""
    made = [(TOWN.buildings.index(b), e is None, hour(s), NEVER if e is None else hour(e), 0.75, 2) for b, s, e in rows]
    return np.array(made, ROOMS)


def hour(hours: float) -> int:
    return MIDNIGHT + round(hours * HOUR_MS)


def told(*stops: tuple[str, str, float, float | None], as_of: float = 48) -> Records:
    made = [Stop(kind, name, hour(s), None if e is None else hour(e)) for kind, name, s, e in stops]
    return reported(TOWN, made, hour(as_of))


def supplied(*rows: tuple[int, int, float, float | None], lost: bool = False) -> SupplyFound:
    """Make stops of the supply: kind, number, start, end in hours."""
    made = [(k, n, SUPPLY, e is None, lost, hour(s), NEVER if e is None else hour(e), 0.95, 0) for k, n, s, e in rows]
    return SupplyFound(np.array(made, CANDIDATE), NONE_WARM.warm, NONE_WARM.kept)


def spans(*rows: tuple[int, float, float]) -> Spans:
    number, start, end = zip(*rows, strict=True)
    ms = [np.array([hour(one) for one in column]) for column in (start, end)]
    return Spans(np.array(number), ms[0], ms[1], np.zeros(len(rows), np.bool_))


Said = tuple[str, float, float | None, str]


def said(found: Records) -> list[Said]:
    """Say in words what was found: whose, from and to which hour, by what evidence."""
    names = {BUILDING: TOWN.buildings, STATION: TOWN.stations}
    return [
        (
            names[int(row["subject_kind"])][row["subject"]],
            (row["start"] - MIDNIGHT) / HOUR_MS,
            None if row["open"] else (row["end"] - MIDNIGHT) / HOUR_MS,
            EVIDENCE[row["evidence"]],
        )
        for row in found
    ]


def merged(
    rooms: Records = QUIET, supply: SupplyFound = NONE_WARM, told: Records = NOTHING, as_of: float = 48
) -> list[Said]:
    return said(merge(TOWN, rooms, supply, told, hour(as_of)))


class TestOneRowEach:
    """Whatever the evidence."""

    def test_what_overlaps_is_one_outage_that_begins_as_the_best_evidence_says(self) -> None:
        found = merged(rooms(("A", 9, 21)), supplied((BUILDING, 0, 8.5, 20)), told(("building", "A", 8, 19)))
        assert found == [("A", 8, 20, "reported")]
        assert merged(rooms(("A", 9, 21)), supplied((BUILDING, 0, 8.5, 20))) == [("A", 8.5, 20, "supply")]
        assert merged(rooms(("A", 9, 20)), told=told(("building", "A", 8, 19))) == [("A", 8, 19, "reported")]

    def test_candidates_merge_by_way_of_others_and_not_where_they_only_touch(self) -> None:
        chain = merged(rooms(("A", 4, 10)), supplied((BUILDING, 0, 9, 14)), told(("building", "A", 13, 15)))
        assert chain == [("A", 13, 14, "reported")]
        apart = merged(rooms(("A", 4, 9)), supplied((BUILDING, 0, 9, 14)), told(("building", "A", 14, 15)))
        assert [row[1:] for row in apart] == [(4, 9, "rooms"), (9, 14, "supply"), (14, 15, "reported")]

    def test_rooms_that_stay_cold_long_after_the_reported_end_are_believed(self) -> None:
        stop = told(("building", "A", 8, 12))
        assert merged(rooms(("A", 9, 14)), told=stop) == [("A", 8, 12, "reported")]
        assert merged(rooms(("A", 9, 15)), told=stop) == [("A", 8, 15, "reported")]
        assert merged(rooms(("A", 9, None)), told=stop, as_of=14) == [("A", 8, 12, "reported")]
        assert merged(rooms(("A", 9, None)), told=stop, as_of=15) == [("A", 8, None, "reported")]

    def test_a_report_without_an_end_ends_with_the_supply_or_the_rooms_and_else_goes_on(self) -> None:
        stop = told(("building", "A", 8, None))
        assert merged(told=stop) == [("A", 8, None, "reported")]
        assert merged(rooms(("A", 9, 20)), told=stop) == [("A", 8, 20, "reported")]
        assert merged(rooms(("A", 9, 20)), supplied((BUILDING, 0, 8, 19)), stop) == [("A", 8, 19, "reported")]

    def test_where_the_sensor_fell_silent_in_a_stop_the_others_say_when_it_ended(self) -> None:
        silent = supplied((BUILDING, 0, 8, 10), lost=True)
        assert merged(supply=silent) == [("A", 8, 10, "supply")]
        assert merged(rooms(("A", 9, 20)), silent) == [("A", 8, 20, "supply")]
        assert merged(rooms(("A", 11, 20)), silent) == [("A", 8, 20, "supply")]
        assert [row[1:] for row in merged(rooms(("A", 12, 20)), silent)] == [(8, 10, "supply"), (12, 20, "rooms")]

    def test_each_further_evidence_leaves_less_doubt_and_a_report_none(self) -> None:
        both = merge(TOWN, rooms(("A", 9, 20)), supplied((BUILDING, 0, 8, 20)), NOTHING, hour(48))
        assert both["confidence"][0] == pytest.approx(1 - 0.05 * 0.25)
        assert both["points"][0] == 2
        assert merge(TOWN, QUIET, NONE_WARM, told(("building", "A", 8, 9)), hour(48))["confidence"][0] == 1


class TestReports:
    """What was reported is an outage by itself."""

    def test_a_stop_that_is_announced_is_none_before_it_begins(self) -> None:
        stop = ("building", "A", 8.0, 12.0)
        assert merged(told=told(stop, as_of=7.999), as_of=7.999) == []
        assert merged(told=told(stop, as_of=8), as_of=8) == [("A", 8, None, "reported")]
        assert merged(told=told(stop, as_of=11.999), as_of=11.999) == [("A", 8, None, "reported")]
        assert merged(told=told(stop, as_of=12), as_of=12) == [("A", 8, 12, "reported")]

    def test_one_of_a_riser_a_room_or_a_house_that_nobody_knows_is_none(self) -> None:
        assert not len(told(("riser", "A", 1, 2), ("room", "A0", 1, 2), ("building", "Q", 1, 2)))

    def test_one_of_a_station_is_one_of_each_of_its_houses(self) -> None:
        found = merged(told=told(("station", "S", 8, 12)))
        assert found == [(name, 8, 12, "reported") for name in "ABCS"]

    def test_a_station_of_one_house_has_no_outage_of_its_own(self) -> None:
        assert merged(told=told(("station", "T", 8, 12))) == [("Z", 8, 12, "reported")]

    def test_out_of_season_there_is_none(self) -> None:
        version = STANDARD.versions[0]
        dated = Version(version.valid_from, version.classes, seasons=(Season(date(2026, 1, 13), date(2026, 3, 1)),))
        timeline = town(Standard((dated,), STANDARD.judging))
        stops = [Stop("building", "A", hour(1), hour(23)), Stop("building", "B", hour(23), hour(25))]
        assert reported(timeline, stops, hour(48))["subject"].tolist() == [1]


class TestStations:
    """More than half of the houses, at least two, at once; or by its own evidence."""

    def test_half_of_the_houses_are_not_most(self) -> None:
        assert merged(rooms(("A", 8, 20)))[-1][0] == "A"
        assert merged(rooms(("A", 8, 20), ("B", 9, 19)))[-1] == ("S", 9, 19, "rooms")

    def test_its_evidence_is_that_of_the_least_sure_house_unless_it_has_its_own(self) -> None:
        one = supplied((BUILDING, 0, 8, 20))
        assert merged(rooms(("B", 9, 19)), one)[-1] == ("S", 9, 19, "rooms")
        assert merged(rooms(("A", 9, 21), ("B", 9, 21)), supplied((STATION, 0, 8, 20))) == [
            (name, 8, 20, "supply") for name in "ABCS"
        ]


class TestWarmSupply:
    """A supply that stays warm says that rooms which cool are not without heat."""

    def test_the_house_s_own_warm_supply_withdraws_what_its_rooms_say(self) -> None:
        warm = SupplyFound(NOTHING, spans((0, 0, 48)), NONE_WARM.kept)
        assert merged(rooms(("A", 8, 20), ("B", 8, 20)), warm)[0][0] == "B"
        for until, left in ((17.59, 1), (17.6, 0)):
            partly = SupplyFound(NOTHING, spans((0, 0, until)), NONE_WARM.kept)
            assert len(merged(rooms(("A", 8, 20)), partly)) == left, "80 % of 12 h are 9.6 h"

    def test_behind_a_warm_station_one_house_may_be_cut_off_but_not_half_where_all_flows(self) -> None:
        number = len(TOWN.buildings)
        warm = SupplyFound(NOTHING, spans((number, 0, 48)), spans((number, 0, 48)))
        assert merged(rooms(("A", 8, 20)), warm) == [("A", 8, 20, "rooms")]
        assert merged(rooms(("A", 8, 20), ("B", 8, 20)), warm) == []
        other = SupplyFound(NOTHING, NONE_WARM.warm, spans((number + 1, 0, 48)))
        assert merged(rooms(("Z", 8, 20)), other) == [], "the only house of its station"
        less = SupplyFound(NOTHING, spans((number, 0, 48)), NONE_WARM.kept)
        assert len(merged(rooms(("A", 8, 20), ("B", 8, 20)), less)) == 3, "a main of both may be shut"

    def test_a_report_stays_whatever_the_supply_says(self) -> None:
        warm = SupplyFound(NOTHING, spans((0, 0, 48)), NONE_WARM.kept)
        assert merged(supply=warm, told=told(("building", "A", 8, 20))) == [("A", 8, 20, "reported")]

    def test_a_house_whose_own_supply_is_warm_has_no_part_in_its_station_s_stop(self) -> None:
        warm = SupplyFound(supplied((STATION, 0, 8, 20)).stops, spans((0, 0, 48)), NONE_WARM.kept)
        assert [row[0] for row in merged(supply=warm)] == ["B", "C", "S"]


CANDIDATES = st.lists(
    st.tuples(
        st.sampled_from("ABC"), st.integers(0, 20), st.integers(1, 9), st.sampled_from(["rooms", "supply", "told"])
    ),
    max_size=8,
)


@given(CANDIDATES, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_rows_of_a_subject_never_overlap_cover_what_was_said_and_no_order_matters(
    said_of: list[tuple[str, int, int, str]], shuffled: Any
) -> None:
    def result(candidates: Sequence[tuple[str, int, int, str]]) -> Records:
        by = {kind: [(b, s, s + d) for b, s, d, k in candidates if k == kind] for kind in ("rooms", "supply", "told")}
        stops = supplied(*((BUILDING, "ABC".index(b), s, e) for b, s, e in by["supply"]))
        return merge(TOWN, rooms(*by["rooms"]), stops, told(*(("building", *one) for one in by["told"])), hour(48))

    found = result(said_of)
    again = list(said_of)
    shuffled.shuffle(again)
    assert result(again).tolist() == found.tolist()
    houses = found[found["subject_kind"] == BUILDING]
    for one, other in pairwise(houses):
        assert one["subject"] < other["subject"] or one["end"] <= other["start"]
    for name in "ABC":
        minutes = {h for b, s, d, _ in said_of if b == name for h in range(s, s + d)}
        islands = sum(
            h - 1 not in minutes or all(not (s < h < s + d) for b, s, d, _ in said_of if b == name) for h in minutes
        )
        assert np.count_nonzero(houses["subject"] == "ABC".index(name)) == islands
    assert (found["end"] > found["start"]).all()


def curve(
    hours: float, supply_c: Any = 55.0, return_c: Any = 40.0, flow: Any = 10.0, start: float = 0, step_ms: int = STEP
) -> SupplySeries:
    """Make a series; what is a function is one of the hours after midnight."""
    time_ms = np.arange(hour(start), hour(start + hours), step_ms)
    at = (time_ms - MIDNIGHT) / HOUR_MS
    columns = [one(at) if callable(one) else np.full(len(at), float(one)) for one in (supply_c, return_c, flow)]
    return SupplySeries.of(time_ms, *columns)


def between(start: float, end: float, inside: float, outside: float) -> Any:
    return lambda at: np.where((at >= start) & (at < end), inside, outside)


def stops_of(
    series: SupplySeries, as_of: float = 48, weather: Weather | None = None, timeline: Timeline = TOWN
) -> list[tuple[float, float | None]]:
    found = sensor_found(timeline, (STATION, 0), series, weather or Weather.unknown(), hour(as_of)).stops
    return [
        ((s - MIDNIGHT) / HOUR_MS, None if o else (e - MIDNIGHT) / HOUR_MS)
        for s, e, o in found[["start", "end", "open"]]
    ]


class TestStopsOfTheSupply:
    """From the first evidence of it to the first that it is back."""

    def test_flow_that_stops_is_a_stop_from_the_last_moment_at_which_it_flowed(self) -> None:
        assert stops_of(curve(48, flow=between(30, 36, 0.2, 10))) == [(30 - 1 / 12, 36 - 1 / 12)]

    def test_a_tenth_of_the_flow_is_none_and_more_is_some(self) -> None:
        assert len(stops_of(curve(48, flow=between(30, 36, 1.0, 10)))) == 1
        assert stops_of(curve(48, flow=between(30, 36, 1.0001, 10))) == []

    def test_a_supply_at_two_fifths_of_what_it_is_above_a_room_is_none_and_more_is_some(self) -> None:
        assert len(stops_of(curve(48, between(30, 36, 34.0, 55), np.nan, np.nan))) == 1
        assert stops_of(curve(48, between(30, 36, 34.001, 55), np.nan, np.nan)) == []

    def test_all_that_comes_comes_back_is_a_stop_if_it_has_fallen_too(self) -> None:
        fallen, still = between(30, 36, 41.0, 55), between(30, 36, 41.1, 55)
        assert len(stops_of(curve(48, fallen, between(30, 36, 38.75, 40), np.nan))) == 1
        assert stops_of(curve(48, fallen, between(30, 36, 38.74, 40), np.nan)) == []
        assert stops_of(curve(48, still, between(30, 36, 40.0, 40), np.nan)) == []

    def test_a_moment_s_dip_is_none(self) -> None:
        assert stops_of(curve(48, flow=between(30, 30.25, 0, 10))) == []
        assert len(stops_of(curve(48, flow=between(30, 30.3, 0, 10)))) == 1

    def test_a_supply_that_never_was_warm_has_not_stopped(self) -> None:
        assert stops_of(curve(48, 22.0, 21.5, 10)) == []

    def test_a_supply_colder_than_what_comes_back_is_a_broken_sensor(self) -> None:
        assert stops_of(curve(48, between(30, 36, 0.0, 55), 40)) == []
        assert len(stops_of(curve(48, between(30, 36, 0.0, 55), np.nan))) == 1

    def test_a_sensor_that_falls_silent_decides_nothing(self) -> None:
        assert stops_of(curve(30)) == []
        silent = curve(33, flow=between(30, 48, 0, 10))
        heard = 33 - 1 / 12
        assert stops_of(silent, as_of=heard + 7.99) == [(30 - 1 / 12, None)]
        assert stops_of(silent, as_of=heard + 8) == [(30 - 1 / 12, heard)]
        found = sensor_found(TOWN, (STATION, 0), curve(30), Weather.unknown(), hour(48))
        assert found.warm.end.max() == hour(30 - 1 / 12 + 2), "nobody knows it to be warm for longer than 2 h"

    def test_a_silence_within_a_stop_does_not_part_it(self) -> None:
        whole = curve(48, flow=between(30, 40, 0, 10))
        at = (whole.time_ms - MIDNIGHT) / HOUR_MS
        assert stops_of(whole.where((at < 32) | (at >= 39))) == [(30 - 1 / 12, 40 - 1 / 12)]

    @pytest.mark.parametrize("step_ms", [MINUTE_MS, 10 * MINUTE_MS, HOUR_MS])
    def test_a_loop_that_cools_is_found_from_when_it_begins_to(self, step_ms: int) -> None:
        cooling = curve(
            48, lambda at: np.where(at < 30, 55, 20 + 35 * np.exp(-(at - 30))), np.nan, np.nan, step_ms=step_ms
        )
        (found,) = stops_of(cooling)
        assert found == (30, None)

    def test_a_mild_day_by_the_heating_curve_is_none_where_the_weather_is_known(self) -> None:
        def below_room(at: Any) -> Any:
            """Return how much colder than a room it is outdoors [K]: 30 until 28:00, then less and less, down to 9."""
            return np.clip(30 - 3.0 * (at - 28), 9, 30)

        mild = curve(48, lambda at: 20 + 1.2 * below_room(at), lambda at: 20 + 0.7 * below_room(at), 10)
        at = np.arange(0, 48, 0.5)
        weather = Weather.of(MIDNIGHT + (at * HOUR_MS).astype(np.int64), 20 - below_room(at), 3 * HOUR_MS)
        assert stops_of(mild) != [], "without the weather such a day is one"
        assert stops_of(mild, weather=weather) == []

    def test_while_it_is_mild_no_supply_decides(self) -> None:
        stopped = curve(48, flow=between(30, 36, 0, 10))
        for outdoor_c, count in ((11.999, 1), (12.0, 0)):
            weather = Weather.of(stopped.time_ms, np.full(len(stopped.time_ms), outdoor_c), HOUR_MS)
            assert len(stops_of(stopped, weather=weather)) == count

    def test_a_stop_that_ends_while_it_is_mild_ends_when_the_supply_was_back(self) -> None:
        stopped = curve(48, flow=between(30, 36, 0, 10))
        mild = (stopped.time_ms >= hour(33)) & (stopped.time_ms < hour(38))
        weather = Weather.of(stopped.time_ms, np.where(mild, 13.0, 5), HOUR_MS)
        assert stops_of(stopped, weather=weather) == [(30 - 1 / 12, 36 - 1 / 12)]

    def test_hours_that_are_unheated_by_agreement_decide_nothing(self) -> None:
        off = curve(48, flow=between(30, 33, 0, 10))  # 06:00 to 09:00 of the second day
        assert stops_of(off, timeline=town(heating_hours=((9 * 60, 6 * 60),))) == []
        later = town(heating_hours=((8 * 60, 6 * 60),))
        assert stops_of(off, timeline=later) == [(32, 33 - 1 / 12)], "it began when there should have been heat"

    def test_out_of_season_nothing_is_a_stop_and_one_that_goes_on_ends_with_the_season(self) -> None:
        version = STANDARD.versions[0]
        dated = Version(version.valid_from, version.classes, seasons=(Season(date(2025, 10, 1), date(2026, 1, 13)),))
        timeline = town(Standard((dated,), STANDARD.judging))
        assert stops_of(curve(96, flow=between(40, 90, 0, 10)), 96, timeline=timeline) == [(40 - 1 / 12, 48 - 1 / 12)]
        assert stops_of(curve(96, flow=between(60, 90, 0, 10)), 96, timeline=timeline) == []


class TestWhetherAllFlows:
    """Who is cut off is missing from the flow, or from the heat that it leaves behind."""

    @pytest.mark.parametrize(
        ("supply_c", "return_c", "flow", "kept"),
        [
            (55.0, 40.0, 7.0, True),
            (55.0, 40.0, 6.999, False),
            (55.0, 44.5, 10.0, True),
            (55.0, 44.501, 10.0, False),
            (41.0, 34.69, 10.0, True),
            (37.4, 30.0, 10.0, False),
            (55.0, np.nan, 10.0, True),
            (55.0, 40.0, np.nan, False),
        ],
    )
    def test_seven_tenths_of_both_are_kept(self, supply_c: float, return_c: float, flow: float, kept: bool) -> None:  # noqa: FBT001
        parts = zip((supply_c, return_c, flow), (55.0, 40.0, 10.0), strict=True)
        series = curve(36, *(between(30, 36, now, before) for now, before in parts))
        found = sensor_found(TOWN, (STATION, 0), series, Weather.unknown(), hour(36)).kept
        assert (found.end[-1] > hour(30)) == kept


class TestNights:
    """The same time of at least 3 of 7 nights is a night setback."""

    def nights(self, *days: int, lasts: float = 7) -> SupplySeries:
        def flow(at: Any) -> Any:
            off = np.zeros(len(at), np.bool_)
            for day in days:
                off |= (at >= 24 * day + 22) & (at < 24 * day + 22 + lasts)
            return np.where(off, 0.0, 10.0)

        return curve(24 * 14, flow=flow)

    def test_two_nights_are_outages_and_the_third_takes_them_back(self) -> None:
        assert len(stops_of(self.nights(1, 4), 24 * 14)) == 2
        assert stops_of(self.nights(1, 4, 7), 24 * 14) == []
        assert len(stops_of(self.nights(1, 4, 8), 24 * 14)) == 3, "8 nights"

    def test_a_night_that_goes_on_is_one_of_them_until_it_is_over_its_time(self) -> None:
        held = self.nights(1, 2, 3)
        stays = np.where(series_hours(held) >= 24 * 3 + 22, 0.0, held.flow_m3_h)
        series = SupplySeries.of(held.time_ms, held.supply_c, held.return_c, stays)
        for as_of, goes_on in ((99, 0), (101.9, 0), (102, 1)):
            found = stops_of(series, as_of)
            assert len(found) == 2 + goes_on, "the first two are taken back when the third is over"
            assert [end for _, end in found].count(None) == goes_on
        assert stops_of(held, 103) == []

    def test_other_hours_are_no_rhythm(self) -> None:
        apart = curve(24 * 7, flow=lambda at: np.where((at % 24 < 3) & (at > 24) & (at % 72 < 24), 0.0, 10.0))
        assert len(stops_of(apart, 24 * 7)) == 2


def series_hours(series: SupplySeries) -> Any:
    return (series.time_ms - MIDNIGHT) / HOUR_MS


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_a_sensor_read_as_it_speaks_finds_what_one_reading_of_everything_finds(data: st.DataObject) -> None:
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    level = np.repeat(draw.choice([1.0, 1.0, 0.6, 0.3, 0.05], 24), 24)
    whole = curve(
        48, lambda at: 20 + 35 * level + draw.normal(0, 0.3, len(at)), np.nan, lambda _: 10 * np.roll(level, 40)
    )
    keep = draw.random(len(whole.time_ms)) > 0.3
    keep[draw.integers(0, 500) :][: draw.integers(0, 60)] = False
    whole = whole.where(keep)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole.time_ms)), max_size=5)))
    sensor = Sensor(TOWN, (STATION, 0), Weather.unknown())
    for first, last in pairwise([0, *cuts, len(whole.time_ms)]):
        part = np.zeros(len(whole.time_ms), np.bool_)
        part[first:last] = True
        assert sensor.feed(whole.where(part))
        as_of = int(whole.time_ms[last - 1]) if last else hour(0)
        found, once = sensor.found(as_of), sensor_found(TOWN, (STATION, 0), whole, Weather.unknown(), as_of)
        assert found.stops.tolist() == once.stops.tolist()
        for mine, theirs in ((found.warm, once.warm), (found.kept, once.kept)):
            assert (mine.start.tolist(), mine.end.tolist()) == (theirs.start.tolist(), theirs.end.tolist())
    order = draw.permutation(len(whole.time_ms))
    mixed = SupplySeries.of(whole.time_ms[order], whole.supply_c[order], whole.return_c[order], whole.flow_m3_h[order])
    assert stops_of(mixed) == stops_of(whole)


def test_of_two_values_for_one_moment_neither_is_used() -> None:
    time_ms = np.array([5, 5, 6, 6, 7])
    nan = np.full(5, np.nan)
    made = SupplySeries.of(time_ms, np.array([50, 51, 52, 52, 53.0]), np.array([40, 40, np.nan, 41, np.nan]), nan)
    assert (made.time_ms.tolist(), made.supply_c.tolist(), made.return_c[0]) == ([6, 7], [52, 53], 41)


def test_the_weather_holds_for_a_while_and_is_never_known_beforehand() -> None:
    weather = Weather.of(np.array([200, 100, 100, 300]), np.array([2.0, 1.0, 9.0, np.nan]), 50)
    found = weather.outdoor_at(np.array([99, 100, 150, 151, 200, 250, 251]))
    np.testing.assert_array_equal(found, [np.nan, 1, 1, np.nan, 2, 2, np.nan])


@pytest.fixture(scope="module", params=["boiler_trip", "burst_main", "night_setback", "cold_snap"])
def played(request: pytest.FixtureRequest) -> Any:
    """Return a scenario's town, its supply, and what is true of it."""
    scenario = load_scenario(request.param)
    made = scenario.town()
    return request.param, made, made.supply_frame(scenario.start_ms, scenario.end_ms), scenario.end_ms


def test_of_simulated_towns_every_stop_of_a_station_is_found_within_minutes_and_nothing_else(played: Any) -> None:
    name, made, frame, as_of = played
    timeline = lay_out(Register.of(made.points()), STANDARD, ZONE, (as_of - 9 * DAY_MS, as_of))
    series, unlisted = series_of(timeline, frame)
    told = reported(timeline, [Stop(**one) for one in stops_told(made.stops_frame())], as_of)
    found = merge(timeline, QUIET, supply_found(timeline, series, Weather.unknown(), as_of), told, as_of)
    true = made.truth(as_of).heat_outages
    names = {BUILDING: timeline.buildings, STATION: timeline.stations}
    mine = sorted((names[int(row["subject_kind"])][row["subject"]], row["start"], row["end"]) for row in found)
    start, end = (true[one].dt.tz_localize(None).to_numpy("datetime64[ms]").view("i8") for one in ("start", "end"))
    theirs = sorted(zip(true["subject_id"], start, end, strict=True))
    assert unlisted == []
    assert [row[0] for row in mine] == [row[0] for row in theirs]
    assert len(mine) == {"boiler_trip": 3, "burst_main": 1}.get(name, 0)
    for one, other in zip(mine, theirs, strict=True):
        assert max(abs(one[1] - other[1]), abs(one[2] - other[2])) <= 10 * MINUTE_MS


def stops_told(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    columns = {one: frame[one].dt.tz_localize(None).to_numpy("datetime64[ms]").view("i8") for one in ("start", "end")}
    for kind, name, start, end in zip(frame["subject_kind"], frame["subject_id"], *columns.values(), strict=True):
        yield {"subject_kind": kind, "subject_id": name, "start_ms": int(start), "end_ms": int(end)}


def test_what_cools_all_houses_of_a_station_by_night_is_withdrawn_since_its_supply_is_warm() -> None:
    scenario = load_scenario("night_setback")
    made = scenario.town()
    timeline = lay_out(Register.of(made.points()), STANDARD, ZONE, (scenario.start_ms, scenario.end_ms))
    series, _ = series_of(timeline, made.supply_frame(scenario.start_ms, scenario.end_ms))
    houses = np.flatnonzero(timeline.station_of_building == timeline.stations.index("S2"))
    nights = [(b, False, hour(24 * d + 22.5), hour(24 * d + 29.5), 0.9, 12) for b in houses for d in range(4)]
    supply = supply_found(timeline, series, Weather.unknown(), scenario.end_ms)
    assert len(merge(timeline, np.array(nights, ROOMS), NONE_WARM, NOTHING, scenario.end_ms)) == 12
    assert len(merge(timeline, np.array(nights, ROOMS), supply, NOTHING, scenario.end_ms)) == 0


def test_what_is_stored_of_the_supply_is_read_as_it_arrives_late_rows_too(tmp_path: Path) -> None:
    register = Register.of([PointRow(f"p{k}", name, "S", RoomClass.APARTMENT) for k, name in enumerate("AB")])
    timeline = lay_out(register, STANDARD, ZONE, (MIDNIGHT, MIDNIGHT + 3 * DAY_MS))
    whole = curve(48, flow=between(30, 36, 0, 10))
    columns = dict(zip(MEASURES, (whole.supply_c, whole.return_c, whole.flow_m3_h), strict=True))
    sources = {one: SupplySource("S", "A", one).name for one in MEASURES}
    store = EmbeddedReadings(tmp_path / "readings.duckdb")
    watch = SupplyWatch(timeline, register, store)
    late = slice(375, 400)
    parts = [slice(0, 300), slice(300, 375), slice(400, None), late]
    for sequence, part in enumerate(parts, start=1):
        times = whole.time_ms[part].tolist()
        rows = [
            (sources[one], t, v) for one in MEASURES for t, v in zip(times, columns[one][part].tolist(), strict=True)
        ]
        store.write(batch_of(rows, sequence))
        watch.feed({**dict.fromkeys(sources.values(), (times[0], times[-1])), "p0": (times[0], times[-1])})
    once = sensor_found(timeline, (BUILDING, 0), whole, Weather.unknown(), hour(48))
    again = SupplyWatch(timeline, register, store)
    again.read_everything()
    assert watch.found(hour(48)).stops.tolist() == again.found(hour(48)).stops.tolist() == once.stops.tolist()
    assert len(once.stops) == 1
    store.close()


def test_a_name_that_the_register_does_not_have_is_said() -> None:
    time = pd.DatetimeIndex(["2026-01-12T06:00:00Z"] * 3)
    frame = pd.DataFrame({"time": time, "subject_id": list("ASQ"), **dict.fromkeys(MEASURES, 1.0)})
    found, unlisted = series_of(TOWN, frame)
    assert (sorted(found), unlisted) == ([(BUILDING, 0), (STATION, 0)], ["Q"])


def test_the_dtype_of_a_row_has_what_a_table_of_outages_needs() -> None:
    assert {"subject_kind", "subject", "open", "start", "end", "evidence", "confidence", "points"} == set(
        HEATLESS.names or ()
    )
    assert not nightly(TOWN, NOTHING, hour(0)).any()


def test_before_a_register_is_imported_no_supply_sensor_becomes_a_room(tmp_path: Path) -> None:
    store = EmbeddedReadings(tmp_path / "readings.duckdb")
    records = database.Records(f"sqlite:///{tmp_path / 'records.sqlite'}")
    records.migrate()
    names = ["p1", *(SupplySource("S", building, one).name for building in ("", "A") for one in MEASURES)]
    store.write(batch_of([(name, MIDNIGHT, 55.0) for name in names], 1))
    with records.write() as session:
        for name in names:
            session.add(ReadingCount(worker="w", source=name, decoded=1, stored=1))
        session.add(
            Arrival(worker="w", sequence=1, touched=[[name, MIDNIGHT, MIDNIGHT, 1] for name in names], tick=None)
        )
    worker = AnalyticsWorker(records, store, STANDARD, ZONE, Bell(), wall_clock=lambda: MIDNIGHT + HOUR_MS)
    assert worker.pass_once()
    assert worker._bench is not None
    assert worker._bench.judge.timeline.points == ("p1",)
    store.close()
