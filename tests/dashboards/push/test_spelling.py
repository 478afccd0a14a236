"""One set, spelled as files and as calls: each as Grafana takes it, and both meaning the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dashboards.filing import alerting_file, datasources_file, duration, literal
from dashboards.model import ContactPoint, GrafanaSet, Receiver, Route, RuleGroup
from dashboards.push import spelling
from dashboards.push.differences import differences
from dashboards.push.policies import merged
from dashboards.render import texts
from dashboards.settings import GrafanaSettings, Limits
from tests.dashboards.push.examples import BASE, BOARD, full, point, rule
from tests.dashboards.push.fake import SCHEMAS

WHOLE = full()
ALERTING_FILE = "provisioning/alerting/heatwatch.yaml"
SETTINGS = GrafanaSettings(Limits(16.0, 18.0))


def replaced(value: Any) -> Any:
    """Return what Grafana makes of a value in a file in which it replaces dollars; a name of no variable is empty."""
    if isinstance(value, dict):
        return {key: replaced(each) for key, each in value.items()}
    if isinstance(value, list):
        return [replaced(each) for each in value]
    if not isinstance(value, str):
        return value
    parts = [re.sub(r"\$__file\{[^}]*/(\w+)\}", r"<\1>", part) for part in value.split("$$")]
    return "$".join(re.sub(r"\$(\{\w*\}|\w+)", "", part) for part in parts)


class TestFiles:
    """What `render` writes."""

    @pytest.mark.parametrize(
        ("file", "schema"),
        [
            (ALERTING_FILE, "alerting-file.schema.json"),
            ("provisioning/datasources/heatwatch.yaml", "datasources-file.schema.json"),
        ],
    )
    def test_have_no_key_that_grafana_would_pass_over(self, file: str, schema: str) -> None:
        if not SCHEMAS.is_dir():
            pytest.skip(f"the schemas of Grafana's files are not in {SCHEMAS}")
        content = yaml.safe_load(texts(SETTINGS, WHOLE)[file])
        jsonschema.Draft202012Validator(json.loads((SCHEMAS / schema).read_text())).validate(content)

    def test_have_alerts_only_where_there_are_some(self) -> None:
        assert ALERTING_FILE in texts(SETTINGS, WHOLE)
        assert ALERTING_FILE not in texts(SETTINGS, BASE)
        assert set(texts(SETTINGS, BASE)) > {"dashboards/readings.json"}

    def test_name_secrets_by_their_file(self) -> None:
        (source,) = datasources_file(WHOLE, "/run/secrets")["datasources"]
        assert source["secureJsonData"] == {"token": "$__file{/run/secrets/grafana_influx_token}"}
        assert source["jsonData"]["organization"] == "heat$$watch"
        (told,) = alerting_file(WHOLE, "/run/secrets")["contactPoints"]
        settings = told["receivers"][0]["settings"]
        assert settings["authorization_credentials"] == "$__file{/run/secrets/heatwatch_webhook}"
        assert settings["hmacConfig"] == {"secret": settings["authorization_credentials"], "header": "X-Signature"}

    def test_keep_the_dollars_of_queries_and_texts(self) -> None:
        content = alerting_file(WHOLE, "/run/secrets")
        first = content["groups"][0]["rules"][0]
        assert first["data"][0]["model"]["query"].endswith('"${x}")')
        assert first["labels"]["station"] == "{{ $$labels.station }}"
        assert first["annotations"]["summary"] == "{{ $labels.station }} 停热"
        assert content["templates"][0]["template"] == "{{ define `t` }}$x{{ end }}"

    def test_say_the_same_as_calls(self) -> None:
        """Each of the differing keys by hand; the rest has to be equal after Grafana has replaced dollars."""
        file = alerting_file(WHOLE, "/s")
        (group,) = WHOLE.groups
        called = spelling.group(group, "heatwatch")
        filed = replaced(file["groups"][0])
        assert (filed["name"], filed["interval"]) == (called["title"], "1m")
        assert called["interval"] == 60
        for there, raw, sent in zip(filed["rules"], file["groups"][0]["rules"], called["rules"], strict=True):
            links = {"__dashboardUid__": there["dashboardUid"], "__panelId__": str(there["panelId"])}
            assert sent["annotations"] == raw["annotations"] | links
            assert sent["data"] == raw["data"]
            assert sent["keep_firing_for"] == there["keepFiringFor"]
            assert sent["missingSeriesEvalsToResolve"] == there["missing_series_evals_to_resolve"]
            for key in ("uid", "title", "condition", "for", "noDataState", "execErrState", "labels"):
                assert sent[key] == there[key]
        assert WHOLE.own_route is not None
        assert replaced(file["policies"][0]["routes"]) == [spelling.route(WHOLE.own_route)]
        mutes = [{key: value for key, value in each.items() if key != "orgId"} for each in file["muteTimes"]]
        assert mutes == [spelling.mute_time(each) for each in WHOLE.mute_times]
        (told,), (way,) = WHOLE.contact_points, WHOLE.contact_points[0].receivers
        sent = spelling.receiver(told, way, lambda _, secret: f"<{secret.file}>")
        (point_filed,) = replaced(file["contactPoints"])
        assert {"name": point_filed["name"], **point_filed["receivers"][0]} == sent

    @given(st.text(alphabet="a$_{} é站", max_size=12))
    def test_a_literal_is_taken_as_it_is(self, text: str) -> None:
        assert replaced(literal(text)) == text

    def test_spans_of_time(self) -> None:
        assert [duration(each) for each in (0, 10, 60, 90, 3600, 5400)] == ["0s", "10s", "1m", "90s", "1h", "90m"]


class TestModel:
    """What could not be told from what is not ours, or would stop Grafana at its start, is no set."""

    @pytest.mark.parametrize(
        ("changed", "amiss"),
        [
            (lambda: replace(WHOLE, boards=({**BOARD, "uid": "rooms"},)), "board 'rooms' does not begin"),
            (lambda: replace(WHOLE, boards=({**BOARD, "uid": "heatwatch-a b"},)), "is no uid"),
            (lambda: replace(WHOLE, boards=({**BOARD, "tags": []},)), "lacks the tag"),
            (lambda: replace(WHOLE, boards=(BOARD, BOARD)), "there twice"),
            (lambda: replace(WHOLE, boards=()), "board of heatwatch-outage 'heatwatch-readings' is not there"),
            (lambda: replace(WHOLE, sources=()), "data source of heatwatch-outage"),
            (lambda: replace(WHOLE, contact_points=(point("mine"),)), "contact point 'mine' does not begin"),
            (lambda: replace(WHOLE, contact_points=()), "receiver 'heatwatch-工单' is not there"),
            (lambda: replace(WHOLE, mute_times=()), "mute time 'heatwatch-检修' is not there"),
            (lambda: replace(WHOLE, groups=(RuleGroup("a", 15, ()),)), "multiple of 10 s"),
            (lambda: replace(WHOLE, groups=(RuleGroup("a", 0, ()),)), "multiple of 10 s"),
            (lambda: with_rule(condition="C"), "condition of heatwatch-x 'C' is not there"),
            (lambda: with_rule(annotations={"a": "${b}"}), "in an annotation"),
            (lambda: with_rule(queries=(replace(rule("x").queries[0], to_s=600), *rule("x").queries[1:])), "range"),
            (lambda: with_rule(queries=(replace(rule("x").queries[0], ref_id="D"), *rule("x").queries[1:])), "refId"),
        ],
    )
    def test_is_refused(self, changed: Callable[[], GrafanaSet], amiss: str) -> None:
        with pytest.raises(ValueError, match=re.escape(amiss)):
            changed()

    def test_our_policy_takes_our_alerts_and_no_others(self) -> None:
        route = Route(receiver="heatwatch-a", matchers=(("rule", "=", "R12"),))
        points = (ContactPoint("heatwatch-a", (Receiver(uid="heatwatch-a", kind="webhook", settings={"url": "x"}),)),)
        once = replace(BASE, contact_points=points, route=route).own_route
        assert once is not None
        assert once.matchers == (("owner", "=", "heatwatch"), ("rule", "=", "R12"))
        assert replace(BASE, contact_points=points, route=once).own_route == once


def with_rule(**changes: Any) -> GrafanaSet:
    return replace(WHOLE, groups=(RuleGroup("a", 60, (replace(rule("x"), **changes),)),))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "0s", "1m", "60s", "a", "室温"]),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.sampled_from(["for", "a", "b"]), each, max_size=3),
    max_leaves=8,
)


class TestDifferences:
    """A thing differs from another where it has to be written anew, and not where Grafana only spells it otherwise."""

    @given(JSON, st.booleans())
    def test_nothing_differs_from_itself(self, thing: Any, verbatim: bool) -> None:  # noqa: FBT001 - drawn
        assert not differences(thing, thing, verbatim=verbatim)

    @given(JSON, JSON)
    def test_both_ways_the_same_places(self, one: Any, other: Any) -> None:
        there = {(each.path, str(each.was), str(each.becomes)) for each in differences(one, other)}
        back = {(each.path, str(each.becomes), str(each.was)) for each in differences(other, one)}
        assert there == back

    @pytest.mark.parametrize(
        ("was", "becomes", "said"),
        [
            ({"for": "1m30s"}, {"for": "90s"}, []),
            ({"for": "1d"}, {"for": "24h"}, []),
            ({"for": "0s"}, {}, []),
            ({"group_wait": "5m"}, {"group_wait": "300s"}, []),
            ({"for": "1m"}, {"for": "2m"}, ['for: "1m" -> "2m"']),
            ({"title": "1m"}, {"title": "60s"}, ['title: "1m" -> "60s"']),
            ({"model": {"intervalMs": 1000}}, {"model": {}}, []),
            ({"model": {"intervalMs": 5000}}, {"model": {}}, ["model.intervalMs: 5000 -> nothing"]),
            ({"a": False, "b": {"c": None}, "d": []}, {}, []),
            ({"a": [1, 2]}, {"a": [1]}, ["a: 2 items -> 1 item"]),
            ({"a": True}, {"a": 1}, ["a: true -> 1"]),
            ({"a": "x" * 99}, {"a": "y"}, [f'a: "{"x" * 59}… -> "y"']),
        ],
    )
    def test_are_told_by_their_place(self, was: Any, becomes: Any, said: list[str]) -> None:
        assert [str(each) for each in differences(was, becomes)] == said

    def test_in_a_board_zero_and_false_are_values(self) -> None:
        assert differences({"min": 0}, {}, verbatim=True)
        assert differences({"intervalMs": 1000}, {}, verbatim=True)
        assert differences({"for": "60s"}, {"for": "1m"}, verbatim=True)
        assert differences({}, {"show": False}, verbatim=True)
        assert not differences({"links": [], "style": None}, {}, verbatim=True)


OTHERS = st.lists(
    st.sampled_from(
        [
            {"receiver": "mail"},
            {"receiver": "mail", "object_matchers": [["owner", "=", "heatwatch"]]},
            {"receiver": "heatwatch-工单", "object_matchers": [["team", "=", "x"]]},
            {"receiver": "heatwatch-工单"},
        ]
    ),
    max_size=4,
)
OUR_ROUTE: dict[str, Any] = {"receiver": "heatwatch-工单", "object_matchers": [["owner", "=", "heatwatch"]]}


class TestTree:
    """Whatever stands in the tree of policies, all but ours comes out as it went in."""

    @given(before=OTHERS, after=OTHERS, count=st.integers(0, 2))
    def test_ours_is_put_in_once_and_the_rest_is_kept(
        self, before: list[dict[str, Any]], after: list[dict[str, Any]], count: int
    ) -> None:
        old = {**OUR_ROUTE, "group_by": ["old"]}
        tree = {
            "receiver": "root",
            "group_wait": "1s",
            "routes": [*before, *[old] * count, *after],
            "provenance": "api",
        }
        put = merged(tree, OUR_ROUTE)
        place = len(before) if count else 0
        assert put["routes"][place] == OUR_ROUTE
        assert [*put["routes"][:place], *put["routes"][place + 1 :]] == before + after
        assert {key: value for key, value in put.items() if key != "routes"} == {"receiver": "root", "group_wait": "1s"}
        assert merged(put, OUR_ROUTE) == put
        assert merged(put, None) == {"receiver": "root", "group_wait": "1s", "routes": before + after}
