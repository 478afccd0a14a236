"""What Grafana makes of a rule: queries, expressions and states, as far as our rules go.

Written from Grafana's sources (``pkg/expr``, ``pkg/services/ngalert/state``, 13.x): what is not needed is not there.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dashboards.model import NoData, OnError, Query, Rule

Labels = frozenset[tuple[str, str]]
Numbers = Mapping[Labels, float]
"""A number for each set of labels; none at all is Grafana's NoData."""
Row = Mapping[str, object]
Asks = Callable[[Query, int], Sequence[Row]]
"""Gives the rows of a query at a moment [ms]."""
TIMES, VALUES = frozenset({"Time", "time", "_time"}), frozenset({"value", "_value"})


class Failed(Exception):  # noqa: N818 - what Grafana calls an error
    """A query that did not answer, or whose answer Grafana does not take."""


def labels(**named: str) -> Labels:
    """Return a set of labels."""
    return frozenset(named.items())


# --- expressions


def evaluate(rule: Rule, ask: Asks, now_ms: int) -> Numbers:
    """Return the numbers of the condition; none for NoData.

    Raises
    ------
    Failed
        If Grafana would call it an error.
    """
    told: dict[str, Numbers] = {}
    for query in rule.queries:
        model = query.model
        match model.get("type"):
            case None:
                told[query.ref_id] = _newest(ask(query, now_ms))
            case "reduce":
                assert (model["reducer"], model["settings"]) == ("last", {"mode": "dropNN"})
                told[query.ref_id] = told[model["expression"]]
            case "math":
                told[query.ref_id] = reckon(model["expression"], told)
            case "threshold":
                (one,) = model["conditions"]
                assert one["evaluator"] == {"type": "gt", "params": [0]}
                told[query.ref_id] = {key: float(value > 0) for key, value in told[model["expression"]].items()}
    return told[rule.condition]


def _newest(rows: Iterable[Row]) -> Numbers:
    """Return the newest number of each series; whatever is neither time nor value is a label."""
    newest: dict[Labels, tuple[object, float]] = {}
    for row in rows:
        if not set(row) & VALUES or not all(isinstance(v, str) for k, v in row.items() if k not in TIMES | VALUES):
            raise Failed(f"input data must be a wide series: {row}")
        key = frozenset((k, str(v)) for k, v in row.items() if k not in TIMES | VALUES)
        (time,) = [v for k, v in row.items() if k in TIMES]
        (value,) = [v for k, v in row.items() if k in VALUES]
        if value is None:
            continue
        assert isinstance(value, int | float)
        if key in newest and newest[key][0] == time:
            raise Failed(f"cannot uniquely be identified by its labels: {sorted(key)}")
        if key not in newest or newest[key][0] < time:  # type: ignore[operator]
            newest[key] = time, float(value)
    return {key: value for key, (_, value) in newest.items()}


_SIGNS: Mapping[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: lambda one, other: one / other if other else math.nan,
    ast.Gt: operator.gt, ast.Lt: operator.lt, ast.GtE: operator.ge, ast.LtE: operator.le,
    ast.And: lambda one, other: bool(one) and bool(other), ast.Or: lambda one, other: bool(one) or bool(other),
}  # fmt: skip


def reckon(formula: str, told: Mapping[str, Numbers]) -> Numbers:
    """Return what a formula comes to: numbers are joined where the labels of one hold all of the other's.

    >>> station, house = labels(station="a"), labels(station="a", building="b")
    >>> reckon("$A * ($B > 1)", {"A": {house: 3.0}, "B": {station: 2.0}}) == {house: 3.0}
    True
    """
    tree = ast.parse(re.sub(r"\$(\w+)", r"\1", formula).replace("&&", " and ").replace("||", " or "), mode="eval")
    return _reckoned(tree.body, told)


def _reckoned(node: ast.AST, told: Mapping[str, Numbers]) -> Numbers:
    match node:
        case ast.Constant(value=int() | float() as value):
            return {labels(): float(value)}
        case ast.Name(id=name):
            return told[name]
        case ast.Call(func=ast.Name(id="abs"), args=[one]):
            return {key: abs(value) for key, value in _reckoned(one, told).items()}
        case ast.BinOp(left=left, op=sign, right=right):
            return _joined(sign, _reckoned(left, told), _reckoned(right, told))
        case ast.Compare(left=left, ops=[sign], comparators=[right]):
            return _joined(sign, _reckoned(left, told), _reckoned(right, told))
        case ast.BoolOp(op=sign, values=[first, *rest]):
            made = _reckoned(first, told)
            for each in rest:
                made = _joined(sign, made, _reckoned(each, told))
            return made
    raise TypeError(ast.dump(node))


def _joined(sign: ast.AST, left: Numbers, right: Numbers) -> Numbers:
    do = _SIGNS[type(sign)]
    pairs = [(one, other) for one in left for other in right if one <= other or other <= one]
    return {one | other: float(do(left[one], right[other])) for one, other in pairs}


# --- states


@dataclass
class Instance:
    """An alert of a rule: since when it waits, fires, or no more ought to [ms]."""

    waits_ms: int | None = None
    fires: bool = False
    ends_ms: int | None = None
    seen_ms: int = 0

    def hear(self, bad: bool, rule: Rule, now_ms: int) -> None:  # noqa: FBT001 - what was heard
        """Take a result."""
        self.seen_ms = now_ms
        if bad:
            self.ends_ms = None
            self.waits_ms = now_ms if self.waits_ms is None else self.waits_ms
            self.fires = self.fires or now_ms - self.waits_ms >= rule.for_s * 1000
            return
        self.waits_ms = None
        if self.fires and rule.keep_firing_s:
            self.ends_ms = now_ms if self.ends_ms is None else self.ends_ms
            self.fires = now_ms - self.ends_ms < rule.keep_firing_s * 1000
        else:
            self.fires = False
        if not self.fires:
            self.ends_ms = None


@dataclass
class Watch:
    """A rule that is evaluated again and again."""

    rule: Rule
    interval_s: int = 60
    instances: dict[Labels, Instance] = field(default_factory=dict)

    @property
    def firing(self) -> set[Labels]:
        """What fires."""
        return {key for key, one in self.instances.items() if one.fires}

    def look(self, ask: Asks, now_ms: int) -> set[Labels]:
        """Evaluate once; return what fires after it."""
        try:
            numbers = evaluate(self.rule, ask, now_ms)
        except Failed:
            return self._nothing(self.rule.on_error.value, now_ms)
        if not numbers:
            return self._nothing(self.rule.no_data.value, now_ms)
        for key, value in numbers.items():
            self.instances.setdefault(key, Instance()).hear(value != 0, self.rule, now_ms)
        evals = 2 if self.rule.missing_evals is None else self.rule.missing_evals
        for key, one in list(self.instances.items()):
            if now_ms - one.seen_ms >= evals * self.interval_s * 1000:
                del self.instances[key]
        return self.firing

    def _nothing(self, becomes: str, now_ms: int) -> set[Labels]:
        """Take that there is nothing to take: it is of every alert of the rule, or of one without labels."""
        if becomes in {NoData.KEEP, OnError.KEEP}:
            for one in self.instances.values():
                one.seen_ms = now_ms
            return self.firing
        assert becomes in {NoData.ALERTING, NoData.OK}
        if not self.instances:
            self.instances[labels()] = Instance()
        for one in self.instances.values():
            one.hear(becomes == NoData.ALERTING, self.rule, now_ms)
        return self.firing
