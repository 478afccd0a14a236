"""Where samples of the supply come from: the rows of a file, or the reading store as they arrive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics.evidence.supply import BUILDING, STATION, Sensor, SupplyFound, SupplySeries, supply_found
from analytics.evidence.weather import Weather
from analytics.layout.timeline import Timeline
from heatwatch.domain.register import Register
from heatwatch.domain.stops import Stop
from heatwatch.domain.supply import MEASURES, SupplySource
from heatwatch.stores.readings import ReadingColumns, ReadingStore


def series_of(timeline: Timeline, frame: pd.DataFrame) -> tuple[dict[tuple[int, int], SupplySeries], list[str]]:
    """Sort the rows of a supply file by whom they speak of.

    Returns
    -------
    tuple
        Samples by kind and number of their subject; and the names that are neither building nor station in the
        register. A name that is both is the building.
    """
    buildings, stations = timeline.buildings, timeline.stations
    known = {name: (STATION, code) for code, name in enumerate(stations)}
    known |= {name: (BUILDING, code) for code, name in enumerate(buildings)}
    subject = pd.Categorical(frame["subject_id"])
    time_ms = frame["time"].to_numpy(dtype="datetime64[ms]").view(np.int64)
    columns = [frame[name].to_numpy(dtype=np.float64) for name in MEASURES]
    found, unlisted = dict[tuple[int, int], SupplySeries](), list[str]()
    for code, name in enumerate(str(name) for name in subject.categories):
        rows = np.flatnonzero(subject.codes == code)
        if name in known:
            found[known[name]] = SupplySeries.of(time_ms[rows], *(column[rows] for column in columns))
        elif len(rows):
            unlisted.append(name)
    return found, unlisted


@dataclass(frozen=True, slots=True)
class OtherEvidence:
    """What is known of heat besides the readings of rooms: rows of a supply and a weather file, and reported stops."""

    supply: pd.DataFrame | None = None
    weather: pd.DataFrame | None = None
    stops: Sequence[Stop] = ()

    def supply_found(self, timeline: Timeline, as_of_ms: int) -> SupplyFound:
        """Read every supply sensor up to a moment."""
        if self.supply is None:
            return SupplyFound.none()
        weather = Weather.of_frame(self.weather, timeline.judging)
        return supply_found(timeline, series_of(timeline, self.supply)[0], weather, as_of_ms)


class SupplyWatch:
    """The supply sensors of a register, read from the store as they speak.

    Parameters
    ----------
    timeline, register
        Whose sensors they are: of each station and each building that the register names.
    store
        Where what they measure is kept, each quantity under a source of its own.
    late_most_ms
        What arrived longer after it was measured is not used [ms]; None: all is.
    """

    def __init__(
        self, timeline: Timeline, register: Register, store: ReadingStore, late_most_ms: int | None = None
    ) -> None:
        self._timeline, self._store, self._late_most_ms = timeline, store, late_most_ms
        homes = {(row.station_id, building) for row in register.rows for building in ("", row.building_id)}
        buildings = {name: code for code, name in enumerate(timeline.buildings)}
        stations = {name: code for code, name in enumerate(timeline.stations)}
        self._subject = {
            (station, building): (BUILDING, buildings[building]) if building else (STATION, stations[station])
            for station, building in homes
        }
        self._sources: dict[tuple[int, int], list[str]] = {}
        for (station, building), subject in sorted(self._subject.items()):
            names = [SupplySource(station, building, measure).name for measure in MEASURES]
            self._sources.setdefault(subject, []).extend(names)
        self._sensors: dict[tuple[int, int], Sensor] = {}

    def read_everything(self) -> None:
        """Begin with all that is stored."""
        self._sensors.clear()
        rows = self._store.read(sorted(chain.from_iterable(self._sources.values())), late_most_ms=self._late_most_ms)
        subject = [self._subject_of(source) for source in rows.source]
        for one in sorted({one for one in subject if one is not None}):
            codes = [code for code, other in enumerate(subject) if other == one]
            self._sensors[one] = Sensor(self._timeline, one, Weather.unknown())
            self._sensors[one].feed(_series(rows, np.flatnonzero(np.isin(rows.code, codes))))

    def feed(self, touched: Mapping[str, tuple[int, int]]) -> None:
        """Take in what has arrived: sources, other ones among them, with the first and last moment touched [ms]."""
        spans = dict[tuple[int, int] | None, tuple[int, int]]()
        for source, (first_ms, last_ms) in touched.items():
            subject = self._subject_of(source)
            low, high = spans.get(subject, (first_ms, last_ms))
            spans[subject] = min(low, first_ms), max(high, last_ms)
        for subject, (first_ms, last_ms) in spans.items():
            if subject is None:
                continue
            newer = self._stored(subject, first_ms, last_ms + 1)
            if subject not in self._sensors or not self._sensors[subject].feed(newer):
                self._begin(subject)

    def found(self, as_of_ms: int) -> SupplyFound:
        """Say what there is at a moment."""
        return SupplyFound.together(sensor.found(as_of_ms) for _, sensor in sorted(self._sensors.items()))

    def _subject_of(self, source: str) -> tuple[int, int] | None:
        parsed = SupplySource.parse(source)
        return None if parsed is None else self._subject.get((parsed.station_id, parsed.building_id))

    def _begin(self, subject: tuple[int, int] | None) -> None:
        if subject is not None:
            self._sensors[subject] = Sensor(self._timeline, subject, Weather.unknown())
            self._sensors[subject].feed(self._stored(subject))

    def _stored(self, subject: tuple[int, int], start_ms: int | None = None, end_ms: int | None = None) -> SupplySeries:
        rows = self._store.read(self._sources[subject], start_ms, end_ms, late_most_ms=self._late_most_ms)
        return _series(rows, np.arange(len(rows)))


def _series(rows: ReadingColumns, chosen: NDArray[np.int64]) -> SupplySeries:
    """Put the three quantities of one sensor side by side again."""
    measure = np.array([MEASURES.index(source.rpartition(":")[2]) for source in rows.source], dtype=np.int64)
    column = measure[rows.code[chosen]] if len(chosen) else chosen
    values = [np.where(column == number, rows.temp_c[chosen], np.nan) for number in range(len(MEASURES))]
    return SupplySeries.of(rows.time_ms[chosen], *values)
