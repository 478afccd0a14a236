"""Settings of a running heatwatch: `heatwatch.toml`, overridden by `HEATWATCH_…` variables, overridden by flags."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from heatwatch.errors import BadInput
from heatwatch.secret import one_line

EMBEDDED = "embedded"


def _postgresql(text: str) -> URL:
    """Return the address of a PostgreSQL for SQLAlchemy; no word of a password is in an error."""
    mend = "write postgresql://name@host:5432/database, and embedded for SQLite in the data folder"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise BadInput("is no address of a database", where="records", mend=mend) from None
    if url.password is not None:
        mend = "put it on the one line of a file: records_password_file"
        raise BadInput("an address has no password in it", where="records", mend=mend)
    if url.get_backend_name() != "postgresql" or not url.database:
        raise BadInput(f"{url.render_as_string()!r} is no PostgreSQL", where="records", mend=mend)
    return url.set(drivername="postgresql+psycopg")


class ClockKind(StrEnum):
    """The one clock that a `serve` has."""

    WALL = "wall"
    REPLAY = "replay"


class StoreKind(StrEnum):
    """Where readings are kept."""

    EMBEDDED = "embedded"
    INFLUXDB_1 = "influxdb1"
    INFLUXDB_2 = "influxdb2"
    INFLUXDB_3 = "influxdb3"


class LogFormat(StrEnum):
    """How a line of the log is written."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """From which level on a line is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"


