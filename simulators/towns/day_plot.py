"""A picture of one building's day: its rooms, the limits, the water that comes and goes, and the weather.

::

    python -c "from simulators.towns.day_plot import draw_boiler_trip; draw_boiler_trip('building_day.png')"
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from heatwatch.domain.findings import FindingKind
from heatwatch.domain.instants import DAY_MS, HOUR_MS
from heatwatch.drawing import FILLS, INK, PAPER, SCHEMA, Spec, config, write
from simulators.towns.events import BUILDING, STATION, BoilerTrip, Event, Subject
from simulators.towns.layout import plan
from simulators.towns.settings import TownSettings
from simulators.towns.town import Town

_DISTANCES = ("near", "middle", "far")
_HUES = ("#0b6e80", "#c48a00", "#9c2d6b")
_WATER = {"supply": "#b83508", "return": "#e08f6b", "outdoors": "#3b6fb5"}
_STOP = FILLS[FindingKind.HEAT_OUTAGE]
_WIDTH, _ROOMS_PX, _WATER_PX = 860, 380, 200
_EVERY_MS = HOUR_MS // 12
_LIMITS_C = (18.0, 16.0)
_MIDNIGHT_H, _TRIP_H = 16, (2, 8)


def draw_boiler_trip(path: str | Path) -> None:
    """Draw a house of 72 rooms on the day on which the boiler of its station stands from 02:00 to 08:00."""
    settings = TownSettings(seed=4, rooms=360, rooms_per_building=72, stations=1, outage_h=0, silent_h=0, cold_rooms=3)
    midnight_ms = settings.start_ms + _MIDNIGHT_H * HOUR_MS + DAY_MS
    start_ms, end_ms = (midnight_ms + hour * HOUR_MS for hour in _TRIP_H)
    trip = BoilerTrip(Subject(STATION, "S1"), start_ms, end_ms)
    town = Town(TownSettings(**{name: getattr(settings, name) for name in settings.__slots__} | {"events": (trip,)}))
    write(building_day(town, "S1-B03", midnight_ms, trip), Path(path), scale=1.2)


def building_day(town: Town, building_id: str, midnight_ms: int, event: Event) -> Spec:
    """Return the picture of a building's day in Vega-Lite.

    Parameters
    ----------
    town, building_id
        Which building.
    midnight_ms
        Where the day begins [ms].
    event
        What happens in it; its span is shaded.
    """
    span = [{"from": (event.start_ms - midnight_ms) / HOUR_MS, "to": (event.end_ms - midnight_ms) / HOUR_MS}]
    band = {
        "data": {"values": span},
        "mark": {"type": "rect", "color": _STOP, "opacity": 0.09},
        "encoding": {"x": _hours("from"), "x2": {"field": "to"}},
    }
    what = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(event).__name__).lower()
    said = f"{what} from {span[0]['from']:02.0f}:00 to {span[0]['to']:02.0f}:00"
    return {
        "$schema": SCHEMA,
        "title": {"text": f"{building_id}: a day of its rooms", "subtitle": said, "anchor": "start"},
        "background": PAPER,
        "vconcat": [
            {"width": _WIDTH, "height": _ROOMS_PX, "layer": [band, *_rooms(town, building_id, midnight_ms)]},
            {"width": _WIDTH, "height": _WATER_PX, "layer": [band, _water(town, building_id, midnight_ms)]},
        ],
        "resolve": {"scale": {"color": "independent"}},
        "config": config(),
    }


def _rooms(town: Town, building_id: str, midnight_ms: int) -> list[Spec]:
    limits = [{"limit": limit, "said": f"{limit:g} °C"} for limit in _LIMITS_C]
    rule: Spec = {
        "mark": {"type": "rule", "strokeWidth": 1.4, "color": INK},
        "encoding": {"y": {"field": "limit", "type": "quantitative"}},
    }
    label: Spec = {
        "mark": {"type": "text", "align": "right", "dx": -4, "dy": -6, "color": INK},
        "encoding": {
            "x": {"value": _WIDTH},
            "y": {"field": "limit", "type": "quantitative"},
            "text": {"field": "said"},
        },
    }
    lines: Spec = {
        "data": {"values": list(_room_values(town, building_id, midnight_ms))},
        "mark": {"type": "line", "strokeWidth": 1.1, "opacity": 0.7},
        "encoding": {
            "x": _hours("hour"),
            "y": _axis("temp_c", "Rooms [°C]"),
            "detail": {"field": "point"},
            "color": _legend("distance", "From the station", dict(zip(_DISTANCES, _HUES, strict=True))),
            "strokeDash": {
                "field": "exposed",
                "type": "nominal",
                "scale": {"domain": ["inner", "exposed"], "range": [[1, 0], [5, 2]]},
                "legend": {"title": "In the house", "symbolStrokeColor": INK, "symbolSize": 300},
            },
        },
    }
    return [lines, *({"data": {"values": limits}, **one} for one in (rule, label))]


def _water(town: Town, building_id: str, midnight_ms: int) -> Spec:
    return {
        "data": {"values": list(_water_values(town, building_id, midnight_ms))},
        "mark": {"type": "line", "strokeWidth": 1.8},
        "encoding": {
            "x": _hours("hour"),
            "y": _axis("temp_c", "Water, outdoors [°C]"),
            "color": _legend("what", "At the station", _WATER),
        },
    }


def _room_values(town: Town, building_id: str, midnight_ms: int) -> Iterator[Spec]:
    s, time_ms = town.settings, _day_ms(midnight_ms)
    rooms = np.flatnonzero(Subject(BUILDING, building_id).among(town.points()))
    distance = plan(s.rooms, s.rooms_per_building, s.stations).distance
    exposed = town.model.physics.fabric.exposed_w_k > 0.0
    temp_c = town.temperatures_c(time_ms)[:, rooms].round(3)
    for at, room in enumerate(rooms.tolist()):
        for moment_ms, value_c in zip(time_ms.tolist(), temp_c[:, at].tolist(), strict=True):
            yield {
                "hour": (moment_ms - midnight_ms) / HOUR_MS,
                "temp_c": value_c,
                "point": room,
                "distance": _DISTANCES[distance[room]],
                "exposed": "exposed" if exposed[room] else "inner",
            }


def _water_values(town: Town, building_id: str, midnight_ms: int) -> Iterator[Spec]:
    time_ms = _day_ms(midnight_ms)
    frame = town.supply_frame(midnight_ms, midnight_ms + DAY_MS + 1, _EVERY_MS // 1_000)
    here = frame[frame["subject_id"] == building_id.split("-", maxsplit=1)[0]]
    series = {"supply": here["supply_c"], "return": here["return_c"], "outdoors": town.weather.outdoor_c(time_ms)}
    for what, values in series.items():
        for moment_ms, value_c in zip(time_ms.tolist(), np.asarray(values).round(3).tolist(), strict=True):
            yield {"hour": (moment_ms - midnight_ms) / HOUR_MS, "temp_c": value_c, "what": what}


def _day_ms(midnight_ms: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.arange(midnight_ms, midnight_ms + DAY_MS + 1, _EVERY_MS, dtype=np.int64)


def _hours(field: str) -> Spec:
    hours = "pad(floor(datum.value % 24), 2, '0', 'left') + ':00'"
    axis = {"values": list(range(0, 25, 2)), "labelExpr": hours, "title": None}
    return {"field": field, "type": "quantitative", "axis": axis, "scale": {"domain": [0, 24]}}


def _axis(field: str, title: str) -> Spec:
    return {"field": field, "type": "quantitative", "title": title, "scale": {"zero": False, "nice": True}}


def _legend(field: str, title: str, hues: dict[str, str]) -> Spec:
    scale = {"domain": list(hues), "range": list(hues.values())}
    symbol = {"title": title, "symbolType": "stroke", "symbolStrokeWidth": 3, "symbolOpacity": 1}
    return {"field": field, "type": "nominal", "scale": scale, "legend": symbol}
