"""Certificates for brokers of tests, made by the `openssl` program."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from heatwatch.broker import Access
from tests.peers import HOST


class Authority:
    """An authority that signs certificates; its files are in a folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._name = folder, name
        self.cert, self._key = folder / f"{name}.crt", folder / f"{name}.key"
        extensions = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        _openssl("req", "-x509", *_new_key(self._key), "-subj", f"/CN={name}", *extensions, "-out", self.cert)

    def sign(self, name: str, *, host: str = f"IP:{HOST}", days: int = 30) -> tuple[Path, Path]:
        """Return a new certificate and its key; an expired one where `days` is negative."""
        cert, key, wish, more = (self._folder / f"{self._name}-{name}.{end}" for end in ("crt", "key", "csr", "ext"))
        more.write_text(f"subjectAltName={host}\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n")
        _openssl("req", *_new_key(key), "-subj", f"/CN={name}", "-out", wish)
        signing = ("-CA", self.cert, "-CAkey", self._key, "-CAcreateserial", "-extfile", more)
        _openssl("x509", "-req", "-in", wish, *signing, "-days", str(days), "-out", cert)
        return cert, key


def tls_settings(authority: Authority, cert: Path, key: Path) -> str:
    """Return the lines of mosquitto's configuration that make its listener one for TLS."""
    return f"cafile {authority.cert}\ncertfile {cert}\nkeyfile {key}"


def password_settings(folder: Path, **passwords: str) -> str:
    """Return the lines that let only these users in."""
    program = shutil.which("mosquitto_passwd")
    if program is None:
        pytest.skip("mosquitto_passwd is not installed")
    file = folder / "users"
    set_passwords(file, **passwords)
    return f"allow_anonymous false\npassword_file {file}"


def set_passwords(file: Path, **passwords: str) -> None:
    """Write mosquitto's file of users anew."""
    file.write_text("".join(f"{name}:{word}\n" for name, word in passwords.items()))
    subprocess.run(["mosquitto_passwd", "-U", str(file)], check=True, capture_output=True)


@dataclass(frozen=True)
class Trouble:
    """A broker's configuration, how one comes to it, and what is to be said about that."""

    settings: str
    access: Access
    said: str


TROUBLES = (
    "wrong password",
    "no sign-in",
    "expired certificate",
    "unknown authority",
    "another address",
    "TLS to a plain port",
    "plain to a port for TLS",
    "no client certificate",
    "strange client certificate",
    "expired client certificate",
)


def trouble(kind: str, folder: Path) -> Trouble:
    """Return one of `TROUBLES`."""
    if kind in {"wrong password", "no sign-in"}:
        return _sign_in_trouble(kind, folder)
    ours, strange = Authority(folder / "ca"), Authority(folder / "strange")
    sound = tls_settings(ours, *ours.sign("broker"))
    asking = f"{sound}\nrequire_certificate true"
    trusting = Access(tls=True, ca_file=ours.cert)

    def with_own(cert: Path, key: Path) -> Access:
        return replace(trusting, cert_file=cert, key_file=key)

    expired = tls_settings(ours, *ours.sign("old", days=-1))
    elsewhere = tls_settings(ours, *ours.sign("elsewhere", host="IP:192.0.2.1"))
    troubles = {
        "expired certificate": Trouble(expired, trusting, "its certificate has expired"),
        "unknown authority": Trouble(sound, replace(trusting, ca_file=strange.cert), "no authority that is known here"),
        "another address": Trouble(elsewhere, trusting, "its certificate is for another address"),
        "TLS to a plain port": Trouble("", trusting, "(write mqtt://"),
        "plain to a port for TLS": Trouble(sound, Access(), "mqtts://)"),
        "no client certificate": Trouble(asking, trusting, "it asks for a client certificate"),
        "strange client certificate": Trouble(
            asking, with_own(*strange.sign("us")), "authority that signed the client"
        ),
        "expired client certificate": Trouble(
            asking, with_own(*ours.sign("us", days=-1)), "client certificate has exp"
        ),
    }
    return troubles[kind]


def _sign_in_trouble(kind: str, folder: Path) -> Trouble:
    settings = password_settings(folder, ingest="open-sesame")
    if kind == "no sign-in":
        return Trouble(settings, Access(), "it asks who we are (mqtt://name@host, and a file with the password)")
    password = folder / "password"
    password.write_text("close-sesame\n")
    access = Access(user="ingest", password_file=password)
    return Trouble(settings, access, "it refuses the sign-in of 'ingest': wrong password, or not admitted")


def _new_key(file: Path) -> tuple[str | Path, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", file)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)
