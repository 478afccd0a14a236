"""What a board is made of, before it is spelled as Grafana spells it (`dashboards.boards.spelling`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from dashboards.looks import Look, Steps
from dashboards.queries.asking import Ask, Choice, Values
from dashboards.words import NOTHING, Said, Words

COLUMNS = 24
"""How wide Grafana's grid is."""


class Kind(StrEnum):
    """How a panel draws; the values are Grafana's."""

    TILES = "stat"
    TABLE = "table"
    CURVES = "timeseries"
    LANES = "state-timeline"


class Style(StrEnum):
    """How a line is drawn."""

    LINE = "line"
    THIN = "thin"
    LIMIT = "limit"
    TARGET = "target"
    BARS = "bars"
    POINTS = "points"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A query of a panel.

    Attributes
    ----------
    ask
        What is asked.
    said
        The name of its line, where it is one line.
    style, colour
        How its lines are drawn; without a colour each takes its own from a palette for the colour-blind.
    """

    ask: Ask
    said: Said | None = None
    style: Style = Style.LINE
    colour: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A panel.

    Attributes
    ----------
    title, note
        What it is called, and what exactly is counted.
    at
        Its place on the grid: x, y, width, height.
    asked
        Its queries.
    looks
        Looks of columns that differ from those of everywhere (`dashboards.looks.LOOKS`).
    unit, decimals, steps
        Of its curves or lanes.
    label, words
        The tag by which its lines are told apart, and what stands for its values.
    nothing
        What it says where there is nothing.
    sort, down
        The column by which a table is sorted, and whether the largest comes first.
    least_step
        The shortest step of its curves.
    recent
        Where given, it shows so much before now whatever time is chosen, as in ``30d``.
    lines
        Whether the limits of the rules are drawn.
    to
        The board to which a line leads.
    """

    kind: Kind
    title: Said
    note: Said
    at: tuple[int, int, int, int]
    asked: tuple[Asked, ...]
    looks: Mapping[str, Look] = field(default_factory=dict)
    unit: str = ""
    decimals: int | None = None
    steps: Steps | str = ()
    label: str = ""
    words: Words | None = None
    nothing: Said = NOTHING
    sort: str = ""
    down: bool = False
    least_step: str = ""
    recent: str = ""
    lines: bool = False
    to: str = ""


@dataclass(frozen=True, slots=True)
class Variable:
    """What a reader chooses.

    Attributes
    ----------
    everything
        Whether all may be chosen at once, where several may.
    """

    choice: Choice
    said: Said
    values: Values
    everything: bool = True

    @property
    def name(self) -> str:
        """Its name."""
        return self.choice.name


@dataclass(frozen=True, slots=True)
class Marked:
    """Spans of time that are marked on all curves of a board: columns ``timeEnd``, ``text`` and ``tags``."""

    said: Said
    colour: str
    ask: Ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A board.

    Attributes
    ----------
    name
        The end of its uid, the name of its file.
    since
        How far back it looks, as in ``now-24h``.
    """

    name: str
    title: Said
    note: Said
    since: str
    panels: tuple[Panel, ...]
    variables: tuple[Variable, ...] = ()
    marked: tuple[Marked, ...] = ()
    refresh: str = "1m"
