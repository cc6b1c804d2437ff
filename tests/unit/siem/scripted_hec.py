"""A collector that answers what a test tells it to, however wrong."""

from __future__ import annotations

import json
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Optional


class ScriptedHec:
    """Answers event requests by `events`, one entry each, then by `otherwise`; likewise polls by `acks`.

    An entry is (status, JSON value or bytes, headers).
    """

    def __init__(self, otherwise: tuple[int, Any] = (200, {"text": "Success", "code": 0})) -> None:
        self.events: deque[tuple[Any, ...]] = deque()
        self.acks: deque[tuple[Any, ...]] = deque()
        self.otherwise: tuple[Any, ...] = otherwise
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                outer.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                script = outer.acks if "/ack" in self.path else outer.events
                self.answer(*(script.popleft() if script else outer.otherwise))

            def do_GET(self) -> None:
                outer.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, b""))
                self.answer(200, {"text": "HEC is healthy", "code": 17})

            def answer(self, status: int, value: Any, headers: Optional[dict[str, str]] = None) -> None:
                body = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                for name, text in (headers or {}).items():
                    self.send_header(name, text)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def posts(self) -> list[tuple[str, dict[str, str], bytes]]:
        return [each for each in self.requests if each[0].endswith("/event")]

    def __enter__(self) -> ScriptedHec:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
