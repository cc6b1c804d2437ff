"""Steers an emulator in another process through its control API; what each call takes is in `control`."""

from __future__ import annotations

import http.client
import json
from typing import Any, Optional
from urllib.parse import urlencode, urlsplit

_TIMEOUT_S = 60.0


class ControlError(Exception):
    """The emulator refused a control call; the message is its own."""


class SlsControl:
    """The control API of one emulator; a connection per call, so that any thread may use it.

    Args:
        url: what the emulator printed, `http://HOST:PORT`.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80

    def get(self, name: str, /, **query: object) -> Any:
        """Ask; arguments that are None are left out.

        Raises:
            ControlError: the emulator refused.
            OSError: it cannot be reached.
        """
        return json.loads(self._exchange("GET", name, urlencode(_given(query)), None))

    def post(self, name: str, /, **members: object) -> Any:
        """Change something; arguments that are None are left out.

        Raises:
            ControlError: the emulator refused.
            OSError: it cannot be reached.
        """
        return json.loads(self._exchange("POST", name, "", json.dumps(_given(members)).encode()))

    def logs(self, **query: object) -> list[dict[str, Any]]:
        """List logs one by one; `shard`, `start` (position) and `limit` (log groups, at most 10000)."""
        lines = self._exchange("GET", "logs", urlencode(_given(query)), None).splitlines()
        return [json.loads(line) for line in lines]

    def _exchange(self, method: str, name: str, query: str, body: Optional[bytes]) -> bytes:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_S)
        try:
            connection.request(method, f"/_emulator/{name}?{query}" if query else f"/_emulator/{name}", body)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise ControlError(f"{method} {name}: {answer.status} {data[:500].decode('utf-8', 'replace')}")
        return data


def _given(arguments: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in arguments.items() if value is not None}
