"""The judge against pandas, polars and DuckDB, which answer the same question; what all of it costs; how that grows."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics.carry import carry_points
from analytics.judge import judge
from analytics.layout.rows import by_point
from analytics.layout.timeline import Timeline, lay_out
from analytics.live import LiveJudge
from analytics.points import machine
from analytics.season import settle
from benchmarks import peers
from benchmarks.measuring import Figure, rates
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import RoomClass, Standard
from heatwatch.files.rules_file import default_standard, time_zone

Int64 = NDArray[np.int64]

SCALE = float(os.environ.get("HEATWATCH_BENCH_SCALE", "1"))
"""Share of the full sizes; for a quick look, never for a figure that is published."""
POINTS = max(int(100_000 * SCALE), 400)
STEP_MS = 5 * MINUTE_MS
SAMPLES = (POINTS // 100, POINTS // 10)
"""Points of the peers' runs: the second shows that their cost grows with the rows."""
GROWTH = (max(int(3_500 * SCALE), 100), max(int(350_000 * SCALE), 1_000))
"""Points of a day of some 1 and 100 million readings."""
ZONE = time_zone("Asia/Shanghai")
START_MS = 1_768_147_200_000
"""A midnight in Shanghai."""
BATCHES = 96
PEERS = (
    "pandas, whole columns",
    "polars, whole columns",
    "DuckDB, window functions",
    "pandas, rooms that are never cold left out first",
    "polars, rooms that are never cold left out first",
)


class Rows(NamedTuple):
    """Rows as columns: point number int32, time [ms] int64, temperature [degC] float64."""

    point: NDArray[np.int32]
    time_ms: Int64
    temp_c: NDArray[np.float64]

    def as_they_arrive(self) -> Rows:
        """Return them in order of time."""
        return self.at(np.argsort(self.time_ms, kind="stable"))

    def of_first(self, points: int) -> Rows:
        """Return those of the first points; rows are by point."""
        return self.at(slice(int(np.searchsorted(self.point, points))))

    def at(self, rows: slice | NDArray[Any]) -> Rows:
        """Return some of them."""
        return Rows(self.point[rows], self.time_ms[rows], self.temp_c[rows])

    @property
    def size(self) -> int:
        """How many bytes they take."""
        return sum(column.nbytes for column in self)

    def readings(self, names: Sequence[str]) -> pd.DataFrame:
        """Return what `judge` takes; its columns are these arrays, not copies."""
        stamps = pd.Series(self.time_ms.view("datetime64[ms]"), copy=False).dt.tz_localize("UTC")
        point = pd.Categorical.from_codes(self.point, pd.Index(names))
        return pd.DataFrame({"time": stamps, "point_id": point, "temperature_c": self.temp_c}, copy=False)

    def frame(self) -> pd.DataFrame:
        """Return what the peers take."""
        return pd.DataFrame(self._asdict(), copy=False)


