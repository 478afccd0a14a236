"""One picture: readings of rooms, what was asked of them, and a band for each finding, in Vega-Lite."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics.judge import Findings
from heatwatch.domain.findings import FindingKind
from heatwatch.drawing import AXIS, FILLS, INK, PAPER, QUIET, SCHEMA, Spec, config

Float64 = NDArray[np.float64]

_WIDTH, _HEIGHT, _LANE_PX, _LABEL_PX = 860, 300, 20, 11
_LINE, _BAD, _LIMIT = "#0b6e80", "#c4122f", "#52606d"
_HOLD_H = 2.0
_DAY_H, _MOST_BY_HOURS = 24, 48


@dataclass(frozen=True, slots=True)
class Room:
    """Readings of one point: hours since the picture's first midnight, and temperatures [degC]; shape (n,)."""

    point_id: str
    hour: Float64
    temp_c: Float64

    def where(self, heard: NDArray[np.bool_]) -> Room:
        """Return the readings that were heard."""
        return Room(self.point_id, self.hour[heard], self.temp_c[heard])


@dataclass(frozen=True, slots=True)
class Note:
    """A word at a moment [h] and a temperature [degC] of the picture."""

    hour: float
    temp_c: float
    said: str
    align: str = "left"


@dataclass(frozen=True, slots=True)
class Panel:
    """What a picture shows.

    Attributes
    ----------
    title, said
        What it is called, and what it shows.
    rooms, found
        The readings, and what judging them gave.
    midnight
        Where its hours begin.
    span_h, step_h
        From where to where it goes, and how far apart its ticks are [h].
    notes
        Words in it.
    limits
        Whether what R1 and R2 ask of an apartment is drawn, and what violates it is red.
    dots
        Whether each reading is marked.
    """

    title: str
    said: str
    rooms: Sequence[Room]
    found: Findings
    midnight: pd.Timestamp
    span_h: tuple[float, float]
    step_h: float = 2.0
    notes: Sequence[Note] = ()
    limits: bool = True
    dots: bool = True


def picture(*panels: Panel) -> Spec:
    """Return panels, one under the other, in Vega-Lite."""
    return {
        "$schema": SCHEMA,
        "background": PAPER,
        "vconcat": [_drawn(panel) for panel in panels],
        "spacing": 26,
        "config": config(),
    }


def minimum_c(hour: float) -> float:
    """Return what R1 and R2 ask of an apartment at an hour since a midnight [degC].

    >>> minimum_c(6.0), minimum_c(21.0)
    (18.0, 16.0)
    """
    return 18.0 if 6 <= hour % _DAY_H < 21 else 16.0  # noqa: PLR2004 - R1's hours


def _drawn(panel: Panel) -> Spec:
    plot: Spec = {"width": _WIDTH, "height": _HEIGHT, "layer": list(_layers(panel))}
    bands = _bands(panel)
    lanes = list(dict.fromkeys(str(band["lane"]) for band in bands))
    return {
        "title": {"text": panel.title, "subtitle": panel.said, "anchor": "start"},
        "vconcat": [plot, _lanes(panel, bands, lanes)] if lanes else [plot],
        "spacing": 6,
    }


def _layers(panel: Panel) -> list[Spec]:
    x, y = _x(panel, "hour"), _y("temp_c")
    line: Spec = {
        "mark": {"type": "line", "strokeWidth": 1.1, "color": _LINE, "opacity": 0.8, "clip": True},
        "encoding": {"x": x, "y": y, "detail": {"field": "stretch"}},
    }
    cold = {"condition": {"test": "datum.cold", "value": _BAD}, "value": _LINE} if panel.limits else {"value": _LINE}
    marks: Spec = {
        "mark": {"type": "point", "filled": True, "size": 16, "opacity": 1, "clip": True},
        "encoding": {"x": x, "y": y, "color": cold},
    }
    readings: Spec = {"data": {"values": _readings(panel)}, "layer": [line, marks] if panel.dots else [line]}
    asked: Spec = {
        "data": {"values": _asked(panel.span_h)},
        "mark": {"type": "rule", "strokeWidth": 1.6, "color": _LIMIT, "strokeDash": [5, 3]},
        "encoding": {"x": _x(panel, "from"), "x2": {"field": "to"}, "y": _y("limit")},
    }
    notes = [{"hour": n.hour, "temp_c": n.temp_c, "said": n.said, "align": n.align} for n in panel.notes]
    words: Spec = {
        "data": {"values": notes},
        "mark": {"type": "text", "fontSize": _LABEL_PX, "color": INK, "align": {"expr": "datum.align"}, "dx": 5},
        "encoding": {"x": x, "y": y, "text": {"field": "said"}},
    }
    return [*([asked] if panel.limits else []), readings, words]


