"""Changes of the folder, the data sources and the boards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from dashboards.model import OWN, DataSource, Folder, GrafanaSet, Json, Secret, is_ours
from dashboards.push import spelling
from dashboards.push.change import HIDDEN, Change, Kind, Site, created, not_ours, removed, updated
from dashboards.push.differences import Difference, differences

MOST_BOARDS = 5000
MESSAGE = "heatwatch dashboards push"


def folder_change(site: Site, folder: Folder) -> Change:
    """Return what is to be done to our folder."""
    wanted, path = {"uid": folder.uid, "title": folder.title}, f"/folders/{folder.uid}"
    theirs = site.grafana.find(path)
    if theirs is None:
        return created(Kind.FOLDER, folder.uid, partial(site.grafana.post, "/folders", wanted))
    found = differences({key: theirs.get(key) for key in wanted}, wanted)
    do = partial(site.grafana.put, path, {"title": folder.title, "overwrite": True})
    return updated(Kind.FOLDER, folder.uid, found, do, by_file=bool(theirs.get("managedBy")))


def source_change(site: Site, source: DataSource) -> Change:
    """Return what is to be done to a data source."""
    wanted, path = spelling.source(source), f"/datasources/uid/{source.uid}"
    theirs = site.grafana.find(path)
    if theirs is None:
        make = partial(_send_source, site, wanted, source.secrets)
        return created(Kind.SOURCE, source.uid, make, needs=source.secrets.values())
    if theirs.get("type") != source.kind:
        raise not_ours(Kind.SOURCE, source.uid, f"it is of type {theirs.get('type')}")
    known = theirs.get("secureJsonFields") or {}
    sent = {name: secret for name, secret in source.secrets.items() if site.anew or not known.get(name)}
    found = [
        *differences({key: theirs.get(key) for key in wanted}, wanted),
        *(Difference(f"secureJsonData.{name}", HIDDEN if known.get(name) else None, HIDDEN) for name in sent),
    ]
    # Which source is the default of that Grafana is for its people to say.
    whole = {**wanted, "isDefault": bool(theirs.get("isDefault"))}
    do = partial(_send_source, site, whole, sent, path)
    return updated(Kind.SOURCE, source.uid, found, do, by_file=bool(theirs.get("readOnly")), needs=sent.values())


def _send_source(site: Site, body: Json, secrets: Mapping[str, Secret], path: str = "") -> None:
    """Put a data source where it is, or make it; secrets that are not sent stay as they are."""
    words = {name: site.told(secret) for name, secret in secrets.items()}
    whole: dict[str, Any] = {**body, **({"secureJsonData": words} if words else {})}
    if path:
        site.grafana.put(path, whole)
    else:
        site.grafana.post("/datasources", whole)


def board_change(site: Site, board: Json, folder: str) -> Change:
    """Return what is to be done to a board, which lies in the folder with that uid."""
    uid = str(board["uid"])
    body = {"dashboard": {**board, "id": None}, "folderUid": folder, "overwrite": True, "message": MESSAGE}
    do = partial(site.grafana.post, "/dashboards/db", body, again=True)
    answer = site.grafana.find(f"/dashboards/uid/{uid}")
    if answer is None:
        return created(Kind.BOARD, uid, do)
    theirs, meta = answer["dashboard"], answer.get("meta") or {}
    if OWN not in (theirs.get("tags") or []):
        raise not_ours(Kind.BOARD, uid, f"it lacks the tag {OWN}")
    kept = {key: value for key, value in theirs.items() if key not in {"id", "version"}}
    found = differences({"folder": meta.get("folderUid"), **kept}, {"folder": folder, **board}, verbatim=True)
    return updated(Kind.BOARD, uid, found, do, by_file=bool(meta.get("provisioned")))


def boards_gone(site: Site, whole: GrafanaSet) -> Iterator[Change]:
    """Give boards to be removed: our uid, our tag, our folder. With less than all three, one is not ours."""
    wanted = {str(board["uid"]) for board in whole.boards}
    for hit in site.grafana.get(f"/search?type=dash-db&tag={OWN}&limit={MOST_BOARDS}"):
        uid = str(hit.get("uid"))
        ours = is_ours(uid) and hit.get("folderUid") == whole.folder.uid and OWN in (hit.get("tags") or [])
        if ours and uid not in wanted:
            yield removed(Kind.BOARD, uid, partial(site.grafana.delete, f"/dashboards/uid/{uid}"), by_file=False)
