"""Line protocol: what is written comes back, from a real InfluxDB."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from heatwatch.stores.influx.lines import Lines, lines, source_of, tag_of
from heatwatch.stores.influx.schema import READING
from heatwatch.stores.readings import ReadingBatch
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
FLOATS = st.one_of(
    st.sampled_from([20.0, -0.5, 0.1 + 0.2, 1e-7, 1e22, 5e-324, 1.7976931348623157e308]),
    st.floats(-60, 60),
    st.floats(allow_nan=False, allow_infinity=False),
)


def told(sent: ReadingBatch) -> list[str]:
    """Return the lines of a batch."""
    return lines(sent).decode().removesuffix("\n").split("\n") if len(sent) else []


def test_a_line_is_measurement_source_fields_and_milliseconds() -> None:
    sent = replace(batch([("d 1", 1_764_038_400_000, 20.0)], humidity_pct=41.0, battery=87.5), flags=["moved"])
    (line,) = told(replace(sent, arrived_ms=np.array([1_764_038_400_001])))
    series, fields, time_ms = line.replace("\\ ", "_").split(" ")
    assert (series, time_ms) == ("reading,source=d_1", "1764038400000")
    assert fields.split(",") == [
        "arrived_ms=1764038400001i",
        'born="w1/0/0"',
        "temperature_c=20",
        "humidity_pct=41",
        "battery=87.5",
        'flags="moved"',
    ]


@pytest.mark.parametrize(
    ("temp_c", "battery", "fields"),
    [
        (math.nan, 87.0, 'battery=87,not_finite="nan"'),
        (math.inf, math.nan, 'not_finite="inf"'),
        (-math.inf, math.nan, 'not_finite="-inf"'),
        (-0.0, math.nan, "temperature_c=-0"),
        (1e22, 5e-324, "temperature_c=1e+22,battery=5e-324"),
    ],
)
def test_a_value_that_is_no_finite_number_is_no_field_of_numbers(temp_c: float, battery: float, fields: str) -> None:
    assert told(batch([("d", 5, temp_c)], battery=battery)) == [
        f'reading,source=d arrived_ms=0i,born="w1/0/0",{fields} 5'
    ]


@pytest.mark.parametrize(
    ("arrived_ms", "field"),
    [(3_600_005, ""), (3_600_006, ",late_ms=3600001i"), (-3_599_995, ""), (-3_599_996, ",late_ms=-3600001i")],
)
def test_only_a_row_that_came_more_than_an_hour_off_says_how_late(arrived_ms: int, field: str) -> None:
    sent = replace(batch([("d", 5, 20.0)]), arrived_ms=np.array([arrived_ms]))
    assert told(sent) == [f'reading,source=d arrived_ms={arrived_ms}i,born="w1/0/0",temperature_c=20{field} 5']


def test_fields_that_only_some_rows_have_stand_in_their_rows() -> None:
    sent = batch([("a", 1, 20.0), ("b", 2, math.nan), ("a", 3, 21.0)])
    sent = replace(sent, humidity_pct=np.array([math.nan, 40.0, math.nan]), flags=["", 'a,"b"\\', ""])
    assert [line.partition('",')[2] for line in told(sent)] == [
        "temperature_c=20 1",
        'humidity_pct=40,not_finite="nan",flags="a,\\"b\\"%5C" 2',
        "temperature_c=21 3",
    ]


def test_a_conflict_is_a_point_of_its_own_number() -> None:
    made = Lines(batch([("a", 1, 20.0), ("b c", 1, 21.0)]))
    assert made.of(np.array([1]), np.array([3])).decode() == (
        'reading_conflict,nth=3,source=b\\ c arrived_ms=0i,born="w1/1/0",temperature_c=21 1\n'
    )
    assert made.of(np.array([], np.int64)) == b""


@given(st.lists(st.tuples(SOURCES, FLOATS), min_size=1, max_size=30), st.data())
def test_any_rows_in_any_order_are_the_lines_of_each_alone(rows: list[tuple[str, float]], data: st.DataObject) -> None:
    made = Lines(batch([(source, n, temp_c) for n, (source, temp_c) in enumerate(rows)]))
    order = np.array(data.draw(st.permutations(range(len(rows)))))
    assert made.of(order) == b"".join(made.of(np.array([n])) for n in order.tolist())


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (("", 1, 20.0), "without a source"),
        (("d", 2**53, 20.0), "no such time"),
        (("d", -(2**53), 20.0), "no such time"),
    ],
)
def test_what_influxdb_cannot_hold_is_refused(row: Row, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        lines(batch([("fine", 1, 20.0), row]))
    with pytest.raises(ValueError, match="battery is infinite"):
        lines(batch([("d", 1, 20.0)], battery=-math.inf))


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
    influx.write(told(batch([(source, time_ms, temp_c) for (source, time_ms), temp_c in written.items()])))
    assert _read_back(influx) == written


def test_every_field_has_the_type_of_the_schema_on_the_server(influx: Influx1) -> None:
    """A first value of 20 must not make a field of integers, which would refuse 20.5 for ever."""
    rows: list[Row] = [("d", 1, 20.0), ("d", 2, 20.5), ("d", 3, math.nan)]
    sent = replace(batch(rows, humidity_pct=41.0, battery=87.0), flags=["a", "", ""])
    influx.write(told(replace(sent, rssi_dbm=np.full(3, -70.0), arrived_ms=np.full(3, 9_000_000))))
    ((name, fields),) = [(s["name"], s["values"]) for s in influx.query("SHOW FIELD KEYS")]
    assert name == READING.name
    assert dict(fields) == {field.name: str(field.type) for field in READING.fields}


def _read_back(influx: Influx1) -> dict[tuple[str, int], float]:
    return {
        (source_of(series["tags"][READING.tag]), time_ms): float(value)
        for series in influx.query('SELECT "temperature_c" FROM "reading" GROUP BY "source"')
        for time_ms, value in series["values"]
    }
