"""What a set of Grafana files depends on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from heatwatch.domain.life import Mark
from heatwatch.domain.temperature import RoomClass, Standard
from heatwatch.domain.tickets import TicketKind
from heatwatch.errors import BadInput
from heatwatch.files.rules_file import time_zone

OUTAGE = TicketKind.HEAT_OUTAGE


class InfluxVersion(StrEnum):
    """The major version of InfluxDB; it decides the query language: InfluxQL or Flux."""

    ONE = "1"
    TWO = "2"


class Language(StrEnum):
    """The language of titles and legends."""

    CHINESE = "zh"
    ENGLISH = "en"


class WebhookKey(StrEnum):
    """By what Grafana proves itself to heatwatch: a token, a signature (from Grafana 12 on), or both."""

    TOKEN = "token"  # noqa: S105 - the kind of it
    SECRET = "secret"  # noqa: S105 - same
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers of the rules that boards show.

    Attributes
    ----------
    lowest_c, highest_c
        The lowest and the highest minimum of an apartment, where lines are drawn [degC].
    notice_h
        How long after its beginning a stop of heat has to be announced [h].
    """

    lowest_c: float
    highest_c: float
    notice_h: float = 8.0

    @classmethod
    def of(cls, standard: Standard) -> Limits:
        """Return the limits of the newest rules (R1, R2).

        Raises
        ------
        BadInput
            If they ask nothing of apartments.
        """
        newest = standard.versions[-1]
        rules = newest.classes.get(RoomClass.APARTMENT)
        minima = [hours.minimum_c for hours in rules.hours] if rules else []
        if not minima:
            raise BadInput("no hours for apartments", where="rules", mend="a board needs their minimum for its lines")
        notices = [clock.within_min / 60 for clock in newest.clocks.get(OUTAGE, ()) if clock.step == Mark.NOTICE]
        return cls(min(minima), max(minima), *notices[:1])


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
    timezone
        The company's time zone: in it boards tell the time and count days.
    console_url
        Address of the console as a reader's browser reaches it; where empty, no board links to it.
    webhook_url
        Address of heatwatch's API as Grafana reaches it; where empty, nobody is told of alerts by us.
    webhook_key
        By what Grafana proves itself there.

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
    timezone: str = "Asia/Shanghai"
    console_url: str = ""
    webhook_url: str = "http://api:8000"
    webhook_key: WebhookKey = WebhookKey.TOKEN

    def __post_init__(self) -> None:
        _check_url(self.influx_url, "address of InfluxDB", "http://influxdb:8086")
        if self.console_url:
            _check_url(self.console_url, "address of the console", "https://heatwatch.example")
        if self.webhook_url:
            _check_url(self.webhook_url, "address of heatwatch's API", "http://api:8000")
        time_zone(self.timezone)
        if not self.database:
            raise BadInput("is empty", where="InfluxDB's database or bucket")
        if self.version is InfluxVersion.TWO and not self.organization:
            raise BadInput("is empty", where="InfluxDB's organization", mend="InfluxDB 2 finds no bucket without it")


def _check_url(url: str, where: str, example: str) -> None:
    try:
        parts = urlsplit(url)
        secret = parts.username is not None or parts.password is not None
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise BadInput(f"is no URL: {error}", where=where) from error
    if secret:
        raise BadInput("holds a user or password", where=where, mend="secrets are read from files")
    if not usable or parts.query or parts.fragment:
        raise BadInput("is none over http or https", where=where, mend=f"write {example}")
