"""The page of a room: its chart, and the same facts as tables."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, cast

import numpy as np
from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import Response
from markupsafe import Markup
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from api import charts
from api.access import Signed
from api.console.backing import Backed
from api.console.render import page, part, words_of
from api.console.sending import Ready
from api.console.words import Words
from api.models import InstantQuery
from heatwatch.domain.instants import DAY_MS, MINUTE_MS, SECOND_MS, to_ms
from heatwatch.domain.local_time import offsets
from heatwatch.domain.register import PointRow
from heatwatch.domain.temperature import Limit
from heatwatch.drawing import svg
from heatwatch.usecases.findings import shown_detail
from heatwatch.usecases.room import Counted, RoomStories, RoomStory, Step

DAYS = (1, 7, 30)
"""How many days the page offers to show."""
LONGEST_DAYS = 92
EVIDENCE_SHOWN = 24
_YEAR_S = 365 * 24 * 3600
_FIGURE = re.compile(r"(\w+)=([-+]?[\d.]+)")
"""One figure of a sensor fault's detail, without its unit."""

router = APIRouter(include_in_schema=False)


def _of_this_age(instant: datetime) -> datetime:
    if not datetime(1990, 1, 1, tzinfo=UTC) <= instant < datetime(2200, 1, 1, tzinfo=UTC):
        msg = "must lie between 1990 and 2200"
        raise ValueError(msg)
    return instant


Moment = Annotated[InstantQuery, AfterValidator(_of_this_age)]


class WindowQuery(BaseModel):
    """Which window of time; without `to` it ends now, and goes on."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    start: Moment | None = Field(default=None, alias="from", description="From when, included.")
    end: Moment | None = Field(default=None, alias="to", description="Until when, excluded.")
    days: int = Field(default=7, ge=1, le=LONGEST_DAYS, description="How long, where `from` is left out.")
    version: str = Field(default="", description="What the page has heard of; changes nothing.")

    @model_validator(mode="after")
    def _in_order(self) -> WindowQuery:
        if self.start is not None and self.end is not None:
            _check((to_ms(self.start), to_ms(self.end)))
        return self

    def window(self, now_ms: int | None) -> tuple[int, int]:
        """Return the window [ms].

        Raises
        ------
        HTTPException
            If it ends now and nobody can say when that is, or now is before it begins or too long after.
        """
        if self.end is None and now_ms is None:
            raise HTTPException(HTTPStatus.CONFLICT, "the replay has not begun: say until when ('to')")
        end_ms = to_ms(self.end) if self.end is not None else _after_this_minute(cast("int", now_ms))
        start_ms = to_ms(self.start) if self.start is not None else end_ms - self.days * DAY_MS
        try:
            _check((start_ms, end_ms))
        except ValueError as error:
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
        return start_ms, end_ms


def _after_this_minute(now_ms: int) -> int:
    """Return the end of a window that goes on: the same for a minute, so that a page is told nothing anew meanwhile."""
    return (now_ms // MINUTE_MS + 1) * MINUTE_MS


def _check(window: tuple[int, int]) -> None:
    if window[1] <= window[0]:
        msg = "'to' must be after 'from'"
        raise ValueError(msg)
    if window[1] - window[0] > LONGEST_DAYS * DAY_MS:
        msg = f"at most {LONGEST_DAYS} days are shown at once"
        raise ValueError(msg)


class Teller:
    """Tells the story that someone asks for."""

    def __init__(
        self, request: Request, console: Backed, person: Signed, query: Annotated[WindowQuery, Query()]
    ) -> None:
        self._state, self._console, self._person, self._query = request.app.state, console, person, query

    def __call__(self, point_id: str) -> RoomStory:
        """Return a point's story.

        Raises
        ------
        HTTPException
            Not found, where the register lists no such point in someone's stations.
        """
        now_ms = self._console.clock()
        window = self._query.window(now_ms)
        as_of_ms = window[1] if now_ms is None else now_ms
        with self._console.records.read() as session:
            story = self._stories()(session, point_id, window, as_of_ms, self._person.stations)
        if story is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"the register lists no point {point_id}")
        return story

    def _stories(self) -> RoomStories:
        """Return what tells the stories of this process."""
        if not hasattr(self._state, "console_rooms"):
            console = self._console
            self._state.console_rooms = RoomStories(console.store, console.standard, console.zone)
        return cast("RoomStories", self._state.console_rooms)


Tell = Annotated[Teller, Depends()]


@router.get("/rooms/{point_id:path}/parts.html")
def room_parts(request: Request, console: Backed, tell: Tell, point_id: str) -> Response:
    """Return the parts of a room's page that follow the records."""
    return _parts(words_of(request, console), tell(point_id)).send(request, {})


