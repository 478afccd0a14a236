"""What the register says of faults and events."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd

from analytics.layout.sources import SourceMap
from heatwatch.domain.instants import DAY_MS, HOUR_MS, from_ms
from heatwatch.domain.register import Register
from heatwatch.stores.readings import ReadingColumns
from simulators.publishing.encoding import Encoder
from simulators.thermometers.value_faults import (
    Interval,
    Replaced,
)
from simulators.towns.events import ROOM, STATION, DisconnectedHome, NightSetback, Subject
from tests.simulators.faulty import END_MS, FLAT, HOUSE, SPAN, START_MS, town_with


class TestRegister:
    """What the register says of faults and events."""

    def test_a_replaced_device_is_the_point_s_until_the_new_one_is_there(self) -> None:
        again = (END_MS, END_MS + HOUR_MS)
        town = town_with(Replaced(FLAT, *SPAN), Replaced(FLAT, *again))
        rows = [row for row in Register.of(town.points()).rows if row.point_id == FLAT.name]
        edges = [from_ms(SPAN[1]), from_ms(again[1])]
        assert [(row.device_id, row.valid_from, row.valid_to) for row in rows] == [
            (f"{FLAT.name}:T1", None, edges[0]),
            (f"{FLAT.name}:T2", edges[0], edges[1]),
            (f"{FLAT.name}:T3", edges[1], None),
        ]
        assert len(town.points()) == 50
        assert len(town.points_frame()) == 50
        (payload,) = Encoder(rows).encode(town.sent(*SPAN).query("copy").head(1).assign(device_id="d")).payloads
        assert json.loads(payload)["device"] == "d"

    def test_judging_finds_the_room_of_every_reading_by_its_device(self) -> None:
        town = town_with(Replaced(FLAT, *SPAN), Replaced(HOUSE, SPAN[0], SPAN[0]))
        sent = town.sent(START_MS, END_MS)
        source = sent["device_id"].astype("str").where(sent["device_id"] != "", sent["point_id"])
        code, names = pd.factorize(source)
        points = sorted(set(sent["point_id"]))
        time_ms = sent["time_ms"].to_numpy(np.int64)
        columns = ReadingColumns(names.tolist(), code.astype(np.int32), time_ms, sent["temperature_c"].to_numpy())
        found = SourceMap(Register.of(town.points()), points).points(columns)
        assert [points[at] for at in found.tolist()] == sent["point_id"].tolist()

    def test_a_replacement_before_the_start_leaves_one_device(self) -> None:
        town = town_with(Replaced(FLAT, START_MS - DAY_MS, START_MS - HOUR_MS))
        (row,) = [row for row in town.points() if row.point_id == FLAT.name]
        assert (row.device_id, row.valid_from) == (f"{FLAT.name}:T2", None)
        sent = town.sent(START_MS, START_MS + HOUR_MS).query(f"point_id == '{FLAT.name}'")
        assert set(sent["device_id"]) == {f"{FLAT.name}:T2"}

    def test_another_interval_is_registered_where_it_was_asked_for(self) -> None:
        rows = [row for row in town_with(Interval(FLAT, *SPAN)).points() if row.point_id == FLAT.name]
        assert [row.interval_s for row in rows] == [300, 1_800, 300]
        assert len(town_with(Interval(FLAT, *SPAN, registered=False)).points()) == 48

    def test_a_disconnected_home_is_suspended(self) -> None:
        events = (DisconnectedHome(FLAT, SPAN[0]), DisconnectedHome(Subject(ROOM, "S1-B01-2-101"), *SPAN))
        rows = {row.point_id: row for row in town_with(events=events).points() if row.suspended_from}
        assert rows[FLAT.name].suspended_from == from_ms(SPAN[0])
        assert rows[FLAT.name].suspended_to is None
        assert rows["S1-B01-2-101"].suspended_to == from_ms(SPAN[1])

    def test_suspensions_that_overlap_are_one(self) -> None:
        late = (SPAN[1] - HOUR_MS, END_MS)
        town = town_with(events=(DisconnectedHome(FLAT, *SPAN), DisconnectedHome(FLAT, *late)))
        (row,) = [row for row in town.points() if row.point_id == FLAT.name]
        assert (row.suspended_from, row.suspended_to) == (from_ms(SPAN[0]), from_ms(END_MS))

    def test_a_declared_setback_says_which_hours_are_heated(self) -> None:
        station = Subject(STATION, "S1")
        setback = NightSetback(station, START_MS, END_MS, from_h=22.5, to_h=5.0, declared=True)
        rows = [row for row in town_with(events=(setback,)).points() if row.station_id == "S1"]
        assert {row.heating_hours for row in rows if row.valid_from is None} == {((300, 1_350),)}
        assert {row.heating_hours for row in rows if row.valid_from is not None} == {None}
        silent = replace(setback, declared=False)
        assert {row.heating_hours for row in town_with(events=(silent,)).points()} == {None}
