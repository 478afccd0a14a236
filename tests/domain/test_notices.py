"""When a notice is drafted, published and followed by another (R12, R13)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from heatwatch.domain.notices import (
    Draft,
    Drop,
    Notice,
    NoticeKind,
    NoticeState,
    Publish,
    Redraft,
    Stop,
    steps,
)

FROM = 450
STOP = Stop(start_ms=0, end_ms=None, buildings=("b1",), publish_from_ms=FROM)


@dataclass
class Board:
    """Notices as they come about: does what `steps` says, until nothing is left to do."""

    notices: list[Notice] = field(default_factory=list)
    published: list[tuple[int, NoticeKind, tuple[str, ...]]] = field(default_factory=list)
    instead: dict[int, int] = field(default_factory=dict)

    def see(self, stop: Stop, at_ms: int) -> Board:
        self._do(stop, at_ms)
        assert steps(stop, self.notices, at_ms) == [], "what was done is not done twice"
        return self

    def _do(self, stop: Stop, at_ms: int) -> None:
        for step in steps(stop, self.notices, at_ms):
            match step:
                case Draft():
                    if step.replaces is not None and step.publish:
                        self._set(step.replaces, NoticeState.SUPERSEDED)
                    elif step.replaces is not None:
                        self.instead[len(self.notices)] = step.replaces
                    state = NoticeState.PUBLISHED if step.publish else NoticeState.DRAFT
                    number = len(self.notices)
                    self.notices.append(Notice(number, step.kind, state, stop.start_ms, step.buildings, stop.end_ms))
                    if step.publish:
                        self._publish(len(self.notices) - 1, at_ms)
                case Redraft():
                    old = self.notices[step.notice_id]
                    self.notices[step.notice_id] = replace(old, start_ms=stop.start_ms, buildings=stop.buildings)
                case Publish():
                    if step.notice_id in self.instead:
                        self._set(self.instead[step.notice_id], NoticeState.SUPERSEDED)
                    self._set(step.notice_id, NoticeState.PUBLISHED)
                    self._publish(step.notice_id, at_ms)
                case Drop():
                    self._set(step.notice_id, NoticeState.DROPPED)

    def _set(self, number: int, state: NoticeState) -> None:
        self.notices[number] = replace(self.notices[number], state=state)

    def _publish(self, number: int, at_ms: int) -> None:
        self.published.append((at_ms, self.notices[number].kind, self.notices[number].buildings))

    def said(self) -> list[tuple[int, str]]:
        return [(at_ms, str(kind)) for at_ms, kind, _ in self.published]

    def states(self) -> list[tuple[str, str]]:
        return [(str(one.kind), str(one.state)) for one in self.notices]


def test_a_stop_is_drafted_at_once_and_published_before_its_deadline() -> None:
    board = Board().see(STOP, 60).see(STOP, FROM - 1)
    assert board.states() == [("stop", "draft")]
    assert board.see(STOP, FROM).said() == [(FROM, "stop")]


def test_a_stop_found_late_is_published_when_it_is_found() -> None:
    assert Board().see(STOP, 700).said() == [(700, "stop")]


def test_a_known_fault_is_announced_at_once() -> None:
    """R12: whatever its length."""
    board = Board().see(STOP, 60).see(replace(STOP, known=True), 61)
    assert board.said() == [(61, "stop")]


def test_a_short_stop_is_never_announced() -> None:
    board = Board().see(STOP, 60).see(replace(STOP, end_ms=300), 360)
    assert (board.said(), board.states()) == ([], [("stop", "dropped")])


def test_what_was_announced_is_followed_by_its_restoration() -> None:
    """R13."""
    board = Board().see(STOP, FROM).see(replace(STOP, end_ms=900), 960)
    assert board.said() == [(FROM, "stop"), (960, "restoration")]
    assert board.states() == [("stop", "superseded"), ("restoration", "published")]


def test_what_was_announced_and_never_was_is_corrected() -> None:
    board = Board().see(STOP, FROM).see(replace(STOP, withdrawn=True), 960)
    assert board.said() == [(FROM, "stop"), (960, "correction")]


def test_a_stop_that_goes_on_after_all_is_announced_again() -> None:
    board = Board().see(STOP, FROM).see(replace(STOP, end_ms=900), 960).see(STOP, 1000)
    assert board.said() == [(FROM, "stop"), (960, "restoration"), (1000, "stop")]


def test_more_buildings_are_announced_and_fewer_are_not() -> None:
    more = replace(STOP, buildings=("b1", "b2"))
    board = Board().see(STOP, FROM).see(more, 500).see(STOP, 510)
    assert board.said() == [(FROM, "stop"), (500, "stop")]
    assert board.states() == [("stop", "superseded"), ("stop", "published")]


def test_a_draft_is_kept_up_to_date() -> None:
    board = Board().see(STOP, 60).see(replace(STOP, start_ms=-30, buildings=("b1", "b2")), 70)
    assert [(one.start_ms, one.buildings) for one in board.notices] == [(-30, ("b1", "b2"))]


ends = st.one_of(st.none(), st.integers(1, 1500))
stops = st.builds(
    Stop,
    start_ms=st.integers(-60, 60),
    end_ms=ends,
    buildings=st.sets(st.sampled_from(["b1", "b2", "b3"]), min_size=1).map(lambda some: tuple(sorted(some))),
    publish_from_ms=st.just(FROM),
    known=st.booleans(),
    withdrawn=st.booleans(),
)


@settings(max_examples=500)
@given(st.lists(st.tuples(stops, st.integers(1, 200)), min_size=1, max_size=12))
def test_whatever_happens_the_public_is_told_the_truth(seen: Sequence[tuple[Stop, int]]) -> None:
    """After every look: a stop that goes on and is due is announced with all its buildings, any other is not."""
    board, at_ms = Board(), 0
    for stop, wait in seen:
        at_ms += wait
        board.see(stop, at_ms)
        shown = [one for one in board.notices if one.state is NoticeState.PUBLISHED]
        drafts = [one for one in board.notices if one.state is NoticeState.DRAFT]
        assert len(shown) <= 1
        assert len(drafts) <= 1
        on = stop.end_ms is None and not stop.withdrawn
        if on and (stop.known or at_ms >= FROM):
            assert shown[0].kind is NoticeKind.STOP
            assert set(stop.buildings) <= set(shown[0].buildings)
        if not on:
            assert not drafts
            assert not shown or shown[0].kind is not NoticeKind.STOP
