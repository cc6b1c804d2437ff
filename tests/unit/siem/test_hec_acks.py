"""Which token waits for which ackId, until when, and what is told about it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sls_siem.siem.hec_acks import AckBook, Receipt
from tests.unit.siem.support import Clock

TIMEOUT_S = 60.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(clock: Clock) -> AckBook:
    return AckBook(1, TIMEOUT_S, clock)


def send(book: AckBook, *ack_ids: int, token: object = "token") -> Receipt:
    receipt = book.begin(token)
    for ack_id in ack_ids:
        assert book.accepted(0, receipt, ack_id)
    book.complete(receipt)
    return receipt


def told(book: AckBook) -> Iterator[object]:
    settled, lost = book.report()
    yield from settled
    yield from (f"{token} lost" for token in lost)


def test_a_token_is_settled_by_the_last_of_its_acknowledgements(book: AckBook) -> None:
    send(book, 0, 1)
    book.acknowledged(0, [0])
    assert list(told(book)) == []

    book.acknowledged(0, [1])
    assert (list(told(book)), list(told(book)), book.waiting()) == (["token"], [], False)


def test_a_token_acknowledged_before_all_of_it_was_sent_is_told_once_it_was(book: AckBook) -> None:
    receipt = book.begin("token")
    book.accepted(0, receipt, 0)
    book.acknowledged(0, [0])
    assert list(told(book)) == []

    book.complete(receipt)
    assert list(told(book)) == ["token"]


def test_the_first_that_still_waits_runs_out_first(book: AckBook, clock: Clock) -> None:
    assert book.next_expiry() is None
    for ack_id in range(3):
        send(book, ack_id, token=f"token {ack_id}")
        clock.now += 10.0
    assert book.next_expiry() == clock.now - 30.0 + TIMEOUT_S

    book.acknowledged(0, [0])
    assert (list(told(book)), book.next_expiry()) == (["token 0"], clock.now - 20.0 + TIMEOUT_S)

    clock.now += TIMEOUT_S - 20.0
    assert (book.expire(), list(told(book))) == (1, ["token 1 lost"])
    assert book.next_expiry() == clock.now + 10.0


def test_what_waited_on_a_channel_of_an_indexer_that_restarted_is_lost(book: AckBook) -> None:
    send(book, 0, token="before")
    receipt = book.begin("after")

    assert not book.accepted(0, receipt, 0)
    book.complete(receipt)
    assert (list(told(book)), book.next_expiry(), book.resets) == (["before lost", "after lost"], None, 1)


def test_a_token_that_was_not_sent_to_its_end_is_never_told(book: AckBook) -> None:
    receipt = book.begin("token")
    book.accepted(0, receipt, 0)
    book.abandon(receipt)
    book.acknowledged(0, [0])

    assert (list(told(book)), book.waits_at(0), book.next_expiry()) == ([], False, None)
