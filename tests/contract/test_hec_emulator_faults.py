"""Every fault that the HEC emulator commits on demand: what the client sees, what is stored, that it is recorded."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator

import pytest

from sls_siem.emulator.hec import Fault, HecEmulator, HecToken
from sls_siem.emulator.hec_faults import ENDPOINTS, KINDS
from sls_siem.emulator.store import now_s
from tests.contract.receiver_support import CHANNEL, HecClient, connect, ending, hec_body, wait_until

pytestmark = pytest.mark.contract


@pytest.fixture
def hec() -> Iterator[HecEmulator]:
    with HecEmulator() as running:
        yield running


@pytest.fixture
def client(hec: HecEmulator) -> Iterator[HecClient]:
    made = HecClient(hec.host, hec.port, hec.token)
    yield made
    made.close()


def test_an_answer_for_the_next_requests_is_recorded(hec: HecEmulator, client: HecClient) -> None:
    before_s = now_s()
    number = hec.inject("answer", code=23, count=2)
    statuses = [client.post(hec_body(name)).status for name in "abc"]
    strikes = hec.strikes()

    assert statuses == [503, 503, 200]
    assert [(strike.fault, strike.kind, strike.request, strike.endpoint) for strike in strikes] == [
        (number, "answer", 1, "event"),
        (number, "answer", 2, "event"),
    ]
    assert before_s <= strikes[0].at_s <= strikes[1].at_s <= now_s()
    assert [record.fault for record in hec.requests()] == ["answer", "answer", ""]
    assert hec.faults() == {}


@pytest.mark.parametrize(
    ("code", "named", "kept"), [(6, 2, 2), (12, 0, 0), (13, 9, 2), (15, 1, 1), (7, 2, 1), (7, 0, 0)]
)
def test_a_partial_accept_to_order(hec: HecEmulator, client: HecClient, code: int, named: int, kept: int) -> None:
    hec.inject("answer", code=code, invalid_event_number=named, count=1)
    reply = client.post(hec_body("a", "b", "c"))

    assert (reply.status, reply.json["code"]) == (400, code)
    assert reply.json["invalid-event-number"] == kept + (code == 7)
    assert hec.store.ids() == list("abc")[:kept]


def test_a_partial_accept_at_a_fraction_that_sticks(hec: HecEmulator, client: HecClient) -> None:
    hec.inject("answer", code=6, at_fraction=0.5, sticky=True, count=1)
    first, second = client.post(hec_body(*"abcd")), client.post(hec_body(*"cd"))

    assert [reply.json["invalid-event-number"] for reply in (first, second)] == [2, 0]
    assert hec.store.ids() == ["a", "b"]


def test_an_error_may_hide_that_everything_was_stored(hec: HecEmulator, client: HecClient) -> None:
    hec.inject("answer", code=8, stored=True, count=1)

    assert client.post(hec_body("a")).status == 500
    assert hec.store.ids() == ["a"]


@pytest.mark.parametrize("status", [301, 302, 307, 413, 500, 502])
def test_answers_without_a_code(hec: HecEmulator, client: HecClient, status: int) -> None:
    hec.inject("answer", status=status, location="http://127.0.0.1:9/", retry_after_s=3, count=1)
    reply = client.post(hec_body("a"))

    assert (reply.status, reply.headers["location"], reply.headers["retry-after"]) == (
        status,
        "http://127.0.0.1:9/",
        "3",
    )
    assert hec.store.total == 0


def test_a_code_with_another_status_and_text(hec: HecEmulator, client: HecClient) -> None:
    hec.inject("answer", code=99, status=418, text="odd", count=1)
    reply = client.post(hec_body("a"))

    assert (reply.status, reply.json) == (418, {"text": "odd", "code": 99})


@pytest.mark.parametrize(
    ("kind", "stored"),
    [("reset_in_body", 0), ("reset_before", 0), ("reset_after", 1), ("close_before", 0), ("close_after", 1)],
)
def test_no_answer(hec: HecEmulator, client: HecClient, kind: str, stored: int) -> None:
    hec.inject(kind, count=1)
    expected = http.client.RemoteDisconnected if kind.startswith("close") else ConnectionResetError
    with pytest.raises(expected) as caught:
        client.post(hec_body("a"))
    client.close()

    assert caught.type is expected
    assert hec.store.total == stored
    assert (hec.requests()[0].status, hec.requests()[0].fault) == (0, kind)
    assert client.post(hec_body("b")).status == 200


def test_no_answer_although_the_default_would_not_store(hec: HecEmulator, client: HecClient) -> None:
    hec.inject("reset_before", stored=True, count=1)
    with pytest.raises(ConnectionResetError):
        client.post(hec_body("a"))

    assert hec.store.total == 1


def test_closed_on_keep_alive(hec: HecEmulator, client: HecClient) -> None:
    hec.inject("close_keep_alive", count=1)
    reply = client.post(hec_body("a"))

    assert (reply.status, reply.headers["connection"]) == (200, "Keep-Alive")
    with pytest.raises((http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError)):
        client.post(hec_body("b"))
    assert hec.store.ids() == ["a"]


def test_a_truncated_answer(hec: HecEmulator, client: HecClient) -> None:
    hec.inject("truncated", count=1)
    with pytest.raises(http.client.IncompleteRead) as caught:
        client.post(hec_body("a"))

    assert caught.value.partial == b'{"text":"Succ'
    assert hec.store.ids() == ["a"]


def test_a_garbage_answer(hec: HecEmulator, client: HecClient) -> None:
    hec.inject("garbage", count=1)
    hec.inject("garbage", body="[1,2]", stored=False, count=1)
    replies = [client.post(hec_body(name)) for name in "ab"]

    assert [(reply.status, reply.body) for reply in replies] == [(200, b'\x00{"text":"Succ\xff'), (200, b"[1,2]")]
    assert hec.store.ids() == ["a"]


def test_an_html_page_of_a_balancer(hec: HecEmulator, client: HecClient) -> None:
    hec.inject("html", count=1)
    hec.inject("html", status=504, body="<b>late</b>", stored=True, count=1)
    replies = [client.post(hec_body(name)) for name in "ab"]

    assert [reply.status for reply in replies] == [502, 504]
    assert b"<b>late</b>" in replies[1].body
    assert hec.store.ids() == ["b"]


def test_a_slow_body_read(hec: HecEmulator, client: HecClient) -> None:
    hec.inject("slow_body", bytes_per_s=20_000, count=1)
    start_s = time.monotonic()
    reply = client.post(hec_body("a") + b" " * 4000)

    assert reply.status == 200
    assert time.monotonic() - start_s >= 0.15
    assert hec.store.ids() == ["a"]


def test_a_body_that_is_not_read_at_first(hec: HecEmulator, client: HecClient) -> None:
    hec.inject("slow_body", bytes_per_s=0, delay_s=0.1, count=1)
    start_s = time.monotonic()

    assert client.post(hec_body("a")).status == 200
    assert time.monotonic() - start_s >= 0.1


@pytest.mark.parametrize(
    "fields", [{"kind": "slow_answer", "delay_s": 0.1}, {"kind": "slow_answer", "bytes_per_s": 2000.0}]
)
def test_a_slow_answer(hec: HecEmulator, client: HecClient, fields: dict[str, object]) -> None:
    hec.inject(count=1, **fields)
    start_s = time.monotonic()
    reply = client.post(hec_body("a"))

    assert reply.json["code"] == 0
    assert time.monotonic() - start_s >= 0.08


def test_a_black_hole_swallows_the_request_until_the_client_gives_up(hec: HecEmulator) -> None:
    hec.inject("black_hole", count=1)
    client = HecClient(hec.host, hec.port, hec.token)
    client.http.timeout = 0.1
    with pytest.raises(socket.timeout):
        client.post(hec_body("a"))
    client.close()

    assert wait_until(lambda: hec.summary()["open_connections"] == 0)
    assert hec.store.total == 0
    assert hec.strikes()[0].kind == "black_hole"


def test_a_black_hole_does_not_keep_the_emulator_from_stopping() -> None:
    with HecEmulator() as hec:
        hec.inject("black_hole")
        sock = connect(hec.host, hec.port)
        body = hec_body("a")
        head = f"POST /services/collector HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        sock.sendall(head.encode() + body)
        assert wait_until(hec.strikes)
        start_s = time.monotonic()

    assert time.monotonic() - start_s < 5
    assert ending(sock) == "rst"
    sock.close()


def test_the_same_seed_strikes_the_same_requests(client: HecClient, hec: HecEmulator) -> None:
    rounds = []
    for _ in range(2):
        hec.inject("answer", code=9, probability=0.5, seed=42)
        rounds.append([client.post(hec_body("a")).status for _ in range(30)])
        hec.clear_faults()

    assert rounds[0] == rounds[1]
    assert {200, 503} == set(rounds[0])


def test_a_fault_for_a_time(hec: HecEmulator, client: HecClient) -> None:
    hec.inject("answer", code=9, for_s=0.1)

    assert client.post(hec_body("a")).status == 503
    assert wait_until(lambda: client.post(hec_body("a")).status == 200, timeout_s=3)


def test_a_fault_may_let_some_pass_and_be_taken_back(hec: HecEmulator, client: HecClient) -> None:
    keep = hec.inject("answer", code=9, skip=1)
    other = hec.inject("answer", code=8, endpoint="health")
    statuses = [client.post(hec_body("a")).status for _ in range(3)]
    hec.clear_faults(keep)

    assert statuses == [200, 503, 503]
    assert client.post(hec_body("a")).status == 200
    assert list(hec.faults()) == [other]
    assert client.ask("GET", "/services/collector/health").status == 500


def test_a_fault_on_any_endpoint_strikes_acks_too(hec: HecEmulator, client: HecClient) -> None:
    hec.set_token(HecToken("with-ack", use_ack=True))
    client.token = "with-ack"
    client.post(hec_body("a"), channel=CHANNEL)
    hec.inject(Fault("answer", endpoint="any", code=8))

    assert client.post('{"acks":[0]}', path="/services/collector/ack", channel=CHANNEL).status == 500
    assert client.post(b"x", path="/services/collector/raw", channel=CHANNEL).status == 500


def test_wrong_names_are_refused() -> None:
    with pytest.raises(ValueError, match="no such fault"):
        Fault("explode")
    with pytest.raises(ValueError, match="no such endpoint"):
        Fault("answer", endpoint="acks")
    assert {"answer", "black_hole"} <= KINDS
    assert "event" in ENDPOINTS


def test_down_then_up_on_the_same_port(hec: HecEmulator, client: HecClient) -> None:
    client.post(hec_body("a"))
    sock = connect(hec.host, hec.port)
    port = hec.port
    hec.stop_listening()
    with pytest.raises(ConnectionRefusedError):
        connect(hec.host, port)
    ended = ending(sock)
    sock.close()
    client.close()
    hec.listen_again()
    hec.listen_again()

    assert (ended, hec.port) == ("rst", port)
    assert client.post(hec_body("b")).status == 200
    assert hec.store.ids() == ["a", "b"]


def test_shut_door_with_guests_inside(hec: HecEmulator, client: HecClient) -> None:
    client.post(hec_body("a"))
    hec.stop_listening(connections="keep")

    assert client.post(hec_body("b")).status == 200
    with pytest.raises(ConnectionRefusedError):
        connect(hec.host, hec.port)


@pytest.mark.parametrize(("reset", "expected"), [(True, "rst"), (False, "fin")])
def test_open_connections_are_dropped(hec: HecEmulator, reset: bool, expected: str) -> None:
    with connect(hec.host, hec.port) as sock:
        assert wait_until(lambda: hec.summary()["open_connections"] == 1)
        dropped = hec.drop_connections(reset=reset)

        assert (dropped, ending(sock)) == (1, expected)
