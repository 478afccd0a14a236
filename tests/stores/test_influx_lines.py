"""Line protocol: what is written comes back, from a real InfluxDB."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from heatwatch.stores.influx.lines import lines, source_of, tag_of
from heatwatch.stores.influx.schema import READING
from tests.dashboards.batches import Row, batch
from tests.influxdb import Influx1

NASTY = [
    "plain",
    "two words",
    " edges ",
    "a,b=c",
    'say "hi"',
    "it's",
    "back\\slash",
    "trailing\\",
    "\\",
    "\\,",
    "\\ \\=",
    "5%5C",
    "100%",
    "line\nbreak\r\ttab",
    "3号楼 2单元 501室",
    "é≠e\u0301",
    "😀",
    "#comment",
    "/venue_11/hall",
    "a.*b|(c)",
    "${source:regex} $timeFilter",
    "null",
    "20i",
]
SOURCES = st.one_of(
    st.sampled_from(NASTY),
    st.text(st.sampled_from(" ,=\"'\\%\n#室/"), min_size=1, max_size=8),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
)
FLOATS = st.one_of(st.sampled_from([20.0, -0.5, 0.1 + 0.2, 1e-7, 1e22, 5e-324]), st.floats(-60, 60))


def test_a_line_is_measurement_source_fields_and_milliseconds() -> None:
    assert lines(batch([("d 1", 1_764_038_400_000, 20.0)], humidity_pct=41.0, battery=87.0)) == [
        "reading,source=d\\ 1 temperature_c=20.0,humidity_pct=41.0,battery=87.0 1764038400000"
    ]


def test_a_value_that_was_not_sent_is_no_field() -> None:
    assert lines(batch([("d", 5, math.nan)], battery=87.0)) == ["reading,source=d battery=87.0 5"]


@pytest.mark.parametrize(("row", "why"), [(("d", 1, math.nan), "no value"), (("d", 1, math.inf), "infinite")])
def test_what_influxdb_cannot_hold_is_refused(row: Row, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        lines(batch([("fine", 1, 20.0), row]))


def test_a_source_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="without a source"):
        lines(batch([("", 1, 20.0)]))


@given(SOURCES)
def test_a_tag_gives_its_source_back(source: str) -> None:
    assert source_of(tag_of(source)) == source


@given(SOURCES, SOURCES)
def test_two_sources_never_share_a_tag(one: str, other: str) -> None:
    assert (tag_of(one) == tag_of(other)) == (one == other)


def test_nasty_names_and_floats_come_back_from_the_server(influx: Influx1) -> None:
    """Every run of the property writes under its own time, and all is read back in one query."""
    written: dict[tuple[str, int], float] = {("nasty " + name, 0): 1.0 for name in NASTY} | dict.fromkeys(
        ((name, 1) for name in NASTY), 2.0
    )

    @settings(max_examples=40, phases=[Phase.generate], suppress_health_check=list(HealthCheck), deadline=None)
    @given(st.lists(st.tuples(SOURCES, FLOATS), min_size=1, max_size=20))
    def collect(rows: list[tuple[str, float]]) -> None:
        for source, temp_c in rows:
            written[source, len(written) + 1] = temp_c

    collect()
    influx.write(lines(batch([(source, time_ms, temp_c) for (source, time_ms), temp_c in written.items()])))
    assert _read_back(influx) == written


def test_every_field_is_a_float_on_the_server(influx: Influx1) -> None:
    """A first value of 20 must not make a field of integers, which would refuse 20.5 for ever."""
    influx.write(lines(batch([("d", 1, 20.0)], humidity_pct=41.0, battery=87.0)))
    influx.write(lines(batch([("d", 2, 20.5)], humidity_pct=41.5, battery=86.5)))
    ((name, fields),) = [(s["name"], s["values"]) for s in influx.query("SHOW FIELD KEYS")]
    assert name == READING.name
    assert fields == [["battery", "float"], ["humidity_pct", "float"], ["temperature_c", "float"]]


def _read_back(influx: Influx1) -> dict[tuple[str, int], float]:
    return {
        (source_of(series["tags"][READING.tag]), time_ms): value
        for series in influx.query('SELECT "temperature_c" FROM "reading" GROUP BY "source"')
        for time_ms, value in series["values"]
    }
