"""Where an InfluxDB is and how to get in. Secrets are files that are read at each connection, and kept nowhere."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from urllib3.exceptions import HTTPError, NewConnectionError, SSLError
from urllib3.exceptions import TimeoutError as NoAnswerError

from heatwatch.errors import BadInput, Unavailable
from heatwatch.secret import one_line
from heatwatch.settings import Settings, StoreKind

_EXAMPLE = "write http://127.0.0.1:8086, or https://host:8086 for TLS"
_CERTIFICATE = (
    ("certificate has expired", "its certificate has expired"),
    ("not yet valid", "its certificate is not valid yet, or this machine's clock is wrong"),
    ("ostname mismatch", "its certificate is for another name than the one in influx_url"),
    ("address mismatch", "its certificate is for another address than the one in influx_url"),
    ("signed certificate", "no authority that is known here signed its certificate (influx_ca)"),
    ("local issuer", "no authority that is known here signed its certificate (influx_ca)"),
    ("WRONG_VERSION", "it does not speak TLS on this port (write http://)"),
    ("RECORD_LAYER", "it does not speak TLS on this port (write http://)"),
)
_LIBRARY = re.compile(r"^(?:HTTPS?(?:Connection(?:Pool)?)?\([^)]*\)|<[^>]*>): *")


@dataclass(frozen=True, slots=True)
class Access:
    """An InfluxDB, and what it asks of those who come; it holds no secret, only where to read it.

    Attributes
    ----------
    kind
        By its major version.
    url
        Its address, without a slash at the end.
    org, bucket
        Organization (2.x), and bucket or database.
    secret_file
        File with the token (2.x, 3.x) or the user's password (1.x) on one line.
    user
        User name (1.x); none where it is empty.
    ca_file
        Authorities (PEM) that may sign its certificate; the system's where None.
    gzip
        Whether what is sent is compressed.
    timeout_s
        How long one answer may take [s].
    """

    kind: StoreKind
    url: str
    bucket: str
    org: str = ""
    secret_file: Path | None = None
    user: str = ""
    ca_file: Path | None = None
    gzip: bool = False
    timeout_s: float = 30.0
    _tls: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises
        ------
        BadInput
            An address that is none, or has a password in it; authorities without TLS; a password without a user.
        """
        try:
            parts = urlsplit(self.url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise BadInput("no host or port", where="influx_url", mend=_EXAMPLE) from None
        if "@" in parts.netloc:
            mend = "put the token or the password on the one line of a file"
            raise BadInput("an address has no user and no password in it", where="influx_url", mend=mend)
        if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
            raise BadInput(f"{self.url!r} is no address of an InfluxDB", where="influx_url", mend=_EXAMPLE)
        object.__setattr__(self, "url", self.url.rstrip("/"))
        object.__setattr__(self, "_tls", parts.scheme == "https")
        if self.ca_file and not self._tls:
            raise BadInput("authorities are for TLS only", where="influx_ca", mend="write https:// in influx_url")
        if self.kind is StoreKind.INFLUXDB_1 and bool(self.user) != bool(self.secret_file):
            missing, named = ("influx_password_file", "a user") if self.user else ("influx_user", "a password")
            raise BadInput(f"{named} comes with {missing}", where="settings")
        if self.kind is StoreKind.INFLUXDB_2 and self.secret_file is None:
            raise BadInput("InfluxDB 2.x lets nobody in without a token", where="influx_token_file")

    @classmethod
    def of(cls, settings: Settings) -> Access:
        """Return what the settings say.

        Raises
        ------
        BadInput
            If they cannot be meant, or the store is no InfluxDB.
        """
        if settings.store is StoreKind.EMBEDDED:
            raise BadInput("the embedded store is no InfluxDB", where="store")
        is_1 = settings.store is StoreKind.INFLUXDB_1
        return cls(
            kind=settings.store,
            url=settings.influx_url,
            bucket=settings.influx_bucket,
            org=settings.influx_org,
            secret_file=settings.influx_password_file if is_1 else settings.influx_token_file,
            user=settings.influx_user if is_1 else "",
            ca_file=settings.influx_ca,
            gzip=settings.influx_gzip,
            timeout_s=settings.influx_timeout_s,
        )

    def secret(self) -> str:
        """Read the token or the password; empty where there is none.

        Raises
        ------
        BadInput
            If the file cannot be read, or holds none.
        """
        if self.secret_file is None:
            return ""
        word = one_line(self.secret_file, self._secret)
        if not (word.isprintable() and (word.isascii() or self.kind is StoreKind.INFLUXDB_1)):
            raise BadInput(f"a {self._secret} has no such characters", where=str(self.secret_file))
        return word

    def renewed(self, was: str) -> str | None:
        """Return the secret where the file now holds another one than `was`; None where it does not.

        Raises
        ------
        Unavailable
            If the file cannot be read.
        """
        try:
            now = self.secret()
        except BadInput as error:
            raise Unavailable(self.url, f"it does not know us, and {error}") from None
        return None if now == was else now

    def context(self) -> ssl.SSLContext | None:
        """Read the authorities; None where the connection is plain.

        Raises
        ------
        BadInput
            If they cannot be read.
        """
        if not self._tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            why = getattr(error, "strerror", None) or str(error)
            raise BadInput(f"no certificates of authorities: {why}", where=str(self.ca_file)) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    @property
    def place(self) -> str:
        """What is written to, in words."""
        return f"bucket {self.bucket!r}" if self.kind is StoreKind.INFLUXDB_2 else f"database {self.bucket!r}"

    @property
    def signed_in(self) -> str:
        """As whom we come, in words."""
        if self.kind is StoreKind.INFLUXDB_1:
            return f"user {self.user!r}, influx_password_file" if self.user else "nobody; set influx_user"
        return "the token of influx_token_file" if self.secret_file else "nobody; set influx_token_file"

    @property
    def _secret(self) -> str:
        return "password" if self.kind is StoreKind.INFLUXDB_1 else "token"

    def lost(self, error: HTTPError | str) -> Unavailable:
        """Return what it means that no whole answer came."""
        text = str(error)
        if isinstance(error, SSLError) or "SSL" in text:
            meant = next((meant for said, meant in _CERTIFICATE if said in text), text)
        elif "refused" in text:
            meant = "nothing listens there"
        elif isinstance(error, NoAnswerError) and not isinstance(error, NewConnectionError):
            meant = f"no answer within {self.timeout_s:g} s"
        else:
            meant = _LIBRARY.sub("", text)
        return Unavailable(self.url, meant)
