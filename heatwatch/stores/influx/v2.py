"""InfluxDB 2.x through its own client: line protocol written at once, Flux answered as lean CSV.

Flux gives a table for each type of value, so a question for several fields is one question for each type, joined here:
its own `pivot` takes many times as long.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from influxdb_client import Dialect, InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from heatwatch.errors import Unavailable
from heatwatch.stores.influx.access import Access
from heatwatch.stores.influx.asking import TEXTS, Asked, Points, coded, decimal, points_of, table_of, type_of, values_of
from heatwatch.stores.influx.lines import FAR_MS
from heatwatch.stores.influx.schema import READING, SOURCE
from heatwatch.stores.influx.server import Refused, refusal
from heatwatch.stores.readings import Int64

NS = 1_000_000
UNAUTHORIZED = 401
_TIME = pa.timestamp("ms", tz="UTC")
_ERROR = re.compile(rb"(?:^|\n),?error,reference\r?\n,?(.*)", re.DOTALL)
_TAIL_BYTES = 1 << 16
_Found = TypeVar("_Found")
_Key = tuple[Int64, Int64, Int64]
"""Source, number and time [ms] of points, as columns."""
MOST_BITS = 62


class Flux:
    """A bucket that speaks Flux.

    Parameters
    ----------
    access
        Where it is, and how to get in.

    Raises
    ------
    BadInput
        If a file that `access` names cannot be read.
    """

    def __init__(self, access: Access) -> None:
        self.access, self._secret = access, access.secret()
        self._context = access.context()
        self._renewing = threading.Lock()
        self._client = self._connect()

    def write(self, lines: bytes, *, precision: str = "ms") -> None:
        """Write line protocol (`heatwatch.stores.influx.server.Influx.write`)."""
        place: dict[str, Any] = {"bucket": self.access.bucket, "org": self.access.org, "write_precision": precision}
        self._do(lambda client: client.write_api(SYNCHRONOUS).write(record=lines, **place))

    def ping(self) -> None:
        """Raise `Unavailable` if it does not answer, or does not let us in."""
        nothing = Asked(READING, ("arrived_ms",), 0, 1)
        self._table(f'{self._place(nothing, nothing.fields)} |> keep(columns: ["_time"])', {"_time": _TIME})

    def close(self) -> None:
        """Release the connections."""
        self._client.close()

    def points(self, asked: Asked) -> Points:
        """Return the points that have one of the fields."""
        parts: dict[pa.DataType, list[str]] = {}
        for name in asked.fields:
            parts.setdefault(type_of(asked.measurement, name), []).append(name)
        return _joined(asked, [self._long(asked, names, kind) for kind, names in parts.items()])

    def newest(self, asked: Asked, between: tuple[float, float] | None = None) -> Points:
        """Return of each series its newest point that has the only field, and within bounds where they are given."""
        (name,) = asked.fields
        more = "" if between is None else f" |> filter(fn: (r) => {_within(between)})"
        return _joined(asked, [self._long(asked, [name], type_of(asked.measurement, name), f"{more} |> last()")])

    def daily(self, asked: Asked) -> tuple[Int64, Int64]:
        """Return beginnings of days in UTC [ms], and how many points have the only field."""
        counted = 'aggregateWindow(every: 1d, fn: count, createEmpty: false, timeSrc: "_start")'
        text = f'{self._place(asked, asked.fields)} |> {counted} |> keep(columns: ["_time", "_value"])'
        found = self._table(text, {"_time": _TIME, "_value": pa.int64()})
        return _milliseconds(found["_time"]), found["_value"].to_numpy()

    def any(self, asked: Asked) -> bool:
        """Whether there is a point with the only field."""
        text = f'{self._place(asked, asked.fields)} |> limit(n: 1) |> keep(columns: ["_time"]) |> limit(n: 1)'
        return len(self._table(text, {"_time": _TIME})) > 0

    def _long(self, asked: Asked, names: list[str], kind: pa.DataType, more: str = "") -> _Long:
        """Ask for the fields of one type, a line for each value."""
        tags = [tag.name for tag in asked.measurement.tags]
        field = ["_field"] if len(names) > 1 else []
        columns = ["_time", "_value", *tags, *field]
        types = {"_time": _TIME, "_value": kind, **dict.fromkeys([*tags, *field], TEXTS)}
        kept = ", ".join(f'"{name}"' for name in columns)
        if asked.vain:
            return _Long(names, table_of(b"", types))
        return _Long(names, self._table(f"{self._place(asked, names)}{more} |> keep(columns: [{kept}])", types))

    def _place(self, asked: Asked, fields: tuple[str, ...] | list[str]) -> str:
        span = f"start: time(v: {asked.first_ms * NS}), stop: time(v: {asked.last_ms * NS + 1})"
        of = f'r._measurement == "{asked.measurement.name}" and ({_either("_field", fields)})'
        named = asked.named()
        text = f"from(bucket: {_quoted(self.access.bucket)}) |> range({span}) |> filter(fn: (r) => {of})"
        return text if named is None else f"{text} |> filter(fn: (r) => {_either(SOURCE.name, named)})"

    def _table(self, text: str, types: Mapping[str, pa.DataType]) -> pa.Table:
        """Ask. An error that comes after the answer has begun stands at its end as a table of its own."""
        dialect = Dialect(header=True, annotations=[], date_time_format="RFC3339")
        body: bytes = self._look(lambda client: client.query_api().query_raw(text, self.access.org, dialect).data)
        wrong = _ERROR.search(body[-_TAIL_BYTES:])
        if wrong is not None:
            raise Unavailable(self.access.url, f"its answer breaks off: {wrong[1].decode(errors='replace').strip()}")
        try:
            return table_of(body, types)
        except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
            raise Unavailable(self.access.url, f"its answer is no table: {error}") from error

    def _look(self, deed: Callable[[InfluxDBClient], _Found]) -> _Found:
        """Ask something; what is wrong with the question is as if there were no answer."""
        try:
            return self._do(deed)
        except Refused as error:
            raise Unavailable(self.access.url, error.why) from error

    def _do(self, deed: Callable[[InfluxDBClient], _Found]) -> _Found:
        client = self._client
        try:
            return deed(client)
        except ApiException as error:
            if error.status != UNAUTHORIZED or not self._renew(client):
                raise self._refusal(error) from error
        except HTTPError as error:
            raise self.access.lost(error) from error
        try:
            return deed(self._client)
        except ApiException as error:
            raise self._refusal(error) from error
        except HTTPError as error:
            raise self.access.lost(error) from error

    def _renew(self, refused: InfluxDBClient) -> bool:
        """Connect anew where the file holds another token than the one that was refused."""
        with self._renewing:
            if self._client is not refused:
                return True
            renewed = self.access.renewed(self._secret)
            if renewed is None:
                return False
            self._secret = renewed
            self._client = self._connect()
            return True

    def _connect(self) -> InfluxDBClient:
        access = self.access
        return InfluxDBClient(
            access.url,
            self._secret,
            org=access.org,
            timeout=round(access.timeout_s * 1000),
            enable_gzip=access.gzip,
            ssl_context=self._context,
            retries=False,
        )

    def _refusal(self, error: ApiException) -> Exception:
        if not error.status:
            return self.access.lost(str(error.reason))
        body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or "")
        told = {"bucket": self.access.place, "signed_in": self.access.signed_in}
        headers: Mapping[str, str] = error.headers or {}
        wait = headers.get("Retry-After")
        return refusal(self.access.url, error.status, _said(body), retry_after=wait, **told)


class _Long:
    """An answer with a line for each value."""

    def __init__(self, names: list[str], table: pa.Table) -> None:
        self.points = points_of(table, _milliseconds(table["_time"]), {})
        self._names, self._values = names, values_of(table["_value"])
        self._field = coded(table["_field"]) if len(names) > 1 else None

    def values(self) -> list[tuple[str, Any, Any]]:
        """Return each field's name, the lines that are its own, and their values."""
        if self._field is None:
            return [(self._names[0], slice(None), self._values)]
        told, code = self._field
        found = []
        for name in self._names:
            row = np.nonzero(code == told.index(name))[0] if name in told else np.empty(0, np.int64)
            mine = self._values.take(row) if isinstance(self._values, pa.ChunkedArray) else self._values[row]
            found.append((name, row, mine))
        return found


