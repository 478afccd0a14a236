"""Alert rules as a Grafana keeps them: queries, the newest number of each series, what is reckoned, a threshold."""

from __future__ import annotations

from typing import Any

from dashboards.alerts.alarms import EVERY_S, GROUPS, Alarm, Looked
from dashboards.boards import boards
from dashboards.boards.layout import Board
from dashboards.boards.spelling import query, uid
from dashboards.model import OWN, Query, Rule, RuleGroup
from dashboards.settings import GrafanaSettings, InfluxVersion
from dashboards.sources import KIND, UID

EXPRESSION = "__expr__"
VALUE, WHEN, FIRES = "V", "W", "F"
"""Letters of the number told, of whether it fires, and of the threshold on that."""


def rule_groups(settings: GrafanaSettings) -> tuple[RuleGroup, ...]:
    """Return all groups of rules."""
    made = {board.name: board for board in boards(settings.limits)}
    return tuple(
        RuleGroup(group.name, EVERY_S, tuple(rule(alarm, made, settings) for alarm in group.alarms)) for group in GROUPS
    )


def rule(alarm: Alarm, made: dict[str, Board], settings: GrafanaSettings) -> Rule:
    """Return a rule.

    Raises
    ------
    ValueError
        If the panel that is to show it is not there.
    """
    name, title = alarm.panel
    choices, language = alarm.choices, settings.language
    return Rule(
        uid=f"{OWN}-{alarm.name}",
        title=alarm.title.in_(language),
        condition=FIRES,
        queries=(
            *(_query(letter, looked, settings) for letter, looked in alarm.looked.items()),
            *(_reduced(letter) for letter in alarm.looked),
            _reckoned(VALUE, alarm.value),
            _reckoned(WHEN, alarm.when),
            _threshold(),
        ),
        no_data=choices.no_data,
        on_error=choices.on_error,
        for_s=choices.for_s,
        keep_firing_s=choices.keep_s,
        missing_evals=choices.missing_evals,
        labels={
            "kind": str(alarm.kind),
            "severity": alarm.severity.value,
            **({"rule": alarm.rule} if alarm.rule else {}),
        },
        annotations={"summary": alarm.summary.in_(language), "description": alarm.detail.in_(language)},
        board_uid=uid(name),
        panel_id=panel_number(made[name], title),
    )


def panel_number(board: Board, title: str) -> int:
    """Return the number of a panel by its English title.

    Raises
    ------
    ValueError
        If there is none, or more than one.
    """
    found = [number for number, panel in enumerate(board.panels, 1) if panel.title.en == title]
    if len(found) != 1:
        raise ValueError(f"{board.name}: {len(found)} panels are called {title!r}")
    return found[0]


def _query(letter: str, looked: Looked, settings: GrafanaSettings) -> Query:
    model: dict[str, Any] = {
        "refId": letter,
        "datasource": {"type": KIND, "uid": UID},
        "query": query(looked.ask, settings),
    }
    if settings.version is InfluxVersion.ONE:
        model |= {"rawQuery": True, "resultFormat": "time_series"}
    return Query(ref_id=letter, source_uid=UID, model=model, from_s=looked.back_s)


def _reduced(letter: str) -> Query:
    return _expression(f"R{letter}", "reduce", letter, reducer="last", settings={"mode": "dropNN"})


def _reckoned(letter: str, formula: str) -> Query:
    return _expression(letter, "math", formula)


def _threshold() -> Query:
    return _expression(FIRES, "threshold", WHEN, conditions=[{"evaluator": {"type": "gt", "params": [0]}}])


def _expression(letter: str, kind: str, of: str, **more: Any) -> Query:
    source = {"type": EXPRESSION, "uid": EXPRESSION}
    model = {"refId": letter, "datasource": source, "type": kind, "expression": of, **more}
    return Query(ref_id=letter, source_uid=EXPRESSION, model=model)
