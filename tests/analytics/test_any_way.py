"""Any order, any cut, any repetition, any restart: the findings at a moment are those of one offline run.

Towns in which everything happens at once: cold rooms, houses without heat, silences, thermometers that stick, jump,
drift, are moved, say their maker's numbers for errors, have low batteries and clocks that are off or stand; supply
sensors and reported stops; rooms that change house, calibration, or are out of service for a while. What is measured
arrives in any pieces; at moments between them the live judge is asked, saved in part and replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from analytics.buildings.confidence import confidence
from analytics.buildings.heat import OUTAGE
from analytics.evidence.supply import Sensor, SupplyFound
from analytics.evidence.supply_sources import OtherEvidence, series_of
from analytics.evidence.weather import Weather
from analytics.found import frames_of
from analytics.judge import Findings, judge, signs_in, summary_of
from analytics.live import LiveJudge
from analytics.points.vitals import Signs
from heatwatch.domain.findings import FindingKind
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS, from_ms
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.stops import Stop
from heatwatch.domain.temperature import RoomClass, Standard
from heatwatch.files.findings_file import csv_text
from tests.analytics.against import standard_of
from tests.analytics.oracle import DEFAULT_RULES

START = 1_768_176_000_000
ZONE = ZoneInfo("Asia/Shanghai")
_DEFAULTS = standard_of(DEFAULT_RULES)
STANDARD = replace(
    _DEFAULTS,
    judging=replace(
        _DEFAULTS.judging,
        range_gap_h=6.0,
        spike_k=2.5,
        spike_agree_k=0.7,
        spike_gap_h=5.0,
        stuck_h=5.0,
        stuck_h_per_k=40.0,
        stuck_readings=4,
        drift_neighbours=2,
        drift_day_hours=10,
        drift_rise_k=1.0,
        drift_rise_rough=0.2,
        drift_fall_k=1.0,
        drift_fall_rough=0.2,
        moved_below_k=1.5,
        moved_above_k=0.5,
        moved_warm_k=1.5,
        moved_leap_k=1.0,
        clock_readings=3,
        clock_least_h=2.0,
        clock_conflicts=2,
        clock_quiet_h=5.0,
        battery_quiet_h=12.0,
        outage_least=0.02,
    ),
)
"""Numbers so close together that a small town shows every kind of fault within days."""

ROWS = np.dtype(
    [
        ("point", np.int32),
        ("time", np.int64),
        ("temp_c", np.float64),
        ("battery", np.float64),
        ("flag", np.bool_),
        ("arrived", np.int64),
    ]
)
Rows = NDArray[np.void]
Floats = NDArray[np.float64]
UNKNOWN_MS = np.iinfo(np.int64).min
NAMES = tuple(f"p{k}" for k in range(7))


# --- what happens


@dataclass(frozen=True)
class Event:
    """Something that happens to a room (or its house) over a share of the time."""

    kind: str
    room: int
    begin: float
    lasts: float
    size: float


@dataclass(frozen=True)
class Town:
    """Who is measured, what was measured by whom, what the supply was, and what was reported."""

    register: Register
    events: tuple[Event, ...]
    rows: Rows
    supply: pd.DataFrame
    stops: tuple[Stop, ...]

    def _repr_pretty_(self, printer: Any, _: bool) -> None:  # noqa: FBT001 - as hypothesis calls it
        told = [f"{row.point_id} {row.building_id} {row.valid_from} {row.valid_to}" for row in self.register.rows]
        printer.text(f"Town({len(self.rows)} rows, {told}, {self.events}, {len(self.supply)}, {self.stops})")


EVENTS = (
    "cold", "cold", "unheated", "unheated", "silent", "all silent", "spikes", "stuck", "stuck", "sentinels", "no value",
    "drift", "drift", "moved", "moved", "warm", "behind", "ahead", "stands", "low battery", "flag", "conflicts",
)  # fmt: skip


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Draw one, for any share of the time."""
    kind = draw(st.sampled_from(EVENTS))
    slow = kind in {"drift", "moved", "warm", "low battery"}
    begin = draw(st.integers(0, 6 if slow else 19)) / 20
    lasts = draw(st.integers(12, 20) if slow else st.integers(1, 8)) / 20
    return Event(kind, draw(st.integers(0, len(NAMES) - 1)), begin, lasts, draw(st.sampled_from([1.0, -1.0, 2.5])))


