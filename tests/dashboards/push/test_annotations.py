"""What is to be seen on the boards is there once, as it is now, and what never was is gone."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboards.push.annotations import Annotation, known_annotations, push_annotations
from dashboards.push.client import Grafana
from heatwatch.errors import BadInput, Unavailable
from tests.dashboards.push.conftest import reset
from tests.dashboards.push.examples import strangers
from tests.dashboards.push.fake import DROPPED, FakeGrafana

OUTAGE = Annotation(kind="finding", number=12, start_ms=1_000, end_ms=None, text="停热", tags=("station:S1", "R11"))
ENDED = Annotation(kind="finding", number=12, start_ms=1_000, end_ms=9_000, text="停热 8 s", tags=("station:S1", "R11"))
NEVER = Annotation(kind="finding", number=12, start_ms=1_000, end_ms=9_000, text="停热", withdrawn=True)
STOP = Annotation(kind="stop", number=12, start_ms=2_000, end_ms=3_000, text="检修")


def ours(fake: FakeGrafana) -> list[dict[str, object]]:
    return [each for each in fake.annotations.values() if "heatwatch" in each["tags"]]


def push(grafana: Grafana, *items: Annotation) -> None:
    push_annotations(grafana, items, known_annotations(grafana))


def test_what_goes_on_is_a_point_and_becomes_a_span(fake: FakeGrafana, grafana: Grafana) -> None:
    push(grafana, OUTAGE, STOP)
    first, second = ours(fake)
    assert (first["time"], first["timeEnd"], first["text"]) == (1_000, 1_000, "停热")
    assert first["tags"] == ["R11", "heatwatch", "heatwatch:finding:12", "open", "station:S1"]
    assert (second["time"], second["timeEnd"]) == (2_000, 3_000)
    push(grafana, ENDED)
    first, second = ours(fake)
    assert (first["time"], first["timeEnd"], first["text"]) == (1_000, 9_000, "停热 8 s")
    assert first["tags"] == ["R11", "heatwatch", "heatwatch:finding:12", "station:S1"]
    assert second["text"] == "检修"


def test_what_is_there_is_not_written_again(fake: FakeGrafana, grafana: Grafana) -> None:
    now = push_annotations(grafana, [OUTAGE, STOP], known_annotations(grafana))
    fake.forget()
    assert push_annotations(grafana, [OUTAGE, STOP], now) == now == known_annotations(grafana)
    assert not fake.writes


def test_what_never_was_goes_and_others_stay(fake: FakeGrafana, grafana: Grafana) -> None:
    push(grafana, OUTAGE, STOP)
    push(grafana, NEVER)
    assert [each["text"] for each in ours(fake)] == ["检修"]
    push(grafana, NEVER, Annotation(kind="stop", number=12, start_ms=0, end_ms=None, text="", withdrawn=True))
    assert fake.annotations == strangers().annotations


def test_one_that_is_there_twice_is_there_once_again(fake: FakeGrafana, grafana: Grafana) -> None:
    """The answer to a post was lost, and nobody knew that it was done."""
    push(grafana, OUTAGE)
    (there,) = ours(fake)
    fake.annotations[99] = {**there, "id": 99}
    push(grafana, ENDED)
    assert [each["text"] for each in ours(fake)] == ["停热 8 s"]


def test_more_than_an_answer_holds_is_told(
    fake: FakeGrafana, grafana: Grafana, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(grafana, OUTAGE, STOP)
    monkeypatch.setattr("dashboards.push.annotations.MOST", 2)
    with pytest.raises(BadInput, match="ask for a shorter time"):
        known_annotations(grafana)
    assert set(known_annotations(grafana, 1, 1_500)) == {OUTAGE.own_tag}


ITEMS = st.builds(
    Annotation,
    kind=st.sampled_from(["finding", "stop"]),
    number=st.integers(1, 3),
    start_ms=st.integers(1, 5),
    end_ms=st.none() | st.integers(5, 9),
    text=st.sampled_from(["停热", "检修"]),
    tags=st.lists(st.sampled_from(["station:S1", "R11"]), max_size=2).map(tuple),
    withdrawn=st.booleans(),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(passes=st.lists(st.lists(ITEMS, max_size=4), max_size=4), number=st.integers(1, 12), dropped=st.booleans())
def test_the_last_word_on_each_is_what_is_there(
    server: FakeGrafana, grafana: Grafana, passes: list[list[Annotation]], number: int, *, dropped: bool
) -> None:
    """One call fails, before or after it was done; its pass is made again."""
    fake = reset(server)
    fake.fails[number] = DROPPED if dropped else 500
    for items in passes:
        try:
            push(grafana, *items)
        except Unavailable:
            push(grafana, *items)
    last = {item.own_tag: item for items in passes for item in items}
    wanted = [item.sent() for item in last.values() if not item.withdrawn]
    fake.forget()
    there = known_annotations(grafana)
    assert all(len(each) == 1 for each in there.values())
    assert {each[0].sent for each in there.values()} == set(wanted)
    assert len(there) == len(wanted)
    assert fake.annotations[5] == strangers().annotations[5]
