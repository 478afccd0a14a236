"""Towns such as the figures are published of: the judge finds what the oracle finds, reading by reading."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.outages import DESIGN, make
from heatwatch.domain.instants import DAY_MS
from tests.analytics import oracle
from tests.analytics.against import answer, as_answered, as_expected
from tests.analytics.strategies import Case

HOUSES = 4
DAYS = 6


@pytest.mark.parametrize("seed", [0, 1])
def test_cold_spells_and_data_outages_of_a_town_are_those_of_the_oracle(seed: int) -> None:
    made = make(DESIGN, seed)
    table = made.timeline.rows
    until_ms = made.as_of_ms - (DESIGN.days - DAYS) * DAY_MS
    here = np.unique(table.point[table.building < HOUSES])
    points = [
        oracle.Point(
            made.timeline.points[point],
            made.timeline.buildings[table.building[table.point == point][0]],
            made.timeline.stations[table.station[table.point == point][0]],
            interval_s=600,
        )
        for point in here.tolist()
    ]
    rows = [
        oracle.Row(made.timeline.points[point], time_ms, temp_c)
        for point in here.tolist()
        for time_ms, temp_c in zip(
            made.rows.time_ms[made.rows.first[point] : made.rows.first[point + 1]].tolist(),
            made.rows.temp_c[made.rows.first[point] : made.rows.first[point + 1]].tolist(),
            strict=True,
        )
        if time_ms <= until_ms
    ]
    case = Case(rows, points, oracle.DEFAULT_RULES, "Asia/Shanghai", until_ms)
    expected = oracle.judge(case.rows, case.points, case.rules, case.timezone, case.as_of_ms)
    answered = as_answered(answer(case))
    assert answered == as_expected(expected)
    assert answered["cold_spells"]
