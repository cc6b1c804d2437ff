"""`/metrics`, `/healthz` and `/readyz` on one small HTTP server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sls_siem.errors import ConfigError

ANSWER_S = 10.0
MOST_THREADS = 8


class MetricsServer:
    """Answers Prometheus and health checks.

    Args:
        listen: address.
        port: port.
        metrics: renders the text exposition.
        healthy: why the process is not healthy; empty when it is.
        ready: why the process is not ready; empty when it is.

    Raises:
        ConfigError: the address cannot be listened on.
    """

    def __init__(
        self,
        listen: str,
        port: int,
        *,
        metrics: Callable[[], bytes],
        healthy: Callable[[], str],
        ready: Callable[[], str],
    ) -> None:
        pages: dict[str, Callable[[], tuple[int, bytes, str]]] = {
            "/metrics": lambda: (200, metrics(), "text/plain; version=0.0.4; charset=utf-8"),
            "/healthz": lambda: _verdict(healthy()),
            "/readyz": lambda: _verdict(ready()),
        }

        class Handler(BaseHTTPRequestHandler):
            timeout = ANSWER_S
            server_version = "sls-siem"
            sys_version = ""

            def do_GET(self) -> None:
                page = pages.get(self.path.split("?")[0])
                status, body, kind = page() if page else (404, b"not found\n", "text/plain")
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
                """Keep scrapes out of the log."""

        try:
            self._server = _Server((listen, port), Handler)
        except (OSError, OverflowError) as exc:
            raise ConfigError(
                [f"metrics.port: {listen}:{port} cannot be listened on: {exc}; choose another metrics.port or listen"]
            ) from exc
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._room = threading.BoundedSemaphore(MOST_THREADS)
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve at most a few at a time: a scraper that hangs must not cost threads without end."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A scraper that went away is no news."""


def _verdict(trouble: str) -> tuple[int, bytes, str]:
    return (503, f"{trouble}\n".encode(), "text/plain") if trouble else (200, b"ok\n", "text/plain")
