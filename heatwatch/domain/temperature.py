"""The temperature standard: which room must be how warm at which local hour (R1-R5), as dated data.

Nothing here holds a number of the rules: they come from a rules file (`heatwatch/rules/default.yaml`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

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

    def cover(self, minute_of_week: int) -> bool:
        """Say whether a minute of the week (0 is Monday 00:00) lies in these hours."""
        day, minute = divmod(minute_of_week, MINUTES_PER_DAY)
        if self.end_minute > self.start_minute:
            return day in self.weekdays and self.start_minute <= minute < self.end_minute
        begun_today = day in self.weekdays and minute >= self.start_minute
        return begun_today or ((day - 1) % 7 in self.weekdays and minute < self.end_minute)

    def edges(self) -> set[int]:
        """Return the minutes of the week at which these hours may begin or end."""
        return {
            (day * MINUTES_PER_DAY + minute) % MINUTES_PER_WEEK
            for day in range(7)
            for minute in (self.start_minute, self.end_minute)
        }


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
    """A deadline that a rule sets: `step` is due `within_min` minutes after `counted_from`.

    `counted_from` is the ticket's opening, the cause's start, a step that was done (finish, from_above, leak), or, of a
    point, when it was known to measure wrongly or not at all (fault) and, while only its battery is low, the opening
    (battery); it cannot be done before `not_before_min`. `lead_min` is set where heatwatch does the step itself, so
    long before it is due. `leak` says whether it holds for leaks only (True) or for all else (False).
    """

    step: str
    within_min: int
    rule: str
    source: str = ""
    counted_from: str = "opened"
    not_before_min: int | None = None
    lead_min: int | None = None
    leak: bool | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """The rules as they are from `valid_from` on (None: since ever) until the next version begins."""

    valid_from: datetime | None
    classes: Mapping[RoomClass, ClassRules]
    contracts: Mapping[str, tuple[Hours, ...]] = field(default_factory=dict)
    seasons: tuple[Season, ...] = ()
    clocks: Mapping[str, tuple[ClockRule, ...]] = field(default_factory=dict)

    def asked(self, room_class: RoomClass, contract: str | None, minute_of_week: int) -> Limit | None:
        """Return what is asked at a minute of the local week (0 is Monday 00:00), None where nothing is.

        A contract raises what the class's own hours ask and never lowers it (R1-R3); where the class has
        no hours of its own the contract alone asks (R4). Of hours that overlap the last named hold.

        Raises
        ------
        KeyError
            If `contract` names none of this version's.
        """
        own = self.classes.get(room_class, ClassRules())
        agreed = self.contracts[contract] if contract is not None else ()
        return _together(_holding(own.hours, minute_of_week), own.target_c, _holding(agreed, minute_of_week))

    def week(self, room_class: RoomClass, contract: str | None) -> list[tuple[int, Limit | None]]:
        """Return what is asked over the local week: from each of these minutes to the next; `asked` in one piece."""
        own = self.classes.get(room_class, ClassRules())
        agreed = self.contracts[contract] if contract is not None else ()
        edges = {0}.union(*(hours.edges() for hours in (*own.hours, *agreed)))
        return [(minute, self.asked(room_class, contract, minute)) for minute in sorted(edges)]


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
    range_gap_h: float = 24.0
    spike_k: float = 7.0
    spike_agree_k: float = 2.0
    spike_gap_h: float = 72.0
    stuck_h: float = 18.0
    stuck_h_per_k: float = 120.0
    stuck_coarse_k: float = 1.0
    stuck_readings: int = 12
    drift_neighbours: int = 4
    drift_day_hours: int = 12
    drift_rise_k: float = 1.5
    drift_rise_rough: float = 0.045
    drift_fall_k: float = 3.0
    drift_fall_rough: float = 0.015
    drift_back_share: float = 0.4
    moved_below_k: float = 4.0
    moved_above_k: float = 1.5
    moved_warm_k: float = 4.0
    moved_leap_k: float = 3.0
    moved_back_k: float = 1.0
    battery_low_pct: float = 20.0
    battery_low_share: float = 0.8
    battery_new_pct: float = 20.0
    battery_new_share: float = 0.08
    battery_quiet_h: float = 72.0
    clock_behind_min: float = 60.0
    clock_ahead_min: float = 5.0
    clock_same_min: float = 20.0
    clock_same_share: float = 0.01
    clock_least_h: float = 3.0
    clock_readings: int = 6
    clock_conflicts: int = 6
    clock_quiet_h: float = 24.0
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
    outage_steady_h: float = 12.0
    outage_steady_k: float = 0.2
    outage_grid_min: int = 15
    outage_min_points: int = 2
    outage_quick_h: float = 1.0
    outage_fall_steps: float = 1.25
    outage_reach_h: float = 4.0
    outage_rise_share: float = 0.4
    outage_lasting_h: float = 0.75
    outage_usual_days: int = 3
    outage_rhythm_days: int = 3
    outage_restless_days: int = 4
    outage_least: float = 0.4
    supply_room_c: float = 20.0
    supply_share: float = 0.4
    supply_flow_share: float = 0.1
    supply_gap_share: float = 0.15
    supply_gap_below: float = 0.6
    supply_back: float = 1.25
    supply_usual_h: float = 24.0
    supply_least_k: float = 5.0
    supply_below_return_k: float = 5.0
    supply_confirm_min: float = 15.0
    supply_hold_h: float = 2.0
    supply_knee_h: float = 6.0
    supply_mild_c: float = 12.0
    supply_weather_h: float = 3.0
    supply_warm_share: float = 0.8
    supply_flow_kept: float = 0.7
    supply_confidence: float = 0.95
    supply_overrun_h: float = 2.0
    supply_rhythm_nights: int = 3
    supply_rhythm_of: int = 7
    supply_rhythm_h: float = 1.0
    group_min: int = 3
    group_after_h: float = 6.0
    sensor_silent_h: float = 24.0
    sensor_rows: int = 6
    rates_room_pct: int = 95
    rates_known_pct: int = 50


def _holding(hours: tuple[Hours, ...], minute_of_week: int) -> Hours | None:
    return next((stretch for stretch in reversed(hours) if stretch.cover(minute_of_week)), None)


def _together(own: Hours | None, target_c: float | None, agreed: Hours | None) -> Limit | None:
    """Return what a class and a contract ask together: of both numbers the larger, under the class's rule."""
    floor = None if own is None else _asked(own, target_c)
    if agreed is None:
        return floor
    asked = _asked(agreed, None)
    if floor is None:
        return asked
    return Limit(max(floor.minimum_c, asked.minimum_c), max(floor.target_c, asked.target_c), floor.rule)


def _asked(hours: Hours, class_target_c: float | None) -> Limit:
    """Return what hours ask; a target that is not above the minimum is the minimum."""
    target_c = hours.target_c if hours.target_c is not None else class_target_c
    return Limit(hours.minimum_c, max(hours.minimum_c, hours.minimum_c if target_c is None else target_c), hours.rule)
