"""One row for each heat outage, whatever tells of it: reports, supply temperatures, rooms.

What supply sensors say (`analytics.evidence.supply`) or what was reported of a station holds for each of its
buildings. A candidate of the rooms (`analytics.buildings.heat`) is withdrawn where the building's own supply stayed
warm; or where half of the buildings of a station, or more, cool at once although the station's supply stayed warm and
as much heat went out as ever. One house of many may be cut off behind a warm station: nothing is withdrawn there.

What overlaps, by way of others too, is one outage. It starts where the best evidence says: reported, supply, rooms. It
ends where the supply is back, else at the reported end, else where the rooms say.

Everything here is a function of what was measured and reported up to `as_of`, in whatever order it came.

References
----------
.. [1] `docs/decisions/0018-evidence-of-heat-outages.md`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics.evidence.supply import BUILDING, CANDIDATE, EVIDENCE, REPORTED, ROOMS, STATION, SUPPLY, SupplyFound
from analytics.layout.timeline import Timeline
from analytics.points import silence
from analytics.points.machine import NEVER, Records
from analytics.points.silence import Spans, Steps
from heatwatch.domain.instants import HOUR_MS
from heatwatch.domain.stops import Stop

Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

HEATLESS = np.dtype(
    [
        ("subject_kind", np.int8),
        ("subject", np.int32),
        ("open", np.bool_),
        ("start", np.int64),
        ("end", np.int64),
        ("evidence", np.int8),
        ("confidence", np.float64),
        ("points", np.int64),
    ]
)
"""A heat outage; `end` is `NEVER` while it is open."""

_EVER = 2**62


def reported(timeline: Timeline, stops: Iterable[Stop], as_of_ms: int) -> Records:
    """Return reported stops of buildings and stations that had begun at `as_of`, within a season; dtype `CANDIDATE`."""
    numbers = {
        "building": (BUILDING, {name: code for code, name in enumerate(timeline.buildings)}),
        "station": (STATION, {name: code for code, name in enumerate(timeline.stations)}),
    }
    found = []
    for stop in sorted(stops, key=lambda stop: (stop.subject_kind, stop.subject_id, stop.start_ms, stop.end_ms or 0)):
        kind, codes = numbers.get(stop.subject_kind, (0, {}))
        known = stop.subject_id in codes and stop.start_ms <= as_of_ms
        if known and _in_season(timeline, stop.start_ms, min(stop.end_ms or as_of_ms, as_of_ms)):
            going_on = stop.end_ms is None or stop.end_ms > as_of_ms
            end_ms = NEVER if going_on else stop.end_ms
            found.append((kind, codes[stop.subject_id], REPORTED, going_on, False, stop.start_ms, end_ms, 1.0, 0))
    return np.array(found, CANDIDATE)


def _in_season(timeline: Timeline, start_ms: int, end_ms: int) -> bool:
    epochs = timeline.epochs
    first, last = np.searchsorted(epochs.start, [start_ms, end_ms], side="right") - 1
    return bool(epochs.in_season[first : last + 1].any())


def merge(timeline: Timeline, rooms: Records, supply: SupplyFound, told: Records, as_of_ms: int) -> Records:
    """Make one row for each outage, whatever its evidence.

    Parameters
    ----------
    rooms : dtype with building, open, start, end, confidence, points
        What rooms say of buildings (`analytics.buildings.heat.OUTAGE`).
    supply
        What supply sensors say.
    told
        What was reported (`reported`).

    Returns
    -------
    Records
        dtype `HEATLESS`: buildings, then stations, by subject and start.
    """
    candidates = _of_rooms(rooms)
    candidates = candidates[~_withdrawn(timeline, candidates, supply, as_of_ms)]
    own = np.concatenate((supply.stops, told))
    stations = own[own["subject_kind"] == STATION]
    inherited = _of_their_buildings(timeline, stations)
    denied = (inherited["evidence"] == SUPPLY) & _warm_throughout(
        inherited["subject"], inherited, supply.warm, timeline.judging.supply_warm_share, as_of_ms
    )
    buildings = _one_each(
        timeline,
        np.concatenate((candidates, own[own["subject_kind"] == BUILDING], inherited[~denied])),
        as_of_ms,
    )
    at_once = _most_buildings(timeline, buildings, as_of_ms)
    several = np.bincount(timeline.station_of_building, minlength=len(timeline.stations)) > 1
    whole = _one_each(timeline, np.concatenate((stations[several[stations["subject"]]], at_once)), as_of_ms)
    for row in whole:
        part = _overlapping(buildings, row, as_of_ms) & (
            timeline.station_of_building[buildings["subject"]] == row["subject"]
        )
        row["points"] = buildings["points"][part].sum()
    return np.concatenate((buildings, whole))


def _of_rooms(rooms: Records) -> Records:
    made = np.zeros(len(rooms), CANDIDATE)
    made["subject_kind"], made["subject"], made["evidence"] = BUILDING, rooms["building"], ROOMS
    for name in ("open", "start", "end", "confidence", "points"):
        made[name] = rooms[name]
    made["end"][made["open"]] = NEVER
    return made


def _withdrawn(timeline: Timeline, rooms: Records, supply: SupplyFound, as_of_ms: int) -> Bool:
    """Say which candidates of the rooms are none, for heat came."""
    share = timeline.judging.supply_warm_share
    own = _warm_throughout(rooms["subject"], rooms, supply.warm, share, as_of_ms)
    home = timeline.station_of_building[rooms["subject"]]
    spans = Spans(rooms["subject"].astype(np.int64), rooms["start"], _until(rooms, as_of_ms), rooms["open"])
    together = _at_once(timeline, spans, as_of_ms, half=True)
    many = silence.overlapping(spans.of(home), together)
    kept = _warm_throughout(len(timeline.buildings) + home, rooms, supply.kept, share, as_of_ms)
    return own | (many & kept)


def _warm_throughout(number: NDArray[Any], rows: Records, warm: Spans, share: float, as_of_ms: int) -> Bool:
    """Say of which rows at least a share of their time is among the warm spans of the subjects of these numbers."""
    until = _until(rows, as_of_ms)
    left, right = silence.pairs(number.astype(np.int64), warm.subject)
    inside = np.minimum(warm.end[right], until[left]) - np.maximum(warm.start[right], rows["start"][left])
    known = np.zeros(len(rows), dtype=np.int64)
    np.add.at(known, left, np.maximum(inside, 0))
    lasted = until - rows["start"]
    return np.asarray((lasted > 0) & (known >= share * lasted), dtype=np.bool_)


def _of_their_buildings(timeline: Timeline, stations: Records) -> Records:
    """Return what is said of stations as said of each of their buildings."""
    made = [
        np.array([tuple(row)], CANDIDATE).repeat(np.count_nonzero(timeline.station_of_building == row["subject"]))
        for row in stations
    ]
    for row, rows in zip(stations, made, strict=True):
        rows["subject_kind"] = BUILDING
        rows["subject"] = np.flatnonzero(timeline.station_of_building == row["subject"])
    return np.concatenate([np.zeros(0, CANDIDATE), *made])


def _most_buildings(timeline: Timeline, buildings: Records, as_of_ms: int) -> Records:
    """Return when more than half of a station's buildings, at least two, are without heat at once, as candidates.

    Its evidence and its confidence are those of the least sure building.
    """
    spans = Spans(
        buildings["subject"].astype(np.int64), buildings["start"], _until(buildings, as_of_ms), buildings["open"]
    )
    stations = _at_once(timeline, spans, as_of_ms, half=False)
    made = np.zeros(len(stations), CANDIDATE)
    made["subject_kind"], made["subject"] = STATION, stations.subject
    made["start"], made["open"] = stations.start, stations.open
    made["end"] = np.where(stations.open, NEVER, stations.end)
    home = timeline.station_of_building[spans.subject]
    for k in range(len(stations)):
        part = (home == stations.subject[k]) & (spans.start < stations.end[k]) & (spans.end > stations.start[k])
        made["evidence"][k] = buildings["evidence"][part].max()
        made["confidence"][k] = buildings["confidence"][part].min()
    return made


def _at_once(timeline: Timeline, buildings: Spans, as_of_ms: int, *, half: bool) -> Spans:
    """Find when more than half of a station's buildings, at least two, are among `buildings`; or, with `half`, half."""
    home = timeline.station_of_building
    if half:  # more than half of all but one are half of all
        home = np.delete(home, np.unique(home, return_index=True)[1])
    count = len(home)
    whole = Steps.of(home, np.full(count, -_EVER), np.full(count, _EVER))
    part = buildings.of(timeline.station_of_building[buildings.subject]).where(buildings.start < as_of_ms)
    return silence.majority(part, whole, as_of_ms, at_least=1 if half else 2)


