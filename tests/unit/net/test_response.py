"""Answers from a peer that frames them as it likes: what they may cost."""

from __future__ import annotations

import socket
import threading
import tracemalloc

from sls_siem.net.deadline import Deadline
from sls_siem.net.response import Head, read_body
from sls_siem.net.wire import Wire

CHUNKS = 20_000


def test_tiny_chunks_cost_no_more_memory_than_their_bytes():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=theirs.sendall, args=(b"2\r\nab\r\n" * CHUNKS + b"0\r\n\r\n",))
        sender.start()
        tracemalloc.start()
        try:
            head = Head(200, {"transfer-encoding": "chunked"}, keeps_alive=True)
            body, marked = read_body(Wire(ours), head, 2 * CHUNKS, Deadline(60))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            ours.close()
            sender.join(10)

    assert (body, marked) == (b"ab" * CHUNKS, True)
    assert peak < 10 * len(body)


def test_a_body_that_trickles_until_the_close_costs_no_more_memory_than_its_bytes():
    ours, theirs = socket.socketpair()

    def trickle():
        for _ in range(CHUNKS // 4):
            theirs.sendall(b"x")
        theirs.shutdown(socket.SHUT_WR)

    class OneAtATime(Wire):
        def read_some(self, deadline):
            return self._step(deadline, self.sock.recv, 1)

    with ours, theirs:
        sender = threading.Thread(target=trickle)
        sender.start()
        tracemalloc.start()
        try:
            body, marked = read_body(OneAtATime(ours), Head(200, {}, keeps_alive=True), 1 << 20, Deadline(60))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            ours.close()
            sender.join(10)

    assert (len(body), marked) == (CHUNKS // 4, False)
    assert peak < 10 * len(body)
