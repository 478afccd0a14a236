"""The rules as they are rendered and pushed: whole, of one language, and naming only what is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from dashboards.alerts import documented
from dashboards.alerts.alarms import ALARMS, EVERY_S, Alarm
from dashboards.alerts.making import panel_number
from dashboards.boards import boards
from dashboards.contents import contents
from dashboards.model import GrafanaSet, NoData, OnError
from dashboards.push import spelling
from dashboards.render import texts
from dashboards.settings import GrafanaSettings, InfluxVersion, Language, Limits, WebhookKey
from heatwatch.domain.alerts import AlertKind
from tests.dashboards.push.fake import SCHEMAS

ALERTING_FILE = "provisioning/alerting/heatwatch.yaml"
DOCUMENT = Path(__file__).parents[3] / "docs" / "grafana.md"
LIMITS = Limits(16.0, 18.0)


@cache
def _whole(settings: GrafanaSettings) -> GrafanaSet:
    return contents(settings)


@pytest.fixture
def whole(settings: GrafanaSettings) -> GrafanaSet:
    """Give everything of ours."""
    return _whole(settings)


@pytest.fixture
def file(settings: GrafanaSettings, whole: GrafanaSet) -> dict[str, Any]:
    """Give the file of alerts, parsed."""
    told: dict[str, Any] = yaml.safe_load(texts(settings, whole)[ALERTING_FILE])
    return told


def test_the_file_has_no_key_that_grafana_would_pass_over(file: dict[str, Any]) -> None:
    if not SCHEMAS.is_dir():
        pytest.skip(f"the schemas of Grafana's files are not in {SCHEMAS}")
    schema = json.loads((SCHEMAS / "alerting-file.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(file)


def test_whatever_the_file_names_is_there(file: dict[str, Any], whole: GrafanaSet) -> None:
    receivers = {point["name"] for point in file["contactPoints"]}
    panels = {(board["uid"], panel["id"]): panel for board in whole.boards for panel in board["panels"]}
    for one in _routes(file["policies"]):
        assert one["receiver"] in receivers
    for rule in (rule for group in file["groups"] for rule in group["rules"]):
        letters = [query["refId"] for query in rule["data"]]
        assert rule["condition"] in letters
        assert len(set(letters)) == len(letters)
        assert (rule["dashboardUid"], rule["panelId"]) in panels
        for place, query in enumerate(rule["data"]):
            model = query["model"]
            assert model["refId"] == query["refId"]
            assert model["datasource"]["uid"] == query["datasourceUid"]
            if query["datasourceUid"] == "__expr__":
                named = re.findall(r"\$(\w+)", model["expression"]) or [model["expression"]]
                assert set(named) <= set(letters[:place]), "an expression names what comes before it"
            else:
                span = query["relativeTimeRange"]
                assert isinstance(span["from"], int)
                assert span["from"] > span["to"] == 0


def _routes(routes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for one in routes:
        yield one
        yield from _routes(one.get("routes", []))


def test_every_query_is_used(whole: GrafanaSet) -> None:
    for rule in whole.rules:
        told = " ".join(str(query.model.get("expression")) for query in rule.queries)
        for query in rule.queries:
            assert query.ref_id == rule.condition or re.search(rf"\b{query.ref_id}\b", told), rule.uid


def test_titles_differ(whole: GrafanaSet) -> None:
    """Grafana takes no two rules of a name in one folder."""
    assert len({rule.title for rule in whole.rules}) == len(whole.rules)


def test_waits_are_whole_evaluations(whole: GrafanaSet) -> None:
    for group in whole.groups:
        assert group.interval_s == EVERY_S
        for rule in group.rules:
            assert rule.for_s % group.interval_s == rule.keep_firing_s % group.interval_s == 0
            assert rule.missing_evals


def test_queries_rest_on_no_reader(whole: GrafanaSet) -> None:
    """Outside of a board nothing fills in a variable: what stands for it would be asked as it stands."""
    for query in (query for rule in whole.rules for query in rule.queries if "query" in query.model):
        assert "$" not in query.model["query"].replace("$timeFilter", "")
        assert "$timeFilter" in query.model["query"] or "v.timeRangeStart" in query.model["query"]


def test_labels_are_what_the_webhook_reads(whole: GrafanaSet, file: dict[str, Any]) -> None:
    kinds = {*AlertKind}
    for rule in whole.rules:
        assert rule.labels["kind"] in kinds
        assert not set(rule.labels) & {"station", "building"}, "these are the series'"
    assert {rule.labels["kind"] for rule in whole.rules} == kinds - {AlertKind.DATASOURCE}
    assert all(rule["labels"]["owner"] == "heatwatch" for group in file["groups"] for rule in group["rules"])


def test_what_nothing_means_is_what_the_query_says(whole: GrafanaSet) -> None:
    """Findings and tickets that are over are no more in an answer; all else has a series as long as the feed writes."""
    over = {"finding", "ticket"}
    measured = {f"heatwatch-{alarm.name}": alarm.looked["A"].ask.of.name for alarm in ALARMS}
    for rule in whole.rules:
        heartbeat = rule.uid == "heatwatch-pipeline-silent"
        steady = NoData.ALERTING if heartbeat else NoData.KEEP
        assert rule.no_data is (NoData.OK if measured[rule.uid] in over else steady), rule.uid
        assert rule.on_error is (OnError.ALERTING if heartbeat else OnError.KEEP), rule.uid


def test_texts_speak_one_language_and_name_labels_that_are_there(whole: GrafanaSet, settings: GrafanaSettings) -> None:
    of = {f"heatwatch-{alarm.name}": alarm for alarm in ALARMS}
    for rule in whole.rules:
        by = {name for looked in of[rule.uid].looked.values() for name in getattr(looked.ask, "by", ())}
        for text in (rule.title, *rule.annotations.values()):
            plain = re.sub(r"\{\{.*?\}\}", "", text)
            assert bool(re.search(r"[\u4e00-\u9fff]", plain)) == (settings.language is Language.CHINESE), text
            assert text.count("{{") == text.count("}}")
            assert set(re.findall(r"\$labels\.(\w+)", text)) <= by
            assert set(re.findall(r"\$values\.(\w+)", text)) <= {"V"}


def test_the_panel_shows_what_the_rule_is_about() -> None:
    made = {board.name: board for board in boards(LIMITS)}
    for alarm in ALARMS:
        board, title = alarm.panel
        panel = made[board].panels[panel_number(made[board], title) - 1]
        shown = {asked.ask.of.name for asked in panel.asked}
        assert shown & _told_by(alarm), alarm.name


def _told_by(alarm: Alarm) -> set[str]:
    """Return the measurements that a rule looks at; notices and deadlines are told by station, too."""
    looked = {each.ask.of.name for each in alarm.looked.values()}
    return (
        looked
        | ({"notice"} if alarm.kind == AlertKind.NOTICE_DUE else set())
        | ({"station_now"} if alarm.kind == AlertKind.CLOCK_BREACHED else set())
    )


def test_a_panel_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 panels are called 'Nowhere'"):
        panel_number(boards(LIMITS)[0], "Nowhere")


def test_grafanas_own_types_keep_every_key(whole: GrafanaSet) -> None:
    """Loaded into the types of its builder package and written again; what is lost is a key that it does not know."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder  # noqa: PLC0415 - slow to import
    from grafana_foundation_sdk.models import alerting  # noqa: PLC0415 - same

    newer = {"missingSeriesEvalsToResolve"}
    for group in whole.groups:
        told = spelling.group(group, whole.folder.uid)
        kept = json.loads(json.dumps(alerting.RuleGroup.from_json(told), cls=JSONEncoder))
        for rule, again in zip(told["rules"], kept["rules"], strict=True):
            assert set(rule) - set(again) <= newer
            assert {key: rule[key] for key in set(rule) & set(again) - {"data"}} == {
                key: again[key] for key in set(rule) & set(again) - {"data"}
            }
            for query, other in zip(rule["data"], again["data"], strict=True):
                assert {key: query[key] for key in query if key != "model"} == {
                    key: other.get(key) for key in query if key != "model"
                }
    assert whole.own_route is not None
    policy = spelling.route(whole.own_route)
    assert json.loads(json.dumps(alerting.NotificationPolicy.from_json(policy), cls=JSONEncoder)) == policy


