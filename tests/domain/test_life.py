"""The life of a ticket: which deed is legal when, and which clock runs until when (R11, R12, R15-R19, R21)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heatwatch.domain.instants import HOUR_MS, MINUTE_MS
from heatwatch.domain.life import Deed, Event, Facts, Mark, Standing, check, clocks, possible, standing
from heatwatch.domain.tickets import Clock, TicketKind, TicketState
from heatwatch.errors import BadInput
from heatwatch.files.rules_file import default_standard

VERSION = default_standard().versions[0]
OPENED = 1_000 * HOUR_MS
LOW = Facts(TicketKind.LOW_TEMPERATURE, OPENED, OPENED - HOUR_MS)
STOP = Facts(TicketKind.HEAT_OUTAGE, OPENED, OPENED - 2 * HOUR_MS)
POINT = Facts(TicketKind.SENSOR, OPENED, OPENED - HOUR_MS, faulty_ms=OPENED)
LEAK = Facts(TicketKind.LEAK, OPENED, OPENED, groundless=True)
LIFE = (
    (Deed.TAKE, 0.1),
    (Deed.CONTACT, 0.4),
    (Deed.OPINION, 0.9),
    (Deed.ON_SITE, 1.9),
    (Deed.CAUSE, 3.0),
    (Deed.FINISH, 10.0),
    (Deed.RECEIPT, 11.0),
    (Deed.FOLLOW_UP, 60.0),
)


@dataclass
class Desk:
    """One ticket and what is done about it; hours are counted from its opening."""

    facts: Facts = LOW
    log: list[Event] = field(default_factory=list)

    @property
    def now(self) -> Standing:
        return standing(self.log)

    def clocks(self) -> list[Clock]:
        return clocks(VERSION, self.facts, self.now)

    def clock(self, step: str) -> Clock:
        (found,) = (one for one in self.clocks() if one.step == step)
        return found

    def do(self, deed: Deed, at_h: float, who: str = "s1", step: str = "", **detail: object) -> Desk:
        at_ms = OPENED + round(at_h * HOUR_MS)
        check(deed, self.facts, self.now, self.clocks(), at_ms, step=step)
        self.log.append(Event(deed, at_ms, who, detail))
        return self

    def live(self, until: Deed) -> Desk:
        for deed, at_h in LIFE:
            self.do(deed, at_h)
            if deed is until:
                break
        return self

    def mark(self, mark: Mark, at_h: float) -> Desk:
        self.log.append(Event(mark, OPENED + round(at_h * HOUR_MS)))
        return self


def due_h(clock: Clock) -> float:
    return (clock.due_ms - OPENED) / HOUR_MS


def test_a_ticket_lives_from_its_opening_to_its_follow_up() -> None:
    desk = Desk()
    states = [str(desk.now.state)]
    for deed, at_h in LIFE:
        desk.do(deed, at_h)
        states.append(str(desk.now.state))
    assert states == ["open", *["taken"] * 5, "finished", "finished", "closed"]
    assert all(clock.done_ms is not None and not clock.late(clock.done_ms) for clock in desk.clocks())


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (LOW, {"contact": 0.5, "opinion": 1, "on_site": 2, "finish": 24}),
        (STOP, {"start": 0, "opinion": 1, "warning": 4, "notice": 6, "finish": 24}),
        (LEAK, {"on_site": 0.5, "opinion": 1, "finish": 24}),
        (replace(LEAK, kind=TicketKind.REPAIR), {"contact": 0.5, "opinion": 1, "on_site": 2, "finish": 24}),
    ],
)
def test_the_clocks_of_a_new_ticket(facts: Facts, expected: dict[str, float]) -> None:
    assert {clock.step: due_h(clock) for clock in Desk(facts).clocks()} == expected


def test_a_clock_that_is_met_to_the_millisecond_is_met() -> None:
    desk = Desk().do(Deed.TAKE, 0).do(Deed.CONTACT, 0.5)
    assert not desk.clock("contact").late(OPENED + 99 * HOUR_MS)
    assert desk.clock("opinion").late(OPENED + HOUR_MS + 1)
    assert not desk.clock("opinion").late(OPENED + HOUR_MS)


def test_a_leak_has_no_other_clock_before_the_arrival() -> None:
    """R17: on site within 30 minutes of the leak being known; R16's clocks no longer hold."""
    desk = Desk().do(Deed.TAKE, 0.1).do(Deed.LEAK, 0.25)
    assert [clock.step for clock in desk.clocks()] == ["opinion", "on_site", "finish"]
    assert (due_h(desk.clock("on_site")), desk.clock("on_site").rule) == (0.75, "R17")
    with pytest.raises(BadInput, match="done already"):
        desk.do(Deed.LEAK, 0.3)


