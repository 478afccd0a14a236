"""What was read from InfluxDB, put together and in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from heatwatch.stores.influx.asking import Points, coded
from heatwatch.stores.influx.lines import source_of
from heatwatch.stores.ordering import in_order
from heatwatch.stores.readings import Bools, Float64, Int32, Int64, ReadingColumns, WholeRows

VALUE = ("temperature_c", "not_finite")
"""The fields of which a row's value is made."""
_NOT_FINITE = {"": np.nan, "nan": np.nan, "inf": np.inf, "-inf": -np.inf}


class Rows:
    """Points of several answers under common codes: `tag[code[i]]` is the source of row `i`.

    Parameters
    ----------
    tag, code, time_ms, nth, temp_c
        As in `Points`; the temperature [degC] with what is no finite number in its place.
    more
        The other fields that were asked for.
    """

    def __init__(
        self, tag: Sequence[str], code: Int32, time_ms: Int64, nth: Int64, temp_c: Float64, **more: Any
    ) -> None:
        self.tag, self.code, self.time_ms, self.nth, self.temp_c, self.more = tag, code, time_ms, nth, temp_c, more

    @classmethod
    def of(cls, parts: Sequence[Points]) -> Rows:
        """Put answers one after another; each has the same fields beside the value, or the same part of it."""
        number: dict[str, int] = {}
        codes = [np.array([number.setdefault(tag, len(number)) for tag in part.tag], np.int32) for part in parts]
        names = [name for name in (parts[0].fields if parts else ()) if name not in VALUE]
        return cls(
            list(number),
            _end_to_end([code[part.code] for code, part in zip(codes, parts, strict=True)], np.int32),
            _end_to_end([part.time_ms for part in parts], np.int64),
            _end_to_end([part.nth for part in parts], np.int64),
            _end_to_end([temperatures(part) for part in parts], np.float64),
            **{name: _end_to_end([plain(part.fields[name]) for part in parts], None) for name in names},
        )

    @classmethod
    def together(cls, parts: Sequence[Rows]) -> Rows:
        """Put rows one after another that have the same fields."""
        told = [Points(part.tag, part.code, part.time_ms, part.nth, part.more) for part in parts]
        rows = cls.of(told)
        rows.temp_c = _end_to_end([part.temp_c for part in parts], np.float64)
        return rows

    def __len__(self) -> int:
        return len(self.time_ms)

    def only(self, row: Bools | Int64) -> Rows:
        """Return some rows, by a mask or by their numbers."""
        if row.dtype == bool:
            if row.all():
                return self
            row = np.nonzero(row)[0]
        told = {name: value.take(row) if _is_text(value) else value[row] for name, value in self.more.items()}
        return Rows(self.tag, self.code[row], self.time_ms[row], self.nth[row], self.temp_c[row], **told)

    def of_tags(self, tags: Sequence[str]) -> Rows:
        """Return the rows of some sources."""
        wanted = set(tags)
        return self.only(np.array([tag in wanted for tag in self.tag], bool)[self.code])

    def later_than(self, lag_ms: int) -> Bools:
        """Mark rows that arrived more than so long after they were measured [ms]."""
        late: Bools = self.more["arrived_ms"] - self.time_ms > lag_ms
        return late

    def among(self, others: Rows) -> Bools:
        """Mark rows that are among others, by source, time and number."""
        if not len(others):
            return np.zeros(len(self), bool)
        number = {tag: code for code, tag in enumerate(self.tag)}
        code = np.array([number.get(tag, -1) for tag in others.tag], np.int64)[others.code]
        mine = pd.MultiIndex.from_arrays([self.code.astype(np.int64), self.time_ms, self.nth])
        found: Bools = mine.isin(pd.MultiIndex.from_arrays([code, others.time_ms, others.nth]))
        return found

    def in_order(self, *, vitals: bool = False) -> ReadingColumns:
        """Return them by source and time, with what they say of the thermometer where that is asked."""
        source, code = self._named()
        columns: dict[str, Any] = {"code": code, "time_ms": self.time_ms, "temp_c": self.temp_c}
        if vitals:
            said, flags = coded(self.more["flags"])
            low = np.array([",low_battery," in f",{text}," for text in said] or [False], bool)
            columns |= {
                "battery": self.more["battery"],
                "arrived_ms": self.more["arrived_ms"],
                "low_battery": low[flags],
            }
        return in_order(source, columns)

    def whole(self, *, by_arrival: bool) -> WholeRows:
        """Return them in order of time, or of arrival, and of receiving."""
        worker, sequence, position = _births(self.more["born"])
        moment = self.more["arrived_ms"] if by_arrival else self.time_ms
        rank = np.unique(worker, return_inverse=True)[1] if len(worker) else np.empty(0, np.int64)
        order = np.lexsort((position, sequence, rank, moment))
        source, code = self._named()
        used = np.bincount(code, minlength=len(source)) > 0
        said, flags = coded(self.more["flags"])
        meant = np.array([*map(source_of, said), ""], object)
        return WholeRows(
            source=[name for name, has_rows in zip(source, used, strict=True) if has_rows],
            code=(np.cumsum(used, dtype=np.int32) - 1)[code[order]],
            time_ms=self.time_ms[order],
            temp_c=self.temp_c[order],
            flags=meant[flags[order]].tolist(),
            worker=worker[order].tolist(),
            sequence=sequence[order],
            position=position[order].astype(np.int32),
            conflict=self.nth[order] > 1,
            **{name: self.more[name][order] for name in ("arrived_ms", "humidity_pct", "battery", "rssi_dbm")},
        )

    def _named(self) -> tuple[list[str], Int32]:
        """Return the sources in order, and that of each row."""
        named = [source_of(tag) for tag in self.tag]
        order = sorted(range(len(named)), key=named.__getitem__)
        place = np.empty(len(named), np.int32)
        place[order] = np.arange(len(named), dtype=np.int32)
        return [named[n] for n in order], place[self.code]


