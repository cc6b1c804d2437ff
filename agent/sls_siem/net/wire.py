"""Bytes over one socket, each step bounded by what remains of one deadline: a peer that trickles gains no time."""

from __future__ import annotations

import select
import socket

from sls_siem.net.deadline import Deadline

SEND_BYTES = 1 << 20
READ_BYTES = 16384  # a greater buffer costs the allocator more than the whole receive of a small answer


class ClosedError(ConnectionError):
    """The peer closed the connection where more was to come."""


class Wire:
    """A connected socket (plain or TLS) with a receive buffer; used by one thread.

    `received` counts the bytes that came, so that the owner can tell silence from half an answer. Every method that
    takes a deadline raises `TimeoutError` (`socket.timeout` on Python 3.9) when it is over and `OSError` when the
    connection breaks.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = 0
        self._held = b""
        self._unasked = select.poll()
        self._unasked.register(sock, select.POLLIN)

    def idle(self) -> bool:
        """Tell whether nothing has arrived unasked, such as the peer's close of a connection that was kept."""
        return not (self._held or self._unasked.poll(0))

    def send(self, data: bytes, deadline: Deadline) -> None:
        view = memoryview(data)
        while view:
            self.sock.settimeout(deadline.remaining())
            view = view[self.sock.send(view[:SEND_BYTES]) :]

    def read_some(self, deadline: Deadline) -> bytes:
        """Read what is there, at least one byte; b"" at the peer's close."""
        if self._held:
            data, self._held = self._held, b""
            return data
        self.sock.settimeout(deadline.remaining())
        data = self.sock.recv(READ_BYTES)
        self.received += len(data)
        return data

    def read_until(self, mark: bytes, limit: int, deadline: Deadline) -> bytes:
        """Read up to and including `mark`.

        Raises:
            ClosedError: the peer closed before it.
            OverflowError: it is not within `limit` bytes.
        """
        data = self.read_some(deadline)
        while True:
            found = data.find(mark)
            if found >= 0 and found + len(mark) <= limit:
                end = found + len(mark)
                self._held = data[end:]
                return data[:end]
            if len(data) >= limit:
                raise OverflowError(limit)
            more = self.read_some(deadline) if data else b""
            if not more:
                raise ClosedError("the peer closed the connection")
            data += more

    def read_exactly(self, size: int, deadline: Deadline) -> bytes:
        """Read so many bytes.

        Raises:
            ClosedError: the peer closed before that many.
        """
        held = self._held
        if len(held) >= size:
            self._held = held[size:]
            return held[:size]
        self._held = b""
        # One buffer, so that a peer that trickles gains no memory either: a piece of one byte would take forty.
        data = bytearray(size)
        data[: len(held)] = held
        self._fill(memoryview(data)[len(held) :], deadline)
        return bytes(data)

    def _fill(self, room: memoryview, deadline: Deadline) -> None:
        while room:
            self.sock.settimeout(deadline.remaining())
            got = self.sock.recv_into(room)
            if not got:
                raise ClosedError("the peer closed the connection")
            self.received += got
            room = room[got:]

    def close(self) -> None:
        self.sock.close()