def happen(rows: Rows, event: Event, home: Sequence[int], span_ms: int, rng: np.random.Generator) -> Rows:
    """Let something happen to the rows of a town; return what is left of them, or more."""
    since = (rows["time"] - START) / span_ms - event.begin
    on = (since >= 0) & (since < event.lasts)
    there = rows["point"] == event.room
    one, hours = np.nonzero(there & on)[0], since * span_ms / HOUR_MS
    house = on & (np.array(home)[rows["point"]] == home[event.room])
    match event.kind:
        case "unheated":
            rows["temp_c"][house] -= np.minimum(0.8 * hours[house], 6.0)
        case "silent" | "all silent":
            return np.asarray(rows[~(house if event.kind == "all silent" else there & on)])
        case "conflicts" | "stands":
            more = rows[one[:: 5 if event.kind == "conflicts" else 1]].copy()
            more["temp_c"] += 0.5
            return np.concatenate((rows, more))
        case "behind" | "ahead":
            off_ms = (3 if event.kind == "behind" else -2) * HOUR_MS
            rows["arrived"][one] = rows["time"][one] + off_ms + rng.integers(0, 5 * MINUTE_MS, len(one))
        case "low battery":
            rows["battery"][one] = (15.0 if event.size > 0 else 2.4) + rng.integers(0, 3, len(one))
        case "flag":
            rows["battery"][one], rows["flag"][one] = np.nan, True
        case _:
            rows["temp_c"][one] = told_by(event, rows["temp_c"][one], rows["time"][one], hours[one])
    return rows


def told_by(event: Event, temp_c: Floats, time_ms: NDArray[np.int64], hours: Floats) -> Floats:
    """Return what a thermometer says instead of the room's temperature, or what a cold room does."""
    temp_c = temp_c.copy()
    match event.kind:
        case "cold":
            temp_c -= 3.0 * abs(event.size)
        case "spikes":
            temp_c[:: 3 if event.size > 1 else 7] += 4.0 * event.size
        case "stuck":
            temp_c[:] = np.round(temp_c[:1] - (2.0 if event.size < 0 else 0.0), 1)
        case "sentinels":
            temp_c[::3] = 85.0 if event.size > 0 else -127.0
        case "no value":
            temp_c[::2] = np.nan
        case "drift":
            temp_c += event.size * hours / 24 / 4
        case "moved":
            temp_c += np.where(np.sin(2 * np.pi * time_ms / DAY_MS) > 0.8, 4.0, -3.0)
        case "warm":
            temp_c += 5.0
    return temp_c


