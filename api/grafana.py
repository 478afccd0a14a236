"""Grafana's webhook: what its alerts tell is kept and taken to tickets; and the list of alerts to look at."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool

from api.access import Signed
from api.deeds import EARLIEST, LATEST, now_ms
from api.models import Instant, Page, PageQuery
from api.problems import Wrong, answers, problem
from api.routes import Backed, Backend
from heatwatch.domain.alerts import Alert
from heatwatch.domain.instants import MINUTE_MS, SECOND_MS, to_ms
from heatwatch.errors import BadInput
from heatwatch.records.schema import AlertRow
from heatwatch.secret import one_line
from heatwatch.settings import Settings
from heatwatch.usecases.alerts import Taken, alerts, count_alerts, places_of, take

WEBHOOK_BODY_MAX = 32 * 1024 * 1024
"""Bound of one delivery [byte]: 10,000 alerts with all that Grafana says of each, twice over."""
ALERTS_MAX = 20_000
"""Bound of the alerts in one delivery."""
WINDOW_MS = 5 * MINUTE_MS
"""How far the moment of a signature may be from the wall clock, before or after it."""
SIGNATURE, TIMESTAMP = "x-grafana-alerting-signature", "x-grafana-alerting-timestamp"
_LINE_MAX, _TEXT_MAX, _LABELS_MAX = 200, 1000, 64
_WRONG_MAX = 20
"""How many mistakes one answer names."""
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_SECONDS = re.compile(r"[0-9]{1,12}")

router = APIRouter(
    prefix="/api/v1",
    tags=["alerts"],
    responses=answers(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
)


@dataclass(frozen=True, slots=True)
class Webhook:
    """How Grafana proves itself. Where neither key is set nothing is taken.

    Attributes
    ----------
    wall_clock
        The wall clock [ms], for the window in which a signature counts.
    token, secret
        Give the token (`Authorization: Bearer`) and the secret of signatures; None where there is none.
    """

    wall_clock: Callable[[], int]
    token: Callable[[], str] | None = None
    secret: Callable[[], str] | None = None


def webhook_of(settings: Settings, wall_clock: Callable[[], int]) -> Webhook:
    """Return how Grafana proves itself by the settings; its keys are read from their files each time.

    Raises
    ------
    BadInput
        If a file of a key cannot be read now.
    """
    token, secret = settings.grafana_webhook_token_file, settings.grafana_webhook_secret_file
    return Webhook(
        wall_clock, _reader(token, "token of Grafana's webhook"), _reader(secret, "secret of Grafana's webhook")
    )


def _reader(file: Path | None, what: str) -> Callable[[], str] | None:
    if file is None:
        return None
    one_line(file, what)
    return partial(one_line, file, what)


def _cut(most: int) -> Callable[[object], str]:
    """Return what makes text of whatever was said: cut to a length, with nothing that a database can't keep."""

    def text(said: object) -> str:
        if said is None:
            return ""
        return (said if isinstance(said, str) else str(said)).replace("\0", "�")[:most]

    return text


def _texts(said: object) -> object:
    """Return names with texts, whatever stood there; nothing where there are none."""
    if said is None:
        return {}
    if not isinstance(said, dict):
        return said
    line, text = _cut(_LINE_MAX), _cut(_TEXT_MAX)
    return {line(name): text(value) for name, value in list(said.items())[:_LABELS_MAX]}


def _moment(said: object) -> object:
    """Refuse a number, which pydantic would take for seconds."""
    if isinstance(said, int | float):
        msg = "must be an ISO 8601 instant with its zone, such as 2025-11-25T02:40:00Z"
        raise ValueError(msg)  # noqa: TRY004 - pydantic answers with what a ValueError says
    return said


def _within(moment: datetime) -> bool:
    return EARLIEST <= moment < LATEST


_MOMENT: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)


def _end(said: object) -> datetime | None:
    """Return when an alert ended; None where that is not said: Grafana writes the year 1 while it fires."""
    try:
        moment = _MOMENT.validate_python(said) if isinstance(said, str) else None
    except ValidationError:
        return None
    return moment if moment is not None and _within(moment) else None


Texts = Annotated[dict[str, str], BeforeValidator(_texts)]
Named = Annotated[str, BeforeValidator(_cut(_LINE_MAX))]


