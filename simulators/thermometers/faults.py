"""What thermometers, gateways and networks do besides measuring well: every fault, by the name that files give it.

Several faults of one thermometer act one after the other in the order of `FAULTS`, whatever the order in which they
are given:

::

    interval, jitter                    when something is measured
    replaced                            by which device
    moved, drift, offset, noise         what its sensor feels
    resolution                          how that is rounded
    stuck, spikes, sentinel             what is said in its place
    battery_death                       whether there is anything at all
    unset_clock, offset_clock, local_clock      which time is given
    unreadable                          whether the payload can be read
    sleeps, stores_and_forwards, many_without_times     what is sent, when, and together with what
    out_of_order, duplicates, retained  how
    gateway_outage, network_outage      whether that gets through

An outage acts on what is sent in its time, all others on what is measured in theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from heatwatch.domain.register import PointRow
from heatwatch.errors import BadInput
from simulators.arrays import Int64
from simulators.thermometers.slate import Fault, Placed, Slate, chosen
from simulators.thermometers.value_faults import (
    BatteryDeath,
    Drift,
    Interval,
    Jitter,
    Moved,
    Noise,
    Offset,
    Replaced,
    Resolution,
    Sentinel,
    Spikes,
    Stuck,
)
from simulators.thermometers.way_faults import (
    Duplicates,
    GatewayOutage,
    LocalClock,
    ManyWithoutTimes,
    NetworkOutage,
    OffsetClock,
    OutOfOrder,
    Retained,
    Sleeps,
    StoresAndForwards,
    Unreadable,
    UnsetClock,
)

__all__ = ["FAULTS", "NAMES", "UNREADABLE_BIT", "Fault", "act", "names", "place"]

FAULTS: Mapping[str, type[Fault]] = {
    "interval": Interval,
    "jitter": Jitter,
    "replaced": Replaced,
    "moved": Moved,
    "drift": Drift,
    "offset": Offset,
    "noise": Noise,
    "resolution": Resolution,
    "stuck": Stuck,
    "spikes": Spikes,
    "sentinel": Sentinel,
    "battery_death": BatteryDeath,
    "unset_clock": UnsetClock,
    "offset_clock": OffsetClock,
    "local_clock": LocalClock,
    "unreadable": Unreadable,
    "sleeps": Sleeps,
    "stores_and_forwards": StoresAndForwards,
    "many_without_times": ManyWithoutTimes,
    "out_of_order": OutOfOrder,
    "duplicates": Duplicates,
    "retained": Retained,
    "gateway_outage": GatewayOutage,
    "network_outage": NetworkOutage,
}
"""Every fault in the order in which they act."""

NAMES: Mapping[type[Fault], str] = {fault: name for name, fault in FAULTS.items()}
_ORDER = {fault: number for number, fault in enumerate(FAULTS.values())}
_SAYING = _ORDER[Stuck]
UNREADABLE_BIT = 1 << _ORDER[Unreadable]


def place(
    faults: Sequence[Fault],
    points: Sequence[PointRow],
    interval_ms: int,
    seed: int,
    known: Sequence[tuple[Fault, Int64]] = (),
) -> list[Placed]:
    """Return the faults of a town with the thermometers that have them, in the order in which they act.

    Parameters
    ----------
    faults
        Those whose thermometers are yet to be drawn.
    points
        One row a room.
    interval_ms
        The town's interval [ms].
    seed
        Of the draws.
    known
        Those whose thermometers are known already, by their numbers.

    Raises
    ------
    BadInput
        If a fault is of nobody, or makes no sense with the town's interval.
    """
    for fault in faults:
        if type(fault) not in _ORDER:
            raise BadInput(f"{type(fault).__name__} is no fault", where="town: faults")
        fault.check(interval_ms)
    drawn = [(fault, chosen(fault, points, seed)) for fault in faults]
    found = [(fault, rooms) for fault, rooms in (*known, *drawn) if rooms.size]
    renewals = [(fault, rooms) for fault, rooms in found if isinstance(fault, Replaced)]
    in_order = sorted(found, key=lambda one: (_ORDER[type(one[0])], one[0].start_ms))
    return [
        Placed(
            fault, rooms, _until_ms(fault, rooms, renewals), 1 << _ORDER[type(fault)], seed, np.full(rooms.size, np.nan)
        )
        for fault, rooms in in_order
    ]


def _until_ms(fault: Fault, rooms: Int64, renewals: Sequence[tuple[Fault, Int64]]) -> Int64:
    """Return when a fault no longer makes a difference to each room; a new device has a new battery."""
    until_ms = np.full(rooms.size, fault.until_ms, dtype=np.int64)
    if isinstance(fault, BatteryDeath):
        for renewal, renewed in renewals:
            if renewal.end_ms > fault.start_ms:
                here = np.isin(rooms, renewed)
                until_ms[here] = np.minimum(until_ms[here], renewal.end_ms)
    return until_ms


def act(placed: Sequence[Placed], slate: Slate, block: int) -> None:
    """Let faults, in the order in which they act, act on what was measured in a block."""
    said = False
    for one in placed:
        if not said and _ORDER[type(one.fault)] >= _SAYING:
            slate.say()
            said = True
        one.act(slate, block)
    if not said:
        slate.say()


def names(mark: Int64) -> list[str]:
    """Return for each mark of a slate the names of the faults, joined by ``+``."""
    known = {
        value: "+".join(name for number, name in enumerate(FAULTS) if value >> number & 1)
        for value in np.unique(mark).tolist()
    }
    return [known[value] for value in mark.tolist()]
