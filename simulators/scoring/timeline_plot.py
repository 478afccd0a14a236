"""A picture of what is true above what was found, subject by subject on one axis of local time.

What both sides have is full; what only one has is hollow, dashed and crossed out: it tells itself apart without colour.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np

from heatwatch.domain.findings import FindingKind
from heatwatch.domain.instants import DAY_MS, MINUTE_MS, from_ms
from heatwatch.domain.local_time import round_moments
from heatwatch.drawing import FILLS, INK, PAPER, QUIET, SCHEMA, TICK_PX, Spec, config, text_px
from simulators.arrays import Int64
from simulators.scoring.agreement import Agreement, Side

Language = Literal["zh", "en"]

WIDTH = 860
_ROW, _BAR, _HEADING = 38, 13, 30
_CROSS = "M-1,-1L1,1M1,-1L-1,1"
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_WORDS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "title": "What is true, and what was found",
        "worst": "the {shown} of {all} subjects with most wrong hours",
        "every": "{all} subjects",
        "true": "true",
        "found": "found",
        "both": "in both",
        "one": "missed, or a false alarm",
        "short": "too short to count",
        "as_of": "as of",
        "none": "nothing is true and nothing was found",
        FindingKind.COLD_SPELL: "Cold spells",
        FindingKind.HEAT_OUTAGE: "Heat outages",
        FindingKind.DATA_OUTAGE: "Data outages",
        FindingKind.SENSOR_FAULT: "Sensor faults",
        "point": "point",
        "building": "building",
        "station": "station",
    },
    "zh": {
        "title": "真实情况与判定结果",
        "worst": "偏差小时数最多的{shown}个对象（共{all}个）",
        "every": "共{all}个对象",
        "true": "真实",
        "found": "判定",
        "both": "两者一致",
        "one": "漏报或误报",
        "short": "时长不足，不计",
        "as_of": "截至",
        "none": "既无真实事件，也无判定结果",
        FindingKind.COLD_SPELL: "室温不达标",
        FindingKind.HEAT_OUTAGE: "停热",
        FindingKind.DATA_OUTAGE: "数据中断",
        FindingKind.SENSOR_FAULT: "测温设备故障",
        "point": "测点",
        "building": "楼栋",
        "station": "热力站",
    },
}


@dataclass(frozen=True, slots=True)
class Line:
    """One subject of one kind: its intervals on either side."""

    kind: FindingKind
    subject: int
    name: tuple[str, str, str]
    wrong_ms: int
    unmatched: int


def worst_lines(agreements: Mapping[FindingKind, Agreement], most: int) -> tuple[list[Line], int]:
    """Return the subjects that are most wrong, by kind and then the worst first, and of how many.

    How wrong: the time that only one side has [ms]; where that is the same, the intervals that have no partner. What
    is too short to be demanded is not wrong.
    """
    every = [line for kind, one in agreements.items() for line in _lines(kind, one)]
    kinds = list(agreements)
    every.sort(key=lambda line: (-line.wrong_ms, -line.unmatched, kinds.index(line.kind), line.name))
    shown = sorted(every[:most], key=lambda line: kinds.index(line.kind))
    return shown, len(every)


def timeline_spec(
    agreements: Mapping[FindingKind, Agreement],
    as_of_ms: int,
    zone: ZoneInfo,
    *,
    language: Language = "en",
    most: int = 20,
) -> Spec:
    """Return the picture in Vega-Lite.

    Parameters
    ----------
    agreements
        The scored kinds.
    as_of_ms
        Where open intervals end [ms].
    zone
        Whose local time stands at the axis.
    language
        Of the words: Chinese or English.
    most
        How many subjects are shown, the worst ones.
    """
    words = _WORDS[language]
    lines, of_all = worst_lines(agreements, most)
    tops = _tops(lines)
    bars = [bar for line, top in zip(lines, tops, strict=True) for bar in _bars(agreements[line.kind], line, top)]
    start_ms, end_ms = _window(bars, as_of_ms)
    told = words["worst" if len(lines) < of_all else "every"].format(shown=len(lines), all=of_all)
    subtitle = f"{told} · {_moment(start_ms, zone)} – {_moment(end_ms, zone)} ({zone.key})" if lines else words["none"]
    return {
        "$schema": SCHEMA,
        "width": WIDTH,
        "height": (tops[-1] if tops else 0) + _ROW,
        "padding": {"left": 8, "right": 16, "top": 8, "bottom": 4},
        "background": PAPER,
        "title": {"text": words["title"], "subtitle": subtitle, "anchor": "start", "offset": 30},
        "layer": [
            *_marks(bars, _axis(start_ms, end_ms, zone, language)),
            *_names(lines, tops, words),
            *_now(as_of_ms, (start_ms, end_ms), words),
            *_legend(words),
        ],
        "config": config(),
    }


def tick_label(at_ms: int, zone: ZoneInfo, language: Language) -> list[str]:
    """Return what stands at a tick: the time, and at midnight the day below it.

    >>> tick_label(1764000000000, ZoneInfo("Asia/Shanghai"), "zh")
    ['00:00', '11月25日']
    >>> tick_label(1764021600000, ZoneInfo("Asia/Shanghai"), "en")
    ['06:00']
    """
    local = from_ms(at_ms).astimezone(zone)
    hour = f"{local:%H:%M}"
    day = f"{local.month}月{local.day}日" if language == "zh" else f"{local.day} {_MONTHS[local.month - 1]}"
    return [hour, day] if hour == "00:00" else [hour]


def _lines(kind: FindingKind, one: Agreement) -> Iterator[Line]:
    """Give a line for each subject that has any interval."""
    subjects = len(one.subjects)
    wrong_ms, unmatched, count = (np.zeros(subjects, dtype=np.int64) for _ in range(3))
    for side in (one.truth, one.found):
        owner, asked = side.spans.subject, side.demanded
        np.add.at(wrong_ms, owner[asked], (side.spans.length_ms - side.covered_ms)[asked])
        np.add.at(unmatched, owner[asked & ~side.matched], 1)
        np.add.at(count, owner, 1)
    for subject in np.flatnonzero(count).tolist():
        kind_of, name, fault = one.subjects.iloc[subject].tolist()
        yield Line(kind, subject, (kind_of, name, fault), int(wrong_ms[subject]), int(unmatched[subject]))


def _tops(lines: Sequence[Line]) -> list[int]:
    """Return where each line begins, a heading above the first of each kind [px]."""
    tops, at = [], 0
    for number in range(len(lines)):
        at += _HEADING if _begins(lines, number) else 0
        tops.append(at)
        at += _ROW
    return tops


def _begins(lines: Sequence[Line], number: int) -> bool:
    return number == 0 or lines[number].kind is not lines[number - 1].kind


def _bars(one: Agreement, line: Line, top: int) -> Iterator[Spec]:
    for number, side in enumerate((one.truth, one.found)):
        above = top + 4 + number * (_BAR + 3)
        for place in _places(side, line.subject):
            looks = "both" if side.matched[place] else "one" if side.demanded[place] else "short"
            yield {
                "a": int(side.spans.start_ms[place]),
                "b": int(side.spans.end_ms[place]),
                "y": above,
                "y2": above + _BAR,
                "m": above + _BAR / 2,
                "c": FILLS[line.kind],
                "looks": looks,
            }


def _places(side: Side, subject: int) -> Int64:
    first, last = np.searchsorted(side.spans.subject, [subject, subject + 1])
    return np.arange(first, last, dtype=np.int64)


def _window(bars: Sequence[Spec], as_of_ms: int) -> tuple[int, int]:
    """Return from when to when the picture goes, with a little room on either side [ms]."""
    start_ms = min((bar["a"] for bar in bars), default=as_of_ms - DAY_MS)
    end_ms = max((bar["b"] for bar in bars), default=as_of_ms)
    room_ms = max((end_ms - start_ms) // 40, 10 * MINUTE_MS)
    return start_ms - room_ms, end_ms + room_ms


def _axis(start_ms: int, end_ms: int, zone: ZoneInfo, language: Language) -> Spec:
    ticks = round_moments(start_ms, end_ms, zone, WIDTH // TICK_PX)
    labels = {str(at): tick_label(at, zone, language) for at in ticks}
    return {
        "type": "quantitative",
        "scale": {"domain": [start_ms, end_ms], "nice": False, "zero": False},
        "axis": {
            "values": ticks,
            "labelExpr": f"({json.dumps(labels, ensure_ascii=False)})[datum.value]",
            "title": None,
            "grid": True,
            "labelFlush": False,
            "labelOverlap": False,
        },
    }


def _marks(bars: Sequence[Spec], axis: Spec) -> Iterator[Spec]:
    """Give the bars of each look, and a cross on each that only one side has."""
    y, y2 = ({"field": name, "type": "quantitative", "scale": None, "axis": None} for name in ("y", "y2"))
    across = {"x": {"field": "a", **axis}, "x2": {"field": "b"}, "y": y, "y2": {"field": y2["field"]}}
    colour = {"field": "c", "type": "nominal", "scale": None, "legend": None}
    for name, look in _LOOKS.items():
        some = [bar for bar in bars if bar["looks"] == name]
        hue = {"stroke": colour} if name == "one" else {"fill": colour, "stroke": colour}
        yield {"data": {"values": some}, "mark": {"type": "rect", **look}, "encoding": across | hue}
    crossed = [bar | {"x": (bar["a"] + bar["b"]) / 2} for bar in bars if bar["looks"] == "one"]
    middle = {"field": "m", "type": "quantitative", "scale": None, "axis": None}
    yield {
        "data": {"values": crossed},
        "mark": _CROSSED,
        "encoding": {"x": {"field": "x", **axis}, "y": middle},
    }


_LOOKS: Mapping[str, Spec] = {
    "both": {"strokeWidth": 1},
    "one": {"fill": PAPER, "strokeWidth": 1.6, "strokeDash": [4, 2]},
    "short": {"fillOpacity": 0.25, "strokeWidth": 0.8, "strokeOpacity": 0.6},
}
_CROSSED: Spec = {
    "type": "point", "shape": _CROSS, "size": 30, "stroke": INK, "strokeWidth": 1.8, "filled": False, "opacity": 1,
}  # fmt: skip


def _names(lines: Sequence[Line], tops: Sequence[int], words: Mapping[str, str]) -> Iterator[Spec]:
    """Give the headings of the kinds, the names of the subjects, and what is above and what below."""
    for number, (line, top) in enumerate(zip(lines, tops, strict=True)):
        if _begins(lines, number):
            heading = {"fontSize": 13, "fontWeight": "bold", "color": FILLS[line.kind], "align": "left"}
            yield _text(words[line.kind], 0, top - 10, **heading)
        kind, name, fault = line.name
        yield _text(" ".join(part for part in (words[kind], name, fault) if part), -48, top + _ROW / 2)
        for side, middle in (("true", top + 4 + _BAR / 2), ("found", top + 7 + 1.5 * _BAR)):
            yield _text(words[side], -8, middle, fontSize=10, color=QUIET)


def _now(as_of_ms: int, window: tuple[int, int], words: Mapping[str, str]) -> Iterator[Spec]:
    """Give the line at as_of, where it is in the picture."""
    start_ms, end_ms = window
    if not start_ms <= as_of_ms <= end_ms:
        return
    x = (as_of_ms - start_ms) / (end_ms - start_ms) * WIDTH
    mark = {"type": "rule", "color": QUIET, "strokeWidth": 1.2, "strokeDash": [2, 3]}
    yield {"data": {"values": [{}]}, "mark": mark, "encoding": {"x": {"value": x}}}
    yield _text(words["as_of"], x, -8, fontSize=11, color=QUIET, align="center")


def _legend(words: Mapping[str, str]) -> Iterator[Spec]:
    """Give the looks with their meaning, above the picture."""
    left = 0.0
    for name, look in _LOOKS.items():
        shown = {"fill": QUIET} | look
        box = {"x": {"value": left}, "x2": {"value": left + 26}, "y": {"value": -32}, "y2": {"value": -32 + _BAR}}
        yield {"data": {"values": [{}]}, "mark": {"type": "rect", "stroke": QUIET, **shown}, "encoding": box}
        if name == "one":
            at = {"x": {"value": left + 13}, "y": {"value": -32 + _BAR / 2}}
            yield {"data": {"values": [{}]}, "mark": _CROSSED, "encoding": at}
        yield _text(words[name], left + 33, -32 + _BAR / 2, align="left")
        left += 33 + text_px(words[name], 12) + 24


def _text(text: str, x: float, y: float, **look: Any) -> Spec:
    """Return a text at a place of the picture [px]; right-aligned unless told."""
    mark = {"type": "text", "text": text, "align": "right", "baseline": "middle", "fontSize": 12, "color": INK}
    return {"data": {"values": [{}]}, "mark": mark | look | {"x": x, "y": y}, "encoding": {}}


def _moment(ms: int, zone: ZoneInfo) -> str:
    return f"{from_ms(ms).astimezone(zone):%Y-%m-%d %H:%M}"
