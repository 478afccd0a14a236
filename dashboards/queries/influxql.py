"""Queries in InfluxQL, for InfluxDB 1.x (tried with 1.6)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch

from dashboards.queries.asking import (
    Ask,
    Choice,
    Column,
    Condition,
    Curve,
    Either,
    Ended,
    Every,
    Floor,
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
    Values,
    Window,
    span,
)

BEGINNING, END = "${__from}", "${__to}"


@singledispatch
def text(ask: Ask, zone: str) -> str:
    """Return a query; `zone` is the company's time zone."""
    raise TypeError(f"{type(ask).__name__} of {zone} is no query")


@text.register
def _rows(ask: Rows, zone: str) -> str:
    del zone
    return f"SELECT {_columns(ask.columns)} {_from(ask)}"


@text.register
def _latest(ask: Latest, zone: str) -> str:
    del zone
    group = f" {_group(ask.by)}" if ask.by else ""
    return f"SELECT {_columns(ask.columns)} {_from(ask)}{group} ORDER BY time DESC LIMIT 1"


@text.register
def _sums(ask: Sums, zone: str) -> str:
    del zone
    group = f" {_group(ask.by)}" if ask.by else ""
    if not ask.latest_by:
        return f"SELECT {_columns(ask.columns)} {_from(ask)}{group}"
    newest = ", ".join(f'last("{name}") AS "{name}"' for name in dict.fromkeys(made.name for made in ask.made()))
    inner = f"SELECT {newest} {_from(ask)} {_group(tuple(dict.fromkeys((*ask.by, *ask.latest_by))))}"
    return f"SELECT {_columns(ask.columns)} FROM ({inner}) WHERE {_time(ask.window)}{group}"  # noqa: S608 - names of the schema


@text.register
def _curve(ask: Curve, zone: str) -> str:
    value = f'{ask.fn}("{ask.value}")'
    if ask.over:
        value = f'100 * sum("{ask.value}") / sum("{ask.over}")'
    if ask.grows:
        value = f"non_negative_difference({value})"
    match ask.every:
        case Every.POINT:
            group = f" {_group(ask.by)}" if ask.by else ""
            return f'SELECT "{ask.value}" {_from(ask)}{group}'
        case Every.AUTO:
            step, after = "time($__interval)", "fill(none)"
        case Every.DAY:
            step, after = "time(1d)", f"fill(none) tz('{zone}')"
    if not ask.each_by:
        return f'SELECT {value} AS "{ask.value}" {_from(ask)} {_group(ask.by, step)} {after}'
    inner = f'SELECT {value} AS "{ask.value}" {_from(ask)} {_group((*ask.by, *ask.each_by), step)} fill(none)'
    outer = f'SELECT sum("{ask.value}") AS "{ask.value}" FROM ({inner}) WHERE {_time(ask.window)}'  # noqa: S608 - same
    return f"{outer} {_group(ask.by, step)} {after}"


def values(asked: Values) -> str:
    """Return the query for the values of a tag."""
    where = " AND ".join(_test(test) for test in asked.where)
    return f'SHOW TAG VALUES FROM "{asked.of.name}" WITH KEY = "{asked.tag}"' + (f" WHERE {where}" if where else "")


def _from(ask: Ask) -> str:
    return f'FROM "{ask.of.name}" WHERE ' + " AND ".join([_time(ask.window), *(_condition(one) for one in ask.where)])


def _group(by: tuple[str, ...], step: str = "") -> str:
    return "GROUP BY " + ", ".join([*([step] if step else []), *(f'"{name}"' for name in by)])


def _time(window: Window) -> str:
    if window.back_h:
        return f"time >= {END}ms - {span(window.back_h)} AND time <= {END}ms"
    if window.more_h:
        return f"time >= {BEGINNING}ms - {span(window.more_h)} AND time <= {END}ms"
    return "$timeFilter"


def _columns(columns: Mapping[str, Term]) -> str:
    return ", ".join(f'{_term(term)} AS "{name}"' for name, term in columns.items())


def _term(term: Term) -> str:  # noqa: PLR0911 - a case for each kind of term
    match term:
        case Column(name):
            return f'"{name}"'
        case Number(value):
            return f"{value:.15g}"
        case Until():
            return END
        case Ended(name):  # the share is a little less than 1, or 0
            return f'"{name}" + {END} * (1 - ceil("{name}" / ("{name}" + 1)))'
        case Made(fn, name):
            return f'{fn}("{name}")'
        case Floor(of):
            return f"floor({_term(of)})"
        case Op(sign, left, right):
            return f"({_term(left)} {sign} {_term(right)})"
    raise TypeError(f"{term!r} is no term")


def _condition(condition: Condition) -> str:
    if isinstance(condition, Either):
        return "(" + " OR ".join(_test(test) for test in condition.tests) + ")"
    return _test(condition)


def _test(test: Is) -> str:
    match test.value:
        case Choice(name, many=True):
            return f'"{test.name}" =~ /^${{{name}:regex}}$/'
        case Choice(name):
            return f'"{test.name}" {test.operator} ${{{name}:singlequote}}'
        case Since():
            return f'"{test.name}" {test.operator} {BEGINNING}'
        case bool():
            return f'"{test.name}" {test.operator} {str(test.value).lower()}'
        case str():
            return f"\"{test.name}\" {test.operator} '{test.value}'"
        case number:
            return f'"{test.name}" {test.operator} {number:.15g}'
