"""Bookkeeping of indexer acknowledgements for one lane: channels, their ackIds, and which token waits for which.

Pure: no sockets, no waiting. Facts (Splunk, "About HTTP Event Collector Indexer Acknowledgment"; Vector's RFC
2021-10-29-9465): an ackId belongs to its channel, the first is 0, each is one greater than the last; `true` is told
once; an indexer that restarts forgets what it owed and starts again at 0.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import Optional

from sls_siem.siem.output import Token

MOST_IDS_PER_POLL = 5000


class Receipt:
    """What one token waits for.

    Args:
        token: the caller's.
    """

    __slots__ = ("complete", "expires_at", "lost", "token", "waiting")

    def __init__(self, token: Token) -> None:
        self.token = token
        self.waiting = 0
        self.complete = False
        self.lost = False
        self.expires_at = float("inf")


class Channel:
    """One data channel at one address; `guid` goes into `X-Splunk-Request-Channel`.

    `last_id` is the newest ackId, -1 before the first; `asked` counts the requests that may have drawn one.
    """

    def __init__(self) -> None:
        self.guid = str(uuid.uuid4())
        self.last_id = -1
        self.asked = 0
        self.unanswered = 0
        self.pending: dict[int, Receipt] = {}

    def trusted(self) -> list[int]:
        """List the ids to ask for, the oldest first.

        Requests that ended without an answer may have drawn ids we do not know of. If the indexer restarted before
        them it drew these from 0 on, so ids below their number may have been handed out twice.
        """
        ids = [each for each in self.pending if each >= self.unanswered]
        return ids[:MOST_IDS_PER_POLL]

    def restarted(self, ack_id: int) -> bool:
        """Tell whether the id may come from an indexer that forgot ids of this channel that are still waited for.

        It does when it was given before. After a restart it can be greater than the last one only if requests without
        an answer drew all those in between.
        """
        return ack_id <= self.last_id or (bool(self.pending) and self.unanswered > self.last_id)


class AckBook:
    """All channels and receipts of one lane.

    Args:
        addresses: number of addresses of the SIEM.
        timeout_s: a token that is not acknowledged that long after its last request counts as lost.
        clock: seconds of a monotonic clock.
    """

    def __init__(self, addresses: int, timeout_s: float, clock: Callable[[], float]) -> None:
        self._channels = [Channel() for _ in range(addresses)]
        self._timeout_s = timeout_s
        self._clock = clock
        self._receipts: dict[int, Receipt] = {}
        self._changed = False
        self.resets = 0
        """Restarts seen since an acknowledgement last came."""

    def channel(self, index: int) -> Channel:
        """The channel in use at an address."""
        return self._channels[index]

    def in_use(self, channel: Channel) -> bool:
        """Whether requests still go out on this channel."""
        return any(each is channel for each in self._channels)

    def begin(self, token: Token) -> Receipt:
        """Start a receipt; it is reported only once it is complete."""
        receipt = Receipt(token)
        self._receipts[id(receipt)] = receipt
        return receipt

    def complete(self, receipt: Receipt) -> None:
        """Everything of the token was sent."""
        receipt.complete = True
        if receipt.lost or not receipt.waiting:
            self._changed = True

    def abandon(self, receipt: Receipt) -> None:
        """The token was not sent to its end; it is never reported."""
        receipt.complete = False
        self._drop(receipt)

    def unanswered(self, index: int) -> None:
        """A request at this address may have drawn an ackId that was not told."""
        channel = self._channels[index]
        channel.unanswered += 1
        channel.asked += 1

    def accepted(self, index: int, receipt: Receipt, ack_id: int) -> bool:
        """Note the ackId of a request.

        Returns:
            False when the indexer restarted: everything that waited on this channel is lost, this request with it,
            for its id was handed out before; the next request goes out on a new channel.
        """
        channel = self._channels[index]
        if channel.restarted(ack_id):
            self.reset(index)
            receipt.lost = True
            return False
        channel.last_id = ack_id
        channel.unanswered = 0
        channel.asked += 1
        channel.pending[ack_id] = receipt
        receipt.waiting += 1
        receipt.expires_at = self._clock() + self._timeout_s
        return True

    def reset(self, index: int) -> None:
        """Count as lost what waits on this channel and open another."""
        for receipt in self._channels[index].pending.values():
            receipt.lost = self._changed = True
        self._channels[index] = Channel()
        self.resets += 1

    def acknowledged(self, index: int, ack_ids: Iterable[int]) -> None:
        """`true` was told for these ids."""
        pending = self._channels[index].pending
        for ack_id in ack_ids:
            receipt = pending.pop(ack_id, None)
            if receipt is not None:
                receipt.waiting -= 1
                self._changed = True
                self.resets = 0

    def waits_at(self, index: int) -> bool:
        """Whether anything waits on the channel at this address."""
        return bool(self._channels[index].pending)

    def waiting(self) -> bool:
        """Whether any token waits for an acknowledgement that can still come."""
        return any(each.waiting and not each.lost for each in self._receipts.values())

    def next_expiry(self) -> Optional[float]:
        """When the first token runs out, on the clock's scale."""
        # They are sent one after the other, so the first that waits runs out first.
        return next((each.expires_at for each in self._receipts.values() if each.waiting and not each.lost), None)

    def expire(self) -> int:
        """Count the tokens as lost that have waited too long; returns their number."""
        now = self._clock()
        waiting = [each for each in self._receipts.values() if each.complete and each.waiting and not each.lost]
        late = [each for each in waiting if each.expires_at <= now]
        for receipt in late:
            receipt.lost = self._changed = True
        return len(late)

    def report(self) -> tuple[tuple[Token, ...], tuple[Token, ...]]:
        """Take out the tokens that are settled and those that are lost, in the order in which they were sent."""
        if not self._changed:
            return (), ()
        self._changed = False
        done = [each for each in self._receipts.values() if each.complete and (each.lost or not each.waiting)]
        for receipt in done:
            self._drop(receipt)
        settled = tuple(each.token for each in done if not each.lost)
        return settled, tuple(each.token for each in done if each.lost)

    def _drop(self, receipt: Receipt) -> None:
        del self._receipts[id(receipt)]
        if receipt.waiting:
            for channel in self._channels:
                channel.pending = {key: each for key, each in channel.pending.items() if each is not receipt}
