"""What alert rules ask of InfluxDB: one number for each set of tags, in InfluxQL for 1.x and in Flux for 2.x.

A rule has no reader: its queries rest on no variable, and on no moment but the time range that the rule gives them. An
answer is one series for each set of tags, and each set is there once: Grafana takes nothing else for an alert.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dashboards.queries import flux, influxql
from dashboards.queries.asking import Ask, Column, Is, Number, Op, Term


@dataclass(frozen=True, kw_only=True)
class Newest(Ask):
    """A value of the newest point of each series.

    Attributes
    ----------
    value
        Of fields that each of its points has.
    by
        All of its tags but those that are tested for equality.
    """

    value: Term
    by: tuple[str, ...] = ()

    def names(self) -> Iterator[str]:
        """Give every tag and field that is named."""
        yield from super().names()
        yield from self.by
        yield from (part.name for part in self.value.parts() if isinstance(part, Column))

    @property
    def is_table(self) -> bool:
        """Whether the answer is a table, not a number for each series."""
        return False


@dataclass(frozen=True, kw_only=True)
class Earliest(Ask):
    """The smallest value of a field among the points of a group.

    Attributes
    ----------
    value
        A field with numbers.
    by
        Tags of the groups. One without such a point is not there.
    """

    value: str
    by: tuple[str, ...] = ()

    def names(self) -> Iterator[str]:
        """Give every tag and field that is named."""
        yield from super().names()
        yield from (self.value, *self.by)

    @property
    def is_table(self) -> bool:
        """Whether the answer is a table, not a number for each series."""
        return False


@dataclass(frozen=True, kw_only=True)
class Growth(Ask):
    """By how much counters are more at the end of the time than at its beginning, added up.

    Attributes
    ----------
    counters
        Fields of each of its points. One that has become less counts as it is: negative.
    by
        All of its tags but those that are tested for equality.
    """

    counters: tuple[str, ...]
    by: tuple[str, ...] = ()

    def names(self) -> Iterator[str]:
        """Give every tag and field that is named."""
        yield from super().names()
        yield from (*self.counters, *self.by)

    @property
    def is_table(self) -> bool:
        """Whether the answer is a table, not a number for each series."""
        return False


# --- InfluxQL


@influxql.text.register
def _newest_in_influxql(ask: Newest, zone: str) -> str:
    del zone
    return _select(_in_influxql(ask.value), ask, ask.by)


@influxql.text.register
def _earliest_in_influxql(ask: Earliest, zone: str) -> str:
    del zone
    return _select(f'min("{ask.value}")', ask, ask.by)


@influxql.text.register
def _growth_in_influxql(ask: Growth, zone: str) -> str:
    del zone
    return _select(" + ".join(f'(last("{name}") - first("{name}"))' for name in ask.counters), ask, ask.by)


def _select(value: str, ask: Ask, by: tuple[str, ...]) -> str:
    where = " AND ".join(["$timeFilter", *(_test(one, "=", "'") for one in ask.tests())])
    group = " GROUP BY " + ", ".join(f'"{name}"' for name in by) if by else ""
    return f'SELECT {value} AS "value" FROM "{ask.of.name}" WHERE {where}{group}'  # noqa: S608 - names of the schema


def _in_influxql(term: Term) -> str:
    match term:
        case Column(name):
            return f'last("{name}")'
        case Number(value):
            return f"{value:.15g}"
        case Op(sign, left, right):
            return f"({_in_influxql(left)} {sign} {_in_influxql(right)})"
    raise TypeError(f"{term!r} is no term of an alert")


# --- Flux

_PIVOT = 'pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'


@flux.text.register
def _newest_in_flux(ask: Newest, zone: str) -> str:
    del zone
    value = ask.value
    read = [*_read(ask, [part.name for part in value.parts() if isinstance(part, Column)]), "last()"]
    group = f"group(columns: {_names(ask.by)})"
    if isinstance(value, Column):
        return _script([*read, "toFloat()", group], ask.by)
    made = f"map(fn: (r) => ({{r with _value: {_in_flux(value)}}}))"
    return _script([*read, _PIVOT, made, group], ask.by)


@flux.text.register
def _earliest_in_flux(ask: Earliest, zone: str) -> str:
    """Return the script; a test of nothing but the value itself is left to the storage engine."""
    del zone
    earliest = [f"group(columns: {_names(ask.by)})", "min()", "toFloat()"]
    fields = list(dict.fromkeys([ask.value, *ask.fields()]))
    if fields == [ask.value]:
        tests = [_test(Is("_value", one.operator, one.value)) for one in ask.tests() if one.name == ask.value]
        wanted = [f"filter(fn: (r) => {' and '.join(tests)})"] if tests else []
        return _script([*_read(ask, fields), *wanted, *earliest], ask.by)
    tests = [_test(one) for one in ask.tests() if not ask.is_tag(one.name)]
    steps = [_PIVOT, f"filter(fn: (r) => {' and '.join(tests)})", f'rename(columns: {{{ask.value}: "_value"}})']
    return _script([*_read(ask, fields), *steps, *earliest], ask.by)


@flux.text.register
def _growth_in_flux(ask: Growth, zone: str) -> str:
    del zone
    first = "if accumulator.n == 0 then float(v: r._value) else accumulator.first"
    made = f"{{n: accumulator.n + 1, first: {first}, last: float(v: r._value)}}"
    reduced = f"reduce(identity: {{n: 0, first: 0.0, last: 0.0}}, fn: (r, accumulator) => ({made}))"
    steps = [reduced, "map(fn: (r) => ({r with _value: r.last - r.first}))"]
    steps += [f"group(columns: {_names(ask.by)})", "sum()", "map(fn: (r) => ({r with _time: v.timeRangeStop}))"]
    return _script([*_read(ask, ask.counters), *steps], ask.by)


def _script(steps: list[str], by: tuple[str, ...]) -> str:
    return "\n  |> ".join([*steps, f"keep(columns: {_names(('_time', '_value', *by))})"])


def _read(ask: Ask, fields: list[str] | tuple[str, ...]) -> list[str]:
    either = " or ".join(f'r._field == "{name}"' for name in dict.fromkeys(fields))
    tags = [_test(one) for one in ask.tests() if ask.is_tag(one.name)]
    where = " and ".join([f'r._measurement == "{ask.of.name}"', f"({either})", *tags])
    times = "range(start: v.timeRangeStart, stop: v.timeRangeStop)"
    return ["from(bucket: v.defaultBucket)", times, f"filter(fn: (r) => {where})"]


def _in_flux(term: Term) -> str:
    match term:
        case Column(name):
            return f"float(v: r.{name})"
        case Number(value):
            return repr(float(value))
        case Op(sign, left, right):
            return f"({_in_flux(left)} {sign} {_in_flux(right)})"
    raise TypeError(f"{term!r} is no term of an alert")


def _names(names: tuple[str, ...]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


def _test(test: Is, equal: str = "==", quote: str = '"') -> str:
    name = f"r.{test.name}" if equal == "==" else f'"{test.name}"'
    operator = equal if test.operator == "=" else test.operator
    match test.value:
        case bool() as flag:
            return f"{name} {operator} {str(flag).lower()}"
        case str() as text:
            return f"{name} {operator} {quote}{text}{quote}"
        case int() | float() as number:
            return f"{name} {operator} {number!r}"
    raise TypeError(f"{test!r}: an alert has no reader")
