"""The reading store on an InfluxDB.

InfluxDB replaces a point of the same source and time, so who writes has to know what is there. For each source the
store remembers how far its rows reach. A row past that, and alone in its batch, is new without a look; any other is
looked up, with its birth certificate, in one question for many rows. Another value of a source and time goes beside the
first, into a measurement of its own.

Writing and looking are one turn: threads take it one after another, and processes where `turn` says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from heatwatch.domain.instants import DAY_MS, HOUR_MS
from heatwatch.stores.influx.asking import Asked, Asking, Points
from heatwatch.stores.influx.lines import FAR_MS, LATE_MS, Lines, source_of, tag_of
from heatwatch.stores.influx.rows import VALUE, Rows
from heatwatch.stores.influx.schema import CONFLICT, READING
from heatwatch.stores.influx.server import Refused, TooLarge
from heatwatch.stores.ordering import by_source_and_time
from heatwatch.stores.readings import (
    Bools,
    Int8,
    Int32,
    Int64,
    Outcome,
    ReadingBatch,
    ReadingColumns,
    WholeRows,
    Written,
)
from heatwatch.stores.settling import settle

Turn = Callable[[], AbstractContextManager[bool]]

CHUNK_ROWS = 20_000
"""So many rows are sent at once: some 3 MB. More is no faster, and a server answers what takes long with a timeout."""
NEAR_MS = HOUR_MS
MOST_SLICES = 64
_WHOLE = ("arrived_ms", "temperature_c", "humidity_pct", "battery", "rssi_dbm", "born", "flags", "not_finite")
_SPEAKING = ("arrived_ms", "temperature_c", "battery", "flags", "not_finite")
_MEASUREMENTS = (READING, CONFLICT)


class InfluxReadings:
    """Readings in an InfluxDB.

    Parameters
    ----------
    influx
        The database or bucket; closed with the store.
    turn
        Gives a block in which nobody else writes readings, and tells whether somebody else may have since this store
        last had it. None: this process is the only one that writes.
    chunk_rows
        How many rows are sent at once.
    """

    def __init__(self, influx: Asking, *, turn: Turn | None = None, chunk_rows: int = CHUNK_ROWS) -> None:
        self._influx, self._chunk_rows = influx, chunk_rows
        self._turn = turn or _alone()
        self._reach_ms: dict[str, int] = {}
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="lines")

    def write(self, batch: ReadingBatch) -> Written:
        """Keep a batch and return an `Outcome` a row.

        Where this raises, a part of the batch may be kept; written again, its rows are known by their birth.

        Raises
        ------
        Unavailable
            If the server does not answer, or takes nothing for now.
        """
        if not len(batch):
            return Written(np.empty(0, np.int8))
        made = Lines(batch)
        with self._turn() as others:
            if others:
                self._reach_ms.clear()
            try:
                return self._write(made)
            except BaseException:
                for name in made.source:
                    self._reach_ms.pop(name, None)
                raise

    def read(
        self,
        sources: Sequence[str] | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        *,
        late_most_ms: int | None = None,
        vitals: bool = False,
    ) -> ReadingColumns:
        """Return the rows of `sources` (None: all) measured in `[start_ms, end_ms)` (None: unbounded).

        Rows that arrived more than `late_most_ms` after they were measured (None: none) are left out. Rows of one
        source and time, which are conflicts, come in the order of their values, NaN last. With `vitals` the rows bear
        battery, flag and arrival as well.

        Raises
        ------
        Unavailable
            If no whole answer comes.
        """
        asked = _asked(sources, -FAR_MS if start_ms is None else start_ms, FAR_MS + 1 if end_ms is None else end_ms)
        if vitals or (late_most_ms is not None and late_most_ms < LATE_MS):
            rows = self._rows(_both(asked, *_SPEAKING))
            late = None if late_most_ms is None else rows.later_than(late_most_ms)
        else:
            rows = self._values(asked)
            late = None if late_most_ms is None else rows.among(self._late(asked, late_most_ms))
        return (rows if late is None else rows.only(~late)).in_order(vitals=vitals)

    def latest(
        self, sources: Sequence[str], start_ms: int, end_ms: int, range_c: tuple[float, float]
    ) -> ReadingColumns:
        """Return the newest valid row of each of `sources` measured in `[start_ms, end_ms)`, where there is one.

        Valid is a number within `range_c` [degC], both ends included, that is the only number of its source and time.
        The server looks for it; the rows themselves are read only of sources that have a conflict in the span.
        """
        asked = _asked(sources, start_ms, end_ms)
        beside = self._rows([replace(asked, measurement=CONFLICT, fields=("born",))])
        contested = {beside.tag[code] for code in np.unique(beside.code).tolist()}
        calm = replace(asked, fields=("temperature_c",), tags=[tag for tag in asked.tags or () if tag not in contested])
        newest = self._newest(calm)
        valid = (newest.temp_c >= range_c[0]) & (newest.temp_c <= range_c[1])
        rows = [newest.only(valid)]
        if not valid.all():
            odd = [newest.tag[code] for code in newest.code[~valid].tolist()]
            rows.append(self._newest(replace(calm, tags=odd), range_c))
        if contested:
            rows.append(self._newest_alone(replace(asked, tags=sorted(contested)), range_c))
        return Rows.together(rows).in_order()

    def whole(self, start_ms: int, end_ms: int, *, by_arrival: bool = False) -> WholeRows:
        """Return the rows measured in `[start_ms, end_ms)` with all that was received, in order of time.

        Rows of one time come in the order in which they were received. With `by_arrival` it is the moments of arrival
        that lie in the span, and rows come in the order of these.
        """
        asked = _asked(None, start_ms, end_ms)
        if not by_arrival or start_ms >= end_ms:
            return self._rows(_both(asked, *_WHOLE)).whole(by_arrival=by_arrival)
        near = replace(asked, start_ms=start_ms - LATE_MS, end_ms=end_ms + LATE_MS)
        rows = [self._rows(_both(near, *_WHOLE))]
        for question in self._far(near, start_ms, end_ms):
            found = self._rows([question])
            rows.append(found.only((found.time_ms < near.start_ms) | (found.time_ms >= near.end_ms)))
        arrived = [
            each.only((each.more["arrived_ms"] >= start_ms) & (each.more["arrived_ms"] < end_ms)) for each in rows
        ]
        return Rows.together(arrived).whole(by_arrival=True)

    def days(self) -> tuple[Int64, Int64]:
        """Return the days that hold rows, by their beginning in UTC [ms], and how many rows each holds; in order."""
        return self.days_within(None, None)

    def days_within(self, start_ms: int | None, end_ms: int | None) -> tuple[Int64, Int64]:
        """Return what `days` does, of days that touch `[start_ms, end_ms)` [ms] (None: unbounded)."""
        first_ms = -FAR_MS if start_ms is None else start_ms // DAY_MS * DAY_MS
        last_ms = FAR_MS + 1 if end_ms is None else -(-end_ms // DAY_MS) * DAY_MS
        asked = [Asked(measurement, ("arrived_ms",), first_ms, last_ms) for measurement in _MEASUREMENTS]
        found = [self._influx.daily(one) for one in asked if not one.vain]
        if not found:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        day, place = np.unique(np.concatenate([day_ms // DAY_MS for day_ms, _ in found]), return_inverse=True)
        held = np.zeros(len(day), np.int64)
        np.add.at(held, place, np.concatenate([rows for _, rows in found]))
        return day * DAY_MS, held

    def count(self) -> int:
        """Return how many rows are kept; every block of the server's is looked at."""
        return int(self.days()[1].sum())

    def empty(self) -> bool:
        """Whether no row is kept."""
        return not self._influx.any(Asked(READING, ("arrived_ms",)))

    def ping(self) -> None:
        """Raise `Unavailable` if the server does not answer."""
        self._influx.ping()

    def close(self) -> None:
        """Release the connections; what was written stays."""
        self._ahead.shutdown()
        self._influx.close()

    # Writing

    def _write(self, made: Lines) -> Written:
        batch = made.batch
        time_ms = np.asarray(batch.time_ms, np.int64)
        outcome: Int8 = np.full(len(batch), Outcome.STORED, np.int8)
        refused = dict(made.unheld)
        held = np.ones(len(batch), bool)
        held[list(refused)] = False
        row = np.nonzero(held)[0]
        if len(row):
            reach_ms = self._reaches(made, time_ms, row)
            known = held & (time_ms <= reach_ms[made.code])
            doubtful = np.nonzero(known | _repeated(made.code, time_ms, held))[0]
            fresh = held.copy()
            conflicts = np.empty(0, np.int64), np.empty(0, np.int64)
            if len(doubtful):
                there = self._held(made, np.nonzero(known)[0], doubtful)
                some = _of(batch, doubtful)
                outcome[doubtful], born = settle(some, there)
                fresh[doubtful] = (outcome[doubtful] == Outcome.STORED) & ~born
                beside = doubtful[(outcome[doubtful] == Outcome.CONFLICT) & ~born]
                conflicts = _numbered(made, beside, doubtful, there)
            self._send(made, np.nonzero(fresh)[0], None, refused)
            self._send(made, *conflicts, refused)
            self._reached(made, time_ms, row, reach_ms)
        outcome[list(refused)] = Outcome.REFUSED
        return Written(outcome, refused)

    def _reaches(self, made: Lines, time_ms: Int64, row: Int64) -> Int64:
        """Return the newest time that is kept of each source [ms]; no row is there past it.

        Of sources that were not met yet it is asked, but only since a day before the newest row: older ones are
        looked up whatever is there.
        """
        unknown = [name for name in made.source if name and name not in self._reach_ms]
        if unknown:
            last_ms = int(time_ms[row].max())
            since_ms = max(int(time_ms[row].min()), last_ms - DAY_MS)
            tags = [tag_of(name) for name in unknown]
            found = self._newest(Asked(READING, ("arrived_ms",), start_ms=since_ms, tags=tags))
            newest = {
                source_of(found.tag[code]): ms for code, ms in zip(found.code, found.time_ms.tolist(), strict=True)
            }
            self._reach_ms.update((name, newest.get(name, since_ms - 1)) for name in unknown)
        return np.array([self._reach_ms.get(name, FAR_MS) for name in made.source], np.int64)

    def _reached(self, made: Lines, time_ms: Int64, row: Int64, reach_ms: Int64) -> None:
        np.maximum.at(reach_ms, made.code[row], time_ms[row])
        self._reach_ms.update((name, ms) for name, ms in zip(made.source, reach_ms.tolist(), strict=True) if name)

    def _held(self, made: Lines, row: Int64, doubtful: Int64) -> dict[str, Any]:
        """Return what the store holds at the sources and times of some rows, as `settle` wants it, with `nth`."""
        time_ms = np.asarray(made.batch.time_ms, np.int64)
        code_of = {tag_of(name): code for code, name in enumerate(made.source) if name}
        parts = []
        for low_ms, high_ms in _slices(time_ms[row]):
            mine = row[(time_ms[row] >= low_ms) & (time_ms[row] < high_ms)]
            asked = _asked([made.source[code] for code in np.unique(made.code[mine]).tolist()], low_ms, high_ms)
            found = self._rows(_both(asked, "born", *VALUE))
            code = np.array([code_of.get(tag, -1) for tag in found.tag], np.int64)[found.code]
            there = pd.DataFrame({"code": code, "time_ms": found.time_ms, "n": np.arange(len(found))})
            keys = pd.DataFrame({"code": made.code[mine].astype(np.int64), "time_ms": time_ms[mine], "row": mine})
            pair = keys.merge(there, on=["code", "time_ms"])
            parts.append((pair["row"].to_numpy(), found.only(pair["n"].to_numpy())))
        kept = Rows.together([found for _, found in parts])
        mine = np.concatenate([own for own, _ in parts]) if parts else np.empty(0, np.int64)
        born = pc.equal(kept.more["born"], made.born(mine)).to_numpy(zero_copy_only=False) if len(mine) else mine == 0
        known = {"row": np.searchsorted(doubtful, mine), "temp_c": kept.temp_c, "born": born}
        return {**known, "conflict": kept.nth > 1, "nth": kept.nth}

    def _send(self, made: Lines, row: Int64, nth: Int64 | None, refused: dict[int, str]) -> None:
        """Write rows chunk by chunk; while the server takes one, the next becomes text."""
        spans = [slice(at, at + self._chunk_rows) for at in range(0, len(row), self._chunk_rows)]

        def text(span: slice) -> bytes:
            return made.of(row[span], None if nth is None else nth[span])

        coming = None
        for number, span in enumerate(spans):
            body = coming.result() if coming else text(span)
            coming = self._ahead.submit(text, spans[number + 1]) if number + 1 < len(spans) else None
            try:
                self._influx.write(body)
            except Refused as refusal:
                self._sift(made, row[span], None if nth is None else nth[span], refused, refusal)

    def _sift(self, made: Lines, row: Int64, nth: Int64 | None, refused: dict[int, str], refusal: Refused) -> None:
        """Find the rows of a refused request that the server does not take; the others are kept when this returns."""
        missing = np.ones(len(row), bool) if isinstance(refusal, TooLarge) else ~self._kept(made, row, nth)
        row, nth = row[missing], None if nth is None else nth[missing]
        if len(row) == 1 or (len(row) and len(row) == refusal.dropped):
            refused |= dict.fromkeys(row.tolist(), refusal.why)
            return
        halves = [slice(0, len(row) // 2), slice(len(row) // 2, len(row))] if len(row) else []
        for half in halves:
            some, numbers = row[half], None if nth is None else nth[half]
            try:
                self._influx.write(made.of(some, numbers))
            except Refused as again:
                self._sift(made, some, numbers, refused, again)

    def _kept(self, made: Lines, row: Int64, nth: Int64 | None) -> Bools:
        """Return which of some rows are there under their own birth certificates."""
        there = self._held(made, row, row)
        beside = there["conflict"] == (nth is not None)
        kept = np.zeros(len(row), bool)
        kept[there["row"][there["born"] & beside]] = True
        return kept

    # Reading

    def _rows(self, questions: Sequence[Asked]) -> Rows:
        """Put the answers to questions together; of sources where not each was named, leave out the others."""
        rows = Rows.of([self._influx.points(part) for asked in questions for part in asked.parts()])
        tags = questions[0].tags
        return rows if tags is None else rows.of_tags(tags)

    def _values(self, asked: Asked) -> Rows:
        """Read rows and conflicts with their values only; what is no number is asked for apart, which is quicker."""
        reading, conflict = _both(asked, *VALUE)
        return self._rows([conflict, *(replace(reading, fields=(name,)) for name in VALUE)])

    def _late(self, asked: Asked, late_most_ms: int) -> Rows:
        """Return the rows that came later, but for their values; only few have a field that says so."""
        found = [self._influx.points(each) for each in _both(asked, "late_ms")]
        return Rows.of([_some(points, points.fields["late_ms"] > late_most_ms) for points in found])

    def _newest(self, asked: Asked, between: tuple[float, float] | None = None) -> Rows:
        """Return the newest point of each source that has the field; the server finds it soonest without bounds."""
        rows = Rows.of([self._influx.newest(part, between) for part in asked.parts()])
        return rows.of_tags(asked.tags or ())

    def _newest_alone(self, asked: Asked, range_c: tuple[float, float]) -> Rows:
        rows = self._values(asked)
        rows = rows.only(np.isfinite(rows.temp_c))
        found = pd.DataFrame({"code": rows.code, "time_ms": rows.time_ms, "temp_c": rows.temp_c})
        valid = ~found.duplicated(["code", "time_ms"], keep=False) & found["temp_c"].between(*range_c)
        return rows.only(found[valid].sort_values("time_ms").drop_duplicates("code", keep="last").index.to_numpy())

    def _far(self, near: Asked, start_ms: int, end_ms: int) -> list[Asked]:
        """Return where rows are that arrived in `[start_ms, end_ms)` and were not measured near it."""
        questions = []
        for asked in _both(_asked(None, -FAR_MS, FAR_MS + 1), "late_ms"):
            late = self._influx.points(asked)
            arrived_ms = late.time_ms + late.fields["late_ms"]
            far = (late.time_ms < near.start_ms) | (late.time_ms >= near.end_ms)
            row = np.nonzero((arrived_ms >= start_ms) & (arrived_ms < end_ms) & far)[0]
            tags = [late.tag[code] for code in np.unique(late.code[row]).tolist()]
            spans = _slices(late.time_ms[row])
            questions += [replace(asked, fields=_WHOLE, start_ms=low, end_ms=high, tags=tags) for low, high in spans]
        return questions


def _alone() -> Turn:
    """Return the turn of a process that is the only one that writes."""
    lock = threading.Lock()

    @contextmanager
    def turn() -> Iterator[bool]:
        with lock:
            yield False

    return turn


def _asked(sources: Sequence[str] | None, start_ms: int, end_ms: int) -> Asked:
    tags = None if sources is None else [tag_of(name) for name in sorted(set(sources)) if name]
    return Asked(READING, VALUE, start_ms, end_ms, tags)


def _both(asked: Asked, *names: str) -> list[Asked]:
    """Return the question for readings and for conflicts, with other fields."""
    return [replace(asked, measurement=measurement, fields=names or asked.fields) for measurement in _MEASUREMENTS]


def _some(points: Points, chosen: Bools) -> Points:
    """Return some points without their fields."""
    return Points(points.tag, points.code[chosen], points.time_ms[chosen], points.nth[chosen], {})


def _of(batch: ReadingBatch, row: Int64) -> ReadingBatch:
    """Return some rows of a batch."""
    told = {each.name: getattr(batch, each.name) for each in fields(batch)}
    told |= {name: [values[n] for n in row.tolist()] for name, values in told.items() if name in {"source", "flags"}}
    told |= {
        name: np.asarray(values)[row] for name, values in told.items() if name not in {"source", "flags", "worker"}
    }
    return ReadingBatch(**told)


def _repeated(code: Int32, time_ms: Int64, held: Bools) -> Bools:
    """Mark the rows whose source and time are those of another row."""
    row = np.nonzero(held)[0]
    order, _, _, again = by_source_and_time(code[row], time_ms[row])
    repeated = np.zeros(len(held), bool)
    if again.any():
        tied = np.concatenate(([False], again, [False]))
        repeated[row[order[tied[1:] | tied[:-1]]]] = True
    return repeated


def _slices(time_ms: Int64) -> list[tuple[int, int]]:
    """Return half-open spans that hold all of these times and leave out the longest gaps between them [ms]."""
    if not len(time_ms):
        return []
    times = np.unique(time_ms)
    gap_ms = np.diff(times)
    cut = np.nonzero(gap_ms > NEAR_MS)[0]
    if len(cut) >= MOST_SLICES:
        cut = np.sort(cut[np.argsort(gap_ms[cut])[1 - MOST_SLICES :]])
    return [(int(part[0]), int(part[-1]) + 1) for part in np.split(times, cut + 1)]


def _numbered(made: Lines, beside: Int64, doubtful: Int64, there: dict[str, Any]) -> tuple[Int64, Int64]:
    """Return new conflicts in the order of their birth, and the number of each at its source and time."""
    top = np.ones(len(doubtful), np.int64)
    np.maximum.at(top, there["row"], there["nth"])
    batch = made.batch
    beside = beside[np.lexsort((np.asarray(batch.position)[beside], np.asarray(batch.sequence)[beside]))]
    key = {"code": made.code[beside], "time_ms": np.asarray(batch.time_ms)[beside]}
    before = pd.DataFrame(key).groupby(["code", "time_ms"]).cumcount().to_numpy()
    return beside, top[np.searchsorted(doubtful, beside)] + 1 + before
