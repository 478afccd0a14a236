"""What a run publishes: a small town's readings with everything that goes wrong on their way, known beforehand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from heatwatch import wire
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS, iso
from heatwatch.domain.register import PointRow
from heatwatch.files.points_file import points_frame
from simulators.publishing.encoding import Encoder, Messages
from simulators.publishing.publisher import SteppedPublisher
from simulators.thermometers.devices import ThermometerSettings
from simulators.towns.settings import TownSettings
from simulators.towns.town import Town

STREAM = 17
BUILDINGS, ROOMS_PER_BUILDING = (3, 4), (4, 5)
INTERVAL_S = 900
STEPS_MIN = (24, 30)
HOURS = (21, 28)
LATE_H = (1.0, 9.0)
CONFLICTS, AGAIN, NOTHING, GARBAGE, SENSELESS = 6, 20, 4, 6, 4
GARBLED = ('{"ts": %d, "t":', "%d degrees", '"%d"', "[%d, 2")

Key = tuple[str, int, str]
"""Source, time [ms], temperature [degC] as text: NaN is a value here."""
Bytes = tuple[str, str]
"""Topic and payload."""


@dataclass(frozen=True)
class Load:
    """Everything that a run publishes, and what has to become of it.

    Attributes
    ----------
    seed, step_ms, start_ms, end_ms
        What it was drawn from; the clock's step, the first moment and where the clock ends [ms].
    rows
        The register.
    messages
        All messages, in the order in which they are published.
    readings
        ``time_ms, point_id, temperature_c`` of every reading that has to be stored; copies and conflicts as they stand.
    garbage
        Messages that nobody can read: the whole message has to be in quarantine.
    senseless
        Messages of one reading each whose time cannot be right: that reading has to be in quarantine.
    """

    seed: int
    step_ms: int
    start_ms: int
    end_ms: int
    rows: Sequence[PointRow]
    messages: Messages
    readings: pd.DataFrame
    garbage: frozenset[Bytes]
    senseless: frozenset[Bytes]

    def publisher(self, port: int, run: str) -> SteppedPublisher:
        """Return a publisher for this load's steps."""
        return SteppedPublisher("127.0.0.1", port, run=run, step_ms=self.step_ms, timeout_s=60.0)

    def source(self, start_ms: int, end_ms: int) -> Messages:
        """Return the messages of a stretch of time, as a publisher asks for them."""
        first, last = np.searchsorted(self.messages.time_ms, [start_ms, end_ms])
        return self.messages.part(int(first), int(last))

    def steps(self) -> list[tuple[Messages, int]]:
        """Return the messages of each step with where the clock stands after it [ms], as a publisher cuts them."""
        return list(self.publisher(1, "none")._steps(self.source, self.start_ms, self.end_ms, self.end_ms))

    def keys(self) -> Counter[Key]:
        """Count the readings that have to be stored by source, time and value."""
        return keys(self.readings["point_id"], self.readings["time_ms"], self.readings["temperature_c"])

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write what was published, and the register, as `heatwatch judge` reads them."""
        rows = self.readings.assign(time=[iso(at) for at in self.readings["time_ms"].tolist()])
        rows[["time", "point_id", "temperature_c"]].to_csv(folder / "readings.csv", index=False)
        points_frame(self.rows).to_csv(folder / "points.csv", index=False)
        return folder / "readings.csv", folder / "points.csv"

    def __str__(self) -> str:
        rooms, steps = len(self.rows), (self.end_ms - self.start_ms) // self.step_ms
        return (
            f"{rooms} rooms, {len(self.messages)} messages, {len(self.readings)} readings, "
            f"{steps} steps of {self.step_ms // MINUTE_MS} min"
        )


def keys(source: pd.Series[str], time_ms: pd.Series[int], temp_c: pd.Series[float]) -> Counter[Key]:
    """Count readings by source, time and value."""
    values = (repr(value) for value in temp_c.tolist())
    return Counter(zip(source.tolist(), time_ms.tolist(), values, strict=True))


def load(seed: int) -> Load:
    """Draw a load: a stop of heat of more than 8 h, cold rooms, a silent gateway, and mishaps on the way."""
    rng = np.random.default_rng([seed, STREAM])
    town = Town(_settings(seed, rng))
    hours, step_ms = int(rng.integers(*HOURS)), int(rng.choice(STEPS_MIN)) * MINUTE_MS
    end_ms = town.start_ms + hours * HOUR_MS
    frame = town.readings(town.start_ms, end_ms)
    batch_ms = step_ms if rng.random() < 0.5 else None
    post = _Post(town.points(), batch_ms, rng, end_ms)
    readings = post.send(frame.drop(columns="copy"))
    return Load(
        seed,
        step_ms,
        town.start_ms,
        end_ms,
        town.points(),
        post.messages,
        readings,
        frozenset(post.garbage),
        frozenset(post.senseless),
    )


def _settings(seed: int, rng: np.random.Generator) -> TownSettings:
    rooms_each = int(rng.integers(*ROOMS_PER_BUILDING, endpoint=True))
    return TownSettings(
        seed=seed,
        rooms=rooms_each * int(rng.integers(*BUILDINGS, endpoint=True)),
        rooms_per_building=rooms_each,
        stations=int(rng.integers(1, 3)),
        interval_s=INTERVAL_S,
        cold_rooms=int(rng.integers(2, 5)),
        outage_after_h=float(rng.uniform(2.0, 5.0)),
        outage_h=float(rng.uniform(9.0, 12.0)),
        silent_after_h=float(rng.uniform(2.0, 8.0)),
        silent_h=float(rng.uniform(9.0, 12.0)),
        silent_share=float(rng.choice([0.5, 1.0])),
        thermometers=ThermometerSettings(duplicate_share=0.005),
    )


class _Post:
    """Puts readings into messages, and lets mishaps happen to them."""

    def __init__(self, rows: Sequence[PointRow], batch_ms: int | None, rng: np.random.Generator, end_ms: int) -> None:
        self._rows, self._rng, self._end_ms = rows, rng, end_ms
        self._batches, self._singles = Encoder(rows, batch_ms=batch_ms), Encoder(rows)
        self.messages = Messages.none()
        self.garbage: set[Bytes] = set()
        self.senseless: set[Bytes] = set()

    def send(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Turn a town's readings into messages; return the readings that have to be stored."""
        unreadable = frame["unreadable"].to_numpy(np.bool_)
        self._discard(self._singles.encode(frame[unreadable]))
        good = frame[~unreadable].drop(columns="unreadable").reset_index(drop=True)
        good.loc[self._some(good, NOTHING), "temperature_c"] = np.nan
        late = self._late(good)
        again = good.loc[self._some(good, AGAIN)]
        other = good.loc[self._some(good, CONFLICTS)]
        other = other.assign(temperature_c=other["temperature_c"].fillna(20.0) + 1.5)
        self._add(self._batches.encode(good[~late]))
        for strays in (good[late], again, other):
            self._add(self._delayed(self._singles.encode(strays)))
        self._strange(good)
        return pd.concat([good, again, other], ignore_index=True)[["time_ms", "point_id", "temperature_c"]]

    def _some(self, frame: pd.DataFrame, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.sort(self._rng.choice(len(frame), count, replace=False)).astype(np.int64)

    def _late(self, good: pd.DataFrame) -> pd.Series[bool]:
        """Mark what comes late: some readings here and there, and some hours of one room."""
        room = self._rng.choice(good["point_id"].unique())
        from_ms = int(self._rng.integers(good["time_ms"].iloc[0], self._end_ms - 4 * HOUR_MS))
        held_back = (good["point_id"] == room) & good["time_ms"].between(from_ms, from_ms + 2 * HOUR_MS)
        here_and_there = pd.Series(self._rng.random(len(good)) < 0.01, index=good.index)
        late: pd.Series[bool] = held_back | here_and_there
        return late

    def _delayed(self, messages: Messages) -> Messages:
        """Let messages be sent hours after what they speak of."""
        delay_ms = (self._rng.uniform(*LATE_H, len(messages)) * HOUR_MS).astype(np.int64)
        late = replace(messages, time_ms=np.minimum(messages.time_ms + delay_ms, self._end_ms - 1))
        return _in_order(late)

    def _strange(self, good: pd.DataFrame) -> None:
        """Add messages that nobody can read, and readings whose time cannot be right."""
        span = (int(good["time_ms"].iloc[0]), self._end_ms)
        for number in range(GARBAGE):
            payload = GARBLED[number % len(GARBLED)] % number
            topic = self._topic() if number % 2 else f"heat/S1/odd/{number}"
            self._discard(_single(int(self._rng.integers(*span)), topic, payload))
        for number in range(SENSELESS):
            at_ms = int(self._rng.integers(*span))
            time_ms = number if number % 2 else at_ms + 40 * DAY_MS + number
            message = _single(at_ms, self._topic(), json.dumps({"ts": time_ms, "t": 20.0}))
            self.senseless.add((message.topics[0], message.payloads[0]))
            self._add(message)

    def _topic(self) -> str:
        row = self._rows[int(self._rng.integers(len(self._rows)))]
        return wire.reading_topic(row.station_id, row.building_id, row.point_id)

    def _discard(self, messages: Messages) -> None:
        self.garbage |= set(zip(messages.topics, messages.payloads, strict=True))
        self._add(messages)

    def _add(self, messages: Messages) -> None:
        self.messages = self.messages.merged(messages)


def _single(at_ms: int, topic: str, payload: str) -> Messages:
    return Messages(np.array([at_ms], np.int64), [topic], [payload], np.ones(1, np.int64))


def _in_order(messages: Messages) -> Messages:
    return Messages.none().merged(messages)


def describe(counts: Mapping[Key, int], most: int = 5) -> str:
    """Write the first of some readings, for a message."""
    told = [f"{source} {iso(at)} {value} x{count}" for (source, at, value), count in list(counts.items())[:most]]
    return f"{len(counts)}: {', '.join(told)}"