class Settings(BaseSettings):
    """Everything that can be set; frozen once read."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix="HEATWATCH_", extra="forbid", frozen=True, toml_file="heatwatch.toml"
    )

    data_dir: Path = Path("heatwatch-data")
    """Folder of the journal, the embedded reading store and the SQLite records."""
    timezone: str = "Asia/Shanghai"
    """The company's time zone (R1: local hours)."""
    rules: Path | None = None
    """Rules file; the rules of `heatwatch/rules/default.yaml` where none is given."""
    store: StoreKind = StoreKind.EMBEDDED
    """`embedded`, or an InfluxDB by its major version: `influxdb1`, `influxdb2`, `influxdb3`."""
    influx_url: str = "http://127.0.0.1:8086"
    """Its address."""
    influx_org: str = "heatwatch"
    """Organization that owns the bucket (2.x)."""
    influx_bucket: str = "heatwatch"
    """Bucket (2.x) or database (1.x, 3.x)."""
    influx_token_file: Path | None = None
    """File with the token on one line (2.x, 3.x)."""
    influx_user: str = ""
    """User name (1.x), where it asks for one."""
    influx_password_file: Path | None = None
    """File with that user's password on one line (1.x)."""
    influx_ca: Path | None = None
    """Authorities (PEM) that may have signed its certificate; the system's where none is given."""
    influx_gzip: bool = False
    """Whether what is sent is compressed: for a slow link."""
    copy_days: int = Field(default=400, ge=0, le=36500)
    """How many days of an InfluxDB are copied into files for long looks back; made anew when needed. 0: none."""
    influx_timeout_s: float = Field(default=30.0, gt=0)
    """How long one answer may take [s]."""
    records: str = "embedded"
    """`embedded` (SQLite in the data folder), or `postgresql://name@host:port/database`."""
    records_password_file: Path | None = None
    """File with the password of that user on one line; a password stands nowhere else."""
    broker: str = "embedded"
    """`embedded`, or the address of a broker: `mqtt://host:port`, `mqtts://…` with TLS; a user as `mqtt://name@host`."""
    broker_user: str = ""
    """User name at the broker, where it does not stand in the address."""
    broker_password_file: Path | None = None
    """File with the password of that user on one line; a password stands nowhere else."""
    broker_ca: Path | None = None
    """Authorities (PEM) that may have signed the broker's certificate; the system's where none is given."""
    broker_cert: Path | None = None
    """Our own certificate (PEM) for a broker that asks for one."""
    broker_key: Path | None = None
    """Its key (PEM, not encrypted), where it is not in the same file."""
    broker_client_file: Path | None = None
    """File with the name of our session at the broker on one line, where that is a secret: whoever names a session may
    take it over. The worker's name where none is given; it must stay the same over restarts."""
    broker_port: int = Field(default=1883, ge=0, le=65535)
    """Port of the embedded broker on 127.0.0.1; 0 takes a free one."""
    worker: str = Field(default="ingest-1", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)
    """Name of this ingest worker: its MQTT client id and its journal; must stay the same over restarts."""
    shared_group: str = Field(default="", pattern=r"^[^/+#]*$", max_length=64)
    """Group of workers that share the broker's messages; none where it is empty: this one gets them all."""
    clock: ClockKind = ClockKind.WALL
    """`wall`, or `replay` for the ticks on `heat/_clock`."""
    api_host: str = "127.0.0.1"
    """Address on which the API listens."""
    api_port: int = Field(default=8000, ge=0, le=65535)
    """Port on which the API listens; 0 takes a free one."""
    health_host: str = "127.0.0.1"
    """Address on which a process without the API tells of itself."""
    health_port: int = Field(default=0, ge=0, le=65535)
    """Port on which a process without the API answers `/health/live`, `/health/ready` and `/metrics`; 0: none."""
    auto_sign_in: str = ""
    """Name of the user as whom every browser on this machine is signed in: for demos; only with a loopback address."""
    session_hours: float = Field(default=12.0, gt=0, le=24 * 366)
    """How long a browser stays signed in [h]."""
    grafana_webhook_token_file: Path | None = None
    """File with the token on one line by which Grafana's webhook proves itself (`Authorization: Bearer`)."""
    grafana_webhook_secret_file: Path | None = None
    """File with the secret on one line with which Grafana signs what it sends to the webhook (HMAC-SHA256)."""
    company_name: str = "供热公司"
    """Who signs a public notice (R12)."""
    hotline: str = ""
    """The telephone number that a public notice names; none where it is empty."""
    log_level: LogLevel | None = None
    """From which level on heatwatch itself logs; `debug` names every message. None: as the format has it."""
    log_format: LogFormat = LogFormat.TEXT
    """`text`, or `json` with one object a line."""
    judge_every_s: float = Field(default=60.0, gt=0)
    """How often findings are brought up to the wall clock when nothing arrives [s]."""
    rates_every_min: float = Field(default=60.0, gt=0)
    """How often compliance rates are brought up to the findings [min of the installation's clock]."""
    ahead_limit_s: int = Field(default=600, ge=0)
    """A reading whose time is this far past the clock or more is quarantined [s]."""
    late_days: float = Field(default=35.0, ge=0, le=36500)
    """A reading that arrives more than so many days after it was measured is stored, counted and listed, not judged."""
    journal_limit_mb: int = Field(default=4096, gt=0)
    """Bound of the journal [MB]; ingest stops acknowledging before it is passed."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the framework's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put flags first, then the environment, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @classmethod
    def read(cls, **flags: Any) -> Settings:
        """Read the settings; flags that are None are not given.

        Raises
        ------
        BadInput
            Naming every setting that is wrong.
        """
        try:
            return cls(**{name: value for name, value in flags.items() if value is not None})
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise BadInput(wrong, where="settings") from error
        except ValueError as error:
            raise BadInput(str(error), where="heatwatch.toml") from error

    @property
    def records_url(self) -> URL:
        """SQLAlchemy address of the records; of PostgreSQL with the password that its file holds now.

        Raises
        ------
        BadInput
            If the address is none, has a password in it, or the file cannot be read.
        """
        if self.records == EMBEDDED:
            return URL.create("sqlite", database=str(self.data_dir / "records.sqlite"))
        url = _postgresql(self.records)
        if self.records_password_file is None:
            return url
        return url.set(password=one_line(self.records_password_file, "password"))

    @property
    def one_process(self) -> bool:
        """Whether every role has to be in one process: the embedded store lets no second one in."""
        return self.store is StoreKind.EMBEDDED

    @property
    def readings_path(self) -> Path:
        """File of the embedded reading store."""
        return self.data_dir / "readings.duckdb"

    @property
    def copies_dir(self) -> Path:
        """Folder of the copies of an InfluxDB's days."""
        return self.data_dir / "days"

    @property
    def notifications_path(self) -> Path:
        """File of the notifications that went out, one JSON object a line."""
        return self.data_dir / "notifications.jsonl"

    @property
    def journal_dir(self) -> Path:
        """Folder of this worker's journal."""
        return self.data_dir / "journal" / self.worker
