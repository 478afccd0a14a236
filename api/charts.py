"""A room's chart: one specification for Vega, drawn by the browser on the page and by the server for print.

Moments are numbers on a linear axis, and what stands at its ticks is worked out here or in `room.js` from the offsets
of the company's zone: neither the browser's zone nor a change of the clocks moves anything.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

import numpy as np

from api.console.sending import Ready
from api.console.words import Words
from heatwatch.domain.findings import FindingKind
from heatwatch.domain.instants import MINUTE_MS
from heatwatch.domain.local_time import round_moments
from heatwatch.drawing import FILLS, INK, PAPER, QUIET, SCHEMA, TICK_PX, Spec, config, engine, text_px
from heatwatch.records.schema import FindingRow
from heatwatch.stores.readings import Int64
from heatwatch.usecases.room import Counted, Readings, RoomStory, Step

WIDTH, HEIGHT = 960, 360
_LANE, _PITCH, _TOP = 16, 18, 4
_LANES = ("outage", "spell", "silence", "fault")
_PLOT_TOP = _TOP + _PITCH * len(_LANES) + 8
_THIN_FROM = 5000
_SPACED = 400
"""With fewer readings than this each is marked."""
_READING, _TARGET, _COLD = "#0b6e80", QUIET, FILLS[FindingKind.COLD_SPELL]
_BANDS: Mapping[str, tuple[str, str]] = {
    "outage": (FILLS[FindingKind.HEAT_OUTAGE], PAPER),
    "spell": (_COLD, PAPER),
    "unsure": ("#cfcaf3", "#241a63"),
    "silence": (FILLS[FindingKind.DATA_OUTAGE], PAPER),
    "fault": (FILLS[FindingKind.SENSOR_FAULT], PAPER),
}
"""Fill and text of each kind of band: told apart by their places too."""
_TINTS = {"outage": 0.13, "spell": 0.12, "unsure": 0.18, "silence": 0.16, "fault": 0.0}


@dataclass(frozen=True, slots=True)
class Bundle:
    """Vega for browsers, ready to be sent, and the digest of its content."""

    ready: Ready
    digest: str


_making = threading.Lock()


@cache
def _made() -> Bundle:
    with engine() as made:
        code = made.javascript_bundle("export { vegaEmbed };").encode()
    return Bundle(Ready.of(code, "text/javascript; charset=utf-8", level=9), sha256(code).hexdigest()[:16])


def bundle() -> Bundle:
    """Return Vega for browsers; made once in a process, which takes a second or two, while others wait for it."""
    with _making:
        return _made()


def prepare() -> None:
    """Begin to make what a chart will ask for, beside what is done now."""
    if not _made.cache_info().currsize and not _making.locked():
        threading.Thread(target=bundle, name="vega", daemon=True).start()


def room_data(story: RoomStory) -> dict[str, list[dict[str, Any]]]:
    """Return what a room's chart shows: readings, what was asked, bands of what was found; moments in ms.

    Of many readings the lowest and the highest of each short stretch are told, and every stretch is told by both.
    """
    return {
        "readings": list(_readings(story.readings, _shown(story.readings, story.end_ms - story.start_ms))),
        "limits": list(_limits(story.steps, story.end_ms)),
        "bands": list(_bands(story)),
    }


def room_spec(story: RoomStory, words: Words, width: int = WIDTH, *, printed: bool = False) -> Spec:
    """Return a room's chart in Vega-Lite.

    Parameters
    ----------
    story, words
        What it shows, in which language and zone.
    width
        Of the plot [px].
    printed
        Whether it stands alone, with a title and its legend in it.
    """
    data = room_data(story)
    ticks = round_moments(story.start_ms, story.end_ms, words.zone, width // TICK_PX)
    low_c, high_c = _range(data)
    signals = {
        "from": story.start_ms,
        "to": story.end_ms,
        "low": low_c,
        "high": high_c,
        "ticks": ticks,
        "labels": {str(at): tick_label(at, words) for at in ticks},
        "pointed": None,
    }
    return {
        "$schema": SCHEMA,
        "width": width,
        "height": HEIGHT,
        "padding": {"left": 8, "right": 12, "top": 8, "bottom": 4},
        "background": PAPER,
        "datasets": data,
        "params": [{"name": name, "value": value} for name, value in signals.items()],
        "layer": [*_layers(words, spaced=len(data["readings"]) < _SPACED), *(_legend(words) if printed else ())],
        "config": config(),
    } | (_title(story, words) if printed else {})


def tick_label(at_ms: int, words: Words) -> list[str]:
    """Return what stands at a tick: the time, and at midnight the day below it.

    >>> from zoneinfo import ZoneInfo
    >>> tick_label(1764000000000, Words("zh", ZoneInfo("Asia/Shanghai")))
    ['00:00', '11月25日']
    >>> tick_label(1764021600000, Words("en", ZoneInfo("Asia/Shanghai")))
    ['06:00']
    """
    day, _, hour = words.when(at_ms).rpartition(" ")
    return [hour, day] if hour == "00:00" else [hour]


def _shown(readings: Readings, span_ms: int) -> Int64:
    """Return which readings are drawn: valid ones, of many the extremes of each stretch."""
    valid: Int64 = np.flatnonzero(readings.counted == Counted.VALID)
    if len(valid) <= _THIN_FROM:
        return valid
    stretch = readings.time_ms[valid] // max(1, span_ms * 4 // _THIN_FROM)
    order = np.lexsort((readings.temp_c[valid], stretch))
    first = np.flatnonzero(np.diff(stretch[order], prepend=-1) != 0)
    last = np.append(first[1:], len(order)) - 1
    shown: Int64 = valid[np.unique(order[np.concatenate((first, last))])]
    return shown


def _readings(readings: Readings, places: Int64) -> Iterator[dict[str, Any]]:
    """Give the readings as drawn: `s` counts the stretches in which no silence is longer than a reading holds."""
    columns = (readings.time_ms, readings.temp_c, readings.raw_c, readings.minimum_c, readings.target_c)
    valid = np.flatnonzero(readings.counted == Counted.VALID)
    gap = (
        np.diff(readings.time_ms[valid], prepend=readings.time_ms[valid[:1]])
        > readings.holds_ms[np.concatenate((valid[:1], valid[:-1]))]
    )
    stretch = dict(zip(valid.tolist(), np.cumsum(gap).tolist(), strict=True))
    for place in places.tolist():
        at, temp_c, raw_c, minimum_c, target_c = (column[place].item() for column in columns)
        asked = {} if np.isnan(minimum_c) else {"m": minimum_c, "g": target_c}
        yield {"t": at, "c": round(temp_c, 4), "r": raw_c, "s": stretch[place], **asked} | (
            {"v": 1} if readings.violates[place] else {}
        )


def _limits(steps: Sequence[Step], end_ms: int) -> Iterator[dict[str, Any]]:
    """Give what was asked as points of step lines; `s` counts the stretches in which something was."""
    ends = [step.start_ms for step in steps[1:]] + [end_ms]
    stretch = 0
    for step, end in zip(steps, ends, strict=True):
        if step.limit is None:
            stretch += 1
            continue
        for at in (step.start_ms, end):
            yield {"t": at, "m": step.limit.minimum_c, "g": step.limit.target_c, "s": stretch, "rule": step.limit.rule}


def _bands(story: RoomStory) -> Iterator[dict[str, Any]]:
    found: Sequence[tuple[str, Sequence[FindingRow]]] = (
        ("outage", story.outages), ("spell", story.spells), ("silence", story.silences), ("fault", story.faults)
    )  # fmt: skip
    until = min(story.end_ms, max(story.as_of_ms // MINUTE_MS * MINUTE_MS, story.start_ms))
    for kind, rows in found:
        for row in rows:
            sure = row.kind != FindingKind.COLD_SPELL or row.confirmed_ms is not None
            end = until if row.end_ms is None else min(row.end_ms, story.end_ms)
            begin = max(row.start_ms, story.start_ms)
            yield {"a": begin, "b": max(end, begin), "k": kind if sure else "unsure", "id": row.id}


def _range(data: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[float, float]:
    """Return lowest and highest temperature of the axis [degC]: whole ones around all that is drawn."""
    told = [row["c"] for row in data["readings"]]
    told += [row[name] for row in data["limits"] for name in ("m", "g")]
    low, high = (min(told), max(told)) if told else (16.0, 22.0)
    return float(np.floor(low - 0.4)), float(np.ceil(high + 0.4))


_X = {
    "type": "quantitative",
    "scale": {"domain": [{"expr": "from"}, {"expr": "to"}], "nice": False, "zero": False},
    "axis": {
        "values": {"expr": "ticks"},
        "labelExpr": "labels[datum.value]",
        "title": None,
        "grid": True,
        "labelFlush": False,
        "labelOverlap": False,
    },
}


def _x(name: str) -> Spec:
    return {"field": name, **_X}


def _y(name: str, words: Words) -> Spec:
    """Return the axis of temperatures; above `high` it goes on as far as the lanes need room."""
    above = f"low + (high - low) * {HEIGHT / (HEIGHT - _PLOT_TOP)}"
    axis = {
        "title": words.t("chart.axis"),
        "values": {"expr": "sequence(low, high + 0.5, high - low > 30 ? 10 : high - low > 12 ? 2 : 1)"},
        "format": "d",
        "titleAnchor": "start",
    }
    scale = {"domain": [{"expr": "low"}, {"expr": above}], "nice": False, "zero": False}
    return {"field": name, "type": "quantitative", "scale": scale, "axis": axis}


def _layers(words: Words, *, spaced: bool) -> list[Spec]:
    return [
        *(_tint(kind, opacity) for kind, opacity in _TINTS.items() if opacity),
        *(_strip(kind, words) for kind in _BANDS),
        *(_lane_name(number, name, words) for number, name in enumerate(_LANES)),
        _line("limits", "g", words, color=_TARGET, strokeWidth=1.4, strokeDash=[5, 4]),
        _line("readings", "c", words, color=_READING, strokeWidth=1.6, interpolate="linear"),
        *([_dots(words, color=_READING, size=14)] if spaced else ()),
        _line("limits", "m", words, color=INK, strokeWidth=2.8, strokeCap="butt"),
        _dots(words, "datum.v === 1", color=_COLD, size=42, shape="triangle-down"),
        _pointed(),
    ]


def _of(kind: str) -> list[Spec]:
    return [{"filter": f"datum.k === '{kind}'"}]


def _tint(kind: str, opacity: float) -> Spec:
    return {
        "data": {"name": "bands"},
        "transform": _of(kind),
        "mark": {"type": "rect", "clip": True, "color": _BANDS[kind][0], "opacity": opacity},
        "encoding": {"x": _x("a"), "x2": {"field": "b"}, "y": {"value": _PLOT_TOP - 6}, "y2": {"value": HEIGHT}},
    }


def _strip(kind: str, words: Words) -> Spec:
    """Return the bands of a kind in their lane, each with its name where that has room."""
    top = _TOP + _PITCH * _LANES.index("spell" if kind == "unsure" else kind)
    fill, ink = _BANDS[kind]
    name = words.t_of("chart.band", kind)
    left, right = "max(scale('x', datum.a), 0)", "min(scale('x', datum.b), width)"
    roomy = f"{right} - {left} > {text_px(name, 11) + 8:.0f} ? 1 : 0"
    return {
        "data": {"name": "bands"},
        "transform": _of(kind),
        "encoding": {"x": _x("a")},
        "layer": [
            {
                "mark": {"type": "rect", "clip": True, "color": fill, "stroke": fill, "strokeWidth": 1},
                "encoding": {"x2": {"field": "b"}, "y": {"value": top}, "y2": {"value": top + _LANE}},
            },
            {
                "mark": {
                    "type": "text", "clip": True, "text": name, "align": "left", "baseline": "middle", "color": ink,
                    "fontSize": 11, "opacity": {"expr": roomy}, "x": {"expr": f"{left} + 4"}, "y": top + _LANE / 2,
                },
                "encoding": {"x": None},
            },
        ],
    }  # fmt: skip


def _lane_name(number: int, name: str, words: Words) -> Spec:
    middle = _TOP + _PITCH * number + _LANE / 2
    text = {
        "type": "text", "text": words.t_of("chart.lane", name), "align": "right", "baseline": "middle",
        "fontSize": 12, "color": QUIET, "x": -8, "y": middle,
    }  # fmt: skip
    return {"data": {"values": [{}]}, "mark": text, "encoding": {}}


def _line(data: str, name: str, words: Words, **look: Any) -> Spec:
    return {
        "data": {"name": data},
        "mark": {"type": "line", "clip": True, "interpolate": "step-after", **look},
        "encoding": {"x": _x("t"), "y": _y(name, words), "detail": {"field": "s"}, "order": {"field": "t"}},
    }


def _dots(words: Words, only: str = "true", **look: Any) -> Spec:
    return {
        "data": {"name": "readings"},
        "transform": [{"filter": only}],
        "mark": {"type": "point", "filled": True, "clip": True, "opacity": 1, **look},
        "encoding": {"x": _x("t"), "y": _y("c", words)},
    }


def _pointed() -> Spec:
    """Return the line under the pointer; `room.js` says where."""
    here = {"expr": "pointed === null ? -9 : scale('x', pointed)"}
    return {
        "data": {"values": [{}]},
        "mark": {"type": "rule", "clip": True, "color": INK, "strokeWidth": 1.2, "strokeDash": [3, 2]},
        "encoding": {"x": {"value": here}, "y": {"value": _PLOT_TOP - 6}, "y2": {"value": HEIGHT}},
    }


def _legend(words: Words) -> Iterator[Spec]:
    """Give the lines' names above the chart, each after a piece of the line."""
    left = 0.0
    looks: tuple[tuple[str, Spec], ...] = (
        ("reading", {"color": _READING, "strokeWidth": 2}),
        ("minimum", {"color": INK, "strokeWidth": 2.8}),
        ("target", {"color": _TARGET, "strokeWidth": 1.4, "strokeDash": [5, 4]}),
        ("violation", {"color": _COLD, "strokeWidth": 7}),
    )
    for name, look in looks:
        text = words.t_of("chart.legend", name)
        long = 3.5 if name == "violation" else 11
        across = {"x": {"value": left + 11 - long}, "x2": {"value": left + 11 + long}, "y": {"value": -16}}
        said = {"type": "text", "text": text, "x": left + 28, "y": -16, "align": "left", "baseline": "middle"}
        yield {"data": {"values": [{}]}, "mark": {"type": "rule", **look}, "encoding": across}
        yield {"data": {"values": [{}]}, "mark": said | {"fontSize": 12, "color": INK}, "encoding": {}}
        left += 28 + text_px(text, 12) + 24


def _title(story: RoomStory, words: Words) -> Spec:
    row = story.row
    text = words.t("chart.title", room=row.room, building=row.building_id, station=row.station_id)
    during = words.t("chart.window", start=words.when(story.start_ms), end=words.when(story.end_ms))
    return {"title": {"text": text, "subtitle": f"{during} ({words.zone.key})", "anchor": "start", "offset": 34}}
