"""`/metrics`, `/healthz` and `/readyz` on one small HTTP server.

An address that cannot be listened on is tried again and again: what is shipped does not depend on it.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Optional

from sls_siem.errors import ConfigError

LOG = logging.getLogger(__name__)
ANSWER_S = 10.0
BIND_AGAIN_S = 5.0
LOOK_S = 0.5
MOST_THREADS = 8


class MetricsServer:
    """Answers Prometheus and health checks, as soon as and for as long as it can.

    Args:
        listen: address.
        port: port.
        metrics: renders the text exposition.
        healthy: why the process is not healthy; empty when it is.
        ready: why the process is not ready; empty when it is.
        trouble: told why the address cannot be listened on, once for each reason.

    Raises:
        ConfigError: there is no such port.
    """

    def __init__(
        self,
        listen: str,
        port: int,
        *,
        metrics: Callable[[], bytes],
        healthy: Callable[[], str],
        ready: Callable[[], str],
        trouble: Callable[[str], None],
    ) -> None:
        if not 0 <= port <= 65535:
            raise ConfigError([f"metrics.port: {port} is no port; give one from 0 to 65535"])
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

        self._address = (listen, port)
        self._handler = Handler
        self._tell = trouble
        self._trouble = ""
        self._server: Optional[_Server] = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Answer from now on, or from when the address can be had."""
        self._listen()
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._stopped.set()
        self._thread.join(2 * LOOK_S)
        if self._server is not None:
            self._server.server_close()

    def _run(self) -> None:
        while self._server is None:
            if self._stopped.wait(BIND_AGAIN_S):
                return
            self._listen()
        while not self._stopped.is_set():
            self._server.handle_request()

    def _listen(self) -> None:
        listen, port = self._address
        place = f"[{listen}]:{port}" if ":" in listen else f"{listen}:{port}"
        try:
            self._server = _Server(self._address, self._handler)
        except OSError as exc:
            trouble = (
                f"metrics.port: {place} cannot be listened on: {exc.strerror or exc}; there are no metrics until "
                "it can be: free it, or choose another metrics.port or metrics.listen"
            )
            if trouble != self._trouble:
                self._tell(trouble)
            self._trouble = trouble
        else:
            if self._trouble:
                LOG.info("metrics.port: %s is listened on now", place)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    timeout = LOOK_S

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._room = threading.BoundedSemaphore(MOST_THREADS)
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind without the base class's look for the host's name, which may wait for a name server."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve at most a few at a time: a scraper that hangs must not cost threads without end."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._room.release()  # no thread could be started
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A scraper that went away is no news."""


def _verdict(trouble: str) -> tuple[int, bytes, str]:
    return (503, f"{trouble}\n".encode(), "text/plain") if trouble else (200, b"ok\n", "text/plain")
