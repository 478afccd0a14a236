"""The stand-in for Grafana has the habits that the rules are written for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest

from dashboards.alerts.making import rule_groups
from dashboards.model import NoData, OnError, Query, Rule
from dashboards.settings import GrafanaSettings, InfluxVersion, Limits
from tests.dashboards.alerts.grafana import Failed, Row, Watch, evaluate, labels, reckon

A, B, HOUSE = labels(station="a"), labels(station="b"), labels(station="a", building="1")
MINUTE_MS = 60_000


@cache
def _rule() -> Rule:
    groups = rule_groups(GrafanaSettings(Limits(16.0, 18.0), version=InfluxVersion.ONE))
    (rule,) = [rule for group in groups for rule in group.rules if rule.uid == "heatwatch-quarantine-growing"]
    return replace(rule, for_s=120, keep_firing_s=120, missing_evals=3)


class Told:
    """Answers with what it is told: a number for each station, or a failure."""

    def __init__(self) -> None:
        self.numbers: dict[str, float] | None = {}

    def __call__(self, query: Query, now_ms: int) -> Sequence[Row]:
        if self.numbers is None:
            raise Failed(query.ref_id)
        return [{"Time": now_ms, "value": value, "station": name} for name, value in self.numbers.items()]


def _watched(rule: Rule, *told: dict[str, float] | None) -> list[set[str]]:
    watch, ask = Watch(rule), Told()
    fired = []
    for minute, numbers in enumerate(told):
        ask.numbers = numbers
        fired.append({dict(key).get("station", "") for key in watch.look(ask, minute * MINUTE_MS)})
    return fired


BAD, WELL = {"a": 99.0, "b": 0.0}, {"a": 0.0, "b": 0.0}


def test_it_waits_and_keeps_firing() -> None:
    assert _watched(_rule(), BAD, BAD, BAD, WELL, WELL, WELL, BAD) == [set(), set(), {"a"}, {"a"}, {"a"}, set(), set()]


def test_a_series_that_is_missing_ends_its_own_alert() -> None:
    """A rule over the series of thermometers would do so."""
    gone = {"b": 0.0}
    assert _watched(_rule(), BAD, BAD, BAD, gone, gone, gone) == [set(), set(), {"a"}, {"a"}, {"a"}, set()]


@pytest.mark.parametrize(("no_data", "fired"), [(NoData.KEEP, [{"a"}] * 4), (NoData.OK, [{"a"}, {"a"}, set(), set()])])
def test_nothing_at_all_is_what_the_rule_makes_of_it(no_data: NoData, fired: list[set[str]]) -> None:
    assert _watched(replace(_rule(), no_data=no_data), BAD, BAD, BAD, {}, {}, {}, {})[3:] == fired


def test_where_nothing_was_ever_there_one_alert_without_labels_fires() -> None:
    rule = replace(_rule(), no_data=NoData.ALERTING, on_error=OnError.ALERTING)
    assert _watched(rule, {}, None, {}) == [set(), set(), {""}]


def test_a_failure_keeps_what_is() -> None:
    assert _watched(_rule(), BAD, BAD, BAD, None, None, None, None, BAD)[2:] == [{"a"}] * 6


def test_numbers_are_joined_by_labels_that_hold_the_others() -> None:
    told = {"A": {A: 1.0, B: 2.0}, "H": {HOUSE: 10.0}, "N": {labels(): 100.0}, "E": {}}
    assert reckon("$N - $A", told) == {A: 99.0, B: 98.0}
    assert reckon("$A + $H", told) == {HOUSE: 11.0}
    assert reckon("abs(0 - $A) > 1 && $A <= 2", told) == {A: 0.0, B: 1.0}
    assert reckon("$A < 1 || $A > 1", told) == {A: 0.0, B: 1.0}
    assert reckon("$A + $E", told) == {}


def test_two_series_with_the_same_labels_are_an_error() -> None:
    def twice(_: Query, now_ms: int) -> Sequence[Row]:
        return [{"Time": now_ms, "value": value, "station": "a"} for value in (1.0, 2.0)]

    with pytest.raises(Failed, match="uniquely"):
        evaluate(_rule(), twice, 0)
    with pytest.raises(Failed, match="wide"):
        evaluate(_rule(), lambda _, now_ms: [{"Time": now_ms, "value": 1.0, "count": 2}], 0)
