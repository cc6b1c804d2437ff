"""The syslog emulator over TCP, TLS and UDP: what it stores, how it breaks connections, and that it says so."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sls_siem.emulator import certificates as certificates_module
from sls_siem.emulator.certificates import Certificates, CertificatesUnavailableError, server_context
from sls_siem.emulator.remote import EmulatorProcess
from sls_siem.emulator.store import Comparison, event_digest, now_s
from sls_siem.emulator.syslog import StreamFault, SyslogEmulator
from tests.contract.receiver_support import TIMEOUT_S, connect, counted, cpu_s, ending, frame, wait_until

pytestmark = pytest.mark.contract


@pytest.fixture
def siem() -> Iterator[SyslogEmulator]:
    with SyslogEmulator(keep_bytes=True, receive_buffer=8192) as running:
        yield running


@pytest.fixture
def sock(siem: SyslogEmulator) -> Iterator[socket.socket]:
    with connect(siem.host, siem.port) as made:
        yield made


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def lines(*event_ids: str) -> bytes:
    return b"".join(frame(event_id) + b"\n" for event_id in event_ids)


def names(count: int) -> list[str]:
    return [f"0-{number}-0" for number in range(count)]


def fill(sock: socket.socket) -> int:
    """Write until the peer's kernel and ours take no more."""
    sock.setblocking(False)
    sent = 0
    while True:
        try:
            sent += sock.send(lines(*names(100)))
        except BlockingIOError:
            return sent


def test_both_framings_on_one_connection(siem: SyslogEmulator, sock: socket.socket) -> None:
    multi = frame("b", b"two\nlines")
    sock.sendall(lines("a") + counted(multi) + lines("c"))
    sock.shutdown(socket.SHUT_WR)

    assert ending(sock) == "fin"
    assert siem.store.sequence() == ["a", "b", "c"]
    assert siem.store.compare(
        {"a": event_digest(frame("a")), "b": event_digest(multi), "c": event_digest(frame("c"))}
    ) == (Comparison())
    message = siem.message("b")
    assert message is not None
    assert (message.hostname, message.msg) == ("host", b"two\nlines")
    assert siem.message("never") is None


def test_a_half_closed_connection_is_read_to_its_end(siem: SyslogEmulator, sock: socket.socket) -> None:
    sock.sendall(lines(*names(2000)))
    sock.shutdown(socket.SHUT_WR)

    assert ending(sock) == "fin"
    assert siem.store.ids() == names(2000)
    assert wait_until(siem.connections)
    record = siem.connections()[0]
    assert (record.number, record.frames, record.end, record.partial) == (1, 2000, "peer-fin", b"")
    assert record.size == len(lines(*names(2000)))
    assert record.at_s < record.ended_s <= now_s()


def test_malformed_frames_are_kept_apart(siem: SyslogEmulator, sock: socket.socket) -> None:
    sock.sendall(lines("a") + b"<14>1 rubbish\n" + lines("b"))
    sock.sendall(b"<14>1 - cut off")
    sock.shutdown(socket.SHUT_WR)
    ending(sock)

    assert siem.store.ids() == ["a", "b"]
    assert [(item.frame, item.connection) for item in siem.malformed()] == [(b"<14>1 rubbish", 1)]
    assert siem.counters.malformed == 1
    assert wait_until(siem.connections)
    assert siem.connections()[0].partial == b"<14>1 - cut off"


def test_broken_framing_ends_the_connection() -> None:
    with SyslogEmulator(framing="octet-counting") as siem, connect(siem.host, siem.port) as sock:
        sock.sendall(counted(frame("a")) + frame("b") + b"\n")
        ended = ending(sock)

        assert ended in ("fin", "rst")
        assert siem.store.ids() == ["a"]
        assert "octet count" in siem.malformed()[0].reason
        assert wait_until(lambda: [record.end for record in siem.connections()] == ["framing"])


