"""What the emulators do with clients and callers that behave badly, and with data that is none.

What proves the agent has to be proven: an emulator that hangs or forgives here would hide a fault of the agent.
"""

from __future__ import annotations

import json
import socket
import time

import pytest

from sls_siem.emulator.hec import HecEmulator
from sls_siem.emulator.journal import JournalStore
from sls_siem.emulator.loggroups import decode_group, make_group, split_group
from sls_siem.emulator.sls import SlsEmulator
from sls_siem.emulator.sls.refusal import RefusalError
from sls_siem.emulator.store import event_digest
from sls_siem.emulator.syslog import SyslogEmulator
from tests.contract.receiver_support import HecClient, connect, ending, hec_event, wait_until
from tests.contract.sls_support import LOGSTORE, PROJECT, Client

pytestmark = pytest.mark.contract


@pytest.fixture
def sls():
    with SlsEmulator(project=PROJECT, logstore=LOGSTORE, shards=2) as emulator:
        emulator.settings.verify = False
        yield emulator


@pytest.fixture
def hec():
    with HecEmulator() as emulator:
        yield emulator


# --- HEC ---


@pytest.mark.parametrize(
    "start",
    [
        b"Content-Length: 100\r\n\r\n{}",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"Transfer-Encoding: chunked\r\n\r\n5",
    ],
)
def test_a_body_that_ends_in_the_middle_stores_nothing(hec, start) -> None:
    with connect(hec.host, hec.port) as sock:
        request = f"POST /services/collector/event HTTP/1.1\r\nHost: h\r\nAuthorization: Splunk {hec.token}\r\n"
        sock.sendall(request.encode() + start)
        sock.shutdown(socket.SHUT_WR)
        ending(sock)

    assert 0 == len(hec.store)
    assert 0 == hec.counters.events


def test_an_answer_can_come_in_drops(hec) -> None:
    hec.inject("slow_answer", bytes_per_s=2000, count=1)
    client = HecClient(hec.host, hec.port, hec.token)
    began = time.monotonic()
    reply = client.post(hec_event("0-1-0"))
    client.close()

    assert (200, 0) == (reply.status, reply.json["code"])
    assert time.monotonic() - began > 0.02
    assert ["0-1-0"] == hec.store.ids()


def test_control_tells_no_more_than_json_can_say(hec) -> None:
    from sls_siem.emulator import control

    assert b'{"a": "\\u00ff", "b": [1]}' == control._json({"a": b"\xff", "b": (1,)}).body
    with pytest.raises(TypeError, match="set is no JSON"):
        control._json({"a": {1}})


def test_an_emulator_may_be_stopped_without_having_been_started(tmp_path) -> None:
    HecEmulator().stop()
    SyslogEmulator(transport="udp").stop()
    store = JournalStore(str(tmp_path / "journal"))
    store.add([("0-1-0", b"x")], request=1, at_s=1.0)
    store._file.close()

    assert f"0-1-0\t{event_digest(b'x').hex()}\n" == (tmp_path / "journal").read_text()


# --- log groups ---


@pytest.mark.parametrize(
    ("read", "data", "why"),
    [
        (decode_group, b"\x0b", "wire type 3"),
        (decode_group, b"\x0a\x05\x08", "ends beyond the message"),
        (decode_group, b"\x0a\x02\x12\x00", "no Key or no Value"),
        (decode_group, b"\x0a\x06\x12\x04\x0a\x00\x12\x00", "a Log has no Time"),
        (split_group, b"\x08\x01", "field 1 of a LogGroup is a number"),
    ],
)
def test_bytes_that_are_no_log_group_are_said_to_be_none(read, data, why) -> None:
    with pytest.raises(ValueError, match=why):
        read(data)


def test_fields_that_are_not_known_are_passed_over() -> None:
    log = b"\x08\x01" + b"\x12\x06\x0a\x01k\x12\x01v" + b"\x3a\x01z"
    group = decode_group(b"\x0a" + bytes([len(log)]) + log)

    assert [((b"k", b"v"),)] == [one.contents for one in group.logs]


# --- SLS ---


def group_path(name: str = "group") -> str:
    return f"/logstores/{LOGSTORE}/consumergroups/{name}"


def test_a_group_may_be_changed_key_by_key(sls) -> None:
    with Client(sls.port) as client:
        client.create_group(timeout=40)
        answers = [client.json("PUT", group_path(), body=body)[0] for body in ({"timeout": 50}, {"order": True}, {})]

    assert [200, 200, 200] == answers
    group = sls.store.group("group")
    assert (50, True) == (group.timeout_s, group.in_order)


