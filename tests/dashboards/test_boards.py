"""Boards hold together: names, places, words, links, and queries that name only what the schema has."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards import words
from dashboards.boards import all_spelled, boards
from dashboards.boards.typed import unknown
from dashboards.looks import BLUE, LOOKS, ORANGE, PURPLE, SKY, VERMILION
from dashboards.queries.asking import Column, Curve, Fn, Is, Latest, Made, Rows, Sums, Values
from dashboards.render import texts
from dashboards.settings import GrafanaSettings, InfluxVersion, Language, Limits
from dashboards.sources import KIND, UID
from heatwatch.domain.findings import FindingKind
from heatwatch.files.rules_file import default_standard
from heatwatch.stores.influx.schema import FINDING, MEASUREMENTS, STATION_NOW

ROOT = Path(__file__).parents[2]
CONSOLE = "https://console.example"
RENDERED = ROOT / "dashboards" / "rendered"
COLUMNS = 24


@pytest.fixture(scope="module")
def console() -> Mapping[str, Mapping[str, str]]:
    """Give the console's words by key."""
    told: dict[str, dict[str, str]] = yaml.safe_load((ROOT / "api/console/texts.yaml").read_text(encoding="utf-8"))
    return told


@pytest.fixture
def made(settings: GrafanaSettings) -> tuple[dict[str, Any], ...]:
    """Give all boards as Grafana keeps them."""
    return _made(settings)


@cache
def _made(settings: GrafanaSettings) -> tuple[dict[str, Any], ...]:
    return all_spelled(replace(settings, console_url=CONSOLE))


def test_a_misspelt_key_is_found(made: tuple[dict[str, Any], ...]) -> None:
    board = json.loads(json.dumps(made[0]))
    board["timezon"] = "utc"
    board["panels"][0]["gridpos"] = {}
    board["panels"][1]["fieldConfig"]["defaults"]["decimal"] = 1
    assert set(unknown(board)) == {"timezon", "panels[0].gridpos", "panels[1].fieldConfig.defaults.decimal"}


def test_every_panel_and_variable_asks_the_one_source(made: tuple[dict[str, Any], ...]) -> None:
    for board in made:
        targets = [target for panel in board["panels"] for target in panel["targets"]]
        marks = board["annotations"]["list"]
        asked = [each["datasource"] for each in (*board["panels"], *targets, *board["templating"]["list"], *marks)]
        assert all(source == {"type": KIND, "uid": UID} for source in asked)


def test_uids_titles_panels_and_letters_are_given_once(made: tuple[dict[str, Any], ...]) -> None:
    for name in ("uid", "title"):
        assert max(Counter(board[name] for board in made).values()) == 1
    for board in made:
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
        assert len({panel["title"] for panel in board["panels"]}) == len(board["panels"])
        assert not {"id", "version"} & board.keys()
        for panel in board["panels"]:
            letters = [target["refId"] for target in panel["targets"]]
            assert len(set(letters)) == len(letters) > 0


def test_panels_fit_the_grid_without_gaps_and_do_not_overlap(made: tuple[dict[str, Any], ...]) -> None:
    for board in made:
        cells = Counter(cell for panel in board["panels"] for cell in _cells(panel["gridPos"]))
        assert set(cells.values()) == {1}
        height = max(y for _, y in cells) + 1
        assert len(cells) == COLUMNS * height, board["uid"]


