"""An authority of the installation's own, and the broker's certificate, for the TLS of its thermometers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from heatwatch.errors import BadInput

AUTHORITY_DAYS = 3653
SERVER_DAYS = 825
"""How long the broker's certificate is valid [d]; some devices refuse longer ones."""
OWN_HOSTS = ("mosquitto", "localhost", "127.0.0.1")
"""By which names the parts of an installation reach its own broker."""
EARLIER = timedelta(hours=1)
"""By how much a device's clock may be behind on the first day."""


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a new key: P-256, which small devices know too."""
    return ec.generate_private_key(ec.SECP256R1())


def key_text(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a key as PEM, not encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_key(text: bytes, where: str) -> ec.EllipticCurvePrivateKey:
    """Read a key of ours.

    Raises
    ------
    BadInput
        If it is none.
    """
    try:
        key = load_pem_private_key(text, None)
    except (ValueError, TypeError) as error:
        raise BadInput("is no key in PEM", where=where) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise BadInput("is no key of an elliptic curve", where=where)
    return key


def cert_text(cert: x509.Certificate) -> bytes:
    """Return a certificate as PEM."""
    return cert.public_bytes(Encoding.PEM)


def read_cert(text: bytes, where: str) -> x509.Certificate:
    """Read a certificate.

    Raises
    ------
    BadInput
        If it is none.
    """
    try:
        return x509.load_pem_x509_certificate(text)
    except ValueError as error:
        raise BadInput("is no certificate in PEM", where=where) from error


def authority(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    """Return the certificate of an authority that may sign servers, and no further authority."""
    name = _name("heatwatch authority")
    usage = _usage(signs=True)
    return (
        _begun(name, name, key, now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def server(
    key: ec.EllipticCurvePrivateKey,
    hosts: Sequence[str],
    signer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey],
    now: datetime,
    days: int = SERVER_DAYS,
) -> x509.Certificate:
    """Return the certificate of a server.

    Parameters
    ----------
    key
        The server's.
    hosts
        Names and addresses by which it is reached.
    signer
        The authority, with its key.
    now
        From when it is valid, an hour less.
    days
        How long, at most as long as the authority itself [d].

    Raises
    ------
    BadInput
        If a host cannot be one.
    """
    above, above_key = signer
    names = x509.SubjectAlternativeName([_general(host) for host in hosts])
    end = min(now + timedelta(days=days), above.not_valid_after_utc)
    return (
        _begun(_name(hosts[0]), above.subject, key, now, days)
        .not_valid_after(end)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above_key.public_key()), critical=False)
        .sign(above_key, hashes.SHA256())
    )


def hosts_of(cert: x509.Certificate) -> list[str]:
    """Return the names and addresses that a certificate is for."""
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(one.value) for one in names]


def all_hosts(hosts: Iterable[str]) -> list[str]:
    """Return hosts with those of the installation's own parts behind them, each once."""
    return list(dict.fromkeys([*hosts, *OWN_HOSTS]))


def utc_now() -> datetime:
    """Return the time: a certificate is valid by the machine's clock, whatever clock judging has."""
    return datetime.now(UTC)


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - EARLIER)
    return builder if subject != issuer else builder.not_valid_after(now + timedelta(days=days))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        pass
    try:
        name = host.encode("idna").decode()
    except UnicodeError:
        name = ""
    if not name:
        raise BadInput(f"{host!r} is no name of a machine", where="--host", mend="as in mqtt.example.org")
    return x509.DNSName(name)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
