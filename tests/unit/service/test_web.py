"""The HTTP server for Prometheus and health checks: what it answers, and what a bad client cannot do to it."""

from __future__ import annotations

import socket
import threading
import time
from http.client import HTTPConnection, HTTPException

import pytest

from sls_siem.errors import ConfigError
from sls_siem.service import web
from sls_siem.service.web import MOST_THREADS, MetricsServer


class Pages:
    """What the process says; counts how often it was asked."""

    def __init__(self) -> None:
        self.stuck = ""
        self.holding = ""
        self.scrapes = 0
        self.troubles: list[str] = []

    def metrics(self) -> bytes:
        self.scrapes += 1
        return b"sls_siem_up 1\n"


@pytest.fixture
def pages():
    return Pages()


def free_port(address: str = "127.0.0.1") -> int:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def server_for(pages: Pages, address: str, port: int) -> MetricsServer:
    return MetricsServer(
        address,
        port,
        metrics=pages.metrics,
        healthy=lambda: pages.stuck,
        ready=lambda: pages.holding,
        trouble=pages.troubles.append,
    )


@pytest.fixture
def port(pages):
    number = free_port()
    server = server_for(pages, "127.0.0.1", number)
    server.start()
    yield number
    server.stop()


def ask(port: int, path: str, *, method: str = "GET", address: str = "127.0.0.1") -> tuple[int, str, bytes]:
    connection = HTTPConnection(address, port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type", ""), answer.read()
    finally:
        connection.close()


def test_metrics_come_in_the_text_format_whatever_the_query(pages, port) -> None:
    assert (200, "text/plain; version=0.0.4; charset=utf-8", b"sls_siem_up 1\n") == ask(port, "/metrics")
    assert 200 == ask(port, "/metrics?name[]=up")[0]
    assert 2 == pages.scrapes


def test_health_and_readiness_are_two_questions(pages, port) -> None:
    pages.stuck, pages.holding = "", "holding: shard 0: the SIEM is down"

    assert (200, "text/plain", b"ok\n") == ask(port, "/healthz")
    assert (503, "text/plain", b"holding: shard 0: the SIEM is down\n") == ask(port, "/readyz")
    pages.stuck, pages.holding = "sender-0 (busy)", ""
    assert (503, b"sender-0 (busy)\n") == ask(port, "/healthz")[::2]
    assert (200, b"ok\n") == ask(port, "/readyz")[::2]


@pytest.mark.parametrize("path", ["/", "/metrics/", "/../etc/passwd", "/healthzz"])
def test_nothing_else_is_there(port, path) -> None:
    assert (404, b"not found\n") == ask(port, path)[::2]


def test_only_reading_is_possible(pages, port) -> None:
    assert 501 == ask(port, "/metrics", method="POST")[0]
    assert 0 == pages.scrapes


def test_the_answer_does_not_tell_which_python_it_runs_on(port) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        head = client.recv(4096)

    assert b"Python" not in head
    assert b"Server: sls-siem" in head


def test_a_scraper_that_goes_away_in_the_middle_leaves_no_trace(port, capfd) -> None:
    """A reset while the answer is written: no traceback on stderr, and the next one is served."""
    for request in (b"GET /metrics HTTP/1.0\r\n\r\n", b"GET /met", b"\x16\x03\x01\x00\xff nonsense\r\n\r\n"):
        client = socket.create_connection(("127.0.0.1", port), timeout=10)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        client.sendall(request)
        client.close()

    assert 200 == ask(port, "/metrics")[0]
    assert "Traceback" not in capfd.readouterr().err


def test_clients_that_say_nothing_cost_no_more_than_a_few_threads(port) -> None:
    silent = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(MOST_THREADS)]
    try:
        deadline = time.monotonic() + 10
        refused = b"?"
        # The last of the silent ones may still be on its way to its thread.
        while refused and time.monotonic() < deadline:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as one_more:
                refused = _closed_at_once(one_more)

        assert b"" == refused
        silent.pop().close()
        while True:
            assert time.monotonic() < deadline
            try:
                status = ask(port, "/healthz")[0]
                break
            except OSError:
                time.sleep(0.02)
        assert 200 == status
    finally:
        for client in silent:
            client.close()


def _closed_at_once(client: socket.socket) -> bytes:
    try:
        client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        return client.recv(4096)
    except ConnectionError:
        return b""


def test_it_listens_on_ipv6_where_asked(pages) -> None:
    try:
        number = free_port("::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    server = server_for(pages, "::1", number)
    server.start()
    try:
        assert 200 == ask(number, "/healthz", address="::1")[0]
    finally:
        server.stop()


@pytest.mark.parametrize("port", [70000, -1])
def test_a_port_that_cannot_be_is_a_configuration_error(pages, port) -> None:
    with pytest.raises(ConfigError, match=r"metrics\.port"):
        server_for(pages, "127.0.0.1", port)


def test_a_port_that_is_taken_is_told_once_and_listened_on_as_soon_as_it_is_free(pages, monkeypatch) -> None:
    monkeypatch.setattr(web, "BIND_AGAIN_S", 0.02)
    attempts: list[object] = []
    listen = web._Server
    monkeypatch.setattr(web, "_Server", lambda *args: attempts.append(args) or listen(*args))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        number = other.getsockname()[1]
        server = server_for(pages, "127.0.0.1", number)
        server.start()
        deadline = time.monotonic() + 10
        while len(attempts) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        told = list(pages.troubles)
    try:
        assert 200 == ask_until_it_answers(number)
    finally:
        server.stop()

    assert told == pages.troubles
    assert [True] == [f"metrics.port: 127.0.0.1:{number} cannot be listened on: " in text for text in told]
    assert "choose another" in told[0]
    with pytest.raises(ConnectionRefusedError):
        ask(number, "/healthz")


def ask_until_it_answers(port: int) -> int:
    deadline = time.monotonic() + 10
    while True:
        try:
            return ask(port, "/healthz")[0]
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.parametrize(("listen", "shown"), [("192.0.2.1", "192.0.2.1:9701"), ("2001:db8::1", "[2001:db8::1]:9701")])
def test_an_address_of_another_host_is_told_and_does_not_keep_the_end_waiting(pages, listen, shown) -> None:
    server = server_for(pages, listen, 9701)
    server.start()
    began = time.monotonic()
    server.stop()

    assert time.monotonic() - began < 3
    assert [True] == [f"metrics.port: {shown} cannot be listened on: " in text for text in pages.troubles]


def test_no_name_server_is_asked_for_the_name_of_the_host(pages, monkeypatch) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda *_name: pytest.fail("asked a name server"))
    number = free_port()
    server = server_for(pages, "127.0.0.1", number)
    server.start()
    try:
        assert 200 == ask(number, "/healthz")[0]
    finally:
        server.stop()


def test_requests_that_got_no_thread_take_no_place_for_good(port, monkeypatch) -> None:
    def no_thread(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        for _ in range(MOST_THREADS):
            with pytest.raises((ConnectionError, HTTPException)):
                ask(port, "/healthz")

    assert 200 == ask(port, "/healthz")[0]
