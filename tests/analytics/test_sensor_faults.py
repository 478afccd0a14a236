"""What a thermometer's own temperatures say against it, and what is trusted then."""

from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.carry import Carried, carry_points, judge_spells_again, to_judge_again
from analytics.judge import judge
from analytics.layout.rows import PointRows, Unordered, by_point
from analytics.layout.timeline import Timeline, lay_out
from analytics.points import machine
from analytics.points.faults import DRIFT, FAULT, LOW_BATTERY, STUCK
from heatwatch.domain.temperature import Judging
from tests.analytics import oracle
from tests.analytics.against import as_answered, as_expected, readings_of, register_of, standard_of
from tests.analytics.oracle import DEFAULT_RULES, Row
from tests.analytics.strategies import CLOSE

STANDARD = standard_of(DEFAULT_RULES)
SHANGHAI = ZoneInfo("Asia/Shanghai")
START = 1_768_176_000_000
HOUR = 3_600_000
STEP = 600_000
ROOM = oracle.Point("p", "b", "s", interval_s=600)


def rows_of(temps_c: list[float]) -> PointRows:
    time_ms = START + STEP * np.arange(len(temps_c))
    return by_point(np.zeros(len(temps_c), np.int32), time_ms, np.array(temps_c), 1)


def timeline(numbers: oracle.Numbers = oracle.NUMBERS) -> Timeline:
    return lay_out(register_of([ROOM]), standard_of(DEFAULT_RULES, numbers), SHANGHAI, (START, START + 400 * HOUR))


def carried(
    rows: PointRows, line: Timeline, cuts: tuple[int, ...] = (), known: Any = None
) -> tuple[Any, list[Carried]]:
    """Carry one point over its rows, cut in pieces."""
    state, counts, parts = machine.fresh_state(line), machine.fresh_counts(line), []
    for first, last in pairwise((0, *cuts, len(rows.time_ms))):
        piece = PointRows(np.array([0, last - first]), rows.time_ms[first:last], rows.temp_c[first:last])
        parts.append(carry_points(line, state, counts, np.zeros(1, np.int64), piece, known))
    return state, parts


def fault(kind: int, start_ms: int, end_ms: int | None) -> Any:
    row = np.zeros(1, FAULT)
    row["kind"], row["open"], row["start"] = kind, end_ms is None, start_ms
    row["end"] = machine.NEVER if end_ms is None else end_ms
    return row


def test_the_numbers_are_those_that_come_with_heatwatch() -> None:
    assert STANDARD.judging == Judging()


def test_a_reading_that_jumped_is_never_passed_on_and_a_stuck_one_from_when_it_is_known() -> None:
    """Jump and back; jump and stay; then the same value for four readings, which by close numbers is stuck."""
    temps_c = [20.0, 23.0, 20.0, 20.1, 17.0, 17.1, *[18.0] * 8, 18.5]
    _, [all_at_once] = carried(rows_of(temps_c), timeline(CLOSE))
    known = [~np.isnan(all_at_once.judged)]
    # close numbers: a jump of 2.5 K, an hour of at least three equal readings
    assert known[0].tolist() == [True, False, True, True, False, True, *[True] * 6, False, False, True]


@settings(max_examples=100, deadline=None)
@given(
    temps_c=st.lists(st.sampled_from([20.0, 20.0, 20.0, 20.1, 17.0, 17.0, 85.0, float("nan"), 23.0]), max_size=40),
    cuts=st.sets(st.integers(0, 40), max_size=5),
)
def test_what_is_passed_on_does_not_depend_on_cuts(temps_c: list[float], cuts: set[int]) -> None:
    rows, line = rows_of(temps_c), timeline(CLOSE)
    whole_state, [whole] = carried(rows, line)
    state, parts = carried(rows, line, tuple(sorted(cut for cut in cuts if cut <= len(temps_c))))
    np.testing.assert_array_equal(np.concatenate([part.judged for part in parts]), whole.judged)
    assert state.tobytes() == whole_state.tobytes()


