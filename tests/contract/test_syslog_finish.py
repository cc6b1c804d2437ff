"""What the end of a lane over TCP and TLS makes of the ways in which receivers close: only reading it all counts."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from sls_siem.config import TlsConfig
from sls_siem.emulator.certificates import Certificates, server_context
from sls_siem.siem import Lane, Report, make_output, stream, stream_lane
from tests.unit.siem.support import TestGate, TestTime, framed, syslog_config, syslog_frames

Handler = Callable[[socket.socket], None]
LATENCY_S = 0.02


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def gate() -> TestGate:
    return TestGate(TestTime(1.0))


@pytest.fixture
def lane_to(gate: TestGate) -> Iterator[Callable[..., Lane]]:
    """Make a lane to a receiver that treats each connection as the handler does.

    Mostly there is one; on a machine that is busy, TLS may fail before the lane takes a connection for its own.
    """
    over = threading.Event()

    def serve(server: socket.socket, handler: Handler) -> None:
        server.settimeout(0.05)
        while not over.is_set():
            with contextlib.suppress(socket.timeout, ConnectionError, ssl.SSLError):
                handler(server.accept()[0])

    with contextlib.ExitStack() as stack:

        def make(handler: Handler, *, ca_file: object = None, settle_s: float = 60.0) -> Lane:
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            thread = threading.Thread(target=serve, args=(server, handler))
            thread.start()
            stack.callback(thread.join, 10)
            stack.callback(over.set)
            url = f"{'tls' if ca_file else 'tcp'}://127.0.0.1:{server.getsockname()[1]}"
            tls = TlsConfig(ca_file=str(ca_file)) if ca_file else None
            config = syslog_config(url, framing="lf", settle_s=settle_s, tls=tls)
            lane = make_output(config, clock=gate.clock, random=lambda: 0.1).lane(0, gate)
            stack.callback(lane.close)
            return lane

        yield make


class Handshake:
    """A server's side of TLS over a connection that only carries bytes, so that a test may delay and drop them."""

    def __init__(self, peer: socket.socket, context: ssl.SSLContext) -> None:
        self._peer = peer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def refuse(self, *, alert: bool) -> None:
        with self._peer:
            while True:
                try:
                    self._tls.do_handshake()
                except ssl.SSLWantReadError:
                    self._peer.sendall(self._outgoing.read())
                    time.sleep(LATENCY_S)
                    self._incoming.write(self._peer.recv(65536))
                except ssl.SSLError:
                    if alert:
                        self._peer.sendall(self._outgoing.read())
                    return


@pytest.mark.parametrize("frames", [1, 50, 300])
@pytest.mark.parametrize("old_enough", [True, False])
def test_a_connection_that_an_alert_refuses_settles_nothing(
    lane_to: Callable[..., Lane],
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    frames: int,
    old_enough: bool,
) -> None:
    """With TLS 1.3 the client's handshake is over before the receiver has looked at the client's certificate."""
    monkeypatch.setattr(stream_lane, "GOOD_AFTER_S", 0.0 if old_enough else 2.0)
    context = server_context(certificates.server, client_ca=certificates.ca_file, client="required")
    lane = lane_to(lambda peer: Handshake(peer, context).refuse(alert=True), ca_file=certificates.ca_file)
    reports = [lane.send(framed(syslog_frames(0, frames, size=100)), 0), lane.finish(5.0)]

    assert [report.settled for report in reports] == [(), ()]
    assert [*reports[0].lost, *reports[1].lost] == [0]


def read_to_the_end(context: ssl.SSLContext, *, close_notify: bool) -> Handler:
    def handle(peer: socket.socket) -> None:
        with context.wrap_socket(peer, server_side=True) as tls:
            while tls.recv(65536):
                pass
            if close_notify:
                with contextlib.suppress(OSError):
                    tls.unwrap()

    return handle


@pytest.mark.parametrize("close_notify", [True, False])
def test_a_receiver_that_read_everything_settles_it_with_and_without_close_notify(
    lane_to: Callable[..., Lane], certificates: Certificates, monkeypatch: pytest.MonkeyPatch, close_notify: bool
) -> None:
    monkeypatch.setattr(stream_lane, "GOOD_AFTER_S", 0.0)
    context = server_context(certificates.server)
    if not close_notify:
        # Behind session tickets that are read together with it, the end may be an RST: then all is sent again.
        context.num_tickets = 0
    handler = read_to_the_end(context, close_notify=close_notify)
    for _ in range(8):
        lane = lane_to(handler, ca_file=certificates.ca_file)
        lane.send(framed(syslog_frames(0, 300, size=100)), 0)

        assert lane.finish(5.0) == Report(settled=(0,))


