"""Compliance tallies: every millisecond and every valid reading of a test point's day is in one part and no other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from math import isfinite
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.judge import judge
from analytics.layout.rows import by_point
from analytics.layout.timeline import Timeline, lay_out
from analytics.rates.tally import Faults, apart, faults_in, places_of, tally
from heatwatch.domain.compliance import FIELDS, PARTS
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS, from_ms, to_ms
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import RoomClass, Season, Standard
from heatwatch.files.rules_file import default_standard
from tests.analytics.against import readings_of, register_of, standard_of
from tests.analytics.oracle import Row
from tests.analytics.strategies import Case, cases, local_day

SHANGHAI, BRUSSELS = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Brussels")
STANDARD = default_standard()
T0 = to_ms(datetime(2025, 11, 24, 16, tzinfo=UTC))
"""Midnight in Shanghai."""
Key = tuple[str, date, str, str, str]
"""Point, local day, station, building, room."""
Spans = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Told:
    """Known faults, by names."""

    points: Spans = ()
    odd_points: Spans = ()
    buildings: Spans = ()
    stations: Spans = ()


def found(
    rows: Sequence[Row],
    register: Register,
    standard: Standard,
    zone: ZoneInfo,
    window: tuple[int, int],
    told: Told | None = None,
    *,
    to_the_last: bool = False,
) -> dict[Key, dict[str, int]]:
    """Return what the compiled pass makes of rows, by names, without what is nothing."""
    told = told or Told()
    timeline = lay_out(register, standard, zone, (window[0] - 3 * DAY_MS, window[1] + 3 * DAY_MS))
    places, place_of_row = places_of(register)
    listed = [row for row in rows if row.point_id in timeline.points]
    code = np.array([timeline.points.index(row.point_id) for row in listed], dtype=np.int32)
    time_ms = np.array([row.time_ms for row in listed], dtype=np.int64)
    temp_c = np.array([np.nan if row.temp_c is None else row.temp_c for row in listed], dtype=np.float64)
    points = np.arange(len(timeline.points))
    ordered, faults = by_point(code, time_ms, temp_c, len(points)), numbered(timeline, told)
    made = tally(timeline, place_of_row, points, ordered, faults, window, to_the_last=to_the_last)
    answer: dict[Key, dict[str, int]] = {}
    for point, day, place, *values in made.tolist():
        home = places[place]
        key = (
            timeline.points[point],
            date(1970, 1, 1) + timedelta(days=day),
            home.station_id,
            home.building_id,
            home.room,
        )
        into = answer.setdefault(key, dict.fromkeys(FIELDS, 0))
        for name, value in zip(FIELDS, values, strict=True):
            into[name] += value
    return {key: {name: value for name, value in sums.items() if value} for key, sums in answer.items()}


def numbered(timeline: Timeline, told: Told) -> Faults:
    """Return faults by number as the pass takes them."""

    def of(spans: Spans, names: Sequence[str]) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        known = [(names.index(name), start, end) for name, start, end in spans if name in names]
        return np.array(known, dtype=np.int64).reshape(-1, 3)

    return Faults(
        of(told.points, timeline.points),
        of(told.odd_points, timeline.points),
        of(told.buildings, timeline.buildings),
        of(told.stations, timeline.stations),
    )


class Plain:
    """The definitions again, from moment to moment, by the register and the rules alone."""

    def __init__(self, register: Register, standard: Standard, zone: ZoneInfo, told: Told) -> None:
        self.register, self.standard, self.zone, self.told = register, standard, zone, told
        self.judging = standard.judging

    def local(self, ms: int) -> datetime:
        return from_ms(ms).astimezone(self.zone)

    def in_season(self, ms: int) -> bool:
        seasons = self.standard.at(from_ms(ms)).seasons
        return not seasons or any(s.first_day <= self.local(ms).date() <= s.last_day for s in seasons)

    def suspended(self, row: PointRow, ms: int) -> bool:
        since, until = row.suspended_from, row.suspended_to
        if since is None and until is None:
            return False
        return (since is None or to_ms(since) <= ms) and (until is None or ms < to_ms(until))

    def row_at(self, point: str, ms: int) -> PointRow | None:
        return self.register.at(point, ms)

    def named_row(self, point: str, ms: int) -> PointRow:
        own = [row for row in self.register.rows if row.point_id == point]
        return self.row_at(point, ms) or next((row for row in reversed(own) if row.valid_to_ms <= ms), own[0])

    def asked(self, row: PointRow, ms: int) -> tuple[float, float] | None:
        local = self.local(ms)
        limit = self.standard.at(from_ms(ms)).asked(
            row.room_class, row.contract, local.weekday() * 1440 + local.hour * 60 + local.minute
        )
        return None if limit is None else (limit.minimum_c, limit.target_c)

    def part(self, point: str, ms: int) -> str:
        row = self.row_at(point, ms)
        if row is None:
            return "unlisted"
        if self.suspended(row, ms):
            return "suspended"
        if not self.in_season(ms):
            return "off_season"
        if self.asked(row, ms) is None:
            return "not_asked"
        if inside(self.told.buildings, row.building_id, ms) or inside(self.told.stations, row.station_id, ms):
            return "outage"
        return "sensor_fault" if inside(self.told.points, point, ms) else ""

    def readings(self, point: str, rows: Sequence[Row]) -> Iterator[tuple[int, str, str]]:
        """Give time, part and verdict of each valid reading."""
        values = defaultdict[int, set[float]](set)
        for row in rows:
            if row.point_id == point and row.temp_c is not None and isfinite(row.temp_c):
                values[row.time_ms].add(row.temp_c)
        for ms, told in sorted(values.items()):
            held = self.row_at(point, ms)
            temp_c = min(told) + (0.0 if held is None else held.offset_k)
            if len(told) > 1 or not self.judging.range_low_c <= temp_c <= self.judging.range_high_c:
                continue
            asked = None if held is None else self.asked(held, ms)
            verdict = "" if asked is None else "cold" if temp_c < asked[0] else "low" if temp_c < asked[1] else "fine"
            yield ms, self.part(point, ms), verdict

    def spikes(self, point: str, rows: Sequence[Row]) -> set[int]:
        """Return the times of readings that jump away and back."""
        mine = [row for row in rows if row.point_id == point and row.temp_c is not None]
        sent = {row.time_ms: row.temp_c or 0.0 for row in mine if isfinite(row.temp_c or 0.0)}
        valid = [(ms, sent[ms], self.named_row(point, ms)) for ms, _, _ in self.readings(point, rows)]
        found = set[int]()
        for (a, a_c, a_row), (b, b_c, b_row), (c, c_c, c_row) in zip(valid, valid[1:], valid[2:], strict=False):
            near = b - a <= self.hold_and_break(point, a)[0] and c - b <= self.hold_and_break(point, b)[0]
            away, back = abs(b_c - a_c) >= self.judging.spike_k, abs(c_c - a_c) <= self.judging.spike_agree_k
            if a not in found and near and a_row == b_row == c_row and away and back:
                found.add(b)
        return found

    def hold_and_break(self, point: str, ms: int) -> tuple[int, int]:
        interval_ms = (self.named_row(point, ms).interval_s or self.judging.interval_default_s) * 1000
        return max(2 * HOUR_MS, 2 * interval_ms), max(8 * HOUR_MS, 6 * interval_ms)

    def goes_on(self, point: str, a: int, b: int, cuts: Sequence[int]) -> bool:
        """Say whether service and season last from a to b."""
        return all(
            self.row_at(point, ms) is not None
            and not self.suspended(self.named_row(point, ms), ms)
            and self.in_season(ms)
            for ms in [a, *(cut for cut in cuts if a < cut <= b), b]
        )

    def cuts(self, rows: Sequence[Row], window: tuple[int, int]) -> list[int]:
        """Return every moment at which anything may change."""
        moments = {*window, *(row.time_ms for row in rows)}
        for row in self.register.rows:
            moments |= {row.valid_from_ms, row.valid_to_ms}
            moments |= {to_ms(at) for at in (row.suspended_from, row.suspended_to) if at is not None}
        for version in self.standard.versions:
            moments |= {to_ms(version.valid_from)} if version.valid_from is not None else set()
        for spans in (self.told.points, self.told.odd_points, self.told.buildings, self.told.stations):
            moments |= {edge for _, *edges in spans for edge in edges}
        day = self.local(window[0] - 2 * DAY_MS).date()
        minutes = {0, 120, 150, 180}
        for version in self.standard.versions:
            every = [h for rules in version.classes.values() for h in rules.hours]
            every += [h for hours in version.contracts.values() for h in hours]
            minutes |= {minute % 1440 for h in every for minute in (h.start_minute, h.end_minute)}
        while day <= self.local(window[1] + 2 * DAY_MS).date():
            for minute in sorted(minutes):
                for fold in (0, 1):
                    wall = datetime.combine(day, time(minute // 60, minute % 60, fold=fold), self.zone)
                    moments.add(to_ms(wall.astimezone(UTC)))
            day += timedelta(days=1)
        moments |= set(range(window[0] - window[0] % HOUR_MS, window[1], HOUR_MS))
        return sorted(moments)

    def tally(self, rows: Sequence[Row], window: tuple[int, int]) -> dict[Key, dict[str, int]]:
        answer: dict[Key, dict[str, int]] = {}
        for point in sorted({row.point_id for row in self.register.rows}):
            own = self._tally(point, rows, window)
            listed = {key[1] for key, sums in own.items() if any(sums[n] for n in PARTS if n != "unlisted_ms")}
            answer |= {key: sums for key, sums in own.items() if key[1] in listed}
        return {key: {name: value for name, value in sums.items() if value} for key, sums in answer.items()}

    def _tally(self, point: str, rows: Sequence[Row], window: tuple[int, int]) -> dict[Key, dict[str, int]]:
        sums = defaultdict[Key, dict[str, int]](lambda: dict.fromkeys(FIELDS, 0))
        valid = list(self.readings(point, rows))
        trusted = []
        spikes = self.spikes(point, rows)
        for ms, part, verdict in valid:
            odd = inside(self.told.points, point, ms) or ms in spikes
            if part not in {"unlisted", "suspended", "off_season"} and not odd:
                trusted.append((ms, verdict))
            if window[0] <= ms < window[1]:
                for name in self._counted(part, verdict, odd=odd):
                    sums[self._key(point, ms)][name] += 1
        cuts = self.cuts(rows, window)
        for start, end in pairwise(cut for cut in cuts if window[0] <= cut <= window[1]):
            part = self.part(point, start)
            before = next(((ms, verdict) for ms, verdict in reversed(trusted) if ms <= start), None)
            after = next((ms for ms, _ in trusted if ms > start), None)
            verdict = ""
            if before is not None and after is not None:
                hold, too_long = self.hold_and_break(point, before[0])
                near = after - before[0] <= hold and after - before[0] < too_long
                same = self._key(point, start)[2:] == self._key(point, before[0])[2:]
                same = same and self.named_row(point, start).room_class == self.named_row(point, before[0]).room_class
                if near and same and self.goes_on(point, before[0], after, cuts):
                    verdict = before[1]
            into = sums[self._key(point, start)]
            odd = inside(self.told.odd_points, point, start)
            for name in self._timed(part, verdict, odd=odd):
                into[name] += end - start
        return sums

    def _key(self, point: str, ms: int) -> Key:
        row = self.named_row(point, ms)
        return point, self.local(ms).date(), row.station_id, row.building_id, row.room

    @staticmethod
    def _counted(part: str, verdict: str, *, odd: bool) -> list[str]:
        if part in {"unlisted", "suspended", "off_season"}:
            return ["not_in_service_n"]
        if part == "not_asked":
            return ["not_asked_n"]
        fate = "outage" if part == "outage" else "sensor_fault" if odd else ""
        if not fate:
            return {"cold": ["violating_n"], "low": ["compliant_n", "below_target_n"], "fine": ["compliant_n"]}[verdict]
        return [f"{fate}_n", *{"cold": [f"{fate}_violating_n"], "low": [f"{fate}_below_target_n"]}.get(verdict, [])]

    @staticmethod
    def _timed(part: str, verdict: str, *, odd: bool) -> list[str]:
        if part == "outage":
            within = {"cold": ["outage_violating_ms"], "": []}.get(verdict, ["outage_compliant_ms"])
            return ["outage_ms", *within]
        if part:
            return [f"{part}_ms"]
        if not verdict:
            return ["sensor_fault_ms" if odd else "unknown_ms"]
        return {"cold": ["violating_ms"], "low": ["compliant_ms", "below_target_ms"], "fine": ["compliant_ms"]}[verdict]


def inside(spans: Spans, subject: str, ms: int) -> bool:
    return any(name == subject and start <= ms < end for name, start, end in spans)


@st.composite
def troubles(draw: st.DrawFn, case: Case) -> Told:
    """Draw sensor faults and outages that begin and end on readings, or beside them."""
    times = sorted({row.time_ms for row in case.rows})
    names = sorted({row.point_id for row in case.rows})
    moments = st.sampled_from([at + nudge for at in times for nudge in (-MINUTE_MS, 0, 1)] or [0])

    def spans(subjects: Sequence[str]) -> Spans:
        some = draw(st.lists(st.tuples(st.sampled_from(subjects), moments, moments), max_size=2))
        return tuple((subject, min(a, b), max(a, b)) for subject, a, b in some)

    return Told(spans(names or ["p0"]), spans(names or ["p0"]), spans(["b1", "b2", "b3"]), spans(["s1", "s2"]))


def world(case: Case) -> tuple[Register, Standard, ZoneInfo]:
    points = sorted({row.point_id for row in case.rows})
    register = Register.implied_by(points) if case.points is None else register_of(case.points)
    return register, standard_of(case.rules), ZoneInfo(case.timezone)


def span_of(case: Case, zone: ZoneInfo) -> tuple[int, int]:
    """Return the local days of a case's rows, the last one as far as it has come."""
    times = [row.time_ms for row in case.rows]
    first = datetime.combine(local_day(min(times), case.timezone), time(), zone)
    return to_ms(first.astimezone(UTC)), case.as_of_ms if case.as_of_ms is not None else max(times)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_the_compiled_pass_finds_what_the_definitions_say(data: st.DataObject) -> None:
    case = data.draw(cases().filter(lambda one: bool(one.rows)))
    register, standard, zone = world(case)
    told = data.draw(troubles(case))
    window = span_of(case, zone)
    expected = Plain(register, standard, zone, told).tally(case.rows, window)
    assert found(case.rows, register, standard, zone, window, told) == expected


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_the_parts_of_a_day_are_the_day(data: st.DataObject) -> None:
    case = data.draw(cases().filter(lambda one: bool(one.rows)))
    register, standard, zone = world(case)
    window = span_of(case, zone)
    spent = defaultdict[tuple[str, date], int](int)
    for key, sums in found(case.rows, register, standard, zone, window, data.draw(troubles(case))).items():
        spent[key[:2]] += sum(sums.get(name, 0) for name in PARTS)
    for (_, day), length in spent.items():
        midnights = [
            to_ms(datetime.combine(one, time(), zone).astimezone(UTC)) for one in (day, day + timedelta(days=1))
        ]
        assert length == min(midnights[1], window[1]) - midnights[0]