def test_readings_in_a_fault_from_outside_feed_no_spell_and_those_of_a_low_battery_do() -> None:
    rows, line = rows_of([20.0] * 3 + [17.0] * 12 + [20.0] * 12), timeline()
    _, [plain] = carried(rows, line)
    for kind, spells in ((DRIFT, 0), (LOW_BATTERY, 1)):
        known = fault(kind, START + 2 * STEP, START + 15 * STEP)
        _, [without] = carried(rows, line, known=known)
        assert len(without.ended.spells) == spells
        np.testing.assert_array_equal(without.judged, plain.judged)
    _, [half] = carried(rows, line, known=fault(DRIFT, START, START + 6 * STEP))
    assert half.ended.spells["start"].tolist() == [START + 6 * STEP]


@settings(max_examples=100, deadline=None)
@given(
    temps_c=st.lists(st.sampled_from([20.0, 18.4, 17.0, 17.5, 16.0, 10.5]), min_size=1, max_size=40),
    start=st.integers(0, 40),
    length=st.integers(1, 40),
)
def test_a_fault_found_later_leaves_what_it_would_have_left_had_it_been_known(
    temps_c: list[float], start: int, length: int
) -> None:
    rows, line = rows_of(temps_c), timeline()
    known = fault(DRIFT, START + start * STEP, START + (start + length) * STEP)
    truth_state, [truth] = carried(rows, line, known=known)
    state, [late] = carried(rows, line)
    spells = late.ended.spells
    again = to_judge_again(state, known)
    if len(again):
        spells = judge_spells_again(line, state, again, rows, known)
    assert spells.tobytes() == truth.ended.spells.tobytes()
    as_of_ms = START + 60 * STEP
    assert standing(state, as_of_ms, line) == standing(truth_state, as_of_ms, line)


def standing(state: Any, as_of_ms: int, line: Timeline) -> bytes:
    spells, faults = np.zeros(2, machine.SPELL), np.zeros(3, FAULT)
    count, _ = machine.unfinished(state, as_of_ms, machine.numbers_of(line), spells, faults)
    return bytes(spells[:count].tobytes())


@pytest.mark.parametrize("seed", range(6))
def test_days_of_readings_give_what_the_plain_judge_gives(seed: int) -> None:
    """Most readings are ordinary here, as in life; the small cases hardly get there."""
    rng = np.random.default_rng(seed)
    points, rows = [], list[Row]()
    for number, grain_k in enumerate((0.01, 0.1, 0.5)):
        point = oracle.Point(f"p{number}", "b", "s", interval_s=600, offset_k=[0.0, 0.3, -0.25][number])
        points.append(point)
        temp_c, count = 19.0, 260
        for k in range(count):
            temp_c += rng.normal(0.0, 0.12) + (19.0 - temp_c) / 50
            said_c: float | None = round(round(temp_c / grain_k) * grain_k, 2)
            if rng.random() < 0.02:
                said_c = [None, 85.0, 27.0, 11.0, -127.0][rng.integers(5)]
            if 120 <= k < 180 and seed % 2:
                said_c = 17.0
            if rng.random() < 0.97:
                rows.append(Row(point.point_id, START + k * STEP + int(rng.integers(1000)), said_c))
    for numbers in (oracle.NUMBERS, CLOSE):
        expected = oracle.judge(rows, points, DEFAULT_RULES, "Asia/Shanghai", None, numbers)
        found = judge(readings_of(rows), register_of(points), standard_of(DEFAULT_RULES, numbers), SHANGHAI)
        assert as_answered(found) == as_expected(expected)


