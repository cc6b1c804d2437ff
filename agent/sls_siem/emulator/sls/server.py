"""The SLS emulator as an object: a listening socket, a thread per connection, the service behind them."""

from __future__ import annotations

import socket
import ssl
import threading
from types import TracebackType
from typing import Any, Optional

from sls_siem.emulator.listener import bound
from sls_siem.emulator.sls.clock import Clock
from sls_siem.emulator.sls.control import Control
from sls_siem.emulator.sls.faults import FaultPlan
from sls_siem.emulator.sls.feed import Feed, FeedPlan
from sls_siem.emulator.sls.history import History
from sls_siem.emulator.sls.http1 import Answer, Connection, Request
from sls_siem.emulator.sls.projects import Projects
from sls_siem.emulator.sls.service import SlsService
from sls_siem.emulator.sls.settings import Settings
from sls_siem.emulator.sls.signature import AccessKey
from sls_siem.emulator.sls.store import Logstore

_HANDSHAKE_S = 10.0
_END_S = 10.0


class SlsEmulator:
    """An SLS endpoint on loopback.

    Args:
        project: project of the logstore that is made at once.
        logstore: its name.
        shards: its number of shards.
        ttl_days: its retention.
        host: address to listen on.
        port: port to listen on; 0 lets the kernel choose, and a restart keeps it.
        settings: the switches; they may be changed at any time.
        tls: server-side context for an https endpoint.
        keep_trimmed: keep what retention removed, for `stored`.
    """

    def __init__(
        self,
        *,
        project: str = "emulated-project",
        logstore: str = "emulated-logstore",
        shards: int = 1,
        ttl_days: int = 30,
        host: str = "127.0.0.1",
        port: int = 0,
        settings: Optional[Settings] = None,
        tls: Optional[ssl.SSLContext] = None,
        keep_trimmed: bool = True,
    ) -> None:
        self.settings = settings or Settings()
        self.clock = Clock()
        self.projects = Projects(self.clock)
        self.store = self.projects.create(
            project, logstore, shards=shards, ttl_days=ttl_days, keep_trimmed=keep_trimmed
        )
        self.host = host
        self.port = port
        self._tls = tls
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._reservation: Optional[socket.socket] = None
        self._listener: Optional[socket.socket] = None
        self._acceptor: Optional[threading.Thread] = None
        self._connections: dict[Connection, threading.Thread] = {}
        self._feeds: dict[int, Feed] = {}
        self.accepted = 0
        self._service = SlsService(self.projects, self.settings, self.clock, self._stopping)
        self._control = Control(self)

    # ----------------------------------------------------------------------------------------------------- life cycle

    @property
    def url(self) -> str:
        """The endpoint; it has a port only after `start`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    def start(self) -> SlsEmulator:
        """Listen; returns as soon as connections are accepted."""
        self._stopping.clear()
        self.start_listening()
        return self

    def stop(self) -> None:
        """End feeds, connections and threads."""
        self._stopping.set()
        for feed in self.feeds():
            feed.stop()
        with self._lock:
            threads = list(self._connections.values())
        self.stop_listening()
        for thread in threads:
            thread.join(_END_S)
        if self._reservation is not None:
            self._reservation.close()
            self._reservation = None

    def __enter__(self) -> SlsEmulator:  # noqa: PYI034 - Self is not in Python 3.9
        return self.start()

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.stop()

    def start_listening(self) -> None:
        """Listen, again on the same port after `stop_listening`; nobody else gets it meanwhile."""
        if self._listener is not None:
            return
        if self._reservation is None:
            self._reservation = bound(self.host, self.port)
            self.port = self._reservation.getsockname()[1]
        listener = bound(self.host, self.port)
        listener.listen(128)
        self._listener = listener
        self._acceptor = threading.Thread(target=self._accept, args=(listener,), name="sls-accept", daemon=True)
        self._acceptor.start()

    def stop_listening(self) -> None:
        """Be away: new connections are refused, those that exist end."""
        listener, acceptor = self._listener, self._acceptor
        self._listener = self._acceptor = None
        if listener is not None and acceptor is not None:
            listener.shutdown(socket.SHUT_RDWR)  # wakes the accept
            acceptor.join()
            listener.close()
        self.disconnect()

    def disconnect(self) -> None:
        """End every connection; new ones are accepted."""
        with self._lock:
            open_now = list(self._connections)
        for connection in open_now:
            connection.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            connection = Connection(sock, self._handle)
            thread = threading.Thread(target=self._serve, args=(connection, sock), name="sls-connection", daemon=True)
            with self._lock:
                self.accepted += 1
                self._connections[connection] = thread
            thread.start()

    def _serve(self, connection: Connection, sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                sock.settimeout(_HANDSHAKE_S)
                wrapped = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                connection.upgrade(wrapped)
                wrapped.do_handshake()
                wrapped.settimeout(None)
            connection.serve()
        except OSError:
            connection.drop()  # the handshake failed
        finally:
            with self._lock:
                self._connections.pop(connection, None)

    def _handle(self, request: Request) -> Answer:
        if request.raw_path.startswith("/_emulator/"):
            return self._control.handle(request)
        return self._service.handle(request)

    # ----------------------------------------------------------------------------------------------------- what it is

    @property
    def faults(self) -> FaultPlan:
        return self._service.faults

    @property
    def history(self) -> History:
        return self._service.history

    @property
    def keys(self) -> dict[str, AccessKey]:
        """The access keys it knows, by id."""
        return self._service.keys

    def add_key(
        self,
        key_id: str,
        secret: str,
        *,
        token: Optional[str] = None,
        expires: Optional[float] = None,
        denied: frozenset[str] = frozenset(),
    ) -> AccessKey:
        """Make an access key known, or change it; see `AccessKey`."""
        self.keys[key_id] = AccessKey(key_id, secret, token, expires, denied)
        return self.keys[key_id]

    def remove_key(self, key_id: str) -> None:
        self.keys.pop(key_id, None)

    def create_logstore(
        self, project: str, name: str, *, shards: int = 1, ttl_days: int = 30, keep_trimmed: bool = True
    ) -> Logstore:
        """Make a logstore; one of that name is replaced, as if it had been deleted and made again."""
        made = self.projects.create(project, name, shards=shards, ttl_days=ttl_days, keep_trimmed=keep_trimmed)
        if (project, name) == (self.store.project, self.store.name):
            self.store = made
        return made

    def logstore(self, project: Optional[str] = None, name: Optional[str] = None) -> Logstore:
        """Find a logstore; what is left out is that of `store`."""
        return self.projects.find(project or self.store.project, name or self.store.name)

    def feed(self, store: Optional[Logstore] = None, **plan: Any) -> Feed:
        """Start to append generated logs.

        Args:
            store: where; None means `self.store`.
            plan: the members of `FeedPlan`.
        """
        feed = Feed(store or self.store, FeedPlan(**plan), self.clock.wall)
        with self._lock:
            self._feeds[feed.number] = feed
        return feed.start()

    def feeds(self) -> list[Feed]:
        with self._lock:
            return list(self._feeds.values())

    def stats(self) -> dict[str, Any]:
        """Count what the emulator stores and has done."""
        shards = [(store, shard) for store in self.projects.all() for shard in store.shards()]
        return {
            "connections": len(self._connections),
            "accepted": self.accepted,
            "groups": sum(shard.end - shard.base for _, shard in shards),
            "raw_bytes": sum(shard.raw_bytes for _, shard in shards),
            **self.history.counts(),
        }
