"""Whatever happens to the records, in whatever pieces it is told, and wherever that is cut off: the same points."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heatwatch.domain.life import Deed
from tests.dashboards.feed.town import ROOMS, Town, lasting
from tests.dispatch.office import T0

ROOM = st.integers(0, len(ROOMS) - 1)
HOUR = st.integers(0, 30)
LASTS = st.none() | st.integers(1, 9)
SOURCES = st.sampled_from([*(f"d{name}" for name in ROOMS), *ROOMS])
TEMPS = st.sampled_from([15.5, 17.9, 18.0, 21.25, 85.0, float("nan")])
READING = st.tuples(SOURCES, st.integers(0, 40 * 6).map(lambda at: T0 + at * 600_000), TEMPS)
HAPPENS = st.one_of(
    st.tuples(st.just("judge"), st.tuples(ROOM, HOUR, LASTS, st.sampled_from(["b1", "b1", "b2"]))),
    st.tuples(st.just("withdraw"), st.tuples(ROOM)),
    st.tuples(st.just("fail"), st.tuples(HOUR, LASTS)),
    st.tuples(st.just("act"), st.tuples(st.integers(0, 9), st.sampled_from(list(Deed)))),
    st.tuples(st.just("report"), st.tuples(HOUR)),
    st.tuples(st.just("arrive"), st.tuples(st.lists(READING, min_size=1, max_size=8))),
    st.tuples(
        st.just("tally"),
        st.tuples(
            st.integers(0, 3),
            st.sampled_from(["b1", "b2"]),
            st.lists(st.tuples(ROOM, st.integers(0, 9), st.integers(0, 9)), max_size=3),
        ),
    ),
    st.tuples(st.just("put_in_force"), st.tuples(st.none() | HOUR)),
)
PASSES = st.lists(st.lists(st.sampled_from([0, 1, 2]), max_size=3), max_size=3)
"""What the feed does in between: passes, and of each how InfluxDB answers."""
Happens = tuple[str, tuple[Any, ...]]


@given(st.lists(st.tuples(HAPPENS, PASSES, st.booleans()), max_size=20))
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_however_it_is_cut_the_same_points_stand_there_as_if_all_were_told_at_once(
    happens: list[tuple[Happens, list[list[int]], bool]],
) -> None:
    with TemporaryDirectory() as folder:
        town = Town(Path(folder))
        try:
            for (name, said), passes, crash in happens:
                getattr(town, name)(*said)
                for away in passes:
                    town.tell(*away)
                if crash:
                    town.hire()
            town.hire()
            town.tell_all()
            town.assert_told()
            assert lasting(town.pad) == lasting(town.tell_anew())
            town.assert_told()
        finally:
            town.close()
