"""HTTP/1.1 on one socket: reads requests, writes answers, and breaks them on demand.

The emulator needs its own because a test asks for what an ordinary server never does: resets in the middle of a body,
a length that promises more than follows, silence. It must not know SLS.
"""

from __future__ import annotations

import enum
import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Optional
from urllib.parse import parse_qsl, unquote, urlsplit

_MAX_HEAD = 65_536
_MAX_BODY = 64 * 1024 * 1024
_CHUNK = 262_144
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Not Allowed"}


@dataclass(frozen=True)
class Request:
    """One request; header names are in lower case, `raw_path` is as it was sent, query values are decoded.

    `received_at`: when all of it had come, `time.monotonic()`.
    """

    method: str
    raw_path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    received_at: float = field(default_factory=time.monotonic)

    @property
    def path(self) -> str:
        return unquote(self.raw_path)


class Ending(enum.Enum):
    """What becomes of the connection while an answer is written."""

    KEEP = "keep"
    RESET = "reset"  # nothing is written, the peer sees a reset
    RESET_MID_BODY = "reset_mid_body"
    TRUNCATE = "truncate"  # half the body, then an ordinary end
    SILENCE = "silence"  # nothing is written, the connection stays


@dataclass(frozen=True)
class Answer:
    """One answer; `headers` are written as they stand, Content-Length is added."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ending: Ending = Ending.KEEP


class BadRequestError(Exception):
    """The peer does not speak HTTP/1.1 as this server understands it."""


class Connection:
    """One accepted connection, served by the thread that calls `serve`."""

    def __init__(self, sock: socket.socket, handle: Callable[[Request], Answer]) -> None:
        self._sock = sock
        self._handle = handle
        self._buffer = bytearray()

    def upgrade(self, sock: socket.socket) -> None:
        """Go on with a socket that wraps the present one (TLS)."""
        self._sock = sock

    def drop(self) -> None:
        """Close the socket: for the serving thread, when it cannot serve."""
        self._sock.close()

    def serve(self) -> None:
        """Answer requests until the peer or an answer ends the connection."""
        try:
            while True:
                request = self._read()
                if request is None or not self._write(request, self._handle(request)):
                    return
        except BadRequestError as exc:
            text = str(exc).encode()
            self._send(Answer(400, {"Connection": "close"}, text))
        except OSError:
            return  # the peer went away, or `close` was called
        finally:
            self._sock.close()

    def close(self) -> None:
        """End the connection from another thread."""
        try:
            # Not SSLSocket's own, which takes away what the serving thread reads from.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
        except OSError:
            return  # it has ended already

    # -------------------------------------------------------------------------------------------------------- reading

    def _read(self) -> Optional[Request]:
        head = self._read_head()
        if head is None:
            return None
        method, target, headers = parse_head(head)
        if "transfer-encoding" in headers:
            raise BadRequestError("a chunked request body is not understood")
        size = headers.get("content-length", "0")
        if not size.isdigit() or int(size) > _MAX_BODY:
            raise BadRequestError(f"Content-Length {size!r} is not a number up to {_MAX_BODY}")
        body = self._read_body(int(size))
        path, query = split_target(method, target)
        return Request(method, path, query, headers, body)

    def _read_head(self) -> Optional[bytes]:
        searched = 0
        while True:
            end = self._buffer.find(b"\r\n\r\n", searched)
            if end >= 0:
                head = bytes(self._buffer[:end])
                del self._buffer[: end + 4]
                return head
            if len(self._buffer) > _MAX_HEAD:
                raise BadRequestError(f"the request's head has more than {_MAX_HEAD} bytes")
            searched = max(0, len(self._buffer) - 3)
            chunk = self._sock.recv(_CHUNK)
            if not chunk:
                return None
            self._buffer += chunk

    def _read_body(self, size: int) -> bytes:
        while len(self._buffer) < size:
            chunk = self._sock.recv(_CHUNK)
            if not chunk:
                raise ConnectionResetError("the peer ended in the middle of a body")
            self._buffer += chunk
        body = bytes(self._buffer[:size])
        del self._buffer[:size]
        return body

    # -------------------------------------------------------------------------------------------------------- writing

    def _write(self, request: Request, answer: Answer) -> bool:
        """Write an answer and tell whether the connection lives on."""
        if answer.ending is Ending.SILENCE:
            while self._sock.recv(_CHUNK):
                pass
            return False
        if answer.ending is Ending.RESET:
            self._reset()
            return False
        if answer.ending in (Ending.RESET_MID_BODY, Ending.TRUNCATE):
            self._send(answer, cut=True)
            if answer.ending is Ending.RESET_MID_BODY:
                self._reset()
            return False
        self._send(answer)
        return request.headers.get("connection", "").lower() != "close" and answer.headers.get("Connection") != "close"

    def _send(self, answer: Answer, *, cut: bool = False) -> None:
        lines = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Answer')}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        lines.append(f"Content-Length: {len(answer.body)}\r\n\r\n")
        head = "\r\n".join(lines).encode("latin-1", "replace")
        body = answer.body[: len(answer.body) // 2] if cut else answer.body
        if len(body) < _CHUNK:
            self._sock.sendall(head + body)
        else:
            self._sock.sendall(head)
            self._sock.sendall(body)

    def _reset(self) -> None:
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()


def parse_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    """Read a request line and its headers; the last of a repeated header counts.

    Raises:
        BadRequestError: it is not the head of a request.
    """
    first, *rest = head.decode("utf-8", "surrogateescape").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequestError(f"not a request line: {first[:200]!r}")
    headers = {}
    for line in rest:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip():
            raise BadRequestError(f"not a header: {line[:200]!r}")
        headers[name.lower()] = value.strip(" \t")
    return words[0], words[1], headers


def split_target(method: str, target: str) -> tuple[str, dict[str, str]]:
    """Cut a request target, also the absolute form that proxies get, into its path and its decoded query."""
    if method == "CONNECT":
        return target, {}
    if not target.startswith("/"):
        parts = urlsplit(target)
        if parts.scheme not in ("http", "https"):
            raise BadRequestError(f"not a request target: {target[:200]!r}")
        target = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    path, _, query = target.partition("?")
    return path, dict(parse_qsl(query, keep_blank_values=True))
