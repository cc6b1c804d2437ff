"""Proves what a partial accept took: such an answer carries no ackId for the events it took.

An indexer takes the requests of a channel in order. So when it acknowledges a later request of the same channel, and
its ackId shows that it did not restart in between, what it took before is stored as well. One that restarted draws from
0, so the n-th request since the prefix would get n - 1 at most. Where no later request follows, one event is sent again
to get an ackId; where a restart could have gone unseen, all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from sls_siem.siem.hec_acks import AckBook, Channel
from sls_siem.siem.hec_pieces import Piece


@dataclass
class _Prefix:
    channel: Channel
    piece: Piece
    asked_before: int
    proven: bool = False
    witness: bool = False


class Proof:
    """The prefixes of one payload that were taken without an ackId."""

    def __init__(self) -> None:
        self._prefixes: list[_Prefix] = []

    def taken(self, channel: Channel, piece: Piece) -> None:
        """Note a prefix that was taken on a channel."""
        self._prefixes.append(_Prefix(channel, piece, channel.asked))

    def followed(self, channel: Channel, ack_id: int) -> None:
        """A later request drew this ackId on this channel, and the payload waits for it."""
        for prefix in self._prefixes:
            if prefix.channel is channel:
                prefix.proven = prefix.proven or ack_id >= channel.asked - prefix.asked_before

    def missing(self, book: AckBook) -> list[Piece]:
        """Tell what to send again, now that everything else of the payload is sent."""
        found: list[Piece] = []
        kept: list[_Prefix] = []
        for prefix in self._prefixes:
            if prefix.proven:
                continue
            if prefix.witness or not book.in_use(prefix.channel):
                found.append(prefix.piece)
                continue
            prefix.witness = True
            kept.append(prefix)
            found += prefix.piece.run(prefix.piece.events - 1, prefix.piece.events)
        self._prefixes = kept
        return found