@router.get("/rooms/{point_id:path}/chart.json")
def room_chart(request: Request, console: Backed, tell: Tell, point_id: str) -> Response:
    """Return a room's chart in Vega-Lite: whose it is, what draws it, and offsets of local time and rules by moment."""
    words, story = words_of(request, console), tell(point_id)
    row = story.row
    said = {
        "of": {"point": row.point_id, "room": row.room, "building": row.building_id, "station": row.station_id},
        "library": f"/static/vega-{charts.bundle().digest}.js",
        "spec": charts.room_spec(story, words),
        "offsets": offsets(console.zone, story.start_ms, story.end_ms),
        "rules": [[step.start_ms, _rule(step)] for step in story.steps],
    }
    text = json.dumps(said, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Ready.of(text.encode(), "application/json").send(request, {})


@router.get("/rooms/{point_id:path}/chart.svg")
def room_print(request: Request, console: Backed, tell: Tell, point_id: str) -> Response:
    """Return a room's chart as a picture, for print."""
    drawn = svg(charts.room_spec(tell(point_id), words_of(request, console), printed=True))
    return Response(drawn, media_type="image/svg+xml", headers={"Content-Disposition": "inline"})


@router.get("/rooms/{point_id:path}")
def room_page(
    request: Request, console: Backed, tell: Tell, query: Annotated[WindowQuery, Query()], point_id: str
) -> Response:
    """Show a room."""
    story = tell(point_id)
    charts.prepare()
    ready = _parts(words_of(request, console), story)
    parts = Markup(ready.content.decode())  # noqa: S704 - our own template made it, everything escaped
    rolling = query.start is None and query.end is None
    return page(
        request, "room.html", story=story, parts=parts, tag=ready.tag, days=DAYS, chosen=query.days if rolling else None
    )


@router.get("/static/vega-{digest}.js")
def room_library(request: Request, digest: str) -> Response:
    """Return Vega. Under the address of its content it never changes."""
    made = charts.bundle()
    if digest != made.digest:
        raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such file")
    return made.ready.send(
        request, {"Cache-Control": f"public, max-age={_YEAR_S}, immutable", "Vary": "Accept-Encoding"}
    )


def _rule(step: Step) -> str:
    return "" if step.limit is None else step.limit.rule


@dataclass(frozen=True, slots=True)
class Reading:
    """A valid reading, for a table; `missing_k` is what it lacks of the minimum [K]."""

    time_ms: int
    raw_c: float
    temp_c: float
    limit: Limit | None

    @property
    def missing_k(self) -> float:
        """How far it is below the minimum [K]; negative above."""
        return 0.0 if self.limit is None else self.limit.minimum_c - self.temp_c


@dataclass(frozen=True, slots=True)
class Sums:
    """What the readings of a window come to."""

    valid: int
    violations: int
    below_target: int
    invalid: int
    conflicts: int
    out_of_range: int
    last: Reading | None
    lowest: Reading | None
    evidence: Sequence[Reading]


def sums_of(story: RoomStory) -> Sums:
    """Count the readings of a story, and pick those that a page names."""
    told = story.readings
    valid = np.flatnonzero(told.counted == Counted.VALID)
    count = np.bincount(told.counted, minlength=len(Counted)).tolist()
    below = (told.temp_c < told.target_c) & ~told.violates & (told.counted == Counted.VALID)
    cold = np.flatnonzero(told.violates)[:EVIDENCE_SHOWN]
    return Sums(
        valid=len(valid),
        violations=int(told.violates.sum()),
        below_target=int(below.sum()),
        invalid=count[Counted.INVALID],
        conflicts=count[Counted.CONFLICT],
        out_of_range=count[Counted.OUT_OF_RANGE],
        last=_reading(story, int(valid[-1])) if len(valid) else None,
        lowest=_reading(story, int(valid[np.argmin(told.temp_c[valid])])) if len(valid) else None,
        evidence=[_reading(story, place) for place in cold.tolist()],
    )


def _reading(story: RoomStory, place: int) -> Reading:
    told = story.readings
    time_ms = int(told.time_ms[place])
    return Reading(time_ms, float(told.raw_c[place]), float(told.temp_c[place]), story.step_at(time_ms))


def _parts(words: Words, story: RoomStory) -> Ready:
    html = part(words, "room_parts.html", **_context(words, story))
    return Ready.of(html.encode(), "text/html; charset=utf-8")


def _context(words: Words, story: RoomStory) -> dict[str, Any]:
    every = (*story.spells, *story.silences, *story.faults, *story.outages)
    return {
        "story": story,
        "sums": sums_of(story),
        "details": {row.id: shown_detail(row, story.as_of_ms) for row in every},
        "now_limit": story.steps[-1].limit,
        "paused": _paused,
        "fault_told": partial(fault_told, words),
    }


def fault_told(words: Words, detail: Mapping[str, str]) -> str:
    """Say what a sensor fault is, in words; as its file has it, where there are none for it.

    >>> from zoneinfo import ZoneInfo
    >>> fault_told(Words("zh", ZoneInfo("Asia/Shanghai")), {"kind": "clock", "detail": "n=560 off=-5620s"})
    '慢 1 小时 33 分，共 560 条'
    """
    kind, said = detail["kind"], dict(_FIGURE.findall(detail["detail"]))
    if kind == "low_battery" and "days_left" in said:
        kind = "days_left"
    if kind == "clock" and "off" in said:
        off_s = int(said["off"])
        kind = "slow" if off_s < 0 else "fast" if off_s else "stands"
        said["off"] = words.span(abs(off_s) * SECOND_MS)
    try:
        return words.t_of("room_page.fault_told", kind, **said)
    except KeyError:
        return detail["detail"]


def _paused(row: PointRow) -> tuple[int | None, int | None] | None:
    """Return from when until when a room's heating is suspended [ms], None where it is not."""
    if row.suspended_from is None and row.suspended_to is None:
        return None
    since, until = row.suspended_from, row.suspended_to
    return None if since is None else to_ms(since), None if until is None else to_ms(until)
