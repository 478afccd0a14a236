"""A `GrafanaSet` as Grafana's provisioning files spell it.

In most values of these files Grafana replaces ``$name``, ``${name}`` and ``$__file{path}``; a dollar that is meant
stands twice there. Queries of rules, annotations, mute times and the texts of templates are taken as they are [1]_.

References
----------
.. [1] Grafana, ``pkg/services/provisioning``: ``values/values.go`` and ``alerting/*_types.go``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboards.model import ContactPoint, DataSource, GrafanaSet, Query, Route, Rule, RuleGroup, Secret

ORGANIZATION = 1
HOUR_S, MINUTE_S = 3600, 60


def literal(text: str) -> str:
    """Return text that Grafana is to take as it is: in provisioning files it replaces ``$name``.

    >>> literal("a$b")
    'a$$b'
    """
    return text.replace("$", "$$")


def duration(seconds: int) -> str:
    """Return a span of time as Grafana spells it.

    >>> duration(300), duration(7200), duration(90)
    ('5m', '2h', '90s')
    """
    for unit_s, name in ((HOUR_S, "h"), (MINUTE_S, "m")):
        if seconds and seconds % unit_s == 0:
            return f"{seconds // unit_s}{name}"
    return f"{seconds}s"


def datasources_file(whole: GrafanaSet, secrets_dir: str) -> dict[str, Any]:
    """Return ``provisioning/datasources/heatwatch.yaml``. Secrets stand in it by the name of their file only."""
    return {"apiVersion": 1, "prune": True, "datasources": [_source(each, secrets_dir) for each in whole.sources]}


def alerting_file(whole: GrafanaSet, secrets_dir: str) -> dict[str, Any]:
    """Return ``provisioning/alerting/heatwatch.yaml``: receivers, policies, mute times, texts and rules in one file.

    A policy of a file is the whole tree of that Grafana. Its root is ours too: whatever else is there goes to the
    receiver of our alerts.
    """
    content: dict[str, Any] = {"apiVersion": 1}
    if whole.contact_points:
        content["contactPoints"] = [_contact_point(point, secrets_dir) for point in whole.contact_points]
    if whole.mute_times:
        content["muteTimes"] = [
            {"orgId": ORGANIZATION, "name": mute.name, "time_intervals": [dict(each) for each in mute.intervals]}
            for mute in whole.mute_times
        ]
    if whole.templates:
        content["templates"] = [
            {"orgId": ORGANIZATION, "name": template.name, "template": template.text} for template in whole.templates
        ]
    route = whole.own_route
    if route:
        root = {"receiver": literal(route.receiver), "group_by": [literal(label) for label in route.group_by]}
        content["policies"] = [{"orgId": ORGANIZATION, **root, "routes": [_interpolated(policy(route), secrets_dir)]}]
    if whole.groups:
        content["groups"] = [_group(group, whole.folder.title) for group in whole.groups]
    return content


def policy(route: Route) -> dict[str, Any]:
    """Return a policy; files and calls spell it alike, but for dollars."""
    waits = {
        "group_wait": route.group_wait_s,
        "group_interval": route.group_interval_s,
        "repeat_interval": route.repeat_interval_s,
    }
    lists = {
        "group_by": route.group_by,
        "mute_time_intervals": route.mute_times,
        "active_time_intervals": route.active_times,
    }
    return {
        "receiver": route.receiver,
        **{name: list(values) for name, values in lists.items() if values},
        **({"object_matchers": [list(matcher) for matcher in route.matchers]} if route.matchers else {}),
        **{name: duration(wait_s) for name, wait_s in waits.items() if wait_s is not None},
        **({"continue": True} if route.goes_on else {}),
        **({"routes": [policy(below) for below in route.routes]} if route.routes else {}),
    }


def query(asked: Query) -> dict[str, Any]:
    """Return a query of a rule; files and calls spell it alike."""
    return {
        "refId": asked.ref_id,
        "datasourceUid": asked.source_uid,
        "relativeTimeRange": {"from": asked.from_s, "to": asked.to_s},
        "model": dict(asked.model),
    }


def _source(source: DataSource, secrets_dir: str) -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": source.name,
        "uid": source.uid,
        "type": source.kind,
        "access": "proxy",
        "url": source.url,
        "editable": False,
        "jsonData": source.json_data,
        **({"user": source.user} if source.user else {}),
        **({"secureJsonData": source.secrets} if source.secrets else {}),
    }
    return {key: _interpolated(value, secrets_dir) for key, value in content.items()}


def _contact_point(point: ContactPoint, secrets_dir: str) -> dict[str, Any]:
    receivers = [
        {
            "uid": receiver.uid,
            "type": receiver.kind,
            "disableResolveMessage": not receiver.tells_resolved,
            "settings": _interpolated(receiver.settings, secrets_dir),
        }
        for receiver in point.receivers
    ]
    return {"orgId": ORGANIZATION, "name": literal(point.name), "receivers": receivers}


def _group(group: RuleGroup, folder: str) -> dict[str, Any]:
    return {
        "orgId": ORGANIZATION,
        "name": literal(group.name),
        "folder": literal(folder),
        "interval": duration(group.interval_s),
        "rules": [_rule(rule) for rule in group.rules],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "uid": rule.uid,
        "title": literal(rule.title),
        "condition": rule.condition,
        "for": duration(rule.for_s),
        **({"keepFiringFor": duration(rule.keep_firing_s)} if rule.keep_firing_s else {}),
        **({} if rule.missing_evals is None else {"missing_series_evals_to_resolve": rule.missing_evals}),
        "noDataState": rule.no_data.value,
        "execErrState": rule.on_error.value,
        **({"dashboardUid": rule.board_uid} if rule.board_uid else {}),
        **({} if rule.panel_id is None else {"panelId": rule.panel_id}),
        "labels": {name: literal(value) for name, value in rule.all_labels.items()},
        "annotations": dict(rule.annotations),
        "data": [query(each) for each in rule.queries],
    }


def _interpolated(value: Any, secrets_dir: str) -> Any:
    """Return a value of which Grafana replaces dollars: texts as they are meant, secrets by their file."""
    match value:
        case Secret():
            return f"$__file{{{secrets_dir}/{value.file}}}"
        case str():
            return literal(value)
        case Mapping():
            return {key: _interpolated(each, secrets_dir) for key, each in value.items()}
        case list() | tuple():
            return [_interpolated(each, secrets_dir) for each in value]
        case _:
            return value
