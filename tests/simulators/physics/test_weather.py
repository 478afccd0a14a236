"""Weather and sun are functions of time and seed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from heatwatch.domain.instants import DAY_MS, HOUR_MS, to_ms
from heatwatch.errors import BadInput
from simulators.arrays import Int64
from simulators.physics.sun import Side, Site, height_and_bearing, on_sides_w_m2
from simulators.physics.weather import ColdSnap, MeasuredWeather, Weather, WeatherSettings

WINTER_MS = to_ms(datetime(2026, 1, 15, tzinfo=UTC))
STILL = WeatherSettings(daily_k=0.0, slow_k=0.0)


def hours(days: float, start_ms: int = WINTER_MS) -> Int64:
    return start_ms + np.arange(0, round(days * DAY_MS), HOUR_MS, dtype=np.int64)


class TestWeather:
    """Made-up weather."""

    def test_it_is_the_same_in_whatever_window_it_is_asked_for(self) -> None:
        settings = WeatherSettings(season_k=12.0, snap_share=0.8)
        time_ms, weather = hours(120), Weather(1, settings)
        outdoor_c, cloudiness = weather.outdoor_c(time_ms), weather.cloudiness(time_ms)
        np.testing.assert_array_equal(Weather(1, settings).outdoor_c(time_ms[1717:1800]), outdoor_c[1717:1800])
        np.testing.assert_array_equal(Weather(1, settings).cloudiness(time_ms[17:101]), cloudiness[17:101])
        assert not np.array_equal(Weather(2, settings).outdoor_c(time_ms), outdoor_c)

    def test_it_swings_about_its_mean_as_far_as_it_may(self) -> None:
        outdoor_c = Weather(1).outdoor_c(hours(30))
        assert -8.0 - 6.5 <= outdoor_c.min() < -11.0
        assert -5.0 < outdoor_c.max() <= -8.0 + 6.5

    def test_summer_is_warm(self) -> None:
        weather = Weather(1, WeatherSettings(daily_k=0.0, slow_k=0.0, season_k=16.0))
        january, july = weather.outdoor_c(np.array([WINTER_MS, WINTER_MS + 183 * DAY_MS], dtype=np.int64))
        assert january == pytest.approx(-8.0, abs=0.01)
        assert july == pytest.approx(24.0, abs=0.01)

    def test_a_cold_snap_is_cold_in_its_time_and_nowhere_else(self) -> None:
        snap = ColdSnap(WINTER_MS + 2 * DAY_MS, WINTER_MS + 5 * DAY_MS, 10.0)
        time_ms = hours(8)
        outdoor_c = Weather(1, WeatherSettings(daily_k=0.0, slow_k=0.0, snaps=(snap,))).outdoor_c(time_ms)
        inside = (time_ms > snap.start_ms) & (time_ms < snap.end_ms)
        np.testing.assert_array_equal(outdoor_c[~inside], -8.0)
        assert (outdoor_c[inside] < -8.0).all()
        core = (time_ms >= snap.start_ms + 12 * HOUR_MS) & (time_ms <= snap.end_ms - 12 * HOUR_MS)
        np.testing.assert_allclose(outdoor_c[core], -18.0)
        assert np.abs(np.diff(outdoor_c)).max() < 2.0

    def test_the_seed_chooses_snaps(self) -> None:
        settings = WeatherSettings(daily_k=0.0, slow_k=0.0, snap_share=0.5)
        outdoor_c = Weather(3, settings).outdoor_c(hours(320))
        assert -16.0 <= outdoor_c.min() < -12.0
        cold = outdoor_c < -8.5
        assert 0.02 < cold.mean() < 0.3
        assert 3 <= int((np.diff(cold.astype(int)) == 1).sum()) <= 18

    def test_a_snap_must_last(self) -> None:
        with pytest.raises(BadInput, match="must end after it begins"):
            ColdSnap(5, 5, 1.0)

    def test_clouds_come_and_go(self) -> None:
        cloudiness = Weather(1).cloudiness(hours(60))
        assert cloudiness.min() == 0.0
        assert cloudiness.max() == 1.0
        assert 0.3 < cloudiness.mean() < 0.7
        assert np.abs(np.diff(cloudiness)).max() < 0.7


class TestMeasured:
    """Weather from a file."""

    def test_it_is_interpolated_and_rows_come_in_any_order(self, tmp_path: Path) -> None:
        path = tmp_path / "weather.csv"
        path.write_text(
            "time,outdoor_c\n2026-01-15T02:00:00Z,-6.0\n2026-01-15T00:00:00Z,-8\n2026-01-15T01:00:00Z,-10.0\n"
        )
        weather = MeasuredWeather.read(path)
        asked_ms = WINTER_MS + np.array([0, HOUR_MS // 2, HOUR_MS, 2 * HOUR_MS], dtype=np.int64)
        np.testing.assert_allclose(weather.outdoor_c(asked_ms), [-8.0, -9.0, -10.0, -6.0])
        assert weather.mean_c == -8.0
        np.testing.assert_array_equal(weather.cloudiness(asked_ms), 0.5)

    @pytest.mark.parametrize("at_ms", [WINTER_MS - 1, WINTER_MS + HOUR_MS + 1])
    def test_where_it_ends_it_says_so(self, at_ms: int) -> None:
        weather = MeasuredWeather(np.array([WINTER_MS, WINTER_MS + HOUR_MS]), np.array([-8.0, -9.0]), where="w.csv")
        with pytest.raises(BadInput, match=r"w\.csv: it runs from 2026-01-15T00:00:00\.000Z to 2026-01-15T01:00"):
            weather.outdoor_c(np.array([at_ms], dtype=np.int64))

    @pytest.mark.parametrize(
        ("rows", "said"),
        [
            ("", "no row"),
            ("2026-01-15T00:00:00Z,\n", "outdoor temperature is missing"),
            ("2026-01-15T00:00:00Z,1\n2026-01-15T00:00:00Z,2\n", "stands there twice"),
        ],
    )
    def test_what_is_no_weather_is_refused(self, tmp_path: Path, rows: str, said: str) -> None:
        (tmp_path / "w.csv").write_text(f"time,outdoor_c\n{rows}")
        with pytest.raises(BadInput, match=said):
            MeasuredWeather.read(tmp_path / "w.csv")


class TestSun:
    """Where the sun stands, and what it sends."""

    def test_noon_of_the_seasons(self) -> None:
        """The height at noon is 90 deg less latitude plus declination, to half a degree."""
        noon = [to_ms(datetime(2026, month, day, 4, 16, tzinfo=UTC)) for month, day in ((3, 21), (6, 21), (12, 21))]
        up, south, west = height_and_bearing(np.array(noon, dtype=np.int64), Site())
        np.testing.assert_allclose(np.rad2deg(np.arcsin(up)), [50.0, 73.4, 26.6], atol=0.6)
        assert (south > 0.0).all()
        assert np.abs(west).max() < 0.01
        np.testing.assert_allclose(up**2 + south**2 + west**2, 1.0)

    def test_sides_get_their_hours(self) -> None:
        time_ms = hours(1)
        clear = on_sides_w_m2(time_ms, np.zeros(24), Site())
        local = (np.arange(24) + 8) % 24
        assert local[clear[:, Side.SOUTH].argmax()] == 12
        assert local[clear[:, Side.EAST].argmax()] < 11
        assert local[clear[:, Side.WEST].argmax()] > 13
        assert (clear[:, Side.NORTH] <= clear[:, Side.SOUTH]).all()
        assert (clear[(local < 7) | (local > 17)] == 0.0).all()
        assert 600.0 < clear.max() < 1_000.0

    def test_clouds_take_it_away(self) -> None:
        time_ms = hours(1)
        skies = [on_sides_w_m2(time_ms, np.full(24, share), Site()) for share in (0.0, 0.5, 1.0)]
        total = [sky[:, Side.SOUTH].sum() for sky in skies]
        assert total[0] > 1.4 * total[1] > 4.0 * total[2] > 0.0
        np.testing.assert_array_equal(skies[2][:, Side.SOUTH], skies[2][:, Side.NORTH])
