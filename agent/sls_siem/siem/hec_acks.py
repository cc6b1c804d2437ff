"""Bookkeeping of indexer acknowledgements for one lane: channels, their ackIds, and which token waits for which.

Pure: no sockets, no waiting. Facts (Splunk, "About HTTP Event Collector Indexer Acknowledgment"; Vector's RFC
2021-10-29-9465): an ackId belongs to its channel, the first is 0, each is one greater than the last; `true` is told
once; an indexer that restarts forgets what it owed and starts again at 0.

So an id below the number of requests that may have drawn one untold may have been drawn twice, before a restart (or at
another indexer) and after it. It is not asked for; whoever waits for it is lost. No id of an indexer that restarted can
then pass for a new one: it would have to be greater than the last, and all before it drawn untold.
"""

from __future__ import annotations

import itertools
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

    `last_id` is the newest ackId, -1 before the first; `untold` counts the requests that may have drawn one untold.
    """

    def __init__(self) -> None:
        self.guid = str(uuid.uuid4())
        self.last_id = -1
        self.untold = 0
        self.pending: dict[int, Receipt] = {}

    def asked_for(self) -> list[int]:
        """List the ids to ask for, the oldest first."""
        return list(itertools.islice(self.pending, MOST_IDS_PER_POLL))


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

    def untold(self, index: int, sending: Optional[Receipt]) -> list[int]:
        """A request at this address may have drawn an ackId that was not told.

        Whoever waits for an id that is in doubt now is lost, but for the one that is being sent. A channel on which
        nothing is left to wait for is given up, and its doubts with it.

        Args:
            index: of the address.
            sending: receipt of the token that is being sent.

        Returns:
            The ids of `sending` that are in doubt: what they stand for is to be sent again.
        """
        channel = self._channels[index]
        channel.untold += 1
        again = []
        for ack_id in [each for each in channel.pending if each < channel.untold]:
            receipt = channel.pending.pop(ack_id)
            receipt.waiting -= 1
            if receipt is sending:
                again.append(ack_id)
            else:
                receipt.lost = self._changed = True
        if not channel.pending:
            self._channels[index] = Channel()
        return again

    def accepted(self, index: int, receipt: Receipt, ack_id: int) -> bool:
        """Note the ackId of a request.

        Returns:
            False when the indexer restarted: everything that waited on this channel is lost, this request with it,
            for its id was handed out before; the next request goes out on a new channel.
        """
        channel = self._channels[index]
        if ack_id <= channel.last_id:
            self.reset(index)
            receipt.lost = True
            return False
        channel.last_id = ack_id
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
