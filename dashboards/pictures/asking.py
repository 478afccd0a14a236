"""A board's queries, asked as Grafana asks them: what it fills into their texts, and what it reads from the answers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dashboards.queries.asking import TIME

MS_PER_S, NS_PER_MS = 1000, 1_000_000
Value = str | float | bool | None
Row = dict[str, Value]
_ESCAPED = re.compile(r"[\\^$*+?.()|\[\]{}/]")
_UNITS_S = {"m": 60, "h": 3600, "d": 86400}
_NAMED = re.compile(r"\$\{(\w+)(?::(\w+))?\}")


@dataclass(frozen=True, slots=True)
class Reader:
    """Who looks at a board.

    Attributes
    ----------
    from_ms, to_ms
        The chosen time [ms].
    chosen
        The values chosen of each variable.
    step_s
        How long the steps of a curve are [s].
    """

    from_ms: int
    to_ms: int
    chosen: Mapping[str, Sequence[str]]
    step_s: int = 3600

    def recent(self, span: str) -> Reader:
        """Return the reader of a panel that shows so much before the end, as in ``30d``."""
        if not span:
            return self
        return Reader(self.to_ms - seconds(span) * MS_PER_S, self.to_ms, self.chosen, self.step_s)

    def stepping(self, least: str) -> Reader:
        """Return the reader of a panel whose steps are not shorter than this."""
        step_s = max(self.step_s, seconds(least)) if least else self.step_s
        return Reader(self.from_ms, self.to_ms, self.chosen, step_s)


def seconds(span: str) -> int:
    """Return a span of time [s].

    >>> seconds("30d"), seconds("5m")
    (2592000, 300)
    """
    return int(span[:-1]) * _UNITS_S[span[-1]]


def in_influxql(text: str, reader: Reader) -> str:
    """Return InfluxQL as Grafana sends it."""
    told = f"time >= {reader.from_ms}ms and time <= {reader.to_ms}ms"
    return _filled(text.replace("$timeFilter", told).replace("$__interval", f"{reader.step_s}s"), reader)


def in_flux(text: str, reader: Reader, bucket: str) -> str:
    """Return Flux as Grafana sends it, with what it calls `v`."""
    start, stop = (
        datetime.fromtimestamp(at / MS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for at in (reader.from_ms, reader.to_ms)
    )
    filled = _filled(text, reader)
    head, body = _imports(filled)
    chosen = f"timeRangeStart: {start}, timeRangeStop: {stop}, windowPeriod: {reader.step_s}s"
    return f'{head}option v = {{defaultBucket: "{bucket}", {chosen}}}\n{body}'


def _imports(text: str) -> tuple[str, str]:
    lines = text.splitlines(keepends=True)
    count = sum(line.startswith("import ") for line in lines)
    return "".join(lines[:count]), "".join(lines[count:])


def _filled(text: str, reader: Reader) -> str:
    def value(found: re.Match[str]) -> str:
        name, spelled = found.groups()
        if name in {"__from", "__to"}:
            return str(reader.from_ms if name == "__from" else reader.to_ms)
        chosen = reader.chosen[name]
        match spelled:
            case "singlequote":
                return "'" + chosen[0].replace("'", "\\'") + "'"
            case "doublequote":
                return '"' + chosen[0].replace('"', '\\"') + '"'
            case "regex":
                escaped = [one if one == ".*" else _ESCAPED.sub(r"\\\g<0>", one) for one in chosen]
                return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"
        raise ValueError(f"{found[0]} is spelled in no known way")

    return _NAMED.sub(value, text)


def of_influxql(series: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return the rows of an answer of InfluxDB 1.x; times in ms, under `TIME`."""
    return [
        {
            **each.get("tags", {}),
            **{TIME if name == "time" else name: told for name, told in zip(each["columns"], row, strict=True)},
        }
        for each in series
        for row in each["values"]
    ]


def of_flux(text: str) -> list[Row]:
    """Return the rows of an answer of InfluxDB 2.x, annotated CSV; times in ms, under `TIME`."""
    return list(_rows(text))


def _rows(text: str) -> Iterator[Row]:
    kinds: list[str] = []
    names: list[str] = []
    for line in csv.reader(io.StringIO(text)):
        if not line:
            names = []
        elif line[0] == "#datatype":
            kinds, names = line, []
        elif line[0].startswith("#"):
            continue
        elif not names:
            names = line
        else:
            told = zip(names[3:], line[3:], kinds[3:], strict=True)
            yield {TIME if name == "_time" else name: _value(cell, kind) for name, cell, kind in told}


def _value(cell: str, kind: str) -> Value:
    if kind == "string":
        return cell
    if not cell:
        return None
    match kind:
        case "long" | "unsignedLong":
            return int(cell)
        case "double":
            return float(cell)
        case "boolean":
            return cell == "true"
        case _:
            return round(datetime.fromisoformat(cell).timestamp() * MS_PER_S)
