"""The board of raw readings, as the JSON that Grafana keeps of a board (schema version 42, Grafana 12.4 and later).

Typed dicts hold the keys that stand in it; Grafana's own builder package comes with the full set of boards.

Colours are those of Okabe and Ito [1]_, told apart with every common form of colour blindness; no meaning rests on
colour alone: limits are dashed lines with their number on the axis, values stand as numbers in the table. Series take
Grafana's palette of the same kind (13.0 and later; 12.4 falls back to the limits' colours).

References
----------
.. [1] B. Wong, "Points of view: Color blindness", Nature Methods 8, 441 (2011).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

from dashboards import queries
from dashboards.queries import TIME_COLUMN, Answer, Question
from dashboards.settings import GrafanaSettings, InfluxVersion, Language, Limits
from dashboards.sources import KIND, UID
from heatwatch.stores.influx.schema import READING

BOARD_UID = "heatwatch-readings"
SCHEMA_VERSION = 42
VERMILION, ORANGE, BLUE = "#D55E00", "#E69F00", "#0072B2"
FIELD = Question(Answer.RAW).field.name


class DataSource(TypedDict):
    """The data source that is asked."""

    type: str
    uid: str


class Target(TypedDict, total=False):
    """A query of a panel; the last two keys are InfluxQL's."""

    refId: str
    datasource: DataSource
    query: str
    rawQuery: bool
    resultFormat: str


class Place(TypedDict):
    """Where a panel stands on the board's grid, 24 columns wide."""

    x: int
    y: int
    w: int
    h: int


class Panel(TypedDict, total=False):
    """A panel; `options` and `fieldConfig` differ by its type."""

    id: int
    type: str
    title: str
    description: str
    datasource: DataSource
    gridPos: Place
    targets: list[Target]
    fieldConfig: dict[str, Any]
    options: dict[str, Any]
    transformations: list[dict[str, Any]]


class Board(TypedDict):
    """A board's file."""

    uid: str
    title: str
    tags: list[str]
    schemaVersion: int
    editable: bool
    timezone: str
    refresh: str
    time: dict[str, str]
    templating: dict[str, list[dict[str, Any]]]
    annotations: dict[str, list[dict[str, Any]]]
    panels: list[Panel]


@dataclass(frozen=True, slots=True)
class Words:
    """What a board says in one language."""

    board: str
    source: str
    temperature: str
    age: str
    curves: str
    curves_note: str
    latest: str
    latest_note: str
    newest: str
    newest_note: str
    nothing: str


WORDS = {
    Language.CHINESE: Words(
        board="室温读数",
        source="测温设备",
        temperature="室温",
        age="距今",
        curves="室温曲线",
        curves_note="所选设备的原始读数，未经校准和判定。"
        "虚线为楼房住户室温下限：{lowest:g} ℃、{highest:g} ℃，适用时段见规则。",
        latest="各设备最新读数",
        latest_note="所选时间范围内每台设备最后一次读数，最久未上报的排在最前；范围内没有读数的设备不在表中。",
        newest="最新读数距今",
        newest_note="全部设备中最近一次读数距现在多久，用于判断数据是否仍在上传。",
        nothing="无读数",
    ),
    Language.ENGLISH: Words(
        board="Room temperature readings",
        source="Thermometer",
        temperature="Temperature",
        age="Age",
        curves="Room temperature",
        curves_note="Raw readings of the chosen thermometers, neither calibrated nor judged. Dashed: the minimum for "
        "apartments, {lowest:g} °C and {highest:g} °C; the rules say at which hours.",
        latest="Latest reading of each thermometer",
        latest_note="Within the chosen time range, the longest silent first. A thermometer that sent nothing in it is "
        "not listed.",
        newest="Age of the newest reading",
        newest_note="Of all thermometers: tells whether data still come in.",
        nothing="no reading",
    ),
}


