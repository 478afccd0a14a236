"""Every script of the rules passes the parser and the type checker of Flux's makers."""

from __future__ import annotations

from dashboards.alerts.making import rule_groups
from dashboards.pictures.asking import Reader, in_flux
from dashboards.settings import GrafanaSettings, Limits
from tests.dashboards.test_flux import _checked


def test_every_script_is_flux() -> None:
    rules = [rule for group in rule_groups(GrafanaSettings(Limits(16.0, 18.0))) for rule in group.rules]
    texts = [query.model["query"] for rule in rules for query in rule.queries if "query" in query.model]
    scripts = [in_flux(text, Reader(0, 3_600_000, {}), "heatwatch") for text in dict.fromkeys(texts)]
    invalid = [script for script, valid in zip(scripts, _checked(scripts), strict=True) if not valid]
    assert not invalid, invalid[0]
    assert len(scripts) > 10
