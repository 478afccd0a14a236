"""Curves and lanes of a panel, in Vega-Lite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from dashboards.boards.layout import Asked, Panel, Style
from dashboards.looks import BLUE, CELSIUS, GREEN, GREY, ORANGE, PALE, PERCENT, PURPLE, SKY, VERMILION
from dashboards.pictures.asking import Row
from dashboards.queries.asking import TIME, Curve, Every
from heatwatch.domain.instants import DAY_MS, HOUR_MS, from_ms
from heatwatch.domain.local_time import round_moments
from heatwatch.drawing import INK, PAPER, SCHEMA, Spec, config, svg

if TYPE_CHECKING:
    from dashboards.pictures.drawing import Scene

PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, GREY, INK)
LANE_TEXT_PX, SOME_CELLS, TICK_PX = 10, 50, 80
MANY_LINES = 16
_GAPS = 2.5
"""A line is broken where nothing was measured for so many steps."""
FILLED = {Style.BARS, Style.POINTS}
_SYMBOLS: dict[bool, Spec] = {False: {"symbolType": "stroke", "symbolStrokeWidth": 3}, True: {"symbolType": "square"}}
Marks = Sequence[tuple[str, str, Sequence[tuple[float, float]]]]


@dataclass(frozen=True, slots=True)
class Axis:
    """The axis of times, and colours by value."""

    from_ms: int
    to_ms: int
    step_ms: int
    zone: ZoneInfo
    scene: Scene

    @classmethod
    def of(cls, scene: Scene, panel: Panel) -> Axis:
        """Return that of a panel."""
        reader = scene.of(panel)
        return cls(reader.from_ms, reader.to_ms, reader.step_s * 1000, ZoneInfo(scene.settings.timezone), scene)

    def x(self, name: str, width: float) -> Spec:
        """Return an encoding; ticks stand at round local times."""
        ticks = round_moments(self.from_ms, self.to_ms, self.zone, max(2, int(width // TICK_PX)))
        labels = {str(at): self._label(at) for at in ticks}
        axis = {
            "values": ticks,
            "labelExpr": f"({labels!r})[datum.value]",
            "title": None,
            "grid": True,
            "labelOverlap": False,
        }
        scale = {"domain": [self.from_ms, self.to_ms], "nice": False, "zero": False}
        return {"field": name, "type": "quantitative", "axis": axis, "scale": scale}

    def _label(self, at_ms: int) -> str:
        local = from_ms(at_ms).astimezone(self.zone)
        return f"{local:%m-%d}" if (local.hour, local.minute) == (0, 0) else f"{local:%H:%M}"


def curves(panel: Panel, rows: Sequence[Sequence[Row]], marks: Marks, size: tuple[float, ...], axis: Axis) -> str:
    """Return the curves of a panel as SVG."""
    lines = [each for asked, of in zip(panel.asked, rows, strict=True) for each in _told(asked, of, panel, axis)]
    shown = [each for each in lines if axis.from_ms <= each["at"] <= axis.to_ms]
    x, y, colour = (
        axis.x("at", size[0]),
        _y(panel),
        _colour(panel, list(dict.fromkeys(each["line"] for each in lines)), axis),
    )
    layers = [*_shaded(marks, axis, size[0]), *_limit_lines(panel, axis)]
    layers += [_layer(style, x, y, colour) for style in dict.fromkeys(each["style"] for each in lines)]
    return svg(_spec(layers, shown, size))


def _y(panel: Panel) -> Spec:
    unit = {CELSIUS: "℃", PERCENT: "%"}.get(panel.unit, panel.unit)
    axis: Spec = {
        "title": unit or None,
        "titleAngle": 0,
        "titleAlign": "left",
        "titleY": -6,
        "titleX": -18,
        "tickCount": 5,
    }
    scale: Spec = {"zero": False, "nice": True, "padding": 6} if panel.unit else {"domainMin": 0, "nice": True}
    if panel.unit == PERCENT:
        scale = {"zero": False, "domainMax": 100, "nice": True}
    if panel.decimals == 0:
        axis |= {"tickMinStep": 1, "format": "d"}
    return {"field": "value", "type": "quantitative", "axis": axis, "scale": scale}


def _colour(panel: Panel, names: list[str], axis: Axis) -> Spec:
    fixed = {axis.scene.t(asked.said): asked.colour for asked in panel.asked if asked.said and asked.colour}
    palette = cycle(PALETTE)
    legend = {"title": None, "orient": "bottom", "labelFontSize": 11, **_SYMBOLS[panel.asked[0].style in FILLED]}
    if panel.label:
        legend |= {"orient": "right", "columns": 1 + (len(names) > MANY_LINES)}
    scale = {"domain": names, "range": [fixed.get(name) or next(palette) for name in names]}
    return {"field": "line", "type": "nominal", "legend": legend, "sort": None, "scale": scale}


def _told(asked: Asked, rows: Sequence[Row], panel: Panel, axis: Axis) -> Iterator[dict[str, Any]]:
    """Give the values of lines, broken where nothing was measured for a while."""
    by = getattr(asked.ask, "by", ())
    daily = isinstance(asked.ask, Curve) and asked.ask.every is Every.DAY
    gap_ms = _GAPS * max(axis.step_ms, DAY_MS if daily else HOUR_MS)
    before: dict[str, float] = {}
    piece: Counter[str] = Counter()
    for row in sorted(rows, key=_when):
        value = next((row[name] for name in row if name not in {TIME, *by}), None)
        if value is None:
            continue
        name, at = _name(asked, row, panel, axis), _when(row)
        piece[name] += asked.style not in {Style.LIMIT, Style.TARGET} and at - before.get(name, at) > gap_ms
        before[name] = at
        yield {"line": name, "at": at, "value": value, "style": asked.style.value, "piece": f"{name}{piece[name]}"}


def _when(row: Row) -> float:
    return float(row[TIME] or 0)


def _name(asked: Asked, row: Row, panel: Panel, axis: Axis) -> str:
    name = axis.scene.t(asked.said) if asked.said else str(row.get(panel.label) or "—")
    return axis.scene.t(panel.words[name]) if panel.words and name in panel.words else name


def _layer(style: str, x: Spec, y: Spec, colour: Spec) -> Spec:
    marks: dict[str, Spec] = {
        Style.LINE: {"type": "line", "strokeWidth": 2},
        Style.THIN: {"type": "line", "strokeWidth": 1.2},
        Style.LIMIT: {"type": "line", "strokeWidth": 2, "interpolate": "step-after", "strokeDash": [8, 5]},
        Style.TARGET: {"type": "line", "strokeWidth": 1.2, "interpolate": "step-after", "strokeDash": [2, 4]},
        Style.BARS: {"type": "bar", "width": 10},
        Style.POINTS: {"type": "point", "filled": True, "size": 14},
    }
    encoding: Spec = {"x": x, "y": y, "color": colour, "detail": {"field": "piece"}}
    return {
        "transform": [{"filter": f"datum.style === '{style}'"}],
        "mark": {**marks[style], "clip": True},
        "encoding": encoding,
    }


def _shaded(marks: Marks, axis: Axis, width: float) -> Iterator[Spec]:
    for _, colour, spans in marks:
        values = [{"a": max(start, axis.from_ms), "b": min(end, axis.to_ms)} for start, end in spans]
        if values:
            yield {
                "data": {"values": values},
                "mark": {"type": "rect", "color": colour, "opacity": 0.16},
                "encoding": {"x": axis.x("a", width), "x2": {"field": "b"}},
            }


def _limit_lines(panel: Panel, axis: Axis) -> Iterator[Spec]:
    if panel.lines:
        limits = axis.scene.settings.limits
        for value, colour in ((limits.lowest_c, ORANGE), (limits.highest_c, BLUE)):
            rule: Spec = {"type": "rule", "color": colour, "strokeDash": [6, 4], "strokeWidth": 1.5}
            yield {
                "data": {"values": [{"value": value}]},
                "mark": rule,
                "encoding": {"y": {"field": "value", "type": "quantitative"}},
            }


def lanes(panel: Panel, rows: Sequence[Row], size: tuple[float, ...], axis: Axis) -> str:
    """Return the lanes of a panel as SVG: a row for each line, a cell for each step."""
    told = []
    for row in rows:
        value = float(next(row[name] for name in row if name not in {TIME, panel.label}) or 0)
        at = float(row[TIME] or 0)
        fill = axis.scene.colour(panel.steps, value)
        told.append({"lane": row.get(panel.label), "a": at, "b": at + axis.step_ms, "value": value, "fill": fill})
    cells = (axis.to_ms - axis.from_ms) / axis.step_ms
    lane = {"field": "lane", "type": "nominal", "axis": {"title": None, "grid": False}, "sort": None}
    base = {"x": axis.x("a", size[0]), "y": {**lane, "scale": {"padding": 0.08}}}
    filled: Spec = {"field": "fill", "type": "nominal", "scale": None}
    layers: list[Spec] = [
        {
            "mark": {"type": "rect", "stroke": PAPER, "strokeWidth": 0.6},
            "encoding": {**base, "x2": {"field": "b"}, "color": filled},
        }
    ]
    if cells <= SOME_CELLS:
        inked = {
            "condition": {"test": f"indexof({[ORANGE, SKY, PALE]}, datum.fill) >= 0", "value": INK},
            "value": PAPER,
        }
        number = {"field": "value", "type": "quantitative", "format": f".{panel.decimals or 0}f"}
        middle = {"calculate": f"datum.a + {axis.step_ms / 2}", "as": "a"}
        text: Spec = {"mark": {"type": "text", "fontSize": LANE_TEXT_PX - 1}, "transform": [middle]}
        layers.append({**text, "encoding": {**base, "text": number, "color": inked}})
    return svg(_spec(layers, told, size))


def _spec(layers: Sequence[Spec], values: Sequence[object], size: tuple[float, ...]) -> Spec:
    return {
        "$schema": SCHEMA,
        "width": size[0],
        "height": size[1],
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": 4,
        "background": PAPER,
        "data": {"values": list(values)},
        "layer": list(layers),
        "config": config(),
    }
