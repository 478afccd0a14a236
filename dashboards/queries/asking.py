"""The description of a query: what is asked of which measurement, in words of the schema.

A query is one of four shapes: `Rows` (points as they lie, one a row), `Latest` (the newest point of each series),
`Sums` (a row of sums for each group) and `Curve` (values over time, a line for each group). Names are looked up in the
schema when a description is made: one that is not there is an error then, and no panel that stays empty.

Three words of Grafana are put into the texts, and filled in by it: the chosen time (``$timeFilter``, ``v.…``), the
moment at which it ends (``${__to}``), and the reader's choices (``${station:…}``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from heatwatch.stores.influx.schema import Measurement

TIME = "Time"
"""The column of times in an answer."""
Operator = Literal["=", "!=", ">", ">=", "<", "<="]
Arithmetic = Literal["+", "-", "*", "/"]


class Fn(StrEnum):
    """What is made of many values; the names are InfluxQL's and Flux's alike."""

    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    SUM = "sum"
    COUNT = "count"
    LAST = "last"


class Every(StrEnum):
    """How long the steps of a curve are."""

    AUTO = "as long as the panel's width suggests, not shorter than its least"
    DAY = "a day of the company's time zone"
    POINT = "none: every point"


@dataclass(frozen=True, slots=True)
class Window:
    """From when to when is asked.

    Attributes
    ----------
    back_h
        So many hours before the chosen time's end, whatever its beginning is; 0 for its own beginning [h].
    more_h
        So many hours before the chosen time's beginning [h].
    """

    back_h: float = 0
    more_h: float = 0


CHOSEN = Window()
"""The time that the reader has chosen."""
NOW = Window(back_h=0.5)
"""For what the feed writes each minute: the newest, and nothing where nothing came for half an hour."""
WEEK = Window(back_h=7 * 24)
SEASON = Window(back_h=220 * 24)
"""For what may be open since long: a heating season."""
AROUND = Window(more_h=30 * 24)
"""For what may have begun before the chosen time and reach into it."""


class Term:
    """A value of a row, or what is reckoned from such values."""

    def __add__(self, other: Term | float) -> Op:
        return Op("+", self, _term(other))

    def __sub__(self, other: Term | float) -> Op:
        return Op("-", self, _term(other))

    def __rsub__(self, other: float) -> Op:
        return Op("-", Number(other), self)

    def __rmul__(self, other: float) -> Op:
        return Op("*", Number(other), self)

    def __truediv__(self, other: Term | float) -> Op:
        return Op("/", self, _term(other))

    def parts(self) -> Iterator[Term]:
        """Give the term and those within it."""
        yield self


@dataclass(frozen=True, slots=True)
class Column(Term):
    """A tag or a field by its name."""

    name: str


@dataclass(frozen=True, slots=True)
class Number(Term):
    """A number."""

    value: float


@dataclass(frozen=True, slots=True)
class Until(Term):
    """The moment at which the chosen time ends [ms]."""


@dataclass(frozen=True, slots=True)
class Ended(Term):
    """A moment, or where it is 0, for it has not come yet, the end of the chosen time [ms]."""

    name: str


@dataclass(frozen=True, slots=True)
class Made(Term):
    """What a function makes of a field's values in a group."""

    fn: Fn
    name: str


@dataclass(frozen=True, slots=True)
class Floor(Term):
    """The whole number below: shares are cut off, never rounded up."""

    of: Term

    def parts(self) -> Iterator[Term]:
        """Give the term and those within it."""
        yield self
        yield from self.of.parts()


@dataclass(frozen=True, slots=True)
class Op(Term):
    """Two terms and what is done with them."""

    sign: Arithmetic
    left: Term
    right: Term

    def parts(self) -> Iterator[Term]:
        """Give the term and those within it."""
        yield self
        yield from self.left.parts()
        yield from self.right.parts()


def _term(value: Term | float) -> Term:
    return value if isinstance(value, Term) else Number(value)


@dataclass(frozen=True, slots=True)
class Choice:
    """What the reader chose.

    Attributes
    ----------
    name
        The variable of the board.
    many
        Whether it may be several, or all.
    """

    name: str
    many: bool = False


@dataclass(frozen=True, slots=True)
class Since:
    """The moment at which the chosen time begins [ms]."""


@dataclass(frozen=True, slots=True)
class Is:
    """A tag or field compared with a value, with what was chosen, or with the beginning of the chosen time."""

    name: str
    operator: Operator
    value: str | float | bool | Choice | Since


@dataclass(frozen=True, slots=True)
class Either:
    """One of some tests."""

    tests: tuple[Is, ...]


