"""Points of the schema's other measurements as line protocol, each checked against the schema."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache

from heatwatch.stores.influx.lines import tag_of
from heatwatch.stores.influx.schema import FieldType, Measurement

PRECISION = "ns"
"""The `precision` with which these lines are written."""
NS_PER_MS = 1_000_000
Value = float | int | str | bool

_ESCAPED = re.compile(r"[,= ]")
_BREAKS = re.compile(r"[\x00-\x1f\x7f]+")
_TYPES: Mapping[FieldType, type] = {
    FieldType.FLOAT: float,
    FieldType.INTEGER: int,
    FieldType.STRING: str,
    FieldType.BOOLEAN: bool,
}


def line(measurement: Measurement, tags: Mapping[str, str], fields: Mapping[str, Value | None], time_ns: int) -> str:
    r"""Return a point as a line, without a line break.

    Parameters
    ----------
    measurement
        What it is a point of.
    tags
        Those that are empty are left out: InfluxDB has no empty tag.
    fields
        Those that are None are left out. In texts, what no line can hold (line breaks and the like) is a space.
    time_ns
        Its time, nanoseconds since 1970 [ns].

    Raises
    ------
    ValueError
        If the schema has no such tag or field, or another type of it, a number is not finite, or there is no field.

    Examples
    --------
    >>> from heatwatch.stores.influx.schema import HEATWATCH
    >>> line(HEATWATCH, {}, {"schema": 1, "version": 'a "b"'}, 5)
    'heatwatch schema=1i,version="a \\"b\\"" 5'
    """
    told = [f"{name}={_value(measurement, name, value)}" for name, value in fields.items() if value is not None]
    if not told:
        raise ValueError(f"a point of {measurement.name} without a field")
    return f"{series(measurement, tags)} {','.join(told)} {time_ns}"


def series(measurement: Measurement, tags: Mapping[str, str]) -> str:
    """Return what a line begins with: measurement and tags.

    Raises
    ------
    ValueError
        If the schema has no such tag.
    """
    unknown = tags.keys() - {tag.name for tag in measurement.tags}
    if unknown:
        raise ValueError(f"{measurement.name} has no tag {min(unknown)}")
    return ",".join([measurement.name, *(f"{name}={_tag(value)}" for name, value in sorted(tags.items()) if value)])


def time_of(at_ms: int, number: int) -> int:
    """Return a time [ns] at which what is numbered has a point of its own, whatever else is of the same millisecond.

    >>> time_of(1_764_038_400_000, 17)
    1764038400000000017
    """
    return at_ms * NS_PER_MS + number % NS_PER_MS


@lru_cache(maxsize=65536)
def _tag(value: str) -> str:
    return _ESCAPED.sub(lambda found: f"\\{found[0]}", tag_of(value))


def _value(measurement: Measurement, name: str, value: Value) -> str:
    kind = _type(measurement, name)
    if type(value) is not _TYPES[kind]:
        raise ValueError(f"{measurement.name}.{name} is {kind}, not {value!r}")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}i"
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{measurement.name}.{name} is no number: {value}")
        return repr(value)
    text = _BREAKS.sub(" ", value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


@lru_cache(maxsize=1024)
def _type(measurement: Measurement, name: str) -> FieldType:
    try:
        return measurement.field(name).type
    except KeyError:
        raise ValueError(f"{measurement.name} has no field {name}") from None
