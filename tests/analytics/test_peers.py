"""The judge's peers by whole columns find what the judge finds: the figures compare the same question."""

from dataclasses import replace

import numpy as np
import pytest

from analytics.judge import judge
from benchmarks import peers
from benchmarks.judging import ZONE, Rows, agree, day_of, names_of, register_of, standard_of_peers
from heatwatch.domain.instants import MINUTE_MS

POINTS, EACH = 60, 100
STEPS_MIN = (5, 10, 30, 60, 119, 120, 121, 300, 479, 480, 600)
TEMPS_C = (15.0, 15.9, 16.0, 17.0, 17.9, 18.0, 18.1, 18.3, 18.5, 21.0)
NO_STUCK_H = 1e5


def wild(seed: int) -> Rows:
    """Return rows that lie on the edges of all definitions: of hours, of hold and break, of minimum and target."""
    rng = np.random.default_rng(seed)
    likely = np.array([6, 5, 4, 2, 1, 1, 1, 1, 0.3, 0.3, 0.3])
    steps = rng.choice(STEPS_MIN, (POINTS, EACH), p=likely / likely.sum()) * MINUTE_MS
    temp_c = rng.choice(TEMPS_C, (POINTS, EACH))
    for k in range(1, EACH):
        temp_c[:, k] = np.where(rng.random(POINTS) < 0.6, temp_c[:, k - 1], temp_c[:, k])
    point = np.repeat(np.arange(POINTS, dtype=np.int32), EACH)
    return Rows(point, (1_768_147_200_000 + np.cumsum(steps, axis=1)).ravel(), temp_c.ravel())


@pytest.mark.parametrize("seed", range(4))
def test_on_wild_rows_all_four_find_the_same_spells_and_gaps(seed: int) -> None:
    rows = wild(seed)
    plain = standard_of_peers()
    standard = replace(plain, judging=replace(plain.judging, stuck_h=NO_STUCK_H))
    as_of_ms, frame, names = int(rows.time_ms.max()), rows.frame(), names_of(POINTS)
    found = judge(rows.readings(names), register_of(POINTS), standard, ZONE, as_of_ms)
    ours = peers.answer_of(found, {name: number for number, name in enumerate(names)})
    assert len(ours.gaps) > 50
    assert set(ours.spells["reason"]) >= {0, 1}
    for answer in (
        peers.with_pandas(frame, as_of_ms),
        peers.with_polars(peers.polars_of(frame), as_of_ms),
        peers.with_duckdb(peers.duckdb_of(frame), as_of_ms),
    ):
        peers.check_same(ours._replace(stuck=answer.stuck), answer, "a peer")


@pytest.mark.parametrize("seed", range(2))
def test_on_wild_rows_the_peers_find_the_same_stuck_runs(seed: int) -> None:
    rows = wild(seed)
    as_of_ms, frame = int(rows.time_ms.max()), rows.frame()
    first = peers.with_pandas(frame, as_of_ms)
    assert len(first.stuck) > 50
    peers.check_same(first, peers.with_polars(peers.polars_of(frame), as_of_ms), "polars")
    peers.check_same(first, peers.with_duckdb(peers.duckdb_of(frame), as_of_ms), "DuckDB")


def test_on_the_day_that_is_measured_all_four_find_the_same() -> None:
    agree(day_of(400))


def test_a_difference_is_noticed() -> None:
    rows = wild(1)
    answer = peers.with_pandas(rows.frame(), int(rows.time_ms.max()))
    spells = answer.spells.assign(deficit_mk_ms=answer.spells["deficit_mk_ms"] + 1)
    with pytest.raises(AssertionError, match="spells: deficit_mk_ms"):
        peers.check_same(answer, answer._replace(spells=spells), "another")
    with pytest.raises(AssertionError, match="gaps"):
        peers.check_same(answer, answer._replace(gaps=answer.gaps[1:]), "another")
