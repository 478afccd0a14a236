"""A push brings what is ours and nothing else, writes nothing twice, and completes what broke off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboards.model import GrafanaSet, RuleGroup
from dashboards.push.applying import Applied, apply, told
from dashboards.push.change import Action, Kind, Site
from dashboards.push.plan import plan
from heatwatch.errors import BadInput, HeatwatchError, Unavailable
from tests.dashboards.push.conftest import reset
from tests.dashboards.push.examples import BASE, SECRETS, bare, full, others, point, rule, strangers
from tests.dashboards.push.fake import DROPPED, MASK, FakeGrafana

WHOLE = full()


def push(site: Site, whole: GrafanaSet) -> Applied:
    return apply(site, plan(site, whole))


def complete(site: Site, whole: GrafanaSet) -> None:
    assert push(site, whole).error is None


def actions(site: Site, whole: GrafanaSet) -> dict[tuple[Kind, str], Action]:
    return {(change.kind, change.name): change.action for change in plan(site, whole)}


def test_a_plan_only_reads(fake: FakeGrafana, site: Site) -> None:
    before = fake.kept()
    assert set(actions(site, WHOLE).values()) == {Action.CREATE}
    assert not fake.writes
    assert fake.kept() == before


def test_the_first_push_brings_everything(fake: FakeGrafana, site: Site) -> None:
    complete(site, WHOLE)
    assert fake.folders["heatwatch"]["title"] == "室温监测"
    assert fake.sources["heatwatch-readings"]["secrets"] == {"token": SECRETS["grafana_influx_token"]}
    assert fake.boards["heatwatch-readings"]["dashboard"]["title"] == "室温读数"
    assert fake.boards["heatwatch-readings"]["meta"] == {"folderUid": "heatwatch"}
    settings = fake.points["heatwatch-tickets"]["settings"]
    assert settings["authorization_credentials"] == settings["hmacConfig"]["secret"] == SECRETS["heatwatch_webhook"]
    first = fake.tree["routes"][0]
    assert first["receiver"] == "heatwatch-工单"
    assert first["object_matchers"] == [["owner", "=", "heatwatch"]]
    assert [each["uid"] for each in fake.groups["heatwatch", "outages / 停热"]["rules"]] == [
        "heatwatch-outage",
        "heatwatch-due",
    ]
    assert {"heatwatch-检修"} < set(fake.mute_times)
    assert {"heatwatch-text"} < set(fake.templates)


def test_rules_are_spelled_as_calls_spell_them(fake: FakeGrafana, site: Site) -> None:
    complete(site, WHOLE)
    kept = fake.groups["heatwatch", "outages / 停热"]["rules"][0]
    assert kept["labels"]["owner"] == "heatwatch"
    assert kept["title"] == "规则 outage 于 $站"
    assert kept["annotations"]["__dashboardUid__"] == "heatwatch-readings"
    assert kept["annotations"]["__panelId__"] == "2"
    assert (kept["for"], kept["keep_firing_for"], kept["missingSeriesEvalsToResolve"]) == ("1m30s", "10m", 3)
    assert kept["data"][0]["model"]["query"].endswith('"${x}")')


@pytest.mark.parametrize("whole", [BASE, bare(), WHOLE], ids=["without alerts", "bare", "full"])
def test_a_second_push_writes_nothing(fake: FakeGrafana, site: Site, whole: GrafanaSet) -> None:
    complete(site, whole)
    fake.forget()
    complete(site, whole)
    assert set(actions(site, whole).values()) == {Action.UNCHANGED}
    assert not fake.writes


def test_what_changed_is_written_and_nothing_else(fake: FakeGrafana, site: Site) -> None:
    complete(site, WHOLE)
    fake.forget()
    board = {**BASE.boards[0], "title": "室温", "refresh": "5m"}
    whole = replace(WHOLE, boards=(board,), mute_times=full(mute="heatwatch-检修").mute_times)
    changes = plan(site, whole)
    (changed,) = [change for change in changes if change.action is not Action.UNCHANGED]
    assert [str(each) for each in changed.differences] == ['title: "室温读数" -> "室温"', 'refresh: "1m" -> "5m"']
    assert "update     board          heatwatch-readings" in list(told(changes))
    apply(site, changes)
    assert fake.writes == [("POST", "/api/dashboards/db")]


def test_what_someone_changed_by_hand_is_changed_back(fake: FakeGrafana, site: Site) -> None:
    complete(site, WHOLE)
    fake.boards["heatwatch-readings"]["dashboard"]["panels"][0]["fieldConfig"]["defaults"]["min"] = 0
    fake.groups["heatwatch", "outages / 停热"]["rules"][0]["isPaused"] = True
    fake.sources["heatwatch-readings"]["jsonData"]["timeInterval"] = "10s"
    found = {change.name: [str(each) for each in change.differences] for change in plan(site, WHOLE)}
    assert found["heatwatch-readings"] == ["panels[0].fieldConfig.defaults.min: 0 -> nothing"]
    assert found["outages / 停热"] == ["rules.heatwatch-outage.isPaused: true -> nothing"]
    complete(site, WHOLE)
    assert set(actions(site, WHOLE).values()) == {Action.UNCHANGED}


def test_what_is_no_longer_wanted_goes_and_what_others_use_stays(fake: FakeGrafana, site: Site) -> None:
    complete(site, full(boards=3))
    gone = {key for key, action in actions(site, bare()).items() if action is Action.REMOVE}
    assert gone == {
        (Kind.POLICY, "heatwatch"),
        (Kind.RULE, "heatwatch-outage"),
        (Kind.RULE, "heatwatch-due"),
        (Kind.MUTE_TIME, "heatwatch-检修"),
        (Kind.RECEIVER, "heatwatch-tickets"),
        (Kind.TEMPLATE, "heatwatch-text"),
        *((Kind.BOARD, f"heatwatch-{name}") for name in ("readings", "more-1", "more-2")),
    }
    complete(site, bare())
    left = reset(FakeGrafana(), fake).kept()
    expected = strangers().kept()
    left["sources"].pop("heatwatch-readings")
    left["folders"].pop("heatwatch")
    assert left == expected


def test_a_rule_moves_between_groups_and_a_group_loses_one(fake: FakeGrafana, site: Site) -> None:
    complete(site, full(groups=(RuleGroup("a", 60, (rule("one"), rule("two"))), RuleGroup("b", 60, (rule("three"),)))))
    after = full(groups=(RuleGroup("a", 60, (rule("one"),)), RuleGroup("c", 120, (rule("three"),))))
    assert not [name for kind, name in actions(site, after) if kind is Kind.RULE]
    complete(site, after)
    kept = {key[1]: [each["uid"] for each in group["rules"]] for key, group in fake.groups.items()}
    assert kept == {"pumps": ["pump-1"], "by hand": ["someones"], "a": ["heatwatch-one"], "c": ["heatwatch-three"]}
    assert set(actions(site, after).values()) == {Action.UNCHANGED}


def test_a_mute_time_with_another_name_replaces_the_old_one(fake: FakeGrafana, site: Site) -> None:
    """Grafana deletes none that a policy names, so the policy has to go before."""
    complete(site, WHOLE)
    complete(site, full(mute="heatwatch-停供"))
    assert set(fake.mute_times) == {"weekend", "heatwatch-停供"}


def test_our_policy_stays_where_someone_moved_it(fake: FakeGrafana, site: Site) -> None:
    complete(site, WHOLE)
    routes = fake.tree["routes"]
    routes.append(routes.pop(0))
    complete(site, replace(WHOLE, route=replace(WHOLE.route, group_by=("building",))))  # type: ignore[type-var]
    assert fake.tree["routes"][-1]["group_by"] == ["building"]
    assert fake.tree["routes"][:-1] == strangers().tree["routes"]


def test_the_tree_of_policies_stays_open_or_closed_to_hands_as_it_was(fake: FakeGrafana, site: Site) -> None:
    complete(site, WHOLE)
    assert "provenance" not in fake.tree
    reset(fake)
    fake.tree["provenance"] = "api"
    complete(site, WHOLE)
    assert fake.tree["provenance"] == "api"


def test_a_policy_that_someone_adds_while_we_push_is_kept(fake: FakeGrafana, site: Site) -> None:
    changes = plan(site, WHOLE)
    late = {"receiver": "mail", "object_matchers": [["late", "=", "1"]]}
    fake.tree["routes"].append(late)
    assert apply(site, changes).error is None
    assert fake.tree["routes"][1:] == [*strangers().tree["routes"], late]


def test_a_tree_that_a_file_took_over_while_we_push_is_left_alone(fake: FakeGrafana, site: Site) -> None:
    changes = plan(site, WHOLE)
    fake.tree["provenance"] = "file"
    applied = apply(site, changes)
    assert isinstance(applied.error, BadInput)
    assert applied.left[0].kind is Kind.POLICY
    assert fake.tree == {**strangers().tree, "provenance": "file"}


def test_another_order_of_matchers_is_no_change(fake: FakeGrafana, site: Site) -> None:
    route = replace(WHOLE.route, matchers=(("rule", "=~", "R.*"),), group_by=("b", "a"))  # type: ignore[type-var]
    complete(site, replace(WHOLE, route=route))
    for key in ("object_matchers", "group_by"):
        fake.tree["routes"][0][key].reverse()
    assert set(actions(site, replace(WHOLE, route=route)).values()) == {Action.UNCHANGED}


def test_the_default_data_source_is_not_ours_to_choose(fake: FakeGrafana, site: Site) -> None:
    complete(site, WHOLE)
    assert fake.sources["heatwatch-readings"]["isDefault"] is False
    fake.sources["heatwatch-readings"].update(isDefault=True, url="http://other")
    complete(site, WHOLE)
    assert fake.sources["heatwatch-readings"]["isDefault"] is True


class TestSecrets:
    """Grafana never shows them, so they are sent when it lacks them, or when asked."""

    def test_a_known_secret_is_not_sent_again_and_stays(self, fake: FakeGrafana, site: Site, secrets_dir: Path) -> None:
        complete(site, WHOLE)
        for file in secrets_dir.iterdir():
            file.unlink()
        fake.points["heatwatch-tickets"]["settings"]["url"] = "http://elsewhere"
        fake.sources["heatwatch-readings"]["url"] = "http://elsewhere"
        complete(site, WHOLE)
        assert fake.points["heatwatch-tickets"]["settings"]["hmacConfig"]["secret"] == SECRETS["heatwatch_webhook"]
        assert fake.sources["heatwatch-readings"]["secrets"] == {"token": SECRETS["grafana_influx_token"]}

    def test_all_are_sent_again_when_asked(self, fake: FakeGrafana, site: Site, secrets_dir: Path) -> None:
        complete(site, WHOLE)
        (secrets_dir / "heatwatch_webhook").write_text("another-word")
        assert set(actions(site, WHOLE).values()) == {Action.UNCHANGED}
        complete(replace(site, anew=True), WHOLE)
        settings = fake.points["heatwatch-tickets"]["settings"]
        assert settings["authorization_credentials"] == settings["hmacConfig"]["secret"] == "another-word"

    def test_one_that_grafana_lacks_is_sent(self, fake: FakeGrafana, site: Site) -> None:
        complete(site, WHOLE)
        fake.sources["heatwatch-readings"]["secrets"].clear()
        del fake.points["heatwatch-tickets"]["settings"]["hmacConfig"]["secret"]
        lines = "\n".join(told(plan(site, WHOLE)))
        assert 'secureJsonData.token: nothing -> "(secret)"' in lines
        assert 'settings.hmacConfig.secret: nothing -> "(secret)"' in lines
        complete(site, WHOLE)
        settings = fake.points["heatwatch-tickets"]["settings"]
        assert settings["hmacConfig"]["secret"] == settings["authorization_credentials"] == SECRETS["heatwatch_webhook"]
        assert fake.sources["heatwatch-readings"]["secrets"] == {"token": SECRETS["grafana_influx_token"]}

    def test_none_is_told(self, fake: FakeGrafana, site: Site) -> None:
        first = list(told(plan(site, WHOLE)))
        complete(site, WHOLE)
        fake.points["heatwatch-tickets"]["settings"]["authorization_credentials"] = "old"
        changes = plan(replace(site, anew=True), WHOLE)
        text = "\n".join([*first, *told(changes), *map(repr, changes)])
        assert not any(word in text for word in (*SECRETS.values(), MASK))

    def test_a_missing_file_stops_before_anything_is_written(
        self, fake: FakeGrafana, site: Site, secrets_dir: Path
    ) -> None:
        (secrets_dir / "heatwatch_webhook").unlink()
        changes = plan(site, WHOLE)
        with pytest.raises(BadInput, match="heatwatch_webhook"):
            apply(site, changes)
        assert not fake.writes


class TestWhatIsNotOurs:
    """Left alone, or named as the reason to do nothing."""

    def test_stays_as_it_is_through_everything(self, fake: FakeGrafana, site: Site) -> None:
        before = strangers().kept()
        for whole in (WHOLE, full(boards=2), BASE, bare(), WHOLE):
            complete(site, whole)
            assert others(fake) == before

    @pytest.mark.parametrize(
        ("spoil", "named"),
        [
            (lambda fake: fake.boards["heatwatch-readings"]["dashboard"].update(tags=["mine"]), "board heatwatch-"),
            (lambda fake: fake.sources["heatwatch-readings"].update(type="mysql"), "data source heatwatch-readings"),
            (lambda fake: fake.points["heatwatch-tickets"].update(name="mine"), "contact point heatwatch-tickets"),
            (lambda fake: fake.groups["heatwatch", "outages / 停热"]["rules"][0].update(uid="x"), "rule x"),
            (lambda fake: fake.groups["heatwatch", "outages / 停热"]["rules"][0].update(folderUID="ops"), "rule heatw"),
        ],
    )
    def test_is_refused_by_name_where_it_has_ours(
        self, fake: FakeGrafana, site: Site, spoil: object, named: str
    ) -> None:
        complete(site, WHOLE)
        spoil(fake)  # type: ignore[operator]
        fake.forget()
        with pytest.raises(BadInput, match=f"^{named}.*is not ours"):
            plan(site, WHOLE)
        assert not fake.writes

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda fake: fake.boards["heatwatch-readings"].update(
                dashboard={**fake.boards["heatwatch-readings"]["dashboard"], "title": "x"}, meta={"provisioned": True}
            ),
            lambda fake: fake.sources["heatwatch-readings"].update(url="x", readOnly=True),
            lambda fake: fake.folders["heatwatch"].update(title="x", managedBy="classic-file-provisioning"),
            lambda fake: fake.points["heatwatch-tickets"].update(disableResolveMessage=True, provenance="file"),
            lambda fake: fake.mute_times["heatwatch-检修"].update(time_intervals=[], provenance="file"),
            lambda fake: fake.templates["heatwatch-text"].update(template="x", provenance="file"),
            lambda fake: fake.groups["heatwatch", "outages / 停热"]["rules"][0].update(title="x", provenance="file"),
            lambda fake: fake.tree.update(routes=[], provenance="file"),
            lambda fake: fake.templates.update({"heatwatch-old": {"name": "heatwatch-old", "provenance": "file"}}),
        ],
    )
    def test_is_refused_where_a_file_of_grafanas_keeps_it(self, fake: FakeGrafana, site: Site, spoil: object) -> None:
        complete(site, WHOLE)
        spoil(fake)  # type: ignore[operator]
        fake.forget()
        with pytest.raises(BadInput, match="provisioned by a file"):
            plan(site, WHOLE)
        assert not fake.writes

    def test_a_tree_that_a_file_keeps_is_no_matter_where_no_policy_changes(self, fake: FakeGrafana, site: Site) -> None:
        fake.tree["provenance"] = "file"
        complete(site, BASE)
        complete(site, bare())


class TestHalfFailed:
    """What was done stays done, and is not done again."""

    @pytest.mark.parametrize("kind", [500, 403, DROPPED])
    def test_at_any_call_the_next_run_completes_it(self, fake: FakeGrafana, site: Site, kind: int) -> None:
        """From one set to another that creates, updates and removes: 500 and 403 before the deed, DROPPED after it."""
        first = full(groups=(RuleGroup("old", 60, (rule("old"),)),), mute="heatwatch-old", boards=2)
        complete(site, first)
        start = reset(FakeGrafana(), fake)
        fake.forget()
        complete(site, WHOLE)
        wanted, calls = fake.kept(), len(fake.calls)
        for number in range(1, calls + 1):
            reset(fake, start)
            fake.fails[number] = kind
            error: HeatwatchError | None
            try:
                error = push(site, WHOLE).error
            except HeatwatchError as caught:
                error = caught
                assert not fake.writes
            assert isinstance(error, BadInput if kind == 403 else Unavailable)
            assert others(fake) == strangers().kept()
            fake.forget()
            complete(site, WHOLE)
            assert _versionless(fake.kept()) == _versionless(wanted)
            fake.forget()
            complete(site, WHOLE)
            assert not fake.writes

    def test_what_was_done_and_what_was_not_is_told(self, fake: FakeGrafana, site: Site) -> None:
        changes = plan(site, WHOLE)
        fake.fails[len(fake.calls) + 3] = 500
        applied = apply(site, changes)
        assert [change.kind for change in applied.done] == [Kind.FOLDER, Kind.SOURCE]
        assert applied.left[0].kind is Kind.BOARD
        assert len(applied.left) == len(changes) - 2


SETS = st.builds(
    full,
    groups=st.sampled_from(
        [
            None,
            (),
            (RuleGroup("a", 60, (rule("one"), rule("two"))),),
            (RuleGroup("b", 120, (rule("two", for_s=60), rule("one"))),),
            (RuleGroup("a", 60, (rule("two"),)), RuleGroup("b", 60, (rule("one"), rule("outage")))),
        ]
    ),
    mute=st.sampled_from(["heatwatch-检修", "heatwatch-old"]),
    boards=st.integers(1, 3),
) | st.sampled_from([BASE, bare(), replace(WHOLE, contact_points=(point(), point("heatwatch-b", "heatwatch-b")))])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(SETS, st.integers(1, 40)), min_size=1, max_size=4))
def test_whatever_came_before_the_last_set_is_what_is_there(
    server: FakeGrafana, site: Site, steps: list[tuple[GrafanaSet, int]]
) -> None:
    """Runs that break off anywhere, in any order; then one that does not."""
    fake = reset(server)
    for whole, number in steps:
        fake.forget()
        fake.fails[number] = 500
        try:
            push(site, whole)
        except Unavailable:
            assert not fake.writes
    fake.forget()
    last = steps[-1][0]
    complete(site, last)
    there = fake.kept()
    assert others(fake) == strangers().kept()
    reset(fake)
    complete(site, last)
    for kept in (again := fake.kept(), there):
        kept["sources"].pop("heatwatch-readings", None)  # never removed: boards of others may ask it
    assert _versionless(there) == _versionless(again)


def _versionless(kept: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept without what counts how often boards were written."""
    for each in kept["boards"].values():
        each["dashboard"] = {key: value for key, value in each["dashboard"].items() if key not in {"id", "version"}}
    return kept
