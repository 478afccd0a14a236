"""The temperature standard: which room must be how warm at which local hour (R1-R5), as dated data.

Nothing here holds a number of the rules: they come from a rules file (`heatwatch/rules/default.yaml`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from functools import cache

MINUTES_PER_DAY = 24 * 60
MINUTES_PER_WEEK = 7 * MINUTES_PER_DAY
ALL_WEEK = frozenset(range(7))


class RoomClass(StrEnum):
    """What kind of room it is; the rules differ by it (R1-R4)."""

    APARTMENT = "apartment"
    SINGLE_STOREY = "single_storey"
    NON_RESIDENTIAL = "non_residential"


@dataclass(frozen=True, slots=True)
class Limit:
    """What is asked of a room at one moment: a minimum and a target [degC], and the rule that asks."""

    minimum_c: float
    target_c: float
    rule: str


@dataclass(frozen=True, slots=True)
class Hours:
    """A stretch of the local day on some weekdays (Monday is 0), `[start, end)` in minutes after midnight.

    An `end_minute` at or before the start runs past midnight; its weekday is that of the start.
    """

    start_minute: int
    end_minute: int
    minimum_c: float
    target_c: float | None = None
    rule: str = ""
    source: str = ""
    weekdays: frozenset[int] = ALL_WEEK

    def minutes_of_week(self) -> list[int]:
        """Every minute of the week (0 = Monday 00:00) that these hours cover."""
        end = self.end_minute if self.end_minute > self.start_minute else self.end_minute + MINUTES_PER_DAY
        return [
            (day * MINUTES_PER_DAY + minute) % MINUTES_PER_WEEK
            for day in sorted(self.weekdays)
            for minute in range(self.start_minute, end)
        ]


@dataclass(frozen=True, slots=True)
class Season:
    """A heating season, both days included, in local time (R5)."""

    first_day: date
    last_day: date


@dataclass(frozen=True, slots=True)
class ClassRules:
    """The hours that the company's rules set for a class of rooms, and its target by default [degC]."""

    hours: tuple[Hours, ...] = ()
    target_c: float | None = None


@dataclass(frozen=True, slots=True)
class ClockRule:
    """A deadline that a rule sets: `step` is due `within_min` minutes after `counted_from`."""

    step: str
    within_min: int
    rule: str
    source: str = ""
    counted_from: str = "opened"


@dataclass(frozen=True, slots=True)
class Version:
    """The rules as they are from `valid_from` on (None: since ever) until the next version begins."""

    valid_from: datetime | None
    classes: Mapping[RoomClass, ClassRules]
    contracts: Mapping[str, tuple[Hours, ...]] = field(default_factory=dict)
    seasons: tuple[Season, ...] = ()
    clocks: Mapping[str, tuple[ClockRule, ...]] = field(default_factory=dict)

    def week(self, room_class: RoomClass, contract: str | None) -> list[Limit | None]:
        """Return what is asked at each minute of the local week, Monday 00:00 first; None where nothing is.

        A contract raises what the class's own hours ask and never lowers it (R1-R3); where the class has
        no hours of its own the contract alone asks (R4).

        Raises
        ------
        KeyError
            If `contract` names none of this version's.
        """
        own = self.classes.get(room_class, ClassRules())
        week = _by_minute(own.hours)
        asked = [None if h is None else _asked(h, h.target_c if h.target_c is not None else own.target_c) for h in week]
        if contract is None:
            return asked
        agreed = _by_minute(self.contracts[contract])
        return [_raised(floor, hours) for floor, hours in zip(asked, agreed, strict=True)]


@dataclass(frozen=True, slots=True)
class Standard:
    """Every version of the rules, oldest first, and the numbers of judging."""

    versions: tuple[Version, ...]
    judging: Judging

    def at(self, instant: datetime) -> Version:
        """Return the version in force at `instant`; before the first one, the first."""
        held = [v for v in self.versions if v.valid_from is None or v.valid_from <= instant]
        return held[-1] if held else self.versions[0]


@dataclass(frozen=True, slots=True)
class Judging:
    """The numbers of the judging definitions; each a default that a rules file may set.

    Durations in hours [h] or minutes [min], temperatures in [degC], differences in [K].
    """

    range_low_c: float = -30.0
    range_high_c: float = 50.0
    interval_default_s: int = 3600
    hold_h: float = 2.0
    hold_intervals: int = 2
    break_h: float = 8.0
    break_intervals: int = 6
    confirm_h: float = 1.0
    confirm_readings: int = 2
    warm_margin_k: float = 0.3
    warm_margin_min: int = 30
    warm_h: float = 3.0
    outage_window_h: float = 3.0
    outage_fall_k: float = 0.6
    outage_rise_k: float = 0.5
    outage_steady_h: float = 6.0
    outage_steady_k: float = 0.2
    outage_grid_min: int = 15
    outage_min_points: int = 2
    group_min: int = 3


def _by_minute(hours: tuple[Hours, ...]) -> list[Hours | None]:
    """Return the hours that hold at each minute of the week; of several the last named."""
    week: list[Hours | None] = [None] * MINUTES_PER_WEEK
    for stretch in hours:
        for minute in stretch.minutes_of_week():
            week[minute] = stretch
    return week


@cache
def _asked(hours: Hours, target_c: float | None) -> Limit:
    """Return what hours ask; a target that is not above the minimum is the minimum."""
    return Limit(hours.minimum_c, max(hours.minimum_c, hours.minimum_c if target_c is None else target_c), hours.rule)


@cache
def _raised(floor: Limit | None, hours: Hours | None) -> Limit | None:
    """Return what a class and a contract ask together: of both numbers the larger, under the class's rule."""
    if hours is None or floor is None:
        return floor if hours is None else _asked(hours, hours.target_c)
    minimum_c = max(floor.minimum_c, hours.minimum_c)
    return Limit(minimum_c, max(floor.target_c, minimum_c, hours.target_c or minimum_c), floor.rule)
