"""What a receiver is told and what it tells back, the same for rsyslog and syslog-ng."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional


@dataclass(frozen=True)
class ServerTls:
    """TLS of a receiver; a client certificate signed by `ca_file` is required.

    Args:
        ca_file: PEM file of the authority that client certificates must come from.
        cert_file: PEM file of the receiver's certificate.
        key_file: PEM file of its key.
        driver: rsyslog only: `ossl` (OpenSSL) or `gtls` (GnuTLS).
    """

    ca_file: Path
    cert_file: Path
    key_file: Path
    driver: str = "ossl"


@dataclass(frozen=True)
class ReceiverSettings:
    """How a receiver listens.

    Args:
        framing: `octet-counting` or `lf`.
        rfc: 5424 or 3164.
        tls: None for plain TCP.
        direct_queue: rsyslog only: a message is written out before the next one is read, instead of being queued in
            memory.
        max_message: longest message it takes, in bytes.
        window: syslog-ng only: most messages of a connection that are read and not yet written; 100 is its default.
    """

    framing: str = "octet-counting"
    rfc: int = 5424
    tls: Optional[ServerTls] = None
    direct_queue: bool = False
    max_message: int = 17 * 1024 * 1024
    window: int = 100


@dataclass(frozen=True)
class Received:
    """One message as the receiver's own parser understood it; NILVALUE is `b"-"`.

    Args:
        facility: facility number.
        severity: severity number.
        time_us: its TIMESTAMP in microseconds since 1970; RFC 3164: read as UTC, in the present year.
        hostname: HOSTNAME; the peer's address when syslog-ng found NILVALUE.
        app_name: APP-NAME; RFC 3164: the TAG without process id and colon.
        procid: PROCID.
        msgid: MSGID.
        structured_data: STRUCTURED-DATA; syslog-ng writes it anew from what it parsed.
        elements: SD-ID -> PARAM-NAME -> PARAM-VALUE, unescaped by the receiver.
        msg: MSG.
        raw: the whole frame before it was parsed; empty when the receiver made the message itself.
    """

    facility: int
    severity: int
    time_us: int
    hostname: bytes
    app_name: bytes
    procid: bytes
    msgid: bytes
    structured_data: bytes
    msg: bytes
    raw: bytes
    elements: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
