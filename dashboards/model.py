"""What belongs into a Grafana, said once: `dashboards.filing` spells it as files, `dashboards.push.spelling` as calls.

Grafana keeps other people's things beside ours. What is ours is told by names: uids, and the names of what has no uid
of its own, are `OWN` or begin with it; boards carry it as their tag; alerts carry the label `OWNER` with it, by which
our one notification policy takes them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

OWN = "heatwatch"
OWNER = "owner"
"""The label of each of our alerts; its value is `OWN`."""
TICK_S = 10
"""Grafana's scheduler looks every so often: a group's interval is a multiple [s]."""
_UID = re.compile(r"[a-zA-Z0-9_-]{1,40}")

Json = Mapping[str, Any]
"""An object as Grafana keeps it."""


def is_ours(name: str) -> bool:
    """Whether a uid or a name is one of ours.

    >>> is_ours("heatwatch-readings"), is_ours("heatwatch"), is_ours("heatwatcher")
    (True, True, False)
    """
    return name == OWN or name.startswith(f"{OWN}-")


@dataclass(frozen=True, slots=True)
class Secret:
    """A word that stands in a file of its own: of Grafana's machine for files, of ours for calls.

    Attributes
    ----------
    file
        Name of the file in the folder of secrets.
    """

    file: str


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of our boards and alert rules."""

    uid: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """A data source: keys and values of `json_data` and `secrets` are Grafana's."""

    uid: str
    name: str
    kind: str
    url: str
    user: str = ""
    json_data: Json
    secrets: Mapping[str, Secret]


class NoData(StrEnum):
    """What a rule becomes when its queries answer with nothing."""

    NO_DATA = "NoData"
    ALERTING = "Alerting"
    OK = "OK"
    KEEP = "KeepLast"


class OnError(StrEnum):
    """What a rule becomes when its queries fail."""

    ERROR = "Error"
    ALERTING = "Alerting"
    OK = "OK"
    KEEP = "KeepLast"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query or expression of a rule.

    Attributes
    ----------
    ref_id
        Its letter; the model says it again.
    source_uid
        Data source, or ``__expr__``.
    model
        As the data source's own editor keeps it.
    from_s, to_s
        Time range before now [s]; both 0 for an expression.
    """

    ref_id: str
    source_uid: str
    model: Json
    from_s: int = 0
    to_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """An alert rule.

    Attributes
    ----------
    for_s
        How long the condition holds before it fires [s].
    keep_firing_s
        How long it goes on firing after that [s].
    missing_evals
        After how many evaluations a series that is missing resolves its alert; None for Grafana's own choice.
    labels
        Without `OWNER`, which each of our alerts has.
    board_uid, panel_id
        The panel that the alert links to; empty and None for none.
    """

    uid: str
    title: str
    condition: str
    queries: tuple[Query, ...]
    no_data: NoData
    on_error: OnError
    for_s: int = 0
    keep_firing_s: int = 0
    missing_evals: int | None = None
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    board_uid: str = ""
    panel_id: int | None = None

    @property
    def all_labels(self) -> dict[str, str]:
        """The labels with our own among them."""
        return {OWNER: OWN, **self.labels}


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Rules that are evaluated together, every `interval_s` [s]; they lie in our folder."""

    name: str
    interval_s: int
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """One way of a contact point; a value anywhere in its settings may be a `Secret`."""

    uid: str
    kind: str
    settings: Json
    tells_resolved: bool = True


