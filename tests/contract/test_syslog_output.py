"""The syslog output over TCP, TLS and UDP: what is settled is there, whatever breaks."""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from sls_siem.config import TlsConfig
from sls_siem.emulator.certificates import Certificates, server_context
from sls_siem.emulator.store import Comparison, event_digest
from sls_siem.emulator.syslog import SyslogEmulator
from sls_siem.errors import Stopped
from sls_siem.siem import Lane, Report, make_output, stream, stream_lane
from tests.unit.siem.support import TestGate, TestTime, deliver, framed, payload_of, syslog_config, syslog_frames


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def gate() -> TestGate:
    return TestGate(TestTime(1.0))


@pytest.fixture
def lane_to(gate: TestGate) -> Iterator[Callable[..., Lane]]:
    lanes: list[Lane] = []

    def make(*urls: str, **changes: object) -> Lane:
        config = syslog_config(*urls, **{"framing": "lf", "settle_s": 0.3, **changes})  # type: ignore[arg-type]
        lanes.append(make_output(config, clock=gate.clock, random=lambda: 0.1).lane(0, gate))
        return lanes[-1]

    yield make
    for lane in lanes:
        lane.close()


def batches(count: int, size: int = 10, *, framing: str = "lf", pad: int = 20) -> dict[object, object]:
    return {n: framed(syslog_frames(n * size, size, size=pad), framing) for n in range(count)}


def expected(count: int, pad: int = 20) -> dict[str, bytes]:
    return {f"0-{n}-0": event_digest(frame) for n, frame in enumerate(syslog_frames(0, count, size=pad))}


@pytest.mark.parametrize("framing", ["lf", "octet-counting"])
def test_frames_arrive_and_settle_after_settle_s(lane_to: Callable[..., Lane], gate: TestGate, framing: str) -> None:
    with SyslogEmulator(framing=framing, rfc="5424") as siem:
        lane = lane_to(siem.url, framing=framing)
        began = gate.clock()
        ledger = deliver(lane, gate, batches(20, framing=framing))

        assert siem.store.compare(expected(200)) == Comparison()
        assert siem.malformed() == []
        assert (ledger.lost, gate.retries) == ([], [])
        assert gate.clock() - began >= 0.3
        assert lane.next_poll_s() is None


def test_tls_with_a_client_certificate(
    lane_to: Callable[..., Lane], gate: TestGate, certificates: Certificates
) -> None:
    context = server_context(certificates.server, client_ca=certificates.ca_file, client="required")
    tls = TlsConfig(
        ca_file=str(certificates.ca_file),
        cert_file=str(certificates.client.cert_file),
        key_file=str(certificates.client.key_file),
    )
    with SyslogEmulator(tls=context, framing="octet-counting") as siem:
        lane = lane_to(siem.url, framing="octet-counting", tls=tls)
        ledger = deliver(lane, gate, batches(50, 100, framing="octet-counting", pad=500))

        assert siem.store.compare(expected(5000, 500)) == Comparison()
        assert ledger.lost == []


@pytest.mark.parametrize("kind", ["fin", "close", "rst", "kill_unread"])
@pytest.mark.parametrize("secure", [False, True])
def test_whatever_a_receiver_loses_is_sent_again(
    lane_to: Callable[..., Lane], gate: TestGate, certificates: Certificates, kind: str, secure: bool
) -> None:
    context = server_context(certificates.server) if secure else None
    tls = TlsConfig(ca_file=str(certificates.ca_file))
    with SyslogEmulator(tls=context, framing="octet-counting") as siem:
        siem.inject(kind, after_frames=125, count=1)
        lane = lane_to(siem.url, framing="octet-counting", settle_s=1.0, tls=tls)
        ledger = deliver(lane, gate, batches(30, framing="octet-counting"))
        found = siem.store.compare(expected(300))

        assert len(siem.strikes()) == 1
        assert (found.missing, found.unknown, found.altered) == ((), (), ())
        assert ledger.in_order
        assert "connection-lost" in gate.retries