@pytest.mark.parametrize(
    ("rfc", "data", "stored"),
    [
        ("5424", b"<34>Oct 10 22:14:15 h t: sls_id=x\n", 0),
        ("3164", b"<34>Oct 10 22:14:15 h t: sls_id=x\n", 1),
        ("none", b"sls_id=x\n", 1),
    ],
)
def test_the_wanted_rfc(rfc: str, data: bytes, stored: int) -> None:
    with SyslogEmulator(rfc=rfc) as siem, connect(siem.host, siem.port) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        ending(sock)

        assert siem.store.ids() == ["x"] * stored
        assert len(siem.malformed()) == 1 - stored


@pytest.mark.parametrize("kind", ["fin", "close", "rst"])
def test_an_end_after_so_many_frames(siem: SyslogEmulator, sock: socket.socket, kind: str) -> None:
    number = siem.inject(kind, after_frames=3, count=1, delay_s=0.3)
    sock.sendall(lines(*names(3)))
    ended = ending(sock)

    assert ended == ("rst" if kind == "rst" else "fin")
    assert siem.store.ids() == names(3)
    strike = siem.strikes()[0]
    assert (strike.fault, strike.kind, strike.connection, strike.frames) == (number, kind, 1, 3)
    sock.close()
    assert wait_until(lambda: [record.end for record in siem.connections()] == [kind])
    with connect(siem.host, siem.port) as again:
        again.sendall(lines(*names(5)))
        assert siem.store.wait_for(5, timeout_s=5)


def test_what_comes_after_a_fin_is_read_and_lost(siem: SyslogEmulator, sock: socket.socket) -> None:
    siem.inject("fin", after_frames=2, count=1)
    sock.sendall(lines(*names(5)))

    assert ending(sock) == "fin"
    sock.sendall(lines("late"))
    sock.sendall(lines("later"))
    sock.shutdown(socket.SHUT_WR)
    assert wait_until(siem.connections)
    assert siem.store.ids() == names(2)


def test_an_end_after_so_many_bytes(siem: SyslogEmulator, sock: socket.socket) -> None:
    one = len(lines("0-0-0"))
    siem.inject("rst", after_bytes=3 * one + 5, count=1)
    sock.sendall(lines(*names(9)))

    assert ending(sock) == "rst"
    assert siem.store.ids() == names(3)
    assert wait_until(siem.connections)
    assert siem.connections()[0].size == 3 * one + 5


@pytest.mark.parametrize("kind", ["half_open", "kill_unread"])
def test_reading_stops_and_bytes_lie_unread(siem: SyslogEmulator, sock: socket.socket, kind: str) -> None:
    siem.inject(kind, after_frames=2, delay_s=2, count=1)
    sock.sendall(lines(*names(2)))
    assert wait_until(siem.strikes)
    sent = fill(sock)
    sock.settimeout(0.1)
    with pytest.raises(socket.timeout):
        sock.recv(1)
    sock.settimeout(TIMEOUT_S)

    assert sent > 0
    assert ending(sock) == "rst"
    assert siem.store.ids() == names(2)


def test_everything_is_read_and_dropped(siem: SyslogEmulator, sock: socket.socket) -> None:
    siem.inject("drop", after_frames=2, count=1)
    sock.sendall(lines(*names(4)))
    assert wait_until(siem.strikes)
    sock.sendall(lines("x") * 5000)
    sock.shutdown(socket.SHUT_WR)

    assert ending(sock) == "fin"
    assert siem.store.ids() == names(2)


def test_a_slow_reader_loses_nothing(siem: SyslogEmulator, sock: socket.socket) -> None:
    siem.inject("slow", bytes_per_s=20_000, delay_s=0.3, count=1)
    sock.sendall(lines("first"))
    assert wait_until(siem.strikes)
    start_s = time.monotonic()
    sock.sendall(lines(*names(300)))
    sock.shutdown(socket.SHUT_WR)

    assert ending(sock) == "fin"
    assert time.monotonic() - start_s >= 0.25
    assert siem.store.ids() == ["first", *names(300)]


