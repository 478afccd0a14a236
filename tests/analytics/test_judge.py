"""The judge finds what the plain oracle finds, to the last digit, offline and live."""

from collections.abc import Sequence
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.found import frames_of
from analytics.judge import judge
from analytics.live import LiveJudge
from heatwatch.domain.findings import FindingKind
from heatwatch.domain.register import Register
from heatwatch.errors import BadInput
from tests.analytics import oracle
from tests.analytics.against import answer, as_answered, as_expected, readings_of, register_of, standard_of
from tests.analytics.oracle import DEFAULT_RULES, Row
from tests.analytics.strategies import Case, cases

SLOW_TO_DRAW = (HealthCheck.too_slow, HealthCheck.data_too_large)


@settings(max_examples=1000, deadline=None, suppress_health_check=SLOW_TO_DRAW)
@given(case=cases().filter(lambda case: bool(case.rows)))
def test_the_judge_finds_what_the_oracle_finds(case: Case) -> None:
    expected = oracle.judge(case.rows, case.points, case.rules, case.timezone, case.as_of_ms, case.numbers)
    assert as_answered(answer(case)) == as_expected(expected)


class Stored:
    """A history in memory; what is stored twice is kept once, as every reading store does."""

    def __init__(self, points: Sequence[str]) -> None:
        self._rows: dict[str, dict[tuple[int, float | str], float]] = {point: {} for point in points}

    def add(self, row: Row) -> None:
        """Keep a row."""
        value = np.nan if row.temp_c is None or not np.isfinite(row.temp_c) else row.temp_c
        self._rows[row.point_id][row.time_ms, "none" if np.isnan(value) else value] = value

    def rows(self, points: Sequence[str]) -> tuple["np.ndarray", "np.ndarray", "np.ndarray"]:
        """Return all rows of `points`."""
        flat = [
            (index, time_ms, value)
            for index, point in enumerate(points)
            for (time_ms, _), value in self._rows[point].items()
        ]
        code, time_ms, value = zip(*flat, strict=True) if flat else ((), (), ())
        return np.array(code, np.int32), np.array(time_ms, np.int64), np.array(value, np.float64)

    def signs(self, points: Sequence[str]) -> None:
        """Nothing is said of batteries and clocks."""


@st.composite
def batches(draw: st.DrawFn, rows: Sequence[Row]) -> list[list[Row]]:
    """Cut rows into batches, in any order, some of them delivered again."""
    again = draw(st.lists(st.sampled_from(rows), max_size=5)) if rows else []
    orders = st.sampled_from(["time", "any"])
    everything = [*rows, *again]
    order = sorted(everything, key=lambda row: row.time_ms) if draw(orders) == "time" else None
    order = order or draw(st.permutations(everything))
    cuts = sorted(draw(st.sets(st.integers(0, len(order)), max_size=8)) | {0, len(order)})
    return [list(order[a:b]) for a, b in pairwise(cuts)]


def feed(live: LiveJudge, history: Stored, rows: Sequence[Row]) -> None:
    """Store rows and hand them to a live judge, as the arrivals feed does."""
    number = {point: code for code, point in enumerate(live.timeline.points)}
    known = [row for row in rows if row.point_id in number]
    for row in known:
        history.add(row)
    live.feed(
        np.array([number[row.point_id] for row in known], np.int32),
        np.array([row.time_ms for row in known], np.int64),
        np.array([np.nan if row.temp_c is None else row.temp_c for row in known], np.float64),
    )


def assert_same(live: LiveJudge, offline_frames: "dict[FindingKind, pd.DataFrame]", as_of_ms: int) -> None:
    """Compare findings of all kinds, heat outages too."""
    frames = frames_of(live.timeline, live.found(as_of_ms))
    for kind, frame in offline_frames.items():
        pd.testing.assert_frame_equal(frames[kind], frame, check_exact=True)


@settings(max_examples=300, deadline=None, suppress_health_check=SLOW_TO_DRAW)
@given(data=st.data(), case=cases().filter(lambda case: bool(case.rows) and case.points is not None))
def test_any_cut_order_repetition_and_interruption_finds_what_one_offline_run_finds(
    data: st.DataObject, case: Case
) -> None:
    offline = answer(case)
    register = register_of(case.points or [])
    history = Stored(sorted({row.point_id for row in register.rows}))
    make = (register, standard_of(case.rules, case.numbers), ZoneInfo(case.timezone), history)
    live, saved, asked_ms = LiveJudge(*make), dict[str, bytes](), -(2**61)
    for batch in data.draw(batches(case.rows)):
        feed(live, history, batch)
        if data.draw(st.booleans(), "look in between"):
            moment = data.draw(st.sampled_from([row.time_ms for row in case.rows]))
            asked_ms = max(asked_ms, min(moment, offline.as_of_ms))
            live.found(asked_ms)
        if data.draw(st.booleans(), "interrupt"):
            saved |= live.save()
            live = LiveJudge(*make)
            live.load(saved)
    assert_same(live, dict(offline.frames), offline.as_of_ms)


