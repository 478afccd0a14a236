"""People: who may be what (R14, R26, R35). Which route a role may use stands in one table, `api/access.py`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What someone is here to do."""

    COMPANY = "company"
    DISPATCH = "dispatch"
    STATION = "station"
    REPAIRER = "repairer"
    ENGINEER = "engineer"
    VIEWER = "viewer"


OF_STATIONS = frozenset({Role.STATION, Role.REPAIRER})
"""Roles that always belong to stations; the others may be confined to some."""


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who is signed in. `stations` is None where all are this person's."""

    name: str
    display_name: str
    role: Role
    stations: frozenset[str] | None = None

    def may_see(self, station_id: str) -> bool:
        """Tell whether a station's matters are this person's."""
        return self.stations is None or station_id in self.stations


def scope_of(role: Role, stations: Collection[str]) -> frozenset[str] | None:
    """Return the stations whose matters are someone's, None for all.

    Raises
    ------
    ValueError
        If the role belongs to stations and none is named.
    """
    if stations:
        return frozenset(stations)
    if role in OF_STATIONS:
        msg = f"the role {role} needs at least one station"
        raise ValueError(msg)
    return None
