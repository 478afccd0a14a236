"""The life of a ticket: which deed is legal when, and what the log of events comes to (R11, R15-R19, R21).

A ticket is its log. `standing` folds the log into where the ticket stands, `clocks` into its deadlines, and `check`
says whether a deed is legal now. Nothing here is remembered elsewhere, so that a clock can always be explained by the
events that it rests on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from heatwatch.domain.instants import MINUTE_MS, iso
from heatwatch.domain.people import Role
from heatwatch.domain.temperature import ClockRule, Version
from heatwatch.domain.tickets import AT_WORK, DEVICES, GOING_ON, Clock, TicketKind, TicketState
from heatwatch.errors import BadInput


class Deed(StrEnum):
    """What a person does about a ticket; also the kind of the event that it leaves."""

    TAKE = "take"
    """受理: from now on answers for it (R14)."""
    ASSIGN = "assign"
    """派工: names who is sent (R35)."""
    CONTACT = "contact"
    """联系用户: has spoken with the user and agreed a time (R16)."""
    OPINION = "opinion"
    """处理意见: what the station intends (R15)."""
    FROM_ABOVE = "from_above"
    """上级转办: the matter comes from above (R15)."""
    RESULT = "result"
    """处理结果: what came of a matter from above (R15)."""
    LEAK = "leak"
    """认定泄漏: it is a leak, and the clocks of leaks hold (R17)."""
    ON_SITE = "on_site"
    """到达现场 (R16, R17)."""
    CAUSE = "cause"
    """查明原因 (R18); the fault is known (R12)."""
    FINISH = "finish"
    """修复完成 (R18)."""
    REOPEN = "reopen"
    """返修: the fault is not gone, the repair goes on (R18)."""
    RECEIPT = "receipt"
    """回执单 (R19)."""
    FOLLOW_UP = "follow_up"
    """回访 (R19): the last deed, it closes the ticket."""
    EXPLAIN = "explain"
    """说明原因: why a deadline is missed (R21, R13); pauses no clock."""
    COMMENT = "comment"
    """备注."""
    WITHDRAW = "withdraw"
    """撤销: there is nothing to do, for what it rested on was withdrawn."""


NEEDS: Mapping[Deed, tuple[str, ...]] = {
    Deed.ASSIGN: ("person",),
    Deed.OPINION: ("text",),
    Deed.RESULT: ("text",),
    Deed.CAUSE: ("text",),
    Deed.FINISH: ("text",),
    Deed.REOPEN: ("text",),
    Deed.RECEIPT: ("text", "contact"),
    Deed.FOLLOW_UP: ("text",),
    Deed.EXPLAIN: ("step", "text"),
    Deed.COMMENT: ("text",),
    Deed.WITHDRAW: ("text",),
}
"""What has to be said with a deed."""

_STATION = frozenset({Role.COMPANY, Role.DISPATCH, Role.STATION})
_OFFICE = frozenset({Role.COMPANY, Role.DISPATCH})
_FIELD = _STATION | {Role.REPAIRER}
DOERS: Mapping[Deed, frozenset[Role]] = {
    Deed.TAKE: _STATION,
    Deed.ASSIGN: _STATION,
    Deed.CONTACT: _FIELD,
    Deed.OPINION: _STATION,
    Deed.FROM_ABOVE: _OFFICE,
    Deed.RESULT: _STATION,
    Deed.LEAK: _FIELD,
    Deed.ON_SITE: _FIELD,
    Deed.CAUSE: _FIELD,
    Deed.FINISH: _FIELD,
    Deed.REOPEN: _STATION,
    Deed.RECEIPT: _FIELD,
    Deed.FOLLOW_UP: _STATION,
    Deed.EXPLAIN: _STATION,
    Deed.COMMENT: _FIELD | {Role.ENGINEER},
    Deed.WITHDRAW: _OFFICE,
}
"""Who may do what; each only in the stations that are theirs."""


class Mark(StrEnum):
    """Kinds of the events that heatwatch itself leaves in the log."""

    OPENED = "opened"
    MERGED = "merged"
    TOOK_OVER = "took_over"
    FINDING_ADDED = "finding_added"
    FINDING_RELEASED = "finding_released"
    AMENDED = "amended"
    CAUSE_EARLIER = "cause_earlier"
    WARNING = "warning"
    NOTICE = "notice"
    ANNOUNCED = "announced"
    OVERDUE = "overdue"
    RECOVERED = "recovered"
    RELAPSED = "relapsed"
    GROUNDLESS = "groundless"
    RESTORATION = "restoration_announced"
    CORRECTION = "correction_announced"
    DOUBTED = "doubted"
    """On a ticket of a cold room: its point is at fault; names the ticket of the point."""
    CONCERNS = "concerns"
    """On a ticket of a point: names the ticket of a cold room that rested on its readings."""
    ALERTED = "alerted"
    """Grafana says that an alert fires which is of this ticket."""
    ALERT_RESOLVED = "alert_resolved"
    """Grafana says that it fires no more."""


START = "start"
"""The step that is done by taking the ticket (R11)."""
_NO_STEPS = frozenset({Deed.FROM_ABOVE, Deed.LEAK, Deed.REOPEN, Deed.EXPLAIN, Deed.COMMENT, Deed.WITHDRAW})
_DOES: Mapping[str, str] = {Deed.TAKE: START, Mark.ANNOUNCED: Mark.NOTICE}
STEPS = (START, *(str(deed) for deed in Deed if deed not in _NO_STEPS), str(Mark.WARNING), str(Mark.NOTICE))
"""What a rule may set a deadline for."""
_UNDONE_BY_REOPENING = frozenset({Deed.CAUSE, Deed.FINISH, Deed.RECEIPT, Deed.FOLLOW_UP})
_FOLLOW_STOP = frozenset({Mark.WARNING, Mark.NOTICE})
"""Steps that fall away when the heat is back in time (R12)."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a ticket's log."""

    kind: str
    at_ms: int
    who: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a log comes to.

    Attributes
    ----------
    state
        Where the ticket stands.
    responsible, sent
        Who has taken it and who was sent; empty where nobody.
    done
        When each step was first done [ms], those that a reopening has undone left out.
    """

    state: TicketState = TicketState.OPEN
    responsible: str = ""
    sent: str = ""
    done: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a ticket besides its log; every `…_ms` in milliseconds.

    Attributes
    ----------
    kind
        What it is about.
    opened_ms, cause_start_ms
        When the company could know, and when the cause began.
    stop_end_ms
        When the heat was back; None while it is not, or where the ticket is about no stop.
    groundless
        Whether everything that it rests on was withdrawn; true of a ticket that a person opened, too.
    faulty_ms
        Of a point's ticket: since when the company could know that it measures wrongly or not at all; None while only
        its battery is low.
    """

    kind: TicketKind
    opened_ms: int
    cause_start_ms: int
    stop_end_ms: int | None = None
    groundless: bool = False
    faulty_ms: int | None = None


