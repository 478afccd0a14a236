"""What a set of Grafana files depends on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from heatwatch.domain.temperature import RoomClass, Standard
from heatwatch.errors import BadInput


class InfluxVersion(StrEnum):
    """The major version of InfluxDB; it decides the query language: InfluxQL or Flux."""

    ONE = "1"
    TWO = "2"


class Language(StrEnum):
    """The language of titles and legends."""

    CHINESE = "zh"
    ENGLISH = "en"


@dataclass(frozen=True, slots=True)
class Limits:
    """The temperatures at which a board draws its lines [degC]: the lowest and the highest minimum of an apartment."""

    lowest_c: float
    highest_c: float

    @classmethod
    def of(cls, standard: Standard) -> Limits:
        """Return the limits of the newest rules (R1, R2).

        Raises
        ------
        BadInput
            If they ask nothing of apartments.
        """
        rules = standard.versions[-1].classes.get(RoomClass.APARTMENT)
        minima = [hours.minimum_c for hours in rules.hours] if rules else []
        if not minima:
            raise BadInput("no hours for apartments", where="rules", mend="a board needs their minimum for its lines")
        return cls(min(minima), max(minima))


@dataclass(frozen=True, slots=True)
class GrafanaSettings:
    """Where readings lie, and how boards show them.

    Attributes
    ----------
    limits
        Limit lines [degC].
    influx_url
        Address of InfluxDB as Grafana reaches it.
    version
        Major version of InfluxDB.
    database
        Database (1.x) or bucket (2.x) of the readings.
    organization
        Organization that owns the bucket; 2.x only.
    user
        Whom Grafana signs in as; 1.x only, empty where it asks for nobody. There is no setting for the password or
        the token: Grafana reads them from `secrets_dir`.
    secrets_dir
        Folder of the secrets on Grafana's machine.
    boards_dir
        Folder of the boards' JSON files on Grafana's machine.
    language
        Language of titles.

    Raises
    ------
    BadInput
        If InfluxDB could not be reached with them, or a secret stands in the address.
    """

    limits: Limits
    influx_url: str = "http://influxdb:8086"
    version: InfluxVersion = InfluxVersion.TWO
    database: str = "heatwatch"
    organization: str = "heatwatch"
    user: str = ""
    secrets_dir: str = "/run/secrets"
    boards_dir: str = "/var/lib/grafana-dashboards"
    language: Language = Language.CHINESE

    def __post_init__(self) -> None:
        _check_url(self.influx_url)
        if not self.database:
            raise BadInput("is empty", where="InfluxDB's database or bucket")
        if self.version is InfluxVersion.TWO and not self.organization:
            raise BadInput("is empty", where="InfluxDB's organization", mend="InfluxDB 2 finds no bucket without it")


def _check_url(url: str) -> None:
    where = "address of InfluxDB"
    try:
        parts = urlsplit(url)
        secret = parts.username is not None or parts.password is not None
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise BadInput(f"is no URL: {error}", where=where) from error
    if secret:
        raise BadInput("holds a user or password", where=where, mend="secrets are read from files")
    if not usable or parts.query or parts.fragment:
        raise BadInput("is none over http or https", where=where, mend="write http://influxdb:8086")