def _cells(at: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    assert at["x"] + at["w"] <= COLUMNS
    return ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"]))


def test_links_lead_to_boards_that_are_there_and_bring_their_choices(made: tuple[dict[str, Any], ...]) -> None:
    variables = {board["uid"]: {each["name"] for each in board["templating"]["list"]} for board in made}
    links = [link for board in made for link in _links(board)]
    inward = [re.fullmatch(r"/d/([\w-]+)\?(.*)", link["url"]) for link in links if not link["url"].startswith(CONSOLE)]
    assert len(inward) > 20
    for found in inward:
        assert found is not None
        assert set(re.findall(r"var-(\w+)=", found[2])) == variables[found[1]]
    outward = [link["url"] for link in links if link["url"].startswith(CONSOLE)]
    assert f"{CONSOLE}/tickets/${{__data.fields.ticket}}" in outward


def _links(board: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for panel in board["panels"]:
        config = panel["fieldConfig"]
        yield from config["defaults"].get("links", [])
        for override in config["overrides"]:
            for each in override["properties"]:
                yield from each["value"] if each["id"] == "links" else ()


def test_what_is_committed_is_what_render_writes() -> None:
    """`heatwatch dashboards render --out dashboards/rendered` brings it up to date."""
    written = texts(GrafanaSettings(Limits.of(default_standard())))
    there = {file.relative_to(RENDERED).as_posix(): file.read_text() for file in RENDERED.rglob("*") if file.is_file()}
    assert there == written


def test_without_an_address_nothing_leads_to_the_console(settings: GrafanaSettings) -> None:
    assert "tickets/${__data" not in json.dumps(all_spelled(settings))


def test_every_choice_that_a_query_rests_on_is_a_variable_of_its_board(made: tuple[dict[str, Any], ...]) -> None:
    for board in made:
        text = json.dumps([board["panels"], board["annotations"], board["templating"]], ensure_ascii=False)
        asked = set(re.findall(r"\$\{(\w+)(?::\w+)?\}", text)) - {"__from", "__to", "__url_time_range"}
        assert asked == {each["name"] for each in board["templating"]["list"]}
        assert set(re.findall(r"\$\{(__\w+)\}", text)) <= {"__from", "__to", "__url_time_range"}


def test_variables_chain_in_the_order_in_which_they_are_asked(made: tuple[dict[str, Any], ...]) -> None:
    for board in made:
        known: set[str] = set()
        for variable in board["templating"]["list"]:
            assert set(re.findall(r"\$\{(\w+):\w+\}", variable["query"])) <= known
            known.add(variable["name"])


def test_every_query_is_bounded_by_the_chosen_time(made: tuple[dict[str, Any], ...]) -> None:
    for board in made:
        for panel in board["panels"]:
            for target in panel["targets"]:
                if "rawQuery" in target:
                    assert "$timeFilter" in target["query"] or "${__to}ms" in target["query"]
                else:
                    assert target["query"].count("range(start: ") == target["query"].count("from(bucket: ") >= 1
                    assert target["query"].count("stop: v.timeRangeStop)") == target["query"].count("range(start: ")


def test_now_panels_end_now_whatever_time_is_chosen(made: tuple[dict[str, Any], ...]) -> None:
    """A relative time that ends in the past, or late today, does not empty them."""
    for board, described in zip(made, boards(Limits(16.0, 18.0)), strict=True):
        for panel, each in zip(board["panels"], described.panels, strict=True):
            if all(asked.ask.window.back_h for asked in each.asked):
                assert panel["timeFrom"]
                assert panel["hideTimeOverride"] is True


def test_a_panel_says_what_it_counts_in_one_language(
    made: tuple[dict[str, Any], ...], settings: GrafanaSettings
) -> None:
    for board in made:
        for panel in board["panels"]:
            for text in (panel["title"], panel["description"], panel["fieldConfig"]["defaults"]["noValue"]):
                assert text
                assert bool(re.search(r"[\u4e00-\u9fff]", text)) == (settings.language is Language.CHINESE)
                assert "{" not in text


def test_words_are_the_consoles(console: Mapping[str, Mapping[str, str]]) -> None:
    """Whoever looks from Grafana to the console reads the same words."""
    for prefix, told in (
        ("kind", words.TICKET_KINDS),
        ("ticket_state", words.TICKET_STATES),
        ("step", words.STEPS),
        ("finding", words.FINDINGS),
        ("room_page.seen", words.EVIDENCE),
        ("room_page.fault", words.FAULTS),
        ("notice_kind", words.NOTICE_KINDS),
        ("notice_state", words.NOTICE_STATES),
    ):
        for value, said in told.items():
            assert (said.zh, said.en) == (console[f"{prefix}.{value}"]["zh"], console[f"{prefix}.{value}"]["en"])
    for name in ("outages", "cold", "below", "silent", "unknown", "tickets"):
        assert LOOKS[name].said.zh == console[f"summary.{name}"]["zh"]


def test_every_kind_of_finding_has_a_word() -> None:
    assert {kind.value for kind in FindingKind} == words.FINDINGS.keys()


def test_rooms_are_coloured_at_the_rules_limits(made: tuple[dict[str, Any], ...]) -> None:
    (lanes,) = [panel for panel in made[1]["panels"] if panel["id"] == 2]
    steps = [(step["value"], step["color"]) for step in lanes["fieldConfig"]["defaults"]["thresholds"]["steps"]]
    assert steps == [(None, VERMILION), (16.0, ORANGE), (18.0, SKY), (20.0, BLUE), (24.0, PURPLE)]
    assert Limits.of(default_standard()) == Limits(16.0, 18.0, 8.0)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Rows(of=FINDING, columns={"a": Column("start")}),
        lambda: Rows(of=FINDING, columns={}, where=(Is("stations", "=", "x"),)),
        lambda: Latest(of=STATION_NOW, by=("building",), columns={"cold": Column("cold")}),
        lambda: Sums(of=STATION_NOW, columns={"a": Made(Fn.SUM, "colds")}),
        lambda: Curve(of=STATION_NOW, value="cold", over="room"),
        lambda: Values(of=STATION_NOW, tag="cold"),
    ],
)
def test_a_name_that_the_schema_lacks_is_an_error_when_the_board_is_made(wrong: Any) -> None:
    with pytest.raises(KeyError):
        wrong()


def test_the_texts_name_only_what_the_schema_has(made: tuple[dict[str, Any], ...], version: InfluxVersion) -> None:
    """Once more, from the texts themselves."""
    names = {of.name: {tag.name for tag in of.tags} | {field.name for field in of.fields} for of in MEASUREMENTS}
    for board in made:
        for query in _texts(board):
            if version is InfluxVersion.ONE:
                (measurement,) = set(re.findall(r'FROM "(\w+)"', query))
                said = set(re.findall(r'(?<!AS )"(\w+)"', query)) - set(re.findall(r'AS "(\w+)"', query))
            else:
                (measurement,) = set(re.findall(r'r\._measurement == "(\w+)"', query))
                said = set(re.findall(r'r\._field == "(\w+)"', query))
            assert said - {measurement} <= names[measurement]


def _texts(board: Mapping[str, Any]) -> Iterator[str]:
    yield from (target["query"] for panel in board["panels"] for target in panel["targets"])
    yield from (variable["query"] for variable in board["templating"]["list"])
    yield from (each["query"] if "query" in each else each["target"]["query"] for each in board["annotations"]["list"])
