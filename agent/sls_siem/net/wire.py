"""Bytes over one socket, each step bounded by what remains of one deadline: a peer that trickles gains no time.

(But for `TIMEOUT_STEP_S` at most, once.)
"""

from __future__ import annotations

import math
import select
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable
from typing import TypeVar, Union

from sls_siem.net.deadline import Deadline

SEND_BYTES = 1 << 20
TLS_SEND_BYTES = 65536
READ_BYTES = 16384  # a greater buffer costs the allocator more than the whole receive of a small answer
TIMEOUT_STEP_S = 0.05
"""A step's limit is rounded up to this, so that it seldom has to be set anew: a call of the kernel each time."""
LOOK_S = 1.0
"""A write that waits for so long looks whether the peer has spoken: it may say why it reads no more."""
SPARE_ROOMS, SPARE_BYTES = 2, 2 << 20
"""Buffers that are kept for the next answers, and the greatest of them."""

_TIMEVAL = struct.Struct("@ll")
Bytes = Union[bytes, memoryview]
_Result = TypeVar("_Result")

_spare_rooms: deque[bytearray] = deque(maxlen=SPARE_ROOMS)


class ClosedError(ConnectionError):
    """The peer closed the connection where more was to come."""


class Wire:
    """A connected socket (plain or TLS) with a receive buffer; used by one thread.

    `received` counts the bytes that came, so that the owner can tell silence from half an answer. Every method that
    takes a deadline raises `TimeoutError` (`socket.timeout` on Python 3.9) when it is over and `OSError` when the
    connection breaks.

    Without TLS the kernel keeps the limit of each step (`SO_RCVTIMEO` and `SO_SNDTIMEO`, socket(7)) and waits for whole
    bodies: Python, with a limit of its own, asks the kernel before each step whether there is something to do. With TLS
    the socket does not block, since only TLS can tell what has come for us from what has come for TLS itself.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = 0
        self._held = b""
        self._timeout_s = -1.0
        self._plain = not isinstance(sock, ssl.SSLSocket)
        self._long_answers = False
        sock.settimeout(None if self._plain else 0)
        self._unasked = select.poll()
        self._unasked.register(sock, select.POLLIN)

    def idle(self) -> bool:
        """Tell whether nothing has arrived unasked, such as the peer's close of a connection that was kept."""
        return not (self._held or (self._unasked.poll(0) and self._something_came()))

    def _something_came(self) -> bool:
        """Tell what has come for us, or the peer's close, from what TLS keeps to itself, such as session tickets."""
        if self._plain:
            return True
        try:
            self._held = self.sock.recv(READ_BYTES)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            return True
        self.received += len(self._held)
        return True

    def send(self, data: Bytes, deadline: Deadline, *, before: bytes = b"") -> memoryview:
        """Send bytes, and others before them, which leave together with the first of them where no TLS forbids it.

        Returns:
            What was left unsent because the peer spoke, or closed, meanwhile; mostly nothing.
        """
        view = memoryview(data)
        if before and self._plain:
            sent = self._write(deadline, self.sock.sendmsg, (before, view[:SEND_BYTES]))
            before, view = before[sent:], view[max(0, sent - len(before)) :]
        unsent = self._send(memoryview(before), deadline)
        return memoryview(b"".join((unsent, view))) if unsent else self._send(view, deadline)

    def _send(self, view: memoryview, deadline: Deadline) -> memoryview:
        most = SEND_BYTES if self._plain else TLS_SEND_BYTES
        while view:
            view = view[self._write(deadline, self.sock.send, view[:most]) :]
            if view and not self.idle():
                break
        return view

    def _write(self, deadline: Deadline, call: Callable[..., int], *arguments: object) -> int:
        """Write once; 0 when nothing was taken for a while, or something may have come."""
        left_s = self._prepare(deadline)
        try:
            return call(*arguments)
        except BlockingIOError:
            return 0
        except ssl.SSLWantReadError:
            self._wait(select.POLLIN, left_s)
        except ssl.SSLWantWriteError:
            self._wait(select.POLLOUT | select.POLLIN, left_s)
        return 0

    def read_some(self, deadline: Deadline) -> bytes:
        """Read what is there, at least one byte; b"" at the peer's close."""
        if self._held:
            data, self._held = self._held, b""
            return data
        data = self._step(deadline, self.sock.recv, READ_BYTES)
        self.received += len(data)
        return data

    def read_until(self, mark: bytes, limit: int, deadline: Deadline) -> bytes:
        """Read up to and including `mark`.

        Raises:
            ClosedError: the peer closed before it.
            OverflowError: it is not within `limit` bytes.
        """
        if self._long_answers and not self._held:
            self._look_ahead(mark, deadline)
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
        if self._plain:
            self._long_answers = size > READ_BYTES
            piece = self._step(deadline, self.sock.recv, size - len(held), socket.MSG_WAITALL)
            self.received += len(piece)
            held += piece
            if len(held) == size:
                return held
        # One buffer, so that a peer that trickles gains no memory either: a piece of one byte would take forty.
        room = _take_room(size)
        with memoryview(room) as view:
            view[: len(held)] = held
            self._fill(view[len(held) : size], deadline)
            data = bytes(view[:size])
        if len(room) <= SPARE_BYTES:
            _spare_rooms.append(room)
        return data

    def _look_ahead(self, mark: bytes, deadline: Deadline) -> None:
        """Take up to the mark and nothing behind it, so that a long body can be read in one piece."""
        data = self._step(deadline, self.sock.recv, READ_BYTES, socket.MSG_PEEK)
        end = data.find(mark) + len(mark)
        if end >= len(mark):
            self._held = self._step(deadline, self.sock.recv, end)
            self.received += len(self._held)

    def _fill(self, room: memoryview, deadline: Deadline) -> None:
        while room:
            got = self._step(deadline, self.sock.recv_into, room)
            if not got:
                raise ClosedError("the peer closed the connection")
            self.received += got
            room = room[got:]

    def _step(self, deadline: Deadline, call: Callable[..., _Result], *arguments: object) -> _Result:
        """Receive once, with what remains of the deadline as its limit."""
        while True:
            left_s = self._prepare(deadline)
            try:
                return call(*arguments)
            except BlockingIOError:
                raise TimeoutError("timed out") from None
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN, left_s)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT, left_s)

    def _prepare(self, deadline: Deadline) -> float:
        """Tell what remains of the deadline, and tell the kernel where it keeps the limit."""
        left_s = deadline.remaining()
        limit_s = math.ceil(left_s / TIMEOUT_STEP_S) * TIMEOUT_STEP_S
        if self._plain and limit_s != self._timeout_s:
            self._limit(limit_s)
        return left_s

    def _wait(self, events: int, seconds: float) -> None:
        poller = self._unasked
        if events != select.POLLIN:
            poller = select.poll()
            poller.register(self.sock, events)
        poller.poll(math.ceil(seconds * 1000))

    def _limit(self, limit_s: float) -> None:
        self._timeout_s = limit_s
        for option, seconds in ((socket.SO_RCVTIMEO, limit_s), (socket.SO_SNDTIMEO, min(limit_s, LOOK_S))):
            limit = _TIMEVAL.pack(int(seconds), int(seconds % 1 * 1_000_000))
            self.sock.setsockopt(socket.SOL_SOCKET, option, limit)

    def close(self) -> None:
        self.sock.close()


def _take_room(size: int) -> bytearray:
    """Take a buffer of that size or more, one that was another answer's where there is one: a new one is cleared."""
    try:
        room = _spare_rooms.pop()
    except IndexError:
        return bytearray(size)
    return room if len(room) >= size else bytearray(size)
