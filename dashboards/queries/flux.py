"""Queries in Flux, for InfluxDB 2.x (tried with 2.7).

What can be is left to the storage engine: the time, the measurement, its fields, its tags, the newest value. A row of
several fields is put together after that. A table must have no column ``_value``: Grafana would take it for a series.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import singledispatch

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
    Values,
    span,
)
from heatwatch.stores.influx.schema import FieldType

BEGINNING, END = "${__from}", "${__to}"
SINCE, LONG_H = "since", 31 * 24
"""The variable for where a search begins; from how long a time on one is looked for [h]."""
EMPTY = "-"
"""Stands for an empty text."""
_SOURCE = "from(bucket: v.defaultBucket)"
_START, _STOP = "v.timeRangeStart", "v.timeRangeStop"
_PIVOT = 'pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
_WHOLE = "group()"
_OPERATORS = {"=": "=="}


@singledispatch
def text(ask: Ask, zone: str) -> str:
    """Return a query; `zone` is the company's time zone."""
    raise TypeError(f"{type(ask).__name__} of {zone} is no query")


@text.register
def _rows(ask: Rows, zone: str) -> str:
    first, *read = _read(ask)
    steps = [_earliest(ask) + first, *read, _PIVOT, _WHOLE, *_filters(ask), *_table(ask.columns, dated=ask.dated)]
    return _query(ask, steps, zone)


@text.register
def _latest(ask: Latest, zone: str) -> str:
    newest = [f"group(columns: {_names(ask.by)})", 'top(n: 1, columns: ["_time"])', _WHOLE]
    columns = {**{name: Column(name) for name in ask.by}, **ask.columns}
    filters = list(_filters(ask))
    rows = [_PIVOT, _WHOLE, *filters] if filters else ["last()", _PIVOT]
    steps = [*_read(ask), *rows, *newest, *_table(columns, dated=True)]
    return _query(ask, steps, zone)


@text.register
def _sums(ask: Sums, zone: str) -> str:
    made = ask.made()
    if ask.latest_by:
        series = [*dict.fromkeys((*ask.by, *ask.latest_by)), "_field"]
        steps = [*_read(ask), "last()", f"group(columns: {_names(series)})", 'sort(columns: ["_time"])', "last()"]
        steps += [f"group(columns: {_names(series[:-1])})", "map(fn: (r) => ({r with _time: v.timeRangeStop}))", _PIVOT]
    else:
        steps = [*_read(ask), _PIVOT]
    identity = ", ".join(f"{_made(one)}: 0.0" for one in made)
    step = ", ".join(f"{_made(one)}: {_reduced(one)}" for one in made)
    steps += [f"group(columns: {_names(ask.by)})", *_filters(ask)]
    steps += [f"reduce(identity: {{{identity}}}, fn: (r, accumulator) => ({{{step}}}))", _WHOLE]
    columns = {**{name: Column(name) for name in ask.by}, **ask.columns}
    return _query(ask, [*steps, *_table(columns, dated=False)], zone)


@text.register
def _curve(ask: Curve, zone: str) -> str:
    told = [f"keep(columns: {_names(('_time', '_value', *ask.by))})"]
    steps = _read(ask, [ask.value, ask.over])
    filters = list(_filters(ask))
    if filters and not ask.over:
        steps += [_PIVOT, *filters, f'rename(columns: {{{ask.value}: "_value"}})']
    lines = _names(ask.by)
    match ask.every, ask.over, ask.each_by:
        case Every.POINT, _, _:
            steps += [f"group(columns: {lines})", *told, 'sort(columns: ["_time"])']
        case _, "", ():
            steps += [f"group(columns: {lines})", _windowed(ask.every, ask.fn)]
            steps += ["difference(nonNegative: true)"] if ask.grows else []
            steps += told
        case _, "", each_by:
            steps += [f"group(columns: {_names((*ask.by, *each_by))})", _windowed(ask.every, ask.fn)]
            steps += [f"group(columns: {_names((*ask.by, '_time'))})", "sum()"]
            steps += [f"group(columns: {lines})", *told, 'sort(columns: ["_time"])']
        case _:
            steps += [f"group(columns: {_names((*ask.by, '_field'))})", _windowed(ask.every, Fn.SUM)]
            steps += [f"group(columns: {lines})"]
            steps += [f'pivot(rowKey: {_names(("_time", *ask.by))}, columnKey: ["_field"], valueColumn: "_value")']
            steps += [f"filter(fn: (r) => exists r.{ask.over} and r.{ask.over} > 0)"]
            ratio = f"100.0 * float(v: r.{ask.value}) / float(v: r.{ask.over})"
            steps += [f"map(fn: (r) => ({{r with _value: {ratio}}}))", f"group(columns: {lines})", *told]
    return _query(ask, steps, zone)