def cooling_building(rng: np.random.Generator, rooms: int, days: float) -> tuple[list[Row], Register]:
    """Rooms of two buildings; the first has no heat from its 20th to its 32nd hour."""
    rows, points = [], []
    for room in range(rooms):
        building = f"b{room % 2}"
        point = f"{building}-r{room}"
        points.append(oracle.Point(point, building, "s", interval_s=300))
        temp_c = 21.0 + rng.normal(0, 0.5)
        for step in range(int(days * 288)):
            hour = step / 12
            stopped = building == "b0" and 20 <= hour < 32
            temp_c += (-8.0 - temp_c) / (60 * 12) if stopped else (21.0 - temp_c) / (6 * 12)
            rows.append(Row(point, 1_768_000_000_000 + step * 300_000 + room, round(temp_c + rng.normal(0, 0.05), 1)))
    return rows, register_of(points)


def test_a_heat_outage_is_found_live_at_any_cut_as_offline() -> None:
    rng = np.random.default_rng(7)
    rows, register = cooling_building(rng, 8, 2.5)
    standard, zone = standard_of(DEFAULT_RULES), ZoneInfo("Asia/Shanghai")
    offline = judge(readings_of(rows), register, standard, zone)
    assert list(offline.heat_outages["subject_id"]) == ["b0"]
    history = Stored([row.point_id for row in register.rows])
    live = LiveJudge(register, standard, zone, history)
    arrived = sorted(rows, key=lambda row: row.time_ms + (rng.exponential(7_200_000) if rng.random() < 0.02 else 0))
    now_ms = rows[0].time_ms
    for batch in np.array_split(np.arange(len(arrived)), 150):
        chosen = [arrived[k] for k in batch]
        feed(live, history, chosen)
        now_ms = max(now_ms, *(row.time_ms for row in chosen))
        live.found(now_ms)
    assert_same(live, dict(offline.frames), offline.as_of_ms)


def test_a_heat_outage_starts_when_the_heat_stops_and_ends_when_it_returns() -> None:
    rows, register = cooling_building(np.random.default_rng(3), 12, 2.5)
    found = judge(readings_of(rows), register, standard_of(DEFAULT_RULES), ZoneInfo("Asia/Shanghai")).heat_outages
    start = pd.Timestamp(1_768_000_000_000 + 20 * 3_600_000, unit="ms", tz="UTC")
    assert len(found) == 1
    assert abs(found["start"][0] - start) <= pd.Timedelta("45min")
    assert abs(found["end"][0] - (start + pd.Timedelta("12h"))) <= pd.Timedelta("45min")


def test_rooms_that_are_cool_but_steady_or_silent_are_no_heat_outage() -> None:
    rows, register = cooling_building(np.random.default_rng(4), 8, 3)
    cut = 1_768_000_000_000 + 19 * 3_600_000
    silent = [row for row in rows if not row.point_id.startswith("b0") or row.time_ms < cut]
    cool = [Row(row.point_id, row.time_ms, 15.0) for row in rows]
    for chosen in (silent, cool):
        found = judge(readings_of(chosen), register, standard_of(DEFAULT_RULES), ZoneInfo("Asia/Shanghai"))
        assert found.heat_outages.empty


def test_most_buildings_of_a_station_without_heat_are_an_outage_of_the_station() -> None:
    rows, _ = cooling_building(np.random.default_rng(5), 6, 2)
    twin = [Row(row.point_id.replace("b0", "b2"), row.time_ms, row.temp_c) for row in rows if row.point_id[:2] == "b0"]
    points = [oracle.Point(p, p[:2], "s", interval_s=300) for p in sorted({row.point_id for row in [*rows, *twin]})]
    found = judge(
        readings_of([*rows, *twin]), register_of(points), standard_of(DEFAULT_RULES), ZoneInfo("Asia/Shanghai")
    ).heat_outages
    assert list(zip(found["subject_kind"], found["subject_id"], strict=True)) == [
        ("building", "b0"),
        ("building", "b2"),
        ("station", "s"),
    ]


def test_without_readings_there_is_nothing_to_judge() -> None:
    with pytest.raises(BadInput, match="no reading"):
        judge(readings_of([]), None, standard_of(DEFAULT_RULES), ZoneInfo("Asia/Shanghai"))


def test_a_moment_before_what_is_settled_is_refused() -> None:
    rows, register = cooling_building(np.random.default_rng(6), 4, 1)
    history = Stored([row.point_id for row in register.rows])
    live = LiveJudge(register, standard_of(DEFAULT_RULES), ZoneInfo("Asia/Shanghai"), history)
    feed(live, history, rows)
    live.found(rows[-1].time_ms)
    with pytest.raises(ValueError, match="lies before"):
        live.found(rows[0].time_ms)