def test_a_matter_from_above_wants_its_result_within_the_hour() -> None:
    desk = Desk().do(Deed.TAKE, 0.1).do(Deed.FROM_ABOVE, 2)
    assert (due_h(desk.clock("result")), desk.clock("result").rule) == (3, "R15")
    assert desk.do(Deed.RESULT, 2.5).clock("result").done_ms == OPENED + 2.5 * HOUR_MS


def test_nothing_from_above_has_no_result() -> None:
    with pytest.raises(BadInput, match="not possible before from_above"):
        Desk().do(Deed.TAKE, 0).do(Deed.RESULT, 1)


@pytest.mark.parametrize(("after_h", "legal"), [(48 - 1e-6, False), (48, True), (72, True), (100, True)])
def test_the_follow_up_comes_after_48_hours(after_h: float, *, legal: bool) -> None:
    """R19: not before 48 h after completion; after 72 h it is late, and still done."""
    desk = Desk().live(Deed.RECEIPT)
    if not legal:
        with pytest.raises(BadInput, match=r"R19"):
            desk.do(Deed.FOLLOW_UP, 10 + after_h)
        return
    desk.do(Deed.FOLLOW_UP, 10 + after_h)
    assert desk.now.state is TicketState.CLOSED
    assert desk.clock("follow_up").late(OPENED) is (after_h > 72)


def test_a_repair_that_does_not_hold_goes_on_and_its_clock_never_stopped() -> None:
    """R18: the repair goes on until the fault is gone; the 24 hours are those of the opening."""
    desk = Desk().live(Deed.RECEIPT).do(Deed.REOPEN, 20)
    assert desk.now.state is TicketState.TAKEN
    assert {clock.step: clock.done_ms is None for clock in desk.clocks()} == {
        "contact": False,
        "opinion": False,
        "on_site": False,
        "finish": True,
    }
    assert desk.clock("finish").late(OPENED + 25 * HOUR_MS)
    with pytest.raises(BadInput, match="not possible before cause"):
        desk.do(Deed.FINISH, 21)
    desk.do(Deed.CAUSE, 21).do(Deed.FINISH, 26)
    assert desk.clock("finish").late(OPENED)
    assert due_h(desk.clock("follow_up")) == 26 + 72


def test_a_reason_pauses_no_clock() -> None:
    """R21: missed with a reason is missed."""
    desk = Desk().do(Deed.TAKE, 0.1)
    before = desk.clocks()
    desk.do(Deed.EXPLAIN, 0.2, step="on_site", text="全部班组在外抢修")
    assert desk.clocks() == before
    with pytest.raises(BadInput, match="no deadline 'notice'"):
        desk.do(Deed.EXPLAIN, 0.2, step="notice")


def test_warning_and_notice_fall_away_when_the_heat_is_back_in_time() -> None:
    """R12 asks for a notice of a stop of 8 hours; one that was shorter needs none, one that was longer is missed."""
    in_time = Desk(replace(STOP, stop_end_ms=STOP.cause_start_ms + 5 * HOUR_MS))
    assert in_time.clock("warning").off
    assert in_time.clock("notice").off
    late = Desk(replace(STOP, stop_end_ms=STOP.cause_start_ms + 8 * HOUR_MS))
    assert not late.clock("notice").off
    assert late.clock("notice").late(OPENED + 7 * HOUR_MS)


def test_who_has_announced_is_not_warned() -> None:
    desk = Desk(STOP).mark(Mark.NOTICE, 1)
    assert desk.clock("warning").off
    assert desk.clock("notice").done_ms == OPENED + HOUR_MS


def test_a_merged_ticket_asks_for_nothing_more() -> None:
    desk = Desk().do(Deed.TAKE, 0.1).do(Deed.CONTACT, 0.2).mark(Mark.MERGED, 0.3)
    assert [clock.step for clock in desk.clocks() if not clock.off] == ["contact"]
    assert possible(LOW, desk.now, desk.clocks(), OPENED + HOUR_MS) == [Deed.COMMENT]


def test_only_a_ticket_without_ground_is_withdrawn() -> None:
    with pytest.raises(BadInput, match="still holds"):
        Desk().do(Deed.WITHDRAW, 1)
    desk = Desk(replace(LOW, groundless=True)).do(Deed.WITHDRAW, 1)
    assert desk.now.state is TicketState.WITHDRAWN
    assert all(clock.off for clock in desk.clocks())


