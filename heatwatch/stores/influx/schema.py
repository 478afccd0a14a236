"""How heatwatch lies in InfluxDB: the one table that stores, feed, boards, alerts, tests and documentation read.

A raw reading is kept under (source, time): the source is the device, or the point where no device is named. Station,
building and point are no tags of it: a device moves, and the register's dated assignments say where it hung when it is
judged. What was found is written besides, by station and building, so that Grafana needs no other source.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

SCHEMA_VERSION = 1
"""Grows with every change that a board could notice."""


class FieldType(StrEnum):
    """What a field holds; InfluxDB refuses another type in the same shard."""

    FLOAT = "float"
    INTEGER = "integer"
    STRING = "string"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag: indexed, always text."""

    name: str
    what: str


@dataclass(frozen=True, slots=True)
class Field:
    """A field: its name, its type, its unit (empty where it has none), and what it says."""

    name: str
    type: FieldType
    unit: str
    what: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """A kind of point.

    Attributes
    ----------
    name
        Its name in InfluxDB.
    what
        What one point is.
    time
        What its time is.
    tags, fields
        In the order in which they are documented.
    """

    name: str
    what: str
    time: str
    tags: tuple[Tag, ...]
    fields: tuple[Field, ...]

    def field(self, name: str) -> Field:
        """Return the field of that name.

        Raises
        ------
        KeyError
            If there is none.
        """
        return {field.name: field for field in self.fields}[name]

    @property
    def tag(self) -> str:
        """The name of its only tag.

        Raises
        ------
        ValueError
            If it has more than one.
        """
        (only,) = self.tags
        return only.name


SOURCE = Tag("source", "device, or point where no device is named; percent-encoded where it holds what no tag can")
TEMPERATURE = Field("temperature_c", FieldType.FLOAT, "degC", "as sent; absent where it is no finite number")
READING_FIELDS = (
    TEMPERATURE,
    Field("humidity_pct", FieldType.FLOAT, "%", "relative humidity"),
    Field("battery", FieldType.FLOAT, "as sent", "battery level: percent, volts or millivolts"),
    Field("rssi_dbm", FieldType.FLOAT, "dBm", "strength of the radio signal"),
    Field("flags", FieldType.STRING, "", "comma-joined flags; absent where there are none"),
    Field("not_finite", FieldType.STRING, "", "`nan`, `inf` or `-inf` where the temperature is no finite number"),
    Field("arrived_ms", FieldType.INTEGER, "ms", "when it was received; never absent"),
    Field("late_ms", FieldType.INTEGER, "ms", "how long after it was measured, where that is more than an hour"),
    Field("born", FieldType.STRING, "", "`worker/sequence/position`: the journal's message that brought it"),
)
READING = Measurement("reading", "one reading of one source", "when it was measured", (SOURCE,), READING_FIELDS)
CONFLICT = Measurement(
    "reading_conflict",
    "another value of a source and time that `reading` has already",
    "when it was measured",
    (SOURCE, Tag("nth", "2 for the first of them, and on")),
    READING_FIELDS,
)
MEASUREMENTS = (READING, CONFLICT)
"""All of them; the feed's follow."""
