"""Heat outages from rooms alone: what is found in simulated towns, and the pieces against plain restatements."""

from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.buildings import confidence, heat, rhythm
from analytics.carry import carry_buildings
from analytics.layout.rows import PointRows, by_point
from analytics.layout.timeline import Timeline, lay_out
from benchmarks.outages import DESIGN, KINDS, Kind, Score, make, reliability, score, watch
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import RoomClass
from heatwatch.files.rules_file import parse_standard, rules_text

RULES, TEXT = rules_text(None)
STANDARD = parse_standard(TEXT, where=RULES)
SHANGHAI = ZoneInfo("Asia/Shanghai")
START = 1_768_147_200_000
"""A midnight in Shanghai."""
STEP = 10 * MINUTE_MS


def timeline(rooms: int, **of_row: Any) -> Timeline:
    rows = [
        PointRow(
            point_id=f"r{k}", building_id="b", station_id="s", room_class=RoomClass.APARTMENT, interval_s=600, **of_row
        )
        for k in range(rooms)
    ]
    return lay_out(Register.of(rows), STANDARD, SHANGHAI, (START, START + 60 * DAY_MS))


def house(rooms: int, days: float, lost: list[tuple[float, float]], k_per_h: float = 0.8) -> np.ndarray:
    """Return temperatures [degC], one row a reading of ten minutes: steady, but for hours in which a house cools."""
    hours = np.arange(round(days * 144)) / 6
    drop = sum((np.clip(hours - a, 0, b - a) * k_per_h * (hours < b) for a, b in lost), np.zeros(len(hours)))
    rng = np.random.default_rng(1)
    swing = 0.3 * np.sin(2 * np.pi * hours / 24)
    each = rng.normal(21, 0.7, rooms)
    return np.round(each + (swing - drop)[:, None] + rng.normal(0, 0.05, (len(hours), rooms)), 1)


def rows_of(temps_c: np.ndarray) -> PointRows:
    count, rooms = temps_c.shape
    time_ms = START + STEP * np.repeat(np.arange(count), rooms)
    return by_point(np.tile(np.arange(rooms, dtype=np.int32), count), time_ms, temps_c.ravel(), rooms)


def seen(line: Timeline, rows: PointRows, until: list[int]) -> Any:
    """Carry the house on to each of some moments, the last one that of asking; return all that may be outages."""
    rooms, state = heat.fresh_rooms(line, heat.heat_numbers(line))
    parts = [
        carry_buildings(line, rooms, state, np.arange(len(state)), rows.first, rows.time_ms, rows.temp_c, at)
        for at in until
    ]
    return np.concatenate((*parts, heat.still_open(state)))


def listed(line: Timeline, rows: PointRows, at: int) -> Any:
    found = confidence.candidates(line, seen(line, rows, [at]), at)
    return found[~found["usual"] & (found["confidence"] >= line.judging.outage_least)]


# --- simulated towns


@cache
def towns() -> Score:
    return score(DESIGN, range(1, 4))


def test_in_cold_weather_nearly_every_outage_is_found_and_nearly_nothing_else() -> None:
    assert towns().true > 30
    assert towns().right >= 0.99 * towns().true
    assert towns().right >= 0.99 * towns().found


def test_the_start_is_off_by_half_an_hour_at_most_and_it_is_found_within_three_hours() -> None:
    assert np.median(np.abs(towns().start_error_h)) <= 0.5
    assert np.median(towns().delay_h) <= 3.0


def test_the_confidence_says_what_is_true() -> None:
    """Among towns of all kinds, of other seeds than those to which it was fitted."""
    total = Score()
    for part in (towns(), *(score(kind, range(21, 23)) for kind in KINDS if kind.outages)):
        total.sure += part.sure
        total.was_true += part.was_true
        total.weight += part.weight
    bins = list(reliability(total))
    assert len(bins) == 4
    for _, said, count, true in bins:
        assert abs(said - true) <= 0.05 + 2 * np.sqrt(said * (1 - said) / count)


def test_an_undeclared_setback_is_taken_back_at_its_third_night_and_is_not_found_again() -> None:
    made = make(Kind("nights", rooms=(5, 5), setback_h=10.0, outages=0.0, days=9), 3)
    watched = watch(made)
    most = [0] * 10
    for at_ms, table in zip(watched.at_ms, watched.tables, strict=True):
        found = confidence.candidates(made.timeline, table, at_ms)
        now = found[~found["usual"] & (found["confidence"] >= made.timeline.judging.outage_least)]
        day = (at_ms - START) // DAY_MS
        most[day] = max(most[day], len(now))
    assert most[1] > 0
    assert most[4:] == [0] * 6


# --- one house


def test_a_house_that_cools_is_found_where_it_began_to_and_where_it_was_warm_again() -> None:
    found = listed(timeline(6), rows_of(house(6, 6, [(99, 111)])), START + 6 * DAY_MS)
    assert len(found) == 1
    assert abs(int(found["start"][0]) - START - 99 * HOUR_MS) <= HOUR_MS // 2
    assert abs(int(found["end"][0]) - START - 111 * HOUR_MS) <= HOUR_MS // 2
    assert found["points"][0] == 6


