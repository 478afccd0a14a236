"""A `GrafanaSet` as Grafana's HTTP interface spells it, which differs from its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dashboards.filing import ORGANIZATION, duration, policy, query
from dashboards.model import ContactPoint, DataSource, Json, MuteTime, Receiver, Route, Rule, RuleGroup, Secret

Reveal = Callable[[tuple[str, ...], Secret], str]
"""Gives what is sent for a secret, by where it stands and its file."""


def source(wanted: DataSource) -> dict[str, Any]:
    """Return a data source without its secrets."""
    return {
        "uid": wanted.uid,
        "name": wanted.name,
        "type": wanted.kind,
        "access": "proxy",
        "url": wanted.url,
        "user": wanted.user,
        "jsonData": dict(wanted.json_data),
    }


def receiver(point: ContactPoint, wanted: Receiver, reveal: Reveal) -> dict[str, Any]:
    """Return one way of a contact point: over HTTP each stands alone, under the name of the contact point."""
    return {
        "uid": wanted.uid,
        "name": point.name,
        "type": wanted.kind,
        "disableResolveMessage": not wanted.tells_resolved,
        "settings": _revealed(wanted.settings, reveal, ()),
    }


def secret_places(settings: Json, above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Secret]:
    """Return the secrets in settings by where they stand."""
    found: dict[tuple[str, ...], Secret] = {}
    for key, value in settings.items():
        if isinstance(value, Secret):
            found[*above, key] = value
        elif isinstance(value, Mapping):
            found |= secret_places(value, (*above, key))
    return found


def mute_time(wanted: MuteTime) -> dict[str, Any]:
    """Return a mute time."""
    return {"name": wanted.name, "time_intervals": [dict(interval) for interval in wanted.intervals]}


def route(wanted: Route) -> dict[str, Any]:
    """Return our policy."""
    return policy(wanted)


def group(wanted: RuleGroup, folder: str) -> dict[str, Any]:
    """Return a group of rules in the folder with that uid."""
    return {
        "title": wanted.name,
        "folderUid": folder,
        "interval": wanted.interval_s,
        "rules": [_rule(each, wanted.name, folder) for each in wanted.rules],
    }


def _rule(wanted: Rule, group_name: str, folder: str) -> dict[str, Any]:
    panel = {} if wanted.panel_id is None else {"__panelId__": str(wanted.panel_id)}
    board = {"__dashboardUid__": wanted.board_uid} if wanted.board_uid else {}
    return {
        "uid": wanted.uid,
        "orgID": ORGANIZATION,
        "folderUID": folder,
        "ruleGroup": group_name,
        "title": wanted.title,
        "condition": wanted.condition,
        "data": [query(each) for each in wanted.queries],
        "for": duration(wanted.for_s),
        **({"keep_firing_for": duration(wanted.keep_firing_s)} if wanted.keep_firing_s else {}),
        **({} if wanted.missing_evals is None else {"missingSeriesEvalsToResolve": wanted.missing_evals}),
        "noDataState": wanted.no_data.value,
        "execErrState": wanted.on_error.value,
        "labels": wanted.all_labels,
        "annotations": {**wanted.annotations, **board, **panel},
    }


def _revealed(value: Any, reveal: Reveal, place: tuple[str, ...]) -> Any:
    match value:
        case Secret():
            return reveal(place, value)
        case Mapping():
            return {key: _revealed(each, reveal, (*place, key)) for key, each in value.items()}
        case _:
            return value