@given(cases().filter(lambda one: bool(one.rows)))
@settings(max_examples=40, deadline=None)
def test_violations_and_readings_below_the_target_are_those_that_the_judge_counts(case: Case) -> None:
    register, standard, zone = world(case)
    findings = judge(readings_of(case.rows), None if case.points is None else register, standard, zone, case.as_of_ms)
    timeline = lay_out(register, standard, zone, (0, 2**41))
    window = (span_of(case, zone)[0] - DAY_MS, findings.as_of_ms)
    told = named(timeline, faults_in(timeline, findings.frames))
    counted = defaultdict[str, list[int]](lambda: [0, 0])
    for key, sums in found(case.rows, register, standard, zone, window, told, to_the_last=True).items():
        counted[key[0]][0] += sum(sums.get(f"{fate}violating_n", 0) for fate in ("", "outage_", "sensor_fault_"))
        counted[key[0]][1] += sum(sums.get(f"{fate}below_target_n", 0) for fate in ("", "outage_", "sensor_fault_"))
    judged = {point: [of["violations"], of["below_target"]] for point, of in findings.summary["points"].items()}
    assert {point: counted[point] for point in judged} == judged


def named(timeline: Timeline, faults: Faults) -> Told:
    def of(spans: np.ndarray[tuple[int, int], np.dtype[np.int64]], names: Sequence[str]) -> Spans:
        return tuple((names[code], start, end) for code, start, end in spans.tolist())

    return Told(
        of(faults.points, timeline.points),
        of(faults.odd_points, timeline.points),
        of(faults.buildings, timeline.buildings),
        of(faults.stations, timeline.stations),
    )


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_days_tallied_one_by_one_are_days_tallied_at_once(data: st.DataObject) -> None:
    case = data.draw(cases().filter(lambda one: bool(one.rows)))
    register, standard, zone = world(case)
    told = data.draw(troubles(case))
    start, until = span_of(case, zone)
    hold_ms = max(hold for hold, _ in [(2 * max(row.interval_s or 3600, 3600) * 1000, 0) for row in register.rows])
    whole = found(case.rows, register, standard, zone, (start, until), told)
    days: dict[Key, dict[str, int]] = {}
    midnight = start
    while midnight < until:
        following = to_ms(
            datetime.combine(local_day(midnight, case.timezone) + timedelta(days=1), time(), zone).astimezone(UTC)
        )
        near = [row for row in case.rows if midnight - hold_ms - DAY_MS <= row.time_ms <= following + 2 * hold_ms]
        days |= found(near, register, standard, zone, (midnight, min(following, until)), told)
        midnight = following
    assert days == whole


