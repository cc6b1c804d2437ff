"""TLS client contexts: what may be spoken, who is trusted, who we are. Knows no configuration key."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path
from typing import Optional, Union

from sls_siem.errors import ConfigError
from sls_siem.net.certificate import CertificateError, not_after, not_after_of_file

PathLike = Union[str, Path]

_MINIMUM = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_PARTIAL_CHAIN = 0x80000  # X509_V_FLAG_PARTIAL_CHAIN; `ssl` names it from Python 3.10 on


class TlsFileError(ConfigError):
    """A file that cannot be used.

    Args:
        argument: which of the arguments of `client_context` names it.
        path: the file.
        wrong: what is wrong with it, and what to do.
    """

    def __init__(self, argument: str, path: PathLike, wrong: str) -> None:
        super().__init__([f"{path}: {wrong}"])
        self.argument = argument
        self.path = path
        self.wrong = wrong


class ClientContext(ssl.SSLContext):
    """A context that remembers when the certificates end that it has seen.

    Attributes:
        own_end: epoch seconds at which our own certificate ends; None without one.
        peer_ends: likewise of each peer that was connected to, by host and port.
    """

    own_end: Optional[float] = None
    peer_ends: dict[tuple[str, int], float]

    def note_peer(self, host: str, port: int, connection: ssl.SSLSocket) -> None:
        """Remember the certificate of a connection whose handshake is done."""
        der = connection.getpeercert(binary_form=True)
        if der is not None:
            with contextlib.suppress(CertificateError):
                self.peer_ends[host, port] = not_after(der)


def client_context(
    *,
    ca_file: Optional[PathLike] = None,
    cert_file: Optional[PathLike] = None,
    key_file: Optional[PathLike] = None,
    minimum: str = "1.2",
    verify: bool = True,
) -> ClientContext:
    """Make a context for connections that we open; it checks the chain and the host name.

    Args:
        ca_file: PEM file with the only certificates to trust (authorities, or the server's own); None trusts the
            system's authorities.
        cert_file: PEM file with our certificate, chain behind it, for a server that asks for one.
        key_file: PEM file with its private key, not encrypted; None when it is in `cert_file`.
        minimum: "1.2" or "1.3".
        verify: False accepts any certificate of anybody.

    Raises:
        TlsFileError: a file cannot be read or holds something else.
    """
    # Not ssl.create_default_context: from Python 3.13 on that refuses authorities which earlier versions take.
    context = ClientContext(ssl.PROTOCOL_TLS_CLIENT)
    context.peer_ends = {}
    context.minimum_version = _MINIMUM[minimum]
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca_file is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _trust(context, ca_file)
    if cert_file is not None:
        _identify(context, cert_file, key_file)
        with contextlib.suppress(CertificateError, OSError):
            context.own_end = not_after_of_file(cert_file)
    elif key_file is not None:
        raise TlsFileError("key_file", key_file, "a private key without a certificate: name the certificate's file too")
    return context


def _trust(context: ssl.SSLContext, ca_file: PathLike) -> None:
    _readable("ca_file", ca_file)
    try:
        context.load_verify_locations(cafile=str(ca_file))
    except (ssl.SSLError, OSError) as exc:
        raise TlsFileError("ca_file", ca_file, f"holds no CA certificate in PEM form ({_reason(exc)})") from exc
    context.verify_flags |= _PARTIAL_CHAIN  # the operator may trust one server or one intermediate, without its root


def _identify(context: ssl.SSLContext, cert_file: PathLike, key_file: Optional[PathLike]) -> None:
    _readable("cert_file", cert_file)
    if key_file is not None:
        _readable("key_file", key_file)
    key = key_file if key_file is not None else cert_file
    try:
        context.load_cert_chain(str(cert_file), str(key), password=_no_password)
    except _EncryptedKeyError as exc:
        wrong = "the private key is encrypted: store it without a passphrase, mode 0600"
        raise TlsFileError("key_file", key, wrong) from exc
    except (ssl.SSLError, OSError) as exc:
        raise _pair_error(exc, cert_file, key) from exc


class _EncryptedKeyError(Exception):
    """OpenSSL asked for a passphrase, which nobody is there to type."""


def _no_password() -> str:
    raise _EncryptedKeyError


def _pair_error(exc: OSError, cert_file: PathLike, key: PathLike) -> TlsFileError:
    if "KEY_VALUES_MISMATCH" in str(exc):
        return TlsFileError("cert_file", cert_file, f"does not belong to the private key in {key} ({_reason(exc)})")
    try:
        not_after_of_file(cert_file)
    except (CertificateError, OSError):
        return TlsFileError("cert_file", cert_file, f"holds no certificate in PEM form ({_reason(exc)})")
    return TlsFileError("key_file", key, f"holds no private key in PEM form ({_reason(exc)})")


def _readable(argument: str, path: PathLike) -> None:
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as exc:
        raise TlsFileError(argument, path, f"cannot be read: {exc.strerror or exc}") from exc


def _reason(exc: OSError) -> str:
    return (getattr(exc, "reason", None) or exc.strerror or str(exc)).replace("_", " ").lower()
