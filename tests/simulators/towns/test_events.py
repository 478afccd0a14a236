"""Each event acts in its span, on whom it concerns, and makes the truth that it should."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS
from heatwatch.errors import BadInput
from simulators.arrays import Bool, Float64, Int64
from simulators.physics.weather import Weather, WeatherSettings
from simulators.towns import events
from simulators.towns.events import (
    BUILDING,
    RISER,
    ROOM,
    STATION,
    TOWN,
    Action,
    AirInRiser,
    BoilerTrip,
    BurstMain,
    ClosedValve,
    DisconnectedHome,
    Event,
    NightSetback,
    PlannedStop,
    PumpFailure,
    SeasonStart,
    Subject,
    WeakStation,
    outages,
)
from simulators.towns.town import Town
from tests.simulators.houses import START_MS, model_of, points, town_of

S1, B1 = Subject(STATION, "S1"), Subject(BUILDING, "S1-B01")
FLAT, PIPE = Subject(ROOM, "S1-B02-1-301"), Subject(RISER, "2-1-01")
SPAN = (START_MS + 6 * HOUR_MS, START_MS + 15 * HOUR_MS)
EVENTS: tuple[Event, ...] = (
    BoilerTrip(S1, *SPAN),
    PumpFailure(S1, *SPAN),
    BurstMain(B1, *SPAN),
    BurstMain(S1, *SPAN),
    PlannedStop(B1, *SPAN),
    PlannedStop(S1, *SPAN, notice=False),
    ClosedValve(FLAT, *SPAN),
    ClosedValve(PIPE, *SPAN),
    AirInRiser(PIPE, *SPAN),
    NightSetback(S1, *SPAN, from_h=14.0, to_h=23.0),
    SeasonStart(S1, *SPAN, cold_ms=2 * HOUR_MS),
    WeakStation(S1, *SPAN, has=0.3),
    DisconnectedHome(FLAT, *SPAN),
)
HOURS = START_MS + np.arange(1, 24, dtype=np.int64) * HOUR_MS - 1


def name(event: Event) -> str:
    return f"{type(event).__name__}-{event.subject.kind}"


@cache
def town() -> Town:
    return town_of(opens=0.0)


@cache
def calm() -> Float64:
    return model_of(town()).at(HOURS)


def middles() -> Int64:
    return START_MS + np.arange(24 * 12, dtype=np.int64) * 5 * MINUTE_MS + 150_000


def concerned(event: Event) -> Bool:
    """Mark the rooms of the houses that an event can reach: walls carry it no further."""
    here = event.subject.among(town().points())
    building = town().points_frame()["building_id"].to_numpy()
    return np.isin(building, building[here])


@pytest.mark.parametrize("event", EVENTS, ids=name)
class TestEach:
    """What is true of every event."""

    def test_it_acts_in_its_span_only(self, event: Event) -> None:
        action = event.act(middles())
        during = event.during(middles())
        assert during.sum() == 9 * 12
        assert not action.idle
        none = Action.none(middles().size)
        for one in Action.__slots__:
            values, nothing = getattr(action, one), getattr(none, one)
            np.testing.assert_array_equal(values[~during], nothing[~during])

    def test_rooms_change_when_it_begins_and_only_those_concerned(self, event: Event) -> None:
        at = model_of(town(), [event]).at(HOURS)
        here = concerned(event)
        np.testing.assert_array_equal(at[:, ~here], calm()[:, ~here])
        np.testing.assert_array_equal(at[:6], calm()[:6])
        subject = event.subject.among(town().points())
        assert (at[14] - calm()[14])[subject].mean() < -0.25

    def test_when_it_is_over_rooms_get_warm_again(self, event: Event) -> None:
        at = model_of(town(), [event]).at(HOURS[[14, -1]])
        behind = (calm()[[14, -1]] - at)[:, event.subject.among(town().points())].mean(axis=1)
        assert behind[1] < 0.75 * behind[0]


class TestTruth:
    """Which findings are true."""

    @pytest.mark.parametrize("event", EVENTS, ids=name)
    def test_only_what_stops_the_heat_of_a_house_is_an_outage(self, event: Event) -> None:
        made = [(str(one.kind), one.name, one.points) for one in outages(event, points())]
        expected: list[tuple[str, str, int]] = []
        if isinstance(event, (BoilerTrip, PumpFailure, BurstMain, PlannedStop)):
            houses = ["S1-B01", "S1-B02", "S1-B03"] if event.subject == S1 else ["S1-B01"]
            station = [("station", "S1", 72)] if event.subject == S1 else []
            expected = [*station, *(("building", house, 24) for house in houses)]
        assert made == expected
        assert all((one.start_ms, one.end_ms) == SPAN for one in outages(event, points()))

    def test_stops_are_reported_where_the_company_said_so(self) -> None:
        reported = {name(event): [stop.planned for stop in event.stops()] for event in EVENTS if event.stops()}
        assert reported == {
            "BurstMain-building": [False],
            "BurstMain-station": [False],
            "PlannedStop-building": [True],
        }

    def test_a_burst_main_is_told_some_time_after(self) -> None:
        leaks = [leak for event in EVENTS for leak in event.leaks()]
        assert [leak.subject for leak in leaks] == [B1, S1]
        assert {leak.reported_ms for leak in leaks} == {SPAN[0] + 20 * MINUTE_MS}

    def test_a_station_of_one_house_has_no_outage_of_its_own(self) -> None:
        (only,) = outages(BoilerTrip(Subject(STATION, "S1"), *SPAN), points(24, 24, 1))
        assert str(only.kind) == "building"

    def test_what_takes_no_time_is_not_true(self) -> None:
        assert outages(BoilerTrip(S1, 5, 5), points()) == []


class TestSome:
    """What single events do."""

    def test_a_cold_flat_cools_its_neighbours_a_little(self) -> None:
        at = model_of(town(), [DisconnectedHome(FLAT, START_MS - DAY_MS)]).at(HOURS)
        subject = int(np.flatnonzero(FLAT.among(town().points()))[0])
        fabric = town().model.physics.fabric
        around = np.setdiff1d(fabric.neighbours[:, subject], subject)
        fall_k = (calm() - at).mean(axis=0)
        assert fall_k[subject] > 3.0
        assert (fall_k[around] > 0.1).all()
        assert fall_k[around].max() < 0.4 * fall_k[subject]

    def test_what_began_before_the_town_is_steady_at_its_start(self) -> None:
        at = model_of(town(), [DisconnectedHome(FLAT, START_MS - DAY_MS)]).at(HOURS)
        assert np.abs(at[0] - at[-1])[FLAT.among(town().points())].max() < 1.5

    def test_a_night_setback_comes_every_night_even_over_midnight(self) -> None:
        setback = NightSetback(S1, START_MS, START_MS + 4 * DAY_MS, from_h=22.0, to_h=5.0)
        time_ms = START_MS + np.arange(96, dtype=np.int64) * HOUR_MS + 30 * MINUTE_MS
        hour = (np.arange(96) + 8) % 24
        lowered_k = setback.act(time_ms).lowered_k
        np.testing.assert_array_equal(lowered_k > 0.0, (hour >= 22) | (hour < 5))
        supply_c = model_of(town(), [setback]).supply(time_ms)[0]
        nights, days = (hour >= 1) & (hour < 5), (hour >= 10) & (hour < 20)
        assert supply_c[days, 0].mean() - supply_c[nights, 0].mean() > 7.0

    def test_a_season_begins_cold_and_ends_warm(self) -> None:
        autumn = Weather(1, WeatherSettings(mean_c=4.0))
        start = SeasonStart(S1, START_MS, START_MS + 6 * DAY_MS)
        model = model_of(town(), [start, SeasonStart(Subject(STATION, "S2"), START_MS, START_MS + DAY_MS)], autumn)
        days = START_MS + np.arange(9, dtype=np.int64) * DAY_MS
        supply_c = model.supply(days + 1)[0]
        assert supply_c[1, 0] < 23.0
        assert (np.diff(supply_c[1:6, 0]) > 0.0).all()
        assert supply_c[7, 0] == pytest.approx(supply_c[7, 1], abs=0.01)

    def test_an_event_acts_from_the_nearest_edge_of_a_step(self) -> None:
        moved = [
            ClosedValve(FLAT, SPAN[0] + shift, SPAN[1]).during(middles()).argmax() for shift in (-149_999, 149_999)
        ]
        assert moved == [72, 72]

    def test_events_add_up(self) -> None:
        both = model_of(town(), [AirInRiser(PIPE, *SPAN), ClosedValve(PIPE, *SPAN, leaves=0.5)]).at(HOURS[14:15])
        one = model_of(town(), [AirInRiser(PIPE, *SPAN)]).at(HOURS[14:15])
        assert (one - both)[:, PIPE.among(town().points())].min() > 0.0

    def test_what_makes_no_sense_is_refused(self) -> None:
        with pytest.raises(BadInput, match="ends before it begins"):
            BoilerTrip(S1, 5, 4)
        with pytest.raises(BadInput, match="happens to a station, not to a building"):
            BoilerTrip(B1, 4, 5)
        with pytest.raises(BadInput, match="no kind of subject"):
            Subject("street", "x")
        with pytest.raises(BadInput, match="no riser 9-9-99"):
            Subject(RISER, "9-9-99").among(points())


def test_every_event_has_a_name() -> None:
    kinds = {type(event) for event in EVENTS}
    assert set(events.EVENTS.values()) == kinds
    assert ["".join(part.title() for part in one.split("_")) for one in events.EVENTS] == [
        kind.__name__ for kind in events.EVENTS.values()
    ]


class TestWholeTown:
    """A town is a subject like others."""

    def test_it_is_all_rooms(self) -> None:
        assert Subject(TOWN).among(points()).all()
        assert Subject(TOWN).said == "town"

    def test_what_is_of_stations_happens_to_all_of_them(self) -> None:
        weak = model_of(town(), [WeakStation(Subject(TOWN), *SPAN, has=0.3)]).at(HOURS)
        each = model_of(town(), [WeakStation(Subject(STATION, name), *SPAN, has=0.3) for name in ("S1", "S2")]).at(
            HOURS
        )
        np.testing.assert_array_equal(weak, each)

    def test_what_stops_heat_is_told_station_by_station(self) -> None:
        with pytest.raises(BadInput, match="does not happen to a whole town"):
            BurstMain(Subject(TOWN), *SPAN)

    def test_it_has_no_name(self) -> None:
        with pytest.raises(BadInput, match="a town has no name"):
            Subject(TOWN, "S1")


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_of_the_water_is_between_none_and_all(share: float) -> None:
    with pytest.raises(BadInput, match=r"event: leaves is .*, not between 0 and 1"):
        ClosedValve(Subject(ROOM, "S1-B01-1-101"), 0, 1, leaves=share)