def test_the_webhook_shows_the_key_that_is_chosen() -> None:
    keys = {
        key: contents(GrafanaSettings(LIMITS, webhook_url="https://h.example/", webhook_key=key)).contact_points
        for key in WebhookKey
    }
    told = {key: points[0].receivers[0].settings for key, points in keys.items()}
    assert {one["url"] for one in told.values()} == {"https://h.example/api/v1/grafana/webhook"}
    shown = {key: {"authorization_credentials", "hmacConfig"} & one.keys() for key, one in told.items()}
    token, secret = {"authorization_credentials"}, {"hmacConfig"}
    assert shown == {WebhookKey.TOKEN: token, WebhookKey.SECRET: secret, WebhookKey.BOTH: token | secret}
    assert spelling.secret_places(told[WebhookKey.BOTH]).keys() == {
        ("authorization_credentials",), ("hmacConfig", "secret"),
    }  # fmt: skip


def test_without_an_address_nobody_is_told() -> None:
    quiet = contents(GrafanaSettings(LIMITS, webhook_url=""))
    assert quiet.rules
    assert quiet.route is None
    assert not quiet.contact_points


def test_alerts_are_grouped_by_station_and_kind_and_the_critical_ones_do_not_wait(whole: GrafanaSet) -> None:
    assert whole.route is not None
    assert whole.route.group_by == ("station", "kind")
    (critical,) = whole.route.routes
    assert critical.matchers == (("severity", "=", "critical"),)
    assert (critical.group_wait_s or 0) < (whole.route.group_wait_s or 0)


def test_the_documentation_has_the_table() -> None:
    """Make it anew: `python -c "from dashboards.alerts.documented import table; print(table())"`."""
    assert documented.table() in DOCUMENT.read_text(encoding="utf-8")


def test_every_version_asks_by_the_same_letters() -> None:
    one, two = (_whole(GrafanaSettings(LIMITS, version=version)) for version in InfluxVersion)

    def told(whole: GrafanaSet) -> list[Mapping[str, Any]]:
        return [{"uid": rule.uid, "refs": [query.ref_id for query in rule.queries]} for rule in whole.rules]

    assert told(one) == told(two)