@pytest.mark.parametrize("delay_s", [0.0, 0.1])
def test_a_close_notify_before_a_reset_settles_nothing(
    lane_to: Callable[..., Lane], certificates: Certificates, monkeypatch: pytest.MonkeyPatch, delay_s: float
) -> None:
    monkeypatch.setattr(stream_lane, "GOOD_AFTER_S", 0.0)
    context = server_context(certificates.server)
    finishing = threading.Event()

    def handle(peer: socket.socket) -> None:
        with context.wrap_socket(peer, server_side=True) as tls:
            assert finishing.wait(10)
            time.sleep(0.1)
            tls.setblocking(False)
            with contextlib.suppress(OSError):
                tls.unwrap()
            time.sleep(delay_s)  # what is unread makes a reset of the close

    lane = lane_to(handle, ca_file=certificates.ca_file)
    lane.send(framed(syslog_frames(0, 300, size=100)), 0)
    finishing.set()

    assert lane.finish(5.0) == Report(lost=(0,), in_order=True)


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("delay_s", [0.0, 0.01, 0.2])
def test_a_reset_that_follows_our_half_close_settles_nothing(
    lane_to: Callable[..., Lane], certificates: Certificates, monkeypatch: pytest.MonkeyPatch, delay_s: float, tls: bool
) -> None:
    """Every byte is in the receiver's kernel, and its process dies before it has read them."""
    monkeypatch.setattr(stream_lane, "GOOD_AFTER_S", 0.0)
    context = server_context(certificates.server)
    finishing = threading.Event()

    def handle(peer: socket.socket) -> None:
        with context.wrap_socket(peer, server_side=True) if tls else peer as connection:
            connection.recv(10)
            assert finishing.wait(10)
            time.sleep(delay_s)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    lane = lane_to(handle, ca_file=certificates.ca_file if tls else None)
    lane.send(framed(syslog_frames(0, 300, size=100)), 0)
    finishing.set()

    assert lane.finish(5.0) == Report(lost=(0,), in_order=True)


def test_what_settled_meanwhile_stays_settled_when_the_connection_then_breaks(
    lane_to: Callable[..., Lane], gate: TestGate
) -> None:
    def read_and_reset(peer: socket.socket) -> None:
        with peer:
            while peer.recv(65536):
                pass
            time.sleep(1.5)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    lane = lane_to(read_and_reset, settle_s=60.0)
    lane.send(framed(syslog_frames(0, 10)), "first")
    gate.wait(0.1, "test")
    assert lane.poll() == Report()
    gate.clock.skipped += 59.5
    lane.send(framed(syslog_frames(10, 10)), "second")

    assert lane.finish(5.0) == Report(settled=("first",), lost=("second",), in_order=True)


def read_all(peer: socket.socket) -> None:
    with peer:
        while peer.recv(65536):
            pass


def read_once(peer: socket.socket) -> None:
    with peer:
        peer.recv(65536)
        time.sleep(LATENCY_S)


def test_a_receiver_that_closes_every_connection_soon_settles_nothing(lane_to: Callable[..., Lane]) -> None:
    lane = lane_to(read_once)
    lane.send(framed(syslog_frames(0, 10)), 0)

    assert lane.finish(5.0) == Report(lost=(0,), in_order=True)


def test_a_receiver_that_refuses_a_handshake_without_an_alert_settles_nothing(
    lane_to: Callable[..., Lane], certificates: Certificates
) -> None:
    context = server_context(certificates.server, client_ca=certificates.ca_file, client="required")
    lane = lane_to(lambda peer: Handshake(peer, context).refuse(alert=False), ca_file=certificates.ca_file)
    reports = [lane.send(framed(syslog_frames(0, 10)), 0), lane.finish(5.0)]

    assert [report.settled for report in reports] == [(), ()]


def test_a_young_connection_is_half_closed_only_when_it_has_proved_good(
    lane_to: Callable[..., Lane], gate: TestGate
) -> None:
    half_closed: list[float] = []

    def note_the_end(peer: socket.socket) -> None:
        with peer:
            while peer.recv(65536):
                pass
            half_closed.append(gate.clock())

    lane = lane_to(note_the_end)
    began = gate.clock()
    lane.send(framed(syslog_frames(0, 10)), 0)

    assert lane.finish(0.5) == Report()
    assert half_closed == []
    assert lane.finish(5.0) == Report(settled=(0,))
    assert stream_lane.GOOD_AFTER_S <= half_closed[0] - began < stream_lane.GOOD_AFTER_S + 1.0


def test_an_older_connection_is_half_closed_at_once(lane_to: Callable[..., Lane], gate: TestGate) -> None:
    lane = lane_to(read_all)
    lane.send(framed(syslog_frames(0, 10)), 0)
    gate.clock.skipped += stream_lane.GOOD_AFTER_S
    began = gate.clock()

    assert lane.finish(5.0) == Report(settled=(0,))
    assert gate.clock() - began < 1.0


def test_the_last_acknowledgement_is_waited_for_without_haste(
    lane_to: Callable[..., Lane], gate: TestGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    lane = lane_to(read_all)
    lane.send(framed(syslog_frames(0, 10)), 0)
    gate.clock.skipped += stream_lane.GOOD_AFTER_S
    monkeypatch.setattr(stream.Stream, "unacknowledged", lambda _self: looks.append(1) or 1)

    assert lane.finish(5.0) == Report(lost=(0,), in_order=True)
    assert len(looks) < 200
