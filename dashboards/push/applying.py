"""Do what a plan says, and say what was done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dashboards.push.change import Action, Change, Site
from dashboards.push.client import Grafana
from heatwatch.errors import BadInput, HeatwatchError


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of a plan.

    Attributes
    ----------
    done
        What was changed.
    left
        What was not, the failed one first. The next run finds out anew.
    error
        Why; None where all was done.
    """

    done: tuple[Change, ...]
    left: tuple[Change, ...]
    error: HeatwatchError | None


def apply(site: Site, changes: Sequence[Change]) -> Applied:
    """Change what is to be changed, in the plan's order, up to the first failure.

    Secrets are read first: a file that is missing is no reason to stop halfway.

    Raises
    ------
    BadInput
        If a secret cannot be read; then nothing was changed.
    """
    todo = [change for change in changes if change.action is not Action.UNCHANGED]
    for secret in {secret for change in todo for secret in change.needs}:
        site.told(secret)
    for number, change in enumerate(todo):
        try:
            change.do()
        except HeatwatchError as error:
            return Applied(tuple(todo[:number]), tuple(todo[number:]), error)
    return Applied(tuple(todo), (), None)


def check(grafana: Grafana) -> str:
    """Return the version of a Grafana, empty where it tells none, having seen that it is one and well.

    Raises
    ------
    BadInput
        If it is none.
    Unavailable
        If it does not answer.
    """
    health = grafana.get("/health")
    if not isinstance(health, dict) or "database" not in health:
        raise BadInput("answers, but not as a Grafana does", where=grafana.name, mend="is it a Grafana's address?")
    return str(health.get("version", ""))


def told(changes: Sequence[Change]) -> Iterator[str]:
    """Give a line for each thing, and for each place in which it differs."""
    for change in changes:
        yield f"{change.action:<10} {change.kind:<14} {change.name}"
        shown = change.differences[:MOST_LINES]
        yield from (f"{'':11}{difference}" for difference in shown)
        if len(change.differences) > len(shown):
            yield f"{'':11}and {len(change.differences) - len(shown)} more"


MOST_LINES = 12
"""How many differences of one thing are told; JSON has them all."""