STANDARD = standard_of(DEFAULT_RULES)
SHANGHAI = ZoneInfo("Asia/Shanghai")
START = 1_768_000_000_000
HOUR = 3_600_000


def steady(point: str, hours: float, temp_c: float = 21.0, start_ms: int = START) -> list[Row]:
    """Measure a room every ten minutes that does not change."""
    return [Row(point, start_ms + k * 600_000, temp_c) for k in range(int(hours * 6))]


def falling(point: str, hours: float, from_h: float, to_h: float) -> list[Row]:
    """Measure a room that loses a kelvin an hour for a while, and is warm again at once."""
    rows = steady(point, hours)
    lost = [1.0 * (h - from_h) if from_h <= (h := (row.time_ms - START) / HOUR) < to_h else 0.0 for row in rows]
    return [Row(row.point_id, row.time_ms, round(21.0 - drop, 2)) for row, drop in zip(rows, lost, strict=True)]


def heat_outages(rows: Sequence[Row], points: Sequence[oracle.Point]) -> pd.DataFrame:
    return judge(readings_of(rows), register_of(points), STANDARD, SHANGHAI).heat_outages


def homes(*names: str) -> list[oracle.Point]:
    return [oracle.Point(name, "b", "s", interval_s=600) for name in names]


def test_an_outage_ends_when_the_rooms_that_still_speak_are_warm() -> None:
    rows = [*falling("a", 60, 10, 22), *[row for row in falling("c", 60, 10, 22) if row.time_ms < START + 16 * HOUR]]
    found = heat_outages(rows, homes("a", "c"))
    assert found["open"].tolist() == [False]


def test_silence_before_the_fall_does_not_move_its_start() -> None:
    whole = [row for name in ("a", "c", "d") for row in falling(name, 30, 12, 24)]
    gap = (START + 13.5 * HOUR, START + 16.2 * HOUR)
    gappy = [row for row in whole if not gap[0] < row.time_ms < gap[1]]
    expected, found = heat_outages(whole, homes("a", "c", "d")), heat_outages(gappy, homes("a", "c", "d"))
    assert len(expected) == len(found) == 1
    assert found["start"][0] <= expected["start"][0] + pd.Timedelta("105min")


def test_another_calibration_or_building_is_no_heat_outage() -> None:
    noon = START + 12 * HOUR
    names = ("a", "c", "d")
    rows = [row for name in names for row in steady(name, 24)]
    recalibrated = [
        *(oracle.Point(name, "b", "s", valid_to_ms=noon, interval_s=600) for name in names),
        *(oracle.Point(name, "b", "s", valid_from_ms=noon, interval_s=600, offset_k=-0.8) for name in names),
    ]
    assert heat_outages(rows, recalibrated).empty
    moved = [
        *(oracle.Point(name, "b", "s", valid_to_ms=noon, interval_s=600) for name in names),
        *(oracle.Point(name, "c", "s", valid_from_ms=noon, interval_s=600) for name in names),
    ]
    cooler = [Row(row.point_id, row.time_ms, 19.0 if row.time_ms >= noon else 21.0) for row in rows]
    assert heat_outages(cooler, moved).empty


def test_a_thermometer_with_an_unset_clock_changes_nothing_for_its_neighbours() -> None:
    rows = [row for name in ("a", "c", "d") for row in falling(name, 30, 12, 24)]
    expected = heat_outages(rows, homes("a", "c", "d"))
    found = heat_outages([*rows, *(Row(name, k, 20.0) for k, name in enumerate("acd"))], homes("a", "c", "d"))
    pd.testing.assert_frame_equal(found, expected)


def test_after_an_interruption_a_late_row_of_one_building_leaves_the_others_as_they_were() -> None:
    points = [*homes("a", "c"), *(oracle.Point(name, "far", "s", interval_s=600) for name in ("x", "y"))]
    rows = [row for name in "ac" for row in falling(name, 30, 12, 24) if row.time_ms % HOUR == START % HOUR]
    rows += [row for name in "xy" for row in steady(name, 30)]
    register = register_of(points)
    history = Stored([row.point_id for row in register.rows])
    make = (register, STANDARD, SHANGHAI, history)
    live, saved = LiveJudge(*make), dict[str, bytes]()
    late = list[Row]()
    for slice_ms in range(START, START + 30 * HOUR, 600_000):
        feed(live, history, [row for row in rows if slice_ms <= row.time_ms < slice_ms + 600_000])
        live.found(slice_ms + 600_000)
        saved |= live.save()
        live = LiveJudge(*make)
        live.load(saved)
        late.append(Row("x", slice_ms - 300_000, 21.0))
        feed(live, history, late[-1:])
    offline = judge(readings_of([*rows, *late]), register, STANDARD, SHANGHAI)
    assert len(offline.heat_outages) == 1
    assert_same(live, dict(offline.frames), offline.as_of_ms)
