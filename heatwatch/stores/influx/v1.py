"""InfluxDB 1.6 and later: line protocol at `/write`, InfluxQL at `/query`, answers as CSV.

InfluxDB 3 Core answers at the same places; it was not tried against a server.
"""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa
from urllib3 import BaseHTTPResponse, PoolManager, Timeout
from urllib3.exceptions import HTTPError

from heatwatch.errors import Unavailable
from heatwatch.settings import StoreKind
from heatwatch.stores.influx.access import Access
from heatwatch.stores.influx.asking import TEXTS, Asked, Points, coded, decimal, points_of, table_of, type_of, values_of
from heatwatch.stores.influx.schema import SOURCE
from heatwatch.stores.influx.server import refusal
from heatwatch.stores.readings import Int64

NO_CONTENT, OK, UNAUTHORIZED = 204, 200, 401
NANOSECONDS = "ns"
"""What it takes times for where no precision is named; its versions have different names for it."""
CONNECTIONS = 4
QUICK = 1
"""Level of compression: it is for slow links, and a better one costs more time than it saves on any other."""
_ESCAPED = re.compile(r"\\([,= ])")


class InfluxQl:
    """A database that speaks InfluxQL.

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
        pool: dict[str, Any] = {"timeout": Timeout(connect=access.timeout_s, read=access.timeout_s)}
        self._pool = PoolManager(maxsize=CONNECTIONS, retries=False, ssl_context=access.context(), **pool)

    def write(self, lines: bytes, *, precision: str = "ms") -> None:
        """Write line protocol (`heatwatch.stores.influx.server.Influx.write`)."""
        asked = urlencode({"db": self.access.bucket, **({} if precision == NANOSECONDS else {"precision": precision})})
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if self.access.gzip:
            lines, headers["Content-Encoding"] = gzip.compress(lines, QUICK, mtime=0), "gzip"
        answer = self._send("POST", f"/write?{asked}", lines, headers)
        if answer.status != NO_CONTENT:
            raise self._refusal(answer)

    def ping(self) -> None:
        """Raise `Unavailable` if it does not answer, or does not let us in."""
        answer = self._send("GET", "/ping", None, {})
        if answer.status not in {NO_CONTENT, OK}:
            raise self._unavailable(answer)
        self._refuse_errors(self._ask("SHOW MEASUREMENTS LIMIT 1", "application/json"))

    def close(self) -> None:
        """Release the connections."""
        self._pool.clear()

    def points(self, asked: Asked) -> Points:
        """Return the points that have one of the fields: tags as columns, ordered by time."""
        tags = [tag.name for tag in asked.measurement.tags]
        names = ", ".join(f'"{name}"' for name in [*asked.fields, *tags])
        types = {"time": pa.int64(), **dict.fromkeys(tags, TEXTS)}
        types |= {name: type_of(asked.measurement, name) for name in asked.fields}
        found = table_of(b"", types) if asked.vain else self._table(f"SELECT {names} FROM {_place(asked)}", types)  # noqa: S608
        return points_of(found, found["time"].to_numpy(), {name: values_of(found[name]) for name in asked.fields})

    def newest(self, asked: Asked, between: tuple[float, float] | None = None) -> Points:
        """Return of each series its newest point that has the only field, and within bounds where they are given."""
        (name,) = asked.fields
        place = _place(asked)
        if between is not None:
            place += f' AND "{name}" >= {decimal(between[0])} AND "{name}" <= {decimal(between[1])}'
        types = {"tags": TEXTS, "time": pa.int64(), "last": type_of(asked.measurement, name)}
        text = f'SELECT last("{name}") FROM {place} GROUP BY "{SOURCE.name}"'  # noqa: S608
        found = table_of(b"", types) if asked.vain else self._table(text, types)
        told, code = coded(found["tags"])
        tag = [_ESCAPED.sub(r"\1", text.partition("=")[2]) for text in told]
        return Points(
            tag, code, found["time"].to_numpy(), np.ones(len(found), np.int64), {name: values_of(found["last"])}
        )

    def daily(self, asked: Asked) -> tuple[Int64, Int64]:
        """Return beginnings of days in UTC [ms], and how many points have the only field."""
        (name,) = asked.fields
        text = f'SELECT count("{name}") FROM {_place(asked)} GROUP BY time(1d) fill(none)'  # noqa: S608
        found = self._table(text, {"time": pa.int64(), "count": pa.int64()})
        return found["time"].to_numpy(), found["count"].to_numpy()

    def any(self, asked: Asked) -> bool:
        """Whether there is a point with the only field."""
        (name,) = asked.fields
        text = f'SELECT "{name}" FROM {_place(asked)} LIMIT 1'  # noqa: S608
        return len(self._table(text, {"time": pa.int64()})) > 0

    def _table(self, text: str, types: Mapping[str, pa.DataType]) -> pa.Table:
        """Ask for CSV. It has no place for an error but its absence: an empty answer is asked for again as JSON."""
        body = self._ask(text, "application/csv")
        if not body:
            self._refuse_errors(self._ask(text, "application/json"))
        try:
            return table_of(body, types)
        except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
            raise Unavailable(self.access.url, f"its answer is no table: {error}") from error

    def _refuse_errors(self, answer: bytes) -> None:
        for result in json.loads(answer).get("results", []):
            if "error" in result:
                raise Unavailable(self.access.url, f"{result['error']} ({self.access.place})")

    def _ask(self, text: str, accept: str) -> bytes:
        form = urlencode({"db": self.access.bucket, "q": text, "epoch": "ms"}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": accept}
        answer = self._send("POST", "/query", form, headers)
        if answer.status != OK:
            raise self._unavailable(answer)
        return answer.data

    def _send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> BaseHTTPResponse:
        answer = self._try(method, path, body, headers)
        if answer.status == UNAUTHORIZED:
            renewed = self.access.renewed(self._secret)
            if renewed is not None:
                self._secret = renewed
                answer = self._try(method, path, body, headers)
        return answer

    def _try(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> BaseHTTPResponse:
        try:
            return self._pool.request(
                method, f"{self.access.url}{path}", body=body, headers={**headers, **self._sign_in()}
            )
        except HTTPError as error:
            raise self.access.lost(error) from error

    def _sign_in(self) -> dict[str, str]:
        if not self._secret:
            return {}
        if self.access.kind is StoreKind.INFLUXDB_3:
            return {"Authorization": f"Bearer {self._secret}"}
        known = b64encode(f"{self.access.user}:{self._secret}".encode()).decode()
        return {"Authorization": f"Basic {known}"}

    def _refusal(self, answer: BaseHTTPResponse) -> Exception:
        said = _said(answer.data)
        told = {"bucket": self.access.place, "signed_in": self.access.signed_in}
        wait = answer.headers.get("Retry-After")
        return refusal(self.access.url, answer.status, said, retry_after=wait, **told)

    def _unavailable(self, answer: BaseHTTPResponse) -> Unavailable:
        meant = self._refusal(answer)
        return meant if isinstance(meant, Unavailable) else Unavailable(self.access.url, str(meant))


def _place(asked: Asked) -> str:
    text = f'"{asked.measurement.name}" WHERE time >= {asked.first_ms}ms AND time <= {asked.last_ms}ms'
    named = asked.named()
    if named is None:
        return text
    either = " OR ".join(f"\"{SOURCE.name}\" = '{_quoted(tag)}'" for tag in named)
    return f"{text} AND ({either})"


def _quoted(tag: str) -> str:
    """Return a tag as it stands in single quotes; a backslash it never has."""
    return tag.replace("'", "\\'")


def _said(body: bytes) -> str:
    """Return the server's own words."""
    text = body.decode(errors="replace")
    try:
        told = json.loads(text)
    except ValueError:
        return text.removeprefix("error\n")
    if not isinstance(told, dict):
        return text
    lines = told.get("data")
    more = f" {json.dumps(lines, ensure_ascii=False)}" if isinstance(lines, list) else ""
    return f"{told.get('error') or told.get('message') or text}{more}"
