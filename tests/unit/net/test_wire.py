"""Bytes over one socket: what a peer can make us hold."""

from __future__ import annotations

import socket
import tracemalloc

from sls_siem.net.deadline import Deadline
from sls_siem.net.wire import Wire

SIZE = 100_000


class ByteByByte:
    """A socket that hands out one byte at a time, as it does when the peer trickles."""

    def __init__(self, sock):
        self._sock = sock
        self.fileno, self.settimeout = sock.fileno, sock.settimeout

    def recv(self, _size):
        return self._sock.recv(1)

    def recv_into(self, room):
        return self._sock.recv_into(room[:1])


def test_a_peer_that_trickles_gains_no_memory():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * SIZE)
        body = bytes(range(250)) * (SIZE // 250)
        theirs.sendall(body)
        wire = Wire(ByteByByte(ours))
        tracemalloc.start()
        try:
            read = wire.read_exactly(SIZE, Deadline(60))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert read == body
    assert peak < 3 * SIZE