def standing(log: Iterable[Event]) -> Standing:
    """Fold a ticket's log, in order, into where it stands."""
    state, responsible, sent = TicketState.OPEN, "", ""
    done: dict[str, int] = {}
    for event in log:
        state = _NEXT.get(event.kind, state)
        if event.kind == Deed.TAKE:
            responsible = event.who
        elif event.kind == Deed.ASSIGN:
            sent = str(event.detail.get("person", ""))
        elif event.kind == Deed.REOPEN:
            done = {step: at_ms for step, at_ms in done.items() if step not in _UNDONE_BY_REOPENING}
        done.setdefault(event.kind, event.at_ms)
        if event.kind in _DOES:
            done.setdefault(_DOES[event.kind], event.at_ms)
    return Standing(state, responsible, sent, done)


_NEXT: Mapping[str, TicketState] = {
    Deed.TAKE: TicketState.TAKEN,
    Deed.FINISH: TicketState.FINISHED,
    Deed.REOPEN: TicketState.TAKEN,
    Deed.FOLLOW_UP: TicketState.CLOSED,
    Deed.WITHDRAW: TicketState.WITHDRAWN,
    Mark.MERGED: TicketState.MERGED,
}


def clocks(version: Version, facts: Facts, now: Standing) -> list[Clock]:
    """Return a ticket's deadlines, in the order of the rules file; one that has not begun to run is left out.

    Parameters
    ----------
    version
        The rules in force when the ticket was opened.
    facts, now
        What is known of it and where it stands.
    """
    began = {"opened": facts.opened_ms, "cause": facts.cause_start_ms, **_begun(now)}
    if facts.kind is TicketKind.SENSOR:
        began |= {"battery": facts.opened_ms} if facts.faulty_ms is None else {"fault": facts.faulty_ms}
    leak = facts.kind is TicketKind.LEAK or Deed.LEAK in now.done
    if facts.kind is TicketKind.LEAK:
        began.setdefault(Deed.LEAK, facts.opened_ms)
    rules = [one for one in version.clocks.get(facts.kind, ()) if one.leak in (None, leak)]
    return [_clock(rule, began[rule.counted_from], facts, now) for rule in rules if rule.counted_from in began]


