"""One HTTP/1.1 exchange after another over one connection, each within one total deadline.

The deadline covers name resolution, connecting, TLS, the proxy, sending and receiving. Nothing is added to the
headers but `Host` and `Content-Length` when they are missing, nothing is followed, nothing is retried, nothing is
logged: what an answer means is the caller's affair.
"""

from __future__ import annotations

import base64
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple, Optional, Union
from urllib.parse import SplitResult, unquote, urlsplit

from sls_siem.net.connect import connect, secure
from sls_siem.net.deadline import Deadline
from sls_siem.net.reason import reason
from sls_siem.net.response import Head, MalformedError, read_any_head, read_body, read_head
from sls_siem.net.tls import client_context
from sls_siem.net.wire import Wire

SMALL_BODY_BYTES = 65536
_PORTS = {"http": 80, "https": 443}
_FIELD_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_PRINTABLE = re.compile(r"[\x21-\x7e]+")


class HttpError(Exception):
    """The exchange did not end with an answer.

    Args:
        message: what failed at which peer; never a header's value.
        sent: a byte of the request may have reached the peer, which may therefore have acted on it.
        stale: the connection had been kept from an earlier exchange and broke before any byte of an answer came;
            a request that may be repeated is worth one more try at once.
    """

    def __init__(self, message: str, *, sent: bool, stale: bool = False) -> None:
        super().__init__(message)
        self.sent = sent
        self.stale = stale


class HttpTimeout(HttpError):  # noqa: N818 - as `socket.timeout`
    """The deadline came after the connection stood."""


class HttpConnectError(HttpError):
    """No connection: resolution, TCP, proxy or TLS failed or took too long; nothing was sent."""


class HttpProtocolError(HttpError):
    """What came is no HTTP/1.1 answer or is greater than allowed, or the request cannot be put into HTTP."""


