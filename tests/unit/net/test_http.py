"""Exchanges with peers that behave, misbehave, and never answer."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import time

import pytest

from sls_siem.emulator.certificates import Certificates, server_context
from sls_siem.net.http import HttpConnectError, HttpConnection, HttpError, HttpProtocolError, HttpTimeout
from sls_siem.net.tls import client_context
from tests.unit.net.peers import NO_BODY, answering, ok, peer, read_request


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


_opened = []


@pytest.fixture(autouse=True)
def _close_what_was_opened():
    yield
    while _opened:
        _opened.pop().close()


def client(url, **options):
    connection = HttpConnection(url, **options)
    _opened.append(connection)
    return connection


def get(connection, target="/", headers=None, *, timeout_s=10.0, max_body=1000):
    return connection.exchange("GET", target, headers or {}, timeout_s=timeout_s, max_body=max_body)


def failure(here, kind, *, timeout_s=10.0, max_body=1000):
    connection = client(here.url)
    with pytest.raises(kind) as caught:
        get(connection, timeout_s=timeout_s, max_body=max_body)
    assert type(caught.value) is kind
    return caught.value


def one_answer(raw, *, max_body=1000):
    with peer(answering(raw)) as here:
        return get(client(here.url), max_body=max_body)


def refusal(raw, *, max_body=1000):
    with peer(answering(raw)) as here:
        return str(failure(here, HttpProtocolError, max_body=max_body))


# ---------------------------------------------------------------------------------------------------- requests


def test_sends_headers_as_they_are_given_the_host_included():
    with peer(answering(NO_BODY)) as here:
        get(client(here.url), "/logstores/a?x=%20", {"Host": "project.127.0.0.1", "x-log-apiversion": "0.6.0"})

        assert (here.requests[0].line, here.requests[0].headers) == (
            "GET /logstores/a?x=%20 HTTP/1.1",
            {"Host": "project.127.0.0.1", "x-log-apiversion": "0.6.0"},
        )


def test_adds_the_host_and_the_length_when_they_are_missing():
    with peer(answering(NO_BODY)) as here:
        client(here.url).exchange("POST", "/", {}, b"abc", timeout_s=10, max_body=10)
        request = here.requests[0]

        assert (request.headers, request.body) == (
            {"Host": f"127.0.0.1:{here.port}", "Content-Length": "3"},
            b"abc",
        )


def test_a_post_without_a_body_says_so():
    with peer(answering(NO_BODY)) as here:
        client(here.url).exchange("POST", "/", {"Host": "h"}, timeout_s=10, max_body=10)

        assert here.requests[0].headers["Content-Length"] == "0"


def test_a_great_body_arrives_whole():
    body = bytes(range(256)) * 8192
    with peer(answering(NO_BODY)) as here:
        client(here.url).exchange("POST", "/", {}, body, timeout_s=10, max_body=10)

        assert here.requests[0].body == body


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\n", "a\0", "日本"])
def test_a_header_value_that_would_break_the_request_is_refused_unseen(value):
    with peer(answering(NO_BODY)) as here:
        with pytest.raises(HttpProtocolError) as caught:
            get(client(here.url), headers={"Authorization": f"Splunk {value}"})

        assert (caught.value.sent, "Splunk" in str(caught.value), here.listener.accepted) == (False, False, 0)


def test_the_header_that_breaks_a_request_is_named_among_others():
    given = {"A": "good\tvalue", "Token": "secret\n", "B": ""}
    with pytest.raises(HttpProtocolError, match="header 'Token': no header may hold its value"):
        get(client("http://127.0.0.1:1"), headers=given)


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nX", "é"])
def test_a_name_that_no_header_may_have_is_refused_each_time(name):
    for _ in range(2):
        with pytest.raises(HttpProtocolError, match="is no name of a header") as caught:
            get(client("http://127.0.0.1:1"), headers={"Host": "h", name: "1"})

        assert not caught.value.sent


def test_a_tab_may_stand_in_a_value():
    with peer(answering(NO_BODY)) as here:
        get(client(here.url), headers={"X": "a\tb", "Y": "c"})

        assert (here.requests[0].headers["X"], here.requests[0].headers["Y"]) == ("a\tb", "c")


@pytest.mark.parametrize("target", ["/a b", "/a\r\n", "/é", ""])
def test_a_target_that_is_not_encoded_is_refused(target):
    with pytest.raises(HttpProtocolError, match="not percent-encoded"):
        get(client("http://127.0.0.1:1"), target)


@pytest.mark.parametrize("url", ["ftp://host", "https://", "host:80", "http://host:99999"])
def test_a_url_that_is_none_is_refused_at_once(url):
    with pytest.raises(ValueError, match=r"URL|[Pp]ort"):
        client(url)


def test_reaches_an_ipv6_address():
    with peer(answering(ok(b"six")), host="::1") as here:
        answer = get(client(here.url))

        assert (answer.body, here.requests[0].headers["Host"]) == (b"six", f"[::1]:{here.port}")


# ----------------------------------------------------------------------------------------------------- answers


def test_hands_out_status_headers_in_lower_case_and_the_body():
    answer = one_answer(b"HTTP/1.1 404 Not Found\r\nX-Log-RequestID:  abc \r\nContent-Length: 2\r\n\r\nno")

    assert (answer.status, answer.headers["x-log-requestid"], answer.body) == (404, "abc", b"no")


def test_a_status_line_may_lack_its_phrase():
    assert one_answer(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n").status == 200


def test_repeated_headers_are_joined():
    answer = one_answer(b"HTTP/1.1 200 OK\r\nVia: a\r\nvia: b\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n")

    assert (answer.headers["via"], answer.headers["content-length"]) == ("a, b", "0")


def test_never_follows_a_redirect():
    assert one_answer(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n").status == 302


def test_waits_past_interim_answers():
    assert (
        one_answer(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok(b"end")).body
        == b"end"
    )


@pytest.mark.parametrize("status", [204, 304])
def test_some_answers_have_no_body(status):
    assert one_answer(f"HTTP/1.1 {status} X\r\nETag: x\r\n\r\n".encode()).body == b""


def test_reads_a_chunked_body_with_extensions_and_trailer():
    answer = one_answer(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n"
    )

    assert answer.body == b"abc0123456789"


def test_reads_a_body_that_ends_with_the_connection():
    assert one_answer(b"HTTP/1.1 200 OK\r\n\r\nall of it").body == b"all of it"


def test_the_head_may_come_byte_by_byte():
    def talk(connection, _here):
        read_request(connection)
        for byte in ok(b"slow"):
            connection.send(bytes([byte]))

    with peer(talk) as here:
        assert get(client(here.url)).body == b"slow"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"220 smtp ready\r\n\r\n", "status line b'220 smtp ready'"),
        (b"HTTP/2 200\r\n\r\n", "status line"),
        (b"HTTP/1.1 20x OK\r\n\r\n", "status line"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "header line b'no colon'"),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n", "header line"),
        (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "header line b'A : b'"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "Content-Length 'x'"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "Content-Length '-1'"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "Content-Length '1, 2'"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "transfer coding 'gzip'"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "chunk size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", "a chunk longer than it said"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 5000, "a chunk's line longer than"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 200, "an endless trailer"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "101"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 20, "interim"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 101 + b"\r\n", "101 headers, 100 are allowed"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70000 + b"\r\n\r\n", "no end of headers within 65536 bytes"),
    ],
)
def test_refuses_what_is_no_answer(raw, words):
    assert words in refusal(raw)


# ------------------------------------------------------------------------------------------------------- bounds


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5001,
    ],
)
def test_refuses_a_body_that_is_too_great_without_waiting_for_it(raw):
    def talk(connection, _here):
        read_request(connection)
        connection.send(raw)
        connection.pause_while_open(20)

    with peer(talk) as here:
        start = time.monotonic()

        assert "5000" in str(failure(here, HttpProtocolError, max_body=5000))
        assert time.monotonic() - start < 5


def test_a_body_may_be_exactly_as_great_as_allowed():
    assert one_answer(ok(b"x" * 5000), max_body=5000).body == b"x" * 5000


def trickle_head(connection, _here):
    read_request(connection)
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000:
        connection.send(bytes([byte]))
        connection.pause(0.02)


def trickle_body(connection, _here):
    read_request(connection)
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        connection.send(b"x")
        connection.pause(0.02)


def trickle_chunks(connection, _here):
    read_request(connection)
    connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(1000):
        connection.send(b"1\r\nx\r\n")
        connection.pause(0.02)


def trickle_to_close(connection, _here):
    read_request(connection)
    connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(1000):
        connection.send(b"x")
        connection.pause(0.02)


def silent(connection, _here):
    read_request(connection)
    connection.pause_while_open(20)


@pytest.mark.parametrize("talk", [trickle_head, trickle_body, trickle_chunks, trickle_to_close, silent])
def test_a_peer_that_trickles_or_is_silent_gains_no_time(talk):
    with peer(talk) as here:
        start = time.monotonic()
        error = failure(here, HttpTimeout, timeout_s=0.3)

        assert (error.sent, "has not answered within 0.3 s" in str(error)) == (True, True)
        assert time.monotonic() - start < 3


def test_a_peer_that_does_not_read_gains_no_time():
    with peer(lambda connection, _here: connection.pause_while_open(20)) as here:
        start = time.monotonic()
        with pytest.raises(HttpTimeout):
            client(here.url).exchange("POST", "/", {}, bytes(50_000_000), timeout_s=0.3, max_body=10)

        assert time.monotonic() - start < 3


# ------------------------------------------------------------------------------------------- broken connections


def test_a_refused_connection_is_told_with_the_address():
    with peer(silent) as here:
        url, port = here.url, here.port
    with pytest.raises(HttpConnectError, match=rf"cannot connect to 127\.0\.0\.1:{port}: connection refused") as caught:
        get(client(url))

    assert caught.value.sent is False


def test_an_unknown_name_is_told():
    with pytest.raises(HttpConnectError, match="the name does not resolve"):
        get(client("http://" + "a" * 70 + ".test"))


def test_connecting_has_a_limit_of_its_own():
    with peer(lambda connection, _here: connection.pause_while_open(20)) as here:
        start = time.monotonic()
        with pytest.raises(HttpConnectError, match=r"connected, but no TLS answer came within 0\.2 s"):
            get(client(here.url.replace("http:", "https:"), tls=client_context(verify=False), connect_timeout_s=0.2))

        assert time.monotonic() - start < 5


def test_a_reset_in_the_middle_of_an_answer_is_an_error():
    def talk(connection, _here):
        read_request(connection)
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        connection.reset_on_close()

    with peer(talk) as here:
        error = failure(here, HttpError)

        assert (error.sent, error.stale) == (True, False)


@pytest.mark.parametrize(
    "half",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
)
def test_a_close_before_the_end_of_an_answer_is_an_error(half):
    with peer(answering(half)) as here:
        error = failure(here, HttpError)

        assert "the peer closed the connection" in str(error)


TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno"


@contextlib.contextmanager
def plain_or_tls(certificates, kind, talk):
    """A peer for `talk`, and a connection to it."""
    if kind == "plain":
        with peer(talk) as here:
            yield here, client(here.url)
        return
    tls = server_context(certificates.server)
    tls.maximum_version = {"TLS 1.2": ssl.TLSVersion.TLSv1_2, "TLS 1.3": ssl.TLSVersion.TLSv1_3}[kind]
    with peer(talk, tls=tls) as here:
        yield here, client(here.url, tls=client_context(ca_file=certificates.ca_file))


EACH_KIND = pytest.mark.parametrize("kind", ["plain", "TLS 1.2", "TLS 1.3"])


@EACH_KIND
@pytest.mark.parametrize("size", [200_000, 20_000_000])
def test_hears_why_a_peer_hung_up_before_it_had_read_the_whole_body(certificates, kind, size):
    def talk(connection, _here):
        # Else its kernel may throw the answer away at the close, behind session tickets that are on their way.
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.recv(1000)
        connection.send(TOO_LARGE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

    with plain_or_tls(certificates, kind, talk) as (here, connection):
        for turn in range(1, 6):
            answer = connection.exchange("POST", "/", {}, bytes(size), timeout_s=10, max_body=10)

            assert (answer.status, answer.body, here.listener.accepted) == (413, b"no", turn)


@EACH_KIND
def test_hears_what_a_peer_said_that_reads_no_more_and_does_not_close(certificates, kind):
    def talk(connection, _here):
        connection.recv(1000)
        connection.send(TOO_LARGE)
        connection.pause_while_open(20)

    with plain_or_tls(certificates, kind, talk) as (_here, connection):
        start = time.monotonic()
        answer = connection.exchange("POST", "/", {}, bytes(50_000_000), timeout_s=15, max_body=10)

        assert (answer.status, answer.body) == (413, b"no")
        assert time.monotonic() - start < 8
        assert connection.fresh  # the rest of the body was not sent, so nothing else may follow


@EACH_KIND
@pytest.mark.parametrize("closes", [False, True])
def test_nobody_has_taken_a_request_that_was_not_sent_to_its_end(certificates, kind, closes):
    def talk(connection, _here):
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.recv(1000)
        connection.send(ok(b"1"))
        if not closes:
            connection.pause_while_open(20)

    with plain_or_tls(certificates, kind, talk) as (_here, connection):
        with pytest.raises(HttpProtocolError, match="sent 200 before it had the whole request") as caught:
            connection.exchange("POST", "/", {}, bytes(50_000_000), timeout_s=15, max_body=10)

        assert caught.value.sent
        assert connection.fresh


@EACH_KIND
def test_an_interim_answer_does_not_end_the_request(certificates, kind):
    def talk(connection, here):
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.pause(2.5 if kind == "plain" else 0.1)  # until a look is taken
        answering(ok(b"1"), ok(b"2"))(connection, here)

    body = bytes(range(250)) * 60_000
    with plain_or_tls(certificates, kind, talk) as (here, connection):
        connection.open(timeout_s=10)
        answer = connection.exchange("POST", "/", {}, body, timeout_s=20, max_body=10)

        assert (answer.body, here.requests[0].body == body) == (b"1", True)


@EACH_KIND
def test_a_peer_that_reads_slowly_gets_the_whole_body(certificates, kind):
    def talk(connection, here):
        connection.pause(1.2)  # longer than until a look is taken
        answering(ok(b"1"))(connection, here)

    body = bytes(range(250)) * 60_000
    with plain_or_tls(certificates, kind, talk) as (here, connection):
        answer = connection.exchange("POST", "/", {}, body, timeout_s=20, max_body=10)

        assert (answer.body, here.requests[0].body == body) == (b"1", True)


def test_a_peer_that_hangs_up_without_a_word_while_the_body_goes_out_is_an_error():
    with peer(lambda connection, _here: connection.reset_on_close()) as here, pytest.raises(HttpError) as caught:
        client(here.url).exchange("POST", "/", {}, bytes(20_000_000), timeout_s=10, max_body=10)

    # The reset may come before the connection counts as made.
    assert type(caught.value) in {HttpError, HttpConnectError}


# ---------------------------------------------------------------------------------------------------- keep-alive


def test_one_connection_serves_many_exchanges():
    with peer(answering(ok(b"1"), ok(b"2"), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")) as here:
        connection = client(here.url)
        fresh = [connection.fresh]
        for _ in range(3):
            get(connection)
            fresh.append(connection.fresh)

        assert (here.listener.accepted, fresh) == (1, [True, False, False, False])


def test_each_request_has_its_own_headers_and_length():
    asked = [("/a", {"Host": "h", "X": "1"}, b"abc"), ("/a", {"Host": "h", "X": "1"}, b"abcde")]
    asked += [("/a", {"Host": "h", "X": "2"}, b""), ("/b", {"Host": "h", "X": "2"}, b"abc")]
    headers = {"Host": "h"}
    with peer(answering(*[NO_BODY] * 4)) as here:
        connection = client(here.url)
        for target, given, body in asked:
            headers.update(given)  # the caller's own mapping, changed between two requests
            connection.exchange("POST", target, headers, body, timeout_s=10, max_body=10)
        with pytest.raises(HttpProtocolError):
            get(connection, "/b", {**headers, "X": "2\r\nY: 1"})

        assert [(sent.line.split()[1], sent.headers["X"], sent.body) for sent in here.requests] == [
            ("/a", "1", b"abc"),
            ("/a", "1", b"abcde"),
            ("/a", "2", b""),
            ("/b", "2", b"abc"),
        ]


def test_headers_that_come_again_are_read_as_at_first():
    long = "v" * 300
    heads = [("X: 1", "Y:  two "), ("X: 2", "Y:  two ", "Y: 3", f"Z: {long}"), ("X: 1", "Y:  two ")]
    with peer(answering(*[ok(b"", *lines) for lines in heads])) as here:
        connection = client(here.url)
        found = [get(connection).headers for _ in heads]

    first = {"content-length": "0", "x": "1", "y": "two"}
    assert found == [first, {**first, "x": "2", "y": "two, 3", "z": long}, first]


def test_a_line_that_is_no_header_is_refused_each_time():
    for _ in range(2):
        assert "header line b'no header'" in refusal(ok(b"", "no header"))


def test_answers_with_the_same_head_are_told_apart_by_their_bodies():
    with peer(answering(ok(b"1", "X: a"), ok(b"2", "X: a"), ok(b"3", "X: b"))) as here:
        connection = client(here.url)
        answers = [get(connection) for _ in range(3)]

        assert [(each.body, each.headers["x"]) for each in answers] == [(b"1", "a"), (b"2", "a"), (b"3", "b")]


@pytest.mark.parametrize(
    "last",
    [
        ok(b"", "Connection: close"),
        ok(b"", "Connection: Keep-Alive, Close"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        NO_BODY + b"unasked",
    ],
)
def test_another_connection_is_opened_when_this_one_may_not_be_used_again(last):
    with peer(answering(last)) as here:
        connection = client(here.url)
        get(connection)
        get(connection)

        assert here.listener.accepted == 2


def test_http_1_0_may_keep_the_connection_too():
    kept = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"
    with peer(answering(kept, kept)) as here:
        connection = client(here.url)
        get(connection)
        get(connection)

        assert here.listener.accepted == 1


def test_a_connection_that_the_peer_closed_while_idle_is_replaced_unnoticed():
    with peer(answering(ok(b"1"))) as here:
        connection = client(here.url)
        get(connection)
        wait_until(lambda: not here.listener.connections())

        assert get(connection).body == b"1"


def test_a_kept_connection_that_closes_without_an_answer_is_stale():
    def talk(connection, _here):
        read_request(connection)
        connection.send(ok(b"1"))
        read_request(connection)

    with peer(talk) as here:
        connection = client(here.url)
        get(connection)
        with pytest.raises(HttpError) as caught:
            get(connection)

        assert (caught.value.stale, connection.fresh) == (True, True)


def test_a_kept_connection_that_breaks_within_an_answer_is_not_stale():
    with peer(answering(ok(b"1"), b"HTTP/1.1 200 OK\r\nConte")) as here:
        connection = client(here.url)
        get(connection)
        with pytest.raises(HttpError) as caught:
            get(connection)

        assert caught.value.stale is False


def test_a_closed_connection_is_opened_again_on_the_next_use():
    with peer(answering(ok(b"1"))) as here:
        connection = client(here.url)
        get(connection)
        connection.close()
        connection.close()
        get(connection)

        assert here.listener.accepted == 2


def wait_until(condition, *, within_s=10.0):
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        time.sleep(0.005)


# ----------------------------------------------------------------------------------------------------------- TLS


def test_exchanges_over_tls_under_a_name_of_its_own(certificates):
    with peer(answering(ok(b"safe")), tls=server_context(certificates.server)) as here:
        tls = client_context(ca_file=certificates.ca_file)
        connection = client(here.url, tls=tls, server_name="localhost")

        assert get(connection).body == b"safe"


@pytest.mark.parametrize("wait_s", [0, 0.05])
def test_the_connection_that_was_opened_ahead_is_used_whatever_tls_has_sent_over_it(certificates, wait_s):
    """Session tickets come behind the handshake of TLS 1.3 (RFC 8446, 4.6.1)."""
    with peer(answering(ok(b"1"), ok(b"2")), tls=server_context(certificates.server)) as here:
        connection = client(here.url, tls=client_context(ca_file=certificates.ca_file))
        for _ in range(5):
            connection.open(timeout_s=10)
            time.sleep(wait_s)
            assert [get(connection).body, get(connection).body] == [b"1", b"2"]
            connection.close()

        assert here.listener.accepted == 5


def test_what_comes_unasked_over_tls_is_taken_for_no_answer(certificates):
    with peer(answering(NO_BODY + b"unasked"), tls=server_context(certificates.server)) as here:
        connection = client(here.url, tls=client_context(ca_file=certificates.ca_file))
        assert [get(connection).status, get(connection).status] == [200, 200]

        assert here.listener.accepted == 2


def test_a_connection_that_the_peer_closed_while_idle_is_replaced_unnoticed_over_tls_too(certificates):
    with peer(answering(ok(b"1")), tls=server_context(certificates.server)) as here:
        connection = client(here.url, tls=client_context(ca_file=certificates.ca_file))
        get(connection)
        wait_until(lambda: not here.listener.connections())

        assert get(connection).body == b"1"


def test_a_great_body_arrives_whole_over_tls(certificates):
    body = bytes(range(256)) * 8192
    with peer(answering(ok(body)), tls=server_context(certificates.server)) as here:
        connection = client(here.url, tls=client_context(ca_file=certificates.ca_file))
        answer = connection.exchange("POST", "/", {}, body, timeout_s=10, max_body=len(body))

        assert (answer.body, here.requests[0].body) == (body, body)


def test_trickling_over_tls_gains_no_time(certificates):
    with peer(trickle_body, tls=server_context(certificates.server)) as here:
        connection = client(here.url, tls=client_context(ca_file=certificates.ca_file))
        start = time.monotonic()
        with pytest.raises(HttpTimeout):
            get(connection, timeout_s=0.4)

        assert time.monotonic() - start < 3


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("expired", "its certificate is not accepted: certificate has expired"),
        ("wrong_host", "its certificate is not accepted: IP address mismatch"),
        ("untrusted", "its certificate is not accepted: unable to get local issuer certificate"),
    ],
)
def test_says_what_is_wrong_with_a_certificate(certificates, which, words):
    with peer(answering(NO_BODY), tls=server_context(getattr(certificates, which))) as here:
        connection = client(here.url, tls=client_context(ca_file=certificates.ca_file))
        with pytest.raises(HttpConnectError, match=words):
            get(connection)

        assert here.requests == []


def test_the_system_is_trusted_when_no_context_is_given(certificates):
    with peer(answering(NO_BODY), tls=server_context(certificates.server)) as here:
        with pytest.raises(HttpConnectError, match="its certificate is not accepted"):
            get(client(here.url))

        assert here.requests == []


def test_plain_http_on_the_other_side_is_said_to_be_no_tls():
    with (
        peer(lambda connection, _here: connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as here,
        pytest.raises(HttpConnectError, match=r"TLS failed: (wrong version number|record layer failure)"),
    ):
        get(client(here.url.replace("http:", "https:"), tls=client_context(verify=False)))


# --------------------------------------------------------------------------------------------------------- proxies


def forwarding(connection, here):
    """A proxy that answers absolute URIs itself and, for CONNECT, becomes the server: a TLS one."""
    request = read_request(connection)
    if request is None:
        return
    here.requests.append(request)
    connection.send(ok(b"by proxy"))


def tunnel_to(tls, answer=b"HTTP/1.1 200 Connection established\r\n\r\n"):
    def talk(connection, here):
        here.requests.append(read_request(connection))
        connection.send(answer)
        connection.sock = tls.wrap_socket(connection.sock, server_side=True)
        answering(ok(b"through the tunnel"))(connection, here)

    return talk


def test_http_goes_to_a_proxy_as_absolute_uri():
    with peer(forwarding) as here:
        proxy = here.url.replace("http://", "http://us%40er:pa:ss@")
        answer = get(client("http://sls.test", proxy=proxy), "/a?b=c", {"Host": "project.sls.test"})
        credentials = base64.b64encode(b"us@er:pa:ss").decode()

        assert (answer.body, here.requests[0].line, here.requests[0].headers) == (
            b"by proxy",
            "GET http://sls.test/a?b=c HTTP/1.1",
            {"Host": "project.sls.test", "Proxy-Authorization": f"Basic {credentials}"},
        )


def test_https_goes_through_a_proxy_by_connect(certificates):
    with peer(tunnel_to(server_context(certificates.server))) as here:
        proxy = here.url.replace("http://", "http://user:secret@")
        tls = client_context(ca_file=certificates.ca_file)
        answer = get(client("https://localhost:8443", tls=tls, proxy=proxy), "/a")
        connect, inside = here.requests

        assert (answer.body, connect.line, connect.headers, inside.line, inside.headers) == (
            b"through the tunnel",
            "CONNECT localhost:8443 HTTP/1.1",
            {"Host": "localhost:8443", "Proxy-Authorization": "Basic dXNlcjpzZWNyZXQ="},
            "GET /a HTTP/1.1",
            {"Host": "localhost:8443"},
        )


def test_a_proxy_without_a_password_sends_none(certificates):
    with peer(tunnel_to(server_context(certificates.server))) as here:
        get(client("https://localhost", tls=client_context(ca_file=certificates.ca_file), proxy=here.url))

        assert (here.requests[0].line, here.requests[0].headers) == (
            "CONNECT localhost:443 HTTP/1.1",
            {"Host": "localhost:443"},
        )


def test_the_certificate_is_checked_behind_a_proxy_too(certificates):
    with peer(tunnel_to(server_context(certificates.wrong_host))) as here:
        tls = client_context(ca_file=certificates.ca_file)
        with pytest.raises(HttpConnectError, match=r"localhost:443 through proxy .*not accepted: Hostname mismatch"):
            get(client("https://localhost", tls=tls, proxy=here.url))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "wants a user and password"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "answered 502 to CONNECT"),
        (b"HTTP/1.1 200 OK\r\n\r\nunasked", "bytes of its own"),
        (b"SSH-2.0-x\r\n\r\n", "sent status line"),
        (b"", "the peer closed the connection"),
    ],
)
def test_a_proxy_that_makes_no_way_is_named(answer, words):
    def talk(connection, _here):
        read_request(connection)
        connection.send(answer)

    with peer(talk) as here:
        proxy = here.url.replace("http://", "http://user:secret@")
        with pytest.raises(HttpConnectError, match=words) as caught:
            get(client("https://siem.test", proxy=proxy))

        assert (f"through proxy 127.0.0.1:{here.port}" in str(caught.value), "secret" in str(caught.value)) == (
            True,
            False,
        )


def test_a_proxy_that_is_silent_ends_at_the_connect_timeout():
    with peer(silent) as here:
        start = time.monotonic()
        with pytest.raises(HttpConnectError):
            get(client("https://siem.test", proxy=here.url, connect_timeout_s=0.2))

        assert time.monotonic() - start < 5


def test_a_proxy_over_tls_is_refused_at_once():
    with pytest.raises(ValueError, match="http://"):
        client("https://siem.test", proxy="https://proxy.test")
