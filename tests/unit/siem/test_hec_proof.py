from __future__ import annotations

from sls_siem.siem.hec_acks import AckBook
from sls_siem.siem.hec_pieces import Piece, whole
from sls_siem.siem.hec_proof import Proof
from tests.unit.siem.support import hec_events, payload_of

PREFIX = whole(payload_of(hec_events(0, 3)))


def book_and_proof() -> tuple[AckBook, Proof]:
    book, proof = AckBook(1, 60.0, lambda: 0.0), Proof()
    book.accepted(0, book.begin("earlier"), 0)
    proof.taken(book.channel(0), PREFIX)
    return book, proof


def test_a_later_ack_id_on_the_channel_is_proof_enough() -> None:
    book, proof = book_and_proof()
    proof.followed(book.channel(0), 1)

    assert proof.missing(book) == []


def test_without_one_the_last_event_is_sent_again() -> None:
    book, proof = book_and_proof()
    witness = proof.missing(book)
    proof.followed(book.channel(0), 1)

    assert witness == PREFIX.run(2, 3)
    assert proof.missing(book) == []


def test_a_witness_that_went_elsewhere_proves_nothing() -> None:
    book, proof = book_and_proof()
    proof.missing(book)

    assert proof.missing(book) == [PREFIX]
    assert proof.missing(book) == []


def test_an_ack_id_that_is_waited_for_no_longer_proves_nothing() -> None:
    book, proof = book_and_proof()
    proof.followed(book.channel(0), 1)
    proof.followed(book.channel(0), 2)
    proof.doubted(book.channel(0), [1])
    assert proof.missing(book) == []

    proof.doubted(book.channel(0), [2])
    assert proof.missing(book) == PREFIX.run(2, 3)


def test_a_channel_that_was_given_up_proves_nothing() -> None:
    book, proof = book_and_proof()
    book.reset(0)

    assert proof.missing(book) == [Piece(PREFIX.data, 0, 3)]
