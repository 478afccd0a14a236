"""Which sensor faults are true, and when."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from heatwatch.domain.instants import HOUR_MS, MINUTE_MS
from simulators.thermometers.faults import FAULTS
from simulators.thermometers.value_faults import (
    Drift,
    Sentinel,
)
from simulators.thermometers.way_faults import (
    LocalClock,
    UnsetClock,
)
from tests.simulators.faulty import END_MS, FLAT, SPAN, START_MS, ms, town_with

KINDS: Mapping[str, str] = {
    "stuck": "stuck",
    "drift": "drift",
    "spikes": "spike",
    "moved": "moved",
    "sentinel": "out_of_range",
    "unset_clock": "clock",
    "offset_clock": "clock",
    "local_clock": "clock",
    "battery_death": "low_battery",
}


@pytest.mark.parametrize("name", FAULTS)
def test_sensor_faults_are_true_while_they_act(name: str) -> None:
    town = town_with(FAULTS[name](FLAT, *SPAN))
    found = town.truth(END_MS).sensor_faults
    assert list(found) == ["point_id", "kind", "start", "end", "open", "detail"]
    assert found["kind"].tolist() == ([KINDS[name]] if name in KINDS else [])
    if name not in KINDS:
        return
    start_ms = SPAN[0]
    if name == "battery_death":
        sent = town.sent(START_MS, END_MS)
        start_ms = int(sent.loc[sent["flags"] == "low_battery", "time_ms"].min())
    assert (ms(found["start"])[0], ms(found["end"])[0]) == (start_ms, SPAN[1])
    assert (found["point_id"][0], found["open"][0], found["detail"][0]) == (FLAT.name, False, name)
    early = town.truth(SPAN[1] - 10 * MINUTE_MS).sensor_faults
    assert early["open"].tolist() == [True]
    assert early["end"].isna().all()
    assert town.truth(SPAN[0] - 1).sensor_faults.empty


def test_a_sentinel_that_could_be_a_room_is_no_fault_that_is_out_of_range() -> None:
    assert town_with(Sentinel(FLAT, *SPAN, value_c=0.0)).truth(END_MS).sensor_faults.empty


def test_faults_of_one_kind_that_touch_are_one() -> None:
    faults = (UnsetClock(FLAT, *SPAN), LocalClock(FLAT, SPAN[1], SPAN[1] + HOUR_MS), Drift(FLAT, *SPAN))
    found = town_with(*faults).truth().sensor_faults
    assert found["kind"].tolist() == ["clock", "drift"]
    assert found["detail"].tolist() == ["unset_clock+local_clock", "drift"]
    assert ms(found["end"]).tolist() == [SPAN[1] + HOUR_MS, SPAN[1]]
