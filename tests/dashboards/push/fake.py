"""A small Grafana in memory, behind HTTP: it keeps what it is sent, and fails where a test says so.

What Grafana's description refuses, it refuses.

It answers as Grafana's interface does: empty bodies where there is nothing to say, secrets masked, spans of time and
queries of rules in Grafana's own spelling, and no deleting of what something else still points at.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import jsonschema

SCHEMAS = Path(__file__).parents[3].parent / "shared" / "schemas"
API = SCHEMAS / "grafana13-subset.openapi.json"
MODELS = SCHEMAS / "grafana13-http-models.schema.json"
TOKEN = "token-of-a-test"  # noqa: S105 - of a server that lives as long as a test
MASK = "[REDACTED]"
SECRET_KEYS = {"authorization_credentials", "password", "secret"}
FIRST_RECEIVER = "grafana-default-email"
DROPPED = -1
"""In the place of a status: the deed is done, and the connection breaks."""


class Refuse(Exception):  # noqa: N818 - an answer
    """What Grafana answers instead."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message
        super().__init__(message)


@dataclass
class FakeGrafana:
    """What is kept, and what was asked; a test may put in and take out."""

    url: str = ""
    folders: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, Any] = field(default_factory=dict)
    boards: dict[str, Any] = field(default_factory=dict)
    templates: dict[str, Any] = field(default_factory=dict)
    points: dict[str, Any] = field(default_factory=dict)
    mute_times: dict[str, Any] = field(default_factory=dict)
    tree: dict[str, Any] = field(default_factory=lambda: {"receiver": FIRST_RECEIVER})
    groups: dict[tuple[str, str], Any] = field(default_factory=dict)
    annotations: dict[int, Any] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    fails: dict[int, int] = field(default_factory=dict)
    """By the number of a call since `forget`: the status that it is answered with, or `DROPPED`."""
    headers: dict[str, str] = field(default_factory=dict)
    failure: bytes = b'{"message": "out of order"}'
    """What failures are sent with."""
    upstream: httpx.Client | None = None
    """A mock server that has to take every call that it knows; the schemas have to as well."""

    KEPT: ClassVar = (
        "folders", "sources", "boards", "templates", "points", "mute_times", "tree", "groups", "annotations",
    )  # fmt: skip

    @property
    def writes(self) -> list[tuple[str, str]]:
        """Every call that was no reading."""
        return [call for call in self.calls if call[0] != "GET"]

    def forget(self) -> None:
        """Forget the calls, and fail no more."""
        self.calls.clear()
        self.fails.clear()

    def kept(self) -> dict[str, Any]:
        """Return all that is kept."""
        return {name: deepcopy(getattr(self, name)) for name in self.KEPT}

    def answer(self, verb: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
        """Do a call, and return its status and body."""
        self.calls.append((verb, path))
        failure = self.fails.get(len(self.calls), 0)
        if failure > 0:
            return failure, self.failure
        if headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, {"message": "Invalid API key"}
        try:
            self._check(verb, path, body, headers)
            status, said = self._route(verb, path, body, editable="x-disable-provenance" in headers)
        except Refuse as refused:
            return refused.status, {"message": refused.message}
        return (DROPPED, None) if failure == DROPPED else (status, said)

    def _check(self, verb: str, path: str, body: Any, headers: dict[str, str]) -> None:
        if self.upstream is not None and _operation(verb, urlsplit(path).path):
            sent = {"authorization": headers["authorization"]}
            sent |= {name: value for name, value in headers.items() if name == "x-disable-provenance"}
            said = self.upstream.request(verb, path, headers=sent, json=body)
            if said.status_code >= 400:
                raise Refuse(said.status_code, said.headers.get("sl-violations", said.text))
        schema = _body_schema(verb, urlsplit(path).path)
        if schema is not None and (wrong := list(schema.iter_errors(body))):
            raise Refuse(400, wrong[0].message)

    def _route(self, verb: str, path: str, body: Any, *, editable: bool) -> tuple[int, Any]:
        asked = urlsplit(path)
        for pattern, do in ROUTES:
            if found := re.fullmatch(pattern, f"{verb} {asked.path.removeprefix('/api')}"):
                parts = [unquote(part) for part in found.groups()]
                return do(self, *parts, body=body, query=parse_qs(asked.query), provenance="" if editable else "api")
        raise Refuse(404, f"no such route: {verb} {path}")

    def _there(self, things: dict[Any, Any], name: Any) -> Any:
        if name not in things:
            raise Refuse(404, f"{name} not found")
        return things[name]

    def health(self, **_: Any) -> tuple[int, Any]:
        return 200, {"database": "ok", "version": "13.0.1"}

    def folder(self, uid: str, **_: Any) -> tuple[int, Any]:
        return 200, self._there(self.folders, uid)

    def folder_new(self, body: Any, **_: Any) -> tuple[int, Any]:
        if body["uid"] in self.folders:
            raise Refuse(412, "a folder with that uid already exists")
        self.folders[body["uid"]] = {**body, "version": 1}
        return 200, self.folders[body["uid"]]

    def folder_put(self, uid: str, body: Any, **_: Any) -> tuple[int, Any]:
        self._there(self.folders, uid)["title"] = body["title"]
        return 200, self.folders[uid]

    def source(self, uid: str, **_: Any) -> tuple[int, Any]:
        kept = self._there(self.sources, uid)
        shown = {key: value for key, value in kept.items() if key != "secrets"}
        return 200, {"basicAuth": False, **shown, "secureJsonFields": dict.fromkeys(kept["secrets"], True)}

    def source_new(self, body: Any, **_: Any) -> tuple[int, Any]:
        if body["uid"] in self.sources or body["name"] in {each["name"] for each in self.sources.values()}:
            raise Refuse(409, "data source with the same name already exists")
        return self._keep_source(body, {})

    def source_put(self, uid: str, body: Any, **_: Any) -> tuple[int, Any]:
        return self._keep_source({"isDefault": False, **body}, self._there(self.sources, uid)["secrets"])

    def _keep_source(self, body: Any, secrets: dict[str, str]) -> tuple[int, Any]:
        kept = {key: value for key, value in body.items() if key != "secureJsonData"}
        self.sources[body["uid"]] = {"isDefault": False, **kept, "secrets": secrets | body.get("secureJsonData", {})}
        return 200, {"message": "Datasource added"}

    def board(self, uid: str, **_: Any) -> tuple[int, Any]:
        kept = self._there(self.boards, uid)
        return 200, {"dashboard": kept["dashboard"], "meta": {**kept["meta"], "canEdit": True}}

    def board_put(self, body: Any, **_: Any) -> tuple[int, Any]:
        self._there(self.folders, body["folderUid"])
        board = body["dashboard"]
        before = self.boards.get(board["uid"], {"dashboard": {"id": len(self.boards) + 1, "version": 0}})["dashboard"]
        kept = {**board, "id": before["id"], "version": before["version"] + 1}
        self.boards[board["uid"]] = {"dashboard": kept, "meta": {"folderUid": body["folderUid"]}}
        return 200, {"status": "success", "uid": board["uid"]}

    def board_gone(self, uid: str, **_: Any) -> tuple[int, Any]:
        self._there(self.boards, uid)
        del self.boards[uid]
        return 200, {"message": "Dashboard deleted"}

    def search(self, query: dict[str, list[str]], **_: Any) -> tuple[int, Any]:
        found = [
            {"uid": uid, "tags": each["dashboard"].get("tags"), "folderUid": each["meta"].get("folderUid")}
            for uid, each in self.boards.items()
            if query["tag"][0] in each["dashboard"].get("tags", [])
        ]
        return 200, found

    def templates_all(self, **_: Any) -> tuple[int, Any]:
        return 200, list(self.templates.values()) or None

    def template_put(self, name: str, body: Any, provenance: str, **_: Any) -> tuple[int, Any]:
        self.templates[name] = {"name": name, "template": body["template"], "provenance": provenance}
        return 202, self.templates[name]

    def template_gone(self, name: str, **_: Any) -> tuple[int, Any]:
        self.templates.pop(name, None)
        return 204, None

    def points_all(self, **_: Any) -> tuple[int, Any]:
        return 200, [{**each, "settings": _masked(each["settings"])} for each in self.points.values()]

    def point_new(self, body: Any, provenance: str, **_: Any) -> tuple[int, Any]:
        if body["uid"] in self.points:
            raise Refuse(409, "a contact point with that uid already exists")
        self.points[body["uid"]] = {**body, "provenance": provenance}
        return 202, {**body, "settings": _masked(body["settings"])}

    def point_put(self, uid: str, body: Any, provenance: str, **_: Any) -> tuple[int, Any]:
        settings = _unmasked(body["settings"], self._there(self.points, uid)["settings"])
        self.points[uid] = {**body, "settings": settings, "provenance": provenance}
        return 202, {"message": "contactpoint updated"}

    def point_gone(self, uid: str, **_: Any) -> tuple[int, Any]:
        name = self._there(self.points, uid)["name"]
        others = [each for key, each in self.points.items() if key != uid and each["name"] == name]
        if not others and any(route.get("receiver") == name for route in _routes(self.tree)):
            raise Refuse(409, "contact point is in use by a notification policy")
        del self.points[uid]
        return 202, {"message": "contactpoint deleted"}

    def policies(self, **_: Any) -> tuple[int, Any]:
        return 200, self.tree

    def policies_put(self, body: Any, provenance: str, **_: Any) -> tuple[int, Any]:
        receivers = {FIRST_RECEIVER, *(each["name"] for each in self.points.values())}
        for route in _routes(body):
            if route.get("receiver", FIRST_RECEIVER) not in receivers:
                raise Refuse(400, f"receiver {route['receiver']} does not exist")
            if not set(route.get("mute_time_intervals", [])) <= set(self.mute_times):
                raise Refuse(400, "mute time does not exist")
        if self.tree.get("provenance") and not provenance:
            raise Refuse(409, "provenance cannot change")
        self.tree = {**body, **({"provenance": provenance} if provenance else {})}
        return 202, {"message": "policies updated"}

    def mutes_all(self, **_: Any) -> tuple[int, Any]:
        return 200, list(self.mute_times.values())

    def mute_new(self, body: Any, provenance: str, **_: Any) -> tuple[int, Any]:
        if body["name"] in self.mute_times:
            raise Refuse(409, "a mute timing with that name already exists")
        self.mute_times[body["name"]] = {**body, "provenance": provenance}
        return 201, self.mute_times[body["name"]]

    def mute_put(self, name: str, body: Any, provenance: str, **_: Any) -> tuple[int, Any]:
        self._there(self.mute_times, name)
        self.mute_times[name] = {**body, "provenance": provenance}
        return 202, self.mute_times[name]

    def mute_gone(self, name: str, **_: Any) -> tuple[int, Any]:
        if any(name in route.get("mute_time_intervals", []) for route in _routes(self.tree)):
            raise Refuse(409, "mute timing is in use")
        self.mute_times.pop(name, None)
        return 204, None

    def rules(self, **_: Any) -> tuple[int, Any]:
        return 200, [rule for group in self.groups.values() for rule in group["rules"]]

    def rule_gone(self, uid: str, **_: Any) -> tuple[int, Any]:
        for group in self.groups.values():
            group["rules"] = [rule for rule in group["rules"] if rule["uid"] != uid]
        self.groups = {key: group for key, group in self.groups.items() if group["rules"]}
        return 204, None

    def group(self, folder: str, title: str, **_: Any) -> tuple[int, Any]:
        return 200, self._there(self.groups, (folder, title))

    def group_put(self, folder: str, title: str, body: Any, provenance: str, **_: Any) -> tuple[int, Any]:
        self._there(self.folders, folder)
        rules = [{**_as_kept(rule), "provenance": provenance} for rule in body["rules"]]
        for uid in {rule["uid"] for rule in rules}:
            self.rule_gone(uid)
        self.groups[folder, title] = {"title": title, "interval": body["interval"], "rules": rules}
        return 200, self.groups[folder, title]

    def annotations_all(self, query: dict[str, list[str]], **_: Any) -> tuple[int, Any]:
        first, last, most = (int(query[name][0]) for name in ("from", "to", "limit"))
        found = [
            each
            for each in self.annotations.values()
            if set(query["tags"]) <= set(each["tags"]) and each["time"] <= last and each["timeEnd"] >= first
        ]
        return 200, found[:most]

    def annotation_new(self, body: Any, **_: Any) -> tuple[int, Any]:
        number = max(self.annotations, default=0) + 1
        self.annotations[number] = {**body, "id": number, "tags": sorted(body["tags"])}
        return 200, {"id": number, "message": "Annotation added"}

    def annotation_put(self, number: str, body: Any, **_: Any) -> tuple[int, Any]:
        self._there(self.annotations, int(number)).update({**body, "tags": sorted(body["tags"])})
        return 200, {"message": "Annotation updated"}

    def annotation_gone(self, number: str, **_: Any) -> tuple[int, Any]:
        self._there(self.annotations, int(number))
        del self.annotations[int(number)]
        return 200, {"message": "Annotation deleted"}


P = "/v1/provisioning"
ROUTES: list[tuple[str, Callable[..., tuple[int, Any]]]] = [
    ("GET /health", FakeGrafana.health),
    ("GET /folders/([^/]+)", FakeGrafana.folder),
    ("POST /folders", FakeGrafana.folder_new),
    ("PUT /folders/([^/]+)", FakeGrafana.folder_put),
    ("GET /datasources/uid/([^/]+)", FakeGrafana.source),
    ("POST /datasources", FakeGrafana.source_new),
    ("PUT /datasources/uid/([^/]+)", FakeGrafana.source_put),
    ("GET /dashboards/uid/([^/]+)", FakeGrafana.board),
    ("POST /dashboards/db", FakeGrafana.board_put),
    ("DELETE /dashboards/uid/([^/]+)", FakeGrafana.board_gone),
    ("GET /search", FakeGrafana.search),
    (f"GET {P}/templates", FakeGrafana.templates_all),
    (f"PUT {P}/templates/([^/]+)", FakeGrafana.template_put),
    (f"DELETE {P}/templates/([^/]+)", FakeGrafana.template_gone),
    (f"GET {P}/contact-points", FakeGrafana.points_all),
    (f"POST {P}/contact-points", FakeGrafana.point_new),
    (f"PUT {P}/contact-points/([^/]+)", FakeGrafana.point_put),
    (f"DELETE {P}/contact-points/([^/]+)", FakeGrafana.point_gone),
    (f"GET {P}/policies", FakeGrafana.policies),
    (f"PUT {P}/policies", FakeGrafana.policies_put),
    (f"GET {P}/mute-timings", FakeGrafana.mutes_all),
    (f"POST {P}/mute-timings", FakeGrafana.mute_new),
    (f"PUT {P}/mute-timings/([^/]+)", FakeGrafana.mute_put),
    (f"DELETE {P}/mute-timings/([^/]+)", FakeGrafana.mute_gone),
    (f"GET {P}/alert-rules", FakeGrafana.rules),
    (f"DELETE {P}/alert-rules/([^/]+)", FakeGrafana.rule_gone),
    (f"GET {P}/folder/([^/]+)/rule-groups/([^/]+)", FakeGrafana.group),
    (f"PUT {P}/folder/([^/]+)/rule-groups/([^/]+)", FakeGrafana.group_put),
    ("GET /annotations", FakeGrafana.annotations_all),
    ("POST /annotations", FakeGrafana.annotation_new),
    (r"PUT /annotations/(\d+)", FakeGrafana.annotation_put),
    (r"DELETE /annotations/(\d+)", FakeGrafana.annotation_gone),
]


@contextmanager
def serving(fake: FakeGrafana) -> Iterator[FakeGrafana]:
    """Let a fake answer on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def _do(self) -> None:
            length = int(self.headers.get("content-length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, said = fake.answer(self.command, self.path, body, headers)
            if status == DROPPED:
                self.close_connection = True
                return
            raw = said if isinstance(said, bytes) else b"" if status == 204 else json.dumps(said).encode()
            self.send_response(status)
            for name, value in fake.headers.items() if isinstance(said, bytes) else ():
                self.send_header(name, value)
            if status != 204:
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = do_PUT = do_DELETE = _do  # noqa: N815 - as the server looks for them

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@cache
def _api() -> dict[str, Any]:
    """Return Grafana's description; where it is not at hand, nothing is checked by it."""
    content: dict[str, Any] = json.loads(API.read_text(encoding="utf-8")) if API.is_file() else {"paths": {}}
    return content


@cache
def _patterns() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), verbs) for path, verbs in _api()["paths"].items()]


