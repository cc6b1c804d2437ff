"""`check --connect` for any address over TCP or TLS: can it be reached, is its certificate good, until when.

It sends no byte above TLS.
"""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import time
from typing import Union

from sls_siem.siem.dialer import Dialer
from sls_siem.siem.output import ProbeResult

LISTEN_S = 1.0
SOON_DAYS = 30

Facts = dict[str, Union[str, int, float, bool]]


def probe_address(dialer: Dialer, timeout_s: float) -> ProbeResult:
    """Connect, handshake, and listen for a moment: over TLS 1.3 a refused client certificate shows only then.

    Args:
        dialer: to the address.
        timeout_s: for connecting and the handshake.
    """
    began = time.monotonic()
    try:
        sock = dialer.dial(timeout_s)
    except OSError as exc:
        return ProbeResult(False, dialer.url, dialer.explain(exc))
    with sock:
        facts: Facts = {"connect_ms": round((time.monotonic() - began) * 1000, 1)}
        facts.update(_tls_facts(sock))
        try:
            sock.settimeout(min(LISTEN_S, timeout_s))
            closed = sock.recv(1) == b""
        except (TimeoutError, socket.timeout):
            closed = False
        except OSError as exc:
            return ProbeResult(False, dialer.url, dialer.explain(exc, connected=True), facts)
    if closed:
        text = "it closes the connection at once: it may not accept this host, or not speak what the URL says"
        return ProbeResult(False, dialer.url, text, facts)
    return ProbeResult(True, dialer.url, _reached(facts), facts)


def _tls_facts(sock: socket.socket) -> Facts:
    if not isinstance(sock, ssl.SSLSocket):
        return {"tls": False}
    facts: Facts = {"tls": True, "tls_version": sock.version() or ""}
    certificate = sock.getpeercert() or {}
    expires = certificate.get("notAfter")
    if isinstance(expires, str):
        seconds = ssl.cert_time_to_seconds(expires)
        day = dt.datetime.fromtimestamp(seconds, dt.timezone.utc)
        facts["certificate_expires"] = day.strftime("%Y-%m-%dT%H:%M:%SZ")
        facts["certificate_days_left"] = int((seconds - time.time()) // 86400)
    return facts


def _reached(facts: Facts) -> str:
    text = f"reachable in {facts['connect_ms']} ms"
    if facts["tls"]:
        text += f", {facts['tls_version']}"
    if "certificate_expires" in facts:
        text += f", certificate valid until {facts['certificate_expires']}"
        if int(facts["certificate_days_left"]) < SOON_DAYS:
            text += f" (only {facts['certificate_days_left']} days: let it be renewed)"
    elif facts["tls"]:
        text += ", certificate not checked"
    return text
