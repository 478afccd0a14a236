"""Every call is one that Grafana's own description of its interface takes, as a mock server made from it says."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from dashboards.contents import contents
from dashboards.model import RuleGroup
from dashboards.push.applying import apply
from dashboards.push.change import Action, Site
from dashboards.push.client import Grafana, Refused
from dashboards.push.plan import plan
from dashboards.settings import GrafanaSettings, InfluxVersion, Limits
from heatwatch.errors import Unavailable
from tests.dashboards.push.examples import bare, full, others, rule, strangers
from tests.dashboards.push.fake import FakeGrafana

WHOLE = full()


@pytest.fixture
def strict(fake: FakeGrafana, prism: httpx.Client) -> FakeGrafana:
    """Give the Grafana in memory with the mock server before it: what that refuses never comes in."""
    fake.upstream = prism
    return fake


def test_first_push_unchanged_changed_and_removed(strict: FakeGrafana, site: Site) -> None:
    for whole in (full(groups=(RuleGroup("old", 60, (rule("old"),)),), mute="heatwatch-old", boards=2), WHOLE, bare()):
        applied = apply(site, plan(site, whole))
        assert applied.error is None
        assert applied.done
        strict.forget()
        assert {change.action for change in plan(site, whole)} == {Action.UNCHANGED}
        assert not strict.writes
    assert others(strict) == strangers().kept()


@pytest.mark.parametrize("version", list(InfluxVersion))
def test_all_that_is_shipped_is_taken(strict: FakeGrafana, site: Site, version: InfluxVersion) -> None:
    shipped = contents(GrafanaSettings(Limits(16.0, 18.0), version=version))
    assert apply(site, plan(site, shipped)).error is None
    assert {change.action for change in plan(site, shipped)} == {Action.UNCHANGED}


def test_half_failed_and_completed(strict: FakeGrafana, site: Site) -> None:
    changes = plan(site, WHOLE)
    strict.fails[len(strict.calls) + 5] = 500
    applied = apply(site, changes)
    assert isinstance(applied.error, Unavailable)
    assert (len(applied.done), len(applied.left)) == (4, len(changes) - 4)
    strict.forget()
    assert apply(site, plan(site, WHOLE)).error is None
    assert {change.action for change in plan(site, WHOLE)} == {Action.UNCHANGED}


@pytest.mark.parametrize(
    ("verb", "path", "body"),
    [
        ("post", "/folders", {"uid": "a", "titel": "a"}),
        ("post", "/dashboards/db", {"dashboard": {}, "folder": "a"}),
        ("post", "/datasources", {"name": "a", "type": "influxdb", "readOnly": True}),
        ("put", "/v1/provisioning/policies", {"receiver": "a", "group_wait": 30}),
        ("put", "/v1/provisioning/mute-timings/a", {"name": "a", "time_intervals": [{"times": [{"from": 1}]}]}),
        ("put", "/v1/provisioning/folder/a/rule-groups/b", {"title": "b", "interval": "1m", "rules": []}),
    ],
)
def test_the_mock_server_has_teeth(strict: FakeGrafana, grafana: Grafana, verb: str, path: str, body: Any) -> None:
    """All but for contact points, whose pattern of a uid it cannot compile: it takes any. The schemas are asked too."""
    with pytest.raises(Refused) as refused:
        getattr(grafana, verb)(path, body)
    assert refused.value.status in {400, 422}
    assert '"location":["request","body"' in str(refused.value)


def test_the_schemas_have_teeth_where_the_mock_server_has_none(fake: FakeGrafana, grafana: Grafana) -> None:
    assert fake.upstream is None
    with pytest.raises(Refused, match="webhok"):
        grafana.post("/v1/provisioning/contact-points", {"name": "a", "type": "webhok", "settings": {}})