Condition = Is | Either


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What every shape has.

    Attributes
    ----------
    of
        The measurement.
    where
        All of them hold.
    window
        From when to when.

    Raises
    ------
    KeyError
        If the measurement has no such tag or field.
    """

    of: Measurement
    where: tuple[Condition, ...] = ()
    window: Window = CHOSEN

    def __post_init__(self) -> None:
        for name in self.names():
            self.check(name)

    def names(self) -> Iterator[str]:
        """Give every tag and field that is named."""
        for test in self.tests():
            yield test.name

    def tests(self) -> Iterator[Is]:
        """Give every test."""
        for condition in self.where:
            yield from condition.tests if isinstance(condition, Either) else (condition,)

    def check(self, name: str) -> None:
        """Look a name up.

        Raises
        ------
        KeyError
            If the measurement has no such tag or field.
        """
        if not self.is_tag(name):
            self.of.field(name)

    def is_tag(self, name: str) -> bool:
        """Whether a name is a tag's."""
        return any(tag.name == name for tag in self.of.tags)

    def fields(self) -> list[str]:
        """Return the fields that are read, each once."""
        return list(dict.fromkeys(name for name in self.names() if not self.is_tag(name)))

    def variables(self) -> set[str]:
        """Return the names of the choices it rests on."""
        return {test.value.name for test in self.tests() if isinstance(test.value, Choice)}

    @property
    def is_table(self) -> bool:
        """Whether the answer is a table, not a line for each series."""
        return True


@dataclass(frozen=True, kw_only=True)
class Rows(Ask):
    """Points as they lie.

    Attributes
    ----------
    columns
        Names of the answer's columns, and what stands in them.
    dated
        Whether their times are wanted.
    """

    columns: Mapping[str, Term]
    dated: bool = False

    def names(self) -> Iterator[str]:
        """Give every tag and field that is named."""
        yield from super().names()
        yield from _columns_in(self.columns)


@dataclass(frozen=True, kw_only=True)
class Latest(Ask):
    """The newest point of each series, with its time: all of its columns are of one point.

    Attributes
    ----------
    by
        Tags that tell the series apart.
    dated
        Whether the time is shown.
    """

    by: tuple[str, ...]
    columns: Mapping[str, Term]
    dated: bool = False

    def names(self) -> Iterator[str]:
        """Give every tag and field that is named."""
        yield from super().names()
        yield from self.by
        yield from _columns_in(self.columns)


@dataclass(frozen=True, kw_only=True)
class Sums(Ask):
    """A row for each group.

    Attributes
    ----------
    columns
        Terms over `Made`.
    by
        Tags of the groups; none for one group.
    latest_by
        Where given, only the newest value of each field of the series that these tags tell apart is taken.
    """

    columns: Mapping[str, Term]
    by: tuple[str, ...] = ()
    latest_by: tuple[str, ...] = ()

    def names(self) -> Iterator[str]:
        """Give every tag and field that is named."""
        yield from super().names()
        yield from (*self.by, *self.latest_by)
        yield from (made.name for made in self.made())

    def made(self) -> list[Made]:
        """Return what is made of values, each once."""
        parts = (part for term in self.columns.values() for part in term.parts())
        return list(dict.fromkeys(part for part in parts if isinstance(part, Made)))


@dataclass(frozen=True, kw_only=True)
class Curve(Ask):
    """Values over time.

    Attributes
    ----------
    value
        A field; with `over` the share that its sum is of the other's sum [%].
    fn
        What is made of the values of a step.
    by
        Tags that tell the lines apart.
    every
        The steps.
    each_by
        Where given, `fn` is made for each of these first, and then they are added up.
    grows
        Whether the value is a counter, of which the growth within a step is asked.
    """

    value: str
    over: str = ""
    fn: Fn = Fn.MEAN
    by: tuple[str, ...] = ()
    every: Every = Every.AUTO
    each_by: tuple[str, ...] = ()
    grows: bool = False

    def names(self) -> Iterator[str]:
        """Give every tag and field that is named."""
        yield from super().names()
        yield self.value
        if self.over:
            yield self.over
        yield from (*self.by, *self.each_by)

    @property
    def is_table(self) -> bool:
        """Whether the answer is a table: it is lines."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """The values of a tag, for a reader to choose from.

    Attributes
    ----------
    days
        How far before the chosen time is looked, where the language can tell [d].
    """

    of: Measurement
    tag: str
    where: tuple[Is, ...] = field(default=())
    days: int = 30

    def __post_init__(self) -> None:
        known = {tag.name for tag in self.of.tags}
        for name in (self.tag, *(test.name for test in self.where)):
            if name not in known:
                raise KeyError(name)


def _columns_in(columns: Mapping[str, Term]) -> Iterator[str]:
    for term in columns.values():
        yield from (part.name for part in term.parts() if isinstance(part, Column | Ended))


def span(hours: float) -> str:
    """Return a span of time as both languages spell it.

    >>> span(0.5), span(3), span(168)
    ('30m', '3h', '7d')
    """
    for unit_h, name in ((24, "d"), (1, "h")):
        if hours % unit_h == 0:
            return f"{hours / unit_h:g}{name}"
    return f"{hours * 60:g}m"


def same(*names: str) -> dict[str, Term]:
    """Return columns under their own names.

    >>> same("cold")
    {'cold': Column(name='cold')}
    """
    return {name: Column(name) for name in names}


def share(part: str, whole: str) -> Op:
    """Return what share a sum is of another, in hundredths cut off to one tenth [%]."""
    return Floor(1000 * (Made(Fn.SUM, part) / Made(Fn.SUM, whole))) / 10.0
