"""Our own convention on MQTT: topics and payloads, written by simulators and read by ingest.

Topics
------
``heat/{station}/{building}/{point}/reading``
    One reading as a JSON object, or an array of them.
``heat/{station}/gateway/{gateway}/readings``
    The same for many points; each object names its ``point`` or its ``device``.
``heat/{station}/{building|_}/supply``
    What flows to a building, or (``_``) to the whole station, and comes back: one JSON object, or an array of them.
``heat/_clock``
    The ticks of a replay, published with the readings so that the broker keeps their order.
``heat/_clock/done``
    Retained: the last tick that every role of a `serve` has done.

Each level is percent-encoded, so that an identifier may hold ``/``, ``+`` and ``#``.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, unquote

from pydantic import BaseModel, ConfigDict

READINGS_FILTERS = ("heat/+/+/+/reading", "heat/+/gateway/+/readings")
SUPPLY_FILTER = "heat/+/+/supply"
CLOCK_TOPIC = "heat/_clock"
CLOCK_DONE_TOPIC = "heat/_clock/done"
NOWHERE = "_"


def reading_topic(station_id: str, building_id: str, point_id: str) -> str:
    """Return the topic on which one point publishes.

    >>> reading_topic("s1", "b 2", "venue_11/hall")
    'heat/s1/b%202/venue_11%2Fhall/reading'
    """
    return f"heat/{_level(station_id)}/{_level(building_id)}/{_level(point_id)}/reading"


def gateway_topic(station_id: str, gateway_id: str) -> str:
    """Return the topic on which a gateway publishes for many points."""
    return f"heat/{_level(station_id)}/gateway/{_level(gateway_id)}/readings"


def supply_topic(station_id: str, building_id: str = "") -> str:
    """Return the topic of the supply of a building, or of the station where none is named.

    >>> supply_topic("s1"), supply_topic("s1", "b 2")
    ('heat/s1/_/supply', 'heat/s1/b%202/supply')
    """
    return f"heat/{_level(station_id)}/{_level(building_id) if building_id else NOWHERE}/supply"


def split_topic(topic: str) -> tuple[str, ...]:
    """Return the decoded levels of a topic."""
    return tuple(unquote(level) for level in topic.split("/"))


def _level(identifier: str) -> str:
    return quote(identifier, safe="-_.~:@ ".replace(" ", ""))


class Tick(BaseModel):
    """One step of a replay's clock: everything measured before `now` [ms] has been published.

    What is published before the next tick lies at most `ahead_ms` past `now`: the clock's next move.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    step: int
    now: int
    ahead_ms: int = 0


class Done(BaseModel):
    """The last tick that every role has done, and where `serve`'s clock stands [ms]."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    run: str
    step: int
    now: int
    roles: Sequence[str] = ()
