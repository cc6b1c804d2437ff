"""Bytes over one socket, each step bounded by what remains of one deadline: a peer that trickles gains no time.

(But for `TIMEOUT_STEP_S` at most, once.)
"""

from __future__ import annotations

import math
import select
import socket
import ssl
from collections import deque

from sls_siem.net.deadline import Deadline

SEND_BYTES = 1 << 20
READ_BYTES = 16384  # a greater buffer costs the allocator more than the whole receive of a small answer
TIMEOUT_STEP_S = 0.05
"""A step's limit is rounded up to this, so that it seldom has to be set anew: a call of the kernel each time."""
SPARE_ROOMS, SPARE_BYTES = 2, 2 << 20
"""Buffers that are kept for the next answers, and the greatest of them."""

_spare_rooms: deque[bytearray] = deque(maxlen=SPARE_ROOMS)


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
        self._timeout_s = -1.0
        self._unasked = select.poll()
        self._unasked.register(sock, select.POLLIN)

    def idle(self) -> bool:
        """Tell whether nothing has arrived unasked, such as the peer's close of a connection that was kept."""
        return not (self._held or self._unasked.poll(0))

    def send(self, data: bytes, deadline: Deadline, *, before: bytes = b"") -> None:
        """Send bytes, and others before them, which leave together with the first of them where no TLS forbids it."""
        view = memoryview(data)
        if before and not isinstance(self.sock, ssl.SSLSocket):
            self._limit(deadline)
            sent = self.sock.sendmsg((before, view[:SEND_BYTES]))
            before, view = before[sent:], view[max(0, sent - len(before)) :]
        for rest in (memoryview(before), view):
            self._send(rest, deadline)

    def _send(self, view: memoryview, deadline: Deadline) -> None:
        while view:
            self._limit(deadline)
            view = view[self.sock.send(view[:SEND_BYTES]) :]

    def read_some(self, deadline: Deadline) -> bytes:
        """Read what is there, at least one byte; b"" at the peer's close."""
        if self._held:
            data, self._held = self._held, b""
            return data
        self._limit(deadline)
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
        room = _take_room(size)
        with memoryview(room) as view:
            view[: len(held)] = held
            self._fill(view[len(held) : size], deadline)
            data = bytes(view[:size])
        if len(room) <= SPARE_BYTES:
            _spare_rooms.append(room)
        return data

    def _fill(self, room: memoryview, deadline: Deadline) -> None:
        while room:
            self._limit(deadline)
            got = self.sock.recv_into(room)
            if not got:
                raise ClosedError("the peer closed the connection")
            self.received += got
            room = room[got:]

    def _limit(self, deadline: Deadline) -> None:
        limit_s = math.ceil(deadline.remaining() / TIMEOUT_STEP_S) * TIMEOUT_STEP_S
        if limit_s != self._timeout_s:
            self.sock.settimeout(limit_s)
            self._timeout_s = limit_s

    def close(self) -> None:
        self.sock.close()


def _take_room(size: int) -> bytearray:
    """Take a buffer of that size or more, one that was another answer's where there is one: a new one is cleared."""
    try:
        room = _spare_rooms.pop()
    except IndexError:
        return bytearray(size)
    return room if len(room) >= size else bytearray(size)
