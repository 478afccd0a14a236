"""A stand-in for InfluxDB that holds points as it does: fields of one series and time are put together."""

from __future__ import annotations

import re
from collections.abc import Mapping

from heatwatch.errors import Unavailable
from heatwatch.stores.influx.schema import MEASUREMENTS, FieldType
from heatwatch.stores.influx.server import Refused

Tags = tuple[tuple[str, str], ...]
Value = float | int | str | bool
Points = dict[tuple[Tags, int], dict[str, Value]]

_LINE = re.compile(r'^((?:\\.|[^ \\])+) ((?:"(?:\\.|[^"\\])*"|[^ "])+) (-?\d+)$')
_FIELD = re.compile(r'([a-z0-9_]+)=("(?:\\.|[^"\\])*"|[^,]+)(?:,|$)')
_BY_NAME = {one.name: one for one in MEASUREMENTS}


class Pad:
    """Takes lines that the schema knows.

    Attributes
    ----------
    points
        By measurement.
    away
        It does not answer: 1 before it takes anything, 2 after it has; each call takes one from the list.
    never
        A line in which this stands is refused.
    """

    def __init__(self) -> None:
        self.points: dict[str, Points] = {}
        self.away: list[int] = []
        self.never = ""
        self.requests = 0
        self.longest = 0

    def write(self, lines: bytes, *, precision: str = "ms") -> None:
        """Take lines, or do not answer, or refuse all where one is bad."""
        assert precision == "ns"
        self.requests += 1
        away = self.away.pop(0) if self.away else 0
        if away == 1:
            raise Unavailable("influx", "away")
        text = lines.decode()
        assert text.endswith("\n")
        told = text[:-1].split("\n")
        self.longest = max(self.longest, len(told))
        if self.never and any(self.never in line for line in told):
            raise Refused("unable to parse")
        for line in told:
            self._take(line)
        if away == 2:
            raise Unavailable("influx", "gone")

    def ping(self) -> None:
        """Answer."""

    def close(self) -> None:
        """Keep everything."""

    def _take(self, line: str) -> None:
        name, tags, fields, time_ns = parsed(line)
        self.points.setdefault(name, {}).setdefault((tags, time_ns), {}).update(fields)

    def rows(self, measurement: str) -> list[dict[str, Value]]:
        """Return the points of a measurement, tags and fields together, with `time`, in order."""
        points = self.points.get(measurement, {})
        return [dict(tags) | fields | {"time": time} for (tags, time), fields in sorted(points.items(), key=_order)]


def _order(one: tuple[tuple[Tags, int], object]) -> tuple[int, Tags]:
    (tags, time), _ = one
    return time, tags


def parsed(line: str) -> tuple[str, Tags, Mapping[str, Value], int]:
    """Take a line apart; what the schema does not know fails."""
    found = _LINE.match(line)
    assert found, line
    name, *tags = re.split(r"(?<!\\),", found[1])
    measurement = _BY_NAME[name]
    pairs = [re.split(r"(?<!\\)=", tag) for tag in tags]
    assert {key for key, _ in pairs} <= {tag.name for tag in measurement.tags}, line
    fields = {key: _value(measurement.field(key).type, value) for key, value in _FIELD.findall(found[2])}
    assert fields, line
    return name, tuple((key, re.sub(r"\\([,= ])", r"\1", value)) for key, value in pairs), fields, int(found[3])


def _value(kind: FieldType, text: str) -> Value:
    if kind is FieldType.STRING:
        assert text[0] == text[-1] == '"', text
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    if kind is FieldType.BOOLEAN:
        return {"true": True, "false": False}[text]
    if kind is FieldType.INTEGER:
        assert text[-1] == "i", text
        return int(text[:-1])
    assert text[-1] not in 'i"', text
    return float(text)