class AlertIn(BaseModel):
    """One alert of a delivery. What is not named here is passed over."""

    model_config = ConfigDict(extra="ignore")

    status: Literal["firing", "resolved"] = Field(description="Whether it fires.")
    fingerprint: str = Field(min_length=1, max_length=128, pattern=r"^[^\x00]+$", description="Digest of its labels.")
    starts: Annotated[AwareDatetime, BeforeValidator(_moment)] = Field(alias="startsAt", description="Since when.")
    ends: Annotated[datetime | None, BeforeValidator(_end)] = Field(
        default=None, alias="endsAt", description="Until when; the year 1 while it fires."
    )
    labels: Texts = Field(
        default={}, description="`station`, `building`, `rule`, `kind`, `finding`, `ticket`, `room`, `point`."
    )
    annotations: Texts = Field(default={}, description="`summary`, else `description`, goes into the ticket's log.")
    rule_uid: Named = Field(default="", alias="ruleUID", description="Its rule in Grafana.")

    def alert(self) -> Alert:
        """Return what it tells.

        Raises
        ------
        BadInput
            If it began at a moment that cannot be meant.
        """
        if not _within(self.starts):
            raise BadInput("a moment must lie between 1990 and 2200", where="startsAt")
        resolved = self.status == "resolved"
        ends_ms = None if self.ends is None or not resolved else to_ms(self.ends)
        summary = self.annotations.get("summary") or self.annotations.get("description") or ""
        fires = not resolved
        return Alert(
            self.fingerprint, to_ms(self.starts), ends_ms, fires, resolved, self.labels, summary, self.rule_uid
        )


class Delivery(BaseModel):
    """What Grafana sends: one group of alerts, each firing or resolved. What is not named here is passed over."""

    model_config = ConfigDict(extra="ignore")

    alerts: list[AlertIn] = Field(max_length=ALERTS_MAX, description="The alerts of the group.")


class TakenOut(BaseModel):
    """What became of a delivery."""

    told: int = Field(description="How many alerts it told of, each counted once.")
    new: int = Field(description="How many of them were not known.")
    joined: int = Field(description="How many came to a ticket that was there.")
    opened: list[int] = Field(description="The technical tickets that it opened.")
    waiting: int = Field(description="How many have no ticket (yet).")


class AlertOut(BaseModel):
    """An alert, from its start until it was resolved."""

    id: int = Field(description="Its number.")
    fingerprint: str = Field(description="Grafana's digest of its labels.")
    status: Literal["firing", "resolved"] = Field(description="Whether it fires.")
    name: str = Field(description="The name of its rule.")
    rule_uid: str = Field(description="Its rule in Grafana.")
    kind: str = Field(description="What it speaks of.")
    station_id: str = Field(description="The station; empty where it is about none.")
    building_id: str = Field(description="The building; empty where it is about none.")
    labels: dict[str, str] = Field(description="Its labels.")
    summary: str = Field(description="What it says.")
    start: Instant = Field(description="Since when.")
    end: Instant | None = Field(description="Until when; null while it fires, or where that was not said.")
    first_told_at: Instant = Field(description="When it was first told.")
    last_told_at: Instant = Field(description="When it was last told.")
    told: int = Field(description="How often.")
    ticket_id: int | None = Field(description="Its ticket; null where it has none (yet).")
    joined: Literal["ticket", "finding", "place", "matter", ""] = Field(
        description="How it came to it: named by its labels, by its place, or by its matter among technical tickets."
    )


class AlertQuery(PageQuery):
    """Which alerts."""

    status: Literal["firing", "resolved"] | None = Field(default=None, description="Only those that stand so.")
    kind: str | None = Field(default=None, description="Only those that speak of this.")
    station: str | None = Field(default=None, description="Only those of this station.")
    ticket: int | None = Field(default=None, ge=1, lt=2**63, description="Only those of this ticket.")
    waiting: bool | None = Field(default=None, description="Only those without a ticket, or with one.")


def _webhook(request: Request) -> Webhook | None:
    held: Webhook | None = request.app.state.webhook
    return held


def _described() -> dict[str, Any]:
    """Return what the route asks for, which it reads itself: a signature is of the bytes."""
    body = Delivery.model_json_schema()
    body["properties"]["alerts"]["items"] = body.pop("$defs")[AlertIn.__name__]
    headers = {
        "X-Grafana-Alerting-Signature": "HMAC-SHA256 of `timestamp:body`, or of the body alone, in hexadecimal.",
        "X-Grafana-Alerting-Timestamp": "When it was signed, in seconds since 1970.",
    }
    text = {"in": "header", "required": False, "schema": {"type": "string"}}
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "parameters": [{"name": name, "description": what, **text} for name, what in headers.items()],
    }


@router.get("/alerts", summary="Alerts of Grafana")
def list_alerts(backend: Backed, person: Signed, query: Annotated[AlertQuery, Query()]) -> Page[AlertOut]:
    """Return alerts that Grafana told of, the latest start first."""
    which: dict[str, Any] = {name: getattr(query, name) for name in ("status", "kind", "station", "ticket", "waiting")}
    with backend.records.read() as session:
        rows = alerts(session, stations=person.stations, limit=query.limit, offset=query.offset, **which)
        total = count_alerts(session, stations=person.stations, **which)
        return Page(items=[_told(row) for row in rows], total=total, limit=query.limit, offset=query.offset)


