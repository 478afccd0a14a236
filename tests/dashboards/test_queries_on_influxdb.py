"""Every InfluxQL query of the board, asked of a real InfluxDB: a panel that would stay empty fails here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dashboards.boards import Board, readings_board
from dashboards.settings import GrafanaSettings, InfluxVersion, Limits
from heatwatch.stores.influx.lines import lines, source_of, tag_of
from tests.dashboards.batches import Row, as_grafana_asks, batch
from tests.influxdb import Influx1

NOON_MS = 1_764_038_400_000
HOUR_MS = 3_600_000
FIRST_MS, LAST_MS = NOON_MS - 6 * HOUR_MS, NOON_MS
ODD = "3号楼 501/客厅\\"
KNOWN: list[Row] = [
    ("dev-1", FIRST_MS - 1, 25.0),  # before the board's time
    ("dev-1", FIRST_MS, 19.37),
    ("dev-1", NOON_MS - HOUR_MS, 17.5),
    ("dev-10", NOON_MS - 2 * HOUR_MS, 21.0),
    ("old-dev-1", NOON_MS - 3 * HOUR_MS, 20.5),
    (ODD, NOON_MS, 15.99),
    (ODD, NOON_MS + 1, 30.0),  # after it
    ("silent", FIRST_MS - HOUR_MS, 18.0),
]
CHOSEN = ["dev-1", ODD]
Answered = list[tuple[str | None, dict[str, list[Any]]]]

EXPECTED: dict[tuple[str, str], Answered] = {
    ("timeseries", "A"): [
        (ODD, {"time": [NOON_MS], "temperature_c": [15.99]}),
        ("dev-1", {"time": [FIRST_MS, NOON_MS - HOUR_MS], "temperature_c": [19.37, 17.5]}),
    ],
    ("table", "A"): [
        (ODD, {"time": [NOON_MS], "temperature_c": [15.99]}),
        ("dev-1", {"time": [NOON_MS - HOUR_MS], "temperature_c": [17.5]}),
        ("dev-10", {"time": [NOON_MS - 2 * HOUR_MS], "temperature_c": [21.0]}),
        ("old-dev-1", {"time": [NOON_MS - 3 * HOUR_MS], "temperature_c": [20.5]}),
    ],
    ("stat", "A"): [(None, {"time": [NOON_MS], "temperature_c": [15.99]})],
}

Ask = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def ask(influx: Influx1) -> Ask:
    """Give a way to ask as Grafana does, of an InfluxDB that holds the known readings."""
    influx.write(lines(batch(KNOWN, battery=87.0)))
    chosen = [tag_of(source) for source in CHOSEN]
    return lambda query: influx.query(as_grafana_asks(query, FIRST_MS, LAST_MS, chosen))


@pytest.fixture
def board() -> Board:
    """Give the board for InfluxDB 1.x."""
    return readings_board(GrafanaSettings(Limits(16.0, 18.0), version=InfluxVersion.ONE))


def test_every_panel_shows_the_known_numbers(ask: Ask, board: Board) -> None:
    asked = {(panel["type"], target["refId"]): target for panel in board["panels"] for target in panel["targets"]}
    shown = {panel: ask(target["query"]) for panel, target in asked.items()}
    assert {panel: _answered(series) for panel, series in shown.items()} == EXPECTED


def test_one_chosen_source_is_not_taken_for_a_part_of_another(influx: Influx1, ask: Ask, board: Board) -> None:
    (curves,) = [panel for panel in board["panels"] if panel["type"] == "timeseries"]
    query = as_grafana_asks(curves["targets"][0]["query"], FIRST_MS, LAST_MS, ["dev-1"])
    assert [source for source, _ in _answered(influx.query(query))] == ["dev-1"]


def test_the_variable_offers_every_source(ask: Ask, board: Board) -> None:
    (variable,) = board["templating"]["list"]
    (series,) = ask(variable["query"])
    assert sorted(value for _, value in series["values"]) == sorted({tag_of(source) for source, _, _ in KNOWN})


def test_an_empty_database_answers_with_nothing_and_no_error(influx: Influx1, board: Board) -> None:
    for panel in board["panels"]:
        query = as_grafana_asks(panel["targets"][0]["query"], FIRST_MS, LAST_MS, ["dev-1"])
        assert influx.query(query) == []


def _answered(series: list[dict[str, Any]]) -> Answered:
    """Return each series as its source, None where it has none, and its columns."""
    return sorted(((_source(each), _columns(each)) for each in series), key=lambda told: str(told[0]))


def _columns(series: dict[str, Any]) -> dict[str, list[Any]]:
    values = [list(column) for column in zip(*series["values"], strict=True)]
    return dict(zip(series["columns"], values, strict=True))


def _source(series: dict[str, Any]) -> str | None:
    tag = series.get("tags", {}).get("source")
    return None if tag is None else source_of(tag)