def test_whoever_takes_it_last_answers_for_it() -> None:
    desk = Desk().do(Deed.TAKE, 0, "s1").do(Deed.TAKE, 1, "s2").do(Deed.ASSIGN, 2, "s2", person="r7")
    assert (desk.now.responsible, desk.now.sent) == ("s2", "r7")
    assert desk.now.done["start"] == OPENED, "the work began with the first"


deeds = st.lists(st.tuples(st.sampled_from(list(Deed)), st.integers(0, 50 * 60)), max_size=25)


@settings(max_examples=300)
@given(deeds, st.sampled_from([LOW, STOP, LEAK]))
def test_whatever_is_tried_only_a_lawful_life_comes_of_it(tried: Sequence[tuple[Deed, int]], facts: Facts) -> None:
    """What `possible` offers is what `check` lets pass, and no order of attempts leaves out a step of the rules."""
    desk, at_ms = Desk(facts), OPENED
    for deed, wait_min in tried:
        at_ms += wait_min * MINUTE_MS
        offered = possible(facts, desk.now, desk.clocks(), at_ms)
        step = desk.clocks()[0].step
        try:
            check(deed, facts, desk.now, desk.clocks(), at_ms, step=step)
        except BadInput:
            assert deed not in offered
            continue
        assert deed in offered
        desk.log.append(Event(deed, at_ms, "x"))
        _is_lawful(desk)


def _is_lawful(desk: Desk) -> None:
    done, state = desk.now.done, desk.now.state
    if state is TicketState.OPEN:
        assert not {Deed.ON_SITE, Deed.CAUSE, Deed.FINISH, Deed.RECEIPT, Deed.FOLLOW_UP} & done.keys()
    if state in (TicketState.FINISHED, TicketState.CLOSED):
        assert done["start"] <= done[Deed.ON_SITE] <= done[Deed.CAUSE] <= done[Deed.FINISH]
    if state is TicketState.CLOSED:
        assert done[Deed.FINISH] <= done[Deed.RECEIPT] <= done[Deed.FOLLOW_UP]
        assert done[Deed.FOLLOW_UP] - done[Deed.FINISH] >= 48 * HOUR_MS
    for clock in desk.clocks():
        assert clock.done_ms is None or not clock.off


class TestPoints:
    """R7. A point's ticket: days, no user, and from afar where that will do."""

    def test_counts_from_the_fault_and_a_low_battery_from_the_opening(self) -> None:
        low = replace(POINT, faulty_ms=None)
        assert [(one.step, one.due_ms - OPENED) for one in Desk(low).clocks()] == [
            ("take", 24 * HOUR_MS),
            ("finish", 720 * HOUR_MS),
        ]
        faulty = Desk(replace(low, faulty_ms=OPENED + 99 * HOUR_MS)).clocks()
        assert [(one.step, one.due_ms - OPENED) for one in faulty] == [
            ("take", 24 * HOUR_MS),
            ("on_site", (99 + 72) * HOUR_MS),
            ("finish", (99 + 168) * HOUR_MS),
        ]

    def test_no_visit_and_no_receipt_is_asked_for(self) -> None:
        desk = Desk(POINT).do(Deed.TAKE, 1)
        with pytest.raises(BadInput, match="before cause"):
            desk.do(Deed.FINISH, 2)
        desk.do(Deed.CAUSE, 2).do(Deed.FINISH, 3)
        assert desk.clock("on_site").off
        assert desk.do(Deed.FOLLOW_UP, 4).now.state is TicketState.CLOSED
        assert not desk.clock("finish").late(OPENED + 999 * HOUR_MS)

    def test_a_visit_that_was_made_counts(self) -> None:
        desk = Desk(POINT).do(Deed.TAKE, 1).do(Deed.ON_SITE, 73).do(Deed.CAUSE, 74).do(Deed.FINISH, 75)
        assert (desk.clock("on_site").off, desk.clock("on_site").late(0)) == (False, True)

    def test_a_heating_ticket_still_needs_both(self) -> None:
        with pytest.raises(BadInput, match="before on_site"):
            Desk(LOW).do(Deed.TAKE, 1).do(Deed.CAUSE, 2)
        with pytest.raises(BadInput, match="before receipt"):
            Desk(LOW).live(Deed.FINISH).do(Deed.FOLLOW_UP, 60)
