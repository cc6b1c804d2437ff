"""Why a connection failed, in words that an operator can act on."""

from __future__ import annotations

import socket
import ssl


def reason(exc: BaseException) -> str:
    """Say what a failed resolution, connect, handshake, send or receive means; one line, no addresses."""
    if isinstance(exc, socket.gaierror):
        return f"the name does not resolve ({exc.strerror or exc})"
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {exc.verify_message.rstrip('.')}"
    if isinstance(exc, ssl.SSLError):
        return f"TLS failed: {(getattr(exc, 'reason', None) or exc.strerror or str(exc)).replace('_', ' ').lower()}"
    if isinstance(exc, (TimeoutError, socket.timeout)):
        return str(exc) if str(exc).startswith(("not ", "connected, ", "the resolver", "other names")) else "timed out"
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror[:1].lower() + exc.strerror[1:]
    return str(exc) or type(exc).__name__
