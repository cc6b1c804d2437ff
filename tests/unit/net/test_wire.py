"""Bytes over one socket: what a peer can make us hold."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from sls_siem.net.deadline import Deadline
from sls_siem.net.wire import READ_BYTES, SPARE_BYTES, TIMEOUT_STEP_S, ClosedError, Wire

SIZE = 100_000


class ByteByByte:
    """A socket that hands out one byte at a time, as it does when the peer trickles."""

    def __init__(self, sock):
        self._sock = sock
        self.fileno, self.settimeout, self.setsockopt = sock.fileno, sock.settimeout, sock.setsockopt

    def recv(self, _size, _flags=0):
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


@contextlib.contextmanager
def pair(*, buffer=0) -> Iterator[tuple[Wire, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        if buffer:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        yield Wire(ours), theirs


@contextlib.contextmanager
def sending(sock: socket.socket, *parts: bytes, pause_s: float = 0.0) -> Iterator[None]:
    """A peer that sends these parts meanwhile, each after a pause; all of them have left in the end."""

    def send() -> None:
        for part in parts:
            time.sleep(pause_s)
            sock.sendall(part)

    sender = threading.Thread(target=send)
    sender.start()
    yield
    sender.join(20)
    assert not sender.is_alive()


class Counting:
    """A socket that counts how often its limit for receiving is set."""

    def __init__(self, sock):
        self._sock, self.limits = sock, []
        self.fileno, self.recv, self.settimeout = sock.fileno, sock.recv, sock.settimeout

    def setsockopt(self, level, option, value):
        if option == socket.SO_RCVTIMEO:
            seconds, microseconds = struct.unpack("@ll", value)
            self.limits.append(seconds + microseconds / 1e6)
        self._sock.setsockopt(level, option, value)


@pytest.mark.parametrize("before", [b"", b"head", b"h" * 300_000])
@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_what_is_sent_before_other_bytes_arrives_before_them_and_all_of_both(before, size):
    data, got = bytes(range(250)) * (size // 250) + b"e" * (size % 250), bytearray()

    def read(theirs):
        while more := theirs.recv(70_000):
            got.extend(more)

    # A small buffer, so that both are cut at any place.
    with pair(buffer=5_000) as (wire, theirs):
        reader = threading.Thread(target=read, args=(theirs,))
        reader.start()
        wire.send(data, Deadline(20), before=before)
        wire.sock.shutdown(socket.SHUT_WR)
        reader.join(20)

    assert got == before + data


def test_a_head_leaves_in_one_packet_with_the_body():
    with pair() as (wire, theirs):
        wire.send(b"body", Deadline(5), before=b"head")

        assert theirs.recv(100, socket.MSG_DONTWAIT) == b"headbody"


def test_what_an_earlier_answer_left_in_a_buffer_is_in_no_later_one():
    sizes = [70_000, 30_000, 70_001, 5, 70_000, SPARE_BYTES + 1, 30_000]
    with pair() as (wire, theirs):
        for number, size in enumerate(sizes):
            body = bytes([number + 1]) * size
            with sending(theirs, body):
                read = wire.read_exactly(size, Deadline(10))

            assert read == body


def test_two_answers_at_once_have_a_buffer_each():
    with pair() as (one, to_one), pair() as (two, to_two):
        to_one.sendall(b"a" * 1000)
        found = []
        reader = threading.Thread(target=lambda: found.append(one.read_exactly(2000, Deadline(10))))
        reader.start()
        deadline = time.monotonic() + 10
        while one.received < 1000 and time.monotonic() < deadline:
            time.sleep(0.001)
        to_two.sendall(b"b" * 2000)
        assert two.read_exactly(2000, Deadline(10)) == b"b" * 2000
        to_one.sendall(b"c" * 1000)
        reader.join(10)

    assert found == [b"a" * 1000 + b"c" * 1000]


def test_a_limit_is_set_anew_only_when_it_is_another():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        counting = Counting(ours)
        wire = Wire(counting)
        for _ in range(100):
            theirs.sendall(b"12345")
            wire.read_exactly(5, Deadline(20))

    assert len(counting.limits) < 10  # the machine may stop between a deadline and its use
    assert all(19 < limit <= 20.05 for limit in counting.limits)


@pytest.mark.parametrize("seconds", [0.001, 0.07, 0.3])
def test_a_silent_peer_gains_no_more_than_a_step(seconds):
    with pair() as (wire, theirs):
        theirs.sendall(b"1")
        wire.read_some(Deadline(20))
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises((TimeoutError, socket.timeout)):
                wire.read_some(Deadline(seconds))

            # 0.3 s more for a busy machine.
            assert seconds <= time.monotonic() - began < seconds + TIMEOUT_STEP_S + 0.3


def test_a_silent_peer_in_the_middle_of_a_body_gains_no_more_than_a_step():
    with pair() as (wire, theirs):
        theirs.sendall(b"x" * 1000)
        began = time.monotonic()
        with pytest.raises((TimeoutError, socket.timeout)):
            wire.read_exactly(100_000, Deadline(0.3))

        assert 0.3 <= time.monotonic() - began < 0.3 + 2 * TIMEOUT_STEP_S + 0.3


def test_a_peer_that_takes_nothing_gains_no_more_than_a_step():
    with pair(buffer=5_000) as (wire, _theirs):
        for before in (b"", b"head"):
            began = time.monotonic()
            with pytest.raises((TimeoutError, socket.timeout)):
                wire.send(b"x" * 3_000_000, Deadline(0.3), before=before)

            assert 0.3 <= time.monotonic() - began < 0.3 + 2 * TIMEOUT_STEP_S + 0.3


def test_a_peer_that_closes_in_the_middle_of_a_body_is_told_from_one_that_is_slow():
    with pair() as (wire, theirs):
        theirs.sendall(b"x" * 1000)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(ClosedError):
            wire.read_exactly(100_000, Deadline(20))

    with pair() as (wire, theirs), sending(theirs, *[b"x" * 10_000] * 10, pause_s=0.02):
        assert wire.read_exactly(100_000, Deadline(20)) == b"x" * 100_000


@pytest.mark.parametrize("size", [10, READ_BYTES, READ_BYTES + 1, 300_000])
def test_answers_come_apart_whatever_their_size_and_that_of_the_one_before(size):
    head = b"head %d\r\n\r\n"
    with pair() as (wire, theirs):
        sizes = [5, 300_000, size, 7, size, 300_000, 0, size]
        answers = b"".join(head % number + bytes([number]) * length for number, length in enumerate(sizes))
        with sending(theirs, answers):
            for number, length in enumerate(sizes):
                assert wire.read_until(b"\r\n\r\n", 100, Deadline(10)) == head % number
                assert wire.read_exactly(length, Deadline(10)) == bytes([number]) * length

        assert wire.received == len(answers)
        assert wire.idle()


def test_a_head_in_pieces_behind_a_long_answer_is_read_whole():
    with pair() as (wire, theirs):
        with sending(theirs, b"x" * 100_000 + b"he"):
            wire.read_exactly(100_000, Deadline(10))
        with sending(theirs, b"ad\r", b"\nbo", pause_s=0.02):
            assert wire.read_until(b"\r\n", 100, Deadline(10)) == b"head\r\n"
            assert wire.read_exactly(2, Deadline(10)) == b"bo"
