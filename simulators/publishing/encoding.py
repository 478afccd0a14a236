"""Readings become messages of our own convention, columns at a time."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from heatwatch import wire
from heatwatch.domain.register import PointRow
from heatwatch.domain.supply import MEASURES
from simulators.arrays import Bool, Int64

MAX_BATCH = 200
_OPTIONAL = {"humidity_pct": "rh", "battery_pct": "bat", "rssi_dbm": "rssi", "seq": "seq"}
_FLAGS = "flags"
_TEXTS = {"flags": _FLAGS, "device_id": "device"}
_CUT_OFF = 9


@dataclass(frozen=True, slots=True)
class Messages:
    """Messages in the order in which they are published.

    Attributes
    ----------
    time_ms
        When each is sent [ms], not decreasing; without that, when its latest reading was measured.
    topics, payloads
        Of each message.
    sizes
        Number of readings in each.
    retained
        Which carry MQTT's retain flag; None for none.
    """

    time_ms: Int64
    topics: Sequence[str]
    payloads: Sequence[str]
    sizes: Int64
    retained: Bool | None = None

    @classmethod
    def none(cls) -> Messages:
        """Return no messages."""
        return cls(np.empty(0, np.int64), [], [], np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.payloads)

    def part(self, first: int, last: int) -> Messages:
        """Return the messages from `first` (included) to `last` (excluded)."""
        here = slice(first, last)
        retained = None if self.retained is None else self.retained[here]
        return Messages(self.time_ms[here], self.topics[here], self.payloads[here], self.sizes[here], retained)

    def merged(self, other: Messages) -> Messages:
        """Return both in order of time."""
        time_ms = np.concatenate([self.time_ms, other.time_ms])
        order = np.argsort(time_ms, kind="stable")
        topics, payloads = [*self.topics, *other.topics], [*self.payloads, *other.payloads]
        sizes = np.concatenate([self.sizes, other.sizes])[order]
        retained = None
        if self.retained is not None or other.retained is not None:
            retained = np.concatenate([self.retain(), other.retain()])[order]
        return Messages(time_ms[order], [topics[i] for i in order], [payloads[i] for i in order], sizes, retained)

    def retain(self) -> Bool:
        """Return the retain flag of each message."""
        return np.zeros(len(self), dtype=np.bool_) if self.retained is None else self.retained


@dataclass(frozen=True, slots=True)
class _Place:
    station_id: str
    building_id: str
    point_id: str


class Encoder:
    """Turns frames of readings into messages.

    Parameters
    ----------
    rows
        The register, which gives each point its station and building at the time of the reading: those of the
        row in force, else of the latest earlier one, else of the first. A point without a row publishes with
        ``_`` in their place, and so does every point without a register.
    batch_ms
        None: a message each reading. Otherwise one message of each building's gateway for what its points
        send within the same `batch_ms` [ms], at most 200 readings.
    """

    def __init__(self, rows: Sequence[PointRow] | None = None, *, batch_ms: int | None = None) -> None:
        self._batch_ms = batch_ms
        self._rows: dict[str, list[PointRow]] = defaultdict(list)
        for row in sorted(rows or (), key=lambda row: row.valid_from_ms):
            self._rows[row.point_id].append(row)

    def encode(self, readings: pd.DataFrame) -> Messages:
        """Return the messages for `readings`.

        Parameters
        ----------
        readings
            Sorted by ``sent_ms``, or where there is no such column by ``time_ms``; ``point_id, temperature_c`` and
            optional ``humidity_pct, battery_pct, rssi_dbm, seq, flags, device_id``, left out of the payload where
            missing. A temperature that is no finite number is sent as null; any other keeps its 64 bits.

            Optional are also: ``unreadable``, the payload breaks off; ``timeless``, the reading has no ``ts``;
            ``retain``, the message carries that flag; ``group``, readings of one point that are sent at once and
            have the same number, not below 0, go in one message.
        """
        if self._batch_ms is None or readings.empty:
            return self._single(readings)
        alone = _marks(readings, "unreadable") | _marks(readings, "retain")
        return self._batched(readings[~alone], self._batch_ms).merged(self._single(readings[alone]))

    def _single(self, readings: pd.DataFrame) -> Messages:
        """Return a message for each reading, or for each group."""
        places, code = self._places(readings)
        topics = [wire.reading_topic(place.station_id, place.building_id, place.point_id) for place in places]
        payloads = [f"{{{body}}}" for body in _bodies(readings)]
        for row in np.flatnonzero(_marks(readings, "unreadable")):
            payloads[row] = payloads[row][:-_CUT_OFF]
        sent_ms, retain = _sent_ms(readings), _marks(readings, "retain")
        message = _messages_of(readings, sent_ms, code)
        if message is None:
            sizes = np.ones(len(payloads), np.int64)
            return Messages(sent_ms, [topics[at] for at in code.tolist()], payloads, sizes, _if_any(retain))
        order = np.argsort(message, kind="stable")
        starts = np.flatnonzero(np.diff(message[order], prepend=-1))
        sizes = np.diff(starts, append=order.size)
        first = order[starts]
        spans = zip(starts.tolist(), (starts + sizes).tolist(), strict=True)
        texts = [payloads[order[a]] if b - a == 1 else _array(payloads, order[a:b]) for a, b in spans]
        return Messages(
            sent_ms[first], [topics[at] for at in code[first].tolist()], texts, sizes, _if_any(retain[first])
        )

    def _batched(self, readings: pd.DataFrame, batch_ms: int) -> Messages:
        places, place = self._places(readings)
        gateways, gateway_of = _distinct([wire.gateway_topic(p.station_id, p.building_id) for p in places])
        sent_ms, gateway = _sent_ms(readings), gateway_of[place]
        order = np.lexsort((gateway, sent_ms // batch_ms))
        names = [f'"point":{json.dumps(p.point_id)},' for p in places]
        named = _named(readings)
        bodies = [
            f"{{{'' if device else names[at]}{body}}}"
            for at, device, body in zip(place.tolist(), named.tolist(), _bodies(readings), strict=True)
        ]
        edges = _edges(sent_ms[order] // batch_ms, gateway[order])
        spans = list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
        payloads = [_array(bodies, order[first:last]) for first, last in spans]
        topics = [gateways[gateway[order[first]]] for first in edges[:-1]]
        batches = Messages(sent_ms[order[edges[1:] - 1]], topics, payloads, np.diff(edges))
        return batches.merged(Messages.none())

    def _places(self, readings: pd.DataFrame) -> tuple[list[_Place], Int64]:
        """Return the places that occur, and for each reading the number of its own."""
        code, points = pd.factorize(readings["point_id"])
        time_ms = readings["time_ms"].to_numpy(np.int64)
        places: list[_Place] = []
        first = np.empty(len(points), dtype=np.int64)
        moved: list[tuple[int, Int64]] = []
        for number, point_id in enumerate(points):
            first[number] = len(places)
            rows = self._rows.get(point_id, [])
            places += [_Place(row.station_id, row.building_id, point_id) for row in rows]
            if not rows:
                places.append(_Place(wire.NOWHERE, wire.NOWHERE, point_id))
            if len(rows) > 1:
                moved.append((number, np.array([row.valid_from_ms for row in rows], dtype=np.int64)))
        at: Int64 = first[code]
        for number, since_ms in moved:
            here = code == number
            at[here] += np.maximum(np.searchsorted(since_ms, time_ms[here], side="right") - 1, 0)
        return places, at


def supply_messages(samples: pd.DataFrame) -> Messages:
    """Return a message for each row of what stations measure.

    Parameters
    ----------
    samples
        Sorted by time: ``time, subject_id`` (a station), ``supply_c, return_c`` [degC] and ``flow_m3_h``; what is no
        finite number is sent as null. Each of the three is a reading to whoever counts them.
    """
    time_ms = samples["time"].to_numpy(dtype="datetime64[ms]").view(np.int64)
    columns = [[f'{{"ts":{value}' for value in time_ms.tolist()]]
    columns += [_numbers(f',"{name}":', samples[name], missing="null") for name in MEASURES]
    payloads = ["".join(fields) + "}" for fields in zip(*columns, strict=True)]
    topics = [wire.supply_topic(str(station)) for station in samples["subject_id"].tolist()]
    return Messages(time_ms, topics, payloads, np.full(len(payloads), len(MEASURES), np.int64))


def _bodies(readings: pd.DataFrame) -> list[str]:
    """Return the fields of each reading as JSON, without the braces."""
    times = [f'"ts":{value},' for value in readings["time_ms"].tolist()]
    for row in np.flatnonzero(_marks(readings, "timeless")):
        times[row] = ""
    columns = [times, _numbers('"t":', readings["temperature_c"], missing="null")]
    columns += [_numbers(f',"{key}":', readings[name]) for name, key in _OPTIONAL.items() if name in readings]
    columns += [_texts(readings[name], key) for name, key in _TEXTS.items() if name in readings]
    return ["".join(fields) for fields in zip(*columns, strict=True)]


def _texts(values: pd.Series[str], key: str) -> list[str]:
    """Return each text after its key, nothing where it is empty or missing; flags are words with commas between."""
    code, names = pd.factorize(values)
    said = [json.dumps(name.split(",") if key == _FLAGS else name, separators=(",", ":")) for name in names]
    texts = [f',"{key}":{text}' if name else "" for name, text in zip(names, said, strict=True)]
    return [texts[at] for at in code.tolist()] if -1 not in code else [texts[at] if at >= 0 else "" for at in code]


def _named(readings: pd.DataFrame) -> Bool:
    """Mark readings that name their device."""
    if "device_id" not in readings:
        return np.zeros(len(readings), dtype=np.bool_)
    return (readings["device_id"].notna() & (readings["device_id"] != "")).to_numpy(np.bool_)


def _array(objects: Sequence[str], chosen: Int64) -> str:
    return "[" + ",".join(objects[at] for at in chosen.tolist()) + "]"


def _sent_ms(readings: pd.DataFrame) -> Int64:
    return readings["sent_ms" if "sent_ms" in readings else "time_ms"].to_numpy(np.int64)


def _if_any(marks: Bool) -> Bool | None:
    return marks if marks.any() else None


def _messages_of(readings: pd.DataFrame, sent_ms: Int64, place: Int64) -> Int64 | None:
    """Return for each reading the row of the first one in its message; None where each has its own."""
    if "group" not in readings:
        return None
    group = readings["group"].to_numpy(np.int64)
    together = np.flatnonzero((group >= 0) & ~_marks(readings, "unreadable"))
    if not together.size:
        return None
    message = np.arange(len(readings), dtype=np.int64)
    keys = np.stack([place[together], group[together], sent_ms[together], _marks(readings, "retain")[together]])
    number = np.unique(keys, axis=1, return_inverse=True)[1]
    order = np.argsort(number, kind="stable")
    starts = np.flatnonzero(np.diff(number[order], prepend=-1))
    within = np.arange(order.size) - np.repeat(starts, np.diff(starts, append=order.size))
    head = np.maximum.accumulate(np.where(within % MAX_BATCH == 0, np.arange(order.size), 0))
    message[together[order]] = together[order[head]]
    return message


def _numbers(key: str, values: pd.Series[float], missing: str | None = None) -> list[str]:
    """Return each number after its key; where it is not finite `missing` in its place, or nothing at all."""
    numbers = values.to_numpy()
    texts = [f"{key}{value!r}" for value in numbers.tolist()]
    if numbers.dtype.kind == "f":
        for row in np.flatnonzero(~np.isfinite(numbers)):
            texts[row] = "" if missing is None else key + missing
    return texts


def _marks(readings: pd.DataFrame, name: str) -> Bool:
    if name not in readings:
        return np.zeros(len(readings), dtype=np.bool_)
    return readings[name].to_numpy(np.bool_)


def _distinct(names: Sequence[str]) -> tuple[list[str], Int64]:
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return list(numbers), np.array([numbers[name] for name in names], dtype=np.int64)


def _edges(bucket: Int64, group: Int64) -> Int64:
    """Return where batches begin, and the end of the last: at each new bucket or group, and after 200 readings."""
    new = (np.diff(bucket, prepend=-1) != 0) | (np.diff(group, prepend=-1) != 0)
    starts = np.flatnonzero(new)
    within = np.arange(bucket.size) - np.repeat(starts, np.diff(starts, append=bucket.size))
    return np.append(np.flatnonzero(within % MAX_BATCH == 0), bucket.size).astype(np.int64)
