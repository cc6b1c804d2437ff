"""What the tests of the receiver emulators share: plain clients of the standard library, and waiting."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

CHANNEL = "0aeeac95-ac74-4aa9-b30d-6c4c0ac581ba"
TIMEOUT_S = 10.0


def wait_until(condition: Callable[[], object], timeout_s: float = TIMEOUT_S) -> bool:
    """Wait for a condition; False when the time ran out."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.005)
    return True


@dataclass(frozen=True)
class Reply:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class HecClient:
    """One keep-alive connection to a collector."""

    def __init__(self, host: str, port: int, token: str, *, tls: Optional[ssl.SSLContext] = None) -> None:
        if tls is None:
            self.http = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        else:
            self.http = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=tls)
        self.token = token

    def close(self) -> None:
        self.http.close()

    def ask(
        self,
        method: str,
        path: str,
        body: Union[bytes, str] = b"",
        headers: Optional[Mapping[str, str]] = None,
    ) -> Reply:
        self.http.request(method, path, body, dict(headers or {}))
        answer = self.http.getresponse()
        lowered = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, lowered, answer.read())

    def post(
        self,
        body: Union[bytes, str],
        *,
        path: str = "/services/collector/event",
        channel: Optional[str] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> Reply:
        given = {"Authorization": f"Splunk {self.token}", **(headers or {})}
        if channel is not None:
            given["X-Splunk-Request-Channel"] = channel
        return self.ask("POST", path, body, given)

    def acks(self, ids: list[int], channel: str = CHANNEL) -> dict[str, bool]:
        reply = self.post(json.dumps({"acks": ids}), path=f"/services/collector/ack?channel={channel}")
        assert reply.status == 200, reply.body
        answer: dict[str, bool] = reply.json["acks"]
        return answer


def hec_event(event_id: str, **more: object) -> bytes:
    """One object of an event request."""
    value = {"event": f"event {event_id}", "fields": {"sls_id": event_id}, **more}
    return json.dumps(value, separators=(",", ":")).encode()


def hec_body(*event_ids: str) -> bytes:
    return b"".join(hec_event(event_id) for event_id in event_ids)


def frame(event_id: str, msg: bytes = b"hello") -> bytes:
    """One well-formed frame of RFC 5424."""
    return b'<14>1 2026-11-23T10:00:00.123456Z host app - - [sls@32473 id="%s"] %s' % (event_id.encode(), msg)


def counted(data: bytes) -> bytes:
    """Put the octet count before a frame."""
    return b"%d %s" % (len(data), data)


def connect(host: str, port: int) -> socket.socket:
    return socket.create_connection((host, port), timeout=TIMEOUT_S)


def ending(sock: socket.socket) -> str:
    """Wait for the peer to end a connection and tell how: "fin" or "rst"."""
    try:
        while sock.recv(65_536):
            pass
    except ConnectionResetError:
        return "rst"
    return "fin"


def cpu_s(pid: int) -> float:
    """CPU time of all threads of a process that live."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
