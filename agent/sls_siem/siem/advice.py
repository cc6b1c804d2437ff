"""Puts into words what to do when a connection to the SIEM fails."""

from __future__ import annotations

import socket
import ssl

from sls_siem.net.connect import HandshakeTimeout
from sls_siem.net.reason import reason

# Results of the certificate's check (openssl, x509_vfy.h).
_EXPIRED = 10
_NOT_YET_VALID = 9
_SELF_SIGNED = frozenset({18, 19})
_UNKNOWN_ISSUER = frozenset({2, 20, 21})
_WRONG_NAME = frozenset({62, 64})

_CLIENT_CERTIFICATE = (
    "it wants a client certificate that it trusts: set tls.cert_file, and the key as the secret tls-client-key"
)
_ALERTS = {
    "CERTIFICATE_REQUIRED": _CLIENT_CERTIFICATE,
    "ALERT_HANDSHAKE_FAILURE": f"no common cipher, or {_CLIENT_CERTIFICATE}",
    "ALERT_BAD_CERTIFICATE": _CLIENT_CERTIFICATE,
    "ALERT_UNKNOWN_CA": "it does not trust who signed our client certificate: set tls.cert_file to one that it trusts",
    "ALERT_CERTIFICATE_EXPIRED": "our client certificate has expired: replace the file of tls.cert_file",
    "ALERT_CERTIFICATE_UNKNOWN": _CLIENT_CERTIFICATE,
    "ALERT_ACCESS_DENIED": "it does not accept our client certificate: ask its operator",
    "ALERT_PROTOCOL_VERSION": "it speaks no version of TLS that tls.minimum allows: let it speak TLS 1.2 or later",
    "UNSUPPORTED_PROTOCOL": "it speaks no version of TLS that tls.minimum allows: let it speak TLS 1.2 or later",
    "WRONG_VERSION_NUMBER": "it does not speak TLS on this port: correct the port, or use the scheme without TLS",
    "RECORD_LAYER_FAILURE": "it does not speak TLS on this port: correct the port, or use the scheme without TLS",
    "ALERT_UNRECOGNIZED_NAME": "it does not know this name: set tls.server_name",
}


def advice(exc: OSError, host: str, port: int, *, name: str, connected: bool = False) -> str:
    """Say in one line what failed and what to do.

    Args:
        exc: as `net.connect.connect` or a connection raised it.
        host: of the address.
        port: likewise.
        name: that the certificate was checked against.
        connected: the connection stood before.
    """
    found = reason(exc)
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"{found}; {_certificate(exc, name)}"
    if isinstance(exc, ssl.SSLError):
        fix = next((text for word, text in _ALERTS.items() if word in (exc.reason or "")), "")
        return f"{found}; {fix}" if fix else found
    if connected:
        return f"connection lost: {found}"
    if isinstance(exc, socket.gaierror):
        return f"cannot resolve {host}: {found}; correct the name, or DNS on this machine"
    if isinstance(exc, ConnectionRefusedError):
        return f"connection refused: nothing listens on port {port} of {host}, or a firewall rejects it"
    if isinstance(exc, HandshakeTimeout):
        return f"{host} port {port}: {found}: the port may not speak TLS"
    if isinstance(exc, (TimeoutError, socket.timeout)):
        return f"no answer from {host} port {port}: {found}; a firewall may drop it, or the host is down"
    if isinstance(exc, ConnectionResetError):
        return f"{host} port {port} closed the connection at once: {found}; it may not speak what the URL says"
    return f"cannot connect to {host} port {port}: {found}"


def _certificate(exc: ssl.SSLCertVerificationError, name: str) -> str:
    code = exc.verify_code
    if code == _EXPIRED:
        return "its certificate has expired: let the SIEM's operator renew it, and check this machine's clock"
    if code == _NOT_YET_VALID:
        return "its certificate is not valid yet: check this machine's clock"
    if code in _SELF_SIGNED:
        return "signed by itself or by an authority that is not known here: set tls.ca_file to its CA certificate"
    if code in _UNKNOWN_ISSUER:
        return "its issuer is not trusted: set tls.ca_file to the CA certificate that signed it"
    if code in _WRONG_NAME or "match" in exc.verify_message:
        return f"it is not for {name}: use a name that the certificate has, or set tls.server_name to one"
    return "set tls.ca_file to the CA certificate that signed it"
