"""Until when certificates hold."""

from __future__ import annotations

from cryptography import x509

from heatwatch.domain.instants import to_ms


def ends(data: bytes) -> list[int]:
    """Return until when each certificate of a file holds [ms]: PEM, one or several, or DER.

    Raises
    ------
    ValueError
        If there is no certificate in it.
    """
    is_pem = b"-----BEGIN" in data
    found = x509.load_pem_x509_certificates(data) if is_pem else [x509.load_der_x509_certificate(data)]
    return [to_ms(one.not_valid_after_utc) for one in found]