def values(asked: Values) -> str:
    """Return the query for the values of a tag."""
    predicate = " and ".join([f'r._measurement == "{asked.of.name}"', *(_test(test) for test in asked.where)])
    return (
        'import "date"\nimport "influxdata/influxdb/schema"\n'
        f'schema.tagValues(bucket: v.defaultBucket, tag: "{asked.tag}", '
        f"predicate: (r) => {predicate}, start: date.sub(d: {asked.days}d, from: {_START}), stop: {_STOP})"
    )


def _query(ask: Ask, steps: Iterable[str], zone: str) -> str:
    body = "\n  |> ".join(steps)
    imports = [name for name in ("date", "math", "timezone") if f"{name}." in body]
    if isinstance(ask, Curve) and ask.every is Every.DAY:
        imports.append("timezone")
        body = f'option location = timezone.location(name: "{zone}")\n\n{body}'
    head = "".join(f'import "{name}"\n' for name in imports)
    return f"{head}\n{body}" if head else body


def _read(ask: Ask, fields: Iterable[str] = ()) -> list[str]:
    """Return the steps that read fields and test tags.

    Where an empty text is among what it puts together, 2.7's `pivot` moves the texts below it up by a row: each is
    `EMPTY` before.
    """
    named = list(dict.fromkeys([*(name for name in fields if name), *ask.fields()]))
    texts = [name for name in named if ask.of.field(name).type is FieldType.STRING]
    if not texts:
        return _stream(ask, named)
    filled = f'map(fn: (r) => ({{r with _value: if r._value == "" then "{EMPTY}" else r._value}}))'
    streams = {"texts": [*_stream(ask, texts), filled]}
    others = [name for name in named if name not in texts]
    if others:
        streams["others"] = _stream(ask, others)
    told = "\n\n".join(f"{name} = " + "\n  |> ".join(steps) for name, steps in streams.items())
    return [f"{told}\n\n" + ("union(tables: [texts, others])" if others else "texts")]


def _earliest(ask: Ask) -> str:
    """Return what finds where a long search has to begin: the earliest point that passes the test of a field.

    To put the rows of a season together costs seconds, to look through one of their fields does not, and what is open
    is seldom old.
    """
    test = _seldom(ask)
    if test is None:
        return ""
    value = _test(test).replace(f"r.{test.name}", "r._value")
    where = " and ".join([f'r._measurement == "{ask.of.name}"', f'r._field == "{test.name}"', value, *_tag_tests(ask)])
    steps = [_SOURCE, _range(ask), f"filter(fn: (r) => {where})", _WHOLE, 'sort(columns: ["_time"])', "limit(n: 1)"]
    steps.append('findColumn(fn: (key) => true, column: "_time")')
    found = "found = " + "\n  |> ".join(steps)
    return f"{found}\n{SINCE} = if length(arr: found) > 0 then found[0] else date.sub(d: 1m, from: {_STOP})\n\n"


def _seldom(ask: Ask) -> Is | None:
    """Return the test that few points of a long time pass: that they are open, or of what was chosen."""
    if not isinstance(ask, Rows) or ask.window.back_h < LONG_H:
        return None
    tests = (one for one in ask.where if isinstance(one, Is) and not ask.is_tag(one.name) and one.operator == "=")
    return next((one for one in tests if one.value is True or isinstance(one.value, Choice)), None)


def _tag_tests(ask: Ask) -> list[str]:
    tests = [_test(one) for one in ask.where if isinstance(one, Is) and ask.is_tag(one.name)]
    return tests + [_either(one) for one in ask.where if isinstance(one, Either) and _of_tags(ask, one)]


