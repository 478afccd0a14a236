"""Public notices: when one is drafted, published, brought up to date and followed by another (R12, R13).

A known fault is announced at once; whatever its cause, no stop reaches its deadline unannounced. What was published
is never taken back in silence: the end of the stop, more buildings, or that there was no stop at all is published in
its turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from heatwatch.domain.instants import HOUR_MS

TOLD_AGAIN_MS = HOUR_MS
"""How far an end has to move before it is told again [ms]."""


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
    end_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """Draft a notice of the stop as it is; `publish` it at once where it says so, in the place of `replaces`."""

    kind: NoticeKind
    buildings: tuple[str, ...]
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
    shown = _shown(notices)
    said = shown is not None and shown.kind is NoticeKind.STOP
    if stop.withdrawn or stop.end_ms is not None:
        return [*(Drop(one.id) for one in drafts), *_end(stop, notices, shown)]
    if shown is not None and said:
        return [] if set(stop.buildings) <= announced(notices) else [_stop(stop, publish=True, replaces=shown.id)]
    return _announce(stop, drafts, None if shown is None else shown.id, at_ms)


def announced(notices: Sequence[Notice]) -> set[str]:
    """Return the buildings whose stop is announced as going on: by one notice, or by several of which none is over."""
    shown = [one for one in notices if one.state is NoticeState.PUBLISHED and one.kind is NoticeKind.STOP]
    return {building for one in shown for building in one.buildings}


def _shown(notices: Sequence[Notice]) -> Notice | None:
    """Return the notice that tells how things stand: the last of a stop that nothing has ended, else the last."""
    published = [one for one in notices if one.state is NoticeState.PUBLISHED]
    stops = [one for one in published if one.kind is NoticeKind.STOP]
    return next(reversed(stops or published), None)


def _end(stop: Stop, notices: Sequence[Notice], shown: Notice | None) -> list[Step]:
    """Tell the end of what was announced, or that it was none, to all who were told of it; and again if it differs."""
    if shown is None:
        return []
    kind = NoticeKind.CORRECTION if stop.withdrawn else NoticeKind.RESTORATION
    if shown.kind is kind and (stop.withdrawn or _about(shown.end_ms, stop.end_ms)):
        return []
    if shown.kind is NoticeKind.CORRECTION:
        return []
    buildings = set(shown.buildings) | (_told(notices) if shown.kind is NoticeKind.STOP else set())
    if not stop.withdrawn and shown.kind is NoticeKind.STOP:
        buildings |= set(stop.buildings)
    return [Draft(kind, tuple(sorted(buildings)), publish=True, replaces=shown.id)]


def _about(said_ms: int | None, end_ms: int | None) -> bool:
    """Tell whether an end is still the one that was told; late readings move it a little, and nobody asks for that."""
    return said_ms is not None and end_ms is not None and abs(said_ms - end_ms) < TOLD_AGAIN_MS


def _told(notices: Sequence[Notice]) -> set[str]:
    """Return every building that was told of the stop since the last that ended."""
    told: set[str] = set()
    for one in notices:
        if one.state in (NoticeState.PUBLISHED, NoticeState.SUPERSEDED):
            told = told | set(one.buildings) if one.kind is NoticeKind.STOP else told - set(one.buildings)
    return told


def _announce(stop: Stop, drafts: Sequence[Notice], shown_id: int | None, at_ms: int) -> list[Step]:
    """See to the notice of a stop that goes on and was not announced yet."""
    due = stop.known or at_ms >= stop.publish_from_ms
    if not drafts:
        return [_stop(stop, publish=due, replaces=shown_id)]
    draft = drafts[-1]
    stale = (draft.start_ms, draft.buildings) != (stop.start_ms, stop.buildings)
    first: list[Step] = [Redraft(draft.id)] if stale else []
    return [*first, Publish(draft.id)] if due else first


def _stop(stop: Stop, *, publish: bool, replaces: int | None) -> Draft:
    return Draft(NoticeKind.STOP, stop.buildings, publish, replaces)
