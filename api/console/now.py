"""The page of what goes on now: its parts as HTML, its rooms as small numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from api.console.backing import Console
from api.console.live import Kept, version_of
from api.console.render import part
from api.console.sending import Ready
from api.console.words import Words
from heatwatch.domain.findings import SubjectKind
from heatwatch.domain.instants import MINUTE_MS
from heatwatch.usecases.overview import NEVER_MS, Layout, Overview, Overviews

COLD_SHOWN = 200
_JSON = "application/json"
_HTML = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Scene:
    """What one sees who looks at some stations in one language, at one version of the records.

    Attributes
    ----------
    rooms
        States and temperatures, in the order of the layout.
    parts
        The parts of the page that follow the records.
    """

    version: str
    rooms: Ready
    parts: Ready


class Now:
    """Makes scenes, each once for all who see the same; one for each process."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._overviews = Overviews(console.store, console.standard, console.zone)
        self._scenes: Kept[Scene] = Kept()
        self._looks: Kept[_Look] = Kept(8)
        self._plans: Kept[Ready] = Kept()

    def held(self, version: str, stations: frozenset[str] | None, words: Words) -> Scene | None:
        """Return a scene that was made already."""
        return self._scenes.held((version, stations, words.language))

    def scene(self, stations: frozenset[str] | None, words: Words) -> Scene:
        """Return what is to be seen now.

        Raises
        ------
        Unavailable
            If the records or the store do not answer.
        """
        now_ms = self._console.clock()
        with self._console.records.read() as session:
            version = version_of(session, now_ms)
        return self._scenes((version, stations, words.language), lambda: self._made(version, now_ms, stations, words))

    def plan(self, stations: frozenset[str] | None) -> Ready:
        """Return the order of the rooms, and how each is called.

        Raises
        ------
        Unavailable
            If the records do not answer.
        """
        now_ms = self._console.clock()
        with self._console.records.read() as session:
            layout = self._overviews.layout(session, now_ms or 0, stations)
        return self._plans((layout.version, stations), lambda: Ready.of(_packed(plan_of(layout)), _JSON, level=6))

    def stations(self) -> list[str]:
        """Return every station that has rooms now, in order.

        Raises
        ------
        Unavailable
            If the records do not answer.
        """
        now_ms = self._console.clock()
        with self._console.records.read() as session:
            layout = self._overviews.layout(session, now_ms or 0)
        return list(dict.fromkeys(building.station_id for building in layout.buildings))

    def _made(self, version: str, now_ms: int | None, stations: frozenset[str] | None, words: Words) -> Scene:
        look = self._looks((version, stations), lambda: _Look(self._looked(now_ms, stations))).overview
        parts = part(words, "now_parts.html", look=look, cold_shown=COLD_SHOWN)
        html = Ready.of(parts.encode(), _HTML)
        rooms = Ready.of(_packed(numbers_of(look) | {"version": version, "parts": html.tag}), _JSON)
        return Scene(version, rooms, html)

    def _looked(self, now_ms: int | None, stations: frozenset[str] | None) -> Overview | None:
        if now_ms is None:
            return None
        with self._console.records.read() as session:
            return self._overviews(session, now_ms, stations)


def plan_of(layout: Layout) -> dict[str, Any]:
    """Return the order of the rooms: buildings with their stretches, and the names of points and rooms."""
    return {
        "layout": layout.version,
        "buildings": [[one.building_id, one.station_id, one.first, one.rooms] for one in layout.buildings],
        "points": [row.point_id for row in layout.rows],
        "rooms": [row.room for row in layout.rows],
        "schedule": layout.schedule.tolist(),
    }


def numbers_of(look: Overview | None) -> dict[str, Any]:
    """Return how the rooms are.

    `states` has a digit a room; `temps` tenths of a degree and `ages` minutes since it was measured, null where nothing
    was; `limits` tenths of a degree for each schedule; `since` instants [s] by the number of the room; `stops` the
    numbers of the buildings without heat.
    """
    if look is None:
        return {"layout": "", "now": None}
    rooms = look.rooms
    known = rooms.time_ms != NEVER_MS
    tenths = np.where(known, np.round(np.nan_to_num(rooms.temp_c) * 10), 0).astype(int).tolist()
    ages = np.where(known, (look.as_of_ms - rooms.time_ms) // MINUTE_MS, 0).tolist()
    told = known.tolist()
    since = {int(room): int(rooms.since_ms[room] // 1000) for room in np.flatnonzero(rooms.since_ms != NEVER_MS)}
    return {
        "layout": look.layout.version,
        "now": look.as_of_ms,
        "states": "".join(map(str, rooms.state.tolist())),
        "temps": [temp if known else None for temp, known in zip(tenths, told, strict=True)],
        "ages": [age if known else None for age, known in zip(ages, told, strict=True)],
        "limits": [None if limit is None else round(limit.minimum_c * 10) for limit in rooms.limits],
        "since": since,
        "stops": _stopped(look),
    }


def _stopped(look: Overview) -> list[int]:
    """Return the numbers of the buildings whose heat is off."""
    stations = {one.station_id for one in look.outages if one.subject_kind is SubjectKind.STATION}
    buildings = {one.building_id for one in look.outages if one.subject_kind is SubjectKind.BUILDING}
    return [
        number
        for number, building in enumerate(look.layout.buildings)
        if building.station_id in stations or building.building_id in buildings
    ]


@dataclass(frozen=True, slots=True)
class _Look:
    """An overview, or that there is none yet."""

    overview: Overview | None


def _packed(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
