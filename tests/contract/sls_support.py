"""What the contract tests of the SLS emulator share: waiting, raw requests, the SDK pointed at loopback."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any, Optional
from urllib.parse import urlencode

PROJECT = "emulated-project"
LOGSTORE = "emulated-logstore"
KEY_ID, SECRET = "LTAI-test", "secret-of-the-test"
# The SDK joins project and endpoint to one host name; `loopback_names` lets names below this one resolve.
DOMAIN = "sls.test"


def wait_for(condition: Callable[[], Any], *, within_s: float = 20.0, what: str = "the condition") -> Any:
    """Return what the condition returns as soon as it is true; fail when that takes too long."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true within {within_s} s")


def loopback_names(monkeypatch: Any) -> None:
    real = socket.getaddrinfo

    def resolve(host: Any, *args: Any, **kwargs: Any) -> Any:
        return real("127.0.0.1" if str(host).endswith("." + DOMAIN) else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def cursor(position: int) -> str:
    return base64.b64encode(str(position).encode()).decode()


class Client:
    """Unsigned requests on one connection, answers as they are: for what the SDK hides."""

    def __init__(self, port: int, *, project: str = PROJECT) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=10)
        self._host = f"{project}.127.0.0.1"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Optional[dict[str, Any]] = None,
        body: Any = None,
        headers: Optional[dict[str, str]] = None,
    ) -> tuple[int, dict[str, str], bytes]:
        data = json.dumps(body).encode() if body is not None else b""
        target = f"{path}?{urlencode(query)}" if query else path
        self._connection.request(method, target, data, {"Host": self._host, **(headers or {})})
        answer = self._connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def json(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        status, _, body = self.ask(method, path, **more)
        return status, json.loads(body) if body else None

    def pull(self, shard: int, position: int, **query: Any) -> tuple[int, dict[str, str], bytes]:
        asked = {"type": "log", "cursor": cursor(position), "count": 1000, **query}
        return self.ask("GET", f"/logstores/{LOGSTORE}/shards/{shard}", query=asked, headers={"Accept-Encoding": "lz4"})

    def heartbeat(self, consumer: str, shards: list[int], group: str = "group") -> tuple[int, Any]:
        path = f"/logstores/{LOGSTORE}/consumergroups/{group}"
        return self.json("POST", path, query={"type": "heartbeat", "consumer": consumer}, body=shards)

    def save(
        self, consumer: str, shard: int, checkpoint: str, *, forced: Optional[bool] = None, group: str = "group"
    ) -> tuple[int, Any]:
        query = {"type": "checkpoint", "consumer": consumer}
        if forced is not None:
            query["forceSuccess"] = str(forced)
        path = f"/logstores/{LOGSTORE}/consumergroups/{group}"
        return self.json("POST", path, query=query, body={"shard": shard, "checkpoint": checkpoint})

    def create_group(self, name: str = "group", *, timeout: int = 40, order: bool = False) -> tuple[int, Any]:
        body = {"consumerGroup": name, "timeout": timeout, "order": order}
        return self.json("POST", f"/logstores/{LOGSTORE}/consumergroups", body=body)
