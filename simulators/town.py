"""A seeded town: stations, buildings, rooms with thermometers, what goes wrong there, and the truth about it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from heatwatch.domain.instants import HOUR_MS, SECOND_MS
from heatwatch.domain.register import PointRow
from heatwatch.files.points_file import points_frame
from simulators.arrays import Bool, Float64, Int64
from simulators.events import BUILDING, Event, PlannedStop, Subject
from simulators.layout import lay_out, plan
from simulators.physics import INTERVALS_PER_BLOCK, RoomModel
from simulators.scenario import TownSettings, cast
from simulators.thermometers import Thermometers
from simulators.truth import Silence, Truth, data_outages, heat_outages, instants, leaks, stops
from simulators.weather import MeasuredWeather, Outdoors, Weather

_STREAM = 2
_VERY_COLD_BELOW_C = 16.0
_BREAK_MS = 8 * HOUR_MS
_BREAK_INTERVALS = 6


class Town:
    """A simulated town: its register, its readings, its truth.

    Parameters
    ----------
    settings
        Size, seed, and what goes wrong.

    Examples
    --------
    >>> town = Town(TownSettings(rooms=24))
    >>> len(town.points()), len(town.readings(town.start_ms, town.start_ms + HOUR_MS)) >= 24 * 12
    (24, True)
    """

    def __init__(self, settings: TownSettings | None = None) -> None:
        self.settings = s = settings or TownSettings()
        self.start_ms = s.start_ms
        self.weather: Outdoors = Weather(s.seed, s.weather)
        if s.weather_file is not None:
            self.weather = MeasuredWeather.read(s.weather_file, cloud_share=s.weather.cloud_share)
        self._points = lay_out(s.rooms, s.rooms_per_building, s.stations, s.interval_s)
        self._point_ids = np.array([row.point_id for row in self._points], dtype=object)
        where = plan(s.rooms, s.rooms_per_building, s.stations)
        rng = np.random.default_rng([s.seed, _STREAM])
        self.station_ids = tuple(dict.fromkeys(row.station_id for row in self._points))
        self._cast = cast(s, where, self.station_ids, self.weather.mean_c, rng)
        self.events = (*self._outage(), *s.events)
        self.model = RoomModel(
            self._cast.physics,
            self.weather,
            self.events,
            self._points,
            start_ms=s.start_ms,
            interval_s=s.interval_s,
            seed=s.seed,
        )
        self.thermometers = Thermometers(s.seed, s.rooms, s.interval_s, self._cast.broken, s.thermometers)
        self._order = np.argsort(self.thermometers.offset_ms, kind="stable")
        self._latest: tuple[int, pd.DataFrame] | None = None

    def points(self) -> list[PointRow]:
        """Return the register: one row a room."""
        return list(self._points)

    def points_frame(self) -> pd.DataFrame:
        """Return the register with the columns of a points file."""
        return points_frame(self._points)

    def readings(self, start_ms: int, end_ms: int) -> pd.DataFrame:
        """Return what is sent for `start_ms` <= time < `end_ms`, sorted by time.

        A window holds the same rows, to the bit, as the same time cut from a longer one. There are none before
        the town's start.

        Returns
        -------
        pandas.DataFrame
            ``time_ms, point_id, temperature_c, humidity_pct, battery_pct, seq``, and two columns of truth:
            ``unreadable``, the payload is sent in a form that cannot be read; ``copy``, sent a second time.

        Raises
        ------
        BadInput
            If the weather says nothing of the end of the window.
        """
        if end_ms > max(start_ms, self.start_ms):
            self.weather.outdoor_c(np.array([end_ms - 1], dtype=np.int64))
        first_ms, last_ms = max(start_ms - self.start_ms, 0), max(end_ms - self.start_ms - 1, 0)
        blocks = range(first_ms // self.model.block_ms, last_ms // self.model.block_ms + 1)
        frames = [_cut(self._block(index), start_ms, end_ms) for index in blocks]
        return frames[0] if len(frames) == 1 else pd.concat(frames or [self._block(0)[:0]], ignore_index=True)

    def temperatures_c(self, time_ms: Int64) -> Float64:
        """Return the true temperatures [degC], one row an instant [ms], one column a room as in `points()`."""
        return self.model.at(time_ms)

    def weather_frame(self, start_ms: int, end_ms: int, every_s: int = 3_600) -> pd.DataFrame:
        """Return ``time, outdoor_c`` [degC] every `every_s` seconds, as in a weather file."""
        time_ms = np.arange(start_ms, end_ms, every_s * SECOND_MS, dtype=np.int64)
        return pd.DataFrame({"time": instants(time_ms), "outdoor_c": self.weather.outdoor_c(time_ms)})

    def supply_frame(self, start_ms: int, end_ms: int, every_s: int = 300) -> pd.DataFrame:
        """Return what stations measure, in the columns of a supply file, every `every_s` seconds.

        Returns
        -------
        pandas.DataFrame
            ``time, subject_id, supply_c, return_c`` [degC], ``flow_m3_h``, by time, then station.
        """
        time_ms = np.arange(start_ms, end_ms, every_s * SECOND_MS, dtype=np.int64)
        supply_c, return_c, flow_m3_h = self.model.supply(time_ms)
        count = len(self.station_ids)
        columns = {"supply_c": supply_c, "return_c": return_c, "flow_m3_h": flow_m3_h}
        frame = pd.DataFrame(
            {"time": instants(np.repeat(time_ms, count)), "subject_id": self.station_ids * time_ms.size}
        )
        return frame.assign(**{name: values.ravel() for name, values in columns.items()})

    def stops_frame(self) -> pd.DataFrame:
        """Return the reported stops, in the columns of a stops file."""
        return stops(self.events)

    def truth(self, as_of_ms: int | None = None) -> Truth:
        """Return what is true of the town: in all, or as far as it can be known at `as_of_ms` [ms]."""
        break_ms = max(_BREAK_MS, _BREAK_INTERVALS * self.settings.interval_s * SECOND_MS)
        return Truth(
            cold_rooms=self._cold_rooms(),
            heat_outages=heat_outages(self.events, self._points, as_of_ms),
            data_outages=data_outages(self._silence(), as_of_ms, break_ms),
            broken_thermometers=self._named(self._cast.broken).assign(kind="unreadable"),
            leaks=leaks(self.events, as_of_ms),
        )

    def _outage(self) -> list[Event]:
        """Return the stop of the building that loses its heat, if one does."""
        rooms = np.flatnonzero(self._cast.unheated)
        if not rooms.size:
            return []
        return [PlannedStop(Subject(BUILDING, self._points[rooms[0]].building_id), *self._cast.outage_ms, notice=False)]

    def _cold_rooms(self) -> pd.DataFrame:
        level_c = self._cast.level_c[self._cast.cold]
        rule = np.where(level_c < _VERY_COLD_BELOW_C, "R1+R2", "R1")
        return self._named(self._cast.cold).assign(steady_c=level_c, rule=rule)

    def _named(self, rooms: Bool) -> pd.DataFrame:
        frame = self.points_frame().loc[rooms, ["point_id", "building_id", "station_id"]]
        start = instants(np.full(len(frame), self.start_ms, dtype=np.int64))
        return frame.reset_index(drop=True).assign(start=start)

    def _silence(self) -> Silence | None:
        rooms = np.flatnonzero(self._cast.silent)
        if not rooms.size:
            return None
        start_ms, end_ms = self._cast.silence_ms
        building_id = self._points[rooms[0]].building_id
        offset_ms = self.thermometers.offset_ms[rooms]
        return Silence(
            building_id=building_id,
            members=sum(row.building_id == building_id for row in self._points),
            point_ids=tuple(self._point_ids[rooms]),
            last_ms=start_ms - self.model.interval_ms + offset_ms,
            first_ms=end_ms + offset_ms,
        )

    def _block(self, index: int) -> pd.DataFrame:
        """Return the readings of 48 intervals; the last ones asked for are kept."""
        if self._latest is None or self._latest[0] != index:
            self._latest = (index, self._measure(index))
        return self._latest[1]

    def _measure(self, index: int) -> pd.DataFrame:
        said = self.thermometers.measure(self.model.sampled(index, self.thermometers.offset_ms), index)
        time_ms = self._times_ms(index)
        during = (time_ms >= self._cast.silence_ms[0]) & (time_ms < self._cast.silence_ms[1])
        sendings = np.where(during & self._cast.silent, 0, said.sendings)[:, self._order].ravel()
        sent = np.repeat(np.arange(sendings.size), sendings)
        room = np.broadcast_to(self._order, time_ms.shape).ravel()[sent]
        columns = {
            "temperature_c": said.temp_c,
            "humidity_pct": said.humidity_pct,
            "battery_pct": said.battery_pct,
            "seq": said.seq,
            "unreadable": said.unreadable,
        }
        in_order = {name: values[:, self._order].ravel()[sent] for name, values in columns.items()}
        frame = pd.DataFrame({"time_ms": time_ms[:, self._order].ravel()[sent], "point_id": self._point_ids[room]})
        return frame.astype({"point_id": "str"}).assign(**in_order, copy=np.diff(sent, prepend=-1) == 0)

    def _times_ms(self, index: int) -> Int64:
        interval = index * INTERVALS_PER_BLOCK + np.arange(INTERVALS_PER_BLOCK, dtype=np.int64)
        return self.start_ms + interval[:, None] * self.model.interval_ms + self.thermometers.offset_ms


def _cut(frame: pd.DataFrame, start_ms: int, end_ms: int) -> pd.DataFrame:
    first, last = np.searchsorted(frame["time_ms"].to_numpy(), [start_ms, end_ms])
    return frame.iloc[first:last].reset_index(drop=True)
