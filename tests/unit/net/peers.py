"""Peers on loopback that behave as a test says: they read requests and send bytes."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Optional

from sls_siem.emulator.listener import Connection, Listener

NO_BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def ok(body: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass
class Request:
    line: str
    headers: dict[str, str]
    body: bytes
    connection: int


@dataclass
class Peer:
    """What a test sees of a peer."""

    listener: Listener
    scheme: str
    requests: list[Request] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.listener.port

    @property
    def url(self) -> str:
        host = f"[{self.listener.host}]" if ":" in self.listener.host else self.listener.host
        return f"{self.scheme}://{host}:{self.port}"


def read_request(connection: Connection) -> Optional[Request]:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(entry.split(": ", 1) for entry in lines)
    while len(body) < int(headers.get("Content-Length", "0")):
        body += connection.recv(65536)
    return Request(line, headers, body, connection.number)


@contextlib.contextmanager
def peer(
    talk: Callable[[Connection, Peer], None], *, tls: Optional[ssl.SSLContext] = None, host: str = "127.0.0.1"
) -> Iterator[Peer]:
    """Serve each connection with `talk`; it is closed when `talk` returns."""
    here: list[Peer] = []
    listener = Listener("peer", lambda connection: talk(connection, here[0]), tls=tls, host=host)
    here.append(Peer(listener, "https" if tls else "http"))
    listener.listen()
    try:
        yield here[0]
    finally:
        listener.stop()


def answering(*answers: bytes) -> Callable[[Connection, Peer], None]:
    """Answer the requests of each connection with these bytes in turn, then close it."""

    def talk(connection: Connection, here: Peer) -> None:
        for answer in answers:
            request = read_request(connection)
            if request is None:
                return
            here.requests.append(request)
            connection.send(answer)

    return talk
