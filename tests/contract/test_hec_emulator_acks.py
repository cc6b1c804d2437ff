"""Acknowledgements and durability of the HEC emulator: what a crash loses, what `true` promises, how it gets lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sls_siem.emulator.hec import HecEmulator, HecToken
from tests.contract.receiver_support import CHANNEL, HecClient, hec_body, wait_until

pytestmark = pytest.mark.contract
OTHER_CHANNEL = "9d9b5a3f-2f6c-4d35-9a37-2e1a35a2d1aa"


@pytest.fixture
def hec() -> Iterator[HecEmulator]:
    with HecEmulator(tokens=(HecToken(use_ack=True), HecToken("other", use_ack=True))) as running:
        yield running


@pytest.fixture
def client(hec: HecEmulator) -> Iterator[HecClient]:
    made = HecClient(hec.host, hec.port, hec.token)
    yield made
    made.close()


def ack_id(client: HecClient, *ids: str, channel: str = CHANNEL) -> int:
    reply = client.post(hec_body(*ids), channel=channel)
    assert (reply.status, reply.json["code"]) == (200, 0)
    number: int = reply.json["ackId"]
    return number


def test_ids_start_at_0_per_channel_and_token(hec: HecEmulator, client: HecClient) -> None:
    ids = [ack_id(client, "a"), ack_id(client, "b"), ack_id(client, "c", channel=OTHER_CHANNEL)]
    client.token = "other"
    ids.append(ack_id(client, "d"))

    assert ids == [0, 1, 0, 0]


def test_a_channel_is_the_same_in_header_query_and_capitals(hec: HecEmulator, client: HecClient) -> None:
    first = client.post(hec_body("a"), path=f"/services/collector?channel={CHANNEL.upper()}")

    assert first.json["ackId"] == 0
    assert ack_id(client, "b") == 1


def test_true_is_told_once(hec: HecEmulator, client: HecClient) -> None:
    ack_id(client, "a")

    assert client.acks([0]) == {"0": True}
    assert client.acks([0]) == {"0": False}


def test_unknown_pending_and_foreign_ids_are_all_false(hec: HecEmulator, client: HecClient) -> None:
    hec.configure(index_delay_s=60)
    ack_id(client, "a")

    assert client.acks([0, 7]) == {"0": False, "7": False}
    hec.flush()
    assert client.acks([0], OTHER_CHANNEL) == {"0": False}
    assert client.acks([0, 0]) == {"0": True}


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"acks":1}', b'{"acks":["0"]}', b'{"acks":[true]}', b"{}"])
def test_a_malformed_question_is_code_6(hec: HecEmulator, client: HecClient, body: bytes) -> None:
    reply = client.post(body, path="/services/collector/ack", channel=CHANNEL)

    assert (reply.status, reply.json["code"]) == (400, 6)


def test_an_empty_question_is_code_5(hec: HecEmulator, client: HecClient) -> None:
    assert client.post(b"", path="/services/collector/ack", channel=CHANNEL).json["code"] == 5


def test_true_comes_after_the_event_is_stored(hec: HecEmulator, client: HecClient) -> None:
    hec.configure(index_delay_s=0.1, ack_delay_s=0.1)
    ack_id(client, "a")
    before = (len(hec.store), client.acks([0]))

    assert before == (0, {"0": False})
    assert hec.store.wait_for(1, timeout_s=5)
    assert client.acks([0]) == {"0": False}
    assert wait_until(lambda: client.acks([0])["0"])


@pytest.mark.parametrize("tells", [True, False])
def test_a_partial_accept_tells_an_id_or_none(hec: HecEmulator, client: HecClient, tells: bool) -> None:
    hec.configure(ack_partial=tells)
    reply = client.post(hec_body("a") + b"{", channel=CHANNEL)

    assert reply.json.get("ackId") == (0 if tells else None)
    assert ack_id(client, "b") == (1 if tells else 0)
    assert hec.store.ids() == ["a", "b"]


def test_a_request_whose_first_object_is_refused_tells_no_id(hec: HecEmulator, client: HecClient) -> None:
    reply = client.post(b"{" + hec_body("a"), channel=CHANNEL)

    assert "ackId" not in reply.json
    assert ack_id(client, "b") == 0


def test_a_late_ack(hec: HecEmulator, client: HecClient) -> None:
    hec.inject("ack_late", delay_s=0.15, count=1)
    ids = [ack_id(client, "a"), ack_id(client, "b")]

    assert client.acks(ids) == {"0": False, "1": True}
    assert wait_until(lambda: client.acks([0])["0"])


@pytest.mark.parametrize(("stored", "expected"), [(None, ["a", "b"]), (False, ["b"])])
def test_an_ack_that_never_comes(hec: HecEmulator, client: HecClient, stored: bool, expected: list[str]) -> None:
    hec.inject("ack_never", count=1, stored=stored)
    ids = [ack_id(client, "a"), ack_id(client, "b")]

    assert client.acks(ids) == {"0": False, "1": True}
    assert hec.store.ids() == expected


def test_an_ack_lost_after_true_looks_like_never(hec: HecEmulator, client: HecClient) -> None:
    ack_id(client, "a")
    hec.inject("reset_after", endpoint="ack", count=1)
    with pytest.raises(ConnectionError):
        client.acks([0])
    client.close()

    assert client.acks([0]) == {"0": False}


def test_an_ack_question_that_is_not_answered_keeps_its_true(hec: HecEmulator, client: HecClient) -> None:
    ack_id(client, "a")
    hec.inject("answer", endpoint="ack", code=9, count=1)
    busy = client.post('{"acks":[0]}', path="/services/collector/ack", channel=CHANNEL)

    assert (busy.status, busy.json["code"]) == (503, 9)
    assert client.acks([0]) == {"0": True}


def test_a_crash_loses_what_is_in_memory_and_starts_at_0_again(hec: HecEmulator, client: HecClient) -> None:
    ack_id(client, "stored")
    hec.configure(index_delay_s=60)
    ack_id(client, "memory-1", "memory-2")
    lost = hec.crash()
    client.close()
    hec.configure(index_delay_s=0)

    assert (lost, hec.counters.lost_in_crash) == (2, 2)
    assert client.acks([0, 1]) == {"0": False, "1": False}
    assert ack_id(client, "after") == 0
    assert hec.store.ids() == ["stored", "after"]


def test_a_crash_may_forget_what_was_stored_and_never_told(hec: HecEmulator, client: HecClient) -> None:
    ack_id(client, "told")
    client.acks([0])
    ack_id(client, "untold")
    lost = hec.crash(forget_unacknowledged=True)

    assert lost == 1
    assert hec.store.ids() == ["told"]
    assert "untold" not in hec.store


def test_a_crash_without_ack_loses_what_was_answered_200() -> None:
    with HecEmulator(index_delay_s=60) as hec:
        client = HecClient(hec.host, hec.port, hec.token)
        assert client.post(hec_body("a")).status == 200
        hec.crash()
        client.close()

        assert (hec.store.total, hec.held) == (0, 0)


def test_behind_a_balancer_only_the_cookie_leads_back_to_the_indexer() -> None:
    with HecEmulator(tokens=(HecToken(use_ack=True),), indexers=3) as hec:
        client = HecClient(hec.host, hec.port, hec.token)
        replies = [client.post(hec_body(name), channel=CHANNEL) for name in "abc"]
        cookies = [reply.headers["set-cookie"].split(";")[0] for reply in replies]
        again = client.post(hec_body("d"), channel=CHANNEL, headers={"Cookie": f"x=y; {cookies[1]}"})
        question, path = '{"acks":[0,1]}', f"/services/collector/ack?channel={CHANNEL}"
        right = client.post(question, path=path, headers={"Cookie": cookies[1]})
        wrong = client.post(question, path=path, headers={"Cookie": cookies[1]})
        client.close()

        assert [reply.json["ackId"] for reply in replies] == [0, 0, 0]
        assert (again.json["ackId"], "set-cookie" in again.headers) == (1, False)
        assert right.json["acks"] == {"0": True, "1": True}
        assert wrong.json["acks"] == {"0": False, "1": False}
