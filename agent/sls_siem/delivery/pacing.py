"""When to ask a shard again: at once while it is behind, otherwise when a full request may be expected.

The batch fills on the service, not in this process: a quiet shard is asked every `batch_age_s` (less a margin, so
that a log that arrives right after an answer still leaves in time), a shard with 10 MB/s as often as it takes to
fill one request. Sources of the figures: SLS allows 100 reads a second and shard (SLS quotas, "read and write").
"""

from __future__ import annotations

import math
from typing import Optional

MARGIN = 0.72
SHORTEST_S = 0.02
MEMORY_S = 1.0


class Pacer:
    """The pace of one shard.

    Args:
        batch_bytes: size of one request to the SIEM.
        batch_age_s: longest time a log may wait on the service for its batch to fill.
    """

    def __init__(self, batch_bytes: int, batch_age_s: float) -> None:
        self._batch_bytes = batch_bytes
        self._longest_s = batch_age_s * MARGIN
        self._rate = 0.0
        self._asked_at: Optional[float] = None

    @property
    def bytes_per_s(self) -> float:
        """Smoothed rate at which the shard gave bytes."""
        return self._rate

    def answered(self, size: int, asked_at: float, *, at_end: Optional[bool] = None) -> float:
        """Note an answer and tell how long to wait before asking again.

        Args:
            size: decompressed bytes of the answer.
            asked_at: when it was asked for, in seconds of any monotonic clock.
            at_end: the service said whether the answer ends at the shard's end (`x-log-end-of-cursor`); None when
                it did not say: then an answer smaller than a request counts as the end.
        """
        elapsed = self._longest_s if self._asked_at is None else max(asked_at - self._asked_at, 1e-3)
        self._asked_at = asked_at
        self._rate += (1 - math.exp(-elapsed / MEMORY_S)) * (size / max(elapsed, 1e-3) - self._rate)
        if size > 0 and (size < self._batch_bytes if at_end is None else at_end) is False:
            return 0.0
        if self._rate * self._longest_s <= self._batch_bytes:
            return self._longest_s
        return max(SHORTEST_S, self._batch_bytes / self._rate)
