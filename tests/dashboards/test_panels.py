"""Every panel's query, asked of real InfluxDBs that hold a known day: each language says what plain Python reckons."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import pytest

from dashboards.boards import boards
from dashboards.boards.layout import Board
from dashboards.boards.spelling import query
from dashboards.pictures.asking import Reader, Row, in_flux, in_influxql, of_flux, of_influxql, seconds
from dashboards.queries.asking import TIME, Ask, Curve, Latest, Sums, Values
from dashboards.queries.flux import EMPTY
from dashboards.settings import GrafanaSettings, InfluxVersion, Limits
from tests.dashboards import scenario
from tests.dashboards.oracle import VALUE, answer
from tests.dashboards.scenario import B1, S1, TO_MS
from tests.influxdb import DATABASE, Influx1, Influx2, has_influxdb, influxdb1, influxdb2

LIMITS = Limits(16.0, 18.0)
SETTINGS = {version: GrafanaSettings(LIMITS, version=version) for version in InfluxVersion}
ZONE = ZoneInfo(SETTINGS[InfluxVersion.ONE].timezone)
VERSIONS = [version for version in InfluxVersion if has_influxdb(version.value) or version is InfluxVersion.ONE]
CHOSEN = {"building": [B1], "point": [scenario.point_of(B1, "101")]}
Run = Callable[[Ask | Values, Reader], list[Row]]


@dataclass(frozen=True)
class Case:
    """A query of a board."""

    name: str
    ask: Ask
    reader: Reader


def _cases() -> Iterator[Case]:
    for board in boards(LIMITS):
        reader = _reader(board)
        for panel in board.panels:
            own = reader.recent(panel.recent).stepping(panel.least_step)
            for letter, asked in zip("ABCDEF", panel.asked, strict=False):
                yield Case(f"{board.name}: {panel.title.en} {letter}", asked.ask, own)
        for marked in board.marked:
            yield Case(f"{board.name}: marked {marked.said.en}", marked.ask, reader)


def _reader(board: Board) -> Reader:
    chosen = CHOSEN | {"station": [S1]} | {"source": [scenario.point_of(B1, "101"), "dev-1"]}
    everywhere = {each.name: [".*"] for each in board.variables if each.choice.many and each.everything}
    return Reader(TO_MS - seconds(board.since.removeprefix("now-")) * 1000, TO_MS, chosen | everywhere)


CASES = {case.name: case for case in _cases()}

HAND: dict[str, Row] = {
    # Two stations: one cold room and two, 3 of 4 points heard and 1 of 1.
    "company: The company now A": {"outages": 1, "cold": 3, "clocks_overdue": 1, "tickets": 5, "heard_pct": 80.0},
    # Its only building: of seven days 20 h comply and 2 h do not, every other day a minute more do not.
    "company: Compliance by station, 7 days A": {"station": scenario.S2, "hours_pct": 90.8},
    "company: Stations A": {"station": scenario.S2, "notice_left_h": None, "next_left_h": None, "heard_pct": 100.0},
    # Began at 09:00, looked at at 14:00.
    "company: Heat outages A": {"building": B1, "lasts_h": 5.0, "announce_left_h": 3.0, "ticket": 8},
    "tickets: Tickets at work A": {"ticket": 8, "left_h": -0.5, "missed": 2},
    "delivery: Delivery identities A": {"worker": "w2", "message_gap": 0, "reading_gap": 0, "received": 3989},
    "engineer: What was found of what happened A": {"kind": "cold_spell", "truths": 2, "matched": 2, "recall_pct": 100},
}


@pytest.fixture(scope="module")
def told() -> list[scenario.Point]:
    """Give the known points."""
    return scenario.all_points()


@pytest.fixture(scope="module", params=VERSIONS, ids="influxdb-{}".format)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Give a way to ask as Grafana does, of each version."""
    folder = tmp_path_factory.mktemp("influxdb")
    if request.param is InfluxVersion.ONE:
        with influxdb1(folder) as server1:
            server1.write(scenario.lines(), "ns")
            yield lambda ask, reader: _ask1(server1, ask, reader)
    else:
        with influxdb2(folder) as server2:
            server2.write(scenario.lines(), "ns")
            yield lambda ask, reader: _ask2(server2, ask, reader)


def _ask1(server: Influx1, ask: Ask | Values, reader: Reader) -> list[Row]:
    return of_influxql(server.query(in_influxql(query(ask, SETTINGS[InfluxVersion.ONE]), reader)))


def _ask2(server: Influx2, ask: Ask | Values, reader: Reader) -> list[Row]:
    return of_flux(server.flux(in_flux(query(ask, SETTINGS[InfluxVersion.TWO]), reader, DATABASE)))


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_a_panel_shows_what_plain_python_reckons(run: Run, told: list[scenario.Point], case: Case) -> None:
    """A panel that would be empty fails."""
    expected = _comparable(case.ask, answer(case.ask, told, case.reader, ZONE))
    assert expected, "the known day has nothing to show here"
    shown = _comparable(case.ask, run(case.ask, case.reader))
    assert len(shown) == len(expected)
    for one, other in zip(shown, expected, strict=True):
        assert one.keys() == other.keys()
        for name, value in other.items():
            assert _same(one[name], value), (name, one, other)


def _comparable(ask: Ask, rows: list[Row]) -> list[Row]:
    """Return rows in one order, with the columns that the answer is about: of a curve the value under one name."""
    if isinstance(ask, Curve):
        names = {ask.value, "_value", VALUE, ask.fn.value, "non_negative_difference"} - set(ask.by)
        kept = [{VALUE if name in names else name: value for name, value in row.items()} for row in rows]
        rows = [{name: row.get(name) for name in (TIME, *ask.by, VALUE)} for row in kept]
    else:
        timed = isinstance(ask, Latest) or (not isinstance(ask, Sums) and getattr(ask, "dated", False))
        by = getattr(ask, "by", ())
        names_ = [*([TIME] if timed else []), *by, *ask.columns]  # type: ignore[attr-defined]
        rows = [{name: row.get(name) for name in names_} for row in rows]
    rows = [{name: None if value in {"", EMPTY} else value for name, value in row.items()} for row in rows]
    return sorted(rows, key=lambda row: [str(_rounded(value)) for value in row.values()])


def _rounded(value: object) -> object:
    return round(float(value), 6) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _same(one: object, other: object) -> bool:
    if isinstance(other, bool) or other is None or isinstance(other, str):
        return one == other
    return isinstance(one, int | float) and math.isclose(float(one), float(other), rel_tol=1e-9, abs_tol=1e-9)  # type: ignore[arg-type]


def test_the_choices_are_those_of_the_known_day(run: Run) -> None:
    """Chained: buildings of the chosen station, points of the chosen building."""
    offered = {}
    for board in boards(LIMITS):
        for variable in board.variables:
            rows = run(variable.values, _reader(board))
            offered[variable.name] = {row.get("value", row.get("_value")) for row in rows}
    rooms = scenario.COMPANY[S1, B1]
    assert offered == {
        "station": {station for station, _ in scenario.COMPANY},
        "building": {building for station, building in scenario.COMPANY if station == S1},
        "point": {scenario.point_of(B1, room) for room in rooms},
        "source": {scenario.point_of(B1, "101"), "dev-1"},
    }


@pytest.mark.parametrize(("name", "shown"), HAND.items())
def test_numbers_reckoned_by_hand(run: Run, name: str, shown: Row) -> None:
    """The plain reckoning is checked, too."""
    case = CASES[name]
    assert shown in [{key: _rounded(row.get(key)) for key in shown} for row in run(case.ask, case.reader)]
