"""What a query should answer, reckoned in plain Python from the points as they were written."""

from __future__ import annotations

import math
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import singledispatch
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from dashboards.pictures.asking import Reader, Row, Value
from dashboards.queries.asking import (
    TIME,
    Ask,
    Choice,
    Column,
    Curve,
    Either,
    Ended,
    Every,
    Floor,
    Fn,
    Is,
    Latest,
    Made,
    Number,
    Op,
    Rows,
    Since,
    Sums,
    Term,
    Until,
)
from tests.dashboards.scenario import HOUR_MS, Point

VALUE = "value"
_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
}  # fmt: skip
_RECKONED: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
}  # fmt: skip
_MADE: Mapping[Fn, Callable[[Sequence[float]], float]] = {
    Fn.SUM: sum, Fn.COUNT: len, Fn.MIN: min, Fn.MAX: max, Fn.LAST: lambda all_: all_[-1],
    Fn.MEAN: lambda all_: sum(all_) / len(all_),
}  # fmt: skip


@singledispatch
def answer(ask: Ask, points: Iterable[Point], reader: Reader, zone: ZoneInfo) -> list[Row]:
    """Return the rows of an answer; a curve's value stands under `VALUE`."""
    raise TypeError(type(ask).__name__)


@answer.register
def _rows(ask: Rows, points: Iterable[Point], reader: Reader, zone: ZoneInfo) -> list[Row]:
    del zone
    return [
        ({TIME: one.time_ms} if ask.dated else {})
        | {name: _term(term, _row(one), reader) for name, term in ask.columns.items()}
        for one in _chosen(ask, points, reader)
    ]


@answer.register
def _latest(ask: Latest, points: Iterable[Point], reader: Reader, zone: ZoneInfo) -> list[Row]:
    del zone
    newest: dict[tuple[Value, ...], Point] = {}
    for one in _chosen(ask, points, reader):
        key = tuple(one.tags.get(name) for name in ask.by)
        if key not in newest or one.time_ns > newest[key].time_ns:
            newest[key] = one
    return [
        {TIME: one.time_ms, **dict(zip(ask.by, key, strict=True))}
        | {name: _term(term, _row(one), reader) for name, term in ask.columns.items()}
        for key, one in newest.items()
    ]


@answer.register
def _sums(ask: Sums, points: Iterable[Point], reader: Reader, zone: ZoneInfo) -> list[Row]:
    del zone
    groups: dict[tuple[Value, ...], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    chosen = sorted(_chosen(ask, points, reader), key=lambda one: one.time_ns)
    if ask.latest_by:
        newest = {tuple(one.tags.get(name) for name in ask.latest_by): one for one in chosen}
        chosen = list(newest.values())
    for one in chosen:
        for name, value in one.fields.items():
            groups[tuple(one.tags.get(by) for by in ask.by)][name].append(value)  # type: ignore[arg-type]
    return [
        dict(zip(ask.by, key, strict=True)) | {name: _sum(term, of) for name, term in ask.columns.items()}
        for key, of in groups.items()
    ]


@answer.register
def _curve(ask: Curve, points: Iterable[Point], reader: Reader, zone: ZoneInfo) -> list[Row]:
    chosen = sorted(_chosen(ask, points, reader), key=lambda one: one.time_ns)
    if ask.grows:
        before = Reader(reader.from_ms - reader.step_s * 1000, reader.to_ms, reader.chosen, reader.step_s)
        chosen = sorted(_chosen(ask, points, before), key=lambda one: one.time_ns)
    steps: dict[tuple[Value, ...], dict[int, list[Point]]] = defaultdict(lambda: defaultdict(list))
    for one in chosen:
        key = tuple(one.tags.get(name) for name in (*ask.by, *ask.each_by))
        steps[key][_step(ask.every, one.time_ms, reader, zone)].append(one)
    told: dict[tuple[tuple[Value, ...], int], float] = defaultdict(float)
    for series, line in steps.items():
        made = {at: _share_or(ask, of) for at, of in line.items()}
        if ask.grows:
            times = sorted(made)
            made = {at: made[at] - made[last] for last, at in pairwise(times)}
        for at, value in made.items():
            told[series[: len(ask.by)], at] += value
    return [{TIME: at, **dict(zip(ask.by, key, strict=True)), VALUE: value} for (key, at), value in told.items()]


def _share_or(ask: Curve, of: Sequence[Point]) -> float:
    def values(name: str) -> list[float]:
        return [float(one.fields[name]) for one in of if name in one.fields]

    if ask.over:
        return 100 * sum(values(ask.value)) / sum(values(ask.over))
    return _MADE[ask.fn](values(ask.value))


def _step(every: Every, at_ms: int, reader: Reader, zone: ZoneInfo) -> int:
    match every:
        case Every.POINT:
            return at_ms
        case Every.AUTO:
            return at_ms // (reader.step_s * 1000) * reader.step_s * 1000
        case Every.DAY:
            local = datetime.fromtimestamp(at_ms / 1000, zone)
            return round(local.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)


def _row(point: Point) -> dict[str, Value]:
    return {**point.tags, **point.fields}


def _chosen(ask: Ask, points: Iterable[Point], reader: Reader) -> list[Point]:
    window = ask.window
    start_ms = reader.to_ms - window.back_h * HOUR_MS if window.back_h else reader.from_ms - window.more_h * HOUR_MS
    read = set(ask.fields())
    return [
        one
        for one in points
        if one.of is ask.of
        and start_ms <= one.time_ms < reader.to_ms
        and read & one.fields.keys()
        and all(_holds(test, _row(one), reader) for test in ask.where)
        and not (isinstance(ask, Curve) and not ask.over and ask.value not in one.fields)
    ]


def _holds(condition: Is | Either, row: Mapping[str, Value], reader: Reader) -> bool:
    if isinstance(condition, Either):
        return any(_holds(test, row, reader) for test in condition.tests)
    value = row.get(condition.name)
    match condition.value:
        case Choice(name, many=True):
            return reader.chosen[name] == [".*"] or value in reader.chosen[name]
        case Choice(name):
            return value == reader.chosen[name][0]
        case Since():
            asked: object = reader.from_ms
        case told:
            asked = told
    return value is not None and _COMPARED[condition.operator](value, asked)


def _term(term: Term, row: Mapping[str, Value], reader: Reader) -> Value:
    match term:
        case Column(name):
            return row.get(name)
        case Number(value):
            return value
        case Until():
            return reader.to_ms
        case Ended(name):
            return row[name] or reader.to_ms
        case Op(sign, left, right):
            of = _term(left, row, reader), _term(right, row, reader)
            return None if None in of else _RECKONED[sign](*of)  # type: ignore[arg-type]
    raise TypeError(term)


def _sum(term: Term, of: Mapping[str, list[float]]) -> float:
    match term:
        case Made(fn, name):
            return _MADE[fn](of[name])
        case Number(value):
            return value
        case Floor(inner):
            return math.floor(_sum(inner, of))
        case Op(sign, left, right):
            return _RECKONED[sign](_sum(left, of), _sum(right, of))
    raise TypeError(term)