def _joined(asked: Asked, parts: list[_Long]) -> Points:
    """Put the values of each source, time and number beside one another."""
    tag: dict[str, int] = {}
    keys, columns = [], []
    for part in parts:
        points = part.points
        code = np.array([tag.setdefault(name, len(tag)) for name in points.tag], np.int64)[points.code]
        for name, row, values in part.values():
            keys.append((code[row], points.nth[row], points.time_ms[row]))
            columns.append((name, values))
    (code, nth, time_ms), places = _beside(keys)
    values = {name: _spread(values, place, len(code)) for (name, values), place in zip(columns, places, strict=True)}
    return Points(list(tag), code.astype(np.int32), time_ms, nth, {name: values[name] for name in asked.fields})


def _beside(keys: list[_Key]) -> tuple[_Key, list[Any]]:
    """Return every key once, and where those of each part are among them; None where they are the same ones.

    Mostly the points of the first part are all that there are, and mostly in the same order.
    """
    first = keys[0]
    alike = [all(map(np.array_equal, key, first)) for key in keys]
    if all(alike):
        return first, [None] * len(keys)
    numbers = _numbered(keys)
    order = np.argsort(numbers[0])
    there = numbers[0][order]
    places: list[Any] = [None]
    for number, same in zip(numbers[1:], alike[1:], strict=True):
        at = np.searchsorted(there, number) if len(there) and not same else np.empty(0, np.int64)
        if not same and (not len(there) or not np.array_equal(there[np.minimum(at, len(there) - 1)], number)):
            break
        places.append(None if same else order[at])
    else:
        return first, places
    _, at, place = np.unique(np.concatenate(numbers), return_index=True, return_inverse=True)
    code, nth, time_ms = (np.concatenate(column)[at] for column in zip(*keys, strict=True))
    return (code, nth, time_ms), np.split(place, np.cumsum([len(number) for number in numbers])[:-1])


