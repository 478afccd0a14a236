"""Points as lines: what the schema does not know is refused, and nothing that a name may hold breaks a line."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heatwatch.domain.compliance import FIELDS
from heatwatch.domain.tickets import TicketKind
from heatwatch.stores.influx.documented import markdown
from heatwatch.stores.influx.lines import source_of
from heatwatch.stores.influx.points import Value, line, time_of
from heatwatch.stores.influx.schema import COMPLIANCE_DAY, FINDING, MEASUREMENTS, NOTICE, STATION_NOW, FieldType
from tests.dashboards.feed.pad import parsed

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
DOCUMENTATION = Path(__file__).parents[3] / "docs" / "influxdb.md"


@given(NAMES, NAMES, st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**62), 2**62), st.booleans())
def test_a_point_reads_back_as_it_was_written(name: str, text: str, number: float, time_ns: int, flag: bool) -> None:  # noqa: FBT001
    fields: dict[str, Value | None] = {"rule": text, "deficit_kh": number, "finding": time_ns, "open": flag}
    made = line(FINDING, {"station": name, "building": ""}, fields, time_ns)
    assert "\n" not in made
    measurement, tags, told, at_ns = parsed(made)
    assert (measurement, at_ns) == ("finding", time_ns)
    assert [(key, source_of(value)) for key, value in tags] == [("station", name)]
    plain = "".join(sign if sign >= " " and sign != "\x7f" else " " for sign in text)
    assert (told["deficit_kh"], told["finding"], told["open"]) == (number, time_ns, flag)
    assert str(told["rule"]).split() == plain.split()


@pytest.mark.parametrize(
    ("tags", "fields"),
    [
        ({"room": "x"}, {"finding": 1}),
        ({}, {"nothing": 1}),
        ({}, {"finding": 1.0}),
        ({}, {"finding": True}),
        ({}, {"deficit_kh": 1}),
        ({}, {"rule": 1}),
        ({}, {"open": 1}),
        ({}, {"deficit_kh": math.nan}),
        ({}, {"deficit_kh": math.inf}),
        ({}, {"deficit_kh": None}),
        ({}, {}),
    ],
)
def test_what_the_schema_does_not_know_is_a_mistake_of_ours(tags: dict[str, str], fields: dict[str, Value]) -> None:
    with pytest.raises(ValueError, match="finding"):
        line(FINDING, tags, fields, 0)


def test_what_is_numbered_has_a_time_of_its_own_within_its_millisecond() -> None:
    times = {time_of(5, number) for number in range(1, 1000)}
    assert len(times) == 999
    assert {time // 1_000_000 for time in times} == {5}


def test_the_schema_names_everything_once_and_as_the_domain_does() -> None:
    assert len({one.name for one in MEASUREMENTS}) == len(MEASUREMENTS)
    for one in MEASUREMENTS:
        names = [*(tag.name for tag in one.tags), *(field.name for field in one.fields)]
        assert len(set(names)) == len(names), one.name
        assert not {"time", "_time", "_value", "_field", "_measurement"} & set(names)
    assert tuple(field.name for field in COMPLIANCE_DAY.fields)[-len(FIELDS) :] == FIELDS
    assert {f"tickets_{kind}" for kind in TicketKind} <= {field.name for field in STATION_NOW.fields}
    assert {field.type for field in NOTICE.fields} == {FieldType.INTEGER, FieldType.STRING, FieldType.BOOLEAN}


def test_the_documentation_has_the_schema_as_it_is() -> None:
    assert markdown().strip() in DOCUMENTATION.read_text(encoding="utf-8")