def _begun(now: Standing) -> dict[str, int]:
    return {step: now.done[step] for step in (Deed.FINISH, Deed.FROM_ABOVE, Deed.LEAK) if step in now.done}


def _clock(rule: ClockRule, from_ms: int, facts: Facts, now: Standing) -> Clock:
    due_ms = from_ms + rule.within_min * MINUTE_MS
    done_ms = now.done.get(rule.step)
    return Clock(
        rule.step,
        rule.rule,
        rule.source,
        due_ms,
        None if rule.not_before_min is None else from_ms + rule.not_before_min * MINUTE_MS,
        done_ms,
        done_ms is None and _off(rule.step, due_ms, facts, now),
    )


def _off(step: str, due_ms: int, facts: Facts, now: Standing) -> bool:
    if now.state in (TicketState.MERGED, TicketState.WITHDRAWN):
        return True
    if step == Mark.WARNING and Mark.NOTICE in now.done:
        return True
    if facts.kind is TicketKind.SENSOR and step == Deed.ON_SITE and Deed.FINISH in now.done:
        return True
    return step in _FOLLOW_STOP and facts.stop_end_ms is not None and facts.stop_end_ms < due_ms


@dataclass(frozen=True, slots=True)
class _Law:
    """When a deed is legal: in which states, after which deeds, and what else must hold."""

    states: frozenset[TicketState]
    after: tuple[Deed, ...] = ()
    once: bool = False


_TAKEN = frozenset({TicketState.TAKEN})
_FINISHED = frozenset({TicketState.FINISHED})
_LAWS: Mapping[Deed, _Law] = {
    Deed.TAKE: _Law(GOING_ON),
    Deed.ASSIGN: _Law(_TAKEN),
    Deed.CONTACT: _Law(_TAKEN | _FINISHED),
    Deed.OPINION: _Law(_TAKEN | _FINISHED),
    Deed.FROM_ABOVE: _Law(GOING_ON, once=True),
    Deed.RESULT: _Law(_TAKEN | _FINISHED, after=(Deed.FROM_ABOVE,)),
    Deed.LEAK: _Law(GOING_ON, once=True),
    Deed.ON_SITE: _Law(_TAKEN),
    Deed.CAUSE: _Law(_TAKEN, after=(Deed.ON_SITE,)),
    Deed.FINISH: _Law(_TAKEN, after=(Deed.CAUSE,)),
    Deed.REOPEN: _Law(_FINISHED),
    Deed.RECEIPT: _Law(_FINISHED),
    Deed.FOLLOW_UP: _Law(_FINISHED, after=(Deed.RECEIPT,)),
    Deed.EXPLAIN: _Law(AT_WORK),
    Deed.COMMENT: _Law(frozenset(TicketState)),
    Deed.WITHDRAW: _Law(GOING_ON),
}