def test_tells_for_how_long_it_had_not_read_everything(siem: SyslogEmulator, sock: socket.socket) -> None:
    siem.inject("slow", bytes_per_s=2_000, delay_s=60, count=1)
    sock.sendall(lines("first"))
    assert wait_until(siem.strikes)
    sock.sendall(lines(*names(100)))
    behind_since_s = now_s()
    time.sleep(0.5)
    siem.drop_connections()
    assert wait_until(siem.connections)
    (record,) = siem.connections()

    assert record.caught_up_s <= behind_since_s + 0.2
    assert record.ended_s - record.caught_up_s >= 0.3


def test_who_has_read_everything_is_not_behind(siem: SyslogEmulator, sock: socket.socket) -> None:
    time.sleep(0.3)
    siem.inject("half_open", after_frames=100, delay_s=0.2, count=1)
    sock.sendall(lines(*names(100)))
    assert wait_until(siem.connections)
    (record,) = siem.connections()

    assert record.ended_s - record.caught_up_s >= 0.2
    assert record.caught_up_s - record.at_s >= 0.25


def test_closed_as_soon_as_accepted(siem: SyslogEmulator) -> None:
    siem.inject("close_at_accept", count=2)
    endings = []
    for _ in range(2):
        with connect(siem.host, siem.port) as sock:
            endings.append(ending(sock))

    assert endings == ["fin", "fin"]
    assert [strike.kind for strike in siem.strikes()] == ["close_at_accept"] * 2
    with connect(siem.host, siem.port) as sock:
        sock.sendall(lines("a"))
        assert siem.store.wait_for(1, timeout_s=5)


def test_left_alone_after_accept(certificates: Certificates) -> None:
    context = ssl.create_default_context(cafile=str(certificates.ca_file))
    with SyslogEmulator(tls=server_context(certificates.server)) as siem:
        siem.inject("stall_at_accept", delay_s=0.2, count=1)
        with connect(siem.host, siem.port) as sock:
            start_s = time.monotonic()
            with pytest.raises(OSError, match=r"."):
                context.wrap_socket(sock, server_hostname="localhost")

    assert time.monotonic() - start_s >= 0.15
    assert siem.store.total == 0


def test_the_same_seed_spares_the_same_connections(siem: SyslogEmulator) -> None:
    rounds = []
    for _ in range(2):
        siem.inject("close_at_accept", probability=0.5, seed=3)
        struck_before = len(siem.strikes())
        struck = []
        for _ in range(12):
            with connect(siem.host, siem.port) as sock:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_WR)
                ending(sock)
            struck.append(len(siem.strikes()) - struck_before)
        rounds.append(struck)
        siem.clear_faults()

    assert rounds[0] == rounds[1]
    assert 0 < rounds[0][-1] < 12


def test_a_fault_for_a_time_is_over(siem: SyslogEmulator, sock: socket.socket) -> None:
    siem.inject(StreamFault("rst", after_frames=1, for_s=0.05))
    assert wait_until(lambda: not siem.faults())
    sock.sendall(lines("a", "b"))

    assert siem.store.wait_for(2, timeout_s=5)


def test_one_fault_of_two_is_taken_back(siem: SyslogEmulator, sock: socket.socket) -> None:
    first, second = siem.inject("rst", after_frames=1), siem.inject("fin", after_frames=3, delay_s=0.1)
    siem.clear_faults(first)
    sock.sendall(lines(*names(3)))

    assert ending(sock) == "fin"
    assert list(siem.faults()) == [second]


def test_two_faults_on_one_connection(siem: SyslogEmulator, sock: socket.socket) -> None:
    siem.inject("slow", after_frames=2, bytes_per_s=1e6, count=1)
    siem.inject("rst", after_frames=4, count=1)
    sock.sendall(lines(*names(2)))
    assert siem.store.wait_for(2, timeout_s=5)
    sock.sendall(lines(*names(4)[2:]))

    assert ending(sock) == "rst"
    assert siem.store.ids() == names(4)
    assert [strike.kind for strike in siem.strikes()] == ["slow", "rst"]