ROOM = PointRow("p", "b", "s", RoomClass.APARTMENT, room_id="101")


def day_of(*temps_c: float, every_ms: int = HOUR_MS, point: str = "p", start: int = T0) -> list[Row]:
    return [Row(point, start + n * every_ms, temp_c) for n, temp_c in enumerate(temps_c)]


def only(
    rows: Sequence[Row], *register: PointRow, until: int = T0 + DAY_MS, told: Told | None = None
) -> dict[str, int]:
    """Return what one day of one room comes to."""
    made = found(rows, Register.of(register or (ROOM,)), STANDARD, SHANGHAI, (T0, until), told)
    (sums,) = made.values()
    return sums


class TestTime:
    """How long a reading holds, and which day that time belongs to."""

    def test_a_reading_holds_until_the_next_one(self) -> None:
        assert only(day_of(*[17.0] * 12, *[20.0] * 13)) == {
            "compliant_ms": 18 * HOUR_MS, "below_target_ms": 6 * HOUR_MS, "violating_ms": 6 * HOUR_MS,
            "compliant_n": 18, "below_target_n": 6, "violating_n": 6,
        }  # fmt: skip

    def test_after_the_last_reading_nothing_is_known_yet(self) -> None:
        assert only(day_of(20.0, 20.0))["unknown_ms"] == 23 * HOUR_MS

    def test_two_hours_are_held_and_a_millisecond_more_is_not(self) -> None:
        rows = [Row("p", T0, 20.0), Row("p", T0 + 2 * HOUR_MS, 20.0), Row("p", T0 + 4 * HOUR_MS + 1, 20.0)]
        sums = only(rows, until=T0 + 4 * HOUR_MS + 1)
        assert (sums["compliant_ms"], sums["unknown_ms"]) == (2 * HOUR_MS, 2 * HOUR_MS + 1)

    def test_a_stretch_over_midnight_belongs_to_both_days_in_parts(self) -> None:
        rows = [Row("p", T0 - 40 * MINUTE_MS, 20.0), Row("p", T0 + 20 * MINUTE_MS, 20.0)]
        made = found(rows, Register.of([ROOM]), STANDARD, SHANGHAI, (T0 - DAY_MS, T0 + 20 * MINUTE_MS))
        assert [sums["compliant_ms"] for sums in made.values()] == [40 * MINUTE_MS, 20 * MINUTE_MS]

    def test_the_day_on_which_clocks_go_back_has_25_hours_and_the_other_23(self) -> None:
        for day, hours in ((date(2025, 10, 26), 25), (date(2026, 3, 29), 23)):
            start = to_ms(datetime.combine(day, time(), BRUSSELS).astimezone(UTC))
            rows = day_of(*[20.0] * (hours + 2), start=start)
            made = found(rows, Register.of([ROOM]), STANDARD, BRUSSELS, (start, start + (hours + 1) * HOUR_MS))
            assert made["p", day, "s", "b", "101"]["compliant_ms"] == hours * HOUR_MS