class HttpAnswer(NamedTuple):
    """Status, headers (names in lower case; repeated ones joined by ", ") and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpConnection:
    """A connection to one server, opened on first use and kept while the peer keeps it; used by one thread.

    Args:
        url: `http://` or `https://`, host and port; a path in it is not used.
        tls: context for https, or what gives it, asked for each connection; None takes the system's authorities and
            TLS 1.2 or later.
        server_name: for SNI and the certificate's check; the URL's host when None.
        proxy: `http://[user:password@]host[:port]`; https goes through its CONNECT, http as absolute URI.
        connect_timeout_s: for all that comes before the request, if the exchange's deadline is not earlier.

    Raises:
        ValueError: `url` or `proxy` is none of these.
    """

    def __init__(
        self,
        url: str,
        *,
        tls: Union[ssl.SSLContext, Callable[[], ssl.SSLContext], None] = None,
        server_name: Optional[str] = None,
        proxy: Optional[str] = None,
        connect_timeout_s: float = 10.0,
    ) -> None:
        parts = _split(url, ("http", "https"))
        self._secure = parts.scheme == "https"
        self._host, self._port = _address(parts)
        self._authority = _authority(self._host, self._port, _PORTS[parts.scheme])
        self._tls = (tls or client_context()) if self._secure else None
        self._server_name = server_name
        self._connect_timeout_s = connect_timeout_s
        self._proxy: Optional[tuple[str, int]] = None
        self._proxy_authorization = ""
        if proxy is not None:
            proxy_parts = _split(proxy, ("http",))
            self._proxy = _address(proxy_parts)
            self._proxy_authorization = _basic(proxy_parts)
        self._wire: Optional[Wire] = None
        self._exchanges = 0
        self._asked: tuple[object, ...] = ()
        self._head, self._measured = b"", False

    @property
    def fresh(self) -> bool:
        """Whether the next exchange is the first of its connection."""
        return self._exchanges == 0

    def exchange(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        timeout_s: float,
        max_body: int,
    ) -> HttpAnswer:
        """Send a request and read its answer; any failure closes the connection.

        Args:
            method: anything but HEAD and CONNECT.
            target: path and query, percent-encoded.
            headers: sent as they are.
            body: the whole body.
            timeout_s: for all of it, connecting included.
            max_body: bytes of the answer's body; a greater one is refused without reading it.

        Raises:
            HttpConnectError: no connection.
            HttpTimeout: the connection stood, the answer did not come in time.
            HttpProtocolError: what came is no answer.
            HttpError: the connection broke.
        """
        request = self._request(method, target, headers, body)
        deadline = Deadline(timeout_s)
        wire = self._ready(deadline)
        kept = self._exchanges > 0
        wire.received = 0
        try:
            head = _ask(wire, request, body, deadline)
            content, reusable = read_body(wire, head, max_body, deadline)
        except MalformedError as exc:
            self.close()
            raise HttpProtocolError(f"{self._peer} sent {exc}", sent=True) from exc
        except (TimeoutError, socket.timeout) as exc:
            self.close()
            raise HttpTimeout(f"{self._peer} has not answered within {timeout_s:g} s", sent=True) from exc
        except OSError as exc:
            self.close()
            stale = kept and not wire.received
            raise HttpError(f"connection to {self._peer} lost: {reason(exc)}", sent=True, stale=stale) from exc
        except BaseException:
            self.close()
            raise
        self._exchanges += 1
        if not (reusable and head.keeps_alive):
            self.close()
        return HttpAnswer(head.status, head.headers, content)

    def open(self, *, timeout_s: float) -> None:
        """Connect unless a connection stands, so that `exchange` starts to send at once.

        Args:
            timeout_s: for resolution, connecting, proxy and TLS together, if `connect_timeout_s` is not less.

        Raises:
            HttpConnectError: no connection.
        """
        self._ready(Deadline(timeout_s))

    def close(self) -> None:
        """Drop the connection; the next exchange opens another."""
        wire, self._wire = self._wire, None
        self._exchanges = 0
        if wire is not None:
            wire.close()

    def _ready(self, deadline: Deadline) -> Wire:
        wire = self._wire
        if wire is not None and wire.idle():
            return wire
        self.close()
        try:
            limit = deadline.capped(self._connect_timeout_s)
            self._wire = Wire(self._connect(limit))
        except MalformedError as exc:
            raise HttpConnectError(f"{self._peer} sent {exc} to CONNECT", sent=False) from exc
        except OSError as exc:
            raise HttpConnectError(f"cannot connect to {self._peer}: {reason(exc)}", sent=False) from exc
        return self._wire

    def _connect(self, limit: Deadline) -> socket.socket:
        tls = self._tls() if callable(self._tls) else self._tls
        if self._proxy is None:
            return connect(
                self._host,
                self._port,
                limit,
                tls=tls,
                server_name=self._server_name,
                connect_timeout_s=self._connect_timeout_s,
            )
        sock = connect(*self._proxy, limit, connect_timeout_s=self._connect_timeout_s)
        if tls is None:
            return sock
        try:
            self._tunnel(Wire(sock), limit)
        except BaseException:
            sock.close()
            raise
        return secure(sock, tls, self._server_name or self._host, limit)

    def _tunnel(self, wire: Wire, limit: Deadline) -> None:
        """Ask the proxy for a way to the server (RFC 9110, CONNECT)."""
        authority = _authority(self._host, self._port, 0)
        lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
        if self._proxy_authorization:
            lines.append(f"Proxy-Authorization: {self._proxy_authorization}")
        wire.send("\r\n".join([*lines, "", ""]).encode("latin-1"), limit)
        status = read_head(wire, limit).status
        if status == 407:
            raise HttpConnectError(f"{self._peer} wants a user and password (407): put them into its URL", sent=False)
        if not 200 <= status < 300:
            raise HttpConnectError(f"{self._peer} answered {status} to CONNECT", sent=False)
        if not wire.idle():
            raise HttpConnectError(f"{self._peer} sent bytes of its own behind CONNECT", sent=False)

    def _request(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
        """Write all but the body; what was written last stays for what is asked for again."""
        if (method, target, headers) != self._asked:
            # Only what was checked is remembered, and only as it was.
            self._head, self._measured = self._new_head(method, target, headers)
            self._asked = (method, target, dict(headers))
        if self._measured or not (body or method not in {"GET", "DELETE"}):
            return self._head + b"\r\n"
        return b"%bContent-Length: %d\r\n\r\n" % (self._head, len(body))

    def _new_head(self, method: str, target: str, headers: Mapping[str, str]) -> tuple[bytes, bool]:
        """Check and write the request line and the headers; True when they tell the body's length."""
        if _PRINTABLE.fullmatch(target) is None:
            raise HttpProtocolError(f"request target {target!r} is not percent-encoded", sent=False)
        direct = self._proxy is None or self._secure
        lines = [f"{method} {target if direct else f'http://{self._authority}{target}'} HTTP/1.1"]
        # A tab may stand in a value, so together they are right if each of them is.
        if _FIELD_VALUE.fullmatch("\t".join(headers.values())) is None:
            raise HttpProtocolError(f"header {_wrong(headers)!r}: no header may hold its value", sent=False)
        names = [_checked_name(name) for name in headers]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if "host" not in names:
            lines.insert(1, f"Host: {self._authority}")
        if self._proxy_authorization and not self._secure:
            lines.append(f"Proxy-Authorization: {self._proxy_authorization}")
        return "\r\n".join([*lines, ""]).encode("latin-1"), "content-length" in names

    @property
    def _peer(self) -> str:
        """The server for messages, and the proxy when there is one."""
        server = _authority(self._host, self._port, 0)
        return server if self._proxy is None else f"{server} through proxy {_authority(*self._proxy, 0)}"