def test_it_is_open_while_it_lasts_and_found_within_three_hours() -> None:
    found = listed(timeline(6), rows_of(house(6, 6, [(99, 111)])), START + 102 * HOUR_MS)
    assert found["open"].tolist() == [True]


@pytest.mark.parametrize("wrong", ["stuck", "drift", "spikes", "step", "warm"])
def test_one_faulty_thermometer_neither_makes_nor_hides_nor_moves_an_outage(wrong: str) -> None:
    line, at = timeline(6), START + 6 * DAY_MS
    for lost in ([], [(99.0, 111.0)]):
        temps_c = house(6, 6, lost)
        expected = listed(line, rows_of(temps_c), at)
        hours = np.arange(len(temps_c)) / 6
        temps_c[:, 2] = {
            "stuck": np.full(len(hours), 20.4),
            "drift": temps_c[:, 2] - 1.5 * hours / 24,
            "spikes": np.where(np.arange(len(hours)) % 7 == 0, 35.0, temps_c[:, 2]),
            "step": np.where(hours > 60, 6.0, temps_c[:, 2]),
            "warm": np.full(len(hours), 30.0) - 0.01 * hours,
        }[wrong]
        found = listed(line, rows_of(temps_c), at)
        assert len(found) == len(expected) == len(lost)
        assert (np.abs(found["start"] - expected["start"]) <= HOUR_MS // 2).all()


def test_windows_that_are_opened_for_half_an_hour_in_all_rooms_are_no_outage() -> None:
    temps_c = house(6, 4, [])
    temps_c[400:403] -= 4.0
    assert not len(seen(timeline(6), rows_of(temps_c), [START + 4 * DAY_MS]))


def test_two_closed_valves_among_six_rooms_are_no_outage() -> None:
    temps_c = house(6, 4, [])
    temps_c[400:, :2] -= np.clip(np.arange(len(temps_c) - 400) / 6 * 0.5, 0, 8)[:, None]
    assert not len(seen(timeline(6), rows_of(temps_c), [START + 4 * DAY_MS]))


def test_rooms_that_fall_silent_are_no_outage_and_half_of_them_do_not_hide_one() -> None:
    temps_c = house(6, 6, [(99, 111)])
    temps_c[60:, 3:] = np.nan
    assert len(listed(timeline(6), rows_of(temps_c), START + 6 * DAY_MS)) == 1
    temps_c[60:, 2:] = np.nan
    assert not len(listed(timeline(6), rows_of(temps_c), START + 6 * DAY_MS))


def test_hours_without_heat_by_agreement_are_never_found() -> None:
    nights = [(22.0 + 24 * day, 30.0 + 24 * day) for day in range(5)]
    rows = rows_of(house(6, 6, nights))
    declared = timeline(6, heating_hours=((8 * 60, 22 * 60),))
    for at in range(START + DAY_MS, START + 6 * DAY_MS, 3 * HOUR_MS):
        assert not len(seen(declared, rows, [at]))
    assert len(seen(timeline(6), rows, [START + 6 * DAY_MS])) == 5


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_what_is_seen_does_not_depend_on_where_the_way_is_cut(data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 1000))
    rng = np.random.default_rng(seed)
    temps_c = house(4, 5, [(30, 40), (70, 78)]) + np.cumsum(rng.normal(0, 0.05, (720, 4)), axis=0).round(1)
    temps_c[rng.random(temps_c.shape) < 0.1] = np.nan
    rows, line, end = rows_of(temps_c), timeline(4), START + 5 * DAY_MS
    cuts = sorted(data.draw(st.lists(st.integers(START, end), max_size=8)))
    whole, cut = seen(line, rows, [end]), seen(line, rows, [*cuts, end])
    assert whole.tobytes() == cut.tobytes()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-20, 20), min_size=1, max_size=70))
def test_what_the_house_does_is_the_mean_of_the_middle_half(values: list[float]) -> None:
    count = len(values)
    cut = (count + 2) // 4 if count > 2 else 0
    expected = float(np.mean(sorted(values)[cut : count - cut]))
    assert heat._of_the_house(np.array(values), count) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 13), st.floats(0.05, 0.5), st.floats(-0.05, 0.05), st.integers(0, 100))
def test_the_bend_is_that_of_the_best_two_lines(ago: int, fall_k: float, slope_k: float, seed: int) -> None:
    """The plain restatement: least squares by numpy at every place, the best of those that bend down."""
    line, reach = timeline(3), 16
    rooms, _ = heat.fresh_rooms(line, heat.heat_numbers(line))
    back = np.arange(reach + 1)
    noise = np.random.default_rng(seed).normal(0, 0.02, reach + 1)
    curve = 20.0 - slope_k * back - fall_k * np.maximum(ago - back, 0) + noise
    rooms.ring[:, :] = np.nan
    rooms.ring[:, (30 - back) % rooms.ring.shape[1]] = curve.astype(np.float32)
    change = curve.astype(np.float32).astype(np.float64) - np.float64(np.float32(curve[0]))
    left = {}
    for bend in range(1, reach):
        x = (bend - back).astype(float)
        matrix = np.stack((np.ones(reach + 1), x, np.maximum(x, 0)), axis=1)
        found, *_ = np.linalg.lstsq(matrix, change, rcond=None)
        if found[2] < 0:
            left[bend] = float(((matrix @ found - change) ** 2).sum())
    best = heat._bend(rooms, 0, 3, 30, reach)
    assert left[best] == pytest.approx(min(left.values()), rel=1e-6, abs=1e-9)


