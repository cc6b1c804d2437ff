from __future__ import annotations

import copy

from hypothesis import example, given
from hypothesis import strategies as st

from sls_siem.siem.hec_acks import AckBook
from sls_siem.siem.hec_pieces import Piece, whole
from sls_siem.siem.hec_proof import Proof
from tests.unit.siem.support import hec_events, payload_of

PREFIX = whole(payload_of(hec_events(0, 3)))


def book_and_proof(*, earlier: int = 1) -> tuple[AckBook, Proof]:
    """A channel on which so many requests drew an ackId before a prefix was taken."""
    book, proof = AckBook(1, 60.0, lambda: 0.0), Proof()
    for ack_id in range(earlier):
        book.accepted(0, book.begin("earlier"), ack_id)
    proof.taken(book.channel(0), PREFIX)
    return book, proof


def accept(book: AckBook, proof: Proof, ack_id: int) -> None:
    assert book.accepted(0, book.begin("later"), ack_id)
    proof.followed(book.channel(0), ack_id)


def test_a_later_ack_id_on_the_channel_is_proof_enough() -> None:
    book, proof = book_and_proof()
    accept(book, proof, 1)

    assert proof.missing(book) == []


def test_without_one_the_last_event_is_sent_again() -> None:
    book, proof = book_and_proof()
    witness = proof.missing(book)
    accept(book, proof, 1)

    assert witness == PREFIX.run(2, 3)
    assert proof.missing(book) == []


def test_a_witness_that_went_elsewhere_proves_nothing() -> None:
    book, proof = book_and_proof()
    proof.missing(book)

    assert proof.missing(book) == [PREFIX]
    assert proof.missing(book) == []


def test_the_first_ack_id_of_a_channel_may_be_that_of_an_indexer_that_restarted() -> None:
    book, proof = book_and_proof(earlier=0)
    accept(book, proof, 0)

    assert proof.missing(book) == PREFIX.run(2, 3)
    accept(book, proof, 1)
    assert proof.missing(book) == [PREFIX]


def test_requests_without_an_answer_may_hide_a_restart() -> None:
    """What was told before them is acknowledged already: nothing but the prefix can be lost."""
    book, proof = book_and_proof()
    book.acknowledged(0, [0])
    book.unanswered(0)
    accept(book, proof, 1)

    assert proof.missing(book) == PREFIX.run(2, 3)
    accept(book, proof, 2)
    assert proof.missing(book) == [PREFIX]


def test_a_channel_that_was_given_up_proves_nothing() -> None:
    book, proof = book_and_proof()
    book.reset(0)

    assert proof.missing(book) == [Piece(PREFIX.data, 0, 3)]


REQUESTS = st.sampled_from(["told", "acknowledged", "answer lost", "request lost", "prefix", "restart"])


@example(["prefix", "restart", "told"])
@example(["acknowledged", "prefix", "restart", "answer lost", "told"])
@given(st.lists(REQUESTS, max_size=12))
def test_what_counts_as_proven_was_lost_by_no_restart(requests: list[str]) -> None:
    """To see it fail: let any later ackId be proof in `Proof.followed`."""
    book, unproven = AckBook(1, 60.0, lambda: 0.0), []
    next_id = restarts = 0
    for request in requests:
        if request == "restart":
            next_id, restarts = 0, restarts + 1
        elif request == "prefix":
            proof = Proof()
            proof.taken(book.channel(0), PREFIX)
            unproven.append((proof, restarts))
        elif request in ("request lost", "answer lost"):
            book.unanswered(0)
            next_id += request == "answer lost"
        elif book.accepted(0, book.begin("t"), next_id):
            unproven = [
                (proof, since) for proof, since in unproven if not proves(proof, book, next_id, restarts - since)
            ]
            book.acknowledged(0, [next_id] * (request == "acknowledged"))
            next_id += 1
        else:
            return  # the restart was seen: everything on this channel is sent again


def proves(proof: Proof, book: AckBook, ack_id: int, restarts: int) -> bool:
    proof.followed(book.channel(0), ack_id)
    proven = not copy.deepcopy(proof).missing(book)

    assert not (proven and restarts)
    return proven
