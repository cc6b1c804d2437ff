"""Proves what a partial accept took: such an answer carries no ackId for the events it took.

An indexer takes the requests of a channel in order. So when it acknowledges a later request of the same channel, which
had drawn an ackId before, what it took in between is stored as well: after a restart it could not give an id that
passes for a new one (`hec_acks`). Where no later request follows, one event is sent again to get an ackId; where that
goes out on another channel, all of them. An ackId that is no longer waited for proves nothing any more. Splunk 10.4.3
tells an ackId with a partial accept: nothing is to be proven.

Which of several indexers behind one address took a prefix, only that ackId shows: without it, a balancer that is not
sticky for a moment and an indexer that dies in the next can lose one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Optional

from sls_siem.siem.hec_acks import AckBook, Channel
from sls_siem.siem.hec_pieces import Piece


@dataclass
class _Prefix:
    channel: Channel
    piece: Piece
    proof: Optional[int] = None
    witness: bool = False


class Proof:
    """The prefixes of one payload that were taken without an ackId."""

    def __init__(self) -> None:
        self._prefixes: list[_Prefix] = []

    def taken(self, channel: Channel, piece: Piece) -> None:
        """Note a prefix that was taken on a channel."""
        self._prefixes.append(_Prefix(channel, piece))

    def followed(self, channel: Channel, ack_id: int) -> None:
        """A later request drew this ackId on this channel, and the payload waits for it."""
        for prefix in self._prefixes:
            if prefix.channel is channel:
                prefix.proof = ack_id

    def doubted(self, channel: Channel, ack_ids: Collection[int]) -> None:
        """The payload waits for these ackIds of this channel no longer."""
        for prefix in self._prefixes:
            if prefix.channel is channel and prefix.proof in ack_ids:
                prefix.proof = None

    def missing(self, book: AckBook) -> list[Piece]:
        """Tell what to send again, now that everything else of the payload is sent."""
        found: list[Piece] = []
        kept: list[_Prefix] = []
        for prefix in self._prefixes:
            if prefix.proof is not None:
                kept.append(prefix)
            elif prefix.witness or not book.in_use(prefix.channel):
                found.append(prefix.piece)
            else:
                prefix.witness = True
                kept.append(prefix)
                found += prefix.piece.run(prefix.piece.events - 1, prefix.piece.events)
        self._prefixes = kept
        return found
