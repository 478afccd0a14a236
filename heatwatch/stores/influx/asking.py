"""What the reading store asks of an InfluxDB, whatever language it speaks, and how its CSV becomes columns."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from pyarrow import csv

from heatwatch.stores.influx.lines import FAR_MS
from heatwatch.stores.influx.schema import SOURCE, FieldType, Measurement
from heatwatch.stores.influx.server import Influx
from heatwatch.stores.readings import Int32, Int64

MOST_NAMED = 1000
"""Of so many sources each is named; of more all rows of the span are read and the others left out."""
NAMED_AT_ONCE = 200
"""So many are named in one question: a server compares each of its series with each of them."""
_BLOCK_BYTES = 1 << 22
_EMPTY = 16
_TYPES = {FieldType.FLOAT: pa.float64(), FieldType.INTEGER: pa.int64()}
TEXTS = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True, slots=True)
class Asked:
    """Some fields of the points of a measurement within `[start_ms, end_ms)`.

    Attributes
    ----------
    measurement, fields
        Of which, and the names of its fields; the first of them no point is without, unless it is asked for alone or
        `apart`.
    start_ms, end_ms
        The span [ms].
    tags
        Values of the tag `source`; None for all.
    """

    measurement: Measurement
    fields: tuple[str, ...]
    start_ms: int = -FAR_MS
    end_ms: int = FAR_MS + 1
    tags: Sequence[str] | None = None

    @property
    def vain(self) -> bool:
        """Whether nothing can come of it."""
        return self.start_ms > FAR_MS or self.end_ms <= max(self.start_ms, -FAR_MS) or self.tags == []

    @property
    def first_ms(self) -> int:
        """The first moment that InfluxDB can hold."""
        return max(self.start_ms, -FAR_MS)

    @property
    def last_ms(self) -> int:
        """The last moment that InfluxDB can hold."""
        return min(self.end_ms - 1, FAR_MS)

    def parts(self) -> list[Asked]:
        """Return questions that together ask this one and name no more sources each than a server takes lightly."""
        named = self.named()
        if named is None or len(named) <= NAMED_AT_ONCE:
            return [self]
        return [replace(self, tags=named[at : at + NAMED_AT_ONCE]) for at in range(0, len(named), NAMED_AT_ONCE)]

    def named(self) -> Sequence[str] | None:
        """Return the tags that the question names: None where there are too many of them."""
        return None if self.tags is None or len(self.tags) > MOST_NAMED else self.tags


@dataclass(frozen=True, slots=True)
class Points:
    """Points as columns: `tag[code[i]]` is the source of point `i`, `fields` its values by name.

    A number that is not there is NaN, or 0 in a column of integers; a text that is not there is empty. `nth` is 1 where
    there is no such tag.
    """

    tag: Sequence[str]
    code: Int32
    time_ms: Int64
    nth: Int64
    fields: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.time_ms)


class Asking(Influx, Protocol):
    """An InfluxDB that can be asked, too; each raises `Unavailable` if no whole answer comes."""

    def points(self, asked: Asked) -> Points:
        """Return the points that have one of the fields; in no order."""
        ...

    def newest(self, asked: Asked, between: tuple[float, float] | None = None) -> Points:
        """Return of each series its newest point that has the only field, and within bounds where they are given."""
        ...

    def daily(self, asked: Asked) -> tuple[Int64, Int64]:
        """Return beginnings of days in UTC [ms], and how many points have the only field; in no order, nor summed."""
        ...

    def any(self, asked: Asked) -> bool:
        """Whether there is a point with the only field."""
        ...


def type_of(measurement: Measurement, name: str) -> Any:
    """Return the type of a field as a column; texts are coded, but for those that differ in every row."""
    if name == "born":
        return pa.string()
    return _TYPES.get(measurement.field(name).type, TEXTS)


def table_of(body: bytes, types: Mapping[str, pa.DataType]) -> pa.Table:
    """Parse an answer with one header: the columns named, in this order.

    Raises
    ------
    ValueError
        If it is no such CSV.
    """
    if not body[:_EMPTY].strip():
        return pa.table({name: pa.array([], kind) for name, kind in types.items()})
    return csv.read_csv(
        io.BytesIO(body),
        read_options=csv.ReadOptions(block_size=_BLOCK_BYTES),
        parse_options=csv.ParseOptions(newlines_in_values=False),
        convert_options=csv.ConvertOptions(
            column_types=dict(types), include_columns=list(types), null_values=[""], strings_can_be_null=False
        ),
    )


def coded(column: Any) -> tuple[list[str], Int32]:
    """Return the texts of a column, each once, and which one each row has."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    if isinstance(column, pa.ChunkedArray):
        column = column.unify_dictionaries().combine_chunks() if len(column) else pa.array([], TEXTS)
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0)
    return column.dictionary.to_pylist(), column.indices.to_numpy(zero_copy_only=False).astype(np.int32, copy=False)


def decimal(value: float) -> str:
    """Return a number as InfluxQL and Flux read it, without an exponent; an infinite one as the farthest there is.

    >>> decimal(-30), decimal(1e-7)
    ('-30.0', '0.0000001')
    """
    far = float(np.finfo(np.float64).max)
    return str(np.format_float_positional(min(max(value, -far), far), trim="0"))


def points_of(table: pa.Table, time_ms: Int64, values: Mapping[str, Any]) -> Points:
    """Return points whose tags are columns of a table."""
    tag, code = coded(table[SOURCE.name])
    nth = np.ones(len(table), np.int64)
    if "nth" in table.column_names:
        told, number = coded(table["nth"])
        nth = np.array([*map(int, told), 1], np.int64)[number]
    return Points(tag, code, time_ms, nth, values)


def values_of(column: Any) -> Any:
    """Return numbers as numpy, texts as they are."""
    if pa.types.is_dictionary(column.type) or pa.types.is_string(column.type):
        return column
    if pa.types.is_integer(column.type):
        column = column.fill_null(0)
    return column.to_numpy()
