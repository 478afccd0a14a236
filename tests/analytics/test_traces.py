"""Which message led to a finding: the last one of a pass that brought something of its subject."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from analytics.layout.sources import SourceMap
from analytics.layout.timeline import lay_out
from analytics.roles.traces import Traces
from heatwatch.domain.findings import Finding, FindingKind, SubjectKind
from heatwatch.domain.instants import DAY_MS, from_ms
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import RoomClass
from heatwatch.domain.traces import CLOCK
from heatwatch.files.rules_file import default_standard
from heatwatch.records.schema import Arrival

START = 1_768_176_000_000
MOVED = from_ms(START) + timedelta(days=1)
APARTMENT = RoomClass.APARTMENT
REGISTER = Register.of(
    [
        PointRow("p1", "b1", "s1", APARTMENT),
        PointRow("p2", "b1", "s1", APARTMENT, valid_to=MOVED, device_id="d"),
        PointRow("p2", "b1", "s1", APARTMENT, valid_from=MOVED),
        PointRow("p3", "b2", "s1", APARTMENT, valid_from=MOVED, device_id="d"),
        PointRow("p4", "b3", "s2", APARTMENT),
    ]
)


def traces(*touched: list[tuple[str, int]]) -> Traces:
    """Return the traces of a pass with arrivals ``w/1``, ``w/2`` … that touched sources on days."""
    arrivals = [
        Arrival(worker="w", sequence=number, touched=[[name, *(2 * [START + day * DAY_MS]), 1] for name, day in one])
        for number, one in enumerate(touched, 1)
    ]
    timeline = lay_out(REGISTER, default_standard(), ZoneInfo("Asia/Shanghai"), (START, START + 9 * DAY_MS))
    return Traces(arrivals, timeline, SourceMap(REGISTER, timeline.points))


def of(told: Traces, kind: SubjectKind, name: str) -> str:
    return told(
        Finding(FindingKind.DATA_OUTAGE, kind, name, "", "", START, None, open=True, confirmed_ms=None, detail={})
    )


def test_a_point_has_the_last_arrival_of_its_sources() -> None:
    told = traces([("p1", 0)], [("p1", 0), ("p4", 0)], [("p4", 0)])
    assert of(told, SubjectKind.POINT, "p1") == "w/2"
    assert of(told, SubjectKind.POINT, "p4") == "w/3"


def test_a_device_speaks_for_the_point_whose_it_was_then() -> None:
    told = traces([("d", 0)], [("d", 2)])
    assert of(told, SubjectKind.POINT, "p2") == "w/1"
    assert of(told, SubjectKind.POINT, "p3") == "w/2"


@pytest.mark.parametrize(
    ("kind", "name", "trace"),
    [
        (SubjectKind.BUILDING, "b1", "w/2"),
        (SubjectKind.BUILDING, "b2", CLOCK),
        (SubjectKind.STATION, "s1", "w/2"),
        (SubjectKind.STATION, "s2", "w/3"),
    ],
)
def test_a_building_or_station_has_the_last_that_touched_anything_in_it(
    kind: SubjectKind, name: str, trace: str
) -> None:
    assert of(traces([("p1", 0)], [("p2", 0)], [("p4", 0), ("stranger", 0)]), kind, name) == trace


@pytest.mark.parametrize("touched", [[], [[]], [[("p1", 0)]], [[("stranger", 0)]]])
def test_of_which_nothing_has_arrived_only_the_clock_has_moved(touched: list[list[tuple[str, int]]]) -> None:
    assert of(traces(*touched), SubjectKind.POINT, "p2") == CLOCK
    assert of(traces(*touched), SubjectKind.POINT, "no longer in the register") == CLOCK
