"""Something of every kind: of ours to be pushed, and of others' to be left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dashboards.model import (
    ContactPoint,
    DataSource,
    Folder,
    GrafanaSet,
    MuteTime,
    NoData,
    OnError,
    Query,
    Receiver,
    Route,
    Rule,
    RuleGroup,
    Secret,
    Template,
)
from tests.dashboards.push.fake import FIRST_RECEIVER, FakeGrafana

SECRETS = {
    "grafana_influx_token": "token-for-influx",
    "heatwatch_webhook": "word-for-the-webhook",
    "grafana_webhook_token": "token-for-the-webhook",
}
FLUX = 'from(bucket: v.defaultBucket) |> range(start: v.timeRangeStart) |> filter(fn: (r) => r._field == "${x}")'
PANEL = {
    "id": 2,
    "type": "stat",
    "title": "最新读数距今",
    "fieldConfig": {"defaults": {"decimals": 0, "noValue": "无读数"}, "overrides": []},
}
BOARD = {"uid": "heatwatch-readings", "title": "室温读数", "tags": ["heatwatch"], "refresh": "1m", "panels": [PANEL]}
SOURCE = DataSource(
    uid="heatwatch-readings",
    name="heatwatch",
    kind="influxdb",
    url="http://influxdb:8086",
    json_data={"version": "Flux", "organization": "heat$watch", "defaultBucket": "heatwatch"},
    secrets={"token": Secret("grafana_influx_token")},
)
BASE = GrafanaSet(folder=Folder("heatwatch", "室温监测"), sources=(SOURCE,), boards=(BOARD,))


def write_secrets(folder: Path) -> Path:
    """Write a file for each secret."""
    folder.mkdir(exist_ok=True)
    for name, word in SECRETS.items():
        (folder / name).write_text(f"{word}\n")
    return folder


def rule(name: str, *, for_s: int = 90, title: str = "") -> Rule:
    """Return a rule that asks the data source and compares."""
    expression = {"refId": "B", "type": "threshold", "expression": "A", "conditions": [{"evaluator": {"params": [8]}}]}
    return Rule(
        uid=f"heatwatch-{name}",
        title=title or f"规则 {name} 于 $站",
        condition="B",
        queries=(
            Query(ref_id="A", source_uid="heatwatch-readings", model={"refId": "A", "query": FLUX}, from_s=600, to_s=0),
            Query(ref_id="B", source_uid="__expr__", model=expression),
        ),
        no_data=NoData.ALERTING,
        on_error=OnError.KEEP,
        for_s=for_s,
        keep_firing_s=600,
        missing_evals=3,
        labels={"station": "{{ $labels.station }}", "rule": "R12"},
        annotations={"summary": "{{ $labels.station }} 停热"},
        board_uid="heatwatch-readings",
        panel_id=2,
    )


def point(name: str = "heatwatch-工单", uid: str = "heatwatch-tickets") -> ContactPoint:
    """Return a contact point with a secret at its top and one below."""
    settings = {
        "url": "http://heatwatch:8000/hooks/$grafana",
        "httpMethod": "POST",
        "authorization_scheme": "Bearer",
        "authorization_credentials": Secret("heatwatch_webhook"),
        "hmacConfig": {"secret": Secret("heatwatch_webhook"), "header": "X-Signature"},
        "maxAlerts": "0",
    }
    return ContactPoint(name, (Receiver(uid=uid, kind="webhook", settings=settings),))


def full(*, groups: tuple[RuleGroup, ...] | None = None, mute: str = "heatwatch-检修", boards: int = 1) -> GrafanaSet:
    """Return a set with something of every kind."""
    below = Route(receiver="heatwatch-工单", matchers=(("rule", "=~", "R12$|R13"),), mute_times=(mute,), goes_on=True)
    route = Route(
        receiver="heatwatch-工单",
        group_by=("station",),
        group_wait_s=90,
        group_interval_s=300,
        repeat_interval_s=14400,
        routes=(below,),
    )
    more = tuple({**BASE.boards[0], "uid": f"heatwatch-more-{number}"} for number in range(1, boards))
    night = {"times": [{"start_time": "02:00", "end_time": "04:00"}], "weekdays": ["sunday"]}
    return GrafanaSet(
        folder=BASE.folder,
        sources=BASE.sources,
        boards=(*BASE.boards, *more),
        groups=(RuleGroup("outages / 停热", 60, (rule("outage"), rule("due"))),) if groups is None else groups,
        contact_points=(point(),),
        route=route,
        mute_times=(MuteTime(mute, (night,)),),
        templates=(Template("heatwatch-text", "{{ define `t` }}$x{{ end }}"),),
    )


def bare() -> GrafanaSet:
    """Return a set of nothing but the folder."""
    return GrafanaSet(folder=Folder("heatwatch", "室温监测"))


def strangers() -> FakeGrafana:
    """Return a Grafana in which others keep things, some of them close to ours."""
    mail = {"receiver": "mail", "object_matchers": [["severity", "=", "critical"]], "routes": [{"receiver": "mail"}]}
    copied = {"receiver": "mail", "object_matchers": [["owner", "=", "heatwatch"]], "continue": True}
    borrowed = {"receiver": FIRST_RECEIVER, "matchers": [{"Name": "a", "Type": 0, "Value": "b"}]}
    board: dict[str, Any] = {"uid": "pumps", "title": "Pumps", "tags": ["heatwatch"], "version": 3, "id": 9}
    tagless = {**board, "uid": "heatwatch-mine", "tags": []}
    moved = {**board, "uid": "heatwatch-copy"}
    theirs = {"uid": "pump-1", "folderUID": "ops", "ruleGroup": "pumps", "title": "Pump", "provenance": ""}
    inside = {"uid": "someones", "folderUID": "heatwatch", "ruleGroup": "by hand", "title": "By hand"}
    folders = {"ops": {"uid": "ops", "title": "Operations", "version": 1}}
    return FakeGrafana(
        folders=folders,
        sources={"prom": {"uid": "prom", "name": "prom", "type": "prometheus", "isDefault": True, "secrets": {}}},
        boards={
            "pumps": {"dashboard": board, "meta": {"folderUid": "ops"}},
            "heatwatch-copy": {"dashboard": moved, "meta": {"folderUid": "ops"}},
            "heatwatch-mine": {"dashboard": tagless, "meta": {"folderUid": "heatwatch"}},
        },
        templates={"theirs": {"name": "theirs", "template": "x", "provenance": ""}},
        points={"mail-1": {"uid": "mail-1", "name": "mail", "type": "email", "settings": {"addresses": "a@b.example"}}},
        mute_times={"weekend": {"name": "weekend", "time_intervals": [{"weekdays": ["saturday"]}]}},
        tree={"receiver": FIRST_RECEIVER, "group_by": ["alertname"], "routes": [mail, copied, borrowed]},
        groups={
            ("ops", "pumps"): {"title": "pumps", "interval": 60, "rules": [theirs]},
            ("heatwatch", "by hand"): {"title": "by hand", "interval": 60, "rules": [inside]},
        },
        annotations={5: {"id": 5, "time": 1, "timeEnd": 1, "text": "deploy", "tags": ["deploy"]}},
    )


def others(fake: FakeGrafana) -> dict[str, Any]:
    """Return all that is not ours in a Grafana, in its order."""
    kept = fake.kept()
    first = strangers().kept()
    for name, things in first.items():
        if name == "tree":
            kept["tree"]["routes"] = [each for each in kept["tree"]["routes"] if each in things["routes"]]
        else:
            kept[name] = {key: value for key, value in kept[name].items() if key in things}
    return kept