class TestBeside:
    """What is told beside the rates."""

    def test_violations_in_a_known_fault_are_told_apart_and_rated_nowhere(self) -> None:
        rows = day_of(*[15.0] * 25)
        sums = only(rows, told=Told(buildings=(("b", T0 + 6 * HOUR_MS, T0 + 10 * HOUR_MS),)))
        assert (sums["outage_ms"], sums["outage_violating_ms"], sums["outage_violating_n"]) == (4 * HOUR_MS,) * 2 + (4,)
        assert (sums["violating_ms"], sums["violating_n"]) == (20 * HOUR_MS, 20)

    def test_a_stop_of_the_station_is_one_of_its_buildings(self) -> None:
        sums = only(day_of(*[15.0] * 25), told=Told(stations=(("s", T0, T0 + DAY_MS),)))
        assert sums["outage_ms"] == DAY_MS
        assert "violating_ms" not in sums

    def test_a_faulty_thermometer_says_nothing_of_the_room(self) -> None:
        sums = only(day_of(*[15.0] * 25), told=Told(points=(("p", T0, T0 + 5 * HOUR_MS),)))
        assert (sums["sensor_fault_ms"], sums["sensor_fault_violating_n"]) == (5 * HOUR_MS, 5)

    def test_nonsense_for_a_day_is_a_fault_and_no_silence_but_one_odd_value_is_bridged(self) -> None:
        many = only(
            day_of(20.0, *[-127.0] * 10, *[20.0] * 14), told=Told(odd_points=(("p", T0 + HOUR_MS, T0 + 11 * HOUR_MS),))
        )
        assert many["sensor_fault_ms"] == 10 * HOUR_MS
        assert many["unknown_ms"] == HOUR_MS
        one = only(day_of(20.0, -127.0, *[20.0] * 23), told=Told(odd_points=(("p", T0 + HOUR_MS, T0 + 2 * HOUR_MS),)))
        assert one["compliant_ms"] == DAY_MS

    def test_suspended_rooms_and_hours_for_which_nothing_is_asked_are_in_no_rate(self) -> None:
        paused = replace(ROOM, suspended_from=from_ms(T0 + 12 * HOUR_MS))
        sums = only(day_of(*[15.0] * 25), paused)
        assert (sums["suspended_ms"], sums["not_in_service_n"]) == (12 * HOUR_MS, 12)
        assert sums["violating_ms"] + sums["unknown_ms"] + sums.get("compliant_ms", 0) == 12 * HOUR_MS
        assert only(day_of(*[9.0] * 25), replace(ROOM, room_class=RoomClass.NON_RESIDENTIAL)) == {
            "not_asked_ms": DAY_MS, "not_asked_n": 24,
        }  # fmt: skip

    def test_out_of_season_nothing_is_rated(self) -> None:
        version = replace(STANDARD.versions[0], seasons=(Season(date(2025, 10, 15), date(2025, 11, 24)),))
        standard = replace(STANDARD, versions=(version,))
        made = found(day_of(*[9.0] * 25), Register.of([ROOM]), standard, SHANGHAI, (T0, T0 + DAY_MS))
        assert [*made.values()] == [{"off_season_ms": DAY_MS, "not_in_service_n": 24}]


