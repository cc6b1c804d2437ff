"""One payload on its way to the collector: what of it was taken, with which proof, and what has to be sent again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Optional

from sls_siem.codec.model import Payload
from sls_siem.siem.hec_acks import AckBook, Receipt
from sls_siem.siem.hec_answers import Action, Answer
from sls_siem.siem.hec_pieces import Piece
from sls_siem.siem.hec_proof import Proof
from sls_siem.siem.output import Token

_ACCEPTS = frozenset({Action.ACCEPT, Action.ACCEPT_AND_SLOW_DOWN})
# Answers without an ackId after which the indexer may have drawn one all the same: its own error, and what only a
# proxy can have written (but for 413: whoever says that has taken nothing).
_MAY_DRAW = frozenset({None, 8})


class Job:
    """One payload; without a book nothing is noted, since an acceptance settles.

    Args:
        payload: as handed over.
        token: its own.
        book: acknowledgements; None when the configuration does not ask for them.
        restarted: told of the address and the ackId that show that an indexer restarted.
    """

    def __init__(
        self, payload: Payload, token: Token, book: Optional[AckBook], restarted: Callable[[int, int], None]
    ) -> None:
        self.payload = payload
        self._book = book
        self._restarted = restarted
        self.receipt: Optional[Receipt] = None if book is None else book.begin(token)
        self._proof = Proof()
        self._taken: dict[tuple[str, int], Piece] = {}

    @property
    def lost(self) -> bool:
        """Its acknowledgement can come no more: it is pulled again as a whole."""
        return self.receipt is not None and self.receipt.lost

    def taken(self, index: int, piece: Piece, ack_id: int) -> bool:
        """Note what was taken with an ackId; False when that shows that the indexer restarted."""
        assert self._book is not None
        assert self.receipt is not None
        if not self._book.accepted(index, self.receipt, ack_id):
            self._restarted(index, ack_id)
            return False
        channel = self._book.channel(index)
        self._taken[channel.guid, ack_id] = piece
        self._proof.followed(channel, ack_id)
        return True

    def in_doubt(self, index: int) -> list[Piece]:
        """Note that an ackId may have been drawn untold; returns what has to be sent again for that."""
        if self._book is None:
            return []
        channel = self._book.channel(index)
        ack_ids = self._book.untold(index, self.receipt)
        self._proof.doubted(channel, ack_ids)
        return [self._taken.pop((channel.guid, ack_id)) for ack_id in ack_ids]

    def refused(self, index: int, piece: Piece, answer: Answer) -> list[Piece]:
        """Note what an answer that is no acceptance has taken; returns what has to be sent again for that."""
        if self._book is None or answer.meaning.action in _ACCEPTS:
            return []
        prefix = _prefix(piece, answer)
        if prefix and answer.ack_id is not None:
            self.taken(index, prefix[0], answer.ack_id)
        elif prefix:
            self._proof.taken(self._book.channel(index), prefix[0])
        elif answer.ack_id is not None or (answer.code in _MAY_DRAW and answer.meaning.action is not Action.SPLIT):
            return self.in_doubt(index)
        return []

    def unproven(self) -> list[Piece]:
        """Tell what was taken without an ackId and has no later one to prove it, now that all else is sent."""
        return [] if self._book is None else self._proof.missing(self._book)


def _prefix(piece: Piece, answer: Answer) -> list[Piece]:
    """The events that a partial accept took."""
    action, number = answer.meaning.action, answer.number
    if number is None:
        return []
    if action is Action.REFUSE_INDEX:
        return piece.run(0, number - 1) if number <= piece.events else []
    took = action in (Action.RESUME, Action.REFUSE_EVENT, Action.REFUSE_FIELDS) and number < piece.events
    return piece.run(0, number) if took else []
