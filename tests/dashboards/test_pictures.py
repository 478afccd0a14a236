"""Pictures of boards say what their queries answer."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest

from dashboards.boards import boards
from dashboards.boards.layout import Board
from dashboards.pictures.asking import Reader, Row, seconds
from dashboards.pictures.drawing import Scene, picture
from dashboards.queries.asking import Ask
from dashboards.settings import GrafanaSettings, Limits
from heatwatch.drawing import engine
from tests.dashboards import scenario
from tests.dashboards.oracle import answer
from tests.dashboards.palette import small
from tests.dashboards.scenario import B1, S1, TO_MS

SETTINGS = GrafanaSettings(Limits(16.0, 18.0))
ZONE = ZoneInfo(SETTINGS.timezone)
POINTS = scenario.all_points()
SOME = [board for board in boards(SETTINGS.limits) if board.name in {"company", "building", "tickets"}]


def _answers(ask: Ask, reader: Reader) -> Sequence[Row]:
    return answer(ask, POINTS, reader, ZONE)


def _drawn(board: Board) -> str:
    chosen = {"station": [S1], "building": [B1]} | {each.name: [".*"] for each in board.variables if each.choice.many}
    reader = Reader(TO_MS - seconds(board.since.removeprefix("now-")) * 1000, TO_MS, chosen)
    return picture(board, Scene(SETTINGS, _answers, reader))


@pytest.mark.parametrize("board", SOME, ids=lambda board: board.name)
def test_every_panel_is_in_the_picture(board: Board) -> None:
    said = [element.text for element in ET.fromstring(_drawn(board)).iter() if element.text]  # noqa: S314 - our own
    assert [panel.title.zh for panel in board.panels if panel.title.zh not in said] == []
    assert [panel.title.zh for panel in board.panels if panel.nothing.zh in said] == []


def test_tiles_and_cells_say_the_known_numbers() -> None:
    drawn = _drawn(SOME[0])
    for said in ("80.0 %", "01-12 09:00", "5.0 小时", "3.0 小时", "多户室温同降", "到达现场"):
        assert f">{said}<" in drawn


def test_a_small_png_is_a_png_of_the_same_size() -> None:
    with engine() as made:
        whole = made.svg_to_png('<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30"><circle r="20"/></svg>')
    told = small(whole)
    assert told[:8] == whole[:8]
    assert struct.unpack(">II", told[16:24]) == struct.unpack(">II", whole[16:24])
    assert len(told) < len(whole) + 800
