"""A seeded town: stations, buildings, rooms with thermometers, what goes wrong there, and the truth about it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from heatwatch.domain.instants import SECOND_MS
from heatwatch.domain.register import PointRow
from heatwatch.files.points_file import points_frame
from simulators.arrays import Bool, Float64, Int64
from simulators.physics.model import RoomModel
from simulators.physics.weather import MeasuredWeather, Outdoors, Weather
from simulators.thermometers import faults
from simulators.thermometers.devices import Thermometers
from simulators.thermometers.fleet import Fleet
from simulators.thermometers.rows import Rows
from simulators.thermometers.slate import AHEAD_MS, FIRST_MS, NEVER_MS, Placed
from simulators.thermometers.value_faults import Replaced
from simulators.thermometers.way_faults import GatewayOutage
from simulators.towns.events import BUILDING, Event, PlannedStop, Subject
from simulators.towns.hearing import listen
from simulators.towns.layout import lay_out, plan
from simulators.towns.registering import device_ids, registered
from simulators.towns.settings import TownSettings, cast
from simulators.towns.silences import data_outages
from simulators.towns.truth import Truth, heat_outages, instants, leaks, sensor_faults, stops

_STREAM = 2
_VERY_COLD_BELOW_C = 16.0
_FLAGS = pd.Index(["", "low_battery"], dtype="str")
_OF_READINGS = ["time_ms", "point_id", "temperature_c", "humidity_pct", "battery_pct", "seq", "unreadable", "copy"]


class Town:
    """A simulated town: its register, its readings, its truth.

    Parameters
    ----------
    settings
        Size, seed, and what goes wrong.

    Examples
    --------
    >>> town = Town(TownSettings(rooms=24))
    >>> len(town.points()), len(town.readings(town.start_ms, town.start_ms + 3_600_000)) >= 24 * 12
    (24, True)
    """

    def __init__(self, settings: TownSettings | None = None) -> None:
        self.settings = s = settings or TownSettings()
        self.start_ms = s.start_ms
        self.weather: Outdoors = Weather(s.seed, s.weather)
        if s.weather_file is not None:
            self.weather = MeasuredWeather.read(s.weather_file, cloud_share=s.weather.cloud_share)
        self._points = lay_out(s.rooms, s.rooms_per_building, s.stations, s.interval_s)
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
        self._fleet = Fleet(self.model, self.thermometers, self._place())
        self._register = registered(self._points, self.events, self._fleet.placed, s.start_ms)
        self._names = pd.array([row.point_id for row in self._points], dtype="str")
        self._device_names, self._first_device = _devices(self._points, self._fleet.placed)

    def points(self) -> list[PointRow]:
        """Return the register: the rows of one room after the other, as a rule one."""
        return list(self._register)

    def points_frame(self) -> pd.DataFrame:
        """Return the register with the columns of a points file."""
        return points_frame(self._register)

    def sent(self, start_ms: int, end_ms: int) -> pd.DataFrame:
        """Return what is put on the wire from `start_ms` (included) to `end_ms` (excluded), sorted by ``sent_ms``.

        A window holds the same rows, to the bit, as the same time cut from a longer one. There are none before
        the town's start. Windows that follow each other cost least.

        Returns
        -------
        pandas.DataFrame
            ``sent_ms, time_ms`` (what the thermometer claims), ``point_id, device_id`` (nothing where the register
            names none), ``temperature_c, humidity_pct, battery_pct, seq, flags, unreadable`` (the payload cannot be
            read), ``timeless`` (it gives no time), ``retain`` (MQTT's flag), ``group`` (readings of one message
            share a number, -1 alone) and ``copy``, sent a second time.

        Raises
        ------
        BadInput
            If the weather says nothing of the end of the window.
        """
        rows = self._fleet.sent(*self._window_ms(start_ms, end_ms))
        return pd.DataFrame(
            {
                "sent_ms": rows["sent_ms"],
                "time_ms": rows["claimed_ms"],
                "point_id": self._names.take(rows["room"]),
                "device_id": pd.Categorical.from_codes(self._device_codes(rows), self._device_names),
                "temperature_c": rows["temp_c"],
                "humidity_pct": rows["humidity_pct"],
                "battery_pct": rows["battery_pct"],
                "seq": rows["seq"],
                "flags": pd.Categorical.from_codes(rows["low"].astype(np.int8), _FLAGS),
                "unreadable": rows["unreadable"],
                "timeless": rows["timeless"],
                "retain": rows["retain"],
                "group": rows["group"],
                "copy": rows["copy"],
            }
        )

    def readings(self, start_ms: int, end_ms: int) -> pd.DataFrame:
        """Return the columns of `sent` that tell of the reading itself: ``time_ms, point_id, temperature_c`` and so on.

        Where nothing is late and no clock is wrong they are sorted by time. ``unreadable`` and ``copy`` are truth.
        """
        return self.sent(start_ms, end_ms)[_OF_READINGS]

    def stored(self, start_ms: int, end_ms: int) -> pd.DataFrame:
        """Return what a correct ingest keeps of what is sent in a time, in the columns of a readings file.

        Left out is what cannot be read, has no time, or one before 2000 or 10 min or more after the moment of
        sending. (The clock of a replay moves in steps, and lets times be ahead by the next one too.) Copies stay.

        Returns
        -------
        pandas.DataFrame
            ``time, point_id, temperature_c, humidity_pct, battery_pct, flags, arrived``, in the order of arrival.
        """
        sent = self.sent(start_ms, end_ms)
        ahead_ms = sent["time_ms"] - sent["sent_ms"]
        kept = ~sent["unreadable"] & ~sent["timeless"] & (sent["time_ms"] >= FIRST_MS) & (ahead_ms < AHEAD_MS)
        found = sent[kept].reset_index(drop=True)
        columns = ["time", "point_id", "temperature_c", "humidity_pct", "battery_pct", "flags", "arrived"]
        moments = {
            "time": instants(found["time_ms"].to_numpy(np.int64)),
            "arrived": instants(found["sent_ms"].to_numpy(np.int64)),
        }
        return found.assign(**moments, flags=found["flags"].astype("str"))[columns]

    def truth_readings(self, start_ms: int, end_ms: int) -> pd.DataFrame:
        """Return all that is measured in a time, delivered or not, by the true moment of measuring.

        Returns
        -------
        pandas.DataFrame
            ``time, point_id, true_c`` (the room's temperature [degC]), ``temperature_c`` (the thermometer's),
            ``claimed`` (the time that it gives, NaT for none), ``arrived`` (when it is first sent, NaT for never),
            ``fault`` (names of `faults.FAULTS` joined by ``+``) and ``kept`` (by a correct ingest).
        """
        rows = self._fleet.measured(*self._window_ms(start_ms, end_ms))
        return pd.DataFrame(
            {
                "time": instants(rows["time_ms"]),
                "point_id": self._names.take(rows["room"]),
                "true_c": rows["true_c"],
                "temperature_c": rows["temp_c"],
                "claimed": _instants_or_none(rows["claimed_ms"]),
                "arrived": _instants_or_none(rows["arrived_ms"]),
                "fault": pd.array(faults.names(rows["mark"]), dtype="str"),
                "kept": rows["kept"],
            }
        )

    def true_readings(self, start_ms: int, end_ms: int) -> pd.DataFrame:
        """Return what perfect thermometers would have said at every regular moment of a time, none of it lost.

        Returns
        -------
        pandas.DataFrame
            ``time, point_id, temperature_c`` [degC], without noise and without rounding.
        """
        rows = self._fleet.true(*self._window_ms(start_ms, end_ms))
        return pd.DataFrame(
            {
                "time": instants(rows["time_ms"]),
                "point_id": self._names.take(rows["room"]),
                "temperature_c": rows["true_c"],
            }
        )

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
        heard = listen(self._fleet, as_of_ms, np.flatnonzero(self._cast.broken))
        return Truth(
            cold_rooms=self._cold_rooms(),
            heat_outages=heat_outages(self.events, self._points, as_of_ms),
            data_outages=data_outages(heard.gaps, self._points, self.events, as_of_ms),
            sensor_faults=sensor_faults(
                self._fleet.placed, self._points, heard.low_since_ms, (self.start_ms, as_of_ms)
            ),
            broken_thermometers=self._named(self._cast.broken).assign(kind="unreadable"),
            leaks=leaks(self.events, as_of_ms),
        )

    def _window_ms(self, start_ms: int, end_ms: int) -> tuple[int, int]:
        """Return the window without what is before the town's start; refuse one whose end has no weather."""
        start_ms = max(start_ms, self.start_ms)
        if end_ms > start_ms:
            self.weather.outdoor_c(np.array([end_ms - 1], dtype=np.int64))
        return start_ms, max(end_ms, start_ms)

    def _place(self) -> list[Placed]:
        """Return what is wrong with whom, the silent building among it."""
        silent = np.flatnonzero(self._cast.silent)
        known = []
        if silent.size:
            subject = Subject(BUILDING, self._points[silent[0]].building_id)
            known.append((GatewayOutage(subject, *self._cast.silence_ms), silent))
        s = self.settings
        return faults.place(s.faults, self._points, self.model.interval_ms, s.seed, known)

    def _device_codes(self, rows: Rows) -> Int64:
        first = self._first_device[rows["room"]]
        return np.where(first > 0, first + rows["device"], 0)

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
        frame = points_frame(self._points).loc[rooms, ["point_id", "building_id", "station_id"]]
        start = instants(np.full(len(frame), self.start_ms, dtype=np.int64))
        return frame.reset_index(drop=True).assign(start=start)


def _instants_or_none(time_ms: Int64) -> pd.Series[pd.Timestamp]:
    return instants(time_ms).mask(pd.Series(time_ms == NEVER_MS))


def _devices(points: Sequence[PointRow], placed: Sequence[Placed]) -> tuple[pd.Index[str], Int64]:
    """Return the names of all devices, the first one empty, and for each room the number of its first, 0 for none."""
    renewals = np.zeros(len(points), dtype=np.int64)
    for one in placed:
        renewals[one.rooms] += isinstance(one.fault, Replaced)
    names, first = [""], np.zeros(len(points), dtype=np.int64)
    for room in np.flatnonzero(renewals).tolist():
        first[room] = len(names)
        names += device_ids(points[room].point_id, int(renewals[room]))
    return pd.Index(names, dtype="str"), first