def _operation(verb: str, path: str) -> dict[str, Any]:
    found = (verbs.get(verb.lower()) for pattern, verbs in _patterns() if pattern.fullmatch(path))
    return next((operation for operation in found if operation), {})


@cache
def _body_schema(verb: str, path: str) -> jsonschema.Draft202012Validator | None:
    """Return what Grafana's description says of a call's body; of annotations, what its models say."""
    if "/annotations" in path and verb in {"POST", "PUT"} and MODELS.is_file():
        name = "PostAnnotationsCmd" if verb == "POST" else "UpdateAnnotationsCmd"
        models = json.loads(MODELS.read_text(encoding="utf-8"))
        return jsonschema.Draft202012Validator({**models, "$ref": f"#/$defs/{name}"})
    asked = _operation(verb, path).get("requestBody")
    if asked is None:
        return None
    schema = asked["content"]["application/json"]["schema"]
    return jsonschema.Draft202012Validator({**schema, "components": _api()["components"]})


def _routes(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield tree
    for route in tree.get("routes") or []:
        yield from _routes(route)


def _masked(settings: Any) -> Any:
    if not isinstance(settings, dict):
        return settings
    return {key: MASK if key in SECRET_KEYS and value else _masked(value) for key, value in settings.items()}


def _unmasked(settings: Any, before: Any) -> Any:
    if not isinstance(settings, dict):
        return before if settings == MASK else settings
    earlier = before if isinstance(before, dict) else {}
    return {key: _unmasked(value, earlier.get(key)) for key, value in settings.items()}


def _as_kept(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a rule as Grafana gives it back."""
    data = [
        {**query, "queryType": "", "model": {"intervalMs": 1000, "maxDataPoints": 43200, **query["model"]}}
        for query in rule["data"]
    ]
    spelled = {"90s": "1m30s", "60s": "1m"}
    waits = {key: spelled.get(rule.get(key, "0s"), rule.get(key, "0s")) for key in ("for", "keep_firing_for")}
    shown = {"id": 7, "updated": "2026-01-31T06:00:00Z", "isPaused": False, "notification_settings": None}
    return {**shown, **rule, **waits, "data": data}