def test_lost_payloads_come_again_in_order_first_in_a_fresh_connection(
    lane_to: Callable[..., Lane], gate: TestGate
) -> None:
    with SyslogEmulator(keep_bytes=True) as siem:
        siem.inject("rst", after_frames=35, count=1)
        lane = lane_to(siem.url, settle_s=5.0)
        payloads = batches(10)
        report, sent = Report(), -1
        while not report.lost:
            sent += 1
            report = lane.send(payloads[sent % 10], sent)  # type: ignore[arg-type]
        assert report == Report(lost=tuple(range(sent + 1)), in_order=True)
        for token in range(5):
            lane.send(payloads[token], token)  # type: ignore[arg-type]
        assert siem.store.wait_for_ids([f"0-{n}-0" for n in range(50)], timeout_s=10)
        second = [arrival.event_id for arrival in siem.store.all_arrivals() if arrival.request == 2]

        assert second == [f"0-{n}-0" for n in range(50)]


def test_the_receivers_close_between_two_payloads_is_seen_before_the_next(
    lane_to: Callable[..., Lane], gate: TestGate
) -> None:
    with SyslogEmulator() as siem:
        lane = lane_to(siem.url, settle_s=0.0)
        deliver(lane, gate, {0: framed(syslog_frames(0, 10))})
        assert siem.store.wait_for(10, timeout_s=5)
        siem.drop_connections(reset=False)
        ledger = deliver(lane, gate, {1: framed(syslog_frames(10, 10))})
        assert siem.store.wait_for(20, timeout_s=5)

        assert ledger.lost == []
        assert siem.store.compare(expected(20)) == Comparison()


def test_a_receiver_restart_with_unread_bytes_loses_nothing(lane_to: Callable[..., Lane], gate: TestGate) -> None:
    with SyslogEmulator(receive_buffer=8192) as siem:
        siem.inject("slow", bytes_per_s=20_000, delay_s=1)
        lane = lane_to(siem.url, settle_s=1.0)
        timer = threading.Timer(0.5, siem.restart)
        timer.start()
        deliver(lane, gate, batches(50, 20, pad=100))
        timer.join()
        found = siem.store.compare(expected(1000, 100))

        assert (found.missing, found.unknown, found.altered) == ((), (), ())


def test_an_outage_is_waited_for(
    lane_to: Callable[..., Lane], gate: TestGate, caplog: pytest.LogCaptureFixture
) -> None:
    with SyslogEmulator() as siem:
        siem.stop_listening()
        gate.clock.scale = 0.01
        gate.on_wait = [lambda: None] * 6 + [siem.listen_again]
        lane = lane_to(siem.url)
        with caplog.at_level("INFO"):
            deliver(lane, gate, batches(3))

        assert siem.store.wait_for(30, timeout_s=10)
        assert siem.store.compare(expected(30)) == Comparison()
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
        assert "nothing listens on port" in caplog.text


def test_the_first_address_that_works_is_used(lane_to: Callable[..., Lane], gate: TestGate) -> None:
    with SyslogEmulator() as one, SyslogEmulator() as two:
        one.stop_listening()
        lane = lane_to(one.url, two.url)
        deliver(lane, gate, batches(3))

        assert (one.store.total, two.store.total) == (0, 30)


def test_a_slow_reader_is_waited_for_while_bytes_move(lane_to: Callable[..., Lane], gate: TestGate) -> None:
    with SyslogEmulator(receive_buffer=4096, framing="octet-counting") as siem:
        siem.inject("slow", bytes_per_s=400_000)
        lane = lane_to(siem.url, framing="octet-counting")
        deliver(lane, gate, batches(6, 50, framing="octet-counting", pad=2000))

        assert siem.store.compare(expected(300, 2000)) == Comparison()
        assert gate.retries == []