def test_wrong_names_are_refused(siem: SyslogEmulator) -> None:
    with pytest.raises(ValueError, match="no such fault"):
        siem.inject("explode")
    with pytest.raises(ValueError, match="no fault of syslog"):
        siem.inject("ack_lost")
    with pytest.raises(ValueError, match="while running"):
        siem.configure(transport="udp")
    with pytest.raises(TypeError):
        siem.configure(speed=1)


@pytest.mark.parametrize(("how", "expected"), [("close", "fin"), ("reset", "rst")])
def test_what_follows_the_senders_fin(siem: SyslogEmulator, sock: socket.socket, how: str, expected: str) -> None:
    siem.configure(on_peer_fin=how, close_delay_s=0.1)
    sock.sendall(lines("a"))
    sock.shutdown(socket.SHUT_WR)

    assert ending(sock) == expected
    assert siem.store.ids() == ["a"]


def test_the_senders_fin_may_stay_unanswered(siem: SyslogEmulator, sock: socket.socket) -> None:
    siem.configure(on_peer_fin="hold")
    sock.sendall(lines("a"))
    sock.shutdown(socket.SHUT_WR)
    assert siem.store.wait_for(1, timeout_s=5)
    sock.settimeout(0.1)
    with pytest.raises(socket.timeout):
        sock.recv(1)
    sock.settimeout(TIMEOUT_S)

    assert siem.drop_connections() == 1
    assert ending(sock) == "rst"
    assert siem.connections()[0].end == "ended"


def test_a_restart_loses_what_lies_unread(siem: SyslogEmulator, sock: socket.socket) -> None:
    siem.inject("half_open", after_frames=1, count=1)
    sock.sendall(lines("read"))
    assert wait_until(siem.strikes)
    sock.sendall(lines("unread"))
    port = siem.port
    siem.restart()

    assert ending(sock) == "rst"
    assert siem.port == port
    with connect(siem.host, port) as again:
        again.sendall(lines("after"))
        assert siem.store.wait_for_ids(["after"], timeout_s=5)
    assert siem.store.ids() == ["read", "after"]


@pytest.mark.parametrize(("how", "expected"), [("rst", "rst"), ("fin", "fin")])
def test_down_then_up(siem: SyslogEmulator, sock: socket.socket, how: str, expected: str) -> None:
    sock.sendall(lines("a"))
    assert siem.store.wait_for(1, timeout_s=5)
    siem.stop_listening(connections=how)
    with pytest.raises(ConnectionRefusedError):
        connect(siem.host, siem.port)
    siem.listen_again()

    assert ending(sock) == expected
    with connect(siem.host, siem.port) as again:
        again.sendall(lines("b"))
        assert siem.store.wait_for(2, timeout_s=5)
    assert siem.summary()["accepted_connections"] == 2


# -- TLS ------------------------------------------------------------------------------------------------------------


def client_context(certificates: Certificates, *, client: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificates.ca_file))
    if client:
        context.load_cert_chain(str(certificates.client.cert_file), str(certificates.client.key_file))
    return context


def test_tls_answers_an_orderly_end(certificates: Certificates) -> None:
    with SyslogEmulator(tls=server_context(certificates.server)) as siem:
        with connect(siem.host, siem.port) as plain:
            sock = client_context(certificates).wrap_socket(plain, server_hostname="127.0.0.1")
            sock.sendall(b"".join(counted(frame(name)) for name in names(500)))
            bare = sock.unwrap()
            ended = ending(bare)
            bare.close()

        assert siem.url.startswith("tls://")
        assert ended == "fin"
        assert siem.store.ids() == names(500)


@pytest.mark.parametrize("kind", ["fin", "rst", "kill_unread"])
def test_tls_connections_break_too(certificates: Certificates, kind: str) -> None:
    with SyslogEmulator(tls=server_context(certificates.server)) as siem:
        siem.inject(kind, after_frames=5, delay_s=0.1)
        with connect(siem.host, siem.port) as plain:
            bare = plain.dup()
            bare.settimeout(TIMEOUT_S)
            sock = client_context(certificates).wrap_socket(plain, server_hostname="127.0.0.1")
            sock.sendall(b"".join(counted(frame(name)) for name in names(20)))
            # Below TLS: Python's ssl reports an RST as an unexpected end of the stream too.
            ended = ending(bare)
            sock.close()
            bare.close()

        assert ended == ("fin" if kind == "fin" else "rst")
        assert siem.store.ids() == names(5)


