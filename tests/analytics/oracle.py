"""The plain judge: the definitions of the design, row by row, for tests to compare with.

It is written from the text alone (design, "Judging: the definitions"; `docs/decisions/0007`), with the standard library
alone, and shares no line with the judge that it checks. It favours what can be read beside the text over speed: sums
are taken anew at every reading, and nothing is kept between two of them but the list of readings itself.

Heat outages, and the sensor faults that a point's own temperatures do not show (`docs/decisions/0015` has those that
they do), are no part of it.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS

INTERVAL_DEFAULT_MS = HOUR_MS
HOLD_FLOOR_MS, HOLD_INTERVALS = 2 * HOUR_MS, 2
BREAK_FLOOR_MS, BREAK_INTERVALS = 8 * HOUR_MS, 6
LOWEST_C, HIGHEST_C = -30.0, 50.0
CONFIRM_MS, CONFIRM_READINGS = HOUR_MS, 2
RECOVERIES = ((0.3, 30 * MINUTE_MS), (0.0, 3 * HOUR_MS))
"""The two ways to recover: so many kelvin above the target, for so many milliseconds."""
SILENT_POINTS = 2


@dataclass(frozen=True)
class Numbers:
    """The numbers of sensor faults, which tests may set closer together than they are in life."""

    range_gap_ms: int = 24 * HOUR_MS
    spike_k: float = 7.0
    spike_agree_k: float = 2.0
    spike_gap_ms: int = 72 * HOUR_MS
    stuck_ms: int = 18 * HOUR_MS
    stuck_ms_per_k: int = 120 * HOUR_MS
    stuck_coarse_k: float = 1.0
    stuck_readings: int = 12


NUMBERS = Numbers()

DEFAULT_BUILDING = "building"
DEFAULT_STATION = "station"
CONTRACT_RULE = "R4"

ALL_WEEK = (0, 1, 2, 3, 4, 5, 6)
SUBJECT_KINDS = ("point", "building", "station")
END_CAUSES = ("season", "suspended", "silence")
"""What ends a spell without warmth, in the order that counts where two fall on one moment."""

SORTED_COUNTS = ("unlisted", "duplicates", "conflicts", "invalid", "out_of_range", "valid")
JUDGED_COUNTS = ("violations", "below_target", "not_in_service", "never_heard")
COUNTS = ("readings", *SORTED_COUNTS, *JUDGED_COUNTS)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

DEFAULT_RULES: dict[str, Any] = {
    "versions": [
        {
            "valid_from_ms": None,
            "classes": {
                "apartment": {
                    "target_c": 18.0,
                    "hours": [
                        {"start_minute": 360, "end_minute": 1260, "minimum_c": 18.0, "rule": "R1"},
                        {"start_minute": 1260, "end_minute": 360, "minimum_c": 16.0, "rule": "R2"},
                    ],
                },
                "single_storey": {
                    "hours": [{"start_minute": 0, "end_minute": 1440, "minimum_c": 16.0, "rule": "R3"}],
                },
                "non_residential": {"hours": []},
            },
            "contracts": {},
            "seasons": [],
        },
    ],
}
"""R1 to R4 as the rules state them: no contract, always season."""


@dataclass(frozen=True)
class Row:
    """One row of a readings file; None, NaN and the infinities are no finite number."""

    point_id: str
    time_ms: int
    temp_c: float | None


@dataclass(frozen=True)
class Point:
    """One dated row of the register; the starts are included, the ends excluded, None is unbounded."""

    point_id: str
    building_id: str
    station_id: str
    room_class: str = "apartment"
    valid_from_ms: int | None = None
    valid_to_ms: int | None = None
    contract: str | None = None
    suspended_from_ms: int | None = None
    suspended_to_ms: int | None = None
    interval_s: int | None = None
    offset_k: float = 0.0


@dataclass(frozen=True)
class ColdSpell:
    """A row of `cold_spells`, with its sums as exact integers."""

    point_id: str
    start_ms: int
    end_ms: int | None
    open: bool
    confirmed_at_ms: int | None
    end_reason: str
    violation_ms: int
    unknown_ms: int
    min_temp_c: float
    deficit_mk_ms: int
    rule: str


@dataclass(frozen=True)
class DataOutage:
    """A row of `data_outages`."""

    subject_kind: str
    subject_id: str
    start_ms: int
    end_ms: int | None
    open: bool
    duration_ms: int
    part_of: str = ""

    @property
    def until_ms(self) -> int:
        """The end, or the `as_of` that the duration of an open one runs to."""
        return self.start_ms + self.duration_ms


@dataclass(frozen=True)
class SensorFault:
    """A row of `sensor_faults`."""

    point_id: str
    kind: str
    start_ms: int
    end_ms: int | None
    open: bool
    detail: str


@dataclass(frozen=True)
class Result:
    """What was found, in the order of the files, and what was counted: in all, and per listed point."""

    as_of_ms: int | None
    cold_spells: list[ColdSpell] = field(default_factory=list)
    data_outages: list[DataOutage] = field(default_factory=list)
    sensor_faults: list[SensorFault] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    point_counts: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """What the rules ask for at one moment in one room, in degrees Celsius."""

    minimum_c: float
    target_c: float
    rule: str


@dataclass(frozen=True)
class Counted:
    """A row that is no duplicate: what it counts as, and its temperature, calibrated and as sent (NaN: not finite)."""

    time_ms: int
    kind: str
    temp_c: float
    sent_c: float


@dataclass(frozen=True)
class Judged:
    """A reading that is valid, in service and in season, with what was asked of it (None: nothing)."""

    time_ms: int
    temp_c: float
    asked: Asked | None
    hold_ms: int
    break_ms: int

    @property
    def violates(self) -> bool:
        """Strictly below the minimum."""
        return self.asked is not None and self.temp_c < self.asked.minimum_c

    @property
    def below_target(self) -> bool:
        """At or above the minimum, strictly below the target."""
        return self.asked is not None and self.asked.minimum_c <= self.temp_c < self.asked.target_c

    def is_warm(self, margin_k: float) -> bool:
        """At least the target and a margin; no reading is warm where nothing is asked."""
        return self.asked is not None and self.temp_c >= self.asked.target_c + margin_k


@dataclass(frozen=True)
class Law:
    """The dated rules and the zone in which their hours and days are meant."""

    rules: Mapping[str, Any]
    zone: ZoneInfo


# --- Time: instants are UTC; local time exists only where a rule asks for it ---


def local_time(time_ms: int, zone: ZoneInfo) -> datetime:
    """Give the wall clock's time at an instant."""
    return (EPOCH + timedelta(milliseconds=time_ms)).astimezone(zone)


