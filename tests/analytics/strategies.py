"""Small worlds for hypothesis, drawn where the definitions have their edges.

A case has at most some sixty rows. Its times fall on the edges of the day, on clock changes, and exactly, or a
millisecond beside, `hold` and `break` apart; its temperatures lie on and around the minimum, the target and the
target + 0.3 K; its register rows and versions begin and end on readings; so that spells open, are confirmed, recover in
both ways and fall silent often.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from tests.analytics.oracle import DEFAULT_RULES, NUMBERS, Numbers, Point, Row

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
MOST_ROWS = 60

ZONES = ("Europe/Brussels", "Europe/Brussels", "Europe/Brussels", "Asia/Shanghai", "UTC")
DAYS = (date(2016, 3, 26), date(2016, 10, 29), date(2016, 1, 15), date(2016, 1, 18))
"""The days before Brussels changes its clocks, a Friday and a Monday."""
WALL_EDGES = (time(0), time(2), time(2, 30), time(3), time(6), time(8), time(18), time(21))

INTERVALS_S = (None, None, 300, 600, 3600, 3600, 3601, 4800, 4801, 7200, 21600)
OFFSETS_K = (0.0, 0.0, 0.0, 0.25, -0.5, 0.3, -0.1)
CLASSES = ("apartment", "apartment", "apartment", "single_storey", "non_residential")
CONTRACTS: dict[str, list[dict[str, Any]]] = {
    "shop": [
        {"weekdays": [0, 1, 2, 3, 4], "start_minute": 480, "end_minute": 1080, "minimum_c": 18.0, "target_c": 18.5},
        {"weekdays": [4, 5], "start_minute": 1320, "end_minute": 150, "minimum_c": 17.0, "rule": "R4b"},
    ],
    "plus": [{"start_minute": 360, "end_minute": 1260, "minimum_c": 18.5, "target_c": 20.0, "rule": "R4"}],
    "always": [
        {"start_minute": 0, "end_minute": 0, "minimum_c": 18.0, "rule": "R4"},
        {"start_minute": 720, "end_minute": 1260, "minimum_c": 16.0, "target_c": 18.0},
    ],
    "office": [
        {"start_minute": 360, "end_minute": 1080, "minimum_c": 18.5},
        {"start_minute": 1080, "end_minute": 360, "minimum_c": 15.0, "target_c": 10.0},
    ],
}

CLOSE = Numbers(
    range_gap_ms=3 * HOUR_MS,
    spike_k=2.5,
    spike_agree_k=0.5,
    spike_gap_ms=2 * HOUR_MS,
    stuck_ms=HOUR_MS,
    stuck_ms_per_k=4 * HOUR_MS,
    stuck_coarse_k=1.0,
    stuck_readings=3,
)
"""Numbers of sensor faults by which the few rows of a case show many."""

MOODS: dict[str, tuple[float, ...]] = {
    "cold": (
        17.0,
        17.9,
        15.0,
        15.9,
        11.0,
        math.nextafter(18.0, 0),
        math.nextafter(16.0, 0),
        15.9995,
        15.9375,
        15.0005,
        17.9375,
        17.8125,
    ),
    "tepid": (16.0, 16.3, 17.0, 17.9, 18.0, 18.2),
    "at target": (18.0, 18.0, 18.1, 18.25, math.nextafter(18.3, 0)),
    "warm": (18.3, 18.3, 18.5, 18.8, 20.3, 21.0),
    "1 K sensor": (15.0, 16.0, 17.0, 18.0, 19.0),
    "0.5 K sensor": (15.5, 16.0, 16.5, 17.0, 17.5, 18.0, 18.5),
    "stuck cold": (17.0,),
    "stuck warm": (18.3,),
    "spiky": (17.0, 17.0, 17.5, 20.3, 14.0),
    "at odds": (17.0, 18.0, 85.0, -127.0),
}
ODD_VALUES = (
    -127.0, 85.0, 120.0, None, math.nan, math.inf, -math.inf, -30.0, 50.0, 0.0, -0.0,
    math.nextafter(-30.0, -math.inf), math.nextafter(50.0, math.inf), 50.25, -29.5,
)  # fmt: skip
ECHOED_VALUES = ((17.25,), (17.25, 19.0), (None,), (None, math.nan), (None, math.inf), (85.0,))
SLOW_RUN = [18.0] * 6
WARM_RUNS = (
    ([18.3], 30 * MINUTE_MS),
    (SLOW_RUN, 3 * HOUR_MS),
    ([*SLOW_RUN[1:], 18.3], 3 * HOUR_MS),
    ([18.0, 18.2, 18.3], 90 * MINUTE_MS),
)
"""Temperatures, half an hour apart, and when after the first of them the last comes again."""
STEPS_MS = (5 * MINUTE_MS, 10 * MINUTE_MS, 30 * MINUTE_MS, 30 * MINUTE_MS, HOUR_MS, HOUR_MS, 2 * HOUR_MS)
JUMPS_MS = (5 * MINUTE_MS, 30 * MINUTE_MS, HOUR_MS - 1, 3 * HOUR_MS, 9 * HOUR_MS, 20 * HOUR_MS)
NUDGES_MS = (0, 0, 0, -1, 1)


@dataclass(frozen=True)
class Case:
    """All that a judge is given; rows later than a given `as_of_ms` are already left out."""

    rows: list[Row]
    points: list[Point] | None
    rules: dict[str, Any]
    timezone: str
    as_of_ms: int | None
    numbers: Numbers = NUMBERS


def instant(local: datetime) -> int:
    """Give an instant as whole milliseconds."""
    return round(local.timestamp() * 1000)


def day_edges(day: date, zone: str) -> list[int]:
    """Give the edges of three local days, and the two instants of a clock change with a repeated hour."""
    days = [day + timedelta(days=n) for n in range(3)]
    folds = (0, 1)
    walls = [datetime.combine(d, t.replace(fold=f), ZoneInfo(zone)) for d in days for t in WALL_EDGES for f in folds]
    return sorted({instant(wall) for wall in walls})


def local_day(time_ms: int, zone: str) -> date:
    """Give the local day of an instant."""
    return datetime.fromtimestamp(time_ms / 1000, ZoneInfo(zone)).date()


def next_midnight(time_ms: int, zone: str) -> int:
    """Give the end of an instant's local day."""
    return instant(datetime.combine(local_day(time_ms, zone) + timedelta(days=1), time(), ZoneInfo(zone)))