def test_a_body_that_is_no_json_or_no_checkpoint_is_refused_and_saves_nothing(sls) -> None:
    with Client(sls.port) as client:
        client.create_group()
        query = {"type": "checkpoint", "consumer": "c"}
        codes = [
            client.json("POST", group_path(), query=query, body=body)[1]["errorCode"]
            for body in ({}, {"shard": "0", "checkpoint": "MQ=="}, {"shard": 0, "checkpoint": 5})
        ]
        garbage = client.ask("POST", group_path(), query=query, headers={"Content-Length": "0"})

    assert ["InvalidShardCheckPoint"] * 3 == codes
    assert 400 == garbage[0]
    assert b"not JSON" in garbage[2]
    assert [] == list(sls.history.saves)


@pytest.mark.parametrize("query", [{"end_cursor": "%%%"}, {"cursor": "%%%"}, {"count": "0"}, {"count": "x"}])
def test_a_pull_with_nonsense_is_refused(sls, query) -> None:
    with Client(sls.port) as client:
        status, _, body = client.pull(0, sls.store.shard(0).end, **query)

    assert 400 == status
    assert json.loads(body)["errorCode"] in ("InvalidCursor", "ParameterInvalid")


def test_a_request_that_ends_in_its_body_is_not_answered_and_the_next_client_is(sls) -> None:
    with connect("127.0.0.1", sls.port) as sock:
        head = f"POST {group_path()} HTTP/1.1\r\nHost: {PROJECT}.127.0.0.1\r\nContent-Length: 50\r\n\r\n{{"
        sock.sendall(head.encode())
        sock.shutdown(socket.SHUT_WR)
        end = ending(sock)
    with Client(sls.port) as client:
        status, _ = client.create_group()

    assert end in ("fin", "rst")
    assert 200 == status


@pytest.mark.parametrize("request_bytes", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nno-colon\r\n\r\n"])
def test_what_is_no_http_is_answered_400(sls, request_bytes) -> None:
    with connect("127.0.0.1", sls.port) as sock:
        sock.sendall(request_bytes)

        assert sock.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_a_second_start_is_none_and_what_never_listened_can_be_stopped(sls) -> None:
    port = sls.port
    sls.start_listening()
    SlsEmulator().stop()

    assert port == sls.port
    with Client(sls.port) as client:
        assert 200 == client.create_group()[0]


def test_a_feed_without_end_takes_numbers_that_no_other_has(sls) -> None:
    endless = sls.feed(sls.store, profile="nginx", mb_per_s=0.1)
    given = sls.feed(sls.store, profile="nginx", logs=10, first_seq=7, mb_per_s=None)
    other = sls.feed(sls.store, profile="nginx", logs=10, mb_per_s=None)
    given.join(20)
    other.join(20)
    endless.stop()

    assert 7 == given.first_seq
    assert other.first_seq >= endless.first_seq + 10**12


def test_prepared_answers_are_kept_only_as_far_as_they_may_take_memory(sls) -> None:
    sls.settings.cache_bytes = 1
    sls.store.append(0, [make_group([{"seq": "1"}], time=1)])
    with Client(sls.port) as client:
        first = [client.pull(0, sls.store.shard(0).begin)[2] for _ in range(2)]

    assert first[0] == first[1] != b""
    assert 0 == sls._service._reading._answers._bytes


def test_retention_and_splits_with_nonsense_are_refused(sls) -> None:
    sls.store.append(0, [make_group([{"seq": "1"}], time=1)], received=1.0)

    with pytest.raises(RefusalError, match="not inside shard 0"):
        sls.store.split(0, key=0)
    sls.store.split(0)
    with pytest.raises(RefusalError, match="read-only"):
        sls.store.split(0)
    with pytest.raises(RefusalError, match="no right neighbour"):
        sls.store.merge(max(shard.number for shard in sls.store.shards() if not shard.read_only and shard.number == 1))
    assert 1 == sls.store.apply_retention()


# --- syslog ---


def test_a_datagram_receiver_that_listens_already_goes_on(tmp_path) -> None:
    with SyslogEmulator(transport="udp", rfc="5424") as siem:
        siem.listen_again()
        siem.set_dropping(True)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"x", (siem.host, siem.port))
            assert wait_until(lambda: siem.counters.bytes == 1)

        assert 0 == len(siem.store)
        siem.stop_listening()
        siem.stop_listening()


def test_dropping_is_for_datagrams_only() -> None:
    with SyslogEmulator(framing="lf", rfc="5424") as siem:
        siem.set_dropping(True)
        with connect(siem.host, siem.port) as sock:
            sock.sendall(b'<14>1 2023-11-14T22:13:20Z h ls - - [sls@32473 id="0-1-0"] x\n')

            assert wait_until(lambda: len(siem.store) == 1)
