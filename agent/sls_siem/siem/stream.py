"""One TCP or TLS connection to a receiver that never answers: what it has taken, and whether it is still there.

`send` only fills the kernel's buffer. What the peer's kernel has acknowledged is read from the socket (SIOCOUTQ and
`tcpi_bytes_acked`, tcp(7)); that its process has read it all is shown by its FIN after our half-close, and by nothing
else. This module knows no frames and no retries.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import fcntl
import os
import select
import socket
import ssl
import struct
import termios
from typing import Optional

SILENCE_S = 25
"""A peer whose kernel acknowledges nothing, or keeps its window shut, for so long is gone.

`TCP_USER_TIMEOUT`, which counts both (tcp(7)); keepalive adds up to the same on an idle connection.
"""

UNSENT_BYTES = 131072
"""Most bytes that wait in our kernel unsent: little is on its way when a lease ends."""

TLS_WRITE_BYTES = 65536
READ_BYTES = 16384
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))
_TCP_NOTSENT_LOWAT = 25
_BYTES_ACKED = struct.Struct("=Q")
_BYTES_ACKED_AT = 120
_MOST_READS = 16
_ENDED = select.POLLRDHUP | select.POLLHUP | select.POLLERR


class Peer(enum.Enum):
    """What the peer's side of the connection looks like."""

    OPEN = "open"
    CLOSED = "closed by the receiver"


class Stream:
    """A connection, non-blocking; used by one thread.

    Args:
        sock: connected, TLS handshake done.

    Attributes:
        half_closed: the peer was told that nothing more comes.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._tls = isinstance(sock, ssl.SSLSocket)
        self._tls_ended = False
        self._in_record = False
        self._awaited = select.POLLOUT
        self.half_closed = False
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_S * 1000)
            for option, value in _KEEPALIVE:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, UNSENT_BYTES)

    @property
    def held_back(self) -> int:
        """Bytes that a `write` which wrote nothing may have encrypted already: the next one must hold them again."""
        return TLS_WRITE_BYTES if self._in_record else 0

    def write(self, data: memoryview) -> int:
        """Write what fits; 0 when nothing does.

        Raises:
            OSError: the connection is broken.
        """
        try:
            # OpenSSL wants a write that did not fit again in full (SSL_write(3)), so no piece may be long.
            written = self._sock.send(data[:TLS_WRITE_BYTES] if self._tls else data)
        except BlockingIOError:
            return 0
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError) as exc:
            self._in_record = True
            # TLS 1.2 reads before it goes on to write when the peer negotiates anew.
            self._awaited = select.POLLIN if isinstance(exc, ssl.SSLWantReadError) else select.POLLOUT
            return 0
        self._in_record, self._awaited = False, select.POLLOUT
        return written

    def wait_writable(self, seconds: float) -> bool:
        """Wait until something fits; False when the peer has closed or broken the connection."""
        return not self._poll(self._awaited | select.POLLRDHUP, seconds) & _ENDED

    def wait_any(self, seconds: float, *, writing: bool) -> None:
        """Wait until the peer sends, closes or breaks, or, when `writing`, until something fits."""
        self._poll(select.POLLIN | (self._awaited if writing else 0), seconds)

    def wait_readable(self, seconds: float) -> None:
        """Wait until the peer sends, closes or breaks."""
        self._poll(select.POLLIN, seconds)

    def let_pass(self, seconds: float) -> None:
        """Wait for nothing: behind the peer's FIN each of the other waits ends at once."""
        select.poll().poll(seconds * 1000)

    def _poll(self, events: int, seconds: float) -> int:
        poller = select.poll()
        poller.register(self._sock, events)
        for _, found in poller.poll(max(0.0, seconds) * 1000):
            return found
        return 0

    def look(self) -> Peer:
        """Look at the peer's side; whatever it sends is thrown away (a full receive buffer turns our close into RST).

        After our half-close only its FIN counts, not its close_notify: an RST may follow that.

        Raises:
            OSError: the connection is broken, or the peer refused it by an alert.
        """
        for _ in range(_MOST_READS):
            try:
                if not self._receive():
                    return Peer.CLOSED
            except ssl.SSLZeroReturnError:
                self._tls_ended = True
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return Peer.OPEN
        return Peer.OPEN

    def _receive(self) -> bytes:
        """Read something; b"" at the peer's FIN and at nothing else.

        Since Python 3.10 `ssl` tells of an RST as it tells of a FIN, and the error is gone from the socket then. So the
        bare socket is asked for the end. Where TLS meets it behind what it has just read, it may be either.
        """
        sock = self._sock
        if not isinstance(sock, ssl.SSLSocket) or self._tls_ended:
            return socket.socket.recv(sock, READ_BYTES)
        if not (sock.pending() or socket.socket.recv(sock, 1, socket.MSG_PEEK)):
            return b""
        data = sock.recv(READ_BYTES)
        if not data:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        return data

    def read(self) -> Optional[bytes]:
        """Read what is there: None when nothing is, b"" after the peer's close.

        Raises:
            OSError: the connection is broken.
        """
        try:
            return self._sock.recv(TLS_WRITE_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None

    def unacknowledged(self) -> int:
        """Bytes written that the peer's kernel has not acknowledged."""
        (count,) = struct.unpack("i", fcntl.ioctl(self._sock, termios.TIOCOUTQ, b"\0\0\0\0"))
        return int(count)

    def reset_by_peer(self) -> bool:
        """Whether an RST came behind the peer's FIN, where reading does not show it any more."""
        return self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0

    def mark(self) -> int:
        """Name the end of what was written so far, for `arrived`."""
        # In this order: an acknowledgement in between makes the mark too high, never too low.
        unacknowledged = self.unacknowledged()
        return self._acknowledged() + unacknowledged

    def arrived(self, mark: int) -> bool:
        """Whether the peer's kernel has everything up to the mark."""
        return self.unacknowledged() == 0 or 0 < mark <= self._acknowledged()

    def _acknowledged(self) -> int:
        """Bytes acknowledged since the connection began; 0 where the kernel does not tell."""
        try:
            info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        except OSError:
            return 0
        if len(info) < _BYTES_ACKED_AT + _BYTES_ACKED.size:
            return 0
        return int(_BYTES_ACKED.unpack_from(info, _BYTES_ACKED_AT)[0])

    def half_close(self) -> bool:
        """Say that nothing more comes; False when that does not fit into the kernel's buffer yet.

        Raises:
            OSError: the connection is broken.
        """
        if self.half_closed:
            return True
        if isinstance(self._sock, ssl.SSLSocket):
            try:
                self._sock.unwrap()
            except ssl.SSLWantWriteError:
                return False
            except ssl.SSLWantReadError:
                pass  # our close_notify is out, the peer's is not in yet
            except ssl.SSLEOFError:
                self._tls_ended = True  # it is out, and the peer has closed without one: `look` meets the FIN
            except ValueError:
                pass  # already unwrapped
        # Not SSLSocket.shutdown: it forgets TLS, and an alert that refuses what was sent would pass for data.
        socket.socket.shutdown(self._sock, socket.SHUT_WR)
        self.half_closed = True
        return True

    def close(self) -> None:
        """Close in good order, as far as that goes without waiting."""
        with contextlib.suppress(OSError, ValueError):
            self.look()
            self.half_close()
        self._sock.close()

    def abort(self) -> None:
        """Close with RST, so that the receiver does not take the beginning of a frame for a whole one."""
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()