# --- the rhythm


def table(spans: list[tuple[float, float]], fall_k: float | list[float] = 1.5, low_c: float = 17.0) -> Any:
    """Return spans in hours after the start, ended, as candidates."""
    made = np.zeros(len(spans), heat.OUTAGE)
    made["start"] = [START + round(a * HOUR_MS) for a, _ in spans]
    made["end"] = [START + round(b * HOUR_MS) for _, b in spans]
    made["fall_k"], made["low_c"] = fall_k, low_c
    return made


def usual(made: Any, at_h: float = 24 * 40) -> list[bool]:
    return [bool(one) for one in rhythm.usual(timeline(1), made, START + round(at_h * HOUR_MS))]


def nights(*days: int, late: float = 0.0) -> list[tuple[float, float]]:
    return [(22 + 24 * day + late, 30 + 24 * day + late) for day in days]


def test_nights_that_come_three_times_in_seven_are_usual_the_first_ones_too() -> None:
    assert usual(table(nights(0, 1))) == [False, False]
    assert usual(table(nights(0, 1, 2))) == [True] * 3
    assert usual(table(nights(0, 3, 6))) == [True] * 3
    assert usual(table(nights(0, 3, 7))) == [False] * 3


def test_the_same_days_of_the_week_are_a_rhythm_too() -> None:
    assert usual(table(nights(0, 7, 14))) == [True] * 3
    assert usual(table(nights(0, 7))) == [False] * 2


def test_other_hours_are_no_rhythm() -> None:
    assert usual(table([(3, 9), (36, 42), (63, 69)])) == [False] * 3


def test_what_goes_on_for_long_beyond_the_usual_hours_is_an_outage() -> None:
    assert usual(table([*nights(0, 1, 2, 3), (22 + 96, 30 + 96 + 1.5)]))[-1]
    assert not usual(table([*nights(0, 1, 2, 3), (22 + 96, 30 + 96 + 10)]))[-1]


def test_a_fall_that_is_much_harder_than_on_all_other_nights_is_an_outage() -> None:
    assert usual(table(nights(0, 1, 2, 3), [1.5, 1.5, 1.5, 2.9]))[-1]
    assert usual(table(nights(0, 1, 2, 3), [1.5, 1.5, 1.5, 3.1])) == [True, True, True, False]


@given(st.permutations(range(6)), st.lists(st.integers(0, 200), min_size=6, max_size=6))
def test_the_order_of_the_list_does_not_matter(order: list[int], starts: list[int]) -> None:
    made = table([(24.0 * k * 1.5 + start / 10, 24.0 * k * 1.5 + start / 10 + 8) for k, start in enumerate(starts)])
    assert usual(made[order]) == np.array(usual(made))[order].tolist()


def test_what_was_weak_and_left_the_house_no_colder_than_other_days_is_usual_once_it_is_over() -> None:
    made = table([(22.0, 30.0)] * 5 + [(22.0, 24.0)], [0.9, 0.9, 0.9, 1.3, 0.9, 1.3])
    made["building"] = range(6)
    made["days"], made["below_k"] = [7, 7, 2, 7, 7, 7], [0.1, 0.3, 0.1, 0.1, 0.1, 0.1]
    made["open"][4] = True
    line = lay_out(
        Register.of(
            PointRow(point_id=f"r{k}", building_id=f"b{k}", station_id="s", room_class=RoomClass.APARTMENT)
            for k in range(6)
        ),
        STANDARD,
        SHANGHAI,
        (START, START + 60 * DAY_MS),
    )
    assert rhythm.usual(line, made, START + 31 * HOUR_MS).tolist() == [True, False, False, False, False, True]


def test_one_house_says_nothing_of_another() -> None:
    made = table(nights(0, 1, 2))
    made["building"] = [0, 1, 2]
    assert usual(made) == [False] * 3


# --- the confidence


def test_a_harder_fall_a_larger_house_and_a_calmer_past_make_it_surer() -> None:
    made = table([(22, 26)] * 4)
    for name, value in {
        "beyond_k": 1.0,
        "fall_k": 1.0,
        "often_k": 0.5,
        "quick_k": 0.4,
        "share": 1.0,
        "grain_k": 0.1,
    }.items():
        made[name] = value
    made["rooms"], made["days"], made["high_c"], made["low_c"] = 5, 7, 21.0, 19.0
    made["beyond_k"][1] = made["fall_k"][1] = 2.0
    made["rooms"][2] = 10
    made["often_k"][3] = 0.9
    plain, harder, larger, restless = confidence.confidence(made, START + 26 * HOUR_MS)
    assert 0 < restless < plain < min(harder, larger) < 1