@lru_cache(maxsize=64)
def _checked_name(name: str) -> str:
    if _FIELD_NAME.fullmatch(name) is None:
        raise HttpProtocolError(f"{name!r} is no name of a header", sent=False)
    return name.lower()


def _wrong(headers: Mapping[str, str]) -> str:
    return next(name for name, value in headers.items() if _FIELD_VALUE.fullmatch(value) is None)


def _ask(wire: Wire, request: bytes, body: bytes, deadline: Deadline) -> Head:
    """Send a request and read its answer's head; one that comes before the request's end is the connection's last."""
    if len(body) <= SMALL_BODY_BYTES:
        request, body = b"", request + body
    try:
        unsent = wire.send(body, deadline, before=request)
        while unsent:
            head = read_any_head(wire, deadline)
            if head.status >= 200:
                return _last(head)
            unsent = wire.send(unsent, deadline)
    except (ConnectionError, ssl.SSLError) as exc:  # TLS has errors of its own for a peer that has gone
        return _last(_early_answer(wire, deadline, exc))
    return read_head(wire, deadline)


def _early_answer(wire: Wire, deadline: Deadline, broken: OSError) -> Head:
    """Read what a peer said before it closed without reading the whole request, such as 413."""
    try:
        return read_head(wire, deadline)
    except (OSError, MalformedError):
        raise broken from None


def _last(head: Head) -> Head:
    if head.status < 300:
        raise MalformedError(f"{head.status} before it had the whole request")
    return head._replace(keeps_alive=False)


def _split(url: str, schemes: tuple[str, ...]) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"a URL that starts with {' or '.join(f'{scheme}://' for scheme in schemes)} and has a host")
    return parts


def _address(parts: SplitResult) -> tuple[str, int]:
    return parts.hostname or "", parts.port or _PORTS[parts.scheme]


def _authority(host: str, port: int, default_port: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    return shown if port == default_port else f"{shown}:{port}"


def _basic(parts: SplitResult) -> str:
    if parts.username is None:
        return ""
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii")
