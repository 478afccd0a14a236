"""Tickets: what they are about, where they stand, and by when what must be done (R11, R12, R15-R19).

Which findings become which tickets is decided in `grouping`; how a ticket gets from its opening to its follow-up is
told in `life`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class TicketKind(StrEnum):
    """What a ticket is about."""

    LOW_TEMPERATURE = "low_temperature"
    HEAT_OUTAGE = "heat_outage"
    REPAIR = "repair"
    LEAK = "leak"
    SENSOR = "sensor"
    TECHNICAL = "technical"


LABELS: Mapping[TicketKind, str] = {
    TicketKind.LOW_TEMPERATURE: "室温低于18℃",
    TicketKind.HEAT_OUTAGE: "停热抢修",
    TicketKind.REPAIR: "用户报修",
    TicketKind.LEAK: "跑冒滴漏",
    TicketKind.SENSOR: "测点故障",
    TicketKind.TECHNICAL: "系统故障",
}

EMERGENCIES = frozenset({TicketKind.HEAT_OUTAGE, TicketKind.LEAK})
"""Kinds whose work starts at once (R11, R17)."""

REPORTED = frozenset({TicketKind.REPAIR, TicketKind.LEAK})
"""Kinds that a person opens."""

UNMEASURED = REPORTED | {TicketKind.TECHNICAL}
"""Kinds that rest on no finding: what a person reports, and what alerts tell of the pipeline itself."""

DEVICES = frozenset({TicketKind.SENSOR, TicketKind.TECHNICAL})
"""Kinds that are no matter of heat: no visit comes before the cause, no user signs, and no pipe leaks."""

OUTAGE_RULE = "R11"
SENSOR_RULE = "R7"
TECHNICAL_RULE = "R7"
"""What keeps us from seeing that points measure is found, told and seen to as what is wrong with a point is."""
REPORTED_RULES: Mapping[TicketKind, str] = {TicketKind.REPAIR: "R16", TicketKind.LEAK: "R17"}


class TicketState(StrEnum):
    """Where a ticket stands in its life."""

    OPEN = "open"
    TAKEN = "taken"
    FINISHED = "finished"
    CLOSED = "closed"
    MERGED = "merged"
    WITHDRAWN = "withdrawn"


GOING_ON = frozenset({TicketState.OPEN, TicketState.TAKEN})
"""The repair goes on."""
AT_WORK = GOING_ON | {TicketState.FINISHED}
"""Something is still to be done."""


class Scope(StrEnum):
    """How much one ticket is about."""

    ROOM = "room"
    BUILDING = "building"
    STATION = "station"


@dataclass(frozen=True, slots=True)
class Clock:
    """A deadline on a ticket and the rule that sets it; every `…_ms` in milliseconds.

    Attributes
    ----------
    step
        What has to be done.
    due_ms
        By when.
    not_before_ms
        Before this moment it cannot be done; None where it can be done at once.
    done_ms
        When it was done; None while it is not.
    off
        No longer asked for.
    """

    step: str
    rule: str
    source: str
    due_ms: int
    not_before_ms: int | None = None
    done_ms: int | None = None
    off: bool = False

    def late(self, at_ms: int) -> bool:
        """Tell whether it was missed, as of `at_ms`."""
        return not self.off and (self.done_ms if self.done_ms is not None else at_ms) > self.due_ms