def midnights(day: date, zone: ZoneInfo) -> list[int]:
    """Give the instants at which a local day can be said to begin: two where a clock change repeats its midnight."""
    walls = [datetime.combine(day, time(fold=fold), tzinfo=zone) for fold in (0, 1)]
    return [(wall.astimezone(UTC) - EPOCH) // timedelta(milliseconds=1) for wall in walls]


# --- The rules in force ---


def version_at(law: Law, time_ms: int) -> Mapping[str, Any]:
    """Give the last version whose `valid_from` has come; before the first, the first."""
    versions: Sequence[Mapping[str, Any]] = law.rules["versions"]
    in_force = versions[0]
    for version in versions:
        if has_begun(version.get("valid_from_ms"), time_ms):
            in_force = version
    return in_force


def in_season(law: Law, time_ms: int) -> bool:
    """Tell whether the local day lies in a season, first and last day included; no season set is always season."""
    seasons = version_at(law, time_ms).get("seasons") or []
    today = local_time(time_ms, law.zone).date()
    return not seasons or any(
        date.fromisoformat(season["first_day"]) <= today <= date.fromisoformat(season["last_day"]) for season in seasons
    )


def season_end(law: Law, after_ms: int, until_ms: int) -> int | None:
    """Give the first moment after one, up to and including another, that is out of season.

    A season that was on can end with its last day, or because another version of the rules comes into force.
    """
    moments = list[int]()
    for version in law.rules["versions"]:
        if version.get("valid_from_ms") is not None:
            moments.append(version["valid_from_ms"])
        for season in version.get("seasons") or []:
            moments += midnights(date.fromisoformat(season["last_day"]) + timedelta(days=1), law.zone)
    ends = [moment for moment in moments if after_ms < moment <= until_ms and not in_season(law, moment)]
    return min(ends, default=None)


def entry_covers(entry: Mapping[str, Any], weekday: int, minute: int) -> bool:
    """Tell whether an entry's hours hold a local minute: start included, end excluded.

    Hours whose end is not after their start run past midnight; the weekday is then that of the start.
    """
    start, end = entry["start_minute"], entry["end_minute"]
    weekdays = entry.get("weekdays", ALL_WEEK)
    if start < end:
        return weekday in weekdays and start <= minute < end
    return (weekday in weekdays and minute >= start) or ((weekday - 1) % 7 in weekdays and minute < end)


def entry_at(entries: Iterable[Mapping[str, Any]], local: datetime) -> Mapping[str, Any] | None:
    """Give the last entry whose hours hold the local time: later entries override earlier ones."""
    minute = local.hour * 60 + local.minute
    covering = [entry for entry in entries if entry_covers(entry, local.weekday(), minute)]
    return covering[-1] if covering else None


def asked_of(row: Point, law: Law, time_ms: int) -> Asked | None:
    """Give what R1 to R4 ask for: the class's hours, raised by the contract, which never lowers them.

    Where the class asks nothing, only the contract asks, under its own rule. A target is at least its minimum.
    """
    version = version_at(law, time_ms)
    local = local_time(time_ms, law.zone)
    room_class = version.get("classes", {}).get(row.room_class, {})
    own = entry_at(room_class.get("hours", []), local)
    contract = entry_at(version.get("contracts", {}).get(row.contract, []), local)
    by_class = own and make_asked(own, room_class.get("target_c"))
    by_contract = contract and make_asked(contract, contract.get("target_c"))
    if by_class and by_contract:
        return Asked(
            minimum_c=max(by_class.minimum_c, by_contract.minimum_c),
            target_c=max(by_class.target_c, by_contract.target_c),
            rule=by_class.rule,
        )
    return by_class or by_contract or None


def make_asked(entry: Mapping[str, Any], target_c: float | None) -> Asked:
    """Read one entry; without a target, or with one that is not above the minimum, the target is the minimum."""
    minimum_c = float(entry["minimum_c"])
    target_c = minimum_c if target_c is None else max(float(target_c), minimum_c)
    return Asked(minimum_c=minimum_c, target_c=target_c, rule=entry.get("rule") or CONTRACT_RULE)


# --- The register ---


def has_begun(from_ms: int | None, time_ms: int) -> bool:
    """Tell whether something has begun; without a start it always has."""
    return from_ms is None or from_ms <= time_ms


def has_ended(to_ms: int | None, time_ms: int) -> bool:
    """Tell whether something has ended; without an end it never has."""
    return to_ms is not None and to_ms <= time_ms


def in_order_of_validity(rows: Iterable[Point]) -> list[Point]:
    """Sort the register rows of one point."""
    return sorted(rows, key=lambda row: -math.inf if row.valid_from_ms is None else row.valid_from_ms)


def row_in_force(rows: Sequence[Point], time_ms: int) -> Point | None:
    """Give the register row that covers a time."""
    for row in rows:
        if has_begun(row.valid_from_ms, time_ms) and not has_ended(row.valid_to_ms, time_ms):
            return row
    return None


def row_nearest(rows: Sequence[Point], time_ms: int) -> Point:
    """Give the row in force; where none is, the latest earlier row, else the first."""
    earlier = [row for row in rows if has_begun(row.valid_from_ms, time_ms)]
    return row_in_force(rows, time_ms) or (earlier[-1] if earlier else rows[0])


def is_suspended(row: Point, time_ms: int) -> bool:
    """Tell whether the row's heating is suspended; a suspension with one end only is unbounded at the other."""
    if row.suspended_from_ms is None and row.suspended_to_ms is None:
        return False
    return has_begun(row.suspended_from_ms, time_ms) and not has_ended(row.suspended_to_ms, time_ms)


def row_in_service(rows: Sequence[Point], time_ms: int) -> Point | None:
    """Give the row by which the point is in service: it covers the time and is not suspended."""
    row = row_in_force(rows, time_ms)
    return None if row is None or is_suspended(row, time_ms) else row


def service_changes(rows: Iterable[Point]) -> set[int]:
    """Give every moment at which a point's service, or its place, may change."""
    moments = set[int | None]()
    for row in rows:
        moments |= {row.valid_from_ms, row.valid_to_ms, row.suspended_from_ms, row.suspended_to_ms}
    return {moment for moment in moments if moment is not None}


def service_end(rows: Sequence[Point], after_ms: int, until_ms: int) -> int | None:
    """Give the first moment after one, up to and including another, at which the point is not in service."""
    changes = [moment for moment in service_changes(rows) if after_ms < moment <= until_ms]
    return min((moment for moment in changes if row_in_service(rows, moment) is None), default=None)


def interval_at(rows: Sequence[Point], time_ms: int) -> int:
    """Give the point's interval in milliseconds, 1 h where none is given."""
    interval_s = row_nearest(rows, time_ms).interval_s
    return INTERVAL_DEFAULT_MS if interval_s is None else interval_s * 1000


def hold_at(rows: Sequence[Point], time_ms: int) -> int:
    """Give `hold` = max(2 h, 2 intervals) for the stretch that begins at a time."""
    return max(HOLD_FLOOR_MS, HOLD_INTERVALS * interval_at(rows, time_ms))


def break_at(rows: Sequence[Point], time_ms: int) -> int:
    """Give `break` = max(8 h, 6 intervals) for the stretch that begins at a time."""
    return max(BREAK_FLOOR_MS, BREAK_INTERVALS * interval_at(rows, time_ms))


def make_register(points: Sequence[Point] | None, rows: Sequence[Row]) -> dict[str, list[Point]]:
    """Group the register by point; without one, every point heard is an apartment in one building of one station."""
    if points is None:
        heard = {row.point_id for row in rows}
        points = [Point(point_id, DEFAULT_BUILDING, DEFAULT_STATION) for point_id in heard]
    grouped = defaultdict[str, list[Point]](list)
    for point in points:
        grouped[point.point_id].append(point)
    return {point_id: in_order_of_validity(grouped[point_id]) for point_id in sorted(grouped)}


# --- Each row is counted once ---


def value_sent(temp_c: float | None) -> float | None:
    """Give the value by which two rows are the same: None and NaN are both no value."""
    return None if temp_c is None or math.isnan(temp_c) else temp_c


def count_rows(heard: Sequence[Row], rows: Sequence[Point]) -> list[Counted]:
    """Say of one point's rows what each counts as, duplicates left out, in order of time.

    At one instant, rows of one value count once; no finite number is invalid; two or more finite values are each a
    conflict; the rest is out of range or valid by its calibrated value.
    """
    values = defaultdict[int, set[float | None]](set)
    for row in heard:
        values[row.time_ms].add(value_sent(row.temp_c))
    counted = list[Counted]()
    for time_ms in sorted(values):
        covering = row_in_force(rows, time_ms)
        offset_k = covering.offset_k if covering else 0.0
        counted += count_instant(time_ms, values[time_ms], offset_k)
    return counted


def count_instant(time_ms: int, values: set[float | None], offset_k: float) -> list[Counted]:
    """Say what the different values of one instant count as."""
    finite = sorted(value for value in values if value is not None and math.isfinite(value))
    counted = [Counted(time_ms, "invalid", math.nan, math.nan)] * (len(values) - len(finite))
    for value in finite:
        temp_c = value + offset_k
        within = LOWEST_C <= temp_c <= HIGHEST_C
        kind = "conflicts" if len(finite) > 1 else "valid" if within else "out_of_range"
        counted.append(Counted(time_ms, kind, temp_c, value))
    return counted


# --- Sensor faults: out_of_range, spike, stuck ---


def valid_of(counted: Sequence[Counted]) -> list[Counted]:
    """Give the valid readings, in order of time."""
    return [reading for reading in counted if reading.kind == "valid"]


def find_spikes(valid: Sequence[Counted], rows: Sequence[Point], numbers: Numbers) -> list[Counted]:
    """Find the readings that jump away from the one before and after them, which agree.

    All three under one register row, each at most `hold` after the one before; the one before is no spike itself.
    """
    spikes = list[Counted]()
    for a, b, c in zip(valid, valid[1:], valid[2:], strict=False):
        near = all(
            row_nearest(rows, x.time_ms) is row_nearest(rows, y.time_ms)
            and y.time_ms - x.time_ms <= hold_at(rows, x.time_ms)
            for x, y in ((a, b), (b, c))
        )
        jumps = abs(b.sent_c - a.sent_c) >= numbers.spike_k
        if near and jumps and abs(c.sent_c - a.sent_c) <= numbers.spike_agree_k and a not in spikes:
            spikes.append(b)
    return spikes


def find_bad(
    point_id: str, kind: str, bad: Sequence[Counted], valid: Sequence[Counted], gap_ms: int, as_of_ms: int
) -> list[SensorFault]:
    """Join bad readings to faults.

    Two neighbours are one fault's unless they are a gap or more apart and a valid reading lies between. A fault ends at
    the first valid reading after its last bad one; the last fault is open until there is one and the gap has passed.
    """
    runs = list[list[Counted]]()
    for reading in bad:
        last = runs[-1][-1] if runs else None
        if last and (
            reading.time_ms - last.time_ms < gap_ms or first_after(valid, last.time_ms, reading.time_ms) is None
        ):
            runs[-1].append(reading)
        else:
            runs.append([reading])
    faults = list[SensorFault]()
    for run in runs:
        end_ms = first_after(valid, run[-1].time_ms)
        if run is runs[-1] and as_of_ms - run[-1].time_ms < gap_ms:
            end_ms = None
        temps_c = [reading.temp_c for reading in run]
        detail = f"n={len(run)} min={min(temps_c):.1f} max={max(temps_c):.1f}"
        faults.append(SensorFault(point_id, kind, run[0].time_ms, end_ms, end_ms is None, detail))
    return faults


def first_after(readings: Sequence[Counted], after_ms: int, before_ms: float = math.inf) -> int | None:
    """Give the time of the first reading after one moment and before another."""
    return next((reading.time_ms for reading in readings if after_ms < reading.time_ms < before_ms), None)


def find_stuck(valid: Sequence[Counted], rows: Sequence[Point], numbers: Numbers) -> list[list[Counted]]:
    """Find the runs of equal values, under one register row and without a silence, that are too long.

    Too long is in readings and in time; the time grows with the smallest step between neighbours that this register row
    had seen when the run began, which is never taken to be more than a coarse thermometer's.
    """
    runs, step_k = list[list[Counted]](), numbers.stuck_coarse_k
    limits_ms = list[int]()
    for reading in valid:
        last = runs[-1][-1] if runs else None
        same_row = last is not None and row_nearest(rows, last.time_ms) is row_nearest(rows, reading.time_ms)
        if last is None or not same_row:
            step_k = numbers.stuck_coarse_k
        elif reading.sent_c != last.sent_c:
            step_k = min(step_k, abs(reading.sent_c - last.sent_c))
        silent = last is not None and reading.time_ms - last.time_ms >= break_at(rows, last.time_ms)
        if last is not None and same_row and not silent and reading.sent_c == last.sent_c:
            runs[-1].append(reading)
        else:
            runs.append([reading])
            limits_ms.append(max(numbers.stuck_ms, round(step_k * numbers.stuck_ms_per_k)))
    return [
        run
        for run, limit_ms in zip(runs, limits_ms, strict=True)
        if len(run) >= numbers.stuck_readings and run[-1].time_ms - run[0].time_ms >= limit_ms
    ]


def find_faults(
    point_id: str, counted: Sequence[Counted], rows: Sequence[Point], numbers: Numbers, as_of_ms: int
) -> list[SensorFault]:
    """Find the faults that a point's own temperatures show, in the order of the files."""
    valid = valid_of(counted)
    outside = [reading for reading in counted if reading.kind == "out_of_range"]
    faults = find_bad(point_id, "out_of_range", outside, valid, numbers.range_gap_ms, as_of_ms)
    spikes = find_spikes(valid, rows, numbers)
    faults += find_bad(point_id, "spike", spikes, valid, numbers.spike_gap_ms, as_of_ms)
    for run in find_stuck(valid, rows, numbers):
        end_ms = first_after(valid, run[-1].time_ms)
        detail = f"value={run[0].sent_c:.2f}"
        faults.append(SensorFault(point_id, "stuck", run[0].time_ms, end_ms, end_ms is None, detail))
    return sorted(faults, key=lambda fault: (fault.start_ms, fault.kind))


def find_untrusted(counted: Sequence[Counted], rows: Sequence[Point], numbers: Numbers) -> set[int]:
    """Give the times of the valid readings that feed no cold spell: spikes, and all of a stuck run."""
    valid = valid_of(counted)
    stuck = [reading for run in find_stuck(valid, rows, numbers) for reading in run]
    return {reading.time_ms for reading in (*find_spikes(valid, rows, numbers), *stuck)}


# --- Cold spells ---


def find_judged(counted: Sequence[Counted], rows: Sequence[Point], law: Law) -> list[Judged]:
    """Give the readings that are valid, in service and in season, in order of time."""
    judged = list[Judged]()
    for reading in counted:
        at_ms = reading.time_ms
        row = row_in_service(rows, at_ms)
        if reading.kind == "valid" and row is not None and in_season(law, at_ms):
            asked = asked_of(row, law, at_ms)
            judged.append(Judged(at_ms, reading.temp_c, asked, hold_at(rows, at_ms), break_at(rows, at_ms)))
    return judged


def find_spells(
    point_id: str,
    judged: Sequence[Judged],
    rows: Sequence[Point],
    law: Law,
    as_of_ms: int,
) -> list[ColdSpell]:
    """Find the cold spells of one point: opened by a violating reading, ended as `interruption` and `recovery` say."""
    spells, spell = list[ColdSpell](), list[Judged]()
    for reading in judged:
        cause = interruption(spell[-1], reading.time_ms, rows, law) if spell else None
        if cause is not None:
            spells.append(make_spell(point_id, spell, spell[-1].time_ms, cause))
            spell = []
        if spell or reading.violates:
            spell.append(reading)
        warm_from_ms = recovery(spell)
        if warm_from_ms is not None:
            spells.append(make_spell(point_id, spell, warm_from_ms, "recovered"))
            spell = []
    if spell:
        cause = interruption(spell[-1], as_of_ms, rows, law)
        end_ms = None if cause is None else spell[-1].time_ms
        spells.append(make_spell(point_id, spell, end_ms, cause or ""))
    return spells


def interruption(last: Judged, until_ms: int, rows: Sequence[Point], law: Law) -> str | None:
    """Say what ends a spell after a reading and up to the next (or `as_of`): what comes first in time."""
    silent_ms = last.time_ms + last.break_ms
    moments = (
        season_end(law, last.time_ms, until_ms),
        service_end(rows, last.time_ms, until_ms),
        silent_ms if silent_ms <= until_ms else None,
    )
    causes = [(moment, rank) for rank, moment in enumerate(moments) if moment is not None]
    return END_CAUSES[min(causes)[1]] if causes else None


def recovery(spell: Sequence[Judged]) -> int | None:
    """Give the start of the warm run that is long enough at the spell's newest reading; of two, the earlier."""
    starts = list[int]()
    for margin_k, span_ms in RECOVERIES:
        run = warm_run(spell, margin_k)
        if run and run[-1].time_ms - run[0].time_ms >= span_ms:
            starts.append(run[0].time_ms)
    return min(starts, default=None)


def warm_run(spell: Sequence[Judged], margin_k: float) -> list[Judged]:
    """Give the newest consecutive readings that are warm enough, none more than `hold` after the one before."""
    run = list[Judged]()
    for reading in reversed(spell):
        apart = bool(run) and run[0].time_ms - reading.time_ms > reading.hold_ms
        if apart or not reading.is_warm(margin_k):
            break
        run.insert(0, reading)
    return run


def violation_ms(readings: Sequence[Judged]) -> int:
    """Sum the stretches, each no longer than `hold`, that begin at a violating reading."""
    return sum(b.time_ms - a.time_ms for a, b in pairwise(readings) if a.violates and not too_long(a, b))


def unknown_ms(readings: Sequence[Judged]) -> int:
    """Sum the stretches longer than `hold`, whatever reading they begin at."""
    return sum(b.time_ms - a.time_ms for a, b in pairwise(readings) if too_long(a, b))


def deficit_mk_ms(readings: Sequence[Judged]) -> int:
    """Sum what the violating readings lack, in whole milli-kelvin, times the stretches that `violation_ms` sums."""
    stretches = [(a, b) for a, b in pairwise(readings) if a.violates and not too_long(a, b)]
    return sum(lack_mk(a) * (b.time_ms - a.time_ms) for a, b in stretches)


def lack_mk(reading: Judged) -> int:
    """Give (minimum - temperature) x 1000 in 64-bit floats, rounded to even at a half; 0 where nothing is asked."""
    return 0 if reading.asked is None else round((reading.asked.minimum_c - reading.temp_c) * 1000)


def too_long(a: Judged, b: Judged) -> bool:
    """Tell whether a stretch is longer than `hold`."""
    return b.time_ms - a.time_ms > a.hold_ms


def confirmation(readings: Sequence[Judged]) -> int | None:
    """Give the first reading at which the violation so far has reached 1 h with two violating readings, itself too."""
    for newest in range(len(readings)):
        so_far = readings[: newest + 1]
        violating = sum(reading.violates for reading in so_far)
        if violating >= CONFIRM_READINGS and violation_ms(so_far) >= CONFIRM_MS:
            return readings[newest].time_ms
    return None


def make_spell(point_id: str, spell: Sequence[Judged], end_ms: int | None, end_reason: str) -> ColdSpell:
    """Write one spell: its sums up to its end, its lowest temperature, and the rules that were violated.

    A recovered spell ends at its first warm reading, which is no longer part of it; one that ends in another way ends
    at its own last reading.
    """
    until_end = [reading for reading in spell if end_ms is None or reading.time_ms <= end_ms]
    own = until_end[:-1] if end_reason == "recovered" else until_end
    return ColdSpell(
        point_id=point_id,
        start_ms=spell[0].time_ms,
        end_ms=end_ms,
        open=end_ms is None,
        confirmed_at_ms=confirmation(until_end),
        end_reason=end_reason,
        violation_ms=violation_ms(until_end),
        unknown_ms=unknown_ms(until_end),
        min_temp_c=min(reading.temp_c for reading in own),
        deficit_mk_ms=deficit_mk_ms(until_end),
        rule="+".join(sorted({reading.asked.rule for reading in own if reading.asked and reading.violates})),
    )


# --- Data outages ---


def find_point_outages(
    point_id: str,
    heard_ms: Sequence[int],
    rows: Sequence[Point],
    as_of_ms: int,
) -> list[DataOutage]:
    """Find the outages of one point: from row to row, then from its last row (or its `valid_from`) on.

    The last one is open when `as_of` is that far past, unless the point has left the register by then.
    """
    outages = [make_outage("point", point_id, a, b) for a, b in pairwise(heard_ms) if b - a >= break_at(rows, a)]
    since_ms = heard_ms[-1] if heard_ms else rows[0].valid_from_ms
    if since_ms is None:
        return outages
    left_ms = rows[-1].valid_to_ms
    has_left = left_ms is not None and left_ms <= as_of_ms
    until_ms = left_ms if left_ms is not None and has_left else as_of_ms
    if until_ms - since_ms >= break_at(rows, since_ms):
        outages.append(make_outage("point", point_id, since_ms, until_ms, is_open=not has_left))
    return outages


def make_outage(kind: str, subject_id: str, start_ms: int, until_ms: int, *, is_open: bool = False) -> DataOutage:
    """Write one outage; the duration of an open one runs to `as_of`, its end is empty."""
    end_ms = None if is_open else until_ms
    return DataOutage(kind, subject_id, start_ms, end_ms, is_open, until_ms - start_ms)


def place_of(row: Point, kind: str) -> str:
    """Give the building or the station that a register row names."""
    return row.building_id if kind == "building" else row.station_id


def points_in_service(register: Mapping[str, Sequence[Point]], kind: str, place: str, time_ms: int) -> list[str]:
    """Name the points that are in service in a building or station at a moment."""
    serving = {point_id: row_in_service(rows, time_ms) for point_id, rows in register.items()}
    return [point_id for point_id, row in serving.items() if row and place_of(row, kind) == place]


def outages_at(outages: Iterable[DataOutage], subjects: Iterable[str], time_ms: int) -> list[DataOutage]:
    """Give the outages of some subjects that a moment lies in: start included, end excluded."""
    subjects = set(subjects)
    return [o for o in outages if o.subject_id in subjects and o.start_ms <= time_ms < o.until_ms]


def find_place_outages(
    kind: str,
    place: str,
    register: Mapping[str, Sequence[Point]],
    of_points: Sequence[DataOutage],
    as_of_ms: int,
) -> list[DataOutage]:
    """Find when, up to `as_of`, at least two and more than half of a place's points in service were silent at once.

    Between two moments at which anything changes nothing does, so that each such piece is looked at once, at its
    start, and neighbouring pieces are joined.
    """
    moments = {as_of_ms} | {o.start_ms for o in of_points} | {o.until_ms for o in of_points}
    for rows in register.values():
        moments |= service_changes(rows)
    found = list[DataOutage]()
    for start_ms, end_ms in pairwise(sorted(moment for moment in moments if moment <= as_of_ms)):
        serving = points_in_service(register, kind, place, start_ms)
        silent = outages_at(of_points, serving, start_ms)
        if len(silent) >= SILENT_POINTS and 2 * len(silent) > len(serving):
            is_open = end_ms == as_of_ms and any(o.open for o in silent)
            joined = found.pop() if found and found[-1].until_ms == start_ms else None
            begun_ms = joined.start_ms if joined else start_ms
            found.append(make_outage(kind, place, begun_ms, end_ms, is_open=is_open))
    return found


def find_outages(
    heard_ms: Mapping[str, Sequence[int]],
    register: Mapping[str, Sequence[Point]],
    as_of_ms: int,
) -> list[DataOutage]:
    """Find the outages of points, buildings and stations, each with what it is part of."""
    of_points = list[DataOutage]()
    for point_id, rows in register.items():
        of_points += find_point_outages(point_id, heard_ms[point_id], rows, as_of_ms)
    of_places = list[DataOutage]()
    for kind in ("building", "station"):
        for place in {place_of(row, kind) for rows in register.values() for row in rows}:
            of_places += find_place_outages(kind, place, register, of_points, as_of_ms)
    outages = [replace(outage, part_of=part_of(outage, of_places, register)) for outage in of_points + of_places]
    return sorted(outages, key=lambda o: (SUBJECT_KINDS.index(o.subject_kind), o.subject_id, o.start_ms))


def part_of(
    outage: DataOutage,
    of_places: Sequence[DataOutage],
    register: Mapping[str, Sequence[Point]],
) -> str:
    """Name the building, else the station, whose outage overlaps this one; of a building, its station's."""
    for kind, place in places_above(outage, register):
        for other in of_places:
            same_place = (other.subject_kind, other.subject_id) == (kind, place)
            if same_place and other.start_ms < outage.until_ms and outage.start_ms < other.until_ms:
                return f"{kind}:{place}"
    return ""


def places_above(outage: DataOutage, register: Mapping[str, Sequence[Point]]) -> list[tuple[str, str]]:
    """Name what an outage's subject stood in at the outage's start, the nearest first.

    A point: by its register row then. A building: the stations of its points in service then.
    """
    if outage.subject_kind == "station":
        return []
    if outage.subject_kind == "point":
        row = row_nearest(register[outage.subject_id], outage.start_ms)
        return [("building", row.building_id), ("station", row.station_id)]
    members = points_in_service(register, "building", outage.subject_id, outage.start_ms)
    stations = {row_nearest(register[point_id], outage.start_ms).station_id for point_id in members}
    return [("station", station) for station in sorted(stations)]


# --- Counts, and the whole ---


def count_point(heard: Sequence[Row], counted: Sequence[Counted], judged: Sequence[Judged]) -> dict[str, int]:
    """Count one listed point's rows; `not_in_service` are the valid readings that are out of service or season."""
    counts = dict.fromkeys(COUNTS, 0)
    counts["readings"] = len(heard)
    counts["duplicates"] = len(heard) - len(counted)
    for reading in counted:
        counts[reading.kind] += 1
    counts["violations"] = sum(reading.violates for reading in judged)
    counts["below_target"] = sum(reading.below_target for reading in judged)
    counts["not_in_service"] = counts["valid"] - len(judged)
    counts["never_heard"] = int(not heard)
    return counts


def count_all(rows: Sequence[Row], point_counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Add up the points' counts; the rows of points that the register does not list stand in the total only."""
    counts = {name: sum(of_point[name] for of_point in point_counts.values()) for name in COUNTS}
    counts["unlisted"] = sum(row.point_id not in point_counts for row in rows)
    counts["readings"] += counts["unlisted"]
    return counts


def latest(rows: Sequence[Row], counted: Mapping[str, Sequence[Counted]]) -> int | None:
    """Give the `as_of` that holds where none is given: the latest valid reading, else the latest row."""
    valid = [reading.time_ms for of_point in counted.values() for reading in of_point if reading.kind == "valid"]
    return max(valid or [row.time_ms for row in rows], default=None)


def judge(
    rows: Sequence[Row],
    points: Sequence[Point] | None,
    rules: Mapping[str, Any],
    timezone: str,
    as_of_ms: int | None = None,
    numbers: Numbers = NUMBERS,
) -> Result:
    """Judge readings by dated rules and a dated register, as of a moment.

    Parameters
    ----------
    rows : sequence of Row
        The readings, in any order; whoever passes `as_of_ms` has left out the rows later than it.
    points : sequence of Point, or None
        The register; None: every point heard is an apartment in one building of one station.
    rules : mapping
        The dated rules, in the shape of `DEFAULT_RULES`.
    timezone : str
        The IANA name of the zone in which the rules' hours and days are meant.
    as_of_ms : int, or None
        The moment for which findings are asked; None: the latest valid reading, else the latest row.
    numbers : Numbers
        Those of sensor faults.

    Returns
    -------
    Result
        The findings and the counts.
    """
    law = Law(rules, ZoneInfo(timezone))
    register = make_register(points, rows)
    heard = {point_id: [row for row in rows if row.point_id == point_id] for point_id in register}
    counted = {point_id: count_rows(heard[point_id], register[point_id]) for point_id in register}
    judged = {point_id: find_judged(counted[point_id], register[point_id], law) for point_id in register}
    point_counts = {p: count_point(heard[p], counted[p], judged[p]) for p in register}
    if as_of_ms is None:
        as_of_ms = latest(rows, counted)
    result = Result(as_of_ms, counts=count_all(rows, point_counts), point_counts=point_counts)
    if as_of_ms is None:
        return result
    for point_id, dated in register.items():
        untrusted = find_untrusted(counted[point_id], dated, numbers)
        trusted = [reading for reading in judged[point_id] if reading.time_ms not in untrusted]
        result.cold_spells.extend(find_spells(point_id, trusted, dated, law, as_of_ms))
        result.sensor_faults.extend(find_faults(point_id, counted[point_id], dated, numbers, as_of_ms))
    heard_ms = {point_id: sorted({row.time_ms for row in heard[point_id]}) for point_id in register}
    result.data_outages.extend(find_outages(heard_ms, register, as_of_ms))
    return result
