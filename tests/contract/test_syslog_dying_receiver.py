"""Receivers that die at any moment, with bytes unread: whatever a lane settles, the receiver's process had taken.

Each seed is a lane that sends, looks and stops, and a receiver that reads some bytes of each connection and then ends
it in one of the ways in which real ones do. The receiver lags by less than `settle_s`, so that nothing may be lost.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import Random

import pytest

from sls_siem.config import TlsConfig
from sls_siem.emulator.certificates import Certificates, server_context
from sls_siem.emulator.relp_frames import RelpFrame, RelpStream
from sls_siem.siem import Lane, Report, Token, make_output, stream_lane
from tests.unit.siem.support import TestGate, TestTime, framed, syslog_config, syslog_frames

pytestmark = pytest.mark.contract

SETTLE_S = 2.0
SEEDS, SIDE_BY_SIDE = 80, 8
_OPENED = b"200 OK\nrelp_version=0\ncommands=syslog"
_RESET = struct.pack("ii", 1, 0)


class DyingReceiver:
    """Reads lines from every connection until that connection's time has come.

    Args:
        random: decides when and how each connection ends.
        tls: None for plain TCP.
    """

    def __init__(self, random: Random, tls: ssl.SSLContext | None) -> None:
        self._random = random
        self._tls = tls
        self._over = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.05)
        self._threads = [threading.Thread(target=self._accept)]
        self.read: set[bytes] = set()
        self.port: int = self._server.getsockname()[1]

    def __enter__(self) -> DyingReceiver:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._server.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(socket.timeout):
                peer, _ = self._server.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(peer, Random(self._random.random()))))
                self._threads[-1].start()

    def _serve(self, peer: socket.socket, random: Random) -> None:
        with peer, contextlib.suppress(OSError):
            peer.settimeout(5)
            connection = self._tls.wrap_socket(peer, server_side=True) if self._tls else peer
            with connection:
                if self._read(connection, random):
                    self._end_well(connection, random)
                else:
                    self._die(connection, random)

    def _read(self, connection: socket.socket, random: Random) -> bool:
        """Read as much as this connection is meant to; True when the peer's end came first."""
        most = random.choice((0, 500, 5_000, 20_000, 60_000, 1 << 30))
        connection.settimeout(random.choice((0.05, 0.3)))
        take, size = self._taker(connection), 0
        while size < most and not self._over.is_set():
            try:
                data = connection.recv(random.choice((100, 1_000, 16_384)))
            except (socket.timeout, ssl.SSLWantReadError):
                if random.random() < 0.1:
                    return False
                continue
            if not data:
                return True
            size += len(data)
            take(data)
        return False

    def _taker(self, connection: socket.socket) -> Callable[[bytes], None]:
        """Make what takes the bytes of one connection."""
        rest = b""

        def take(data: bytes) -> None:
            nonlocal rest
            *lines, rest = (rest + data).split(b"\n")
            self.read.update(lines)

        return take

    @staticmethod
    def _end_well(connection: socket.socket, random: Random) -> None:
        if isinstance(connection, ssl.SSLSocket) and random.random() < 0.7:
            connection.settimeout(1)
            connection.unwrap()

    @staticmethod
    def _die(connection: socket.socket, random: Random) -> None:
        """A process that ends: RST, by itself or because bytes were unread."""
        time.sleep(random.choice((0, 0, 0.01, random.uniform(0, 0.5))))
        if random.random() < 0.8:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


class DyingRelpReceiver(DyingReceiver):
    """Answers what it has taken; an answer may be lost with its connection."""

    def _taker(self, connection: socket.socket) -> Callable[[bytes], None]:
        stream = RelpStream()

        def take(data: bytes) -> None:
            for frame in stream.feed(data):
                if frame.command == "syslog":
                    self.read.add(frame.data)
                answer = _OPENED if frame.command == "open" else b"200 OK"
                connection.sendall(RelpFrame(frame.txnr, "rsp", answer).encode())

        return take


class Sender:
    """A lane's owner, who sends some payloads and stops; notes what the lane settles."""

    def __init__(self, lane: Lane, framing: str) -> None:
        self._lane = lane
        self._framing = framing
        self.frames: dict[int, list[bytes]] = {}
        self.settled: set[Token] = set()

    def run(self, random: Random) -> None:
        for token in range(random.randint(1, 12)):
            self.frames[token] = syslog_frames(token * 50, random.choice((1, 10, 50)), size=100)
            self._take(self._lane.send(framed(self.frames[token], self._framing), token))
            if random.random() < 0.5:
                time.sleep(random.uniform(0, 0.15))
            if random.random() < 0.3:
                self._take(self._lane.poll())
        if random.random() < 0.2:
            time.sleep(SETTLE_S + 0.1)
            self._take(self._lane.poll())
        self._take(self._lane.finish(random.choice((0.3, 1.5))))
        self._lane.close()

    def _take(self, report: Report) -> None:
        self.settled.update(report.settled)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certificates]:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def run_seed(seed: int, certificates: Certificates | None, *, relp: bool) -> tuple[int, list[int]]:
    """Run a seed; returns how many payloads were settled, and which of them were not taken."""
    random = Random(seed)
    gate = TestGate(TestTime(1.0))
    context = None if certificates is None else server_context(certificates.server)
    with (DyingRelpReceiver if relp else DyingReceiver)(Random(random.random()), context) as receiver:
        scheme = ("relp", "relp+tls") if relp else ("tcp", "tls")
        url = f"{scheme[context is not None]}://127.0.0.1:{receiver.port}"
        tls = TlsConfig(ca_file=str(certificates.ca_file)) if certificates else None
        config = syslog_config(url, framing="none" if relp else "lf", settle_s=SETTLE_S, tls=tls)
        lane = make_output(config, clock=gate.clock, random=lambda: 0.01).lane(0, gate)
        sender = Sender(lane, "octet-counting" if relp else "lf")
        sender.run(random)
    whole = {token for token, frames in sender.frames.items() if receiver.read.issuperset(frames)}
    return len(sender.settled), sorted(set(sender.frames) & sender.settled - whole)


@pytest.mark.parametrize("relp", [False, True])
@pytest.mark.parametrize("tls", [False, True])
def test_what_is_settled_was_taken(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tls: bool, relp: bool
) -> None:
    """Fails for one seed in ten over TLS where an RST is taken for a FIN (`Stream._receive` without its own look)."""
    monkeypatch.setattr(stream_lane, "GOOD_AFTER_S", 0.05)
    run = partial(run_seed, certificates=certificates if tls else None, relp=relp)
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        found = list(pool.map(run, range(SEEDS)))

    assert {seed: wrong for seed, (_, wrong) in enumerate(found) if wrong} == {}
    assert sum(settled for settled, _ in found) > SEEDS
