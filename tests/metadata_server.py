"""An ECS metadata service on loopback, in the hardened mode or the normal one, with the key of a RAM role to give."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "metadata-token-8842"
ROLES = "/latest/meta-data/ram/security-credentials/"


class MetadataServer:
    """Answers as ECS does; what it gives and whether it works can be changed at any time.

    Args:
        hardened: refuses requests without a token; without, it knows no tokens at all.
    """

    def __init__(self, *, hardened: bool = True) -> None:
        self.hardened = hardened
        self.key: dict[str, str] = {}
        self.status = 200
        self.delay_s = 0.0
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                lives = self.headers.get("X-aliyun-ecs-metadata-token-ttl-seconds", "")
                good = outer.hardened and self.path == "/latest/api/token" and 0 < int(lives or 0) <= 21600
                self.answer(200 if good else 404, TOKEN if good else "")

            def do_GET(self) -> None:
                outer.asked.append(self.path)
                time.sleep(outer.delay_s)
                if outer.status != 200:
                    self.answer(outer.status, "secret-in-a-page")
                elif outer.hardened and self.headers.get("X-aliyun-ecs-metadata-token") != TOKEN:
                    self.answer(403, "")
                elif self.path == ROLES:
                    self.answer(200, "log-reader")
                elif self.path == f"{ROLES}log-reader":
                    self.answer(200, json.dumps({**outer.key, "LastUpdated": "x", "Code": "Success"}))
                else:
                    self.answer(404, "")

            def answer(self, status: int, body: str) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_arguments: object) -> None:
                """Keep the test's output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def give(self, name: str, *, for_s: float) -> None:
        """Have it give another key from now on."""
        self.key = document(name, for_s=for_s)

    def __enter__(self) -> MetadataServer:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def document(name: str, *, for_s: float) -> dict[str, str]:
    """Make a key that ends so many seconds from now."""
    return {
        "AccessKeyId": f"STS.{name}",
        "AccessKeySecret": f"secret-of-{name}",
        "SecurityToken": f"token-of-{name}",
        "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + for_s)),
    }
