"""From a message to readings: one decoder for each kind of payload, chosen by the message's topic.

A decoder is a function of the topic's levels, the payload and the moment of arrival [ms]. It returns the readings,
or `NoReading` where there rightly is none, or raises `Undecodable`. It looks at nothing else, so that a message
decoded again gives the same readings. Whether their times can be right is asked of the clock: see `fault`.

Other makers' decoders are registered by entry points of the group ``heatwatch.decoders``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.metadata import entry_points
from typing import Any

from paho.mqtt.client import topic_matches_sub

from heatwatch.domain.instants import iso
from heatwatch.domain.supply import MEASURES, PREFIX, WHOLE_STATION, SupplySource
from heatwatch.errors import BadInput
from heatwatch.wire import READINGS_FILTERS, SUPPLY_FILTER, split_topic

GROUP = "heatwatch.decoders"
OWN = "heatwatch"
OWN_SUPPLY = "heatwatch-supply"
OWN_FIELDS = frozenset({"ts", "t", "rh", "bat", "rssi", "seq", "flags", "point", "device"})
SUPPLY_FIELDS = frozenset({"ts", *MEASURES, "bat", "rssi", "seq", "flags"})
LONGEST_NAME = 255
FIRST_MS = 946_684_800_000
"""2000-01-01: the clock of a device that is before it was never set, or counts seconds."""
LAST_MS = 4_102_444_800_000
"""2100-01-01: past it no time can be right, whatever the clock says."""


class Undecodable(Exception):  # noqa: N818 - named after what became of it
    """A message, or one reading in it, cannot be used: why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading as the device sent it; NaN is a value that it did not send.

    A temperature that is no finite number (null, or the literals NaN and Infinity, which devices send although JSON
    knows none) is a reading all the same, for the device was heard: null becomes NaN, the others stay what they are.
    """

    position: int
    source: str
    time_ms: int
    temp_c: float
    humidity_pct: float = math.nan
    battery: float = math.nan
    rssi_dbm: float = math.nan
    flags: str = ""

    def __post_init__(self) -> None:
        values = (self.temp_c, self.humidity_pct, self.battery, self.rssi_dbm)
        if type(self.time_ms) is not int or not all(isinstance(value, float) for value in values):
            msg = f"times are int, values are float: {self}"
            raise TypeError(msg)


@dataclass(frozen=True, slots=True)
class Refused:
    """One reading of a message that cannot be used, and why; `source` is empty where the message names none."""

    position: int
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a message held: at least one reading, used or refused, each at a position of its own.

    `piece` gives the bytes of the reading at a position; without it the whole message stands for each.
    """

    readings: Sequence[Reading]
    refused: Sequence[Refused] = ()
    piece: Callable[[int], bytes] | None = None


@dataclass(frozen=True, slots=True)
class NoReading:
    """A message that rightly holds no reading: a report of the battery alone, an empty batch."""


Decoder = Callable[[Sequence[str], bytes, int], Decoded | NoReading]


class Decoders:
    """Which decoder takes which message.

    Parameters
    ----------
    chosen
        Names of decoders by topic filter; the first filter that matches wins. Our own convention by default.

    Raises
    ------
    BadInput
        If a decoder is not installed.
    """

    def __init__(self, chosen: Mapping[str, str] | None = None) -> None:
        names = {**dict.fromkeys(READINGS_FILTERS, OWN), SUPPLY_FILTER: OWN_SUPPLY} if chosen is None else chosen
        self._chosen = [(topics, name, _load(name)) for topics, name in names.items()]
        self._route = lru_cache(maxsize=1 << 16)(self._find)

    def decode(self, topic: bytes, payload: bytes, arrived_ms: int) -> Decoded | NoReading:
        """Decode a message.

        Raises
        ------
        Undecodable
            Whatever is wrong with it, a decoder that fails included.
        """
        name, decoder, levels = self._route(topic)
        try:
            decoded = decoder(levels, payload, arrived_ms)
        except Undecodable:
            raise
        except Exception as error:
            raise Undecodable(f"decoder {name} failed: {_show(error)}") from error
        if isinstance(decoded, Decoded):
            positions = [reading.position for reading in decoded.readings] + [one.position for one in decoded.refused]
            if not positions or len(set(positions)) < len(positions):
                raise Undecodable(f"decoder {name} failed: positions {_show(positions)}")
        return decoded

    def _find(self, topic: bytes) -> tuple[str, Decoder, Sequence[str]]:
        try:
            text = topic.decode()
        except UnicodeDecodeError as error:
            raise Undecodable("topic is not UTF-8") from error
        for topics, name, decoder in self._chosen:
            if topic_matches_sub(topics, text):
                levels = split_topic(text)
                if any("\ufffd" in level for level in levels):
                    raise Undecodable("a level of the topic is not UTF-8")
                return name, decoder, levels
        raise Undecodable("no decoder takes this topic")


