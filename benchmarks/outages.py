"""Heat outages from rooms alone: how many are found, how soon, and whether the confidence says what is true.

`python -m benchmarks outages` prints figures; `python -m benchmarks.outages` the table for the documentation, and how
often what was found with a confidence was true; `python -m benchmarks.outages fit` works the numbers of
`analytics.buildings.confidence` out anew: a logistic regression on towns of other seeds than those that are scored.

References
----------
.. [1] D. R. Cox, "The regression analysis of binary sequences", J. R. Statist. Soc. B 20 (1958) 215-242.
.. [2] A. H. Murphy, R. L. Winkler, "Reliability of subjective probability forecasts of precipitation and temperature",
   Applied Statistics 26 (1977) 41-47: reliability, by bins of what was said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from zoneinfo import ZoneInfo

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics.buildings import confidence, heat, rhythm
from analytics.carry import carry_buildings
from analytics.layout.rows import PointRows, by_point
from analytics.layout.timeline import Timeline, lay_out
from analytics.points.machine import Records
from benchmarks.measuring import Figure
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS
from heatwatch.domain.register import Register
from heatwatch.files.rules_file import parse_standard, rules_text, time_zone
from simulators.physics.weather import ColdSnap, WeatherSettings
from simulators.thermometers.devices import ThermometerSettings
from simulators.thermometers.faults import Fault
from simulators.thermometers.value_faults import Drift, Moved, Resolution, Spikes, Stuck
from simulators.towns.events import BoilerTrip, Event, NightSetback, PlannedStop, PumpFailure, Subject, WeakStation
from simulators.towns.settings import TownSettings
from simulators.towns.town import Town

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

SEEDS = 20
_START_MS = 1_768_147_200_000
"""A midnight in Shanghai."""
_HOUSES, _STATIONS = 20, 4
_APART_MS = 40 * HOUR_MS
_STEP_MS = HOUR_MS
_ANYWHERE = Subject("town")


@dataclass(frozen=True, slots=True)
class Kind:
    """A population of towns: each of 20 houses at 4 stations, in all of which outages happen.

    Attributes
    ----------
    name
        What it is called in the table.
    rooms
        Rooms of a house, the least and the most.
    mean_c
        Mean outdoor temperature of a town, the lowest and the highest [degC].
    step_k
        Resolution of thermometers [K].
    hours
        Length of outages, the least and the most [h].
    missing, faulty
        Shares of readings that are missing, and of thermometers that are stuck, drift, spike or lie on the sill.
    days
        How long [d].
    snap
        A cold snap of 12 K meets a station with 60 % of its capacity.
    setback_h
        One station (all where there are no outages) lowers its supply every night for so long, undeclared; 0: none.
    outages
        Share of houses that have an outage of their own.
    """

    name: str
    rooms: tuple[int, int] = (5, 9)
    mean_c: tuple[float, float] = (-14.0, 2.0)
    step_k: float = 0.1
    hours: tuple[float, float] = (8.0, 24.0)
    missing: float = 0.1
    faulty: float = 0.05
    days: int = 10
    snap: bool = False
    setback_h: float = 0.0
    outages: float = 0.6


DESIGN = Kind("5 to 9 points, up to 2 °C outdoors, 0.1 K")
KINDS = (
    DESIGN,
    Kind("the same, outages of 3 to 8 h", hours=(3.0, 8.0)),
    Kind("the same, 2 to 5 °C outdoors", mean_c=(2.0, 5.0)),
    Kind("the same, 10 °C outdoors", mean_c=(10.0, 10.0)),
    Kind("the same, 0.5 K", step_k=0.5),
    Kind("the same, 1 K", step_k=1.0),
    Kind("the same, 2 points", rooms=(2, 2)),
    Kind("the same, 3 and 4 points", rooms=(3, 4)),
    Kind("the same, cold snap and weak station", snap=True),
    Kind("night setback of 10 h for a month, no outage", setback_h=10.0, outages=0.0, days=30),
)
_FIT = (
    *((DESIGN, seed) for seed in range(1001, 1013)),
    *((KINDS[1], seed) for seed in range(1101, 1103)),
    *((KINDS[2], seed) for seed in range(1201, 1209)),
    *((KINDS[3], seed) for seed in range(1301, 1303)),
    *((KINDS[4], seed) for seed in range(1401, 1404)),
    *((KINDS[5], seed) for seed in range(1501, 1504)),
    *((KINDS[6], seed) for seed in range(1601, 1603)),
    *((KINDS[7], seed) for seed in range(1701, 1704)),
    *((KINDS[8], seed) for seed in range(1801, 1804)),
    (Kind("setback", setback_h=8.0, outages=0.3), 1901),
)


@dataclass(frozen=True, slots=True)
class Made:
    """A town: who is measured, what was read by point, and the true outages of its houses."""

    timeline: Timeline
    rows: PointRows
    as_of_ms: int
    house: Int64
    start_ms: Int64
    end_ms: Int64


def make(kind: Kind, seed: int) -> Made:
    """Simulate one town of a population."""
    rng = np.random.default_rng([seed, 9])
    each = int(rng.integers(kind.rooms[0], kind.rooms[1] + 1))
    mean_c = float(rng.uniform(*kind.mean_c))
    until_ms = _START_MS + kind.days * DAY_MS
    plain = TownSettings(
        seed=seed, rooms=_HOUSES * each, rooms_per_building=each, stations=_STATIONS, start_ms=_START_MS,
        interval_s=600, cold_rooms=2, outage_h=0.0, silent_h=0.0,
    )  # fmt: skip
    points = Town(plain).points()
    home = {row.building_id: row.station_id for row in points}
    events, snaps = _events(kind, home, until_ms, rng)
    town = Town(
        TownSettings(
            seed=seed, rooms=_HOUSES * each, rooms_per_building=each, stations=_STATIONS, start_ms=_START_MS,
            interval_s=600, cold_rooms=2, outage_h=0.0, silent_h=0.0,
            weather=WeatherSettings(mean_c=mean_c, snaps=snaps),
            thermometers=ThermometerSettings(coarse_share=0.0, unreadable_share=0.0),
            events=events, faults=_faults(kind, until_ms, rng),
        )
    )  # fmt: skip
    readings = town.readings(_START_MS, until_ms)
    readings = readings[rng.random(len(readings)) >= kind.missing]
    rules, text = rules_text(None)
    zone: ZoneInfo = time_zone("Asia/Shanghai")
    timeline = lay_out(Register.of(town.points()), parse_standard(text, where=rules), zone, (_START_MS, until_ms))
    number = {name: code for code, name in enumerate(timeline.points)}
    code = np.asarray(readings["point_id"].map(number), dtype=np.int32)
    rows = by_point(code, readings["time_ms"].to_numpy(np.int64), readings["temperature_c"].to_numpy(), len(number))
    truth = town.truth(until_ms).heat_outages
    truth = truth[truth["subject_kind"] == "building"]
    houses = {name: code for code, name in enumerate(timeline.buildings)}
    return Made(
        timeline,
        rows,
        until_ms,
        np.asarray(truth["subject_id"].map(houses), dtype=np.int64),
        _ms(truth["start"]),
        np.where(truth["end"].isna(), until_ms, _ms(truth["end"].fillna(truth["start"]))),
    )


def _ms(column: pd.Series[pd.Timestamp]) -> Int64:
    return column.dt.tz_localize(None).to_numpy(dtype="datetime64[ms]").view(np.int64)


def _events(
    kind: Kind, home: dict[str, str], until_ms: int, rng: np.random.Generator
) -> tuple[tuple[Event, ...], tuple[ColdSnap, ...]]:
    stations = list(dict.fromkeys(home.values()))
    events: list[Event] = []

    def span() -> tuple[int, int]:
        start_ms = int(rng.integers(_START_MS + DAY_MS, until_ms - DAY_MS)) // (10 * MINUTE_MS) * 10 * MINUTE_MS
        hours = float(np.exp(rng.uniform(*np.log(kind.hours))))
        return start_ms, start_ms + round(hours * 6) * 10 * MINUTE_MS

    if kind.outages:
        lost = stations[int(rng.integers(len(stations)))]
        whole = span()
        events.append((BoilerTrip, PumpFailure)[int(rng.integers(2))](Subject("station", lost), *whole))
        for house, station in home.items():
            own = span()
            clear = station != lost or own[0] > whole[1] + _APART_MS or own[1] < whole[0] - _APART_MS
            if rng.random() < kind.outages and clear:
                events.append(PlannedStop(Subject("building", house), *own, notice=False))
    if kind.setback_h:
        for station in stations[: 1 if kind.outages else len(stations)]:
            from_h = float(rng.integers(19, 24))
            by_k = float(rng.choice([10.0, 15.0, 25.0, 40.0]))
            night = (from_h, (from_h + kind.setback_h) % 24, by_k)
            events.append(NightSetback(Subject("station", station), _START_MS - DAY_MS, until_ms, *night))
    if not kind.snap:
        return tuple(events), ()
    events.append(WeakStation(Subject("station", stations[0]), _START_MS - 10 * DAY_MS, until_ms))
    return tuple(events), (ColdSnap(_START_MS + 3 * DAY_MS, _START_MS + 6 * DAY_MS, 12.0),)


def _faults(kind: Kind, until_ms: int, rng: np.random.Generator) -> tuple[Fault, ...]:
    def when() -> tuple[int, int]:
        return _START_MS + int(rng.integers(3 * DAY_MS)), until_ms

    share = kind.faulty / 4
    faults: list[Fault] = []
    if share:
        per_day = float(rng.choice([-0.5, 0.5, 1.0]))
        faults += [
            Stuck(_ANYWHERE, *when(), share=share),
            Drift(_ANYWHERE, *when(), share=share, k_per_day=per_day),
            Spikes(_ANYWHERE, *when(), share=share),
            Moved(_ANYWHERE, *when(), share=share),
        ]
    if kind.step_k != 0.1:  # noqa: PLR2004 - what thermometers have anyway
        faults.append(Resolution(_ANYWHERE, _START_MS - DAY_MS, until_ms, step_k=kind.step_k))
    return tuple(faults)


@dataclass(slots=True)
class Watched:
    """What was seen of a town, hour by hour: tables of `heat.OUTAGE`, and when each was taken [ms]."""

    at_ms: list[int] = field(default_factory=list)
    tables: list[Records] = field(default_factory=list)


def watch(made: Made) -> Watched:
    """Judge a town hour by hour."""
    timeline, rows = made.timeline, made.rows
    judging = timeline.judging
    fine = (rows.temp_c >= judging.range_low_c) & (rows.temp_c <= judging.range_high_c)
    judged = np.where(fine, rows.temp_c, np.nan)
    rooms, state = heat.fresh_rooms(timeline, heat.heat_numbers(timeline))
    every = np.arange(len(state))
    seen, ended = Watched(), np.zeros(0, heat.OUTAGE)
    for at_ms in range(_START_MS + _STEP_MS, made.as_of_ms + 1, _STEP_MS):
        more = carry_buildings(timeline, rooms, state, every, rows.first, rows.time_ms, judged, at_ms)
        ended = np.concatenate((ended, more))
        seen.at_ms.append(at_ms)
        seen.tables.append(np.concatenate((ended, heat.still_open(state))))
    return seen


@dataclass(slots=True)
class Score:
    """How towns of one population were judged, from rooms alone.

    `start_error_h` and `delay_h` are of true outages that were found: how far off the start is, and how long after
    the true one it was first listed; `short_lived` counts false ones that were listed at some time, and taken back.
    """

    towns: int = 0
    true: int = 0
    found: int = 0
    right: int = 0
    listed_in_time: int = 0
    short_lived: int = 0
    readings: int = 0
    start_error_h: list[float] = field(default_factory=list)
    end_error_h: list[float] = field(default_factory=list)
    delay_h: list[float] = field(default_factory=list)
    sure: list[float] = field(default_factory=list)
    """The confidence of each one that was listed, at each full hour while it was open and at its end…"""
    was_true: list[bool] = field(default_factory=list)
    """…whether it was true…"""
    weight: list[float] = field(default_factory=list)
    """…and one, divided by the number of these hours: each outage counts once."""


def score(kind: Kind, seeds: Iterable[int]) -> Score:
    """Judge towns of a population, hour by hour, and compare with the truth."""
    total = Score()
    for seed in seeds:
        made = make(kind, seed)
        _add(total, made, watch(made), made.timeline.judging.outage_least)
    return total


def _add(total: Score, made: Made, seen: Watched, least: float) -> None:
    first_ms: dict[tuple[int, int], int] = {}
    who: list[tuple[int, int]] = []
    final = np.zeros(0, confidence.CANDIDATE)
    for at_ms, table in zip(seen.at_ms, seen.tables, strict=True):
        final = confidence.candidates(made.timeline, table, at_ms)
        final = final[~final["usual"] & (final["confidence"] >= least)]
        fresh = final[final["open"] | (final["end"] > at_ms - _STEP_MS)]
        true = _is_true(made, fresh, at_ms)
        total.sure += fresh["confidence"].tolist()
        total.was_true += true.tolist()
        who += [(int(row["building"]), int(row["start"])) for row in fresh]
        for row in final:
            first_ms.setdefault((int(row["building"]), int(row["start"])), at_ms)
    hours = Counter(who)
    total.weight += [1.0 / hours[one] for one in who]
    total.towns += 1
    total.readings += len(made.rows.time_ms)
    total.true += len(made.house)
    total.found += len(final)
    end_ms = np.where(final["open"], made.as_of_ms, final["end"])
    taken: set[int] = set()
    for house, start_ms, stop_ms in zip(made.house, made.start_ms, made.end_ms, strict=True):
        shared = np.minimum(end_ms, stop_ms) - np.maximum(final["start"], start_ms)
        shared = np.where(final["building"] == house, shared, 0)
        best = int(np.argmax(shared)) if len(shared) else -1
        if best < 0 or shared[best] <= 0 or best in taken:
            continue
        taken.add(best)
        total.right += 1
        total.start_error_h.append((final["start"][best] - start_ms) / HOUR_MS)
        total.end_error_h.append((end_ms[best] - stop_ms) / HOUR_MS)
        total.delay_h.append((first_ms[int(house), int(final["start"][best])] - start_ms) / HOUR_MS)
    listed = {(int(row["building"]), int(row["start"])) for row in final}
    total.short_lived += len(set(first_ms) - listed)


def _is_true(made: Made, found: Records, at_ms: int) -> Bool:
    end_ms = np.where(found["open"], at_ms, found["end"])
    true = np.zeros(len(found), dtype=np.bool_)
    for house, start_ms, stop_ms in zip(made.house, made.start_ms, made.end_ms, strict=True):
        true |= (found["building"] == house) & (found["start"] < stop_ms) & (end_ms > start_ms)
    return true


def reliability(total: Score) -> Iterator[tuple[float, float, float, float]]:
    """Say for bins of the confidence: the lowest, its mean, how many outages, and which share of them was true."""
    sure, was_true, weight = np.array(total.sure), np.array(total.was_true), np.array(total.weight)
    for low, high in pairwise(_BINS):
        here = (sure >= low) & (sure < high)
        if here.any():
            count = float(weight[here].sum())
            yield low, float(weight[here] @ sure[here]) / count, count, float(weight[here] @ was_true[here]) / count


def fit(towns: Iterable[tuple[Kind, int]] = _FIT, ridge: float = 0.5) -> Float64:
    """Work the coefficients of `confidence.FEATURES` out, from towns seen hour by hour.

    Each candidate counts once, whatever the number of hours at which it was seen; what is the house's rhythm is left
    out. Newton's method on the logistic likelihood, with a ridge on all but the constant.
    """
    rows: list[Float64] = []
    truth: list[Bool] = []
    weight: list[Float64] = []
    for kind, seed in towns:
        made = make(kind, seed)
        seen = watch(made)
        who: list[Int64] = []
        for at_ms, table in zip(seen.at_ms, seen.tables, strict=True):
            recent = table["open"] | (table["end"] > at_ms - _STEP_MS)
            recent &= (table["opened"] > at_ms - DAY_MS // 2) & ~rhythm.usual(made.timeline, table, at_ms)
            rows.append(confidence.features(table[recent], at_ms))
            truth.append(_is_true(made, table[recent], at_ms))
            who.append(table["building"][recent] * 10**9 + (table["start"][recent] - _START_MS) // MINUTE_MS)
        _, which, count = np.unique(np.concatenate(who), return_inverse=True, return_counts=True)
        weight.append(1.0 / count[which])
    x, y, w = np.concatenate(rows), np.concatenate(truth).astype(np.float64), np.concatenate(weight)
    punished = np.full(x.shape[1], ridge)
    punished[0] = ridge / 50
    found = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-np.clip(x @ found, -30, 30)))
        curvature = (x * (w * p * (1.0 - p))[:, None]).T @ x + np.diag(punished)
        found = found + np.linalg.solve(curvature, x.T @ (w * (y - p)) - punished * found)
    return found


def figures() -> Iterator[Figure]:
    """Measure the population of the design, beside a rule that one writes down in a minute."""
    ours, plain = Score(), Score()
    for seed in range(1, 1 + SEEDS):
        made = make(DESIGN, seed)
        _add(ours, made, watch(made), made.timeline.judging.outage_least)
        plain.true += len(made.house)
        found = _plain(made)
        plain.found += len(found)
        plain.right += int(_is_true(made, found, made.as_of_ms).sum())
    peer = "the plain rule: the mean of a house's rooms is 1 K below that of 3 h ago"
    start_h, delay_h = np.median(np.abs(ours.start_error_h)), np.median(ours.delay_h)
    note = f"start off by {start_h:.2f} h, found after {delay_h:.2f} h (medians); {ours.true} outages"
    name = f"heat outages from rooms alone, {DESIGN.name}, {SEEDS} towns"
    yield Figure(f"{name}: recall", "", ours.right / ours.true, min(1.0, plain.right / plain.true), peer, note=note)
    yield Figure(f"{name}: precision", "", ours.right / max(ours.found, 1), plain.right / max(plain.found, 1), peer)


def _plain(made: Made) -> Records:
    """Return runs of hours in which the mean of a house's rooms is 1 K below that of 3 h before."""
    house = made.timeline.rows.building[np.repeat(np.arange(len(made.rows.first) - 1), np.diff(made.rows.first))]
    hour = (made.rows.time_ms - _START_MS) // HOUR_MS
    mean_c = pd.Series(made.rows.temp_c).groupby([hour, house]).mean().unstack()  # noqa: PD010 - of two levels
    falling = (mean_c.diff(3) <= -1.0).to_numpy()
    begins = falling & ~np.vstack((np.zeros_like(falling[:1]), falling[:-1]))
    at, who = np.nonzero(begins)
    found = np.zeros(len(at), confidence.CANDIDATE)
    found["building"] = mean_c.columns.to_numpy()[who]
    found["start"] = _START_MS + (mean_c.index.to_numpy()[at] - 3) * HOUR_MS
    lasts = [
        int(np.argmin(np.append(falling[first:, column], values=[False])))
        for first, column in zip(at, who, strict=True)
    ]
    found["end"] = found["start"] + (3 + np.array(lasts, dtype=np.int64)) * HOUR_MS
    return found


