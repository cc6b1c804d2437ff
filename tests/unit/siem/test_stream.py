from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sls_siem.siem.stream import Stream


class Renegotiating(socket.socket):
    """Cannot write before it has read, as TLS 1.2 while the peer negotiates anew."""

    wants_to_read = True

    def send(self, data: Any, flags: int = 0) -> int:
        if self.wants_to_read:
            raise ssl.SSLWantReadError
        return super().send(data, flags)


@pytest.fixture
def pair() -> Iterator[tuple[Renegotiating, socket.socket]]:
    plain, theirs = socket.socketpair()
    with Renegotiating(fileno=plain.detach()) as ours, theirs:
        yield ours, theirs


def seconds_of_a_wait(stream: Stream, *, any_news: bool) -> float:
    began = time.monotonic()
    if any_news:
        stream.wait_any(0.2, writing=True)
    else:
        assert stream.wait_writable(0.2)
    return time.monotonic() - began


@pytest.mark.parametrize("any_news", [True, False])
def test_a_write_that_must_read_first_waits_for_the_peer_not_for_room(
    pair: tuple[Renegotiating, socket.socket], any_news: bool
) -> None:
    ours, theirs = pair
    stream = Stream(ours)

    assert stream.write(memoryview(b"event\n")) == 0
    assert seconds_of_a_wait(stream, any_news=any_news) >= 0.19
    theirs.send(b"handshake")
    assert seconds_of_a_wait(stream, any_news=any_news) < 0.15
    ours.recv(100)
    ours.wants_to_read = False
    assert stream.write(memoryview(b"event\n")) == 6
    assert seconds_of_a_wait(stream, any_news=any_news) < 0.15