def fault(reading: Reading, now_ms: int | None, ahead_limit_ms: int) -> str:
    """Say why a reading cannot be kept as it is; nothing where it can.

    Its source must be a name that every store can hold, and its time must be possible: a device's clock may be unset,
    count seconds, or run ahead. `now_ms` is None where the clock has not begun.
    """
    if not _storable(reading.source) or not reading.source:
        return f"source is no name: {_show(reading.source)}"
    if not _storable(reading.flags, longest=1 << 16):
        return f"flags cannot be kept: {_show(reading.flags)}"
    if not FIRST_MS <= reading.time_ms < LAST_MS:
        return f"time cannot be right (clock unset, or not in ms): {_show(reading.time_ms)}"
    if now_ms is not None and reading.time_ms - now_ms >= ahead_limit_ms:
        return f"time {iso(reading.time_ms)} is ahead of the clock, {iso(now_ms)}"
    return ""


def countable(source: str) -> str:
    """Return the name under which a source is counted: nothing, where it is no name."""
    return source if _storable(source) else ""


def sender(topic: bytes) -> str:
    """Name who sent a message: the point or the gateway of our own topics, otherwise the topic."""
    text = topic_text(topic)
    own = any(topic_matches_sub(topics, text) for topics in READINGS_FILTERS)
    name = split_topic(text)[3] if own else text
    return name.replace("\x00", "\\x00")[:LONGEST_NAME]


def topic_text(topic: bytes) -> str:
    """Return a topic as text that every database can keep."""
    return topic.decode(errors="backslashreplace").replace("\x00", "\\x00")


def decode_own(levels: Sequence[str], payload: bytes, arrived_ms: int) -> Decoded | NoReading:  # noqa: ARG001 - a Decoder
    """Decode our own convention: a JSON object or an array of them, on the topic of a point or of a gateway.

    >>> decode_own(["heat", "s1", "b1", "p1", "reading"], b'{"ts": 1764038400000, "t": 19.37}', 0).readings[0].temp_c
    19.37
    """
    text, document = _parse(payload)
    many = isinstance(document, list)
    point = levels[3] if levels[-1] == "reading" else None
    readings, refused = list[Reading](), list[Refused]()
    for position, item in enumerate(document if many else [document]):
        try:
            readings += _readings(position, item, point)
        except Undecodable as error:
            refused.append(Refused(position, _source_or_none(item, point), error.reason))
    if not readings and not refused:
        return NoReading()
    return Decoded(readings, refused, partial(_piece, text) if many else None)


def decode_supply(levels: Sequence[str], payload: bytes, arrived_ms: int) -> Decoded | NoReading:  # noqa: ARG001 - a Decoder
    """Decode what flows to a station or building: each quantity of an object is a reading of a source of its own.

    A quantity that is null is a reading without a value: the sensor was heard.

    >>> decoded = decode_supply(["heat", "s1", "_", "supply"], b'{"ts": 1764038400000, "supply_c": 61.5}', 0)
    >>> decoded.readings[0].source, decoded.readings[0].temp_c
    ('supply:s1/_:supply_c', 61.5)
    """
    text, document = _parse(payload)
    many = isinstance(document, list)
    station, building = levels[1], "" if levels[2] == WHOLE_STATION else levels[2]
    readings, refused = list[Reading](), list[Refused]()
    for place, item in enumerate(document if many else [document]):
        try:
            readings += _supply_readings(place * len(MEASURES), item, station, building)
        except Undecodable as error:
            source = countable(SupplySource(station, building, MEASURES[0]).name)
            refused.append(Refused(place * len(MEASURES), source, error.reason))
    if not readings and not refused:
        return NoReading()
    return Decoded(readings, refused, partial(_supply_piece, text) if many else None)


def _supply_readings(first: int, item: Any, station: str, building: str) -> list[Reading]:
    """Return the readings in an object, none where it reports other things only."""
    if not isinstance(item, dict):
        raise Undecodable(f"no object: {_show(item)}")
    if not item.keys() & set(MEASURES):
        if unknown := sorted(item.keys() - SUPPLY_FIELDS):
            raise Undecodable(f"no supply_c, return_c or flow_m3_h, but unknown fields: {_show(unknown)}")
        return []
    return [
        Reading(
            position=first + place,
            source=SupplySource(station, building, measure).name,
            time_ms=_time_ms(item),
            temp_c=_number(item, measure),
            battery=_number(item, "bat"),
            rssi_dbm=_number(item, "rssi"),
            flags=_flags(item),
        )
        for place, measure in enumerate(MEASURES)
        if measure in item
    ]