@router.post(
    "/grafana/webhook",
    summary="Take what Grafana's alerts tell",
    max_body_size=WEBHOOK_BODY_MAX,
    response_model=TakenOut,
    openapi_extra=_described(),
    responses=answers(HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
)
async def post_webhook(
    request: Request, backend: Backed, webhook: Annotated[Webhook | None, Depends(_webhook)]
) -> TakenOut | JSONResponse:
    """Keep the alerts of one group, and let each join its ticket, open a technical one, or wait.

    Grafana proves itself by a token (`Authorization: Bearer`) or a signature. All of a delivery is kept or nothing; one
    that comes again changes nothing more.
    """
    if webhook is None or (webhook.token is None and webhook.secret is None):
        raise HTTPException(HTTPStatus.NOT_FOUND, "no key of Grafana's webhook is set here")
    proof = await run_in_threadpool(_proof, webhook, request.headers)
    body = await request.body()
    if not await run_in_threadpool(proof, body):  # a large body takes a tenth of a second, in which nobody is served
        raise _stranger("the signature is not of this body")
    return await run_in_threadpool(_taken, backend, body)


def _proof(webhook: Webhook, headers: Mapping[str, str]) -> Callable[[bytes], bool]:
    """Look at who asks before the body is read; return what tells whether the body is signed as it says.

    Raises
    ------
    HTTPException
        Unauthorized, where no key is shown that is set here, or a wrong or an old one.
    """
    signature, (scheme, _, token) = headers.get(SIGNATURE), headers.get("authorization", "").partition(" ")
    shown = False
    if webhook.token is not None and scheme.lower() == "bearer":
        if not hmac.compare_digest(token.strip().encode(), _key(webhook.token)):
            raise _stranger("the token is not that of the webhook")
        shown = True
    if webhook.secret is not None and signature is not None:
        return _signed(_key(webhook.secret), signature, headers.get(TIMESTAMP), webhook.wall_clock())
    if not shown:
        raise _stranger("show the token of the webhook, or sign the body")
    return lambda _body: True


def _signed(secret: bytes, signature: str, timestamp: str | None, now_ms: int) -> Callable[[bytes], bool]:
    if not _DIGEST.fullmatch(signature):
        raise _stranger("the signature is none")
    if timestamp is not None:
        old = not _SECONDS.fullmatch(timestamp) or abs(int(timestamp) * SECOND_MS - now_ms) > WINDOW_MS
        if old:
            raise _stranger("it was not signed within the last minutes: are the clocks right?")

    def fits(body: bytes) -> bool:
        digest = hmac.new(secret, b"" if timestamp is None else f"{timestamp}:".encode(), sha256)
        digest.update(body)
        return hmac.compare_digest(digest.hexdigest(), signature.lower())

    return fits


def _key(read: Callable[[], str]) -> bytes:
    try:
        return read().encode()
    except BadInput as error:
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "the key of Grafana's webhook cannot be read") from error


def _stranger(why: str) -> HTTPException:
    return HTTPException(HTTPStatus.UNAUTHORIZED, why, headers={"WWW-Authenticate": "Bearer"})


def _taken(backend: Backend, body: bytes) -> TakenOut | JSONResponse:
    try:
        told = [one.alert() for one in Delivery.model_validate_json(body).alerts]
    except ValidationError as error:
        return _unreadable(error)
    except BadInput as error:
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
    at_ms = now_ms(backend)
    with backend.records.write() as session:
        taken: Taken = take(session, told, places_of(backend.register(session)), backend.standard, at_ms)
    return TakenOut(
        told=taken.told, new=taken.new, joined=taken.joined, opened=list(taken.opened), waiting=taken.waiting
    )


def _unreadable(error: ValidationError) -> JSONResponse:
    said = error.errors(include_url=False, include_context=False, include_input=False)
    wrong = [Wrong(where=".".join(map(str, one["loc"])) or "body", what=one["msg"]) for one in said[:_WRONG_MAX]]
    detail = f"{wrong[0].where}: {wrong[0].what}" + (f"; {len(said)} in all" if len(said) > 1 else "")
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, wrong)


def _told(row: AlertRow) -> AlertOut:
    return AlertOut(
        id=row.id,
        fingerprint=row.fingerprint,
        status=row.status,
        name=row.name,
        rule_uid=row.rule_uid,
        kind=row.kind,
        station_id=row.station_id,
        building_id=row.building_id,
        labels=row.labels,
        summary=row.summary,
        start=row.starts_ms,
        end=row.ends_ms,
        first_told_at=row.first_ms,
        last_told_at=row.last_ms,
        told=row.seen,
        ticket_id=row.ticket_id,
        joined=row.joined,
    )
