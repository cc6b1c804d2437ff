"""When to ask a shard again: at once while it is behind, otherwise when full requests may be expected.

The batch fills on the service, not in this process: a quiet shard is asked every `batch_age_s` (less a margin, so
that a log that arrives right after an answer still leaves in time), a busy one as often as it takes to fill a request,
or as many as are full within `FILL_S`. A pull and a request cost CPU time whatever is in them, so an answer should
become whole requests: what counts is its size as it will be sent, not as it comes. Sources of the figures: SLS allows
100 reads a second and shard (SLS quotas, "read and write").
"""

from __future__ import annotations

import math
from typing import Optional

MARGIN = 0.9
SHORTEST_S = 0.02
MEMORY_S = 1.0
FILL_S = 0.2
FREE = 0.1
"""How much of the last request is left free by an answer as expected; what comes late would often begin another."""


class Pacer:
    """The pace of one shard.

    Args:
        batch_bytes: size of one request to the SIEM.
        batch_age_s: longest time a log may wait on the service for its batch to fill.
    """

    def __init__(self, batch_bytes: int, batch_age_s: float) -> None:
        self._batch_bytes = batch_bytes
        self._longest_s = max(batch_age_s * MARGIN, SHORTEST_S)
        self._rate = 0.0
        self._asked_at: Optional[float] = None

    @property
    def bytes_per_s(self) -> float:
        """Smoothed rate at which the shard gave bytes."""
        return self._rate

    def answered(
        self,
        size: int,
        asked_at: float,
        *,
        took_s: float = 0.0,
        growth: float = 1.0,
        at_end: Optional[bool] = None,
    ) -> float:
        """Note an answer and tell how long to wait before asking again.

        Args:
            size: decompressed bytes of the answer.
            asked_at: when it was asked for, in seconds of any monotonic clock.
            took_s: how long it took to come.
            growth: bytes sent for each byte that comes.
            at_end: the service said whether the answer ends at the shard's end (`x-log-end-of-cursor`); None when
                it did not say: then an answer smaller than a request counts as the end.
        """
        elapsed = self._longest_s if self._asked_at is None else max(asked_at - self._asked_at, 1e-3)
        self._asked_at = asked_at
        self._rate += (1 - math.exp(-elapsed / MEMORY_S)) * (size / max(elapsed, 1e-3) - self._rate)
        if size > 0 and (size * growth < self._batch_bytes if at_end is None else at_end) is False:
            return 0.0
        requests_per_s = self._rate * growth / self._batch_bytes
        if requests_per_s * self._longest_s <= 1:
            return self._longest_s
        # Where an answer of several requests could be taken for one of a shard that is behind, it is one.
        requests = 1 if at_end is None else max(1, int(min(FILL_S, self._longest_s) * requests_per_s))
        return max(SHORTEST_S, (requests - FREE) / requests_per_s - took_s)
