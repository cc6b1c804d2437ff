"""The HEC emulator held to the recorded answers of a real collector: one test per row of the status table and more."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import threading
import zlib
from collections.abc import Iterator

import pytest

from sls_siem.emulator.hec import HecEmulator, HecToken
from sls_siem.emulator.hec_codes import STATUS
from sls_siem.emulator.store import Comparison, event_digest
from tests.contract.receiver_support import CHANNEL, HecClient, Reply, hec_body, hec_event, wait_until

pytestmark = pytest.mark.contract
WITH_ACK = HecToken("ack-token", use_ack=True)


@pytest.fixture
def hec() -> Iterator[HecEmulator]:
    with HecEmulator(keep_bytes=True) as running:
        running.set_token(WITH_ACK)
        running.set_token(HecToken("disabled", enabled=False))
        running.set_token(HecToken("narrow", indexes=("main", "web")))
        yield running


@pytest.fixture
def client(hec: HecEmulator) -> Iterator[HecClient]:
    made = HecClient(hec.host, hec.port, hec.token)
    yield made
    made.close()


def said(reply: Reply) -> tuple[int, int, str]:
    return reply.status, reply.json["code"], reply.json["text"]


def row(code: int) -> tuple[int, int, str]:
    status, text = STATUS[code]
    return status, code, text


def test_the_table_is_the_recorded_one() -> None:
    statuses = {code: status for code, (status, _) in STATUS.items()}

    assert statuses == {
        **dict.fromkeys((0, 17, 24, 25), 200),
        **dict.fromkeys((5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 21, 22, 28), 400),
        **dict.fromkeys((2, 3), 401),
        **dict.fromkeys((1, 4), 403),
        **dict.fromkeys((26, 27), 429),
        8: 500,
        **dict.fromkeys((9, 18, 19, 20, 23), 503),
    }


def test_code_0_stores_every_object_byte_for_byte(hec: HecEmulator, client: HecClient) -> None:
    first, second = hec_event("1-0-0", host="h", time=1433188255.5), '{ "event" : "grün" }'.encode()
    reply = client.post(first + b"\r\n " + second + b"\n")

    assert reply.body == b'{"text":"Success","code":0}'
    assert hec.store.data("1-0-0") == first
    assert hec.store.data("") == second
    assert hec.store.sequence() == ["1-0-0", ""]


def test_code_1_disabled_token(hec: HecEmulator, client: HecClient) -> None:
    client.token = "disabled"

    assert said(client.post(hec_body("a"))) == row(1)
    assert hec.store.total == 0


def test_code_2_no_authorization(hec: HecEmulator, client: HecClient) -> None:
    assert said(client.ask("POST", "/services/collector", hec_body("a"))) == row(2)
    assert hec.store.total == 0


@pytest.mark.parametrize("value", ["Bearer x", "Splunk", "Splunk ", "Splunk a b", "Basic !!", "Basic eDo=", ""])
def test_code_3_authorization_of_another_scheme(hec: HecEmulator, client: HecClient, value: str) -> None:
    reply = client.ask("POST", "/services/collector", hec_body("a"), {"Authorization": value})

    assert said(reply) == row(3)
    assert hec.store.total == 0


def test_code_4_unknown_token(hec: HecEmulator, client: HecClient) -> None:
    client.token = "unknown"

    assert said(client.post(hec_body("a"))) == row(4)
    assert hec.store.total == 0


def test_basic_authorization_carries_the_token_as_password(hec: HecEmulator, client: HecClient) -> None:
    basic = base64.b64encode(f"x:{hec.token}".encode()).decode()

    assert said(client.ask("POST", "/services/collector", hec_body("a"), {"Authorization": f"Basic {basic}"})) == row(0)


@pytest.mark.parametrize("body", [b"", b" \r\n\t"])
def test_code_5_nothing_in_the_body(client: HecClient, body: bytes) -> None:
    assert said(client.post(body)) == row(5)


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b'{"event":"x"',
        b"[]",
        b'["event"]',
        b"7",
        b'"text"',
        b"null",
        b'{"event":NaN}',
        b'{"event":"a\x01b"}',
        b'{"event":"\xff"}',
        b"\xff",
        b',{"event":"x"}',
        b'{"event":"x","time":"now"}',
        b'{"event":"x","time":true}',
        b'{"event":"x","host":7}',
        b'{"event":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_code_6_names_the_broken_object_and_keeps_those_before(hec: HecEmulator, client: HecClient, bad: bytes) -> None:
    reply = client.post(hec_body("a", "b") + bad + hec_body("c"))

    assert said(reply) == row(6)
    assert reply.json["invalid-event-number"] == 2
    assert hec.store.ids() == ["a", "b"]


def test_code_7_names_the_object_after_the_refused_one(hec: HecEmulator, client: HecClient) -> None:
    client.token = "narrow"
    body = hec_event("a", index="web") + hec_event("b") + hec_event("c", index="secret") + hec_event("d")
    reply = client.post(body)

    assert said(reply) == row(7)
    assert reply.json["invalid-event-number"] == 3
    assert hec.store.ids() == ["a", "b"]


def test_code_7_can_name_the_refused_one_itself(hec: HecEmulator, client: HecClient) -> None:
    hec.configure(code7_ahead=0)
    client.token = "narrow"

    assert client.post(hec_body("a") + hec_event("b", index="x")).json["invalid-event-number"] == 1


@pytest.mark.parametrize("code", [8, 9, 26, 27])
def test_trouble_of_the_server_on_demand_stores_nothing(hec: HecEmulator, client: HecClient, code: int) -> None:
    hec.inject("answer", code=code, retry_after_s=2, count=1)
    reply = client.post(hec_body("a"))

    assert said(reply) == row(code)
    assert reply.headers["retry-after"] == "2"
    assert hec.store.total == 0
    assert said(client.post(hec_body("a"))) == row(0)


def test_code_9_may_have_taken_the_events_before_its_number(hec: HecEmulator, client: HecClient) -> None:
    hec.inject("answer", code=9, invalid_event_number=2, count=1)
    reply = client.post(hec_body("a", "b", "c"))

    assert said(reply) == row(9)
    assert reply.json["invalid-event-number"] == 2
    assert hec.store.ids() == ["a", "b"]


def test_code_9_while_the_server_is_busy(hec: HecEmulator, client: HecClient) -> None:
    hec.set_state("busy")

    assert said(client.post(hec_body("a"))) == row(9)
    assert said(client.ask("GET", "/services/collector/health")) == row(9)


def test_code_10_no_channel_with_a_token_that_acknowledges(hec: HecEmulator, client: HecClient) -> None:
    client.token = "ack-token"

    assert said(client.post(hec_body("a"))) == row(10)
    assert said(client.post('{"acks":[0]}', path="/services/collector/ack")) == row(10)
    assert hec.store.total == 0


@pytest.mark.parametrize("channel", ["x", "0aeeac95", CHANNEL + "0"])
def test_code_11_channel_that_is_no_guid(hec: HecEmulator, client: HecClient, channel: str) -> None:
    client.token = "ack-token"

    assert said(client.post(hec_body("a"), channel=channel)) == row(11)
    assert said(client.post(hec_body("a"), path=f"/services/collector?channel={channel}")) == row(11)
    assert hec.store.total == 0


@pytest.mark.parametrize("bad", [b'{"host":"h"}', b"{}", b'{"event":null}', b'{"event":null,"fields":{}}'])
def test_code_12_no_event(hec: HecEmulator, client: HecClient, bad: bytes) -> None:
    reply = client.post(hec_body("a") + bad + hec_body("b"))

    assert said(reply) == row(12)
    assert reply.json["invalid-event-number"] == 1
    assert hec.store.ids() == ["a"]


def test_code_13_empty_event(hec: HecEmulator, client: HecClient) -> None:
    reply = client.post(hec_body("a", "b") + b'{"event":""}' + hec_body("c"))

    assert said(reply) == row(13)
    assert reply.json["invalid-event-number"] == 2
    assert hec.store.ids() == ["a", "b"]


def test_code_14_ack_asked_of_a_token_without(client: HecClient) -> None:
    assert said(client.post('{"acks":[0]}', path=f"/services/collector/ack?channel={CHANNEL}")) == row(14)


@pytest.mark.parametrize("fields", ['{"a":{"b":1}}', '"text"', "[1]", '{"a":[{}]}', '{"a":null}'])
def test_code_15_fields_that_are_not_flat(hec: HecEmulator, client: HecClient, fields: str) -> None:
    reply = client.post(hec_body("a") + f'{{"event":"x","fields":{fields}}}'.encode() + hec_body("b"))

    assert said(reply) == row(15)
    assert reply.json["invalid-event-number"] == 1
    assert hec.store.ids() == ["a"]


def test_flat_fields_are_taken(hec: HecEmulator, client: HecClient) -> None:
    reply = client.post('{"event":{"k":[1]},"fields":{"a":1,"b":true,"c":["x","y"],"sls_id":"i"}}')

    assert said(reply) == row(0)
    assert hec.store.ids() == ["i"]


def test_code_16_token_in_the_query(hec: HecEmulator, client: HecClient) -> None:
    path = f"/services/collector?token={hec.token}"

    assert said(client.ask("POST", path, hec_body("a"))) == row(16)
    hec.configure(query_string_token=True)
    assert said(client.ask("POST", path, hec_body("a"))) == row(0)


@pytest.mark.parametrize("path", ["/services/collector/health", "/services/collector/health/1.0"])
def test_code_17_healthy_without_a_token(hec: HecEmulator, client: HecClient, path: str) -> None:
    assert said(client.ask("GET", path)) == row(17)
    assert said(client.ask("GET", path, headers={"Authorization": f"Splunk {hec.token}"})) == row(17)


@pytest.mark.parametrize(("state", "code"), [("queues-full", 18), ("ack-unavailable", 19), ("queues-full-no-ack", 20)])
def test_codes_18_to_20_unhealthy(hec: HecEmulator, client: HecClient, state: str, code: int) -> None:
    hec.set_state(state)
    hec.configure(retry_after_s=1.5)
    reply = client.ask("GET", "/services/collector/health")

    assert said(reply) == row(code)
    assert reply.headers["retry-after"] == "1.5"


def test_full_queues_refuse_events_and_a_dead_ack_service_those_with_ack(hec: HecEmulator, client: HecClient) -> None:
    hec.set_state("queues-full")
    full = client.post(hec_body("a"))
    hec.set_state("ack-unavailable")
    without = client.post(hec_body("b"))
    client.token = "ack-token"
    with_ack = client.post(hec_body("c"), channel=CHANNEL)
    asked = client.post('{"acks":[0]}', path="/services/collector/ack", channel=CHANNEL)

    assert [said(reply) for reply in (full, without, with_ack, asked)] == [row(9), row(0), row(9), row(9)]
    assert hec.store.ids() == ["b"]


def test_code_21_health_with_an_unknown_token(client: HecClient) -> None:
    reply = client.ask("GET", "/services/collector/health", headers={"Authorization": "Splunk nobody"})

    assert said(reply) == row(21)
    assert said(client.ask("GET", "/services/collector/health?token=nobody")) == row(21)


def test_code_22_health_with_a_disabled_token(client: HecClient) -> None:
    reply = client.ask("GET", "/services/collector/health", headers={"Authorization": "Splunk disabled"})

    assert said(reply) == row(22)


def test_code_23_shutting_down(hec: HecEmulator, client: HecClient) -> None:
    hec.set_state("shutting-down")

    assert said(client.post(hec_body("a"))) == row(23)
    assert said(client.ask("GET", "/services/collector/health")) == row(23)
    assert hec.store.total == 0


def test_codes_24_and_26_as_the_queue_fills(hec: HecEmulator, client: HecClient) -> None:
    hec.configure(queue_capacity=5, index_delay_s=60)
    codes = [client.post(hec_body(*ids)).json["code"] for ids in ("abcd", "e", "f")]

    assert codes == [0, 24, 26]
    assert hec.held == 5
    hec.flush()
    assert hec.store.ids() == list("abcde")


def test_codes_25_and_27_as_acknowledgements_pile_up(hec: HecEmulator, client: HecClient) -> None:
    hec.configure(ack_capacity=5)
    client.token = "ack-token"
    replies = [client.post(hec_body(str(number)), channel=CHANNEL).json for number in range(6)]

    assert [(reply["code"], reply.get("ackId")) for reply in replies] == [
        (0, 0),
        (0, 1),
        (0, 2),
        (0, 3),
        (25, 4),
        (27, None),
    ]
    assert hec.store.ids() == list("01234")


@pytest.mark.parametrize("code", [24, 25])
def test_nearly_full_on_demand_is_accepted_and_acknowledged(hec: HecEmulator, client: HecClient, code: int) -> None:
    hec.inject("answer", code=code, count=1)
    client.token = "ack-token"
    reply = client.post(hec_body("a"), channel=CHANNEL)

    assert said(reply) == row(code)
    assert reply.json["ackId"] == 0
    assert hec.store.ids() == ["a"]
    assert client.acks([0]) == {"0": True}


def test_code_28_is_the_clouds_word_for_10(hec: HecEmulator, client: HecClient) -> None:
    hec.configure(edition="cloud")
    client.token = "ack-token"

    assert said(client.post(hec_body("a"))) == row(28)


def test_an_unknown_envelope_key_silently_drops_the_rest_behind_a_200(hec: HecEmulator, client: HecClient) -> None:
    body = hec_body("a") + hec_event("b", severity="high") + b"{broken" + hec_body("c")
    reply = client.post(body)

    assert said(reply) == row(0)
    assert hec.store.ids() == ["a"]
    assert hec.counters.trapped_requests == 1


def test_fields_without_event_are_answered_200_and_skipped(hec: HecEmulator, client: HecClient) -> None:
    reply = client.post(hec_body("a") + b'{"fields":{"x":"y"}}' + hec_body("b"))

    assert said(reply) == row(0)
    assert hec.store.ids() == ["a", "b"]
    assert hec.counters.skipped == 1


def test_poison_stays_refused_until_healed(hec: HecEmulator, client: HecClient) -> None:
    hec.poison("b", code=15)
    first, second = client.post(hec_body("a", "b", "c")), client.post(hec_body("b", "c"))
    hec.heal("b")
    third = client.post(hec_body("b", "c"))

    assert [reply.json.get("invalid-event-number") for reply in (first, second, third)] == [1, 0, None]
    assert hec.store.sequence() == ["a", "b", "c"]


def test_unknown_paths_and_methods(client: HecClient) -> None:
    replies = [
        client.post(hec_body("a"), path="/services/elsewhere"),
        client.ask("GET", "/services/collector/event"),
        client.ask("POST", "/services/collector/health"),
    ]

    assert [(reply.status, reply.json["code"]) for reply in replies] == [(404, 404), (405, 404), (405, 404)]


def test_gzip_is_taken_deflate_is_not(hec: HecEmulator, client: HecClient) -> None:
    members = gzip.compress(hec_body("a")) + gzip.compress(hec_body("b"))
    taken = client.post(members, headers={"Content-Encoding": "gzip"})
    refused = client.post(zlib.compress(hec_body("c")), headers={"Content-Encoding": "deflate"})

    assert said(taken) == row(0)
    assert (refused.status, refused.headers["content-type"][:9]) == (415, "text/html")
    assert hec.store.ids() == ["a", "b"]


@pytest.mark.parametrize(
    "broken",
    [b"plain", gzip.compress(b"x" * 1000)[:-9], gzip.compress(b"{}") + b"rest"],
    ids=["no gzip", "cut off", "with a rest"],
)
def test_broken_gzip_is_code_6(hec: HecEmulator, client: HecClient, broken: bytes) -> None:
    assert said(client.post(broken, headers={"Content-Encoding": "gzip"})) == row(6)
    assert hec.store.total == 0


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_too_much_is_413_by_uncompressed_size(hec: HecEmulator, client: HecClient, encoding: str) -> None:
    body = hec_event("a", source="x" * 2000)
    sent = gzip.compress(body) if encoding == "gzip" else body
    hec.configure(max_content_length=len(body) - 1)
    refused = client.post(sent, headers={"Content-Encoding": encoding})
    hec.configure(max_content_length=len(body))
    taken = client.post(sent, headers={"Content-Encoding": encoding})

    assert (refused.status, refused.headers["content-type"][:9]) == (413, "text/html")
    assert said(taken) == row(0)


def test_too_much_is_400_code_6_in_the_cloud(hec: HecEmulator, client: HecClient) -> None:
    hec.configure(edition="cloud")
    reply = client.post(b" " * 5_242_882)

    assert said(reply) == row(6)
    assert "invalid-event-number" not in reply.json


def test_raw_takes_lines(hec: HecEmulator, client: HecClient) -> None:
    taken = client.post(b"one\ntwo\n\n", path="/services/collector/raw")
    empty = client.post(b"\n", path="/services/collector/raw/1.0")

    assert [said(taken), said(empty)] == [row(0), row(5)]
    assert [arrival.data for arrival in hec.store.arrivals("")] == [b"one", b"two"]


def test_bodies_in_chunks_and_expect_continue(hec: HecEmulator, client: HecClient) -> None:
    parts = [hec_body("a"), hec_body("b") * 3]
    headers = {"Authorization": f"Splunk {hec.token}", "Transfer-Encoding": "chunked"}
    client.http.request("POST", "/services/collector", iter(parts), headers, encode_chunked=True)
    chunked = client.http.getresponse()
    chunked.read()
    waited = client.post(hec_body("c"), headers={"Expect": "100-continue"})

    assert (chunked.status, waited.status) == (200, 200)
    assert hec.store.ids() == ["a", "b", "c"]
    assert hec.store.duplicates() == {"b": 2}


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"y" * 70_000,
    ],
)
def test_what_is_no_http_is_400_and_closed(hec: HecEmulator, client: HecClient, request_bytes: bytes) -> None:
    client.http.connect()
    client.http.sock.sendall(request_bytes)
    answer = b""
    while data := client.http.sock.recv(4096):
        answer += data

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Connection: close" in answer


def test_requests_are_recorded_with_their_times(hec: HecEmulator, client: HecClient) -> None:
    client.post(hec_body("a", "b"), channel=CHANNEL)
    client.post(b"", headers={"Connection": "close"})
    first, second = hec.requests()

    assert (first.number, first.status, first.code, first.events, first.channel) == (1, 200, 0, 2, CHANNEL)
    assert (second.number, second.status, second.code, second.events) == (2, 400, 5, 0)
    assert first.at_s == hec.store.arrivals("a")[0].at_s < second.at_s


def test_the_sink_counts_and_stores_nothing(hec: HecEmulator, client: HecClient) -> None:
    hec.configure(mode="sink")
    body = hec_body("a", "b", "c")
    packed = gzip.compress(body)
    client.token = "ack-token"
    reply = client.post(body, channel=CHANNEL)
    hec.configure(sink_inflate=True)
    client.post(packed, channel=CHANNEL, headers={"Content-Encoding": "gzip"})

    assert reply.json["ackId"] == 0
    assert client.acks([0, 1]) == {"0": True, "1": True}
    assert (hec.counters.events, hec.store.total) == (6, 0)
    assert (hec.counters.wire_bytes, hec.counters.content_bytes) == (len(body) + len(packed), 2 * len(body))


def test_many_connections_lose_and_mix_up_nothing(hec: HecEmulator) -> None:
    def send(lane: int) -> None:
        client = HecClient(hec.host, hec.port, hec.token)
        for batch in range(20):
            ids = [f"{lane}-{batch}-{index}" for index in range(50)]
            assert client.post(hec_body(*ids)).status == 200
        client.close()

    threads = [threading.Thread(target=send, args=(lane,)) for lane in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = [f"{lane}-{batch}-{index}" for lane in range(4) for batch in range(20) for index in range(50)]

    assert hec.store.compare({name: event_digest(hec_event(name)) for name in names}) == Comparison()


def test_tls(tls_hec: tuple[HecEmulator, HecClient]) -> None:
    hec, client = tls_hec

    assert hec.url.startswith("https://")
    assert said(client.post(hec_body("a"))) == row(0)


@pytest.fixture
def tls_hec(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HecEmulator, HecClient]]:
    import ssl

    from sls_siem.emulator.certificates import Certificates, server_context

    certificates = Certificates(tmp_path_factory.mktemp("tls"))
    with HecEmulator(tls=server_context(certificates.server)) as hec:
        client = HecClient(hec.host, hec.port, hec.token, tls=ssl.create_default_context(cafile=certificates.ca_file))
        yield hec, client
        client.close()


def test_a_settings_name_that_does_not_exist_is_refused(hec: HecEmulator) -> None:
    with pytest.raises(TypeError):
        hec.configure(speed=1)
    with pytest.raises(ValueError, match="while running"):
        hec.configure(indexers=2)
    with pytest.raises(ValueError, match="no such state"):
        hec.set_state("happy")


def test_a_token_can_be_taken_away(hec: HecEmulator, client: HecClient) -> None:
    hec.remove_token(hec.token)

    assert said(client.post(hec_body("a"))) == row(4)


def test_a_split_stream_of_requests_is_understood(hec: HecEmulator, client: HecClient) -> None:
    body = hec_body("a")
    request = (
        f"POST /services/collector HTTP/1.1\r\nHost: x\r\nAuthorization: Splunk {hec.token}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    client.http.connect()
    for byte in request[:-5]:
        client.http.sock.send(bytes([byte]))
    client.http.sock.sendall(request[-5:] + b"\r\n" + request + request)

    assert wait_until(lambda: hec.store.total == 3)
    assert hec.store.duplicates() == {"a": 2}
    assert json.loads(hec.store.data("a") or b"")["event"] == "event a"


@pytest.mark.parametrize(
    "cut",
    [
        b"POST /services/collector HTTP/1.1\r\nHost",
        b"POST /services/collector HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
        b"POST /services/collector HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{",
        b"POST /services/collector HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1",
    ],
)
def test_a_request_that_is_cut_off_stores_nothing(hec: HecEmulator, client: HecClient, cut: bytes) -> None:
    client.http.connect()
    client.http.sock.sendall(cut)
    client.http.sock.shutdown(socket.SHUT_WR)

    assert client.http.sock.recv(4096).startswith(b"HTTP/1.1 400 ")
    assert hec.store.total == 0


def test_too_much_in_chunks_is_413(hec: HecEmulator, client: HecClient) -> None:
    hec.configure(max_content_length=100)
    headers = {"Authorization": f"Splunk {hec.token}", "Transfer-Encoding": "chunked", "Connection": "close"}
    client.http.request("POST", "/services/collector", iter([b" " * 60, b" " * 41]), headers, encode_chunked=True)

    assert client.http.getresponse().status == 413


def test_a_chunk_may_have_an_extension_and_come_byte_by_byte(hec: HecEmulator, client: HecClient) -> None:
    body = hec_body("a")
    client.http.connect()
    head = f"POST /services/collector HTTP/1.1\r\nHost: x\r\nAuthorization: Splunk {hec.token}\r\n"
    wire = b"%sTransfer-Encoding: chunked\r\n\r\n%x;a=b\r\n%s\r\n0\r\nTrailer: x\r\n\r\n" % (
        head.encode(),
        len(body),
        body,
    )
    for byte in wire:
        client.http.sock.send(bytes([byte]))

    assert client.http.sock.recv(4096).startswith(b"HTTP/1.1 200 OK")
    assert hec.store.ids() == ["a"]


def test_a_status_without_a_name_is_sent(hec: HecEmulator, client: HecClient) -> None:
    hec.inject("answer", status=599, count=1)

    assert client.post(hec_body("a")).status == 599