def _readings(panel: Panel) -> list[dict[str, object]]:
    """Return the readings of the span, each with its stretch: no line is drawn over a silence."""
    return [
        {"hour": hour, "temp_c": temp_c, "stretch": f"{room.point_id} {stretch}", "cold": temp_c < minimum_c(hour)}
        for room in panel.rooms
        for hour, temp_c, stretch in zip(room.hour.tolist(), room.temp_c.tolist(), _stretches(room.hour), strict=True)
        if panel.span_h[0] <= hour <= panel.span_h[1]
    ]


def _stretches(hour: Float64) -> Sequence[int]:
    stretches: list[int] = np.cumsum(np.diff(hour, prepend=hour[0]) > _HOLD_H).tolist()
    return stretches


def _asked(span_h: tuple[float, float]) -> list[dict[str, float]]:
    """Return what is asked over the span, a row for each stretch of the day."""
    days = range(int(span_h[1] // _DAY_H) + 1)
    edges = {_DAY_H * day + hour for day in days for hour in (6.0, 21.0)}
    inside = sorted({span_h[0], *(hour for hour in edges if span_h[0] < hour < span_h[1]), span_h[1]})
    return [{"from": start, "to": end, "limit": minimum_c(start)} for start, end in pairwise(inside)]


def _bands(panel: Panel) -> list[dict[str, object]]:
    """Return every finding as a band: its lane, from where to where, and the word on it."""
    bands: list[dict[str, object]] = []
    for kind in FindingKind:
        rows = panel.found.frames[kind].to_dict("records")
        several = len({_subject(row) for row in rows}) > 1
        for row in rows:
            start_h = _hour(panel, row["start"])
            end_h = panel.span_h[1] if pd.isna(row["end"]) else _hour(panel, row["end"])
            if end_h < panel.span_h[0] or start_h > panel.span_h[1]:
                continue
            said = str(row.get("kind") or row.get("end_reason") or row.get("evidence") or "")
            lane = str(kind).replace("_", " ") + (f": {_subject(row)}" if several else "")
            told = f"{said} (open)".strip() if row["open"] else said
            bands.append({"lane": lane, "from": start_h, "to": end_h, "said": told, "fill": FILLS[kind]})
    return bands


def _subject(row: Mapping[Hashable, object]) -> str:
    return str(row.get("point_id") or row.get("subject_id"))


def _hour(panel: Panel, stamp: pd.Timestamp) -> float:
    return float((stamp - panel.midnight) / pd.Timedelta(hours=1))


def _lanes(panel: Panel, bands: Sequence[Mapping[str, object]], lanes: Sequence[str]) -> Spec:
    axis = {"domain": False, "ticks": False, "labelColor": QUIET, "gridColor": AXIS, "labelLimit": 260}
    y = {"field": "lane", "type": "nominal", "title": None, "scale": {"domain": list(lanes)}, "axis": axis}
    x = {**_x(panel, "from"), "axis": None}
    bar: Spec = {
        "mark": {"type": "bar", "height": _LANE_PX - 5, "cornerRadius": 2},
        "encoding": {
            "x": x,
            "x2": {"field": "to"},
            "y": y,
            "color": {"field": "fill", "type": "nominal", "scale": None},
        },
    }
    text: Spec = {
        "mark": {"type": "text", "align": "left", "dx": 5, "fontSize": _LABEL_PX, "color": PAPER, "clip": True},
        "encoding": {"x": x, "y": y, "text": {"field": "said"}},
    }
    return {"width": _WIDTH, "height": _LANE_PX * len(lanes), "data": {"values": list(bands)}, "layer": [bar, text]}


def _x(panel: Panel, field: str) -> Spec:
    start_h, end_h = panel.span_h
    clock = "pad(floor(datum.value % 24), 2, '0', 'left') + ':' + pad(round((datum.value % 1) * 60), 2, '0', 'left')"
    label = clock if end_h - start_h <= _MOST_BY_HOURS else "'day ' + floor(datum.value / 24 + 1)"
    ticks = np.arange(start_h, end_h + 1e-9, panel.step_h).tolist()
    axis = {"values": ticks, "labelExpr": label, "title": None, "grid": False}
    scale = {"domain": [start_h, end_h], "clamp": True}
    return {"field": field, "type": "quantitative", "axis": axis, "scale": scale}


def _y(field: str) -> Spec:
    return {"field": field, "type": "quantitative", "title": "°C", "scale": {"zero": False, "nice": True}}
