r"""Readings as line protocol.

Three things InfluxDB cannot hold [1]_ [2]_, and what stands for them:

- A backslash at the end of a tag swallows the space after it, a line break ends the line, and nothing escapes either.
  Sources are therefore percent-encoded where they hold ``%``, a backslash or a control character, and nowhere else.
- There is no NaN and no infinity: a value that was not sent is no field, an infinite one is refused here.
- A point without a field does not exist, and a second point of the same source and time replaces the fields of the
  first. Who writes has to keep such readings elsewhere (R8); `lines` refuses the former and cannot see the latter.

References
----------
.. [1] InfluxDB 1.8 documentation, "InfluxDB line protocol reference".
.. [2] InfluxDB 1.8 documentation, "Frequently asked questions: how does InfluxDB handle duplicate points?".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import lru_cache

from heatwatch.stores.influx.schema import READING, SOURCE
from heatwatch.stores.readings import ReadingBatch

MEASURED = ("temperature_c", "humidity_pct", "battery", "rssi_dbm")

_UNTAGGABLE = re.compile(r"[%\\\x00-\x1f\x7f]")
_ENCODED = re.compile(r"%([0-9A-F]{2})")
_ESCAPED = re.compile(r"[,= ]")


PRECISION = "ms"
"""The `precision` with which lines are written: times are milliseconds since 1970, UTC."""


def lines(batch: ReadingBatch) -> list[str]:
    """Return the rows of a batch as line protocol, a line each, in their order, without a line break.

    Flags, the time of arrival and the birth certificates are no part of a raw point.

    Raises
    ------
    ValueError
        If a row has no source, no value at all, or an infinite one.
    """
    times, values = batch.time_ms.tolist(), _values(batch)
    rows = enumerate(zip(batch.source, values, times, strict=True))
    return [_line(row, source, measured, time_ms) for row, (source, measured, time_ms) in rows]


def tag_of(source: str) -> str:
    r"""Return the value of the tag that stands for a source.

    Raises
    ------
    ValueError
        If the source is empty: InfluxDB has no empty tag.

    Examples
    --------
    >>> tag_of("室温 1")
    '室温 1'
    >>> tag_of("a\\b 5%")
    'a%5Cb 5%25'
    """
    if not source:
        raise ValueError("a reading without a source")
    return _UNTAGGABLE.sub(lambda found: f"%{ord(found[0]):02X}", source)


def source_of(tag: str) -> str:
    r"""Return the source for which the value of a tag stands; `source_of(tag_of(s)) == s`.

    >>> print(source_of("a%5Cb 5%25"))
    a\b 5%
    """
    return _ENCODED.sub(lambda found: chr(int(found[1], 16)), tag)


def _values(batch: ReadingBatch) -> Iterator[tuple[float, ...]]:
    columns = (batch.temp_c, batch.humidity_pct, batch.battery, batch.rssi_dbm)
    return zip(*(column.tolist() for column in columns), strict=True)


def _line(row: int, source: str, measured: tuple[float, ...], time_ms: int) -> str:
    named = zip(MEASURED, measured, strict=True)
    fields = [(name, value) for name, value in named if not math.isnan(value)]
    if not fields:
        raise ValueError(f"row {row} of {source!r} has no value")
    if any(math.isinf(value) for _, value in fields):
        raise ValueError(f"row {row} of {source!r} has an infinite value")
    return f"{_series(source)} {','.join(f'{name}={value!r}' for name, value in fields)} {time_ms}"


@lru_cache(maxsize=65536)
def _series(source: str) -> str:
    return f"{READING.name},{SOURCE.name}={_ESCAPED.sub(_with_backslash, tag_of(source))}"


def _with_backslash(found: re.Match[str]) -> str:
    return f"\\{found[0]}"
