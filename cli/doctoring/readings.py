"""The store of readings, embedded or an InfluxDB: its version, what we may do there, for how long it keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import func, select
from urllib3 import BaseHTTPResponse, PoolManager
from urllib3.exceptions import HTTPError
from urllib3.util import make_headers

from cli.doctoring.machine import skew
from cli.doctoring.patient import Patient, UnseenError
from cli.doctoring.said import Said, bad, ok, skip, warn
from heatwatch.domain.instants import to_ms
from heatwatch.errors import BadInput, Unavailable
from heatwatch.records.schema import ReadingCount
from heatwatch.settings import StoreKind
from heatwatch.stores.embedded import EmbeddedReadings
from heatwatch.stores.influx.access import Access
from heatwatch.stores.influx.schema import READING

ANSWER_S = 5.0
RETENTION_DAYS_LEAST = 3 * 366
"""A bucket that keeps for less loses what a dispute may be about (R8) [d]."""
_MAJOR = {StoreKind.INFLUXDB_1: "1", StoreKind.INFLUXDB_2: "2", StoreKind.INFLUXDB_3: "3"}
_PREPARE = "`heatwatch setup` makes it"
_SIGN_IN = "put the right secret into its file; `heatwatch setup --rotate` makes a new one"
_GRANT = "give this account reading and writing there; `heatwatch setup` does"
_SECONDS = {"h": 3600, "m": 60, "s": 1}
_DAY_S = 86_400


@dataclass(frozen=True)
class Asking:
    """An InfluxDB that is asked by plain HTTP: what its clients hide is what is looked for here."""

    access: Access

    def __call__(self, method: str, path: str, query: Mapping[str, str], body: str = "") -> BaseHTTPResponse:
        """Ask, signed in.

        Raises
        ------
        Unavailable
            If no whole answer comes.
        """
        url = f"{self.access.url}{path}?{urlencode(query)}"
        try:
            with PoolManager(timeout=ANSWER_S, retries=False, ssl_context=self.access.context()) as pool:
                return pool.request(method, url, body=body.encode(), headers=self._sign_in())
        except HTTPError as error:
            if "refused" in str(error):
                raise Unavailable(self.access.url, "nothing listens there") from error
            raise self.access.lost(error) from error

    @property
    def whom(self) -> str:
        """As whom we come, in words."""
        return self.access.signed_in if self.access.secret_file is not None else "everybody"

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """Ask in InfluxQL, and return the rows of the answer.

        Raises
        ------
        Unavailable
            If it refuses; with its own words.
        """
        answer = self("POST", "/query", {"db": self.access.bucket, "q": statement})
        result = {} if answer.status != HTTPStatus.OK else json.loads(answer.data)["results"][0]
        if answer.status != HTTPStatus.OK or "error" in result:
            raise Unavailable(self.access.url, result.get("error") or _told(answer))
        found = result.get("series", [])
        return [dict(zip(one["columns"], row, strict=True)) for one in found for row in one.get("values", [])]

    def _sign_in(self) -> dict[str, str]:
        secret, access = self.access.secret(), self.access
        if not secret:
            return {}
        if access.kind is StoreKind.INFLUXDB_1:
            return dict(make_headers(basic_auth=f"{access.user}:{secret}"))
        return {"Authorization": f"{'Bearer' if access.kind is StoreKind.INFLUXDB_3 else 'Token'} {secret}"}


def store(patient: Patient) -> Iterator[Said]:
    """Tell whether the store answers, is of the version that is set, and goes by the same clock."""
    if patient.settings.store is StoreKind.EMBEDDED:
        yield from _embedded(patient)
        return
    asking = _asking(patient)
    answer = asking("GET", "/ping", {"verbose": "true"} if patient.settings.store is StoreKind.INFLUXDB_3 else {})
    version = answer.headers.get("X-Influxdb-Version", "").removeprefix("v")
    access, peer, wanted = asking.access, asking.access.url, _MAJOR[patient.settings.store]
    if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        yield bad(f"{peer}: it does not know us ({access.signed_in})", _SIGN_IN)
    elif not version:
        yield bad(f"{peer}: what answers there is no InfluxDB (HTTP {answer.status})", "mend influx_url")
    elif version.partition(".")[0] != wanted and version[0].isdigit():
        yield bad(f"{peer}: is InfluxDB {version}", f"set `store` to influxdb{version[0]}, or mend influx_url")
    else:
        yield ok(f"{peer}: InfluxDB {version} answers")
    if (date := answer.headers.get("Date")) is not None:
        yield skew("InfluxDB", to_ms(parsedate_to_datetime(date).astimezone(UTC)), patient.now_ms)


def rights(patient: Patient) -> Iterator[Said]:
    """Tell whether bucket or database is there, and whether we may read and write it; nothing is written."""
    asking = _influx(patient)
    access, kind = asking.access, patient.settings.store
    if kind is StoreKind.INFLUXDB_2:
        place = {"org": access.org, "bucket": access.bucket, "precision": "ms"}
        wrote = asking("POST", "/api/v2/write", place)
    else:
        wrote = asking("POST", "/write", {"db": access.bucket, "precision": "ms"})
    read = asking("POST", "/query", {"db": access.bucket, "q": "SHOW MEASUREMENTS LIMIT 1"})
    no_write, no_read = _refusal(access, "write", wrote), _refusal(access, "read", read)
    if no_read is None and wrote.status == HTTPStatus.FORBIDDEN and not patient.takes_in:
        yield ok(f"{access.place}: {asking.whom} may read, and need not write: only ingest and feed do")
        return
    refused = [one for one in (no_write, no_read) if one is not None]
    yield from refused or [ok(f"{access.place}: {asking.whom} may read and write")]


def retention(patient: Patient) -> Iterator[Said]:
    """Tell for how long the bucket or database keeps what is written."""
    asking = _influx(patient)
    access, kind = asking.access, patient.settings.store
    if kind is StoreKind.INFLUXDB_3:
        yield skip("how long InfluxDB 3 keeps is not told over this way", "look with `influxdb3 show databases`")
        return
    kept_s = _kept_2(asking) if kind is StoreKind.INFLUXDB_2 else _kept_1(asking)
    yield judge_retention(access.place, kept_s, patient.settings.late_days)


def judge_retention(place: str, kept_s: int | None, late_days: float) -> Said:
    """Judge for how long a place keeps readings; 0 is for ever, None unknown."""
    if kept_s is None:
        return skip(f"{place}: it does not tell us for how long it keeps", "see rights")
    if kept_s == 0:
        return ok(f"{place} keeps for ever")
    days = kept_s / _DAY_S
    do = f"let it keep for ever, or for {RETENTION_DAYS_LEAST} days: readings are evidence (R8)"
    if days <= late_days:
        return bad(f"{place} keeps for {days:g} days: what comes late is refused, and history is judged wrong", do)
    told = f"{place} keeps for {days:,.0f} days"
    return warn(told, do) if days < RETENTION_DAYS_LEAST else ok(told)


def emptiness(patient: Patient) -> Iterator[Said]:
    """Tell whether the store has lost what the records say was stored in it."""
    with patient.reading() as session:
        stored = int(session.scalar(select(func.sum(ReadingCount.stored))) or 0)
    if not stored:
        yield ok("nothing was stored yet")
        return
    if _is_empty(patient):
        do = "stop `serve`, and restore the readings from the backup; nothing of them can be made anew"
        yield bad(f"the store holds no reading, though {stored:,} were stored", do)
    else:
        yield ok(f"{stored:,} readings were stored, and some are there")


def _is_empty(patient: Patient) -> bool:
    if patient.settings.store is StoreKind.EMBEDDED:
        path = patient.settings.readings_path
        if not path.exists():
            return True
        if patient.at_work():
            raise UnseenError("`serve` holds the embedded store, and looks itself at its start")
        kept = EmbeddedReadings(path, read_only=True)
        try:
            return kept.empty()
        finally:
            kept.close()
    asking = _influx(patient)
    return not asking.rows(f'SELECT * FROM "{READING.name}" LIMIT 1')  # noqa: S608 - a name of ours


def _embedded(patient: Patient) -> Iterator[Said]:
    """Look into the file while nobody holds it; else `serve` is asked, which does."""
    path = patient.settings.readings_path
    if not path.exists():
        yield ok(f"{path}: none yet, the first start makes it")
        return
    if patient.at_work():
        yield ok(f"{path}: `serve` holds it, and says under serve whether it works")
        return
    try:
        kept = EmbeddedReadings(path, read_only=True)
    except Unavailable as error:
        yield warn(f"{path}: another process holds it: {error.why}", "end what holds it before `serve` starts")
        return
    kept.close()
    yield ok(f"{path}: can be opened")


def _asking(patient: Patient) -> Asking:
    patient.sure_of("store", "influx_url", "influx_token_file", "influx_password_file", "influx_ca")
    return Asking(replace(Access.of(patient.settings), timeout_s=ANSWER_S))


def _influx(patient: Patient) -> Asking:
    """Return the InfluxDB where it answers: that it does not is said by the check of the store."""
    if patient.settings.store is StoreKind.EMBEDDED:
        raise UnseenError("the store is embedded")
    try:
        asking = _asking(patient)
        asking("GET", "/ping", {})
    except (BadInput, Unavailable) as error:
        raise UnseenError("InfluxDB does not answer: see store") from error
    return asking


def _refusal(access: Access, deed: str, answer: BaseHTTPResponse) -> Said | None:
    """Say what keeps us from reading or writing; None where nothing does, for a write without points is refused too."""
    told = _told(answer)
    if answer.status == HTTPStatus.UNAUTHORIZED:
        return bad(f"it does not know us ({access.signed_in})", _SIGN_IN)
    if answer.status == HTTPStatus.NOT_FOUND or "not found" in told:
        return bad(f"no {access.place} that {access.signed_in} may {deed}: {told}", _PREPARE)
    if answer.status == HTTPStatus.FORBIDDEN or "not authorized" in told:
        return bad(f"{access.signed_in} may not {deed} {access.place}: {told}", _GRANT)
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return bad(f"it cannot {deed} now: {told}", "see its own log")
    return None


def _told(answer: BaseHTTPResponse) -> str:
    """Return the server's own words: of an error in the whole, or of one in the answer to a statement."""
    try:
        said = json.loads(answer.data)
    except ValueError:
        return f"HTTP {answer.status}"
    if not isinstance(said, dict):
        return f"HTTP {answer.status}"
    results = said.get("results") or [{}]
    return str(said.get("message") or said.get("error") or results[0].get("error") or f"HTTP {answer.status}")


def _kept_1(asking: Asking) -> int | None:
    try:
        rows = asking.rows(f'SHOW RETENTION POLICIES ON "{asking.access.bucket}"')
    except Unavailable:
        return None
    return next((_seconds(row["duration"]) for row in rows if row["default"]), None)


def _kept_2(asking: Asking) -> int | None:
    answer = asking("GET", "/api/v2/buckets", {"org": asking.access.org, "name": asking.access.bucket})
    found = json.loads(answer.data).get("buckets", []) if answer.status == HTTPStatus.OK else []
    if not found:
        return None
    return next((int(rule["everySeconds"]) for rule in found[0]["retentionRules"]), 0)


def _seconds(duration: str) -> int:
    """Read a duration of InfluxQL.

    >>> _seconds("168h0m0s")
    604800
    """
    total, number = 0, ""
    for sign in duration:
        if sign.isdigit():
            number += sign
        else:
            total, number = total + int(number or 0) * _SECONDS.get(sign, 0), ""
    return total
