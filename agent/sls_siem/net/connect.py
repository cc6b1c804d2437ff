"""A TCP or TLS connection within a deadline: resolution, every address, handshake. Knows no protocol above TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Optional

from sls_siem.net.deadline import Deadline, DeadlineExceeded
from sls_siem.net.resolve import Address, resolve
from sls_siem.net.tls import ClientContext

KEEPALIVE_IDLE_S = 60
KEEPALIVE_INTERVAL_S = 15
KEEPALIVE_PROBES = 4


class HandshakeTimeout(DeadlineExceeded):
    """The connection stands, and its peer did not answer the handshake in time."""


def connect(
    host: str,
    port: int,
    deadline: Deadline,
    *,
    tls: Optional[ssl.SSLContext] = None,
    server_name: Optional[str] = None,
    connect_timeout_s: float = 10,
) -> socket.socket:
    """Open a connection to the first address of a host that works.

    Args:
        host: name, or literal IPv4 or IPv6 address without brackets.
        port: TCP port.
        deadline: of the exchange that the connection is for.
        tls: handshake with this context; None for plain TCP.
        server_name: for SNI and the check of the certificate; `host` when None.
        connect_timeout_s: for resolution, all addresses and the handshake together, if `deadline` is not earlier.

    Raises:
        DeadlineExceeded: (a `TimeoutError`) not connected in time; `HandshakeTimeout` when only TLS was not answered.
        socket.gaierror: the name has no address.
        ssl.SSLError: the handshake failed; `ssl.SSLCertVerificationError` when the certificate is not good.
        OSError: no address works; the last one's error.
    """
    limit = deadline.capped(connect_timeout_s)
    addresses = resolve(host, port, limit)
    failure: Optional[OSError] = None
    for tried, address in enumerate(addresses):
        share = limit.capped(limit.remaining() / (len(addresses) - tried))
        try:
            sock = _open(address, share, tls, server_name or host)
        except OSError as exc:
            # What a certificate lacks tells the operator more than that another address is not routed.
            if not isinstance(failure, ssl.SSLError) or isinstance(exc, ssl.SSLError):
                failure = exc
        else:
            if isinstance(tls, ClientContext) and isinstance(sock, ssl.SSLSocket):
                tls.note_peer(host, port, sock)
            return sock
    if failure is None:
        raise socket.gaierror(socket.EAI_NONAME, f"no address for {host}")
    if isinstance(failure, socket.timeout) and not isinstance(failure, DeadlineExceeded):
        raise DeadlineExceeded(f"not connected within {limit.seconds:.3g} s") from failure
    raise failure


def secure(sock: socket.socket, tls: ssl.SSLContext, server_name: str, deadline: Deadline) -> ssl.SSLSocket:
    """Handshake over a connection that is there already; `sock` is closed when that fails.

    Raises:
        TimeoutError, ssl.SSLError, OSError: as in `connect` (`socket.timeout` on Python 3.9).
    """
    try:
        server_name.encode("idna")  # asked first because `wrap_socket` would lose the socket over a bad name
        sock.settimeout(deadline.remaining())
        wrapped = tls.wrap_socket(sock, server_hostname=server_name, do_handshake_on_connect=False)
    except UnicodeError as exc:
        sock.close()
        raise ssl.SSLError(f"server name {server_name!r} cannot be used: {exc}") from exc
    except BaseException:
        sock.close()
        raise
    try:
        wrapped.do_handshake()
    except BaseException:
        wrapped.close()
        raise
    return wrapped


def _open(address: Address, deadline: Deadline, tls: Optional[ssl.SSLContext], server_name: str) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        _set_options(sock)
        sock.settimeout(deadline.remaining())
        sock.connect(address.sockaddr)
    except BaseException:
        sock.close()
        raise
    if tls is None:
        return sock
    try:
        return secure(sock, tls, server_name, deadline)
    except (TimeoutError, socket.timeout) as exc:
        raise HandshakeTimeout(f"connected, but no TLS answer came within {deadline.seconds:.3g} s") from exc


def _set_options(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Keep-alive only helps an idle connection notice a dead peer sooner; a sandbox may forbid it.
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
