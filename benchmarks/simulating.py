"""What a town measures, and what its readings cost as messages."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pandas as pd

from benchmarks.measuring import Figure, rates
from benchmarks.publishing import PER_S, readings
from heatwatch.domain.instants import HOUR_MS
from heatwatch.wire import reading_topic
from simulators.publishing.encoding import Encoder
from simulators.towns.settings import TownSettings
from simulators.towns.town import Town

ROOMS = 5_000
ROWS = 100_000
_HOURS = 6


def figures() -> Iterator[Figure]:
    """Measure."""
    found = rates({"town": _town})
    name = f"readings that a town of {ROOMS:,} rooms measures in its first {_HOURS} hours, building it included"
    peer = "what 100,000 thermometers measure in real time, one reading every 5 minutes each"
    yield Figure(name, "readings/s", found["town"], PER_S, peer)
    frame = readings(ROWS)
    found = rates({"ours": lambda: len(Encoder().encode(frame)), "peer": lambda: len(_by_hand(frame))})
    peer = "`json.dumps` of a dict, and a topic, for each row"
    yield Figure("readings encoded as messages", "messages/s", found["ours"], found["peer"], peer)


def _town() -> int:
    town = Town(TownSettings(rooms=ROOMS))
    return len(town.readings(town.start_ms, town.start_ms + _HOURS * HOUR_MS))


def _by_hand(frame: pd.DataFrame) -> list[tuple[str, str]]:
    rows = frame.rename(columns={"time_ms": "ts", "temperature_c": "t", "humidity_pct": "rh", "battery_pct": "bat"})
    return [
        (reading_topic("_", "_", row.pop("point_id")), json.dumps(row, separators=(",", ":")))
        for row in rows.to_dict("records")
    ]