@pytest.mark.parametrize(
    "pick",
    [
        lambda made: made.expired,
        lambda made: made.not_yet_valid,
        lambda made: made.wrong_host,
        lambda made: made.untrusted,
    ],
    ids=["expired", "not-yet-valid", "wrong-host", "untrusted"],
)
def test_bad_server_certificates_are_bad(certificates: Certificates, pick: Callable[[Certificates], object]) -> None:
    with SyslogEmulator(tls=server_context(pick(certificates))) as siem, connect(siem.host, siem.port) as plain:
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            client_context(certificates).wrap_socket(plain, server_hostname="127.0.0.1")
        failures = wait_until(lambda: siem.summary()["handshake_failures"])

    assert caught.type is ssl.SSLCertVerificationError
    assert failures
    assert certificates.other_ca_file != certificates.ca_file


@pytest.mark.parametrize(
    ("mode", "given", "taken"),
    [
        ("required", True, True),
        ("required", False, False),
        ("optional", False, True),
    ],
)
def test_client_certificates(certificates: Certificates, mode: str, given: bool, taken: bool) -> None:
    context = server_context(certificates.server, client_ca=certificates.ca_file, client=mode)
    with SyslogEmulator(tls=context) as siem, connect(siem.host, siem.port) as plain:
        sock = client_context(certificates, client=given).wrap_socket(plain, server_hostname="127.0.0.1")
        try:
            sock.sendall(counted(frame("a")))
            sock.recv(1) if not taken else None
        except OSError:
            pass
        stored = siem.store.wait_for(1, timeout_s=5 if taken else 0.1)
        failures = siem.summary()["handshake_failures"]
        sock.close()

    assert stored is taken
    assert bool(failures) is not taken


def test_a_client_certificate_of_another_authority_is_refused(certificates: Certificates) -> None:
    context = client_context(certificates)
    context.load_cert_chain(str(certificates.untrusted_client.cert_file), str(certificates.untrusted_client.key_file))
    tls = server_context(certificates.server, client_ca=certificates.ca_file, client="required")
    with SyslogEmulator(tls=tls) as siem, connect(siem.host, siem.port) as plain:
        sock = context.wrap_socket(plain, server_hostname="127.0.0.1")

        assert wait_until(lambda: siem.summary()["handshake_failures"])
        sock.close()


@pytest.mark.parametrize(("minimum", "maximum", "version"), [("1.2", "1.2", "TLSv1.2"), ("1.3", None, "TLSv1.3")])
def test_tls_versions(certificates: Certificates, minimum: str, maximum: str, version: str) -> None:
    context = server_context(certificates.server, minimum=minimum, maximum=maximum)
    with SyslogEmulator(tls=context) as siem, connect(siem.host, siem.port) as plain:
        sock = client_context(certificates).wrap_socket(plain, server_hostname="127.0.0.1")
        agreed = sock.version()
        sock.close()

    assert agreed == version


def test_an_old_server_is_refused_by_a_modern_client(certificates: Certificates) -> None:
    context = server_context(certificates.server, minimum="1.0", maximum="1.1")
    with (
        SyslogEmulator(tls=context) as siem,
        connect(siem.host, siem.port) as plain,
        pytest.raises(ssl.SSLError) as caught,
    ):
        client_context(certificates).wrap_socket(plain, server_hostname="127.0.0.1")

    # An OpenSSL whose own settings still allow the version stops at what comes with it.
    assert re.search(r"VERSION|LEGACY_SIGALG", str(caught.value).upper())


