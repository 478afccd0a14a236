"""Opens the InfluxDB that the settings name."""

from __future__ import annotations

from heatwatch.settings import Settings, StoreKind
from heatwatch.stores.influx.access import Access
from heatwatch.stores.influx.readings import InfluxReadings, Turn
from heatwatch.stores.influx.server import Influx
from heatwatch.stores.influx.v1 import InfluxQl
from heatwatch.stores.influx.v2 import Flux


def connect(settings: Settings) -> Influx:
    """Return the InfluxDB that the settings name; nothing is asked of it yet.

    Raises
    ------
    BadInput
        If the settings cannot be meant, or a file that they name cannot be read.
    """
    return server_of(Access.of(settings))


def open_readings(settings: Settings, turn: Turn | None = None) -> InfluxReadings:
    """Return the readings in the InfluxDB that the settings name; nothing is asked of it yet.

    Parameters
    ----------
    settings
        Of an installation whose `store` is an InfluxDB.
    turn
        Gives a block in which no other process writes readings; None where this one is the only one that does.

    Raises
    ------
    BadInput
        If the settings cannot be meant, or a file that they name cannot be read.
    """
    return InfluxReadings(server_of(Access.of(settings)), turn=turn)


def server_of(access: Access) -> InfluxQl | Flux:
    """Return an InfluxDB that can be asked, too.

    Raises
    ------
    BadInput
        If a file that `access` names cannot be read.
    """
    return Flux(access) if access.kind is StoreKind.INFLUXDB_2 else InfluxQl(access)