@st.composite
def registers(draw: st.DrawFn, home: Sequence[int], interval_s: int, span_ms: int) -> Register:
    """Draw how rooms stand in the register: most for ever, some moved, calibrated anew, suspended, or for a time."""
    made = list[PointRow]()
    for room, house in enumerate(home):
        row = PointRow(NAMES[room], f"b{house}", f"s{house // 2}", RoomClass.APARTMENT, interval_s=interval_s)
        kind = draw(
            st.sampled_from(["ever", "ever", "ever", "ever", "moved", "calibrated", "suspended", "since", "to"])
        )
        first, second = sorted(draw(st.tuples(*[st.integers(0, 40)] * 2)))
        since, until = (from_ms(START + share * span_ms // 40 + 1) for share in (first, second + 1))
        if kind == "suspended":
            made.append(replace(row, suspended_from=since, suspended_to=until))
        elif kind == "since":
            made.append(replace(row, valid_from=since - timedelta(hours=draw(st.sampled_from([0, 12])))))
        elif kind == "to":
            made.append(replace(row, valid_to=until))
        elif kind in {"moved", "calibrated"}:
            other = f"b{(house + draw(st.integers(1, 2))) % 3}" if kind == "moved" else row.building_id
            there = replace(row, building_id=other, station_id=f"s{int(other[1]) // 2}", offset_k=draw(OFFSETS_K))
            made += [replace(row, valid_to=since), replace(there, valid_from=since)]
        else:
            made.append(row)
    return Register.of(made)


OFFSETS_K = st.sampled_from([0.0, 0.3, -0.5])
LENGTHS = ((2, 30), (3, 30), (6, 60), (19, 120), (24, 120))
"""How long a town is looked at [days], and how far its rows are apart [min]."""


@st.composite
def towns(draw: st.DrawFn) -> Town:
    """Draw a town of up to seven rooms in up to three houses of two stations."""
    days, step_min = draw(st.sampled_from(LENGTHS))
    span_ms, step_ms = days * DAY_MS, step_min * MINUTE_MS
    home = draw(st.lists(st.sampled_from([0, 0, 0, 0, 1, 2]), min_size=2, max_size=len(NAMES)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    each = span_ms // step_ms
    rows = np.zeros((len(home), each), ROWS)
    rows["point"] = np.arange(len(home))[:, None]
    rows["time"] = START + np.arange(each) * step_ms + 17_000 * np.arange(len(home))[:, None]
    grain = np.array([[0.1], [0.1], [0.5]])[rng.integers(0, 3, len(home))]
    level = 19.0 + rng.normal(0, 1, (len(home), 1)) + 0.4 * np.sin(2 * np.pi * np.arange(each) * step_ms / DAY_MS)
    rows["temp_c"] = np.round((level + rng.normal(0, 0.15, level.shape)) / grain) * grain
    rows["battery"] = 90.0 - np.arange(each) // 7
    rows["arrived"] = np.where(rng.random(rows.shape) < 0.8, rows["time"] + 1000, UNKNOWN_MS)
    flat = rows.ravel()
    happened = [event for event in draw(st.lists(events(), max_size=8)) if event.room < len(home)]
    for event in happened:
        flat = happen(flat, event, home, span_ms, rng)
    flat["temp_c"] = np.round(flat["temp_c"], 2)
    register = draw(registers(home, step_min * 60, span_ms))
    return Town(register, tuple(happened), flat, draw(supplies(span_ms)), draw(reports(span_ms)))


@st.composite
def supplies(draw: st.DrawFn, span_ms: int) -> pd.DataFrame:
    """Draw what up to two supply sensors say, half-hourly, with a stop."""
    parts = []
    for subject in draw(st.lists(st.sampled_from(["b0", "b1", "s0"]), max_size=2, unique=True)):
        time_ms = START + np.arange(0, min(span_ms, 4 * DAY_MS), 30 * MINUTE_MS)
        begin, hours = draw(st.integers(6, 60)), draw(st.integers(1, 30))
        off = (time_ms >= START + begin * HOUR_MS) & (time_ms < START + (begin + hours) * HOUR_MS)
        parts.append(
            pd.DataFrame(
                {
                    "time": time_ms,
                    "subject_id": subject,
                    "supply_c": np.where(off, 24.0, 55.0),
                    "return_c": np.where(off, 23.5, 42.0),
                    "flow_m3_h": np.nan if draw(st.booleans()) else np.where(off, 0.1, 3.0),
                }
            )
        )
    columns = ["time", "subject_id", "supply_c", "return_c", "flow_m3_h"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


@st.composite
def reports(draw: st.DrawFn, span_ms: int) -> tuple[Stop, ...]:
    """Draw up to two reported stops."""
    made = list[Stop]()
    for kind, subject in draw(st.lists(st.sampled_from([("building", "b0"), ("station", "s0")]), max_size=2)):
        start_ms = START + draw(st.integers(0, 20)) * span_ms // 20
        made.append(Stop(kind, subject, start_ms, draw(st.sampled_from([None, start_ms + 5 * HOUR_MS]))))
    return tuple(made)


# --- how it arrives


@dataclass(frozen=True)
class Piece:
    """Rows, and supply rows, that arrive together, and what is done when they have."""

    rows: Rows
    supply: pd.DataFrame
    ask_after_ms: int | None
    """So long after all that has arrived findings are asked for; None: not."""
    save: int
    """How many blocks are saved; -1: all."""
    restart: bool

    def _repr_pretty_(self, printer: Any, _: bool) -> None:  # noqa: FBT001 - as hypothesis calls it
        told = (len(self.rows), len(self.supply), self.ask_after_ms, self.save, self.restart)
        printer.text(f"Piece{told}")


AFTER_MS = (0, 0, 1, 7 * MINUTE_MS, 31 * MINUTE_MS, 46 * MINUTE_MS, 9 * HOUR_MS, 30 * HOUR_MS)


@st.composite
def arrivals(draw: st.DrawFn, town: Town) -> list[Piece]:
    """Cut what was measured into pieces: in order of time but for some that are late, or in any order; some twice."""
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    order = draw(st.sampled_from(["time", "late", "late", "late", "any"]))
    delay_ms = np.zeros(len(town.rows), np.int64)
    if order == "late":
        share, most_h = draw(st.sampled_from([(0.01, 40), (0.2, 2), (0.9, 3), (0.002, 300)]))
        late = rng.random(len(town.rows)) < share
        delay_ms[late] = rng.integers(0, most_h * HOUR_MS, int(late.sum()))
        slow = draw(st.integers(-1, len(NAMES) - 1))
        delay_ms[town.rows["point"] == slow] += 5 * HOUR_MS
        slow_house = f"b{draw(st.sampled_from([0, 1, 1, 2, 9]))}"
        slow_rooms = [NAMES.index(row.point_id) for row in town.register.rows if row.building_id == slow_house]
        delay_ms[np.isin(town.rows["point"], slow_rooms)] += draw(st.sampled_from([1, 3, 90])) * HOUR_MS
    at_ms = town.rows["time"] + delay_ms if order != "any" else rng.permutation(len(town.rows))
    place = np.argsort(at_ms, kind="stable")
    pieces = draw(st.integers(1, 7))
    cuts = [0, *sorted(draw(st.lists(st.integers(0, 1000), min_size=pieces - 1, max_size=pieces - 1))), 1000]
    supply = town.supply.sample(frac=1, random_state=1) if order == "any" else town.supply.sort_values("time")
    made = list[Piece]()
    for low, high in pairwise(cuts):
        chosen = place[len(place) * low // 1000 : len(place) * high // 1000]
        if draw(st.booleans()) and len(chosen):
            chosen = np.concatenate((chosen, place[rng.integers(0, len(place) * high // 1000, 5)]))
        part = supply.iloc[len(supply) * low // 1000 : len(supply) * high // 1000]
        ask = draw(st.sampled_from([None, *AFTER_MS]))
        made.append(Piece(town.rows[chosen], part, ask, draw(st.sampled_from([-1, 0, 1, 1, 2])), draw(st.booleans())))
    return made


class History:
    """What has arrived; what arrives twice is kept once, as every reading store does."""

    def __init__(self, points: Sequence[str]) -> None:
        self._points = points
        self.kept = np.zeros(0, ROWS)
        self._seen = set[tuple[int, int, bytes]]()

    def add(self, rows: Rows) -> None:
        """Keep rows."""
        keys = zip(rows["point"].tolist(), rows["time"].tolist(), map(_bits, rows["temp_c"]), strict=True)
        new = [k for k, key in enumerate(keys) if not (key in self._seen or self._seen.add(key))]  # type: ignore[func-returns-value]
        self.kept = np.concatenate((self.kept, rows[new]))

    def _of(self, points: Sequence[str]) -> tuple[NDArray[np.int32], Rows]:
        number = {int(name[1:]): code for code, name in enumerate(points)}
        chosen = self.kept[np.isin(self.kept["point"], list(number))]
        return np.array([number[point] for point in chosen["point"].tolist()], np.int32), chosen

    def rows(self, points: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]:
        """Return all rows of `points`."""
        index, rows = self._of(points)
        return index, rows["time"].copy(), rows["temp_c"].copy()

    def signs(
        self, points: Sequence[str]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64], Signs] | None:
        """Return the same rows with what they say of batteries and clocks."""
        index, rows = self._of(points)
        return index, rows["time"].copy(), rows["temp_c"].copy(), signs_of(rows)


def _bits(temp_c: float) -> bytes:
    return b"" if np.isnan(temp_c) else np.float64(temp_c).tobytes()


def frame_of(rows: Rows) -> pd.DataFrame:
    """Return rows as a readings file has them."""
    arrived = np.where(rows["arrived"] == UNKNOWN_MS, np.datetime64("NaT", "ms").view(np.int64), rows["arrived"])
    return pd.DataFrame(
        {
            "time": pd.DatetimeIndex(rows["time"].view("datetime64[ms]"), tz="UTC"),
            "point_id": pd.Categorical(np.array(NAMES, dtype=object)[rows["point"]]),
            "temperature_c": rows["temp_c"],
            "battery_pct": rows["battery"],
            "flags": np.where(rows["flag"], "low_battery", ""),
            "arrived": arrived.view("datetime64[ms]"),
        }
    )


def signs_of(rows: Rows) -> Signs:
    """Return what rows say of batteries and clocks, as the file's columns are read."""
    signs = signs_in(frame_of(rows))
    assert signs is not None
    return signs


def supply_frame(supply: pd.DataFrame) -> pd.DataFrame:
    stamps = pd.DatetimeIndex(supply["time"].to_numpy(np.int64).view("datetime64[ms]"), tz="UTC")
    return supply.assign(time=stamps).astype(dict.fromkeys(("supply_c", "return_c", "flow_m3_h"), float))


class Live:
    """A live judge as the analytics role uses it: with arrivals by number, saved in part, and fed again."""

    def __init__(self, town: Town, standard: Standard) -> None:
        self._town, self._standard = town, standard
        self.names = sorted({row.point_id for row in town.register.rows})
        self.history = History(self.names)
        self._seq, self._done = 0, -1
        self._saved = dict[str, bytes]()
        self._arrived = list[tuple[int, Rows]]()
        self._supply = list[pd.DataFrame]()
        self.judge = LiveJudge(town.register, standard, ZONE, self.history)
        self._sensors = dict[tuple[int, int], Sensor]()

    def arrive(self, piece: Piece) -> None:
        """Store what arrives, and feed it."""
        self._seq += 1
        self.history.add(piece.rows)
        self._arrived.append((self._seq, piece.rows))
        self._feed(piece.rows, self._seq)
        self._supply.append(piece.supply)
        for subject, series in series_of(self.judge.timeline, supply_frame(piece.supply))[0].items():
            known = self._sensors.get(subject)
            if known is None or not known.feed(series):
                every = series_of(self.judge.timeline, supply_frame(pd.concat(self._supply)))[0]
                self._sensors[subject] = Sensor(self.judge.timeline, subject, Weather.unknown())
                self._sensors[subject].feed(every[subject])

    def _feed(self, touched: Rows, seq: int) -> None:
        """Feed what is stored of the points that were touched, from their first to their last moment."""
        kept = self.history.kept
        first_ms, last_ms = np.full(len(NAMES), 2**62), np.full(len(NAMES), -(2**62))
        np.minimum.at(first_ms, touched["point"], touched["time"])
        np.maximum.at(last_ms, touched["point"], touched["time"])
        rows = kept[(kept["time"] >= first_ms[kept["point"]]) & (kept["time"] <= last_ms[kept["point"]])]
        code = np.array([self.names.index(NAMES[point]) for point in rows["point"].tolist()], np.int32)
        self.judge.feed(code, rows["time"].copy(), rows["temp_c"].copy(), seq, signs_of(rows))

    def save(self, most: int) -> None:
        """Save all blocks, or so many."""
        self._saved |= self.judge.save(self._seq, None if most < 0 else most)
        self._done = self.judge.saved_up_to(self._seq)

    def restart(self) -> None:
        """Put another judge in the place of this one; nothing that it had in memory is left."""
        self.judge = LiveJudge(self._town.register, self._standard, ZONE, self.history)
        self.judge.load(self._saved)
        missed, first_seq = [np.zeros(0, ROWS)], self._seq
        for seq, rows in self._arrived:
            if seq > self._done and len(rows):
                point = np.array([self.names.index(NAMES[one]) for one in rows["point"].tolist()], np.int64)
                missed.append(rows[self.judge.unsaved(point, np.full(len(rows), seq))])
                first_seq = min(first_seq, seq)
        self._feed(np.concatenate(missed), first_seq)

    def found(self, as_of_ms: int) -> dict[FindingKind, pd.DataFrame]:
        """Return what is found at a moment."""
        supply = SupplyFound.together(sensor.found(as_of_ms) for _, sensor in sorted(self._sensors.items()))
        return frames_of(self.judge.timeline, self.judge.found(as_of_ms, supply, self._town.stops))

    def offline(self, as_of_ms: int) -> Findings:
        """Return what one offline run finds of all that has arrived."""
        other = OtherEvidence(supply=supply_frame(pd.concat(self._supply)), stops=self._town.stops)
        return judge(frame_of(self.history.kept), self._town.register, self._standard, ZONE, as_of_ms, other)

    @property
    def heard_ms(self) -> int:
        """The latest moment at which anything was measured of what has arrived [ms]."""
        supply = [int(part["time"].max()) for part in self._supply if len(part)]
        return max([START, int(self.history.kept["time"].max(initial=START)), *supply])


def assert_same(live: Live, as_of_ms: int) -> Mapping[FindingKind, pd.DataFrame]:
    """Compare what is found live with what one offline run finds: all frames, all counts, byte by byte."""
    found = live.found(as_of_ms)
    if not len(live.history.kept):
        return found
    offline = live.offline(as_of_ms)
    for kind, frame in offline.frames.items():
        assert csv_text(kind, found[kind]) == csv_text(kind, frame)
        pd.testing.assert_frame_equal(found[kind], frame, check_exact=True)
    counts = summary_of(live.judge.timeline, live.judge.state, live.judge.point_counts, 0)
    assert counts == offline.summary
    return found


def play(town: Town, pieces: Sequence[Piece]) -> Mapping[FindingKind, pd.DataFrame]:
    """Let a town's rows arrive; compare at every moment asked for, and at the end; return what is found then."""
    live, asked_ms = Live(town, STANDARD), START
    for piece in pieces:
        live.arrive(piece)
        if piece.ask_after_ms is not None:
            asked_ms = max(asked_ms, live.heard_ms + piece.ask_after_ms)
            assert_same(live, asked_ms)
        live.save(piece.save)
        if piece.restart:
            live.restart()
    return assert_same(live, max(asked_ms, live.heard_ms))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), town=towns())
def test_any_order_cut_repetition_and_restart_finds_what_one_offline_run_finds(data: st.DataObject, town: Town) -> None:
    play(town, data.draw(arrivals(town)))


# --- what once went wrong


def town_of(home: Sequence[int], readings: Sequence[tuple[int, float, float]]) -> Town:
    """Return a town of rooms that measure half-hourly: point, time [h after START], temperature [degC]."""
    rows = np.zeros(len(readings), ROWS)
    rows["point"], rows["temp_c"] = [row[0] for row in readings], [row[2] for row in readings]
    rows["time"] = START + np.round(np.array([row[1] for row in readings]) * HOUR_MS).astype(np.int64)
    rows["battery"], rows["arrived"] = np.nan, UNKNOWN_MS
    made = [PointRow(NAMES[k], f"b{house}", "s0", RoomClass.APARTMENT, interval_s=1800) for k, house in enumerate(home)]
    columns = ["time", "subject_id", "supply_c", "return_c", "flow_m3_h"]
    return Town(Register.of(made), (), rows, pd.DataFrame(columns=columns), ())


def test_first_words_of_a_house_that_are_older_than_what_is_settled_outlive_anothers_late_row() -> None:
    """They are not late, for nothing was known of the house; a late row of another house comes with them."""
    early = [(0, k / 2, 21.0 + k % 3 / 100) for k in range(40)]
    first = [(p, 20 + k / 4, 21.0 - 0.3 * max(0, k - 12) + k % 3 / 100) for p in (1, 2) for k in range(40)]
    late = [(0, 0.25, 21.3)]
    after = [(p, 30 + k / 4, 17.5 + k / 100) for p in (1, 2) for k in range(1, 20)]
    town = town_of([0, 1, 1], [*early, *first, *late, *after, (0, 40.0, 21.0)])
    cuts = [0, len(early), len(early) + len(first) + 1, len(town.rows)]
    asked_ms = (11 * HOUR_MS, None, None)
    pieces = [
        Piece(town.rows[low:high], town.supply, after_ms, 0, restart=False)
        for (low, high), after_ms in zip(pairwise(cuts), asked_ms, strict=True)
    ]
    assert len(play(town, pieces)[FindingKind.HEAT_OUTAGE])


def test_a_row_older_than_what_rooms_have_been_compared_up_to_is_late_though_its_house_has_no_grid_yet() -> None:
    """Rooms are compared from a full hour on, outages are looked for from a quarter on: one begins before the other."""
    town = town_of([0] * 4, [(p, 10 + 5 / 6 + k / 2, 20.0 + p) for p in (0, 1, 2) for k in range(3)])
    town_late = town_of([0] * 4, [(3, 10.5, 23.0)])
    live = Live(town, STANDARD)
    live.arrive(Piece(town.rows[[0, 3, 6]], town.supply, None, 0, restart=False))
    live.judge.settle(START + 11 * HOUR_MS + 15 * MINUTE_MS)
    live.arrive(Piece(town_late.rows, town.supply, None, 0, restart=False))
    live.arrive(Piece(np.delete(town.rows, [0, 3, 6]), town.supply, None, 0, restart=False))
    once = Live(town, STANDARD)
    once.arrive(Piece(np.concatenate((town.rows, town_late.rows)), town.supply, None, 0, restart=False))
    for judged in (live.judge, once.judge):
        judged.settle(START + 14 * HOUR_MS)
    assert kept_of(live.judge) == kept_of(once.judge)


def kept_of(judged: LiveJudge) -> dict[str, bytes]:
    """Return all that is carried on, byte by byte."""
    judged.save()
    everyone = np.arange(len(judged.state), dtype=np.int32)
    judged.feed(everyone, np.full(len(everyone), START + 20 * HOUR_MS), np.full(len(everyone), 20.0))
    return judged.save()


@given(order=st.permutations(range(40)), count=st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_a_confidence_depends_to_the_last_digit_on_its_own_outage_alone(order: Sequence[int], count: int) -> None:
    rng = np.random.default_rng(3)
    outages = np.zeros(40, OUTAGE)
    for name in ("fall_k", "beyond_k", "quick_k", "below_k", "often_k", "high_c", "low_c", "share", "grain_k"):
        outages[name] = rng.random(40) + 0.1
    outages["start"], outages["rooms"], outages["days"] = START, rng.integers(2, 9, 40), rng.integers(0, 4, 40)
    outages["open"] = rng.random(40) < 0.5
    outages["end"] = START + rng.integers(0, 20 * HOUR_MS, 40)
    as_of_ms = START + DAY_MS
    alone = [confidence(outages[k : k + 1], as_of_ms)[0] for k in order[:count]]
    assert confidence(outages[list(order[:count])], as_of_ms).tolist() == alone


def test_a_drift_of_a_house_long_silent_ends_with_its_row_of_the_register_whenever_one_asks() -> None:
    """Days of which nothing is known are passed over; the register goes on meanwhile."""
    noise = np.random.default_rng(1).normal(0, 0.02, 2100)
    hours = range(0, 21 * 24, 2)
    readings = [(p, h, 20.0 + p + (0.01 * h if p == 0 else 0.0) + noise[4 * h + p]) for h in hours for p in range(4)]
    town = town_of([0] * 4, readings)
    midnight_ms = (START // DAY_MS + 95) * DAY_MS
    change = from_ms(midnight_ms - 6 * HOUR_MS)
    rows = [replace(row, interval_s=7200) for row in town.register.rows]
    ended = [replace(rows[0], valid_to=change), replace(rows[0], valid_from=change, offset_k=-1.0)]
    town = replace(town, register=Register.of([*ended, *rows[1:]]))
    live, nothing = Live(town, STANDARD), town.rows[:0]
    live.arrive(Piece(town.rows, town.supply, None, 0, restart=False))
    for hours_before in (24, 3, -0.6, -2):
        live.arrive(Piece(nothing, town.supply, None, 0, restart=False))
        faults = assert_same(live, midnight_ms - round(hours_before * HOUR_MS))[FindingKind.SENSOR_FAULT]
        own = (faults["kind"] == "drift") & (faults["point_id"] == "p0")
        assert faults["open"][own].tolist() == [hours_before == 24]


def test_what_comes_after_one_has_asked_is_in_the_answer_when_one_asks_again_for_that_moment() -> None:
    """A house cools; the last half hour, which is not settled yet, comes between two questions."""
    readings = [(p, k / 12, 21.0 - max(0.0, k / 12 - 24.0)) for k in range(24 * 12, 28 * 12) for p in (0, 1)]
    before = [(p, k / 12, 21.0 + k % 2 / 10) for k in range(22 * 12, 24 * 12) for p in (0, 1)]
    town = town_of([0, 0], [*before, *readings])
    live, fed_ms, opened = Live(town, STANDARD), START, set[bool]()
    for minute in range(24 * 60, 28 * 60, 30):
        for back_min in (25, 0):
            until_ms = START + (minute - back_min) * MINUTE_MS
            new = (town.rows["time"] > fed_ms) & (town.rows["time"] <= until_ms)
            live.arrive(Piece(town.rows[new], town.supply, None, 0, restart=False))
            fed_ms = until_ms
            found = assert_same(live, START + minute * MINUTE_MS)
            opened.add(bool(len(found[FindingKind.HEAT_OUTAGE])))
    assert opened == {False, True}


def test_houses_saved_at_different_moments_are_brought_to_the_same_one_before_their_rows_are_forgotten() -> None:
    """One house cools and falls silent; another, saved hours later, has gone on."""
    cooling = [(p, 20 + k / 12, 21.0 - 2 * max(0.0, k / 12 - 3.0) + k % 2 / 10) for k in range(54) for p in (0, 1)]
    going_on = [(p, 20 + k / 4, 20.0 + k % 2 / 10) for k in range(40) for p in (2, 3)]
    again = [(p, 31 + k / 4, 16.0 + k % 2 / 10) for k in range(8) for p in (0, 1)]
    town = town_of([0, 0, 1, 1], [*cooling, *going_on, *again])
    split_ms = START + 24 * HOUR_MS + 30 * MINUTE_MS
    late, first = town.rows["point"] > 1, town.rows["time"] < split_ms
    live = Live(town, STANDARD)
    live.arrive(Piece(town.rows[first], town.supply, None, 0, restart=False))
    assert len(assert_same(live, split_ms)[FindingKind.HEAT_OUTAGE])
    live.save(-1)
    live.arrive(Piece(town.rows[late & ~first], town.supply, None, 0, restart=False))
    assert_same(live, START + 30 * HOUR_MS)
    live.save(-1)
    live.restart()
    assert_same(live, START + 30 * HOUR_MS)
    live.arrive(Piece(town.rows[~late & ~first], town.supply, None, 0, restart=False))
    assert_same(live, START + 33 * HOUR_MS)
