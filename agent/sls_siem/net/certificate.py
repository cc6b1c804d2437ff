"""When an X.509 certificate ends, read from its DER form: the standard library tells that of verified peers only.

It walks to one field (RFC 5280 section 4.1) and judges nothing.
"""

from __future__ import annotations

import calendar
import re
import ssl
import time
from pathlib import Path
from typing import Union

_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class CertificateError(ValueError):
    """The bytes are no certificate."""


def not_after(der: bytes) -> float:
    """Read the end of its validity, in epoch seconds.

    Raises:
        CertificateError: the bytes are no certificate.
    """
    try:
        return _not_after(der)
    except (IndexError, ValueError) as exc:
        raise CertificateError(f"no X.509 certificate: {exc}") from exc


def not_after_of_file(path: Union[str, Path]) -> float:
    """Read when the first certificate of a PEM file ends: the one that is shown, its chain stands behind it.

    Raises:
        CertificateError: there is none.
        OSError: the file cannot be read.
    """
    found = _PEM.search(Path(path).read_text(encoding="latin-1"))
    if found is None:
        raise CertificateError("no certificate in PEM form")
    try:
        return not_after(ssl.PEM_cert_to_DER_cert(found[0]))
    except ValueError as exc:
        raise CertificateError(f"no certificate in PEM form: {exc}") from exc


def _not_after(der: bytes) -> float:
    body = _Elements(_Elements(der).take(_SEQUENCE)).take(_SEQUENCE)
    fields = _Elements(body)
    if fields.tag() == _VERSION:
        fields.take()
    for _ in ("serialNumber", "signature", "issuer"):
        fields.take()
    validity = _Elements(fields.take(_SEQUENCE))
    validity.take()
    return _time(validity.tag(), validity.take())


class _Elements:
    """The elements of a constructed value, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def tag(self) -> int:
        return self._data[self._at]

    def take(self, wanted: int = 0) -> bytes:
        if wanted and self.tag() != wanted:
            raise ValueError(f"tag {self.tag():#x} where {wanted:#x} belongs")
        at, size = self._at + 2, self._data[self._at + 1]
        if size & 0x80:
            octets = size & 0x7F
            size = int.from_bytes(self._data[at : at + octets], "big")
            at += octets
        self._at = at + size
        if self._at > len(self._data):
            raise ValueError("cut short")
        return self._data[at : self._at]


def _time(tag: int, text: bytes) -> float:
    """UTCTime has two digits of the year, from 50 on of the last century (RFC 5280 section 4.1.2.5.1)."""
    moment = text.decode("ascii")
    if tag == _UTC_TIME:
        moment = ("19" if moment >= "50" else "20") + moment
    elif tag != _GENERALIZED_TIME:
        raise ValueError(f"tag {tag:#x} where a time belongs")
    return float(calendar.timegm(time.strptime(moment, "%Y%m%d%H%M%SZ")))