def test_every_fault_of_a_house_is_found_once_and_nothing_else() -> None:
    """Ten days of twelve rooms, three of which are well but coarse, in a wind that opens windows."""
    rng, count = np.random.default_rng(11), 10 * 144
    time_ms, points, rows = START + STEP * np.arange(count), [], list[Row]()
    expected = set[tuple[str, str]]()
    for number in range(12):
        name = f"r{number:02}"
        points.append(oracle.Point(name, "b", "s", interval_s=600))
        daily = 0.6 * np.sin(2 * np.pi * np.arange(count) / 144 + number)
        temp_c = 20.5 + daily + rng.normal(0, 0.05, count)
        for at in rng.integers(0, count - 12, 15):  # an opened window: down by 5 K, back within an hour and a half
            temp_c[at : at + 10] -= 5.0 * np.exp(-np.arange(10) / 4)
        temp_c = np.round(temp_c / (grain := {0: 1.0, 1: 0.5, 2: 0.5}.get(number, 0.1))) * grain
        if number in {3, 4}:
            temp_c[300 : 300 + 144] = 15.0 if number == 3 else temp_c[300]
            expected.add((name, "stuck"))
        if number in {5, 6}:
            hit = np.arange(200, 900, 40)
            temp_c[hit] += 8.0 if number == 5 else -9.0
            expected.add((name, "spike"))
        if number in {7, 8}:
            temp_c[rng.random(count) < 0.05] = -127.0 if number == 7 else 85.0
            expected.add((name, "out_of_range"))
        rows += [Row(name, ms, round(c, 2)) for ms, c in zip(time_ms.tolist(), temp_c.tolist(), strict=True)]
    found = judge(readings_of(rows), register_of(points), STANDARD, SHANGHAI)
    faults = found.sensor_faults
    assert sorted(zip(faults["point_id"], faults["kind"], strict=True)) == sorted(expected)
    assert "r03" not in set(found.cold_spells["point_id"][found.cold_spells["violation_h"] > 1.5])
    assert found.summary["points"]["r03"]["violations"] >= 144


def test_a_stuck_run_is_open_until_another_value_comes() -> None:
    rows = [20.0, 20.1, *[20.2] * 120]
    for last, is_open in ((20.2, True), (20.1, False)):
        made = [Row("p", START + k * STEP, temp_c) for k, temp_c in enumerate([*rows, last])]
        [found] = judge(readings_of(made), register_of([ROOM]), STANDARD, SHANGHAI).sensor_faults.to_dict("records")
        assert (found["kind"], found["open"], found["start"].value // 10**6) == ("stuck", is_open, START + 2 * STEP)
        assert found["detail"] == "value=20.20"


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_rows_of_some_points_are_those_of_all(data: st.DataObject) -> None:
    codes = data.draw(st.lists(st.integers(-2, 5), max_size=30))
    if data.draw(st.booleans()):
        codes.sort()
    times = data.draw(st.lists(st.integers(0, 9), min_size=len(codes), max_size=len(codes)))
    order = np.arange(len(codes), dtype=np.float64)
    table = Unordered.of(np.array(codes, np.int32), np.array(times, np.int64), order, 5)
    whole = by_point(np.array(codes, np.int32), np.array(times, np.int64), order, 5)
    expected = [sorted((t, k) for k, (c, t) in enumerate(zip(codes, times, strict=True)) if c == p) for p in range(5)]

    def listed(rows: PointRows) -> list[list[tuple[int, float]]]:
        pairs = list(zip(rows.time_ms.tolist(), rows.temp_c.tolist(), strict=True))
        return [pairs[low:high] for low, high in pairwise(rows.first.tolist())]

    assert listed(whole) == expected
    begin, end = sorted((data.draw(st.integers(0, 5)), data.draw(st.integers(0, 5))))
    assert listed(table.part(begin, end)) == expected[begin:end]
    some = data.draw(st.permutations(range(5)))[: data.draw(st.integers(0, 5))]
    assert listed(table.only(np.array(some, np.int64))) == [expected[point] for point in some]


def test_a_cold_stuck_thermometer_withdraws_the_spell_that_it_had_opened() -> None:
    line, rows = timeline(CLOSE), rows_of([20.0, *[17.0] * 30])
    state, [part] = carried(rows, line)
    assert part.again.tolist() == [0]
    known = machine.stuck_now(state)
    assert known["kind"].tolist() == [STUCK]
    assert not len(judge_spells_again(line, state, part.again, rows, known))
    assert not state["cold"][0]
