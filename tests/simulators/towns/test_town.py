"""A town is its seed: register, readings, and a truth that holds."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS
from heatwatch.domain.register import Register
from heatwatch.errors import BadInput
from simulators.physics.model import RoomModel
from simulators.physics.weather import WeatherSettings
from simulators.towns.events import BUILDING, STATION, BoilerTrip, BurstMain, ClosedValve, PlannedStop, Subject
from simulators.towns.settings import PhysicsSettings, TownSettings
from simulators.towns.town import Town

LONG_MS = 30 * HOUR_MS


@cache
def town(seed: int = 1) -> Town:
    return Town(TownSettings(seed=seed))


@cache
def long_window() -> pd.DataFrame:
    return town().readings(town().start_ms, town().start_ms + LONG_MS)


def ms(instant: pd.Series[pd.Timestamp]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return instant.dt.tz_localize(None).to_numpy("datetime64[ms]").astype(np.int64)


def rooms_of(building_id: str) -> list[int]:
    return [at for at, row in enumerate(town().points()) if row.building_id == building_id]


class TestSeed:
    """Readings are a function of seed and time."""

    def test_the_same_seed_gives_the_same_readings_to_the_bit(self) -> None:
        assert_frame_equal(Town(TownSettings()).readings(town().start_ms, town().start_ms + LONG_MS), long_window())

    def test_another_seed_gives_others(self) -> None:
        other = Town(TownSettings(seed=2)).readings(town().start_ms, town().start_ms + HOUR_MS)
        same_time = long_window().iloc[: len(other)]
        assert not other["temperature_c"].equals(same_time["temperature_c"])

    @settings(max_examples=30, deadline=None)
    @given(cuts=st.lists(st.integers(0, LONG_MS), max_size=6), backwards=st.booleans())
    def test_windows_compose(self, cuts: list[int], *, backwards: bool) -> None:
        edges = [0, *sorted(cuts), LONG_MS]
        spans = list(pairwise(edges))
        fresh = Town(TownSettings())
        frames = {
            span: fresh.readings(fresh.start_ms + span[0], fresh.start_ms + span[1])
            for span in spans[:: -1 if backwards else 1]
        }
        assert_frame_equal(pd.concat([frames[span] for span in spans], ignore_index=True), long_window())

    def test_nothing_was_measured_before_the_start(self) -> None:
        start_ms = town().start_ms
        assert town().readings(start_ms - DAY_MS, start_ms).empty
        assert town().readings(start_ms - DAY_MS, start_ms + HOUR_MS)["time_ms"].min() >= start_ms


class TestRegister:
    """The register that a town comes with."""

    def test_names_and_sizes(self) -> None:
        rows = Register.of(town().points()).rows
        assert len(rows) == 120
        assert {row.station_id for row in rows} == {"S1", "S2"}
        assert len({row.building_id for row in rows}) == 10
        assert len({row.room_id for row in rows}) == 120
        assert (rows[0].point_id, rows[0].building_id, rows[0].room_id) == ("S1-B01-1-101", "S1-B01", "1-1-101")
        assert all(row.interval_s == 300 for row in rows)

    def test_the_frame_has_a_row_a_point(self) -> None:
        frame = town().points_frame()
        assert frame["point_id"].tolist() == [row.point_id for row in town().points()]
        assert set(frame["room_class"]) == {"apartment"}

    @pytest.mark.parametrize("rooms", [1, 2, 13, 25, 1201])
    def test_any_size_makes_a_town(self, rooms: int) -> None:
        small = Town(TownSettings(rooms=rooms))
        readings = small.readings(small.start_ms, small.start_ms + HOUR_MS)
        assert readings["point_id"].nunique() == rooms == len(Register.of(small.points()).rows)
        small.truth()

    def test_no_rooms_make_none(self) -> None:
        with pytest.raises(BadInput, match="rooms must be at least 1"):
            TownSettings(rooms=0)


class TestReadings:
    """What thermometers make of the truth."""

    def test_they_are_sorted_and_spread_over_the_interval(self) -> None:
        time_ms = long_window()["time_ms"].to_numpy()
        assert (np.diff(time_ms) >= 0).all()
        per_minute = np.bincount((time_ms[time_ms < time_ms[0] + HOUR_MS] - town().start_ms) // MINUTE_MS % 5)
        assert per_minute.min() > 0.5 * per_minute.mean()

    def test_each_thermometer_keeps_its_interval_and_counts(self) -> None:
        one = long_window().query("point_id == 'S2-B10-1-101' and not copy")
        assert (one["time_ms"].diff().dropna() == 5 * MINUTE_MS).all()
        assert one["seq"].tolist() == list(range(len(one)))

    def test_temperatures_are_the_truth_with_noise_and_resolution(self) -> None:
        readings, points = long_window(), [row.point_id for row in town().points()]
        sample = readings[readings["time_ms"] < town().start_ms + 3 * HOUR_MS].iloc[::37]
        true_c = town().temperatures_c(sample["time_ms"].to_numpy())
        own_c = true_c[np.arange(len(sample)), [points.index(point) for point in sample["point_id"]]]
        error_k = sample["temperature_c"].to_numpy() - own_c
        assert np.abs(error_k).max() < 0.5
        assert abs(error_k.mean()) < 0.03
        tenths = readings["temperature_c"] * 10
        np.testing.assert_array_equal(tenths.round() / 10, readings["temperature_c"])

    def test_some_are_sent_twice_alike(self) -> None:
        readings = long_window()
        copies = readings.index[readings["copy"]]
        assert 0.0005 < len(copies) / len(readings) < 0.01
        first, second = readings.loc[copies - 1], readings.loc[copies]
        assert_frame_equal(
            first.drop(columns="copy").reset_index(drop=True), second.drop(columns="copy").reset_index(drop=True)
        )
        assert readings[~readings["copy"]].duplicated(["time_ms", "point_id"]).sum() == 0

    def test_only_the_broken_thermometer_is_unreadable_now_and_then(self) -> None:
        (broken,) = town().truth().broken_thermometers["point_id"]
        unreadable = long_window().groupby("point_id")["unreadable"].mean()
        assert 0.0 < unreadable[broken] < 0.2
        assert unreadable.drop(broken).sum() == 0


class TestTruth:
    """What a town says of itself is what its rooms and rows show."""

    @pytest.mark.parametrize("seed", range(1, 6))
    def test_cold_rooms_and_no_others_are_cold_while_there_is_heat(self, seed: int) -> None:
        here = Town(TownSettings(seed=seed, physics=PhysicsSettings(opens_per_day=0)))
        truth, points = here.truth(), here.points_frame()
        time_ms = here.start_ms + np.arange(0, 40 * DAY_MS, 5 * HOUR_MS, dtype=np.int64)
        warmth = pd.DataFrame(here.temperatures_c(time_ms), columns=points["point_id"])
        cold = truth.cold_rooms.set_index("point_id")
        assert len(cold) == 4
        assert cold["steady_c"].between(14.0, 17.0).all()
        by_day = warmth[cold.index[cold["rule"] == "R1"]]
        assert (by_day.to_numpy() < 18.0).mean() > 0.97
        assert (by_day.to_numpy() > 16.0).mean() > 0.97
        assert (warmth[cold.index[cold["rule"] == "R1+R2"]].to_numpy() < 16.0).mean() > 0.97
        lost = points.loc[points["building_id"].isin(truth.heat_outages["subject_id"]), "point_id"]
        assert warmth.drop(columns=[*cold.index, *lost]).to_numpy().min() > 18.4

    def test_rooms_settle_where_the_truth_says(self) -> None:
        still = WeatherSettings(daily_k=0.0, slow_k=0.0, cloud_share=1.0)
        here = Town(TownSettings(weather=still, outage_h=0, physics=PhysicsSettings(opens_per_day=0, valve_share=0)))
        cold = here.truth().cold_rooms
        columns = [row.point_id for row in here.points()]
        time_ms = here.start_ms + np.arange(8 * DAY_MS, 9 * DAY_MS, HOUR_MS, dtype=np.int64)
        warmth = pd.DataFrame(here.temperatures_c(time_ms), columns=columns)[cold["point_id"]]
        np.testing.assert_allclose(warmth.mean(), cold["steady_c"], atol=0.4)

    def test_rooms_fall_in_the_heat_outage_and_only_there(self) -> None:
        here = town()
        outage = here.truth().heat_outages.iloc[0]
        start_ms, end_ms = int(outage["start"].timestamp() * 1000), int(outage["end"].timestamp() * 1000)
        assert start_ms == here.start_ms + 2 * HOUR_MS
        assert outage["duration_h"] == 10.0
        lost = rooms_of(outage["subject_id"])
        near = {room for at in lost for room in here.model.physics.fabric.neighbours[:, at].tolist()}
        assert near == set(lost)
        others = np.setdiff1d(np.arange(120), lost)
        at_ms = np.array([start_ms - 1, start_ms + 3 * HOUR_MS, end_ms, end_ms + HOUR_MS])
        physics, points = here.model.physics, here.points()
        calm = RoomModel(physics, here.weather, (), points, start_ms=here.start_ms, interval_s=300, seed=1).at(at_ms)
        at = here.temperatures_c(at_ms)
        assert np.median((at[0] - at[1])[lost]) > 1.0
        assert (calm - at)[1, lost].min() > 0.3
        assert (calm - at)[2, lost].min() > 1.5
        assert (at[3] - at[2])[lost].min() > 0.0
        np.testing.assert_array_equal(at[0], calm[0])
        np.testing.assert_array_equal(at[:, others], calm[:, others])

    def test_the_building_that_loses_its_heat_is_neither_light_nor_heavy(self) -> None:
        fabric = town().model.physics.fabric
        cooling_h = fabric.cooling_h()
        assert cooling_h.min() >= 25.0 * (1 - 1e-9)
        assert cooling_h.max() <= 120.0 * (1 + 1e-9)
        assert 40.0 < cooling_h[rooms_of(town().truth().heat_outages.iloc[0]["subject_id"])].mean() < 60.0

    def test_the_silent_gateway_sends_nothing_from_its_last_reading_to_its_first(self) -> None:
        outages = town().truth().data_outages
        readings = long_window()
        building, points = outages.iloc[0], outages.iloc[1:]
        assert (building["subject_kind"], set(points["subject_kind"])) == ("building", {"point"})
        assert set(points["part_of"]) == {f"building:{building['subject_id']}"}
        assert len(points) == len(rooms_of(building["subject_id"]))
        for point, start_ms, end_ms in zip(points["subject_id"], ms(points["start"]), ms(points["end"]), strict=True):
            heard = readings.loc[readings["point_id"] == point, "time_ms"].to_numpy()
            assert start_ms in heard
            assert end_ms in heard
            assert not ((heard > start_ms) & (heard < end_ms)).any()
        assert points["duration_h"].between(12.0, 12.1).all()

    def test_a_building_is_silent_while_more_than_half_of_it_is(self) -> None:
        outages = town().truth().data_outages
        building, points = outages.iloc[0], outages.iloc[1:]
        silent = [
            int(((points["start"] <= moment) & (points["end"] > moment)).sum())
            for edge in (building["start"], building["end"])
            for moment in (edge - pd.Timedelta("1ms"), edge)
        ]
        assert silent == [6, 7, 7, 6]

    def test_half_a_gateway_is_no_building(self) -> None:
        outages = Town(TownSettings(silent_share=0.5)).truth().data_outages
        assert outages["subject_kind"].tolist() == ["point"] * 6
        assert set(outages["part_of"]) == {""}

    def test_what_is_not_over_is_open_and_what_has_not_begun_is_not_known(self) -> None:
        start_ms = town().start_ms
        assert town().truth(start_ms + HOUR_MS).heat_outages.empty
        early = town().truth(start_ms + 10 * HOUR_MS)
        assert early.heat_outages["open"].tolist() == [True]
        assert early.heat_outages["end"].isna().all()
        assert early.heat_outages["duration_h"].tolist() == [8.0]
        assert early.data_outages.empty
        later = town().truth(start_ms + 12 * HOUR_MS).data_outages
        assert len(later) == 13
        assert later["open"].all()

    def test_nothing_need_happen(self) -> None:
        calm = Town(TownSettings(outage_h=0, silent_h=0, cold_rooms=0)).truth()
        assert calm.heat_outages.empty
        assert calm.data_outages.empty
        assert calm.cold_rooms.empty

    def test_weather_is_written_by_the_hour(self) -> None:
        weather = town().weather_frame(town().start_ms, town().start_ms + DAY_MS)
        assert list(weather) == ["time", "outdoor_c"]
        assert len(weather) == 24

    def test_supply_is_told_by_station(self) -> None:
        supply = town().supply_frame(town().start_ms, town().start_ms + HOUR_MS)
        assert list(supply) == ["time", "subject_id", "supply_c", "return_c", "flow_m3_h"]
        assert supply["subject_id"].tolist() == ["S1", "S2"] * 12
        assert supply["supply_c"].between(40.0, 65.0).all()
        assert (supply["supply_c"] - supply["return_c"]).between(8.0, 20.0).all()
        assert (supply["flow_m3_h"] > 1.0).all()

    def test_measured_weather_stands_in_for_the_made_up_one(self, tmp_path: Path) -> None:
        start = pd.Timestamp(town().start_ms, unit="ms", tz="UTC")
        times = [f"{start + pd.Timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}" for hour in (0, 6, 13)]
        rows = "".join(f"{time},{temp}\n" for time, temp in zip(times, (-3.0, -9.0, -3.0), strict=True))
        (tmp_path / "weather.csv").write_text(f"time,outdoor_c\n{rows}")
        here = Town(TownSettings(rooms=13, silent_h=0, weather_file=tmp_path / "weather.csv"))
        told = here.weather_frame(here.start_ms, here.start_ms + 9 * HOUR_MS, every_s=3 * 3600)
        assert told["outdoor_c"].tolist() == [-3.0, -6.0, -9.0]
        assert len(here.readings(here.start_ms, here.start_ms + 13 * HOUR_MS)) >= 13 * 12 * 13
        with pytest.raises(BadInput, match=r"weather\.csv: it runs from 2026-01-12"):
            here.readings(here.start_ms, here.start_ms + 13 * HOUR_MS + 2)
        with pytest.raises(BadInput, match="says nothing of 2026-01-12T13:00:00"):
            here.temperatures_c(np.array([here.start_ms + 13 * HOUR_MS + 1], dtype=np.int64))

    @pytest.mark.parametrize("interval_s", [60, 420, 3_600])
    def test_an_interval_of_any_length_tells_the_same_town(self, interval_s: int) -> None:
        calm = PhysicsSettings(opens_per_day=0)
        usual, other = (Town(TownSettings(rooms=24, interval_s=s, physics=calm)) for s in (300, interval_s))
        time_ms = usual.start_ms + np.arange(0, 36, 6, dtype=np.int64) * 42 * MINUTE_MS
        np.testing.assert_allclose(other.temperatures_c(time_ms), usual.temperatures_c(time_ms), atol=0.25)


class TestEvents:
    """What else happens to a town."""

    @staticmethod
    def events() -> tuple[BoilerTrip, BurstMain, PlannedStop, ClosedValve]:
        hours = [town().start_ms + hour * HOUR_MS for hour in range(40)]
        return (
            BoilerTrip(Subject(STATION, "S1"), hours[14], hours[20]),
            BurstMain(Subject(BUILDING, "S2-B07"), hours[5], hours[9]),
            PlannedStop(Subject(BUILDING, "S2-B10"), hours[12], hours[36], reason="valve"),
            ClosedValve(Subject("room", "S2-B09-1-101"), hours[1], hours[30]),
        )

    def test_they_make_outages_reported_stops_and_leaks(self) -> None:
        here = Town(TownSettings(outage_h=0, events=self.events()))
        outages = here.truth().heat_outages
        assert outages["subject_id"].tolist() == ["S1", *(f"S1-B0{n}" for n in range(1, 6)), "S2-B07", "S2-B10"]
        assert outages["duration_h"].tolist() == [6.0] * 6 + [4.0, 24.0]
        assert outages["points"].tolist() == [60] + [12] * 7
        assert here.truth().leaks["subject_id"].tolist() == ["S2-B07"]
        stops = here.stops_frame()
        assert list(stops) == ["subject_kind", "subject_id", "start", "end", "planned", "reason"]
        assert stops["planned"].tolist() == [False, True]
        early = here.truth(here.start_ms + 13 * HOUR_MS).heat_outages
        assert early["subject_id"].tolist() == ["S2-B07", "S2-B10"]
        assert early["open"].tolist() == [False, True]

    def test_what_stops_a_house_twice_at_once_is_one_outage(self) -> None:
        subject, hour = Subject(BUILDING, "S1-B01"), [town().start_ms + hour * HOUR_MS for hour in range(40)]
        twice = (PlannedStop(subject, hour[9], hour[14]), BurstMain(subject, hour[3], hour[9]))
        again = PlannedStop(subject, hour[20], hour[21])
        outages = Town(TownSettings(outage_h=0, events=(*twice, again))).truth().heat_outages
        assert outages["duration_h"].tolist() == [11.0, 1.0]
        assert outages["points"].tolist() == [12, 12]

    def test_before_they_begin_nothing_differs_and_elsewhere_never(self) -> None:
        calm, eventful = (Town(TownSettings(outage_h=0, events=events)) for events in ((), self.events()))
        time_ms = calm.start_ms + np.arange(HOUR_MS, 40 * HOUR_MS, HOUR_MS, dtype=np.int64) - 1
        differ = calm.temperatures_c(time_ms) != eventful.temperatures_c(time_ms)
        first = {"S1-B03": 14, "S2-B07": 5, "S2-B10": 12, "S2-B09": 1}
        for building, hour in first.items():
            here = differ[:, rooms_of(building)].any(axis=1)
            assert here.argmax() == hour
        assert not differ[:, [*rooms_of("S2-B06"), *rooms_of("S2-B08")]].any()

    def test_an_event_of_nobody_is_refused(self) -> None:
        with pytest.raises(BadInput, match="no building B99"):
            Town(TownSettings(events=(BurstMain(Subject(BUILDING, "B99"), 0, 1),)))
