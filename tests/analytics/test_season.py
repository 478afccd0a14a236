"""Judging a store slice by slice finds what one run over everything finds, byte by byte."""

from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from analytics.judge import judge
from analytics.season import judge_season, planned
from heatwatch.domain.findings import FindingKind
from heatwatch.domain.instants import DAY_MS, HOUR_MS
from heatwatch.domain.register import Register
from heatwatch.errors import BadInput
from heatwatch.files.rules_file import default_standard
from heatwatch.stores.embedded import EmbeddedReadings
from heatwatch.stores.readings import ReadingBatch
from tests.analytics.winters import START_MS, files_of, town, winter

ZONE = ZoneInfo("Asia/Shanghai")


def stored(readings: pd.DataFrame, path: Path) -> EmbeddedReadings:
    store, n = EmbeddedReadings(path), len(readings)
    nothing = np.full(n, np.nan)
    time_ms = readings["time"].to_numpy(dtype="datetime64[ms]").view(np.int64)
    temp_c = readings["temperature_c"].to_numpy(np.float64)
    names = readings["point_id"].astype(str).tolist()
    order = np.arange(n)
    store.write(
        ReadingBatch(
            names, time_ms, temp_c, nothing, nothing, nothing, [""] * n, time_ms, "w", order, np.zeros(n, np.int32)
        )
    )
    return store


def without_repeats(readings: pd.DataFrame) -> pd.DataFrame:
    """Return what a store keeps: a row that is there already is not kept again."""
    return readings.drop_duplicates(["time", "point_id", "temperature_c"])


@pytest.mark.parametrize("most_rows", [400, 1_500, 10**9])
@pytest.mark.parametrize("as_of_ms", [None, START_MS + 4 * DAY_MS + 12_345])
def test_however_it_is_cut_the_bytes_are_the_same(tmp_path: Path, most_rows: int, as_of_ms: int | None) -> None:
    readings = without_repeats(winter(3))
    whole = judge(readings, town(), default_standard(), ZONE, as_of_ms)
    store = stored(readings, tmp_path / "readings.duckdb")
    sliced = judge_season(store, town(), default_standard(), ZONE, as_of_ms, most_rows=most_rows)
    store.close()
    assert sliced.as_of_ms == whole.as_of_ms
    assert files_of(sliced, tmp_path / "sliced") == files_of(whole, tmp_path / "whole")
    assert all(len(whole.frames[kind]) for kind in FindingKind), "something of every kind is compared"


def test_without_a_register_every_source_is_an_apartment_of_one_building(tmp_path: Path) -> None:
    readings = without_repeats(winter(4))
    store = stored(readings, tmp_path / "readings.duckdb")
    sliced = judge_season(store, None, default_standard(), ZONE, most_rows=2_000)
    store.close()
    whole = judge(readings, None, default_standard(), ZONE)
    assert files_of(sliced, tmp_path / "sliced") == files_of(whole, tmp_path / "whole")


def test_what_is_sent_last_and_is_not_valid_moves_no_moment(tmp_path: Path) -> None:
    readings = without_repeats(winter(5))
    last = readings["time"] > readings["time"].max() - pd.Timedelta(hours=30)
    readings.loc[last, "temperature_c"] = 85.0
    readings = without_repeats(readings)
    store = stored(readings, tmp_path / "readings.duckdb")
    sliced = judge_season(store, town(), default_standard(), ZONE, most_rows=500)
    store.close()
    whole = judge(readings, town(), default_standard(), ZONE)
    assert sliced.as_of_ms == whole.as_of_ms < START_MS + 5 * DAY_MS
    assert files_of(sliced, tmp_path / "sliced") == files_of(whole, tmp_path / "whole")


def test_an_empty_store_is_bad_input(tmp_path: Path) -> None:
    store = EmbeddedReadings(tmp_path / "readings.duckdb")
    with pytest.raises(BadInput, match="no reading"):
        judge_season(store, Register.implied_by(["p"]), default_standard(), ZONE)
    store.close()


def test_the_days_of_a_store_are_those_of_utc_with_their_rows(tmp_path: Path) -> None:
    times = [-1, 0, DAY_MS - 1, DAY_MS, 400 * DAY_MS]
    frame = pd.DataFrame({"time": np.array(times, "datetime64[ms]"), "point_id": "p", "temperature_c": 20.0})
    store = stored(frame, tmp_path / "readings.duckdb")
    days, held = store.days()
    store.close()
    assert days.tolist() == [-DAY_MS, 0, DAY_MS, 400 * DAY_MS]
    assert held.tolist() == [1, 2, 1, 1]
    assert days.dtype == held.dtype == np.int64


def test_slices_hold_every_row_once_and_pass_over_days_without_any() -> None:
    days = np.array([0, 1, 2, 30], np.int64) * DAY_MS
    slices = planned(days, np.array([5, 5, 95, 5], np.int64), 10)
    assert slices[0] == (0, 2 * DAY_MS)
    assert slices[1][0] == 2 * DAY_MS
    assert slices[-1] == (30 * DAY_MS, 31 * DAY_MS)
    assert len(slices) == 12
    assert all(end == start for (_, end), (start, _) in pairwise(slices[:-1]))
    assert planned(days, np.array([5, 5, 95, 5], np.int64), 10, DAY_MS + HOUR_MS) == [(0, DAY_MS + HOUR_MS)]