def test_a_rotated_certificate_is_used_for_new_connections(certificates: Certificates) -> None:
    with SyslogEmulator(tls=server_context(certificates.server)) as siem:
        serials = []
        for stem in ("first", "second"):
            siem.set_tls(server_context(certificates.authority.issue(stem)))
            with connect(siem.host, siem.port) as plain:
                sock = client_context(certificates).wrap_socket(plain, server_hostname="127.0.0.1")
                certificate = sock.getpeercert()
                assert certificate is not None
                serials.append(certificate["serialNumber"])
                sock.close()

    assert serials[0] != serials[1]


def test_without_cryptography_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cryptography", None)

    with pytest.raises(CertificatesUnavailableError, match="pip install cryptography"):
        certificates_module.Authority(tmp_path)


def test_keys_are_for_their_owner_only(certificates: Certificates) -> None:
    assert certificates.server.key_file.stat().st_mode & 0o077 == 0


# -- UDP, process, bench ----------------------------------------------------------------------------------------------


def test_udp_takes_a_frame_per_datagram() -> None:
    with SyslogEmulator(transport="udp", max_frame_bytes=1024, keep_bytes=True) as siem:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect((siem.host, siem.port))
            sock.send(frame("a", b"with\nline"))
            sock.send(b"rubbish")
            sock.send(frame("long", b"x" * 1024))
            assert wait_until(lambda: siem.counters.malformed == 2)
            siem.set_dropping(True)
            sock.send(frame("dropped"))
            assert wait_until(lambda: siem.counters.bytes > 1200)
            siem.set_dropping(False)
            siem.configure(mode="sink")
            sock.send(frame("counted"))
            assert wait_until(lambda: siem.counters.events == 2)
            siem.restart()
            siem.listen_again()
            siem.configure(mode="parse")
            sock.send(frame("b"))
            assert siem.store.wait_for_ids(["b"], timeout_s=5)

        assert siem.url == f"udp://127.0.0.1:{siem.port}"
        assert siem.store.ids() == ["a", "b"]
        assert siem.drop_connections() == 0
        assert siem.summary()["open_connections"] == 0


def test_the_sink_takes_500_mb_per_cpu_second_and_counts() -> None:
    block = lines("0-17-3") * 2000
    with EmulatorProcess("syslog", {"mode": "sink"}) as remote:
        with connect(remote.addresses["host"], remote.addresses["port"]) as sock:
            sock.sendall(block)
            assert wait_until(lambda: remote.ask("summary")["counters"]["bytes"] == len(block))
            before_s = cpu_s(remote.pid)
            for _ in range(999):
                sock.sendall(block)
            assert wait_until(lambda: remote.ask("summary")["counters"]["bytes"] == 1000 * len(block))
            used_s = cpu_s(remote.pid) - before_s
        counters = remote.ask("summary")["counters"]

    assert counters == {"bytes": 1000 * len(block), "events": 1000 * 2000, "malformed": 0}
    # Of CPU time, not of wall time: the machine may be busy with other tests.
    assert 999 * len(block) / used_s > 500e6


def test_as_a_process_it_is_driven_from_outside() -> None:
    with EmulatorProcess("syslog", {"framing": "octet-counting"}) as remote:
        remote.call("inject", kind="rst", after_frames=2, count=1)
        with connect(remote.addresses["host"], remote.addresses["port"]) as sock:
            sock.sendall(counted(frame("a")) + counted(b"rubbish") + counted(frame("b")))
            ended = ending(sock)
        remote.call("restart")
        remote.call("configure", framing="lf")
        with connect(remote.addresses["host"], remote.addresses["port"]) as sock:
            sock.sendall(lines("c"))
            assert remote.wait_for(2, timeout_s=5)

        assert (remote.addresses["emulator"], ended) == ("syslog", "rst")
        assert remote.ids() == ["a", "c"]
        assert [item["frame"] for item in remote.ask("malformed")] == ["rubbish"]
        assert [strike["kind"] for strike in remote.ask("strikes")] == ["rst"]
        assert remote.ask("connections")[0]["end"] == "rst"
        assert remote.ask("faults") == {}