def _stream(ask: Ask, named: Sequence[str]) -> list[str]:
    either = " or ".join(f'r._field == "{name}"' for name in named)
    either = f"({either})" if len(named) > 1 else either
    where = " and ".join([f'r._measurement == "{ask.of.name}"', either, *_tag_tests(ask)])
    within = f"range(start: {SINCE}, stop: {_STOP})" if _seldom(ask) else _range(ask)
    return [_SOURCE, within, f"filter(fn: (r) => {where})"]


def _filters(ask: Ask) -> Iterable[str]:
    """Give the step that tests fields, where any is to be tested: they stand beside each other by then."""
    tests = [_test(one) for one in ask.where if isinstance(one, Is) and not ask.is_tag(one.name)]
    tests += [_either(one) for one in ask.where if isinstance(one, Either) and not _of_tags(ask, one)]
    if tests:
        yield f"filter(fn: (r) => {' and '.join(tests)})"


def _of_tags(ask: Ask, either: Either) -> bool:
    return all(ask.is_tag(test.name) for test in either.tests)


def _range(ask: Ask) -> str:
    window = ask.window
    if window.back_h:
        start = f"date.sub(d: {span(window.back_h)}, from: {_STOP})"
    elif window.more_h:
        start = f"date.sub(d: {span(window.more_h)}, from: {_START})"
    elif isinstance(ask, Curve) and ask.grows:
        start = f"date.sub(d: v.windowPeriod, from: {_START})"
    else:
        start = _START
    return f"range(start: {start}, stop: {_STOP})"


def _windowed(every: Every, fn: Fn) -> str:
    step = "1d" if every is Every.DAY else "v.windowPeriod"
    return f'aggregateWindow(every: {step}, fn: {fn}, createEmpty: false, timeSrc: "_start")'


def _table(columns: Mapping[str, Term], *, dated: bool) -> list[str]:
    """Return the steps that give an answer its columns."""
    made = {name: term for name, term in columns.items() if not isinstance(term, Column)}
    named = {term.name: name for name, term in columns.items() if isinstance(term, Column) and term.name != name}
    steps = []
    if made:
        told = ", ".join(f"{name}: {_term(term)}" for name, term in made.items())
        steps.append(f"map(fn: (r) => ({{r with {told}}}))")
    named |= {"_time": TIME} if dated else {}
    if named:
        told = ", ".join(f'{old}: "{new}"' for old, new in named.items())
        steps.append(f"rename(columns: {{{told}}})")
    return [*steps, f"keep(columns: {_names([*([TIME] if dated else []), *columns])})"]


def _term(term: Term) -> str:  # noqa: PLR0911 - a case for each kind of term
    match term:
        case Column(name):
            return f"float(v: r.{name})"
        case Number(value):
            return repr(float(value))
        case Until():
            return f"float(v: {END})"
        case Ended(name):
            return f"(if r.{name} > 0 then r.{name} else {END})"
        case Made():
            return f"r.{_made(term)}"
        case Floor(of):
            return f"math.floor(x: {_term(of)})"
        case Op(sign, left, right):
            return f"({_term(left)} {sign} {_term(right)})"
    raise TypeError(f"{term!r} is no term")


def _made(made: Made) -> str:
    return f"{made.fn}_{made.name}"


def _reduced(made: Made) -> str:
    before = f"accumulator.{_made(made)}"
    match made.fn:
        case Fn.SUM:
            return f"{before} + (if exists r.{made.name} then float(v: r.{made.name}) else 0.0)"
        case Fn.COUNT:
            return f"{before} + (if exists r.{made.name} then 1.0 else 0.0)"
    raise TypeError(f"{made.fn} is made of no rows here")


def _either(either: Either) -> str:
    return "(" + " or ".join(_test(test) for test in either.tests) + ")"


def _test(test: Is) -> str:
    operator = _OPERATORS.get(test.operator, test.operator)
    match test.value:
        case Choice(name, many=True):
            return f"r.{test.name} =~ /^${{{name}:regex}}$/"
        case Choice(name):
            return f"r.{test.name} {operator} ${{{name}:doublequote}}"
        case Since():
            return f"r.{test.name} {operator} {BEGINNING}"
        case bool():
            return f"r.{test.name} {operator} {str(test.value).lower()}"
        case str():
            return f'r.{test.name} {operator} "{test.value}"'
        case number:
            return f"r.{test.name} {operator} {number!r}"


def _names(names: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"