def _one_each(timeline: Timeline, candidates: Records, as_of_ms: int) -> Records:
    """Merge what overlaps, by way of others too, of each subject; dtype `HEATLESS`, by subject and start."""
    reach = _until(candidates, as_of_ms) + np.where(
        candidates["lost"], round(timeline.judging.supply_hold_h * HOUR_MS), 0
    )
    fields = ("points", "confidence", "open", "lost", "evidence")
    order = np.lexsort((*(candidates[name] for name in fields), reach, candidates["start"], candidates["subject"]))
    candidates, reach = candidates[order], reach[order]
    first, own, group_end = list[int](), NEVER, NEVER
    for k, (subject, start, end) in enumerate(
        zip(candidates["subject"].tolist(), candidates["start"].tolist(), reach.tolist(), strict=True)
    ):
        if not first or subject != own or start >= group_end:
            first.append(k)
            own, group_end = subject, NEVER
        group_end = max(group_end, end, start + 1)
    made = _as_said(candidates[first])
    for place, (begin, end) in enumerate(pairwise([*first, len(candidates)])):
        if end - begin > 1:
            made[place] = _row_of(timeline, candidates[begin:end], as_of_ms)
    return made


def _as_said(alone: Records) -> Records:
    """Make a row of each candidate that overlaps no other: what `_row_of` makes of a group of one."""
    made = np.zeros(len(alone), HEATLESS)
    for name in ("subject_kind", "subject", "open", "start", "evidence", "points"):
        made[name] = alone[name]
    made["end"] = np.where(alone["open"], NEVER, np.maximum(alone["end"], alone["start"]))
    made["confidence"] = 1.0 - (1.0 - alone["confidence"])
    return made


