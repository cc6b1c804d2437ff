"""The control API of an emulator: its Python methods over HTTP with JSON, for tests that run it as its own process.

`POST <control>/<command>` with a JSON object calls the command with these keyword arguments; `GET <control>/<query>`
asks; the answer is JSON, `null` when there is nothing to say. A wrong name is 404, wrong arguments are 400 with
`{"error": ...}`. It listens on a port of its own, so that it answers while the emulator itself is "down".

The store, the same for every receiver:

=================================  ====================================================================================
GET store                          `{"total", "ids"}`: arrivals with copies, and different ids
GET store/ids                      text, an id per line, by first arrival
GET store/sequence                 text, the id of every arrival per line, in order of arrival
GET store/digests                  text, per line: id TAB hex of the first copy's digest TAB number of copies
GET store/duplicates               `{id: copies beyond the first}`
GET store/event?id=ID              list of copies: `{"at_s", "request", "digest", "data"}`, data as base64 when kept
POST store/missing                 body: an id per line; answer: list of those that never arrived
POST store/wait                    `{"ids": N, "timeout_s": T}`: true as soon as N different ids are there
POST store/clear                   forget everything
=================================  ====================================================================================
"""

from __future__ import annotations

import base64
import dataclasses
import json
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Optional

from sls_siem.emulator.store import EventStore

PREFIX = "/_emulator"


@dataclasses.dataclass(frozen=True)
class ControlAnswer:
    """Status, content type and body of one answer of the control API."""

    status: int
    content_type: str
    body: bytes


class Control:
    """What may be asked of, and done to, one emulator.

    Args:
        commands: name → function of keyword arguments; its result is sent as JSON.
        queries: name → function without arguments.
        store: the emulator's.
    """

    def __init__(
        self,
        commands: Mapping[str, Callable[..., object]],
        queries: Mapping[str, Callable[[], object]],
        store: EventStore,
    ) -> None:
        self._commands = commands
        self._queries = queries
        self._store = store

    def handle(self, method: str, target: str, body: bytes) -> ControlAnswer:
        """Answer one request.

        Args:
            method: GET or POST.
            target: path, `/_emulator` first, and query.
            body: as received.
        """
        url = urllib.parse.urlsplit(target)
        name = url.path[len(PREFIX) :].strip("/") if url.path.startswith(PREFIX) else None
        try:
            if name is None:
                raise KeyError(url.path)
            if name == "store" or name.startswith("store/"):
                return self._ask_store(method, name[6:], url.query, body)
            if method == "GET":
                return _json(self._queries[name]())
            return _json(self._commands[name](**json.loads(body or b"{}")))
        except KeyError as exc:
            return _json({"error": f"no such thing: {exc}"}, status=404)
        except (TypeError, ValueError) as exc:
            return _json({"error": str(exc)}, status=400)

    def _ask_store(self, method: str, name: str, query: str, body: bytes) -> ControlAnswer:
        asked = f"{method} {name}".strip()
        if asked == "GET":
            return _json({"total": self._store.total, "ids": len(self._store)})
        if asked == "GET ids":
            return _text("".join(f"{event_id}\n" for event_id in self._store.ids()))
        if asked == "GET sequence":
            return _text("".join(f"{event_id}\n" for event_id in self._store.sequence()))
        if asked == "GET digests":
            rows = self._store.digests()
            return _text("".join(f"{event_id}\t{digest.hex()}\t{copies}\n" for event_id, digest, copies in rows))
        if asked == "GET duplicates":
            return _json(self._store.duplicates())
        if asked == "GET event":
            event_id = urllib.parse.parse_qs(query).get("id", [""])[0]
            return _json([_arrival(arrival) for arrival in self._store.arrivals(event_id)])
        if asked == "POST missing":
            return _json(self._store.missing(body.decode().splitlines()))
        if asked == "POST wait":
            wanted = json.loads(body)
            return _json(self._store.wait_for(int(wanted["ids"]), timeout_s=min(600.0, float(wanted["timeout_s"]))))
        if asked == "POST clear":
            self._store.clear()
            return _json(None)
        raise KeyError(f"store/{name}")


class ControlServer:
    """Serve a `Control` on loopback, on threads of its own."""

    def __init__(self, control: Control) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self._answer(b"")

            def do_POST(self) -> None:
                self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

            def _answer(self, body: bytes) -> None:
                answer = control.handle(self.command, self.path, body)
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.content_type)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread: Optional[threading.Thread] = None

    @property
    def url(self) -> str:
        """Where the commands are: append `/<command>`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{PREFIX}"

    def start(self) -> None:
        """Start answering."""
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, name="emulator-control", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End, or give the port back where nothing was started."""
        if self._thread is not None:
            # Without a loop to end, this would wait for ever.
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def plain(value: object) -> object:
    """Turn dataclasses into dicts, and mappings and sequences of them, for JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def _arrival(arrival: Any) -> dict[str, object]:
    data = None if arrival.data is None else base64.b64encode(arrival.data).decode()
    return {"at_s": arrival.at_s, "request": arrival.request, "digest": arrival.digest.hex(), "data": data}


def _json(value: object, *, status: int = 200) -> ControlAnswer:
    body = json.dumps(plain(value), default=_bytes_as_text).encode()
    return ControlAnswer(status, "application/json", body)


def _bytes_as_text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    raise TypeError(f"{type(value).__name__} is no JSON")


def _text(text: str) -> ControlAnswer:
    return ControlAnswer(200, "text/plain; charset=utf-8", text.encode())
