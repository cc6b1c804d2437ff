"""A tiny certificate authority for demo and tests: right, wrong and worn-out certificates as files.

Nothing here is fit for anything but loopback. `cryptography` is a test dependency, imported only when a certificate is
made; `server_context` needs only the standard library. This module knows no emulator.

Usage::

    certificates = Certificates(tmp_path)
    context = server_context(certificates.server, client_ca=certificates.ca_file, client="required")
    # towards the agent: ca_file = certificates.ca_file, cert_file/key_file = certificates.client.cert_file/.key_file
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

LOOPBACK_NAMES = ("localhost",)
LOOPBACK_ADDRESSES = ("127.0.0.1", "::1")
_DAY = dt.timedelta(days=1)
_VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}


class CertificatesUnavailableError(RuntimeError):
    """`cryptography` cannot be imported, so no certificate can be made."""


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key as PEM files, the key readable by its owner only."""

    cert_file: Path
    key_file: Path


class Authority:
    """One CA that signs certificates into a directory.

    Args:
        directory: where its files go; created when missing.
        name: common name of the CA and stem of its file.
        key_identifiers: name the keys in the certificates, as RFC 5280 wants it and Python's own contexts from 3.13 on;
            many an authority of old does not.

    Raises:
        CertificatesUnavailableError: the package `cryptography` is not installed.
    """

    def __init__(self, directory: Path, name: str = "test-ca", *, key_identifiers: bool = True) -> None:
        require_cryptography()
        from cryptography import x509  # noqa: PLC0415 - a test dependency, needed only here
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._name = name
        self._key_identifiers = key_identifiers
        self._key = ec.generate_private_key(ec.SECP256R1())
        subject = _common_name(name)
        builder = _builder(subject, subject, self._key.public_key(), _now() - _DAY, _now() + 30 * _DAY)
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(usage, critical=True)
        builder = self._identified(builder, self._key.public_key(), self._key.public_key())
        self._subject = subject
        self.ca_file = directory / f"{name}.crt"
        _write_certificate(self.ca_file, _sign(builder, self._key))

    def issue(
        self,
        stem: str,
        *,
        names: Sequence[str] = LOOPBACK_NAMES,
        addresses: Sequence[str] = LOOPBACK_ADDRESSES,
        client: bool = False,
        own_signature: bool = False,
        starts_in_days: float = -1,
        ends_in_days: float = 7,
    ) -> KeyPair:
        """Make a key and a certificate signed by this CA.

        Args:
            stem: common name and stem of the files; an existing pair of that stem is replaced (a rotation).
            names: DNS names it is valid for.
            addresses: IP addresses it is valid for.
            client: for a client instead of a server.
            own_signature: signed by itself instead of this CA.
            starts_in_days: validity starts so many days from now.
            ends_in_days: validity ends so many days from now; negative for an expired one.
        """
        from cryptography import x509  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
        from cryptography.x509.oid import ExtendedKeyUsageOID  # noqa: PLC0415

        key = ec.generate_private_key(ec.SECP256R1())
        start, end = _now() + starts_in_days * _DAY, _now() + ends_in_days * _DAY
        issuer, signer = (_common_name(stem), key) if own_signature else (self._subject, self._key)
        builder = _builder(_common_name(stem), issuer, key.public_key(), start, end)
        purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        builder = self._identified(builder, key.public_key(), signer.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        pair = KeyPair(self._directory / f"{self._name}-{stem}.crt", self._directory / f"{self._name}-{stem}.key")
        _write_certificate(pair.cert_file, _sign(builder, signer))
        _write_key(pair.key_file, key)
        return pair

    def _identified(
        self, builder: x509.CertificateBuilder, key: ec.EllipticCurvePublicKey, signer: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        from cryptography import x509  # noqa: PLC0415

        if not self._key_identifiers:
            return builder
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        named = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer)
        return builder.add_extension(named, critical=False)


class Certificates:
    """Everything a TLS test needs, each made on first use.

    Args:
        directory: where the files go; created when missing.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @cached_property
    def authority(self) -> Authority:
        """The CA that both sides trust."""
        return Authority(self._directory)

    @cached_property
    def other_authority(self) -> Authority:
        """A CA that nobody trusts."""
        return Authority(self._directory, "other-ca")

    @property
    def ca_file(self) -> Path:
        """The trusted CA's certificate."""
        return self.authority.ca_file

    @property
    def other_ca_file(self) -> Path:
        """The other CA's certificate."""
        return self.other_authority.ca_file

    @cached_property
    def server(self) -> KeyPair:
        """Valid for localhost, 127.0.0.1 and ::1."""
        return self.authority.issue("server")

    @cached_property
    def client(self) -> KeyPair:
        """Valid for a client."""
        return self.authority.issue("client", client=True, names=("client.example.com",), addresses=())

    @cached_property
    def expired(self) -> KeyPair:
        """A server's that ended an hour ago."""
        return self.authority.issue("expired", starts_in_days=-7, ends_in_days=-1 / 24)

    @cached_property
    def not_yet_valid(self) -> KeyPair:
        """A server's that starts tomorrow."""
        return self.authority.issue("not-yet-valid", starts_in_days=1)

    @cached_property
    def wrong_host(self) -> KeyPair:
        """A server's for another host."""
        return self.authority.issue("wrong-host", names=("other.example.com",), addresses=("192.0.2.1",))

    @cached_property
    def untrusted(self) -> KeyPair:
        """A server's for the right host, signed by the other CA."""
        return self.other_authority.issue("server")

    @cached_property
    def self_signed(self) -> KeyPair:
        """A server's for the right host, signed by itself."""
        return self.authority.issue("self-signed", own_signature=True)

    @cached_property
    def untrusted_client(self) -> KeyPair:
        """A client's, signed by the other CA."""
        return self.other_authority.issue("client", client=True, names=("client.example.com",), addresses=())


def server_context(
    pair: KeyPair,
    *,
    client_ca: Optional[Path] = None,
    client: str = "none",
    minimum: str = "1.2",
    maximum: Optional[str] = None,
) -> ssl.SSLContext:
    """Make the TLS settings of a receiver.

    Args:
        pair: the server's certificate and key.
        client_ca: CA that client certificates are checked against; needed unless `client` is "none".
        client: "none", "optional" or "required".
        minimum: lowest TLS version, "1.0" to "1.3"; below 1.2 also lowers OpenSSL's security level.
        maximum: highest TLS version; None for the newest.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if minimum < "1.2":
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        # Old versions are deprecated; offering one is what a test of their refusal is for.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = _VERSIONS[minimum]
        if maximum is not None:
            context.maximum_version = _VERSIONS[maximum]
    context.load_cert_chain(str(pair.cert_file), str(pair.key_file))
    if client != "none":
        context.verify_mode = {"optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}[client]
        context.load_verify_locations(str(client_ca))
    return context


def require_cryptography() -> None:
    """Check that certificates can be made.

    Raises:
        CertificatesUnavailableError: the package `cryptography` is not installed.
    """
    try:
        import cryptography  # noqa: F401, PLC0415
    except ImportError as exc:
        message = "making test certificates needs the Python package 'cryptography': pip install cryptography"
        raise CertificatesUnavailableError(message) from exc


def _now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)


def _common_name(name: str) -> x509.Name:
    from cryptography import x509  # noqa: PLC0415

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    start: dt.datetime,
    end: dt.datetime,
) -> x509.CertificateBuilder:
    from cryptography import x509  # noqa: PLC0415

    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    return builder.serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end)


def _sign(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415

    return builder.sign(key, hashes.SHA256())


def _write_certificate(path: Path, certificate: x509.Certificate) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    path.write_bytes(certificate.public_bytes(Encoding.PEM))


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