def day_of(points: int, days: int = 1, step_ms: int = STEP_MS) -> Rows:
    """Return a winter's day, by point and time.

    Of a hundred rooms two are cold all day, ten open a window for half an hour, one falls silent for nine hours; of two
    hundred warm ones one thermometer is stuck.
    """
    rng = np.random.default_rng(1)
    each = days * DAY_MS // step_ms
    at = np.arange(each)
    temp_c = np.empty((points, each))
    for start in range(0, points, 10_000):
        some = temp_c[start : start + 10_000]
        rooms = len(some)
        room_c = rng.normal(20.5, 1.0, rooms) - np.where(rng.random(rooms) < 0.02, 5.0, 0.0)  # noqa: PLR2004
        some[:] = room_c[:, None] + 0.4 * np.sin(2 * np.pi * at * step_ms / DAY_MS) + rng.normal(0, 0.05, some.shape)
        aired = np.nonzero(rng.random(rooms) < 0.1)[0]  # noqa: PLR2004
        opened = rng.integers(0, each - 8, len(aired))
        for k in range(1800_000 // step_ms):
            some[aired, opened + k] -= 3.0
        stuck = np.nonzero((rng.random(rooms) < 0.005) & (room_c > 20))[0]  # noqa: PLR2004
        some[stuck, each // 2 :] = np.round(room_c[stuck], 2)[:, None]
    rows = Rows(
        np.repeat(np.arange(points, dtype=np.int32), each),
        np.tile(START_MS + step_ms * at, points) + np.repeat(np.arange(points) * 1000 % step_ms, each),
        np.round(temp_c.ravel(), 2),
    )
    kept = np.ones((points, each), bool)
    kept[50::100, each // 3 : each // 3 + 9 * HOUR_MS // step_ms] = False
    return rows.at(kept.ravel())


def names_of(points: int) -> list[str]:
    """Return the points' names, in order."""
    return [f"p{number:07}" for number in range(points)]


def register_of(points: int, step_ms: int = STEP_MS) -> Register:
    """Return a register of apartments: fifty in a building, a hundred buildings in a station."""
    return Register.of(
        PointRow(
            point_id=name,
            building_id=f"b{number // 50:05}",
            station_id=f"s{number // 5000:03}",
            room_class=RoomClass.APARTMENT,
            interval_s=step_ms // 1000,
        )
        for number, name in enumerate(names_of(points))
    )


def standard_of_peers() -> Standard:
    """Return the rules with stuck runs as plain as the peers find them, and no spikes."""
    standard = default_standard()
    plain = replace(
        standard.judging, stuck_h=peers.STUCK_MS / HOUR_MS, stuck_h_per_k=0.0, stuck_readings=1, spike_k=1e9
    )
    return replace(standard, judging=plain)


def figures() -> Iterator[Figure]:
    """Measure."""
    rows, register = day_of(POINTS), register_of(POINTS)
    yield from _against_peers(rows, register)
    yield from _everything(rows, register)
    yield from _growing()


# --- cold spells, gaps and stuck runs


class _Pass:
    """The compiled pass over all points; what does not depend on the readings is made beforehand."""

    def __init__(self, register: Register, rows: Rows) -> None:
        span = (int(rows.time_ms.min()), int(rows.time_ms.max()))
        self.timeline: Timeline = lay_out(register, standard_of_peers(), ZONE, span)
        self._rows = rows

    def run(self) -> int:
        """Order the rows where they are not, and judge them; return how many they are."""
        points = len(self.timeline.points)
        ordered = by_point(*self._rows, points)
        state, counts = machine.fresh_state(self.timeline), machine.fresh_counts(self.timeline)
        carry_points(self.timeline, state, counts, np.arange(points), ordered)
        return len(ordered.time_ms)


def _against_peers(rows: Rows, register: Register) -> Iterator[Figure]:
    agree(rows.of_first(SAMPLES[0]))
    for order, way, given in (("sorted", rows, False), ("in order of arrival", rows.as_they_arrive(), True)):
        ours = _Pass(register, way)
        ours.run()
        ways: dict[str, Callable[[], int]] = {"ours": ours.run}
        for points in SAMPLES:
            few = rows.of_first(points)
            ways |= _ways(few.as_they_arrive() if given else few, f" {points}", sort=given)
        found = rates(ways)
        name = f"readings judged for cold spells, gaps and stuck runs, {POINTS:,} points, a day at 5 minutes, {order}"
        for peer in PEERS:
            small, large = (found[f"{peer} {points}"] for points in SAMPLES)
            note = f"the same definitions, one core, on {SAMPLES[1]:,} points"
            growth = f"{small / 1e6:.3g} million/s on {SAMPLES[0]:,}"
            yield Figure(name, "readings/s", found["ours"], large, f"{peer}, {note}; {growth}")


def _ways(rows: Rows, suffix: str, *, sort: bool) -> dict[str, Callable[[], int]]:
    frame, as_of_ms, n = rows.frame(), int(rows.time_ms.max()), len(rows.point)
    table, database = peers.polars_of(frame), peers.duckdb_of(frame)
    by = ["point", "time_ms"]

    def with_pandas(*, cold_first: bool) -> int:
        given = frame.sort_values(by, ignore_index=True) if sort else frame
        peers.with_pandas(given, as_of_ms, cold_first=cold_first)
        return n

    def with_polars(*, cold_first: bool) -> int:
        peers.with_polars(table.sort(by) if sort else table, as_of_ms, cold_first=cold_first)
        return n

    def with_duckdb() -> int:
        peers.with_duckdb(database, as_of_ms)
        return n

    ways: tuple[Callable[[], int], ...] = (
        partial(with_pandas, cold_first=False),
        partial(with_polars, cold_first=False),
        with_duckdb,
        partial(with_pandas, cold_first=True),
        partial(with_polars, cold_first=True),
    )
    return {f"{peer}{suffix}": way for peer, way in zip(PEERS, ways, strict=True)}


def agree(rows: Rows) -> None:
    """Raise `AssertionError` if the judge and its peers do not find the same, row by row."""
    points = int(rows.point[-1]) + 1
    as_of_ms = int(rows.time_ms.max())
    found = judge(rows.readings(names_of(points)), register_of(points), standard_of_peers(), ZONE, as_of_ms)
    ours = peers.answer_of(found, {name: number for number, name in enumerate(names_of(points))})
    frame = rows.frame()
    for name, answer in (
        ("pandas", peers.with_pandas(frame, as_of_ms)),
        ("pandas, whole columns", peers.with_pandas(frame, as_of_ms, cold_first=False)),
        ("polars, whole columns", peers.with_polars(peers.polars_of(frame), as_of_ms, cold_first=False)),
        ("polars", peers.with_polars(peers.polars_of(frame), as_of_ms)),
        ("DuckDB", peers.with_duckdb(peers.duckdb_of(frame), as_of_ms)),
    ):
        peers.check_same(ours, answer, name)


# --- everything


def _everything(rows: Rows, register: Register) -> Iterator[Figure]:
    arrived = rows.as_they_arrive()
    names, standard, n = names_of(POINTS), default_standard(), len(rows.point)
    readings = arrived.readings(names)

    def everything() -> int:
        judge(readings, register, standard, ZONE)
        return n

    def reading() -> int:
        return n if np.isfinite(arrived.temp_c.sum() + arrived.time_ms.max() + arrived.point.max()) else 0

    def sorting() -> int:
        return len(np.argsort(arrived.point.astype(np.int64) << 40 | (arrived.time_ms - START_MS)))

    everything()
    found = rates({"ours": everything, "reading": reading, "sorting": sorting})
    name = f"readings judged for everything, register and findings included, {POINTS:,} points, in order of arrival"
    yield Figure(name, "readings/s", found["ours"], found["reading"], "a floor: numpy reads the same bytes once")
    yield Figure(name, "readings/s", found["ours"], found["sorting"], "a floor: numpy sorts the rows by point and time")
    live = _live(rows, register)
    yield Figure(
        f"the same, live: the day in {BATCHES} batches, settled after each, findings at the end",
        "readings/s",
        live,
        found["ours"],
        "ours, offline",
    )
    for order, given in (("sorted", rows.readings(names)), ("in order of arrival", readings)):
        tracemalloc.start()
        judge(given, register, standard, ZONE)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        yield Figure(
            f"memory that judging everything takes on top of its input of {rows.size / 1e6:.0f} MB, {order}",
            "of the input's bytes",
            peak / rows.size,
            0.5,
            "half of it",
            less_is_better=True,
        )


class _Memory:
    """The history of points, in memory."""

    def __init__(self, rows: Rows, points: int) -> None:
        self._rows = by_point(*rows, points)

    def rows(self, points: Sequence[str]) -> tuple[NDArray[np.int32], Int64, NDArray[np.float64]]:
        """Return all rows of `points`: index into `points`, time [ms], temperature as sent [degC]."""
        own = self._rows.of(np.array([int(name[1:]) for name in points], dtype=np.int64))
        return np.repeat(np.arange(len(points), dtype=np.int32), np.diff(own.first)), own.time_ms, own.temp_c

    def signs(self, points: Sequence[str]) -> None:
        """Nothing is said of batteries and clocks."""


def _live(rows: Rows, register: Register) -> float:
    """Return readings a second of a judge that is fed a day in batches."""
    arrived = rows.as_they_arrive()
    live = LiveJudge(register, default_standard(), ZONE, _Memory(rows, POINTS))
    cuts = np.searchsorted(arrived.time_ms, START_MS + DAY_MS * np.arange(BATCHES + 1) // BATCHES)
    began_s = time.perf_counter()
    for begin, end in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        live.feed(*arrived.at(slice(begin, end)))
        settle(live)
    live.found(int(arrived.time_ms[-1]))
    return len(rows.point) / (time.perf_counter() - began_s)


def _growing() -> Iterator[Figure]:
    found = dict[int, float]()
    for points in GROWTH:
        rows, register = day_of(points), register_of(points)
        readings = rows.readings(names_of(points))

        def everything(readings: pd.DataFrame = readings, register: Register = register) -> int:
            judge(readings, register, default_standard(), ZONE)
            return len(readings)

        found[len(readings)] = rates({"ours": everything})["ours"]
    (few, small), (many, large) = found.items()
    name = f"readings judged for everything, {many / 1e6:.0f} million at once, sorted"
    yield Figure(name, "readings/s", large, small, f"ours, {few / 1e6:.2g} million")
