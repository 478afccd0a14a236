"""The table of rules, as the documentation has it."""

from __future__ import annotations

from collections.abc import Iterator

from dashboards.alerts.alarms import GROUPS, Alarm
from dashboards.filing import duration

MADE_BY = "<!-- made by dashboards/alerts/documented.py -->"
_HEAD = ("rule", "kind", "label `rule`", "severity", "`for`", "keeps firing", "missing", "no data", "error", "when")


def table() -> str:
    """Return a table of all rules and, below, why their waits and states are what they are."""
    rows = [_HEAD, ("---",) * len(_HEAD), *(_row(alarm) for group in GROUPS for alarm in group.alarms)]
    return "\n".join([MADE_BY, "", *("| " + " | ".join(row) + " |" for row in rows), "", *_reasons()]) + "\n"


def _row(alarm: Alarm) -> tuple[str, ...]:
    choices = alarm.choices
    return (
        f"`{alarm.name}` {alarm.title.zh}",
        f"`{alarm.kind}`",
        alarm.rule or " ",
        alarm.severity.value,
        duration(choices.for_s),
        duration(choices.keep_s),
        str(choices.missing_evals),
        choices.no_data.value,
        choices.on_error.value,
        f"`{alarm.when}`, `V` = `{alarm.value}`".replace("|", "\\|"),
    )


def _reasons() -> Iterator[str]:
    for group in GROUPS:
        yield from (f"- **{alarm.name}**: {alarm.choices.why}" for alarm in group.alarms)