def temperatures(points: Points) -> Float64:
    """Return the temperature of each point [degC], with what is no finite number in its place."""
    temp_c: Float64 = points.fields.get("temperature_c", np.full(len(points), np.nan))
    odd = points.fields.get("not_finite")
    if odd is None or not len(points):
        return temp_c
    said, code = coded(odd)
    meant = np.array([_NOT_FINITE[text] for text in said])[code]
    return np.where(np.isnan(temp_c), meant, temp_c)


def plain(values: Any) -> Any:
    """Return texts as they are in each row, numbers as they are."""
    if not _is_text(values):
        return values
    if isinstance(values, pa.ChunkedArray):
        values = values.cast(pa.string()).combine_chunks() if len(values) else pa.array([], pa.string())
    return values.cast(pa.string())


def _is_text(values: Any) -> bool:
    return isinstance(values, pa.Array | pa.ChunkedArray)


def _end_to_end(parts: Sequence[Any], kind: Any) -> Any:
    if len(parts) == 1:
        return parts[0]
    if any(_is_text(part) for part in parts):
        return pa.concat_arrays(list(parts))
    return np.concatenate(parts) if parts else np.empty(0, kind)


def _births(born: Any) -> tuple[Any, Int64, Int64]:
    """Return worker, sequence and position of certificates."""
    if not len(born):
        return np.empty(0, object), np.empty(0, np.int64), np.empty(0, np.int64)
    parts = pc.split_pattern(born, "/", max_splits=2, reverse=True).flatten()
    at = np.arange(0, len(parts), 3)
    names, code = coded(parts.take(pa.array(at)))
    worker = np.array([source_of(name) for name in names], object)[code]
    number = [parts.take(pa.array(at + n)).cast(pa.int64()).to_numpy(zero_copy_only=False) for n in (1, 2)]
    return worker, number[0], number[1]
