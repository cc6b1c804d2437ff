"""HTTP/1.1 on a raw connection, as a server that can misbehave: reads slowly, answers half, hangs up early.

`http.server` cannot do any of that and cannot read a megabyte without copying it. Strict about framing: what it does
not understand ends in `BadRequestError`. It knows nothing of HEC.
"""

from __future__ import annotations

import email.utils
import http
import urllib.parse
import zlib
from dataclasses import dataclass
from typing import Optional, Union

from sls_siem.emulator.hec_codes import Answer
from sls_siem.emulator.listener import Connection
from sls_siem.emulator.store import now_s

MAX_HEAD_BYTES = 65_536
MAX_DISCARD_BYTES = 64 << 20
"""So much of a body that is too long is read away, so that the peer sees the answer; then the connection goes on."""

_CHUNK = 1 << 20
_SLICE_S = 0.02


class BadRequestError(Exception):
    """The peer does not speak HTTP/1.1 as this server understands it; the connection is of no further use."""


class BodyTooLargeError(Exception):
    """The body is longer than allowed."""


@dataclass(frozen=True)
class Head:
    """Request line and headers.

    Args:
        method: as sent.
        path: decoded path without query.
        query: decoded query, the last of equal names.
        headers: names in lower case; equal ones joined by ", ".
        at_s: CLOCK_BOOTTIME when its first byte was there.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    at_s: float

    @property
    def content_length(self) -> Optional[int]:
        """Announced length of the body; None when it is chunked.

        Raises:
            BadRequestError: it is no number.
        """
        if "transfer-encoding" in self.headers:
            if self.headers["transfer-encoding"].lower() != "chunked" or "content-length" in self.headers:
                raise BadRequestError("only Transfer-Encoding: chunked, without Content-Length")
            return None
        text = self.headers.get("content-length", "0")
        if not text.isascii() or not text.isdigit():
            raise BadRequestError(f"Content-Length is {text!r}")
        return int(text)


class HttpStream:
    """The requests of one connection, one after the other, and the answers to them."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._rest = bytearray()
        self._scratch = bytearray(_CHUNK)

    def read_head(self) -> Optional[Head]:
        """Read up to the end of the headers; None when the peer has closed between two requests.

        Raises:
            BadRequestError: it closed within a head, or the head is malformed or too long.
        """
        at_s = now_s() if self._rest else 0.0
        while (end := self._head_end()) < 0:
            if len(self._rest) > MAX_HEAD_BYTES:
                raise BadRequestError("head too long")
            data = self.connection.recv(MAX_HEAD_BYTES)
            at_s = at_s or now_s()
            if not data and not self._rest:
                return None
            if not data:
                raise BadRequestError("the peer closed within a head")
            self._rest += data
        lines = bytes(self._rest[:end]).split(b"\r\n")
        del self._rest[: end + 4]
        return _parse_head(lines, at_s)

    def _head_end(self) -> int:
        """Skip empty lines before a request (RFC 9112, 2.2), then look for the one after its headers."""
        while self._rest[:2] == b"\r\n":
            del self._rest[:2]
        return self._rest.find(b"\r\n\r\n")

    def read_body(self, head: Head, *, limit: int, bytes_per_s: float = 0.0) -> memoryview:
        """Read the whole body into a buffer that the next call uses again.

        Args:
            head: its request.
            limit: bytes allowed.
            bytes_per_s: pace; 0 for as fast as it comes.

        Raises:
            BodyTooLargeError: it is longer; up to 64 MiB were read away so that the peer sees the answer.
            BadRequestError: the peer closed within it, or the chunks are malformed.
        """
        length = head.content_length
        if head.headers.get("expect", "").lower() == "100-continue":
            self.connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if length is None:
            return self._read_chunks(limit)
        if length > limit:
            self._discard(min(length, MAX_DISCARD_BYTES))
            raise BodyTooLargeError(f"{length} bytes, {limit} allowed")
        if length > len(self._scratch):
            self._scratch = bytearray(length)
        view = memoryview(self._scratch)[:length]
        self._fill(view, bytes_per_s)
        return view

    def read_some(self, size: int) -> None:
        """Read that many bytes of a body, or up to its end, and forget them."""
        self._discard(max(0, size - len(self._rest)))

    def _fill(self, view: memoryview, bytes_per_s: float) -> None:
        place = min(len(self._rest), len(view))
        view[:place] = self._rest[:place]
        del self._rest[:place]
        if bytes_per_s > 0:
            self.connection.pause(place / bytes_per_s)
        while place < len(view):
            most = len(view) - place if bytes_per_s <= 0 else max(1, int(bytes_per_s * _SLICE_S))
            count = self.connection.recv_into(view[place:], min(most, len(view) - place))
            if not count:
                raise BadRequestError("the peer closed within a body")
            place += count
            if bytes_per_s > 0:
                self.connection.pause(count / bytes_per_s)

    def _discard(self, size: int) -> None:
        while size > 0:
            count = min(size, len(self._scratch))
            self._fill(memoryview(self._scratch)[:count], 0.0)
            size -= count

    def _read_chunks(self, limit: int) -> memoryview:
        body = bytearray()
        while True:
            size_text = self._read_line().split(b";")[0].strip()
            try:
                size = int(size_text, 16)
            except ValueError as exc:
                raise BadRequestError(f"chunk size {size_text[:20]!r}") from exc
            if len(body) + size > limit:
                raise BodyTooLargeError(f"more than {limit} bytes")
            if size == 0:
                break
            chunk = bytearray(size)
            self._fill(memoryview(chunk), 0.0)
            body += chunk
            self._read_line()
        while self._read_line():
            pass  # trailers
        return memoryview(body)

    def _read_line(self) -> bytes:
        while (end := self._rest.find(b"\r\n")) < 0:
            data = self.connection.recv(MAX_HEAD_BYTES)
            if not data or len(self._rest) > MAX_HEAD_BYTES:
                raise BadRequestError("no end of a chunk line")
            self._rest += data
        line = bytes(self._rest[:end])
        del self._rest[: end + 2]
        return line

    def write(self, answer: Answer, *, close: bool = False, cut_body: bool = False, bytes_per_s: float = 0.0) -> None:
        """Send an answer.

        Args:
            answer: what to send.
            close: announce that the connection ends after it.
            cut_body: send only the first half of the body.
            bytes_per_s: pace; 0 for at once.
        """
        body = answer.body[: len(answer.body) // 2] if cut_body else answer.body
        data = _head_of(answer, close=close) + body
        if bytes_per_s <= 0:
            self.connection.send(data)
            return
        step = max(1, int(bytes_per_s * _SLICE_S))
        for place in range(0, len(data), step):
            self.connection.send(data[place : place + step])
            self.connection.pause(step / bytes_per_s)


def _parse_head(lines: list[bytes], at_s: float) -> Head:
    words = lines[0].decode("latin-1").split(" ")
    if len(words) != 3 or words[2] != "HTTP/1.1":
        raise BadRequestError(f"request line {lines[0][:100]!r}")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequestError(f"header {line[:100]!r}")
        key = name.lower()
        headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
    if "host" not in headers:
        raise BadRequestError("no Host header")
    target = urllib.parse.urlsplit(words[1])
    query = dict(urllib.parse.parse_qsl(target.query, keep_blank_values=True))
    return Head(words[0], urllib.parse.unquote(target.path), query, headers, at_s)


def _head_of(answer: Answer, *, close: bool) -> bytes:
    try:
        reason = http.HTTPStatus(answer.status).phrase
    except ValueError:
        reason = "Unknown"
    headers = {
        "Date": email.utils.formatdate(usegmt=True),
        "Server": "Splunkd",
        "Connection": "close" if close else "Keep-Alive",
        "Content-Length": str(len(answer.body)),
        **answer.headers,
    }
    lines = [f"HTTP/1.1 {answer.status} {reason}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def inflate(body: Union[bytes, memoryview], limit: int) -> bytes:
    """Decompress gzip, several members allowed.

    Args:
        body: the compressed bytes.
        limit: decompressed bytes allowed.

    Raises:
        BadRequestError: it is not gzip, is cut off, or something stands behind it.
        BodyTooLargeError: there is more than `limit`.
    """
    parts: list[bytes] = []
    left, rest = limit + 1, bytes(body)
    while rest:
        stream = zlib.decompressobj(31)
        try:
            part = stream.decompress(rest, left)
        except zlib.error as exc:
            raise BadRequestError(f"not gzip: {exc}") from exc
        left -= len(part)
        if left <= 0:
            raise BodyTooLargeError(f"more than {limit} bytes when decompressed")
        if not stream.eof:
            raise BadRequestError("gzip stream cut off")
        parts.append(part)
        rest = stream.unused_data
    return b"".join(parts)
