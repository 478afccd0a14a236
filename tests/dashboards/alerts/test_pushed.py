"""All that is pushed goes into a Grafana once, and by the word of its own description."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboards.contents import contents
from dashboards.push.applying import apply
from dashboards.push.change import Action, Kind, Site
from dashboards.push.client import Access, Grafana, read_address
from dashboards.push.plan import plan
from dashboards.settings import GrafanaSettings, InfluxVersion, Limits
from tests.dashboards.push.fake import TOKEN, FakeGrafana, serving


@pytest.mark.parametrize("version", InfluxVersion)
def test_a_second_push_changes_nothing(version: InfluxVersion, tmp_path: Path) -> None:
    whole = contents(GrafanaSettings(Limits(16.0, 18.0), version=version))
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    with serving(FakeGrafana()) as fake:
        grafana = Grafana(read_address(fake.url), Access(tmp_path / "token"))
        site = Site(grafana, lambda secret: secret.file)
        assert apply(site, plan(site, whole)).error is None
        assert {change.action for change in plan(site, whole)} == {Action.UNCHANGED}
        assert sum(change.kind is Kind.GROUP for change in plan(site, whole)) == 3
        grafana.close()
    (receiver,) = [point for uid, point in fake.points.items() if uid == "heatwatch-webhook"]
    assert receiver["settings"]["authorization_credentials"] == "grafana_webhook_token"
    rules = {rule["uid"]: rule for group in fake.groups.values() for rule in group["rules"]}
    assert rules["heatwatch-outage"]["annotations"]["__dashboardUid__"] == "heatwatch-company"
    assert "$labels.building" in rules["heatwatch-outage"]["annotations"]["summary"]
