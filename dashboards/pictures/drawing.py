"""A board as a picture: each panel at its place on the grid, with what its own queries answer.

Tiles and tables are drawn as SVG here; curves and lanes by Vega-Lite, as everywhere in heatwatch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from zoneinfo import ZoneInfo

from dashboards.boards.layout import COLUMNS, Board, Kind, Panel
from dashboards.boards.spelling import TALL, columns_of, room_steps
from dashboards.looks import BLUE, CELSIUS, COUNT, HOURS, LOOKS, MOMENT, ORANGE, PERCENT, Look, Steps
from dashboards.pictures import plots
from dashboards.pictures.asking import MS_PER_S, Reader, Row, Value
from dashboards.queries.asking import Ask
from dashboards.settings import GrafanaSettings
from dashboards.words import Said
from heatwatch.drawing import INK, PAPER, QUIET, text_px

CELL_PX, ROW_PX, GAP_PX = 46, 34, 8
"""A cell of the grid, and what lies between panels."""
HEAD_PX, TITLE_PX, TEXT_PX, LINE_PX, PAD_PX = 46, 14, 12, 22, 10
GROUND, FRAME, RULE = "#f1f3f5", "#dfe3e8", "#eceff2"
FAMILY = "Noto Sans CJK SC, Noto Sans SC, sans-serif"
TILE_GAP_PX = 6

Answers = Callable[[Ask, Reader], Sequence[Row]]
"""Asks an InfluxDB."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a picture is made with.

    Attributes
    ----------
    settings
        Of the installation: language, zone, limits.
    answers
        Asks its InfluxDB.
    reader
        The chosen time, and what is chosen.
    """

    settings: GrafanaSettings
    answers: Answers
    reader: Reader

    def t(self, said: Said) -> str:
        """Return a text in the language of the installation."""
        return said.in_(self.settings.language)

    def of(self, panel: Panel) -> Reader:
        """Return the reader of a panel."""
        return self.reader.recent(panel.recent).stepping(panel.least_step)

    def colour(self, steps: Steps | str, value: float) -> str:
        """Return the colour of a value."""
        told = room_steps(self.settings.limits, steps) if isinstance(steps, str) else steps
        return [colour for start, colour in told if start is None or value >= start][-1]

    def shown(self, look: Look, value: Value) -> str:
        """Return a value as a cell shows it."""
        if value is None:
            return ""
        told = str(value).lower() if isinstance(value, bool) else str(value)
        if look.words and told in look.words:
            return self.t(look.words[told])
        if isinstance(value, bool | str):
            return str(value)
        if look.unit == MOMENT:
            return (
                f"{datetime.fromtimestamp(value / MS_PER_S, ZoneInfo(self.settings.timezone)):%m-%d %H:%M}"
                if value
                else ""
            )
        number = f"{value:,.{look.decimals}f}" if look.decimals is not None else f"{value:g}"
        hours, minutes = self.t(Said(" 小时", " h")), self.t(Said(" 分钟", " min"))
        unit = {CELSIUS: " ℃", PERCENT: " %", "m": minutes, "s": " s", HOURS: hours, COUNT: ""}.get(look.unit)
        return number + (look.unit.removeprefix("suffix:") if unit is None else unit)


def picture(board: Board, scene: Scene) -> str:
    """Return a board as SVG."""
    width = COLUMNS * CELL_PX + GAP_PX
    height = max(y + h for _, y, _, h in (panel.at for panel in board.panels)) * ROW_PX + HEAD_PX + GAP_PX
    parts = "".join(_panel(number, panel, board, scene) for number, panel in enumerate(board.panels))
    chosen = "　".join(
        f"{scene.t(each.said)}：{scene.reader.chosen[each.name][0].replace('.*', scene.t(Said('全部', 'all')))}"
        for each in board.variables
    )
    start, end = (scene.shown(LOOKS["start_ms"], at) for at in (scene.reader.from_ms, scene.reader.to_ms))
    head = _text(GAP_PX + 4, 30, scene.t(board.title), 20, INK, weight=700)
    head += _text(GAP_PX + 24 + text_px(scene.t(board.title), 20), 30, chosen, 14, QUIET)
    head += _text(width - GAP_PX - 4, 30, f"{start} — {end}", 14, QUIET, anchor="end")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="{FAMILY}">'
        f'<rect width="{width}" height="{height}" fill="{GROUND}"/>{head}{parts}</svg>'
    )


def _panel(number: int, panel: Panel, board: Board, scene: Scene) -> str:
    x, y, w, h = panel.at
    left, top = x * CELL_PX + GAP_PX, y * ROW_PX + HEAD_PX
    width, height = w * CELL_PX - GAP_PX, h * ROW_PX - GAP_PX
    body = (left + PAD_PX, top + LINE_PX + 8, width - 2 * PAD_PX, height - LINE_PX - 14)
    frame = f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="3" fill="{PAPER}" stroke="{FRAME}"/>'
    title = _text(left + PAD_PX, top + 20, scene.t(panel.title), TITLE_PX, INK, weight=600)
    rows = [scene.answers(asked.ask, scene.of(panel)) for asked in panel.asked]
    if not any(rows):
        return frame + title + _text(left + width / 2, top + height / 2, scene.t(panel.nothing), 14, QUIET, "middle")
    match panel.kind:
        case Kind.TILES:
            drawn = "".join(_tiles(panel, _merged(rows), body, scene))
        case Kind.TABLE:
            drawn = "".join(_table(panel, rows[0], body, scene))
        case Kind.CURVES:
            drawn = _nested(
                number, plots.curves(panel, rows, _marks(board, scene), body[2:], plots.Axis.of(scene, panel)), body
            )
        case Kind.LANES:
            drawn = _nested(number, plots.lanes(panel, rows[0], body[2:], plots.Axis.of(scene, panel)), body)
    return frame + title + drawn


def _merged(rows: Sequence[Sequence[Row]]) -> Row:
    return {name: value for each in rows for row in each[:1] for name, value in row.items()}


def _marks(board: Board, scene: Scene) -> list[tuple[str, str, list[tuple[float, float]]]]:
    """Return the spans that are marked: name, colour, from and to."""
    told = []
    for marked in board.marked:
        rows = scene.answers(marked.ask, scene.reader)
        spans = [(float(row["Time"] or 0), float(row["timeEnd"] or 0)) for row in rows]
        told.append((scene.t(marked.said), marked.colour, spans))
    return told


def _tiles(panel: Panel, row: Row, body: tuple[float, ...], scene: Scene) -> Iterator[str]:
    left, top, width, height = body
    names = [name for name in columns_of(panel) if isinstance(row.get(name), int | float)]
    each = (width + TILE_GAP_PX) / len(names)
    tall = panel.at[3] >= TALL
    for place, name in enumerate(names):
        look, value = panel.looks.get(name) or LOOKS[name], row[name]
        fill = scene.colour(look.steps or ((None, BLUE),), float(value or 0))
        x, middle = left + place * each, left + place * each + (each - TILE_GAP_PX) / 2
        number, size = scene.shown(look, value), 44 if tall else 28
        size = min(size, int(0.9 * each / max(1.0, text_px(number, 1))))
        said = scene.t(look.said)
        small = min(17 if tall else 13, int(0.92 * each / max(1.0, text_px(said, 1))))
        yield f'<rect x="{x}" y="{top}" width="{each - TILE_GAP_PX}" height="{height}" rx="3" fill="{fill}"/>'
        ink = INK if fill == ORANGE else PAPER
        yield _text(middle, top + height / 2 - size * 0.42, said, small, ink, "middle")
        yield _text(middle, top + height / 2 + size * 0.72, number, size, ink, "middle", 700)


def _table(panel: Panel, rows: Sequence[Row], body: tuple[float, ...], scene: Scene) -> Iterator[str]:
    left, top, width, height = body
    names = columns_of(panel)
    looks = {name: panel.looks.get(name) or LOOKS[name] for name in names}
    ordered = sorted(rows, key=lambda row: _order(row.get(panel.sort)), reverse=panel.down) if panel.sort else rows
    fits = int((height - LINE_PX) // LINE_PX)
    lines = [[scene.shown(looks[name], row.get(name)) for name in names] for row in ordered[:fits]]
    wants = [
        max([text_px(scene.t(looks[name].said), TEXT_PX), *(text_px(line[place], TEXT_PX) for line in lines)]) + 14
        for place, name in enumerate(names)
    ]
    spare = max(0.0, width - sum(wants)) / len(names)
    shrink = min(1.0, width / sum(wants))
    edges = [left + sum(want * shrink + spare for want in wants[:place]) for place in range(len(names))]
    for place, name in enumerate(names):
        yield _text(edges[place], top + 14, scene.t(looks[name].said), TEXT_PX * shrink, QUIET, weight=600)
    for number, (row, line) in enumerate(zip(ordered, lines, strict=False)):
        y = top + LINE_PX * (number + 1)
        yield f'<line x1="{left}" x2="{left + width}" y1="{y}" y2="{y}" stroke="{RULE}"/>'
        for place, name in enumerate(names):
            value, steps = row.get(name), looks[name].steps
            coloured = steps and isinstance(value, int | float) and not isinstance(value, bool)
            ink = scene.colour(steps, float(value)) if coloured else INK  # type: ignore[arg-type]
            linked = bool(looks[name].to)
            yield _text(
                edges[place],
                y + 15,
                line[place],
                TEXT_PX * shrink,
                BLUE if linked else ink,
                weight=600 if coloured else 400,
            )


def _order(value: Value) -> tuple[int, float, str]:
    if isinstance(value, str) or value is None:
        return (0, 0.0, value or "")
    return (1, float(value), "")


def _nested(number: int, drawn: str, body: tuple[float, ...]) -> str:
    """Return a picture at its place, the names of its parts made its own."""
    for name in ("clip", "gradient"):
        drawn = drawn.replace(f'"{name}', f'"p{number}{name}').replace(f"#{name}", f"#p{number}{name}")
    return drawn.replace("<svg ", f'<svg x="{body[0]}" y="{body[1]}" ', 1)


def _text(x: float, y: float, said: str, size: float, ink: str, anchor: str = "start", weight: int = 400) -> str:
    told = f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:.1f}" fill="{ink}" text-anchor="{anchor}"'
    return f'{told} font-weight="{weight}">{escape(said)}</text>'
