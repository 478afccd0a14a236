"""Towns in which nothing goes wrong but what a test asks for."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd

from heatwatch.domain.instants import HOUR_MS, MINUTE_MS
from simulators.thermometers.faults import Fault
from simulators.towns.events import BUILDING, ROOM, DisconnectedHome, NightSetback, Subject
from simulators.towns.settings import TownSettings
from simulators.towns.town import Town

START_MS = TownSettings().start_ms
END_MS = START_MS + 30 * HOUR_MS
SPAN = (START_MS + 5 * HOUR_MS + 7 * MINUTE_MS, START_MS + 17 * HOUR_MS + 31 * MINUTE_MS)
HOUSE = Subject(BUILDING, "S1-B02")
FLAT = Subject(ROOM, "S1-B01-1-201")


def town_with(*faults: Fault, seed: int = 1, events: tuple[DisconnectedHome | NightSetback, ...] = ()) -> Town:
    """Return a town in which nothing goes wrong but these."""
    quiet = TownSettings(seed=seed, rooms=48, outage_h=0, silent_h=0, cold_rooms=0)
    thermometers = replace(quiet.thermometers, unreadable_share=0.0)
    return Town(replace(quiet, thermometers=thermometers, faults=faults, events=events))


@cache
def calm() -> pd.DataFrame:
    return town_with().truth_readings(START_MS, END_MS)


def ms(instants: pd.Series[pd.Timestamp]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return instants.dt.tz_localize(None).to_numpy("datetime64[ms]").astype(np.int64)


def inside(
    truth: pd.DataFrame, subject: Subject, span_ms: tuple[int, int] = SPAN
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Mark readings of a subject in a time."""
    time_ms = ms(truth["time"])
    own = truth["point_id"].str.startswith(subject.name).to_numpy()
    marked: np.ndarray[tuple[int], np.dtype[np.bool_]] = own & (time_ms >= span_ms[0]) & (time_ms < span_ms[1])
    return marked


def whole(fault: Fault) -> Fault:
    """Let a fault that hits a share of readings hit all."""
    return replace(fault, readings_share=1.0) if hasattr(fault, "readings_share") else fault  # type: ignore[call-arg]
