"""Supply sensors as sources of readings: what they measure is kept like any reading, one source for each quantity."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote, unquote

PREFIX = "supply:"
"""No device and no point has a name that begins so."""
MEASURES = ("supply_c", "return_c", "flow_m3_h")
WHOLE_STATION = "_"


class SupplySource(NamedTuple):
    """One quantity of one sensor; `building_id` is empty where it is the station's own."""

    station_id: str
    building_id: str
    measure: str

    @property
    def name(self) -> str:
        """Return the source under which its values are kept.

        >>> SupplySource("s1", "", "return_c").name, SupplySource("s1", "b/2", "supply_c").name
        ('supply:s1/_:return_c', 'supply:s1/b%2F2:supply_c')
        """
        building = quote(self.building_id, safe="") if self.building_id else WHOLE_STATION
        return f"{PREFIX}{quote(self.station_id, safe='')}/{building}:{self.measure}"

    @classmethod
    def parse(cls, source: str) -> SupplySource | None:
        """Return what a source measures, None where it is no supply sensor's."""
        sensor, _, measure = source.removeprefix(PREFIX).rpartition(":")
        station, slash, building = sensor.partition("/")
        if not source.startswith(PREFIX) or not slash or measure not in MEASURES:
            return None
        return cls(unquote(station), "" if building == WHOLE_STATION else unquote(building), measure)


def rooms_only(sources: Iterable[str]) -> list[str]:
    """Leave out the sources that are supply sensors."""
    return [source for source in sources if not source.startswith(PREFIX)]