def _numbered(keys: list[_Key]) -> list[Int64]:
    """Return a number for each key, the same for the same one."""
    code, nth, time_ms = (np.concatenate(column) for column in zip(*keys, strict=True))
    series = code * (int(nth.max(initial=1)) + 1) + nth
    first_ms, span_ms = (
        int(time_ms.min(initial=FAR_MS)),
        int(time_ms.max(initial=-FAR_MS)) - int(time_ms.min(initial=FAR_MS)),
    )
    if max(span_ms, 1).bit_length() + int(series.max(initial=0)).bit_length() > MOST_BITS:
        times, moment = np.unique(time_ms, return_inverse=True)
        span_ms = len(times)
    else:
        moment = time_ms - first_ms
    number = series * (max(span_ms, 0) + 1) + moment
    return np.split(number, np.cumsum([len(key[0]) for key in keys])[:-1])


def _spread(values: Any, place: Any, count: int) -> Any:
    """Put values to their places among `count` rows; the others have none."""
    if place is None:
        return values
    if isinstance(values, pa.ChunkedArray):
        index = np.full(count, -1, np.int64)
        index[place] = np.arange(len(values))
        texts: Any = values.cast(pa.string()).combine_chunks()
        return texts.take(pa.array(index, mask=index < 0)).fill_null("")
    spread = np.zeros(count, values.dtype) if values.dtype == np.int64 else np.full(count, np.nan)
    spread[place] = values
    return spread


def _milliseconds(column: pa.ChunkedArray[Any]) -> Int64:
    return column.cast(pa.int64()).to_numpy()


def _either(column: str, values: Sequence[str]) -> str:
    """Return a condition as a tree: the server refuses a long row of `or` as nested too deep."""
    if len(values) == 1:
        return f"r.{column} == {_quoted(values[0])}"
    middle = len(values) // 2
    return f"({_either(column, values[:middle])}) or ({_either(column, values[middle:])})"


def _within(between: tuple[float, float]) -> str:
    low, high = between
    return f"r._value >= {decimal(low)} and r._value <= {decimal(high)}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\x24")
    return f'"{escaped}"'


def _said(body: str) -> str:
    try:
        told = json.loads(body)
    except ValueError:
        return body
    return str(told.get("message") or body) if isinstance(told, dict) else body
