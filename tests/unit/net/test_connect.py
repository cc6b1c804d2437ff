from __future__ import annotations

import errno
import socket
import ssl
import threading
import time

import pytest

from sls_siem.emulator.certificates import Certificates, server_context
from sls_siem.net import connect as module
from sls_siem.net.connect import HandshakeTimeout, connect
from sls_siem.net.deadline import Deadline, DeadlineExceeded
from sls_siem.net.resolve import Address
from sls_siem.net.tls import client_context
from tests.unit.net.peers import peer


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


def greet(connection, _here):
    connection.send(b"hello")


def resolving_to(monkeypatch, *addresses):
    monkeypatch.setattr(module, "resolve", lambda *_args: addresses)


def black_hole():
    """A listening socket whose queue is full: the kernel drops every further SYN."""
    door = socket.socket()
    door.bind(("127.0.0.1", 0))
    door.listen(0)
    waiting = [socket.socket() for _ in range(3)]
    for sock in waiting:
        sock.setblocking(False)
        sock.connect_ex(door.getsockname())
    return door, waiting


@pytest.fixture
def hole():
    door, waiting = black_hole()
    yield door.getsockname()[1]
    for sock in [door, *waiting]:
        sock.close()


@pytest.fixture
def closed_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_connects_to_names_and_addresses_of_both_families(host):
    with (
        peer(greet, host="::1" if host == "::1" else "127.0.0.1") as here,
        connect(host, here.port, Deadline(5)) as sock,
    ):
        assert sock.recv(5) == b"hello"


def test_sends_small_writes_at_once_and_notices_a_dead_peer():
    with peer(greet) as here, connect("127.0.0.1", here.port, Deadline(5)) as sock:
        options = [
            sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        ]

        assert options == [1, 1]


def test_goes_on_to_the_next_address_when_one_refuses(monkeypatch, closed_port):
    with peer(greet) as here:
        good = Address(socket.AF_INET, ("127.0.0.1", here.port))
        resolving_to(monkeypatch, Address(socket.AF_INET, ("127.0.0.1", closed_port)), good)
        with connect("siem.test", here.port, Deadline(5)) as sock:
            assert sock.recv(5) == b"hello"


def test_an_address_that_swallows_everything_leaves_time_for_the_next(monkeypatch, hole):
    with peer(greet) as here:
        good = Address(socket.AF_INET, ("127.0.0.1", here.port))
        resolving_to(monkeypatch, Address(socket.AF_INET, ("127.0.0.1", hole)), good)
        with connect("siem.test", here.port, Deadline(5), connect_timeout_s=0.4) as sock:
            assert sock.recv(5) == b"hello"


def test_a_refusal_surfaces_as_it_is(closed_port):
    with pytest.raises(ConnectionRefusedError):
        connect("127.0.0.1", closed_port, Deadline(5))


def test_a_black_hole_ends_at_the_connect_timeout(hole):
    start = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"not connected within 0\.2 s"):
        connect("127.0.0.1", hole, Deadline(30), connect_timeout_s=0.2)

    assert time.monotonic() - start < 5


def test_a_black_hole_ends_at_the_deadline_of_the_exchange_when_that_is_earlier(hole):
    start = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        connect("127.0.0.1", hole, Deadline(0.2), connect_timeout_s=30)

    assert time.monotonic() - start < 5


def test_no_address_at_all_is_an_unknown_name(monkeypatch):
    resolving_to(monkeypatch)
    with pytest.raises(socket.gaierror):
        connect("siem.test", 1, Deadline(5))


def test_handshakes_with_the_right_name(certificates):
    tls = client_context(ca_file=certificates.ca_file)
    with (
        peer(greet, tls=server_context(certificates.server)) as here,
        connect("127.0.0.1", here.port, Deadline(5), tls=tls, server_name="localhost") as sock,
    ):
        assert sock.recv(5) == b"hello"


def test_a_peer_that_never_answers_the_handshake_ends_at_the_deadline(certificates):
    tls = client_context(ca_file=certificates.ca_file)
    with peer(lambda connection, _here: connection.pause_while_open(20)) as here:
        start = time.monotonic()
        with pytest.raises(HandshakeTimeout, match=r"connected, but no TLS answer came within 0\.3 s"):
            connect("127.0.0.1", here.port, Deadline(0.3), tls=tls)

        assert time.monotonic() - start < 5


def test_a_bad_certificate_is_told_rather_than_an_address_that_is_not_routed(monkeypatch, certificates):
    tls = client_context(ca_file=certificates.other_ca_file)
    with peer(greet, tls=server_context(certificates.server)) as here:
        bad = Address(socket.AF_INET, ("127.0.0.1", here.port))
        resolving_to(monkeypatch, bad, Address(socket.AF_INET, ("255.255.255.255", 1)))
        with pytest.raises(ssl.SSLCertVerificationError):
            connect("localhost", here.port, Deadline(5), tls=tls)


def test_a_server_name_that_cannot_be_one_is_a_tls_error(certificates):
    tls = client_context(ca_file=certificates.ca_file)
    with peer(greet) as here, pytest.raises(ssl.SSLError, match="cannot be used"):
        connect("127.0.0.1", here.port, Deadline(5), tls=tls, server_name=".bad")


def test_works_where_keep_alive_may_not_be_set(monkeypatch):
    here_only = threading.current_thread()

    class Strict(socket.socket):
        def setsockopt(self, level, *rest):
            if level == socket.SOL_SOCKET and threading.current_thread() is here_only:
                raise OSError(errno.EPERM, "Operation not permitted")
            super().setsockopt(level, *rest)

    with peer(greet) as here:
        monkeypatch.setattr(socket, "socket", Strict)
        with connect("127.0.0.1", here.port, Deadline(5)) as sock:
            assert sock.recv(5) == b"hello"
