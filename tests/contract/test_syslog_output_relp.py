"""RELP: settled means answered by the receiver, message for message."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from sls_siem.config import TlsConfig
from sls_siem.emulator.certificates import Certificates, server_context
from sls_siem.emulator.relp import RelpEmulator
from sls_siem.emulator.store import Comparison, event_digest
from sls_siem.emulator.syslog import SyslogEmulator
from sls_siem.errors import Stopped
from sls_siem.siem import Lane, Report, make_output
from sls_siem.siem.relp_frames import OFFERS, relp_frame
from sls_siem.siem.stream import Stream
from tests.contract.receiver_support import wait_until
from tests.unit.siem.support import Ledger, TestGate, TestTime, deliver, framed, syslog_config, syslog_frames


@pytest.fixture
def gate() -> TestGate:
    return TestGate(TestTime(1.0))


@pytest.fixture
def lane_to(gate: TestGate) -> Iterator[Callable[..., Lane]]:
    lanes: list[Lane] = []

    def make(*urls: str, **changes: object) -> Lane:
        config = syslog_config(*urls, **{"framing": "none", **changes})  # type: ignore[arg-type]
        lanes.append(make_output(config, clock=gate.clock, random=lambda: 0.1).lane(0, gate))
        return lanes[-1]

    yield make
    for lane in lanes:
        lane.close()


def batches(count: int, size: int = 10, *, pad: int = 20) -> dict[object, object]:
    return {n: framed(syslog_frames(n * size, size, size=pad), "octet-counting") for n in range(count)}


def expected(count: int, pad: int = 20) -> dict[str, bytes]:
    return {f"0-{n}-0": event_digest(frame) for n, frame in enumerate(syslog_frames(0, count, size=pad))}


def test_every_message_is_answered_before_its_payload_settles(lane_to: Callable[..., Lane], gate: TestGate) -> None:
    with RelpEmulator() as siem:
        lane = lane_to(siem.url)
        ledger = deliver(lane, gate, batches(20, 100))

        assert siem.store.compare(expected(2000)) == Comparison()
        assert (ledger.lost, gate.retries) == ([], [])
        assert lane.next_poll_s() is None
        lane.close()
        assert wait_until(lambda: [record.end for record in siem.connections()] == ["close"])


def test_relp_over_tls(lane_to: Callable[..., Lane], gate: TestGate, tmp_path_factory: pytest.TempPathFactory) -> None:
    certificates = Certificates(tmp_path_factory.mktemp("certificates"))
    with RelpEmulator(tls=server_context(certificates.server)) as siem:
        lane = lane_to(siem.url, tls=TlsConfig(ca_file=str(certificates.ca_file)))
        deliver(lane, gate, batches(10, 300, pad=500))

        assert siem.store.compare(expected(3000, 500)) == Comparison()


def test_nothing_settles_without_an_answer(lane_to: Callable[..., Lane], gate: TestGate) -> None:
    with RelpEmulator() as siem:
        siem.inject("ack_delay", delay_s=1.0)
        lane, ledger = lane_to(siem.url), Ledger()
        ledger.add(lane.send(framed(syslog_frames(0, 10), "octet-counting"), "t"))
        assert siem.store.wait_for(10, timeout_s=5)
        ledger.add(lane.poll())

        assert ledger.settled == []
        assert lane.finish(10) == Report(settled=("t",))


@pytest.mark.parametrize("kind", ["fin", "close", "rst", "kill_unread", "serverclose", "ack_error"])
@pytest.mark.parametrize("answered", [True, False])
def test_what_was_not_answered_is_sent_again(
    lane_to: Callable[..., Lane], gate: TestGate, kind: str, answered: bool
) -> None:
    with RelpEmulator() as siem:
        siem.inject(kind, after_frames=125, count=1, answered=answered)
        lane = lane_to(siem.url)
        ledger = deliver(lane, gate, batches(30))
        found = siem.store.compare(expected(300))

        assert len(siem.strikes()) == 1
        assert (found.missing, found.unknown, found.altered) == ((), (), ())
        assert ledger.in_order


def test_a_message_that_is_always_refused_is_tried_ever_less_often(
    lane_to: Callable[..., Lane], gate: TestGate, caplog: pytest.LogCaptureFixture
) -> None:
    gate.clock.scale = 0.01
    payload = framed(syslog_frames(0, 300), "octet-counting")
    with RelpEmulator() as siem, caplog.at_level("INFO"):
        siem.inject("ack_error", after_frames=280)
        lane = lane_to(siem.url)
        for _ in range(6):
            report = lane.send(payload, 0)
            while not report.lost:
                assert report == Report()
                gate.wait(lane.next_poll_s() or 0.02, "test")
                report = lane.poll()
    pauses = [seconds for seconds, why in gate.waits if "refused" in why]

    assert pauses == sorted(pauses)
    assert pauses[-1] > 8 * pauses[0]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_an_answer_that_never_comes_ends_the_session(lane_to: Callable[..., Lane], gate: TestGate) -> None:
    with RelpEmulator() as siem:
        siem.inject("ack_lost", after_frames=5, frames=1, count=1)
        lane = lane_to(siem.url)
        lane._answer_timeout_s = 1.0  # type: ignore[attr-defined]
        ledger = deliver(lane, gate, batches(3))

        assert ledger.lost in ([0, 1, 2], [0])
        assert siem.store.compare(expected(30)).missing == ()


def test_an_outage_is_waited_for(lane_to: Callable[..., Lane], gate: TestGate) -> None:
    with RelpEmulator() as siem:
        siem.stop_listening()
        gate.clock.scale = 0.01
        gate.on_wait = [lambda: None] * 5 + [siem.listen_again]
        deliver(lane_to(siem.url), gate, batches(3))

        assert siem.store.compare(expected(30)) == Comparison()


def test_a_receiver_that_is_no_relp_receiver(lane_to: Callable[..., Lane], gate: TestGate) -> None:
    with SyslogEmulator(rfc="none", on_peer_fin="close") as siem:
        gate.on_wait = [gate.stopped.set]
        url = siem.url.replace("tcp:", "relp:")
        siem.inject("close", after_frames=1)
        with pytest.raises(Stopped):
            lane_to(url).send(framed(syslog_frames(0, 1), "octet-counting"), 0)
        (result,) = make_output(syslog_config(url, framing="none")).probe(2)

        assert not result.ok
        assert "is this the port of a RELP receiver?" in result.text


def test_the_probe_opens_a_session_and_sends_no_message() -> None:
    with RelpEmulator() as siem:
        (result,) = make_output(syslog_config(siem.url, framing="none")).probe(5)

        assert result.ok
        assert result.text.endswith("speaks RELP")
        assert siem.store.total == 0


def test_a_stop_ends_a_send_that_waits_for_answers(lane_to: Callable[..., Lane], gate: TestGate) -> None:
    with RelpEmulator() as siem:
        siem.inject("half_open", after_frames=10)
        lane = lane_to(siem.url)
        gate.on_wait = [gate.stopped.set]
        began = time.monotonic()
        with pytest.raises(Stopped):
            lane.send(framed(syslog_frames(0, 1000), "octet-counting"), 0)

        assert time.monotonic() - began < 10
        assert lane.poll() == Report()


@pytest.fixture
def unread() -> Iterator[tuple[str, Callable[[], None]]]:
    """A receiver that opens the session and reads no message until it is told to; its URL, and what tells it."""
    go, ended = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

        def serve() -> None:
            peer, _ = server.accept()
            with peer, contextlib.suppress(OSError):
                peer.recv(1000)
                peer.sendall(relp_frame(1, b"rsp", b"200 OK\n" + OFFERS))
                go.wait(10)
                peer.settimeout(0.1)
                with contextlib.suppress(socket.timeout):
                    while peer.recv(1 << 20):
                        pass
                ended.set()

        def read_all() -> None:
            go.set()
            ended.wait(10)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"relp://127.0.0.1:{server.getsockname()[1]}", read_all
        go.set()
        thread.join()


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What each write that wrote anything wrote."""
    counts: list[int] = []
    write = Stream.write

    def count(stream: Stream, data: memoryview) -> int:
        size = write(stream, data)
        counts.extend([size] if size else [])
        return size

    monkeypatch.setattr(Stream, "write", count)
    return counts


