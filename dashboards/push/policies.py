"""Our notification policy within Grafana's tree of them, which can only be replaced as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from dashboards.model import OWN, OWNER, GrafanaSet, Json, is_ours
from dashboards.push.change import BY_FILE, PROVISIONING, Action, Change, Kind, Site, created, kept_by_file, updated
from dashboards.push.client import Grafana
from dashboards.push.differences import differences
from dashboards.push.spelling import route
from heatwatch.errors import BadInput

PATH = f"{PROVISIONING}/policies"
UNORDERED = ("object_matchers", "group_by", "mute_time_intervals", "active_time_intervals")


def policy_changes(site: Site, whole: GrafanaSet) -> Iterator[Change]:
    """Give what is to be done to our policy; nothing where there is none and none is wanted."""
    ours = route(whole.own_route) if whole.own_route else None
    tree = site.grafana.get(PATH)
    theirs = [each for each in tree.get("routes") or [] if is_our_route(each)]
    do = partial(_put_policy, site.grafana, ours)
    if ours is not None and theirs:
        found = differences(theirs if len(theirs) > 1 else _sorted(theirs[0]), _sorted(ours))
        if found:
            _check(tree)
        yield updated(Kind.POLICY, OWN, found, do, by_file=False)
    elif ours is not None:
        _check(tree)
        yield created(Kind.POLICY, OWN, do)
    elif theirs:
        _check(tree)
        yield Change(Kind.POLICY, OWN, Action.REMOVE, do=do)


def merged(tree: Json, ours: Json | None) -> dict[str, Any]:
    """Return the tree with our policy in it, or without, and all else as it was.

    A new one comes first: a policy of someone else that takes every alert would otherwise keep ours from it. One that
    is there stays where it is: someone may have moved it.

    >>> merged({"receiver": "mail", "routes": [{"receiver": "night"}]}, {"receiver": "heatwatch"})
    {'receiver': 'mail', 'routes': [{'receiver': 'heatwatch'}, {'receiver': 'night'}]}
    """
    there = list(tree.get("routes") or [])
    place = next((place for place, each in enumerate(there) if is_our_route(each)), 0)
    kept = [each for each in there if not is_our_route(each)]
    if ours is not None:
        kept.insert(place, dict(ours))
    body = {key: value for key, value in tree.items() if key not in {"routes", "provenance"}}
    return {**body, "routes": kept} if kept or "routes" in tree else body


def is_our_route(each: Json) -> bool:
    """Whether a policy is ours: our alerts to a contact point of ours. Either alone may be someone's own wish."""
    return [OWNER, "=", OWN] in (each.get("object_matchers") or []) and is_ours(str(each.get("receiver")))


def _sorted(each: Json) -> dict[str, Any]:
    """Return a policy with lists sorted whose order means nothing: Grafana keeps an order of its own."""
    lists = {key: sorted(each[key]) for key in UNORDERED if each.get(key)}
    return {**each, **lists, "routes": [_sorted(below) for below in each.get("routes") or []]}


def _put_policy(grafana: Grafana, ours: Json | None) -> None:
    """Read the tree again and put it: what someone changed in it since the plan was made is kept."""
    tree = grafana.get(PATH)
    _check(tree)
    # Without a provenance the tree can be changed by hand. That is to stay so: most of it is not ours.
    grafana.put(PATH, merged(tree, ours), editable=not tree.get("provenance"))


def _check(tree: Json) -> None:
    if kept_by_file(tree):
        mend = "add our policy to that file, as `heatwatch dashboards render` writes it"
        raise BadInput(BY_FILE, where="the tree of notification policies", mend=mend)
