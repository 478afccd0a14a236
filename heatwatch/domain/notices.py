"""Public notices: when one is drafted, published, brought up to date and followed by another (R12, R13).

A known fault is announced at once; whatever its cause, no stop reaches its deadline unannounced. What was published
is never taken back in silence: the end of the stop, more buildings, or that there was no stop at all is published in
its turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class NoticeKind(StrEnum):
    """What a notice says."""

    STOP = "stop"
    """停热公告: the heat is off."""
    RESTORATION = "restoration"
    """恢复供热公告: the heat is back."""
    CORRECTION = "correction"
    """更正公告: there was no stop after all."""


class NoticeState(StrEnum):
    """Where a notice stands."""

    DRAFT = "draft"
    PUBLISHED = "published"
    SUPERSEDED = "superseded"
    """Published, and brought up to date by a later one since."""
    DROPPED = "dropped"
    """Never published: the heat was back in time, or there was no stop."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop of heat as its ticket knows it now; every `…_ms` in milliseconds.

    Attributes
    ----------
    start_ms, end_ms
        From when to when; the end is None while it goes on.
    buildings
        Which buildings are concerned, in order.
    publish_from_ms
        From when it is announced whoever has not done so: some time before its deadline.
    known
        Whether the fault is known, or the stop is expected to last until the deadline: it is announced at once.
    withdrawn
        Whether it has turned out that there was none.
    """

    start_ms: int
    end_ms: int | None
    buildings: tuple[str, ...]
    publish_from_ms: int
    known: bool = False
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice as far as deciding asks."""

    id: int
    kind: NoticeKind
    state: NoticeState
    start_ms: int
    buildings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """Draft a notice of the stop as it is; `publish` it at once where it says so, in the place of `replaces`."""

    kind: NoticeKind
    publish: bool = False
    replaces: int | None = None


@dataclass(frozen=True, slots=True)
class Redraft:
    """Bring a draft to what is known of the stop now."""

    notice_id: int


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish a draft."""

    notice_id: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Drop a draft."""

    notice_id: int


Step = Draft | Redraft | Publish | Drop


def steps(stop: Stop, notices: Sequence[Notice], at_ms: int) -> list[Step]:
    """Return what to do about a stop's notices at `at_ms`, in order; nothing where all is said and nothing is due.

    Parameters
    ----------
    stop
        The stop.
    notices
        Every notice of its ticket, the oldest first.
    """
    drafts = [one for one in notices if one.state is NoticeState.DRAFT]
    shown = next((one for one in reversed(notices) if one.state is NoticeState.PUBLISHED), None)
    said = shown is not None and shown.kind is NoticeKind.STOP
    if stop.withdrawn or stop.end_ms is not None:
        dropped: list[Step] = [Drop(one.id) for one in drafts]
        ending = NoticeKind.CORRECTION if stop.withdrawn else NoticeKind.RESTORATION
        return [*dropped, Draft(ending, publish=True, replaces=shown.id)] if shown is not None and said else dropped
    if shown is not None and said:
        return [] if set(stop.buildings) <= set(shown.buildings) else [_again(shown.id)]
    return _announce(stop, drafts, None if shown is None else shown.id, at_ms)


def _announce(stop: Stop, drafts: Sequence[Notice], shown_id: int | None, at_ms: int) -> list[Step]:
    """See to the notice of a stop that goes on and was not announced yet."""
    due = stop.known or at_ms >= stop.publish_from_ms
    if not drafts:
        return [Draft(NoticeKind.STOP, publish=due, replaces=shown_id)]
    draft = drafts[-1]
    stale = (draft.start_ms, draft.buildings) != (stop.start_ms, stop.buildings)
    first: list[Step] = [Redraft(draft.id)] if stale else []
    return [*first, Publish(draft.id)] if due else first


def _again(shown_id: int) -> Draft:
    return Draft(NoticeKind.STOP, publish=True, replaces=shown_id)