@pytest.mark.parametrize("stop", [True, False])
def test_what_waits_for_a_slow_receiver_is_not_written_after_the_lease_has_ended(
    lane_to: Callable[..., Lane],
    unread: tuple[str, Callable[[], None]],
    written: list[int],
    gate: TestGate,
    monkeypatch: pytest.MonkeyPatch,
    stop: bool,
) -> None:
    url, read_all = unread
    lane = lane_to(url)
    shut = threading.Event()
    writes_when_shut: list[int] = []
    before_send = gate.before_send

    def ask() -> None:
        """Wait for the lease as the gate of a shard does."""
        before_send()
        while shut.is_set():
            gate.wait(0.1, "no lease")

    def end_the_lease() -> None:
        wait_until(lambda: gate.waits)  # nothing moves any more
        shut.set()
        writes_when_shut.append(len(written))
        read_all()
        writes_when_shut.append(len(written))
        (gate.stopped.set if stop else shut.clear)()

    monkeypatch.setattr(gate, "before_send", ask)
    thread = threading.Thread(target=end_the_lease)
    thread.start()
    payload = framed(syslog_frames(0, 100, size=100_000), "octet-counting")
    if stop:
        with pytest.raises(Stopped):
            lane.send(payload, 0)
    else:
        assert lane.send(payload, 0).lost == (0,)
    thread.join()

    assert writes_when_shut[0] == writes_when_shut[1]
    assert sum(written[: writes_when_shut[0]]) < len(payload.data)


def test_finish_ends_at_its_deadline(lane_to: Callable[..., Lane], gate: TestGate) -> None:
    with RelpEmulator() as siem:
        siem.inject("ack_delay", delay_s=30)
        lane = lane_to(siem.url)
        lane.send(framed(syslog_frames(0, 10), "octet-counting"), 0)
        began = time.monotonic()

        assert lane.finish(1.0) == Report()
        assert 0.9 <= time.monotonic() - began < 3