class TestPlaces:
    """Which room time belongs to."""

    def test_time_belongs_to_the_room_that_the_thermometer_hung_in(self) -> None:
        moved = from_ms(T0 + 12 * HOUR_MS)
        register = Register.of([replace(ROOM, valid_to=moved), replace(ROOM, valid_from=moved, building_id="b2")])
        made = found(day_of(*[20.0] * 25), register, STANDARD, SHANGHAI, (T0, T0 + DAY_MS))
        assert {key[3]: sums["compliant_ms"] for key, sums in made.items()} == {"b": 12 * HOUR_MS, "b2": 12 * HOUR_MS}

    def test_a_reading_tells_nothing_of_the_room_that_its_thermometer_moves_to(self) -> None:
        moved = from_ms(T0 + 12 * HOUR_MS + 15 * MINUTE_MS)
        register = Register.of([replace(ROOM, valid_to=moved), replace(ROOM, valid_from=moved, room_id="102")])
        made = found(day_of(*[20.0] * 25), register, STANDARD, SHANGHAI, (T0, T0 + DAY_MS))
        assert {key[4]: sums.get("unknown_ms", 0) for key, sums in made.items()} == {"101": 0, "102": 45 * MINUTE_MS}

    def test_a_day_on_which_no_room_is_listed_is_left_out(self) -> None:
        register = Register.of([replace(ROOM, valid_from=from_ms(T0 + DAY_MS))])
        made = found(day_of(*[20.0] * 25), register, STANDARD, SHANGHAI, (T0, T0 + DAY_MS + 1))
        assert {key[1] for key in made} == {date(2025, 11, 26)}


