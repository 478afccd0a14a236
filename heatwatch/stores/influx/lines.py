r"""Readings as line protocol.

What InfluxDB cannot hold [1]_ [2]_, and what stands for it:

- A backslash at the end of a tag swallows the space after it, a line break ends the line, and nothing escapes either.
  Sources, and flags, are therefore percent-encoded where they hold ``%``, a backslash or a control character, and
  nowhere else.
- There is no NaN and no infinity. A value that was not sent is no field; a temperature that is no finite number is
  named in the field `not_finite`; an infinite one of the others is refused.
- A point without a field does not exist: every reading has its time of arrival.
- A time lies in a signed 64-bit number of nanoseconds; a row of another time is refused.
- A second point of the same source and time replaces the fields of the first. Who writes has to look first (R8).

References
----------
.. [1] InfluxDB 1.8 documentation, "InfluxDB line protocol reference".
.. [2] InfluxDB 1.8 documentation, "Frequently asked questions: how does InfluxDB handle duplicate points?".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from heatwatch.domain.instants import HOUR_MS
from heatwatch.stores.influx.schema import CONFLICT, READING, SOURCE
from heatwatch.stores.readings import Bools, Int32, Int64, ReadingBatch

PRECISION = "ms"
"""The `precision` with which lines are written: times are milliseconds since 1970, UTC."""
FAR_MS = 9_223_372_036_854
"""InfluxDB holds times from `-FAR_MS` to `FAR_MS` [ms]."""
LATE_MS = HOUR_MS
"""From more than this on, a difference between arrival and measurement is a field of its own [ms]."""

MEASURED = ("humidity_pct", "battery", "rssi_dbm")

_UNTAGGABLE = re.compile(r"[%\\\x00-\x1f\x7f]")
_ENCODED = re.compile(r"%([0-9A-F]{2})")
_ESCAPED = re.compile(r"[,= ]")


def lines(batch: ReadingBatch) -> bytes:
    r"""Return the rows of a batch as line protocol, in their order, each line ended by ``\n``.

    Raises
    ------
    ValueError
        If InfluxDB cannot hold a row.
    """
    made = Lines(batch)
    for why in made.unheld.values():
        raise ValueError(why)
    return made.of(np.arange(len(batch)))


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
    return _encoded(source)


def source_of(tag: str) -> str:
    r"""Return the source for which the value of a tag stands; `source_of(tag_of(s)) == s`.

    >>> print(source_of("a%5Cb 5%25"))
    a\b 5%
    """
    return _ENCODED.sub(lambda found: chr(int(found[1], 16)), tag) if "%" in tag else tag


class Lines:
    """A batch, ready to become line protocol chunk by chunk.

    Parameters
    ----------
    batch
        Any rows.

    Attributes
    ----------
    source, code
        The sources, each once, and that of each row.
    unheld
        Why InfluxDB cannot hold a row, by row, for each that it cannot.
    """

    def __init__(self, batch: ReadingBatch) -> None:
        self.batch = batch
        coded = _array(batch.source, pa.string()).dictionary_encode()
        self.source: list[str] = coded.dictionary.to_pylist()
        self.code: Int32 = coded.indices.to_numpy()
        self.unheld = self._unheld()
        self._temp_c = np.asarray(batch.temp_c, np.float64)
        self._series = _array([_series(name) for name in self.source])
        self._flags: Any = _array(batch.flags, pa.string()) if any(batch.flags) else None

    def of(self, row: Int64, nth: Int64 | None = None) -> bytes:
        r"""Return some rows as lines, in the order asked for, each ended by ``\n``.

        Parameters
        ----------
        row
            Which; none of `unheld`.
        nth
            For conflicts: the number of each among the values of its source and time, from 2 on.
        """
        batch, text = self.batch, pa.string()
        time_ms, arrived_ms = _column(batch.time_ms, row), _column(batch.arrived_ms, row)
        parts: list[Any] = [f"{READING.name},"]
        if nth is not None:
            parts = [f"{CONFLICT.name},{CONFLICT.tags[1].name}=", _array(nth).cast(text), ","]
        parts += [self._series.take(_array(self.code[row])), _array(arrived_ms).cast(text), 'i,born="']
        parts += [*self._born(row), '"']
        parts += _floats("temperature_c", self._temp_c[row])
        for name in MEASURED:
            parts += _floats(name, _column(getattr(batch, name), row))
        lag_ms = arrived_ms - time_ms
        late = np.abs(lag_ms) > LATE_MS
        parts += _optional("late_ms", _array(lag_ms).cast(text), late, "i")
        parts += self._not_finite(row)
        if self._flags is not None:
            parts += self._flagged(row)
        parts += [" ", _array(time_ms).cast(text), "\n"]
        return _joined(parts)

    def born(self, row: Int64) -> Any:
        """Return the birth certificates of some rows, as they stand in `born`."""
        return _element_wise(self._born(row))

    def _born(self, row: Int64) -> list[Any]:
        sequence, position = _column(self.batch.sequence, row), _column(self.batch.position, row)
        worker = _encoded(self.batch.worker).replace('"', "%22")
        return [f"{worker}/", _array(sequence).cast(pa.string()), "/", _array(position).cast(pa.string())]

    def _not_finite(self, row: Int64) -> list[Any]:
        temp_c = self._temp_c[row]
        odd = ~np.isfinite(temp_c)
        if not odd.any():
            return []
        named = np.where(np.isnan(temp_c), "nan", np.where(temp_c > 0, "inf", "-inf"))
        return _optional("not_finite", _array(named.astype(object), pa.string()), odd, '"', '"')

    def _flagged(self, row: Int64) -> list[Any]:
        flags = self._flags.take(_array(row)).dictionary_encode()
        said = [_encoded(text).replace('"', '\\"') for text in flags.dictionary.to_pylist()]
        some = _array(said, pa.string()).take(flags.indices)
        there = np.array([text != "" for text in said], bool)[flags.indices.to_numpy()]
        return _optional("flags", some, there, '"', '"')

    def _unheld(self) -> dict[int, str]:
        found: dict[int, str] = {}
        for name in MEASURED:
            infinite = np.isinf(np.asarray(getattr(self.batch, name), np.float64))
            found |= dict.fromkeys(np.nonzero(infinite)[0].tolist(), f"{name} is infinite, which InfluxDB cannot hold")
        time_ms = self.batch.time_ms
        far = (time_ms > FAR_MS) | (time_ms < -FAR_MS)
        found |= dict.fromkeys(np.nonzero(far)[0].tolist(), "InfluxDB has no such time")
        if "" in self.source:
            nameless = np.nonzero(self.code == self.source.index(""))[0].tolist()
            found |= dict.fromkeys(nameless, "a reading without a source")
        return found


def _encoded(text: str) -> str:
    return _UNTAGGABLE.sub(lambda found: f"%{ord(found[0]):02X}", text)


@lru_cache(maxsize=1 << 17)
def _series(source: str) -> str:
    """Return how a point of a source begins after its measurement, up to the field that none is without."""
    return f"{SOURCE.name}={_escaped(_encoded(source))} arrived_ms="


def _escaped(tag: str) -> str:
    return _ESCAPED.sub(lambda found: f"\\{found[0]}", tag)


def _column(values: Any, row: Int64) -> Any:
    return np.asarray(values)[row]


def _floats(name: str, values: Any) -> list[Any]:
    """Return a field as parts of a line; arrow writes the shortest text that gives the same number back."""
    values = np.asarray(values, np.float64)
    there = np.isfinite(values)
    if not there.any():
        return []
    return _optional(name, _text(_array(values)), there)


def _text(values: Any) -> Any:
    coded = values.dictionary_encode()
    if len(coded.dictionary) * 4 > len(values):
        return values.cast(pa.string())
    return coded.dictionary.cast(pa.string()).take(coded.indices)


def _optional(name: str, values: Any, there: Bools, after: str = "", before: str = "") -> list[Any]:
    """Return the parts of a field that only some rows have."""
    if there.all():
        return [f",{name}={before}", values, after]
    if not there.any():
        return []
    some = pc.if_else(_array(there), values, pa.scalar(None, pa.string()))
    return [_element_wise([f",{name}={before}", some, after], nulls="emit_null")]


def _element_wise(parts: Sequence[Any], nulls: str = "skip") -> Any:
    join: Any = pc.binary_join_element_wise
    return join(*_merged(parts), "", null_handling=nulls)


def _array(values: Any, kind: Any = None) -> Any:
    return pa.array(values, kind)


def _merged(parts: Sequence[Any]) -> list[Any]:
    """Put texts that follow one another together."""
    merged: list[Any] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif not isinstance(part, str) or part:
            merged.append(part)
    return merged


def _joined(parts: Sequence[Any]) -> bytes:
    """Return the rows of the joined columns one after another: their memory is the text."""
    rows = _element_wise(parts)
    if not len(rows):
        return b""
    _, offsets, data = rows.buffers()
    first, last = np.frombuffer(offsets, np.int32)[[rows.offset, rows.offset + len(rows)]].tolist()
    body: bytes = data.slice(first, last - first).to_pybytes()
    return body