def hold_and_break_ms(interval_s: int | None) -> tuple[int, int]:
    """Give `hold` and `break` of an interval."""
    interval_ms = HOUR_MS if interval_s is None else interval_s * 1000
    return max(2 * HOUR_MS, 2 * interval_ms), max(8 * HOUR_MS, 6 * interval_ms)


@st.composite
def temperatures(draw: st.DrawFn, mood: str) -> float | None:
    """Draw a temperature of a mood, now and then an odd one."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.sampled_from(ODD_VALUES))
    return draw(st.sampled_from(MOODS[mood]))


@st.composite
def jumps(draw: st.DrawFn, now_ms: int, edges: Sequence[int], interval_s: int | None) -> int:
    """Draw the time of a reading after a pause: an edge of the day, `hold`, `break`, or some hours; or just beside."""
    kind = draw(st.sampled_from(["edge", "hold", "hold", "break", "other"]))
    later = [edge for edge in edges if edge > now_ms + 1]
    if kind == "edge" and later:
        return later[0] + draw(st.sampled_from(NUDGES_MS))
    if kind in {"hold", "break"}:
        length_ms = hold_and_break_ms(interval_s)[kind == "break"]
        return now_ms + length_ms + draw(st.sampled_from(NUDGES_MS))
    return now_ms + draw(st.sampled_from(JUMPS_MS))


@st.composite
def recoveries(draw: st.DrawFn, point_id: str, start_ms: int) -> list[Row]:
    """Draw a warm run that spans 30 minutes or 3 h, exactly or just not; fast, slow, or both at one reading."""
    temps_c, span_ms = draw(st.sampled_from(WARM_RUNS))
    rows = [Row(point_id, start_ms + n * 30 * MINUTE_MS, temp_c) for n, temp_c in enumerate(temps_c)]
    return [*rows, Row(point_id, start_ms + span_ms + draw(st.sampled_from(NUDGES_MS)), temps_c[-1])]


@st.composite
def series(draw: st.DrawFn, point_id: str, edges: Sequence[int], interval_s: int | None, most: int) -> list[Row]:
    """Draw one point's rows in order of time: stretches of one mood and one step, with pauses between them."""
    time_ms = draw(st.sampled_from(edges[: len(edges) // 2])) + draw(st.sampled_from((*NUDGES_MS, -HOUR_MS)))
    rows = list[Row]()
    for _ in range(draw(st.integers(2, 6))):
        mood = draw(st.sampled_from(["cold", "at target", *MOODS])) if rows else "cold"
        step_ms = draw(st.sampled_from(STEPS_MS))
        for _ in range(draw(st.sampled_from([1, 2, 2, 3, 4, 7, 8]))):
            rows.append(Row(point_id, time_ms, draw(temperatures(mood))))
            time_ms += step_ms
        if draw(st.integers(0, 3)) == 0:
            rows += draw(recoveries(point_id, time_ms))
            time_ms = rows[-1].time_ms + step_ms
        if draw(st.booleans()):
            time_ms = draw(jumps(rows[-1].time_ms, edges, interval_s))
    return rows[:most]


@st.composite
def twins(draw: st.DrawFn, point_id: str, rows: Sequence[Row]) -> list[Row]:
    """Draw a point that is heard whenever another one is, so that both fall silent at once."""
    shift_ms = draw(st.sampled_from((*NUDGES_MS, 10 * MINUTE_MS)))
    colder_k = draw(st.sampled_from([0.0, 0.5, -1.0]))
    twin = [Row(point_id, row.time_ms + shift_ms, row.temp_c) for row in rows]
    return [row if row.temp_c is None else replace(row, temp_c=row.temp_c - colder_k) for row in twin]


def times_of(rows: Sequence[Row], edges: Sequence[int]) -> list[int]:
    """Give the times of some rows in order; of none, the edges."""
    return sorted(row.time_ms for row in rows) or list(edges)


@st.composite
def moments(draw: st.DrawFn, rows: Sequence[Row], edges: Sequence[int]) -> int:
    """Draw a moment for the register or the rules: a reading's, a pause's, after the last, an edge; or just beside."""
    times_ms = times_of(rows, edges)
    kind = draw(st.sampled_from(["reading", "reading", "pause", "after", "edge"]))
    if kind == "edge":
        chosen = draw(st.sampled_from(edges))
    elif kind == "pause":
        chosen = max(((b - a, a + (b - a) // 2) for a, b in pairwise(times_ms)), default=(0, times_ms[0]))[1]
    elif kind == "after":
        chosen = times_ms[-1] + draw(st.sampled_from([10 * MINUTE_MS, HOUR_MS, *hold_and_break_ms(None), 9 * HOUR_MS]))
    else:
        chosen = draw(st.sampled_from(times_ms))
    return chosen + draw(st.sampled_from((*NUDGES_MS, 20 * MINUTE_MS)))


@st.composite
def dated(draw: st.DrawFn, point: Point, rows: Sequence[Row], edges: Sequence[int]) -> list[Point]:
    """Draw how a point stands in the register: always, for a time, moved, with a gap, or suspended."""
    kind = draw(st.sampled_from(["always", "always", "since", "until", "moved", "gap", "suspended", "suspended"]))
    first, second = sorted((draw(moments(rows, edges)), draw(moments(rows, edges))))
    late_ms = times_of(rows, edges)[-1] + draw(st.sampled_from(hold_and_break_ms(point.interval_s)))
    if kind == "since":
        return [replace(point, valid_from_ms=first - draw(st.sampled_from([0, 8 * HOUR_MS, 24 * HOUR_MS])))]
    if kind == "until":
        return [
            replace(
                point,
                valid_from_ms=first if first < second else None,
                valid_to_ms=draw(st.sampled_from([second, max(second, late_ms)])),
            )
        ]
    if kind == "suspended":
        since, until = draw(st.sampled_from([(first, None), (None, first), (first, second), (first, second)]))
        return [replace(point, suspended_from_ms=since, suspended_to_ms=until)]
    if kind in {"moved", "gap"}:
        begin, end = (first, second) if kind == "moved" else (second, draw(moments(rows, edges)))
        end_ms = end if end > begin and draw(st.booleans()) else None
        later = replace(draw(places(point.point_id)), valid_from_ms=begin, valid_to_ms=end_ms)
        return [replace(point, valid_to_ms=first), later]
    return [point]


@st.composite
def places(draw: st.DrawFn, point_id: str) -> Point:
    """Draw a point's place, class, contract, interval and calibration."""
    building_id = draw(st.sampled_from(["b1", "b1", "b1", "b2", "b3"]))
    room_class = draw(st.sampled_from(CLASSES))
    contracts = list(CONTRACTS) if room_class == "non_residential" else [None, None, *CONTRACTS]
    return Point(
        point_id=point_id,
        building_id=building_id,
        station_id="s2" if building_id == "b3" else "s1",
        room_class=room_class,
        contract=draw(st.sampled_from(contracts)),
        interval_s=draw(st.sampled_from(INTERVALS_S)),
        offset_k=draw(st.sampled_from(OFFSETS_K)),
    )


@st.composite
def seasons(draw: st.DrawFn, days: Sequence[date]) -> list[dict[str, str]]:
    """Draw no season, one that begins or ends on a day of the case, or two that touch."""
    last = draw(st.sampled_from([days[-1], *days]))
    whole = {"first_day": "2015-10-15", "last_day": "2016-12-31"}
    ending = whole | {"last_day": last.isoformat()}
    coming = whole | {"first_day": (last + timedelta(days=1)).isoformat()}
    return draw(st.sampled_from([[], [], [whole], [ending], [ending], [ending], [ending, coming], [coming]]))


@st.composite
def rules(draw: st.DrawFn, zone: str, rows: Sequence[Row], edges: Sequence[int]) -> dict[str, Any]:
    """Draw one or two versions of the rules; the second asks for other numbers from some moment on."""
    days = [local_day(time_ms, zone) for time_ms in times_of(rows, edges)]
    first: dict[str, Any] = copy.deepcopy(DEFAULT_RULES["versions"][0])
    first |= {"contracts": CONTRACTS, "seasons": draw(seasons(days))}
    if draw(st.integers(0, 3)):
        return {"versions": [first]}
    first["valid_from_ms"] = draw(st.sampled_from([None, edges[0], edges[len(edges) // 2]]))
    second = copy.deepcopy(first)
    second["valid_from_ms"] = max(draw(moments(rows, edges)), (first["valid_from_ms"] or 0) + 1)
    second["seasons"] = draw(seasons(days))
    second["classes"]["apartment"] = {
        "target_c": draw(st.sampled_from([17.0, 18.0, 20.0])),
        "hours": [{"start_minute": 300, "end_minute": 300, "minimum_c": 17.0, "rule": "R1"}],
    }
    return {"versions": [first, second]}


@st.composite
def echoes(draw: st.DrawFn, rows: Sequence[Row]) -> list[Row]:
    """Draw rows at instants that have one already: the same again, other values, or none."""
    echoed = list[Row]()
    for row in draw(st.lists(st.sampled_from(rows), max_size=3)) if rows else []:
        others: tuple[float | None, ...] = draw(st.sampled_from(((row.temp_c,), *ECHOED_VALUES)))
        echoed += [replace(row, temp_c=other) for other in others]
    return echoed


@st.composite
def ends(draw: st.DrawFn, zone: str, rows: Sequence[Row], edges: Sequence[int], points: Sequence[Point]) -> int | None:
    """Draw `as_of`: none; `hold`, `break` or some hours after a reading; or where the register or a day changes."""
    kind = draw(st.sampled_from(["none", "none", "after", "after", "change", "midnight"]))
    if kind == "none":
        return None
    nudge_ms = draw(st.sampled_from(NUDGES_MS))
    times_ms = times_of(rows, edges)
    if kind == "change":
        changes = [m for p in points for m in (p.valid_to_ms, p.suspended_from_ms) if m is not None]
        later = [moment for moment in (*changes, *changes, *edges) if moment > times_ms[-1]]
        return draw(st.sampled_from(later[:6] or times_ms)) + nudge_ms
    if kind == "midnight":
        return next_midnight(times_ms[-1], zone) + nudge_ms
    base_ms = draw(st.sampled_from([times_ms[-1], times_ms[-1], *times_ms]))
    after_ms = draw(st.sampled_from((0, 12 * HOUR_MS, 40 * HOUR_MS, *hold_and_break_ms(points[0].interval_s))))
    return base_ms + after_ms + nudge_ms


@st.composite
def afterwords(draw: st.DrawFn, rows: Sequence[Row]) -> list[Row]:
    """Draw rows without a valid value, some hours after the last: later than the latest valid reading."""
    if not rows or draw(st.integers(0, 3)):
        return []
    after_ms = max(row.time_ms for row in rows) + draw(st.sampled_from(JUMPS_MS))
    heard = sorted({row.point_id for row in rows})
    still, value = draw(st.sampled_from(["", *heard])), draw(st.sampled_from([None, 85.0]))
    return [Row(point_id, after_ms, value) for point_id in heard if point_id != still]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a whole case: up to four points, their rows in any order, and some of a point that is not listed."""
    zone, day = draw(st.sampled_from(ZONES)), draw(st.sampled_from(DAYS))
    edges = day_edges(day, zone)
    count = draw(st.integers(1, 4))
    rows, points = list[Row](), list[Point]()
    for point in [draw(places(f"p{n}")) for n in range(count)]:
        kind = draw(st.sampled_from(["own", "twin", "twin", "never"])) if points else "own"
        own = list[Row]()
        if kind == "own":
            own = draw(series(point.point_id, edges, point.interval_s, (MOST_ROWS - 10) // count))
        elif kind == "twin":
            own = draw(twins(point.point_id, [row for row in rows if row.point_id == "p0"]))
        points += draw(dated(point, own, edges))
        rows += own
    rows += draw(echoes(rows)) + draw(afterwords(rows))
    if draw(st.integers(0, 3)) == 0:
        rows += [replace(row, point_id="stranger") for row in rows[:2]]
    law = draw(rules(zone, rows, edges))
    as_of_ms = draw(ends(zone, rows, edges, points))
    rows = draw(st.permutations([row for row in rows if as_of_ms is None or row.time_ms <= as_of_ms]))
    register = None if draw(st.integers(0, 9)) == 0 else draw(st.permutations(points))
    return Case(rows, register, law, zone, as_of_ms, draw(st.sampled_from([NUMBERS, CLOSE])))