def test_spans_that_overlap_or_touch_are_one() -> None:
    spans = np.array([(1, 5, 9), (0, 3, 3), (1, 1, 2), (1, 2, 4), (1, 8, 12)], dtype=np.int64)
    made = apart(spans, 3)
    assert (made.first.tolist(), made.start.tolist(), made.end.tolist()) == ([0, 0, 2, 2], [1, 5], [4, 12])


def test_a_reading_that_jumps_away_and_back_is_in_no_rate_and_bridged() -> None:
    sums = only(day_of(20.0, 20.0, 8.0, *[20.0] * 22))
    assert sums == {"compliant_ms": DAY_MS, "compliant_n": 23, "sensor_fault_n": 1, "sensor_fault_violating_n": 1}
    assert only(day_of(20.0, 20.0, *[8.0] * 23))["violating_n"] == 22


def test_good_readings_between_bad_ones_of_one_fault_are_trusted() -> None:
    sums = only(day_of(*[20.0, 85.0] * 12, 20.0), told=Told(odd_points=(("p", T0, T0 + DAY_MS),)))
    assert (sums["compliant_ms"], sums["compliant_n"]) == (DAY_MS, 12)


def test_a_reading_that_nothing_near_follows_is_no_spike() -> None:
    rows = [*day_of(20.0, 20.0, 8.0), Row("p", T0 + 4 * HOUR_MS, 20.0)]
    assert only(rows)["sensor_fault_n"] == 1
    late = [*rows[:3], Row("p", T0 + 4 * HOUR_MS + 1, 20.0)]
    assert only(late)["violating_n"] == 1