@dataclass(frozen=True, slots=True)
class ContactPoint:
    """Who is told."""

    name: str
    receivers: tuple[Receiver, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A notification policy.

    Attributes
    ----------
    matchers
        (label, ``=`` ``!=`` ``=~`` ``!~``, value); all of them hold.
    group_wait_s, group_interval_s, repeat_interval_s
        Waiting times [s]; None takes the policy's above.
    goes_on
        Whether policies after it are asked too.
    """

    receiver: str
    matchers: tuple[tuple[str, str, str], ...] = ()
    group_by: tuple[str, ...] = ()
    group_wait_s: int | None = None
    group_interval_s: int | None = None
    repeat_interval_s: int | None = None
    mute_times: tuple[str, ...] = ()
    active_times: tuple[str, ...] = ()
    goes_on: bool = False
    routes: tuple[Route, ...] = ()

    def all_routes(self) -> Iterator[Route]:
        """Give this policy and those below it."""
        yield self
        for route in self.routes:
            yield from route.all_routes()


@dataclass(frozen=True, slots=True)
class MuteTime:
    """When nobody is told; intervals are spelled alike in files and calls."""

    name: str
    intervals: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """Texts of notifications."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GrafanaSet:
    """Everything of ours in a Grafana.

    Attributes
    ----------
    boards
        As Grafana keeps them, with ``uid`` and our tag, without ``id`` and ``version``.
    route
        The one policy of our alerts, with what lies below it. Its matcher for `OWNER` need not be said.

    Raises
    ------
    ValueError
        If it could not be told from what is not ours, or names what is not in it. All that is amiss is listed.
    """

    folder: Folder
    sources: tuple[DataSource, ...] = ()
    boards: tuple[Json, ...] = ()
    groups: tuple[RuleGroup, ...] = ()
    contact_points: tuple[ContactPoint, ...] = ()
    route: Route | None = None
    mute_times: tuple[MuteTime, ...] = ()
    templates: tuple[Template, ...] = ()

    def __post_init__(self) -> None:
        amiss = [*_strange(self), *_twice(self), *_dangling(self), *_illegal(self)]
        if amiss:
            raise ValueError("; ".join(amiss))

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules of all groups."""
        return tuple(rule for group in self.groups for rule in group.rules)

    @property
    def own_route(self) -> Route | None:
        """Our policy, which takes our alerts and no others."""
        ours = (OWNER, "=", OWN)
        if self.route is None or ours in self.route.matchers:
            return self.route
        return replace(self.route, matchers=(ours, *self.route.matchers))

    @property
    def has_alerts(self) -> bool:
        """Whether there is anything of Grafana's alerting in it."""
        return bool(self.groups or self.contact_points or self.route or self.mute_times or self.templates)


def _uids(whole: GrafanaSet) -> dict[str, list[str]]:
    return {
        "folder": [whole.folder.uid],
        "data source": [source.uid for source in whole.sources],
        "board": [str(board["uid"]) for board in whole.boards],
        "rule": [rule.uid for rule in whole.rules],
        "receiver": [receiver.uid for point in whole.contact_points for receiver in point.receivers],
    }


def _names(whole: GrafanaSet) -> dict[str, list[str]]:
    return {
        "contact point": [point.name for point in whole.contact_points],
        "mute time": [mute.name for mute in whole.mute_times],
        "template": [template.name for template in whole.templates],
    }


def _strange(whole: GrafanaSet) -> Iterator[str]:
    for kind, names in (_uids(whole) | _names(whole)).items():
        yield from (f"{kind} {name!r} does not begin with {OWN}-" for name in names if not is_ours(name))
    for kind, uids in _uids(whole).items():
        yield from (f"{kind} {uid!r} is no uid" for uid in uids if not _UID.fullmatch(uid))
    yield from (f"board {board['uid']!r} lacks the tag {OWN}" for board in whole.boards if OWN not in board["tags"])


def _twice(whole: GrafanaSet) -> Iterator[str]:
    groups = {"rule group": [group.name for group in whole.groups]}
    for kind, names in (_uids(whole) | _names(whole) | groups).items():
        yield from (f"{kind} {name!r} is there twice" for name, count in Counter(names).items() if count > 1)


def _dangling(whole: GrafanaSet) -> Iterator[str]:
    """Name what is named and not there. A bad file of alerts stops Grafana at its start."""
    points, mutes = set(_names(whole)["contact point"]), set(_names(whole)["mute time"])
    for route in whole.route.all_routes() if whole.route else ():
        yield from _absent([route.receiver], points, "receiver")
        yield from _absent([*route.mute_times, *route.active_times], mutes, "mute time")
    for rule in whole.rules:
        letters = {query.ref_id for query in rule.queries}
        yield from _absent([rule.condition], letters, f"condition of {rule.uid}")
        sources = {source.uid for source in whole.sources} | {"__expr__"}
        yield from _absent([query.source_uid for query in rule.queries], sources, f"data source of {rule.uid}")
        boards = {str(board["uid"]) for board in whole.boards}
        yield from _absent([rule.board_uid] if rule.board_uid else [], boards, f"board of {rule.uid}")


def _absent(named: Iterable[str], there: set[str], kind: str) -> Iterator[str]:
    yield from (f"{kind} {name!r} is not there" for name in named if name not in there)


def _illegal(whole: GrafanaSet) -> Iterator[str]:
    for group in whole.groups:
        if group.interval_s <= 0 or group.interval_s % TICK_S:
            yield f"group {group.name!r}: an interval is a multiple of {TICK_S} s"
    for rule in whole.rules:
        if any("${" in text for text in rule.annotations.values()):
            yield f"rule {rule.uid!r}: ${{…}} in an annotation is replaced by some versions of Grafana, in files only"
        for query in rule.queries:
            if query.model.get("refId") != query.ref_id:
                yield f"rule {rule.uid!r}: query {query.ref_id} has another refId in its model"
            if not (query.from_s > query.to_s >= 0 or query.from_s == query.to_s == 0):
                yield f"rule {rule.uid!r}: query {query.ref_id} has no time range"