_BINS = (0.0, 0.6, 0.8, 0.95, 1.0 + 1e-9)
_HEAD = (
    "| Population | towns | outages | recall | precision | taken back | start error, median (90 %) | end error, median "
    "(90 %) | delay, median (90 %) |"
)


def row_of(kind: Kind, total: Score) -> str:
    """Return a row of the table for the documentation."""

    def hours(values: list[float]) -> str:
        if not values:
            return "–"
        off = np.abs(values)
        return f"{np.median(off):.2f} h ({np.percentile(off, 90):.2f} h)"

    recall = f"{total.right / total.true:.3f}" if total.true else "–"
    precision = f"{total.right / total.found:.3f}" if total.found else "–"
    parts = (
        kind.name, total.towns, total.true, recall, precision, total.short_lived,
        hours(total.start_error_h), hours(total.end_error_h), hours(total.delay_h),
    )  # fmt: skip
    return "| " + " | ".join(str(part) for part in parts) + " |"


@click.command()
@click.argument("what", type=click.Choice(["table", "fit"]), default="table")
@click.option("--seeds", default=SEEDS, help="Towns of each population.")
def main(what: str, seeds: int) -> None:
    """Print the table of all populations, or fit the confidence."""
    if what == "fit":
        click.echo(", ".join(f"{number:.3f}" for number in fit()))
        return
    click.echo(f"{_HEAD}\n|{' --- |' * 9}")
    said = Score()
    for kind in KINDS:
        total = score(kind, range(1, 1 + seeds))
        said.sure += total.sure if kind.outages else []
        said.was_true += total.was_true if kind.outages else []
        said.weight += total.weight if kind.outages else []
        click.echo(row_of(kind, total))
    click.echo("\n| Confidence from | its mean | outages | of these true |\n| --- | --- | --- | --- |")
    for low, mean, count, share in reliability(said):
        click.echo(f"| {low:.2f} | {mean:.3f} | {count:.0f} | {share:.3f} |")


if __name__ == "__main__":
    main()