def _row_of(timeline: Timeline, group: Records, as_of_ms: int) -> tuple[Any, ...]:
    """Make one row of candidates of one outage: its start by the best evidence; its end by supply, report, rooms."""
    best = int(group["evidence"].min())
    start = int(group["start"][group["evidence"] == best].min())
    end, going_on = _end_of(timeline, group, start, as_of_ms)
    doubt = 1.0
    for evidence in range(len(EVIDENCE)):
        said = group["confidence"][group["evidence"] == evidence]
        doubt *= 1.0 - (float(said.max()) if len(said) else 0.0)
    return (
        int(group["subject_kind"][0]),
        int(group["subject"][0]),
        going_on,
        start,
        NEVER if going_on else end,
        best,
        1.0 - doubt,
        int(group["points"].max()),
    )


def _end_of(timeline: Timeline, group: Records, start: int, as_of_ms: int) -> tuple[int, bool]:
    overrun_ms = round(timeline.judging.supply_overrun_h * HOUR_MS)
    until = _until(group, as_of_ms)
    rooms = group["evidence"] == ROOMS
    told = (group["evidence"] == REPORTED) & (group["end"] != NEVER)
    ends = [(group["evidence"] == SUPPLY) & ~group["lost"]]
    late = rooms.any() and told.any() and int(until[rooms].max()) > int(until[told].max()) + overrun_ms
    ends += [rooms, told] if late else [told, rooms]
    for chosen in ends:
        if chosen.any():
            going_on = bool(group["open"][chosen].any())
            end = as_of_ms if going_on else int(until[chosen].max())
            if end > start or (going_on and end == start):
                return end, going_on
    return max(int(until.max()), start), bool(group["open"].any())


def _until(rows: Records, as_of_ms: int) -> Int64:
    return np.where(rows["open"], as_of_ms, rows["end"])


def _overlapping(rows: Records, row: Any, as_of_ms: int) -> Bool:
    end = as_of_ms if row["open"] else row["end"]
    return np.asarray((rows["start"] < end) & (_until(rows, as_of_ms) > row["start"]), dtype=np.bool_)