_SPARED: Mapping[Deed, Deed] = {Deed.CAUSE: Deed.ON_SITE, Deed.FOLLOW_UP: Deed.RECEIPT}
"""What need not come before a deed on a point's ticket: a gateway is set right from afar, and no user signs for it."""


def check(deed: Deed, facts: Facts, now: Standing, due: Sequence[Clock], at_ms: int, *, step: str = "") -> None:
    """Return when a deed is legal at `at_ms`.

    Parameters
    ----------
    deed
        What is to be done.
    facts, now, due
        The ticket: what is known, where it stands, its clocks.
    at_ms
        The moment [ms].
    step
        Which deadline it speaks of; empty for none, which an explanation may not.

    Raises
    ------
    BadInput
        If it is not, with what has to come before it.
    """
    law = _LAWS[deed]
    if now.state not in law.states:
        raise BadInput(f"{deed} is not possible while the ticket is {now.state}", where=deed)
    spared = _SPARED.get(deed) if facts.kind in DEVICES else None
    missing = [str(one) for one in law.after if one not in now.done and one is not spared]
    if missing:
        raise BadInput(f"{deed} is not possible before {' and '.join(missing)}", where=deed)
    if law.once and deed in now.done:
        raise BadInput(f"{deed} has been done already", where=deed)
    if step:
        _of_a_clock(facts, due, at_ms, step)
    if deed in _BESIDES:
        _BESIDES[deed](facts, due, at_ms, step)


def possible(facts: Facts, now: Standing, due: Sequence[Clock], at_ms: int) -> list[Deed]:
    """Return the deeds that are legal at `at_ms`, in the order of a ticket's life."""
    return [deed for deed in Deed if _legal(deed, facts, now, due, at_ms)]


def _legal(deed: Deed, facts: Facts, now: Standing, due: Sequence[Clock], at_ms: int) -> bool:
    try:
        check(deed, facts, now, due, at_ms, step=due[0].step if due else "")
    except BadInput:
        return False
    return True


def _not_too_early(_facts: Facts, due: Sequence[Clock], at_ms: int, _step: str) -> None:
    for clock in due:
        if clock.step == Deed.FOLLOW_UP and clock.not_before_ms is not None and at_ms < clock.not_before_ms:
            raise BadInput(
                f"{Deed.FOLLOW_UP} is not possible before {iso(clock.not_before_ms)} ({clock.rule})",
                where=Deed.FOLLOW_UP,
            )


def _without_ground(facts: Facts, _due: Sequence[Clock], _at_ms: int, _step: str) -> None:
    if not facts.groundless:
        raise BadInput("what the ticket rests on still holds: it cannot be withdrawn", where=Deed.WITHDRAW)


def _no_leak_yet(facts: Facts, _due: Sequence[Clock], _at_ms: int, _step: str) -> None:
    if facts.kind is TicketKind.LEAK:
        raise BadInput("the ticket is about a leak already", where=Deed.LEAK)
    if facts.kind in DEVICES:
        raise BadInput("a test point is no pipe", where=Deed.LEAK)


def _of_a_clock(_facts: Facts, due: Sequence[Clock], _at_ms: int, step: str) -> None:
    if step not in {clock.step for clock in due}:
        raise BadInput(f"the ticket has no deadline {step!r}", where=Deed.EXPLAIN)


_BESIDES: Mapping[Deed, Callable[[Facts, Sequence[Clock], int, str], None]] = {
    Deed.FOLLOW_UP: _not_too_early,
    Deed.WITHDRAW: _without_ground,
    Deed.LEAK: _no_leak_yet,
    Deed.EXPLAIN: _of_a_clock,
}
