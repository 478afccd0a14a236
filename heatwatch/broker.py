"""Brokers: their addresses, signing in, TLS, and in plain words why one refuses.

``mqtt://host:port`` is a plain connection, ``mqtts://host:port`` one with TLS. A user name may stand in the address
(``mqtts://name@host``), a password nowhere but in a file: an address is seen in process lists, in logs and on screens.
Files are read at each connection, so that a new password or a renewed certificate needs no restart.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client

from heatwatch.errors import BadInput
from heatwatch.secret import one_line

PORTS = {"mqtt": 1883, "mqtts": 8883}
_EXAMPLE = "write mqtt://127.0.0.1:1883, or mqtts://host:8883 for TLS"


@dataclass(frozen=True, slots=True)
class Access:
    """What a broker asks of those who connect; it holds no secret, only where to read it.

    Attributes
    ----------
    tls
        Whether the connection is encrypted, and the broker's certificate checked.
    user
        User name; none where it is empty.
    password_file
        File with the password on one line.
    ca_file
        Authorities (PEM) that may sign the broker's certificate; the system's where None.
    cert_file, key_file
        Our own certificate (PEM) and its key; the key may stand in the certificate's file.
    """

    tls: bool = False
    user: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises
        ------
        BadInput
            Files of TLS without TLS, a password without a user, a key without a certificate.
        """
        tls_file = self.ca_file or self.cert_file or self.key_file
        if tls_file and not self.tls:
            raise BadInput("certificates are for TLS only", where=str(tls_file), mend="write mqtts:// in the address")
        if self.password_file and not self.user:
            mend = "name the user: mqtt://name@host"
            raise BadInput("a password without a user name", where=str(self.password_file), mend=mend)
        if self.key_file and not self.cert_file:
            raise BadInput("a key without its certificate", where=str(self.key_file), mend="name the certificate too")

    def password(self) -> str | None:
        """Read the password; None where there is none.

        Raises
        ------
        BadInput
            If the file cannot be read, or holds no password.
        """
        if self.password_file is None:
            return None
        return one_line(self.password_file, "password")

    def context(self) -> ssl.SSLContext | None:
        """Read the certificates; None where the connection is plain.

        Raises
        ------
        BadInput
            If one cannot be read.
        """
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            raise BadInput(f"no certificates of authorities: {_short(error)}", where=str(self.ca_file)) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.sslsocket_class = _Tidy
        if self.cert_file is not None:
            self._load_own(context)
        return context

    def check(self) -> None:
        """Read every file once, so that a mistake is told before the first connection.

        Raises
        ------
        BadInput
            Naming the file.
        """
        self.password()
        self.context()

    def prepare(self, client: Client) -> None:
        """Let a new client of paho sign in and speak TLS as it is asked here.

        Raises
        ------
        BadInput
            If a file cannot be read.
        """
        if self.user:
            client.username_pw_set(self.user, self.password())
        context = self.context()
        if context is not None:
            client.tls_set_context(context)

    def _load_own(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(str(self.cert_file), self.key_file, password=_no_password)
        except (OSError, ValueError) as error:
            where = f"{self.cert_file}, {self.key_file}" if self.key_file else str(self.cert_file)
            raise BadInput(f"no certificate with its key: {_short(error)}", where=where) from error


class _Tidy(ssl.SSLSocket):
    """Closes itself where the handshake fails; paho would leave it open."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the library's signature
        try:
            super().do_handshake(block)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError:
            self.close()
            raise


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker is, and how to get in."""

    host: str
    port: int
    access: Access = Access()

    @property
    def url(self) -> str:
        """The address without a user."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.access.tls else 'mqtt'}://{host}:{self.port}"


def read_address(text: str, where: str, user: str = "", **files: Path | None) -> Address:
    """Read the address of a broker; every file that `Access` names is read once.

    Parameters
    ----------
    text
        ``mqtt://[name@]host[:port]`` or ``mqtts://…``.
    where
        The flag or setting that it comes from.
    user
        User name, where it does not stand in the address.
    **files
        ``password_file``, ``ca_file``, ``cert_file`` and ``key_file`` of `Access`.

    Raises
    ------
    BadInput
        If it is no such address, has a password in it, or a file is amiss. No word of a password is in the text.

    Examples
    --------
    >>> read_address("mqtts://meter%201@example.org", "--to")
    Address(host='example.org', port=8883, access=Access(tls=True, user='meter 1', password_file=None, ca_file=None, \
cert_file=None, key_file=None))
    """
    scheme, _, rest = text.partition("://")
    named, _, _ = rest.rpartition("@")
    if ":" in named:
        mend = "leave it out, and put it on the one line of a file: broker_password_file, or --password-file"
        raise BadInput("an address has no password in it", where=where, mend=mend)
    host, port = _host_and_port(text, where)
    tls, name = scheme == "mqtts", unquote(named)
    if name and user and name != user:
        raise BadInput(f"the address names user {name!r}, the settings {user!r}", where=where, mend="name one")
    access = Access(tls, name or user, **files)
    access.check()
    return Address(host, port, access)


def _host_and_port(text: str, where: str) -> tuple[str, int]:
    shown = "…@" + text.rpartition("@")[2] if "@" in text else text
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadInput(f"{shown!r}: no host or port", where=where, mend=_EXAMPLE) from (None if "@" in text else error)
    if parts.scheme not in PORTS or not host or parts.path.strip("/") or parts.query or parts.fragment:
        raise BadInput(f"{shown!r} is no address of a broker", where=where, mend=_EXAMPLE)
    return host, port or PORTS[parts.scheme]


_TLS = (
    ("certificate has expired", "its certificate has expired"),
    ("certificate is not yet valid", "its certificate is not valid yet, or this machine's clock is wrong"),
    ("ostname mismatch", "its certificate is for another name than the one in the address"),
    ("address mismatch", "its certificate is for another address than this one"),
    ("signed certificate", "no authority that is known here signed its certificate (broker_ca, or --ca-file)"),
    ("local issuer", "no authority that is known here signed its certificate (broker_ca, or --ca-file)"),
    ("CERTIFICATE_REQUIRED", "it asks for a client certificate (broker_cert and broker_key, or --cert and --key)"),
    ("HANDSHAKE_FAILURE", "it wants another handshake: perhaps a client certificate (broker_cert, or --cert)"),
    ("ALERT_CERTIFICATE_EXPIRED", "the client certificate has expired"),
    ("ALERT_UNKNOWN_CA", "it does not know the authority that signed the client certificate"),
    ("ALERT_", "it refuses the client certificate"),
    ("PROTOCOL_VERSION", "it speaks no TLS of version 1.2 or later"),
    ("WRONG_VERSION", "it does not speak TLS on this port (write mqtt://, or its port for TLS)"),
    ("RECORD_LAYER", "it does not speak TLS on this port (write mqtt://, or its port for TLS)"),
)
"""What OpenSSL says, in any of its versions, and what it means to who reads it here."""
_CLOSED_TLS = "it closed the connection instead of speaking TLS (write mqtt://, or its port for TLS)"
CLOSED_PLAIN = "it closed the connection without an answer (a port for TLS wants mqtts://)"
_VERSION, _CLIENT_ID, _NOT_READY, _SIGN_IN = (1, 132), (2, 133), (3, 136), (4, 5, 134, 135)


def lasts(error: BaseException) -> bool:
    """Whether trying again soon is in vain: a certificate, or TLS, where somebody has to do something."""
    return isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLZeroReturnError)


def meaning(error: BaseException | str, access: Access) -> str:
    """Say in one clause why a connection did not come to be, before the broker has answered.

    >>> meaning("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired", Access(tls=True))
    'its certificate has expired'
    """
    text = str(error)
    if access.tls:
        for said, meant in _TLS:
            if said in text:
                return meant
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is wrong: {error.verify_message}"
        if "reset by peer" in text or "EOF" in text:
            return _CLOSED_TLS
    if "reset by peer" in text:
        return CLOSED_PLAIN
    return _short(error) if isinstance(error, BaseException) else text


def refusal(code: int, access: Access) -> str:
    """Say in one clause why a broker refused to let us in, by the code of its answer (MQTT 3.1.1 or 5)."""
    if code in _SIGN_IN and access.user:
        return f"it refuses the sign-in of {access.user!r}: wrong password, or not admitted"
    if code in _SIGN_IN:
        return "it asks who we are (mqtt://name@host, and a file with the password)"
    reasons = {_VERSION: "it does not speak MQTT 3.1.1", _CLIENT_ID: "it refuses our client id"}
    reasons[_NOT_READY] = "it is not ready"
    return next((why for codes, why in reasons.items() if code in codes), f"it refuses us, code {code}")


def _short(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)


def _no_password() -> str:
    raise ValueError("the key is encrypted, and nobody is here to be asked")
