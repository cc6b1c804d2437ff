"""A TCP door on loopback that tests can shut, open again on the same port, and slam on whoever is inside.

HEC, syslog and RELP receivers share it, so that "the SIEM is down" means the same for all of them. It knows sockets and
TLS handshakes and no protocol: each accepted connection runs `handler(connection)` on a thread of its own.

While the door is shut, its port stays reserved by a bound socket that does not listen: connecting is refused, and
nobody else is given the port.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import select
import socket
import ssl
import struct
import termios
import threading
from collections import deque
from collections.abc import Callable
from typing import Optional, Union

from sls_siem.emulator.store import now_s

HANDSHAKE_TIMEOUT_S = 10.0
_LINGER_RESET = struct.pack("ii", 1, 0)
_POLLRDHUP = getattr(select, "POLLRDHUP", 0x2000)


class Connection:
    """One accepted connection; its handler thread owns it, other threads may only `end` it.

    Args:
        sock: the accepted socket, replaced by the TLS one after the handshake.
        number: counted from 1 per listener.
        peer: the client's address as "host:port".
    """

    def __init__(self, sock: socket.socket, number: int, peer: str) -> None:
        self.sock = sock
        self.number = number
        self.peer = peer
        self.at_s = now_s()
        self.ended = threading.Event()
        self._reset = False

    def end(self, *, reset: bool = True) -> None:
        """Wake the handler and make it stop: by RST, or by FIN when not `reset`. From any thread; never raises."""
        self._reset = self._reset or reset
        self.ended.set()
        with contextlib.suppress(OSError):
            # Not SSLSocket.shutdown: that takes the TLS state away under the handler's feet. Only the reading half:
            # the other would send a FIN before the RST.
            socket.socket.shutdown(self.sock, socket.SHUT_RD)

    def unread(self) -> int:
        """Bytes that have come and were not read, as far as the kernel and TLS know."""
        (count,) = struct.unpack("i", fcntl.ioctl(self.sock, termios.FIONREAD, b"\0\0\0\0"))
        return int(count) + (self.sock.pending() if isinstance(self.sock, ssl.SSLSocket) else 0)

    def recv_into(self, view: Union[bytearray, memoryview], size: int) -> int:
        """Read what is there, at most `size` bytes; 0 at the peer's FIN.

        Raises:
            ConnectionAbortedError: `end` was called; what the kernel still held is not handed out.
        """
        count = self.sock.recv_into(view, size)
        self.check()
        return count

    def recv(self, size: int) -> bytes:
        """Read like `recv_into`, into a new object."""
        data = self.sock.recv(size)
        self.check()
        return data

    def send(self, data: bytes) -> None:
        """Write all of it.

        Raises:
            ConnectionAbortedError: `end` was called.
        """
        self.check()
        self.sock.sendall(data)

    def check(self) -> None:
        """Raise when `end` was called.

        Raises:
            ConnectionAbortedError: see above.
        """
        if self.ended.is_set():
            raise ConnectionAbortedError("the emulator ended this connection")

    def pause(self, seconds: float) -> None:
        """Do nothing for a while.

        Raises:
            ConnectionAbortedError: `end` was called meanwhile.
        """
        if self.ended.wait(seconds):
            self.check()

    def pause_while_open(self, seconds: float) -> None:
        """Do nothing, read nothing, until the peer hangs up or `seconds` are over.

        Raises:
            ConnectionAbortedError: `end` was called meanwhile.
        """
        poller = select.poll()
        poller.register(self.sock, _POLLRDHUP | select.POLLHUP | select.POLLERR)
        end_s = now_s() + seconds
        while (left_s := end_s - now_s()) > 0:
            self.check()
            if poller.poll(min(left_s, 0.05) * 1000):
                return

    def reset_on_close(self) -> None:
        """Make the coming close an RST."""
        self._reset = True

    def close(self) -> None:
        """Close by RST when so asked, else as the kernel does (FIN; RST when unread bytes are left). Never raises."""
        with contextlib.suppress(OSError):
            if self._reset:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
            self.sock.close()


class Listener:
    """Accept connections and run a handler for each.

    Args:
        name: for the threads.
        handler: called with each connection on its own thread; OSError and ssl.SSLError out of it end the connection.
        host: address to bind.
        port: 0 lets the kernel choose, once; later `listen_again` uses the same.
        tls: settings of the TLS handshake; None for plain TCP.
        receive_buffer: SO_RCVBUF in bytes; 0 leaves the kernel's choice.
    """

    def __init__(
        self,
        name: str,
        handler: Callable[[Connection], None],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: Optional[ssl.SSLContext] = None,
        receive_buffer: int = 0,
    ) -> None:
        self.tls = tls
        self.at_accept: Callable[[Connection], bool] = lambda _connection: True
        """Called on the connection's thread before the handshake; False closes it there and then."""
        self.handshake_failures: deque[str] = deque(maxlen=1000)
        self.accepted = 0
        self._name = name
        self._handler = handler
        self._receive_buffer = receive_buffer
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._open: dict[Connection, threading.Thread] = {}
        self._door: Optional[socket.socket] = None
        self._acceptor: Optional[threading.Thread] = None
        self._reservation = bound(host, port)
        address: tuple[str, int] = self._reservation.getsockname()[:2]
        self.host, self.port = address

    @property
    def listening(self) -> bool:
        """Whether the door is open."""
        return self._door is not None

    def connections(self) -> list[Connection]:
        """List the open connections."""
        with self._lock:
            return list(self._open)

    def listen(self) -> None:
        """Open the door, the first time or again; nothing happens when it is open."""
        if self._door is not None:
            return
        door = bound(self.host, self.port)
        if self._receive_buffer:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        door.listen(128)
        self._door = door
        self._acceptor = threading.Thread(target=self._accept, args=(door,), name=f"{self._name}-accept", daemon=True)
        self._acceptor.start()

    def stop_listening(self, *, connections: str = "rst") -> None:
        """Shut the door.

        Args:
            connections: what becomes of those who are inside: "rst", "fin" or "keep".
        """
        door, self._door = self._door, None
        if door is not None:
            with contextlib.suppress(OSError):
                door.shutdown(socket.SHUT_RDWR)
            if self._acceptor is not None:
                self._acceptor.join()
            door.close()
        if connections != "keep":
            self.end_connections(reset=connections == "rst")

    def end_connections(self, *, reset: bool = True) -> int:
        """End every open connection by RST or FIN and wait for its handler; says how many there were."""
        with self._lock:
            inside = dict(self._open)
        for connection in inside:
            connection.end(reset=reset)
        for thread in inside.values():
            if thread is not threading.current_thread():
                thread.join(timeout=30)
        return len(inside)

    def stop(self) -> None:
        """Shut the door, end all connections, give the port back."""
        self.stop_listening()
        self._reservation.close()

    def _accept(self, door: socket.socket) -> None:
        while True:
            try:
                sock, address = door.accept()
            except OSError:
                return
            connection = Connection(sock, next(self._numbers), f"{address[0]}:{address[1]}")
            self.accepted += 1
            thread = threading.Thread(
                target=self._run, args=(connection,), name=f"{self._name}-{connection.number}", daemon=True
            )
            with self._lock:
                # Started within the lock: who finds the thread in the list may join it.
                self._open[connection] = thread
                thread.start()

    def _run(self, connection: Connection) -> None:
        try:
            if self.at_accept(connection) and (self.tls is None or self._handshake(connection, self.tls)):
                self._handler(connection)
        except (OSError, ssl.SSLError):
            pass  # the peer, or `end`, broke it off; what was received is in the store
        finally:
            connection.close()
            with self._lock:
                self._open.pop(connection, None)

    def _handshake(self, connection: Connection, tls: ssl.SSLContext) -> bool:
        connection.sock.settimeout(HANDSHAKE_TIMEOUT_S)
        try:
            wrapped = tls.wrap_socket(connection.sock, server_side=True, do_handshake_on_connect=False)
            connection.sock = wrapped
            wrapped.do_handshake()
        except (OSError, ssl.SSLError) as exc:
            self.handshake_failures.append(str(exc))
            return False
        wrapped.settimeout(None)
        return True


def bound(host: str, port: int) -> socket.socket:
    """Bind a port. While it is bound, nobody else gets it, not even for a call; who binds it here may listen on it too.

    Args:
        host: address.
        port: 0 lets the kernel choose.

    Raises:
        OSError: it is not to be had.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    return sock