@pytest.fixture
def stalled() -> Iterator[socket.socket]:
    """A receiver that accepts and never reads."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server


def test_a_receiver_that_reads_nothing_is_given_up(
    lane_to: Callable[..., Lane], gate: TestGate, stalled: socket.socket
) -> None:
    lane = lane_to(f"tcp://127.0.0.1:{stalled.getsockname()[1]}")
    lane._settings = stream_lane.StreamSettings("lf", 2.0, 1.5)  # type: ignore[attr-defined]
    report = Report()
    for n in range(400):
        report = lane.send(framed(syslog_frames(n, 1, size=20_000)), n)
        if report.lost:
            break

    assert report.lost[:2] == (0, 1)
    assert report.settled == ()
    assert gate.retries == ["stalled"]
    assert any("reads slowly" in why for _, why in gate.waits)


def test_a_receiver_that_half_closes_and_reads_nothing_is_left_at_once(
    lane_to: Callable[..., Lane], gate: TestGate, stalled: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = lane_to(f"tcp://127.0.0.1:{stalled.getsockname()[1]}")
    lane._settings = stream_lane.StreamSettings("lf", 2.0, 5.0)  # type: ignore[attr-defined]
    waits: list[float] = []
    wait_writable = stream.Stream.wait_writable
    monkeypatch.setattr(
        stream.Stream, "wait_writable", lambda self, seconds: (waits.append(seconds), wait_writable(self, seconds))[1]
    )
    peers: list[socket.socket] = []

    def half_close() -> None:
        peers.append(stalled.accept()[0])
        time.sleep(0.2)
        peers[0].shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=half_close)
    thread.start()
    report = lane.send(framed(syslog_frames(0, 400, size=20_000)), 0)
    thread.join()
    peers[0].close()

    assert report == Report(lost=(0,), in_order=True)
    assert gate.retries == ["connection-lost"]
    assert len(waits) < 100


@pytest.mark.parametrize("framing", ["lf", "octet-counting"])
def test_a_stop_in_front_of_a_stalled_receiver_never_leaves_half_a_frame(
    lane_to: Callable[..., Lane], gate: TestGate, stalled: socket.socket, framing: str
) -> None:
    lane = lane_to(f"tcp://127.0.0.1:{stalled.getsockname()[1]}", framing=framing)
    timer = threading.Timer(1.2, gate.stopped.set)
    timer.start()
    with pytest.raises(Stopped):
        for n in range(1000):
            lane.send(framed(syslog_frames(n * 10, 10, size=10_000), framing), n)
    timer.join()
    lane.close()
    peer, _ = stalled.accept()
    peer.settimeout(5)
    received = bytearray()
    reset = False
    try:
        while chunk := peer.recv(1 << 20):
            received += chunk
    except ConnectionResetError:
        reset = True
    peer.close()

    assert reset or received.endswith(b"x\n" if framing == "lf" else b"x")


def test_the_lease_is_looked_at_again_while_a_receiver_reads_slowly(
    lane_to: Callable[..., Lane], gate: TestGate
) -> None:
    with SyslogEmulator(receive_buffer=4096) as siem:
        siem.inject("slow", bytes_per_s=400_000)
        lane = lane_to(siem.url)
        deliver(lane, gate, {0: framed(syslog_frames(0, 300, size=2000))})

        assert gate.looks > 5


@pytest.mark.parametrize("framing", ["lf", "octet-counting"])
def test_once_the_gate_is_shut_each_frame_asks_it_again(
    lane_to: Callable[..., Lane], gate: TestGate, framing: str
) -> None:
    gate.open = False
    with SyslogEmulator(receive_buffer=4096) as siem:
        siem.inject("slow", bytes_per_s=400_000)
        lane = lane_to(siem.url, framing=framing)
        deliver(lane, gate, {0: framed(syslog_frames(0, 300, size=2000), framing)})

        assert gate.sends > 5


def test_finish_settles_by_the_receivers_fin(lane_to: Callable[..., Lane], gate: TestGate) -> None:
    with SyslogEmulator() as siem:
        lane = lane_to(siem.url, settle_s=60.0)
        for token, payload in batches(5).items():
            lane.send(payload, token)  # type: ignore[arg-type]
        began = time.monotonic()
        report = lane.finish(10)

        assert report == Report(settled=(0, 1, 2, 3, 4))
        assert time.monotonic() - began < 5
        assert siem.store.compare(expected(50)) == Comparison()


def test_finish_over_tls_settles_by_the_receivers_close(
    lane_to: Callable[..., Lane], gate: TestGate, certificates: Certificates
) -> None:
    with SyslogEmulator(tls=server_context(certificates.server)) as siem:
        lane = lane_to(siem.url, settle_s=60.0, tls=TlsConfig(ca_file=str(certificates.ca_file)))
        for token, payload in batches(5, 1000).items():
            lane.send(payload, token)  # type: ignore[arg-type]
        report = lane.finish(10)

        assert report == Report(settled=(0, 1, 2, 3, 4))
        assert siem.store.compare(expected(5000)) == Comparison()


@pytest.mark.parametrize("on_peer_fin", ["hold", "reset"])
def test_finish_settles_nothing_without_a_fin(lane_to: Callable[..., Lane], gate: TestGate, on_peer_fin: str) -> None:
    with SyslogEmulator(on_peer_fin=on_peer_fin) as siem:
        lane = lane_to(siem.url, settle_s=60.0)
        lane.send(framed(syslog_frames(0, 10)), 0)
        report = lane.finish(1.0)

        assert report.settled == ()


def test_finish_settles_what_is_old_enough_before_its_deadline(lane_to: Callable[..., Lane], gate: TestGate) -> None:
    with SyslogEmulator(on_peer_fin="hold") as siem:
        lane = lane_to(siem.url, settle_s=0.5)
        lane.send(framed(syslog_frames(0, 10)), 0)

        assert lane.finish(5.0) == Report(settled=(0,))


def test_finish_believes_no_close_with_unread_bytes(lane_to: Callable[..., Lane], stalled: socket.socket) -> None:
    lane = lane_to(f"tcp://127.0.0.1:{stalled.getsockname()[1]}", settle_s=60.0)
    lane.send(framed(syslog_frames(0, 10)), 0)
    peer, _ = stalled.accept()
    timer = threading.Timer(0.3, peer.close)
    timer.start()
    report = lane.finish(5.0)
    timer.join()

    assert report == Report(lost=(0,), in_order=True)


def test_finish_ends_at_once_when_nothing_is_pending(lane_to: Callable[..., Lane], gate: TestGate) -> None:
    with SyslogEmulator(on_peer_fin="hold") as siem:
        lane = lane_to(siem.url, settle_s=0.0)
        deliver(lane, gate, batches(1))
        began = time.monotonic()

        assert lane.finish(10) == Report()
        assert time.monotonic() - began < 1


def test_a_half_open_connection_settles_nothing(lane_to: Callable[..., Lane], gate: TestGate) -> None:
    with SyslogEmulator(receive_buffer=4096) as siem:
        siem.inject("half_open", after_bytes=5_000, count=1, delay_s=1)
        lane = lane_to(siem.url, settle_s=2.0)
        ledger = deliver(lane, gate, batches(30, 50, pad=500))
        found = siem.store.compare(expected(1500, 500))

        assert ledger.in_order
        assert (found.missing, found.unknown, found.altered) == ((), (), ())


def test_bytes_that_the_peers_kernel_has_not_acknowledged_never_settle(
    lane_to: Callable[..., Lane], gate: TestGate, stalled: socket.socket
) -> None:
    lane = lane_to(f"tcp://127.0.0.1:{stalled.getsockname()[1]}", settle_s=0.0)
    settled: list[object] = []
    for n in range(10):
        settled += lane.send(framed(syslog_frames(n, 1, size=10_000)), n).settled
    for _ in range(20):
        gate.wait(0.02, "test")
        settled += lane.poll().settled

    assert len(settled) < 5


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("expired", "has expired"),
        ("not_yet_valid", "not valid yet"),
        ("wrong_host", "set tls.server_name"),
        ("untrusted", "set tls.ca_file"),
    ],
)
def test_a_bad_certificate_is_refused_and_explained(
    lane_to: Callable[..., Lane], gate: TestGate, certificates: Certificates, which: str, words: str
) -> None:
    with SyslogEmulator(tls=server_context(getattr(certificates, which))) as siem:
        gate.on_wait = [gate.stopped.set]
        lane = lane_to(siem.url, tls=TlsConfig(ca_file=str(certificates.ca_file)))
        with pytest.raises(Stopped):
            lane.send(framed(syslog_frames(0, 1)), 0)

        assert words in gate.waits[0][1]
        assert siem.store.total == 0


def test_a_missing_client_certificate_is_explained(
    lane_to: Callable[..., Lane], gate: TestGate, certificates: Certificates
) -> None:
    context = server_context(certificates.server, client_ca=certificates.ca_file, client="required")
    with SyslogEmulator(tls=context) as siem:
        lane = lane_to(siem.url, tls=TlsConfig(ca_file=str(certificates.ca_file)))
        gate.on_wait = [lambda: None] * 3 + [gate.stopped.set]
        with pytest.raises(Stopped):
            deliver(lane, gate, batches(1))

        assert siem.store.total == 0
        assert any("client certificate" in why for _, why in gate.waits)


def test_udp_sends_one_frame_a_datagram(lane_to: Callable[..., Lane], gate: TestGate) -> None:
    with SyslogEmulator(transport="udp") as siem:
        lane = lane_to(siem.url)
        for n, frame in enumerate(syslog_frames(0, 50)):
            assert lane.send(payload_of([frame], end=b""), n).settled == (n,)
            assert siem.store.wait_for(n + 1, timeout_s=5)

        assert siem.store.compare(expected(50)) == Comparison()
        assert lane.finish(1) == lane.poll() == Report()


def test_udp_waits_while_nobody_listens(lane_to: Callable[..., Lane], gate: TestGate) -> None:
    with SyslogEmulator(transport="udp") as siem:
        siem.stop_listening()
        gate.clock.scale = 0.01
        lane = lane_to(siem.url)
        gate.on_wait = [lambda: None, siem.listen_again]
        for n in range(20):
            lane.send(payload_of(syslog_frames(n, 1), end=b""), n)

        assert "connect" in gate.retries
        assert siem.store.wait_for_ids(["0-19-0"], timeout_s=5)


def test_a_frame_too_long_for_a_datagram_is_rejected(lane_to: Callable[..., Lane], gate: TestGate) -> None:
    with SyslogEmulator(transport="udp") as siem:
        lane = lane_to(siem.url)
        report = lane.send(payload_of(syslog_frames(0, 1, size=70_000), end=b""), 0)

        assert report.settled == (0,)
        assert [(each.index, each.reason) for each in gate.rejections] == [(0, "too-large")]


def test_a_receiver_that_talks_is_not_minded(lane_to: Callable[..., Lane], gate: TestGate) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        lane = lane_to(f"tcp://127.0.0.1:{server.getsockname()[1]}", settle_s=0.2)
        lane.send(framed(syslog_frames(0, 1)), 0)
        peer, _ = server.accept()
        peer.sendall(b"banner\r\n" * 10_000)
        ledger = deliver(lane, gate, {1: framed(syslog_frames(1, 1))}) if lane.poll() else None
        peer.close()

        assert ledger is not None
        assert ledger.lost == []


def cut_silently(sock: socket.socket) -> None:
    """Let the kernel drop every segment for this socket: no ACK, no FIN, no RST, as with a pulled cable."""
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF: ret #0
    program = struct.pack("HL", 1, ctypes.addressof(drop_all))
    sock.setsockopt(socket.SOL_SOCKET, 26, program)  # SO_ATTACH_FILTER


@pytest.mark.parametrize("busy", [True, False])
def test_a_silent_cut_is_noticed(
    lane_to: Callable[..., Lane], gate: TestGate, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    monkeypatch.setattr(stream, "SILENCE_S", 3)
    monkeypatch.setattr(stream, "_KEEPALIVE", tuple((option, 1) for option, _ in stream._KEEPALIVE))
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        lane = lane_to(f"tcp://127.0.0.1:{server.getsockname()[1]}", settle_s=60.0)
        lane.send(framed(syslog_frames(0, 1)), 0)
        peer, _ = server.accept()
        time.sleep(0.1)
        cut_silently(peer)
        report, n, began = Report(), 0, time.monotonic()
        while not report.lost and time.monotonic() - began < 15:
            if busy:
                n += 1
                report = lane.send(framed(syslog_frames(n, 1)), n)
            else:
                report = lane.poll()
            time.sleep(0.05)
        peer.close()

        assert report == Report(lost=tuple(range(n + 1)), in_order=True)


def test_the_time_to_notice_a_silent_cut_is_below_30_seconds() -> None:
    idle, interval, probes = (value for _, value in stream._KEEPALIVE)

    assert stream.SILENCE_S < 30
    assert idle + interval * probes < 30


def test_an_abandoned_frame_ends_in_a_reset_not_in_a_fin() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        sender = stream.Stream(socket.create_connection(server.getsockname()))
        peer, _ = server.accept()
        sender.write(memoryview(b"half a fra"))
        sender.abort()
        time.sleep(0.05)
        with pytest.raises(ConnectionResetError):
            peer.recv(100)
            peer.recv(100)
        peer.close()