def _supply_piece(text: str, position: int) -> bytes:
    return _piece(text, position // len(MEASURES))


def _parse(payload: bytes) -> tuple[str, Any]:
    try:
        text = payload.decode()
        document = json.loads(text)
    except UnicodeDecodeError as error:
        raise Undecodable(f"payload is not UTF-8 at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise Undecodable(f"payload is no JSON: {_show(error)}") from error
    if not isinstance(document, dict | list):
        raise Undecodable(f"payload is no object and no array: {_show(document)}")
    return text, document


def _readings(position: int, item: Any, point: str | None) -> list[Reading]:
    """Return the reading in an object, or none where it reports other things only."""
    if not isinstance(item, dict):
        raise Undecodable(f"no object: {_show(item)}")
    if "t" not in item:
        if unknown := sorted(item.keys() - OWN_FIELDS):
            raise Undecodable(f"no t, but unknown fields: {_show(unknown)}")
        return []
    return [
        Reading(
            position=position,
            source=_source(item, point),
            time_ms=_time_ms(item),
            temp_c=_number(item, "t"),
            humidity_pct=_number(item, "rh"),
            battery=_number(item, "bat"),
            rssi_dbm=_number(item, "rssi"),
            flags=_flags(item),
        )
    ]


def _source(item: dict[str, Any], point: str | None) -> str:
    """Return the device that an object names, or else its point; an object may not contradict its topic."""
    named, device = item.get("point", point), item.get("device")
    if point is not None and named != point:
        raise Undecodable(f"names another point than its topic: {_show(named)}")
    source = named if device is None else device
    if not isinstance(source, str):
        raise Undecodable("names neither device nor point" if source is None else f"name is no text: {_show(source)}")
    if source.startswith(PREFIX):
        raise Undecodable(f"name is a supply sensor's: {_show(source)}")
    return source


def _source_or_none(item: Any, point: str | None) -> str:
    try:
        source = _source(item, point)
    except (Undecodable, AttributeError):
        return point or ""
    return countable(source)


def _time_ms(item: dict[str, Any]) -> int:
    ts = item.get("ts")
    if ts is None:
        raise Undecodable("no time")
    whole = ts.is_integer() if isinstance(ts, float) else isinstance(ts, int) and not isinstance(ts, bool)
    if not whole:
        raise Undecodable(f"ts is no whole number of ms: {_show(ts)}")
    return int(ts)


def _number(item: dict[str, Any], field: str) -> float:
    value = item.get(field)
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Undecodable(f"{field} is no number: {_show(value)}")
    try:
        return float(value)
    except OverflowError as error:
        raise Undecodable(f"{field} is no number that can be kept: {_show(value)}") from error


def _flags(item: dict[str, Any]) -> str:
    flags = item.get("flags") or []
    if not isinstance(flags, list) or not all(isinstance(flag, str) and "," not in flag for flag in flags):
        raise Undecodable(f"flags are no list of words: {_show(flags)}")
    return ",".join(flags)


def _piece(text: str, position: int) -> bytes:
    return _pieces(text)[position].encode()


@lru_cache(maxsize=1)
def _pieces(text: str) -> list[str]:
    """Cut a JSON array into its elements as they were written.

    >>> _pieces('[{"t": 1.50}, 2]')
    ['{"t": 1.50}', '2']
    """
    decoder, pieces = json.JSONDecoder(), list[str]()
    at = text.index("[") + 1
    while True:
        while text[at] in " \t\r\n,":
            at += 1
        if text[at] == "]":
            return pieces
        end = decoder.raw_decode(text, at)[1]
        pieces.append(text[at:end])
        at = end


def _storable(text: str, longest: int = LONGEST_NAME) -> bool:
    """Whether every database takes a text: no lone surrogate, no NUL, not endless."""
    return text.replace("\u3000", " ").isprintable() and len(text) <= longest


def _show(value: object, longest: int = 80) -> str:
    shown = ascii(value)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


_OURS: Mapping[str, Decoder] = {OWN: decode_own, OWN_SUPPLY: decode_supply}


def _load(name: str) -> Decoder:
    if name in _OURS:
        return _OURS[name]
    installed = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in installed:
        raise BadInput(
            f"no decoder {name!r}", where="decoders", mend=f"installed: {', '.join(sorted({*_OURS, *installed}))}"
        )
    decoder: Decoder = installed[name].load()
    return decoder