def readings_board(settings: GrafanaSettings) -> Board:
    """Return ``dashboards/readings.json``: raw readings over time, the latest of each source, the age of the newest."""
    words = WORDS[settings.language]
    return {
        "uid": BOARD_UID,
        "title": words.board,
        "tags": ["heatwatch"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "timezone": "browser",
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": [_source_variable(settings.version, words)]},
        "annotations": {"list": []},
        "panels": [
            _newest(settings.version, words),
            _curves(settings.version, words, settings.limits),
            _latest(settings.version, words, settings.limits),
        ],
    }


def _source_variable(version: InfluxVersion, words: Words) -> dict[str, Any]:
    """Return the choice of sources. There is no "all": a town has thousands of curves."""
    query = queries.sources(version)
    return {
        "name": queries.VARIABLE,
        "label": words.source,
        "type": "query",
        "datasource": _source(),
        "query": query,
        "definition": query,
        "refresh": 2,  # asked again when the time range changes
        "sort": 1,  # by name
        "multi": True,
        "includeAll": False,
        "hide": 0,
    }


def _newest(version: InfluxVersion, words: Words) -> Panel:
    shown = {"calcs": ["lastNotNull"], "fields": f"/^{TIME_COLUMN}$/", "values": False}
    colour = {"mode": "fixed", "fixedColor": BLUE}
    return {
        **_panel(1, "stat", words.newest, words.newest_note, {"x": 0, "y": 0, "w": 24, "h": 4}),
        "targets": [_target(Question(Answer.NEWEST), version)],
        "fieldConfig": {
            "defaults": {"unit": "dateTimeFromNow", "color": colour, "noValue": words.nothing},
            "overrides": [],
        },
        "options": {"reduceOptions": shown, "colorMode": "value", "graphMode": "none", "textMode": "value"},
    }


def _curves(version: InfluxVersion, words: Words, limits: Limits) -> Panel:
    note = words.curves_note.format(lowest=limits.lowest_c, highest=limits.highest_c)
    drawn = {"drawStyle": "line", "lineWidth": 1, "showPoints": "always", "pointSize": 4, "spanNulls": False}
    legend = {"displayMode": "table", "placement": "right", "showLegend": True, "calcs": ["min", "lastNotNull"]}
    defaults = {
        **_temperature(limits),
        "displayName": f"${{__field.labels.{READING.tag}}}",
        "color": {"mode": "palette-colorblind"},
        "noValue": words.nothing,
        "custom": {**drawn, "thresholdsStyle": {"mode": "dashed"}},
    }
    return {
        **_panel(2, "timeseries", words.curves, note, {"x": 0, "y": 4, "w": 24, "h": 11}),
        "targets": [_target(Question(Answer.RAW), version)],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"legend": legend, "tooltip": {"mode": "multi", "sort": "asc"}},
    }


def _latest(version: InfluxVersion, words: Words, limits: Limits) -> Panel:
    coloured = {**_temperature(limits), "custom.cellOptions": {"type": "color-text"}, "displayName": words.temperature}
    overrides = [
        _override(READING.tag, {"displayName": words.source}),
        _override(FIELD, {**coloured, "color": {"mode": "thresholds"}}),
        _override(TIME_COLUMN, {"displayName": words.age, "unit": "dateTimeFromNow"}),
    ]
    order = {READING.tag: 0, FIELD: 1, TIME_COLUMN: 2}
    return {
        **_panel(3, "table", words.latest, words.latest_note, {"x": 0, "y": 15, "w": 24, "h": 10}),
        "targets": [_target(Question(Answer.LATEST), version)],
        "fieldConfig": {"defaults": {"noValue": words.nothing}, "overrides": overrides},
        "options": {"showHeader": True, "sortBy": [{"displayName": words.age, "desc": False}]},
        "transformations": [{"id": "organize", "options": {"indexByName": order}}],
    }


def _panel(number: int, kind: str, title: str, description: str, place: Place) -> Panel:
    return {
        "id": number,
        "type": kind,
        "title": title,
        "description": description,
        "datasource": _source(),
        "gridPos": place,
    }


def _target(question: Question, version: InfluxVersion) -> Target:
    target: Target = {"refId": "A", "datasource": _source(), "query": question.text(version)}
    if version is InfluxVersion.ONE:
        target["rawQuery"] = True
        target["resultFormat"] = "table" if question.is_table else "time_series"
    return target


def _source() -> DataSource:
    return {"type": KIND, "uid": UID}


def _temperature(limits: Limits) -> dict[str, Any]:
    """Return the unit, the decimals, and the colours below, between and above the limits."""
    steps = [(VERMILION, None), (ORANGE, limits.lowest_c), (BLUE, limits.highest_c)]
    coloured = [{"color": colour, "value": value} for colour, value in steps]
    return {"unit": "celsius", "decimals": 1, "thresholds": {"mode": "absolute", "steps": coloured}}


def _override(column: str, properties: dict[str, Any]) -> dict[str, Any]:
    named = [{"id": name, "value": value} for name, value in properties.items()]
    return {"matcher": {"id": "byName", "options": column}, "properties": named}
