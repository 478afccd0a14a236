"""Changes of what Grafana's alerting keeps: texts, contact points, mute times and rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from dashboards.model import ContactPoint, GrafanaSet, Json, Receiver, RuleGroup, Secret, is_ours
from dashboards.push import spelling
from dashboards.push.change import (
    HIDDEN,
    PROVISIONING,
    Change,
    Kind,
    Site,
    created,
    kept_by_file,
    not_ours,
    quoted,
    removed,
    updated,
)
from dashboards.push.client import NOT_FOUND, Refused
from dashboards.push.differences import Difference, differences
from heatwatch.errors import BadInput

RULES = f"{PROVISIONING}/alert-rules"
POINTS = f"{PROVISIONING}/contact-points"
MUTE_TIMES = f"{PROVISIONING}/mute-timings"
TEMPLATES = f"{PROVISIONING}/templates"


def listed(site: Site, path: str) -> list[Json]:
    """Return the things that a Grafana has of a kind.

    Raises
    ------
    BadInput
        If it does not know the kind.
    """
    try:
        found: list[Json] = site.grafana.get(path) or []
    except Refused as error:
        if error.status == NOT_FOUND:
            mend = "is it older than 11, or newer than 13? Use the files of `heatwatch dashboards render`"
            raise BadInput(f"does not know /api{path}", where=site.grafana.name, mend=mend) from None
        raise
    return found


def template_changes(site: Site, whole: GrafanaSet, there: Iterable[Json]) -> Iterator[Change]:
    """Give what is to be done to our texts."""
    known = {each["name"]: each for each in there}
    for template in whole.templates:
        path, body = f"{TEMPLATES}/{quoted(template.name)}", {"template": template.text}
        yield _put(site, Kind.TEMPLATE, template.name, known.get(template.name), path, body)


def mute_time_changes(site: Site, whole: GrafanaSet, there: Iterable[Json]) -> Iterator[Change]:
    """Give what is to be done to our mute times."""
    known = {each["name"]: each for each in there}
    for mute in whole.mute_times:
        body = spelling.mute_time(mute)
        if mute.name in known:
            yield _put(site, Kind.MUTE_TIME, mute.name, known[mute.name], f"{MUTE_TIMES}/{quoted(mute.name)}", body)
        else:
            yield created(Kind.MUTE_TIME, mute.name, partial(site.grafana.post, MUTE_TIMES, body))


def _put(site: Site, kind: Kind, name: str, theirs: Json | None, path: str, body: Json) -> Change:
    do = partial(site.grafana.put, path, body)
    if theirs is None:
        return created(kind, name, do)
    found = differences({key: theirs.get(key) for key in body}, body)
    return updated(kind, name, found, do, by_file=kept_by_file(theirs))


def contact_point_changes(site: Site, whole: GrafanaSet, there: Iterable[Json]) -> Iterator[Change]:
    """Give what is to be done to each way of our contact points."""
    known = {each.get("uid"): each for each in there}
    for point in whole.contact_points:
        for receiver in point.receivers:
            yield _receiver(site, point, receiver, known.get(receiver.uid))


def _receiver(site: Site, point: ContactPoint, receiver: Receiver, theirs: Json | None) -> Change:
    """Compare all but secrets. In the place of one that it has, Grafana shows a mask; sent back, it means the same."""
    places = spelling.secret_places(receiver.settings)
    if theirs is None:
        do = partial(_send_receiver, site, point, receiver, {})
        return created(Kind.RECEIVER, receiver.uid, do, needs=places.values())
    if not is_ours(str(theirs.get("name"))):
        raise not_ours(Kind.RECEIVER, receiver.uid, f"its name is {theirs.get('name')!r}")
    shown = {place: mask for place in places if (mask := _at(theirs.get("settings"), place))}
    kept = {} if site.anew else shown
    sent = {place: secret for place, secret in places.items() if place not in kept}
    wanted = spelling.receiver(point, receiver, lambda place, _: str(shown.get(place, "")))
    found = [
        *differences({key: theirs.get(key) for key in wanted}, wanted),
        *(Difference(".".join(("settings", *place)), HIDDEN if place in shown else None, HIDDEN) for place in sent),
    ]
    do = partial(_send_receiver, site, point, receiver, kept, path=f"{POINTS}/{receiver.uid}")
    return updated(Kind.RECEIVER, receiver.uid, found, do, by_file=kept_by_file(theirs), needs=sent.values())


def _send_receiver(
    site: Site, point: ContactPoint, receiver: Receiver, kept: Mapping[tuple[str, ...], str], path: str = ""
) -> None:
    """Put one way of a contact point where it is, or make it, with its secrets but for those that are kept."""

    def reveal(place: tuple[str, ...], secret: Secret) -> str:
        return kept[place] if place in kept else site.told(secret)

    body = spelling.receiver(point, receiver, reveal)
    if path:
        site.grafana.put(path, body)
    else:
        site.grafana.post(POINTS, body)


def _at(settings: Any, place: tuple[str, ...]) -> Any:
    for key in place:
        settings = settings.get(key) if isinstance(settings, Mapping) else None
    return settings


def group_changes(site: Site, whole: GrafanaSet, rules: Iterable[Json]) -> Iterator[Change]:
    """Give what is to be done to our groups of rules."""
    there = list(rules)
    for group in whole.groups:
        _check_group(whole, group, there)
        yield _group(site, whole.folder.uid, group, there)


def _check_group(whole: GrafanaSet, group: RuleGroup, there: Iterable[Json]) -> None:
    """Refuse where putting a group would take away, or take over, what is not ours."""
    wanted = {rule.uid for rule in group.rules}
    for rule in there:
        uid, inside = str(rule.get("uid")), rule.get("folderUID") == whole.folder.uid
        if uid in wanted and not inside:
            raise not_ours(Kind.RULE, uid, f"it lies in the folder {rule.get('folderUID')!r}")
        if inside and rule.get("ruleGroup") == group.name and not is_ours(uid):
            raise not_ours(Kind.RULE, uid, f"it lies in our group {group.name!r}; move it to another")


def _group(site: Site, folder: str, group: RuleGroup, there: Iterable[Json]) -> Change:
    path = f"{PROVISIONING}/folder/{folder}/rule-groups/{quoted(group.name)}"
    wanted = spelling.group(group, folder)
    do = partial(site.grafana.put, path, wanted)
    is_there = any(rule.get("folderUID") == folder and rule.get("ruleGroup") == group.name for rule in there)
    theirs = site.grafana.find(path) if is_there else None
    if theirs is None:
        return created(Kind.GROUP, group.name, do)
    found = differences(_by_uid(theirs), _by_uid(wanted))
    by_file = any(kept_by_file(rule) for rule in theirs.get("rules") or [])
    return updated(Kind.GROUP, group.name, found, do, by_file=by_file)


def _by_uid(group: Json) -> dict[str, Any]:
    """Return a group without what only Grafana says of its rules, which stand under their uids."""
    told = {"id", "orgID", "provenance", "updated", "guid"}
    rules = {rule["uid"]: {k: v for k, v in rule.items() if k not in told} for rule in group.get("rules") or []}
    return {"interval": group.get("interval"), "rules": rules}


def rules_gone(site: Site, whole: GrafanaSet, rules: Iterable[Json]) -> Iterator[Change]:
    """Give our rules in groups that we no longer have; a group that is put loses its own by that."""
    groups, wanted = {group.name for group in whole.groups}, {rule.uid for rule in whole.rules}
    for rule in rules:
        uid = str(rule.get("uid"))
        ours = is_ours(uid) and rule.get("folderUID") == whole.folder.uid
        if ours and uid not in wanted and rule.get("ruleGroup") not in groups:
            yield removed(Kind.RULE, uid, partial(site.grafana.delete, f"{RULES}/{uid}"), by_file=kept_by_file(rule))


def contact_points_gone(site: Site, whole: GrafanaSet, there: Iterable[Json]) -> Iterator[Change]:
    """Give ways of contact points that carry our uid and our name and are no longer wanted."""
    wanted = {receiver.uid for point in whole.contact_points for receiver in point.receivers}
    for each in there:
        uid = str(each.get("uid"))
        if is_ours(uid) and is_ours(str(each.get("name"))) and uid not in wanted:
            do = partial(site.grafana.delete, f"{POINTS}/{uid}")
            yield removed(Kind.RECEIVER, uid, do, by_file=kept_by_file(each))


def named_gone(site: Site, kind: Kind, path: str, there: Iterable[Json], wanted: set[str]) -> Iterator[Change]:
    """Give mute times or texts that carry our name and are no longer wanted."""
    for each in there:
        name = str(each.get("name"))
        if is_ours(name) and name not in wanted:
            do = partial(site.grafana.delete, f"{path}/{quoted(name)}")
            yield removed(kind, name, do, by_file=kept_by_file(each))
