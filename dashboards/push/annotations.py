"""Outages, notices and planned stops as annotations: what hangs in the boards' curves.

Each carries our tag and one that is its own, as ``heatwatch:finding:12``; by that it is found again. What goes on is a
point at its start; when it ends it becomes a span.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dashboards.model import OWN
from dashboards.push.client import Grafana
from heatwatch.errors import BadInput

PATH = "/annotations"
OPEN = "open"
"""The tag of what has not ended."""
MOST = 100_000
"""How many annotations are asked for; there is no way to ask for the next ones."""
FIRST_MS, LAST_MS = 1, 2**52


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """What is to be seen on the boards.

    Attributes
    ----------
    kind, number
        What it is, and which: ``finding``, ``notice`` or ``stop`` and its number; together unique for good.
    start_ms, end_ms
        When [ms]; no end while it goes on.
    text
        What is said of it.
    tags
        What boards choose by, as ``station:S1``; our own are added.
    withdrawn
        Whether it never was: then it is taken off the boards.
    """

    kind: str
    number: int
    start_ms: int
    end_ms: int | None
    text: str
    tags: tuple[str, ...] = ()
    withdrawn: bool = False

    @property
    def own_tag(self) -> str:
        """The tag that only this one has."""
        return f"{OWN}:{self.kind}:{self.number}"

    def sent(self) -> Sent:
        """Return it as Grafana keeps it."""
        going_on = (OPEN,) if self.end_ms is None else ()
        tags = (OWN, self.own_tag, *sorted({*self.tags, *going_on}))
        return Sent(self.start_ms, self.start_ms if self.end_ms is None else self.end_ms, self.text, tags)


@dataclass(frozen=True, slots=True)
class Sent:
    """An annotation as Grafana keeps it; a point's end is its start."""

    time_ms: int
    end_ms: int
    text: str
    tags: tuple[str, ...]

    def body(self) -> dict[str, Any]:
        """Return it as it is sent."""
        return {"time": self.time_ms, "timeEnd": self.end_ms, "text": self.text, "tags": list(self.tags)}


@dataclass(frozen=True, slots=True)
class Known:
    """An annotation that is in a Grafana under a number of Grafana's."""

    id: int
    sent: Sent


def known_annotations(grafana: Grafana, from_ms: int = FIRST_MS, to_ms: int = LAST_MS) -> dict[str, list[Known]]:
    """Return ours that lie within a time by their own tags; more than one where a call was answered and not heard.

    Raises
    ------
    BadInput
        If there are more than `MOST`: then some would be brought twice. Also as `Grafana.get` does.
    Unavailable
        If Grafana does not answer.
    """
    query = f"type=annotation&tags={OWN}&limit={MOST}&from={from_ms}&to={to_ms}"
    there = grafana.get(f"{PATH}?{query}")
    if len(there) >= MOST:
        raise BadInput(f"has {MOST:,} annotations of ours or more", where=grafana.name, mend="ask for a shorter time")
    found: dict[str, list[Known]] = {}
    for each in there:
        tags = each.get("tags") or []
        for tag in tags:
            if tag.startswith(f"{OWN}:"):
                time_ms = int(each["time"])
                sent = Sent(time_ms, int(each.get("timeEnd") or time_ms), each.get("text", ""), _ordered(tags, tag))
                found.setdefault(tag, []).append(Known(int(each["id"]), sent))
    return found


def push_annotations(
    grafana: Grafana, items: Iterable[Annotation], known: Mapping[str, list[Known]]
) -> dict[str, list[Known]]:
    """Bring annotations into a Grafana: what is new, changed or withdrawn among `items`; all else stays.

    Parameters
    ----------
    grafana
        Where to.
    items
        What is to be seen; of one that is there twice, the last counts.
    known
        What is there, as `known_annotations` or the last call said.

    Returns
    -------
    What is there now. After an error, ask `known_annotations` again.

    Raises
    ------
    BadInput, Unavailable
        As `Grafana.get` does. What was brought stays; the same call again completes it.
    """
    now = {tag: list(there) for tag, there in known.items()}
    for item in {item.own_tag: item for item in items}.values():
        there = now.pop(item.own_tag, [])
        surplus = there if item.withdrawn else there[1:]
        for each in surplus:
            grafana.delete(f"{PATH}/{each.id}")
        if not item.withdrawn:
            now[item.own_tag] = [_placed(grafana, item.sent(), there[0] if there else None)]
    return now


def _placed(grafana: Grafana, wanted: Sent, there: Known | None) -> Known:
    if there is None:
        return Known(int(grafana.post(PATH, wanted.body())["id"]), wanted)
    if there.sent != wanted:
        grafana.put(f"{PATH}/{there.id}", wanted.body())
    return Known(there.id, wanted)


def _ordered(tags: Iterable[str], own_tag: str) -> tuple[str, ...]:
    """Return tags in the order of `Annotation.sent`; Grafana keeps none."""
    return (OWN, own_tag, *sorted({*tags} - {OWN, own_tag}))
